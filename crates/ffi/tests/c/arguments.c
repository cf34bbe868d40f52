/* Lengths, texts and numbers that are not in order, and places that are too small. */
#include "peer.h"

#include <limits.h>

static raddle_conn_t conn;

/* Hostile inputs 193, 301 and 302. */
static const struct {
    const char *what;
    uint32_t kind;
    const char *data;
    size_t length;
    raddle_status_t expected;
} SENDS[] = {
    {"nothing, at NULL", RADDLE_BINARY, NULL, 0, RADDLE_OK},
    {"no text, at NULL", RADDLE_TEXT, NULL, 0, RADDLE_OK},
    {"something at NULL", RADDLE_BINARY, NULL, 1, RADDLE_ERR_ARGUMENT},
    {"more than an object can have", RADDLE_BINARY, "x", (size_t)SSIZE_MAX + 1, RADDLE_ERR_ARGUMENT},
    {"the most that a size can be", RADDLE_BINARY, "x", SIZE_MAX, RADDLE_ERR_ARGUMENT},
    {"a negative length", RADDLE_TEXT, "x", (size_t)-1, RADDLE_ERR_ARGUMENT},
    {"a text with a NUL", RADDLE_TEXT, "a\0b", 3, RADDLE_OK},
    {"a text that no NUL ends", RADDLE_TEXT, "abc", 2, RADDLE_OK},
    {"a text that is not UTF-8", RADDLE_TEXT, "\xff", 1, RADDLE_ERR_UTF8},
    {"a text that ends within a character", RADDLE_TEXT, "\xc3\xa9", 1, RADDLE_ERR_UTF8},
    {"a surrogate", RADDLE_TEXT, "\xed\xa0\x80", 3, RADDLE_ERR_UTF8},
    {"the same as binary", RADDLE_BINARY, "\xed\xa0\x80", 3, RADDLE_OK},
    {"kind 0", 0, "x", 1, RADDLE_ERR_ARGUMENT},
    {"a Close as a message", RADDLE_CLOSE, "x", 1, RADDLE_ERR_ARGUMENT},
    {"a Ping as a message", RADDLE_PING, "x", 1, RADDLE_ERR_ARGUMENT},
    {"an event of the queue as a message", RADDLE_OPENED, "x", 1, RADDLE_ERR_ARGUMENT},
    {"both kinds at once", RADDLE_TEXT | RADDLE_BINARY, "x", 1, RADDLE_ERR_ARGUMENT},
    {"a flag that does not exist", RADDLE_TEXT | 0x400, "x", 1, RADDLE_ERR_ARGUMENT},
    {"all bits", UINT32_MAX, "x", 1, RADDLE_ERR_ARGUMENT},
    {"all flags that exist", RADDLE_TEXT | RADDLE_UNCOMPRESSED | RADDLE_DONT_WAIT, "x", 1, RADDLE_OK},
};

static void sends(int peer) {
    size_t i, length;
    char received[16];
    for (i = 0; i < sizeof SENDS / sizeof *SENDS; i++) {
        int status = raddle_send(conn, SENDS[i].kind, (const uint8_t *)SENDS[i].data, SENDS[i].length);
        if (status != (int)SENDS[i].expected) {
            fprintf(stderr, "%s: %d (%s)\n", SENDS[i].what, status, raddle_last_error());
            abort();
        }
        if (status == RADDLE_OK) {
            CHECK(peer_receive(peer, received, sizeof received, &length) == (int)(SENDS[i].kind & 0xf));
            CHECK(length == SENDS[i].length && (length == 0 || memcmp(received, SENDS[i].data, length) == 0));
        }
    }
    /* What has failed has sent nothing. */
    peer_send(peer, RADDLE_PING, "still there", 11);
    CHECK(peer_receive(peer, received, sizeof received, &length) == RADDLE_PONG && length == 11);
}

/* Hostile input 302: a text of 100 MiB, whole or over the limit, is its length and nothing else. */
static void large_text(void) {
    size_t size = 100u << 20;
    uint8_t *text = malloc(size);
    CHECK(text != NULL);
    memset(text, 'x', size);
    /* More than may wait, for a peer that does not read. */
    OK(raddle_send(conn, RADDLE_TEXT | RADDLE_DONT_WAIT, text, size));
    STATUS(RADDLE_ERR_WOULD_BLOCK, raddle_send(conn, RADDLE_TEXT | RADDLE_DONT_WAIT, text, size));
    text[size - 1] = 0xff;
    STATUS(RADDLE_ERR_UTF8, raddle_send(conn, RADDLE_TEXT, text, size));
    free(text);
}

static void many(int peer) {
    raddle_message_t messages[4];
    raddle_status_t statuses[4];
    char received[16];
    size_t length;
    memset(messages, 0, sizeof messages);
    messages[0].conn = messages[1].conn = messages[2].conn = conn;
    messages[3].conn = conn ^ 1;
    messages[0].kind = messages[3].kind = RADDLE_TEXT;
    messages[0].data = messages[3].data = (const uint8_t *)"first";
    messages[0].length = messages[3].length = 5;
    messages[1].kind = 77;
    messages[2].kind = RADDLE_BINARY;
    STATUS(RADDLE_ERR_ARGUMENT, raddle_send_many(messages, 4, statuses));
    CHECK(statuses[0] == RADDLE_OK && statuses[1] == RADDLE_ERR_ARGUMENT && statuses[2] == RADDLE_OK);
    CHECK(statuses[3] == RADDLE_ERR_HANDLE);
    CHECK(peer_receive(peer, received, sizeof received, &length) == RADDLE_TEXT && length == 5);
    CHECK(peer_receive(peer, received, sizeof received, &length) == RADDLE_BINARY && length == 0);
    OK(raddle_send_many(NULL, 0, NULL));
    STATUS(RADDLE_ERR_ARGUMENT, raddle_send_many(messages, SIZE_MAX, NULL));
    STATUS(RADDLE_ERR_ARGUMENT, raddle_send_many(messages, (size_t)SSIZE_MAX / 32 + 1, NULL));
    STATUS(RADDLE_ERR_ARGUMENT, raddle_send_many((const raddle_message_t *)((const char *)messages + 1), 1, NULL));
}

/* Hostile input 311: nothing is lost where a place is too small, and nothing beside it is written. */
static void places(void) {
    char target[] = "/path?query", buffer[64];
    size_t length = 77, needed = sizeof target - 1, size;
    STATUS(RADDLE_ERR_BUFFER, raddle_conn_target(conn, NULL, 0, &length));
    CHECK(length == needed);
    STATUS(RADDLE_ERR_ARGUMENT, raddle_conn_target(conn, NULL, 5, &length));
    for (size = 0; size <= needed + 2; size++) {
        memset(buffer, 'x', sizeof buffer);
        length = 77;
        if (size <= needed) {
            STATUS(RADDLE_ERR_BUFFER, raddle_conn_target(conn, buffer, size, &length));
            CHECK(buffer[0] == 'x');
        } else {
            OK(raddle_conn_target(conn, buffer, size, &length));
            CHECK(strcmp(buffer, target) == 0);
        }
        CHECK(length == needed && buffer[size] == 'x');
    }
    OK(raddle_conn_target(conn, buffer, sizeof buffer, NULL));
    STATUS(RADDLE_ERR_NOT_FOUND, raddle_conn_subprotocol(conn, buffer, sizeof buffer, &length));
    STATUS(RADDLE_ERR_STATE, raddle_conn_header(conn, "Host", buffer, sizeof buffer, &length));
}

/* Hostile inputs 303 and 379: every number at 0, at 1, at its largest, and one beyond. */
typedef raddle_status_t (*set_u32)(raddle_server_config_t *, uint32_t);
typedef raddle_status_t (*set_u64)(raddle_server_config_t *, uint64_t);
typedef raddle_status_t (*set_size)(raddle_server_config_t *, size_t);

#define NO RADDLE_ERR_ARGUMENT
#define YES RADDLE_OK

static const struct {
    const char *name;
    set_u32 set;
    raddle_status_t at_0, at_1, at_most;
} NUMBERS_32[] = {
    {"engine", raddle_server_config_engine, NO, YES, NO},
    {"workers", raddle_server_config_workers, NO, YES, NO},
    {"max_fragments", raddle_server_config_max_fragments, NO, YES, YES},
    {"when_full", raddle_server_config_when_full, NO, YES, NO},
    {"keep_headers", raddle_server_config_keep_headers, YES, YES, NO},
    {"requests_as_events", raddle_server_config_requests_as_events, YES, YES, NO},
};

static const struct {
    const char *name;
    set_u64 set;
    raddle_status_t at_0, at_1, at_most;
} NUMBERS_64[] = {
    {"max_message", raddle_server_config_max_message, YES, YES, YES},
    {"max_frame", raddle_server_config_max_frame, YES, YES, YES},
    {"ping_interval", raddle_server_config_ping_interval, YES, YES, YES},
    {"ping_timeout", raddle_server_config_ping_timeout, NO, YES, YES},
    {"close_timeout", raddle_server_config_close_timeout, NO, YES, YES},
    {"write_timeout", raddle_server_config_write_timeout, NO, YES, YES},
    {"message_timeout", raddle_server_config_message_timeout, NO, YES, YES},
    {"min_rate", raddle_server_config_min_rate, NO, YES, YES},
    {"handshake_timeout", raddle_server_config_handshake_timeout, NO, YES, YES},
};

static const struct {
    const char *name;
    set_size set;
    raddle_status_t at_0, at_1, at_most;
} SIZES[] = {
    {"stack_size", raddle_server_config_stack_size, NO, NO, NO},
    {"outgoing_limit", raddle_server_config_outgoing_limit, YES, YES, YES},
    {"max_buffered", raddle_server_config_max_buffered, NO, NO, YES},
    {"fragment_size", raddle_server_config_fragment_size, NO, YES, YES},
    {"max_connections", raddle_server_config_max_connections, NO, YES, YES},
    {"max_connections_per_ip", raddle_server_config_max_connections_per_ip, NO, YES, YES},
    {"max_handshakes", raddle_server_config_max_handshakes, NO, YES, YES},
    {"max_topics", raddle_server_config_max_topics, YES, YES, YES},
};

#define NUMBERS(of, table, most)                                                                 \
    for (i = 0; i < sizeof table / sizeof *table; i++) {                                         \
        int at_0 = table[i].set(of, 0), at_1 = table[i].set(of, 1);                              \
        int at_most = table[i].set(of, most);                                                    \
        if (at_0 != table[i].at_0 || at_1 != table[i].at_1 || at_most != table[i].at_most) {     \
            fprintf(stderr, "%s: %d %d %d\n", table[i].name, at_0, at_1, at_most);               \
            abort();                                                                             \
        }                                                                                        \
    }

static void numbers(void) {
    raddle_server_config_t *config = NULL;
    raddle_server_t *server = NULL;
    size_t i;
    OK(raddle_server_config_new(&config));
    NUMBERS(config, NUMBERS_32, UINT32_MAX)
    NUMBERS(config, NUMBERS_64, UINT64_MAX)
    NUMBERS(config, SIZES, SIZE_MAX)
    STATUS(RADDLE_ERR_ARGUMENT, raddle_server_config_engine(config, 6));
    STATUS(RADDLE_ERR_ARGUMENT, raddle_server_config_deflate(config, 10, 0, 0, 0, 0));
    STATUS(RADDLE_ERR_ARGUMENT, raddle_server_config_deflate(config, 0, 0, 4, 0, 0));
    STATUS(RADDLE_ERR_ARGUMENT, raddle_server_config_deflate(config, 0, 0, 0, 8, 0));
    STATUS(RADDLE_ERR_ARGUMENT, raddle_server_config_deflate(config, 0, 0, 0, 0, 16));
    OK(raddle_server_config_deflate(config, 9, SIZE_MAX, 3, 9, 15));
    STATUS(RADDLE_ERR_ARGUMENT, raddle_server_config_identity_policy(config, 0, RADDLE_SURPLUS_CLOSE));
    STATUS(RADDLE_ERR_ARGUMENT, raddle_server_config_identity_policy(config, 1, 4));
    STATUS(RADDLE_ERR_ARGUMENT, raddle_server_config_connection_rate_per_ip(config, 0, 1));
    STATUS(RADDLE_ERR_ARGUMENT, raddle_server_config_connection_rate_per_ip(config, 1, 0));
    STATUS(RADDLE_ERR_ARGUMENT, raddle_server_config_head_limits(config, 1, 100, 100));
    STATUS(RADDLE_ERR_ARGUMENT, raddle_server_config_trust_proxy(config, 9, "10.0.0.1"));
    STATUS(RADDLE_ERR_ARGUMENT, raddle_server_config_trust_proxy(config, RADDLE_PROXY_FORWARDED, "10.0.0.0/33"));
    STATUS(RADDLE_ERR_ARGUMENT, raddle_server_config_subprotocol(config, "two words"));
    STATUS(RADDLE_ERR_UTF8, raddle_server_config_subprotocol(config, "\xff"));
    STATUS(RADDLE_ERR_IO, raddle_server_config_listen_fd(config, 987654, NULL));
    STATUS(RADDLE_ERR_ARGUMENT, raddle_server_config_listen_fd(config, -1, NULL));
    /* Nothing is started with settings that lack something, or hold what is none. */
    STATUS(RADDLE_ERR_STATE, raddle_server_new(config, &server));
    OK(raddle_server_config_listen(config, "127.0.0.1", 0, NULL));
    STATUS(RADDLE_ERR_ARGUMENT, raddle_server_config_allow_origin(config, "https://example.com/path"));
    CHECK(strstr(raddle_last_error(), "https://example.com/path") != NULL);
    STATUS(RADDLE_ERR_ARGUMENT, raddle_server_config_allow_host(config, "example.com/path"));
    OK(raddle_server_config_allow_origin(config, "https://example.com"));
    OK(raddle_server_config_allow_host(config, "example.com"));
    OK(raddle_server_new(config, &server));
    OK(raddle_server_free(server));
    server = NULL;
    OK(raddle_server_config_free(config));
    STATUS(RADDLE_ERR_HANDLE, raddle_server_config_engine(config, RADDLE_ENGINE_POOL));
}

#define NUMBERS_OF(settings, number, table)                    \
    static const struct {                                      \
        const char *name;                                      \
        raddle_status_t (*set)(settings *, number);            \
        raddle_status_t at_0, at_1, at_most;                   \
    } table[]

NUMBERS_OF(raddle_client_t, uint32_t, CLIENT_32) = {
    {"max_fragments", raddle_client_max_fragments, NO, YES, YES},
    {"when_full", raddle_client_when_full, NO, YES, NO},
    {"redirects", raddle_client_redirects, YES, YES, YES},
};
NUMBERS_OF(raddle_client_t, uint64_t, CLIENT_64) = {
    {"max_message", raddle_client_max_message, YES, YES, YES},
    {"max_frame", raddle_client_max_frame, YES, YES, YES},
    {"ping_interval", raddle_client_ping_interval, YES, YES, YES},
    {"ping_timeout", raddle_client_ping_timeout, NO, YES, YES},
    {"close_timeout", raddle_client_close_timeout, NO, YES, YES},
    {"write_timeout", raddle_client_write_timeout, NO, YES, YES},
    {"message_timeout", raddle_client_message_timeout, NO, YES, YES},
    {"min_rate", raddle_client_min_rate, NO, YES, YES},
    {"connect_timeout", raddle_client_connect_timeout, NO, YES, YES},
};
NUMBERS_OF(raddle_client_t, size_t, CLIENT_SIZES) = {
    {"outgoing_limit", raddle_client_outgoing_limit, YES, YES, YES},
    {"fragment_size", raddle_client_fragment_size, NO, YES, YES},
};
NUMBERS_OF(raddle_protocol_config_t, uint32_t, PROTOCOL_32) = {
    {"max_fragments", raddle_protocol_config_max_fragments, NO, YES, YES},
};
NUMBERS_OF(raddle_protocol_config_t, uint64_t, PROTOCOL_64) = {
    {"max_message", raddle_protocol_config_max_message, YES, YES, YES},
    {"max_frame", raddle_protocol_config_max_frame, YES, YES, YES},
};

#define HEAD_LIMITS(set, of)                                               \
    OK(set(of, 64, 16, 5));                                                \
    OK(set(of, SIZE_MAX, SIZE_MAX, SIZE_MAX));                             \
    STATUS(RADDLE_ERR_ARGUMENT, set(of, 63, 16, 5));                       \
    STATUS(RADDLE_ERR_ARGUMENT, set(of, 64, 15, 5));                       \
    STATUS(RADDLE_ERR_ARGUMENT, set(of, 64, 16, 4));                       \
    STATUS(RADDLE_ERR_ARGUMENT, set(of, 0, 0, 0));

/* Hostile inputs 303 and 379, of a client and of the protocol object. */
static void numbers_of_others(void) {
    raddle_client_t *client = NULL;
    raddle_protocol_config_t *config = NULL;
    size_t i;
    OK(raddle_client_new(&client));
    NUMBERS(client, CLIENT_32, UINT32_MAX)
    NUMBERS(client, CLIENT_64, UINT64_MAX)
    NUMBERS(client, CLIENT_SIZES, SIZE_MAX)
    HEAD_LIMITS(raddle_client_head_limits, client)
    OK(raddle_client_host(client, "example.com:8080"));
    OK(raddle_client_free(client));
    STATUS(RADDLE_ERR_HANDLE, raddle_client_min_rate(client, 1));
    OK(raddle_protocol_config_new(RADDLE_CLIENT, &config));
    NUMBERS(config, PROTOCOL_32, UINT32_MAX)
    NUMBERS(config, PROTOCOL_64, UINT64_MAX)
    HEAD_LIMITS(raddle_protocol_config_head_limits, config)
    OK(raddle_protocol_config_free(config));
    STATUS(RADDLE_ERR_HANDLE, raddle_protocol_config_max_frame(config, 1));
}

int main(void) {
    uint16_t port;
    raddle_server_t *server = serve(RADDLE_ENGINE_ACCEPT, NULL, NULL, NULL, NULL, NULL, &port);
    int peer = peer_dial(port);
    peer_request(peer, "/path?query", "");
    OK(raddle_server_accept(server, 10000, &conn));
    CHECK(peer_answer(peer, NULL, 0) == 101);
    numbers();
    numbers_of_others();
    places();
    sends(peer);
    many(peer);
    large_text();
    OK(raddle_conn_free(conn));
    close(peer);
    finish(server);
    return 0;
}

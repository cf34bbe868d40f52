/* The protocol without I/O: two objects on one wire of memory, and what they are asked that does not fit. */
#include "test.h"

static raddle_protocol_t *client, *server;

/* Brings what one has to write to the other, in pieces of so many bytes at most. */
static void carry(raddle_protocol_t *from, raddle_protocol_t *to, size_t at_most) {
    raddle_slice_t slices[4];
    size_t count, i, queued = 1;
    for (;;) {
        size_t taken = 0;
        OK(raddle_protocol_output_slices(from, slices, 4, &count));
        if (count == 0) break;
        for (i = 0; i < count && taken < at_most; i++) {
            const uint8_t *bytes = slices[i].data;
            size_t length = slices[i].length < at_most - taken ? slices[i].length : at_most - taken;
            CHECK(length > 0);
            taken += length;
            while (length > 0) {
                uint8_t *space = NULL;
                size_t room = 0;
                OK(raddle_protocol_space(to, &space, &room));
                CHECK(room > 0);
                if (room > length) room = length;
                memcpy(space, bytes, room);
                OK(raddle_protocol_filled(to, room));
                bytes += room;
                length -= room;
            }
        }
        OK(raddle_protocol_written(from, taken));
    }
    OK(raddle_protocol_queued(from, &queued));
    CHECK(queued == 0);
}

static void expect(raddle_protocol_t *protocol, uint32_t kind, uint32_t detail, const char *data) {
    raddle_message_t event;
    OK(raddle_protocol_next(protocol, &event));
    CHECK(event.conn == 0 && event.kind == kind && event.detail == detail && event.data != NULL);
    CHECK(event.length == strlen(data) && memcmp(event.data, data, event.length) == 0);
}

static void expect_nothing(raddle_protocol_t *protocol) {
    raddle_message_t event;
    STATUS(RADDLE_ERR_WOULD_BLOCK, raddle_protocol_next(protocol, &event));
}

static void expect_state(raddle_protocol_t *protocol, uint32_t expected) {
    uint32_t state = 77;
    OK(raddle_protocol_state(protocol, &state));
    CHECK(state == expected);
}

static const uint8_t *bytes(const char *text) { return (const uint8_t *)text; }

static void open_both(const raddle_protocol_config_t *of_client, const raddle_protocol_config_t *of_server) {
    OK(raddle_protocol_client(of_client, "example.com", "/chat?a=b", NULL, &client));
    OK(raddle_protocol_server(of_server, &server));
    expect_state(client, RADDLE_STATE_CONNECTING);
    STATUS(RADDLE_ERR_STATE, raddle_protocol_send(server, RADDLE_TEXT, bytes("early"), 5));
    carry(client, server, SIZE_MAX);
    expect(server, RADDLE_OPENED, 0, "");
    carry(server, client, 1);
    expect(client, RADDLE_OPENED, 0, "");
    expect_state(client, RADDLE_STATE_OPEN);
    expect_state(server, RADDLE_STATE_OPEN);
}

static void free_both(void) {
    OK(raddle_protocol_free(client));
    OK(raddle_protocol_free(server));
    STATUS(RADDLE_ERR_HANDLE, raddle_protocol_free(server));
}

static void both_sides_talk_and_close(size_t at_most, const raddle_protocol_config_t *of_client,
                                      const raddle_protocol_config_t *of_server) {
    static char large[100000];
    raddle_message_t event;
    size_t i;
    open_both(of_client, of_server);
    for (i = 0; i + 1 < sizeof large; i++) large[i] = (char)('a' + i % 26);
    OK(raddle_protocol_send(server, RADDLE_TEXT, bytes("first"), 5));
    OK(raddle_protocol_send_lent(server, RADDLE_BINARY, bytes(large), strlen(large)));
    OK(raddle_protocol_send(server, RADDLE_TEXT, NULL, 0));
    OK(raddle_protocol_ping(server, bytes("ping"), 4));
    carry(server, client, at_most);
    expect(client, RADDLE_TEXT, 0, "first");
    expect(client, RADDLE_BINARY, 0, large);
    expect(client, RADDLE_TEXT, 0, "");
    expect(client, RADDLE_PING, 0, "ping");
    expect_nothing(client);
    OK(raddle_protocol_send_fragment(client, RADDLE_TEXT, bytes("one "), 4, RADDLE_MORE));
    STATUS(RADDLE_ERR_STATE, raddle_protocol_send(client, RADDLE_TEXT, bytes("no"), 2));
    STATUS(RADDLE_ERR_STATE, raddle_protocol_send_fragment(client, RADDLE_BINARY, bytes("no"), 2, 0));
    OK(raddle_protocol_send_fragment(client, RADDLE_TEXT, bytes("two"), 3, 0));
    OK(raddle_protocol_pong(client, NULL, 0));
    carry(client, server, at_most);
    expect(server, RADDLE_PONG, 0, "ping");
    expect(server, RADDLE_TEXT, 0, "one two");
    expect(server, RADDLE_PONG, 0, "");
    OK(raddle_protocol_send_fragment(client, RADDLE_BINARY, bytes("part"), 4, RADDLE_MORE));
    carry(client, server, at_most);
    OK(raddle_protocol_next_part(server, &event));
    CHECK(event.kind == RADDLE_BINARY && event.detail == RADDLE_MORE && event.length == 4);
    OK(raddle_protocol_send_fragment(client, RADDLE_BINARY, NULL, 0, 0));
    carry(client, server, at_most);
    OK(raddle_protocol_next_part(server, &event));
    CHECK(event.detail == 0 && event.length == 0);
    OK(raddle_protocol_shrink(server));
    OK(raddle_protocol_shrink(client));
    OK(raddle_protocol_close(client, 1000, "done"));
    STATUS(RADDLE_ERR_CLOSED, raddle_protocol_send(client, RADDLE_TEXT, NULL, 0));
    STATUS(RADDLE_ERR_CLOSED, raddle_protocol_close(client, 1000, NULL));
    expect_state(client, RADDLE_STATE_CLOSING);
    carry(client, server, at_most);
    expect(server, RADDLE_CLOSE, 1000, "done");
    carry(server, client, at_most);
    expect(client, RADDLE_CLOSE, 1000, "");
    expect_state(client, RADDLE_STATE_CLOSED);
    expect_state(server, RADDLE_STATE_CLOSED);
    OK(raddle_protocol_feed(server, bytes("whatever"), 8));
    expect_nothing(server);
    free_both();
}

static void an_event_stays_while_others_are_sent(void) {
    raddle_message_t event;
    int i;
    open_both(NULL, NULL);
    OK(raddle_protocol_send(client, RADDLE_TEXT, bytes("stays"), 5));
    carry(client, server, SIZE_MAX);
    OK(raddle_protocol_next(server, &event));
    for (i = 0; i < 1000; i++) OK(raddle_protocol_send(server, event.kind, event.data, event.length));
    CHECK(memcmp(event.data, "stays", 5) == 0);
    carry(server, client, 100);
    for (i = 0; i < 1000; i++) expect(client, RADDLE_TEXT, 0, "stays");
    free_both();
}

static void the_program_decides(void) {
    raddle_protocol_config_t *config = NULL, *of_client = NULL;
    char text[64];
    size_t length = 0;
    uint32_t status = 0;
    OK(raddle_protocol_config_new(RADDLE_SERVER, &config));
    OK(raddle_protocol_config_requests_as_events(config));
    OK(raddle_protocol_config_header(config, "Set-Cookie", "a=b"));
    OK(raddle_protocol_config_new(RADDLE_CLIENT, &of_client));
    OK(raddle_protocol_config_subprotocol(of_client, "chat"));
    OK(raddle_protocol_config_origin(of_client, "http://example.com"));
    STATUS(RADDLE_ERR_STATE, raddle_protocol_server(of_client, &server));
    STATUS(RADDLE_ERR_STATE, raddle_protocol_config_own_keys(config));
    STATUS(RADDLE_ERR_STATE, raddle_protocol_config_allow_host(of_client, "example.com"));
    OK(raddle_protocol_client(of_client, "example.com", "/chat?a=b", bytes("sixteen bytes..."), &client));
    OK(raddle_protocol_server(config, &server));
    STATUS(RADDLE_ERR_STATE, raddle_protocol_accept(server, NULL));
    STATUS(RADDLE_ERR_STATE, raddle_protocol_target(server, text, sizeof text, NULL));
    carry(client, server, 7);
    expect(server, RADDLE_REQUEST, 0, "");
    expect_nothing(server);
    OK(raddle_protocol_target(server, text, sizeof text, &length));
    CHECK(strcmp(text, "/chat?a=b") == 0 && length == 9);
    STATUS(RADDLE_ERR_BUFFER, raddle_protocol_target(server, text, 9, &length));
    OK(raddle_protocol_header(server, "sec-websocket-key", text, sizeof text, NULL));
    CHECK(strcmp(text, "c2l4dGVlbiBieXRlcy4uLg==") == 0);
    OK(raddle_protocol_header_at(server, 0, text, sizeof text, NULL));
    CHECK(strcmp(text, "Host: example.com") == 0);
    STATUS(RADDLE_ERR_NOT_FOUND, raddle_protocol_header_at(server, 100, text, sizeof text, NULL));
    STATUS(RADDLE_ERR_NOT_FOUND, raddle_protocol_header(server, "X-None", text, sizeof text, NULL));
    STATUS(RADDLE_ERR_ARGUMENT, raddle_protocol_accept(server, "other"));
    OK(raddle_protocol_accept(server, "chat"));
    expect(server, RADDLE_OPENED, 0, "");
    carry(server, client, SIZE_MAX);
    expect(client, RADDLE_OPENED, 0, "");
    OK(raddle_protocol_header(client, "Set-Cookie", text, sizeof text, NULL));
    CHECK(strcmp(text, "a=b") == 0);
    OK(raddle_protocol_response_status(client, &status));
    OK(raddle_protocol_subprotocol(client, text, sizeof text, NULL));
    CHECK(strcmp(text, "chat") == 0 && status == 101);
    free_both();

    OK(raddle_protocol_client(of_client, "example.com", "/", NULL, &client));
    OK(raddle_protocol_server(config, &server));
    carry(client, server, SIZE_MAX);
    expect(server, RADDLE_REQUEST, 0, "");
    STATUS(RADDLE_ERR_ARGUMENT, raddle_protocol_respond(server, 101, NULL, NULL, 0));
    STATUS(RADDLE_ERR_ARGUMENT, raddle_protocol_respond(server, 65536 + 404, NULL, NULL, 0));
    OK(raddle_protocol_respond(server, 404, "text/plain", bytes("no\n"), 3));
    {
        raddle_message_t event;
        STATUS(RADDLE_ERR_CLOSED, raddle_protocol_next(server, &event));
        carry(server, client, SIZE_MAX);
        STATUS(RADDLE_ERR_HANDSHAKE, raddle_protocol_next(client, &event));
    }
    OK(raddle_protocol_response_status(client, &status));
    CHECK(status == 404);
    expect_state(client, RADDLE_STATE_CLOSED);
    free_both();
    OK(raddle_protocol_config_free(config));
    OK(raddle_protocol_config_free(of_client));
}

static void keys_and_time_are_the_programs(void) {
    raddle_protocol_config_t *config = NULL;
    const uint8_t *out = NULL;
    uint64_t wait = 0;
    size_t length = 0, left = 77;
    OK(raddle_protocol_config_new(RADDLE_CLIENT, &config));
    OK(raddle_protocol_config_own_keys(config));
    OK(raddle_protocol_config_keepalive(config, 20000, 10000));
    STATUS(RADDLE_ERR_ARGUMENT, raddle_protocol_config_keepalive(config, 20000, 0));
    open_both(config, NULL);
    STATUS(RADDLE_ERR_STATE, raddle_protocol_send(client, RADDLE_TEXT, bytes("Hello"), 5));
    STATUS(RADDLE_ERR_ARGUMENT, raddle_protocol_add_keys(client, bytes("abc"), 3, &left));
    STATUS(RADDLE_ERR_STATE, raddle_protocol_add_keys(server, bytes("abcd"), 4, &left));
    CHECK(left == 77);
    /* RFC 6455, section 5.7. */
    OK(raddle_protocol_add_keys(client, bytes("\x37\xfa\x21\x3d" "abcd"), 8, &left));
    CHECK(left == 2);
    OK(raddle_protocol_send(client, RADDLE_TEXT, bytes("Hello"), 5));
    OK(raddle_protocol_output(client, &out, &length));
    CHECK(length == 11 && memcmp(out, "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", 11) == 0);
    STATUS(RADDLE_ERR_ARGUMENT, raddle_protocol_written(client, 12));
    OK(raddle_protocol_written(client, 11));
    OK(raddle_protocol_tick(client, 1000, &wait));
    CHECK(wait == 20000);
    OK(raddle_protocol_tick(client, 21000, &wait));
    CHECK(wait == 10000);
    STATUS(RADDLE_ERR_TIMEOUT, raddle_protocol_tick(client, 31000, NULL));
    OK(raddle_protocol_tick(server, 31000, &wait));
    CHECK(wait == RADDLE_NO_LIMIT);
    free_both();
    OK(raddle_protocol_config_free(config));
}

static void what_breaks_a_rule_is_final(void) {
    raddle_message_t event;
    const uint8_t *out = NULL;
    size_t length = 0;
    int i;
    open_both(NULL, NULL);
    OK(raddle_protocol_feed(server, bytes("\x81\x05Hello"), 7));
    for (i = 0; i < 3; i++) STATUS(RADDLE_ERR_PROTOCOL, raddle_protocol_next(server, &event));
    CHECK(strcmp(raddle_last_error(), "a client's frame must be masked") == 0);
    expect_state(server, RADDLE_STATE_CLOSED);
    carry(server, client, SIZE_MAX);
    OK(raddle_protocol_next(client, &event));
    CHECK(event.kind == RADDLE_CLOSE && event.detail == 1002);
    free_both();
    OK(raddle_protocol_server(NULL, &server));
    OK(raddle_protocol_feed(server, bytes("DELETE / HTTP/1.1\r\n"), 19));
    STATUS(RADDLE_ERR_HANDSHAKE, raddle_protocol_next(server, &event));
    OK(raddle_protocol_output(server, &out, &length));
    CHECK(length > 12 && memcmp(out, "HTTP/1.1 405", 12) == 0);
    STATUS(RADDLE_ERR_ARGUMENT, raddle_protocol_filled(server, 1));
    STATUS(RADDLE_ERR_ARGUMENT, raddle_protocol_close(server, 0, "a reason without a code"));
    STATUS(RADDLE_ERR_STATE, raddle_protocol_close(server, 1000, NULL));
    OK(raddle_protocol_free(server));
    STATUS(RADDLE_ERR_ARGUMENT, raddle_protocol_client(NULL, "a host", "/", NULL, &client));
    STATUS(RADDLE_ERR_ARGUMENT, raddle_protocol_client(NULL, "example.com", "no slash", NULL, &client));
    STATUS(RADDLE_ERR_UTF8, raddle_protocol_client(NULL, "example.com", "/\xff", NULL, &client));
}

int main(void) {
    raddle_protocol_config_t *deflating[2] = {NULL, NULL};
    size_t at_most;
    OK(raddle_protocol_config_new(RADDLE_CLIENT, &deflating[0]));
    OK(raddle_protocol_config_new(RADDLE_SERVER, &deflating[1]));
    OK(raddle_protocol_config_deflate(deflating[0], 0, 1, 0, 0, 0));
    OK(raddle_protocol_config_deflate(deflating[1], 9, 1, RADDLE_SERVER_NO_CONTEXT_TAKEOVER, 9, 0));
    for (at_most = 1; at_most < 1000000; at_most *= 100) {
        both_sides_talk_and_close(at_most, NULL, NULL);
        both_sides_talk_and_close(at_most, deflating[0], deflating[1]);
    }
    OK(raddle_protocol_config_free(deflating[0]));
    OK(raddle_protocol_config_free(deflating[1]));
    an_event_stays_while_others_are_sent();
    the_program_decides();
    keys_and_time_are_the_programs();
    what_breaks_a_rule_is_final();
    return 0;
}

/* What the program that every_function.py writes is about: handles that are in order, fresh ones for each call. */
#include "peer.h"

/* Of the feature test-hooks. */
void raddle_test_panic(uint32_t depth);

/* Something that is no handle. */
#define FORGED_ONE ((void *)(uintptr_t)1)
#define FORGED_ALL ((void *)UINTPTR_MAX)
#define FORGED_RANDOM ((void *)(uintptr_t)0x5a3cf00d12345678)

/* Any status but RADDLE_OK. */
#define FAILS 1

/* Arguments that are in order, by their place in the call. */
static unsigned char places[16][4096] __attribute__((aligned(16), unused));

static uint16_t port;
static raddle_server_t *acceptor, *asked;
static int asking = -1;

static inline void expect(int expected, int status, const char *what) {
    if (expected == FAILS ? status < 0 : status == expected) return;
    fprintf(stderr, "%s: %d (%s: %s), not %d\n", what, status, raddle_strerror(status), raddle_last_error(), expected);
    abort();
}

static inline void set_up(void) {
    acceptor = serve(RADDLE_ENGINE_ACCEPT, NULL, NULL, NULL, NULL, NULL, &port);
}

/* A connection that is open, and the program's to free. */
static inline raddle_conn_t fresh_conn(void) {
    static raddle_conn_t last;
    static int peer = -1;
    raddle_conn_t conn = 0;
    if (last != 0) {
        /* Unless the call before has done it. */
        raddle_conn_free(last);
        close(peer);
    }
    peer = peer_dial(port);
    peer_request(peer, "/", "");
    OK(raddle_server_accept(acceptor, 10000, &conn));
    last = conn;
    return conn;
}

/* One that has ended, and was freed. */
static inline raddle_conn_t ended_conn(void) {
    raddle_conn_t conn = fresh_conn();
    OK(raddle_conn_free(conn));
    return conn;
}

static inline raddle_server_config_t *fresh_config(void) {
    static raddle_server_config_t *last;
    raddle_server_config_free(last);
    OK(raddle_server_config_new(&last));
    OK(raddle_server_config_listen(last, "127.0.0.1", 0, NULL));
    return last;
}

static inline raddle_server_config_t *freed_raddle_server_config_t(void) {
    raddle_server_config_t *config = NULL;
    OK(raddle_server_config_new(&config));
    OK(raddle_server_config_free(config));
    return config;
}

static inline raddle_server_tls_t *fresh_tls(void) {
    static raddle_server_tls_t *last;
    raddle_server_tls_free(last);
    OK(raddle_server_tls_new(&last));
    return last;
}

static inline raddle_server_tls_t *freed_raddle_server_tls_t(void) {
    raddle_server_tls_t *tls = NULL;
    OK(raddle_server_tls_new(&tls));
    OK(raddle_server_tls_free(tls));
    return tls;
}

static inline raddle_server_t *fresh_server(void) {
    static raddle_server_t *last;
    raddle_server_free(last);
    OK(raddle_server_new(fresh_config(), &last));
    return last;
}

static inline raddle_server_t *freed_raddle_server_t(void) {
    raddle_server_t *server = NULL;
    OK(raddle_server_new(fresh_config(), &server));
    OK(raddle_server_free(server));
    return server;
}

/* A request that waits for its decision, from a queue. */
static inline raddle_request_t *fresh_request(void) {
    static raddle_request_t *last;
    raddle_message_t event;
    size_t count = 0;
    uint16_t asked_port = 0;
    raddle_request_free(last);
    if (asked == NULL) {
        raddle_server_config_t *config = NULL;
        OK(raddle_server_config_new(&config));
        OK(raddle_server_config_listen(config, "127.0.0.1", 0, NULL));
        OK(raddle_server_config_engine(config, RADDLE_ENGINE_QUEUE));
        OK(raddle_server_config_requests_as_events(config, 1));
        OK(raddle_server_new(config, &asked));
        OK(raddle_server_start(asked));
        OK(raddle_server_config_free(config));
    }
    OK(raddle_server_port(asked, &asked_port));
    if (asking >= 0) close(asking);
    asking = peer_dial(asked_port);
    peer_write(asking, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", 35);
    do {
        OK(raddle_server_poll(asked, &event, 1, 10000, &count));
    } while (event.kind != RADDLE_REQUEST);
    last = (raddle_request_t *)(uintptr_t)event.data;
    return last;
}

static inline raddle_request_t *freed_raddle_request_t(void) {
    raddle_request_t *request = fresh_request();
    OK(raddle_request_free(request));
    return request;
}

static inline raddle_client_t *fresh_client(void) {
    static raddle_client_t *last;
    raddle_client_free(last);
    OK(raddle_client_new(&last));
    return last;
}

static inline raddle_client_t *freed_raddle_client_t(void) {
    raddle_client_t *client = NULL;
    OK(raddle_client_new(&client));
    OK(raddle_client_free(client));
    return client;
}

/* An attempt that comes to nothing: nobody listens there. */
static inline raddle_attempt_t *fresh_attempt(void) {
    static raddle_attempt_t *last;
    raddle_attempt_free(last);
    OK(raddle_attempt_start(NULL, "ws://127.0.0.1:1/", &last));
    return last;
}

static inline raddle_attempt_t *freed_raddle_attempt_t(void) {
    raddle_attempt_t *attempt = NULL;
    OK(raddle_attempt_start(NULL, "ws://127.0.0.1:1/", &attempt));
    OK(raddle_attempt_free(attempt));
    return attempt;
}

static inline raddle_reconnect_t *fresh_reconnect(void) {
    static raddle_reconnect_t *last;
    raddle_reconnect_free(last);
    OK(raddle_reconnect_new(NULL, "ws://127.0.0.1:1/", 0, 0, 0, &last));
    return last;
}

static inline raddle_reconnect_t *freed_raddle_reconnect_t(void) {
    raddle_reconnect_t *reconnect = NULL;
    OK(raddle_reconnect_new(NULL, "ws://127.0.0.1:1/", 0, 0, 0, &reconnect));
    OK(raddle_reconnect_free(reconnect));
    return reconnect;
}

static inline raddle_ping_t *fresh_ping(void) {
    static raddle_ping_t *last;
    raddle_ping_free(last);
    OK(raddle_ping_begin(fresh_conn(), &last));
    return last;
}

static inline raddle_ping_t *freed_raddle_ping_t(void) {
    raddle_ping_t *ping = NULL;
    OK(raddle_ping_begin(fresh_conn(), &ping));
    OK(raddle_ping_free(ping));
    return ping;
}

static inline raddle_protocol_config_t *fresh_protocol_config(void) {
    static raddle_protocol_config_t *last;
    raddle_protocol_config_free(last);
    OK(raddle_protocol_config_new(RADDLE_SERVER, &last));
    return last;
}

static inline raddle_protocol_config_t *freed_raddle_protocol_config_t(void) {
    raddle_protocol_config_t *config = NULL;
    OK(raddle_protocol_config_new(RADDLE_SERVER, &config));
    OK(raddle_protocol_config_free(config));
    return config;
}

static inline raddle_protocol_t *fresh_protocol(void) {
    static raddle_protocol_t *last;
    raddle_protocol_free(last);
    OK(raddle_protocol_server(NULL, &last));
    return last;
}

static inline raddle_protocol_t *freed_raddle_protocol_t(void) {
    raddle_protocol_t *protocol = NULL;
    OK(raddle_protocol_server(NULL, &protocol));
    OK(raddle_protocol_free(protocol));
    return protocol;
}

static inline void tear_down(void) {
    raddle_ping_free(fresh_ping());
    raddle_client_free(fresh_client());
    raddle_attempt_free(fresh_attempt());
    raddle_reconnect_free(fresh_reconnect());
    raddle_protocol_free(fresh_protocol());
    raddle_protocol_config_free(fresh_protocol_config());
    fresh_conn();
    raddle_request_free(fresh_request());
    raddle_server_free(asked);
    raddle_server_free(acceptor);
    raddle_server_free(fresh_server());
    raddle_server_config_free(fresh_config());
    raddle_server_tls_free(fresh_tls());
}

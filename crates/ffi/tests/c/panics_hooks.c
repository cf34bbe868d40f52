/* Hostile input 308: a panic inside the library, in a call on each kind of handle, is a status, and the handle can be freed only. For a
   library with the feature test-hooks. */
#include "peer.h"

void raddle_test_panic(uint32_t depth);

static int32_t panicking(const raddle_message_t *event, void *user) {
    (void)user;
    if (event->kind == RADDLE_TEXT) {
        raddle_test_panic(2);
        STATUS(RADDLE_ERR_INTERNAL, raddle_send(event->conn, RADDLE_TEXT, event->data, event->length));
        STATUS(RADDLE_ERR_POISONED, raddle_send(event->conn, RADDLE_TEXT, event->data, event->length));
        return 1;
    }
    return 0;
}

/* A request that a panic has left in pieces can neither be decided on nor kept. */
static void panicking_request(raddle_request_t *request, void *user) {
    (void)user;
    raddle_test_panic(2);
    STATUS(RADDLE_ERR_INTERNAL, raddle_request_set_identity(request, "somebody"));
    STATUS(RADDLE_ERR_POISONED, raddle_request_keep(request));
}

static void requests(void) {
    raddle_server_config_t *config = NULL;
    raddle_server_t *server = NULL;
    uint16_t port;
    int peer;
    OK(raddle_server_config_new(&config));
    OK(raddle_server_config_listen(config, "127.0.0.1", 0, NULL));
    OK(raddle_server_config_on_request(config, panicking_request, NULL, NULL));
    OK(raddle_server_new(config, &server));
    OK(raddle_server_config_free(config));
    OK(raddle_server_start(server));
    OK(raddle_server_port(server, &port));
    peer = peer_dial(port);
    peer_request(peer, "/", "");
    CHECK(peer_answer(peer, NULL, 0) == 500);
    close(peer);
    finish(server);
}

int main(void) {
    raddle_server_config_t *config = NULL;
    raddle_server_tls_t *tls = NULL;
    raddle_server_t *server = NULL;
    raddle_conn_t conn;
    raddle_message_t event;
    size_t count, engine;
    uint16_t port;
    int peer;
    const uint32_t engines[] = {RADDLE_ENGINE_THREADS, RADDLE_ENGINE_POOL};

    OK(raddle_server_config_new(&config));
    raddle_test_panic(2);
    STATUS(RADDLE_ERR_INTERNAL, raddle_server_config_engine(config, RADDLE_ENGINE_POOL));
    CHECK(strstr(raddle_last_error(), "a test has asked for a panic") != NULL);
    STATUS(RADDLE_ERR_POISONED, raddle_server_config_engine(config, RADDLE_ENGINE_POOL));
    STATUS(RADDLE_ERR_POISONED, raddle_server_new(config, &server));
    OK(raddle_server_config_free(config));
    STATUS(RADDLE_ERR_HANDLE, raddle_server_config_free(config));

    OK(raddle_server_tls_new(&tls));
    raddle_test_panic(2);
    STATUS(RADDLE_ERR_INTERNAL, raddle_server_tls_certificate_files(tls, "chain", "key"));
    STATUS(RADDLE_ERR_POISONED, raddle_server_tls_reload(tls));
    OK(raddle_server_tls_free(tls));

    server = serve(RADDLE_ENGINE_ACCEPT, NULL, NULL, NULL, NULL, NULL, &port);
    peer = peer_dial(port);
    peer_request(peer, "/", "");
    OK(raddle_server_accept(server, 10000, &conn));
    raddle_test_panic(2);
    STATUS(RADDLE_ERR_INTERNAL, raddle_recv(conn, 0, &event));
    STATUS(RADDLE_ERR_POISONED, raddle_recv(conn, 0, &event));
    OK(raddle_conn_free(conn));
    STATUS(RADDLE_ERR_CLOSED, raddle_conn_free(conn));
    raddle_test_panic(2);
    STATUS(RADDLE_ERR_INTERNAL, raddle_server_port(server, &port));
    STATUS(RADDLE_ERR_POISONED, raddle_server_stop(server, 0));
    OK(raddle_server_free(server));
    close(peer);

    requests();
    /* A connection of the server's: the server, and its other connections, go on. */
    for (engine = 0; engine < 2; engine++) {
        int other;
        server = serve(engines[engine], NULL, panicking, NULL, NULL, NULL, &port);
        peer = peer_open(port);
        other = peer_open(port);
        peer_send(peer, RADDLE_TEXT, "panic", 5);
        CHECK(peer_closed(peer) == 1011);
        peer_send(other, RADDLE_PING, "", 0);
        CHECK(peer_receive(other, &event, sizeof event, &count) == RADDLE_PONG);
        peer_close(other);
        close(peer);
        finish(server);
    }
    return 0;
}

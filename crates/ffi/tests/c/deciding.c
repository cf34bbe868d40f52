/* Requests that go to the thread that has their connection afterwards, and what both sides have said in the end. */
#include "peer.h"

#include <pthread.h>

static raddle_server_t *server;

static void *ask(void *target) {
    raddle_client_t *client = NULL;
    raddle_conn_t conn = 0;
    char url[64], subprotocol[16];
    uint16_t port = 0;
    OK(raddle_server_port(server, &port));
    snprintf(url, sizeof url, "ws://127.0.0.1:%d%s", port, (const char *)target);
    OK(raddle_client_new(&client));
    OK(raddle_client_subprotocol(client, "chat"));
    if (strcmp(target, "/out") == 0) {
        STATUS(RADDLE_ERR_HANDSHAKE, raddle_connect(client, url, 10000, &conn));
        CHECK(raddle_connect_status() == 403);
    } else {
        OK(raddle_connect(client, url, 10000, &conn));
        OK(raddle_conn_subprotocol(conn, subprotocol, sizeof subprotocol, NULL));
        CHECK(strcmp(subprotocol, "chat") == 0);
        OK(raddle_pong(conn, (const uint8_t *)"unasked", 7));
        OK(raddle_close_wait(conn, 4001, "enough", 10000));
        OK(raddle_conn_free(conn));
    }
    OK(raddle_client_free(client));
    return NULL;
}

/* Decides on one request, which is of this target. */
static void decide(const char *target) {
    raddle_request_t *request = NULL;
    raddle_message_t message;
    raddle_conn_t conn = 0;
    char head[1024], line[64], reason[16];
    uint32_t cause = 0;
    uint16_t code = 0;
    OK(raddle_server_next_request(server, 10000, &request));
    OK(raddle_request_head(request, head, sizeof head, NULL));
    snprintf(line, sizeof line, "GET %s HTTP/1.1\r\n", target);
    CHECK(strncmp(head, line, strlen(line)) == 0);
    CHECK(strstr(head, "\r\nSec-WebSocket-Protocol: chat\r\n") != NULL || strstr(head, "sec-websocket-protocol") != NULL);
    STATUS(RADDLE_ERR_BUFFER, raddle_request_head(request, head, 4, NULL));
    if (strcmp(target, "/out") == 0) {
        OK(raddle_request_refuse(request, 403));
        return;
    }
    OK(raddle_request_set_subprotocol(request, "chat"));
    STATUS(RADDLE_ERR_ARGUMENT, raddle_request_open(request, NULL));
    OK(raddle_request_open(request, &conn));
    STATUS(RADDLE_ERR_HANDLE, raddle_request_open(request, &conn));
    STATUS(RADDLE_ERR_STATE, raddle_conn_sent_code(conn, &code));
    STATUS(RADDLE_ERR_CLOSED, raddle_recv(conn, 10000, &message));
    OK(raddle_conn_end(conn, &cause, &code, NULL, NULL, 0, NULL));
    CHECK(cause == RADDLE_CAUSE_PEER_CLOSE && code == 4001);
    OK(raddle_conn_close_reason(conn, reason, sizeof reason, NULL));
    CHECK(strcmp(reason, "enough") == 0);
    OK(raddle_conn_sent_code(conn, &code));
    CHECK(code == 4001);
    OK(raddle_conn_free(conn));
}

/* An end without a Close: neither side has sent a code. */
static void without_a_close(void) {
    raddle_request_t *request = NULL;
    raddle_message_t message;
    raddle_conn_t conn = 0;
    uint16_t port = 0, code = 0;
    char reason[16];
    int peer;
    OK(raddle_server_port(server, &port));
    peer = peer_dial(port);
    peer_request(peer, "/", "");
    OK(raddle_server_next_request(server, 10000, &request));
    OK(raddle_request_open(request, &conn));
    close(peer);
    STATUS(RADDLE_ERR_CLOSED, raddle_recv(conn, 10000, &message));
    STATUS(RADDLE_ERR_NOT_FOUND, raddle_conn_close_reason(conn, reason, sizeof reason, NULL));
    STATUS(RADDLE_ERR_NOT_FOUND, raddle_conn_sent_code(conn, &code));
    OK(raddle_conn_free(conn));
}

/* What a request was given is destroyed once nobody can get its connection any more, be the server there still. */
static void destroy(void *counter) {
    __atomic_add_fetch((int *)counter, 1, __ATOMIC_SEQ_CST);
}

static void never_opened(void) {
    raddle_request_t *request = NULL;
    uint16_t port = 0;
    int peer, destroyed = 0;
    raddle_server_t *other = serve(RADDLE_ENGINE_ACCEPT, NULL, NULL, NULL, NULL, NULL, &port);
    peer = peer_dial(port);
    peer_request(peer, "/", "");
    OK(raddle_server_next_request(other, 10000, &request));
    OK(raddle_request_set_user(request, &destroyed, destroy));
    OK(raddle_request_accept(request));
    CHECK(peer_answer(peer, NULL, 0) == 101);
    CHECK(__atomic_load_n(&destroyed, __ATOMIC_SEQ_CST) == 0);
    OK(raddle_server_stop(other, 0));
    OK(raddle_server_join(other, 10000));
    EVENTUALLY(__atomic_load_n(&destroyed, __ATOMIC_SEQ_CST) == 1);
    OK(raddle_server_free(other));
    pause_ms(20);
    CHECK(__atomic_load_n(&destroyed, __ATOMIC_SEQ_CST) == 1);
    close(peer);
}

static void *wait_for_requests(void *unused) {
    raddle_request_t *request = NULL;
    STATUS(RADDLE_ERR_CLOSED, raddle_server_next_request(server, -1, &request));
    return unused;
}

int main(void) {
    const char *targets[] = {"/in", "/out"};
    raddle_request_t *request = NULL;
    raddle_server_t *other;
    pthread_t thread;
    uint16_t port = 0;
    size_t i;
    server = serve(RADDLE_ENGINE_ACCEPT, NULL, NULL, NULL, NULL, NULL, &port);
    STATUS(RADDLE_ERR_TIMEOUT, raddle_server_next_request(server, 20, &request));
    for (i = 0; i < 2; i++) {
        CHECK(pthread_create(&thread, NULL, ask, (void *)(uintptr_t)targets[i]) == 0);
        decide(targets[i]);
        pthread_join(thread, NULL);
    }
    without_a_close();
    never_opened();
    CHECK(pthread_create(&thread, NULL, wait_for_requests, NULL) == 0);
    pause_ms(20);
    OK(raddle_server_stop(server, 0));
    pthread_join(thread, NULL);
    finish(server);

    other = serve(RADDLE_ENGINE_THREADS, NULL, echo, NULL, NULL, NULL, &port);
    STATUS(RADDLE_ERR_STATE, raddle_server_next_request(other, 0, &request));
    finish(other);
    return 0;
}

/* Clients: what a server is told and tells, refusals, attempts that are waited for in slices or given up, and connecting again. */
#include "peer.h"
#include "test.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <sys/socket.h>

static uint16_t port;
static char url[64];

/* Refuses whoever has no token, and tells others what they have said. */
static void decide(raddle_request_t *request, void *user) {
    char text[256];
    (void)user;
    if (raddle_request_header(request, "Authorization", text, sizeof text, NULL) != RADDLE_OK) {
        OK(raddle_request_respond(request, 401, "text/plain", (const uint8_t *)"who are you?\n", 13));
        return;
    }
    OK(raddle_request_add_header(request, "X-Authorization", text));
    if (raddle_request_header(request, "Cookie", text, sizeof text, NULL) == RADDLE_OK) {
        OK(raddle_request_add_header(request, "X-Cookie", text));
    }
    OK(raddle_request_accept(request));
}

static raddle_server_t *serve_with_decisions(const char *path) {
    raddle_server_config_t *config = NULL;
    raddle_server_t *server = NULL;
    OK(raddle_server_config_new(&config));
    OK(raddle_server_config_listen(config, "127.0.0.1", 0, NULL));
    OK(raddle_server_config_listen_unix(config, path));
    OK(raddle_server_config_subprotocol(config, "chat"));
    OK(raddle_server_config_allow_any_origin(config));
    OK(raddle_server_config_callbacks(config, NULL, echo, NULL, NULL, NULL, NULL));
    OK(raddle_server_config_on_request(config, decide, NULL, NULL));
    OK(raddle_server_new(config, &server));
    OK(raddle_server_config_free(config));
    OK(raddle_server_start(server));
    OK(raddle_server_port(server, &port));
    snprintf(url, sizeof url, "ws://127.0.0.1:%u/", (unsigned)port);
    return server;
}

static void expect_echo(raddle_conn_t conn) {
    raddle_message_t message;
    OK(raddle_send(conn, RADDLE_TEXT, (const uint8_t *)"Hello", 5));
    OK(raddle_recv(conn, 10000, &message));
    CHECK(message.conn == conn && message.kind == RADDLE_TEXT && message.length == 5);
    CHECK(memcmp(message.data, "Hello", 5) == 0);
}

static void expect_header(raddle_conn_t conn, const char *name, const char *value) {
    char text[256];
    size_t length = 0;
    OK(raddle_conn_response_header(conn, name, text, sizeof text, &length));
    CHECK(strcmp(text, value) == 0 && length == strlen(value));
    STATUS(RADDLE_ERR_BUFFER, raddle_conn_response_header(conn, name, text, length, &length));
}

static void what_is_set_is_said_and_what_is_answered_is_told(const char *path) {
    raddle_client_t *client = NULL;
    raddle_reconnect_t *again = NULL;
    raddle_conn_t conn = 0, other = 0;
    char text[256];
    size_t lines = 0;
    int connected;
    OK(raddle_client_new(&client));
    OK(raddle_client_bearer(client, "a-token"));
    OK(raddle_client_subprotocol(client, "other"));
    OK(raddle_client_subprotocol(client, "chat"));
    OK(raddle_client_require_subprotocol(client));
    OK(raddle_client_cookie(client, "a", "1"));
    OK(raddle_client_cookie(client, "b", "2"));
    OK(raddle_client_origin(client, "https://example.com"));
    OK(raddle_client_deflate(client, 0, 0, 0, 0, 0));
    OK(raddle_connect(client, url, 10000, &conn));
    expect_header(conn, "x-authorization", "Bearer a-token");
    expect_header(conn, "X-Cookie", "a=1; b=2");
    STATUS(RADDLE_ERR_NOT_FOUND, raddle_conn_response_header(conn, "X-None", text, sizeof text, NULL));
    while (raddle_conn_response_header_at(conn, lines, text, sizeof text, NULL) == RADDLE_OK) lines++;
    CHECK(lines >= 6);
    OK(raddle_conn_subprotocol(conn, text, sizeof text, NULL));
    CHECK(strcmp(text, "chat") == 0 && raddle_connect_status() == 0);
    expect_echo(conn);
    OK(raddle_conn_free(conn));

    /* What is set is kept by whatever was made of it. */
    OK(raddle_client_basic(client, "Aladdin", "open sesame"));
    OK(raddle_client_unix(client, path));
    OK(raddle_connect(client, "ws://localhost/", -1, &conn));
    OK(raddle_client_free(client));
    expect_header(conn, "X-Authorization", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    expect_echo(conn);
    OK(raddle_close_wait(conn, 1000, "done", 10000));
    OK(raddle_conn_free(conn));

    /* A socket that is connected already carries one connection, wherever the URL leads. */
    connected = peer_dial(port);
    OK(raddle_client_new(&client));
    STATUS(RADDLE_ERR_ARGUMENT, raddle_client_socket(client, -1));
    OK(raddle_client_socket(client, connected));
    close(connected);
    STATUS(RADDLE_ERR_IO, raddle_client_socket(client, connected));
    OK(raddle_client_header(client, "Authorization", "Bearer a-token"));
    STATUS(RADDLE_ERR_IO, raddle_reconnect_new(client, "ws://localhost:1/", 0, 0, 0, &again));
    OK(raddle_connect(client, "ws://localhost:1/", 10000, &conn));
    OK(raddle_conn_peer(conn, text, sizeof text, NULL));
    CHECK(strncmp(text, "127.0.0.1:", 10) == 0);
    expect_echo(conn);
    OK(raddle_conn_free(conn));
    STATUS(RADDLE_ERR_IO, raddle_connect(client, "ws://localhost:1/", 10000, &conn));
    OK(raddle_client_free(client));

    /* Who the client is can stand in the URL. */
    snprintf(text, sizeof text, "ws://user:password@127.0.0.1:%u/", (unsigned)port);
    OK(raddle_connect(NULL, text, 10000, &other));
    expect_header(other, "X-Authorization", "Basic dXNlcjpwYXNzd29yZA==");
    OK(raddle_conn_free(other));
}

static void a_refusal_is_told(void) {
    raddle_attempt_t *attempt = NULL;
    raddle_reconnect_t *reconnect = NULL;
    raddle_conn_t conn = 77;
    char text[256];
    uint32_t status = 0;
    size_t length = 0;
    STATUS(RADDLE_ERR_HANDSHAKE, raddle_connect(NULL, url, 10000, &conn));
    CHECK(conn == 77 && raddle_connect_status() == 401);
    CHECK(strcmp(raddle_last_error(), "the server has answered with status 401") == 0);
    OK(raddle_attempt_start(NULL, url, &attempt));
    STATUS(RADDLE_ERR_HANDSHAKE, raddle_attempt_wait(attempt, 10000, &conn));
    STATUS(RADDLE_ERR_HANDSHAKE, raddle_attempt_wait(attempt, 0, &conn));
    OK(raddle_attempt_status(attempt, &status));
    OK(raddle_attempt_header(attempt, "content-type", text, sizeof text, NULL));
    CHECK(status == 401 && strcmp(text, "text/plain") == 0);
    OK(raddle_attempt_header_at(attempt, 0, text, sizeof text, NULL));
    OK(raddle_attempt_body(attempt, text, sizeof text, &length));
    CHECK(length == 13 && strcmp(text, "who are you?\n") == 0);
    OK(raddle_attempt_free(attempt));
    STATUS(RADDLE_ERR_HANDLE, raddle_attempt_free(attempt));
    /* One that would come again and again gives up. */
    OK(raddle_reconnect_new(NULL, url, 5, 10, 0, &reconnect));
    STATUS(RADDLE_ERR_NOT_FOUND, raddle_reconnect_status(reconnect, &status));
    STATUS(RADDLE_ERR_HANDSHAKE, raddle_reconnect_next(reconnect, 10000, &conn));
    status = 0;
    OK(raddle_reconnect_status(reconnect, &status));
    CHECK(status == 401);
    OK(raddle_reconnect_header_at(reconnect, 0, text, sizeof text, NULL));
    CHECK(strchr(text, ':') != NULL);
    STATUS(RADDLE_ERR_NOT_FOUND, raddle_reconnect_header_at(reconnect, 99, text, sizeof text, NULL));
    OK(raddle_reconnect_body(reconnect, text, sizeof text, &length));
    CHECK(length == 13 && strcmp(text, "who are you?\n") == 0);
    /* Nobody has refused what comes of it next. */
    OK(raddle_reconnect_stop(reconnect));
    STATUS(RADDLE_ERR_CLOSED, raddle_reconnect_next(reconnect, 10000, &conn));
    STATUS(RADDLE_ERR_NOT_FOUND, raddle_reconnect_status(reconnect, &status));
    STATUS(RADDLE_ERR_NOT_FOUND, raddle_reconnect_body(reconnect, text, sizeof text, &length));
    OK(raddle_reconnect_free(reconnect));
}

static void what_is_not_in_order_is_found_before_anything_is_sent(void) {
    raddle_client_t *client = NULL;
    raddle_reconnect_t *reconnect = NULL;
    raddle_conn_t conn;
    OK(raddle_client_new(&client));
    STATUS(RADDLE_ERR_ARGUMENT, raddle_connect(NULL, "http://127.0.0.1/", -1, &conn));
    STATUS(RADDLE_ERR_ARGUMENT, raddle_connect(NULL, "ws://127.0.0.1:99999/", -1, &conn));
    STATUS(RADDLE_ERR_UTF8, raddle_connect(NULL, "ws://127.0.0.1/\xff", -1, &conn));
    STATUS(RADDLE_ERR_ARGUMENT, raddle_client_proxy(client, "ftp://127.0.0.1/"));
    STATUS(RADDLE_ERR_ARGUMENT, raddle_client_local_address(client, "127.0.0.1"));
    STATUS(RADDLE_ERR_ARGUMENT, raddle_client_deflate(client, 10, 0, 0, 0, 0));
    STATUS(RADDLE_ERR_ARGUMENT, raddle_client_when_full(client, 4));
    STATUS(RADDLE_ERR_ARGUMENT, raddle_client_connect_timeout(client, 0));
    STATUS(RADDLE_ERR_TLS, raddle_client_add_roots(client, (const uint8_t *)"none", 4));
    STATUS(RADDLE_ERR_IO, raddle_client_add_roots_file(client, "/no/such/file"));
    STATUS(RADDLE_ERR_TLS, raddle_client_certificate(client, NULL, 0, NULL, 0));
    STATUS(RADDLE_ERR_TLS, raddle_client_server_name(client, "no name"));
    OK(raddle_client_header(client, "Host", "x"));
    STATUS(RADDLE_ERR_ARGUMENT, raddle_connect(client, url, -1, &conn));
    STATUS(RADDLE_ERR_ARGUMENT, raddle_reconnect_new(client, url, 0, 0, 0, &reconnect));
    OK(raddle_client_free(client));
    STATUS(RADDLE_ERR_HANDLE, raddle_connect(client, url, -1, &conn));
    /* No root is trusted: TLS cannot begin. */
    OK(raddle_client_new(&client));
    OK(raddle_client_without_system_roots(client));
    STATUS(RADDLE_ERR_TLS, raddle_connect(client, "wss://127.0.0.1:1/", -1, &conn));
    OK(raddle_client_free(client));
}

/* A port where somebody listens, and nobody ever answers. */
static int listen_silently(char *silent, size_t size) {
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(bind(listener, (struct sockaddr *)&address, length) == 0 && listen(listener, 16) == 0);
    CHECK(getsockname(listener, (struct sockaddr *)&address, &length) == 0);
    snprintf(silent, size, "ws://127.0.0.1:%u/", (unsigned)ntohs(address.sin_port));
    return listener;
}

static void *wait_for(void *attempt) {
    raddle_conn_t conn;
    STATUS(RADDLE_ERR_CLOSED, raddle_attempt_wait(attempt, -1, &conn));
    return NULL;
}

static void an_attempt_is_waited_for_in_slices_and_given_up(void) {
    char silent[64];
    int listener = listen_silently(silent, sizeof silent), i;
    raddle_attempt_t *attempt = NULL;
    raddle_client_t *client = NULL;
    raddle_conn_t conn;
    pthread_t thread;
    STATUS(RADDLE_ERR_TIMEOUT, raddle_connect(NULL, silent, 50, &conn));
    OK(raddle_attempt_start(NULL, silent, &attempt));
    for (i = 0; i < 3; i++) STATUS(RADDLE_ERR_WOULD_BLOCK, raddle_attempt_wait(attempt, i * 20, &conn));
    STATUS(RADDLE_ERR_NOT_FOUND, raddle_attempt_status(attempt, &(uint32_t){0}));
    CHECK(pthread_create(&thread, NULL, wait_for, attempt) == 0);
    pause_ms(50);
    OK(raddle_attempt_free(attempt));
    pthread_join(thread, NULL);
    /* One that takes too long by its own settings has failed, and says so again and again. */
    OK(raddle_client_new(&client));
    OK(raddle_client_connect_timeout(client, 50));
    OK(raddle_attempt_start(client, silent, &attempt));
    for (i = 0; i < 2; i++) STATUS(RADDLE_ERR_TIMEOUT, raddle_attempt_wait(attempt, 10000, &conn));
    OK(raddle_attempt_free(attempt));
    OK(raddle_client_free(client));
    close(listener);
}

static pthread_barrier_t all_wait;

static void *wait_with_others(void *attempt) {
    raddle_conn_t conn = 0;
    int status;
    pthread_barrier_wait(&all_wait);
    status = raddle_attempt_wait(attempt, -1, &conn);
    if (status == RADDLE_OK) {
        expect_echo(conn);
        OK(raddle_conn_free(conn));
    }
    return (void *)(intptr_t)status;
}

static void of_all_that_wait_for_an_attempt_one_gets_the_connection(void) {
    raddle_server_t *server = serve(RADDLE_ENGINE_THREADS, NULL, echo, NULL, NULL, NULL, &port);
    int round, i;
    snprintf(url, sizeof url, "ws://127.0.0.1:%u/", (unsigned)port);
    for (round = 0; round < 10; round++) {
        raddle_attempt_t *attempt = NULL;
        pthread_t threads[3];
        int given = 0;
        CHECK(pthread_barrier_init(&all_wait, NULL, 3) == 0);
        OK(raddle_attempt_start(NULL, url, &attempt));
        for (i = 0; i < 3; i++) CHECK(pthread_create(&threads[i], NULL, wait_with_others, attempt) == 0);
        for (i = 0; i < 3; i++) {
            void *status;
            CHECK(pthread_join(threads[i], &status) == 0);
            if ((intptr_t)status == RADDLE_OK) given++;
            else STATUS(RADDLE_ERR_STATE, (intptr_t)status);
        }
        CHECK(given == 1);
        OK(raddle_attempt_free(attempt));
        pthread_barrier_destroy(&all_wait);
    }
    finish(server);
}

static void who_connects_again_comes_back_until_it_is_done(void) {
    raddle_client_t *client = NULL;
    raddle_reconnect_t *reconnect = NULL;
    raddle_conn_t first = 0, second = 0, third = 0;
    raddle_message_t message;
    raddle_conn_t conns[8];
    size_t count = 0, i;
    uint32_t cause = 0;
    char text[64];
    raddle_server_t *server = serve(RADDLE_ENGINE_THREADS, NULL, echo, NULL, NULL, NULL, &port);
    snprintf(url, sizeof url, "ws://127.0.0.1:%u/", (unsigned)port);
    OK(raddle_client_new(&client));
    OK(raddle_reconnect_new(client, url, 10, 20, 0, &reconnect));
    OK(raddle_client_free(client));
    OK(raddle_reconnect_next(reconnect, 10000, &first));
    expect_echo(first);
    /* Cut by the other side. */
    OK(raddle_server_connections(server, NULL, conns, 8, &count));
    for (i = 0; i < count; i++) OK(raddle_cut(conns[i]));
    STATUS(RADDLE_ERR_CLOSED, raddle_recv(first, 10000, &message));
    OK(raddle_conn_end(first, &cause, NULL, NULL, NULL, 0, NULL));
    CHECK(cause == RADDLE_CAUSE_END_OF_STREAM);
    OK(raddle_conn_free(first));
    OK(raddle_reconnect_next(reconnect, 10000, &second));
    CHECK(second != first);
    /* What has opened it is known of each. */
    OK(raddle_conn_response_header(second, "Upgrade", text, sizeof text, NULL));
    CHECK(strcmp(text, "websocket") == 0);
    expect_echo(second);
    /* Closed by this side: done. */
    OK(raddle_close_wait(second, 1000, NULL, 10000));
    STATUS(RADDLE_ERR_CLOSED, raddle_reconnect_next(reconnect, 10000, &third));
    OK(raddle_conn_free(second));
    OK(raddle_reconnect_free(reconnect));
    finish(server);

    /* Nobody is there, and it goes on while nobody waits for it. */
    OK(raddle_reconnect_new(NULL, url, 5, 10, 0, &reconnect));
    STATUS(RADDLE_ERR_TIMEOUT, raddle_reconnect_next(reconnect, 0, &third));
    STATUS(RADDLE_ERR_TIMEOUT, raddle_reconnect_next(reconnect, 50, &third));
    OK(raddle_reconnect_stop(reconnect));
    STATUS(RADDLE_ERR_CLOSED, raddle_reconnect_next(reconnect, 10000, &third));
    OK(raddle_reconnect_free(reconnect));
}

int main(void) {
    char path[64];
    raddle_server_t *server;
    snprintf(path, sizeof path, "/tmp/raddle-test-%d", (int)getpid());
    server = serve_with_decisions(path);
    what_is_set_is_said_and_what_is_answered_is_told(path);
    a_refusal_is_told();
    what_is_not_in_order_is_found_before_anything_is_sent();
    finish(server);
    unlink(path);
    an_attempt_is_waited_for_in_slices_and_given_up();
    of_all_that_wait_for_an_attempt_one_gets_the_connection();
    who_connects_again_comes_back_until_it_is_done();
    CHECK(raddle_conn_count() == 0);
    return 0;
}

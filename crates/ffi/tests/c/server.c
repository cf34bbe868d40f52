/* What a server does, engine by engine: the decision on requests, what is known of connections, topics, counters, and the ways to
   end. */
#include "peer.h"

#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/un.h>

static int count(const int *counter) {
    return __atomic_load_n(counter, __ATOMIC_SEQ_CST);
}

static void add(int *counter) {
    __atomic_add_fetch(counter, 1, __ATOMIC_SEQ_CST);
}

static void destroy(void *user) {
    add((int *)user);
}

/* Requests: each answer that there is, at once and later, by callback and as an event. */
static raddle_request_t *kept;
static int request_destroyed;

static void decide(raddle_request_t *request, void *user) {
    char path[32], value[32];
    uint32_t is_websocket = 7;
    CHECK(user == &kept);
    OK(raddle_request_path(request, path, sizeof path, NULL));
    OK(raddle_request_is_websocket(request, &is_websocket));
    if (strcmp(path, "/page") == 0) {
        OK(raddle_request_add_header(request, "X-Page", "yes"));
        STATUS(RADDLE_ERR_ARGUMENT, raddle_request_add_header(request, "X-Bad", "a\r\nb"));
        STATUS(RADDLE_ERR_ARGUMENT, raddle_request_respond(request, 99, NULL, NULL, 0));
        OK(raddle_request_respond(request, 200, "text/plain", (const uint8_t *)"page", 4));
        STATUS(RADDLE_ERR_HANDLE, raddle_request_accept(request));
    } else if (strcmp(path, "/no") == 0) {
        STATUS(RADDLE_ERR_ARGUMENT, raddle_request_refuse(request, 200));
        OK(raddle_request_set_user(request, &request_destroyed, destroy));
        OK(raddle_request_refuse(request, 403));
    } else if (strcmp(path, "/later") == 0) {
        OK(raddle_request_keep(request));
        __atomic_store_n(&kept, request, __ATOMIC_SEQ_CST);
    } else if (strcmp(path, "/who") == 0) {
        CHECK(is_websocket == 1);
        OK(raddle_request_header(request, "x-token", value, sizeof value, NULL));
        CHECK(strcmp(value, "secret") == 0);
        STATUS(RADDLE_ERR_NOT_FOUND, raddle_request_header(request, "X-None", value, sizeof value, NULL));
        STATUS(RADDLE_ERR_NOT_FOUND, raddle_request_client_name(request, value, sizeof value, NULL));
        OK(raddle_request_subprotocol_at(request, 1, value, sizeof value, NULL));
        CHECK(strcmp(value, "v2.chat") == 0);
        STATUS(RADDLE_ERR_NOT_FOUND, raddle_request_subprotocol_at(request, 2, value, sizeof value, NULL));
        OK(raddle_request_set_subprotocol(request, "v2.chat"));
        STATUS(RADDLE_ERR_ARGUMENT, raddle_request_set_identity(request, ""));
        OK(raddle_request_set_identity(request, "ada"));
        OK(raddle_request_set_user(request, &request_destroyed, destroy));
        OK(raddle_request_accept(request));
    } else if (strcmp(path, "/wrong") == 0) {
        OK(raddle_request_set_subprotocol(request, "not-offered"));
        STATUS(RADDLE_ERR_ARGUMENT, raddle_request_accept(request));
        STATUS(RADDLE_ERR_HANDLE, raddle_request_accept(request));
    }
    /* Whatever else: undecided. */
}

static int ask(uint16_t port, const char *target, const char *headers) {
    int peer = peer_dial(port), status;
    peer_request(peer, target, headers);
    status = peer_answer(peer, NULL, 0);
    close(peer);
    return status;
}

/* Hostile input 364, for the answers to requests: valgrind watches what is written (ci/c/memory). */
static void requests(uint32_t engine) {
    static const uint8_t fragment[60000];
    raddle_server_config_t *config = settings_of(engine);
    uint16_t port;
    raddle_server_t *server;
    char text[64], answer[1024];
    size_t length = 0, listed = 0;
    uint64_t metric = 0;
    raddle_conn_t conns[4];
    void *user = NULL;
    int peer;
    request_destroyed = 0;
    kept = NULL;
    OK(raddle_server_config_on_request(config, decide, &kept, NULL));
    OK(raddle_server_config_keep_headers(config, 1));
    OK(raddle_server_config_callbacks(config, NULL, echo, NULL, NULL, NULL, NULL));
    server = started(config, &port);
    CHECK(ask(port, "/page", "") == 200);
    CHECK(ask(port, "/no", "") == 403);
    EVENTUALLY(count(&request_destroyed) == 1);
    CHECK(ask(port, "/nothing", "") == 500);
    CHECK(ask(port, "/wrong", "") == 500);

    peer = peer_dial(port);
    peer_request(peer, "/later", "");
    EVENTUALLY(__atomic_load_n(&kept, __ATOMIC_SEQ_CST) != NULL);
    OK(raddle_request_target(kept, text, sizeof text, NULL));
    CHECK(strcmp(text, "/later") == 0);
    OK(raddle_request_accept(kept));
    STATUS(RADDLE_ERR_HANDLE, raddle_request_free(kept));
    CHECK(peer_answer(peer, NULL, 0) == 101);
    peer_echo(peer, "later");
    peer_close(peer);

    peer = peer_dial(port);
    peer_request(peer, "/who?x=1", "X-Token: secret\r\nSec-WebSocket-Protocol: chat, v2.chat\r\n");
    CHECK(peer_answer(peer, answer, sizeof answer) == 101);
    CHECK(strstr(answer, "Sec-WebSocket-Protocol: v2.chat\r\n") != NULL);
    peer_echo(peer, "who");
    OK(raddle_server_connections(server, "ada", conns, 4, &listed));
    CHECK(listed == 1);
    STATUS(RADDLE_ERR_BUFFER, raddle_server_connections(server, NULL, NULL, 0, &listed));
    CHECK(listed >= 1);
    OK(raddle_server_connections(server, "bob", conns + 1, 3, &listed));
    CHECK(listed == 0);
    OK(raddle_conn_target(conns[0], text, sizeof text, &length));
    CHECK(strcmp(text, "/who?x=1") == 0 && length == 8);
    OK(raddle_conn_subprotocol(conns[0], text, sizeof text, NULL));
    CHECK(strcmp(text, "v2.chat") == 0);
    OK(raddle_conn_identity(conns[0], text, sizeof text, NULL));
    CHECK(strcmp(text, "ada") == 0);
    OK(raddle_conn_header(conns[0], "X-TOKEN", text, sizeof text, NULL));
    CHECK(strcmp(text, "secret") == 0);
    STATUS(RADDLE_ERR_NOT_FOUND, raddle_conn_header(conns[0], "X-None", text, sizeof text, NULL));
    OK(raddle_conn_peer(conns[0], text, sizeof text, NULL));
    CHECK(strncmp(text, "127.0.0.1:", 10) == 0);
    OK(raddle_conn_user(conns[0], &user));
    CHECK(user == &request_destroyed && count(&request_destroyed) == 1);
    OK(raddle_conn_traffic(conns[0], &metric, NULL, NULL, NULL));
    CHECK(metric == 1);
    OK(raddle_conn_since(conns[0], &metric));
    CHECK(metric / 1000 + 60 > (uint64_t)time(NULL) && metric / 1000 < (uint64_t)time(NULL) + 60);
    STATUS(RADDLE_ERR_NOT_FOUND, raddle_conn_round_trip(conns[0], &metric));
    OK(raddle_conn_local_address(conns[0], text, sizeof text, &length));
    CHECK(strncmp(text, "127.0.0.1:", 10) == 0 && atoi(text + 10) == port && length == strlen(text));
    STATUS(RADDLE_ERR_NOT_FOUND, raddle_conn_deflate(conns[0], NULL, NULL, NULL));
    /* A message whose end has not come is buffered. */
    OK(raddle_server_metric(server, RADDLE_METRIC_ENDED_BY + RADDLE_CAUSE_OVER_BUDGET, &metric));
    CHECK(metric == 0);
    peer_write(peer, "\x02\xfe\xea\x60\0\0\0", 8);
    peer_write(peer, fragment, sizeof fragment);
    EVENTUALLY(raddle_server_metric(server, RADDLE_METRIC_BUFFERED_BYTES, &metric) == RADDLE_OK && metric > sizeof fragment / 2);
    peer_send(peer, 0, "", 0);
    peer_close(peer);
    EVENTUALLY(count(&request_destroyed) == 2);
    OK(raddle_server_metric(server, RADDLE_METRIC_ANSWERED, &metric));
    CHECK(metric == 1);
    OK(raddle_server_metric(server, RADDLE_METRIC_OPENED, &metric));
    CHECK(metric == 2);
    OK(raddle_server_metric(server, RADDLE_METRIC_REFUSED_APPLICATION, &metric));
    CHECK(metric == 3);
    EVENTUALLY(raddle_server_metric(server, RADDLE_METRIC_ENDED_BY + RADDLE_CAUSE_PEER_CLOSE, &metric) == RADDLE_OK && metric == 2);
    STATUS(RADDLE_ERR_ARGUMENT, raddle_server_metric(server, 0, &metric));
    STATUS(RADDLE_ERR_ARGUMENT, raddle_server_metric(server, RADDLE_METRIC_ENDED_BY, &metric));
    finish(server);
}

/* Who is paused is not read, whoever brings the events, and loses nothing. */
static int32_t pausing(const raddle_message_t *event, void *user) {
    (void)user;
    if (event->length == 5 && memcmp(event->data, "pause", 5) == 0) OK(raddle_pause(event->conn));
    return echo(event, user);
}

static void paused(uint32_t engine) {
    uint16_t port;
    raddle_server_t *server = serve(engine, NULL, pausing, NULL, NULL, NULL, &port);
    raddle_conn_t conn;
    uint32_t is_paused = 7;
    size_t listed = 0;
    char sink[8];
    int peer = peer_open(port);
    peer_echo(peer, "pause");
    OK(raddle_server_connections(server, NULL, &conn, 1, &listed));
    OK(raddle_conn_is_paused(conn, &is_paused));
    CHECK(listed == 1 && is_paused == 1);
    peer_send(peer, RADDLE_TEXT, "later", 5);
    pause_ms(50);
    CHECK(recv(peer, sink, sizeof sink, MSG_DONTWAIT) < 0);
    OK(raddle_resume(conn));
    OK(raddle_resume(conn));
    CHECK(peer_receive(peer, sink, sizeof sink, &listed) == RADDLE_TEXT && memcmp(sink, "later", 5) == 0);
    OK(raddle_conn_is_paused(conn, &is_paused));
    CHECK(is_paused == 0);
    peer_close(peer);
    finish(server);
}

/* Hostile input 259, in both server modes: the program has SIGPIPE at its default, which would end it. */
static void resets(uint32_t engine) {
    static const uint8_t message[70000];
    uint16_t port;
    raddle_server_t *server = serve(engine, NULL, NULL, NULL, NULL, NULL, &port);
    int round;
    CHECK(signal(SIGPIPE, SIG_DFL) != SIG_ERR);
    for (round = 0; round < 20; round++) {
        struct linger none = {1, 0};
        raddle_conn_t conn;
        raddle_status_t status = RADDLE_OK;
        size_t listed = 0, sent = 0, length = round % 2 ? sizeof message : 10;
        int peer = peer_open(port);
        while (listed == 0) {
            OK(raddle_server_connections(server, NULL, &conn, 1, &listed));
            pause_ms(1);
        }
        OK(raddle_send(conn, RADDLE_BINARY, message, length));
        CHECK(setsockopt(peer, SOL_SOCKET, SO_LINGER, &none, sizeof none) == 0);
        close(peer);
        while (status == RADDLE_OK && sent++ < 100000) status = raddle_send(conn, RADDLE_BINARY, message, length);
        CHECK(status == RADDLE_ERR_CLOSED || status == RADDLE_ERR_HANDLE);
        while (listed > 0) {
            OK(raddle_server_connections(server, NULL, &conn, 1, &listed));
            pause_ms(1);
        }
    }
    finish(server);
}

/* How many of an identity there may be. */
static void name_ada(raddle_request_t *request, void *user) {
    (void)user;
    OK(raddle_request_set_identity(request, "ada"));
    raddle_request_accept(request);
}

static void identities(void) {
    const uint32_t surpluses[] = {RADDLE_SURPLUS_REFUSE, RADDLE_SURPLUS_CLOSE, RADDLE_SURPLUS_REPLACE_OLDEST};
    size_t i;
    for (i = 0; i < 3; i++) {
        raddle_server_config_t *config = settings_of(RADDLE_ENGINE_POOL);
        uint16_t port;
        raddle_server_t *server;
        int first, second, status;
        OK(raddle_server_config_identity_policy(config, 1, surpluses[i]));
        OK(raddle_server_config_on_request(config, name_ada, NULL, NULL));
        OK(raddle_server_config_callbacks(config, NULL, echo, NULL, NULL, NULL, NULL));
        server = started(config, &port);
        first = peer_open(port);
        peer_echo(first, "first");
        second = peer_dial(port);
        peer_request(second, "/", "");
        status = peer_answer(second, NULL, 0);
        CHECK(status == (surpluses[i] == RADDLE_SURPLUS_REFUSE ? 409 : 101));
        if (surpluses[i] == RADDLE_SURPLUS_CLOSE) CHECK(peer_closed(second) == 4409);
        if (surpluses[i] == RADDLE_SURPLUS_REPLACE_OLDEST) {
            CHECK(peer_closed(first) == 4409);
            peer_echo(second, "second");
        } else {
            peer_echo(first, "still");
        }
        close(first);
        close(second);
        finish(server);
    }
}

static void topics(void) {
    uint16_t port, other_port;
    raddle_server_config_t *config = settings_of(RADDLE_ENGINE_QUEUE);
    raddle_server_t *server, *other = serve(RADDLE_ENGINE_ACCEPT, NULL, NULL, NULL, NULL, NULL, &other_port);
    raddle_conn_t conns[2], foreign;
    int peers[2], foreign_peer, i;
    char payload[16];
    size_t length, counted = 7;
    OK(raddle_server_config_max_topics(config, 2));
    server = started(config, &port);
    for (i = 0; i < 2; i++) {
        peers[i] = peer_dial(port);
        peer_request(peers[i], "/", "");
        conns[i] = next_event(server).conn;
        CHECK(peer_answer(peers[i], NULL, 0) == 101);
        OK(raddle_server_subscribe(server, conns[i], "news"));
    }
    foreign_peer = peer_dial(other_port);
    peer_request(foreign_peer, "/", "");
    OK(raddle_server_accept(other, 10000, &foreign));
    STATUS(RADDLE_ERR_HANDLE, raddle_server_subscribe(server, foreign, "news"));
    STATUS(RADDLE_ERR_HANDLE, raddle_server_publish(server, "news", RADDLE_TEXT, NULL, 0, foreign));
    STATUS(RADDLE_ERR_ARGUMENT, raddle_server_subscribe(server, conns[0], ""));
    OK(raddle_server_subscribers(server, "news", &counted));
    CHECK(counted == 2);
    OK(raddle_server_topic_at(server, conns[0], 0, payload, sizeof payload, &length));
    CHECK(strcmp(payload, "news") == 0 && length == 4);
    STATUS(RADDLE_ERR_NOT_FOUND, raddle_server_topic_at(server, conns[0], 1, payload, sizeof payload, NULL));
    STATUS(RADDLE_ERR_HANDLE, raddle_server_topic_at(server, foreign, 0, payload, sizeof payload, NULL));
    OK(raddle_server_subscribe(server, conns[1], "weather"));
    OK(raddle_server_subscribe(server, conns[1], "news"));
    STATUS(RADDLE_ERR_LIMIT, raddle_server_subscribe(server, conns[1], "more"));
    CHECK(strcmp(raddle_last_error(), "the connection has as many topics as it may have") == 0);
    OK(raddle_server_unsubscribe(server, conns[1], "weather"));
    OK(raddle_server_publish(server, "news", RADDLE_TEXT, (const uint8_t *)"both", 4, 0));
    OK(raddle_server_publish(server, "news", RADDLE_TEXT, (const uint8_t *)"one", 3, conns[1]));
    OK(raddle_server_unsubscribe(server, conns[0], "news"));
    STATUS(RADDLE_ERR_NOT_FOUND, raddle_server_unsubscribe(server, conns[0], "news"));
    OK(raddle_server_publish(server, "news", RADDLE_BINARY, (const uint8_t *)"two", 3, 0));
    OK(raddle_server_broadcast(server, RADDLE_TEXT, (const uint8_t *)"all", 3, 0));
    OK(raddle_server_flush(server));
    for (i = 0; i < 2; i++) {
        const char *expected[2][3] = {{"both", "one", "all"}, {"both", "two", "all"}};
        int which;
        for (which = 0; which < 3; which++) {
            CHECK(peer_receive(peers[i], payload, sizeof payload, &length) > 0);
            CHECK(length == strlen(expected[i][which]) && memcmp(payload, expected[i][which], length) == 0);
        }
        close(peers[i]);
    }
    OK(raddle_conn_free(foreign));
    STATUS(RADDLE_ERR_CLOSED, raddle_server_subscribe(server, foreign, "news"));
    close(foreign_peer);
    OK(raddle_server_free(server));
    finish(other);
}

/* A Unix socket behind a proxy whose word counts, a socket that listened before, and several at a time. */
static void listeners(void) {
    raddle_server_config_t *config = settings_of(RADDLE_ENGINE_ACCEPT);
    raddle_server_t *server;
    struct sockaddr_un address;
    struct sockaddr_in bound;
    socklen_t size = sizeof bound;
    struct stat file;
    char path[64], text[64];
    raddle_conn_t conn;
    uint16_t port;
    int peer, listening = socket(AF_INET, SOCK_STREAM, 0);
    snprintf(path, sizeof path, "/tmp/raddle-test-%d.sock", (int)getpid());
    memset(&bound, 0, sizeof bound);
    bound.sin_family = AF_INET;
    bound.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(bind(listening, (struct sockaddr *)&bound, size) == 0 && listen(listening, 10) == 0);
    CHECK(getsockname(listening, (struct sockaddr *)&bound, &size) == 0);
    OK(raddle_server_config_listen_unix(config, path));
    OK(raddle_server_config_listen_fd(config, listening, NULL));
    OK(raddle_server_config_trust_proxy(config, RADDLE_PROXY_X_FORWARDED_FOR, "unix"));
    STATUS(RADDLE_ERR_STATE, raddle_server_config_trust_proxy(config, RADDLE_PROXY_FORWARDED, "unix"));
    close(listening);
    server = started(config, &port);
    OK(raddle_server_address(server, 1, text, sizeof text, NULL));
    CHECK(atoi(strchr(text, ':') + 1) == ntohs(bound.sin_port));
    STATUS(RADDLE_ERR_NOT_FOUND, raddle_server_address(server, 2, text, sizeof text, NULL));
    peer = peer_dial(ntohs(bound.sin_port));
    peer_request(peer, "/", "");
    OK(raddle_server_accept(server, 10000, &conn));
    OK(raddle_conn_free(conn));
    CHECK(peer_answer(peer, NULL, 0) == 101 && peer_closed(peer) == 1001);
    close(peer);
    peer = socket(AF_UNIX, SOCK_STREAM, 0);
    memset(&address, 0, sizeof address);
    address.sun_family = AF_UNIX;
    strcpy(address.sun_path, path);
    CHECK(connect(peer, (struct sockaddr *)&address, sizeof address) == 0);
    peer_request(peer, "/", "X-Forwarded-For: 192.0.2.7\r\n");
    OK(raddle_server_accept(server, 10000, &conn));
    OK(raddle_conn_peer(conn, text, sizeof text, NULL));
    CHECK(strcmp(text, "192.0.2.7:0") == 0);
    STATUS(RADDLE_ERR_NOT_FOUND, raddle_conn_local_address(conn, text, sizeof text, NULL));
    OK(raddle_conn_free(conn));
    close(peer);
    finish(server);
    EVENTUALLY(stat(path, &file) != 0);
}

/* Blocking, on a thread of the program's. */
static void blocking(void) {
    uint16_t port;
    raddle_server_t *server = serve(RADDLE_ENGINE_ACCEPT, NULL, NULL, NULL, NULL, NULL, &port);
    raddle_message_t message;
    raddle_conn_t conn = 77, other;
    uint32_t cause = 0;
    int peer;
    STATUS(RADDLE_ERR_TIMEOUT, raddle_server_accept(server, 0, &conn));
    STATUS(RADDLE_ERR_TIMEOUT, raddle_server_accept(server, 20, &conn));
    CHECK(conn == 77);
    peer = peer_dial(port);
    peer_request(peer, "/", "");
    OK(raddle_server_accept(server, -1, &conn));
    CHECK(peer_answer(peer, NULL, 0) == 101);
    STATUS(RADDLE_ERR_TIMEOUT, raddle_recv(conn, 0, &message));
    peer_send(peer, RADDLE_TEXT, "one", 3);
    OK(raddle_recv(conn, -1, &message));
    CHECK(message.conn == conn && message.kind == RADDLE_TEXT && message.length == 3 && memcmp(message.data, "one", 3) == 0);
    STATUS(RADDLE_ERR_STATE, raddle_conn_end(conn, &cause, NULL, NULL, NULL, 0, NULL));
    STATUS(RADDLE_ERR_ARGUMENT, raddle_close(conn, 1005, NULL));
    STATUS(RADDLE_ERR_ARGUMENT, raddle_close(conn, 0, NULL));
    STATUS(RADDLE_ERR_TIMEOUT, raddle_close_wait(conn, 1000, "done", 0));
    CHECK(peer_closed(peer) == 1000);
    peer_send(peer, RADDLE_CLOSE, "\x03\xe8", 2);
    OK(raddle_close_wait(conn, 1000, NULL, -1));
    OK(raddle_conn_end(conn, &cause, NULL, NULL, NULL, 0, NULL));
    CHECK(cause == RADDLE_CAUSE_LOCAL_CLOSE);
    STATUS(RADDLE_ERR_CLOSED, raddle_recv(conn, -1, &message));
    OK(raddle_conn_free(conn));
    close(peer);
    /* Cut after a while, the peer saying nothing. */
    peer = peer_dial(port);
    peer_request(peer, "/", "");
    OK(raddle_server_accept(server, 10000, &conn));
    CHECK(peer_answer(peer, NULL, 0) == 101);
    OK(raddle_cut_within(conn, 20));
    STATUS(RADDLE_ERR_CLOSED, raddle_recv(conn, 10000, &message));
    OK(raddle_conn_end(conn, &cause, NULL, NULL, NULL, 0, NULL));
    CHECK(cause == RADDLE_CAUSE_LOCAL_CLOSE && peer_closed(peer) == 0);
    OK(raddle_conn_free(conn));
    close(peer);
    /* Drained: who is there stays, and nobody comes. */
    peer = peer_dial(port);
    peer_request(peer, "/", "");
    OK(raddle_server_accept(server, 10000, &conn));
    OK(raddle_server_drain(server));
    STATUS(RADDLE_ERR_TIMEOUT, raddle_server_accept(server, 0, &other));
    CHECK(peer_answer(peer, NULL, 0) == 101);
    peer_send(peer, RADDLE_TEXT, "still", 5);
    OK(raddle_recv(conn, 10000, &message));
    STATUS(RADDLE_ERR_TIMEOUT, raddle_server_join(server, 10));
    OK(raddle_conn_free(conn));
    close(peer);
    STATUS(RADDLE_ERR_CLOSED, raddle_server_accept(server, -1, &other));
    OK(raddle_server_join(server, 10000));
    STATUS(RADDLE_ERR_CLOSED, raddle_server_accept(server, 0, &other));
    OK(raddle_server_free(server));
}

int main(void) {
    requests(RADDLE_ENGINE_THREADS);
    requests(RADDLE_ENGINE_POOL);
    paused(RADDLE_ENGINE_THREADS);
    paused(RADDLE_ENGINE_POOL);
    resets(RADDLE_ENGINE_THREADS);
    resets(RADDLE_ENGINE_POOL);
    identities();
    topics();
    listeners();
    blocking();
    return 0;
}

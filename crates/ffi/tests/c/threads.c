/* Connections of callbacks and of queues whose messages another thread answers: with a thread of their own for a while, and later. */
#include "peer.h"

#include <pthread.h>

static raddle_server_t *server;
static int destroyed;

static void destroy(void *user) {
    CHECK(user == &destroyed);
    __atomic_add_fetch(&destroyed, 1, __ATOMIC_SEQ_CST);
}

/* Echoes with a mark, until it is told to go back, or to fail. */
static int32_t apart(raddle_conn_t conn, void *user) {
    raddle_message_t message, messages[1];
    uint8_t region[64];
    size_t count = 0;
    int status;
    CHECK(user == &destroyed);
    STATUS(RADDLE_ERR_STATE, raddle_server_move_to_thread(server, conn, apart, NULL, NULL));
    while ((status = raddle_recv(conn, 10000, &message)) == RADDLE_OK) {
        CHECK(message.conn == conn);
        if (message.length == 4 && memcmp(message.data, "back", 4) == 0) return 0;
        if (message.length == 4 && memcmp(message.data, "fail", 4) == 0) return 7;
        OK(raddle_send(conn, RADDLE_BINARY, message.data, message.length));
        if (message.length == 5 && memcmp(message.data, "batch", 5) == 0) {
            OK(raddle_recv_batch(conn, 10000, region, sizeof region, messages, 1, &count));
            CHECK(count == 1 && messages[0].length == 3 && messages[0].conn == conn);
        }
    }
    STATUS(RADDLE_ERR_CLOSED, status);
    return 0;
}

/* Gives the connection back at once. */
static int32_t back(raddle_conn_t conn, void *user) {
    (void)conn;
    CHECK(user == NULL);
    return 0;
}

static int32_t moving(const raddle_message_t *message, void *user) {
    if (message->length == 4 && memcmp(message->data, "move", 4) == 0) {
        STATUS(RADDLE_ERR_ARGUMENT, raddle_server_move_to_thread(server, message->conn, NULL, NULL, NULL));
        OK(raddle_server_move_to_thread(server, message->conn, apart, &destroyed, destroy));
        return 0;
    }
    return echo(message, user);
}

static void expect_message(int peer, int kind, const char *text) {
    char payload[64];
    size_t length = 0;
    CHECK(peer_receive(peer, payload, sizeof payload, &length) == kind);
    CHECK(length == strlen(text) && memcmp(payload, text, length) == 0);
}

static void say(int peer, const char *text) {
    peer_send(peer, RADDLE_TEXT, text, strlen(text));
}

static void moved_by_a_callback(void) {
    uint16_t port;
    raddle_conn_t conn;
    raddle_message_t message;
    size_t listed = 0;
    int peer, round;
    server = serve(RADDLE_ENGINE_POOL, NULL, moving, NULL, NULL, NULL, &port);
    peer = peer_open(port);
    for (round = 0; round < 3; round++) {
        /* In one piece: what follows the callback's message is the thread's. */
        say(peer, "move");
        say(peer, "one");
        say(peer, "batch");
        say(peer, "two");
        say(peer, "back");
        say(peer, "three");
        expect_message(peer, RADDLE_BINARY, "one");
        expect_message(peer, RADDLE_BINARY, "batch");
        expect_message(peer, RADDLE_TEXT, "three");
        EVENTUALLY(__atomic_load_n(&destroyed, __ATOMIC_SEQ_CST) == round + 1);
    }
    OK(raddle_server_connections(server, NULL, &conn, 1, &listed));
    CHECK(listed == 1);
    STATUS(RADDLE_ERR_STATE, raddle_recv(conn, 0, &message));
    say(peer, "move");
    say(peer, "fail");
    CHECK(peer_closed(peer) == 1011);
    close(peer);
    EVENTUALLY(__atomic_load_n(&destroyed, __ATOMIC_SEQ_CST) == 4);
    /* Until its end is known it may be moved once more. */
    EVENTUALLY(raddle_server_move_to_thread(server, conn, back, NULL, NULL) == RADDLE_ERR_CLOSED);
    /* One that ends while its thread has it. */
    peer = peer_open(port);
    say(peer, "move");
    say(peer, "one");
    expect_message(peer, RADDLE_BINARY, "one");
    peer_close(peer);
    EVENTUALLY(__atomic_load_n(&destroyed, __ATOMIC_SEQ_CST) == 5);
    finish(server);
}

static void moved_from_a_queue(uint32_t engine) {
    uint16_t port;
    raddle_conn_t conn, foreign = 0;
    raddle_message_t event;
    raddle_server_t *other;
    size_t found = 0;
    int peer;
    destroyed = 0;
    server = serve(engine, NULL, NULL, NULL, NULL, NULL, &port);
    peer = peer_dial(port);
    peer_request(peer, "/", "");
    conn = next_event(server).conn;
    CHECK(peer_answer(peer, NULL, 0) == 101);
    OK(raddle_server_move_to_thread(server, conn, apart, &destroyed, destroy));
    say(peer, "one");
    /* It leaves when the queue is polled. */
    STATUS(RADDLE_ERR_TIMEOUT, raddle_server_poll(server, &event, 1, 50, &found));
    expect_message(peer, RADDLE_BINARY, "one");
    say(peer, "back");
    say(peer, "two");
    event = next_event(server);
    CHECK(event.kind == RADDLE_TEXT && event.length == 3 && memcmp(event.data, "two", 3) == 0);
    EVENTUALLY(__atomic_load_n(&destroyed, __ATOMIC_SEQ_CST) == 1);
    close(peer);
    CHECK(next_event(server).kind == RADDLE_CLOSED);
    /* Not what a program receives from anyway, and not another server's. */
    other = serve(RADDLE_ENGINE_ACCEPT, NULL, NULL, NULL, NULL, NULL, &port);
    peer = peer_dial(port);
    peer_request(peer, "/", "");
    OK(raddle_server_accept(other, 10000, &foreign));
    STATUS(RADDLE_ERR_STATE, raddle_server_move_to_thread(other, foreign, apart, &destroyed, destroy));
    STATUS(RADDLE_ERR_HANDLE, raddle_server_move_to_thread(server, foreign, apart, &destroyed, destroy));
    OK(raddle_conn_free(foreign));
    close(peer);
    OK(raddle_server_free(server));
    finish(other);
    CHECK(__atomic_load_n(&destroyed, __ATOMIC_SEQ_CST) == 1);
}

/* Answers one message after a while, on a thread of the program's. */
static void *answer(void *user) {
    raddle_conn_t conn = *(raddle_conn_t *)user;
    pause_ms(50);
    OK(raddle_send(conn, RADDLE_TEXT, (const uint8_t *)"later", 5));
    OK(raddle_answered(conn));
    return NULL;
}

static pthread_t answering;
static raddle_conn_t asked;

static int32_t hand_on(const raddle_message_t *message, void *user) {
    (void)user;
    asked = message->conn;
    OK(raddle_answer_later(asked));
    OK(raddle_answer_later(asked));
    OK(raddle_answered(asked));
    CHECK(pthread_create(&answering, NULL, answer, &asked) == 0);
    return 0;
}

static void answered_later(void) {
    uint16_t port;
    int peer;
    server = serve(RADDLE_ENGINE_POOL, NULL, hand_on, NULL, NULL, NULL, &port);
    peer = peer_open(port);
    /* A message and a Close in one piece. */
    peer_write(peer, "\x81\x83\0\0\0\0one\x88\x82\0\0\0\0\x03\xe8", 17);
    expect_message(peer, RADDLE_TEXT, "later");
    CHECK(peer_closed(peer) == 1000);
    close(peer);
    pthread_join(answering, NULL);
    EVENTUALLY(raddle_answered(asked) == RADDLE_ERR_CLOSED);
    finish(server);
}

int main(void) {
    moved_by_a_callback();
    moved_from_a_queue(RADDLE_ENGINE_QUEUE);
    moved_from_a_queue(RADDLE_ENGINE_FED_QUEUE);
    answered_later();
    return 0;
}

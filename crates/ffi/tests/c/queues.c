/* The queues: events in order, to the thread that polls, be it the worker or fed by others. */
#include "peer.h"

#include <poll.h>

static void queue_events(uint32_t engine) {
    uint16_t port;
    raddle_server_t *server = serve(engine, NULL, NULL, NULL, NULL, NULL, &port);
    raddle_message_t event, events[16];
    raddle_conn_t conn;
    char payload[64];
    size_t found = 0, length;
    int peer = peer_dial(port), i, fd = -1;
    uint16_t code;
    uint32_t cause, clean;
    struct pollfd waits;

    STATUS(RADDLE_ERR_ARGUMENT, raddle_server_poll(server, events, 0, 0, &found));
    STATUS(RADDLE_ERR_TIMEOUT, raddle_server_poll(server, events, 16, 0, &found));
    STATUS(RADDLE_ERR_STATE, raddle_server_accept(server, 0, &conn));
    peer_request(peer, "/", "");
    event = next_event(server);
    CHECK(event.kind == RADDLE_OPENED && event.data != NULL && event.length == 0 && event.detail == 0);
    CHECK(peer_answer(peer, NULL, 0) == 101);
    conn = event.conn;
    STATUS(RADDLE_ERR_STATE, raddle_recv(conn, 0, &event));
    for (i = 0; i < 100; i++) peer_send(peer, i % 2 ? RADDLE_TEXT : RADDLE_BINARY, "0123456789", (size_t)i % 10);
    for (i = 0; i < 100; i++) {
        event = next_event(server);
        CHECK(event.conn == conn && event.kind == (i % 2 ? RADDLE_TEXT : RADDLE_BINARY) && event.length == (size_t)i % 10);
        CHECK(memcmp(event.data, "0123456789", event.length) == 0);
        OK(raddle_send(event.conn, event.kind, event.data, event.length));
    }
    OK(raddle_server_flush(server));
    for (i = 0; i < 100; i++) {
        CHECK(peer_receive(peer, payload, sizeof payload, &length) == (i % 2 ? RADDLE_TEXT : RADDLE_BINARY));
        CHECK(length == (size_t)i % 10);
    }
    /* Who waits for the descriptor misses nothing. */
    OK(raddle_server_fd(server, &fd));
    STATUS(RADDLE_ERR_TIMEOUT, raddle_server_poll(server, events, 16, 0, &found));
    peer_send(peer, RADDLE_TEXT, "one", 3);
    waits.fd = fd;
    waits.events = POLLIN;
    CHECK(poll(&waits, 1, 10000) == 1);
    event = next_event(server);
    CHECK(event.kind == RADDLE_TEXT && event.length == 3);
    /* When all was taken, the descriptor is quiet until more comes. */
    EVENTUALLY(raddle_server_poll(server, events, 16, 0, &found) == RADDLE_ERR_TIMEOUT && poll(&waits, 1, 0) == 0);
    OK(raddle_server_wake(server));
    CHECK(poll(&waits, 1, 10000) == 1);
    STATUS(RADDLE_ERR_INTERRUPTED, raddle_server_poll(server, events, 16, 0, &found));
    EVENTUALLY(raddle_server_poll(server, events, 16, 0, &found) == RADDLE_ERR_TIMEOUT && poll(&waits, 1, 0) == 0);
    /* The end comes once, and what is known of it until the next poll. */
    peer_send(peer, RADDLE_CLOSE, "\x0b\xb8" "done", 6);
    event = next_event(server);
    CHECK(event.kind == RADDLE_CLOSED && event.conn == conn && event.detail == 3000);
    CHECK(event.length == 4 && memcmp(event.data, "done", 4) == 0);
    OK(raddle_conn_end(conn, &cause, &code, &clean, payload, sizeof payload, NULL));
    CHECK(cause == RADDLE_CAUSE_PEER_CLOSE && code == 3000 && clean == 1 && strstr(payload, "done") != NULL);
    STATUS(RADDLE_ERR_BUFFER, raddle_conn_end(conn, &cause, NULL, NULL, NULL, 0, &length));
    CHECK(length == strlen(payload));
    STATUS(RADDLE_ERR_CLOSED, raddle_send(conn, RADDLE_TEXT, NULL, 0));
    CHECK(peer_closed(peer) == 3000);
    close(peer);
    STATUS(RADDLE_ERR_TIMEOUT, raddle_server_poll(server, events, 16, 0, &found));
    STATUS(RADDLE_ERR_CLOSED, raddle_conn_end(conn, &cause, NULL, NULL, NULL, 0, NULL));
    /* Stopped: the last connection's end, and then nothing more. */
    peer = peer_dial(port);
    peer_request(peer, "/", "");
    CHECK(next_event(server).kind == RADDLE_OPENED);
    OK(raddle_server_stop(server, 5000));
    CHECK(peer_answer(peer, NULL, 0) == 101 && peer_closed(peer) == 1001);
    peer_send(peer, RADDLE_CLOSE, "\x03\xe9", 2);
    close(peer);
    CHECK(next_event(server).kind == RADDLE_CLOSED);
    STATUS(RADDLE_ERR_CLOSED, raddle_server_poll(server, events, 16, -1, &found));
    OK(raddle_server_join(server, 10000));
    OK(raddle_server_free(server));
    CHECK(raddle_conn_count() == 0);
}

/* Who sends faster than the program takes is paused, and nothing is lost. */
static void flooding(void) {
    uint16_t port;
    raddle_server_t *server = serve(RADDLE_ENGINE_FED_QUEUE, NULL, NULL, NULL, NULL, NULL, &port);
    static unsigned char frame[8 + 60000] = {0x82, 0x80 | 126, 60000 >> 8, 60000 & 0xff};
    raddle_message_t events[64];
    size_t sent = 0, taken = 0, found, i, rest = sizeof frame;
    uint32_t is_paused = 7;
    raddle_conn_t conn;
    int peer = peer_open(port), idle = 0;
    conn = next_event(server).conn;
    /* Until the peer feels it: the limit is 4 MiB, and the sockets' buffers are no larger. */
    while (idle < 50) {
        ssize_t count = send(peer, frame + sizeof frame - rest, rest, MSG_DONTWAIT | MSG_NOSIGNAL);
        CHECK(sent < 2000);
        if (count < 0) {
            idle++;
            pause_ms(10);
            continue;
        }
        idle = 0;
        rest -= (size_t)count;
        if (rest == 0) {
            sent++;
            rest = sizeof frame;
        }
    }
    /* That is none of the program's. */
    OK(raddle_conn_is_paused(conn, &is_paused));
    CHECK(is_paused == 0 && sent > 60);
    while (taken < sent) {
        OK(raddle_server_poll(server, events, 64, 10000, &found));
        for (i = 0; i < found; i++) CHECK(events[i].kind == RADDLE_BINARY && events[i].length == 60000);
        taken += found;
    }
    close(peer);
    CHECK(next_event(server).kind == RADDLE_CLOSED);
    OK(raddle_server_free(server));
    EVENTUALLY(raddle_conn_count() == 0);
}

/* What waits too long is held back, and says so when it has left. */
static void draining(void) {
    raddle_server_config_t *config = settings_of(RADDLE_ENGINE_QUEUE);
    uint16_t port;
    raddle_server_t *server;
    raddle_message_t event;
    size_t sent = 0, received = 0, found, bytes = 0;
    static uint8_t payload[60000], sink[65536];
    int peer, status;
    OK(raddle_server_config_outgoing_limit(config, 200000));
    server = started(config, &port);
    peer = peer_dial(port);
    peer_request(peer, "/", "");
    event = next_event(server);
    while ((status = raddle_send(event.conn, RADDLE_BINARY, payload, sizeof payload)) == RADDLE_OK) {
        sent++;
        raddle_server_flush(server);
        CHECK(sent < 100000);
    }
    STATUS(RADDLE_ERR_WOULD_BLOCK, status);
    OK(raddle_conn_queued(event.conn, &bytes));
    CHECK(bytes > 200000);
    CHECK(peer_answer(peer, NULL, 0) == 101);
    while (received < sent) {
        raddle_message_t drained;
        size_t length;
        status = raddle_server_poll(server, &drained, 1, 0, &found);
        CHECK(status == RADDLE_ERR_TIMEOUT || (status == RADDLE_OK && drained.kind == RADDLE_DRAINED));
        CHECK(peer_receive(peer, sink, sizeof sink, &length) == RADDLE_BINARY && length == sizeof payload);
        received++;
        if (status == RADDLE_OK) received |= (size_t)1 << 40;
        if (received >> 40 && (received & 0xffffffff) == sent) break;
    }
    if (!(received >> 40)) {
        event = next_event(server);
        CHECK(event.kind == RADDLE_DRAINED);
    }
    close(peer);
    CHECK(next_event(server).kind == RADDLE_CLOSED);
    OK(raddle_server_free(server));
}

static void requests_as_events(uint32_t engine) {
    raddle_server_config_t *config = settings_of(engine);
    uint16_t port;
    raddle_server_t *server;
    raddle_message_t event;
    raddle_request_t *request;
    int peer;
    OK(raddle_server_config_requests_as_events(config, 1));
    server = started(config, &port);
    peer = peer_dial(port);
    peer_request(peer, "/", "");
    event = next_event(server);
    CHECK(event.kind == RADDLE_REQUEST && event.conn == 0);
    request = (raddle_request_t *)(uintptr_t)event.data;
    OK(raddle_request_refuse(request, 404));
    CHECK(peer_answer(peer, NULL, 0) == 404);
    close(peer);
    peer = peer_dial(port);
    peer_request(peer, "/", "");
    event = next_event(server);
    CHECK(event.kind == RADDLE_REQUEST);
    OK(raddle_request_accept((raddle_request_t *)(uintptr_t)event.data));
    CHECK(next_event(server).kind == RADDLE_OPENED);
    CHECK(peer_answer(peer, NULL, 0) == 101);
    close(peer);
    /* One that nobody takes is answered when the server is freed. */
    peer = peer_dial(port);
    peer_request(peer, "/", "");
    pause_ms(20);
    OK(raddle_server_free(server));
    CHECK(peer_answer(peer, NULL, 0) != 101);
    close(peer);
}

/* A peer that closes, or breaks a rule, right behind its messages gets the answers to them first. */
static void answered_before_the_end(uint32_t engine) {
    static const char *const last[] = {"\x88\x82\0\0\0\0\x03\xe8", "\x83\x80\0\0\0\0"};
    static const size_t lengths[] = {8, 6};
    static const int codes[] = {1000, 1002};
    uint16_t port;
    raddle_server_t *server = serve(engine, NULL, NULL, NULL, NULL, NULL, &port);
    size_t which;
    for (which = 0; which < 2; which++) {
        raddle_message_t events[2];
        char sent[64], payload[16];
        size_t found = 0, length = 0, all = 0, given = 0, i;
        int peer = peer_dial(port);
        peer_request(peer, "/", "");
        CHECK(next_event(server).kind == RADDLE_OPENED);
        CHECK(peer_answer(peer, NULL, 0) == 101);
        for (i = 0; i < 3; i++) {
            memcpy(sent + all, "\x81\x83\0\0\0\0one", 9);
            all += 9;
        }
        memcpy(sent + all, last[which], lengths[which]);
        peer_write(peer, sent, all + lengths[which]);
        while (given < 3) {
            OK(raddle_server_poll(server, events, 2, 10000, &found));
            /* As a program that has much else to do. */
            pause_ms(30);
            for (i = 0; i < found; i++) {
                CHECK(events[i].kind == RADDLE_TEXT);
                OK(raddle_send(events[i].conn, RADDLE_TEXT, events[i].data, events[i].length));
            }
            given += found;
        }
        CHECK(next_event(server).kind == RADDLE_CLOSED);
        for (i = 0; i < 3; i++) CHECK(peer_receive(peer, payload, sizeof payload, &length) == RADDLE_TEXT && length == 3);
        CHECK(peer_closed(peer) == codes[which]);
        close(peer);
    }
    OK(raddle_server_free(server));
    EVENTUALLY(raddle_conn_count() == 0);
}

int main(void) {
    queue_events(RADDLE_ENGINE_QUEUE);
    queue_events(RADDLE_ENGINE_FED_QUEUE);
    flooding();
    draining();
    requests_as_events(RADDLE_ENGINE_QUEUE);
    requests_as_events(RADDLE_ENGINE_FED_QUEUE);
    answered_before_the_end(RADDLE_ENGINE_QUEUE);
    answered_before_the_end(RADDLE_ENGINE_FED_QUEUE);
    return 0;
}

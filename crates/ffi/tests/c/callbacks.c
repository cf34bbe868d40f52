/* Callbacks: what they may do, what they return, which of them come when, and what is destroyed when. */
#include "peer.h"

#include <pthread.h>

static int count(const int *counter) {
    return __atomic_load_n(counter, __ATOMIC_SEQ_CST);
}

static void add(int *counter) {
    __atomic_add_fetch(counter, 1, __ATOMIC_SEQ_CST);
}

static void destroy(void *user) {
    add((int *)user);
}

static const uint32_t ENGINES[] = {RADDLE_ENGINE_THREADS, RADDLE_ENGINE_POOL};

/* Hostile input 306: whatever a callback returns but 0 is Close 1011, and only its RADDLE_CLOSED follows. */
static int32_t returned;
static uint32_t returned_at;
static int opened, received, closed_with_cause;

static int32_t failing(const raddle_message_t *event, void *user) {
    (void)user;
    if (event->kind == RADDLE_OPENED) add(&opened);
    if (event->kind == RADDLE_TEXT) add(&received);
    if (event->kind == RADDLE_CLOSED) {
        uint32_t cause = 0;
        OK(raddle_conn_end(event->conn, &cause, NULL, NULL, NULL, 0, NULL));
        if (cause == RADDLE_CAUSE_CALLBACK_FAILED) add(&closed_with_cause);
        return -5;
    }
    return event->kind == returned_at ? returned : 0;
}

static void return_values(void) {
    const int32_t values[] = {1, -1, INT32_MAX, INT32_MIN, 77};
    const uint32_t kinds[] = {RADDLE_OPENED, RADDLE_TEXT};
    size_t engine, kind, value;
    for (engine = 0; engine < 2; engine++) {
        for (kind = 0; kind < 2; kind++) {
            for (value = 0; value < sizeof values / sizeof *values; value++) {
                uint16_t port;
                int peer;
                raddle_server_t *server;
                opened = received = closed_with_cause = 0;
                returned = values[value];
                returned_at = kinds[kind];
                server = serve(ENGINES[engine], failing, failing, failing, NULL, NULL, &port);
                peer = peer_open(port);
                /* Where the first fails, the second is not given to the program. */
                peer_send(peer, RADDLE_TEXT, "one", 3);
                if (kind == 1) peer_send(peer, RADDLE_TEXT, "two", 3);
                CHECK(peer_closed(peer) == 1011);
                close(peer);
                finish(server);
                CHECK(count(&opened) == 1 && count(&closed_with_cause) == 1 && count(&received) == (int)kind);
            }
        }
    }
}

/* Hostile input 305: NULL is passed over; the user's data is destroyed once, behind the last callback. */
struct life {
    int callbacks, destroyed, after;
};

static int32_t living(const raddle_message_t *event, void *user) {
    struct life *life = user;
    if (count(&life->destroyed) != 0) add(&life->after);
    add(&life->callbacks);
    pause_ms(event->kind == RADDLE_CLOSED ? 30 : 0);
    if (count(&life->destroyed) != 0) add(&life->after);
    return 0;
}

static void destroy_life(void *user) {
    add(&((struct life *)user)->destroyed);
}

static void destroy_using(void *config) {
    OK(raddle_server_config_engine((raddle_server_config_t *)config, RADDLE_ENGINE_POOL));
}

static void null_and_user_data(void) {
    size_t engine;
    for (engine = 0; engine < 2; engine++) {
        struct life life = {0, 0, 0};
        raddle_server_config_t *config = NULL;
        uint16_t port;
        int peer, destroyed = 0;
        raddle_server_t *server = serve(ENGINES[engine], NULL, NULL, NULL, NULL, NULL, &port);
        peer = peer_open(port);
        peer_send(peer, RADDLE_TEXT, "nobody listens", 14);
        peer_close(peer);
        finish(server);

        server = serve(ENGINES[engine], living, living, living, &life, destroy_life, &port);
        peer = peer_open(port);
        EVENTUALLY(count(&life.callbacks) == 1);
        CHECK(count(&life.destroyed) == 0);
        /* Free alone: the last callback comes all the same. */
        OK(raddle_server_free(server));
        EVENTUALLY(count(&life.destroyed) == 1);
        CHECK(count(&life.callbacks) == 2 && count(&life.after) == 0);
        close(peer);

        /* Replaced before anything was made of it; freed with the settings; not taken by a call that fails. */
        OK(raddle_server_config_new(&config));
        OK(raddle_server_config_callbacks(config, NULL, NULL, NULL, NULL, &destroyed, destroy));
        OK(raddle_server_config_callbacks(config, NULL, NULL, NULL, NULL, &destroyed, destroy));
        CHECK(destroyed == 1);
        OK(raddle_server_config_on_request(config, NULL, &destroyed, destroy));
        CHECK(destroyed == 2);
        /* What is destroyed in place of being kept may use the settings. */
        OK(raddle_server_config_on_request(config, NULL, config, destroy_using));
        OK(raddle_server_config_free(config));
        CHECK(destroyed == 3);
        STATUS(RADDLE_ERR_HANDLE, raddle_server_config_callbacks(config, NULL, NULL, NULL, NULL, &destroyed, destroy));
        STATUS(RADDLE_ERR_HANDLE, raddle_server_config_on_request(config, NULL, &destroyed, destroy));
        CHECK(destroyed == 3);
    }
}

/* Hostile input 300: sends of others while the last callback runs, and behind it. */
static raddle_conn_t ended;
static int in_last_callback, may_return, kept_destroyed;

static int32_t keeping(const raddle_message_t *event, void *user) {
    (void)user;
    if (event->kind == RADDLE_OPENED) {
        OK(raddle_conn_set_user(event->conn, &kept_destroyed, destroy));
        __atomic_store_n(&ended, event->conn, __ATOMIC_SEQ_CST);
    } else if (event->kind == RADDLE_CLOSED) {
        void *kept = NULL;
        OK(raddle_conn_user(event->conn, &kept));
        CHECK(kept == &kept_destroyed && count(&kept_destroyed) == 0);
        CHECK(event->detail == 1000 && event->length == 3 && memcmp(event->data, "bye", 3) == 0);
        add(&in_last_callback);
        EVENTUALLY(count(&may_return) == 1);
    }
    return 0;
}

static void behind_the_end(void) {
    size_t engine;
    for (engine = 0; engine < 2; engine++) {
        uint16_t port;
        uint32_t state = 0;
        int peer;
        raddle_server_t *server = serve(ENGINES[engine], keeping, NULL, keeping, NULL, NULL, &port);
        in_last_callback = may_return = kept_destroyed = 0;
        peer = peer_open(port);
        peer_send(peer, RADDLE_CLOSE, "\x03\xe8" "bye", 5);
        EVENTUALLY(count(&in_last_callback) == 1);
        STATUS(RADDLE_ERR_CLOSED, raddle_send(ended, RADDLE_TEXT, NULL, 0));
        STATUS(RADDLE_ERR_CLOSED, raddle_close(ended, 1000, NULL));
        STATUS(RADDLE_ERR_CLOSED, raddle_ping(ended, NULL, 0));
        OK(raddle_conn_state(ended, &state));
        CHECK(state == RADDLE_STATE_CLOSED);
        add(&may_return);
        EVENTUALLY(count(&kept_destroyed) == 1);
        STATUS(RADDLE_ERR_CLOSED, raddle_send(ended, RADDLE_TEXT, NULL, 0));
        STATUS(RADDLE_ERR_CLOSED, raddle_close(ended, 1000, NULL));
        STATUS(RADDLE_ERR_CLOSED, raddle_cut(ended));
        STATUS(RADDLE_ERR_CLOSED, raddle_conn_state(ended, &state));
        close(peer);
        finish(server);
        CHECK(count(&kept_destroyed) == 1);
    }
}

/* Hostile input 315: one callback at a time for a connection; with engine threads on its thread, with engine pool on a
   worker's. */
#define PEERS 8
static struct seen {
    raddle_conn_t conn;
    pthread_t thread;
    int inside;
} seen[PEERS];
static int places, overlaps, foreign;

static int32_t watching(const raddle_message_t *event, void *user) {
    struct seen *place;
    void *kept = NULL;
    if (event->kind == RADDLE_OPENED) {
        place = &seen[__atomic_fetch_add(&places, 1, __ATOMIC_SEQ_CST)];
        place->conn = event->conn;
        place->thread = pthread_self();
        OK(raddle_conn_set_user(event->conn, place, NULL));
    }
    OK(raddle_conn_user(event->conn, &kept));
    place = kept;
    if (__atomic_add_fetch(&place->inside, 1, __ATOMIC_SEQ_CST) != 1) add(&overlaps);
    if (!pthread_equal(place->thread, pthread_self())) add(&foreign);
    sched_yield();
    if (event->kind == RADDLE_TEXT) raddle_send(event->conn, event->kind, event->data, event->length);
    __atomic_sub_fetch(&place->inside, 1, __ATOMIC_SEQ_CST);
    (void)user;
    return 0;
}

static void one_at_a_time(void) {
    size_t engine;
    for (engine = 0; engine < 2; engine++) {
        uint16_t port;
        int peers[PEERS], i, round;
        raddle_server_t *server = serve(ENGINES[engine], watching, watching, watching, NULL, NULL, &port);
        memset(seen, 0, sizeof seen);
        places = overlaps = foreign = 0;
        for (i = 0; i < PEERS; i++) peers[i] = peer_open(port);
        for (round = 0; round < 50; round++) {
            for (i = 0; i < PEERS; i++) peer_send(peers[i], RADDLE_TEXT, "message", 7);
        }
        for (i = 0; i < PEERS; i++) {
            char payload[16];
            size_t length;
            for (round = 0; round < 50; round++) {
                CHECK(peer_receive(peers[i], payload, sizeof payload, &length) == RADDLE_TEXT);
            }
            peer_close(peers[i]);
        }
        finish(server);
        CHECK(places == PEERS && overlaps == 0 && foreign == 0);
    }
}

int main(void) {
    return_values();
    null_and_user_data();
    behind_the_end();
    one_at_a_time();
    return 0;
}

/* Freeing: twice, from two threads, in each callback, and while others send, receive, close, poll and accept. */
#include "peer.h"

#include <dirent.h>
#include <pthread.h>

static int destroyed;

static void destroy(void *user) {
    __atomic_add_fetch((int *)user, 1, __ATOMIC_SEQ_CST);
}

static int count(const int *counter) {
    return __atomic_load_n(counter, __ATOMIC_SEQ_CST);
}

/* Hostile input 299: of two threads that free the same, one does. */
#define THREADS 8
static pthread_barrier_t barrier;
static void *shared;
static raddle_conn_t shared_conn;

static void *free_server(void *won) {
    pthread_barrier_wait(&barrier);
    *(int *)won = raddle_server_free((raddle_server_t *)shared) == RADDLE_OK;
    return NULL;
}

static void *free_config(void *won) {
    pthread_barrier_wait(&barrier);
    *(int *)won = raddle_server_config_free((raddle_server_config_t *)shared) == RADDLE_OK;
    return NULL;
}

static void *free_conn(void *won) {
    pthread_barrier_wait(&barrier);
    *(int *)won = raddle_conn_free(shared_conn) == RADDLE_OK;
    return NULL;
}

static void race(void *(*body)(void *)) {
    pthread_t threads[THREADS];
    int won[THREADS], i, winners = 0;
    pthread_barrier_init(&barrier, NULL, THREADS);
    for (i = 0; i < THREADS; i++) CHECK(pthread_create(&threads[i], NULL, body, &won[i]) == 0);
    for (i = 0; i < THREADS; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
        winners += won[i];
    }
    pthread_barrier_destroy(&barrier);
    CHECK(winners == 1);
}

static void from_many_threads(void) {
    raddle_server_config_t *config = NULL;
    raddle_server_t *server = NULL;
    uint16_t port;
    int round;
    for (round = 0; round < 20; round++) {
        int peer;
        OK(raddle_server_config_new(&config));
        shared = config;
        race(free_config);
        destroyed = 0;
        server = serve(RADDLE_ENGINE_ACCEPT, NULL, NULL, NULL, NULL, NULL, &port);
        peer = peer_dial(port);
        peer_request(peer, "/", "");
        OK(raddle_server_accept(server, 10000, &shared_conn));
        OK(raddle_conn_set_user(shared_conn, &destroyed, destroy));
        race(free_conn);
        CHECK(count(&destroyed) == 1);
        STATUS(RADDLE_ERR_CLOSED, raddle_conn_free(shared_conn));
        shared = server;
        race(free_server);
        STATUS(RADDLE_ERR_HANDLE, raddle_server_free(server));
        STATUS(RADDLE_ERR_HANDLE, raddle_server_stop(server, 0));
        close(peer);
    }
}

/* Hostile input 299: the server is freed within a callback of this kind. */
static uint32_t freed_at;
static raddle_server_t *freed_there;

static int32_t freeing(const raddle_message_t *event, void *user) {
    (void)user;
    if (event->kind == freed_at) {
        STATUS(RADDLE_ERR_STATE, raddle_conn_free(event->conn));
        OK(raddle_server_free(freed_there));
        STATUS(RADDLE_ERR_HANDLE, raddle_server_free(freed_there));
        STATUS(RADDLE_ERR_HANDLE, raddle_server_publish(freed_there, "topic", RADDLE_TEXT, NULL, 0, 0));
        /* The connection is there until its last callback has returned. */
        CHECK(raddle_conn_set_user(event->conn, NULL, NULL) == RADDLE_OK);
    } else if (event->kind == RADDLE_TEXT) {
        raddle_send(event->conn, event->kind, event->data, event->length);
    }
    return 0;
}

static void in_each_callback(void) {
    const uint32_t engines[] = {RADDLE_ENGINE_THREADS, RADDLE_ENGINE_POOL};
    const uint32_t kinds[] = {RADDLE_OPENED, RADDLE_TEXT, RADDLE_CLOSED};
    size_t engine, kind;
    for (engine = 0; engine < 2; engine++) {
        for (kind = 0; kind < 3; kind++) {
            uint16_t port;
            int peer;
            destroyed = 0;
            freed_at = UINT32_MAX;
            freed_there = serve(engines[engine], freeing, freeing, freeing, &destroyed, destroy, &port);
            __atomic_store_n(&freed_at, kinds[kind], __ATOMIC_SEQ_CST);
            peer = peer_dial(port);
            peer_request(peer, "/", "");
            if (kinds[kind] != RADDLE_OPENED) CHECK(peer_answer(peer, NULL, 0) == 101);
            if (kinds[kind] == RADDLE_TEXT) peer_send(peer, RADDLE_TEXT, "free", 4);
            if (kinds[kind] == RADDLE_CLOSED) peer_close(peer);
            EVENTUALLY(count(&destroyed) == 1 && raddle_conn_count() == 0);
            if (kinds[kind] != RADDLE_CLOSED) close(peer);
        }
    }
}

/* Hostile input 299: freed while others send, receive, close, poll and accept. */
static raddle_conn_t busy_conn;
static raddle_server_t *busy_server;

static void *receiving(void *status) {
    raddle_message_t message;
    do {
        *(int *)status = raddle_recv(busy_conn, -1, &message);
    } while (*(int *)status == RADDLE_OK);
    return NULL;
}

static void *sending(void *status) {
    do {
        *(int *)status = raddle_send(busy_conn, RADDLE_BINARY | RADDLE_DONT_WAIT, (const uint8_t *)"x", 1);
    } while (*(int *)status == RADDLE_OK || *(int *)status == RADDLE_ERR_WOULD_BLOCK);
    return NULL;
}

static void *closing(void *status) {
    *(int *)status = raddle_close_wait(busy_conn, 1000, NULL, -1);
    return NULL;
}

static void *accepting(void *status) {
    raddle_conn_t conn;
    *(int *)status = raddle_server_accept(busy_server, -1, &conn);
    return NULL;
}

/* Every byte of a payload can be read. */
static void look_at(const raddle_message_t *event) {
    size_t i;
    for (i = 0; event->kind == RADDLE_BINARY && i < event->length; i++) CHECK(event->data[i] == 'x');
}

static void *polling(void *status) {
    raddle_message_t events[4];
    size_t count, i;
    do {
        *(int *)status = raddle_server_poll(busy_server, events, 4, -1, &count);
        for (i = 0; *(int *)status == RADDLE_OK && i < count; i++) look_at(&events[i]);
    } while (*(int *)status == RADDLE_OK);
    return NULL;
}

static void *joining(void *status) {
    *(int *)status = raddle_server_join(busy_server, -1);
    return NULL;
}

static void while_others_use_it(void) {
    uint16_t port;
    pthread_t threads[3];
    int statuses[3], i, peer, thread;
    char many[1000];
    void *(*bodies[])(void *) = {receiving, sending, sending};
    raddle_server_t *server = serve(RADDLE_ENGINE_ACCEPT, NULL, NULL, NULL, NULL, NULL, &port);
    memset(many, 'x', sizeof many);
    for (i = 0; i < 20; i++) {
        peer = peer_dial(port);
        peer_request(peer, "/", "");
        OK(raddle_server_accept(server, 10000, &busy_conn));
        for (thread = 0; thread < 3; thread++) {
            CHECK(pthread_create(&threads[thread], NULL, bodies[thread], &statuses[thread]) == 0);
        }
        pause_ms(i % 4);
        if (i % 2 == 0) close(peer);
        OK(raddle_conn_free(busy_conn));
        for (thread = 0; thread < 3; thread++) {
            CHECK(pthread_join(threads[thread], NULL) == 0);
            STATUS(RADDLE_ERR_CLOSED, statuses[thread]);
        }
        if (i % 2 != 0) close(peer);
    }
    peer = peer_dial(port);
    peer_request(peer, "/", "");
    OK(raddle_server_accept(server, 10000, &busy_conn));
    CHECK(pthread_create(&threads[0], NULL, closing, &statuses[0]) == 0);
    CHECK(peer_answer(peer, NULL, 0) == 101 && peer_closed(peer) == 1000);
    OK(raddle_conn_free(busy_conn));
    CHECK(pthread_join(threads[0], NULL) == 0 && (statuses[0] == RADDLE_OK || statuses[0] == RADDLE_ERR_CLOSED));
    close(peer);

    busy_server = server;
    CHECK(pthread_create(&threads[0], NULL, accepting, &statuses[0]) == 0);
    CHECK(pthread_create(&threads[1], NULL, joining, &statuses[1]) == 0);
    pause_ms(20);
    OK(raddle_server_free(server));
    for (i = 0; i < 2; i++) CHECK(pthread_join(threads[i], NULL) == 0);
    STATUS(RADDLE_ERR_CLOSED, statuses[0]);
    OK(statuses[1]);

    for (i = 0; i < 2; i++) {
        const uint32_t engine = i == 0 ? RADDLE_ENGINE_QUEUE : RADDLE_ENGINE_FED_QUEUE;
        busy_server = serve(engine, NULL, NULL, NULL, NULL, NULL, &port);
        CHECK(pthread_create(&threads[0], NULL, polling, &statuses[0]) == 0);
        peer = peer_open(port);
        for (thread = 0; thread < 20; thread++) peer_send(peer, RADDLE_BINARY, many, sizeof many);
        OK(raddle_server_free(busy_server));
        CHECK(pthread_join(threads[0], NULL) == 0);
        CHECK(statuses[0] == RADDLE_ERR_CLOSED || statuses[0] == RADDLE_ERR_HANDLE);
        EVENTUALLY(raddle_conn_count() == 0);
        close(peer);
        /* Nobody polls: what waits is let go. */
        busy_server = serve(engine, NULL, NULL, NULL, NULL, NULL, &port);
        peer = peer_dial(port);
        peer_request(peer, "/", "");
        peer_send(peer, RADDLE_TEXT, "unheard", 7);
        /* Where the polling thread is the worker, nobody has answered. */
        if (i == 1) EVENTUALLY(raddle_conn_count() == 1);
        OK(raddle_server_free(busy_server));
        EVENTUALLY(raddle_conn_count() == 0);
        close(peer);
    }
}

/* Whatever still holds a freed connection, its peer is told. */
static void *blocked(void *status) {
    static uint8_t payload[1 << 20];
    do {
        *(int *)status = raddle_send(busy_conn, RADDLE_BINARY, payload, sizeof payload);
    } while (*(int *)status == RADDLE_OK);
    return NULL;
}

static void whatever_holds_it(void) {
    uint16_t port;
    raddle_ping_t *ping = NULL;
    pthread_t thread;
    int status, peer, amid;
    raddle_server_t *server = serve(RADDLE_ENGINE_ACCEPT, NULL, NULL, NULL, NULL, NULL, &port);
    for (amid = 0; amid < 2; amid++) {
        peer = peer_dial(port);
        peer_request(peer, "/", "");
        OK(raddle_server_accept(server, 10000, &busy_conn));
        CHECK(peer_answer(peer, NULL, 0) == 101);
        OK(raddle_ping_begin(busy_conn, &ping));
        if (amid) OK(raddle_send_fragment(busy_conn, RADDLE_TEXT, (const uint8_t *)"amid", 4, RADDLE_MORE));
        OK(raddle_conn_free(busy_conn));
        CHECK(peer_closed(peer) == (amid ? 1011 : 1001));
        close(peer);
        STATUS(RADDLE_ERR_CLOSED, raddle_ping_wait(ping, 10000, NULL));
        OK(raddle_ping_free(ping));
    }
    peer = peer_dial(port);
    peer_request(peer, "/", "");
    OK(raddle_server_accept(server, 10000, &busy_conn));
    CHECK(pthread_create(&thread, NULL, blocked, &status) == 0);
    pause_ms(50);
    OK(raddle_conn_free(busy_conn));
    CHECK(pthread_join(thread, NULL) == 0);
    STATUS(RADDLE_ERR_CLOSED, status);
    close(peer);
    finish(server);
}

/* A thread that receives frees the connection itself, and another ends it: no byte that was given goes meanwhile. */
static unsigned sum;

static void *reading(void *freed) {
    raddle_message_t message;
    int parts = 0;
    for (;;) {
        size_t i;
        int status = parts++ % 2 ? raddle_recv(busy_conn, -1, &message) : raddle_recv_part(busy_conn, -1, &message);
        if (status != RADDLE_OK) {
            STATUS(RADDLE_ERR_CLOSED, status);
            *(int *)freed = raddle_conn_free(busy_conn);
            return NULL;
        }
        for (i = 0; i < message.length; i++) sum += message.data[i];
    }
}

static void by_the_one_that_receives(void) {
    static uint8_t payload[20000];
    uint16_t port;
    raddle_server_t *server = serve(RADDLE_ENGINE_ACCEPT, NULL, NULL, NULL, NULL, NULL, &port);
    int round;
    memset(payload, 1, sizeof payload);
    for (round = 0; round < 20; round++) {
        pthread_t thread;
        int freed, i, peer = peer_dial(port);
        peer_request(peer, "/", "");
        OK(raddle_server_accept(server, 10000, &busy_conn));
        CHECK(pthread_create(&thread, NULL, reading, &freed) == 0);
        for (i = 0; i < round % 5; i++) peer_send(peer, RADDLE_BINARY, payload, sizeof payload);
        OK(raddle_cut(busy_conn));
        CHECK(pthread_join(thread, NULL) == 0);
        OK(freed);
        close(peer);
    }
    finish(server);
}

/* What a thread has polled is there until it polls again, though another frees the server: but nothing else of it is. */
static const raddle_message_t *polled(raddle_server_t *server, uint32_t kind) {
    static __thread raddle_message_t event;
    size_t found;
    do {
        OK(raddle_server_poll(server, &event, 1, 10000, &found));
    } while (event.kind != kind);
    return &event;
}

static void *lent_to(void *unused) {
    const raddle_message_t *event = polled(busy_server, RADDLE_BINARY);
    raddle_message_t none;
    size_t found;
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    CHECK(event->length == 60000);
    look_at(event);
    STATUS(RADDLE_ERR_CLOSED, raddle_send(event->conn, RADDLE_TEXT, NULL, 0));
    STATUS(RADDLE_ERR_HANDLE, raddle_server_poll(busy_server, &none, 1, 0, &found));
    return unused;
}

static int open_files(void) {
    DIR *directory = opendir("/proc/self/fd");
    int files = 0;
    CHECK(directory != NULL);
    while (readdir(directory) != NULL) files++;
    closedir(directory);
    return files;
}

static void what_was_polled(uint32_t engine) {
    static char many[60000];
    const raddle_message_t *event;
    pthread_t thread;
    uint16_t port;
    int peer, files;
    memset(many, 'x', sizeof many);
    busy_server = serve(engine, NULL, NULL, NULL, NULL, NULL, &port);
    pthread_barrier_init(&barrier, NULL, 2);
    CHECK(pthread_create(&thread, NULL, lent_to, NULL) == 0);
    peer = peer_open(port);
    peer_send(peer, RADDLE_BINARY, many, sizeof many);
    /* One that is not taken. */
    peer_send(peer, RADDLE_BINARY, many, sizeof many);
    pthread_barrier_wait(&barrier);
    destroyed = 0;
    OK(raddle_server_free(busy_server));
    EVENTUALLY(raddle_conn_count() == 0);
    CHECK(peer_closed(peer) != 1000);
    close(peer);
    pthread_barrier_wait(&barrier);
    CHECK(pthread_join(thread, NULL) == 0);
    pthread_barrier_destroy(&barrier);

    /* The thread that has polled frees it: nothing is left, be it at hand of the thread. */
    files = open_files();
    busy_server = serve(engine, NULL, NULL, NULL, NULL, NULL, &port);
    peer = peer_dial(port);
    peer_request(peer, "/", "");
    event = polled(busy_server, RADDLE_OPENED);
    destroyed = 0;
    OK(raddle_conn_set_user(event->conn, &destroyed, destroy));
    OK(raddle_server_free(busy_server));
    EVENTUALLY(count(&destroyed) == 1 && raddle_conn_count() == 0);
    close(peer);
    /* The one before may have been about to close its own. */
    EVENTUALLY(open_files() <= files);
}

/* A server that is freed within its own poll is there until the next. */
static void freeing_request(raddle_request_t *request, void *server) {
    char path[16];
    OK(raddle_request_path(request, path, sizeof path, NULL));
    if (strcmp(path, "/free") == 0) {
        OK(raddle_server_free(*(raddle_server_t **)server));
        STATUS(RADDLE_ERR_HANDLE, raddle_server_flush(*(raddle_server_t **)server));
    } else {
        OK(raddle_request_accept(request));
    }
}

static void within_its_poll(void) {
    static char many[60000];
    raddle_server_config_t *config = NULL;
    raddle_server_t *server = NULL;
    raddle_message_t events[16];
    uint16_t port;
    size_t found, i, texts = 0;
    int peer, other, status;
    memset(many, 'x', sizeof many);
    OK(raddle_server_config_new(&config));
    OK(raddle_server_config_listen(config, "127.0.0.1", 0, NULL));
    OK(raddle_server_config_engine(config, RADDLE_ENGINE_QUEUE));
    OK(raddle_server_config_on_request(config, freeing_request, &server, NULL));
    OK(raddle_server_new(config, &server));
    OK(raddle_server_config_free(config));
    OK(raddle_server_start(server));
    OK(raddle_server_port(server, &port));
    peer = peer_dial(port);
    peer_request(peer, "/", "");
    polled(server, RADDLE_OPENED);
    peer_send(peer, RADDLE_BINARY, many, sizeof many);
    other = peer_dial(port);
    peer_request(other, "/free", "");
    do {
        status = raddle_server_poll(server, events, 16, 10000, &found);
        for (i = 0; status == RADDLE_OK && i < found; i++) {
            look_at(&events[i]);
            texts += events[i].kind == RADDLE_BINARY;
        }
    } while (status == RADDLE_OK);
    CHECK(status == RADDLE_ERR_HANDLE || status == RADDLE_ERR_CLOSED || status == RADDLE_ERR_TIMEOUT);
    STATUS(RADDLE_ERR_HANDLE, raddle_server_poll(server, events, 16, 0, &found));
    CHECK(texts <= 1 && raddle_conn_count() == 0);
    close(peer);
    close(other);
}

/* The destructor of a connection that is gone with a poll may use the server. */
static void using_it(void *user) {
    size_t found;
    raddle_message_t event;
    STATUS(RADDLE_ERR_TIMEOUT, raddle_server_poll(busy_server, &event, 1, 0, &found));
    OK(raddle_server_flush(busy_server));
    destroy(user);
}

static void destructor_that_polls(uint32_t engine) {
    const raddle_message_t *event;
    raddle_message_t none;
    uint16_t port;
    size_t found;
    int peer;
    busy_server = serve(engine, NULL, NULL, NULL, NULL, NULL, &port);
    peer = peer_dial(port);
    peer_request(peer, "/", "");
    event = polled(busy_server, RADDLE_OPENED);
    destroyed = 0;
    OK(raddle_conn_set_user(event->conn, &destroyed, using_it));
    close(peer);
    polled(busy_server, RADDLE_CLOSED);
    CHECK(count(&destroyed) == 0);
    STATUS(RADDLE_ERR_TIMEOUT, raddle_server_poll(busy_server, &none, 1, 0, &found));
    CHECK(count(&destroyed) == 1);
    OK(raddle_server_free(busy_server));
}

/* Hostile input 310: what the library gives has its own function, which can be called again, and no other. */
static void each_with_its_own(void) {
    raddle_server_config_t *config = NULL;
    raddle_server_tls_t *tls = NULL;
    OK(raddle_server_config_new(&config));
    OK(raddle_server_tls_new(&tls));
    STATUS(RADDLE_ERR_HANDLE, raddle_server_config_free((raddle_server_config_t *)tls));
    STATUS(RADDLE_ERR_HANDLE, raddle_server_tls_free((raddle_server_tls_t *)config));
    STATUS(RADDLE_ERR_HANDLE, raddle_conn_free((raddle_conn_t)(uintptr_t)config));
    STATUS(RADDLE_ERR_HANDLE, raddle_server_free((raddle_server_t *)config));
    OK(raddle_server_tls_free(tls));
    STATUS(RADDLE_ERR_HANDLE, raddle_server_tls_free(tls));
    OK(raddle_server_config_free(config));
    STATUS(RADDLE_ERR_HANDLE, raddle_server_config_free(config));
    OK(raddle_server_config_free(NULL));
    OK(raddle_server_tls_free(NULL));
    OK(raddle_server_free(NULL));
    OK(raddle_request_free(NULL));
}

int main(void) {
    each_with_its_own();
    from_many_threads();
    in_each_callback();
    while_others_use_it();
    whatever_holds_it();
    by_the_one_that_receives();
    what_was_polled(RADDLE_ENGINE_QUEUE);
    what_was_polled(RADDLE_ENGINE_FED_QUEUE);
    within_its_poll();
    destructor_that_polls(RADDLE_ENGINE_QUEUE);
    destructor_that_polls(RADDLE_ENGINE_FED_QUEUE);
    return 0;
}

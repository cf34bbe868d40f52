/* Hostile input 312: random calls from sixteen threads, with handles that are valid, stale, forged and another thread's, against a
   model of what each call may return.

       random [CALLS [SEED]]     a million calls by default, of all threads together */
#include "random.h"

#include <dirent.h>
#include <pthread.h>

#define THREADS 16
#define SHARED 64

/* An object that all threads use at once. */
static raddle_protocol_t *common;
static raddle_server_t *acceptor, *echoing[2], *queues[2];
static uint16_t acceptor_port, echo_ports[2], queue_ports[2];
/* Connections of callbacks and of the queue, and requests, that whoever comes by uses. */
static raddle_conn_t shared[SHARED];
static raddle_request_t *asked[SHARED];
static int kept, destroyed;
/* The sockets that were dialled, by their ports: who accepts a connection may not be who has dialled. */
static int dialled[65536];

static void destroy(void *user) {
    CHECK(user == &destroyed);
    __atomic_add_fetch(&destroyed, 1, __ATOMIC_SEQ_CST);
}

/* Counts what is to be destroyed, where it was taken. */
static int keep(raddle_conn_t conn) {
    int status;
    __atomic_add_fetch(&kept, 1, __ATOMIC_SEQ_CST);
    status = raddle_conn_set_user(conn, &destroyed, destroy);
    if (status != RADDLE_OK) __atomic_sub_fetch(&kept, 1, __ATOMIC_SEQ_CST);
    return status;
}

static int32_t on_event(const raddle_message_t *event, void *user) {
    (void)user;
    if (event->kind == RADDLE_OPENED) {
        __atomic_store_n(&shared[event->conn % SHARED], event->conn, __ATOMIC_SEQ_CST);
    } else if (event->kind == RADDLE_TEXT || event->kind == RADDLE_BINARY) {
        raddle_send(event->conn, event->kind, event->data, event->length);
    }
    return 0;
}

static void on_request(raddle_request_t *request, void *user) {
    static int turn;
    raddle_request_t *before;
    (void)user;
    OK(raddle_request_keep(request));
    before = __atomic_exchange_n(&asked[__atomic_fetch_add(&turn, 1, __ATOMIC_SEQ_CST) % SHARED], request, __ATOMIC_SEQ_CST);
    /* Nobody has come by: where it was decided on it is no request any more. */
    raddle_request_free(before);
}

/* Calls on a connection that this thread has to itself. */
static void call_own(struct thread *self) {
    struct own *own = &self->conns[below(self, OWN)];
    uint32_t gone = own->id == 0 ? MAY(RADDLE_ERR_HANDLE) : ENDED;
    uint32_t open = own->state == OPEN ? FINE | MAY(RADDLE_ERR_WOULD_BLOCK) : gone;
    uint32_t there = own->state == NONE ? gone : FINE;
    uint32_t number;
    char buffer[8];
    size_t length;
    void *user;
    raddle_message_t message;
    raddle_ping_t *ping = NULL;
    switch (below(self, 17)) {
    case 0: CALL(open, raddle_send(own->id, RADDLE_TEXT | RADDLE_DONT_WAIT, (const uint8_t *)"text", 4)); break;
    case 1: CALL(MAY(RADDLE_ERR_UTF8), raddle_send(own->id, RADDLE_TEXT, (const uint8_t *)"\xff", 1)); break;
    case 2: CALL(MAY(RADDLE_ERR_ARGUMENT), raddle_send(own->id, RADDLE_TEXT, NULL, 4)); break;
    case 3: CALL(open & ~MAY(RADDLE_ERR_WOULD_BLOCK), raddle_ping(own->id, NULL, 0)); break;
    case 4: CALL(there, raddle_flush(own->id)); break;
    case 5:
        CALL(there, raddle_conn_state(own->id, &number));
        if (own->state == OPEN) CHECK(number == RADDLE_STATE_OPEN);
        if (own->state == CUT) CHECK(number == RADDLE_STATE_CLOSED);
        break;
    case 6: CALL(there, raddle_conn_target(own->id, buffer, sizeof buffer, &length)); break;
    case 7: CALL(there, keep(own->id)); break;
    case 8: CALL(there, raddle_conn_user(own->id, &user)); break;
    case 9:
        CALL(own->state == OPEN ? MAY(RADDLE_ERR_TIMEOUT) : own->state == CLOSING ? ENDED | MAY(RADDLE_ERR_TIMEOUT) : gone,
             raddle_recv(own->id, 0, &message));
        break;
    case 10:
        CALL(own->state == OPEN ? FINE : gone, raddle_close(own->id, 1000, "bye"));
        if (own->state == OPEN) own->state = CLOSING;
        break;
    case 11:
        if (below(self, 4) != 0) break;
        CALL(there, raddle_cut(own->id));
        if (own->state != NONE) own->state = CUT;
        break;
    case 12:
        if (below(self, 4) != 0) break;
        CALL(there, raddle_conn_free(own->id));
        if (own->state != NONE) close(own->peer);
        self->freed_conn = own->id;
        own->state = NONE;
        break;
    case 13:
        CALL(there, raddle_pause(own->id));
        CALL(there, raddle_conn_is_paused(own->id, &number));
        if (own->state != NONE) CHECK(number == 1);
        break;
    case 14: CALL(there, raddle_resume(own->id)); break;
    case 15:
        CALL(own->state == OPEN ? FINE : gone, raddle_ping_begin(own->id, &ping));
        if (ping == NULL) break;
        CALL(MAY(RADDLE_ERR_TIMEOUT), raddle_ping_wait(ping, 0, NULL));
        CALL(FINE, raddle_ping_free(ping));
        CALL(MAY(RADDLE_ERR_HANDLE), raddle_ping_free(ping));
        break;
    default:
        CALL(self->freed_conn ? ENDED : MAY(RADDLE_ERR_HANDLE), raddle_conn_free(self->freed_conn));
        break;
    }
}

/* Dials a connection, and takes one that some thread has dialled. */
static void call_accept(struct thread *self) {
    struct own *own = &self->conns[below(self, OWN)];
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    char text[64];
    int peer, *place;
    if (own->state != NONE) return;
    peer = peer_dial(acceptor_port);
    CHECK(getsockname(peer, (struct sockaddr *)&address, &length) == 0);
    peer_request(peer, "/", "");
    /* Whoever has accepted it waits for this. */
    __atomic_store_n(&dialled[ntohs(address.sin_port)], peer, __ATOMIC_SEQ_CST);
    CALL(FINE, raddle_server_accept(acceptor, 10000, &own->id));
    CALL(FINE, raddle_conn_peer(own->id, text, sizeof text, NULL));
    place = &dialled[atoi(strchr(text, ':') + 1)];
    EVENTUALLY((own->peer = __atomic_exchange_n(place, 0, __ATOMIC_SEQ_CST)) != 0);
    own->state = OPEN;
}

/* Calls on what is everybody's. */
static void call_shared(struct thread *self) {
    raddle_conn_t conn = __atomic_load_n(&shared[below(self, SHARED)], __ATOMIC_SEQ_CST);
    raddle_server_t *server = echoing[below(self, 2)];
    /* It may be of the other server, or not be given yet. */
    uint32_t none = conn == 0 ? MAY(RADDLE_ERR_HANDLE) : FOREIGN, member = none | MAY(RADDLE_ERR_HANDLE);
    uint64_t counted;
    size_t count;
    uint32_t number;
    raddle_message_t message;
    raddle_conn_t listed[4];
    switch (below(self, 14)) {
    case 0: CALL(none, raddle_send(conn, RADDLE_BINARY | RADDLE_DONT_WAIT, (const uint8_t *)"shared", 6)); break;
    case 1: CALL(none, raddle_conn_state(conn, &number)); break;
    case 2: CALL(none, keep(conn)); break;
    case 3: CALL(conn ? MAY(RADDLE_ERR_STATE) | ENDED : none, raddle_recv(conn, 0, &message)); break;
    case 4: CALL(conn ? MAY(RADDLE_ERR_STATE) | ENDED : none, raddle_conn_free(conn)); break;
    case 5: CALL(member, raddle_server_subscribe(server, conn, "topic")); break;
    case 6: CALL(member | MAY(RADDLE_ERR_NOT_FOUND), raddle_server_unsubscribe(server, conn, "topic")); break;
    case 7: CALL(FINE, raddle_server_publish(server, "topic", RADDLE_TEXT, (const uint8_t *)"all", 3, 0)); break;
    case 8: CALL(FINE | MAY(RADDLE_ERR_BUFFER), raddle_server_connections(server, NULL, listed, 4, &count)); break;
    case 9: CALL(FINE, raddle_server_metric(server, RADDLE_METRIC_OPENED, &counted)); break;
    case 10: CALL(FINE, raddle_server_wake(queues[below(self, 2)])); break;
    case 11: CALL(MAY(RADDLE_ERR_STATE), raddle_server_wake(server)); break;
    case 12: CALL(MAY(RADDLE_ERR_STATE), raddle_server_start(server)); break;
    default:
        if (below(self, 8) == 0) CALL(none, raddle_close(conn, 1000, NULL));
        break;
    }
}

/* Decides on a request that another thread may be deciding on. */
static void call_request(struct thread *self) {
    raddle_request_t *request = __atomic_load_n(&asked[below(self, SHARED)], __ATOMIC_SEQ_CST);
    uint32_t raced = FINE | MAY(RADDLE_ERR_HANDLE) | MAY(RADDLE_ERR_BUSY) | MAY(RADDLE_ERR_TIMEOUT);
    char path[16];
    if (request == NULL) return;
    switch (below(self, 6)) {
    case 0: CALL(raced, raddle_request_path(request, path, sizeof path, NULL)); break;
    case 1: CALL(raced, raddle_request_set_identity(request, "somebody")); break;
    case 2: CALL(raced, raddle_request_refuse(request, 404)); break;
    case 3: CALL(raced, raddle_request_free(request)); break;
    default: CALL(raced, raddle_request_accept(request)); break;
    }
}

static void call_forged(struct thread *self) {
    uint64_t id = forged(self);
    uint32_t never = MAY(RADDLE_ERR_HANDLE);
    raddle_message_t event;
    size_t count;
    switch (below(self, 6)) {
    case 0: CALL(never, raddle_send(id, RADDLE_TEXT, NULL, 0)); break;
    case 1: CALL(never, raddle_conn_free(id)); break;
    case 2: CALL(never, raddle_server_stop((raddle_server_t *)(uintptr_t)id, 0)); break;
    case 3: CALL(never, raddle_request_accept((raddle_request_t *)(uintptr_t)id)); break;
    case 4: CALL(never, raddle_server_poll((raddle_server_t *)(uintptr_t)id, &event, 1, -1, &count)); break;
    default: CALL(never, raddle_server_stop((raddle_server_t *)self->configs[0], 0)); break;
    }
}

/* Comes to the servers that bring events, and goes. */
static void call_peer(struct thread *self) {
    int *peer = &self->peers[below(self, OWN)];
    uint64_t which = below(self, 4);
    char sink[4096];
    if (*peer < 0) {
        *peer = peer_dial(which < 2 ? echo_ports[which] : queue_ports[which - 2]);
        peer_request(*peer, "/", "");
    } else if (below(self, 4) == 0) {
        close(*peer);
        *peer = -1;
    } else {
        /* What has come is thrown away; what does not fit is not waited for. */
        unsigned char frame[7] = {0x81, 0x81, 0, 0, 0, 0, 'x'};
        while (recv(*peer, sink, sizeof sink, MSG_DONTWAIT) > 0) {
        }
        send(*peer, frame, sizeof frame, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
}

static long calls_of_each;

static void *run(void *argument) {
    struct thread *self = argument;
    int i;
    for (i = 0; i < OWN; i++) self->peers[i] = -1;
    while (self->calls < calls_of_each) {
        switch (below(self, 64)) {
        case 0: call_accept(self); break;
        case 1: call_peer(self); break;
        case 2: case 3: call_request(self); break;
        case 4: case 5: case 6: case 7: call_tls(self); break;
        case 8: case 9: case 10: case 11: call_client(self); break;
        case 12: case 13: case 14: case 15: case 16: case 17: case 18: case 19: call_protocol(self, common); break;
        default:
            switch (below(self, 4)) {
            case 0: call_config(self); break;
            case 1: call_shared(self); break;
            case 2: call_forged(self); break;
            default: call_own(self); break;
            }
        }
    }
    free_objects(self);
    for (i = 0; i < OWN; i++) {
        if (self->conns[i].state != NONE) {
            CALL(FINE, raddle_conn_free(self->conns[i].id));
            close(self->conns[i].peer);
        }
        if (self->peers[i] >= 0) close(self->peers[i]);
    }
    return NULL;
}

/* Serves a queue, until it is over. */
static void *poll_queue(void *queue) {
    raddle_message_t events[7];
    size_t count = 0, i;
    int status;
    while ((status = raddle_server_poll(queue, events, 7, -1, &count)) != RADDLE_ERR_CLOSED) {
        if (status != RADDLE_OK) STATUS(RADDLE_ERR_INTERRUPTED, status);
        for (i = 0; status == RADDLE_OK && i < count; i++) CHECK(on_event(&events[i], NULL) == 0);
    }
    return queue;
}

static int descriptors(void) {
    int found = 0;
    DIR *directory = opendir("/proc/self/fd");
    CHECK(directory != NULL);
    while (readdir(directory) != NULL) found++;
    closedir(directory);
    return found;
}

static raddle_server_t *deciding(uint32_t engine, uint16_t *port) {
    raddle_server_config_t *config = NULL;
    raddle_server_t *server = NULL;
    OK(raddle_server_config_new(&config));
    OK(raddle_server_config_listen(config, "127.0.0.1", 0, NULL));
    OK(raddle_server_config_engine(config, engine));
    OK(raddle_server_config_workers(config, 2));
    OK(raddle_server_config_handshake_timeout(config, 2000));
    OK(raddle_server_config_callbacks(config, on_event, on_event, on_event, on_event, NULL, NULL));
    OK(raddle_server_config_on_request(config, on_request, NULL, NULL));
    OK(raddle_server_new(config, &server));
    OK(raddle_server_config_free(config));
    OK(raddle_server_start(server));
    OK(raddle_server_port(server, port));
    return server;
}

int main(int argc, char **argv) {
    static struct thread threads[THREADS];
    pthread_t handles[THREADS], pollers[2];
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : (uint64_t)time(NULL);
    long total = 0;
    int before, i;
    calls_of_each = (argc > 1 ? atol(argv[1]) : 1000000) / THREADS;
    printf("random %ld %llu\n", calls_of_each * THREADS, (unsigned long long)seed);
    fflush(stdout);

    /* What the library keeps for good is there after a first connection. */
    echoing[0] = serve(RADDLE_ENGINE_POOL, NULL, echo, NULL, NULL, NULL, &echo_ports[0]);
    i = peer_open(echo_ports[0]);
    peer_echo(i, "first");
    peer_close(i);
    finish(echoing[0]);
    /* Until the last of them is closed. */
    for (before = descriptors(), i = 0; i < 50; i++) {
        pause_ms(10);
        if (descriptors() < before) before = descriptors();
    }

    OK(raddle_protocol_server(NULL, &common));
    acceptor = serve(RADDLE_ENGINE_ACCEPT, NULL, NULL, NULL, NULL, NULL, &acceptor_port);
    echoing[0] = deciding(RADDLE_ENGINE_THREADS, &echo_ports[0]);
    echoing[1] = deciding(RADDLE_ENGINE_POOL, &echo_ports[1]);
    for (i = 0; i < 2; i++) {
        queues[i] = deciding(i == 0 ? RADDLE_ENGINE_QUEUE : RADDLE_ENGINE_FED_QUEUE, &queue_ports[i]);
        CHECK(pthread_create(&pollers[i], NULL, poll_queue, queues[i]) == 0);
    }
    for (i = 0; i < THREADS; i++) {
        threads[i].state = (seed + (uint64_t)i) * 0x9e3779b97f4a7c15ull | 1;
        CHECK(pthread_create(&handles[i], NULL, run, &threads[i]) == 0);
    }
    for (i = 0; i < THREADS; i++) {
        CHECK(pthread_join(handles[i], NULL) == 0);
        total += threads[i].calls;
    }
    for (i = 0; i < 2; i++) {
        OK(raddle_server_stop(queues[i], 1000));
        CHECK(pthread_join(pollers[i], NULL) == 0);
        OK(raddle_server_join(queues[i], 10000));
        OK(raddle_server_free(queues[i]));
    }
    for (i = 0; i < 2; i++) OK(raddle_server_stop(echoing[i], 1000));
    for (i = 0; i < 2; i++) OK(raddle_server_join(echoing[i], 10000));
    for (i = 0; i < 2; i++) OK(raddle_server_free(echoing[i]));
    OK(raddle_server_stop(acceptor, 1000));
    OK(raddle_server_join(acceptor, 10000));
    OK(raddle_server_free(acceptor));
    for (i = 0; i < SHARED; i++) raddle_request_free(asked[i]);
    OK(raddle_protocol_free(common));
    EVENTUALLY(raddle_conn_count() == 0);
    EVENTUALLY(__atomic_load_n(&kept, __ATOMIC_SEQ_CST) == __atomic_load_n(&destroyed, __ATOMIC_SEQ_CST));
    EVENTUALLY(descriptors() <= before);
    printf("%ld calls, %d pointers destroyed\n", total, destroyed);
    return 0;
}

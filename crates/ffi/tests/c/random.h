/* Random calls against a model, of one thread: what a call may return, and the handles that are settings and objects of a thread. */
#ifndef RANDOM_H
#define RANDOM_H

#include "peer.h"

#define OWN 6

/* What a call may return, as a set of statuses. */
#define MAY(status) (1u << -(int)(status))
#define FINE MAY(RADDLE_OK)
#define ENDED MAY(RADDLE_ERR_CLOSED)
/* Of what somebody else may have ended, filled or begun to use by now. */
#define FOREIGN (FINE | ENDED | MAY(RADDLE_ERR_WOULD_BLOCK) | MAY(RADDLE_ERR_BUSY) | MAY(RADDLE_ERR_TIMEOUT))

/* A random number, of one thread. */
struct thread {
    uint64_t state;
    long calls;
    raddle_server_config_t *configs[OWN], *freed_config;
    raddle_server_tls_t *tls[OWN], *freed_tls;
    raddle_client_t *clients[OWN], *freed_client;
    struct object {
        raddle_protocol_t *protocol;
        enum { NEW, TALKING, ENDING } stage;
    } objects[OWN];
    raddle_protocol_t *freed_protocol;
    struct own {
        raddle_conn_t id;
        enum { NONE, OPEN, CLOSING, CUT } state;
        /* The other side, which does nothing. */
        int peer;
    } conns[OWN];
    raddle_conn_t freed_conn;
    int peers[OWN];
};

static uint64_t next(struct thread *self) {
    /* xorshift64* */
    self->state ^= self->state >> 12;
    self->state ^= self->state << 25;
    self->state ^= self->state >> 27;
    return self->state * 0x2545f4914f6cdd1dull;
}

static uint64_t below(struct thread *self, uint64_t bound) {
    return (next(self) >> 33) % bound;
}

static void expect(struct thread *self, uint32_t allowed, int status, const char *call) {
    self->calls++;
    if (status > 0 || status < -31 || !(allowed & MAY(status))) {
        fprintf(stderr, "%s is %d (%s: %s), and may be one of %x\n", call, status, raddle_strerror(status),
                raddle_last_error(), allowed);
        abort();
    }
}

#define CALL(allowed, call) expect(self, allowed, call, #call)

/* A handle that nobody was given: of another kind, or of a slot that is not there. */
static uint64_t forged(struct thread *self) {
    static const uint64_t edges[] = {0, 1, UINT64_MAX, INT64_MAX, 1ull << 60, 2ull << 60, 3ull << 60, 4ull << 60};
    uint64_t random = next(self);
    return below(self, 2) == 0 ? edges[below(self, 8)] : random | 0xf0000000f0000000ull;
}

static void call_config(struct thread *self) {
    raddle_server_config_t **place = &self->configs[below(self, OWN)];
    raddle_server_config_t *stale = self->freed_config, *none = (raddle_server_config_t *)(uintptr_t)forged(self);
    uint32_t never = MAY(RADDLE_ERR_HANDLE);
    switch (below(self, 8)) {
    case 0:
        if (*place == NULL) CALL(FINE, raddle_server_config_new(place));
        break;
    case 1:
        if (*place != NULL) {
            CALL(FINE, raddle_server_config_free(*place));
            self->freed_config = *place;
            *place = NULL;
        }
        break;
    case 2: CALL(*place ? FINE : never, raddle_server_config_workers(*place, 1 + (uint32_t)below(self, 1024))); break;
    case 3: CALL(*place ? MAY(RADDLE_ERR_ARGUMENT) : never, raddle_server_config_engine(*place, 9)); break;
    case 4: CALL(*place ? FINE : never, raddle_server_config_subprotocol(*place, "chat")); break;
    case 5: CALL(stale ? never : FINE, raddle_server_config_free(stale)); break;
    case 6: CALL(never, raddle_server_config_max_message(stale, 1)); break;
    default: CALL(none ? never : FINE, raddle_server_config_free(none)); break;
    }
}

static void call_tls(struct thread *self) {
    raddle_server_tls_t **place = &self->tls[below(self, OWN)];
    uint32_t never = MAY(RADDLE_ERR_HANDLE);
    switch (below(self, 5)) {
    case 0:
        if (*place == NULL) CALL(FINE, raddle_server_tls_new(place));
        break;
    case 1:
        if (*place != NULL) {
            CALL(FINE, raddle_server_tls_free(*place));
            self->freed_tls = *place;
            *place = NULL;
        }
        break;
    case 2: CALL(*place ? MAY(RADDLE_ERR_STATE) : never, raddle_server_tls_reload(*place)); break;
    case 3: CALL(never, raddle_server_tls_reload(self->freed_tls)); break;
    default: CALL(never, raddle_server_tls_reload((raddle_server_tls_t *)self->configs[0])); break;
    }
}

static void call_client(struct thread *self) {
    raddle_client_t **place = &self->clients[below(self, OWN)], *stale = self->freed_client;
    uint32_t never = MAY(RADDLE_ERR_HANDLE), there = *place ? FINE : never;
    raddle_attempt_t *attempt = NULL;
    raddle_conn_t conn;
    switch (below(self, 9)) {
    case 0:
        if (*place == NULL) CALL(FINE, raddle_client_new(place));
        break;
    case 1:
        if (*place != NULL) {
            CALL(FINE, raddle_client_free(*place));
            self->freed_client = *place;
            *place = NULL;
        }
        break;
    case 2: CALL(there, raddle_client_header(*place, "X-Random", "yes")); break;
    case 3: CALL(*place ? MAY(RADDLE_ERR_ARGUMENT) : never, raddle_client_when_full(*place, 9)); break;
    case 4: CALL(*place ? MAY(RADDLE_ERR_ARGUMENT) : never, raddle_client_proxy(*place, "nonsense")); break;
    case 5: CALL(never, raddle_client_max_message(stale, 1)); break;
    case 6: CALL(never, raddle_client_max_message((raddle_client_t *)self->tls[0], 1)); break;
    case 7:
        if (below(self, 64) != 0) break;
        CALL(FINE, raddle_attempt_start(NULL, "http://", &attempt));
        CALL(MAY(RADDLE_ERR_ARGUMENT), raddle_attempt_wait(attempt, -1, &conn));
        CALL(FINE, raddle_attempt_free(attempt));
        CALL(never, raddle_attempt_wait(attempt, 0, &conn));
        break;
    default: CALL(stale ? never : FINE, raddle_client_free(stale)); break;
    }
}

/* An object without I/O, of one thread and of all. */
static void call_protocol(struct thread *self, raddle_protocol_t *shared) {
    static const char request[] =
        "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    static const uint8_t frame[] = {0x81, 0x81, 0, 0, 0, 0, 'x'};
    struct object *object = &self->objects[below(self, OWN)];
    raddle_protocol_t *protocol = object->protocol;
    uint32_t there = protocol ? FINE : MAY(RADDLE_ERR_HANDLE);
    uint32_t sends = !protocol ? there : object->stage == NEW ? MAY(RADDLE_ERR_STATE) : object->stage == TALKING ? FINE : ENDED;
    raddle_message_t event;
    const uint8_t *output;
    uint8_t *space;
    size_t length;
    uint32_t state;
    switch (below(self, 10)) {
    case 0:
        if (protocol != NULL) break;
        CALL(FINE, raddle_protocol_server(NULL, &object->protocol));
        object->stage = NEW;
        break;
    case 1:
        if (protocol == NULL || object->stage != NEW) break;
        CALL(FINE, raddle_protocol_feed(protocol, (const uint8_t *)request, sizeof request - 1));
        CALL(FINE, raddle_protocol_next(protocol, &event));
        CHECK(event.kind == RADDLE_OPENED);
        object->stage = TALKING;
        break;
    case 2:
        if (protocol == NULL || object->stage == NEW) break;
        CALL(FINE, raddle_protocol_feed(protocol, frame, sizeof frame));
        CALL(FINE, raddle_protocol_next(protocol, &event));
        CHECK(event.kind == RADDLE_TEXT && event.length == 1 && event.data[0] == 'x');
        break;
    case 3: CALL(protocol ? MAY(RADDLE_ERR_WOULD_BLOCK) : there, raddle_protocol_next(protocol, &event)); break;
    case 4: CALL(sends, raddle_protocol_send(protocol, RADDLE_BINARY, frame, sizeof frame)); break;
    case 5:
        CALL(there, raddle_protocol_output(protocol, &output, &length));
        if (protocol != NULL) CALL(FINE, raddle_protocol_written(protocol, length));
        break;
    case 6:
        CALL(there, raddle_protocol_space(protocol, &space, &length));
        if (protocol != NULL) CALL(MAY(RADDLE_ERR_ARGUMENT), raddle_protocol_filled(protocol, length + 1));
        break;
    case 7:
        if (below(self, 4) != 0) break;
        CALL(sends, raddle_protocol_close(protocol, 1000, NULL));
        if (protocol != NULL && object->stage == TALKING) object->stage = ENDING;
        break;
    case 8:
        if (protocol == NULL) break;
        CALL(FINE, raddle_protocol_free(protocol));
        self->freed_protocol = protocol;
        object->protocol = NULL;
        break;
    default:
        CALL(FINE | MAY(RADDLE_ERR_BUSY), raddle_protocol_feed(shared, NULL, 0));
        CALL(FINE | MAY(RADDLE_ERR_BUSY), raddle_protocol_state(shared, &state));
        CALL(MAY(RADDLE_ERR_HANDLE), raddle_protocol_state(self->freed_protocol, &state));
        break;
    }
}

static void free_objects(struct thread *self) {
    int i;
    for (i = 0; i < OWN; i++) {
        if (self->configs[i] != NULL) CALL(FINE, raddle_server_config_free(self->configs[i]));
        if (self->tls[i] != NULL) CALL(FINE, raddle_server_tls_free(self->tls[i]));
        if (self->clients[i] != NULL) CALL(FINE, raddle_client_free(self->clients[i]));
        if (self->objects[i].protocol != NULL) CALL(FINE, raddle_protocol_free(self->objects[i].protocol));
    }
}

#endif

/* What the tests of the C interface share: checks that say where they have failed, and waits that end. */
#ifndef TEST_H
#define TEST_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <raddle.h>

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Ends the process where a condition does not hold. */
#define CHECK(condition)                                                                       \
    do {                                                                                       \
        if (!(condition)) {                                                                    \
            fprintf(stderr, "%s:%d: %s (%s)\n", __FILE__, __LINE__, #condition, raddle_last_error()); \
            abort();                                                                           \
        }                                                                                      \
    } while (0)

/* Ends the process where a call does not return this status. */
#define STATUS(expected, call)                                                                         \
    do {                                                                                               \
        int status_ = (int)(call);                                                                     \
        if (status_ != (int)(expected)) {                                                              \
            fprintf(stderr, "%s:%d: %s is %d (%s: %s), not %d\n", __FILE__, __LINE__, #call, status_,  \
                    raddle_strerror(status_), raddle_last_error(), (int)(expected));                   \
            abort();                                                                                   \
        }                                                                                              \
    } while (0)

#define OK(call) STATUS(RADDLE_OK, call)

/* Waits until a condition holds, for 10 s at most. */
#define EVENTUALLY(condition)                                       \
    do {                                                            \
        int left_ = 10000;                                          \
        while (!(condition) && left_-- > 0) pause_ms(1);            \
        if (left_ <= 0) CHECK(condition);                           \
    } while (0)

static inline void pause_ms(long milliseconds) {
    struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000};
    while (nanosleep(&time, &time) != 0 && errno == EINTR) {
    }
}

/* The settings of a server on a port of its own. */
static inline raddle_server_config_t *settings_of(uint32_t engine) {
    raddle_server_config_t *config = NULL;
    OK(raddle_server_config_new(&config));
    OK(raddle_server_config_listen(config, "127.0.0.1", 0, NULL));
    OK(raddle_server_config_engine(config, engine));
    return config;
}

static inline raddle_server_t *started(raddle_server_config_t *config, uint16_t *port) {
    raddle_server_t *server = NULL;
    OK(raddle_server_new(config, &server));
    OK(raddle_server_config_free(config));
    OK(raddle_server_start(server));
    if (port != NULL) OK(raddle_server_port(server, port));
    return server;
}

/* The next event, one at a time: what the array has no space for comes with the next call. */
static inline raddle_message_t next_event(raddle_server_t *server) {
    raddle_message_t event;
    size_t found = 0;
    OK(raddle_server_poll(server, &event, 1, 10000, &found));
    CHECK(found == 1);
    return event;
}

/* A server on a port of its own, with this engine, which was started. */
static inline raddle_server_t *serve(uint32_t engine, raddle_callback_t on_open, raddle_callback_t on_message,
                                     raddle_callback_t on_close, void *user, raddle_destroy_t destroy, uint16_t *port) {
    raddle_server_config_t *config = NULL;
    raddle_server_t *server = NULL;
    OK(raddle_server_config_new(&config));
    OK(raddle_server_config_listen(config, "127.0.0.1", 0, NULL));
    OK(raddle_server_config_engine(config, engine));
    OK(raddle_server_config_workers(config, 2));
    OK(raddle_server_config_callbacks(config, on_open, on_message, NULL, on_close, user, destroy));
    OK(raddle_server_new(config, &server));
    OK(raddle_server_config_free(config));
    OK(raddle_server_start(server));
    OK(raddle_server_port(server, port));
    return server;
}

static inline int32_t echo(const raddle_message_t *message, void *user) {
    (void)user;
    raddle_send(message->conn, message->kind, message->data, message->length);
    return 0;
}

/* Stops a server, and sees that nothing is left of it. */
static inline void finish(raddle_server_t *server) {
    OK(raddle_server_stop(server, 5000));
    OK(raddle_server_join(server, 10000));
    OK(raddle_server_free(server));
    EVENTUALLY(raddle_conn_count() == 0);
}

#endif

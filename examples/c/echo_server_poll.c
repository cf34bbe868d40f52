/* Sends every message back: with events from a queue, on this thread, which is the worker; with --engine pool, other threads
   read and parse for it. */
#define _POSIX_C_SOURCE 200809L

#include "options.h"

#include <signal.h>

static volatile sig_atomic_t is_asked_to_stop;

static void on_signal(int signal) {
    (void)signal;
    is_asked_to_stop = 1;
}

int main(int argc, char **argv) {
    raddle_server_config_t *config = NULL;
    raddle_server_t *server = NULL;
    raddle_message_t events[256];
    struct sigaction action;
    int speaks_tls, is_fed = 0, is_stopping = 0, argument;

    /* Without SA_RESTART: a signal ends the poll. */
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);

    check(raddle_check_version(RADDLE_VERSION, RADDLE_ABI_VERSION), "version");
    check(raddle_server_config_new(&config), "settings");
    speaks_tls = parse(argc, argv, config);
    for (argument = 3; argument + 1 < argc; argument++) {
        if (strcmp(argv[argument], "--engine") == 0) is_fed = strcmp(argv[argument + 1], "pool") == 0;
    }
    check(raddle_server_config_engine(config, is_fed ? RADDLE_ENGINE_FED_QUEUE : RADDLE_ENGINE_QUEUE), "engine");
    check(raddle_server_new(config, &server), "listen");
    check(raddle_server_config_free(config), "settings");
    check(raddle_server_start(server), "start");
    announce(server, speaks_tls);

    for (;;) {
        size_t count = 0, i;
        raddle_status_t status = raddle_server_poll(server, events, 256, 1000, &count);
        if (status == RADDLE_ERR_CLOSED) break;
        if (status != RADDLE_OK && status != RADDLE_ERR_TIMEOUT && status != RADDLE_ERR_INTERRUPTED) {
            check(status, "poll");
        }
        for (i = 0; i < count; i++) {
            const raddle_message_t *event = &events[i];
            if (event->kind == RADDLE_TEXT || event->kind == RADDLE_BINARY) {
                /* It fails where the peer has gone. What is sent leaves with the next poll. */
                raddle_send(event->conn, event->kind, event->data, event->length);
            }
        }
        if (is_asked_to_stop && !is_stopping) {
            is_stopping = 1;
            check(raddle_server_stop(server, 10000), "stop");
        }
    }
    check(raddle_server_join(server, 12000), "join");
    check(raddle_server_free(server), "free");
    return 0;
}

/* Sends every message back: with callbacks, on the library's threads. */
#define _POSIX_C_SOURCE 200809L

#include "options.h"

#include <signal.h>

static int32_t on_message(const raddle_message_t *message, void *user) {
    (void)user;
    /* It fails where the peer has gone, which ends the connection anyway. */
    raddle_send(message->conn, message->kind, message->data, message->length);
    return 0;
}

int main(int argc, char **argv) {
    raddle_server_config_t *config = NULL;
    raddle_server_t *server = NULL;
    sigset_t signals;
    int speaks_tls, signal;

    /* Asked for before anybody is told that we serve: one that comes right after that ends us cleanly too. */
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigprocmask(SIG_BLOCK, &signals, NULL);

    check(raddle_check_version(RADDLE_VERSION, RADDLE_ABI_VERSION), "version");
    check(raddle_server_config_new(&config), "settings");
    speaks_tls = parse(argc, argv, config);
    check(raddle_server_config_callbacks(config, NULL, on_message, NULL, NULL, NULL, NULL), "callbacks");
    check(raddle_server_new(config, &server), "listen");
    check(raddle_server_config_free(config), "settings");
    check(raddle_server_start(server), "start");
    announce(server, speaks_tls);

    sigwait(&signals, &signal);
    check(raddle_server_stop(server, 10000), "stop");
    check(raddle_server_join(server, 12000), "join");
    check(raddle_server_free(server), "free");
    return 0;
}

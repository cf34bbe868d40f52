/* Sends every message back: blocking, with a thread of this program for each connection. */
#define _POSIX_C_SOURCE 200809L

#include "options.h"

#include <pthread.h>
#include <signal.h>
#include <time.h>

static void *serve(void *argument) {
    raddle_conn_t conn = *(raddle_conn_t *)argument;
    raddle_message_t message;
    free(argument);
    while (raddle_recv(conn, -1, &message) == RADDLE_OK) {
        if (raddle_send(conn, message.kind, message.data, message.length) != RADDLE_OK) break;
    }
    /* What has ended needs no Close; what has not, as no message could be sent, gets 1001. */
    raddle_conn_free(conn);
    return NULL;
}

static void *accept_all(void *server) {
    raddle_conn_t conn;
    while (raddle_server_accept((raddle_server_t *)server, -1, &conn) == RADDLE_OK) {
        raddle_conn_t *argument = (raddle_conn_t *)malloc(sizeof *argument);
        pthread_t thread;
        if (argument == NULL) abort();
        *argument = conn;
        if (pthread_create(&thread, NULL, serve, argument) != 0) {
            free(argument);
            raddle_conn_free(conn);
        } else {
            pthread_detach(thread);
        }
    }
    return NULL;
}

int main(int argc, char **argv) {
    raddle_server_config_t *config = NULL;
    raddle_server_t *server = NULL;
    pthread_t acceptor;
    sigset_t signals;
    int speaks_tls, signal, left;

    /* For all threads, which inherit it: sigwait gets them. */
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);

    check(raddle_check_version(RADDLE_VERSION, RADDLE_ABI_VERSION), "version");
    check(raddle_server_config_new(&config), "settings");
    speaks_tls = parse(argc, argv, config);
    check(raddle_server_config_engine(config, RADDLE_ENGINE_ACCEPT), "engine");
    check(raddle_server_new(config, &server), "listen");
    check(raddle_server_config_free(config), "settings");
    check(raddle_server_start(server), "start");
    if (pthread_create(&acceptor, NULL, accept_all, server) != 0) return EXIT_FAILURE;
    announce(server, speaks_tls);

    sigwait(&signals, &signal);
    check(raddle_server_stop(server, 10000), "stop");
    check(raddle_server_join(server, 12000), "join");
    pthread_join(acceptor, NULL);
    /* The threads see the end of their connections. */
    for (left = 1000; raddle_conn_count() > 0 && left > 0; left--) {
        struct timespec pause = {0, 10 * 1000 * 1000};
        nanosleep(&pause, NULL);
    }
    check(raddle_server_free(server), "free");
    return 0;
}

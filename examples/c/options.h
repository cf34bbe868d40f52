/* What the echo servers are told by their command lines. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <raddle.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Ends the program where a call has failed. */
static inline void check(raddle_status_t status, const char *what) {
    if (status != RADDLE_OK) {
        fprintf(stderr, "%s: %s: %s\n", what, raddle_strerror(status), raddle_last_error());
        exit(EXIT_FAILURE);
    }
}

static inline void usage(const char *program) {
    fprintf(stderr,
            "%s HOST PORT [--engine threads|pool] [--workers N] [--deflate] [--max-message BYTES] [--max-fragments N]\n"
            "    [--max-connections N] [--ping-interval SECONDS] [--tls-cert PEM --tls-key PEM]\n", program);
    exit(2);
}

/* Sets up a server as the command line says; 1 where it speaks TLS. */
static inline int parse(int argc, char **argv, raddle_server_config_t *config) {
    raddle_server_tls_t *tls = NULL;
    const char *chain = NULL, *key = NULL;
    if (argc < 3) usage(argv[0]);
    for (int i = 3; i < argc; i++) {
        const char *flag = argv[i], *value = argv[i + 1];
        if (strcmp(flag, "--deflate") == 0) {
            /* Small messages too, for whoever tests it. */
            check(raddle_server_config_deflate(config, 0, 1, 0, 0, 0), flag);
            continue;
        }
        if (++i == argc) usage(argv[0]);
        if (strcmp(flag, "--engine") == 0) {
            int is_pool = strcmp(value, "pool") == 0;
            check(raddle_server_config_engine(config, is_pool ? RADDLE_ENGINE_POOL : RADDLE_ENGINE_THREADS), flag);
        } else if (strcmp(flag, "--workers") == 0) {
            check(raddle_server_config_workers(config, (uint32_t)strtoul(value, NULL, 10)), flag);
        } else if (strcmp(flag, "--max-message") == 0) {
            check(raddle_server_config_max_message(config, strtoull(value, NULL, 10)), flag);
        } else if (strcmp(flag, "--max-fragments") == 0) {
            check(raddle_server_config_max_fragments(config, (uint32_t)strtoul(value, NULL, 10)), flag);
        } else if (strcmp(flag, "--max-connections") == 0) {
            check(raddle_server_config_max_connections(config, strtoull(value, NULL, 10)), flag);
        } else if (strcmp(flag, "--ping-interval") == 0) {
            char *end;
            double seconds = strtod(value, &end);
            if (end == value || *end != 0 || !(seconds >= 0 && seconds <= 1e9)) usage(argv[0]);
            check(raddle_server_config_ping_interval(config, (uint64_t)(seconds * 1000)), flag);
        } else if (strcmp(flag, "--tls-cert") == 0) {
            chain = value;
        } else if (strcmp(flag, "--tls-key") == 0) {
            key = value;
        } else {
            usage(argv[0]);
        }
    }
    if ((chain == NULL) != (key == NULL)) usage(argv[0]);
    if (chain != NULL) {
        check(raddle_server_tls_new(&tls), "TLS");
        check(raddle_server_tls_certificate_files(tls, chain, key), "TLS");
    }
    check(raddle_server_config_listen(config, argv[1], (uint16_t)strtoul(argv[2], NULL, 10), tls), "TLS");
    check(raddle_server_tls_free(tls), "TLS");
    return chain != NULL;
}

/* Says where the server listens. */
static inline void announce(const raddle_server_t *server, int speaks_tls) {
    char address[64];
    check(raddle_server_address(server, 0, address, sizeof address, NULL), "address");
    printf("listening on %s://%s\n", speaks_tls ? "wss" : "ws", address);
    fflush(stdout);
}

#endif

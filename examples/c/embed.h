/* What the examples with an event loop of their own are told by their command lines: HOST PORT [--deflate], IPv4 only. */
#ifndef EMBED_H
#define EMBED_H

#include <arpa/inet.h>
#include <raddle.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The settings of all connections. */
static raddle_protocol_config_t *config;

/* Ends the program where something has failed. */
static inline void check(int is_fine, const char *what) {
    if (!is_fine) {
        perror(what);
        exit(EXIT_FAILURE);
    }
}

static inline void parse(int argc, char **argv, struct sockaddr_in *address) {
    memset(address, 0, sizeof *address);
    address->sin_family = AF_INET;
    if (argc < 3 || inet_pton(AF_INET, argv[1], &address->sin_addr) != 1) {
        fprintf(stderr, "%s HOST PORT [--deflate]\n", argv[0]);
        exit(2);
    }
    address->sin_port = htons((uint16_t)atoi(argv[2]));
    check(raddle_protocol_config_new(RADDLE_SERVER, &config) == RADDLE_OK, "settings");
    /* Small messages too, for whoever tests it. */
    if (argc > 3 && strcmp(argv[3], "--deflate") == 0) raddle_protocol_config_deflate(config, 0, 1, 0, 0, 0);
    /* A large message in small fragments. */
    raddle_protocol_config_max_message(config, 16 << 20);
    raddle_protocol_config_max_fragments(config, 100000);
}

static inline void announce(const struct sockaddr_in *address) {
    char host[INET_ADDRSTRLEN];
    inet_ntop(AF_INET, &address->sin_addr, host, sizeof host);
    printf("listening on ws://%s:%d\n", host, ntohs(address->sin_port));
    fflush(stdout);
}

#endif

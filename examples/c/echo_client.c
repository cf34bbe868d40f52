/* Sends every message back that a test suite's server sends, case by case: the client side of the conformance suite.
 *     echo_client ws[s]://HOST:PORT [--deflate] [--ca PEM] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <raddle.h>

static int failed(const char *what) {
    return fprintf(stderr, "echo_client: %s: %s\n", what, raddle_last_error()), 1;
}

/* Connects to a path of the server. */
static int open_path(const raddle_client_t *client, const char *server, const char *path, raddle_conn_t *conn) {
    char url[512];
    snprintf(url, sizeof url, "%s%s", server, path);
    return raddle_connect(client, url, -1, conn) == RADDLE_OK ? 0 : failed(url);
}

static int run(const raddle_client_t *client, const char *server) {
    raddle_conn_t conn;
    raddle_message_t message;
    if (open_path(client, server, "/getCaseCount", &conn) != 0) return 1;
    if (raddle_recv(conn, -1, &message) != RADDLE_OK) return failed("the count of cases");
    char number[16] = {0}, path[64];
    memcpy(number, message.data, message.length < sizeof number ? message.length : sizeof number - 1);
    raddle_conn_free(conn);
    int count = atoi(number);
    for (int i = 1; i <= count; i++) {
        snprintf(path, sizeof path, "/runCase?case=%d&agent=raddle", i);
        if (open_path(client, server, path, &conn) != 0) return 1;
        /* However the case ends: what has come of it is the suite's to judge. */
        while (raddle_recv(conn, -1, &message) == RADDLE_OK)
            if (raddle_send(conn, message.kind, message.data, message.length) != RADDLE_OK) break;
        raddle_conn_free(conn);
    }
    if (open_path(client, server, "/updateReports?agent=raddle", &conn) != 0) return 1;
    while (raddle_recv(conn, -1, &message) == RADDLE_OK) {}
    raddle_conn_free(conn);
    return printf("%d cases\n", count), 0;
}

int main(int argc, char **argv) {
    raddle_client_t *client;
    if (argc < 2 || raddle_client_new(&client) != RADDLE_OK) return fputs("echo_client ws[s]://HOST:PORT\n", stderr), 2;
    /* A case that floods us gets no Ping between its frames. */
    raddle_client_ping_interval(client, 0);
    raddle_client_max_fragments(client, 100000);
    for (int i = 2; i < argc; i++) {
        /* Everything is compressed, so that the suite sees it. */
        if (strcmp(argv[i], "--deflate") == 0) raddle_client_deflate(client, 0, 1, 0, 0, 0);
        else if (strcmp(argv[i], "--ca") == 0 && i + 1 < argc) {
            if (raddle_client_without_system_roots(client) != RADDLE_OK ||
                raddle_client_add_roots_file(client, argv[++i]) != RADDLE_OK) return failed(argv[i]);
        } else return fprintf(stderr, "echo_client: %s?\n", argv[i]), 2;
    }
    int status = run(client, argv[1]);
    raddle_client_free(client);
    return status;
}

/* Sends each line of the standard input, and prints each message that comes.
 *     client ws[s]://HOST:PORT/PATH [NAME: VALUE]...    further arguments are headers of the request */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <raddle.h>

static int failed(const char *what) {
    return fprintf(stderr, "client: %s: %s\n", what, raddle_last_error()), 1;
}

/* Any thread sends while another receives. */
static void *receive(void *argument) {
    raddle_conn_t conn = *(raddle_conn_t *)argument;
    raddle_message_t message;
    while (raddle_recv(conn, -1, &message) == RADDLE_OK) {
        if (message.kind == RADDLE_TEXT) printf("%.*s\n", (int)message.length, (const char *)message.data);
        else printf("(%zu bytes)\n", message.length);
        fflush(stdout);
    }
    return NULL;
}

int main(int argc, char **argv) {
    raddle_client_t *client;
    if (argc < 2 || raddle_client_new(&client) != RADDLE_OK) return fputs("client ws[s]://HOST:PORT/PATH\n", stderr), 2;
    raddle_client_deflate(client, 0, 0, 0, 0, 0);
    for (int i = 2; i < argc; i++) {
        char *value = strchr(argv[i], ':');
        if (value == NULL) return fprintf(stderr, "client: %s is no header\n", argv[i]), 2;
        *value++ = 0;
        value += strspn(value, " ");
        if (raddle_client_header(client, argv[i], value) != RADDLE_OK) return failed(argv[i]);
    }
    raddle_conn_t conn;
    raddle_status_t status = raddle_connect(client, argv[1], -1, &conn);
    raddle_client_free(client);
    if (status != RADDLE_OK) return failed(argv[1]);

    pthread_t receiver;
    if (pthread_create(&receiver, NULL, receive, &conn) != 0) return failed("no thread");
    char *line = NULL;
    size_t size = 0;
    ssize_t length;
    while (status == RADDLE_OK && (length = getline(&line, &size, stdin)) > 0) {
        if (line[length - 1] == '\n') length--;
        status = raddle_send(conn, RADDLE_TEXT, (const uint8_t *)line, (size_t)length);
        if (status != RADDLE_OK) failed("a line was not sent");
    }
    free(line);
    raddle_close(conn, 1000, "");
    pthread_join(receiver, NULL);
    raddle_conn_free(conn);
    return status != RADDLE_OK;
}

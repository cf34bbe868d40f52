/* A chat: a page and its WebSocket on one port, and a topic that brings what one says to all. */
#define _POSIX_C_SOURCE 200809L

#include "options.h"

#include <signal.h>

static const char PAGE[] =
    "<!doctype html><meta charset=utf-8><title>chat</title><ul id=said></ul>"
    "<form><input id=say autofocus maxlength=1000></form><script>"
    "const socket = new WebSocket(`ws${location.protocol.slice(4)}//${location.host}/ws`);"
    "socket.onmessage = ({data}) => { const item = document.createElement('li');"
    " item.textContent = data; said.append(item); };"
    "document.forms[0].onsubmit = () => { socket.send(say.value); say.value = ''; return false; };"
    "</script>";

/* Decides on a request: the page, the WebSocket, or neither. */
static void on_request(raddle_request_t *request, void *user) {
    char path[64];
    (void)user;
    if (raddle_request_path(request, path, sizeof path, NULL) != RADDLE_OK) path[0] = '\0';
    if (strcmp(path, "/ws") == 0) {
        raddle_request_accept(request);
    } else if (strcmp(path, "/") == 0) {
        raddle_request_respond(request, 200, "text/html; charset=utf-8", (const uint8_t *)PAGE, sizeof PAGE - 1);
    } else {
        raddle_request_refuse(request, 404);
    }
}

static raddle_server_t *server;

/* Who comes is in the topic until it has left. */
static int32_t on_open(const raddle_message_t *event, void *user) {
    (void)user;
    return (int32_t)raddle_server_subscribe(server, event->conn, "chat");
}

/* What one says goes to all, the one that has said it too, with its address in front. */
static int32_t on_message(const raddle_message_t *message, void *user) {
    char peer[64], line[1200];
    int length;
    (void)user;
    if (message->kind != RADDLE_TEXT || message->length > 1000) return 1;
    if (raddle_conn_peer(message->conn, peer, sizeof peer, NULL) != RADDLE_OK) strcpy(peer, "somebody");
    length = snprintf(line, sizeof line, "%s: %.*s", peer, (int)message->length, (const char *)message->data);
    return (int32_t)raddle_server_publish(server, "chat", RADDLE_TEXT, (const uint8_t *)line, (size_t)length, 0);
}

int main(int argc, char **argv) {
    raddle_server_config_t *config = NULL;
    sigset_t signals;
    int speaks_tls, signal;

    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);

    check(raddle_server_config_new(&config), "settings");
    speaks_tls = parse(argc, argv, config);
    check(raddle_server_config_callbacks(config, on_open, on_message, NULL, NULL, NULL, NULL), "callbacks");
    check(raddle_server_config_on_request(config, on_request, NULL, NULL), "requests");
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

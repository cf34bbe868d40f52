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

/* The server is known once it was started, and connections may come before that: they find it here. */
static raddle_server_t *server;

static int32_t on_open(const raddle_message_t *event, void *user) {
    char peer[64], line[96];
    (void)user;
    if (raddle_conn_peer(event->conn, peer, sizeof peer, NULL) != RADDLE_OK) strcpy(peer, "somebody");
    snprintf(line, sizeof line, "%s has come", peer);
    return raddle_server_broadcast(server, RADDLE_TEXT, (const uint8_t *)line, strlen(line), 0) == RADDLE_OK
        ? (int32_t)raddle_server_subscribe(server, event->conn, "chat")
        : 1;
}

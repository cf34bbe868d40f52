/* An echo server on libuv: raddle parses and frames, libuv reads and writes. */
#include "embed.h"
#include <signal.h>
#include <uv.h>

struct client {
    uv_tcp_t socket;
    uv_write_t request;
    raddle_protocol_t *protocol;
    size_t writing; /* Bytes that libuv has: they stay where they are until they are written. */
};
static void freed(uv_handle_t *handle) {
    raddle_protocol_free(((struct client *)handle->data)->protocol);
    free(handle->data);
}

static void end(struct client *client) {
    if (!uv_is_closing((uv_handle_t *)&client->socket)) uv_close((uv_handle_t *)&client->socket, freed);
}

static void lend_space(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer) {
    uint8_t *space = NULL;
    raddle_protocol_space(((struct client *)handle->data)->protocol, &space, &suggested);
    *buffer = uv_buf_init((char *)space, space == NULL ? 0 : (unsigned)suggested);
}

static void received(uv_stream_t *stream, ssize_t count, const uv_buf_t *buffer);
static void written(uv_write_t *request, int status);

static void write_out(struct client *client) {
    uv_stream_t *stream = (uv_stream_t *)&client->socket;
    const uint8_t *bytes;
    uint32_t state;
    if (raddle_protocol_output(client->protocol, &bytes, &client->writing) != RADDLE_OK) return;
    if (client->writing > 0) {
        uv_buf_t buffer = uv_buf_init((char *)(uintptr_t)bytes, (unsigned)client->writing);
        uv_read_stop(stream); /* Who does not read is not read either. */
        if (uv_write(&client->request, stream, &buffer, 1, written) != 0) end(client);
    } else if (raddle_protocol_state(client->protocol, &state) == RADDLE_OK && state == RADDLE_STATE_CLOSED) end(client);
    else uv_read_start(stream, lend_space, received);
}

static void written(uv_write_t *request, int status) {
    struct client *client = (struct client *)request->data;
    raddle_protocol_written(client->protocol, client->writing);
    (status == 0 ? write_out : end)(client);
}

static void received(uv_stream_t *stream, ssize_t count, const uv_buf_t *buffer) {
    struct client *client = (struct client *)stream->data;
    raddle_message_t event;
    raddle_protocol_filled(client->protocol, count < 0 || buffer == NULL ? 0 : (size_t)count);
    while (raddle_protocol_next(client->protocol, &event) == RADDLE_OK)
        if (event.kind == RADDLE_TEXT || event.kind == RADDLE_BINARY)
            raddle_protocol_send(client->protocol, event.kind, event.data, event.length);
    (count < 0 ? end : write_out)(client);
}

static void connected(uv_stream_t *listener, int status) {
    struct client *client = (struct client *)calloc(1, sizeof *client);
    check(client != NULL && status == 0, "accept");
    uv_tcp_init(listener->loop, &client->socket);
    client->socket.data = client->request.data = client;
    uv_accept(listener, (uv_stream_t *)&client->socket);
    (raddle_protocol_server(config, &client->protocol) == RADDLE_OK ? write_out : end)(client);
}

int main(int argc, char **argv) {
    uv_tcp_t listener;
    struct sockaddr_in address;
    int size = sizeof address;
    parse(argc, argv, &address);
    signal(SIGPIPE, SIG_IGN);
    uv_tcp_init(uv_default_loop(), &listener);
    uv_tcp_bind(&listener, (struct sockaddr *)&address, 0);
    check(uv_listen((uv_stream_t *)&listener, 128, connected) == 0, argv[1]);
    uv_tcp_getsockname(&listener, (struct sockaddr *)&address, &size);
    announce(&address);
    return uv_run(uv_default_loop(), UV_RUN_DEFAULT);
}

/* libwebsockets with its own event loop, or on libuv if asked: what a connection receives waits in a queue until it is writable. */

#include <libwebsockets.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A message, with the room in front of it that lws_write wants. */
struct message {
    struct message *next;
    size_t length, capacity;
    unsigned char bytes[];
};

struct connection {
    struct message *first, **last; /* Whole messages. */
    struct message *open;          /* One that is being received. */
};

static struct message *append(struct message *message, const void *bytes, size_t length, size_t remaining)
{
    size_t held = message ? message->length : 0;
    if (!message || message->capacity < held + length) {
        size_t capacity = held + length + remaining;
        message = realloc(message, sizeof *message + LWS_PRE + capacity);
        if (!message)
            return NULL;
        message->capacity = capacity;
    }
    memcpy(message->bytes + LWS_PRE + held, bytes, length);
    message->length = held + length;
    message->next = NULL;
    return message;
}

static int echo(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t length)
{
    struct connection *connection = user;
    struct message *message;

    switch (reason) {
    case LWS_CALLBACK_ESTABLISHED:
        connection->first = connection->open = NULL;
        connection->last = &connection->first;
        break;
    case LWS_CALLBACK_RECEIVE:
        message = append(connection->open, in, length, lws_remaining_packet_payload(wsi));
        if (!message)
            return -1;
        connection->open = message;
        if (lws_remaining_packet_payload(wsi) == 0 && lws_is_final_fragment(wsi)) {
            *connection->last = message;
            connection->last = &message->next;
            connection->open = NULL;
            lws_callback_on_writable(wsi);
        }
        break;
    case LWS_CALLBACK_SERVER_WRITEABLE:
        message = connection->first;
        if (!message)
            break;
        /* What the socket does not take, lws_write keeps. */
        if (lws_write(wsi, message->bytes + LWS_PRE, message->length, LWS_WRITE_BINARY) < (int)message->length)
            return -1;
        connection->first = message->next;
        if (!connection->first)
            connection->last = &connection->first;
        else
            lws_callback_on_writable(wsi);
        free(message);
        break;
    case LWS_CALLBACK_CLOSED:
        free(connection->open);
        while ((message = connection->first)) {
            connection->first = message->next;
            free(message);
        }
        break;
    default:
        break;
    }
    return 0;
}

int main(int count, char **arguments)
{
    static const struct lws_protocols protocols[] = {
        {.name = "echo", .callback = echo, .per_session_data_size = sizeof(struct connection), .rx_buffer_size = 65536},
        {0},
    };
    struct lws_context_creation_info info = {0};
    struct lws_context *context;
    struct lws_vhost *vhost;

    lws_set_log_level(LLL_ERR, NULL);
    info.port = 0;
    info.iface = "127.0.0.1";
    info.protocols = protocols;
    info.pt_serv_buf_size = 65536;
    info.options = LWS_SERVER_OPTION_EXPLICIT_VHOSTS | LWS_SERVER_OPTION_DISABLE_IPV6;
    if (count > 1 && strcmp(arguments[1], "libuv") == 0)
        info.options |= LWS_SERVER_OPTION_LIBUV;
    context = lws_create_context(&info);
    vhost = context ? lws_create_vhost(context, &info) : NULL;
    if (!vhost)
        return 1;
    printf("listening on ws://127.0.0.1:%d\n", lws_get_vhost_listen_port(vhost));
    fflush(stdout);
    while (lws_service(context, 0) >= 0)
        ;
    return 1;
}

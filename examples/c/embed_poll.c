/* An echo server in a poll(2) loop of its own: raddle parses and frames, the program reads and writes. */
#define _POSIX_C_SOURCE 200809L
#include "embed.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MOST = 1024 };
static struct pollfd sockets[MOST]; /* The first one listens, the second one tells of a signal. */
static raddle_protocol_t *protocols[MOST];
static int signals[2]; /* A pipe: a signal that comes just before the program waits is not missed. */

static void stop(int signal) { (void)!write(signals[1], &signal, 1); }

/* Writes what there is to be written; 0: the connection has ended. */
static int write_out(raddle_protocol_t *protocol, struct pollfd *of) {
    const uint8_t *bytes;
    size_t length;
    uint32_t state;
    of->events = POLLIN;
    while (raddle_protocol_output(protocol, &bytes, &length) == RADDLE_OK && length > 0) {
        ssize_t count = send(of->fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (count < 0) {
            /* Who does not read is not read either. */
            of->events = POLLOUT;
            return errno == EAGAIN;
        }
        raddle_protocol_written(protocol, (size_t)count);
    }
    return raddle_protocol_state(protocol, &state) == RADDLE_OK && state != RADDLE_STATE_CLOSED;
}

/* Reads what has come, and sends the messages back; 0: the connection has ended. */
static int read_in(raddle_protocol_t *protocol, struct pollfd *of) {
    raddle_message_t event;
    uint8_t *space;
    size_t length;
    if (raddle_protocol_space(protocol, &space, &length) != RADDLE_OK) return 0;
    ssize_t count = recv(of->fd, space, length, MSG_DONTWAIT);
    if (count <= 0) return count < 0 && errno == EAGAIN;
    raddle_protocol_filled(protocol, (size_t)count);
    while (raddle_protocol_next(protocol, &event) == RADDLE_OK)
        if (event.kind == RADDLE_TEXT || event.kind == RADDLE_BINARY)
            raddle_protocol_send(protocol, event.kind, event.data, event.length);
    return write_out(protocol, of);
}

int main(int argc, char **argv) {
    struct sockaddr_in address;
    socklen_t size = sizeof address;
    int count = 2, i;
    parse(argc, argv, &address);
    check(pipe(signals) == 0, "pipe");
    signal(SIGTERM, stop);
    sockets[1].fd = signals[0];
    sockets[0].fd = socket(AF_INET, SOCK_STREAM, 0);
    sockets[0].events = sockets[1].events = POLLIN;
    check(bind(sockets[0].fd, (struct sockaddr *)&address, size) == 0 && listen(sockets[0].fd, 128) == 0, argv[1]);
    getsockname(sockets[0].fd, (struct sockaddr *)&address, &size);
    announce(&address);
    while (poll(sockets, (nfds_t)count, -1) > 0 && sockets[1].revents == 0) {
        for (i = count - 1; i > 1; i--) {
            if (sockets[i].revents == 0 || (sockets[i].events == POLLIN ? read_in : write_out)(protocols[i], &sockets[i])) continue;
            raddle_protocol_free(protocols[i]);
            close(sockets[i].fd);
            sockets[i] = sockets[--count];
            protocols[i] = protocols[count];
        }
        if (!(sockets[0].revents & POLLIN) || count == MOST) continue;
        sockets[count].fd = accept(sockets[0].fd, NULL, NULL);
        sockets[count].events = POLLIN;
        if (sockets[count].fd < 0) continue;
        if (raddle_protocol_server(config, &protocols[count]) == RADDLE_OK) count++;
        else close(sockets[count].fd);
    }
    raddle_protocol_config_free(config);
    return 0;
}

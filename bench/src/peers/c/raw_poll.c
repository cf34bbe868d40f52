/* The limit of a poll(2) loop: examples/c/embed_poll.c without raddle. What was read is written as it is. */
#define _POSIX_C_SOURCE 200809L
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MOST = 1024, SPACE = 65536 };
static struct pollfd sockets[MOST]; /* The first one listens. */
/* What a socket has not taken. */
static struct unsent {
    unsigned char *bytes;
    size_t length;
} unsent[MOST];
/* As the protocol object has it, each connection receives into memory of its own. */
static unsigned char spaces[MOST][SPACE];

/* Keeps what is left, in memory of its own. */
static int keep(int i, const unsigned char *bytes, size_t length) {
    unsigned char *kept = length > 0 ? malloc(length) : NULL;
    if (kept != NULL) memcpy(kept, bytes, length);
    free(unsent[i].bytes);
    unsent[i].bytes = kept;
    unsent[i].length = length;
    sockets[i].events = length > 0 ? POLLOUT : POLLIN;
    return length == 0 || kept != NULL;
}

/* Writes once; 0: the connection has ended. */
static int write_out(int i, const unsigned char *bytes, size_t length) {
    ssize_t count = send(sockets[i].fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (count < 0 && errno != EAGAIN) return 0;
    if (count < 0) count = 0;
    if ((size_t)count == length && unsent[i].length == 0) return 1;
    return keep(i, bytes + count, length - (size_t)count);
}

/* Does what a socket is ready for; 0: the connection has ended. */
static int attend(int i) {
    ssize_t count;
    if (unsent[i].length > 0) return write_out(i, unsent[i].bytes, unsent[i].length);
    count = recv(sockets[i].fd, spaces[i], SPACE, MSG_DONTWAIT);
    if (count <= 0) return count < 0 && errno == EAGAIN;
    return write_out(i, spaces[i], (size_t)count);
}

int main(void) {
    struct sockaddr_in address;
    socklen_t size = sizeof address;
    int count = 1, i;
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    sockets[0].fd = socket(AF_INET, SOCK_STREAM, 0);
    sockets[0].events = POLLIN;
    if (bind(sockets[0].fd, (struct sockaddr *)&address, size) != 0 || listen(sockets[0].fd, 1024) != 0) {
        perror("listen");
        return 1;
    }
    getsockname(sockets[0].fd, (struct sockaddr *)&address, &size);
    printf("listening on ws://127.0.0.1:%d\n", ntohs(address.sin_port));
    fflush(stdout);
    while (poll(sockets, (nfds_t)count, -1) > 0) {
        for (i = count - 1; i > 0; i--) {
            if (sockets[i].revents == 0 || attend(i)) continue;
            free(unsent[i].bytes);
            close(sockets[i].fd);
            sockets[i] = sockets[--count];
            unsent[i] = unsent[count];
            memset(&unsent[count], 0, sizeof unsent[count]);
        }
        if (!(sockets[0].revents & POLLIN) || count == MOST) continue;
        sockets[count].fd = accept(sockets[0].fd, NULL, NULL);
        sockets[count].events = POLLIN;
        if (sockets[count].fd >= 0) count++;
    }
    return 0;
}

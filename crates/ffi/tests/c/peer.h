/* The other side of a connection, byte by byte: a client that knows nothing of the library. */
#ifndef PEER_H
#define PEER_H

#include "test.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>

/* A TCP connection to a port of this machine, whose reads give up after 10 s. */
static inline int peer_dial(uint16_t port) {
    struct sockaddr_in address;
    struct timeval limit = {10, 0};
    int peer = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(peer >= 0);
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(peer, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(peer, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    CHECK(connect(peer, (struct sockaddr *)&address, sizeof address) == 0);
    return peer;
}

static inline void peer_write(int peer, const void *bytes, size_t length) {
    CHECK(send(peer, bytes, length, MSG_NOSIGNAL) == (ssize_t)length);
}

/* Sends the request of an opening handshake, with further header lines. */
static inline void peer_request(int peer, const char *target, const char *headers) {
    char request[1024];
    int made = snprintf(request, sizeof request,
                        "GET %s HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n%s\r\n",
                        target, headers);
    CHECK(made > 0 && (size_t)made < sizeof request);
    peer_write(peer, request, (size_t)made);
}

/* Receives the head of an answer, and gives its status; 0: there is none. `head` may be NULL. */
static inline int peer_answer(int peer, char *head, size_t size) {
    char own[1024];
    size_t length = 0;
    if (head == NULL) {
        head = own;
        size = sizeof own;
    }
    while (length + 1 < size) {
        if (recv(peer, head + length, 1, 0) <= 0) return 0;
        head[++length] = '\0';
        if (length >= 4 && strcmp(head + length - 4, "\r\n\r\n") == 0) return atoi(head + 9);
    }
    return 0;
}

/* A WebSocket connection. */
static inline int peer_open(uint16_t port) {
    int peer = peer_dial(port);
    peer_request(peer, "/", "");
    CHECK(peer_answer(peer, NULL, 0) == 101);
    return peer;
}

/* Sends a frame, masked with zeros. */
static inline void peer_send(int peer, unsigned opcode, const void *payload, size_t length) {
    unsigned char frame[14 + 65536];
    size_t head = 2;
    CHECK(length <= 65535);
    frame[0] = (unsigned char)(0x80 | opcode);
    if (length < 126) {
        frame[1] = (unsigned char)(0x80 | length);
    } else {
        frame[1] = 0x80 | 126;
        frame[2] = (unsigned char)(length >> 8);
        frame[3] = (unsigned char)length;
        head = 4;
    }
    memset(frame + head, 0, 4);
    if (length != 0) memcpy(frame + head + 4, payload, length);
    peer_write(peer, frame, head + 4 + length);
}

static inline int peer_read(int peer, void *place, size_t length) {
    size_t done = 0;
    while (done < length) {
        ssize_t count = recv(peer, (char *)place + done, length - done, 0);
        if (count <= 0) return 0;
        done += (size_t)count;
    }
    return 1;
}

/* Receives a frame of at most `size` bytes: its opcode; -1: the stream has ended. */
static inline int peer_receive(int peer, void *payload, size_t size, size_t *length) {
    unsigned char head[10];
    if (!peer_read(peer, head, 2)) return -1;
    *length = head[1] & 0x7f;
    if (*length == 126) {
        if (!peer_read(peer, head + 2, 2)) return -1;
        *length = (size_t)head[2] << 8 | head[3];
    } else if (*length == 127) {
        size_t i;
        if (!peer_read(peer, head + 2, 8)) return -1;
        for (*length = 0, i = 2; i < 10; i++) *length = *length << 8 | head[i];
    }
    CHECK(*length <= size);
    return peer_read(peer, payload, *length) ? head[0] & 0x0f : -1;
}

/* Sends a text, and sees that it comes back. */
static inline void peer_echo(int peer, const char *text) {
    char payload[1024];
    size_t length = 0;
    peer_send(peer, RADDLE_TEXT, text, strlen(text));
    CHECK(peer_receive(peer, payload, sizeof payload, &length) == RADDLE_TEXT);
    CHECK(length == strlen(text) && memcmp(payload, text, length) == 0);
}

/* Waits for a Close, and gives its code; 0: the stream has ended without one. */
static inline int peer_closed(int peer) {
    unsigned char payload[65536];
    size_t length = 0;
    for (;;) {
        int opcode = peer_receive(peer, payload, sizeof payload, &length);
        if (opcode < 0) return 0;
        if (opcode == RADDLE_CLOSE) return length < 2 ? 1005 : payload[0] << 8 | payload[1];
    }
}

/* Carries out the closing handshake. */
static inline void peer_close(int peer) {
    peer_send(peer, RADDLE_CLOSE, "\x03\xe8", 2);
    CHECK(peer_closed(peer) == 1000);
    close(peer);
}

#endif

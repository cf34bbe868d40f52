/* Hostile inputs 304, 316 and 317: the structure, the statuses and the version as they are compiled here, as C of every age and as
   C++. Programs that were compiled once rely on each of these numbers. */
#include <raddle.h>

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define EQUAL(what, expected)                                                             \
    if ((long long)(what) != (long long)(expected)) {                                     \
        fprintf(stderr, "%s is %lld, not %lld\n", #what, (long long)(what), (long long)(expected)); \
        failures++;                                                                       \
    }

int main(void) {
    int failures = 0;
    char text[32];
    EQUAL(sizeof(raddle_message_t), 32)
    EQUAL(offsetof(raddle_message_t, conn), 0)
    EQUAL(offsetof(raddle_message_t, data), 8)
    EQUAL(offsetof(raddle_message_t, length), 16)
    EQUAL(offsetof(raddle_message_t, kind), 24)
    EQUAL(offsetof(raddle_message_t, detail), 28)
    EQUAL(sizeof(raddle_conn_t), 8)
    EQUAL(sizeof(raddle_status_t), 4)
    EQUAL(RADDLE_OK, 0)
    EQUAL(RADDLE_ERR_ARGUMENT, -1)
    EQUAL(RADDLE_ERR_HANDLE, -2)
    EQUAL(RADDLE_ERR_CLOSED, -3)
    EQUAL(RADDLE_ERR_TIMEOUT, -4)
    EQUAL(RADDLE_ERR_WOULD_BLOCK, -5)
    EQUAL(RADDLE_ERR_INTERRUPTED, -6)
    EQUAL(RADDLE_ERR_BUSY, -7)
    EQUAL(RADDLE_ERR_BUFFER, -8)
    EQUAL(RADDLE_ERR_STATE, -9)
    EQUAL(RADDLE_ERR_UTF8, -10)
    EQUAL(RADDLE_ERR_LIMIT, -11)
    EQUAL(RADDLE_ERR_PROTOCOL, -12)
    EQUAL(RADDLE_ERR_HANDSHAKE, -13)
    EQUAL(RADDLE_ERR_TLS, -14)
    EQUAL(RADDLE_ERR_IO, -15)
    EQUAL(RADDLE_ERR_NOT_FOUND, -16)
    EQUAL(RADDLE_ERR_POISONED, -17)
    EQUAL(RADDLE_ERR_INTERNAL, -18)
    EQUAL(RADDLE_ERR_FORKED, -19)
    EQUAL(RADDLE_ERR_VERSION, -20)
    EQUAL(RADDLE_TEXT, 1)
    EQUAL(RADDLE_BINARY, 2)
    EQUAL(RADDLE_CLOSE, 8)
    EQUAL(RADDLE_OPENED, 16)
    EQUAL(RADDLE_DRAINED, 17)
    EQUAL(RADDLE_CLOSED, 18)
    EQUAL(RADDLE_REQUEST, 19)
    EQUAL(RADDLE_UNCOMPRESSED, 0x100)
    EQUAL(RADDLE_DONT_WAIT, 0x200)
    EQUAL(raddle_version(), RADDLE_VERSION)
    snprintf(text, sizeof text, "%u.%u.%u", RADDLE_VERSION / 1000000u, RADDLE_VERSION / 1000u % 1000u,
             RADDLE_VERSION % 1000u);
    EQUAL(strcmp(raddle_version_string(), text), 0)
    /* An older header is fine, a newer one and one of another ABI are not. */
    EQUAL(raddle_check_version(RADDLE_VERSION, RADDLE_ABI_VERSION), RADDLE_OK)
    EQUAL(raddle_check_version(0, RADDLE_ABI_VERSION), RADDLE_OK)
    EQUAL(raddle_check_version(RADDLE_VERSION + 1, RADDLE_ABI_VERSION), RADDLE_ERR_VERSION)
    EQUAL(raddle_check_version(RADDLE_VERSION, RADDLE_ABI_VERSION + 1), RADDLE_ERR_VERSION)
    return failures;
}

/* What connects again and again, where no thread can be started for it, tries once more with the next call. */
#include "test.h"

#include <sys/resource.h>

/* Leaves so many bytes of address space: less than the stack of a thread. */
static void leave(rlim_t bytes) {
    unsigned long pages = 0;
    struct rlimit limit;
    FILE *statm = fopen("/proc/self/statm", "r");
    CHECK(statm != NULL && fscanf(statm, "%lu", &pages) == 1);
    fclose(statm);
    CHECK(getrlimit(RLIMIT_AS, &limit) == 0);
    limit.rlim_cur = bytes == RLIM_INFINITY ? limit.rlim_max : (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE) + bytes;
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
}

int main(void) {
    raddle_reconnect_t *reconnect = NULL;
    raddle_conn_t conn;
    char url[64];
    uint16_t port;
    int i;
    raddle_server_t *server = serve(RADDLE_ENGINE_THREADS, NULL, echo, NULL, NULL, NULL, &port);
    snprintf(url, sizeof url, "ws://127.0.0.1:%u/", (unsigned)port);
    OK(raddle_reconnect_new(NULL, url, 5, 10, 0, &reconnect));
    for (i = 0; i < 2; i++) {
        leave(1 << 20);
        STATUS(RADDLE_ERR_IO, raddle_reconnect_next(reconnect, 0, &conn));
        leave(RLIM_INFINITY);
    }
    OK(raddle_reconnect_next(reconnect, 10000, &conn));
    OK(raddle_conn_free(conn));
    OK(raddle_reconnect_free(reconnect));
    finish(server);
    return 0;
}

/* What the library says: to the function that is set, at the level that is asked for, and to nobody else. */
#include "peer.h"

static int lines, errors, after, destroyed;
static uint32_t least;

static void log_line(uint32_t level, const char *text, void *user) {
    CHECK(user == &lines && strlen(text) > 0 && strlen(text) < 512 && strpbrk(text, "\r\n") == NULL);
    CHECK(level >= RADDLE_LOG_ERROR && level <= least);
    if (__atomic_load_n(&destroyed, __ATOMIC_SEQ_CST) != 0) __atomic_add_fetch(&after, 1, __ATOMIC_SEQ_CST);
    __atomic_add_fetch(&lines, 1, __ATOMIC_SEQ_CST);
    if (level == RADDLE_LOG_ERROR) __atomic_add_fetch(&errors, 1, __ATOMIC_SEQ_CST);
}

static void destroy(void *user) {
    CHECK(user == &lines);
    __atomic_add_fetch(&destroyed, 1, __ATOMIC_SEQ_CST);
}

static int32_t failing(const raddle_message_t *event, void *user) {
    (void)event;
    (void)user;
    return 1;
}

/* A connection whose callback fails, which is an error, and ends, which is worth a line of the level debug. */
static void fail_once(void) {
    uint16_t port;
    raddle_server_t *server = serve(RADDLE_ENGINE_POOL, NULL, failing, NULL, NULL, NULL, &port);
    int peer = peer_open(port);
    peer_send(peer, RADDLE_TEXT, "fail", 4);
    CHECK(peer_closed(peer) == 1011);
    close(peer);
    finish(server);
}

int main(void) {
    STATUS(RADDLE_ERR_ARGUMENT, raddle_log(log_line, 6, &lines, destroy));
    CHECK(destroyed == 0);
    fail_once();
    CHECK(lines == 0);
    least = RADDLE_LOG_ERROR;
    OK(raddle_log(log_line, RADDLE_LOG_ERROR, &lines, destroy));
    fail_once();
    EVENTUALLY(__atomic_load_n(&errors, __ATOMIC_SEQ_CST) == 1);
    CHECK(lines == 1 && destroyed == 0);
    least = RADDLE_LOG_TRACE;
    OK(raddle_log(log_line, RADDLE_LOG_TRACE, &lines, destroy));
    EVENTUALLY(__atomic_load_n(&destroyed, __ATOMIC_SEQ_CST) == 1);
    __atomic_store_n(&destroyed, 0, __ATOMIC_SEQ_CST);
    fail_once();
    EVENTUALLY(__atomic_load_n(&errors, __ATOMIC_SEQ_CST) == 2);
    OK(raddle_log(NULL, RADDLE_LOG_TRACE, NULL, NULL));
    EVENTUALLY(__atomic_load_n(&destroyed, __ATOMIC_SEQ_CST) == 1);
    lines = 0;
    fail_once();
    CHECK(lines == 0 && after == 0 && destroyed == 1);
    return 0;
}

/* Hostile input 309: the text of a failure is kept for each thread, bounded, on one line, whatever other threads do. */
#include "peer.h"

#include <pthread.h>

#define THREADS 8

/* Each thread fails in a way of its own, and finds its own text. */
static void *failing(void *argument) {
    int number = *(int *)argument, round;
    raddle_server_config_t *config = NULL;
    char name[64], before[1024];
    OK(raddle_server_config_new(&config));
    CHECK(raddle_last_error()[0] == '\0');
    snprintf(name, sizeof name, "no-network-%d", number);
    for (round = 0; round < 2000; round++) {
        if (round % 2 == 0) {
            STATUS(RADDLE_ERR_ARGUMENT, raddle_server_config_engine(config, 100 + (uint32_t)number));
            snprintf(before, sizeof before, "there is no constant %d", 100 + number);
        } else {
            STATUS(RADDLE_ERR_HANDLE, raddle_server_stop(NULL, 0));
            snprintf(before, sizeof before, "never given");
        }
        CHECK(strstr(raddle_last_error(), before) != NULL);
        /* What succeeds leaves it alone. */
        OK(raddle_server_config_workers(config, 1));
        CHECK(strstr(raddle_last_error(), before) != NULL);
    }
    OK(raddle_server_config_free(config));
    return NULL;
}

int main(void) {
    pthread_t threads[THREADS];
    int numbers[THREADS], i;
    raddle_server_config_t *config = NULL;
    raddle_server_t *server = NULL;
    char path[5000];
    for (i = 0; i < THREADS; i++) {
        numbers[i] = i;
        CHECK(pthread_create(&threads[i], NULL, failing, &numbers[i]) == 0);
    }
    for (i = 0; i < THREADS; i++) CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(raddle_last_error()[0] == '\0');

    /* As long as it may be, and without what would begin a line or move a terminal's cursor. */
    OK(raddle_server_config_new(&config));
    memset(path, 'x', sizeof path - 1);
    memcpy(path, "/no\nsuch\x1b[1m/", 13);
    path[sizeof path - 1] = '\0';
    OK(raddle_server_config_listen_unix(config, path));
    STATUS(RADDLE_ERR_IO, raddle_server_new(config, &server));
    CHECK(strlen(raddle_last_error()) < 512 && strlen(raddle_last_error()) > 500);
    CHECK(strpbrk(raddle_last_error(), "\n\x1b") == NULL);
    OK(raddle_server_config_free(config));

    /* Every status, and every other number, has a text. */
    for (i = -1000; i < 1000; i++) CHECK(raddle_strerror(i) != NULL && raddle_strerror(i)[0] != '\0');
    CHECK(strcmp(raddle_strerror(RADDLE_OK), raddle_strerror(RADDLE_ERR_IO)) != 0);
    CHECK(strcmp(raddle_strerror(1), raddle_strerror(INT32_MIN)) == 0);
    return 0;
}

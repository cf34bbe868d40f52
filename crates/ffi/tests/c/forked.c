/* Hostile input 313: before the first handle, behind the last, in a child process, and with signals. */
#include "peer.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

/* What a forked child finds, as its exit code. */
static int in_child(int (*body)(void *), void *with) {
    int status = 0;
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) _exit(body(with));
    CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* Nothing was used before: the child has a library of its own. */
static int serves(void *with) {
    uint16_t port;
    raddle_server_t *server = serve(RADDLE_ENGINE_POOL, NULL, echo, NULL, NULL, NULL, &port);
    int peer = peer_open(port);
    (void)with;
    peer_echo(peer, "in the child");
    peer_close(peer);
    finish(server);
    return 0;
}

static int makes_a_handle(void *pipe_end) {
    raddle_server_config_t *config = NULL;
    OK(raddle_server_config_new(&config));
    CHECK(write(*(int *)pipe_end, &config, sizeof config) == (ssize_t)sizeof config);
    return 0;
}

/* Nothing was used before: each process has handles of its own, and takes none of another one. */
static raddle_server_config_t *of_another_process(void) {
    raddle_server_config_t *handles[2];
    int ends[2], i;
    CHECK(pipe(ends) == 0);
    for (i = 0; i < 2; i++) {
        CHECK(in_child(makes_a_handle, &ends[1]) == 0);
        CHECK(read(ends[0], &handles[i], sizeof handles[i]) == (ssize_t)sizeof handles[i]);
    }
    CHECK(handles[0] != handles[1]);
    close(ends[0]);
    close(ends[1]);
    return handles[0];
}

/* The parent's threads are not here: every call says so, and none waits. */
static int counts_none(void *unused) {
    (void)unused;
    alarm(10);
    STATUS(RADDLE_ERR_FORKED, raddle_cut(1));
    CHECK(raddle_conn_count() == 0);
    return 0;
}

static int refused(void *with) {
    raddle_server_t *server = with, *other = NULL;
    raddle_server_config_t *config = NULL;
    raddle_message_t event;
    size_t count;
    alarm(10);
    STATUS(RADDLE_ERR_FORKED, raddle_server_config_new(&config));
    STATUS(RADDLE_ERR_FORKED, raddle_server_new(config, &other));
    STATUS(RADDLE_ERR_FORKED, raddle_server_stop(server, 0));
    STATUS(RADDLE_ERR_FORKED, raddle_server_join(server, -1));
    STATUS(RADDLE_ERR_FORKED, raddle_server_poll(server, &event, 1, -1, &count));
    STATUS(RADDLE_ERR_FORKED, raddle_server_free(server));
    STATUS(RADDLE_ERR_FORKED, raddle_send(1, RADDLE_TEXT, NULL, 0));
    CHECK(strstr(raddle_last_error(), "forked") != NULL && strstr(raddle_strerror(RADDLE_ERR_FORKED), "forked") != NULL);
    return 0;
}

static int signals;

static void on_signal(int signal) {
    (void)signal;
    __atomic_add_fetch(&signals, 1, __ATOMIC_SEQ_CST);
}

static void *signal_it(void *thread) {
    pause_ms(50);
    pthread_kill(*(pthread_t *)thread, SIGUSR1);
    return NULL;
}

static raddle_server_t *woken;

static void *wake_it(void *unused) {
    pause_ms(50);
    OK(raddle_server_wake(woken));
    return unused;
}

/* A signal ends a poll, as a wake does. The library's own threads take no signals. */
static void signalled(void) {
    raddle_message_t event;
    size_t count = 77;
    uint16_t port;
    pthread_t self = pthread_self(), other;
    struct sigaction action;
    int i;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    sigaction(SIGUSR1, &action, NULL);
    woken = serve(RADDLE_ENGINE_QUEUE, NULL, NULL, NULL, NULL, NULL, &port);
    CHECK(pthread_create(&other, NULL, signal_it, &self) == 0);
    STATUS(RADDLE_ERR_INTERRUPTED, raddle_server_poll(woken, &event, 1, 10000, &count));
    CHECK(pthread_join(other, NULL) == 0 && signals == 1 && count == 77);
    CHECK(pthread_create(&other, NULL, wake_it, NULL) == 0);
    STATUS(RADDLE_ERR_INTERRUPTED, raddle_server_poll(woken, &event, 1, -1, &count));
    CHECK(pthread_join(other, NULL) == 0);
    STATUS(RADDLE_ERR_TIMEOUT, raddle_server_poll(woken, &event, 1, 0, &count));
    /* To the process: it can only come to this thread. */
    for (i = 0; i < 100; i++) {
        int before = __atomic_load_n(&signals, __ATOMIC_SEQ_CST);
        kill(getpid(), SIGUSR1);
        EVENTUALLY(__atomic_load_n(&signals, __ATOMIC_SEQ_CST) == before + 1);
    }
    finish(woken);
}

/* The URL of a port that is taken, and where nobody listens. */
static const char *nobody(char *url, size_t size) {
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    int taken = socket(AF_INET, SOCK_STREAM, 0);
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(bind(taken, (struct sockaddr *)&address, length) == 0);
    CHECK(getsockname(taken, (struct sockaddr *)&address, &length) == 0);
    snprintf(url, size, "ws://127.0.0.1:%u/", (unsigned)ntohs(address.sin_port));
    return url;
}

int main(void) {
    raddle_server_config_t *own = NULL, *foreign;
    raddle_server_t *server;
    raddle_conn_t conn;
    char url[64];
    uint16_t port;
    raddle_status_t status;
    /* No start, and no end, of the library has to be asked for. */
    CHECK(raddle_conn_count() == 0 && raddle_last_error()[0] == '\0');
    STATUS(RADDLE_ERR_HANDLE, raddle_conn_free(1));
    CHECK(in_child(serves, NULL) == 0);
    foreign = of_another_process();
    /* Without a handle: an attempt to connect has started threads. */
    STATUS(RADDLE_ERR_IO, raddle_connect(NULL, nobody(url, sizeof url), 10000, &conn));
    OK(in_child(counts_none, NULL));
    OK(raddle_server_config_new(&own));
    STATUS(RADDLE_ERR_HANDLE, raddle_server_config_free(foreign));
    OK(raddle_server_config_free(own));
    server = serve(RADDLE_ENGINE_POOL, NULL, echo, NULL, NULL, NULL, &port);
    status = (raddle_status_t)-in_child(refused, server);
    OK(status);
    /* And the parent goes on. */
    {
        int peer = peer_open(port);
        EVENTUALLY(raddle_conn_count() == 1);
        OK(in_child(counts_none, NULL));
        peer_echo(peer, "in the parent");
        peer_close(peer);
    }
    finish(server);
    signalled();
    STATUS(RADDLE_ERR_HANDLE, raddle_server_free(server));
    return 0;
}

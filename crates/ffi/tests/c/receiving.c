/* Receiving by calls: one message, all that are there, as an object of an interpreter, in parts, until a signal; sending in fragments; Pings that are waited for. */
#include "test.h"

#include <pthread.h>
#include <signal.h>
#include <time.h>

static uint16_t port;
static raddle_server_t *server;

/* A connection of a client, and its other end at the server, which the program has as well. */
struct pair {
    raddle_conn_t client, server;
};

static struct pair connect_pair(const raddle_client_t *settings) {
    struct pair pair = {0, 0};
    raddle_attempt_t *attempt = NULL;
    char url[64];
    snprintf(url, sizeof url, "ws://127.0.0.1:%u/path?query", (unsigned)port);
    OK(raddle_attempt_start(settings, url, &attempt));
    OK(raddle_server_accept(server, 10000, &pair.server));
    OK(raddle_attempt_wait(attempt, 10000, &pair.client));
    STATUS(RADDLE_ERR_STATE, raddle_attempt_wait(attempt, 0, &pair.client));
    OK(raddle_attempt_free(attempt));
    return pair;
}

static void free_pair(struct pair pair) {
    OK(raddle_conn_free(pair.client));
    OK(raddle_conn_free(pair.server));
}

static void send_text(raddle_conn_t conn, const char *text) {
    OK(raddle_send(conn, RADDLE_TEXT, (const uint8_t *)text, strlen(text)));
}

static void expect_text(const raddle_message_t *message, const char *text) {
    CHECK(message->kind == RADDLE_TEXT && message->length == strlen(text));
    CHECK(memcmp(message->data, text, message->length) == 0);
}

/* Sends messages that the other end finds together: it has read nothing before. */
static void send_together(raddle_conn_t conn, const char *const *texts) {
    for (; *texts != NULL; texts++) send_text(conn, *texts);
    OK(raddle_flush(conn));
    pause_ms(20);
}

static void a_batch_takes_what_is_there_and_waits_for_no_more(void) {
    const char *const texts[] = {"one", "", "three", "a longer one", NULL};
    struct pair pair = connect_pair(NULL);
    raddle_message_t messages[8], message;
    uint8_t region[64];
    size_t count = 77, i;
    STATUS(RADDLE_ERR_TIMEOUT, raddle_recv_batch(pair.server, 0, region, sizeof region, messages, 8, &count));
    CHECK(count == 77);
    send_together(pair.client, texts);
    OK(raddle_recv_batch(pair.server, 10000, region, sizeof region, messages, 8, &count));
    CHECK(count == 4);
    for (i = 0; i < count; i++) {
        expect_text(&messages[i], texts[i]);
        CHECK(messages[i].conn == pair.server && messages[i].data >= region && messages[i].data <= region + sizeof region);
    }
    /* Answers to a batch leave together, and soon. */
    for (i = 0; i < count; i++) OK(raddle_send(pair.server, messages[i].kind, messages[i].data, messages[i].length));
    for (i = 0; i < count; i++) {
        OK(raddle_recv(pair.client, 10000, &message));
        expect_text(&message, texts[i]);
    }

    /* As many as there are places; the others come next. */
    send_together(pair.client, texts);
    OK(raddle_recv_batch(pair.server, 10000, region, sizeof region, messages, 3, &count));
    CHECK(count == 3);
    OK(raddle_recv_batch(pair.server, 10000, region, sizeof region, messages, 3, &count));
    CHECK(count == 1);
    expect_text(&messages[0], texts[3]);
    free_pair(pair);
}

/* Hostile input 311. */
static void a_message_without_a_place_is_not_lost(void) {
    const char *const texts[] = {"twelve bytes", "xy", "another", NULL};
    struct pair pair = connect_pair(NULL);
    raddle_message_t message;
    uint8_t region[16];
    size_t count, size;
    send_together(pair.client, texts);
    for (size = 0; size < 12; size++) {
        STATUS(RADDLE_ERR_BUFFER, raddle_recv_batch(pair.server, 10000, region, size, &message, 1, &count));
        CHECK(count == 12);
    }
    OK(raddle_recv_batch(pair.server, 10000, region, 12, &message, 1, &count));
    expect_text(&message, texts[0]);
    /* Kept behind others as well, for whichever call comes next. */
    {
        raddle_message_t messages[4];
        OK(raddle_recv_batch(pair.server, 10000, region, 4, messages, 4, &count));
        CHECK(count == 1);
        expect_text(&messages[0], texts[1]);
        OK(raddle_recv(pair.server, 10000, &message));
        expect_text(&message, texts[2]);
        send_together(pair.client, texts + 1);
        OK(raddle_recv_batch(pair.server, 10000, region, 4, messages, 4, &count));
        OK(raddle_recv_part(pair.server, 10000, &message));
        expect_text(&message, texts[2]);
        CHECK(message.detail == 0);
        /* Nothing at all has its place in nothing. */
        OK(raddle_send(pair.client, RADDLE_BINARY, NULL, 0));
        OK(raddle_recv_batch(pair.server, 10000, NULL, 0, messages, 4, &count));
        CHECK(count == 1 && messages[0].kind == RADDLE_BINARY && messages[0].length == 0 && messages[0].data != NULL);
    }
    free_pair(pair);
}

/* An interpreter that counts what is asked of it. Its objects are what was made last. */
static struct {
    int left, entered, fails;
    char kind;
    char payload[64];
    size_t length;
    long number;
} interpreter;

static void *leave(void) {
    CHECK(interpreter.left == interpreter.entered);
    interpreter.left++;
    return &interpreter.left;
}

static void enter(void *left) {
    CHECK(left == &interpreter.left);
    interpreter.entered++;
}

static void *make(char kind, const char *data, ptrdiff_t length) {
    CHECK(interpreter.left == interpreter.entered);
    CHECK(data != NULL && length >= 0 && (size_t)length < sizeof interpreter.payload);
    if (interpreter.fails) return NULL;
    interpreter.kind = kind;
    memcpy(interpreter.payload, data, (size_t)length);
    interpreter.length = (size_t)length;
    return &interpreter;
}

static void *make_text(const char *data, ptrdiff_t length) { return make('t', data, length); }

static void *make_binary(const char *data, ptrdiff_t length) { return make('b', data, length); }

static void *make_number(long number) {
    CHECK(interpreter.left == interpreter.entered);
    interpreter.number = number;
    return &interpreter.number;
}

static const raddle_interpreter_t functions = {leave, enter, make_text, make_binary, make_number};

static void expect_object(raddle_conn_t conn, char kind, const char *text) {
    CHECK(raddle_recv_object(conn, 10000, &functions) == &interpreter);
    CHECK(interpreter.kind == kind && interpreter.length == strlen(text));
    CHECK(memcmp(interpreter.payload, text, interpreter.length) == 0);
}

static void expect_number(raddle_conn_t conn, int64_t timeout_ms, long number) {
    interpreter.number = 1;
    CHECK(raddle_recv_object(conn, timeout_ms, &functions) == &interpreter.number);
    CHECK(interpreter.number == number);
}

static void an_interpreter_gets_objects_and_leaves_its_lock_for_waits(void) {
    const char *const texts[] = {"one", "", "three", NULL};
    struct pair pair = connect_pair(NULL);
    raddle_interpreter_t torn = functions;
    raddle_message_t message;
    uint16_t code = 0;
    uint32_t cause;
    int waits;
    expect_number(pair.server, 0, RADDLE_ERR_TIMEOUT);
    expect_number(pair.server, 20, RADDLE_ERR_TIMEOUT);
    send_together(pair.client, texts);
    expect_object(pair.server, 't', "one");
    waits = interpreter.left;
    CHECK(waits > 0 && waits == interpreter.entered);
    /* Those that have come with it are there without a wait. */
    expect_object(pair.server, 't', "");
    expect_object(pair.server, 't', "three");
    CHECK(interpreter.left == waits);
    OK(raddle_send(pair.client, RADDLE_BINARY, (const uint8_t *)"four", 4));
    expect_object(pair.server, 'b', "four");
    CHECK(interpreter.left == waits + 1);
    /* One that no object could be made of is not lost, whichever call comes next. */
    send_together(pair.client, texts);
    interpreter.fails = 1;
    CHECK(raddle_recv_object(pair.server, 10000, &functions) == NULL);
    CHECK(raddle_recv_object(pair.server, 10000, &functions) == NULL);
    interpreter.fails = 0;
    expect_object(pair.server, 't', "one");
    interpreter.fails = 1;
    CHECK(raddle_recv_object(pair.server, 10000, &functions) == NULL);
    interpreter.fails = 0;
    OK(raddle_recv(pair.server, 0, &message));
    expect_text(&message, "");
    /* Without a function, nothing can be said, and nothing happens. */
    CHECK(raddle_recv_object(pair.server, 0, NULL) == NULL);
    torn.enter = NULL;
    CHECK(raddle_recv_object(pair.server, 0, &torn) == NULL && strstr(raddle_last_error(), "interpreter") != NULL);
    expect_object(pair.server, 't', "three");
    CHECK(interpreter.left == interpreter.entered);
    expect_number(0, 0, RADDLE_ERR_HANDLE);
    OK(raddle_close(pair.client, 3001, "done"));
    expect_number(pair.server, 10000, RADDLE_ERR_CLOSED);
    OK(raddle_conn_end(pair.server, &cause, &code, NULL, NULL, 0, NULL));
    CHECK(code == 3001);
    free_pair(pair);
}

static void ends_the_thread(void *left) {
    CHECK(left == &interpreter.left);
    interpreter.entered++;
    pthread_exit(&interpreter);
}

static void *receives_until_it_is_ended(void *conn) {
    const raddle_interpreter_t ending = {leave, ends_the_thread, make_text, make_binary, make_number};
    raddle_recv_object(*(const raddle_conn_t *)conn, 10000, &ending);
    return NULL;
}

/* As interpreters do at their end. */
static void a_thread_that_gets_its_end_in_place_of_the_lock_keeps_nobody_waiting(void) {
    struct pair pair = connect_pair(NULL);
    pthread_t thread;
    void *result = NULL;
    const time_t begun = time(NULL);
    int i;
    CHECK(pthread_create(&thread, NULL, receives_until_it_is_ended, &pair.server) == 0);
    pause_ms(20);
    send_text(pair.client, "for nobody");
    CHECK(pthread_join(thread, &result) == 0 && result == &interpreter);
    expect_object(pair.server, 't', "for nobody");
    /* Each of these waits. */
    for (i = 0; i < 40; i++) expect_number(pair.server, 5, RADDLE_ERR_TIMEOUT);
    CHECK(time(NULL) - begun < 20);
    free_pair(pair);
}

static void a_batch_ends_before_the_close_and_tells_of_it_next(void) {
    const char *const texts[] = {"last words", NULL};
    struct pair pair = connect_pair(NULL);
    raddle_message_t message;
    uint8_t region[64];
    uint32_t cause = 0;
    uint16_t code = 0;
    size_t count;
    send_together(pair.client, texts);
    OK(raddle_close(pair.client, 3001, "done"));
    OK(raddle_recv_batch(pair.server, 10000, region, sizeof region, &message, 1, &count));
    STATUS(RADDLE_ERR_CLOSED, raddle_recv_batch(pair.server, 10000, region, sizeof region, &message, 1, &count));
    OK(raddle_conn_end(pair.server, &cause, &code, NULL, NULL, 0, NULL));
    CHECK(cause == RADDLE_CAUSE_PEER_CLOSE && code == 3001);
    free_pair(pair);
}

static void a_message_goes_and_comes_in_parts(const raddle_client_t *settings) {
    struct pair pair = connect_pair(settings);
    raddle_message_t part;
    char received[64];
    size_t length = 0, parts = 0;
    OK(raddle_send_fragment(pair.client, RADDLE_TEXT, (const uint8_t *)"one ", 4, RADDLE_MORE));
    STATUS(RADDLE_ERR_STATE, raddle_send_fragment(pair.client, RADDLE_BINARY, (const uint8_t *)"no", 2, RADDLE_MORE));
    STATUS(RADDLE_ERR_STATE, raddle_send(pair.client, RADDLE_TEXT, (const uint8_t *)"no", 2));
    STATUS(RADDLE_ERR_UTF8, raddle_send_fragment(pair.client, RADDLE_TEXT, (const uint8_t *)"\xc3", 1, RADDLE_MORE));
    STATUS(RADDLE_ERR_ARGUMENT, raddle_send_fragment(pair.client, RADDLE_TEXT, NULL, 0, 2));
    OK(raddle_ping(pair.client, (const uint8_t *)"amid", 4));
    OK(raddle_send_fragment(pair.client, RADDLE_TEXT | RADDLE_DONT_WAIT, (const uint8_t *)"two ", 4, RADDLE_MORE));
    OK(raddle_send_fragment(pair.client, RADDLE_TEXT, (const uint8_t *)"three", 5, 0));
    do {
        OK(raddle_recv_part(pair.server, 10000, &part));
        CHECK(part.kind == RADDLE_TEXT && length + part.length < sizeof received);
        memcpy(received + length, part.data, part.length);
        length += part.length;
        parts++;
    } while (part.detail == RADDLE_MORE);
    CHECK(length == 13 && memcmp(received, "one two three", 13) == 0 && parts >= 1);
    /* The next one is another message, and the rest of one that was begun in parts can be left out. */
    OK(raddle_send_fragment(pair.client, RADDLE_BINARY, (const uint8_t *)"begun", 5, RADDLE_MORE));
    OK(raddle_recv_part(pair.server, 10000, &part));
    CHECK(part.kind == RADDLE_BINARY && part.detail == RADDLE_MORE && part.length == 5);
    OK(raddle_send_fragment(pair.client, RADDLE_BINARY, NULL, 0, 0));
    send_text(pair.client, "whole");
    OK(raddle_recv(pair.server, 10000, &part));
    expect_text(&part, "whole");
    /* One that is given up closes the connection. */
    OK(raddle_send_fragment(pair.client, RADDLE_TEXT, NULL, 0, RADDLE_MORE));
    OK(raddle_conn_free(pair.client));
    STATUS(RADDLE_ERR_CLOSED, raddle_recv(pair.server, 10000, &part));
    {
        uint16_t code = 0;
        uint32_t cause;
        OK(raddle_conn_end(pair.server, &cause, &code, NULL, NULL, 0, NULL));
        CHECK(code == 1011);
    }
    OK(raddle_conn_free(pair.server));
}

/* Sends "b1 b2" in fragments, once the message of another thread was finished. */
static void *sends_in_fragments(void *conn) {
    const raddle_conn_t client = *(const raddle_conn_t *)conn;
    STATUS(RADDLE_ERR_WOULD_BLOCK,
           raddle_send_fragment(client, RADDLE_TEXT | RADDLE_DONT_WAIT, (const uint8_t *)"no", 2, RADDLE_MORE));
    OK(raddle_send_fragment(client, RADDLE_TEXT, (const uint8_t *)"b1 ", 3, RADDLE_MORE));
    OK(raddle_send_fragment(client, RADDLE_TEXT, (const uint8_t *)"b2", 2, 0));
    return NULL;
}

static void *waits_with_a_fragment(void *conn) {
    const raddle_conn_t client = *(const raddle_conn_t *)conn;
    STATUS(RADDLE_ERR_CLOSED, raddle_send_fragment(client, RADDLE_TEXT, (const uint8_t *)"b", 1, RADDLE_MORE));
    return NULL;
}

static void the_fragments_of_two_threads_do_not_mix(const raddle_client_t *settings) {
    struct pair pair = connect_pair(settings);
    raddle_message_t message;
    pthread_t thread;
    OK(raddle_send_fragment(pair.client, RADDLE_TEXT, (const uint8_t *)"a1 ", 3, RADDLE_MORE));
    CHECK(pthread_create(&thread, NULL, sends_in_fragments, &pair.client) == 0);
    pause_ms(50);
    OK(raddle_send_fragment(pair.client, RADDLE_TEXT, (const uint8_t *)"a2 ", 3, RADDLE_MORE));
    OK(raddle_send_fragment(pair.client, RADDLE_TEXT, (const uint8_t *)"a3", 2, 0));
    OK(raddle_recv(pair.server, 10000, &message));
    expect_text(&message, "a1 a2 a3");
    OK(raddle_recv(pair.server, 10000, &message));
    expect_text(&message, "b1 b2");
    CHECK(pthread_join(thread, NULL) == 0);
    /* Who frees it amid a message of another thread that waits ends that, too. */
    OK(raddle_send_fragment(pair.client, RADDLE_TEXT, (const uint8_t *)"a", 1, RADDLE_MORE));
    CHECK(pthread_create(&thread, NULL, waits_with_a_fragment, &pair.client) == 0);
    pause_ms(50);
    OK(raddle_conn_free(pair.client));
    CHECK(pthread_join(thread, NULL) == 0);
    STATUS(RADDLE_ERR_CLOSED, raddle_recv(pair.server, 10000, &message));
    OK(raddle_conn_free(pair.server));
}

/* Hostile input 364, for control frames: valgrind watches what is written (ci/c/memory). */
static void a_pong_is_waited_for(void) {
    struct pair pair = connect_pair(NULL);
    raddle_ping_t *ping = NULL;
    raddle_message_t message;
    uint64_t microseconds = 0;
    send_text(pair.server, "before");
    OK(raddle_ping_begin(pair.client, &ping));
    /* Nobody receives at either end: both read ahead. */
    OK(raddle_ping_wait(ping, 10000, &microseconds));
    CHECK(microseconds > 0 && microseconds < 10000000);
    OK(raddle_ping_wait(ping, 0, NULL));
    OK(raddle_ping_free(ping));
    STATUS(RADDLE_ERR_HANDLE, raddle_ping_free(ping));
    OK(raddle_recv(pair.client, 0, &message));
    expect_text(&message, "before");
    OK(raddle_ping_begin(pair.client, &ping));
    OK(raddle_cut(pair.server));
    {
        /* It may have been answered before. */
        raddle_status_t status = raddle_ping_wait(ping, 10000, NULL);
        CHECK(status == RADDLE_OK || status == RADDLE_ERR_CLOSED);
    }
    OK(raddle_ping_free(ping));
    free_pair(pair);
}

static void ignore(int signal) { (void)signal; }

static void *interrupt(void *thread) {
    int i;
    for (i = 0; i < 5000; i++) {
        if (pthread_kill(*(pthread_t *)thread, SIGUSR1) != 0) break;
        pause_ms(2);
        if (((volatile pthread_t *)thread)[1] != 0) break;
    }
    return NULL;
}

/* Hostile input 260, for a host that looks after its signals itself. */
static void a_signal_ends_a_wait_and_loses_nothing(void) {
    struct pair pair = connect_pair(NULL);
    struct sigaction action;
    pthread_t threads[2] = {pthread_self(), 0}, interrupting;
    raddle_message_t message;
    memset(&action, 0, sizeof action);
    action.sa_handler = ignore;
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    CHECK(pthread_create(&interrupting, NULL, interrupt, threads) == 0);
    STATUS(RADDLE_ERR_INTERRUPTED, raddle_recv(pair.client, -1, &message));
    STATUS(RADDLE_ERR_INTERRUPTED, raddle_recv(pair.client, 60000, &message));
    STATUS(RADDLE_ERR_INTERRUPTED, raddle_recv_part(pair.client, -1, &message));
    STATUS(RADDLE_ERR_INTERRUPTED, raddle_close_wait(pair.client, 1000, NULL, -1));
    ((volatile pthread_t *)threads)[1] = 1;
    pthread_join(interrupting, NULL);
    STATUS(RADDLE_ERR_CLOSED, raddle_recv(pair.server, 10000, &message));
    OK(raddle_close_wait(pair.client, 1000, NULL, 10000));
    free_pair(pair);
}

struct waiting {
    raddle_conn_t conn;
    raddle_status_t status;
};

static void *receive_one(void *argument) {
    struct waiting *waiting = argument;
    raddle_message_t message;
    /* Whoever looks whether this one waits may be at it just now. */
    do {
        waiting->status = raddle_recv(waiting->conn, 10000, &message);
    } while (waiting->status == RADDLE_ERR_BUSY);
    return NULL;
}

static void one_thread_receives_at_a_time(void) {
    struct pair pair = connect_pair(NULL);
    struct waiting waiting = {pair.client, RADDLE_ERR_INTERNAL};
    raddle_message_t message;
    uint8_t region[8];
    size_t count;
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, receive_one, &waiting) == 0);
    EVENTUALLY(raddle_recv(pair.client, 0, &message) == RADDLE_ERR_BUSY);
    STATUS(RADDLE_ERR_BUSY, raddle_recv_part(pair.client, 0, &message));
    STATUS(RADDLE_ERR_BUSY, raddle_recv_batch(pair.client, 0, region, sizeof region, &message, 1, &count));
    send_text(pair.server, "for the other");
    pthread_join(thread, NULL);
    STATUS(RADDLE_OK, waiting.status);
    free_pair(pair);
}

int main(void) {
    raddle_client_t *settings = NULL;
    server = serve(RADDLE_ENGINE_ACCEPT, NULL, NULL, NULL, NULL, NULL, &port);
    a_batch_takes_what_is_there_and_waits_for_no_more();
    a_message_without_a_place_is_not_lost();
    a_batch_ends_before_the_close_and_tells_of_it_next();
    an_interpreter_gets_objects_and_leaves_its_lock_for_waits();
    a_thread_that_gets_its_end_in_place_of_the_lock_keeps_nobody_waiting();
    a_message_goes_and_comes_in_parts(NULL);
    the_fragments_of_two_threads_do_not_mix(NULL);
    OK(raddle_client_new(&settings));
    OK(raddle_client_deflate(settings, 0, 1, 0, 0, 0));
    a_message_goes_and_comes_in_parts(settings);
    the_fragments_of_two_threads_do_not_mix(settings);
    OK(raddle_client_free(settings));
    a_pong_is_waited_for();
    a_signal_ends_a_wait_and_loses_nothing();
    one_thread_receives_at_a_time();
    finish(server);
    return 0;
}

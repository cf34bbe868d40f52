/*
 * raddle: WebSocket (RFC 6455, RFC 7692) for plain blocking, threaded code.
 *
 * This file is the manual. It is generated: what it says stands in the library's source.
 *
 *
 * A complete echo server
 *
 *     #include <raddle.h>
 *     #include <stdio.h>
 *
 *     static int32_t on_message(const raddle_message_t *message, void *user) {
 *         (void)user;
 *         raddle_send(message->conn, message->kind, message->data, message->length);
 *         return 0;
 *     }
 *
 *     int main(void) {
 *         raddle_server_config_t *config = NULL;
 *         raddle_server_t *server = NULL;
 *         raddle_server_config_new(&config);
 *         raddle_server_config_listen(config, "127.0.0.1", 9001, NULL);
 *         raddle_server_config_callbacks(config, NULL, on_message, NULL, NULL, NULL, NULL);
 *         if (raddle_server_new(config, &server) != RADDLE_OK || raddle_server_start(server) != RADDLE_OK) {
 *             fprintf(stderr, "%s\n", raddle_last_error());
 *             return 1;
 *         }
 *         raddle_server_join(server, -1);
 *         raddle_server_free(server);
 *         raddle_server_config_free(config);
 *         return 0;
 *     }
 *
 *     cc echo.c $(pkg-config --cflags --libs raddle)
 *
 * A client:
 *
 *     raddle_conn_t conn;
 *     raddle_message_t message;
 *     if (raddle_connect(NULL, "ws://127.0.0.1:9001/", -1, &conn) == RADDLE_OK) {
 *         raddle_send(conn, RADDLE_TEXT, (const uint8_t *)"Hello", 5);
 *         if (raddle_recv(conn, -1, &message) == RADDLE_OK) printf("%.*s\n", (int)message.length, (const char *)message.data);
 *         raddle_close_wait(conn, 1000, NULL, -1);
 *         raddle_conn_free(conn);
 *     }
 *
 *
 * Where to find what
 *
 * A server is set up with raddle_server_config_…, made by raddle_server_new and started by raddle_server_start. Its engine
 * decides how the program hears of events:
 *
 *     RADDLE_ENGINE_THREADS      callbacks (raddle_server_config_callbacks), on a thread for each connection: they may block
 *     RADDLE_ENGINE_POOL         callbacks, on a few threads for all of them: they must not block
 *     RADDLE_ENGINE_QUEUE        raddle_server_poll fills an array of events, on one thread of the program's, which does the
 *                                work as well; raddle_server_fd is for the event loop of something else
 *     RADDLE_ENGINE_FED_QUEUE    the same, with threads of the library that read and parse
 *     RADDLE_ENGINE_ACCEPT       raddle_server_accept and raddle_recv, on threads of the program's
 *
 * Who may connect, and plain HTTP requests:      raddle_server_config_on_request, raddle_request_…
 * Sending, from any thread, to any connection:   raddle_send, raddle_send_many, raddle_send_fragment, raddle_ping
 * To many:                                       raddle_server_subscribe, raddle_server_publish, raddle_server_broadcast
 * What is known of a connection:                 raddle_conn_…; how it has ended: raddle_conn_end
 * A client:                                      raddle_client_… sets it up, then raddle_connect, which waits, raddle_attempt_…,
 *                                                which does not, or raddle_reconnect_…, again and again; then raddle_recv
 * An event loop, sockets and TLS of your own:    raddle_protocol_…: bytes in, events out, and nothing else
 *
 *
 * Statuses
 *
 * What can fail returns a raddle_status_t: RADDLE_OK is 0, failures are negative. raddle_strerror says what a status means,
 * raddle_last_error what was wrong with this very call. Places for results are written on success only. errno is not kept.
 *
 * Whatever a function says that it returns, it may also return RADDLE_ERR_ARGUMENT for NULL where that is not allowed, a
 * constant that does not exist, or a length above PTRDIFF_MAX; RADDLE_ERR_UTF8 for a text that is not UTF-8; what "Handles"
 * says of handles; and RADDLE_ERR_INTERNAL, which is a defect of the library.
 *
 *
 * Values
 *
 * A `const char *` is UTF-8 with a NUL at its end, unless it goes with a length; a payload is so many bytes at a `const
 * uint8_t *`, and may have NULs in it. Times are milliseconds, or microseconds where they are named so. An `int64_t timeout_ms`
 * is how long a call waits: 0 for not at all, negative for without end. What is a choice is a uint32_t, as 1 or 0, or one of
 * the constants that are named.
 *
 *
 * Handles
 *
 * Connections are numbers (raddle_conn_t), all else has pointers of types that are never complete (raddle_server_t *). Both
 * are checked at each use and never followed: one that was never given, was freed, or is of another kind is a status
 * (RADDLE_ERR_HANDLE; RADDLE_ERR_CLOSED for a connection that has ended), and freeing twice does no harm. A handle is given
 * once: it names nothing else later. One that is used by one thread at a time is RADDLE_ERR_BUSY for another. After
 * RADDLE_ERR_INTERNAL it is RADDLE_ERR_POISONED, and can be freed only.
 *
 *
 * Ownership
 *
 * What is handed in is copied where it is needed after the call. What the library gives is either copied out (texts, with
 * the length that is needed where the place is too small), or lent: the payload of an event, for as long as the function
 * says. Nothing is to be given to free(3). A `void *user` goes with a function that destroys it, which is called exactly
 * once, whatever happens; a call that fails has not taken it.
 *
 * Who frees a connection: the program, with raddle_conn_free, where raddle_connect, raddle_attempt_wait,
 * raddle_reconnect_next, raddle_server_accept or raddle_request_open has given it; the library, behind RADDLE_CLOSED, where its
 * events come by callbacks or from a queue.
 *
 *
 * Threads
 *
 * Each function says from which threads it may be called; most from any. `const` in front of a handle's type means that
 * calls at the same time are fine; so they are for all handles that a function says may be used from any thread. Callbacks
 * come on threads of the library, which block all signals: those reach the program's own threads. For one connection one
 * callback is called at a time; for several, several. A callback may call any function of this header, raddle_server_free
 * and raddle_server_stop among them, unless it is that of raddle_log; waiting in it (raddle_server_join, raddle_recv) is the
 * program's risk.
 *
 * A callback must return: one that is left by longjmp, or by a C++ exception, is undefined; an exception ends the process
 * with a message. No function may be called from a signal handler: write to a pipe there, or call raddle_server_wake from a
 * thread that waits with sigwait. SIGPIPE is never raised by the library.
 *
 *
 * Shutdown
 *
 * raddle_server_stop, raddle_server_join, raddle_server_free, in this order; each alone is safe, in a callback too. Free
 * alone cuts what is open. The `destroy` of a callback's `user` is called when the last callback has returned, and the
 * settings were freed too. A program may end with servers and connections that are open: the system closes them, and
 * peers find no Close.
 *
 *
 * Processes
 *
 * fork before the first handle was made, or call exec at once after it: in a child that was forked later, every function
 * returns RADDLE_ERR_FORKED, as the library's threads are not there. The shared library stays loaded once it was: dlclose
 * does not unload it.
 *
 *
 * Versions
 *
 * if (raddle_check_version(RADDLE_VERSION, RADDLE_ABI_VERSION) != RADDLE_OK) …
 */

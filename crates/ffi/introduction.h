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
 *
 * Statuses
 *
 * What can fail returns a raddle_status_t: RADDLE_OK is 0, failures are negative. raddle_strerror says what a status means,
 * raddle_last_error what was wrong with this very call. Places for results are written on success only. errno is not kept.
 *
 *
 * Handles
 *
 * Connections are numbers (raddle_conn_t), all else has pointers of types that are never complete (raddle_server_t *). Both
 * are checked at each use and never followed: one that was never given, was freed, or is of another kind is a status
 * (RADDLE_ERR_HANDLE; RADDLE_ERR_CLOSED for a connection that has ended), and freeing twice does no harm. A handle is given
 * once: it names nothing else later. After RADDLE_ERR_INTERNAL, a handle can be freed only.
 *
 *
 * Ownership
 *
 * What is handed in is copied where it is needed after the call. What the library gives is either copied out (texts, with
 * the length that is needed where the place is too small), or lent: the payload of an event, for as long as the function
 * says. A `void *user` goes with a function that destroys it, which is called exactly once, whatever happens; a call that
 * fails has not taken it.
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
 * alone cuts what is open. The `destroy` of a callback's `user` is called when the last callback has returned.
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

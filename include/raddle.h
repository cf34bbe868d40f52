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

#ifndef RADDLE_H
#define RADDLE_H

#include <stddef.h>
#include <stdint.h>

// The peer has begun the closing handshake.
#define RADDLE_CAUSE_PEER_CLOSE 1

// This side has begun the closing handshake.
#define RADDLE_CAUSE_LOCAL_CLOSE 2

// The server was stopped.
#define RADDLE_CAUSE_SHUTDOWN 3

// Another connection of the same client has taken its place.
#define RADDLE_CAUSE_REPLACED 4

// The peer has broken a rule of the protocol, or a limit.
#define RADDLE_CAUSE_FAILED 5

// The peer has answered no Ping, and sent nothing else.
#define RADDLE_CAUSE_KEEPALIVE_TIMEOUT 6

// A message was not received in its time.
#define RADDLE_CAUSE_MESSAGE_TIMEOUT 7

// The peer has not taken what was sent in its time.
#define RADDLE_CAUSE_WRITE_TIMEOUT 8

// The outgoing limit was reached, and the options say that this ends the connection.
#define RADDLE_CAUSE_OUTGOING_FULL 9

// A callback has returned something else than 0.
#define RADDLE_CAUSE_CALLBACK_FAILED 10

// The peer has ended the stream without a Close.
#define RADDLE_CAUSE_END_OF_STREAM 11

// Reading or writing has failed.
#define RADDLE_CAUSE_IO 12

// The connection was freed without a Close.
#define RADDLE_CAUSE_FREED 13

// Something that later versions know of.
#define RADDLE_CAUSE_OTHER 14

// Too much was buffered on all connections of the server together, and the most on this one.
#define RADDLE_CAUSE_OVER_BUDGET 15

// Messages pass.
#define RADDLE_STATE_OPEN 1

// The closing handshake is under way.
#define RADDLE_STATE_CLOSING 2

// The connection has ended.
#define RADDLE_STATE_CLOSED 3

// The server forgets each message that it has sent (RFC 7692, section 7.1.1.1).
#define RADDLE_SERVER_NO_CONTEXT_TAKEOVER 1

// The client forgets each message that it has sent (RFC 7692, section 7.1.1.2).
#define RADDLE_CLIENT_NO_CONTEXT_TAKEOVER 2

// A send waits where the outgoing limit is reached, at most until the write deadline. In engines pool and queue it fails
// instead, but for answers to what is just being read.
#define RADDLE_WHEN_FULL_BLOCK 1

// A send fails with RADDLE_ERR_WOULD_BLOCK where the outgoing limit is reached, and never waits.
#define RADDLE_WHEN_FULL_FAIL 2

// The connection ends where the outgoing limit is reached.
#define RADDLE_WHEN_FULL_CLOSE 3

// Nothing is told.
#define RADDLE_LOG_OFF 0

// What somebody should look after: a callback that has failed, a thread that cannot be started.
#define RADDLE_LOG_ERROR 1

// What may become that.
#define RADDLE_LOG_WARNING 2

// What happens seldom.
#define RADDLE_LOG_INFO 3

// How each connection has ended, and why each that was not opened was refused.
#define RADDLE_LOG_DEBUG 4

// Everything.
#define RADDLE_LOG_TRACE 5

// A text message: UTF-8.
#define RADDLE_TEXT 1

// A binary message.
#define RADDLE_BINARY 2

// A Close has come (sans-I/O): `detail` is its code, or 1005, and `data` its reason.
#define RADDLE_CLOSE 8

// A Ping has come (sans-I/O).
#define RADDLE_PING 9

// A Pong has come (sans-I/O).
#define RADDLE_PONG 10

// A connection was opened (callbacks, queue): its first event.
#define RADDLE_OPENED 16

// All that waited to be written has left, after some of it had to wait (callbacks of engine pool, queue).
#define RADDLE_DRAINED 17

// A connection has ended (callbacks, queue): its last event. `detail` is the peer's close code, 1005 where its Close had
// none, 1006 where there was no Close, and `data` its reason; raddle_conn_end says more.
#define RADDLE_CLOSED 18

// A client has made its request (queue): `data` is the `raddle_request_t *`, `conn` is 0.
#define RADDLE_REQUEST 19

// Beside RADDLE_TEXT or RADDLE_BINARY in a `kind` that is sent: the message is not compressed.
#define RADDLE_UNCOMPRESSED 256

// Beside RADDLE_TEXT or RADDLE_BINARY in a `kind` that is sent: the call does not wait, but fails with
// RADDLE_ERR_WOULD_BLOCK. While another thread compresses a message on that connection, a whole message leaves uncompressed, which
// a receiver of compressed ones takes as well (RFC 7692, section 6); a fragment is refused with that status.
#define RADDLE_DONT_WAIT 512

// In the `detail` of RADDLE_TEXT or RADDLE_BINARY: a part of a message, of which more follows.
#define RADDLE_MORE 1

// The server's side (sans-I/O).
#define RADDLE_SERVER 1

// The client's side (sans-I/O).
#define RADDLE_CLIENT 2

// The opening handshake goes on (sans-I/O).
#define RADDLE_STATE_CONNECTING 0

// No limit, for limits that may have none.
#define RADDLE_NO_LIMIT UINT64_MAX

// A thread for each connection calls the callbacks, which may block.
#define RADDLE_ENGINE_THREADS 1

// Some threads call the callbacks for all connections, which must not block: for thousands of connections.
#define RADDLE_ENGINE_POOL 2

// The program's thread takes events with raddle_server_poll, and is the worker: no other thread reads or writes.
#define RADDLE_ENGINE_QUEUE 3

// The program takes open connections with raddle_server_accept, and receives with raddle_recv, on threads of its own.
#define RADDLE_ENGINE_ACCEPT 4

// The program takes events with raddle_server_poll, as with RADDLE_ENGINE_QUEUE, but some threads of the library read and
// parse for it: for programs whose thread has much else to do. Each message is copied once more. A Close of the peer, or what fails
// its connection, waits behind its messages until the poll that follows them, so that they can be answered.
#define RADDLE_ENGINE_FED_QUEUE 5

// One connection too many of an identity is refused with 409.
#define RADDLE_SURPLUS_REFUSE 1

// It is opened and closed at once with Close 4409, which a browser's page can read.
#define RADDLE_SURPLUS_CLOSE 2

// It takes the place of the identity's oldest connection, which is closed with 4409.
#define RADDLE_SURPLUS_REPLACE_OLDEST 3

// The PROXY protocol, version 1 or 2, tells the client's address.
#define RADDLE_PROXY_PROTOCOL 1

// The header Forwarded (RFC 7239) tells it.
#define RADDLE_PROXY_FORWARDED 2

// The header X-Forwarded-For tells it.
#define RADDLE_PROXY_X_FORWARDED_FOR 3

// Connections that the operating system has given to the server.
#define RADDLE_METRIC_ACCEPTED 1

// WebSocket connections that were opened.
#define RADDLE_METRIC_OPENED 2

// Requests that the program has answered by HTTP with a status below 400.
#define RADDLE_METRIC_ANSWERED 3

// Connections that were not opened, for whatever reason.
#define RADDLE_METRIC_REFUSED 4

// Open connections that have ended, however.
#define RADDLE_METRIC_ENDED 5

// Messages received on all connections together.
#define RADDLE_METRIC_RECEIVED_MESSAGES 6

// Bytes received, with the headers of frames.
#define RADDLE_METRIC_RECEIVED_BYTES 7

// Messages sent or queued.
#define RADDLE_METRIC_SENT_MESSAGES 8

// Bytes that the operating system has taken, with the headers of frames.
#define RADDLE_METRIC_SENT_BYTES 9

// Published messages that a subscriber did without, as it did not keep up.
#define RADDLE_METRIC_DROPPED_PUBLICATIONS 10

// Connections now, those in the opening handshake included.
#define RADDLE_METRIC_CONNECTIONS 11

// Bytes that wait to be written now.
#define RADDLE_METRIC_QUEUED_BYTES 12

// Bytes that are buffered now for messages that are not complete, or were not taken or sent yet, in steps of 4 KiB.
#define RADDLE_METRIC_BUFFERED_BYTES 13

// Not opened: the server had all the connections it may have.
#define RADDLE_METRIC_REFUSED_SERVER_FULL 100

// Not opened: the address had all the connections it may have.
#define RADDLE_METRIC_REFUSED_ADDRESS_FULL 101

// Not opened: the address connects too often.
#define RADDLE_METRIC_REFUSED_ADDRESS_RATE 102

// Not opened: the oldest opening handshake, when others had to begin theirs.
#define RADDLE_METRIC_REFUSED_SHED 103

// Not opened: the opening handshake was not done in time.
#define RADDLE_METRIC_REFUSED_TIMEOUT 104

// Not opened: the client has gone before its request was complete.
#define RADDLE_METRIC_REFUSED_GONE 105

// Not opened: the TLS handshake has failed.
#define RADDLE_METRIC_REFUSED_TLS 106

// Not opened: the request was not in order.
#define RADDLE_METRIC_REFUSED_HANDSHAKE 107

// Not opened: what a proxy has said was malformed.
#define RADDLE_METRIC_REFUSED_PROXY 108

// Not opened: the program has refused it.
#define RADDLE_METRIC_REFUSED_APPLICATION 109

// Not opened: the identity had all the connections it may have.
#define RADDLE_METRIC_REFUSED_IDENTITY 110

// Not opened: no thread could be started.
#define RADDLE_METRIC_REFUSED_NO_THREAD 111

// Not opened: the file descriptors had run out.
#define RADDLE_METRIC_REFUSED_NO_DESCRIPTOR 112

// Not opened: the server was being stopped.
#define RADDLE_METRIC_REFUSED_STOPPING 113

// RADDLE_METRIC_ENDED_BY plus RADDLE_CAUSE_…: open connections that have ended for this cause.
#define RADDLE_METRIC_ENDED_BY 200

// Clients that have a certificate show it. One that is not in order ends the handshake all the same.
#define RADDLE_CLIENT_CERTIFICATE_OPTIONAL 1

// Without a client's certificate the handshake fails.
#define RADDLE_CLIENT_CERTIFICATE_REQUIRED 2

// The version of this header, as a number: 1,000,000 for each major, 1,000 for each minor version, and the patch.
#define RADDLE_VERSION 1000

// The number of the ABI that this header declares. It is raised by each change that old programs would not survive.
#define RADDLE_ABI_VERSION 0

// What a call has come to. 0 is success, every failure is negative.
//
// Outputs are written on success only, but for the `length` of RADDLE_ERR_BUFFER. New failures may be added: treat one
// that you do not know as RADDLE_ERR_INTERNAL.
typedef enum {
    // Done.
    RADDLE_OK = 0,
    // An argument is not in order: NULL, a length, a constant that does not exist, a value out of its range.
    RADDLE_ERR_ARGUMENT = -1,
    // The handle was never given, was freed, or is of another kind.
    RADDLE_ERR_HANDLE = -2,
    // The connection has ended or a Close was sent; the server has stopped.
    RADDLE_ERR_CLOSED = -3,
    // The time was up. Nothing is lost.
    RADDLE_ERR_TIMEOUT = -4,
    // The call would have to wait: the outgoing limit is reached, or another thread is amid a message.
    RADDLE_ERR_WOULD_BLOCK = -5,
    // A signal has come. Nothing is lost.
    RADDLE_ERR_INTERRUPTED = -6,
    // Another thread does the same with this handle right now.
    RADDLE_ERR_BUSY = -7,
    // The buffer is too small; `length` says what is needed. Nothing is lost.
    RADDLE_ERR_BUFFER = -8,
    // The call does not fit what the handle stands for now, or how it was set up.
    RADDLE_ERR_STATE = -9,
    // A text is not UTF-8.
    RADDLE_ERR_UTF8 = -10,
    // A limit is reached.
    RADDLE_ERR_LIMIT = -11,
    // The peer has broken a rule of the protocol.
    RADDLE_ERR_PROTOCOL = -12,
    // The opening handshake has failed.
    RADDLE_ERR_HANDSHAKE = -13,
    // TLS has failed, or a certificate is not in order.
    RADDLE_ERR_TLS = -14,
    // The operating system has refused something.
    RADDLE_ERR_IO = -15,
    // There is no such thing: no header of that name, no address.
    RADDLE_ERR_NOT_FOUND = -16,
    // An earlier call with this handle has failed inside the library: it can be freed only.
    RADDLE_ERR_POISONED = -17,
    // The call has failed inside the library, which is a defect of it.
    RADDLE_ERR_INTERNAL = -18,
    // The process was forked from one that uses the library: see "Processes" above.
    RADDLE_ERR_FORKED = -19,
    // The library that was loaded is not of the version of this header.
    RADDLE_ERR_VERSION = -20,
} raddle_status_t;

// An attempt to connect. See raddle_attempt_start.
typedef struct raddle_attempt_t raddle_attempt_t;

// The settings of a client. See raddle_client_new.
typedef struct raddle_client_t raddle_client_t;

// A Ping that was sent, and whose Pong can be waited for. See raddle_ping_begin.
typedef struct raddle_ping_t raddle_ping_t;

// One side of a WebSocket connection without I/O. One thread uses it at a time: another gets RADDLE_ERR_BUSY.
typedef struct raddle_protocol_t raddle_protocol_t;

// What protocol objects are made of. One thread changes it at a time: another gets RADDLE_ERR_BUSY.
typedef struct raddle_protocol_config_t raddle_protocol_config_t;

// One connection after the other to the same server. See raddle_reconnect_new.
typedef struct raddle_reconnect_t raddle_reconnect_t;

// A client's request, to be decided on. See raddle_server_config_on_request.
typedef struct raddle_request_t raddle_request_t;

// A server. See raddle_server_new.
typedef struct raddle_server_t raddle_server_t;

// The settings of a server. See raddle_server_config_new.
typedef struct raddle_server_config_t raddle_server_config_t;

// The TLS of a server: TLS 1.2 and 1.3. See raddle_server_tls_new.
typedef struct raddle_server_tls_t raddle_server_tls_t;

// A connection: an id, which names no other connection ever after. 0 names none.
//
// An id of a connection that has ended gives RADDLE_ERR_CLOSED, one that was never given RADDLE_ERR_HANDLE.
typedef uint64_t raddle_conn_t;

// A message, or another event. This structure is frozen: it stays as it is in every version of this ABI.
typedef struct {
    // The connection; 0 where there is none.
    raddle_conn_t conn;
    // The payload: `length` bytes, not terminated. Never NULL in what the library gives.
    const uint8_t *data;
    // Bytes of the payload.
    size_t length;
    // RADDLE_TEXT, RADDLE_BINARY, or another of these.
    uint32_t kind;
    // What the kind says it is; 0 otherwise. Not looked at in what is sent.
    uint32_t detail;
} raddle_message_t;

// An interpreter with a lock that a thread has while it runs the language's code: CPython, for one, whose functions are named
// here. This structure is frozen: it stays as it is in every version of this ABI.
//
// The functions are called on the thread that calls the library; all but `enter` with the interpreter's lock. They must not
// call functions of this header, and return, but for `enter`. Nothing else that the library calls may want that lock, the
// function of raddle_log least of all: the library has locks of its own then, which a call with the interpreter's waits for.
typedef struct {
    // Lets go of the interpreter's lock, and returns what `enter` is called with: PyEval_SaveThread.
    void *(*leave)(void);
    // Takes the interpreter's lock: PyEval_RestoreThread. It may end the thread in place of returning.
    void (*enter)(void *left);
    // Makes an object of a text, UTF-8 of so many bytes: PyUnicode_FromStringAndSize.
    void *(*text)(const char *data, ptrdiff_t length);
    // Makes an object of so many bytes: PyBytes_FromStringAndSize.
    void *(*binary)(const char *data, ptrdiff_t length);
    // Makes an object of a number: PyLong_FromLong.
    void *(*number)(long number);
} raddle_interpreter_t;

// Destroys what a program has given as its `user` pointer. Called exactly once, when the library has no use for the
// pointer any more, on any thread. It may call any function of this header; one that it finds in use by the very call that
// destroys is RADDLE_ERR_BUSY. NULL where nothing is to be destroyed.
typedef void (*raddle_destroy_t)(void *user);

// What the library calls with a line for a log: its level, RADDLE_LOG_…, and a text of at most 511 bytes of UTF-8, lent for
// the call. Peers' texts in it are escaped; payloads, cookies and keys are never in it.
//
// Called on any thread, by several at a time, and amid the library's work: it must not call functions of this header, which
// could wait for what its own thread has to itself, but writes the line down, or hands it to another thread.
typedef void (*raddle_log_callback_t)(uint32_t level, const char *text, void *user);

// A piece of what is to be written: as a `struct iovec`, with the same members in the same order.
typedef struct {
    // The first byte.
    const uint8_t *data;
    // Bytes from there on.
    size_t length;
} raddle_slice_t;

// What runs on a thread of a connection's own. It may wait; raddle_recv and what else receives gives it the connection's messages,
// in their order, until it returns.
//
// Returns 0 to give the connection back; anything else closes it with 1011. It must return, as any callback.
typedef int32_t (*raddle_thread_callback_t)(raddle_conn_t conn, void *user);

// What the library calls for an event. The event, and its payload, is lent for the call.
//
// Returns 0 to go on; anything else closes the connection with 1011, and only its RADDLE_CLOSED follows. For
// RADDLE_CLOSED it is not looked at.
//
// Calls for one connection come one after the other; those for several come at the same time. The function must return:
// one that is left by longjmp or by a C++ exception ends the process, or leaves it undefined.
typedef int32_t (*raddle_callback_t)(const raddle_message_t *event, void *user);

// Decides on a request, with raddle_request_accept, raddle_request_refuse or raddle_request_respond.
//
// One that was neither decided on nor kept with raddle_request_keep when the function returns is answered with 500.
typedef void (*raddle_request_callback_t)(raddle_request_t *request, void *user);

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Begins to connect as raddle_connect does, on a thread of the library.
//
// - `client`: the settings; NULL for the defaults
// - `url`: as with raddle_connect
// - `attempt`: a place for the handle, which is freed with raddle_attempt_free
//
// Returns RADDLE_OK, RADDLE_ERR_UTF8, RADDLE_ERR_ARGUMENT, or RADDLE_ERR_IO where no thread could be started. From any
// thread; does not wait.
raddle_status_t raddle_attempt_start(const raddle_client_t *client,
                                     const char *url,
                                     raddle_attempt_t **attempt);

// Waits until the attempt has come to something.
//
// - `attempt`: the attempt
// - `timeout_ms`: how long to wait; 0: not at all, negative: until it has. The attempt itself takes no longer than the
//   settings say
// - `conn`: a place for the connection, which is freed with raddle_conn_free
//
// Returns RADDLE_OK once; RADDLE_ERR_WOULD_BLOCK: it goes on, and a further call waits on; as raddle_connect where it has
// failed, again and again, RADDLE_ERR_TIMEOUT among that; RADDLE_ERR_STATE where the connection was given before. From any
// thread.
raddle_status_t raddle_attempt_wait(raddle_attempt_t *attempt,
                                    int64_t timeout_ms,
                                    raddle_conn_t *conn);

// Gives the HTTP status by which a server or a proxy has refused, after raddle_attempt_wait has returned
// RADDLE_ERR_HANDSHAKE.
//
// - `attempt`: the attempt
// - `status`: a place for the status
//
// Returns RADDLE_OK, or RADDLE_ERR_NOT_FOUND where none has. From any thread.
raddle_status_t raddle_attempt_status(raddle_attempt_t *attempt,
                                      uint32_t *status);

// Gives the value of the first header of a name in that refusal.
//
// - `attempt`: the attempt
// - `name`: the header's name, in any case
// - `buffer`, `size`, `length`: as with raddle_conn_target
//
// Returns as raddle_attempt_status, and as raddle_conn_target. From any thread.
raddle_status_t raddle_attempt_header(raddle_attempt_t *attempt,
                                      const char *name,
                                      char *buffer,
                                      size_t size,
                                      size_t *length);

// Gives a header of that refusal by its place, from 0 on, as "name: value".
//
// - `attempt`, `buffer`, `size`, `length`: as with raddle_attempt_header
// - `index`: the place
//
// Returns as raddle_attempt_header. From any thread.
raddle_status_t raddle_attempt_header_at(raddle_attempt_t *attempt,
                                         size_t index,
                                         char *buffer,
                                         size_t size,
                                         size_t *length);

// Gives the body of that refusal, at most 64 KiB of it: any bytes, with a NUL behind them.
//
// - `attempt`, `buffer`, `size`, `length`: as with raddle_attempt_header
//
// Returns as raddle_attempt_header. From any thread.
raddle_status_t raddle_attempt_body(raddle_attempt_t *attempt,
                                    char *buffer,
                                    size_t size,
                                    size_t *length);

// Frees an attempt. One that goes on is given up; a connection that was not given is cut. One that was given stays.
//
// - `attempt`: the attempt; NULL is passed over
//
// Returns RADDLE_OK, or RADDLE_ERR_HANDLE where it was freed before. From any thread, whatever others wait for: they get
// RADDLE_ERR_CLOSED within 50 ms.
raddle_status_t raddle_attempt_free(raddle_attempt_t *attempt);

// Makes the settings of a client, with defaults that suit the open Internet.
//
// - `client`: a place for the handle; it is freed with raddle_client_free
//
// Returns RADDLE_OK. From any thread. Settings are changed by one thread at a time: others get RADDLE_ERR_BUSY. What was
// connected with them stays as it is.
raddle_status_t raddle_client_new(raddle_client_t **client);

// Frees settings. What was connected with them stays as it is.
//
// - `client`: the settings; NULL is passed over
//
// Returns RADDLE_OK, or RADDLE_ERR_HANDLE where they were freed before. From any thread.
raddle_status_t raddle_client_free(raddle_client_t *client);

// Sets the largest message that is received, and frame of one: above it the connection fails with 1009. Default: 16 MiB.
//
// - `client`: the settings
// - `bytes`: any number; RADDLE_NO_LIMIT for none
//
// Returns RADDLE_OK; RADDLE_ERR_ARGUMENT for a value that is not in order; RADDLE_ERR_UTF8 for a text that is none. With
// any failure all stays as it is. One thread at a time: another gets RADDLE_ERR_BUSY.
raddle_status_t raddle_client_max_message(raddle_client_t *client,
                                          uint64_t bytes);

// Sets the largest frame that is received, where that is less than the largest message. To be called behind
// raddle_client_max_message.
//
// - `client`: the settings
// - `bytes`: any number; RADDLE_NO_LIMIT for none
//
// Returns as raddle_client_max_message. One thread at a time.
raddle_status_t raddle_client_max_frame(raddle_client_t *client,
                                        uint64_t bytes);

// Sets the most frames of one message: above it the connection fails with 1008. Default: 16,384.
//
// - `client`: the settings
// - `count`: at least 1
//
// Returns as raddle_client_max_message. One thread at a time.
raddle_status_t raddle_client_max_fragments(raddle_client_t *client, uint32_t count);

// Sets after which silence of the server a Ping is sent. Default: 20 s.
//
// - `client`: the settings
// - `milliseconds`: 0 for never
//
// Returns as raddle_client_max_message. One thread at a time.
raddle_status_t raddle_client_ping_interval(raddle_client_t *client, uint64_t milliseconds);

// Sets how long after a Ping the connection ends where nothing was received. Default: 20 s.
//
// - `client`: the settings
// - `milliseconds`: at least 1; RADDLE_NO_LIMIT for none
//
// Returns as raddle_client_max_message. One thread at a time.
raddle_status_t raddle_client_ping_timeout(raddle_client_t *client, uint64_t milliseconds);

// Sets the time that the closing handshake may take. Default: 5 s.
//
// - `client`: the settings
// - `milliseconds`: at least 1; RADDLE_NO_LIMIT for none
//
// Returns as raddle_client_max_message. One thread at a time.
raddle_status_t raddle_client_close_timeout(raddle_client_t *client, uint64_t milliseconds);

// Sets the time that writing a message may take, to which its size at the lowest rate is added. Default: 30 s.
//
// - `client`: the settings
// - `milliseconds`: at least 1; RADDLE_NO_LIMIT for none
//
// Returns as raddle_client_max_message. One thread at a time.
raddle_status_t raddle_client_write_timeout(raddle_client_t *client,
                                            uint64_t milliseconds);

// Sets the time that receiving a message may take from its first byte, to which its size at the lowest rate is added.
// Default: 60 s.
//
// - `client`: the settings
// - `milliseconds`: at least 1; RADDLE_NO_LIMIT for none
//
// Returns as raddle_client_max_message. One thread at a time.
raddle_status_t raddle_client_message_timeout(raddle_client_t *client,
                                              uint64_t milliseconds);

// Sets the rate of the slowest server that is put up with. Default: 16 KiB/s.
//
// - `client`: the settings
// - `bytes_per_second`: at least 1
//
// Returns as raddle_client_max_message. One thread at a time.
raddle_status_t raddle_client_min_rate(raddle_client_t *client, uint64_t bytes_per_second);

// Sets how many bytes may wait to be written before raddle_client_when_full decides. Default: 1 MiB.
//
// - `client`: the settings
// - `bytes`: any number
//
// Returns as raddle_client_max_message. One thread at a time.
raddle_status_t raddle_client_outgoing_limit(raddle_client_t *client,
                                             size_t bytes);

// Sets what a send does where the outgoing limit is reached. Default: RADDLE_WHEN_FULL_BLOCK.
//
// - `client`: the settings
// - `policy`: RADDLE_WHEN_FULL_…
//
// Returns as raddle_client_max_message. One thread at a time.
raddle_status_t raddle_client_when_full(raddle_client_t *client, uint32_t policy);

// Sets above which size messages are sent in fragments of that size, so that control frames can pass between them.
// Default: 1 MiB.
//
// - `client`: the settings
// - `bytes`: at least 1
//
// Returns as raddle_client_max_message. One thread at a time.
raddle_status_t raddle_client_fragment_size(raddle_client_t *client,
                                            size_t bytes);

// Sets the largest head of a response, interim ones included. Default: 16 KiB, with a first line of 8 KiB and 100 headers.
//
// - `client`: the settings
// - `head`: bytes of the whole head, at least 64
// - `line`: bytes of its first line, at least 16
// - `headers`: header lines, at least 5
//
// Returns as raddle_client_max_message. One thread at a time.
raddle_status_t raddle_client_head_limits(raddle_client_t *client,
                                          size_t head,
                                          size_t line,
                                          size_t headers);

// Sets the time for all of connecting: looking the name up, TCP, the proxy, TLS, the opening handshake, redirects.
// Default: 10 s.
//
// - `client`: the settings
// - `milliseconds`: at least 1; RADDLE_NO_LIMIT for none
//
// Returns as raddle_client_max_message. One thread at a time.
raddle_status_t raddle_client_connect_timeout(raddle_client_t *client,
                                              uint64_t milliseconds);

// Follows redirects. Default: none, so that one is a refusal. Where one leads to another scheme, host or port, Authorization, Cookie
// and the host of raddle_client_host stay behind, for good, and so do the certificate of raddle_client_certificate and the name of
// raddle_client_server_name; other headers go along. None leads from "wss" to "ws", and none is followed on a Unix socket, or on a
// socket that was given.
//
// - `client`: the settings
// - `at_most`: so many
//
// Returns as raddle_client_max_message. One thread at a time.
raddle_status_t raddle_client_redirects(raddle_client_t *client,
                                        uint32_t at_most);

// Goes through a proxy, which looks the server's name up.
//
// - `client`: the settings
// - `url`: as "http://proxy.example.com:8080" or "socks5://user:password@127.0.0.1:1080"
//
// Returns as raddle_client_max_message; RADDLE_ERR_ARGUMENT where it has not that form. One thread at a time.
raddle_status_t raddle_client_proxy(raddle_client_t *client,
                                    const char *url);

// Connects to a Unix socket, whatever host a URL names.
//
// - `client`: the settings
// - `path`: the socket's
//
// Returns as raddle_client_max_message. One thread at a time.
raddle_status_t raddle_client_unix(raddle_client_t *client, const char *path);

// Connects over a socket that is connected already, of TCP or a Unix socket, whatever host a URL names. TLS is spoken on it where
// the scheme is "wss".
//
// - `client`: the settings
// - `fd`: the socket, which is duplicated: close yours. It serves one attempt to connect: with RADDLE_ERR_IO a further one
//   with these settings fails, as does raddle_reconnect_new
//
// Returns as raddle_client_max_message; RADDLE_ERR_IO where it is no open descriptor. One thread at a time.
raddle_status_t raddle_client_socket(raddle_client_t *client,
                                     int fd);

// Connects from an address of the machine. Servers' addresses of the other family are left out.
//
// - `client`: the settings
// - `address`: as "192.0.2.1:0" or "[2001:db8::1]:0"; port 0 takes any
//
// Returns as raddle_client_max_message; RADDLE_ERR_ARGUMENT where it has not that form. One thread at a time.
raddle_status_t raddle_client_local_address(raddle_client_t *client,
                                            const char *address);

// Connects to a server, and carries out the opening handshake (RFC 6455, section 4.1).
//
// - `client`: the settings; NULL for the defaults
// - `url`: as "ws://example.com:9001/chat?room=1" or "wss://…"; with "user:password@" before the host it says who the client is
// - `timeout_ms`: the time for all of it; negative: that of the settings
// - `conn`: a place for the connection, which is freed with raddle_conn_free
//
// Returns RADDLE_OK; RADDLE_ERR_ARGUMENT where the URL or a setting is not in order, and nothing was sent; RADDLE_ERR_IO
// where no address was found or none has answered; RADDLE_ERR_TLS; RADDLE_ERR_HANDSHAKE where a proxy or the server has
// refused, and raddle_connect_status knows its status; RADDLE_ERR_TIMEOUT.
//
// From any thread. It waits, and no signal ends that: a program that has to look after other things meanwhile uses
// raddle_attempt_start.
raddle_status_t raddle_connect(const raddle_client_t *client,
                               const char *url,
                               int64_t timeout_ms,
                               raddle_conn_t *conn);

// Gives the HTTP status by which a server or a proxy has refused the last raddle_connect of this thread.
//
// Returns the status, or 0 where that has not failed so. From any thread.
uint32_t raddle_connect_status(void);

// Gives the value of the first header of a name in the response that has opened a connection. Only of a client's connections.
//
// - `conn`: the connection
// - `name`: the header's name, in any case
// - `buffer`, `size`, `length`: as with raddle_conn_target. The value is bytes, and may not be UTF-8
//
// Returns as raddle_conn_target; RADDLE_ERR_NOT_FOUND where there is no such header; RADDLE_ERR_STATE for another connection. From
// any thread.
raddle_status_t raddle_conn_response_header(raddle_conn_t conn,
                                            const char *name,
                                            char *buffer,
                                            size_t size,
                                            size_t *length);

// Gives a header of the response that has opened a connection by its place, from 0 on, as "name: value".
//
// - `conn`: the connection
// - `index`: the place
// - `buffer`, `size`, `length`: as with raddle_conn_target
//
// Returns as raddle_conn_response_header; RADDLE_ERR_NOT_FOUND behind the last one. From any thread.
raddle_status_t raddle_conn_response_header_at(raddle_conn_t conn,
                                               size_t index,
                                               char *buffer,
                                               size_t size,
                                               size_t *length);

// Makes what connects to a server again and again. Nothing is sent yet.
//
// - `client`: the settings; NULL for the defaults
// - `url`: as with raddle_connect
// - `first_ms`: the first wait is random between nothing and this; 0 is the default, 5 s. It doubles with each attempt
// - `cap_ms`: no wait is longer; 0 is the default, 60 s
// - `settled_ms`: after a connection that was open for so long the waits begin anew; 0 is the default, 60 s
// - `reconnect`: a place for the handle, which is freed with raddle_reconnect_free
//
// Returns RADDLE_OK; RADDLE_ERR_ARGUMENT or RADDLE_ERR_TLS where the URL or a setting is not in order; RADDLE_ERR_IO where
// the settings have a socket of raddle_client_socket. From any thread.
raddle_status_t raddle_reconnect_new(const raddle_client_t *client,
                                     const char *url,
                                     uint64_t first_ms,
                                     uint64_t cap_ms,
                                     uint64_t settled_ms,
                                     raddle_reconnect_t **reconnect);

// Waits until the next connection is open: the first attempt is made at once, each further one after a random time that
// grows, or that a refusal asks for. A connection that was given before and has not ended is closed with 1001.
//
// What may pass is no reason to give up: no route, a status of 408, 425, 429 or 5xx (but for 501, 505 and 511), a certificate of the
// server's that has expired or is not valid yet, as it is about to be renewed, an alert of TLS that is not about the client. It goes
// on with the next attempt, and the log has why (raddle_log). Who wants to hear of it waits with a timeout.
//
// - `reconnect`: what connects
// - `timeout_ms`: how long to wait; 0: not at all, negative: as long as it takes
// - `conn`: a place for the connection, which is freed with raddle_conn_free
//
// Returns RADDLE_OK; RADDLE_ERR_TIMEOUT: it goes on meanwhile, and a further call waits on; RADDLE_ERR_CLOSED: the last
// connection was closed with 1000 or by this side, or this was stopped; another failure of raddle_connect, or
// RADDLE_ERR_PROTOCOL: it was given up, as the next attempt would end the same way, and a further call tries again after
// a wait; where a proxy or the server has refused, raddle_reconnect_status knows its status. RADDLE_ERR_BUSY: another thread
// waits. From any thread.
raddle_status_t raddle_reconnect_next(raddle_reconnect_t *reconnect,
                                      int64_t timeout_ms,
                                      raddle_conn_t *conn);

// Gives the HTTP status by which a server or a proxy has refused, after raddle_reconnect_next has returned
// RADDLE_ERR_HANDSHAKE, and until it returns a connection or another failure than RADDLE_ERR_TIMEOUT or RADDLE_ERR_BUSY.
//
// - `reconnect`: what connects
// - `status`: a place for the status
//
// Returns RADDLE_OK, or RADDLE_ERR_NOT_FOUND where none has. From any thread.
raddle_status_t raddle_reconnect_status(raddle_reconnect_t *reconnect,
                                        uint32_t *status);

// Gives a header of that refusal by its place, from 0 on, as "name: value".
//
// - `reconnect`: what connects
// - `index`: the place
// - `buffer`, `size`, `length`: as with raddle_conn_target
//
// Returns as raddle_reconnect_status, and as raddle_conn_target. From any thread.
raddle_status_t raddle_reconnect_header_at(raddle_reconnect_t *reconnect,
                                           size_t index,
                                           char *buffer,
                                           size_t size,
                                           size_t *length);

// Gives the body of that refusal, at most 64 KiB of it: any bytes, with a NUL behind them.
//
// - `reconnect`, `buffer`, `size`, `length`: as with raddle_reconnect_header_at
//
// Returns as raddle_reconnect_header_at. From any thread.
raddle_status_t raddle_reconnect_body(raddle_reconnect_t *reconnect,
                                      char *buffer,
                                      size_t size,
                                      size_t *length);

// Has raddle_reconnect_next return RADDLE_ERR_CLOSED, at once or within 50 ms, and for good. A connection that was given
// is closed with 1001.
//
// - `reconnect`: what connects
//
// Returns RADDLE_OK. From any thread.
raddle_status_t raddle_reconnect_stop(raddle_reconnect_t *reconnect);

// Frees what connects, and stops it before. Connections that were given stay as raddle_reconnect_stop leaves them.
//
// - `reconnect`: what connects; NULL is passed over
//
// Returns RADDLE_OK, or RADDLE_ERR_HANDLE where it was freed before. From any thread.
raddle_status_t raddle_reconnect_free(raddle_reconnect_t *reconnect);

// Offers a subprotocol (RFC 6455, section 1.9); of several the one that is liked best first.
//
// - `client`: the settings
// - `name`: one word
//
// Whether it may be sent shows when it is to be, as with all that a client says of itself: connecting returns
// RADDLE_ERR_ARGUMENT then, and nothing was sent.
//
// Returns as raddle_client_max_message. One thread at a time.
raddle_status_t raddle_client_subprotocol(raddle_client_t *client,
                                          const char *name);

// Has connecting fail where the server chooses none of the subprotocols that are offered.
//
// - `client`: the settings
//
// Returns as raddle_client_max_message. One thread at a time.
raddle_status_t raddle_client_require_subprotocol(raddle_client_t *client);

// Offers permessage-deflate (RFC 7692); the server may decline it. Of each number, 0 is the default.
//
// - `client`: the settings
// - `level`, `threshold`, `flags`, `server_window_bits`, `client_window_bits`: as with raddle_server_config_deflate
//
// Returns as raddle_client_max_message. One thread at a time.
raddle_status_t raddle_client_deflate(raddle_client_t *client,
                                      uint32_t level,
                                      size_t threshold,
                                      uint32_t flags,
                                      uint32_t server_window_bits,
                                      uint32_t client_window_bits);

// Says on whose behalf the client comes (RFC 6455, section 4.1).
//
// - `client`: the settings
// - `origin`: as "https://example.com"
//
// Returns as raddle_client_max_message. One thread at a time.
raddle_status_t raddle_client_origin(raddle_client_t *client, const char *origin);

// Names the server by another name than the URL's in the Host header.
//
// - `client`: the settings
// - `host`: as "example.com" or "example.com:8080"
//
// Returns as raddle_client_max_message. One thread at a time.
raddle_status_t raddle_client_host(raddle_client_t *client, const char *host);

// Adds a header to the request. The handshake's own cannot be set: Host, Origin, Upgrade, Connection, Sec-WebSocket-…,
// Content-Length and Transfer-Encoding. Those of Cookie, and what raddle_client_cookie adds, leave in one header. Authorization
// takes the place of what was said before of who the client is: of raddle_client_header, _basic and _bearer the last one counts,
// over what a URL says.
//
// - `client`: the settings
// - `name`: a token
// - `value`: UTF-8 without control characters
//
// Returns as raddle_client_max_message. One thread at a time.
raddle_status_t raddle_client_header(raddle_client_t *client,
                                     const char *name,
                                     const char *value);

// Sends a cookie; several leave in one header (RFC 6265, section 5.4), with those of raddle_client_header.
//
// - `client`: the settings
// - `name`, `value`: as the server has set it: a name that is no token, or a `;` in the value, which would begin another cookie,
//   shows as with raddle_client_subprotocol
//
// Returns as raddle_client_max_message. One thread at a time.
raddle_status_t raddle_client_cookie(raddle_client_t *client,
                                     const char *name,
                                     const char *value);

// Says who the client is, with a user and a password (RFC 7617). Overrides those of a URL, and what was said before with
// raddle_client_bearer or as Authorization.
//
// - `client`: the settings
// - `user`, `password`: UTF-8
//
// Returns as raddle_client_max_message. One thread at a time.
raddle_status_t raddle_client_basic(raddle_client_t *client,
                                    const char *user,
                                    const char *password);

// Says who the client is, with a token (RFC 6750). Overrides user and password of a URL, and what was said before with
// raddle_client_basic or as Authorization.
//
// - `client`: the settings
// - `token`: in the form of section 2.1
//
// Returns as raddle_client_max_message. One thread at a time.
raddle_status_t raddle_client_bearer(raddle_client_t *client,
                                     const char *token);

// Trusts certificates as roots, beside those of the system.
//
// - `client`: the settings
// - `pem`, `length`: one certificate or several, in PEM
//
// Returns as raddle_client_max_message; RADDLE_ERR_TLS where there is no certificate. One thread at a time.
raddle_status_t raddle_client_add_roots(raddle_client_t *client,
                                        const uint8_t *pem,
                                        size_t length);

// Trusts the certificates of a file as roots, as raddle_client_add_roots does.
//
// - `client`: the settings
// - `path`: the file's, which is read once, now
//
// Returns as raddle_client_max_message; RADDLE_ERR_IO where it cannot be read, RADDLE_ERR_TLS where there is no
// certificate in it. One thread at a time.
raddle_status_t raddle_client_add_roots_file(raddle_client_t *client,
                                             const char *path);

// Trusts none of the system's roots: only those that were added.
//
// - `client`: the settings
//
// Returns as raddle_client_max_message. One thread at a time.
raddle_status_t raddle_client_without_system_roots(raddle_client_t *client);

// Shows a certificate to servers that ask for one.
//
// - `client`: the settings
// - `chain`, `chain_length`: the client's certificate first, in PEM
// - `key`, `key_length`: its private key, in PEM
//
// Returns as raddle_client_max_message; RADDLE_ERR_TLS where there is none. One thread at a time.
raddle_status_t raddle_client_certificate(raddle_client_t *client,
                                          const uint8_t *chain,
                                          size_t chain_length,
                                          const uint8_t *key,
                                          size_t key_length);

// Expects the server to be the one of this name or address, not of the URL's.
//
// - `client`: the settings
// - `name`: as "example.com" or "192.0.2.1"
//
// Returns as raddle_client_max_message; RADDLE_ERR_TLS where it is no server's name. One thread at a time.
raddle_status_t raddle_client_server_name(raddle_client_t *client,
                                          const char *name);

// Takes any certificate for the server's: whoever is on the way can read and change everything. For tests.
//
// - `client`: the settings
//
// Returns as raddle_client_max_message. One thread at a time.
raddle_status_t raddle_client_dangerous_accept_any_certificate(raddle_client_t *client);

// Waits for the next message, and takes all those with it that have come together with it: it never waits for a second one,
// nor reads one.
//
// - `conn`, `timeout_ms`: as with raddle_recv
// - `region`, `size`: where the payloads are copied to, one behind the other
// - `messages`, `most`: an array of so many, at least 1, for what has come. `data` of each leads into `region`
// - `count`: a place for the number of messages, at least 1. With RADDLE_ERR_BUFFER, for the bytes that the first one needs
//
// Returns RADDLE_OK; RADDLE_ERR_BUFFER where the region is too small for the first message, which is not lost: the next
// call that receives gives it, and so with one that has no place behind others. Otherwise as raddle_recv. From any thread,
// one at a time.
//
// What this thread sends behind several messages leaves together: before the next call that receives waits, with
// raddle_flush, or within 5 ms.
raddle_status_t raddle_recv_batch(raddle_conn_t conn,
                                  int64_t timeout_ms,
                                  uint8_t *region,
                                  size_t size,
                                  raddle_message_t *messages,
                                  size_t most,
                                  size_t *count);

// Begins the closing handshake (RFC 6455, section 7.1.2): sends a Close behind what was sent before, and returns. Nothing
// can be sent after it; messages come until the peer's Close does, or the close timeout is over.
//
// - `conn`: the connection
// - `code`: 1000 where nothing is wrong; 3000 to 4999 are the program's
// - `reason`: NULL, or at most 123 bytes of UTF-8
//
// Returns RADDLE_OK; RADDLE_ERR_CLOSED where a Close was sent before, or the connection has ended; RADDLE_ERR_ARGUMENT for
// a code that may not be sent (section 7.4) or a reason that is too long. From any thread.
raddle_status_t raddle_close(raddle_conn_t conn,
                             uint16_t code,
                             const char *reason);

// Carries out the closing handshake: as raddle_close, and waits for the peer's Close. Messages that still come are passed
// over. Only for connections that the program receives from.
//
// - `conn`, `code`, `reason`: as with raddle_close
// - `timeout_ms`: how long to wait; negative: until the close timeout is over
//
// Returns RADDLE_OK when the connection has ended, however; RADDLE_ERR_TIMEOUT and RADDLE_ERR_INTERRUPTED where it has not: a
// further call goes on waiting. RADDLE_ERR_BUSY: another thread receives. From any thread.
raddle_status_t raddle_close_wait(raddle_conn_t conn,
                                  uint16_t code,
                                  const char *reason,
                                  int64_t timeout_ms);

// Ends a connection at once, without a closing handshake: what was not sent or not received is dropped.
//
// - `conn`: the connection
//
// Returns RADDLE_OK, for a connection that has ended as well. From any thread.
raddle_status_t raddle_cut(raddle_conn_t conn);

// Has a connection end as raddle_cut does, if it has not ended by then: for a closing handshake that is to take no longer.
//
// - `conn`: the connection
// - `milliseconds`: the time until then; 0 is fine
//
// Returns RADDLE_OK. Of several times the shortest counts. From any thread.
raddle_status_t raddle_cut_within(raddle_conn_t conn,
                                  uint64_t milliseconds);

// Frees a connection that raddle_server_accept or a client has given: its id names nothing any more, and its user
// pointer is destroyed. What is still open is closed with 1001, without waiting.
//
// - `conn`: the connection
//
// Returns RADDLE_OK; RADDLE_ERR_CLOSED where it was freed before; RADDLE_ERR_STATE for a connection of callbacks or of a
// queue, which the library lets go by itself after the last event. From any thread: calls of other threads that are under
// way end with RADDLE_ERR_CLOSED. What was received last must not be used any more, so a thread that receives frees the
// connection itself, and the others end it with raddle_close or raddle_cut: its next call returns RADDLE_ERR_CLOSED.
raddle_status_t raddle_conn_free(raddle_conn_t conn);

// Says how a connection has ended: in the callback or after the event that tells of it, or after a call has returned
// RADDLE_ERR_CLOSED, before it is freed.
//
// - `conn`: the connection
// - `cause`: what has ended it, RADDLE_CAUSE_…
// - `code`: NULL, or a place for the peer's close code: 1005 where its Close had none, 1006 where there was no Close
// - `clean`: NULL, or a place for 1 where the closing handshake was carried out, else 0
// - `buffer`, `size`, `length`: a place for all of it in words, as with raddle_conn_target
//
// Returns RADDLE_OK; RADDLE_ERR_STATE where its end was not seen yet; RADDLE_ERR_BUFFER. From any thread.
raddle_status_t raddle_conn_end(raddle_conn_t conn,
                                uint32_t *cause,
                                uint16_t *code,
                                uint32_t *clean,
                                char *buffer,
                                size_t size,
                                size_t *length);

// Gives the reason of the peer's Close: when raddle_conn_end says how the connection has ended.
//
// - `conn`: the connection
// - `buffer`, `size`, `length`: as with raddle_conn_target
//
// Returns as raddle_conn_target; RADDLE_ERR_NOT_FOUND where no Close has come; RADDLE_ERR_STATE where its end was not seen
// yet. From any thread.
raddle_status_t raddle_conn_close_reason(raddle_conn_t conn,
                                         char *buffer,
                                         size_t size,
                                         size_t *length);

// Gives the code of the Close that this side has sent: when raddle_conn_end says how the connection has ended.
//
// - `conn`: the connection
// - `code`: a place for the code
//
// Returns RADDLE_OK; RADDLE_ERR_NOT_FOUND where none was sent; RADDLE_ERR_STATE where its end was not seen yet. From any
// thread.
raddle_status_t raddle_conn_sent_code(raddle_conn_t conn,
                                      uint16_t *code);

// Sends a fragment of a message. The first one of a thread begins it, and the same thread sends the others; other messages,
// those of other threads in fragments as well, wait until the last one was sent, control frames pass.
//
// - `conn`: the connection
// - `kind`: RADDLE_TEXT or RADDLE_BINARY, the same for all fragments of a message; with the first one perhaps
//   RADDLE_UNCOMPRESSED, and with each RADDLE_DONT_WAIT, as with raddle_send. Those of a text are UTF-8 each: cut it
//   between characters
// - `data`, `length`: the payload, as with raddle_send
// - `more`: RADDLE_MORE where more of the message follows, 0 for the last one, which may be empty
//
// Returns as raddle_send; RADDLE_ERR_STATE for a fragment of another kind. A message that is not finished when the connection
// is freed closes it with 1011. From any thread. It waits as raddle_send does; the thread that is amid a message gets
// RADDLE_ERR_STATE from raddle_send.
raddle_status_t raddle_send_fragment(raddle_conn_t conn,
                                     uint32_t kind,
                                     const uint8_t *data,
                                     size_t length,
                                     uint32_t more);

// Says where a connection stands.
//
// - `conn`: the connection
// - `state`: a place for RADDLE_STATE_…
//
// Returns RADDLE_OK; RADDLE_ERR_CLOSED where the id names nothing any more. From any thread.
raddle_status_t raddle_conn_state(raddle_conn_t conn, uint32_t *state);

// Gives the path and query that the client has asked for, as it has sent them.
//
// - `conn`: the connection
// - `buffer`, `size`: where the text is copied to, with a NUL behind it; NULL and 0 to learn its length
// - `length`: NULL, or a place for the bytes of the text, without the NUL
//
// Returns RADDLE_OK; RADDLE_ERR_BUFFER where the text does not fit: then `length` is set all the same, and the buffer
// stays as it was. From any thread.
raddle_status_t raddle_conn_target(raddle_conn_t conn,
                                   char *buffer,
                                   size_t size,
                                   size_t *length);

// Gives the subprotocol that was agreed.
//
// - `conn`, `buffer`, `size`, `length`: as with raddle_conn_target
//
// Returns as raddle_conn_target, and RADDLE_ERR_NOT_FOUND where there is none. From any thread.
raddle_status_t raddle_conn_subprotocol(raddle_conn_t conn,
                                        char *buffer,
                                        size_t size,
                                        size_t *length);

// Gives who the client is, as raddle_request_set_identity has said.
//
// - `conn`, `buffer`, `size`, `length`: as with raddle_conn_target
//
// Returns as raddle_conn_target, and RADDLE_ERR_NOT_FOUND where nobody has said. From any thread.
raddle_status_t raddle_conn_identity(raddle_conn_t conn, char *buffer, size_t size, size_t *length);

// Gives the peer's address, as "192.0.2.1:5000" or "[2001:db8::1]:5000"; where a trusted proxy tells it without a port,
// that is 0.
//
// - `conn`, `buffer`, `size`, `length`: as with raddle_conn_target; 64 bytes are enough
//
// Returns as raddle_conn_target, and RADDLE_ERR_NOT_FOUND for a Unix socket. From any thread.
raddle_status_t raddle_conn_peer(raddle_conn_t conn,
                                 char *buffer,
                                 size_t size,
                                 size_t *length);

// Gives the address of this side, in the same form.
//
// - `conn`, `buffer`, `size`, `length`: as with raddle_conn_target; 64 bytes are enough
//
// Returns as raddle_conn_target, and RADDLE_ERR_NOT_FOUND for a Unix socket. From any thread.
raddle_status_t raddle_conn_local_address(raddle_conn_t conn,
                                          char *buffer,
                                          size_t size,
                                          size_t *length);

// Says how permessage-deflate was agreed on (RFC 7692). Each place may be NULL.
//
// - `conn`: the connection
// - `flags`: RADDLE_SERVER_NO_CONTEXT_TAKEOVER, RADDLE_CLIENT_NO_CONTEXT_TAKEOVER, both, or 0
// - `server_window_bits`, `client_window_bits`: each side looks back 2^n bytes at most
//
// Returns RADDLE_OK, or RADDLE_ERR_NOT_FOUND where nothing is compressed. From any thread.
raddle_status_t raddle_conn_deflate(raddle_conn_t conn,
                                    uint32_t *flags,
                                    uint32_t *server_window_bits,
                                    uint32_t *client_window_bits);

// Gives the value of the first header of a name in the request that has opened the connection. Only where the server
// keeps them: raddle_server_config_keep_headers.
//
// - `conn`, `buffer`, `size`, `length`: as with raddle_conn_target. The value is bytes, and may not be UTF-8
// - `name`: the header's name, in any case
//
// Returns as raddle_conn_target; RADDLE_ERR_NOT_FOUND where there is no such header; RADDLE_ERR_STATE where the headers
// were not kept. From any thread.
raddle_status_t raddle_conn_header(raddle_conn_t conn,
                                   const char *name,
                                   char *buffer,
                                   size_t size,
                                   size_t *length);

// Says when a connection was opened.
//
// - `conn`: the connection
// - `since_ms`: a place for the milliseconds since 1970
//
// Returns RADDLE_OK. From any thread.
raddle_status_t raddle_conn_since(raddle_conn_t conn, uint64_t *since_ms);

// Gives the last round-trip time that keepalive has measured.
//
// - `conn`: the connection
// - `microseconds`: a place for it
//
// Returns RADDLE_OK, or RADDLE_ERR_NOT_FOUND where none was measured yet. From any thread.
raddle_status_t raddle_conn_round_trip(raddle_conn_t conn, uint64_t *microseconds);

// Says how many bytes wait to be written.
//
// - `conn`: the connection
// - `bytes`: a place for the number
//
// Returns RADDLE_OK. From any thread.
raddle_status_t raddle_conn_queued(raddle_conn_t conn, size_t *bytes);

// Says what has passed on a connection behind its opening handshake. Each place may be NULL.
//
// - `conn`: the connection
// - `received_messages`, `received_bytes`: messages received whole, and bytes with the headers of their frames
// - `sent_messages`, `sent_bytes`: messages sent or queued, and bytes that the operating system has taken
//
// Returns RADDLE_OK. From any thread.
raddle_status_t raddle_conn_traffic(raddle_conn_t conn,
                                    uint64_t *received_messages,
                                    uint64_t *received_bytes,
                                    uint64_t *sent_messages,
                                    uint64_t *sent_bytes);

// Gives the number of connections that the process has: those of all servers that are open or closing, and those that it
// has not freed.
//
// Returns the number; 0 in a process that was forked from one that uses the library. From any thread.
size_t raddle_conn_count(void);

// Says, in a callback of engine pool or with an event of a queue, that what was just received is answered later, on another
// thread, by which raddle_answered is called behind the answer. Until it was called as often as this, the peer's Close, the end
// of its stream, and what fails the connection are left alone: nothing could be sent behind them. More messages come meanwhile.
//
// - `conn`: the connection
//
// A Close of this side ends that, as does what breaks the connection, or keepalive. In engine fed queue the library does this by
// itself, until the poll behind the event. Where a thread has the connection to itself, it changes nothing: there what follows a
// message waits until the thread asks for it.
//
// Returns RADDLE_OK. From any thread.
raddle_status_t raddle_answer_later(raddle_conn_t conn);

// Says that something was answered of which raddle_answer_later was called.
//
// - `conn`: the connection
//
// Returns RADDLE_OK; RADDLE_ERR_STATE where nothing waits for that; RADDLE_ERR_CLOSED. From any thread.
raddle_status_t raddle_answered(raddle_conn_t conn);

// Waits for the next message, and makes an object of it. To be called with the interpreter's lock, which is let go while it
// waits, and not at all for a message that has come together with the one before.
//
// - `conn`, `timeout_ms`: as with raddle_recv
// - `interpreter`: what makes the objects
//
// Returns what `text` or `binary` has made of the message, or `number` of the status in place of one, which is as with
// raddle_recv. NULL where such a function has returned NULL: a message is not lost then, and comes with the next call. NULL, too,
// where `interpreter` is, or one of its functions. From any thread, one at a time.
void *raddle_recv_object(raddle_conn_t conn,
                         int64_t timeout_ms,
                         const raddle_interpreter_t *interpreter);

// Sends many messages, as raddle_send_many does, that lie behind one another in one piece of memory: for languages in which
// an array of pointers is dear.
//
// - `packed`, `length`: the messages. Each is 16 bytes of three numbers, in the machine's byte order and at any address,
//   and its payload: `raddle_conn_t conn`, `uint32_t kind`, `uint32_t length`, and so many bytes
// - `statuses`, `most`: NULL and 0, or a place for so many statuses: what has become of the first messages
//
// All are tried, in their order. Returns RADDLE_OK, or the status of the first that has failed; RADDLE_ERR_ARGUMENT where
// the last one is cut short: then nothing was sent. From any thread.
raddle_status_t raddle_send_packed(const uint8_t *packed,
                                   size_t length,
                                   raddle_status_t *statuses,
                                   size_t most);

// Has nothing more read of the peer until raddle_resume: what it sends stays in the socket, and it feels that.
//
// - `conn`: the connection
//
// In a callback, none follows for this connection but RADDLE_CLOSED; the events of one raddle_server_poll are given to the
// last one; raddle_recv waits. From another thread it may be too late for the message that is just being delivered. The
// peer's Pings and its Close are not read either; keepalive takes a peer for alive of which anything waits to be read.
// Where this side closes the connection, messages that come before the peer's Close are dropped.
//
// Returns RADDLE_OK, where reading is paused already as well. From any thread.
raddle_status_t raddle_pause(raddle_conn_t conn);

// Has the peer read again: what it has sent meanwhile is delivered, in order.
//
// - `conn`: the connection
//
// Returns RADDLE_OK, where reading is not paused as well. From any thread.
raddle_status_t raddle_resume(raddle_conn_t conn);

// Tells whether reading is paused.
//
// - `conn`: the connection
// - `is_paused`: a place for 1 or 0
//
// Returns RADDLE_OK. From any thread.
raddle_status_t raddle_conn_is_paused(raddle_conn_t conn, uint32_t *is_paused);

// Sends a Ping whose Pong can be waited for.
//
// - `conn`: the connection
// - `ping`: a place for the handle; it is freed with raddle_ping_free
//
// Returns RADDLE_OK or RADDLE_ERR_CLOSED. Does not wait. From any thread.
raddle_status_t raddle_ping_begin(raddle_conn_t conn, raddle_ping_t **ping);

// Waits for the Pong. Nobody need receive meanwhile: what comes before it is read ahead, a little; beyond that the Pong waits
// behind the messages.
//
// - `ping`: the Ping
// - `timeout_ms`: how long to wait; 0: not at all, negative: until it comes or the connection ends
// - `microseconds`: NULL, or a place for the time that it has taken
//
// Returns RADDLE_OK, again and again; RADDLE_ERR_TIMEOUT and RADDLE_ERR_INTERRUPTED: a further call waits on;
// RADDLE_ERR_CLOSED; RADDLE_ERR_WOULD_BLOCK: this thread must not wait, as in a callback of engine pool. From any thread.
raddle_status_t raddle_ping_wait(raddle_ping_t *ping,
                                 int64_t timeout_ms,
                                 uint64_t *microseconds);

// Frees a Ping: its Pong is of no interest any more.
//
// - `ping`: the Ping; NULL is passed over
//
// Returns RADDLE_OK, or RADDLE_ERR_HANDLE where it was freed before. From any thread.
raddle_status_t raddle_ping_free(raddle_ping_t *ping);

// Waits for the next message.
//
// - `conn`: a connection of raddle_server_accept or of a client, or one that has this thread by raddle_server_move_to_thread
// - `timeout_ms`: how long to wait; 0: not at all, negative: without end. A message that is there comes with 0 too
// - `message`: a place for what has come. Its payload is the library's, and valid until the next call that receives on this
//   connection, or frees it
//
// Returns RADDLE_OK; RADDLE_ERR_TIMEOUT: nothing has come, and nothing is lost; RADDLE_ERR_INTERRUPTED: a signal handler
// has run on this thread meanwhile, and nothing is lost; RADDLE_ERR_CLOSED: the connection has ended, and raddle_conn_end
// says how; RADDLE_ERR_BUSY: another thread receives; RADDLE_ERR_STATE: the messages go to callbacks or into a queue. From
// any thread, one at a time; sending needs no turn.
//
// While a program is away from here, the library answers Pings, and reads a little ahead.
raddle_status_t raddle_recv(raddle_conn_t conn,
                            int64_t timeout_ms,
                            raddle_message_t *message);

// Waits for the next part of a message, for messages larger than memory. The limits hold for the whole message all the
// same. What is left of a message when raddle_recv is called instead is passed over.
//
// - `conn`, `timeout_ms`: as with raddle_recv
// - `message`: a place for the part; its `detail` is RADDLE_MORE where more of the message follows, if only an empty rest. A
//   text is cut between characters. Lent as with raddle_recv
//
// Returns as raddle_recv. From any thread, one at a time.
raddle_status_t raddle_recv_part(raddle_conn_t conn,
                                 int64_t timeout_ms,
                                 raddle_message_t *message);

// Sends a message.
//
// - `conn`: the connection
// - `kind`: RADDLE_TEXT or RADDLE_BINARY, perhaps with RADDLE_UNCOMPRESSED and RADDLE_DONT_WAIT
// - `data`, `length`: the payload, which is copied where it has to wait, and is yours again when the call returns; NULL
//   is fine with a length of 0
//
// Returns RADDLE_OK when the operating system has taken the message, or when it waits and leaves without further calls.
// RADDLE_ERR_CLOSED: the connection has ended, or a Close was sent. RADDLE_ERR_WOULD_BLOCK: the peer does not take what was
// sent before, and this call does not wait. RADDLE_ERR_TIMEOUT: the peer did not take it in its time, and the connection
// has ended. RADDLE_ERR_UTF8: the text is none.
//
// From any thread, any number of them at a time: messages never mix, and those of one thread keep their order. It waits
// where the outgoing limit is reached and the options say so; never in a callback of engine pool, nor on the thread that
// polls, whose messages leave with its next poll or flush.
raddle_status_t raddle_send(raddle_conn_t conn,
                            uint32_t kind,
                            const uint8_t *data,
                            size_t length);

// Sends many messages, to as many connections.
//
// - `messages`, `count`: what to send: `conn`, `kind`, `data` and `length` of each, as with raddle_send
// - `statuses`: NULL, or a place for `count` statuses: what has become of each message
//
// All are tried, in their order. Returns RADDLE_OK, or the status of the first that has failed. From any thread.
raddle_status_t raddle_send_many(const raddle_message_t *messages,
                                 size_t count,
                                 raddle_status_t *statuses);

// Sends a Ping. Keepalive sends its own; this is for programs that want more.
//
// - `conn`: the connection
// - `data`, `length`: a payload of at most 125 bytes
//
// Returns RADDLE_OK, RADDLE_ERR_CLOSED, or RADDLE_ERR_ARGUMENT for a longer payload. Does not wait. From any thread.
raddle_status_t raddle_ping(raddle_conn_t conn,
                            const uint8_t *data,
                            size_t length);

// Sends a Pong that answers no Ping (RFC 6455, section 5.5.3). Pings are answered without it.
//
// - `conn`: the connection
// - `data`, `length`: a payload of at most 125 bytes
//
// Returns as raddle_ping. Does not wait. From any thread.
raddle_status_t raddle_pong(raddle_conn_t conn, const uint8_t *data, size_t length);

// Lets go what was held back to leave together with more, as far as the socket takes it at once. It would leave by itself
// within 5 ms.
//
// - `conn`: the connection
//
// Returns RADDLE_OK. Does not wait. From any thread.
raddle_status_t raddle_flush(raddle_conn_t conn);

// Keeps a pointer of the program's with a connection. One that was there before is destroyed.
//
// - `conn`: the connection
// - `user`: the pointer
// - `destroy`: NULL, or what destroys it: called exactly once, when another pointer takes its place, or when the
//   connection's id stops naming it: behind the last callback, with the poll that follows RADDLE_CLOSED, or in
//   raddle_conn_free
//
// Returns RADDLE_OK. With any other status nothing was kept, and the pointer stays the program's. From any thread; who
// replaces a pointer has to know that nobody uses the one before.
raddle_status_t raddle_conn_set_user(raddle_conn_t conn,
                                     void *user,
                                     raddle_destroy_t destroy);

// Gives the pointer that raddle_conn_set_user has kept.
//
// - `conn`: the connection
// - `user`: a place for the pointer; NULL is put there where none was kept
//
// Returns RADDLE_OK. From any thread.
raddle_status_t raddle_conn_user(raddle_conn_t conn, void **user);

// Has a function called for what the library has to say. Default: it says nothing.
//
// - `callback`: the function; NULL for none
// - `level`: the least important that is told: RADDLE_LOG_…
// - `user`, `destroy`: handed to each call; `destroy`, unless it is NULL, is called exactly once, when another function was
//   set and the last call has returned
//
// Returns RADDLE_OK; RADDLE_ERR_ARGUMENT for another level; RADDLE_ERR_STATE where the program, which is partly in Rust and
// has the library linked into it, has a logger of its own: that hears what the library says. With either all stays as it
// is, and the library has no use for `user`. From any thread.
raddle_status_t raddle_log(raddle_log_callback_t callback,
                           uint32_t level,
                           void *user,
                           raddle_destroy_t destroy);

// Makes settings with the defaults.
//
// - `role`: RADDLE_SERVER or RADDLE_CLIENT
// - `config`: a place for the handle; it is freed with raddle_protocol_config_free
//
// Returns RADDLE_OK or RADDLE_ERR_ARGUMENT. From any thread. Settings are changed by one thread at a time: others get
// RADDLE_ERR_BUSY.
raddle_status_t raddle_protocol_config_new(uint32_t role,
                                           raddle_protocol_config_t **config);

// Frees settings. Objects that were made of them stay as they are.
//
// - `config`: the settings; NULL is passed over
//
// Returns RADDLE_OK, or RADDLE_ERR_HANDLE where they were freed before. From any thread.
raddle_status_t raddle_protocol_config_free(raddle_protocol_config_t *config);

// Sets the largest message that is received, and frame of one: above it the connection fails with 1009. Default: 1 MiB for a server,
// 16 MiB for a client.
//
// - `config`: the settings
// - `bytes`: any number; RADDLE_NO_LIMIT for none
//
// Returns RADDLE_OK; RADDLE_ERR_ARGUMENT for a value that is not in order; RADDLE_ERR_UTF8 for a text that is none. With
// any failure all stays as it is. One thread at a time: another gets RADDLE_ERR_BUSY.
raddle_status_t raddle_protocol_config_max_message(raddle_protocol_config_t *config,
                                                   uint64_t bytes);

// Sets the largest frame that is received, where that is less than the largest message. To be called behind
// raddle_protocol_config_max_message.
//
// - `config`: the settings
// - `bytes`: any number; RADDLE_NO_LIMIT for none
//
// Returns as raddle_protocol_config_max_message. One thread at a time.
raddle_status_t raddle_protocol_config_max_frame(raddle_protocol_config_t *config,
                                                 uint64_t bytes);

// Sets the most frames of one message: above it the connection fails with 1008. Default: 16,384.
//
// - `config`: the settings
// - `count`: at least 1
//
// Returns as raddle_protocol_config_max_message. One thread at a time.
raddle_status_t raddle_protocol_config_max_fragments(raddle_protocol_config_t *config,
                                                     uint32_t count);

// Sets the largest head of an opening handshake that is received. Default: 16 KiB, with a first line of 8 KiB and 100 headers.
//
// - `config`: the settings
// - `head`: bytes of the whole head, at least 64
// - `line`: bytes of its first line, at least 16
// - `headers`: header lines, at least 5
//
// Returns as raddle_protocol_config_max_message. One thread at a time.
raddle_status_t raddle_protocol_config_head_limits(raddle_protocol_config_t *config,
                                                   size_t head,
                                                   size_t line,
                                                   size_t headers);

// Offers permessage-deflate, or agrees on it where it is offered (RFC 7692). Default: not. Of each number, 0 is the
// default.
//
// - `config`: the settings
// - `level`, `threshold`, `flags`, `server_window_bits`, `client_window_bits`: as with raddle_server_config_deflate
//
// Returns as raddle_protocol_config_max_message. One thread at a time.
raddle_status_t raddle_protocol_config_deflate(raddle_protocol_config_t *config,
                                               uint32_t level,
                                               size_t threshold,
                                               uint32_t flags,
                                               uint32_t server_window_bits,
                                               uint32_t client_window_bits);

// Adds a subprotocol (RFC 6455, section 1.9): one that a client offers, the one it likes best first, or one that a server
// knows.
//
// - `config`: the settings
// - `name`: one word
//
// Returns as raddle_protocol_config_max_message. One thread at a time.
raddle_status_t raddle_protocol_config_subprotocol(raddle_protocol_config_t *config,
                                                   const char *name);

// Adds a header to a client's request, or to the response by which a server accepts one. Whether it may be sent shows when
// it is to be.
//
// - `config`: the settings
// - `name`: a token; none of the handshake's own
// - `value`: UTF-8 without control characters
//
// Returns as raddle_protocol_config_max_message. One thread at a time.
raddle_status_t raddle_protocol_config_header(raddle_protocol_config_t *config,
                                              const char *name,
                                              const char *value);

// Says on whose behalf a client comes (RFC 6455, section 4.1).
//
// - `config`: the settings
// - `origin`: as "https://example.com"
//
// Returns as raddle_protocol_config_max_message; RADDLE_ERR_STATE for a server's settings. One thread at a time.
raddle_status_t raddle_protocol_config_origin(raddle_protocol_config_t *config,
                                              const char *origin);

// Adds a page that may connect to a server, by the Origin that its browser sends (RFC 6455, section 10.2). Default: pages of the
// same host and port. Clients that send no Origin are no browsers, and pass.
//
// - `config`: the settings
// - `origin`: as "https://example.com" or "https://*.example.com"; without a scheme, http and https are meant
//
// Returns as raddle_protocol_config_max_message; RADDLE_ERR_ARGUMENT where it has not that form, RADDLE_ERR_STATE for
// a client's settings. One thread at a time.
raddle_status_t raddle_protocol_config_allow_origin(raddle_protocol_config_t *config,
                                                    const char *origin);

// Has pages of any origin connect. For services that give nothing to a browser's cookies or place in the network.
//
// - `config`: the settings
//
// Returns as raddle_protocol_config_max_message; RADDLE_ERR_STATE for a client's settings. One thread at a time.
raddle_status_t raddle_protocol_config_allow_any_origin(raddle_protocol_config_t *config);

// Adds a name under which a server may be addressed. Default: any. A page of a foreign name that leads to the server's
// address ("DNS rebinding") is found out by that only.
//
// - `config`: the settings
// - `host`: as "example.com" or "example.com:8080"
//
// Returns as raddle_protocol_config_max_message; RADDLE_ERR_ARGUMENT where it has not that form, RADDLE_ERR_STATE for
// a client's settings. One thread at a time.
raddle_status_t raddle_protocol_config_allow_host(raddle_protocol_config_t *config,
                                                  const char *host);

// Has the program decide on each request: raddle_protocol_next gives RADDLE_REQUEST, and nothing more until
// raddle_protocol_accept or raddle_protocol_respond was called. What comes meanwhile is kept without a bound: a program that
// does not decide at once stops reading until it has. Default: each request that is in order is accepted, with
// the client's first subprotocol that the server knows.
//
// - `config`: the settings
//
// Returns as raddle_protocol_config_max_message; RADDLE_ERR_STATE for a client's settings. One thread at a time.
raddle_status_t raddle_protocol_config_requests_as_events(raddle_protocol_config_t *config);

// Has the program hand the masking keys in, with raddle_protocol_add_keys. Default: they come from the operating system's
// generator.
//
// - `config`: the settings
//
// Returns as raddle_protocol_config_max_message; RADDLE_ERR_STATE for a server's settings: it does not mask. One
// thread at a time.
raddle_status_t raddle_protocol_config_own_keys(raddle_protocol_config_t *config);

// Has raddle_protocol_tick send a Ping to a peer that is silent, and give it up when it stays silent. Default: off.
//
// - `config`: the settings
// - `interval`: a Ping is sent after so many milliseconds of silence; 0 turns it off
// - `timeout`: the peer is given up when nothing was received for so many milliseconds after a Ping; at least 1
//
// Returns as raddle_protocol_config_max_message. One thread at a time.
raddle_status_t raddle_protocol_config_keepalive(raddle_protocol_config_t *config,
                                                 uint64_t interval,
                                                 uint64_t timeout);

// Frees a protocol object, and what it has lent with it.
//
// - `protocol`: the object
//
// Returns RADDLE_OK, also for NULL, or RADDLE_ERR_HANDLE. From any thread.
raddle_status_t raddle_protocol_free(raddle_protocol_t *protocol);

// Lends space for what the program reads from its socket, so that nothing is copied.
//
// - `protocol`: the object
// - `space`, `length`: where the place is put, and its bytes, at least 1. It is valid until the next call with this object
//   that takes bytes or gives an event, or raddle_protocol_accept, raddle_protocol_respond or raddle_protocol_shrink; what the
//   last event has lent is not valid any more
//
// Returns RADDLE_OK. To be followed by raddle_protocol_filled. One thread at a time.
raddle_status_t raddle_protocol_space(raddle_protocol_t *protocol,
                                      uint8_t **space,
                                      size_t *length);

// Notes that the first bytes of the space that was lent last were filled.
//
// - `protocol`: the object
// - `count`: how many; 0 is fine
//
// Returns RADDLE_OK, or RADDLE_ERR_ARGUMENT where no space is lent, or less. One thread at a time.
raddle_status_t raddle_protocol_filled(raddle_protocol_t *protocol, size_t count);

// Takes a copy of bytes that were received, for programs that have them elsewhere. What the last event has lent is not
// valid any more.
//
// - `protocol`: the object
// - `data`, `length`: the bytes
//
// Returns RADDLE_OK or RADDLE_ERR_ARGUMENT. One thread at a time.
raddle_status_t raddle_protocol_feed(raddle_protocol_t *protocol,
                                     const uint8_t *data,
                                     size_t length);

// Gives the next event of what was received, and answers it where the protocol asks for that: Pong for Ping, Close for
// Close, a Close for what breaks a rule. To be called until it gives no more.
//
// - `protocol`: the object
// - `event`: where the event is put. `kind` is RADDLE_TEXT or RADDLE_BINARY for a whole message, RADDLE_PING, RADDLE_PONG,
//   RADDLE_CLOSE (`detail` is the code, 1005 for none), RADDLE_OPENED when the opening handshake is done, or RADDLE_REQUEST.
//   `data` is lent: valid until the next call with this object that takes bytes or gives an event, whatever is sent or
//   written meanwhile
//
// Returns RADDLE_OK; RADDLE_ERR_WOULD_BLOCK where more bytes are needed, or nothing comes any more; for good
// RADDLE_ERR_PROTOCOL, RADDLE_ERR_HANDSHAKE, or RADDLE_ERR_CLOSED after the program has refused the request: what is
// to be written then still tells the peer. One thread at a time.
raddle_status_t raddle_protocol_next(raddle_protocol_t *protocol,
                                     raddle_message_t *event);

// As raddle_protocol_next, but gives messages in parts, as they arrive: for messages larger than memory. `detail` is
// RADDLE_MORE where more of the message follows, if only an empty rest. A text is cut between characters.
//
// - `protocol`, `event`: as with raddle_protocol_next
//
// Returns as raddle_protocol_next. One thread at a time.
raddle_status_t raddle_protocol_next_part(raddle_protocol_t *protocol,
                                          raddle_message_t *event);

// Lends the next piece of what is to be written: no bytes, where there is nothing.
//
// - `protocol`: the object
// - `data`, `length`: where the piece is put. It stays valid until raddle_protocol_written has taken it off, or the object is
//   freed, whatever is called meanwhile
//
// Returns RADDLE_OK. After raddle_protocol_state has told RADDLE_STATE_CLOSED, and when nothing is to be written any
// more, a server ends the stream, and a client waits for that, for a few seconds. One thread at a time.
raddle_status_t raddle_protocol_output(raddle_protocol_t *protocol,
                                       const uint8_t **data,
                                       size_t *length);

// As raddle_protocol_output, with several pieces at a time, for `writev` and the like.
//
// - `protocol`: the object
// - `slices`, `most`: an array of so many, at least 1
// - `count`: where the number of those that were filled is put
//
// Returns RADDLE_OK or RADDLE_ERR_ARGUMENT. One thread at a time.
raddle_status_t raddle_protocol_output_slices(raddle_protocol_t *protocol,
                                              raddle_slice_t *slices,
                                              size_t most,
                                              size_t *count);

// Takes bytes off what is to be written, after the program has written them; over several pieces, where it has.
//
// - `protocol`: the object
// - `count`: how many; 0 is fine
//
// Returns RADDLE_OK, or RADDLE_ERR_ARGUMENT where less was lent. One thread at a time.
raddle_status_t raddle_protocol_written(raddle_protocol_t *protocol,
                                        size_t count);

// Tells how many bytes are to be written in all. A program that sends should look: nothing bounds them.
//
// - `protocol`: the object
// - `bytes`: where their number is put
//
// Returns RADDLE_OK. One thread at a time.
raddle_status_t raddle_protocol_queued(raddle_protocol_t *protocol,
                                       size_t *bytes);

// Tells where the connection stands.
//
// - `protocol`: the object
// - `state`: where RADDLE_STATE_CONNECTING, RADDLE_STATE_OPEN, RADDLE_STATE_CLOSING after the Close of one side, or
//   RADDLE_STATE_CLOSED is put: nothing is received any more then, and nothing sent but what is to be written already
//
// Returns RADDLE_OK. One thread at a time.
raddle_status_t raddle_protocol_state(raddle_protocol_t *protocol,
                                      uint32_t *state);

// Tells the object the time, for keepalive: sends a Ping where one is due.
//
// - `protocol`: the object
// - `now_ms`: milliseconds since any moment, which never go back
// - `wait_ms`: where the milliseconds are put until the next call is of use; RADDLE_NO_LIMIT for none. May be NULL
//
// Returns RADDLE_OK, or RADDLE_ERR_TIMEOUT where the peer has not answered in its time: the connection is to be given
// up. One thread at a time.
raddle_status_t raddle_protocol_tick(raddle_protocol_t *protocol,
                                     uint64_t now_ms,
                                     uint64_t *wait_ms);

// Gives back memory that is not needed while nothing is received and sent. What the last event has lent is not valid any
// more, nor is space of raddle_protocol_space.
//
// - `protocol`: the object
//
// Returns RADDLE_OK. One thread at a time.
raddle_status_t raddle_protocol_shrink(raddle_protocol_t *protocol);

// Makes the server's side of a connection that a client was just accepted on.
//
// - `config`: of the role RADDLE_SERVER, whose settings are copied; NULL for the defaults
// - `protocol`: where the handle is put, to be freed with raddle_protocol_free
//
// Returns RADDLE_OK, or RADDLE_ERR_STATE for a configuration of the other role. From any thread.
raddle_status_t raddle_protocol_server(const raddle_protocol_config_t *config,
                                       raddle_protocol_t **protocol);

// Makes the client's side of a connection that was just connected to a server, with its request to be written first.
//
// - `config`: of the role RADDLE_CLIENT, whose settings are copied; NULL for the defaults
// - `host`: the server's name or address, with its port where that is not the default, as "example.com:8080"
// - `target`: path and query, with a "/" at the beginning
// - `key`: 16 random bytes, fresh for each connection, for Sec-WebSocket-Key; NULL has the operating system's generator asked
// - `protocol`: where the handle is put, to be freed with raddle_protocol_free
//
// Returns RADDLE_OK, RADDLE_ERR_ARGUMENT where something may not be sent, RADDLE_ERR_UTF8, RADDLE_ERR_IO without a
// random number, or RADDLE_ERR_STATE for a configuration of the other role. From any thread.
raddle_status_t raddle_protocol_client(const raddle_protocol_config_t *config,
                                       const char *host,
                                       const char *target,
                                       const uint8_t *key,
                                       raddle_protocol_t **protocol);

// Accepts the request that waits, as raddle_protocol_config_requests_as_events has it. Space of raddle_protocol_space is not
// valid any more: what was read into it has to be noted before.
//
// - `protocol`: the object
// - `subprotocol`: one of those that the client has offered; NULL for none
//
// Returns RADDLE_OK; raddle_protocol_next goes on with RADDLE_OPENED. RADDLE_ERR_STATE where no request waits, or it
// is no opening handshake, RADDLE_ERR_ARGUMENT where the subprotocol was not offered, or a header may not be sent: it
// still waits then. One thread at a time.
raddle_status_t raddle_protocol_accept(raddle_protocol_t *protocol,
                                       const char *subprotocol);

// Answers the request that waits over HTTP, and ends the connection: a refusal, or a page. Space of raddle_protocol_space is
// not valid any more.
//
// - `protocol`: the object
// - `status`: 200 to 599
// - `content_type`: of the body, as "text/plain; charset=utf-8"; NULL for none
// - `body`, `length`: the body, which is copied
//
// Returns RADDLE_OK, RADDLE_ERR_STATE where no request waits, or RADDLE_ERR_ARGUMENT. One thread at a time.
raddle_status_t raddle_protocol_respond(raddle_protocol_t *protocol,
                                        uint32_t status,
                                        const char *content_type,
                                        const uint8_t *body,
                                        size_t length);

// Gives the path and query that a client has asked for, as it has sent them. While a request waits, and until the call of
// raddle_protocol_next that follows RADDLE_OPENED.
//
// - `protocol`: the object
// - `buffer`, `size`: where the text is put, with a NUL at its end
// - `length`: where its bytes are put, without the NUL; may be NULL
//
// Returns RADDLE_OK; RADDLE_ERR_BUFFER where `size` is too small; RADDLE_ERR_STATE at another time, or for a client.
// One thread at a time.
raddle_status_t raddle_protocol_target(raddle_protocol_t *protocol,
                                       char *buffer,
                                       size_t size,
                                       size_t *length);

// Gives the status of the server's response: 101 where it has opened the connection. Until the call of raddle_protocol_next that
// follows RADDLE_OPENED, or after RADDLE_ERR_HANDSHAKE where the server has refused.
//
// - `protocol`: the object
// - `status`: where the status is put
//
// Returns RADDLE_OK, or RADDLE_ERR_STATE at another time, or for a server. One thread at a time.
raddle_status_t raddle_protocol_response_status(raddle_protocol_t *protocol,
                                                uint32_t *status);

// Gives the value of the first header of a name that the peer has sent, of the request for a server, of the response for a
// client. At the times of raddle_protocol_target and raddle_protocol_response_status.
//
// - `protocol`: the object
// - `name`: in any case
// - `buffer`, `size`, `length`: as with raddle_protocol_target; the value may have any bytes but control characters
//
// Returns RADDLE_OK; RADDLE_ERR_NOT_FOUND where there is none; RADDLE_ERR_BUFFER; RADDLE_ERR_STATE at another time.
// One thread at a time.
raddle_status_t raddle_protocol_header(raddle_protocol_t *protocol,
                                       const char *name,
                                       char *buffer,
                                       size_t size,
                                       size_t *length);

// Gives a header that the peer has sent by its place, as "name: value". At the times of raddle_protocol_header.
//
// - `protocol`: the object
// - `index`: the place, from 0 on
// - `buffer`, `size`, `length`: as with raddle_protocol_header
//
// Returns RADDLE_OK; RADDLE_ERR_NOT_FOUND behind the last one; RADDLE_ERR_BUFFER; RADDLE_ERR_STATE at another time.
// One thread at a time.
raddle_status_t raddle_protocol_header_at(raddle_protocol_t *protocol,
                                          size_t index,
                                          char *buffer,
                                          size_t size,
                                          size_t *length);

// Gives the subprotocol that was agreed on, once the connection is open.
//
// - `protocol`: the object
// - `buffer`, `size`, `length`: as with raddle_protocol_target
//
// Returns RADDLE_OK; RADDLE_ERR_NOT_FOUND where there is none; RADDLE_ERR_BUFFER. One thread at a time.
raddle_status_t raddle_protocol_subprotocol(raddle_protocol_t *protocol,
                                            char *buffer,
                                            size_t size,
                                            size_t *length);

// Sends a message: puts its frame behind what is to be written.
//
// - `protocol`: the object
// - `kind`: RADDLE_TEXT, whose payload is UTF-8, or RADDLE_BINARY
// - `data`, `length`: the payload, which is copied; `data` may be NULL where there is none
//
// Returns RADDLE_OK; RADDLE_ERR_CLOSED after a Close; RADDLE_ERR_STATE before the connection is open, amid a
// fragmented message, or where the program has handed in no more masking keys; RADDLE_ERR_UTF8 or RADDLE_ERR_ARGUMENT.
// Nothing was sent then. One thread at a time.
raddle_status_t raddle_protocol_send(raddle_protocol_t *protocol,
                                     uint32_t kind,
                                     const uint8_t *data,
                                     size_t length);

// Sends a message as raddle_protocol_send does, without copying the payload where that can be: raddle_protocol_output
// lends it itself, behind its header. A client's is copied nevertheless, as it is masked, and one that is compressed.
//
// - `protocol`: the object
// - `kind`: as with raddle_protocol_send
// - `data`, `length`: the payload, which stays there, unchanged, until raddle_protocol_queued tells 0, or the object is
//   freed
//
// Returns as raddle_protocol_send. One thread at a time.
raddle_status_t raddle_protocol_send_lent(raddle_protocol_t *protocol,
                                          uint32_t kind,
                                          const uint8_t *data,
                                          size_t length);

// Sends a fragment of a message. The first one begins it; until the last one only control frames can be sent between them.
//
// - `protocol`: the object
// - `kind`: of the message, the same for all its fragments. Those of a text are UTF-8 each: cut it between characters
// - `data`, `length`: the payload, which is copied
// - `more`: RADDLE_MORE where more of the message follows, 0 for the last one
//
// Returns as raddle_protocol_send. One thread at a time.
raddle_status_t raddle_protocol_send_fragment(raddle_protocol_t *protocol,
                                              uint32_t kind,
                                              const uint8_t *data,
                                              size_t length,
                                              uint32_t more);

// Sends a Ping (RFC 6455, section 5.5.2). Its Pong is an event.
//
// - `protocol`: the object
// - `data`, `length`: the payload, at most 125 bytes, which is copied
//
// Returns as raddle_protocol_send; RADDLE_ERR_ARGUMENT for more bytes. One thread at a time.
raddle_status_t raddle_protocol_ping(raddle_protocol_t *protocol,
                                     const uint8_t *data,
                                     size_t length);

// Sends a Pong that answers no Ping (RFC 6455, section 5.5.3). Pings are answered without it.
//
// - `protocol`: the object
// - `data`, `length`: as with raddle_protocol_ping
//
// Returns as raddle_protocol_ping. One thread at a time.
raddle_status_t raddle_protocol_pong(raddle_protocol_t *protocol,
                                     const uint8_t *data,
                                     size_t length);

// Begins the closing handshake: sends a Close. Nothing can be sent after it; messages are received until the peer's Close
// comes.
//
// - `protocol`: the object
// - `code`: 1000 to 1003, 1007 to 1014, 3000 to 4999, or 0 for a Close without code and reason
// - `reason`: at most 123 bytes of UTF-8; NULL for none
//
// Returns as raddle_protocol_send; RADDLE_ERR_ARGUMENT for another code or a longer reason. One thread at a time.
raddle_status_t raddle_protocol_close(raddle_protocol_t *protocol,
                                      uint16_t code,
                                      const char *reason);

// Hands masking keys in, four random bytes for each frame that is going to be sent, Pongs among them. For a configuration with
// raddle_protocol_config_own_keys.
//
// - `protocol`: the object
// - `bytes`, `length`: unpredictable bytes (RFC 6455, section 10.3), a multiple of 4. They are copied, and each key is used
//   once. At most 65,536 keys wait
// - `left`: where the number of keys is put that wait now; may be NULL
//
// Where there is none, what the program sends fails with RADDLE_ERR_STATE, and a Ping is not answered. Returns
// RADDLE_OK, RADDLE_ERR_ARGUMENT, or RADDLE_ERR_STATE where the keys are not the program's. One thread at a time.
raddle_status_t raddle_protocol_add_keys(raddle_protocol_t *protocol,
                                         const uint8_t *bytes,
                                         size_t length,
                                         size_t *left);

// Waits for the next open connection, in engine accept.
//
// - `server`: the server
// - `timeout_ms`: how long to wait; 0: not at all, negative: without end
// - `conn`: a place for the connection; it is freed with raddle_conn_free
//
// Returns RADDLE_OK; RADDLE_ERR_TIMEOUT: nobody has come; RADDLE_ERR_CLOSED: the server was stopped, or has drained and its
// last connection has ended; RADDLE_ERR_STATE: another engine brings the connections. From any thread, any number of them at a
// time. The program's decision on requests is called within.
raddle_status_t raddle_server_accept(raddle_server_t *server,
                                     int64_t timeout_ms,
                                     raddle_conn_t *conn);

// Waits for the next request, in engine accept, for programs that decide on a thread of the connection's own: that thread
// then has the connection from raddle_request_open.
//
// - `server`: the server
// - `timeout_ms`: as with raddle_server_accept
// - `request`: a place for the request, plain HTTP requests among them. It has to be decided on within the handshake
//   timeout, on any thread; raddle_request_free answers one that was not
//
// Returns as raddle_server_accept, which gives nothing that is decided on so; what raddle_server_config_on_request has set
// is not called. From any thread, any number of them at a time.
raddle_status_t raddle_server_next_request(raddle_server_t *server,
                                           int64_t timeout_ms,
                                           raddle_request_t **request);

// Gives a connection of engine pool, queue or fed queue a thread of its own, for what takes long there, or waits: others have their
// time meanwhile. When the function returns, messages go to callbacks or into the queue again.
//
// - `server`: the server
// - `conn`: a connection of it
// - `body`: the function, which is not called where the connection ends before the thread has it
// - `user`: handed to the function
// - `destroy`: NULL, or what destroys `user`: called exactly once, when the function has returned, or will not be called
//
// Called in a callback of that connection, the function gets all messages behind the one of the callback; with a queue, all behind
// those of the last raddle_server_poll. raddle_server_join waits for the thread.
//
// Returns RADDLE_OK; RADDLE_ERR_CLOSED where the connection has ended; RADDLE_ERR_STATE where it has a thread already, was not
// opened to the program yet (RADDLE_OPENED), or the program receives by calls anyway; RADDLE_ERR_IO where no thread can be
// started. With any failure the library has no use for `user`. From any thread.
raddle_status_t raddle_server_move_to_thread(raddle_server_t *server,
                                             raddle_conn_t conn,
                                             raddle_thread_callback_t body,
                                             void *user,
                                             raddle_destroy_t destroy);

// Sets what is called for the events of engines threads and pool. NULL where an event is of no interest. With another engine
// none is called.
//
// - `config`: the settings
// - `on_open`: RADDLE_OPENED: the first event of a connection
// - `on_message`: RADDLE_TEXT or RADDLE_BINARY
// - `on_drain`: RADDLE_DRAINED, in engine pool only
// - `on_close`: RADDLE_CLOSED: the last event of each connection that was opened. After it, the id names nothing
// - `user`: handed to each call
// - `destroy`: NULL, or what destroys `user`: called exactly once, when the settings were freed, or have got other
//   callbacks, and no server that was made of them will make a call any more
//
// Returns RADDLE_OK. With any other status the library has no use for `user`. One thread at a time.
raddle_status_t raddle_server_config_callbacks(raddle_server_config_t *config,
                                               raddle_callback_t on_open,
                                               raddle_callback_t on_message,
                                               raddle_callback_t on_drain,
                                               raddle_callback_t on_close,
                                               void *user,
                                               raddle_destroy_t destroy);

// Makes settings with the defaults: engine threads, no listener, and limits that suit a server on the open Internet.
//
// - `config`: a place for the handle; it is freed with raddle_server_config_free
//
// Returns RADDLE_OK. From any thread. Settings are used by one thread at a time: others get RADDLE_ERR_BUSY.
raddle_status_t raddle_server_config_new(raddle_server_config_t **config);

// Frees settings. Servers that were made of them go on.
//
// - `config`: the settings; NULL is passed over
//
// Returns RADDLE_OK, or RADDLE_ERR_HANDLE where they were freed before. From any thread.
raddle_status_t raddle_server_config_free(raddle_server_config_t *config);

// Chooses how the server serves. Default: RADDLE_ENGINE_THREADS.
//
// - `config`: the settings
// - `engine`: RADDLE_ENGINE_…
//
// Returns RADDLE_OK; RADDLE_ERR_ARGUMENT for a value that is not in order; RADDLE_ERR_UTF8 for a text that is none. With
// any failure all stays as it is. One thread at a time: another gets RADDLE_ERR_BUSY.
raddle_status_t raddle_server_config_engine(raddle_server_config_t *config,
                                            uint32_t engine);

// Sets the number of threads of engines pool and fed queue. Default: as many as the machine has cores.
//
// - `config`: the settings
// - `count`: 1 to 1,024
//
// Returns as raddle_server_config_engine. One thread at a time.
raddle_status_t raddle_server_config_workers(raddle_server_config_t *config,
                                             uint32_t count);

// Sets the size in bytes of the stack of each connection's thread, for engine threads. Default: 2 MiB of address space, of
// which only what is used takes memory.
//
// - `config`: the settings
// - `bytes`: 65,536 to 2^30
//
// Returns as raddle_server_config_engine. One thread at a time.
raddle_status_t raddle_server_config_stack_size(raddle_server_config_t *config,
                                                size_t bytes);

// Sets the largest message that is received, and frame of one: above it the connection fails with 1009. Default: 1 MiB.
//
// - `config`: the settings
// - `bytes`: any number; RADDLE_NO_LIMIT for none
//
// Returns as raddle_server_config_engine. One thread at a time.
raddle_status_t raddle_server_config_max_message(raddle_server_config_t *config,
                                                 uint64_t bytes);

// Sets the largest frame that is received, where that is less than the largest message. To be called behind
// raddle_server_config_max_message.
//
// - `config`: the settings
// - `bytes`: any number; RADDLE_NO_LIMIT for none
//
// Returns as raddle_server_config_engine. One thread at a time.
raddle_status_t raddle_server_config_max_frame(raddle_server_config_t *config,
                                               uint64_t bytes);

// Sets the most frames of one message: above it the connection fails with 1008. Default: 16,384.
//
// - `config`: the settings
// - `count`: at least 1
//
// Returns as raddle_server_config_engine. One thread at a time.
raddle_status_t raddle_server_config_max_fragments(raddle_server_config_t *config, uint32_t count);

// Sets after which silence of the peer a Ping is sent. Default: 20 s.
//
// - `config`: the settings
// - `milliseconds`: 0 for never
//
// Returns as raddle_server_config_engine. One thread at a time.
raddle_status_t raddle_server_config_ping_interval(raddle_server_config_t *config,
                                                   uint64_t milliseconds);

// Sets how long after a Ping the connection ends where nothing was received. Default: 20 s.
//
// - `config`: the settings
// - `milliseconds`: at least 1; RADDLE_NO_LIMIT for none
//
// Returns as raddle_server_config_engine. One thread at a time.
raddle_status_t raddle_server_config_ping_timeout(raddle_server_config_t *config,
                                                  uint64_t milliseconds);

// Sets the time that the closing handshake may take. Default: 5 s.
//
// - `config`: the settings
// - `milliseconds`: at least 1; RADDLE_NO_LIMIT for none
//
// Returns as raddle_server_config_engine. One thread at a time.
raddle_status_t raddle_server_config_close_timeout(raddle_server_config_t *config,
                                                   uint64_t milliseconds);

// Sets the time that writing a message may take, to which its size at the lowest rate is added. Default: 30 s.
//
// - `config`: the settings
// - `milliseconds`: at least 1; RADDLE_NO_LIMIT for none
//
// Returns as raddle_server_config_engine. One thread at a time.
raddle_status_t raddle_server_config_write_timeout(raddle_server_config_t *config,
                                                   uint64_t milliseconds);

// Sets the time that receiving a message may take from its first byte, to which its size at the lowest rate is added.
// Default: 60 s.
//
// - `config`: the settings
// - `milliseconds`: at least 1; RADDLE_NO_LIMIT for none
//
// Returns as raddle_server_config_engine. One thread at a time.
raddle_status_t raddle_server_config_message_timeout(raddle_server_config_t *config,
                                                     uint64_t milliseconds);

// Sets the rate of the slowest peer that is served. Default: 16 KiB/s.
//
// - `config`: the settings
// - `bytes_per_second`: at least 1
//
// Returns as raddle_server_config_engine. One thread at a time.
raddle_status_t raddle_server_config_min_rate(raddle_server_config_t *config,
                                              uint64_t bytes_per_second);

// Sets how many bytes may wait to be written before raddle_server_config_when_full decides. Default: 1 MiB.
//
// - `config`: the settings
// - `bytes`: any number
//
// Returns as raddle_server_config_engine. One thread at a time.
raddle_status_t raddle_server_config_outgoing_limit(raddle_server_config_t *config,
                                                    size_t bytes);

// Sets what a send does where the outgoing limit is reached. Default: RADDLE_WHEN_FULL_BLOCK.
//
// - `config`: the settings
// - `policy`: RADDLE_WHEN_FULL_…
//
// Returns as raddle_server_config_engine. One thread at a time.
raddle_status_t raddle_server_config_when_full(raddle_server_config_t *config, uint32_t policy);

// Sets above which size messages are sent in fragments of that size, so that control frames can pass between them.
// Default: 1 MiB.
//
// - `config`: the settings
// - `bytes`: at least 1
//
// Returns as raddle_server_config_engine. One thread at a time.
raddle_status_t raddle_server_config_fragment_size(raddle_server_config_t *config,
                                                   size_t bytes);

// Agrees on permessage-deflate (RFC 7692) with clients that offer it. Default: with none. Of each number, 0 is the default.
//
// - `config`: the settings
// - `level`: how hard the compressor tries: 1, the default and fastest, to 9
// - `threshold`: messages of fewer bytes are sent uncompressed; by default of fewer than 64
// - `flags`: RADDLE_SERVER_NO_CONTEXT_TAKEOVER, RADDLE_CLIENT_NO_CONTEXT_TAKEOVER, or both
// - `server_window_bits`, `client_window_bits`: each side looks back 2^n bytes at most: 9 to 15, by default 15
//
// Returns as raddle_server_config_engine. One thread at a time.
raddle_status_t raddle_server_config_deflate(raddle_server_config_t *config,
                                             uint32_t level,
                                             size_t threshold,
                                             uint32_t flags,
                                             uint32_t server_window_bits,
                                             uint32_t client_window_bits);

// Sets the largest head of a request. Default: 16 KiB, with a first line of 8 KiB and 100 headers.
//
// - `config`: the settings
// - `head`: bytes of the whole head, at least 64
// - `line`: bytes of its first line, at least 16
// - `headers`: header lines, at least 5
//
// Returns as raddle_server_config_engine. One thread at a time.
raddle_status_t raddle_server_config_head_limits(raddle_server_config_t *config,
                                                 size_t head,
                                                 size_t line,
                                                 size_t headers);

// Adds a page that may connect, by the Origin that its browser sends (RFC 6455, section 10.2). Default: pages of the same
// host and port. Clients that send no Origin are no browsers, and pass.
//
// - `config`: the settings
// - `origin`: as "https://example.com" or "https://*.example.com"; without a scheme, http and https are meant
//
// Returns as raddle_server_config_engine; RADDLE_ERR_ARGUMENT where it has not that form. One thread at a time.
raddle_status_t raddle_server_config_allow_origin(raddle_server_config_t *config,
                                                  const char *origin);

// Has pages of any origin connect. For services that give nothing to a browser's cookies or place in the network.
//
// - `config`: the settings
//
// Returns as raddle_server_config_engine. One thread at a time.
raddle_status_t raddle_server_config_allow_any_origin(raddle_server_config_t *config);

// Adds a name under which the server may be addressed. Default: any; on a loopback address only that machine's own names.
//
// - `config`: the settings
// - `host`: as "example.com" or "example.com:8080"
//
// Returns as raddle_server_config_engine; RADDLE_ERR_ARGUMENT where it has not that form. One thread at a time.
raddle_status_t raddle_server_config_allow_host(raddle_server_config_t *config,
                                                const char *host);

// Has the server be addressed under any name, on a loopback address as well.
//
// - `config`: the settings
//
// Returns as raddle_server_config_engine. One thread at a time.
raddle_status_t raddle_server_config_allow_any_host(raddle_server_config_t *config);

// Supports a subprotocol. May be called several times; the client's order of preference decides.
//
// - `config`: the settings
// - `name`: one word
//
// Returns as raddle_server_config_engine. One thread at a time.
raddle_status_t raddle_server_config_subprotocol(raddle_server_config_t *config, const char *name);

// Sets the time for an opening handshake, from accept(2) to the decision. Default: 10 s.
//
// - `config`: the settings
// - `milliseconds`: at least 1; RADDLE_NO_LIMIT for none
//
// Returns as raddle_server_config_engine. One thread at a time.
raddle_status_t raddle_server_config_handshake_timeout(raddle_server_config_t *config,
                                                       uint64_t milliseconds);

// Sets the number of connections at a time, opening handshakes included; more are answered with 503. Default: 4,096.
//
// - `config`: the settings
// - `count`: at least 1
//
// Returns as raddle_server_config_engine. One thread at a time.
raddle_status_t raddle_server_config_max_connections(raddle_server_config_t *config,
                                                     size_t count);

// Sets the number of connections of one address at a time, an IPv6 /64 being one; more are closed unheard. Default: any.
//
// - `config`: the settings
// - `count`: at least 1
//
// Returns as raddle_server_config_engine. One thread at a time.
raddle_status_t raddle_server_config_max_connections_per_ip(raddle_server_config_t *config,
                                                            size_t count);

// Sets the number of new connections of one address in any such period; more are closed unheard. Default: any.
//
// - `config`: the settings
// - `count`: at least 1
// - `period_ms`: at least 1
//
// Returns as raddle_server_config_engine. One thread at a time.
raddle_status_t raddle_server_config_connection_rate_per_ip(raddle_server_config_t *config,
                                                            uint32_t count,
                                                            uint64_t period_ms);

// Sets the number of opening handshakes at a time; for one more, the oldest is closed. Default: 512.
//
// - `config`: the settings
// - `count`: at least 1
//
// Returns as raddle_server_config_engine. One thread at a time.
raddle_status_t raddle_server_config_max_handshakes(raddle_server_config_t *config,
                                                    size_t count);

// Sets the bytes that all connections together may have buffered: of messages that are not complete, of those that wait for
// their handler, and of output that waits for its peer. Where there are more, the connection that has the most is closed with
// 1013. Default: 512 MiB.
//
// - `config`: the settings
// - `bytes`: at least 65,536
//
// Returns as raddle_server_config_engine. One thread at a time.
raddle_status_t raddle_server_config_max_buffered(raddle_server_config_t *config,
                                                  size_t bytes);

// Sets how many connections of one identity there may be at a time, and what becomes of one more. Default: any.
// raddle_request_set_identity says who a client is.
//
// - `config`: the settings
// - `allowed`: at least 1
// - `surplus`: RADDLE_SURPLUS_…
//
// Returns as raddle_server_config_engine. One thread at a time.
raddle_status_t raddle_server_config_identity_policy(raddle_server_config_t *config,
                                                     size_t allowed,
                                                     uint32_t surplus);

// Trusts a proxy, on whose connections the client's address is taken from what it says. May be called several times, with
// the same `source`. Default: nobody is trusted.
//
// - `config`: the settings
// - `source`: RADDLE_PROXY_…: where the proxy says it. It has to be the one that the proxy sets
// - `proxy`: an address, a network as "10.0.0.0/8", or "unix" for whoever connects to a Unix socket
//
// Returns as raddle_server_config_engine. One thread at a time.
raddle_status_t raddle_server_config_trust_proxy(raddle_server_config_t *config,
                                                 uint32_t source,
                                                 const char *proxy);

// Keeps the headers of the request with each connection, for raddle_conn_header: some hundred bytes for each. Default:
// they are there for the decision only.
//
// - `config`: the settings
// - `keep`: 1 or 0
//
// Returns as raddle_server_config_engine. One thread at a time.
raddle_status_t raddle_server_config_keep_headers(raddle_server_config_t *config,
                                                  uint32_t keep);

// Makes each request an event of engines queue and fed queue, RADDLE_REQUEST. With other engines it changes nothing. Default:
// they are decided on as raddle_server_config_on_request says.
//
// - `config`: the settings
// - `on`: 1 or 0
//
// Returns as raddle_server_config_engine. One thread at a time.
raddle_status_t raddle_server_config_requests_as_events(raddle_server_config_t *config,
                                                        uint32_t on);

// Makes a server, and binds its addresses: clients can connect, and are answered once it was started.
//
// - `config`: the settings, which can be changed, used again or freed afterwards
// - `server`: a place for the handle; it is freed with raddle_server_free
//
// Returns RADDLE_OK; RADDLE_ERR_IO where an address cannot be bound; RADDLE_ERR_ARGUMENT where an origin, a host or a
// subprotocol of the settings is none; RADDLE_ERR_STATE where the settings have no listener. With a failure nothing is
// bound. From any thread.
raddle_status_t raddle_server_new(raddle_server_config_t *config,
                                  raddle_server_t **server);

// Starts a server: it serves from then on. In engines queue and accept, raddle_server_poll and raddle_server_accept can be
// called.
//
// - `server`: the server
//
// Returns RADDLE_OK; RADDLE_ERR_IO where a thread cannot be started; RADDLE_ERR_STATE where it was started before. From any
// thread. Callbacks may be called before it returns.
raddle_status_t raddle_server_start(raddle_server_t *server);

// Gives the port of the first TCP listener, which the system has chosen for port 0.
//
// - `server`: the server
// - `port`: a place for the port
//
// Returns RADDLE_OK, or RADDLE_ERR_NOT_FOUND where there is no such listener. From any thread.
raddle_status_t raddle_server_port(const raddle_server_t *server, uint16_t *port);

// Gives the address of a TCP listener, as "127.0.0.1:9001" or "[::1]:9001".
//
// - `server`: the server
// - `index`: from 0 on, in the order in which they were set up
// - `buffer`, `size`, `length`: as with raddle_conn_target
//
// Returns as raddle_conn_target, and RADDLE_ERR_NOT_FOUND behind the last. From any thread.
raddle_status_t raddle_server_address(const raddle_server_t *server,
                                      size_t index,
                                      char *buffer,
                                      size_t size,
                                      size_t *length);

// Takes no new connections, and serves those that are there until they end by themselves. raddle_server_join then waits
// for the last. Can be followed by raddle_server_stop.
//
// - `server`: the server
//
// Returns RADDLE_OK at once. From any thread, in callbacks too.
raddle_status_t raddle_server_drain(raddle_server_t *server);

// Stops the server: no new connections, Close 1001 to all, and after the grace those that are left are cut.
//
// - `server`: the server
// - `grace_ms`: the grace; the shortest of several counts
//
// Returns RADDLE_OK at once, again and again. From any thread, in callbacks too. Whoever polls or accepts gets what is
// left, and then RADDLE_ERR_CLOSED.
raddle_status_t raddle_server_stop(raddle_server_t *server,
                                   uint64_t grace_ms);

// Stops the server as raddle_server_stop does, but tells the clients one after the other, so that they do not all come back
// at the same moment.
//
// - `server`: the server
// - `grace_ms`: the grace
// - `spread_ms`: the part of it over which the clients are told
//
// Returns RADDLE_OK at once. From any thread, in callbacks too.
raddle_status_t raddle_server_stop_spread(raddle_server_t *server,
                                          uint64_t grace_ms,
                                          uint64_t spread_ms);

// Waits until the server has ended and its threads have made their last call. Does not stop it.
//
// - `server`: the server
// - `timeout_ms`: how long to wait; negative: without end
//
// Returns RADDLE_OK; RADDLE_ERR_TIMEOUT where callbacks have not returned, or connections are left. From any thread; in a
// callback it would wait for itself. Engine accept: the program's own threads are not waited for.
raddle_status_t raddle_server_join(const raddle_server_t *server,
                                   int64_t timeout_ms);

// Frees a server. One that was not stopped is stopped with no grace: its connections are cut.
//
// - `server`: the server; NULL is passed over
//
// Does not wait: calls of other threads that are under way return, callbacks go on until they have returned, and the
// `destroy` of their `user` says that the last has. Connections of engine accept stay the program's. The events, and
// payloads, of this thread's last raddle_server_poll must not be used any more, unless this is called within it; what
// another thread has polled is valid until that polls again or ends, and keeps the `destroy` of
// raddle_server_config_on_request waiting as long.
//
// Returns RADDLE_OK, or RADDLE_ERR_HANDLE where it was freed before. From any thread, in callbacks too.
raddle_status_t raddle_server_free(raddle_server_t *server);

// Has the server listen on a TCP address, with a backlog of 1,024. May be called several times.
//
// - `config`: the settings
// - `host`: a name or an address, as "0.0.0.0", "::" or "localhost"
// - `port`: the port; 0 lets the system choose one, and raddle_server_port says which
// - `tls`: NULL for ws; for wss, from raddle_server_tls_new. It may be freed afterwards
//
// The address is looked up and bound by raddle_server_new.
//
// Returns as raddle_server_config_engine; RADDLE_ERR_TLS where a certificate is missing or not in order. One thread at a
// time.
raddle_status_t raddle_server_config_listen(raddle_server_config_t *config,
                                            const char *host,
                                            uint16_t port,
                                            raddle_server_tls_t *tls);

// Has the server listen on a Unix socket, whose permissions the process's umask decides. A socket that nobody listens to
// any more is replaced; the file is removed when the server has stopped. May be called several times.
//
// - `config`: the settings
// - `path`: where the socket is
//
// The socket is made by raddle_server_new.
//
// Returns as raddle_server_config_engine. One thread at a time.
raddle_status_t raddle_server_config_listen_unix(raddle_server_config_t *config,
                                                 const char *path);

// Has the server listen on a TCP or Unix socket that is bound already: from a service manager, or with options of its own.
//
// - `config`: the settings
// - `fd`: the socket, which is duplicated, and stays the program's
// - `tls`: NULL, or the TLS that clients of a TCP socket speak, as with raddle_server_config_listen
//
// Returns as raddle_server_config_listen; RADDLE_ERR_IO where it is no open descriptor. One thread at a time.
raddle_status_t raddle_server_config_listen_fd(raddle_server_config_t *config,
                                               int fd,
                                               raddle_server_tls_t *tls);

// Has the server listen on the sockets that the process was started with, as systemd's socket activation passes them
// (LISTEN_FDS). The first raddle_server_new with such settings gets them all.
//
// - `config`: the settings
// - `tls`: NULL, or the TLS that clients of TCP sockets speak, as with raddle_server_config_listen
//
// Returns as raddle_server_config_listen. One thread at a time.
raddle_status_t raddle_server_config_listen_inherited(raddle_server_config_t *config,
                                                      raddle_server_tls_t *tls);

// Gives one of the numbers that a server has counted since it was started, or stands at.
//
// - `server`: the server
// - `metric`: RADDLE_METRIC_…
// - `value`: a place for the number
//
// Returns RADDLE_OK, or RADDLE_ERR_ARGUMENT for another number. It looks at every connection. From any thread.
raddle_status_t raddle_server_metric(const raddle_server_t *server,
                                     uint32_t metric,
                                     uint64_t *value);

// Lets what was sent leave, waits until something happens, and gives what has: in the order in which it has happened to each
// connection.
//
// - `server`: the server, of engine queue or fed queue
// - `events`, `max`: a place for events, at least one
// - `timeout_ms`: how long to wait; 0: not at all, negative: without end
// - `count`: a place for the number of events, at least 1
//
// The events are RADDLE_OPENED, RADDLE_TEXT, RADDLE_BINARY, RADDLE_DRAINED and RADDLE_CLOSED, and RADDLE_REQUEST where
// raddle_server_config_requests_as_events asks for that. Payloads are valid until the next call, be
// the server freed by another thread meanwhile; what the array has no
// space for comes with it. What is sent by this thread meanwhile leaves with the next call or raddle_server_flush, and
// within 5 ms in any case. RADDLE_CLOSED is the last event of a connection, whose id names nothing after the next call.
//
// Returns RADDLE_OK; RADDLE_ERR_TIMEOUT: nothing has happened; RADDLE_ERR_INTERRUPTED: raddle_server_wake was called, or a
// signal has come; RADDLE_ERR_CLOSED: the server was stopped and its last connection has ended; RADDLE_ERR_BUSY: another
// thread polls. From any thread, one at a time.
raddle_status_t raddle_server_poll(raddle_server_t *server,
                                   raddle_message_t *events,
                                   size_t max,
                                   int64_t timeout_ms,
                                   size_t *count);

// As raddle_server_poll, but copies the payloads into memory of the program: for languages whose objects are made of copies
// anyway, and that get by with one call for all of a turn.
//
// - `server`: the server, of engine queue or fed queue
// - `timeout_ms`: how long to wait; 0: not at all, negative: without end
// - `region`, `size`: where the payloads are copied to, one behind the other, from its beginning on
// - `events`, `max`: a place for events, at least one. `data` of each leads into `region`, but for RADDLE_REQUEST
// - `count`: a place for the number of events, at least 1
//
// What the region has no space for comes with the next call. An event whose payload is larger than the whole region comes
// alone, and that is lent as with raddle_server_poll. Returns as raddle_server_poll. From any thread, one at a time.
raddle_status_t raddle_server_poll_batch(raddle_server_t *server,
                                         int64_t timeout_ms,
                                         uint8_t *region,
                                         size_t size,
                                         raddle_message_t *events,
                                         size_t max,
                                         size_t *count);

// Lets what was sent since the last poll leave now.
//
// - `server`: the server, of engine queue or fed queue
//
// Returns RADDLE_OK; RADDLE_ERR_BUSY: another thread polls. Does not wait. On the thread that polls.
raddle_status_t raddle_server_flush(raddle_server_t *server);

// Ends the current raddle_server_poll, or the next one, with RADDLE_ERR_INTERRUPTED where nothing else has happened.
//
// - `server`: the server, of engine queue or fed queue
//
// Returns RADDLE_OK. From any thread; not from a signal handler.
raddle_status_t raddle_server_wake(const raddle_server_t *server);

// Gives a descriptor for poll(2), epoll or a library's event loop: readable while raddle_server_poll would find something,
// or has something to do. It is the server's: it must not be read or closed, and is gone when the server was freed.
//
// - `server`: the server, of engine queue or fed queue
// - `fd`: a place for the descriptor
//
// Call raddle_server_poll with a timeout of 0 whenever it is readable, until that returns RADDLE_ERR_TIMEOUT. From this
// call on, what is asked between two polls costs a system call.
//
// Returns RADDLE_OK; RADDLE_ERR_BUSY: a thread polls. From any thread.
raddle_status_t raddle_server_fd(const raddle_server_t *server,
                                 int *fd);

// Opens the connection, as what was said of the request before asks for. The handle names nothing afterwards, whatever is
// returned.
//
// - `request`: the request
//
// Returns RADDLE_OK; RADDLE_ERR_TIMEOUT: the handshake timeout is over; RADDLE_ERR_LIMIT: the identity has all the
// connections it may have, and the client got 409 or Close 4409; RADDLE_ERR_HANDSHAKE: the request is no opening handshake,
// or not a valid one, and was answered; RADDLE_ERR_ARGUMENT: a subprotocol that the client has not offered, or a header of
// the handshake's own, and the client got 500. From any thread.
raddle_status_t raddle_request_accept(raddle_request_t *request);

// Opens the connection as raddle_request_accept does, and gives it to the caller: for requests of
// raddle_server_next_request. The handle names nothing afterwards, whatever is returned.
//
// - `request`: the request
// - `conn`: a place for the connection; it is freed with raddle_conn_free
//
// Returns as raddle_request_accept, and RADDLE_ERR_IO where the connection could not be opened. From any thread.
raddle_status_t raddle_request_open(raddle_request_t *request,
                                    raddle_conn_t *conn);

// Refuses the request with a short text of the library's. The handle names nothing afterwards.
//
// - `request`: the request
// - `status`: 400 to 599
//
// Returns RADDLE_OK; RADDLE_ERR_ARGUMENT for another status: then the request is as it was; RADDLE_ERR_TIMEOUT: the
// handshake timeout is over. From any thread.
raddle_status_t raddle_request_refuse(raddle_request_t *request,
                                      uint16_t status);

// Answers the request as HTTP does, and ends the connection: a page, a health check, a refusal in the program's words. The
// headers of raddle_request_add_header go with it. The handle names nothing afterwards.
//
// - `request`: the request
// - `status`: 200 to 599
// - `content_type`: NULL, or the type of the body, as "text/html; charset=utf-8"
// - `body`, `length`: the body
//
// Returns RADDLE_OK; RADDLE_ERR_ARGUMENT for another status or a malformed type: then the request is as it was;
// RADDLE_ERR_TIMEOUT: the handshake timeout is over. From any thread.
raddle_status_t raddle_request_respond(raddle_request_t *request,
                                       uint16_t status,
                                       const char *content_type,
                                       const uint8_t *body,
                                       size_t length);

// Keeps a request beyond the callback that has got it: it is decided on later, from any thread, within the handshake
// timeout. The handle is there until it is decided on or freed. Requests of engine queue are always kept.
//
// - `request`: the request
//
// Returns RADDLE_OK. Within the callback.
raddle_status_t raddle_request_keep(raddle_request_t *request);

// Frees a request. One that was not decided on is answered with 500.
//
// - `request`: the request; NULL is passed over
//
// Returns RADDLE_OK, or RADDLE_ERR_HANDLE where it was decided on or freed before. From any thread.
raddle_status_t raddle_request_free(raddle_request_t *request);

// Chooses the subprotocol. Default: the first of the client's that the server supports.
//
// - `request`: the request
// - `name`: one that the client has offered; NULL for none
//
// Returns RADDLE_OK. From any thread, one at a time.
raddle_status_t raddle_request_set_subprotocol(raddle_request_t *request, const char *name);

// Says who the client is, by its token, cookie or user id: raddle_server_config_identity_policy counts by that.
//
// - `request`: the request
// - `identity`: any text that is not empty
//
// Returns RADDLE_OK. From any thread, one at a time.
raddle_status_t raddle_request_set_identity(raddle_request_t *request,
                                            const char *identity);

// Adds a header to the response, as Set-Cookie. The handshake's own cannot be set.
//
// - `request`: the request
// - `name`, `value`: the header
//
// Returns RADDLE_OK; RADDLE_ERR_ARGUMENT where something in it may not stand in a header. From any thread, one at a time.
raddle_status_t raddle_request_add_header(raddle_request_t *request,
                                          const char *name,
                                          const char *value);

// Gives the connection a pointer of the program's, as raddle_conn_set_user does, before its first event.
//
// - `request`: the request
// - `user`, `destroy`: as with raddle_conn_set_user; destroyed where the connection is not opened as well
//
// Returns RADDLE_OK. With any other status the pointer stays the program's. From any thread, one at a time.
raddle_status_t raddle_request_set_user(raddle_request_t *request,
                                        void *user,
                                        raddle_destroy_t destroy);

// Tells whether the client asks for a WebSocket. Otherwise raddle_request_respond can answer it only.
//
// - `request`: the request
// - `is_websocket`: a place for 1 or 0
//
// Returns RADDLE_OK. From any thread, one at a time.
raddle_status_t raddle_request_is_websocket(raddle_request_t *request,
                                            uint32_t *is_websocket);

// Gives the whole head of the request by one call: its first line and its headers, each with CR LF behind it, as "GET
// /chat?room=1 HTTP/1.1", "Host: example.com".
//
// - `request`: the request
// - `buffer`, `size`, `length`: as with raddle_conn_target. The values of headers are bytes, and may not be UTF-8
//
// Returns as raddle_conn_target. From any thread, one at a time.
raddle_status_t raddle_request_head(raddle_request_t *request,
                                    char *buffer,
                                    size_t size,
                                    size_t *length);

// Gives the path and query that the client asks for, as it has sent them.
//
// - `request`: the request
// - `buffer`, `size`, `length`: as with raddle_conn_target
//
// Returns as raddle_conn_target. From any thread, one at a time.
raddle_status_t raddle_request_target(raddle_request_t *request,
                                      char *buffer,
                                      size_t size,
                                      size_t *length);

// Gives the path that the client asks for: the target up to its "?".
//
// - `request`: the request
// - `buffer`, `size`, `length`: as with raddle_conn_target
//
// Returns as raddle_conn_target. From any thread, one at a time.
raddle_status_t raddle_request_path(raddle_request_t *request,
                                    char *buffer,
                                    size_t size,
                                    size_t *length);

// Gives the client's address, as raddle_conn_peer.
//
// - `request`: the request
// - `buffer`, `size`, `length`: as with raddle_conn_target
//
// Returns as raddle_conn_peer. From any thread, one at a time.
raddle_status_t raddle_request_peer(raddle_request_t *request,
                                    char *buffer,
                                    size_t size,
                                    size_t *length);

// Gives the value of the first header of a name.
//
// - `request`: the request
// - `name`: the header's name, in any case
// - `buffer`, `size`, `length`: as with raddle_conn_target. The value is bytes, and may not be UTF-8
//
// Returns as raddle_conn_target, and RADDLE_ERR_NOT_FOUND where there is no such header. From any thread, one at a time.
raddle_status_t raddle_request_header(raddle_request_t *request,
                                      const char *name,
                                      char *buffer,
                                      size_t size,
                                      size_t *length);

// Gives a header by its place, in the order in which the client has sent them.
//
// - `request`: the request
// - `index`: from 0 on
// - `name`, `name_size`, `name_length`: as `buffer`, `size` and `length` of raddle_conn_target, for the name
// - `value`, `value_size`, `value_length`: the same for the value
//
// Returns as raddle_conn_target, and RADDLE_ERR_NOT_FOUND behind the last header. From any thread, one at a time.
raddle_status_t raddle_request_header_at(raddle_request_t *request,
                                         size_t index,
                                         char *name,
                                         size_t name_size,
                                         size_t *name_length,
                                         char *value,
                                         size_t value_size,
                                         size_t *value_length);

// Gives one of the subprotocols that the client offers, in its order of preference.
//
// - `request`: the request
// - `index`: from 0 on
// - `buffer`, `size`, `length`: as with raddle_conn_target
//
// Returns as raddle_conn_target, and RADDLE_ERR_NOT_FOUND behind the last. From any thread, one at a time.
raddle_status_t raddle_request_subprotocol_at(raddle_request_t *request,
                                              size_t index,
                                              char *buffer,
                                              size_t size,
                                              size_t *length);

// Gives the common name of the certificate that the client has shown, which was verified.
//
// - `request`: the request
// - `buffer`, `size`, `length`: as with raddle_conn_target
//
// Returns as raddle_conn_target, and RADDLE_ERR_NOT_FOUND where there is no certificate, or no name in it. From any
// thread, one at a time.
raddle_status_t raddle_request_client_name(raddle_request_t *request,
                                           char *buffer,
                                           size_t size,
                                           size_t *length);

// Gives the certificate that the client has shown, in DER, with a NUL behind it that is no part of it.
//
// - `request`: the request
// - `buffer`, `size`, `length`: as with raddle_conn_target
//
// Returns as raddle_conn_target, and RADDLE_ERR_NOT_FOUND where there is none. From any thread, one at a time.
raddle_status_t raddle_request_client_certificate(raddle_request_t *request,
                                                  char *buffer,
                                                  size_t size,
                                                  size_t *length);

// Sets what decides on each request, plain HTTP requests among them. Default: WebSockets are accepted with the first
// subprotocol that both sides support, all else is answered with 426.
//
// - `config`: the settings
// - `on_request`: the function; NULL for the default
// - `user`, `destroy`: as with raddle_server_config_callbacks
//
// It is called on the thread that serves the connection afterwards: in engine threads it may wait, until the handshake
// timeout; in engines pool and fed queue it must not, as others are served there too; in engine accept it is called within
// raddle_server_accept, in engine queue within raddle_server_poll. Where raddle_server_config_requests_as_events has its
// way, it is not called.
//
// Returns RADDLE_OK. With any other status the library has no use for `user`. One thread at a time.
raddle_status_t raddle_server_config_on_request(raddle_server_config_t *config,
                                                raddle_request_callback_t on_request,
                                                void *user,
                                                raddle_destroy_t destroy);

// Makes the TLS of a server, which needs a certificate before a server can listen with it.
//
// - `tls`: a place for the handle; it is freed with raddle_server_tls_free, and may be needed for
//   raddle_server_tls_reload until then
//
// Returns RADDLE_OK. From any thread; used by one at a time: others get RADDLE_ERR_BUSY.
raddle_status_t raddle_server_tls_new(raddle_server_tls_t **tls);

// Frees the TLS of a server. Servers that listen with it go on.
//
// - `tls`: the handle; NULL is passed over
//
// Returns RADDLE_OK, or RADDLE_ERR_HANDLE where it was freed before. From any thread.
raddle_status_t raddle_server_tls_free(raddle_server_tls_t *tls);

// Adds a certificate chain, the server's own first, and its private key, from two PEM files.
//
// - `tls`: the handle
// - `chain`, `key`: the paths of the files
//
// May be called several times: a client gets the first that is valid for the name that it asks for (SNI), else the
// first. Returns RADDLE_OK; RADDLE_ERR_STATE where a server listens with it already. The files are read when one does.
// One thread at a time.
raddle_status_t raddle_server_tls_certificate_files(raddle_server_tls_t *tls,
                                                    const char *chain,
                                                    const char *key);

// Adds a certificate chain and its private key, of bytes in PEM.
//
// - `tls`: the handle
// - `chain`, `chain_length`: the chain
// - `key`, `key_length`: the key
//
// Returns as raddle_server_tls_certificate_files. One thread at a time.
raddle_status_t raddle_server_tls_certificate_pem(raddle_server_tls_t *tls,
                                                  const uint8_t *chain,
                                                  size_t chain_length,
                                                  const uint8_t *key,
                                                  size_t key_length);

// Asks clients for a certificate that leads to one of the roots in a PEM file. raddle_request_client_name says whose it is.
//
// - `tls`: the handle
// - `mode`: RADDLE_CLIENT_CERTIFICATE_OPTIONAL or RADDLE_CLIENT_CERTIFICATE_REQUIRED
// - `roots`: the path of the file
//
// Returns as raddle_server_tls_certificate_files. One thread at a time.
raddle_status_t raddle_server_tls_client_certificates(raddle_server_tls_t *tls,
                                                      uint32_t mode,
                                                      const char *roots);

// As raddle_server_tls_client_certificates, with roots of bytes in PEM.
//
// - `tls`, `mode`: as there
// - `roots`, `length`: the roots
//
// Returns as raddle_server_tls_certificate_files. One thread at a time.
raddle_status_t raddle_server_tls_client_certificates_pem(raddle_server_tls_t *tls,
                                                          uint32_t mode,
                                                          const uint8_t *roots,
                                                          size_t length);

// Has new connections get what another handle was set up with, where no server listens with that one; those that are there go
// on. raddle_server_tls_reload reads the files of the new ones then.
//
// - `tls`: the handle, with which a server listens
// - `by`: the other, which stays as it is, and can be freed
//
// Returns as raddle_server_tls_reload; RADDLE_ERR_STATE also where a server listens with the other. From any thread.
raddle_status_t raddle_server_tls_replace(raddle_server_tls_t *tls,
                                          raddle_server_tls_t *by);

// Reads the files again. New connections get what is in them; those that are there go on.
//
// - `tls`: the handle, with which a server listens
//
// Returns RADDLE_OK; RADDLE_ERR_TLS where something is not in order: then all stays as it is; RADDLE_ERR_STATE where no
// server listens with it. From any thread.
raddle_status_t raddle_server_tls_reload(raddle_server_tls_t *tls);

// Sets the topics that a connection may have subscribed to at a time, for programs that subscribe at a client's wish: for one more,
// raddle_server_subscribe returns RADDLE_ERR_LIMIT. One whose name has more than 256 bytes counts as several, one for every 256.
// Default: 1,024.
//
// - `config`: the settings
// - `count`: any number; SIZE_MAX for no limit
//
// Returns as raddle_server_config_engine. One thread at a time.
raddle_status_t raddle_server_config_max_topics(raddle_server_config_t *config,
                                                size_t count);

// Has a connection get what is published to a topic, until it ends.
//
// - `server`: the server
// - `conn`: a connection of it
// - `topic`: any text that is not empty
//
// Returns RADDLE_OK, where it does already as well; RADDLE_ERR_CLOSED where it has ended; RADDLE_ERR_LIMIT where it has as many
// topics as raddle_server_config_max_topics allows: it keeps those. From any thread.
raddle_status_t raddle_server_subscribe(raddle_server_t *server,
                                        raddle_conn_t conn,
                                        const char *topic);

// Ends a subscription.
//
// - `server`, `conn`, `topic`: as with raddle_server_subscribe
//
// Returns RADDLE_OK, or RADDLE_ERR_NOT_FOUND where there was none. From any thread.
raddle_status_t raddle_server_unsubscribe(raddle_server_t *server,
                                          raddle_conn_t conn,
                                          const char *topic);

// Sends a message to all who have subscribed to a topic, without waiting for any of them. It is encoded once.
//
// - `server`: the server
// - `topic`: the topic
// - `kind`: RADDLE_TEXT or RADDLE_BINARY
// - `data`, `length`: the payload, which is yours again when the call returns
// - `except`: 0, or a connection that does without it: the one that has said it
//
// Everybody gets the messages of a topic in the same order, and in the order of one thread's sends to a connection. Who
// does not keep up is treated as raddle_server_config_when_full says: closed, or left without it, which
// RADDLE_METRIC_DROPPED_PUBLICATIONS counts. Returns RADDLE_OK, where nobody has subscribed as well. From any thread.
raddle_status_t raddle_server_publish(raddle_server_t *server,
                                      const char *topic,
                                      uint32_t kind,
                                      const uint8_t *data,
                                      size_t length,
                                      raddle_conn_t except);

// Sends a message to all open connections of a server, as raddle_server_publish does.
//
// - `server`, `kind`, `data`, `length`, `except`: as with raddle_server_publish
//
// Returns RADDLE_OK. From any thread.
raddle_status_t raddle_server_broadcast(raddle_server_t *server,
                                        uint32_t kind,
                                        const uint8_t *data,
                                        size_t length,
                                        raddle_conn_t except);

// Gives a topic that a connection has subscribed to.
//
// - `server`, `conn`: as with raddle_server_subscribe
// - `index`: from 0 on, in no particular order, which changes where the connection unsubscribes
// - `buffer`, `size`, `length`: as with raddle_conn_target
//
// Returns as raddle_conn_target, and RADDLE_ERR_NOT_FOUND behind the last. From any thread.
raddle_status_t raddle_server_topic_at(const raddle_server_t *server,
                                       raddle_conn_t conn,
                                       size_t index,
                                       char *buffer,
                                       size_t size,
                                       size_t *length);

// Counts the connections that have subscribed to a topic.
//
// - `server`, `topic`: as with raddle_server_subscribe
// - `count`: a place for the number
//
// Returns RADDLE_OK. From any thread.
raddle_status_t raddle_server_subscribers(const raddle_server_t *server,
                                          const char *topic,
                                          size_t *count);

// Lists the connections of a server that are there: open, closing, or ended and not let go yet.
//
// - `server`: the server
// - `identity`: NULL for all, or those of this identity only
// - `conns`, `max`: a place for their ids; NULL and 0 to learn their number
// - `count`: a place for their number
//
// Returns RADDLE_OK; RADDLE_ERR_BUFFER where there are more than `max`: then `count` is set all the same, and the place
// holds the first. In no particular order. From any thread.
raddle_status_t raddle_server_connections(const raddle_server_t *server,
                                          const char *identity,
                                          raddle_conn_t *conns,
                                          size_t max,
                                          size_t *count);

// Says what a status means, in English.
//
// - `status`: any number
//
// Returns a text that is never freed; for a number that is no status as well. From any thread.
const char *raddle_strerror(int32_t status);

// Says what was wrong with the last call of this thread that has failed.
//
// Returns a text of at most 511 bytes of UTF-8 on one line, never NULL; empty where no call has failed. It is
// valid until the next call of this thread that fails. Other threads have their own. From any thread.
const char *raddle_last_error(void);

// Says of which version the library is, as RADDLE_VERSION does of the header.
//
// Returns the number. From any thread.
uint32_t raddle_version(void);

// Says of which version the library is, as "0.1.0".
//
// Returns a text that is never freed. From any thread.
const char *raddle_version_string(void);

// Tells whether the library that was loaded can serve a program that was compiled with this header.
//
// - `version`: RADDLE_VERSION
// - `abi_version`: RADDLE_ABI_VERSION
//
// Returns RADDLE_OK, or RADDLE_ERR_VERSION where the ABI is another one, or the header is newer than the library: it may
// declare what the library does not have. To be called before anything else; from any thread.
raddle_status_t raddle_check_version(uint32_t version,
                                     uint32_t abi_version);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* RADDLE_H */

//! Sending: messages and Pings in, from any thread.

use raddle_socket::{Message, SendError};

use crate::arguments;
use crate::connections::{self, Conn};
use crate::guard::guard;
use crate::message::{Connection, Manner, MessageView, outgoing};
use crate::status::Status;

/// Sends a message.
///
/// - `conn`: the connection
/// - `kind`: RADDLE_TEXT or RADDLE_BINARY, perhaps with RADDLE_UNCOMPRESSED and RADDLE_DONT_WAIT
/// - `data`, `length`: the payload, which is copied where it has to wait, and is yours again when the call returns; NULL
///   is fine with a length of 0
///
/// Returns RADDLE_OK when the operating system has taken the message, or when it waits and leaves without further calls.
/// RADDLE_ERR_CLOSED: the connection has ended, or a Close was sent. RADDLE_ERR_WOULD_BLOCK: the peer does not take what was
/// sent before, and this call does not wait. RADDLE_ERR_TIMEOUT: the peer did not take it in its time, and the connection
/// has ended. RADDLE_ERR_UTF8: the text is none.
///
/// From any thread, any number of them at a time: messages never mix, and those of one thread keep their order. It waits
/// where the outgoing limit is reached and the options say so; never in a callback of engine pool, nor on the thread that
/// polls, whose messages leave with its next poll or flush.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_send(conn: Connection, kind: u32, data: *const u8, length: usize) -> Status {
    guard(|| {
        let (message, manner) = outgoing(kind, data, length)?;
        connections::with(conn, |conn| Ok(send(conn, message, manner)?))
    })
}

/// Sends many messages, to as many connections.
///
/// - `messages`, `count`: what to send: `conn`, `kind`, `data` and `length` of each, as with raddle_send
/// - `statuses`: NULL, or a place for `count` statuses: what has become of each message
///
/// All are tried, in their order. Returns RADDLE_OK, or the status of the first that has failed. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_send_many(messages: *const MessageView, count: usize, statuses: *mut Status) -> Status {
    guard(|| {
        let messages = arguments::array(messages, count, "messages")?;
        let places = if statuses.is_null() { 0 } else { count };
        let mut statuses = arguments::space(statuses, places, "statuses")?;
        let mut first = Ok(());
        for view in messages {
            let result = outgoing(view.kind, view.data, view.length)
                .and_then(|(message, manner)| connections::with(view.conn, |conn| Ok(send(conn, message, manner)?)));
            let status = result.as_ref().err().map_or(Status::RADDLE_OK, |failure| failure.status);
            if !statuses.is_full() {
                statuses.push(status);
            }
            first = first.and(result);
        }
        first
    })
}

/// Sends a Ping. Keepalive sends its own; this is for programs that want more.
///
/// - `conn`: the connection
/// - `data`, `length`: a payload of at most 125 bytes
///
/// Returns RADDLE_OK, RADDLE_ERR_CLOSED, or RADDLE_ERR_ARGUMENT for a longer payload. Does not wait. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_ping(conn: Connection, data: *const u8, length: usize) -> Status {
    guard(|| {
        let payload = arguments::bytes(data, length, "data")?;
        connections::with(conn, |conn| Ok(conn.writer.ping(payload)?))
    })
}

/// Sends a Pong that answers no Ping (RFC 6455, section 5.5.3). Pings are answered without it.
///
/// - `conn`: the connection
/// - `data`, `length`: a payload of at most 125 bytes
///
/// Returns as raddle_ping. Does not wait. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_pong(conn: Connection, data: *const u8, length: usize) -> Status {
    guard(|| {
        let payload = arguments::bytes(data, length, "data")?;
        connections::with(conn, |conn| Ok(conn.writer.pong(payload)?))
    })
}

/// Lets go what was held back to leave together with more, as far as the socket takes it at once. It would leave by itself
/// within 5 ms.
///
/// - `conn`: the connection
///
/// Returns RADDLE_OK. Does not wait. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_flush(conn: Connection) -> Status {
    guard(|| {
        connections::with(conn, |conn| {
            conn.writer.flush();
            Ok(())
        })
    })
}

#[inline]
pub(super) fn send(conn: &Conn, message: Message<'_>, manner: Manner) -> Result<(), SendError> {
    match manner {
        Manner { uncompressed: false, dont_wait: false } => conn.writer.send(message),
        Manner { uncompressed: false, dont_wait: true } => conn.writer.try_send(message),
        Manner { uncompressed: true, dont_wait: false } => conn.writer.uncompressed().send(message),
        Manner { uncompressed: true, dont_wait: true } => conn.writer.uncompressed().try_send(message),
    }
    .map(drop)
}

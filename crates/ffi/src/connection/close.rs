//! The end of a connection: closing it, cutting it, freeing it, and how it has ended.

use std::ffi::c_char;
use std::time::{Duration, Instant};

use raddle_core::{Close, CloseCode};
use raddle_socket::{Cause, End, Next, SendError};

use crate::arguments::{self, TextOut};
use crate::connection::info::not_found;
use crate::connections::{self, Conn};
use crate::guard::guard;
use crate::message::Connection;
use crate::status::{Failure, Status};

/// The peer has begun the closing handshake.
pub const RADDLE_CAUSE_PEER_CLOSE: u32 = 1;
/// This side has begun the closing handshake.
pub const RADDLE_CAUSE_LOCAL_CLOSE: u32 = 2;
/// The server was stopped.
pub const RADDLE_CAUSE_SHUTDOWN: u32 = 3;
/// Another connection of the same client has taken its place.
pub const RADDLE_CAUSE_REPLACED: u32 = 4;
/// The peer has broken a rule of the protocol, or a limit.
pub const RADDLE_CAUSE_FAILED: u32 = 5;
/// The peer has answered no Ping, and sent nothing else.
pub const RADDLE_CAUSE_KEEPALIVE_TIMEOUT: u32 = 6;
/// A message was not received in its time.
pub const RADDLE_CAUSE_MESSAGE_TIMEOUT: u32 = 7;
/// The peer has not taken what was sent in its time.
pub const RADDLE_CAUSE_WRITE_TIMEOUT: u32 = 8;
/// The outgoing limit was reached, and the options say that this ends the connection.
pub const RADDLE_CAUSE_OUTGOING_FULL: u32 = 9;
/// A callback has returned something else than 0.
pub const RADDLE_CAUSE_CALLBACK_FAILED: u32 = 10;
/// The peer has ended the stream without a Close.
pub const RADDLE_CAUSE_END_OF_STREAM: u32 = 11;
/// Reading or writing has failed.
pub const RADDLE_CAUSE_IO: u32 = 12;
/// The connection was freed without a Close.
pub const RADDLE_CAUSE_FREED: u32 = 13;
/// Something that later versions know of.
pub const RADDLE_CAUSE_OTHER: u32 = 14;
/// Too much was buffered on all connections of the server together, and the most on this one.
pub const RADDLE_CAUSE_OVER_BUDGET: u32 = 15;

/// Begins the closing handshake (RFC 6455, section 7.1.2): sends a Close behind what was sent before, and returns. Nothing
/// can be sent after it; messages come until the peer's Close does, or the close timeout is over.
///
/// - `conn`: the connection
/// - `code`: 1000 where nothing is wrong; 3000 to 4999 are the program's
/// - `reason`: NULL, or at most 123 bytes of UTF-8
///
/// Returns RADDLE_OK; RADDLE_ERR_CLOSED where a Close was sent before, or the connection has ended; RADDLE_ERR_ARGUMENT for
/// a code that may not be sent (section 7.4) or a reason that is too long. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_close(conn: Connection, code: u16, reason: *const c_char) -> Status {
    guard(|| {
        let reason = arguments::optional_string(reason, "reason")?.unwrap_or_default();
        connections::with(conn, |conn| Ok(conn.writer.close(close(code, reason))?))
    })
}

/// Carries out the closing handshake: as raddle_close, and waits for the peer's Close. Messages that still come are passed
/// over. Only for connections that the program receives from.
///
/// - `conn`, `code`, `reason`: as with raddle_close
/// - `timeout_ms`: how long to wait; negative: until the close timeout is over
///
/// Returns RADDLE_OK when the connection has ended, however; RADDLE_ERR_TIMEOUT and RADDLE_ERR_INTERRUPTED where it has not: a
/// further call goes on waiting. RADDLE_ERR_BUSY: another thread receives. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_close_wait(conn: Connection, code: u16, reason: *const c_char, timeout_ms: i64) -> Status {
    guard(|| {
        let reason = arguments::optional_string(reason, "reason")?.unwrap_or_default();
        let timeout = arguments::timeout(timeout_ms);
        connections::receive(conn, |conn, receiving| {
            *receiving.is_kept = false;
            match conn.writer.close(close(code, reason)) {
                Ok(()) | Err(SendError::Closed) => {}
                Err(error) => return Err(error.into()),
            }
            let until = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
            loop {
                let left = until.map(|until| until.saturating_duration_since(Instant::now()));
                let next = receiving.reader.next_message_or_signal(left);
                match next {
                    Ok(Next::Message(_)) => {}
                    Ok(Next::Timeout) => {
                        return Err(Failure::new(Status::RADDLE_ERR_TIMEOUT, "the peer has sent no Close yet"));
                    }
                    Ok(Next::Signal) => return Err(Failure::new(Status::RADDLE_ERR_INTERRUPTED, "a signal has come")),
                    Ok(Next::Closed) | Err(_) => break,
                }
            }
            receiving.reader.end().into_iter().for_each(|end| conn.note_end(end));
            Ok(())
        })
    })
}

/// Ends a connection at once, without a closing handshake: what was not sent or not received is dropped.
///
/// - `conn`: the connection
///
/// Returns RADDLE_OK, for a connection that has ended as well. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_cut(conn: Connection) -> Status {
    guard(|| {
        connections::with(conn, |conn| {
            conn.writer.cut(Cause::LocalClose);
            Ok(())
        })
    })
}

/// Has a connection end as raddle_cut does, if it has not ended by then: for a closing handshake that is to take no longer.
///
/// - `conn`: the connection
/// - `milliseconds`: the time until then; 0 is fine
///
/// Returns RADDLE_OK. Of several times the shortest counts. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_cut_within(conn: Connection, milliseconds: u64) -> Status {
    guard(|| {
        connections::with(conn, |conn| {
            conn.writer.cut_within(Duration::from_millis(milliseconds));
            Ok(())
        })
    })
}

/// Frees a connection that raddle_server_accept or a client has given: its id names nothing any more, and its user
/// pointer is destroyed. What is still open is closed with 1001, without waiting.
///
/// - `conn`: the connection
///
/// Returns RADDLE_OK; RADDLE_ERR_CLOSED where it was freed before; RADDLE_ERR_STATE for a connection of callbacks or of a
/// queue, which the library lets go by itself after the last event. From any thread: calls of other threads that are under
/// way end with RADDLE_ERR_CLOSED. What was received last must not be used any more, so a thread that receives frees the
/// connection itself, and the others end it with raddle_close or raddle_cut: its next call returns RADDLE_ERR_CLOSED.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_conn_free(conn: Connection) -> Status {
    guard(|| connections::free(conn))
}

/// Says how a connection has ended: in the callback or after the event that tells of it, or after a call has returned
/// RADDLE_ERR_CLOSED, before it is freed.
///
/// - `conn`: the connection
/// - `cause`: what has ended it, RADDLE_CAUSE_…
/// - `code`: NULL, or a place for the peer's close code: 1005 where its Close had none, 1006 where there was no Close
/// - `clean`: NULL, or a place for 1 where the closing handshake was carried out, else 0
/// - `buffer`, `size`, `length`: a place for all of it in words, as with raddle_conn_target
///
/// Returns RADDLE_OK; RADDLE_ERR_STATE where its end was not seen yet; RADDLE_ERR_BUFFER. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_conn_end(
    conn: Connection,
    cause: *mut u32,
    code: *mut u16,
    clean: *mut u32,
    buffer: *mut c_char,
    size: usize,
    length: *mut usize,
) -> Status {
    guard(|| {
        let cause = arguments::out(cause, "cause")?;
        let code = arguments::optional_out(code, "code")?;
        let clean = arguments::optional_out(clean, "clean")?;
        let is_wanted = !buffer.is_null() || size != 0 || !length.is_null();
        let text = is_wanted.then(|| TextOut::new(buffer, size, length)).transpose()?;
        connections::with(conn, |conn| {
            let end = seen(conn)?;
            if let Some(text) = text {
                text.put(end.to_string())?;
            }
            cause.put(number_of(end.cause));
            code.put(end.code().0);
            clean.put(u32::from(end.is_clean()));
            Ok(())
        })
    })
}

/// Gives the reason of the peer's Close: when raddle_conn_end says how the connection has ended.
///
/// - `conn`: the connection
/// - `buffer`, `size`, `length`: as with raddle_conn_target
///
/// Returns as raddle_conn_target; RADDLE_ERR_NOT_FOUND where no Close has come; RADDLE_ERR_STATE where its end was not seen
/// yet. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_conn_close_reason(
    conn: Connection,
    buffer: *mut c_char,
    size: usize,
    length: *mut usize,
) -> Status {
    guard(|| {
        let place = TextOut::new(buffer, size, length)?;
        connections::with(conn, |conn| {
            let received = seen(conn)?.received.as_ref();
            let (_, reason) = received.ok_or_else(|| not_found("the peer has sent no Close"))?;
            place.put(reason)
        })
    })
}

/// Gives the code of the Close that this side has sent: when raddle_conn_end says how the connection has ended.
///
/// - `conn`: the connection
/// - `code`: a place for the code
///
/// Returns RADDLE_OK; RADDLE_ERR_NOT_FOUND where none was sent; RADDLE_ERR_STATE where its end was not seen yet. From any
/// thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_conn_sent_code(conn: Connection, code: *mut u16) -> Status {
    guard(|| {
        let place = arguments::out(code, "code")?;
        connections::with(conn, |conn| {
            place.put(seen(conn)?.sent.ok_or_else(|| not_found("no Close was sent"))?.0);
            Ok(())
        })
    })
}

fn seen(conn: &Conn) -> Result<&End, Failure> {
    conn.end().ok_or_else(|| Failure::state("the end of the connection was not seen yet"))
}

pub(crate) fn close(code: u16, reason: &str) -> Close<'_> {
    Close { code: CloseCode(code), reason }
}

/// The constant of a cause.
pub(crate) fn number_of(cause: Cause) -> u32 {
    match cause {
        Cause::PeerClose => RADDLE_CAUSE_PEER_CLOSE,
        Cause::LocalClose => RADDLE_CAUSE_LOCAL_CLOSE,
        Cause::Shutdown => RADDLE_CAUSE_SHUTDOWN,
        Cause::Replaced => RADDLE_CAUSE_REPLACED,
        Cause::Failed(_) => RADDLE_CAUSE_FAILED,
        Cause::KeepaliveTimeout => RADDLE_CAUSE_KEEPALIVE_TIMEOUT,
        Cause::MessageTimeout => RADDLE_CAUSE_MESSAGE_TIMEOUT,
        Cause::WriteTimeout => RADDLE_CAUSE_WRITE_TIMEOUT,
        Cause::OutgoingFull => RADDLE_CAUSE_OUTGOING_FULL,
        Cause::HandlerFailed => RADDLE_CAUSE_CALLBACK_FAILED,
        Cause::EndOfStream => RADDLE_CAUSE_END_OF_STREAM,
        Cause::Io(_) => RADDLE_CAUSE_IO,
        Cause::Dropped => RADDLE_CAUSE_FREED,
        Cause::OverBudget => RADDLE_CAUSE_OVER_BUDGET,
        _ => RADDLE_CAUSE_OTHER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_that_is_used_up_is_a_cause_of_its_own() {
        assert_eq!(number_of(Cause::OverBudget), RADDLE_CAUSE_OVER_BUDGET);
    }
}

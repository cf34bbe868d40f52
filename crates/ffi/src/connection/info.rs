//! What is known of a connection: where it stands, what its opening handshake has said, what has passed on it.

use std::ffi::c_char;
use std::time::UNIX_EPOCH;

use raddle_socket::{Role, State, Traffic};

use crate::arguments::{self, TextOut};
use crate::connections::{self, Conn};
use crate::deflate;
use crate::fork;
use crate::guard::guard;
use crate::message::Connection;
use crate::status::{Failure, Status};

/// Messages pass.
pub const RADDLE_STATE_OPEN: u32 = 1;
/// The closing handshake is under way.
pub const RADDLE_STATE_CLOSING: u32 = 2;
/// The connection has ended.
pub const RADDLE_STATE_CLOSED: u32 = 3;

/// Says where a connection stands.
///
/// - `conn`: the connection
/// - `state`: a place for RADDLE_STATE_…
///
/// Returns RADDLE_OK; RADDLE_ERR_CLOSED where the id names nothing any more. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_conn_state(conn: Connection, state: *mut u32) -> Status {
    guard(|| {
        let place = arguments::out(state, "state")?;
        connections::with(conn, |conn| {
            place.put(match conn.writer.state() {
                State::Open => RADDLE_STATE_OPEN,
                State::Closing => RADDLE_STATE_CLOSING,
                State::Closed => RADDLE_STATE_CLOSED,
            });
            Ok(())
        })
    })
}

/// Gives the path and query that the client has asked for, as it has sent them.
///
/// - `conn`: the connection
/// - `buffer`, `size`: where the text is copied to, with a NUL behind it; NULL and 0 to learn its length
/// - `length`: NULL, or a place for the bytes of the text, without the NUL
///
/// Returns RADDLE_OK; RADDLE_ERR_BUFFER where the text does not fit: then `length` is set all the same, and the buffer
/// stays as it was. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_conn_target(conn: Connection, buffer: *mut c_char, size: usize, length: *mut usize) -> Status {
    text(conn, buffer, size, length, |conn, place| place.put(&*conn.writer.info().target))
}

/// Gives the subprotocol that was agreed.
///
/// - `conn`, `buffer`, `size`, `length`: as with raddle_conn_target
///
/// Returns as raddle_conn_target, and RADDLE_ERR_NOT_FOUND where there is none. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_conn_subprotocol(
    conn: Connection,
    buffer: *mut c_char,
    size: usize,
    length: *mut usize,
) -> Status {
    text(conn, buffer, size, length, |conn, place| {
        let subprotocol = conn.writer.info().subprotocol.as_deref();
        place.put(subprotocol.ok_or_else(|| not_found("no subprotocol was agreed"))?)
    })
}

/// Gives who the client is, as raddle_request_set_identity has said.
///
/// - `conn`, `buffer`, `size`, `length`: as with raddle_conn_target
///
/// Returns as raddle_conn_target, and RADDLE_ERR_NOT_FOUND where nobody has said. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_conn_identity(
    conn: Connection,
    buffer: *mut c_char,
    size: usize,
    length: *mut usize,
) -> Status {
    text(conn, buffer, size, length, |conn, place| {
        let identity = conn.writer.info().identity.as_deref();
        place.put(identity.ok_or_else(|| not_found("the connection has no identity"))?)
    })
}

/// Gives the peer's address, as "192.0.2.1:5000" or "[2001:db8::1]:5000"; where a trusted proxy tells it without a port,
/// that is 0.
///
/// - `conn`, `buffer`, `size`, `length`: as with raddle_conn_target; 64 bytes are enough
///
/// Returns as raddle_conn_target, and RADDLE_ERR_NOT_FOUND for a Unix socket. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_conn_peer(conn: Connection, buffer: *mut c_char, size: usize, length: *mut usize) -> Status {
    text(conn, buffer, size, length, |conn, place| {
        let peer = conn.writer.info().peer.ok_or_else(|| not_found("the peer has no address"))?;
        place.put(peer.to_string())
    })
}

/// Gives the address of this side, in the same form.
///
/// - `conn`, `buffer`, `size`, `length`: as with raddle_conn_target; 64 bytes are enough
///
/// Returns as raddle_conn_target, and RADDLE_ERR_NOT_FOUND for a Unix socket. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_conn_local_address(
    conn: Connection,
    buffer: *mut c_char,
    size: usize,
    length: *mut usize,
) -> Status {
    text(conn, buffer, size, length, |conn, place| {
        let address = conn.writer.local_address().ok_or_else(|| not_found("this side has no address"))?;
        place.put(address.to_string())
    })
}

/// Says how permessage-deflate was agreed on (RFC 7692). Each place may be NULL.
///
/// - `conn`: the connection
/// - `flags`: RADDLE_SERVER_NO_CONTEXT_TAKEOVER, RADDLE_CLIENT_NO_CONTEXT_TAKEOVER, both, or 0
/// - `server_window_bits`, `client_window_bits`: each side looks back 2^n bytes at most
///
/// Returns RADDLE_OK, or RADDLE_ERR_NOT_FOUND where nothing is compressed. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_conn_deflate(
    conn: Connection,
    flags: *mut u32,
    server_window_bits: *mut u32,
    client_window_bits: *mut u32,
) -> Status {
    guard(|| {
        let places = [
            arguments::optional_out(flags, "flags")?,
            arguments::optional_out(server_window_bits, "server_window_bits")?,
            arguments::optional_out(client_window_bits, "client_window_bits")?,
        ];
        connections::with(conn, |conn| {
            let agreed = conn.writer.info().deflate.ok_or_else(|| not_found("permessage-deflate was not agreed on"))?;
            let values = [deflate::flags(&agreed), agreed.window_bits(Role::Server), agreed.window_bits(Role::Client)];
            places.iter().zip(values).for_each(|(place, value)| place.put(value.into()));
            Ok(())
        })
    })
}

/// Gives the value of the first header of a name in the request that has opened the connection. Only where the server
/// keeps them: raddle_server_config_keep_headers.
///
/// - `conn`, `buffer`, `size`, `length`: as with raddle_conn_target. The value is bytes, and may not be UTF-8
/// - `name`: the header's name, in any case
///
/// Returns as raddle_conn_target; RADDLE_ERR_NOT_FOUND where there is no such header; RADDLE_ERR_STATE where the headers
/// were not kept. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_conn_header(
    conn: Connection,
    name: *const c_char,
    buffer: *mut c_char,
    size: usize,
    length: *mut usize,
) -> Status {
    guard(|| {
        let place = TextOut::new(buffer, size, length)?;
        let name = arguments::string(name, "name")?;
        connections::with(conn, |conn| {
            let head = conn.head.as_ref().ok_or_else(|| Failure::state("the headers of the request were not kept"))?;
            place.put(head.header(name).ok_or_else(|| not_found("the request has no such header"))?)
        })
    })
}

/// Says when a connection was opened.
///
/// - `conn`: the connection
/// - `since_ms`: a place for the milliseconds since 1970
///
/// Returns RADDLE_OK. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_conn_since(conn: Connection, since_ms: *mut u64) -> Status {
    guard(|| {
        let place = arguments::out(since_ms, "since_ms")?;
        connections::with(conn, |conn| {
            let since = conn.writer.info().since.duration_since(UNIX_EPOCH).unwrap_or_default();
            place.put(since.as_millis() as u64);
            Ok(())
        })
    })
}

/// Gives the last round-trip time that keepalive has measured.
///
/// - `conn`: the connection
/// - `microseconds`: a place for it
///
/// Returns RADDLE_OK, or RADDLE_ERR_NOT_FOUND where none was measured yet. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_conn_round_trip(conn: Connection, microseconds: *mut u64) -> Status {
    guard(|| {
        let place = arguments::out(microseconds, "microseconds")?;
        connections::with(conn, |conn| {
            let time = conn.writer.round_trip().ok_or_else(|| not_found("no round-trip time was measured yet"))?;
            place.put(time.as_micros() as u64);
            Ok(())
        })
    })
}

/// Says how many bytes wait to be written.
///
/// - `conn`: the connection
/// - `bytes`: a place for the number
///
/// Returns RADDLE_OK. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_conn_queued(conn: Connection, bytes: *mut usize) -> Status {
    guard(|| {
        let place = arguments::out(bytes, "bytes")?;
        connections::with(conn, |conn| {
            place.put(conn.writer.queued());
            Ok(())
        })
    })
}

/// Says what has passed on a connection behind its opening handshake. Each place may be NULL.
///
/// - `conn`: the connection
/// - `received_messages`, `received_bytes`: messages received whole, and bytes with the headers of their frames
/// - `sent_messages`, `sent_bytes`: messages sent or queued, and bytes that the operating system has taken
///
/// Returns RADDLE_OK. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_conn_traffic(
    conn: Connection,
    received_messages: *mut u64,
    received_bytes: *mut u64,
    sent_messages: *mut u64,
    sent_bytes: *mut u64,
) -> Status {
    guard(|| {
        let places = [
            arguments::optional_out(received_messages, "received_messages")?,
            arguments::optional_out(received_bytes, "received_bytes")?,
            arguments::optional_out(sent_messages, "sent_messages")?,
            arguments::optional_out(sent_bytes, "sent_bytes")?,
        ];
        connections::with(conn, |conn| {
            let Traffic { received_bytes, received_messages, sent_bytes, sent_messages } = conn.writer.traffic();
            let values = [received_messages, received_bytes, sent_messages, sent_bytes];
            places.iter().zip(values).for_each(|(place, value)| place.put(value));
            Ok(())
        })
    })
}

/// Gives the number of connections that the process has: those of all servers that are open or closing, and those that it
/// has not freed.
///
/// Returns the number; 0 in a process that was forked from one that uses the library. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_conn_count() -> usize {
    if fork::is_child() { 0 } else { connections::count() }
}

/// Gives a text of a connection.
fn text(
    conn: Connection,
    buffer: *mut c_char,
    size: usize,
    length: *mut usize,
    give: impl FnOnce(&Conn, &TextOut) -> Result<(), Failure>,
) -> Status {
    guard(|| {
        let place = TextOut::new(buffer, size, length)?;
        connections::with(conn, |conn| give(conn, &place))
    })
}

pub(crate) fn not_found(text: &'static str) -> Failure {
    Failure::new(Status::RADDLE_ERR_NOT_FOUND, text)
}

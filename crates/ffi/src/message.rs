//! The one structure that C sees the inside of: a message, or another event, of a connection.

use std::ptr::NonNull;

use raddle_socket::Message as Payload;

use crate::arguments;
use crate::status::Failure;

/// A text message: UTF-8.
pub const RADDLE_TEXT: u32 = 1;
/// A binary message.
pub const RADDLE_BINARY: u32 = 2;
/// A Close has come (sans-I/O): `detail` is its code, or 1005, and `data` its reason.
pub const RADDLE_CLOSE: u32 = 8;
/// A Ping has come (sans-I/O).
pub const RADDLE_PING: u32 = 9;
/// A Pong has come (sans-I/O).
pub const RADDLE_PONG: u32 = 10;
/// A connection was opened (callbacks, queue): its first event.
pub const RADDLE_OPENED: u32 = 16;
/// All that waited to be written has left, after some of it had to wait (callbacks of engine pool, queue).
pub const RADDLE_DRAINED: u32 = 17;
/// A connection has ended (callbacks, queue): its last event. `detail` is the peer's close code, 1005 where its Close had
/// none, 1006 where there was no Close, and `data` its reason; raddle_conn_end says more.
pub const RADDLE_CLOSED: u32 = 18;
/// A client has made its request (queue): `data` is the `raddle_request_t *`, `conn` is 0.
pub const RADDLE_REQUEST: u32 = 19;

/// Beside RADDLE_TEXT or RADDLE_BINARY in a `kind` that is sent: the message is not compressed.
pub const RADDLE_UNCOMPRESSED: u32 = 0x100;
/// Beside RADDLE_TEXT or RADDLE_BINARY in a `kind` that is sent: the call does not wait, but fails with
/// RADDLE_ERR_WOULD_BLOCK. While another thread compresses a message on that connection, a whole message leaves uncompressed, which
/// a receiver of compressed ones takes as well (RFC 7692, section 6); a fragment is refused with that status.
pub const RADDLE_DONT_WAIT: u32 = 0x200;

/// In the `detail` of RADDLE_TEXT or RADDLE_BINARY: a part of a message, of which more follows.
pub const RADDLE_MORE: u32 = 1;

/// A connection: an id, which names no other connection ever after. 0 names none.
///
/// An id of a connection that has ended gives RADDLE_ERR_CLOSED, one that was never given RADDLE_ERR_HANDLE.
pub type Connection = u64;

/// A message, or another event. This structure is frozen: it stays as it is in every version of this ABI.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct MessageView {
    /// The connection; 0 where there is none.
    pub conn: Connection,
    /// The payload: `length` bytes, not terminated. Never NULL in what the library gives.
    pub data: *const u8,
    /// Bytes of the payload.
    pub length: usize,
    /// RADDLE_TEXT, RADDLE_BINARY, or another of these.
    pub kind: u32,
    /// What the kind says it is; 0 otherwise. Not looked at in what is sent.
    pub detail: u32,
}

impl MessageView {
    /// An event without payload.
    pub(crate) fn event(conn: u64, kind: u32) -> Self {
        Self { conn, data: NonNull::dangling().as_ptr(), length: 0, kind, detail: 0 }
    }

    /// Shows C a message. The view must not be used longer than the payload is there.
    pub(crate) fn of(conn: u64, payload: Payload<'_>) -> Self {
        let (kind, bytes) = match payload {
            Payload::Text(text) => (RADDLE_TEXT, text.as_bytes()),
            Payload::Binary(bytes) => (RADDLE_BINARY, bytes),
        };
        Self { conn, data: bytes.as_ptr(), length: bytes.len(), kind, detail: 0 }
    }

    /// The payload, which has to be there still.
    pub(crate) fn payload(&self) -> &[u8] {
        arguments::bytes(self.data, self.length, "data").expect("a view of the library's is of bytes")
    }
}

/// How a message is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Manner {
    pub(crate) uncompressed: bool,
    pub(crate) dont_wait: bool,
}

/// What a program wants to send. The payload is its own, and used for the call only.
// Called for each message, and larger than what is inlined unasked.
#[inline(always)]
pub(crate) fn outgoing<'a>(kind: u32, data: *const u8, length: usize) -> Result<(Payload<'a>, Manner), Failure> {
    let bytes = arguments::bytes(data, length, "data")?;
    let manner = Manner { uncompressed: kind & RADDLE_UNCOMPRESSED != 0, dont_wait: kind & RADDLE_DONT_WAIT != 0 };
    let payload = match kind & !(RADDLE_UNCOMPRESSED | RADDLE_DONT_WAIT) {
        RADDLE_TEXT => Payload::Text(arguments::utf8(bytes, "data")?),
        RADDLE_BINARY => Payload::Binary(bytes),
        _ => return Err(Failure::argument("kind: RADDLE_TEXT or RADDLE_BINARY can be sent")),
    };
    Ok((payload, manner))
}

const _: () = assert!(size_of::<MessageView>() == 32 && align_of::<MessageView>() == 8);

//! Messages in: what the program sends through a protocol object.

use std::ffi::c_char;

use raddle_core::{Close, CloseCode, Message, Progress};

use super::{Protocol, with};
use crate::arguments;
use crate::message::{RADDLE_BINARY, RADDLE_MORE, RADDLE_TEXT};
use crate::status::{Failure, Status};

/// Sends a message: puts its frame behind what is to be written.
///
/// - `protocol`: the object
/// - `kind`: RADDLE_TEXT, whose payload is UTF-8, or RADDLE_BINARY
/// - `data`, `length`: the payload, which is copied; `data` may be NULL where there is none
///
/// Returns RADDLE_OK; RADDLE_ERR_CLOSED after a Close; RADDLE_ERR_STATE before the connection is open, amid a
/// fragmented message, or where the program has handed in no more masking keys; RADDLE_ERR_UTF8 or RADDLE_ERR_ARGUMENT.
/// Nothing was sent then. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_protocol_send(protocol: *mut Protocol, kind: u32, data: *const u8, length: usize) -> Status {
    with(protocol, |endpoint| Ok(endpoint.send(message(kind, data, length)?)?))
}

/// Sends a message as raddle_protocol_send does, without copying the payload where that can be: raddle_protocol_output
/// lends it itself, behind its header. A client's is copied nevertheless, as it is masked, and one that is compressed.
///
/// - `protocol`: the object
/// - `kind`: as with raddle_protocol_send
/// - `data`, `length`: the payload, which stays there, unchanged, until raddle_protocol_queued tells 0, or the object is
///   freed
///
/// Returns as raddle_protocol_send. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_protocol_send_lent(
    protocol: *mut Protocol,
    kind: u32,
    data: *const u8,
    length: usize,
) -> Status {
    with(protocol, |endpoint| Ok(endpoint.send_lent(message(kind, data, length)?)?))
}

/// Sends a fragment of a message. The first one begins it; until the last one only control frames can be sent between them.
///
/// - `protocol`: the object
/// - `kind`: of the message, the same for all its fragments. Those of a text are UTF-8 each: cut it between characters
/// - `data`, `length`: the payload, which is copied
/// - `more`: RADDLE_MORE where more of the message follows, 0 for the last one
///
/// Returns as raddle_protocol_send. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_protocol_send_fragment(
    protocol: *mut Protocol,
    kind: u32,
    data: *const u8,
    length: usize,
    more: u32,
) -> Status {
    with(protocol, |endpoint| {
        let progress = arguments::one_of(more, &[(0, Progress::Last), (RADDLE_MORE, Progress::More)], "more")?;
        Ok(endpoint.send_fragment(message(kind, data, length)?, progress)?)
    })
}

/// Sends a Ping (RFC 6455, section 5.5.2). Its Pong is an event.
///
/// - `protocol`: the object
/// - `data`, `length`: the payload, at most 125 bytes, which is copied
///
/// Returns as raddle_protocol_send; RADDLE_ERR_ARGUMENT for more bytes. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_protocol_ping(protocol: *mut Protocol, data: *const u8, length: usize) -> Status {
    with(protocol, |endpoint| Ok(endpoint.ping(arguments::bytes(data, length, "data")?)?))
}

/// Sends a Pong that answers no Ping (RFC 6455, section 5.5.3). Pings are answered without it.
///
/// - `protocol`: the object
/// - `data`, `length`: as with raddle_protocol_ping
///
/// Returns as raddle_protocol_ping. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_protocol_pong(protocol: *mut Protocol, data: *const u8, length: usize) -> Status {
    with(protocol, |endpoint| Ok(endpoint.pong(arguments::bytes(data, length, "data")?)?))
}

/// Begins the closing handshake: sends a Close. Nothing can be sent after it; messages are received until the peer's Close
/// comes.
///
/// - `protocol`: the object
/// - `code`: 1000 to 1003, 1007 to 1014, 3000 to 4999, or 0 for a Close without code and reason
/// - `reason`: at most 123 bytes of UTF-8; NULL for none
///
/// Returns as raddle_protocol_send; RADDLE_ERR_ARGUMENT for another code or a longer reason. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_protocol_close(protocol: *mut Protocol, code: u16, reason: *const c_char) -> Status {
    with(protocol, |endpoint| {
        let reason = arguments::optional_string(reason, "reason")?.unwrap_or_default();
        let close = match code {
            0 if reason.is_empty() => None,
            0 => return Err(Failure::argument("reason: needs a code")),
            code => Some(Close { code: CloseCode(code), reason }),
        };
        Ok(endpoint.close(close)?)
    })
}

/// Hands masking keys in, four random bytes for each frame that is going to be sent, Pongs among them. For a configuration with
/// raddle_protocol_config_own_keys.
///
/// - `protocol`: the object
/// - `bytes`, `length`: unpredictable bytes (RFC 6455, section 10.3), a multiple of 4. They are copied, and each key is used
///   once. At most 65,536 keys wait
/// - `left`: where the number of keys is put that wait now; may be NULL
///
/// Where there is none, what the program sends fails with RADDLE_ERR_STATE, and a Ping is not answered. Returns
/// RADDLE_OK, RADDLE_ERR_ARGUMENT, or RADDLE_ERR_STATE where the keys are not the program's. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_protocol_add_keys(
    protocol: *mut Protocol,
    bytes: *const u8,
    length: usize,
    left: *mut usize,
) -> Status {
    with(protocol, |endpoint| {
        let left = arguments::optional_out(left, "left")?;
        let bytes = arguments::bytes(bytes, length, "bytes")?;
        let keys = endpoint.keys.as_ref().ok_or_else(|| Failure::state("the keys are not the program's to give"))?;
        if !keys.give(bytes) {
            return Err(Failure::argument("length: a multiple of 4, and at most 65,536 keys in all"));
        }
        left.put(keys.left());
        Ok(())
    })
}

/// A message to be sent.
fn message<'a>(kind: u32, data: *const u8, length: usize) -> Result<Message<'a>, Failure> {
    let bytes = arguments::bytes(data, length, "data")?;
    match kind {
        RADDLE_TEXT => Ok(Message::Text(arguments::utf8(bytes, "data")?)),
        RADDLE_BINARY => Ok(Message::Binary(bytes)),
        kind => Err(Failure::argument(format!("kind: there is no constant {kind}"))),
    }
}

//! Bytes in, events out; and what is to be written.

use std::ptr;
use std::time::Duration;

use raddle_core::{CloseCode, Event, Progress};

use super::endpoint::{Delivery, Endpoint, Found, Standing};
use super::output::Piece;
use super::{Protocol, free, with};
use crate::arguments;
use crate::connection::info::{RADDLE_STATE_CLOSED, RADDLE_STATE_CLOSING, RADDLE_STATE_OPEN};
use crate::message::{MessageView, RADDLE_CLOSE, RADDLE_MORE, RADDLE_OPENED, RADDLE_PING, RADDLE_PONG, RADDLE_REQUEST};
use crate::status::{Failure, Status};

/// The opening handshake goes on (sans-I/O).
pub const RADDLE_STATE_CONNECTING: u32 = 0;

/// A piece of what is to be written: as a `struct iovec`, with the same members in the same order.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Slice {
    /// The first byte.
    pub data: *const u8,
    /// Bytes from there on.
    pub length: usize,
}

/// Frees a protocol object, and what it has lent with it.
///
/// - `protocol`: the object
///
/// Returns RADDLE_OK, also for NULL, or RADDLE_ERR_HANDLE. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_protocol_free(protocol: *mut Protocol) -> Status {
    free(protocol)
}

/// Lends space for what the program reads from its socket, so that nothing is copied.
///
/// - `protocol`: the object
/// - `space`, `length`: where the place is put, and its bytes, at least 1. It is valid until the next call with this object
///   that takes bytes or gives an event, or raddle_protocol_accept, raddle_protocol_respond or raddle_protocol_shrink; what the
///   last event has lent is not valid any more
///
/// Returns RADDLE_OK. To be followed by raddle_protocol_filled. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_protocol_space(protocol: *mut Protocol, space: *mut *mut u8, length: *mut usize) -> Status {
    with(protocol, |endpoint| {
        let (space, length) = (arguments::out(space, "space")?, arguments::out(length, "length")?);
        let lent = endpoint.space();
        space.put(lent.as_mut_ptr());
        length.put(lent.len());
        Ok(())
    })
}

/// Notes that the first bytes of the space that was lent last were filled.
///
/// - `protocol`: the object
/// - `count`: how many; 0 is fine
///
/// Returns RADDLE_OK, or RADDLE_ERR_ARGUMENT where no space is lent, or less. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_protocol_filled(protocol: *mut Protocol, count: usize) -> Status {
    with(protocol, |endpoint| endpoint.filled(count).map_err(|_| Failure::argument("count: more than was lent")))
}

/// Takes a copy of bytes that were received, for programs that have them elsewhere. What the last event has lent is not
/// valid any more.
///
/// - `protocol`: the object
/// - `data`, `length`: the bytes
///
/// Returns RADDLE_OK or RADDLE_ERR_ARGUMENT. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_protocol_feed(protocol: *mut Protocol, data: *const u8, length: usize) -> Status {
    with(protocol, |endpoint| {
        endpoint.feed(arguments::bytes(data, length, "data")?);
        Ok(())
    })
}

/// Gives the next event of what was received, and answers it where the protocol asks for that: Pong for Ping, Close for
/// Close, a Close for what breaks a rule. To be called until it gives no more.
///
/// - `protocol`: the object
/// - `event`: where the event is put. `kind` is RADDLE_TEXT or RADDLE_BINARY for a whole message, RADDLE_PING, RADDLE_PONG,
///   RADDLE_CLOSE (`detail` is the code, 1005 for none), RADDLE_OPENED when the opening handshake is done, or RADDLE_REQUEST.
///   `data` is lent: valid until the next call with this object that takes bytes or gives an event, whatever is sent or
///   written meanwhile
///
/// Returns RADDLE_OK; RADDLE_ERR_WOULD_BLOCK where more bytes are needed, or nothing comes any more; for good
/// RADDLE_ERR_PROTOCOL, RADDLE_ERR_HANDSHAKE, or RADDLE_ERR_CLOSED after the program has refused the request: what is
/// to be written then still tells the peer. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_protocol_next(protocol: *mut Protocol, event: *mut MessageView) -> Status {
    next(protocol, event, Delivery::Whole)
}

/// As raddle_protocol_next, but gives messages in parts, as they arrive: for messages larger than memory. `detail` is
/// RADDLE_MORE where more of the message follows, if only an empty rest. A text is cut between characters.
///
/// - `protocol`, `event`: as with raddle_protocol_next
///
/// Returns as raddle_protocol_next. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_protocol_next_part(protocol: *mut Protocol, event: *mut MessageView) -> Status {
    next(protocol, event, Delivery::Parts)
}

fn next(protocol: *mut Protocol, event: *mut MessageView, delivery: Delivery) -> Status {
    with(protocol, |endpoint| {
        let place = arguments::out(event, "event")?;
        let view = match endpoint.advance(delivery)? {
            Found::Nothing => return Err(Failure::new(Status::RADDLE_ERR_WOULD_BLOCK, "more bytes are needed")),
            Found::Request => MessageView::event(0, RADDLE_REQUEST),
            Found::Open => MessageView::event(0, RADDLE_OPENED),
            Found::Event => view(endpoint),
        };
        place.put(view);
        Ok(())
    })
}

fn view(endpoint: &Endpoint) -> MessageView {
    let of =
        |kind, bytes: &[u8]| MessageView { data: bytes.as_ptr(), length: bytes.len(), ..MessageView::event(0, kind) };
    match endpoint.event().expect("advance() has found it") {
        Event::Text(text) => MessageView::of(0, text.into()),
        Event::Binary(bytes) => MessageView::of(0, bytes.into()),
        Event::Part(message, progress) => {
            let detail = if progress == Progress::More { RADDLE_MORE } else { 0 };
            MessageView { detail, ..MessageView::of(0, message) }
        }
        Event::Ping(payload) => of(RADDLE_PING, payload),
        Event::Pong(payload) => of(RADDLE_PONG, payload),
        Event::Close(close) => {
            let (code, reason) = close.map_or((CloseCode::NO_STATUS, ""), |close| (close.code, close.reason));
            MessageView { detail: code.0.into(), ..of(RADDLE_CLOSE, reason.as_bytes()) }
        }
    }
}

/// Lends the next piece of what is to be written: no bytes, where there is nothing.
///
/// - `protocol`: the object
/// - `data`, `length`: where the piece is put. It stays valid until raddle_protocol_written has taken it off, or the object is
///   freed, whatever is called meanwhile
///
/// Returns RADDLE_OK. After raddle_protocol_state has told RADDLE_STATE_CLOSED, and when nothing is to be written any
/// more, a server ends the stream, and a client waits for that, for a few seconds. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_protocol_output(protocol: *mut Protocol, data: *mut *const u8, length: *mut usize) -> Status {
    with(protocol, |endpoint| {
        let (data, length) = (arguments::out(data, "data")?, arguments::out(length, "length")?);
        let mut pieces = [NOTHING];
        endpoint.output(&mut pieces);
        data.put(pieces[0].data);
        length.put(pieces[0].length);
        Ok(())
    })
}

/// As raddle_protocol_output, with several pieces at a time, for `writev` and the like.
///
/// - `protocol`: the object
/// - `slices`, `most`: an array of so many, at least 1
/// - `count`: where the number of those that were filled is put
///
/// Returns RADDLE_OK or RADDLE_ERR_ARGUMENT. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_protocol_output_slices(
    protocol: *mut Protocol,
    slices: *mut Slice,
    most: usize,
    count: *mut usize,
) -> Status {
    with(protocol, |endpoint| {
        let count = arguments::out(count, "count")?;
        let mut space = arguments::space(slices, arguments::at_least(most, 1, "most")?, "slices")?;
        let mut pieces = [NOTHING; AT_A_TIME];
        let filled = endpoint.output(&mut pieces[..most.min(AT_A_TIME)]);
        for piece in &pieces[..filled] {
            space.push(Slice { data: piece.data, length: piece.length });
        }
        count.put(filled);
        Ok(())
    })
}

/// Takes bytes off what is to be written, after the program has written them; over several pieces, where it has.
///
/// - `protocol`: the object
/// - `count`: how many; 0 is fine
///
/// Returns RADDLE_OK, or RADDLE_ERR_ARGUMENT where less was lent. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_protocol_written(protocol: *mut Protocol, count: usize) -> Status {
    with(protocol, |endpoint| endpoint.written(count).map_err(|_| Failure::argument("count: more than was lent")))
}

/// Tells how many bytes are to be written in all. A program that sends should look: nothing bounds them.
///
/// - `protocol`: the object
/// - `bytes`: where their number is put
///
/// Returns RADDLE_OK. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_protocol_queued(protocol: *mut Protocol, bytes: *mut usize) -> Status {
    with(protocol, |endpoint| {
        arguments::out(bytes, "bytes")?.put(endpoint.queued());
        Ok(())
    })
}

/// Tells where the connection stands.
///
/// - `protocol`: the object
/// - `state`: where RADDLE_STATE_CONNECTING, RADDLE_STATE_OPEN, RADDLE_STATE_CLOSING after the Close of one side, or
///   RADDLE_STATE_CLOSED is put: nothing is received any more then, and nothing sent but what is to be written already
///
/// Returns RADDLE_OK. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_protocol_state(protocol: *mut Protocol, state: *mut u32) -> Status {
    with(protocol, |endpoint| {
        arguments::out(state, "state")?.put(match endpoint.standing() {
            Standing::Connecting => RADDLE_STATE_CONNECTING,
            Standing::Open => RADDLE_STATE_OPEN,
            Standing::Closing => RADDLE_STATE_CLOSING,
            Standing::Closed => RADDLE_STATE_CLOSED,
        });
        Ok(())
    })
}

/// Tells the object the time, for keepalive: sends a Ping where one is due.
///
/// - `protocol`: the object
/// - `now_ms`: milliseconds since any moment, which never go back
/// - `wait_ms`: where the milliseconds are put until the next call is of use; RADDLE_NO_LIMIT for none. May be NULL
///
/// Returns RADDLE_OK, or RADDLE_ERR_TIMEOUT where the peer has not answered in its time: the connection is to be given
/// up. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_protocol_tick(protocol: *mut Protocol, now_ms: u64, wait_ms: *mut u64) -> Status {
    with(protocol, |endpoint| {
        let place = arguments::optional_out(wait_ms, "wait_ms")?;
        let wait = endpoint.tick(Duration::from_millis(now_ms));
        let wait = wait.map_err(|_| Failure::new(Status::RADDLE_ERR_TIMEOUT, "the peer has answered no Ping"))?;
        // Rounded up, so that the next call is not too early.
        place.put(wait.map_or(u64::MAX, |wait| u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)));
        Ok(())
    })
}

/// Gives back memory that is not needed while nothing is received and sent. What the last event has lent is not valid any
/// more, nor is space of raddle_protocol_space.
///
/// - `protocol`: the object
///
/// Returns RADDLE_OK. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_protocol_shrink(protocol: *mut Protocol) -> Status {
    with(protocol, |endpoint| {
        endpoint.shrink();
        Ok(())
    })
}

const NOTHING: Piece = Piece { data: ptr::dangling(), length: 0 };
/// Pieces that are given at a time at most.
const AT_A_TIME: usize = 64;

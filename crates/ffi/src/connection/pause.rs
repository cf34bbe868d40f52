//! Pausing: a peer that is not read feels that as back-pressure.

use std::sync::atomic::Ordering;

use crate::arguments;
use crate::connections;
use crate::guard::guard;
use crate::message::Connection;
use crate::status::Status;

/// Has nothing more read of the peer until raddle_resume: what it sends stays in the socket, and it feels that.
///
/// - `conn`: the connection
///
/// In a callback, none follows for this connection but RADDLE_CLOSED; the events of one raddle_server_poll are given to the
/// last one; raddle_recv waits. From another thread it may be too late for the message that is just being delivered. The
/// peer's Pings and its Close are not read either; keepalive takes a peer for alive of which anything waits to be read.
/// Where this side closes the connection, messages that come before the peer's Close are dropped.
///
/// Returns RADDLE_OK, where reading is paused already as well. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_pause(conn: Connection) -> Status {
    guard(|| {
        connections::with(conn, |conn| {
            conn.is_paused.store(true, Ordering::SeqCst);
            conn.writer.pause_reading();
            Ok(())
        })
    })
}

/// Has the peer read again: what it has sent meanwhile is delivered, in order.
///
/// - `conn`: the connection
///
/// Returns RADDLE_OK, where reading is not paused as well. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_resume(conn: Connection) -> Status {
    guard(|| {
        connections::with(conn, |conn| {
            conn.is_paused.store(false, Ordering::SeqCst);
            conn.writer.resume_reading();
            Ok(())
        })
    })
}

/// Tells whether reading is paused.
///
/// - `conn`: the connection
/// - `is_paused`: a place for 1 or 0
///
/// Returns RADDLE_OK. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_conn_is_paused(conn: Connection, is_paused: *mut u32) -> Status {
    guard(|| {
        let place = arguments::out(is_paused, "is_paused")?;
        connections::with(conn, |conn| {
            place.put(u32::from(conn.is_paused.load(Ordering::SeqCst)));
            Ok(())
        })
    })
}

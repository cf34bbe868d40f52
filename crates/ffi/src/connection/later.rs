//! Answers that another thread gives than the one that was told of a message: the peer's last word waits for them.

use crate::connections;
use crate::guard::guard;
use crate::message::Connection;
use crate::status::{Failure, Status};

/// Says, in a callback of engine pool or with an event of a queue, that what was just received is answered later, on another
/// thread, by which raddle_answered is called behind the answer. Until it was called as often as this, the peer's Close, the end
/// of its stream, and what fails the connection are left alone: nothing could be sent behind them. More messages come meanwhile.
///
/// - `conn`: the connection
///
/// A Close of this side ends that, as does what breaks the connection, or keepalive. In engine fed queue the library does this by
/// itself, until the poll behind the event. Where a thread has the connection to itself, it changes nothing: there what follows a
/// message waits until the thread asks for it.
///
/// Returns RADDLE_OK. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_answer_later(conn: Connection) -> Status {
    guard(|| {
        connections::with(conn, |conn| {
            conn.unanswered.lock().push(conn.writer.answer_later());
            Ok(())
        })
    })
}

/// Says that something was answered of which raddle_answer_later was called.
///
/// - `conn`: the connection
///
/// Returns RADDLE_OK; RADDLE_ERR_STATE where nothing waits for that; RADDLE_ERR_CLOSED. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_answered(conn: Connection) -> Status {
    guard(|| {
        connections::with(conn, |conn| {
            let answered = conn.unanswered.lock().pop();
            // Without the lock: the event loop may go on at once.
            answered.map(drop).ok_or_else(|| Failure::state("nothing is to be answered later"))
        })
    })
}

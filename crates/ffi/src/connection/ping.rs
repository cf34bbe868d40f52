//! Pings whose Pong a program waits for.

use std::sync::Arc;

use raddle_socket::{Pong, SendError};

use crate::arguments;
use crate::connections;
use crate::guard::{self, Depth, guard};
use crate::handles::{Handle, Kind, Table, to_id, to_pointer};
use crate::message::Connection;
use crate::status::{Failure, Status};

/// A Ping that was sent, and whose Pong can be waited for. See raddle_ping_begin.
pub struct Ping {
    _opaque: (),
}

impl Handle for Ping {
    type Value = Arc<raddle_socket::Ping>;

    fn table() -> &'static Table<Arc<raddle_socket::Ping>> {
        static TABLE: Table<Arc<raddle_socket::Ping>> = Table::new(Kind::Ping);
        &TABLE
    }
}

/// Sends a Ping whose Pong can be waited for.
///
/// - `conn`: the connection
/// - `ping`: a place for the handle; it is freed with raddle_ping_free
///
/// Returns RADDLE_OK or RADDLE_ERR_CLOSED. Does not wait. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_ping_begin(conn: Connection, ping: *mut *mut Ping) -> Status {
    guard(|| {
        let place = arguments::out(ping, "ping")?;
        connections::with(conn, |conn| {
            place.put(to_pointer(Ping::table().insert(Arc::new(conn.writer.ask()?))?));
            Ok(())
        })
    })
}

/// Waits for the Pong. Nobody need receive meanwhile: what comes before it is read ahead, a little; beyond that the Pong waits
/// behind the messages.
///
/// - `ping`: the Ping
/// - `timeout_ms`: how long to wait; 0: not at all, negative: until it comes or the connection ends
/// - `microseconds`: NULL, or a place for the time that it has taken
///
/// Returns RADDLE_OK, again and again; RADDLE_ERR_TIMEOUT and RADDLE_ERR_INTERRUPTED: a further call waits on;
/// RADDLE_ERR_CLOSED; RADDLE_ERR_WOULD_BLOCK: this thread must not wait, as in a callback of engine pool. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_ping_wait(ping: *mut Ping, timeout_ms: i64, microseconds: *mut u64) -> Status {
    guard(|| {
        let place = arguments::optional_out(microseconds, "microseconds")?;
        Ping::table().with(to_id(ping), |ping| {
            guard::trip(Depth::Handle);
            match ping.wait(arguments::timeout(timeout_ms)) {
                Ok(Pong::After(time)) => place.put(time.as_micros() as u64),
                Ok(Pong::Timeout) => return Err(Failure::new(Status::RADDLE_ERR_TIMEOUT, "no Pong has come")),
                Ok(Pong::Signal) => return Err(Failure::new(Status::RADDLE_ERR_INTERRUPTED, "a signal has come")),
                Err(SendError::Full) => {
                    return Err(Failure::new(Status::RADDLE_ERR_WOULD_BLOCK, "this thread must not wait"));
                }
                Err(error) => return Err(error.into()),
            }
            Ok(())
        })
    })
}

/// Frees a Ping: its Pong is of no interest any more.
///
/// - `ping`: the Ping; NULL is passed over
///
/// Returns RADDLE_OK, or RADDLE_ERR_HANDLE where it was freed before. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_ping_free(ping: *mut Ping) -> Status {
    guard(|| {
        if !ping.is_null() {
            drop(Ping::table().take(to_id(ping))?);
        }
        Ok(())
    })
}

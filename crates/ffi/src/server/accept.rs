//! Open connections for threads that a program owns.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::arguments;
use crate::connections::Conn;
use crate::guard::guard;
use crate::message::Connection;
use crate::server::{Server, Way, with};
use crate::status::{Failure, Status};

/// Waits for the next open connection, in engine accept.
///
/// - `server`: the server
/// - `timeout_ms`: how long to wait; 0: not at all, negative: without end
/// - `conn`: a place for the connection; it is freed with raddle_conn_free
///
/// Returns RADDLE_OK; RADDLE_ERR_TIMEOUT: nobody has come; RADDLE_ERR_CLOSED: the server was stopped, or has drained and its
/// last connection has ended; RADDLE_ERR_STATE: another engine brings the connections. From any thread, any number of them at a
/// time. The program's decision on requests is called within.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_server_accept(server: *mut Server, timeout_ms: i64, conn: *mut Connection) -> Status {
    guard(|| {
        let place = arguments::out(conn, "conn")?;
        with(server, |serving| {
            let Way::Accept = serving.way()? else {
                return Err(Failure::state("the server has another engine than RADDLE_ENGINE_ACCEPT"));
            };
            let timeout = arguments::timeout(timeout_ms);
            let until = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
            loop {
                let left = until.map_or(LONG, |until| until.saturating_duration_since(Instant::now()));
                if let Some(connection) = serving.server.accept(left)? {
                    let (reader, writer) = connection.split();
                    let (of, core) = (writer.clone(), &serving.core);
                    let entry = core.enter(&of, |head| Conn::owned(reader, writer, core.number, head))?;
                    place.put(entry.id);
                    return Ok(());
                }
                // Before the time is up, nobody comes where the server has ended only.
                let is_late = until.is_some_and(|until| until <= Instant::now());
                let is_over =
                    || serving.is_stopped.load(Ordering::SeqCst) || serving.server.join(Duration::ZERO).is_ok();
                if (!is_late && left < LONG) || is_over() {
                    return Err(Failure::new(Status::RADDLE_ERR_CLOSED, "the server was stopped"));
                }
                if is_late {
                    return Err(Failure::new(Status::RADDLE_ERR_TIMEOUT, "no connection has come"));
                }
            }
        })
    })
}

/// A wait without end is made of these.
const LONG: Duration = Duration::from_secs(3600);

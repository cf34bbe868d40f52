//! Open connections for threads that a program owns.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::arguments;
use crate::guard::guard;
use crate::handles::{Handle as _, to_pointer};
use crate::message::Connection;
use crate::server::requests::{Pending, RequestHandle};
use crate::server::{Server, Serving, Way, with};
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
        next(server, timeout_ms, "connection", |serving, left| {
            let Some(connection) = serving.server.accept(left)? else { return Ok(None) };
            place.put(serving.core.enter_owned(connection)?);
            Ok(Some(()))
        })
    })
}

/// Waits for the next request, in engine accept, for programs that decide on a thread of the connection's own: that thread
/// then has the connection from raddle_request_open.
///
/// - `server`: the server
/// - `timeout_ms`: as with raddle_server_accept
/// - `request`: a place for the request, plain HTTP requests among them. It has to be decided on within the handshake
///   timeout, on any thread; raddle_request_free answers one that was not
///
/// Returns as raddle_server_accept, which gives nothing that is decided on so; what raddle_server_config_on_request has set
/// is not called. From any thread, any number of them at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_server_next_request(
    server: *mut Server,
    timeout_ms: i64,
    request: *mut *mut RequestHandle,
) -> Status {
    guard(|| {
        let place = arguments::out(request, "request")?;
        next(server, timeout_ms, "request", |serving, left| {
            let Some(request) = serving.server.next_request(left)? else { return Ok(None) };
            let pending = Pending { is_kept: true, ..Pending::new(request, &serving.core) };
            place.put(to_pointer(RequestHandle::table().insert(pending)?));
            Ok(Some(()))
        })
    })
}

/// Waits for what `take` gives, for which it has at most a certain time.
fn next(
    server: *mut Server,
    timeout_ms: i64,
    what: &str,
    take: impl Fn(&Serving, Duration) -> Result<Option<()>, Failure>,
) -> Result<(), Failure> {
    with(server, |serving| {
        let Way::Accept = serving.way()? else {
            return Err(Failure::state("the server has another engine than RADDLE_ENGINE_ACCEPT"));
        };
        let until = arguments::timeout(timeout_ms).and_then(|timeout| Instant::now().checked_add(timeout));
        loop {
            let left = until.map_or(LONG, |until| until.saturating_duration_since(Instant::now()));
            if take(serving, left)?.is_some() {
                return Ok(());
            }
            // Before the time is up, nobody comes where the server has ended only.
            let is_late = until.is_some_and(|until| until <= Instant::now());
            let is_over = || serving.is_stopped.load(Ordering::SeqCst) || serving.server.join(Duration::ZERO).is_ok();
            if (!is_late && left < LONG) || is_over() {
                return Err(Failure::new(Status::RADDLE_ERR_CLOSED, "the server was stopped"));
            }
            if is_late {
                return Err(Failure::new(Status::RADDLE_ERR_TIMEOUT, format!("no {what} has come")));
            }
        }
    })
}

/// A wait without end is made of these.
const LONG: Duration = Duration::from_secs(3600);

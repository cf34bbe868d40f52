//! Events for a thread that asks for them: engine queue.

use std::ffi::c_int;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::time::Duration;

use parking_lot::Mutex;

use crate::arguments;
use crate::guard::guard;
use crate::handles::to_id;
use crate::message::{MessageView, RADDLE_REQUEST};
use crate::server::source::Source;
use crate::server::{Server, Way, lent, with};
use crate::status::{Failure, Status};

/// Lets what was sent leave, waits until something happens, and gives what has: in the order in which it has happened to each
/// connection.
///
/// - `server`: the server, of engine queue or fed queue
/// - `events`, `max`: a place for events, at least one
/// - `timeout_ms`: how long to wait; 0: not at all, negative: without end
/// - `count`: a place for the number of events, at least 1
///
/// The events are RADDLE_OPENED, RADDLE_TEXT, RADDLE_BINARY, RADDLE_DRAINED and RADDLE_CLOSED, and RADDLE_REQUEST where
/// raddle_server_config_requests_as_events asks for that. Payloads are valid until the next call, be
/// the server freed by another thread meanwhile; what the array has no
/// space for comes with it. What is sent by this thread meanwhile leaves with the next call or raddle_server_flush, and
/// within 5 ms in any case. RADDLE_CLOSED is the last event of a connection, whose id names nothing after the next call.
///
/// Returns RADDLE_OK; RADDLE_ERR_TIMEOUT: nothing has happened; RADDLE_ERR_INTERRUPTED: raddle_server_wake was called, or a
/// signal has come; RADDLE_ERR_CLOSED: the server was stopped and its last connection has ended; RADDLE_ERR_BUSY: another
/// thread polls. From any thread, one at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_server_poll(
    server: *mut Server,
    events: *mut MessageView,
    max: usize,
    timeout_ms: i64,
    count: *mut usize,
) -> Status {
    guard(|| {
        let place = arguments::out(count, "count")?;
        let mut space = arguments::space(events, max, "events")?;
        if space.is_full() {
            return Err(Failure::argument("max: at least 1"));
        }
        let found = poll(server, timeout_ms, |event| {
            let fits = !space.is_full();
            if fits {
                space.push(*event);
            }
            fits
        })?;
        place.put(found);
        Ok(())
    })
}

/// As raddle_server_poll, but copies the payloads into memory of the program: for languages whose objects are made of copies
/// anyway, and that get by with one call for all of a turn.
///
/// - `server`: the server, of engine queue or fed queue
/// - `timeout_ms`: how long to wait; 0: not at all, negative: without end
/// - `region`, `size`: where the payloads are copied to, one behind the other, from its beginning on
/// - `events`, `max`: a place for events, at least one. `data` of each leads into `region`, but for RADDLE_REQUEST
/// - `count`: a place for the number of events, at least 1
///
/// What the region has no space for comes with the next call. An event whose payload is larger than the whole region comes
/// alone, and that is lent as with raddle_server_poll. Returns as raddle_server_poll. From any thread, one at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_server_poll_batch(
    server: *mut Server,
    timeout_ms: i64,
    region: *mut u8,
    size: usize,
    events: *mut MessageView,
    max: usize,
    count: *mut usize,
) -> Status {
    guard(|| {
        let place = arguments::out(count, "count")?;
        let mut region = arguments::space(region, size, "region")?;
        let mut space = arguments::space(events, arguments::at_least(max, 1, "max")?, "events")?;
        let (mut is_first, mut is_lent) = (true, false);
        let found = poll(server, timeout_ms, |event| {
            if space.is_full() || is_lent {
                return false;
            }
            let mut event = *event;
            // The data of a request is its handle.
            if event.kind != RADDLE_REQUEST {
                match region.copy(event.payload()) {
                    Some(data) => event.data = data,
                    None if is_first => is_lent = true,
                    None => return false,
                }
            }
            is_first = false;
            space.push(event);
            true
        })?;
        place.put(found);
        Ok(())
    })
}

/// Lets what was sent since the last poll leave now.
///
/// - `server`: the server, of engine queue or fed queue
///
/// Returns RADDLE_OK; RADDLE_ERR_BUSY: another thread polls. Does not wait. On the thread that polls.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_server_flush(server: *mut Server) -> Status {
    guard(|| {
        with(server, |serving| {
            match serving.way()? {
                Way::Queue { queue, .. } => {
                    queue.try_lock().ok_or_else(busy)?.flush();
                    serving.settle();
                }
                // What is sent leaves by itself.
                Way::Fed { .. } => {}
                _ => return Err(no_queue()),
            }
            Ok(())
        })
    })
}

/// Ends the current raddle_server_poll, or the next one, with RADDLE_ERR_INTERRUPTED where nothing else has happened.
///
/// - `server`: the server, of engine queue or fed queue
///
/// Returns RADDLE_OK. From any thread; not from a signal handler.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_server_wake(server: *const Server) -> Status {
    guard(|| {
        with(server, |serving| {
            match serving.way()? {
                Way::Queue { waker, .. } => waker.wake(),
                Way::Fed { feed, .. } => feed.wake(),
                _ => return Err(no_queue()),
            }
            Ok(())
        })
    })
}

/// Gives a descriptor for poll(2), epoll or a library's event loop: readable while raddle_server_poll would find something,
/// or has something to do. It is the server's: it must not be read or closed, and is gone when the server was freed.
///
/// - `server`: the server, of engine queue or fed queue
/// - `fd`: a place for the descriptor
///
/// Call raddle_server_poll with a timeout of 0 whenever it is readable, until that returns RADDLE_ERR_TIMEOUT. From this
/// call on, what is asked between two polls costs a system call.
///
/// Returns RADDLE_OK; RADDLE_ERR_BUSY: a thread polls. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_server_fd(server: *const Server, fd: *mut c_int) -> Status {
    guard(|| {
        let place = arguments::out(fd, "fd")?;
        with(server, |serving| {
            place.put(match serving.way()? {
                Way::Queue { queue, .. } => queue.try_lock().ok_or_else(busy)?.events().as_fd().as_raw_fd(),
                Way::Fed { feed, .. } => feed.descriptor().as_raw_fd(),
                _ => return Err(no_queue()),
            });
            serving.settle();
            Ok(())
        })
    })
}

fn no_queue() -> Failure {
    Failure::state("the server has another engine than RADDLE_ENGINE_QUEUE and RADDLE_ENGINE_FED_QUEUE")
}

/// Waits for events, of which `take` takes at least the first. Gives their number, or why there is none.
///
/// The server is there until this thread comes back, whoever frees it: its memory is lent with the events.
fn poll(server: *mut Server, timeout_ms: i64, take: impl FnMut(&MessageView) -> bool) -> Result<usize, Failure> {
    let found = with(server, |serving| {
        let timeout = arguments::timeout(timeout_ms);
        let result = match serving.way()? {
            Way::Queue { queue, .. } => poll_source(queue, timeout, take),
            Way::Fed { taker, .. } => poll_source(taker, timeout, take),
            _ => return Err(no_queue()),
        };
        if result.is_ok() {
            lent::lend(to_id(server), serving);
        }
        serving.settle();
        result
    });
    // What another thread has lent meanwhile is none of ours.
    if found.as_ref().is_err_and(|failure| failure.status != Status::RADDLE_ERR_BUSY) {
        lent::give_back(to_id(server));
    }
    found
}

fn poll_source<S: Source>(
    source: &Mutex<S>,
    timeout: Option<Duration>,
    take: impl FnMut(&MessageView) -> bool,
) -> Result<usize, Failure> {
    let departed = source.try_lock().ok_or_else(busy)?.departed();
    departed.let_go();
    let mut source = source.try_lock().ok_or_else(busy)?;
    let found = source.poll(timeout, take)?;
    let (status, text) = match found {
        0 if source.is_over() => (Status::RADDLE_ERR_CLOSED, "the server was stopped, and its connections have ended"),
        0 if source.was_woken() => (Status::RADDLE_ERR_INTERRUPTED, "the poll was ended from outside"),
        0 => (Status::RADDLE_ERR_TIMEOUT, "nothing has happened"),
        found => return Ok(found),
    };
    Err(Failure::new(status, text))
}

fn busy() -> Failure {
    Failure::new(Status::RADDLE_ERR_BUSY, "another thread polls this server")
}

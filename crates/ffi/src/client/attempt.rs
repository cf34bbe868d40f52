//! An attempt to connect on a thread of the library, for programs that wait in slices or give up.

use std::ffi::c_char;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use raddle_client::{Answer, ConnectError};
use raddle_socket::Connection as Socket;

use super::connect::{answer_of, enter, put_header_at};
use super::job::Job;
use super::{Client, settings};
use crate::arguments::{self, TextOut};
use crate::connection::info::not_found;
use crate::fork;
use crate::guard::{self, Depth, guard};
use crate::handles::{self, Handle, Kind, Table};
use crate::message::Connection;
use crate::status::{Failure, Status};

/// An attempt to connect. See raddle_attempt_start.
pub struct Attempt {
    _opaque: (),
}

/// What an attempt's handle names.
pub(crate) struct Trying {
    job: Arc<Job<Outcome>>,
    stopped: Arc<AtomicBool>,
    ended: Mutex<Ended>,
}

type Outcome = Result<(Socket, Answer), ConnectError>;

/// What was told of the outcome.
enum Ended {
    NotYet,
    Connected,
    Failed(ConnectError),
}

impl Handle for Attempt {
    type Value = Arc<Trying>;

    fn table() -> &'static Table<Arc<Trying>> {
        static TABLE: Table<Arc<Trying>> = Table::new(Kind::Attempt);
        &TABLE
    }
}

/// Begins to connect as raddle_connect does, on a thread of the library.
///
/// - `client`: the settings; NULL for the defaults
/// - `url`: as with raddle_connect
/// - `attempt`: a place for the handle, which is freed with raddle_attempt_free
///
/// Returns RADDLE_OK, RADDLE_ERR_UTF8, RADDLE_ERR_ARGUMENT, or RADDLE_ERR_IO where no thread could be started. From any
/// thread; does not wait.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_attempt_start(
    client: *const Client,
    url: *const c_char,
    attempt: *mut *mut Attempt,
) -> Status {
    guard(|| {
        let place = arguments::out(attempt, "attempt")?;
        let url = arguments::string(url, "url")?.to_owned();
        let client = settings(client)?;
        fork::watch();
        let stopped = Arc::new(AtomicBool::new(false));
        let of_thread = Arc::clone(&stopped);
        let job = Job::start("raddle connect", move || client.connect_answered(&url, &of_thread))?;
        let trying = Trying { job, stopped, ended: Mutex::new(Ended::NotYet) };
        place.put(handles::to_pointer(Attempt::table().insert(Arc::new(trying))?));
        Ok(())
    })
}

/// Waits until the attempt has come to something.
///
/// - `attempt`: the attempt
/// - `timeout_ms`: how long to wait; 0: not at all, negative: until it has. The attempt itself takes no longer than the
///   settings say
/// - `conn`: a place for the connection, which is freed with raddle_conn_free
///
/// Returns RADDLE_OK once; RADDLE_ERR_WOULD_BLOCK: it goes on, and a further call waits on; as raddle_connect where it has
/// failed, again and again, RADDLE_ERR_TIMEOUT among that; RADDLE_ERR_STATE where the connection was given before. From any
/// thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_attempt_wait(attempt: *mut Attempt, timeout_ms: i64, conn: *mut Connection) -> Status {
    guard(|| {
        let place = arguments::out(conn, "conn")?;
        with(attempt, |trying| {
            if !trying.job.wait(arguments::timeout(timeout_ms)) {
                return Err(Failure::new(Status::RADDLE_ERR_WOULD_BLOCK, "the attempt goes on"));
            }
            let mut ended = trying.ended.lock();
            // Others that have waited for the same find what was told of it.
            match trying.job.take() {
                Some(Ok((connection, answer))) => {
                    *ended = Ended::Connected;
                    place.put(enter(connection, Some(answer))?);
                    return Ok(());
                }
                Some(Err(error)) => *ended = Ended::Failed(error),
                None => {}
            }
            Err(match &*ended {
                Ended::NotYet => Failure::new(Status::RADDLE_ERR_INTERNAL, "the attempt has failed inside the library"),
                Ended::Connected => Failure::state("the connection was given before"),
                Ended::Failed(error) => Failure::from_connect(error),
            })
        })
    })
}

/// Gives the HTTP status by which a server or a proxy has refused, after raddle_attempt_wait has returned
/// RADDLE_ERR_HANDSHAKE.
///
/// - `attempt`: the attempt
/// - `status`: a place for the status
///
/// Returns RADDLE_OK, or RADDLE_ERR_NOT_FOUND where none has. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_attempt_status(attempt: *mut Attempt, status: *mut u32) -> Status {
    guard(|| {
        let place = arguments::out(status, "status")?;
        of_answer(attempt, |answer| {
            place.put(answer.status.into());
            Ok(())
        })
    })
}

/// Gives the value of the first header of a name in that refusal.
///
/// - `attempt`: the attempt
/// - `name`: the header's name, in any case
/// - `buffer`, `size`, `length`: as with raddle_conn_target
///
/// Returns as raddle_attempt_status, and as raddle_conn_target. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_attempt_header(
    attempt: *mut Attempt,
    name: *const c_char,
    buffer: *mut c_char,
    size: usize,
    length: *mut usize,
) -> Status {
    guard(|| {
        let place = TextOut::new(buffer, size, length)?;
        let name = arguments::string(name, "name")?;
        of_answer(attempt, |answer| {
            place.put(answer.header(name).ok_or_else(|| not_found("the answer has no such header"))?)
        })
    })
}

/// Gives a header of that refusal by its place, from 0 on, as "name: value".
///
/// - `attempt`, `buffer`, `size`, `length`: as with raddle_attempt_header
/// - `index`: the place
///
/// Returns as raddle_attempt_header. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_attempt_header_at(
    attempt: *mut Attempt,
    index: usize,
    buffer: *mut c_char,
    size: usize,
    length: *mut usize,
) -> Status {
    guard(|| {
        let place = TextOut::new(buffer, size, length)?;
        of_answer(attempt, |answer| put_header_at(answer, index, &place))
    })
}

/// Gives the body of that refusal, at most 64 KiB of it: any bytes, with a NUL behind them.
///
/// - `attempt`, `buffer`, `size`, `length`: as with raddle_attempt_header
///
/// Returns as raddle_attempt_header. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_attempt_body(
    attempt: *mut Attempt,
    buffer: *mut c_char,
    size: usize,
    length: *mut usize,
) -> Status {
    guard(|| {
        let place = TextOut::new(buffer, size, length)?;
        of_answer(attempt, |answer| place.put(&answer.body))
    })
}

/// Frees an attempt. One that goes on is given up; a connection that was not given is cut. One that was given stays.
///
/// - `attempt`: the attempt; NULL is passed over
///
/// Returns RADDLE_OK, or RADDLE_ERR_HANDLE where it was freed before. From any thread, whatever others wait for: they get
/// RADDLE_ERR_CLOSED within 50 ms.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_attempt_free(attempt: *mut Attempt) -> Status {
    guard(|| {
        if !attempt.is_null() {
            Attempt::table().take(handles::to_id(attempt))?.stopped.store(true, Ordering::Relaxed);
        }
        Ok(())
    })
}

fn with<R>(attempt: *mut Attempt, act: impl FnOnce(&Arc<Trying>) -> Result<R, Failure>) -> Result<R, Failure> {
    Attempt::table().with(handles::to_id(attempt), |trying| {
        guard::trip(Depth::Handle);
        act(trying)
    })
}

fn of_answer(attempt: *mut Attempt, give: impl FnOnce(&Answer) -> Result<(), Failure>) -> Result<(), Failure> {
    with(attempt, |trying| match &*trying.ended.lock() {
        Ended::Failed(error) => give(answer_of(error).ok_or_else(|| not_found("nobody has answered"))?),
        _ => Err(not_found("the attempt has not failed")),
    })
}

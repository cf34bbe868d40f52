//! Connecting to a server again and again, as the last connection has ended.

use std::ffi::c_char;
use std::sync::Arc;

use parking_lot::Mutex;
use raddle_client::{Answer, Backoff, ConnectError, Reconnect as Reconnection, Setback, Stopper};
use raddle_socket::Connection as Socket;

use super::connect::{answer_of, enter, put_header_at};
use super::job::Job;
use super::{Client, settings};
use crate::arguments::{self, TextOut};
use crate::connection::info::not_found;
use crate::guard::{self, Depth, guard};
use crate::handles::{self, Handle, Kind, Table};
use crate::message::Connection;
use crate::status::{Failure, Status};

/// One connection after the other to the same server. See raddle_reconnect_new.
pub struct Reconnect {
    _opaque: (),
}

/// What its handle names.
pub(crate) struct Repeating {
    stopper: Stopper,
    phase: Mutex<Phase>,
    /// What it was given up for, where that was the last thing that has come of it.
    failed: Mutex<Option<ConnectError>>,
}

enum Phase {
    /// Nobody asks for a connection. The thread that connects takes it out: where none could be started, it is still here.
    Idle(Arc<Mutex<Option<Box<Reconnection>>>>),
    Connecting(Arc<Job<Outcome>>),
}

type Outcome = (Box<Reconnection>, Result<Option<(Socket, Answer)>, Setback>);

impl Handle for Reconnect {
    type Value = Arc<Repeating>;

    fn table() -> &'static Table<Arc<Repeating>> {
        static TABLE: Table<Arc<Repeating>> = Table::new(Kind::Reconnect);
        &TABLE
    }
}

/// Makes what connects to a server again and again. Nothing is sent yet.
///
/// - `client`: the settings; NULL for the defaults
/// - `url`: as with raddle_connect
/// - `first_ms`: the first wait is random between nothing and this; 0 is the default, 5 s. It doubles with each attempt
/// - `cap_ms`: no wait is longer; 0 is the default, 60 s
/// - `settled_ms`: after a connection that was open for so long the waits begin anew; 0 is the default, 60 s
/// - `reconnect`: a place for the handle, which is freed with raddle_reconnect_free
///
/// Returns RADDLE_OK; RADDLE_ERR_ARGUMENT or RADDLE_ERR_TLS where the URL or a setting is not in order; RADDLE_ERR_IO where
/// the settings have a socket of raddle_client_socket. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_reconnect_new(
    client: *const Client,
    url: *const c_char,
    first_ms: u64,
    cap_ms: u64,
    settled_ms: u64,
    reconnect: *mut *mut Reconnect,
) -> Status {
    guard(|| {
        let place = arguments::out(reconnect, "reconnect")?;
        let url = arguments::string(url, "url")?;
        let mut backoff = Backoff::default();
        for (milliseconds, time, name) in [
            (first_ms, &mut backoff.first, "first_ms"),
            (cap_ms, &mut backoff.cap, "cap_ms"),
            (settled_ms, &mut backoff.settled, "settled_ms"),
        ] {
            if milliseconds != 0 {
                *time = arguments::time(milliseconds, name)?;
            }
        }
        let made = settings(client)?.reconnect(url).map_err(|error| Failure::from_connect(&error))?;
        let made = made.backoff(backoff);
        let repeating = Repeating {
            stopper: made.stopper(),
            phase: Mutex::new(Phase::idle(Box::new(made))),
            failed: Mutex::default(),
        };
        place.put(handles::to_pointer(Reconnect::table().insert(Arc::new(repeating))?));
        Ok(())
    })
}

/// Waits until the next connection is open: the first attempt is made at once, each further one after a random time that
/// grows, or that a refusal asks for. A connection that was given before and has not ended is closed with 1001.
///
/// What may pass is no reason to give up: no route, a status of 408, 425, 429 or 5xx (but for 501, 505 and 511), a certificate of the
/// server's that has expired or is not valid yet, as it is about to be renewed, an alert of TLS that is not about the client. It goes
/// on with the next attempt, and the log has why (raddle_log). Who wants to hear of it waits with a timeout.
///
/// - `reconnect`: what connects
/// - `timeout_ms`: how long to wait; 0: not at all, negative: as long as it takes
/// - `conn`: a place for the connection, which is freed with raddle_conn_free
///
/// Returns RADDLE_OK; RADDLE_ERR_TIMEOUT: it goes on meanwhile, and a further call waits on; RADDLE_ERR_CLOSED: the last
/// connection was closed with 1000 or by this side, or this was stopped; another failure of raddle_connect, or
/// RADDLE_ERR_PROTOCOL: it was given up, as the next attempt would end the same way, and a further call tries again after
/// a wait; where a proxy or the server has refused, raddle_reconnect_status knows its status. RADDLE_ERR_BUSY: another thread
/// waits. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_reconnect_next(reconnect: *mut Reconnect, timeout_ms: i64, conn: *mut Connection) -> Status {
    guard(|| {
        let place = arguments::out(conn, "conn")?;
        Reconnect::table().with(handles::to_id(reconnect), |repeating| {
            guard::trip(Depth::Handle);
            let mut phase = repeating
                .phase
                .try_lock()
                .ok_or_else(|| Failure::new(Status::RADDLE_ERR_BUSY, "another thread waits for the next connection"))?;
            let job = phase.job()?;
            if !job.wait(arguments::timeout(timeout_ms)) {
                return Err(Failure::new(Status::RADDLE_ERR_TIMEOUT, "no connection yet"));
            }
            let (idle, outcome) = job.take().ok_or_else(|| {
                Failure::new(Status::RADDLE_ERR_INTERNAL, "what connects has failed inside the library")
            })?;
            *phase = Phase::idle(idle);
            *repeating.failed.lock() = None;
            match outcome {
                Ok(Some((connection, answer))) => place.put(enter(connection, Some(answer))?),
                Ok(None) => return Err(Failure::new(Status::RADDLE_ERR_CLOSED, "done, or stopped")),
                Err(Setback::Failed(error)) => {
                    let failure = Failure::from_connect(&error);
                    *repeating.failed.lock() = Some(error);
                    return Err(failure);
                }
                Err(Setback::Ended(end)) => return Err(Failure::of(Status::RADDLE_ERR_PROTOCOL, &end)),
            }
            Ok(())
        })
    })
}

/// Gives the HTTP status by which a server or a proxy has refused, after raddle_reconnect_next has returned
/// RADDLE_ERR_HANDSHAKE, and until it returns a connection or another failure than RADDLE_ERR_TIMEOUT or RADDLE_ERR_BUSY.
///
/// - `reconnect`: what connects
/// - `status`: a place for the status
///
/// Returns RADDLE_OK, or RADDLE_ERR_NOT_FOUND where none has. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_reconnect_status(reconnect: *mut Reconnect, status: *mut u32) -> Status {
    guard(|| {
        let place = arguments::out(status, "status")?;
        of_answer(reconnect, |answer| {
            place.put(answer.status.into());
            Ok(())
        })
    })
}

/// Gives a header of that refusal by its place, from 0 on, as "name: value".
///
/// - `reconnect`: what connects
/// - `index`: the place
/// - `buffer`, `size`, `length`: as with raddle_conn_target
///
/// Returns as raddle_reconnect_status, and as raddle_conn_target. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_reconnect_header_at(
    reconnect: *mut Reconnect,
    index: usize,
    buffer: *mut c_char,
    size: usize,
    length: *mut usize,
) -> Status {
    guard(|| {
        let place = TextOut::new(buffer, size, length)?;
        of_answer(reconnect, |answer| put_header_at(answer, index, &place))
    })
}

/// Gives the body of that refusal, at most 64 KiB of it: any bytes, with a NUL behind them.
///
/// - `reconnect`, `buffer`, `size`, `length`: as with raddle_reconnect_header_at
///
/// Returns as raddle_reconnect_header_at. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_reconnect_body(
    reconnect: *mut Reconnect,
    buffer: *mut c_char,
    size: usize,
    length: *mut usize,
) -> Status {
    guard(|| {
        let place = TextOut::new(buffer, size, length)?;
        of_answer(reconnect, |answer| place.put(&answer.body))
    })
}

/// Has raddle_reconnect_next return RADDLE_ERR_CLOSED, at once or within 50 ms, and for good. A connection that was given
/// is closed with 1001.
///
/// - `reconnect`: what connects
///
/// Returns RADDLE_OK. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_reconnect_stop(reconnect: *mut Reconnect) -> Status {
    guard(|| {
        Reconnect::table().with(handles::to_id(reconnect), |repeating| {
            repeating.stopper.stop();
            Ok(())
        })
    })
}

/// Frees what connects, and stops it before. Connections that were given stay as raddle_reconnect_stop leaves them.
///
/// - `reconnect`: what connects; NULL is passed over
///
/// Returns RADDLE_OK, or RADDLE_ERR_HANDLE where it was freed before. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_reconnect_free(reconnect: *mut Reconnect) -> Status {
    guard(|| {
        if !reconnect.is_null() {
            Reconnect::table().take(handles::to_id(reconnect))?.stopper.stop();
        }
        Ok(())
    })
}

fn of_answer(reconnect: *mut Reconnect, give: impl FnOnce(&Answer) -> Result<(), Failure>) -> Result<(), Failure> {
    Reconnect::table().with(handles::to_id(reconnect), |repeating| {
        give(repeating.failed.lock().as_ref().and_then(answer_of).ok_or_else(|| not_found("nobody has refused"))?)
    })
}

impl Phase {
    fn idle(reconnection: Box<Reconnection>) -> Self {
        Self::Idle(Arc::new(Mutex::new(Some(reconnection))))
    }

    /// What connects, begun where nobody has asked for it before.
    fn job(&mut self) -> Result<Arc<Job<Outcome>>, Failure> {
        let idle = match self {
            Self::Connecting(job) => return Ok(Arc::clone(job)),
            Self::Idle(idle) => Arc::clone(idle),
        };
        let job = Job::start("raddle reconnect", move || {
            let mut idle = idle.lock().take().expect("a thread was started for it once");
            let outcome = idle.next_answered();
            (idle, outcome)
        })?;
        *self = Self::Connecting(Arc::clone(&job));
        Ok(job)
    }
}

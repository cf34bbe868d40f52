//! Connecting: a URL in, an open connection out, and what the server has answered.

use std::cell::Cell;
use std::ffi::c_char;
use std::sync::atomic::AtomicBool;

use raddle_client::{Answer, ConnectError, ProxyError};
use raddle_socket::Connection as Socket;

use super::{Client, settings};
use crate::arguments::{self, TextOut};
use crate::connection::info::not_found;
use crate::connections::{self, Conn};
use crate::fork;
use crate::guard::guard;
use crate::message::Connection;
use crate::status::{Failure, Status};

/// Connects to a server, and carries out the opening handshake (RFC 6455, section 4.1).
///
/// - `client`: the settings; NULL for the defaults
/// - `url`: as "ws://example.com:9001/chat?room=1" or "wss://…"; with "user:password@" before the host it says who the client is
/// - `timeout_ms`: the time for all of it; negative: that of the settings
/// - `conn`: a place for the connection, which is freed with raddle_conn_free
///
/// Returns RADDLE_OK; RADDLE_ERR_ARGUMENT where the URL or a setting is not in order, and nothing was sent; RADDLE_ERR_IO
/// where no address was found or none has answered; RADDLE_ERR_TLS; RADDLE_ERR_HANDSHAKE where a proxy or the server has
/// refused, and raddle_connect_status knows its status; RADDLE_ERR_TIMEOUT.
///
/// From any thread. It waits, and no signal ends that: a program that has to look after other things meanwhile uses
/// raddle_attempt_start.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_connect(
    client: *const Client,
    url: *const c_char,
    timeout_ms: i64,
    conn: *mut Connection,
) -> Status {
    guard(|| {
        let place = arguments::out(conn, "conn")?;
        let url = arguments::string(url, "url")?;
        let mut client = settings(client)?;
        if let Some(timeout) = arguments::timeout(timeout_ms) {
            client = client.connect_timeout(timeout);
        }
        STATUS.set(0);
        fork::watch();
        match client.connect_answered(url, &AtomicBool::new(false)) {
            Ok((connection, answer)) => place.put(enter(connection, Some(answer))?),
            Err(error) => {
                STATUS.set(answer_of(&error).map_or(0, |answer| answer.status.into()));
                return Err(Failure::from_connect(&error));
            }
        }
        Ok(())
    })
}

/// Gives the HTTP status by which a server or a proxy has refused the last raddle_connect of this thread.
///
/// Returns the status, or 0 where that has not failed so. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_connect_status() -> u32 {
    STATUS.get()
}

/// Gives the value of the first header of a name in the response that has opened a connection. Only of a client's connections.
///
/// - `conn`: the connection
/// - `name`: the header's name, in any case
/// - `buffer`, `size`, `length`: as with raddle_conn_target. The value is bytes, and may not be UTF-8
///
/// Returns as raddle_conn_target; RADDLE_ERR_NOT_FOUND where there is no such header; RADDLE_ERR_STATE for another connection. From
/// any thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_conn_response_header(
    conn: Connection,
    name: *const c_char,
    buffer: *mut c_char,
    size: usize,
    length: *mut usize,
) -> Status {
    guard(|| {
        let (place, name) = (TextOut::new(buffer, size, length)?, arguments::string(name, "name")?);
        of_response(conn, |answer| {
            place.put(answer.header(name).ok_or_else(|| not_found("the response has no such header"))?)
        })
    })
}

/// Gives a header of the response that has opened a connection by its place, from 0 on, as "name: value".
///
/// - `conn`: the connection
/// - `index`: the place
/// - `buffer`, `size`, `length`: as with raddle_conn_target
///
/// Returns as raddle_conn_response_header; RADDLE_ERR_NOT_FOUND behind the last one. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_conn_response_header_at(
    conn: Connection,
    index: usize,
    buffer: *mut c_char,
    size: usize,
    length: *mut usize,
) -> Status {
    guard(|| {
        let place = TextOut::new(buffer, size, length)?;
        of_response(conn, |answer| put_header_at(answer, index, &place))
    })
}

fn of_response(conn: Connection, give: impl FnOnce(&Answer) -> Result<(), Failure>) -> Result<(), Failure> {
    connections::with(conn, |conn| {
        give(conn.answer.as_ref().ok_or_else(|| Failure::state("no response was kept for the connection"))?)
    })
}

/// Puts the header that is at a place of an answer there, as one line.
pub(crate) fn put_header_at(answer: &Answer, index: usize, place: &TextOut) -> Result<(), Failure> {
    let (name, value) = answer.headers.get(index).ok_or_else(|| not_found("there are no more headers"))?;
    place.put([name.as_bytes(), b": ", value].concat())
}

/// Enters a connection in the table, and gives its id.
pub(crate) fn enter(connection: Socket, answer: Option<Answer>) -> Result<Connection, Failure> {
    let (reader, writer) = connection.split();
    let mut conn = Conn::owned(reader, writer, 0, None);
    conn.answer = answer.map(Box::new);
    Ok(connections::insert(conn)?.id)
}

/// What a server or a proxy has answered that has refused.
pub(crate) fn answer_of(error: &ConnectError) -> Option<&Answer> {
    match error {
        ConnectError::Refused(answer) | ConnectError::Proxy(ProxyError::Refused(answer)) => Some(answer),
        _ => None,
    }
}

impl Failure {
    /// Why no connection came about.
    pub(crate) fn from_connect(error: &ConnectError) -> Self {
        let status = match error {
            ConnectError::Url(_) | ConnectError::Request(_) | ConnectError::Credentials => Status::RADDLE_ERR_ARGUMENT,
            ConnectError::Tls(_) | ConnectError::TlsUnsupported => Status::RADDLE_ERR_TLS,
            ConnectError::Resolve(_) | ConnectError::Connect(_) | ConnectError::EndOfStream | ConnectError::Io(_) => {
                Status::RADDLE_ERR_IO
            }
            ConnectError::Timeout { .. } => Status::RADDLE_ERR_TIMEOUT,
            ConnectError::Stopped => Status::RADDLE_ERR_CLOSED,
            _ => Status::RADDLE_ERR_HANDSHAKE,
        };
        Self::of(status, error)
    }
}

thread_local! {
    static STATUS: Cell<u32> = const { Cell::new(0) };
}

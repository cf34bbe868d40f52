//! Receiving by calls: the next message of a connection that a program has from `raddle_server_accept` or a client.

use raddle_socket::Next;

use crate::arguments;
use crate::connections;
use crate::guard::guard;
use crate::message::{Connection, MessageView};
use crate::status::{Failure, Status};

/// Waits for the next message.
///
/// - `conn`: a connection of raddle_server_accept or of a client
/// - `timeout_ms`: how long to wait; 0: not at all, negative: without end. A message that is there comes with 0 too
/// - `message`: a place for what has come. Its payload is the library's, and valid until the next call that receives on this
///   connection, or frees it
///
/// Returns RADDLE_OK; RADDLE_ERR_TIMEOUT: nothing has come, and nothing is lost; RADDLE_ERR_INTERRUPTED: a signal handler
/// has run on this thread meanwhile, and nothing is lost; RADDLE_ERR_CLOSED: the connection has ended, and raddle_conn_end
/// says how; RADDLE_ERR_BUSY: another thread receives; RADDLE_ERR_STATE: the messages go to callbacks or into a queue. From
/// any thread, one at a time; sending needs no turn.
///
/// While a program is away from here, the library answers Pings, and reads a little ahead.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_recv(conn: Connection, timeout_ms: i64, message: *mut MessageView) -> Status {
    guard(|| {
        let place = arguments::out(message, "message")?;
        connections::with(conn, |of| {
            let mut receiving = of.receiving()?;
            let reader = &mut receiving.reader;
            let next = reader.next_message_or_signal(arguments::timeout(timeout_ms));
            match next {
                Ok(Next::Message(message)) => {
                    place.put(MessageView::of(conn, message));
                    return Ok(());
                }
                Ok(Next::Timeout) => return Err(Failure::new(Status::RADDLE_ERR_TIMEOUT, "no message has come")),
                Ok(Next::Signal) => return Err(Failure::new(Status::RADDLE_ERR_INTERRUPTED, "a signal has come")),
                Ok(Next::Closed) | Err(_) => {}
            }
            let end = reader.end().ok_or_else(|| Failure::new(Status::RADDLE_ERR_CLOSED, "closed"))?;
            of.note_end(end);
            Err(end.into())
        })
    })
}

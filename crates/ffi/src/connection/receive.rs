//! Receiving by calls: the next message of a connection that a program has from `raddle_server_accept` or a client.

use raddle_socket::{Message, Next, NextPart, Progress};

use crate::arguments;
use crate::connections::{self, Conn, Receiving};
use crate::guard::guard;
use crate::message::{Connection, MessageView, RADDLE_MORE};
use crate::status::{Failure, Status};

/// Waits for the next message.
///
/// - `conn`: a connection of raddle_server_accept or of a client, or one that has this thread by raddle_server_move_to_thread
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
        connections::receive(conn, |of, receiving| {
            place.put(MessageView::of(conn, receiving.next(of, timeout_ms)?));
            Ok(())
        })
    })
}

/// Waits for the next part of a message, for messages larger than memory. The limits hold for the whole message all the
/// same. What is left of a message when raddle_recv is called instead is passed over.
///
/// - `conn`, `timeout_ms`: as with raddle_recv
/// - `message`: a place for the part; its `detail` is RADDLE_MORE where more of the message follows, if only an empty rest. A
///   text is cut between characters. Lent as with raddle_recv
///
/// Returns as raddle_recv. From any thread, one at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_recv_part(conn: Connection, timeout_ms: i64, message: *mut MessageView) -> Status {
    guard(|| {
        let place = arguments::out(message, "message")?;
        connections::receive(conn, |of, receiving| {
            if *receiving.is_kept {
                place.put(MessageView::of(conn, receiving.next(of, timeout_ms)?));
                return Ok(());
            }
            match receiving.reader.next_part_or_signal(arguments::timeout(timeout_ms)) {
                Ok(NextPart::Part(part)) => {
                    of.check()?;
                    let detail = if part.progress == Progress::More { RADDLE_MORE } else { 0 };
                    place.put(MessageView { detail, ..MessageView::of(conn, part.payload) });
                    return Ok(());
                }
                Ok(NextPart::Timeout) => return Err(timed_out()),
                Ok(NextPart::Signal) => return Err(interrupted()),
                Ok(NextPart::Closed) | Err(_) => {}
            }
            Err(receiving.ended(of))
        })
    })
}

impl Receiving<'_> {
    /// Waits for the next message, or gives the one that was kept.
    pub(crate) fn next(&mut self, of: &Conn, timeout_ms: i64) -> Result<Message<'_>, Failure> {
        if std::mem::take(self.is_kept) {
            return self.reader.last_message().ok_or_else(|| Failure::state("the message that was kept has gone"));
        }
        match self.reader.next_message_or_signal(arguments::timeout(timeout_ms)) {
            // It has to be looked at once more, as a borrow that is returned here would hold for the other cases too.
            Ok(Next::Message(_)) => {}
            Ok(Next::Timeout) => return Err(timed_out()),
            Ok(Next::Signal) => return Err(interrupted()),
            Ok(Next::Closed) | Err(_) => return Err(self.ended(of)),
        }
        // What the message lies in would go when this call lets go of the connection.
        of.check()?;
        Ok(self.reader.last_message().expect("one was just received"))
    }

    /// Gives the next message where it has come already, or was kept: nothing is read. `None`: there is none, or the end is before
    /// it.
    pub(crate) fn received(&mut self) -> Option<Message<'_>> {
        if std::mem::take(self.is_kept) {
            return self.reader.last_message();
        }
        self.reader.next_received().ok().flatten()
    }

    /// How the connection has ended, once its reader has seen that; noted with it.
    fn ended(&self, of: &Conn) -> Failure {
        let Some(end) = self.reader.end() else { return Failure::new(Status::RADDLE_ERR_CLOSED, "closed") };
        of.note_end(end);
        end.into()
    }
}

fn timed_out() -> Failure {
    Failure::new(Status::RADDLE_ERR_TIMEOUT, "no message has come")
}

fn interrupted() -> Failure {
    Failure::new(Status::RADDLE_ERR_INTERRUPTED, "a signal has come")
}

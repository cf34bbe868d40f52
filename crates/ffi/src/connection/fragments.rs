//! Sending a message fragment by fragment: for messages larger than memory, or not yet complete.

use raddle_core::Progress;

use crate::arguments;
use crate::connections;
use crate::guard::guard;
use crate::message::{Connection, Manner, RADDLE_MORE, outgoing};
use crate::status::{Failure, Status};

/// Sends a fragment of a message. The first one begins it; other messages wait until the last one was sent, control frames
/// pass.
///
/// - `conn`: the connection
/// - `kind`: RADDLE_TEXT or RADDLE_BINARY, the same for all fragments of a message; with the first one perhaps
///   RADDLE_UNCOMPRESSED, and with each RADDLE_DONT_WAIT, as with raddle_send. Those of a text are UTF-8 each: cut it
///   between characters
/// - `data`, `length`: the payload, as with raddle_send
/// - `more`: RADDLE_MORE where more of the message follows, 0 for the last one, which may be empty
///
/// Returns as raddle_send; RADDLE_ERR_STATE for a fragment of another kind, RADDLE_ERR_BUSY where another thread is sending
/// one. A message that is not finished when the connection is freed closes it with 1011. From any thread. It waits as
/// raddle_send does; the thread that is amid a message gets RADDLE_ERR_STATE from raddle_send.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_send_fragment(
    conn: Connection,
    kind: u32,
    data: *const u8,
    length: usize,
    more: u32,
) -> Status {
    guard(|| {
        let (fragment, manner) = outgoing(kind, data, length)?;
        let Manner { uncompressed, dont_wait } = manner;
        let progress = arguments::one_of(more, &[(0, Progress::Last), (RADDLE_MORE, Progress::More)], "more")?;
        connections::with(conn, |conn| {
            let mut open = conn
                .fragments
                .try_lock()
                .ok_or_else(|| Failure::new(Status::RADDLE_ERR_BUSY, "another thread is sending a fragment"))?;
            let begins = open.is_none();
            let writer = open.get_or_insert_with(|| {
                Box::new(if uncompressed {
                    conn.writer.uncompressed().begin_owned()
                } else {
                    conn.writer.begin_owned()
                })
            });
            let sent = match progress {
                _ if dont_wait => writer.try_send(fragment, progress),
                Progress::More => writer.send(fragment),
                Progress::Last => writer.send_last(fragment),
            };
            let has_ended = matches!(sent, Err(raddle_socket::SendError::Closed | raddle_socket::SendError::Timeout));
            if progress == Progress::Last && sent.is_ok() || begins && sent.is_err() || has_ended {
                *open = None;
            }
            sent?;
            Ok(())
        })
    })
}

//! Sending a message fragment by fragment: for messages larger than memory, or not yet complete.

use raddle_core::Progress;

use crate::arguments;
use crate::connections;
use crate::guard::guard;
use crate::message::{Connection, Manner, RADDLE_MORE, outgoing};
use crate::status::Status;

/// Sends a fragment of a message. The first one of a thread begins it, and the same thread sends the others; other messages,
/// those of other threads in fragments as well, wait until the last one was sent, control frames pass.
///
/// - `conn`: the connection
/// - `kind`: RADDLE_TEXT or RADDLE_BINARY, the same for all fragments of a message; with the first one perhaps
///   RADDLE_UNCOMPRESSED, and with each RADDLE_DONT_WAIT, as with raddle_send. Those of a text are UTF-8 each: cut it
///   between characters
/// - `data`, `length`: the payload, as with raddle_send
/// - `more`: RADDLE_MORE where more of the message follows, 0 for the last one, which may be empty
///
/// Returns as raddle_send; RADDLE_ERR_STATE for a fragment of another kind. A message that is not finished when the connection
/// is freed closes it with 1011. From any thread. It waits as raddle_send does; the thread that is amid a message gets
/// RADDLE_ERR_STATE from raddle_send.
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
            let begin = || match uncompressed {
                true => conn.writer.uncompressed().begin_owned(),
                false => conn.writer.begin_owned(),
            };
            conn.unfinished.send(progress, begin, |writer| match progress {
                _ if dont_wait => writer.try_send(fragment, progress),
                Progress::More => writer.send(fragment),
                Progress::Last => writer.send_last(fragment),
            })?;
            Ok(())
        })
    })
}

//! Receiving by the batch: all messages that have come together, copied into one piece of the program's memory by one call.

use crate::arguments;
use crate::connections;
use crate::guard::guard;
use crate::message::{Connection, MessageView};
use crate::status::{Failure, Status};

/// Waits for the next message, and takes all those with it that have come together with it: it never waits for a second one,
/// nor reads one.
///
/// - `conn`, `timeout_ms`: as with raddle_recv
/// - `region`, `size`: where the payloads are copied to, one behind the other
/// - `messages`, `most`: an array of so many, at least 1, for what has come. `data` of each leads into `region`
/// - `count`: a place for the number of messages, at least 1. With RADDLE_ERR_BUFFER, for the bytes that the first one needs
///
/// Returns RADDLE_OK; RADDLE_ERR_BUFFER where the region is too small for the first message, which is not lost: the next
/// call that receives gives it, and so with one that has no place behind others. Otherwise as raddle_recv. From any thread,
/// one at a time.
///
/// What this thread sends behind several messages leaves together: before the next call that receives waits, with
/// raddle_flush, or within 5 ms.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_recv_batch(
    conn: Connection,
    timeout_ms: i64,
    region: *mut u8,
    size: usize,
    messages: *mut MessageView,
    most: usize,
    count: *mut usize,
) -> Status {
    guard(|| {
        let count = arguments::out(count, "count")?;
        let mut region = arguments::space(region, size, "region")?;
        let mut views = arguments::space(messages, arguments::at_least(most, 1, "most")?, "messages")?;
        connections::receive(conn, |of, receiving| {
            let mut taken = 0;
            let mut next = receiving.next(of, timeout_ms)?;
            loop {
                let mut view = MessageView::of(conn, next);
                let Some(data) = region.copy(next.as_bytes()) else {
                    let needed = next.as_bytes().len();
                    *receiving.is_kept = true;
                    if taken == 0 {
                        count.put(needed);
                        return Err(Failure::new(
                            Status::RADDLE_ERR_BUFFER,
                            format!("size: {needed} bytes are needed for the message"),
                        ));
                    }
                    break;
                };
                view.data = data;
                views.push(view);
                taken += 1;
                if views.is_full() {
                    break;
                }
                match receiving.reader.next_received() {
                    Ok(Some(message)) => next = message,
                    // How it has ended, the next call tells.
                    Ok(None) | Err(_) => break,
                }
            }
            count.put(taken);
            Ok(())
        })
    })
}

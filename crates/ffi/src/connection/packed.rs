//! Sending by the batch: many messages, to as many connections, in one piece of the program's memory.

use crate::arguments;
use crate::connection::send::send;
use crate::connections;
use crate::guard::guard;
use crate::message::outgoing;
use crate::status::{Failure, Status};

/// Sends many messages, as raddle_send_many does, that lie behind one another in one piece of memory: for languages in which
/// an array of pointers is dear.
///
/// - `packed`, `length`: the messages. Each is 16 bytes of three numbers, in the machine's byte order and at any address,
///   and its payload: `raddle_conn_t conn`, `uint32_t kind`, `uint32_t length`, and so many bytes
/// - `statuses`, `most`: NULL and 0, or a place for so many statuses: what has become of the first messages
///
/// All are tried, in their order. Returns RADDLE_OK, or the status of the first that has failed; RADDLE_ERR_ARGUMENT where
/// the last one is cut short: then nothing was sent. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_send_packed(packed: *const u8, length: usize, statuses: *mut Status, most: usize) -> Status {
    guard(|| {
        let packed = arguments::bytes(packed, length, "packed")?;
        let mut statuses = arguments::space(statuses, most, "statuses")?;
        check(packed)?;
        let mut first = Ok(());
        let mut rest = packed;
        while let Some((record, behind)) = Record::first_of(rest) {
            rest = behind;
            let result = outgoing(record.kind, record.payload.as_ptr(), record.payload.len())
                .and_then(|(message, manner)| connections::with(record.conn, |conn| Ok(send(conn, message, manner)?)));
            let status = result.as_ref().err().map_or(Status::RADDLE_OK, |failure| failure.status);
            if !statuses.is_full() {
                statuses.push(status);
            }
            first = first.and(result);
        }
        first
    })
}

/// A message as it is packed.
#[derive(Debug, PartialEq, Eq)]
struct Record<'a> {
    conn: u64,
    kind: u32,
    payload: &'a [u8],
}

impl<'a> Record<'a> {
    /// The first message of `packed`, and what is behind it. `None`: it is not whole.
    fn first_of(packed: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (conn, behind) = packed.split_first_chunk()?;
        let (kind, behind) = behind.split_first_chunk()?;
        let (length, behind) = behind.split_first_chunk()?;
        let (payload, behind) = behind.split_at_checked(u32::from_ne_bytes(*length) as usize)?;
        Some((Self { conn: u64::from_ne_bytes(*conn), kind: u32::from_ne_bytes(*kind), payload }, behind))
    }
}

/// Sees that all messages are whole.
fn check(packed: &[u8]) -> Result<(), Failure> {
    let mut rest = packed;
    while !rest.is_empty() {
        let at = packed.len() - rest.len();
        let (_, behind) = Record::first_of(rest)
            .ok_or_else(|| Failure::argument(format!("packed: the message at byte {at} is cut short")))?;
        rest = behind;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_is_cut_anywhere_is_found() {
        let mut packed = Vec::new();
        for payload in [&b"one"[..], b"", b"three"] {
            packed.extend_from_slice(&7_u64.to_ne_bytes());
            packed.extend_from_slice(&1_u32.to_ne_bytes());
            packed.extend_from_slice(&(payload.len() as u32).to_ne_bytes());
            packed.extend_from_slice(payload);
        }
        for cut in 0..=packed.len() {
            let whole = [0, 19, 35, 56].contains(&cut);
            assert_eq!(check(&packed[..cut]).is_ok(), whole, "{cut}");
        }
        let (record, behind) = Record::first_of(&packed).expect("it is whole");
        assert_eq!((record, behind.len()), (Record { conn: 7, kind: 1, payload: b"one" }, 37));
    }
}

//! The end of a connection, and what it says.

use std::time::Duration;

use raddle_socket::{Cause, CloseCode, Connection, End, Options};

use super::{LIMIT, options, within};

/// What an end says, but for the time.
pub(crate) type Said<'a> = (Cause, Option<(u16, &'a str)>, Option<u16>);

#[track_caller]
pub(crate) fn assert_end(end: &End, (cause, received, sent): Said<'_>) {
    let received = received.map(|(code, reason)| (CloseCode(code), reason.to_owned()));
    assert_eq!((end.cause, end.received.clone(), end.sent), (cause, received, sent.map(CloseCode)));
}

/// Reads to the end, which has to come within `LIMIT`; `Ok`: the connection was closed by a closing handshake.
pub(crate) fn read_to_end(connection: Connection) -> Result<End, End> {
    within(LIMIT, move || {
        let (mut reader, _writer) = connection.split();
        loop {
            match reader.next_message() {
                Ok(Some(_)) => {}
                Ok(None) => return Ok(reader.end().expect("it was seen").clone()),
                Err(end) => return Err(end),
            }
        }
    })
}

pub(crate) fn closing_within(time: Duration) -> Options {
    options(|options| options.close_timeout = time)
}

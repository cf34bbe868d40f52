//! What a server has answered: an HTTP response, with as much of its body as is kept.

use std::fmt;

use raddle_core::handshake::Refusal;

use crate::body::Body;
use crate::error::ConnectError;
use crate::exchange::Exchange;

/// An HTTP response of a server, or of a proxy: one that opens no connection, or the one that has opened it.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// All headers, in order; values may be any bytes but control characters.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body, at most 64 KiB of it; less where it did not arrive within the time of the attempt.
    pub body: Vec<u8>,
    /// Whether that is all of the body.
    pub is_whole: bool,
}

impl Answer {
    /// The value of the first header of this name, in any case.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.all(name).next()
    }

    /// The values of all headers of this name.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.headers.iter().filter(move |(it, _)| it.eq_ignore_ascii_case(name)).map(|(_, value)| &value[..])
    }

    /// Without a body yet.
    pub(crate) fn of(refusal: &Refusal) -> Self {
        Self { status: refusal.status, headers: owned(refusal.headers()), body: Vec::new(), is_whole: false }
    }

    /// What has opened a connection.
    pub(crate) fn opening<'h>(headers: impl Iterator<Item = (&'h str, &'h [u8])>) -> Self {
        Self { status: 101, headers: owned(headers), body: Vec::new(), is_whole: true }
    }

    /// Reads the body, whose beginning is in `received`: to its end, to the limit, or as long as the exchange may take.
    pub(crate) fn read_body(&mut self, mut received: Vec<u8>, exchange: &Exchange<'_>) -> Result<(), ConnectError> {
        let mut body = Body::of(self.status, |name| self.all(name).map(<[u8]>::to_owned).collect());
        loop {
            let done = body.advance(&received);
            received.clear();
            if done {
                break;
            }
            match exchange.read(&mut received, usize::MAX) {
                Ok(true) => {}
                Ok(false) => {
                    body.end_of_stream();
                    break;
                }
                Err(ConnectError::Stopped) => return Err(ConnectError::Stopped),
                // What has come says more than that the rest has not.
                Err(_) => break,
            }
        }
        (self.body, self.is_whole) = body.finish();
        Ok(())
    }
}

fn owned<'h>(headers: impl Iterator<Item = (&'h str, &'h [u8])>) -> Vec<(String, Vec<u8>)> {
    headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

impl fmt::Debug for Answer {
    // Without the values of headers and the body: cookies and tokens are among them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("Answer")
            .field("status", &self.status)
            .field("headers", &names)
            .field("body", &self.body.len())
            .field("is_whole", &self.is_whole)
            .finish()
    }
}

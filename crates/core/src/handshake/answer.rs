//! The head of a response as a client receives it (RFC 9112): interim responses are passed over, the final one comes out.

use super::ClientError;
use super::client::Refusal;
use super::head::{HeadError, HeadLimits, Headers, Scanner, is_value_byte};

/// Parses a response up to the end of its head, as it arrives.
#[derive(Debug)]
pub(crate) struct AnswerParser {
    limits: HeadLimits,
    scanner: Scanner,
    /// Where the response begins, behind the interim ones.
    start: usize,
    interim: usize,
}

/// The head of a final response.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// It is of HTTP/1.0, which proxies still speak, and which cannot upgrade (RFC 9110, section 7.8).
    pub(crate) is_old: bool,
    pub(crate) status: u16,
    /// Bytes of all heads so far.
    pub(crate) head_len: usize,
    pub(crate) headers: Headers,
}

impl AnswerParser {
    pub(crate) fn new(limits: HeadLimits) -> Self {
        Self { limits, scanner: Scanner::new(limits), start: 0, interim: 0 }
    }

    /// Parses on in `received`, which begins with the first byte of the connection. `None`: more bytes are needed.
    pub(crate) fn advance(&mut self, received: &[u8]) -> Result<Option<Answer>, ClientError> {
        loop {
            let rest = &received[self.start..];
            let scanned = self.scanner.advance(rest, may_stand_in_line).map_err(|error| match error {
                HeadError::TooLarge | HeadError::LineTooLong => ClientError::HeadTooLarge,
                HeadError::Line | HeadError::Header => ClientError::Malformed,
            })?;
            let Some(length) = scanned else { return Ok(None) };
            let line = self.scanner.first_line().expect("the head has ended behind its first line");
            let headers = Headers::parse(&rest[..length], line.end + 2).map_err(|_| ClientError::Malformed)?;
            let line = &rest[line];
            let (status, is_old) = (status(line).ok_or(ClientError::Malformed)?, line[MINOR] == b'0');
            self.start += length;
            match status {
                // Interim responses are passed over (RFC 9110, section 15.2). 101 ends the exchange.
                100 | 102..=199 => {
                    self.interim += 1;
                    if self.interim > MAX_INTERIM {
                        return Err(ClientError::TooManyInterim);
                    }
                    // All of them together are one head's worth of bytes.
                    let head = self.limits.head.saturating_sub(self.start);
                    self.scanner = Scanner::new(HeadLimits { head, ..self.limits });
                }
                _ => return Ok(Some(Answer { is_old, status, head_len: self.start, headers })),
            }
        }
    }
}

/// Parses a proxy's response to CONNECT (RFC 9110, section 9.3.6), as it arrives.
#[derive(Debug)]
pub struct TunnelParser(AnswerParser);

impl TunnelParser {
    /// A parser for the response to a CONNECT that was just sent.
    pub fn new(limits: HeadLimits) -> Self {
        Self(AnswerParser::new(limits))
    }

    /// Parses on in `received`, which begins with the first byte of the connection. `None`: more bytes are needed.
    ///
    /// The tunnel begins behind the bytes of the head, whose number comes out. A status other than 2xx is
    /// [`ClientError::Refused`].
    pub fn advance(&mut self, received: &[u8]) -> Result<Option<usize>, ClientError> {
        let Some(Answer { status, head_len, headers, .. }) = self.0.advance(received)? else { return Ok(None) };
        match status {
            200..=299 => Ok(Some(head_len)),
            _ => Err(ClientError::Refused(Refusal { status, head_len, headers })),
        }
    }
}

/// The status of the line `HTTP/1.x nnn[ reason]`, whose beginning was looked at as it arrived.
fn status(line: &[u8]) -> Option<u16> {
    let (status, rest) = line.get(START.len()..)?.split_first_chunk::<3>()?;
    let follows = matches!(rest, [] | [b' ', ..]);
    let digits = status.iter().all(u8::is_ascii_digit) && status[0] != b'0';
    (follows && digits).then(|| status.iter().fold(0, |status, digit| status * 10 + u16::from(digit - b'0')))
}

/// A reason is text, of any encoding (RFC 9112, section 4).
fn may_stand_in_line(place: usize, byte: u8) -> bool {
    START.get(place).map_or(is_value_byte(byte), |expected| *expected == byte) || place == MINOR && byte == b'0'
}

const START: &[u8] = b"HTTP/1.1 ";
/// Where the minor version stands in it.
const MINOR: usize = 7;
const MAX_INTERIM: usize = 8;

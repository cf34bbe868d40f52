//! The head of an HTTP message (RFC 9112, sections 2 to 5): where it ends, and its header lines.

use std::fmt;
use std::ops::Range;

use super::token::{is_token_byte, trim};

/// The largest head that is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes of the whole head, with the empty line at its end. Default: 16 KiB.
    pub head: usize,
    /// Bytes of the first line, without its end. Default: 8 KiB.
    pub line: usize,
    /// Header lines. Default: 100.
    pub headers: usize,
}

impl Default for HeadLimits {
    fn default() -> Self {
        Self { head: 16 * 1024, line: 8 * 1024, headers: 100 }
    }
}

/// What is wrong with a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeadError {
    /// The first line has a byte, or an end, that it may not have.
    Line,
    LineTooLong,
    Header,
    TooLarge,
}

/// Looks for the end of a head, each byte once, however the bytes arrive.
#[derive(Debug)]
pub(crate) struct Scanner {
    limits: HeadLimits,
    /// Bytes that were looked at.
    examined: usize,
    /// Where the line begins that is being looked at.
    line: usize,
    /// Where the first line is, once it has ended.
    first: Option<Range<usize>>,
    headers: usize,
}

impl Scanner {
    pub(crate) fn new(limits: HeadLimits) -> Self {
        Self { limits, examined: 0, line: 0, first: None, headers: 0 }
    }

    pub(crate) fn examined(&self) -> usize {
        self.examined
    }

    /// Where the first line is, without its end, once it has one.
    pub(crate) fn first_line(&self) -> Option<Range<usize>> {
        self.first.clone()
    }

    /// Gives the length of the head, once it is in `received`, which begins with the first byte ever received.
    ///
    /// `allowed` tells which bytes may stand in the first line; one that may not is an error when it arrives. Whether a
    /// CR may stand at place 0 tells whether an empty line is passed over before it.
    pub(crate) fn advance(
        &mut self,
        received: &[u8],
        allowed: fn(usize, u8) -> bool,
    ) -> Result<Option<usize>, HeadError> {
        while let Some(byte) = received.get(self.examined) {
            if self.examined >= self.limits.head {
                return Err(HeadError::TooLarge);
            }
            let in_line = self.examined - self.line;
            self.examined += 1;
            if *byte == b'\n' {
                if !received[self.line..self.examined].ends_with(b"\r\n") {
                    return Err(if self.first.is_none() { HeadError::Line } else { HeadError::Header });
                }
                let line = self.line..self.examined - 2;
                self.line = self.examined;
                match &self.first {
                    // One empty line before the first is passed over, and no second one got here.
                    None if line == (0..0) => {}
                    None => self.first = Some(line),
                    Some(_) if line.is_empty() => return Ok(Some(self.examined)),
                    Some(_) => {
                        self.headers += 1;
                        if self.headers > self.limits.headers {
                            return Err(HeadError::TooLarge);
                        }
                    }
                }
            } else if in_line > 0 && received[self.examined - 2] == b'\r' {
                // A CR ends the line, or does not belong there.
                return Err(if self.first.is_none() { HeadError::Line } else { HeadError::Header });
            } else if self.first.is_none() {
                let fits = match *byte {
                    b'\r' if in_line == 0 => self.line == 0 && allowed(0, b'\r'),
                    b'\r' => true,
                    byte => allowed(in_line, byte),
                };
                if !fits {
                    return Err(HeadError::Line);
                }
                if in_line >= self.limits.line && *byte != b'\r' {
                    return Err(HeadError::LineTooLong);
                }
            }
        }
        Ok(None)
    }
}

/// The header lines of a head, as ranges of its bytes.
#[derive(Clone)]
pub(crate) struct Headers {
    head: Box<[u8]>,
    fields: Vec<(Range<u32>, Range<u32>)>,
}

impl Headers {
    /// Parses the lines of `head` from `start`, which is behind the first line's end.
    pub(crate) fn parse(head: &[u8], start: usize) -> Result<Self, HeadError> {
        let mut fields = Vec::with_capacity(16);
        let mut at = start;
        loop {
            let rest = &head[at..];
            // The scanner has found that every line ends with CR LF.
            let Some(end) = rest.iter().position(|byte| *byte == b'\n') else { return Err(HeadError::Header) };
            let Some(line) = rest[..end].strip_suffix(b"\r") else { return Err(HeadError::Header) };
            if line.is_empty() {
                break;
            }
            // A name is a token, directly followed by the colon: no folded lines, no space between (RFC 9112, section 5).
            let colon = line.iter().position(|byte| !is_token_byte(*byte)).ok_or(HeadError::Header)?;
            if colon == 0 || line[colon] != b':' {
                return Err(HeadError::Header);
            }
            let value = trim(&line[colon + 1..]);
            if !value.iter().copied().all(is_value_byte) {
                return Err(HeadError::Header);
            }
            let from = line[colon + 1..].iter().position(|byte| !matches!(byte, b' ' | b'\t')).unwrap_or(0);
            let from = at + colon + 1 + from;
            fields.push((range(at, colon), range(from, value.len())));
            at += end + 1;
        }
        Ok(Self { head: head.into(), fields })
    }

    /// Names and values in the order of the lines.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.fields.iter().map(|(name, value)| {
            let name = std::str::from_utf8(self.at(name)).expect("a token is ASCII");
            (name, self.at(value))
        })
    }

    /// The values of all lines of this name, in any case.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.fields
            .iter()
            .filter(|(field, _)| self.at(field).eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| self.at(value))
    }

    /// The value of the only line of this name; an error where there are several.
    pub(crate) fn single<'a>(&'a self, name: &'a str) -> Result<Option<&'a [u8]>, Several> {
        let mut values = self.all(name);
        let first = values.next();
        if values.next().is_some() { Err(Several) } else { Ok(first) }
    }

    /// Tells whether a list of this name has the token `token`, in any case.
    pub(crate) fn has_token(&self, name: &str, token: &str) -> bool {
        self.all(name).flat_map(super::token::elements).any(|element| element.eq_ignore_ascii_case(token.as_bytes()))
    }

    fn at(&self, range: &Range<u32>) -> &[u8] {
        &self.head[range.start as usize..range.end as usize]
    }
}

impl fmt::Debug for Headers {
    // Without values: passwords, cookies and keys are among them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|(name, _)| name)).finish()
    }
}

/// A header is there several times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Several;

fn range(start: usize, length: usize) -> Range<u32> {
    // A head is far below 4 GiB: the ranges of a larger one would be empty, not wrong.
    let place = |at: usize| u32::try_from(at).unwrap_or(0);
    place(start)..place(start + length).max(place(start))
}

/// Tells whether a byte may stand in a value (RFC 9110, section 5.5): no control character but the tab.
pub(crate) fn is_value_byte(byte: u8) -> bool {
    byte >= b' ' && byte != 0x7f || byte == b'\t'
}

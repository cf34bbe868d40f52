//! The body of a response (RFC 9112, sections 6 and 7): bytes in, what is kept of it out.

/// A body that is being received.
#[derive(Debug)]
pub(crate) struct Body {
    kept: Vec<u8>,
    rest: Rest,
}

/// What is still to come.
#[derive(Debug, PartialEq, Eq)]
enum Rest {
    /// So many bytes.
    Length(u64),
    /// All bytes until the stream ends.
    ToTheEnd,
    /// The line of a chunk's size, of which so much has come.
    Size(Vec<u8>),
    /// So many bytes of a chunk and the end of its line.
    Chunk(u64),
    /// Nothing.
    Nothing,
    /// What cannot be told, or is not kept.
    Lost,
}

impl Body {
    /// The body of a response with this status. `all` gives the values of a header.
    pub(crate) fn of(status: u16, all: impl Fn(&'static str) -> Vec<Vec<u8>>) -> Self {
        let rest = match (status, &all("Transfer-Encoding")[..], &all("Content-Length")[..]) {
            (100..=199 | 204 | 304, ..) => Rest::Nothing,
            (_, [], []) => Rest::ToTheEnd,
            (_, [], [length]) => decimal(length).map_or(Rest::ToTheEnd, Rest::Length),
            (_, [coding], _) if coding.eq_ignore_ascii_case(b"chunked") => Rest::Size(Vec::new()),
            // Which length is meant, or what the encoding is, is not to be known.
            _ => Rest::ToTheEnd,
        };
        Self { kept: Vec::new(), rest }
    }

    /// Takes what was received; `true`: nothing more is wanted.
    pub(crate) fn advance(&mut self, mut received: &[u8]) -> bool {
        loop {
            match &mut self.rest {
                Rest::Nothing | Rest::Lost => return true,
                Rest::Length(0) => self.rest = Rest::Nothing,
                _ if received.is_empty() => return false,
                Rest::Length(left) => {
                    let count = received.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= count as u64;
                    let (taken, rest) = received.split_at(count);
                    received = rest;
                    self.keep(taken);
                }
                Rest::ToTheEnd => {
                    self.keep(received);
                    received = &[];
                }
                Rest::Size(line) => {
                    let (byte, rest) = received.split_first().expect("it is not empty");
                    received = rest;
                    line.push(*byte);
                    if *byte == b'\n' {
                        self.rest = match chunk_size(line) {
                            Some(0) => Rest::Nothing,
                            Some(size) => Rest::Chunk(size.saturating_add(2)),
                            None => Rest::Lost,
                        };
                    } else if line.len() > SIZE_LINE {
                        self.rest = Rest::Lost;
                    }
                }
                Rest::Chunk(0) => self.rest = Rest::Size(Vec::new()),
                Rest::Chunk(left) => {
                    // Its last two bytes end its line.
                    let of_chunk = left.saturating_sub(2);
                    let count = received.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    let kept = count.min(usize::try_from(of_chunk).unwrap_or(usize::MAX));
                    *left -= count as u64;
                    let taken = &received[..kept];
                    received = &received[count..];
                    self.keep(taken);
                }
            }
        }
    }

    /// Takes notice that nothing more comes.
    pub(crate) fn end_of_stream(&mut self) {
        if self.rest == Rest::ToTheEnd {
            self.rest = Rest::Nothing;
        }
    }

    /// What is kept, and whether it is all.
    pub(crate) fn finish(self) -> (Vec<u8>, bool) {
        (self.kept, self.rest == Rest::Nothing)
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = LIMIT - self.kept.len();
        self.kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
        if bytes.len() > room {
            self.rest = Rest::Lost;
        }
    }
}

fn decimal(text: &[u8]) -> Option<u64> {
    let digits = text.iter().all(u8::is_ascii_digit) && !text.is_empty();
    // One that is too large for the type is more than is kept in any case.
    digits.then(|| std::str::from_utf8(text).ok()?.parse().ok().or(Some(u64::MAX))).flatten()
}

/// The size on a chunk's line, whose extensions are passed over (RFC 9112, section 7.1).
fn chunk_size(line: &[u8]) -> Option<u64> {
    let line = line.strip_suffix(b"\r\n")?;
    let digits = line.split(|byte| matches!(byte, b';' | b' ' | b'\t')).next()?;
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// So many bytes are kept.
const LIMIT: usize = 64 * 1024;
/// A line of a chunk's size is not longer.
const SIZE_LINE: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    /// The same, whole, in halves and byte by byte.
    #[track_caller]
    fn check(status: u16, headers: &[(&str, &str)], received: &[u8], kept: &[u8], whole: bool) {
        let all = |name: &'static str| {
            headers.iter().filter(|(it, _)| *it == name).map(|(_, value)| value.as_bytes().to_vec()).collect()
        };
        for size in [received.len().max(1), received.len() / 2 + 1, 1] {
            let mut body = Body::of(status, all);
            if !(body.advance(b"") || received.chunks(size).any(|segment| body.advance(segment))) {
                body.end_of_stream();
            }
            assert_eq!(body.finish(), (kept.to_vec(), whole), "in segments of {size}");
        }
    }

    const CHUNKED: &[(&str, &str)] = &[("Transfer-Encoding", "chunked")];

    #[test]
    fn a_body_ends_where_its_headers_say() {
        check(403, &[("Content-Length", "5")], b"Hello and more", b"Hello", true);
        check(403, &[("Content-Length", "0")], b"more", b"", true);
        check(403, &[("Content-Length", "6")], b"Hello", b"Hello", false);
        check(403, &[], b"Hello", b"Hello", true);
        check(304, &[("Content-Length", "5")], b"Hello", b"", true);
        check(403, CHUNKED, b"5\r\nHello\r\n0\r\n\r\nmore", b"Hello", true);
        check(403, CHUNKED, b"2;a=b\r\nHe\r\n003 \r\nllo\r\n00\r\n", b"Hello", true);
        // Transfer-Encoding overrides (RFC 9112, section 6.3).
        check(403, &[("Transfer-Encoding", "Chunked"), ("Content-Length", "1")], b"2\r\nHe\r\n0\r\n", b"He", true);
    }

    #[test]
    fn what_is_endless_or_absurd_is_cut() {
        // Hostile input 91.
        let much = vec![b'x'; LIMIT + 1];
        check(200, &[("Content-Length", "9223372036854775808")], b"Hello", b"Hello", false);
        check(200, &[("Content-Length", "99999999999999999999999")], b"Hello", b"Hello", false);
        check(200, &[("Content-Length", "9223372036854775808")], &much, &much[..LIMIT], false);
        check(200, &[], &much, &much[..LIMIT], false);
        check(200, &[], &much[..LIMIT], &much[..LIMIT], true);
        check(200, CHUNKED, b"10000000000000000\r\nHello", b"", false);
        check(200, CHUNKED, b"ffffffffffffffff\r\nHello", b"Hello", false);
        check(200, CHUNKED, &[&b"20000\r\n"[..], &much].concat(), &much[..LIMIT], false);
        check(200, CHUNKED, &b"1\r\nx\r\n".repeat(LIMIT + 1), &much[..LIMIT], false);
        check(200, CHUNKED, &[&b"1;"[..], &much].concat(), b"", false);
        for malformed in ["\r\n", "x\r\n", "-1\r\n", "+1\r\n", "1\n"] {
            check(200, CHUNKED, malformed.as_bytes(), b"", false);
        }
        check(200, &[("Content-Length", "-1")], b"Hello", b"Hello", true);
        check(200, &[("Content-Length", "1"), ("Content-Length", "2")], b"Hello", b"Hello", true);
    }
}

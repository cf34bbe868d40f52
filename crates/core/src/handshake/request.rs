//! The server's side: a client's request in, the verdict on it and the response that opens the connection out.

use std::fmt;
use std::ops::Range;

use super::error::AcceptError;
use super::head::{HeadError, HeadLimits, Headers, Scanner};
use super::token::{elements, is_token, is_token_byte};
use super::{
    Agreement, Extension, HandshakeError, Hosts, Origins, ResponseError, extension, host, key, response, target,
};
use crate::Deflate;

/// Parses the head of a request as it arrives, and looks at every byte of it a few times at most, however it is cut.
#[derive(Debug)]
pub struct RequestParser {
    scanner: Scanner,
    /// The first line was found to be in order.
    line: bool,
}

impl RequestParser {
    /// A parser for one request.
    pub fn new(limits: HeadLimits) -> Self {
        Self { scanner: Scanner::new(limits), line: false }
    }

    /// Parses on in `received`, which begins with the first byte of the connection. `None`: more bytes are needed.
    ///
    /// What cannot become a request any more is an error as soon as that shows.
    pub fn advance(&mut self, received: &[u8]) -> Result<Option<Request>, HandshakeError> {
        let scanned = self.scanner.advance(received, may_stand_in_line);
        if let Some(line) = self.scanner.first_line().filter(|_| !self.line) {
            RequestLine::parse(&received[line])?;
            self.line = true;
        }
        match scanned {
            Ok(None) => Ok(None),
            Ok(Some(length)) => {
                let line = self.scanner.first_line().expect("the head has ended behind its first line");
                Request::parse(&received[..length], line).map(Some)
            }
            // What has come behind the limit decides nothing: it may as well have come later.
            Err(HeadError::LineTooLong) if received[..self.scanner.examined()].contains(&b' ') => {
                Err(HandshakeError::TargetTooLong)
            }
            Err(HeadError::Line | HeadError::LineTooLong) => Err(HandshakeError::RequestLine),
            Err(HeadError::Header) => Err(HandshakeError::HeaderSyntax),
            Err(HeadError::TooLarge) => Err(HandshakeError::HeadTooLarge),
        }
    }

    /// Bytes that were looked at: never more than were received.
    pub fn examined(&self) -> usize {
        self.scanner.examined()
    }
}

/// A method, spaces, and what a target is made of. No fold, no other white space (RFC 9112, section 3). At the very
/// beginning an empty line is passed over (section 2.2).
fn may_stand_in_line(place: usize, byte: u8) -> bool {
    if place == 0 { is_token_byte(byte) || byte == b'\r' } else { byte.is_ascii_graphic() || byte == b' ' }
}

/// A request line whose method is GET and whose version is HTTP/1.
struct RequestLine<'a> {
    target: &'a [u8],
    minor_version: u8,
}

impl<'a> RequestLine<'a> {
    fn parse(line: &'a [u8]) -> Result<Self, HandshakeError> {
        let mut parts = line.split(|byte| *byte == b' ');
        let (Some(method), Some(target), Some(version), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(HandshakeError::RequestLine);
        };
        let minor_version = match version {
            [b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor @ b'0'..=b'9'] => minor - b'0',
            [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => return Err(HandshakeError::HttpVersion),
            _ => return Err(HandshakeError::RequestLine),
        };
        if !is_token(method) {
            return Err(HandshakeError::RequestLine);
        }
        if method != b"GET" {
            return Err(HandshakeError::Method);
        }
        Ok(Self { target, minor_version })
    }
}

/// A client's request: an opening handshake in order, or a plain GET that the application may answer.
#[derive(Clone)]
pub struct Request {
    headers: Headers,
    head_len: usize,
    target: Box<str>,
    host: Box<str>,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    WebSocket,
    /// Not an opening handshake, for this reason.
    Plain(HandshakeError),
}

/// How a request is accepted.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Accept<'a> {
    /// One of the subprotocols that the client has offered, or none.
    pub subprotocol: Option<&'a str>,
    /// permessage-deflate as the server wants it, where the client offers it so that it can be had. `None`: not.
    pub deflate: Option<Deflate>,
    /// Further headers of the response, as `Set-Cookie`.
    pub headers: &'a [(&'a str, &'a [u8])],
}

impl fmt::Debug for Request {
    // Without the query, in which a token may be.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.target.split('?').next();
        f.debug_struct("Request")
            .field("path", &path.unwrap_or_default())
            .field("host", &self.host)
            .field("kind", &self.kind)
            .field("headers", &self.headers)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Accept<'_> {
    // Without the values of headers, which set cookies.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("Accept").field("subprotocol", &self.subprotocol).field("headers", &names).finish()
    }
}

impl Request {
    fn parse(head: &[u8], line: Range<usize>) -> Result<Self, HandshakeError> {
        let start = line.end + 2;
        let line = RequestLine::parse(&head[line])?;
        let target = target::parse(line.target)?;
        let headers = Headers::parse(head, start).map_err(|_| HandshakeError::HeaderSyntax)?;

        // The host of an absolute-form counts, but Host is needed all the same (RFC 9112, section 3.2.2).
        let host = headers.single("Host").map_err(|_| HandshakeError::Host)?;
        let host = host.filter(|host| host::is_host(host)).and_then(|host| std::str::from_utf8(host).ok());
        let host = target.authority.or(host).filter(|_| host.is_some()).ok_or(HandshakeError::Host)?;

        // A body would be read as frames, or as a second request by somebody else.
        let length = headers.single("Content-Length").map_err(|_| HandshakeError::Duplicate)?;
        if headers.all("Transfer-Encoding").next().is_some() || length.is_some_and(|length| length != b"0") {
            return Err(HandshakeError::Body);
        }
        for name in ["Origin", "Sec-WebSocket-Key"] {
            headers.single(name).map_err(|_| HandshakeError::Duplicate)?;
        }
        let version = headers.single("Sec-WebSocket-Version").map_err(|_| HandshakeError::VersionList)?;

        let kind = if !headers.has_token("Upgrade", "websocket") {
            Kind::Plain(HandshakeError::NoUpgrade)
        } else if line.minor_version == 0 {
            Kind::Plain(HandshakeError::HttpTooOld)
        } else {
            check_handshake(&headers, version)?;
            Kind::WebSocket
        };
        let (target, host) = (target.path.into_owned().into_boxed_str(), host.into());
        Ok(Self { headers, head_len: head.len(), target, host, kind })
    }

    /// Bytes of the head. What follows is frames.
    pub fn head_len(&self) -> usize {
        self.head_len
    }

    /// The path and query, as the client sent them: not decoded, and always with a `/` at the beginning.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The host that the request is addressed to, with its port where it names one.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// All headers, in order. Values are trimmed, and any bytes but control characters.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.headers.iter()
    }

    /// The value of the first header of this name, in any case.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The page that the request comes from, as its browser says.
    pub fn origin(&self) -> Option<&[u8]> {
        self.header("Origin")
    }

    /// Tells whether the request is an opening handshake. Otherwise it cannot be accepted.
    pub fn is_websocket(&self) -> bool {
        self.kind == Kind::WebSocket
    }

    /// The subprotocols that the client offers, the one it likes best first.
    pub fn subprotocols(&self) -> impl Iterator<Item = &str> {
        let offered = self.headers.all("Sec-WebSocket-Protocol").flat_map(elements);
        offered.filter_map(|name| std::str::from_utf8(name).ok())
    }

    /// The first subprotocol of the client's that is one of `supported`.
    pub fn choose_subprotocol(&self, supported: &[&str]) -> Option<&str> {
        self.subprotocols().find(|name| supported.contains(name))
    }

    /// The extensions that the client offers, in order.
    pub fn extensions(&self) -> Vec<Extension<'_>> {
        self.headers.all("Sec-WebSocket-Extensions").filter_map(extension::parse).flatten().collect()
    }

    /// Checks the name under which the server is addressed, and for an opening handshake the page that it comes from.
    pub fn check(&self, origins: &Origins, hosts: &Hosts) -> Result<(), HandshakeError> {
        if !hosts.contains(&self.host) {
            return Err(HandshakeError::ForeignHost);
        }
        match self.origin() {
            Some(origin) if self.is_websocket() && !origins.allow(origin, &self.host) => Err(HandshakeError::Origin),
            _ => Ok(()),
        }
    }

    /// Makes the response that opens the connection (RFC 6455, section 4.2.2), and tells what it agrees on.
    pub fn accept(&self, accept: &Accept<'_>) -> Result<(Vec<u8>, Agreement), AcceptError> {
        if let Kind::Plain(error) = self.kind {
            return Err(AcceptError::Request(error));
        }
        if accept.subprotocol.is_some_and(|chosen| !self.subprotocols().any(|offered| offered == chosen)) {
            return Err(AcceptError::Answer(ResponseError::Subprotocol));
        }
        let key = self.header("Sec-WebSocket-Key").expect("checked when the request was parsed");
        let mut output = Vec::with_capacity(256);
        output.extend_from_slice(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n");
        response::append_header(&mut output, "Sec-WebSocket-Accept", key::accept_value(key).as_bytes());
        if let Some(subprotocol) = accept.subprotocol {
            response::append_header(&mut output, "Sec-WebSocket-Protocol", subprotocol.as_bytes());
        }
        let deflate = accept.deflate.and_then(|deflate| deflate.accept(&self.extensions())).map(|(agreed, value)| {
            response::append_header(&mut output, "Sec-WebSocket-Extensions", value.as_bytes());
            agreed
        });
        for (name, value) in accept.headers {
            response::check_handshake_header(name, value).map_err(AcceptError::Answer)?;
            response::append_header(&mut output, name, value);
        }
        output.extend_from_slice(b"\r\n");
        Ok((output, Agreement { subprotocol: accept.subprotocol.map(str::to_owned), deflate }))
    }
}

/// Checks what makes a request an opening handshake (RFC 6455, section 4.2.1).
fn check_handshake(headers: &Headers, version: Option<&[u8]>) -> Result<(), HandshakeError> {
    if !headers.has_token("Connection", "Upgrade") {
        return Err(HandshakeError::NoConnectionUpgrade);
    }
    match version {
        Some(b"13") => {}
        Some(list) if list.contains(&b',') => return Err(HandshakeError::VersionList),
        _ => return Err(HandshakeError::Version),
    }
    if !headers.all("Sec-WebSocket-Key").next().is_some_and(key::is_key) {
        return Err(HandshakeError::Key);
    }
    let mut subprotocols: Vec<&[u8]> = headers.all("Sec-WebSocket-Protocol").flat_map(elements).collect();
    if !subprotocols.iter().all(|name| is_token(name)) {
        return Err(HandshakeError::Subprotocol);
    }
    subprotocols.sort_unstable();
    if subprotocols.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(HandshakeError::Subprotocol);
    }
    if headers.all("Sec-WebSocket-Extensions").any(|value| extension::parse(value).is_none()) {
        return Err(HandshakeError::Extensions);
    }
    Ok(())
}

//! What can be wrong with an opening handshake, and with the answer to one.

use std::fmt;

use super::Response;

/// A rule that a client's opening handshake has broken, and the HTTP status that says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The request line is not `GET target HTTP/1.1` (RFC 9112, section 3): 400.
    RequestLine,
    /// The request target has no form that a GET may have, or a forbidden character (RFC 9112, section 3.2): 400.
    Target,
    /// The request line is longer than the limit: 414.
    TargetTooLong,
    /// The method is not GET (RFC 6455, section 4.2.1): 405.
    Method,
    /// The protocol is HTTP of another major version: 505.
    HttpVersion,
    /// HTTP/1.0 has no Upgrade (RFC 9110, section 7.8): 426.
    HttpTooOld,
    /// A line of the head does not have the form `name: value`, ended by CR LF (RFC 9112, section 5): 400.
    HeaderSyntax,
    /// The head is larger than the limit, or has more headers: 431.
    HeadTooLarge,
    /// There is no Host, more than one, or one that is none (RFC 9112, section 3.2): 400.
    Host,
    /// The request announces a body, which an opening handshake does not have: 400.
    Body,
    /// A header that stands for one value is there twice: 400.
    Duplicate,
    /// Upgrade does not name `websocket` (RFC 6455, section 4.2.1): 426.
    NoUpgrade,
    /// Connection does not name `Upgrade` (RFC 6455, section 4.2.1): 400.
    NoConnectionUpgrade,
    /// Sec-WebSocket-Key is not the base64 of 16 bytes (RFC 6455, section 4.2.1): 400.
    Key,
    /// Sec-WebSocket-Version is not 13 (RFC 6455, section 4.4): 426.
    Version,
    /// Sec-WebSocket-Version has several values (RFC 6455, section 11.3.5): 400.
    VersionList,
    /// A subprotocol is not a token, or is offered twice (RFC 6455, section 4.1): 400.
    Subprotocol,
    /// Sec-WebSocket-Extensions does not have the form of RFC 6455, section 9.1: 400.
    Extensions,
    /// The page may not connect (RFC 6455, section 10.2): 403.
    Origin,
    /// The server is not to be addressed under this name: 403.
    ForeignHost,
}

impl HandshakeError {
    /// The HTTP status of the answer.
    pub fn status(self) -> u16 {
        match self {
            Self::TargetTooLong => 414,
            Self::Method => 405,
            Self::HttpVersion => 505,
            Self::HeadTooLarge => 431,
            Self::HttpTooOld | Self::NoUpgrade | Self::Version => 426,
            Self::Origin | Self::ForeignHost => 403,
            _ => 400,
        }
    }

    /// The HTTP answer: short, of our own words only.
    pub fn response(self) -> Response {
        Response::error(self)
    }

    /// The HTTP answer to the request that `received` begins with, as far as it has come: one without a body to a HEAD.
    pub fn response_to(self, received: &[u8]) -> Response {
        // An empty line in front of it is passed over (RFC 9112, section 2.2).
        let request = received.strip_prefix(b"\r\n").unwrap_or(received);
        if request.starts_with(b"HEAD ") { self.response().without_body() } else { self.response() }
    }

    fn reason(self) -> &'static str {
        match self {
            Self::RequestLine => "the request line is malformed",
            Self::Target => "the request target is malformed",
            Self::TargetTooLong => "the request line is too long",
            Self::Method => "the method is not GET",
            Self::HttpVersion => "the HTTP version is not supported",
            Self::HttpTooOld => "the request is HTTP/1.0",
            Self::HeaderSyntax => "a header line is malformed",
            Self::HeadTooLarge => "the head is too large",
            Self::Host => "the host is missing or malformed",
            Self::Body => "the request has a body",
            Self::Duplicate => "a header is there twice",
            Self::NoUpgrade => "the request asks for no WebSocket",
            Self::NoConnectionUpgrade => "the connection header names no upgrade",
            Self::Key => "the key is missing or malformed",
            Self::Version => "the version is not 13",
            Self::VersionList => "the version has several values",
            Self::Subprotocol => "the subprotocols are malformed",
            Self::Extensions => "the extensions are malformed",
            Self::Origin => "the origin is not allowed",
            Self::ForeignHost => "the host is not allowed",
        }
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl std::error::Error for HandshakeError {}

/// An answer, or a client's offer, that the caller may not give. Nothing was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ResponseError {
    /// The status is not one of 200-599.
    Status,
    /// The name of a header is not a token.
    HeaderName,
    /// The value of a header has CR, LF, NUL or another control character in it.
    HeaderValue,
    /// The header is set by the handshake itself.
    ReservedHeader,
    /// The subprotocol was not offered, or is not a token.
    Subprotocol,
    /// The host or the target has a character that may not stand there.
    Target,
}

impl fmt::Display for ResponseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Status => "the status is not one of 200-599",
            Self::HeaderName => "the header name is not a token",
            Self::HeaderValue => "the header value has a control character in it",
            Self::ReservedHeader => "the header is set by the handshake itself",
            Self::Subprotocol => "the subprotocol was not offered",
            Self::Target => "the host or the target is malformed",
        })
    }
}

impl std::error::Error for ResponseError {}

/// Why a request could not be accepted: by whose fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AcceptError {
    /// The client's: the request is no opening handshake.
    Request(HandshakeError),
    /// The caller's: the answer to the client is 500.
    Answer(ResponseError),
}

impl AcceptError {
    /// The HTTP answer that the client gets instead.
    pub fn response(self) -> Response {
        match self {
            Self::Request(error) => error.response(),
            Self::Answer(_) => Response::refusal(500),
        }
    }
}

impl fmt::Display for AcceptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request(error) => error.fmt(f),
            Self::Answer(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for AcceptError {}

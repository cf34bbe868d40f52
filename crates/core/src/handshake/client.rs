//! The client's side: an offer out, the server's response in (RFC 6455, section 4.1).

use std::fmt;

use super::answer::{Answer, AnswerParser};
use super::head::{HeadLimits, Headers};
use super::response::{append_header, check_handshake_header, check_header};
use super::token::is_token;
use super::{Agreement, ResponseError, extension, host, key};
use crate::Deflate;

/// What a client asks for.
#[derive(Clone, Copy)]
pub struct Offer<'a> {
    /// The server's name or address, with its port where that is not the default.
    pub host: &'a str,
    /// Path and query, with a `/` at the beginning.
    pub target: &'a str,
    /// 16 random bytes, fresh for each offer.
    pub key: [u8; 16],
    /// The subprotocols that the client speaks, the one it likes best first.
    pub subprotocols: &'a [&'a str],
    /// permessage-deflate as the client wants it; `None`: not.
    pub deflate: Option<Deflate>,
    /// The page or program that asks, where the server wants to know.
    pub origin: Option<&'a str>,
    /// Further headers, as `Authorization`. The handshake's own cannot be set.
    pub headers: &'a [(&'a str, &'a [u8])],
}

impl<'a> Offer<'a> {
    /// The plainest offer.
    pub const fn new(host: &'a str, target: &'a str, key: [u8; 16]) -> Self {
        Self { host, target, key, subprotocols: &[], deflate: None, origin: None, headers: &[] }
    }

    /// The bytes of the request.
    pub fn encode(&self) -> Result<Vec<u8>, ResponseError> {
        let in_target = |byte: u8| byte.is_ascii_graphic() && byte != b'#';
        if !host::is_host(self.host.as_bytes()) || !self.target.starts_with('/') || !self.target.bytes().all(in_target)
        {
            return Err(ResponseError::Target);
        }
        let mut output = Vec::with_capacity(256);
        output.extend_from_slice(b"GET ");
        output.extend_from_slice(self.target.as_bytes());
        output.extend_from_slice(b" HTTP/1.1\r\n");
        append_header(&mut output, "Host", self.host.as_bytes());
        output.extend_from_slice(b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n");
        append_header(&mut output, "Sec-WebSocket-Key", key::encode(self.key).as_bytes());
        if !self.subprotocols.is_empty() {
            let unique = |(index, name): (usize, &&str)| !self.subprotocols[..index].contains(name);
            if !self.subprotocols.iter().enumerate().all(unique)
                || !self.subprotocols.iter().all(|name| is_token(name.as_bytes()))
            {
                return Err(ResponseError::Subprotocol);
            }
            append_header(&mut output, "Sec-WebSocket-Protocol", self.subprotocols.join(", ").as_bytes());
        }
        if let Some(deflate) = self.deflate {
            append_header(&mut output, "Sec-WebSocket-Extensions", deflate.offer().as_bytes());
        }
        if let Some(origin) = self.origin {
            check_header("Origin", origin.as_bytes())?;
            append_header(&mut output, "Origin", origin.as_bytes());
        }
        for (name, value) in self.headers {
            check_handshake_header(name, value)?;
            if ["Host", "Origin"].iter().any(|own| own.eq_ignore_ascii_case(name)) {
                return Err(ResponseError::ReservedHeader);
            }
            append_header(&mut output, name, value);
        }
        output.extend_from_slice(b"\r\n");
        Ok(output)
    }
}

impl fmt::Debug for Offer<'_> {
    // Without the key, the query and the values of headers: passwords, tokens and cookies are among them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.target.split('?').next().unwrap_or_default();
        f.debug_struct("Offer").field("host", &self.host).field("path", &path).finish_non_exhaustive()
    }
}

/// Parses the server's response to an [`Offer`] as it arrives.
#[derive(Debug)]
pub struct ResponseParser {
    parser: AnswerParser,
    accept: String,
    subprotocols: Vec<String>,
    deflate: Option<Deflate>,
    /// Of the response that has opened the connection.
    headers: Option<Headers>,
}

/// What is wrong with the server's response.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ClientError {
    /// The response is not HTTP/1.1, or is a refusal of neither that nor HTTP/1.0; or a line of it is malformed (RFC 9112).
    Malformed,
    /// The head is larger than the limit, or has more headers.
    HeadTooLarge,
    /// Eight interim responses were passed over, and another came.
    TooManyInterim,
    /// The server has answered with another status than 101.
    Refused(Refusal),
    /// Upgrade does not name `websocket`, or Connection does not name `Upgrade`.
    NoUpgrade,
    /// Sec-WebSocket-Accept does not answer the key.
    Accept,
    /// The subprotocol was not offered, or there are several.
    Subprotocol,
    /// An extension, or a parameter of one, that was not offered or breaks a rule.
    Extension,
}

/// A server's response that opens no connection. Its body, if it has one, follows the head.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The status.
    pub status: u16,
    /// Bytes of all heads so far: where the body begins.
    pub head_len: usize,
    pub(crate) headers: Headers,
}

impl Refusal {
    /// All headers, in order.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.headers.iter()
    }
}

impl ResponseParser {
    /// A parser for the response to `offer`.
    pub fn new(offer: &Offer<'_>, limits: HeadLimits) -> Self {
        Self {
            parser: AnswerParser::new(limits),
            accept: key::accept_value(key::encode(offer.key).as_bytes()),
            subprotocols: offer.subprotocols.iter().map(|name| (*name).to_owned()).collect(),
            deflate: offer.deflate,
            headers: None,
        }
    }

    /// Parses on in `received`, which begins with the first byte of the connection. `None`: more bytes are needed.
    ///
    /// With the agreement comes the length of the head in bytes: what follows is frames.
    pub fn advance(&mut self, received: &[u8]) -> Result<Option<(Agreement, usize)>, ClientError> {
        let Some(Answer { is_old, status, head_len, headers }) = self.parser.advance(received)? else {
            return Ok(None);
        };
        match status {
            101 if is_old => Err(ClientError::Malformed),
            101 => {
                let agreement = self.agreement(&headers)?;
                self.headers = Some(headers);
                Ok(Some((agreement, head_len)))
            }
            _ => Err(ClientError::Refused(Refusal { status, head_len, headers })),
        }
    }

    /// All headers of the response, in order, once it has opened the connection; none before.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.headers.iter().flat_map(Headers::iter)
    }

    fn agreement(&self, headers: &Headers) -> Result<Agreement, ClientError> {
        if !headers.has_token("Upgrade", "websocket") || !headers.has_token("Connection", "Upgrade") {
            return Err(ClientError::NoUpgrade);
        }
        let accept = headers.single("Sec-WebSocket-Accept").map_err(|_| ClientError::Accept)?;
        if accept != Some(self.accept.as_bytes()) {
            return Err(ClientError::Accept);
        }
        let deflate = self.deflate(headers)?;
        let subprotocol = match headers.single("Sec-WebSocket-Protocol").map_err(|_| ClientError::Subprotocol)? {
            None => None,
            Some(chosen) => {
                let offered = self.subprotocols.iter().find(|name| name.as_bytes() == chosen);
                Some(offered.ok_or(ClientError::Subprotocol)?.clone())
            }
        };
        Ok(Agreement { subprotocol, deflate })
    }

    fn deflate(&self, headers: &Headers) -> Result<Option<Deflate>, ClientError> {
        let mut accepted = Vec::new();
        for value in headers.all("Sec-WebSocket-Extensions") {
            accepted.extend(extension::parse(value).ok_or(ClientError::Extension)?);
        }
        if accepted.is_empty() {
            return Ok(None);
        }
        let agreed = self.deflate.and_then(|offer| offer.confirm(&accepted));
        agreed.map(Some).ok_or(ClientError::Extension)
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("the response is malformed"),
            Self::HeadTooLarge => f.write_str("the head of the response is too large"),
            Self::TooManyInterim => f.write_str("there are too many interim responses"),
            Self::Refused(refusal) => write!(f, "the server has answered with status {}", refusal.status),
            Self::NoUpgrade => f.write_str("the response upgrades to no WebSocket"),
            Self::Accept => f.write_str("the response does not answer the key"),
            Self::Subprotocol => f.write_str("the response has a subprotocol that was not offered"),
            Self::Extension => f.write_str("the response has an extension that was not offered"),
        }
    }
}

impl std::error::Error for ClientError {}

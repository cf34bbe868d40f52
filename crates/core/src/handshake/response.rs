//! HTTP answers (RFC 9112): to refused opening handshakes, and to requests that ask for a page.

use std::fmt;

use super::head::is_value_byte;
use super::token::is_token;
use super::{HandshakeError, ResponseError};

/// An HTTP answer, after which the connection is closed.
///
/// ```
/// use raddle_core::handshake::Response;
///
/// let page = Response::new(200)?.header("Content-Type", "text/plain")?.body("Hello");
/// assert_eq!(
///     page.encode(),
///     b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\nContent-Length: 5\r\n\r\nHello"
/// );
/// # Ok::<(), raddle_core::handshake::ResponseError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Response {
    status: u16,
    headers: Vec<(String, Vec<u8>)>,
    /// The options of the Connection header beside `close`.
    upgrade: bool,
    body: Vec<u8>,
    /// It answers a HEAD, and ends with its head.
    head_only: bool,
}

impl Response {
    /// An answer of a status from 200 to 599, without a body.
    pub fn new(status: u16) -> Result<Self, ResponseError> {
        if !(200..=599).contains(&status) {
            return Err(ResponseError::Status);
        }
        Ok(Self { status, headers: Vec::new(), upgrade: false, body: Vec::new(), head_only: false })
    }

    /// Adds a header. Connection, Content-Length and Transfer-Encoding are set by the answer itself.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Result<Self, ResponseError> {
        check_header(name, value.as_ref())?;
        if ["Connection", "Content-Length", "Transfer-Encoding"].iter().any(|own| own.eq_ignore_ascii_case(name)) {
            return Err(ResponseError::ReservedHeader);
        }
        self.headers.push((name.to_owned(), value.as_ref().to_owned()));
        Ok(self)
    }

    /// Sets the body.
    pub fn body(self, body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), ..self }
    }

    /// A short answer in our own words. A status that [`new`](Self::new) does not take becomes 500.
    pub fn refusal(status: u16) -> Self {
        let status = if (200..=599).contains(&status) { status } else { 500 };
        let text = format!("{status} {}\n", reason(status));
        let headers = vec![("Content-Type".to_owned(), b"text/plain; charset=utf-8".to_vec())];
        Self { status, headers, upgrade: false, body: text.into_bytes(), head_only: false }
    }

    /// The answer that an error deserves, with the headers that tell the client what would do.
    pub(crate) fn error(error: HandshakeError) -> Self {
        let mut response = Self::refusal(error.status());
        let mut add = |name: &str, value: &str| response.headers.push((name.to_owned(), value.as_bytes().to_vec()));
        match error.status() {
            405 => add("Allow", "GET"),
            426 => {
                add("Upgrade", "websocket");
                add("Sec-WebSocket-Version", "13");
                response.upgrade = true;
            }
            _ => {}
        }
        response
    }

    /// The answer to a HEAD, which has no body (RFC 9110, section 9.3.2).
    pub(crate) fn without_body(self) -> Self {
        Self { head_only: true, ..self }
    }

    /// The status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The bytes of the answer.
    pub fn encode(&self) -> Vec<u8> {
        let mut output = format!("HTTP/1.1 {} {}\r\n", self.status, reason(self.status)).into_bytes();
        for (name, value) in &self.headers {
            append_header(&mut output, name, value);
        }
        append_header(&mut output, "Connection", if self.upgrade { b"Upgrade, close" } else { b"close" });
        // These have no body (RFC 9110, section 6.4.1).
        if self.head_only || matches!(self.status, 204 | 304) {
            output.extend_from_slice(b"\r\n");
            return output;
        }
        append_header(&mut output, "Content-Length", self.body.len().to_string().as_bytes());
        output.extend_from_slice(b"\r\n");
        output.extend_from_slice(&self.body);
        output
    }
}

impl fmt::Debug for Response {
    // Without the values of headers, which set cookies, and without the body.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("Response").field("status", &self.status).field("headers", &names).finish_non_exhaustive()
    }
}

pub(crate) fn append_header(output: &mut Vec<u8>, name: &str, value: &[u8]) {
    output.extend_from_slice(name.as_bytes());
    output.extend_from_slice(b": ");
    output.extend_from_slice(value);
    output.extend_from_slice(b"\r\n");
}

/// Checks a header that the application adds: nothing in it may end the line or the head.
pub(crate) fn check_header(name: &str, value: &[u8]) -> Result<(), ResponseError> {
    if !is_token(name.as_bytes()) {
        Err(ResponseError::HeaderName)
    } else if !value.iter().copied().all(is_value_byte) {
        Err(ResponseError::HeaderValue)
    } else {
        Ok(())
    }
}

/// Checks a header that the application adds to the opening handshake, whose own it may not set.
pub(crate) fn check_handshake_header(name: &str, value: &[u8]) -> Result<(), ResponseError> {
    check_header(name, value)?;
    let is_own = ["Upgrade", "Connection", "Content-Length", "Transfer-Encoding"]
        .iter()
        .any(|own| own.eq_ignore_ascii_case(name));
    let is_ours = name.get(..SEC_WEBSOCKET.len()).is_some_and(|start| start.eq_ignore_ascii_case(SEC_WEBSOCKET));
    if is_own || is_ours { Err(ResponseError::ReservedHeader) } else { Ok(()) }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        414 => "URI Too Long",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "Unassigned",
    }
}

const SEC_WEBSOCKET: &str = "Sec-WebSocket-";

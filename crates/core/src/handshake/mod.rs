//! The opening handshake (RFC 6455, section 4): bytes in, a verdict out, for both sides.
//!
//! A server gives what it receives to a [`RequestParser`], asks the [`Request`] that comes out whether the page and the
//! host are [allowed](Request::check), and [accepts](Request::accept) it. Whatever is wrong is a [`HandshakeError`], which
//! knows the HTTP answer that it deserves. A client makes an [`Offer`], and gives what it receives to a [`ResponseParser`].
//!
//! Lines end with CR LF and nothing else, names are tokens, and what HTTP once tolerated is refused: request smuggling lives
//! on differences in tolerance.
//!
//! ```
//! use raddle_core::handshake::{Accept, HeadLimits, RequestParser};
//!
//! // From RFC 6455, section 1.2.
//! let received = b"GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
//!     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: chat, superchat\r\n\
//!     Sec-WebSocket-Version: 13\r\n\r\n";
//! let request = RequestParser::new(HeadLimits::default()).advance(received)?.expect("whole");
//! let (response, agreement) = request.accept(&Accept { subprotocol: Some("chat"), ..Accept::default() }).expect("valid");
//! assert!(response.ends_with(b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chat\r\n\r\n"));
//! assert_eq!(agreement.subprotocol.as_deref(), Some("chat"));
//! # Ok::<(), raddle_core::handshake::HandshakeError>(())
//! ```

mod answer;
mod client;
#[cfg(feature = "deflate")]
mod deflate;
mod error;
mod extension;
mod head;
mod host;
mod key;
mod origin;
mod request;
mod response;
mod target;
mod token;

pub use answer::TunnelParser;
pub use client::{ClientError, Offer, Refusal, ResponseParser};
pub use error::{AcceptError, HandshakeError, ResponseError};
pub use extension::Extension;
pub use head::HeadLimits;
pub use host::Hosts;
pub use key::accept_value;
pub use origin::Origins;
pub use request::{Accept, Request, RequestParser};
pub use response::Response;
pub use token::is_subprotocol;

use crate::Deflate;

/// What both sides have agreed on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Agreement {
    /// The subprotocol, if one was chosen (RFC 6455, section 1.9).
    pub subprotocol: Option<String>,
    /// permessage-deflate, if it was agreed on (RFC 7692): for both halves of the connection.
    pub deflate: Option<Deflate>,
}

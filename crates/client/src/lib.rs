//! A WebSocket client (RFC 6455) for plain blocking, threaded code: a URL in, an open connection out.
//!
//! [`connect`] is enough for most; a [`Client`] knows subprotocols, headers, credentials, proxies, Unix sockets, redirects and
//! limits, and a [`Reconnect`] connects again when a connection has ended. What comes out is a [`Connection`], which splits
//! into a reader and writers for as many threads as there are.
//!
//! ```no_run
//! let mut connection = raddle_client::connect("ws://127.0.0.1:9001/")?;
//! connection.send("Hello")?;
//! println!("{:?}", connection.next_message()?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A connection is looked after while its owner is away: Pings are answered, deadlines are kept. One absolute deadline holds
//! for all of an attempt, looking the name up included; a server that sends a byte now and then does not put it off.

#![forbid(unsafe_code)]

mod answer;
mod backoff;
mod body;
mod client;
mod connect;
mod credentials;
mod dial;
mod error;
mod exchange;
mod proxy;
mod reconnect;
mod redirect;
mod resolve;
#[cfg(feature = "tls")]
mod roots;
mod sys;
#[cfg(feature = "tls")]
mod tls;
#[cfg(feature = "tls")]
mod tls_error;
mod until;
mod url;
#[cfg(feature = "tls")]
mod verifier;

pub use answer::Answer;
pub use backoff::Backoff;
pub use client::Client;
pub use error::{ConnectError, ProxyError, RedirectError, Stage};
pub use proxy::Proxy;
pub use raddle_core::handshake::{ClientError, HeadLimits, ResponseError};
pub use raddle_socket::{Connection, Message};
pub use reconnect::{Reconnect, Setback, Stopper};
#[cfg(feature = "tls")]
pub use tls::ClientTls;
#[cfg(feature = "tls")]
pub use tls_error::TlsError;
pub use url::{Url, UrlError};

/// Connects to the server of `url` with the defaults of a [`Client`], and carries out the opening handshake.
pub fn connect(url: &str) -> Result<Connection, ConnectError> {
    Client::new().connect(url)
}

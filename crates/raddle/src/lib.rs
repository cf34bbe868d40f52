//! WebSocket (RFC 6455) for plain blocking, threaded code.
//!
//! Handlers block as they like, any thread sends, and there is no event loop to learn:
//!
//! ```no_run
//! raddle::Server::builder().bind("127.0.0.1:9001")?.serve(|mut reader, writer| {
//!     while let Some(message) = reader.next_message()? {
//!         writer.send(message)?;
//!     }
//!     Ok(())
//! })?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! The other side is as short:
//!
//! ```no_run
//! let mut connection = raddle::connect("ws://127.0.0.1:9001/")?;
//! connection.send("Hello")?;
//! println!("{:?}", connection.next_message()?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! This crate gathers the others: the protocol without I/O ([`core`]), a connection over any stream ([`Connection`]), the
//! client and the server (features `client` and `server`, on by default).

#[cfg(feature = "client")]
pub use raddle_client::{
    Answer, Backoff, Client, ClientError, ConnectError, Proxy, ProxyError, Reconnect, RedirectError, Setback, Stage,
    Stopper, Url, UrlError, connect,
};
#[cfg(all(feature = "client", feature = "tls"))]
pub use raddle_client::{ClientTls, TlsError};
pub use raddle_core as core;
pub use raddle_core::handshake::{HeadLimits, ResponseError};
#[cfg(feature = "server")]
pub use raddle_server::{
    Acceptance, AddressSource, Backplane, Builder, ConnectionId, DecisionError, Delivered, Event, EventLoop, Handler,
    HandlerError, Hosts, IdentityPolicy, Metrics, Origins, Phase, Refusal, Request, Response, Running, Server,
    Snapshot, Surplus, TooManyTopics, TrustedProxy, TrustedProxyError, Waker,
};
#[cfg(all(feature = "server", feature = "tls"))]
pub use raddle_server::{ClientCertificate, ClientCertificates, ServerTls, ServerTlsBuilder};
pub use raddle_socket::{
    Agreed, Attachment, Budget, Cause, Close, CloseCode, Connection, Deflate, End, Error, Info, Interest, Limits,
    Message, MessageWriter, Next, NextPart, OnEnd, Opening, Options, Part, Patience, Ping, Pong, Progress, Reader,
    Readiness, Role, SendError, SendStatus, Socket, State, Traffic, Transport, Unanswered, WeakWriter, WhenFull,
    Writer,
};
#[cfg(feature = "tls")]
pub use raddle_socket::{Handshake, TlsStream, rustls};

//! A WebSocket server (RFC 6455) for blocking, threaded code: listens, admits, and runs a handler on a thread for each
//! open connection.
//!
//! ```no_run
//! use raddle_server::Server;
//!
//! Server::builder().bind("127.0.0.1:9001")?.serve(|mut reader, writer| {
//!     while let Some(message) = reader.next_message()? {
//!         writer.send(message)?;
//!     }
//!     Ok(())
//! })?;
//! # Ok::<(), std::io::Error>(())
//! ```

#![deny(unsafe_code)]

mod admission;
mod apart;
mod berths;
mod builder;
#[cfg(feature = "tls")]
mod certificate;
mod departure;
mod desk;
mod engine;
mod event_loop;
mod farewell;
mod guest;
mod home;
mod identity;
mod journal;
mod listener;
mod lobby;
mod memory;
mod metrics;
#[cfg(not(feature = "tls"))]
mod no_tls;
mod pool;
mod proxy;
mod proxy_protocol;
mod record;
mod registry;
mod request;
mod server;
mod shared;
mod stream;
mod threads;
#[cfg(feature = "tls")]
mod tls;
mod topics;

pub use builder::Builder;
#[cfg(feature = "tls")]
pub use certificate::ClientCertificate;
#[doc(hidden)]
pub use event_loop::Plain;
pub use event_loop::{Event, EventLoop, Waker};
pub use identity::{IdentityPolicy, Surplus};
pub use metrics::{Metrics, Refusal};
pub use pool::Handler;
pub use proxy::{AddressSource, TrustedProxy, TrustedProxyError};
pub use raddle_core::handshake::{HeadLimits, Hosts, Origins, Response, ResponseError};
pub use raddle_socket::{
    Agreed, Attachment, Budget, Cause, Close, CloseCode, Connection, Deflate, End, Error, Info, Limits, Message,
    MessageWriter, Next, Options, Part, Progress, Reader, SendError, SendStatus, Traffic, Unanswered, WhenFull, Writer,
};
pub use registry::{ConnectionId, Phase, Snapshot};
pub use request::{Acceptance, DecisionError, Request};
pub use server::{Running, Server};
pub use threads::HandlerError;
#[cfg(feature = "tls")]
pub use tls::{ClientCertificates, ServerTls, ServerTlsBuilder};
pub use topics::{Backplane, Delivered, TooManyTopics};

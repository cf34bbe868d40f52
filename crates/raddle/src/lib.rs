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
//! This crate gathers the others: the protocol without I/O ([`core`]), a connection over any stream ([`Connection`]), and
//! the server (feature `server`, on by default).

pub use raddle_core as core;
#[cfg(feature = "server")]
pub use raddle_server::{
    Acceptance, AddressSource, Backplane, Builder, ConnectionId, DecisionError, Delivered, Handler, HandlerError,
    HeadLimits, Hosts, IdentityPolicy, Metrics, Origins, Phase, Refusal, Request, Response, ResponseError, Running,
    Server, Snapshot, Surplus, TrustedProxy, TrustedProxyError,
};
pub use raddle_socket::{
    Cause, Close, CloseCode, Connection, End, Error, Info, Interest, Limits, Message, MessageWriter, Next, OnEnd,
    Opening, Options, Part, Patience, Progress, Reader, Readiness, Role, SendError, SendStatus, Socket, State, Traffic,
    Transport, WeakWriter, WhenFull, Writer,
};

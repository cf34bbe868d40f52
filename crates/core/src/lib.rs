//! The WebSocket protocol (RFC 6455) without I/O: bytes in, events out; messages in, bytes out.
//!
//! The crate reads no socket, no clock and no random number, starts no thread and never blocks. A driver brings those:
//! it feeds received bytes to a [`Receiver`], hands every event to the application and to the [`Sender`], and writes
//! the sender's output. That is the whole coupling between the two halves, and the one rule of the crate:
//!
//! * every event goes to [`Sender::react`], which answers Ping with Pong and Close with Close;
//! * every error goes to [`Sender::fail`], which sends a Close with the error's code.
//!
//! ```
//! use raddle_core::{Event, Limits, Message, Receiver, Role, Sender};
//!
//! let mut receiver = Receiver::new(Role::Server, Limits::default());
//! let mut sender = Sender::server();
//!
//! // A masked text message, "Hello", from RFC 6455, section 5.7.
//! let received = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
//! receiver.space()[..received.len()].copy_from_slice(received);
//! receiver.filled(received.len());
//!
//! while receiver.advance()? {
//!     let event = receiver.event().expect("advance() has returned true");
//!     sender.react(&event);
//!     if let Event::Text(text) = event {
//!         sender.send(Message::Text(text)).expect("no Close was sent");
//!     }
//! }
//! assert_eq!(sender.output(), b"\x81\x05Hello");
//! # Ok::<(), raddle_core::Error>(())
//! ```
//!
//! The opening handshake comes before either half: [`handshake`] turns the bytes of an HTTP head into a verdict.

#![deny(unsafe_code)]

mod buffer;
mod close;
#[cfg(feature = "deflate")]
pub mod deflate;
#[cfg(not(feature = "deflate"))]
#[path = "deflate/absent.rs"]
pub mod deflate;
mod error;
mod event;
mod frame;
pub mod handshake;
mod keepalive;
mod limits;
pub mod mask;
mod received;
mod receiver;
mod sender;
mod short;
pub mod utf8;

pub use close::{Close, CloseCode};
pub use deflate::Deflate;
pub use error::{Error, SendError};
pub use event::{Data, Event, Message, Progress};
pub use frame::{Header, OpCode, Role, Rsv1};
pub use keepalive::{Due, Keepalive};
pub use limits::Limits;
pub use received::Received;
pub use receiver::Receiver;
pub use sender::{MaskingKeys, Memory, Sender};

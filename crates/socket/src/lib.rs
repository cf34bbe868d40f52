//! A WebSocket (RFC 6455) over one blocking stream, for plain threaded code.
//!
//! A [`Connection`] splits into a [`Reader`], which one thread has, and a [`Writer`], which any number of threads have.
//! Sending needs no reader, reading needs no writer, and neither waits for the other: Pings are answered, deadlines are
//! kept and queued output leaves without the application's help.
//!
//! # Processes
//! That help comes from a thread, which a child process that `fork` makes does not have. The child makes no connections: that is an
//! error of kind [`Unsupported`](std::io::ErrorKind::Unsupported). Of those that it has from its parent, it may send on one that no thread was using
//! when it was forked: a [`send`](Writer::send) that has to wait for room does so, and what a [`try_send`](Writer::try_send) leaves behind leaves with the
//! next send. It keeps no deadline but that of a send, answers nothing unless it reads, and to drop a connection there closes the
//! descriptor and nothing else.

#![deny(unsafe_code)]

mod ahead;
mod arriving;
mod aside;
mod attendant;
mod baton;
mod bell;
mod budget;
mod compression;
mod connection;
mod cork;
mod counters;
mod driven;
mod drives;
mod end;
mod flags;
mod fragments;
mod info;
mod keys;
mod lease;
mod link;
mod options;
mod outgoing;
mod outputs;
mod pages;
mod pause;
mod pinging;
mod publication;
mod reader;
mod receiving;
#[cfg(feature = "tls")]
mod records;
mod seat;
mod shield;
mod spares;
mod stream;
mod sys;
mod telling;
mod timers;
#[cfg(feature = "tls")]
mod tls;
#[cfg(feature = "tls")]
mod tls_state;
mod transport;
mod turn;
mod unanswered;
mod watch;
mod winding_up;
mod writer;

#[doc(hidden)]
pub use attendant::prepare;
pub use budget::Budget;
pub use connection::{Attachment, Connection, OnEnd, Opening};
#[doc(hidden)]
pub use driven::{Arrived, Driven, Driver, Turn};
#[doc(hidden)]
pub use drives::{drive_for, drive_on_this_thread};
pub use end::{Cause, End, SendError, SendStatus};
pub use info::{Agreed, Info};
pub use keys::RandomKeys;
pub use link::State;
pub use options::{Options, WhenFull};
pub use pinging::{Ping, Pong};
#[doc(hidden)]
pub use publication::{Delivery, Publication};
pub use raddle_core::{Close, CloseCode, Deflate, Error, Limits, Message, Progress, Role};
pub use reader::{Next, NextPart, Part, Reader};
#[cfg(feature = "tls")]
pub use rustls;
#[doc(hidden)]
pub use seat::MOST_LENT;
#[doc(hidden)]
pub use shield::{bury, message as panic_message};
#[doc(hidden)]
pub use spares::{drop_large_spares, has_large_spares, keep_input};
#[doc(hidden)]
pub use sys::spawn;
#[cfg(feature = "tls")]
pub use tls::{Handshake, TlsStream};
pub use transport::{Interest, Patience, Readiness, Socket, Transport};
#[doc(hidden)]
pub use unanswered::Unanswered;
pub use watch::{Event, Events, Mode, Watch};
pub use writer::{MessageWriter, Traffic, WeakWriter, Writer};

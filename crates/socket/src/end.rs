//! Why a connection has ended, and why a send has failed.

use std::fmt;
use std::io;
use std::time::Duration;

use raddle_core::{CloseCode, Error};

/// How a connection has ended: the cause, and what was said with it. The first cause is the one that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// What has ended it.
    pub cause: Cause,
    /// The peer's Close: its code ([`CloseCode::NO_STATUS`] where it had none) and reason.
    pub received: Option<(CloseCode, String)>,
    /// The code of our Close, if one was sent.
    pub sent: Option<CloseCode>,
    /// The time since the last byte was received.
    pub silent_for: Duration,
}

/// What has ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// The peer has begun the closing handshake.
    PeerClose,
    /// This side has begun the closing handshake.
    LocalClose,
    /// The server was stopped.
    Shutdown,
    /// Another connection of the same client has taken its place.
    Replaced,
    /// The peer has broken a rule of the protocol, or a limit: its rule.
    Failed(Error),
    /// The peer has answered no Ping and sent nothing else.
    KeepaliveTimeout,
    /// A message was not received in its time.
    MessageTimeout,
    /// The peer has not taken what was sent in its time.
    WriteTimeout,
    /// The outgoing limit was reached, and the options say that this ends the connection.
    OutgoingFull,
    /// The connections had more buffered than their [budget](crate::Budget) allows, and this one the most of all.
    OverBudget,
    /// The handler has panicked or failed.
    HandlerFailed,
    /// The peer has ended the stream without a Close.
    EndOfStream,
    /// Reading or writing has failed.
    Io(io::ErrorKind),
    /// All handles were dropped.
    Dropped,
}

impl End {
    /// The close code as an application sees it: the peer's, else 1006 (RFC 6455, section 7.1.5).
    pub fn code(&self) -> CloseCode {
        self.received.as_ref().map_or(CloseCode::ABNORMAL, |(code, _)| *code)
    }

    /// Tells whether the closing handshake was carried out (RFC 6455, section 7.1.4).
    pub fn is_clean(&self) -> bool {
        self.received.is_some() && self.sent.is_some()
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cause.fmt(f)?;
        if let Some((code, reason)) = &self.received {
            write!(f, ", received {code}")?;
            if !reason.is_empty() {
                // Escaped: the text is the peer's.
                write!(f, " {reason:?}")?;
            }
        }
        if let Some(code) = self.sent {
            write!(f, ", sent {code}")?;
        }
        Ok(())
    }
}

impl std::error::Error for End {}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PeerClose => "closed by the peer",
            Self::LocalClose => "closed",
            Self::Shutdown => "the server was stopped",
            Self::Replaced => "replaced by another connection of the same client",
            Self::Failed(error) => return write!(f, "failed: {error}"),
            Self::KeepaliveTimeout => "ping timeout",
            Self::MessageTimeout => "a message did not arrive in time",
            Self::WriteTimeout => "the peer did not take a message in time",
            Self::OutgoingFull => "the outgoing limit was reached",
            Self::OverBudget => "too much was buffered on all connections, and the most on this one",
            Self::HandlerFailed => "the handler failed",
            Self::EndOfStream => "the stream ended without a Close",
            Self::Io(kind) => return write!(f, "input or output failed: {kind}"),
            Self::Dropped => "dropped",
        })
    }
}

/// A send that was not carried out. Nothing of the message was sent, but for [`Timeout`](Self::Timeout) and a
/// [`Closed`](Self::Closed) that comes amid a message, which leave it cut and the connection closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// The connection has ended, or a Close was sent.
    Closed,
    /// The outgoing limit is reached, or another thread is amid a message, or compresses: this call does not wait.
    Full,
    /// The peer did not take the message in its time. The connection has ended.
    Timeout,
    /// The call breaks a rule of the protocol.
    Invalid(raddle_core::SendError),
}

impl From<raddle_core::SendError> for SendError {
    fn from(error: raddle_core::SendError) -> Self {
        match error {
            raddle_core::SendError::Closed => Self::Closed,
            error => Self::Invalid(error),
        }
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the connection is closed"),
            Self::Full => f.write_str("the outgoing limit is reached"),
            Self::Timeout => f.write_str("the peer did not take the message in time"),
            Self::Invalid(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for SendError {}

/// What has become of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendStatus {
    /// The operating system has taken it.
    Sent,
    /// It waits, behind others or to leave together with them, and leaves without further calls.
    Queued,
}

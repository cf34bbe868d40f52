//! What a connection allows itself and its peer.

use std::sync::Arc;
use std::time::Duration;

use raddle_core::Limits;

use crate::budget::Budget;

/// The limits and time-outs of a connection. The defaults suit a server on the open Internet.
///
/// A time of less than a millisecond is taken as one millisecond. [`Duration::MAX`] means no limit.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// The largest frames and messages that are received. Default: 1 MiB, 16,384 fragments.
    pub limits: Limits,
    /// A Ping is sent after this silence of the peer; `None`: never. Default: 20 s.
    pub ping_interval: Option<Duration>,
    /// The connection ends when nothing was received for this time after a Ping. Default: 20 s.
    pub ping_timeout: Duration,
    /// The closing handshake may take this time. Default: 5 s.
    pub close_timeout: Duration,
    /// Writing a message may take this time, plus its size at [`min_rate`](Self::min_rate). Default: 30 s.
    pub write_timeout: Duration,
    /// Receiving a message may take this time from its first byte, plus its size at `min_rate`. Default: 60 s.
    pub message_timeout: Duration,
    /// The slowest peer that is served, in bytes per second. Default: 16 KiB/s.
    pub min_rate: u64,
    /// While more than so many bytes wait to be written, [`when_full`](Self::when_full) decides. Default: 1 MiB.
    pub outgoing_limit: usize,
    /// What a send does when the outgoing limit is reached. Default: it blocks.
    pub when_full: WhenFull,
    /// Larger messages are sent in fragments of this size in bytes, so that control frames can pass between them.
    /// Default: 1 MiB.
    pub fragment_size: usize,
    /// What is buffered counts in this budget, with what other connections have that share it. Default: in none; a server
    /// has one for its connections.
    pub budget: Option<Budget>,
}

/// What [`Writer::send`](crate::Writer::send) does when the peer does not take what was sent before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// Waits, at most until the write deadline; behind a message that another thread sends fragment by fragment, until that is
    /// finished.
    Block,
    /// Fails with [`SendError::Full`](crate::SendError::Full), and never waits.
    Fail,
    /// Ends the connection, and never waits.
    Close,
}

impl Options {
    /// The options with times that a timer can keep.
    pub(crate) fn usable(mut self: Arc<Self>) -> Arc<Self> {
        let least = Duration::from_millis(1);
        let Self { ping_interval, ping_timeout, close_timeout, write_timeout, message_timeout, .. } = *self;
        let times = [ping_interval.unwrap_or(least), ping_timeout, close_timeout, write_timeout, message_timeout];
        if times.into_iter().any(|time| time < least) {
            let options = Arc::make_mut(&mut self);
            options.ping_interval = ping_interval.map(|time| time.max(least));
            options.ping_timeout = ping_timeout.max(least);
            options.close_timeout = close_timeout.max(least);
            options.write_timeout = write_timeout.max(least);
            options.message_timeout = message_timeout.max(least);
        }
        self
    }

    /// The time that `bytes` may take on their way, above `base`.
    pub(crate) fn allowed(&self, base: Duration, bytes: u64) -> Duration {
        let seconds = bytes as f64 / self.min_rate.max(1) as f64;
        base.saturating_add(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            ping_interval: Some(Duration::from_secs(20)),
            ping_timeout: Duration::from_secs(20),
            close_timeout: Duration::from_secs(5),
            write_timeout: Duration::from_secs(30),
            message_timeout: Duration::from_secs(60),
            min_rate: 16 * 1024,
            outgoing_limit: 1 << 20,
            when_full: WhenFull::Block,
            fragment_size: 1 << 20,
            budget: None,
        }
    }
}

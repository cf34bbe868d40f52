//! What has been received on a connection so far, and when last.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::end::{Cause, End};
use crate::outgoing::Outgoing;
use crate::sys;
use crate::writer::Traffic;

/// What the receiving side counts; written by whoever parses, one at a time.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    bytes: AtomicU64,
    messages: AtomicU64,
    /// When the last byte was received, in nanoseconds of the clock.
    heard: AtomicU64,
}

impl Counters {
    /// Notes that `count` bytes were received now.
    pub(crate) fn heard(&self, count: usize) {
        self.alive();
        add(&self.bytes, count as u64);
    }

    /// Notes that the peer lives.
    pub(crate) fn alive(&self) {
        self.heard.store(sys::coarse_now().as_nanos() as u64, Ordering::Relaxed);
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn last_heard(&self) -> Duration {
        Duration::from_nanos(self.heard.load(Ordering::Relaxed))
    }

    /// How the connection has ended, for `cause`.
    pub(crate) fn end(&self, outgoing: &Outgoing, cause: Cause) -> End {
        End {
            cause,
            received: outgoing.received().cloned(),
            sent: outgoing.sent(),
            silent_for: sys::now().saturating_sub(self.last_heard()),
        }
    }

    /// What has passed so far, with what `outgoing` counts.
    pub(crate) fn traffic(&self, outgoing: &Outgoing) -> Traffic {
        Traffic {
            received_bytes: self.bytes.load(Ordering::Relaxed),
            received_messages: self.messages.load(Ordering::Relaxed),
            sent_bytes: outgoing.written(),
            sent_messages: outgoing.messages,
        }
    }

    /// Counts a message.
    pub(crate) fn message(&self) {
        add(&self.messages, 1);
    }
}

/// Adds without a locked instruction: one thread at a time writes.
fn add(counter: &AtomicU64, count: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
}

//! Pings that somebody waits for (RFC 6455, sections 5.5.2 and 5.5.3): a Ping out, the time that its Pong has taken in.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::end::SendError;
use crate::flags::Flag;
use crate::link::Link;
use crate::sys;
use crate::transport::Interest;
use crate::writer::Writer;

/// A Ping that was sent, from [`Writer::ask`]. Dropped, nobody waits for its Pong any more.
pub struct Ping {
    link: Arc<Link>,
    number: u64,
}

/// What has come of the wait for a Pong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pong {
    /// It has come, so long after the Ping was sent.
    After(Duration),
    /// It has not come in the time given: it can be waited for again.
    Timeout,
    /// A signal handler has run on this thread meanwhile: it can be waited for again.
    Signal,
}

/// The Pings of a connection that somebody waits for, in the order in which they were sent.
#[derive(Default)]
pub(crate) struct Pings(Vec<Asked>);

struct Asked {
    number: u64,
    sent: Duration,
    took: Option<Duration>,
}

impl Writer {
    /// Sends a Ping whose Pong can be [waited for](Ping::wait).
    pub fn ask(&self) -> Result<Ping, SendError> {
        // One of its own in the whole process: a connection knows its Pings again by it.
        static NUMBERS: AtomicU64 = AtomicU64::new(0);
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        let link = Arc::clone(self.link());
        let mut outgoing = link.outgoing.lock();
        if outgoing.ended {
            return Err(SendError::Closed);
        }
        outgoing.ping(&payload(number))?;
        outgoing.aside().pings.0.push(Asked { number, sent: sys::now(), took: None });
        link.flush_locked(&mut outgoing);
        drop(outgoing);
        Ok(Ping { link, number })
    }
}

impl Ping {
    /// Waits for the Pong; without a timeout until it comes or the connection ends, which is [`SendError::Closed`]: so it is
    /// where the peer has broken a rule meanwhile, and the connection fails when the messages before that are answered.
    ///
    /// Nobody need receive meanwhile: where the reader is away, what comes is read ahead for it, within the bounds for that. Beyond
    /// them the Pong waits behind the messages. On a thread that must not wait, as in a handler of the pool, it is
    /// [`SendError::Full`].
    pub fn wait(&self, timeout: Option<Duration>) -> Result<Pong, SendError> {
        let deadline = timeout.map(|timeout| sys::now().saturating_add(timeout));
        loop {
            let mut outgoing = self.link.outgoing.lock();
            if let Some(took) = outgoing.aside().pings.took(self.number) {
                return Ok(Pong::After(took));
            }
            // Nothing more is heard of a peer that has failed, though the connection waits for answers.
            if outgoing.ended || outgoing.received().is_some() || self.link.flags.has(Flag::LeftToReader) {
                return Err(SendError::Closed);
            }
            let left = deadline.map_or(LOOK_AGAIN, |deadline| deadline.saturating_sub(sys::now()));
            if left.is_zero() {
                return Ok(Pong::Timeout);
            }
            if !outgoing.may_wait() {
                return Err(SendError::Full);
            }
            let left = left.min(LOOK_AGAIN);
            if !self.link.is_attended_by_nobody() {
                self.link.turn.wait_for(&mut outgoing, left);
                continue;
            }
            drop(outgoing);
            match self.link.transport.wait(Interest::Read, Some(left)) {
                Ok(ready) if ready.read && !self.link.read_ahead() => {
                    // There is enough for the reader, which somebody else waits for, or it is back.
                    let mut outgoing = self.link.outgoing.lock();
                    if !outgoing.ended && outgoing.aside().pings.took(self.number).is_none() {
                        self.link.turn.wait_for(&mut outgoing, left);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(Pong::Signal),
                // An error of the stream is found by whoever reads.
                _ => {}
            }
        }
    }
}

impl Drop for Ping {
    fn drop(&mut self) {
        let mut outgoing = self.link.outgoing.lock();
        outgoing.aside().pings.0.retain(|asked| asked.number != self.number);
        outgoing.tidy();
    }
}

impl fmt::Debug for Ping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ping").field("number", &self.number).finish_non_exhaustive()
    }
}

impl Pings {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes a Pong: it answers its Ping, and those before it, which need no Pong of their own (section 5.5.3).
    pub(crate) fn pong(&mut self, received: &[u8], now: Duration) {
        if let Some(newest) = self.0.iter().position(|asked| payload(asked.number) == received) {
            for asked in &mut self.0[..=newest] {
                asked.took.get_or_insert(now.saturating_sub(asked.sent));
            }
        }
    }

    fn took(&self, number: u64) -> Option<Duration> {
        self.0.iter().find(|asked| asked.number == number)?.took
    }
}

/// Not one of keepalive's, which are shorter.
fn payload(number: u64) -> [u8; 12] {
    let mut payload = *b"ping\0\0\0\0\0\0\0\0";
    payload[4..].copy_from_slice(&number.to_be_bytes());
    payload
}

/// So long a wait is at most before it looks whether somebody else reads now.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

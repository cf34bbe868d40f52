//! Keepalive: time in, Pings and the end of a silent peer out.

use std::time::Duration;

/// Pings a peer that is silent, and gives it up when it stays silent.
///
/// Time is an input: every time is counted from a moment that the driver chooses, and never goes back. Any received
/// byte counts as life, so that a large message that takes long to arrive is not cut.
///
/// ```
/// use std::time::Duration;
/// use raddle_core::{Due, Keepalive};
///
/// let seconds = Duration::from_secs;
/// let mut keepalive = Keepalive::new(seconds(20), seconds(10), seconds(0));
/// assert_eq!(keepalive.due(seconds(5)), Due::Wait(seconds(20)));
/// let Due::Ping(payload) = keepalive.due(seconds(20)) else { panic!() };
/// assert_eq!(keepalive.pong(&payload, seconds(21)), Some(seconds(1)));
/// ```
#[derive(Clone, Debug)]
pub struct Keepalive {
    interval: Duration,
    timeout: Duration,
    /// When the last byte was received.
    heard: Duration,
    /// When the Ping was sent that no byte has followed yet.
    silent_since: Option<Duration>,
    /// When the newest Ping was sent, if no Pong has answered it yet.
    asked: Option<Duration>,
    /// The number of the newest Ping, which is its payload.
    number: u64,
}

/// What a [`Keepalive`] asks of its driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing before this time.
    Wait(Duration),
    /// Send a Ping with this payload now, and ask again.
    Ping([u8; 8]),
    /// The peer was given its time and has said nothing.
    Silent,
}

impl Keepalive {
    /// Pings after `interval` of silence, and allows `timeout` for an answer.
    pub fn new(interval: Duration, timeout: Duration, now: Duration) -> Self {
        Self { interval, timeout, heard: now, silent_since: None, asked: None, number: 0 }
    }

    /// Notes that bytes were received at `at`.
    pub fn heard(&mut self, at: Duration) {
        self.heard = self.heard.max(at);
        if self.silent_since.is_some_and(|pinged| self.heard > pinged) {
            self.silent_since = None;
        }
    }

    /// Tells what to do now.
    pub fn due(&mut self, now: Duration) -> Due {
        let due = match self.silent_since {
            Some(pinged) => pinged.saturating_add(self.timeout),
            None => self.heard.saturating_add(self.interval),
        };
        if now < due {
            return Due::Wait(due);
        }
        if self.silent_since.is_some() {
            return Due::Silent;
        }
        self.number += 1;
        self.silent_since = Some(now);
        self.asked = Some(now);
        Due::Ping(self.number.to_be_bytes())
    }

    /// Takes a Pong: the round-trip time, where it is the first answer to the newest Ping.
    pub fn pong(&mut self, payload: &[u8], now: Duration) -> Option<Duration> {
        if payload != self.number.to_be_bytes() {
            return None;
        }
        let asked = self.asked.take()?;
        self.silent_since = None;
        Some(now.saturating_sub(asked))
    }
}

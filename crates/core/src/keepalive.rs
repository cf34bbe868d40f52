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
///
/// `interval` and `timeout` are kept in milliseconds, rounded up, and are without end where they are longer than 49 days.
#[derive(Clone, Debug)]
// There is one for each connection, however idle: so times are kept in 8 bytes, not the 16 of a `Duration`.
pub struct Keepalive {
    interval: Millis,
    timeout: Millis,
    /// When the last byte was received.
    heard: Nanos,
    /// When the newest Ping was sent.
    pinged: Nanos,
    /// The last that was measured, in microseconds; 0: none was.
    round_trip: u32,
    /// The number of the newest Ping, which is its payload.
    number: u16,
    /// No byte has followed that Ping yet.
    is_silent: bool,
    /// No Pong has answered that Ping yet.
    is_asked: bool,
}

/// A span of time in milliseconds; `u32::MAX`: without end.
#[derive(Clone, Copy, Debug)]
struct Millis(u32);

/// A time in nanoseconds; `u64::MAX`: 584 years or more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Nanos(u64);

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
        let (interval, timeout, heard) = (Millis::of(interval), Millis::of(timeout), Nanos::of(now));
        Self { interval, timeout, heard, pinged: heard, round_trip: 0, number: 0, is_silent: false, is_asked: false }
    }

    /// Notes that bytes were received at `at`.
    pub fn heard(&mut self, at: Duration) {
        self.heard = self.heard.max(Nanos::of(at));
        if self.heard > self.pinged {
            self.is_silent = false;
        }
    }

    /// Tells what to do now.
    pub fn due(&mut self, now: Duration) -> Due {
        let due = if self.is_silent { self.pinged.later_by(self.timeout) } else { self.heard.later_by(self.interval) };
        if now < due {
            return Due::Wait(due);
        }
        if self.is_silent {
            return Due::Silent;
        }
        self.number = self.number.wrapping_add(1);
        self.pinged = Nanos::of(now);
        (self.is_silent, self.is_asked) = (true, true);
        Due::Ping(self.payload())
    }

    /// Takes a Pong: the round-trip time, where it is the first answer to the newest Ping.
    pub fn pong(&mut self, payload: &[u8], now: Duration) -> Option<Duration> {
        if payload != self.payload() || !self.is_asked {
            return None;
        }
        (self.is_silent, self.is_asked) = (false, false);
        let time = now.saturating_sub(self.pinged.get());
        self.round_trip = u32::try_from(time.as_micros()).unwrap_or(u32::MAX).max(1);
        Some(time)
    }

    /// The last round-trip time that a Pong has told, to the microsecond. `None`: none has.
    pub fn round_trip(&self) -> Option<Duration> {
        (self.round_trip > 0).then(|| Duration::from_micros(self.round_trip.into()))
    }

    fn payload(&self) -> [u8; 8] {
        u64::from(self.number).to_be_bytes()
    }
}

impl Millis {
    fn of(time: Duration) -> Self {
        Self(u32::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(u32::MAX))
    }

    fn get(self) -> Duration {
        if self.0 == u32::MAX { Duration::MAX } else { Duration::from_millis(self.0.into()) }
    }
}

impl Nanos {
    fn of(time: Duration) -> Self {
        Self(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
    }

    fn get(self) -> Duration {
        if self.0 == u64::MAX { Duration::MAX } else { Duration::from_nanos(self.0) }
    }

    fn later_by(self, time: Millis) -> Duration {
        self.get().saturating_add(time.get())
    }
}

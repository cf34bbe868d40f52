//! What any thread may ask of a connection without its lock: a bit each.

use std::sync::atomic::{AtomicU16, Ordering};

/// The flags of a connection.
// In two bytes: there are some for each connection, however idle.
#[derive(Debug, Default)]
pub(crate) struct Flags(AtomicU16);

#[derive(Clone, Copy, Debug)]
#[repr(u16)]
pub(crate) enum Flag {
    /// The application has cut the connection, and wants nothing more of it.
    Abandoned = 1,
    /// A message has taken too long, or too much is buffered: the peer was told, and what it still sends is dropped.
    GivenUp = 2,
    /// A message has begun to arrive, and is not complete.
    Arriving = 4,
    /// An event loop has the reader, or is about to.
    Driven = 8,
    /// The event loop drops what still comes: the connection has failed, or the peer's Close was received.
    Leaving = 16,
    /// More waits to be written than should, and the event loop reads no more until it has left.
    Overfull = 32,
    /// The application wants nothing read for now.
    Paused = 64,
    /// Another thread is to have the reader, which the event loop gives away as soon as it can.
    CalledAway = 128,
    /// Some of what was received is counted in a budget. Changed by whoever parses.
    HoldsInput = 256,
    /// The budget knows that something may be counted. Changed under the lock of the output.
    Listed = 512,
    /// The peer's last word is there, and waits until all before it is answered.
    EndWaits = 1024,
    /// The peer's last word is there, its Close or what breaks a rule, behind messages that are not answered yet, and is left to the
    /// reader for a while. Raised under the lock of the output.
    LeftToReader = 2048,
}

impl Flags {
    /// Tells whether a flag is up.
    #[inline]
    pub(crate) fn has(&self, flag: Flag) -> bool {
        self.0.load(Ordering::Relaxed) & flag as u16 != 0
    }

    /// Tells whether any of the flags is up.
    #[inline]
    pub(crate) fn has_any<const N: usize>(&self, flags: [Flag; N]) -> bool {
        self.0.load(Ordering::Relaxed) & flags.into_iter().fold(0, |all, flag| all | flag as u16) != 0
    }

    /// Puts a flag up; `false`: it is already.
    pub(crate) fn raise(&self, flag: Flag) -> bool {
        !self.has(flag) && self.0.fetch_or(flag as u16, Ordering::Relaxed) & flag as u16 == 0
    }

    /// Puts a flag down; `false`: it is already.
    pub(crate) fn lower(&self, flag: Flag) -> bool {
        self.has(flag) && self.0.fetch_and(!(flag as u16), Ordering::Relaxed) & flag as u16 != 0
    }
}

//! permessage-deflate (RFC 7692): messages that are smaller on the wire.
//!
//! [`Deflate`] says what an endpoint wants, and after the opening handshake what both sides have agreed on. A driver gives
//! the agreement to its [`Receiver`](crate::Receiver), which inflates by itself, and compresses what it sends with a
//! [`Compressor`], which it owns: the [`Sender`](crate::Sender) takes what comes out as it takes any message.
//!
//! A secret and a text that an attacker chooses do not belong in one compressed message, nor in one context: the length
//! of what is sent tells about the secret (section 8). Send such messages uncompressed.

mod census;
mod compressor;
mod inflater;
mod inflation;
mod pool;

pub use census::{Census, census};
pub use compressor::{Compressor, LentCompressor};
pub(crate) use inflation::Inflation;

use crate::Role;

/// What an endpoint wants of permessage-deflate; in an agreement, what both sides hold to (RFC 7692, section 7.1).
///
/// The context of a direction is what its sender has sent before: with it, small messages that resemble each other are
/// compressed well, and both sides keep memory for it.
///
/// | of a connection | with context takeover | without |
/// |:--|:--|:--|
/// | what it sends | a compressor, from the first message on | none: one is borrowed for each message |
/// | what it receives | an inflater, from the first message on | none but amid a message |
///
/// A compressor takes 140 KiB with a window of 9 bits, 165 KiB with 12 and 375 KiB with 15, an inflater 50 KiB with any. A
/// driver may give a compressor back at any time, and the next message is compressed without what it knew; an inflater stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deflate {
    /// How hard the compressor tries: 1, the fastest, to 9. Not agreed on. Default: 1.
    pub level: u8,
    /// Messages of fewer bytes are sent uncompressed. Not agreed on. Default: 64.
    pub threshold: usize,
    /// The server forgets each message that it has sent. Default: no.
    pub server_no_context_takeover: bool,
    /// The client forgets each message that it has sent. Default: no.
    pub client_no_context_takeover: bool,
    /// The server looks back 2^n bytes at most: 9 to 15. Default: 15.
    pub server_max_window_bits: u8,
    /// The client looks back 2^n bytes at most: 9 to 15. A server can ask for less than 15 only where the client offers
    /// that. Default: 15.
    pub client_max_window_bits: u8,
}

impl Default for Deflate {
    fn default() -> Self {
        Self {
            level: 1,
            threshold: 64,
            server_no_context_takeover: false,
            client_no_context_takeover: false,
            server_max_window_bits: 15,
            client_max_window_bits: 15,
        }
    }
}

impl Deflate {
    /// Tells whether a message of `length` bytes is worth compressing.
    pub fn compresses(&self, length: usize) -> bool {
        length >= self.threshold
    }

    /// Tells whether a message of `sender` may refer back to earlier ones: whether the sender's compressor is the
    /// connection's own.
    pub fn keeps_context(&self, sender: Role) -> bool {
        match sender {
            Role::Server => !self.server_no_context_takeover,
            Role::Client => !self.client_no_context_takeover,
        }
    }

    /// How far `sender` looks back: 2^n bytes, from 9 to 15.
    pub fn window_bits(&self, sender: Role) -> u8 {
        match sender {
            Role::Server => self.usable().server_max_window_bits,
            Role::Client => self.usable().client_max_window_bits,
        }
    }

    /// Without values that zlib does not know: each taken as the nearest that it knows.
    pub(crate) fn usable(self) -> Self {
        let bits = |bits: u8| bits.clamp(9, 15);
        Self {
            level: self.level.clamp(1, 9),
            server_max_window_bits: bits(self.server_max_window_bits),
            client_max_window_bits: bits(self.client_max_window_bits),
            ..self
        }
    }
}

/// What a sender leaves out at the end of a message (section 7.2.1): the end of an empty stored block.
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

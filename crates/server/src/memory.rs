//! The memory that the connections of a worker share for what they receive.

use std::mem;

use raddle_socket::{MOST_LENT, Turn};

/// The memory that a worker's connections are read into: as much as has been needed lately.
pub(crate) struct Memory {
    bytes: Vec<u8>,
    /// Reads in a row that have filled it.
    full: u32,
    /// Reads in a row that have not.
    calm: u32,
    /// A read has filled it, so that it has all of its pages.
    is_worn: bool,
}

impl Memory {
    pub(crate) fn new() -> Self {
        Self { bytes: vec![0; USUAL], full: 0, calm: 0, is_worn: false }
    }

    pub(crate) fn lend(&mut self) -> &mut Vec<u8> {
        if self.bytes.is_empty() {
            *self = Self::new();
        }
        &mut self.bytes
    }

    /// Tells whether there is more of it than a worker keeps that has nothing to do.
    pub(crate) fn is_worn(&self) -> bool {
        self.is_worn || self.bytes.len() > USUAL
    }

    /// Gives it away until there is something to read again.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        self.is_worn = false;
        mem::take(&mut self.bytes)
    }

    /// Notes how far the last read has filled it.
    pub(crate) fn note(&mut self, turn: Turn) {
        if turn == Turn::Full {
            self.is_worn = true;
            (self.full, self.calm) = (self.full + 1, 0);
            if self.full >= HASTE && self.bytes.len() < MOST_LENT {
                self.bytes = vec![0; self.bytes.len() * 2];
                self.full = 0;
            }
        } else {
            (self.full, self.calm) = (0, self.calm + 1);
            if self.calm >= CALM && self.bytes.len() > USUAL {
                self.bytes = vec![0; USUAL];
            }
        }
    }
}

/// The memory for reads, in bytes: it stays in the processor's cache.
const USUAL: usize = 64 * 1024;
/// So many full reads in a row get more of it.
const HASTE: u32 = 4;
/// So many others give it back.
const CALM: u32 = 1024;

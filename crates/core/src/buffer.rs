//! The receive buffer: bytes come in behind, are parsed in place, and leave in front.

use std::fmt;
use std::ops::Range;

/// Received bytes: the message under assembly, what is not parsed yet, and free space after it.
///
/// The fragments of a message are moved together in place, so that it is one slice when it is complete; the payload of
/// a message of one frame is not moved at all.
#[derive(Default)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    /// `message.start <= message.end <= unread.start`
    message: Range<usize>,
    /// `unread.start <= unread.end <= bytes.len()`
    unread: Range<usize>,
    /// The last read filled all the space that it was lent, and that was not what an earlier one had left over.
    hungry: bool,
    /// Reads in a row behind which most of the buffer was free.
    calm: u8,
    /// Where the buffer begins in memory that is lent: what stands before is somebody else's.
    base: usize,
}

impl Buffer {
    /// A buffer with the bytes of `message` under assembly and `unread` behind them.
    pub(crate) fn with(message: &[u8], unread: &[u8]) -> Self {
        let bytes = [message, unread].concat();
        Self { message: 0..message.len(), unread: message.len()..bytes.len(), bytes, ..Self::default() }
    }

    /// What is not parsed yet.
    #[inline]
    pub(crate) fn unread(&self) -> &[u8] {
        &self.bytes[self.unread.clone()]
    }

    /// The first `count` bytes of it, for unmasking.
    pub(crate) fn unread_mut(&mut self, count: usize) -> &mut [u8] {
        &mut self.bytes[self.unread.start..self.unread.start + count]
    }

    /// The message under assembly.
    #[inline]
    pub(crate) fn message(&self) -> &[u8] {
        &self.bytes[self.message.clone()]
    }

    /// Bytes at a place that [`take`](Self::take) gave.
    pub(crate) fn at(&self, range: Range<usize>) -> &[u8] {
        &self.bytes[range]
    }

    /// Passes over `count` unread bytes.
    pub(crate) fn skip(&mut self, count: usize) {
        self.unread.start += count;
        debug_assert!(self.unread.start <= self.unread.end);
    }

    /// Passes over `count` unread bytes and tells where they are: they stay there until [`space`](Self::space).
    pub(crate) fn take(&mut self, count: usize) -> (Range<usize>, &mut [u8]) {
        let range = self.unread.start..self.unread.start + count;
        self.skip(count);
        (range.clone(), &mut self.bytes[range])
    }

    /// Moves `count` unread bytes to the end of the message and lends them for unmasking.
    pub(crate) fn join(&mut self, count: usize) -> &mut [u8] {
        if self.message.is_empty() {
            self.message = self.unread.start..self.unread.start;
        }
        if self.message.end != self.unread.start {
            self.bytes.copy_within(self.unread.start..self.unread.start + count, self.message.end);
        }
        self.skip(count);
        let joined = self.message.end..self.message.end + count;
        self.message.end = joined.end;
        &mut self.bytes[joined]
    }

    /// Makes `count` unread bytes, behind `skipped` ones, the message, which was empty, and lends them for unmasking.
    #[inline]
    pub(crate) fn whole(&mut self, skipped: usize, count: usize) -> &mut [u8] {
        debug_assert!(self.message.is_empty());
        let start = self.unread.start + skipped;
        self.message = start..start + count;
        self.unread.start = self.message.end;
        &mut self.bytes[self.message.clone()]
    }

    /// Gives the message away with the memory that it is in, and keeps what is unread in memory of its own.
    pub(crate) fn take_message(&mut self) -> (Vec<u8>, Range<usize>) {
        let own = Self::with(&[], self.unread());
        let before = std::mem::replace(self, own);
        (before.bytes, before.message)
    }

    /// Drops the first `count` bytes of the message.
    pub(crate) fn release(&mut self, count: usize) {
        self.message.start += count;
        debug_assert!(self.message.start <= self.message.end);
    }

    /// Drops the message.
    #[inline]
    pub(crate) fn release_all(&mut self) {
        self.message.start = self.message.end;
    }

    /// Drops all that is held.
    pub(crate) fn discard(&mut self) {
        self.message.start = self.message.end;
        self.unread.start = self.unread.end;
    }

    /// Lends free space for the next read, at least one byte; `wanted` bytes where they are known to be coming.
    pub(crate) fn space(&mut self, wanted: usize) -> &mut [u8] {
        let held = self.held();
        if held == 0 {
            self.message = self.base..self.base;
            self.unread = self.base..self.base;
        } else if self.unread.is_empty() {
            // What is read next goes directly behind the message, and need not be moved there later.
            self.unread = self.message.end..self.message.end;
        }
        // Grow with what has arrived, never with what a header announces.
        let slack = if self.hungry { LARGE_READ } else { SMALL_READ };
        let wanted = wanted.clamp(SMALL_READ, held + slack);
        let wanted = if self.hungry { wanted.max((4 * self.bytes.len()).min(LARGE_READ)) } else { wanted };
        // Half of it will do where something has to be moved for it: that is moved again only after a good part of as
        // many bytes have come, however small the reads are, and so the work stays linear in the bytes received.
        let enough = if held == 0 { wanted } else { wanted / 2 };
        if self.bytes.len() - self.unread.end < enough {
            self.make_room(held, wanted);
        } else if held == 0 && self.calm >= CALM {
            drop(self.reclaim());
            self.make_room(0, wanted.max(BUSY_READ));
        }
        &mut self.bytes[self.unread.end..]
    }

    /// Notes that `count` bytes of the space were filled.
    pub(crate) fn filled(&mut self, count: usize) {
        let space = self.bytes.len() - self.unread.end;
        assert!(count <= space, "more bytes were filled than there was space");
        self.unread.end += count;
        self.hungry = count == space && count >= SMALL_READ;
        let is_calm = self.unread.end < self.bytes.len() / 8 && self.bytes.len() > BUSY_READ;
        self.calm = if is_calm { (self.calm + 1).min(CALM) } else { 0 };
    }

    /// Tells whether more has probably arrived than the last read had space for.
    pub(crate) fn is_hungry(&self) -> bool {
        self.hungry
    }

    /// Bytes that the buffer occupies.
    pub(crate) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Bytes held: the message under assembly and what is not parsed yet.
    pub(crate) fn held(&self) -> usize {
        self.message.len() + self.unread.len()
    }

    /// Goes on in `memory` from `base` on, with what is held at its start. There is room for it, and for more. Gives the memory that it
    /// was in.
    pub(crate) fn lend(&mut self, mut memory: Vec<u8>, base: usize) -> Vec<u8> {
        let (message, held) = (base + self.message.len(), base + self.held());
        if held == base && held < memory.len() {
            return self.empty(memory, base);
        }
        if memory.len() <= held {
            memory.resize(held + SMALL_READ, 0);
        }
        memory[base..message].copy_from_slice(self.message());
        memory[message..held].copy_from_slice(self.unread());
        let lent = Self { bytes: memory, message: base..message, unread: message..held, base, ..Self::default() };
        std::mem::replace(self, lent).bytes
    }

    /// Where the bytes end that are held or were parsed.
    pub(crate) fn end(&self) -> usize {
        self.unread.end
    }

    /// Gives its memory away, and keeps what is held in memory of its own: as much as it needs.
    pub(crate) fn reclaim(&mut self) -> Vec<u8> {
        if self.held() == 0 {
            return self.empty(Vec::new(), 0);
        }
        let own = Self::with(self.message(), self.unread());
        std::mem::replace(self, own).bytes
    }

    /// Goes on in `memory` from `base` on, where nothing is held. Gives the memory that it was in.
    fn empty(&mut self, memory: Vec<u8>, base: usize) -> Vec<u8> {
        (self.message, self.unread, self.base) = (base..base, base..base, base);
        (self.hungry, self.calm) = (false, 0);
        std::mem::replace(&mut self.bytes, memory)
    }

    /// Moves what is held to the front, of this allocation or a larger one, so that most of `wanted` bytes fit behind it.
    fn make_room(&mut self, held: usize, wanted: usize) {
        let (message, unread) = (self.message.clone(), self.unread.clone());
        // Where three quarters fit, they do; and what is moved in place is at most as much as is free then.
        if held <= self.bytes.len() / 2 && self.bytes.len() - held >= wanted / 4 * 3 {
            self.bytes.copy_within(message.clone(), 0);
            self.bytes.copy_within(unread.clone(), message.len());
        } else {
            // A fresh allocation of zeros costs no pass over the memory; resizing the old one would.
            let mut bytes = vec![0; (held + wanted).max(held + held / 2)];
            bytes[..message.len()].copy_from_slice(&self.bytes[message.clone()]);
            bytes[message.len()..held].copy_from_slice(&self.bytes[unread.clone()]);
            self.bytes = bytes;
        }
        self.message = 0..message.len();
        self.unread = message.len()..held;
    }
}

impl fmt::Debug for Buffer {
    // Without payloads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffer")
            .field("message", &self.message)
            .field("unread", &self.unread)
            .field("capacity", &self.capacity())
            .finish()
    }
}

/// The space for a read, while reads do not fill it: all that an idle connection keeps.
pub(crate) const SMALL_READ: usize = 1024;
/// The least that is kept after reads that needed more: batches of small messages differ in size, and one that is torn costs
/// two writes. A connection that falls idle gives that back too.
const BUSY_READ: usize = 8 * 1024;
/// The largest space for a read that is not known to be the payload of one message.
const LARGE_READ: usize = 64 * 1024;
/// So many reads in a row that need little of it give a large buffer back.
const CALM: u8 = 16;

//! Inflating (RFC 7692, section 7.2.2): the payload of compressed messages in, as it comes, the messages out.

use std::fmt;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use super::Deflate;
use super::inflater::Inflater;
use crate::{Error, Role};

/// A receiver's compressed messages: the one under assembly, inflated, in one piece.
pub(crate) struct Inflation {
    takeover: bool,
    /// From the first compressed message on; without context takeover while there is one. Others take it with
    /// [`fork`](Self::fork).
    inflater: Mutex<Option<Inflater>>,
    bytes: Vec<u8>,
    /// The message under assembly, or what is left of it. `message.start <= message.end <= bytes.len()`
    message: Range<usize>,
    /// Bytes of the message so far, those that were released too.
    total: u64,
    /// Streams that have ended in the message.
    ended: u32,
    /// Messages in a row that needed little of the memory.
    calm: u8,
}

/// How far a call has come.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Inflated {
    /// Bytes of the input.
    pub(crate) used: usize,
    /// Nothing is left in the inflater.
    pub(crate) drained: bool,
}

impl Inflation {
    /// For what the peer of `receiver` sends under this agreement.
    pub(crate) fn new(deflate: &Deflate, receiver: Role) -> Self {
        Self::with_context(deflate.keeps_context(receiver.peer()))
    }

    fn with_context(takeover: bool) -> Self {
        Self { takeover, inflater: Mutex::new(None), bytes: Vec::new(), message: 0..0, total: 0, ended: 0, calm: 0 }
    }

    /// The message under assembly.
    pub(crate) fn held(&self) -> &[u8] {
        &self.bytes[self.message.clone()]
    }

    /// Inflates to the end of `input`, or until about `enough` bytes are held. A message of more than `limit` bytes is an
    /// error, before more than one byte beyond it is inflated. What comes before an error is held.
    pub(crate) fn inflate(&mut self, input: &[u8], limit: u64, enough: usize) -> Result<Inflated, Error> {
        let mut used = 0;
        loop {
            let room = usize::try_from(limit - self.total).unwrap_or(usize::MAX).saturating_add(1);
            self.make_room(room, input.len() - used);
            let place = self.message.end..self.bytes.len().min(self.message.end.saturating_add(room));
            let output = &mut self.bytes[place];
            let inflater = self.inflater.get_mut().unwrap_or_else(PoisonError::into_inner);
            let inflater = inflater.get_or_insert_with(Inflater::lend);
            let step = inflater.step(&input[used..], output);
            let is_full = step.made == output.len();
            used += step.used;
            self.message.end += step.made;
            self.total += step.made as u64;
            if self.total > limit {
                return Err(Error::MessageTooBig);
            }
            if step.broken {
                return Err(Error::InvalidCompression);
            }
            if step.ended {
                self.ended += 1;
                if self.ended > MAX_STREAMS {
                    return Err(Error::InvalidCompression);
                }
                inflater.restart();
            }
            if used == input.len() && !is_full {
                return Ok(Inflated { used, drained: true });
            }
            if self.message.len() >= enough {
                return Ok(Inflated { used, drained: false });
            }
            if step.used + step.made == 0 && !step.ended {
                // It has input and room, and does nothing with them.
                return Err(Error::InvalidCompression);
            }
        }
    }

    /// Ends the message, whose payload was inflated.
    pub(crate) fn finish(&mut self) -> Result<(), Error> {
        let place = self.inflater.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(inflater) = place {
            inflater.finish()?;
        }
        if let Some(inflater) = place.take_if(|_| !self.takeover) {
            inflater.give_back();
        }
        (self.total, self.ended) = (0, 0);
        Ok(())
    }

    /// Gives the message away with the memory that it is in.
    pub(crate) fn take(&mut self) -> (Vec<u8>, Range<usize>) {
        (std::mem::take(&mut self.bytes), std::mem::take(&mut self.message))
    }

    /// Drops the first `count` bytes of what is held.
    pub(crate) fn release(&mut self, count: usize) {
        let is_calm = self.message.end < self.bytes.len() / 8 && self.bytes.len() > KEPT;
        self.message.start += count;
        if self.message.is_empty() {
            self.message = 0..0;
            self.calm = if is_calm { self.calm + 1 } else { 0 };
            if self.calm >= CALM {
                drop(self.reclaim());
            }
        }
    }

    /// Drops the message and the context: nothing follows.
    pub(crate) fn discard(&mut self) {
        self.message = 0..0;
        let inflater = self.inflater.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(inflater) = inflater.take() {
            inflater.give_back();
        }
    }

    /// Bytes of memory for messages; those of the inflater come on top.
    pub(crate) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Gives its memory for messages away, and keeps what is held in as much as that needs.
    pub(crate) fn reclaim(&mut self) -> Vec<u8> {
        let held = self.held().to_vec();
        self.message = 0..held.len();
        self.calm = 0;
        std::mem::replace(&mut self.bytes, held)
    }

    /// What goes on behind the first `lent` bytes: it gets the context, and a copy of the rest of the message.
    pub(crate) fn fork(&self, lent: usize) -> Self {
        let inflater = self.inflater.lock().unwrap_or_else(PoisonError::into_inner).take();
        let bytes = self.held()[lent..].to_vec();
        Self {
            takeover: self.takeover,
            inflater: Mutex::new(inflater),
            message: 0..bytes.len(),
            bytes,
            total: self.total,
            ended: self.ended,
            calm: 0,
        }
    }

    /// Makes room behind the message: more than there was, where there is none, and at most `room`.
    fn make_room(&mut self, room: usize, input: usize) {
        if self.message.end < self.bytes.len() {
            return;
        }
        if self.message.start > self.bytes.len() / 2 {
            self.bytes.copy_within(self.message.clone(), 0);
            self.message = 0..self.message.len();
            return;
        }
        // By a factor of what was inflated, never by what could be.
        let more = self.bytes.len().max((4 * input).clamp(LEAST, KEPT)).min(room);
        self.bytes.reserve_exact(more);
        let wanted = self.bytes.len() + more;
        while self.bytes.len() < wanted {
            // In blocks: byte by byte, as a build without optimisation resizes, it took longer than inflating.
            let count = ZEROS.len().min(wanted - self.bytes.len());
            self.bytes.extend_from_slice(&ZEROS[..count]);
        }
    }
}

impl fmt::Debug for Inflation {
    // Without payloads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inflation").field("message", &self.message).finish_non_exhaustive()
    }
}

static ZEROS: [u8; 4096] = [0; 4096];
/// So many streams may end within a message: each costs as much as a message.
const MAX_STREAMS: u32 = 16;
/// The first room for a message.
const LEAST: usize = 1024;
/// Memory that is kept while a connection is busy.
const KEPT: usize = 64 * 1024;
/// So many messages in a row that need little of it give a large buffer back.
const CALM: u8 = 16;

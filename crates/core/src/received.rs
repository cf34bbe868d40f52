//! A message with the memory that it was received in.

use std::fmt;
use std::ops::Range;

use crate::Message;
use crate::receiver::{Kind, lend};

/// A message with the memory that it was received in: from [`Receiver::take_message`](crate::Receiver::take_message).
pub struct Received {
    // Never changed: where it is text, these bytes were found to be.
    bytes: Vec<u8>,
    place: Range<usize>,
    kind: Kind,
}

impl Received {
    pub(crate) fn new(bytes: Vec<u8>, place: Range<usize>, kind: Kind) -> Self {
        Self { bytes, place, kind }
    }

    /// Lends the message.
    pub fn message(&self) -> Message<'_> {
        lend(self.kind, &self.bytes[self.place.clone()])
    }

    /// Bytes of memory that it keeps: those of the message, and what else there is of that piece.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Gives the memory back.
    pub fn into_memory(self) -> Vec<u8> {
        self.bytes
    }
}

impl From<Message<'_>> for Received {
    /// A copy.
    fn from(message: Message<'_>) -> Self {
        let bytes = message.as_bytes().to_vec();
        let kind = if matches!(message, Message::Text(_)) { Kind::Text } else { Kind::Binary };
        Self { place: 0..bytes.len(), bytes, kind }
    }
}

impl fmt::Debug for Received {
    // Without the payload.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Received").field("length", &self.place.len()).finish_non_exhaustive()
    }
}

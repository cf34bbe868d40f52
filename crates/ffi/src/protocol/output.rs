//! What a protocol object has to write, in order: the head of the opening handshake, frames, and payloads that lie elsewhere.

use std::collections::VecDeque;

use raddle_core::Sender;

use super::endpoint::TooMany;

/// What is being written. It stays where it is until it was: what is sent meanwhile waits in the sender.
#[derive(Default)]
pub(super) struct Output {
    bytes: Vec<u8>,
    /// Bytes at the start that were written.
    written: usize,
    /// Bytes that were ever taken: where `bytes` end, counted from the first byte of all. Lent payloads do not count.
    end: u64,
    /// Payloads that are not copied, in the order in which they leave.
    lent: VecDeque<Lent>,
}

/// A payload that the program keeps until it is written.
struct Lent {
    /// Where it stands, counted as `end` is.
    place: u64,
    piece: Piece,
}

/// Bytes to be written: an address, which is never followed here, and a length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) data: *const u8,
    pub(crate) length: usize,
}

// SAFETY: the address is handed back and never followed.
#[allow(unsafe_code)]
unsafe impl Send for Piece {}

impl Output {
    /// With a head, which is written before everything else.
    pub(super) fn beginning_with(head: Vec<u8>) -> Self {
        Self { end: head.len() as u64, bytes: head, ..Self::default() }
    }

    /// Puts a payload behind all that the sender holds, of which the last is its header.
    pub(super) fn lend(&mut self, sender: &mut Sender, payload: &[u8]) {
        if !payload.is_empty() {
            let place = self.end + sender.output().len() as u64;
            self.lent.push_back(Lent { place, piece: Piece { data: payload.as_ptr(), length: payload.len() } });
        }
    }

    /// What is to be written next, in as many places as there are; the number of places that were filled. It stays valid until
    /// it [was written](Self::written).
    pub(super) fn pieces(&mut self, sender: &mut Sender, places: &mut [Piece]) -> usize {
        if self.left() == 0 {
            self.bytes.clear();
            self.written = 0;
            sender.take_output(&mut self.bytes);
            self.end += self.bytes.len() as u64;
            if self.bytes.is_empty() {
                sender.taken_written();
            }
        }
        let mut filled = 0;
        let mut put = |piece: Piece| {
            let place = places.get_mut(filled).filter(|_| piece.length > 0);
            filled += usize::from(place.is_some());
            if let Some(place) = place {
                *place = piece;
            }
        };
        let mut rest = &self.bytes[self.written..];
        for lent in self.lent.iter().take_while(|lent| lent.place <= self.end) {
            let before = rest.len() - (self.end - lent.place) as usize;
            put(Piece::of(&rest[..before]));
            put(lent.piece);
            rest = &rest[before..];
        }
        put(Piece::of(rest));
        filled
    }

    /// Takes `count` bytes off what [`pieces`](Self::pieces) gave, over all of them.
    pub(super) fn written(&mut self, sender: &mut Sender, mut count: usize) -> Result<(), TooMany> {
        let left = self.left();
        if count > left {
            return Err(TooMany);
        }
        if count == left {
            sender.taken_written();
        }
        while count > 0 {
            let rest = self.bytes.len() - self.written;
            let before = match self.lent.front().filter(|lent| lent.place <= self.end) {
                Some(lent) => rest - (self.end - lent.place) as usize,
                None => rest,
            };
            if before > 0 {
                let of_bytes = count.min(before);
                self.written += of_bytes;
                count -= of_bytes;
                continue;
            }
            let lent = self.lent.front_mut().expect("no more is taken off than is left");
            let of_lent = count.min(lent.piece.length);
            // Only counted on: whoever has lent the payload reads it.
            lent.piece = Piece { data: lent.piece.data.wrapping_add(of_lent), length: lent.piece.length - of_lent };
            count -= of_lent;
            if lent.piece.length == 0 {
                self.lent.pop_front();
            }
        }
        Ok(())
    }

    /// Bytes that wait to be written in all.
    pub(super) fn queued(&self, sender: &Sender) -> usize {
        let lent: usize = self.lent.iter().map(|lent| lent.piece.length).sum();
        self.bytes.len() - self.written + lent + sender.queued()
    }

    /// Gives back memory that is not needed now.
    pub(super) fn shrink(&mut self) {
        if self.left() == 0 {
            (self.bytes, self.written) = (Vec::new(), 0);
        }
    }

    /// Bytes that were taken and not written, with the payloads between them.
    fn left(&self) -> usize {
        if self.lent.is_empty() {
            return self.bytes.len() - self.written;
        }
        let due = self.lent.iter().take_while(|lent| lent.place <= self.end);
        self.bytes.len() - self.written + due.map(|lent| lent.piece.length).sum::<usize>()
    }
}

impl Piece {
    fn of(bytes: &[u8]) -> Self {
        Self { data: bytes.as_ptr(), length: bytes.len() }
    }
}

//! What stands for permessage-deflate in a build without the feature `deflate`: nothing of it can be made.

use std::convert::Infallible;

use crate::handshake::Extension;
use crate::{Data, Error, Message, Progress, Role};

/// What an endpoint wants of permessage-deflate: in this build, nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deflate(Infallible);

impl Deflate {
    /// Tells whether a message of `length` bytes is worth compressing.
    pub fn compresses(&self, _: usize) -> bool {
        match self.0 {}
    }

    /// Tells whether a message of `sender` may refer back to earlier ones.
    pub fn keeps_context(&self, _: Role) -> bool {
        match self.0 {}
    }

    /// How far `sender` looks back: 2^n bytes.
    pub fn window_bits(&self, _: Role) -> u8 {
        match self.0 {}
    }

    pub(crate) fn accept(self, _: &[Extension<'_>]) -> Option<(Self, String)> {
        match self.0 {}
    }

    pub(crate) fn offer(self) -> String {
        match self.0 {}
    }

    pub(crate) fn confirm(self, _: &[Extension<'_>]) -> Option<Self> {
        match self.0 {}
    }
}

/// Compresses messages: in this build, none.
#[derive(Debug)]
pub struct Compressor(Infallible);

/// A compressor that is given back when this is dropped.
pub type LentCompressor = Compressor;

impl Compressor {
    /// A compressor for what `sender` sends under this agreement.
    pub fn new(deflate: &Deflate, _: Role) -> Self {
        match deflate.0 {}
    }

    /// Borrows a compressor from those that the process shares.
    pub fn lend(deflate: &Deflate, _: Role) -> LentCompressor {
        match deflate.0 {}
    }

    /// Compresses a message.
    pub fn compress<'a>(&'a mut self, _: Message<'a>) -> Data<'a> {
        match self.0 {}
    }

    /// Compresses a fragment of a message.
    pub fn compress_fragment<'a>(&'a mut self, _: Message<'_>, _: Progress) -> Data<'a> {
        match self.0 {}
    }

    /// Tells whether the next message may refer back to what was compressed before.
    pub fn has_context(&self) -> bool {
        match self.0 {}
    }

    /// Forgets all that was compressed.
    pub fn reset(&mut self) {
        match self.0 {}
    }

    /// Gives back the memory of a large message.
    pub fn shrink(&mut self) {
        match self.0 {}
    }
}

/// A receiver's compressed messages, of which it has none.
#[derive(Debug)]
pub(crate) struct Inflation(Infallible);

pub(crate) struct Inflated {
    pub(crate) used: usize,
    pub(crate) drained: bool,
}

impl Inflation {
    pub(crate) fn new(deflate: &Deflate, _: Role) -> Self {
        match deflate.0 {}
    }

    pub(crate) fn held(&self) -> &[u8] {
        match self.0 {}
    }

    pub(crate) fn inflate(&mut self, _: &[u8], _: u64, _: usize) -> Result<Inflated, Error> {
        match self.0 {}
    }

    pub(crate) fn finish(&mut self) -> Result<(), Error> {
        match self.0 {}
    }

    pub(crate) fn take(&mut self) -> (Vec<u8>, std::ops::Range<usize>) {
        match self.0 {}
    }

    pub(crate) fn release(&mut self, _: usize) {
        match self.0 {}
    }

    pub(crate) fn discard(&mut self) {
        match self.0 {}
    }

    pub(crate) fn capacity(&self) -> usize {
        match self.0 {}
    }

    pub(crate) fn reclaim(&mut self) -> Vec<u8> {
        match self.0 {}
    }

    pub(crate) fn fork(&self, _: usize) -> Self {
        match self.0 {}
    }
}

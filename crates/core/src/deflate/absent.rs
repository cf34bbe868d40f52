//! What stands for permessage-deflate in a build without the feature `deflate`: nothing of it can be made.

use crate::handshake::Extension;
use crate::{Error, Role};

/// What an endpoint wants of permessage-deflate: in this build, nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deflate {}

impl Deflate {
    pub(crate) fn accept(self, _: &[Extension<'_>]) -> Option<(Self, String)> {
        match self {}
    }

    pub(crate) fn offer(self) -> String {
        match self {}
    }

    pub(crate) fn confirm(self, _: &[Extension<'_>]) -> Option<Self> {
        match self {}
    }
}

/// A receiver's compressed messages, of which it has none.
#[derive(Debug)]
pub(crate) enum Inflation {}

pub(crate) struct Inflated {
    pub(crate) used: usize,
    pub(crate) drained: bool,
}

impl Inflation {
    pub(crate) fn new(deflate: &Deflate, _: Role) -> Self {
        match *deflate {}
    }

    pub(crate) fn held(&self) -> &[u8] {
        match *self {}
    }

    pub(crate) fn inflate(&mut self, _: &[u8], _: u64, _: usize) -> Result<Inflated, Error> {
        match *self {}
    }

    pub(crate) fn finish(&mut self) -> Result<(), Error> {
        match *self {}
    }

    pub(crate) fn release(&mut self, _: usize) {
        match *self {}
    }

    pub(crate) fn discard(&mut self) {
        match *self {}
    }

    pub(crate) fn capacity(&self) -> usize {
        match *self {}
    }

    pub(crate) fn shrink(&mut self) {
        match *self {}
    }

    pub(crate) fn fork(&self, _: usize) -> Self {
        match *self {}
    }
}

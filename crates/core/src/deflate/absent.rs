//! What stands for permessage-deflate in a build without the feature `deflate`: nothing of it can be made.

use crate::handshake::Extension;

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

//! Cutting a large message into fragments (RFC 6455, section 5.4), so that control frames can pass between them.

use raddle_core::{Data, Progress};

/// Cuts a message into fragments of at most `size` bytes; a text is cut between characters.
pub(crate) fn fragments(message: Data<'_>, size: usize) -> impl Iterator<Item = (Data<'_>, Progress)> {
    let mut left = Some(message);
    std::iter::from_fn(move || {
        let (fragment, rest) = left?.split(size);
        left = rest;
        Some((fragment, if left.is_some() { Progress::More } else { Progress::Last }))
    })
}

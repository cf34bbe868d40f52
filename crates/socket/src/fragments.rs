//! Cutting a large message into fragments (RFC 6455, section 5.4), so that control frames can pass between them.

use raddle_core::{Message, Progress};

/// Cuts a message into fragments of at most `size` bytes; a text is cut between characters.
pub(crate) fn fragments(message: Message<'_>, size: usize) -> impl Iterator<Item = (Message<'_>, Progress)> {
    // The longest character has four bytes.
    let size = size.max(4);
    let mut left = Some(message);
    std::iter::from_fn(move || {
        let (fragment, rest) = match left? {
            Message::Text(text) => {
                let end = (0..=size.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
                let (fragment, rest) = text.split_at(end);
                (Message::Text(fragment), Message::Text(rest))
            }
            Message::Binary(bytes) => {
                let (fragment, rest) = bytes.split_at(size.min(bytes.len()));
                (Message::Binary(fragment), Message::Binary(rest))
            }
        };
        left = (!rest.as_bytes().is_empty()).then_some(rest);
        Some((fragment, if left.is_some() { Progress::More } else { Progress::Last }))
    })
}

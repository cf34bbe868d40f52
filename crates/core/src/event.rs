//! What a receiver lends to its driver, and what a sender takes from it.

use crate::{Close, OpCode};

/// A message, or a fragment of one, with its payload borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// UTF-8 text (opcode 1).
    Text(&'a str),
    /// Bytes (opcode 2).
    Binary(&'a [u8]),
}

impl<'a> Message<'a> {
    /// The payload, whatever its type.
    pub fn as_bytes(&self) -> &'a [u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }
}

impl<'a> From<&'a str> for Message<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a String> for Message<'a> {
    fn from(text: &'a String) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a [u8]> for Message<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Binary(bytes)
    }
}

impl<'a> From<&'a Vec<u8>> for Message<'a> {
    fn from(bytes: &'a Vec<u8>) -> Self {
        Self::Binary(bytes)
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Message<'a> {
    fn from(bytes: &'a [u8; N]) -> Self {
        Self::Binary(bytes)
    }
}

/// A message, or a fragment of one, as it goes on the wire: as it is, or what a compressor has made of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Data<'a> {
    /// `Text` or `Binary`.
    pub(crate) kind: OpCode,
    pub(crate) compressed: bool,
    pub(crate) payload: &'a [u8],
}

impl<'a> Data<'a> {
    /// What a compressor has made of `message`.
    #[cfg(feature = "deflate")]
    pub(crate) fn compressed(message: Message<'_>, payload: &'a [u8]) -> Self {
        Self { compressed: true, payload, ..Data::from(message) }
    }

    /// The payload.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.payload
    }

    /// Tells whether a compressor has made it smaller, and the peer has to inflate it.
    pub fn is_compressed(&self) -> bool {
        self.compressed
    }

    /// Cuts it after `size` bytes at most, and between characters where a peer has to find text in each part; always after a
    /// character at least. `None`: there is nothing behind.
    pub fn split(self, size: usize) -> (Self, Option<Self>) {
        // The longest character has four bytes.
        let size = size.max(4);
        if self.payload.len() <= size {
            return (self, None);
        }
        let begins_character = |place: usize| self.payload[place] & 0xc0 != 0x80;
        let end = match self.kind {
            OpCode::Text if !self.compressed => (size - 3..=size).rev().find(|end| begins_character(*end)),
            _ => None,
        };
        let (first, rest) = self.payload.split_at(end.unwrap_or(size));
        (Self { payload: first, ..self }, Some(Self { payload: rest, ..self }))
    }
}

impl<'a, M: Into<Message<'a>>> From<M> for Data<'a> {
    fn from(message: M) -> Self {
        let message = message.into();
        let kind = match message {
            Message::Text(_) => OpCode::Text,
            Message::Binary(_) => OpCode::Binary,
        };
        Self { kind, compressed: false, payload: message.as_bytes() }
    }
}

/// Whether more of a message follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// More follows, if only an empty rest.
    More,
    /// The message is complete.
    Last,
}

/// What the peer has sent. Payloads are borrowed from the receive buffer, unmasked; text is valid UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A whole text message.
    Text(&'a str),
    /// A whole binary message.
    Binary(&'a [u8]),
    /// A part of a message, from [`Receiver::advance_part`](crate::Receiver::advance_part).
    Part(Message<'a>, Progress),
    /// A Ping; [`Sender::react`](crate::Sender::react) answers it (section 5.5.2).
    Ping(&'a [u8]),
    /// A Pong, asked for or not (section 5.5.3).
    Pong(&'a [u8]),
    /// A Close, with its code and reason where it had them. No event follows.
    Close(Option<Close<'a>>),
}

impl<'a> Event<'a> {
    /// The whole message, where the event is one.
    pub fn message(self) -> Option<Message<'a>> {
        match self {
            Self::Text(text) => Some(Message::Text(text)),
            Self::Binary(bytes) => Some(Message::Binary(bytes)),
            _ => None,
        }
    }
}

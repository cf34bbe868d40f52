//! What a receiver lends to its driver, and what a sender takes from it.

use crate::Close;

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

//! What a turn of an event loop has found: events, and messages where they were received.

use std::ops::{ControlFlow, Range};

use raddle_core::{Received, utf8};
use raddle_socket::{Arrived, Driven, End, Message, Turn, keep_input};

use crate::berths::Resident;
use crate::request::Request;

/// What a turn has found.
pub(crate) struct Record {
    /// Messages where they were received.
    pub(crate) arena: Vec<u8>,
    pub(crate) used: usize,
    /// Messages that were not received there: large ones, and those that were compressed.
    pub(crate) apart: Vec<Received>,
    /// Bytes of memory that these have.
    pub(crate) apart_bytes: usize,
    pub(crate) happened: Vec<Happened>,
    /// Of these, so many were given.
    pub(crate) given: usize,
    /// The connections that have ended in this turn.
    pub(crate) departed: Vec<Driven>,
}

pub(crate) enum Happened {
    Request(Box<Request>),
    Open(usize),
    Message(usize, Place),
    Drained(usize),
    /// By its place among those that have departed. Apart, as nearly all that happens is messages.
    Closed(usize, Box<End>),
    /// A request that was given.
    Asked,
}

#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Text,
    Binary,
}

pub(crate) enum Place {
    Arena(Kind, Range<usize>),
    Apart(usize),
}

impl Record {
    pub(crate) fn new() -> Self {
        Self {
            arena: vec![0; ARENA],
            used: 0,
            apart: Vec::new(),
            apart_bytes: 0,
            happened: Vec::new(),
            given: 0,
            departed: Vec::new(),
        }
    }

    pub(crate) fn clear(&mut self) {
        self.used = 0;
        self.apart.drain(..).for_each(|received| keep_input(received.into_memory()));
        self.apart_bytes = 0;
        self.happened.clear();
        self.given = 0;
        self.departed.clear();
    }

    /// Tells whether what more there is has to wait for the next turn.
    pub(crate) fn has_enough(&self) -> bool {
        self.arena.len() - self.used < LEAST_SPACE || self.apart_bytes >= APART
    }

    /// Reads a connection, and notes the messages where they are.
    pub(crate) fn read(&mut self, resident: &mut Resident<()>, key: usize) -> Turn {
        let Self { arena, used, apart, apart_bytes, happened, .. } = self;
        let Some(driven) = &mut resident.driven else { return Turn::Done };
        let (base, length, before) = (arena.as_ptr().addr(), arena.len(), happened.len());
        let mut end = *used;
        let turn = driven.read_behind(arena, &mut end, |_, arrived| {
            let received = match arrived {
                Arrived::Apart(received) => received,
                Arrived::Lent(message) => {
                    let bytes = message.as_bytes();
                    let start = bytes.as_ptr().addr().wrapping_sub(base);
                    if start < length {
                        let kind = if matches!(message, Message::Text(_)) { Kind::Text } else { Kind::Binary };
                        happened.push(Happened::Message(key, Place::Arena(kind, start..start + bytes.len())));
                        return ControlFlow::Continue(());
                    }
                    message.into()
                }
            };
            happened.push(Happened::Message(key, Place::Apart(apart.len())));
            *apart_bytes += received.capacity();
            apart.push(received);
            // A few bytes of what was compressed become a thousand times as many.
            if *apart_bytes < APART { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        // What has left no message behind has left nothing behind.
        if happened.len() > before {
            *used = end;
        }
        turn
    }
}

impl Kind {
    pub(crate) fn lend(self, bytes: &[u8]) -> Message<'_> {
        match self {
            Self::Text => Message::Text(utf8::text(bytes).expect("it was a text when it was received")),
            Self::Binary => Message::Binary(bytes),
        }
    }
}

/// Bytes that a turn receives in place.
const ARENA: usize = 256 * 1024;
/// Bytes of memory of messages that were not received there, with which a turn ends: the last of them may be larger.
const APART: usize = 1 << 20;
/// With less space than this in the arena, the turn ends.
const LEAST_SPACE: usize = 16 * 1024;

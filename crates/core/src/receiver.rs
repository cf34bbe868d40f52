//! The receiving half of a connection: bytes in, events out (RFC 6455, sections 5.4 to 5.8 and 6.2).

mod parsing;

use std::ops::Range;

use crate::buffer::{Buffer, SMALL_READ};
use crate::deflate::Inflation;
use crate::{Close, Deflate, Error, Event, Header, Limits, Message, OpCode, Progress, Received, Role, Rsv1, utf8};

/// Turns received bytes into events, in place: unmasks, checks UTF-8, puts fragments together, and lends the result.
///
/// Bytes go in through [`space`](Self::space) and [`filled`](Self::filled). [`advance`](Self::advance) parses up to the
/// next event, which [`event`](Self::event) lends until the next call to either. The same events come however the bytes
/// are cut, and the work is linear in their number.
#[derive(Debug)]
pub struct Receiver {
    role: Role,
    limits: Limits,
    rsv1: Rsv1,
    buffer: Buffer,
    /// Compressed messages, where they were agreed on.
    inflation: Option<Box<Inflation>>,
    /// The message that has begun and not ended.
    message: Option<Incoming>,
    /// The data frame whose payload is being received.
    payload: Option<Payload>,
    /// The event that is lent. `space` and `advance` clear it before they touch the bytes.
    current: Option<Current>,
    closed: bool,
    failed: Option<Error>,
}

#[derive(Clone, Copy, Debug)]
struct Incoming {
    kind: Kind,
    /// It is inflated, apart from the buffer.
    compressed: bool,
    /// Frames so far.
    fragments: u32,
    /// Bytes so far, as announced by the headers of its frames.
    announced: u64,
    /// Bytes at the start of what is held of it that are known to be whole characters.
    validated: usize,
    /// A part was lent: the rest comes in parts too.
    in_parts: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Binary,
}

#[derive(Clone, Copy, Debug)]
struct Payload {
    fin: bool,
    remaining: u64,
    /// Rotated for the next byte.
    key: Option<[u8; 4]>,
    /// Unread bytes that are unmasked and not inflated yet.
    unmasked: usize,
}

#[derive(Clone, Debug)]
enum Current {
    /// The whole message.
    Message(Kind),
    /// The first bytes of the message.
    Part(Kind, usize, Progress),
    Control(OpCode, Range<usize>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Delivery {
    Whole,
    Parts,
}

impl Receiver {
    /// The receiver of the endpoint that is `role`: a server's takes masked frames, a client's unmasked ones.
    pub fn new(role: Role, limits: Limits) -> Self {
        Self {
            role,
            limits,
            rsv1: Rsv1::Reserved,
            buffer: Buffer::default(),
            inflation: None,
            message: None,
            payload: None,
            current: None,
            closed: false,
            failed: None,
        }
    }

    /// The receiver with compressed messages, as they were agreed on (RFC 7692). `None`: without.
    pub fn with_deflate(mut self, agreed: Option<Deflate>) -> Self {
        self.inflation = agreed.map(|deflate| Box::new(Inflation::new(&deflate, self.role)));
        self.rsv1 = if self.inflation.is_some() { Rsv1::Compressed } else { Rsv1::Reserved };
        self
    }

    /// Makes a receiver [at rest](Self::is_at_rest) that of another connection, without compressed messages: what a new one would be, at
    /// less than the cost of it.
    pub fn renew(&mut self, role: Role, limits: Limits) {
        debug_assert!(self.is_at_rest(), "there is something of another connection left");
        (self.role, self.limits, self.rsv1) = (role, limits, Rsv1::Reserved);
    }

    /// Lends space for the next read, at least one byte. Clears the event.
    pub fn space(&mut self) -> &mut [u8] {
        self.clear();
        let wanted = self.coming().unwrap_or(usize::MAX);
        self.buffer.space(wanted)
    }

    /// Notes that the first `count` bytes of the space were filled.
    pub fn filled(&mut self, count: usize) {
        self.buffer.filled(count);
    }

    /// Takes a copy of `bytes`, which were received elsewhere: behind the head of an opening handshake, for example.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let space = self.space();
            let count = bytes.len().min(space.len());
            space[..count].copy_from_slice(&bytes[..count]);
            self.filled(count);
            bytes = &bytes[count..];
        }
    }

    /// Parses up to the next event: a whole message or a control frame. `false`: more bytes are needed.
    ///
    /// After a Close no event follows, and what is received is dropped. An error is final, and given again by every
    /// further call.
    #[inline]
    pub fn advance(&mut self) -> Result<bool, Error> {
        // Nearly all messages come whole, one behind the other: these few lines are all that is done for them.
        self.clear();
        if self.message.is_none() && !self.closed && self.failed.is_none() {
            if self.buffer.unread().is_empty() {
                return Ok(false);
            }
            self.current = self.whole().map_err(|error| self.fail(error))?.map(Current::Message);
            if self.current.is_some() {
                return Ok(true);
            }
        }
        self.step(Delivery::Whole)
    }

    /// Parses as [`advance`](Self::advance) does, but lends a message in parts, as they arrive: for messages larger than
    /// memory. The limits hold all the same.
    ///
    /// A message of which a part was lent comes in parts to its end, whichever call asks for the rest.
    pub fn advance_part(&mut self) -> Result<bool, Error> {
        self.clear();
        self.step(Delivery::Parts)
    }

    /// Lends the event that the last [`advance`](Self::advance) has found.
    #[inline]
    pub fn event(&self) -> Option<Event<'_>> {
        match self.message() {
            Some(Message::Text(text)) => Some(Event::Text(text)),
            Some(Message::Binary(bytes)) => Some(Event::Binary(bytes)),
            None => self.other_event(),
        }
    }

    #[inline(never)]
    fn other_event(&self) -> Option<Event<'_>> {
        Some(match self.current.as_ref()? {
            Current::Message(_) => return None,
            Current::Part(kind, length, progress) => Event::Part(lend(*kind, &self.assembled()[..*length]), *progress),
            Current::Control(OpCode::Ping, range) => Event::Ping(self.buffer.at(range.clone())),
            Current::Control(OpCode::Pong, range) => Event::Pong(self.buffer.at(range.clone())),
            Current::Control(_, range) => {
                Event::Close(Close::parse(self.buffer.at(range.clone())).expect("parsed before it was made the event"))
            }
        })
    }

    /// Lends the event where it is a whole message: one that asks nothing of the sender.
    #[inline]
    pub fn message(&self) -> Option<Message<'_>> {
        match self.current {
            Some(Current::Message(kind)) => Some(lend(kind, self.assembled())),
            _ => None,
        }
    }

    /// Tells whether the next frame is a Close, whole or not.
    pub fn is_before_close(&self) -> bool {
        let is_close = |first: &u8| first & 0x0f == OpCode::Close as u8;
        !self.closed && self.payload.is_none() && self.buffer.unread().first().is_some_and(is_close)
    }

    /// Takes the event where it is a whole message, with the memory that it was received in; what was received behind it is
    /// moved to memory of its own. `None`: the event is something else.
    pub fn take_message(&mut self) -> Option<Received> {
        let Some(Current::Message(kind)) = self.current else { return None };
        let (bytes, place) = match &mut self.inflation {
            Some(inflation) if self.message.is_some_and(|message| message.compressed) => inflation.take(),
            _ => self.buffer.take_message(),
        };
        (self.current, self.message) = (None, None);
        Some(Received::new(bytes, place, kind))
    }

    /// Tells whether the message that is lent was compressed, and so has a place of its own, not where bytes are received.
    pub fn is_inflated(&self) -> bool {
        self.is_compressed()
    }

    /// Tells whether the message that is lent is most of what is held: [`take_message`](Self::take_message) moves less than it gives.
    pub fn is_mostly_message(&self) -> bool {
        self.buffer.message().len() >= self.buffer.unread().len()
    }

    /// Tells whether another whole frame, or a header that breaks a rule, is already there: whether
    /// [`advance`](Self::advance) has something to do before it needs more bytes.
    pub fn has_frame(&self) -> bool {
        let unread = self.buffer.unread();
        if self.closed || self.failed.is_some() || unread.is_empty() {
            return false;
        }
        match self.payload {
            Some(payload) => unread.len() as u64 >= payload.remaining,
            // Whatever a short frame is.
            None if Header::short_frame(unread).is_some_and(|length| length <= unread.len()) => true,
            None => match Header::parse(unread, self.role, self.rsv1) {
                Ok(Some((header, length))) => (unread.len() - length) as u64 >= header.length,
                Ok(None) => false,
                Err(_) => true,
            },
        }
    }

    /// Tells whether another whole message of one frame is already there: whether [`advance`](Self::advance) gives a message, or
    /// finds that it breaks a rule, before it needs more bytes.
    pub fn has_message(&self) -> bool {
        let is_amid = match self.current {
            Some(Current::Message(_) | Current::Part(.., Progress::Last)) => false,
            _ => self.message.is_some(),
        };
        if is_amid || self.payload.is_some() || self.closed || self.failed.is_some() {
            return false;
        }
        let unread = self.buffer.unread();
        match Header::parse(unread, self.role, self.rsv1) {
            Ok(Some((header, length))) => {
                let is_message = header.fin && matches!(header.opcode, OpCode::Text | OpCode::Binary);
                is_message && (unread.len() - length) as u64 >= header.length
            }
            _ => false,
        }
    }

    /// Tells whether a message or a frame has begun to arrive behind what is lent, and is not complete or not yet parsed.
    pub fn is_amid_message(&self) -> bool {
        let is_open = match self.current {
            Some(Current::Message(_) | Current::Part(.., Progress::Last)) => false,
            _ => self.message.is_some(),
        };
        !self.closed && self.failed.is_none() && (is_open || !self.buffer.unread().is_empty())
    }

    /// Tells whether anything was received behind what is lent that is not parsed yet.
    #[inline]
    pub fn has_unread(&self) -> bool {
        !self.buffer.unread().is_empty()
    }

    /// Tells whether the event is a whole message: one that asks nothing of the sender.
    #[inline]
    pub fn is_whole_message(&self) -> bool {
        matches!(self.current, Some(Current::Message(_)))
    }

    /// Tells whether more bytes have probably arrived than the last read had space for.
    pub fn is_hungry(&self) -> bool {
        self.buffer.is_hungry()
    }

    /// Tells whether the peer's Close was received.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Tells whether the peer has broken a rule, or a limit: whether [`advance`](Self::advance) gives an error for good.
    pub fn has_failed(&self) -> bool {
        self.failed.is_some()
    }

    /// Tells whether a new receiver would go on just the same: nothing is held, lent or begun, nothing has ended, and there is
    /// no context of compressed messages. So a driver of many connections need not keep one for each.
    pub fn is_at_rest(&self) -> bool {
        let has_ended = self.closed || self.failed.is_some();
        let has_begun = self.message.is_some() || self.payload.is_some() || self.current.is_some();
        !has_ended && !has_begun && self.held() == 0 && self.inflation.is_none()
    }

    /// Bytes of memory that the receive buffer occupies, and what is inflated; without those of the inflater.
    pub fn capacity(&self) -> usize {
        self.buffer.capacity() + self.inflation.as_ref().map_or(0, |inflation| inflation.capacity())
    }

    /// Gives back all memory but what the bytes of an incomplete message need. Clears the event.
    pub fn shrink(&mut self) {
        self.shrink_with(drop);
    }

    /// As [`shrink`](Self::shrink), for a driver that has a way of its own to give memory back: what was held in it is of no
    /// more use.
    pub fn shrink_with(&mut self, mut give_back: impl FnMut(Vec<u8>)) {
        self.clear();
        give_back(self.buffer.reclaim());
        if let Some(inflation) = &mut self.inflation {
            give_back(inflation.reclaim());
            if self.closed || self.failed.is_some() {
                inflation.discard();
            }
        }
    }

    /// Bytes that were received and not lent: of an incomplete message, or not parsed yet.
    pub fn held(&self) -> usize {
        self.buffer.held()
    }

    /// As [`held`](Self::held), with what was inflated of an incomplete message.
    pub fn kept(&self) -> usize {
        self.buffer.held() + self.inflation.as_ref().map_or(0, |inflation| inflation.held().len())
    }

    /// Bytes of memory that are taken up by what is not complete: as many as the buffer has, but no more than the message needs as its
    /// header announces it, and what is inflated.
    pub fn occupied(&self) -> usize {
        let needed = self.coming().map_or(usize::MAX, |coming| self.held().saturating_add(coming));
        let inflated = self.inflation.as_ref().map_or(0, |inflation| inflation.capacity());
        self.buffer.capacity().min(needed) + inflated
    }

    /// The bytes of memory in which the message that is being received would have its place, with some for a read behind it, where the
    /// buffer is smaller. As its header announces it: nothing is to be taken from the system for that.
    pub fn lacks(&self) -> Option<usize> {
        let wanted = self.buffer.held().checked_add(self.coming()?.max(SMALL_READ))?;
        (self.payload.is_some() && wanted > self.buffer.capacity()).then_some(wanted)
    }

    /// Bytes that are known to be coming: the rest of the payload, and a header behind it. `None`: more than there can be.
    fn coming(&self) -> Option<usize> {
        let Some(payload) = self.payload else { return Some(0) };
        usize::try_from(payload.remaining).ok()?.checked_add(Header::MAX_LEN)
    }

    /// Goes on in memory that is lent for a while: many connections that are read one after the other can do with one
    /// buffer. What is held moves there. Clears the event. Gives the memory that it was in.
    #[must_use = "it may be large, and of use to others"]
    pub fn lend(&mut self, memory: Vec<u8>) -> Vec<u8> {
        self.lend_behind(memory, 0)
    }

    /// Goes on as behind [`lend`](Self::lend), but leaves the first `base` bytes of the memory alone: messages that were lent
    /// before, of this receiver or another, stay there.
    ///
    /// # Panics
    /// Where there are fewer bytes than that.
    #[must_use = "it may be large, and of use to others"]
    pub fn lend_behind(&mut self, memory: Vec<u8>, base: usize) -> Vec<u8> {
        assert!(base <= memory.len(), "the memory is shorter than what is to be left alone");
        self.clear();
        self.buffer.lend(memory, base)
    }

    /// Where the bytes end, in the memory that was lent, that were received so far.
    pub fn end(&self) -> usize {
        self.buffer.end()
    }

    /// Gives the memory back, and keeps what is held in memory of its own: none, where nothing is. Clears the event.
    pub fn reclaim(&mut self) -> Vec<u8> {
        self.clear();
        if let Some(inflation) = self.inflation.as_mut().filter(|inflation| inflation.held().is_empty()) {
            drop(inflation.reclaim());
        }
        self.buffer.reclaim()
    }

    /// Makes the receiver that goes on where this one stands, in a buffer of its own, while this one's event stays lent.
    /// The unread bytes and an incomplete message are copied. The context of compressed messages goes with it: this receiver
    /// is not to go on where messages are compressed.
    pub fn fork(&self) -> Self {
        let (lent, message) = match self.current {
            Some(Current::Message(_)) => (self.assembled().len(), None),
            Some(Current::Part(_, length, Progress::Last)) => (length, None),
            Some(Current::Part(_, length, Progress::More)) => {
                (length, self.message.map(|message| message.past(length)))
            }
            _ => (0, self.message),
        };
        let of_buffer = if self.is_compressed() { 0 } else { lent };
        Self {
            buffer: Buffer::with(&self.buffer.message()[of_buffer..], self.buffer.unread()),
            inflation: self.inflation.as_ref().map(|inflation| Box::new(inflation.fork(lent - of_buffer))),
            message,
            current: None,
            ..*self
        }
    }

    /// Tells whether the message that has begun, or is lent, is inflated.
    fn is_compressed(&self) -> bool {
        self.message.is_some_and(|message| message.compressed)
    }

    /// What is held of that message.
    #[inline]
    fn assembled(&self) -> &[u8] {
        // One of one frame that was not compressed is there, and nearly all are.
        match self.message {
            Some(Incoming { compressed: true, .. }) => {
                self.inflation.as_ref().map_or(&[], |inflation| inflation.held())
            }
            _ => self.buffer.message(),
        }
    }

    fn release(&mut self, count: usize) {
        match &mut self.inflation {
            Some(inflation) if self.message.is_some_and(|message| message.compressed) => inflation.release(count),
            _ => self.buffer.release(count),
        }
    }

    #[inline]
    fn clear(&mut self) {
        if self.message.is_none() {
            // There is at most a message that had one frame, and was not compressed.
            self.buffer.release_all();
            self.current = None;
        } else {
            self.clear_assembled();
        }
    }

    #[inline(never)]
    fn clear_assembled(&mut self) {
        match self.current.take() {
            Some(Current::Message(_)) => {
                self.release(self.assembled().len());
                self.message = None;
            }
            Some(Current::Part(_, length, progress)) => {
                self.release(length);
                self.message = match progress {
                    Progress::More => self.message.map(|message| message.past(length)),
                    Progress::Last => None,
                };
            }
            Some(Current::Control(..)) | None => {}
        }
    }

    /// Goes on, once the event is cleared.
    fn step(&mut self, delivery: Delivery) -> Result<bool, Error> {
        if !self.closed && self.failed.is_none() {
            return self.parse(delivery).map_err(|error| self.fail(error));
        }
        self.discard();
        self.failed.map_or(Ok(false), Err)
    }

    #[cold]
    fn fail(&mut self, error: Error) -> Error {
        self.failed = Some(error);
        self.discard();
        error
    }

    /// Drops what came after the end.
    fn discard(&mut self) {
        self.buffer.discard();
        if let Some(inflation) = &mut self.inflation {
            inflation.discard();
        }
    }
}

impl Incoming {
    /// The message after its first `length` bytes were lent and released.
    fn past(self, length: usize) -> Self {
        Self { validated: self.validated - length, ..self }
    }
}

/// Lends the bytes of a message as what they are.
pub(crate) fn lend(kind: Kind, bytes: &[u8]) -> Message<'_> {
    match kind {
        Kind::Text => Message::Text(utf8::validated(bytes)),
        Kind::Binary => Message::Binary(bytes),
    }
}

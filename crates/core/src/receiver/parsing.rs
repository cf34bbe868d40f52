//! From bytes that were received to the next event: a whole message in one step, and everything else piece by piece.

use super::{Current, Delivery, Incoming, Kind, Payload, Receiver};
use crate::{Close, Error, Header, OpCode, Progress, mask, utf8};

impl Receiver {
    /// Takes an uncompressed message of one frame that has arrived whole, where no message has begun. `None`: what comes next is not such
    /// a message, and [`parse`](Self::parse) takes it piece by piece.
    #[inline]
    pub(super) fn whole(&mut self) -> Result<Option<Kind>, Error> {
        let unread = self.buffer.unread();
        let Some((header, length)) = Header::parse(unread, self.role, self.rsv1)? else { return Ok(None) };
        let kind = match header.opcode {
            OpCode::Text => Kind::Text,
            OpCode::Binary => Kind::Binary,
            _ => return Ok(None),
        };
        let arrived = (unread.len() - length) as u64;
        let largest = arrived.min(self.limits.frame).min(self.limits.message);
        if !header.fin || header.rsv1 || header.length > largest || self.limits.fragments == 0 {
            return Ok(None);
        }
        let payload = self.buffer.whole(length, header.length as usize);
        if let Some(key) = header.mask {
            mask::apply(payload, key);
        }
        if kind == Kind::Text && utf8::valid_prefix(payload)? < payload.len() {
            return Err(Error::InvalidUtf8);
        }
        Ok(Some(kind))
    }

    #[inline(never)]
    pub(super) fn parse(&mut self, delivery: Delivery) -> Result<bool, Error> {
        // A fragment that was received while the message was asked for whole.
        if delivery == Delivery::Parts
            && self.payload.is_none()
            && let Some(message) = &mut self.message
            && message.validated > 0
        {
            message.in_parts = true;
            self.current = Some(Current::Part(message.kind, message.validated, Progress::More));
            return Ok(true);
        }
        loop {
            if let Some(payload) = self.payload {
                if !self.receive(payload, delivery)? {
                    return Ok(self.current.is_some());
                }
                continue;
            }
            let unread = self.buffer.unread();
            let Some((header, length)) = Header::parse(unread, self.role, self.rsv1)? else { return Ok(false) };
            if header.opcode.is_control() {
                if ((unread.len() - length) as u64) < header.length {
                    return Ok(false);
                }
                self.buffer.skip(length);
                self.control(header)?;
                return Ok(true);
            }
            self.begin(header)?;
            self.buffer.skip(length);
        }
    }

    /// Takes the header of a data frame: opens a message or goes on with it, within the limits.
    fn begin(&mut self, header: Header) -> Result<(), Error> {
        let opened = match header.opcode {
            OpCode::Text => Some(Kind::Text),
            OpCode::Binary => Some(Kind::Binary),
            _ => None,
        };
        let mut message = match (self.message, opened) {
            (None, Some(kind)) => {
                let compressed = header.rsv1;
                Incoming { kind, compressed, fragments: 0, announced: 0, validated: 0, in_parts: false }
            }
            (Some(message), None) => message,
            (None, None) => return Err(Error::UnexpectedContinuation),
            (Some(_), Some(_)) => return Err(Error::ExpectedContinuation),
        };
        message.fragments = message.fragments.saturating_add(1);
        message.announced = message.announced.checked_add(header.length).ok_or(Error::MessageTooBig)?;
        if header.length > self.limits.frame || message.announced > self.limits.message {
            return Err(Error::MessageTooBig);
        }
        if message.fragments > self.limits.fragments {
            return Err(Error::TooManyFragments);
        }
        self.message = Some(message);
        self.payload = Some(Payload { fin: header.fin, remaining: header.length, key: header.mask, unmasked: 0 });
        Ok(())
    }

    /// Takes what has arrived of a data frame's payload. `true`: the frame has ended and its message goes on.
    fn receive(&mut self, mut payload: Payload, delivery: Delivery) -> Result<bool, Error> {
        let unread = self.buffer.unread().len();
        let count = usize::try_from(payload.remaining).unwrap_or(usize::MAX).min(unread);
        let ended = if self.is_compressed() {
            let inflated = self.inflate(&mut payload, count, delivery);
            if inflated.is_err()
                && let Some(message) = self.message.filter(|message| message.kind == Kind::Text)
            {
                // The first error is the one, wherever the bytes are cut.
                utf8::valid_prefix(&self.assembled()[message.validated..])?;
            }
            inflated?
        } else {
            let bytes = self.buffer.join(count);
            if let Some(key) = payload.key {
                payload.key = Some(mask::apply(bytes, key));
            }
            payload.remaining -= count as u64;
            payload.remaining == 0
        };
        let complete = ended && payload.fin;
        self.payload = (!ended).then_some(payload);
        let message = self.message.as_mut().expect("a payload belongs to a message");
        let held = match &self.inflation {
            Some(inflation) if message.compressed => inflation.held(),
            _ => self.buffer.message(),
        };
        // Fail fast: what can never become text is refused as it arrives (section 8.1).
        message.validated = match message.kind {
            Kind::Text => message.validated + utf8::valid_prefix(&held[message.validated..])?,
            Kind::Binary => held.len(),
        };
        if complete && message.validated < held.len() {
            return Err(Error::InvalidUtf8);
        }
        if delivery == Delivery::Parts || message.in_parts {
            if complete || message.validated > 0 {
                let progress = if complete { Progress::Last } else { Progress::More };
                message.in_parts = true;
                self.current = Some(Current::Part(message.kind, message.validated, progress));
                return Ok(false);
            }
        } else if complete {
            self.current = Some(Current::Message(message.kind));
            return Ok(false);
        }
        Ok(ended)
    }

    /// Inflates `count` bytes of a payload, or as many as make a part. `true`: the frame has ended.
    fn inflate(&mut self, payload: &mut Payload, count: usize, delivery: Delivery) -> Result<bool, Error> {
        let inflation = self.inflation.as_mut().expect("RSV1 was agreed on");
        let bytes = self.buffer.unread_mut(count);
        if let Some(key) = payload.key {
            payload.key = Some(mask::apply(&mut bytes[payload.unmasked..], key));
        }
        let enough = if delivery == Delivery::Parts { LARGE_PART } else { usize::MAX };
        let inflated = inflation.inflate(bytes, self.limits.message, enough)?;
        self.buffer.skip(inflated.used);
        payload.unmasked = count - inflated.used;
        payload.remaining -= inflated.used as u64;
        let ended = payload.remaining == 0 && inflated.drained;
        if ended && payload.fin {
            inflation.finish()?;
        }
        Ok(ended)
    }

    /// Takes a whole control frame, which stands at the start of the unread bytes.
    fn control(&mut self, header: Header) -> Result<(), Error> {
        let length = usize::try_from(header.length).expect("at most 125");
        let (range, payload) = self.buffer.take(length);
        if let Some(key) = header.mask {
            mask::apply(payload, key);
        }
        if header.opcode == OpCode::Close {
            Close::parse(payload)?;
            self.closed = true;
            self.message = None;
            self.payload = None;
        }
        self.current = Some(Current::Control(header.opcode, range));
        Ok(())
    }
}

/// About the largest part that is made of what was compressed: so that few bytes received do not become a lot of memory.
const LARGE_PART: usize = 64 * 1024;

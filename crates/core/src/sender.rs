//! The sending half of a connection: messages in, bytes out (RFC 6455, sections 5.4, 5.5, 6.1 and 7.1.2).

use std::fmt;

use crate::short::{self, SHORT};
use crate::{Close, Data, Error, Event, Header, OpCode, Progress, SendError, mask};

/// A source of masking keys, which a client needs (RFC 6455, section 5.3): unpredictable, a fresh one for every frame.
pub trait MaskingKeys: Send {
    /// The next key. `None`: the source has failed, and nothing is sent.
    fn next_key(&mut self) -> Option<[u8; 4]>;
}

/// Turns messages and control frames into bytes for the peer.
///
/// What is to be written waits in [`output`](Self::output); after a write, [`written`](Self::written) takes it out.
/// A call that fails has put nothing there.
pub struct Sender {
    /// `None`: as when there is nothing in it.
    aside: Option<Box<Aside>>,
    /// Whole frames. Apart, because a sender that has nothing to write does without.
    output: Option<Box<Output>>,
    /// The driver has taken output, or could not write all of it: the peer may be slow.
    behind: bool,
    /// The type of the fragmented message that is being sent, and whether it is compressed.
    message: Option<(OpCode, bool)>,
    closed: bool,
}

/// Memory for what a [`Sender`] has to write, which many that write one after the other can share: see
/// [`lend`](Sender::lend).
#[derive(Debug, Default)]
pub struct Memory {
    output: Box<Output>,
}

#[derive(Debug, Default)]
struct Output {
    bytes: Vec<u8>,
    /// Bytes at the start that were written.
    written: usize,
}

/// What a server's senders, of which there are many, have nearly none of at a time.
#[derive(Default)]
struct Aside {
    /// A client's source of masking keys.
    keys: Option<Box<dyn MaskingKeys>>,
    /// The answer to the newest Ping, while we are behind: older ones need none (section 5.5.3).
    pong: Option<Box<Control>>,
}

impl Sender {
    /// The sender of a server: its frames are not masked.
    pub fn server() -> Self {
        Self { aside: None, output: None, behind: false, message: None, closed: false }
    }

    /// The sender of a client: every frame is masked with a key from `keys`.
    pub fn client(keys: Box<dyn MaskingKeys>) -> Self {
        Self { aside: Some(Box::new(Aside { keys: Some(keys), pong: None })), ..Self::server() }
    }

    /// Tells whether frames are sent without masking, so that a payload can be written from where it is.
    #[inline]
    pub fn is_unmasked(&self) -> bool {
        self.aside.as_ref().is_none_or(|aside| aside.keys.is_none())
    }

    /// Sends a whole message in one frame: a [`Message`](crate::Message), or what a compressor has made of one.
    #[inline]
    pub fn send<'m>(&mut self, message: impl Into<Data<'m>>) -> Result<(), SendError> {
        let message = message.into();
        self.check_whole()?;
        self.frame(message.kind, message.compressed, Progress::Last, message.payload)
    }

    /// Sends a fragment of a message. The first one begins it, the one with [`Progress::Last`] ends it; between them
    /// only control frames can be sent (section 5.4). A text's fragments are text too: cut it between characters.
    pub fn send_fragment<'m>(&mut self, fragment: impl Into<Data<'m>>, progress: Progress) -> Result<(), SendError> {
        let fragment = fragment.into();
        let opcode = self.turn(fragment)?;
        self.frame(opcode, fragment.compressed, progress, fragment.payload)?;
        self.message = (progress == Progress::More).then_some((fragment.kind, fragment.compressed));
        Ok(())
    }

    /// Puts only the header of a fragment in the output: the caller writes its payload directly behind the output.
    /// For a server, whose payloads are not masked; a fragment that is the first and the last is the whole message.
    ///
    /// # Panics
    /// For a client.
    pub fn send_header<'m>(&mut self, fragment: impl Into<Data<'m>>, progress: Progress) -> Result<(), SendError> {
        let fragment = fragment.into();
        assert!(self.is_unmasked(), "a client's payload has to be masked");
        let opcode = self.turn(fragment)?;
        self.flush_pong()?;
        let fin = progress == Progress::Last;
        let length = fragment.payload.len() as u64;
        // It marks the message, and stands on its first frame only (RFC 7692, section 6.1).
        let rsv1 = fragment.compressed && opcode != OpCode::Continuation;
        Header { fin, rsv1, opcode, mask: None, length }.encode(self.end(Header::MAX_LEN));
        self.message = (progress == Progress::More).then_some((fragment.kind, fragment.compressed));
        Ok(())
    }

    /// Sends a whole message that was encoded for many connections: the output of another server's sender.
    ///
    /// # Panics
    /// For a client, whose frames are masked each with a key of its own.
    pub fn send_encoded(&mut self, frames: &[u8]) -> Result<(), SendError> {
        assert!(self.is_unmasked(), "a client masks each frame afresh");
        self.check_whole()?;
        self.end(frames.len()).extend_from_slice(frames);
        Ok(())
    }

    /// Sends a Ping with a payload of at most 125 bytes.
    pub fn ping(&mut self, payload: &[u8]) -> Result<(), SendError> {
        self.control(OpCode::Ping, payload)
    }

    /// Sends a Pong that answers no Ping (section 5.5.3), with a payload of at most 125 bytes.
    pub fn pong(&mut self, payload: &[u8]) -> Result<(), SendError> {
        self.control(OpCode::Pong, payload)
    }

    /// Sends a Close, with a code and reason or none. Nothing can be sent after it.
    pub fn close(&mut self, close: Option<Close<'_>>) -> Result<(), SendError> {
        let mut payload = [0; 125];
        let length = match close {
            Some(close) => close.encode(&mut payload)?,
            None => 0,
        };
        // Nothing goes out behind a Close.
        if !self.closed {
            self.flush_pong()?;
        }
        self.control(OpCode::Close, &payload[..length])?;
        self.closed = true;
        Ok(())
    }

    /// Does what the protocol asks for after an event: a Pong for a Ping, a Close for a Close.
    ///
    /// While the peer does not take our output, only the newest Ping is answered. After our Close nothing is sent.
    pub fn react(&mut self, event: &Event<'_>) {
        if self.closed {
            return;
        }
        match event {
            // One that waits already would come behind this one's.
            Event::Ping(payload) if self.behind || self.postponed_pong().is_some() => {
                self.aside.get_or_insert_default().pong = Control::new(payload).map(Box::new)
            }
            Event::Ping(payload) => {
                // Where no masking key can be had, nothing is sent.
                let _ = self.pong(payload);
            }
            Event::Close(close) => {
                // The peer's code is sent back (section 5.5.1).
                let _ = self.close(close.map(|close| Close::code(close.code)));
                self.closed = true;
            }
            _ => {}
        }
    }

    /// Fails the connection (section 7.1.7): sends a Close with the error's code, if no Close was sent.
    pub fn fail(&mut self, error: Error) {
        let _ = self.close(Some(Close { code: error.close_code(), reason: error.reason() }));
        self.closed = true;
    }

    /// Tells whether a Close was sent, or can no longer be sent.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Tells whether a fragmented message is being sent.
    pub fn is_amid_message(&self) -> bool {
        self.message.is_some()
    }

    /// What is to be written, frame by frame in the order of the calls; behind all that, the Pong that waits.
    pub fn output(&mut self) -> &[u8] {
        // Not sooner: a peer that takes nothing would have one more with each attempt to write.
        if self.is_empty() {
            let _ = self.flush_pong();
        }
        self.output.as_ref().map_or(&[], |output| &output.bytes[output.written..])
    }

    /// Bytes that wait to be written.
    pub fn queued(&self) -> usize {
        self.waiting() + self.postponed_pong().map_or(0, |pong| Header::MAX_LEN + pong.length)
    }

    /// Bytes that wait to be written, without the Pong that waits behind them.
    #[inline]
    pub fn waiting(&self) -> usize {
        self.output.as_ref().map_or(0, |output| output.bytes.len() - output.written)
    }

    /// Takes `count` bytes off the output, after they were written. 0 says that the peer takes none now.
    pub fn written(&mut self, count: usize) {
        let output = self.output.get_or_insert_default();
        output.written += count;
        assert!(output.written <= output.bytes.len(), "more bytes were written than there were");
        // An output that never runs empty must not keep all that was ever written; what is moved is less than what left.
        if output.written > output.bytes.len() / 2 {
            output.bytes.drain(..output.written);
            output.written = 0;
        }
        self.behind = !self.is_empty();
    }

    /// Moves the whole output to the end of `to`, for a driver that writes while others send. Where `to` is empty, its
    /// memory is kept for what comes next; where it still holds what was taken before, the Pong that waits goes on
    /// waiting. To be followed by [`taken_written`](Self::taken_written).
    pub fn take_output(&mut self, to: &mut Vec<u8>) {
        if to.is_empty() {
            let _ = self.flush_pong();
        }
        if let Some(output) = &mut self.output {
            if to.is_empty() && output.written == 0 {
                std::mem::swap(to, &mut output.bytes);
            } else {
                to.extend_from_slice(&output.bytes[output.written..]);
                output.bytes.clear();
                output.written = 0;
            }
        }
        self.behind = true;
    }

    /// Notes that what [`take_output`](Self::take_output) gave was written.
    pub fn taken_written(&mut self) {
        self.behind = false;
    }

    /// Takes memory for the output, where it has none.
    pub fn lend(&mut self, memory: impl FnOnce() -> Memory) {
        self.output.get_or_insert_with(|| memory().output);
    }

    /// Gives the memory of an empty output back, for another sender. `None`: there is none, or it is not empty.
    pub fn reclaim(&mut self) -> Option<Memory> {
        self.output.take_if(|output| output.bytes.is_empty()).map(|output| Memory { output })
    }

    /// Gives back the memory of an empty output.
    pub fn shrink(&mut self) {
        drop(self.reclaim());
    }

    /// The Pong that waits.
    fn postponed_pong(&self) -> Option<&Control> {
        self.aside.as_ref()?.pong.as_deref()
    }

    fn is_empty(&self) -> bool {
        self.output.as_ref().is_none_or(|output| output.bytes.is_empty())
    }

    /// Where the next frame goes, of `more` bytes at most.
    #[inline]
    fn end(&mut self, more: usize) -> &mut Vec<u8> {
        let bytes = &mut self.output.get_or_insert_default().bytes;
        if bytes.capacity() - bytes.len() < more {
            bytes.reserve(more);
        }
        bytes
    }

    /// Fails where no whole message can be sent now.
    #[inline]
    fn check_whole(&self) -> Result<(), SendError> {
        match self.message {
            _ if self.closed => Err(SendError::Closed),
            Some(_) => Err(SendError::MessageOpen),
            None => Ok(()),
        }
    }

    /// The opcode of the next data frame, or why none can be sent now.
    #[inline]
    fn turn(&self, fragment: Data<'_>) -> Result<OpCode, SendError> {
        match self.message {
            _ if self.closed => Err(SendError::Closed),
            None => Ok(fragment.kind),
            Some(begun) if begun == (fragment.kind, fragment.compressed) => Ok(OpCode::Continuation),
            Some(_) => Err(SendError::MixedMessage),
        }
    }

    fn control(&mut self, opcode: OpCode, payload: &[u8]) -> Result<(), SendError> {
        if self.closed {
            return Err(SendError::Closed);
        }
        if payload.len() > MAX_CONTROL {
            return Err(SendError::ControlTooLong);
        }
        self.frame(opcode, false, Progress::Last, payload)
    }

    fn flush_pong(&mut self) -> Result<(), SendError> {
        let Some(pong) = self.aside.as_mut().and_then(|aside| aside.pong.take()) else { return Ok(()) };
        self.aside.take_if(|aside| aside.keys.is_none());
        self.frame(OpCode::Pong, false, Progress::Last, &pong.payload[..pong.length])
    }

    /// All frames leave here.
    #[inline]
    fn frame(&mut self, opcode: OpCode, compressed: bool, progress: Progress, payload: &[u8]) -> Result<(), SendError> {
        let fin = progress == Progress::Last;
        // It marks the message, and stands on its first frame only (RFC 7692, section 6.1).
        let rsv1 = compressed && opcode != OpCode::Continuation;
        let header = Header { fin, rsv1, opcode, mask: None, length: payload.len() as u64 };
        if !self.is_unmasked() {
            return self.masked_frame(header, payload);
        }
        if payload.len() <= SHORT {
            short::append(&mut self.output.get_or_insert_default().bytes, header.short(), payload);
            return Ok(());
        }
        let output = self.end(Header::MAX_LEN + payload.len());
        header.encode(output);
        output.extend_from_slice(payload);
        Ok(())
    }

    fn masked_frame(&mut self, header: Header, payload: &[u8]) -> Result<(), SendError> {
        let keys = self.aside.as_mut().and_then(|aside| aside.keys.as_mut()).expect("it was looked for");
        let key = keys.next_key().ok_or(SendError::NoMaskingKey)?;
        let output = self.end(Header::MAX_LEN + payload.len());
        Header { mask: Some(key), ..header }.encode(output);
        mask::append(output, payload, key);
        Ok(())
    }
}

impl Memory {
    /// Takes the memory of what was written, to be used again.
    pub fn hold(&mut self, mut written: Vec<u8>) {
        written.clear();
        *self.output = Output { bytes: written, written: 0 };
    }

    /// Bytes that it has room for.
    pub fn capacity(&self) -> usize {
        self.output.bytes.capacity()
    }

    /// Gives up what it is, for the bytes that it consists of.
    pub fn into_bytes(self) -> Vec<u8> {
        self.output.bytes
    }
}

impl fmt::Debug for Sender {
    // Without payloads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("queued", &self.queued())
            .field("message", &self.message)
            .field("closed", &self.closed)
            .finish_non_exhaustive()
    }
}

/// The payload of a control frame.
struct Control {
    payload: [u8; MAX_CONTROL],
    length: usize,
}

impl Control {
    fn new(bytes: &[u8]) -> Option<Self> {
        let mut payload = [0; MAX_CONTROL];
        payload.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(Self { payload, length: bytes.len() })
    }
}

const MAX_CONTROL: usize = 125;

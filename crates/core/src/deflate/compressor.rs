//! Compressing (RFC 7692, section 7.2.1): messages in, what goes on the wire for them out.

use std::fmt;
use std::ops::{Deref, DerefMut};

use zlib_rs::{DeflateConfig, DeflateFlush, Status};

use super::Deflate;
use super::census::{COMPRESSORS, Counted};
use super::pool::Pool;
use crate::{Data, Message, Progress, Role};

/// Compresses messages for one direction of one connection, or, without context takeover, for any of the same parameters.
///
/// What comes out has to be sent, in the same order, or [`reset`](Self::reset) to follow: the peer's context is what the peer
/// has received.
///
/// ```
/// use raddle_core::deflate::Compressor;
/// use raddle_core::{Deflate, Message, Role, Sender};
///
/// // From RFC 7692, section 7.2.3.1.
/// let mut compressor = Compressor::new(&Deflate::default(), Role::Server);
/// let mut sender = Sender::server();
/// sender.send(compressor.compress(Message::Text("Hello")))?;
/// assert_eq!(sender.output(), b"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00");
/// # Ok::<(), raddle_core::SendError>(())
/// ```
pub struct Compressor {
    stream: zlib_rs::Deflate,
    kind: Kind,
    takeover: bool,
    /// The stream has a context.
    used: bool,
    /// A message was begun, fragment by fragment.
    amid: bool,
    output: Vec<u8>,
    _counted: Counted,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Kind {
    level: u8,
    window_bits: u8,
}

impl Kind {
    fn new(deflate: &Deflate, sender: Role) -> Self {
        Self { level: deflate.level.clamp(1, 9), window_bits: deflate.window_bits(sender) }
    }
}

impl Compressor {
    /// A compressor for what `sender` sends under this agreement.
    pub fn new(deflate: &Deflate, sender: Role) -> Self {
        Self::of_kind(Kind::new(deflate, sender), deflate.keeps_context(sender))
    }

    /// Borrows a compressor from those that the process shares, for a message under an agreement without context takeover.
    pub fn lend(deflate: &Deflate, sender: Role) -> LentCompressor {
        let kind = Kind::new(deflate, sender);
        let compressor = POOL.take(|idle| idle.kind == kind).unwrap_or_else(|| Self::of_kind(kind, false));
        LentCompressor { compressor: Some(compressor) }
    }

    fn of_kind(kind: Kind, takeover: bool) -> Self {
        let config = DeflateConfig {
            level: i32::from(kind.level),
            // Without the header and the checksum of zlib.
            window_bits: -i32::from(kind.window_bits),
            // Buffers that suit the window: 8 is zlib's choice for 15 bits.
            mem_level: i32::from(kind.window_bits) - 7,
            ..DeflateConfig::default()
        };
        Self {
            stream: zlib_rs::Deflate::new_with_config(config),
            kind,
            takeover,
            used: false,
            amid: false,
            output: Vec::new(),
            _counted: Counted::new(&COMPRESSORS),
        }
    }

    /// Compresses a message. One that does not get smaller comes out as it is, where that costs no context that is of use:
    /// without context takeover, or where the message is larger than the window.
    pub fn compress<'a>(&'a mut self, message: Message<'a>) -> Data<'a> {
        self.deflate(message.as_bytes(), Progress::Last);
        let length = message.as_bytes().len();
        if self.output.len() >= length && (!self.takeover || length >= 1 << self.kind.window_bits) {
            // As if it had never been seen.
            self.reset();
            return message.into();
        }
        Data::compressed(message, &self.output)
    }

    /// Compresses a fragment of a message, which comes out whole. The first begins the message, the one with
    /// [`Progress::Last`] ends it.
    pub fn compress_fragment<'a>(&'a mut self, fragment: Message<'_>, progress: Progress) -> Data<'a> {
        self.deflate(fragment.as_bytes(), progress);
        Data::compressed(fragment, &self.output)
    }

    /// Tells whether the next message may refer back to what was compressed before.
    pub fn has_context(&self) -> bool {
        self.takeover && self.used
    }

    /// Forgets all that was compressed: for what could not be sent. What follows can be inflated all the same.
    pub fn reset(&mut self) {
        if self.used {
            self.stream.reset();
            self.used = false;
        }
        self.amid = false;
    }

    /// Gives back the memory of a large message.
    pub fn shrink(&mut self) {
        if self.output.capacity() > KEPT {
            self.output = Vec::new();
        }
    }

    /// Compresses `input` to the output, up to a byte boundary.
    fn deflate(&mut self, mut input: &[u8], progress: Progress) {
        if !self.takeover && !self.amid {
            self.reset();
        }
        self.amid = progress == Progress::More;
        let mut length = 0;
        let most = input.len() + MARGIN;
        self.output.clear();
        while !input.is_empty() || length == self.output.len() && length > 0 {
            // With less space, the marker of a flush might be made again (zlib's manual, `deflate`).
            let wanted = if length == 0 { most.min(KEPT) } else { 2 * length };
            self.output.resize(wanted.max(length + MARGIN), 0);
            let (read, written) = (self.stream.total_in(), self.stream.total_out());
            let status = self.stream.compress(input, &mut self.output[length..], DeflateFlush::SyncFlush);
            assert!(matches!(status, Ok(Status::Ok | Status::BufError)), "deflate takes any input");
            self.used = true;
            input = &input[(self.stream.total_in() - read) as usize..];
            length += (self.stream.total_out() - written) as usize;
        }
        self.output.truncate(length);
        if progress == Progress::More {
            return;
        }
        // The end of an empty stored block is left out (section 7.2.1). Nothing at all becomes the beginning of one, which
        // begins at a byte boundary, as every flush ends at one (section 7.2.3.6).
        if length == 0 {
            self.output.push(0);
        } else {
            assert!(self.output.ends_with(&super::TAIL), "a flush ends with an empty stored block");
            self.output.truncate(length - super::TAIL.len());
        }
    }
}

impl fmt::Debug for Compressor {
    // Without payloads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compressor").field("takeover", &self.takeover).finish_non_exhaustive()
    }
}

/// A compressor that the process shares, lent for a message: given back when this is dropped.
#[derive(Debug)]
pub struct LentCompressor {
    /// Until the drop.
    compressor: Option<Compressor>,
}

impl Deref for LentCompressor {
    type Target = Compressor;

    fn deref(&self) -> &Compressor {
        self.compressor.as_ref().expect("there until the drop")
    }
}

impl DerefMut for LentCompressor {
    fn deref_mut(&mut self) -> &mut Compressor {
        self.compressor.as_mut().expect("there until the drop")
    }
}

impl Drop for LentCompressor {
    fn drop(&mut self) {
        if let Some(mut compressor) = self.compressor.take() {
            // The message may have been given up.
            compressor.amid = false;
            compressor.shrink();
            POOL.give(compressor);
        }
    }
}

static POOL: Pool<Compressor> = Pool::new();

/// Memory of the output that is kept for the next message.
const KEPT: usize = 64 * 1024;
/// Room for what deflate adds to a short input that it cannot compress.
const MARGIN: usize = 64;

//! The frame header (RFC 6455, section 5.2): all headers come in through [`Header::parse`] and leave through
//! [`Header::encode`].

use crate::Error;

/// Which side of the connection an endpoint is. A client masks its frames, a server does not (section 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Sent the opening handshake.
    Client,
    /// Answered it.
    Server,
}

impl Role {
    /// The other side's role.
    pub fn peer(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// What a frame is (section 5.2). The reserved opcodes have no value here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum OpCode {
    /// Goes on with a fragmented message.
    Continuation = 0,
    /// Begins a text message.
    Text = 1,
    /// Begins a binary message.
    Binary = 2,
    /// Closes the connection.
    Close = 8,
    /// Asks for a Pong.
    Ping = 9,
    /// Answers a Ping, or says that the endpoint lives.
    Pong = 10,
}

impl OpCode {
    fn parse(byte: u8) -> Option<Self> {
        Some(match byte & 0x0f {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return None,
        })
    }

    /// The opcode of a frame that begins with this byte, and breaks no rule with it.
    #[inline(never)]
    fn allowed(first: u8, meaning: Rsv1) -> Result<Self, Error> {
        let Some(opcode) = Self::parse(first) else { return Err(Error::ReservedOpCode) };
        let begins = matches!(opcode, Self::Text | Self::Binary);
        let is_marked = first & RSV1 != 0;
        if first & RSV2_RSV3 != 0 || is_marked && !(begins && meaning == Rsv1::Compressed) {
            return Err(Error::ReservedBits);
        }
        if opcode.is_control() && first & FIN == 0 {
            return Err(Error::ControlFragmented);
        }
        Ok(opcode)
    }

    /// Tells whether frames of this opcode may stand between the fragments of a message (section 5.5).
    pub fn is_control(self) -> bool {
        self as u8 >= Self::Close as u8
    }
}

/// What RSV1 means on this connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rsv1 {
    /// No extension was agreed that defines it.
    Reserved,
    /// It marks the first frame of a compressed message (RFC 7692, section 6).
    Compressed,
}

/// A frame header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// This is the last frame of its message.
    pub fin: bool,
    /// The message is compressed.
    pub rsv1: bool,
    /// What the frame is.
    pub opcode: OpCode,
    /// The masking key, where the payload is masked.
    pub mask: Option<[u8; 4]>,
    /// Bytes of payload that follow the header.
    pub length: u64,
}

impl Header {
    /// The longest header: two bytes, a 64-bit length and a masking key.
    pub const MAX_LEN: usize = 14;

    /// Parses the header at the start of `bytes`, as `receiver` may receive it, and gives its length in bytes with it.
    ///
    /// `None`: more bytes are needed. A broken rule is an error at the first byte that shows it.
    ///
    /// ```
    /// use raddle_core::{Error, Header, Role, Rsv1};
    ///
    /// let (header, length) = Header::parse(b"\x81\x05Hello", Role::Client, Rsv1::Reserved)?.expect("whole");
    /// assert_eq!((header.length, length), (5, 2));
    /// assert_eq!(Header::parse(b"\x83", Role::Client, Rsv1::Reserved), Err(Error::ReservedOpCode));
    /// # Ok::<(), Error>(())
    /// ```
    #[inline]
    pub fn parse(bytes: &[u8], receiver: Role, meaning: Rsv1) -> Result<Option<(Self, usize)>, Error> {
        let [first, rest @ ..] = bytes else { return Ok(None) };
        let (fin, rsv1) = (first & FIN != 0, first & RSV1 != 0);
        // Nearly all frames are messages of one frame as they are, of which no rule is to be checked.
        let opcode = match *first {
            WHOLE_TEXT => OpCode::Text,
            WHOLE_BINARY => OpCode::Binary,
            first => OpCode::allowed(first, meaning)?,
        };
        let [second, rest @ ..] = rest else { return Ok(None) };
        let is_masked = second & MASK != 0;
        if is_masked != (receiver == Role::Server) {
            return Err(if is_masked { Error::MaskedFrame } else { Error::UnmaskedFrame });
        }
        let (length, rest) = match second & !MASK {
            short @ ..=MAX_SHORT => (u64::from(short), rest),
            _ if opcode.is_control() => return Err(Error::ControlTooLong),
            LENGTH_16 => {
                let Some((length, rest)) = rest.split_first_chunk() else { return Ok(None) };
                let length = u64::from(u16::from_be_bytes(*length));
                if length <= u64::from(MAX_SHORT) {
                    return Err(Error::LengthNotMinimal);
                }
                (length, rest)
            }
            _ => {
                // The first byte alone shows the top bit.
                if rest.first().is_some_and(|byte| byte & 0x80 != 0) {
                    return Err(Error::LengthTopBit);
                }
                let Some((length, rest)) = rest.split_first_chunk() else { return Ok(None) };
                let length = u64::from_be_bytes(*length);
                if length <= u64::from(u16::MAX) {
                    return Err(Error::LengthNotMinimal);
                }
                (length, rest)
            }
        };
        let (mask, rest) = match receiver {
            Role::Client => (None, rest),
            Role::Server => {
                let Some((key, rest)) = rest.split_first_chunk() else { return Ok(None) };
                (Some(*key), rest)
            }
        };
        let header = Self { fin, rsv1, opcode, mask, length };
        Ok(Some((header, bytes.len() - rest.len())))
    }

    /// Bytes of the frame at the start of `bytes`, header and all, where its length stands in the second byte itself and no rule is
    /// asked for. `None`: it does not.
    #[inline]
    pub(crate) fn short_frame(bytes: &[u8]) -> Option<usize> {
        let second = bytes.get(1)?;
        let length = second & !MASK;
        let key = if second & MASK == 0 { 0 } else { KEY };
        (length <= MAX_SHORT).then_some(2 + key + usize::from(length))
    }

    /// The header without a masking key, where the length is at most 125.
    #[inline(always)]
    pub(crate) fn short(&self) -> [u8; 2] {
        debug_assert!(self.length <= u64::from(MAX_SHORT));
        [self.first(), self.second(self.length as u8)]
    }

    /// Appends the header to `output`, with the shortest form of the length.
    #[inline(always)]
    pub fn encode(&self, output: &mut Vec<u8>) {
        if self.length <= u64::from(MAX_SHORT) {
            output.extend_from_slice(&self.short());
        } else if let Ok(length) = u16::try_from(self.length) {
            let [high, low] = length.to_be_bytes();
            output.extend_from_slice(&[self.first(), self.second(LENGTH_16), high, low]);
        } else {
            output.extend_from_slice(&[self.first(), self.second(LENGTH_64)]);
            output.extend_from_slice(&self.length.to_be_bytes());
        }
        if let Some(key) = self.mask {
            output.extend_from_slice(&key);
        }
    }

    #[inline(always)]
    fn first(&self) -> u8 {
        self.opcode as u8 | if self.fin { FIN } else { 0 } | if self.rsv1 { RSV1 } else { 0 }
    }

    #[inline(always)]
    fn second(&self, length: u8) -> u8 {
        length | if self.mask.is_some() { MASK } else { 0 }
    }
}

const FIN: u8 = 0x80;
const WHOLE_TEXT: u8 = FIN | OpCode::Text as u8;
const WHOLE_BINARY: u8 = FIN | OpCode::Binary as u8;
const RSV1: u8 = 0x40;
const RSV2_RSV3: u8 = 0x30;
const MASK: u8 = 0x80;
/// Bytes of a masking key.
const KEY: usize = 4;
/// The largest length that stands in the second byte itself.
const MAX_SHORT: u8 = 125;
/// Stands there for a length of 16 bits; the one that is left, for one of 64.
const LENGTH_16: u8 = 126;
const LENGTH_64: u8 = 127;

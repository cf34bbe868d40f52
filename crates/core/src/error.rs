//! What can go wrong on an open connection, by whose fault it is: the peer's ([`Error`]) or the caller's ([`SendError`]).

use std::fmt;

use crate::CloseCode;

/// A rule that the peer has broken. Final: nothing is parsed after it.
///
/// The driver hands it to [`Sender::fail`](crate::Sender::fail), which *fails the connection* (RFC 6455, section 7.1.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Error {
    /// RSV1, RSV2 or RSV3 is set without an extension that defines it (section 5.2).
    ReservedBits,
    /// The opcode is one of 3-7 or 11-15 (section 5.2).
    ReservedOpCode,
    /// A client's frame must be masked (section 5.1).
    UnmaskedFrame,
    /// A server's frame must not be masked (section 5.1).
    MaskedFrame,
    /// The length of the payload must take the shortest form (section 5.2).
    LengthNotMinimal,
    /// The top bit of a 64-bit length must be 0 (section 5.2).
    LengthTopBit,
    /// A control frame's payload is at most 125 bytes (section 5.5).
    ControlTooLong,
    /// A control frame must not be fragmented (section 5.5).
    ControlFragmented,
    /// A continuation frame needs a message to go on with (section 5.4).
    UnexpectedContinuation,
    /// A new message must not begin before the last one has ended (section 5.4).
    ExpectedContinuation,
    /// A Close payload is empty or begins with a code of two bytes (section 5.5.1).
    InvalidClose,
    /// The close code may not stand in a Close frame (section 7.4).
    InvalidCloseCode,
    /// Text and close reasons are UTF-8 (section 8.1).
    InvalidUtf8,
    /// A compressed message is DEFLATE data up to the end of a block (RFC 7692, section 7.2.2).
    InvalidCompression,
    /// The message, or one of its frames, is larger than this endpoint accepts (section 10.4).
    MessageTooBig,
    /// The message has more fragments than this endpoint accepts (section 10.4).
    TooManyFragments,
}

impl Error {
    /// The code of the Close that tells the peer (section 7.4.1).
    pub fn close_code(self) -> CloseCode {
        match self {
            Self::InvalidUtf8 | Self::InvalidCompression => CloseCode::INVALID_DATA,
            Self::MessageTooBig => CloseCode::TOO_BIG,
            Self::TooManyFragments => CloseCode::POLICY,
            _ => CloseCode::PROTOCOL_ERROR,
        }
    }

    /// The sentence for a log line and for the close reason.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::ReservedBits => "a reserved bit is set",
            Self::ReservedOpCode => "the opcode is reserved",
            Self::UnmaskedFrame => "a client's frame must be masked",
            Self::MaskedFrame => "a server's frame must not be masked",
            Self::LengthNotMinimal => "the length is not in its shortest form",
            Self::LengthTopBit => "the top bit of the length is set",
            Self::ControlTooLong => "a control frame is longer than 125 bytes",
            Self::ControlFragmented => "a control frame is fragmented",
            Self::UnexpectedContinuation => "a continuation frame without a message",
            Self::ExpectedContinuation => "a new message inside a fragmented one",
            Self::InvalidClose => "a Close payload of one byte",
            Self::InvalidCloseCode => "the close code is not allowed",
            Self::InvalidUtf8 => "the text is not UTF-8",
            Self::InvalidCompression => "the compressed message is malformed",
            Self::MessageTooBig => "the message is too big",
            Self::TooManyFragments => "the message has too many fragments",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl std::error::Error for Error {}

/// A call that cannot be carried out. Nothing was sent, and the sender stays usable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SendError {
    /// A Close was sent: nothing may follow it (RFC 6455, section 5.5.1).
    Closed,
    /// The close code may not stand in a Close frame (section 7.4).
    InvalidCloseCode,
    /// The payload of a control frame is at most 125 bytes, a close reason at most 123 (section 5.5).
    ControlTooLong,
    /// A fragmented message is being sent: only its fragments and control frames may follow (section 5.4).
    MessageOpen,
    /// The fragment is text and its message binary, or compressed and its message not, or the reverse (section 5.4).
    MixedMessage,
    /// The source of masking keys has failed (section 10.3).
    NoMaskingKey,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "a Close was sent",
            Self::InvalidCloseCode => "the close code may not be sent",
            Self::ControlTooLong => "the payload is too long for a control frame",
            Self::MessageOpen => "a fragmented message is being sent",
            Self::MixedMessage => "text and binary fragments in one message",
            Self::NoMaskingKey => "no masking key could be made",
        })
    }
}

impl std::error::Error for SendError {}

//! What an endpoint accepts of its peer (RFC 6455, section 10.4).

/// The largest frames and messages that a [`Receiver`](crate::Receiver) accepts. `MAX` of a field's type means no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one message, all its fragments together. Above it the connection fails with 1009.
    pub message: u64,
    /// Bytes of one frame's payload. Above it the connection fails with 1009.
    pub frame: u64,
    /// Frames of one message, empty ones count. Above it the connection fails with 1008.
    pub fragments: u32,
}

impl Limits {
    /// The same limits with messages, and so frames, of at most `bytes`.
    pub fn message(self, bytes: u64) -> Self {
        Self { message: bytes, frame: bytes, ..self }
    }
}

impl Default for Limits {
    /// 1 MiB for a message and for a frame, 16,384 fragments.
    fn default() -> Self {
        Self { message: 1 << 20, frame: 1 << 20, fragments: 16_384 }
    }
}

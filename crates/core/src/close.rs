//! The payload of a Close frame (RFC 6455, sections 5.5.1 and 7.4): bytes in, code and reason out.

use std::fmt;

use crate::{Error, SendError};

/// A close code (RFC 6455, section 7.4).
///
/// ```
/// use raddle_core::CloseCode;
///
/// assert!(CloseCode::NORMAL.may_be_sent());
/// assert!(!CloseCode::ABNORMAL.may_be_sent());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CloseCode(pub u16);

impl CloseCode {
    /// 1000: the purpose of the connection is fulfilled.
    pub const NORMAL: Self = Self(1000);
    /// 1001: the server goes down, or the browser leaves the page.
    pub const GOING_AWAY: Self = Self(1001);
    /// 1002: the peer broke the protocol.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// 1003: the endpoint cannot accept this type of data.
    pub const UNSUPPORTED: Self = Self(1003);
    /// 1005: the Close had no code. Never on the wire.
    pub const NO_STATUS: Self = Self(1005);
    /// 1006: the connection ended without a Close. Never on the wire.
    pub const ABNORMAL: Self = Self(1006);
    /// 1007: the data does not fit its type, as text that is not UTF-8.
    pub const INVALID_DATA: Self = Self(1007);
    /// 1008: the message violates the endpoint's policy.
    pub const POLICY: Self = Self(1008);
    /// 1009: the message is too big.
    pub const TOO_BIG: Self = Self(1009);
    /// 1011: the server met an unexpected condition.
    pub const INTERNAL_ERROR: Self = Self(1011);
    /// 1012: the server restarts.
    pub const RESTART: Self = Self(1012);
    /// 1013: the server is overloaded, try again later.
    pub const TRY_AGAIN: Self = Self(1013);
    /// 4409, of this library's own: another connection of the same client has the place. Not worth a retry.
    pub const CONFLICT: Self = Self(4409);

    /// Tells whether the code may stand in a Close frame: assigned by RFC 6455 or IANA, or in 3000-4999.
    pub fn may_be_sent(self) -> bool {
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }
}

impl fmt::Debug for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The code of a Close frame and its reason, which may be empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Close<'a> {
    /// The close code.
    pub code: CloseCode,
    /// Text for people and logs, at most 123 bytes.
    pub reason: &'a str,
}

impl<'a> Close<'a> {
    /// A close code without a reason.
    pub fn code(code: CloseCode) -> Self {
        Self { code, reason: "" }
    }

    /// Parses the unmasked payload of a Close frame; `None` where it is empty.
    pub fn parse(payload: &'a [u8]) -> Result<Option<Self>, Error> {
        let (code, reason) = match payload {
            [] => return Ok(None),
            [high, low, reason @ ..] => (CloseCode(u16::from_be_bytes([*high, *low])), reason),
            [_] => return Err(Error::InvalidClose),
        };
        if !code.may_be_sent() {
            return Err(Error::InvalidCloseCode);
        }
        let reason = std::str::from_utf8(reason).map_err(|_| Error::InvalidUtf8)?;
        Ok(Some(Self { code, reason }))
    }

    /// Writes the payload to the front of `payload` and returns its length in bytes.
    pub(crate) fn encode(&self, payload: &mut [u8; 125]) -> Result<usize, SendError> {
        if !self.code.may_be_sent() {
            return Err(SendError::InvalidCloseCode);
        }
        let length = 2 + self.reason.len();
        let Some(reason) = payload.get_mut(2..length) else { return Err(SendError::ControlTooLong) };
        reason.copy_from_slice(self.reason.as_bytes());
        payload[..2].copy_from_slice(&self.code.0.to_be_bytes());
        Ok(length)
    }
}

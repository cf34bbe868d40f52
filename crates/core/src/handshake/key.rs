//! The key and its answer (RFC 6455, sections 4.1 and 4.2.2).

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use sha1::{Digest, Sha1};

/// Bits behind the last byte may be set: the digest is over the text as it was sent, so that they do no harm.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);

/// Tells whether `key` is the base64 of 16 bytes.
pub(crate) fn is_key(key: &[u8]) -> bool {
    let mut bytes = [0; 18];
    key.len() == 24 && BASE64.decode_slice(key, &mut bytes) == Ok(16)
}

/// The text of 16 random bytes.
pub(crate) fn encode(bytes: [u8; 16]) -> String {
    BASE64.encode(bytes)
}

/// The value of Sec-WebSocket-Accept that answers `key`.
///
/// ```
/// assert_eq!(raddle_core::handshake::accept_value(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
/// ```
pub fn accept_value(key: &[u8]) -> String {
    let digest = Sha1::new().chain_update(key).chain_update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").finalize();
    BASE64.encode(digest)
}

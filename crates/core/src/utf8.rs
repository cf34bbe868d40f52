//! UTF-8 that arrives in pieces (RFC 6455, section 8.1; RFC 3629): bytes in, how far they are whole characters out.

use crate::Error;

/// Tells how many bytes at the start of `text` are whole, valid characters.
///
/// What remains is at most three bytes: the beginning of a character that the next bytes can complete. Bytes that no
/// continuation can make valid are an error at once, in the middle of a character too.
///
/// ```
/// use raddle_core::{Error, utf8};
///
/// assert_eq!(utf8::valid_prefix("aé".as_bytes()), Ok(3));
/// assert_eq!(utf8::valid_prefix(b"a\xc3"), Ok(1));
/// assert_eq!(utf8::valid_prefix(b"a\xed\xa0"), Err(Error::InvalidUtf8));
/// ```
pub fn valid_prefix(text: &[u8]) -> Result<usize, Error> {
    match simdutf8::compat::from_utf8(text) {
        Ok(text) => Ok(text.len()),
        Err(error) if error.error_len().is_none() => Ok(error.valid_up_to()),
        Err(_) => Err(Error::InvalidUtf8),
    }
}

/// Lends bytes as text. `None`: they are none.
pub fn text(bytes: &[u8]) -> Option<&str> {
    simdutf8::basic::from_utf8(bytes).ok()
}

/// Lends bytes as the text that [`valid_prefix`] has found them to be.
#[allow(unsafe_code)]
pub(crate) fn validated(bytes: &[u8]) -> &str {
    debug_assert!(std::str::from_utf8(bytes).is_ok());
    // SAFETY: the receiver lends a text event's bytes only up to `Incoming::validated`, which counts what
    // `valid_prefix` has accepted; it clears the event before any call that changes the bytes, and lends them shared. A `Received` has the bytes of such an
    // event, or a copy of a text's, and changes none.
    unsafe { std::str::from_utf8_unchecked(bytes) }
}

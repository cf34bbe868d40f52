//! What a call has come to: a failure in, a status and its text out.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::ffi::{CStr, c_char};
use std::fmt::{self, Display, Write as _};
use std::io;

use raddle_socket::{End, SendError};

/// What a call has come to. 0 is success, every failure is negative.
///
/// Outputs are written on success only, but for the `length` of RADDLE_ERR_BUFFER. New failures may be added: treat one
/// that you do not know as RADDLE_ERR_INTERNAL.
#[repr(C)]
#[allow(non_camel_case_types)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Done.
    RADDLE_OK = 0,
    /// An argument is not in order: NULL, a length, a constant that does not exist, a value out of its range.
    RADDLE_ERR_ARGUMENT = -1,
    /// The handle was never given, was freed, or is of another kind.
    RADDLE_ERR_HANDLE = -2,
    /// The connection has ended or a Close was sent; the server has stopped.
    RADDLE_ERR_CLOSED = -3,
    /// The time was up. Nothing is lost.
    RADDLE_ERR_TIMEOUT = -4,
    /// The call would have to wait: the outgoing limit is reached, or another thread is amid a message.
    RADDLE_ERR_WOULD_BLOCK = -5,
    /// A signal has come. Nothing is lost.
    RADDLE_ERR_INTERRUPTED = -6,
    /// Another thread does the same with this handle right now.
    RADDLE_ERR_BUSY = -7,
    /// The buffer is too small; `length` says what is needed. Nothing is lost.
    RADDLE_ERR_BUFFER = -8,
    /// The call does not fit what the handle stands for now, or how it was set up.
    RADDLE_ERR_STATE = -9,
    /// A text is not UTF-8.
    RADDLE_ERR_UTF8 = -10,
    /// A limit is reached.
    RADDLE_ERR_LIMIT = -11,
    /// The peer has broken a rule of the protocol.
    RADDLE_ERR_PROTOCOL = -12,
    /// The opening handshake has failed.
    RADDLE_ERR_HANDSHAKE = -13,
    /// TLS has failed, or a certificate is not in order.
    RADDLE_ERR_TLS = -14,
    /// The operating system has refused something.
    RADDLE_ERR_IO = -15,
    /// There is no such thing: no header of that name, no address.
    RADDLE_ERR_NOT_FOUND = -16,
    /// An earlier call with this handle has failed inside the library: it can be freed only.
    RADDLE_ERR_POISONED = -17,
    /// The call has failed inside the library, which is a defect of it.
    RADDLE_ERR_INTERNAL = -18,
    /// The process was forked from one that uses the library: see "Processes" above.
    RADDLE_ERR_FORKED = -19,
    /// The library that was loaded is not of the version of this header.
    RADDLE_ERR_VERSION = -20,
}

/// Says what a status means, in English.
///
/// - `status`: any number
///
/// Returns a text that is never freed; for a number that is no status as well. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_strerror(status: i32) -> *const c_char {
    let found = TEXTS.iter().find(|(known, _)| *known as i32 == status);
    found.map_or(c"no status of this library", |(_, text)| text).as_ptr()
}

/// Says what was wrong with the last call of this thread that has failed.
///
/// Returns a text of at most 511 bytes of UTF-8 on one line, never NULL; empty where no call has failed. It is
/// valid until the next call of this thread that fails. Other threads have their own. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_last_error() -> *const c_char {
    if let Some(text) = UNWRITTEN.take() {
        write_down(text);
    }
    LAST.with(|last| last.as_ptr().cast_const().cast())
}

/// A call that was not carried out.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) status: Status,
    text: Cow<'static, str>,
}

impl Failure {
    pub(crate) fn new(status: Status, text: impl Into<Cow<'static, str>>) -> Self {
        Self { status, text: text.into() }
    }

    /// An argument that is not in order: `text` names it, and says what it may be.
    pub(crate) fn argument(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Status::RADDLE_ERR_ARGUMENT, text)
    }

    pub(crate) fn state(text: &'static str) -> Self {
        Self::new(Status::RADDLE_ERR_STATE, text)
    }

    /// A failure whose text is what an error says.
    pub(crate) fn of(status: Status, error: &dyn Display) -> Self {
        Self::new(status, error.to_string())
    }

    /// Keeps the text for [`raddle_last_error`], and gives the status.
    pub(crate) fn note(self) -> Status {
        match self.text {
            // Written down when somebody asks: that there is no more, for example, is met with each read, and asked for by nobody.
            Cow::Borrowed(text) => UNWRITTEN.set(Some(text)),
            Cow::Owned(text) => {
                UNWRITTEN.set(None);
                write_down(&text);
            }
        }
        self.status
    }
}

fn write_down(text: &str) {
    LAST.with_borrow_mut(|last| {
        last.fill(0);
        // A text that is too long is cut.
        let _ = Line::new(last).write_str(text);
    });
}

impl From<SendError> for Failure {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Closed => Self::new(Status::RADDLE_ERR_CLOSED, "the connection is closed"),
            SendError::Full => Self::new(Status::RADDLE_ERR_WOULD_BLOCK, "the outgoing limit is reached"),
            SendError::Timeout => Self::new(Status::RADDLE_ERR_TIMEOUT, "the peer did not take the message in time"),
            SendError::Invalid(error) => error.into(),
            error => Self::of(Status::RADDLE_ERR_INTERNAL, &error),
        }
    }
}

impl From<raddle_core::SendError> for Failure {
    fn from(error: raddle_core::SendError) -> Self {
        use raddle_core::SendError as Error;
        let status = match error {
            Error::Closed => Status::RADDLE_ERR_CLOSED,
            Error::InvalidCloseCode | Error::ControlTooLong => Status::RADDLE_ERR_ARGUMENT,
            Error::MessageOpen | Error::MixedMessage => Status::RADDLE_ERR_STATE,
            _ => Status::RADDLE_ERR_INTERNAL,
        };
        Self::of(status, &error)
    }
}

impl From<&End> for Failure {
    fn from(end: &End) -> Self {
        Self::of(Status::RADDLE_ERR_CLOSED, end)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let status = match error.kind() {
            io::ErrorKind::InvalidInput => Status::RADDLE_ERR_ARGUMENT,
            io::ErrorKind::TimedOut => Status::RADDLE_ERR_TIMEOUT,
            io::ErrorKind::Interrupted => Status::RADDLE_ERR_INTERRUPTED,
            _ => Status::RADDLE_ERR_IO,
        };
        Self::of(status, &error)
    }
}

/// One line of text that is as long as its place at most, and ends between characters. The last byte is left alone.
pub(crate) struct Line<'a> {
    bytes: &'a mut [u8; LONGEST],
    length: usize,
}

impl<'a> Line<'a> {
    /// A line in a place that holds nothing but NULs.
    pub(crate) fn new(bytes: &'a mut [u8; LONGEST]) -> Self {
        Self { bytes, length: 0 }
    }
}

impl fmt::Write for Line<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            let character = if character.is_control() { '\u{fffd}' } else { character };
            // One byte stays for the end of the text.
            let space = &mut self.bytes[self.length..LONGEST - 1];
            if space.len() < character.len_utf8() {
                return Err(fmt::Error);
            }
            self.length += character.encode_utf8(space).len();
        }
        Ok(())
    }
}

thread_local! {
    /// What comes in the place of `LAST`.
    static UNWRITTEN: Cell<Option<&'static str>> = const { Cell::new(None) };
    static LAST: RefCell<[u8; LONGEST]> = const { RefCell::new([0; LONGEST]) };
}

/// Bytes of a text, with the NUL at its end.
pub(crate) const LONGEST: usize = 512;

const TEXTS: &[(Status, &CStr)] = &[
    (Status::RADDLE_OK, c"success"),
    (Status::RADDLE_ERR_ARGUMENT, c"an argument is not in order"),
    (Status::RADDLE_ERR_HANDLE, c"there is no such handle"),
    (Status::RADDLE_ERR_CLOSED, c"closed"),
    (Status::RADDLE_ERR_TIMEOUT, c"the time is up"),
    (Status::RADDLE_ERR_WOULD_BLOCK, c"the call would have to wait"),
    (Status::RADDLE_ERR_INTERRUPTED, c"interrupted by a signal"),
    (Status::RADDLE_ERR_BUSY, c"another thread uses the handle"),
    (Status::RADDLE_ERR_BUFFER, c"the buffer is too small"),
    (Status::RADDLE_ERR_STATE, c"the call does not fit the state of the handle"),
    (Status::RADDLE_ERR_UTF8, c"the text is not UTF-8"),
    (Status::RADDLE_ERR_LIMIT, c"a limit is reached"),
    (Status::RADDLE_ERR_PROTOCOL, c"the peer has broken a rule of the protocol"),
    (Status::RADDLE_ERR_HANDSHAKE, c"the opening handshake has failed"),
    (Status::RADDLE_ERR_TLS, c"TLS has failed"),
    (Status::RADDLE_ERR_IO, c"the operating system has refused something"),
    (Status::RADDLE_ERR_NOT_FOUND, c"there is no such thing"),
    (Status::RADDLE_ERR_POISONED, c"an earlier call has failed inside the library"),
    (Status::RADDLE_ERR_INTERNAL, c"the call has failed inside the library"),
    (Status::RADDLE_ERR_FORKED, c"the process was forked from one that uses the library"),
    (Status::RADDLE_ERR_VERSION, c"the library is of another version than the header"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn last_error() -> String {
        raddle_last_error();
        let bytes = LAST.with_borrow(|last| *last);
        CStr::from_bytes_until_nul(&bytes).expect("it has an end").to_str().expect("UTF-8").to_owned()
    }

    #[test]
    fn the_text_of_a_failure_is_kept_on_one_line_of_its_thread() {
        assert_eq!(Failure::state("broken\nin \x1b[1mtwo").note(), Status::RADDLE_ERR_STATE);
        assert_eq!(last_error(), "broken\u{fffd}in \u{fffd}[1mtwo");
        std::thread::spawn(|| assert_eq!(last_error(), "")).join().expect("the other thread has none");
        Failure::new(Status::RADDLE_ERR_IO, "é".repeat(LONGEST)).note();
        assert_eq!(last_error(), "é".repeat(255));
        for length in [LONGEST - 1, LONGEST, 2 * LONGEST] {
            Failure::new(Status::RADDLE_ERR_IO, "x".repeat(length)).note();
            assert_eq!(last_error(), "x".repeat(LONGEST - 1));
        }
        Failure::state("").note();
        assert_eq!(last_error(), "");
    }

    #[test]
    fn every_status_has_its_text() {
        for status in -20..=0 {
            let found = TEXTS.iter().filter(|(known, _)| *known as i32 == status).count();
            assert_eq!(found, 1, "{status}");
        }
        assert_eq!(TEXTS.len(), 21);
    }
}

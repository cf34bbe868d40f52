//! What a C program hands in: raw pointers, lengths and numbers in, checked values out.
//!
//! Whether a pointer that is not NULL leads to what the header asks for, nobody can check here: the `unsafe` blocks rely on
//! the program for that, and on nothing else.

use std::ffi::{CStr, c_char, c_int};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::slice;
use std::time::Duration;

use raddle_core::handshake::HeadLimits;

use crate::status::{Failure, Status};

/// `length` bytes at `data`, which may be NULL where there are none.
#[inline]
pub(crate) fn bytes<'a>(data: *const u8, length: usize, name: &str) -> Result<&'a [u8], Failure> {
    array(data, length, name)
}

/// `count` values at `first`, which may be NULL where there are none.
#[inline]
pub(crate) fn array<'a, T>(first: *const T, count: usize, name: &str) -> Result<&'a [T], Failure> {
    check(first, count, name)?;
    if count == 0 {
        return Ok(&[]);
    }
    // SAFETY: not NULL, aligned, and no longer than an object can be; the program has so many values there, and does not
    // change them during the call.
    Ok(unsafe { slice::from_raw_parts(first, count) })
}

/// Space for `count` values at `first`, which may be NULL where there is none. What is in it is not looked at.
pub(crate) fn space<'a, T: Copy>(first: *mut T, count: usize, name: &str) -> Result<Space<'a, T>, Failure> {
    check(first, count, name)?;
    Ok(Space { first, left: count, lifetime: std::marker::PhantomData })
}

#[inline]
fn check<T>(first: *const T, count: usize, name: &str) -> Result<(), Failure> {
    if count == 0 {
        return Ok(());
    }
    if first.is_null() {
        return Err(Failure::argument(format!("{name}: NULL, and not empty")));
    }
    if !first.is_aligned() {
        return Err(Failure::argument(format!("{name}: not aligned")));
    }
    if count > isize::MAX as usize / size_of::<T>().max(1) {
        return Err(Failure::argument(format!("{name}: longer than any object")));
    }
    Ok(())
}

/// A program's space, filled from its beginning.
#[derive(Debug)]
pub(crate) struct Space<'a, T> {
    first: *mut T,
    left: usize,
    lifetime: std::marker::PhantomData<&'a mut T>,
}

impl<T: Copy> Space<'_, T> {
    pub(crate) fn is_full(&self) -> bool {
        self.left == 0
    }

    /// Copies values in, and tells where they are. `None`: there is not so much space.
    pub(crate) fn copy(&mut self, values: &[T]) -> Option<*const T> {
        let first = self.first;
        self.left = self.left.checked_sub(values.len())?;
        if values.is_empty() {
            // There may be no space at all, and a payload is never NULL.
            return Some(if first.is_null() { std::ptr::dangling() } else { first });
        }
        // SAFETY: `left` values from `first` on were the program's, aligned, and nobody else's during the call, and are no fewer
        // than those of `values`, which lie elsewhere, as the program's space is nobody else's.
        unsafe { first.copy_from_nonoverlapping(values.as_ptr(), values.len()) };
        // SAFETY: so the place behind them is in the same space, or at its end.
        self.first = unsafe { first.add(values.len()) };
        Some(first)
    }

    /// Puts one more value in. To be called while it is not full.
    pub(crate) fn push(&mut self, value: T) {
        assert!(self.left > 0, "there is space");
        // SAFETY: `left` values from `first` on are the program's, aligned, and nobody else's during the call.
        unsafe { self.first.write(value) };
        // SAFETY: so the place behind the first is in the same space, or at its end.
        self.first = unsafe { self.first.add(1) };
        self.left -= 1;
    }
}

/// A string that a NUL ends, in UTF-8.
pub(crate) fn string<'a>(text: *const c_char, name: &str) -> Result<&'a str, Failure> {
    optional_string(text, name)?.ok_or_else(|| Failure::argument(format!("{name}: NULL")))
}

/// A duplicate of a program's descriptor.
pub(crate) fn descriptor(fd: c_int, name: &str) -> Result<OwnedFd, Failure> {
    if fd < 0 {
        return Err(Failure::argument(format!("{name}: 0 or more")));
    }
    // SAFETY: borrowed for the call that duplicates it, which fails where it is not open.
    Ok(unsafe { BorrowedFd::borrow_raw(fd) }.try_clone_to_owned()?)
}

/// As [`string`]; `None`: NULL.
pub(crate) fn optional_string<'a>(text: *const c_char, name: &str) -> Result<Option<&'a str>, Failure> {
    if text.is_null() {
        return Ok(None);
    }
    // SAFETY: not NULL; the program has a NUL at its end, and does not change it during the call.
    let text = unsafe { CStr::from_ptr(text) };
    utf8(text.to_bytes(), name).map(Some)
}

/// Bytes that have to be UTF-8.
pub(crate) fn utf8<'a>(bytes: &'a [u8], name: &str) -> Result<&'a str, Failure> {
    simdutf8::basic::from_utf8(bytes).map_err(|_| Failure::new(Status::RADDLE_ERR_UTF8, format!("{name}: not UTF-8")))
}

/// A place for one value, written on success.
pub(crate) struct Out<T> {
    place: *mut T,
}

/// The place that `place` is; NULL is refused.
pub(crate) fn out<T>(place: *mut T, name: &str) -> Result<Out<T>, Failure> {
    if place.is_null() {
        return Err(Failure::argument(format!("{name}: NULL")));
    }
    optional_out(place, name)
}

/// The place that `place` is; with NULL, what is put there is dropped.
pub(crate) fn optional_out<T>(place: *mut T, name: &str) -> Result<Out<T>, Failure> {
    if !place.is_null() && !place.is_aligned() {
        return Err(Failure::argument(format!("{name}: not aligned")));
    }
    Ok(Out { place })
}

impl<T> Out<T> {
    pub(crate) fn put(&self, value: T) {
        if !self.place.is_null() {
            // SAFETY: aligned; the program has a place for a value there, and nobody else uses it during the call.
            unsafe { self.place.write(value) };
        }
    }
}

/// A place for a text or for bytes.
pub(crate) struct TextOut {
    buffer: *mut u8,
    size: usize,
    length: Out<usize>,
}

impl TextOut {
    pub(crate) fn new(buffer: *mut c_char, size: usize, length: *mut usize) -> Result<Self, Failure> {
        let buffer = buffer.cast::<u8>();
        check(buffer, size, "buffer")?;
        Ok(Self { buffer, size, length: optional_out(length, "length")? })
    }

    /// Says how long a text is, and whether there is space for it.
    pub(crate) fn fits(&self, text: impl AsRef<[u8]>) -> Result<(), Failure> {
        let length = text.as_ref().len();
        self.length.put(length);
        if self.size > length {
            return Ok(());
        }
        let text = format!("buffer: {} bytes are needed, one of them for a NUL at the end", length + 1);
        Err(Failure::new(Status::RADDLE_ERR_BUFFER, text))
    }

    /// Copies a text there, with a NUL behind it, and its length.
    pub(crate) fn put(&self, text: impl AsRef<[u8]>) -> Result<(), Failure> {
        let text = text.as_ref();
        self.fits(text)?;
        // SAFETY: the program has `size` bytes at `buffer`, which are more than the text has, and nobody else uses them
        // during the call.
        let space =
            unsafe { slice::from_raw_parts_mut(self.buffer.cast::<std::mem::MaybeUninit<u8>>(), text.len() + 1) };
        for (place, byte) in space.iter_mut().zip(text.iter().chain(&[0])) {
            place.write(*byte);
        }
        Ok(())
    }
}

/// How long a call may wait: `None` without end, for any negative number.
pub(crate) fn timeout(milliseconds: i64) -> Option<Duration> {
    u64::try_from(milliseconds).ok().map(Duration::from_millis)
}

/// A number of milliseconds that has to be more than 0. RADDLE_NO_LIMIT means no limit.
pub(crate) fn time(milliseconds: u64, name: &str) -> Result<Duration, Failure> {
    match milliseconds {
        0 => Err(Failure::argument(format!("{name}: more than 0 ms, or RADDLE_NO_LIMIT"))),
        u64::MAX => Ok(Duration::MAX),
        some => Ok(Duration::from_millis(some)),
    }
}

/// A number that has to be at least `least`.
pub(crate) fn at_least<T: PartialOrd + std::fmt::Display>(value: T, least: T, name: &str) -> Result<T, Failure> {
    if value < least { Err(Failure::argument(format!("{name}: at least {least}"))) } else { Ok(value) }
}

/// The largest head of an opening handshake, where it is large enough for one.
pub(crate) fn head_limits(head: usize, line: usize, headers: usize) -> Result<HeadLimits, Failure> {
    Ok(HeadLimits {
        head: at_least(head, 64, "head")?,
        line: at_least(line, 16, "line")?,
        headers: at_least(headers, 5, "headers")?,
    })
}

/// One of a list of constants.
pub(crate) fn one_of<T: Copy>(value: u32, known: &[(u32, T)], name: &str) -> Result<T, Failure> {
    let found = known.iter().find(|(number, _)| *number == value);
    found.map(|(_, meaning)| *meaning).ok_or_else(|| Failure::argument(format!("{name}: there is no constant {value}")))
}

#[cfg(test)]
mod tests {
    use std::ptr;

    use super::*;

    fn status<T>(result: Result<T, Failure>) -> Status {
        result.err().map_or(Status::RADDLE_OK, |failure| failure.status)
    }

    #[test]
    fn null_is_fine_where_there_is_nothing() {
        assert_eq!(bytes(ptr::null(), 0, "data").ok(), Some(&b""[..]));
        assert_eq!(status(bytes(ptr::null(), 1, "data")), Status::RADDLE_ERR_ARGUMENT);
    }

    #[test]
    fn nothing_is_longer_than_an_object_can_be() {
        let byte = 7;
        for length in [isize::MAX as usize + 1, usize::MAX] {
            assert_eq!(status(bytes(&raw const byte, length, "data")), Status::RADDLE_ERR_ARGUMENT);
        }
        let word = 7_u64;
        assert_eq!(status(array(&raw const word, isize::MAX as usize / 8 + 1, "words")), Status::RADDLE_ERR_ARGUMENT);
        let odd = (&raw const word).cast::<u8>().wrapping_add(1).cast::<u64>();
        assert_eq!(status(array(odd, 1, "words")), Status::RADDLE_ERR_ARGUMENT);
    }

    #[test]
    fn a_text_is_copied_whole_or_not_at_all() {
        let mut buffer = [0x55_u8; 8];
        let mut length = 0;
        let mut put = |size| {
            let place = TextOut::new(buffer.as_mut_ptr().cast(), size, &raw mut length).expect("a place");
            (status(place.put("four")), length, buffer)
        };
        assert_eq!(put(0), (Status::RADDLE_ERR_BUFFER, 4, [0x55; 8]));
        assert_eq!(put(4), (Status::RADDLE_ERR_BUFFER, 4, [0x55; 8]));
        assert_eq!(put(5), (Status::RADDLE_OK, 4, *b"four\0\x55\x55\x55"));
        assert_eq!(status(TextOut::new(ptr::null_mut(), 1, ptr::null_mut())), Status::RADDLE_ERR_ARGUMENT);
        let place = TextOut::new(ptr::null_mut(), 0, ptr::null_mut()).expect("for the length only");
        assert_eq!(status(place.put("")), Status::RADDLE_ERR_BUFFER);
    }

    #[test]
    fn strings_are_utf8() {
        assert_eq!(string(c"é".as_ptr(), "name").ok(), Some("é"));
        assert_eq!(status(string(c"\xff".as_ptr(), "name")), Status::RADDLE_ERR_UTF8);
        assert_eq!(status(string(ptr::null(), "name")), Status::RADDLE_ERR_ARGUMENT);
        assert!(matches!(optional_string(ptr::null(), "name"), Ok(None)));
    }
}

//! Section 8.1, text is UTF-8: against the standard library, at every cut, and refused as soon as that shows.

mod common;

use common::{CLIENT, KEY, SERVER, check, check_frames, frame, header};
use raddle_core::Event::{Binary, Ping, Pong, Text};
use raddle_core::{Error, Limits, Receiver, utf8};

const INVALID: Error = Error::InvalidUtf8;

/// The oracle: what the standard library says to the whole.
fn valid_prefix(bytes: &[u8]) -> Result<usize, Error> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.len()),
        Err(error) if error.error_len().is_none() => Ok(error.valid_up_to()),
        Err(_) => Err(INVALID),
    }
}

#[test]
fn all_sequences_of_one_to_three_bytes_are_judged_as_by_the_standard_library() {
    // Hostile input 192.
    for one in 0..=255 {
        assert_eq!(utf8::valid_prefix(&[one]), valid_prefix(&[one]), "{one:#x}");
        for two in 0..=255 {
            assert_eq!(utf8::valid_prefix(&[one, two]), valid_prefix(&[one, two]), "{one:#x} {two:#x}");
            for three in 0..=255 {
                let bytes = [one, two, three];
                assert!(utf8::valid_prefix(&bytes) == valid_prefix(&bytes), "{bytes:x?}");
            }
        }
    }
}

#[test]
fn sequences_of_four_bytes_are_judged_as_by_the_standard_library() {
    // All that can begin a character of four bytes, and the edges of what can go on with it.
    let edges = [0x00, 0x7f, 0x80, 0x81, 0x8f, 0x90, 0x9f, 0xa0, 0xbe, 0xbf, 0xc0, 0xc2, 0xe0, 0xed, 0xf0, 0xff];
    for one in 0xe0..=255 {
        for two in 0..=255 {
            for three in edges {
                for four in edges {
                    let bytes = [one, two, three, four];
                    assert!(utf8::valid_prefix(&bytes) == valid_prefix(&bytes), "{bytes:x?}");
                }
            }
        }
    }
}

#[test]
fn the_fast_path_agrees_at_every_length_and_alignment() {
    let text = "aé€😀".repeat(25);
    let memory = [&[b' '; 16], text.as_bytes()].concat();
    for start in 8..16 {
        for length in 0..=200 {
            let mut bytes = memory[start..start + length].to_vec();
            assert_eq!(utf8::valid_prefix(&memory[start..start + length]), valid_prefix(&bytes));
            // A byte that no character has, at every place.
            if let Some(byte) = bytes.get_mut(length / 2) {
                *byte = 0xff;
                assert_eq!(utf8::valid_prefix(&bytes), Err(INVALID));
            }
        }
    }
}

/// The first and the last character of every length and every gap in the code space, and bytes that become none.
const VALID: [&str; 16] = [
    "",
    "\0",
    "\u{7f}",
    "\u{80}",
    "\u{7ff}",
    "\u{800}",
    "\u{fff}",
    "\u{d7ff}",
    "\u{e000}",
    "\u{feff}BOM is kept",
    "\u{fffe}\u{ffff}",
    "\u{10000}",
    "\u{3ffff}",
    "\u{10ffff}",
    "\u{feff}",
    "κόσμε 😀",
];

const BROKEN: [&[u8]; 24] = [
    // Overlong forms.
    b"\xc0\x80",
    b"\xc1\xbf",
    b"\xe0\x80\x80",
    b"\xe0\x9f\xbf",
    b"\xf0\x80\x80\x80",
    b"\xf0\x8f\xbf\xbf",
    // Surrogates, alone and in a pair.
    b"\xed\xa0\x80",
    b"\xed\xbf\xbf",
    b"\xed\xa0\xbd\xed\xb8\x80",
    // Above U+10FFFF, and forms of five and six bytes.
    b"\xf4\x90\x80\x80",
    b"\xf5\x80\x80\x80",
    b"\xf8\x88\x80\x80\x80",
    b"\xfc\x84\x80\x80\x80\x80",
    b"\xfe",
    b"\xff",
    // A continuation byte without a beginning, and a beginning without one.
    b"\x80",
    b"\xbf",
    b"a\x80b",
    b"\xc3a",
    b"\xe2\x82a",
    b"\xf0\x9f\x98a",
    b"\xc3\xc3\xa9",
    b"\xe2\x28\xa1",
    b"\xf0\x28\x8c\xbc",
];

/// Beginnings of characters that do not go on.
const TRUNCATED: [&[u8]; 6] = [b"\xc3", b"\xe2", b"\xe2\x82", b"\xf0", b"\xf0\x9f", b"\xf0\x9f\x98"];

#[test]
fn text_comes_unchanged() {
    for text in VALID {
        check_frames(&[(0x81, text.as_bytes())], &[Ok(Text(text))]);
        let framed = format!("before{text}behind");
        check_frames(&[(0x81, framed.as_bytes())], &[Ok(Text(&framed))]);
    }
}

#[test]
fn text_comes_unchanged_through_fragments_cut_anywhere() {
    for text in VALID {
        let bytes = text.as_bytes();
        for first in 0..=bytes.len() {
            for second in first..=bytes.len() {
                let (one, two, three) = (&bytes[..first], &bytes[first..second], &bytes[second..]);
                check_frames(
                    &[(0x01, one), (0x89, b""), (0x00, two), (0x8a, b"a"), (0x80, three)],
                    &[Ok(Ping(b"")), Ok(Pong(b"a")), Ok(Text(text))],
                );
            }
        }
    }
    // One byte of a character in each of four fragments.
    check_frames(&[(0x01, b"\xf0"), (0x00, b"\x9f"), (0x00, b"\x98"), (0x80, b"\x80")], &[Ok(Text("😀"))]);
    // A character cut by the fragmentation.
    check(CLIENT, b"\x01\x01\xc3\x80\x01\xa9", &[Ok(Text("é"))]);
}

#[test]
fn what_is_not_text_is_refused_wherever_it_stands() {
    for broken in BROKEN {
        for (before, behind) in [("", ""), ("é", ""), ("", "é"), ("before the bytes", "behind the bytes")] {
            let bytes = [before.as_bytes(), broken, behind.as_bytes()].concat();
            check_frames(&[(0x81, &bytes)], &[Err(INVALID)]);
            for cut in 0..=bytes.len() {
                check_frames(&[(0x01, &bytes[..cut]), (0x80, &bytes[cut..])], &[Err(INVALID)]);
            }
        }
        // Binary may be anything.
        check_frames(&[(0x82, broken)], &[Ok(Binary(broken))]);
    }
}

#[test]
fn a_character_does_not_end_with_its_message() {
    for truncated in TRUNCATED {
        check_frames(&[(0x81, truncated)], &[Err(INVALID)]);
        check_frames(&[(0x81, &[b"a", truncated].concat())], &[Err(INVALID)]);
        check_frames(&[(0x01, truncated), (0x80, b"")], &[Err(INVALID)]);
        // Nor does the next fragment complete it with something else.
        check_frames(&[(0x01, truncated), (0x80, b"a")], &[Err(INVALID)]);
        check_frames(&[(0x01, truncated), (0x80, "é".as_bytes())], &[Err(INVALID)]);
        // The next message does not either.
        check_frames(&[(0x81, truncated), (0x81, b"\xa9")], &[Err(INVALID)]);
        check_frames(&[(0x82, truncated), (0x82, b"\xa9")], &[Ok(Binary(truncated)), Ok(Binary(b"\xa9"))]);
    }
}

#[test]
fn the_first_byte_that_cannot_become_text_is_refused_when_it_comes() {
    for role in [CLIENT, SERVER] {
        for broken in BROKEN {
            // How many bytes can still become text.
            let fine = (0..=broken.len()).rev().find(|end| valid_prefix(&broken[..*end]).is_ok()).expect("none can");
            // A large frame, and a message that goes on, neither of which is ever completed.
            for first in [0x81, 0x01] {
                let mut receiver = Receiver::new(role, Limits::default());
                receiver.feed(&header(role, first, 1 << 20));
                let masked = frame(first, &[b"all is well ", broken].concat(), (role == SERVER).then_some(KEY));
                let payload = &masked[masked.len() - broken.len() - 12..];
                receiver.feed(&payload[..12 + fine]);
                assert_eq!(receiver.advance(), Ok(false), "{broken:x?}");
                receiver.feed(&payload[12 + fine..][..1]);
                assert_eq!(receiver.advance(), Err(INVALID), "{broken:x?}");
            }
        }
    }
}

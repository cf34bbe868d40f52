//! Group L: text and UTF-8.

use crate::case::{Case, accept, fail, saw_binary, saw_ping, saw_text};
use crate::wire::{Piece, binary, frame, ping, text};

pub(crate) fn rows() -> Vec<Case> {
    [invalid(), valid(), fragmented()].concat()
}

fn invalid() -> Vec<Case> {
    let mut rows = Vec::new();
    for (number, name, bytes) in [
        (182, "an overlong NUL", &b"\xc0\x80"[..]),
        (182, "an overlong DEL", b"\xc1\xbf"),
        (182, "an overlong NUL of 3 bytes", b"\xe0\x80\x80"),
        (182, "an overlong U+07FF", b"\xe0\x9f\xbf"),
        (182, "an overlong NUL of 4 bytes", b"\xf0\x80\x80\x80"),
        (182, "an overlong U+FFFF", b"\xf0\x8f\xbf\xbf"),
        (183, "the first surrogate", b"\xed\xa0\x80"),
        (183, "the last high surrogate", b"\xed\xaf\xbf"),
        (183, "the first low surrogate", b"\xed\xb0\x80"),
        (183, "the last surrogate", b"\xed\xbf\xbf"),
        (183, "a pair of surrogates", b"\xed\xa0\xbd\xed\xb8\x80"),
        (184, "U+110000", b"\xf4\x90\x80\x80"),
        (184, "U+13FFFF", b"\xf4\xbf\xbf\xbf"),
        (184, "F5", b"\xf5\x80\x80\x80"),
        (184, "F7", b"\xf7\xbf\xbf\xbf"),
        (184, "5 bytes", b"\xf8\x88\x80\x80\x80"),
        (184, "6 bytes", b"\xfc\x84\x80\x80\x80\x80"),
        (184, "FE", b"\xfe"),
        (184, "FF", b"\xff"),
        (185, "a lone continuation byte", b"\x80"),
        (185, "the last continuation byte", b"\xbf"),
        (185, "two bytes of one character too many", b"\xc3\xa9\xa9"),
        (185, "a lead byte and ASCII", b"\xc3x"),
        (185, "a lead byte and ASCII, of 3", b"\xe2\x82x"),
        (185, "a lead byte of 2 at the end", b"\xc3"),
        (185, "a lead byte of 3 at the end", b"\xe2"),
        (185, "a lead byte of 4 at the end", b"\xf0"),
        (185, "two bytes of 3 at the end", b"\xe2\x82"),
        (185, "three bytes of 4 at the end", b"\xf0\x9f\x98"),
    ] {
        // The same behind other text, at the end and in the middle of what is checked a word at a time.
        let padded = [&b"0123456789abcdefghijklmnopqrstuvwxyz"[..], bytes].concat();
        let enclosed = [&padded[..], b"0123456789abcdefghijklmnopqrstuvwxyz"].concat();
        rows.push(fail(number, 1007, name, [text(bytes)]));
        rows.push(fail(number, 1007, format!("{name}, behind text"), [text(padded)]));
        rows.push(fail(number, 1007, format!("{name}, in text"), [text(enclosed)]));
        // In binary anything goes.
        rows.push(accept(191, format!("{name}, in binary"), [binary(bytes)], [saw_binary(bytes)]));
    }
    rows
}

fn valid() -> Vec<Case> {
    let mut rows = Vec::new();
    for (name, characters) in [
        ("U+0000", "\0"),
        ("U+FEFF at the start", "\u{feff}text"),
        ("U+FFFE", "\u{fffe}"),
        ("U+FFFF", "\u{ffff}"),
        ("U+10FFFF", "\u{10ffff}"),
        ("U+D7FF and U+E000", "\u{d7ff}\u{e000}"),
        ("U+007F, U+0080, U+07FF, U+0800", "\u{7f}\u{80}\u{7ff}\u{800}"),
        ("empty text", ""),
    ] {
        rows.push(accept(186, name, [text(characters)], [saw_text(characters)]));
    }
    rows
}

fn fragmented() -> Vec<Case> {
    let mut rows = Vec::new();
    // U+1F600 is F0 9F 98 80.
    let emoji = "😀".as_bytes();
    for cuts in [&[1][..], &[2], &[3], &[1, 2], &[1, 3], &[2, 3], &[1, 2, 3]] {
        let starts = [0].iter().chain(cuts);
        let parts: Vec<&[u8]> = starts.zip(cuts.iter().chain([&4])).map(|(start, end)| &emoji[*start..*end]).collect();
        let frames = |with_pings: bool| {
            let mut pieces: Vec<Piece> = Vec::new();
            for (index, part) in parts.iter().enumerate() {
                let first = if index == 0 { 0x01 } else { 0x00 } | if index + 1 == parts.len() { 0x80 } else { 0 };
                if with_pings {
                    pieces.push(ping([b'p']));
                }
                pieces.push(frame(first, part));
            }
            pieces
        };
        let name = format!("a character in {} fragments, cut at {cuts:?}", parts.len());
        rows.push(accept(187, &*name, frames(false), [saw_text("😀")]));
        let events = parts.iter().map(|_| saw_ping("p")).chain([saw_text("😀")]);
        rows.push(accept(187, format!("{name}, with Pings"), frames(true), events));
        // The last byte of the character is another's first.
        let mut wrong = frames(false);
        let last = wrong.pop().map(|_| frame(0x80, b"\xf0\x9f\x98\x80"));
        wrong.extend(last);
        rows.push(fail(189, 1007, format!("{name}, and completed wrongly"), wrong));
    }
    rows.push(fail(189, 1007, "a fragment of text, and one of none", [frame(0x01, b"text"), frame(0x80, b"\xff")]));
    rows.push(fail(189, 1007, "half of a character, and an empty rest", [frame(0x01, b"\xc3"), frame(0x80, b"")]));
    // The rest never comes.
    for (name, bytes) in [("0xff", &b"\xff"[..]), ("a surrogate", b"\xed\xa0"), ("above U+10FFFF", b"\xf4\x90")] {
        let started = [frame(0x01, bytes).announcing(1 << 20)];
        rows.push(fail(188, 1007, format!("{name} at the start of 1 MiB"), started));
        let fragment = [frame(0x01, [b"text", bytes].concat())];
        rows.push(fail(188, 1007, format!("{name} in a fragment that is not the last"), fragment));
    }
    rows
}

//! Group I: messages and fragmentation.

use raddle::Limits;

use crate::case::{Case, Saw, accept, fail, saw_binary, saw_close, saw_ping, saw_pong, saw_text};
use crate::rows::limited;
use crate::wire::{Piece, announce, binary, close, frame, ping, pong, text};

pub(crate) fn rows() -> Vec<Case> {
    [order(), control_between(), fragments(), floods(), sums()].concat()
}

fn order() -> Vec<Case> {
    let mut rows = Vec::new();
    for (name, first) in [("with FIN", 0x80), ("without FIN", 0x00)] {
        rows.push(fail(136, 1002, format!("a continuation {name}, and no message"), [frame(first, b"x")]));
        let behind = [text("whole"), frame(first, b"x")];
        let case = fail(136, 1002, format!("a continuation {name} behind a whole message"), behind);
        rows.push(case.after([saw_text("whole")]));
        let pieces = [frame(0x02, b"a"), frame(0x80, b"b"), frame(first, b"x")];
        let case = fail(136, 1002, format!("a continuation {name} behind the last fragment"), pieces);
        rows.push(case.after([saw_binary("ab")]));
    }
    for (opened, begins) in [("text", 0x01), ("binary", 0x02)] {
        for (new, first) in [("text", 0x81), ("binary", 0x82), ("a text's fragment", 0x01), ("a fragment", 0x02)] {
            let pieces = [frame(begins, b"a"), frame(first, b"b")];
            rows.push(fail(137, 1002, format!("{new} inside a fragmented {opened} message"), pieces));
        }
    }
    rows
}

fn control_between() -> Vec<Case> {
    let mut rows = vec![accept(
        138,
        "Ping and Pong between fragments",
        [frame(0x01, b"a"), ping("p"), frame(0x00, b"b"), pong("q"), frame(0x80, b"c")],
        [saw_ping("p"), saw_pong("q"), saw_text("abc")],
    )];
    // é is C3 A9.
    rows.push(accept(
        138,
        "Ping and Pong inside a character",
        [frame(0x01, b"\xc3"), ping("\u{a9}"), pong(b"\xff"), frame(0x80, b"\xa9")],
        [saw_ping("\u{a9}"), saw_pong(b"\xff"), saw_text("é")],
    ));
    rows.push(accept(
        139,
        "a Close between fragments",
        [frame(0x01, b"a"), close(1000, "bye")],
        [saw_close(1000, "bye")],
    ));
    rows.push(accept(
        139,
        "a Close between fragments, and the rest of the message",
        [frame(0x02, b"a"), close(1001, ""), frame(0x80, b"b")],
        [saw_close(1001, "")],
    ));
    rows
}

/// The frames of a message with these payloads.
fn fragmented(opcode: u8, payloads: &[&str]) -> Vec<Piece> {
    let last = payloads.len() - 1;
    let first_byte = |index| if index == 0 { opcode } else { 0 } | if index == last { 0x80 } else { 0 };
    payloads.iter().enumerate().map(|(index, payload)| frame(first_byte(index), payload)).collect()
}

fn fragments() -> Vec<Case> {
    let mut rows = Vec::new();
    let thousand = vec!["é"; 1000];
    for (name, payloads) in [
        ("2 fragments", &["Hel", "lo"][..]),
        ("3 fragments", &["H", "ell", "o"]),
        ("1,000 fragments", &thousand),
        ("an empty first fragment", &["", "Hello"]),
        ("an empty last fragment", &["Hello", ""]),
        ("an empty middle fragment", &["Hel", "", "lo"]),
        ("empty fragments only", &["", "", ""]),
    ] {
        let whole = payloads.concat();
        let as_text = format!("text in {name}");
        rows.push(accept(140, as_text, fragmented(1, payloads), [saw_text(&*whole)]));
        rows.push(accept(140, format!("binary in {name}"), fragmented(2, payloads), [saw_binary(whole)]));
    }
    let empty = |index: usize| if index.is_multiple_of(2) { text("") } else { binary("") };
    let saw_empty = |index: usize| if index.is_multiple_of(2) { saw_text("") } else { saw_binary("") };
    rows.push(accept(148, "10,000 empty messages", (0..10_000).map(empty), (0..10_000).map(saw_empty)));
    rows
}

fn floods() -> Vec<Case> {
    let mut rows = Vec::new();
    let endless = |count: usize, payload: &str| {
        let payload = payload.to_owned();
        std::iter::once(frame(0x02, &payload)).chain((1..count).map(move |_| frame(0x00, &payload)))
    };
    // FRAG_MAX is 16,384, and the first frame counts.
    rows.push(fail(141, 1008, "FRAG_MAX empty fragments and one", endless(16_385, "")));
    rows.push(fail(142, 1008, "FRAG_MAX fragments of a byte and one", endless(16_385, "x")));
    let last = endless(16_383, "x").chain([frame(0x80, b"x")]);
    rows.push(accept(142, "FRAG_MAX fragments", last, [saw_binary("x".repeat(16_384))]));
    let few = limited(Limits { fragments: 8, ..Limits::default() });
    rows.push(fail(141, 1008, "9 empty fragments of 8", endless(9, "")).on(few.clone()));
    rows.push(
        accept(141, "8 fragments of 8", endless(7, "").chain([frame(0x80, b"")]), [saw_binary("")]).on(few.clone()),
    );
    let text_and_ping = [frame(0x01, b"")].into_iter().chain((0..8).flat_map(|_| [ping(""), frame(0x00, b"")]));
    let pings = (0..8).map(|_| saw_ping(""));
    rows.push(fail(141, 1008, "9 empty fragments of 8, with Pings", text_and_ping).after(pings).on(few));
    let small = limited(Limits { message: 100, frame: 100, fragments: 1000 });
    rows.push(fail(142, 1009, "101 fragments of a byte where MSG_MAX is 100", endless(101, "x")).on(small));
    rows
}

fn sums() -> Vec<Case> {
    let limits = limited(Limits { message: 1000, frame: 400, fragments: 8 });
    let bytes = |length: usize| vec![b'x'; length];
    let two = |third: Piece| [frame(0x02, bytes(400)), frame(0x00, bytes(400)), third];
    let whole: [Saw; 1] = [saw_binary(bytes(1000))];
    let with_pings = two(frame(0x80, bytes(200))).into_iter().flat_map(|fragment| [ping(bytes(125)), fragment]);
    let events = (0..3).map(|_| saw_ping(bytes(125))).chain(whole.clone());
    vec![
        // On the header, before its payload is there.
        fail(143, 1009, "the last fragment passes MSG_MAX", two(announce(0x80, 201))).on(limits.clone()),
        fail(143, 1009, "a middle fragment passes MSG_MAX", two(announce(0x00, 400))).on(limits.clone()),
        accept(144, "a sum of MSG_MAX", two(frame(0x80, bytes(200))), whole).on(limits.clone()),
        accept(144, "a sum of MSG_MAX, with Pings", with_pings, events).on(limits),
        fail(145, 1009, "a sum that wraps 63 bits", [frame(0x02, b"x"), announce(0x80, u64::MAX >> 1)]),
        fail(145, 1009, "a sum that wraps 32 bits", [frame(0x02, bytes(8)), announce(0x80, (1 << 32) - 8)]),
        fail(145, 1009, "a sum that wraps 31 bits", [frame(0x02, bytes(8)), announce(0x80, (1 << 31) - 8)]),
    ]
}

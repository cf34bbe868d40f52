//! Group K: Close.

use crate::case::{Call, Case, Modes, Saw, Then, accept, caller_error, fail, saw_close, saw_text};
use crate::wire::{announce, binary, close, frame, ping, raw, text};

pub(crate) fn rows() -> Vec<Case> {
    [payloads(), behind(), ends(), calls()].concat()
}

fn payloads() -> Vec<Case> {
    let mut rows = vec![
        accept(161, "a Close without a payload", [frame(0x88, b"")], [Saw::Close(None)]),
        fail(162, 1002, "a Close of one byte", [frame(0x88, b"\x03")]),
    ];
    for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999] {
        rows.push(accept(163, format!("the code {code}"), [close(code, "bye")], [saw_close(code, "bye")]));
    }
    for code in [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535] {
        rows.push(fail(164, 1002, format!("the code {code}"), [close(code, "bye")]));
    }
    let longest = "é".repeat(61) + "x";
    rows.push(accept(165, "a reason of 123 bytes", [close(1000, &longest)], [saw_close(1000, longest.clone())]));
    rows.push(fail(165, 1002, "a reason of 124 bytes", [close(1000, longest.clone() + "x")]));
    rows.push(accept(165, "a reason with NUL", [close(1000, "a\0b")], [saw_close(1000, "a\0b")]));
    for (name, reason) in [
        ("half of an emoji", &b"\xf0\x9f"[..]),
        ("0xff", b"a\xffb"),
        ("an overlong slash", b"\xc0\xaf"),
        ("a surrogate", b"\xed\xa0\x80"),
    ] {
        rows.push(fail(165, 1007, format!("{name} in the reason"), [close(1000, reason)]));
    }
    rows.push(fail(166, 1002, "a Close without FIN", [frame(0x08, b"\x03\xe8")]));
    rows.push(fail(166, 1002, "a Close with RSV1", [frame(0xc8, b"\x03\xe8")]));
    rows
}

fn behind() -> Vec<Case> {
    let mut rows = Vec::new();
    for (name, more) in [
        ("a text", text("late")),
        ("a Ping", ping("late")),
        ("a Close", close(1001, "late")),
        ("garbage", raw(b"\xff\xff\xff\xff\xff\xff\xff\xff")),
        ("a broken frame", frame(0x83, b"")),
        ("a part of a frame", announce(0x82, 1 << 20)),
        ("100 KiB", binary(vec![0; 100 << 10])),
    ] {
        let pieces = [text("first"), close(1000, "bye"), more];
        let events = [saw_text("first"), saw_close(1000, "bye")];
        rows.push(accept(167, format!("{name} behind a Close"), pieces, events));
    }
    let pieces = [text("first"), frame(0x83, b""), frame(0x91, b""), text(b"\xff")];
    rows.push(fail(178, 1002, "three errors, one behind the other", pieces).after([saw_text("first")]));
    let pieces = [text(b"\xff"), close(1000, "")];
    rows.push(fail(178, 1007, "a Close behind an error", pieces));
    rows
}

fn ends() -> Vec<Case> {
    let mut rows = Vec::new();
    for (number, then) in [(172, Then::Finish), (173, Then::Reset)] {
        for (name, pieces, events) in [
            ("no frame", vec![], vec![]),
            ("a whole message", vec![text("whole")], vec![saw_text("whole")]),
            ("a message and half of a header", vec![text("whole"), raw(b"\x82")], vec![saw_text("whole")]),
            (
                "a message and half of a payload",
                vec![text("whole"), announce(0x81, 9), raw("x")],
                vec![saw_text("whole")],
            ),
            ("a message and a fragment", vec![text("whole"), frame(0x01, b"part")], vec![saw_text("whole")]),
        ] {
            let case = accept(number, format!("{then:?} behind {name}"), pieces, events);
            rows.push(case.then(then).only(Modes::CORE | Modes::CLIENT_CORE | Modes::SERVER | Modes::CLIENT));
        }
    }
    rows
}

fn calls() -> Vec<Case> {
    let mut rows = Vec::new();
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535] {
        rows.push(caller_error(174, format!("close with {code}"), Call::Close(code, "bye".into())));
    }
    for reason in ["x".repeat(124), "é".repeat(62), "x".repeat(70_000)] {
        let name = format!("close with a reason of {} bytes", reason.len());
        rows.push(caller_error(174, name, Call::Close(1000, reason)));
    }
    rows.push(caller_error(174, "a Ping of 126 bytes", Call::Ping(vec![0; 126])));
    rows
}

//! Group H: the frame header.

use raddle::Limits;

use crate::case::{Case, Modes, Saw, Then, accept, fail, saw_binary, saw_ping, saw_pong, saw_text};
use crate::rows::limited;
use crate::wire::{Piece, announce, binary, frame, ping, pong, raw, text};

pub(crate) fn rows() -> Vec<Case> {
    [masking(), reserved(), lengths(), limits(), several(), cut_off()].concat()
}

fn masking() -> Vec<Case> {
    let mut rows = Vec::new();
    for opcode in [0, 1, 2, 8, 9, 10] {
        // FIN, no mask, length 0: then the same with a payload.
        for bytes in [&[0x80 | opcode, 0x00][..], &[0x80 | opcode, 0x02, 0x03, 0xe8]] {
            let name = format!("an unmasked frame of opcode {opcode}, {} bytes", bytes.len());
            rows.push(fail(115, 1002, name, [raw(bytes)]).only(Modes::CORE | Modes::SERVER));
        }
        let masked = [0x80 | opcode, 0x82, 0x37, 0xfa, 0x21, 0x3d, 0x34, 0x12];
        let name = format!("a masked frame of opcode {opcode}");
        rows.push(fail(116, 1002, name, [raw(masked)]).only(Modes::CLIENT_CORE | Modes::CLIENT));
        // The second byte shows it.
        let name = format!("the first bytes of a masked frame of opcode {opcode}");
        rows.push(fail(116, 1002, name, [raw([0x80 | opcode, 0x80])]).only(Modes::CLIENT_CORE | Modes::CLIENT));
    }
    let key = |key: [u8; 4]| text("same").key(key);
    rows.push(accept(128, "a masking key of zeros", [key([0; 4])], [saw_text("same")]));
    rows.push(accept(128, "a masking key of ones", [key([0xff; 4])], [saw_text("same")]));
    rows.push(accept(128, "a masking key that is the payload", [key(*b"same")], [saw_text("same")]));
    let different = [key(*b"\x01\x02\x03\x04"), frame(0x02, b"abcde").key(*b"key1"), frame(0x80, b"fg").key(*b"yek2")];
    rows.push(accept(128, "another masking key for each frame", different, [saw_text("same"), saw_binary("abcdefg")]));
    rows
}

fn reserved() -> Vec<Case> {
    let mut rows = Vec::new();
    for bits in 1..8 {
        for opcode in [0, 1, 2, 8, 9, 10] {
            let first = 0x80 | bits << 4 | opcode;
            rows.push(fail(117, 1002, format!("the first byte {first:#x}, and no more"), [raw([first])]));
            rows.push(fail(117, 1002, format!("reserved bits in {first:#x}"), [frame(first, b"")]));
        }
    }
    for opcode in (3..8).chain(11..16) {
        for first in [opcode, 0x80 | opcode] {
            rows.push(fail(118, 1002, format!("the first byte {first:#x}, and no more"), [raw([first])]));
            for length in [0, 125] {
                let name = format!("the reserved opcode of {first:#x}, {length} bytes");
                rows.push(fail(118, 1002, name, [frame(first, vec![0; length])]));
            }
        }
    }
    rows
}

fn lengths() -> Vec<Case> {
    let mut rows = Vec::new();
    for length in [1 << 63, u64::MAX, 1 << 63 | 5] {
        rows.push(fail(119, 1002, format!("a length of {length:#x}"), [announce(0x82, length)]));
    }
    let top_bit = "the first byte of a length with the top bit set";
    rows.push(fail(119, 1002, top_bit, [raw(b"\x82\xff\x80")]).only(Modes::CORE | Modes::SERVER));
    rows.push(fail(119, 1002, top_bit, [raw(b"\x82\x7f\x80")]).only(Modes::CLIENT_CORE | Modes::CLIENT));
    // FRAME_MAX is 1 MiB. Only the header is there.
    for length in [u64::MAX >> 1, (1 << 20) + 1, 1 << 31, (1 << 32) - 1, 1 << 32, (1 << 32) + 1, (1 << 53) + 1] {
        rows.push(fail(120, 1009, format!("a binary message of {length:#x} bytes"), [announce(0x82, length)]));
        rows.push(fail(120, 1009, format!("a text of {length:#x} bytes"), [announce(0x81, length)]));
    }
    for (name, length) in [
        ("its header wraps 64 bits", (u64::MAX >> 1) - 5),
        ("its header wraps 32 bits", (1 << 32) - 5),
        ("what was received wraps 32 bits", (1 << 32) - 10),
        ("what was received wraps 31 bits", (1 << 31) - 10),
        ("its lower 32 bits are small", 7 << 32 | 5),
    ] {
        let pieces = [frame(0x02, b"0123456789"), announce(0x80, length)];
        rows.push(fail(121, 1009, format!("a length so that {name}"), pieces));
        rows.push(fail(121, 1009, format!("a first length so that {name}"), [announce(0x82, length)]));
    }
    for length in [0, 1, 125] {
        let name = format!("a length of {length} in 16 bits");
        rows.push(fail(122, 1002, name, [binary(vec![0; length]).in_16_bits()]));
    }
    for length in [0, 125, 126, 65_535] {
        let name = format!("a length of {length} in 64 bits");
        rows.push(fail(122, 1002, name, [binary(vec![0; length]).in_64_bits()]));
    }
    for length in [126, 65_535, 65_536] {
        let payload = vec![0x5a; length];
        rows.push(accept(
            122,
            format!("a length of {length}, as short as can be"),
            [binary(&payload)],
            [saw_binary(payload)],
        ));
    }
    rows
}

fn limits() -> Vec<Case> {
    let mut rows = Vec::new();
    let limits = Limits { message: 200, frame: 100, fragments: 8 };
    let bytes = |length: usize| vec![b'x'; length];
    for (name, pieces, sum) in [
        ("a frame of FRAME_MAX", vec![binary(bytes(100))], 100),
        ("a message of MSG_MAX", vec![frame(0x02, bytes(100)), frame(0x80, bytes(100))], 200),
        ("a text of FRAME_MAX", vec![text(bytes(100))], 100),
    ] {
        let event = if name.contains("text") { Saw::Text("x".repeat(sum)) } else { Saw::Binary(bytes(sum)) };
        rows.push(accept(124, name, pieces, [event]).on(limited(limits)));
    }
    let fails = |name: &str, pieces: Vec<Piece>| fail(124, 1009, name, pieces).on(limited(limits));
    rows.push(fails("a frame of FRAME_MAX and one", vec![announce(0x82, 101)]));
    let last_byte = vec![frame(0x02, bytes(100)), frame(0x00, bytes(100)), announce(0x80, 1)];
    rows.push(fails("a message of MSG_MAX and one", last_byte));
    let smaller = Limits { message: 50, frame: 100, fragments: 8 };
    rows.push(
        accept(124, "MSG_MAX below FRAME_MAX", [binary(bytes(50))], [saw_binary(bytes(50))]).on(limited(smaller)),
    );
    rows.push(fail(124, 1009, "one more, below FRAME_MAX", [announce(0x82, 51)]).on(limited(smaller)));

    let nothing = limited(Limits::default().message(0));
    rows.push(accept(124, "an empty message where MSG_MAX is 0", [text("")], [saw_text("")]).on(nothing.clone()));
    rows.push(fail(124, 1009, "one byte where MSG_MAX is 0", [announce(0x82, 1)]).on(nothing.clone()));
    rows.push(accept(124, "a Ping where MSG_MAX is 0", [ping("p")], [saw_ping("p")]).on(nothing));
    let one = limited(Limits::default().message(1));
    rows.push(accept(124, "one byte where MSG_MAX is 1", [text("x")], [saw_text("x")]).on(one.clone()));
    rows.push(fail(124, 1009, "two bytes where MSG_MAX is 1", [announce(0x81, 2)]).on(one));
    let no_frames = limited(Limits { fragments: 0, ..Limits::default() });
    rows.push(fail(124, 1008, "a message where no frame is allowed", [text("")]).on(no_frames));
    let unlimited = limited(Limits { message: u64::MAX, frame: u64::MAX, fragments: u32::MAX });
    let large = vec![0x5a; (1 << 20) + 1];
    rows.push(
        accept(124, "more than the default where nothing is limited", [binary(&large)], [saw_binary(large)])
            .on(unlimited.clone()),
    );
    let endless = [frame(0x02, b"x"), announce(0x80, u64::MAX >> 1)];
    rows.push(accept(124, "2^63 - 1 bytes where nothing is limited", endless, []).then(Then::Finish).on(unlimited));

    let default = vec![0x5a; 1 << 20];
    rows.push(accept(124, "1 MiB by default", [binary(&default)], [saw_binary(default)]));
    rows
}

fn several() -> Vec<Case> {
    let numbered = |count: usize| (0..count).map(|index| text(format!("message {index}")));
    let saw_numbered = |count: usize| (0..count).map(|index| saw_text(format!("message {index}")));
    let mut rows = Vec::new();
    for count in [2, 3, 1000] {
        rows.push(accept(130, format!("{count} messages"), numbered(count), saw_numbered(count)));
    }
    let half = numbered(1).chain([announce(0x82, 100)]);
    rows.push(accept(130, "a message and half of the next", half, saw_numbered(1)).then(Then::Finish));
    for (name, code, bad) in [
        ("a reserved opcode", 1002, frame(0x83, b"")),
        ("invalid text", 1007, text(b"\xff")),
        ("a length above FRAME_MAX", 1009, announce(0x82, 1 << 32)),
    ] {
        let pieces = numbered(10).chain([bad]);
        rows.push(fail(130, code, format!("10 messages and {name}"), pieces).after(saw_numbered(10)));
    }
    for (name, bad) in [
        ("a reserved bit", frame(0x91, b"bad")),
        ("a reserved opcode", frame(0x83, b"bad")),
        ("a long Ping", ping([0; 126])),
        ("a stray continuation", frame(0x80, b"bad")),
    ] {
        let pieces = [bad, text("good"), ping("good"), text("good")];
        rows.push(fail(131, 1002, format!("good frames behind {name}"), pieces));
    }
    // Every line is cut in all these ways; this one has a bit of everything.
    rows.push(accept(
        132,
        "a frame of every kind",
        [text("é"), frame(0x02, b"a"), ping("p"), frame(0x00, b""), pong("q"), frame(0x80, b"b"), binary([0; 126])],
        [saw_text("é"), saw_ping("p"), saw_pong("q"), saw_binary("ab"), saw_binary([0; 126])],
    ));
    rows
}

fn cut_off() -> Vec<Case> {
    let mut rows = Vec::new();
    // FRAME_MAX and MSG_MAX are announced; memory grows with what is received.
    for (name, first) in [("binary", 0x82), ("text", 0x81), ("fragment", 0x02)] {
        let case =
            accept(126, format!("1 MiB announced in a {name} frame, and nothing"), [announce(first, 1 << 20)], []);
        rows.push(case.then(Then::Finish));
    }
    let some = [announce(0x82, 1 << 20), raw(vec![0x37; 100_000])];
    rows.push(accept(126, "1 MiB announced, a tenth received", some, []).then(Then::Finish));
    for (name, length) in [("two bytes", 2), ("100 bytes", 100), ("64 KiB", 65_536)] {
        let pieces = [text("whole"), announce(0x82, length), raw("x")];
        let case = accept(133, format!("{name} announced, one received"), pieces, [saw_text("whole")]);
        rows.push(case.then(Then::Finish));
    }
    rows
}

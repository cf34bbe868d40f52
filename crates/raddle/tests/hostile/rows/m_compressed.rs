//! Group M: compressed messages. The bytes are DEFLATE data (RFC 1951) by hand, or made by a compressor without the library.

use raddle::{Deflate, Limits};
use zlib_rs::DeflateFlush;

use crate::case::{Case, accept, fail, saw_binary, saw_pong, saw_text};
use crate::head::sample;
use crate::rows::limited;
use crate::wire::{Piece, announce, binary, frame, pong, text};

/// Both sides remember what they have sent. What the endpoint sends is as it was received, so that the peer need not inflate.
const TAKEOVER: Deflate = Deflate {
    level: 1,
    threshold: usize::MAX,
    server_no_context_takeover: false,
    client_no_context_takeover: false,
    server_max_window_bits: 15,
    client_max_window_bits: 15,
};
const NO_TAKEOVER: Deflate = Deflate { server_no_context_takeover: true, client_no_context_takeover: true, ..TAKEOVER };

/// "Hello" in a block, from RFC 7692, section 7.2.3.1.
const HELLO: &[u8] = b"\xf2\x48\xcd\xc9\xc9\x07\x00";
/// In a block that says that it is the last (section 7.2.3.4).
const HELLO_LAST: &[u8] = b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00";
/// All of the message before, by reference (section 7.2.3.2).
const AGAIN: &[u8] = b"\xf2\x00\x11\x00\x00";

pub(crate) fn rows() -> Vec<Case> {
    [sizes(), broken(), endings(), frames(), contexts()].concat()
}

/// A compressed text message in one frame.
fn compressed(payload: &[u8]) -> Piece {
    frame(0xc1, payload)
}

/// What a compressor makes of a message, without the tail.
fn deflate(message: &[u8]) -> Vec<u8> {
    let mut payload = run(message, DeflateFlush::SyncFlush);
    assert!(payload.ends_with(b"\0\0\xff\xff"));
    payload.truncate(payload.len() - 4);
    payload
}

/// In blocks of which the last one says so.
fn deflate_to_the_end(message: &[u8]) -> Vec<u8> {
    run(message, DeflateFlush::Finish)
}

fn run(message: &[u8], flush: DeflateFlush) -> Vec<u8> {
    let mut output = vec![0; message.len() + 1024];
    let mut stream = zlib_rs::Deflate::new(6, false, 15);
    stream.compress(message, &mut output, flush).expect("there is room");
    output.truncate(stream.total_out() as usize);
    output
}

fn noise(length: usize) -> Vec<u8> {
    let mut numbers = crate::run::cuts::Numbers::new(219);
    (0..length).map(|_| numbers.below(256) as u8).collect()
}

/// A message of this many equal bytes, in so many fragments.
fn bomb(length: usize, fragments: usize) -> Vec<Piece> {
    let payload = deflate(&vec![b'a'; length]);
    let size = payload.len().div_ceil(fragments);
    let count = payload.chunks(size).count();
    let first = |index| if index == 0 { 0x42 } else { 0 } | if index + 1 == count { 0x80 } else { 0 };
    payload.chunks(size).enumerate().map(|(index, part)| frame(first(index), part)).collect()
}

fn sizes() -> Vec<Case> {
    let small = || limited(Limits { message: 10_000, frame: 10_000, ..Limits::default() });
    let mut rows = Vec::new();
    for deflate in [TAKEOVER, NO_TAKEOVER] {
        for (number, fragments) in [(196, 1), (197, 5), (197, 100)] {
            let name = format!("1 MiB in {fragments} fragments");
            rows.push(fail(number, 1009, name, bomb(1 << 20, fragments)).on(small()).deflated(deflate));
        }
        // Each inflates to less than the limit, both to more.
        let first = [self::deflate(&[7; 9000]), b"\0\0\xff\xff".to_vec()].concat();
        let both = [frame(0x42, first), frame(0x80, self::deflate(&[8; 9000]))];
        rows.push(fail(197, 1009, "two fragments of most of the limit", both).on(small()).deflated(deflate));
        for fragments in [1, 3] {
            let name = |length| format!("{length} bytes in {fragments} fragments");
            let fits = [saw_binary([b'a'; 10_000])];
            rows.push(accept(198, name(10_000), bomb(10_000, fragments), fits).on(small()).deflated(deflate));
            rows.push(fail(198, 1009, name(10_001), bomb(10_001, fragments)).on(small()).deflated(deflate));
        }
    }
    rows.push(fail(200, 1009, "a header above the limit", [announce(0xc2, 10_001)]).on(small()).deflated(TAKEOVER));
    // What the peer's compressor could not make smaller, at the boundaries of stored blocks.
    for length in [1, 300, 16_383, 65_535, 65_536, 70_000] {
        let noise = noise(length);
        let row = accept(220, format!("{length} random bytes"), [frame(0xc2, deflate(&noise))], [saw_binary(noise)]);
        rows.push(row.deflated(TAKEOVER));
    }
    rows
}

fn broken() -> Vec<Case> {
    let mut rows = Vec::new();
    for (name, payload) in [
        ("block type 3", &b"\x06\x00"[..]),
        ("block type 3, behind another block", b"\x02\x0c\x00"),
        ("a stored block whose length is not its inverse", b"\x00\x05\x00\xfa\xfeHello\x00"),
        ("code lengths that are no code", b"\x04\xff\xff\xff\xff\xff\xff\xff\x00"),
        ("too many codes", b"\xfc\xff\xff\xff\xff\xff\xff\xff\x00"),
        ("a reference to what was not received", AGAIN),
        ("a tail that was not left out", b"\xf2\x48\xcd\xc9\xc9\x07\x00\x00\x00\xff\xff"),
        ("text that is not compressed", b"Hello, world"),
    ] {
        rows.push(fail(201, 1007, name, [compressed(payload)]).deflated(TAKEOVER));
    }
    for payload in [&noise(50)[..], &noise(400)[100..]] {
        rows.push(fail(201, 1007, format!("{} random bytes", payload.len()), [compressed(payload)]).deflated(TAKEOVER));
    }
    let long = deflate("{\"name\":\"value\",\"number\":12345}".repeat(7).as_bytes());
    for (name, payload) in [("Hello", HELLO), ("JSON", &long), ("a last block", HELLO_LAST)] {
        for missing in [1, 2, 3, payload.len() / 2] {
            let payload = &payload[..payload.len() - missing];
            let row = fail(202, 1007, format!("{name} without its last {missing} bytes"), [compressed(payload)]);
            rows.push(row.deflated(TAKEOVER));
            let row = fail(202, 1007, format!("{name} without its last {missing} bytes"), [compressed(payload)]);
            rows.push(row.deflated(NO_TAKEOVER));
        }
    }
    rows.push(
        fail(190, 1007, "text that is not UTF-8", [compressed(b"\x00\x01\x00\xfe\xff\xff\x00")]).deflated(TAKEOVER),
    );
    let torn = b"\x00\x01\x00\xfe\xff\xc3\x00\x01\x00\xfe\xff\xa9\x00";
    rows.push(accept(190, "a character in two blocks", [compressed(torn)], [saw_text("é")]).deflated(TAKEOVER));
    let halves = [frame(0x41, &torn[..8]), frame(0x80, &torn[8..])];
    rows.push(accept(190, "a character in two fragments", halves, [saw_text("é")]).deflated(TAKEOVER));
    let early = frame(0x41, b"\x00\x02\x00\xfd\xff\xed\xa0");
    rows.push(fail(190, 1007, "the first bytes of a surrogate, before the end", [early]).deflated(TAKEOVER));
    rows
}

fn endings() -> Vec<Case> {
    let large = "0123456789abcdef".repeat(200 * 64);
    let large_last = [deflate_to_the_end(large.as_bytes()), vec![0]].concat();
    let streams = |count: usize| compressed(&[&b"\x03\x00".repeat(count), HELLO].concat());
    let mut rows = Vec::new();
    for deflate in [TAKEOVER, NO_TAKEOVER] {
        let mut row = |row: Case| rows.push(row.deflated(deflate));
        let hello = || saw_text("Hello");
        row(accept(
            203,
            "a last block, then others",
            [compressed(HELLO_LAST), compressed(HELLO), compressed(HELLO_LAST)],
            [hello(), hello(), hello()],
        ));
        row(accept(
            203,
            "a large message that ends with a last block",
            [compressed(&large_last), compressed(HELLO)],
            [saw_text(large.clone()), hello()],
        ));
        row(accept(204, "16 streams in a message", [streams(16), streams(16)], [hello(), hello()]));
        row(fail(204, 1007, "17 streams in a message", [streams(17)]));
        row(fail(204, 1007, "thousands of streams", [compressed(&b"\x03\x00".repeat(5000))]));
        for payload in [&b"\x00"[..], b"\x02\x00", b"\x01"] {
            let name = format!("an empty message as {payload:x?}");
            row(accept(206, name, [compressed(payload), compressed(HELLO)], [saw_text(""), hello()]));
        }
        row(fail(207, 1007, "a payload of no bytes", [compressed(b"")]));
        row(fail(207, 1007, "fragments of no bytes", [frame(0x41, b""), frame(0x80, b"")]));
        row(accept(
            207,
            "a first fragment of no bytes",
            [frame(0x41, b""), frame(0x80, HELLO), compressed(HELLO)],
            [hello(), hello()],
        ));
    }
    rows
}

fn frames() -> Vec<Case> {
    let (first, last) = (&HELLO[..3], &HELLO[3..]);
    let mut rows = Vec::new();
    for (name, pieces) in [
        ("a continuation", vec![frame(0x41, first), frame(0xc0, last)]),
        ("a continuation, of a message that is not compressed", vec![frame(0x01, "a"), frame(0xc0, HELLO)]),
        ("a Ping", vec![frame(0xc9, "")]),
        ("a Pong", vec![frame(0xca, "")]),
        ("a Close", vec![frame(0xc8, "")]),
        ("a Ping between fragments", vec![frame(0x41, first), frame(0xc9, "")]),
    ] {
        rows.push(fail(208, 1002, format!("RSV1 on {name}"), pieces).deflated(TAKEOVER));
    }
    rows.push(fail(208, 1002, "RSV2", [frame(0xe1, HELLO)]).deflated(TAKEOVER));
    rows.push(fail(208, 1002, "RSV3", [frame(0xd1, HELLO)]).deflated(TAKEOVER));
    let plain = [compressed(HELLO), text("plain"), compressed(AGAIN), binary("plain"), compressed(AGAIN)];
    let seen = [saw_text("Hello"), saw_text("plain"), saw_text("Hello"), saw_binary("plain"), saw_text("Hello")];
    rows.push(accept(209, "compressed and not by turns", plain, seen).deflated(TAKEOVER));
    let offered = || sample().add("Sec-WebSocket-Extensions", "permessage-deflate");
    rows.push(fail(210, 1002, "RSV1 where it was offered and not agreed", [compressed(HELLO)]).behind(offered()));
    // Agreed on by a server that compresses nothing itself: the client may.
    rows.push(accept(210, "one side alone compresses", [compressed(HELLO)], [saw_text("Hello")]).deflated(TAKEOVER));
    let between = [frame(0x41, first), pong("p"), frame(0x00, b""), pong("q"), frame(0x80, last), compressed(AGAIN)];
    let seen = [saw_pong("p"), saw_pong("q"), saw_text("Hello"), saw_text("Hello")];
    rows.push(accept(214, "control frames between compressed fragments", between, seen).deflated(TAKEOVER));
    let amid = [frame(0x41, first), text("plain")];
    rows.push(fail(214, 1002, "a message between compressed fragments", amid).deflated(TAKEOVER));
    rows
}

fn contexts() -> Vec<Case> {
    let kept = [compressed(HELLO), compressed(AGAIN), compressed(AGAIN)];
    let three = [saw_text("Hello"), saw_text("Hello"), saw_text("Hello")];
    let forgotten = [compressed(HELLO), compressed(AGAIN)];
    // 1,024 bytes back, which a compressor of a window of 9 bits does not reach.
    let far = noise(1024);
    let message = [&far[..], &far[..]].concat();
    let one_way = Deflate { client_max_window_bits: 9, server_max_window_bits: 9, ..TAKEOVER };
    vec![
        fail(211, 1007, "a reference to the message before", forgotten)
            .after([saw_text("Hello")])
            .deflated(NO_TAKEOVER),
        accept(212, "references to the messages before", kept, three).deflated(TAKEOVER),
        accept(213, "a distance beyond the window", [frame(0xc2, deflate(&message))], [saw_binary(&message)])
            .deflated(one_way),
    ]
}

//! Receiving compressed messages (RFC 7692, sections 6.2 and 7.2.2), at every cut.

#![cfg(feature = "deflate")]

mod common;

use common::{CLIENT, Owned, SERVER, Said, assemble, frames, receive};
use raddle_core::Progress::{Last, More};
use raddle_core::deflate::Compressor;
use raddle_core::{Deflate, Error, Limits, Message, Receiver, Role};

/// Both sides remember, or none does.
const TAKEOVER: Deflate = Deflate {
    level: 1,
    threshold: 0,
    server_no_context_takeover: false,
    client_no_context_takeover: false,
    server_max_window_bits: 15,
    client_max_window_bits: 15,
};
const NO_TAKEOVER: Deflate = Deflate { server_no_context_takeover: true, client_no_context_takeover: true, ..TAKEOVER };

fn receiver(role: Role, deflate: Deflate) -> Receiver {
    Receiver::new(role, Limits::default()).with_deflate(Some(deflate))
}

fn text(text: &str) -> Said {
    Ok(Owned::Text(text.into()))
}

/// Checks what both roles say to the frames: whole, byte by byte, at every cut, in parts, and by a fork after each byte.
#[track_caller]
fn check(deflate: Deflate, received: &[(u8, &[u8])], expected: &[Said]) {
    for role in [CLIENT, SERVER] {
        let bytes = frames(role, received);
        assert_eq!(receive(receiver(role, deflate), [&bytes[..]]), expected, "{role:?}, whole");
        for cut in 0..bytes.len() {
            let (one, other) = bytes.split_at(cut);
            assert_eq!(receive(receiver(role, deflate), [one, other]), expected, "{role:?}, cut at {cut}");
        }
        assert_eq!(in_parts(receiver(role, deflate), &bytes), expected, "{role:?}, in parts");
        let (mut forked, mut said) = (receiver(role, deflate), Vec::new());
        for byte in bytes.chunks(1) {
            forked.feed(byte);
            common::listen(&mut forked, &mut said);
            forked = forked.fork();
        }
        assert_eq!(said, expected, "{role:?}, by forks");
    }
}

fn in_parts(mut receiver: Receiver, bytes: &[u8]) -> Vec<Said> {
    let mut said = Vec::new();
    for byte in bytes.chunks(1) {
        receiver.feed(byte);
        loop {
            match receiver.advance_part() {
                Ok(true) => said.push(Ok(receiver.event().expect("advance_part() has returned true").into())),
                Ok(false) => break,
                Err(error) if said.contains(&Err(error)) => break,
                Err(error) => said.push(Err(error)),
            }
        }
    }
    assemble(said)
}

const HELLO: &[u8] = b"\xf2\x48\xcd\xc9\xc9\x07\x00";
/// In one block that says that it is the last, and the beginning of an empty stored one.
const HELLO_LAST: &[u8] = b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00";

#[test]
fn section_7_2_3_1_a_message_of_one_block() {
    for deflate in [TAKEOVER, NO_TAKEOVER] {
        check(deflate, &[(0xc1, HELLO)], &[text("Hello")]);
        // In two fragments: RSV1 on the first.
        check(deflate, &[(0x41, &HELLO[..3]), (0x80, &HELLO[3..])], &[text("Hello")]);
    }
}

#[test]
fn section_7_2_3_2_a_message_that_refers_to_the_one_before() {
    let second: &[u8] = b"\xf2\x00\x11\x00\x00";
    check(TAKEOVER, &[(0xc1, HELLO), (0xc1, second)], &[text("Hello"), text("Hello")]);
    check(TAKEOVER, &[(0xc1, HELLO), (0x81, b"plain"), (0xc1, second)], &[text("Hello"), text("plain"), text("Hello")]);
    // Against the agreement: there is nothing that it could refer to.
    check(NO_TAKEOVER, &[(0xc1, HELLO), (0xc1, second)], &[text("Hello"), Err(Error::InvalidCompression)]);
}

#[test]
fn section_7_2_3_3_a_stored_block() {
    check(TAKEOVER, &[(0xc1, b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00")], &[text("Hello")]);
}

#[test]
fn section_7_2_3_4_a_last_block() {
    for deflate in [TAKEOVER, NO_TAKEOVER] {
        check(deflate, &[(0xc1, HELLO_LAST), (0xc1, HELLO)], &[text("Hello"), text("Hello")]);
        // The next stream begins where the last one has ended.
        check(deflate, &[(0x41, &HELLO_LAST[..7]), (0x80, HELLO)], &[text("HelloHello")]);
    }
}

#[test]
fn section_7_2_3_5_two_blocks() {
    check(TAKEOVER, &[(0xc1, b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00")], &[text("Hello")]);
}

#[test]
fn section_7_2_3_6_an_empty_message() {
    for payload in [&b"\x00"[..], b"\x02\x00"] {
        check(TAKEOVER, &[(0xc1, payload), (0xc1, HELLO)], &[text(""), text("Hello")]);
    }
    // An empty stored block that says that it is the last.
    check(TAKEOVER, &[(0xc1, b"\x01"), (0xc1, HELLO)], &[text(""), text("Hello")]);
}

#[test]
fn rsv1_stands_on_the_first_data_frame_only() {
    let failed = [Err(Error::ReservedBits)];
    check(TAKEOVER, &[(0x41, &HELLO[..3]), (0xc0, &HELLO[3..])], &failed);
    check(TAKEOVER, &[(0x01, b"a"), (0xc0, &HELLO[3..])], &failed);
    for control in [0xc8, 0xc9, 0xca] {
        check(TAKEOVER, &[(control, b"")], &failed);
        check(TAKEOVER, &[(0x41, &HELLO[..3]), (control, b"")], &failed);
    }
    for role in [CLIENT, SERVER] {
        let bytes = frames(role, &[(0xc1, HELLO)]);
        assert_eq!(receive(Receiver::new(role, Limits::default()), [&bytes[..]]), failed);
        assert_eq!(receive(Receiver::new(role, Limits::default()).with_deflate(None), [&bytes[..]]), failed);
    }
}

#[test]
fn what_comes_between_fragments_leaves_the_message_as_it_is() {
    let pong = Ok(Owned::Pong(b"p".to_vec()));
    check(
        TAKEOVER,
        &[
            (0x41, b""),
            (0x8a, b"p"),
            (0x00, &HELLO[..2]),
            (0x8a, b"p"),
            (0x00, b""),
            (0x80, &HELLO[2..]),
            (0xc1, HELLO),
        ],
        &[pong.clone(), pong, text("Hello"), text("Hello")],
    );
}

#[test]
fn a_message_that_is_cut_short_is_never_delivered() {
    let long: String = (0..400).map(|index| format!("{{\"id\":{index},\"name\":\"n{}\"}},", index * 7919)).collect();
    for level in [1, 6, 9] {
        for message in ["Hello", "a", &"a".repeat(300), &long] {
            let deflate = Deflate { level, ..TAKEOVER };
            let mut compressor = Compressor::new(&deflate, CLIENT);
            let payload = compressor.compress(Message::Text(message)).as_bytes().to_vec();
            for length in 0..payload.len() {
                let bytes = frames(SERVER, &[(0xc1, &payload[..length])]);
                let said = receive(receiver(SERVER, deflate), [&bytes[..]]);
                assert_eq!(said, [Err(Error::InvalidCompression)], "{length} of {} bytes", payload.len());
            }
        }
    }
    for length in 0..HELLO_LAST.len() {
        check(TAKEOVER, &[(0xc1, &HELLO_LAST[..length])], &[Err(Error::InvalidCompression)]);
    }
}

#[test]
fn what_is_no_deflate_data_is_refused() {
    for (_what, payload) in [
        ("block type 3", &b"\x06\x00"[..]),
        ("the length of a stored block", b"\x00\x05\x00\xfa\xfeHello\x00"),
        ("a tail that was not left out", b"\xf2\x48\xcd\xc9\xc9\x07\x00\x00\x00\xff\xff"),
        ("a stored block whose contents are to be the tail", b"\x00\x04\x00\xfb\xff"),
        ("a stored block that ends behind the tail", b"\x00\xff"),
        ("a reference to what was not received", b"\xf2\x00\x11\x00\x00"),
        ("code lengths", b"\x04\xff\xff\xff\xff\xff\x00"),
    ] {
        check(TAKEOVER, &[(0xc1, payload)], &[Err(Error::InvalidCompression)]);
    }
}

/// An empty dynamic block (RFC 1951, section 3.2.7) of 257 lengths and so many distances, which ends amid the ones of the tail.
///
/// `code` has the lengths of the code lengths' codes: 18 is "0", and what ends the block all ones. `lengths` are symbols with
/// the value of their extra bits. The tail's first half is 22 zeros.
fn dynamic_block(code: &[(usize, usize)], distances: usize, lengths: &[(usize, usize)]) -> Vec<u8> {
    const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
    let mut block: Vec<bool> = Vec::new();
    let put = |block: &mut Vec<bool>, value: usize, count: usize| {
        block.extend((0..count).map(|bit| value >> bit & 1 == 1));
    };
    put(&mut block, 0b100, 3);
    put(&mut block, 0, 5);
    put(&mut block, distances - 1, 5);
    put(&mut block, 15, 4);
    let length_of = |symbol| code.iter().find(|(one, _)| *one == symbol).map_or(0, |(_, length)| *length);
    ORDER.iter().for_each(|symbol| put(&mut block, length_of(*symbol), 3));
    for (symbol, extra) in lengths {
        // Of the codes in order of their lengths, each is a one longer; the last is all ones.
        let (length, last) = (length_of(*symbol), code.last().expect("some").0);
        let ones = if *symbol == last { length } else { length - 1 };
        put(&mut block, (1 << ones) - 1, length);
        put(&mut block, *extra, if *symbol == 18 { 7 } else { 3 * usize::from(*symbol == 17) });
    }
    // Empty fixed blocks before it, so that it ends at a byte boundary.
    while !block.len().is_multiple_of(8) {
        let fixed: Vec<bool> = (0..10).map(|bit| bit == 1).collect();
        block = [fixed, block].concat();
        assert!(block.len() < 300, "an odd number of bits");
    }
    block.chunks(8).map(|bits| bits.iter().rev().fold(0, |byte, bit| byte << 1 | u8::from(*bit))).collect()
}

#[test]
fn a_block_that_ends_amid_the_tail_leaves_nothing_for_the_next_message() {
    let zeros = |count: usize| (18, count - 11);
    for (left, payload) in [
        // Three lengths of 1 have codes of 3 ones each, and the end of the block one more.
        (6, dynamic_block(&[(18, 1), (2, 2), (0, 3), (1, 3)], 1, &[zeros(138), zeros(95)])),
        (3, dynamic_block(&[(18, 1), (2, 2), (3, 3), (0, 4), (1, 4)], 1, &[zeros(138), zeros(95)])),
        // Six lengths of 2, and the end. Then the next block would be fixed and the last.
        (2, dynamic_block(&[(18, 1), (0, 2), (2, 2)], 4, &[(2, 0), (2, 0), zeros(138), zeros(93)])),
        // Two lengths of 1, of 7 ones. Then the next block would be stored and the last.
        (
            1,
            dynamic_block(
                &[(18, 1), (17, 2), (3, 3), (4, 4), (5, 5), (6, 6), (0, 7), (1, 7)],
                1,
                &[(1, 0), (17, 2), zeros(138), zeros(90)],
            ),
        ),
        (0, dynamic_block(&[(18, 1), (2, 2), (3, 3), (4, 4), (0, 5), (1, 5)], 1, &[zeros(138), zeros(95)])),
    ] {
        let refused = vec![Err(Error::InvalidCompression)];
        let expected = if left == 0 { vec![text(""), text("Hello")] } else { refused };
        check(TAKEOVER, &[(0xc1, &payload), (0xc1, HELLO)], &expected);
    }
}

#[test]
fn every_ending_of_two_bytes_is_a_block_boundary_or_refused() {
    for ending in 0..=u16::MAX {
        let payload = [&HELLO[..6], &ending.to_le_bytes()].concat();
        let bytes = frames(SERVER, &[(0xc1, &payload), (0xc1, HELLO), (0xc1, HELLO)]);
        let said = receive(receiver(SERVER, TAKEOVER), [&bytes[..]]);
        match &said[..] {
            [Err(Error::InvalidCompression | Error::InvalidUtf8)] => {}
            // Whatever it is that was accepted, the next messages are what they are.
            [Ok(Owned::Text(_)), second, third] => {
                assert_eq!((second, third), (&text("Hello"), &text("Hello")), "{ending:#06x}");
            }
            said => panic!("{ending:#06x}: {said:?}"),
        }
    }
}

#[test]
fn text_is_checked_as_it_is_inflated() {
    // "é" and its first byte, in stored blocks.
    check(TAKEOVER, &[(0xc1, b"\x00\x02\x00\xfd\xff\xc3\xa9\x00")], &[text("é")]);
    check(TAKEOVER, &[(0xc1, b"\x00\x01\x00\xfe\xff\xc3\x00\x01\x00\xfe\xff\xa9\x00")], &[text("é")]);
    check(TAKEOVER, &[(0xc1, b"\x00\x01\x00\xfe\xff\xc3\x00")], &[Err(Error::InvalidUtf8)]);
    // The first thing that is wrong is what is said, however much came with it.
    check(TAKEOVER, &[(0xc1, b"\x00\x01\x00\xfe\xff\xff\x06\x00")], &[Err(Error::InvalidUtf8)]);
    // As soon as it shows, though the message goes on.
    check(TAKEOVER, &[(0x41, b"\x00\x02\x00\xfd\xff\xff\xa9")], &[Err(Error::InvalidUtf8)]);
    check(TAKEOVER, &[(0xc2, b"\x00\x01\x00\xfe\xff\xc3\x00")], &[Ok(Owned::Binary(b"\xc3".to_vec()))]);
}

#[test]
fn a_message_holds_sixteen_streams_and_no_more() {
    let streams = |count: usize| [&b"\x03\x00".repeat(count), HELLO].concat();
    check(TAKEOVER, &[(0xc1, &streams(16)), (0xc1, &streams(16))], &[text("Hello"), text("Hello")]);
    // One that has ended with the message before does not count.
    check(TAKEOVER, &[(0xc1, b"\x01"), (0xc1, &streams(16))], &[text(""), text("Hello")]);
    check(TAKEOVER, &[(0xc1, &streams(17))], &[Err(Error::InvalidCompression)]);
}

#[test]
fn the_limit_is_of_what_is_inflated() {
    let limits = Limits { message: 1000, frame: 1000, ..Limits::default() };
    for (length, fragments) in [(1000, 1), (1001, 1), (1000, 3), (1001, 3), (1 << 20, 3)] {
        for deflate in [TAKEOVER, NO_TAKEOVER] {
            let message = vec![b'a'; length];
            let payload = Compressor::new(&deflate, CLIENT).compress(Message::Binary(&message)).as_bytes().to_vec();
            let size = payload.len() / fragments;
            let mut received = vec![];
            for index in 0..fragments {
                let end = if index + 1 == fragments { payload.len() } else { size * (index + 1) };
                let first = if index + 1 == fragments { 0x80 } else { 0 } | if index == 0 { 0x42 } else { 0 };
                received.push((first, &payload[size * index..end]));
            }
            let expected = if length <= 1000 { Ok(Owned::Binary(message.clone())) } else { Err(Error::MessageTooBig) };
            let bytes = frames(SERVER, &received);
            let limited = || Receiver::new(SERVER, limits).with_deflate(Some(deflate));
            assert_eq!(receive(limited(), [&bytes[..]]), std::slice::from_ref(&expected));
            assert_eq!(receive(limited(), bytes.chunks(1)), std::slice::from_ref(&expected));
            assert_eq!(in_parts(limited(), &bytes), [expected]);
        }
    }
    // A frame above the limit is refused by its header, whatever comes out of it.
    let bytes = frames(SERVER, &[(0xc2, &[0; 1001])]);
    assert_eq!(
        receive(Receiver::new(SERVER, limits).with_deflate(Some(TAKEOVER)), [&bytes[..8]]),
        [Err(Error::MessageTooBig)]
    );
}

#[test]
fn a_large_message_comes_in_parts_of_some_kilobytes() {
    let message = vec![0; 16 << 20];
    let payload = Compressor::new(&TAKEOVER, CLIENT).compress(Message::Binary(&message)).as_bytes().to_vec();
    let mut receiver = Receiver::new(SERVER, Limits::default().message(16 << 20)).with_deflate(Some(TAKEOVER));
    receiver.feed(&frames(SERVER, &[(0xc2, &payload)]));
    let base = receiver.capacity();
    let (mut received, mut progress) = (0, More);
    while receiver.advance_part().expect("in order") {
        let Some(raddle_core::Event::Part(part, more)) = receiver.event() else { panic!("a part") };
        received += part.as_bytes().len();
        progress = more;
        assert!(part.as_bytes().len() <= 128 * 1024, "a part of {} bytes", part.as_bytes().len());
        assert!(receiver.capacity() <= base + 256 * 1024, "{} bytes of memory", receiver.capacity());
        // It goes on where it stands in the middle of what was received, too.
        receiver = receiver.fork();
    }
    assert_eq!((received, progress), (16 << 20, Last));
}

#[test]
fn an_inflated_message_is_taken_with_its_memory_and_the_context_stays() {
    for deflate in [Deflate::default(), Deflate { client_no_context_takeover: true, ..Deflate::default() }] {
        let mut compressor = Compressor::new(&deflate, CLIENT);
        let mut receiver = receiver(SERVER, deflate);
        for number in 0..50 {
            let message = format!("a message that is compressed, number {number}").repeat(100);
            let mut sender = raddle_core::Sender::client(Box::new(common::Keys::default()));
            sender.send(compressor.compress(Message::Text(&message))).expect("nothing was closed");
            receiver.feed(sender.output());
            assert_eq!(receiver.advance(), Ok(true));
            assert!(receiver.is_inflated());
            let received = receiver.take_message().expect("it is one");
            assert_eq!(received.message(), Message::Text(&message));
            assert_eq!((receiver.advance(), receiver.kept()), (Ok(false), 0));
            assert!(received.into_memory().len() >= message.len());
        }
    }
}

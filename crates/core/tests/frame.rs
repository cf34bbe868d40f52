//! Section 5.2, the frame header: parsed and encoded, and refused at the first byte that breaks a rule.

mod common;

use common::{CLIENT, KEY, SERVER, check, check_frames};
use raddle_core::{Error, Event, Header, Limits, OpCode, Receiver, Role, Rsv1};

const OPCODES: [OpCode; 6] =
    [OpCode::Continuation, OpCode::Text, OpCode::Binary, OpCode::Close, OpCode::Ping, OpCode::Pong];

/// Lengths at both sides of every change of form, with the form's bytes.
const LENGTHS: [(u64, &[u8]); 12] = [
    (0, b"\x00"),
    (1, b"\x01"),
    (125, b"\x7d"),
    (126, b"\x7e\x00\x7e"),
    (127, b"\x7e\x00\x7f"),
    (255, b"\x7e\x00\xff"),
    (256, b"\x7e\x01\x00"),
    (0xffff, b"\x7e\xff\xff"),
    (0x1_0000, b"\x7f\0\0\0\0\0\x01\0\0"),
    (0x1_0001, b"\x7f\0\0\0\0\0\x01\0\x01"),
    (1 << 32, b"\x7f\0\0\0\x01\0\0\0\0"),
    (i64::MAX as u64, b"\x7f\x7f\xff\xff\xff\xff\xff\xff\xff"),
];

#[test]
fn every_header_comes_back_as_it_was_and_in_the_shortest_form() {
    for (opcode, fin, rsv1) in OPCODES.into_iter().flat_map(|opcode| {
        [(true, false), (false, false), (true, true), (false, true)].map(|(fin, rsv1)| (opcode, fin, rsv1))
    }) {
        for (length, form) in LENGTHS {
            for mask in [None, Some(KEY)] {
                let is_legal = if opcode.is_control() { fin && !rsv1 && length <= 125 } else { true };
                if !is_legal || rsv1 && opcode == OpCode::Continuation {
                    continue;
                }
                let header = Header { fin, rsv1, opcode, mask, length };
                let first = u8::from(fin) << 7 | u8::from(rsv1) << 6 | opcode as u8;
                let mut expected = [&[first][..], form, mask.as_ref().map_or(&[][..], |key| key)].concat();
                expected[1] |= if mask.is_some() { 0x80 } else { 0 };

                let mut bytes = b"before".to_vec();
                header.encode(&mut bytes);
                assert_eq!(bytes, [b"before", &expected[..]].concat(), "{header:?}");

                let receiver = if mask.is_some() { SERVER } else { CLIENT };
                let meaning = if rsv1 { Rsv1::Compressed } else { Rsv1::Reserved };
                let found = Ok(Some((header, expected.len())));
                assert_eq!(Header::parse(&expected, receiver, meaning), found);
                assert_eq!(Header::parse(&[&expected[..], b"payload"].concat(), receiver, meaning), found);
                for cut in 0..expected.len() {
                    assert_eq!(Header::parse(&expected[..cut], receiver, meaning), Ok(None), "{header:?} to {cut}");
                }
                assert!(expected.len() <= Header::MAX_LEN);
            }
        }
    }
}

#[test]
fn a_broken_rule_is_an_error_at_the_first_byte_that_shows_it() {
    // What is broken shows at the last byte of each of these, and not before.
    let cases: &[(Role, &[u8], Error)] = &[
        // RSV3, RSV2, RSV1, and all of them.
        (CLIENT, b"\x91", Error::ReservedBits),
        (CLIENT, b"\xa1", Error::ReservedBits),
        (CLIENT, b"\xc1", Error::ReservedBits),
        (SERVER, b"\xf2", Error::ReservedBits),
        (SERVER, b"\x40", Error::ReservedBits),
        (SERVER, b"\xd9", Error::ReservedBits),
        (CLIENT, b"\x83", Error::ReservedOpCode),
        (CLIENT, b"\x07", Error::ReservedOpCode),
        (SERVER, b"\x8b", Error::ReservedOpCode),
        (SERVER, b"\x0f", Error::ReservedOpCode),
        (CLIENT, b"\x08", Error::ControlFragmented),
        (CLIENT, b"\x09", Error::ControlFragmented),
        (SERVER, b"\x0a", Error::ControlFragmented),
        // The mask bit.
        (SERVER, b"\x81\x00", Error::UnmaskedFrame),
        (SERVER, b"\x81\x7f", Error::UnmaskedFrame),
        (CLIENT, b"\x81\x80", Error::MaskedFrame),
        (CLIENT, b"\x8a\xfe", Error::MaskedFrame),
        // Control frames of 126 bytes and more.
        (CLIENT, b"\x88\x7e", Error::ControlTooLong),
        (CLIENT, b"\x89\x7f", Error::ControlTooLong),
        (SERVER, b"\x8a\xfe", Error::ControlTooLong),
        // 125 in two bytes, 65,535 in eight.
        (CLIENT, b"\x82\x7e\x00\x00", Error::LengthNotMinimal),
        (CLIENT, b"\x82\x7e\x00\x7d", Error::LengthNotMinimal),
        (SERVER, b"\x82\xfe\x00\x7d", Error::LengthNotMinimal),
        (CLIENT, b"\x82\x7f\0\0\0\0\0\0\0\0", Error::LengthNotMinimal),
        (CLIENT, b"\x82\x7f\0\0\0\0\0\0\xff\xff", Error::LengthNotMinimal),
        (SERVER, b"\x82\xff\0\0\0\0\0\0\xff\xff", Error::LengthNotMinimal),
        // 2^63 and 2^64 - 1.
        (CLIENT, b"\x82\x7f\x80", Error::LengthTopBit),
        (SERVER, b"\x82\xff\xff", Error::LengthTopBit),
    ];
    for (role, bytes, error) in cases {
        let (last, before) = bytes.split_last().expect("no case is empty");
        for length in 0..=before.len() {
            assert_eq!(Header::parse(&before[..length], *role, Rsv1::Reserved), Ok(None), "{bytes:x?} to {length}");
        }
        for behind in [&b""[..], b"\x00", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"] {
            let bytes = [before, &[*last], behind].concat();
            assert_eq!(Header::parse(&bytes, *role, Rsv1::Reserved), Err(*error), "{bytes:x?}");
        }
        check(*role, bytes, &[Err(*error)]);
    }
}

/// The rules of the first two bytes, one after the other as they stand in sections 5.1, 5.2 and 5.5.
fn verdict(first: u8, second: Option<u8>, receiver: Role, meaning: Rsv1) -> Option<Error> {
    let (opcode, rsv) = (first & 0x0f, first >> 4 & 0x07);
    let is_control = opcode >= 8;
    let may_have_rsv1 = meaning == Rsv1::Compressed && (opcode == 1 || opcode == 2);
    if ![0, 1, 2, 8, 9, 10].contains(&opcode) {
        Some(Error::ReservedOpCode)
    } else if rsv != 0 && !(rsv == 4 && may_have_rsv1) {
        Some(Error::ReservedBits)
    } else if is_control && first < 0x80 {
        Some(Error::ControlFragmented)
    } else {
        let second = second?;
        match (receiver, second >= 0x80) {
            (Role::Server, false) => Some(Error::UnmaskedFrame),
            (Role::Client, true) => Some(Error::MaskedFrame),
            _ if is_control && second & 0x7f > 125 => Some(Error::ControlTooLong),
            _ => None,
        }
    }
}

#[test]
fn all_first_and_second_bytes_are_judged_as_the_rules_say() {
    for receiver in [CLIENT, SERVER] {
        for meaning in [Rsv1::Reserved, Rsv1::Compressed] {
            for first in 0..=255 {
                let expected = verdict(first, None, receiver, meaning);
                assert_eq!(Header::parse(&[first], receiver, meaning).err(), expected, "{first:#x}");
                for second in 0..=255 {
                    let expected = verdict(first, Some(second), receiver, meaning);
                    let found = Header::parse(&[first, second], receiver, meaning);
                    assert_eq!(found.err(), expected, "{first:#x} {second:#x} {receiver:?} {meaning:?}");
                }
            }
        }
    }
}

#[test]
fn needing_more_and_being_broken_are_never_confused() {
    // Fourteen bytes decide: whatever they are, no more are asked for.
    for receiver in [CLIENT, SERVER] {
        for (first, second) in (0..=255).flat_map(|first| (0..=255).map(move |second| (first, second))) {
            for fill in [0x00, 0x01, 0x7f, 0xff] {
                let mut bytes = [fill; Header::MAX_LEN];
                bytes[..2].copy_from_slice(&[first, second]);
                let whole = Header::parse(&bytes, receiver, Rsv1::Reserved);
                assert_ne!(whole, Ok(None), "{bytes:x?}");
                // What was said to the first bytes is not taken back.
                for length in 0..bytes.len() {
                    match Header::parse(&bytes[..length], receiver, Rsv1::Reserved) {
                        Ok(None) => {}
                        sooner => assert_eq!(sooner, whole, "{bytes:x?} to {length}"),
                    }
                }
            }
        }
    }
}

#[test]
fn whole_frames_of_one_read_are_given_in_order() {
    use Event::{Binary, Ping, Text};
    check_frames(&[(0x81, b"one"), (0x82, b"two")], &[Ok(Text("one")), Ok(Binary(b"two"))]);
    check_frames(&[(0x81, b""), (0x89, b""), (0x81, b"a")], &[Ok(Text("")), Ok(Ping(b"")), Ok(Text("a"))]);

    let thousand = vec![(0x81, &b"again"[..]); 1000];
    check_frames(&thousand, &vec![Ok(Text("again")); 1000]);

    // A message and a half.
    check(CLIENT, b"\x81\x05Hello\x81\x05Hel", &[Ok(Text("Hello"))]);
}

#[test]
fn nothing_follows_a_broken_frame() {
    use Event::Text;
    let good = vec![(0x81, &b"good"[..]); 10];
    let mut received = good.clone();
    received.push((0x83, b"broken"));
    received.extend(&good);
    let mut expected = vec![Ok(Text("good")); 10];
    expected.push(Err(Error::ReservedOpCode));
    check_frames(&received, &expected);
}

#[test]
fn a_short_frame_is_known_to_be_there_as_its_header_is_parsed() {
    for (first, second) in (0..=255).flat_map(|first| (0..=255).map(move |second| (first, second))) {
        let length: u8 = second & 0x7f;
        if length > 125 {
            continue;
        }
        let whole = 2 + if second & 0x80 == 0 { 0 } else { 4 } + usize::from(length);
        let frame = [&[first, second][..], &[0x55; 200]].concat();
        for (receiver, cut) in [SERVER, CLIENT].into_iter().flat_map(|role| [(role, whole - 1), (role, whole)]) {
            let expected = match Header::parse(&frame[..cut], receiver, Rsv1::Reserved) {
                Ok(Some((header, bytes))) => (cut - bytes) as u64 >= header.length,
                Ok(None) => false,
                Err(_) => true,
            };
            let mut parser = Receiver::new(receiver, Limits::default());
            parser.feed(&frame[..cut]);
            assert_eq!(parser.has_frame(), expected, "{first:#x} {second:#x}, {cut} bytes for {receiver:?}");
        }
    }
}

#[test]
fn an_unmasked_frame_of_a_client_is_not_delivered_whatever_it_is() {
    for opcode in OPCODES {
        // FIN, the opcode, and a payload that would be in order: a Close with code 1000.
        let frame = [0x80 | opcode as u8, 2, 0x03, 0xe8];
        check(SERVER, &frame, &[Err(Error::UnmaskedFrame)]);
        let frame = [&[0x80 | opcode as u8, 0x82], &KEY[..], &[0x03 ^ KEY[0], 0xe8 ^ KEY[1]]].concat();
        check(CLIENT, &frame, &[Err(Error::MaskedFrame)]);
    }
}

//! Section 5.5, control frames: Ping and Pong. Close has `closing.rs`.

mod common;

use common::{CLIENT, SERVER, check, check_frames, frames, header};
use raddle_core::Event::{Ping, Pong, Text};
use raddle_core::{Error, Limits, Receiver, Sender};

#[test]
fn a_control_frame_has_up_to_125_bytes() {
    for length in [0, 1, 2, 124, 125] {
        let payload: Vec<u8> = (0..length).collect();
        check_frames(&[(0x89, &payload)], &[Ok(Ping(&payload))]);
        check_frames(&[(0x8a, &payload)], &[Ok(Pong(&payload))]);
    }
    // From section 5.7.
    check(CLIENT, b"\x89\x05Hello", &[Ok(Ping(b"Hello"))]);
    check(SERVER, b"\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", &[Ok(Pong(b"Hello"))]);
}

#[test]
fn a_longer_or_fragmented_one_is_refused_by_its_header() {
    for opcode in [0x08, 0x09, 0x0a] {
        for role in [CLIENT, SERVER] {
            for length in [126, 127, 65_535, 65_536] {
                check(role, &header(role, 0x80 | opcode, length), &[Err(Error::ControlTooLong)]);
            }
            check(role, &header(role, opcode, 0), &[Err(Error::ControlFragmented)]);
            // Between fragments too.
            let fragment = frames(role, &[(0x01, b"a")]);
            check(role, &[fragment, header(role, opcode, 1)].concat(), &[Err(Error::ControlFragmented)]);
        }
    }
}

#[test]
fn a_control_frame_is_not_lent_before_it_is_whole() {
    let bytes = frames(SERVER, &[(0x89, b"are you there")]);
    for cut in 0..bytes.len() {
        let mut receiver = Receiver::new(SERVER, Limits::default());
        receiver.feed(&bytes[..cut]);
        assert_eq!(receiver.advance(), Ok(false));
        assert_eq!(receiver.event(), None);
    }
}

#[test]
fn a_ping_is_answered_with_its_payload_and_a_pong_with_nothing() {
    for length in [0, 1, 125] {
        let payload = vec![0xff; length];
        let mut sender = Sender::server();
        sender.react(&Ping(&payload));
        sender.react(&Pong(&payload));
        sender.react(&Text("Hello"));
        assert_eq!(sender.output(), [&[0x8a, length as u8], &payload[..]].concat());
    }
}

#[test]
fn pongs_that_nobody_asked_for_leave_no_trace() {
    let pongs = frames(SERVER, &vec![(0x8a, &b"unasked"[..]); 1000]);
    let mut receiver = Receiver::new(SERVER, Limits::default());
    let mut sender = Sender::server();
    for round in 0..100 {
        receiver.feed(&pongs);
        while receiver.advance() == Ok(true) {
            let event = receiver.event().expect("advance() has returned true");
            assert_eq!(event, Pong(b"unasked"), "round {round}");
            sender.react(&event);
        }
        assert!(receiver.capacity() <= 256 * 1024);
    }
    assert_eq!((sender.queued(), sender.output()), (0, &b""[..]));
}

#[test]
fn a_space_or_an_advance_ends_the_loan_of_an_event() {
    let mut receiver = Receiver::new(CLIENT, Limits::default());
    assert_eq!(receiver.event(), None);
    receiver.feed(b"\x89\x01a\x89\x01b");
    assert_eq!(receiver.event(), None);
    assert_eq!(receiver.advance(), Ok(true));
    assert_eq!(receiver.event(), Some(Ping(b"a")));
    assert_eq!(receiver.event(), Some(Ping(b"a")));
    assert!(!receiver.space().is_empty());
    assert_eq!(receiver.event(), None);
    assert_eq!(receiver.advance(), Ok(true));
    assert_eq!(receiver.event(), Some(Ping(b"b")));
    assert_eq!(receiver.advance(), Ok(false));
    assert_eq!(receiver.event(), None);
}

#[test]
#[should_panic(expected = "more bytes were filled than there was space")]
fn more_than_the_space_cannot_be_filled() {
    let mut receiver = Receiver::new(CLIENT, Limits::default());
    let space = receiver.space().len();
    receiver.filled(space + 1);
}

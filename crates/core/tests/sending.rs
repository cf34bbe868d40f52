//! Section 6.1, sending: messages and control frames become the peer's bytes, in order; a call that fails sends nothing.

mod common;

use common::{CLIENT, Keys, SERVER, frame, listen, written};
use raddle_core::Event::{self, Ping};
use raddle_core::Message::{Binary, Text};
use raddle_core::Progress::{Last, More};
use raddle_core::{Close, CloseCode, Error, Limits, Receiver, SendError, Sender};

const HEADERS: [(usize, &[u8]); 8] = [
    (0, b"\x82\x00"),
    (1, b"\x82\x01"),
    (125, b"\x82\x7d"),
    (126, b"\x82\x7e\x00\x7e"),
    (127, b"\x82\x7e\x00\x7f"),
    (65_535, b"\x82\x7e\xff\xff"),
    (65_536, b"\x82\x7f\0\0\0\0\0\x01\0\0"),
    (1 << 20, b"\x82\x7f\0\0\0\0\0\x10\0\0"),
];

#[test]
fn a_length_takes_the_shortest_form() {
    for (length, header) in HEADERS {
        let payload = vec![0x5a; length];
        let mut sender = Sender::server();
        sender.send(Binary(&payload)).expect("open");
        assert!(written(&mut sender) == [header, &payload].concat(), "{length} bytes");

        // The header alone, for a driver that writes the payload from where it is.
        sender.send_header(Binary(&payload), Last).expect("open");
        assert_eq!(written(&mut sender), header, "{length} bytes");

        let (mut sender, _) = Keys::client();
        sender.send(Binary(&payload)).expect("open");
        assert!(written(&mut sender) == frame(0x82, &payload, Some([1; 4])), "{length} bytes");
    }
}

#[test]
fn messages_of_every_short_length_leave_whole_and_in_order() {
    let mut sender = Sender::server();
    let mut expected = Vec::new();
    // Growing, and then where there is room.
    for length in (0..=300).chain(0..=300) {
        let payload: Vec<u8> = (0..length).map(|index| (index * 31 + length) as u8).collect();
        sender.send(Binary(&payload)).expect("open");
        expected.extend(frame(0x82, &payload, None));
        if length == 300 {
            assert!(written(&mut sender) == expected);
            expected.clear();
        }
    }
}

#[test]
fn a_message_has_its_opcode_and_its_bytes() {
    let mut sender = Sender::server();
    sender.send(Text("Hello")).expect("open");
    sender.send(Binary(b"Hello")).expect("open");
    sender.send(Text("")).expect("open");
    sender.send("from text").expect("open");
    sender.send(&vec![1, 2]).expect("open");
    let expected = b"\x81\x05Hello\x82\x05Hello\x81\x00\x81\x09from text\x82\x02\x01\x02";
    assert_eq!(written(&mut sender), expected);
}

#[test]
fn every_frame_of_a_client_has_a_key_of_its_own() {
    let (mut sender, _) = Keys::client();
    sender.send(Text("one")).expect("open");
    sender.send_fragment(Text("tw"), More).expect("open");
    sender.ping(b"ping").expect("open");
    sender.send_fragment(Text("o"), Last).expect("open");
    sender.pong(b"").expect("open");
    sender.react(&Ping(b"asked"));
    sender.close(Some(Close::code(CloseCode::NORMAL))).expect("open");
    let frames: [(u8, &[u8]); 7] = [
        (0x81, b"one"),
        (0x01, b"tw"),
        (0x89, b"ping"),
        (0x80, b"o"),
        (0x8a, b""),
        (0x8a, b"asked"),
        (0x88, b"\x03\xe8"),
    ];
    let expected = (1..).zip(frames).flat_map(|(key, (first, payload))| frame(first, payload, Some([key; 4])));
    assert_eq!(written(&mut sender), expected.collect::<Vec<_>>());
    assert!(!sender.is_unmasked());
    assert!(Sender::server().is_unmasked());
}

#[test]
fn a_payload_is_not_changed_by_masking_it() {
    let payload = [0x5a; 1000];
    let (mut sender, _) = Keys::client();
    sender.send(Binary(&payload)).expect("open");
    assert_eq!(payload, [0x5a; 1000]);
}

#[test]
fn fragments_are_one_message_for_the_peer() {
    let mut sender = Sender::server();
    sender.send_fragment(Text("Hel"), More).expect("open");
    assert!(sender.is_amid_message());
    // The first has the opcode; those that follow are continuations, and the last has FIN.
    sender.send_fragment(Text(""), More).expect("open");
    sender.send_fragment(Text("lo"), Last).expect("open");
    assert!(!sender.is_amid_message());
    sender.send_fragment(Binary(b"whole"), Last).expect("open");
    sender.send_header(Binary(b"not copied"), More).expect("open");
    sender.send_header(Binary(b""), Last).expect("open");
    let expected = b"\x01\x03Hel\x00\x00\x80\x02lo\x82\x05whole\x02\x0a\x80\x00";
    assert_eq!(written(&mut sender), expected);
}

#[test]
fn between_fragments_only_control_frames_pass() {
    let mut sender = Sender::server();
    sender.send_fragment(Binary(b"begun"), More).expect("open");
    assert_eq!(sender.send(Binary(b"another")), Err(SendError::MessageOpen));
    assert_eq!(sender.send_fragment(Text("mixed"), More), Err(SendError::MixedMessage));
    assert_eq!(sender.send_fragment(Text("mixed"), Last), Err(SendError::MixedMessage));
    assert_eq!(sender.send_header(Text("mixed"), Last), Err(SendError::MixedMessage));
    assert!(sender.is_amid_message());
    sender.ping(b"1").expect("open");
    sender.pong(b"2").expect("open");
    sender.react(&Ping(b"3"));
    sender.send_fragment(Binary(b"ended"), Last).expect("open");
    sender.send(Text("another")).expect("open");
    let expected = b"\x02\x05begun\x89\x011\x8a\x012\x8a\x013\x80\x05ended\x81\x07another";
    assert_eq!(written(&mut sender), expected);
}

#[test]
fn a_close_cuts_a_fragmented_message_off() {
    let mut sender = Sender::server();
    sender.send_fragment(Text("begun"), More).expect("open");
    sender.close(None).expect("open");
    assert_eq!(sender.send_fragment(Text("ended"), Last), Err(SendError::Closed));
    assert_eq!(written(&mut sender), b"\x01\x05begun\x88\x00");
}

type Call = fn(&mut Sender) -> Result<(), SendError>;

/// Checks that a call fails for `error`, leaves no byte and no trace, and that the next message is sent.
#[track_caller]
fn check_refused(error: SendError, call: impl Fn(&mut Sender) -> Result<(), SendError>) {
    for mut sender in [Sender::server(), Keys::client().0] {
        let queued = sender.queued();
        assert_eq!(call(&mut sender), Err(error));
        assert_eq!((sender.queued(), sender.output()), (queued, &b""[..]));
        assert!(!sender.is_closed() && !sender.is_amid_message());
        sender.send(Text("a")).expect("the sender stays usable");
        assert!(!written(&mut sender).is_empty());
    }
}

#[test]
fn what_the_caller_may_not_do_sends_nothing() {
    let close = |code, reason| move |sender: &mut Sender| sender.close(Some(Close { code: CloseCode(code), reason }));
    check_refused(SendError::ControlTooLong, |sender| sender.ping(&[0; 126]));
    check_refused(SendError::ControlTooLong, |sender| sender.pong(&[0; 126]));
    check_refused(SendError::ControlTooLong, |sender| sender.ping(&[0; 1 << 20]));
    let reason: &'static str = "é".repeat(62).leak();
    assert_eq!(reason.len(), 124);
    check_refused(SendError::ControlTooLong, close(1000, reason));
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535] {
        check_refused(SendError::InvalidCloseCode, close(code, ""));
    }
}

#[test]
fn where_no_masking_key_can_be_had_nothing_is_sent() {
    // Hostile input 269.
    let (mut sender, keys) = Keys::client();
    keys.fail(true);
    let calls: [Call; 5] = [
        |sender| sender.send(Text("a")),
        |sender| sender.send_fragment(Text("a"), More),
        |sender| sender.ping(b""),
        |sender| sender.pong(b""),
        |sender| sender.close(None),
    ];
    for call in calls {
        assert_eq!(call(&mut sender), Err(SendError::NoMaskingKey));
        assert!(!sender.is_closed() && !sender.is_amid_message());
    }
    sender.react(&Ping(b"asked"));
    assert_eq!((sender.queued(), sender.output()), (0, &b""[..]));
    // And when it is there again, the next frame is.
    keys.fail(false);
    sender.send(Text("a")).expect("open");
    assert_eq!(written(&mut sender), frame(0x81, b"a", Some([1; 4])));

    // An answer that cannot be sent leaves the connection closed all the same.
    keys.fail(true);
    sender.react(&Event::Close(None));
    assert!(sender.is_closed());
    assert_eq!(sender.output(), b"");
    let (mut sender, keys) = Keys::client();
    keys.fail(true);
    sender.fail(Error::InvalidUtf8);
    assert!(sender.is_closed());
    assert_eq!(sender.output(), b"");
}

#[test]
fn nothing_follows_a_close() {
    for mut sender in [Sender::server(), Keys::client().0] {
        sender.close(Some(Close::code(CloseCode::NORMAL))).expect("open");
        assert!(sender.is_closed());
        let close = written(&mut sender);
        assert_eq!(sender.send(Text("a")), Err(SendError::Closed));
        assert_eq!(sender.send_fragment(Text("a"), More), Err(SendError::Closed));
        assert_eq!(sender.ping(b""), Err(SendError::Closed));
        assert_eq!(sender.pong(b""), Err(SendError::Closed));
        assert_eq!(sender.close(None), Err(SendError::Closed));
        if sender.is_unmasked() {
            assert_eq!(sender.send_header(Text("a"), Last), Err(SendError::Closed));
            assert_eq!(close, b"\x88\x02\x03\xe8");
        }
        sender.react(&Ping(b"late"));
        sender.react(&Event::Close(None));
        sender.fail(Error::InvalidUtf8);
        assert_eq!((sender.queued(), sender.output()), (0, &b""[..]));
    }
}

#[test]
#[should_panic(expected = "a client's payload has to be masked")]
fn a_client_cannot_send_a_header_alone() {
    let _ = Keys::client().0.send_header(Text("a"), Last);
}

#[test]
fn output_leaves_in_pieces_of_any_size() {
    let payload = vec![0x5a; 300];
    let expected = frame(0x82, &payload, None).repeat(3);
    for size in [1, 2, 7, 299, 304, 305, 1000] {
        let mut sender = Sender::server();
        let mut written = Vec::new();
        for _ in 0..3 {
            sender.send(Binary(&payload)).expect("open");
            let count = sender.output().len().min(size);
            assert_eq!(sender.queued(), sender.output().len());
            written.extend_from_slice(&sender.output()[..count]);
            sender.written(count);
        }
        while !sender.output().is_empty() {
            let count = sender.output().len().min(size);
            written.extend_from_slice(&sender.output()[..count]);
            sender.written(count);
        }
        assert!(written == expected, "pieces of {size}");
        assert_eq!(sender.queued(), 0);
    }
}

#[test]
#[should_panic(expected = "more bytes were written than there were")]
fn more_than_the_output_cannot_be_written() {
    Sender::server().written(1);
}

#[test]
fn output_can_be_taken_while_others_send() {
    let mut sender = Sender::server();
    let mut taken = Vec::new();
    sender.send(Text("one")).expect("open");
    sender.take_output(&mut taken);
    assert_eq!(sender.queued(), 0);
    // While this is written, more is sent; what is left of the first goes on before it.
    sender.send(Text("two")).expect("open");
    let mut taken = taken.split_off(2);
    sender.take_output(&mut taken);
    assert_eq!(taken, b"one\x81\x03two");
    sender.taken_written();
    assert_eq!(sender.output(), b"");

    // What was written before is not taken again.
    sender.send(Text("three")).expect("open");
    sender.written(4);
    let mut taken = Vec::new();
    sender.take_output(&mut taken);
    assert_eq!(taken, b"ree");
}

#[test]
fn while_the_peer_takes_nothing_only_the_newest_ping_is_answered() {
    let mut sender = Sender::server();
    sender.send(Text("a")).expect("open");
    // A write that took nothing, and one that took a byte.
    for taken in [0, 1] {
        sender.written(taken);
        for number in 0..10_000_u32 {
            sender.react(&Ping(&number.to_be_bytes()));
            // Each attempt to write finds what it found before, and nothing behind it.
            assert_eq!(sender.output().len(), 3 - taken);
            sender.written(0);
        }
        assert!(sender.queued() <= 3 + 14 + 4);
    }
    assert_eq!(written(&mut sender), b"\x01a\x8a\x04\x00\x00\x27\x0f");
    // Then every Ping is answered again.
    sender.react(&Ping(b"1"));
    sender.react(&Ping(b"2"));
    assert_eq!(written(&mut sender), b"\x8a\x011\x8a\x012");
}

#[test]
fn while_output_is_being_written_elsewhere_only_the_newest_ping_is_answered() {
    let (mut sender, mut taken) = (Sender::server(), Vec::new());
    sender.send(Text("a")).expect("open");
    sender.take_output(&mut taken);
    for number in 0..10_000_u32 {
        sender.react(&Ping(&number.to_be_bytes()));
    }
    assert!(sender.queued() <= 14 + 4);
    // Not even where the output is taken again and again, behind what the peer does not take.
    for number in 0..10_000_u32 {
        sender.react(&Ping(&number.to_be_bytes()));
        sender.take_output(&mut taken);
        assert_eq!(taken, b"\x81\x01a");
    }
    taken.clear();
    sender.take_output(&mut taken);
    assert_eq!(taken, b"\x8a\x04\x00\x00\x27\x0f");
    sender.taken_written();
    sender.react(&Ping(b"1"));
    sender.react(&Ping(b"2"));
    assert_eq!(written(&mut sender), b"\x8a\x011\x8a\x012");
}

#[test]
fn pongs_leave_in_the_order_of_their_pings() {
    // The output has left, and the Pong that waited has not been asked for yet.
    let mut sender = Sender::server();
    sender.send(Text("a")).expect("open");
    sender.written(1);
    sender.react(&Ping(b"1"));
    sender.written(2);
    sender.react(&Ping(b"2"));
    assert_eq!(written(&mut sender), b"\x8a\x012");

    let mut taken = Vec::new();
    sender.take_output(&mut taken);
    sender.react(&Ping(b"3"));
    sender.taken_written();
    sender.react(&Ping(b"4"));
    assert_eq!(written(&mut sender), b"\x8a\x014");
}

#[test]
fn a_pong_that_waits_leaves_before_a_close_and_before_a_header() {
    let behind = || {
        let mut sender = Sender::server();
        sender.send(Text("a")).expect("open");
        sender.written(1);
        sender.react(&Ping(b"asked"));
        sender
    };
    let mut sender = behind();
    sender.close(None).expect("open");
    assert_eq!(written(&mut sender), b"\x01a\x8a\x05asked\x88\x00");

    let mut sender = behind();
    sender.fail(Error::InvalidUtf8);
    assert!(written(&mut sender).starts_with(b"\x01a\x8a\x05asked\x88"));

    // The payload goes directly behind its header.
    let mut sender = behind();
    sender.send_header(Binary(b"payload"), Last).expect("open");
    assert_eq!(written(&mut sender), b"\x01a\x8a\x05asked\x82\x07");
}

#[test]
fn what_one_role_sends_the_other_receives() {
    for (mut sender, role) in [(Sender::server(), CLIENT), (Keys::client().0, SERVER)] {
        let mut receiver = Receiver::new(role, Limits::default());
        for length in [0, 1, 125, 126, 127, 65_535, 65_536, 1 << 20] {
            let payload = vec![0x5a; length];
            sender.send(Binary(&payload)).expect("open");
            receiver.feed(&written(&mut sender));
            let mut said = Vec::new();
            listen(&mut receiver, &mut said);
            assert!(said == [Ok(Event::Binary(&payload).into())], "{length} bytes");
        }
        // A frame of the limit's size and one byte more.
        sender.send(Binary(&vec![0; (1 << 20) + 1])).expect("open");
        receiver.feed(&written(&mut sender));
        assert_eq!(receiver.advance(), Err(Error::MessageTooBig));
    }
}

#[test]
fn nothing_of_what_is_sent_shows_in_the_debug_output() {
    let mut sender = Sender::server();
    sender.send(Text("secret")).expect("open");
    assert!(!format!("{sender:?}").contains("secret"));
    assert!(format!("{sender:?}").contains("queued: 8"));
}

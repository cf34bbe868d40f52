//! Section 7, closing: codes and reasons in, the closing handshake, and how a connection is failed.

mod common;

use common::{CLIENT, Keys, Owned, SERVER, check, check_frames, frames, listen, receive, written};
use raddle_core::Event::{self, Ping, Text};
use raddle_core::{Close, CloseCode, Error, Limits, Receiver, Sender};

/// The payload of a Close.
fn payload(code: u16, reason: &[u8]) -> Vec<u8> {
    [&code.to_be_bytes(), reason].concat()
}

fn close(code: u16, reason: &str) -> Event<'_> {
    Event::Close(Some(Close { code: CloseCode(code), reason }))
}

#[test]
fn a_close_may_be_empty_or_has_a_code_and_perhaps_a_reason() {
    check_frames(&[(0x88, b"")], &[Ok(Event::Close(None))]);
    check_frames(&[(0x88, b"\x03\xe8")], &[Ok(close(1000, ""))]);
    check_frames(&[(0x88, b"\x03\xe9leaving")], &[Ok(close(1001, "leaving"))]);
    // One byte is no code.
    check_frames(&[(0x88, b"\x03")], &[Err(Error::InvalidClose)]);
}

#[test]
fn a_code_is_one_that_may_be_sent() {
    // By section 7.4 and the registry of IANA; all the others are refused.
    let is_legal = |code| {
        matches!(code, 1000 | 1001 | 1002 | 1003 | 1007 | 1008 | 1009 | 1010 | 1011 | 1012 | 1013 | 1014)
            || (3000..5000).contains(&code)
    };
    for code in 0..=u16::MAX {
        let payload = payload(code, b"");
        let expected =
            if is_legal(code) { Ok(Some(Close::code(CloseCode(code)))) } else { Err(Error::InvalidCloseCode) };
        assert_eq!(Close::parse(&payload), expected, "{code}");
        assert_eq!(CloseCode(code).may_be_sent(), is_legal(code), "{code}");
    }
    for code in [1000, 1003, 1007, 1011, 1012, 1013, 1014, 3000, 4999] {
        check_frames(&[(0x88, &payload(code, b"why"))], &[Ok(close(code, "why"))]);
    }
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] {
        check_frames(&[(0x88, &payload(code, b"why"))], &[Err(Error::InvalidCloseCode)]);
    }
}

#[test]
fn a_reason_is_text_of_at_most_123_bytes() {
    let longest = format!("{}a", "é".repeat(61));
    assert_eq!(longest.len(), 123);
    check_frames(&[(0x88, &payload(1000, longest.as_bytes()))], &[Ok(close(1000, &longest))]);
    check_frames(&[(0x88, &payload(1000, b"a\0b"))], &[Ok(close(1000, "a\0b"))]);
    // 124 bytes are refused by the header.
    let too_long = payload(1000, &[b'a'; 124]);
    for role in [CLIENT, SERVER] {
        check(role, &frames(role, &[(0x88, &too_long)]), &[Err(Error::ControlTooLong)]);
    }
    // A character cut off, an overlong form, half a surrogate pair, a lone byte.
    for reason in [&b"a\xf0\x9f\x98"[..], b"\xc0\x80", b"\xed\xa0\x80", b"a\x80"] {
        check_frames(&[(0x88, &payload(1000, reason))], &[Err(Error::InvalidUtf8)]);
    }
    // The code is judged first.
    check_frames(&[(0x88, &payload(1005, b"\x80"))], &[Err(Error::InvalidCloseCode)]);
}

#[test]
fn nothing_is_heard_behind_a_close() {
    let behind: [&[(u8, &[u8])]; 5] =
        [&[(0x81, b"a")], &[(0x89, b"a")], &[(0x88, b"\x03\xe9")], &[(0x83, b"")], &[(0x80, b"b"), (0x81, b"c")]];
    for frames in behind {
        let received = [&[(0x81, &b"a"[..]), (0x88, b"\x03\xe8")], frames].concat();
        check_frames(&received, &[Ok(Text("a")), Ok(close(1000, ""))]);
    }
    // However much it is, nothing of it is kept.
    let mut receiver = Receiver::new(CLIENT, Limits::default());
    receiver.feed(b"\x01\x05begun\x88\x00");
    assert_eq!(receiver.advance(), Ok(true));
    assert!(receiver.is_closed());
    for _ in 0..160 {
        receiver.feed(&[0xff; 64 * 1024]);
        assert!(!receiver.has_frame() && !receiver.is_amid_message());
        assert_eq!(receiver.advance(), Ok(false));
    }
    assert!(receiver.capacity() <= 256 * 1024, "{}", receiver.capacity());
    receiver.shrink();
    assert_eq!(receiver.capacity(), 0);
}

#[test]
fn a_close_is_answered_with_its_code() {
    // The reason is the peer's, and is not sent back.
    let cases: [(Event<'_>, &[u8]); 3] = [
        (Event::Close(None), b"\x88\x00"),
        (close(1000, ""), b"\x88\x02\x03\xe8"),
        (close(4999, "why"), b"\x88\x02\x13\x87"),
    ];
    for (event, answer) in cases {
        let mut sender = Sender::server();
        sender.react(&event);
        assert!(sender.is_closed());
        assert_eq!(written(&mut sender), answer);
        // One answer.
        sender.react(&event);
        assert_eq!(written(&mut sender), b"");
    }
}

/// Two connected endpoints.
struct Pair {
    server: (Receiver, Sender),
    client: (Receiver, Sender),
}

impl Pair {
    fn new() -> Self {
        let receiver = |role| Receiver::new(role, Limits::default());
        Self { server: (receiver(SERVER), Sender::server()), client: (receiver(CLIENT), Keys::client().0) }
    }

    /// Carries the output of both to the other side until both are silent; tells what each has heard.
    fn talk(&mut self) -> (Vec<Owned>, Vec<Owned>) {
        let (mut by_server, mut by_client) = (Vec::new(), Vec::new());
        loop {
            let to_client = written(&mut self.server.1);
            let to_server = written(&mut self.client.1);
            if to_client.is_empty() && to_server.is_empty() {
                return (by_server, by_client);
            }
            let sides = [(&mut self.server, to_server, &mut by_server), (&mut self.client, to_client, &mut by_client)];
            for ((receiver, sender), bytes, heard) in sides {
                receiver.feed(&bytes);
                while receiver.advance().expect("the other side is ours") {
                    let event = receiver.event().expect("advance() has returned true");
                    sender.react(&event);
                    heard.push(event.into());
                }
            }
        }
    }

    fn is_closed(&self) -> bool {
        [&self.server, &self.client].iter().all(|(receiver, sender)| receiver.is_closed() && sender.is_closed())
    }
}

#[test]
fn a_closing_handshake_takes_one_close_of_each_side() {
    let mut pair = Pair::new();
    pair.client.1.send("Hello").expect("open");
    pair.client.1.close(Some(Close { code: CloseCode::NORMAL, reason: "done" })).expect("open");
    assert!(!pair.is_closed());
    let (by_server, by_client) = pair.talk();
    assert_eq!(by_server, [Text("Hello").into(), close(1000, "done").into()]);
    assert_eq!(by_client, [close(1000, "").into()]);
    assert!(pair.is_closed());
}

#[test]
fn two_closes_that_cross_are_the_whole_handshake() {
    let mut pair = Pair::new();
    pair.server.1.close(Some(Close::code(CloseCode::GOING_AWAY))).expect("open");
    pair.client.1.close(Some(Close::code(CloseCode::NORMAL))).expect("open");
    let (by_server, by_client) = pair.talk();
    // No reply to a reply.
    assert_eq!(by_server, [close(1000, "").into()]);
    assert_eq!(by_client, [close(1001, "").into()]);
    assert!(pair.is_closed());
}

#[test]
fn messages_are_heard_until_the_peers_close_comes() {
    let mut sender = Sender::server();
    sender.close(None).expect("open");
    written(&mut sender);
    let bytes = frames(SERVER, &[(0x81, b"on its way"), (0x89, b"ping"), (0x88, b"")]);
    let mut receiver = Receiver::new(SERVER, Limits::default());
    receiver.feed(&bytes);
    let mut heard = Vec::new();
    while receiver.advance().expect("valid") {
        let event = receiver.event().expect("advance() has returned true");
        sender.react(&event);
        heard.push(Owned::from(event));
    }
    assert_eq!(heard, [Text("on its way").into(), Ping(b"ping").into(), Event::Close(None).into()]);
    assert_eq!(sender.output(), b"");
}

#[test]
fn an_error_fails_the_connection_with_its_code() {
    let cases: [(Error, u16); 15] = [
        (Error::ReservedBits, 1002),
        (Error::ReservedOpCode, 1002),
        (Error::UnmaskedFrame, 1002),
        (Error::MaskedFrame, 1002),
        (Error::LengthNotMinimal, 1002),
        (Error::LengthTopBit, 1002),
        (Error::ControlTooLong, 1002),
        (Error::ControlFragmented, 1002),
        (Error::UnexpectedContinuation, 1002),
        (Error::ExpectedContinuation, 1002),
        (Error::InvalidClose, 1002),
        (Error::InvalidCloseCode, 1002),
        (Error::InvalidUtf8, 1007),
        (Error::MessageTooBig, 1009),
        (Error::TooManyFragments, 1008),
    ];
    for (error, code) in cases {
        let mut sender = Sender::server();
        sender.fail(error);
        assert!(sender.is_closed());
        // Once, however often it fails.
        sender.fail(Error::ReservedBits);
        let reason = error.to_string();
        assert!(!reason.is_empty() && !reason.ends_with('.'));
        let said = receive(Receiver::new(CLIENT, Limits::default()), [&written(&mut sender)[..]]);
        assert_eq!(said, [Ok(close(code, &reason).into())]);
    }
}

#[test]
fn a_failed_connection_hears_nothing_more() {
    for (error, broken) in [(Error::ReservedOpCode, (0x83, &b""[..])), (Error::InvalidUtf8, (0x81, b"\xff"))] {
        let mut receiver = Receiver::new(SERVER, Limits::default());
        receiver.feed(&frames(SERVER, &[(0x81, b"good"), broken, (0x81, b"good"), (0x88, b"")]));
        let mut said = Vec::new();
        for _ in 0..3 {
            listen(&mut receiver, &mut said);
            assert_eq!(receiver.advance(), Err(error));
            assert_eq!(receiver.advance_part(), Err(error));
            receiver.feed(&frames(SERVER, &[(0x81, b"good")]));
        }
        assert_eq!(said, [Ok(Text("good").into()), Err(error)]);
        assert!(!receiver.is_closed() && !receiver.has_frame() && !receiver.is_amid_message());
    }
}

#[test]
fn a_close_behind_messages_that_wait_is_behind_them() {
    let mut sender = Sender::server();
    sender.send("first").expect("open");
    sender.fail(Error::InvalidUtf8);
    let said = receive(Receiver::new(CLIENT, Limits::default()), [&written(&mut sender)[..]]);
    assert_eq!(said, [Ok(Text("first").into()), Ok(close(1007, "the text is not UTF-8").into())]);
}

#[test]
fn the_longest_reason_is_sent_and_received() {
    let reason = "a".repeat(123);
    let mut sender = Sender::server();
    sender.close(Some(Close { code: CloseCode(3000), reason: &reason })).expect("it fits");
    let said = receive(Receiver::new(CLIENT, Limits::default()), [&written(&mut sender)[..]]);
    assert_eq!(said, [Ok(close(3000, &reason).into())]);
}

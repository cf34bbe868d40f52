//! Section 5.4, fragmentation: messages of several frames, and what may stand between them.

mod common;

use common::{CLIENT, KEY, SERVER, check, check_frames, frame, frames, listen};
use raddle_core::Event::{Binary, Close, Ping, Pong, Text};
use raddle_core::{Error, Limits, Receiver};

#[test]
fn fragments_become_one_message() {
    // "Hello" in two fragments, from section 5.7.
    check(CLIENT, b"\x01\x03Hel\x80\x02lo", &[Ok(Text("Hello"))]);
    check_frames(&[(0x02, b"\x00\xff"), (0x00, b"\x80"), (0x80, b"\x01")], &[Ok(Binary(b"\x00\xff\x80\x01"))]);
    // Two messages, one behind the other.
    check_frames(&[(0x01, b"a"), (0x80, b"b"), (0x02, b"c"), (0x80, b"d")], &[Ok(Text("ab")), Ok(Binary(b"cd"))]);
}

#[test]
fn any_of_the_fragments_may_be_empty() {
    // The first, the last, one between, and all.
    check_frames(&[(0x01, b""), (0x80, b"b")], &[Ok(Text("b"))]);
    check_frames(&[(0x01, b"a"), (0x80, b"")], &[Ok(Text("a"))]);
    check_frames(&[(0x01, b"a"), (0x00, b""), (0x80, b"b")], &[Ok(Text("ab"))]);
    check_frames(&[(0x01, b""), (0x00, b""), (0x80, b"")], &[Ok(Text(""))]);
    check_frames(&[(0x02, b""), (0x80, b""), (0x82, b"")], &[Ok(Binary(b"")), Ok(Binary(b""))]);
}

#[test]
fn a_message_may_have_a_thousand_fragments() {
    let mut received = vec![(0x01, &b"a"[..])];
    received.extend([(0x00, &b"bc"[..]); 998]);
    received.push((0x80, b"d"));
    let expected = format!("a{}d", "bc".repeat(998));
    check_frames(&received, &[Ok(Text(&expected))]);
}

#[test]
fn control_frames_stand_between_fragments_and_leave_the_message_as_it_is() {
    check_frames(
        &[(0x01, b"Hel"), (0x89, b"ping"), (0x8a, b""), (0x00, b"l"), (0x89, b""), (0x80, b"o")],
        &[Ok(Ping(b"ping")), Ok(Pong(b"")), Ok(Ping(b"")), Ok(Text("Hello"))],
    );
    // Before the first byte of the message, and before its last.
    check_frames(&[(0x02, b""), (0x89, b"1"), (0x80, b"\x00")], &[Ok(Ping(b"1")), Ok(Binary(b"\x00"))]);
    check_frames(&[(0x02, b"\x00"), (0x89, b"1"), (0x80, b"")], &[Ok(Ping(b"1")), Ok(Binary(b"\x00"))]);
    // Between the bytes of a character.
    check_frames(
        &[(0x01, b"\xf0"), (0x89, b""), (0x00, b"\x9f\x98"), (0x8a, b""), (0x80, b"\x80")],
        &[Ok(Ping(b"")), Ok(Pong(b"")), Ok(Text("😀"))],
    );
}

#[test]
fn a_close_between_fragments_drops_the_message() {
    check_frames(&[(0x01, b"Hel"), (0x88, b""), (0x80, b"lo")], &[Ok(Close(None))]);
}

#[test]
fn a_continuation_needs_a_message_to_go_on_with() {
    use Error::UnexpectedContinuation;
    for first in [0x00, 0x80] {
        check_frames(&[(first, b"a")], &[Err(UnexpectedContinuation)]);
        check_frames(&[(first, b"")], &[Err(UnexpectedContinuation)]);
        check_frames(&[(0x81, b"a"), (first, b"b")], &[Ok(Text("a")), Err(UnexpectedContinuation)]);
        check_frames(&[(0x01, b"a"), (0x80, b"b"), (first, b"")], &[Ok(Text("ab")), Err(UnexpectedContinuation)]);
        check_frames(&[(0x89, b""), (first, b"")], &[Ok(Ping(b"")), Err(UnexpectedContinuation)]);
    }
}

#[test]
fn a_message_does_not_begin_before_the_last_one_has_ended() {
    use Error::ExpectedContinuation;
    for begun in [0x01, 0x02] {
        for first in [0x01, 0x02, 0x81, 0x82] {
            check_frames(&[(begun, b"a"), (first, b"b")], &[Err(ExpectedContinuation)]);
            check_frames(&[(begun, b""), (first, b"")], &[Err(ExpectedContinuation)]);
            check_frames(
                &[(begun, b"a"), (0x89, b""), (0x00, b"b"), (first, b"")],
                &[Ok(Ping(b"")), Err(ExpectedContinuation)],
            );
        }
    }
}

#[test]
fn a_message_of_no_bytes_is_one_message_each_time() {
    for (first, expected) in [(0x81, Text("")), (0x82, Binary(b""))] {
        let received = vec![(first, &b""[..]); 10_000];
        let mut receiver = Receiver::new(SERVER, Limits::default());
        receiver.feed(&frames(SERVER, &received));
        for _ in 0..10_000 {
            assert_eq!(receiver.advance(), Ok(true));
            assert_eq!(receiver.event(), Some(expected));
        }
        assert_eq!(receiver.advance(), Ok(false));
    }
}

#[test]
fn what_is_not_complete_is_told_from_what_is() {
    let mut receiver = Receiver::new(SERVER, Limits::default());
    assert!(!receiver.is_amid_message() && !receiver.has_frame());

    // Half a header, a header, half a payload.
    let first = frame(0x01, b"Hel", Some(KEY));
    for piece in [&first[..1], &first[1..6], &first[6..8]] {
        receiver.feed(piece);
        assert!(receiver.is_amid_message() && !receiver.has_frame());
        assert_eq!(receiver.advance(), Ok(false));
        assert!(receiver.is_amid_message() && !receiver.has_frame());
    }
    // A fragment.
    receiver.feed(&first[8..]);
    assert!(receiver.has_frame());
    assert_eq!(receiver.advance(), Ok(false));
    assert!(receiver.is_amid_message() && !receiver.has_frame());

    // A Ping between, and the rest with another message behind it.
    receiver.feed(&frame(0x89, b"", Some(KEY)));
    assert!(receiver.has_frame());
    assert_eq!(receiver.advance(), Ok(true));
    assert!(receiver.is_amid_message() && !receiver.has_frame());
    receiver.feed(&frame(0x80, b"lo", Some(KEY)));
    receiver.feed(&frame(0x81, b"again", Some(KEY)));
    assert_eq!(receiver.advance(), Ok(true));
    assert_eq!(receiver.event(), Some(Text("Hello")));
    assert!(receiver.is_amid_message() && receiver.has_frame());
    assert_eq!(receiver.advance(), Ok(true));
    // A message that is lent is complete.
    assert_eq!(receiver.event(), Some(Text("again")));
    assert!(!receiver.is_amid_message() && !receiver.has_frame());

    // A frame that is broken is there as soon as that shows.
    receiver.feed(b"\x83");
    assert!(receiver.has_frame());
    assert_eq!(receiver.advance(), Err(Error::ReservedOpCode));
    assert!(!receiver.has_frame());
}

#[test]
fn a_failed_receiver_keeps_nothing_of_what_still_comes() {
    let mut receiver = Receiver::new(SERVER, Limits::default());
    receiver.feed(&frame(0x01, &[b'a'; 100_000], Some(KEY)));
    receiver.feed(&frame(0x83, b"", Some(KEY)));
    let mut said = Vec::new();
    for _ in 0..1000 {
        listen(&mut receiver, &mut said);
        receiver.feed(&frame(0x81, &[b'a'; 1000], Some(KEY)));
    }
    assert_eq!(said, [Err(Error::ReservedOpCode)]);
    assert!(receiver.capacity() <= 256 * 1024, "{}", receiver.capacity());
    // Nor of what had come before.
    listen(&mut receiver, &mut said);
    receiver.shrink();
    assert_eq!(receiver.capacity(), 0);
}

#[test]
fn nothing_of_what_was_received_shows_in_the_debug_output() {
    let mut receiver = Receiver::new(CLIENT, Limits::default());
    receiver.feed(b"\x01\x06secret\x80\x06secr");
    assert_eq!(receiver.advance(), Ok(false));
    let debug = format!("{receiver:?}");
    for secret in ["secr", "115, 101, 99, 114"] {
        assert!(!debug.contains(secret), "{debug}");
    }
}

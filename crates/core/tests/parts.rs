//! Messages in parts, for those larger than memory: nothing is lost or held up, the last part says so, the limits hold.

mod common;

use common::{CLIENT, Owned, SERVER, Said, assemble, frames, header};
use raddle_core::Event::{Close, Ping, Text};
use raddle_core::Progress::{Last, More};
use raddle_core::{Error, Event, Limits, Receiver, Role};

/// Feeds `bytes` in pieces of `size` and takes all that comes of each, in parts.
fn receive_parts(role: Role, limits: Limits, bytes: &[u8], size: usize) -> Vec<Said> {
    let mut receiver = Receiver::new(role, limits);
    let mut said = Vec::new();
    for piece in bytes.chunks(size) {
        receiver.feed(piece);
        loop {
            match receiver.advance_part() {
                Ok(true) => said.push(Ok(receiver.event().expect("advance_part() has returned true").into())),
                Ok(false) => break,
                Err(error) => {
                    said.push(Err(error));
                    return said;
                }
            }
        }
    }
    said
}

#[test]
fn the_parts_are_the_message_however_it_is_cut() {
    let received: [(u8, &[u8]); 10] = [
        (0x81, "κόσμε 😀".as_bytes()),
        (0x01, b"\xf0\x9f"),
        (0x89, b"ping"),
        (0x00, b"\x98\x80 and "),
        (0x00, b""),
        (0x80, "é".as_bytes()),
        (0x82, b"\xff\xfe\xfd"),
        (0x81, b""),
        (0x02, b"ends with an empty fragment"),
        (0x80, b""),
    ];
    let expected: [Said; 6] = [
        Ok(Text("κόσμε 😀").into()),
        Ok(Ping(b"ping").into()),
        Ok(Text("😀 and é").into()),
        Ok(Event::Binary(b"\xff\xfe\xfd").into()),
        Ok(Text("").into()),
        Ok(Event::Binary(b"ends with an empty fragment").into()),
    ];
    for role in [CLIENT, SERVER] {
        let bytes = frames(role, &received);
        for size in 1..=bytes.len() {
            assert_eq!(assemble(receive_parts(role, Limits::default(), &bytes, size)), expected, "pieces of {size}");
        }
    }
}

#[test]
fn a_part_is_lent_as_soon_as_it_has_arrived() {
    let mut receiver = Receiver::new(CLIENT, Limits::default());
    let mut step = |bytes: &[u8]| {
        receiver.feed(bytes);
        assert_eq!(receiver.advance_part(), Ok(true));
        let part: Owned = receiver.event().expect("advance_part() has returned true").into();
        assert_eq!(receiver.advance_part(), Ok(false));
        part
    };
    assert_eq!(step(b"\x01\x06Hel"), Owned::TextPart("Hel".into(), More));
    assert_eq!(step(b"lo"), Owned::TextPart("lo".into(), More));
    // The first byte of a character waits for the second.
    assert_eq!(step(b","), Owned::TextPart(",".into(), More));
    assert_eq!(step(b"\x80\x05 \xc3"), Owned::TextPart(" ".into(), More));
    assert_eq!(step(b"\xa9a"), Owned::TextPart("éa".into(), More));
    assert_eq!(step(b"!"), Owned::TextPart("!".into(), Last));
    assert_eq!(step(b"\x82\x00"), Owned::BinaryPart(vec![], Last));
}

#[test]
fn a_last_part_may_be_empty() {
    let parts = |bytes| receive_parts(CLIENT, Limits::default(), bytes, usize::MAX);
    assert_eq!(parts(b"\x81\x05Hello"), [Ok(Owned::TextPart("Hello".into(), Last))]);
    assert_eq!(
        parts(b"\x01\x05Hello\x80\x00"),
        [Ok(Owned::TextPart("Hello".into(), More)), Ok(Owned::TextPart("".into(), Last))]
    );
    // Empty fragments between give no parts.
    assert_eq!(parts(b"\x02\x00\x00\x00\x80\x00"), [Ok(Owned::BinaryPart(vec![], Last))]);
}

#[test]
fn the_limits_hold_before_a_part_is_lent() {
    let limits = Limits { message: 10, frame: 8, fragments: 3 };
    for role in [CLIENT, SERVER] {
        for size in 1..30 {
            let parts = |bytes: &[u8]| receive_parts(role, limits, bytes, size);
            // The sum passes the limit with the header of the second fragment, and what came before was lent.
            let begun = frames(role, &[(0x02, b"aaaaaaaa")]);
            let said = parts(&[begun, header(role, 0x80, 3), b"aaa".to_vec()].concat());
            let (error, lent) = said.split_last().expect("an error at least");
            assert_eq!(*error, Err(Error::MessageTooBig));
            assert!(!lent.is_empty() && lent.iter().all(|part| matches!(part, Ok(Owned::BinaryPart(_, More)))));
            assert_eq!(parts(&header(role, 0x82, 9)), [Err(Error::MessageTooBig)]);
            let fragments = [(0x02, &b""[..]), (0x00, b""), (0x00, b""), (0x80, b"")];
            assert_eq!(parts(&frames(role, &fragments)), [Err(Error::TooManyFragments)]);
            // Exactly at the limit.
            let exact = frames(role, &[(0x02, b"aaaaaaaa"), (0x00, b"a"), (0x80, b"a")]);
            assert_eq!(assemble(parts(&exact)), [Ok(Event::Binary(b"aaaaaaaaaa").into())]);
        }
    }
}

#[test]
fn what_breaks_a_rule_is_an_error_behind_the_parts_before_it() {
    let parts = |received: &[(u8, &[u8])]| receive_parts(SERVER, Limits::default(), &frames(SERVER, received), 1000);
    let text = |text: &str, progress| Ok(Owned::TextPart(text.into(), progress));
    assert_eq!(parts(&[(0x01, b"a"), (0x80, b"\xff")]), [text("a", More), Err(Error::InvalidUtf8)]);
    assert_eq!(parts(&[(0x01, b"a\xc3"), (0x80, b"")]), [text("a", More), Err(Error::InvalidUtf8)]);
    assert_eq!(parts(&[(0x81, b"a\xc3")]), [Err(Error::InvalidUtf8)]);
    assert_eq!(parts(&[(0x01, b"a"), (0x81, b"b")]), [text("a", More), Err(Error::ExpectedContinuation)]);
    assert_eq!(
        parts(&[(0x01, b"a"), (0x80, b"b"), (0x80, b"c")]),
        [text("a", More), text("b", Last), Err(Error::UnexpectedContinuation)]
    );
    assert_eq!(parts(&[(0x01, b"a"), (0x88, b""), (0x80, b"b")]), [text("a", More), Ok(Close(None).into())]);
}

#[test]
fn a_message_that_has_begun_whole_can_go_on_in_parts() {
    let mut receiver = Receiver::new(CLIENT, Limits::default());
    receiver.feed(b"\x01\x04Hel\xc3");
    assert_eq!(receiver.advance(), Ok(false));
    // All that has come so far is the first part.
    assert_eq!(receiver.advance_part(), Ok(true));
    assert_eq!(receiver.event().map(Owned::from), Some(Owned::TextPart("Hel".into(), More)));
    receiver.feed(b"\x80\x03\xa9lo\x81\x05whole");
    assert_eq!(receiver.advance_part(), Ok(true));
    assert_eq!(receiver.event().map(Owned::from), Some(Owned::TextPart("élo".into(), Last)));
    assert_eq!(receiver.advance(), Ok(true));
    assert_eq!(receiver.event(), Some(Text("whole")));
}

#[test]
fn a_message_that_has_begun_in_parts_ends_in_parts() {
    let mut receiver = Receiver::new(CLIENT, Limits::default());
    receiver.feed(b"\x01\x03Hel");
    assert_eq!(receiver.advance_part(), Ok(true));
    for (bytes, part, progress) in [(&b"\x00\x01l"[..], "l", More), (b"\x80\x01o", "o", Last)] {
        receiver.feed(bytes);
        assert_eq!(receiver.advance(), Ok(true));
        assert_eq!(receiver.event().map(Owned::from), Some(Owned::TextPart(part.into(), progress)));
        assert_eq!(receiver.advance(), Ok(false));
    }
    // The next one is whole again.
    receiver.feed(b"\x01\x03Hel");
    assert_eq!(receiver.advance(), Ok(false));
    receiver.feed(b"\x80\x02lo");
    assert_eq!(receiver.advance(), Ok(true));
    assert_eq!(receiver.event(), Some(Text("Hello")));
}

#[test]
fn a_message_in_parts_needs_no_memory_for_the_whole() {
    const MESSAGE: u64 = 64 << 20;
    let mut receiver = Receiver::new(SERVER, Limits::default().message(MESSAGE));
    receiver.feed(&header(SERVER, 0x82, MESSAGE));
    let (piece, mut lent) = (vec![0; 64 * 1024], 0);
    loop {
        receiver.feed(&piece);
        assert_eq!(receiver.advance_part(), Ok(true));
        let Some(Event::Part(part, progress)) = receiver.event() else { panic!("a part") };
        lent += part.as_bytes().len() as u64;
        assert!(receiver.capacity() <= 256 * 1024, "{}", receiver.capacity());
        if progress == Last {
            break;
        }
    }
    assert_eq!(lent, MESSAGE);
}

#[test]
fn whether_a_message_is_complete_shows_in_parts_too() {
    let mut receiver = Receiver::new(CLIENT, Limits::default());
    receiver.feed(b"\x01\x03Hel\x80\x02l");
    assert_eq!(receiver.advance_part(), Ok(true));
    assert!(receiver.is_amid_message());
    assert_eq!(receiver.advance_part(), Ok(true));
    assert!(receiver.is_amid_message() && !receiver.has_frame());
    receiver.feed(b"o");
    assert!(receiver.has_frame());
    assert_eq!(receiver.advance_part(), Ok(true));
    assert_eq!(receiver.event().map(Owned::from), Some(Owned::TextPart("o".into(), Last)));
    assert!(!receiver.is_amid_message() && !receiver.has_frame());
}

#[test]
fn a_close_is_known_by_its_first_byte_and_no_payload_is_taken_for_one() {
    let mut receiver = Receiver::new(CLIENT, Limits::default());
    // A payload that looks like the header of a Close.
    receiver.feed(b"\x82\x02\x88");
    assert!(!receiver.is_before_close());
    assert_eq!(receiver.advance(), Ok(false));
    assert!(!receiver.is_before_close());
    receiver.feed(b"\x00\x88");
    assert_eq!(receiver.advance(), Ok(true));
    assert!(receiver.is_before_close());
    receiver.feed(b"\x00");
    assert!(receiver.is_before_close());
    assert_eq!(receiver.advance(), Ok(true));
    // What comes behind it is nothing.
    receiver.feed(b"\x88\x00");
    assert!(!receiver.is_before_close());
}

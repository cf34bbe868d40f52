//! What is there before more bytes come: whole messages of one frame, and everything else.

mod common;

use common::{SERVER, frames};
use raddle_core::{Event, Limits, Receiver};

#[test]
fn a_whole_message_is_told_from_all_that_is_less_or_something_else() {
    let has_message = |received: &[(u8, &[u8])], cut: usize| {
        let mut receiver = Receiver::new(SERVER, Limits::default());
        let bytes = frames(SERVER, received);
        receiver.feed(&bytes[..bytes.len() - cut]);
        receiver.has_message()
    };
    assert!(has_message(&[(0x81, b"text")], 0));
    assert!(has_message(&[(0x82, b"")], 0));
    assert!(has_message(&[(0x82, &[7; 300]), (0x81, b"more")], 3));
    assert!(!has_message(&[], 0));
    for cut in 1..=10 {
        assert!(!has_message(&[(0x81, b"text")], cut), "{cut} bytes are missing");
    }
    // A Ping, a Close, a fragment, an opcode that is none.
    for first in [0x89, 0x88, 0x01, 0x80, 0x83] {
        assert!(!has_message(&[(first, b"\x03\xe8"), (0x81, b"text")], 0), "{first:x}");
    }
}

#[test]
fn the_message_that_is_lent_does_not_count_and_one_that_goes_on_does() {
    let mut receiver = Receiver::new(SERVER, Limits::default());
    receiver.feed(&frames(SERVER, &[(0x01, b"a"), (0x80, b"b"), (0x81, b"c"), (0x01, b"d"), (0x81, b"e")]));
    assert!(receiver.advance().expect("in order"));
    assert_eq!((receiver.event(), receiver.has_message()), (Some(Event::Text("ab")), true));
    assert!(receiver.advance().expect("in order"));
    assert_eq!((receiver.event(), receiver.has_message()), (Some(Event::Text("c")), false));
    assert!(receiver.advance().is_err());
    assert!(receiver.has_failed() && !receiver.has_message());
}

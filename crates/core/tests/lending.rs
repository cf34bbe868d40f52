//! Memory that is lent to a receiver for a while: what is held moves there and back, at every cut.

mod common;

use common::{Owned, SERVER, Said, frames, listen, receive};
use raddle_core::{Limits, Message, Received, Receiver};

/// Receives `bytes` in two reads, each in memory of `length` bytes that the receiver has for the read only.
fn received_in_lent_memory(bytes: &[u8], cut: usize, length: usize) -> Vec<Said> {
    let mut receiver = Receiver::new(SERVER, Limits::default());
    let mut said = Vec::new();
    let mut memory = vec![0xa5; length];
    for piece in [&bytes[..cut], &bytes[cut..]] {
        drop(receiver.lend(memory));
        receiver.feed(piece);
        listen(&mut receiver, &mut said);
        let held = receiver.held();
        memory = receiver.reclaim();
        // All that a connection keeps between two reads.
        assert_eq!((receiver.held(), receiver.capacity()), (held, held));
    }
    assert!(memory.len() >= length);
    said
}

#[test]
fn every_event_is_the_same_at_every_cut() {
    let bytes = frames(
        SERVER,
        &[
            (0x81, "é".as_bytes()),
            // Torn characters, and control frames between the fragments.
            (0x01, b"\xe2\x82"),
            (0x89, b"ping"),
            (0x00, b"\xac "),
            (0x8a, b""),
            (0x80, "\u{1f600}".as_bytes()),
            (0x82, &[7; 300]),
            (0x82, b""),
            (0x88, b"\x03\xe8bye"),
        ],
    );
    let expected = receive(Receiver::new(SERVER, Limits::default()), [&bytes[..]]);
    assert_eq!(expected.len(), 7);
    for cut in 0..=bytes.len() {
        // Too small for what comes, and large enough.
        for length in [0, 1, 16, 4096] {
            assert_eq!(received_in_lent_memory(&bytes, cut, length), expected, "cut at {cut}, in {length} bytes");
        }
    }
}

#[test]
fn a_receiver_that_holds_nothing_keeps_nothing() {
    let mut receiver = Receiver::new(SERVER, Limits::default());
    let mut memory = vec![0; 64 * 1024];
    for round in 0..100 {
        let start = memory.as_ptr();
        drop(receiver.lend(memory));
        receiver.feed(&frames(SERVER, &[(0x82, &[round; 1000]), (0x81, b"Hello")]));
        let mut said = Vec::new();
        listen(&mut receiver, &mut said);
        assert_eq!(said, [Ok(Owned::Binary(vec![round; 1000])), Ok(Owned::Text("Hello".into()))]);
        memory = receiver.reclaim();
        assert_eq!((receiver.capacity(), receiver.held()), (0, 0));
        assert_eq!((memory.as_ptr(), memory.len()), (start, 64 * 1024), "the memory is the one that was lent");
    }
}

#[test]
fn a_message_that_is_lent_is_let_go_with_the_memory() {
    let mut receiver = Receiver::new(SERVER, Limits::default());
    drop(receiver.lend(vec![0; 1024]));
    receiver.feed(&frames(SERVER, &[(0x81, b"one"), (0x81, b"two")]));
    assert_eq!(receiver.advance(), Ok(true));
    drop(receiver.reclaim());
    assert_eq!(receiver.event(), None);
    // The second one is unread, and was kept.
    assert!(receiver.has_frame());
    let mut said = Vec::new();
    listen(&mut receiver, &mut said);
    assert_eq!(said, [Ok(Owned::Text("two".into()))]);
    // And with memory that is lent over it.
    receiver.feed(&frames(SERVER, &[(0x81, b"three"), (0x81, b"four")]));
    assert_eq!(receiver.advance(), Ok(true));
    drop(receiver.lend(vec![0; 1024]));
    assert_eq!(receiver.event(), None);
    let mut said = Vec::new();
    listen(&mut receiver, &mut said);
    assert_eq!(said, [Ok(Owned::Text("four".into()))]);
}

#[test]
fn a_message_is_taken_with_its_memory_and_what_follows_is_kept() {
    let bytes = frames(
        SERVER,
        &[
            (0x81, "é".as_bytes()),
            (0x89, b"ping"),
            (0x02, &[7; 3000]),
            (0x80, &[8; 3000]),
            (0x81, b""),
            (0x81, b"last"),
        ],
    );
    let expected = [
        Message::Text("é"),
        Message::Binary(&[[7; 3000], [8; 3000]].concat()),
        Message::Text(""),
        Message::Text("last"),
    ]
    .map(Received::from);
    for cut in 0..=bytes.len() {
        let mut receiver = Receiver::new(SERVER, Limits::default());
        let (mut taken, mut others) = (Vec::new(), 0);
        for piece in [&bytes[..cut], &bytes[cut..]] {
            receiver.feed(piece);
            while receiver.advance().expect("all is in order") {
                let place = receiver.message().map(|message| message.as_bytes().as_ptr());
                match receiver.take_message() {
                    Some(received) => {
                        assert_eq!(Some(received.message().as_bytes().as_ptr()), place, "it was copied");
                        taken.push(received);
                    }
                    None => others += 1,
                }
                assert!(receiver.take_message().is_none() && receiver.message().is_none());
            }
        }
        assert_eq!((others, receiver.held()), (1, 0));
        assert!(taken.iter().map(Received::message).eq(expected.iter().map(Received::message)), "cut at {cut}");
    }
}

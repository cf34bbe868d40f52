//! A fork goes on where its receiver stands, from any point, with an event lent and without.

mod common;

use common::{CLIENT, Owned, SERVER, Said, frames, header, receive};
use raddle_core::Progress::{Last, More};
use raddle_core::{Error, Event, Limits, Receiver, Role};

#[derive(Clone, Copy, Debug)]
enum Delivery {
    Whole,
    Parts,
}

fn step(receiver: &mut Receiver, delivery: Delivery) -> Result<bool, Error> {
    match delivery {
        Delivery::Whole => receiver.advance(),
        Delivery::Parts => receiver.advance_part(),
    }
}

/// What is left to say, after `rest` has come.
fn go_on(receiver: &mut Receiver, rest: &[u8], delivery: Delivery) -> Vec<Said> {
    let mut said = Vec::new();
    for piece in [&b""[..], rest] {
        receiver.feed(piece);
        loop {
            match step(receiver, delivery) {
                Ok(true) => said.push(Ok(receiver.event().expect("advance() has returned true").into())),
                Ok(false) => break,
                Err(error) => break said.push(Err(error)),
            }
        }
    }
    said
}

/// Forks a receiver after each of its events, and where it has none, at every cut of the bytes that it gets.
#[track_caller]
fn check_forks(role: Role, limits: Limits, bytes: &[u8]) {
    for (before, behind) in [Delivery::Whole, Delivery::Parts]
        .into_iter()
        .flat_map(|one| [Delivery::Whole, Delivery::Parts].map(|other| (one, other)))
    {
        for cut in 0..=bytes.len() {
            // The steps that have been taken when the fork is made; the last one has no event.
            for steps in 0.. {
                let mut original = Receiver::new(role, limits);
                original.feed(&bytes[..cut]);
                let mut found = Ok(true);
                for _ in 0..steps {
                    found = step(&mut original, before);
                }
                let lent = original.event().map(Owned::from);
                let mut fork = original.fork();
                assert_eq!(fork.event(), None);
                assert_eq!(fork.is_closed(), original.is_closed());
                assert_eq!(fork.is_amid_message(), original.is_amid_message());
                assert_eq!(fork.has_frame(), original.has_frame());
                let by_fork = go_on(&mut fork, &bytes[cut..], behind);
                // The event of the original is still there, whatever the fork has done.
                assert_eq!(original.event().map(Owned::from), lent);
                let by_original = go_on(&mut original, &bytes[cut..], behind);
                assert_eq!(by_fork, by_original, "{role:?} {before:?} {behind:?} cut at {cut}, {steps} steps");
                if found != Ok(true) {
                    break;
                }
            }
        }
    }
}

#[test]
fn a_fork_says_what_the_original_would_have_said() {
    let received: [&[(u8, &[u8])]; 5] = [
        &[(0x81, b"Hello"), (0x82, b"\xff"), (0x81, b"")],
        &[(0x01, b"a\xf0\x9f"), (0x89, b"ping"), (0x00, b"\x98"), (0x00, b""), (0x80, b"\x80b"), (0x81, b"next")],
        &[(0x02, b""), (0x80, b""), (0x02, b"begun"), (0x88, b"\x03\xe8why"), (0x81, b"late")],
        &[(0x01, b"a"), (0x81, b"b")],
        &[(0x81, b"good"), (0x01, b"a\xc3"), (0x80, b"a"), (0x81, b"late")],
    ];
    for received in received {
        for role in [CLIENT, SERVER] {
            check_forks(role, Limits::default(), &frames(role, received));
        }
    }
}

#[test]
fn a_fork_goes_on_counting_for_the_limits() {
    let limits = Limits { message: 6, frame: 4, fragments: 3 };
    let cases: [&[(u8, &[u8])]; 3] = [
        &[(0x02, b"aaaa"), (0x00, b"aa"), (0x80, b"a")],
        &[(0x02, b"aaaa"), (0x80, b"aaaaa")],
        &[(0x02, b""), (0x00, b""), (0x00, b""), (0x80, b"")],
    ];
    for received in cases {
        for role in [CLIENT, SERVER] {
            let bytes = frames(role, received);
            assert!(receive(Receiver::new(role, limits), [&bytes[..]])[0].is_err());
            check_forks(role, limits, &bytes);
        }
    }
}

#[test]
fn a_fork_of_a_lent_message_does_not_hold_it() {
    let mut original = Receiver::new(SERVER, Limits::default());
    let large = vec![0; 1 << 20];
    original.feed(&frames(SERVER, &[(0x82, &large), (0x81, b"next")]));
    assert_eq!(original.advance(), Ok(true));
    let mut fork = original.fork();
    assert!(fork.capacity() < 100, "{}", fork.capacity());
    assert_eq!(fork.advance(), Ok(true));
    assert_eq!(fork.event(), Some(Event::Text("next")));
    assert!(original.event() == Some(Event::Binary(&large)));
}

#[test]
fn a_fork_amid_a_frame_waits_for_its_rest() {
    let mut original = Receiver::new(SERVER, Limits::default());
    let bytes = frames(SERVER, &[(0x82, b"0123456789")]);
    original.feed(&bytes[..10]);
    assert_eq!(original.advance_part(), Ok(true));
    assert_eq!(original.event().map(Owned::from), Some(Owned::BinaryPart(b"0123".to_vec(), More)));
    // A fork of a fork, each of which has received a piece of its own.
    let mut fork = original.fork();
    fork.feed(&bytes[10..12]);
    assert_eq!(fork.advance(), Ok(true));
    assert_eq!(fork.event().map(Owned::from), Some(Owned::BinaryPart(b"45".to_vec(), More)));
    let mut fork = fork.fork();
    fork.feed(&bytes[12..]);
    assert_eq!(fork.advance(), Ok(true));
    assert_eq!(fork.event().map(Owned::from), Some(Owned::BinaryPart(b"6789".to_vec(), Last)));
}

#[test]
fn a_fork_of_a_failed_receiver_has_failed() {
    let mut original = Receiver::new(SERVER, Limits::default());
    original.feed(&header(SERVER, 0x82, 1 << 40));
    assert_eq!(original.advance(), Err(Error::MessageTooBig));
    let mut fork = original.fork();
    fork.feed(&frames(SERVER, &[(0x81, b"good")]));
    assert_eq!(fork.advance(), Err(Error::MessageTooBig));
}

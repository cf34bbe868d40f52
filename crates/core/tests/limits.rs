//! Section 10.4, limits: exact, held on the header, and computed without wrapping.

mod common;

use common::{CLIENT, SERVER, check_within, frames, header};
use raddle_core::Event::{Binary, Ping, Text};
use raddle_core::{Error, Limits, Receiver};

const TOO_BIG: Error = Error::MessageTooBig;

fn limits(message: u64, frame: u64) -> Limits {
    Limits { message, frame, ..Limits::default() }
}

#[test]
fn a_limit_is_exact() {
    // Around every change of the length's form, and at none at all.
    for limit in [0, 1, 125, 126, 65_535, 65_536] {
        for role in [CLIENT, SERVER] {
            let payload = vec![0; limit];
            let limits = Limits::default().message(limit as u64);
            let bytes = frames(role, &[(0x82, &payload)]);
            check_within(role, limits, &bytes, &[Ok(Binary(&payload))]);
            // One more is refused by the header alone.
            check_within(role, limits, &header(role, 0x82, limit as u64 + 1), &[Err(TOO_BIG)]);
        }
    }
}

#[test]
fn the_largest_lengths_are_refused_by_the_header_without_memory_for_them() {
    let announced = [(1 << 20) + 1, 1 << 31, (1 << 32) - 1, 1 << 32, (1 << 32) + 1, (1 << 53) + 1, i64::MAX as u64];
    for length in announced {
        for role in [CLIENT, SERVER] {
            for first in [0x81, 0x82, 0x01, 0x02] {
                check_within(role, Limits::default(), &header(role, first, length), &[Err(TOO_BIG)]);
            }
            let mut receiver = Receiver::new(role, Limits::default());
            receiver.feed(&header(role, 0x82, length));
            assert_eq!(receiver.advance(), Err(TOO_BIG));
            receiver.space();
            assert!(receiver.capacity() <= 4096);
        }
    }
}

#[test]
fn the_top_bit_of_a_length_is_refused_before_any_limit() {
    let unlimited = limits(u64::MAX, u64::MAX);
    for length in [1 << 63, u64::MAX] {
        for role in [CLIENT, SERVER] {
            check_within(role, unlimited, &header(role, 0x82, length), &[Err(Error::LengthTopBit)]);
        }
    }
}

#[test]
fn without_a_limit_any_length_is_waited_for_and_the_sum_does_not_wrap() {
    let unlimited = limits(u64::MAX, u64::MAX);
    let largest = i64::MAX as u64;
    for role in [CLIENT, SERVER] {
        let header = header(role, 0x82, largest);
        check_within(role, unlimited, &header, &[]);
        check_within(role, unlimited, &[&header[..], b"payload"].concat(), &[]);
    }
    // Message so far and announced frame: 1 + (2^63 - 1) is more than 2^63 - 1, and no wrapping makes it less.
    for (message, expected) in [(u64::MAX, vec![]), (largest, vec![Err(TOO_BIG)])] {
        for role in [CLIENT, SERVER] {
            let bytes = [frames(role, &[(0x02, b"a")]), header(role, 0x80, largest)].concat();
            check_within(role, limits(message, u64::MAX), &bytes, &expected);
        }
    }
}

#[test]
fn the_fragments_of_a_message_are_added_up() {
    for role in [CLIENT, SERVER] {
        let sum_of_ten = frames(role, &[(0x02, b"aaaa"), (0x00, b""), (0x00, b"aaaa"), (0x80, b"aa")]);
        check_within(role, limits(10, 10), &sum_of_ten, &[Ok(Binary(b"aaaaaaaaaa"))]);
        check_within(role, limits(9, 10), &sum_of_ten, &[Err(TOO_BIG)]);
        // The header that passes the limit is refused, before its payload comes.
        let begun = frames(role, &[(0x02, b"aaaa"), (0x00, b"aaaa")]);
        check_within(role, limits(10, 10), &[begun, header(role, 0x80, 3)].concat(), &[Err(TOO_BIG)]);
        // The bytes of control frames do not count.
        let pinged = frames(role, &[(0x01, b"aaaa"), (0x89, b"0123456789"), (0x80, b"aaaaaa")]);
        check_within(role, limits(10, 10), &pinged, &[Ok(Ping(b"0123456789")), Ok(Text("aaaaaaaaaa"))]);
        // The next message begins at 0.
        let two = frames(role, &[(0x82, b"aaaaaa"), (0x82, b"bbbbbb")]);
        check_within(role, limits(6, 6), &two, &[Ok(Binary(b"aaaaaa")), Ok(Binary(b"bbbbbb"))]);
    }
}

#[test]
fn a_frame_has_a_limit_of_its_own() {
    for role in [CLIENT, SERVER] {
        let bytes = frames(role, &[(0x02, b"aaaa"), (0x80, b"aaaa")]);
        check_within(role, limits(100, 4), &bytes, &[Ok(Binary(b"aaaaaaaa"))]);
        check_within(role, limits(100, 3), &bytes, &[Err(TOO_BIG)]);
        check_within(role, limits(100, 4), &header(role, 0x82, 5), &[Err(TOO_BIG)]);
        // It is none for control frames, whose length is bounded anyway.
        check_within(role, limits(0, 0), &frames(role, &[(0x89, b"ping")]), &[Ok(Ping(b"ping"))]);
    }
}

#[test]
fn fragments_are_counted_empty_ones_too() {
    let few = |fragments| Limits { fragments, ..Limits::default() };
    for role in [CLIENT, SERVER] {
        for payload in [&b""[..], b"a"] {
            let bytes = frames(role, &[(0x02, payload), (0x00, payload), (0x00, payload), (0x80, payload)]);
            check_within(role, few(4), &bytes, &[Ok(Binary(&payload.repeat(4)))]);
            check_within(role, few(3), &bytes, &[Err(Error::TooManyFragments)]);
        }
        // Control frames between do not count, and the next message begins at 0.
        let bytes = frames(role, &[(0x02, b""), (0x89, b""), (0x80, b""), (0x02, b""), (0x80, b"")]);
        check_within(role, few(2), &bytes, &[Ok(Ping(b"")), Ok(Binary(b"")), Ok(Binary(b""))]);
        // A message of one frame has one.
        check_within(role, few(1), &frames(role, &[(0x81, b"a")]), &[Ok(Text("a"))]);
        check_within(role, few(0), &frames(role, &[(0x81, b"a")]), &[Err(Error::TooManyFragments)]);
    }
}

#[test]
fn endless_fragments_end_at_the_limit_and_occupy_nothing() {
    for payload in [&b""[..], b"a"] {
        let mut receiver = Receiver::new(SERVER, Limits::default());
        receiver.feed(&frames(SERVER, &[(0x02, payload)]));
        let more = frames(SERVER, &[(0x00, payload)]);
        let mut fragments = 1;
        while receiver.advance() == Ok(false) {
            receiver.feed(&more);
            fragments += 1;
            assert!(receiver.capacity() <= 2 * fragments * payload.len() + 64 * 1024);
        }
        assert_eq!(receiver.advance(), Err(Error::TooManyFragments));
        assert_eq!(fragments, 16_384 + 1);
    }
}

#[test]
fn the_defaults_are_those_that_are_documented() {
    assert_eq!(Limits::default(), Limits { message: 1 << 20, frame: 1 << 20, fragments: 16_384 });
    let larger = Limits::default().message(1 << 24);
    assert_eq!(larger, Limits { message: 1 << 24, frame: 1 << 24, fragments: 16_384 });
}

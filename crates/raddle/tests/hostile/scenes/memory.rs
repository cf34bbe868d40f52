//! Cases about memory and work without I/O, which grow with what is received and with nothing else.

use std::time::{Duration, Instant};

use raddle::core::{Error, Event, Header, Limits, Receiver, Role, Rsv1, Sender};

use crate::wire::{announce, ping, pong};

#[test]
fn a_thousand_announced_messages_take_no_memory() {
    // Hostile input 127.
    let announced = announce(0x82, 1 << 20).encode(Role::Server);
    let receivers: Vec<_> = (0..1000)
        .map(|_| {
            let mut receiver = Receiver::new(Role::Server, Limits::default());
            receiver.feed(&announced);
            assert_eq!(receiver.advance(), Ok(false));
            // Room for the next read, as a driver asks for it.
            assert!(!receiver.space().is_empty());
            receiver
        })
        .collect();
    let bytes: usize = receivers.iter().map(Receiver::capacity).sum();
    assert!(bytes < 100 << 20, "{bytes} bytes");
}

#[test]
fn what_is_broken_is_never_taken_for_incomplete() {
    // Hostile input 135.
    for (error, bytes) in [
        (Error::ReservedOpCode, &b"\x83\x80\x00\x00\x00\x00"[..]),
        (Error::ReservedBits, b"\x91\x80\x00\x00\x00\x00"),
        (Error::UnmaskedFrame, b"\x81\x05Hello"),
        (Error::ControlTooLong, b"\x89\xfe\x00\x7e\x00\x00\x00\x00"),
        (Error::LengthNotMinimal, b"\x82\xfe\x00\x7d\x00\x00\x00\x00"),
        (Error::LengthNotMinimal, b"\x82\xff\x00\x00\x00\x00\x00\x00\xff\xff"),
        (Error::LengthTopBit, b"\x82\xff\x80\x00\x00\x00\x00\x00\x00\x00"),
    ] {
        let parse = |length: usize| Header::parse(&bytes[..length], Role::Server, Rsv1::Reserved);
        let broken = (0..=bytes.len()).find(|length| parse(*length).is_err()).expect("it is broken");
        for length in 0..=bytes.len() {
            assert_eq!(parse(length), if length < broken { Ok(None) } else { Err(error) }, "{length} of {bytes:x?}");
        }
        let mut receiver = Receiver::new(Role::Server, Limits::default());
        receiver.feed(bytes);
        for _ in 0..3 {
            assert_eq!(receiver.advance(), Err(error));
            // Nothing is left to be parsed again.
            assert!(!receiver.has_frame());
            receiver.feed(b"\x81\x80\x00\x00\x00\x00");
        }
    }
}

#[test]
fn a_million_pongs_leave_nothing_behind() {
    // Hostile input 153.
    let thousand = pong("x").encode(Role::Server).repeat(1000);
    let (mut receiver, mut sender) = (Receiver::new(Role::Server, Limits::default()), Sender::server());
    let mut pongs = 0;
    let mut capacities = Vec::new();
    for _ in 0..1000 {
        receiver.feed(&thousand);
        while receiver.advance().expect("Pongs may come unasked") {
            let event = receiver.event().expect("advance() has returned true");
            assert_eq!(event, Event::Pong(b"x"));
            sender.react(&event);
            pongs += 1;
        }
        capacities.push(receiver.capacity());
    }
    assert_eq!((pongs, sender.queued()), (1_000_000, 0));
    assert!(capacities.iter().all(|capacity| *capacity <= 128 * 1024), "{:?}", capacities.iter().max());
}

#[test]
fn a_million_pings_leave_one_pong_where_the_peer_does_not_read() {
    // Hostile input 155.
    let (mut receiver, mut sender) = (Receiver::new(Role::Server, Limits::default()), Sender::server());
    // A driver has taken output and is not rid of it.
    sender.ping(b"ours").expect("nothing was closed");
    sender.take_output(&mut Vec::new());
    for thousand in 0..1000_u32 {
        let number = thousand.to_be_bytes();
        receiver.feed(&[ping("older").encode(Role::Server).repeat(999), ping(number).encode(Role::Server)].concat());
        while receiver.advance().expect("Pings may come") {
            sender.react(&receiver.event().expect("advance() has returned true"));
        }
        assert!(sender.queued() <= 14 + 125, "{} bytes are queued", sender.queued());
    }
    sender.taken_written();
    // The newest, that of the last thousand, and no other (RFC 6455, section 5.5.3).
    assert_eq!(sender.output(), b"\x8a\x04\x00\x00\x03\xe7");
}

#[test]
fn a_text_that_arrives_byte_by_byte_is_linear_work() {
    // Hostile input 195.
    // A byte a read, and a TCP segment a read.
    for (read, length) in [(1, 1 << 20), (1448, 16 << 20)] {
        let mut receiver = Receiver::new(Role::Server, Limits::default().message(16 << 20));
        let begun = Instant::now();
        receiver.feed(&announce(0x81, length).key([0; 4]).encode(Role::Server));
        let text = "é".repeat(length as usize / 2).into_bytes();
        let mut capacities = vec![receiver.capacity()];
        for part in text.chunks(read) {
            assert_eq!(receiver.advance(), Ok(false));
            receiver.feed(part);
            if capacities.last() != Some(&receiver.capacity()) {
                capacities.push(receiver.capacity());
            }
        }
        assert_eq!(receiver.advance(), Ok(true));
        assert!(matches!(receiver.event(), Some(Event::Text(text)) if text.len() as u64 == length));
        // All that is held is moved when memory grows: so it grows by a factor, not with each read.
        assert!(capacities.len() < 50, "{} times, at last to {:?}", capacities.len(), capacities.last());
        // Validating from the beginning each time would be half a million times as much.
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    }
}

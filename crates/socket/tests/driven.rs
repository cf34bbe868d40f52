//! A connection in an event loop: what a read has brought is answered with one write, and nothing large is copied for it.

mod common;

use std::ops::ControlFlow;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use common::*;
use raddle_socket::{
    Budget, Driven, Driver, Event, Events, Limits, Mode, Options, Reader, Role, State, Turn, Watch,
    drive_on_this_thread, drop_large_spares, has_large_spares, keep_input,
};

/// An event loop that leaves it to the test to do what is asked for.
struct Loop;

impl Driver for Loop {
    fn id(&self) -> u64 {
        0
    }

    fn output_waits(&self, _key: usize) {}
    fn output_is_ready(&self, _key: usize) {}
    fn input_is_wanted(&self, _key: usize) {}
    fn release(&self, _key: usize, _heir: Box<dyn FnOnce(Reader) + Send>) {}
    fn take_back(&self, _key: usize, _reader: Reader) {}
    fn ended(&self, _key: usize) {}
}

/// A server's connection that this thread drives.
fn driven(options: Options) -> (Driven, Peer<UnixStream>, Arc<Seen>) {
    let (connection, peer, seen) = against_peer_observed(Role::Server, options);
    drive_on_this_thread();
    (Driven::new(connection.split().0, Arc::new(Loop), 1), peer, seen)
}

/// Echoes `frames`, which come with one read, and gives where their payloads were and what was written for them.
fn echo(driven: &mut Driven, peer: &mut Peer<UnixStream>, seen: &Seen, frames: &[Frame]) -> (Vec<usize>, Vec<Write>) {
    peer.send_all(frames);
    let watch = Watch::new().expect("a poller");
    watch.add(driven.descriptor().expect("a socket"), Event::readable(1), Mode::Level).expect("it is none of it yet");
    assert!(watch.wait(&mut Events::default(), Some(LIMIT)));
    seen.forget();
    let (mut memory, mut places) = (vec![0; 256 * 1024], Vec::new());
    let turn = driven.read(&mut memory, |writer, message| {
        places.push(message.as_bytes().as_ptr().addr());
        writer.send(message).expect("open");
        ControlFlow::Continue(())
    });
    assert_eq!((turn, places.len()), (Turn::Done, frames.len()), "all came with one read");
    for frame in frames {
        assert!(peer.frame() == *frame);
    }
    (places, seen.writes())
}

#[test]
fn a_large_answer_behind_which_nothing_has_come_is_written_from_where_it_is() {
    let (mut driven, mut peer, seen) = driven(options(|_| ()));
    let large = binary(&pattern(16 * 1024, 1));
    let (places, writes) = echo(&mut driven, &mut peer, &seen, std::slice::from_ref(&large));
    let parts: Vec<_> = writes.iter().map(|write| write.parts.clone()).collect();
    assert_eq!(parts, [[(parts[0][0].0, 4), (places[0], 16 * 1024)]], "its header, and the message itself");
    // What was answered before leaves with it.
    let (places, writes) = echo(&mut driven, &mut peer, &seen, &[text("small"), large]);
    let parts: Vec<_> = writes.iter().map(|write| write.parts.clone()).collect();
    assert_eq!(parts, [[(parts[0][0].0, 2 + 5 + 4), (places[1], 16 * 1024)]]);
}

#[test]
fn answers_to_one_read_leave_in_one_write() {
    let (mut driven, mut peer, seen) = driven(options(|_| ()));
    let large = binary(&pattern(16 * 1024, 1));
    for frames in [vec![text("small"); 16], vec![large, text("small")]] {
        let (_, writes) = echo(&mut driven, &mut peer, &seen, &frames);
        let [write] = &writes[..] else { panic!("{} writes", writes.len()) };
        assert_eq!(write.parts.len(), 1);
    }
}

#[cfg(feature = "deflate")]
#[test]
fn a_large_answer_that_was_compressed_leaves_with_others() {
    let deflate = raddle_socket::Deflate::default();
    let (connection, mut peer, seen) = deflating_observed(Role::Server, deflate, options(|_| ()));
    drive_on_this_thread();
    let mut driven = Driven::new(connection.split().0, Arc::new(Loop), 1);
    peer.send(text("one"));
    seen.forget();
    let turn = driven.read(&mut vec![0; 64 * 1024], |writer, _| {
        assert_eq!(writer.send(&"ab".repeat(8 * 1024)), Ok(raddle_socket::SendStatus::Queued));
        for _ in 0..3 {
            assert_eq!(writer.send("small"), Ok(raddle_socket::SendStatus::Queued));
        }
        ControlFlow::Continue(())
    });
    assert_eq!((turn, seen.writes().len()), (Turn::Done, 1));
}

#[test]
fn a_peer_that_does_not_take_a_large_answer_is_read_no_more() {
    let (mut driven, mut peer, _seen) = driven(options(|options| options.outgoing_limit = 1000));
    let mut memory = vec![0; 256 * 1024];
    let large = binary(&pattern(32 * 1024, 1));
    let mut answers = 0;
    let mut turn = Turn::Done;
    // The sockets hold a few of them.
    while turn == Turn::Done && answers < 1000 {
        peer.send(large.clone());
        turn = driven.read(&mut memory, |writer, message| {
            writer.send(message).expect("open");
            answers += 1;
            ControlFlow::Continue(())
        });
    }
    assert_eq!(turn, Turn::Held, "after {answers} answers");
    let waiting = driven.writer().queued();
    assert!((1..=32 * 1024 + 4).contains(&waiting), "{waiting} bytes wait: one answer at most");
    while !driven.write() {
        assert!(peer.frame() == large);
        answers -= 1;
    }
    for _ in 0..answers {
        assert!(peer.frame() == large);
    }
}

#[test]
fn a_large_message_asks_for_no_larger_memory_that_is_lent() {
    let (mut driven, mut peer, _) = driven(options(|_| ()));
    let bytes = peer.encode(&binary(&pattern(1_000_000, 1)));
    let mut memory = vec![0; 64 * 1024];
    let (first, rest) = bytes.split_at(memory.len());
    peer.send_bytes(first);
    let turn = driven.read(&mut memory, |_, _| unreachable!());
    assert_eq!(turn, Turn::Done, "it was filled, and what comes next is not read into it");
    peer.send_bytes(&rest[..1000]);
    assert_eq!(driven.read(&mut memory, |_, _| unreachable!()), Turn::Done);
    // Many small ones are another matter.
    let (mut driven, mut peer, _) = self::driven(options(|_| ()));
    let small = peer.encode(&binary(&pattern(1000, 1))).repeat(100);
    peer.send_bytes(&small);
    assert_eq!(driven.read(&mut memory, |_, _| ControlFlow::Continue(())), Turn::Full);
}

#[test]
fn memory_that_one_message_has_grown_into_does_for_the_next_and_is_counted_with_it() {
    let budget = Budget::new(64 << 20);
    let (mut driven, mut peer, _) = driven(options(|options| options.budget = Some(budget.clone())));
    let message = binary(&pattern(1_000_000, 1));
    let bytes = peer.encode(&message);
    let mut memory = vec![0; 64 * 1024];
    for round in 0..3 {
        let mut messages = 0;
        for (number, part) in bytes.chunks(40_000).enumerate() {
            peer.send_bytes(part);
            let turn = driven.read(&mut memory, |_, received| {
                assert!(received.as_bytes() == message.payload);
                messages += 1;
                ControlFlow::Continue(())
            });
            assert!(matches!(turn, Turn::Done | Turn::Full), "{turn:?}");
            if round > 0 && number == 0 {
                assert!(!has_large_spares(), "what was kept is taken for it");
                // It is counted in steps of 4 KiB.
                assert!(budget.used() + 4096 > message.payload.len(), "{} bytes are counted", budget.used());
            }
        }
        assert_eq!(messages, 1);
        assert!(has_large_spares());
        assert_eq!(budget.used(), 0);
    }
}

#[test]
fn a_torn_message_takes_as_much_memory_again_as_has_come_and_no_more_than_it_needs() {
    for (length, most, full) in [(1_000_000, 2 * 64 * 1024, Turn::Done), (65_536, 65_536 + 2048, Turn::Full)] {
        let budget = Budget::new(64 << 20);
        let (mut driven, mut peer, _) = driven(options(|options| options.budget = Some(budget.clone())));
        let bytes = peer.encode(&binary(&pattern(length, 1)));
        let mut memory = vec![0; 64 * 1024];
        let (first, rest) = bytes.split_at(memory.len());
        peer.send_bytes(first);
        assert_eq!(driven.read(&mut memory, |_, _| unreachable!()), full, "only the latter would have a place in more");
        assert!((60_000..=most).contains(&budget.used()), "{} bytes for one of {length}", budget.used());
        peer.send_bytes(&rest[..rest.len().min(10)]);
        assert_eq!(driven.read(&mut memory, |_, _| ControlFlow::Continue(())), Turn::Done);
        assert!(budget.used() <= most, "{} bytes for one of {length}", budget.used());
    }
}

#[test]
fn a_header_that_announces_much_takes_no_memory_that_is_kept_for_large_messages() {
    let (mut driven, mut peer, _) = driven(options(|_| ()));
    let piece = vec![0; 3 << 19];
    let place = piece.as_ptr_range();
    keep_input(piece);
    let message = binary(&pattern(1_000_000, 1));
    let bytes = peer.encode(&message);
    let mut memory = vec![0; 64 * 1024];
    // The header and a byte, and then as little with each read as a network brings.
    let mut sent = 15;
    peer.send_bytes(&bytes[..sent]);
    assert_eq!(driven.read(&mut memory, |_, _| unreachable!()), Turn::Done);
    assert!(has_large_spares(), "it is left for who has the message to go with it");
    let mut messages = 0;
    while sent < bytes.len() {
        let next = (sent + 10_000).min(bytes.len());
        peer.send_bytes(&bytes[sent..next]);
        sent = next;
        let turn = driven.read(&mut memory, |_, received| {
            assert!(received.as_bytes() == message.payload);
            assert!(place.contains(&received.as_bytes().as_ptr()), "it has come together in what was kept for it");
            messages += 1;
            ControlFlow::Continue(())
        });
        assert_eq!(turn, Turn::Done);
    }
    assert_eq!(messages, 1);
    assert!(has_large_spares(), "the next one finds it again");
}

fn large() -> Limits {
    Limits::default().message(16 << 20)
}

/// Sends bytes, and reads what has come of them.
fn receive(driven: &mut Driven, peer: &mut Peer<UnixStream>, bytes: &[u8], memory: &mut Vec<u8>) -> usize {
    let mut messages = 0;
    for part in bytes.chunks(50_000) {
        peer.send_bytes(part);
        for _ in 0..2 {
            driven.read(memory, |_, _| {
                messages += 1;
                ControlFlow::Continue(())
            });
        }
    }
    messages
}

#[test]
fn memory_of_another_message_makes_nobody_the_one_that_has_the_most() {
    let budget = Budget::new(8 << 20);
    let other = || driven(options(|options| (options.budget, options.limits) = (Some(budget.clone()), large())));
    let (mut memory, frame) = (vec![0; 64 * 1024], |length| binary(&pattern(length, 1)));
    let (mut before, mut peer, _) = other();
    let bytes = peer.encode(&frame(5_000_000));
    assert_eq!(receive(&mut before, &mut peer, &bytes, &mut memory), 1);
    assert!(has_large_spares() && budget.used() == 0, "{} bytes are counted", budget.used());
    let (mut small, mut peer, _) = other();
    let bytes = peer.encode(&frame(300_000));
    receive(&mut small, &mut peer, &bytes[..40_000], &mut memory);
    assert!(budget.used() <= 300_000, "{} bytes are counted", budget.used());
    let (mut large, mut peer, _) = other();
    let bytes = peer.encode(&frame(5_000_000));
    receive(&mut large, &mut peer, &bytes[..4_300_000], &mut memory);
    assert_eq!([small.writer().state(), large.writer().state()], [State::Open; 2], "{} bytes", budget.used());
}

#[test]
fn a_message_fits_a_budget_that_is_somewhat_larger() {
    for size in (2_000_000..4_000_000).step_by(230_000) {
        let budget = Budget::new(size + size / 8);
        let (mut driven, mut peer, _) =
            driven(options(|options| (options.budget, options.limits) = (Some(budget.clone()), large())));
        let bytes = peer.encode(&binary(&pattern(size, 1)));
        assert_eq!(receive(&mut driven, &mut peer, &bytes, &mut vec![0; 64 * 1024]), 1, "{size} bytes");
        drop_large_spares();
    }
}

#[cfg(feature = "deflate")]
#[test]
fn what_is_inflated_is_counted_once() {
    use raddle_core::deflate::Compressor;

    let (deflate, budget) = (raddle_socket::Deflate::default(), Budget::new(64 << 20));
    let options = options(|options| (options.budget, options.limits) = (Some(budget.clone()), large()));
    let (connection, mut peer, _seen) = deflating_observed(Role::Server, deflate, options);
    drive_on_this_thread();
    let mut driven = Driven::new(connection.split().0, Arc::new(Loop), 1);
    // Four bytes of it are about one when compressed.
    let plain: Vec<u8> = pattern(3_000_000, 1).iter().map(|byte| byte % 4).collect();
    let data =
        Compressor::new(&deflate, Role::Client).compress(raddle_socket::Message::Binary(&plain)).as_bytes().to_vec();
    let mut bytes = peer.encode(&binary(&data));
    bytes[0] |= 0x40;
    let half = bytes.len() / 2;
    assert_eq!(receive(&mut driven, &mut peer, &bytes[..half], &mut vec![0; 64 * 1024]), 0);
    // A vector has room for twice what is in it.
    assert!((1_000_000..=4_000_000).contains(&budget.used()), "{} bytes are counted", budget.used());
}

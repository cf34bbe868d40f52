//! What a peer can make this side hold: a bound that neither the time nor the amount of what passes has a say in.

mod common;

use std::io::{ErrorKind, Read};
use std::thread;
use std::time::{Duration, Instant};

use common::allocator::{Counting, held};
use common::*;
use parking_lot::Mutex;
use raddle_core::OpCode;
use raddle_socket::{Budget, Delivery, Message, Options, Publication, Role, SendError, SendStatus};

#[global_allocator]
static COUNTING: Counting = Counting;

/// What the whole process holds is measured, so the tests run one at a time.
static ALONE: Mutex<()> = Mutex::new(());

const KIB: isize = 1024;
const MIB: isize = 1024 * KIB;

/// The most that was held above `before`, looked at for `time`.
fn most_held(before: isize, time: Duration) -> isize {
    let start = Instant::now();
    let mut most = 0;
    while start.elapsed() < time {
        most = most.max(held() - before);
        thread::sleep(Duration::from_millis(1));
    }
    most
}

#[test]
fn an_output_that_is_never_empty_keeps_nothing_of_what_was_written() {
    let _alone = ALONE.lock();
    for role in [Role::Server, Role::Client] {
        let (connection, mut peer) = against_peer(role, options(|_| ()));
        let writer = connection.writer();
        let (message, mut bytes) = (pattern(16 * 1024, 1), vec![0; 256 * 1024]);
        peer.stream.set_read_timeout(Some(Duration::from_millis(10))).expect("a socket");
        let before = held();
        let (mut passed, mut most) = (0, 0);
        while passed < 24 << 20 {
            let mut sent = Ok(SendStatus::Sent);
            while sent.is_ok() {
                sent = writer.try_send(&message);
            }
            assert_eq!(sent, Err(SendError::Full));
            // A part of what waits, so that there is always some of it.
            match peer.stream.read(&mut bytes) {
                Ok(count) => passed += count,
                // All of it has left while it was being tried.
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
            most = most.max(held() - before);
            let queued = writer.queued();
            assert!(queued <= (1 << 20) + message.len() + 14, "{queued} bytes wait after {passed}, of the {role:?}");
        }
        // The outgoing limit: in the output, and twice in what was taken from it, of which the written part is given back
        // once it is the larger one.
        assert!(most < 5 * MIB, "{} KiB are held at most, by the {role:?}", most / KIB);
    }
}

#[test]
fn a_flood_for_a_reader_that_is_away_takes_a_bounded_memory() {
    // Hostile inputs 153, 155 and 226.
    let _alone = ALONE.lock();
    let cases = [
        // Control frames are taken all the time, four reads of 64 KiB in a row, and as many Pings are answered at once.
        (pong(&[7; 125]), true, 200 * KIB),
        (ping(&[7; 125]), true, 600 * KIB),
        // Of messages, sixteen or what reaches the message limit.
        (text("tiny"), false, 200 * KIB),
        (binary(&[7; 4_000]), false, 200 * KIB),
        // The last one may pass the limit by itself, and then there is the buffer that it was received in.
        (binary(&[7; 900_000]), false, 4 * MIB),
        // A fragmented message without an end, which fails.
        (fragment(OpCode::Continuation, b""), false, 200 * KIB),
    ];
    for (frame, goes_on, bound) in cases {
        let (_reader, _writer, mut peer) = with_reader_away(Role::Server, options(|_| ()));
        if frame.opcode == OpCode::Continuation {
            peer.send(fragment(OpCode::Text, b"begun"));
        }
        let flood = Flood::of(&frame, peer);
        // Without what the flooding itself holds.
        eventually("it floods", || flood.taken() > 0);
        let before = held();
        let mut most = most_held(before, Duration::from_millis(500));
        // However little of that time the machine leaves it.
        eventually("it floods on", || {
            most = most.max(most_held(before, Duration::from_millis(10)));
            !goes_on || flood.taken() as isize > MIB
        });
        assert!(most < bound, "{} KiB are held at most, for {frame:?}", most / KIB);
    }
}

#[test]
fn what_waits_for_the_end_of_a_message_is_bounded_as_memory_and_counts_in_the_budget() {
    let _alone = ALONE.lock();
    let budget = Budget::new(1 << 30);
    let (connection, mut peer) = against_peer(Role::Server, options(|options| options.budget = Some(budget.clone())));
    let writer = connection.writer();
    // The smallest publications, as many as are taken.
    let publication = Publication::new(Message::Text("x"), &Options::default(), &[]);
    let mut message = writer.begin();
    message.send("begun").expect("there is room");
    let (before, mut count) = (held(), 0);
    while writer.publish(&publication) == Delivery::Sent {
        count += 1;
    }
    let taken = held() - before;
    assert!(taken <= MIB + MIB / 4, "{count} publications take {taken} bytes, and 1 MiB is allowed");
    assert!(count > 10_000 && budget.used() > 1_000_000, "{count} publications, {} bytes", budget.used());
    message.finish("ended").expect("it is the next");
    for expected in [fragment(OpCode::Text, b"begun"), last_fragment(b"ended")] {
        assert_eq!(peer.frame(), expected);
    }
    for _ in 0..count {
        assert_eq!(peer.frame(), text("x"));
    }
    eventually("nothing is counted any more", || budget.used() == 0);
}

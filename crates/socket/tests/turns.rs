//! Who waits for whom: deadlines of those who write, turns of those who wait, and what wakes them.

mod common;

use std::io::Read;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use common::*;
use raddle_core::OpCode;
use raddle_socket::{
    Cause, Close, CloseCode, Delivery, Message, Options, Publication, Role, SendError, SendStatus, State,
};

const MIB: usize = 1 << 20;
/// Well before any deadline that would end the wait as well, on a busy machine too.
const PROMPTLY: Duration = Duration::from_secs(10);

#[test]
fn a_send_to_a_peer_that_does_not_read_ends_at_the_write_deadline() {
    // Hostile inputs 242 and 244: it is there and does not read, or it is there no more, which looks the same.
    for role in [Role::Server, Role::Client] {
        let (mut connection, _peer) = against_peer(
            role,
            options(|options| {
                options.write_timeout = Duration::from_millis(300);
                options.min_rate = u64::MAX;
            }),
        );
        let (connection, took) = within(LIMIT, move || {
            let start = Instant::now();
            assert_eq!(connection.send(&vec![0; 8 * MIB]), Err(SendError::Timeout));
            let took = start.elapsed();
            assert_eq!(connection.state(), State::Closed);
            assert_eq!(connection.send("more"), Err(SendError::Closed));
            assert_eq!(connection.next_message().map_err(|end| end.cause), Err(Cause::WriteTimeout));
            (connection, took)
        });
        drop(connection);
        assert!((Duration::from_millis(300)..Duration::from_secs(5)).contains(&took), "{role:?}: {took:?}");
    }
}

#[test]
fn a_peer_that_takes_a_little_now_and_then_does_not_move_the_write_deadline() {
    // Hostile input 240.
    let (connection, peer) = against_peer(
        Role::Server,
        options(|options| {
            options.write_timeout = Duration::from_millis(500);
            // At this rate the message may take a second more.
            options.min_rate = 8 * MIB as u64;
            options.fragment_size = usize::MAX;
        }),
    );
    let dripping = thread::spawn(move || {
        let mut stream = peer.stream;
        let mut some = [0; 4096];
        while stream.read(&mut some).is_ok_and(|count| count > 0) {
            thread::sleep(Duration::from_millis(20));
        }
    });
    let start = Instant::now();
    let sent = within(LIMIT, move || connection.send(&vec![0; 8 * MIB]));
    assert_eq!(sent, Err(SendError::Timeout));
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
    join(dripping, LIMIT);
}

#[test]
fn a_message_behind_a_large_one_waits_as_long_as_that_one_may_take() {
    // The peer takes 16 MiB in about two seconds, and it might take 64.
    let (connection, mut peer) = against_peer(
        Role::Server,
        options(|options| {
            options.write_timeout = Duration::from_millis(500);
            options.min_rate = MIB as u64 / 4;
        }),
    );
    let writer = connection.writer();
    let large = thread::spawn(move || writer.send(&vec![0; 16 * MIB]));
    let taking = thread::spawn(move || {
        let mut frames = Vec::new();
        while frames.len() < 17 {
            thread::sleep(Duration::from_millis(120));
            frames.push(peer.frame());
        }
        frames.pop()
    });
    thread::sleep(Duration::from_millis(50));
    let small = connection.send("small");
    assert_eq!(join(large, LIMIT).map_err(|error| ("the large one", error)), Ok(SendStatus::Sent));
    assert!(small.is_ok(), "the small one: {small:?}");
    assert_eq!(join(taking, LIMIT), Some(text("small")));
}

#[test]
fn what_waits_for_room_gets_the_time_of_the_message_behind_it() {
    let (connection, mut peer) = against_peer(
        Role::Server,
        options(|options| {
            // With the message, more than a minute.
            options.write_timeout = Duration::from_secs(3);
            options.min_rate = MIB as u64 / 16;
            options.fragment_size = usize::MAX;
        }),
    );
    while connection.writer().try_send(&[0; 10_000]) == Ok(SendStatus::Sent) {}
    let sending = thread::spawn(move || connection.send(&vec![0; 4 * MIB]));
    // The peer takes them in four seconds, or in as many times more as a busy machine makes of it.
    let (mut taken, mut some) = (0, vec![0; 64 * 1024]);
    while taken < 4 * MIB {
        thread::sleep(Duration::from_millis(64));
        match peer.stream.read(&mut some) {
            Ok(count) if count > 0 => taken += count,
            end => panic!("the message ends with {end:?} after {taken} bytes"),
        }
    }
    assert_eq!(join(sending, LIMIT), Ok(SendStatus::Sent));
}

#[test]
fn a_cut_from_another_thread_wakes_whoever_waits() {
    // Hostile input 274: a reader, one that writes, and one that waits for its turn.
    let (connection, _peer) = against_peer(Role::Server, options(|_| ()));
    let (mut reader, writer) = connection.split();
    let reading = thread::spawn(move || reader.next_message().map(|_| ()).map_err(|end| end.cause));
    let of = |length: usize| {
        let writer = writer.clone();
        thread::spawn(move || writer.send(&vec![0; length]))
    };
    // The first one waits for room, the second one for the first.
    let (writing, waiting) = (of(8 * MIB), of(2 * MIB));
    thread::sleep(Duration::from_millis(100));
    assert!(!reading.is_finished() && !writing.is_finished() && !waiting.is_finished());
    let start = Instant::now();
    writer.cut(Cause::Shutdown);
    assert_eq!(join(reading, LIMIT), Err(Cause::Shutdown));
    assert_eq!(join(writing, LIMIT), Err(SendError::Closed));
    assert_eq!(join(waiting, LIMIT), Err(SendError::Closed));
    assert!(start.elapsed() < PROMPTLY, "{:?}", start.elapsed());
}

#[test]
fn a_close_from_another_thread_wakes_whoever_waits() {
    // Hostile inputs 175 and 274: the peer reads nothing until they have returned, and then finds the frame completed.
    let (connection, mut peer, seen) =
        against_peer_observed(Role::Server, options(|options| options.close_timeout = Duration::from_secs(20)));
    let (mut reader, writer) = connection.split();
    let reading = thread::spawn(move || reader.next_message().map(|_| ()).map_err(|end| end.cause));
    let of = |length: usize| {
        let writer = writer.clone();
        thread::spawn(move || writer.send(&vec![0; length]))
    };
    // One of them begins its message, the other one waits for its turn.
    let (writing, waiting) = (of(8 * MIB), of(2 * MIB));
    eventually("one is on its way", || !seen.writes().is_empty());
    thread::sleep(Duration::from_millis(100));
    assert!(!writing.is_finished() && !waiting.is_finished());
    let start = Instant::now();
    writer.close(Close::code(CloseCode::NORMAL)).expect("open");
    assert_eq!(join(writing, LIMIT), Err(SendError::Closed));
    assert_eq!(join(waiting, LIMIT), Err(SendError::Closed));
    assert!(start.elapsed() < PROMPTLY, "{:?}", start.elapsed());
    assert!(!reading.is_finished());
    let mut frames = vec![peer.frame()];
    while frames.last().is_some_and(|frame| frame.opcode != OpCode::Close) {
        frames.push(peer.frame());
    }
    let lengths: Vec<_> = frames.iter().map(|frame| frame.payload.len()).collect();
    assert_eq!(lengths, [MIB, 2], "one fragment, and the Close");
    peer.send(close(1000, ""));
    assert_eq!(join(reading, LIMIT), Ok(()));
}

#[test]
fn a_close_lets_a_thread_go_that_is_amid_the_last_frame_of_its_message() {
    // Hostile input 274: the message is on its way as a whole, and so it is not reported as failed.
    for role in ROLES {
        let unfragmented = || options(|options| options.fragment_size = usize::MAX);
        let (connection, mut peer, seen) = against_peer_observed(role, unfragmented());
        let (_reader, writer) = connection.split();
        let message = pattern(4 * MIB, 1);
        let whole = thread::spawn({
            let (writer, message) = (writer.clone(), message.clone());
            move || writer.send(&message)
        });
        eventually("it is on its way", || !seen.writes().is_empty());
        let start = Instant::now();
        writer.close(Close::code(CloseCode::NORMAL)).expect("open");
        assert_eq!(join(whole, LIMIT), Ok(SendStatus::Queued));
        assert!(start.elapsed() < PROMPTLY, "{role:?}: {:?}", start.elapsed());
        assert!(peer.frame() == binary(&message), "{role:?}");
        assert_eq!(peer.frame(), close(1000, ""));

        // And so it is with a message that is sent in parts.
        let (connection, mut peer, seen) = against_peer_observed(role, unfragmented());
        let (_reader, writer) = connection.split();
        let parts = thread::spawn({
            let (writer, message) = (writer.clone(), message.clone());
            move || {
                let mut parts = writer.begin();
                (parts.send(&message), parts.send(&message))
            }
        });
        eventually("it is on its way", || !seen.writes().is_empty());
        let start = Instant::now();
        writer.close(Close::code(CloseCode::NORMAL)).expect("open");
        assert_eq!(join(parts, LIMIT), (Ok(SendStatus::Queued), Err(SendError::Closed)));
        assert!(start.elapsed() < PROMPTLY, "{role:?}: {:?}", start.elapsed());
        assert!(peer.frame() == fragment(OpCode::Binary, &message), "{role:?}");
        assert_eq!(peer.frame(), close(1000, ""));
    }
}

#[test]
fn a_thread_that_waits_for_room_sleeps_until_there_is_some() {
    let (connection, mut peer) = against_peer(Role::Server, options(|_| ()));
    let (tell, told) = mpsc::channel();
    let sending = thread::spawn(move || {
        let _ = tell.send(std::fs::read_link("/proc/thread-self"));
        connection.send(&vec![7; 8 * MIB])
    });
    let thread = told.recv().expect("it runs").expect("it has a place in /proc");
    let status = Path::new("/proc").join(thread).join("status");
    let wake_ups = || -> u64 {
        let status = std::fs::read_to_string(&status).expect("it waits");
        let field = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        field.and_then(|count| count.trim().parse().ok()).expect("the kernel counts them")
    };
    // What the socket takes is written, and the first look is over.
    thread::sleep(Duration::from_millis(300));
    let before = wake_ups();
    thread::sleep(Duration::from_secs(1));
    let woken = wake_ups() - before;
    assert!(woken <= 2, "woken {woken} times for nothing");
    // It goes on at once where there is room, and once more.
    for _ in 0..8 {
        assert_eq!(peer.frame().payload.len(), MIB);
        thread::sleep(Duration::from_millis(60));
    }
    assert_eq!(join(sending, LIMIT), Ok(SendStatus::Sent));
}

#[test]
fn publications_keep_their_order_while_the_last_fragment_before_them_is_written() {
    let fragment = 8 * MIB;
    let (connection, mut peer) = against_peer(Role::Server, options(|options| options.fragment_size = fragment));
    let (_reader, writer) = connection.split();
    let publish = |text| {
        let publication = Publication::new(Message::Text(text), &Options::default(), &[]);
        assert_eq!(writer.publish(&publication), Delivery::Sent);
    };
    let sending = thread::spawn({
        let writer = writer.clone();
        move || writer.send(&vec![7; 2 * fragment])
    });
    thread::sleep(Duration::from_millis(200));
    // It waits for the end of the message.
    publish("first");
    assert_eq!(peer.frame().payload.len(), fragment);
    thread::sleep(Duration::from_millis(200));
    // The last fragment is on its way, and waits for room.
    assert!(!sending.is_finished());
    publish("second");
    assert_eq!(peer.frame().payload.len(), fragment);
    assert_eq!(join(sending, LIMIT), Ok(SendStatus::Sent));
    assert_eq!([peer.frame(), peer.frame()], [text("first"), text("second")]);
}

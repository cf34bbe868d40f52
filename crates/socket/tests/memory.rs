//! Memory: an echo allocates nothing, and a connection gives back what it needs no longer.

mod common;

use std::thread;
use std::time::{Duration, Instant};

use common::allocator::{Counting, allocations, held};
use common::*;
use parking_lot::Mutex;
use raddle_core::OpCode;
use raddle_socket::{Close, CloseCode, Message, Role};

#[global_allocator]
static COUNTING: Counting = Counting;

/// The tests of what the whole process holds run one at a time.
static ALONE: Mutex<()> = Mutex::new(());

#[test]
fn an_echo_allocates_nothing() {
    // Hostile input 231.
    let _alone = ALONE.lock();
    let mut allocating = Vec::new();
    for role in [Role::Server, Role::Client] {
        for length in [0, 10, 125, 1_000, 3_000, 6_000, 16_384, 60_000] {
            let (connection, mut peer) = against_peer(role, options(|_| ()));
            let peer = thread::spawn(move || {
                let message = peer.encode(&binary(&pattern(length, 1)));
                for _ in 0..300 {
                    peer.send_bytes(&message);
                    assert_eq!(peer.frame().payload.len(), length);
                }
                peer
            });
            let (mut reader, writer) = connection.split();
            let mut echo = |count: usize| {
                let before = allocations();
                for _ in 0..count {
                    let message = reader.next_message().expect("open").expect("open");
                    writer.send(message).expect("the peer takes it");
                }
                allocations() - before
            };
            // Until the buffers have the size that they need.
            echo(100);
            let more = echo(200);
            // A busy machine moves threads to other processors, and takes them from what they do: memory is kept for each
            // processor, and given back where nothing was done for a while.
            if more > 8 {
                allocating.push((role, length, more));
            }
            drop(join(peer, LIMIT));
        }
    }
    assert_eq!(allocating, [], "role, bytes of a message, allocations for 200 of them");
}

#[test]
fn fragments_and_pongs_have_memory_that_was_used_before() {
    let _alone = ALONE.lock();
    for role in [Role::Server, Role::Client] {
        let (connection, mut peer) = against_peer(role, options(|_| ()));
        let peer = thread::spawn(move || {
            for _ in 0..300 {
                peer.send(ping(b"?"));
                assert_eq!(peer.frame().opcode, OpCode::Pong);
                peer.send(text("send it"));
                let count = (0..4).map(|_| peer.frame().payload.len()).sum::<usize>();
                assert_eq!(count, 4 * 16_384);
            }
            peer
        });
        let (mut reader, writer) = connection.split();
        let fragment = pattern(16_384, 1);
        let mut answer = |count: usize| {
            let before = allocations();
            for _ in 0..count {
                assert_eq!(reader.next_message().expect("open"), Some(Message::Text("send it")));
                let mut message = writer.begin();
                for _ in 0..3 {
                    message.send(&fragment[..]).expect("the peer takes it");
                }
                message.finish(&fragment[..]).expect("the peer takes it");
            }
            allocations() - before
        };
        answer(100);
        let more = answer(200);
        // A message in fragments has a place for its state; and a thread that is kept waiting may find that what it had was given back.
        assert!(more < 2 * 200, "{more} allocations for 200 Pings and 800 fragments, of the {role:?}");
        drop(join(peer, LIMIT));
    }
}

/// What the process holds more than `before`, once that is less than `bound`, or has not been for ten seconds: a thread that is to give
/// something back may not have got to it.
fn more_at_rest(before: isize, bound: isize) -> isize {
    let start = Instant::now();
    loop {
        let more = held_at_rest() - before;
        if more < bound || start.elapsed() > Duration::from_secs(10) {
            return more;
        }
    }
}

/// What the process holds, once that has come to rest.
fn held_at_rest() -> isize {
    let mut before = held();
    loop {
        thread::sleep(Duration::from_millis(400));
        let now = held();
        if now == before {
            return now;
        }
        before = now;
    }
}

#[test]
fn an_idle_connection_gives_back_what_a_large_message_took() {
    // Hostile input 231: what a large message took is not kept.
    let _alone = ALONE.lock();
    for role in [Role::Server, Role::Client] {
        let (connection, mut peer) = against_peer(role, options(|_| ()));
        let (mut reader, writer) = connection.split();
        let echoing = thread::spawn(move || {
            while let Ok(Some(message)) = reader.next_message() {
                writer.send(message).expect("the peer takes it");
            }
        });
        peer.send(text("small"));
        assert_eq!(peer.frame(), text("small"));
        drop(std::mem::take(&mut peer.received));
        let before = held_at_rest();
        for _ in 0..3 {
            let large = binary(&pattern(1_000_000, 1));
            let bytes = peer.encode(&large);
            let mut stream = peer.stream.try_clone().expect("a descriptor");
            let sending = thread::spawn(move || std::io::Write::write_all(&mut stream, &bytes));
            assert!(peer.frame() == large);
            join(sending, LIMIT).expect("open");
        }
        drop(std::mem::take(&mut peer.received));
        let more = more_at_rest(before, 1_024);
        assert!(more < 1_024, "{more} bytes more than before, of the {role:?}");
        drop(peer);
        join(echoing, LIMIT);
    }
}

#[test]
fn a_connection_that_only_sends_gives_back_what_that_took() {
    let _alone = ALONE.lock();
    let often = options(|options| options.ping_interval = Some(Duration::from_millis(100)));
    let (mut connection, mut peer) = against_peer(Role::Client, often);
    let writer = connection.writer();
    let waiting = thread::spawn(move || connection.next_message().map(|_| ()));
    let message = pattern(50_000, 1);
    let before = held_at_rest();
    for _ in 0..10 {
        writer.send(&message).expect("open");
        while peer.frame().opcode == OpCode::Ping {}
    }
    peer.received = Vec::new();
    let more = more_at_rest(before, 4_096);
    assert!(more < 4_096, "{more} bytes more than before");
    drop(peer);
    let _ = join(waiting, LIMIT);
}

#[test]
fn connections_that_send_in_turn_share_the_memory_for_it() {
    const CONNECTIONS: usize = 32;
    let _alone = ALONE.lock();
    let message = pattern(6_000, 1);
    let mut pairs: Vec<_> = (0..CONNECTIONS).map(|_| against_peer(Role::Server, options(|_| ()))).collect();
    let mut before = None;
    for (connection, peer) in &mut pairs {
        connection.writer().send(&message).expect("open");
        assert_eq!(peer.frame().payload.len(), message.len());
        peer.received = Vec::new();
        before.get_or_insert_with(held);
    }
    let more = held() - before.expect("there are some");
    let each = more / (CONNECTIONS as isize - 1);
    assert!(each < 1_024, "{each} bytes more for each of them");
}

#[test]
fn an_idle_connection_holds_a_few_kilobytes() {
    // Hostile input 235: what an idle connection takes beside its stack.
    let _alone = ALONE.lock();
    const CONNECTIONS: usize = 100;
    let warm = both_ends(options(|_| ()), options(|_| ()));
    let before = held_at_rest();
    let (mut threads, mut peers) = (Vec::new(), Vec::new());
    for _ in 0..CONNECTIONS {
        let (connection, mut peer) = against_peer(Role::Server, options(|_| ()));
        let (mut reader, writer) = connection.split();
        threads.push(thread::Builder::new().stack_size(64 * 1024).spawn(move || {
            while let Ok(Some(message)) = reader.next_message() {
                writer.send(message).expect("the peer takes it");
            }
        }));
        peer.send(text("Hello"));
        assert_eq!(peer.frame(), text("Hello"));
        peer.received = Vec::new();
        peers.push(peer);
    }
    let each = more_at_rest(before, 4 * 1024 * CONNECTIONS as isize) / CONNECTIONS as isize;
    // A receive buffer of 2 KiB and the connection itself; a thread's own bookkeeping is in it too.
    assert!(each < 4 * 1024, "{each} bytes for each connection");
    drop((peers, warm));
    for thread in threads {
        join(thread.expect("a thread"), LIMIT);
    }
}

#[test]
fn connections_that_have_ended_leave_nothing() {
    let _alone = ALONE.lock();
    let round = |count: u32| {
        for number in 0..count {
            // Timers that are never due have to be given up all the same.
            let patient = || {
                options(|options| {
                    options.ping_interval = (number % 2 == 0).then_some(Duration::MAX);
                    options.message_timeout = Duration::MAX;
                })
            };
            let (mut client, server) = both_ends(patient(), patient());
            server.send("Hello").expect("open");
            assert_eq!(client.next_message(), Ok(Some(Message::Text("Hello"))));
            match number % 3 {
                0 => drop((client, server)),
                1 => drop((server, client)),
                _ => {
                    let closing = thread::spawn(move || client.close(Close::code(CloseCode::NORMAL)));
                    assert!(
                        join(thread::spawn(move || server.close(Close::code(CloseCode::NORMAL))), LIMIT).is_clean()
                    );
                    join(closing, LIMIT);
                }
            }
        }
    };
    // The tables that all connections share grow with the first ones.
    round(300);
    let before = held_at_rest();
    round(300);
    let more = more_at_rest(before, 40_000);
    // Less than a tenth of what 600 connections hold.
    assert!(more < 40_000, "{more} bytes more than before");
}

#[test]
fn what_is_read_ahead_and_what_is_queued_are_given_back() {
    let _alone = ALONE.lock();
    let (mut connection, mut peer) = against_peer(Role::Server, options(|_| ()));
    peer.send(text("first"));
    assert_eq!(connection.next_message(), Ok(Some(Message::Text("first"))));
    peer.received = Vec::new();
    let before = held_at_rest();
    // The reader is away: a megabyte is read ahead, and one waits to be written.
    for _ in 0..10 {
        peer.send(binary(&[0; 100_000]));
    }
    let mut queued = 0;
    while connection.writer().try_send(&[0; 50_000]).is_ok() {
        queued += 1;
    }
    eventually("a megabyte is read ahead", || held() - before > 1_900_000);
    for _ in 0..10 {
        assert!(connection.next_message().is_ok());
    }
    for _ in 0..queued {
        assert_eq!(peer.frame().payload.len(), 50_000);
    }
    peer.received = Vec::new();
    let waiting = thread::spawn(move || connection.next_message().map(|_| ()));
    let more = more_at_rest(before, 4_096);
    assert!(more < 4_096, "{more} bytes more than before");
    drop(peer);
    let _ = join(waiting, LIMIT);
}

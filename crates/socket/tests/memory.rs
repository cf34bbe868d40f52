//! Memory: an echo allocates nothing, and a connection gives back what it needs no longer.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicIsize, Ordering};
use std::thread;
use std::time::Duration;

use common::*;
use parking_lot::Mutex;
use raddle_core::OpCode;
use raddle_socket::{Close, CloseCode, Message, Role};

/// The system's allocator, which counts.
struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

/// Bytes that the whole process holds.
static HELD: AtomicIsize = AtomicIsize::new(0);

thread_local! {
    /// Allocations of this thread.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    HELD.fetch_add(bytes, Ordering::Relaxed);
    if bytes > 0 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
    }
}

// SAFETY: every call is handed on to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller keeps the contract.
        unsafe { System.dealloc(memory, layout) };
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(-(layout.size() as isize));
        count(size as isize);
        // SAFETY: the caller keeps the contract.
        unsafe { System.realloc(memory, layout, size) }
    }
}

/// The tests of what the whole process holds run one at a time.
static ALONE: Mutex<()> = Mutex::new(());

#[test]
fn an_echo_allocates_nothing() {
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
                let before = ALLOCATIONS.get();
                for _ in 0..count {
                    let message = reader.next_message().expect("open").expect("open");
                    writer.send(message).expect("the peer takes it");
                }
                ALLOCATIONS.get() - before
            };
            // Until the buffers have the size that they need.
            echo(100);
            let allocations = echo(200);
            if allocations > 0 {
                allocating.push((role, length, allocations));
            }
            drop(join(peer, LIMIT));
        }
    }
    assert_eq!(allocating, [], "role, bytes of a message, allocations for 200 of them");
}

/// What the process holds, once that has come to rest.
fn held() -> isize {
    let mut before = HELD.load(Ordering::Relaxed);
    loop {
        thread::sleep(Duration::from_millis(400));
        let now = HELD.load(Ordering::Relaxed);
        if now == before {
            return now;
        }
        before = now;
    }
}

#[test]
fn an_idle_connection_gives_back_what_a_large_message_took() {
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
        let before = held();
        for _ in 0..3 {
            let large = binary(&pattern(1_000_000, 1));
            let bytes = peer.encode(&large);
            let mut stream = peer.stream.try_clone().expect("a descriptor");
            let sending = thread::spawn(move || std::io::Write::write_all(&mut stream, &bytes));
            assert!(peer.frame() == large);
            join(sending, LIMIT).expect("open");
        }
        drop(std::mem::take(&mut peer.received));
        let more = held() - before;
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
    let before = held();
    for _ in 0..10 {
        writer.send(&message).expect("open");
        while peer.frame().opcode == OpCode::Ping {}
    }
    peer.received = Vec::new();
    let more = held() - before;
    assert!(more < 4_096, "{more} bytes more than before");
    drop(peer);
    let _ = join(waiting, LIMIT);
}

#[test]
fn an_idle_connection_holds_a_few_kilobytes() {
    let _alone = ALONE.lock();
    const CONNECTIONS: usize = 100;
    let warm = both_ends(options(|_| ()), options(|_| ()));
    let before = held();
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
    let each = (held() - before) / CONNECTIONS as isize;
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
    let before = held();
    round(300);
    let more = held() - before;
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
    let before = held();
    // The reader is away: a megabyte is read ahead, and one waits to be written.
    for _ in 0..10 {
        peer.send(binary(&[0; 100_000]));
    }
    let mut queued = 0;
    while connection.writer().try_send(&[0; 50_000]).is_ok() {
        queued += 1;
    }
    eventually("a megabyte is read ahead", || HELD.load(Ordering::Relaxed) - before > 1_900_000);
    for _ in 0..10 {
        assert!(connection.next_message().is_ok());
    }
    for _ in 0..queued {
        assert_eq!(peer.frame().payload.len(), 50_000);
    }
    peer.received = Vec::new();
    let waiting = thread::spawn(move || connection.next_message().map(|_| ()));
    let more = held() - before;
    assert!(more < 4_096, "{more} bytes more than before");
    drop(peer);
    let _ = join(waiting, LIMIT);
}

//! What the attendant costs: nothing while all are idle, and little whatever the options are. It is the process's only one,
//! so these tests have a process of their own, and run one at a time.

mod common;

use std::fs;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use common::*;
use parking_lot::Mutex;
use raddle_socket::{Role, Writer};

static ALONE: Mutex<()> = Mutex::new(());

/// A file of the attendant's directory in `/proc`. The system cuts the thread's name to 15 bytes.
fn of_attendant(file: &str) -> String {
    let mut found = Vec::new();
    // A thread that is just being started has no name of its own yet.
    eventually("the attendant is there", || {
        found.clear();
        for task in fs::read_dir("/proc/self/task").expect("Linux") {
            let task = task.expect("a thread").path();
            // A thread that has ended meanwhile is not the one.
            if fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim_end() == "raddle attendan") {
                found.push(fs::read_to_string(task.join(file)).expect("it never ends"));
            }
        }
        !found.is_empty()
    });
    let [text] = found.try_into().unwrap_or_else(|found: Vec<_>| panic!("{} attendants", found.len()));
    text
}

/// How often the attendant has gone to sleep of its own accord, and so has woken.
fn wakes() -> u64 {
    let status = of_attendant("status");
    let count = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")).expect("a count");
    count.trim().parse().expect("a number")
}

/// The processor time that the attendant has used.
fn processor_time() -> Duration {
    let statistics = of_attendant("schedstat");
    let nanoseconds = statistics.split_whitespace().next().expect("three numbers");
    Duration::from_nanos(nanoseconds.parse().expect("a number"))
}

/// A connection whose reader echoes and waits for the next message.
fn echoing(role: Role) -> (Peer<UnixStream>, Writer) {
    let (connection, peer) = against_peer(role, options(|_| ()));
    let (mut reader, writer) = connection.split();
    let kept = writer.clone();
    thread::spawn(move || {
        while let Ok(Some(message)) = reader.next_message() {
            if writer.send(message).is_err() {
                break;
            }
        }
    });
    (peer, kept)
}

#[test]
fn the_attendant_of_an_idle_process_sleeps() {
    let _alone = ALONE.lock();
    let mut connections: Vec<_> = (0..50).map(|number| echoing([Role::Server, Role::Client][number % 2])).collect();
    for (peer, _) in &mut connections {
        peer.send_all(&[text("one"), ping(b"amid"), text("two")]);
        while peer.frame() != text("two") {}
    }
    let busy = wakes();
    thread::sleep(Duration::from_secs(1));
    assert!(wakes() > busy + 4, "the test is about an attendant that looks after readers at first");
    // After 5 s it looks for them no more; on a busy machine the last look is late.
    thread::sleep(Duration::from_secs(4));
    let woken: Vec<_> = (0..6)
        .map(|_| {
            let before = wakes();
            thread::sleep(Duration::from_secs(2));
            wakes() - before
        })
        .take_while(|woken| *woken > 3)
        .collect();
    assert!(woken.len() < 6, "woken so many times in 2 s each, without anything to do: {woken:?}");
    // And it is there when it is needed.
    for (peer, writer) in &mut connections {
        peer.send(text("again"));
        assert_eq!(peer.frame(), text("again"));
        assert!(writer.send("still here").is_ok());
    }
}

#[test]
fn the_shortest_times_do_not_make_the_attendant_spin() {
    // Hostile input 248.
    let _alone = ALONE.lock();
    let (mut connection, _peer) = against_peer(
        Role::Server,
        options(|options| {
            options.ping_timeout = Duration::ZERO;
            options.close_timeout = Duration::ZERO;
            options.write_timeout = Duration::ZERO;
            options.message_timeout = Duration::ZERO;
        }),
    );
    let writer = connection.writer();
    let waiting = thread::spawn(move || connection.next_message().map(|_| ()));
    let before = processor_time();
    thread::sleep(Duration::from_secs(1));
    let used = processor_time() - before;
    assert!(used < Duration::from_millis(300), "{used:?} of a second");
    writer.cut(raddle_socket::Cause::Dropped);
    let _ = join(waiting, LIMIT);
}

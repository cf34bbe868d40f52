//! A child process that `fork` makes: it draws masking keys of its own, and has no thread that helps it.

mod common;

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use common::*;
use parking_lot::Mutex;
use raddle_socket::{Connection, Options, Role, SendStatus, Socket};

/// A child has the memory of the whole process, whatever another test is amid of.
static ALONE: Mutex<()> = Mutex::new(());

/// Runs `body` in a child process, which ends with its number; not later than in 20 seconds. What that has of `value` is its own.
fn in_child<T>(value: T, body: impl FnOnce(T) -> u8) -> (libc::pid_t, T) {
    // SAFETY: the child uses nothing that another thread may have locked, and leaves.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "a process can be made");
    if child == 0 {
        // SAFETY: the signal ends the process, if nothing else does.
        unsafe { libc::alarm(20) };
        let number = body(value);
        // SAFETY: ends the process at once, without the parent's exit handlers.
        unsafe { libc::_exit(number.into()) };
    }
    (child, value)
}

#[track_caller]
fn expect_success(child: libc::pid_t) {
    let mut status = -1;
    // SAFETY: the process was made by the test, and `status` is a place for its status.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert_eq!(status, 0, "the child has failed");
}

#[test]
fn a_child_process_waits_for_room_by_itself_and_leaves_its_parents_connections_alone() {
    let _alone = ALONE.lock();
    let (connection, mut peer) = against_peer(Role::Server, options(|options| options.ping_interval = None));
    let message = pattern(4 << 20, 1);
    let (child, connection) = in_child(connection, |connection| {
        let sent = connection.send(&message);
        let refused = UnixStream::pair().and_then(|(one, _other)| {
            Connection::new(Socket::unix(one)?, Role::Server, b"", Options::default()).map(drop)
        });
        let is_refused = refused.is_err_and(|error| error.kind() == io::ErrorKind::Unsupported);
        drop(connection);
        u8::from(sent != Ok(SendStatus::Sent)) + 2 * u8::from(!is_refused)
    });
    // Longer than a thread looks for room before it has the attendant do that.
    thread::sleep(Duration::from_millis(300));
    let mut received = Vec::new();
    while received.len() < message.len() {
        received.extend(peer.frame().payload);
    }
    assert!(received == message, "it is damaged");
    expect_success(child);
    peer.send(text("still there?"));
    assert_eq!(peer.frame_within(Duration::from_millis(50)), None);
    connection.send("still here").expect("open");
    assert_eq!(peer.frame(), text("still here"));
}

#[test]
fn the_masking_keys_of_a_child_process_are_its_own() {
    let _alone = ALONE.lock();
    // Hostile input 271. The parent has drawn keys that it has not used yet, and the child has a copy of them.
    let (connection, mut peer) = against_peer(Role::Client, options(|options| options.ping_interval = None));
    connection.send("before").expect("open");
    assert_eq!(peer.frame(), text("before"));
    let (child, connection) =
        in_child(connection, |connection| u8::from(!(0..20).all(|_| connection.send("child").is_ok())));
    for _ in 0..20 {
        assert_eq!(peer.frame(), text("child"));
    }
    expect_success(child);
    for _ in 0..20 {
        connection.send("parent").expect("open");
        assert_eq!(peer.frame(), text("parent"));
    }
    let (of_child, of_parent) = peer.keys[1..].split_at(20);
    let shared: Vec<_> = of_child.iter().filter(|key| of_parent.contains(key)).collect();
    assert!(shared.is_empty(), "parent and child have both used {shared:?}");
}

#[test]
fn what_a_child_process_answers_leaves_though_more_messages_are_there() {
    let _alone = ALONE.lock();
    // Forked between two messages of a read, and before the first.
    for begun in [true, false] {
        let (mut connection, mut peer) = against_peer(Role::Server, options(|options| options.ping_interval = None));
        peer.send_all(&[text("one"), text("two"), text("three")]);
        if begun {
            assert!(connection.next_message().expect("open").is_some());
        }
        let (until, mut ends) = UnixStream::pair().expect("a pair of sockets");
        let (child, (connection, until)) = in_child((connection, until), |(mut connection, until)| {
            let has_message = begun || connection.next_message().is_ok_and(|message| message.is_some());
            let sent = connection.send("answer");
            let has_more = connection.next_message().is_ok_and(|message| message.is_some());
            let sent_more = connection.send("another");
            // It computes, until its parent has seen the answers.
            let waited = (&until).read(&mut [0]);
            let is_sent = (sent, sent_more) == (Ok(SendStatus::Sent), Ok(SendStatus::Sent));
            u8::from(!(has_message && has_more && is_sent)) + 2 * u8::from(waited.is_err())
        });
        let answers = [peer.frame(), peer.frame()];
        assert_eq!(answers, [text("answer"), text("another")], "{begun}");
        ends.write_all(b"!").expect("it is waited for");
        expect_success(child);
        drop((connection, until));
    }
}

fn dropped<T>(value: T) -> u8 {
    drop(value);
    0
}

#[test]
fn what_waits_in_the_handles_of_a_parent_is_not_sent_by_a_child_that_drops_them() {
    let _alone = ALONE.lock();
    let (mut connection, mut peer) = against_peer(Role::Server, options(|options| options.ping_interval = None));
    peer.send_all(&[text("ask"), text("ask")]);
    assert!(connection.next_message().expect("open").is_some());
    let (reader, writer) = connection.split();
    assert_eq!(writer.send("corked"), Ok(SendStatus::Queued), "the test is about a corked send");
    let (child, (mut reader, writer)) = in_child((reader, writer), dropped);
    expect_success(child);
    assert!(reader.next_message().expect("open").is_some());
    assert_eq!(peer.frame(), text("corked"));

    let mut message = writer.begin_owned();
    message.send("begun").expect("open");
    let (child, message) = in_child(message, dropped);
    expect_success(child);
    message.finish("finished").expect("open");
    let frames = [peer.frame(), peer.frame()];
    assert_eq!(frames.map(|frame| frame.payload), [b"begun".to_vec(), b"finished".to_vec()]);
    assert_eq!(peer.frame_within(Duration::from_millis(50)), None);
}

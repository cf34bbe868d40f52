//! A connection of the pool that is paused: the handler is not called, the peer is not read, and nothing is lost.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use raddle_core::OpCode;
use raddle_server::{Cause, Message, Writer};
use rustix::net::sockopt;

use crate::common::*;
use crate::recorder::{A_WHILE, At, Note, Recorded, answer, facts, recorded};

/// The server's handle of its one connection.
fn writer_of(host: &Recorded) -> Writer {
    host.server.connection(host.server.connections()[0].id).expect("open")
}

/// A handler that echoes, and pauses at every message that says so.
fn pausing() -> Recorded {
    pausing_seen().0
}

/// As [`pausing`], with the worker's place among the system's threads, once it has paused.
fn pausing_seen() -> (Recorded, Arc<Mutex<PathBuf>>) {
    let worker = Arc::<Mutex<PathBuf>>::default();
    let seen = Arc::clone(&worker);
    let host = recorded(
        |builder| builder,
        move |writer, at| {
            if matches!(at, At::Message(Message::Text("pause"))) {
                *seen.lock() = fs::read_link("/proc/thread-self").expect("it runs");
                writer.pause_reading();
            }
            answer(writer, at)
        },
    );
    (host, worker)
}

/// Checks that a thread does nothing for half a second.
#[track_caller]
fn assert_at_rest(thread: &Mutex<PathBuf>) {
    let ticks = || -> u64 {
        let stat = fs::read_to_string(PathBuf::from("/proc").join(&*thread.lock()).join("stat")).expect("it runs");
        // Behind the name, in hundredths of a second: the time as a user, and as the system.
        let fields: Vec<_> = stat.rsplit(')').next().expect("it has a name").split_whitespace().collect();
        fields[11..13].iter().map(|ticks| ticks.parse::<u64>().expect("a number")).sum()
    };
    let before = ticks();
    thread::sleep(Duration::from_millis(500));
    let spent = ticks() - before;
    assert!(spent < 20, "{spent} hundredths in half a second");
}

fn messages(host: &Recorded) -> usize {
    host.log.all().iter().flatten().filter(|note| matches!(note, Note::Message(_))).count()
}

#[test]
fn no_message_follows_the_one_at_which_its_handler_pauses() {
    let host = pausing();
    let mut client = connect(&host.server);
    let mut other = connect(&host.server);
    eventually("both are open", || host.log.all().len() == 2);
    let paused = host.server.connections().into_iter().find(|known| known.peer == client.stream.local_addr().ok());
    let writer = host.server.connection(paused.expect("open").id).expect("open");
    // One read brings them all, and one more amid which it ends.
    let mut bytes: Vec<u8> =
        (0..10).flat_map(|_| [text("pause"), text("go on")]).flat_map(|it| client.encode(&it)).collect();
    let torn = client.encode(&text("torn"));
    bytes.extend_from_slice(&torn[..7]);
    client.send_bytes(&bytes);
    for round in 1..=10 {
        assert_eq!(client.frame(), text("pause"), "what was sent before leaves");
        // The worker has other things to do, and does not spin.
        assert_echo(&mut other);
        assert_eq!(client.frame_within(Duration::from_millis(20)), None);
        assert_eq!(messages(&host), 3 * round - 1);
        writer.resume_reading();
        writer.resume_reading();
        assert_eq!(client.frame(), text("go on"));
    }
    client.send_bytes(&torn[7..]);
    assert_eq!(client.frame(), text("torn"));
    drop((client, other, writer));
    host.finish();
}

#[test]
fn a_peer_that_sends_to_a_paused_connection_is_held_back_and_costs_no_processor() {
    let (host, worker) = pausing_seen();
    let mut client = connect(&host.server);
    client.send(text("pause"));
    assert_eq!(client.frame(), text("pause"));
    let writer = writer_of(&host);
    let mut stream = client.stream.try_clone().expect("a descriptor");
    let flood: Vec<u8> = (0..400).flat_map(|number| client.encode(&binary(&pattern(50_000, number)))).collect();
    let sending = thread::spawn(move || std::io::Write::write_all(&mut stream, &flood).expect("taken, at last"));
    thread::sleep(A_WHILE);
    assert_at_rest(&worker);
    assert!(!sending.is_finished());
    assert_eq!((writer.traffic().received_messages, messages(&host)), (1, 1));
    writer.resume_reading();
    for number in 0..400 {
        assert!(client.frame() == binary(&pattern(50_000, number)), "message {number}");
    }
    join(sending, LIMIT);
    drop((client, writer));
    host.finish();
}

#[test]
fn a_connection_that_is_paused_writes_and_is_told_that_it_has() {
    let host = recorded(
        |builder| builder.with_options(|options| options.outgoing_limit = 100_000),
        |writer, at| {
            if let At::Message(_) = at {
                writer.pause_reading();
                (0..200).try_for_each(|_| writer.send(&[0; 50_000]).map(drop))?;
            }
            Ok(())
        },
    );
    let mut client = connect(&host.server);
    // So that the system does not take it all.
    sockopt::set_socket_recv_buffer_size(&client.stream, 64 * 1024).expect("a socket");
    client.send_all(&[text("much"), text("more")]);
    host.log.wait_for_messages(1);
    eventually("it waits for room", || writer_of(&host).queued() > 1_000_000);
    (0..200).for_each(|_| assert_eq!(client.frame().payload.len(), 50_000));
    eventually("it is told", || host.log.all().iter().flatten().any(|note| *note == Note::Drain));
    assert_eq!(messages(&host), 1);
    writer_of(&host).resume_reading();
    host.log.wait_for_messages(2);
    drop(client);
    host.finish();
}

#[test]
fn a_paused_peer_that_answers_lives() {
    let host = recorded(
        |builder| {
            builder.with_options(|options| {
                options.ping_interval = Some(Duration::from_millis(100));
                options.ping_timeout = Duration::from_millis(300);
            })
        },
        |writer, at| {
            if let At::Open = at {
                writer.pause_reading();
            }
            Ok(())
        },
    );
    let silent = connect(&host.server);
    let mut living = connect(&host.server);
    let start = std::time::Instant::now();
    while start.elapsed() < Duration::from_millis(1200) {
        let asked = living.frame();
        assert_eq!(asked.opcode, OpCode::Ping);
        living.send(pong(&asked.payload));
    }
    eventually("the silent one is cut", || host.server.metrics().ended.get(&Cause::KeepaliveTimeout) == Some(&1));
    assert_eq!(host.server.connections().len(), 1);
    drop((silent, living));
    host.finish();
}

#[test]
fn a_server_that_is_stopped_closes_paused_connections_in_order() {
    let host = pausing();
    let mut client = connect(&host.server);
    client.send(text("pause"));
    assert_eq!(client.frame(), text("pause"));
    client.send(text("dropped"));
    host.server.stop(LIMIT);
    assert_eq!(client.frame().payload[..2], 1001_u16.to_be_bytes());
    client.send_all(&[text("dropped too"), close(1001, "")]);
    client.expect_end();
    let (messages, end) = host.log.story();
    assert_eq!((messages.len(), facts(&end)), (1, (Cause::Shutdown, Some(1001), Some(1001))));
    host.finish();
}

#[test]
fn a_paused_connection_whose_peer_has_gone_is_let_go_once_it_is_read() {
    let (host, worker) = pausing_seen();
    let mut client = connect(&host.server);
    client.send_all(&[text("pause"), text("last")]);
    assert_eq!(client.frame(), text("pause"));
    let writer = writer_of(&host);
    // With a reset, which every poller tells of again and again.
    sockopt::set_socket_linger(&client.stream, Some(Duration::ZERO)).expect("a socket");
    drop(client);
    assert_at_rest(&worker);
    writer.resume_reading();
    let (messages, _) = host.log.story();
    assert_eq!(messages, [&b"pause"[..], b"last"]);
    drop(writer);
    host.finish();
}

//! How a server lets its clients go: drained, stopped, all at once or one after the other.

use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use raddle_server::{Cause, ConnectionId, IdentityPolicy, Limits, Request, Server, Surplus};

use crate::support::*;

/// Waits until nobody can connect any more.
fn closed_to_others(host: &Host) {
    eventually("the listener is closed", || {
        TcpStream::connect(host.local_addr()).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
    });
}

#[test]
fn draining_serves_on_until_the_last_has_left_and_finishes_what_has_begun() {
    let kept = Arc::new(Mutex::new(Vec::<Request>::new()));
    let keep = Arc::clone(&kept);
    let decide = move |request: Request| match request.path() {
        "/later" => keep.lock().push(request),
        _ => request.accept().expect("in time"),
    };
    let host = Host::echo(builder().on_request(decide));
    let mut open = host.open();
    echoes(&mut open, "before");
    let mut asking = host.dial();
    asking.write_all(b"GET / HT").expect("taken");
    let undecided = host.ask_for("/later");
    eventually("all are there", || host.connections().len() == 3 && kept.lock().len() == 1);
    host.drain();
    closed_to_others(&host);
    echoes(&mut open, "while it drains");
    let running = host.join(Duration::from_millis(50)).expect_err("three are left").handlers;
    // In the pool, no handler is being called.
    assert!(running.len() == if ENGINE == Engine::Threads { 2 } else { 0 } && running.is_sorted(), "{running:?}");
    let rest = request("");
    let mut asked = opened(send_request(asking, rest.strip_prefix("GET / HT").expect("so it begins")));
    echoes(&mut asked, "asked in time");
    kept.lock().pop().expect("one").accept().expect("in time");
    let mut decided = opened(undecided);
    echoes(&mut decided, "decided in time");
    leave(asked);
    leave(open);
    assert!(host.join(Duration::from_millis(50)).is_err(), "one is left");
    echoes(&mut decided, "the last one");
    leave(decided);
    assert_eq!(host.join(PATIENCE), Ok(()));
    assert_eq!(host.ended(Cause::PeerClose), 3);
}

#[test]
fn a_server_that_drains_can_be_stopped() {
    let host = Host::echo(builder());
    let mut clients: Vec<_> = (0..3).map(|_| host.open()).collect();
    clients.iter_mut().for_each(|client| echoes(client, "before"));
    host.drain();
    closed_to_others(&host);
    host.stop(PATIENCE);
    // Draining does not take a stop back.
    host.drain();
    for mut client in clients {
        assert_eq!(client.frame(), close(1001, "the server stops"));
        client.send(close(1001, ""));
        client.expect_end();
    }
    assert_eq!(host.join(PATIENCE), Ok(()));
    assert_eq!(host.ended(Cause::Shutdown), 3);
}

#[test]
fn a_drained_server_that_never_served_gives_nobody() {
    let server = builder().build().expect("a server");
    server.drain();
    let accepting = server.clone();
    // It would wait for whom it does not let in.
    let accepted = within(PATIENCE, move || accepting.accept(Duration::MAX));
    assert!(accepted.expect("no failure").is_none());
    serve_echo(&server).expect("it ends at once");
    assert_eq!(server.join(PATIENCE), Ok(()));
}

#[test]
fn a_spread_stop_tells_everyone_one_after_the_other_and_nobody_early() {
    const CLIENTS: usize = 40;
    let spread = Duration::from_millis(1500);
    let host = Host::echo(builder());
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| host.open()).collect();
    clients.iter_mut().for_each(|client| echoes(client, "before"));
    let began = Instant::now();
    host.stop_spread(2 * PATIENCE, spread);
    let mut told: Vec<Duration> = thread::scope(|scope| {
        let waits = clients.into_iter().map(|mut client| {
            scope.spawn(move || {
                assert_eq!(client.frame(), close(1001, "the server stops"));
                let told = began.elapsed();
                client.send(close(1001, ""));
                client.expect_end();
                told
            })
        });
        let waits: Vec<_> = waits.collect();
        waits.into_iter().map(|wait| wait.join().expect("each is told")).collect()
    });
    told.sort_unstable();
    for (number, at) in (1..).zip(&told) {
        let due = spread * number / CLIENTS as u32;
        assert!(*at >= due, "number {number} was told after {at:?}, not {due:?}: {told:?}");
    }
    let late = spread + Duration::from_secs(5);
    assert!(told[CLIENTS - 1] < late, "{told:?}");
    assert!(told[0] < told[CLIENTS - 1] / 2, "all at once: {told:?}");
    assert_eq!(host.join(PATIENCE), Ok(()));
    assert_eq!(host.ended(Cause::Shutdown), CLIENTS as u64);
}

#[test]
fn a_stop_amid_a_spread_one_tells_the_others_at_once() {
    let host = Host::echo(builder());
    let mut clients: Vec<_> = (0..10).map(|_| host.open()).collect();
    clients.iter_mut().for_each(|client| echoes(client, "before"));
    host.stop_spread(Duration::MAX, Duration::MAX);
    closed_to_others(&host);
    clients.iter_mut().for_each(|client| echoes(client, "its turn comes late"));
    host.stop(PATIENCE);
    for mut client in clients {
        assert_eq!(close_code(&mut client), 1001);
        client.send(close(1001, ""));
    }
    assert_eq!(host.join(PATIENCE), Ok(()));
}

#[test]
fn a_stop_at_any_moment_of_a_start_ends_the_server() {
    type Start = fn(&Server);
    type End = fn(&Server);
    let starts: [Start; 3] = [
        |server| start_echo(server).expect("it starts, or is stopped"),
        |server| serve_echo(server).expect("it serves, or is stopped"),
        |server| while server.accept(Duration::MAX).expect("it starts, or is stopped").is_some() {},
    ];
    let ends: [End; 3] = [|it| it.stop(Duration::ZERO), |it| it.stop(Duration::MAX), |it| it.drain()];
    for round in 0..220 {
        let server = builder().build().expect("a server");
        let together = Arc::new(Barrier::new(2));
        let (start, end) = (starts[round % 3], ends[round / 3 % 3]);
        let (starting, with_it) = (server.clone(), Arc::clone(&together));
        let starting = thread::spawn(move || {
            with_it.wait();
            start(&starting);
        });
        together.wait();
        // Now a little earlier than the start, now a little later.
        (0..round % 7 * 200).for_each(|_| std::hint::spin_loop());
        end(&server);
        assert_eq!(server.join(PATIENCE), Ok(()), "round {round}");
        join(starting, PATIENCE);
        assert!(TcpStream::connect(server.local_addr()).is_err(), "round {round}");
    }
}

#[test]
fn the_longest_times_are_times_like_others() {
    let policy = IdentityPolicy { allowed: usize::MAX, surplus: Surplus::Close };
    let builder = builder()
        .handshake_timeout(Duration::MAX)
        .connection_rate_per_ip(1000, Duration::MAX)
        .max_connections(usize::MAX)
        .max_handshakes(usize::MAX)
        .identity_policy(policy)
        .with_options(|options| {
            options.limits = Limits { message: u64::MAX, frame: u64::MAX, fragments: u32::MAX };
            options.ping_interval = Some(Duration::MAX);
            options.ping_timeout = Duration::MAX;
            options.close_timeout = Duration::MAX;
            options.write_timeout = Duration::MAX;
            options.message_timeout = Duration::MAX;
            options.min_rate = u64::MAX;
            options.outgoing_limit = usize::MAX;
            options.fragment_size = usize::MAX;
        });
    let host = Host::start(builder, |mut reader, writer| {
        while let raddle_server::Next::Message(message) = reader.next_message_within(Duration::MAX)? {
            writer.send(message)?;
        }
        Ok(())
    });
    let mut clients: Vec<_> = (0..3).map(|_| host.open()).collect();
    clients.iter_mut().for_each(|client| echoes(client, "served"));
    let mut half = host.dial();
    half.write_all(b"GET / HT").expect("taken");
    // A message that is not complete has its time as well.
    clients[0].send(fragment(raddle_core::OpCode::Text, b"half"));
    host.connection(ConnectionId::of(&host.connections()[0].info.clone().expect("open")))
        .expect("open")
        .cut_within(Duration::MAX);
    host.stop(Duration::MAX);
    assert_eq!(status(&mut half), 503);
    for client in &mut clients {
        assert_eq!(close_code(client), 1001);
    }
    let waiting = host.handle();
    let waiting = thread::spawn(move || waiting.join(Duration::MAX));
    for client in &mut clients[1..] {
        client.send(close(1001, ""));
    }
    assert!(!waiting.is_finished(), "one has not answered");
    drop(clients);
    assert_eq!(join(waiting, PATIENCE), Ok(()));
}

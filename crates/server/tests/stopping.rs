//! Stopping: from anywhere and at any moment, and every client is told, or cut when the grace is over.

mod common;

use std::net::TcpStream;
use std::sync::{Arc, OnceLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use common::*;
use parking_lot::Mutex;
use raddle_core::OpCode;
use raddle_server::{Cause, ConnectionId, DecisionError, Refusal, Request, Server};

const GRACE: Duration = Duration::from_millis(500);
const FOR_EVER: Duration = Duration::from_secs(100);

/// Waits for the Close 1001 of a server that is stopped, answers it, and waits for the end of the stream.
fn assert_told(mut client: Client) {
    let mut frame = client.frame();
    while frame.opcode != OpCode::Close {
        frame = client.frame();
    }
    assert_eq!(frame, close(1001, "the server stops"));
    client.send(close(1001, ""));
    client.expect_end();
}

/// Checks that the server's port is free; another server of these tests may have taken it for a moment.
fn assert_nobody_listens(server: &Server) {
    eventually("nobody listens any more", || TcpStream::connect(server.local_addr()).is_err());
}

#[test]
fn every_client_is_told_and_what_was_sent_before_arrives() {
    // Hostile input 351.
    let server = echoing(|builder| builder);
    let mut clients: Vec<_> = (0..50).map(|_| connect(&server)).collect();
    clients.iter_mut().for_each(assert_echo);
    for connection in server.connections() {
        server.connection(connection.id).expect("open").send("last words").expect("open");
    }
    let start = Instant::now();
    server.stop(FOR_EVER);
    for mut client in clients {
        assert_eq!(client.frame(), text("last words"));
        assert_told(client);
    }
    server.join(LIMIT).expect("all handlers have returned");
    assert!(start.elapsed() < LIMIT, "the grace is not waited for: {:?}", start.elapsed());
    assert_eq!(server.metrics().ended.get(&Cause::Shutdown), Some(&50), "{:?}", server.metrics().ended);
    assert_nobody_listens(&server);
}

#[test]
fn peers_that_never_answer_are_cut_when_the_grace_is_over() {
    // Hostile input 352: one reads and does not answer, one does not read, one sends for ever.
    let server = echoing(|builder| builder);
    let mut deaf = connect(&server);
    assert_echo(&mut deaf);
    let mut stuck = connect(&server);
    assert_echo(&mut stuck);
    let stuck_id = server.connections().iter().map(|connection| connection.id).max().expect("open");
    let writer = server.connection(stuck_id).expect("open");
    while writer.try_send(&[0; 64 * 1024]).is_ok() {}
    let mut talking = connect(&server);
    let talker = thread::spawn(move || {
        let message = talking.encode(&text("more"));
        while std::io::Write::write_all(&mut talking.stream, &message).is_ok() {}
    });
    let start = Instant::now();
    server.stop(GRACE);
    server.join(LIMIT).expect("all handlers have returned");
    let took = start.elapsed();
    assert!((GRACE..Duration::from_secs(4)).contains(&took), "{took:?}");
    assert_eq!(deaf.frame(), close(1001, "the server stops"));
    join(talker, LIMIT);
    drop(stuck);
}

#[test]
fn a_handler_may_stop_its_own_server() {
    // Hostile input 279.
    let this = Arc::new(OnceLock::<Server>::new());
    let mine = Arc::clone(&this);
    let server = answering(
        |builder| builder,
        move |writer, _message| {
            let server = mine.get().expect("it was set before anybody connected");
            server.stop(FOR_EVER);
            // A join from here would wait for this handler.
            let running = server.join(Duration::from_millis(50)).expect_err("this handler runs");
            // Who polls is in no handler.
            let is_in_handler = running.handlers.contains(&ConnectionId::of(writer.info()));
            assert_eq!(is_in_handler, ENGINE != Engine::Loop);
            Ok(())
        },
    );
    assert!(this.set(server.clone()).is_ok());
    let (mut one, other) = (connect(&server), connect(&server));
    one.send(text("stop"));
    let other = thread::spawn(move || assert_told(other));
    assert_told(one);
    join(other, LIMIT);
    server.join(LIMIT).expect("all handlers have returned");
    assert!(server.metrics().ended.keys().all(|cause| *cause == Cause::Shutdown), "{:?}", server.metrics().ended);
}

#[test]
fn a_server_may_be_stopped_more_than_once_and_the_shortest_grace_counts() {
    // Hostile input 279.
    for graces in [[GRACE, FOR_EVER], [FOR_EVER, GRACE]] {
        let server = echoing(|builder| builder);
        let mut silent = connect(&server);
        assert_echo(&mut silent);
        let start = Instant::now();
        for grace in graces {
            let stopping: Vec<_> = (0..4)
                .map(|_| {
                    let server = server.clone();
                    thread::spawn(move || server.stop(grace))
                })
                .collect();
            stopping.into_iter().for_each(|thread| join(thread, LIMIT));
        }
        server.join(LIMIT).expect("all handlers have returned");
        let took = start.elapsed();
        assert!((GRACE..Duration::from_secs(4)).contains(&took), "{took:?}");
        // Whatever comes later changes nothing.
        server.stop(FOR_EVER);
        server.drain();
        server.join(Duration::ZERO).expect("it has ended");
        assert_eq!(silent.frame(), close(1001, "the server stops"));
        assert_eq!(silent.next_frame(LIMIT).ok().flatten(), None, "one Close is enough");
    }
}

#[test]
fn a_connection_that_opens_while_the_server_stops_is_told_as_well() {
    // Hostile input 278: between the handshake and the registry.
    let this = Arc::new(OnceLock::<Server>::new());
    let mine = Arc::clone(&this);
    let server = echoing(|builder| {
        builder.on_request(move |request| {
            request.accept().expect("it is in time");
            // The connection is opened only when this has returned, and the farewell does not know it.
            mine.get().expect("it was set before anybody connected").stop(FOR_EVER);
            thread::sleep(Duration::from_millis(100));
        })
    });
    assert!(this.set(server.clone()).is_ok());
    assert_told(connect(&server));
    server.join(LIMIT).expect("all handlers have returned");
}

#[test]
fn a_server_may_be_stopped_before_it_is_started() {
    // Hostile input 279.
    let server = listening(|builder| builder);
    server.stop(GRACE);
    server.join(Duration::ZERO).expect("nothing runs");
    assert_nobody_listens(&server);
    // Whether the start says so or returns at once, it starts nothing.
    let _ = start_echo(&server);
    let serving = thread::spawn({
        let server = server.clone();
        move || drop(serve_echo(&server))
    });
    join(serving, LIMIT);
    assert!(server.accept(LIMIT).map_or(true, |connection| connection.is_none()));
    server.join(Duration::ZERO).expect("nothing runs");
}

#[test]
fn a_stop_while_the_server_starts_is_not_lost() {
    // Hostile input 279: whichever is first, the server ends.
    for number in 0..100 {
        let server = listening(|builder| builder);
        let starting = thread::spawn({
            let server = server.clone();
            move || serve_echo(&server)
        });
        if number % 2 == 0 {
            thread::sleep(Duration::from_micros(number * 5));
        }
        server.stop(Duration::ZERO);
        let _ = join(starting, LIMIT);
        server.join(LIMIT).expect("nothing runs");
    }
}

#[test]
fn handshakes_that_are_under_way_are_answered_with_503_or_closed() {
    // Hostile input 353: nothing was said, half a request was made, the request waits for its decision.
    let (leave, requests) = mpsc::channel();
    let leave = Mutex::new(leave);
    let server = echoing(|builder| builder.on_request(move |request| drop(leave.lock().send(request))));
    let silent = Asking::silently(server.local_addr());
    let mut half = Asking::silently(server.local_addr());
    half.say(b"GET / HTTP/1.1\r\nHost: lo");
    let undecided = Asking::with(server.local_addr(), &OFFER);
    let request: Request = requests.recv_timeout(LIMIT).expect("a request");
    eventually("all three are known", || server.connections().len() == 3);
    let start = Instant::now();
    server.stop(GRACE);
    for asking in [silent, half, undecided] {
        let status = asking.status();
        assert!(matches!(status, 503 | 0), "{status}");
    }
    server.join(LIMIT).expect("nothing waits for a decision that nobody needs");
    let took = start.elapsed();
    assert!(took < GRACE + Duration::from_secs(2), "{took:?}");
    assert!(matches!(request.accept(), Err(DecisionError::TooLate)), "the server was stopped before");
    assert_eq!(server.metrics().opened, 0, "no handler runs after the stop");
    assert!(server.metrics().refused.contains_key(&Refusal::Stopping), "{:?}", server.metrics().refused);
}

#[test]
fn several_threads_may_join() {
    let server = echoing(|builder| builder);
    let client = connect(&server);
    let joining: Vec<_> = (0..4)
        .map(|_| {
            let server = server.clone();
            thread::spawn(move || server.join(Duration::MAX))
        })
        .collect();
    thread::sleep(Duration::from_millis(50));
    assert!(joining.iter().all(|thread| !thread.is_finished()));
    server.stop(FOR_EVER);
    assert_told(client);
    for thread in joining {
        join(thread, LIMIT).expect("all handlers have returned");
    }
}

#[test]
fn a_drained_server_serves_those_that_are_there() {
    let server = echoing(|builder| builder);
    let mut client = connect(&server);
    let mut asking = Asking::silently(server.local_addr());
    eventually("it is known", || server.connections().len() == 2);
    server.drain();
    assert_nobody_listens(&server);
    assert_echo(&mut client);
    // A handshake that had begun is finished.
    asking.say(&OFFER.encode().expect("valid"));
    let (mut late, _) = asking.accepted();
    assert_echo(&mut late);
    assert!(server.join(Duration::from_millis(50)).is_err());
    say_goodbye(client);
    say_goodbye(late);
    server.join(LIMIT).expect("the last one has left");
}

#[test]
fn a_stop_may_be_spread_over_time() {
    let server = echoing(|builder| builder);
    let clients: Vec<_> = (0..20).map(|_| connect(&server)).collect();
    eventually("all are open", || server.metrics().opened == 20);
    let start = Instant::now();
    server.stop_spread(FOR_EVER, Duration::from_secs(1));
    let told: Vec<_> = clients
        .into_iter()
        .map(|mut client| {
            thread::spawn(move || {
                assert_eq!(client.frame(), close(1001, "the server stops"));
                let told = Instant::now();
                client.send(close(1001, ""));
                told
            })
        })
        .collect();
    let mut told: Vec<_> = told.into_iter().map(|thread| join(thread, LIMIT) - start).collect();
    told.sort_unstable();
    // Not all at once: half of them come in the second half of the time.
    assert!(told[19] >= Duration::from_millis(500), "{told:?}");
    assert!(told[19] < Duration::from_secs(4), "{told:?}");
    assert!(told[0] + Duration::from_millis(300) < told[19], "{told:?}");
    server.join(LIMIT).expect("all handlers have returned");
}

#[test]
fn the_longest_times_there_are_do_no_harm() {
    // Hostile input 248.
    let server = echoing(|builder| {
        builder.handshake_timeout(Duration::MAX).with_options(|options| {
            options.ping_interval = Some(Duration::MAX);
            options.close_timeout = Duration::MAX;
            options.message_timeout = Duration::MAX;
            options.write_timeout = Duration::MAX;
        })
    });
    let mut client = connect(&server);
    assert_echo(&mut client);
    server.stop(Duration::MAX);
    assert_told(client);
    within(LIMIT, {
        let server = server.clone();
        move || server.join(Duration::MAX)
    })
    .expect("all handlers have returned");
}

//! One connection after the other: what is worth another attempt, and how it is stopped.

mod common;

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::*;
use parking_lot::Mutex;
use raddle_client::{Backoff, Client, ConnectError, Message, Reconnect, Setback};
use raddle_server::{HandlerError, Reader, Response, Server, Writer};
use raddle_socket::{Cause, Close, CloseCode, Error, Next, SendError};

/// Waits of no more than a few milliseconds.
fn at_once() -> Backoff {
    let mut backoff = Backoff::default();
    backoff.first = Duration::from_millis(1);
    backoff.cap = Duration::from_millis(5);
    backoff
}

fn reconnect(url: &str) -> Reconnect {
    Client::new().reconnect(url).expect("a URL").backoff(at_once())
}

/// A server that closes each connection with the code that its target names, and counts them.
fn closing() -> (Server, Arc<AtomicU32>) {
    let count = Arc::new(AtomicU32::new(0));
    let of_handler = Arc::clone(&count);
    let handler = move |reader: Reader, _: Writer| -> Result<(), HandlerError> {
        of_handler.fetch_add(1, Ordering::SeqCst);
        let code = CloseCode(reader.info().target[1..].parse()?);
        reader.close(Close { code, reason: "as the target says" });
        Ok(())
    };
    (serving(|builder| builder, handler), count)
}

#[test]
fn a_close_that_may_pass_is_followed_by_another_connection() {
    let (server, count) = closing();
    for code in [1001, 1011, 1012, 1013, 1014, 3001, 4000, 4399, 4500] {
        let before = count.load(Ordering::SeqCst);
        let mut connections = reconnect(&url(&server, &format!("/{code}")));
        for _ in 0..4 {
            let mut connection = connections.next_connection().expect("worth it").expect("not stopped");
            assert_eq!(connection.next_message(), Ok(None));
        }
        assert_eq!(count.load(Ordering::SeqCst) - before, 4, "{code}");
    }
    finish(&server);
}

#[test]
fn a_close_that_says_no_ends_it() {
    let (server, count) = closing();
    for code in [1002, 1003, 1007, 1008, 1009, 3000, 3003, 4400, 4401, 4403, 4409, 4499] {
        let before = count.load(Ordering::SeqCst);
        let mut connections = reconnect(&url(&server, &format!("/{code}")));
        let mut connection = connections.next_connection().expect("worth it").expect("not stopped");
        assert_eq!(connection.next_message(), Ok(None));
        match connections.next_connection() {
            Err(Setback::Ended(end)) => assert_eq!((end.cause, end.code().0), (Cause::PeerClose, code)),
            other => panic!("{other:?} after {code}"),
        }
        assert_eq!(count.load(Ordering::SeqCst) - before, 1, "{code}");
    }
    // One that has done what it was for.
    let mut connections = reconnect(&url(&server, "/1000"));
    let mut connection = connections.next_connection().expect("worth it").expect("not stopped");
    assert_eq!(connection.next_message(), Ok(None));
    drop(connection);
    assert!(connections.next_connection().expect("no error").is_none());
    finish(&server);
}

#[test]
fn a_connection_that_this_side_closes_is_the_last() {
    let server = serving(|builder| builder, echo);
    let mut connections = reconnect(&url(&server, "/"));
    let connection = connections.next_connection().expect("worth it").expect("not stopped");
    assert!(connection.close(Close::code(CloseCode::NORMAL)).is_clean());
    assert!(connections.next_connection().expect("no error").is_none());
    finish(&server);
}

#[test]
fn a_server_that_breaks_the_protocol_is_not_asked_again() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    let serving = thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut stream, _) = listener.accept().expect("a client");
        let mut request = [0; 4096];
        let count = stream.read(&mut request).expect("a request");
        let request = std::str::from_utf8(&request[..count]).expect("ASCII");
        let key = request.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).expect("a key");
        let accept = raddle_core::handshake::accept_value(key.as_bytes());
        let response = format!(
            "HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        // A reserved bit.
        stream.write_all(&[response.as_bytes(), b"\xc1\x00"].concat()).expect("it reads");
        stream.read_to_end(&mut Vec::new()).expect("its Close and the end");
    });
    let mut connections = reconnect(&format!("ws://{address}/"));
    let mut connection = connections.next_connection().expect("worth it").expect("not stopped");
    assert!(connection.next_message().is_err());
    match connections.next_connection() {
        Err(Setback::Ended(end)) => assert_eq!(end.cause, Cause::Failed(Error::ReservedBits)),
        other => panic!("{other:?}"),
    }
    serving.join().expect("no panic");
}

#[test]
fn a_refusal_that_may_pass_is_asked_again_and_another_is_not() {
    // Hostile input 356.
    let asked = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&asked);
    let decide = move |request: raddle_server::Request| {
        let count = counted.fetch_add(1, Ordering::SeqCst);
        match request.target()[1..].parse::<u16>() {
            Ok(status) if matches!(status, 503 | 429) && count >= 3 => request.accept().expect("undecided"),
            Ok(status) => {
                let retry = Response::new(status).and_then(|answer| answer.header("Retry-After", "0")).expect("valid");
                request.respond(retry).expect("undecided");
            }
            Err(_) => request.accept().expect("undecided"),
        }
    };
    let server = serving(|builder| builder.on_request(decide), echo);
    for status in [503, 429] {
        asked.store(0, Ordering::SeqCst);
        let mut connections = reconnect(&url(&server, &format!("/{status}")));
        connections.next_connection().expect("worth it").expect("not stopped");
        assert_eq!(asked.load(Ordering::SeqCst), 4, "{status}");
    }
    for status in [200, 302, 400, 401, 403, 404, 409, 410, 426, 501, 505] {
        asked.store(0, Ordering::SeqCst);
        let mut connections = reconnect(&url(&server, &format!("/{status}")));
        match connections.next_connection() {
            Err(Setback::Failed(ConnectError::Refused(answer))) => assert_eq!(answer.status, status),
            other => panic!("{other:?} for {status}"),
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1, "{status}");
    }
    finish(&server);
}

#[test]
fn the_time_that_a_server_asks_for_is_waited() {
    let asked = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&asked);
    let decide = move |request: raddle_server::Request| {
        if counted.fetch_add(1, Ordering::SeqCst) == 0 {
            let answer = Response::new(503).and_then(|answer| answer.header("Retry-After", "1")).expect("valid");
            request.respond(answer).expect("undecided");
        } else {
            request.accept().expect("undecided");
        }
    };
    let server = serving(|builder| builder.on_request(decide), echo);
    let mut backoff = Backoff::default();
    backoff.first = Duration::ZERO;
    let begun = Instant::now();
    let mut connections = Client::new().reconnect(&url(&server, "/")).expect("a URL").backoff(backoff);
    connections.next_connection().expect("worth it").expect("not stopped");
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
    finish(&server);
}

#[test]
fn a_server_that_comes_back_is_found_again() {
    // Hostile input 354, as far as the client is concerned: what the crash of a server looks like is a stream that ends.
    let first = serving(|builder| builder, echo);
    let address = first.local_addr();
    let mut connections = reconnect(&url(&first, "/"));
    let mut connection = connections.next_connection().expect("worth it").expect("not stopped");
    connection.send("one").expect("open");
    assert_eq!(connection.next_message(), Ok(Some(Message::Text("one"))));
    let id = first.connections()[0].id;
    first.connection(id).expect("open").cut(Cause::Dropped);
    assert_eq!(connection.next_message().expect_err("no Close").cause, Cause::EndOfStream);
    finish(&first);
    drop(first);
    let second = thread::spawn(move || {
        // Long enough for some attempts to be refused.
        thread::sleep(Duration::from_millis(100));
        raddle_server::Server::builder().bind(address).expect("the port").start(echo).expect("it starts")
    });
    let mut connection = connections.next_connection().expect("worth it").expect("not stopped");
    connection.send("two").expect("open");
    assert_eq!(connection.next_message(), Ok(Some(Message::Text("two"))));
    finish(&second.join().expect("no panic"));
}

#[test]
fn a_connection_that_is_given_up_is_closed_and_followed_by_another() {
    let server = serving(|builder| builder, echo);
    let mut connections = reconnect(&url(&server, "/"));
    // Kept, and dropped.
    let mut kept = connections.next_connection().expect("worth it").expect("not stopped");
    let dropped = connections.next_connection().expect("worth it").expect("not stopped");
    assert_eq!(kept.next_message(), Ok(None));
    drop(dropped);
    let mut last = connections.next_connection().expect("worth it").expect("not stopped");
    last.send("still here").expect("open");
    assert_eq!(last.next_message(), Ok(Some(Message::Text("still here"))));
    eventually("the others are gone", || server.connections().len() == 1);
    drop(last);
    finish(&server);
}

#[test]
fn what_could_not_be_sent_was_not_received_and_the_rest_is_a_beginning() {
    // Hostile inputs 359 and 360: a connection ends exactly when the client sends.
    let received = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&received);
    let server = serving(
        |builder| builder,
        move |mut reader, writer| {
            let mut of_this_one = Vec::new();
            while let Ok(Some(message)) = reader.next_message() {
                of_this_one.push(message.as_bytes().to_vec());
                // At some message or other, without a Close or with one.
                match of_this_one.len() {
                    100 if seen.lock().len() % 2 == 0 => writer.cut(Cause::Dropped),
                    100 => writer.close(Close::code(CloseCode::GOING_AWAY))?,
                    _ => {}
                }
            }
            seen.lock().push(of_this_one);
            Ok(())
        },
    );
    let mut connections = reconnect(&url(&server, "/"));
    for round in 0..10 {
        let connection = connections.next_connection().expect("worth it").expect("not stopped");
        let mut sent = Vec::new();
        let deadline = Instant::now() + LIMIT;
        loop {
            let message = format!("{round}: {}", sent.len()).into_bytes();
            match connection.send(&message) {
                Ok(_) => sent.push(message),
                // This one is surely not processed. Of those before, an unknown part is.
                Err(error) => break assert_eq!(error, SendError::Closed),
            }
            assert!(Instant::now() < deadline, "the end is not noticed");
        }
        drop(connection);
        eventually("the server has seen the end", || received.lock().len() == round + 1);
        let received = received.lock();
        assert!(received[round].len() >= 100 && sent.starts_with(&received[round]), "in round {round}");
    }
    finish(&server);
}

#[test]
fn the_application_may_decide() {
    let (server, count) = closing();
    let mut connections = reconnect(&url(&server, "/4409"));
    let mut left = 3;
    connections = connections.decide(move |setback| {
        assert!(matches!(setback, Setback::Ended(end) if end.code() == CloseCode::CONFLICT));
        left -= 1;
        left > 0
    });
    let mut ended = 0;
    while let Ok(Some(mut connection)) = connections.next_connection() {
        assert_eq!(connection.next_message(), Ok(None));
        ended += 1;
    }
    assert_eq!((ended, count.load(Ordering::SeqCst)), (3, 3));
    finish(&server);
}

#[test]
fn it_stops_at_once_whatever_it_is_waiting_for() {
    // An hour of waiting after the first attempt, which is refused.
    let mut backoff = Backoff::default();
    backoff.first = Duration::from_secs(3600);
    backoff.cap = Duration::from_secs(3600);
    let free = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
    // A server that never answers.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    for address in [free, silent.local_addr().expect("bound")] {
        let client = Client::new().connect_timeout(Duration::MAX);
        let mut connections = client.reconnect(&format!("ws://{address}/")).expect("a URL").backoff(backoff);
        let stopper = connections.stopper();
        let waiting = thread::spawn(move || connections.next_connection().map(|it| it.is_some()));
        thread::sleep(Duration::from_millis(50));
        stopper.stop();
        assert!(!join(waiting, LIMIT).expect("no error"));
    }
    // While a connection is open.
    let server = serving(|builder| builder, echo);
    let mut connections = reconnect(&url(&server, "/"));
    let stopper = connections.stopper();
    let mut connection = connections.next_connection().expect("worth it").expect("not stopped");
    assert_eq!(connection.next_message_within(Duration::ZERO), Ok(Next::Timeout));
    stopper.stop();
    within(LIMIT, move || {
        assert_eq!(connection.next_message(), Ok(None));
        assert!(connections.next_connection().expect("no error").is_none());
        assert!(connections.next_connection().expect("no error").is_none());
    });
    finish(&server);
}

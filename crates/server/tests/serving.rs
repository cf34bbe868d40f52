//! Handlers and connections that are taken by hand: who gets what, and how the connection ends with whom it is given to.

mod common;

use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use common::*;
use raddle_core::Role;
use raddle_core::handshake::Offer;
use raddle_server::{
    Cause, Close, CloseCode, ConnectionId, HandlerError, Info, Message, Phase, Reader, SendError, Writer,
};

#[test]
fn the_handler_has_a_reader_and_a_writer_for_any_thread() {
    let server = serving(
        |builder| builder,
        |mut reader, writer| {
            let other = writer.clone();
            let ticking = thread::spawn(move || other.send("from another thread"));
            while let Some(message) = reader.next_message()? {
                writer.send(message)?;
            }
            ticking.join().expect("no panic")?;
            Ok(())
        },
    );
    let mut client = connect(&server);
    assert_eq!(client.frame(), text("from another thread"));
    assert_echo(&mut client);
    say_goodbye(client);
    finish(&server);
}

#[test]
fn serve_returns_when_the_server_has_ended() {
    let server = listening(|builder| builder);
    let serving = thread::spawn({
        let server = server.clone();
        move || server.serve(echo)
    });
    // Whoever connects before the start waits for it.
    let mut client = connect(&server);
    assert_echo(&mut client);
    assert!(!serving.is_finished());
    server.stop(Duration::from_secs(5));
    assert_eq!(client.frame(), close(1001, "the server stops"));
    client.send(close(1001, ""));
    join(serving, LIMIT).expect("it has served");
}

#[test]
fn a_server_starts_once() {
    let server = echoing(|builder| builder);
    let second = server.start(echo).expect_err("it serves already");
    assert_eq!(second.kind(), std::io::ErrorKind::AlreadyExists);
    assert_echo(&mut connect(&server));
    finish(&server);
}

/// What a handler does with a connection.
type Handle = fn(&mut Reader, &Writer) -> Result<(), HandlerError>;

#[test]
fn the_connection_is_closed_by_what_the_handler_returns() {
    let cases: [(&str, Handle, u16); 7] = [
        ("nothing", |_, _| Ok(()), 1000),
        ("an error of its own", |_, _| Err("the data is damaged".into()), 1011),
        (
            "what it has found wrong in a message",
            |reader, _| {
                reader.next_message()?;
                Err(Box::new(std::fmt::Error))
            },
            1011,
        ),
        ("a panic", |_, _| panic!("the handler is broken"), 1011),
        (
            "a panic with a message lent",
            |reader, _| {
                let message = reader.next_message();
                panic!("the handler cannot do with {message:?}");
            },
            1011,
        ),
        ("a call that breaks a rule", |_, writer| Ok(writer.ping(&[0; 126])?), 1011),
        ("a Close of its own", |_, writer| Ok(writer.close(Close::code(CloseCode(4000)))?), 4000),
    ];
    for (what, handle, code) in cases {
        let server = serving(|builder| builder, move |mut reader, writer| handle(&mut reader, &writer));
        let mut client = connect(&server);
        client.send(text("Hello"));
        // Hostile input 180: the client learns no details.
        assert_eq!(client.frame(), close(code, ""), "{what}");
        client.send(close(code, ""));
        client.expect_end();
        finish(&server);
    }
}

/// Keeps what is logged as an error.
struct Errors(parking_lot::Mutex<Vec<String>>);

impl log::Log for Errors {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() == log::Level::Error
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            self.0.lock().push(record.args().to_string());
        }
    }

    fn flush(&self) {}
}

#[test]
fn the_end_of_the_connection_is_no_error_of_the_handler() {
    static ERRORS: Errors = Errors(parking_lot::Mutex::new(Vec::new()));
    log::set_logger(&ERRORS).expect("no other test sets one");
    log::set_max_level(log::LevelFilter::Error);
    let cases: [(Handle, &str); 3] = [
        // As the reader says it, and as a writer does; and an error that only looks like it.
        (
            |reader, _| {
                while reader.next_message()?.is_some() {}
                Ok(())
            },
            "",
        ),
        (
            |_, writer| loop {
                writer.send("more")?;
            },
            "",
        ),
        (|_, _| Err(Box::new(SendError::Closed)), "the connection is closed"),
    ];
    for (handle, logged) in cases {
        let server = serving(|builder| builder, move |mut reader, writer| handle(&mut reader, &writer));
        let client = connect(&server);
        thread::sleep(Duration::from_millis(50));
        drop(client);
        finish(&server);
        let errors: Vec<_> = ERRORS
            .0
            .lock()
            .iter()
            .filter(|error| error.contains("the connection is closed") || error.contains("stream ended"))
            .cloned()
            .collect();
        ERRORS.0.lock().clear();
        assert_eq!(errors.len(), usize::from(!logged.is_empty()), "{errors:?}");
        assert!(errors.iter().all(|error| error.ends_with(logged)), "{errors:?}");
    }
}

#[test]
fn a_panic_ends_one_connection_and_no_other() {
    // Hostile input 288: a thousand in a row, beside a client that does not notice.
    const PANICS: usize = 1_000;
    let server = serving(
        |builder| builder,
        |mut reader, writer| {
            while let Some(message) = reader.next_message()? {
                if message == Message::Text("panic") {
                    // Without the hook, which would print a thousand traces.
                    std::panic::resume_unwind(Box::new("asked for"));
                }
                writer.send(message)?;
            }
            Ok(())
        },
    );
    let mut polite = connect(&server);
    let start = Instant::now();
    for number in 0..PANICS {
        let mut client = connect(&server);
        client.send(text("panic"));
        assert_eq!(client.frame(), close(1011, ""));
        if number % 100 == 0 {
            assert_echo(&mut polite);
        }
    }
    assert!(start.elapsed() < LIMIT, "{:?}", start.elapsed());
    assert_echo(&mut polite);
    eventually("all have ended", || server.metrics().ended.get(&Cause::HandlerFailed) == Some(&(PANICS as u64)));
    say_goodbye(polite);
    finish(&server);
}

#[test]
fn a_handler_may_give_its_reader_away() {
    let (give, taken) = mpsc::channel::<Reader>();
    let give = parking_lot::Mutex::new(give);
    let server = serving(
        |builder| builder,
        move |reader, _writer| {
            give.lock().send(reader)?;
            Ok(())
        },
    );
    let mut client = connect(&server);
    let mut reader = taken.recv_timeout(LIMIT).expect("a reader");
    client.send(text("to the new owner"));
    assert_eq!(reader.next_message(), Ok(Some(Message::Text("to the new owner"))));
    reader.writer().send("from the new owner").expect("open");
    assert_eq!(client.frame(), text("from the new owner"));
    // The connection is closed once nobody has it.
    assert_eq!(client.frame_within(Duration::from_millis(100)), None);
    drop(reader);
    assert_eq!(client.frame(), close(1000, ""));
    client.send(close(1000, ""));
    client.expect_end();
    finish(&server);
}

#[test]
fn accept_gives_connections_to_the_callers_thread() {
    let server = listening(|builder| builder);
    assert!(server.accept(Duration::from_millis(50)).expect("it listens").is_none(), "nobody has come");
    let accepting = thread::spawn({
        let server = server.clone();
        move || {
            let next = || server.accept(LIMIT).expect("it listens").expect("somebody comes");
            (next(), next())
        }
    });
    let (mut one, mut two) = (connect(&server), connect(&server));
    let (mut first, second) = join(accepting, LIMIT);
    assert_eq!(server.connections().len(), 2);
    one.send(text("Hello"));
    assert_eq!(first.next_message(), Ok(Some(Message::Text("Hello"))));
    first.send("Hello yourself").expect("open");
    assert_eq!(one.frame(), text("Hello yourself"));
    // The connection is the caller's, and ends with its handles.
    drop(first);
    assert_eq!(one.frame(), close(1001, ""));
    one.expect_end();
    let closing = thread::spawn(move || second.close(Close::code(CloseCode(4000))));
    assert_eq!(two.frame(), close(4000, ""));
    two.send(close(4000, ""));
    two.expect_end();
    assert!(join(closing, LIMIT).is_clean());
    finish(&server);
    assert!(server.accept(LIMIT).expect("it has listened").is_none(), "a stopped server gives no more");
}

#[test]
fn accept_ends_when_the_server_is_stopped() {
    let server = listening(|builder| builder);
    let accepting = thread::spawn({
        let server = server.clone();
        move || server.accept(Duration::MAX).expect("it listens").is_none()
    });
    thread::sleep(Duration::from_millis(50));
    let start = Instant::now();
    server.stop(Duration::ZERO);
    assert!(join(accepting, LIMIT));
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
}

#[test]
fn requests_are_decided_on_by_who_accepts() {
    let decider = Arc::new(parking_lot::Mutex::new(None));
    let noted = Arc::clone(&decider);
    let server = listening(|builder| {
        builder.on_request(move |request| {
            *noted.lock() = Some(thread::current().id());
            let _ = if request.path() == "/in" { request.accept() } else { request.refuse(403) };
        })
    });
    let accepting = thread::spawn({
        let server = server.clone();
        move || server.accept(LIMIT).expect("it listens").map(|connection| connection.info().target.clone())
    });
    let deciding = accepting.thread().id();
    let refused = Asking::with(server.local_addr(), &Offer { target: "/out", ..OFFER });
    assert_eq!(refused.status(), 403);
    let accepted = Asking::with(server.local_addr(), &Offer { target: "/in", ..OFFER });
    drop(accepted.accepted());
    assert_eq!(join(accepting, LIMIT).as_deref(), Some("/in"));
    assert_eq!(*decider.lock(), Some(deciding));
    finish(&server);
}

/// A stream that something else has upgraded, and its client.
fn upgraded() -> (TcpStream, Client) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let client = TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
    (listener.accept().expect("accepted").0, Peer::new(client, Role::Client))
}

#[test]
fn an_adopted_connection_is_like_any_other() {
    let server = echoing(|builder| builder.max_connections(1));
    let (stream, mut client) = upgraded();
    let address = client.stream.local_addr().expect("connected");
    let mut info = Info::default();
    info.target = "/from/elsewhere".into();
    // Its first message has come together with the request.
    let received = client.encode(&text("early"));
    let id = server.adopt(stream, &received, info).expect("there is room");
    assert_eq!(client.frame(), text("early"));
    assert_echo(&mut client);
    let [connection] = server.connections().try_into().unwrap_or_else(|all| panic!("{all:?}"));
    assert_eq!((connection.id, connection.phase, connection.peer), (id, Phase::Open, Some(address)));
    assert_eq!(connection.info.expect("open").target.as_ref(), "/from/elsewhere");
    // It takes a place, and gives it back.
    let (second, mut refused) = upgraded();
    assert!(server.adopt(second, b"", Info::default()).is_err());
    refused.expect_end();
    assert_eq!(Asking::with(server.local_addr(), &OFFER).status(), 503);
    say_goodbye(client);
    eventually("the place is free", || server.metrics().connections == 0);
    assert_echo(&mut connect(&server));
    finish(&server);
    let (late, _client) = upgraded();
    assert!(server.adopt(late, b"", Info::default()).is_err());
}

#[test]
fn an_adopted_connection_waits_for_who_takes_it() {
    // Before the server is started, it is there for whoever serves or accepts.
    let server = listening(|builder| builder);
    let (stream, mut client) = upgraded();
    server.adopt(stream, b"", Info::default()).expect("there is room");
    client.send(text("early"));
    server.start(echo).expect("it starts");
    assert_eq!(client.frame(), text("early"));
    say_goodbye(client);
    finish(&server);

    let server = listening(|builder| builder);
    let (stream, mut client) = upgraded();
    let id = server.adopt(stream, b"", Info::default()).expect("there is room");
    let mut connection = server.accept(LIMIT).expect("it listens").expect("it is there");
    assert_eq!(ConnectionId::of(connection.info()), id);
    client.send(text("Hello"));
    assert_eq!(connection.next_message(), Ok(Some(Message::Text("Hello"))));
    drop(connection);
    finish(&server);
}

#[test]
fn a_client_that_is_early_is_heard() {
    // Hostile input 82: frames in the same segment as the request.
    let seen = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&seen);
    let server = serving(
        |builder| builder,
        move |mut reader, writer| {
            while let Some(message) = reader.next_message()? {
                count.fetch_add(1, Ordering::Relaxed);
                writer.send(message)?;
            }
            Ok(())
        },
    );
    let mut asking = Asking::silently(server.local_addr());
    let script = Peer::new(asking.stream.try_clone().expect("a descriptor"), Role::Client);
    let mut bytes = OFFER.encode().expect("a valid offer");
    for number in 0..10 {
        bytes.extend(script.encode(&text(&format!("early {number}"))));
    }
    bytes.extend(script.encode(&close(1000, "")));
    asking.say(&bytes);
    let (mut client, _) = asking.accepted();
    for number in 0..10 {
        assert_eq!(client.frame(), text(&format!("early {number}")));
    }
    assert_eq!(client.frame(), close(1000, ""));
    client.expect_end();
    assert_eq!(seen.load(Ordering::Relaxed), 10);
    finish(&server);
}

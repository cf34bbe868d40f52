//! Handlers and connections that are taken by hand: who gets what, and how the connection ends with whom it is given to.

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use common::*;
use raddle_core::Role;
use raddle_server::{Cause, Close, CloseCode, HandlerError, Message, Reader, SendError, Writer};

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

#[test]
fn join_says_which_handlers_have_not_returned() {
    // Hostile input 292.
    let (release, held) = mpsc::channel::<()>();
    let held = parking_lot::Mutex::new(held);
    let server = serving(
        |builder| builder,
        move |mut reader, writer| {
            let message = reader.next_message()?;
            if message == Some(Message::Text("compute")) {
                let _ = held.lock().recv();
            }
            echo(reader, writer)
        },
    );
    let mut computing = connect(&server);
    computing.send(text("compute"));
    eventually("it computes", || {
        server.connections().iter().any(|connection| connection.traffic.received_messages == 1)
    });
    let id = server.connections()[0].id;
    let mut other = connect(&server);
    other.send(text("Hello"));
    let running = server.join(Duration::from_millis(50)).expect_err("nobody has stopped it");
    assert_eq!(running.handlers.len(), 2);
    server.stop(Duration::from_millis(500));
    drop(other);
    eventually("the other one has returned", || {
        server.join(Duration::ZERO).expect_err("one computes").handlers.len() == 1
    });
    let running = server.join(Duration::from_millis(800)).expect_err("it computes on");
    assert_eq!((running.handlers.as_slice(), running.to_string()), (&[id][..], "1 handlers have not returned".into()));
    // Its connection has long been cut, and it goes when it is done.
    assert_eq!(computing.frame(), close(1001, "the server stops"));
    release.send(()).expect("it waits");
    server.join(LIMIT).expect("all handlers have returned");
}

#[test]
fn a_handler_that_computes_delays_nobody() {
    // Hostile input 234.
    let server = serving(
        |builder| builder,
        |mut reader, writer| {
            while let Some(message) = reader.next_message()? {
                if message == Message::Text("compute") {
                    thread::sleep(Duration::from_secs(1));
                }
                writer.send(message)?;
            }
            Ok(())
        },
    );
    let polite = Polite::of(&server);
    let mut computing: Vec<_> = (0..10).map(|_| connect(&server)).collect();
    for client in &mut computing {
        client.send(text("compute"));
    }
    // Nor itself: its Pings are answered meanwhile.
    computing[0].send(ping(b"there?"));
    assert_eq!(computing[0].frame(), pong(b"there?"));
    for client in &mut computing {
        assert_eq!(client.frame(), text("compute"));
    }
    polite.assert_undisturbed();
    drop(computing);
    finish(&server);
}

#[test]
fn a_flood_of_tiny_messages_delays_nobody_and_is_held_back() {
    // Hostile input 226.
    let server = serving(
        |builder| builder,
        |mut reader, writer| {
            while let Some(message) = reader.next_message()? {
                if message == Message::Text("") {
                    // A slow handler, for the flooder's messages only.
                    thread::sleep(Duration::from_millis(1));
                } else {
                    writer.send(message)?;
                }
            }
            Ok(())
        },
    );
    let polite = Polite::of(&server);
    let mut flooder = connect(&server);
    let flood = flooder.encode(&text("")).repeat(10_000);
    flooder.stream.set_write_timeout(Some(Duration::from_secs(1))).expect("a socket");
    let mut sent = 0;
    while sent < 100_000_000 && std::io::Write::write_all(&mut flooder.stream, &flood).is_ok() {
        sent += flood.len();
    }
    assert!(sent < 100_000_000, "the flooder is not held back");
    polite.assert_undisturbed();
    drop(flooder);
    finish(&server);
}

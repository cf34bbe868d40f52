//! Handlers that fail, panic, and call whatever there is: their connection ends, and no other.

use std::any::Any;
use std::cell::Cell;
use std::fmt;
use std::time::Duration;

use raddle_core::OpCode;
use raddle_server::{Cause, Close, CloseCode, HandlerError, Message, SendError, Writer};

use crate::common::*;
use crate::recorder::{At, Note, answer, facts, recorded};

/// What a handler does when it is told to.
type Act = fn(&Writer) -> Result<(), HandlerError>;

/// An error that cannot be shown, and one that cannot be dropped.
#[derive(Debug)]
struct Unspeakable;

struct Explosive;

impl fmt::Display for Unspeakable {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        resume("it cannot be shown")
    }
}

impl std::error::Error for Unspeakable {}

impl fmt::Debug for Explosive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Explosive")
    }
}

impl fmt::Display for Explosive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("explosive")
    }
}

impl std::error::Error for Explosive {}

impl Drop for Explosive {
    fn drop(&mut self) {
        resume("it cannot be dropped")
    }
}

/// Panics without the hook, which would print a trace.
fn resume(what: &str) -> ! {
    std::panic::resume_unwind(Box::new(what.to_owned()))
}

fn explode() -> Box<dyn Any + Send> {
    Box::new(Explosive)
}

const FAILING: [Act; 6] = [
    |_| Err("the data is damaged".into()),
    |_| resume("the handler is broken"),
    |_| Err(Box::new(Unspeakable)),
    |_| Err(Box::new(Explosive)),
    |_| std::panic::resume_unwind(explode()),
    |writer| Ok(writer.ping(&[0; 126])?),
];

#[test]
fn a_handler_that_fails_anywhere_ends_one_connection_and_no_other() {
    // Hostile inputs 180 and 288.
    for (number, act) in FAILING.into_iter().enumerate() {
        for place in ["open", "message", "drain"] {
            let host = recorded(
                |builder| {
                    builder.on_request(|request| {
                        let target = request.target().to_owned();
                        request.accept().unwrap_or_else(|error| panic!("{target}: {error}"));
                    })
                },
                move |writer, at| {
                    let told = writer.info().target.trim_start_matches('/') == place;
                    match (place, at) {
                        ("open", At::Open) | ("drain", At::Drain) if told => act(writer),
                        ("message", At::Message(_)) if told => act(writer),
                        ("drain", At::Open) if told => {
                            while writer.try_send(&[0; 64 * 1024]).is_ok() {}
                            Ok(())
                        }
                        (_, At::Message(message)) => answer(writer, At::Message(message)),
                        _ => Ok(()),
                    }
                },
            );
            let mut polite = connect(&host.server);
            let target = format!("/{place}");
            let offer = raddle_core::handshake::Offer { target: &target, ..OFFER };
            let (mut client, _) = Asking::with(host.server.local_addr(), &offer).accepted();
            if place == "message" {
                client.send_all(&[text("one"), text("another")]);
            }
            let mut frame = client.frame();
            while frame.opcode == OpCode::Binary {
                frame = client.frame();
            }
            assert_eq!(frame, close(1011, ""), "{place}, {number}");
            client.send_all(&[text("not heard"), close(1011, "")]);
            client.expect_end();
            assert_echo(&mut polite);
            eventually("it has left", || host.server.connections().len() == 1);
            assert_eq!(host.server.metrics().ended.get(&Cause::HandlerFailed), Some(&1));
            say_goodbye(polite);
            eventually("both were let go", || {
                host.log.all().iter().all(|notes| notes.last() == Some(&Note::StateDropped))
            });
            let all = host.log.all();
            let failed = all.iter().find(|notes| !notes.contains(&Note::Message(b"echo".to_vec()))).expect("two");
            let closes = failed.iter().filter(|note| matches!(note, Note::Close(_))).count();
            // Where there was no state, there is nothing to give back.
            assert_eq!(closes, usize::from(place != "open"), "{failed:?}");
            let messages = failed.iter().filter(|note| matches!(note, Note::Message(_))).count();
            assert_eq!(messages, usize::from(place == "message"), "{failed:?}");
            host.finish();
        }
    }
}

#[test]
fn what_came_with_the_message_that_a_handler_fails_on_is_acted_on_at_once() {
    for act in FAILING {
        // Whatever waits for the closing handshake to end by itself waits for long.
        let host = recorded(
            |builder| builder.with_options(|options| options.close_timeout = LIMIT + LIMIT),
            move |writer, at| if let At::Message(Message::Text("fail")) = at { act(writer) } else { Ok(()) },
        );
        let mut client = connect(&host.server);
        client.send_all(&[text("fail"), text("behind"), ping(b"there?"), close(4000, "bye")]);
        let mut frame = client.frame();
        while frame.opcode == OpCode::Pong {
            frame = client.frame();
        }
        assert_eq!(frame, close(1011, ""));
        client.expect_end();
        let (messages, end) = host.log.story();
        assert_eq!((messages.len(), facts(&end)), (1, (Cause::HandlerFailed, Some(4000), Some(1011))));
        host.finish();
    }
}

#[test]
fn a_panic_at_the_close_ends_nothing_else() {
    // Hostile input 288.
    let host = recorded(
        |builder| builder,
        |writer, at| match at {
            At::Close if &*writer.info().target == "/panic" => resume("at the close"),
            At::Message(message) => answer(writer, At::Message(message)),
            _ => Ok(()),
        },
    );
    let mut polite = connect(&host.server);
    for _ in 0..10 {
        let offer = raddle_core::handshake::Offer { target: "/panic", ..OFFER };
        say_goodbye(Asking::with(host.server.local_addr(), &offer).accepted().0);
        assert_echo(&mut polite);
    }
    eventually("all have left", || host.server.connections().len() == 1);
    say_goodbye(polite);
    host.finish();
}

#[test]
fn that_the_connection_has_ended_is_no_error_of_the_handler() {
    let host = recorded(
        |builder| builder,
        |writer, at| {
            if let At::Message(_) = at {
                writer.close(Close::code(CloseCode(4000)))?;
                writer.send("too late")?;
            }
            Ok(())
        },
    );
    let mut client = connect(&host.server);
    client.send_all(&[text("close"), text("not heard")]);
    assert_eq!(client.frame(), close(4000, ""));
    client.send(close(4000, ""));
    client.expect_end();
    let (messages, end) = host.log.story();
    assert_eq!((messages.len(), facts(&end)), (1, (Cause::LocalClose, Some(4000), Some(4000))));
    host.finish();
}

thread_local! {
    /// The calls of the handler that this thread is in.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// A call of the handler.
struct Inside;

impl Inside {
    fn enter() -> Self {
        DEPTH.set(DEPTH.get() + 1);
        assert_eq!(DEPTH.get(), 1, "a call within a call");
        Self
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get() - 1);
    }
}

#[test]
fn a_call_that_fills_the_output_again_and_again_is_never_within_another() {
    // Hostile input 296: each time that all has left, the handler sends as much again.
    const ROUNDS: usize = 200;
    let host = recorded(
        |builder| builder.with_options(|options| options.outgoing_limit = 10_000),
        |writer, at| {
            let _inside = Inside::enter();
            if matches!(at, At::Open | At::Drain) {
                while writer.try_send(&[0x5a; 50_000]).is_ok() {}
            }
            Ok(())
        },
    );
    let mut client = connect(&host.server);
    let drained = || host.log.all().into_iter().flatten().filter(|note| *note == Note::Drain).count();
    while drained() < ROUNDS {
        assert_eq!(client.frame().payload.len(), 50_000);
    }
    drop(client);
    host.finish();
}

#[test]
fn every_call_may_be_made_from_every_call() {
    // Hostile inputs 284, 290 and 296: no call that is made calls the handler, so that none of them is within another.
    let host = recorded(
        |builder| builder,
        |writer, at| {
            let _inside = Inside::enter();
            let is_close = matches!(at, At::Close);
            let _ = writer.try_send("one");
            let _ = writer.send("two");
            let mut parts = writer.begin();
            let begun = parts.send("three");
            if begun.is_ok() {
                assert_eq!(writer.send("amid another"), Err(SendError::Invalid(raddle_core::SendError::MessageOpen)));
            }
            let _ = parts.finish("");
            assert_eq!(writer.ping(b"four").is_err(), is_close);
            writer.flush();
            let _ = (writer.state(), writer.queued(), writer.round_trip(), writer.traffic());
            writer.cut_within(Duration::from_secs(100));
            if let At::Message(Message::Text("close")) = at {
                writer.close(Close::code(CloseCode::NORMAL))?;
            }
            assert!(writer.downgrade().upgrade().is_some());
            // The worker has it, and would wait for itself.
            assert!(writer.take_reader().is_none());
            Ok(())
        },
    );
    let mut client = connect(&host.server);
    client.send_all(&[text("first"), text("close")]);
    let mut frames = Vec::new();
    while frames.last().is_none_or(|frame: &Frame| frame.opcode != OpCode::Close) {
        frames.push(client.frame());
    }
    client.send(close(1000, ""));
    client.expect_end();
    let texts = frames.iter().filter(|frame| frame.opcode == OpCode::Text && frame.fin).count();
    assert_eq!(texts, 2 * 3, "{frames:?}");
    assert_eq!(host.log.story().0.len(), 2);
    host.finish();
}

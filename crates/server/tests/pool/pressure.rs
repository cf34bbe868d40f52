//! Peers that send too much, or take too little: each is held back, and the others are served.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use raddle_core::OpCode;
use raddle_server::{Message, SendError};

use crate::common::*;
use crate::recorder::{At, Note, answer, recorded};

#[test]
fn ten_thousand_messages_of_one_read_do_not_keep_another_waiting() {
    // Hostile input 232: the turns are bounded in messages as well as in bytes.
    let (release, held) = mpsc::channel::<()>();
    let (held, order) = (Mutex::new(held), Arc::<Mutex<Vec<bool>>>::default());
    let noted = Arc::clone(&order);
    let host = recorded(
        |builder| builder,
        move |_, at| {
            match at {
                At::Message(Message::Text("hold")) => held.lock().recv()?,
                At::Message(message) => noted.lock().push(message == Message::Text("polite")),
                _ => {}
            }
            Ok(())
        },
    );
    let mut holding = connect(&host.server);
    let mut flooder = connect(&host.server);
    let mut polite = connect(&host.server);
    eventually("all are with the worker", || host.log.all().len() == 3);
    holding.send(text("hold"));
    host.log.wait_for_messages(1);
    // As many as a read takes, and nothing of them is read before the other's message is there too.
    const FLOOD: usize = 10_000;
    let flood = flooder.encode(&text("")).repeat(FLOOD);
    flooder.send_bytes(&flood);
    polite.send(text("polite"));
    thread::sleep(Duration::from_millis(50));
    release.send(()).expect("it waits");
    eventually("all have come", || order.lock().len() == FLOOD + 1);
    let before = order.lock().iter().position(|polite| *polite).expect("it has come");
    assert!(before <= FLOOD / 4, "{before} messages of another were delivered before");
    drop((holding, flooder, polite));
    host.finish();
}

#[test]
fn a_peer_that_never_reads_is_held_back_and_gets_everything_later() {
    // Hostile inputs 226 to 228: memory is bounded by the outgoing limit, and the answer that passes it.
    const LIMIT_OF_OUTPUT: usize = 100_000;
    const LENGTH: usize = 10_000;
    let host = recorded(|builder| builder.with_options(|options| options.outgoing_limit = LIMIT_OF_OUTPUT), answer);
    let mut client = connect(&host.server);
    let id = host.server.connections()[0].id;
    let writer = host.server.connection(id).expect("open");
    let polite = Polite::of(&host.server);
    let mut stream = client.stream.try_clone().expect("a descriptor");
    let sending = thread::spawn({
        let messages: Vec<_> = (0..2000_u64).map(|number| client.encode(&binary(&pattern(LENGTH, number)))).collect();
        move || messages.iter().try_for_each(|message| stream.write_all(message)).expect("it takes all, at last")
    });
    eventually("it is held back", || writer.queued() > LIMIT_OF_OUTPUT);
    let mut most = 0;
    for _ in 0..200 {
        most = most.max(writer.queued());
        thread::sleep(Duration::from_millis(2));
    }
    assert!(!sending.is_finished(), "the flood is not held back");
    assert!(most <= LIMIT_OF_OUTPUT + LENGTH + 100, "{most} bytes wait");
    assert_echo(&mut connect(&host.server));
    for number in 0..2000 {
        assert!(client.frame() == binary(&pattern(LENGTH, number)), "message {number}");
    }
    join(sending, LIMIT);
    polite.assert_undisturbed();
    drop(writer);
    assert_echo(&mut client);
    let drained = host.log.all().into_iter().flatten().filter(|note| *note == Note::Drain).count();
    assert!(drained > 0, "nobody was told that it has left");
    drop(client);
    host.finish();
}

#[test]
fn a_thread_that_waits_to_send_holds_up_neither_the_worker_nor_what_is_received() {
    let host = recorded(
        |builder| {
            builder.with_options(|options| {
                options.outgoing_limit = 100_000;
                // It may take longer than a peer may be silent.
                options.ping_interval = None;
            })
        },
        |writer, at| {
            if let At::Message(Message::Text("echo")) = at {
                writer.send("echo")?;
            }
            Ok(())
        },
    );
    let mut client = connect(&host.server);
    client.send(text("here"));
    host.log.wait_for_messages(1);
    let id = host.server.connections()[0].id;
    let writer = host.server.connection(id).expect("open");
    let sending =
        thread::spawn(move || (0..64_u64).try_for_each(|number| writer.send(&pattern(1 << 20, number)).map(drop)));
    let polite = Polite::of(&host.server);
    thread::sleep(Duration::from_millis(100));
    assert!(!sending.is_finished());
    // Its own messages are delivered meanwhile, and answered behind what is on its way.
    for _ in 0..100 {
        client.send(text("more"));
    }
    client.send(text("echo"));
    eventually("all are heard", || {
        host.log
            .all()
            .iter()
            .any(|notes| notes.iter().filter(|note| **note == Note::Message(b"more".to_vec())).count() == 100)
    });
    assert!(!sending.is_finished());
    let (mut number, mut echoed) = (0, false);
    while number < 64 || !echoed {
        let frame = client.frame();
        if frame.opcode == OpCode::Text {
            echoed = true;
        } else {
            assert!(frame == binary(&pattern(1 << 20, number)), "message {number}");
            number += 1;
        }
    }
    join(sending, LIMIT).expect("all was sent");
    polite.assert_undisturbed();
    drop(client);
    host.finish();
}

#[test]
fn what_is_sent_to_another_connection_never_waits() {
    // Its peer does not read: the worker is told so, and goes on.
    let host = recorded(|builder| builder.with_options(|options| options.outgoing_limit = 100_000), {
        let others = Mutex::new(Vec::<raddle_server::Writer>::new());
        move |writer, at| {
            match at {
                At::Open if &*writer.info().target == "/stuck" => others.lock().push(writer.clone()),
                At::Message(Message::Text("publish")) => {
                    let results: Vec<_> = (0..1000).map(|_| others.lock()[0].send(&[0; 50_000])).collect();
                    assert_eq!(results.last(), Some(&Err(SendError::Full)));
                    writer.send("published")?;
                    others.lock().clear();
                }
                _ => {}
            }
            Ok(())
        }
    });
    let offer = raddle_core::handshake::Offer { target: "/stuck", ..OFFER };
    let (stuck, _) = Asking::with(host.server.local_addr(), &offer).accepted();
    let mut client = connect(&host.server);
    client.send(text("publish"));
    assert_eq!(client.frame(), text("published"));
    drop((client, stuck));
    host.finish();
}

#[test]
fn an_answer_that_is_refused_fails_where_the_options_say_so() {
    for when_full in [raddle_server::WhenFull::Fail, raddle_server::WhenFull::Close] {
        let host = recorded(
            |builder| {
                builder.with_options(|options| {
                    options.outgoing_limit = 100_000;
                    options.when_full = when_full;
                })
            },
            |writer, at| {
                if let At::Message(_) = at {
                    let failed = (0..1000).find_map(|_| writer.send(&[0; 50_000]).err());
                    writer.send(&*format!("{failed:?}")).map(drop).or_else(|error| {
                        assert_eq!(Some(error), failed);
                        Ok::<_, SendError>(())
                    })?;
                }
                Ok(())
            },
        );
        let mut client = connect(&host.server);
        client.send(text("much"));
        match when_full {
            raddle_server::WhenFull::Close => {
                let (_, end) = host.log.story();
                assert_eq!(end.cause, raddle_server::Cause::OutgoingFull);
            }
            _ => {
                host.log.wait_for_messages(1);
                assert_eq!(host.server.connections().len(), 1);
                while client.frame_within(Duration::from_millis(200)).is_some() {}
                client.send(close(1000, ""));
            }
        }
        drop(client);
        host.finish();
    }
}

#[test]
fn an_answer_has_its_place_behind_a_message_that_another_thread_sends_in_fragments() {
    let (go_on, pace) = mpsc::channel::<()>();
    let pace = Mutex::new(Some(pace));
    let host = recorded(
        |builder| builder,
        move |writer, at| match at {
            At::Message(Message::Text("begin")) => {
                let (writer, pace) = (writer.clone(), pace.lock().take().expect("it is said once"));
                let (begun, is_begun) = mpsc::channel();
                thread::spawn(move || {
                    let mut message = writer.begin();
                    message.send("slowly, ").expect("open");
                    begun.send(()).expect("somebody waits");
                    pace.recv().expect("it is told when");
                    message.finish("at last").expect("open");
                });
                Ok(is_begun.recv()?)
            }
            at => answer(writer, at),
        },
    );
    let mut client = connect(&host.server);
    client.send_all(&[text("begin"), text("one"), text("two"), text("three")]);
    assert_eq!(client.frame(), fragment(OpCode::Text, b"slowly, "));
    client.send(text("four"));
    assert_eq!(client.frame_within(Duration::from_millis(150)), None);
    // The peer is held back with its second message: the first is answered behind what is on its way.
    assert_eq!(host.log.all()[0].iter().filter(|note| matches!(note, Note::Message(_))).count(), 2);
    go_on.send(()).expect("it waits");
    assert_eq!(client.frame(), last_fragment(b"at last"));
    for answer in ["one", "two", "three", "four"] {
        assert_eq!(client.frame(), text(answer));
    }
    say_goodbye(client);
    host.finish();
}

#[test]
fn a_message_in_fragments_that_is_given_up_leaves_the_closing_handshake_to_be_done() {
    let host = recorded(
        |builder| builder,
        |writer, at| match at {
            At::Message(Message::Text("begin")) => {
                let writer = writer.clone();
                let (begun, is_begun) = mpsc::channel();
                thread::spawn(move || {
                    let mut message = writer.begin();
                    message.send("never finished").expect("open");
                    begun.send(()).expect("somebody waits");
                    thread::sleep(Duration::from_millis(100));
                });
                Ok(is_begun.recv()?)
            }
            at => answer(writer, at),
        },
    );
    let mut client = connect(&host.server);
    client.send_all(&[text("begin"), text("one")]);
    assert_eq!(client.frame().payload, b"never finished");
    assert_eq!(client.frame(), close(1011, "a message was given up"));
    client.send(close(1011, ""));
    client.expect_end();
    let (_, end) = host.log.story();
    assert_eq!(end.received.map(|(code, _)| code.0), Some(1011));
    host.finish();
}

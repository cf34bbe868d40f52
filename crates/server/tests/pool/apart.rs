//! A connection of the pool that has a thread of its own for a while: nothing is lost, everything stays in order, and the worker
//! has its time for others.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use raddle_core::OpCode;
use raddle_server::{
    Acceptance, Builder, Cause, ConnectionId, HandlerError, IdentityPolicy, Message, Reader, Server, Surplus, Writer,
};

use crate::common::*;
use crate::recorder::{A_WHILE, At, Note, Recorded, answer, facts, recorded};

type Body = dyn Fn(&mut Reader, &Writer) -> Result<(), HandlerError> + Send + Sync;

/// A handler that echoes, and at the message "move" moves the connection to a thread that runs `body`.
fn moving(
    set_up: impl FnOnce(Builder) -> Builder,
    body: impl Fn(&mut Reader, &Writer) -> Result<(), HandlerError> + Send + Sync + 'static,
) -> Recorded {
    let server = Arc::<Mutex<Option<Server>>>::default();
    let (known, body): (_, Arc<Body>) = (Arc::clone(&server), Arc::new(body));
    let host = recorded(set_up, move |writer, at| {
        if matches!(at, At::Message(Message::Text("move"))) {
            let (server, body) = (known.lock().clone().expect("it is started"), Arc::clone(&body));
            server.move_to_thread(writer, move |reader, writer| body(reader, writer))?;
        }
        answer(writer, at)
    });
    *server.lock() = Some(host.server.clone());
    host
}

/// A thread that echoes until "back", and says that it was there.
fn echo_apart(reader: &mut Reader, writer: &Writer) -> Result<(), HandlerError> {
    while let Some(message) = reader.next_message()? {
        let is_over = message == Message::Text("back");
        writer.send(message)?;
        writer.send("apart")?;
        if is_over {
            break;
        }
    }
    Ok(())
}

fn messages(host: &Recorded) -> usize {
    host.log.all().iter().flatten().filter(|note| matches!(note, Note::Message(_))).count()
}

#[test]
fn messages_keep_their_order_on_the_way_to_a_thread_and_back() {
    let host = moving(|builder| builder, echo_apart);
    let mut client = connect(&host.server);
    let mut bytes = Vec::new();
    let mut expected = Vec::new();
    for round in 0..50 {
        for number in 0..round {
            let frame = text(&format!("pool {round} {number}"));
            bytes.extend(client.encode(&frame));
            expected.push(frame);
        }
        bytes.extend(client.encode(&text("move")));
        expected.push(text("move"));
        for number in 0..round {
            let frame = text(&format!("thread {round} {number}"));
            bytes.extend(client.encode(&frame));
            expected.extend([frame, text("apart")]);
        }
        bytes.extend(client.encode(&text("back")));
        expected.extend([text("back"), text("apart")]);
    }
    // Cut anywhere: what is torn when the connection moves goes with it.
    let mut stream = client.stream.try_clone().expect("a descriptor");
    let sending = thread::spawn(move || {
        for piece in bytes.chunks(997) {
            stream.write_all(piece).expect("taken");
            thread::sleep(Duration::from_micros(300));
        }
    });
    for frame in expected {
        assert_eq!(client.frame(), frame);
    }
    join(sending, LIMIT);
    say_goodbye(client);
    let (of_pool, end) = host.log.story();
    assert_eq!((of_pool.len(), end.cause), (50 * 49 / 2 + 50, Cause::PeerClose));
    host.finish();
}

#[test]
fn the_worker_serves_others_while_the_thread_waits() {
    // Hostile input 234: who computes for long moves its connection to a thread of its own.
    let (release, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let host = moving(
        |builder| builder,
        move |_, writer| {
            held.lock().recv()?;
            // This thread may wait for room.
            (0..64).try_for_each(|_| writer.send(&[7; 1 << 20]).map(drop))?;
            Ok(())
        },
    );
    let mut client = connect(&host.server);
    let polite = Polite::of(&host.server);
    client.send_all(&[text("move"), text("later")]);
    assert_eq!(client.frame(), text("move"));
    // A thread like any of a server of such threads: its Pings are answered though it computes.
    client.send(ping(b"?"));
    assert_eq!(client.frame(), pong(b"?"));
    release.send(()).expect("it waits");
    for _ in 0..64 {
        let mut frame = client.frame();
        let mut length = frame.payload.len();
        while !frame.fin {
            frame = client.frame();
            length += frame.payload.len();
        }
        assert_eq!(length, 1 << 20);
    }
    assert_eq!(client.frame(), text("later"));
    assert_eq!(client.frame_within(A_WHILE), None);
    polite.assert_undisturbed();
    assert_echo(&mut client);
    drop(client);
    host.finish();
}

#[test]
fn it_is_the_same_connection_for_all_who_know_it() {
    let host = moving(
        |builder| {
            builder.identity_policy(IdentityPolicy { allowed: 1, surplus: Surplus::Refuse }).on_request(|request| {
                // The second one is refused.
                let _ = request.accept_with(Acceptance::new().identity("ada"));
            })
        },
        echo_apart,
    );
    let mut client = connect(&host.server);
    assert_echo(&mut client);
    let before = host.server.connections_of("ada");
    let writer = host.server.connection(before[0].id).expect("open");
    assert_eq!(host.server.subscribe(&writer, "all"), Ok(true));
    let is_unchanged = |client: &mut Client| {
        let now = host.server.connections_of("ada");
        assert_eq!((now.len(), now[0].id, now[0].phase), (1, before[0].id, before[0].phase));
        assert!(now[0].traffic.received_messages > before[0].traffic.received_messages);
        host.server.publish("all", "published");
        assert_eq!(client.frame(), text("published"));
        assert_eq!(Asking::with(host.server.local_addr(), &OFFER).status(), 409);
        writer.send("sent").expect("open");
        assert_eq!(client.frame(), text("sent"));
    };
    client.send(text("move"));
    assert_eq!(client.frame(), text("move"));
    is_unchanged(&mut client);
    client.send(text("there"));
    assert_eq!([client.frame(), client.frame()], [text("there"), text("apart")]);
    is_unchanged(&mut client);
    client.send(text("back"));
    assert_eq!([client.frame(), client.frame()], [text("back"), text("apart")]);
    assert_echo(&mut client);
    is_unchanged(&mut client);
    say_goodbye(client);
    eventually("it has left", || host.server.connections().is_empty());
    assert_eq!((host.server.subscribers("all"), host.server.metrics().opened), (0, 1));
    drop(writer);
    host.finish();
}

#[test]
fn what_waits_to_be_written_leaves_on_the_way_there_and_back() {
    let host = moving(
        |builder| builder.with_options(|options| options.outgoing_limit = 64 << 20),
        |_, writer| {
            (0..200_u64).try_for_each(|number| writer.try_send(&pattern(20_000, 1000 + number)).map(drop))?;
            Ok(())
        },
    );
    let mut client = connect(&host.server);
    for number in 0..200 {
        client.send(binary(&pattern(20_000, number)));
    }
    client.send(text("move"));
    host.log.wait_for_messages(201);
    eventually("it is back", || !is_apart(&host));
    client.send(text("behind"));
    for number in 0..200 {
        assert!(client.frame() == binary(&pattern(20_000, number)), "message {number}");
    }
    assert_eq!(client.frame(), text("move"));
    for number in 0..200 {
        assert!(client.frame() == binary(&pattern(20_000, 1000 + number)), "message {number}");
    }
    assert_eq!(client.frame(), text("behind"));
    assert_echo(&mut client);
    drop(client);
    host.finish();
}

/// Tells whether a thread has the one connection.
fn is_apart(host: &Recorded) -> bool {
    host.server.join(Duration::ZERO).is_err_and(|running| !running.handlers.is_empty())
}

#[test]
fn a_body_that_fails_ends_this_connection_and_no_other() {
    let failing: [fn() -> Result<(), HandlerError>; 2] =
        [|| Err("the data is damaged".into()), || std::panic::resume_unwind(Box::new("broken"))];
    for fail in failing {
        let host = moving(|builder| builder, move |_, _| fail());
        let mut client = connect(&host.server);
        let mut other = connect(&host.server);
        eventually("both are open", || host.log.all().len() == 2);
        client.send_all(&[text("move"), text("not heard")]);
        assert_eq!(client.frame(), text("move"));
        assert_eq!(client.frame(), close(1011, ""));
        client.send_all(&[text("nor this"), close(1011, "")]);
        client.expect_end();
        assert_echo(&mut other);
        eventually("it is told", || host.server.metrics().ended.get(&Cause::HandlerFailed) == Some(&1));
        drop((client, other));
        let of_first = |note: &Note| *note == Note::Message(b"move".to_vec());
        eventually("it has left", || {
            let all = host.log.all();
            let notes = all.iter().find(|notes| notes.iter().any(of_first)).expect("it was called").clone();
            matches!(&notes[..], [Note::Open, Note::Message(_), Note::Close(_), Note::StateDropped])
        });
        host.finish();
    }
}

#[test]
fn a_stop_waits_for_the_thread_and_the_handler_hears_the_end() {
    let (release, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let host = moving(
        |builder| builder,
        move |reader, _| {
            let over = reader.next_message().map(|message| message.is_none());
            held.lock().recv()?;
            assert_eq!(over, Ok(true));
            Ok(())
        },
    );
    let mut client = connect(&host.server);
    client.send(text("move"));
    assert_eq!(client.frame(), text("move"));
    eventually("the thread has it", || is_apart(&host));
    let id = host.server.connections()[0].id;
    host.server.stop(LIMIT);
    assert_eq!(client.frame().payload[..2], 1001_u16.to_be_bytes());
    client.send(close(1001, ""));
    client.expect_end();
    let running = host.server.join(A_WHILE).expect_err("the thread has not returned");
    assert_eq!(running.handlers, [id]);
    release.send(()).expect("it waits");
    let (messages, end) = host.log.story();
    assert_eq!((messages.len(), facts(&end)), (1, (Cause::Shutdown, Some(1001), Some(1001))));
    host.finish();
}

#[test]
fn a_client_that_leaves_while_its_thread_computes_makes_no_room() {
    let (release, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let host = moving(|builder| builder.max_connections(1), move |_, _| Ok(held.lock().recv()?));
    let mut client = connect(&host.server);
    client.send(text("move"));
    assert_eq!(client.frame(), text("move"));
    drop(client);
    eventually("it has ended", || host.server.connections().is_empty());
    assert_eq!(Asking::with(host.server.local_addr(), &OFFER).status(), 503);
    release.send(()).expect("it waits");
    let (messages, _) = host.log.story();
    assert_eq!(messages.len(), 1);
    eventually("there is room again", || {
        Asking::with(host.server.local_addr(), &OFFER).outcome().is_ok_and(|(client, _)| {
            say_goodbye(client);
            true
        })
    });
    host.finish();
}

#[test]
fn a_connection_is_moved_once_at_a_time_and_not_when_it_has_ended() {
    let host = moving(|builder| builder, echo_apart);
    let mut client = connect(&host.server);
    assert_echo(&mut client);
    let writer = host.server.connection(host.server.connections()[0].id).expect("open");
    // From another thread than its worker's.
    let (moved, is_moved) = mpsc::channel();
    let told = moved.clone();
    let result = host.server.move_to_thread(&writer, move |reader, writer| {
        told.send("first")?;
        echo_apart(reader, writer)
    });
    assert!(result.is_ok());
    let again = || host.server.move_to_thread(&writer, |_, _| Ok(())).map_err(|error| error.kind());
    assert_eq!(again(), Err(std::io::ErrorKind::NotConnected));
    assert_eq!(is_moved.recv_timeout(LIMIT), Ok("first"));
    assert_eq!(again(), Err(std::io::ErrorKind::NotConnected));
    client.send(text("back"));
    assert_eq!([client.frame(), client.frame()], [text("back"), text("apart")]);
    // It can be moved again, and then it is gone.
    eventually("it is back", || {
        let told = moved.clone();
        host.server
            .move_to_thread(&writer, move |reader, writer| {
                told.send("second")?;
                echo_apart(reader, writer)
            })
            .is_ok()
    });
    assert_eq!(is_moved.recv_timeout(LIMIT), Ok("second"));
    say_goodbye(client);
    eventually("it has left", || host.server.connections().is_empty());
    assert_eq!(again(), Err(std::io::ErrorKind::NotConnected));
    assert_eq!(ConnectionId::of(writer.info()).get(), writer.info().id);
    drop(writer);
    host.finish();
}

#[test]
fn connections_are_moved_under_load() {
    let host = moving(|builder| builder.workers(2), echo_apart);
    let clients: Vec<_> = (0..16)
        .map(|_| {
            let mut client = connect(&host.server);
            thread::spawn(move || {
                for _ in 0..30 {
                    client.send_all(&[text("move"), text("one"), text("back"), text("two")]);
                    let expected = [text("move"), text("one"), text("apart"), text("back"), text("apart"), text("two")];
                    for frame in expected {
                        assert_eq!(client.frame(), frame);
                    }
                }
                if client.frame_within(Duration::from_millis(1)).is_some_and(|frame| frame.opcode != OpCode::Ping) {
                    panic!("more than was asked for");
                }
                say_goodbye(client);
            })
        })
        .collect();
    clients.into_iter().for_each(|client| join(client, LIMIT));
    eventually("all have left", || host.server.connections().is_empty());
    assert_eq!(messages(&host), 16 * 30 * 2);
    host.finish();
}

#[test]
fn a_connection_is_moved_before_its_first_message() {
    let server = Arc::<Mutex<Option<Server>>>::default();
    let known = Arc::clone(&server);
    let host = recorded(
        |builder| builder,
        move |writer, at| {
            if let At::Open = at {
                let server = known.lock().clone().expect("it is started");
                server.move_to_thread(writer, echo_apart)?;
            }
            answer(writer, at)
        },
    );
    *server.lock() = Some(host.server.clone());
    // They come with the request.
    let mut asking = Asking::silently(host.server.local_addr());
    let scribe = Peer::new(asking.stream.try_clone().expect("a descriptor"), raddle_core::Role::Client);
    let frames = [text("one"), text("back"), text("two")].map(|frame| scribe.encode(&frame)).concat();
    asking.say(&[OFFER.encode().expect("a valid offer"), frames].concat());
    let (mut client, _) = asking.accepted();
    for frame in ["one", "apart", "back", "apart", "two"] {
        assert_eq!(client.frame(), text(frame));
    }
    say_goodbye(client);
    let (messages, _) = host.log.story();
    assert_eq!(messages, [b"two"]);
    host.finish();
}

#[test]
fn a_connection_that_has_a_thread_already_cannot_be_moved() {
    let server = listening(|builder| builder);
    let handle = server.clone();
    server
        .start(move |_, writer| {
            let error = handle.move_to_thread(&writer, |_, _| Ok(())).expect_err("it has one");
            writer.send(&*error.kind().to_string())?;
            Ok(())
        })
        .expect("it starts");
    assert_eq!(connect(&server).frame(), text("not connected"));
    finish(&server);
}

#[test]
fn a_handler_that_moves_its_connection_and_fails_has_the_peers_close_read_all_the_same() {
    let server = Arc::<Mutex<Option<Server>>>::default();
    let known = Arc::clone(&server);
    let host = recorded(
        |builder| builder.with_options(|options| options.close_timeout = Duration::from_secs(600)),
        move |writer, at| {
            if matches!(at, At::Message(Message::Text("fail"))) {
                let server = known.lock().clone().expect("it is started");
                server.move_to_thread(writer, |_, _| panic!("the connection has failed before"))?;
                return Err("moved, and failed".into());
            }
            answer(writer, at)
        },
    );
    *server.lock() = Some(host.server.clone());
    let mut client = connect(&host.server);
    client.send(text("fail"));
    assert_eq!(client.frame().opcode, OpCode::Close);
    client.send(close(1011, ""));
    client.expect_end();
    host.log.story();
    host.finish();
}

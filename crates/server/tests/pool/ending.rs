//! How a connection of the pool ends, whoever ends it: the last call comes once, with the right cause.

use std::net::Shutdown;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use raddle_core::OpCode;
use raddle_server::{Cause, Close, CloseCode, ConnectionId, Error, Message, SendError, Writer};
use rustix::net::sockopt;

use crate::common::*;
use crate::recorder::{A_WHILE, At, Note, answer, facts, listen, recorded};

#[test]
fn messages_come_in_order_between_open_and_close() {
    // Hostile input 281.
    let host = recorded(|builder| builder, answer);
    let mut client = connect(&host.server);
    for number in 0..100 {
        client.send(text(&number.to_string()));
    }
    for number in 0..100 {
        assert_eq!(client.frame(), text(&number.to_string()));
    }
    say_goodbye(client);
    let (messages, end) = host.log.story();
    assert!(messages.iter().enumerate().all(|(number, message)| *message == number.to_string().as_bytes()));
    assert_eq!((messages.len(), facts(&end)), (100, (Cause::PeerClose, Some(1000), Some(1000))));
    host.finish();
}

#[test]
fn the_end_is_told_whoever_makes_it() {
    // Hostile inputs 264 and 276: one close event, with the first cause.
    type Act = fn(&mut Client, &Writer);
    let cases: [(Act, Cause, Option<u16>, Option<u16>); 7] = [
        (|client, _| client.send(close(4000, "bye")), Cause::PeerClose, Some(4000), Some(4000)),
        (|client, _| client.stream.shutdown(Shutdown::Write).expect("connected"), Cause::EndOfStream, None, None),
        (|client, _| client.send_bytes(b"\x83\x80\0\0\0\0"), Cause::Failed(Error::ReservedOpCode), None, Some(1002)),
        (|_, writer| writer.cut(Cause::Replaced), Cause::Replaced, None, None),
        (
            |client, writer| {
                writer.close(Close::code(CloseCode(4001))).expect("open");
                assert_eq!(client.frame(), close(4001, ""));
                client.send(close(4002, ""));
            },
            Cause::LocalClose,
            Some(4002),
            Some(4001),
        ),
        // Several at once: the first is the one that counts.
        (
            |client, writer| {
                writer.cut(Cause::Replaced);
                writer.cut(Cause::Shutdown);
                assert!(writer.close(Close::code(CloseCode::NORMAL)).is_err());
                let _ = std::io::Write::write_all(&mut client.stream, b"\x83");
            },
            Cause::Replaced,
            None,
            None,
        ),
        (
            |client, _| {
                sockopt::set_socket_linger(&client.stream, Some(Duration::ZERO)).expect("a socket");
                // Its end, with a linger of zero, is a reset.
                let other = std::net::TcpStream::connect(client.stream.peer_addr().expect("connected"));
                drop(std::mem::replace(&mut client.stream, other.expect("the server listens")));
            },
            Cause::Io(std::io::ErrorKind::ConnectionReset),
            None,
            None,
        ),
    ];
    for (number, (act, cause, received, sent)) in cases.into_iter().enumerate() {
        let host = recorded(|builder| builder, listen);
        let mut client = connect(&host.server);
        client.send(text("first"));
        host.log.wait_for_messages(1);
        let id = host.server.connections()[0].id;
        let writer = host.server.connection(id).expect("open");
        act(&mut client, &writer);
        if matches!(cause, Cause::Failed(_)) {
            assert_eq!(client.frame().opcode, OpCode::Close);
            client.expect_end();
            client.stream.shutdown(Shutdown::Both).expect("connected");
        }
        let (messages, end) = host.log.story();
        assert_eq!((messages.len(), facts(&end)), (1, (cause, received, sent)), "case {number}");
        assert!(writer.send("late").is_err());
        host.finish();
    }
}

#[test]
fn a_connection_that_the_handler_cuts_brings_nothing_more() {
    // Hostile input 291.
    let host = recorded(
        |builder| builder,
        |writer, at| {
            if let At::Message(Message::Text("cut")) = at {
                writer.cut(Cause::LocalClose);
            }
            Ok(())
        },
    );
    let mut client = connect(&host.server);
    let behind = (0..100).map(|number| text(&format!("behind {number}")));
    client.send_all(&[text("before"), text("cut")].into_iter().chain(behind).collect::<Vec<_>>());
    let (messages, end) = host.log.story();
    assert_eq!((messages, end.cause), (vec![b"before".to_vec(), b"cut".to_vec()], Cause::LocalClose));
    host.finish();
}

#[test]
fn a_connection_that_another_thread_cuts_brings_nothing_more() {
    let (release, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let host = recorded(
        |builder| builder,
        move |_, at| {
            if let At::Message(Message::Text("hold")) = at {
                held.lock().recv()?;
            }
            Ok(())
        },
    );
    let mut client = connect(&host.server);
    client.send_all(&[text("hold"), text("in the same read")]);
    host.log.wait_for_messages(1);
    // In the socket, and not read.
    client.send(text("in the next"));
    thread::sleep(Duration::from_millis(20));
    let id = host.server.connections()[0].id;
    host.server.connection(id).expect("open").cut(Cause::Replaced);
    release.send(()).expect("it waits");
    let (messages, end) = host.log.story();
    assert_eq!((messages, end.cause), (vec![b"hold".to_vec()], Cause::Replaced));
    host.finish();
}

#[test]
fn a_thread_that_waits_to_send_is_told_at_once_that_its_connection_is_cut() {
    // Hostile input 274.
    let host = recorded(|builder| builder.with_options(|options| options.outgoing_limit = 100_000), listen);
    let client = connect(&host.server);
    let writer = host.server.connection(host.server.connections()[0].id).expect("open");
    let sending = thread::spawn({
        let writer = writer.clone();
        move || writer.send(&vec![0x5a; 64 << 20])
    });
    // More than the sockets hold.
    thread::sleep(A_WHILE);
    assert!(!sending.is_finished(), "the peer has taken all of it");
    writer.cut(Cause::Replaced);
    assert_eq!(join(sending, SOON), Err(SendError::Closed));
    let (_, end) = host.log.story();
    assert_eq!(end.cause, Cause::Replaced);
    drop(client);
    host.finish();
}

#[test]
fn a_peer_that_has_ended_its_side_behind_its_close_gets_what_waits_for_it() {
    // More than the sockets hold, and the Close in answer behind it.
    let host = recorded(
        |builder| {
            builder.with_options(|options| {
                options.outgoing_limit = 64 << 20;
                options.close_timeout = LIMIT;
            })
        },
        |writer, at| {
            if let At::Message(_) = at {
                for _ in 0..32 {
                    writer.send(&[0x5a; 1 << 20])?;
                }
            }
            Ok(())
        },
    );
    let mut client = connect(&host.server);
    client.send_all(&[text("all"), close(1000, "")]);
    client.stream.shutdown(Shutdown::Write).expect("connected");
    thread::sleep(Duration::from_millis(50));
    let mut received = 0;
    let last = loop {
        let frame = client.frame();
        match frame.opcode {
            OpCode::Close => break frame,
            _ => received += frame.payload.len(),
        }
    };
    assert!(received == 32 << 20, "{received} bytes");
    assert_eq!(last, close(1000, ""));
    client.expect_end();
    host.finish();
}

#[test]
fn nothing_is_said_to_have_left_that_was_lost() {
    // The peer resets while output waits for it: the last call is the close.
    let host = recorded(
        |builder| builder,
        |writer, at| {
            if let At::Open = at {
                while writer.try_send(&[0; 64 * 1024]).is_ok() {}
            }
            Ok(())
        },
    );
    let client = connect(&host.server);
    eventually("it waits", || host.server.metrics().queued_bytes > 0);
    thread::sleep(Duration::from_millis(20));
    sockopt::set_socket_linger(&client.stream, Some(Duration::ZERO)).expect("a socket");
    drop(client);
    let notes = host.log.whole();
    assert!(matches!(&notes[..], [Note::Open, Note::Close(_)]), "{notes:?}");
    host.finish();
}

#[test]
fn a_connection_is_let_go_at_once_where_its_peer_vanishes_while_its_input_is_held_back() {
    let host = recorded(|builder| builder.with_options(|options| options.outgoing_limit = 100_000), answer);
    let client = connect(&host.server);
    flood_until_held(&host.server, &client);
    sockopt::set_socket_linger(&client.stream, Some(Duration::ZERO)).expect("a socket");
    drop(client);
    let (_, end) = host.log.story();
    assert!(matches!(end.cause, Cause::Io(_) | Cause::EndOfStream), "{end}");
    host.finish();
}

/// Sends until the server takes no more, and reads nothing.
fn flood_until_held(server: &raddle_server::Server, client: &Client) {
    let message = client.encode(&binary(&[0x5a; 50_000]));
    let mut stream = client.stream.try_clone().expect("a descriptor");
    stream.set_write_timeout(Some(Duration::from_millis(500))).expect("a socket");
    let mut sent = 0;
    while std::io::Write::write_all(&mut stream, &message).is_ok() {
        sent += message.len();
        assert!(sent < 200_000_000, "the flood is not held back");
    }
    assert!(server.metrics().queued_bytes > 0);
}

#[test]
fn stop_ends_connections_in_every_state() {
    // Hostile inputs 278 and 292: the one that is in its handler is told of when the grace is over.
    let (release, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let host = recorded(
        |builder| builder.workers(2).with_options(|options| options.outgoing_limit = 100_000),
        move |writer, at| {
            match at {
                At::Message(Message::Text("hold")) => held.lock().recv()?,
                At::Message(Message::Text("close")) => writer.close(Close::code(CloseCode(4000)))?,
                At::Message(Message::Text("fail")) => return Err("as it was told".into()),
                _ => answer(writer, at)?,
            }
            Ok(())
        },
    );
    let mut clients: Vec<_> = (0..6).map(|_| connect(&host.server)).collect();
    clients.iter_mut().for_each(assert_echo);
    clients[0].send(text("close"));
    assert_eq!(clients[0].frame(), close(4000, ""));
    clients[1].send(text("fail"));
    assert_eq!(clients[1].frame(), close(1011, ""));
    // Amid a message, amid its failure, held back, in its handler.
    clients[2].send(fragment(OpCode::Text, b"more is to co"));
    clients[3].send_bytes(b"\x83\x80\0\0\0\0");
    flood_until_held(&host.server, &clients[4]);
    clients[5].send(text("hold"));
    host.log.wait_for_messages(9);
    let silent = Asking::silently(host.server.local_addr());
    host.server.stop(Duration::from_millis(300));
    thread::sleep(A_WHILE);
    let running = host.server.join(Duration::from_secs(1)).expect_err("one is in its handler");
    assert_eq!(running.handlers.len(), 1);
    release.send(()).expect("it waits");
    host.server.join(LIMIT).expect("all have ended");
    assert!(matches!(silent.status(), 503 | 0));
    assert_eq!(host.log.all().len(), 6);
    for notes in host.log.all() {
        assert!(matches!(&notes[..], [Note::Open, .., Note::Close(_), Note::StateDropped]), "{notes:?}");
    }
    drop(clients);
    host.finish();
}

#[test]
fn join_names_the_connections_whose_handler_is_being_called() {
    let (release, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let host = recorded(
        |builder| builder,
        move |_, at| {
            if let At::Message(_) = at {
                held.lock().recv()?;
            }
            Ok(())
        },
    );
    let mut client = connect(&host.server);
    client.send(text("hold"));
    host.log.wait_for_messages(1);
    let id: ConnectionId = host.server.connections()[0].id;
    let running = host.server.join(Duration::from_millis(50)).expect_err("it is in its handler");
    assert_eq!(running.handlers, [id]);
    host.server.stop(Duration::ZERO);
    release.send(()).expect("it waits");
    host.server.join(LIMIT).expect("all have ended");
    let (_, end) = host.log.story();
    assert_eq!(end.cause, Cause::Shutdown);
    host.finish();
}

/// What an application has attached, and panics when it is dropped.
struct Grenade;

impl Drop for Grenade {
    fn drop(&mut self) {
        assert!(thread::panicking(), "as it is to");
    }
}

#[test]
fn what_is_attached_to_a_connection_takes_no_worker_along() {
    let server = listening(|builder| {
        builder.workers(1).on_request(|mut request| {
            request.attach(Grenade);
            request.accept().expect("it is in time");
        })
    });
    let echo = |writer: &Writer, message: Message<'_>| Ok(writer.send(message).map(|_| ())?);
    server.start_pool(echo).expect("it starts");
    for _ in 0..3 {
        let mut client = connect(&server);
        assert_echo(&mut client);
        say_goodbye(client);
        eventually("its connection has ended", || server.connections().is_empty());
    }
    finish(&server);
}

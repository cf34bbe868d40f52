//! The caller-driven pool: what a poll gives, and what it lets leave.

mod common;

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use common::*;
use raddle_core::Role;
use raddle_server::{Builder, ConnectionId, Event, EventLoop, Info, Message, Reader, Server, Writer};
use raddle_socket::State;

/// A loop may be made by one thread and polled by another.
const _: fn() = || {
    fn moves<T: Send>() {}
    moves::<EventLoop>();
};

/// Polls until the server has stopped, echoes, and says what else has happened.
fn echo_to_the_end(events: &mut EventLoop) -> Vec<String> {
    let mut happened = Vec::new();
    while !events.is_over() {
        for event in events.poll(Some(LIMIT)) {
            match event {
                Event::Message(connection, message) => {
                    connection.send(message).expect("there is room");
                }
                Event::Open(_) => happened.push("open".into()),
                Event::Drained(_) => happened.push("drained".into()),
                Event::Closed(_, end) => happened.push(format!("closed: {end}")),
                event => panic!("{event:?}"),
            }
        }
    }
    happened
}

#[test]
fn a_poll_gives_what_has_happened_in_order() {
    let (server, mut events) = looping(|builder| builder);
    let client = beside(&server, |server| {
        let mut client = connect(server);
        for number in 0..100 {
            client.send(text(&format!("message {number}")));
        }
        for number in 0..100 {
            assert_eq!(client.frame(), text(&format!("message {number}")));
        }
        client.send(ping(b"still there?"));
        assert_eq!(client.frame(), pong(b"still there?"));
        say_goodbye(client);
    });
    let happened = echo_to_the_end(&mut events);
    join(client, LIMIT);
    assert_eq!(happened.len(), 2, "{happened:?}");
    assert!(happened[0] == "open" && happened[1].starts_with("closed: "), "{happened:?}");
    server.join(LIMIT).expect("it has ended");
}

#[test]
fn events_that_were_not_taken_are_there_until_the_next_poll() {
    let (server, mut events) = looping(Builder::requests_as_events);
    let client = beside(&server, |server| {
        let mut client = connect(server);
        let bytes: Vec<u8> = (0..100).flat_map(|number| client.encode(&text(&format!("{number}")))).collect();
        client.send_bytes(&bytes);
        for number in 0..100 {
            assert_eq!(client.frame(), text(&format!("{number}")));
        }
        say_goodbye(client);
    });
    let mut happened = Vec::new();
    let mut note = |event: Event<'_>| {
        happened.push(match event {
            Event::Request(request) => request.accept().map(|()| "request".into()).expect("it is in time"),
            Event::Message(connection, Message::Text(text)) => {
                connection.send(text).expect("there is room");
                text.to_owned()
            }
            Event::Open(_) => "open".into(),
            Event::Closed(..) => "closed".into(),
            event => panic!("{event:?}"),
        });
    };
    while !events.is_over() {
        events.poll(Some(LIMIT)).take(1).for_each(&mut note);
        // Some by some, to the last.
        while events.rest().take(7).map(&mut note).count() > 0 {}
        assert_eq!(events.rest().count(), 0);
    }
    join(client, LIMIT);
    let messages = (0..100).map(|number: u32| number.to_string());
    let expected: Vec<String> =
        ["request".into(), "open".into()].into_iter().chain(messages).chain(["closed".into()]).collect();
    assert_eq!(happened, expected);
}

#[test]
fn messages_that_come_with_the_end_are_answered_before_it() {
    let last_words: [(&[u8], u16); 3] =
        [(b"\x88\x82\0\0\0\0\x03\xe8", 1000), (b"\x83\x80\0\0\0\0", 1002), (b"\x81\x81\0\0\0\0\xff", 1007)];
    for (last_word, code) in last_words {
        let (server, mut events) = looping(|builder| builder);
        let client = beside(&server, move |server| {
            let mut client = connect(server);
            let mut bytes = client.encode(&text("one"));
            bytes.extend(client.encode(&text("two")));
            bytes.extend(last_word);
            client.send_bytes(&bytes);
            assert_eq!([client.frame(), client.frame()], [text("one"), text("two")]);
            assert_eq!(client.frame().payload[..2], code.to_be_bytes());
        });
        let happened = echo_to_the_end(&mut events);
        join(client, LIMIT);
        assert!(happened.len() == 2 && happened[1].starts_with("closed: "), "{happened:?}");
    }
}

#[test]
fn messages_of_every_size_come_whole_however_they_are_cut() {
    let (server, mut events) = looping(|builder| {
        builder.with_options(|options| {
            options.limits = options.limits.message(4 << 20);
            options.outgoing_limit = 8 << 20;
            options.fragment_size = 8 << 20;
        })
    });
    let client = beside(&server, |server| {
        let mut one = connect(server);
        let mut other = connect(server);
        for size in [0, 1, 125, 126, 16_000, 65_535, 65_536, 200_000, 300_000, 1 << 20, 3 << 20] {
            let payload = pattern(size, size as u64);
            let bytes = one.encode(&binary(&payload));
            // Between the pieces another client is served.
            for piece in bytes.chunks(bytes.len().div_ceil(3).max(1)) {
                one.send_bytes(piece);
                assert_echo(&mut other);
            }
            assert_eq!(one.frame(), binary(&payload), "{size} bytes");
        }
        // More than a turn's memory at once.
        let payload = pattern(1000, 7);
        let batch: Vec<u8> = (0..2000).flat_map(|_| one.encode(&binary(&payload))).collect();
        let mut stream = one.stream.try_clone().expect("cloned");
        let sending = thread::spawn(move || stream.write_all(&batch).expect("taken"));
        for _ in 0..2000 {
            assert_eq!(one.frame(), binary(&payload));
        }
        join(sending, LIMIT);
    });
    echo_to_the_end(&mut events);
    join(client, LIMIT);
}

#[test]
fn many_empty_messages_of_one_read_take_few_polls() {
    let (server, mut events) = looping(|builder| builder);
    let client = beside(&server, |server| {
        let mut client = connect(server);
        let one = client.encode(&text(""));
        client.send_bytes(&one.repeat(10_000));
        for _ in 0..10_000 {
            assert_eq!(client.frame(), text(""));
        }
        say_goodbye(client);
    });
    let (mut polls, mut messages) = (0, 0);
    while !events.is_over() {
        let before = messages;
        for event in events.poll(Some(LIMIT)) {
            if let Event::Message(connection, message) = event {
                connection.send(message).expect("there is room");
                messages += 1;
            }
        }
        polls += usize::from(messages > before);
    }
    join(client, LIMIT);
    // About a thousand a turn; each system call of the client may bring fewer.
    assert!(messages == 10_000 && polls < 100, "{messages} in {polls} polls");
}

#[test]
fn a_corked_answer_leaves_though_nobody_polls_and_a_flush_lets_it_leave() {
    let (server, mut events) = looping(|builder| builder);
    let client = beside(&server, |server| {
        let mut client = connect(server);
        for _ in 0..2 {
            assert_echo(&mut client);
        }
    });
    for flushes in [false, true] {
        let mut is_answered = false;
        while !is_answered {
            for event in events.poll(Some(LIMIT)) {
                if let Event::Message(connection, message) = event {
                    connection.send(message).expect("there is room");
                    is_answered = true;
                }
            }
        }
        // The application computes for as long as the client waits.
        if flushes {
            events.flush();
        } else {
            thread::sleep(Duration::from_millis(100));
        }
    }
    join(client, LIMIT);
    echo_to_the_end(&mut events);
}

#[test]
fn a_waker_ends_a_poll_and_a_poll_ends_in_time() {
    let (server, mut events) = looping(|builder| builder);
    let waker = events.waker();
    let waking = thread::spawn(move || {
        thread::sleep(Duration::from_millis(50));
        waker.wake();
    });
    assert_eq!(events.poll(None).count(), 0);
    assert!(events.was_woken());
    join(waking, LIMIT);
    let begun = Instant::now();
    assert_eq!(events.poll(Some(Duration::from_millis(50))).count(), 0);
    assert!(begun.elapsed() >= Duration::from_millis(50));
    assert!(!events.was_woken() && !events.is_over());
    server.stop(Duration::ZERO);
    while !events.is_over() {
        assert_eq!(events.poll(Some(LIMIT)).count(), 0);
    }
    assert_eq!(events.poll(None).count(), 0, "it is over, and a poll does not wait");
}

#[test]
fn what_has_arrived_is_given_whatever_the_timeout() {
    // Hostile inputs 249 and 250: about when the time is up, and before a poll that does not wait.
    const COUNT: u32 = 300;
    let (server, mut events) = looping(|builder| builder);
    let client = beside(&server, |server| {
        let mut client = connect(server);
        for number in 0..COUNT {
            let message = client.encode(&binary(&number.to_be_bytes()));
            let (start, rest) = message.split_at(number as usize % message.len());
            client.send_bytes(start);
            thread::sleep(Duration::from_millis(1));
            client.send_bytes(rest);
        }
        say_goodbye(client);
    });
    let mut heard = Vec::new();
    let mut polls = 0;
    while !events.is_over() {
        // Nothing is waited for longer than a millisecond, and half of the time not at all.
        for event in events.poll(Some(Duration::from_millis(polls % 2))) {
            if let Event::Message(_, message) = event {
                heard.push(u32::from_be_bytes(*message.as_bytes().first_chunk().expect("a number")));
            }
        }
        polls += 1;
    }
    join(client, LIMIT);
    assert!(heard.iter().copied().eq(0..COUNT), "{heard:?}");
    assert!(polls > 100, "{polls} polls");
}

#[test]
fn what_a_poll_has_given_stays_as_it_is_while_more_arrives() {
    // Hostile input 282.
    let (server, mut events) = looping(|builder| builder);
    let client = beside(&server, |server| {
        let mut client = connect(server);
        for round in 0..50_u64 {
            // In pieces, several at a time, and one that has a place of its own.
            for length in [10, 3_000, 100, if round % 10 == 0 { 400_000 } else { 0 }] {
                client.send(binary(&pattern(length, length as u64)));
            }
        }
        say_goodbye(client);
    });
    let mut count = 0;
    while !events.is_over() {
        let given: Vec<_> = events.poll(Some(LIMIT)).collect();
        // The client goes on meanwhile.
        thread::sleep(Duration::from_millis(2));
        for event in given {
            if let Event::Message(_, message) = event {
                let length = message.as_bytes().len();
                assert!(message.as_bytes() == pattern(length, length as u64), "{length} bytes");
                count += 1;
            }
        }
    }
    join(client, LIMIT);
    assert_eq!(count, 4 * 50);
}

#[test]
fn requests_are_events_and_may_be_decided_on_later() {
    let (server, mut events) = looping(Builder::requests_as_events);
    let client = beside(&server, |server| {
        let refused = Asking::with(server.local_addr(), &raddle_core::handshake::Offer { target: "/no", ..OFFER });
        assert_eq!(refused.answer().expect("an answer").status, 403);
        let mut client = connect(server);
        assert_echo(&mut client);
        say_goodbye(client);
    });
    let mut asked = Vec::new();
    while !events.is_over() {
        for event in events.poll(Some(LIMIT)) {
            match event {
                Event::Request(request) if request.path() == "/no" => {
                    asked.push(request.path().to_owned());
                    request.refuse(403).expect("in time");
                }
                Event::Request(request) => {
                    asked.push(request.path().to_owned());
                    thread::spawn(move || request.accept().expect("in time"));
                }
                Event::Message(connection, message) => drop(connection.send(message).expect("there is room")),
                _ => {}
            }
        }
    }
    join(client, LIMIT);
    assert_eq!(asked, ["/no", OFFER.target]);
}

#[test]
fn a_peer_that_floods_and_never_reads_is_held_and_holds_up_nobody() {
    let (server, mut events) = looping(|builder| builder.with_options(|options| options.outgoing_limit = 64 * 1024));
    let client = beside(&server, |server| {
        let flooding = connect(server);
        let address = flooding.stream.local_addr().expect("connected");
        let mut stream = flooding.stream.try_clone().expect("cloned");
        let flood: Vec<u8> = flooding.encode(&binary(&pattern(1000, 1)));
        stream.set_nonblocking(true).expect("it is a socket");
        let mut honest = connect(server);
        let mut most = 0;
        for _ in 0..3000 {
            let _ = stream.write(&flood.repeat(64));
            assert_echo(&mut honest);
            let of_flooding = server.connections().into_iter().find(|known| known.peer == Some(address));
            let queued = of_flooding.and_then(|known| server.connection(known.id)).map_or(0, |writer| writer.queued());
            most = most.max(queued);
        }
        assert!(most > 64 * 1024, "it was never held: {most} bytes");
        assert!(most < 1 << 20, "{most} bytes wait");
        drop(flooding);
    });
    let mut refused = 0;
    while !events.is_over() {
        for event in events.poll(Some(LIMIT)) {
            if let Event::Message(connection, message) = event {
                refused += usize::from(connection.send(message).is_err());
            }
        }
    }
    join(client, LIMIT);
    assert_eq!(refused, 0, "an answer has its place");
}

#[test]
fn a_loop_that_is_dropped_leaves_nobody_waiting() {
    let (server, mut events) = looping(|builder| builder);
    let (to_drop, dropped) = std::sync::mpsc::channel::<()>();
    let client = beside(&server, move |server| {
        let mut client = connect(server);
        assert_echo(&mut client);
        to_drop.send(()).expect("it waits");
        assert_eq!(client.frame(), close(1001, ""));
        let late = Asking::with(server.local_addr(), &OFFER);
        assert_eq!(late.answer().expect("an answer").status, 503);
    });
    while dropped.try_recv().is_err() {
        for event in events.poll(Some(Duration::from_millis(10))) {
            if let Event::Message(connection, message) = event {
                connection.send(message).expect("there is room");
            }
        }
    }
    drop(events);
    join(client, LIMIT);
    server.join(LIMIT).expect("it has ended");
}

#[test]
fn an_event_names_its_connection() {
    let (server, mut events) = looping(|builder| builder);
    let client = beside(&server, |server| assert_echo(&mut connect(server)));
    let mut names = Vec::new();
    while !events.is_over() {
        for event in events.poll(Some(LIMIT)) {
            names.push(event.connection());
            if let Event::Message(connection, message) = event {
                assert_eq!(event.connection(), Some(ConnectionId::of(connection.info())));
                assert_eq!(message, Message::Text("echo"));
                connection.send(message).expect("there is room");
            }
        }
    }
    join(client, LIMIT);
    names.dedup();
    assert!(names.len() == 1 && names[0].is_some(), "{names:?}");
}

#[test]
fn a_paused_connection_gives_what_its_poll_has_found_and_nothing_more_until_it_goes_on() {
    let (server, mut events) = looping(|builder| builder);
    let client = beside(&server, |server| {
        let mut client = connect(server);
        let known = || server.connections().into_iter().find_map(|known| server.connection(known.id));
        eventually("it is open", || known().is_some());
        let writer = known().expect("open");
        for round in 0..20 {
            client.send(text("pause"));
            assert_eq!(client.frame(), text("pause"));
            assert!(writer.is_reading_paused());
            let torn = client.encode(&text(&format!("torn {round}")));
            client.send_bytes(&[&client.encode(&text("later"))[..], &torn[..5]].concat());
            assert_eq!(client.frame_within(Duration::from_millis(20)), None);
            writer.resume_reading();
            assert_eq!(client.frame(), text("later"));
            client.send_bytes(&torn[5..]);
            assert_eq!(client.frame(), text(&format!("torn {round}")));
        }
        // Closed while it is paused.
        client.send(text("pause"));
        assert_eq!(client.frame(), text("pause"));
        client.send(text("dropped"));
        server.stop(LIMIT);
        assert_eq!(client.frame().payload[..2], 1001_u16.to_be_bytes());
        client.send_all(&[text("dropped too"), close(1001, "")]);
        client.expect_end();
    });
    let (mut paused, mut dropped) = (0, 0);
    while !events.is_over() {
        for event in events.poll(Some(LIMIT)) {
            if let Event::Message(connection, message) = event {
                if message == Message::Text("pause") {
                    connection.pause_reading();
                    paused += 1;
                }
                dropped += usize::from(matches!(message, Message::Text(text) if text.starts_with("dropped")));
                connection.send(message).expect("there is room");
            }
        }
    }
    join(client, LIMIT);
    assert_eq!((paused, dropped), (21, 0));
}

#[test]
fn a_connection_goes_to_a_thread_and_comes_back() {
    let (server, mut events) = looping(|builder| builder);
    let handle = server.clone();
    let client = beside(&server, |server| {
        let mut client = connect(server);
        for _ in 0..50 {
            client.send(text("move"));
            assert_eq!([client.frame(), client.frame()], [text("move"), text("moved")]);
            client.send_all(&[text("one"), text("back"), text("two")]);
            for frame in ["one", "apart", "back", "two"] {
                assert_eq!(client.frame(), text(frame));
            }
        }
        // Its end is seen by the thread, and told by the loop.
        client.send(text("move"));
        assert_eq!([client.frame(), client.frame()], [text("move"), text("moved")]);
        say_goodbye(client);
    });
    let mut happened = Vec::new();
    while !events.is_over() {
        for event in events.poll(Some(LIMIT)) {
            match event {
                Event::Message(connection, message) => {
                    connection.send(message).expect("there is room");
                    if message == Message::Text("move") {
                        let apart = |reader: &mut Reader, writer: &Writer| {
                            writer.send("moved")?;
                            while let Some(message) = reader.next_message()? {
                                writer.send(message)?;
                                if message == Message::Text("back") {
                                    break;
                                }
                                writer.send("apart")?;
                            }
                            Ok(())
                        };
                        handle.move_to_thread(connection, apart).expect("it is here");
                    }
                }
                Event::Open(_) => happened.push("open".into()),
                Event::Closed(_, end) => happened.push(format!("closed: {}", end.cause)),
                event => panic!("{event:?}"),
            }
        }
    }
    join(client, LIMIT);
    server.join(LIMIT).expect("it has ended");
    assert_eq!(happened, ["open", "closed: closed by the peer"]);
}

#[test]
fn a_connection_that_another_thread_moves_at_once_is_told_of_all_the_same() {
    const COUNT: usize = 100;
    let (server, mut events) = looping(|builder| builder);
    let moving = beside(&server, |server| {
        for _ in 0..COUNT {
            let mut client = connect(server);
            let address = client.stream.local_addr().expect("connected");
            let of_client = || server.connections().into_iter().find(|known| known.peer == Some(address));
            let writer = || server.connection(of_client()?.id);
            let greet = |_: &mut Reader, writer: &Writer| {
                writer.send("moved")?;
                Ok(())
            };
            // As soon as the loop has it.
            eventually("it is moved", || writer().is_some_and(|writer| server.move_to_thread(&writer, greet).is_ok()));
            assert_eq!(client.frame(), text("moved"));
            say_goodbye(client);
        }
    });
    let mut open = Vec::new();
    let mut count = 0;
    while !events.is_over() {
        for event in events.poll(Some(LIMIT)) {
            match event {
                Event::Open(writer) => {
                    count += 1;
                    open.push(writer.info().id);
                }
                Event::Closed(writer, _) => open.retain(|id| *id != writer.info().id),
                event => panic!("{event:?}"),
            }
        }
    }
    join(moving, LIMIT);
    assert_eq!((count, open), (COUNT, Vec::new()));
}

#[test]
fn what_an_event_loop_leaves_behind_is_answered_and_ends() {
    // The usual table of clients, which is cleaned when an event says so, and there will be none.
    let adopted = |server: &Server| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let theirs = TcpStream::connect(listener.local_addr().expect("bound")).expect("it listens");
        let (ours, _) = listener.accept().expect("it has connected");
        let id = server.adopt(ours, b"", Info::default()).expect("there is a place");
        (Client::new(theirs, Role::Client), server.connection(id).expect("it is open"))
    };
    for by in ["a Close", "the end of the stream"] {
        let (server, mut events) = looping(|builder| builder);
        let seen = adopted(&server);
        let mut is_open = false;
        while !is_open {
            is_open = events.poll(Some(LIMIT)).any(|event| matches!(event, Event::Open(_)));
        }
        let unseen = adopted(&server);
        drop(events);
        for (mut client, writer) in [seen, unseen] {
            assert_eq!(writer.state(), State::Open, "somebody has it");
            client.send(ping(b"still there?"));
            assert_eq!(client.frame(), pong(b"still there?"));
            assert_eq!(server.subscribe(&writer, "topic"), Ok(true));
            server.publish("topic", "news");
            assert_eq!(client.frame(), text("news"));
            if by == "a Close" {
                say_goodbye(client);
            } else {
                drop(client);
            }
            eventually(by, || writer.state() == State::Closed);
        }
        finish(&server);
    }
}

#[test]
fn a_connection_that_its_loop_has_still_to_take_can_be_moved_later() {
    let (server, mut events) = looping(|builder| builder);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let theirs = TcpStream::connect(listener.local_addr().expect("bound")).expect("it listens");
    let id = server.adopt(listener.accept().expect("it has connected").0, b"", Info::default()).expect("a place");
    let writer = server.connection(id).expect("it is open");
    let early = server.move_to_thread(&writer, |_, _| Ok(())).expect_err("its loop has not seen it");
    assert_eq!(early.kind(), std::io::ErrorKind::WouldBlock);
    while !events.poll(Some(LIMIT)).any(|event| matches!(event, Event::Open(_))) {}
    server.move_to_thread(&writer, |_, _| Ok(())).expect("it is there");
    let late = server.move_to_thread(&writer, |_, _| Ok(())).expect_err("it has a thread, or is about to");
    assert_eq!(late.kind(), std::io::ErrorKind::NotConnected);
    drop((events, theirs, writer));
    finish(&server);
}

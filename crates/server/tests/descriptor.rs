//! Who waits for the descriptor of an event loop alone, and polls when it is readable, loses no wake-up.
//!
//! In most of these tests there is one thing in the air at a time: a wake-up that is lost is a wait that does not end, and
//! nothing else that happens hides it.

mod common;

use std::io::Write;
use std::os::fd::AsFd;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use common::*;
use raddle_core::OpCode;
use raddle_server::{Cause, Close, CloseCode, Event, EventLoop, Options, SendError, Server, Writer};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::sockopt;
use rustix::time::Timespec;

/// Waits for the descriptor and polls, until the server has stopped; `act` gets each event, and `look` the loop between polls.
fn wait_and_poll(events: &mut EventLoop, mut act: impl FnMut(Event<'_>), mut look: impl FnMut(&EventLoop)) {
    while !events.is_over() {
        let mut waits = [PollFd::from_borrowed_fd(events.as_fd(), PollFlags::IN)];
        let limit = Timespec { tv_sec: 10, tv_nsec: 0 };
        assert_eq!(poll(&mut waits, Some(&limit)).expect("it waits"), 1, "nothing for ten seconds");
        events.poll(Some(Duration::ZERO)).for_each(&mut act);
        look(events);
    }
}

/// The same, for a loop that echoes.
fn wait_and_echo(events: &mut EventLoop, look: impl FnMut(&EventLoop)) {
    let echo = |event: Event<'_>| {
        if let Event::Message(connection, message) = event {
            connection.send(message).expect("there is room");
        }
    };
    wait_and_poll(events, echo, look);
}

/// As much as is usual, or as many times more as a variable of the environment says.
fn scaled(usual: usize) -> usize {
    usual * std::env::var("RADDLE_ROUNDS").map_or(1, |rounds| rounds.parse().expect("a number"))
}

/// The writer of the only connection.
fn only_writer(server: &Server) -> Writer {
    let known = || server.connections().into_iter().find_map(|known| server.connection(known.id));
    eventually("it is open", || known().is_some());
    known().expect("open")
}

/// The next message, behind Pings of keepalive.
fn message(client: &mut Client) -> Frame {
    loop {
        match client.frame() {
            Frame { opcode: OpCode::Ping, payload, .. } => client.send(pong(&payload)),
            frame => return frame,
        }
    }
}

#[test]
fn whatever_there_is_one_at_a_time_wakes_who_waits() {
    let rounds = scaled(20_000);
    let (server, mut events) = looping(|builder| builder);
    let waker = events.waker();
    let (told, woken) = mpsc::channel();
    let client = beside(&server, move |server| {
        let mut client = connect(server);
        let writer = only_writer(server);
        assert_eq!(server.subscribe(&writer, "all"), Ok(true));
        for round in 0..rounds {
            let text = text(&format!("message {round}"));
            let payload = std::str::from_utf8(&text.payload).expect("text");
            match round % 6 {
                // What was corked leaves, though nothing else wakes the loop.
                0 => client.send(text.clone()),
                1 => drop(writer.send(payload).expect("open")),
                2 => server.publish("all", payload),
                3 => {
                    writer.pause_reading();
                    client.send(text.clone());
                    // The loop is asleep, or is about to be, or has seen that reading is paused.
                    spin(round);
                    writer.resume_reading();
                }
                4 => {
                    let (start, rest) = payload.split_at(4);
                    let mut message = writer.begin();
                    message.send(start).expect("open");
                    server.publish("all", payload);
                    message.finish(rest).expect("open");
                    assert_eq!([client.frame().payload, client.frame().payload].concat(), text.payload);
                }
                _ => {
                    waker.wake();
                    woken.recv_timeout(LIMIT).expect("it was woken");
                    continue;
                }
            }
            assert_eq!(message(&mut client), text);
            spin(round);
        }
        say_goodbye(client);
    });
    wait_and_echo(&mut events, |events| {
        if events.was_woken() {
            // Nobody waits for it once the client is done.
            let _ = told.send(());
        }
    });
    join(client, LIMIT);
}

/// Computes for a while, of another length each time, so that what follows meets the loop in every state.
fn spin(round: usize) {
    let until = Instant::now() + Duration::from_micros(round as u64 * 7 % 40);
    while Instant::now() < until {
        std::hint::spin_loop();
    }
}

#[test]
fn output_that_waits_for_room_wakes_who_waits() {
    let (server, mut events) = looping(|builder| builder);
    let rounds = scaled(20);
    let client = beside(&server, move |server| {
        let mut client = connect(server);
        // Else it grows while more comes, and takes all in the end.
        sockopt::set_socket_recv_buffer_size(&client.stream, 64 * 1024).expect("a socket");
        let large = binary(&pattern(1 << 20, 1));
        for _ in 0..rounds {
            // More than sockets take, while nobody reads it.
            let batch = client.encode(&large).repeat(8);
            let mut stream = client.stream.try_clone().expect("cloned");
            let sending = thread::spawn(move || stream.write_all(&batch).expect("taken"));
            let writer = only_writer(server);
            eventually("output waits", || writer.queued() > 0);
            for _ in 0..8 {
                assert!(message(&mut client) == large);
            }
            join(sending, LIMIT);
        }
    });
    wait_and_echo(&mut events, |_| ());
    join(client, LIMIT);
}

#[test]
fn deadlines_wake_who_waits() {
    const TIME: Duration = Duration::from_millis(20);
    type Setting = fn(&mut Options);
    type Misbehaviour = fn(&mut Client, &Writer);
    let kinds: [(Setting, Misbehaviour, Cause); 4] = [
        (
            |options| (options.ping_interval, options.ping_timeout) = (Some(TIME), TIME),
            |_, _| (),
            Cause::KeepaliveTimeout,
        ),
        (
            |options| options.close_timeout = TIME,
            |_, writer| writer.close(Close::code(CloseCode::NORMAL)).expect("open"),
            Cause::LocalClose,
        ),
        (
            |options| (options.message_timeout, options.min_rate) = (TIME, 1 << 40),
            |client, _| client.send_bytes(b"\x81\x85\0\0\0\0He"),
            Cause::MessageTimeout,
        ),
        (
            |options| (options.write_timeout, options.min_rate) = (TIME, 1 << 40),
            // Again and again: a socket takes somewhat more after a while.
            |_, writer| loop {
                match writer.try_send(&[0; 64 * 1024]) {
                    Ok(_) => {}
                    Err(SendError::Full) => thread::sleep(Duration::from_millis(1)),
                    Err(SendError::Closed) => break,
                    Err(error) => panic!("{error}"),
                }
            },
            Cause::WriteTimeout,
        ),
    ];
    for (set, misbehave, cause) in kinds {
        let (server, mut events) = looping(|builder| builder.with_options(set));
        let rounds = scaled(5);
        let (told, closed) = mpsc::channel();
        let client = beside(&server, move |server| {
            for _ in 0..rounds {
                let mut client = connect(server);
                misbehave(&mut client, &only_writer(server));
                assert_eq!(closed.recv_timeout(LIMIT).expect("it has ended"), cause);
            }
        });
        let note = |event: Event<'_>| {
            if let Event::Closed(_, end) = event {
                // Nobody waits for it once the client has failed.
                let _ = told.send(end.cause);
            }
        };
        wait_and_poll(&mut events, note, |_| ());
        join(client, LIMIT);
    }
}

#[test]
fn all_at_once_wakes_who_waits() {
    // Corked answers, sends of other threads and the end, all behind one poll(2).
    let messages = scaled(20_000);
    let (server, mut events) = looping(|builder| builder);
    let client = beside(&server, move |server| {
        let mut client = connect(server);
        let writer = only_writer(server);
        let pushing = thread::spawn(move || {
            for number in 0..messages {
                writer.send(&format!("pushed {number}")).expect("open");
            }
        });
        let (mut pushed, mut echoed) = (0, 0);
        for number in 0..messages {
            if number % 100 == 0 {
                client.send(text(&format!("echo {}", number / 100)));
            }
        }
        while pushed < messages || echoed < messages.div_ceil(100) {
            let frame = message(&mut client);
            if frame == text(&format!("pushed {pushed}")) {
                pushed += 1;
            } else {
                assert_eq!(frame, text(&format!("echo {echoed}")));
                echoed += 1;
            }
        }
        join(pushing, LIMIT);
        say_goodbye(client);
    });
    wait_and_echo(&mut events, |_| ());
    join(client, LIMIT);
}

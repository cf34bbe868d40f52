//! Signals: a write to a peer that has gone raises none, and the library's own threads take none.

mod common;

use std::os::unix::thread::JoinHandleExt;
use std::thread;
use std::time::{Duration, Instant};

use common::*;
use raddle_socket::{Cause, Close, CloseCode, Message, Next, NextPart, Role, SendError};
use rustix::net::sockopt;

/// As in a program in C: the standard library has SIGPIPE ignored.
fn let_a_broken_pipe_kill() {
    // SAFETY: SIG_DFL is a disposition that every signal can have.
    let before = unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    assert_ne!(before, libc::SIG_ERR);
}

#[test]
fn a_write_to_a_peer_that_has_gone_is_an_error_and_no_signal() {
    // Hostile input 259: plain, vectored, of the attendant, of the last handle. The process has to live on.
    let_a_broken_pipe_kill();
    for role in [Role::Server, Role::Client] {
        for length in [10, 100_000] {
            let (connection, peer) = against_peer(role, options(|_| ()));
            drop(peer);
            assert_eq!(connection.send(&vec![0; length]), Err(SendError::Closed));

            let (connection, peer) = against_tcp_peer(role, options(|_| ()));
            sockopt::set_socket_linger(&peer.stream, Some(Duration::ZERO)).expect("a socket");
            drop(peer);
            let message = vec![0; length];
            // The first write may go before the reset has come.
            while connection.send(&message).is_ok() {}
            assert_eq!(connection.writer().close(Close::code(CloseCode::NORMAL)), Err(SendError::Closed));
        }
        let (connection, peer) = against_peer(role, options(|_| ()));
        drop(peer);
        drop(connection);

        let (connection, peer) = against_peer(role, options(|_| ()));
        while connection.writer().try_send(&[0; 64 * 1024]).is_ok() {}
        drop(peer);
        let writer = connection.writer();
        eventually("the attendant has noticed", || writer.send("more") == Err(SendError::Closed));
    }
}

#[test]
fn the_attendant_takes_no_signal() {
    let (_client, _server) = both_ends(options(|_| ()), options(|_| ()));
    let threads = library_threads();
    let [(name, mask)] = &threads[..] else { panic!("{threads:?}") };
    assert_eq!(not_blocked(*mask), [0; 0], "{name}");
}

#[test]
fn signals_without_restart_lose_and_double_nothing() {
    // Hostile input 260: a reader, a sender that waits for room, and a read with a time-out, each interrupted all the time.
    interrupt_with(libc::SIGUSR1);
    let (client, server) = both_ends(options(|_| ()), options(|_| ()));
    let (message, count) = (pattern(300_000, 1), 100);
    let sending = thread::spawn({
        let message = message.clone();
        move || {
            for _ in 0..count {
                client.send(&message).expect("the peer takes it");
            }
            client
        }
    });
    let receiving = thread::spawn(move || {
        let mut server = server;
        for number in 0..count {
            if number % 10 == 0 {
                // So that the sender has to wait for room.
                thread::sleep(Duration::from_millis(20));
            }
            let received = match number % 2 {
                0 => server.next_message().expect("open"),
                _ => match server.next_message_within(LIMIT).expect("open") {
                    Next::Message(message) => Some(message),
                    other => panic!("{other:?}"),
                },
            };
            assert!(received == Some(Message::Binary(&message)), "message {number}");
        }
        // And a wait that is never satisfied takes its time, not more and not less.
        let start = Instant::now();
        let found = server.next_message_within(Duration::from_millis(300));
        assert_eq!(found, Ok(Next::Timeout));
        let took = start.elapsed();
        assert!((Duration::from_millis(300)..Duration::from_secs(3)).contains(&took), "{took:?}");
        server
    });
    while !(sending.is_finished() && receiving.is_finished()) {
        for thread in [sending.as_pthread_t(), receiving.as_pthread_t()] {
            // SAFETY: neither thread is joined, so both handles are valid.
            unsafe { libc::pthread_kill(thread, libc::SIGUSR1) };
        }
        thread::sleep(Duration::from_micros(500));
    }
    let (client, server) = (join(sending, LIMIT), join(receiving, LIMIT));
    let server = thread::spawn(move || server.close(Close::code(CloseCode::NORMAL)));
    assert!(client.close(Close::code(CloseCode::NORMAL)).is_clean());
    assert!(join(server, LIMIT).is_clean());
}

#[test]
fn a_wait_while_reading_is_paused_is_ended_by_a_signal_and_by_all_else_that_ends_it() {
    interrupt_with(libc::SIGUSR2);
    let (client, server) = both_ends(options(|_| ()), options(|_| ()));
    let (mut reader, writer) = client.split();
    writer.pause_reading();
    let waiting = thread::spawn(move || {
        assert_eq!(reader.next_message_or_signal(None), Ok(Next::Signal));
        assert_eq!(reader.next_message_or_signal(Some(LIMIT)), Ok(Next::Signal));
        assert_eq!(reader.next_part_or_signal(None), Ok(NextPart::Signal));
        reader
    });
    while !waiting.is_finished() {
        // SAFETY: the thread is not joined, so its handle is valid.
        unsafe { libc::pthread_kill(waiting.as_pthread_t(), libc::SIGUSR2) };
        thread::sleep(Duration::from_millis(2));
    }
    let mut reader = join(waiting, LIMIT);
    assert_eq!(reader.next_message_or_signal(Some(Duration::from_millis(20))), Ok(Next::Timeout));
    server.send("Hello").expect("open");
    // What ends the pause ends the wait at once, and what ends the connection.
    let waiting = thread::spawn(move || {
        assert_eq!(reader.next_message_or_signal(None), Ok(Next::Message(Message::Text("Hello"))));
        reader.writer().pause_reading();
        let end = reader.next_message_or_signal(Some(LIMIT)).map(|_| ()).expect_err("it is cut");
        (reader, end.cause)
    });
    thread::sleep(Duration::from_millis(50));
    assert!(!waiting.is_finished());
    writer.resume_reading();
    eventually("it is paused again", || writer.is_reading_paused());
    thread::sleep(Duration::from_millis(20));
    writer.cut(Cause::Shutdown);
    assert_eq!(join(waiting, LIMIT).1, Cause::Shutdown);
}

#[test]
fn a_wait_that_asks_for_it_is_ended_by_a_signal_and_loses_nothing() {
    interrupt_with(libc::SIGUSR2);
    let (client, server) = both_ends(options(|_| ()), options(|_| ()));
    let waiting = thread::spawn(move || {
        let (mut reader, _writer) = client.split();
        assert_eq!(reader.next_message_or_signal(None), Ok(Next::Signal));
        assert_eq!(reader.next_message_or_signal(Some(LIMIT)), Ok(Next::Signal));
        assert_eq!(reader.next_part_or_signal(None), Ok(NextPart::Signal));
        assert_eq!(reader.next_part_or_signal(Some(LIMIT)), Ok(NextPart::Signal));
        // Who does not ask for it does not hear of it.
        assert_eq!(reader.next_message_within(Duration::from_millis(100)), Ok(Next::Timeout));
        reader
    });
    while !waiting.is_finished() {
        // SAFETY: the thread is not joined, so its handle is valid.
        unsafe { libc::pthread_kill(waiting.as_pthread_t(), libc::SIGUSR2) };
        thread::sleep(Duration::from_millis(2));
    }
    let mut reader = join(waiting, LIMIT);
    assert_eq!(reader.next_message_or_signal(Some(Duration::ZERO)), Ok(Next::Timeout));
    server.send("Hello").expect("open");
    assert_eq!(reader.next_message_or_signal(None), Ok(Next::Message(Message::Text("Hello"))));
    drop(server);
    assert_eq!(reader.next_part_or_signal(None), Ok(NextPart::Closed));
}

/// Has the signal interrupt what waits: its handler does nothing.
fn interrupt_with(signal: libc::c_int) {
    extern "C" fn nothing(_signal: libc::c_int) {}
    // SAFETY: all zeros is a valid `sigaction`: no flags, so no SA_RESTART, and an empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = nothing as extern "C" fn(libc::c_int) as usize;
    // SAFETY: the handler does nothing, which is safe in a handler.
    assert_eq!(unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) }, 0);
}

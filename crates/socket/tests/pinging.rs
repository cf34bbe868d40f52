//! Pings that somebody waits for, sections 5.5.2 and 5.5.3: whoever reads meanwhile, and nobody.

mod common;

use std::thread;
use std::time::Duration;

use common::*;
use raddle_core::{Error, OpCode};
use raddle_socket::{Cause, Message, Pong, Role, SendError};

#[test]
fn a_pong_is_waited_for_while_nobody_reads_and_no_message_is_lost() {
    let (client, server) = both_ends(options(|_| ()), options(|_| ()));
    let (mut reader, writer) = server.split();
    let echoing = thread::spawn(move || {
        while let Ok(Some(message)) = reader.next_message() {
            writer.send(message).expect("open");
        }
    });
    let (mut reader, writer) = client.split();
    for round in 0..5 {
        let message = format!("message {round}");
        writer.send(&message).expect("open");
        let ping = writer.ask().expect("open");
        assert!(matches!(ping.wait(Some(LIMIT)), Ok(Pong::After(_))));
        // It is known from now on.
        assert!(matches!(ping.wait(Some(Duration::ZERO)), Ok(Pong::After(_))));
        assert_eq!(reader.next_message(), Ok(Some(Message::Text(&message))));
    }
    drop((reader, writer));
    join(echoing, LIMIT);
}

#[test]
fn a_pong_is_waited_for_while_another_thread_reads() {
    let (client, mut peer) = against_peer(Role::Client, options(|_| ()));
    let (mut reader, writer) = client.split();
    let reading = thread::spawn(move || reader.next_message().map(|message| message.is_some()));
    let ping = writer.ask().expect("open");
    let asked = peer.frame();
    assert_eq!(asked.opcode, OpCode::Ping);
    assert_eq!(ping.wait(Some(Duration::from_millis(20))), Ok(Pong::Timeout));
    peer.send(pong(&asked.payload));
    assert!(matches!(ping.wait(None), Ok(Pong::After(took)) if took >= Duration::from_millis(20)));
    peer.send(text("last"));
    assert_eq!(join(reading, LIMIT), Ok(true));
}

#[test]
fn a_pong_answers_its_ping_and_those_before_it() {
    let (client, mut peer) = against_peer(Role::Client, options(|_| ()));
    let (_reader, writer) = client.split();
    let pings: Vec<_> = (0..3).map(|_| writer.ask().expect("open")).collect();
    let asked: Vec<_> = (0..3).map(|_| peer.frame().payload).collect();
    // Not asked for, and so answering nothing (section 5.5.3).
    peer.send_all(&[pong(b""), pong(b"other"), pong(&asked[1])]);
    for ping in &pings[..2] {
        assert!(matches!(ping.wait(Some(LIMIT)), Ok(Pong::After(_))));
    }
    assert_eq!(pings[2].wait(Some(Duration::from_millis(20))), Ok(Pong::Timeout));
    drop(peer);
    assert_eq!(pings[2].wait(None), Err(SendError::Closed));
    assert!(matches!(pings[0].wait(None), Ok(Pong::After(_))), "what is known stays known");
    assert!(matches!(writer.ask(), Err(SendError::Closed)));
}

#[test]
fn no_pong_is_waited_for_of_a_peer_that_has_broken_a_rule() {
    let (mut reader, writer, mut peer) = with_reader_away(Role::Client, options(|_| ()));
    let ping = writer.ask().expect("open");
    let asked = peer.frame().payload;
    peer.send_bytes(&[b"\xc1\x00", &peer.encode(&pong(&asked))[..]].concat());
    assert_eq!(ping.wait(None), Err(SendError::Closed));
    // The message that came before is answered all the same.
    assert!(writer.send("answer").is_ok());
    assert_eq!(peer.frame(), text("answer"));
    let reading = thread::spawn(move || reader.next_message().map(drop).map_err(|end| end.cause));
    assert_eq!(peer.frame().opcode, OpCode::Close);
    drop(peer);
    assert_eq!(join(reading, LIMIT), Err(Cause::Failed(Error::ReservedBits)));
}

#[test]
fn a_pong_behind_more_messages_than_are_read_ahead_comes_with_the_reader() {
    let (client, mut peer) = against_peer(Role::Client, options(|_| ()));
    let (mut reader, writer) = client.split();
    let ping = writer.ask().expect("open");
    let asked = peer.frame().payload;
    for number in 0..40 {
        peer.send(text(&format!("message {number}")));
    }
    peer.send(pong(&asked));
    assert_eq!(ping.wait(Some(Duration::from_millis(100))), Ok(Pong::Timeout));
    for number in 0..40 {
        assert_eq!(reader.next_message(), Ok(Some(Message::Text(&format!("message {number}")))));
    }
    assert!(matches!(ping.wait(Some(LIMIT)), Ok(Pong::After(_))));
}

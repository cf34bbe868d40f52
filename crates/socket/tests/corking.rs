//! Corking: answers to what is already there leave together, and nobody feels that they were held back.

mod common;

use std::thread;
use std::time::{Duration, Instant};

use common::*;
use raddle_socket::{Message, Reader, Role, SendStatus, Writer};

/// A connection whose reader has been handed the first of `count` messages that came in one write.
fn with_messages_waiting(count: usize) -> (Reader, Writer, Peer<std::os::unix::net::UnixStream>) {
    let (connection, mut peer) = against_peer(Role::Server, options(|_| ()));
    let (mut reader, writer) = connection.split();
    peer.send_all(&vec![text("ask"); count]);
    assert_eq!(reader.next_message(), Ok(Some(Message::Text("ask"))));
    (reader, writer, peer)
}

#[test]
fn an_answer_leaves_soon_though_the_handler_computes_and_more_messages_wait() {
    let (reader, writer, mut peer) = with_messages_waiting(3);
    assert_eq!(writer.send("answer"), Ok(SendStatus::Queued), "the test is about a corked send");
    // The handler computes until the peer has its answer.
    assert_eq!(peer.frame_within(SOON), Some(text("answer")));
    drop(reader);
}

#[test]
fn each_part_of_a_long_answer_leaves_soon_while_more_messages_wait() {
    let (reader, writer, mut peer) = with_messages_waiting(3);
    let hearing = thread::spawn(move || {
        let hear = |number| {
            assert_eq!(peer.frame(), text(&format!("part {number}")));
            Instant::now()
        };
        (0..100).map(hear).collect::<Vec<_>>()
    });
    let mut corked = 0;
    let mut sent = Vec::new();
    for number in 0..100 {
        sent.push(Instant::now());
        let status = writer.send(&format!("part {number}")).expect("open");
        corked += u32::from(status == SendStatus::Queued);
        thread::sleep(Duration::from_millis(8));
    }
    assert!(corked > 50, "the test is about corked sends");
    drop(reader);
    for (number, (sent, arrived)) in sent.into_iter().zip(join(hearing, LIMIT)).enumerate() {
        let delay = arrived.saturating_duration_since(sent);
        assert!(delay < SOON, "part {number} is held back for {delay:?}");
    }
}

#[test]
fn a_corked_answer_leaves_before_the_reader_waits() {
    let (mut reader, writer, mut peer) = with_messages_waiting(2);
    assert_eq!(writer.send("first"), Ok(SendStatus::Queued));
    assert_eq!(reader.next_message(), Ok(Some(Message::Text("ask"))));
    // Nothing more is there to be answered, so this one takes the other along.
    assert_eq!(writer.send("second"), Ok(SendStatus::Sent));
    assert_eq!([peer.frame(), peer.frame()], [text("first"), text("second")]);
}

#[test]
fn the_answers_to_a_batch_leave_in_few_writes() {
    const MESSAGES: usize = 100;
    let (connection, mut peer, seen) = against_peer_observed(Role::Server, options(|_| ()));
    let (mut reader, writer) = connection.split();
    let echoing = thread::spawn(move || {
        while let Ok(Some(message)) = reader.next_message() {
            if writer.send(message).is_err() {
                break;
            }
        }
    });
    let batch: Vec<_> = (0..MESSAGES).map(|number| text(&format!("message {number}"))).collect();
    peer.send_all(&batch);
    for frame in batch {
        assert_eq!(peer.frame(), frame);
    }
    // One, where the machine does not take the processor away for longer than a cork is held.
    let writes = seen.writes().len();
    assert!(writes <= MESSAGES / 10, "{writes} writes for {MESSAGES} answers");
    drop(peer);
    join(echoing, LIMIT);
}

#[test]
fn a_full_cork_leaves_at_once() {
    let (reader, writer, mut peer) = with_messages_waiting(2);
    let answer = pattern(25_000, 1);
    // Three of them are more than 64 KiB.
    assert_eq!(writer.send(&answer), Ok(SendStatus::Queued));
    writer.send(&answer).expect("open");
    assert_eq!(writer.send(&answer), Ok(SendStatus::Sent));
    assert_eq!(writer.queued(), 0);
    for _ in 0..3 {
        assert_eq!(peer.frame(), binary(&answer));
    }
    drop(reader);
}

#[test]
fn a_flush_lets_the_cork_go() {
    let (reader, writer, mut peer) = with_messages_waiting(2);
    let mut held = false;
    for number in 0..20 {
        writer.send(&format!("answer {number}")).expect("open");
        held |= writer.queued() > 0;
        writer.flush();
        assert_eq!(writer.queued(), 0);
        assert_eq!(peer.frame(), text(&format!("answer {number}")));
    }
    assert!(held, "the test is about corked sends");
    drop(reader);
}

#[test]
fn another_thread_takes_the_cork_along_and_the_order_is_kept() {
    let (reader, writer, mut peer) = with_messages_waiting(2);
    let mut corked = 0;
    for number in 0..50 {
        let status = writer.send(&format!("{number} of the handler")).expect("open");
        corked += u32::from(status == SendStatus::Queued);
        let other = writer.clone();
        let sent = thread::spawn(move || other.send(&format!("{number} of another"))).join().expect("no panic");
        // Queued, where the attendant is just letting the cork go: what is sent then leaves behind that.
        assert!(sent.is_ok(), "{sent:?}");
    }
    assert!(corked > 25, "the test is about corked sends");
    for number in 0..50 {
        assert_eq!(peer.frame(), text(&format!("{number} of the handler")));
        assert_eq!(peer.frame(), text(&format!("{number} of another")));
    }
    drop(reader);
}

#[test]
fn a_large_answer_takes_the_cork_along() {
    let (reader, writer, mut peer) = with_messages_waiting(2);
    assert_eq!(writer.send("small"), Ok(SendStatus::Queued));
    let large = pattern(100_000, 1);
    assert_eq!(writer.send(&large), Ok(SendStatus::Sent));
    assert_eq!([peer.frame(), peer.frame()], [text("small"), binary(&large)]);
    drop(reader);
}

#[test]
fn a_corked_answer_leaves_with_the_reader() {
    let (reader, writer, mut peer) = with_messages_waiting(2);
    assert_eq!(writer.send("last"), Ok(SendStatus::Queued));
    drop(reader);
    assert_eq!(writer.queued(), 0);
    assert_eq!(peer.frame(), text("last"));
}

#[test]
fn a_pong_does_not_wait_for_the_handler() {
    let (connection, mut peer) = against_peer(Role::Server, options(|_| ()));
    let (mut reader, _writer) = connection.split();
    peer.send_all(&[ping(b"early"), text("ask"), text("ask")]);
    assert_eq!(reader.next_message(), Ok(Some(Message::Text("ask"))));
    assert_eq!(peer.frame_within(SOON), Some(pong(b"early")));
}

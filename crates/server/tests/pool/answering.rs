//! Messages of the pool that another thread answers: the peer's last word waits until it has.

use std::net::Shutdown;
use std::sync::mpsc::{self, Receiver, Sender};

use parking_lot::Mutex;
use raddle_core::{CloseCode, Error};
use raddle_server::{Cause, Close, Message, Unanswered, Writer};

use crate::common::*;
use crate::recorder::{A_WHILE, At, Recorded, recorded};

/// What the handler has handed on.
struct Question {
    writer: Writer,
    bytes: Vec<u8>,
    unanswered: Unanswered,
}

impl Question {
    fn answer(self) {
        self.writer.send(self.bytes.as_slice()).expect("the connection is open");
        drop(self.unanswered);
    }
}

/// A handler that answers nothing itself.
fn handing_on() -> (Recorded, Receiver<Question>) {
    let (sender, questions) = mpsc::channel();
    let sender = Mutex::<Sender<Question>>::new(sender);
    let host = recorded(
        |builder| builder,
        move |writer, at| {
            if let At::Message(Message::Binary(bytes)) = at {
                let question =
                    Question { writer: writer.clone(), bytes: bytes.to_vec(), unanswered: writer.answer_later() };
                sender.lock().send(question)?;
            }
            Ok(())
        },
    );
    (host, questions)
}

/// Sends two messages and `last` in one piece, and gives the questions once both are there.
fn ask(client: &mut Client, questions: &Receiver<Question>, last: &[u8]) -> [Question; 2] {
    let mut bytes = client.encode(&binary(b"one"));
    bytes.extend(client.encode(&binary(b"two")));
    bytes.extend_from_slice(last);
    client.send_bytes(&bytes);
    [(), ()].map(|()| questions.recv_timeout(LIMIT).expect("the handler was called"))
}

#[test]
fn a_close_waits_for_the_answers_to_what_came_before_it() {
    let (host, questions) = handing_on();
    let mut client = connect(&host.server);
    let last = client.encode(&close(1000, ""));
    let [one, two] = ask(&mut client, &questions, &last);
    assert_eq!(client.frame_within(A_WHILE), None);
    // In any order.
    two.answer();
    assert_eq!(client.frame(), binary(b"two"));
    assert_eq!(client.frame_within(A_WHILE), None);
    one.answer();
    assert_eq!(client.frame(), binary(b"one"));
    assert_eq!(client.frame(), close(1000, ""));
    client.expect_end();
    assert_eq!(host.log.story().1.cause, Cause::PeerClose);
    host.finish();
}

#[test]
fn what_fails_the_connection_waits_too() {
    let (host, questions) = handing_on();
    let mut client = connect(&host.server);
    // A reserved opcode.
    let [one, two] = ask(&mut client, &questions, b"\x83\x80\0\0\0\0");
    assert_eq!(client.frame_within(A_WHILE), None);
    one.answer();
    two.answer();
    assert_eq!((client.frame(), client.frame()), (binary(b"one"), binary(b"two")));
    assert_eq!(client.frame(), close(1002, "the opcode is reserved"));
    assert_eq!(host.log.story().1.cause, Cause::Failed(Error::ReservedOpCode));
    drop(client);
    host.finish();
}

#[test]
fn so_does_the_end_of_the_stream() {
    let (host, questions) = handing_on();
    let mut client = connect(&host.server);
    let [one, two] = ask(&mut client, &questions, b"");
    client.stream.shutdown(Shutdown::Write).expect("it is open");
    assert_eq!(client.frame_within(A_WHILE), None);
    one.answer();
    two.answer();
    assert_eq!((client.frame(), client.frame()), (binary(b"one"), binary(b"two")));
    client.expect_end();
    assert_eq!(host.log.story().1.cause, Cause::EndOfStream);
    host.finish();
}

#[test]
fn what_is_never_answered_ends_with_our_own_close() {
    let (host, questions) = handing_on();
    let mut client = connect(&host.server);
    let last = client.encode(&close(1000, ""));
    let [one, two] = ask(&mut client, &questions, &last);
    one.writer.close(Close::code(CloseCode::POLICY)).expect("it is open");
    assert_eq!(client.frame(), close(1008, ""));
    client.expect_end();
    drop((one, two));
    host.finish();
}

#[test]
fn messages_come_on_while_others_are_unanswered_and_the_pool_stops() {
    let (host, questions) = handing_on();
    let mut client = connect(&host.server);
    let questions: Vec<_> = (0..100)
        .map(|_| {
            let [one, two] = ask(&mut client, &questions, b"");
            one.answer();
            assert_eq!(client.frame(), binary(b"one"));
            two
        })
        .collect();
    let last = client.encode(&close(1000, ""));
    client.send_bytes(&last);
    host.finish();
    assert_eq!(client.frame(), close(1001, "the server stops"));
    drop(questions);
}

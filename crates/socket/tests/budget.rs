//! A budget: how far what was received passes it, where the library's own thread has no time.

mod common;

use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::time::Duration;

use common::*;
use parking_lot::Mutex;
use raddle_core::OpCode;
use raddle_socket::{Budget, Cause, Connection, Message, Next, Opening, Reader, Role, Socket, State};

/// Keeps the attendant busy until what this gives is dropped.
fn hold_attendant() -> (mpsc::Sender<()>, Connection, UnixStream) {
    let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
    let (release, released) = mpsc::channel();
    let (arrive, arrived) = mpsc::channel();
    let both = Mutex::new((arrive, released));
    let on_end = Box::new(move |_, _| {
        let (arrive, released) = &*both.lock();
        arrive.send(()).expect("it is waited for");
        // It fails when it is dropped.
        let _: Result<(), _> = released.recv();
    });
    let opening = Opening { on_end: Some(on_end), ..Opening::new(Role::Server, options(|_| ())) };
    let connection = Connection::open(Socket::unix(ours).expect("a socket"), opening).expect("a connection");
    connection.writer().cut_within(Duration::ZERO);
    arrived.recv_timeout(LIMIT).expect("the attendant cuts it");
    (release, connection, theirs)
}

/// Sends all but the last bytes of a message, of so many, and has each piece read at once.
fn send_most_of_a_message(peer: &mut Peer<UnixStream>, reader: &mut Reader, length: usize) -> Vec<u8> {
    let bytes = peer.encode(&binary(&pattern(length + 10, 1)));
    let (start, rest) = bytes.split_at(length);
    for piece in start.chunks(20_000) {
        peer.send_bytes(piece);
        assert_eq!(reader.next_message_within(Duration::from_millis(5)), Ok(Next::Timeout));
    }
    rest.to_vec()
}

#[test]
fn what_was_received_stays_within_the_budget_though_the_attendant_is_busy() {
    // Hostile input 230: whoever has received what is too much has the largest go before it reads on.
    const LIMIT_OF_ALL: usize = 1_000_000;
    let budget = Budget::new(LIMIT_OF_ALL);
    let with_budget = || options(|options| options.budget = Some(budget.clone()));
    let mut all: Vec<_> = (0..8)
        .map(|_| {
            let (connection, peer) = against_peer(Role::Server, with_budget());
            let (reader, writer) = connection.split();
            (reader, writer, peer)
        })
        .collect();
    let held = hold_attendant();
    for (number, (reader, _, peer)) in all.iter_mut().enumerate() {
        // The first two have the most, then the third and the fourth.
        let length = 300_000 - 20_000 * (number / 2);
        send_most_of_a_message(peer, reader, length);
        assert!(budget.used() <= LIMIT_OF_ALL, "{budget:?} with connection {number}");
    }
    let states: Vec<_> = all.iter().map(|(_, writer, _)| writer.state()).collect();
    let open = states.iter().filter(|state| **state == State::Open).count();
    assert_eq!(states[8 - open..], [State::Open].repeat(open), "the smallest live: {states:?}");
    assert!(open == 4 && budget.used() > 800_000, "{budget:?}, {states:?}");
    drop(held);
    for (mut reader, writer, mut peer) in all {
        if writer.state() == State::Open {
            continue;
        }
        assert_eq!(peer.frame().opcode, OpCode::Close);
        drop(peer);
        assert_eq!(reader.next_message().map(drop).map_err(|end| end.cause), Err(Cause::OverBudget));
    }
    assert_eq!(budget.used(), 0);
}

#[test]
fn a_message_that_is_completed_counts_no_more() {
    let budget = Budget::new(1_000_000);
    let (connection, mut peer) = against_peer(Role::Server, options(|options| options.budget = Some(budget.clone())));
    let (mut reader, _writer) = connection.split();
    let rest = send_most_of_a_message(&mut peer, &mut reader, 200_000);
    assert!((190_000..=200_000).contains(&budget.used()), "{budget:?}");
    peer.send_bytes(&rest);
    assert_eq!(reader.next_message(), Ok(Some(Message::Binary(&pattern(200_010, 1)))));
    assert_eq!(reader.next_message_within(Duration::ZERO), Ok(Next::Timeout));
    assert_eq!(budget.used(), 0);
}

#[test]
fn the_end_of_a_connection_that_goes_is_told_without_a_lock() {
    // Who is told of it receives too much on another connection of the same budget, and another one has to go for that.
    let budget = Budget::new(100_000);
    let with_budget = move || options(|options| options.budget = Some(budget.clone()));
    let (other, mut peer_of_other) = against_peer(Role::Server, with_budget());
    let (tell, told) = mpsc::channel();
    let other = Mutex::new(Some(other.split().0));
    let on_end = Box::new(move |_, _| {
        let mut reader = other.lock().take().expect("it is told once");
        peer_of_other.send_bytes(&peer_of_other.encode(&binary(&[0; 150_000]))[..120_000]);
        let end = reader.next_message_within(LIMIT).map(drop).expect_err("it goes");
        let _ = tell.send(end.cause);
    });
    let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
    let opening = Opening { on_end: Some(on_end), ..Opening::new(Role::Server, with_budget()) };
    let connection = Connection::open(Socket::unix(ours).expect("a socket"), opening).expect("a connection");
    let (mut reader, _writer) = connection.split();
    let mut peer = Peer::new(theirs, Role::Client);
    send_most_of_a_message(&mut peer, &mut reader, 70_000);
    // It takes nothing any more, and so the Close that it gets breaks the connection.
    peer.stream.shutdown(Shutdown::Read).expect("open");
    let last = within(LIMIT, move || {
        let (connection, mut peer) = against_peer(Role::Server, with_budget());
        let (mut reader, writer) = connection.split();
        send_most_of_a_message(&mut peer, &mut reader, 60_000);
        writer.state()
    });
    assert_eq!(last, State::Open);
    assert_eq!(told.recv_timeout(LIMIT), Ok(Cause::OverBudget));
    assert_eq!(reader.next_message().map(drop).map_err(|end| end.cause), Err(Cause::OverBudget));
}

//! What two threads do at the same moment, and what a call does while another one of the same connection is under way.

mod common;

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use common::*;
use parking_lot::Mutex;
use raddle_core::OpCode;
use raddle_socket::{
    Cause, Close, CloseCode, Connection, End, Message, Opening, Role, SendError, Socket, State, Traffic, WhenFull,
    Writer,
};

#[test]
fn an_output_that_another_thread_has_found_full_has_room_again_when_the_peer_reads() {
    let (connection, mut peer, seen) = against_peer_observed(
        Role::Server,
        options(|options| {
            options.when_full = WhenFull::Fail;
            options.outgoing_limit = 256 * 1024;
        }),
    );
    let message = pattern(16 * 1024, 1);
    for round in 0..5 {
        // What fills it comes while another thread writes, and is left to that one.
        seen.hold();
        let writer = connection.writer();
        let first = thread::spawn(move || writer.send("first"));
        seen.wait_for_held();
        let mut queued = 0;
        let full = loop {
            match connection.send(&message) {
                Ok(_) => queued += 1,
                Err(error) => break error,
            }
        };
        assert_eq!(full, SendError::Full);
        seen.release();
        join(first, LIMIT).expect("open");
        assert_eq!(peer.frame(), text("first"), "round {round}");
        for _ in 0..queued {
            assert_eq!(peer.frame_within(Duration::from_secs(5)), Some(binary(&message)), "round {round}");
        }
        eventually("there is room", || connection.send("more").is_ok());
        assert_eq!(peer.frame(), text("more"));
    }
}

#[test]
fn what_was_queued_reaches_a_slow_peer_before_the_close_timeout_counts() {
    let (connection, mut peer) = against_peer(
        Role::Server,
        options(|options| {
            options.close_timeout = Duration::from_millis(500);
            options.outgoing_limit = 64 << 20;
        }),
    );
    let message = pattern(100_000, 1);
    for _ in 0..150 {
        connection.writer().try_send(&message).expect("within the limit");
    }
    let start = Instant::now();
    let closing = thread::spawn(move || connection.close(Close::code(CloseCode::NORMAL)));
    for number in 0..150 {
        thread::sleep(Duration::from_millis(8));
        assert!(peer.frame() == binary(&message), "message {number} is damaged");
    }
    assert!(start.elapsed() > Duration::from_secs(1), "the test is about a peer that takes its time");
    assert_eq!(peer.frame(), close(1000, ""));
    peer.send(close(1000, ""));
    peer.expect_end();
    assert!(join(closing, LIMIT).is_clean());
}

#[test]
fn after_a_cut_no_message_is_delivered_though_many_were_received() {
    // Hostile input 291.
    let (connection, mut peer) = against_peer(Role::Server, options(|_| ()));
    let (mut reader, writer) = connection.split();
    // Some are in the connection's buffer, the others in the socket.
    peer.send_all(&vec![text("received"); 2_000]);
    assert_eq!(reader.next_message(), Ok(Some(Message::Text("received"))));
    writer.cut(Cause::Shutdown);
    assert_eq!(reader.next_message().map_err(|end| end.cause), Err(Cause::Shutdown));
    // The same where they were read ahead.
    let (mut reader, writer, mut peer) = with_reader_away(Role::Server, options(|_| ()));
    peer.send_all(&vec![text("received"); 8]);
    await_received(&writer, 1 + 8);
    writer.cut(Cause::Shutdown);
    assert_eq!(reader.next_message().map_err(|end| end.cause), Err(Cause::Shutdown));
}

/// A way for a connection to end, with the cause that is told.
type Ending = (fn(Connection, Peer<std::os::unix::net::UnixStream>), Cause);

#[test]
fn whoever_is_told_of_the_end_may_use_the_connection() {
    // Hostile input 284: no lock is held while it is told.
    let endings: [Ending; 5] = [
        (|connection, _peer| connection.writer().cut(Cause::Shutdown), Cause::Shutdown),
        (|connection, _peer| drop(connection.close(Close::code(CloseCode::NORMAL))), Cause::LocalClose),
        // The attendant finds out.
        (
            |connection, peer| {
                drop(peer);
                eventually("the end is known", || connection.state() == State::Closed);
            },
            Cause::EndOfStream,
        ),
        (
            |mut connection, mut peer| {
                peer.send(close(1000, ""));
                assert_eq!(connection.next_message(), Ok(None));
            },
            Cause::PeerClose,
        ),
        (|connection, _peer| while connection.writer().try_send(&[0; 50_000]).is_ok() {}, Cause::OutgoingFull),
    ];
    for (end, expected) in endings {
        let told = Arc::<Mutex<Vec<_>>>::default();
        let handle = Arc::<Mutex<Option<Writer>>>::default();
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().expect("a pair of sockets");
        let mut opening = Opening::new(
            Role::Server,
            options(|options| {
                options.when_full = WhenFull::Close;
                options.close_timeout = Duration::from_millis(100);
            }),
        );
        opening.on_end = Some(Box::new({
            let (told, handle) = (Arc::clone(&told), Arc::clone(&handle));
            move |end: End, traffic: Traffic| {
                let writer = handle.lock().take().expect("it was put there");
                let seen = (writer.state(), writer.send("too late"), writer.traffic() == traffic);
                writer.cut(Cause::Dropped);
                writer.flush();
                told.lock().push((end.cause, seen));
            }
        }));
        let connection = Connection::open(Socket::unix(ours).expect("a socket"), opening).expect("a connection");
        *handle.lock() = Some(connection.writer());
        within(LIMIT, move || end(connection, Peer::new(theirs, Role::Client)));
        let once = (expected, (State::Closed, Err(SendError::Closed), true));
        assert_eq!(*told.lock(), [once], "told once");
    }
}

#[test]
fn ends_of_which_each_brings_about_the_next_leave_the_stack_alone() {
    // Hostile input 296: no send calls a function of the program; what calls one within another is the end, which is told by whom
    // it is brought about.
    // On an eighth of the stack that a thread has by default; a thousand would need more descriptors than some systems allow.
    const COUNT: usize = 300;
    let told = Arc::<Mutex<Vec<usize>>>::default();
    let mut connections: Vec<(Connection, std::os::unix::net::UnixStream)> = Vec::new();
    for number in 0..COUNT {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().expect("a pair of sockets");
        let mut opening = Opening::new(Role::Server, options(|_| ()));
        let (told, next) = (Arc::clone(&told), connections.last().map(|(connection, _)| connection.writer()));
        opening.on_end = Some(Box::new(move |_, _| {
            told.lock().push(number);
            if let Some(next) = next {
                assert!(next.send("within").is_ok());
                next.cut(Cause::Shutdown);
            }
        }));
        let connection = Connection::open(Socket::unix(ours).expect("a socket"), opening).expect("a connection");
        connections.push((connection, theirs));
    }
    let last = connections.last().expect("some hundreds").0.writer();
    let little = std::thread::Builder::new().stack_size(256 << 10);
    join(little.spawn(move || last.cut(Cause::Shutdown)).expect("a thread"), LIMIT);
    assert!(told.lock().iter().copied().eq((0..COUNT).rev()), "{:?}", told.lock().len());
}

#[test]
fn the_end_of_a_connection_that_is_dropped_is_told_too() {
    // Hostile input 281.
    let told = Arc::<Mutex<Vec<_>>>::default();
    let (ours, _theirs) = std::os::unix::net::UnixStream::pair().expect("a pair of sockets");
    let mut opening = Opening::new(Role::Server, options(|_| ()));
    opening.on_end = Some(Box::new({
        let told = Arc::clone(&told);
        move |end: End, traffic: Traffic| told.lock().push((end.cause, end.sent, traffic.sent_messages))
    }));
    let connection = Connection::open(Socket::unix(ours).expect("a socket"), opening).expect("a connection");
    connection.send("one").expect("open");
    drop(connection);
    eventually("it is told", || !told.lock().is_empty());
    assert_eq!(*told.lock(), [(Cause::Dropped, None, 1)]);
}

/// A sequence of numbers that look random.
struct Random(u64);

impl Random {
    /// A number below `end`.
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

#[test]
fn messages_keep_their_order_while_the_reader_comes_and_goes_and_writers_read_ahead() {
    const CONNECTIONS: u64 = 6;
    const TIME: Duration = Duration::from_millis(1500);
    let threads: Vec<_> = (0..CONNECTIONS).map(|seed| thread::spawn(move || come_and_go(seed, TIME))).collect();
    let received: u64 = threads.into_iter().map(|thread| join(thread, LIMIT)).sum();
    assert!(received > 1_000, "{received} messages have come");
}

/// A reader that is away now and then, beside a writer that waits for room most of the time and reads ahead meanwhile.
/// Gives the number of messages that have come.
fn come_and_go(seed: u64, time: Duration) -> u64 {
    let small = options(|options| options.ping_interval = Some(Duration::from_millis(1)));
    let (connection, mut peer) = against_peer(Role::Server, small);
    let (mut reader, writer) = connection.split();
    let mut sends = Peer::new(peer.stream.try_clone().expect("a descriptor"), Role::Client);
    let filling = thread::spawn({
        let writer = writer.clone();
        let message = pattern(200_000, seed);
        move || while writer.send(&message).is_ok() {}
    });
    // The peer reads slowly, so that the writer waits.
    let reading = thread::spawn(move || {
        while let Ok(Some(frame)) = peer.next_frame(LIMIT) {
            if frame.opcode == OpCode::Binary {
                thread::sleep(Duration::from_millis(2));
            }
        }
    });
    let sending = thread::spawn(move || {
        let mut random = Random(seed);
        for number in 0.. {
            let text_of = format!("{number}:{}", "q".repeat(random.below(200) as usize));
            let (one, other) = text_of.as_bytes().split_at(random.below(text_of.len() as u64) as usize);
            let frames = match random.below(4) {
                0 => vec![fragment(OpCode::Text, one), ping(b"amid"), last_fragment(other)],
                _ => vec![text(&text_of)],
            };
            let bytes: Vec<u8> = frames.iter().flat_map(|frame| sends.encode(frame)).collect();
            let (one, other) = bytes.split_at(random.below(bytes.len() as u64) as usize);
            for bytes in [one, other] {
                if std::io::Write::write_all(&mut sends.stream, bytes).is_err() {
                    return;
                }
            }
            if random.below(30) == 0 {
                thread::sleep(Duration::from_millis(1));
            }
        }
    });
    let mut random = Random(!seed);
    let (start, mut received) = (Instant::now(), 0_u64);
    while start.elapsed() < time {
        match reader.next_message() {
            Ok(Some(Message::Text(text))) => {
                let number = text.split(':').next().and_then(|number| number.parse().ok());
                assert_eq!(number, Some(received), "a message is lost, or twice there");
            }
            other => panic!("{other:?} after {received} messages"),
        }
        received += 1;
        match random.below(200) {
            // About as long as it takes until the attendant reads ahead.
            0 => thread::sleep(Duration::from_millis(100 + random.below(200))),
            1..20 => thread::sleep(Duration::from_micros(random.below(2_000))),
            _ => {}
        }
        if random.below(4) == 0 {
            assert_ne!(writer.try_send("answer"), Err(SendError::Closed));
        }
    }
    writer.cut(Cause::Shutdown);
    for thread in [filling, reading, sending] {
        join(thread, LIMIT);
    }
    received
}

//! Peers that flood: they hold up no call of their own connection beyond its time, and no other connection at all.

mod common;

use std::thread;
use std::time::{Duration, Instant};

use common::*;
use raddle_core::OpCode;
use raddle_socket::{Cause, Message, Next, Role, SendError, SendStatus};

const MIB: usize = 1 << 20;
/// What a flood may add to a call: a few reads of 64 KiB, of ten thousand frames each, on a busy machine. Where a flood held up
/// the call, that would last as long as the flood.
const AT_MOST: Duration = Duration::from_secs(6);

/// Waits until so much of a flood was received that it goes on without hindrance.
#[track_caller]
fn await_taken(flood: &Flood, bytes: usize) {
    let before = flood.taken();
    eventually("the flood is taken", || flood.taken() > before + bytes);
}

#[test]
fn a_send_ends_at_its_deadline_though_control_frames_flood_in() {
    for frame in [pong(b""), ping(b"")] {
        let (connection, peer) = against_peer(
            Role::Server,
            options(|options| {
                options.write_timeout = Duration::from_millis(400);
                options.min_rate = u64::MAX;
            }),
        );
        let flood = Flood::of(&frame, peer);
        let start = Instant::now();
        let sent = within(LIMIT, move || connection.send(&vec![0; 8 * MIB]));
        assert_eq!(sent, Err(SendError::Timeout));
        assert!(start.elapsed() < AT_MOST, "{:?}", start.elapsed());
        drop(flood);
    }
}

#[test]
fn a_reader_has_its_time_out_though_control_frames_flood_in() {
    let (mut connection, peer) = against_peer(Role::Server, options(|_| ()));
    let flood = Flood::of(&pong(b""), peer);
    within(LIMIT, move || {
        for timeout in [Duration::ZERO, Duration::from_millis(200), Duration::ZERO] {
            let start = Instant::now();
            assert_eq!(connection.next_message_within(timeout), Ok(Next::Timeout));
            let took = start.elapsed();
            assert!(took < timeout + AT_MOST, "{took:?} of {timeout:?}");
        }
    });
    assert!(flood.taken() > 0, "the test is about a flood");
}

#[test]
fn a_reader_comes_back_while_a_flood_is_read_ahead() {
    let (mut reader, _writer, peer) = with_reader_away(Role::Server, options(|_| ()));
    let flood = Flood::of(&pong(b""), peer);
    // The absent reader's attendant takes it, beyond what a socket holds.
    await_taken(&flood, MIB);
    within(LIMIT, move || {
        let start = Instant::now();
        assert_eq!(reader.next_message_within(Duration::ZERO), Ok(Next::Timeout));
        assert!(start.elapsed() < AT_MOST, "{:?}", start.elapsed());
    });
}

/// Has three connections flooded, each in another way, and the attendant busy with all of them. With what keeps them open.
fn floods() -> (Vec<Flood>, impl Sized) {
    let (connection, dropped) = against_peer(Role::Server, options(|_| ()));
    let (reader, writer) = connection.split();
    drop(reader);
    let (away, writer_of_away, pongs) = with_reader_away(Role::Server, options(|_| ()));
    let (away_too, writer_of_away_too, pings) = with_reader_away(Role::Client, options(|_| ()));
    let floods =
        vec![Flood::of(&binary(&[0; 60_000]), dropped), Flood::of(&pong(b""), pongs), Flood::of(&ping(b""), pings)];
    for flood in &floods {
        await_taken(flood, MIB);
    }
    (floods, (writer, away, writer_of_away, away_too, writer_of_away_too))
}

#[test]
fn other_connections_do_not_notice_a_flood() {
    let (floods, _open) = floods();
    let taken: Vec<_> = floods.iter().map(Flood::taken).collect();

    // A corked reply, which the attendant lets go.
    let (mut reader, writer, mut peer) = with_reader_away(Role::Server, options(|_| ()));
    for number in 0..8 {
        peer.send_all(&[text("ask"), text("ask")]);
        assert_eq!(reader.next_message(), Ok(Some(Message::Text("ask"))));
        assert_eq!(writer.send(&format!("reply {number}")), Ok(SendStatus::Queued), "the test is about a corked send");
        assert_eq!(peer.frame_within(AT_MOST), Some(text(&format!("reply {number}"))));
        assert_eq!(reader.next_message(), Ok(Some(Message::Text("ask"))));
    }

    // A Ping while another reader is away.
    let (_reader, _writer, mut peer) = with_reader_away(Role::Server, options(|_| ()));
    for number in 0..8_u32 {
        peer.send(ping(&number.to_be_bytes()));
        assert_eq!(peer.frame_within(AT_MOST), Some(pong(&number.to_be_bytes())));
    }

    // The Pings and the end of a peer that is silent.
    let (mut connection, mut peer) = against_peer(
        Role::Server,
        options(|options| {
            options.ping_interval = Some(Duration::from_millis(300));
            options.ping_timeout = Duration::from_millis(300);
        }),
    );
    let start = Instant::now();
    let reading = thread::spawn(move || connection.next_message().map(|_| ()).map_err(|end| end.cause));
    assert_eq!(peer.frame().opcode, OpCode::Ping);
    peer.expect_end();
    assert!(start.elapsed() < AT_MOST, "{:?}", start.elapsed());
    assert_eq!(join(reading, LIMIT), Err(Cause::KeepaliveTimeout));

    for (flood, taken) in floods.iter().zip(taken) {
        assert!(flood.taken() > taken + MIB, "the test is about floods that go on");
    }
}

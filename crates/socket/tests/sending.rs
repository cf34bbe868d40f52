//! What a send promises: its result, its order, what it does when the peer does not read, and what it leaves alone.

mod common;

use std::thread;
use std::time::{Duration, Instant};

use common::*;
use raddle_core::{OpCode, Progress};
use raddle_socket::{Cause, Close, CloseCode, Message, Role, SendError, SendStatus, State, WhenFull};

const MIB: usize = 1 << 20;

/// Around each form of the length, and around what is copied, written in place and fragmented.
const LENGTHS: [usize; 14] = [0, 1, 125, 126, 127, 8191, 8192, 8193, 16_384, 65_535, 65_536, MIB, MIB + 1, 3 * MIB + 1];

#[test]
fn messages_of_every_length_leave_whole() {
    for role in [Role::Server, Role::Client] {
        let (connection, mut peer) = against_peer(role, options(|_| ()));
        let sending = thread::spawn(move || {
            for length in LENGTHS {
                connection.send(&pattern(length, length as u64)).expect("the peer takes it");
            }
            connection
        });
        for length in LENGTHS {
            let mut received = peer.frame();
            assert_eq!(received.opcode, OpCode::Binary);
            while !received.fin {
                let more = peer.frame();
                assert_eq!(more.opcode, OpCode::Continuation);
                received.fin = more.fin;
                received.payload.extend(more.payload);
            }
            assert!(received == binary(&pattern(length, length as u64)), "{length} bytes from the {role:?}");
        }
        drop(join(sending, LIMIT));
    }
}

#[test]
fn a_call_that_breaks_a_rule_sends_nothing_and_changes_nothing() {
    let (connection, mut peer) = against_peer(Role::Client, options(|_| ()));
    let writer = connection.writer();
    assert_eq!(writer.ping(&[0; 126]), invalid(raddle_core::SendError::ControlTooLong));
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535] {
        let close = Close::code(CloseCode(code));
        assert_eq!(writer.close(close), invalid(raddle_core::SendError::InvalidCloseCode), "{code}");
    }
    let reason = "r".repeat(124);
    let close = Close { code: CloseCode::NORMAL, reason: &reason };
    assert_eq!(writer.close(close), invalid(raddle_core::SendError::ControlTooLong));
    let mut message = writer.begin();
    message.send("text").expect("open");
    assert_eq!(message.send(b"bytes"), invalid(raddle_core::SendError::MixedMessage));
    assert_eq!(writer.send("amid it"), invalid(raddle_core::SendError::MessageOpen));
    assert_eq!(writer.try_send("amid it"), invalid(raddle_core::SendError::MessageOpen));
    assert_eq!(writer.begin().send("amid it"), invalid(raddle_core::SendError::MessageOpen));
    message.finish(" and more").expect("open");
    assert_eq!(writer.state(), State::Open);
    assert_eq!([peer.frame(), peer.frame()], [fragment(OpCode::Text, b"text"), last_fragment(b" and more")]);
}

fn invalid<T>(error: raddle_core::SendError) -> Result<T, SendError> {
    Err(SendError::Invalid(error))
}

#[test]
fn nothing_can_be_sent_after_a_close() {
    let (connection, mut peer) = against_peer(Role::Server, options(|_| ()));
    let writer = connection.writer();
    let mut message = writer.begin();
    message.send("half").expect("open");
    writer.close(Close::code(CloseCode::NORMAL)).expect("open");
    assert_eq!(writer.send("more"), Err(SendError::Closed));
    assert_eq!(writer.try_send("more"), Err(SendError::Closed));
    assert_eq!(writer.send(&vec![0; 2 * MIB]), Err(SendError::Closed));
    assert_eq!(writer.ping(b""), Err(SendError::Closed));
    assert_eq!(writer.close(Close::code(CloseCode::NORMAL)), Err(SendError::Closed));
    assert_eq!(message.send("more"), Err(SendError::Closed));
    assert_eq!(message.finish("the end"), Err(SendError::Closed));
    assert_eq!(writer.state(), State::Closing);
    // Hostile input 175: the frame that was begun is completed, and the Close follows it.
    assert_eq!([peer.frame(), peer.frame()], [fragment(OpCode::Text, b"half"), close(1000, "")]);
}

/// Sends messages of 64 KiB until the peer's refusal to read has a say.
fn fill(mut send: impl FnMut(&[u8]) -> Result<SendStatus, SendError>) -> (usize, Result<SendStatus, SendError>) {
    let message = pattern(64 * 1024, 1);
    for number in 0..1000 {
        match send(&message) {
            Ok(_) => {}
            error => return (number, error),
        }
    }
    panic!("64 MiB are taken without anybody who reads")
}

#[test]
fn try_send_never_waits_and_what_it_has_taken_leaves_by_itself() {
    for role in [Role::Server, Role::Client] {
        let (connection, mut peer) = against_peer(role, options(|_| ()));
        let writer = connection.writer();
        // Sooner than a send that waits would fail.
        let (taken, end) = within(LIMIT, {
            let writer = writer.clone();
            move || fill(|message| writer.try_send(message))
        });
        assert_eq!(end, Err(SendError::Full));
        // The outgoing limit and the message that passes it, and what the socket has taken.
        let queued = writer.queued();
        assert!((MIB..MIB + 128 * 1024).contains(&queued), "{queued} bytes wait");
        for number in 0..taken {
            assert!(peer.frame() == binary(&pattern(64 * 1024, 1)), "message {number} is damaged");
        }
        eventually("all is written", || writer.queued() == 0);
        // Until whoever has written the last of it is done with that, this waits behind it.
        let mut sent = 0;
        eventually("what is sent leaves at once", || {
            sent += 1;
            writer.try_send("more") == Ok(SendStatus::Sent)
        });
        for _ in 0..sent {
            assert_eq!(peer.frame(), text("more"));
        }
    }
}

#[test]
fn the_outgoing_limit_is_the_options_choice() {
    let (connection, _peer) = against_peer(Role::Server, options(|options| options.outgoing_limit = 100_000));
    let (_, end) = fill(|message| connection.writer().try_send(message));
    assert_eq!(end, Err(SendError::Full));
    let queued = connection.writer().queued();
    assert!((100_000..100_000 + 66_000).contains(&queued), "{queued} bytes wait");
}

#[test]
fn a_full_output_blocks_fails_or_closes() {
    let with = |when_full| {
        options(|options| {
            options.when_full = when_full;
            options.write_timeout = Duration::from_millis(400);
            options.min_rate = u64::MAX;
        })
    };
    let fill_all = |when_full| {
        let (connection, peer) = against_peer(Role::Server, with(when_full));
        within(LIMIT, move || {
            let start = Instant::now();
            let (_, end) = fill(|message| connection.send(message));
            (connection, peer, end, start.elapsed())
        })
    };
    let (connection, _peer, end, took) = fill_all(WhenFull::Block);
    assert_eq!((end, connection.state()), (Err(SendError::Timeout), State::Closed));
    assert!(took >= Duration::from_millis(400), "{took:?}");

    let (connection, _peer, end, _) = fill_all(WhenFull::Fail);
    assert_eq!((end, connection.state()), (Err(SendError::Full), State::Open));

    let (mut connection, _peer, end, _) = fill_all(WhenFull::Close);
    assert_eq!((end, connection.state()), (Err(SendError::Closed), State::Closed));
    let end = within(LIMIT, move || connection.next_message().map(|_| ()));
    assert_eq!(end.map_err(|end| end.cause), Err(Cause::OutgoingFull));
}

#[test]
fn queued_output_of_a_peer_that_stays_away_ends_at_the_write_deadline() {
    let (mut connection, _peer) = against_peer(
        Role::Server,
        options(|options| {
            options.write_timeout = Duration::from_millis(300);
            options.min_rate = u64::MAX;
        }),
    );
    fill(|message| connection.writer().try_send(message)).1.expect_err("it is full");
    let end = within(LIMIT, move || connection.next_message().map(|_| ()));
    assert_eq!(end.map_err(|end| end.cause), Err(Cause::WriteTimeout));
}

#[test]
fn a_servers_large_payload_is_written_from_where_it_is_with_its_header() {
    let (connection, mut peer, seen) = against_peer_observed(Role::Server, options(|_| ()));
    let payload = pattern(64 * 1024, 1);
    assert_eq!(connection.send(&payload), Ok(SendStatus::Sent));
    assert_eq!(peer.frame(), binary(&payload));
    let [write] = seen.writes().try_into().unwrap_or_else(|_| panic!("one write for the message"));
    // A header of ten bytes, and the caller's own memory.
    assert_eq!((write.parts.len(), write.parts[0].1), (2, 10));
    assert_eq!(write.parts[1], (payload.as_ptr().addr(), payload.len()));
}

#[test]
fn a_client_masks_each_frame_with_a_new_key_and_leaves_the_payload_alone() {
    const SMALL: usize = 4000;
    // Hostile inputs 361 and 363, scaled down to some thousand frames of one process.
    let (connection, mut peer) = against_peer(Role::Client, options(|_| ()));
    let payload = pattern(100_000, 1);
    let before = payload.clone();
    let sending = {
        let writer = connection.writer();
        thread::spawn(move || {
            for _ in 0..SMALL {
                writer.send(b"small").expect("open");
            }
            writer.ping(b"ping").expect("open");
            writer.send(&payload).expect("open");
            let mut message = writer.begin();
            message.send(b"one").expect("open");
            message.finish(b"two").expect("open");
            payload
        })
    };
    for _ in 0..SMALL {
        assert_eq!(peer.frame(), binary(b"small"));
    }
    assert_eq!([peer.frame(), peer.frame()], [ping(b"ping"), binary(&before)]);
    assert_eq!([peer.frame(), peer.frame()], [fragment(OpCode::Binary, b"one"), last_fragment(b"two")]);
    assert_eq!(join(sending, LIMIT), before);
    let mut keys: Vec<u32> = peer.keys.into_iter().map(u32::from_be_bytes).collect();
    assert_eq!(keys.len(), SMALL + 4);
    // What counts, or tells the time, leaves most bits as they were or changes them in step.
    let between = keys.windows(2).map(|pair| pair[0] ^ pair[1]).collect();
    for numbers in [&keys, &between] {
        for bit in 0..32 {
            let set = numbers.iter().filter(|number| *number >> bit & 1 == 1).count();
            // Half are set, seven standard deviations more or less.
            assert!(set.abs_diff(SMALL / 2) < 240, "bit {bit} is set in {set} of {}", numbers.len());
        }
    }
    keys.sort_unstable();
    keys.dedup();
    // Two pairs of 4,000 random keys are the same in one of 300,000 runs.
    assert!(keys.len() >= SMALL + 4 - 1, "{} keys", keys.len());
}

#[test]
fn a_message_in_fragments_has_the_turn_until_its_end_and_pings_pass() {
    let (connection, mut peer) = against_peer(Role::Server, options(|_| ()));
    let writer = connection.writer();
    let mut message = writer.begin();
    assert_eq!(message.send("first, "), Ok(SendStatus::Sent));
    let other = writer.clone();
    let sending = thread::spawn(move || (other.try_send("at once"), other.send("another")));
    thread::sleep(Duration::from_millis(50));
    writer.ping(b"amid").expect("open");
    assert!(!sending.is_finished(), "the other thread's message waits for its turn");
    message.send("second, ").expect("open");
    message.finish("last").expect("open");
    assert_eq!(join(sending, LIMIT), (Err(SendError::Full), Ok(SendStatus::Sent)));
    let expected = [
        fragment(OpCode::Text, b"first, "),
        ping(b"amid"),
        fragment(OpCode::Continuation, b"second, "),
        last_fragment(b"last"),
        text("another"),
    ];
    for frame in expected {
        assert_eq!(peer.frame(), frame);
    }
}

#[test]
fn a_fragment_that_is_tried_never_waits_and_the_message_goes_on_after_it() {
    let (connection, mut peer) = against_peer(Role::Server, options(|_| ()));
    let writer = connection.writer();
    let mut message = writer.begin();
    let (piece, mut taken) = (vec![7; 100_000], 0);
    // Until the peer's buffers are full, and the output behind them.
    let end = loop {
        match message.try_send(&piece[..], Progress::More) {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(end, SendError::Full);
    assert!(taken * piece.len() > MIB, "{taken} were taken");
    let reading = thread::spawn(move || {
        let mut bytes = 0;
        loop {
            let frame = peer.frame();
            bytes += frame.payload.len();
            if frame.fin {
                return (bytes, peer);
            }
        }
    });
    eventually("there is room again", || message.try_send(&b"last"[..], Progress::Last).is_ok());
    let (bytes, mut peer) = join(reading, LIMIT);
    assert_eq!(bytes, taken * piece.len() + 4);
    assert_eq!(writer.try_send("next"), Ok(SendStatus::Sent));
    assert_eq!(peer.frame(), text("next"));
}

#[test]
fn a_message_that_is_given_up_closes_the_connection_with_1011() {
    let (mut connection, mut peer) = against_peer(Role::Server, options(|_| ()));
    let writer = connection.writer();
    drop(writer.begin());
    assert_eq!(writer.state(), State::Open, "nothing was begun");
    let mut message = writer.begin();
    message.send("half").expect("open");
    drop(message);
    assert_eq!(peer.frame(), fragment(OpCode::Text, b"half"));
    assert_eq!(peer.frame(), close(1011, "a message was given up"));
    peer.send(close(1011, ""));
    assert_eq!(connection.next_message(), Ok(None));
}

#[test]
fn a_message_is_cut_at_the_fragment_size_and_a_text_between_characters() {
    for role in [Role::Server, Role::Client] {
        let (connection, mut peer) = against_peer(role, options(|options| options.fragment_size = 10));
        // Three bytes each.
        connection.send("€€€€€").expect("open");
        connection.send(b"0123456789").expect("open");
        connection.send(b"0123456789a").expect("open");
        let expected = [
            fragment(OpCode::Text, "€€€".as_bytes()),
            last_fragment("€€".as_bytes()),
            binary(b"0123456789"),
            fragment(OpCode::Binary, b"0123456789"),
            last_fragment(b"a"),
        ];
        for frame in expected {
            assert_eq!(peer.frame(), frame);
        }
    }
}

#[test]
fn traffic_is_counted_on_both_sides() {
    let (mut client, mut server) = both_ends(options(|_| ()), options(|_| ()));
    client.send("Hello").expect("open");
    assert_eq!(server.next_message(), Ok(Some(Message::Text("Hello"))));
    server.send(&vec![0; 70_000]).expect("open");
    assert!(client.next_message().is_ok());
    // Headers of 2 + 4 and 10 bytes.
    let client = client.writer().traffic();
    let server = server.writer().traffic();
    assert_eq!((client.sent_bytes, client.sent_messages), (11, 1));
    assert_eq!((client.received_bytes, client.received_messages), (70_010, 1));
    assert_eq!((server.sent_bytes, server.sent_messages), (70_010, 1));
    assert_eq!((server.received_bytes, server.received_messages), (11, 1));
}

#[test]
fn handles_tell_whether_they_are_of_the_same_connection() {
    let (one, other) = both_ends(options(|_| ()), options(|_| ()));
    let writer = one.writer();
    assert!(
        writer.is_same(&one.writer().uncompressed()) && writer.is_same(&writer.downgrade().upgrade().expect("held"))
    );
    assert!(!writer.is_same(&other.writer()));
}

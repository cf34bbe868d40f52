//! Cases about a peer that does not read, or goes away, while the library sends.

use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use raddle::core::{Header, OpCode, Rsv1};
use raddle::{Cause, Role, SendError, SendStatus, Writer};

use crate::case::Saw;
use crate::host::{At, Engine, Host, Note, wait_until};
use crate::peer::{PATIENCE, Peer};
use crate::wire::{self, close, frame, ping, text};

/// Larger than what both sockets of a connection hold.
const HUGE: usize = 16 << 20;

#[test]
fn pings_that_are_not_read_back_take_no_memory() {
    // Hostile input 155.
    for engine in Engine::ALL {
        let host = Host::echo(engine, |builder, _| builder.with_options(|options| options.ping_interval = None));
        let mut peer = Peer::connect_narrow(host.address).opened();
        let id = host.connections()[0].id;
        let queued = || host.connection(id).map_or(0, |writer| writer.queued());
        let count = 100_000_u32;
        let pings: Vec<_> = (0..count)
            .map(|number| {
                let mut payload = [0x5a; 125];
                payload[..4].copy_from_slice(&number.to_be_bytes());
                ping(payload)
            })
            .collect();
        let pings = wire::encode(&pings, Role::Server);
        let mut most = 0;
        // Faster than the server can take them, so that each of its reads finds all that it has space for.
        for part in pings.chunks(256 * 1024) {
            peer.send(part);
            most = most.max(queued());
        }
        // 12 MB of Pings were read meanwhile: none of them waits for the peer, nor does a Pong for each of them.
        assert!(wait_until(|| host.connections()[0].traffic.received_bytes >= u64::from(count) * 131));
        most = most.max(queued());
        assert!((1..=64 * 1024).contains(&most), "{most} bytes are queued");
        // The newest Ping is answered, and the connection works.
        peer.send_pieces([text("read"), close(1000, "")]);
        let (sent, _) = peer.receive_to_end();
        let pongs: Vec<u32> = sent.iter().filter_map(number).collect();
        assert!(pongs.is_sorted() && pongs.last() == Some(&(count - 1)), "{:?}", pongs.last());
        assert!((pongs.len() as u32) < count, "the peer has read everything");
        assert!(sent.contains(&Saw::Text("read".into())));
        drop(peer);
        host.finish();
    }
}

/// The number of the Ping that a Pong answers.
fn number(event: &Saw) -> Option<u32> {
    let Saw::Pong(payload) = event else { return None };
    Some(u32::from_be_bytes(*payload.first_chunk().expect("our payload")))
}

/// Sends a message that the peer's sockets cannot hold, and gives the result to `results`.
fn send_huge(engine: Engine, writer: &Writer, results: &mpsc::Sender<Result<SendStatus, SendError>>) {
    let (writer, results) = (writer.clone(), results.clone());
    engine.wait_apart(move || results.send(writer.send(&vec![0x5a; HUGE])).expect("the test waits"));
}

#[test]
fn a_pong_passes_between_the_fragments_of_a_message_that_is_stuck() {
    // Hostile input 156.
    for engine in Engine::ALL {
        let (results, sent) = mpsc::channel();
        let host = Host::acting(
            engine,
            |builder, _| {
                builder.with_options(|options| {
                    options.fragment_size = 64 * 1024;
                    options.ping_interval = None;
                })
            },
            move |writer, at, _| {
                match at {
                    At::Open => send_huge(engine, writer, &results),
                    At::Message(message) => drop(writer.send(message)?),
                    At::End(_) => {}
                }
                Ok(())
            },
        );
        let mut peer = Peer::connect_narrow(host.address).opened();
        let connection = || host.connections().remove(0);
        let bytes = || connection().traffic.sent_bytes;
        // Until nothing more fits.
        let mut before = 0;
        assert!(wait_until(|| {
            thread::sleep(Duration::from_millis(50));
            bytes() == std::mem::replace(&mut before, bytes()) && before > 0
        }));
        peer.send_pieces([ping("p"), text("meanwhile")]);
        // Reading goes on: the message is received, though the application is still amid its send.
        assert!(wait_until(|| connection().traffic.received_messages == 1), "{engine:?}: {:?}", connection());

        peer.read_until("the echo", |received| received.ends_with(&text("meanwhile").encode(Role::Client)));
        peer.send_pieces([close(1000, "")]);
        let frames = peer.frames_to_end();
        // The frames are whole, the Pong stands between two of one message, and the message is whole too.
        let pong = frames.iter().position(|frame| frame.first == 0x80 | OpCode::Pong as u8).expect("a Pong");
        let last = frames.iter().position(|frame| frame.first == 0x80).expect("a last fragment");
        assert!(pong < last, "{engine:?}: the Pong, frame {pong}, has waited for the message, up to frame {last}");
        let expected = [Saw::Pong(b"p".into()), Saw::Binary(vec![0x5a; HUGE]), Saw::Text("meanwhile".into())];
        assert!(wire::messages(&frames).expect("messages in order").starts_with(&expected));
        assert!(sent.recv_timeout(PATIENCE).is_ok_and(|sent| sent.is_ok()));
        drop(peer);
        host.finish();
    }
}

#[test]
fn a_reset_amid_a_send_is_one_end_and_no_signal() {
    // Hostile input 173.
    for engine in Engine::ALL {
        let (results, sent) = mpsc::channel();
        let host = Host::acting(
            engine,
            |builder, _| builder,
            move |writer, at, _| {
                if let At::Open = at {
                    send_huge(engine, writer, &results);
                }
                Ok(())
            },
        );
        let peer = Peer::connect_narrow(host.address).opened();
        let address = peer.address();
        thread::sleep(Duration::from_millis(50));
        peer.reset();
        assert_eq!(sent.recv_timeout(PATIENCE), Ok(Err(SendError::Closed)), "{engine:?}");
        let notes = host.log.take_ended(address);
        let [Note::End(Some(end))] = &notes[..] else { panic!("{engine:?}: {notes:?}") };
        assert!(matches!(end.cause, Cause::Io(_)) && end.code().0 == 1006, "{engine:?}: {end}");
        host.finish();
    }
}

#[test]
fn a_failure_does_not_wait_for_a_peer_that_does_not_read() {
    // Hostile input 176.
    for engine in Engine::ALL {
        fail_while_stuck(engine, |writer| while writer.try_send(&[0x5a; 64 * 1024]).is_ok() {});
    }
}

#[test]
fn a_failure_does_not_wait_for_a_thread_whose_send_is_stuck() {
    // Hostile inputs 176 and 283.
    for engine in Engine::ALL {
        let (results, sent) = mpsc::channel();
        fail_while_stuck(engine, move |writer| {
            let (sender, results) = (writer.clone(), results.clone());
            thread::spawn(move || results.send(sender.send(&vec![0x5a; HUGE])));
            // It is amid its message, which others would have to wait for.
            while writer.try_send("behind") != Err(SendError::Full) {
                thread::yield_now();
            }
        });
        assert_eq!(sent.recv_timeout(PATIENCE), Ok(Err(SendError::Closed)), "{engine:?}");
    }
}

/// Breaks the protocol while `stick` has filled the output, and the peer does not read.
fn fail_while_stuck(engine: Engine, stick: impl Fn(&Writer) + Send + Sync + 'static) {
    let stick = Arc::new(stick);
    let (fill, full) = mpsc::channel();
    let host = Host::acting(
        engine,
        |builder, _| builder,
        move |writer, at, _| {
            if let At::Open = at {
                let (writer, stick, is_full) = (writer.clone(), Arc::clone(&stick), fill.clone());
                engine.wait_apart(move || {
                    stick(&writer);
                    is_full.send(()).expect("the test waits");
                });
            }
            Ok(())
        },
    );
    let mut peer = Peer::connect_narrow(host.address).opened();
    full.recv_timeout(PATIENCE).expect("the output is full");
    let failed = Instant::now();
    peer.send_pieces([frame(0x83, b"")]);
    let notes = host.log.take_ended(peer.address());
    let Some(Note::End(Some(end))) = notes.last() else { panic!("{notes:?}") };
    assert!(matches!(end.cause, Cause::Failed(_)) && end.code().0 == 1006, "{end}");
    // A second for the Close, and some for a machine that has other things to do: less than the write deadline's thirty.
    assert!(failed.elapsed() < Duration::from_secs(8), "{:?}", failed.elapsed());
    // What the peer has is whole frames, and perhaps the beginning of one with nothing else in it.
    let (mut received, _) = peer.read_to_end();
    let mut frames = 0;
    while let Some((header, start)) = Header::parse(received, Role::Client, Rsv1::Reserved).expect("a valid header") {
        let payload = &received[start..received.len().min(start + header.length as usize)];
        let is_large = matches!(header.opcode, OpCode::Binary | OpCode::Continuation);
        assert!(!is_large || payload.iter().all(|byte| *byte == 0x5a), "frame {frames}: {header:?}");
        received = &received[start + payload.len()..];
        frames += 1;
    }
    assert!(frames > 0);
    drop(peer);
    host.finish();
}

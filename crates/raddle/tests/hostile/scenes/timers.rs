//! Cases about time, which is scaled down: what takes a minute by default takes a fraction of a second here.

use std::thread;
use std::time::Duration;

use raddle::core::{Due, Keepalive};
use raddle::{Builder, Cause, End, Role};

use crate::case::Saw;
use crate::host::{Engine, Host, Note, wait_until};
use crate::peer::{Ending, Peer};
use crate::wire::{binary, frame, pong, raw};

fn hurried(builder: Builder, interval: Option<u64>, timeout: u64, message: u64) -> Builder {
    builder.with_options(|options| {
        options.ping_interval = interval.map(Duration::from_millis);
        options.ping_timeout = Duration::from_millis(timeout);
        options.message_timeout = Duration::from_millis(message);
    })
}

/// How the application has seen the connection end.
fn end(host: &Host, peer: &Peer) -> End {
    let notes = host.log.take_ended(peer.address());
    let Some(Note::End(Some(end))) = notes.last() else { panic!("{notes:?}") };
    end.clone()
}

#[test]
fn a_header_that_never_ends_is_given_up_wherever_it_is_cut() {
    // Hostile input 125: without I/O there is no time at all, so that what waits here is the timer's.
    for engine in Engine::ALL {
        let host = Host::echo(engine, |builder, _| hurried(builder, None, 0, 300));
        // The longest header: 64 bits of length, and a masking key.
        let header = binary([0; 65_536]).encode(Role::Server);
        let mut peers: Vec<_> = (1..14)
            .map(|length| {
                let mut peer = Peer::open(host.address);
                peer.send(&header[..length]);
                peer
            })
            .collect();
        for (index, peer) in peers.iter_mut().enumerate() {
            let (sent, _) = peer.receive_to_end();
            assert!(matches!(&sent[..], [Saw::Close(Some((1008, _)))]), "{} bytes: {sent:?}", index + 1);
            let end = end(&host, peer);
            assert_eq!(
                (end.cause, end.sent.map(|code| code.0), end.code().0),
                (Cause::MessageTimeout, Some(1008), 1006)
            );
        }
        drop(peers);
        host.finish();
    }
}

#[test]
fn a_message_that_never_ends_fails_though_the_peer_lives() {
    // Hostile input 147.
    for engine in Engine::ALL {
        let host = Host::echo(engine, |builder, _| hurried(builder, Some(100), 10_000, 500));
        let mut peer = Peer::open(host.address);
        let mut drip = Peer::over(peer.stream().try_clone().expect("a descriptor"));
        let dripping = thread::spawn(move || {
            drip.send_pieces([frame(0x02, b"x")]);
            // It answers nothing, but it says something every 50 ms. Up to 20 s.
            for _ in 0..400 {
                thread::sleep(Duration::from_millis(50));
                drip.send_pieces([frame(0x00, b"x")]);
            }
        });
        let (sent, _) = peer.receive_to_end();
        let closes: Vec<_> = sent.iter().filter(|event| matches!(event, Saw::Close(_))).collect();
        assert!(matches!(&closes[..], [Saw::Close(Some((1008, _)))]), "{closes:?}");
        let end = end(&host, &peer);
        assert_eq!((end.cause, end.code().0, end.is_clean()), (Cause::MessageTimeout, 1006, false));
        let _ = peer.stream().shutdown(std::net::Shutdown::Both);
        assert!(!dripping.is_finished(), "the message has ended by itself");
        drop(peer);
        host.finish();
    }
}

#[test]
fn only_the_first_matching_pong_completes_a_ping() {
    // Hostile input 154.
    let seconds = Duration::from_secs;
    let mut keepalive = Keepalive::new(seconds(20), seconds(10), seconds(0));
    // Before any Ping, whatever it says.
    for payload in [&b""[..], &[0; 8], &1_u64.to_be_bytes()] {
        assert_eq!(keepalive.pong(payload, seconds(1)), None);
    }
    let Due::Ping(first) = keepalive.due(seconds(20)) else { panic!("no Ping is due") };
    for payload in [&b""[..], b"other", &first[..7]] {
        assert_eq!(keepalive.pong(payload, seconds(21)), None);
    }
    assert_eq!(keepalive.pong(&first, seconds(22)), Some(seconds(2)));
    assert_eq!(keepalive.pong(&first, seconds(23)), None);

    keepalive.heard(seconds(23));
    let Due::Ping(second) = keepalive.due(seconds(43)) else { panic!("no Ping is due") };
    assert_ne!(first, second);
    assert_eq!(keepalive.pong(&first, seconds(44)), None);
    // After it was given up: no panic, and no second completion.
    assert_eq!(keepalive.due(seconds(53)), Due::Silent);
    keepalive.pong(&second, seconds(54));
    assert_eq!(keepalive.pong(&second, seconds(55)), None);
}

#[test]
fn pongs_that_match_nothing_measure_nothing() {
    // Hostile input 154.
    for engine in Engine::ALL {
        let host = Host::echo(engine, |builder, _| hurried(builder, Some(50), 10_000, 60_000));
        let mut peer = Peer::open(host.address);
        peer.send_pieces([pong(b""), pong(1_u64.to_be_bytes()), pong(b"other")]);
        peer.echo("open");
        let round_trip = || host.connections()[0].round_trip;
        assert_eq!(round_trip(), None);
        let pings = peer.receive(1);
        let [Saw::Ping(payload)] = &pings[..] else { panic!("{pings:?}") };
        // Twice, with others between.
        peer.send_pieces([pong(b"other"), pong(payload), pong(b""), pong(payload)]);
        assert!(wait_until(|| round_trip().is_some()), "the round-trip time is not known");
        drop(peer);
        host.finish();
    }
}

#[test]
fn a_peer_that_answers_no_ping_is_given_up() {
    // Hostile input 158.
    for engine in Engine::ALL {
        let host = Host::echo(engine, |builder, _| hurried(builder, Some(100), 200, 60_000));
        let mut peer = Peer::open(host.address);
        let (sent, ending) = peer.receive_to_end();
        // It was asked, and the connection ends without a word.
        assert!(matches!(&sent[..], [Saw::Ping(_), ..]) && sent.iter().all(|event| matches!(event, Saw::Ping(_))));
        assert_eq!(ending, Ending::Finished);
        let end = end(&host, &peer);
        assert_eq!((end.cause, end.code().0, end.sent), (Cause::KeepaliveTimeout, 1006, None));
        assert!(end.to_string().contains("ping timeout"), "{end}");
        drop(peer);
        host.finish();
    }
}

#[test]
fn bytes_that_arrive_are_life_enough() {
    // Hostile input 159.
    for engine in Engine::ALL {
        let host = Host::echo(engine, |builder, _| hurried(builder, Some(100), 1000, 60_000));
        let mut peer = Peer::open(host.address);
        let message = binary([0x5a; 200]).encode(Role::Server);
        // Over more than twice the time that an answer may take, and no Ping is answered.
        for part in message.chunks(message.len().div_ceil(16)) {
            peer.send_pieces([raw(part)]);
            thread::sleep(Duration::from_millis(150));
        }
        let is_echo = |received: &[u8]| received.windows(200).any(|bytes| bytes == [0x5a; 200]);
        let pinged = peer.read_until("the message", is_echo).windows(2).any(|bytes| bytes == [0x89, 8]);
        assert!(pinged, "the peer was never asked");
        drop(peer);
        host.finish();
    }
}

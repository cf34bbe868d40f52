//! Group K where it is about both sides, time and the application: the closing handshake and what follows it.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use raddle::core::{Close, CloseCode, Event, Sender};
use raddle::{
    Builder, Cause, Connection, ConnectionId, End, Message, Options, Role, SendError, Socket, State, WhenFull, Writer,
};

use crate::case::{Saw, saw_close};
use crate::host::{At, Engine, Host, Note, join, saw};
use crate::peer::{Ending, Peer};
use crate::wire::{close, frame, raw, text};

fn hurried(builder: Builder) -> Builder {
    builder.with_options(|options| {
        options.close_timeout = Duration::from_millis(300);
        options.when_full = WhenFull::Fail;
    })
}

/// A server that closes the connection after the first message, with 4000.
fn closing(engine: Engine, change: impl FnOnce(Builder) -> Builder) -> Host {
    const ENOUGH: Close<'_> = Close { code: CloseCode(4000), reason: "enough" };
    if engine == Engine::Threads {
        // A reader waits for the end itself.
        return Host::serve(
            |builder, _| change(builder),
            |mut reader, _writer, log| {
                reader.next_message()?;
                let peer = reader.info().peer;
                log.note(peer, Note::End(Some(reader.close(ENOUGH))));
                Ok(())
            },
        );
    }
    Host::acting(
        engine,
        |builder, _| change(builder),
        |writer, at, _| {
            // More may come, until the peer has answered.
            if let At::Message(_) = at
                && writer.state() == State::Open
            {
                writer.close(ENOUGH)?;
            }
            Ok(())
        },
    )
}

/// How the application has seen the connection end.
fn end(host: &Host, peer: &Peer) -> End {
    let notes = host.log.take_ended(peer.address());
    let Some(Note::End(Some(end))) = notes.last() else { panic!("{notes:?}") };
    end.clone()
}

/// The code received, the code sent, and whether both were (case 179).
fn facts(end: &End) -> (Option<u16>, Option<u16>, bool) {
    (end.received.as_ref().map(|(code, _)| code.0), end.sent.map(|code| code.0), end.is_clean())
}

#[test]
fn ten_mebibytes_behind_a_close_are_not_answered() {
    // Hostile input 167.
    for engine in Engine::ALL {
        let host = Host::echo(engine, |builder, _| hurried(builder));
        let mut peer = Peer::open(host.address);
        peer.send_pieces([close(1000, "bye"), raw(vec![0x81; 10 << 20])]);
        assert_eq!(peer.receive_to_end().0, [saw_close(1000, "")]);
        assert_eq!(facts(&end(&host, &peer)), (Some(1000), Some(1000), true));
        drop(peer);
        host.finish();
    }
}

#[test]
fn two_closes_that_cross_are_not_answered() {
    // Hostile input 168.
    for engine in Engine::ALL {
        let host = closing(engine, |builder| builder);
        let mut peer = Peer::open(host.address);
        peer.send_pieces([text("close")]);
        assert_eq!(peer.receive(1), [saw_close(4000, "enough")]);
        // As if it had not seen ours, which was sent before the peer's is read.
        peer.send_pieces([close(1001, "bye")]);
        assert_eq!(peer.receive_to_end(), (Vec::new(), Ending::Finished));
        let end = end(&host, &peer);
        assert_eq!((end.cause, facts(&end)), (Cause::LocalClose, (Some(1001), Some(4000), true)));
        drop(peer);
        host.finish();
    }

    let mut sender = Sender::server();
    sender.close(Some(Close::code(CloseCode(4000)))).expect("nothing was closed");
    sender.react(&Event::Close(Some(Close::code(CloseCode::GOING_AWAY))));
    assert_eq!(sender.output(), b"\x88\x02\x0f\xa0");
}

#[test]
fn a_peer_that_goes_on_sending_does_not_put_off_the_end() {
    // Hostile input 169.
    for engine in Engine::ALL {
        let host = closing(engine, hurried);
        let mut peer = Peer::open(host.address);
        let mut sender = Peer::over(peer.stream().try_clone().expect("a descriptor"));
        let sending = thread::spawn(move || {
            // Up to 20 s.
            for _ in 0..1000 {
                sender.send_pieces([text("and another")]);
                thread::sleep(Duration::from_millis(20));
            }
        });
        assert_eq!(peer.receive_to_end().0, [saw_close(4000, "enough")]);
        let end = end(&host, &peer);
        assert_eq!((end.cause, facts(&end), end.code().0), (Cause::LocalClose, (None, Some(4000), false), 1006));
        assert!(!sending.is_finished(), "the peer has ended first");
        let _ = peer.stream().shutdown(std::net::Shutdown::Both);
        drop(peer);
        host.finish();
    }
}

#[test]
fn a_peer_that_answers_no_close_is_given_up() {
    // Hostile input 170.
    for engine in Engine::ALL {
        let host = closing(engine, hurried);
        let mut peer = Peer::open(host.address);
        peer.send_pieces([text("close")]);
        assert_eq!(peer.receive_to_end(), (vec![saw_close(4000, "enough")], Ending::Finished));
        let end = end(&host, &peer);
        assert_eq!((end.cause, facts(&end), end.code().0), (Cause::LocalClose, (None, Some(4000), false), 1006));
        drop(peer);
        host.finish();
    }
}

#[test]
fn a_peer_that_does_not_even_read_is_given_up() {
    // Hostile input 170.
    for engine in Engine::ALL {
        let host = Host::acting(
            engine,
            |builder, _| hurried(builder),
            |writer, at, _| {
                if let At::Open = at {
                    while writer.try_send(&[0x5a; 64 * 1024]).is_ok() {}
                    writer.close(Close { code: CloseCode(4000), reason: "enough" })?;
                }
                Ok(())
            },
        );
        let peer = Peer::connect_narrow(host.address).opened();
        let end = end(&host, &peer);
        // Our Close waits behind what the peer does not take: it was never sent.
        assert_eq!((end.cause, facts(&end), end.code().0), (Cause::LocalClose, (None, None, false), 1006));
        drop(peer);
        host.finish();
    }
}

#[test]
fn a_client_waits_for_the_end_of_the_stream_no_longer_than_it_may() {
    // Hostile input 171.
    let (ours, mut server) = UnixStream::pair().expect("two descriptors");
    let mut options = Options::default();
    options.close_timeout = Duration::from_millis(300);
    let socket = Socket::unix(ours).expect("a socket");
    let client = Connection::new(socket, Role::Client, b"", options).expect("a connection");
    let answering = thread::spawn(move || {
        // Its header, its masking key, its code.
        let mut received = [0; 8];
        server.read_exact(&mut received).expect("a Close");
        assert_eq!(received[..2], [0x88, 0x82]);
        server.write_all(b"\x88\x02\x03\xe8").expect("the client reads");
        // The stream stays open until the client ends it.
        assert_eq!(server.read(&mut received).expect("the end"), 0);
        server
    });
    let begun = Instant::now();
    let end = client.close(Close::code(CloseCode::NORMAL));
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!((end.cause, facts(&end)), (Cause::LocalClose, (Some(1000), Some(1000), true)));
    join(answering);
}

/// What every way of sending says.
fn assert_closed(writer: &Writer) {
    assert_eq!(writer.send("late"), Err(SendError::Closed));
    assert_eq!(writer.try_send(&b"late"[..]), Err(SendError::Closed));
    assert_eq!(writer.begin().send("late"), Err(SendError::Closed));
    assert_eq!(writer.begin().finish("late"), Err(SendError::Closed));
    assert_eq!(writer.ping(b"late"), Err(SendError::Closed));
    assert_eq!(writer.close(Close::code(CloseCode::NORMAL)), Err(SendError::Closed));
    // Also with a code that may never be sent.
    assert!(writer.close(Close::code(CloseCode::ABNORMAL)).is_err());
}

#[test]
fn after_a_close_nothing_can_be_sent() {
    // Hostile input 174.
    for engine in Engine::ALL {
        let host = Host::acting(
            engine,
            |builder, _| builder,
            |writer, at, log| {
                match at {
                    At::Open => {
                        writer.close(Close { code: CloseCode(4000), reason: "enough" })?;
                        assert_eq!(writer.state(), State::Closing);
                    }
                    // Messages are received until the peer's Close comes.
                    At::Message(message) => log.note(writer.info().peer, Note::Message(saw(message))),
                    At::End(_) => {}
                }
                assert_closed(writer);
                Ok(())
            },
        );
        let mut peer = Peer::open(host.address);
        assert_eq!(peer.receive(1), [saw_close(4000, "enough")]);
        peer.send_pieces([text("meanwhile"), close(4000, "")]);
        assert_eq!(peer.receive_to_end(), (Vec::new(), Ending::Finished));
        let notes = host.log.take_ended(peer.address());
        let [Note::Message(Saw::Text(message)), Note::End(Some(end))] = &notes[..] else {
            panic!("{engine:?}: {notes:?}")
        };
        assert_eq!((message.as_str(), facts(end)), ("meanwhile", (Some(4000), Some(4000), true)));
        drop(peer);
        host.finish();
    }
}

#[test]
fn a_close_amid_a_message_cuts_it_between_frames() {
    // Hostile input 175.
    for engine in Engine::ALL {
        let host = Host::acting(
            engine,
            |builder, _| builder,
            |writer, at, _| {
                if let At::Open = at {
                    let mut message = writer.begin();
                    message.send("Hel")?;
                    writer.close(Close::code(CloseCode::NORMAL))?;
                    assert_eq!(message.send("l"), Err(SendError::Closed));
                    assert_eq!(message.finish("o"), Err(SendError::Closed));
                }
                Ok(())
            },
        );
        let mut peer = Peer::open(host.address);
        peer.read_until("a Close", |received| received.ends_with(b"\x88\x02\x03\xe8"));
        peer.send_pieces([close(1000, "")]);
        let frames = peer.frames_to_end();
        let sent: Vec<_> = frames.iter().map(|frame| (frame.first, &frame.payload[..])).collect();
        assert_eq!(sent, [(0x01, &b"Hel"[..]), (0x88, b"\x03\xe8")]);
        assert_eq!(facts(&end(&host, &peer)), (Some(1000), Some(1000), true));
        drop(peer);
        host.finish();
    }
}

#[test]
fn a_handler_that_panics_or_fails_is_a_close_without_details() {
    // Hostile input 180.
    for engine in Engine::ALL {
        let host = Host::acting(
            engine,
            |builder, _| builder,
            |writer, at, _| match at {
                At::Message(Message::Text("panic")) => panic!("a secret of the application's"),
                At::Message(Message::Text("fail")) => Err("a secret of the application's".into()),
                At::Message(message) => Ok(writer.send(message).map(drop)?),
                _ => Ok(()),
            },
        );
        let mut other = Peer::open(host.address);
        for what in ["panic", "fail"] {
            let mut peer = Peer::open(host.address);
            peer.send_pieces([text(what)]);
            assert_eq!(peer.receive(1), [saw_close(1011, "")]);
            peer.send_pieces([close(1011, "")]);
            assert_eq!(peer.receive_to_end(), (Vec::new(), Ending::Finished));
        }
        other.echo("not disturbed");
        other.send_pieces([frame(0x88, b"")]);
        assert_eq!(other.receive_to_end(), (vec![Saw::Close(None)], Ending::Finished));
        host.finish();
    }
}

#[test]
fn after_the_end_every_call_has_its_answer() {
    // Hostile input 181.
    for engine in Engine::ALL {
        let host = Host::acting(
            engine,
            |builder, _| builder,
            |writer, at, log| {
                match at {
                    At::Open => log.note(writer.info().peer, Note::Open),
                    At::End(_) => {
                        assert_over(writer);
                        assert_over(writer);
                    }
                    At::Message(_) => {}
                }
                Ok(())
            },
        );
        see_every_end(&host);
        host.finish();
    }
}

#[test]
fn after_the_end_a_reader_says_what_it_has_said() {
    // Hostile input 181, where a thread has the reader.
    let host = Host::serve(
        |builder, _| builder,
        |mut reader, writer, log| {
            let peer = reader.info().peer;
            log.note(peer, Note::Open);
            while let Ok(Some(_)) = reader.next_message() {}
            let end = reader.end().cloned().expect("the end was seen");
            for _ in 0..2 {
                assert_over(&writer);
                // The first cause is kept.
                assert_eq!((reader.end(), reader.state()), (Some(&end), State::Closed));
                assert_eq!(reader.next_message().map(|message| message.is_none()).ok(), end.is_clean().then_some(true));
                assert_eq!(reader.next_part().is_ok(), end.is_clean());
            }
            log.note(peer, Note::End(Some(end)));
            Ok(())
        },
    );
    see_every_end(&host);
    host.finish();
}

/// What a handle says of a connection that has ended.
fn assert_over(writer: &Writer) {
    assert_closed(writer);
    writer.flush();
    writer.cut(Cause::Shutdown);
    assert_eq!((writer.state(), writer.queued(), writer.round_trip()), (State::Closed, 0, None));
    assert!(writer.traffic().received_bytes > 0);
}

/// Has connections end by the peer's Close, by a failure and by the end of the stream, and looks for what is left of them.
fn see_every_end(host: &Host) {
    for (pieces, cause) in [
        (vec![close(1000, "")], Cause::PeerClose),
        (vec![frame(0x83, b"")], Cause::Failed(raddle::Error::ReservedOpCode)),
        (vec![text("and then nothing")], Cause::EndOfStream),
    ] {
        let mut peer = Peer::open(host.address);
        host.log.wait_for(peer.address(), |note| matches!(note, Note::Open).then_some(()));
        let id: ConnectionId = host.connections()[0].id;
        let writer = host.connection(id).expect("an open connection");
        peer.send_pieces(pieces);
        peer.finish();
        peer.receive_to_end();
        let end = end(host, &peer);
        assert_eq!(end.cause, cause);
        host.assert_empty();
        // A handle that is kept names nothing any more, and does no harm.
        assert_closed(&writer);
        assert!(host.connection(id).is_none());
    }
}

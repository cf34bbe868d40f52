//! Groups H, I and J where they are about what the library sends, and about messages in parts.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use raddle::core::{MaskingKeys, Message, Progress, Sender};
use raddle::{Cause, Error, Limits, Role, Writer};

use crate::case::Saw;
use crate::host::{At, Engine, Host, Note};
use crate::peer::{PATIENCE, Peer};
use crate::wire::{self, announce, close, frame, text};

#[test]
fn every_length_is_sent_in_its_shortest_form() {
    // Hostile input 123.
    struct Key;
    impl MaskingKeys for Key {
        fn next_key(&mut self) -> Option<[u8; 4]> {
            Some(*b"key!")
        }
    }
    for (length, header) in [
        (0, &b"\x82\x00"[..]),
        (1, b"\x82\x01"),
        (125, b"\x82\x7d"),
        (126, b"\x82\x7e\x00\x7e"),
        (127, b"\x82\x7e\x00\x7f"),
        (65_535, b"\x82\x7e\xff\xff"),
        (65_536, b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
        (1 << 20, b"\x82\x7f\x00\x00\x00\x00\x00\x10\x00\x00"),
    ] {
        let payload = vec![0x5a; length];
        let message = Message::Binary(&payload);
        let mut server = Sender::server();
        server.send(message).expect("nothing was closed");
        assert!(server.output() == [header, &payload].concat(), "{length} bytes of a server");
        let mut direct = Sender::server();
        direct.send_header(message, Progress::Last).expect("nothing was closed");
        assert_eq!(direct.output(), header);

        let mut client = Sender::client(Box::new(Key));
        client.send(message).expect("nothing was closed");
        let mut masked = [header, b"key!"].concat();
        masked[1] |= 0x80;
        masked.extend(payload.iter().zip(b"key!".iter().cycle()).map(|(byte, key)| byte ^ key));
        assert!(client.output() == masked, "{length} bytes of a client");
    }
}

#[test]
fn a_message_in_parts_is_held_to_the_limits_and_its_failure_is_reported() {
    // Hostile input 146.
    let (parts, received) = mpsc::channel();
    let host = Host::serve(
        |builder, _| builder.with_options(|options| options.limits = Limits { message: 1000, ..Limits::default() }),
        move |mut reader, _writer, log| {
            while let Ok(Some(part)) = reader.next_part() {
                parts.send((part.payload.as_bytes().to_vec(), part.progress)).expect("the test waits");
            }
            log.note(reader.info().peer, Note::End(reader.end().cloned()));
            Ok(())
        },
    );
    let gather = |last: bool| {
        let mut whole = Vec::new();
        loop {
            let (payload, progress) = received.recv_timeout(PATIENCE).expect("a part");
            whole.extend(payload);
            if progress == Progress::Last || !last && whole.len() == 900 {
                return whole;
            }
        }
    };
    let mut peer = Peer::open(host.address);
    peer.send_pieces([frame(0x02, [1; 600])]);
    thread::sleep(Duration::from_millis(5));
    peer.send_pieces([frame(0x80, [2; 400])]);
    assert_eq!(gather(true), [vec![1; 600], vec![2; 400]].concat());
    // é is cut by the fragmentation, and never by the parts.
    peer.send_pieces([frame(0x01, b"\xc3"), frame(0x80, b"\xa9")]);
    assert_eq!(gather(true), "é".as_bytes());
    // Nine hundred bytes are handed out; the header that passes the limit is a failure, and no end of the message.
    peer.send_pieces([frame(0x02, [3; 900])]);
    assert_eq!(gather(false), [3; 900]);
    peer.send_pieces([announce(0x80, 101)]);
    let (sent, _) = peer.receive_to_end();
    assert!(matches!(&sent[..], [Saw::Close(Some((1009, _)))]), "{sent:?}");
    let notes = host.log.take_ended(peer.address());
    let Some(Note::End(Some(end))) = notes.last() else { panic!("{notes:?}") };
    assert_eq!(end.cause, Cause::Failed(Error::MessageTooBig));
    drop(peer);
    assert!(received.try_recv().is_err(), "a part behind the failure");
    host.finish();
}

#[test]
fn a_message_above_the_fragment_size_is_cut_and_a_ping_slips_in() {
    // Hostile input 149.
    for engine in Engine::ALL {
        let host = Host::acting(
            engine,
            |builder, _| builder.with_options(|options| options.fragment_size = 1000),
            |writer, at, _| {
                if let At::Open = at {
                    // é has two bytes, so that a fragment of text has 999 of them behind the x.
                    writer.send(&*format!("x{}", "é".repeat(1200)))?;
                    writer.send(&[7; 1000])?;
                    let mut message = writer.begin();
                    message.send("Hel")?;
                    writer.ping(b"p")?;
                    message.finish("lo")?;
                }
                Ok(())
            },
        );
        let mut peer = Peer::open(host.address);
        peer.read_until("the last fragment", |received| received.ends_with(b"\x80\x02lo"));
        peer.send_pieces([close(1000, "")]);
        let frames = peer.frames_to_end();
        let firsts: Vec<_> = frames.iter().map(|frame| (frame.first, frame.payload.len())).collect();
        assert_eq!(
            firsts,
            // Text, two continuations, the last with FIN; binary in one piece; text, Ping, the rest; Close.
            [(0x01, 999), (0x00, 1000), (0x80, 402), (0x82, 1000), (0x01, 3), (0x89, 1), (0x80, 2), (0x88, 2)]
        );
        assert!(frames[..3].iter().all(|frame| std::str::from_utf8(&frame.payload).is_ok()), "a character was cut");
        let messages = wire::messages(&frames).expect("messages in order");
        assert_eq!(messages[0], Saw::Text(format!("x{}", "é".repeat(1200))));
        assert_eq!(messages[2..4], [Saw::Ping(b"p".to_vec()), Saw::Text("Hello".into())]);
        drop(peer);
        host.finish();
    }
}

/// Of each of the threads.
const EACH: usize = 50;

fn send_from_four_threads(writer: &Writer) {
    thread::scope(|scope| {
        for letter in b'a'..b'e' {
            let writer = writer.clone();
            scope.spawn(move || {
                for index in 0..EACH {
                    if index % 2 == 0 {
                        writer.send(&vec![letter; 20_000]).expect("nothing was closed");
                    } else {
                        let mut message = writer.begin();
                        message.send(&[letter; 5000]).expect("nothing was closed");
                        writer.ping(&[letter]).expect("nothing was closed");
                        // Long enough for the others to come between.
                        thread::sleep(Duration::from_millis(1));
                        message.finish(&[letter; 5000]).expect("nothing was closed");
                    }
                }
            });
        }
    });
}

#[test]
fn fragments_of_several_threads_never_mix() {
    // Hostile input 150.
    for engine in Engine::ALL {
        let host = Host::acting(
            engine,
            |builder, _| builder.with_options(|options| options.fragment_size = 1000),
            move |writer, at, _| {
                if let At::Open = at {
                    let writer = writer.clone();
                    engine.wait_apart(move || {
                        send_from_four_threads(&writer);
                        writer.send("done").expect("nothing was closed");
                    });
                }
                Ok(())
            },
        );
        let mut peer = Peer::open(host.address);
        let mut done = false;
        peer.read_until("the last message", |received| {
            done |= received.ends_with(&text("done").encode(Role::Client));
            done
        });
        peer.send_pieces([close(1000, "")]);
        // That the fragments belong together is checked where they are put together.
        let (messages, _) = peer.receive_to_end();
        let binary =
            messages.iter().filter_map(|message| if let Saw::Binary(bytes) = message { Some(bytes) } else { None });
        let mut counts = [0; 4];
        for message in binary {
            assert!(message.iter().all(|byte| *byte == message[0]), "bytes of several threads in one message");
            assert!(matches!(message.len(), 20_000 | 10_000));
            counts[usize::from(message[0] - b'a')] += 1;
        }
        assert_eq!(counts, [EACH; 4]);
        assert_eq!(messages.iter().filter(|message| matches!(message, Saw::Ping(_))).count(), 4 * EACH / 2);
        drop(peer);
        host.finish();
    }
}

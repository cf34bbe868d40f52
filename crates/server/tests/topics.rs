//! Topics: who gets what, in which order, and what becomes of those who do not keep up. With either engine.

mod common;

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use common::*;
use parking_lot::Mutex;
use raddle_core::OpCode;
use raddle_server::{Backplane, ConnectionId, Message, Server, TooManyTopics, WhenFull, Writer};

/// A client that the server is known to have, and the server's handle of it.
fn member(server: &Server) -> (Client, Writer) {
    let client = connect(server);
    let address = client.stream.local_addr().expect("connected");
    let of_client = || server.connections().into_iter().find(|known| known.peer == Some(address));
    eventually("it is open", || of_client().is_some_and(|known| server.connection(known.id).is_some()));
    let id = of_client().expect("known").id;
    (client, server.connection(id).expect("open"))
}

#[test]
fn all_but_one_get_what_is_broadcast() {
    for engine in ENGINES {
        let server = publishing(engine, |builder| builder);
        let [(mut one, _), (mut two, two_writer)] = [(); 2].map(|()| member(&server));
        assert_eq!(server.broadcast("to both", None).sent, 2);
        assert_eq!(server.broadcast(b"to one", Some(ConnectionId::of(two_writer.info()))).sent, 1);
        assert_eq!([one.frame(), one.frame()], [text("to both"), binary(b"to one")]);
        assert_eq!(two.frame(), text("to both"));
        [&mut one, &mut two].into_iter().for_each(assert_echo);
        finish(&server);
    }
}

#[test]
fn subscribers_get_what_is_published_and_nobody_else_does() {
    for engine in ENGINES {
        let server = publishing(engine, |builder| builder);
        let [(mut one, one_writer), (mut two, two_writer), (mut none, _)] = [(); 3].map(|()| member(&server));
        assert_eq!([server.subscribe(&one_writer, "news"), server.subscribe(&two_writer, "news")], [Ok(true); 2]);
        assert_eq!(server.subscribe(&one_writer, "news"), Ok(false), "it has subscribed already");
        assert_eq!(server.subscribe(&two_writer, "weather"), Ok(true));
        assert_eq!(server.subscribers("news"), 2);
        server.publish("news", "to both");
        server.publish_except("news", b"to one", ConnectionId::of(two_writer.info()));
        server.publish("weather", "to two");
        server.publish("nothing", "to nobody");
        assert_eq!([one.frame(), one.frame()], [text("to both"), binary(b"to one")]);
        assert_eq!([two.frame(), two.frame()], [text("to both"), text("to two")]);
        assert!(server.unsubscribe(&one_writer, "news") && !server.unsubscribe(&one_writer, "news"));
        server.publish("news", "to two");
        assert_eq!(two.frame(), text("to two"));
        // What they get next is what they have asked for.
        for client in [&mut one, &mut two, &mut none] {
            assert_echo(client);
        }
        finish(&server);
    }
}

#[test]
fn sends_and_publications_of_one_thread_keep_their_order() {
    for engine in ENGINES {
        let server = publishing(engine, |builder| builder);
        let (mut client, writer) = member(&server);
        server.subscribe(&writer, "all").expect("it has none");
        for number in 0..500 {
            writer.send(&format!("sent {number}")).expect("open");
            server.publish("all", &format!("published {number}"));
        }
        for number in 0..500 {
            assert_eq!(client.frame(), text(&format!("sent {number}")));
            assert_eq!(client.frame(), text(&format!("published {number}")));
        }
        // From the handler too, corked or not.
        for number in 0..100 {
            client.send(text(&format!("{number}")));
            client.send(text(&format!("all:{number}")));
        }
        for number in 0..100 {
            assert_eq!(client.frame(), text(&format!("{number}")), "{engine:?}");
            assert_eq!(client.frame(), text(&format!("all:{number}")), "{engine:?}");
        }
        finish(&server);
    }
}

#[test]
fn all_subscribers_get_the_messages_of_many_threads_in_the_same_order() {
    for engine in ENGINES {
        let server = publishing(engine, |builder| builder);
        let mut members: Vec<_> = (0..5).map(|_| member(&server)).collect();
        for (_, writer) in &members {
            assert_eq!(server.subscribe(writer, "all"), Ok(true));
        }
        let publishers: Vec<_> = (0..4)
            .map(|publisher| {
                let server = server.clone();
                thread::spawn(move || {
                    (0..250).for_each(|number| server.publish("all", &format!("{publisher} {number}")));
                })
            })
            .collect();
        publishers.into_iter().for_each(|publisher| join(publisher, LIMIT));
        let mut heard: Vec<Vec<Frame>> =
            members.iter_mut().map(|(client, _)| (0..1000).map(|_| client.frame()).collect()).collect();
        let first = heard.pop().expect("five");
        assert!(heard.iter().all(|other| *other == first), "{engine:?}");
        for publisher in 0..4 {
            let of_this = first.iter().filter(|frame| frame.payload.starts_with(format!("{publisher} ").as_bytes()));
            let expected = (0..250).map(|number| text(&format!("{publisher} {number}")));
            assert!(of_this.cloned().eq(expected), "{engine:?}");
        }
        finish(&server);
    }
}

#[test]
fn a_subscriber_that_does_not_keep_up_goes_without_or_goes() {
    for engine in ENGINES {
        for when_full in [WhenFull::Fail, WhenFull::Block, WhenFull::Close] {
            let server = publishing(engine, |builder| {
                builder.with_options(|options| {
                    options.when_full = when_full;
                    options.outgoing_limit = 64 * 1024;
                })
            });
            let (_never_reads, stuck) = member(&server);
            let (mut reads, writer) = member(&server);
            assert_eq!([server.subscribe(&stuck, "all"), server.subscribe(&writer, "all")], [Ok(true); 2]);
            let payload = vec![b'x'; 16 * 1024];
            let mut published = 0;
            let is_seen = || match when_full {
                WhenFull::Close => server.subscribers("all") == 1,
                _ => server.metrics().dropped_publications >= 10,
            };
            while !is_seen() {
                assert!(published < 2000, "{engine:?}, {when_full:?}: it is never seen to be slow");
                server.publish("all", &payload[..]);
                published += 1;
                assert_eq!(reads.frame(), binary(&payload));
                assert!(stuck.queued() <= 64 * 1024 + payload.len() + 16, "{} bytes wait", stuck.queued());
            }
            assert_echo(&mut reads);
            server.stop(Duration::ZERO);
            server.join(LIMIT).expect("all handlers have returned");
        }
    }
}

#[test]
fn a_connection_that_ends_has_no_subscriptions() {
    for engine in ENGINES {
        let server = publishing(engine, |builder| builder);
        let (client, writer) = member(&server);
        let id = ConnectionId::of(writer.info());
        assert_eq!([server.subscribe(&writer, "one"), server.subscribe(&writer, "two")], [Ok(true); 2]);
        assert_eq!(server.topics_of(id).len(), 2);
        say_goodbye(client);
        eventually("it has left", || server.connections().is_empty());
        assert_eq!((server.topics_of(id).len(), server.subscribers("one"), server.subscribers("two")), (0, 0, 0));
        assert_eq!(server.subscribe(&writer, "one"), Ok(false), "it has ended");
        assert_eq!(server.subscribers("one"), 0);
        server.publish("one", "to nobody");
        finish(&server);
    }
}

#[test]
fn a_connection_has_as_many_topics_as_it_may_and_a_long_name_counts_as_several() {
    // Hostile input 379.
    const FULL: Result<bool, TooManyTopics> = Err(TooManyTopics);
    let server = publishing(Engine::Pool, |builder| builder.max_topics(3));
    let [(mut client, one), (_other, two)] = [(); 2].map(|()| member(&server));
    let id = ConnectionId::of(one.info());
    let all = |names: &[&str]| names.iter().map(|name| server.subscribe(&one, name)).collect::<Vec<_>>();
    assert_eq!(all(&["a", "b", "c", "d", "c"]), [Ok(true), Ok(true), Ok(true), FULL, Ok(false)]);
    assert_eq!((server.topics_of(id).len(), server.subscribers("d")), (3, 0));
    assert_eq!(server.subscribe(&two, "d"), Ok(true), "each has its own");
    server.publish("d", "not subscribed");
    server.publish("c", "subscribed");
    assert_eq!(client.frame(), text("subscribed"));
    assert!(server.unsubscribe(&one, "b"));
    assert_eq!(all(&["d", "b"]), [Ok(true), FULL]);
    assert!(["a", "c", "d"].iter().all(|name| server.unsubscribe(&one, name)));
    let long = |bytes: usize| "x".repeat(bytes);
    assert_eq!(all(&[&long(769), &long(768), "a"]), [FULL, Ok(true), FULL]);
    assert!(server.unsubscribe(&one, &long(768)));
    assert_eq!(all(&["", &long(257), "a"]), [Ok(true), Ok(true), FULL]);
    finish(&server);

    for (set, count) in [(Some(0), 0), (None, 1024), (Some(usize::MAX), 3000)] {
        let server = publishing(Engine::Threads, |builder| match set {
            Some(count) => builder.max_topics(count),
            None => builder,
        });
        let (_client, writer) = member(&server);
        let subscribe = |number: usize| server.subscribe(&writer, &number.to_string());
        assert!((0..count).all(|number| subscribe(number) == Ok(true)));
        assert_eq!(subscribe(count), if set == Some(usize::MAX) { Ok(true) } else { FULL });
        finish(&server);
    }
}

#[test]
fn a_publication_waits_for_the_end_of_a_message_in_fragments() {
    for engine in ENGINES {
        let server = publishing(engine, |builder| builder);
        let (mut client, writer) = member(&server);
        server.subscribe(&writer, "all").expect("it has none");
        let mut message = writer.begin();
        message.send("one, ").expect("open");
        server.publish("all", "published");
        message.send("two, ").expect("open");
        server.publish("all", "published too");
        message.finish("three").expect("open");
        let fragments = [client.frame(), client.frame(), client.frame()];
        assert_eq!(
            fragments.each_ref().map(|frame| frame.opcode),
            [OpCode::Text, OpCode::Continuation, OpCode::Continuation]
        );
        assert_eq!([client.frame(), client.frame()], [text("published"), text("published too")], "{engine:?}");
        finish(&server);
    }
}

#[test]
fn a_backplane_carries_what_is_published() {
    /// Says everything twice.
    #[derive(Clone, Default)]
    struct Echo(Arc<Mutex<Vec<String>>>);

    impl Backplane for Echo {
        fn publish(&self, server: &Server, topic: &str, message: Message<'_>, except: Option<ConnectionId>) {
            self.0.lock().push(topic.to_owned());
            assert_eq!(server.deliver(topic, message, except).sent, 1);
            assert_eq!(server.deliver(topic, message, except).dropped, 0);
        }
    }

    let carried = Echo::default();
    let server = publishing(Engine::Pool, |builder| builder.backplane(carried.clone()));
    let (mut client, writer) = member(&server);
    server.subscribe(&writer, "all").expect("it has none");
    server.publish("all", "once");
    assert_eq!([client.frame(), client.frame()], [text("once"), text("once")]);
    assert_eq!(*carried.0.lock(), ["all"]);
    finish(&server);
}

//! Two protocol objects on one wire, without a network; and one against the RFC's own bytes.

use raddle_core::handshake::Response;
use raddle_core::{Close, CloseCode, Deflate, Event, Message, Progress, Role, SendError};

use super::endpoint::{Delivery, Endpoint, Fault, Found, Silent, Standing, TooMany};
use super::opening::Unanswered;
use super::output::Piece;
use super::sending::Unsent;
use super::settings::{Decision, Keys, Settings};

/// What came of a step, owned.
#[derive(Clone, Debug, PartialEq)]
enum Said {
    Open,
    Request,
    Text(String),
    Binary(Vec<u8>),
    Part(Vec<u8>, Progress),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(u16, String),
}

fn server(change: impl FnOnce(&mut Settings)) -> Endpoint {
    let mut settings = Settings::new(Role::Server);
    change(&mut settings);
    Endpoint::server(settings)
}

fn client(change: impl FnOnce(&mut Settings)) -> Endpoint {
    let mut settings = Settings::new(Role::Client);
    change(&mut settings);
    Endpoint::client(settings, "example.com", "/chat", *b"the sample nonce").expect("in order")
}

/// All that is to be written, which is noted as written `at_a_time` bytes at most.
fn drain(endpoint: &mut Endpoint, at_a_time: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let mut pieces = [Piece { data: std::ptr::dangling(), length: 0 }; 3];
        let filled = endpoint.output(&mut pieces);
        let mut left = at_a_time;
        for piece in &pieces[..filled] {
            let length = piece.length.min(left);
            // SAFETY: the piece lies in the endpoint, or in a payload of the test that is still there.
            bytes.extend_from_slice(unsafe { std::slice::from_raw_parts(piece.data, length) });
            left -= length;
        }
        if left == at_a_time {
            assert_eq!(endpoint.queued(), 0);
            return bytes;
        }
        endpoint.written(at_a_time - left).expect("so many were lent");
    }
}

/// Feeds bytes, `at_a_time` of them, and tells what comes of them.
fn feed(endpoint: &mut Endpoint, bytes: &[u8], at_a_time: usize, delivery: Delivery) -> Vec<Said> {
    let mut said = Vec::new();
    for piece in bytes.chunks(at_a_time) {
        endpoint.feed(piece);
        listen(endpoint, delivery, &mut said).expect("nothing is wrong");
    }
    said
}

fn listen(endpoint: &mut Endpoint, delivery: Delivery, said: &mut Vec<Said>) -> Result<(), Fault> {
    loop {
        said.push(match endpoint.advance(delivery)? {
            Found::Nothing => return Ok(()),
            Found::Open => Said::Open,
            Found::Request => {
                said.push(Said::Request);
                return Ok(());
            }
            Found::Event => match endpoint.event().expect("it was found") {
                Event::Text(text) => Said::Text(text.into()),
                Event::Binary(bytes) => Said::Binary(bytes.into()),
                Event::Part(message, progress) => Said::Part(message.as_bytes().into(), progress),
                Event::Ping(payload) => Said::Ping(payload.into()),
                Event::Pong(payload) => Said::Pong(payload.into()),
                Event::Close(close) => {
                    close.map_or(Said::Close(1005, String::new()), |it| Said::Close(it.code.0, it.reason.into()))
                }
            },
        });
    }
}

/// Brings what one has to write to the other, and tells what that makes of it.
fn carry(from: &mut Endpoint, to: &mut Endpoint) -> Vec<Said> {
    let bytes = drain(from, usize::MAX);
    feed(to, &bytes, usize::MAX, Delivery::Whole)
}

fn connected(of_client: impl FnOnce(&mut Settings), of_server: impl FnOnce(&mut Settings)) -> (Endpoint, Endpoint) {
    let (mut client, mut server) = (client(of_client), server(of_server));
    assert_eq!(carry(&mut client, &mut server), [Said::Open]);
    assert_eq!(carry(&mut server, &mut client), [Said::Open]);
    (client, server)
}

#[test]
fn the_rfcs_own_bytes_open_a_connection_and_are_answered_at_every_cut() {
    // RFC 6455, section 1.2, and a masked "Hello" of section 5.7 behind it.
    let received = [
        &b"GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: http://server.example.com\r\n\
            Sec-WebSocket-Protocol: chat, superchat\r\nSec-WebSocket-Version: 13\r\n\r\n"[..],
        b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58",
    ]
    .concat();
    for at_a_time in [1, 7, 100, received.len()] {
        let mut server = server(|settings| settings.subprotocols = vec!["superchat".into()]);
        let said = feed(&mut server, &received, at_a_time, Delivery::Whole);
        assert_eq!(said, [Said::Open, Said::Text("Hello".into())], "{at_a_time} at a time");
        assert_eq!(server.agreement.subprotocol.as_deref(), Some("superchat"));
        server.send(Message::Text("Hello")).expect("open");
        let written = drain(&mut server, at_a_time);
        let head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
            Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: superchat\r\n\r\n";
        assert_eq!(written, [&head[..], b"\x81\x05Hello"].concat());
    }
}

#[test]
fn both_sides_open_talk_and_close() {
    let (mut client, mut server) = connected(|_| (), |_| ());
    assert_eq!((client.standing(), server.standing()), (Standing::Open, Standing::Open));
    client.send(Message::Text("é")).expect("open");
    client.ping(b"ping").expect("open");
    client.send(Message::Binary(&[0; 70_000])).expect("open");
    let said = carry(&mut client, &mut server);
    assert_eq!(said, [Said::Text("é".into()), Said::Ping(b"ping".into()), Said::Binary(vec![0; 70_000])]);
    assert_eq!(carry(&mut server, &mut client), [Said::Pong(b"ping".into())]);
    client.close(Some(Close { code: CloseCode::NORMAL, reason: "done" })).expect("open");
    assert_eq!((client.standing(), server.standing()), (Standing::Closing, Standing::Open));
    assert_eq!(client.send(Message::Text("late")), Err(Unsent::Send(SendError::Closed)));
    assert_eq!(carry(&mut client, &mut server), [Said::Close(1000, "done".into())]);
    assert_eq!(server.standing(), Standing::Closed);
    assert_eq!(carry(&mut server, &mut client), [Said::Close(1000, String::new())]);
    assert_eq!(client.standing(), Standing::Closed);
    // What comes after the end is taken, and nothing.
    assert_eq!(feed(&mut client, &[0xff; 10_000], 100, Delivery::Whole), []);
}

#[test]
fn an_event_stays_while_it_is_sent_back() {
    let (mut client, mut server) = connected(|_| (), |_| ());
    client.send(Message::Text(&"x".repeat(1000))).expect("open");
    server.feed(&drain(&mut client, usize::MAX));
    assert!(matches!(server.advance(Delivery::Whole), Ok(Found::Event)));
    let event = server.event().and_then(Event::message).expect("a message");
    let (address, copy) = (event.as_bytes().as_ptr(), event.as_bytes().to_vec());
    for _ in 0..100 {
        server.send(Message::Binary(&copy)).expect("open");
    }
    let event = server.event().and_then(Event::message).expect("still there");
    assert_eq!((event.as_bytes().as_ptr(), event.as_bytes()), (address, &copy[..]));
    assert_eq!(carry(&mut server, &mut client).len(), 100);
}

#[test]
fn a_lent_payload_leaves_in_its_place_and_is_not_copied() {
    for at_a_time in [1, 3, 1000, usize::MAX] {
        let (mut client, mut server) = connected(|_| (), |_| ());
        let (large, other) = (vec![7; 5000], "é".repeat(400));
        server.send(Message::Text("before")).expect("open");
        server.send_lent(Message::Binary(&large)).expect("open");
        server.send_lent(Message::Binary(b"")).expect("open");
        server.send_lent(Message::Text(&other)).expect("open");
        // What has begun to be written stays; what is sent meanwhile goes behind.
        let mut pieces = [Piece { data: std::ptr::dangling(), length: 0 }; 8];
        assert_eq!(server.output(&mut pieces), 4);
        assert_eq!((pieces[1].data, pieces[3].data), (large.as_ptr(), other.as_ptr()));
        assert_eq!(server.written(usize::MAX), Err(super::endpoint::TooMany));
        server.ping(b"behind").expect("open");
        server.close(None).expect("open");
        let bytes = drain(&mut server, at_a_time);
        let said = feed(&mut client, &bytes, usize::MAX, Delivery::Whole);
        let expected = [
            Said::Text("before".into()),
            Said::Binary(large),
            Said::Binary(Vec::new()),
            Said::Text(other),
            Said::Ping(b"behind".into()),
            Said::Close(1005, String::new()),
        ];
        assert_eq!(said, expected, "{at_a_time} at a time");
    }
}

#[test]
fn what_is_written_stays_where_it_is_until_it_was() {
    let (_client, mut server) = connected(|_| (), |_| ());
    server.send(Message::Text("first")).expect("open");
    let mut pieces = [Piece { data: std::ptr::dangling(), length: 0 }; 1];
    assert_eq!(server.output(&mut pieces), 1);
    let [first] = pieces;
    for _ in 0..1000 {
        server.send(Message::Binary(&[1; 100])).expect("open");
    }
    assert_eq!(server.output(&mut pieces), 1);
    assert_eq!(pieces, [first]);
    server.written(3).expect("so many were lent");
    assert_eq!(server.output(&mut pieces), 1);
    assert_eq!(pieces, [Piece { data: first.data.wrapping_add(3), length: first.length - 3 }]);
    assert_eq!(server.queued(), 7 - 3 + 1000 * 102);
}

#[test]
fn a_pong_leaves_in_its_turn_while_the_peer_takes_what_is_written() {
    let (mut client, mut server) = connected(|_| (), |_| ());
    for _ in 0..3 {
        client.ping(b"ping").expect("open");
        let bytes = drain(&mut client, usize::MAX);
        assert_eq!(feed(&mut server, &bytes, usize::MAX, Delivery::Whole), [Said::Ping(b"ping".into())]);
        server.send(Message::Text("behind")).expect("open");
        assert_eq!(carry(&mut server, &mut client), [Said::Pong(b"ping".into()), Said::Text("behind".into())]);
        // Asked once more, there is nothing.
        assert_eq!(drain(&mut server, usize::MAX), b"");
    }
}

#[test]
fn compressed_messages_pass_whole_and_in_fragments() {
    for no_context_takeover in [false, true] {
        let deflate = Deflate {
            threshold: 10,
            server_no_context_takeover: no_context_takeover,
            client_no_context_takeover: no_context_takeover,
            ..Deflate::default()
        };
        let offer = |settings: &mut Settings| settings.deflate = Some(deflate);
        let (mut client, mut server) = connected(offer, offer);
        let text = "all work and no play ".repeat(100);
        for (from, to) in [(0, 1), (1, 0), (0, 1)] {
            let sides = [&mut client, &mut server];
            sides[from].send(Message::Text(&text)).expect("open");
            sides[from].send_lent(Message::Text("short")).expect("open");
            sides[from].send_fragment(Message::Text(&text[..500]), Progress::More).expect("open");
            assert_eq!(
                sides[from].send_fragment(Message::Binary(b"not text"), Progress::More),
                Err(Unsent::Send(SendError::MixedMessage))
            );
            assert_eq!(sides[from].send(Message::Text(&text)), Err(Unsent::Send(SendError::MessageOpen)));
            assert_eq!(sides[from].send_lent(Message::Text("amid")), Err(Unsent::Send(SendError::MessageOpen)));
            sides[from].ping(b"").expect("open");
            sides[from].send_fragment(Message::Text(&text[500..]), Progress::Last).expect("open");
            sides[from].send(Message::Text(&text)).expect("open");
            let bytes = drain(sides[from], usize::MAX);
            assert!(bytes.len() < text.len(), "{} bytes", bytes.len());
            let said = feed(sides[to], &bytes, usize::MAX, Delivery::Whole);
            let whole = Said::Text(text.clone());
            assert_eq!(said, [whole.clone(), Said::Text("short".into()), Said::Ping(Vec::new()), whole.clone(), whole]);
            drain(sides[to], usize::MAX);
            sides[from].shrink();
        }
    }
}

#[test]
fn a_message_comes_in_parts_where_it_is_asked_for_in_parts() {
    let (mut client, mut server) = connected(|_| (), |_| ());
    client.send_fragment(Message::Text("one "), Progress::More).expect("open");
    client.send_fragment(Message::Text("two"), Progress::Last).expect("open");
    let bytes = drain(&mut client, usize::MAX);
    let said = feed(&mut server, &bytes, 8, Delivery::Parts);
    let Some(Said::Part(_, Progress::Last)) = said.last() else { panic!("{said:?}") };
    let payload = said.iter().flat_map(|said| match said {
        Said::Part(payload, _) => payload.clone(),
        other => panic!("{other:?}"),
    });
    assert_eq!(payload.collect::<Vec<_>>(), b"one two");
}

#[test]
fn space_that_was_lent_is_taken_back_by_what_replaces_or_gives_back_its_memory() {
    type Step = fn(&mut Endpoint);
    let waiting: fn() -> Endpoint = || {
        let mut server = server(|settings| settings.decision = Decision::Program);
        let request = drain(&mut client(|_| {}), usize::MAX);
        assert_eq!(feed(&mut server, &request, 50, Delivery::Whole), [Said::Request]);
        server
    };
    let open: fn() -> Endpoint = || connected(|_| {}, |_| {}).1;
    let accept: Step = |server| server.accept(None).expect("in order");
    let answer: Step = |server| server.answer(&Response::refusal(403)).expect("it waits");
    for (make, step) in [(waiting, accept), (waiting, answer), (open, Endpoint::shrink as Step)] {
        let mut server = make();
        assert!(!server.space().is_empty());
        step(&mut server);
        assert_eq!(server.filled(1), Err(TooMany));
        assert!(!server.space().is_empty());
        assert_eq!(server.filled(1), Ok(()));
    }
}

#[test]
fn a_program_decides_on_a_request_and_frames_that_came_with_it_wait() {
    let by_program = |settings: &mut Settings| settings.decision = Decision::Program;
    let mut client = client(|settings| settings.subprotocols = vec!["chat".into()]);
    let mut server = server(by_program);
    let request = drain(&mut client, usize::MAX);
    let hello = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
    assert_eq!(server.accept(None), Err(Unanswered::NotNow));
    assert_eq!(feed(&mut server, &[&request[..], hello].concat(), 50, Delivery::Whole), [Said::Request]);
    assert_eq!(server.request().map(|request| request.target()), Some("/chat"));
    assert_eq!(feed(&mut server, hello, 3, Delivery::Whole), []);
    assert_eq!((server.standing(), server.queued()), (Standing::Connecting, 0));
    assert_eq!(server.send(Message::Text("early")), Err(Unsent::NotOpen));
    assert!(matches!(server.accept(Some("other")), Err(Unanswered::Answer(_))));
    server.accept(Some("chat")).expect("it was offered");
    let mut said = Vec::new();
    listen(&mut server, Delivery::Whole, &mut said).expect("in order");
    assert_eq!(said, [Said::Open, Said::Text("Hello".into()), Said::Text("Hello".into())]);
    assert_eq!(carry(&mut server, &mut client), [Said::Open]);
    assert_eq!(client.agreement.subprotocol.as_deref(), Some("chat"));

    // An answer in place of a connection; and a plain GET, which can only be answered.
    for request in [&request[..], b"GET /page HTTP/1.1\r\nHost: example.com\r\n\r\n"] {
        let mut server = self::server(by_program);
        assert_eq!(feed(&mut server, request, 50, Delivery::Whole), [Said::Request]);
        if request.len() < 60 {
            assert!(matches!(server.accept(None), Err(Unanswered::Plain(_))));
        }
        server.answer(&Response::refusal(404)).expect("a request waits");
        assert!(drain(&mut server, 10).starts_with(b"HTTP/1.1 404 Not Found\r\n"));
        assert_eq!(server.standing(), Standing::Closed);
        assert!(matches!(server.advance(Delivery::Whole), Err(Fault::Answered)));
    }
}

#[test]
fn what_breaks_a_rule_is_answered_and_final() {
    let mut server = self::server(|_| ());
    server.feed(b"POST / HTTP/1.1\r\n");
    for _ in 0..2 {
        assert!(matches!(server.advance(Delivery::Whole), Err(Fault::Request(_))));
    }
    assert!(drain(&mut server, usize::MAX).starts_with(b"HTTP/1.1 405 "));

    let mut client = client(|_| ());
    drain(&mut client, usize::MAX);
    client.feed(b"HTTP/1.1 403 Forbidden\r\nX: y\r\nContent-Length: 0\r\n\r\n");
    for _ in 0..2 {
        assert!(matches!(client.advance(Delivery::Whole), Err(Fault::Response(_))));
    }
    let peer = client.peer.as_ref().expect("it has answered");
    assert_eq!((peer.header("x"), peer.header_at(1)), (Some(&b"y"[..]), Some(("Content-Length", &b"0"[..]))));

    let (_, mut server) = connected(|_| (), |_| ());
    // Not masked.
    server.feed(b"\x81\x05Hello");
    for _ in 0..2 {
        assert!(matches!(server.advance(Delivery::Whole), Err(Fault::Frame(raddle_core::Error::UnmaskedFrame))));
    }
    assert_eq!(server.standing(), Standing::Closed);
    assert!(drain(&mut server, usize::MAX).starts_with(b"\x88\x21\x03\xeaa client's frame"));
}

#[test]
fn keys_of_the_program_are_used_once_each_and_in_order() {
    let (mut client, mut server) = connected(|settings| settings.keys = Keys::Given, |_| ());
    let keys = client.keys.clone().expect("they are the program's");
    assert_eq!(client.send(Message::Text("Hello")), Err(Unsent::Send(SendError::NoMaskingKey)));
    assert!(!keys.give(&[1, 2, 3]));
    assert!(keys.give(&[0x37, 0xfa, 0x21, 0x3d, 1, 2, 3, 4]));
    client.send(Message::Text("Hello")).expect("there is a key");
    assert_eq!(
        (drain(&mut client, usize::MAX), keys.left()),
        (b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58".into(), 1)
    );
    // A Ping is not answered without one.
    server.ping(b"").expect("open");
    server.ping(b"").expect("open");
    carry(&mut server, &mut client);
    assert_eq!((drain(&mut client, usize::MAX), keys.left()), (b"\x8a\x80\x01\x02\x03\x04".into(), 0));
    assert!(!keys.give(&vec![0; 4 * super::keys::MOST + 4]));
}

#[test]
fn keepalive_pings_a_silent_peer_and_gives_it_up() {
    let seconds = std::time::Duration::from_secs;
    let keepalive = |settings: &mut Settings| settings.keepalive = Some((seconds(20), seconds(10)));
    let (mut client, mut server) = connected(|_| (), keepalive);
    assert_eq!(server.tick(seconds(100)), Ok(Some(seconds(20))));
    assert_eq!(server.tick(seconds(120)), Ok(Some(seconds(10))));
    assert!(matches!(&carry(&mut server, &mut client)[..], [Said::Ping(_)]));
    assert!(matches!(&carry(&mut client, &mut server)[..], [Said::Pong(_)]));
    assert_eq!(server.tick(seconds(121)), Ok(Some(seconds(20))));
    assert_eq!(server.tick(seconds(141)), Ok(Some(seconds(10))));
    assert_eq!(server.tick(seconds(151)), Err(Silent));
    // One that has no keepalive has nothing to do.
    assert_eq!(client.tick(seconds(1000)), Ok(None));
}

#[test]
fn space_is_filled_once_and_no_further_than_it_was_lent() {
    let mut server = server(|_| ());
    assert!(server.filled(1).is_err());
    let length = server.space().len();
    assert!(length > 0 && server.filled(length + 1).is_err());
    server.space();
    assert!(server.filled(0).is_ok() && server.filled(1).is_err());
    server.space();
    assert!(matches!(server.advance(Delivery::Whole), Ok(Found::Nothing)));
    assert!(server.filled(1).is_err(), "the space was lent before something was parsed");
}

//! Group G where it is about time, bodies and the caller: a client against a server that does not do its part.

use std::collections::HashSet;
use std::io::{ErrorKind, Read};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use raddle::{Answer, Client, ConnectError, Message, ResponseError, Socket, Stage};

use crate::alone;
use crate::case::Setup;
use crate::head;
use crate::host::join;
use crate::peer::Peer;
use crate::relay::Certificate;
use crate::run::client::{Over, call, key_of};
use crate::wire::{self, close, ping, text};

/// A server that does `serve` with each of its connections; it is left to itself.
fn serve(serve: impl Fn(Peer) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("ws://{}/", listener.local_addr().expect("it is bound"));
    thread::spawn(move || {
        loop {
            serve(Peer::accept(&listener));
        }
    });
    url
}

#[test]
fn a_server_that_says_nothing_or_drips_is_left_at_the_deadline() {
    // Hostile input 88.
    let time = Duration::from_millis(400);
    let drip = |bytes: &'static [u8]| {
        serve(move |mut peer| {
            peer.take_request();
            for byte in bytes.iter().chain([b'a'].iter().cycle()).take(500) {
                peer.send(&[*byte]);
                thread::sleep(Duration::from_millis(20));
            }
        })
    };
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    for url in [
        format!("ws://{}/", silent.local_addr().expect("it is bound")),
        drip(b"HTTP/1.1 101 "),
        drip(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nX: "),
    ] {
        let begun = Instant::now();
        let error = Client::new().connect_timeout(time).connect(&url).expect_err("it does not answer");
        assert!(matches!(error, ConnectError::Timeout { stage: Stage::Handshake, cause: None }), "{error:?}");
        // The bytes that come, for ten seconds, do not put it off.
        assert!(begun.elapsed() >= time && begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    }
}

/// What a client gets from a server that says this to its request.
fn refusal(client: &Client, say: impl Fn(&mut Peer) + Send + 'static) -> Answer {
    let url = serve(move |mut peer| {
        peer.take_request();
        say(&mut peer);
    });
    match client.connect(&url) {
        Err(ConnectError::Refused(answer)) => *answer,
        other => panic!("{other:?} instead of a refusal"),
    }
}

#[test]
fn a_refusal_gives_its_headers_and_its_body() {
    // Hostile input 90.
    let whole = b"HTTP/1.1 403 No\r\nWWW-Authenticate: Basic\r\nX: \xff\r\nContent-Length: 4\r\n\r\nbody and more";
    let answer = refusal(&Client::new(), |peer| peer.send(whole));
    assert_eq!((answer.status, &answer.body[..], answer.is_whole), (403, &b"body"[..], true));
    assert_eq!((answer.header("www-authenticate"), answer.header("x")), (Some(&b"Basic"[..]), Some(&b"\xff"[..])));
    let chunks = b"HTTP/1.1 503 Later\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nbo\r\n2\r\ndy\r\n0\r\n\r\n";
    let answer = refusal(&Client::new(), |peer| peer.send(chunks));
    assert_eq!((answer.status, &answer.body[..], answer.is_whole), (503, &b"body"[..], true));
    // To the end of the stream.
    let answer = refusal(&Client::new(), |peer| {
        peer.send(b"HTTP/1.1 401 No\r\n\r\nbody");
        peer.finish();
    });
    assert_eq!((answer.status, &answer.body[..], answer.is_whole), (401, &b"body"[..], true));
}

#[test]
fn a_body_without_end_is_cut() {
    // Hostile input 91.
    for headers in ["", "Content-Length: 9223372036854775808\r\n", "Transfer-Encoding: chunked\r\n"] {
        let answer = refusal(&Client::new(), move |peer| {
            peer.send(format!("HTTP/1.1 404 No\r\n{headers}\r\n").as_bytes());
            // One chunk, where they are chunks.
            peer.send(b"fffffffffffffff0\r\n");
            for _ in 0..64 {
                peer.send(&[b'x'; 16 * 1024]);
            }
        });
        assert_eq!((answer.body.len(), answer.is_whole), (64 * 1024, false), "{headers}");
    }
    let answer = refusal(&Client::new(), |peer| {
        peer.send(b"HTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000000\r\nbody");
    });
    assert_eq!((&answer.body[..], answer.is_whole), (&b""[..], false));
}

#[test]
fn a_body_that_drips_is_cut_at_the_deadline() {
    // Hostile input 91.
    let begun = Instant::now();
    let client = Client::new().connect_timeout(Duration::from_millis(500));
    let answer = refusal(&client, |peer| {
        peer.send(b"HTTP/1.1 429 Slowly\r\nContent-Length: 1000\r\n\r\n");
        for _ in 0..500 {
            peer.send(b"x");
            thread::sleep(Duration::from_millis(20));
        }
    });
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    assert!((1..500).contains(&answer.body.len()) && !answer.is_whole, "{answer:?}");
}

#[test]
fn a_subprotocol_can_be_required() {
    // Hostile input 97.
    let url = serve(|mut peer| {
        let key = key_of(&peer.take_request());
        peer.send(&head::answering(&Vec::from(head::response()), &key));
    });
    let client = Client::new().subprotocol("chat");
    assert_eq!(client.connect(&url).expect("it may choose none").info().subprotocol, None);
    let error = client.require_subprotocol().connect(&url).expect_err("it has chosen none");
    assert!(matches!(error, ConnectError::NoSubprotocol), "{error:?}");
}

#[test]
fn frames_in_the_segment_of_the_response_come_in_order() {
    // Hostile input 101.
    let (mut peer, key, calling) = call(&Setup::default(), Over::Tcp);
    let pieces = [text("one"), ping("?"), text("two"), close(4000, "bye")];
    let response = head::answering(&Vec::from(head::response().add("Content-Length", "3")), &key);
    peer.send(&[response, wire::encode(&pieces, raddle::Role::Client)].concat());
    let (mut reader, _writer) = join(calling).expect("a connection");
    for expected in ["one", "two"] {
        assert_eq!(reader.next_message(), Ok(Some(Message::Text(expected))));
    }
    drop(peer);
    assert_eq!(reader.next_message(), Ok(None));
    assert_eq!(reader.end().expect("seen").code().0, 4000);
}

#[test]
fn a_response_that_breaks_off_at_any_byte_is_an_error_and_leaves_nothing() {
    // Hostile input 106, scaled down to one repeat for each byte and way to end.
    alone::run("scenes::connecting::a_response_that_breaks_off_at_any_byte_is_an_error_and_leaves_nothing", || {
        let before = alone::Held::by_the_library();
        let response = Vec::from(head::response());
        let certificate = Certificate::new();
        // Over TLS the end is said as well, which is no excuse.
        for over in [Over::Tcp, Over::Tls(&certificate)] {
            for end in 0..response.len() {
                for resets in [false, true] {
                    let (mut peer, key, calling) = call(&Setup::default(), over);
                    peer.send(&head::answering(&response, &key)[..end]);
                    if resets {
                        peer.reset();
                    } else {
                        drop(peer);
                    }
                    match join(calling).map(drop) {
                        Err(ConnectError::EndOfStream) => {}
                        Err(ConnectError::Io(error)) if resets => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
                        other => panic!("at {end}, {resets}: {other:?}"),
                    }
                }
            }
        }
        before.assert_the_same();
    });
}

#[test]
fn what_a_caller_may_not_send_is_an_error_and_nobody_is_connected_to() {
    // Hostile input 110.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.set_nonblocking(true).expect("a socket");
    let url = format!("ws://{}/", listener.local_addr().expect("it is bound"));
    let new = Client::new;
    let mut clients = vec![
        (new().header("X\r\nY", "a"), ResponseError::HeaderName),
        (new().header("", "a"), ResponseError::HeaderName),
        (new().header("X:", "a"), ResponseError::HeaderName),
        (new().subprotocol("a b"), ResponseError::Subprotocol),
        (new().subprotocol("a\r\nX: b"), ResponseError::Subprotocol),
        (new().subprotocol(""), ResponseError::Subprotocol),
        (new().subprotocol("a").subprotocol("a"), ResponseError::Subprotocol),
        (new().host("a\r\nX: b"), ResponseError::Target),
        (new().cookie("theme", "x; admin=1"), ResponseError::HeaderValue),
        (new().cookie("a=1; b", "2"), ResponseError::HeaderValue),
        (new().cookie("", "2"), ResponseError::HeaderValue),
        (new().host("a b"), ResponseError::Target),
        (new().host(""), ResponseError::Target),
    ];
    for bad in ["a\r\nX: b", "a\nb", "a\rb", "a\0b"] {
        clients.push((new().header("X", bad), ResponseError::HeaderValue));
        clients.push((new().header("User-Agent", bad), ResponseError::HeaderValue));
        clients.push((new().origin(bad), ResponseError::HeaderValue));
        clients.push((new().cookie("a", bad), ResponseError::HeaderValue));
    }
    for own in [
        "Sec-WebSocket-Key",
        "sec-websocket-version",
        "Sec-WebSocket-Extensions",
        "Sec-WebSocket-Protocol",
        "Upgrade",
        "CONNECTION",
        "Host",
        "Origin",
        "Content-Length",
        "Transfer-Encoding",
    ] {
        clients.push((new().header(own, "a"), ResponseError::ReservedHeader));
    }
    for (client, expected) in clients {
        match client.connect(&url) {
            Err(ConnectError::Request(error)) => assert_eq!(error, expected, "{client:?}"),
            other => panic!("{other:?} of {client:?}"),
        }
        let reconnecting = client.reconnect(&url).map(drop);
        assert!(matches!(reconnecting, Err(ConnectError::Request(_))), "{client:?}");
    }
    for client in [
        new().basic("a:b", "c"),
        new().basic("a", "b\r\n"),
        new().basic("a\0", "b"),
        new().bearer("a b"),
        new().bearer("a\r\nX: b"),
        new().bearer(""),
    ] {
        let outcome = client.connect(&url);
        assert!(matches!(outcome, Err(ConnectError::Credentials)), "{outcome:?}");
    }
    assert_eq!(listener.accept().map(drop).map_err(|error| error.kind()), Err(ErrorKind::WouldBlock));
}

#[test]
fn keys_are_fresh_and_of_16_bytes() {
    // Hostile input 111, scaled down to 2,000 keys.
    let client = Client::new();
    let (mut keys, mut in_order) = (HashSet::new(), Vec::new());
    for _ in 0..2000 {
        let (ours, mut theirs) = UnixStream::pair().expect("two descriptors");
        // The request fits in the socket, and nobody answers it.
        theirs.shutdown(std::net::Shutdown::Write).expect("a socket");
        let outcome = client.connect_over("ws://localhost/", Socket::unix(ours).expect("a socket"));
        assert!(matches!(outcome, Err(ConnectError::EndOfStream)), "{outcome:?}");
        let mut request = String::new();
        theirs.read_to_string(&mut request).expect("a request in ASCII");
        let key = key_of(&request);
        assert!(key.len() == 24 && key.ends_with("=="), "{key}");
        assert!(keys.insert(key.clone()), "a key came twice");
        let bytes = BASE64_STANDARD.decode(&key).expect("base64");
        in_order.push(u128::from_be_bytes(bytes.try_into().expect("16 bytes")));
    }
    // What counts, or tells the time, leaves most bits as they were or changes them in step.
    let between = in_order.windows(2).map(|pair| pair[0] ^ pair[1]).collect();
    for numbers in [in_order, between] {
        for bit in 0..128 {
            let set = numbers.iter().filter(|number| *number >> bit & 1 == 1).count();
            // Of 2,000 random bits half are set, seven standard deviations more or less.
            assert!((840..1160).contains(&set), "bit {bit} is set in {set} of {}", numbers.len());
        }
    }
}

//! A client and this project's server: the ways to it, what it is told, both directions at once, the end.

mod common;

use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::*;
use parking_lot::Mutex;
use raddle_client::{Client, ConnectError, Connection, Message, Stage, connect};
use raddle_server::Server;
use raddle_socket::{Cause, Close, CloseCode, Error, Socket, State};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind, listen, socket};

#[track_caller]
fn assert_echo(connection: &mut Connection) {
    connection.send("Hello").expect("open");
    assert_eq!(connection.next_message(), Ok(Some(Message::Text("Hello"))));
}

#[test]
fn every_way_leads_to_the_server() {
    let directory = std::env::temp_dir().join(format!("raddle-client-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory");
    let path = directory.join("socket");
    let server = serving(|builder| builder.bind_unix(&path).expect("a free path"), echo);
    let port = server.local_addr().port();
    for host in ["127.0.0.1", "localhost", "LOCALHOST"] {
        let mut connection =
            connect(&format!("ws://{host}:{port}/a?b")).unwrap_or_else(|error| panic!("{host}: {error}"));
        assert_eq!((&*connection.info().target, connection.info().peer), ("/a?b", Some(server.local_addr())));
        assert_echo(&mut connection);
        let end = connection.close(Close::code(CloseCode::NORMAL));
        assert!(end.is_clean() && end.code() == CloseCode::NORMAL, "{end}");
    }
    assert_echo(&mut Client::new().unix(&path).connect("ws://localhost/").expect("it listens"));
    let stream = TcpStream::connect(server.local_addr()).expect("it listens");
    let over = Socket::tcp(stream).expect("a socket");
    assert_echo(&mut Client::new().connect_over("ws://localhost/", over).expect("a server"));
    let over = Socket::unix(UnixStream::connect(&path).expect("it listens")).expect("a socket");
    assert_echo(&mut Client::new().connect_over("wss://localhost/", over).expect("a server"));
    finish(&server);
    std::fs::remove_dir_all(&directory).expect("it is ours");

    let missing = Client::new().unix(&path).connect("ws://localhost/").map(drop);
    assert!(matches!(missing, Err(ConnectError::Connect(_))), "{missing:?}");
    #[cfg(not(feature = "tls"))]
    assert!(matches!(connect("wss://localhost/"), Err(ConnectError::TlsUnsupported)));
    // From RFC 2606: there is no such name.
    let unknown = connect("ws://no-such-name.invalid/").map(drop);
    assert!(matches!(unknown, Err(ConnectError::Resolve(_) | ConnectError::Timeout { stage: Stage::Resolve, .. })));
}

#[test]
fn a_socket_that_was_given_carries_one_connection() {
    let directory = std::env::temp_dir().join(format!("raddle-given-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory");
    let path = directory.join("socket");
    let server = serving(|builder| builder.bind_unix(&path).expect("a free path"), echo);

    let stream = TcpStream::connect(server.local_addr()).expect("it listens");
    // As a program leaves it that waits otherwise.
    stream.set_nonblocking(true).expect("a socket");
    let (local, peer) = (stream.local_addr().expect("connected"), server.local_addr());
    let client = Client::new().socket(stream);
    assert!(matches!(client.reconnect("ws://localhost:1/"), Err(ConnectError::Connect(_))));
    let mut connection = client.connect("ws://localhost:1/").expect("a server");
    assert_eq!((connection.info().peer, connection.writer().local_address()), (Some(peer), Some(local)));
    assert_echo(&mut connection);
    let used = client.clone().connect("ws://localhost:1/").map(drop);
    assert!(matches!(used, Err(ConnectError::Connect(_))), "{used:?}");
    assert_echo(&mut connection);

    let stream = UnixStream::connect(&path).expect("it listens");
    let mut connection = Client::new().socket(stream).connect("ws://localhost/").expect("a server");
    assert_eq!((connection.info().peer, connection.writer().local_address()), (None, None));
    assert_echo(&mut connection);
    finish(&server);
    std::fs::remove_dir_all(&directory).expect("it is ours");

    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let datagrams = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
    for none in [OwnedFd::from(listener), OwnedFd::from(datagrams)] {
        let refused = Client::new().socket(none).connect("ws://localhost/").map(drop);
        assert!(matches!(refused, Err(ConnectError::Connect(_))), "{refused:?}");
    }
}

#[test]
fn what_the_server_has_answered_is_told_and_an_attempt_can_be_given_up() {
    let set_cookie = |request: raddle_server::Request| {
        let acceptance = raddle_server::Acceptance::new().header("Set-Cookie", "a=b");
        request.accept_with(acceptance).expect("an opening handshake");
    };
    let server = serving(|builder| builder.on_request(set_cookie), echo);
    let stopped = AtomicBool::new(false);
    let (mut connection, answer) = Client::new().connect_answered(&url(&server, "/"), &stopped).expect("it accepts");
    assert_eq!((answer.status, answer.is_whole), (101, true));
    assert_eq!(answer.header("set-cookie"), Some(&b"a=b"[..]));
    assert_echo(&mut connection);
    finish(&server);

    // Hostile input 274, for a client that connects: nobody ever answers.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("ws://{}/", silent.local_addr().expect("bound"));
    thread::scope(|scope| {
        let attempt = scope.spawn(|| Client::new().connect_timeout(LIMIT).connect_answered(&url, &stopped).map(drop));
        let _reached = silent.accept().expect("it connects");
        stopped.store(true, Ordering::Relaxed);
        let given_up = attempt.join().expect("it does not panic");
        assert!(matches!(given_up, Err(ConnectError::Stopped)), "{given_up:?}");
    });
}

#[test]
fn a_unix_socket_whose_queue_is_full_is_waited_for_until_the_deadline() {
    let path = std::env::temp_dir().join(format!("raddle-client-full-{}", std::process::id()));
    let listener = socket(AddressFamily::UNIX, SocketType::STREAM, None).expect("a descriptor");
    let address = SocketAddrUnix::new(&path).expect("a short path");
    bind(&listener, &address).expect("a free path");
    listen(&listener, 0).expect("a socket");
    // The queue is one longer than its number says.
    let _first = UnixStream::connect(&path).expect("there is room for one");
    let client = Client::new().unix(&path);
    let begun = Instant::now();
    let error = client.clone().connect_timeout(Duration::from_millis(300)).connect("ws://localhost/").map(drop);
    assert!(matches!(error, Err(ConnectError::Timeout { stage: Stage::Connect, .. })), "{error:?}");
    assert!(begun.elapsed() >= Duration::from_millis(300) && begun.elapsed() < LIMIT, "{:?}", begun.elapsed());
    // One that can be stopped waits as long, if it is not.
    let connections = client.connect_timeout(Duration::from_secs(3600)).reconnect("ws://localhost/").expect("a URL");
    let mut connections = connections.decide(|setback| panic!("{setback}"));
    let stopper = connections.stopper();
    let waiting = thread::spawn(move || connections.next_connection().map(|it| it.is_some()));
    thread::sleep(Duration::from_millis(200));
    stopper.stop();
    assert!(!join(waiting, LIMIT).expect("no error"));
    std::fs::remove_file(&path).expect("it is ours");
}

#[test]
fn the_server_is_told_what_was_set() {
    let requests = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&requests);
    let decide = move |request: raddle_server::Request| {
        let headers = ["Host", "Origin", "Authorization", "Cookie", "X-One", "User-Agent"];
        let values = headers.map(|name| request.header(name).map(|value| String::from_utf8_lossy(value).into_owned()));
        seen.lock().push(values);
        request.accept().expect("undecided");
    };
    let any = |builder: raddle_server::Builder| {
        builder.hosts(raddle_server::Hosts::Any).origins(raddle_server::Origins::Any).subprotocol("superchat")
    };
    let server = serving(|builder| any(builder).on_request(decide), echo);
    let authority = server.local_addr().to_string();
    let client = Client::new()
        .subprotocol("chat")
        .subprotocol("superchat")
        .require_subprotocol()
        .origin("https://example.com")
        .basic("Aladdin", "open sesame")
        .cookie("a", "1")
        .cookie("b", "2")
        .header("X-One", b"\xff".to_vec());
    let connection = client.connect(&url(&server, "/")).expect("it accepts");
    assert_eq!(connection.info().subprotocol.as_deref(), Some("superchat"));
    client.clone().host("example.com:8080").bearer("to.ken-1==").connect(&url(&server, "/")).expect("it accepts");
    // Of the URL, and overridden.
    let with_user = format!("ws://us%C3%A9r:pass%3Aword@{authority}/");
    Client::new().connect(&with_user).expect("it accepts");
    Client::new().bearer("token").connect(&with_user).expect("it accepts");
    let expected = [
        [
            Some(&*authority),
            Some("https://example.com"),
            Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
            Some("a=1; b=2"),
            Some("\u{fffd}"),
            None,
        ],
        [
            Some("example.com:8080"),
            Some("https://example.com"),
            Some("Bearer to.ken-1=="),
            Some("a=1; b=2"),
            Some("\u{fffd}"),
            None,
        ],
        [Some(&*authority), None, Some("Basic dXPDqXI6cGFzczp3b3Jk"), None, None, None],
        [Some(&*authority), None, Some("Bearer token"), None, None, None],
    ];
    assert_eq!(*requests.lock(), expected.map(|values| values.map(|value| value.map(str::to_owned))));
    finish(&server);
}

#[test]
fn a_message_may_have_16_mebibytes_and_no_more() {
    const LIMIT: usize = 16 << 20;
    let handler = |mut reader: raddle_server::Reader, writer: raddle_server::Writer| {
        while let Some(message) = reader.next_message()? {
            writer.send(&vec![0_u8; std::str::from_utf8(message.as_bytes())?.parse()?])?;
        }
        Ok(())
    };
    let server = serving(|builder| builder, handler);
    let mut connection = connect(&url(&server, "/")).expect("it accepts");
    connection.send(&*LIMIT.to_string()).expect("open");
    assert_eq!(connection.next_message().map(|message| message.map(|it| it.as_bytes().len())), Ok(Some(LIMIT)));
    connection.send(&*(LIMIT + 1).to_string()).expect("open");
    let end = connection.next_message().map(drop).expect_err("it is too big");
    assert_eq!((end.cause, end.sent), (Cause::Failed(Error::MessageTooBig), Some(CloseCode::TOO_BIG)));
    finish(&server);
}

/// Both send as much as the other, and neither waits for the other to begin.
fn exchange(server: &Server, bytes: usize) {
    let (mut reader, writer) = connect(&url(server, "/")).expect("it accepts").split();
    let count = bytes >> 20;
    let sending = thread::spawn(move || {
        let message = pattern(1 << 20, 1);
        for _ in 0..count {
            writer.send(&message).expect("the server takes it");
        }
        writer
    });
    let expected = pattern(1 << 20, 2);
    for number in 0..count {
        let received = reader.next_message().expect("open");
        assert!(received == Some(Message::Binary(&expected)), "message {number} is not what was sent");
    }
    let writer = join(sending, LIMIT);
    assert_eq!(reader.next_message(), Ok(Some(Message::Text("all there"))));
    assert_eq!(writer.state(), State::Open);
    assert!(reader.close(Close::code(CloseCode::NORMAL)).is_clean());
}

#[test]
fn one_thread_sends_64_mib_while_another_receives_as_much() {
    const BYTES: usize = 64 << 20;
    let handler = |mut reader: raddle_server::Reader, writer: raddle_server::Writer| {
        let answering = writer.clone();
        let sending = thread::spawn(move || {
            let message = pattern(1 << 20, 2);
            (0..BYTES >> 20).all(|_| answering.send(&message).is_ok())
        });
        let expected = pattern(1 << 20, 1);
        for _ in 0..BYTES >> 20 {
            assert!(reader.next_message()? == Some(Message::Binary(&expected)), "not what was sent");
        }
        assert!(join(sending, LIMIT), "the client does not take it");
        writer.send("all there")?;
        while reader.next_message()?.is_some() {}
        Ok(())
    };
    let server = serving(|builder| builder, handler);
    exchange(&server, BYTES);
    finish(&server);
}

#[test]
fn a_client_that_sleeps_or_only_sends_is_not_given_up() {
    let hurried = |builder: raddle_server::Builder| {
        builder.with_options(|options| {
            options.ping_interval = Some(Duration::from_millis(200));
            options.ping_timeout = Duration::from_millis(1500);
        })
    };
    let server = serving(hurried, |mut reader, _| {
        while reader.next_message()?.is_some() {}
        Ok(())
    });
    let sleeping = connect(&url(&server, "/")).expect("it accepts");
    let (reader, sending) = connect(&url(&server, "/")).expect("it accepts").split();
    drop(reader);
    for _ in 0..40 {
        thread::sleep(Duration::from_millis(100));
        sending.send("only").expect("open");
    }
    // More than two timeouts have passed.
    assert_eq!((sleeping.state(), sending.state()), (State::Open, State::Open));
    assert_eq!(server.connections().len(), 2);
    // The other one was never silent for long enough to be asked.
    let measured = server.connections().iter().any(|connection| connection.round_trip.is_some());
    assert!(measured, "the Pings were answered");
    finish(&server);
}

#[test]
fn a_client_says_once_who_it_is_and_sends_its_cookies_in_one_header() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let authority = listener.local_addr().expect("bound").to_string();
    let new = || Client::new().connect_timeout(LIMIT);
    let cases = [
        (new().header("Authorization", "Digest x").bearer("token"), "", "Bearer token"),
        (new().bearer("token").header("authorization", "Digest x"), "", "Digest x"),
        (new().header("Authorization", "Digest x").header("Authorization", "Digest y"), "", "Digest y"),
        (new().header("Authorization", "Digest x"), "user:password@", "Digest x"),
    ];
    for (client, user, expected) in cases {
        let client = client.header("Cookie", "").cookie("a", "1").header("cookie", "b=2; c=3").cookie("d", "\"4\"");
        let client = client.header("Cookie", "");
        let url = format!("ws://{user}{authority}/");
        let connecting = thread::spawn(move || client.connect(&url).map(drop));
        let (mut stream, _) = listener.accept().expect("it comes");
        stream.set_read_timeout(Some(LIMIT)).expect("an option");
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") {
            std::io::Read::read_exact(&mut stream, &mut byte).expect("the head is not whole");
            head.extend(byte);
        }
        drop(stream);
        assert!(join(connecting, LIMIT).is_err());
        let head = String::from_utf8(head).expect("ASCII");
        let values = |name: &str| -> Vec<&str> {
            let lines = head.lines().filter_map(|line| line.split_once(": "));
            lines.filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
        };
        assert_eq!(values("Authorization"), [expected], "{head}");
        assert_eq!(values("Cookie"), ["a=1; b=2; c=3; d=\"4\""], "{head}");
    }
}

//! The examples `echo_server`, `echo_client` and `chat` as those see them who run them: the line that they print, their flags, their
//! errors, and how they end.

mod support;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use raddle::{Close, CloseCode, HandlerError, Message, Reader, Server, Writer};
use rustix::process::Signal;

use support::{SOON, Served, expect, read_until, run, to_end};

// Clients' frames, masked with a key of zeros.
const HELLO: &[u8] = b"\x81\x85\0\0\0\0Hello";
const CLOSE_1000: &[u8] = b"\x88\x82\0\0\0\0\x03\xe8";
/// The server's Close when it stops.
const CLOSE_1001: &[u8] = b"\x88\x12\x03\xe9the server stops";

#[test]
fn the_echo_server_says_where_it_listens_and_echoes() {
    let server = Served::start("echo_server", &[]);
    assert_eq!(server.url, format!("ws://127.0.0.1:{}", server.port));
    let mut client = server.open();
    client.write_all(HELLO).unwrap();
    expect(&mut client, b"\x81\x05Hello");
    client.write_all(b"\x82\x81\0\0\0\0\xff").unwrap();
    expect(&mut client, b"\x82\x01\xff");
    client.write_all(CLOSE_1000).unwrap();
    expect(&mut client, b"\x88\x02\x03\xe8");
    assert_eq!(to_end(&mut client), b"");
}

#[test]
fn a_signal_ends_both_examples_cleanly_and_clients_get_1001() {
    for (example, target) in [("echo_server", "/"), ("chat", "/chat")] {
        for signal in [Signal::TERM, Signal::INT] {
            let mut server = Served::start(example, &[]);
            let mut clients = Vec::from_iter((0..3).map(|_| server.ask(target, "").1));
            // Somebody amid a message, and somebody who has not asked for anything yet.
            clients[0].write_all(b"\x01\x81\0\0\0\0a").unwrap();
            let mut silent = server.connect();
            server.signal(signal);
            for client in &mut clients {
                let received = read_until(client, CLOSE_1001);
                assert!(received.ends_with(CLOSE_1001), "{example}: {}", received.escape_ascii());
                client.write_all(b"\x88\x82\0\0\0\0\x03\xe9").unwrap();
                assert_eq!(to_end(client), b"");
            }
            to_end(&mut silent);
            assert_eq!(server.end().code(), Some(0), "{example}, {signal:?}");
        }
    }
}

#[test]
fn a_signal_right_behind_the_line_ends_them_cleanly_too() {
    for example in ["echo_server", "chat"] {
        for _ in 0..5 {
            let mut server = Served::start(example, &[]);
            server.signal(Signal::TERM);
            assert_eq!(server.end().code(), Some(0), "{example}");
        }
    }
}

#[test]
fn clients_of_a_server_that_is_killed_know_at_once_and_its_port_is_free_at_once() {
    // Hostile input 354, scaled down: amid messages in both directions.
    // On an address of the loopback where nobody else is given a port meanwhile.
    let address = TcpListener::bind("127.77.0.1:0").and_then(|listener| listener.local_addr()).unwrap();
    for round in 0..10 {
        let mut server = Served::start("echo_server", &["--listen", &address.to_string()]);
        let clients: Vec<_> = (0..5)
            .map(|_| {
                let mut client = server.open_at(address);
                std::thread::spawn(move || {
                    let mut echoes = 0;
                    let mut echo = [0; 7];
                    while client.write_all(HELLO).is_ok() && client.read_exact(&mut echo).is_ok() {
                        assert_eq!(&echo, b"\x81\x05Hello");
                        echoes += 1;
                    }
                    echoes
                })
            })
            .collect();
        std::thread::sleep(Duration::from_millis(50));
        let killed = Instant::now();
        server.signal(Signal::KILL);
        for client in clients {
            assert!(client.join().expect("an echo is whole") > 0, "round {round}");
        }
        assert!(killed.elapsed() < SOON, "{:?}", killed.elapsed());
        assert!(!server.end().success());
    }
}

#[test]
fn the_size_of_a_message_and_the_number_of_its_fragments_are_limited() {
    let server = Served::start("echo_server", &["--max-message", "5", "--max-fragments", "2"]);
    let mut client = server.open();
    client.write_all(HELLO).unwrap();
    expect(&mut client, b"\x81\x05Hello");
    client.write_all(b"\x81\x86\0\0\0\0Hello!").unwrap();
    expect(&mut client, b"\x88\x18\x03\xf1the message is too big");
    let mut client = server.open();
    client.write_all(b"\x01\x81\0\0\0\0a\x80\x81\0\0\0\0b").unwrap();
    expect(&mut client, b"\x81\x02ab");
    client.write_all(b"\x01\x81\0\0\0\0a\x00\x81\0\0\0\0b\x80\x81\0\0\0\0c").unwrap();
    expect(&mut client, b"\x88\x24\x03\xf0the message has too many fragments");
}

#[test]
fn subprotocols_are_agreed_on_in_the_clients_order() {
    let server = Served::start("echo_server", &["--subprotocol", "one", "--subprotocol", "two"]);
    let (head, _) = server.ask("/", "Sec-WebSocket-Protocol: three, two, one\r\n");
    assert!(head.contains("\r\nSec-WebSocket-Protocol: two\r\n"), "{head}");
    let (head, _) = server.ask("/", "");
    assert!(head.starts_with("HTTP/1.1 101 ") && !head.contains("Sec-WebSocket-Protocol"), "{head}");
}

#[test]
fn only_the_pages_that_are_named_may_connect() {
    let server = Served::start("echo_server", &["--origin", "https://a.example", "--origin", "http://b.example:81"]);
    for (origin, status) in [("https://a.example", 101), ("http://b.example:81", 101), ("http://a.example", 403)] {
        let (head, _) = server.ask("/", &format!("Origin: {origin}\r\n"));
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{origin}: {head}");
    }
}

#[test]
fn the_number_of_connections_is_limited_in_all_and_for_an_address() {
    let server = Served::start("echo_server", &["--max-connections", "2"]);
    let (_first, _second) = (server.open(), server.open());
    assert!(server.ask("/", "").0.starts_with("HTTP/1.1 503 "));

    let server = Served::start("echo_server", &["--max-connections-per-ip", "2"]);
    let (first, _second) = (server.open(), server.open());
    assert_eq!(server.ask("/", "").0, "", "closed unheard");
    // One that has gone makes room.
    drop(first);
    let deadline = Instant::now() + SOON;
    while !server.ask("/", "").0.starts_with("HTTP/1.1 101 ") {
        assert!(Instant::now() < deadline, "the place is not free again");
    }
}

#[test]
fn of_too_many_handshakes_the_oldest_is_shed_and_each_has_its_time() {
    let server = Served::start("echo_server", &["--max-handshakes", "1", "--handshake-timeout", "60"]);
    let mut oldest = server.connect();
    let (head, _) = server.ask("/", "");
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    to_end(&mut oldest);

    let server = Served::start("echo_server", &["--handshake-timeout", "0.2"]);
    let begun = Instant::now();
    to_end(&mut server.connect());
    assert!(begun.elapsed() >= Duration::from_millis(200));
}

#[test]
fn a_silent_client_is_pinged_and_given_up() {
    let server = Served::start("echo_server", &["--ping-interval", "0.1", "--ping-timeout", "0.2"]);
    let mut client = server.open();
    let received = to_end(&mut client);
    assert!(received.starts_with(b"\x89"), "{}", received.escape_ascii());

    let server = Served::start("echo_server", &["--ping-interval", "0", "--ping-timeout", "0.1"]);
    let mut client = server.open();
    std::thread::sleep(Duration::from_millis(500));
    client.write_all(HELLO).unwrap();
    expect(&mut client, b"\x81\x05Hello");
}

#[test]
fn what_cannot_be_done_is_said_in_one_line() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let cases: &[(&[&str], &str)] = &[
        (&["--engine", "fibers"], "fibers"),
        (&["--tls-cert", "/nonexistent.pem"], "--tls-key"),
        (&["--tls-cert", "/nonexistent.pem", "--tls-key", "/nonexistent.key"], "/nonexistent.pem"),
        (&["--max-message", "many"], "--max-message many"),
        (&["--max-fragments", "-1"], "--max-fragments -1"),
        (&["--max-connections"], "--max-connections"),
        (&["--ping-interval", "soon"], "--ping-interval soon"),
        (&["--ping-timeout", "-1"], "--ping-timeout -1"),
        (&["--handshake-timeout", "inf"], "--handshake-timeout inf"),
        (&["--subprotocol", "a,b"], "\"a,b\" is no subprotocol"),
        (&["--subprotocol", "a", "--subprotocol", ""], "\"\" is no subprotocol"),
        (&["--origin", "https://example.com/page"], "\"https://example.com/page\" is no origin"),
        (&["--origin", "https://example.com", "--origin", "*"], "\"*\" is no origin"),
        (&["--origin", "ws://example.com"], "\"ws://example.com\" is no origin"),
        (&["--listen", "nowhere"], "nowhere"),
        (&["--listen", &taken], &taken),
        (&["--no-such-flag", "1"], "--no-such-flag"),
        (&["word"], "word"),
    ];
    for (flags, about) in cases {
        refused("echo_server", flags, about);
    }
    refused("chat", &["--listen", "nowhere"], "nowhere");
    refused("chat", &["--no-such-flag"], "--no-such-flag");
    refused("echo_client", &[], "ws://HOST:PORT");
    refused("echo_client", &["http://127.0.0.1:1"], "ws://");
    refused("echo_client", &["ws://127.0.0.1:1", "ws://127.0.0.1:2"], "ws://127.0.0.1:2");
    refused("echo_client", &["ws://127.0.0.1:1", "--ca", "/nonexistent.pem"], "--ca");
    refused("echo_client", &["ws://127.0.0.1:1", "--max-message", "many"], "many");
    // Somebody else may have got the port meanwhile, who is no WebSocket server.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    refused("echo_client", &[&format!("ws://{free}")], "cannot connect");
}

#[track_caller]
fn refused(example: &str, flags: &[&str], about: &str) {
    let output = run(example, flags);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{flags:?}: {said}");
    assert_eq!(output.stdout, b"", "{flags:?}");
    assert!(said.starts_with(&format!("{example}: ")) && said.contains(about), "{flags:?}: {said}");
    assert_eq!(said.lines().count(), 1, "{flags:?}: {said}");
}

#[test]
fn the_echo_client_runs_every_case_of_a_suite_and_says_when_it_has_done() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    let suite = move |mut reader: Reader, writer: Writer| -> Result<(), HandlerError> {
        let target = reader.info().target.to_string();
        seen.lock().push(target.clone());
        if target == "/getCaseCount" {
            writer.send("3")?;
        } else if target.starts_with("/runCase?") {
            writer.send(&*target)?;
            assert_eq!(reader.next_message()?, Some(Message::Text(&target)));
        }
        reader.close(Close::code(CloseCode::NORMAL));
        Ok(())
    };
    let server = Server::builder().bind("127.0.0.1:0").unwrap().start(suite).unwrap();
    let output = run("echo_client", &[&format!("ws://{}/", server.local_addr())]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.stdout, b"3 cases\n");
    let cases = (1..=3).map(|case| format!("/runCase?case={case}&agent=raddle"));
    let expected = ["/getCaseCount".into()].into_iter().chain(cases).chain(["/updateReports?agent=raddle".into()]);
    assert_eq!(*asked.lock(), Vec::from_iter(expected));
    server.stop(SOON);
    server.join(SOON).unwrap();
}

#[test]
fn help_names_every_flag() {
    let output = run("echo_server", &["--help"]);
    assert!(output.status.success());
    let help = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        String::from_utf8(run("publish_server", &["--help"]).stdout).unwrap().lines().count(),
        help.lines().count()
    );
    for flag in [
        "listen",
        "engine",
        "workers",
        "deflate",
        "max-message",
        "max-fragments",
        "subprotocol",
        "origin",
        "max-connections",
        "max-connections-per-ip",
        "max-handshakes",
        "handshake-timeout",
        "ping-interval",
        "ping-timeout",
    ] {
        assert!(help.contains(&format!("\n  --{flag} ")), "--{flag} is missing in:\n{help}");
    }
    assert!(run("chat", &["--help"]).status.success());
    assert!(run("echo_client", &["--help"]).status.success());
}

#[test]
fn what_the_publish_server_receives_goes_to_all() {
    for engine in ["threads", "pool"] {
        let server = Served::start("publish_server", &["--engine", engine]);
        let [mut one, mut other] = [(); 2].map(|()| server.ask("/", "").1);
        // Whoever has heard itself has subscribed.
        one.write_all(b"\x81\x81\0\0\0\0a").unwrap();
        expect(&mut one, b"\x81\x01a");
        other.write_all(b"\x81\x81\0\0\0\0b").unwrap();
        expect(&mut one, b"\x81\x01b");
        let mut heard = [0; 3];
        other.read_exact(&mut heard).unwrap();
        if heard == *b"\x81\x01a" {
            other.read_exact(&mut heard).unwrap();
        }
        assert_eq!(heard, *b"\x81\x01b");
        other.write_all(b"\x82\x82\0\0\0\0cd").unwrap();
        for client in [&mut one, &mut other] {
            expect(client, b"\x82\x02cd");
        }
    }
}

#[test]
fn the_chat_serves_its_page_and_its_web_socket() {
    let server = Served::start("chat", &[]);
    assert_eq!(server.url, format!("http://127.0.0.1:{}", server.port));
    let page = include_str!("../../../examples/web/chat.html");
    for (target, status, body) in [("/", 200, page), ("/favicon.ico", 404, ""), ("/chat", 426, "")] {
        let mut stream = server.connect();
        write!(stream, "GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n\r\n", server.port).unwrap();
        let answer = String::from_utf8(to_end(&mut stream)).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{target}: {answer}");
        assert!(answer.ends_with(body), "{target}: {answer}");
    }
    let (head, _) = server.ask("/elsewhere", "");
    assert!(head.starts_with("HTTP/1.1 404 "), "{head}");
    let (_, mut client) = server.ask("/chat?name=%C3%89mile", "");
    expect(
        &mut client,
        "\x01\x40{\"type\":\"welcome\",\"you\":\"Émile\",\"online\":[\"Émile\"],\"history\":[".as_bytes(),
    );
    expect(&mut client, b"\x80\x02]}");
}

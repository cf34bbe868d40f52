//! What is told of clients, in the log and by debug output: nothing that they have said in confidence.

mod common;

use std::fmt::Debug;
use std::sync::mpsc;

use common::*;
use log::{LevelFilter, Log, Metadata, Record};
use parking_lot::Mutex;
use raddle_core::handshake::{Accept, Offer};
use raddle_server::{Acceptance, Message, Request, Response, Server};

/// In all that a client says, and in nothing that is told of it.
const SECRET: &str = "s3cr3t";

/// Keeps the library's records.
struct Journal(Mutex<Vec<String>>);

impl Log for Journal {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        if record.target().starts_with("raddle") {
            self.0.lock().push(record.args().to_string());
        }
    }

    fn flush(&self) {}
}

static JOURNAL: Journal = Journal(Mutex::new(Vec::new()));

/// Asks with a secret in the target, in a cookie and in a password.
fn ask(server: &Server, target: &str) -> Asking {
    let headers: &[(&str, &[u8])] = &[("Cookie", b"id=s3cr3t"), ("Authorization", b"Basic s3cr3t")];
    Asking::with(server.local_addr(), &Offer { target, headers, key: *b"the key s3cr3t..", ..OFFER })
}

#[test]
fn nothing_that_a_client_has_said_is_logged() {
    // Hostile input 366: not when it is served, refused or at fault, nor when the handler fails over it.
    log::set_logger(&JOURNAL).expect("the first");
    log::set_max_level(LevelFilter::Trace);
    let server = serving(
        |builder| {
            builder.subprotocol("chat").on_request(|request| {
                let _ = match request.path() {
                    "/refuse" => request.refuse(403),
                    "/drop" => return,
                    "/page" => request.respond(Response::new(200).expect("valid").body(SECRET)),
                    _ => request.accept_with(Acceptance::new().identity(SECRET).header("Set-Cookie", SECRET)),
                };
            })
        },
        |mut reader, writer| {
            while let Some(message) = reader.next_message()? {
                match message {
                    Message::Text("fail") => return Err("as asked".into()),
                    message => drop(writer.send(message)?),
                }
            }
            Ok(())
        },
    );
    for target in ["/refuse?s3cr3t", "/drop?s3cr3t", "/page?s3cr3t", "/s3cr3t#"] {
        let mut asking = Asking::silently(server.local_addr());
        asking.say(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nCookie: s3cr3t\r\n\r\n").as_bytes());
        assert_ne!(asking.status(), 0);
    }
    for bytes in [&b"s3cr3t\r\n\r\n"[..], b"GET / HTTP/1.1\r\ns3cr3t\0: s3cr3t\r\n\r\n"] {
        let mut asking = Asking::silently(server.local_addr());
        asking.say(bytes);
        assert_eq!(asking.status(), 400);
    }
    for last in [text("fail"), close(1000, ""), fragment(raddle_core::OpCode::Continuation, b"s3cr3t")] {
        let (mut client, _) = ask(&server, "/chat?token=s3cr3t").accepted();
        client.send(text(SECRET));
        client.send(ping(SECRET.as_bytes()));
        client.send(last);
        while client
            .next_frame(LIMIT)
            .expect("the end of the stream")
            .is_some_and(|frame| frame.opcode != raddle_core::OpCode::Close)
        {}
        drop(client);
        eventually("it has left", || server.connections().is_empty());
    }
    finish(&server);
    let records = JOURNAL.0.lock().clone();
    assert!(records.iter().any(|record| record.contains("has failed: as asked")), "{records:#?}");
    assert!(records.iter().any(|record| record.contains("was refused")), "{records:#?}");
    assert!(records.iter().all(|record| !record.contains(SECRET)), "{records:#?}");
}

#[track_caller]
fn assert_tells_nothing(value: &dyn Debug) {
    for text in [format!("{value:?}"), format!("{value:#?}")] {
        // As text, and as the numbers of bytes.
        assert!(!text.contains(SECRET) && !text.contains("51, 99, 114"), "{text}");
    }
}

#[test]
fn debug_output_shows_no_payloads_and_no_passwords() {
    // Hostile input 369. A `Message` is its payload, and shows it.
    let (leave, requests) = mpsc::channel();
    let leave = Mutex::new(leave);
    let server = listening(|builder| builder.on_request(move |request| drop(leave.lock().send(request))));
    assert!(server.accept(std::time::Duration::ZERO).expect("it listens").is_none());
    let target = "/chat?token=s3cr3t";
    let offer = Offer { target, headers: &[("Authorization", b"s3cr3t")], key: *b"the key s3cr3t..", ..OFFER };
    assert_tells_nothing(&offer);
    let asking = ask(&server, target);
    let accepting = std::thread::spawn({
        let server = server.clone();
        move || server.accept(LIMIT).expect("it listens").expect("somebody has come")
    });
    let request: Request = requests.recv_timeout(LIMIT).expect("a request");
    assert_tells_nothing(&request);
    assert_tells_nothing(request.head());
    let acceptance = Acceptance::new().identity(SECRET).header("Set-Cookie", SECRET);
    assert_tells_nothing(&acceptance);
    assert_tells_nothing(&Accept { headers: &[("Set-Cookie", SECRET.as_bytes())], ..Accept::default() });
    let response = Response::new(200).and_then(|it| it.header("Set-Cookie", SECRET)).expect("valid").body(SECRET);
    assert_tells_nothing(&response);
    request.accept_with(acceptance).expect("it is in time");
    let (mut client, _) = asking.accepted();
    let mut connection = join(accepting, LIMIT);
    // One message is lent, one waits in the buffer, a third is not complete, and a fourth is on its way out.
    client.send_all(&[text(SECRET), text(SECRET), fragment(raddle_core::OpCode::Text, SECRET.as_bytes())]);
    assert_eq!(connection.next_message(), Ok(Some(Message::Text(SECRET))));
    while connection.writer().try_send(&SECRET.repeat(1_000)).is_ok() {}
    assert_tells_nothing(&connection);
    let (reader, writer) = connection.split();
    assert_tells_nothing(&reader);
    assert_tells_nothing(&writer);
    assert_tells_nothing(&writer.downgrade());
    assert_tells_nothing(writer.info());
    assert_tells_nothing(&server.connections());
    assert_tells_nothing(&server);
    assert_tells_nothing(&server.metrics());
    drop((reader, writer, client));
    finish(&server);
}

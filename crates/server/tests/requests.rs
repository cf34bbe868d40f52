//! Decisions on opening handshakes: every answer that a request can get, from whom and whenever it comes.

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use common::*;
use parking_lot::Mutex;
use raddle_core::handshake::{HandshakeError, Offer};
use raddle_server::{Acceptance, DecisionError, Refusal, Request, Response, ResponseError, Server};

/// A server that leaves its requests to the test.
fn leaving_requests(timeout: Duration) -> (Server, mpsc::Receiver<Request>) {
    let (leave, left) = mpsc::channel();
    let leave = Mutex::new(leave);
    let server = echoing(|builder| {
        let builder = builder.handshake_timeout(timeout).subprotocol("chat").subprotocol("v2.chat");
        builder.on_request(move |request| drop(leave.lock().send(request)))
    });
    (server, left)
}

fn next(requests: &mpsc::Receiver<Request>) -> Request {
    requests.recv_timeout(LIMIT).expect("a request")
}

#[test]
fn without_a_decider_websockets_are_accepted_and_all_else_is_told_how() {
    let server = echoing(|builder| builder.subprotocol("chat"));
    let offer = Offer { subprotocols: &["unknown", "chat"], ..OFFER };
    let (mut client, agreement) = Asking::with(server.local_addr(), &offer).accepted();
    assert_eq!(agreement.subprotocol.as_deref(), Some("chat"));
    assert_echo(&mut client);
    let (_client, agreement) =
        Asking::with(server.local_addr(), &Offer { subprotocols: &["unknown"], ..OFFER }).accepted();
    assert_eq!(agreement.subprotocol, None);
    let mut asking = Asking::silently(server.local_addr());
    asking.say(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let answer = asking.answer().expect("an answer");
    assert_eq!(answer.status, 426);
    assert!(answer.head.contains("Upgrade: websocket"), "{}", answer.head);
    finish(&server);
}

#[test]
fn a_request_shows_all_that_was_asked() {
    let (server, requests) = leaving_requests(LIMIT);
    let headers: &[(&str, &[u8])] = &[("X-Token", b"one"), ("x-token", b"two\xff")];
    let offer = Offer { target: "/path/%2e%2e?query=1&x", headers, ..OFFER };
    let asking = Asking::with(server.local_addr(), &offer);
    let request = next(&requests);
    assert_eq!((request.target(), request.path()), ("/path/%2e%2e?query=1&x", "/path/%2e%2e"));
    assert_eq!(request.query(), Some("query=1&x"));
    assert_eq!(request.header("X-TOKEN"), Some(&b"one"[..]));
    assert_eq!(request.header("X-Nothing"), None);
    assert_eq!(request.peer(), asking.stream.local_addr().ok());
    assert!(request.is_websocket());
    let id = request.id();
    assert_eq!(server.connections()[0].id, id);
    request.accept().expect("it is in time");
    eventually("it is open under the same id", || server.connection(id).is_some());
    drop(asking.accepted());
    finish(&server);
}

#[test]
fn a_request_is_accepted_with_a_subprotocol_and_headers() {
    let (server, requests) = leaving_requests(LIMIT);
    let offer = Offer { subprotocols: &["v2.chat", "chat", "other"], ..OFFER };
    let cases = [
        (Acceptance::new(), Some("v2.chat")),
        (Acceptance::new().subprotocol("other"), Some("other")),
        (Acceptance::new().no_subprotocol(), None),
        (Acceptance::new().header("Set-Cookie", "a=1").header("Set-Cookie", "b=2"), Some("v2.chat")),
    ];
    for (acceptance, subprotocol) in cases {
        let asking = Asking::with(server.local_addr(), &offer);
        next(&requests).accept_with(acceptance).expect("it is in time");
        let (mut client, agreement) = asking.accepted();
        assert_eq!(agreement.subprotocol.as_deref(), subprotocol);
        assert_echo(&mut client);
        let [connection] = server.connections().try_into().unwrap_or_else(|all| panic!("{all:?}"));
        assert_eq!(connection.info.expect("open").subprotocol.as_deref(), subprotocol);
        say_goodbye(client);
        eventually("it has left", || server.connections().is_empty());
    }
    // The headers are on the wire, each on a line of its own.
    let mut asking = Asking::with(server.local_addr(), &offer);
    next(&requests).accept_with(Acceptance::new().header("Set-Cookie", "a=1").header("X-Own", b"\xff")).expect("valid");
    let mut head = vec![0; 1024];
    let count = std::io::Read::read(&mut asking.stream, &mut head).expect("an answer");
    let head = &head[..count];
    for line in [&b"\r\nSet-Cookie: a=1\r\n"[..], b"\r\nX-Own: \xff\r\n"] {
        assert!(head.windows(line.len()).any(|window| window == line), "{}", head.escape_ascii());
    }
    drop(asking);
    finish(&server);
}

#[test]
fn an_answer_that_breaks_a_rule_is_an_error_of_the_caller_and_500_for_the_client() {
    // Hostile inputs 64, 84 and 85.
    let (server, requests) = leaving_requests(LIMIT);
    let cases = [
        (Acceptance::new().subprotocol("not offered"), ResponseError::Subprotocol),
        (Acceptance::new().subprotocol("chat\r\nX: y"), ResponseError::Subprotocol),
        (Acceptance::new().header("X-Evil", "a\r\nSet-Cookie: b"), ResponseError::HeaderValue),
        (Acceptance::new().header("X-Evil", "a\0b"), ResponseError::HeaderValue),
        (Acceptance::new().header("X Evil", "a"), ResponseError::HeaderName),
        (Acceptance::new().header("X:Evil", "a"), ResponseError::HeaderName),
        (Acceptance::new().header("Sec-WebSocket-Accept", "a"), ResponseError::ReservedHeader),
        (Acceptance::new().header("sec-websocket-protocol", "a"), ResponseError::ReservedHeader),
        (Acceptance::new().header("Content-Length", "0"), ResponseError::ReservedHeader),
        (Acceptance::new().header("Transfer-Encoding", "chunked"), ResponseError::ReservedHeader),
    ];
    for (acceptance, expected) in cases {
        let asking = Asking::with(server.local_addr(), &Offer { subprotocols: &["chat"], ..OFFER });
        let error = next(&requests).accept_with(acceptance.clone()).expect_err("it breaks a rule");
        assert!(matches!(error, DecisionError::Response(error) if error == expected), "{error:?} for {acceptance:?}");
        let answer = asking.answer().expect("an answer");
        assert_eq!(answer.status, 500);
        assert!(!answer.head.contains("Evil") && !answer.body.contains("Evil"), "{answer:?}");
    }
    finish(&server);
}

#[test]
fn a_request_is_refused_or_answered_with_a_page() {
    // Hostile input 293.
    let (server, requests) = leaving_requests(LIMIT);
    for status in [400, 401, 403, 404, 429, 503] {
        let asking = Asking::with(server.local_addr(), &OFFER);
        next(&requests).refuse(status).expect("it is in time");
        let answer = asking.answer().expect("an answer");
        assert_eq!(answer.status, status);
        assert!(answer.head.contains("\r\nConnection: close"), "{}", answer.head);
        assert!(answer.body.starts_with(&status.to_string()), "{}", answer.body);
    }
    // A page, larger than what a socket takes at once, for a request that is no opening handshake.
    let page = "0123456789abcdef".repeat(512 * 1024);
    let mut asking = Asking::silently(server.local_addr());
    asking.say(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let request = next(&requests);
    assert!(!request.is_websocket());
    let response = Response::new(200).and_then(|it| it.header("Content-Type", "text/plain")).expect("valid");
    request.respond(response.body(page.clone())).expect("it is in time");
    let answer = asking.answer().expect("an answer");
    assert!(answer.head.contains(&format!("\r\nContent-Length: {}", page.len())), "{}", answer.head);
    assert!(answer.body == page, "{} bytes of {}", answer.body.len(), page.len());
    // It cannot be accepted.
    let mut asking = Asking::silently(server.local_addr());
    asking.say(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let error = next(&requests).accept().expect_err("it is no opening handshake");
    assert!(matches!(error, DecisionError::Handshake(_)), "{error:?}");
    assert_eq!(asking.status(), 426);
    let metrics = server.metrics();
    assert_eq!(metrics.answered, 1);
    let not_in_order = Refusal::Handshake(HandshakeError::NoUpgrade);
    assert_eq!(metrics.refused, [(Refusal::Application, 6), (not_in_order, 1)].into());
    finish(&server);
}

#[test]
fn a_decision_may_come_later_and_from_another_thread() {
    let (server, requests) = leaving_requests(LIMIT);
    let asking: Vec<_> = (0..20).map(|_| Asking::with(server.local_addr(), &OFFER)).collect();
    let mut undecided: Vec<_> = asking.iter().map(|_| next(&requests)).collect();
    thread::sleep(Duration::from_millis(100));
    // In another order than they came.
    undecided.reverse();
    let deciding = thread::spawn(move || {
        for request in undecided {
            request.accept().expect("it is in time");
        }
    });
    let mut clients: Vec<_> = asking.into_iter().map(|asking| asking.accepted().0).collect();
    clients.iter_mut().for_each(assert_echo);
    join(deciding, LIMIT);
    drop(clients);
    finish(&server);
}

#[test]
fn a_request_that_is_not_decided_in_time_is_answered_with_503() {
    let (server, requests) = leaving_requests(Duration::from_millis(400));
    let start = Instant::now();
    let asking = Asking::with(server.local_addr(), &OFFER);
    let request = next(&requests);
    assert_eq!(asking.status(), 503);
    let took = start.elapsed();
    assert!((Duration::from_millis(400)..Duration::from_secs(5)).contains(&took), "{took:?}");
    assert!(matches!(request.accept(), Err(DecisionError::TooLate)));
    eventually("its place is free", || server.metrics().connections == 0);
    finish(&server);
}

#[test]
fn for_who_accepts_by_hand_an_undecided_request_ends_as_well() {
    // Hostile input 294: nobody takes the connection.
    let (leave, requests) = mpsc::channel();
    let leave = Mutex::new(leave);
    let server = listening(|builder| {
        let builder = builder.handshake_timeout(Duration::from_millis(400));
        builder.on_request(move |request| drop(leave.lock().send(request)))
    });
    let accepting = thread::spawn({
        let server = server.clone();
        move || server.accept(LIMIT).expect("it listens").is_some()
    });
    let asking = Asking::with(server.local_addr(), &OFFER);
    let late = next(&requests);
    assert_eq!(asking.status(), 503);
    assert!(matches!(late.accept(), Err(DecisionError::TooLate)));
    // A decision in time, on this thread, arrives at the one that accepts.
    let asking = Asking::with(server.local_addr(), &OFFER);
    next(&requests).accept().expect("it is in time");
    drop(asking.accepted());
    assert!(join(accepting, LIMIT));
    finish(&server);
}

#[test]
fn a_request_that_is_dropped_is_answered_with_500() {
    let (server, requests) = leaving_requests(LIMIT);
    let asking = Asking::with(server.local_addr(), &OFFER);
    drop(next(&requests));
    assert_eq!(asking.status(), 500);
    finish(&server);
}

#[test]
fn a_decider_that_panics_answers_500_and_goes_on() {
    // Hostile input 288: in the decision on a request.
    let server = echoing(|builder| {
        builder.on_request(|request| {
            assert_eq!(request.path(), "/", "the decider is broken");
            request.accept().expect("it is in time");
        })
    });
    for _ in 0..3 {
        let asking = Asking::with(server.local_addr(), &Offer { target: "/broken", ..OFFER });
        let answer = asking.answer().expect("an answer");
        assert_eq!((answer.status, answer.body.as_str()), (500, "500 Internal Server Error\n"));
        assert_echo(&mut connect(&server));
    }
    finish(&server);
}

#[test]
fn the_client_may_leave_before_the_decision() {
    let (server, requests) = leaving_requests(LIMIT);
    for decide in [|request: Request| request.accept(), |request: Request| request.refuse(403)] {
        let asking = Asking::with(server.local_addr(), &OFFER);
        let request = next(&requests);
        drop(asking);
        thread::sleep(Duration::from_millis(20));
        // It is too late for the client, but nobody's fault.
        let _ = decide(request);
    }
    eventually("their places are free", || server.metrics().connections == 0);
    let asking = Asking::with(server.local_addr(), &OFFER);
    next(&requests).accept().expect("it is in time");
    assert_echo(&mut asking.accepted().0);
    finish(&server);
}

#[test]
fn the_deadline_is_absolute_though_the_request_drips() {
    let server = echoing(|builder| builder.handshake_timeout(Duration::from_millis(500)));
    let asking = Asking::silently(server.local_addr());
    let start = Instant::now();
    let mut stream = asking.stream.try_clone().expect("a descriptor");
    let dripping = thread::spawn(move || {
        for byte in OFFER.encode().expect("valid") {
            if std::io::Write::write_all(&mut stream, &[byte]).is_err() {
                break;
            }
            thread::sleep(Duration::from_millis(20));
        }
    });
    // Closed, or answered with 408.
    let status = asking.status();
    assert!(matches!(status, 0 | 408), "{status}");
    let took = start.elapsed();
    assert!((Duration::from_millis(450)..Duration::from_secs(4)).contains(&took), "{took:?}");
    join(dripping, LIMIT);
    assert_eq!(server.metrics().refused.get(&Refusal::Timeout), Some(&1));
    finish(&server);
}

#[test]
fn a_page_that_nobody_takes_is_given_up() {
    // Hostile input 293: a large body keeps nobody for ever.
    // The client takes a few bytes now and then, and so would keep its place for ever.
    let (server, requests) = leaving_requests(Duration::from_millis(600));
    // Made before the time begins.
    let page = Response::new(200).expect("valid").body(vec![b'x'; 32 << 20]);
    let mut asking = Asking::with(server.local_addr(), &OFFER);
    next(&requests).respond(page).expect("it is in time");
    let start = Instant::now();
    let taking = Arc::new(Mutex::new(true));
    let go_on = Arc::clone(&taking);
    let drinking = thread::spawn(move || {
        let mut some = vec![0; 64 * 1024];
        while *go_on.lock() && std::io::Read::read(&mut asking.stream, &mut some).is_ok_and(|count| count > 0) {
            thread::sleep(Duration::from_millis(100));
        }
    });
    eventually("the client is let go", || server.metrics().connections == 0);
    let took = start.elapsed();
    *taking.lock() = false;
    assert!(took < Duration::from_secs(6), "{took:?}");
    join(drinking, LIMIT);
    finish(&server);
}

/// Counts when it is dropped.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn what_is_attached_to_a_request_goes_with_its_connection_or_is_dropped() {
    let (server, requests) = leaving_requests(LIMIT);
    let dropped = Arc::new(AtomicUsize::new(0));
    let count = || dropped.load(Ordering::SeqCst);
    // Refused.
    let asking = Asking::with(server.local_addr(), &OFFER);
    let mut request = next(&requests);
    request.attach(Counted(Arc::clone(&dropped)));
    request.refuse(403).expect("it is in time");
    assert_eq!((asking.answer().expect("an answer").status, count()), (403, 1));
    // Taken by whoever has the connection.
    let asking = Asking::with(server.local_addr(), &OFFER);
    let mut request = next(&requests);
    let id = request.id();
    request.attach(Counted(Arc::clone(&dropped)));
    request.accept().expect("it is in time");
    let (client, _) = asking.accepted();
    let connection = server.connection(id).expect("open");
    let attachment = connection.take_attachment().expect("it was attached");
    assert!(attachment.downcast::<Counted>().is_ok() && connection.take_attachment().is_none());
    assert_eq!(count(), 2);
    drop(connection);
    say_goodbye(client);
    // Not taken.
    let asking = Asking::with(server.local_addr(), &OFFER);
    let mut request = next(&requests);
    request.attach(Counted(Arc::clone(&dropped)));
    request.accept().expect("it is in time");
    let (client, _) = asking.accepted();
    assert_eq!(count(), 2);
    say_goodbye(client);
    eventually("its connection has ended", || count() == 3);
    finish(&server);
}

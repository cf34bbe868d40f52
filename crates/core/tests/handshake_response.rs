//! Section 4.2.2 and RFC 9112: what a server answers, and what its application may put into that.

mod common;

use common::heads::{parse, request};
use raddle_core::handshake::{Accept, AcceptError, HandshakeError, Response, ResponseError};

const BROKEN_NAMES: [&str; 9] = ["", "a b", "a:", "a\r\nb", "a\n", "a\0", "\u{e9}", "(a)", " a"];
const BROKEN_VALUES: [&[u8]; 7] = [b"a\r\nX: b", b"a\n", b"\r", b"a\0b", b"\x01", b"\x1b[31m", b"\x7f"];

#[test]
fn the_response_of_the_rfc_opens_the_connection() {
    let request = parse(&request(&["Sec-WebSocket-Protocol: chat"])).expect("valid");
    let headers: [(&str, &[u8]); 2] = [("Set-Cookie", b"a=b; HttpOnly"), ("X-Bytes", b"\x80\xff\t")];
    let (response, agreement) =
        request.accept(&Accept { subprotocol: Some("chat"), headers: &headers, ..Accept::default() }).expect("valid");
    let expected = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chat\r\n\
        Set-Cookie: a=b; HttpOnly\r\nX-Bytes: \x80\xff\t\r\n\r\n";
    assert_eq!(response, expected);
    assert_eq!(agreement.subprotocol.as_deref(), Some("chat"));
}

#[test]
fn the_digest_is_over_the_key_as_it_was_sent() {
    // White space around it is none of it; bits behind its last byte are.
    let accept = |key: &str| {
        let request = parse(&request(&[&format!("Sec-WebSocket-Key:{key}")])).expect("valid");
        String::from_utf8(request.accept(&Accept::default()).expect("valid").0).expect("ASCII")
    };
    assert_eq!(accept(" \tdGhlIHNhbXBsZSBub25jZQ==\t"), accept("dGhlIHNhbXBsZSBub25jZQ=="));
    assert_ne!(accept("dGhlIHNhbXBsZSBub25jZR=="), accept("dGhlIHNhbXBsZSBub25jZQ=="));
}

#[test]
fn the_application_cannot_split_the_response() {
    let request = parse(&request(&[])).expect("valid");
    let accept = |name: &str, value: &[u8]| request.accept(&Accept { headers: &[(name, value)], ..Accept::default() });
    for name in BROKEN_NAMES {
        assert_eq!(accept(name, b"a"), Err(AcceptError::Answer(ResponseError::HeaderName)), "{name}");
        assert_eq!(Response::new(200).expect("valid").header(name, "a"), Err(ResponseError::HeaderName), "{name}");
    }
    for value in BROKEN_VALUES {
        let error = accept("X", value).expect_err("refused");
        assert_eq!(error, AcceptError::Answer(ResponseError::HeaderValue));
        assert_eq!(error.response().status(), 500);
        assert_eq!(Response::new(200).expect("valid").header("X", value), Err(ResponseError::HeaderValue));
    }
}

#[test]
fn the_headers_of_the_handshake_are_its_own() {
    let request = parse(&request(&[])).expect("valid");
    for name in [
        "Upgrade",
        "CONNECTION",
        "content-length",
        "Transfer-Encoding",
        "Sec-WebSocket-Accept",
        "sec-websocket-extensions",
        "Sec-WebSocket-Protocol",
        "Sec-WebSocket-Version",
        "Sec-WebSocket-Anything",
    ] {
        let error = request.accept(&Accept { headers: &[(name, b"a")], ..Accept::default() });
        assert_eq!(error, Err(AcceptError::Answer(ResponseError::ReservedHeader)), "{name}");
    }
    for name in ["Connection", "content-LENGTH", "Transfer-Encoding"] {
        assert_eq!(Response::new(200).expect("valid").header(name, "a"), Err(ResponseError::ReservedHeader), "{name}");
    }
    // What only begins like one is the application's.
    assert!(request.accept(&Accept { headers: &[("Upgrade-Insecure-Requests", b"1")], ..Accept::default() }).is_ok());
}

#[test]
fn a_plain_request_cannot_be_accepted_and_knows_why() {
    let cases = [
        (request(&["Upgrade:"]), HandshakeError::NoUpgrade),
        (String::from_utf8(request(&[])).expect("ASCII").replace("1.1", "1.0").into(), HandshakeError::HttpTooOld),
    ];
    for (head, expected) in cases {
        let error = parse(&head).expect("valid").accept(&Accept::default()).expect_err("refused");
        assert_eq!(error, AcceptError::Request(expected));
        let answer = error.response();
        assert_eq!(answer.status(), 426);
        assert_eq!(answer, expected.response());
    }
}

#[test]
fn the_answer_to_a_head_has_no_body() {
    let error = HandshakeError::Method;
    for request in ["HEAD / HTTP/1.1\r\n", "\r\nHEAD / HTTP/1.1\r\n", "HEAD "] {
        assert_eq!(
            error.response_to(request.as_bytes()).encode().escape_ascii().to_string(),
            b"HTTP/1.1 405 Method Not Allowed\r\nContent-Type: text/plain; charset=utf-8\r\nAllow: GET\r\n\
              Connection: close\r\n\r\n"
                .escape_ascii()
                .to_string()
        );
    }
    for request in ["HEADS / HTTP/1.1\r\n", "head / HTTP/1.1\r\n", "POST /HEAD HTTP/1.1\r\n", "HEAD"] {
        assert_eq!(error.response_to(request.as_bytes()), error.response(), "{request}");
    }
}

#[test]
fn an_answer_has_a_status_from_200_to_599() {
    // Hostile input 293.
    for status in 0..=1000 {
        let expected = (200..=599).contains(&status);
        assert_eq!(Response::new(status).is_ok(), expected, "{status}");
        assert_eq!(Response::refusal(status).status(), if expected { status } else { 500 });
    }
    assert_eq!(Response::new(u16::MAX), Err(ResponseError::Status));
}

#[test]
fn an_answer_is_encoded_with_its_length() {
    let body = vec![b'a'; 10 << 20];
    let encoded = Response::new(404).expect("valid").header("X-Bytes", b"\x80").expect("valid").body(body).encode();
    let head = b"HTTP/1.1 404 Not Found\r\nX-Bytes: \x80\r\nConnection: close\r\nContent-Length: 10485760\r\n\r\n";
    assert!(encoded.starts_with(head));
    assert_eq!(encoded.len(), head.len() + (10 << 20));
    let empty = Response::new(200).expect("valid").encode();
    assert_eq!(empty, b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    // These two never have a body.
    for (status, line) in [(204, "204 No Content"), (304, "304 Not Modified")] {
        let encoded = Response::new(status).expect("valid").body("a body").encode();
        assert_eq!(encoded, format!("HTTP/1.1 {line}\r\nConnection: close\r\n\r\n").into_bytes());
    }
}

#[test]
fn every_error_has_its_answer_in_our_own_words() {
    let cases = [
        (HandshakeError::RequestLine, 400),
        (HandshakeError::Target, 400),
        (HandshakeError::TargetTooLong, 414),
        (HandshakeError::Method, 405),
        (HandshakeError::HttpVersion, 505),
        (HandshakeError::HttpTooOld, 426),
        (HandshakeError::HeaderSyntax, 400),
        (HandshakeError::HeadTooLarge, 431),
        (HandshakeError::Host, 400),
        (HandshakeError::Body, 400),
        (HandshakeError::Duplicate, 400),
        (HandshakeError::NoUpgrade, 426),
        (HandshakeError::NoConnectionUpgrade, 400),
        (HandshakeError::Key, 400),
        (HandshakeError::Version, 426),
        (HandshakeError::VersionList, 400),
        (HandshakeError::Subprotocol, 400),
        (HandshakeError::Extensions, 400),
        (HandshakeError::Origin, 403),
        (HandshakeError::ForeignHost, 403),
    ];
    for (error, status) in cases {
        assert_eq!((error.status(), error.response().status()), (status, status), "{error:?}");
        let text = String::from_utf8(error.response().encode()).expect("ASCII");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        let headers: Vec<_> = head.split("\r\n").skip(1).map(|line| line.split_once(": ").expect("a header")).collect();
        let value = |name: &str| {
            let mut values = headers.iter().filter(|(found, _)| *found == name).map(|(_, value)| *value);
            let value = values.next();
            assert_eq!(values.next(), None, "{name}");
            value
        };
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
        assert!(body.starts_with(&status.to_string()) && body.len() < 64, "{body}");
        assert_eq!(value("Content-Length"), Some(&*body.len().to_string()));
        assert_eq!(value("Content-Type"), Some("text/plain; charset=utf-8"));
        let (allow, upgrade, version, connection) = match status {
            405 => (Some("GET"), None, None, "close"),
            426 => (None, Some("websocket"), Some("13"), "Upgrade, close"),
            _ => (None, None, None, "close"),
        };
        assert_eq!((value("Allow"), value("Upgrade"), value("Sec-WebSocket-Version")), (allow, upgrade, version));
        assert_eq!(value("Connection"), Some(connection));
        // Nothing that tells who we are.
        assert_eq!(value("Server"), None);
    }
}

//! Section 4.2.1 and RFC 9112: the head of a request, its form and its limits, and where it ends.

mod common;

use common::heads::{KEY_TEXT, Seen, parse, parse_within, request};
use raddle_core::handshake::{HandshakeError, HeadLimits, RequestParser};

/// The verdict, without the request.
#[track_caller]
fn verdict(bytes: &[u8]) -> Result<(), HandshakeError> {
    parse(bytes).map(|_| ())
}

#[test]
fn the_request_of_the_rfc_is_read_as_it_is_meant() {
    // From RFC 6455, section 1.2, with a frame behind it.
    let head = b"GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: http://example.com\r\n\
        Sec-WebSocket-Protocol: chat, superchat\r\nSec-WebSocket-Version: 13\r\n\r\n";
    let request = parse(&[&head[..], b"\x81\x80mask"].concat()).expect("valid");
    assert_eq!(request.head_len(), head.len());
    assert!(request.is_websocket());
    assert_eq!((request.target(), request.host()), ("/chat", "server.example.com"));
    assert_eq!(request.origin(), Some(&b"http://example.com"[..]));
    assert_eq!(request.subprotocols().collect::<Vec<_>>(), ["chat", "superchat"]);
    assert_eq!(request.header("sec-websocket-VERSION"), Some(&b"13"[..]));
    assert_eq!(request.header("Cookie"), None);
    let names: Vec<_> = request.headers().map(|(name, _)| name).collect();
    assert_eq!(names[..3], ["Host", "Upgrade", "Connection"]);
}

#[test]
fn a_request_is_not_complete_before_its_empty_line() {
    let head = request(&[]);
    for end in 0..head.len() {
        assert!(matches!(parse_within(HeadLimits::default(), &head[..end]), Ok(None)), "to {end}");
    }
}

#[test]
fn one_empty_line_before_the_request_is_passed_over_and_no_more() {
    let head = request(&[]);
    let with = |before: &[u8]| parse(&[before, &head].concat()).map(|request| request.head_len());
    assert_eq!(with(b""), Ok(head.len()));
    assert_eq!(with(b"\r\n"), Ok(head.len() + 2));
    for before in [&b"\r\n\r\n"[..], b"\n", b"\r\r\n", b"\r", b" \r\n", b"\r\n ", b"\n\r\n"] {
        assert_eq!(with(before), Err(HandshakeError::RequestLine), "{}", before.escape_ascii());
    }
    // It belongs to the head, and the lines behind it are where they are.
    let seen = Seen::from(&parse(&[b"\r\n", &head[..]].concat()).expect("valid"));
    assert_eq!(Seen { head_len: head.len(), ..seen }, Seen::from(&parse(&head).expect("valid")));
}

#[test]
fn what_cannot_begin_a_request_is_refused_at_the_byte_that_shows_it() {
    // The last byte of each is the one that shows it.
    let cases: [&[u8]; 12] = [
        // A TLS handshake, a NUL, a byte above ASCII, white space.
        b"\x16",
        b"\0",
        b"\xff",
        b" ",
        b"\n",
        b"GET\t",
        b"GET /\0",
        b"GET /\x80",
        b"GET / HTTP/1.1\n",
        b"GET / HTTP/1.1\r\r",
        b"GET / HTTP/1.1\rH",
        b"GET /\x7f",
    ];
    for bytes in cases {
        let mut parser = RequestParser::new(HeadLimits::default());
        let last = bytes.len() - 1;
        assert!(matches!(parser.advance(&bytes[..last]), Ok(None)), "{}", bytes.escape_ascii());
        assert_eq!(parser.advance(bytes).map(|_| ()), Err(HandshakeError::RequestLine), "{}", bytes.escape_ascii());
        assert_eq!(parser.examined(), bytes.len());
    }
    // The line is judged when it ends, before the headers come.
    for (line, error) in [
        (&b"SSH-2.0-OpenSSH_9.2\r\n"[..], HandshakeError::RequestLine),
        (b"POST / HTTP/1.1\r\n", HandshakeError::Method),
        (b"get / HTTP/1.1\r\n", HandshakeError::Method),
        (b"PRI * HTTP/2.0\r\n", HandshakeError::HttpVersion),
        (b"GET / HTTP/3.0\r\n", HandshakeError::HttpVersion),
        (b"GET /\r\n", HandshakeError::RequestLine),
        (b"GET  / HTTP/1.1\r\n", HandshakeError::RequestLine),
        (b"GET / HTTP/1.1 \r\n", HandshakeError::RequestLine),
        (b"GET / HTTP/11\r\n", HandshakeError::RequestLine),
        (b"GET / HTTP/1.10\r\n", HandshakeError::RequestLine),
        (b"G(T / HTTP/1.1\r\n", HandshakeError::RequestLine),
    ] {
        assert_eq!(verdict(line), Err(error), "{}", line.escape_ascii());
    }
}

#[test]
fn the_minor_version_may_be_any_and_that_of_1_0_has_no_upgrade() {
    let with = |version: &str| String::from_utf8(request(&[])).expect("ASCII").replace("HTTP/1.1", version);
    for version in ["HTTP/1.1", "HTTP/1.2", "HTTP/1.9"] {
        assert!(parse(with(version).as_bytes()).expect("valid").is_websocket(), "{version}");
    }
    assert!(!parse(with("HTTP/1.0").as_bytes()).expect("a plain request").is_websocket());
}

#[test]
fn a_target_is_a_path_or_an_absolute_form() {
    let with = |target: &str| {
        let head = String::from_utf8(request(&[])).expect("ASCII").replace("/chat", target);
        parse(head.as_bytes()).map(|request| (request.target().to_owned(), request.host().to_owned()))
    };
    let accepted = [
        ("/", "/", "example.com"),
        ("/chat?room=1&x=/../%2e%00%zz%", "/chat?room=1&x=/../%2e%00%zz%", "example.com"),
        ("//double", "//double", "example.com"),
        ("http://other.org:8080/chat", "/chat", "other.org:8080"),
        ("HTTPS://other.org", "/", "other.org"),
        ("http://other.org?query", "/?query", "other.org"),
        ("https://[::1]/a", "/a", "[::1]"),
    ];
    for (target, path, host) in accepted {
        assert_eq!(with(target), Ok((path.to_owned(), host.to_owned())), "{target}");
    }
    let refused = [
        "*",
        "chat",
        "example.com:80",
        "/a#b",
        "ws://other.org/",
        "ftp://other.org/",
        "file:///a",
        "http://",
        "http:///a",
        "http://user@other.org/",
        "http://other.org:99999/",
        "http://?query",
        "http:/other.org",
    ];
    for target in refused {
        assert_eq!(with(target), Err(HandshakeError::Target), "{target}");
    }
    // A host is needed beside the absolute-form's own.
    let head = String::from_utf8(request(&["Host:"])).expect("ASCII").replace("/chat", "http://other.org/");
    assert_eq!(verdict(head.as_bytes()), Err(HandshakeError::Host));
}

#[test]
fn a_header_line_has_one_form() {
    let refused: [&[u8]; 18] = [
        b"no colon",
        b": no name",
        b"Name : value",
        b"Name\t: value",
        b" Name: value",
        b"\tfolded",
        b"N(ame: value",
        b"N\xc3\xa9: value",
        b"Name\0: value",
        b"Name: a\0b",
        b"Name: a\rb",
        b"Name: value\r",
        b"Name: a\x01b",
        b"Name: a\x7fb",
        b"Name: a\x0bb",
        // A bare LF ends no line.
        b"Name: a\nOther: b",
        b"Name: a\n",
        b"\n",
    ];
    for line in refused {
        for at in 0..3 {
            let mut lines: Vec<&[u8]> = vec![b"Host: example.com", b"Cookie: a=b"];
            lines.insert(at, line);
            let head = [b"GET / HTTP/1.1\r\n", &lines.join(&b"\r\n"[..])[..], b"\r\n\r\n"].concat();
            assert_eq!(verdict(&head), Err(HandshakeError::HeaderSyntax), "{}", head.escape_ascii());
        }
    }
    for end in [&b"\n\n"[..], b"\r\n\n", b"\n\r\n", b"\r\r\n\r\n"] {
        let head = [b"GET / HTTP/1.1\r\nHost: example.com", end].concat();
        assert_eq!(verdict(&head), Err(HandshakeError::HeaderSyntax), "{}", head.escape_ascii());
    }
}

#[test]
fn a_value_is_trimmed_and_otherwise_left_as_it_is() {
    let lines: [(&[u8], &[u8]); 8] = [
        (b"X:a", b"a"),
        (b"X: a", b"a"),
        (b"X:\t \ta b\tc \t", b"a b\tc"),
        (b"X:", b""),
        (b"X: \t ", b""),
        (b"X: a:b: c", b"a:b: c"),
        (b"X: \x80\xff\xfe", b"\x80\xff\xfe"),
        (b"x!#$%&'*+-.^_`|~: a", b"a"),
    ];
    for (line, value) in lines {
        let head = [b"GET / HTTP/1.1\r\n", line, b"\r\nHost: example.com\r\n\r\n"].concat();
        let request = parse(&head).expect("valid");
        let (name, found) = request.headers().next().expect("two headers");
        assert_eq!((name.as_bytes(), found), (line.split(|byte| *byte == b':').next().expect("a name"), value));
        assert_eq!(request.headers().nth(1), Some(("Host", &b"example.com"[..])));
    }
}

#[test]
fn lines_of_one_name_stay_in_order() {
    let cookies: Vec<String> = (0..50).map(|number| format!("cOoKiE: {number}")).collect();
    let request = parse(&request(&cookies.iter().map(String::as_str).collect::<Vec<_>>())).expect("valid");
    let values = request.headers().filter(|(name, _)| *name == "cOoKiE").map(|(_, value)| value.to_owned());
    assert!(values.eq((0..50).map(|number| number.to_string().into_bytes())));
    assert_eq!(request.header("Cookie"), Some(&b"0"[..]));
}

#[test]
fn what_stands_for_one_value_is_there_once() {
    for (line, error) in [
        ("Host: example.com", HandshakeError::Host),
        ("HOST: other.org", HandshakeError::Host),
        ("Origin: http://example.com", HandshakeError::Duplicate),
        ("Content-Length: 0", HandshakeError::Duplicate),
        ("sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==", HandshakeError::Duplicate),
        ("Sec-WebSocket-Version: 13", HandshakeError::VersionList),
    ] {
        assert_eq!(verdict(&request(&[line, line])), Err(error), "{line}");
    }
}

#[test]
fn a_request_has_no_body() {
    assert_eq!(verdict(&request(&["Content-Length: 0"])), Ok(()));
    for line in [
        "Content-Length: 5",
        "Content-Length: 00",
        "Content-Length: +0",
        "Content-Length: 0, 0",
        "Content-Length: 18446744073709551616",
        "Content-Length: -1",
        "Content-Length: \t",
        "Transfer-Encoding: chunked",
        "tRANSFER-eNCODING: \tidentity",
    ] {
        assert_eq!(verdict(&request(&[line])), Err(HandshakeError::Body), "{line}");
    }
}

#[test]
fn the_limits_of_a_head_are_exact() {
    let head = request(&[]);
    let line = head.iter().position(|byte| *byte == b'\r').expect("lines");
    let exact = HeadLimits { head: head.len(), line, headers: 5 };
    let is_whole = |limits, bytes: &[u8]| parse_within(limits, bytes).map(|request| request.is_some());
    assert_eq!(is_whole(exact, &head), Ok(true));
    // What follows the head is not counted.
    assert_eq!(is_whole(exact, &[&head[..], &[0; 100]].concat()), Ok(true));

    let less = HeadLimits { head: exact.head - 1, ..exact };
    assert_eq!(is_whole(less, &head[..exact.head - 1]), Ok(false));
    assert_eq!(is_whole(less, &head), Err(HandshakeError::HeadTooLarge));
    let less = HeadLimits { headers: 4, ..exact };
    assert_eq!(is_whole(less, &head), Err(HandshakeError::HeadTooLarge));
    let less = HeadLimits { line: line - 1, ..exact };
    assert_eq!(is_whole(less, &head), Err(HandshakeError::TargetTooLong));
    // Without a single byte there is no head, and no request either.
    let none = HeadLimits { head: 0, line: 0, headers: 0 };
    assert_eq!(is_whole(none, b""), Ok(false));
    assert_eq!(is_whole(none, b"G"), Err(HandshakeError::HeadTooLarge));
}

#[test]
fn a_line_that_is_too_long_is_refused_without_its_end() {
    let limits = HeadLimits { line: 100, ..HeadLimits::default() };
    let verdict = |bytes: &[u8]| parse_within(limits, bytes).map(|request| request.is_some());
    let target = [&b"GET /"[..], &[b'a'; 95]].concat();
    assert_eq!(verdict(&target), Ok(false));
    assert_eq!(verdict(&[&target[..], b"a"].concat()), Err(HandshakeError::TargetTooLong));
    // A method that goes on for ever is no target, whatever comes behind it.
    let method = [b'A'; 101];
    assert_eq!(verdict(&method[..100]), Ok(false));
    assert_eq!(verdict(&method), Err(HandshakeError::RequestLine));
    assert_eq!(verdict(&[&method[..], b" / HTTP/1.1\r\n\r\n"].concat()), Err(HandshakeError::RequestLine));
}

#[test]
fn each_byte_is_looked_at_once() {
    let long = format!("X: {}", "a".repeat(14 * 1024));
    let head = request(&[&long]);
    let mut parser = RequestParser::new(HeadLimits::default());
    let mut whole = None;
    for end in 0..=head.len() {
        // Only what has been added is examined.
        assert_eq!(parser.examined(), end.saturating_sub(1));
        whole = parser.advance(&head[..end]).expect("valid");
        assert_eq!(parser.examined(), end);
    }
    assert!(whole.is_some());

    // Twenty million bytes of one header are examined as far as the limit goes.
    let head = [&b"GET / HTTP/1.1\r\nX: "[..], &vec![b'a'; 20_000_000]].concat();
    let mut parser = RequestParser::new(HeadLimits::default());
    assert_eq!(parser.advance(&head).map(|_| ()), Err(HandshakeError::HeadTooLarge));
    assert_eq!(parser.examined(), 16 * 1024);
}

#[test]
fn an_opening_handshake_names_what_it_wants() {
    let is_websocket = |lines: &[&str]| parse(&request(lines)).map(|request| request.is_websocket());
    for upgrade in ["WebSocket", "h2c, WEBSOCKET", ", websocket ,", "websocket,h2c", "\twebsocket\t"] {
        assert_eq!(is_websocket(&[&format!("Upgrade: {upgrade}")]), Ok(true), "{upgrade}");
    }
    assert_eq!(is_websocket(&["Upgrade: h2c", "Upgrade: websocket"]), Ok(true));
    // Without it, it is a plain request.
    for upgrade in ["websockets", "notwebsocket", "websocket/13", "web socket", "h2c", "\"websocket\"", ","] {
        assert_eq!(is_websocket(&[&format!("Upgrade: {upgrade}")]), Ok(false), "{upgrade}");
    }
    assert_eq!(is_websocket(&["Upgrade:"]), Ok(false));

    for connection in ["keep-alive, Upgrade", "upgrade", "Upgrade,close", "UPGRADE"] {
        assert_eq!(is_websocket(&[&format!("Connection: {connection}")]), Ok(true), "{connection}");
    }
    for connection in ["notupgrade", "keep-alive", "Up grade", ","] {
        let found = is_websocket(&[&format!("Connection: {connection}")]);
        assert_eq!(found, Err(HandshakeError::NoConnectionUpgrade), "{connection}");
    }
    for version in ["0", "8", "14", "255", "256", "013", "13.0", "+13", "0x0d", "\t"] {
        let found = is_websocket(&[&format!("Sec-WebSocket-Version: {version}")]);
        assert_eq!(found, Err(HandshakeError::Version), "{version}");
    }
    assert_eq!(is_websocket(&["Sec-WebSocket-Version: 13, 8"]), Err(HandshakeError::VersionList));
}

#[test]
fn a_key_is_the_base64_of_sixteen_bytes() {
    let verdict = |key: &str| verdict(&request(&[&format!("Sec-WebSocket-Key: {key}")]));
    // White space around it, and bits behind the last byte.
    for key in [" \tdGhlIHNhbXBsZSBub25jZQ==\t ", "dGhlIHNhbXBsZSBub25jZR==", "+/+/+/+/+/+/+/+/+/+/+w=="] {
        assert_eq!(verdict(key), Ok(()), "{key}");
    }
    for key in [
        "dGhlIHNhbXBsZSBub25j",
        "dGhlIHNhbXBsZSBub25jZQAA",
        "dGhlIHNhbXBsZSBub25jZQ=",
        "dGhlIHNhbXBsZSBub25jZQ",
        "dGhlIHNhbXBsZSBub25jZQ===",
        "dGhlIHNhbXBsZSBub25jZ===",
        "dGhlIHNhbXBsZSBub25jZQ= =",
        "dGhlIHNhbXBs ZSBub25jZQ==",
        "dGhlIHNhbXBsZSBub25jZQ-_",
        "-_-_-_-_-_-_-_-_-_-_-w==",
        "========================",
        "dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ==",
        "\t",
    ] {
        assert_eq!(verdict(key), Err(HandshakeError::Key), "{key}");
    }
}

#[test]
fn the_values_of_headers_do_not_show_in_the_debug_output() {
    let request = parse(&request(&["Authorization: Bearer c2VjcmV0"])).expect("valid");
    let debug = format!("{request:?}");
    assert!(debug.contains("Authorization") && debug.contains("/chat"), "{debug}");
    // As text, or as numbers.
    for secret in ["c2VjcmV0", KEY_TEXT, &format!("{:?}", b"c2VjcmV0").replace(['[', ']'], "")] {
        assert!(!debug.contains(secret), "{debug}");
    }
}

//! Section 4.1, the client's side: the offer, and what a server may answer to it.

mod common;

use common::heads::{ACCEPT, KEY_TEXT, answer, answer_within, offer, parse, response};
use raddle_core::handshake::{
    Accept, Agreement, ClientError, HeadLimits, Offer, ResponseError, ResponseParser, TunnelParser, accept_value,
};

#[test]
fn an_offer_is_a_request_in_order() {
    let offer = Offer { headers: &[("Cookie", b"a=b"), ("X-Bytes", b"\x80\xff")], ..offer(&["chat", "superchat"]) };
    let offer = Offer { origin: Some("https://example.com"), target: "/chat?a=%20", ..offer };
    let expected = b"GET /chat?a=%20 HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Sec-WebSocket-Protocol: chat, superchat\r\nOrigin: https://example.com\r\nCookie: a=b\r\nX-Bytes: \x80\xff\r\n\r\n";
    assert_eq!(offer.encode().expect("valid"), expected);
}

#[test]
fn what_one_side_offers_and_the_other_accepts_opens_the_connection() {
    for (offered, chosen) in [(&[][..], None), (&["a", "b"], Some("b")), (&["a"], None)] {
        let offer = offer(offered);
        let request = parse(&offer.encode().expect("valid")).expect("valid");
        let (response, agreed) = request.accept(&Accept { subprotocol: chosen, ..Accept::default() }).expect("valid");
        assert_eq!(answer(&offer, &response).expect("valid"), (agreed.clone(), response.len()));
        assert_eq!(agreed.subprotocol.as_deref(), chosen);
    }
}

#[test]
fn the_headers_of_the_response_are_known_once_it_has_opened_the_connection() {
    let offer = offer(&[]);
    let head = response(&["Set-Cookie: a=b", "X: \u{e9}"]);
    let mut parser = ResponseParser::new(&offer, HeadLimits::default());
    assert!(parser.advance(&head[..head.len() - 1]).expect("nothing wrong yet").is_none());
    assert_eq!(parser.headers().count(), 0);
    assert!(parser.advance(&head).expect("valid").is_some());
    let headers: Vec<_> = parser.headers().collect();
    assert!(headers.contains(&("Set-Cookie", b"a=b")), "{headers:?}");
    assert_eq!(headers.last(), Some(&("X", "\u{e9}".as_bytes())));
}

#[test]
fn an_answer_belongs_to_its_key() {
    // From section 1.3.
    assert_eq!(accept_value(KEY_TEXT.as_bytes()), ACCEPT);
    assert!(answer(&offer(&[]), &response(&[])).is_ok());
    let answer = |lines: &[&str]| answer(&offer(&[]), &response(lines));
    let other = accept_value(b"AQIDBAUGBwgJCgsMDQ4PEC==");
    for lines in [
        &["Sec-WebSocket-Accept:"][..],
        &[&format!("Sec-WebSocket-Accept: {other}")],
        &[&format!("Sec-WebSocket-Accept: {KEY_TEXT}")],
        &[&format!("Sec-WebSocket-Accept: {}", ACCEPT.to_lowercase())],
        &[&format!("Sec-WebSocket-Accept: {ACCEPT}=")],
        &[&format!("Sec-WebSocket-Accept: {}", ACCEPT.trim_end_matches('='))],
        &[&format!("Sec-WebSocket-Accept: {ACCEPT}"), &format!("Sec-WebSocket-Accept: {ACCEPT}")],
        &[&format!("Sec-WebSocket-Accept: {ACCEPT}"), &format!("Sec-WebSocket-Accept: {other}")],
        &[&format!("Sec-WebSocket-Accept: {ACCEPT}, {ACCEPT}")],
        &["Sec-WebSocket-Accept: \t"],
    ] {
        assert!(matches!(answer(lines), Err(ClientError::Accept)), "{lines:?}");
    }
    // White space around it is none of it.
    assert!(answer(&[&format!("sec-websocket-accept:\t {ACCEPT} \t")]).is_ok());
    // The key is the client's own, of each offer.
    let other = Offer { key: *b"another nonce!!!", ..offer(&[]) };
    assert!(matches!(common::heads::answer(&other, &response(&[])), Err(ClientError::Accept)));
}

#[test]
fn the_response_names_what_it_upgrades_to() {
    let answer = |lines: &[&str]| answer(&offer(&[]), &response(lines));
    for lines in [
        &["Upgrade:"][..],
        &["Upgrade: websockets"],
        &["Upgrade: h2c"],
        &["Connection:"],
        &["Connection: notupgrade"],
        &["Connection: close"],
    ] {
        assert!(matches!(answer(lines), Err(ClientError::NoUpgrade)), "{lines:?}");
    }
    assert!(answer(&["Connection: keep-alive, Upgrade", "upgrade: WEBSOCKET"]).is_ok());
}

#[test]
fn a_subprotocol_is_one_that_was_offered() {
    let answer = |lines: &[&str]| answer(&offer(&["chat", "v2.chat"]), &response(lines)).map(|(agreed, _)| agreed);
    let with = |lines: &[&str]| answer(lines).map(|agreed| agreed.subprotocol);
    assert_eq!(with(&[]).expect("valid"), None);
    assert_eq!(with(&["Sec-WebSocket-Protocol: v2.chat"]).expect("valid").as_deref(), Some("v2.chat"));
    for lines in [
        &["Sec-WebSocket-Protocol: other"][..],
        &["Sec-WebSocket-Protocol: Chat"],
        &["Sec-WebSocket-Protocol: chat, v2.chat"],
        &["Sec-WebSocket-Protocol: chat", "Sec-WebSocket-Protocol: chat"],
        &["Sec-WebSocket-Protocol: chat", "Sec-WebSocket-Protocol: v2.chat"],
        &["Sec-WebSocket-Protocol: \t"],
        &["Sec-WebSocket-Protocol: cha"],
    ] {
        assert!(matches!(answer(lines), Err(ClientError::Subprotocol)), "{lines:?}");
    }
    let none = common::heads::answer(&offer(&[]), &response(&["Sec-WebSocket-Protocol: chat"]));
    assert!(matches!(none, Err(ClientError::Subprotocol)));
}

#[test]
fn an_extension_was_not_offered() {
    let answer = |lines: &[&str]| answer(&offer(&[]), &response(lines));
    for lines in [
        &["Sec-WebSocket-Extensions: permessage-deflate"][..],
        &["Sec-WebSocket-Extensions: x-unknown; a=b"],
        &["Sec-WebSocket-Extensions: ;;"],
        &["Sec-WebSocket-Extensions: \t", "Sec-WebSocket-Extensions: permessage-deflate"],
    ] {
        assert!(matches!(answer(lines), Err(ClientError::Extension)), "{lines:?}");
    }
    assert!(answer(&["Sec-WebSocket-Extensions: \t"]).is_ok());
}

#[test]
fn what_follows_the_head_is_frames() {
    let head = response(&["Content-Length: 100", "Transfer-Encoding: chunked", "Content-Type: text/html"]);
    let received = [&head[..], b"\x81\x05Hello\x88\x00"].concat();
    assert_eq!(answer(&offer(&[]), &received).expect("valid"), (Agreement::default(), head.len()));
    // Up to its last byte there is no answer.
    for end in 0..head.len() {
        assert!(matches!(answer_within(HeadLimits::default(), &offer(&[]), &head[..end]), Ok(None)), "to {end}");
    }
}

#[test]
fn another_status_is_a_refusal_that_can_be_read() {
    for status in [200, 204, 301, 302, 307, 400, 401, 403, 404, 426, 429, 500, 503, 599, 999] {
        let head = format!("HTTP/1.1 {status} Whatever\r\nLocation: /a\r\nX: \r\n\r\n");
        let received = format!("{head}the body");
        let Err(ClientError::Refused(refusal)) = answer(&offer(&[]), received.as_bytes()) else { panic!("{status}") };
        assert_eq!((refusal.status, refusal.head_len), (status, head.len()));
        assert!(refusal.headers().eq([("Location", &b"/a"[..]), ("X", b"")]));
    }
}

#[test]
fn up_to_eight_interim_responses_are_passed_over() {
    let interim = |count: usize| b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103\r\nLink: </a>\r\n\r\n".repeat(count / 2);
    for count in [0, 2, 8] {
        let received = [interim(count), response(&[])].concat();
        let (_, head_len) = answer(&offer(&[]), &received).expect("valid");
        assert_eq!(head_len, received.len());
        // A refusal behind them knows where its body begins.
        let received = [&interim(count)[..], b"HTTP/1.1 404 Not Found\r\n\r\n"].concat();
        let Err(ClientError::Refused(refusal)) = answer(&offer(&[]), &received) else { panic!("a refusal") };
        assert_eq!(refusal.head_len, received.len());
    }
    assert!(matches!(answer(&offer(&[]), &interim(10)), Err(ClientError::TooManyInterim)));
    let endless = b"HTTP/1.1 199\r\n\r\n".repeat(1000);
    assert!(matches!(answer(&offer(&[]), &endless), Err(ClientError::TooManyInterim)));
    // All together have the bytes of one head.
    let received = [interim(8), response(&[])].concat();
    let within = |head| answer_within(HeadLimits { head, ..HeadLimits::default() }, &offer(&[]), &received);
    assert!(within(received.len()).is_ok());
    assert!(matches!(within(received.len() - 1), Err(ClientError::HeadTooLarge)));
}

#[test]
fn a_proxy_opens_a_tunnel_with_any_2xx_of_http_1() {
    let tunnel = |received: &[u8]| {
        let whole = TunnelParser::new(HeadLimits::default()).advance(received);
        // The same byte by byte.
        let mut parser = TunnelParser::new(HeadLimits::default());
        let drip = (1..=received.len()).map(|end| parser.advance(&received[..end])).find(|it| !matches!(it, Ok(None)));
        assert_eq!(format!("{:?}", drip.unwrap_or(Ok(None))), format!("{whole:?}"));
        whole
    };
    for head in [
        &b"HTTP/1.1 200 Connection established\r\n\r\n"[..],
        b"HTTP/1.0 200 Connection established\r\nProxy-agent: a\r\n\r\n",
        b"HTTP/1.1 204\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
    ] {
        assert!(matches!(tunnel(&[head, b"early"].concat()), Ok(Some(length)) if length == head.len()));
        assert!(matches!(tunnel(&head[..head.len() - 1]), Ok(None)));
    }
    for status in [101, 300, 302, 403, 407, 502] {
        let head = format!("HTTP/1.0 {status} No\r\nProxy-Authenticate: Basic realm=a\r\n\r\n");
        let Err(ClientError::Refused(refusal)) = tunnel(format!("{head}body").as_bytes()) else { panic!("{status}") };
        assert_eq!((refusal.status, refusal.head_len), (status, head.len()));
    }
    for malformed in
        ["HTTP/2 200 OK\r\n", "HTTP/1.2 200 OK\r\n", "ICY 200 OK\r\n", "HTTP/1.1 2000 OK\r\n\r\n", "SSH-2.0\r\n"]
    {
        assert!(matches!(tunnel(malformed.as_bytes()), Err(ClientError::Malformed)), "{malformed}");
    }
    let endless = [&b"HTTP/1.1 200 OK\r\n"[..], &b"A: b\r\n".repeat(101)].concat();
    assert!(matches!(tunnel(&endless), Err(ClientError::HeadTooLarge)));
}

#[test]
fn a_status_line_has_one_form() {
    let lines = ["Upgrade: websocket", "Connection: Upgrade", &format!("Sec-WebSocket-Accept: {ACCEPT}")].join("\r\n");
    let verdict = |line: &str| answer(&offer(&[]), format!("{line}\r\n{lines}\r\n\r\n").as_bytes());
    for line in ["HTTP/1.1 101", "HTTP/1.1 101 ", "HTTP/1.1 101 Switching Protocols", "HTTP/1.1 101 \tÜ x"] {
        assert!(verdict(line).is_ok(), "{line}");
    }
    for line in [
        "HTTP/1.0 101 Switching Protocols",
        "HTTP/2 101",
        "HTTP/1.2 101",
        "http/1.1 101",
        "HTTP/1.1 0101",
        "HTTP/1.1 10",
        "HTTP/1.1 101x",
        "HTTP/1.1 1010",
        "HTTP/1.1  101",
        "HTTP/1.1\t101",
        "HTTP/1.1 001",
        "HTTP/1.1 +01",
        "HTTP/1.1 ",
        "HTTP/1.1",
        "ICY 101",
        "SSH-2.0-OpenSSH_9.2",
        "",
        "\r\nHTTP/1.1 101",
    ] {
        assert!(matches!(verdict(line), Err(ClientError::Malformed)), "{line}");
    }
    // What is no HTTP is refused when that shows.
    let mut parser = ResponseParser::new(&offer(&[]), HeadLimits::default());
    assert!(matches!(parser.advance(b"HTTP/1."), Ok(None)));
    assert!(matches!(parser.advance(b"HTTP/1.2"), Err(ClientError::Malformed)));
}

#[test]
fn a_refusal_may_be_of_http_1_0() {
    // Whoever balances in front of a server that restarts may answer so: what opens a connection may not.
    for status in [200, 302, 404, 503] {
        let head = format!("HTTP/1.0 {status} No\r\nRetry-After: 1\r\n\r\n");
        match answer(&offer(&[]), head.as_bytes()) {
            Err(ClientError::Refused(refusal)) => {
                assert_eq!((refusal.status, refusal.head_len), (status, head.len()));
                assert_eq!(refusal.headers().collect::<Vec<_>>(), [("Retry-After", &b"1"[..])]);
            }
            said => panic!("{head}: {said:?}"),
        }
    }
}

#[test]
fn a_header_line_has_one_form() {
    for line in ["folded\r\n value", "Name : value", "Name: a\0b", "Name: a\nOther: b", "no colon", ": no name"] {
        let head = String::from_utf8(response(&[]))
            .expect("ASCII")
            .replace("Connection: ", &format!("{line}\r\nConnection: "));
        assert!(matches!(answer(&offer(&[]), head.as_bytes()), Err(ClientError::Malformed)), "{line}");
    }
}

#[test]
fn the_limits_of_a_head_are_exact() {
    let head = response(&[]);
    let line = "HTTP/1.1 101 Switching Protocols".len();
    let exact = HeadLimits { head: head.len(), line, headers: 3 };
    assert!(matches!(answer_within(exact, &offer(&[]), &head), Ok(Some(_))));
    for limits in [
        HeadLimits { head: exact.head - 1, ..exact },
        HeadLimits { line: exact.line - 1, ..exact },
        HeadLimits { headers: exact.headers - 1, ..exact },
    ] {
        assert!(matches!(answer_within(limits, &offer(&[]), &head), Err(ClientError::HeadTooLarge)), "{limits:?}");
    }
    // A line without an end, and headers without an end.
    let line = [&b"HTTP/1.1 101 "[..], &[b'a'; 100_000]].concat();
    assert!(matches!(answer(&offer(&[]), &line), Err(ClientError::HeadTooLarge)));
    let headers = [&b"HTTP/1.1 101\r\n"[..], &b"a: b\r\n".repeat(101)].concat();
    assert!(matches!(answer(&offer(&[]), &headers), Err(ClientError::HeadTooLarge)));
}

#[test]
fn what_the_caller_may_not_send_is_refused() {
    let base = offer(&[]);
    let refused = |offer: Offer<'_>| offer.encode().expect_err("refused");
    // Nothing ends a line, a head, or a token.
    for host in ["", "a b", "a/b", "a@b", "a:99999", "a:8x", "[::1", "a\r\nX: y", "a\0", "a,b", "ä", "a?b", "a\\b"] {
        assert_eq!(refused(Offer { host, ..base }), ResponseError::Target, "{host}");
    }
    for target in ["", "chat", "/a b", "/a\r\nX: y", "/a\0", "/a#b", "/ä", "/a\t", "http://example.com/", "*", "/\x7f"]
    {
        assert_eq!(refused(Offer { target, ..base }), ResponseError::Target, "{target}");
    }
    for subprotocols in [&["a b"][..], &[""], &["a", "a"], &["a,b"], &["a\r\nX: y"], &["\"a\""], &["ä"], &["a\0"]] {
        assert_eq!(refused(offer(subprotocols)), ResponseError::Subprotocol, "{subprotocols:?}");
    }
    for origin in ["https://a\r\nX: y", "a\nb", "a\0", "\x7f"] {
        assert_eq!(refused(Offer { origin: Some(origin), ..base }), ResponseError::HeaderValue, "{origin}");
    }
    for value in [&b"a\r\nX: y"[..], b"a\n", b"\r", b"a\0b", b"\x01", b"\x7f"] {
        assert_eq!(refused(Offer { headers: &[("X", value)], ..base }), ResponseError::HeaderValue);
    }
    for name in ["", "a b", "a:", "a\r\n", "ä", "a\0", "(a)"] {
        assert_eq!(refused(Offer { headers: &[(name, b"a")], ..base }), ResponseError::HeaderName, "{name}");
    }
    for name in [
        "Host",
        "ORIGIN",
        "Upgrade",
        "connection",
        "Content-Length",
        "transfer-encoding",
        "Sec-WebSocket-Key",
        "sec-websocket-version",
        "Sec-WebSocket-Protocol",
        "Sec-WebSocket-Extensions",
        "Sec-WebSocket-Anything",
    ] {
        assert_eq!(refused(Offer { headers: &[(name, b"a")], ..base }), ResponseError::ReservedHeader, "{name}");
    }
}

#[test]
fn a_host_may_be_a_name_or_an_address_with_a_port_or_without() {
    for host in ["example.com", "example.com:8080", "127.0.0.1:80", "[::1]", "[::1]:9001", "xn--bcher-kva.example"] {
        let head = Offer { host, ..offer(&[]) }.encode().expect("valid");
        assert_eq!(parse(&head).expect("valid").host(), host);
    }
}

#[test]
fn no_secret_shows_in_the_debug_output() {
    let offer = Offer { headers: &[("Authorization", b"c2VjcmV0")], ..offer(&[]) };
    let debug = format!("{offer:?}");
    assert!(debug.contains("example.com"));
    for secret in ["c2VjcmV0", &format!("{:?}", b"c2Vj").replace(['[', ']'], ""), "116, 104, 101, 32, 115"] {
        assert!(!debug.contains(secret), "{debug}");
    }
}

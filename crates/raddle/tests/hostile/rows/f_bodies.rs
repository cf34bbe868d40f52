//! Group F: bodies, pipelining, smuggling, response splitting.

use crate::case::{Call, Case, Modes, Verdict, accept, caller_error, fail, open, reject, saw_binary, saw_text};
use crate::head::sample;
use crate::wire::{binary, raw, text};

pub(crate) fn rows() -> Vec<Case> {
    [bodies(), pipelining(), answers()].concat()
}

fn bodies() -> Vec<Case> {
    let mut rows = vec![open(76, "Content-Length: 0", sample().add("Content-Length", "0"))];
    for (length, body) in [("5", ""), ("5", "hello"), ("1", ""), ("11", "\u{1}\u{1}\u{1}\u{1}\u{1}GET / ")] {
        let head = Vec::from(sample().add("Content-Length", length));
        let name = format!("Content-Length: {length} with {} bytes", body.len());
        rows.push(reject(77, 400, name, [&head, body.as_bytes()].concat()));
    }
    for value in ["chunked", "xchunked", "chunked, identity", "identity", "CHUNKED", "\tchunked", "", "chunked;q=1"] {
        let head = sample().add("Transfer-Encoding", value);
        rows.push(reject(78, 400, format!("Transfer-Encoding: {value:?}"), head));
    }
    let both = sample().add("Content-Length", "0").add("Transfer-Encoding", "chunked");
    rows.push(reject(78, 400, "Content-Length and Transfer-Encoding", both));
    let odd = sample().add("tRANSFER-eNCODING", "chunked");
    rows.push(reject(78, 400, "Transfer-Encoding in odd case", odd));
    for value in [
        "+0",
        "-0",
        "-1",
        "0x0",
        "0, 0",
        "0,0",
        "00",
        "00000000000000000000000",
        "18446744073709551616",
        "18446744073709551615",
        "9223372036854775808",
        "0 0",
        "zero",
        "",
    ] {
        rows.push(reject(79, 400, format!("Content-Length: {value:?}"), sample().add("Content-Length", value)));
    }
    let two = sample().add("Content-Length", "0").add("Content-Length", "5");
    rows.push(reject(79, 400, "two values of Content-Length", two));
    rows
}

fn pipelining() -> Vec<Case> {
    let second = Vec::from(sample());
    let refused = Vec::from(sample().set("Sec-WebSocket-Version", "8"));
    let mut rows = vec![
        // The first byte, G, has RSV1 and the reserved opcode 7.
        fail(80, 1002, "a second request behind the upgrade", [raw(&second)]).only(Modes::CORE | Modes::SERVER),
        fail(80, 1002, "G behind the upgrade", [raw("G")]).only(Modes::CORE | Modes::SERVER),
        reject(81, 426, "a second request behind a refused one", [&refused[..], &second].concat()),
    ];
    // Sent in one segment with the request too; not counted against HEAD_MAX.
    let big = vec![0x5a; 40_000];
    rows.push(accept(
        82,
        "two messages behind the request",
        [text("first"), binary(&big)],
        [saw_text("first"), saw_binary(&big)],
    ));
    rows
}

fn answers() -> Vec<Case> {
    let mut rows = Vec::new();
    let call =
        |name: &'static str, value: &'static [u8]| [Call::AcceptWith(name, value), Call::AnswerWith(name, value)];
    for (what, name, value) in [
        ("CR", "X-Name", &b"a\rb"[..]),
        ("LF", "X-Name", b"a\nSet-Cookie: c=d"),
        ("CR LF", "Set-Cookie", b"a=b\r\n\r\n<html>"),
        ("NUL", "X-Name", b"a\0b"),
        ("a line end", "X-Name", b"a\r\n"),
    ] {
        rows.extend(call(name, value).map(|call| caller_error(84, format!("{what} in a value: {call:?}"), call)));
    }
    for name in ["X-Na\rme", "X-Na\nme", "X-Name\r\nSet-Cookie", "X-Na\0me", "X-Name:", "X Name", "", "X-N\u{e4}me"] {
        rows.extend(call(name, b"a").map(|call| caller_error(84, format!("a bad name: {call:?}"), call)));
    }
    // Bytes above ASCII are passed on as they are.
    let opaque = call("X-Name", b"a\xc3\xa4\xff");
    rows.extend(opaque.map(|call| {
        let case = caller_error(84, format!("bytes above ASCII in a value: {call:?}"), call);
        Case { expect: Verdict::Accept(Vec::new()), ..case }
    }));
    for name in [
        "Upgrade",
        "connection",
        "Sec-WebSocket-Accept",
        "SEC-WEBSOCKET-EXTENSIONS",
        "Sec-WebSocket-Protocol",
        "Sec-WebSocket-Version",
        "Content-Length",
        "Transfer-Encoding",
    ] {
        rows.push(caller_error(85, format!("{name} on the 101"), Call::AcceptWith(name, b"a")));
    }
    for name in ["Connection", "Content-Length", "transfer-encoding"] {
        rows.push(caller_error(85, format!("{name} on an answer"), Call::AnswerWith(name, b"5")));
    }
    // A final answer has a status that ends the exchange (RFC 9110, section 15).
    for status in [0, 99, 100, 101, 199, 600, 65535] {
        rows.push(caller_error(293, format!("an answer of status {status}"), Call::Answer(status)));
    }
    rows
}

//! Group G: what a server answers to a client's opening handshake, whole or not, right or not.

use super::{Case, Setup};
use crate::case::{Fault, connects, unopened};
use crate::head::{Head, SAMPLE_ACCEPT, response};
use raddle::Deflate;
use raddle::core::handshake::accept_value;

pub(super) fn rows() -> Vec<Case> {
    [sizes(), statuses(), interim(), upgrade(), accept(), subprotocols(), extensions(), bodies(), lines()].concat()
}

/// Without an end.
fn endless(head: Head) -> Vec<u8> {
    Vec::from(head.end(""))
}

fn sizes() -> Vec<Case> {
    let with_headers = |count: usize| (3..count).fold(response(), |head, index| head.add(&format!("X-{index}"), "a"));
    vec![
        connects(89, "a head of 16 KiB", response().filled_to(16 * 1024)),
        unopened(89, Fault::TooLarge, "a head of 16 KiB and a byte", response().filled_to(16 * 1024 + 1)),
        connects(89, "100 headers", with_headers(100)),
        unopened(89, Fault::TooLarge, "101 headers", with_headers(101)),
        unopened(89, Fault::TooLarge, "headers without end", endless(with_headers(10_000))),
        unopened(89, Fault::TooLarge, "a header without end", endless(response().filled_to(100_000))),
        unopened(89, Fault::TooLarge, "a reason without end", format!("HTTP/1.1 101 {}", "x".repeat(100_000))),
        unopened(88, Fault::Ended, "nothing at all", ""),
        unopened(88, Fault::Ended, "the beginning of a version", "HTTP/1.1 1"),
        unopened(88, Fault::Ended, "all but the last byte", endless(response().end("\r"))),
    ]
}

fn statuses() -> Vec<Case> {
    let of = |status: u16| {
        let head =
            format!("HTTP/1.1 {status} Whatever\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 4\r\n\r\nbody");
        unopened(90, Fault::Status(status), format!("a status of {status}"), head)
    };
    [200, 204, 301, 302, 307, 400, 401, 403, 404, 426, 429, 500, 503, 999].map(of).to_vec()
}

fn interim() -> Vec<Case> {
    let behind = |interim: &str, times: usize| [interim.repeat(times).as_bytes(), &Vec::from(response())].concat();
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n";
    let refused = [hints.as_bytes(), b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"].concat();
    vec![
        connects(92, "100 and 103 before it", behind(&format!("HTTP/1.1 100 Continue\r\n\r\n{hints}"), 1)),
        connects(92, "eight interim responses", behind(hints, 8)),
        unopened(92, Fault::TooManyInterim, "nine interim responses", behind(hints, 9)),
        unopened(92, Fault::TooManyInterim, "a thousand of them", behind("HTTP/1.1 199\r\n\r\n", 1000)),
        unopened(92, Fault::Ended, "interim responses only", hints.repeat(3)),
        unopened(92, Fault::Status(403), "a refusal behind one", refused),
        unopened(92, Fault::TooLarge, "interim responses of 20 KiB", {
            behind(&format!("HTTP/1.1 102 Wait\r\nX: {}\r\n\r\n", "x".repeat(4000)), 5)
        }),
    ]
}

fn upgrade() -> Vec<Case> {
    let mut rows = Vec::new();
    for (name, head) in [
        ("no Upgrade", response().without("Upgrade")),
        ("no Connection", response().without("Connection")),
        ("another Upgrade", response().set("Upgrade", "websockets")),
        ("a version in Upgrade", response().set("Upgrade", "websocket/13")),
        ("an empty Upgrade", response().set("Upgrade", "")),
        ("another Connection", response().set("Connection", "notupgrade")),
        ("close in Connection", response().set("Connection", "close")),
    ] {
        rows.push(unopened(93, Fault::NoUpgrade, name, head));
    }
    let listed = response().set("Connection", "keep-alive, Upgrade").set("Upgrade", "WEBSOCKET");
    rows.push(connects(94, "a list in Connection, upper case", listed));
    rows.push(connects(94, "lower case", response().set("Connection", "upgrade")));
    let lower = response().without("Upgrade").add("upgrade", "websocket");
    rows.push(connects(94, "a header's name in lower case", lower));
    rows
}

fn accept() -> Vec<Case> {
    let with = |value: &str| response().set("Sec-WebSocket-Accept", value);
    let mut rows = Vec::new();
    for (name, head) in [
        ("no accept value", response().without("Sec-WebSocket-Accept")),
        ("an empty accept value", with("")),
        ("the answer to another key", with(&accept_value(b"AQIDBAUGBwgJCgsMDQ4PEC=="))),
        ("the key itself", with(crate::head::SAMPLE_KEY)),
        ("lower case", with(&SAMPLE_ACCEPT.to_lowercase())),
        ("no padding", with(SAMPLE_ACCEPT.trim_end_matches('='))),
        ("two lines", response().add("Sec-WebSocket-Accept", SAMPLE_ACCEPT)),
        ("two lines that differ", response().add("Sec-WebSocket-Accept", "wrong")),
        ("a list", with(&format!("{SAMPLE_ACCEPT}, {SAMPLE_ACCEPT}"))),
    ] {
        rows.push(unopened(95, Fault::Accept, format!("accept: {name}"), head));
    }
    rows.push(connects(95, "spaces around the accept value", with(&format!(" \t{SAMPLE_ACCEPT} \t"))));
    rows
}

fn subprotocols() -> Vec<Case> {
    let offers = || Setup { subprotocols: &["chat", "superchat"], ..Setup::default() };
    let choosing = |value: &str| response().add("Sec-WebSocket-Protocol", value);
    let mut rows = Vec::new();
    for value in ["other", "Chat", "cha", "chat, superchat", "chat;", ""] {
        let name = format!("the subprotocol {value:?}");
        rows.push(unopened(96, Fault::Subprotocol, name, choosing(value)).on(offers()));
    }
    let twice = choosing("chat").add("Sec-WebSocket-Protocol", "chat");
    rows.push(unopened(96, Fault::Subprotocol, "a subprotocol on two lines", twice).on(offers()));
    rows.push(unopened(96, Fault::Subprotocol, "a subprotocol, and none was asked for", choosing("chat")));
    rows.push(connects(96, "the second subprotocol", choosing("superchat")).on(offers()).agreeing_on("superchat"));
    rows.push(connects(97, "none of the subprotocols", response()).on(offers()));
    rows
}

/// What the client offers. What it sends is as it is, so that the peer need not inflate.
const OFFERED: Deflate = Deflate {
    level: 1,
    threshold: usize::MAX,
    server_no_context_takeover: false,
    client_no_context_takeover: false,
    server_max_window_bits: 15,
    client_max_window_bits: 15,
};
/// Windows of 10 and 9 bits.
const SMALL: Deflate = Deflate { server_max_window_bits: 10, client_max_window_bits: 9, ..OFFERED };

fn extensions() -> Vec<Case> {
    let with = |value: &str| response().add("Sec-WebSocket-Extensions", value);
    let mut rows = Vec::new();
    for (number, value) in [
        (98, "permessage-deflate"),
        (98, "x-unknown; a=b"),
        (98, ";;"),
        (99, "permessage-deflate; client_max_window_bits=15"),
    ] {
        rows.push(unopened(number, Fault::Extension, format!("not offered: {value}"), with(value)));
    }
    for (number, offered, value) in [
        (98, OFFERED, "x-unknown; a=b"),
        (98, OFFERED, "permessage-deflate, permessage-deflate"),
        (98, OFFERED, "permessage-deflate, x-unknown"),
        (99, OFFERED, "permessage-deflate; unknown"),
        (99, OFFERED, "permessage-deflate; server_no_context_takeover; server_no_context_takeover"),
        (99, OFFERED, "permessage-deflate; server_no_context_takeover=1"),
        (99, OFFERED, "permessage-deflate; client_no_context_takeover=true"),
        (99, OFFERED, "permessage-deflate; server_max_window_bits"),
        (99, OFFERED, "permessage-deflate; server_max_window_bits=0"),
        (99, OFFERED, "permessage-deflate; server_max_window_bits=7"),
        (99, OFFERED, "permessage-deflate; server_max_window_bits=16"),
        (99, OFFERED, "permessage-deflate; server_max_window_bits=1000"),
        (99, OFFERED, "permessage-deflate; server_max_window_bits=08"),
        (99, OFFERED, "permessage-deflate; server_max_window_bits="),
        (99, OFFERED, "permessage-deflate; server_max_window_bits=-1"),
        (99, OFFERED, "permessage-deflate; server_max_window_bits=99999999999999999999"),
        (99, OFFERED, "permessage-deflate; server_max_window_bits=10; server_max_window_bits=10"),
        (99, OFFERED, "permessage-deflate; client_max_window_bits"),
        (99, SMALL, "permessage-deflate; server_max_window_bits=10; client_max_window_bits=10"),
        (100, SMALL, "permessage-deflate; server_max_window_bits=11; client_max_window_bits=9"),
        (100, SMALL, "permessage-deflate; client_max_window_bits=9"),
    ] {
        let name = format!("{value:?} to an offer of {} bits", offered.server_max_window_bits);
        let setup = Setup { deflate: Some(offered), ..Setup::default() };
        rows.push(unopened(number, Fault::Extension, name, with(value)).on(setup));
    }
    // What keeps to the offer opens the connection: it is the values above that do not.
    for (number, offered, value) in [
        (98, OFFERED, "permessage-deflate"),
        (99, OFFERED, "permessage-deflate; server_no_context_takeover; server_max_window_bits=15"),
        (99, OFFERED, "permessage-deflate; client_max_window_bits=\"9\""),
        (99, SMALL, "permessage-deflate; server_max_window_bits=10; client_max_window_bits=9"),
        (100, SMALL, "permessage-deflate; server_max_window_bits=9; client_max_window_bits=9"),
    ] {
        let name = format!("{value:?}, which was offered");
        rows.push(connects(number, name, with(value)).on(Setup { deflate: Some(offered), ..Setup::default() }));
    }
    let lines = with("permessage-deflate").add("Sec-WebSocket-Extensions", "permessage-deflate");
    for deflate in [None, Some(OFFERED)] {
        let row = unopened(98, Fault::Extension, "extensions on two lines", lines.clone());
        rows.push(row.on(Setup { deflate, ..Setup::default() }));
    }
    rows.push(connects(98, "an empty list of extensions", with("")));
    rows
}

fn bodies() -> Vec<Case> {
    vec![
        connects(102, "a length", response().add("Content-Length", "5")),
        connects(102, "a length that is none", response().add("Content-Length", "-1")),
        connects(102, "chunks", response().add("Transfer-Encoding", "chunked")),
        connects(102, "a type", response().add("Content-Type", "text/html")),
    ]
}

fn lines() -> Vec<Case> {
    let mut rows = Vec::new();
    for line in [
        "HTTP/1.0 101 Switching Protocols",
        "HTTP/2 101 Switching Protocols",
        "HTTP/1.1 0101 Switching Protocols",
        "HTTP/1.1 10",
        "HTTP/1.1 101x",
        "HTTP/1.1  101 Switching Protocols",
        "ICY 101 Switching Protocols",
        "http/1.1 101 Switching Protocols",
        "HTTP/1.1\t101 Switching Protocols",
        "HTTP/1.1 1O1 Switching Protocols",
        " HTTP/1.1 101 Switching Protocols",
        "HTTP/1.2 101 Switching Protocols",
        "HTTP/1.1 +101",
        "GET /chat HTTP/1.1",
    ] {
        rows.push(unopened(103, Fault::Malformed, format!("the line {line:?}"), response().line(line)));
    }
    for line in ["HTTP/1.1 101", "HTTP/1.1 101 ", "HTTP/1.1 101 \u{00dc}bergang"] {
        rows.push(connects(104, format!("the line {line:?}"), response().line(line)));
    }
    for (name, head) in [
        ("a folded line", response().add_line(" folded: yes\r\n")),
        ("a folded value", response().add_line("X: a\r\n b\r\n")),
        ("NUL in a value", response().add("X", "a\0b")),
        ("NUL in a name", response().add_line("X\0: a\r\n")),
        ("a bare LF", response().add_line("X: a\n")),
        ("a bare CR", response().add("X", "a\rb")),
        ("a space before the colon", response().add_line("X : a\r\n")),
        ("no colon", response().add_line("X\r\n")),
        ("no name", response().add_line(": a\r\n")),
        ("LF at the end", response().end("\n")),
    ] {
        rows.push(unopened(105, Fault::Malformed, name, head));
    }
    let in_line = response().line("HTTP/1.1 101 a\0b");
    rows.push(unopened(105, Fault::Malformed, "NUL in the reason", in_line));
    let after = Vec::from(response().line("HTTP/1.1 101 OK\n"));
    rows.push(unopened(105, Fault::Malformed, "LF behind the reason", after));
    rows
}

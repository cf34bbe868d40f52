//! Group D: the request headers of WebSocket.

use raddle::{Hosts, Origins};

use crate::case::{Case, Setup, open, reject};
use crate::head::{SAMPLE_KEY, sample};

pub(crate) fn rows() -> Vec<Case> {
    [upgrades(), keys(), versions(), origins()].concat()
}

fn upgrades() -> Vec<Case> {
    let mut rows = Vec::new();
    for value in
        ["WebSocket", "WEBSOCKET", "websocket, h2c", "h2c, websocket", "h2c,websocket", ", websocket ,", ",,websocket"]
    {
        rows.push(open(43, format!("Upgrade: {value}"), sample().set("Upgrade", value)));
    }
    rows.push(open(43, "two lines of Upgrade", sample().set("Upgrade", "h2c").add("Upgrade", "websocket")));
    for value in
        ["websockets", "notwebsocket", "websocket/13", "web socket", "h2c", "", ",", "\"websocket\"", "websocket;q=1"]
    {
        rows.push(reject(44, 426, format!("Upgrade: {value}"), sample().set("Upgrade", value)));
    }
    rows.push(reject(44, 426, "no Upgrade", sample().without("Upgrade")));
    for value in ["keep-alive, Upgrade", "upgrade", "UPGRADE", "Upgrade,close", "Upgrade, Upgrade"] {
        rows.push(open(45, format!("Connection: {value}"), sample().set("Connection", value)));
    }
    rows.push(open(
        45,
        "two lines of Connection",
        sample().set("Connection", "keep-alive").add("Connection", "Upgrade"),
    ));
    for value in ["notupgrade", "upgrades", "keep-alive", "Up grade", "", "Upgrade;x"] {
        rows.push(reject(46, 400, format!("Connection: {value}"), sample().set("Connection", value)));
    }
    rows.push(reject(46, 400, "no Connection", sample().without("Connection")));
    for (name, fill) in [("spaces", " "), ("commas", ","), ("tabs", "\t"), ("spaces and commas", " ,")] {
        let fill = fill.repeat(4000 / fill.len());
        let around = sample().set("Connection", format!("{fill}Upgrade{fill}"));
        rows.push(open(47, format!("8,000 {name} around the token"), around));
        let between = sample().set("Connection", format!("keep-alive,{fill}Up{fill}grade"));
        rows.push(reject(47, 400, format!("8,000 {name} in the token"), between));
    }
    rows
}

fn keys() -> Vec<Case> {
    let mut rows = vec![reject(48, 400, "no key", sample().without("Sec-WebSocket-Key"))];
    for (name, key) in [
        ("an empty key", ""),
        ("a key of 15 bytes", "MTIzNDU2Nzg5MDEyMzQ1"),
        ("a key of 17 bytes", "MTIzNDU2Nzg5MDEyMzQ1Njc="),
        ("a key that is not base64", "dGhlIHNhbXBsZSBub25j!Q=="),
        ("a key without padding", "dGhlIHNhbXBsZSBub25jZQ"),
        ("a key with one padding character", "dGhlIHNhbXBsZSBub25jZQ="),
        ("a key with three padding characters", "dGhlIHNhbXBsZSBub25jZQ==="),
        ("a key with padding in front", "==dGhlIHNhbXBsZSBub25jZQ"),
        ("a key in the alphabet for URLs", "____________________-w=="),
        ("a space in the key", "dGhlIHNhbXBs ZSBub25jZQ=="),
        ("a list of two keys", "dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ=="),
    ] {
        rows.push(reject(48, 400, name, sample().set("Sec-WebSocket-Key", key)));
    }
    rows.push(reject(48, 400, "two keys", sample().add("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==")));
    rows.push(reject(48, 400, "a key of 8 KiB", sample().set("Sec-WebSocket-Key", "A".repeat(8192))));
    rows.push(open(49, "the key of the RFC", sample()).accepting("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    let padded = format!(" \t{SAMPLE_KEY} \t ");
    rows.push(open(50, "spaces and tabs around the key", sample().set("Sec-WebSocket-Key", padded)));
    // R in the place of Q: the same 16 bytes, with the bits behind them set.
    let trailing = sample().set("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZR==");
    rows.push(open(50, "bits behind the last byte of the key", trailing).accepting("Zgw8jYXtqX5qJr7MJ1Q/MqzeSRI="));
    rows
}

fn versions() -> Vec<Case> {
    let mut rows = vec![reject(51, 426, "no version", sample().without("Sec-WebSocket-Version"))];
    for version in ["0", "7", "8", "12", "14", "130", "1", "255", "256", "013", "13.0", "+13", "0x0d", "", "13;", "1 3"]
    {
        rows.push(reject(51, 426, format!("the version {version:?}"), sample().set("Sec-WebSocket-Version", version)));
    }
    for version in ["13, 8", "8, 13", "13, 13", "13,"] {
        rows.push(reject(52, 400, format!("the versions {version}"), sample().set("Sec-WebSocket-Version", version)));
    }
    rows.push(reject(52, 400, "two lines of versions", sample().add("Sec-WebSocket-Version", "8")));
    // From before the RFC: drafts 76, 75 and 7 of the protocol.
    let keys = "Sec-WebSocket-Key1: 4 @1  46546xW%0l 1 5\r\nSec-WebSocket-Key2: 12998 5 Y3 1  .P00\r\n";
    let old = |more: &str| {
        format!(
            "GET /chat HTTP/1.1\r\nHost: server.example.com\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\
             Origin: http://server.example.com\r\n{more}\r\n"
        )
    };
    rows.push(reject(53, 426, "draft 76, with its 8 bytes of body", old(keys) + "^n:ds[4U"));
    rows.push(reject(53, 426, "draft 75", old("WebSocket-Protocol: chat\r\n")));
    let draft = old("Sec-WebSocket-Version: 7\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n");
    rows.push(reject(53, 426, "draft 7", draft));
    rows.push(open(54, "Sec-WebSocket-Accept from the client", sample().add("Sec-WebSocket-Accept", "x")));
    rows.push(open(54, "an unknown header of WebSocket", sample().add("Sec-WebSocket-Future", "x, y")));
    rows
}

fn origins() -> Vec<Case> {
    let mut rows = vec![
        open(55, "no Origin", sample()).sees(|request| assert_eq!(request.origin(), None)),
        reject(56, 400, "two origins", sample().add("Origin", "http://server.example.com").add("Origin", "null")),
    ];
    // The page's host and port are those of the Host header.
    for (host, origin) in [
        ("server.example.com", "http://server.example.com"),
        ("server.example.com", "https://server.example.com"),
        ("server.example.com", "HTTPS://Server.Example.COM"),
        ("server.example.com:443", "https://server.example.com"),
        ("server.example.com", "http://server.example.com:80"),
        ("server.example.com:9001", "http://server.example.com:9001"),
        ("server.example.com.", "http://server.example.com."),
        ("[::1]:9001", "http://[::1]:9001"),
    ] {
        let head = sample().set("Host", host).add("Origin", origin);
        rows.push(open(56, format!("the origin {origin} at {host}"), head));
    }
    for origin in [
        "http://other.example",
        "http://server.example.com:9001",
        "https://server.example.com:80",
        "http://example.com",
        "http://a.server.example.com",
        "http://server.example.com.",
        "http://server.example.com.other.example",
        "http://[::1]",
        "null",
        "",
        "server.example.com",
        "//server.example.com",
        "http:server.example.com",
        "ftp://server.example.com",
        "http://server.example.com/",
        "http://server.example.com/chat",
        "http://server.example.com?a",
        "http://user@server.example.com",
        "http://server.example.com http://other.example",
        "http://server.example.com, http://other.example",
    ] {
        rows.push(reject(56, 403, format!("the origin {origin:?}"), sample().add("Origin", origin)));
    }

    // An entry of an allow-list, the origins that it lets pass, and those that it does not.
    type Listed = (&'static str, &'static [&'static str], &'static [&'static str]);
    const ALLOWED: [Listed; 3] = [
        (
            "example.com",
            &["http://example.com", "https://example.com", "https://EXAMPLE.com:443"],
            &["https://a.example.com", "https://example.com:8443", "https://server.example.com"],
        ),
        (
            "https://example.com",
            &["https://example.com", "https://example.com:443"],
            &["http://example.com", "http://example.com:443", "https://example.com:80", "https://www.example.com"],
        ),
        (
            "https://*.example.com",
            &["https://a.example.com", "https://a.b.example.com"],
            &["http://a.example.com", "https://example.com", "https://.example.com", "https://aexample.com"],
        ),
    ];
    const FOREIGN: [&str; 5] = [
        "https://example.com.evil.net",
        "https://evilexample.com",
        "https://example.com@evil.net",
        "https://evil.net/example.com",
        "https://evil.net#.example.com",
    ];
    for (entry, fits, others) in ALLOWED {
        let setup = Setup { origins: Origins::List(vec![entry.into()]), ..Setup::default() };
        for origin in fits {
            let name = format!("the origin {origin} by {entry}");
            rows.push(open(57, name, sample().add("Origin", origin)).on(setup.clone()));
        }
        for origin in others.iter().chain(&FOREIGN) {
            let name = format!("the origin {origin} by {entry}");
            rows.push(reject(57, 403, name, sample().add("Origin", origin)).on(setup.clone()));
        }
    }

    // What a server on a loopback address allows by default.
    let loopback = Setup { hosts: Hosts::Loopback, ..Setup::default() };
    for name in ["evil.net", "localhost.evil.net", "127.0.0.1.evil.net", "192.0.2.1"] {
        let head = sample().set("Host", name).add("Origin", format!("http://{name}"));
        rows.push(reject(58, 403, format!("the name {name} on a loopback address"), head).on(loopback.clone()));
    }
    let named = sample().target("http://evil.net/").set("Host", "localhost");
    rows.push(reject(58, 403, "a foreign name in an absolute-form", named).on(loopback.clone()));
    for name in ["127.0.0.1:9001", "localhost", "[::1]:9001", "LOCALHOST.", "chat.localhost"] {
        let head = sample().set("Host", name).add("Origin", format!("http://{name}"));
        rows.push(open(58, format!("the name {name} on a loopback address"), head).on(loopback.clone()));
    }
    for (name, value) in [("Cookie", "session=1"), ("Authorization", "Basic YTpi")] {
        let head = sample().add(name, value).add("Origin", "http://other.example");
        rows.push(reject(59, 403, format!("{name} with a foreign origin"), head));
    }
    rows
}

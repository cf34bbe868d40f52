//! Group E: subprotocols and extensions.

use raddle::Deflate;

use crate::case::{Call, Case, Setup, caller_error, fail, open, reject};
use crate::head::sample;
use crate::rows::roomy;
use crate::wire::raw;

pub(crate) fn rows() -> Vec<Case> {
    [subprotocols(), grammar(), declined()].concat()
}

fn subprotocols() -> Vec<Case> {
    let speaks = || Setup { subprotocols: &["superchat", "chat", "v1.chat+json"], ..Setup::default() };
    let offering = |value: &str| sample().add("Sec-WebSocket-Protocol", value);
    let lines = (0..64).fold(sample(), |head, index| head.add("Sec-WebSocket-Protocol", format!("p{index}")));
    let mut rows = vec![
        open(60, "one subprotocol", offering("chat")).on(speaks()).agreeing_on("chat"),
        // The client's order of preference decides.
        open(60, "two subprotocols", offering("chat, superchat")).on(speaks()).agreeing_on("chat"),
        open(60, "two subprotocols, one of them ours", offering("mqtt,superchat"))
            .on(speaks())
            .agreeing_on("superchat"),
        open(60, "64 subprotocols on as many lines", lines.add("Sec-WebSocket-Protocol", "a, chat"))
            .on(speaks())
            .sees(|request| {
                let expected: Vec<_> =
                    (0..64).map(|index| format!("p{index}")).chain(["a".into(), "chat".into()]).collect();
                assert_eq!(request.subprotocols().collect::<Vec<_>>(), expected);
            })
            .agreeing_on("chat"),
        reject(61, 400, "b, 100,000 spaces, x", offering(&format!("b{}x", " ".repeat(100_000)))).on(roomy()),
    ];
    for (name, value) in [
        ("a space in a name", "super chat"),
        ("quotes", "\"chat\""),
        ("a slash", "chat/1"),
        ("a semicolon", "chat;q=1"),
        ("an at sign", "chat@1"),
        ("letters above ASCII", "chät"),
        ("a name twice", "chat, superchat, chat"),
    ] {
        rows.push(reject(62, 400, format!("{name} in the subprotocols"), offering(value)));
    }
    rows.push(reject(62, 400, "a name twice on two lines", offering("chat").add("Sec-WebSocket-Protocol", "chat")));
    rows.push(open(62, "no name in the subprotocols", offering("")).on(speaks()));
    rows.push(open(62, "commas only in the subprotocols", offering(", ,")).on(speaks()));
    rows.push(open(62, "dots and plus signs", offering("v1.chat+json")).on(speaks()).agreeing_on("v1.chat+json"));
    // Names are compared as they are (RFC 6455, section 4.1).
    for offered in ["mqtt", "Chat", "cha", "chats"] {
        rows.push(open(63, format!("no common subprotocol: {offered}"), offering(offered)).on(speaks()));
    }
    rows.push(open(63, "a server without subprotocols", offering("chat")));
    for (name, chosen) in [
        ("a subprotocol that was not offered", "chat"),
        ("an empty subprotocol", ""),
        ("a subprotocol with a line of its own", "chat\r\nSet-Cookie: a=b"),
    ] {
        rows.push(caller_error(64, name, Call::Agree(chosen)));
    }
    rows
}

fn grammar() -> Vec<Case> {
    let mut rows = Vec::new();
    for (name, value) in [
        ("no name", "; a"),
        ("no name, with a value", "=a"),
        ("an empty parameter", "a; ;"),
        ("a semicolon at the end", "a;"),
        ("a parameter without a name", "a;=b"),
        ("a parameter without its value", "a;b="),
        ("an unclosed quote", "a;b=\"c"),
        ("an unclosed quote behind a backslash", "a;b=\"c\\\""),
        ("a quoted value with a space", "a;b=\"c d\""),
        ("a quoted value with a comma", "a;b=\"c,d\""),
        ("an empty quoted value", "a;b=\"\""),
        ("two values", "a;b=c=d"),
        ("two names", "a b"),
        ("something behind a quoted value", "a;b=\"c\"d"),
        ("a slash", "a/b"),
        ("letters above ASCII", "ä"),
    ] {
        let head = sample().add("Sec-WebSocket-Extensions", value);
        rows.push(reject(65, 400, format!("extensions: {name}"), head));
    }
    let control = sample().add("Sec-WebSocket-Extensions", "a;b=\"\x01\"");
    rows.push(reject(65, 400, "extensions: a control character", control));
    let on_second = sample().add("Sec-WebSocket-Extensions", "a").add("Sec-WebSocket-Extensions", "b;");
    rows.push(reject(65, 400, "extensions: malformed on the second line", on_second));
    let unclosed = format!("a; b=\"{}", "\\c".repeat(4096));
    rows.push(reject(66, 400, "8 KiB of an unclosed quote", sample().add("Sec-WebSocket-Extensions", unclosed)));
    rows
}

fn declined() -> Vec<Case> {
    let offering = |value: &str| sample().add("Sec-WebSocket-Extensions", value);
    let mut rows = Vec::new();
    for name in ["constructor", "__proto__", "toString", "hasOwnProperty"] {
        let offer = format!("{name}, x; {name}; y={name}");
        rows.push(open(67, format!("an extension named {name}"), offering(&offer)).sees(|request| {
            assert_eq!(request.extensions().len(), 2);
        }));
    }
    let many: Vec<_> = (0..500).map(|index| format!("x-{index}; a={index}")).collect();
    rows.push(open(68, "500 unknown extensions", offering(&many.join(", "))).sees(|request| {
        assert_eq!(request.extensions().len(), 500);
    }));
    for value in ["10", "\"10\"", "\"\\1\\0\""] {
        let offer = format!("permessage-deflate; client_max_window_bits={value}");
        let row = open(69, format!("a window of {value}"), offering(&offer)).sees(|request| {
            let offers = request.extensions();
            assert_eq!(offers[0].parameters, [("client_max_window_bits", Some("10".into()))]);
        });
        rows.push(row.on(compressing()).answered("permessage-deflate; client_max_window_bits=10"));
    }
    for (number, offer) in [
        (70, "permessage-deflate; unknown"),
        (70, "permessage-deflate; unknown=1"),
        (70, "permessage-deflate; server_no_context_takeover; server_no_context_takeover"),
        (70, "permessage-deflate; client_no_context_takeover; client_no_context_takeover"),
        (70, "permessage-deflate; server_max_window_bits=9; server_max_window_bits=9"),
        (70, "permessage-deflate; client_max_window_bits; client_max_window_bits"),
        (70, "permessage-deflate; server_no_context_takeover=1"),
        (70, "permessage-deflate; client_no_context_takeover=1"),
        (70, "permessage-deflate; server_max_window_bits"),
        (70, "permessage-deflate; server_max_window_bits=7"),
        (70, "permessage-deflate; server_max_window_bits=16"),
        (70, "permessage-deflate; server_max_window_bits=08"),
        (70, "permessage-deflate; server_max_window_bits=+9"),
        (70, "permessage-deflate; server_max_window_bits=1000"),
        (70, "permessage-deflate; server_max_window_bits=-1"),
        (70, "permessage-deflate; server_max_window_bits=9.5"),
        (70, "permessage-deflate; server_max_window_bits=99999999999999999999"),
        (70, "permessage-deflate; client_max_window_bits=7"),
        (70, "permessage-deflate; client_max_window_bits=16"),
        (71, "permessage-deflate; server_max_window_bits=8"),
        (75, "x-webkit-deflate-frame"),
        (75, "permessage-bzip2"),
        (75, "mux; max-channels=4"),
        (75, "Permessage-Deflate-2"),
    ] {
        rows.push(open(number, format!("the offer {offer}"), offering(offer)).on(compressing()));
        // The next offer is tried.
        let next = offering(&format!("{offer}, permessage-deflate; server_max_window_bits=11"));
        rows.push(
            open(number, format!("the offer {offer}, and another"), next)
                .on(compressing())
                .answered("permessage-deflate; server_max_window_bits=11"),
        );
    }
    for (number, offer, answer) in [
        (71, "permessage-deflate; server_max_window_bits=9", "permessage-deflate; server_max_window_bits=9"),
        (71, "permessage-deflate; server_max_window_bits=15", "permessage-deflate; server_max_window_bits=15"),
        (72, "permessage-deflate; server_max_window_bits=16, permessage-deflate", "permessage-deflate"),
        (72, "permessage-deflate; server_no_context_takeover, permessage-deflate", NO_SERVER_TAKEOVER),
        (72, "permessage-deflate, permessage-deflate; server_no_context_takeover", "permessage-deflate"),
        (72, "permessage-bzip2, permessage-deflate; server_no_context_takeover", NO_SERVER_TAKEOVER),
        (73, "permessage-deflate", "permessage-deflate"),
        (73, "permessage-deflate; client_no_context_takeover", "permessage-deflate; client_no_context_takeover"),
    ] {
        rows.push(open(number, format!("the offer {offer}"), offering(offer)).on(compressing()).answered(answer));
    }
    // A server that wants smaller windows asks a client for one only where the client offers that.
    let small =
        || Setup { deflate: Some(Deflate { client_max_window_bits: 9, ..Deflate::default() }), ..Setup::default() };
    for (offer, answer) in [
        ("permessage-deflate", "permessage-deflate"),
        ("permessage-deflate; client_max_window_bits", "permessage-deflate; client_max_window_bits=9"),
        ("permessage-deflate; client_max_window_bits=12", "permessage-deflate; client_max_window_bits=9"),
    ] {
        rows.push(open(73, format!("{offer}, of 9 bits at most"), offering(offer)).on(small()).answered(answer));
    }
    for offer in ["permessage-deflate", "permessage-deflate; client_max_window_bits"] {
        rows.push(open(74, format!("the offer {offer}, where it is off"), offering(offer)));
    }
    // Here the grammar itself is broken: a quoted value has to be a token (RFC 6455, section 9.1).
    let empty = offering("permessage-deflate; server_max_window_bits=\"\"");
    rows.push(reject(70, 400, "an empty window", empty));
    let two_lines =
        offering("permessage-deflate; server_max_window_bits=8").add("Sec-WebSocket-Extensions", "permessage-deflate");
    rows.push(
        open(72, "offers on two lines", two_lines.clone())
            .sees(|request| assert_eq!(request.extensions().len(), 2))
            .on(compressing())
            .answered("permessage-deflate"),
    );
    // FIN, RSV1, text: nothing was agreed.
    rows.push(fail(74, 1002, "RSV1 after a declined offer", [raw(b"\xc1")]).behind(two_lines));
    rows
}

fn compressing() -> Setup {
    Setup { deflate: Some(Deflate::default()), ..Setup::default() }
}

const NO_SERVER_TAKEOVER: &str = "permessage-deflate; server_no_context_takeover";

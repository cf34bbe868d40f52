//! Sections 1.9, 4.2.1 and 9.1: subprotocols and extensions, which are lists.

mod common;

use common::heads::{parse, request};
use raddle_core::handshake::{Accept, AcceptError, HandshakeError, ResponseError};

/// The subprotocols that the values, a line each, offer.
#[track_caller]
fn subprotocols(values: &[&str]) -> Result<Vec<String>, HandshakeError> {
    let lines: Vec<String> = values.iter().map(|value| format!("Sec-WebSocket-Protocol: {value}")).collect();
    let request = parse(&request(&lines.iter().map(String::as_str).collect::<Vec<_>>()))?;
    Ok(request.subprotocols().map(str::to_owned).collect())
}

/// The extensions that the values, a line each, offer: names and parameters, as they would be written without quotes.
#[track_caller]
fn extensions(values: &[&str]) -> Result<Vec<String>, HandshakeError> {
    let lines: Vec<String> = values.iter().map(|value| format!("Sec-WebSocket-Extensions: {value}")).collect();
    let request = parse(&request(&lines.iter().map(String::as_str).collect::<Vec<_>>()))?;
    let extensions = request.extensions().into_iter().map(|extension| {
        extension.parameters.iter().fold(extension.name.to_owned(), |text, (name, value)| match value {
            Some(value) => format!("{text};{name}={value}"),
            None => format!("{text};{name}"),
        })
    });
    Ok(extensions.collect())
}

#[test]
fn subprotocols_are_offered_in_order_over_any_number_of_lines() {
    assert_eq!(subprotocols(&["chat"]), Ok(vec!["chat".to_owned()]));
    let expected: Vec<String> = ["b", "a", "v1.chat+json", "B", "!#$%&'*+-.^_`|~"].map(str::to_owned).into();
    assert_eq!(subprotocols(&["b, a ,v1.chat+json", ",B,\t,", "!#$%&'*+-.^_`|~"]), Ok(expected));
    let many: Vec<String> = (0..64).map(|number| format!("p{number}")).collect();
    assert_eq!(subprotocols(&[&many.join(",")]).as_ref(), Ok(&many));
    assert_eq!(subprotocols(&many.iter().map(String::as_str).collect::<Vec<_>>()), Ok(many));
    // An empty value offers none.
    for empty in ["\t", ",", " , ,, "] {
        assert_eq!(subprotocols(&[empty]), Ok(vec![]), "{empty}");
    }
}

#[test]
fn a_subprotocol_is_a_token_and_offered_once() {
    for value in ["a b", "\"a\"", "a/b", "a, b c", "\u{e9}", "a;b", "a=b", "(a)", "a, a", "a,b,a", "b       x"] {
        assert_eq!(subprotocols(&[value]), Err(HandshakeError::Subprotocol), "{value}");
    }
    assert_eq!(subprotocols(&["a", "b", "a"]), Err(HandshakeError::Subprotocol));
}

#[test]
fn the_first_of_the_clients_that_the_server_speaks_is_chosen() {
    let request = parse(&request(&["Sec-WebSocket-Protocol: a, b, c"])).expect("valid");
    assert_eq!(request.choose_subprotocol(&["c", "b"]), Some("b"));
    assert_eq!(request.choose_subprotocol(&["A", "d"]), None);
    assert_eq!(request.choose_subprotocol(&[]), None);
}

#[test]
fn only_what_was_offered_can_be_accepted() {
    let request = parse(&request(&["Sec-WebSocket-Protocol: a, b"])).expect("valid");
    for subprotocol in ["c", "A", "", "a, b", "a\r\nX: y"] {
        let error =
            request.accept(&Accept { subprotocol: Some(subprotocol), ..Accept::default() }).expect_err("refused");
        assert_eq!(error, AcceptError::Answer(ResponseError::Subprotocol), "{subprotocol}");
        assert_eq!(error.response().status(), 500);
    }
    let (response, agreement) = request.accept(&Accept { subprotocol: Some("b"), ..Accept::default() }).expect("valid");
    assert_eq!(agreement.subprotocol.as_deref(), Some("b"));
    assert!(response.ends_with(b"\r\nSec-WebSocket-Protocol: b\r\n\r\n"));
    let (response, agreement) = request.accept(&Accept::default()).expect("valid");
    assert_eq!(agreement.subprotocol, None);
    assert!(!response.windows(22).any(|bytes| bytes == b"Sec-WebSocket-Protocol"));
}

#[test]
fn extensions_have_the_form_of_section_9_1() {
    let cases: [(&str, &[&str]); 14] = [
        ("foo", &["foo"]),
        ("foo, bar; baz=2", &["foo", "bar;baz=2"]),
        ("bar; baz=2, foo", &["bar;baz=2", "foo"]),
        ("foo;bar;baz=a, foo ; bar = b ;qux", &["foo;bar;baz=a", "foo;bar=b;qux"]),
        // The quoted form is the same as the other one.
        ("permessage-deflate; client_max_window_bits=\"10\"", &["permessage-deflate;client_max_window_bits=10"]),
        ("permessage-deflate; client_max_window_bits=10", &["permessage-deflate;client_max_window_bits=10"]),
        ("a; b=\"\\c\\1\"", &["a;b=c1"]),
        // Names that are repeated, or mean something elsewhere, are names.
        ("a; b; b; b=1", &["a;b;b;b=1"]),
        ("constructor; __proto__=toString", &["constructor;__proto__=toString"]),
        // Empty elements are passed over.
        (", ,foo,,bar,", &["foo", "bar"]),
        ("\t", &[]),
        (",", &[]),
        ("a\t;\tb\t=\tc\t,\td", &["a;b=c", "d"]),
        ("!#$%&'*+-.^_`|~", &["!#$%&'*+-.^_`|~"]),
    ];
    for (value, expected) in cases {
        assert_eq!(extensions(&[value]), Ok(expected.iter().copied().map(str::to_owned).collect()), "{value}");
    }
    let lines = extensions(&["a; b", "c", "a"]);
    assert_eq!(lines, Ok(["a;b", "c", "a"].map(str::to_owned).into()));
}

#[test]
fn malformed_extensions_fail_the_handshake() {
    for value in [
        ";",
        "; ;",
        "; a",
        "a; ;",
        "a;",
        "a; =b",
        "a; b=",
        "a; b=;c",
        "a; b=,c",
        "a=b",
        "a b",
        "a; b c",
        "a; b=c d",
        "a; b==c",
        "\"a\"",
        "a; \"b\"",
        "a; b=\"",
        "a; b=\"c",
        "a; b=\"c\\",
        "a; b=\"c\\\"",
        // Not a token once its quotes are off.
        "a; b=\"\"",
        "a; b=\"c d\"",
        "a; b=\"c,d\"",
        "a; b=\"\\\"\"",
        "a; b=\"c\"d",
        "a; b=c\"d\"",
        "a/b",
        "a; b=c/d",
        "\u{e9}",
        "a; b=\"\u{e9}\"",
        "a, ;",
    ] {
        assert_eq!(extensions(&[value]), Err(HandshakeError::Extensions), "{value}");
        // One bad line among good ones is enough.
        assert_eq!(extensions(&["a", value]), Err(HandshakeError::Extensions), "{value}");
        assert_eq!(extensions(&[value, "a"]), Err(HandshakeError::Extensions), "{value}");
    }
}

#[test]
fn long_lists_are_lists_all_the_same() {
    let many: Vec<String> = (0..500).map(|number| format!("x{number}")).collect();
    assert_eq!(extensions(&[&many.join(", ")]), Ok(many));
    let unclosed = format!("a; b=\"{}", "\\c".repeat(4 * 1024));
    assert_eq!(extensions(&[&unclosed]), Err(HandshakeError::Extensions));
    let spaces = format!("b{}x", " ".repeat(8 * 1024));
    assert_eq!(extensions(&[&spaces]), Err(HandshakeError::Extensions));
    assert_eq!(subprotocols(&[&spaces]), Err(HandshakeError::Subprotocol));
    for around in [" ", "\t", ","] {
        let around = around.repeat(8_000);
        let padded = format!("Connection: {around},Upgrade,{around}");
        assert!(parse(&request(&[&padded])).expect("valid").is_websocket());
    }
}

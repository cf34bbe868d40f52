//! Properties of random heads. PROPTEST_CASES says how many cases are tried.

mod common;

use common::heads::{answer_within, offer, parse_within};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use raddle_core::handshake::HeadLimits;

/// Lines that make a request or a response complete.
const NEEDED: [&str; 6] = [
    "Host: example.com",
    "Upgrade: websocket",
    "Connection: keep-alive, Upgrade",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
];

/// The head of a request or a response, most of it in order, and bytes behind it.
fn head() -> impl Strategy<Value = Vec<u8>> {
    let first = prop_oneof![
        6 => select(&["GET / HTTP/1.1", "GET http://example.com/a?b HTTP/1.1", "\r\nGET /chat HTTP/1.9"][..]),
        6 => select(&["HTTP/1.1 101 OK", "HTTP/1.1 101", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 101 \u{fc}"][..]),
        1 => select(&["", "GET / HTTP/1.0", "POST / HTTP/1.1", "GET  / HTTP/1.1", "HTTP/1.1 200", "HTTP/1.0 101", "x"][..]),
    ];
    let more = select(&[
        "Sec-WebSocket-Protocol: chat, superchat",
        "Sec-WebSocket-Protocol: chat",
        "Sec-WebSocket-Extensions: a; b=\"c\", d",
        "Content-Length: 0",
        "Origin: http://example.com",
        "Host: example.com",
        "X: \t ",
        " folded",
        "Name : value",
    ]);
    let more = prop_oneof![8 => more.prop_map(|line| line.as_bytes().to_vec()), 1 => vec(any::<u8>(), 0..40)];
    let kept = proptest::array::uniform6(proptest::bool::weighted(0.97));
    let flip = proptest::option::weighted(0.3, (any::<Index>(), any::<u8>()));
    (first, kept, vec(more, 0..3), vec(any::<u8>(), 0..20), flip).prop_map(|(first, kept, more, behind, flip)| {
        let mut head = first.as_bytes().to_vec();
        let needed = NEEDED.iter().zip(kept).filter(|(_, kept)| *kept).map(|(line, _)| line.as_bytes());
        for line in needed.chain(more.iter().map(Vec::as_slice)) {
            head.extend([b"\r\n", line].concat());
        }
        head.extend(b"\r\n\r\n");
        head.extend(behind);
        if let Some((index, byte)) = flip {
            let index = index.index(head.len());
            head[index] = byte;
        }
        head
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_head_has_one_verdict_however_it_is_cut(
        head in head(),
        limits in prop_oneof![
            3 => Just(HeadLimits::default()),
            1 => (0..600_usize, 0..60_usize, 0..12_usize)
                .prop_map(|(head, line, headers)| HeadLimits { head, line, headers }),
        ],
    ) {
        if let Ok(Some(request)) = parse_within(limits, &head) {
            prop_assert!(request.head_len() <= head.len().min(limits.head));
            prop_assert!(request.headers().count() <= limits.headers);
            prop_assert!(request.target().starts_with('/') && !request.host().is_empty());
            prop_assert_eq!(request.accept(&Default::default()).is_ok(), request.is_websocket());
        }
        if let Ok(Some((agreement, length))) = answer_within(limits, &offer(&["chat"]), &head) {
            prop_assert!(length <= head.len());
            prop_assert!(agreement.subprotocol.is_none_or(|chosen| chosen == "chat"));
        }
    }
}

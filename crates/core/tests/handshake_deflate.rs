//! Agreeing on permessage-deflate (RFC 7692, sections 5.1 and 7.1), from both sides.

#![cfg(feature = "deflate")]

mod common;

use common::heads::{answer, offer, parse};
use raddle_core::Deflate;
use raddle_core::handshake::{Accept, Agreement, ClientError, Offer};

const ANY: Deflate = Deflate {
    level: 1,
    threshold: 64,
    server_no_context_takeover: false,
    client_no_context_takeover: false,
    server_max_window_bits: 15,
    client_max_window_bits: 15,
};
const NO_TAKEOVER: Deflate = Deflate { server_no_context_takeover: true, client_no_context_takeover: true, ..ANY };
const SMALL: Deflate = Deflate { server_max_window_bits: 10, client_max_window_bits: 9, ..ANY };

/// What a server that wants `deflate` answers to these header lines, and what it agrees on.
fn accept(deflate: Deflate, lines: &[&str]) -> (Option<String>, Option<Deflate>) {
    let lines: String = lines.iter().map(|value| format!("Sec-WebSocket-Extensions: {value}\r\n")).collect();
    let request = format!(
        "GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{lines}\r\n"
    );
    let request = parse(request.as_bytes()).expect("an opening handshake");
    let wanted = Accept { deflate: Some(deflate), ..Accept::default() };
    let (response, agreement) = request.accept(&wanted).expect("an opening handshake");
    let response = String::from_utf8(response).expect("ASCII");
    let mut values = response.lines().filter_map(|line| line.strip_prefix("Sec-WebSocket-Extensions: "));
    let value = values.next().map(str::to_owned);
    assert_eq!(values.next(), None, "one extension is agreed on once");
    (value, agreement.deflate)
}

/// What a client that offers `deflate` makes of a response with these header lines.
fn confirm(deflate: Option<Deflate>, lines: &[&str]) -> Result<Option<Deflate>, ()> {
    let lines: String = lines.iter().map(|value| format!("Sec-WebSocket-Extensions: {value}\r\n")).collect();
    let response = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n{lines}\r\n"
    );
    match answer(&Offer { deflate, ..offer(&[]) }, response.as_bytes()) {
        Ok((Agreement { deflate, .. }, _)) => Ok(deflate),
        Err(ClientError::Extension) => Err(()),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn section_5_1_the_first_offer_that_can_be_accepted_is() {
    // The RFC's examples.
    for (offers, answer) in [
        (&["permessage-deflate"][..], "permessage-deflate"),
        (&["permessage-deflate; client_max_window_bits"], "permessage-deflate"),
        (
            &["permessage-deflate; client_max_window_bits; server_max_window_bits=10"],
            "permessage-deflate; server_max_window_bits=10",
        ),
        (
            &["permessage-deflate; client_max_window_bits; server_max_window_bits=10, permessage-deflate; \
               client_max_window_bits"],
            "permessage-deflate; server_max_window_bits=10",
        ),
        // On lines of their own, as one list (RFC 6455, section 9.1).
        (
            &["permessage-foo; x=10", "permessage-deflate; server_no_context_takeover"],
            "permessage-deflate; server_no_context_takeover",
        ),
        (&["permessage-deflate; server_max_window_bits=7", "permessage-deflate"], "permessage-deflate"),
    ] {
        assert_eq!(accept(ANY, offers).0.as_deref(), Some(answer), "{offers:?}");
    }
    for offers in [&[][..], &[""], &["permessage-foo"], &["permessage-deflate; server_max_window_bits=8"]] {
        assert_eq!(accept(ANY, offers), (None, None), "{offers:?}");
    }
}

#[test]
fn what_a_server_agrees_on_suits_both() {
    for (wanted, offered, answer, agreed) in [
        (ANY, "", "", ANY),
        (
            ANY,
            "; client_no_context_takeover; server_no_context_takeover",
            "; server_no_context_takeover; client_no_context_takeover",
            NO_TAKEOVER,
        ),
        // A server may ask for what was not offered (sections 7.1.1 and 7.1.2.1), but for the client's window.
        (NO_TAKEOVER, "", "; server_no_context_takeover; client_no_context_takeover", NO_TAKEOVER),
        (SMALL, "", "; server_max_window_bits=10", Deflate { client_max_window_bits: 15, ..SMALL }),
        (SMALL, "; client_max_window_bits", "; server_max_window_bits=10; client_max_window_bits=9", SMALL),
        (
            SMALL,
            "; client_max_window_bits=9; server_max_window_bits=9",
            "; server_max_window_bits=9; client_max_window_bits=9",
            Deflate { server_max_window_bits: 9, ..SMALL },
        ),
        (
            ANY,
            "; client_max_window_bits=\"12\"; server_max_window_bits=\"1\\4\"",
            "; server_max_window_bits=14; client_max_window_bits=12",
            Deflate { client_max_window_bits: 12, server_max_window_bits: 14, ..ANY },
        ),
    ] {
        let (value, deflate) = accept(wanted, &[&format!("permessage-deflate{offered}")]);
        assert_eq!(value, Some(format!("permessage-deflate{answer}")), "{offered}");
        assert_eq!(deflate, Some(agreed), "{offered}");
    }
    // What is the endpoint's own is not agreed on.
    let own = Deflate { level: 7, threshold: 1, ..ANY };
    assert_eq!(accept(own, &["permessage-deflate"]).1, Some(own));
}

#[test]
fn settings_that_deflate_does_not_know_are_taken_as_the_nearest() {
    let odd = Deflate { level: 0, server_max_window_bits: 3, client_max_window_bits: 200, ..ANY };
    let (value, agreed) = accept(odd, &["permessage-deflate"]);
    assert_eq!(value.as_deref(), Some("permessage-deflate; server_max_window_bits=9"));
    assert_eq!(agreed, Some(Deflate { level: 1, server_max_window_bits: 9, client_max_window_bits: 15, ..ANY }));
}

#[test]
fn a_client_offers_what_it_wants() {
    for (deflate, value) in [
        (ANY, "permessage-deflate; client_max_window_bits"),
        (
            NO_TAKEOVER,
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover; client_max_window_bits",
        ),
        (SMALL, "permessage-deflate; server_max_window_bits=10; client_max_window_bits=9"),
    ] {
        let request = Offer { deflate: Some(deflate), ..offer(&[]) }.encode().expect("in order");
        let request = String::from_utf8(request).expect("ASCII");
        let line = format!("\r\nSec-WebSocket-Extensions: {value}\r\n");
        assert!(request.contains(&line), "{request}");
        // A server of ours understands it.
        assert!(accept(ANY, &[value]).1.is_some());
    }
    let request = String::from_utf8(offer(&[]).encode().expect("in order")).expect("ASCII");
    assert!(!request.contains("Extensions"));
}

#[test]
fn a_client_takes_what_its_offer_allows() {
    for (offered, accepted, agreed) in [
        (ANY, "permessage-deflate", ANY),
        (ANY, "permessage-deflate; client_no_context_takeover; server_no_context_takeover", NO_TAKEOVER),
        (ANY, "permessage-deflate; server_max_window_bits=10; client_max_window_bits=9", SMALL),
        (ANY, "permessage-deflate; server_max_window_bits=8", Deflate { server_max_window_bits: 8, ..ANY }),
        (ANY, "permessage-deflate; client_max_window_bits=\"15\"", ANY),
        (SMALL, "permessage-deflate; server_max_window_bits=10", SMALL),
        (
            SMALL,
            "permessage-deflate; server_max_window_bits=9; client_max_window_bits=9",
            Deflate { server_max_window_bits: 9, ..SMALL },
        ),
        // That the client forgets is a hint, which it keeps whether the server repeats it or not (section 7.1.1.2).
        (NO_TAKEOVER, "permessage-deflate; server_no_context_takeover", NO_TAKEOVER),
    ] {
        assert_eq!(confirm(Some(offered), &[accepted]), Ok(Some(agreed)), "{accepted}");
    }
    assert_eq!(confirm(Some(ANY), &[]), Ok(None));
    assert_eq!(confirm(Some(ANY), &["", ","]), Ok(None));
    assert_eq!(confirm(None, &[]), Ok(None));
}

#[test]
fn a_client_fails_the_handshake_where_the_response_does_not_keep_to_its_offer() {
    // Hostile inputs 98 to 100.
    for (offered, accepted) in [
        (None, &["permessage-deflate"][..]),
        (Some(ANY), &["permessage-foo"]),
        (Some(ANY), &["permessage-deflate, permessage-deflate"]),
        (Some(ANY), &["permessage-deflate", "permessage-deflate"]),
        (Some(ANY), &["permessage-deflate, permessage-foo"]),
        (Some(ANY), &["permessage-deflate; unknown"]),
        (Some(ANY), &["permessage-deflate; server_no_context_takeover; server_no_context_takeover"]),
        (Some(ANY), &["permessage-deflate; client_no_context_takeover=true"]),
        (Some(ANY), &["permessage-deflate; client_max_window_bits"]),
        (Some(ANY), &["permessage-deflate; server_max_window_bits"]),
        (Some(ANY), &["permessage-deflate; server_max_window_bits=7"]),
        (Some(ANY), &["permessage-deflate; server_max_window_bits=16"]),
        (Some(ANY), &["permessage-deflate; client_max_window_bits=09"]),
        // Which our compressor cannot keep to.
        (Some(ANY), &["permessage-deflate; client_max_window_bits=8"]),
        (Some(ANY), &["permessage-deflate; "]),
        // Beyond what was offered, or not answered at all (sections 7.1.1.1, 7.1.2.1 and 7.1.2.2).
        (Some(SMALL), &["permessage-deflate; server_max_window_bits=11"]),
        (Some(SMALL), &["permessage-deflate"]),
        (Some(SMALL), &["permessage-deflate; server_max_window_bits=10; client_max_window_bits=10"]),
        (Some(NO_TAKEOVER), &["permessage-deflate; client_no_context_takeover"]),
    ] {
        assert_eq!(confirm(offered, accepted), Err(()), "{accepted:?}");
    }
}

/// Whatever two endpoints of ours want, they agree, on the same.
#[test]
fn a_client_and_a_server_agree_on_the_same() {
    let settings = || {
        [false, true].into_iter().flat_map(|server| {
            [false, true].into_iter().flat_map(move |client| {
                [9, 15].into_iter().flat_map(move |server_bits| {
                    [9, 15].map(|client_bits| Deflate {
                        server_no_context_takeover: server,
                        client_no_context_takeover: client,
                        server_max_window_bits: server_bits,
                        client_max_window_bits: client_bits,
                        ..ANY
                    })
                })
            })
        })
    };
    for client in settings() {
        let request = Offer { deflate: Some(client), ..offer(&[]) }.encode().expect("in order");
        let request = parse(&request).expect("an opening handshake");
        for server in settings() {
            let wanted = Accept { deflate: Some(server), ..Accept::default() };
            let (response, agreement) = request.accept(&wanted).expect("an opening handshake");
            let offer = Offer { deflate: Some(client), ..offer(&[]) };
            let (confirmed, _) = answer(&offer, &response).expect("what was offered");
            assert_eq!(confirmed, agreement, "{client:?} and {server:?}");
            let agreed = agreement.deflate.expect("both want it");
            assert!(agreed.server_max_window_bits <= client.server_max_window_bits.min(server.server_max_window_bits));
            assert!(agreed.client_max_window_bits <= client.client_max_window_bits.min(server.client_max_window_bits));
        }
    }
}

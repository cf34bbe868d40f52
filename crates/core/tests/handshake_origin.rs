//! Section 10.2: which pages may connect, and under which names a server may be addressed.

mod common;

use common::heads::{parse, request};
use raddle_core::handshake::{HandshakeError, Hosts, Origins};

/// Whether a page of `origin` may connect to the server that it addresses as `host`.
#[track_caller]
fn allows(origins: &Origins, origin: &str, host: &str) -> bool {
    let request = parse(&request(&[&format!("Host: {host}"), &format!("Origin: {origin}")])).expect("valid");
    match request.check(origins, &Hosts::Any) {
        Ok(()) => true,
        Err(HandshakeError::Origin) => false,
        Err(error) => panic!("{error:?}"),
    }
}

fn list(entries: &[&str]) -> Origins {
    Origins::List(entries.iter().copied().map(str::to_owned).collect())
}

#[test]
fn the_same_origin_is_the_same_host_and_port() {
    let cases = [
        ("http://example.com", "example.com", true),
        ("https://example.com", "example.com", true),
        ("HTTPS://EXAMPLE.com", "example.COM", true),
        ("http://example.com:80", "example.com", true),
        ("https://example.com:443", "example.com", true),
        ("https://example.com", "example.com:443", true),
        ("http://example.com:8080", "example.com:8080", true),
        ("http://127.0.0.1:9001", "127.0.0.1:9001", true),
        ("http://[::1]:9001", "[::1]:9001", true),
        ("http://[::1]", "[::1]", true),
        ("http://example.com.", "example.com.", true),
        // Another host.
        ("http://evil.net", "example.com", false),
        ("http://www.example.com", "example.com", false),
        ("http://example.com", "www.example.com", false),
        ("http://example.com.evil.net", "example.com", false),
        ("http://evilexample.com", "example.com", false),
        ("http://example.co", "example.com", false),
        ("http://example.com..", "example.com", false),
        // Browsers keep these two apart.
        ("http://example.com.", "example.com", false),
        ("http://example.com", "example.com.", false),
        ("http://[::2]", "[::1]", false),
        // Another port.
        ("http://example.com", "example.com:8080", false),
        ("http://example.com:8080", "example.com", false),
        ("http://example.com:443", "example.com", false),
        ("https://example.com:80", "example.com", false),
        // Not an origin.
        ("null", "example.com", false),
        ("null", "null", false),
        ("\t", "example.com", false),
        ("example.com", "example.com", false),
        ("//example.com", "example.com", false),
        ("http://", "example.com", false),
        ("http:example.com", "example.com", false),
        ("http://example.com/", "example.com", false),
        ("http://example.com/path", "example.com", false),
        ("http://example.com?", "example.com", false),
        ("http://example.com#", "example.com", false),
        ("http://user@example.com", "example.com", false),
        ("http://example.com@evil.net", "example.com", false),
        ("http://example.com:99999", "example.com", false),
        ("http://example.com:8x", "example.com", false),
        ("http://example.com http://evil.net", "example.com", false),
        ("http://example.com, http://evil.net", "example.com", false),
        ("http://exam ple.com", "example.com", false),
        ("http://example.com\\evil.net", "example.com", false),
        ("http://\u{435}xample.com", "example.com", false),
        ("ftp://example.com", "example.com", false),
        ("ws://example.com", "example.com", false),
        ("file://", "example.com", false),
        ("chrome-extension://abcdef", "abcdef", false),
        ("javascript://example.com", "example.com", false),
    ];
    for (origin, host, expected) in cases {
        assert_eq!(allows(&Origins::SameOrigin, origin, host), expected, "{origin} to {host}");
        assert!(allows(&Origins::Any, origin, host));
    }
}

#[test]
fn the_host_of_an_absolute_form_is_the_one_that_counts() {
    let head = String::from_utf8(request(&["Host: evil.net", "Origin: http://evil.net"])).expect("ASCII");
    let request = parse(head.replace("/chat", "http://example.com/chat").as_bytes()).expect("valid");
    assert_eq!(request.check(&Origins::SameOrigin, &Hosts::Any), Err(HandshakeError::Origin));
}

#[test]
fn a_list_allows_what_is_on_it() {
    // Entry, origins that it allows, origins that it does not.
    let cases: [(&str, &[&str], &[&str]); 6] = [
        (
            "example.com",
            &["http://example.com", "https://example.com", "https://EXAMPLE.com:443"],
            &[
                "http://example.com:8080",
                "https://example.com:80",
                "https://www.example.com",
                "ws://example.com",
                "http://example.com.",
            ],
        ),
        (
            "https://example.com",
            &["https://example.com", "https://example.com:443"],
            &["http://example.com", "https://example.com:8443", "http://example.com:443", "https://example.com/"],
        ),
        (
            "https://Example.com:8443",
            &["https://example.com:8443"],
            &["https://example.com", "http://example.com:8443"],
        ),
        (
            "https://*.example.com",
            &["https://a.example.com", "https://a.b.EXAMPLE.com", "https://a.example.com:443"],
            &[
                "https://example.com",
                "https://.example.com",
                "https://evilexample.com",
                "https://a.example.com.evil.net",
                "https://a.example.com:8443",
                "http://a.example.com",
                "https://a.example.com.",
                "https://*example.com",
            ],
        ),
        ("*.example.com:8080", &["http://a.example.com:8080", "https://a.example.com:8080"], &["http://a.example.com"]),
        ("http://[::1]:9001", &["http://[::1]:9001"], &["http://[::1]", "http://[::2]:9001"]),
    ];
    let attacks = [
        "https://example.com.evil.net",
        "https://evilexample.com",
        "https://example.com@evil.net",
        "https://example.com:443@evil.net",
        "https://evil.net/example.com",
        "https://evil.net?https://example.com",
        "https://evil.net#.example.com",
        "https://example.comevil.net",
        "https://example.com%2eevil.net",
        "https://evil.net\\.example.com",
        "https://evil.net:80.example.com",
        "null",
        "https://",
    ];
    for (entry, allowed, refused) in cases {
        // On a list of its own, and of several.
        for origins in [list(&[entry]), list(&["https://other.org", entry])] {
            for origin in allowed {
                assert!(allows(&origins, origin, "server.example.net"), "{origin} by {entry}");
            }
            for origin in refused.iter().chain(&attacks) {
                assert!(!allows(&origins, origin, "server.example.net"), "{origin} by {entry}");
            }
        }
    }
    // An empty list allows no page, the server's own neither.
    assert!(!allows(&list(&[]), "http://example.com", "example.com"));
}

#[test]
fn entries_that_are_none_allow_nothing() {
    let entries =
        ["", "*", "*.", "https://", "https://*", "ftp://example.com", "http://*.", ".", "example.com/", "[", "]:"];
    for entry in entries {
        for origin in ["http://example.com", "https://a.example.com", "http://evil.net.", "http://a"] {
            assert!(!allows(&list(&[entry]), origin, "server.example.net"), "{origin} by {entry}");
        }
        assert_eq!(list(&["https://example.com", entry, "*"]).malformed(), Some(entry));
    }
}

#[test]
fn entries_that_are_some_are_not_malformed() {
    let entries =
        ["example.com", "localhost", "localhost:8080", "HTTPS://example.com:443", "http://*.a.b", "*.a", "[::1]:80"];
    assert_eq!(list(&entries).malformed(), None);
    for entry in ["https://a/path", "https://a/", "a b", "a,b", "null", "https://user@a", "http://a:99999", "ws://a"] {
        assert_eq!(list(&["a", entry]).malformed(), Some(entry));
    }
    assert_eq!((Origins::SameOrigin.malformed(), Origins::Any.malformed()), (None, None));
}

#[test]
fn hosts_are_told_from_what_is_none() {
    let list = |entries: &[&str]| Hosts::List(entries.iter().copied().map(str::to_owned).collect());
    assert_eq!(list(&["example.com", "example.com:8080", "[::1]", "127.0.0.1:80"]).malformed(), None);
    for entry in ["", "https://a", "a/b", "a:b", "a b", "[::1"] {
        assert_eq!(list(&["a", entry]).malformed(), Some(entry));
    }
    assert_eq!((Hosts::Any.malformed(), Hosts::Loopback.malformed()), (None, None));
}

#[test]
fn a_request_without_an_origin_is_no_browsers() {
    let request = parse(&request(&[])).expect("valid");
    for origins in [Origins::SameOrigin, Origins::Any, list(&[])] {
        assert_eq!(request.check(&origins, &Hosts::Any), Ok(()));
    }
}

#[test]
fn a_plain_request_may_come_from_any_page() {
    let request = parse(b"GET / HTTP/1.1\r\nHost: example.com\r\nOrigin: http://evil.net\r\n\r\n").expect("valid");
    assert_eq!(request.check(&Origins::SameOrigin, &Hosts::Any), Ok(()));
    assert_eq!(request.check(&Origins::SameOrigin, &Hosts::Loopback), Err(HandshakeError::ForeignHost));
}

#[test]
fn a_name_that_was_led_here_is_not_the_servers() {
    // Origin and Host agree: only the name gives a rebound page away.
    let head = request(&["Host: evil.net:9001", "Origin: http://evil.net:9001"]);
    let request = parse(&head).expect("valid");
    assert_eq!(request.check(&Origins::SameOrigin, &Hosts::Any), Ok(()));
    assert_eq!(request.check(&Origins::SameOrigin, &Hosts::Loopback), Err(HandshakeError::ForeignHost));
    assert_eq!(request.check(&Origins::Any, &Hosts::Loopback), Err(HandshakeError::ForeignHost));
}

#[test]
fn the_loopback_has_its_own_names() {
    for host in [
        "localhost",
        "LocalHost:9001",
        "localhost.",
        "app.localhost:80",
        "127.0.0.1",
        "127.0.0.1:9001",
        "127.255.255.254",
        "[::1]",
        "[::1]:9001",
        "[0:0:0:0:0:0:0:1]",
        "[::ffff:127.0.0.1]",
    ] {
        assert!(Hosts::Loopback.contains(host), "{host}");
    }
    for host in [
        "evil.net",
        "localhost.evil.net",
        "notlocalhost",
        "127.0.0.1.evil.net",
        "128.0.0.1",
        "0.0.0.0",
        "127.1",
        "2130706433",
        "0x7f000001",
        "[::]",
        "[::2]",
        "[fe80::1]",
        "[::ffff:128.0.0.1]",
        "",
        ".",
        "evil.net:localhost",
    ] {
        assert!(!Hosts::Loopback.contains(host), "{host}");
    }
}

#[test]
fn a_list_of_hosts_has_those_on_it() {
    let hosts = Hosts::List(["example.com", "other.org:8080", "[::1]"].map(str::to_owned).into());
    for host in
        ["example.com", "EXAMPLE.com.", "example.com:80", "example.com:9001", "Other.org:8080", "[::1]:1", "[::1]"]
    {
        assert!(hosts.contains(host), "{host}");
    }
    for host in ["www.example.com", "example.com.evil.net", "evilexample.com", "other.org", "other.org:80", "[::2]", ""]
    {
        assert!(!hosts.contains(host), "{host}");
    }
    assert!(Hosts::Any.contains("anything"));
    assert!(!Hosts::List(vec![]).contains("example.com"));
}

#[test]
fn a_host_has_the_form_of_one() {
    for host in [
        "example.com",
        "EXAMPLE.COM.",
        "example.com:0",
        "example.com:65535",
        "example.com:",
        "xn--bcher-kva.example",
        "under_score",
        "127.0.0.1",
        "[::1]",
        "[::1]:80",
        "[2001:db8::ffff:1.2.3.4]",
    ] {
        assert_eq!(parse(&request(&[&format!("Host: {host}")])).expect("valid").host(), host);
    }
    for host in [
        "\t", ":80", "a b", "a/b", "user@a", "a,b", "a:99999", "a:65536", "a:8x", "a:-1", "a:+1", "a:80:80", "[::1",
        "::1", "[::1]x", "[::1]:x", "[::g]", "[]", "[", "a]", "a?b", "a#b", "a\"b", "a\\b", "\u{e9}",
    ] {
        assert_eq!(parse(&request(&[&format!("Host: {host}")])).map(|_| ()), Err(HandshakeError::Host), "{host}");
    }
    assert_eq!(parse(&request(&["Host:"])).map(|_| ()), Err(HandshakeError::Host));
}

//! URLs, and those that are none.

use proptest::prelude::*;
use raddle_client::{Client, ConnectError, Proxy, Url, UrlError};

#[test]
fn a_url_says_host_port_and_target() {
    // Hostile input 109.
    for (text, authority, target) in [
        ("ws://example.com", "example.com", "/"),
        ("WS://Example.COM/Chat", "example.com", "/Chat"),
        ("ws://example.com:80/", "example.com", "/"),
        ("ws://example.com:/", "example.com", "/"),
        ("ws://example.com:443/", "example.com:443", "/"),
        ("wss://example.com:443/", "example.com", "/"),
        ("wss://example.com:80/", "example.com:80", "/"),
        ("ws://example.com:65535", "example.com:65535", "/"),
        ("ws://example.com?a=b&c=/?:@", "example.com", "/?a=b&c=/?:@"),
        ("ws://example.com:8080?", "example.com:8080", "/?"),
        ("ws://example.com/a%20b/%C3%A9?%25", "example.com", "/a%20b/%C3%A9?%25"),
        ("ws://example.com//a/../b/.", "example.com", "//a/../b/."),
        ("ws://example.com./", "example.com.", "/"),
        ("ws://xn--bcher-kva.example/", "xn--bcher-kva.example", "/"),
        ("ws://my_service:1/", "my_service:1", "/"),
        ("ws://127.0.0.1:9001/a", "127.0.0.1:9001", "/a"),
        ("ws://[::1]", "[::1]", "/"),
        ("ws://[2001:DB8::0:1]:9001/a", "[2001:db8::1]:9001", "/a"),
        ("ws://[::ffff:127.0.0.1]:1?a", "[::ffff:127.0.0.1]:1", "/?a"),
        ("ws://a/", "a", "/"),
        ("ws://a-b.1c.d2/", "a-b.1c.d2", "/"),
        ("ws://user:password@example.com:1/", "example.com:1", "/"),
    ] {
        let url: Url = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!((url.authority().as_str(), url.target()), (authority, target), "{text}");
        assert_eq!(url.is_secure(), text.starts_with("wss"));
    }
}

#[test]
fn what_is_none_is_an_error_before_anything_is_looked_up() {
    // Hostile inputs 108 and 109.
    let long = format!("ws://a/{}", "a".repeat(1 << 20));
    let label = format!("ws://{}/", "a".repeat(64));
    let name = format!("ws://{}a/", "a.".repeat(127));
    for (text, expected) in [
        ("", UrlError::Scheme),
        ("w", UrlError::Scheme),
        ("ws", UrlError::Scheme),
        ("ws:", UrlError::Scheme),
        ("ws:/", UrlError::Scheme),
        ("ws:example.com", UrlError::Scheme),
        ("://a", UrlError::Scheme),
        ("//a", UrlError::Scheme),
        ("/a", UrlError::Scheme),
        ("http://a", UrlError::Scheme),
        ("https://a", UrlError::Scheme),
        ("file:///a", UrlError::Scheme),
        ("wsx://a", UrlError::Scheme),
        (" ws://a", UrlError::Scheme),
        ("\tws://a", UrlError::Scheme),
        ("ws://", UrlError::Host),
        ("ws:///", UrlError::Host),
        ("ws://:1/", UrlError::Host),
        ("ws://?a", UrlError::Host),
        ("ws://user@/", UrlError::Host),
        ("ws://a#", UrlError::Fragment),
        ("ws://a/#b", UrlError::Fragment),
        ("ws://a?b#c", UrlError::Fragment),
        ("ws://a\r\n/", UrlError::Character),
        ("ws://a/\r\nX: b", UrlError::Character),
        ("ws://a/\n", UrlError::Character),
        ("ws://a/\0", UrlError::Character),
        ("ws://a\0b/", UrlError::Character),
        ("ws://a b/", UrlError::Character),
        ("ws://a/b c", UrlError::Character),
        ("ws://a/\t", UrlError::Character),
        ("ws://a/ ", UrlError::Character),
        ("ws://a\\b/", UrlError::Character),
        ("ws://a/\\b", UrlError::Character),
        ("ws://a/\"", UrlError::Character),
        ("ws://a/<b>", UrlError::Character),
        ("ws://a/b|c", UrlError::Character),
        ("ws://a/\x7f", UrlError::Character),
        ("ws://a:0/", UrlError::Port),
        ("ws://a:65536/", UrlError::Port),
        ("ws://a:80x/", UrlError::Port),
        ("ws://a:-1/", UrlError::Port),
        ("ws://a:+1/", UrlError::Port),
        ("ws://a:1:2/", UrlError::Port),
        ("ws://a: 1/", UrlError::Port),
        ("ws://a:000080/", UrlError::Port),
        ("ws://::1/", UrlError::Host),
        ("ws://[::1/", UrlError::Host),
        ("ws://::1]/", UrlError::Host),
        ("ws://[::1]1/", UrlError::Host),
        ("ws://[]/", UrlError::Host),
        ("ws://[::g]/", UrlError::Host),
        ("ws://[fe80::1%25eth0]/", UrlError::Host),
        ("ws://[127.0.0.1]/", UrlError::Host),
        ("ws://a%20b/", UrlError::Host),
        ("ws://%61/", UrlError::Host),
        ("ws://a,b/", UrlError::Host),
        ("ws://.a/", UrlError::Host),
        ("ws://a..b/", UrlError::Host),
        ("ws://./", UrlError::Host),
        // Addresses in disguise.
        ("ws://127.1/", UrlError::Host),
        ("ws://2130706433/", UrlError::Host),
        ("ws://0x7f000001/", UrlError::Host),
        ("ws://0x7f.0.0.0x1/", UrlError::Host),
        ("ws://127.0.0.256/", UrlError::Host),
        ("ws://127.0.0.1./", UrlError::Host),
        ("ws://0127.0.0.1/", UrlError::Host),
        ("ws://a/%", UrlError::Percent),
        ("ws://a/%2", UrlError::Percent),
        ("ws://a/%zz", UrlError::Percent),
        ("ws://a/?%+1", UrlError::Percent),
        ("ws://%zz@a/", UrlError::Percent),
        ("ws://b\u{fc}cher.example/", UrlError::HostNotAscii),
        ("ws://a\u{ff0e}b/", UrlError::HostNotAscii),
        ("ws://a/\u{fc}", UrlError::NotAscii),
        ("ws://a/?\u{fc}", UrlError::NotAscii),
        ("ws://a@b@c/", UrlError::Userinfo),
        ("ws://a%3ab:c@d/", UrlError::Userinfo),
        ("ws://a%0d%0ab@d/", UrlError::Userinfo),
        ("ws://\u{fc}@d/", UrlError::Userinfo),
        (&long, UrlError::TooLong),
        (&label, UrlError::Host),
        (&name, UrlError::Host),
    ] {
        assert_eq!(text.parse::<Url>(), Err(expected), "{:?}", &text[..text.len().min(80)]);
        assert!(matches!(Client::new().connect(text), Err(ConnectError::Url(error)) if error == expected));
    }
}

#[test]
fn a_proxy_is_a_scheme_and_a_host() {
    for (text, shown) in [
        ("http://proxy", "http://proxy:80"),
        ("HTTP://proxy:3128/", "http://proxy:3128"),
        ("http://user:password@[::1]:3128", "http://[::1]:3128"),
        ("socks5://10.0.0.1", "socks5://10.0.0.1:1080"),
        ("socks5h://a:b@proxy:9050", "socks5://proxy:9050"),
    ] {
        let proxy: Proxy = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(proxy.to_string(), shown);
        assert!(!format!("{proxy:?}").contains("password"));
    }
    for text in
        ["proxy:3128", "https://proxy", "socks4://proxy", "http://", "http://proxy/a", "http://a b", "http://a?b"]
    {
        assert!(text.parse::<Proxy>().is_err(), "{text}");
    }
}

#[test]
fn no_secret_shows_in_what_is_printed() {
    let url: Url = "ws://user:password@a/b?token=secret".parse().expect("a URL");
    let client = Client::new().basic("user", "password").cookie("a", "secret").header("X-Token", "secret");
    for shown in [format!("{url} {url:?}"), format!("{client:?}"), format!("{:?}", client.reconnect("ws://a/"))] {
        assert!(!shown.contains("password") && !shown.contains("secret"), "{shown}");
    }
    assert_eq!(url.to_string(), "ws://a/b");
}

proptest! {
    // What is accepted can stand in a request as it is, and is the same when it is parsed again.
    #[test]
    fn any_text_is_a_url_or_an_error(text in "(ws|wss)?(://)?[a-z0-9.:@/?#%\\[\\]\\PC]{0,30}") {
        if let Ok(url) = text.parse::<Url>() {
            prop_assert!(url.target().starts_with('/') && url.target().bytes().all(|byte| byte.is_ascii_graphic()));
            prop_assert!(url.authority().bytes().all(|byte| byte.is_ascii_graphic()));
            let scheme = if url.is_secure() { "wss" } else { "ws" };
            let again: Url = format!("{scheme}://{}{}", url.authority(), url.target()).parse().expect("the same");
            prop_assert_eq!((again.authority(), again.target()), (url.authority(), url.target()));
        }
    }
}

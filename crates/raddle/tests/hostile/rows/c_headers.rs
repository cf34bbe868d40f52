//! Group C: header fields.

use raddle::core::handshake::Request;

use crate::case::{Case, open, reject};
use crate::head::{Head, sample};

pub(crate) fn rows() -> Vec<Case> {
    [limits(), malformed(), values(), hosts(), lists_and_duplicates()].concat()
}

/// The values of all headers of this name.
fn all<'a>(request: &'a Request, name: &str) -> Vec<&'a [u8]> {
    request.headers().filter(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
}

fn with(count: usize) -> Head {
    (0..count).fold(sample(), |head, index| head.add(&format!("X-{index}"), "y"))
}

fn limits() -> Vec<Case> {
    // The sample has five. What comes last is not dropped silently.
    let last = with(100 - 5 - 1).without("Sec-WebSocket-Version").add("Cookie", "a").add("Sec-WebSocket-Version", "13");
    let two_letters = sample().add_line("ab:\r\n".repeat(2000));
    vec![
        open(28, "HDR_MAX headers", last).sees(|request| {
            assert_eq!(request.headers().count(), 100);
            assert_eq!(all(request, "Cookie"), [b"a"]);
        }),
        reject(28, 431, "HDR_MAX headers and one", with(101 - 5)),
        reject(28, 431, "2,000 headers of two letters", two_letters),
        open(29, "a head of HEAD_MAX", sample().filled_to(16 * 1024)),
        reject(29, 431, "a head of HEAD_MAX and one", sample().filled_to(16 * 1024 + 1)),
        reject(29, 431, "HEAD_MAX and one byte, and no end", sample().filled_to(16 * 1024 + 3).end("")),
    ]
}

fn malformed() -> Vec<Case> {
    let mut rows = Vec::new();
    for (name, line) in [
        ("no colon", &b"Cookie\r\n"[..]),
        ("no name", b": a\r\n"),
        ("a space before the colon", b"Cookie : a\r\n"),
        ("a tab before the colon", b"Cookie\t: a\r\n"),
        ("a space in the name", b"Coo kie: a\r\n"),
        ("a parenthesis in the name", b"Coo(kie: a\r\n"),
        ("a slash in the name", b"Coo/kie: a\r\n"),
        ("NUL in the name", b"Coo\0kie: a\r\n"),
        ("0x80 in the name", b"Coo\x80kie: a\r\n"),
        ("0xff in the name", b"Coo\xffkie: a\r\n"),
    ] {
        rows.push(reject(30, 400, name, sample().add_line(line)));
        // A header that somebody depends on may not be hidden behind one of these.
        rows.push(reject(30, 400, format!("{name}, first of all"), sample().first_line(line)));
    }
    for (name, head) in [
        ("a folded line", sample().add_line("Cookie: a\r\n b\r\n")),
        ("a line folded with a tab", sample().add_line("Cookie: a\r\n\tb\r\n")),
        ("a folded line behind the request line", sample().first_line(" Cookie: a\r\n")),
        ("a line of a space", sample().add_line(" \r\n")),
    ] {
        rows.push(reject(31, 400, name, head));
    }
    for (name, value) in [
        ("NUL", &b"a\0b"[..]),
        ("CR", b"a\rb"),
        ("LF", b"a\nb"),
        ("CR at the end", b"a\r"),
        ("ESC", b"a\x1bb"),
        ("BEL", b"\x07"),
        ("DEL", b"a\x7fb"),
    ] {
        rows.push(reject(32, 400, format!("{name} in a value"), sample().add("Cookie", value)));
    }
    for (name, end) in [("LF LF", "X: y\n\n"), ("CR LF LF", "\n"), ("LF CR LF", "X: y\n\r\n"), ("CR CR LF", "\r\r\n")] {
        rows.push(reject(38, 400, format!("the head ends with {name}"), sample().end(end)));
    }
    rows
}

fn values() -> Vec<Case> {
    let mut rows = Vec::new();
    rows.push(open(33, "bytes above ASCII in a value", sample().add("X-Name", b"\x80\xff")).sees(|request| {
        assert_eq!(all(request, "X-Name"), [b"\x80\xff"]);
    }));
    for name in ["Cookie", "User-Agent"] {
        // A lone continuation byte, an overlong slash.
        rows.push(open(33, format!("invalid UTF-8 in {name}"), sample().add(name, b"a=\xbf\xc0\xaf")).sees(
            |request| {
                assert!(request.headers().any(|(_, value)| value == b"a=\xbf\xc0\xaf"));
            },
        ));
    }
    let padded =
        sample().add("Cookie", " \t a b \t").add("X-Empty", "").add("X-Spaces", " \t ").set("Upgrade", "\twebsocket ");
    rows.push(open(34, "spaces and tabs around values", padded).sees(|request| {
        assert_eq!(all(request, "Cookie"), [b"a b"]);
        assert_eq!([all(request, "X-Empty"), all(request, "X-Spaces")], [[b""], [b""]]);
    }));
    rows.push(open(34, "no space behind the colon", sample().add_line("Cookie:a\r\n")).sees(|request| {
        assert_eq!(all(request, "Cookie"), [b"a"]);
    }));
    let text = String::from_utf8(sample().into()).expect("ASCII");
    let (line, headers) = text.split_once("\r\n").expect("lines");
    let cased = |change: fn(&str) -> String| {
        let lines = headers.trim_end().split("\r\n").map(|line| line.split_once(": ").expect("a header"));
        lines.fold(format!("{line}\r\n"), |head, (name, value)| head + &change(name) + ": " + value + "\r\n") + "\r\n"
    };
    rows.push(open(35, "names in upper case", cased(str::to_uppercase)));
    rows.push(open(35, "names in lower case", cased(str::to_lowercase)));
    let mixed = |name: &str| {
        let every_second = |(index, letter): (usize, char)| {
            if index % 2 == 0 { letter.to_ascii_lowercase() } else { letter.to_ascii_uppercase() }
        };
        name.chars().enumerate().map(every_second).collect()
    };
    rows.push(open(35, "names in mixed case", cased(mixed)));
    rows
}

fn hosts() -> Vec<Case> {
    let mut rows = vec![
        reject(36, 400, "no Host", sample().without("Host")),
        reject(36, 400, "Host twice, equal", sample().add("Host", "server.example.com")),
        reject(36, 400, "Host twice, different", sample().add("host", "other.example")),
    ];
    for host in [
        "",
        "server example.com",
        "server.example.com/chat",
        "user@server.example.com",
        "server.example.com, other.example",
        "server.example.com:99999",
        "server.example.com:65536",
        "server.example.com:8x",
        "server.example.com:-1",
        "server.example.com:80:80",
        "[::1",
        "::1",
        "[::1]x",
        "[server]",
        ":80",
        "http://server.example.com",
    ] {
        rows.push(reject(36, 400, format!("the Host {host:?}"), sample().set("Host", host)));
    }
    for host in [
        "[2001:db8::1]",
        "[2001:db8::1]:9001",
        "[::ffff:192.0.2.1]:80",
        "192.0.2.1:80",
        "server.example.com.",
        "SERVER.Example.COM",
        "xn--bcher-kva.example",
        "server_1.example:8080",
    ] {
        let accept = open(37, format!("the Host {host}"), sample().set("Host", host).add("X-Host", host));
        rows.push(accept.sees(|request| {
            assert_eq!(request.header("X-Host"), Some(request.host().as_bytes()));
        }));
    }
    rows
}

fn lists_and_duplicates() -> Vec<Case> {
    let mut rows = Vec::new();
    let lists = (0..45).fold(sample(), |head, index| {
        head.add("Cookie", format!("a={index}")).add("X-Forwarded-For", format!("192.0.2.{index}"))
    });
    rows.push(open(40, "90 lines of two lists", lists).sees(|request| {
        let expected = |start: &str| (0..45).map(|index| format!("{start}{index}").into_bytes()).collect::<Vec<_>>();
        assert_eq!(all(request, "Cookie"), expected("a="));
        assert_eq!(all(request, "x-forwarded-for"), expected("192.0.2."));
    }));
    rows.push(open(40, "50 lines of one list", (0..50).fold(sample(), |head, _| head.add("Cookie", "a"))).sees(
        |request| {
            assert_eq!(all(request, "Cookie").len(), 50);
        },
    ));
    for (name, value) in
        [("Content-Length", "0"), ("Transfer-Encoding", "chunked"), ("Origin", "http://server.example.com")]
    {
        rows.push(reject(41, 400, format!("{name} twice"), sample().add(name, value).add(name, value)));
    }
    for (name, value) in [
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("Sec-WebSocket-Version", "13"),
        ("Host", "server.example.com"),
    ] {
        rows.push(reject(41, 400, format!("{name} twice"), sample().add(name, value)));
    }
    for (name, value) in [("Expect", "100-continue"), ("TE", "trailers"), ("Trailer", "x")] {
        rows.push(open(42, format!("{name}: {value}"), sample().add(name, value)));
    }
    let h2c = sample().set("Upgrade", "h2c, websocket").set("Connection", "Upgrade, HTTP2-Settings");
    rows.push(open(42, "HTTP2-Settings", h2c.add("HTTP2-Settings", "AAMAAABkAAQAAP__")));
    rows
}

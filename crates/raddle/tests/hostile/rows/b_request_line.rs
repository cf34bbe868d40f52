//! Group B: the request line.

use crate::case::{Case, open, reject};
use crate::head::sample;
use crate::rows::roomy;

pub(crate) fn rows() -> Vec<Case> {
    [methods(), versions(), spaces_and_ends(), targets()].concat()
}

fn methods() -> Vec<Case> {
    let mut rows = Vec::new();
    for method in ["POST", "PUT", "HEAD", "OPTIONS", "CONNECT", "TRACE", "BREW"] {
        let head = sample().line(format!("{method} /chat HTTP/1.1"));
        rows.push(reject(13, 405, format!("the method {method}"), head));
    }
    let endless = format!("HEAD /{} HTTP/1.1\r\n\r\n", "a".repeat(10_000));
    rows.push(reject(21, 414, "a HEAD of LINE_MAX and more", endless));
    // Methods are case-sensitive (RFC 9110, section 9.1).
    rows.push(reject(14, 405, "the method get", sample().line("get /chat HTTP/1.1")));
    rows.push(reject(14, 400, "no method", sample().line(" /chat HTTP/1.1")));
    for (name, line) in [
        ("an at sign", &b"G@T /chat HTTP/1.1"[..]),
        ("a NUL", b"G\0T /chat HTTP/1.1"),
        ("a slash", b"G/T /chat HTTP/1.1"),
        ("a byte above ASCII", b"G\xc9T /chat HTTP/1.1"),
    ] {
        rows.push(reject(14, 400, format!("{name} in the method"), sample().line(line)));
    }
    let endless = "G".repeat(10_000);
    rows.push(reject(14, 400, "a method of 10,000 characters", endless.clone()));
    rows.push(reject(14, 400, "a method of 10,000 characters, and the rest", format!("{endless} / HTTP/1.1\r\n\r\n")));
    rows
}

fn versions() -> Vec<Case> {
    let mut rows = vec![reject(15, 426, "HTTP/1.0", sample().line("GET /chat HTTP/1.0"))];
    for version in ["HTTP/1.2", "HTTP/1.9"] {
        rows.push(open(16, version, sample().line(format!("GET /chat {version}"))));
    }
    for (status, version) in [
        (505, "HTTP/2.0"),
        (505, "HTTP/3.0"),
        (505, "HTTP/0.9"),
        (400, "HTTP/11"),
        (400, "HTTP/1."),
        (400, "HTTP/1.1.1"),
        (400, "http/1.1"),
        (400, "HTTP/01.1"),
        (400, "HTTP/1.10"),
        (400, "HTTP/1"),
        (400, "HTCPCP/1.0"),
        (400, ""),
    ] {
        let head = sample().line(format!("GET /chat {version}"));
        rows.push(reject(17, status, format!("the version {version:?}"), head));
    }
    rows.push(reject(17, 400, "no version", sample().line("GET /chat")));
    rows
}

fn spaces_and_ends() -> Vec<Case> {
    let mut rows = Vec::new();
    for (name, line) in [
        ("two spaces before the target", "GET  /chat HTTP/1.1"),
        ("two spaces before the version", "GET /chat  HTTP/1.1"),
        ("a tab before the target", "GET\t/chat HTTP/1.1"),
        ("a tab before the version", "GET /chat\tHTTP/1.1"),
        ("no space before the target", "GET/chat HTTP/1.1"),
        ("no space before the version", "GET /chatHTTP/1.1"),
        ("a space behind the version", "GET /chat HTTP/1.1 "),
        ("a tab behind the version", "GET /chat HTTP/1.1\t"),
        ("a space before the method", " GET /chat HTTP/1.1"),
    ] {
        rows.push(reject(18, 400, name, sample().line(line)));
    }
    rows.push(open(19, "an empty line before the request line", sample().line("\r\nGET /chat HTTP/1.1")));
    for count in [2, 10] {
        let head = sample().line(format!("{}GET /chat HTTP/1.1", "\r\n".repeat(count)));
        rows.push(reject(19, 400, format!("{count} empty lines before the request line"), head));
    }
    let bare_line_feeds = String::from_utf8(sample().into()).expect("ASCII").replace("\r\n", "\n");
    rows.push(reject(20, 400, "all lines end with LF", bare_line_feeds));
    for (name, line) in [
        ("LF", "GET /chat HTTP/1.1\nX: y"),
        ("CR", "GET /chat HTTP/1.1\rX: y"),
        ("CR CR LF", "GET /chat HTTP/1.1\r"),
        ("CR in the target", "GET /ch\rat HTTP/1.1"),
        ("LF in the target", "GET /ch\nat HTTP/1.1"),
    ] {
        rows.push(reject(20, 400, format!("the request line ends with {name}, or has it"), sample().line(line)));
    }
    rows
}

fn targets() -> Vec<Case> {
    let mut rows = Vec::new();
    // LINE_MAX is 8 KiB, without the line's end.
    let target = |length: usize| format!("/{}", "a".repeat(length - "GET / HTTP/1.1".len()));
    rows.push(open(21, "a request line of LINE_MAX", sample().target(target(8192))));
    rows.push(reject(21, 414, "a request line of LINE_MAX and one", sample().target(target(8193))));
    rows.push(reject(21, 414, "LINE_MAX and one byte, and no end", format!("GET /{}", "a".repeat(8193 - 5))));

    for (name, target) in [
        ("NUL", &b"/ch\0at"[..]),
        ("a control character", b"/ch\x1bat"),
        ("DEL", b"/ch\x7fat"),
        ("a space", b"/ch at"),
        ("a Latin letter above ASCII", b"/ch\xe4t"),
        ("a letter in UTF-8", "/chät".as_bytes()),
        ("0xff", b"/\xff"),
        ("a fragment", b"/chat#top"),
    ] {
        rows.push(reject(22, 400, format!("{name} in the target"), sample().target(target)));
    }

    for (name, target) in [
        ("http", "http://other.example/chat"),
        ("https", "https://other.example/chat"),
        ("upper case", "HTTP://other.example/chat"),
    ] {
        // The Host header counts no more (RFC 9112, section 3.2.2).
        rows.push(open(23, format!("absolute-form, {name}"), sample().target(target)).sees(|request| {
            assert_eq!((request.target(), request.host()), ("/chat", "other.example"));
        }));
    }
    rows.push(open(23, "absolute-form without a path", sample().target("http://other.example:81")).sees(|request| {
        assert_eq!((request.target(), request.host()), ("/", "other.example:81"));
    }));
    let head = sample().target("http://other.example?to=/chat");
    rows.push(open(23, "absolute-form with a query and no path", head).sees(|request| {
        assert_eq!((request.target(), request.host()), ("/?to=/chat", "other.example"));
    }));
    for target in [
        "ws://other.example/chat",
        "wss://other.example/chat",
        "ftp://other.example/chat",
        "file:///chat",
        "http://user@other.example/chat",
        "http://user:word@other.example/chat",
        "http:///chat",
        "http://:80/chat",
        "http://?to=/chat",
        "http:/chat",
    ] {
        rows.push(reject(24, 400, format!("absolute-form {target}"), sample().target(target)));
    }
    for target in ["*", "server.example.com:443", "", "chat", "?a=b", "\\chat"] {
        rows.push(reject(25, 400, format!("the target {target:?}"), sample().target(target)));
    }

    let raw = sample().target("/%2e%2e%2f%00%0d%0a%ff%252e%zz?a=%");
    rows.push(open(26, "a percent-encoded target, not decoded", raw).sees(|request| {
        assert_eq!(request.target(), "/%2e%2e%2f%00%0d%0a%ff%252e%zz?a=%");
    }));
    rows.push(open(26, "dots in the path, not resolved", sample().target("/../a/./..//b")).sees(|request| {
        assert_eq!(request.target(), "/../a/./..//b");
    }));
    rows.push(open(27, "10,000 slashes", sample().target("/".repeat(10_000))).on(roomy()).sees(|request| {
        assert_eq!(request.target().len(), 10_000);
    }));
    let query = format!("/chat?{}", "&a=b".repeat(10_000));
    rows.push(open(27, "a query of 10,000 parts", sample().target(query)).on(roomy()).sees(|request| {
        assert_eq!(request.target().len(), 6 + 40_000);
    }));
    rows
}

//! Group G where the way leads over others: redirects, and proxies that do not do their part.

use std::net::TcpListener;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use raddle::{Client, ClientError, ConnectError, Proxy, ProxyError, RedirectError, TlsError};

use crate::head;
use crate::host::join;
use crate::peer::Peer;
use crate::run::client::key_of;

/// A server that answers by the target of the request, and keeps the requests.
struct Scripted {
    address: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Scripted {
    /// `answer` gives the answer to a request by its target; nothing opens the connection.
    fn start(answer: impl Fn(&str) -> Vec<u8> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound").to_string();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&requests);
        thread::spawn(move || {
            loop {
                let mut peer = Peer::accept(&listener);
                let request = peer.take_request();
                let target = request.split(' ').nth(1).expect("a target").to_owned();
                let mut bytes = answer(&target);
                if bytes.is_empty() {
                    bytes = head::answering(&Vec::from(head::response()), &key_of(&request));
                }
                kept.lock().push(request);
                peer.send(&bytes);
            }
        });
        Self { address, requests }
    }

    fn url(&self, target: &str) -> String {
        format!("ws://{}{target}", self.address)
    }
}

fn found(location: &str) -> Vec<u8> {
    format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 1000\r\n\r\n").into_bytes()
}

#[test]
fn redirects_are_followed_as_far_as_they_may_be() {
    // Hostile input 107.
    let server = Scripted::start(|target| match target {
        "/end" | "/a/end?x=%0d%0a" | "/end/" => Vec::new(),
        "/loop" => found("/loop"),
        "/a/relative" => found("end?x=%0d%0a#fragment"),
        "/up" => found("./a/../end/"),
        "/none" => b"HTTP/1.1 301 Moved\r\nContent-Length: 0\r\n\r\n".to_vec(),
        "/two" => b"HTTP/1.1 307 Moved\r\nLocation: /end\r\nLocation: /end\r\n\r\n".to_vec(),
        "/script" => found("javascript:alert(1)"),
        "/file" => found("file:///etc/passwd"),
        "/secure" => found("https://127.0.0.1:1/"),
        "/bytes" => b"HTTP/1.1 308 Moved\r\nLocation: /\xff\r\n\r\n".to_vec(),
        "/space" => found("/a b"),
        "/line" => found("/a\rX: b"),
        "/long" => found(&"/x".repeat(50_000)),
        "/user" => found("http://user:password@"),
        target => match target.strip_prefix("/hops/").and_then(|left| left.parse::<u32>().ok()) {
            Some(0) => Vec::new(),
            Some(left) => found(&format!("/hops/{}", left - 1)),
            None => panic!("{target}"),
        },
    });
    let client = Client::new().redirects(5);
    let connect = |target: &str| client.connect(&server.url(target)).map(|connection| connection.info().target.clone());
    assert_eq!(&*connect("/hops/5").expect("five redirects"), "/hops/0");
    assert_eq!(&*connect("/a/relative").expect("a relative one"), "/a/end?x=%0d%0a");
    assert_eq!(&*connect("/up").expect("a relative one"), "/end/");
    for (target, expected) in [
        ("/hops/6", RedirectError::TooMany),
        ("/loop", RedirectError::TooMany),
        ("/none", RedirectError::NoLocation),
        ("/two", RedirectError::NoLocation),
        ("/script", RedirectError::Location),
        ("/file", RedirectError::Location),
        ("/bytes", RedirectError::Location),
        ("/space", RedirectError::Location),
        ("/user", RedirectError::Location),
    ] {
        match connect(target) {
            Err(ConnectError::Redirect(error)) => assert_eq!(error, expected, "{target}"),
            other => panic!("{target}: {other:?}"),
        }
    }
    assert!(matches!(connect("/line"), Err(ConnectError::Handshake(ClientError::Malformed))));
    assert!(matches!(connect("/long"), Err(ConnectError::Handshake(ClientError::HeadTooLarge))));
    // It is followed to a port where nobody listens.
    let secure = connect("/secure");
    assert!(matches!(secure, Err(ConnectError::Connect(_) | ConnectError::Tls(TlsError::NoRoots))), "{secure:?}");
    // Off unless asked for. Nobody waits for the body that does not come.
    let refused = Client::new().connect_timeout(Duration::from_millis(300)).connect(&server.url("/loop"));
    assert!(matches!(refused, Err(ConnectError::Refused(answer)) if answer.status == 302));
}

#[test]
fn who_the_client_is_stays_behind_at_another_origin() {
    // Hostile input 107.
    let other = Arc::new(Mutex::new(String::new()));
    let back = Arc::clone(&other);
    let itself = Arc::new(Mutex::new(String::new()));
    let own = Arc::clone(&itself);
    let server = Scripted::start(move |target| match target {
        "/away" => found(&format!("http://{}/back", back.lock())),
        "/same" => found("/end"),
        "/as" => found(&format!("//other:word@{}/end", own.lock())),
        _ => Vec::new(),
    });
    *itself.lock() = server.address.clone();
    let address = server.address.clone();
    let foreign = Scripted::start(move |_| found(&format!("ws://{address}/end")));
    *other.lock() = foreign.address.clone();
    let client = Client::new()
        .redirects(5)
        .bearer("secret")
        .cookie("session", "secret")
        .header("Proxy-Authorization", "secret")
        .host("secret.example")
        .header("X-Other", "goes along")
        .origin("https://example.com");
    client.connect(&server.url("/same")).expect("it is followed");
    for request in &*server.requests.lock() {
        assert!(request.contains("Authorization: Bearer secret\r\n") && request.contains("Cookie: session=secret\r\n"));
    }
    server.requests.lock().clear();
    client.connect(&server.url("/away")).expect("it is followed");
    // Also where it leads back: whoever has sent it there is not to be trusted with that.
    let requests = [foreign.requests.lock().clone(), server.requests.lock().split_off(1)].concat();
    assert_eq!(requests.len(), 2);
    for request in requests {
        assert!(!request.contains("secret"), "{request}");
        assert!(request.contains("X-Other: goes along\r\n") && request.contains("Origin: https://example.com\r\n"));
    }
    // User and password of the URL are the first server's too.
    server.requests.lock().clear();
    let with_user = format!("ws://user:password@{}/away", server.address);
    Client::new().redirects(5).connect(&with_user).expect("it is followed");
    let requests = server.requests.lock().clone();
    assert!(requests[0].contains("Authorization: Basic dXNlcjpwYXNzd29yZA==\r\n"), "{}", requests[0]);
    assert!(!requests[1].contains("Authorization"), "{}", requests[1]);
    // At the same origin they stay, whoever the Location names.
    for target in ["/same", "/as"] {
        server.requests.lock().clear();
        let with_user = format!("ws://user:password@{}{target}", server.address);
        Client::new().redirects(5).connect(&with_user).expect("it is followed");
        let requests = server.requests.lock().clone();
        assert_eq!(requests.len(), 2);
        for request in requests {
            assert!(request.contains("Authorization: Basic dXNlcjpwYXNzd29yZA==\r\n"), "{request}");
        }
    }
}

/// A proxy that reads what `expect` says, and answers, and so on.
fn proxy(script: Vec<(&'static [u8], Vec<u8>)>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    thread::spawn(move || {
        let mut peer = Peer::accept(&listener);
        let mut read = 0;
        for (expected, answer) in script {
            let all = peer.read_until("what is expected", |received| received.len() >= read + expected.len());
            assert_eq!(&all[read..read + expected.len()], expected);
            read += expected.len();
            peer.send(&answer);
        }
        peer.read_to_end();
    });
    address
}

fn through(proxy: &str) -> ConnectError {
    let proxy: Proxy = proxy.parse().expect("a proxy");
    let client = Client::new().proxy(proxy).connect_timeout(Duration::from_secs(5));
    client.connect("ws://server.example.com/").expect_err("it does not let through")
}

#[test]
fn an_http_proxy_that_does_not_let_through_is_an_error() {
    // Hostile input 114.
    const CONNECT: &[u8] = b"CONNECT server.example.com:80 HTTP/1.1\r\nHost: server.example.com:80\r\n\r\n";
    let answers = |answer: &[u8]| through(&format!("http://{}", proxy(vec![(CONNECT, answer.to_vec())])));
    let refused = answers(b"HTTP/1.1 407 Who?\r\nProxy-Authenticate: Basic\r\nContent-Length: 2\r\n\r\nno");
    let ConnectError::Proxy(ProxyError::Refused(answer)) = refused else { panic!("{refused:?}") };
    assert_eq!((answer.status, &answer.body[..]), (407, &b"no"[..]));
    assert_eq!(answer.header("Proxy-Authenticate"), Some(&b"Basic"[..]));
    let endless = [&b"HTTP/1.1 200 OK\r\n"[..], &b"X: a\r\n".repeat(1000)].concat();
    for (answer, expected) in [
        (&endless[..], "the head of the response is too large"),
        (b"SSH-2.0-OpenSSH\r\n", "the response is malformed"),
        (b"\x05\x00", "the response is malformed"),
    ] {
        match answers(answer) {
            ConnectError::Proxy(error @ ProxyError::Answer(_)) => {
                let source = std::error::Error::source(&error).expect("it has one");
                assert_eq!(source.to_string(), expected);
            }
            other => panic!("{other:?}"),
        }
    }
    let early = answers(b"HTTP/1.0 200 OK\r\n\r\nHTTP/1.1 101 Switching Protocols\r\n");
    assert!(matches!(early, ConnectError::Proxy(ProxyError::EarlyBytes)), "{early:?}");
}

#[test]
fn a_socks_proxy_that_does_not_let_through_is_an_error() {
    // Hostile input 114.
    const REQUEST: &[u8] = b"\x05\x01\x00\x03\x12server.example.com\x00\x50";
    let plain = |script| through(&format!("socks5://{}", proxy(script)));
    for (script, expected) in [
        (vec![(&b"\x05\x01\x00"[..], b"\x05\xff".to_vec())], ProxyError::NoMethod),
        // A way that was not offered.
        (vec![(b"\x05\x01\x00", b"\x05\x02".to_vec())], ProxyError::NoMethod),
        (vec![(b"\x05\x01\x00", b"\x04\x00".to_vec())], ProxyError::NotSocks5),
        (vec![(b"\x05\x01\x00", b"HTTP/1.1 400 ".to_vec())], ProxyError::NotSocks5),
        (vec![(b"\x05\x01\x00", b"\x05\x00".to_vec()), (REQUEST, b"\x05\x02\x00\x01".to_vec())], ProxyError::Reply(2)),
        (vec![(b"\x05\x01\x00", b"\x05\x00".to_vec()), (REQUEST, b"\x05\x00\x00\x09".to_vec())], ProxyError::NotSocks5),
    ] {
        let error = plain(script);
        let ConnectError::Proxy(error) = error else { panic!("{error:?}") };
        assert_eq!(format!("{error:?}"), format!("{expected:?}"));
    }
    let with_user = vec![(&b"\x05\x02\x00\x02"[..], b"\x05\x02".to_vec()), (b"\x01\x01u\x02pw", b"\x01\x01".to_vec())];
    let error = through(&format!("socks5://u:pw@{}", proxy(with_user)));
    assert!(matches!(error, ConnectError::Proxy(ProxyError::Credentials)), "{error:?}");
    // It ends amid its answer.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let ending = thread::spawn(move || {
        let mut peer = Peer::accept(&listener);
        peer.read_until("a greeting", |received| received.len() == 3);
        peer.send(b"\x05");
    });
    let error = through(&format!("socks5h://{address}"));
    assert!(matches!(error, ConnectError::EndOfStream), "{error:?}");
    join(ending);
    // More than the protocol has room for, or nothing.
    for user in ["", &"u".repeat(256)] {
        let proxy: Proxy = "socks5://127.0.0.1:1".parse().expect("a proxy");
        let outcome = Client::new().proxy(proxy.credentials(user, "pw")).connect("ws://a/");
        assert!(matches!(outcome, Err(ConnectError::Credentials)), "{outcome:?}");
    }
}

#[test]
fn what_a_proxy_is_told_is_not_told_to_the_server() {
    // Hostile input 114.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let both = thread::spawn(move || {
        let mut peer = Peer::accept(&listener);
        let connect = peer.take_request();
        peer.send(b"HTTP/1.1 200 OK\r\n\r\n");
        // From here on it is the server.
        let request = peer.take_request();
        peer.send(&head::answering(&Vec::from(head::response()), &key_of(&request)));
        (connect, request)
    });
    let proxy: Proxy = format!("http://user:password@{address}").parse().expect("a proxy");
    let client = Client::new().proxy(proxy).bearer("token");
    client.connect("ws://server.example.com/").expect("it lets through");
    let (connect, request) = join(both);
    assert!(connect.contains("Proxy-Authorization: Basic dXNlcjpwYXNzd29yZA==\r\n") && !connect.contains("token"));
    assert!(request.contains("Authorization: Bearer token\r\n") && !request.contains("Proxy-Authorization"));
    assert!(request.contains("Host: server.example.com\r\n"), "{request}");
}

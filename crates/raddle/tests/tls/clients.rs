//! Clients on their way to a server of wss.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use raddle::{
    Acceptance, Client, ClientCertificates, ConnectError, Proxy, RedirectError, Request, Response, Stage, TlsError,
};

use rustls::{ServerConnection, StreamOwned};

use crate::authority::{Authority, Issued, named};
use crate::certificates::server_config;
use crate::support::{self, *};

/// A proxy that lets one client through to `port`, which asks for it by the name `localhost`.
fn proxy(scheme: &'static str, port: u16) -> Proxy {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    thread::spawn(move || {
        let (mut client, _) = listener.accept().expect("a client");
        let answer: &[u8] = match scheme {
            "http" => {
                let head = read_head(&mut client);
                let asked = format!("CONNECT localhost:{port} HTTP/1.1\r\n");
                assert!(head.starts_with(asked.as_bytes()), "{}", head.escape_ascii());
                b"HTTP/1.1 200 Connection established\r\n\r\n"
            }
            _ => {
                // RFC 1928: a greeting with one method, and CONNECT with a name.
                assert_eq!(read(&mut client), [5, 1, 0]);
                client.write_all(&[5, 0]).expect("it reads");
                assert_eq!(read(&mut client), [5, 1, 0, 3, 9]);
                assert_eq!((&read(&mut client), read(&mut client)), (b"localhost", port.to_be_bytes()));
                &[5, 0, 0, 1, 127, 0, 0, 1, 0, 0]
            }
        };
        let server = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
        client.write_all(answer).expect("it reads");
        let (mut from, mut to) = (client.try_clone().expect("a socket"), server.try_clone().expect("a socket"));
        let there = thread::spawn(move || std::io::copy(&mut from, &mut to));
        let (mut from, mut to) = (server, client);
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(std::net::Shutdown::Both);
        let _ = there.join();
    });
    format!("{scheme}://{address}").parse().expect("a proxy")
}

fn read<const N: usize>(stream: &mut TcpStream) -> [u8; N] {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).expect("the client goes on");
    bytes
}

fn read_head(stream: &mut TcpStream) -> Vec<u8> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.extend(read::<1>(stream));
    }
    head
}

#[test]
fn the_way_through_a_proxy_is_encrypted_to_its_end() {
    let authority = Authority::new("ours");
    let echo_server = Echo::start(Engine::Threads, &tls(&authority.local()));
    for scheme in ["http", "socks5h"] {
        let client = client(&authority).proxy(proxy(scheme, echo_server.address.port()));
        echo(&mut client.connect(&echo_server.url("localhost")).expect("it leads there"), scheme);
    }
}

#[test]
fn a_redirect_to_a_server_without_tls_is_not_followed() {
    // Hostile input 107.
    let authority = Authority::new("ours");
    let plain = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = plain.local_addr().expect("bound");
    let server = Echo::start_with(Engine::Threads, &tls(&authority.local()), |builder| {
        builder.on_request(move |request: Request| {
            let location = match request.target() {
                "/ws" => format!("ws://{address}/"),
                "/http" => format!("http://{address}/"),
                _ => {
                    let _ = request.accept();
                    return;
                }
            };
            let found = Response::new(302).and_then(|answer| answer.header("Location", location));
            let _ = request.respond(found.expect("it is in order"));
        })
    });
    let client = client(&authority).redirects(5).bearer("secret");
    let url = server.url("localhost");
    for scheme in ["ws", "http"] {
        let led = client.connect(&format!("{url}{scheme}")).map(drop);
        assert!(matches!(led, Err(ConnectError::Redirect(RedirectError::Downgrade))), "{scheme}: {led:?}");
    }
    echo(&mut client.connect(&url).expect("it serves"), "Hello");
    plain.set_nonblocking(true).expect("a socket");
    assert!(plain.accept().is_err(), "the client has been there");
}

#[test]
fn a_server_that_stops_amid_the_handshake_costs_the_time_that_there_is_and_no_more() {
    let authority = Authority::new("ours");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("wss://{}/", listener.local_addr().expect("bound"));
    let begun = Instant::now();
    let time = Duration::from_millis(300);
    let said = client(&authority).connect_timeout(time).connect(&url).map(drop);
    assert!(matches!(said, Err(ConnectError::Timeout { stage: Stage::Tls, .. })), "{said:?}");
    assert!(begun.elapsed() >= time);
    drop(listener);
}

#[test]
fn a_handshake_that_stands_still_can_be_given_up() {
    // Hostile input 274, for a client amid the handshake of TLS.
    let authority = Authority::new("ours");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("wss://{}/", listener.local_addr().expect("bound"));
    let stopped = AtomicBool::new(false);
    thread::scope(|scope| {
        let client = client(&authority).connect_timeout(LIMIT);
        let (url, stop) = (&url, &stopped);
        let attempt = scope.spawn(move || client.connect_answered(url, stop).map(drop));
        let (mut reached, _) = listener.accept().expect("it connects");
        // The beginning of its ClientHello.
        assert_eq!(read::<1>(&mut reached), [0x16]);
        let begun = Instant::now();
        stopped.store(true, Ordering::Relaxed);
        let given_up = attempt.join().expect("it does not panic");
        assert!(matches!(given_up, Err(ConnectError::Stopped)), "{given_up:?}");
        assert!(begun.elapsed() < LIMIT / 2, "{:?}", begun.elapsed());
    });
}

#[test]
fn a_response_that_breaks_off_is_an_error_whether_its_end_is_said_or_not() {
    // Hostile inputs 336 and 337, for a client amid the opening handshake.
    let authority = Authority::new("ours");
    for is_said in [true, false] {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("wss://localhost:{}/", listener.local_addr().expect("bound").port());
        let tls = ServerConnection::new(server_config(&authority.local())).expect("a server");
        let serving = thread::spawn(move || {
            let mut stream = StreamOwned::new(tls, listener.accept().expect("a client").0);
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).expect("the client goes on");
                head.extend(byte);
            }
            stream.write_all(b"HTTP/1.1 101 Switching Pro").expect("the client reads");
            if is_said {
                stream.conn.send_close_notify();
            }
            stream.flush().expect("the client reads");
            stream.sock.shutdown(Shutdown::Write).expect("a connected socket");
            // Until the client has gone.
            let _ = stream.sock.read_to_end(&mut head);
        });
        let said = client(&authority).connect(&url).map(drop);
        assert!(matches!(said, Err(ConnectError::EndOfStream)), "{said:?}, {is_said}");
        join(serving);
    }
}

#[test]
fn a_client_is_a_value_whose_clones_share_their_sessions() {
    let authority = Authority::new("ours");
    let echo_server = Echo::start(Engine::Pool, &tls(&authority.local()));
    let client: Client = client(&authority);
    let url = echo_server.url("localhost");
    let threads: Vec<_> = (0..4)
        .map(|number| {
            let (client, url) = (client.clone(), url.clone());
            thread::spawn(move || {
                for round in 0..5 {
                    echo(&mut client.connect(&url).expect("it serves"), &format!("{number} {round}"));
                }
            })
        })
        .collect();
    threads.into_iter().for_each(join);
}

/// A server that leads to `location`, and wants to know who its clients are.
fn leading_to(location: String, issued: &Issued, clients: &Authority) -> Echo {
    let tls = builder(issued).client_certificate_pem(ClientCertificates::Required, clients.root());
    Echo::start_with(Engine::Threads, &tls.build().expect("in order"), move |builder| {
        builder.on_request(move |request| {
            assert!(request.client_certificate().is_some(), "it has said who it is");
            let response = Response::new(302).and_then(|it| it.header("Location", &location)).expect("in order");
            request.respond(response).expect("in time");
        })
    })
}

#[test]
fn a_redirect_to_somebody_else_takes_no_certificate_along_and_no_name_that_was_set() {
    let (ours, clients) = (Authority::new("ours"), Authority::new("clients"));
    let ada = clients.issue_with(&["ada.example"], named("Ada"));
    let internal = ours.issue(&["a.internal"]);
    let tls = trusting(&ours).certificate_pem(&ada.chain, &ada.key).expect("they belong together");
    let tls = tls.server_name("a.internal").expect("a name");
    let client = Client::new().tls(tls).redirects(3);

    // It asks for a certificate, and takes whatever the clients' authority has signed.
    let asking = builder(&ours.local()).client_certificate_pem(ClientCertificates::Optional, clients.root());
    let curious = Echo::start_with(Engine::Threads, &asking.build().expect("in order"), |builder| {
        builder.on_request(|request| {
            let shown = request.client_certificate().is_some();
            request.accept_with(Acceptance::new().identity(if shown { "known" } else { "nobody" })).expect("in time");
        })
    });
    let first = leading_to(curious.url("localhost"), &internal, &clients);
    let mut connection = client.connect(&first.url("localhost")).expect("it is who the URL says");
    echo(&mut connection, "Hello");
    assert_eq!(curious.server.connections_of("known").len(), 0, "somebody else has learned who the client is");
    assert_eq!(curious.server.connections_of("nobody").len(), 1);

    // Somebody else has the certificate of the server that was asked for.
    let disguised = Echo::start(Engine::Threads, &support::tls(&internal));
    let first = leading_to(disguised.url("localhost"), &internal, &clients);
    let said = client.connect(&first.url("localhost"));
    assert!(matches!(said, Err(ConnectError::Tls(TlsError::WrongName))), "{said:?}");
}

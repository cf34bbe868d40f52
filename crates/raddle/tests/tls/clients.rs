//! Clients on their way to a server of wss.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use raddle::{Client, ConnectError, Proxy, Stage};

use crate::authority::Authority;
use crate::support::*;

/// An HTTP proxy that lets one client through to `port`.
fn proxy(port: u16) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    thread::spawn(move || {
        let (mut client, _) = listener.accept().expect("a client");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            client.read_exact(&mut byte).expect("a request");
            head.push(byte[0]);
        }
        assert!(
            head.starts_with(format!("CONNECT localhost:{port} HTTP/1.1\r\n").as_bytes()),
            "{}",
            head.escape_ascii()
        );
        let server = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
        client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").expect("it reads");
        let (mut from, mut to) = (client.try_clone().expect("a socket"), server.try_clone().expect("a socket"));
        let there = thread::spawn(move || std::io::copy(&mut from, &mut to));
        let (mut from, mut to) = (server, client);
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(std::net::Shutdown::Both);
        let _ = there.join();
    });
    format!("http://{address}")
}

#[test]
fn the_way_through_a_proxy_is_encrypted_to_its_end() {
    let authority = Authority::new("ours");
    let echo_server = Echo::start(Engine::Threads, &tls(&authority.local()));
    let proxy: Proxy = proxy(echo_server.address.port()).parse().expect("a proxy");
    let mut connection =
        client(&authority).proxy(proxy).connect(&echo_server.url("localhost")).expect("it leads there");
    echo(&mut connection, "Hello");
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

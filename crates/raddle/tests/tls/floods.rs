//! Peers that send what brings nothing, or more than anybody takes.

use std::io::{ErrorKind, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use raddle::{Cause, Server};
use rustix::net::sockopt;

use crate::authority::Authority;
use crate::raw::{Raw, config};
use crate::support::*;

#[test]
fn a_flood_of_records_that_bring_nothing_ends_its_connection_and_no_other() {
    // Hostile input 340: key updates. Empty records and tickets are bounded by the count of what brings nothing.
    for engine in ENGINES {
        let authority = Authority::new("ours");
        let echo_server = Echo::start(engine, &tls(&authority.local()));
        let mut honest = client(&authority).connect(&echo_server.url("localhost")).expect("it serves");
        let mut raw = Raw::open(echo_server.address, config(&authority, |_| ()));
        raw.upgrade();
        for _ in 0..2000 {
            raw.tls.refresh_traffic_keys().expect("it is TLS 1.3");
        }
        let flood = raw.seal(b"");
        // It may be cut before all is written.
        let _ = raw.stream.write_all(&flood);
        let cause = Cause::Io(ErrorKind::InvalidData);
        eventually("it is cut", || echo_server.server.metrics().ended.get(&cause) == Some(&1));
        echo(&mut honest, "Hello");
    }
}

#[test]
fn what_nobody_reads_is_left_in_the_socket() {
    // Hostile input 341: neither records nor their bytes pile up in the server.
    let authority = Authority::new("ours");
    let (go_on, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    // What the system itself may hold is little, so that what the server takes shows.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    sockopt::set_socket_recv_buffer_size(&listener, 64 * 1024).expect("a socket");
    let server = Server::builder().tcp_listener_tls(listener, &tls(&authority.local())).expect("it listens");
    let server = server.start(move |reader, _writer| {
        // Away, and not dropped.
        let _ = wait.lock().expect("nobody panics").recv_timeout(LIMIT);
        drop(reader);
        Ok(())
    });
    let server = server.expect("it starts");
    let mut raw = Raw::open(server.local_addr(), config(&authority, |_| ()));
    raw.upgrade();
    sockopt::set_socket_send_buffer_size(&raw.stream, 64 * 1024).expect("a socket");
    raw.stream.set_write_timeout(Some(Duration::from_millis(1500))).expect("a socket");
    // A message of 64 KiB, again and again, masked with zeros.
    let message = [&[0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0][..], &[0; 0x1_0000]].concat();
    let begun = Instant::now();
    let mut written = 0;
    let stuck = loop {
        let records = raw.seal(&message[..message.len() / 2]);
        let rest = raw.seal(&message[message.len() / 2..]);
        match raw.stream.write_all(&[records, rest].concat()) {
            Ok(()) => written += message.len(),
            Err(error) => break error,
        }
        assert!(written < 64 << 20 && begun.elapsed() < LIMIT, "{written} bytes were taken");
    };
    assert_eq!(stuck.kind(), ErrorKind::WouldBlock);
    // What is read ahead is a message limit of one MiB, for a reader that is away.
    assert!(written < 4 << 20, "{written}");
    drop(go_on);
    drop(raw);
    server.stop(Duration::ZERO);
    server.join(LIMIT).expect("the handler has returned");
}

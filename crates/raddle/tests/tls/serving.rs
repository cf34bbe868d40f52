//! Servers that go on: while certificates are replaced, while everybody talks, and until they stop.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use raddle::{Cause, Close, CloseCode, ConnectError, HeadLimits, Limits, Message, TlsError};

use crate::authority::Authority;
use crate::support::*;

#[test]
fn either_engine_echoes_messages_of_every_size() {
    for engine in ENGINES {
        let authority = Authority::new("ours");
        let echo_server = Echo::start_with(engine, &tls(&authority.local()), |builder| {
            builder.with_options(|options| options.limits = Limits::default().message(16 << 20))
        });
        let mut connection = client(&authority).connect(&echo_server.url("localhost")).expect("it serves");
        for size in [0, 1, 125, 126, 4096, 16_383, 16_384, 16_385, 70_000, 5 << 20] {
            let sent: Vec<u8> = (0..size).map(|index: usize| ((index * 31) >> 3) as u8).collect();
            connection.send(&sent).expect("the server takes it");
            assert!(connection.next_message().expect("open") == Some(Message::Binary(&sent)), "{size}, {engine:?}");
        }
        let end = connection.close(Close::code(CloseCode::NORMAL));
        assert!(end.is_clean(), "{end:?}");
    }
}

#[test]
fn many_small_messages_of_one_record_are_all_delivered_by_the_pool() {
    // More than one read of the worker takes: what TLS has left is not waited for at the socket.
    let authority = Authority::new("ours");
    let echo_server = Echo::start(Engine::Pool, &tls(&authority.local()));
    let connection = client(&authority).connect(&echo_server.url("localhost")).expect("it serves");
    let (mut reader, writer) = connection.split();
    let sending = thread::spawn(move || {
        for round in 0..20_000_u32 {
            writer.send(&round.to_be_bytes()[..]).expect("the server reads");
        }
        writer
    });
    for round in 0..20_000_u32 {
        let message = reader.next_message().expect("the connection is open");
        assert_eq!(message, Some(Message::Binary(&round.to_be_bytes())));
    }
    join(sending);
}

#[test]
fn a_head_may_be_larger_than_what_the_lobby_reads_at_a_time() {
    let authority = Authority::new("ours");
    let echo_server = Echo::start_with(Engine::Pool, &tls(&authority.local()), |builder| {
        let most = 1 << 16;
        builder.head_limits(HeadLimits { head: most, line: most, ..HeadLimits::default() })
    });
    let mut raw = crate::raw::Raw::open(echo_server.address, crate::raw::config(&authority, |_| ()));
    let mut request = crate::raw::REQUEST.to_vec();
    request.truncate(request.len() - 2);
    request.extend_from_slice(b"X-Much: ");
    request.extend(std::iter::repeat_n(b'x', 40 << 10));
    request.extend_from_slice(b"\r\n\r\n");
    let records = raw.seal(&request);
    raw.stream.write_all(&records).expect("the server reads");
    let head = raw.read_until(b"\r\n\r\n");
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", head.escape_ascii());
}

#[test]
fn a_certificate_is_replaced_while_connections_echo() {
    // Hostile input 348, usually scaled down to 60 connections.
    let count = scaled("RADDLE_TLS_CONNECTIONS", 60);
    for engine in ENGINES {
        let (before, after) = (Authority::new("before"), Authority::new("after"));
        let directory = std::env::temp_dir().join(format!("raddle-tls-{}-{engine:?}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("a directory");
        let (chain, key) = (directory.join("chain.pem"), directory.join("key.pem"));
        let put = |authority: &Authority| {
            let issued = authority.local();
            std::fs::write(&chain, issued.chain).expect("a file");
            std::fs::write(&key, issued.key).expect("a file");
        };
        put(&before);
        let tls = raddle::ServerTls::from_files(&chain, &key).expect("in order");
        let echo_server = Echo::start(engine, &tls);
        let url = echo_server.url("localhost");
        let old = client(&before);
        let mut connections: Vec<_> = (0..count).map(|_| old.connect(&url).expect("it serves")).collect();
        let done = Arc::new(AtomicBool::new(false));
        let is_done = Arc::clone(&done);
        let talking = thread::spawn(move || {
            let mut rounds = 0;
            while !is_done.load(Ordering::Relaxed) || rounds < 3 {
                connections.iter_mut().for_each(|connection| echo(connection, "Hello"));
                rounds += 1;
            }
            connections
        });
        // What is not in order changes nothing.
        std::fs::write(&key, "nothing").expect("a file");
        tls.reload().expect_err("there is no key");
        drop(old.connect(&url).expect("as before"));
        put(&after);
        tls.reload().expect("in order");
        echo(&mut client(&after).connect(&url).expect("it shows the new one"), "Hello");
        let said = client(&before).connect(&url).map(drop);
        assert!(matches!(said, Err(ConnectError::Tls(TlsError::UnknownIssuer))), "{said:?}");
        done.store(true, Ordering::Relaxed);
        let connections = join_within(10 * LIMIT, talking);
        assert_eq!(connections.len(), count);
        drop(connections);
        std::fs::remove_dir_all(&directory).expect("it is there");
    }
}

#[test]
fn both_directions_are_full_from_two_threads_each() {
    // Usually scaled down: 32 MiB each way.
    let messages = scaled("RADDLE_TLS_MIB", 32) * 16;
    for engine in ENGINES {
        let authority = Authority::new("ours");
        let echo_server = Echo::start_with(engine, &tls(&authority.local()), |builder| {
            builder.with_options(|options| options.outgoing_limit = 1 << 20)
        });
        let connection = client(&authority).connect(&echo_server.url("localhost")).expect("it serves");
        let (mut reader, writer) = connection.split();
        let sending = thread::spawn(move || {
            for round in 0..messages {
                let message = vec![round as u8; 64 << 10];
                writer.send(&message).expect("the server reads");
            }
            writer
        });
        for round in 0..messages {
            let message = reader.next_message().expect("the connection is open").expect("it is not closed");
            assert!(message.as_bytes().len() == 64 << 10 && message.as_bytes().iter().all(|byte| *byte == round as u8));
        }
        let _writer = join(sending);
        let end = reader.close(Close::code(CloseCode::NORMAL));
        assert!(end.is_clean(), "{end:?}");
    }
}

#[test]
fn a_server_that_stops_says_so_to_all() {
    for engine in ENGINES {
        let authority = Authority::new("ours");
        let echo_server = Echo::start(engine, &tls(&authority.local()));
        let url = echo_server.url("localhost");
        let mut connections: Vec<_> = (0..8).map(|_| client(&authority).connect(&url).expect("it serves")).collect();
        let _asking = crate::raw::connect(echo_server.address);
        echo_server.server.stop(Duration::from_secs(10));
        for connection in &mut connections {
            assert_eq!(connection.next_message(), Ok(None));
        }
        echo_server.server.join(LIMIT).expect("all have gone");
        let ended = echo_server.server.metrics().ended;
        assert_eq!(ended.get(&Cause::Shutdown), Some(&8), "{ended:?}");
    }
}

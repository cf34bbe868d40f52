//! Handshakes that are dripped, cut, malformed or of another protocol: each ends, and nobody else notices.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::thread;
use std::time::{Duration, Instant};

use raddle::{Client, ConnectError, Refusal, Server, TlsError};
use rustls::{AlertDescription, Error, HandshakeKind};

use crate::authority::Authority;
use crate::raw::{REQUEST, Raw, config, config_of, connect, hello, take_records, to_end};
use crate::support::*;

/// A server, who has issued its certificate, and a client that is served all the time.
fn served(engine: Engine) -> (Echo, Authority) {
    let authority = Authority::new("ours");
    (Echo::start(engine, &tls(&authority.local())), authority)
}

fn refusals(echo: &Echo) -> u64 {
    echo.server.metrics().refused.get(&Refusal::Tls).copied().unwrap_or_default()
}

#[test]
fn a_handshake_may_come_byte_by_byte_and_in_any_records() {
    // Hostile input 335: a byte at a time, and a byte of it in each record.
    for engine in ENGINES {
        let (echo_server, authority) = served(engine);
        let mut raw = Raw::new(echo_server.address, config(&authority, |_| ()), "localhost");
        for byte in take_records(&mut raw.tls) {
            raw.stream.write_all(&[byte]).expect("the server reads");
        }
        raw.shake_hands().expect("it was all");
        let request = raw.seal(REQUEST);
        for byte in request {
            raw.stream.write_all(&[byte]).expect("the server reads");
        }
        let head = raw.read_until(b"\r\n\r\n");
        assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", head.escape_ascii());

        let mut raw = Raw::new(echo_server.address, config(&authority, |_| ()), "localhost");
        let whole = take_records(&mut raw.tls);
        let split: Vec<u8> = whole[5..].iter().flat_map(|byte| [0x16, 3, 1, 0, 1, *byte]).collect();
        raw.stream.write_all(&split).expect("the server reads");
        raw.shake_hands().expect("it was all");
        raw.upgrade();
    }
}

#[test]
fn a_hello_that_announces_or_brings_too_much_is_refused() {
    // Hostile input 335: lengths of 16 MiB, and 65 KiB that do come.
    let (echo_server, authority) = served(Engine::Threads);
    let endless = [&[0x16, 3, 1, 0, 4, 1, 0xff, 0xff, 0xff][..], &[0; 16]].concat();
    let mut large = Vec::new();
    for part in 0..5 {
        large.extend([0x16, 3, 1, 0x40, 0]);
        large.extend(if part == 0 { [&[1, 1, 0x40, 0][..], &[3; 0x3ffc]].concat() } else { vec![3; 0x4000] });
    }
    for hello in [endless, large] {
        let mut stream = connect(echo_server.address);
        // It may be refused before all is written.
        let _ = stream.write_all(&hello);
        let answer = to_end(&mut stream);
        assert!(answer.is_empty() || answer.starts_with(&[0x15]), "{}", answer.escape_ascii());
    }
    eventually("both are refused", || refusals(&echo_server) == 2);
    echo(&mut client(&authority).connect(&echo_server.url("localhost")).expect("it serves on"), "Hello");
}

#[test]
fn plain_http_is_answered_at_once_on_a_port_of_tls_and_tls_on_a_plain_one() {
    // Hostile input 338.
    let (echo_server, authority) = served(Engine::Threads);
    let mut stream = connect(echo_server.address);
    stream.write_all(REQUEST).expect("the server reads");
    let answer = to_end(&mut stream);
    assert!(answer.starts_with(b"HTTP/1.1 400 "), "{}", answer.escape_ascii());
    let said = Client::new().connect(&echo_server.url("localhost").replace("wss:", "ws:")).map(drop);
    assert!(matches!(&said, Err(ConnectError::Refused(answer)) if answer.status == 400), "{said:?}");
    // What is neither gets an alert.
    let mut stream = connect(echo_server.address);
    stream.write_all(b"\x05\x01\x00").expect("the server reads");
    stream.write_all(&[0; 8]).expect("the server reads");
    assert!(to_end(&mut stream).starts_with(&[0x15, 3]));

    let plain = Server::builder().bind("127.0.0.1:0").expect("a port").start(|_, _| Ok(())).expect("it starts");
    let said = client(&authority).connect(&format!("wss://localhost:{}/", plain.local_addr().port())).map(drop);
    assert!(matches!(said, Err(ConnectError::Tls(TlsError::NotTls))), "{said:?}");
    plain.stop(Duration::ZERO);
    plain.join(LIMIT).expect("it has ended");
}

/// The ClientHello of a client that knows this version, and one cipher suite.
fn old_hello(version: [u8; 2], suite: [u8; 2]) -> Vec<u8> {
    let mut body = version.to_vec();
    body.extend([7; 32]);
    body.extend([0, 0, 2, suite[0], suite[1], 1, 0]);
    // Extensions: signature_algorithms and supported_groups, as TLS 1.2 has them.
    let extensions = [0, 13, 0, 4, 0, 2, 4, 3, 0, 10, 0, 4, 0, 2, 0, 23];
    if version[1] > 0 {
        body.extend([0, extensions.len() as u8]);
        body.extend(extensions);
    }
    let mut message = vec![1, 0, 0, body.len() as u8];
    message.extend(body);
    [&[0x16, 3, version[1].min(1), 0, message.len() as u8][..], &message].concat()
}

#[test]
fn old_versions_and_foreign_protocols_get_the_alert_that_says_so() {
    // Hostile input 339.
    const ECDHE_ECDSA_AES128_GCM: [u8; 2] = [0xc0, 0x2b];
    const RSA_RC4_MD5: [u8; 2] = [0, 4];
    const PROTOCOL_VERSION: u8 = 70;
    const HANDSHAKE_FAILURE: u8 = 40;
    let (echo_server, authority) = served(Engine::Pool);
    for (what, version, suite, alert) in [
        // SSL 3 has no alert for versions.
        ("SSL 3", [3, 0], ECDHE_ECDSA_AES128_GCM, HANDSHAKE_FAILURE),
        ("TLS 1.0", [3, 1], ECDHE_ECDSA_AES128_GCM, PROTOCOL_VERSION),
        ("TLS 1.1", [3, 2], ECDHE_ECDSA_AES128_GCM, PROTOCOL_VERSION),
        ("TLS 1.2 with RC4", [3, 3], RSA_RC4_MD5, HANDSHAKE_FAILURE),
    ] {
        let mut stream = connect(echo_server.address);
        stream.write_all(&old_hello(version, suite)).expect("the server reads");
        let answer = to_end(&mut stream);
        assert!(matches!(answer[..], [0x15, 3, _, 0, 2, 2, found] if found == alert), "{what}: {answer:?}");
    }
    // The same with a cipher suite that both have goes on.
    let mut stream = connect(echo_server.address);
    stream.write_all(&old_hello([3, 3], ECDHE_ECDSA_AES128_GCM)).expect("the server reads");
    let mut answer = [0; 6];
    stream.read_exact(&mut answer).expect("an answer");
    assert_eq!((answer[0], answer[5]), (0x16, 2), "no ServerHello: {answer:?}");
    drop(stream);

    let protocols = |names: &[&str]| {
        let names = names.iter().map(|name| name.as_bytes().to_vec()).collect();
        config(&authority, |config| config.alpn_protocols = names)
    };
    for (offered, agreed) in
        [(&["h2", "http/1.1"][..], Some(&b"http/1.1"[..])), (&["http/1.1"], Some(b"http/1.1")), (&[], None)]
    {
        let mut raw = Raw::open(echo_server.address, protocols(offered));
        assert_eq!(raw.tls.alpn_protocol(), agreed, "{offered:?}");
        raw.upgrade();
    }
    let error =
        Raw::new(echo_server.address, protocols(&["h2"]), "localhost").shake_hands().expect_err("h2 is not spoken");
    let error = error.get_ref().and_then(|error| error.downcast_ref::<Error>()).expect("of TLS").clone();
    assert_eq!(error, Error::AlertReceived(AlertDescription::NoApplicationProtocol));

    let silent = config(&authority, |config| config.enable_sni = false);
    Raw::open(echo_server.address, silent).upgrade();
}

#[test]
fn an_end_amid_the_handshake_or_before_the_request_leaves_nothing() {
    // Hostile input 336.
    let (echo_server, authority) = served(Engine::Threads);
    let hello = hello(config(&authority, |_| ()));
    // A close_notify in place of a hello, and behind one.
    const CLOSE_NOTIFY: &[u8] = &[0x15, 3, 3, 0, 2, 1, 0];
    for sent in [CLOSE_NOTIFY.to_vec(), [&hello, CLOSE_NOTIFY].concat(), hello[..20].to_vec(), hello] {
        let mut stream = connect(echo_server.address);
        stream.write_all(&sent).expect("the server reads");
        stream.shutdown(Shutdown::Write).expect("it is open");
        to_end(&mut stream);
    }
    for sent in [&b""[..], &REQUEST[..20]] {
        let mut raw = Raw::open(echo_server.address, config(&authority, |_| ()));
        raw.write(sent);
        raw.tls.send_close_notify();
        raw.write(b"");
        to_end(&mut raw.stream);
    }
    eventually("all have gone", || echo_server.server.metrics().connections == 0);
}

#[test]
fn a_reset_at_any_byte_of_the_handshake_leaves_nothing() {
    // Hostile input 347, scaled down to each byte of a hello and each record behind it.
    let (echo_server, authority) = served(Engine::Threads);
    let reset = |stream: &std::net::TcpStream| {
        rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO)).expect("a socket");
    };
    let hello = hello(config(&authority, |_| ()));
    let descriptors = || std::fs::read_dir("/proc/self/fd").expect("Linux").count();
    let before = descriptors();
    for end in 0..hello.len() {
        let mut stream = connect(echo_server.address);
        stream.write_all(&hello[..end]).expect("the server reads");
        reset(&stream);
    }
    for rest in [0, 1, 20] {
        let mut raw = Raw::new(echo_server.address, config(&authority, |_| ()), "localhost");
        let first = take_records(&mut raw.tls);
        raw.stream.write_all(&first).expect("the server reads");
        while !raw.tls.wants_write() {
            raw.tls.read_tls(&mut raw.stream).expect("an answer");
            raw.tls.process_new_packets().expect("it is in order");
        }
        let second = take_records(&mut raw.tls);
        raw.stream.write_all(&second[..rest]).expect("the server reads");
        reset(&raw.stream);
    }
    eventually("all have gone", || echo_server.server.metrics().connections == 0);
    // Other tests of this process open descriptors as well, but none by the hundred.
    assert!(descriptors() < before + hello.len() / 2, "{before} descriptors, and then {}", descriptors());
    echo(&mut client(&authority).connect(&echo_server.url("localhost")).expect("it serves on"), "Hello");
}

#[test]
fn handshakes_that_stand_still_or_drip_end_with_their_time_and_hold_nobody_up() {
    // Hostile input 239: one deadline for TLS and HTTP, whatever of them has come, and however slowly.
    for engine in ENGINES {
        let authority = Authority::new("ours");
        let time = Duration::from_secs(3);
        let echo_server = Echo::start_with(engine, &tls(&authority.local()), |builder| builder.handshake_timeout(time));
        let mut opened = client(&authority).connect(&echo_server.url("localhost")).expect("it is quick");
        let hello = hello(config(&authority, |_| ()));
        let begun = Instant::now();
        let mut stopped = Vec::new();
        for end in [0, 1, 5, hello.len() - 1, hello.len()] {
            let mut stream = connect(echo_server.address);
            stream.write_all(&hello[..end]).expect("the server reads");
            stopped.push(stream);
        }
        let mut silent = Raw::open(echo_server.address, config(&authority, |_| ()));
        silent.write(&REQUEST[..30]);
        stopped.push(silent.stream);
        let mut dripping = connect(echo_server.address);
        stopped.push(dripping.try_clone().expect("a socket"));
        let dripping = thread::spawn(move || {
            // Twenty seconds and more, if it is let.
            hello
                .iter()
                .take_while(|byte| {
                    thread::sleep(Duration::from_millis(100));
                    dripping.write_all(&[**byte]).is_ok()
                })
                .count()
        });
        // It is through TLS, and begins with its request when most of its time is over.
        let mut late = Raw::open(echo_server.address, config(&authority, |_| ()));
        let connected = Instant::now();
        while begun.elapsed() < time * 2 / 3 {
            echo(&mut opened, "Hello");
        }
        late.write(&REQUEST[..30]);
        for mut stream in stopped {
            to_end(&mut stream);
        }
        assert!(begun.elapsed() >= time, "they had their time");
        to_end(&mut late.stream);
        // A time of its own for the request would be two thirds more.
        assert!(connected.elapsed() < time * 3 / 2, "{:?} for a request in {time:?}", connected.elapsed());
        assert!(join(dripping) < 100, "it was let drip to the end");
        eventually("they are counted", || {
            echo_server.server.metrics().refused.get(&Refusal::Timeout).copied().unwrap_or_default() == 8
        });
        echo(&mut opened, "Hello");
    }
}

#[test]
fn sessions_are_resumed_and_nothing_comes_before_the_handshake() {
    // Hostile input 349.
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let (echo_server, authority) = served(Engine::Pool);
        let eager = config_of(&authority, &[version], |config| config.enable_early_data = true);
        let mut first = Raw::open(echo_server.address, eager.clone());
        first.upgrade();
        assert_eq!(first.tls.handshake_kind(), Some(HandshakeKind::Full));
        let mut second = Raw::new(echo_server.address, eager, "localhost");
        // The server has said that it takes none, so there is none.
        assert!(second.tls.early_data().is_none(), "{version:?}");
        second.shake_hands().expect("a handshake");
        second.upgrade();
        assert_eq!(second.tls.handshake_kind(), Some(HandshakeKind::Resumed), "{version:?}");
    }
}

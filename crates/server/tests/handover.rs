//! A server's place on its port: before it serves, beside another one, and after its process has left without a word.

mod common;

use std::collections::HashSet;
use std::io::Write;
use std::net::{Shutdown, TcpListener};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::*;
use parking_lot::Mutex;
use raddle_core::OpCode;
use raddle_server::{HandlerError, Message, Refusal, Server, Writer};

#[test]
fn a_thousand_clients_may_connect_before_the_server_takes_the_first() {
    // Hostile inputs 268 and 294, the latter while nobody has given it a handler.
    let allowed = std::fs::read_to_string("/proc/sys/net/core/somaxconn").expect("it is told");
    let waiting = allowed.trim().parse::<usize>().expect("a number").min(1_000);
    let server = listening(|builder| builder.max_connections(2_000).max_handshakes(2_000));
    let mut asking: Vec<_> = (0..waiting).map(|_| Asking::silently(server.local_addr())).collect();
    let request = OFFER.encode().expect("valid");
    asking.iter_mut().for_each(|asking| asking.say(&request));
    assert_eq!(server.metrics().accepted, 0);
    start_echo(&server).expect("it starts");
    let mut clients: Vec<_> = asking.into_iter().map(|asking| asking.accepted().0).collect();
    clients.iter_mut().for_each(assert_echo);
    assert_eq!(server.metrics().opened, waiting as u64);
    drop(clients);
    finish(&server);
}

#[test]
fn what_a_client_has_sent_is_found_before_that_it_has_gone() {
    // Hostile input 265: the request and the end of the stream are there together, and others are shed at the same moment.
    let server = echoing(|builder| builder.max_handshakes(4));
    let (request, rounds) = (OFFER.encode().expect("valid"), 20);
    for _ in 0..rounds {
        let asking: Vec<_> = (0..10)
            .map(|number| {
                let mut asking = Asking::silently(server.local_addr());
                if number % 2 == 0 {
                    // These fail where it was shed by then.
                    let _ = asking.stream.write_all(&request);
                    let _ = asking.stream.shutdown(Shutdown::Write);
                }
                asking
            })
            .collect();
        for (number, asking) in asking.into_iter().enumerate() {
            if number % 2 == 0
                && let Some(mut client) = asking.opened()
            {
                client.expect_end();
            }
        }
    }
    eventually("all have left", || server.metrics().connections == 0);
    let metrics = server.metrics();
    assert!(metrics.opened > 0, "{metrics:?}");
    let shed = metrics.refused.get(&Refusal::Shed).copied().unwrap_or_default();
    let gone = metrics.refused.get(&Refusal::Gone).copied().unwrap_or_default();
    assert_eq!(metrics.opened + shed + gone, rounds * 10, "each is counted once: {metrics:?}");
    assert_echo(&mut connect(&server));
    finish(&server);
}

/// A server that notes the messages that it has answered.
fn noting(listener: &TcpListener, ledger: &Arc<Mutex<Vec<String>>>) -> Server {
    let server = Server::builder().tcp_listener(listener.try_clone().expect("a descriptor")).expect("it listens");
    let ledger = Arc::clone(ledger);
    let server = server.workers(WORKERS).build().expect("a server");
    let note = move |writer: &Writer, message: Message<'_>| -> Result<(), HandlerError> {
        if let Message::Text(text) = message {
            ledger.lock().push(text.to_owned());
        }
        answer(writer, message)
    };
    ENGINE.start(&server, note).expect("it starts");
    server
}

#[test]
fn while_one_server_takes_the_place_of_another_nobody_is_refused_and_no_message_is_lost() {
    // Hostile inputs 357 and 360: both have the same listening socket, as a process and the one that follows it.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    let ledger = Arc::<Mutex<Vec<String>>>::default();
    let mut server = noting(&listener, &ledger);
    let stop = Arc::<AtomicBool>::default();
    let coming: Vec<_> = (0..4)
        .map(|thread| {
            let (stop, request) = (Arc::clone(&stop), OFFER.encode().expect("valid"));
            thread::spawn(move || {
                let mut acknowledged = Vec::new();
                for number in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let mut asking = Asking::silently(address);
                    // It may be told that the server stops, at any time, and then comes again.
                    let _ = asking.stream.write_all(&request);
                    let Some(mut client) = asking.opened() else { continue };
                    for part in 0..5 {
                        let message = format!("{thread} {number} {part}");
                        let frame = client.encode(&text(&message));
                        let _ = client.stream.write_all(&frame);
                        match client.next_frame(LIMIT) {
                            Ok(Some(frame)) if frame.opcode == OpCode::Text => acknowledged.push(message),
                            _ => break,
                        }
                    }
                }
                acknowledged
            })
        })
        .collect();
    for _ in 0..5 {
        thread::sleep(Duration::from_millis(60));
        let next = noting(&listener, &ledger);
        server.stop(Duration::from_secs(1));
        server.join(LIMIT).expect("all handlers have returned");
        server = next;
    }
    stop.store(true, Ordering::Relaxed);
    let acknowledged: Vec<String> = coming.into_iter().flat_map(|thread| join(thread, LIMIT)).collect();
    finish(&server);
    let ledger = ledger.lock();
    let noted: HashSet<_> = ledger.iter().collect();
    assert_eq!(noted.len(), ledger.len(), "a message was delivered twice");
    assert!(acknowledged.iter().all(|message| noted.contains(message)), "a message was lost");
    assert!(acknowledged.len() > 100, "{} messages", acknowledged.len());
}

/// Says to this test's program, started again by the test, that it is to leave.
const LEAVES: &str = "RADDLE_TEST_LEAVES";

#[test]
fn a_process_may_end_without_stopping_its_server() {
    // Hostile input 358: by returning from `main`, and by exiting in the middle of it, which runs handlers of the C library.
    if let Some(how) = std::env::var_os(LEAVES) {
        let server = echoing(|builder| builder);
        let mut clients: Vec<_> = (0..10).map(|_| connect(&server)).collect();
        clients.iter_mut().for_each(assert_echo);
        let _asking = Asking::silently(server.local_addr());
        // One has more to send than its client takes.
        let id = server.connections()[0].id;
        while server.connection(id).is_some_and(|writer| writer.try_send(&[0; 64 * 1024]).is_ok()) {}
        if how == "exit" {
            std::process::exit(7);
        }
        std::mem::forget(clients);
        return;
    }
    for (how, code) in [("exit", 7), ("return", 0)] {
        let this = std::env::current_exe().expect("this program");
        let start = Instant::now();
        let mut child = Command::new(this)
            .args(["--exact", &test_of(module_path!(), "a_process_may_end_without_stopping_its_server"), "--quiet"])
            .env(LEAVES, how)
            .stdout(std::process::Stdio::null())
            .spawn()
            .expect("it starts");
        let mut status = None;
        eventually("it has ended", || {
            status = child.try_wait().expect("a child");
            status.is_some()
        });
        assert_eq!(status.and_then(|status| status.code()), Some(code), "{how}: {:?}", start.elapsed());
    }
}

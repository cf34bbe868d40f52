//! Threads and descriptors: what a server takes, and that it gives all of it back.

mod common;

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use common::*;
use parking_lot::{Mutex, MutexGuard};
use raddle_server::Server;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The threads of a server that has no connection: the attendant, the lobby and those of the pool.
const IDLE: usize = 2 + WORKERS;
/// Those that each connection has for itself.
const PER_CONNECTION: usize = if matches!(ENGINE, Engine::Threads) { 1 } else { 0 };

/// These tests count what the whole process has, so they run one at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    let alone = ALONE.lock();
    let server = echoing(|builder| builder);
    assert_echo(&mut connect(&server));
    finish(&server);
    eventually("only the attendant is left", is_the_attendant_alone);
    alone
}

/// What the process's descriptors stand for.
fn open_files() -> Vec<PathBuf> {
    let entries = fs::read_dir("/proc/self/fd").expect("there are descriptors").flatten();
    entries.map(|entry| fs::read_link(entry.path()).unwrap_or_default()).collect()
}

/// Waits until the library has `threads` and the process no more descriptors than `before`. There may be fewer of
/// these: one that the attendant had its hand on was counted perhaps.
fn all_is_given_back(before: &[PathBuf], threads: usize) {
    eventually_ok(|| {
        let (files, running) = (open_files(), library_threads());
        let all = files.len() <= before.len() && running.len() == threads;
        if all { Ok(()) } else { Err((before, files, running)) }
    });
}

#[test]
fn no_message_and_no_ping_starts_a_thread() {
    // Hostile input 237: neither a message nor a Ping starts one.
    let _alone = alone();
    let server = echoing(|builder| builder);
    eventually("the lobby is there", || library_threads().len() == IDLE);
    for count in [0, 1, 10, 50] {
        let mut clients: Vec<_> = (0..count).map(|_| connect(&server)).collect();
        for round in 0..20 {
            for client in &mut clients {
                client.send(ping(b"now"));
                client.send(text("echo"));
            }
            for client in &mut clients {
                // A Pong may leave with the echo, or before.
                assert_eq!([client.frame(), client.frame()], [pong(b"now"), text("echo")]);
            }
            if round % 5 == 0 {
                assert_eq!(library_threads().len(), IDLE + PER_CONNECTION * count, "of {count} connections");
            }
        }
        drop(clients);
        eventually("their threads have ended", || library_threads().len() == IDLE);
    }
    finish(&server);
}

#[test]
fn handshakes_that_drip_cost_no_threads() {
    // Hostile input 238, scaled down to what the descriptors of a test allow.
    let _alone = alone();
    let server = echoing(|builder| builder.max_handshakes(1_000));
    let mut dripping: Vec<_> = (0..400).map(|_| Asking::silently(server.local_addr())).collect();
    for byte in b"GET / HTTP" {
        for asking in &mut dripping {
            asking.say(&[*byte]);
        }
        assert_eq!(library_threads().len(), IDLE);
    }
    eventually("all are known", || server.metrics().connections == 400);
    assert_eq!(library_threads().len(), IDLE);
    drop(dripping);
    finish(&server);
}

#[test]
fn a_server_leaves_nothing_behind() {
    // Hostile input 280, scaled down: started or not, with clients in every state, stopped in order or cut.
    let _alone = alone();
    let before = open_files();
    for number in 0..100 {
        let server = listening(|builder| builder);
        if number % 5 == 0 {
            if number % 2 == 0 {
                server.stop(Duration::ZERO);
            }
            continue;
        }
        start_echo(&server).expect("it starts");
        let mut open = connect(&server);
        assert_echo(&mut open);
        let silent = Asking::silently(server.local_addr());
        let mut refused = Asking::silently(server.local_addr());
        refused.say(b"nonsense\r\n\r\n");
        match number % 3 {
            0 => drop((open, silent, refused)),
            1 => say_goodbye(open),
            _ => {}
        }
        server.stop(Duration::from_millis(20));
        server.join(LIMIT).expect("all handlers have returned");
    }
    all_is_given_back(&before, 1);
}

#[test]
fn a_hundred_servers_at_once_do_not_get_in_each_others_way() {
    // Hostile input 280.
    let _alone = alone();
    let before = open_files();
    let servers: Vec<Server> = (0..100).map(|_| echoing(|builder| builder)).collect();
    let mut clients: Vec<_> = servers.iter().map(connect).collect();
    clients.iter_mut().for_each(assert_echo);
    servers.iter().for_each(|server| server.stop(Duration::from_secs(10)));
    for mut client in clients {
        assert_eq!(client.frame(), close(1001, "the server stops"));
        client.send(close(1001, ""));
        client.expect_end();
    }
    for server in &servers {
        server.join(LIMIT).expect("all handlers have returned");
    }
    drop(servers);
    all_is_given_back(&before, 1);
}

#[test]
fn connections_that_die_at_every_step_leave_nothing() {
    // Hostile input 225, scaled down.
    let _alone = alone();
    let server = echoing(|builder| builder.max_connections_per_ip(500));
    eventually("the lobby is there", || library_threads().len() == IDLE);
    let before = open_files();
    let request = OFFER.encode().expect("valid");
    let dying: Vec<_> = (0..4)
        .map(|start| {
            let (address, request) = (server.local_addr(), request.clone());
            thread::spawn(move || {
                for step in (start..request.len() + 40).step_by(4) {
                    let mut asking = Asking::silently(address);
                    asking.say(&request[..step.min(request.len())]);
                    if let Some(behind) = step.checked_sub(request.len()) {
                        let (mut client, _) = asking.accepted();
                        let frames = [client.encode(&text("a message")), client.encode(&close(1000, ""))].concat();
                        client.send_bytes(&frames[..behind.min(frames.len())]);
                    }
                }
            })
        })
        .collect();
    dying.into_iter().for_each(|thread| join(thread, LIMIT));
    eventually("all have gone", || server.metrics().connections == 0);
    all_is_given_back(&before, IDLE);
    assert_echo(&mut connect(&server));
    finish(&server);
}

#[test]
fn the_librarys_threads_take_no_signals() {
    let _alone = alone();
    let server = echoing(|builder| builder);
    let mut client = connect(&server);
    assert_echo(&mut client);
    // Each by its name, which it has once it runs.
    eventually("all of them run", || library_threads().len() == IDLE + PER_CONNECTION);
    let threads = library_threads();
    for (name, mask) in threads {
        assert_eq!(not_blocked(mask), [0; 0], "{name}");
    }
    drop(client);
    finish(&server);
}

#[test]
fn a_server_that_finds_too_few_descriptors_says_so_and_leaves_nothing() {
    // Hostile input 272: however many there are, it starts whole or not at all.
    let _alone = alone();
    let before = open_files();
    let limits = getrlimit(Resource::Nofile);
    let server = listening(|builder| builder);
    let failed = (0..).take_while(|most| {
        setrlimit(Resource::Nofile, Rlimit { current: Some(*most), ..limits }).expect("it may be lowered");
        let started = start_echo(&server);
        setrlimit(Resource::Nofile, limits).expect("it was so before");
        if let Err(error) = &started {
            assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::MFILE.raw_os_error()));
            eventually("its threads have ended", is_the_attendant_alone);
        }
        assert!(*most < 1000, "it does not start");
        started.is_err()
    });
    assert!(failed.count() > 1, "nothing was lacking");
    assert_echo(&mut connect(&server));
    finish(&server);
    drop(server);
    all_is_given_back(&before, 1);
}

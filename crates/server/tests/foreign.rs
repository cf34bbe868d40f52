//! What a server shares with the rest of its process: descriptors that are others', and programs that others start.

mod common;

use std::fs;
use std::io::{Read, Seek, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use common::*;

#[test]
fn a_descriptor_that_another_thread_is_given_next_is_left_alone() {
    // Hostile input 266: numbers are free and taken again all the time, by connections and by others.
    let server = echoing(|builder| builder);
    let stop = Arc::<AtomicBool>::default();
    let others: Vec<_> = (0..4_u64)
        .map(|number| {
            let stop = Arc::clone(&stop);
            thread::spawn(move || {
                let mut rounds = 0;
                while !stop.load(Ordering::Relaxed) {
                    // A stray write, read, seek, shutdown or close would show in one of these.
                    let (mut one, mut other) = std::os::unix::net::UnixStream::pair().expect("two descriptors");
                    other.set_read_timeout(Some(LIMIT)).expect("a socket");
                    let path = std::env::temp_dir().join(format!("raddle-foreign-{}-{number}", std::process::id()));
                    let mut file = fs::File::options().create(true).truncate(true).read(true).write(true).open(&path);
                    let file = file.as_mut().expect("a file");
                    let canary = pattern(200, rounds << 8 | number);
                    file.write_all(&canary).expect("it is ours");
                    one.write_all(&canary).expect("it is ours");
                    thread::yield_now();
                    let mut read = vec![0; canary.len()];
                    other.read_exact(&mut read).expect("it is ours");
                    assert_eq!(read, canary);
                    file.rewind().and_then(|()| file.read_exact(&mut read)).expect("it is ours");
                    assert!(read == canary && file.metadata().is_ok_and(|file| file.len() == canary.len() as u64));
                    one.set_nonblocking(true).expect("it is ours");
                    let stray = one.read(&mut [0]).expect_err("nobody has written");
                    assert_eq!(stray.kind(), std::io::ErrorKind::WouldBlock);
                    fs::remove_file(&path).expect("it is ours");
                    rounds += 1;
                }
                rounds
            })
        })
        .collect();
    let clients: Vec<_> = (0..2)
        .map(|_| {
            let server = server.clone();
            thread::spawn(move || {
                for number in 0..300 {
                    let mut client = connect(&server);
                    client.send(text("echo"));
                    match number % 3 {
                        0 => say_goodbye(client),
                        1 => drop(client),
                        _ => drop(Asking::silently(server.local_addr())),
                    }
                    // Handles of connections that have ended go on being used.
                    for connection in server.connections() {
                        if let Some(writer) = server.connection(connection.id) {
                            let _ = writer.send("whoever you are");
                        }
                    }
                }
            })
        })
        .collect();
    clients.into_iter().for_each(|thread| join(thread, 3 * LIMIT));
    stop.store(true, Ordering::Relaxed);
    for thread in others {
        assert!(join(thread, LIMIT) > 10);
    }
    finish(&server);
}

#[test]
fn a_program_that_is_started_inherits_nothing() {
    // Hostile input 270: each descriptor is closed by exec from its first moment.
    let before = inherited();
    let path = std::env::temp_dir().join(format!("raddle-foreign-{}", std::process::id()));
    let server = echoing(|builder| builder.bind_unix(&path).expect("a socket"));
    let mut clients: Vec<_> = (0..3).map(|_| connect(&server)).collect();
    clients.iter_mut().for_each(assert_echo);
    let over_unix = std::os::unix::net::UnixStream::connect(&path).expect("it listens");
    let asking = Asking::silently(server.local_addr());
    eventually("all are known", || server.connections().len() == 5);
    // Output that waits for room has the attendant watch its socket.
    let id = server.connections()[0].id;
    while server.connection(id).is_some_and(|writer| writer.try_send(&[0; 64 * 1024]).is_ok()) {}
    assert!(descriptors() > 12, "there is something to inherit");
    assert_eq!(inherited(), before);
    drop((clients, asking, over_unix));
    finish(&server);
}

/// Descriptors of this process, from the fourth on, that a program it starts would have.
fn inherited() -> Vec<u32> {
    const CLOSED_BY_EXEC: u32 = 0o2_000_000;
    let flags = |number: u32| {
        let info = fs::read_to_string(format!("/proc/self/fdinfo/{number}")).ok()?;
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:"))?.trim();
        u32::from_str_radix(flags, 8).ok()
    };
    let entries = fs::read_dir("/proc/self/fd").expect("there are descriptors").flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut numbers: Vec<u32> = numbers
        .filter(|number| *number > 2 && flags(*number).is_some_and(|flags| flags & CLOSED_BY_EXEC == 0))
        .collect();
    numbers.sort_unstable();
    numbers
}

//! The budget of what all connections together have buffered: who pays where it is passed, and that nobody else does. With either
//! engine.

mod common;

use std::io::Write as _;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use common::*;
use parking_lot::Mutex;
use raddle_server::{Budget, Builder, Cause, Message, Server, WhenFull, Writer};

/// Sends a part of a message, all but the last of its bytes, and waits until the server has it. Gives what is missing.
fn send_all_but_the_end(server: &Server, client: &mut Client, length: usize) -> Vec<u8> {
    let bytes = client.encode(&binary(&pattern(length, length as u64)));
    let (start, rest) = bytes.split_at(bytes.len() - 1);
    let address = client.stream.local_addr().expect("connected");
    let received = || {
        let known = server.connections().into_iter().find(|known| known.peer == Some(address));
        known.map_or(0, |known| known.traffic.received_bytes)
    };
    client.send_bytes(start);
    eventually("it is received", || received() == start.len() as u64);
    rest.to_vec()
}

/// Sees a connection to its end that was closed with 1013.
#[track_caller]
fn expect_to_be_turned_away(mut client: Client) {
    assert_eq!(client.frame(), close(1013, "too much is buffered"));
    client.send(close(1013, ""));
    client.expect_end();
}

#[test]
fn the_connection_that_has_the_most_goes_and_the_others_live() {
    // Hostile input 230.
    for engine in ENGINES {
        let server = publishing(engine, |builder| builder.max_buffered(1_000_000));
        let mut polite = connect(&server);
        let mut clients: Vec<_> = [300_000, 200_000, 320_000, 100_000]
            .into_iter()
            .map(|length| {
                let mut client = connect(&server);
                let rest = send_all_but_the_end(&server, &mut client, length);
                (client, length, rest)
            })
            .collect();
        let used = || server.metrics().buffered_bytes;
        // With some room that their memory has, perhaps.
        eventually("all are counted", || (900_000..=970_000).contains(&used()));
        // The one that passes the limit is small: the largest goes.
        let mut small = connect(&server);
        let rest = send_all_but_the_end(&server, &mut small, 110_000);
        expect_to_be_turned_away(clients.remove(2).0);
        eventually("it counts no more", || (690_000..=770_000).contains(&used()));
        eventually("its end is told", || server.metrics().ended.get(&Cause::OverBudget) == Some(&1));
        clients.push((small, 110_000, rest));
        assert_echo(&mut polite);
        for (mut client, length, rest) in clients {
            client.send_bytes(&rest);
            assert!(client.frame() == binary(&pattern(length, length as u64)), "{length}, {engine:?}");
            assert_echo(&mut client);
            say_goodbye(client);
        }
        eventually("nothing is buffered", || used() == 0);
        say_goodbye(polite);
        finish(&server);
    }
}

#[test]
fn as_many_go_as_is_needed_and_the_sum_stays_within_the_budget() {
    // Hostile input 230.
    const LIMIT_OF_ALL: usize = 4 << 20;
    for engine in ENGINES {
        let server = publishing(engine, |builder| builder.max_buffered(LIMIT_OF_ALL));
        let mut polite = connect(&server);
        let clients: Vec<_> = (0..40)
            .map(|_| {
                let mut client = connect(&server);
                let bytes = client.encode(&binary(&vec![0; (1 << 20) - 1]));
                client.send_bytes(&bytes[..bytes.len() - 1]);
                client
            })
            .collect();
        // All of them sent nearly a message, and four have their place.
        eventually("the others have gone", || {
            server.connections().len() == 5 && server.metrics().buffered_bytes <= LIMIT_OF_ALL
        });
        eventually("their ends are told", || server.metrics().ended.get(&Cause::OverBudget) == Some(&36));
        assert_echo(&mut polite);
        drop((clients, polite));
        eventually("nothing is buffered", || server.metrics().buffered_bytes == 0);
        finish(&server);
    }
}

#[test]
fn output_that_nobody_takes_counts() {
    for engine in ENGINES {
        let server = publishing(engine, |builder| {
            builder.max_buffered(3_000_000).with_options(|options| {
                options.outgoing_limit = 16 << 20;
                options.when_full = WhenFull::Fail;
            })
        });
        let mut takes = connect(&server);
        let stuck: Vec<_> = (0..3).map(|_| connect(&server)).collect();
        eventually("all are open", || server.metrics().opened == 4);
        let writer_of = |client: &Client| {
            let address = client.stream.local_addr().expect("connected");
            let known = server.connections().into_iter().find(|known| known.peer == Some(address)).expect("open");
            server.connection(known.id).expect("open")
        };
        let writers: Vec<_> = stuck.iter().map(&writer_of).collect();
        // Until each has so many bytes that wait, for good: what the socket has taken is no matter of ours, and it may come to take
        // megabytes more.
        let mut calm = 0;
        while calm < 30 {
            calm += 1;
            for (writer, bytes) in writers.iter().zip([800_000, 1_500_000, 500_000]) {
                while writer.queued() < bytes {
                    writer.send(&[7; 20_000]).expect("there is room");
                    calm = 0;
                }
            }
            thread::sleep(Duration::from_millis(10));
        }
        let used = server.metrics().buffered_bytes;
        assert!((2_780_000..3_000_000).contains(&used), "{used}");
        while writers[2].queued() < 1_300_000 && writers[1].state() == raddle_socket::State::Open {
            writers[2].send(&[7; 20_000]).expect("there is room");
        }
        eventually_ok(|| {
            let metrics = server.metrics();
            let queued: Vec<_> = writers.iter().map(Writer::queued).collect();
            let has_gone = metrics.ended.get(&Cause::OverBudget) == Some(&1);
            if has_gone { Ok(()) } else { Err(("the largest goes", metrics.buffered_bytes, metrics.ended, queued)) }
        });
        assert_eq!(writers[1].state(), raddle_socket::State::Closed);
        assert_eq!([&writers[0], &writers[2]].map(Writer::state), [raddle_socket::State::Open; 2]);
        assert_echo(&mut takes);
        // What is taken counts no more.
        drop(writers);
        for (place, mut client) in stuck.into_iter().enumerate() {
            if place == 1 {
                continue;
            }
            while client.frame_within(Duration::from_millis(300)).is_some() {}
            assert_echo(&mut client);
        }
        eventually("nothing is buffered", || server.metrics().buffered_bytes == 0);
        finish(&server);
    }
}

#[test]
fn messages_that_wait_for_a_busy_handler_count() {
    let (release, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let server = listening(|builder| builder.max_buffered(1_500_000));
    server
        .start(move |mut reader, writer| {
            while let Some(message) = reader.next_message()? {
                if message == Message::Text("hold") {
                    held.lock().recv()?;
                }
                writer.send(message)?;
            }
            Ok(())
        })
        .expect("it starts");
    let (mut busy, mut other) = (connect(&server), connect(&server));
    busy.send(text("hold"));
    for number in 0..9 {
        busy.send(binary(&pattern(100_000, number)));
    }
    eventually("they wait for the handler", || server.metrics().buffered_bytes > 850_000);
    let rest = send_all_but_the_end(&server, &mut other, 800_000);
    assert_eq!(busy.frame(), close(1013, "too much is buffered"));
    eventually("it counts no more", || server.metrics().buffered_bytes < 850_000);
    release.send(()).expect("it waits");
    other.send_bytes(&rest);
    assert_eq!(other.frame(), binary(&pattern(800_000, 800_000)));
    drop((busy, other));
    eventually("nothing is buffered", || server.metrics().buffered_bytes == 0);
    finish(&server);
}

#[test]
fn a_budget_may_be_of_several_servers_and_what_is_small_costs_nothing() {
    let budget = Budget::new(600_000);
    let shared = |builder: Builder| builder.with_options(|options| options.budget = Some(budget.clone()));
    let servers = ENGINES.map(|engine| publishing(engine, shared));
    let mut crowd: Vec<_> = servers.iter().flat_map(|server| (0..20).map(|_| connect(server))).collect();
    for client in &mut crowd {
        let bytes = client.encode(&binary(&[0; 5000]));
        client.send_bytes(&bytes[..4000]);
    }
    let mut large = connect(&servers[0]);
    let _rest = send_all_but_the_end(&servers[0], &mut large, 400_000);
    eventually("it is counted", || budget.used() > 390_000);
    assert!(budget.used() <= 400_000, "{budget:?}");
    let mut other = connect(&servers[1]);
    let rest = send_all_but_the_end(&servers[1], &mut other, 300_000);
    expect_to_be_turned_away(large);
    other.send_bytes(&rest);
    assert_eq!(other.frame(), binary(&pattern(300_000, 300_000)));
    drop((crowd, other));
    servers.iter().for_each(finish);
    assert_eq!(budget.used(), 0);
}

#[test]
fn many_large_messages_pass_and_leave_nothing_counted() {
    for engine in ENGINES {
        let server = publishing(engine, |builder| {
            builder.max_buffered(64 << 20).with_options(|options| options.ping_interval = None)
        });
        let clients: Vec<_> = (0..8)
            .map(|seed| {
                let mut client = connect(&server);
                thread::spawn(move || {
                    let mut stream = client.stream.try_clone().expect("a descriptor");
                    let message = client.encode(&binary(&pattern(300_000, seed)));
                    let sending =
                        thread::spawn(move || (0..30).for_each(|_| stream.write_all(&message).expect("taken")));
                    for _ in 0..30 {
                        assert!(client.frame() == binary(&pattern(300_000, seed)));
                    }
                    join(sending, LIMIT);
                    client
                })
            })
            .collect();
        let clients: Vec<_> = clients.into_iter().map(|client| join(client, LIMIT)).collect();
        eventually("nothing is buffered", || server.metrics().buffered_bytes == 0);
        drop(clients);
        finish(&server);
    }
}

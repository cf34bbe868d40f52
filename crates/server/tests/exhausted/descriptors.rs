//! Descriptors that have run out, and that nothing is left behind of those that were had.

use std::io::Write;
use std::panic::resume_unwind;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use raddle_server::{Refusal, Request};
use rustix::process::Resource;

use crate::scarce::*;
use crate::support::*;

/// The attendant, the lobby and the threads of a pool.
const IDLE: usize = 2 + WORKERS;
/// The threads that each connection has for itself.
const PER_CONNECTION: usize = if matches!(ENGINE, Engine::Threads) { 1 } else { 0 };

#[test]
fn without_a_free_descriptor_clients_are_turned_away_and_those_inside_are_not_affected() {
    // Hostile input 252: a spare descriptor turns clients away.
    let _alone = alone();
    let host = Host::echo(builder());
    let mut inside = host.open();
    echoes(&mut inside, "before");
    let mut busy = Busy::new();
    let sockets = sockets::<40>();
    let last = self::sockets::<1>();
    let taken = Taken::all();
    for (number, socket) in (1..).zip(sockets) {
        let mut stream = dial_with(socket, &host);
        assert_eq!(answer(&mut stream), None, "it is closed, and does not hang");
        eventually("it is counted", || host.refused(Refusal::NoDescriptor) == number);
        // Its descriptor would be free for the next one.
        std::mem::forget(stream);
    }
    busy.expect_no_spin(&mut inside);
    drop(taken);
    let [last] = last;
    leave(opened(send_request(dial_with(last, &host), &request(""))));
    leave(host.open());
    leave(inside);
    assert_eq!(host.metrics().opened, 3);
}

#[test]
fn where_nobody_can_even_be_turned_away_the_server_waits_and_recovers() {
    // Hostile inputs 252 and 254: it waits a moment, and looks again.
    let _alone = alone();
    let host = Host::echo(builder());
    let mut inside = host.open();
    echoes(&mut inside, "before");
    let mut busy = Busy::new();
    for _ in 0..2 {
        let [waiting, turned_away] = sockets();
        // Below the number of every descriptor that becomes free.
        let limit = Lowered::to(Resource::Nofile, 3);
        let waiting = send_request(dial_with(waiting, &host), &request(""));
        busy.expect_no_spin(&mut inside);
        drop(limit);
        let mut served = opened(waiting);
        echoes(&mut served, "served at last");
        leave(served);
        // The place for turning clients away is there again.
        eventually("it has left", || host.connections().len() == 1);
        let refused = host.refused(Refusal::NoDescriptor);
        let taken = Taken::all();
        assert_eq!(answer(&mut dial_with(turned_away, &host)), None);
        eventually("it is counted", || host.refused(Refusal::NoDescriptor) == refused + 1);
        drop(taken);
    }
    leave(inside);
}

#[test]
fn a_server_that_cannot_start_says_so_and_can_be_started_later() {
    // Hostile input 272.
    let _alone = alone();
    let server = builder().build().expect("a server");
    let limit = Lowered::to(Resource::Nofile, 3);
    let error = start_echo(&server).expect_err("a lobby needs descriptors");
    assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::MFILE.raw_os_error()));
    assert!(server.accept(Duration::ZERO).is_err());
    drop(limit);
    start_echo(&server).expect("it starts");
    leave(opened(send_request(dial(server.local_addr()), &request(""))));
    server.stop(Duration::ZERO);
    server.join(PATIENCE).expect("all handlers have returned");
}

#[test]
fn the_first_connection_needs_nothing_that_may_have_run_out_since_the_server_was_started() {
    // Hostile input 252. In a process in which nothing was opened before.
    let name = "the_first_connection_needs_nothing_that_may_have_run_out_since_the_server_was_started";
    if !is_in_a_process_of_its_own(module_path!(), name, &[]) {
        return;
    }
    let (ask, asked) = mpsc::channel();
    let host = Host::echo(builder().on_request(move |request| ask.send(request).expect("the test waits")));
    let stream = host.ask("");
    let request: Request = asked.recv_timeout(PATIENCE).expect("a request");
    let taken = Taken::all();
    request.accept().expect("in time");
    let mut client = opened(stream);
    echoes(&mut client, "with what there was");
    drop(taken);
    leave(client);
}

#[test]
fn a_thousand_dripping_handshakes_cost_no_thread() {
    // Hostile inputs 235 and 238, scaled down: at the end, a thousand connections, with a thread each where that is the engine.
    let _alone = alone();
    const DRIPPING: usize = 1000;
    let host = Host::echo(builder().max_handshakes(2 * DRIPPING));
    leave(host.open());
    eventually("no thread of a connection is left", || library_threads().len() == IDLE);
    let files = descriptors();
    let mut streams: Vec<_> = (0..DRIPPING).map(|_| host.dial()).collect();
    for byte in b"GET /" {
        streams.iter_mut().for_each(|stream| stream.write_all(&[*byte]).expect("taken"));
        assert_eq!(library_threads().len(), IDLE);
        let mut honest = host.open();
        echoes(&mut honest, "among many");
        eventually("it has a thread", || library_threads().len() == IDLE + PER_CONNECTION);
        leave(honest);
        eventually("its thread has ended", || library_threads().len() == IDLE);
    }
    eventually("all are there", || host.connections().len() == DRIPPING);
    assert_eq!(host.metrics().refused, [].into());
    // All of them may go on.
    let rest = request("");
    let rest = rest.strip_prefix("GET /").expect("so it begins");
    let clients: Vec<_> = streams.into_iter().map(|stream| send_request(stream, rest)).collect();
    let clients: Vec<_> = clients.into_iter().map(opened).collect();
    eventually("each has its own", || library_threads().len() == IDLE + PER_CONNECTION * DRIPPING);
    clients.into_iter().for_each(leave);
    eventually("nothing is left", || library_threads().len() == IDLE && descriptors() <= files);
}

/// A way to go.
type Going = fn(&Host);

const GOING: [Going; 10] = [
    |host| drop(host.dial()),
    |host| reset(host.dial()),
    |host| drop(send_request(host.dial(), "GET / HT")),
    |host| reset(send_request(host.dial(), "BOGUS\r\n\r\n")),
    |host| assert_eq!(status(&mut host.ask_for("/refuse")), 403),
    |host| reset(host.ask("")),
    |host| drop(host.open()),
    |host| reset(host.open().stream),
    |host| leave(host.open()),
    |host| assert_eq!(close_code(&mut opened(host.ask_for("/panic"))), 1011),
];

#[test]
fn after_five_thousand_connections_that_died_at_each_stage_nothing_is_left() {
    // Hostile input 225.
    let _alone = alone();
    let host = Host::acting(
        builder().on_request(|request| match request.path() {
            "/refuse" => request.refuse(403).expect("in time"),
            _ => request.accept().expect("in time"),
        }),
        |writer| if &*writer.info().target == "/panic" { resume_unwind(Box::new("as asked")) } else { Ok(()) },
        send_back,
    );
    leave(host.open());
    eventually("none is left", || host.connections().is_empty() && library_threads().len() == IDLE);
    let files = descriptors();
    thread::scope(|scope| {
        for half in 0..2 {
            let host = &host;
            scope.spawn(move || (0..2500).for_each(|round| GOING[(round + 5 * half) % GOING.len()](host)));
        }
    });
    eventually("nothing is left", || host.connections().is_empty() && host.handlers() == 0);
    eventually("no thread and no descriptor is left", || library_threads().len() == IDLE && descriptors() <= files);
    let metrics = host.metrics();
    assert_eq!((metrics.accepted, metrics.queued_bytes), (5001, 0));
    let ended: u64 = metrics.ended.values().chain(metrics.refused.values()).sum();
    assert_eq!(ended, 5001, "{metrics:?}");
}

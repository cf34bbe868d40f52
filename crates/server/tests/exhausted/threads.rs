//! Threads that cannot be started: those that connections need, and those that a server needs.

use std::fs;
use std::io::ErrorKind;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use raddle_server::{HandlerError, Info, Message, Refusal, Writer};
use rustix::process::Resource;

use crate::scarce::*;
use crate::support::*;

/// The address space that the process has taken, in bytes.
fn address_space() -> u64 {
    let pages = fs::read_to_string("/proc/self/statm").expect("it is told");
    pages.split(' ').next().and_then(|pages| pages.parse::<u64>().ok()).expect("a number") * 4096
}

#[test]
fn where_no_thread_can_be_started_the_client_gets_503_and_the_server_goes_on() {
    // Hostile inputs 256 and 272: none at all, and none for a while.
    let _alone = alone();
    // Larger than any stack that can be.
    let host = Host::echo(builder().stack_size(usize::MAX / 4));
    for number in 1..=20 {
        assert_eq!(status(&mut host.ask("")), 503);
        eventually("it is counted", || host.refused(Refusal::NoThread) == number);
    }
    eventually("none is left", || host.connections().is_empty() && host.handlers() == 0);
    drop(host);

    // Larger than what will be left for a while.
    let host = Host::echo(builder().stack_size(256 << 20));
    let mut inside = host.open();
    echoes(&mut inside, "before");
    let limit = Lowered::to(Resource::As, address_space() + (128 << 20));
    for number in 1..=20 {
        assert_eq!(status(&mut host.ask("")), 503);
        eventually("it is counted", || host.refused(Refusal::NoThread) == number);
        echoes(&mut inside, "not affected");
    }
    let (ours, theirs) = (host.dial(), Info::default());
    let adopted = host.adopt(ours, b"", theirs);
    assert_eq!(adopted.expect_err("it has no thread").kind(), ErrorKind::WouldBlock);
    drop(limit);
    leave(host.open());
    leave(inside);
    assert_eq!(host.metrics().accepted, 23);
}

/// Tells the name of the thread that drops it.
struct Told(mpsc::Sender<Option<String>>);

impl Drop for Told {
    fn drop(&mut self) {
        // Nobody waits once the test has failed.
        let _ = self.0.send(thread::current().name().map(str::to_owned));
    }
}

#[test]
fn a_pool_whose_server_could_not_start_is_not_taken_for_the_one_that_is_started_later() {
    // Hostile input 272. Stacks are so large that a second finds no place, and that none is kept for the next thread.
    let name = "a_pool_whose_server_could_not_start_is_not_taken_for_the_one_that_is_started_later";
    if !is_in_a_process_of_its_own(module_path!(), name, &[("RUST_MIN_STACK", "268435456")]) {
        return;
    }
    raddle_socket::prepare().expect("the attendant is started");
    let server = builder().workers(1).build().expect("a server");
    let (tell, dropped) = mpsc::channel();
    let told = Told(tell);
    let limit = Lowered::to(Resource::As, address_space() + (416 << 20));
    let start = server.start_pool(move |_: &Writer, _: Message<'_>| -> Result<(), HandlerError> {
        let _ = &told;
        Ok(())
    });
    drop(limit);
    assert_eq!(start.expect_err("there is no place for the lobby's stack").kind(), ErrorKind::WouldBlock);
    let thread = dropped.recv_timeout(PATIENCE).expect("nobody has the handler any more");
    assert_eq!(thread.as_deref(), Some("raddle worker 0"), "the pool was started");

    let gate = Gate::default();
    let at = gate.clone();
    let wait = move |_: &Writer, _: Message<'_>| -> Result<(), HandlerError> {
        at.wait();
        Ok(())
    };
    server.start_pool(wait).expect("it starts");
    let mut client = opened(send_request(dial(server.local_addr()), &request("")));
    client.send(text("wait"));
    gate.expect(1);
    server.stop(Duration::ZERO);
    let running = server.join(Duration::ZERO).expect_err("the handler waits");
    assert_eq!(running.handlers.len(), 1);
    gate.open();
    server.join(PATIENCE).expect("the worker has ended");
}

//! What a server does when the process has run out of descriptors, memory or threads, and that nothing is left behind.

#[path = "hold/support.rs"]
mod support;

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Seek, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::panic::resume_unwind;
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use raddle_server::{HandlerError, Info, Message, Refusal, Request, Server, Writer};
use rustix::net::{AddressFamily, SocketType, connect, socket};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::support::*;

/// What is limited and counted here is the process's: one test at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    let alone = ALONE.lock();
    // The threads of the test before are on their way out.
    eventually("its threads have ended", || library_threads().len() <= usize::from(STARTED.get().is_some()));
    // The attendant is there once and for all.
    STARTED.get_or_init(|| leave(Host::echo(builder()).open()));
    eventually("its threads have ended", is_the_attendant_alone);
    alone
}

static STARTED: std::sync::OnceLock<()> = std::sync::OnceLock::new();

/// A limit of the process, lowered for a while.
struct Lowered {
    resource: Resource,
    before: Rlimit,
}

impl Lowered {
    fn to(resource: Resource, limit: u64) -> Self {
        let before = getrlimit(resource);
        setrlimit(resource, Rlimit { current: Some(limit), ..before }).expect("it may be lowered");
        Self { resource, before }
    }
}

impl Drop for Lowered {
    fn drop(&mut self) {
        setrlimit(self.resource, self.before).expect("it was so before");
    }
}

/// Takes all descriptors that are left, and gives them back when dropped.
struct Taken {
    _limit: Lowered,
    _files: Vec<File>,
}

impl Taken {
    fn all() -> Self {
        let highest = fs::read_dir("/proc/self/fd").expect("there are descriptors").flatten();
        let highest = highest.filter_map(|entry| entry.file_name().to_str()?.parse::<u64>().ok()).max();
        let limit = Lowered::to(Resource::Nofile, highest.expect("there are some") + 8);
        let files = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
        Self { _limit: limit, _files: files }
    }
}

/// Sockets for clients that connect when no descriptor is left.
fn sockets<const COUNT: usize>() -> [OwnedFd; COUNT] {
    std::array::from_fn(|_| socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket"))
}

fn dial_with(socket: OwnedFd, server: &Server) -> TcpStream {
    connect(&socket, &server.local_addr()).expect("connected");
    TcpStream::from(socket)
}

/// How busy the lobby is; found while there are descriptors for it.
struct Busy(File);

impl Busy {
    fn new() -> Self {
        let mut found = None;
        eventually("the lobby is there", || {
            let tasks = fs::read_dir("/proc/self/task").expect("there are threads");
            found = tasks
                .flatten()
                .map(|task| task.path())
                .find(|task| fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim_end() == "raddle lobby"));
            found.is_some()
        });
        Self(File::open(found.expect("it was found").join("stat")).expect("it runs"))
    }

    /// The processor time that it has taken.
    fn time(&mut self) -> Duration {
        let mut stat = String::new();
        self.0.rewind().and_then(|()| self.0.read_to_string(&mut stat)).expect("it runs");
        // Behind the name, which may have spaces in it: fields 14 and 15 of all, in hundredths of a second.
        let (_, fields) = stat.rsplit_once(')').expect("a name");
        let times = fields.split_whitespace().skip(11).take(2);
        Duration::from_millis(times.map(|ticks| 10 * ticks.parse::<u64>().expect("a number")).sum())
    }

    /// Looks for a second, while a client goes on.
    fn expect_no_spin(&mut self, client: &mut Client) {
        let before = self.time();
        for _ in 0..20 {
            echoes(client, "not affected");
            thread::sleep(Duration::from_millis(50));
        }
        let taken = self.time() - before;
        assert!(taken <= Duration::from_millis(50), "the lobby has taken {taken:?} of a second");
    }
}

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
    let error = server.start(echo).expect_err("a lobby needs descriptors");
    assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::MFILE.raw_os_error()));
    assert!(server.accept(Duration::ZERO).is_err());
    drop(limit);
    server.start(echo).expect("it starts");
    leave(opened(send_request(dial(server.local_addr()), &request(""))));
    server.stop(Duration::ZERO);
    server.join(PATIENCE).expect("all handlers have returned");
}

/// Runs the test of this name in a new process, with more in its environment. `true`: this is that process, where it goes on.
fn is_in_a_process_of_its_own(name: &str, environment: &[(&str, &str)]) -> bool {
    const ITS_OWN: &str = "RADDLE_TEST_IN_A_PROCESS_OF_ITS_OWN";
    if std::env::var_os(ITS_OWN).is_some() {
        return true;
    }
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["--exact", name, "--nocapture"]).env(ITS_OWN, "1").envs(environment.iter().copied());
    let output = command.output().expect("it starts");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    false
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
    if !is_in_a_process_of_its_own(name, &[("RUST_MIN_STACK", "268435456")]) {
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

#[test]
fn the_first_connection_needs_nothing_that_may_have_run_out_since_the_server_was_started() {
    // Hostile input 252. In a process in which nothing was opened before.
    let name = "the_first_connection_needs_nothing_that_may_have_run_out_since_the_server_was_started";
    if !is_in_a_process_of_its_own(name, &[]) {
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

#[test]
fn a_thousand_dripping_handshakes_cost_no_thread() {
    // Hostile inputs 235 and 238, scaled down: at the end, a thousand connections with a thread each.
    let _alone = alone();
    const DRIPPING: usize = 1000;
    let host = Host::echo(builder().max_handshakes(2 * DRIPPING));
    leave(host.open());
    let threads = 2;
    eventually("the lobby and the attendant are left", || library_threads().len() == threads);
    let files = descriptors();
    let mut streams: Vec<_> = (0..DRIPPING).map(|_| host.dial()).collect();
    for byte in b"GET /" {
        streams.iter_mut().for_each(|stream| stream.write_all(&[*byte]).expect("taken"));
        assert_eq!(library_threads().len(), threads);
        let mut honest = host.open();
        echoes(&mut honest, "among many");
        eventually("it has a thread", || library_threads().len() == threads + 1);
        leave(honest);
        eventually("its thread has ended", || library_threads().len() == threads);
    }
    eventually("all are there", || host.connections().len() == DRIPPING);
    assert_eq!(host.metrics().refused, [].into());
    // All of them may go on.
    let rest = request("");
    let rest = rest.strip_prefix("GET /").expect("so it begins");
    let clients: Vec<_> = streams.into_iter().map(|stream| send_request(stream, rest)).collect();
    let clients: Vec<_> = clients.into_iter().map(opened).collect();
    eventually("each has its own", || library_threads().len() == threads + DRIPPING);
    clients.into_iter().for_each(leave);
    eventually("nothing is left", || library_threads().len() == threads && descriptors() <= files);
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
    let host = Host::start(
        builder().on_request(|request| match request.path() {
            "/refuse" => request.refuse(403).expect("in time"),
            _ => request.accept().expect("in time"),
        }),
        |reader, writer| match &*reader.info().target {
            "/panic" => resume_unwind(Box::new("as asked")),
            _ => echo(reader, writer),
        },
    );
    leave(host.open());
    eventually("none is left", || host.connections().is_empty() && library_threads().len() == 2);
    let files = descriptors();
    thread::scope(|scope| {
        for half in 0..2 {
            let host = &host;
            scope.spawn(move || (0..2500).for_each(|round| GOING[(round + 5 * half) % GOING.len()](host)));
        }
    });
    eventually("nothing is left", || host.connections().is_empty() && host.handlers() == 0);
    eventually("no thread and no descriptor is left", || library_threads().len() == 2 && descriptors() <= files);
    let metrics = host.metrics();
    assert_eq!((metrics.accepted, metrics.queued_bytes), (5001, 0));
    let ended: u64 = metrics.ended.values().chain(metrics.refused.values()).sum();
    assert_eq!(ended, 5001, "{metrics:?}");
}

//! Limits of the process that are lowered for a while, and what it takes to look at who is held up by them.

use std::fs::{self, File};
use std::io::{Read, Seek};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::process::Command;
use std::thread;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use raddle_server::Server;
use rustix::net::{AddressFamily, SocketType, connect, socket};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::support::*;

/// What is limited and counted here is the process's: one test at a time.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
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
pub(crate) struct Lowered {
    resource: Resource,
    before: Rlimit,
}

impl Lowered {
    pub(crate) fn to(resource: Resource, limit: u64) -> Self {
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
pub(crate) struct Taken {
    _limit: Lowered,
    _files: Vec<File>,
}

impl Taken {
    pub(crate) fn all() -> Self {
        let highest = fs::read_dir("/proc/self/fd").expect("there are descriptors").flatten();
        let highest = highest.filter_map(|entry| entry.file_name().to_str()?.parse::<u64>().ok()).max();
        let limit = Lowered::to(Resource::Nofile, highest.expect("there are some") + 8);
        let files = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
        Self { _limit: limit, _files: files }
    }
}

/// Sockets for clients that connect when no descriptor is left.
pub(crate) fn sockets<const COUNT: usize>() -> [OwnedFd; COUNT] {
    std::array::from_fn(|_| socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket"))
}

pub(crate) fn dial_with(socket: OwnedFd, server: &Server) -> TcpStream {
    connect(&socket, &server.local_addr()).expect("connected");
    TcpStream::from(socket)
}

/// How busy the lobby is; found while there are descriptors for it.
pub(crate) struct Busy(File);

impl Busy {
    pub(crate) fn new() -> Self {
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
    pub(crate) fn expect_no_spin(&mut self, client: &mut Client) {
        let before = self.time();
        for _ in 0..20 {
            echoes(client, "not affected");
            thread::sleep(Duration::from_millis(50));
        }
        let taken = self.time() - before;
        assert!(taken <= Duration::from_millis(50), "the lobby has taken {taken:?} of a second");
    }
}

/// Runs the test of this name, of the module of this path, in a new process, with more in its environment. `true`: this is that process, where it goes on.
pub(crate) fn is_in_a_process_of_its_own(module: &str, name: &str, environment: &[(&str, &str)]) -> bool {
    const ITS_OWN: &str = "RADDLE_TEST_IN_A_PROCESS_OF_ITS_OWN";
    if std::env::var_os(ITS_OWN).is_some() {
        return true;
    }
    // What it takes to start one is not to be there for a while, and gone then, where others count.
    let _alone = alone();
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command
        .args(["--exact", &test_of(module, name), "--nocapture"])
        .env(ITS_OWN, "1")
        .envs(environment.iter().copied());
    let output = command.output().expect("it starts");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    false
}

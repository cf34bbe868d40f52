//! A test in a process of its own, and what that process holds.

use std::env;
use std::fs;
use std::os::unix::net::UnixStream;
use std::process::Command;

use raddle::{Connection, Options, Role, Socket};

use crate::host::wait_until;

/// Runs the body of the test of this name in a process in which no other test runs.
pub(crate) fn run(test: &str, body: impl FnOnce()) {
    if env::var_os(ALONE).is_some() {
        return body();
    }
    let this = env::current_exe().expect("the path of this program");
    let output = Command::new(this).args(["--exact", test, "--nocapture"]).env(ALONE, "1").output();
    let output = output.expect("the program starts again");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(said.contains("1 passed"), "{said}");
    assert!(output.status.success(), "{said}");
}

/// What a process holds of the system's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    descriptors: usize,
    threads: usize,
}

impl Held {
    /// What is held once the library's one thread for all connections runs, which starts with the first of them.
    pub(crate) fn by_the_library() -> Self {
        let (one, other) = UnixStream::pair().expect("two descriptors");
        let socket = Socket::unix(one).expect("a socket");
        let connection = Connection::new(socket, Role::Server, b"", Options::default()).expect("a connection");
        let with_a_connection = Self::now();
        drop((connection, other));
        let held = Self { descriptors: with_a_connection.descriptors - 2, ..with_a_connection };
        held.assert_the_same();
        held
    }

    fn now() -> Self {
        let count = |directory| fs::read_dir(directory).expect("a directory of /proc").count();
        Self { descriptors: count("/proc/self/fd"), threads: count("/proc/self/task") }
    }

    /// Waits until as much is held as then (rule 4).
    pub(crate) fn assert_the_same(self) {
        assert!(wait_until(|| Self::now() == self), "before: {self:?}, now: {:?}", Self::now());
    }
}

const ALONE: &str = "RADDLE_HOSTILE_ALONE";

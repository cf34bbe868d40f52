//! A test in a process of its own, and what that process holds.

use std::env;
use std::fs;
use std::process::Command;

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
    pub(crate) fn now() -> Self {
        let count = |directory| fs::read_dir(directory).expect("a directory of /proc").count();
        Self { descriptors: count("/proc/self/fd"), threads: count("/proc/self/task") }
    }

    /// Waits until as much is held as then (rule 4).
    pub(crate) fn assert_the_same(self) {
        assert!(wait_until(|| Self::now() == self), "before: {self:?}, now: {:?}", Self::now());
    }
}

const ALONE: &str = "RADDLE_HOSTILE_ALONE";

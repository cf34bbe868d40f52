//! Runs the lines of the table, each in its modes and cut in many ways, and gathers what fails.

pub(crate) mod calls;
pub(crate) mod client;
pub(crate) mod cuts;
pub(crate) mod frames;
pub(crate) mod heads;
pub(crate) mod responses;
pub(crate) mod server;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use parking_lot::Mutex;

use crate::case::Case;

/// What has failed, a line for each.
#[derive(Default)]
pub(crate) struct Report {
    failures: Mutex<Vec<String>>,
    checks: AtomicUsize,
}

impl Report {
    /// Runs `check`, and notes what its panic says.
    pub(crate) fn check(&self, what: impl FnOnce() -> String, check: impl FnOnce()) {
        self.checks.fetch_add(1, Ordering::Relaxed);
        if let Err(panic) = catch_unwind(AssertUnwindSafe(check)) {
            self.failures.lock().push(format!("{}: {}", what(), said(&*panic)));
        }
    }

    /// Fails with all that has failed, or where nothing was checked.
    pub(crate) fn finish(self) {
        let failures = self.failures.into_inner();
        let first = failures.iter().take(50).map(String::as_str).collect::<Vec<_>>().join("\n");
        assert!(failures.is_empty(), "{} failures, the first of them:\n{first}", failures.len());
        assert!(self.checks.into_inner() > 0, "nothing was checked");
    }
}

/// Runs `work` on every case, on so many threads.
pub(crate) fn in_parallel(threads: usize, cases: &[Case], work: impl Fn(usize, &Case) + Sync) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(case) = cases.get(index) else { break };
                    work(index, case);
                }
            });
        }
    });
}

/// What a panic says.
fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

//! Waits with a bound: what locks up fails, and does not hang.

use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Runs `body` on a thread, which has to return within `limit`.
pub(crate) fn within<T: Send + 'static>(limit: Duration, body: impl FnOnce() -> T + Send + 'static) -> T {
    join(thread::spawn(body), limit)
}

/// Waits for a thread, which has to return within `limit`.
#[track_caller]
pub(crate) fn join<T>(thread: JoinHandle<T>, limit: Duration) -> T {
    let deadline = Instant::now() + limit;
    while !thread.is_finished() {
        assert!(Instant::now() < deadline, "the thread has not returned within {limit:?}");
        thread::sleep(Duration::from_millis(1));
    }
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Waits until `condition` holds, which has to be soon.
#[track_caller]
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    eventually_ok(|| if condition() { Ok(()) } else { Err(what) });
}

/// Waits until `check` finds nothing amiss, which has to be soon; says what it found last.
#[track_caller]
pub(crate) fn eventually_ok<E: std::fmt::Debug>(mut check: impl FnMut() -> Result<(), E>) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while let Err(amiss) = check() {
        assert!(Instant::now() < deadline, "not within 10 s: {amiss:#?}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Some bytes that repeat at no small distance, so that a shifted or mixed payload shows.
pub(crate) fn pattern(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        bytes.extend_from_slice(&(state >> 16).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

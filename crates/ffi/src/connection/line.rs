//! A line of threads that want one lock of the program's, as CPython's: the first of them waits for that lock, and the others sleep.
//!
//! Those who wait for CPython's look up every 5 ms, each of them; so of a thousand that wait for one that was not given the
//! processor, more wake in vain than get it.

use std::cell::Cell;
use std::mem;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

pub(super) struct Line {
    /// Who has it locked is the first.
    first: Mutex<()>,
    /// How many have been the first, with the one who is.
    firsts: AtomicU64,
    /// Which of them was waited for in vain: the program's lock is not given to it, or never will be.
    stuck: AtomicU64,
    longest: Duration,
}

impl Line {
    /// A line in which nobody waits for the same first one any longer once some have waited for `longest`.
    pub(super) const fn new(longest: Duration) -> Self {
        Self { first: Mutex::new(()), firsts: AtomicU64::new(0), stuck: AtomicU64::new(u64::MAX), longest }
    }

    /// Waits until this thread, which stands in no other line, is the first. `false`: it has to do without, and goes past.
    ///
    /// The place of a thread that ends with it, as interpreters end theirs, becomes free with that.
    pub(super) fn stand(&'static self) -> bool {
        let first = self.first.try_lock().or_else(|| {
            let before = self.firsts.load(Ordering::Relaxed);
            if self.stuck.load(Ordering::Relaxed) == before {
                return None;
            }
            let first = self.first.try_lock_for(self.longest);
            if first.is_none() && self.firsts.load(Ordering::Relaxed) == before {
                self.stuck.store(before, Ordering::Relaxed);
            }
            first
        });
        let Some(first) = first else { return false };
        // A thread that is ending has no place that would be given back.
        if PLACE.try_with(|place| place.0.set(Some(self))).is_err() {
            return false;
        }
        mem::forget(first);
        self.firsts.fetch_add(1, Ordering::Relaxed);
        true
    }

    /// Lets the next one be the first, after [`stand`](Self::stand) has returned `true` on this thread.
    pub(super) fn leave(&self) {
        // Where the thread ends, the place has done so.
        if let Ok(Some(line)) = PLACE.try_with(|place| place.0.take()) {
            debug_assert!(ptr::eq(line, self), "a thread stands in one line at a time");
            // SAFETY: this thread has it locked: it is the line of its place, which is set where it has locked that, and taken
            // where it has not any more.
            unsafe { line.first.force_unlock() };
        }
    }
}

/// The line that a thread is the first in.
struct Place(Cell<Option<&'static Line>>);

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(line) = self.0.take() {
            // SAFETY: this thread has it locked, as with `leave`.
            unsafe { line.first.force_unlock() };
        }
    }
}

thread_local! {
    static PLACE: Place = const { Place(Cell::new(None)) };
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    fn line(longest: Duration) -> &'static Line {
        Box::leak(Box::new(Line::new(longest)))
    }

    const LONG: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(20);

    #[test]
    fn the_next_one_is_the_first_when_the_first_one_leaves() {
        let line = line(LONG);
        assert!(line.stand());
        let next = thread::spawn(|| line.stand().then(|| line.leave()));
        line.leave();
        assert_eq!(next.join().expect("no panic"), Some(()));
    }

    #[test]
    fn a_thread_that_ends_as_the_first_keeps_its_place_from_nobody() {
        let line = line(LONG);
        assert!(thread::spawn(|| line.stand()).join().expect("no panic"));
        assert!(line.first.try_lock().is_some());
    }

    #[test]
    fn one_that_gets_nowhere_is_waited_for_once_and_gone_past_until_it_leaves() {
        let line = line(SHORT);
        let (go, gone) = mpsc::channel::<()>();
        let (tell, told) = mpsc::channel();
        let first = thread::spawn(move || {
            assert!(line.stand());
            tell.send(()).expect("it is waited for");
            gone.recv().expect("it is told");
            line.leave();
        });
        told.recv().expect("the first one stands");
        assert!(!line.stand());
        assert_eq!(line.stuck.load(Ordering::Relaxed), line.firsts.load(Ordering::Relaxed));
        assert!(!line.stand());
        go.send(()).expect("it waits for that");
        first.join().expect("no panic");
        assert!(line.stand());
        assert_ne!(line.stuck.load(Ordering::Relaxed), line.firsts.load(Ordering::Relaxed));
        line.leave();
    }
}

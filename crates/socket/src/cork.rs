//! Corking: sends that leave in one write, because more messages are there to be answered.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Whose sends are held back for a moment, and whether any are.
#[derive(Debug, Default)]
pub(crate) struct Cork {
    /// The thread whose sends are corked; 0: none. Set by the reader's thread, and of interest to no other.
    thread: AtomicU32,
    /// Corked bytes wait to be written.
    held: AtomicBool,
    /// The attendant looks after them.
    listed: AtomicBool,
}

impl Cork {
    /// Corks the sends of this thread until [`pull`](Self::pull).
    pub(crate) fn put(&self) {
        self.thread.store(this_thread(), Ordering::Relaxed);
    }

    /// Corks no further sends.
    pub(crate) fn pull(&self) {
        self.thread.store(0, Ordering::Relaxed);
    }

    /// Tells whether this thread's sends are corked.
    pub(crate) fn holds_this_thread(&self) -> bool {
        self.thread.load(Ordering::Relaxed) == this_thread()
    }

    /// Notes that there is output that nobody writes at once. Under the lock of the output, as [`release`](Self::release).
    pub(crate) fn hold(&self) {
        if !self.is_held() {
            self.held.store(true, Ordering::SeqCst);
        }
    }

    /// Tells whether the attendant has to be told of what is held.
    pub(crate) fn list(&self) -> bool {
        !self.listed.load(Ordering::SeqCst) && !self.listed.swap(true, Ordering::SeqCst)
    }

    /// Tells whether bytes are held back.
    pub(crate) fn is_held(&self) -> bool {
        self.held.load(Ordering::Relaxed)
    }

    /// Notes that nothing is held back any more.
    pub(crate) fn release(&self) {
        if self.is_held() {
            self.held.store(false, Ordering::SeqCst);
        }
    }

    /// For the attendant: nothing was held back, so it looks elsewhere. `false`: something is after all.
    pub(crate) fn unlist(&self) -> bool {
        self.listed.store(false, Ordering::SeqCst);
        !self.held.load(Ordering::SeqCst) || self.listed.swap(true, Ordering::SeqCst)
    }
}

/// For the thread of a child process that `fork` makes: what it has corked as its parent's is corked no more. Calls nothing that is
/// unsafe after `fork`.
pub(crate) fn become_another_thread() {
    OWN.set(0);
}

/// A number of this thread's own, from 1: four billion threads have to begin before it is given again.
fn this_thread() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let own = OWN.get();
    if own != 0 {
        return own;
    }
    OWN.set(NEXT.fetch_add(1, Ordering::Relaxed).max(1));
    OWN.get()
}

thread_local!(static OWN: Cell<u32> = const { Cell::new(0) });

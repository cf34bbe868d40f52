//! Corking: sends that leave in one write, because more messages are there to be answered.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Whose sends are held back for a moment, and whether any are.
#[derive(Debug, Default)]
pub(crate) struct Cork {
    /// The thread whose sends are corked; 0: none. Set by the reader's thread, and of interest to no other.
    thread: AtomicUsize,
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

/// A number that no other running thread has: the address of something of its own.
fn this_thread() -> usize {
    thread_local!(static OWN: u8 = const { 0 });
    OWN.with(|own| std::ptr::from_ref(own).addr())
}

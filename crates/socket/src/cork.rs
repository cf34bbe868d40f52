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
    /// Nothing more was received behind the message that is being answered. Of interest to the corked thread only.
    last: AtomicBool,
}

impl Cork {
    /// Corks the sends of this thread until [`pull`](Self::pull).
    pub(crate) fn put(&self) {
        self.thread.store(this_thread(), Ordering::Relaxed);
    }

    /// Corks no further sends.
    pub(crate) fn pull(&self) {
        self.thread.store(0, Ordering::Relaxed);
        self.last.store(false, Ordering::Relaxed);
    }

    /// Notes whether anything was received behind the message that is about to be answered: what is large need not wait for more
    /// where nothing was.
    pub(crate) fn note_last(&self, is_last: bool) {
        self.last.store(is_last, Ordering::Relaxed);
    }

    /// Tells whether nothing was.
    pub(crate) fn is_last(&self) -> bool {
        self.last.load(Ordering::Relaxed)
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

    /// Tells whether the attendant looks after what is held.
    #[inline]
    pub(crate) fn is_listed(&self) -> bool {
        self.listed.load(Ordering::SeqCst)
    }

    /// Notes that it does. `true`: it has to be told.
    pub(crate) fn list(&self) -> bool {
        !self.listed.swap(true, Ordering::SeqCst)
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
pub(crate) fn this_thread() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let own = OWN.get();
    if own != 0 {
        return own;
    }
    OWN.set(NEXT.fetch_add(1, Ordering::Relaxed).max(1));
    OWN.get()
}

thread_local!(static OWN: Cell<u32> = const { Cell::new(0) });

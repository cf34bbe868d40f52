//! How many compressors and inflaters there are.

use std::sync::atomic::{AtomicUsize, Ordering};

/// What the process holds for permessage-deflate, from [`census`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Census {
    /// Compressors, of connections and shared ones.
    pub compressors: usize,
    /// Inflaters, of connections and shared ones.
    pub inflaters: usize,
}

/// Counts what the process holds for permessage-deflate now.
pub fn census() -> Census {
    Census { compressors: COMPRESSORS.load(Ordering::Relaxed), inflaters: INFLATERS.load(Ordering::Relaxed) }
}

/// Counts one while it lives.
pub(crate) struct Counted(&'static AtomicUsize);

impl Counted {
    pub(crate) fn new(counter: &'static AtomicUsize) -> Self {
        counter.fetch_add(1, Ordering::Relaxed);
        Self(counter)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

pub(crate) static COMPRESSORS: AtomicUsize = AtomicUsize::new(0);
pub(crate) static INFLATERS: AtomicUsize = AtomicUsize::new(0);

//! Compressors and inflaters that wait for whoever needs one next: taken and given back, by all connections of the process.

use std::sync::{Mutex, PoisonError};

/// A few of a kind.
pub(crate) struct Pool<T> {
    idle: Mutex<Vec<T>>,
}

impl<T> Pool<T> {
    pub(crate) const fn new() -> Self {
        Self { idle: Mutex::new(Vec::new()) }
    }

    /// Takes one that `fits`; `None`: there is none, and one has to be made.
    pub(crate) fn take(&self, fits: impl Fn(&T) -> bool) -> Option<T> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        // The one given back last is still in the processor's caches.
        let place = idle.iter().rposition(fits)?;
        Some(idle.remove(place))
    }

    /// Gives one back. Where there are enough, the one that has waited longest goes.
    pub(crate) fn give(&self, one: T) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let surplus = (idle.len() >= IDLE).then(|| idle.remove(0));
        idle.push(one);
        drop(idle);
        drop(surplus);
    }
}

/// So many wait at most: a few for each thread that is compressing at the same moment.
const IDLE: usize = 16;

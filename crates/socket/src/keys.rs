//! Masking keys for clients (RFC 6455, sections 5.3 and 10.3): from the operating system's generator, a fresh one a frame.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};

use raddle_core::MaskingKeys;

/// Keys drawn many at a time, so that a frame costs no system call.
///
/// A child process that `fork` makes has the same keys in memory: it drops them and draws its own.
///
/// Connections have their own; this is for whoever drives a [`Sender`](raddle_core::Sender) without a socket of this crate.
pub struct RandomKeys {
    keys: Vec<[u8; 4]>,
    /// The value of [`FORKS`] when the keys were drawn.
    forks: u32,
}

impl RandomKeys {
    /// A source that has drawn nothing yet.
    pub fn new() -> Self {
        crate::sys::count_forks();
        Self { keys: Vec::new(), forks: 0 }
    }
}

impl fmt::Debug for RandomKeys {
    // Without keys that are not used yet.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RandomKeys").finish_non_exhaustive()
    }
}

impl Default for RandomKeys {
    fn default() -> Self {
        Self::new()
    }
}

impl MaskingKeys for RandomKeys {
    fn next_key(&mut self) -> Option<[u8; 4]> {
        let forks = FORKS.load(Ordering::Relaxed);
        if self.forks != forks || self.keys.is_empty() {
            let mut bytes = [0; BATCH];
            getrandom::fill(&mut bytes).ok()?;
            self.keys.clear();
            self.keys.extend_from_slice(bytes.as_chunks().0);
            self.forks = forks;
        }
        self.keys.pop()
    }
}

/// How many times this process has become another.
pub(crate) static FORKS: AtomicU32 = AtomicU32::new(0);

/// Bytes drawn at a time.
const BATCH: usize = 256;

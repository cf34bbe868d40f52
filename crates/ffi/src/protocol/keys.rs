//! Masking keys that the program hands in (RFC 6455, section 5.3): random bytes in, a key for each frame out.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use raddle_core::MaskingKeys;

/// Keys that wait for the frames that they are to mask, in the order in which they came.
#[derive(Clone, Default)]
pub(crate) struct GivenKeys {
    waiting: Arc<Mutex<VecDeque<[u8; 4]>>>,
}

impl GivenKeys {
    /// Takes four bytes for each key. `false`: that would be more than [`MOST`] keys, or there is a part of one.
    pub(crate) fn give(&self, bytes: &[u8]) -> bool {
        let (keys, []) = bytes.as_chunks::<4>() else { return false };
        let mut waiting = self.waiting.lock();
        if waiting.len() + keys.len() > MOST {
            return false;
        }
        waiting.extend(keys);
        true
    }

    pub(crate) fn left(&self) -> usize {
        self.waiting.lock().len()
    }
}

impl MaskingKeys for GivenKeys {
    fn next_key(&mut self) -> Option<[u8; 4]> {
        self.waiting.lock().pop_front()
    }
}

/// So many keys wait at most.
pub(crate) const MOST: usize = 1 << 16;

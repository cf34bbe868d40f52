//! What `fork` leaves of the library in the child: nothing that can be used, and a way to know.
//!
//! The library's threads are not in the child, and what they held locked stays locked. So whoever forks after the first
//! handle was made gets an error from each call of the child, and not a wait without end.

use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

/// Has every `fork` from now on noted in the child. To be called before the first thread is started, or lock taken for long.
pub(crate) fn watch() {
    extern "C" fn in_child() {
        IS_CHILD.store(true, Ordering::Relaxed);
    }
    WATCHED.call_once(|| {
        // SAFETY: `in_child` lives as long as the library, which is not unloaded, and calls nothing.
        let result = unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
        assert_eq!(result, 0, "there is memory for one more fork handler");
    });
}

/// Tells whether this process was forked from one that uses the library.
pub(crate) fn is_child() -> bool {
    IS_CHILD.load(Ordering::Relaxed)
}

static IS_CHILD: AtomicBool = AtomicBool::new(false);
static WATCHED: Once = Once::new();

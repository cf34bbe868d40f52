//! The one way into the library: a call in, its status out, whatever happens inside.

use std::panic::{AssertUnwindSafe, catch_unwind};

use raddle_socket::{bury, panic_message};

use crate::fork;
use crate::status::{Failure, Status};

/// Carries out a call. A panic, which is a defect of the library, becomes a status, and never unwinds into C.
pub(crate) fn guard(call: impl FnOnce() -> Result<(), Failure>) -> Status {
    if fork::is_child() {
        return Failure::new(Status::RADDLE_ERR_FORKED, "the process was forked from one that uses the library").note();
    }
    // What a call has changed half is poisoned by whoever owns it.
    match catch_unwind(AssertUnwindSafe(|| {
        trip(Depth::Entry);
        call()
    })) {
        Ok(Ok(())) => Status::RADDLE_OK,
        Ok(Err(failure)) => failure.note(),
        Err(panic) => {
            let text = panic_message(&*panic);
            let failure = Failure::new(Status::RADDLE_ERR_INTERNAL, format!("the library has failed: {text}"));
            bury(panic);
            failure.note()
        }
    }
}

/// Where a test may have a call panic.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Before it has looked at anything.
    Entry = 1,
    /// Amid its work on what a handle names.
    Handle = 2,
}

/// Panics, where a test has asked for that.
#[inline]
pub(crate) fn trip(depth: Depth) {
    #[cfg(feature = "test-hooks")]
    hooks::trip(depth);
    let _ = depth;
}

/// What tests of panics need.
#[cfg(feature = "test-hooks")]
pub mod hooks {
    use std::cell::Cell;

    use super::Depth;

    thread_local! {
        static ASKED: Cell<u32> = const { Cell::new(0) };
    }

    /// Has the next call of this thread that comes so far panic: 1 before it has looked at anything, 2 amid its work on what
    /// a handle names.
    #[unsafe(no_mangle)]
    pub extern "C" fn raddle_test_panic(depth: u32) {
        ASKED.set(depth);
    }

    pub(crate) fn trip(depth: Depth) {
        if ASKED.get() == depth as u32 {
            ASKED.set(0);
            panic!("a test has asked for a panic");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_status() {
        assert_eq!(guard(|| Ok(())), Status::RADDLE_OK);
        assert_eq!(guard(|| Err(Failure::state("a test"))), Status::RADDLE_ERR_STATE);
        assert_eq!(guard(|| panic!("a test")), Status::RADDLE_ERR_INTERNAL);
        assert_eq!(guard(|| std::panic::panic_any(7)), Status::RADDLE_ERR_INTERNAL);
        assert_eq!(guard(|| std::panic::panic_any(PanicsAgain)), Status::RADDLE_ERR_INTERNAL);
    }

    struct PanicsAgain;

    impl Drop for PanicsAgain {
        fn drop(&mut self) {
            panic!("a test, when what it has left is dropped");
        }
    }
}

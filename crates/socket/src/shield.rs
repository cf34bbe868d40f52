//! Calls of what is not ours, from where a panic would take from others what they depend on.

use std::any::Any;
use std::fmt;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Calls what may be an application's. `None`: it has panicked, which is logged as the panic of `what`.
pub(crate) fn shielded<T>(what: &str, call: impl FnOnce() -> T) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(value) => Some(value),
        Err(panic) => {
            note(format_args!("{what} has panicked: {}", message(&*panic)));
            bury(panic);
            None
        }
    }
}

/// Logs an error. Where the log's own code panics, nothing is left to be said.
pub(crate) fn note(what: fmt::Arguments<'_>) {
    if let Err(panic) = catch_unwind(|| log::error!("{what}")) {
        bury(panic);
    }
}

/// Drops what a panic has left, which may be something that panics when it is dropped.
pub fn bury(panic: Box<dyn Any + Send>) {
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        mem::forget(again);
    }
}

/// What a panic says.
pub fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

//! Cases that are more than an input with its verdict: time, memory, several threads, calls of the application's.

pub(crate) mod closing;
pub(crate) mod coverage;
pub(crate) mod memory;
pub(crate) mod pressure;
pub(crate) mod sending;
pub(crate) mod tcp;
pub(crate) mod timers;

/// The numbers of cases, each with the test that is there for it.
pub(crate) type Covers = &'static [(u16, fn())];

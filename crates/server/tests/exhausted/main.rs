//! What a server does when the process has run out of descriptors, memory or threads, and that nothing is left behind.

mod descriptors;
mod scarce;
#[path = "../hold/support.rs"]
mod support;
mod threads;

//! What a server does when the process has run out of descriptors, with engine pool: the same tests.

#[path = "../exhausted/descriptors.rs"]
mod descriptors;
#[path = "../exhausted/scarce.rs"]
mod scarce;
#[path = "../hold/support.rs"]
mod support;

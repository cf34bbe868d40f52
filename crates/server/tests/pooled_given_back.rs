//! What large messages have taken, with engine pool: the same test, in a process of its own.

#[path = "given_back.rs"]
mod given_back;

//! What a server writes to the log, with engine pool: the same tests, in a process of their own.

#[path = "journal.rs"]
mod journal;

//! What a server holds, with engine pool: the same tests, where no handler of theirs has a thread.

#[path = "../hold/leaving.rs"]
mod leaving;
#[path = "../hold/listeners.rs"]
mod listeners;
#[path = "../hold/lobby.rs"]
mod lobby;
#[path = "../hold/support.rs"]
mod support;

//! What a server holds, where it is polled: the same tests, where no handler of theirs has a thread.

#[path = "../hold/admission.rs"]
mod admission;
#[path = "../hold/leaving.rs"]
mod leaving;
#[path = "../hold/listeners.rs"]
mod listeners;
#[path = "../hold/lobby.rs"]
mod lobby;
#[path = "../hold/support.rs"]
mod support;

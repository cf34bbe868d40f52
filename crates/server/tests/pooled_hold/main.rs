//! What a server holds, with engine pool: the same tests, where no handler of theirs has a thread.

#[path = "../hold/admission.rs"]
mod admission;
#[path = "../hold/handlers.rs"]
mod handlers;
#[path = "../hold/leaving.rs"]
mod leaving;
#[path = "../hold/listeners.rs"]
mod listeners;
#[path = "../hold/lobby.rs"]
mod lobby;
#[path = "../hold/support.rs"]
mod support;

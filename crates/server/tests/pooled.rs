//! What holds for a server with a thread for each connection holds with engine pool: the same tests.

// Each of them has the common part for itself, as each does as a target of its own.
#![allow(clippy::duplicate_mod)]

#[path = "foreign.rs"]
mod foreign;
#[path = "handover.rs"]
mod handover;
#[path = "isolation.rs"]
mod isolation;
#[path = "limits.rs"]
mod limits;
#[path = "narrow.rs"]
mod narrow;
#[path = "registry.rs"]
mod registry;
#[path = "requests.rs"]
mod requests;
#[path = "stopping.rs"]
mod stopping;

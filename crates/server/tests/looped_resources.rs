//! What a server takes and gives back, where it is polled: the same tests, in a process of their own.

#[path = "resources.rs"]
mod resources;

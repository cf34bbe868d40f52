//! What a server takes and gives back, with engine pool: the same tests, in a process of their own.

#[path = "resources.rs"]
mod resources;

//! Connections: what a program sends, receives and learns, by the id that names the connection.

pub mod close;
pub mod info;
pub mod receive;
pub mod send;
pub mod state;

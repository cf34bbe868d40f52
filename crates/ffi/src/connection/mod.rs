//! Connections: what a program sends, receives and learns, by the id that names the connection.

pub mod batch;
pub mod close;
pub mod fragments;
pub mod info;
pub mod later;
mod line;
pub mod object;
pub mod packed;
pub mod pause;
pub mod ping;
pub mod receive;
pub mod send;
pub mod state;

//! Engine pool, where it is not as a thread for each connection is: what a handler is called for, and what holds up whom.

#[path = "../common/mod.rs"]
mod common;
mod recorder;

mod answering;
mod apart;
mod ending;
mod handler;
mod large;
mod pausing;
mod placing;
mod pressure;
mod stress;
mod timing;

//! Cases that are more than an input with its verdict: time, memory, several threads, calls of the application's.

mod closing;
mod compressed;
mod connecting;
mod coverage;
mod linear;
mod marks;
mod memory;
mod pressure;
mod routes;
mod sending;
mod tcp;
mod timers;

//! The C ABI of raddle, which `include/raddle.h` declares: handles in, statuses out.
//!
//! A handle is an id that is checked at each use, whatever its C type looks like, so none that is stale, forged or freed
//! twice leads anywhere ([`handles`]). Each function is one call of [`guard::guard`], which catches panics and keeps the
//! text of a failure; what a caller gives passes through [`arguments`], where the `unsafe` blocks are.
//!
//! No Rust code can call what is exported here: the crate is no `rlib`. So the functions are not `unsafe`; what the header
//! asks of C callers takes the place of `# Safety`.

pub mod arguments;
pub mod client;
pub mod connection;
pub mod connections;
pub mod deflate;
pub mod fork;
pub mod guard;
pub mod handles;
pub mod limits;
pub mod log;
pub mod message;
pub mod protocol;
pub mod server;
pub mod slot;
pub mod status;
pub mod unfinished;
pub mod user;
pub mod version;

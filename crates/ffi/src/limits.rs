//! Limits as programs set them, of servers, clients and protocol objects alike: a number or a text in, checked.

use std::ffi::c_char;
use std::time::Duration;

use raddle_core::handshake::{Hosts, Origins, is_subprotocol};
use raddle_socket::{Limits, Options, WhenFull};

use crate::arguments::{self, at_least};
use crate::status::Failure;

/// A send waits where the outgoing limit is reached, at most until the write deadline. In engines pool and queue it fails
/// instead, but for answers to what is just being read.
pub const RADDLE_WHEN_FULL_BLOCK: u32 = 1;
/// A send fails with RADDLE_ERR_WOULD_BLOCK where the outgoing limit is reached, and never waits.
pub const RADDLE_WHEN_FULL_FAIL: u32 = 2;
/// The connection ends where the outgoing limit is reached.
pub const RADDLE_WHEN_FULL_CLOSE: u32 = 3;

/// The largest message that is received, and frame of one.
pub(crate) fn message(limits: &mut Limits, bytes: u64) -> Result<(), Failure> {
    *limits = limits.message(bytes);
    Ok(())
}

/// The largest frame that is received.
pub(crate) fn frame(limits: &mut Limits, bytes: u64) -> Result<(), Failure> {
    limits.frame = bytes;
    Ok(())
}

/// The most frames of one message.
pub(crate) fn fragments(limits: &mut Limits, count: u32) -> Result<(), Failure> {
    limits.fragments = at_least(count, 1, "count")?;
    Ok(())
}

/// After which silence a Ping is sent; 0: none is.
pub(crate) fn ping_interval(options: &mut Options, milliseconds: u64) -> Result<(), Failure> {
    let is_wanted = milliseconds != 0 && milliseconds != u64::MAX;
    options.ping_interval = is_wanted.then(|| Duration::from_millis(milliseconds));
    Ok(())
}

/// A time that a connection allows itself or its peer.
pub(crate) fn time(time: &mut Duration, milliseconds: u64) -> Result<(), Failure> {
    *time = arguments::time(milliseconds, "milliseconds")?;
    Ok(())
}

/// The slowest peer that is put up with.
pub(crate) fn min_rate(options: &mut Options, bytes_per_second: u64) -> Result<(), Failure> {
    options.min_rate = at_least(bytes_per_second, 1, "bytes_per_second")?;
    Ok(())
}

/// How much may wait to be written.
pub(crate) fn outgoing(options: &mut Options, bytes: usize) -> Result<(), Failure> {
    options.outgoing_limit = bytes;
    Ok(())
}

/// What a send does then.
pub(crate) fn when_full(options: &mut Options, policy: u32) -> Result<(), Failure> {
    let policies = [
        (RADDLE_WHEN_FULL_BLOCK, WhenFull::Block),
        (RADDLE_WHEN_FULL_FAIL, WhenFull::Fail),
        (RADDLE_WHEN_FULL_CLOSE, WhenFull::Close),
    ];
    options.when_full = arguments::one_of(policy, &policies, "policy")?;
    Ok(())
}

/// The size of fragments of large messages.
pub(crate) fn fragment_size(options: &mut Options, bytes: usize) -> Result<(), Failure> {
    options.fragment_size = at_least(bytes, 1, "bytes")?;
    Ok(())
}

/// The name of a subprotocol.
pub(crate) fn subprotocol(name: *const c_char) -> Result<String, Failure> {
    let name = arguments::string(name, "name")?;
    if is_subprotocol(name) {
        Ok(name.to_owned())
    } else {
        Err(Failure::argument("name: a subprotocol is one word, without commas"))
    }
}

/// A page's origin.
pub(crate) fn origin(origin: *const c_char) -> Result<String, Failure> {
    let origin = arguments::string(origin, "origin")?.to_owned();
    match Origins::List(vec![origin.clone()]).malformed() {
        None => Ok(origin),
        Some(_) => Err(Failure::argument(format!("origin: {origin} has not the form of one, as https://example.com"))),
    }
}

/// A server's name.
pub(crate) fn host(host: *const c_char) -> Result<String, Failure> {
    let host = arguments::string(host, "host")?.to_owned();
    match Hosts::List(vec![host.clone()]).malformed() {
        None => Ok(host),
        Some(_) => Err(Failure::argument(format!("host: {host} has not the form of one, as example.com:8080"))),
    }
}

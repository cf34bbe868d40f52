//! What protocol objects are made of: the functions that set it up.

use std::ffi::c_char;

use raddle_core::Role;
use raddle_core::handshake::{Hosts, Origins};

use super::settings::{Decision, Keys, Settings};
use super::{ProtocolConfig, free, with};
use crate::arguments;
use crate::deflate;
use crate::guard::guard;
use crate::handles::{Handle, to_pointer};
use crate::limits;
use crate::status::{Failure, Status};

/// The server's side (sans-I/O).
pub const RADDLE_SERVER: u32 = 1;
/// The client's side (sans-I/O).
pub const RADDLE_CLIENT: u32 = 2;

/// Makes settings with the defaults.
///
/// - `role`: RADDLE_SERVER or RADDLE_CLIENT
/// - `config`: a place for the handle; it is freed with raddle_protocol_config_free
///
/// Returns RADDLE_OK or RADDLE_ERR_ARGUMENT. From any thread. Settings are changed by one thread at a time: others get
/// RADDLE_ERR_BUSY.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_protocol_config_new(role: u32, config: *mut *mut ProtocolConfig) -> Status {
    guard(|| {
        let place = arguments::out(config, "config")?;
        let known = [(RADDLE_SERVER, Role::Server), (RADDLE_CLIENT, Role::Client)];
        let settings = Settings::new(arguments::one_of(role, &known, "role")?);
        place.put(to_pointer(ProtocolConfig::table().insert(settings)?));
        Ok(())
    })
}

/// Frees settings. Objects that were made of them stay as they are.
///
/// - `config`: the settings; NULL is passed over
///
/// Returns RADDLE_OK, or RADDLE_ERR_HANDLE where they were freed before. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_protocol_config_free(config: *mut ProtocolConfig) -> Status {
    free(config)
}

/// Sets the largest message that is received, and frame of one: above it the connection fails with 1009. Default: 1 MiB for a server,
/// 16 MiB for a client.
///
/// - `config`: the settings
/// - `bytes`: any number; RADDLE_NO_LIMIT for none
///
/// Returns RADDLE_OK; RADDLE_ERR_ARGUMENT for a value that is not in order; RADDLE_ERR_UTF8 for a text that is none. With
/// any failure all stays as it is. One thread at a time: another gets RADDLE_ERR_BUSY.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_protocol_config_max_message(config: *mut ProtocolConfig, bytes: u64) -> Status {
    with(config, |settings| limits::message(&mut settings.limits, bytes))
}

/// Sets the largest frame that is received, where that is less than the largest message. To be called behind
/// raddle_protocol_config_max_message.
///
/// - `config`: the settings
/// - `bytes`: any number; RADDLE_NO_LIMIT for none
///
/// Returns as raddle_protocol_config_max_message. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_protocol_config_max_frame(config: *mut ProtocolConfig, bytes: u64) -> Status {
    with(config, |settings| limits::frame(&mut settings.limits, bytes))
}

/// Sets the most frames of one message: above it the connection fails with 1008. Default: 16,384.
///
/// - `config`: the settings
/// - `count`: at least 1
///
/// Returns as raddle_protocol_config_max_message. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_protocol_config_max_fragments(config: *mut ProtocolConfig, count: u32) -> Status {
    with(config, |settings| limits::fragments(&mut settings.limits, count))
}

/// Sets the largest head of an opening handshake that is received. Default: 16 KiB, with a first line of 8 KiB and 100 headers.
///
/// - `config`: the settings
/// - `head`: bytes of the whole head, at least 64
/// - `line`: bytes of its first line, at least 16
/// - `headers`: header lines, at least 5
///
/// Returns as raddle_protocol_config_max_message. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_protocol_config_head_limits(
    config: *mut ProtocolConfig,
    head: usize,
    line: usize,
    headers: usize,
) -> Status {
    with(config, |settings| {
        settings.head = arguments::head_limits(head, line, headers)?;
        Ok(())
    })
}

/// Offers permessage-deflate, or agrees on it where it is offered (RFC 7692). Default: not. Of each number, 0 is the
/// default.
///
/// - `config`: the settings
/// - `level`, `threshold`, `flags`, `server_window_bits`, `client_window_bits`: as with raddle_server_config_deflate
///
/// Returns as raddle_protocol_config_max_message. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_protocol_config_deflate(
    config: *mut ProtocolConfig,
    level: u32,
    threshold: usize,
    flags: u32,
    server_window_bits: u32,
    client_window_bits: u32,
) -> Status {
    with(config, |settings| {
        settings.deflate = Some(deflate::parse(level, threshold, flags, server_window_bits, client_window_bits)?);
        Ok(())
    })
}

/// Adds a subprotocol (RFC 6455, section 1.9): one that a client offers, the one it likes best first, or one that a server
/// knows.
///
/// - `config`: the settings
/// - `name`: one word
///
/// Returns as raddle_protocol_config_max_message. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_protocol_config_subprotocol(config: *mut ProtocolConfig, name: *const c_char) -> Status {
    with(config, |settings| {
        settings.subprotocols.push(limits::subprotocol(name)?);
        Ok(())
    })
}

/// Adds a header to a client's request, or to the response by which a server accepts one. Whether it may be sent shows when
/// it is to be.
///
/// - `config`: the settings
/// - `name`: a token; none of the handshake's own
/// - `value`: UTF-8 without control characters
///
/// Returns as raddle_protocol_config_max_message. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_protocol_config_header(
    config: *mut ProtocolConfig,
    name: *const c_char,
    value: *const c_char,
) -> Status {
    with(config, |settings| {
        let name = arguments::string(name, "name")?;
        let value = arguments::string(value, "value")?;
        settings.headers.push((name.to_owned(), value.into()));
        Ok(())
    })
}

/// Says on whose behalf a client comes (RFC 6455, section 4.1).
///
/// - `config`: the settings
/// - `origin`: as "https://example.com"
///
/// Returns as raddle_protocol_config_max_message; RADDLE_ERR_STATE for a server's settings. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_protocol_config_origin(config: *mut ProtocolConfig, origin: *const c_char) -> Status {
    with(config, |settings| {
        let origin = arguments::string(origin, "origin")?;
        of_role(settings, Role::Client)?;
        settings.origin = Some(origin.to_owned());
        Ok(())
    })
}

/// Adds a page that may connect to a server, by the Origin that its browser sends (RFC 6455, section 10.2). Default: pages of the
/// same host and port. Clients that send no Origin are no browsers, and pass.
///
/// - `config`: the settings
/// - `origin`: as "https://example.com" or "https://*.example.com"; without a scheme, http and https are meant
///
/// Returns as raddle_protocol_config_max_message; RADDLE_ERR_ARGUMENT where it has not that form, RADDLE_ERR_STATE for
/// a client's settings. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_protocol_config_allow_origin(config: *mut ProtocolConfig, origin: *const c_char) -> Status {
    with(config, |settings| {
        let origin = limits::origin(origin)?;
        of_role(settings, Role::Server)?;
        match &mut settings.origins {
            Origins::List(origins) => origins.push(origin),
            Origins::Any => {}
            origins => *origins = Origins::List(vec![origin]),
        }
        Ok(())
    })
}

/// Has pages of any origin connect. For services that give nothing to a browser's cookies or place in the network.
///
/// - `config`: the settings
///
/// Returns as raddle_protocol_config_max_message; RADDLE_ERR_STATE for a client's settings. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_protocol_config_allow_any_origin(config: *mut ProtocolConfig) -> Status {
    with(config, |settings| {
        of_role(settings, Role::Server)?;
        settings.origins = Origins::Any;
        Ok(())
    })
}

/// Adds a name under which a server may be addressed. Default: any. A page of a foreign name that leads to the server's
/// address ("DNS rebinding") is found out by that only.
///
/// - `config`: the settings
/// - `host`: as "example.com" or "example.com:8080"
///
/// Returns as raddle_protocol_config_max_message; RADDLE_ERR_ARGUMENT where it has not that form, RADDLE_ERR_STATE for
/// a client's settings. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_protocol_config_allow_host(config: *mut ProtocolConfig, host: *const c_char) -> Status {
    with(config, |settings| {
        let host = limits::host(host)?;
        of_role(settings, Role::Server)?;
        match &mut settings.hosts {
            Hosts::List(hosts) => hosts.push(host),
            hosts => *hosts = Hosts::List(vec![host]),
        }
        Ok(())
    })
}

/// Has the program decide on each request: raddle_protocol_next gives RADDLE_REQUEST, and nothing more until
/// raddle_protocol_accept or raddle_protocol_respond was called. What comes meanwhile is kept without a bound: a program that
/// does not decide at once stops reading until it has. Default: each request that is in order is accepted, with
/// the client's first subprotocol that the server knows.
///
/// - `config`: the settings
///
/// Returns as raddle_protocol_config_max_message; RADDLE_ERR_STATE for a client's settings. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_protocol_config_requests_as_events(config: *mut ProtocolConfig) -> Status {
    with(config, |settings| {
        of_role(settings, Role::Server)?;
        settings.decision = Decision::Program;
        Ok(())
    })
}

/// Has the program hand the masking keys in, with raddle_protocol_add_keys. Default: they come from the operating system's
/// generator.
///
/// - `config`: the settings
///
/// Returns as raddle_protocol_config_max_message; RADDLE_ERR_STATE for a server's settings: it does not mask. One
/// thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_protocol_config_own_keys(config: *mut ProtocolConfig) -> Status {
    with(config, |settings| {
        of_role(settings, Role::Client)?;
        settings.keys = Keys::Given;
        Ok(())
    })
}

/// Has raddle_protocol_tick send a Ping to a peer that is silent, and give it up when it stays silent. Default: off.
///
/// - `config`: the settings
/// - `interval`: a Ping is sent after so many milliseconds of silence; 0 turns it off
/// - `timeout`: the peer is given up when nothing was received for so many milliseconds after a Ping; at least 1
///
/// Returns as raddle_protocol_config_max_message. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_protocol_config_keepalive(config: *mut ProtocolConfig, interval: u64, timeout: u64) -> Status {
    with(config, |settings| {
        settings.keepalive = match interval {
            0 => None,
            _ => Some((arguments::time(interval, "interval")?, arguments::time(timeout, "timeout")?)),
        };
        Ok(())
    })
}

fn of_role(settings: &Settings, role: Role) -> Result<(), Failure> {
    if settings.role == role { Ok(()) } else { Err(Failure::state("the settings are of the other role")) }
}

//! What a client says of itself in its request, and what it offers.

use std::ffi::c_char;

use crate::arguments;
use crate::client::{Client, set};
use crate::deflate;
use crate::status::Status;

/// Offers a subprotocol (RFC 6455, section 1.9); of several the one that is liked best first.
///
/// - `client`: the settings
/// - `name`: one word
///
/// Whether it may be sent shows when it is to be, as with all that a client says of itself: connecting returns
/// RADDLE_ERR_ARGUMENT then, and nothing was sent.
///
/// Returns as raddle_client_max_message. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_client_subprotocol(client: *mut Client, name: *const c_char) -> Status {
    set(client, |settings| {
        let name = arguments::string(name, "name")?;
        settings.change(|client| client.subprotocol(name));
        Ok(())
    })
}

/// Has connecting fail where the server chooses none of the subprotocols that are offered.
///
/// - `client`: the settings
///
/// Returns as raddle_client_max_message. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_client_require_subprotocol(client: *mut Client) -> Status {
    set(client, |settings| {
        settings.change(raddle_client::Client::require_subprotocol);
        Ok(())
    })
}

/// Offers permessage-deflate (RFC 7692); the server may decline it. Of each number, 0 is the default.
///
/// - `client`: the settings
/// - `level`, `threshold`, `flags`, `server_window_bits`, `client_window_bits`: as with raddle_server_config_deflate
///
/// Returns as raddle_client_max_message. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_client_deflate(
    client: *mut Client,
    level: u32,
    threshold: usize,
    flags: u32,
    server_window_bits: u32,
    client_window_bits: u32,
) -> Status {
    set(client, |settings| {
        let deflate = deflate::parse(level, threshold, flags, server_window_bits, client_window_bits)?;
        settings.change(|client| client.deflate(deflate));
        Ok(())
    })
}

/// Says on whose behalf the client comes (RFC 6455, section 4.1).
///
/// - `client`: the settings
/// - `origin`: as "https://example.com"
///
/// Returns as raddle_client_max_message. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_client_origin(client: *mut Client, origin: *const c_char) -> Status {
    set(client, |settings| {
        let origin = arguments::string(origin, "origin")?;
        settings.change(|client| client.origin(origin));
        Ok(())
    })
}

/// Names the server by another name than the URL's in the Host header.
///
/// - `client`: the settings
/// - `host`: as "example.com" or "example.com:8080"
///
/// Returns as raddle_client_max_message. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_client_host(client: *mut Client, host: *const c_char) -> Status {
    set(client, |settings| {
        let host = arguments::string(host, "host")?;
        settings.change(|client| client.host(host));
        Ok(())
    })
}

/// Adds a header to the request. The handshake's own cannot be set: Host, Origin, Upgrade, Connection, Sec-WebSocket-…,
/// Content-Length and Transfer-Encoding. Those of Cookie, and what raddle_client_cookie adds, leave in one header. Authorization
/// takes the place of what was said before of who the client is: of raddle_client_header, _basic and _bearer the last one counts,
/// over what a URL says.
///
/// - `client`: the settings
/// - `name`: a token
/// - `value`: UTF-8 without control characters
///
/// Returns as raddle_client_max_message. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_client_header(client: *mut Client, name: *const c_char, value: *const c_char) -> Status {
    set(client, |settings| {
        let name = arguments::string(name, "name")?;
        let value = arguments::string(value, "value")?;
        settings.change(|client| client.header(name, value));
        Ok(())
    })
}

/// Sends a cookie; several leave in one header (RFC 6265, section 5.4), with those of raddle_client_header.
///
/// - `client`: the settings
/// - `name`, `value`: as the server has set it: a name that is no token, or a `;` in the value, which would begin another cookie,
///   shows as with raddle_client_subprotocol
///
/// Returns as raddle_client_max_message. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_client_cookie(client: *mut Client, name: *const c_char, value: *const c_char) -> Status {
    set(client, |settings| {
        let (name, value) = (arguments::string(name, "name")?, arguments::string(value, "value")?);
        settings.change(|client| client.cookie(name, value));
        Ok(())
    })
}

/// Says who the client is, with a user and a password (RFC 7617). Overrides those of a URL, and what was said before with
/// raddle_client_bearer or as Authorization.
///
/// - `client`: the settings
/// - `user`, `password`: UTF-8
///
/// Returns as raddle_client_max_message. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_client_basic(client: *mut Client, user: *const c_char, password: *const c_char) -> Status {
    set(client, |settings| {
        let (user, password) = (arguments::string(user, "user")?, arguments::string(password, "password")?);
        settings.change(|client| client.basic(user, password));
        Ok(())
    })
}

/// Says who the client is, with a token (RFC 6750). Overrides user and password of a URL, and what was said before with
/// raddle_client_basic or as Authorization.
///
/// - `client`: the settings
/// - `token`: in the form of section 2.1
///
/// Returns as raddle_client_max_message. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_client_bearer(client: *mut Client, token: *const c_char) -> Status {
    set(client, |settings| {
        let token = arguments::string(token, "token")?;
        settings.change(|client| client.bearer(token));
        Ok(())
    })
}

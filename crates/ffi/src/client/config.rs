//! What a program sets up a client with: limits, time-outs, and the way to the server.

use std::ffi::{c_char, c_int};
use std::net::SocketAddr;

use raddle_client::Proxy;
use raddle_socket::Options;

use crate::arguments;
use crate::client::{Client, Settings, set};
use crate::guard::guard;
use crate::handles::{Handle, to_id, to_pointer};
use crate::limits;
use crate::status::{Failure, Status};

/// Makes the settings of a client, with defaults that suit the open Internet.
///
/// - `client`: a place for the handle; it is freed with raddle_client_free
///
/// Returns RADDLE_OK. From any thread. Settings are changed by one thread at a time: others get RADDLE_ERR_BUSY. What was
/// connected with them stays as it is.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_client_new(client: *mut *mut Client) -> Status {
    guard(|| {
        let place = arguments::out(client, "client")?;
        place.put(to_pointer(Client::table().insert(Settings::default())?));
        Ok(())
    })
}

/// Frees settings. What was connected with them stays as it is.
///
/// - `client`: the settings; NULL is passed over
///
/// Returns RADDLE_OK, or RADDLE_ERR_HANDLE where they were freed before. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_client_free(client: *mut Client) -> Status {
    guard(|| {
        if !client.is_null() {
            drop(Client::table().take(to_id(client))?);
        }
        Ok(())
    })
}

/// Sets the largest message that is received, and frame of one: above it the connection fails with 1009. Default: 16 MiB.
///
/// - `client`: the settings
/// - `bytes`: any number; RADDLE_NO_LIMIT for none
///
/// Returns RADDLE_OK; RADDLE_ERR_ARGUMENT for a value that is not in order; RADDLE_ERR_UTF8 for a text that is none. With
/// any failure all stays as it is. One thread at a time: another gets RADDLE_ERR_BUSY.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_client_max_message(client: *mut Client, bytes: u64) -> Status {
    options(client, |options| limits::message(&mut options.limits, bytes))
}

/// Sets the largest frame that is received, where that is less than the largest message. To be called behind
/// raddle_client_max_message.
///
/// - `client`: the settings
/// - `bytes`: any number; RADDLE_NO_LIMIT for none
///
/// Returns as raddle_client_max_message. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_client_max_frame(client: *mut Client, bytes: u64) -> Status {
    options(client, |options| limits::frame(&mut options.limits, bytes))
}

/// Sets the most frames of one message: above it the connection fails with 1008. Default: 16,384.
///
/// - `client`: the settings
/// - `count`: at least 1
///
/// Returns as raddle_client_max_message. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_client_max_fragments(client: *mut Client, count: u32) -> Status {
    options(client, |options| limits::fragments(&mut options.limits, count))
}

/// Sets after which silence of the server a Ping is sent. Default: 20 s.
///
/// - `client`: the settings
/// - `milliseconds`: 0 for never
///
/// Returns as raddle_client_max_message. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_client_ping_interval(client: *mut Client, milliseconds: u64) -> Status {
    options(client, |options| limits::ping_interval(options, milliseconds))
}

/// Sets how long after a Ping the connection ends where nothing was received. Default: 20 s.
///
/// - `client`: the settings
/// - `milliseconds`: at least 1; RADDLE_NO_LIMIT for none
///
/// Returns as raddle_client_max_message. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_client_ping_timeout(client: *mut Client, milliseconds: u64) -> Status {
    options(client, |options| limits::time(&mut options.ping_timeout, milliseconds))
}

/// Sets the time that the closing handshake may take. Default: 5 s.
///
/// - `client`: the settings
/// - `milliseconds`: at least 1; RADDLE_NO_LIMIT for none
///
/// Returns as raddle_client_max_message. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_client_close_timeout(client: *mut Client, milliseconds: u64) -> Status {
    options(client, |options| limits::time(&mut options.close_timeout, milliseconds))
}

/// Sets the time that writing a message may take, to which its size at the lowest rate is added. Default: 30 s.
///
/// - `client`: the settings
/// - `milliseconds`: at least 1; RADDLE_NO_LIMIT for none
///
/// Returns as raddle_client_max_message. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_client_write_timeout(client: *mut Client, milliseconds: u64) -> Status {
    options(client, |options| limits::time(&mut options.write_timeout, milliseconds))
}

/// Sets the time that receiving a message may take from its first byte, to which its size at the lowest rate is added.
/// Default: 60 s.
///
/// - `client`: the settings
/// - `milliseconds`: at least 1; RADDLE_NO_LIMIT for none
///
/// Returns as raddle_client_max_message. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_client_message_timeout(client: *mut Client, milliseconds: u64) -> Status {
    options(client, |options| limits::time(&mut options.message_timeout, milliseconds))
}

/// Sets the rate of the slowest server that is put up with. Default: 16 KiB/s.
///
/// - `client`: the settings
/// - `bytes_per_second`: at least 1
///
/// Returns as raddle_client_max_message. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_client_min_rate(client: *mut Client, bytes_per_second: u64) -> Status {
    options(client, |options| limits::min_rate(options, bytes_per_second))
}

/// Sets how many bytes may wait to be written before raddle_client_when_full decides. Default: 1 MiB.
///
/// - `client`: the settings
/// - `bytes`: any number
///
/// Returns as raddle_client_max_message. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_client_outgoing_limit(client: *mut Client, bytes: usize) -> Status {
    options(client, |options| limits::outgoing(options, bytes))
}

/// Sets what a send does where the outgoing limit is reached. Default: RADDLE_WHEN_FULL_BLOCK.
///
/// - `client`: the settings
/// - `policy`: RADDLE_WHEN_FULL_…
///
/// Returns as raddle_client_max_message. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_client_when_full(client: *mut Client, policy: u32) -> Status {
    options(client, |options| limits::when_full(options, policy))
}

/// Sets above which size messages are sent in fragments of that size, so that control frames can pass between them.
/// Default: 1 MiB.
///
/// - `client`: the settings
/// - `bytes`: at least 1
///
/// Returns as raddle_client_max_message. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_client_fragment_size(client: *mut Client, bytes: usize) -> Status {
    options(client, |options| limits::fragment_size(options, bytes))
}

/// Sets the largest head of a response, interim ones included. Default: 16 KiB, with a first line of 8 KiB and 100 headers.
///
/// - `client`: the settings
/// - `head`: bytes of the whole head, at least 64
/// - `line`: bytes of its first line, at least 16
/// - `headers`: header lines, at least 5
///
/// Returns as raddle_client_max_message. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_client_head_limits(client: *mut Client, head: usize, line: usize, headers: usize) -> Status {
    set(client, |settings| {
        let limits = arguments::head_limits(head, line, headers)?;
        settings.change(|client| client.head_limits(limits));
        Ok(())
    })
}

/// Sets the time for all of connecting: looking the name up, TCP, the proxy, TLS, the opening handshake, redirects.
/// Default: 10 s.
///
/// - `client`: the settings
/// - `milliseconds`: at least 1; RADDLE_NO_LIMIT for none
///
/// Returns as raddle_client_max_message. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_client_connect_timeout(client: *mut Client, milliseconds: u64) -> Status {
    set(client, |settings| {
        let timeout = arguments::time(milliseconds, "milliseconds")?;
        settings.change(|client| client.connect_timeout(timeout));
        Ok(())
    })
}

/// Follows redirects. Default: none, so that one is a refusal. Where one leads to another scheme, host or port, Authorization, Cookie
/// and the host of raddle_client_host stay behind, for good, and so do the certificate of raddle_client_certificate and the name of
/// raddle_client_server_name; other headers go along. None leads from "wss" to "ws", and none is followed on a Unix socket, or on a
/// socket that was given.
///
/// - `client`: the settings
/// - `at_most`: so many
///
/// Returns as raddle_client_max_message. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_client_redirects(client: *mut Client, at_most: u32) -> Status {
    set(client, |settings| {
        settings.change(|client| client.redirects(at_most));
        Ok(())
    })
}

/// Goes through a proxy, which looks the server's name up.
///
/// - `client`: the settings
/// - `url`: as "http://proxy.example.com:8080" or "socks5://user:password@127.0.0.1:1080"
///
/// Returns as raddle_client_max_message; RADDLE_ERR_ARGUMENT where it has not that form. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_client_proxy(client: *mut Client, url: *const c_char) -> Status {
    set(client, |settings| {
        let proxy = arguments::string(url, "url")?.parse::<Proxy>();
        let proxy = proxy.map_err(|error| Failure::argument(format!("url: {error}")))?;
        settings.change(|client| client.proxy(proxy));
        Ok(())
    })
}

/// Connects to a Unix socket, whatever host a URL names.
///
/// - `client`: the settings
/// - `path`: the socket's
///
/// Returns as raddle_client_max_message. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_client_unix(client: *mut Client, path: *const c_char) -> Status {
    set(client, |settings| {
        let path = arguments::string(path, "path")?;
        settings.change(|client| client.unix(path));
        Ok(())
    })
}

/// Connects over a socket that is connected already, of TCP or a Unix socket, whatever host a URL names. TLS is spoken on it where
/// the scheme is "wss".
///
/// - `client`: the settings
/// - `fd`: the socket, which is duplicated: close yours. It serves one attempt to connect: with RADDLE_ERR_IO a further one
///   with these settings fails, as does raddle_reconnect_new
///
/// Returns as raddle_client_max_message; RADDLE_ERR_IO where it is no open descriptor. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_client_socket(client: *mut Client, fd: c_int) -> Status {
    set(client, |settings| {
        let socket = arguments::descriptor(fd, "fd")?;
        settings.change(|client| client.socket(socket));
        Ok(())
    })
}

/// Connects from an address of the machine. Servers' addresses of the other family are left out.
///
/// - `client`: the settings
/// - `address`: as "192.0.2.1:0" or "[2001:db8::1]:0"; port 0 takes any
///
/// Returns as raddle_client_max_message; RADDLE_ERR_ARGUMENT where it has not that form. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_client_local_address(client: *mut Client, address: *const c_char) -> Status {
    set(client, |settings| {
        let address = arguments::string(address, "address")?.parse::<SocketAddr>();
        let address = address.map_err(|_| Failure::argument("address: has not the form of one, as 192.0.2.1:0"))?;
        settings.change(|client| client.local_address(address));
        Ok(())
    })
}

fn options(client: *mut Client, change: impl FnOnce(&mut Options) -> Result<(), Failure>) -> Status {
    set(client, |settings| {
        let mut result = Ok(());
        settings.change(|client| client.with_options(|options| result = change(options)));
        result
    })
}

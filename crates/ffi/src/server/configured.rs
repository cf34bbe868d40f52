//! The setters of a server's settings, one for each limit: a number or a text in, checked when it is given.

use std::ffi::c_char;

use raddle_server::{AddressSource, IdentityPolicy, Options, Surplus, TrustedProxy};

use crate::arguments::{self, at_least};
use crate::deflate;
use crate::limits;
use crate::server::config::{
    Engine, RADDLE_ENGINE_ACCEPT, RADDLE_ENGINE_FED_QUEUE, RADDLE_ENGINE_POOL, RADDLE_ENGINE_QUEUE,
    RADDLE_ENGINE_THREADS, ServerConfig, set,
};
use crate::status::{Failure, Status};

/// One connection too many of an identity is refused with 409.
pub const RADDLE_SURPLUS_REFUSE: u32 = 1;
/// It is opened and closed at once with Close 4409, which a browser's page can read.
pub const RADDLE_SURPLUS_CLOSE: u32 = 2;
/// It takes the place of the identity's oldest connection, which is closed with 4409.
pub const RADDLE_SURPLUS_REPLACE_OLDEST: u32 = 3;

/// The PROXY protocol, version 1 or 2, tells the client's address.
pub const RADDLE_PROXY_PROTOCOL: u32 = 1;
/// The header Forwarded (RFC 7239) tells it.
pub const RADDLE_PROXY_FORWARDED: u32 = 2;
/// The header X-Forwarded-For tells it.
pub const RADDLE_PROXY_X_FORWARDED_FOR: u32 = 3;

/// Chooses how the server serves. Default: RADDLE_ENGINE_THREADS.
///
/// - `config`: the settings
/// - `engine`: RADDLE_ENGINE_…
///
/// Returns RADDLE_OK; RADDLE_ERR_ARGUMENT for a value that is not in order; RADDLE_ERR_UTF8 for a text that is none. With
/// any failure all stays as it is. One thread at a time: another gets RADDLE_ERR_BUSY.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_server_config_engine(config: *mut ServerConfig, engine: u32) -> Status {
    let engines = [
        (RADDLE_ENGINE_THREADS, Engine::Threads),
        (RADDLE_ENGINE_POOL, Engine::Pool),
        (RADDLE_ENGINE_QUEUE, Engine::Queue),
        (RADDLE_ENGINE_FED_QUEUE, Engine::FedQueue),
        (RADDLE_ENGINE_ACCEPT, Engine::Accept),
    ];
    set(config, |config| {
        config.engine = arguments::one_of(engine, &engines, "engine")?;
        Ok(())
    })
}

/// Sets the number of threads of engines pool and fed queue. Default: as many as the machine has cores.
///
/// - `config`: the settings
/// - `count`: 1 to 1,024
///
/// Returns as raddle_server_config_engine. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_server_config_workers(config: *mut ServerConfig, count: u32) -> Status {
    set(config, |config| {
        if !(1..=1024).contains(&count) {
            return Err(Failure::argument("count: 1 to 1,024 workers"));
        }
        config.workers = Some(count as usize);
        Ok(())
    })
}

/// Sets the size in bytes of the stack of each connection's thread, for engine threads. Default: 2 MiB of address space, of
/// which only what is used takes memory.
///
/// - `config`: the settings
/// - `bytes`: 65,536 to 2^30
///
/// Returns as raddle_server_config_engine. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_server_config_stack_size(config: *mut ServerConfig, bytes: usize) -> Status {
    set(config, |config| {
        if !(1 << 16..=1 << 30).contains(&bytes) {
            return Err(Failure::argument("bytes: a stack has 65,536 to 2^30"));
        }
        config.stack_size = Some(bytes);
        Ok(())
    })
}

/// Sets the largest message that is received, and frame of one: above it the connection fails with 1009. Default: 1 MiB.
///
/// - `config`: the settings
/// - `bytes`: any number; RADDLE_NO_LIMIT for none
///
/// Returns as raddle_server_config_engine. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_server_config_max_message(config: *mut ServerConfig, bytes: u64) -> Status {
    options(config, |options| limits::message(&mut options.limits, bytes))
}

/// Sets the largest frame that is received, where that is less than the largest message. To be called behind
/// raddle_server_config_max_message.
///
/// - `config`: the settings
/// - `bytes`: any number; RADDLE_NO_LIMIT for none
///
/// Returns as raddle_server_config_engine. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_server_config_max_frame(config: *mut ServerConfig, bytes: u64) -> Status {
    options(config, |options| limits::frame(&mut options.limits, bytes))
}

/// Sets the most frames of one message: above it the connection fails with 1008. Default: 16,384.
///
/// - `config`: the settings
/// - `count`: at least 1
///
/// Returns as raddle_server_config_engine. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_server_config_max_fragments(config: *mut ServerConfig, count: u32) -> Status {
    options(config, |options| limits::fragments(&mut options.limits, count))
}

/// Sets after which silence of the peer a Ping is sent. Default: 20 s.
///
/// - `config`: the settings
/// - `milliseconds`: 0 for never
///
/// Returns as raddle_server_config_engine. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_server_config_ping_interval(config: *mut ServerConfig, milliseconds: u64) -> Status {
    options(config, |options| limits::ping_interval(options, milliseconds))
}

/// Sets how long after a Ping the connection ends where nothing was received. Default: 20 s.
///
/// - `config`: the settings
/// - `milliseconds`: at least 1; RADDLE_NO_LIMIT for none
///
/// Returns as raddle_server_config_engine. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_server_config_ping_timeout(config: *mut ServerConfig, milliseconds: u64) -> Status {
    options(config, |options| limits::time(&mut options.ping_timeout, milliseconds))
}

/// Sets the time that the closing handshake may take. Default: 5 s.
///
/// - `config`: the settings
/// - `milliseconds`: at least 1; RADDLE_NO_LIMIT for none
///
/// Returns as raddle_server_config_engine. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_server_config_close_timeout(config: *mut ServerConfig, milliseconds: u64) -> Status {
    options(config, |options| limits::time(&mut options.close_timeout, milliseconds))
}

/// Sets the time that writing a message may take, to which its size at the lowest rate is added. Default: 30 s.
///
/// - `config`: the settings
/// - `milliseconds`: at least 1; RADDLE_NO_LIMIT for none
///
/// Returns as raddle_server_config_engine. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_server_config_write_timeout(config: *mut ServerConfig, milliseconds: u64) -> Status {
    options(config, |options| limits::time(&mut options.write_timeout, milliseconds))
}

/// Sets the time that receiving a message may take from its first byte, to which its size at the lowest rate is added.
/// Default: 60 s.
///
/// - `config`: the settings
/// - `milliseconds`: at least 1; RADDLE_NO_LIMIT for none
///
/// Returns as raddle_server_config_engine. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_server_config_message_timeout(config: *mut ServerConfig, milliseconds: u64) -> Status {
    options(config, |options| limits::time(&mut options.message_timeout, milliseconds))
}

/// Sets the rate of the slowest peer that is served. Default: 16 KiB/s.
///
/// - `config`: the settings
/// - `bytes_per_second`: at least 1
///
/// Returns as raddle_server_config_engine. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_server_config_min_rate(config: *mut ServerConfig, bytes_per_second: u64) -> Status {
    options(config, |options| limits::min_rate(options, bytes_per_second))
}

/// Sets how many bytes may wait to be written before raddle_server_config_when_full decides. Default: 1 MiB.
///
/// - `config`: the settings
/// - `bytes`: any number
///
/// Returns as raddle_server_config_engine. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_server_config_outgoing_limit(config: *mut ServerConfig, bytes: usize) -> Status {
    options(config, |options| limits::outgoing(options, bytes))
}

/// Sets what a send does where the outgoing limit is reached. Default: RADDLE_WHEN_FULL_BLOCK.
///
/// - `config`: the settings
/// - `policy`: RADDLE_WHEN_FULL_…
///
/// Returns as raddle_server_config_engine. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_server_config_when_full(config: *mut ServerConfig, policy: u32) -> Status {
    options(config, |options| limits::when_full(options, policy))
}

/// Sets above which size messages are sent in fragments of that size, so that control frames can pass between them.
/// Default: 1 MiB.
///
/// - `config`: the settings
/// - `bytes`: at least 1
///
/// Returns as raddle_server_config_engine. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_server_config_fragment_size(config: *mut ServerConfig, bytes: usize) -> Status {
    options(config, |options| limits::fragment_size(options, bytes))
}

/// Agrees on permessage-deflate (RFC 7692) with clients that offer it. Default: with none. Of each number, 0 is the default.
///
/// - `config`: the settings
/// - `level`: how hard the compressor tries: 1, the default and fastest, to 9
/// - `threshold`: messages of fewer bytes are sent uncompressed; by default of fewer than 64
/// - `flags`: RADDLE_SERVER_NO_CONTEXT_TAKEOVER, RADDLE_CLIENT_NO_CONTEXT_TAKEOVER, or both
/// - `server_window_bits`, `client_window_bits`: each side looks back 2^n bytes at most: 9 to 15, by default 15
///
/// Returns as raddle_server_config_engine. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_server_config_deflate(
    config: *mut ServerConfig,
    level: u32,
    threshold: usize,
    flags: u32,
    server_window_bits: u32,
    client_window_bits: u32,
) -> Status {
    set(config, |config| {
        config.deflate = Some(deflate::parse(level, threshold, flags, server_window_bits, client_window_bits)?);
        Ok(())
    })
}

/// Sets the largest head of a request. Default: 16 KiB, with a first line of 8 KiB and 100 headers.
///
/// - `config`: the settings
/// - `head`: bytes of the whole head, at least 64
/// - `line`: bytes of its first line, at least 16
/// - `headers`: header lines, at least 5
///
/// Returns as raddle_server_config_engine. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_server_config_head_limits(
    config: *mut ServerConfig,
    head: usize,
    line: usize,
    headers: usize,
) -> Status {
    set(config, |config| {
        config.head = arguments::head_limits(head, line, headers)?;
        Ok(())
    })
}

/// Adds a page that may connect, by the Origin that its browser sends (RFC 6455, section 10.2). Default: pages of the same
/// host and port. Clients that send no Origin are no browsers, and pass.
///
/// - `config`: the settings
/// - `origin`: as "https://example.com" or "https://*.example.com"; without a scheme, http and https are meant
///
/// Returns as raddle_server_config_engine; RADDLE_ERR_ARGUMENT where it has not that form. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_server_config_allow_origin(config: *mut ServerConfig, origin: *const c_char) -> Status {
    set(config, |config| {
        config.origins.get_or_insert_default().push(limits::origin(origin)?);
        Ok(())
    })
}

/// Has pages of any origin connect. For services that give nothing to a browser's cookies or place in the network.
///
/// - `config`: the settings
///
/// Returns as raddle_server_config_engine. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_server_config_allow_any_origin(config: *mut ServerConfig) -> Status {
    set(config, |config| {
        config.any_origin = true;
        Ok(())
    })
}

/// Adds a name under which the server may be addressed. Default: any; on a loopback address only that machine's own names.
///
/// - `config`: the settings
/// - `host`: as "example.com" or "example.com:8080"
///
/// Returns as raddle_server_config_engine; RADDLE_ERR_ARGUMENT where it has not that form. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_server_config_allow_host(config: *mut ServerConfig, host: *const c_char) -> Status {
    set(config, |config| {
        config.hosts.get_or_insert_default().push(limits::host(host)?);
        Ok(())
    })
}

/// Has the server be addressed under any name, on a loopback address as well.
///
/// - `config`: the settings
///
/// Returns as raddle_server_config_engine. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_server_config_allow_any_host(config: *mut ServerConfig) -> Status {
    set(config, |config| {
        config.any_host = true;
        Ok(())
    })
}

/// Supports a subprotocol. May be called several times; the client's order of preference decides.
///
/// - `config`: the settings
/// - `name`: one word
///
/// Returns as raddle_server_config_engine. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_server_config_subprotocol(config: *mut ServerConfig, name: *const c_char) -> Status {
    set(config, |config| {
        config.subprotocols.push(limits::subprotocol(name)?);
        Ok(())
    })
}

/// Sets the time for an opening handshake, from accept(2) to the decision. Default: 10 s.
///
/// - `config`: the settings
/// - `milliseconds`: at least 1; RADDLE_NO_LIMIT for none
///
/// Returns as raddle_server_config_engine. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_server_config_handshake_timeout(config: *mut ServerConfig, milliseconds: u64) -> Status {
    set(config, |config| {
        config.handshake_timeout = Some(arguments::time(milliseconds, "milliseconds")?);
        Ok(())
    })
}

/// Sets the number of connections at a time, opening handshakes included; more are answered with 503. Default: 4,096.
///
/// - `config`: the settings
/// - `count`: at least 1
///
/// Returns as raddle_server_config_engine. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_server_config_max_connections(config: *mut ServerConfig, count: usize) -> Status {
    set(config, |config| {
        config.max_connections = Some(at_least(count, 1, "count")?);
        Ok(())
    })
}

/// Sets the number of connections of one address at a time, an IPv6 /64 being one; more are closed unheard. Default: any.
///
/// - `config`: the settings
/// - `count`: at least 1
///
/// Returns as raddle_server_config_engine. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_server_config_max_connections_per_ip(config: *mut ServerConfig, count: usize) -> Status {
    set(config, |config| {
        config.max_connections_per_ip = Some(at_least(count, 1, "count")?);
        Ok(())
    })
}

/// Sets the number of new connections of one address in any such period; more are closed unheard. Default: any.
///
/// - `config`: the settings
/// - `count`: at least 1
/// - `period_ms`: at least 1
///
/// Returns as raddle_server_config_engine. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_server_config_connection_rate_per_ip(
    config: *mut ServerConfig,
    count: u32,
    period_ms: u64,
) -> Status {
    set(config, |config| {
        config.rate = Some((at_least(count, 1, "count")?, arguments::time(period_ms, "period_ms")?));
        Ok(())
    })
}

/// Sets the number of opening handshakes at a time; for one more, the oldest is closed. Default: 512.
///
/// - `config`: the settings
/// - `count`: at least 1
///
/// Returns as raddle_server_config_engine. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_server_config_max_handshakes(config: *mut ServerConfig, count: usize) -> Status {
    set(config, |config| {
        config.max_handshakes = Some(at_least(count, 1, "count")?);
        Ok(())
    })
}

/// Sets the bytes that all connections together may have buffered: of messages that are not complete, of those that wait for
/// their handler, and of output that waits for its peer. Where there are more, the connection that has the most is closed with
/// 1013. Default: 512 MiB.
///
/// - `config`: the settings
/// - `bytes`: at least 65,536
///
/// Returns as raddle_server_config_engine. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_server_config_max_buffered(config: *mut ServerConfig, bytes: usize) -> Status {
    set(config, |config| {
        config.max_buffered = Some(at_least(bytes, 1 << 16, "bytes")?);
        Ok(())
    })
}

/// Sets how many connections of one identity there may be at a time, and what becomes of one more. Default: any.
/// raddle_request_set_identity says who a client is.
///
/// - `config`: the settings
/// - `allowed`: at least 1
/// - `surplus`: RADDLE_SURPLUS_…
///
/// Returns as raddle_server_config_engine. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_server_config_identity_policy(
    config: *mut ServerConfig,
    allowed: usize,
    surplus: u32,
) -> Status {
    let kinds = [
        (RADDLE_SURPLUS_REFUSE, Surplus::Refuse),
        (RADDLE_SURPLUS_CLOSE, Surplus::Close),
        (RADDLE_SURPLUS_REPLACE_OLDEST, Surplus::ReplaceOldest),
    ];
    set(config, |config| {
        let surplus = arguments::one_of(surplus, &kinds, "surplus")?;
        config.identity = Some(IdentityPolicy { allowed: at_least(allowed, 1, "allowed")?, surplus });
        Ok(())
    })
}

/// Trusts a proxy, on whose connections the client's address is taken from what it says. May be called several times, with
/// the same `source`. Default: nobody is trusted.
///
/// - `config`: the settings
/// - `source`: RADDLE_PROXY_…: where the proxy says it. It has to be the one that the proxy sets
/// - `proxy`: an address, a network as "10.0.0.0/8", or "unix" for whoever connects to a Unix socket
///
/// Returns as raddle_server_config_engine. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_server_config_trust_proxy(
    config: *mut ServerConfig,
    source: u32,
    proxy: *const c_char,
) -> Status {
    let sources = [
        (RADDLE_PROXY_PROTOCOL, AddressSource::ProxyProtocol),
        (RADDLE_PROXY_FORWARDED, AddressSource::Forwarded),
        (RADDLE_PROXY_X_FORWARDED_FOR, AddressSource::XForwardedFor),
    ];
    set(config, |config| {
        let source = arguments::one_of(source, &sources, "source")?;
        let proxy: TrustedProxy = arguments::string(proxy, "proxy")?
            .parse()
            .map_err(|_| Failure::argument("proxy: an address, a network as 10.0.0.0/8, or unix"))?;
        if config.proxy_source.is_some_and(|before| before != source) {
            return Err(Failure::state("all trusted proxies have the same source"));
        }
        config.proxy_source = Some(source);
        config.proxies.push(proxy);
        Ok(())
    })
}

/// Keeps the headers of the request with each connection, for raddle_conn_header: some hundred bytes for each. Default:
/// they are there for the decision only.
///
/// - `config`: the settings
/// - `keep`: 1 or 0
///
/// Returns as raddle_server_config_engine. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_server_config_keep_headers(config: *mut ServerConfig, keep: u32) -> Status {
    set(config, |config| {
        config.keeps_heads = arguments::one_of(keep, &[(0, false), (1, true)], "keep")?;
        Ok(())
    })
}

/// Makes each request an event of engines queue and fed queue, RADDLE_REQUEST. With other engines it changes nothing. Default:
/// they are decided on as raddle_server_config_on_request says.
///
/// - `config`: the settings
/// - `on`: 1 or 0
///
/// Returns as raddle_server_config_engine. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_server_config_requests_as_events(config: *mut ServerConfig, on: u32) -> Status {
    set(config, |config| {
        config.requests_as_events = arguments::one_of(on, &[(0, false), (1, true)], "on")?;
        Ok(())
    })
}

fn options(config: *mut ServerConfig, change: impl FnOnce(&mut Options) -> Result<(), Failure>) -> Status {
    set(config, |config| change(&mut config.options))
}

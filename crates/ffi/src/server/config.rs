//! What a program sets up a server with, before it is started.

use std::time::Duration;

use raddle_core::handshake::HeadLimits;
use raddle_server::{AddressSource, Deflate, IdentityPolicy, Options, TrustedProxy};

use crate::arguments;
use crate::guard::{Depth, guard, trip};
use crate::handles::{Handle, Kind, Table, to_id, to_pointer};
use crate::server::callbacks::Callbacks;
use crate::server::listeners::Place;
use crate::server::requests::Hook;
use crate::status::{Failure, Status};

/// The settings of a server. See raddle_server_config_new.
pub struct ServerConfig {
    _opaque: (),
}

/// No limit, for limits that may have none.
pub const RADDLE_NO_LIMIT: u64 = u64::MAX;

/// A thread for each connection calls the callbacks, which may block.
pub const RADDLE_ENGINE_THREADS: u32 = 1;
/// Some threads call the callbacks for all connections, which must not block: for thousands of connections.
pub const RADDLE_ENGINE_POOL: u32 = 2;
/// The program's thread takes events with raddle_server_poll, and is the worker: no other thread reads or writes.
pub const RADDLE_ENGINE_QUEUE: u32 = 3;
/// The program takes open connections with raddle_server_accept, and receives with raddle_recv, on threads of its own.
pub const RADDLE_ENGINE_ACCEPT: u32 = 4;

/// The program takes events with raddle_server_poll, as with RADDLE_ENGINE_QUEUE, but some threads of the library read and
/// parse for it: for programs whose thread has much else to do. Each message is copied once more. A Close of the peer, or what fails
/// its connection, waits behind its messages until the poll that follows them, so that they can be answered.
pub const RADDLE_ENGINE_FED_QUEUE: u32 = 5;

/// Makes settings with the defaults: engine threads, no listener, and limits that suit a server on the open Internet.
///
/// - `config`: a place for the handle; it is freed with raddle_server_config_free
///
/// Returns RADDLE_OK. From any thread. Settings are used by one thread at a time: others get RADDLE_ERR_BUSY.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_server_config_new(config: *mut *mut ServerConfig) -> Status {
    guard(|| {
        let place = arguments::out(config, "config")?;
        place.put(to_pointer(ServerConfig::table().insert(Config::default())?));
        Ok(())
    })
}

/// Frees settings. Servers that were made of them go on.
///
/// - `config`: the settings; NULL is passed over
///
/// Returns RADDLE_OK, or RADDLE_ERR_HANDLE where they were freed before. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_server_config_free(config: *mut ServerConfig) -> Status {
    guard(|| {
        if !config.is_null() {
            drop(ServerConfig::table().take(to_id(config))?);
        }
        Ok(())
    })
}

/// What a program has set up.
#[derive(Default)]
pub(crate) struct Config {
    pub(crate) places: Vec<Place>,
    pub(crate) engine: Engine,
    pub(crate) callbacks: Callbacks,
    pub(crate) hook: Option<Hook>,
    pub(crate) keeps_heads: bool,
    pub(crate) requests_as_events: bool,
    pub(crate) options: Options,
    pub(crate) deflate: Option<Deflate>,
    pub(crate) head: HeadLimits,
    pub(crate) origins: Option<Vec<String>>,
    pub(crate) any_origin: bool,
    pub(crate) hosts: Option<Vec<String>>,
    pub(crate) any_host: bool,
    pub(crate) subprotocols: Vec<String>,
    pub(crate) handshake_timeout: Option<Duration>,
    pub(crate) max_connections: Option<usize>,
    pub(crate) max_connections_per_ip: Option<usize>,
    pub(crate) rate: Option<(u32, Duration)>,
    pub(crate) max_handshakes: Option<usize>,
    pub(crate) max_buffered: Option<usize>,
    pub(crate) max_topics: Option<usize>,
    pub(crate) workers: Option<usize>,
    pub(crate) stack_size: Option<usize>,
    pub(crate) identity: Option<IdentityPolicy>,
    pub(crate) proxy_source: Option<AddressSource>,
    pub(crate) proxies: Vec<TrustedProxy>,
}

/// How a server serves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Engine {
    #[default]
    Threads,
    Pool,
    Queue,
    FedQueue,
    Accept,
}

impl Handle for ServerConfig {
    type Value = Config;

    fn table() -> &'static Table<Config> {
        static TABLE: Table<Config> = Table::new(Kind::ServerConfig);
        &TABLE
    }
}

/// Changes settings.
pub(crate) fn set(config: *mut ServerConfig, change: impl FnOnce(&mut Config) -> Result<(), Failure>) -> Status {
    guard(|| {
        ServerConfig::table().use_alone(to_id(config), |config| {
            trip(Depth::Handle);
            change(config)
        })
    })
}

//! The life of a server: settings in, a server that serves out; where it listens; its end.

use std::ffi::c_char;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use raddle_core::handshake::{Hosts, Origins};
use raddle_server::Builder;

use crate::arguments::{self, TextOut};
use crate::connection::info::not_found;
use crate::connections;
use crate::guard::guard;
use crate::handles::{Handle as _, to_id, to_pointer};
use crate::server::callbacks::Caller;
use crate::server::config::{Config, Engine, ServerConfig};
use crate::server::fed::{Feed, Feeder, Taker};
use crate::server::queue::Queue;
use crate::server::requests::Pending;
use crate::server::{Core, Server, Serving, Way, lent, with};
use crate::status::{Failure, Status};

/// Makes a server, and binds its addresses: clients can connect, and are answered once it was started.
///
/// - `config`: the settings, which can be changed, used again or freed afterwards
/// - `server`: a place for the handle; it is freed with raddle_server_free
///
/// Returns RADDLE_OK; RADDLE_ERR_IO where an address cannot be bound; RADDLE_ERR_ARGUMENT where an origin, a host or a
/// subprotocol of the settings is none; RADDLE_ERR_STATE where the settings have no listener. With a failure nothing is
/// bound. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_server_new(config: *mut ServerConfig, server: *mut *mut Server) -> Status {
    guard(|| {
        let place = arguments::out(server, "server")?;
        let serving = ServerConfig::table().use_alone(to_id(config), |config| make(config))?;
        place.put(to_pointer(Server::table().insert(Arc::new(serving))?));
        Ok(())
    })
}

/// Starts a server: it serves from then on. In engines queue and accept, raddle_server_poll and raddle_server_accept can be
/// called.
///
/// - `server`: the server
///
/// Returns RADDLE_OK; RADDLE_ERR_IO where a thread cannot be started; RADDLE_ERR_STATE where it was started before. From any
/// thread. Callbacks may be called before it returns.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_server_start(server: *mut Server) -> Status {
    guard(|| with(server, |serving| start(serving)))
}

/// Gives the port of the first TCP listener, which the system has chosen for port 0.
///
/// - `server`: the server
/// - `port`: a place for the port
///
/// Returns RADDLE_OK, or RADDLE_ERR_NOT_FOUND where there is no such listener. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_server_port(server: *const Server, port: *mut u16) -> Status {
    guard(|| {
        let place = arguments::out(port, "port")?;
        with(server, |serving| {
            let address = serving.server.local_addrs().first();
            place.put(address.ok_or_else(|| not_found("the server has no TCP listener"))?.port());
            Ok(())
        })
    })
}

/// Gives the address of a TCP listener, as "127.0.0.1:9001" or "[::1]:9001".
///
/// - `server`: the server
/// - `index`: from 0 on, in the order in which they were set up
/// - `buffer`, `size`, `length`: as with raddle_conn_target
///
/// Returns as raddle_conn_target, and RADDLE_ERR_NOT_FOUND behind the last. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_server_address(
    server: *const Server,
    index: usize,
    buffer: *mut c_char,
    size: usize,
    length: *mut usize,
) -> Status {
    guard(|| {
        let place = TextOut::new(buffer, size, length)?;
        with(server, |serving| {
            let address = serving.server.local_addrs().get(index);
            place.put(address.ok_or_else(|| not_found("the server has no further TCP listener"))?.to_string())
        })
    })
}

/// Takes no new connections, and serves those that are there until they end by themselves. raddle_server_join then waits
/// for the last. Can be followed by raddle_server_stop.
///
/// - `server`: the server
///
/// Returns RADDLE_OK at once. From any thread, in callbacks too.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_server_drain(server: *mut Server) -> Status {
    guard(|| {
        with(server, |serving| {
            serving.server.drain();
            Ok(())
        })
    })
}

/// Stops the server: no new connections, Close 1001 to all, and after the grace those that are left are cut.
///
/// - `server`: the server
/// - `grace_ms`: the grace; the shortest of several counts
///
/// Returns RADDLE_OK at once, again and again. From any thread, in callbacks too. Whoever polls or accepts gets what is
/// left, and then RADDLE_ERR_CLOSED.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_server_stop(server: *mut Server, grace_ms: u64) -> Status {
    guard(|| {
        with(server, |serving| {
            serving.note_stop();
            serving.server.stop(Duration::from_millis(grace_ms));
            Ok(())
        })
    })
}

/// Stops the server as raddle_server_stop does, but tells the clients one after the other, so that they do not all come back
/// at the same moment.
///
/// - `server`: the server
/// - `grace_ms`: the grace
/// - `spread_ms`: the part of it over which the clients are told
///
/// Returns RADDLE_OK at once. From any thread, in callbacks too.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_server_stop_spread(server: *mut Server, grace_ms: u64, spread_ms: u64) -> Status {
    guard(|| {
        with(server, |serving| {
            serving.note_stop();
            serving.server.stop_spread(Duration::from_millis(grace_ms), Duration::from_millis(spread_ms));
            Ok(())
        })
    })
}

/// Waits until the server has ended and its threads have made their last call. Does not stop it.
///
/// - `server`: the server
/// - `timeout_ms`: how long to wait; negative: without end
///
/// Returns RADDLE_OK; RADDLE_ERR_TIMEOUT where callbacks have not returned, or connections are left. From any thread; in a
/// callback it would wait for itself. Engine accept: the program's own threads are not waited for.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_server_join(server: *const Server, timeout_ms: i64) -> Status {
    guard(|| {
        with(server, |serving| {
            let timeout = arguments::timeout(timeout_ms);
            loop {
                match serving.server.join(timeout.unwrap_or(LONG)) {
                    Ok(()) => return Ok(()),
                    Err(running) if timeout.is_some() => {
                        return Err(Failure::new(Status::RADDLE_ERR_TIMEOUT, running.to_string()));
                    }
                    Err(_) => {}
                }
            }
        })
    })
}

/// Frees a server. One that was not stopped is stopped with no grace: its connections are cut.
///
/// - `server`: the server; NULL is passed over
///
/// Does not wait: calls of other threads that are under way return, callbacks go on until they have returned, and the
/// `destroy` of their `user` says that the last has. Connections of engine accept stay the program's. The events, and
/// payloads, of this thread's last raddle_server_poll must not be used any more, unless this is called within it; what
/// another thread has polled is valid until that polls again or ends, and keeps the `destroy` of
/// raddle_server_config_on_request waiting as long.
///
/// Returns RADDLE_OK, or RADDLE_ERR_HANDLE where it was freed before. From any thread, in callbacks too.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_server_free(server: *mut Server) -> Status {
    guard(|| {
        if !server.is_null() {
            let serving = Server::table().take(to_id(server))?;
            serving.note_stop();
            serving.is_freed.store(true, Ordering::SeqCst);
            // Wakes whoever waits with it.
            serving.server.stop(Duration::ZERO);
            lent::give_back(to_id(server));
            connections::clear_turn();
            serving.settle();
        }
        Ok(())
    })
}

fn make(config: &Config) -> Result<Serving, Failure> {
    if config.places.is_empty() {
        return Err(Failure::state("the settings have no listener"));
    }
    let core = Core::new(config.keeps_heads);
    let mut builder = settings(config);
    builder = match (&config.hook, config.keeps_heads) {
        (Some(hook), _) => {
            let (hook, core) = (hook.clone(), Arc::clone(&core));
            builder.on_request(move |request| hook.decide(request, &core))
        }
        (None, true) => {
            let core = Arc::clone(&core);
            // A request that is no opening handshake is answered, and one that is late has been.
            builder.on_request(move |request| drop(Pending::new(request, &core).accept()))
        }
        (None, false) => builder,
    };
    let feed = (config.engine == Engine::FedQueue).then(|| Feed::new(&core)).transpose()?;
    builder = match &feed {
        Some(feed) if config.requests_as_events => {
            let feed = Arc::clone(feed);
            builder.on_request(move |request| feed.ask(request))
        }
        None if config.requests_as_events => builder.requests_as_events(),
        _ => builder,
    };
    for place in &config.places {
        builder = place.add_to(builder).map_err(|error| cannot_listen(&place.name(), &error))?;
    }
    Ok(Serving {
        server: builder.build()?,
        core,
        engine: config.engine,
        feed,
        callbacks: Mutex::new(Some(config.callbacks.clone())),
        way: OnceLock::new(),
        is_stopped: AtomicBool::new(false),
        is_freed: AtomicBool::new(false),
    })
}

fn start(serving: &Serving) -> Result<(), Failure> {
    // Held until it was started: nobody else starts it meanwhile.
    let mut callbacks = serving.callbacks.lock();
    let calls = callbacks.as_ref().ok_or_else(|| Failure::state("the server was started before"))?;
    let caller = || Caller { callbacks: calls.clone(), core: Arc::clone(&serving.core) };
    let way = match serving.engine {
        Engine::Threads => {
            let caller = caller();
            serving.server.start(move |reader, writer| caller.serve(reader, &writer))?;
            Way::Callbacks
        }
        Engine::Pool => {
            serving.server.start_pool(caller())?;
            Way::Callbacks
        }
        Engine::Queue => {
            let events = serving.server.event_loop()?;
            let waker = events.waker();
            let queue = Box::new(Mutex::new(Queue::new(events, Arc::clone(&serving.core))));
            Way::Queue { queue, waker }
        }
        Engine::FedQueue => {
            let feed = serving.feed.as_ref().expect("it was made with the server");
            serving.server.start_pool(Feeder(Arc::clone(feed)))?;
            Way::Fed { taker: Box::new(Mutex::new(Taker::new(Arc::clone(feed)))), feed: Arc::clone(feed) }
        }
        Engine::Accept => Way::Accept,
    };
    let _ = serving.way.set(way);
    let unused = callbacks.take();
    drop(callbacks);
    drop(unused);
    Ok(())
}

fn settings(config: &Config) -> Builder {
    let mut builder = raddle_server::Server::builder().options(config.options.clone()).head_limits(config.head);
    if let Some(deflate) = config.deflate {
        builder = builder.deflate(deflate);
    }
    if config.any_origin {
        builder = builder.origins(Origins::Any);
    } else if let Some(origins) = &config.origins {
        builder = builder.origins(Origins::List(origins.clone()));
    }
    if config.any_host {
        builder = builder.hosts(Hosts::Any);
    } else if let Some(hosts) = &config.hosts {
        builder = builder.hosts(Hosts::List(hosts.clone()));
    }
    for name in &config.subprotocols {
        builder = builder.subprotocol(name);
    }
    if let Some(timeout) = config.handshake_timeout {
        builder = builder.handshake_timeout(timeout);
    }
    if let Some(count) = config.max_connections {
        builder = builder.max_connections(count);
    }
    if let Some(count) = config.max_connections_per_ip {
        builder = builder.max_connections_per_ip(count);
    }
    if let Some((count, period)) = config.rate {
        builder = builder.connection_rate_per_ip(count, period);
    }
    if let Some(count) = config.max_handshakes {
        builder = builder.max_handshakes(count);
    }
    if let Some(bytes) = config.max_buffered {
        builder = builder.max_buffered(bytes);
    }
    if let Some(count) = config.max_topics {
        builder = builder.max_topics(count);
    }
    if let Some(count) = config.workers {
        builder = builder.workers(count);
    }
    if let Some(bytes) = config.stack_size {
        builder = builder.stack_size(bytes);
    }
    if let Some(policy) = config.identity {
        builder = builder.identity_policy(policy);
    }
    if let Some(source) = config.proxy_source {
        builder = builder.trusted_proxies(source, config.proxies.iter().copied());
    }
    builder
}

fn cannot_listen(place: &str, error: &io::Error) -> Failure {
    Failure::new(Status::RADDLE_ERR_IO, format!("cannot listen on {place}: {error}"))
}

/// A wait without end is made of these.
const LONG: Duration = Duration::from_secs(3600);

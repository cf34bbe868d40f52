//! Messages for many: topics, and all connections of a server; and which connections there are.

use std::ffi::c_char;

use raddle_server::ConnectionId;

use crate::arguments::{self, TextOut};
use crate::connection::info::not_found;
use crate::connections::{self, Conn};
use crate::guard::guard;
use crate::message::{Connection, outgoing};
use crate::server::config::{ServerConfig, set};
use crate::server::{Server, Serving, with};
use crate::status::{Failure, Status};

/// Sets the topics that a connection may have subscribed to at a time, for programs that subscribe at a client's wish: for one more,
/// raddle_server_subscribe returns RADDLE_ERR_LIMIT. One whose name has more than 256 bytes counts as several, one for every 256.
/// Default: 1,024.
///
/// - `config`: the settings
/// - `count`: any number; SIZE_MAX for no limit
///
/// Returns as raddle_server_config_engine. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_server_config_max_topics(config: *mut ServerConfig, count: usize) -> Status {
    set(config, |config| {
        config.max_topics = Some(count);
        Ok(())
    })
}

/// Has a connection get what is published to a topic, until it ends.
///
/// - `server`: the server
/// - `conn`: a connection of it
/// - `topic`: any text that is not empty
///
/// Returns RADDLE_OK, where it does already as well; RADDLE_ERR_CLOSED where it has ended; RADDLE_ERR_LIMIT where it has as many
/// topics as raddle_server_config_max_topics allows: it keeps those. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_server_subscribe(server: *mut Server, conn: Connection, topic: *const c_char) -> Status {
    guard(|| {
        let topic = named(topic)?;
        with_own(server, conn, |serving, conn| {
            let subscribed = serving.server.subscribe(&conn.writer, topic);
            subscribed.map_err(|error| Failure::of(Status::RADDLE_ERR_LIMIT, &error))?;
            if conn.writer.state() == raddle_socket::State::Closed {
                return Err(Failure::new(Status::RADDLE_ERR_CLOSED, "the connection has ended"));
            }
            Ok(())
        })
    })
}

/// Ends a subscription.
///
/// - `server`, `conn`, `topic`: as with raddle_server_subscribe
///
/// Returns RADDLE_OK, or RADDLE_ERR_NOT_FOUND where there was none. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_server_unsubscribe(server: *mut Server, conn: Connection, topic: *const c_char) -> Status {
    guard(|| {
        let topic = named(topic)?;
        with_own(server, conn, |serving, conn| {
            if serving.server.unsubscribe(&conn.writer, topic) {
                return Ok(());
            }
            Err(Failure::new(Status::RADDLE_ERR_NOT_FOUND, "the connection has not subscribed to this topic"))
        })
    })
}

/// Sends a message to all who have subscribed to a topic, without waiting for any of them. It is encoded once.
///
/// - `server`: the server
/// - `topic`: the topic
/// - `kind`: RADDLE_TEXT or RADDLE_BINARY
/// - `data`, `length`: the payload, which is yours again when the call returns
/// - `except`: 0, or a connection that does without it: the one that has said it
///
/// Everybody gets the messages of a topic in the same order, and in the order of one thread's sends to a connection. Who
/// does not keep up is treated as raddle_server_config_when_full says: closed, or left without it, which
/// RADDLE_METRIC_DROPPED_PUBLICATIONS counts. Returns RADDLE_OK, where nobody has subscribed as well. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_server_publish(
    server: *mut Server,
    topic: *const c_char,
    kind: u32,
    data: *const u8,
    length: usize,
    except: Connection,
) -> Status {
    guard(|| {
        let topic = named(topic)?;
        let (message, _) = outgoing(kind, data, length)?;
        with(server, |serving| {
            match excepted(serving, except)? {
                Some(except) => serving.server.publish_except(topic, message, except),
                None => serving.server.publish(topic, message),
            }
            Ok(())
        })
    })
}

/// Sends a message to all open connections of a server, as raddle_server_publish does.
///
/// - `server`, `kind`, `data`, `length`, `except`: as with raddle_server_publish
///
/// Returns RADDLE_OK. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_server_broadcast(
    server: *mut Server,
    kind: u32,
    data: *const u8,
    length: usize,
    except: Connection,
) -> Status {
    guard(|| {
        let (message, _) = outgoing(kind, data, length)?;
        with(server, |serving| {
            serving.server.broadcast(message, excepted(serving, except)?);
            Ok(())
        })
    })
}

/// Gives a topic that a connection has subscribed to.
///
/// - `server`, `conn`: as with raddle_server_subscribe
/// - `index`: from 0 on, in no particular order, which changes where the connection unsubscribes
/// - `buffer`, `size`, `length`: as with raddle_conn_target
///
/// Returns as raddle_conn_target, and RADDLE_ERR_NOT_FOUND behind the last. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_server_topic_at(
    server: *const Server,
    conn: Connection,
    index: usize,
    buffer: *mut c_char,
    size: usize,
    length: *mut usize,
) -> Status {
    guard(|| {
        let place = TextOut::new(buffer, size, length)?;
        with_own(server, conn, |serving, conn| {
            let topic = serving.server.topic_at(ConnectionId::of(conn.writer.info()), index);
            place.put(&*topic.ok_or_else(|| not_found("the connection has no further topic"))?)
        })
    })
}

/// Counts the connections that have subscribed to a topic.
///
/// - `server`, `topic`: as with raddle_server_subscribe
/// - `count`: a place for the number
///
/// Returns RADDLE_OK. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_server_subscribers(server: *const Server, topic: *const c_char, count: *mut usize) -> Status {
    guard(|| {
        let place = arguments::out(count, "count")?;
        let topic = named(topic)?;
        with(server, |serving| {
            place.put(serving.server.subscribers(topic));
            Ok(())
        })
    })
}

/// Lists the connections of a server that are there: open, closing, or ended and not let go yet.
///
/// - `server`: the server
/// - `identity`: NULL for all, or those of this identity only
/// - `conns`, `max`: a place for their ids; NULL and 0 to learn their number
/// - `count`: a place for their number
///
/// Returns RADDLE_OK; RADDLE_ERR_BUFFER where there are more than `max`: then `count` is set all the same, and the place
/// holds the first. In no particular order. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_server_connections(
    server: *const Server,
    identity: *const c_char,
    conns: *mut Connection,
    max: usize,
    count: *mut usize,
) -> Status {
    guard(|| {
        let place = arguments::out(count, "count")?;
        let mut space = arguments::space(conns, max, "conns")?;
        let identity = arguments::optional_string(identity, "identity")?;
        with(server, |serving| {
            let number = serving.core.number;
            let found = connections::list(|conn| {
                let of_identity = |identity| conn.writer.info().identity.as_deref() == Some(identity);
                conn.server == number && identity.is_none_or(of_identity)
            });
            place.put(found.len());
            for id in &found {
                if space.is_full() {
                    return Err(Failure::new(
                        Status::RADDLE_ERR_BUFFER,
                        format!("there are {} connections", found.len()),
                    ));
                }
                space.push(*id);
            }
            Ok(())
        })
    })
}

/// The name of a topic.
fn named<'a>(topic: *const c_char) -> Result<&'a str, Failure> {
    let topic = arguments::string(topic, "topic")?;
    if topic.is_empty() { Err(Failure::argument("topic: empty")) } else { Ok(topic) }
}

/// Does something with a server and a connection of it.
fn with_own(
    server: *const Server,
    conn: Connection,
    act: impl FnOnce(&Serving, &Conn) -> Result<(), Failure>,
) -> Result<(), Failure> {
    with(server, |serving| {
        connections::with(conn, |conn| {
            own(serving, conn)?;
            act(serving, conn)
        })
    })
}

/// Sees that a connection is of this server: ids of two servers look alike inside.
pub(crate) fn own(serving: &Serving, conn: &Conn) -> Result<(), Failure> {
    if conn.server == serving.core.number {
        return Ok(());
    }
    Err(Failure::new(Status::RADDLE_ERR_HANDLE, "the connection is not of this server"))
}

/// The connection that does without a message. One that has ended does so anyway.
fn excepted(serving: &Serving, except: Connection) -> Result<Option<ConnectionId>, Failure> {
    if except == 0 {
        return Ok(None);
    }
    let id = connections::with(except, |conn| {
        own(serving, conn)?;
        Ok(ConnectionId::of(conn.writer.info()))
    });
    match id {
        Err(failure) if failure.status == Status::RADDLE_ERR_CLOSED => Ok(None),
        id => id.map(Some),
    }
}

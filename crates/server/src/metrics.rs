//! What a server has counted since it was started.

use std::collections::HashMap;
use std::fmt;

use parking_lot::Mutex;
use raddle_core::handshake::HandshakeError;
use raddle_socket::{Cause, Traffic, Writer};

use crate::registry::{Place, Registry};
use crate::topics::Delivered;

/// What a server has counted since it was started, and how it stands.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Metrics {
    /// Connections that the operating system has given to the server.
    pub accepted: u64,
    /// WebSocket connections that were opened, adopted ones included.
    pub opened: u64,
    /// Requests that the application has answered by HTTP with a status below 400.
    pub answered: u64,
    /// Connections that were not opened, by their reason.
    pub refused: HashMap<Refusal, u64>,
    /// Open connections that have ended, by what has ended them.
    pub ended: HashMap<Cause, u64>,
    /// What has passed on all connections together.
    pub traffic: Traffic,
    /// Published messages that a subscriber did without, as it did not keep up.
    pub dropped_publications: u64,
    /// Connections now, those in the opening handshake included.
    pub connections: usize,
    /// Bytes that wait to be written now, on all connections together.
    pub queued_bytes: usize,
    /// Bytes that are buffered now, of those that [`Builder::max_buffered`](crate::Builder::max_buffered) allows.
    pub buffered_bytes: usize,
}

/// Why a connection was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// The server has all the connections it may have: 503.
    ServerFull,
    /// The address has all the connections it may have: closed unheard, or 429 where a proxy tells the address.
    AddressFull,
    /// The address connects too often: as before.
    AddressRate,
    /// It was the oldest opening handshake, and others had to begin theirs.
    Shed,
    /// The opening handshake was not done in time.
    Timeout,
    /// The client has gone before its request was complete.
    Gone,
    /// The TLS handshake has failed: an alert says why, or 400 where the client speaks plain HTTP.
    Tls,
    /// The request is not in order.
    Handshake(HandshakeError),
    /// What a trusted proxy, or somebody who poses as one, says of the client is malformed.
    Proxy,
    /// The application has refused it.
    Application,
    /// The identity has all the connections it may have: 409, or Close 4409.
    Identity,
    /// No thread could be started for it: 503.
    NoThread,
    /// The file descriptors have run out: closed unheard.
    NoDescriptor,
    /// The server is being stopped: 503.
    Stopping,
}

#[derive(Debug, Default)]
pub(crate) struct Counter {
    metrics: Mutex<Metrics>,
}

impl Counter {
    pub(crate) fn accepted(&self) {
        self.metrics.lock().accepted += 1;
    }

    pub(crate) fn opened(&self) {
        self.metrics.lock().opened += 1;
    }

    pub(crate) fn answered(&self) {
        self.metrics.lock().answered += 1;
    }

    pub(crate) fn refused(&self, reason: Refusal) {
        *self.metrics.lock().refused.entry(reason).or_default() += 1;
    }

    /// Counts what was not delivered.
    pub(crate) fn published(&self, delivered: Delivered) {
        if delivered.dropped > 0 {
            self.metrics.lock().dropped_publications += delivered.dropped as u64;
        }
    }

    /// Counts a connection that has ended, and gives its place in the registry back.
    pub(crate) fn ended(&self, cause: Cause, traffic: Traffic, place: Place) {
        let mut metrics = self.metrics.lock();
        *metrics.ended.entry(cause).or_default() += 1;
        metrics.traffic += traffic;
        // Under the lock: what has passed on it is found here or there, and not in both.
        drop(place);
    }

    /// What was counted, with what the connections of the registry add.
    pub(crate) fn snapshot(&self, registry: &Registry) -> Metrics {
        let counted = self.metrics.lock();
        let mut metrics = counted.clone();
        let writers = registry.writers();
        metrics.connections = registry.len();
        metrics.queued_bytes = writers.iter().map(Writer::queued).sum();
        writers.iter().for_each(|writer| metrics.traffic += writer.traffic());
        // Before the writers: the last handle of a connection may be among them by now, and its end is counted.
        drop(counted);
        metrics
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ServerFull => "the server is full",
            Self::AddressFull => "the address has too many connections",
            Self::AddressRate => "the address connects too often",
            Self::Shed => "too many opening handshakes are under way",
            Self::Timeout => "the opening handshake took too long",
            Self::Gone => "the client has gone",
            Self::Tls => "the TLS handshake has failed",
            Self::Handshake(error) => return error.fmt(f),
            Self::Proxy => "what the proxy says is malformed",
            Self::Application => "the application has refused it",
            Self::Identity => "the client is connected already",
            Self::NoThread => "no thread could be started",
            Self::NoDescriptor => "the descriptors have run out",
            Self::Stopping => "the server is being stopped",
        })
    }
}

//! What a protocol object asks of its peer and allows it, before the first byte.

use std::time::Duration;

use raddle_core::handshake::{HeadLimits, Hosts, Origins};
use raddle_core::{Deflate, Limits, Role};

/// What a `raddle_protocol_config_t` holds. Objects that were made of it keep their own copy.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) role: Role,
    pub(crate) limits: Limits,
    pub(crate) head: HeadLimits,
    pub(crate) deflate: Option<Deflate>,
    /// A server's choice, the client's order counts; a client's offer, the one it likes best first.
    pub(crate) subprotocols: Vec<String>,
    /// Further headers, of a client's request and of a server's response.
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    /// A client's page.
    pub(crate) origin: Option<String>,
    /// The pages that a server takes.
    pub(crate) origins: Origins,
    /// The names under which a server may be addressed.
    pub(crate) hosts: Hosts,
    pub(crate) decision: Decision,
    pub(crate) keys: Keys,
    /// A Ping after this silence, and the time for an answer.
    pub(crate) keepalive: Option<(Duration, Duration)>,
}

/// Who decides on a request that is in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// It is accepted, with the first subprotocol that both know.
    Automatic,
    /// The program, which is given the request as an event.
    Program,
}

/// Where a client's masking keys come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keys {
    /// The operating system's generator.
    Own,
    /// The program hands them in.
    Given,
}

impl Settings {
    pub(crate) fn new(role: Role) -> Self {
        let limits = match role {
            Role::Server => Limits::default(),
            // As the client on a socket has it.
            Role::Client => Limits::default().message(16 << 20),
        };
        Self {
            role,
            limits,
            head: HeadLimits::default(),
            deflate: None,
            subprotocols: Vec::new(),
            headers: Vec::new(),
            origin: None,
            origins: Origins::default(),
            hosts: Hosts::default(),
            decision: Decision::Automatic,
            keys: Keys::Own,
            keepalive: None,
        }
    }

    /// The headers as the handshake takes them.
    pub(crate) fn borrowed_headers(&self) -> Vec<(&str, &[u8])> {
        self.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect()
    }
}

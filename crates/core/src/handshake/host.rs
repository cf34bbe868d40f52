//! Host (RFC 9110, section 7.2): its form, and under which names a server may be addressed.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Under which names a server may be addressed.
///
/// A browser page of a foreign name that leads to the server's address ("DNS rebinding") sends an Origin that fits its Host.
/// Only the name gives it away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Hosts {
    /// Any.
    #[default]
    Any,
    /// This machine's own: `localhost` and names below it, 127.0.0.0/8, `[::1]`; with any port.
    Loopback,
    /// These, each with its port or with any.
    List(Vec<String>),
}

impl Hosts {
    /// The first entry of a list that has not the form of a host.
    pub fn malformed(&self) -> Option<&str> {
        let Self::List(hosts) = self else { return None };
        hosts.iter().map(String::as_str).find(|host| !is_host(host.as_bytes()))
    }

    /// Tells whether `host`, as in the Host header, is among them.
    pub fn contains(&self, host: &str) -> bool {
        let (name, port) = split(host);
        match self {
            Self::Any => true,
            Self::Loopback => is_loopback(name),
            Self::List(hosts) => hosts.iter().any(|entry| {
                let (entry, entry_port) = split(entry);
                same_name(entry, name) && (entry_port.is_none() || entry_port == port)
            }),
        }
    }
}

fn is_loopback(name: &str) -> bool {
    let plain = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    if let Some(address) = plain.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return address.parse::<Ipv6Addr>().is_ok_and(|address| address.to_canonical().is_loopback());
    }
    plain == "localhost"
        || plain.ends_with(".localhost")
        || plain.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}

/// Tells whether two names are the same: in any case, with or without the dot of the root.
fn same_name(one: &str, other: &str) -> bool {
    let plain = |name: &str| name.strip_suffix('.').unwrap_or(name).len();
    one.as_bytes()[..plain(one)].eq_ignore_ascii_case(&other.as_bytes()[..plain(other)])
}

/// Takes the port off a host that [`is_host`] accepts; an empty port is none.
pub(crate) fn split(host: &str) -> (&str, Option<u16>) {
    let name_end = host.rfind(']').map_or(0, |end| end + 1);
    match host[name_end..].rfind(':') {
        Some(colon) => (&host[..name_end + colon], host[name_end + colon + 1..].parse().ok()),
        None => (host, None),
    }
}

/// Tells whether `host` has the form `name`, `name:port`, or one with an address in place of the name.
pub(crate) fn is_host(host: &[u8]) -> bool {
    let Ok(host) = std::str::from_utf8(host) else { return false };
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => {
            let Some((address, port)) = rest.split_once(']') else { return false };
            if address.parse::<Ipv6Addr>().is_err() {
                return false;
            }
            match port.strip_prefix(':') {
                Some(port) => ("[]", Some(port)),
                None if port.is_empty() => ("[]", None),
                None => return false,
            }
        }
        None => match host.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (host, None),
        },
    };
    let is_name = name == "[]"
        || !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+;=".contains(&byte));
    is_name
        && port.is_none_or(|port| {
            port.bytes().all(|byte| byte.is_ascii_digit()) && (port.is_empty() || port.parse::<u16>().is_ok())
        })
}

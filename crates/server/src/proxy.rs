//! Trusted proxies: whose word counts for the client's address, and where they say it.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use ipnet::IpNet;
use raddle_core::handshake::Request;

/// A proxy whose word on the client's address is taken.
///
/// ```
/// use raddle_server::TrustedProxy;
///
/// let trusted: TrustedProxy = "10.0.0.0/8".parse()?;
/// # let _ = trusted;
/// # Ok::<(), raddle_server::TrustedProxyError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrustedProxy(Trusted);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trusted {
    Network(IpNet),
    Unix,
}

impl TrustedProxy {
    /// Whoever connects to a Unix listener: its file's permissions say who can.
    pub const UNIX: Self = Self(Trusted::Unix);
}

/// The text is none of an address, a network as `10.0.0.0/8`, and `unix`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrustedProxyError;

impl std::fmt::Display for TrustedProxyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("not an address, a network as 10.0.0.0/8, or unix")
    }
}

impl std::error::Error for TrustedProxyError {}

impl FromStr for TrustedProxy {
    type Err = TrustedProxyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "unix" {
            return Ok(Self::UNIX);
        }
        let network =
            text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).map_err(|_| TrustedProxyError)?;
        Ok(Self(Trusted::Network(network)))
    }
}

/// Where a trusted proxy says who the client is. It has to be the one that the proxy sets: what it does not set, it passes
/// on from clients, who can write there what they like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AddressSource {
    /// In the PROXY protocol, version 1 or 2, before the first byte of HTTP. Every connection of a trusted proxy has to
    /// begin with it.
    ProxyProtocol,
    /// In the header Forwarded (RFC 7239).
    Forwarded,
    /// In the header X-Forwarded-For.
    XForwardedFor,
}

#[derive(Clone, Debug)]
pub(crate) struct Proxies {
    pub(crate) source: AddressSource,
    pub(crate) trusted: Vec<TrustedProxy>,
}

/// A proxy's header that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

impl Proxies {
    /// Tells whether a peer's word counts; `None`: it has come through a Unix socket.
    pub(crate) fn trust(&self, peer: Option<IpAddr>) -> bool {
        self.trusted.iter().any(|trusted| match (trusted.0, peer) {
            (Trusted::Network(network), Some(peer)) => network.contains(&peer.to_canonical()),
            (Trusted::Unix, None) => true,
            _ => false,
        })
    }

    /// The client of a request that has come from a trusted proxy. `None`: the proxy does not say.
    pub(crate) fn client(&self, request: &Request) -> Result<Option<SocketAddr>, Malformed> {
        let name = match self.source {
            AddressSource::ProxyProtocol => return Ok(None),
            AddressSource::Forwarded => "Forwarded",
            AddressSource::XForwardedFor => "X-Forwarded-For",
        };
        let mut nodes = Vec::new();
        for (_, value) in request.headers().filter(|(field, _)| field.eq_ignore_ascii_case(name)) {
            let value = std::str::from_utf8(value).map_err(|_| Malformed)?;
            match self.source {
                AddressSource::Forwarded => nodes.extend(forwarded_for(value)?),
                _ => nodes.extend(value.split(',').map(str::trim).filter(|node| !node.is_empty()).map(str::to_owned)),
            }
        }
        // Each proxy adds the one that it has heard it from behind the others. What stands before the first one that is
        // not trusted may be that one's invention.
        let mut client = None;
        for node in nodes.iter().rev() {
            let Some(address) = parse_node(node)? else { break };
            client = Some(address);
            if !self.trust(Some(address.ip())) {
                break;
            }
        }
        Ok(client)
    }
}

/// The values of `for` in a Forwarded header (RFC 7239, section 4), in order.
fn forwarded_for(value: &str) -> Result<Vec<String>, Malformed> {
    let mut nodes = Vec::new();
    for element in split(value, ',')? {
        for pair in split(element, ';')? {
            let (name, value) = pair.split_once('=').ok_or(Malformed)?;
            if name.eq_ignore_ascii_case("for") {
                let value = match value.strip_prefix('"') {
                    // Nothing that a node is made of needs a backslash.
                    Some(quoted) => {
                        quoted.strip_suffix('"').filter(|text| !text.contains(['\\', '"'])).ok_or(Malformed)?
                    }
                    None => value,
                };
                nodes.push(value.to_owned());
            }
        }
    }
    Ok(nodes)
}

/// Splits at a separator that stands outside of quotes; parts are trimmed, empty ones passed over.
fn split(value: &str, separator: char) -> Result<Vec<&str>, Malformed> {
    let (mut quoted, mut escaped) = (false, false);
    let parts = value.split(|char| {
        let separates = char == separator && !quoted;
        match char {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => {}
        }
        separates
    });
    let parts = parts.map(str::trim).filter(|part| !part.is_empty()).collect();
    if quoted { Err(Malformed) } else { Ok(parts) }
}

/// An address with or without a port. `None`: the proxy does not know it, or hides it (RFC 7239, section 6).
fn parse_node(node: &str) -> Result<Option<SocketAddr>, Malformed> {
    if node.eq_ignore_ascii_case("unknown") || node.starts_with('_') {
        return Ok(None);
    }
    let bracketed = node.strip_prefix('[').and_then(|node| node.strip_suffix(']')).unwrap_or(node);
    if let Ok(address) = bracketed.parse::<IpAddr>() {
        return Ok(Some(SocketAddr::new(address, 0)));
    }
    // A port may be hidden as well.
    let (address, port) = node.rsplit_once(':').ok_or(Malformed)?;
    let address = match address.strip_prefix('[') {
        Some(address) => address.strip_suffix(']').and_then(|address| address.parse().ok()).map(IpAddr::V6),
        None => address.parse().ok().map(IpAddr::V4),
    };
    let port = if port.starts_with('_') { 0 } else { port.parse().map_err(|_| Malformed)? };
    address.map(|address| Some(SocketAddr::new(address, port))).ok_or(Malformed)
}

#[cfg(test)]
mod tests {
    use raddle_core::handshake::{HeadLimits, RequestParser};

    use super::*;

    fn client(source: AddressSource, headers: &str) -> Result<Option<SocketAddr>, Malformed> {
        let trusted = ["10.0.0.0/8", "2001:db8::/32", "unix"].map(|text| text.parse().expect("a network"));
        let proxies = Proxies { source, trusted: trusted.into() };
        let head = format!("GET / HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
        let parsed = RequestParser::new(HeadLimits::default()).advance(head.as_bytes());
        proxies.client(&parsed.expect("in order").expect("whole"))
    }

    fn address(text: &str) -> Result<Option<SocketAddr>, Malformed> {
        Ok(Some(text.parse().expect("an address")))
    }

    #[test]
    fn the_last_address_that_is_no_trusted_proxy_is_the_client() {
        let x = |headers| client(AddressSource::XForwardedFor, headers);
        assert_eq!(x("X-Forwarded-For: 192.0.2.1\r\n"), address("192.0.2.1:0"));
        assert_eq!(
            x("X-Forwarded-For: 6.6.6.6, 192.0.2.1, 10.1.1.1\r\n"),
            address("192.0.2.1:0"),
            "6.6.6.6 is invented"
        );
        assert_eq!(x("X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 192.0.2.1:99\r\n"), address("192.0.2.1:99"));
        assert_eq!(x("X-Forwarded-For: 10.0.0.1, 10.0.0.2\r\n"), address("10.0.0.1:0"), "all are proxies");
        assert_eq!(x("X-Forwarded-For: 2001:DB9::1\r\n"), address("[2001:db9::1]:0"));
        assert_eq!(x("X-Forwarded-For: [2001:db9::1]:80, [2001:db8::1]\r\n"), address("[2001:db9::1]:80"));
        assert_eq!(x("X-Forwarded-For: 6.6.6.6, unknown\r\n"), Ok(None));
        assert_eq!(x("X-Forwarded-For: 6.6.6.6, unknown, 10.0.0.1\r\n"), address("10.0.0.1:0"));
        assert_eq!(x("Forwarded: for=192.0.2.1\r\n"), Ok(None), "the proxy does not set that one");
        assert_eq!(x("X-Forwarded-For: 6.6.6.6, example.com\r\n"), Err(Malformed));
        assert_eq!(x("X-Forwarded-For: 6.6.6.6, 192.0.2.1:99999\r\n"), Err(Malformed));
    }

    #[test]
    fn forwarded_is_read_with_its_quotes() {
        let forwarded = |value: &str| client(AddressSource::Forwarded, &format!("Forwarded: {value}\r\n"));
        assert_eq!(forwarded("for=192.0.2.60;proto=http;by=203.0.113.43"), address("192.0.2.60:0"));
        assert_eq!(forwarded(r#"proto=https; For="[2001:db9:cafe::17]:4711""#), address("[2001:db9:cafe::17]:4711"));
        assert_eq!(forwarded(r#"for=6.6.6.6, for=192.0.2.1;host="a,b;c", for=10.0.0.1"#), address("192.0.2.1:0"));
        assert_eq!(forwarded("for=6.6.6.6, for=_hidden"), Ok(None));
        assert_eq!(forwarded(r#"for="192.0.2.1:_port""#), address("192.0.2.1:0"));
        assert_eq!(forwarded(r#"for="192.0.2.1"#), Err(Malformed));
        assert_eq!(forwarded("for"), Err(Malformed));
        assert_eq!(forwarded("for=example.com"), Err(Malformed));
    }

    #[test]
    fn only_what_was_named_is_trusted() {
        let trusted = ["10.0.0.0/8", "192.0.2.7"].map(|text| text.parse().expect("a network"));
        let proxies = Proxies { source: AddressSource::Forwarded, trusted: trusted.into() };
        let trust = |text: &str| proxies.trust(Some(text.parse().expect("an address")));
        assert!(trust("10.255.0.1") && trust("::ffff:10.0.0.1") && trust("192.0.2.7"));
        assert!(!trust("11.0.0.1") && !trust("192.0.2.8") && !trust("::1") && !proxies.trust(None));
        assert_eq!("10.0.0.0/33".parse::<TrustedProxy>(), Err(TrustedProxyError));
        assert_eq!("example.com".parse::<TrustedProxy>(), Err(TrustedProxyError));
    }
}

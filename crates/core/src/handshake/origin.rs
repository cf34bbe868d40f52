//! Origin (RFC 6455, section 10.2; RFC 6454): which pages may connect.

use super::host::{is_host, split};

/// Which pages may connect, by the Origin that their browser sends. A request without one is no browser's, and passes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origins {
    /// Those of the host and port that the request is addressed to. Where Host names no port, the default port of the
    /// page's scheme is meant: whether a proxy has taken TLS off is not to be seen from here.
    #[default]
    SameOrigin,
    /// All. For services that give nothing to a browser's cookies or place in the network.
    Any,
    /// Those of this list: `https://example.com` is one origin, with its port if that is not the default;
    /// `https://*.example.com` all names below one; without a scheme, both `http` and `https` are meant.
    List(Vec<String>),
}

/// An origin in its parts. `example.com.`, with the dot of the root, is another one than `example.com`, as it is for browsers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Origin<'a> {
    scheme: Scheme,
    name: &'a str,
    port: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
}

impl Scheme {
    fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl Origins {
    /// Tells whether a page of `origin` may connect to `host`.
    pub(crate) fn allow(&self, origin: &[u8], host: &str) -> bool {
        if *self == Self::Any {
            return true;
        }
        let Some(origin) = std::str::from_utf8(origin).ok().and_then(Origin::parse) else { return false };
        match self {
            Self::Any => true,
            Self::SameOrigin => {
                let (name, port) = split(host);
                name.eq_ignore_ascii_case(origin.name) && port.unwrap_or(origin.scheme.port()) == origin.port
            }
            Self::List(entries) => entries.iter().any(|entry| origin.matches(entry)),
        }
    }
}

impl<'a> Origin<'a> {
    /// Parses `scheme://host[:port]` and nothing behind it.
    fn parse(text: &'a str) -> Option<Self> {
        let (scheme, host) = text.split_once("://")?;
        let scheme = if scheme.eq_ignore_ascii_case("http") {
            Scheme::Http
        } else if scheme.eq_ignore_ascii_case("https") {
            Scheme::Https
        } else {
            return None;
        };
        let (name, port) = is_host(host.as_bytes()).then(|| split(host))?;
        Some(Self { scheme, name, port: port.unwrap_or(scheme.port()) })
    }

    fn matches(&self, entry: &str) -> bool {
        let (scheme, host) = match entry.split_once("://") {
            Some((scheme, host)) => (Some(scheme), host),
            None => (None, entry),
        };
        let fits = match scheme {
            Some(scheme) if scheme.eq_ignore_ascii_case("http") => self.scheme == Scheme::Http,
            Some(scheme) if scheme.eq_ignore_ascii_case("https") => self.scheme == Scheme::Https,
            Some(_) => false,
            None => true,
        };
        let (name, port) = split(host);
        let named = match name.strip_prefix("*.") {
            // The root has no names of its own: `*.` is a slip, and allows nothing.
            Some("") => false,
            Some(parent) => self.name.len().checked_sub(parent.len() + 1).is_some_and(|dot| {
                dot > 0 && self.name.as_bytes()[dot] == b'.' && self.name[dot + 1..].eq_ignore_ascii_case(parent)
            }),
            None => name.eq_ignore_ascii_case(self.name),
        };
        fits && named && port.unwrap_or(self.scheme.port()) == self.port
    }
}

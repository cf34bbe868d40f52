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
    /// `https://*.example.com` all names below one; without a scheme, both `http` and `https` are meant. An entry that has
    /// none of these forms allows nothing, and [`malformed`](Self::malformed) tells of it.
    List(Vec<String>),
}

/// An entry of a list in its parts.
struct Entry<'a> {
    /// `None`: either.
    scheme: Option<Scheme>,
    /// All names below this one are meant, and not the name itself.
    below: bool,
    name: &'a str,
    /// `None`: the default port of the page's scheme.
    port: Option<u16>,
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
    fn parse(name: &str) -> Option<Self> {
        if name.eq_ignore_ascii_case("http") {
            Some(Self::Http)
        } else if name.eq_ignore_ascii_case("https") {
            Some(Self::Https)
        } else {
            None
        }
    }

    fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl Origins {
    /// The first entry of a list that has not the form of one, as `https://example.com/path` or `*`.
    pub fn malformed(&self) -> Option<&str> {
        let Self::List(entries) = self else { return None };
        entries.iter().map(String::as_str).find(|entry| Entry::parse(entry).is_none())
    }

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
            Self::List(entries) => {
                entries.iter().filter_map(|entry| Entry::parse(entry)).any(|entry| entry.allows(origin))
            }
        }
    }
}

impl<'a> Origin<'a> {
    /// Parses `scheme://host[:port]` and nothing behind it.
    fn parse(text: &'a str) -> Option<Self> {
        let (scheme, host) = text.split_once("://")?;
        let scheme = Scheme::parse(scheme)?;
        let (name, port) = is_host(host.as_bytes()).then(|| split(host))?;
        Some(Self { scheme, name, port: port.unwrap_or(scheme.port()) })
    }
}

impl<'a> Entry<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (scheme, host) = match text.split_once("://") {
            Some((scheme, host)) => (Some(Scheme::parse(scheme)?), host),
            None => (None, text),
        };
        let (name, port) = is_host(host.as_bytes()).then(|| split(host))?;
        let (below, name) = name.strip_prefix("*.").map_or((false, name), |parent| (true, parent));
        // The root has no names of its own, there is one asterisk at most, and the origin `null` may be anybody's.
        let is_name = name.bytes().any(|byte| byte != b'.') && !name.contains('*') && text != "null";
        is_name.then_some(Self { scheme, below, name, port })
    }

    fn allows(&self, origin: Origin<'_>) -> bool {
        let named = if self.below {
            origin.name.len().checked_sub(self.name.len() + 1).is_some_and(|dot| {
                let (one, parent) = origin.name.split_at(dot);
                !one.is_empty() && parent[1..].eq_ignore_ascii_case(self.name) && parent.starts_with('.')
            })
        } else {
            self.name.eq_ignore_ascii_case(origin.name)
        };
        let fits = self.scheme.is_none_or(|scheme| scheme == origin.scheme);
        fits && named && self.port.unwrap_or(origin.scheme.port()) == origin.port
    }
}

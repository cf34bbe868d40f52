//! Where a WebSocket is: the URL that a caller gives (RFC 6455, section 3; RFC 3986), strictly.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use crate::credentials::Credentials;

/// A `ws:` or `wss:` URL.
///
/// ```
/// use raddle_client::Url;
///
/// let url: Url = "ws://example.com/chat?room=1".parse()?;
/// assert_eq!((url.authority(), url.target()), ("example.com".into(), "/chat?room=1"));
/// # Ok::<(), raddle_client::UrlError>(())
/// ```
///
/// Only what RFC 3986 allows stands in it: names in other alphabets are written as `xn--…` (IDNA), other characters of path
/// and query percent-encoded; there is no fragment. A user and password in it become Basic credentials (RFC 7617).
#[derive(Clone, PartialEq, Eq)]
pub struct Url {
    pub(crate) secure: bool,
    pub(crate) credentials: Option<Credentials>,
    pub(crate) host: Host,
    pub(crate) port: u16,
    pub(crate) target: String,
}

/// A server's name, in lower case, or its address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    Name(String),
    V4(Ipv4Addr),
    V6(Ipv6Addr),
}

/// What is wrong with a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UrlError {
    /// It is longer than 8 KiB, which servers take for a request line.
    TooLong,
    /// The scheme is not `ws` or `wss`, or not followed by `://`.
    Scheme,
    /// A character may not stand there, as a space, a backslash, or what ends a line.
    Character,
    /// A character of path or query is not ASCII: it has to be percent-encoded.
    NotAscii,
    /// A character of the host is not ASCII: the name has to be written as `xn--…` (IDNA).
    HostNotAscii,
    /// A `%` of path, query, user or password is not followed by two hexadecimal digits.
    Percent,
    /// There is a fragment (`#…`), which a WebSocket's URL has not (RFC 6455, section 3).
    Fragment,
    /// The host is missing, or neither a name nor an address. The zone of an IPv6 address is not supported.
    Host,
    /// The port is not one of 1-65535.
    Port,
    /// User and password are malformed.
    Userinfo,
}

impl Url {
    /// Tells whether the scheme is `wss`.
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// The host, with the port where that is not the scheme's default: what the Host header says.
    pub fn authority(&self) -> String {
        if self.port == default_port(self.secure) { self.host.to_string() } else { self.host_and_port() }
    }

    /// Path and query, with a `/` at the beginning.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The host with the port in any case.
    pub(crate) fn host_and_port(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Tells whether both lead to the same scheme, host and port (RFC 6454, section 4).
    pub(crate) fn is_same_origin(&self, other: &Self) -> bool {
        (self.secure, &self.host, self.port) == (other.secure, &other.host, other.port)
    }
}

impl FromStr for Url {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        if text.len() > MAX_LEN {
            return Err(UrlError::TooLong);
        }
        let (scheme, rest) = text.split_once("://").ok_or(UrlError::Scheme)?;
        let secure = match scheme {
            _ if scheme.eq_ignore_ascii_case("ws") => false,
            _ if scheme.eq_ignore_ascii_case("wss") => true,
            _ => return Err(UrlError::Scheme),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        let target = parse_target(target)?;
        let authority = Authority::parse(authority, default_port(secure))?;
        Ok(Self { secure, credentials: authority.credentials, host: authority.host, port: authority.port, target })
    }
}

/// The part of a URL between `//` and the path.
pub(crate) struct Authority {
    pub(crate) credentials: Option<Credentials>,
    pub(crate) host: Host,
    pub(crate) port: u16,
}

impl Authority {
    pub(crate) fn parse(text: &str, default_port: u16) -> Result<Self, UrlError> {
        let (userinfo, host) = match text.rsplit_once('@') {
            Some((userinfo, host)) => (Some(userinfo), host),
            None => (None, text),
        };
        let credentials = userinfo.map(Credentials::from_userinfo).transpose()?;
        let (host, port) = match host.strip_prefix('[') {
            Some(rest) => {
                let (address, port) = rest.split_once(']').ok_or(UrlError::Host)?;
                let address = address.parse().map_err(|_| UrlError::Host)?;
                let port = match port.strip_prefix(':') {
                    Some(port) => Some(port),
                    None if port.is_empty() => None,
                    None => return Err(UrlError::Host),
                };
                (Host::V6(address), port)
            }
            None => {
                let (name, port) = host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port)));
                (Host::parse(name)?, port)
            }
        };
        let port = match port {
            // A port may be empty (RFC 3986, section 3.2.3).
            None | Some("") => default_port,
            Some(port) => parse_port(port)?,
        };
        Ok(Self { credentials, host, port })
    }
}

impl Host {
    fn parse(name: &str) -> Result<Self, UrlError> {
        if !name.is_ascii() {
            return Err(UrlError::HostNotAscii);
        }
        if name.bytes().any(|byte| byte.is_ascii_control() || byte == b' ' || byte == b'\\') {
            return Err(UrlError::Character);
        }
        let labels = name.strip_suffix('.').unwrap_or(name);
        let is_label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        };
        if labels.len() > 253 || !labels.split('.').all(is_label) {
            return Err(UrlError::Host);
        }
        // A name that ends in a number is an address, or a way around a filter of addresses: 127.1, 0x7f000001.
        let last = labels.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
        let is_hexadecimal = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        if last.bytes().all(|byte| byte.is_ascii_digit()) || last.strip_prefix("0x").is_some_and(is_hexadecimal) {
            return name.parse().map(Self::V4).map_err(|_| UrlError::Host);
        }
        Ok(Self::Name(name.to_ascii_lowercase()))
    }
}

fn parse_port(port: &str) -> Result<u16, UrlError> {
    if port.len() > 5 || !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(UrlError::Port);
    }
    port.parse().ok().filter(|port| *port != 0).ok_or(UrlError::Port)
}

/// Checks path and query, and puts a `/` before them where there is none.
pub(crate) fn parse_target(text: &str) -> Result<String, UrlError> {
    if text.contains('#') {
        return Err(UrlError::Fragment);
    }
    if !text.is_ascii() {
        return Err(UrlError::NotAscii);
    }
    // RFC 3986, sections 3.3 and 3.4.
    let may_stand = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?%".contains(&byte);
    if !text.bytes().all(may_stand) {
        return Err(UrlError::Character);
    }
    percent_decode(text).ok_or(UrlError::Percent)?;
    Ok(if text.starts_with('/') { text.to_owned() } else { format!("/{text}") })
}

/// `None`: a `%` is not followed by two hexadecimal digits.
pub(crate) fn percent_decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => (digit(bytes.next())? * 16 + digit(bytes.next())?) as u8,
            byte => byte,
        });
    }
    Some(decoded)
}

fn default_port(secure: bool) -> u16 {
    if secure { 443 } else { 80 }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::V4(address) => address.fmt(f),
            Self::V6(address) => write!(f, "[{address}]"),
        }
    }
}

impl fmt::Display for Url {
    // Without user, password and query, which are nobody's but the server's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.target.split('?').next().unwrap_or_default();
        write!(f, "{}://{}{path}", if self.secure { "wss" } else { "ws" }, self.authority())
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Url({self})")
    }
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "the URL is too long",
            Self::Scheme => "the URL does not begin with ws:// or wss://",
            Self::Character => "the URL has a character that may not stand there",
            Self::NotAscii => "the URL has a character that has to be percent-encoded",
            Self::HostNotAscii => "the host has to be written in ASCII, as xn--…",
            Self::Percent => "the URL has a percent sign that encodes nothing",
            Self::Fragment => "the URL has a fragment",
            Self::Host => "the host is missing or malformed",
            Self::Port => "the port is not one of 1-65535",
            Self::Userinfo => "user and password of the URL are malformed",
        })
    }
}

impl std::error::Error for UrlError {}

/// As long as the request line that servers take.
const MAX_LEN: usize = 8 * 1024;

//! The way through a proxy: HTTP CONNECT (RFC 9110, section 9.3.6) and SOCKS5 (RFC 1928, RFC 1929).
//!
//! The proxy looks names up; this side does not.

use std::fmt;
use std::str::FromStr;

use raddle_core::handshake::{ClientError, HeadLimits, TunnelParser};

use crate::answer::Answer;
use crate::credentials::Credentials;
use crate::error::{ConnectError, ProxyError};
use crate::exchange::Exchange;
use crate::url::{Authority, Host, Url, UrlError};

/// A proxy, and how it is asked.
///
/// ```
/// use raddle_client::Proxy;
///
/// let proxy: Proxy = "socks5://user:password@127.0.0.1:1080".parse()?;
/// assert_eq!(proxy.to_string(), "socks5://127.0.0.1:1080");
/// # Ok::<(), raddle_client::UrlError>(())
/// ```
///
/// The forms are `http://` (port 80 where none is given) and `socks5://` or `socks5h://` (1080), with `user:password@`
/// before the host where the proxy wants to know. The server's name is looked up by the proxy in each of them.
#[must_use = "a setter gives the changed value, and changes nothing else"]
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    kind: Kind,
    pub(crate) host: Host,
    pub(crate) port: u16,
    credentials: Option<Credentials>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Http,
    Socks5,
}

impl FromStr for Proxy {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let (scheme, authority) = text.split_once("://").ok_or(UrlError::Scheme)?;
        let (kind, default_port) = match scheme.to_ascii_lowercase().as_str() {
            "http" => (Kind::Http, 80),
            "socks5" | "socks5h" => (Kind::Socks5, 1080),
            _ => return Err(UrlError::Scheme),
        };
        let authority = Authority::parse(authority.strip_suffix('/').unwrap_or(authority), default_port)?;
        Ok(Self { kind, host: authority.host, port: authority.port, credentials: authority.credentials })
    }
}

impl Proxy {
    /// The same proxy, with this user and password.
    pub fn credentials(self, user: &str, password: &str) -> Self {
        Self { credentials: Some(Credentials::basic(user, password)), ..self }
    }

    /// Tells whether what the proxy would be told can be said, before anything is.
    pub(crate) fn check(&self) -> Result<(), ConnectError> {
        let Some(credentials) = &self.credentials else { return Ok(()) };
        let fits = match self.kind {
            Kind::Http => credentials.value().is_some(),
            Kind::Socks5 => credentials
                .user_and_password()
                .is_some_and(|(user, password)| [user, password].iter().all(|it| (1..=255).contains(&it.len()))),
        };
        if fits { Ok(()) } else { Err(ConnectError::Credentials) }
    }

    /// Has the proxy connect to the server of `url`.
    pub(crate) fn tunnel(&self, url: &Url, exchange: &Exchange<'_>) -> Result<(), ConnectError> {
        match self.kind {
            Kind::Http => self.connect(url, exchange),
            Kind::Socks5 => self.socks5(url, exchange),
        }
    }

    fn connect(&self, url: &Url, exchange: &Exchange<'_>) -> Result<(), ConnectError> {
        let authority = url.host_and_port();
        let mut request = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n");
        if let Some(value) = self.credentials.as_ref().and_then(Credentials::value) {
            request += &format!("Proxy-Authorization: {value}\r\n");
        }
        request += "\r\n";
        exchange.write(request.as_bytes())?;
        let mut parser = TunnelParser::new(HeadLimits::default());
        let mut received = Vec::new();
        match exchange.read_head(&mut received, |received| parser.advance(received))? {
            // A server says nothing before it is asked: whatever this is, it is not its response.
            Ok(head_len) if head_len < received.len() => Err(ProxyError::EarlyBytes.into()),
            Ok(_) => Ok(()),
            Err(ClientError::Refused(refusal)) => {
                let mut answer = Answer::of(&refusal);
                answer.read_body(received.split_off(refusal.head_len), exchange)?;
                Err(ProxyError::Refused(Box::new(answer)).into())
            }
            Err(error) => Err(ProxyError::Answer(error).into()),
        }
    }

    fn socks5(&self, url: &Url, exchange: &Exchange<'_>) -> Result<(), ConnectError> {
        let credentials = self.credentials.as_ref().and_then(Credentials::user_and_password);
        exchange.write(if credentials.is_some() { &[SOCKS5, 2, OPEN, PASSWORD] } else { &[SOCKS5, 1, OPEN] })?;
        match (exchange.read_exact()?, credentials) {
            ([SOCKS5, OPEN], _) => {}
            ([SOCKS5, PASSWORD], Some((user, password))) => {
                // RFC 1929, section 2.
                let length = |text: &[u8]| [text.len() as u8];
                exchange.write(&[&[1], &length(user)[..], user, &length(password), password].concat())?;
                let [_, status] = exchange.read_exact()?;
                if status != 0 {
                    return Err(ProxyError::Credentials.into());
                }
            }
            ([SOCKS5, _], _) => return Err(ProxyError::NoMethod.into()),
            _ => return Err(ProxyError::NotSocks5.into()),
        }
        let address = match &url.host {
            Host::V4(address) => [&[IPV4], &address.octets()[..]].concat(),
            Host::V6(address) => [&[IPV6], &address.octets()[..]].concat(),
            // A name has at most 254 bytes.
            Host::Name(name) => [&[NAME, name.len() as u8], name.as_bytes()].concat(),
        };
        exchange.write(&[&[SOCKS5, CONNECT, 0], &address[..], &url.port.to_be_bytes()].concat())?;
        match exchange.read_exact()? {
            // The address from which the proxy has connected is of no use here, but has to be taken off.
            [SOCKS5, 0, _, IPV4] => exchange.read_exact::<{ 4 + 2 }>().map(drop),
            [SOCKS5, 0, _, IPV6] => exchange.read_exact::<{ 16 + 2 }>().map(drop),
            [SOCKS5, 0, _, NAME] => {
                let [length] = exchange.read_exact()?;
                (0..usize::from(length) + 2).try_for_each(|_| exchange.read_exact::<1>().map(drop))
            }
            [SOCKS5, reply @ 1..=u8::MAX, ..] => Err(ProxyError::Reply(reply).into()),
            _ => Err(ProxyError::NotSocks5.into()),
        }
    }
}

impl fmt::Display for Proxy {
    // Without user and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.kind {
            Kind::Http => "http",
            Kind::Socks5 => "socks5",
        };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}

/// The protocol's version.
const SOCKS5: u8 = 5;
/// Ways to authenticate: none, and by user and password.
const OPEN: u8 = 0;
const PASSWORD: u8 = 2;
const CONNECT: u8 = 1;
/// Types of addresses.
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

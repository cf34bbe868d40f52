//! Why no connection came about, by whose fault.

use std::error::Error;
use std::fmt;
use std::io;

use raddle_core::handshake::{ClientError, ResponseError};

use crate::answer::Answer;
#[cfg(feature = "tls")]
use crate::tls_error::TlsError;
use crate::url::UrlError;

/// Why [`Client::connect`](crate::Client::connect) has failed.
///
/// The first variants are the caller's fault: nothing was sent, and no name was looked up.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectError {
    /// The URL is malformed.
    Url(UrlError),
    /// The URL is `wss:`, and the crate was built without its feature `tls`.
    TlsUnsupported,
    /// A header, a subprotocol, the origin or the host that was set may not be sent.
    Request(ResponseError),
    /// User, password or token cannot be written as a header (RFC 7617, RFC 6750) or in the proxy's protocol (RFC 1929).
    Credentials,
    /// The name of the server, or of the proxy, has no address.
    Resolve(io::Error),
    /// No address could be connected to: the last cause.
    Connect(io::Error),
    /// The time was up.
    Timeout {
        /// What it was waited for.
        stage: Stage,
        /// What has failed before, where something has.
        cause: Option<io::Error>,
    },
    /// The proxy does not let the client through.
    Proxy(ProxyError),
    /// There is no TLS with the server.
    #[cfg(feature = "tls")]
    Tls(TlsError),
    /// The stream has ended before the response was whole.
    EndOfStream,
    /// The stream has failed before the response was whole, or the connection could not be set up.
    Io(io::Error),
    /// The server's response opens no WebSocket.
    Handshake(ClientError),
    /// The server has answered with another status than 101.
    Refused(Box<Answer>),
    /// A redirect cannot be followed.
    Redirect(RedirectError),
    /// The server has chosen no subprotocol, and one is required.
    NoSubprotocol,
    /// The attempt was given up from another thread.
    Stopped,
}

/// What an attempt was waiting for when its time was up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// The addresses of a name.
    Resolve,
    /// A connection to one of the addresses.
    Connect,
    /// The proxy's answer.
    Proxy,
    /// The handshake of TLS.
    Tls,
    /// The server's response.
    Handshake,
}

/// Why a proxy does not let the client through.
#[derive(Debug)]
#[non_exhaustive]
pub enum ProxyError {
    /// The HTTP proxy has answered CONNECT with another status than 2xx: 407, where it wants other credentials.
    Refused(Box<Answer>),
    /// The HTTP proxy's answer is malformed, or larger than a head may be.
    Answer(ClientError),
    /// Bytes came through the tunnel before anything was sent.
    EarlyBytes,
    /// The SOCKS proxy does not speak SOCKS5 (RFC 1928).
    NotSocks5,
    /// The SOCKS proxy accepts none of the ways to authenticate that were offered.
    NoMethod,
    /// The SOCKS proxy has refused user and password.
    Credentials,
    /// The SOCKS proxy cannot connect, or will not: its reply (RFC 1928, section 6).
    Reply(u8),
}

/// Why a redirect cannot be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RedirectError {
    /// There were more of them than are allowed.
    TooMany,
    /// There is no Location, or there are several.
    NoLocation,
    /// Location is malformed, or its scheme is none of `ws`, `wss`, `http` and `https`.
    Location,
    /// It leads from an encrypted connection to a plain one.
    Downgrade,
}

impl ConnectError {
    /// Tells whether another attempt may succeed, later and unchanged.
    ///
    /// Of refused handshakes these are worth it: 408, 425, 429 and 5xx, but for 501, 505 and 511. What a caller has to mend,
    /// a server that speaks something else and a refusal of who the client is are not. Of TLS, an alert that is not about the client is
    /// worth it, as whoever balances in front of a server that restarts may send it, and a certificate that is out of its time: it is
    /// about to be renewed.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Url(_)
            | Self::TlsUnsupported
            | Self::Request(_)
            | Self::Credentials
            | Self::NoSubprotocol
            | Self::Stopped
            | Self::Redirect(_)
            | Self::Handshake(_) => false,
            Self::Resolve(_) | Self::Connect(_) | Self::Timeout { .. } | Self::EndOfStream | Self::Io(_) => true,
            Self::Refused(answer) | Self::Proxy(ProxyError::Refused(answer)) => status_may_pass(answer.status),
            #[cfg(feature = "tls")]
            Self::Tls(error) => matches!(error, TlsError::Alert(_) | TlsError::Expired | TlsError::NotYetValid),
            // General failure, network or host unreachable, connection refused, TTL expired.
            Self::Proxy(ProxyError::Reply(reply)) => matches!(reply, 1 | 3..=6),
            Self::Proxy(_) => false,
        }
    }
}

impl ConnectError {
    /// An error of a stream, which may be about TLS.
    pub(crate) fn from_io(error: io::Error) -> Self {
        #[cfg(feature = "tls")]
        if let Some(error) = TlsError::of(&error) {
            return Self::Tls(error);
        }
        Self::Io(error)
    }
}

fn status_may_pass(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500..=599) && !matches!(status, 501 | 505 | 511)
}

impl From<UrlError> for ConnectError {
    fn from(error: UrlError) -> Self {
        Self::Url(error)
    }
}

impl From<ResponseError> for ConnectError {
    fn from(error: ResponseError) -> Self {
        Self::Request(error)
    }
}

#[cfg(feature = "tls")]
impl From<TlsError> for ConnectError {
    fn from(error: TlsError) -> Self {
        Self::Tls(error)
    }
}

impl From<RedirectError> for ConnectError {
    fn from(error: RedirectError) -> Self {
        Self::Redirect(error)
    }
}

impl From<ProxyError> for ConnectError {
    fn from(error: ProxyError) -> Self {
        Self::Proxy(error)
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(error) => error.fmt(f),
            Self::TlsUnsupported => f.write_str("wss is not supported by this build"),
            Self::Request(error) => error.fmt(f),
            Self::Credentials => f.write_str("user, password or token cannot be sent"),
            Self::Resolve(error) => write!(f, "the name has no address: {error}"),
            Self::Connect(error) => write!(f, "cannot connect: {error}"),
            Self::Timeout { stage, cause } => {
                write!(f, "the time was up while waiting for {stage}")?;
                cause.as_ref().map_or(Ok(()), |cause| write!(f, ", and before: {cause}"))
            }
            Self::Proxy(error) => error.fmt(f),
            #[cfg(feature = "tls")]
            Self::Tls(error) => error.fmt(f),
            Self::EndOfStream => f.write_str("the stream ended before the response"),
            Self::Io(error) => write!(f, "input or output failed: {error}"),
            Self::Handshake(error) => error.fmt(f),
            Self::Refused(answer) => write!(f, "the server has answered with status {}", answer.status),
            Self::Redirect(error) => error.fmt(f),
            Self::NoSubprotocol => f.write_str("the server has chosen no subprotocol"),
            Self::Stopped => f.write_str("the attempt was given up"),
        }
    }
}

impl Error for ConnectError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Url(error) => Some(error),
            Self::Request(error) => Some(error),
            Self::Resolve(error) | Self::Connect(error) | Self::Io(error) => Some(error),
            Self::Timeout { cause, .. } => cause.as_ref().map(|cause| cause as _),
            Self::Proxy(error) => Some(error),
            #[cfg(feature = "tls")]
            Self::Tls(error) => Some(error),
            Self::Handshake(error) => Some(error),
            Self::Redirect(error) => Some(error),
            _ => None,
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resolve => "an address",
            Self::Connect => "a connection",
            Self::Proxy => "the proxy",
            Self::Tls => "TLS",
            Self::Handshake => "the response",
        })
    }
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(answer) => write!(f, "the proxy has answered with status {}", answer.status),
            Self::Answer(error) => write!(f, "the proxy: {error}"),
            Self::EarlyBytes => f.write_str("bytes came through the proxy before anything was sent"),
            Self::NotSocks5 => f.write_str("the proxy does not speak SOCKS5"),
            Self::NoMethod => f.write_str("the proxy wants to know who asks, in a way that was not offered"),
            Self::Credentials => f.write_str("the proxy has refused user and password"),
            Self::Reply(reply) => {
                let reason = REPLIES.get(usize::from(*reply)).unwrap_or(&"unknown reply");
                write!(f, "the proxy does not connect: {reason} ({reply})")
            }
        }
    }
}

impl Error for ProxyError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Answer(error) => Some(error),
            _ => None,
        }
    }
}

impl fmt::Display for RedirectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooMany => "there are too many redirects",
            Self::NoLocation => "the redirect names no location",
            Self::Location => "the redirect leads to no WebSocket",
            Self::Downgrade => "the redirect leads from an encrypted connection to a plain one",
        })
    }
}

impl Error for RedirectError {}

/// RFC 1928, section 6.
const REPLIES: [&str; 9] = [
    "succeeded",
    "general failure",
    "not allowed by its rules",
    "network unreachable",
    "host unreachable",
    "connection refused",
    "TTL expired",
    "command not supported",
    "address type not supported",
];

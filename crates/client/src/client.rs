//! How a client is set up: what it asks for, which way it takes, what it allows.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use parking_lot::Mutex;
use raddle_core::Deflate;
use raddle_core::handshake::HeadLimits;
use raddle_socket::{Connection, Options, Transport};

use crate::answer::Answer;
use crate::credentials::Credentials;
use crate::error::ConnectError;
use crate::proxy::Proxy;
use crate::reconnect::Reconnect;
use crate::sys;
#[cfg(feature = "tls")]
use crate::tls::ClientTls;
use crate::until::Until;
use crate::url::Url;

/// Connects to servers, each time in the way that was set up.
///
/// ```no_run
/// use raddle_client::{Client, Message};
///
/// let client = Client::new().subprotocol("chat").bearer("a-token").origin("https://example.com");
/// let mut connection = client.connect("ws://example.com/chat")?;
/// connection.send("Hello")?;
/// while let Some(message) = connection.next_message()? {
///     println!("{message:?}");
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// What is wrong with a setting is an error of [`connect`](Self::connect), before anything is sent. A client is a value:
/// it may be cloned, and used by several threads at once.
#[must_use = "a setter gives the changed value, and changes nothing else"]
#[derive(Clone, Debug)]
pub struct Client {
    pub(crate) subprotocols: Vec<String>,
    pub(crate) deflate: Option<Deflate>,
    pub(crate) requires_subprotocol: bool,
    pub(crate) origin: Option<String>,
    pub(crate) host: Option<String>,
    #[cfg(feature = "tls")]
    pub(crate) tls: ClientTls,
    pub(crate) headers: Headers,
    pub(crate) has_malformed_cookie: bool,
    pub(crate) credentials: Option<Credentials>,
    pub(crate) route: Route,
    pub(crate) local: Option<SocketAddr>,
    pub(crate) connect_timeout: Duration,
    pub(crate) redirects: u32,
    pub(crate) head: HeadLimits,
    /// All connections of this client share them.
    pub(crate) options: Arc<Options>,
}

/// Headers that the caller has set.
#[derive(Clone)]
pub(crate) struct Headers(pub(crate) Vec<(String, Vec<u8>)>);

/// Which way leads to the server.
#[derive(Clone, Debug)]
pub(crate) enum Route {
    Direct,
    Proxy(Proxy),
    Unix(Arc<PathBuf>),
    /// For one connection: it is taken out.
    Socket(Arc<Mutex<Option<OwnedFd>>>),
}

impl Client {
    /// A client with defaults that suit the open Internet: 10 s to connect, messages up to 16 MiB.
    pub fn new() -> Self {
        let mut options = Options::default();
        options.limits = options.limits.message(MESSAGE_LIMIT);
        Self {
            subprotocols: Vec::new(),
            deflate: None,
            requires_subprotocol: false,
            origin: None,
            host: None,
            #[cfg(feature = "tls")]
            tls: ClientTls::new(),
            headers: Headers(Vec::new()),
            has_malformed_cookie: false,
            credentials: None,
            route: Route::Direct,
            local: None,
            connect_timeout: Duration::from_secs(10),
            redirects: 0,
            head: HeadLimits::default(),
            options: options.into(),
        }
    }

    /// Offers a subprotocol (RFC 6455, section 1.9); of several the one that is liked best first.
    pub fn subprotocol(mut self, name: impl Into<String>) -> Self {
        self.subprotocols.push(name.into());
        self
    }

    /// Fails where the server chooses none of the subprotocols that are offered. Default: it may.
    pub fn require_subprotocol(self) -> Self {
        Self { requires_subprotocol: true, ..self }
    }

    /// Offers permessage-deflate (RFC 7692); the server may decline it. Default: it is not offered.
    ///
    /// Compression takes memory and time, and tells an eavesdropper something of what is sent where an attacker can have
    /// parts of it sent: [`Deflate`] has the figures.
    #[cfg(feature = "deflate")]
    pub fn deflate(self, deflate: Deflate) -> Self {
        Self { deflate: Some(deflate), ..self }
    }

    /// Says on whose behalf the client comes, as `https://example.com` (RFC 6455, section 4.1).
    pub fn origin(self, origin: impl Into<String>) -> Self {
        Self { origin: Some(origin.into()), ..self }
    }

    /// Adds a header to the request. The handshake's own cannot be set: Host, Origin, Upgrade, Connection,
    /// Sec-WebSocket-…, Content-Length and Transfer-Encoding. Cookies leave in one header, and Authorization takes the place of
    /// what was said before of who the client is, in the URL too.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        let (name, value) = (name.into(), value.into());
        if name.eq_ignore_ascii_case("Cookie") {
            return self.cookies(value);
        }
        if name.eq_ignore_ascii_case(AUTHORIZATION) {
            self = self.who(None);
        }
        self.headers.0.push((name, value));
        self
    }

    /// Sends a cookie; several leave in one header (RFC 6265, section 5.4). The name is a token, and a `;` in the value, which would
    /// begin another cookie, is an error of [`connect`](Self::connect).
    pub fn cookie(mut self, name: &str, value: &str) -> Self {
        self.has_malformed_cookie |= !is_token(name) || value.contains(';');
        self.cookies(format!("{name}={value}").into_bytes())
    }

    fn cookies(mut self, more: Vec<u8>) -> Self {
        // None is no cookie, before others or behind them (RFC 6265, section 4.2.1).
        if more.is_empty() {
            return self;
        }
        match self.headers.0.iter_mut().find(|(name, _)| name.eq_ignore_ascii_case("Cookie")) {
            Some((_, cookies)) => *cookies = [cookies, &b"; "[..], &more].concat(),
            None => self.headers.0.push(("Cookie".into(), more)),
        }
        self
    }

    /// Says who the client is, with a user and a password (RFC 7617). Overrides those of the URL.
    pub fn basic(self, user: &str, password: &str) -> Self {
        self.who(Some(Credentials::basic(user, password)))
    }

    /// Says who the client is, with a token (RFC 6750). Overrides what the URL says.
    pub fn bearer(self, token: impl Into<String>) -> Self {
        self.who(Some(Credentials::Bearer(token.into())))
    }

    /// There is one of it: the last that was set.
    fn who(mut self, credentials: Option<Credentials>) -> Self {
        self.headers.0.retain(|(name, _)| !name.eq_ignore_ascii_case(AUTHORIZATION));
        Self { credentials, ..self }
    }

    /// Names the server by another name than the URL's in the Host header, as `example.com` or `example.com:8080`.
    pub fn host(self, host: impl Into<String>) -> Self {
        Self { host: Some(host.into()), ..self }
    }

    /// How `wss` is spoken: whom the client trusts, and who it says it is. Default: as [`ClientTls::new`].
    #[cfg(feature = "tls")]
    pub fn tls(self, tls: ClientTls) -> Self {
        Self { tls, ..self }
    }

    /// Goes through a proxy.
    pub fn proxy(self, proxy: Proxy) -> Self {
        Self { route: Route::Proxy(proxy), ..self }
    }

    /// Connects to a Unix socket, whatever host the URL names.
    pub fn unix(self, path: impl Into<PathBuf>) -> Self {
        Self { route: Route::Unix(Arc::new(path.into())), ..self }
    }

    /// Goes over a socket that is connected already, of TCP or a Unix socket, whatever host the URL names. TLS is spoken on it
    /// where the scheme is `wss`.
    ///
    /// It serves one attempt, whatever comes of that: this client, and the clones of it, fail to connect then.
    pub fn socket(self, socket: impl Into<OwnedFd>) -> Self {
        Self { route: Route::Socket(Arc::new(Mutex::new(Some(socket.into())))), ..self }
    }

    /// Connects from this address of the machine; port 0 takes any. Addresses of the other family are left out.
    pub fn local_address(self, address: SocketAddr) -> Self {
        Self { local: Some(address), ..self }
    }

    /// The time for all of it: looking the name up, connecting, the proxy, the opening handshake, redirects. Default: 10 s.
    pub fn connect_timeout(self, timeout: Duration) -> Self {
        Self { connect_timeout: timeout, ..self }
    }

    /// Follows so many redirects. Default: none, so that a redirect is a [`ConnectError::Refused`].
    ///
    /// Where one leads to another scheme, host or port, Authorization, Cookie and the [host](Self::host) that was set stay
    /// behind, for good, and so do the certificate and the server's name of TLS; other headers go along. None leads from `wss` to `ws`, and none is followed on a Unix socket, or on a socket or a stream that was given.
    pub fn redirects(self, at_most: u32) -> Self {
        Self { redirects: at_most, ..self }
    }

    /// The largest head of a response, interim ones included.
    pub fn head_limits(self, limits: HeadLimits) -> Self {
        Self { head: limits, ..self }
    }

    /// The limits and time-outs of the connections. Replaces the client's default of 16 MiB for a message.
    pub fn options(self, options: Options) -> Self {
        Self { options: options.into(), ..self }
    }

    /// Changes the limits and time-outs of the connections.
    pub fn with_options(mut self, change: impl FnOnce(&mut Options)) -> Self {
        change(Arc::make_mut(&mut self.options));
        self
    }

    /// Connects to the server of `url`, and carries out the opening handshake (RFC 6455, section 4.1).
    ///
    /// Blocks until that is done, at most for the [connect timeout](Self::connect_timeout). All addresses of the name are tried,
    /// each 250 ms after the one before while none has answered.
    pub fn connect(&self, url: &str) -> Result<Connection, ConnectError> {
        let until = Until::after(self.connect_timeout);
        self.connect_until(&url.parse()?, &until, None).map(|(connection, _)| connection)
    }

    /// Connects as [`connect`](Self::connect) does, and gives what the server has answered as well: the status is 101, and there is no
    /// body. Gives up with [`ConnectError::Stopped`] within 50 ms when another thread sets `stopped`.
    pub fn connect_answered(&self, url: &str, stopped: &AtomicBool) -> Result<(Connection, Answer), ConnectError> {
        let until = Until::after_or_stopped(self.connect_timeout, stopped);
        let (connection, parser) = self.connect_until(&url.parse()?, &until, None)?;
        Ok((connection, Answer::opening(parser.headers())))
    }

    /// Carries out the opening handshake for `url` on a stream that is connected already. The route of the client does not
    /// matter, and a scheme of `wss` means that the stream is encrypted.
    pub fn connect_over(&self, url: &str, stream: impl Transport) -> Result<Connection, ConnectError> {
        let url = url.parse()?;
        self.open_over(&url, Box::new(stream), &Until::after(self.connect_timeout))
    }

    /// Connects to the server of `url` again and again; see [`Reconnect`]. An error where the URL or a setting is not in order, or where
    /// the client has a [`socket`](Self::socket) that was given, which serves one attempt.
    pub fn reconnect(&self, url: &str) -> Result<Reconnect, ConnectError> {
        let url: Url = url.parse()?;
        self.check(&url)?;
        if let Route::Socket(_) = self.route {
            return Err(ConnectError::Connect(sys::used()));
        }
        Ok(Reconnect::new(self.clone(), url))
    }
}

impl Default for Client {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Headers {
    // Without values: cookies and tokens are among them.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

const MESSAGE_LIMIT: u64 = 16 << 20;

/// A token (RFC 9110, section 5.6.2).
fn is_token(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

pub(crate) const AUTHORIZATION: &str = "Authorization";

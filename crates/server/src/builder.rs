//! How a server is set up: where it listens, whom it admits, what it allows.

use std::fmt;
use std::io;
use std::net::{TcpListener, ToSocketAddrs};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use raddle_core::handshake::{HeadLimits, Hosts, Origins, is_subprotocol};
use raddle_socket::{Deflate, Options, Reader, Writer};

use crate::admission::Rate;
use crate::identity::IdentityPolicy;
use crate::listener::Listener;
use crate::proxy::{AddressSource, Proxies, TrustedProxy};
use crate::request::Request;
use crate::server::Server;
use crate::threads::HandlerError;
#[cfg(feature = "tls")]
use crate::tls::ServerTls;
use crate::topics::{Backplane, InProcess};

/// Sets up a [`Server`]. Every setting has a default that suits a server on the open Internet.
#[must_use = "a setter gives the changed value, and changes nothing else"]
pub struct Builder {
    pub(crate) listeners: Vec<Listener>,
    pub(crate) on_request: Option<Box<OnRequest>>,
    pub(crate) backplane: Box<dyn Backplane>,
    pub(crate) settings: Settings,
}

pub(crate) type OnRequest = dyn Fn(Request) + Send + Sync;

/// What a server keeps of its set-up.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) options: Arc<Options>,
    pub(crate) deflate: Option<Deflate>,
    pub(crate) head: HeadLimits,
    pub(crate) origins: Origins,
    /// `None`: by the address that a listener has.
    pub(crate) hosts: Option<Hosts>,
    pub(crate) subprotocols: Vec<String>,
    pub(crate) handshake_timeout: Duration,
    pub(crate) max_connections: usize,
    pub(crate) max_connections_per_ip: usize,
    pub(crate) connection_rate_per_ip: Option<Rate>,
    pub(crate) identity_policy: Option<IdentityPolicy>,
    pub(crate) proxies: Option<Proxies>,
    pub(crate) max_handshakes: usize,
    pub(crate) stack_size: Option<usize>,
    pub(crate) workers: usize,
    pub(crate) max_buffered: usize,
    pub(crate) max_topics: usize,
    pub(crate) requests_as_events: bool,
}

impl Builder {
    pub(crate) fn new() -> Self {
        Self {
            listeners: Vec::new(),
            on_request: None,
            backplane: Box::new(InProcess),
            settings: Settings {
                options: Arc::default(),
                deflate: None,
                head: HeadLimits::default(),
                origins: Origins::SameOrigin,
                hosts: None,
                subprotocols: Vec::new(),
                handshake_timeout: Duration::from_secs(10),
                max_connections: 4096,
                max_connections_per_ip: usize::MAX,
                connection_rate_per_ip: None,
                identity_policy: None,
                proxies: None,
                max_handshakes: 512,
                stack_size: None,
                workers: thread::available_parallelism().map_or(1, usize::from),
                max_buffered: 512 << 20,
                max_topics: 1024,
                requests_as_events: false,
            },
        }
    }

    /// Listens on a TCP address, with a backlog of 1,024; port 0 lets the system choose one. May be called several times.
    pub fn bind(mut self, address: impl ToSocketAddrs) -> io::Result<Self> {
        self.listeners.push(Listener::bind(address, None)?);
        Ok(self)
    }

    /// Listens on a TCP address, as [`bind`](Self::bind), for clients that speak TLS: `wss`. Its handshake is a part of the opening
    /// handshake, and has to be done within the same time.
    #[cfg(feature = "tls")]
    pub fn bind_tls(mut self, address: impl ToSocketAddrs, tls: &ServerTls) -> io::Result<Self> {
        self.listeners.push(Listener::bind(address, Some(tls.clone()))?);
        Ok(self)
    }

    /// Listens on a Unix socket at `path`, whose permissions the process's umask decides. A socket that nobody listens to
    /// any more is replaced; the file is removed when the server has stopped. May be called several times.
    pub fn bind_unix(mut self, path: impl AsRef<Path>) -> io::Result<Self> {
        self.listeners.push(Listener::bind_unix(path.as_ref())?);
        Ok(self)
    }

    /// Takes a TCP socket that listens already: from a service manager, or with options of its own.
    pub fn tcp_listener(mut self, listener: TcpListener) -> io::Result<Self> {
        self.listeners.push(Listener::tcp(listener, None)?);
        Ok(self)
    }

    /// Takes a TCP socket that listens already, for clients that speak TLS.
    #[cfg(feature = "tls")]
    pub fn tcp_listener_tls(mut self, listener: TcpListener, tls: &ServerTls) -> io::Result<Self> {
        self.listeners.push(Listener::tcp(listener, Some(tls.clone()))?);
        Ok(self)
    }

    /// Takes a Unix socket that listens already. Its file is left alone.
    pub fn unix_listener(mut self, listener: UnixListener) -> io::Result<Self> {
        self.listeners.push(Listener::unix(listener, None)?);
        Ok(self)
    }

    /// Takes the sockets that the process was started with, as systemd's socket activation passes them (`LISTEN_FDS`). The
    /// first call gets them all. An error where there are none.
    pub fn inherited_listeners(self) -> io::Result<Self> {
        self.inherit(Listener::inherited(None)?)
    }

    /// Takes the sockets that the process was started with, as [`inherited_listeners`](Self::inherited_listeners); on those of
    /// TCP, clients speak TLS.
    #[cfg(feature = "tls")]
    pub fn inherited_listeners_tls(self, tls: &ServerTls) -> io::Result<Self> {
        self.inherit(Listener::inherited(Some(tls))?)
    }

    fn inherit(mut self, inherited: Vec<Listener>) -> io::Result<Self> {
        if inherited.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "no sockets were passed to this process"));
        }
        self.listeners.extend(inherited);
        Ok(self)
    }

    /// The limits and time-outs of each connection.
    pub fn options(mut self, options: Options) -> Self {
        self.settings.options = options.into();
        self
    }

    /// Changes the limits and time-outs of each connection.
    pub fn with_options(mut self, change: impl FnOnce(&mut Options)) -> Self {
        change(Arc::make_mut(&mut self.settings.options));
        self
    }

    /// Agrees on permessage-deflate (RFC 7692) with clients that offer it, in the way that suits both. Default: with none.
    ///
    /// See [`Deflate`] for the memory that each setting takes. A connection's own compressor is given back when it was not used
    /// for a keepalive interval or two. What should not be compressed goes through [`Writer::uncompressed`].
    pub fn deflate(mut self, deflate: Deflate) -> Self {
        self.settings.deflate = Some(deflate);
        self
    }

    /// The limits of the request's head.
    pub fn head_limits(mut self, limits: HeadLimits) -> Self {
        self.settings.head = limits;
        self
    }

    /// Which pages may connect, by the Origin that their browser sends (RFC 6455, section 10.2). Default: those of the same
    /// host and port. Clients that send none are no browsers, and pass.
    pub fn origins(mut self, origins: Origins) -> Self {
        self.settings.origins = origins;
        self
    }

    /// Under which names the server may be addressed. Default: any; on a loopback address only that machine's own names, so
    /// that no foreign page can reach it through a name of its own that leads here.
    pub fn hosts(mut self, hosts: Hosts) -> Self {
        self.settings.hosts = Some(hosts);
        self
    }

    /// Supports a subprotocol. May be called several times; the client's order of preference decides.
    pub fn subprotocol(mut self, name: impl Into<String>) -> Self {
        self.settings.subprotocols.push(name.into());
        self
    }

    /// The time for an opening handshake, from `accept(2)` to the decision. Default: 10 s.
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.settings.handshake_timeout = timeout;
        self
    }

    /// The number of connections at a time, opening handshakes included; more are answered with 503. Default: 4,096.
    pub fn max_connections(mut self, count: usize) -> Self {
        self.settings.max_connections = count;
        self
    }

    /// The number of connections of one address at a time, an IPv6 /64 being one; more are closed unheard. Default: any.
    pub fn max_connections_per_ip(mut self, count: usize) -> Self {
        self.settings.max_connections_per_ip = count;
        self
    }

    /// The number of new connections of one address, an IPv6 /64 being one, in any `period`; more are closed unheard.
    /// Default: any.
    pub fn connection_rate_per_ip(mut self, count: u32, period: Duration) -> Self {
        self.settings.connection_rate_per_ip = Some(Rate { count, period });
        self
    }

    /// How many connections of one identity there may be at a time, and what becomes of one more. Default: any.
    pub fn identity_policy(mut self, policy: IdentityPolicy) -> Self {
        self.settings.identity_policy = Some(policy);
        self
    }

    /// Takes the client's address from `source` on connections that come from one of `trusted`: limits, registry and logs
    /// use that address. Default: nobody is trusted.
    pub fn trusted_proxies(mut self, source: AddressSource, trusted: impl IntoIterator<Item = TrustedProxy>) -> Self {
        self.settings.proxies = Some(Proxies { source, trusted: trusted.into_iter().collect() });
        self
    }

    /// The number of opening handshakes at a time; for one more, the oldest is closed. Default: 512.
    pub fn max_handshakes(mut self, count: usize) -> Self {
        self.settings.max_handshakes = count.max(1);
        self
    }

    /// The bytes that all connections together may have buffered, as a [`Budget`](crate::Budget) counts them: of messages that
    /// are not complete, of those that wait for their handler, and of output that waits for its peer. Where there are more,
    /// the connection that has the most is closed with 1013. Default: 512 MiB.
    ///
    /// A budget of [`options`](Self::options), which several servers may share, goes before it.
    pub fn max_buffered(mut self, bytes: usize) -> Self {
        self.settings.max_buffered = bytes;
        self
    }

    /// The topics that a connection may have subscribed to at a time, for programs that subscribe at a client's wish:
    /// [`Server::subscribe`] is an error for one more. One whose name has more than 256 bytes counts as several, one for every 256.
    /// Default: 1,024.
    pub fn max_topics(mut self, count: usize) -> Self {
        self.settings.max_topics = count;
        self
    }

    /// The size in bytes of the stack of each connection's thread. Default: the standard library's, 2 MiB of address space
    /// of which only what is used takes memory.
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.settings.stack_size = Some(bytes);
        self
    }

    /// What carries publications to their subscribers. Default: they are all connected to this server.
    pub fn backplane(mut self, backplane: impl Backplane + 'static) -> Self {
        self.backplane = Box::new(backplane);
        self
    }

    /// The number of threads of engine `pool`, at least one. Default: as many as the machine has cores.
    pub fn workers(mut self, count: usize) -> Self {
        self.settings.workers = count.max(1);
        self
    }

    /// Leaves the decision on each request to the [`EventLoop`](crate::EventLoop): it is an event there. Default: as with any
    /// engine, by [`on_request`](Self::on_request).
    pub fn requests_as_events(mut self) -> Self {
        self.settings.requests_as_events = true;
        self
    }

    /// Decides on each request with `decide`, plain HTTP requests among them. Default: WebSockets are accepted with the first
    /// subprotocol that both sides support, all else is answered with 426.
    ///
    /// Runs on the thread that the connection gets; on the caller's of [`Server::accept`].
    pub fn on_request(mut self, decide: impl Fn(Request) + Send + Sync + 'static) -> Self {
        self.on_request = Some(Box::new(decide));
        self
    }

    /// Makes the server, which serves once [`Server::serve`], [`Server::start`] or [`Server::accept`] is called.
    ///
    /// An error of kind [`InvalidInput`](io::ErrorKind::InvalidInput) where an origin, a host or a subprotocol is none, and so
    /// would never be met.
    pub fn build(self) -> io::Result<Server> {
        self.settings.check().map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        Ok(Server::new(self))
    }

    /// Makes the server and serves, as [`Server::serve`].
    pub fn serve<H>(self, handler: H) -> io::Result<()>
    where
        H: Fn(Reader, Writer) -> Result<(), HandlerError> + Send + Sync + 'static,
    {
        self.build()?.serve(handler)
    }

    /// Makes the server and starts it, as [`Server::start`].
    pub fn start<H>(self, handler: H) -> io::Result<Server>
    where
        H: Fn(Reader, Writer) -> Result<(), HandlerError> + Send + Sync + 'static,
    {
        let server = self.build()?;
        server.start(handler)?;
        Ok(server)
    }
}

impl Settings {
    fn check(&self) -> Result<(), String> {
        if let Some(entry) = self.origins.malformed() {
            return Err(format!(
                "{entry:?} is no origin, as https://example.com, https://*.example.com or example.com are"
            ));
        }
        if let Some(entry) = self.hosts.as_ref().and_then(Hosts::malformed) {
            return Err(format!("{entry:?} is no host, as example.com and example.com:8080 are"));
        }
        match self.subprotocols.iter().find(|name| !is_subprotocol(name)) {
            Some(name) => Err(format!("{name:?} is no subprotocol: that is one word, without commas")),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("listeners", &self.listeners)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

//! How a server is set up: where it listens, whom it admits, what it allows.

use std::fmt;
use std::io;
use std::net::{TcpListener, ToSocketAddrs};
use std::time::Duration;

use raddle_core::handshake::{HeadLimits, Hosts, Origins};
use raddle_socket::{Options, Reader, Writer};

use crate::request::Request;
use crate::server::Server;
use crate::threads::HandlerError;

/// Sets up a [`Server`]. Every setting has a default that suits a server on the open Internet.
pub struct Builder {
    pub(crate) listeners: Vec<TcpListener>,
    pub(crate) on_request: Option<Box<OnRequest>>,
    pub(crate) settings: Settings,
}

pub(crate) type OnRequest = dyn Fn(Request) + Send + Sync;

/// What a server keeps of its set-up.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) options: Options,
    pub(crate) head: HeadLimits,
    pub(crate) origins: Origins,
    /// `None`: by the address that a listener has.
    pub(crate) hosts: Option<Hosts>,
    pub(crate) subprotocols: Vec<String>,
    pub(crate) handshake_timeout: Duration,
    pub(crate) max_connections: usize,
    pub(crate) max_connections_per_ip: usize,
    pub(crate) max_handshakes: usize,
    pub(crate) stack_size: Option<usize>,
}

impl Builder {
    pub(crate) fn new() -> Self {
        Self {
            listeners: Vec::new(),
            on_request: None,
            settings: Settings {
                options: Options::default(),
                head: HeadLimits::default(),
                origins: Origins::SameOrigin,
                hosts: None,
                subprotocols: Vec::new(),
                handshake_timeout: Duration::from_secs(10),
                max_connections: 4096,
                max_connections_per_ip: usize::MAX,
                max_handshakes: 512,
                stack_size: None,
            },
        }
    }

    /// Listens on a TCP address, with a backlog of 1,024; port 0 lets the system choose one. May be called several times.
    pub fn bind(mut self, address: impl ToSocketAddrs) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        // The standard library has given a shorter one.
        rustix::net::listen(&listener, BACKLOG)?;
        self.listeners.push(listener);
        Ok(self)
    }

    /// The limits and time-outs of each connection.
    pub fn options(mut self, options: Options) -> Self {
        self.settings.options = options;
        self
    }

    /// Changes the limits and time-outs of each connection.
    pub fn with_options(mut self, change: impl FnOnce(&mut Options)) -> Self {
        change(&mut self.settings.options);
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

    /// The number of opening handshakes at a time; for one more, the oldest is closed. Default: 512.
    pub fn max_handshakes(mut self, count: usize) -> Self {
        self.settings.max_handshakes = count.max(1);
        self
    }

    /// The size in bytes of the stack of each connection's thread. Default: the standard library's, 2 MiB of address space
    /// of which only what is used takes memory.
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.settings.stack_size = Some(bytes);
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
    pub fn build(self) -> io::Result<Server> {
        Server::new(self)
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

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("listeners", &self.listeners)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

const BACKLOG: i32 = 1024;

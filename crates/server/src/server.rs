//! The server as its handles see it: start, accept, look, stop, join.

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::io;
use std::mem;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use raddle_core::handshake::Hosts;
use raddle_socket::{
    Cause, Close, CloseCode, Connection, Info, Opening, Options, Reader, Role, Socket, Transport, Writer,
};

use crate::admission::{Admission, Caps};
use crate::builder::{Builder, OnRequest, Settings};
use crate::lobby::{self, Lobby};
use crate::registry::{ConnectionId, Registry, Snapshot};
use crate::request::{Request, Visitor};
use crate::threads::{self, HandlerError};

/// A WebSocket server. Clones are handles of the same server, for any thread; dropping them does not stop it.
///
/// ```
/// use std::time::Duration;
/// use raddle_server::Server;
///
/// let server = Server::builder().bind("127.0.0.1:0")?.start(|mut reader, writer| {
///     while let Some(message) = reader.next_message()? {
///         writer.send(message)?;
///     }
///     Ok(())
/// })?;
/// println!("listening on ws://{}", server.local_addr());
/// server.stop(Duration::from_secs(1));
/// server.join(Duration::from_secs(5)).expect("all handlers have returned");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct Server {
    shared: Arc<Shared>,
}

/// The handlers that had not returned when the time to wait for them was up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    /// Their connections.
    pub handlers: Vec<ConnectionId>,
}

/// What the handles, the lobby and the threads of a server share.
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) on_request: Option<Box<OnRequest>>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) registry: Arc<Registry>,
    addresses: Vec<SocketAddr>,
    /// What the lobby takes with it when it starts.
    listeners: Mutex<Option<Vec<TcpListener>>>,
    lobby: OnceLock<Arc<Lobby>>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Connections whose handler has not returned.
    handlers: HashSet<ConnectionId>,
    /// For [`Server::accept`].
    arrivals: VecDeque<Arrival>,
    /// When `stop` cuts what is left.
    stop: Option<Instant>,
    lobby: LobbyState,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum LobbyState {
    #[default]
    NotStarted,
    Running,
    Ended,
}

/// What waits for the application to take it.
#[derive(Debug)]
enum Arrival {
    Asking(Request),
    Open(Box<Connection>),
}

impl Server {
    /// Sets up a server.
    pub fn builder() -> Builder {
        Builder::new()
    }

    pub(crate) fn new(builder: Builder) -> io::Result<Self> {
        let Builder { listeners, on_request, settings } = builder;
        let addresses = listeners.iter().map(TcpListener::local_addr).collect::<io::Result<Vec<_>>>()?;
        let caps = Caps { total: settings.max_connections, per_address: settings.max_connections_per_ip };
        let shared = Shared {
            settings,
            on_request,
            admission: Admission::new(caps),
            registry: Arc::default(),
            addresses,
            listeners: Mutex::new(Some(listeners)),
            lobby: OnceLock::new(),
            state: Mutex::default(),
            changed: Condvar::new(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The address of the first listener, with the port that was chosen for port 0.
    ///
    /// # Panics
    /// Where there is no listener.
    pub fn local_addr(&self) -> SocketAddr {
        *self.local_addrs().first().expect("the server has a listener")
    }

    /// The addresses of all listeners.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.shared.addresses
    }

    /// Serves until [`stop`](Self::stop): runs `handler` on a thread of its own for each open connection.
    ///
    /// When the handler returns, the connection is closed: with 1000 after `Ok`, with 1011 after an error of its own. That
    /// the connection has ended is no error of the handler. A panic ends this connection with 1011, and no other.
    pub fn serve<H>(&self, handler: H) -> io::Result<()>
    where
        H: Fn(Reader, Writer) -> Result<(), HandlerError> + Send + Sync + 'static,
    {
        self.start(handler)?;
        self.shared.wait(None);
        Ok(())
    }

    /// Serves as [`serve`](Self::serve) does, and returns at once.
    pub fn start<H>(&self, handler: H) -> io::Result<()>
    where
        H: Fn(Reader, Writer) -> Result<(), HandlerError> + Send + Sync + 'static,
    {
        self.shared.start(Some(Arc::new(handler)))
    }

    /// Waits for the next open connection, for at most `timeout`, and gives it to the caller: for programs that run their
    /// own threads. `None`: nobody has come in time, or the server was stopped.
    ///
    /// Where the server decides on requests by [`Builder::on_request`], that runs here.
    pub fn accept(&self, timeout: Duration) -> io::Result<Option<Connection>> {
        match self.shared.start(None) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let deadline = Instant::now() + timeout;
        while let Some(arrival) = self.shared.next_arrival(deadline) {
            match arrival {
                Arrival::Open(connection) => return Ok(Some(*connection)),
                Arrival::Asking(request) => {
                    if let Some(connection) = threads::decide(&self.shared, request) {
                        return Ok(Some(connection));
                    }
                }
            }
        }
        Ok(None)
    }

    /// Takes a connection that something else has upgraded: it gets a place in the registry, and the handler's thread or
    /// the next [`accept`](Self::accept). `received` is what was read behind the head of the request.
    pub fn adopt(&self, stream: TcpStream, received: &[u8], mut info: Info) -> io::Result<ConnectionId> {
        let shared = &self.shared;
        info.peer = info.peer.or(stream.peer_addr().ok());
        if shared.is_stopping() {
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the server was stopped"));
        }
        let full = |_| io::Error::new(io::ErrorKind::ConnectionRefused, "the server has no place for the connection");
        let ticket = shared.admission.admit(info.peer.map(|peer| peer.ip())).map_err(full)?;
        let place = shared.registry.enter(info.peer);
        let id = place.id;
        info.id = id.get();
        let guard = Some(Box::new((place, ticket)) as _);
        let opening = Opening { received, info, guard, ..Opening::new(Role::Server, shared.options()) };
        let connection = Connection::open(Socket::tcp(stream)?, opening)?;
        shared.opened(id, &connection);
        match shared.lobby.get().and_then(|lobby| lobby.handler()) {
            Some(handler) => threads::start(shared, id, move |_| threads::run(&*handler, connection))?,
            None => shared.arrive(Arrival::Open(Box::new(connection))),
        }
        Ok(id)
    }

    /// All connections, in no particular order.
    pub fn connections(&self) -> Vec<Snapshot> {
        self.shared.registry.snapshots()
    }

    /// A writer of an open connection; `None` where the id names none any more.
    pub fn connection(&self, id: ConnectionId) -> Option<Writer> {
        self.shared.registry.writer(id)
    }

    /// Stops the server: no new connections, Close 1001 to all, and after `grace` those that are left are cut.
    ///
    /// Returns at once, may be called from a handler and more than once: the shortest grace counts.
    pub fn stop(&self, grace: Duration) {
        self.shared.stop(grace);
    }

    /// Waits until the server has ended and all handlers have returned, for at most `timeout`. Does not stop it.
    ///
    /// From inside a handler it would wait for itself, and so for the whole time.
    pub fn join(&self, timeout: Duration) -> Result<(), Running> {
        if self.shared.wait(Some(Instant::now() + timeout)) {
            return Ok(());
        }
        let mut handlers: Vec<_> = self.shared.state.lock().handlers.iter().copied().collect();
        handlers.sort_unstable();
        Err(Running { handlers })
    }
}

impl Shared {
    /// Starts the lobby, with the handler of the engine or for [`Server::accept`].
    fn start(self: &Arc<Self>, handler: Option<Arc<threads::Handler>>) -> io::Result<()> {
        let mut listeners = self.listeners.lock();
        let Some(taken) = listeners.take() else {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "the server serves already"));
        };
        if self.is_stopping() {
            return Ok(());
        }
        let lobby = match Lobby::new(&taken, handler) {
            Ok(lobby) => Arc::new(lobby),
            Err(error) => {
                *listeners = Some(taken);
                return Err(error);
            }
        };
        let (shared, of_thread) = (Arc::clone(self), Arc::clone(&lobby));
        self.state.lock().lobby = LobbyState::Running;
        let started = raddle_socket::spawn("raddle lobby".into(), None, move || {
            lobby::run(&shared, &of_thread, taken);
            let mut state = shared.state.lock();
            state.lobby = LobbyState::Ended;
            let unheard = mem::take(&mut state.arrivals);
            drop(state);
            shared.changed.notify_all();
            drop(unheard);
        });
        if let Err(error) = started {
            self.state.lock().lobby = LobbyState::NotStarted;
            return Err(error);
        }
        let _ = self.lobby.set(lobby);
        Ok(())
    }

    pub(crate) fn options(&self) -> Options {
        self.settings.options.clone()
    }

    pub(crate) fn subprotocols(&self) -> &[String] {
        &self.settings.subprotocols
    }

    /// Under which names a listener may be addressed.
    pub(crate) fn hosts(&self, listener: SocketAddr) -> Hosts {
        match &self.settings.hosts {
            Some(hosts) => hosts.clone(),
            None if listener.ip().to_canonical().is_loopback() => Hosts::Loopback,
            None => Hosts::Any,
        }
    }

    /// Has the lobby write an HTTP answer and close the connection.
    pub(crate) fn answer(&self, visitor: Visitor, response: Vec<u8>) {
        match self.lobby.get() {
            Some(lobby) => lobby.answer(visitor, response),
            // Without a lobby there are no visitors.
            None => drop(visitor.socket.shutdown(std::net::Shutdown::Both)),
        }
    }

    /// Enters an open connection in the registry.
    pub(crate) fn opened(&self, id: ConnectionId, connection: &Connection) {
        self.registry.open(id, connection.writer());
        // `stop` closes what it finds in the registry, which this one may have missed.
        if self.is_stopping() {
            close(&connection.writer());
        }
    }

    /// Takes a request to where it is decided on.
    pub(crate) fn deliver(
        self: &Arc<Self>,
        handler: Option<Arc<threads::Handler>>,
        id: ConnectionId,
        request: Request,
    ) {
        let Some(handler) = handler else { return self.arrive(Arrival::Asking(request)) };
        let started = threads::start(self, id, move |shared| {
            if let Some(connection) = threads::decide(shared, request) {
                threads::run(&*handler, connection);
            }
        });
        if let Err(error) = started {
            // The request was dropped with the thread's body, and is answered.
            log::warn!("no thread for connection {id}: {error}");
        }
    }

    fn arrive(&self, arrival: Arrival) {
        self.state.lock().arrivals.push_back(arrival);
        self.changed.notify_all();
    }

    fn next_arrival(&self, deadline: Instant) -> Option<Arrival> {
        let mut state = self.state.lock();
        loop {
            if let Some(arrival) = state.arrivals.pop_front() {
                return Some(arrival);
            }
            if state.stop.is_some() || self.changed.wait_until(&mut state, deadline).timed_out() {
                return state.arrivals.pop_front();
            }
        }
    }

    /// Counts a handler until [`handler_returned`](Self::handler_returned).
    pub(crate) fn handler_starts(&self, id: ConnectionId) {
        self.state.lock().handlers.insert(id);
    }

    pub(crate) fn handler_returned(&self, id: ConnectionId) {
        self.state.lock().handlers.remove(&id);
        self.changed.notify_all();
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.state.lock().stop.is_some()
    }

    /// When the connections that are left are cut.
    pub(crate) fn stops_at(&self) -> Option<Instant> {
        self.state.lock().stop
    }

    fn stop(&self, grace: Duration) {
        let at = Instant::now() + grace;
        let first = {
            let mut state = self.state.lock();
            let first = state.stop.is_none();
            state.stop = Some(state.stop.map_or(at, |before| before.min(at)));
            first
        };
        self.changed.notify_all();
        if let Some(lobby) = self.lobby.get() {
            lobby.wake();
        } else {
            // Nothing was started, and nothing will be.
            drop(self.listeners.lock().take());
        }
        if first {
            self.registry.writers().iter().for_each(close);
        }
    }

    /// Waits until the lobby has ended and no handler runs.
    fn wait(&self, deadline: Option<Instant>) -> bool {
        let mut state = self.state.lock();
        while state.lobby == LobbyState::Running || !state.handlers.is_empty() {
            match deadline {
                Some(deadline) => {
                    if self.changed.wait_until(&mut state, deadline).timed_out() {
                        return state.lobby != LobbyState::Running && state.handlers.is_empty();
                    }
                }
                None => self.changed.wait(&mut state),
            }
        }
        true
    }
}

/// Tells a client that the server goes down.
fn close(writer: &Writer) {
    // It fails where the connection ends anyway.
    let _ = writer.close_for(Close { code: CloseCode::GOING_AWAY, reason: "the server stops" }, Cause::Shutdown);
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.fmt(f)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

impl fmt::Display for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} handlers have not returned", self.handlers.len())
    }
}

impl std::error::Error for Running {}

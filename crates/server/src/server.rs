//! The server as its handles see it: start, accept, look, stop, join.

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::io;
use std::mem;
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, OnceLock, mpsc};
use std::time::{Duration, Instant};

use log::Level;
use parking_lot::{Condvar, Mutex};
use raddle_socket::{Connection, Info, OnEnd, Opening, Options, Reader, Role, Socket, Transport, Writer};

use crate::admission::{Admission, Caps, Ticket};
use crate::builder::{Builder, OnRequest, Settings};
use crate::desk::Visitor;
use crate::farewell::{self, Stop, after};
use crate::identity::{Identities, Slot, Surplus};
use crate::journal::Journal;
use crate::listener::Listener;
use crate::lobby::{self, Lobby};
use crate::metrics::{Counter, Metrics, Refusal};
use crate::registry::{ConnectionId, Place, Registry, Snapshot};
use crate::request::Request;
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
    pub(crate) identities: Arc<Identities>,
    pub(crate) metrics: Arc<Counter>,
    pub(crate) journal: Journal,
    addresses: Vec<SocketAddr>,
    /// What the lobby takes with it when it starts.
    listeners: Mutex<Option<Vec<Listener>>>,
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
    service: Service,
    /// Why the server has stopped by itself.
    failure: Option<io::Error>,
    lobby: LobbyState,
}

/// Whether a server takes new connections, and keeps those it has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Service {
    #[default]
    On,
    /// No new ones.
    Draining,
    /// No new ones, and those that are there end.
    Stopping(Stop),
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
        let addresses = listeners.iter().filter_map(Listener::local_addr).collect();
        let caps = Caps {
            total: settings.max_connections,
            per_address: settings.max_connections_per_ip,
            rate: settings.connection_rate_per_ip,
        };
        let shared = Shared {
            on_request,
            admission: Admission::new(caps),
            registry: Arc::default(),
            identities: Identities::new(settings.identity_policy),
            metrics: Arc::default(),
            journal: Journal::new(),
            settings,
            addresses,
            listeners: Mutex::new(Some(listeners)),
            lobby: OnceLock::new(),
            state: Mutex::default(),
            changed: Condvar::new(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The address of the first TCP listener, with the port that was chosen for port 0.
    ///
    /// # Panics
    /// Where there is no such listener.
    pub fn local_addr(&self) -> SocketAddr {
        *self.local_addrs().first().expect("the server has a TCP listener")
    }

    /// The addresses of all TCP listeners.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.shared.addresses
    }

    /// Serves until [`stop`](Self::stop): runs `handler` on a thread of its own for each open connection. Fails where the
    /// server cannot start, or a listener breaks, which stops the server.
    ///
    /// When the handler returns, the connection is closed: with 1000 after `Ok`, with 1011 after an error of its own. That
    /// the connection has ended is no error of the handler. A panic ends this connection with 1011, and no other.
    pub fn serve<H>(&self, handler: H) -> io::Result<()>
    where
        H: Fn(Reader, Writer) -> Result<(), HandlerError> + Send + Sync + 'static,
    {
        self.start(handler)?;
        self.shared.wait(None);
        self.shared.state.lock().failure.take().map_or(Ok(()), Err)
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
        let deadline = after(Instant::now(), timeout);
        while let Some(arrival) = self.shared.next_arrival(deadline) {
            match arrival {
                Arrival::Open(connection) => return Ok(Some(*connection)),
                // What is accepted, now or later, arrives as an open connection.
                Arrival::Asking(request) => threads::decide(&self.shared, request),
            }
        }
        Ok(None)
    }

    /// Takes a connection that something else has upgraded: it gets a place in the registry, and the handler's thread or
    /// the next [`accept`](Self::accept). `received` is what was read behind the head of the request.
    pub fn adopt(&self, stream: TcpStream, received: &[u8], mut info: Info) -> io::Result<ConnectionId> {
        let shared = &self.shared;
        info.peer = info.peer.or(stream.peer_addr().ok());
        if shared.service() != Service::On {
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the server takes no more connections"));
        }
        let full = || io::Error::new(io::ErrorKind::ConnectionRefused, "the server has no place for the connection");
        let ticket = shared.admission.admit().map_err(|_| full())?;
        if let Some(peer) = info.peer {
            ticket.locate(peer.ip(), Instant::now()).map_err(|_| full())?;
        }
        let place = shared.registry.enter(info.peer);
        let id = place.id;
        let slot = shared.reserve(info.identity.as_ref(), id).map_err(|_| full())?;
        info.id = id.get();
        let on_end = shared.on_end(place, Arc::clone(&ticket), slot);
        let opening = Opening { received, info, on_end, ..Opening::new(Role::Server, shared.options()) };
        let connection = Connection::open(Socket::tcp(stream)?, opening)?;
        shared.opened(id, &connection);
        match shared.lobby.get().and_then(|lobby| lobby.handler()) {
            Some(handler) => {
                threads::start(shared, id, Some(ticket), move |shared| threads::run(shared, &*handler, connection))?;
            }
            None => shared.arrive_open(connection),
        }
        Ok(id)
    }

    /// All connections, in no particular order.
    pub fn connections(&self) -> Vec<Snapshot> {
        self.shared.registry.snapshots()
    }

    /// The open connections of an identity, as [`Acceptance::identity`](crate::Acceptance::identity) has named it; the oldest
    /// first.
    pub fn connections_of(&self, identity: &str) -> Vec<Snapshot> {
        let ids = self.shared.identities.of(identity);
        ids.into_iter().filter_map(|id| self.shared.registry.snapshot(id)).collect()
    }

    /// What the server has counted so far, and how it stands.
    pub fn metrics(&self) -> Metrics {
        self.shared.metrics.snapshot(&self.shared.registry)
    }

    /// A writer of an open connection; `None` where the id names none any more.
    pub fn connection(&self, id: ConnectionId) -> Option<Writer> {
        self.shared.registry.writer(id)
    }

    /// Stops the server: no new connections, Close 1001 to all, and after `grace` those that are left are cut.
    ///
    /// Returns at once, may be called from a handler and more than once: the shortest grace counts.
    pub fn stop(&self, grace: Duration) {
        self.shared.stop(Stop::within(grace));
    }

    /// Stops the server as [`stop`](Self::stop) does, but tells the clients one after the other, over the time `spread` of
    /// the grace: so they do not all come back, to this server or another, at the same moment.
    pub fn stop_spread(&self, grace: Duration, spread: Duration) {
        self.shared.stop(Stop::spread(grace, spread));
    }

    /// Takes no new connections, and serves those that are there until they end by themselves; opening handshakes that have
    /// begun are finished. [`join`](Self::join) then waits for the last one. Can be followed by a [`stop`](Self::stop).
    pub fn drain(&self) {
        self.shared.drain();
    }

    /// Waits until the server has ended and all handlers have returned, for at most `timeout`. Does not stop it.
    ///
    /// A server that was never started has ended, and connections of [`accept`](Self::accept) have no handler.
    /// From inside a handler it would wait for itself, and so for the whole time.
    pub fn join(&self, timeout: Duration) -> Result<(), Running> {
        if self.shared.wait(Some(after(Instant::now(), timeout))) {
            return Ok(());
        }
        let mut handlers: Vec<_> = self.shared.state.lock().handlers.iter().copied().collect();
        handlers.sort_unstable();
        Err(Running { handlers })
    }
}

/// Says that the lobby has ended, however it has.
struct RunningLobby {
    shared: Arc<Shared>,
}

impl Drop for RunningLobby {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        state.lobby = LobbyState::Ended;
        let unheard = mem::take(&mut state.arrivals);
        drop(state);
        self.shared.changed.notify_all();
        drop(unheard);
    }
}

impl Shared {
    /// Starts the lobby, with the handler of the engine or for [`Server::accept`].
    fn start(self: &Arc<Self>, handler: Option<Arc<threads::Handler>>) -> io::Result<()> {
        let mut listeners = self.listeners.lock();
        let taken = listeners.take();
        if self.service() != Service::On && self.lobby.get().is_none() {
            // It was stopped before, or just now: whichever came first, it has ended.
            return Ok(());
        }
        let Some(taken) = taken else {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "the server serves already"));
        };
        let lobby = match Lobby::new(&taken, handler) {
            Ok(lobby) => Arc::new(lobby),
            Err(error) => {
                *listeners = Some(taken);
                return Err(error);
            }
        };
        // The thread takes over once it is known to run, and the lobby is known to all that come from it.
        let (hand_over, taken_over) = mpsc::channel::<(Arc<Lobby>, Vec<Listener>)>();
        let shared = Arc::clone(self);
        let started = raddle_socket::spawn("raddle lobby".into(), None, move || {
            if let Ok((lobby, listeners)) = taken_over.recv() {
                let running = RunningLobby { shared };
                lobby::run(&running.shared, &lobby, listeners);
            }
        });
        if let Err(error) = started {
            *listeners = Some(taken);
            return Err(error);
        }
        self.state.lock().lobby = LobbyState::Running;
        let _ = self.lobby.set(Arc::clone(&lobby));
        let _ = hand_over.send((Arc::clone(&lobby), taken));
        drop(listeners);
        if let Some(handler) = lobby.handler() {
            self.serve_adopted(&handler);
        }
        Ok(())
    }

    /// Gives the handler what was adopted before it was there.
    fn serve_adopted(self: &Arc<Self>, handler: &Arc<threads::Handler>) {
        let adopted = mem::take(&mut self.state.lock().arrivals);
        for arrival in adopted {
            if let Arrival::Open(connection) = arrival {
                let (id, handler) = (ConnectionId::of(connection.info()), Arc::clone(handler));
                let run = move |shared: &Arc<Self>| threads::run(shared, &*handler, *connection);
                if let Err(error) = threads::start(self, id, None, run) {
                    // The connection was dropped with the thread's body, and is closed.
                    self.journal.note(Level::Warn, format_args!("no thread for connection {id}: {error}"));
                }
            }
        }
    }

    pub(crate) fn options(&self) -> Options {
        self.settings.options.clone()
    }

    pub(crate) fn subprotocols(&self) -> &[String] {
        &self.settings.subprotocols
    }

    /// Counts and notes a connection that is not opened.
    pub(crate) fn refused(&self, reason: Refusal, peer: Option<SocketAddr>) {
        self.metrics.refused(reason);
        match peer {
            Some(peer) => self.journal.note(Level::Debug, format_args!("a connection of {peer} was refused: {reason}")),
            None => self.journal.note(Level::Debug, format_args!("a connection was refused: {reason}")),
        }
    }

    /// Takes a place for a connection among those of its identity, and lets go those that have to make room.
    pub(crate) fn reserve(&self, identity: Option<&Arc<str>>, id: ConnectionId) -> Result<Option<Slot>, Surplus> {
        let Some(identity) = identity else { return Ok(None) };
        let (slot, replaced) = self.identities.reserve(identity, id)?;
        // One that is still being opened finds out by itself that it was replaced.
        for writer in replaced.into_iter().filter_map(|id| self.registry.writer(id)) {
            farewell::replace(&writer);
        }
        Ok(Some(slot))
    }

    /// What happens at the end of an open connection: its places are given back, and it is counted.
    pub(crate) fn on_end(&self, place: Place, ticket: Arc<Ticket>, slot: Option<Slot>) -> Option<OnEnd> {
        let metrics = Arc::clone(&self.metrics);
        Some(Box::new(move |cause, traffic| {
            // Whoever finds it in the registry no more finds its other places free.
            drop((slot, ticket));
            metrics.ended(cause, traffic, place);
        }))
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
        self.metrics.opened();
        let writer = connection.writer();
        self.registry.open(id, &writer);
        // `stop`, and whoever takes the place of an identity's oldest connection, close what they find in the registry: they
        // may have missed this one.
        if matches!(self.service(), Service::Stopping(_)) {
            farewell::close(&writer);
        }
        if writer.info().identity.as_ref().is_some_and(|identity| !self.identities.has(identity, id)) {
            farewell::replace(&writer);
        }
    }

    /// Has a request decided on by a thread of its own, which then runs the handler.
    pub(crate) fn deliver(
        self: &Arc<Self>,
        handler: Arc<threads::Handler>,
        id: ConnectionId,
        ticket: Arc<Ticket>,
        request: Request,
    ) {
        let desk = request.desk();
        let started = threads::start(self, id, Some(ticket), move |shared| {
            threads::decide(shared, request);
            let connection = desk.wait();
            drop(desk);
            if let Some(connection) = connection {
                threads::run(shared, &*handler, connection);
            }
        });
        if let Err(error) = started {
            // The request was dropped with the thread's body, and is answered.
            self.journal.note(Level::Warn, format_args!("no thread for connection {id}: {error}"));
        }
    }

    /// Leaves a request to [`Server::accept`].
    pub(crate) fn arrive_asking(&self, request: Request) {
        self.arrive(Arrival::Asking(request));
    }

    /// Leaves an open connection to [`Server::accept`].
    pub(crate) fn arrive_open(&self, connection: Connection) {
        self.arrive(Arrival::Open(Box::new(connection)));
    }

    fn arrive(&self, arrival: Arrival) {
        self.state.lock().arrivals.push_back(arrival);
        self.changed.notify_all();
    }

    /// Lets go the requests that were answered before [`Server::accept`] has asked for them.
    pub(crate) fn forget_answered(&self) {
        let arrivals = &mut self.state.lock().arrivals;
        arrivals.retain(|arrival| !matches!(arrival, Arrival::Asking(request) if request.is_answered()));
    }

    fn next_arrival(&self, deadline: Instant) -> Option<Arrival> {
        let mut state = self.state.lock();
        loop {
            if let Some(arrival) = state.arrivals.pop_front() {
                return Some(arrival);
            }
            let ended = match state.service {
                Service::On => state.lobby == LobbyState::Ended,
                // Handshakes that have begun are finished, where any have.
                Service::Draining => state.lobby != LobbyState::Running,
                Service::Stopping(_) => true,
            };
            if ended || self.changed.wait_until(&mut state, deadline).timed_out() {
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

    pub(crate) fn service(&self) -> Service {
        self.state.lock().service
    }

    /// Stops the server for a failure, which [`Server::serve`] gives.
    pub(crate) fn fail(&self, error: io::Error) {
        self.state.lock().failure.get_or_insert(error);
        self.stop(Stop::within(GRACE));
    }

    fn stop(&self, stop: Stop) {
        {
            let mut state = self.state.lock();
            state.service = Service::Stopping(match state.service {
                Service::Stopping(before) => before.min(stop),
                _ => stop,
            });
        }
        self.service_changed();
    }

    fn drain(&self) {
        {
            let mut state = self.state.lock();
            if state.service == Service::On {
                state.service = Service::Draining;
            }
        }
        self.service_changed();
    }

    fn service_changed(&self) {
        self.changed.notify_all();
        // Waits for a start that is under way, and keeps another from beginning.
        let unused = self.listeners.lock().take();
        match self.lobby.get() {
            Some(lobby) => lobby.wake(),
            // Nothing was started, and nothing will be. Connections may have been adopted.
            None => {
                if let Service::Stopping(stop) = self.service() {
                    farewell::without_lobby(&self.registry.writers(), stop);
                }
            }
        }
        drop(unused);
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

/// The grace of a server that stops by itself.
const GRACE: Duration = Duration::from_secs(10);

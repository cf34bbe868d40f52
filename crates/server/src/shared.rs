//! What the handles, the lobby and the threads of a server share: how it stands, and what each of them tells the others.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::io;
use std::mem;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use log::Level;
use parking_lot::{Condvar, Mutex};
use raddle_socket::{Connection, OnEnd, Options, Writer};

use crate::admission::{Admission, Caps, Ticket};
use crate::apart::Apart;
use crate::builder::{OnRequest, Settings};
use crate::departure::Departure;
use crate::desk::Visitor;
use crate::engine::Engine;
use crate::farewell::{self, Stop};
use crate::identity::{Identities, Slot, Surplus};
use crate::journal::Journal;
use crate::listener::{Listener, Spare};
use crate::lobby::{self, Lobby};
use crate::metrics::{Counter, Refusal};
use crate::pool::Pool;
use crate::registry::{ConnectionId, Place, Registry};
use crate::request::Request;
use crate::threads::{self};
use crate::topics::{Backplane, Topics};

/// What the handles, the lobby and the threads of a server share.
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) on_request: Option<Box<OnRequest>>,
    pub(crate) identities: Arc<Identities>,
    pub(crate) books: Arc<Books>,
    pub(crate) backplane: Box<dyn Backplane>,
    pub(crate) journal: Journal,
    pub(crate) addresses: Vec<SocketAddr>,
    /// What the lobby takes with it when it starts.
    pub(crate) listeners: Mutex<Option<Vec<Listener>>>,
    pub(crate) lobby: OnceLock<Arc<Lobby>>,
    /// That of the engine which was started, be it after the lobby's end.
    pub(crate) pool: OnceLock<Arc<Pool>>,
    pub(crate) state: Mutex<State>,
    pub(crate) changed: Condvar,
}

/// What the end of a connection is entered in, be it after the server's. In one place, to which each connection has one pointer.
#[derive(Debug)]
pub(crate) struct Books {
    pub(crate) admission: Arc<Admission>,
    pub(crate) registry: Registry,
    pub(crate) metrics: Counter,
    pub(crate) topics: Topics,
    pub(crate) apart: Apart,
}

impl Books {
    pub(crate) fn new(caps: Caps) -> Arc<Self> {
        Arc::new(Self {
            admission: Admission::new(caps),
            registry: Registry::default(),
            metrics: Counter::default(),
            topics: Topics::default(),
            apart: Apart::default(),
        })
    }
}

#[derive(Debug, Default)]
pub(crate) struct State {
    /// Connections whose handler has not returned, and the number of its threads.
    pub(crate) handlers: HashMap<ConnectionId, usize>,
    /// For [`Server::accept`].
    pub(crate) arrivals: VecDeque<Arrival>,
    /// Workers of the pool that run.
    pub(crate) workers: usize,
    pub(crate) service: Service,
    /// Why the server has stopped by itself.
    pub(crate) failure: Option<io::Error>,
    pub(crate) lobby: LobbyState,
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
pub(crate) enum LobbyState {
    #[default]
    NotStarted,
    Running,
    Ended,
}

/// What waits for the application to take it.
#[derive(Debug)]
pub(crate) enum Arrival {
    Asking(Request),
    Open(Box<Connection>),
}

/// Says that the lobby has ended, however it has.
struct RunningLobby {
    shared: Arc<Shared>,
}

impl Drop for RunningLobby {
    fn drop(&mut self) {
        if let Some(pool) = self.shared.pool.get() {
            pool.stop();
        }
        let mut state = self.shared.state.lock();
        state.lobby = LobbyState::Ended;
        if thread::panicking() {
            // Nobody is accepted any more, and it was not asked to stop.
            state.failure.get_or_insert_with(|| io::Error::other("the lobby has panicked"));
        }
        let unheard = mem::take(&mut state.arrivals);
        drop(state);
        self.shared.changed.notify_all();
        drop(unheard);
    }
}

impl Shared {
    /// Starts the lobby, with the engine that is made then, or none for [`Server::accept`].
    pub(crate) fn start(
        self: &Arc<Self>,
        engine: impl FnOnce(&Arc<Self>) -> io::Result<Option<Engine>>,
    ) -> io::Result<()> {
        let mut listeners = self.listeners.lock();
        let taken = listeners.take();
        if self.service() != Service::On && self.lobby.get().is_none() {
            // It was stopped before, or just now: whichever came first, it has ended.
            return Ok(());
        }
        let Some(taken) = taken else {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "the server serves already"));
        };
        let made = raddle_socket::prepare().and_then(|()| Lobby::new(&taken)).and_then(|lobby| {
            engine(self)?.into_iter().for_each(|engine| lobby.set_engine(engine));
            Ok(lobby)
        });
        let lobby = match made {
            Ok(lobby) => Arc::new(lobby),
            Err(error) => {
                *listeners = Some(taken);
                return Err(error);
            }
        };
        // The thread takes over once it is known to run, and the lobby is known to all that come from it.
        let (hand_over, taken_over) = mpsc::channel::<(Arc<Lobby>, Vec<Listener>, Spare)>();
        let shared = Arc::clone(self);
        let started = raddle_socket::spawn("raddle lobby".into(), None, move || {
            if let Ok((lobby, listeners, spare)) = taken_over.recv() {
                let running = RunningLobby { shared };
                lobby::run(&running.shared, &lobby, listeners, spare);
            }
        });
        if let Err(error) = started {
            lobby.engine().iter().for_each(Engine::stop);
            *listeners = Some(taken);
            return Err(error);
        }
        // Once nothing can fail any more: whoever has failed to start may start another.
        if let Some(Engine::Pool(pool)) = lobby.engine() {
            let _ = self.pool.set(pool);
        }
        self.state.lock().lobby = LobbyState::Running;
        let _ = self.lobby.set(Arc::clone(&lobby));
        let _ = hand_over.send((Arc::clone(&lobby), taken, Spare::new()));
        drop(listeners);
        if let Some(engine) = lobby.engine() {
            self.serve_adopted(&engine);
        }
        Ok(())
    }

    /// Gives the engine what was adopted before it was there.
    fn serve_adopted(self: &Arc<Self>, engine: &Engine) {
        let adopted = mem::take(&mut self.state.lock().arrivals);
        for arrival in adopted {
            if let Arrival::Open(connection) = arrival {
                let id = ConnectionId::of(connection.info());
                if let Err(error) = engine.serve(self, None, *connection) {
                    // The connection was dropped with the thread's body, and is closed.
                    self.journal.note(Level::Warn, format_args!("no thread for connection {id}: {error}"));
                }
            }
        }
    }

    pub(crate) fn options(&self) -> Arc<Options> {
        Arc::clone(&self.settings.options)
    }

    pub(crate) fn subprotocols(&self) -> &[String] {
        &self.settings.subprotocols
    }

    /// Counts and notes a connection that is not opened.
    pub(crate) fn refused(&self, reason: Refusal, peer: Option<SocketAddr>) {
        self.books.metrics.refused(reason);
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
        for writer in replaced.into_iter().filter_map(|id| self.books.registry.writer(id)) {
            farewell::replace(&writer);
        }
        Ok(Some(slot))
    }

    /// What happens at the end of an open connection: its places are given back, and it is counted.
    pub(crate) fn on_end(&self, place: Place, ticket: Ticket, slot: Option<Slot>) -> Option<OnEnd> {
        let departure = Departure::new(place, ticket, slot);
        Some(Box::new(move |end, traffic| departure.carry_out(&end, traffic)))
    }

    /// Has the lobby write an HTTP answer and close the connection.
    pub(crate) fn answer(&self, visitor: Visitor, response: Vec<u8>) {
        match self.lobby.get() {
            Some(lobby) => lobby.answer(visitor, response),
            // Without a lobby there are no visitors.
            None => drop(visitor.stream.transport().shutdown(std::net::Shutdown::Both)),
        }
    }

    /// Enters a connection in the registry, before its client learns that it is open.
    pub(crate) fn opened(&self, id: ConnectionId, writer: &Writer) {
        self.books.metrics.opened();
        self.books.registry.open(id, writer);
        // `stop`, and whoever takes the place of an identity's oldest connection, close what they find in the registry: they
        // may have missed this one.
        if matches!(self.service(), Service::Stopping(_)) {
            farewell::close(writer);
        }
        if writer.info().identity.as_ref().is_some_and(|identity| !self.identities.has(identity, id)) {
            farewell::replace(writer);
        }
    }

    /// Has a request decided on by a thread of its own, which then runs the handler.
    pub(crate) fn deliver(
        self: &Arc<Self>,
        handler: Arc<threads::Handler>,
        id: ConnectionId,
        ticket: Option<Ticket>,
        request: Request,
    ) {
        let (desk, request) = (request.desk(), Box::new(request));
        let started = threads::start(self, id, ticket, move |shared| {
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

    /// Leaves an open connection to [`Server::accept`], or to the engine that is started meanwhile.
    pub(crate) fn arrive_open(self: &Arc<Self>, connection: Connection) {
        self.arrive(Arrival::Open(Box::new(connection)));
        // Whoever starts an engine takes what it finds here, and may have missed this one.
        if let Some(engine) = self.lobby.get().and_then(|lobby| lobby.engine()) {
            self.serve_adopted(&engine);
        }
    }

    pub(crate) fn arrive(&self, arrival: Arrival) {
        let mut state = self.state.lock();
        // Behind the end of the lobby nobody takes it.
        let late = match state.lobby {
            LobbyState::Ended => Some(arrival),
            _ => {
                state.arrivals.push_back(arrival);
                None
            }
        };
        drop(state);
        self.changed.notify_all();
        drop(late);
    }

    /// Lets go the requests that were answered before [`Server::accept`] has asked for them.
    pub(crate) fn forget_answered(&self) {
        let arrivals = &mut self.state.lock().arrivals;
        arrivals.retain(|arrival| !matches!(arrival, Arrival::Asking(request) if request.is_answered()));
    }

    pub(crate) fn next_arrival(&self, deadline: Instant) -> Option<Arrival> {
        self.next_of(VecDeque::pop_front, deadline)
    }

    /// The next that is a request.
    pub(crate) fn next_asking(&self, deadline: Instant) -> Option<Request> {
        let take = |arrivals: &mut VecDeque<Arrival>| {
            let place = arrivals.iter().position(|arrival| matches!(arrival, Arrival::Asking(_)))?;
            arrivals.remove(place)
        };
        match self.next_of(take, deadline)? {
            Arrival::Asking(request) => Some(request),
            Arrival::Open(_) => unreachable!("a request was taken"),
        }
    }

    fn next_of<T>(&self, take: impl Fn(&mut VecDeque<Arrival>) -> Option<T>, deadline: Instant) -> Option<T> {
        let mut state = self.state.lock();
        loop {
            if let Some(arrival) = take(&mut state.arrivals) {
                return Some(arrival);
            }
            let ended = match state.service {
                Service::On => state.lobby == LobbyState::Ended,
                // Handshakes that have begun are finished, where any have.
                Service::Draining => state.lobby != LobbyState::Running,
                Service::Stopping(_) => true,
            };
            if ended || self.changed.wait_until(&mut state, deadline).timed_out() {
                return take(&mut state.arrivals);
            }
        }
    }

    /// Counts a handler until [`handler_returned`](Self::handler_returned).
    pub(crate) fn handler_starts(&self, id: ConnectionId) {
        *self.state.lock().handlers.entry(id).or_default() += 1;
    }

    pub(crate) fn handler_returned(&self, id: ConnectionId) {
        let handlers = &mut self.state.lock().handlers;
        if let Some(threads) = handlers.get_mut(&id) {
            *threads -= 1;
            if *threads == 0 {
                handlers.remove(&id);
            }
        }
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

    pub(crate) fn stop(&self, stop: Stop) {
        {
            let mut state = self.state.lock();
            state.service = Service::Stopping(match state.service {
                Service::Stopping(before) => before.min(stop),
                _ => stop,
            });
        }
        self.service_changed();
    }

    pub(crate) fn drain(&self) {
        {
            let mut state = self.state.lock();
            if state.service == Service::On {
                state.service = Service::Draining;
            }
        }
        self.service_changed();
    }

    pub(crate) fn service_changed(&self) {
        self.changed.notify_all();
        // Waits for a start that is under way, and keeps another from beginning.
        let unused = self.listeners.lock().take();
        match self.lobby.get() {
            Some(lobby) => lobby.wake(),
            // Nothing was started, and nothing will be. Connections may have been adopted.
            None => {
                if let Service::Stopping(stop) = self.service() {
                    farewell::without_lobby(&self.books.registry.writers(), stop);
                }
            }
        }
        drop(unused);
    }

    /// The connections of the pool whose handler is being called.
    pub(crate) fn busy(&self) -> Vec<ConnectionId> {
        let pool = self.pool.get();
        pool.map_or_else(Vec::new, |pool| pool.busy())
    }

    /// Waits until the lobby has ended and no handler runs.
    pub(crate) fn wait(&self, deadline: Option<Instant>) -> bool {
        let mut state = self.state.lock();
        let runs =
            |state: &State| state.lobby == LobbyState::Running || !state.handlers.is_empty() || state.workers > 0;
        while runs(&state) {
            match deadline {
                Some(deadline) => {
                    if self.changed.wait_until(&mut state, deadline).timed_out() {
                        return !runs(&state);
                    }
                }
                None => self.changed.wait(&mut state),
            }
        }
        true
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

/// The grace of a server that stops by itself.
const GRACE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use raddle_socket::{Role, Socket};

    use super::*;
    use crate::server::Server;

    /// A connection that was adopted where nothing was started yet, by what its thread had seen.
    fn adopted() -> (Connection, UnixStream) {
        let (ours, theirs) = UnixStream::pair().expect("two descriptors");
        let socket = Socket::unix(ours).expect("a socket");
        (Connection::new(socket, Role::Server, b"", Options::default()).expect("a connection"), theirs)
    }

    #[test]
    fn what_is_adopted_while_an_engine_is_started_is_served() {
        let server = Server::builder().bind("127.0.0.1:0").expect("a port").build().expect("a server");
        let (serving, served) = mpsc::channel();
        server.start(move |_, _| Ok(serving.send(())?)).expect("it starts");
        let (connection, _peer) = adopted();
        server.shared().arrive_open(connection);
        served.recv_timeout(Duration::from_secs(10)).expect("its handler runs");
        server.stop(Duration::ZERO);
        server.join(Duration::from_secs(10)).expect("it ends");
        // And nobody keeps what comes behind the end.
        let (connection, mut peer) = adopted();
        server.shared().arrive_open(connection);
        peer.set_read_timeout(Some(Duration::from_secs(10))).expect("an option");
        let mut received = Vec::new();
        io::Read::read_to_end(&mut peer, &mut received).expect("its end");
        assert_eq!(received, b"\x88\x02\x03\xe9", "a Close with 1001");
    }
}

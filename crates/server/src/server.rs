//! The server as its handles see it: start, accept, look, stop, join.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use raddle_socket::{Budget, Connection, Info, Message, Opening, Publication, Reader, Role, Socket, State, Writer};

use crate::admission::Caps;
use crate::apart;
use crate::builder::Builder;
use crate::engine::Engine;
use crate::event_loop::EventLoop;
use crate::farewell::{Stop, after};
use crate::home::Home;
use crate::identity::Identities;
use crate::journal::Journal;
use crate::listener::Listener;
use crate::metrics::Metrics;
use crate::pool::{Handler, Pool};
use crate::registry::{ConnectionId, Place, Snapshot};
use crate::request::Request;
use crate::shared::{Arrival, Books, Service, Shared};
use crate::threads::{self, HandlerError};
use crate::topics::{self, Delivered, TooManyTopics};

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

impl Server {
    /// Sets up a server.
    pub fn builder() -> Builder {
        Builder::new()
    }

    pub(crate) fn new(builder: Builder) -> Self {
        let Builder { listeners, on_request, backplane, mut settings } = builder;
        let budget = &mut Arc::make_mut(&mut settings.options).budget;
        budget.get_or_insert_with(|| Budget::new(settings.max_buffered));
        let addresses = listeners.iter().filter_map(Listener::local_addr).collect();
        let caps = Caps {
            total: settings.max_connections,
            per_address: settings.max_connections_per_ip,
            rate: settings.connection_rate_per_ip,
        };
        let shared = Shared {
            on_request,
            identities: Identities::new(settings.identity_policy),
            books: Books::new(caps),
            backplane,
            journal: Journal::new(),
            settings,
            addresses,
            listeners: Mutex::new(Some(listeners)),
            lobby: OnceLock::new(),
            pool: OnceLock::new(),
            state: Mutex::default(),
            changed: Condvar::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    #[cfg(test)]
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
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
        self.wait_for_the_end()
    }

    fn wait_for_the_end(&self) -> io::Result<()> {
        self.shared.wait(None);
        self.take_failure().map_or(Ok(()), Err)
    }

    /// Why the server has stopped by itself: a listener has broken, or its last worker has panicked. Given once, to this call or to
    /// [`serve`](Self::serve). `None`: it runs, or was told to stop. From any thread.
    ///
    /// For whoever polls an [event loop](Self::event_loop) that is over, and for whoever has called [`start`](Self::start).
    pub fn take_failure(&self) -> Option<io::Error> {
        self.shared.state.lock().failure.take()
    }

    /// Serves as [`serve`](Self::serve) does, and returns at once.
    pub fn start<H>(&self, handler: H) -> io::Result<()>
    where
        H: Fn(Reader, Writer) -> Result<(), HandlerError> + Send + Sync + 'static,
    {
        self.shared.start(|_| Ok(Some(Engine::Threads(Arc::new(handler)))))
    }

    /// Serves until [`stop`](Self::stop) with engine `pool`: [`Builder::workers`] threads call `handler` for all
    /// connections. Fails as [`serve`](Self::serve) does.
    pub fn serve_pool(&self, handler: impl Handler) -> io::Result<()> {
        self.start_pool(handler)?;
        self.wait_for_the_end()
    }

    /// Serves as [`serve_pool`](Self::serve_pool) does, and returns at once.
    pub fn start_pool(&self, handler: impl Handler) -> io::Result<()> {
        self.shared.start(|shared| {
            let workers = shared.settings.workers;
            Ok(Some(Engine::Pool(Pool::start(shared, handler, workers)?)))
        })
    }

    /// Serves with engine `pool`, but without threads of its own: whoever polls the event loop is the worker. Fails as
    /// [`start`](Self::start) does.
    pub fn event_loop(&self) -> io::Result<EventLoop> {
        let home = Arc::new(Home::new()?);
        self.shared.start(|_| Ok(Some(Engine::Pool(Pool::of(Arc::clone(&home))))))?;
        if self.shared.lobby.get().is_none() {
            // It was stopped before it was started.
            home.stop();
        }
        Ok(EventLoop::new(Arc::clone(&self.shared), home))
    }

    /// Waits for the next open connection, for at most `timeout`, and gives it to the caller: for programs that run their
    /// own threads. `None`: nobody has come in time, or the server was stopped.
    ///
    /// Where the server decides on requests by [`Builder::on_request`], that runs here.
    pub fn accept(&self, timeout: Duration) -> io::Result<Option<Connection>> {
        self.start_by_hand()?;
        let deadline = after(Instant::now(), timeout);
        while let Some(arrival) = self.shared.next_arrival(deadline) {
            match arrival {
                Arrival::Open(connection) => return Ok(Some(*connection)),
                // What is accepted, now or later, arrives as an open connection.
                Arrival::Asking(request) => threads::decide(&self.shared, Box::new(request)),
            }
        }
        Ok(None)
    }

    /// Waits for the next request, for at most `timeout`, and gives it to the caller, who decides on it, on any thread, and
    /// has the connection from [`Request::open_with`]: for programs whose decision, too, runs on a thread of the
    /// connection's own. `None`: nobody has asked in time, or the server was stopped.
    ///
    /// [`Builder::on_request`] is not called. Beside it, [`accept`](Self::accept) gives what was adopted.
    pub fn next_request(&self, timeout: Duration) -> io::Result<Option<Request>> {
        self.start_by_hand()?;
        let mut request = self.shared.next_asking(after(Instant::now(), timeout));
        if let Some(request) = &mut request {
            request.hear();
        }
        Ok(request)
    }

    /// Takes a connection that something else has upgraded: it gets a place in the registry, and the handler's thread or
    /// the next [`accept`](Self::accept). `received` is what was read behind the head of the request.
    ///
    /// An error of kind [`ConnectionAborted`](io::ErrorKind::ConnectionAborted) where the server takes no more, of kind
    /// [`ConnectionRefused`](io::ErrorKind::ConnectionRefused) where it has no place for this one, its address or its identity, and
    /// whatever the stream's or a thread's is.
    pub fn adopt(&self, stream: TcpStream, received: &[u8], mut info: Info) -> io::Result<ConnectionId> {
        let shared = &self.shared;
        info.peer = info.peer.or(stream.peer_addr().ok());
        if shared.service() != Service::On {
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the server takes no more connections"));
        }
        let full = || io::Error::new(io::ErrorKind::ConnectionRefused, "the server has no place for the connection");
        let ticket = shared.books.admission.admit().map_err(|_| full())?;
        if let Some(peer) = info.peer {
            ticket.locate(peer.ip(), Instant::now()).map_err(|_| full())?;
        }
        let place = Place::enter(&shared.books, info.peer);
        let id = place.id;
        let slot = shared.reserve(info.identity.as_ref(), id).map_err(|_| full())?;
        info.id = id.get();
        let (ticket, of_thread) = ticket.share();
        let on_end = shared.on_end(place, ticket, slot);
        let engine = shared.lobby.get().and_then(|lobby| lobby.engine());
        let for_event_loop = matches!(engine, Some(Engine::Pool(_)));
        let opening =
            Opening { received, info, for_event_loop, on_end, ..Opening::new(Role::Server, shared.options()) };
        let socket = Socket::tcp(stream)?;
        let connection = Connection::open_announced(socket, opening, |writer| shared.opened(id, writer))?;
        match engine {
            Some(engine) => engine.serve(shared, Some(of_thread), connection)?,
            None => shared.arrive_open(connection),
        }
        Ok(id)
    }

    /// Moves a connection of engine `pool`, or of an [`EventLoop`], to a thread of its own, which runs `body`: for what takes
    /// long there, or waits. From any thread; called by the handler of that very connection, the messages behind the one that
    /// is being delivered are the first that the thread's reader gets, but for what one poll of an event loop has found.
    ///
    /// When `body` returns, the connection goes back to where it was, with what it has not read and with the state that its
    /// handler has for it; after an error of its own, or a panic, it is closed with 1011. [`join`](Self::join) waits for the
    /// thread, and the place of a client that leaves meanwhile is free when that has ended.
    ///
    /// `body` is not run where the connection ends before the thread has it. An error where no thread can be started, and
    /// one of kind [`NotConnected`](io::ErrorKind::NotConnected) where the connection has ended or has a thread of its own
    /// already, or of kind [`WouldBlock`](io::ErrorKind::WouldBlock) where its loop has still to take it, as before its `on_open`:
    /// nothing is moved then. One that was [adopted](Self::adopt) before its engine was started has no loop to come to:
    /// `NotConnected`, until it is open there.
    pub fn move_to_thread<B>(&self, connection: &Writer, body: B) -> io::Result<()>
    where
        B: FnOnce(&mut Reader, &Writer) -> Result<(), HandlerError> + Send + 'static,
    {
        apart::move_to_thread(&self.shared, connection, body)
    }

    /// Has a connection of this server get what is published to `topic`, until it ends. `false`: it does already, or it has
    /// ended. An error where it has as many topics as [`Builder::max_topics`] allows: nothing is changed then.
    pub fn subscribe(&self, connection: &Writer, topic: &str) -> Result<bool, TooManyTopics> {
        let topics = &self.shared.books.topics;
        if connection.state() == State::Closed {
            return Ok(false);
        }
        let is_new = topics.subscribe(connection, topic, self.shared.settings.max_topics)?;
        if connection.state() == State::Closed {
            // Its end may have come meanwhile.
            topics.leave(ConnectionId::of(connection.info()));
            return Ok(false);
        }
        Ok(is_new)
    }

    /// Ends a subscription. `false`: there was none.
    pub fn unsubscribe(&self, connection: &Writer, topic: &str) -> bool {
        self.shared.books.topics.unsubscribe(ConnectionId::of(connection.info()), topic)
    }

    /// The topics that a connection has subscribed to, in no particular order.
    pub fn topics_of(&self, connection: ConnectionId) -> Vec<Arc<str>> {
        self.shared.books.topics.of(connection)
    }

    /// One of [`topics_of`](Self::topics_of), from 0 on; `None` behind the last.
    #[doc(hidden)]
    pub fn topic_at(&self, connection: ConnectionId, index: usize) -> Option<Arc<str>> {
        self.shared.books.topics.nth_of(connection, index)
    }

    /// The number of connections that have subscribed to a topic.
    pub fn subscribers(&self, topic: &str) -> usize {
        self.shared.books.topics.len(topic)
    }

    /// Sends a message to all who have subscribed to `topic`, from any thread, without waiting for any of them. It leaves when the
    /// worker or the [`EventLoop`] that has a subscriber is done with what it is at: a handler that computes for long holds it up, and
    /// so does a program that does not poll.
    ///
    /// It is encoded once, and compressed once for each size of window that subscribers have agreed on. Everybody gets the messages of a topic in the same order, and in the order of one thread's sends
    /// to a connection. Who does not keep up is treated as [`Options::when_full`](crate::Options) says: closed, or left without it,
    /// which [`Metrics`] counts.
    pub fn publish<'m>(&self, topic: &str, message: impl Into<Message<'m>>) {
        self.shared.backplane.publish(self, topic, message.into(), None);
    }

    /// Publishes as [`publish`](Self::publish) does, to all but one connection: the one that has said it.
    pub fn publish_except<'m>(&self, topic: &str, message: impl Into<Message<'m>>, except: ConnectionId) {
        self.shared.backplane.publish(self, topic, message.into(), Some(except));
    }

    /// Gives a message to the subscribers that are connected to this very server: for a [`Backplane`](crate::Backplane).
    pub fn deliver(&self, topic: &str, message: Message<'_>, except: Option<ConnectionId>) -> Delivered {
        let delivered = self.shared.books.topics.deliver(topic, message, except, &self.shared.settings.options);
        self.shared.books.metrics.published(delivered);
        delivered
    }

    /// Sends a message to all open connections but one perhaps, as [`publish`](Self::publish) does to those who have
    /// subscribed. The order of two messages that are broadcast at the same time is each connection's own.
    pub fn broadcast<'m>(&self, message: impl Into<Message<'m>>, except: Option<ConnectionId>) -> Delivered {
        let writers = self.shared.books.registry.writers();
        let agreements = topics::agreements(&writers);
        let publication = Publication::new(message.into(), &self.shared.settings.options, &agreements);
        let others = writers.into_iter().filter(|writer| except != Some(ConnectionId::of(writer.info())));
        let delivered = Delivered::to(others.map(Some), &publication);
        self.shared.books.metrics.published(delivered);
        delivered
    }

    /// All connections, in no particular order.
    pub fn connections(&self) -> Vec<Snapshot> {
        self.shared.books.registry.snapshots()
    }

    /// The open connections of an identity, as [`Acceptance::identity`](crate::Acceptance::identity) has named it; the oldest
    /// first.
    pub fn connections_of(&self, identity: &str) -> Vec<Snapshot> {
        let ids = self.shared.identities.of(identity);
        ids.into_iter().filter_map(|id| self.shared.books.registry.snapshot(id)).collect()
    }

    /// What the server has counted so far, and how it stands.
    pub fn metrics(&self) -> Metrics {
        let mut metrics = self.shared.books.metrics.snapshot(&self.shared.books.registry);
        metrics.buffered_bytes = self.shared.settings.options.budget.as_ref().map_or(0, Budget::used);
        metrics
    }

    /// A writer of an open connection; `None` where the id names none any more.
    pub fn connection(&self, id: ConnectionId) -> Option<Writer> {
        self.shared.books.registry.writer(id)
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
        let mut handlers: Vec<_> = self.shared.state.lock().handlers.keys().copied().collect();
        handlers.extend(self.shared.busy());
        handlers.sort_unstable();
        Err(Running { handlers })
    }
}

impl Server {
    /// Starts the lobby, unless it was, for connections that are taken by hand.
    fn start_by_hand(&self) -> io::Result<()> {
        match self.shared.start(|_| Ok(None)) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.fmt(f)
    }
}

impl fmt::Display for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} handlers have not returned", self.handlers.len())
    }
}

impl std::error::Error for Running {}

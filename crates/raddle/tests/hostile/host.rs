//! A server that echoes and keeps a log of what its application sees, by the address of each peer; and what has to hold
//! when it is stopped.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use raddle::core::handshake::Request as Head;
use raddle::{
    AddressSource, Builder, Close, CloseCode, End, Event, EventLoop, Handler, HandlerError, Hosts, Limits, Message,
    Reader, SendError, Server, Writer,
};

use crate::case::{Saw, Setup};
use crate::head;
use crate::peer::{PATIENCE, Peer};
use crate::relay::{Certificate, Relay};

/// What an application sees of a connection.
#[derive(Clone, Debug)]
pub(crate) enum Note {
    /// An opening handshake to decide on.
    Asked(Box<Head>),
    /// A request that asks for no WebSocket, or not in a version of HTTP that has it: the application may answer it.
    Plain,
    /// The call that a line of the table is about, and how it has ended.
    Called(Result<(), String>),
    Open,
    Message(Saw),
    /// A message could not be sent back: a Close was sent.
    Unsent,
    End(Option<End>),
}

/// The notes of all connections.
#[derive(Default)]
pub(crate) struct Log {
    notes: Mutex<HashMap<SocketAddr, Vec<Note>>>,
    changed: Condvar,
}

impl Log {
    pub(crate) fn note(&self, peer: Option<SocketAddr>, note: Note) {
        self.notes.lock().entry(peer.expect("a TCP peer")).or_default().push(note);
        self.changed.notify_all();
    }

    /// Takes the notes of a connection that was not opened.
    pub(crate) fn take(&self, peer: SocketAddr) -> Vec<Note> {
        self.notes.lock().remove(&peer).unwrap_or_default()
    }

    /// Takes the notes of a connection when it has ended.
    pub(crate) fn take_ended(&self, peer: SocketAddr) -> Vec<Note> {
        self.wait_for(peer, |note| matches!(note, Note::End(_)).then_some(()));
        self.take(peer)
    }

    /// Waits for a note of a connection's that `find` finds something in.
    pub(crate) fn wait_for<T>(&self, peer: SocketAddr, find: impl Fn(&Note) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut notes = self.notes.lock();
        loop {
            if let Some(found) = notes.get(&peer).and_then(|notes| notes.iter().find_map(&find)) {
                return found;
            }
            let late = self.changed.wait_until(&mut notes, deadline).timed_out();
            assert!(!late, "the application has only seen {:?}", notes.get(&peer));
        }
    }
}

/// Which engine serves the connections of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    /// A thread for each connection.
    Threads,
    /// Two threads for all of them.
    Pool,
    /// A thread of the application's, which polls.
    Loop,
}

/// What an application is called for.
pub(crate) enum At<'a> {
    Open,
    Message(Message<'a>),
    End(&'a End),
}

impl Engine {
    pub(crate) const ALL: [Self; 3] = [Self::Threads, Self::Pool, Self::Loop];

    /// Starts a server that does `act` for all that happens to a connection.
    pub(crate) fn start(self, server: &Server, act: impl Act) -> io::Result<()> {
        match self {
            Self::Threads => server.start(move |mut reader, writer| act_to_the_end(&mut reader, &writer, &act)),
            Self::Pool => server.start_pool(Acting(act)),
            Self::Loop => {
                let events = server.event_loop()?;
                thread::spawn(move || poll_to_the_end(events, &act));
                Ok(())
            }
        }
    }

    /// Does what may wait, where that holds up no other connection.
    pub(crate) fn wait_apart(self, work: impl FnOnce() + Send + 'static) {
        match self {
            Self::Threads => work(),
            Self::Pool | Self::Loop => drop(thread::spawn(work)),
        }
    }
}

/// What an application does. An error, or a panic, closes the connection with 1011.
pub(crate) trait Act: Fn(&Writer, At<'_>) -> Result<(), HandlerError> + Send + Sync + 'static {}

impl<F: Fn(&Writer, At<'_>) -> Result<(), HandlerError> + Send + Sync + 'static> Act for F {}

/// On a thread of the connection's own.
fn act_to_the_end(
    reader: &mut Reader,
    writer: &Writer,
    act: &impl Fn(&Writer, At<'_>) -> Result<(), HandlerError>,
) -> Result<(), HandlerError> {
    act(writer, At::Open)?;
    while let Ok(Some(message)) = reader.next_message() {
        act(writer, At::Message(message))?;
    }
    act(writer, At::End(reader.end().expect("the reader has seen the end")))
}

/// The same for the pool.
struct Acting<F>(F);

impl<F: Act> Handler for Acting<F> {
    type State = ();

    fn on_open(&self, connection: &Writer) -> Result<(), HandlerError> {
        self.0(connection, At::Open)
    }

    fn on_message(&self, connection: &Writer, (): &mut (), message: Message<'_>) -> Result<(), HandlerError> {
        self.0(connection, At::Message(message))
    }

    fn on_close(&self, connection: &Writer, (): (), end: &End) {
        self.0(connection, At::End(end)).expect("nothing fails at the end");
    }
}

/// And for whoever polls.
fn poll_to_the_end(mut events: EventLoop, act: &impl Act) {
    while !events.is_over() {
        for event in events.poll(Some(PATIENCE)) {
            let end;
            let (connection, at) = match event {
                Event::Open(connection) => (connection, At::Open),
                Event::Message(connection, message) => (connection, At::Message(message)),
                Event::Closed(connection, of_it) => {
                    end = of_it;
                    (connection, At::End(&end))
                }
                _ => continue,
            };
            if !matches!(catch_unwind(AssertUnwindSafe(|| act(connection, at))), Ok(Ok(()))) {
                // It may have ended meanwhile.
                let _ = connection.close(Close::code(CloseCode::INTERNAL_ERROR));
            }
        }
    }
}

/// Sends every message back, and notes what happens.
pub(crate) fn echo(reader: &mut Reader, writer: &Writer, log: &Log) {
    let act = |writer: &Writer, at: At<'_>| {
        echo_at(writer, at, log);
        Ok(())
    };
    act_to_the_end(reader, writer, &act).expect("an echo does not fail");
}

fn echo_at(writer: &Writer, at: At<'_>, log: &Log) {
    let peer = writer.info().peer;
    match at {
        At::Open => log.note(peer, Note::Open),
        At::Message(message) => {
            log.note(peer, Note::Message(saw(message)));
            if let Err(error) = writer.send(message) {
                assert_eq!(error, SendError::Closed);
                log.note(peer, Note::Unsent);
            }
        }
        At::End(end) => log.note(peer, Note::End(Some(end.clone()))),
    }
}

pub(crate) fn saw(message: Message<'_>) -> Saw {
    match message {
        Message::Text(text) => Saw::Text(text.to_owned()),
        Message::Binary(bytes) => Saw::Binary(bytes.to_vec()),
    }
}

/// A running server. Beside whatever is done to it, an honest client has its messages sent back.
pub(crate) struct Host {
    server: Server,
    pub(crate) address: SocketAddr,
    pub(crate) log: Arc<Log>,
    honest: Option<Honest>,
    /// What takes TLS off for the peers.
    relay: Option<Relay>,
}

impl Host {
    /// A server of any name with this handler, on a thread per connection. `change` has the log at hand, as the handler has.
    pub(crate) fn serve(
        change: impl FnOnce(Builder, &Arc<Log>) -> Builder,
        handler: impl Fn(Reader, Writer, &Arc<Log>) -> Result<(), HandlerError> + Send + Sync + 'static,
    ) -> Self {
        Self::start(change, |server, log| server.start(move |reader, writer| handler(reader, writer, &log)))
    }

    /// A server that does `act` for all that happens to a connection, and notes the end of each.
    pub(crate) fn acting(
        engine: Engine,
        change: impl FnOnce(Builder, &Arc<Log>) -> Builder,
        act: impl Fn(&Writer, At<'_>, &Log) -> Result<(), HandlerError> + Send + Sync + 'static,
    ) -> Self {
        Self::start(change, |server, log| {
            engine.start(server, move |writer: &Writer, at: At<'_>| {
                let end = if let At::End(end) = at { Some(end.clone()) } else { None };
                act(writer, at, &log)?;
                if let Some(end) = end {
                    log.note(writer.info().peer, Note::End(Some(end)));
                }
                Ok(())
            })
        })
    }

    /// A server that echoes.
    pub(crate) fn echo(engine: Engine, change: impl FnOnce(Builder, &Arc<Log>) -> Builder) -> Self {
        Self::echo_after(engine, change, |_, _| ())
    }

    /// A server that echoes, once `at_open` has returned.
    pub(crate) fn echo_after(
        engine: Engine,
        change: impl FnOnce(Builder, &Arc<Log>) -> Builder,
        at_open: impl Fn(&Writer, &Log) + Send + Sync + 'static,
    ) -> Self {
        Self::start(change, |server, log| Self::start_echo(engine, server, log, at_open))
    }

    fn start_echo(
        engine: Engine,
        server: &Server,
        log: Arc<Log>,
        at_open: impl Fn(&Writer, &Log) + Send + Sync + 'static,
    ) -> io::Result<()> {
        engine.start(server, move |writer: &Writer, at: At<'_>| {
            if let At::Open = at {
                at_open(writer, &log);
            }
            echo_at(writer, at, &log);
            Ok(())
        })
    }

    fn start(
        change: impl FnOnce(Builder, &Arc<Log>) -> Builder,
        start: impl FnOnce(&Server, Arc<Log>) -> io::Result<()>,
    ) -> Self {
        let bound = Server::builder().bind("127.0.0.1:0").expect("a free port");
        Self::start_bound(bound, change, start)
    }

    fn start_bound(
        bound: Builder,
        change: impl FnOnce(Builder, &Arc<Log>) -> Builder,
        start: impl FnOnce(&Server, Arc<Log>) -> io::Result<()>,
    ) -> Self {
        let log = Arc::new(Log::default());
        let builder = bound.hosts(Hosts::Any).workers(2);
        let server = change(builder, &log).build().expect("a server");
        start(&server, Arc::clone(&log)).expect("the server starts");
        Self { address: server.local_addr(), server, log, honest: None, relay: None }
    }

    /// As [`of`](Self::of), over TLS.
    pub(crate) fn of_tls(engine: Engine, setup: &Setup) -> Self {
        let certificate = Certificate::new();
        let bound = Server::builder().bind_tls("127.0.0.1:0", &certificate.of_server).expect("a free port");
        let relays = ["127.0.0.0/8".parse().expect("a network")];
        let bound = bound.trusted_proxies(AddressSource::ProxyProtocol, relays);
        let change = |builder, log: &Arc<Log>| Self::set_up(builder, log, setup);
        let mut host = Self::start_bound(bound, change, |server, log| Self::start_echo(engine, server, log, |_, _| ()));
        let relay = Relay::to_server(host.address, &certificate);
        host.address = relay.address;
        host.relay = Some(relay);
        host.honest = Honest::start(host.address, setup.limits);
        host
    }

    /// The server that lines of the table share.
    pub(crate) fn of(engine: Engine, setup: &Setup) -> Self {
        let mut host = Self::echo(engine, |builder, log| Self::set_up(builder, log, setup));
        host.honest = Honest::start(host.address, setup.limits);
        host
    }

    fn set_up(builder: Builder, log: &Arc<Log>, setup: &Setup) -> Builder {
        let log = Arc::clone(log);
        let builder = builder
            .hosts(setup.hosts.clone())
            .head_limits(setup.head)
            .origins(setup.origins.clone())
            .handshake_timeout(setup.handshake_timeout)
            .with_options(|options| options.limits = setup.limits)
            .on_request(move |request| {
                let is_websocket = request.is_websocket();
                let note = if is_websocket { Note::Asked(Box::new(request.head().clone())) } else { Note::Plain };
                log.note(request.peer(), note);
                // What is no opening handshake is answered with what it lacks.
                let _ = request.accept();
            });
        let builder = match setup.deflate {
            Some(deflate) => builder.deflate(deflate),
            None => builder,
        };
        setup.subprotocols.iter().fold(builder, |builder, name| builder.subprotocol(*name))
    }

    /// Stops the server, after a look at what it has left: an honest client is served, and all others are gone, with
    /// their places and their descriptors.
    pub(crate) fn finish(mut self) {
        if let Some(honest) = self.honest.take() {
            let message = honest.finish();
            let mut last = Peer::connect(self.address);
            last.shake_hands(&Vec::from(head::sample().set("Host", "localhost")));
            last.echo(&message);
            assert!(last.close().is_empty());
        }
        self.assert_empty();
        drop(self.relay.take());
        self.server.stop(Duration::ZERO);
        self.server.join(PATIENCE).expect("all handlers have returned");
    }

    /// Waits until no connection is left: none in the registry, and none of the system but the listener.
    pub(crate) fn assert_empty(&self) {
        let what = || (self.server.connections(), connections_at(self.server.local_addr().port()));
        let empty = wait_until(|| matches!(what(), (connections, 1) if connections.is_empty()));
        assert!(empty, "left: {:?}", what());
    }
}

impl Deref for Host {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

/// Waits until `condition` holds; `false`: it never did.
pub(crate) fn wait_until(mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        if Instant::now() >= deadline {
            return false;
        }
        thread::sleep(Duration::from_millis(2));
    }
    true
}

/// Waits for a thread, which has to return, and not to have panicked.
pub(crate) fn join<T>(thread: JoinHandle<T>) -> T {
    assert!(wait_until(|| thread.is_finished()), "the thread has not returned within {PATIENCE:?}");
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Counts the connections of this machine at a local port that are not over, the listening socket among them.
fn connections_at(port: u16) -> usize {
    let table = std::fs::read_to_string("/proc/self/net/tcp").expect("the table of TCP sockets");
    let held = |line: &&str| {
        let mut fields = line.split_whitespace();
        let local = fields.nth(1).and_then(|address| address.rsplit(':').next());
        // One that only the system still remembers has the inode 0.
        local.and_then(|port| u16::from_str_radix(port, 16).ok()) == Some(port) && fields.nth(7) != Some("0")
    };
    table.lines().skip(1).filter(held).count()
}

/// A client that does nothing wrong (rule 3): it has messages of 1 KiB echoed, until it is told to stop.
struct Honest {
    message: String,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Honest {
    /// `None`: the server takes no message at all.
    fn start(server: SocketAddr, limits: Limits) -> Option<Self> {
        if limits.fragments == 0 {
            return None;
        }
        let message = "x".repeat(limits.message.min(limits.frame).min(1024) as usize);
        let stop = Arc::new(AtomicBool::new(false));
        let (to_send, told) = (message.clone(), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            let mut peer = Peer::connect(server);
            peer.shake_hands(&Vec::from(head::sample().set("Host", "localhost")));
            while !told.load(Ordering::Relaxed) {
                peer.echo(&to_send);
                thread::sleep(Duration::from_millis(5));
            }
            assert!(peer.close().is_empty());
        });
        Some(Self { message, stop, thread })
    }

    /// Gives a message that the server takes.
    fn finish(self) -> String {
        self.stop.store(true, Ordering::Relaxed);
        // None of its messages is lost.
        join(self.thread);
        self.message
    }
}

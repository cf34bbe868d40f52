//! The lobby: one thread that accepts connections and watches those whose opening handshake is under way.
//!
//! No user code runs here, and nothing waits for a single client: a thousand that drip their requests cost no thread. A
//! complete request leaves for where it is decided on; an HTTP answer is written here, whoever has given it.

use std::collections::{BTreeSet, HashMap};
use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use polling::{Event, Events, PollMode};
use raddle_core::handshake::{HandshakeError, Hosts, RequestParser, Response};
use raddle_socket::{Cause, Patience, Socket, Transport, Watch};

use crate::admission::{Full, Ticket};
use crate::registry::Place;
use crate::request::{Request, Visitor};
use crate::server::Shared;
use crate::threads::Handler;

/// What other threads have of the lobby.
pub(crate) struct Lobby {
    watch: Watch,
    handler: Mutex<Option<Arc<Handler>>>,
    /// Answers that were given elsewhere; `None`: the lobby has ended.
    answers: Mutex<Option<Vec<Answer>>>,
}

type Answer = (Visitor, Vec<u8>);

impl Lobby {
    pub(crate) fn new(listeners: &[TcpListener], handler: Option<Arc<Handler>>) -> io::Result<Self> {
        let watch = Watch::new()?;
        for (key, listener) in listeners.iter().enumerate() {
            add(&watch, listener, Event::readable(key))?;
        }
        Ok(Self { watch, handler: Mutex::new(handler), answers: Mutex::new(Some(Vec::new())) })
    }

    pub(crate) fn handler(&self) -> Option<Arc<Handler>> {
        self.handler.lock().clone()
    }

    /// Has an answer written, and the connection closed.
    pub(crate) fn answer(&self, visitor: Visitor, response: Vec<u8>) {
        match &mut *self.answers.lock() {
            Some(answers) => answers.push((visitor, response)),
            // As much as fits: nobody is left to wait for the rest.
            None => drop(visitor.socket.send(&[IoSlice::new(&response)])),
        }
        self.watch.wake();
    }

    pub(crate) fn wake(&self) {
        self.watch.wake();
    }
}

/// Runs the lobby until the server is stopped and its connections have ended.
pub(crate) fn run(shared: &Arc<Shared>, lobby: &Lobby, listeners: Vec<TcpListener>) {
    let listeners = listeners.into_iter().map(|socket| Listener::new(shared, socket)).collect();
    let mut host = Host {
        shared,
        lobby,
        listeners,
        guests: HashMap::new(),
        next_key: FIRST_GUEST,
        asking: BTreeSet::new(),
        leaving: BTreeSet::new(),
        resume_at: None,
        scratch: vec![0; SCRATCH],
        stopping: false,
    };
    let mut events = Events::new();
    while let Some(timeout) = host.timeout() {
        lobby.watch.wait(&mut events, timeout);
        for event in events.iter() {
            if event.key < FIRST_GUEST { host.welcome(event.key) } else { host.attend(event.key) }
        }
        let answers = lobby.answers.lock().as_mut().map(std::mem::take);
        for (visitor, response) in answers.into_iter().flatten() {
            host.take_leave(visitor, response);
        }
        host.expire();
    }
    *lobby.answers.lock() = None;
    *lobby.handler.lock() = None;
}

/// A listening socket, and under which names it may be addressed.
struct Listener {
    socket: TcpListener,
    hosts: Hosts,
}

impl Listener {
    fn new(shared: &Shared, socket: TcpListener) -> Self {
        let hosts = socket.local_addr().map_or(Hosts::Any, |address| shared.hosts(address));
        Self { socket, hosts }
    }
}

/// The lobby's own state.
struct Host<'a> {
    shared: &'a Arc<Shared>,
    lobby: &'a Lobby,
    listeners: Vec<Listener>,
    guests: HashMap<usize, Guest>,
    next_key: usize,
    /// Those that make their request, by deadline: the oldest first.
    asking: BTreeSet<(Instant, usize)>,
    /// Those that get an answer, likewise.
    leaving: BTreeSet<(Instant, usize)>,
    /// No connection is accepted before: descriptors or memory have run out.
    resume_at: Option<Instant>,
    scratch: Vec<u8>,
    stopping: bool,
}

/// A connection in the lobby.
struct Guest {
    socket: Socket,
    peer: Option<SocketAddr>,
    listener: usize,
    /// `None` for one that was not admitted.
    ticket: Option<Ticket>,
    place: Option<Place>,
    /// When the lobby gives it up.
    until: Instant,
    stage: Stage,
}

enum Stage {
    Asking {
        parser: RequestParser,
        received: Vec<u8>,
    },
    Answering {
        response: Vec<u8>,
        written: usize,
    },
    /// The answer is written. What the client still sends is dropped, so that it gets the answer and not a reset.
    Lingering {
        dropped: usize,
    },
}

/// What becomes of a guest after a step.
enum Next {
    Stays,
    Leaves,
    /// There is room for more of its answer.
    Writes,
    /// The request is complete, with the length of its head.
    Asks(Box<raddle_core::handshake::Request>),
    Refused(HandshakeError),
}

impl Host<'_> {
    /// The time until something is due; `None`: the lobby is empty and closed.
    fn timeout(&mut self) -> Option<Option<Duration>> {
        let now = Instant::now();
        let mut next = self.resume_at;
        for queue in [&self.asking, &self.leaving] {
            next = next.into_iter().chain(queue.first().map(|(at, _)| *at)).min();
        }
        if self.stopping {
            let at = self.shared.stops_at().unwrap_or(now);
            if self.shared.registry.is_empty() && self.guests.is_empty() {
                return None;
            }
            if now >= at {
                self.shared.registry.writers().iter().for_each(|writer| writer.cut(Cause::Shutdown));
                return None;
            }
            // The registry does not tell when it is empty.
            next = Some(next.unwrap_or(at).min(at).min(now + LOOK_AGAIN));
        }
        Some(next.map(|at| at.saturating_duration_since(now)))
    }

    /// Accepts what a listener has.
    fn welcome(&mut self, listener: usize) {
        for _ in 0..AT_ONCE {
            let Some(Listener { socket, .. }) = self.listeners.get(listener) else { return };
            match socket.accept() {
                Ok((stream, peer)) => {
                    // What fails here concerns this client alone, which has gone perhaps.
                    if let Ok(socket) = Socket::tcp(stream) {
                        self.enter(socket, Some(peer), listener);
                    }
                }
                Err(error) => match accept_failure(&error) {
                    AcceptFailure::NoMore => return,
                    AcceptFailure::OfOneClient => {}
                    AcceptFailure::Exhausted => {
                        log::warn!("no connection can be accepted: {error}");
                        self.resume_at = Some(Instant::now() + BACK_OFF);
                        self.listen(false);
                        return;
                    }
                },
            }
        }
    }

    fn enter(&mut self, socket: Socket, peer: Option<SocketAddr>, listener: usize) {
        let settings = &self.shared.settings;
        match self.shared.admission.admit(peer.map(|peer| peer.ip())) {
            Ok(ticket) => {
                if self.asking.len() >= settings.max_handshakes {
                    self.shed();
                }
                let deadline = Instant::now() + settings.handshake_timeout;
                let stage = Stage::Asking { parser: RequestParser::new(settings.head), received: Vec::new() };
                let place = Some(self.shared.registry.enter(peer));
                let guest = Guest { socket, peer, listener, ticket: Some(ticket), place, until: deadline, stage };
                if let Some(key) = self.seat(guest, Event::readable) {
                    self.asking.insert((deadline, key));
                    // The request is often there already.
                    self.attend(key);
                }
            }
            Err(Full::Server) => {
                let stage = Stage::Answering { response: Response::refusal(503).encode(), written: 0 };
                let until = Instant::now() + LINGER;
                self.dismiss(Guest { socket, peer, listener, ticket: None, place: None, until, stage });
            }
            Err(Full::Address) => {}
        }
    }

    /// Gives a guest a key, and watches its socket.
    fn seat(&mut self, guest: Guest, interest: impl FnOnce(usize) -> Event) -> Option<usize> {
        let key = self.next_key;
        self.next_key = self.next_key.checked_add(1).filter(|key| *key != usize::MAX).unwrap_or(FIRST_GUEST);
        let descriptor = guest.socket.descriptor()?;
        if let Err(error) = add(&self.lobby.watch, descriptor, interest(key)) {
            log::warn!("a connection cannot be watched: {error}");
            return None;
        }
        self.guests.insert(key, guest);
        Some(key)
    }

    /// Does what a guest's socket is ready for.
    fn attend(&mut self, key: usize) {
        let Some(guest) = self.guests.get_mut(&key) else { return };
        let hosts = &self.listeners.get(guest.listener).map_or(Hosts::Any, |listener| listener.hosts.clone());
        match guest.step(&mut self.scratch, self.shared, hosts) {
            Next::Stays => {}
            Next::Leaves => drop(self.remove(key)),
            Next::Writes => {
                if let Some(guest) = self.remove(key) {
                    self.dismiss(guest);
                }
            }
            Next::Asks(head) => {
                if let Some(guest) = self.remove(key) {
                    self.deliver(guest, *head);
                }
            }
            Next::Refused(error) => {
                if let Some(mut guest) = self.remove(key) {
                    log::debug!("an opening handshake was refused: {error}");
                    guest.stage = Stage::Answering { response: error.response().encode(), written: 0 };
                    self.dismiss(guest);
                }
            }
        }
    }

    fn deliver(&self, guest: Guest, head: raddle_core::handshake::Request) {
        let Guest { socket, peer, ticket: Some(ticket), place: Some(place), until: deadline, stage, .. } = guest else {
            return;
        };
        let Stage::Asking { mut received, .. } = stage else { return };
        received.drain(..head.head_len());
        let id = place.id;
        let visitor = Visitor { socket, peer, received, deadline, ticket, place };
        let request = Request::new(Arc::clone(self.shared), head, visitor);
        self.shared.deliver(self.lobby.handler(), id, request);
    }

    fn take_leave(&mut self, visitor: Visitor, response: Vec<u8>) {
        let Visitor { socket, peer, ticket, place, .. } = visitor;
        let stage = Stage::Answering { response, written: 0 };
        let until = Instant::now() + LINGER;
        self.dismiss(Guest { socket, peer, listener: 0, ticket: Some(ticket), place: Some(place), until, stage });
    }

    /// Writes a guest's answer, and sees it off.
    fn dismiss(&mut self, mut guest: Guest) {
        if matches!(guest.answer(), Next::Leaves) {
            return;
        }
        let (time, interest): (_, fn(usize) -> Event) = match guest.stage {
            Stage::Lingering { .. } => (LINGER, Event::readable),
            _ => (self.shared.settings.handshake_timeout, Event::writable),
        };
        guest.until = Instant::now() + time;
        let until = guest.until;
        if let Some(key) = self.seat(guest, interest) {
            self.leaving.insert((until, key));
        }
    }

    fn remove(&mut self, key: usize) -> Option<Guest> {
        let guest = self.guests.remove(&key)?;
        self.asking.remove(&(guest.until, key));
        self.leaving.remove(&(guest.until, key));
        if let Some(descriptor) = guest.socket.descriptor() {
            self.lobby.watch.remove(descriptor);
        }
        Some(guest)
    }

    /// Lets the guest go that has been asking for the longest time.
    fn shed(&mut self) {
        if let Some((_, key)) = self.asking.first().copied() {
            self.remove(key);
        }
    }

    /// Lets those go whose time is up, and notes that the server is stopped.
    fn expire(&mut self) {
        let now = Instant::now();
        let late = |queue: &BTreeSet<(Instant, usize)>| queue.first().copied().filter(|(at, _)| *at <= now);
        while let Some((_, key)) = late(&self.asking).or_else(|| late(&self.leaving)) {
            self.remove(key);
        }
        if self.resume_at.is_some_and(|at| at <= now) {
            self.resume_at = None;
            self.listen(true);
        }
        if !self.stopping && self.shared.is_stopping() {
            self.stopping = true;
            self.close();
        }
    }

    /// Listens on, or not for a while.
    fn listen(&self, on: bool) {
        for (key, listener) in self.listeners.iter().enumerate() {
            let interest = if on { Event::readable(key) } else { Event::none(key) };
            if let Err(error) = self.lobby.watch.change(listener.socket.as_fd(), interest, PollMode::Level) {
                log::error!("a listener cannot be watched: {error}");
            }
        }
    }

    /// Closes the listeners, and lets go all that make their request.
    fn close(&mut self) {
        for listener in self.listeners.drain(..) {
            self.lobby.watch.remove(listener.socket.as_fd());
        }
        while let Some((_, key)) = self.asking.first().copied() {
            if let Some(mut guest) = self.remove(key) {
                guest.stage = Stage::Answering { response: Response::refusal(503).encode(), written: 0 };
                self.dismiss(guest);
            }
        }
    }
}

impl Guest {
    /// Does what the socket is ready for, as far as it goes.
    fn step(&mut self, scratch: &mut [u8], shared: &Shared, hosts: &Hosts) -> Next {
        match &mut self.stage {
            Stage::Asking { parser, received } => match self.socket.receive(scratch, Patience::DontWait) {
                Ok(0) => Next::Leaves,
                Ok(count) => {
                    received.extend_from_slice(&scratch[..count]);
                    match parser.advance(received) {
                        Ok(None) => Next::Stays,
                        Ok(Some(head)) => match head.check(&shared.settings.origins, hosts) {
                            Ok(()) => Next::Asks(Box::new(head)),
                            Err(error) => Next::Refused(error),
                        },
                        Err(error) => Next::Refused(error),
                    }
                }
                Err(error) => after(&error),
            },
            Stage::Answering { .. } => Next::Writes,
            Stage::Lingering { dropped } => match self.socket.receive(scratch, Patience::DontWait) {
                Ok(0) => Next::Leaves,
                Ok(count) => {
                    *dropped += count;
                    if *dropped < LINGER_BYTES { Next::Stays } else { Next::Leaves }
                }
                Err(error) => after(&error),
            },
        }
    }

    /// Writes what fits of the answer, and ends the stream behind it.
    fn answer(&mut self) -> Next {
        let Stage::Answering { response, written } = &mut self.stage else { return Next::Stays };
        while *written < response.len() {
            match self.socket.send(&[IoSlice::new(&response[*written..])]) {
                Ok(0) => return Next::Leaves,
                Ok(count) => *written += count,
                Err(error) => return after(&error),
            }
        }
        self.stage = Stage::Lingering { dropped: 0 };
        match self.socket.shutdown(Shutdown::Write) {
            Ok(()) => Next::Stays,
            Err(_) => Next::Leaves,
        }
    }
}

/// What becomes of a guest whose socket has failed, or has nothing more for the moment.
fn after(error: &io::Error) -> Next {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Next::Stays,
        _ => Next::Leaves,
    }
}

enum AcceptFailure {
    NoMore,
    /// The client has gone, or its network has: the next one may do better.
    OfOneClient,
    /// Descriptors or memory have run out: for some time the next one would fail as well.
    Exhausted,
}

fn accept_failure(error: &io::Error) -> AcceptFailure {
    use rustix::io::Errno;
    match Errno::from_io_error(error) {
        Some(Errno::AGAIN) => AcceptFailure::NoMore,
        Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => AcceptFailure::Exhausted,
        Some(Errno::BADF | Errno::INVAL | Errno::NOTSOCK) => AcceptFailure::Exhausted,
        _ => AcceptFailure::OfOneClient,
    }
}

#[allow(unsafe_code)]
fn add(watch: &Watch, socket: impl AsFd, interest: Event) -> io::Result<()> {
    // SAFETY: the lobby keeps each socket that it adds, in `listeners` or `guests`, and takes it out of both together.
    unsafe { watch.add(socket.as_fd(), interest, PollMode::Level) }
}

/// The keys below are the listeners'.
const FIRST_GUEST: usize = 1024;
/// Connections that are accepted before the others are looked at again.
const AT_ONCE: usize = 64;
/// The space for one read of a request.
const SCRATCH: usize = 16 * 1024;
/// So long and so many bytes the lobby reads on behind an answer.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 64 * 1024;
/// The pause after running out of descriptors.
const BACK_OFF: Duration = Duration::from_millis(50);
/// How often a stopping server looks whether all have gone.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

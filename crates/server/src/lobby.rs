//! The lobby: one thread that accepts connections and watches those whose opening handshake is under way.
//!
//! No user code runs here, and nothing waits for a single client: a thousand that drip their requests cost no thread. A
//! complete request leaves for where it is decided on; an HTTP answer is written here, whoever has given it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, IoSlice};
use std::mem;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use log::Level;
use parking_lot::Mutex;
use raddle_core::handshake::{Hosts, RequestParser, Response};
use raddle_socket::{Event, Events, Interest, Mode, Socket, Transport, Watch};

use crate::admission::Full;
use crate::desk::{Desk, Destination, Visitor};
use crate::engine::Engine;
use crate::farewell::{Farewell, after};
use crate::guest::{Guest, Next, Stage, locate};
use crate::listener::{AcceptFailure, Listener, Spare};
use crate::metrics::Refusal;
use crate::registry::{ConnectionId, Place};
use crate::request::Request;
use crate::shared::{Service, Shared};
use crate::stream::Stream;

/// What other threads have of the lobby.
pub(crate) struct Lobby {
    watch: Watch,
    engine: Mutex<Option<Engine>>,
    /// Answers that were given elsewhere; `None`: the lobby has ended.
    answers: Mutex<Option<Vec<Answer>>>,
}

type Answer = (Visitor, Vec<u8>);

impl Lobby {
    pub(crate) fn new(listeners: &[Listener]) -> io::Result<Self> {
        let watch = Watch::new()?;
        for (key, listener) in listeners.iter().enumerate() {
            add(&watch, listener, Event::readable(key))?;
        }
        Ok(Self { watch, engine: Mutex::new(None), answers: Mutex::new(Some(Vec::new())) })
    }

    /// Before the lobby runs: gives it what its requests are delivered to.
    pub(crate) fn set_engine(&self, engine: Engine) {
        *self.engine.lock() = Some(engine);
    }

    pub(crate) fn engine(&self) -> Option<Engine> {
        self.engine.lock().clone()
    }

    /// Has an answer written, and the connection closed.
    pub(crate) fn answer(&self, visitor: Visitor, response: Vec<u8>) {
        match &mut *self.answers.lock() {
            Some(answers) => answers.push((visitor, response)),
            // As much as fits: nobody is left to wait for the rest.
            None => drop(visitor.stream.transport().send(&[IoSlice::new(&response)])),
        }
        self.watch.wake();
    }

    pub(crate) fn wake(&self) {
        self.watch.wake();
    }
}

/// Runs the lobby until the server is stopped and its connections have ended.
pub(crate) fn run(shared: &Arc<Shared>, lobby: &Lobby, listeners: Vec<Listener>, spare: Spare) {
    let listeners = listeners.into_iter().map(|socket| {
        let hosts = shared.settings.hosts.clone().unwrap_or_else(|| socket.default_hosts());
        Some(Entrance { socket, hosts })
    });
    let mut host = Host {
        shared,
        lobby,
        listeners: listeners.collect(),
        spare,
        guests: HashMap::new(),
        next_key: FIRST_GUEST,
        asking: BTreeSet::new(),
        leaving: BTreeSet::new(),
        undecided: BTreeMap::new(),
        resume_at: None,
        scratch: vec![0; SCRATCH],
        farewell: None,
    };
    let mut events = Events::default();
    while let Some(timeout) = host.timeout() {
        lobby.watch.wait(&mut events, timeout);
        for event in events.iter() {
            if event.key < FIRST_GUEST { host.welcome(event.key) } else { host.attend(event.key) }
        }
        let answers = lobby.answers.lock().as_mut().map(mem::take);
        for (visitor, response) in answers.into_iter().flatten() {
            host.take_leave(visitor, response);
        }
        host.expire();
    }
    host.leave();
    *lobby.answers.lock() = None;
    if let Some(engine) = lobby.engine.lock().take() {
        engine.stop();
    }
}

/// A listening socket, and under which names the server may be addressed there.
struct Entrance {
    socket: Listener,
    hosts: Hosts,
}

/// The lobby's own state.
struct Host<'a> {
    shared: &'a Arc<Shared>,
    lobby: &'a Lobby,
    /// By the keys that they are watched with; `None`: closed.
    listeners: Vec<Option<Entrance>>,
    spare: Spare,
    guests: HashMap<usize, Guest>,
    next_key: usize,
    /// Those that make their request, by deadline: the oldest first.
    asking: BTreeSet<(Instant, usize)>,
    /// Those that get an answer, likewise.
    leaving: BTreeSet<(Instant, usize)>,
    /// Requests that were delivered, by deadline: however long a decision takes, the client does not wait for it any longer.
    undecided: BTreeMap<(Instant, ConnectionId), Weak<Desk>>,
    /// No connection is accepted before: descriptors or memory have run out.
    resume_at: Option<Instant>,
    scratch: Vec<u8>,
    /// The server is being stopped.
    farewell: Option<Farewell>,
}

impl Host<'_> {
    /// The time until something is due; `None`: the lobby is empty and closed.
    fn timeout(&mut self) -> Option<Option<Duration>> {
        let now = Instant::now();
        let mut next = self.resume_at;
        for queue in [&self.asking, &self.leaving] {
            next = next.into_iter().chain(queue.first().map(|(at, _)| *at)).min();
        }
        next = next.into_iter().chain(self.undecided.first_key_value().map(|((at, _), _)| *at)).min();
        if self.shared.service() != Service::On {
            if self.shared.books.registry.is_empty() && self.guests.is_empty() {
                return None;
            }
            let late = self.farewell.as_mut().is_some_and(|farewell| farewell.advance(self.shared, now));
            if late {
                return None;
            }
            // The registry does not tell when it is empty.
            next = Some(next.unwrap_or(now + LOOK_AGAIN).min(now + LOOK_AGAIN));
        }
        Some(next.map(|at| at.saturating_duration_since(now)))
    }

    /// Accepts what a listener has.
    fn welcome(&mut self, listener: usize) {
        for _ in 0..AT_ONCE {
            let Some(Some(Entrance { socket, .. })) = self.listeners.get(listener) else { return };
            match socket.accept() {
                Ok((Ok(socket), peer)) => {
                    self.spare.renew();
                    self.shared.books.metrics.accepted();
                    self.enter(socket, peer, listener);
                }
                // The client has gone.
                Ok((Err(_), _)) | Err(AcceptFailure::OfOneClient) => {}
                Err(AcceptFailure::NoMore) => return,
                Err(AcceptFailure::NoDescriptor) => {
                    if self.spare.turn_away(socket) {
                        self.shared.refused(Refusal::NoDescriptor, None);
                    } else {
                        return self.pause();
                    }
                }
                Err(AcceptFailure::NoMemory) => return self.pause(),
                Err(AcceptFailure::Broken(error)) => {
                    self.shared.journal.note(Level::Error, format_args!("a listener has failed: {error}"));
                    self.close(listener);
                    return self.shared.fail(error);
                }
            }
        }
    }

    fn enter(&mut self, socket: Socket, peer: Option<SocketAddr>, listener: usize) {
        let settings = &self.shared.settings;
        let tls = self.listeners.get(listener).and_then(Option::as_ref).and_then(|entrance| entrance.socket.tls());
        let stream = match Stream::new(socket, tls) {
            Ok(stream) => stream,
            Err(error) => {
                self.shared.journal.note(Level::Error, format_args!("TLS cannot be set up: {error}"));
                return self.shared.refused(Refusal::Tls, peer);
            }
        };
        let ticket = match self.shared.books.admission.admit() {
            Ok(ticket) => ticket,
            Err(_) => {
                self.shared.refused(Refusal::ServerFull, peer);
                let guest = Guest::leaving(stream, peer, None, None);
                return self.answer(guest, Response::refusal(503).encode());
            }
        };
        let proxies = settings.proxies.as_ref().filter(|proxies| proxies.trust(peer.map(|peer| peer.ip())));
        let (ticket, place) = (Some(ticket), Some(Place::enter(&self.shared.books, peer)));
        if proxies.is_none()
            && let Err(full) = locate(&ticket, &place, peer)
        {
            return self.shared.refused(full.into(), peer);
        }
        if self.asking.len() >= settings.max_handshakes {
            self.shed();
        }
        let until = after(Instant::now(), settings.handshake_timeout);
        let stage = Stage::Asking {
            parser: RequestParser::new(settings.head),
            received: Vec::new(),
            proxied: proxies.map(|proxies| proxies.source),
        };
        let guest = Guest { stream, peer, listener, ticket, place, until, stage, watched: Interest::Read };
        if let Some(key) = self.seat(guest, Event::readable) {
            self.asking.insert((until, key));
            // The request is often there already.
            self.attend(key);
        }
    }

    /// Gives a guest a key, and watches its socket.
    fn seat(&mut self, guest: Guest, interest: impl FnOnce(usize) -> Event) -> Option<usize> {
        let key = self.next_key;
        self.next_key = self.next_key.checked_add(1).filter(|key| *key != usize::MAX).unwrap_or(FIRST_GUEST);
        let descriptor = guest.stream.socket().descriptor()?;
        if let Err(error) = add(&self.lobby.watch, descriptor, interest(key)) {
            self.shared.journal.note(Level::Warn, format_args!("a connection cannot be watched: {error}"));
            return None;
        }
        self.guests.insert(key, guest);
        Some(key)
    }

    /// Does what a guest's socket is ready for.
    fn attend(&mut self, key: usize) {
        let Some(guest) = self.guests.get_mut(&key) else { return };
        let entrance = self.listeners.get(guest.listener).and_then(Option::as_ref);
        let hosts = entrance.map_or(&Hosts::Any, |entrance| &entrance.hosts);
        let next = guest.step(&mut self.scratch, self.shared, hosts);
        if matches!(next, Next::Stays) {
            return self.watch_on(key);
        }
        let Some(guest) = self.remove(key) else { return };
        match next {
            Next::Stays | Next::Leaves => {}
            Next::Writes => self.dismiss(guest),
            Next::Asks(head) => self.deliver(guest, *head),
            Next::Refused(reason, response) => {
                self.shared.refused(reason, guest.peer);
                self.answer(guest, response.encode());
            }
            Next::Dropped(reason) => self.shared.refused(reason, guest.peer),
            Next::Alerted(error) => {
                self.shared.refused(Refusal::Tls, guest.peer);
                self.shared.journal.note(Level::Debug, format_args!("the TLS handshake has failed: {error}"));
                self.dismiss(guest);
            }
        }
    }

    /// Watches a guest's socket for what it waits for now.
    fn watch_on(&mut self, key: usize) {
        let Some(guest) = self.guests.get_mut(&key) else { return };
        let interest = guest.stream.interest();
        if matches!(guest.stage, Stage::Asking { .. })
            && guest.watched != interest
            && let Some(socket) = guest.stream.socket().descriptor()
        {
            let event = if interest == Interest::Write { Event::writable(key) } else { Event::readable(key) };
            guest.watched = interest;
            if let Err(error) = self.lobby.watch.change(socket, event, Mode::Level) {
                self.shared.journal.note(Level::Warn, format_args!("a connection cannot be watched: {error}"));
                self.remove(key);
            }
        }
    }

    fn deliver(&mut self, guest: Guest, head: raddle_core::handshake::Request) {
        let Guest { stream, peer, ticket: Some(ticket), place: Some(place), until: deadline, stage, .. } = guest else {
            return;
        };
        let Stage::Asking { mut received, .. } = stage else { return };
        received.drain(..head.head_len());
        let id = place.id;
        let engine = self.lobby.engine();
        let (ticket, of_thread) = match &engine {
            Some(engine) => engine.share(ticket),
            None => (ticket, None),
        };
        let visitor = Visitor { stream, peer, received, deadline, ticket, place };
        let destination = engine.as_ref().map_or(Destination::Arrivals, Engine::destination);
        let request = Request::new(Arc::clone(self.shared), head, visitor, destination);
        self.undecided.insert((deadline, id), Arc::downgrade(&request.desk()));
        match engine {
            Some(engine) => engine.deliver(self.shared, id, of_thread, request),
            None => self.shared.arrive_asking(request),
        }
    }

    fn take_leave(&mut self, visitor: Visitor, response: Vec<u8>) {
        let Visitor { stream, peer, ticket, place, .. } = visitor;
        self.answer(Guest::leaving(stream, peer, Some(ticket), Some(place)), response);
    }

    /// Writes a guest's answer, and sees it off.
    fn dismiss(&mut self, mut guest: Guest) {
        if matches!(guest.answer(), Next::Leaves) {
            return;
        }
        let interest: fn(usize) -> Event = match guest.stage {
            Stage::Lingering { .. } => {
                guest.until = Instant::now() + LINGER;
                Event::readable
            }
            _ => Event::writable,
        };
        // Those that leave are bounded as those that come are.
        if self.leaving.len() >= self.shared.settings.max_handshakes {
            let oldest = self.leaving.first().map(|(_, key)| *key);
            drop(oldest.and_then(|key| self.remove(key)));
        }
        let until = guest.until;
        if let Some(key) = self.seat(guest, interest) {
            self.leaving.insert((until, key));
        }
    }

    /// Begins a guest's answer, for which it has the time of an opening handshake. Amid the handshake of TLS there is none.
    fn answer(&mut self, mut guest: Guest, response: Vec<u8>) {
        if !guest.stream.can_answer() {
            return;
        }
        guest.stage = Stage::Answering { response, written: 0 };
        guest.until = after(Instant::now(), self.shared.settings.handshake_timeout);
        self.dismiss(guest);
    }

    fn remove(&mut self, key: usize) -> Option<Guest> {
        let guest = self.guests.remove(&key)?;
        self.asking.remove(&(guest.until, key));
        self.leaving.remove(&(guest.until, key));
        if let Some(descriptor) = guest.stream.socket().descriptor() {
            self.lobby.watch.remove(descriptor);
        }
        Some(guest)
    }

    /// Lets the guest go that has been asking for the longest time.
    fn shed(&mut self) {
        let oldest = self.asking.first().map(|(_, key)| *key);
        if let Some(guest) = oldest.and_then(|key| self.remove(key)) {
            self.shared.refused(Refusal::Shed, guest.peer);
        }
    }

    /// Lets those go whose time is up, and notes that the server takes no more.
    fn expire(&mut self) {
        let now = Instant::now();
        let late = |queue: &BTreeSet<(Instant, usize)>| queue.first().filter(|(at, _)| *at <= now).map(|(_, key)| *key);
        while let Some(key) = late(&self.asking) {
            if let Some(guest) = self.remove(key) {
                self.shared.refused(Refusal::Timeout, guest.peer);
            }
        }
        while let Some(key) = late(&self.leaving) {
            self.remove(key);
        }
        let mut expired = false;
        while let Some(undecided) = self.undecided.first_entry() {
            if undecided.key().0 > now && undecided.get().strong_count() > 0 {
                break;
            }
            if let Some(desk) = undecided.remove().upgrade() {
                desk.give_up(Refusal::Timeout);
                expired = true;
            }
        }
        if expired {
            self.shared.forget_answered();
        }
        if self.resume_at.is_some_and(|at| at <= now) {
            self.resume_at = None;
            self.listen(true);
        }
        match self.shared.service() {
            Service::On => {}
            Service::Draining => (0..self.listeners.len()).for_each(|listener| self.close(listener)),
            Service::Stopping(stop) => {
                (0..self.listeners.len()).for_each(|listener| self.close(listener));
                self.turn_out();
                match &mut self.farewell {
                    Some(farewell) => farewell.hasten(stop),
                    None => self.farewell = Some(Farewell::new(self.shared, stop)),
                }
            }
        }
    }

    /// Accepts nothing for a moment, in which others may give back what has run out.
    fn pause(&mut self) {
        self.shared.journal.note(Level::Warn, format_args!("connections cannot be accepted: resources have run out"));
        self.resume_at = Some(Instant::now() + BACK_OFF);
        self.listen(false);
    }

    /// Listens on, or not for a while.
    fn listen(&self, on: bool) {
        for (key, entrance) in self.listeners.iter().enumerate() {
            let Some(entrance) = entrance else { continue };
            let interest = if on { Event::readable(key) } else { Event::none(key) };
            if let Err(error) = self.lobby.watch.change(entrance.socket.as_fd(), interest, Mode::Level) {
                self.shared.journal.note(Level::Error, format_args!("a listener cannot be watched: {error}"));
            }
        }
    }

    /// Closes a listener.
    fn close(&mut self, listener: usize) {
        if let Some(entrance) = self.listeners.get_mut(listener).and_then(Option::take) {
            self.lobby.watch.remove(entrance.socket.as_fd());
        }
    }

    /// Lets go whoever is left: a socket has to be out of the poller before it is closed.
    fn leave(&mut self) {
        (0..self.listeners.len()).for_each(|listener| self.close(listener));
        let keys: Vec<_> = self.guests.keys().copied().collect();
        for key in keys {
            self.remove(key);
        }
    }

    /// Sends away all that make their request, or wait for the decision on it.
    fn turn_out(&mut self) {
        for desk in mem::take(&mut self.undecided).into_values().filter_map(|desk| desk.upgrade()) {
            desk.give_up(Refusal::Stopping);
        }
        while let Some((_, key)) = self.asking.first().copied() {
            if let Some(guest) = self.remove(key) {
                self.shared.refused(Refusal::Stopping, guest.peer);
                self.answer(guest, Response::refusal(503).encode());
            }
        }
    }
}

impl From<Full> for Refusal {
    fn from(full: Full) -> Self {
        match full {
            Full::Server => Self::ServerFull,
            Full::Address => Self::AddressFull,
            Full::Rate => Self::AddressRate,
        }
    }
}

fn add(watch: &Watch, socket: impl AsFd, interest: Event) -> io::Result<()> {
    watch.add(socket.as_fd(), interest, Mode::Level)
}

/// The keys below are the listeners'.
const FIRST_GUEST: usize = 1024;
/// Connections that are accepted before the others are looked at again.
const AT_ONCE: usize = 64;
/// The space for one read of a request.
const SCRATCH: usize = 16 * 1024;
/// So long the lobby reads on behind an answer.
const LINGER: Duration = Duration::from_secs(1);
/// The pause after running out of descriptors.
const BACK_OFF: Duration = Duration::from_millis(50);
/// How often a stopping server looks whether all have gone.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

//! The caller-driven pool: the thread that polls is the worker, and gets what has happened as events.
//!
//! No message is handed from one thread to another, so a program that has a loop of its own, or a language whose threads are
//! dear, pays for an event loop and nothing else. What a turn has received lies in one piece of memory, in place, until the
//! next turn.

use std::fmt;
use std::mem;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use raddle_core::Received;
use raddle_socket::{Connection, End, Events, Message, Turn, Writer, drive_for};

use crate::berths::Berths;
use crate::farewell::after;
use crate::home::{Claim, Home, Task};
use crate::record::{Happened, Kind, Place, Record};
use crate::registry::ConnectionId;
use crate::request::Request;
use crate::shared::Shared;
use crate::threads;

/// A server's connections in the hands of the thread that polls. Made by [`Server::event_loop`](crate::Server::event_loop).
///
/// What that thread sends does not wait, and leaves with its next [`poll`](Self::poll) or [`flush`](Self::flush), and within
/// 5 ms in any case; what it [publishes](crate::Server::publish), and what other threads publish to connections of this loop, leaves
/// with the poll or the flush. Other threads send as ever. A peer that does not take the answers to what it sends is not read until it
/// does. Dropped, it drops its connections, and whoever comes later.
///
/// ```
/// use std::time::Duration;
/// use raddle_server::{Event, Server};
///
/// let server = Server::builder().bind("127.0.0.1:0")?.build()?;
/// let mut events = server.event_loop()?;
/// # let stopper = server.clone();
/// # std::thread::spawn(move || stopper.stop(Duration::ZERO));
/// while !events.is_over() {
///     for event in events.poll(Some(Duration::from_secs(1))) {
///         if let Event::Message(connection, message) = event {
///             // It fails where the peer has gone.
///             let _ = connection.send(message);
///         }
///     }
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct EventLoop {
    shared: Arc<Shared>,
    home: Arc<Home>,
    woken: Arc<AtomicBool>,
    /// The last poll was ended from outside.
    was_woken: bool,
    berths: Berths<()>,
    /// The keys of those that have received more than was delivered in their turn, or had none in the last one, which come first.
    unfinished: Vec<usize>,
    found: Events,
    /// Somebody waits for the descriptor.
    is_watched: AtomicBool,
    turn: Record,
}

/// What has happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a, M = Message<'a>> {
    /// A client has made its request: to be decided on, now or later, from any thread. Only where
    /// [`Builder::requests_as_events`](crate::Builder::requests_as_events) asks for that.
    Request(Request),
    /// A connection was opened.
    Open(&'a Writer),
    /// A message has arrived.
    Message(&'a Writer, M),
    /// All that waited to be written has left, after some of it had to wait.
    Drained(&'a Writer),
    /// A connection has ended: the last event of it.
    Closed(&'a Writer, End),
}

/// A message as it lies in memory, for languages that have no type for what is known to be a text: they need not have it looked
/// through once more.
#[doc(hidden)]
#[derive(Clone, Copy)]
pub struct Plain<'a> {
    pub is_text: bool,
    pub bytes: &'a [u8],
}

/// Ends a poll, from any thread.
#[derive(Clone)]
pub struct Waker {
    home: Arc<Home>,
    woken: Arc<AtomicBool>,
}

impl EventLoop {
    pub(crate) fn new(shared: Arc<Shared>, home: Arc<Home>) -> Self {
        Self {
            shared,
            home,
            woken: Arc::default(),
            was_woken: false,
            berths: Berths::new(),
            unfinished: Vec::new(),
            found: Events::default(),
            is_watched: AtomicBool::new(false),
            turn: Record::new(),
        }
    }

    /// Lets what was sent leave, waits until something happens, at most for `timeout`, and gives all that has: in the order
    /// in which it has happened to each connection.
    ///
    /// Events that are not taken out of the iterator are there for [`rest`](Self::rest), until the next poll. A poll without events says that the time was up, that a
    /// [`Waker`] or a signal has ended it, or that the server has stopped.
    pub fn poll(&mut self, timeout: Option<Duration>) -> impl Iterator<Item = Event<'_>> {
        self.turn(timeout);
        self.rest()
    }

    /// As [`poll`](Self::poll), with messages as they lie there.
    #[doc(hidden)]
    pub fn poll_plain(&mut self, timeout: Option<Duration>) -> impl Iterator<Item = Event<'_, Plain<'_>>> {
        self.turn(timeout);
        self.rest_plain()
    }

    fn turn(&mut self, timeout: Option<Duration>) {
        let until = timeout.map(|timeout| after(Instant::now(), timeout));
        drive_for(&*self.home);
        self.turn.clear();
        loop {
            self.perform_tasks();
            let left = match until {
                _ if !self.turn.happened.is_empty() || !self.unfinished.is_empty() || self.is_over() => {
                    Some(Duration::ZERO)
                }
                until => until.map(|until| until.saturating_duration_since(Instant::now())),
            };
            let is_interrupted = !self.read(left);
            self.was_woken = self.woken.swap(false, Ordering::SeqCst) || is_interrupted;
            let is_late = until.is_some_and(|until| Instant::now() >= until);
            if self.was_woken || is_late || !self.turn.happened.is_empty() || self.is_over() {
                break;
            }
        }
        if self.is_watched.load(Ordering::Relaxed) {
            self.home.doze();
            if !self.unfinished.is_empty() {
                self.home.watch.wake();
            }
        }
    }

    /// The events of the last poll that were not taken.
    pub fn rest(&mut self) -> impl Iterator<Item = Event<'_>> {
        self.rest_as(Kind::lend, Received::message)
    }

    /// As [`rest`](Self::rest), with messages as they lie there.
    #[doc(hidden)]
    pub fn rest_plain(&mut self) -> impl Iterator<Item = Event<'_, Plain<'_>>> {
        let lie = |kind, bytes| Plain { is_text: matches!(kind, Kind::Text), bytes };
        self.rest_as(lie, |received| match received.message() {
            Message::Text(text) => Plain { is_text: true, bytes: text.as_bytes() },
            Message::Binary(bytes) => Plain { is_text: false, bytes },
        })
    }

    /// The events, with messages as whoever asks wants them: from where they lie, or from memory of their own.
    fn rest_as<'a, M: 'a>(
        &'a mut self,
        lie: impl Fn(Kind, &'a [u8]) -> M + 'a,
        own: impl Fn(&'a Received) -> M + 'a,
    ) -> impl Iterator<Item = Event<'a, M>> {
        let Record { arena, apart, happened, given, departed, .. } = &mut self.turn;
        let (arena, apart, departed, berths) = (&*arena, &*apart, &*departed, &self.berths);
        // Most come in runs of one connection.
        let mut last: Option<(usize, &Writer)> = None;
        let mut writer = move |key| match last {
            Some((known, writer)) if known == key => Some(writer),
            _ => {
                last = berths.get(key)?.driven.as_ref().map(|driven| (key, driven.writer()));
                Some(last?.1)
            }
        };
        let left = happened[*given..].iter_mut().inspect(|_| *given += 1);
        left.filter_map(move |happened| {
            Some(match happened {
                Happened::Message(key, place) => {
                    let message = match place {
                        Place::Arena(kind, range) => lie(*kind, &arena[range.clone()]),
                        Place::Apart(index) => own(&apart[*index]),
                    };
                    Event::Message(writer(*key)?, message)
                }
                Happened::Open(key) => Event::Open(writer(*key)?),
                Happened::Drained(key) => Event::Drained(writer(*key)?),
                Happened::Closed(index, end) => Event::Closed(departed[*index].writer(), End::clone(end)),
                asked => match mem::replace(asked, Happened::Asked) {
                    Happened::Request(request) => Event::Request(*request),
                    _ => return None,
                },
            })
        })
    }

    /// Lets what was sent since the last poll leave now.
    pub fn flush(&mut self) {
        drive_for(&*self.home);
        for task in self.home.take_tasks() {
            match task {
                Task::Write(key) => self.write(key),
                // What is an event waits for the next poll.
                task => self.home.post(task),
            }
        }
    }

    /// Drops its connections, whoever comes later, and the events that were not taken. What was taken last can be looked at
    /// until the loop itself is dropped.
    pub fn end(&mut self) {
        // Whoever comes later is turned away, and whoever is here goes with the berths.
        drop(self.home.close());
        self.berths = Berths::new();
        self.unfinished.clear();
        self.turn.happened.clear();
        self.turn.given = 0;
    }

    /// Tells whether the server has stopped, and the last connection has ended.
    pub fn is_over(&self) -> bool {
        self.berths.is_empty()
            && self.turn.given == self.turn.happened.len()
            && self.home.stopping.load(Ordering::SeqCst)
            && !self.home.has_tasks()
    }

    /// Tells whether a [`Waker`] or a signal has ended the last poll.
    pub fn was_woken(&self) -> bool {
        self.was_woken
    }

    /// What ends a poll from another thread.
    pub fn waker(&self) -> Waker {
        Waker { home: Arc::clone(&self.home), woken: Arc::clone(&self.woken) }
    }

    /// Does what other threads, and this one since the last turn, have asked for.
    fn perform_tasks(&mut self) {
        for task in self.home.take_tasks() {
            match task {
                Task::Decide(mut request) if self.shared.settings.requests_as_events => {
                    request.hear();
                    self.turn.happened.push(Happened::Request(request));
                }
                Task::Decide(request) => threads::decide(&self.shared, request),
                Task::Open(claim, connection) => self.open(claim, *connection),
                Task::OutputWaits(key) => {
                    if let Some(resident) = self.berths.get_mut(key) {
                        resident.await_room(&self.home.watch, key);
                    }
                }
                Task::Write(key) => self.write(key),
                Task::Read(key) => {
                    if let Some(resident) = self.berths.get_mut(key) {
                        resident.resume(&self.home.watch, key);
                        self.read_on(key);
                    }
                }
                Task::Release(key, heir) => {
                    if let Some(reader) = self.berths.release(&self.home, key) {
                        heir(reader);
                    }
                }
                Task::TakeBack(key, reader) => {
                    self.berths.take_back(&self.shared.journal, &self.home, key, *reader);
                    self.read_on(key);
                }
                Task::Ended(key) => {
                    if let Some((driven, ())) = self.berths.remove(&self.home, key) {
                        let end = driven.end();
                        self.shared.journal.note_end(ConnectionId::of(driven.writer().info()), &end);
                        self.turn.happened.push(Happened::Closed(self.turn.departed.len(), Box::new(end)));
                        self.turn.departed.push(driven);
                    }
                }
            }
        }
    }

    fn write(&mut self, key: usize) {
        if let Some(driven) = self.berths.get_mut(key).and_then(|resident| resident.driven.as_ref()) {
            driven.write();
        }
    }

    /// Has a connection read of which something may have arrived that no poller tells of.
    fn read_on(&mut self, key: usize) {
        if let Some(resident) = self.berths.get_mut(key)
            && !mem::replace(&mut resident.is_unfinished, true)
        {
            self.unfinished.push(key);
        }
    }

    fn open(&mut self, claim: Claim, connection: Connection) {
        let key = self.berths.take(&self.shared.journal, &self.home, claim, connection, ());
        self.turn.happened.push(Happened::Open(key));
        // Something may have come with the request.
        self.read_on(key);
    }

    /// Waits for sockets, and reads what has arrived until the turn has enough. `false`: a signal has ended the wait.
    fn read(&mut self, timeout: Option<Duration>) -> bool {
        let mut found = mem::take(&mut self.found);
        let is_whole = self.home.sleep(&mut found, timeout, None);
        let unfinished = mem::take(&mut self.unfinished);
        let mut passed_over = Vec::new();
        for key in &unfinished {
            self.attend(raddle_socket::Event { key: *key, readable: true, writable: true }, &mut passed_over);
        }
        for event in found.iter() {
            // Those have had their turn.
            if unfinished.is_empty() || !self.berths.is_unfinished(event.key) {
                self.attend(event, &mut passed_over);
            }
        }
        self.berths.mark_unfinished(&unfinished, false);
        // Who had no turn goes before those that had one, however much these have received.
        passed_over.append(&mut self.unfinished);
        self.unfinished = passed_over;
        self.berths.mark_unfinished(&self.unfinished, true);
        self.found = found;
        is_whole
    }

    /// Does what a connection's socket is ready for. It is passed over where the turn has enough.
    fn attend(&mut self, event: raddle_socket::Event, passed_over: &mut Vec<usize>) {
        let Self { berths, home, turn, unfinished, .. } = self;
        let Some(resident) = berths.get_mut(event.key) else { return };
        let mut has_input = event.readable && resident.takes_input();
        if event.writable
            && let Some(was_held) = resident.write(&home.watch, event.key)
        {
            turn.happened.push(Happened::Drained(event.key));
            has_input |= was_held;
        }
        if !has_input {
            return;
        }
        if turn.has_enough() {
            passed_over.push(event.key);
            return;
        }
        match turn.read(resident, event.key) {
            Turn::Held => resident.hold(&home.watch, event.key),
            Turn::Paused => resident.pause(&home.watch, event.key),
            Turn::More => unfinished.push(event.key),
            Turn::Done | Turn::Full => {}
        }
    }
}

impl fmt::Debug for Plain<'_> {
    // Without the payload.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plain").field("is_text", &self.is_text).finish_non_exhaustive()
    }
}

impl<M> Event<'_, M> {
    /// The connection that it has happened to; `None`: there is none yet.
    pub fn connection(&self) -> Option<ConnectionId> {
        match self {
            Self::Request(_) => None,
            Self::Open(writer) | Self::Message(writer, _) | Self::Drained(writer) | Self::Closed(writer, _) => {
                Some(ConnectionId::of(writer.info()))
            }
        }
    }
}

impl Waker {
    /// Ends the current poll, or the next one.
    pub fn wake(&self) {
        self.woken.store(true, Ordering::SeqCst);
        self.home.ring();
    }
}

impl AsFd for EventLoop {
    /// What another loop can wait for: readable while a poll would find something, or has something to do. From the first
    /// call on, that costs a system call for what is asked between two polls.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.is_watched.store(true, Ordering::Relaxed);
        self.home.doze();
        self.home.watch.as_fd()
    }
}

impl Drop for EventLoop {
    fn drop(&mut self) {
        self.end();
    }
}

impl fmt::Debug for EventLoop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventLoop").field("is_over", &self.is_over()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Waker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waker").finish_non_exhaustive()
    }
}

//! A queue that the server's own threads feed: they read and parse, and the program's thread takes what they have found.
//!
//! A message is copied once, into memory that the program has until its next poll. Where the program does not keep up, those
//! who go on sending are paused until it does. A peer's last word waits for the poll behind the one that has given what came before
//! it: until then the program may answer.

use std::mem;
use std::ops::Range;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use raddle_server::{End, Handler, HandlerError, Message, Request, Writer};
use raddle_socket::{Events, Unanswered, Watch};

use crate::connections::{self, Entry};
use crate::handles::{Handle as _, to_pointer};
use crate::message::{MessageView, RADDLE_BINARY, RADDLE_DRAINED, RADDLE_OPENED, RADDLE_REQUEST, RADDLE_TEXT};
use crate::server::Core;
use crate::server::callbacks::{closed, failed};
use crate::server::requests::{Pending, RequestHandle};
use crate::server::source::{Remains, Source};
use crate::status::Failure;

/// Where the server's threads leave what they have found.
pub(crate) struct Feed {
    core: Arc<Core>,
    state: Mutex<State>,
    watch: Watch,
    /// Somebody waits for the descriptor.
    is_watched: AtomicBool,
}

#[derive(Default)]
struct State {
    batch: Batch,
    /// The program waits, and is to be woken.
    is_waited_for: bool,
    is_woken: bool,
    /// Those who were paused, as the program does not keep up.
    paused: Vec<Entry>,
    /// The threads have ended.
    is_over: bool,
    /// The program will not come back.
    is_abandoned: bool,
}

/// What was found since the last poll.
#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    happened: Vec<Happened>,
    /// Of those whose messages are among this, or that were opened.
    unanswered: Vec<Unanswered>,
}

enum Happened {
    Message(Entry, u32, Range<usize>),
    /// RADDLE_OPENED or RADDLE_DRAINED.
    Event(Entry, u32),
    Closed(Entry),
    Request(u64),
}

/// The program's side, for one thread at a time.
pub(crate) struct Taker {
    feed: Arc<Feed>,
    batch: Batch,
    /// Of the batch, so much was given.
    given: usize,
    found: Events,
    was_woken: bool,
}

/// Feeds the queue, on the threads of the server. Dropped, it says that they have ended.
pub(crate) struct Feeder(pub(crate) Arc<Feed>);

impl Feed {
    pub(crate) fn new(core: &Arc<Core>) -> Result<Arc<Self>, Failure> {
        let (state, is_watched) = (Mutex::default(), AtomicBool::new(false));
        Ok(Arc::new(Self { core: Arc::clone(core), state, watch: Watch::new()?, is_watched }))
    }

    /// Ends the program's current poll, or the next one.
    pub(crate) fn wake(&self) {
        self.state.lock().is_woken = true;
        self.watch.wake();
    }

    /// Leaves a request to the program.
    pub(crate) fn ask(&self, request: Request) {
        let pending = Pending { is_kept: true, ..Pending::new(request, &self.core) };
        if let Ok(id) = RequestHandle::table().insert(pending) {
            self.push(|batch| batch.happened.push(Happened::Request(id)));
        }
    }

    /// What can be waited for.
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.is_watched.store(true, Ordering::SeqCst);
        // Something may be there already.
        self.watch.wake();
        self.watch.as_fd()
    }

    /// Adds to the batch, and wakes whoever waits for it. Gives the bytes that it has.
    fn push(&self, add: impl FnOnce(&mut Batch)) -> usize {
        let mut state = self.state.lock();
        let is_first = state.batch.happened.is_empty();
        add(&mut state.batch);
        let length = state.batch.bytes.len();
        if state.is_abandoned {
            let unheard = mem::take(&mut state.batch);
            drop(state);
            drop(unheard.unanswered);
            remains(unheard.happened).let_go();
            return 0;
        }
        let is_waited_for = mem::take(&mut state.is_waited_for) || (is_first && self.is_watched.load(Ordering::SeqCst));
        drop(state);
        if is_waited_for {
            self.watch.wake();
        }
        length
    }

    fn hold(&self, entry: &Entry) {
        entry.conn.writer.pause_reading();
        let mut state = self.state.lock();
        if state.batch.bytes.len() < MOST {
            // The program has come meanwhile.
            drop(state);
            entry.conn.go_on();
        } else {
            state.paused.push(entry.clone());
        }
    }
}

impl Batch {
    /// Adds what the program may answer, until it polls behind it.
    fn push_unanswered(&mut self, entry: &Entry, happened: impl FnOnce(Entry) -> Happened) {
        let is_held = match self.happened.last() {
            Some(Happened::Message(before, ..) | Happened::Event(before, RADDLE_OPENED)) => before.id == entry.id,
            _ => false,
        };
        if !is_held {
            self.unanswered.push(entry.conn.writer.answer_later());
        }
        self.happened.push(happened(entry.clone()));
    }

    /// Empties it, and keeps its memory for the next.
    fn clear(&mut self) {
        self.happened.clear();
        self.bytes.clear();
        // What was received at once some time is no reason to keep so much memory.
        self.bytes.shrink_to(MOST);
        self.unanswered.clear();
    }
}

/// What is left of a batch that nobody takes.
fn remains(happened: Vec<Happened>) -> Remains {
    let mut remains = Remains::default();
    for happened in happened {
        match happened {
            Happened::Closed(entry) => remains.conns.push(entry.id),
            Happened::Request(id) => remains.requests.push(id),
            Happened::Message(..) | Happened::Event(..) => {}
        }
    }
    remains
}

impl Handler for Feeder {
    type State = Entry;

    fn on_open(&self, connection: &Writer) -> Result<Entry, HandlerError> {
        let entry = self.0.core.serve(connection).map_err(failed)?;
        self.0.push(|batch| batch.push_unanswered(&entry, |entry| Happened::Event(entry, RADDLE_OPENED)));
        Ok(entry)
    }

    fn on_message(&self, _: &Writer, entry: &mut Entry, message: Message<'_>) -> Result<(), HandlerError> {
        let kind = if matches!(message, Message::Text(_)) { RADDLE_TEXT } else { RADDLE_BINARY };
        let payload = message.as_bytes();
        let waiting = self.0.push(|batch| {
            let start = batch.bytes.len();
            batch.bytes.extend_from_slice(payload);
            let place = start..batch.bytes.len();
            batch.push_unanswered(entry, |entry| Happened::Message(entry, kind, place));
        });
        if waiting >= MOST {
            self.0.hold(entry);
        }
        Ok(())
    }

    fn on_drain(&self, _: &Writer, entry: &mut Entry) -> Result<(), HandlerError> {
        self.0.push(|batch| batch.happened.push(Happened::Event(entry.clone(), RADDLE_DRAINED)));
        Ok(())
    }

    fn on_close(&self, _: &Writer, entry: Entry, end: &End) {
        entry.conn.note_end(end);
        self.0.push(|batch| batch.happened.push(Happened::Closed(entry)));
    }
}

impl Drop for Feeder {
    fn drop(&mut self) {
        self.0.state.lock().is_over = true;
        self.0.watch.wake();
    }
}

impl Taker {
    pub(crate) fn new(feed: Arc<Feed>) -> Self {
        Self { feed, batch: Batch::default(), given: 0, found: Events::default(), was_woken: false }
    }

    /// Waits for the next batch. `false`: there is none.
    fn take(&mut self, timeout: Option<Duration>) -> bool {
        self.given = 0;
        self.batch.clear();
        let until = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut is_late = timeout == Some(Duration::ZERO);
        self.was_woken = false;
        if self.feed.is_watched.load(Ordering::SeqCst) {
            // Whoever polls the descriptor never waits here: it stays readable until the bell is heard. What is rung for before
            // is in the batch by now, and what comes now rings again.
            self.feed.watch.wait(&mut self.found, Some(Duration::ZERO));
        }
        loop {
            let mut state = self.feed.state.lock();
            if !state.batch.happened.is_empty() {
                // The memory of the last one is used again.
                mem::swap(&mut state.batch, &mut self.batch);
                let paused = mem::take(&mut state.paused);
                drop(state);
                paused.iter().for_each(|entry| entry.conn.go_on());
                return true;
            }
            self.was_woken |= mem::take(&mut state.is_woken);
            if self.was_woken || is_late || state.is_over {
                return false;
            }
            state.is_waited_for = true;
            drop(state);
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            self.was_woken = !self.feed.watch.wait(&mut self.found, left);
            is_late = until.is_some_and(|until| until <= Instant::now());
        }
    }

    /// The connections whose last event the batch has given.
    fn departing(&self) -> impl Iterator<Item = u64> + '_ {
        self.batch.happened[..self.given].iter().filter_map(|happened| match happened {
            Happened::Closed(entry) => Some(entry.id),
            _ => None,
        })
    }
}

impl Source for Taker {
    fn poll(
        &mut self,
        timeout: Option<Duration>,
        mut take: impl FnMut(&MessageView) -> bool,
    ) -> Result<usize, Failure> {
        if self.given == self.batch.happened.len() {
            connections::set_turn(Vec::clear)?;
            if !self.take(timeout) {
                return Ok(0);
            }
        }
        let Batch { bytes, happened, .. } = &self.batch;
        let mut count = 0;
        connections::set_turn(|entries| {
            for happened in &happened[self.given..] {
                let (view, entry) = match happened {
                    Happened::Message(entry, kind, range) => {
                        let payload = &bytes[range.clone()];
                        let event = MessageView::event(entry.id, *kind);
                        (MessageView { data: payload.as_ptr(), length: payload.len(), ..event }, Some(entry))
                    }
                    Happened::Event(entry, kind) => (MessageView::event(entry.id, *kind), Some(entry)),
                    Happened::Closed(entry) => {
                        let end = entry.conn.end().expect("it was noted before");
                        (closed(entry.id, end), Some(entry))
                    }
                    Happened::Request(id) => {
                        let data = to_pointer::<RequestHandle>(*id).cast_const().cast();
                        (MessageView { data, ..MessageView::event(0, RADDLE_REQUEST) }, None)
                    }
                };
                if !take(&view) {
                    break;
                }
                count += 1;
                entries.extend(entry.filter(|entry| entries.last().is_none_or(|last| last.id != entry.id)).cloned());
            }
        })?;
        self.given += count;
        Ok(count)
    }

    fn departed(&mut self) -> Remains {
        if self.given < self.batch.happened.len() {
            // The rest of the batch comes first.
            return Remains::default();
        }
        let conns = self.departing().collect();
        Remains { conns, requests: Vec::new() }
    }

    fn end(&mut self) -> Remains {
        // Requests that were given are the program's.
        let mut left = remains(self.batch.happened.split_off(self.given));
        left.conns.extend(self.departing());
        self.batch.unanswered.clear();
        let mut state = self.feed.state.lock();
        state.is_abandoned = true;
        let (unheard, paused) = (mem::take(&mut state.batch), mem::take(&mut state.paused));
        drop(state);
        paused.iter().for_each(|entry| entry.conn.go_on());
        drop(unheard.unanswered);
        let unheard = remains(unheard.happened);
        left.conns.extend(unheard.conns);
        left.requests.extend(unheard.requests);
        left
    }

    fn was_woken(&self) -> bool {
        self.was_woken
    }

    fn is_over(&self) -> bool {
        let state = self.feed.state.lock();
        self.given == self.batch.happened.len() && state.is_over && state.batch.happened.is_empty()
    }
}

impl Drop for Taker {
    fn drop(&mut self) {
        self.end().let_go();
    }
}

/// Bytes that may wait for the program before those who go on sending are paused.
const MOST: usize = 4 << 20;

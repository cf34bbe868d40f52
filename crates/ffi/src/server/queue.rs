//! The queue of a server: what a turn of its event loop has found, as C sees it.

use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use raddle_server::{Cause, ConnectionId, Event, EventLoop, Plain, Writer};

use crate::connections::{self, Entry};
use crate::handles::{Handle as _, to_pointer};
use crate::message::{MessageView, RADDLE_BINARY, RADDLE_DRAINED, RADDLE_OPENED, RADDLE_REQUEST, RADDLE_TEXT};
use crate::server::Core;
use crate::server::callbacks::closed;
use crate::server::requests::{Pending, RequestHandle};
use crate::server::source::{Remains, Source};
use crate::status::Failure;

/// The events of a server, for one thread at a time.
pub(crate) struct Queue {
    events: EventLoop,
    turn: Found,
    /// What the program had no space for. More of the last turn may be behind it.
    kept: Option<MessageView>,
}

// SAFETY: the pointer of `kept` leads into the memory of `events` or of `turn`, which go with it.
unsafe impl Send for Queue {}

struct Found {
    core: Arc<Core>,
    /// By the place that each connection has in its server's registry.
    conns: Vec<Option<Entry>>,
    /// Connections whose last event was given: they are there until the next turn.
    departed: Vec<Entry>,
    /// Where the writer of the event before lies in this turn, where that was a message, and its connection's id: most
    /// come in runs of one connection.
    last: (usize, u64),
}

impl Queue {
    pub(crate) fn new(events: EventLoop, core: Arc<Core>) -> Self {
        Self { events, turn: Found { core, conns: Vec::new(), departed: Vec::new(), last: NONE }, kept: None }
    }

    /// Lets what was sent since the last poll leave now.
    pub(crate) fn flush(&mut self) {
        self.events.flush();
    }

    pub(crate) fn events(&self) -> &EventLoop {
        &self.events
    }
}

impl Source for Queue {
    fn poll(
        &mut self,
        timeout: Option<Duration>,
        mut take: impl FnMut(&MessageView) -> bool,
    ) -> Result<usize, Failure> {
        let Self { events, turn, kept } = self;
        turn.last = NONE;
        let mut count = 0;
        let mut give = |view| {
            let is_taken = take(&view);
            count += usize::from(is_taken);
            if is_taken { None } else { Some(view) }
        };
        connections::set_turn(|entries| {
            if let Some(first) = kept.take() {
                *kept = give(first);
                // They lie in the memory of the last turn until the next.
                if kept.is_none() {
                    *kept = events.rest_plain().find_map(|event| turn.convert(event, entries).and_then(&mut give));
                }
                return;
            }
            *kept = events.poll_plain(timeout).find_map(|event| turn.convert(event, entries).and_then(&mut give));
        })?;
        Ok(count)
    }

    fn departed(&mut self) -> Remains {
        if self.kept.is_some() {
            // The rest of the turn comes first.
            return Remains::default();
        }
        let conns = self.turn.departed.drain(..).map(|entry| entry.id).collect();
        Remains { conns, requests: Vec::new() }
    }

    fn end(&mut self) -> Remains {
        self.events.end();
        let Found { conns, departed, .. } = &mut self.turn;
        // What was given of an end leads into its connection.
        departed.extend(conns.drain(..).flatten());
        let kept = self.kept.take().filter(|view| view.kind == RADDLE_REQUEST);
        Remains {
            conns: departed.iter().map(|entry| entry.id).collect(),
            requests: kept.iter().map(|view| view.data.addr() as u64).collect(),
        }
    }

    fn was_woken(&self) -> bool {
        self.events.was_woken()
    }

    fn is_over(&self) -> bool {
        self.events.is_over()
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.end().let_go();
    }
}

impl Found {
    /// An event as C sees it, with its connection behind those of the turn. `None`: there is none, as its connection has no
    /// handle.
    fn convert(&mut self, event: Event<'_, Plain<'_>>, entries: &mut Vec<Entry>) -> Option<MessageView> {
        if let Event::Message(writer, message) = event {
            let place = ptr::from_ref(writer).addr();
            if self.last.0 != place {
                let entry = self.conns.get(place_of(writer))?.as_ref()?;
                note(entries, entry);
                self.last = (place, entry.id);
            }
            let kind = if message.is_text { RADDLE_TEXT } else { RADDLE_BINARY };
            let (data, length) = (message.bytes.as_ptr(), message.bytes.len());
            return Some(MessageView { conn: self.last.1, data, length, kind, detail: 0 });
        }
        self.last = NONE;
        match event {
            Event::Request(request) => {
                let pending = Pending { is_kept: true, ..Pending::new(request, &self.core) };
                let handle = to_pointer::<RequestHandle>(RequestHandle::table().insert(pending).ok()?);
                Some(MessageView { data: handle.cast_const().cast(), ..MessageView::event(0, RADDLE_REQUEST) })
            }
            Event::Open(writer) => {
                let Ok(entry) = self.core.serve(writer) else {
                    writer.cut(Cause::Dropped);
                    return None;
                };
                note(entries, &entry);
                let (place, id) = (place_of(writer), entry.id);
                if self.conns.len() <= place {
                    self.conns.resize(place + 1, None);
                }
                self.conns[place] = Some(entry);
                Some(MessageView::event(id, RADDLE_OPENED))
            }
            Event::Drained(writer) => {
                let entry = self.conns.get(place_of(writer))?.as_ref()?;
                note(entries, entry);
                Some(MessageView::event(entry.id, RADDLE_DRAINED))
            }
            Event::Closed(writer, end) => {
                let entry = self.conns.get_mut(place_of(writer))?.take()?;
                note(entries, &entry);
                entry.conn.note_end(&end);
                let view = closed(entry.id, entry.conn.end()?);
                self.departed.push(entry);
                Some(view)
            }
            _ => None,
        }
    }
}

/// Notes the connection of an event. Several events of one connection come behind one another.
fn note(entries: &mut Vec<Entry>, entry: &Entry) {
    if entries.last().is_none_or(|last| last.id != entry.id) {
        entries.push(entry.clone());
    }
}

/// The place of a connection in its server's registry, which no other has while it is there.
fn place_of(writer: &Writer) -> usize {
    (ConnectionId::of(writer.info()).get() & u64::from(u32::MAX)) as usize
}

/// The last event was no message.
const NONE: (usize, u64) = (0, 0);

//! The queue of a server: what a turn of its event loop has found, as C sees it.

use std::sync::Arc;
use std::time::Duration;

use raddle_server::{Cause, ConnectionId, Event, EventLoop, Writer};

use crate::arguments::Space;
use crate::connections::{self, Entry};
use crate::handles::{Handle as _, to_pointer};
use crate::message::{MessageView, RADDLE_DRAINED, RADDLE_OPENED, RADDLE_REQUEST};
use crate::server::Core;
use crate::server::callbacks::closed;
use crate::server::requests::{Pending, RequestHandle};
use crate::status::Failure;

/// The events of a server, for one thread at a time.
pub(crate) struct Queue {
    events: EventLoop,
    turn: Found,
    /// The last array was full: there may be more of the last turn.
    has_more: bool,
}

struct Found {
    core: Arc<Core>,
    /// By the place that each connection has in its server's registry.
    conns: Vec<Option<Entry>>,
    /// Connections whose last event was given: they are there until the next turn.
    departed: Vec<Entry>,
}

impl Queue {
    pub(crate) fn new(events: EventLoop, core: Arc<Core>) -> Self {
        Self { events, turn: Found { core, conns: Vec::new(), departed: Vec::new() }, has_more: false }
    }

    /// Waits for events, and puts them where the program wants them. Gives their number; 0: none has come.
    pub(crate) fn poll(
        &mut self,
        space: &mut Space<'_, MessageView>,
        timeout: Option<Duration>,
    ) -> Result<usize, Failure> {
        let Self { events, turn, has_more } = self;
        let mut count = 0;
        if *has_more {
            // It lies in the memory of the last turn until the next.
            connections::set_turn(|entries| {
                *has_more = !events.rest().all(|event| turn.give(event, entries, space, &mut count));
            })?;
        }
        if count == 0 {
            turn.let_go();
            connections::set_turn(|entries| {
                *has_more = !events.poll(timeout).all(|event| turn.give(event, entries, space, &mut count));
            })?;
        }
        Ok(count)
    }

    /// Tells whether the last poll was ended by a wake or a signal.
    pub(crate) fn was_woken(&self) -> bool {
        self.events.was_woken()
    }

    /// Lets what was sent since the last poll leave now.
    pub(crate) fn flush(&mut self) {
        self.events.flush();
    }

    pub(crate) fn is_over(&self) -> bool {
        self.events.is_over()
    }

    pub(crate) fn events(&self) -> &EventLoop {
        &self.events
    }
}

impl Found {
    /// Puts an event where the program wants it. `false`: there is no space for another.
    fn give(
        &mut self,
        event: Event<'_>,
        entries: &mut Vec<Entry>,
        space: &mut Space<'_, MessageView>,
        count: &mut usize,
    ) -> bool {
        if let Some(view) = self.convert(event, entries) {
            space.push(view);
            *count += 1;
        }
        !space.is_full()
    }

    /// An event as C sees it, with its connection behind those of the turn. `None`: there is none, as its connection has no
    /// handle.
    fn convert(&mut self, event: Event<'_>, entries: &mut Vec<Entry>) -> Option<MessageView> {
        match event {
            Event::Message(writer, message) => {
                let entry = self.conns.get(place_of(writer))?.as_ref()?;
                note(entries, entry);
                Some(MessageView::of(entry.id, message))
            }
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

    /// Lets the connections go whose last event was given before.
    fn let_go(&mut self) {
        for entry in self.departed.drain(..) {
            // Nobody else takes it out of the table.
            let _ = connections::retire(entry.id);
        }
    }
}

impl Drop for Found {
    fn drop(&mut self) {
        self.let_go();
        for entry in self.conns.iter().flatten() {
            let _ = connections::retire(entry.id);
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

//! The queue of a server: what a turn of its event loop has found, as C sees it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use raddle_server::{ConnectionId, Event, EventLoop, Writer};

use crate::arguments::Space;
use crate::connections::{self, Entry};
use crate::handles::{Handle as _, to_id, to_pointer};
use crate::message::{MessageView, RADDLE_DRAINED, RADDLE_OPENED, RADDLE_REQUEST};
use crate::server::Core;
use crate::server::callbacks::closed;
use crate::server::requests::{Pending, RequestHandle};
use crate::status::Failure;

/// The events of a server, for one thread at a time.
pub(crate) struct Queue {
    events: EventLoop,
    turn: Found,
}

/// An event as C sees it, and its connection.
type Seen = (MessageView, Option<Entry>);

struct Found {
    core: Arc<Core>,
    /// By the place that each connection has in its server's registry.
    conns: Vec<Option<Entry>>,
    /// Connections whose last event was given: they are there until the next turn.
    departed: Vec<Entry>,
    /// What the program's array had no space for.
    left: VecDeque<Seen>,
}

// SAFETY: the pointers of `left` lead into the memory of `events` and of `departed`, which go with them.
unsafe impl Send for Queue {}

impl Queue {
    pub(crate) fn new(events: EventLoop, core: Arc<Core>) -> Self {
        Self { events, turn: Found { core, conns: Vec::new(), departed: Vec::new(), left: VecDeque::new() } }
    }

    /// Waits for events, and puts them where the program wants them. Gives their number; 0: none has come.
    pub(crate) fn poll(
        &mut self,
        space: &mut Space<'_, MessageView>,
        timeout: Option<Duration>,
    ) -> Result<usize, Failure> {
        let Self { events, turn } = self;
        let mut count = 0;
        connections::set_turn(|entries| {
            let mut give = |(view, entry): Seen| {
                space.push(view);
                count += 1;
                // Several events of one connection come behind one another.
                if let Some(entry) = entry
                    && entries.last().is_none_or(|last: &Entry| last.id != entry.id)
                {
                    entries.push(entry);
                }
                !space.is_full()
            };
            if !turn.left.is_empty() {
                while let Some(seen) = turn.left.pop_front() {
                    if !give(seen) {
                        break;
                    }
                }
                return;
            }
            turn.let_go();
            let mut has_space = true;
            for event in events.poll(timeout) {
                let Some(seen) = turn.convert(event) else { continue };
                if has_space {
                    has_space = give(seen);
                } else {
                    turn.left.push_back(seen);
                }
            }
        })?;
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
        self.turn.left.is_empty() && self.events.is_over()
    }

    pub(crate) fn events(&self) -> &EventLoop {
        &self.events
    }
}

impl Found {
    /// An event as C sees it. `None`: there is none, as its connection has no handle.
    fn convert(&mut self, event: Event<'_>) -> Option<Seen> {
        Some(match event {
            Event::Request(request) => {
                let pending = Pending { is_kept: true, ..Pending::new(request, &self.core) };
                let id = RequestHandle::table().insert(pending).ok()?;
                let handle = to_pointer::<RequestHandle>(id);
                debug_assert_eq!(to_id(handle), id);
                (MessageView { data: handle.cast_const().cast(), ..MessageView::event(0, RADDLE_REQUEST) }, None)
            }
            Event::Open(writer) => {
                let Ok(entry) = self.core.serve(writer) else {
                    writer.cut(raddle_server::Cause::Dropped);
                    return None;
                };
                let place = place_of(writer);
                if self.conns.len() <= place {
                    self.conns.resize(place + 1, None);
                }
                self.conns[place] = Some(entry.clone());
                (MessageView::event(entry.id, RADDLE_OPENED), Some(entry))
            }
            Event::Message(writer, message) => {
                let entry = self.conns.get(place_of(writer))?.as_ref()?;
                (MessageView::of(entry.id, message), Some(entry.clone()))
            }
            Event::Drained(writer) => {
                let entry = self.conns.get(place_of(writer))?.as_ref()?;
                (MessageView::event(entry.id, RADDLE_DRAINED), Some(entry.clone()))
            }
            Event::Closed(writer, end) => {
                let entry = self.conns.get_mut(place_of(writer))?.take()?;
                entry.conn.note_end(&end);
                let view = closed(entry.id, entry.conn.end()?);
                self.departed.push(entry.clone());
                (view, Some(entry))
            }
            _ => return None,
        })
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
        // Requests that were not given to the program are answered.
        for (view, _) in self.left.iter().filter(|(view, _)| view.kind == RADDLE_REQUEST) {
            drop(RequestHandle::table().take(view.data.addr() as u64));
        }
    }
}

/// The place of a connection in its server's registry, which no other has while it is there.
fn place_of(writer: &Writer) -> usize {
    (ConnectionId::of(writer.info()).get() & u64::from(u32::MAX)) as usize
}

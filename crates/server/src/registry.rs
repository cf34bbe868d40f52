//! The registry: every connection of a server, by an id that is never given twice.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use raddle_socket::{Info, State, Traffic, WeakWriter, Writer};

/// Names a connection of a server. The id of a connection that has ended names nothing, for ever.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(u64);

impl ConnectionId {
    /// The id as [`Info::id`] has it.
    pub fn of(info: &Info) -> Self {
        Self(info.id)
    }

    /// The id as a number other than 0.
    pub fn get(self) -> u64 {
        self.0
    }

    fn new(generation: u32, index: usize) -> Self {
        Self(u64::from(generation) << 32 | index as u64)
    }

    fn parts(self) -> (u32, usize) {
        ((self.0 >> 32) as u32, (self.0 & u64::from(u32::MAX)) as usize)
    }
}

impl From<u64> for ConnectionId {
    fn from(id: u64) -> Self {
        Self(id)
    }
}

impl fmt::Debug for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (generation, index) = self.parts();
        write!(f, "{index}.{generation}")
    }
}

/// Where a connection of the registry stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The opening handshake is under way.
    Connecting,
    /// Messages pass.
    Open,
    /// The closing handshake is under way.
    Closing,
    /// The connection has ended.
    Closed,
}

/// What the registry tells of a connection.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Snapshot {
    /// Its id.
    pub id: ConnectionId,
    /// Where it stands.
    pub phase: Phase,
    /// The peer's address, where it has one.
    pub peer: Option<SocketAddr>,
    /// What its opening handshake said; `None` while that is under way.
    pub info: Option<Info>,
    /// What has passed on it.
    pub traffic: Traffic,
    /// The last round-trip time that keepalive has measured.
    pub round_trip: Option<Duration>,
}

#[derive(Debug, Default)]
pub(crate) struct Registry {
    slots: Mutex<Slots>,
}

#[derive(Debug, Default)]
struct Slots {
    slots: Vec<Slot>,
    free: Vec<usize>,
}

#[derive(Debug)]
struct Slot {
    /// Raised each time the slot is filled; never 0 in an id.
    generation: u32,
    entry: Option<Entry>,
}

#[derive(Clone, Debug)]
enum Entry {
    // Apart, because most connections of a table are open.
    Connecting(Option<Box<SocketAddr>>),
    /// Weak, so that the connection ends with the application's handles.
    Open(WeakWriter),
}

/// A place in the registry, given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    registry: Arc<Registry>,
    pub(crate) id: ConnectionId,
}

impl Registry {
    /// Enters a connection that begins its opening handshake.
    pub(crate) fn enter(self: &Arc<Self>, peer: Option<SocketAddr>) -> Place {
        let slots = &mut *self.slots.lock();
        let index = slots.free.pop().unwrap_or_else(|| {
            slots.slots.push(Slot { generation: 0, entry: None });
            slots.slots.len() - 1
        });
        let slot = &mut slots.slots[index];
        slot.generation = slot.generation.checked_add(1).unwrap_or(1);
        slot.entry = Some(Entry::Connecting(peer.map(Box::new)));
        Place { registry: Arc::clone(self), id: ConnectionId::new(slot.generation, index) }
    }

    /// Notes that the opening handshake of a connection is done.
    pub(crate) fn open(&self, id: ConnectionId, writer: &Writer) {
        if let Some(entry) = self.slots.lock().get_mut(id) {
            *entry = Entry::Open(writer.downgrade());
        }
    }

    /// The writer of an open connection.
    pub(crate) fn writer(&self, id: ConnectionId) -> Option<Writer> {
        match self.slots.lock().get_mut(id)? {
            Entry::Open(writer) => writer.upgrade(),
            Entry::Connecting(_) => None,
        }
    }

    /// What is known of a connection; `None` where the id names none any more.
    pub(crate) fn snapshot(&self, id: ConnectionId) -> Option<Snapshot> {
        let entry = self.slots.lock().get_mut(id)?.clone();
        snapshot(id, &entry)
    }

    /// Connections, those in the opening handshake included.
    pub(crate) fn len(&self) -> usize {
        let slots = self.slots.lock();
        slots.slots.len() - slots.free.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The writers of all open connections.
    pub(crate) fn writers(&self) -> Vec<Writer> {
        self.entries()
            .into_iter()
            .filter_map(|(_, entry)| if let Entry::Open(writer) = entry { writer.upgrade() } else { None })
            .collect()
    }

    pub(crate) fn snapshots(&self) -> Vec<Snapshot> {
        // The entries' own locks are taken without this one.
        self.entries().into_iter().filter_map(|(id, entry)| snapshot(id, &entry)).collect()
    }

    fn entries(&self) -> Vec<(ConnectionId, Entry)> {
        let slots = self.slots.lock();
        let filled =
            |(index, slot): (usize, &Slot)| Some((ConnectionId::new(slot.generation, index), slot.entry.clone()?));
        slots.slots.iter().enumerate().filter_map(filled).collect()
    }
}

impl Slots {
    fn get_mut(&mut self, id: ConnectionId) -> Option<&mut Entry> {
        let (generation, index) = id.parts();
        self.slots.get_mut(index).filter(|slot| slot.generation == generation)?.entry.as_mut()
    }
}

impl Place {
    /// Notes the client's address, which a proxy has told.
    pub(crate) fn locate(&self, peer: SocketAddr) {
        if let Some(Entry::Connecting(known)) = self.registry.slots.lock().get_mut(self.id) {
            *known = Some(Box::new(peer));
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let (_, index) = self.id.parts();
        let mut slots = self.registry.slots.lock();
        let entry = slots.slots[index].entry.take();
        slots.free.push(index);
        drop(slots);
        drop(entry);
    }
}

/// `None`: the last handle of the connection is just being dropped.
fn snapshot(id: ConnectionId, entry: &Entry) -> Option<Snapshot> {
    Some(match entry {
        Entry::Connecting(peer) => Snapshot {
            id,
            phase: Phase::Connecting,
            peer: peer.as_deref().copied(),
            info: None,
            traffic: Traffic::default(),
            round_trip: None,
        },
        Entry::Open(writer) => {
            let writer = writer.upgrade()?;
            Snapshot {
                id,
                phase: match writer.state() {
                    State::Open => Phase::Open,
                    State::Closing => Phase::Closing,
                    State::Closed => Phase::Closed,
                },
                peer: writer.info().peer,
                info: Some(writer.info().clone()),
                traffic: writer.traffic(),
                round_trip: writer.round_trip(),
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_a_connection_that_has_ended_names_nothing() {
        let registry = Arc::new(Registry::default());
        let first = registry.enter(None);
        let old = first.id;
        drop(first);
        let second = registry.enter(None);
        assert_eq!(old.parts().1, second.id.parts().1, "the slot is used again");
        assert_ne!(old, second.id);
        assert!(registry.slots.lock().get_mut(old).is_none());
        assert_eq!(registry.snapshots().len(), 1);
    }
}

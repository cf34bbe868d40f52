//! The registry: every connection of a server, by an id that is never given twice.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use raddle_socket::{Info, State, Traffic, WeakWriter, Writer};

use crate::shared::Books;

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
    /// The addresses, where they are known, of the connections in the opening handshake.
    connecting: BTreeMap<usize, SocketAddr>,
}

// Of 16 bytes: there is one for each connection.
#[derive(Debug)]
struct Slot {
    /// Raised each time the slot is filled; never 0 in an id.
    generation: u32,
    is_filled: bool,
    /// Of an open connection. Weak, so that the connection ends with the application's handles.
    writer: Option<WeakWriter>,
}

/// What is in a slot.
enum Entry {
    Connecting(Option<SocketAddr>),
    Open(WeakWriter),
}

/// A place in the registry, given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) books: Arc<Books>,
    pub(crate) id: ConnectionId,
}

impl Registry {
    /// Enters a connection that begins its opening handshake.
    fn enter(&self, peer: Option<SocketAddr>) -> ConnectionId {
        let slots = &mut *self.slots.lock();
        let index = slots.free.pop().unwrap_or_else(|| {
            slots.slots.push(Slot { generation: 0, is_filled: false, writer: None });
            slots.slots.len() - 1
        });
        let slot = &mut slots.slots[index];
        slot.generation = slot.generation.checked_add(1).unwrap_or(1);
        slot.is_filled = true;
        let id = ConnectionId::new(slot.generation, index);
        slots.connecting.extend(peer.map(|peer| (index, peer)));
        id
    }

    /// Notes that the opening handshake of a connection is done.
    pub(crate) fn open(&self, id: ConnectionId, writer: &Writer) {
        let slots = &mut *self.slots.lock();
        if let Some(slot) = slots.get_mut(id) {
            slot.writer = Some(writer.downgrade());
            slots.connecting.remove(&id.parts().1);
        }
    }

    /// The writer of an open connection.
    pub(crate) fn writer(&self, id: ConnectionId) -> Option<Writer> {
        self.slots.lock().get_mut(id)?.writer.as_ref()?.upgrade()
    }

    /// What is known of a connection; `None` where the id names none any more.
    pub(crate) fn snapshot(&self, id: ConnectionId) -> Option<Snapshot> {
        let (generation, index) = id.parts();
        let entry = self.slots.lock().entry(index).filter(|(filled, _)| filled.parts().0 == generation)?;
        snapshot(id, &entry.1)
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
        (0..slots.slots.len()).filter_map(|index| slots.entry(index)).collect()
    }
}

impl Slots {
    fn get_mut(&mut self, id: ConnectionId) -> Option<&mut Slot> {
        let (generation, index) = id.parts();
        self.slots.get_mut(index).filter(|slot| slot.is_filled && slot.generation == generation)
    }

    fn entry(&self, index: usize) -> Option<(ConnectionId, Entry)> {
        let slot = self.slots.get(index).filter(|slot| slot.is_filled)?;
        let entry = match &slot.writer {
            Some(writer) => Entry::Open(writer.clone()),
            None => Entry::Connecting(self.connecting.get(&index).copied()),
        };
        Some((ConnectionId::new(slot.generation, index), entry))
    }
}

impl Place {
    /// A place for a connection that begins its opening handshake.
    pub(crate) fn enter(books: &Arc<Books>, peer: Option<SocketAddr>) -> Self {
        Self { books: Arc::clone(books), id: books.registry.enter(peer) }
    }

    /// Notes the client's address, which a proxy has told.
    pub(crate) fn locate(&self, peer: SocketAddr) {
        let slots = &mut *self.books.registry.slots.lock();
        if slots.get_mut(self.id).is_some_and(|slot| slot.writer.is_none()) {
            slots.connecting.insert(self.id.parts().1, peer);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let (_, index) = self.id.parts();
        let mut slots = self.books.registry.slots.lock();
        slots.slots[index].is_filled = false;
        let writer = slots.slots[index].writer.take();
        slots.connecting.remove(&index);
        slots.free.push(index);
        drop(slots);
        drop(writer);
    }
}

/// `None`: the last handle of the connection is just being dropped.
fn snapshot(id: ConnectionId, entry: &Entry) -> Option<Snapshot> {
    Some(match entry {
        Entry::Connecting(peer) => Snapshot {
            id,
            phase: Phase::Connecting,
            peer: *peer,
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
    use crate::admission::Caps;

    #[test]
    fn the_id_of_a_connection_that_has_ended_names_nothing() {
        let books = Books::new(Caps { total: 2, per_address: 2, rate: None });
        let registry = &books.registry;
        let first = Place::enter(&books, None);
        let old = first.id;
        drop(first);
        let second = Place::enter(&books, None);
        assert_eq!(old.parts().1, second.id.parts().1, "the slot is used again");
        assert_ne!(old, second.id);
        assert!(registry.slots.lock().get_mut(old).is_none());
        assert_eq!(registry.snapshots().len(), 1);
    }
}

//! The connections of an event loop, by keys of which none names another connection later.

use std::io;
use std::mem;
use std::sync::Arc;

use log::Level;
use raddle_socket::{Cause, Connection, Driven, Driver, Event, Mode, Reader, Watch};

use crate::home::{Claim, Home};
use crate::journal::Journal;

/// The connections of an event loop, each with what the loop keeps for it.
#[derive(Debug)]
pub(crate) struct Berths<S> {
    /// By the first half of their keys.
    berths: Vec<Berth<S>>,
    free: Vec<usize>,
}

// No larger than a connection with a small state: there is one for each, however idle.
#[derive(Debug)]
enum Berth<S> {
    /// The next connection has this generation.
    Free(u32),
    Taken(Resident<S>),
}

/// A connection of an event loop.
#[derive(Debug)]
pub(crate) struct Resident<S> {
    /// `None`: a thread has it for a while.
    pub(crate) driven: Option<Driven>,
    pub(crate) state: S,
    /// It is among those that the loop reads again in any case.
    pub(crate) is_unfinished: bool,
    watched: Watched,
    /// Raised each time the berth is left: the second half of a key. So an event of a connection that has ended finds nothing.
    generation: u32,
}

/// What a socket is watched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Watched {
    Input,
    /// Input, and room to write.
    Both,
    /// Room to write: input has to wait for it.
    Room,
    /// Nothing: input has to wait for the application.
    Nothing,
    /// Room to write: input has to wait for the application.
    RoomAlone,
}

impl<S> Berths<S> {
    pub(crate) fn new() -> Self {
        Self { berths: Vec::new(), free: Vec::new() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.berths.len() == self.free.len()
    }

    /// Takes a connection, which is driven and watched from now on. Gives its key.
    ///
    /// To be followed by a read: something may have come with the request.
    pub(crate) fn take(
        &mut self,
        journal: &Journal,
        home: &Arc<Home>,
        claim: Claim,
        connection: Connection,
        state: S,
    ) -> usize {
        let index = self.free.pop().unwrap_or_else(|| {
            self.berths.push(Berth::Free(0));
            self.berths.len() - 1
        });
        let berth = &mut self.berths[index];
        let generation = berth.generation();
        let key = (generation as usize) << 32 | index;
        let (reader, _) = connection.split();
        let driven = Some(drive(journal, home, key, reader));
        *berth = Berth::Taken(Resident { driven, state, is_unfinished: false, watched: Watched::Input, generation });
        claim.keep();
        key
    }

    /// Gives the reader of a connection away, which keeps its berth. `None`: it has none any more.
    pub(crate) fn release(&mut self, home: &Home, key: usize) -> Option<Reader> {
        let resident = self.get_mut(key)?;
        match resident.driven.take()?.release() {
            Ok(reader) => {
                if let Some(socket) = reader.descriptor() {
                    home.watch.remove(socket);
                }
                Some(reader)
            }
            Err(driven) => {
                resident.driven = Some(driven);
                None
            }
        }
    }

    /// Takes the reader back that was given away. To be followed by a read.
    pub(crate) fn take_back(&mut self, journal: &Journal, home: &Arc<Home>, key: usize, reader: Reader) {
        if let Some(resident) = self.get_mut(key) {
            resident.driven = Some(drive(journal, home, key, reader));
            resident.watched = Watched::Input;
        }
    }

    /// The connection that has this key; `None`: it has ended.
    pub(crate) fn get_mut(&mut self, key: usize) -> Option<&mut Resident<S>> {
        match self.berths.get_mut(key & INDEX)? {
            Berth::Taken(resident) if resident.generation as usize == key >> 32 => Some(resident),
            _ => None,
        }
    }

    /// Tells whether a connection is among those that are read again in any case.
    pub(crate) fn is_unfinished(&self, key: usize) -> bool {
        self.get(key).is_some_and(|resident| resident.is_unfinished)
    }

    /// Notes for these connections whether they are; those that have ended are passed over.
    pub(crate) fn mark_unfinished(&mut self, keys: &[usize], is_unfinished: bool) {
        for key in keys {
            if let Some(resident) = self.get_mut(*key) {
                resident.is_unfinished = is_unfinished;
            }
        }
    }

    pub(crate) fn get(&self, key: usize) -> Option<&Resident<S>> {
        match self.berths.get(key & INDEX)? {
            Berth::Taken(resident) if resident.generation as usize == key >> 32 => Some(resident),
            _ => None,
        }
    }

    /// Lets a connection go, unless a thread has it: that gives it back.
    pub(crate) fn remove(&mut self, home: &Home, key: usize) -> Option<(Driven, S)> {
        let driven = self.get_mut(key)?.driven.take()?;
        let berth = &mut self.berths[key & INDEX];
        // So no key is `usize::MAX`, which the poller keeps for itself.
        let next = Berth::Free(berth.generation().wrapping_add(1) & (u32::MAX >> 1));
        let Berth::Taken(Resident { state, .. }) = mem::replace(berth, next) else {
            unreachable!("it was found there")
        };
        self.free.push(key & INDEX);
        home.give_up_claim();
        if let Some(socket) = driven.descriptor() {
            home.watch.remove(socket);
        }
        Some((driven, state))
    }
}

impl<S> Berth<S> {
    /// That of who is there, or comes next.
    fn generation(&self) -> u32 {
        match self {
            Self::Free(generation) => *generation,
            Self::Taken(resident) => resident.generation,
        }
    }
}

/// Drives and watches a connection from now on.
fn drive(journal: &Journal, home: &Arc<Home>, key: usize, reader: Reader) -> Driven {
    let driven = Driven::new(reader, Arc::clone(home) as Arc<dyn Driver>, key);
    let added = match driven.descriptor() {
        Some(socket) => home.watch.add(socket, Event::readable(key), Mode::Level),
        None => Err(io::ErrorKind::Unsupported.into()),
    };
    if let Err(error) = added {
        journal.note(Level::Error, format_args!("a connection cannot be watched: {error}"));
        driven.writer().cut(Cause::Io(error.kind()));
    }
    driven
}

impl<S> Resident<S> {
    /// Does what a writable socket is ready for. `Some`: all that had to wait has left, and whether input had to wait for that.
    pub(crate) fn write(&mut self, watch: &Watch, key: usize) -> Option<bool> {
        let watched = self.watched;
        if matches!(watched, Watched::Input | Watched::Nothing) || !self.driven.as_ref()?.write() {
            return None;
        }
        self.watch(watch, key, if watched == Watched::RoomAlone { Watched::Nothing } else { Watched::Input });
        Some(watched == Watched::Room)
    }

    /// Tells whether what arrives may be read.
    pub(crate) fn takes_input(&self) -> bool {
        matches!(self.watched, Watched::Input | Watched::Both)
    }

    /// Has room to write found as well.
    pub(crate) fn await_room(&mut self, watch: &Watch, key: usize) {
        match self.watched {
            Watched::Input => self.watch(watch, key, Watched::Both),
            Watched::Nothing => self.watch(watch, key, Watched::RoomAlone),
            _ => {}
        }
    }

    /// Has room to write found, and no input before that.
    pub(crate) fn hold(&mut self, watch: &Watch, key: usize) {
        self.watch(watch, key, Watched::Room);
    }

    /// Has no input found before [`resume`](Self::resume).
    pub(crate) fn pause(&mut self, watch: &Watch, key: usize) {
        let watched = if self.watched == Watched::Input { Watched::Nothing } else { Watched::RoomAlone };
        self.watch(watch, key, watched);
    }

    /// Has input found again, which the application has paused.
    pub(crate) fn resume(&mut self, watch: &Watch, key: usize) {
        match self.watched {
            Watched::Nothing => self.watch(watch, key, Watched::Input),
            Watched::RoomAlone => self.watch(watch, key, Watched::Both),
            _ => {}
        }
    }

    fn watch(&mut self, watch: &Watch, key: usize, watched: Watched) {
        let Some(driven) = &self.driven else { return };
        self.watched = watched;
        let Some(socket) = driven.descriptor() else { return };
        let readable = matches!(watched, Watched::Input | Watched::Both);
        let writable = matches!(watched, Watched::Both | Watched::Room | Watched::RoomAlone);
        // A broken socket is found, whatever it is watched for: once will do where nothing is to be done about it.
        let mode = if watched == Watched::Nothing { Mode::Once } else { Mode::Level };
        if let Err(error) = watch.change(socket, Event { key, readable, writable }, mode) {
            driven.writer().cut(Cause::Io(error.kind()));
        }
    }
}

/// The half of a key that is the berth's index.
const INDEX: usize = u32::MAX as usize;

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use raddle_socket::{Options, Role, Socket};

    use super::*;

    #[test]
    fn the_key_of_a_berth_that_was_left_finds_nothing() {
        // Hostile input 266: the descriptor, and the berth, may be another's by then.
        let home = Arc::new(Home::new().expect("descriptors"));
        let mut berths = Berths::new();
        let (mut peers, mut keys) = (Vec::new(), Vec::new());
        for generation in [0, 1, u32::MAX >> 1] {
            let (ours, theirs) = UnixStream::pair().expect("two descriptors");
            let socket = Socket::unix(ours).expect("a socket");
            let connection = Connection::new(socket, Role::Server, b"", Options::default()).expect("a connection");
            peers.push(theirs);
            if let Some(berth) = berths.berths.first_mut() {
                *berth = Berth::Free(generation);
            }
            let key = berths.take(&Journal::new(), &home, Claim::new(&home), connection, generation);
            assert_eq!(berths.get_mut(key).map(|resident| resident.state), Some(generation));
            assert!(!keys.contains(&key) && key != usize::MAX);
            for other in [key ^ 1, key ^ 1 << 32, usize::MAX, usize::MAX - 1] {
                assert!(berths.get_mut(other).is_none() && berths.remove(&home, other).is_none());
            }
            assert!(berths.remove(&home, key).is_some() && berths.is_empty());
            // Whoever comes next has another key.
            assert!(berths.get_mut(key).is_none() && berths.remove(&home, key).is_none());
            assert!(berths.berths[0].generation() != generation);
            keys.push(key);
        }
        assert_eq!((berths.berths.len(), home.load.load(std::sync::atomic::Ordering::Relaxed)), (1, 0));
    }
}

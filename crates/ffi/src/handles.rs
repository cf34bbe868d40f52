//! Handles: what a C program holds in place of a pointer or an id. A value in, an id out that is never given twice.
//!
//! An id says of which kind it is, which slot it names and for the how-many-th time that slot was filled. So a handle that
//! is stale, forged, of another kind or freed twice is found out, and never followed. The count begins at random, so that one
//! of another process, or of another copy of the library in this one, is found out as well.

use std::sync::{Arc, OnceLock};
use std::{fmt, mem, ptr};

use parking_lot::Mutex;

use crate::fork;
use crate::slot::{Slot, Used};
use crate::status::{Failure, Status};

/// The values of one kind, by their ids. A look-up takes the lock of its slot, and no other.
pub(crate) struct Table<T> {
    kind: Kind,
    /// Each twice as large as the one before, so that a slot never moves.
    chunks: [OnceLock<Box<[Slot<T>]>>; CHUNKS],
    vacancies: Mutex<Vacancies>,
}

/// What an id names. A pointer of one kind is no pointer of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Connection = 1,
    Server = 2,
    ServerConfig = 3,
    ServerTls = 4,
    Request = 5,
    Client = 6,
    Attempt = 7,
    Reconnect = 8,
    Protocol = 9,
    ProtocolConfig = 10,
    Ping = 11,
}

/// Why an id names nothing that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// It was never given.
    Never,
    /// What it has named was freed, or has ended.
    Gone,
    /// A panic has left it in pieces.
    Poisoned,
    /// Another thread has it to itself.
    Busy,
}

#[derive(Default)]
struct Vacancies {
    /// Slots that were filled and emptied.
    free: Vec<u32>,
    /// Slots that were ever filled: all below this one.
    used: u32,
}

impl<T> Table<T> {
    pub(crate) const fn new(kind: Kind) -> Self {
        Self {
            kind,
            chunks: [const { OnceLock::new() }; CHUNKS],
            vacancies: Mutex::new(Vacancies { free: Vec::new(), used: 0 }),
        }
    }

    /// Takes a value, and gives the id that names it until it is [taken](Self::take).
    pub(crate) fn insert(&self, value: T) -> Result<u64, Failure> {
        fork::watch();
        let index = {
            let vacancies = &mut *self.vacancies.lock();
            match vacancies.free.pop() {
                Some(index) => index,
                None if vacancies.used < MOST => {
                    vacancies.used += 1;
                    vacancies.used - 1
                }
                None => return Err(Failure::new(Status::RADDLE_ERR_LIMIT, "there are too many handles")),
            }
        };
        let (chunk, place) = chunk_of(index);
        let slots = self.chunks[chunk].get_or_init(|| (0..FIRST << chunk).map(|_| Slot::vacant()).collect());
        let held = &mut *slots[place].lock();
        held.generation += 1;
        held.is_poisoned = false;
        held.value = Some(value);
        Ok(self.id(index, held.generation))
    }

    /// Looks at what an id names, for a moment: with the lock of its slot.
    pub(crate) fn find<R>(&self, id: u64, look: impl FnOnce(&T) -> R) -> Result<R, Missing> {
        let (slot, generation) = self.slot(id)?;
        let held = slot.lock();
        Ok(look(held.of(generation)?))
    }

    /// Has what an id names to itself for one call. Whoever comes meanwhile finds it [busy](Missing::Busy).
    pub(crate) fn use_alone<R>(&self, id: u64, act: impl FnOnce(&mut T) -> Result<R, Failure>) -> Result<R, Failure> {
        let (slot, generation) = self.slot(id)?;
        let held = slot.try_lock(generation)?;
        held.of(generation)?;
        let mut used = Used::new(held, generation);
        let result = act(used.held.value.as_mut().ok_or(Missing::Gone)?);
        used.is_whole = true;
        result
    }

    /// Takes what an id names out of the table, in pieces or not: the id names nothing any more.
    pub(crate) fn take(&self, id: u64) -> Result<T, Missing> {
        let (slot, generation) = self.slot(id)?;
        let mut held = slot.try_lock(generation)?;
        match held.of(generation) {
            Ok(_) | Err(Missing::Poisoned) => {}
            Err(missing) => return Err(missing),
        }
        let value = held.value.take().ok_or(Missing::Gone)?;
        let is_worn_out = held.generation == LAST_GENERATION;
        drop(held);
        if !is_worn_out {
            self.vacancies.lock().free.push((id & INDEX) as u32);
        }
        Ok(value)
    }

    /// Has every later look-up find what an id names in pieces, until it is taken.
    pub(crate) fn poison(&self, id: u64) {
        if let Ok((slot, generation)) = self.slot(id) {
            let mut held = slot.lock();
            held.is_poisoned |= held.generation == generation;
        }
    }

    /// The ids of the values that are wanted.
    pub(crate) fn list(&self, wanted: impl Fn(&T) -> bool) -> Vec<u64> {
        let used = self.vacancies.lock().used;
        let mut ids = Vec::new();
        for index in 0..used {
            let (chunk, place) = chunk_of(index);
            let Some(slots) = self.chunks[chunk].get() else { break };
            let held = slots[place].lock();
            if held.value.as_ref().is_some_and(&wanted) {
                ids.push(self.id(index, held.generation));
            }
        }
        ids
    }

    /// The number of values.
    pub(crate) fn len(&self) -> usize {
        let vacancies = self.vacancies.lock();
        let used = vacancies.used as usize;
        let free = vacancies.free.len();
        drop(vacancies);
        used - free
    }

    fn id(&self, index: u32, generation: u32) -> u64 {
        (self.kind as u64) << KIND | u64::from(generation) << GENERATION | u64::from(index)
    }

    fn slot(&self, id: u64) -> Result<(&Slot<T>, u32), Missing> {
        if id >> KIND != self.kind as u64 {
            return Err(Missing::Never);
        }
        let generation = (id >> GENERATION) as u32 & LAST_GENERATION;
        let (chunk, place) = chunk_of((id & INDEX) as u32);
        let slots = self.chunks.get(chunk).and_then(OnceLock::get).ok_or(Missing::Never)?;
        Ok((slots.get(place).ok_or(Missing::Never)?, generation))
    }
}

impl<T> Table<Arc<T>> {
    /// What an id names, shared.
    pub(crate) fn get(&self, id: u64) -> Result<Arc<T>, Missing> {
        self.find(id, Arc::clone)
    }

    /// Does something with what an id names, which many threads may do at a time. A panic poisons it.
    pub(crate) fn with<R>(&self, id: u64, act: impl FnOnce(&Arc<T>) -> Result<R, Failure>) -> Result<R, Failure> {
        let value = self.get(id)?;
        self.guarded(id, || act(&value))
    }

    /// Does something with what an id names, and poisons it where that panics.
    pub(crate) fn guarded<R>(&self, id: u64, act: impl FnOnce() -> R) -> R {
        let poison = Poison { table: self, id };
        let result = act();
        mem::forget(poison);
        result
    }
}

/// Poisons what an id names, unless it is forgotten: a panic drops it. Whether the thread panics says nothing, as a call may be
/// made, and end well, while an earlier panic unwinds.
struct Poison<'a, T> {
    table: &'a Table<Arc<T>>,
    id: u64,
}

impl<T> Drop for Poison<'_, T> {
    fn drop(&mut self) {
        self.table.poison(self.id);
    }
}

/// A handle that looks like a pointer in C, for its type, and is an id.
pub(crate) trait Handle: Sized {
    /// What it names.
    type Value: 'static;

    /// Where that is.
    fn table() -> &'static Table<Self::Value>;
}

/// The handle that C gets for an id.
pub(crate) fn to_pointer<H: Handle>(id: u64) -> *mut H {
    // No address: nobody follows it.
    ptr::without_provenance_mut(id as usize)
}

/// The id behind a handle.
pub(crate) fn to_id<H: Handle>(handle: *const H) -> u64 {
    handle.addr() as u64
}

impl From<Missing> for Failure {
    fn from(missing: Missing) -> Self {
        match missing {
            Missing::Never => Self::new(Status::RADDLE_ERR_HANDLE, "the handle was never given, or is of another kind"),
            Missing::Gone => Self::new(Status::RADDLE_ERR_HANDLE, "the handle was freed"),
            Missing::Poisoned => {
                Self::new(Status::RADDLE_ERR_POISONED, "an earlier call has failed inside the library")
            }
            Missing::Busy => Self::new(Status::RADDLE_ERR_BUSY, "another thread uses the handle"),
        }
    }
}

impl<T> fmt::Debug for Table<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").field("kind", &self.kind).field("len", &self.len()).finish_non_exhaustive()
    }
}

/// The chunk that a slot is in, and its place there.
fn chunk_of(index: u32) -> (usize, usize) {
    let position = index as usize + FIRST;
    let chunk = (position.ilog2() - FIRST.ilog2()) as usize;
    (chunk, position - (FIRST << chunk))
}

/// Slots of the first chunk.
const FIRST: usize = 32;
const CHUNKS: usize = 24;
/// As many slots as the chunks have.
const MOST: u32 = (FIRST as u32) * ((1 << CHUNKS) - 1);
/// An id, from its lowest bit: 32 of the slot, 28 of the generation, 4 of the kind.
const INDEX: u64 = u32::MAX as u64;
const GENERATION: u32 = 32;
const KIND: u32 = 60;
/// After so many times a slot is not filled again.
const LAST_GENERATION: u32 = (1 << 28) - 1;
const _: () = assert!(usize::BITS == 64, "a handle has 64 bits");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_names_its_value_until_that_is_taken_and_nothing_afterwards() {
        let table = Table::new(Kind::Server);
        let first = table.insert("first").expect("a slot");
        assert_eq!(table.find(first, |value| *value), Ok("first"));
        assert_eq!(table.take(first), Ok("first"));
        let second = table.insert("second").expect("the same slot");
        assert_eq!((first & INDEX, table.len()), (second & INDEX, 1));
        for stale in [first, second - (1 << GENERATION)] {
            assert_eq!((table.find(stale, |_| ()), table.take(stale)), (Err(Missing::Gone), Err(Missing::Gone)));
        }
        let forged = [
            0,
            u64::MAX,
            second + 1,
            second + (1 << GENERATION),
            second ^ 1 << KIND,
            second | INDEX,
            second & !((1 << KIND) - 1),
        ];
        for id in forged {
            assert_eq!((table.find(id, |_| ()), table.take(id)), (Err(Missing::Never), Err(Missing::Never)), "{id:x}");
        }
        assert_eq!(table.find(second, |value| *value), Ok("second"));
    }

    #[test]
    fn a_slot_whose_generations_are_used_up_is_not_filled_again() {
        let table = Table::new(Kind::Server);
        let first = table.insert(1).expect("a slot");
        table.take(first).expect("its value");
        table.chunks[0].get().expect("the first chunk")[0].lock().generation = LAST_GENERATION - 1;
        let last = table.insert(2).expect("a slot");
        assert_eq!(last & INDEX, 0);
        table.take(last).expect("its value");
        assert_eq!(table.insert(3).expect("another slot") & INDEX, 1);
    }

    #[test]
    fn every_slot_has_its_place_in_a_chunk() {
        assert_eq!((chunk_of(0), chunk_of(31), chunk_of(32), chunk_of(95)), ((0, 0), (0, 31), (1, 0), (1, 63)));
        let (chunk, place) = chunk_of(MOST - 1);
        assert_eq!((chunk, place), (CHUNKS - 1, (FIRST << (CHUNKS - 1)) - 1));
        assert!(chunk_of(MOST).0 == CHUNKS && chunk_of(u32::MAX).0 > CHUNKS);
    }

    #[test]
    fn what_one_thread_has_to_itself_is_busy_for_others_and_poisoned_by_a_panic() {
        let table = Table::new(Kind::Request);
        let stale = table.insert(6).expect("a slot");
        assert_eq!(table.take(stale), Ok(6));
        let id = table.insert(7).expect("the same slot");
        let result = table.use_alone(id, |value| {
            *value += 1;
            assert_eq!(table.use_alone(id, |_| Ok(())).map_err(|failure| failure.status), Err(Status::RADDLE_ERR_BUSY));
            assert_eq!(table.take(id), Err(Missing::Busy));
            // The slot is busy, and ids of other generations are what they are.
            assert_eq!(table.take(stale), Err(Missing::Gone));
            assert_eq!(table.take(id + (1 << GENERATION)), Err(Missing::Never));
            Ok(*value)
        });
        assert_eq!(result.map_err(|failure| failure.status), Ok(8));
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _: Result<(), _> = table.use_alone(id, |_| panic!("a test"));
        }));
        assert!(panic.is_err());
        assert_eq!(table.find(id, |_| ()), Err(Missing::Poisoned));
        assert_eq!(table.take(id), Ok(8), "it can be freed");
    }

    #[test]
    fn what_is_used_well_while_a_panic_unwinds_is_as_it_was() {
        struct InBetween<'a>(&'a Table<Arc<u32>>, u64, &'a Table<u32>, u64);
        impl Drop for InBetween<'_> {
            fn drop(&mut self) {
                assert!(std::thread::panicking());
                assert_eq!(self.0.with(self.1, |value| Ok(**value)).map_err(|failure| failure.status), Ok(7));
                assert_eq!(self.2.use_alone(self.3, |value| Ok(*value)).map_err(|failure| failure.status), Ok(8));
            }
        }
        let (shared, alone) = (Table::new(Kind::Server), Table::new(Kind::Request));
        let (first, second) = (shared.insert(Arc::new(7)).expect("a slot"), alone.insert(8).expect("a slot"));
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _between = InBetween(&shared, first, &alone, second);
            panic!("a test");
        }));
        assert!(panic.is_err());
        assert_eq!((shared.find(first, |value| **value), alone.find(second, |value| *value)), (Ok(7), Ok(8)));
    }

    #[test]
    fn a_panic_poisons_what_is_shared_as_well() {
        let table = Table::new(Kind::Server);
        let id = table.insert(Arc::new(7)).expect("a slot");
        assert_eq!(table.with(id, |value| Ok(**value)).map_err(|failure| failure.status), Ok(7));
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _: Result<(), _> = table.with(id, |_| panic!("a test"));
        }));
        assert!(panic.is_err());
        assert_eq!(table.get(id), Err(Missing::Poisoned));
        assert!(table.take(id).is_ok());
    }
}

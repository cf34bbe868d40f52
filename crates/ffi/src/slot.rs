//! A slot of a table of handles: one value, how often it was filled, and the lock that whoever uses it takes.

use std::cell::UnsafeCell;
use std::ops::{Deref, DerefMut};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::{hint, thread};

use crate::handles::Missing;

/// A place for a value, and its lock.
pub(crate) struct Slot<T> {
    /// What the lock is: [`FREE`], taken [for a moment](BRIEFLY), or by one thread for as long as it likes, which is the generation
    /// that it has to itself. A lock of one exchange, where any other takes two: a program asks several times for each message.
    holder: AtomicU32,
    held: UnsafeCell<Held<T>>,
}

// SAFETY: `held` is reached through a `Lock` only, which one thread has at a time.
unsafe impl<T: Send> Sync for Slot<T> {}

/// The lock of a slot.
pub(crate) struct Lock<'a, T> {
    slot: &'a Slot<T>,
}

/// What a slot holds.
pub(crate) struct Held<T> {
    /// Raised each time the slot is filled; [`before_first`]: never.
    pub(crate) generation: u32,
    pub(crate) is_poisoned: bool,
    pub(crate) value: Option<T>,
}

/// What a slot holds, in use by one thread. Dropped by a panic, before it is whole again, it is poisoned.
pub(crate) struct Used<'a, T> {
    pub(crate) held: Lock<'a, T>,
    pub(crate) is_whole: bool,
}

impl<'a, T> Used<'a, T> {
    pub(crate) fn new(held: Lock<'a, T>, generation: u32) -> Self {
        held.slot.holder.store(generation, Ordering::Relaxed);
        Self { held, is_whole: false }
    }
}

impl<T> Drop for Used<'_, T> {
    fn drop(&mut self) {
        if !self.is_whole {
            self.held.is_poisoned = true;
        }
    }
}

impl<T> Slot<T> {
    pub(crate) fn vacant() -> Self {
        let held = Held { generation: before_first(), is_poisoned: false, value: None };
        Self { holder: AtomicU32::new(FREE), held: UnsafeCell::new(held) }
    }

    /// The lock of the slot, where nobody has that; otherwise who has.
    fn lock_at_once(&self) -> Result<Lock<'_, T>, u32> {
        self.holder.compare_exchange(FREE, BRIEFLY, Ordering::Acquire, Ordering::Relaxed)?;
        Ok(Lock { slot: self })
    }

    /// The lock of the slot, whoever has it before.
    pub(crate) fn lock(&self) -> Lock<'_, T> {
        let mut tries = 0;
        loop {
            match self.lock_at_once() {
                Ok(lock) => return lock,
                Err(_) => give_way(&mut tries),
            }
        }
    }

    /// The lock of the slot, for whoever has an id of this generation.
    pub(crate) fn try_lock(&self, generation: u32) -> Result<Lock<'_, T>, Missing> {
        let mut tries = 0;
        loop {
            match self.lock_at_once() {
                Ok(lock) => return Ok(lock),
                Err(FREE | BRIEFLY) => give_way(&mut tries),
                Err(used) if used == generation => return Err(Missing::Busy),
                Err(used) if used < generation => return Err(Missing::Never),
                // The slot was filled again, and an id of before is stale, whoever uses the slot.
                Err(_) => return Err(Missing::Gone),
            }
        }
    }
}

/// Lets whoever has a lock for a moment be done with it.
fn give_way(tries: &mut u32) {
    *tries += 1;
    if *tries < 100 { hint::spin_loop() } else { thread::yield_now() }
}

impl<T> Deref for Lock<'_, T> {
    type Target = Held<T>;

    fn deref(&self) -> &Held<T> {
        // SAFETY: whoever has the lock is alone.
        unsafe { &*self.slot.held.get() }
    }
}

impl<T> DerefMut for Lock<'_, T> {
    fn deref_mut(&mut self) -> &mut Held<T> {
        // SAFETY: whoever has the lock is alone, and has it borrowed exclusively here.
        unsafe { &mut *self.slot.held.get() }
    }
}

impl<T> Drop for Lock<'_, T> {
    fn drop(&mut self) {
        self.slot.holder.store(FREE, Ordering::Release);
    }
}

impl<T> Held<T> {
    /// The value, where the slot is filled for this time.
    pub(crate) fn of(&self, generation: u32) -> Result<&T, Missing> {
        if generation <= before_first() || generation > self.generation {
            return Err(Missing::Never);
        }
        match &self.value {
            Some(_) if generation < self.generation => Err(Missing::Gone),
            Some(_) if self.is_poisoned => Err(Missing::Poisoned),
            Some(value) => Ok(value),
            None => Err(Missing::Gone),
        }
    }
}

/// The generation of a slot that was never filled: the same for all, for as long as the library is loaded.
fn before_first() -> u32 {
    static CHOSEN: OnceLock<u32> = OnceLock::new();
    // Without randomness handles do their work all the same.
    *CHOSEN.get_or_init(|| getrandom::u32().map_or(0, |random| random & FIRST_GENERATIONS))
}

/// Nobody has the lock of a slot. No generation: those have 28 bits.
const FREE: u32 = u32::MAX;
/// Somebody has it for a moment.
const BRIEFLY: u32 = u32::MAX - 1;
/// Where generations may begin: most of them are left for what follows.
const FIRST_GENERATIONS: u32 = (1 << 26) - 1;

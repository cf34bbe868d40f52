//! Memory for output that threads hand on to one another: what one of them has written last, its processor still has at hand.
//!
//! A thousand threads that answer one after the other would go through a thousand pieces of memory, each of which comes back when
//! it has long been forgotten by the processor's caches.

use std::mem;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use raddle_core::Memory;

use crate::attendant::Attendant;
use crate::pages;
use crate::sys;

/// Gives each processor a place for memory, whether the process may run on it now or not. Before there is any connection.
pub(crate) fn prepare() {
    PLACES.store(sys::processors().clamp(1, STACKS.len()), Ordering::Relaxed);
}

/// Memory for output: the last that was kept on this processor, or near it where there is none.
pub(crate) fn take() -> Memory {
    let here = sys::processor();
    let kept = (here..here + places().min(NEAR)).find_map(|processor| {
        // Nobody is waited for: some memory will do, and in a forked child there may be nobody any more to let go of it.
        stack(processor).try_lock()?.pieces.iter_mut().rev().find_map(Option::take)
    });
    kept.unwrap_or_default()
}

/// Keeps memory whose output was `written`, in that which its sender had. What finds no place comes back, for its connection to
/// have at hand until that falls idle: amid work, nothing goes to the system and comes from there again.
pub(crate) fn keep(memory: Option<Memory>, mut written: Vec<u8>) -> Option<Memory> {
    if written.capacity() == 0 {
        return memory;
    }
    written.clear();
    written.shrink_to(LARGEST);
    let mut memory = memory.unwrap_or_default();
    memory.hold(written);
    let Some(mut stack) = stack(sys::processor()).try_lock() else { return Some(memory) };
    let left_over = match stack.place_for(&memory) {
        Some(place) => place.replace(memory),
        None => return Some(memory),
    };
    stack.used_at = sys::coarse_now();
    drop(stack);
    if !IS_LOOKED_AFTER.load(Ordering::Relaxed) && !IS_LOOKED_AFTER.swap(true, Ordering::Relaxed) {
        Attendant::get().look_after_outputs();
    }
    left_over
}

/// For the attendant: gives back what nobody has used for a while; `true` where it has to look again.
pub(crate) fn give_back() -> bool {
    // Before the look: what is kept behind it asks for another.
    if !IS_LOOKED_AFTER.swap(false, Ordering::Relaxed) {
        return false;
    }
    let mut again = false;
    for place in 0..places() {
        let unused = match stack(place).try_lock() {
            Some(stack) if stack.is_empty() => continue,
            Some(mut stack) if sys::coarse_now().saturating_sub(stack.used_at) >= IDLE => mem::take(&mut stack.pieces),
            _ => {
                again = true;
                continue;
            }
        };
        unused.into_iter().flatten().for_each(|memory| pages::give_back(memory.into_bytes()));
    }
    if again {
        IS_LOOKED_AFTER.store(true, Ordering::Relaxed);
    }
    again
}

fn stack(processor: usize) -> &'static Mutex<Stack> {
    &STACKS[processor % places()].0
}

/// Stacks that are in use.
fn places() -> usize {
    PLACES.load(Ordering::Relaxed)
}

struct Stack {
    /// The one that was used last is the last. In place, so that keeping it allocates nothing.
    pieces: [Option<Memory>; MOST],
    /// When one was kept.
    used_at: Duration,
}

impl Stack {
    const EMPTY: Self = Self { pieces: [const { None }; MOST], used_at: Duration::ZERO };

    fn is_empty(&self) -> bool {
        self.pieces[0].is_none()
    }

    /// An empty place, or that of a piece which has held Pongs and is of less use.
    fn place_for(&mut self, memory: &Memory) -> Option<&mut Option<Memory>> {
        let is_useful = memory.capacity() >= SMALL;
        let is_less = |kept: &Memory| is_useful && kept.capacity() < SMALL;
        let place = self.pieces.iter().position(Option::is_none);
        let place = place.or_else(|| self.pieces.iter().position(|kept| kept.as_ref().is_some_and(is_less)))?;
        self.pieces.get_mut(place)
    }
}

// Apart, so that no processor's writes disturb another's.
#[repr(align(128))]
struct Apart(Mutex<Stack>);

static STACKS: [Apart; 64] = [const { Apart(Mutex::new(Stack::EMPTY)) }; 64];
static PLACES: AtomicUsize = AtomicUsize::new(1);
/// The attendant will look whether what is kept is used.
static IS_LOOKED_AFTER: AtomicBool = AtomicBool::new(false);
/// So many pieces of memory a processor keeps, each of so many bytes at most.
const MOST: usize = 4;
const LARGEST: usize = 64 * 1024;
/// What is smaller, in bytes, makes room for what is not.
const SMALL: usize = 1024;
/// So many processors are asked for memory: a thread that has moved finds what it has left.
const NEAR: usize = 4;
/// What was not used for this time is given back.
const IDLE: Duration = Duration::from_millis(200);

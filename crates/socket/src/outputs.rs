//! Memory for output that threads hand on to one another: what one of them has written last, its processor still has at hand.
//!
//! A thousand threads that answer one after the other would go through a thousand pieces of memory, each of which comes back when
//! it has long been forgotten by the processor's caches.

use std::mem;
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use raddle_core::Memory;

use crate::pages;
use crate::sys;

/// Memory for output: the last that was kept on this processor, or near it where there is none.
pub(crate) fn take() -> Memory {
    let here = sys::processor();
    let kept = (here..here + processors().min(NEAR)).find_map(|processor| {
        // Nobody is waited for: some memory will do, and in a forked child there may be nobody any more to let go of it.
        stack(processor).try_lock()?.pieces.pop()
    });
    kept.unwrap_or_default()
}

/// Keeps memory whose output was `written`, in that which its sender had.
pub(crate) fn keep(memory: Option<Memory>, written: Vec<u8>) {
    let Some(mut memory) = memory else { return pages::give_back(written) };
    memory.hold(written);
    if memory.capacity() <= LARGEST
        && let Some(mut stack) = stack(sys::processor()).try_lock()
        && stack.pieces.len() < MOST
    {
        stack.used_at = sys::coarse_now();
        return stack.pieces.push(memory);
    }
    pages::give_back(memory.into_bytes());
}

/// Gives back what nobody has used for a while: called where a connection falls idle.
pub(crate) fn give_back() {
    for processor in 0..processors() {
        let unused = stack(processor).try_lock().and_then(|mut stack| {
            let is_unused = sys::coarse_now().saturating_sub(stack.used_at) >= IDLE;
            (is_unused && !stack.pieces.is_empty()).then(|| mem::take(&mut stack.pieces))
        });
        unused.into_iter().flatten().for_each(|memory| pages::give_back(memory.into_bytes()));
    }
}

fn stack(processor: usize) -> &'static Mutex<Stack> {
    &STACKS[processor % processors()].0
}

/// Stacks that are in use.
fn processors() -> usize {
    static COUNT: OnceLock<usize> = OnceLock::new();
    *COUNT.get_or_init(|| thread::available_parallelism().map_or(1, usize::from).min(STACKS.len()))
}

struct Stack {
    /// The one that was used last is the last.
    pieces: Vec<Memory>,
    /// When one was kept.
    used_at: Duration,
}

// Apart, so that no processor's writes disturb another's.
#[repr(align(128))]
struct Apart(Mutex<Stack>);

static STACKS: [Apart; 64] = [const { Apart(Mutex::new(Stack { pieces: Vec::new(), used_at: Duration::ZERO })) }; 64];
/// So many pieces of memory a processor keeps, each of so many bytes at most.
const MOST: usize = 4;
const LARGEST: usize = 64 * 1024;
/// So many processors are asked for memory: a thread that has moved finds what it has left.
const NEAR: usize = 4;
/// What was not used for this time is given back; less than a reader takes to fall idle.
const IDLE: Duration = Duration::from_millis(200);

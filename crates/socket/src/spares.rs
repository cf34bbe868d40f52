//! Memory that a thread which drives many connections keeps from one to the next: what was used last is still at hand.
//!
//! Large pieces are dear to get from the system, page by page: one of 1 MiB costs as much as copying it twice.

use std::cell::{Cell, RefCell};

use raddle_core::Memory;

use crate::drives::is_polled;
use crate::lease::Inbound;
use crate::pages::{self, give_back};

/// Memory for output that this thread has written before, and that its processor still has at hand.
pub(crate) fn output() -> Memory {
    SPARES.with(|spares| spares.outputs.borrow_mut().take()).unwrap_or_default()
}

/// Memory for `more` bytes behind those of `output`.
pub(crate) fn make_room(output: &mut Vec<u8>, more: usize) {
    let needed = output.len() + more;
    if output.capacity() < needed
        && let Some(mut larger) = SPARES.with(|spares| take(&mut spares.large_output.borrow_mut(), needed))
    {
        larger.extend_from_slice(output);
        *output = larger;
    }
}

/// Keeps the memory of output that was `written`, in that which its sender had.
pub(crate) fn keep_output(memory: Option<Memory>, mut written: Vec<u8>) {
    written.clear();
    SPARES.with(|spares| {
        let outputs = &mut spares.outputs.borrow_mut();
        let mut memory = memory.or_else(|| outputs.take()).unwrap_or_default();
        if written.capacity() <= SMALL {
            memory.hold(written);
        } else {
            keep(&mut spares.large_output.borrow_mut(), written);
        }
        outputs.keep(memory);
    });
}

/// Memory for a large message that is being received, of at least `bytes`; `None`: there is none.
pub(crate) fn input(bytes: usize) -> Option<Vec<u8>> {
    SPARES.with(|spares| take(&mut spares.large_input.borrow_mut(), bytes))
}

/// Keeps the memory of a large message for the next that this thread receives; and until that is given back page by page, where there
/// is none.
pub fn keep_input(memory: Vec<u8>) {
    let least = if is_polled() { SMALL + 1 } else { pages::LARGE };
    if memory.len() >= least {
        SPARES.with(|spares| keep(&mut spares.large_input.borrow_mut(), memory));
    }
}

/// The place of a connection's receiver.
pub(crate) fn inbound() -> Option<Box<Inbound>> {
    SPARES.with(|spares| spares.inbound.take())
}

/// Keeps the place of a receiver that is at rest.
pub(crate) fn keep_inbound(inbound: Box<Inbound>) {
    SPARES.with(|spares| spares.inbound.set(Some(inbound)));
}

/// Tells whether this thread keeps large pieces, which it gives back by [`drop_large_spares`] when it has nothing to do.
pub fn has_large_spares() -> bool {
    SPARES.with(|spares| {
        let outputs = spares.outputs.borrow();
        outputs.pieces.len() > 1
            || outputs.bytes > SMALL_OUTPUT
            || !spares.large_output.borrow().is_empty()
            || !spares.large_input.borrow().is_empty()
    })
}

/// Gives the large pieces that this thread keeps to the system.
pub fn drop_large_spares() {
    SPARES.with(|spares| {
        let mut outputs = spares.outputs.take();
        let last = outputs.pieces.pop_if(|memory| memory.capacity() <= SMALL_OUTPUT);
        last.into_iter().for_each(|memory| spares.outputs.borrow_mut().keep(memory));
        outputs.pieces.into_iter().for_each(|memory| give_back(memory.into_bytes()));
        for pieces in [&spares.large_output, &spares.large_input] {
            pieces.take().into_iter().for_each(give_back);
        }
    });
}

#[derive(Default)]
struct Spares {
    inbound: Cell<Option<Box<Inbound>>>,
    outputs: RefCell<Outputs>,
    large_output: RefCell<Vec<Vec<u8>>>,
    large_input: RefCell<Vec<Vec<u8>>>,
}

/// Memory for the output of senders, of which as many pieces are in use as a turn answers connections, or as a message goes to: all
/// of them are written behind it.
#[derive(Default)]
struct Outputs {
    /// The one that was used last is the last.
    pieces: Vec<Memory>,
    /// What they have room for.
    bytes: usize,
}

impl Outputs {
    fn take(&mut self) -> Option<Memory> {
        let memory = self.pieces.pop()?;
        self.bytes -= memory.capacity();
        Some(memory)
    }

    fn keep(&mut self, memory: Memory) {
        let bytes = self.bytes + memory.capacity();
        let most = if is_polled() { POLLED_OUTPUT_BYTES } else { OUTPUT_BYTES };
        if self.pieces.is_empty() || self.pieces.len() < MOST_OUTPUTS && bytes <= most {
            self.bytes = bytes;
            self.pieces.push(memory);
        }
    }
}

thread_local!(static SPARES: Spares = Spares::default());

/// The smallest piece that is large enough, and of those the one that was kept last; none that is more than twice as large.
fn take(pieces: &mut Vec<Vec<u8>>, bytes: usize) -> Option<Vec<u8>> {
    let fits = |capacity| capacity >= bytes && capacity / 2 <= bytes;
    let capacities = pieces.iter().map(Vec::capacity).enumerate().rev();
    let (place, _) = capacities.filter(|&(_, capacity)| fits(capacity)).min_by_key(|&(_, capacity)| capacity)?;
    Some(pieces.remove(place))
}

/// Where there would be too much, smaller ones go: a large one is of use to more messages, and what a message has outgrown comes
/// here too.
fn keep(pieces: &mut Vec<Vec<u8>>, piece: Vec<u8>) {
    let share = |piece: &Vec<u8>| piece.capacity().max(LEAST);
    let mut held = pieces.iter().map(share).sum::<usize>() + share(&piece);
    while held > MOST {
        let Some((place, least)) = pieces.iter().enumerate().min_by_key(|(_, piece)| piece.capacity()) else { return };
        if least.capacity() >= piece.capacity() {
            return;
        }
        held -= share(least);
        pieces.remove(place);
    }
    pieces.push(piece);
}

/// Output up to this capacity, in bytes, is no large piece.
const SMALL: usize = 256 * 1024;
/// Bytes of large pieces that a thread keeps for output, and as many for input.
const MOST: usize = 32 << 20;
/// A smaller one counts as much, so that there are never many to be looked through.
const LEAST: usize = MOST / 256;
/// So many pieces of memory for output a thread keeps that are not large, and bytes of them.
const MOST_OUTPUTS: usize = 4096;
const OUTPUT_BYTES: usize = 16 << 20;
/// As many as a turn of a loop that is polled has answers: such a loop may never be told that it has nothing to do, and to give them back.
const POLLED_OUTPUT_BYTES: usize = 1 << 20;
/// One of this capacity in bytes is kept by a thread that has nothing to do.
const SMALL_OUTPUT: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drives::drive_for;
    use crate::drives::tests::Idle;

    #[test]
    fn memory_for_the_answers_of_a_turn_is_kept_up_to_a_number_of_bytes() {
        // Few pieces: another test looks how many pages this process has.
        const LENGTH: usize = 200 * 1024;
        let memory = || {
            let mut memory = Memory::default();
            memory.hold(Vec::with_capacity(LENGTH));
            memory
        };
        let mut outputs = Outputs::default();
        (0..2 * OUTPUT_BYTES / LENGTH).for_each(|_| outputs.keep(memory()));
        assert_eq!(outputs.pieces.len(), OUTPUT_BYTES / LENGTH);
        assert_eq!(outputs.bytes, OUTPUT_BYTES / LENGTH * LENGTH);
        while outputs.take().is_some() {}
        assert_eq!(outputs.bytes, 0);
        // One is kept in any case: a connection alone is answered with it.
        let mut large = Memory::default();
        large.hold(Vec::with_capacity(OUTPUT_BYTES + 1));
        outputs.keep(large);
        outputs.keep(memory());
        assert_eq!(outputs.pieces.len(), 1);
        // A loop that is polled keeps what a turn needs.
        drive_for(&Idle(0));
        let mut outputs = Outputs::default();
        (0..OUTPUT_BYTES / LENGTH).for_each(|_| outputs.keep(memory()));
        assert_eq!(outputs.pieces.len(), POLLED_OUTPUT_BYTES / LENGTH);
        keep_input(vec![0; SMALL]);
        assert!(!has_large_spares());
    }

    #[test]
    fn pieces_that_are_too_small_take_no_place_from_large_ones() {
        let mut pieces = Vec::new();
        for _ in 0..200 {
            keep(&mut pieces, Vec::with_capacity(300 << 10));
        }
        for _ in 0..100 {
            keep(&mut pieces, Vec::with_capacity(1 << 20));
        }
        assert!(pieces.iter().map(Vec::capacity).sum::<usize>() <= MOST);
        for number in 0..MOST >> 20 {
            assert!(take(&mut pieces, 1 << 20).is_some(), "piece {number}");
        }
        let smaller = (0..10 * MOST / pages::LARGE).map(|_| Vec::with_capacity(pages::LARGE));
        let mut small = Vec::new();
        smaller.for_each(|piece| keep(&mut small, piece));
        assert!(small.len() <= MOST / LEAST, "{} pieces have to be looked through", small.len());
        keep(&mut pieces, Vec::with_capacity(MOST + 1));
        assert!(pieces.is_empty(), "more than all together may be");
    }
}

//! Giving memory back, page by page: to the system, and not only to the allocator.
//!
//! An allocator keeps what is freed among pieces that are in use, for whoever asks next. Of threads that wait for their peers,
//! nobody does: a thousand connections would keep the pages of the largest message that each of them has had.

use crate::sys::{self, page_size};

/// Frees memory whose bytes are of no more use. The pages of a large piece go to the system, and are new and zero when the
/// allocator gives them to somebody else.
///
/// That costs a system call, and a page fault for each page that is used again: for connections that fall idle, not for each
/// message.
pub(crate) fn give_back(mut memory: Vec<u8>) {
    if memory.capacity() < LARGE {
        return;
    }
    memory.clear();
    let space = memory.spare_capacity_mut();
    let start = space.as_ptr().addr().next_multiple_of(page_size()) - space.as_ptr().addr();
    let length = space.len().saturating_sub(start) / page_size() * page_size();
    if let Some(pages) = space.get_mut(start..start + length) {
        sys::empty_pages(pages);
    }
}

/// From this capacity in bytes on, memory is worth a system call.
pub(crate) const LARGE: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Bytes of memory that this process has written to and holds.
    fn resident() -> usize {
        let status = fs::read_to_string("/proc/self/status").expect("Linux");
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("a line of it");
        line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") * 1024
    }

    #[test]
    fn what_is_freed_among_pieces_that_are_in_use_goes_to_the_system() {
        const PIECES: usize = 256;
        const LENGTH: usize = 64 * 1024;
        // Behind each large piece a small one that stays.
        let make = || -> Vec<(Vec<u8>, Vec<u8>)> { (0..PIECES).map(|_| (vec![1; LENGTH], vec![1; 64])).collect() };
        let (large, small): (Vec<_>, Vec<_>) = make().into_iter().unzip();
        let before = resident();
        large.into_iter().for_each(give_back);
        let given = before.saturating_sub(resident());
        assert!(given > PIECES * (LENGTH - 3 * page_size()), "{given} bytes of {}", PIECES * LENGTH);
        drop(small);
    }

    #[test]
    fn pieces_of_every_size_and_place_are_freed() {
        for capacity in [0, 1, LARGE - 1, LARGE, LARGE + 1, LARGE + page_size(), 1 << 20] {
            let neighbours: Vec<Vec<u8>> = (0..8).map(|byte| vec![byte; capacity]).collect();
            let (given, kept): (Vec<_>, Vec<_>) =
                neighbours.into_iter().partition(|piece| piece.first().is_some_and(|byte| byte % 2 == 0));
            given.into_iter().for_each(give_back);
            for piece in kept {
                assert!(piece.iter().all(|byte| *byte == piece[0]));
            }
        }
    }
}

//! The ways in which bytes are cut into segments.

use std::fmt;

/// A source of numbers that are the same in every run.
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `limit`, which is not 0.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 16) % limit as u64) as usize
    }
}

/// Where bytes are cut, in order.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Cuts(Vec<usize>);

impl Cuts {
    pub(crate) fn whole() -> Self {
        Self(Vec::new())
    }

    pub(crate) fn every_byte(length: usize) -> Self {
        Self((1..length).collect())
    }

    /// In up to `parts` parts.
    pub(crate) fn random(length: usize, parts: usize, numbers: &mut Numbers) -> Self {
        if length < 2 {
            return Self::whole();
        }
        let mut places: Vec<_> = (1..parts).map(|_| 1 + numbers.below(length - 1)).collect();
        places.sort_unstable();
        places.dedup();
        Self(places)
    }

    pub(crate) fn apply<'a>(&self, bytes: &'a [u8]) -> Vec<&'a [u8]> {
        let mut start = 0;
        let ends = self.0.iter().copied().chain([bytes.len()]);
        ends.map(|end| &bytes[std::mem::replace(&mut start, end)..end]).collect()
    }
}

impl fmt::Debug for Cuts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [] => f.write_str("nowhere"),
            [first @ .., _] if first.len() > 8 => write!(f, "{:?} and so on", &first[..8]),
            places => write!(f, "{places:?}"),
        }
    }
}

/// For what costs nothing but time: whole, byte by byte, at every place in two, and at random. Of long inputs, which
/// take more of it, fewer places.
pub(crate) fn all(length: usize, seed: u64) -> Vec<Cuts> {
    let mut numbers = Numbers::new(seed);
    let mut cuts = vec![Cuts::whole()];
    if length <= LONG {
        cuts.push(Cuts::every_byte(length));
    }
    if length <= SHORT {
        cuts.extend((1..length).map(|place| Cuts(vec![place])));
    } else {
        let count = (WORK / length).clamp(2, 64);
        cuts.extend((1..=count).flat_map(|place| [Cuts(vec![place]), Cuts(vec![length - place])]));
        cuts.extend((0..count).map(|_| Cuts::random(length, 2, &mut numbers)));
    }
    cuts.extend((3..9).map(|parts| Cuts::random(length, parts, &mut numbers)));
    if length > SHORT {
        cuts.push(Cuts::random(length, length.min(LONG) / 16, &mut numbers));
    }
    cuts
}

/// Up to here, every place.
const SHORT: usize = 1024;
/// Up to here, byte by byte.
const LONG: usize = 128 * 1024;
/// So many bytes in all, about.
const WORK: usize = 256 * 1024;

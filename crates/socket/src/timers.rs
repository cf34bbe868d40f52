//! Timers: time in, what is due out, in order, never early.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::time::Duration;

/// Values that become due. Time is an input.
///
/// A heap: with one timer a connection, set again about every 20 s, ten thousand connections make a thousand operations a
/// second of well under a microsecond each. A wheel's constant time would buy nothing for its rounding, and an ordered map
/// takes three times the memory.
#[derive(Debug)]
pub(crate) struct Timers<T> {
    due: BinaryHeap<Timer<T>>,
    /// Timers that were given up since it was last looked which values are of no use any more.
    given_up: usize,
}

// Of 16 bytes, where the value is a pointer: there is one for each connection.
#[derive(Debug)]
struct Timer<T> {
    /// In nanoseconds.
    at: u64,
    value: T,
}

impl<T> Timers<T> {
    pub(crate) fn new() -> Self {
        Self { due: BinaryHeap::new(), given_up: 0 }
    }

    /// Makes `value` due at `at`, in less than 584 years.
    pub(crate) fn set(&mut self, at: Duration, value: T) {
        self.due.push(Timer { at: at.as_nanos() as u64, value });
    }

    /// When the first one is due, which may have been given up.
    pub(crate) fn next(&self) -> Option<Duration> {
        self.due.peek().map(|timer| Duration::from_nanos(timer.at))
    }

    /// Takes out the first one that is due at `now`, with the time for which it was set. It is for the caller to know whether
    /// it was given up.
    pub(crate) fn pop(&mut self, now: Duration) -> Option<(Duration, T)> {
        let first = self.due.peek_mut()?;
        let at = Duration::from_nanos(first.at);
        (at <= now).then(|| (at, std::collections::binary_heap::PeekMut::pop(first).value))
    }

    /// Notes that a timer is of no use any more. Once that can be most of them, those go of whose value `is_dead` says so:
    /// what is left of what has ended is never more than what has not, and a few.
    pub(crate) fn give_up(&mut self, is_dead: impl Fn(&T) -> bool) {
        self.given_up += 1;
        if self.given_up > self.due.len() / 2 + FEW {
            self.due.retain(|timer| !is_dead(&timer.value));
            self.due.shrink_to(2 * self.due.len());
            self.given_up = 0;
        }
    }
}

// The first one due is the greatest.
impl<T> Ord for Timer<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        other.at.cmp(&self.at)
    }
}

impl<T> PartialOrd for Timer<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Timer<T> {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl<T> Eq for Timer<T> {}

/// So many timers that were given up are not worth looking for.
const FEW: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_thousand_timers_fire_once_in_order_and_never_early() {
        // Hostile input 247.
        let mut timers = Timers::new();
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        let mut expected = Vec::new();
        for _ in 0..10_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let at = Duration::from_micros(random >> 44);
            timers.set(at, at);
            expected.push(at);
        }
        expected.sort_unstable();
        let mut fired = Vec::new();
        for step in 0..2_000 {
            let now = Duration::from_micros(step * 700);
            while let Some((at, value)) = timers.pop(now) {
                assert!(at <= now, "the timer of {at:?} fired early");
                assert_eq!(at, value);
                fired.push(at);
            }
            assert!(timers.next().is_none_or(|next| next > now), "a due timer was left");
        }
        assert_eq!(fired, expected);
    }

    #[test]
    fn what_was_given_up_is_not_kept() {
        let mut timers = Timers::new();
        let alive = std::sync::Arc::new(());
        let never = Duration::from_nanos(u64::MAX - 1);
        for _ in 0..100 {
            timers.set(never, std::sync::Arc::downgrade(&alive));
        }
        for _ in 0..10_000 {
            let ended = std::sync::Arc::new(());
            timers.set(never, std::sync::Arc::downgrade(&ended));
            drop(ended);
            timers.give_up(|weak| weak.strong_count() == 0);
            assert!(timers.due.len() <= 100 + 2 * (100 / 2 + FEW), "{} timers are kept", timers.due.len());
        }
        let left = std::iter::from_fn(|| timers.pop(never)).filter(|(_, weak)| weak.strong_count() > 0);
        assert_eq!(left.count(), 100);
    }
}

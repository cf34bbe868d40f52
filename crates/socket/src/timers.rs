//! Timers: time in, what is due out, in order, never early.

use std::collections::BTreeMap;
use std::time::Duration;

/// Values that become due. Time is an input.
///
/// An ordered map: with one timer a connection, set again about every 20 s, ten thousand connections make a thousand
/// operations a second of well under a microsecond each. A wheel's constant time would buy nothing for its rounding.
#[derive(Debug)]
pub(crate) struct Timers<T> {
    due: BTreeMap<(Duration, usize), T>,
}

impl<T> Timers<T> {
    pub(crate) fn new() -> Self {
        Self { due: BTreeMap::new() }
    }

    /// Makes `value` due at `at`. `key` and `at` together name the timer.
    pub(crate) fn set(&mut self, at: Duration, key: usize, value: T) {
        self.due.insert((at, key), value);
    }

    pub(crate) fn cancel(&mut self, at: Duration, key: usize) -> Option<T> {
        self.due.remove(&(at, key))
    }

    /// When the first one is due.
    pub(crate) fn next(&self) -> Option<Duration> {
        self.due.first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes out the first one that is due at `now`, with its key.
    pub(crate) fn pop(&mut self, now: Duration) -> Option<(usize, T)> {
        let entry = self.due.first_entry()?;
        let (at, key) = *entry.key();
        (at <= now).then(|| (key, entry.remove()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_thousand_timers_fire_once_in_order_and_never_early() {
        // Hostile input 247.
        let mut timers = Timers::new();
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        let mut expected = Vec::new();
        for key in 0..10_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let at = Duration::from_micros(random >> 44);
            timers.set(at, key, at);
            if random >> 40 & 7 == 0 {
                assert_eq!(timers.cancel(at, key), Some(at));
            } else {
                expected.push((at, key));
            }
        }
        expected.sort_unstable();
        let mut fired = Vec::new();
        for step in 0..2_000 {
            let now = Duration::from_micros(step * 700);
            while let Some((key, at)) = timers.pop(now) {
                assert!(at <= now, "timer {key} fired early");
                fired.push((at, key));
            }
            assert!(timers.next().is_none_or(|next| next > now), "a due timer was left");
        }
        assert_eq!(fired, expected);
    }
}

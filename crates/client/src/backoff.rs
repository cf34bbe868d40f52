//! How long to wait before the next attempt: exponential back-off with jitter (RFC 6455, section 7.2.3).

use std::time::Duration;

/// Gives the time to wait before each attempt. Randomness is an input, and so is time.
///
/// ```
/// use std::time::Duration;
/// use raddle_client::Backoff;
///
/// let mut backoff = Backoff::default();
/// // With the largest random number: what is waited at most.
/// let waits: Vec<u64> = (0..5).map(|_| backoff.next_wait(u64::MAX).as_secs()).collect();
/// assert_eq!(waits, [5, 10, 20, 40, 60]);
/// // A good while later, with the smallest.
/// backoff.opened_for(Duration::from_secs(90));
/// let waits: Vec<u64> = (0..5).map(|_| backoff.next_wait(0).as_secs()).collect();
/// assert_eq!(waits, [0, 5, 10, 20, 30]);
/// ```
///
/// A thousand clients whose server has gone come back one by one: the first wait is random between nothing and 5 s, the
/// others between half their bound and their bound, which doubles with each attempt up to the cap. So those who come for the
/// second time do not meet those who come for the first, and of all clients a fifth come in any second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The bound of the first wait. Default: 5 s, of RFC 6455, section 7.2.3.
    pub first: Duration,
    /// No wait is longer. Default: 60 s.
    pub cap: Duration,
    /// After a connection that was open for so long the waits begin anew. Default: 60 s.
    pub settled: Duration,
    /// Waits since a connection has settled.
    waits: u32,
}

impl Backoff {
    /// The time to wait before the next attempt. `random` is any number, each as likely as the others.
    pub fn next_wait(&mut self, random: u64) -> Duration {
        let is_first = self.waits == 0;
        let doubled = 2_u32.checked_pow(self.waits).map_or(Duration::MAX, |factor| self.first.saturating_mul(factor));
        self.waits = self.waits.saturating_add(1);
        let bound = doubled.min(self.cap).as_nanos().min(u64::MAX.into()) as u64;
        let least = if is_first { 0 } else { bound / 2 };
        // The upper half of the product is the random share.
        let share = (u128::from(bound - least) * (u128::from(random) + 1)) >> 64;
        Duration::from_nanos(least + share as u64)
    }

    /// Takes notice that a connection has ended that was open for `time`.
    pub fn opened_for(&mut self, time: Duration) {
        if time >= self.settled {
            self.waits = 0;
        }
    }
}

impl Default for Backoff {
    fn default() -> Self {
        let minute = Duration::from_secs(60);
        Self { first: Duration::from_secs(5), cap: minute, settled: minute, waits: 0 }
    }
}

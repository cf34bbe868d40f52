//! Log records of what peers do: bounded in number, so that a flood of bad requests is not a flood of lines as well.

use std::fmt;
use std::time::{Duration, Instant};

use log::Level;
use parking_lot::Mutex;

/// Writes a few records a second, and counts the others.
#[derive(Debug)]
pub(crate) struct Journal {
    quota: Mutex<Quota>,
}

#[derive(Debug)]
struct Quota {
    /// When the second began that is counted.
    since: Instant,
    written: u32,
    left_out: u64,
}

impl Journal {
    pub(crate) fn new() -> Self {
        Self { quota: Mutex::new(Quota { since: Instant::now(), written: 0, left_out: 0 }) }
    }

    /// Writes a record, if there is room for it.
    pub(crate) fn note(&self, level: Level, record: fmt::Arguments<'_>) {
        if !log::log_enabled!(level) {
            return;
        }
        match self.quota.lock().take(Instant::now()) {
            Some(0) => log::log!(level, "{record}"),
            Some(left_out) => log::log!(level, "{record} ({left_out} records were left out before)"),
            None => {}
        }
    }
}

impl Quota {
    /// Gives the number of records left out before this one; `None`: this one is left out as well.
    fn take(&mut self, now: Instant) -> Option<u64> {
        if now.saturating_duration_since(self.since) >= Duration::from_secs(1) {
            self.since = now;
            self.written = 0;
        }
        if self.written >= A_SECOND {
            self.left_out += 1;
            return None;
        }
        self.written += 1;
        Some(std::mem::take(&mut self.left_out))
    }
}

/// Records that are written in a second.
const A_SECOND: u32 = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_counted_and_told_later() {
        let start = Instant::now();
        let mut quota = Quota { since: start, written: 0, left_out: 0 };
        let written = (0..100_000).filter(|_| quota.take(start).is_some()).count();
        assert_eq!(written, 20);
        assert_eq!(quota.take(start + Duration::from_secs(1)), Some(99_980));
        assert_eq!(quota.take(start + Duration::from_secs(1)), Some(0));
    }
}

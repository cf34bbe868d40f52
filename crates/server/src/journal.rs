//! Log records of what peers do: bounded in number, so that a flood of bad requests is not a flood of lines as well; and
//! each a line of its own, bounded in length, whatever a peer has had the application say.

use std::fmt::{self, Write};
use std::panic::catch_unwind;
use std::time::{Duration, Instant};

use log::Level;
use parking_lot::Mutex;
use raddle_socket::{End, bury};

use crate::registry::ConnectionId;

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

    /// Writes how a connection has ended, if there is room for it.
    pub(crate) fn note_end(&self, id: ConnectionId, end: &End) {
        self.note(Level::Debug, format_args!("connection {id} has ended: {end}"));
    }

    /// Writes a record, if there is room for it.
    pub(crate) fn note(&self, level: Level, record: fmt::Arguments<'_>) {
        if !log::log_enabled!(level) {
            return;
        }
        let Some(left_out) = self.quota.lock().take(Instant::now()) else { return };
        let line = Line::of(record);
        // The log's code is the application's: a panic in it is not to end the thread that serves the others.
        let logged = catch_unwind(|| match left_out {
            0 => log::log!(level, "{line}"),
            left_out => log::log!(level, "{line} ({left_out} records were left out before)"),
        });
        if let Err(panic) = logged {
            bury(panic);
        }
    }
}

/// A record without control characters, cut where it is too long.
struct Line(String);

impl Line {
    fn of(record: fmt::Arguments<'_>) -> Self {
        let mut line = Self(String::new());
        if line.write_fmt(record).is_err() {
            line.0.push_str("...");
        }
        line
    }
}

impl Write for Line {
    /// Fails once the line is full.
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for char in text.chars() {
            if self.0.len() >= LINE {
                return Err(fmt::Error);
            }
            // The last two end a line for some that read it.
            if char.is_control() || matches!(char, '\u{2028}' | '\u{2029}') {
                self.0.extend(char.escape_default());
            } else {
                self.0.push(char);
            }
        }
        Ok(())
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
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
/// Bytes after which a record is cut.
const LINE: usize = 240;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_one_line_of_bounded_length() {
        let line = |text: &str| Line::of(format_args!("said: {text}")).0;
        assert_eq!(line("caf\u{e9} \\ \"x\""), "said: caf\u{e9} \\ \"x\"");
        assert_eq!(line("a\r\n\x1b[31m\0\u{85}\u{2028}"), r"said: a\r\n\u{1b}[31m\u{0}\u{85}\u{2028}");
        assert_eq!(line(&"\u{20ac}".repeat(100_000)), format!("said: {}...", "\u{20ac}".repeat(78)));
        assert_eq!(line(&"x".repeat(234)), format!("said: {}", "x".repeat(234)));
    }

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

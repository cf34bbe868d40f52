//! The farewell of a server that is stopped: Close 1001 to all, at once or spread over a time, and then the cut.

use std::time::{Duration, Instant};

use raddle_socket::{Cause, Close, CloseCode, WeakWriter, Writer};

use crate::shared::Shared;

/// When a server that is stopped does what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stop {
    /// The connections that are left are cut.
    pub(crate) cut_at: Instant,
    /// The last connection gets its Close; they get it one after the other until then.
    pub(crate) closed_by: Instant,
}

/// The connections that were there when the server was stopped, on their way out.
#[derive(Debug)]
pub(crate) struct Farewell {
    stop: Stop,
    begun: Instant,
    open: Vec<WeakWriter>,
    /// How many there were.
    total: usize,
}

impl Farewell {
    /// Begins with the connections of the registry: whoever opens one later closes it itself.
    pub(crate) fn new(shared: &Shared, stop: Stop) -> Self {
        let open: Vec<_> = shared.books.registry.writers().iter().map(Writer::downgrade).collect();
        Self { stop, begun: Instant::now(), total: open.len(), open }
    }

    /// The server was stopped again.
    pub(crate) fn hasten(&mut self, stop: Stop) {
        self.stop = stop;
    }

    /// Closes those whose turn it is, and cuts all when the grace is over: `true`.
    pub(crate) fn advance(&mut self, shared: &Shared, now: Instant) -> bool {
        if now >= self.stop.cut_at {
            shared.books.registry.writers().iter().for_each(|writer| writer.cut(Cause::Shutdown));
            return true;
        }
        let time = self.stop.closed_by.saturating_duration_since(self.begun);
        let passed = now.saturating_duration_since(self.begun);
        let share = if time.is_zero() { 1.0 } else { (passed.as_secs_f64() / time.as_secs_f64()).min(1.0) };
        let left = self.total - (self.total as f64 * share) as usize;
        for writer in self.open.drain(left.min(self.open.len())..).filter_map(|writer| writer.upgrade()) {
            close(&writer);
        }
        false
    }
}

impl Stop {
    /// Stops at once, and leaves `grace` for the closing handshakes.
    pub(crate) fn within(grace: Duration) -> Self {
        let now = Instant::now();
        Self { cut_at: after(now, grace), closed_by: now }
    }

    /// Stops with the Closes spread over `time`, of a `grace` that is not shorter.
    pub(crate) fn spread(grace: Duration, time: Duration) -> Self {
        let now = Instant::now();
        Self { cut_at: after(now, grace), closed_by: after(now, time.min(grace)) }
    }

    /// The one that is done earlier.
    pub(crate) fn min(self, other: Self) -> Self {
        Self { cut_at: self.cut_at.min(other.cut_at), closed_by: self.closed_by.min(other.closed_by) }
    }
}

/// Tells a client that the server goes down.
pub(crate) fn close(writer: &Writer) {
    // It fails where the connection ends anyway.
    let _ = writer.close_for(Close { code: CloseCode::GOING_AWAY, reason: "the server stops" }, Cause::Shutdown);
}

/// The farewell of a server that has no lobby, but connections that it has adopted.
pub(crate) fn without_lobby(writers: &[Writer], stop: Stop) {
    for writer in writers {
        close(writer);
        writer.cut_within(stop.cut_at.saturating_duration_since(Instant::now()));
    }
}

/// Tells a client that another connection has its place.
pub(crate) fn replace(writer: &Writer) {
    let _ = writer.close_for(Close { code: CloseCode::CONFLICT, reason: CONNECTED_ALREADY }, Cause::Replaced);
}

/// The reason of a Close 4409.
pub(crate) const CONNECTED_ALREADY: &str = "this client is connected already";

/// A time that may be as long as one likes.
pub(crate) fn after(now: Instant, time: Duration) -> Instant {
    now.checked_add(time).unwrap_or_else(|| now + FAR)
}

/// A century.
pub(crate) const FAR: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

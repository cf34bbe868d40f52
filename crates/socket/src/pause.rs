//! Pausing: a peer that is not read feels that as back-pressure, until the application wants more of it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::MutexGuard;

use crate::bell::Bell;
use crate::end::Cause;
use crate::flags::Flag;
use crate::link::Link;
use crate::outgoing::Outgoing;
use crate::receiving::Until;
use crate::sys;
use crate::writer::Writer;

/// Whether what the peer sends is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// It is, and delivered.
    Wanted,
    /// It is not.
    Paused,
    /// It is, for the peer's Close: what comes before it is dropped, for the application has paused.
    ForClose,
}

/// What has ended the wait of a reader that is paused.
pub(crate) enum Paused {
    /// It is no more.
    No(Reading),
    Timeout,
    Signal,
}

impl Writer {
    /// Has nothing more read of the peer until [`resume_reading`](Self::resume_reading): what it sends stays in the socket, and
    /// it feels that as back-pressure. From any thread; called again, it changes nothing.
    ///
    /// On the thread that receives the messages none follows, be it one that has arrived already: a [`Reader`](crate::Reader)
    /// waits, and a handler of the pool is not called. The events that one poll of an event loop has found are given to the
    /// last one. From another thread it may be too late for the message that is just being delivered.
    ///
    /// The peer's Pings and its Close are not read either. Keepalive asks as ever, and takes a peer for alive of which
    /// anything waits to be read. When this side closes the connection, it is read for the peer's Close, and messages that
    /// come before that are dropped.
    pub fn pause_reading(&self) {
        self.link().flags.raise(Flag::Paused);
    }

    /// Has the peer read again: what it has sent meanwhile is delivered, in order. From any thread; does nothing where reading
    /// is not paused.
    pub fn resume_reading(&self) {
        let link = self.link();
        if link.flags.lower(Flag::Paused) {
            if let Some(aside) = &mut link.outgoing.lock().aside {
                // Only now is what came before it delivered, and can be answered.
                aside.last_word_at = None;
            }
            link.go_on_reading();
        }
    }

    /// Tells whether [`pause_reading`](Self::pause_reading) was called, and was not taken back.
    pub fn is_reading_paused(&self) -> bool {
        self.link().is_paused()
    }
}

impl Link {
    pub(crate) fn is_paused(&self) -> bool {
        self.flags.has(Flag::Paused)
    }

    pub(crate) fn reading(&self) -> Reading {
        if self.is_paused() { self.reading_with(&self.outgoing.lock()) } else { Reading::Wanted }
    }

    pub(crate) fn reading_with(&self, outgoing: &Outgoing) -> Reading {
        if !self.is_paused() {
            Reading::Wanted
        } else if outgoing.ended || outgoing.sender.is_closed() && outgoing.received().is_none() {
            Reading::ForClose
        } else {
            Reading::Paused
        }
    }

    /// Has whoever reads look again: reading is wanted, or the peer's Close is.
    pub(crate) fn go_on_reading(self: &Arc<Self>) {
        let outgoing = self.outgoing.lock();
        self.turn.notify_all();
        outgoing.ring();
        if let Some((driver, key)) = &outgoing.driver {
            driver.input_is_wanted(*key);
        } else {
            drop(outgoing);
            // Of a reader that is away.
            self.attend();
        }
    }

    /// For the reader: waits while reading is paused, at most as long as `until` says.
    pub(crate) fn await_reading(self: &Arc<Self>, until: Until) -> Result<Paused, Cause> {
        let reading = self.reading();
        if reading != Reading::Paused {
            return Ok(Paused::No(reading));
        }
        self.cork.pull();
        if self.cork.is_held() {
            self.flush();
        }
        // What is not read cannot be late.
        self.pause_message();
        let mut outgoing = self.outgoing.lock();
        let paused = self.wait_paused(&mut outgoing, until);
        if outgoing.aside.as_mut().and_then(|aside| aside.bell.take()).is_some() {
            outgoing.tidy();
        }
        drop(outgoing);
        self.resume_message();
        paused.map_err(|error| Cause::Io(error.kind()))
    }

    fn wait_paused(&self, outgoing: &mut MutexGuard<'_, Outgoing>, until: Until) -> io::Result<Paused> {
        loop {
            let reading = self.reading_with(outgoing);
            if reading != Reading::Paused {
                return Ok(Paused::No(reading));
            }
            let left = until.latest().map(|latest| latest.saturating_sub(sys::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(Paused::Timeout);
            }
            if !until.signal {
                match left {
                    Some(left) => drop(self.turn.wait_for(outgoing, left)),
                    None => self.turn.wait(outgoing),
                }
                continue;
            }
            // A signal does not end the wait for a turn.
            let mut bell = outgoing.aside().bell.clone();
            if bell.is_none() {
                // `None` then too: there is no descriptor left.
                bell = Bell::new().ok().map(Arc::new);
                outgoing.aside().bell.clone_from(&bell);
            }
            let waited = MutexGuard::unlocked(outgoing, || match bell {
                Some(bell) => bell.wait(left),
                None => sys::pause(left.unwrap_or(LOOK_AGAIN).min(LOOK_AGAIN)),
            });
            match waited {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(Paused::Signal),
                waited => waited?,
            }
        }
    }
}

/// How long a paused reader sleeps that cannot be rung for: soon enough not to be missed.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

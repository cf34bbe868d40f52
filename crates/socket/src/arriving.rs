//! The time that a message takes to arrive: counted from its first byte, and not while its reader is away.

use std::time::Duration;

use crate::flags::Flag;
use crate::link::Link;
use crate::outgoing::Outgoing;
use crate::sys;

/// A message that has begun and is not complete.
#[derive(Clone, Copy)]
pub(crate) struct Arriving {
    since: Duration,
    /// The count of bytes then.
    from: u64,
    /// When the reader went away; `None`: it is there.
    paused: Option<Duration>,
}

/// Called by whoever parses, one at a time. `is_arriving` says whether there is such a message, so that the lock is taken for
/// those messages only that are torn.
impl Link {
    /// Notes before a read that a message has begun that is not complete.
    pub(crate) fn note_amid_message(&self) {
        if !self.flags.has(Flag::Arriving) {
            let arriving = Arriving { since: self.counters.last_heard(), from: self.counters.bytes(), paused: None };
            self.outgoing.lock().aside().arriving = Some(arriving);
            self.flags.raise(Flag::Arriving);
        }
    }

    /// Notes that the message is complete.
    #[inline]
    pub(crate) fn note_message_complete(&self) {
        if self.flags.has(Flag::Arriving) {
            self.forget_arriving();
        }
    }

    #[inline(never)]
    fn forget_arriving(&self) {
        self.flags.lower(Flag::Arriving);
        let mut outgoing = self.outgoing.lock();
        outgoing.aside().arriving = None;
        outgoing.tidy();
    }

    /// Notes that the reader goes away amid a message: the time that it is away does not count.
    pub(crate) fn pause_message(&self) {
        self.change_arriving(|arriving| {
            arriving.paused.get_or_insert_with(sys::coarse_now);
        });
    }

    /// Notes that the reader is back.
    #[inline]
    pub(crate) fn resume_message(&self) {
        self.change_arriving(|arriving| {
            if let Some(paused) = arriving.paused.take() {
                arriving.since += sys::coarse_now().saturating_sub(paused);
            }
        });
    }

    /// When the message has to be complete that is being waited for, with what has come of it.
    pub(crate) fn message_deadline(&self, outgoing: &Outgoing) -> Option<Duration> {
        let arriving = outgoing.arriving().filter(|arriving| arriving.paused.is_none())?;
        let received = self.counters.bytes().saturating_sub(arriving.from);
        Some(arriving.since.saturating_add(self.options.allowed(self.options.message_timeout, received)))
    }

    #[inline]
    fn change_arriving(&self, change: impl FnOnce(&mut Arriving)) {
        if self.flags.has(Flag::Arriving) {
            self.change_arriving_now(change);
        }
    }

    #[inline(never)]
    fn change_arriving_now(&self, change: impl FnOnce(&mut Arriving)) {
        if let Some(arriving) = &mut self.outgoing.lock().aside().arriving {
            change(arriving);
        }
    }
}

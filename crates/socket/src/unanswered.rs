//! Messages that are answered later, by another thread than the one that gets them: the peer's last word waits until they are.
//!
//! Whoever answers a message within its call has answered before the next one is looked at. A program that hands messages to other
//! threads has not, and a peer that says "and now close" right behind its question would never get the answer: the connection
//! would have sent its Close by then, which nothing follows.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use crate::flags::Flag;
use crate::link::Link;
use crate::writer::Writer;

/// Something that a connection has received is not answered yet, until this is dropped. See [`Writer::answer_later`].
#[must_use = "dropped, it says that the answer was sent"]
pub struct Unanswered {
    link: Arc<Link>,
}

impl Writer {
    /// Says that what was just received is answered later, on another thread, which drops the result behind its answer. Until
    /// then the event loop that reads the connection leaves the peer's last word alone: its Close, the end of its stream, and
    /// what fails the connection. More messages come meanwhile. Any number of these may be held.
    ///
    /// A Close of our own ends that: nothing can be answered behind it. So does what breaks the connection, and keepalive.
    ///
    /// Where a thread has the connection to itself, as in engine `threads`, this changes nothing: what comes behind a message
    /// waits until that thread asks for more.
    pub fn answer_later(&self) -> Unanswered {
        self.link().unanswered.fetch_add(1, Ordering::Relaxed);
        Unanswered { link: Arc::clone(self.link()) }
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        if self.link.unanswered.fetch_sub(1, Ordering::Release) == 1 {
            // Whoever reads puts its mark up, and looks once more: one of us sees the other.
            fence(Ordering::SeqCst);
            if self.link.flags.lower(Flag::EndWaits) {
                self.link.go_on_reading();
            }
        }
    }
}

impl Link {
    pub(crate) fn is_unanswered(&self) -> bool {
        self.unanswered.load(Ordering::Relaxed) > 0
    }

    /// For the event loop, at the peer's last word: tells whether that has to wait. If so, the loop is told when it need not any
    /// more.
    pub(crate) fn puts_end_off(&self) -> bool {
        if !self.is_unanswered() {
            return false;
        }
        self.flags.raise(Flag::EndWaits);
        fence(Ordering::SeqCst);
        // Nothing can be sent behind our Close. Whoever sends that finds the mark.
        self.is_unanswered() && !self.outgoing.lock().is_closed()
    }
}

impl fmt::Debug for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unanswered").finish_non_exhaustive()
    }
}

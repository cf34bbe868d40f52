//! Where readers are: what a sweep finds of a connection's reader in, what is to be done for the connection out.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Weak};

use super::Task;
use crate::flags::Flag;
use crate::link::Link;

/// How long a connection's reader has been where it is.
pub(super) struct Watcher {
    pub(super) link: Weak<Link>,
    /// The reader's visit at the last sweep.
    pub(super) visit: u32,
    /// Sweeps that have found the same visit.
    pub(super) sweeps: u32,
    pub(super) attended: bool,
}

impl Watcher {
    /// Looks where the reader is; `false` where there is no need to look again.
    pub(super) fn look(&mut self, due: &mut Vec<Task>) -> bool {
        let Some(link) = self.link.upgrade() else { return false };
        let listing = link.listing.0.load(Ordering::Relaxed);
        let (visit, away) = (link.inbound.visits(), link.inbound.is_away());
        let mut task: fn(Arc<Link>) -> Task = Task::Nothing;
        let mut again = listing != ENDED;
        if link.flags.has(Flag::Driven) {
            if again {
                link.listing.0.store(UNLISTED, Ordering::Relaxed);
            }
            due.push(Task::Nothing(link));
            return false;
        }
        if visit != self.visit {
            (self.visit, self.sweeps, self.attended) = (visit, 0, false);
        } else if away {
            // It was away all the time since the last sweep.
            if !self.attended {
                task = Task::Attend;
            }
            // A socket that cannot be watched is looked at each time.
            self.attended = link.transport.descriptor().is_some();
        } else {
            // It waits for its peer. A connection is taken off the list in two steps, so that a reader that goes away
            // between them, and does not see that it is being taken off, is seen in the second.
            self.sweeps += 1;
            match listing {
                LISTED if self.sweeps >= PATIENCE => link.listing.0.store(LEAVING, Ordering::Relaxed),
                LEAVING => {
                    link.listing.0.store(UNLISTED, Ordering::Relaxed);
                    again = false;
                }
                _ => {}
            }
        }
        if listing == LEAVING && again {
            link.listing.0.store(LISTED, Ordering::Relaxed);
        }
        due.push(task(link));
        again
    }
}

/// Whether it is looked where a connection's reader is. Changed under the lock of the attendant's tasks only.
#[derive(Debug)]
pub(crate) struct Listing(pub(super) AtomicU8);

impl Listing {
    /// Tells whether the attendant will see when the reader stays away.
    pub(crate) fn is_listed(&self) -> bool {
        self.0.load(Ordering::Relaxed) == LISTED
    }
}

impl Default for Listing {
    fn default() -> Self {
        Self(AtomicU8::new(UNLISTED))
    }
}

pub(super) const UNLISTED: u8 = 0;
pub(super) const LISTED: u8 = 1;
/// Still on the list, and off it at the next sweep.
const LEAVING: u8 = 2;
/// The connection has ended.
pub(super) const ENDED: u8 = 3;

/// After so many sweeps, 5 s, a reader that waits for its peer is looked for no more.
const PATIENCE: u32 = 40;

//! A budget: the bytes that many connections may have buffered together, and which of them goes where that is not enough.
//!
//! What is counted is what stays: of a message that is not complete when all was read that had arrived, of messages that wait
//! for their reader, of output that waits for its peer. A message that passes costs nothing.

use std::cmp::Reverse;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use raddle_core::{Close, CloseCode};

use crate::attendant::Attendant;
use crate::end::Cause;
use crate::lease::Ahead;
use crate::link::Link;
use crate::outgoing::Outgoing;

/// The bytes that the connections which share it may have buffered together. Clones are the same budget.
///
/// Where there are more, the connection that has the most is closed with 1013 (try again later), and then the next, until it
/// is enough: within a moment, by a thread of the library. What these have counts no more, and is given back within a second.
/// Of each connection, what it has received and what it is to send are counted in steps of 4 KiB, rounded down.
#[derive(Clone)]
pub struct Budget {
    purse: Arc<Purse>,
}

struct Purse {
    limit: usize,
    used: AtomicUsize,
    holders: Mutex<Holders>,
    /// The attendant was told to look.
    is_to_be_seen: AtomicBool,
}

/// The connections that have something buffered, or had lately.
struct Holders {
    all: Vec<Weak<Link>>,
    /// With so many, those that have nothing any more are forgotten.
    sweep_at: usize,
}

/// What a connection has of its budget.
#[derive(Debug, Default)]
pub(crate) struct Share {
    /// Of what was received, in grains. Changed by whoever parses, one at a time, and when the connection goes.
    input: AtomicU32,
    /// Of what is to be sent. Changed under the lock of the output.
    output: AtomicU32,
    /// It is among the holders.
    is_listed: AtomicBool,
}

impl Budget {
    /// A budget of so many bytes.
    pub fn new(limit: usize) -> Self {
        let holders = Mutex::new(Holders { all: Vec::new(), sweep_at: LEAST_SWEEP });
        let is_to_be_seen = AtomicBool::new(false);
        Self { purse: Arc::new(Purse { limit, used: AtomicUsize::new(0), holders, is_to_be_seen }) }
    }

    /// The bytes that there may be.
    pub fn limit(&self) -> usize {
        self.purse.limit
    }

    /// The bytes that there are.
    pub fn used(&self) -> usize {
        self.purse.used.load(Ordering::Relaxed)
    }

    fn is_exceeded(&self) -> bool {
        self.used() > self.limit()
    }

    /// Counts that a connection has `bytes` in a place of its share.
    fn count(&self, link: &Arc<Link>, place: &AtomicU32, bytes: usize) {
        let grains = u32::try_from(bytes / GRAIN).unwrap_or(u32::MAX);
        let before = place.swap(grains, Ordering::SeqCst);
        if grains <= before {
            return self.give_back(before - grains);
        }
        self.purse.used.fetch_add((grains - before) as usize * GRAIN, Ordering::Relaxed);
        let is_crowded = !link.share.is_listed.load(Ordering::SeqCst) && self.list(link);
        if is_crowded || self.is_exceeded() {
            self.call();
        }
    }

    fn give_back(&self, grains: u32) {
        self.purse.used.fetch_sub(grains as usize * GRAIN, Ordering::Relaxed);
    }

    /// Enters a connection among the holders. `true`: there are so many that somebody should look.
    fn list(&self, link: &Arc<Link>) -> bool {
        let holders = &mut *self.purse.holders.lock();
        if !link.share.is_listed.swap(true, Ordering::SeqCst) {
            holders.all.push(Arc::downgrade(link));
        }
        holders.all.len() >= holders.sweep_at
    }

    /// Has the attendant look: whoever counts may have its connection locked, and those that go are others.
    fn call(&self) {
        if !self.purse.is_to_be_seen.swap(true, Ordering::SeqCst) {
            Attendant::get().look_after(self);
        }
    }

    /// For the attendant: forgets those that have nothing any more, and has those go that have the most, until there is enough.
    pub(crate) fn relieve(&self) {
        self.purse.is_to_be_seen.store(false, Ordering::SeqCst);
        let mut known = Vec::new();
        {
            let holders = &mut *self.purse.holders.lock();
            holders.all.retain(|holder| {
                let Some(link) = holder.upgrade() else { return false };
                let stays = link.share.stays_listed();
                // Dropped without the lock: it may be the last handle.
                known.push((link.share.grains(), link));
                stays
            });
            holders.sweep_at = (2 * holders.all.len()).max(LEAST_SWEEP);
        }
        known.sort_unstable_by_key(|(grains, _)| Reverse(*grains));
        for (grains, link) in &known {
            if *grains == 0 || !self.is_exceeded() {
                break;
            }
            link.give_up_for_budget();
        }
    }
}

impl Share {
    fn grains(&self) -> u64 {
        u64::from(self.input.load(Ordering::SeqCst)) + u64::from(self.output.load(Ordering::SeqCst))
    }

    /// Under the lock of the holders: takes a connection off the list that has nothing, unless it has something just now.
    fn stays_listed(&self) -> bool {
        self.is_listed.store(false, Ordering::SeqCst);
        // Whoever counts meanwhile sees that it is to be listed, or is seen here.
        let stays = self.grains() > 0;
        if stays {
            self.is_listed.store(true, Ordering::SeqCst);
        }
        stays
    }
}

impl Link {
    /// Notes that so many bytes that were received stay. By whoever parses.
    #[inline]
    pub(crate) fn count_input(self: &Arc<Self>, bytes: usize) {
        if bytes >= GRAIN || self.share.input.load(Ordering::Relaxed) > 0 {
            self.count(&self.share.input, bytes);
        }
    }

    /// Notes what is to be sent and stays.
    #[inline]
    pub(crate) fn count_output(self: &Arc<Self>, outgoing: &Outgoing) {
        let bytes = outgoing.queued();
        if bytes >= GRAIN || self.share.output.load(Ordering::Relaxed) > 0 {
            self.count(&self.share.output, bytes);
        }
    }

    #[inline(never)]
    fn count(self: &Arc<Self>, place: &AtomicU32, bytes: usize) {
        if let Some(budget) = &self.options.budget {
            // What a connection has that was given up does not count any more.
            let is_given_up = self.is_given_up.load(Ordering::SeqCst);
            budget.count(self, place, if is_given_up { 0 } else { bytes });
        }
    }

    /// Counts nothing more of a connection that has ended, or is about to.
    pub(crate) fn give_share_back(&self) {
        let grains = [&self.share.input, &self.share.output].map(|place| place.swap(0, Ordering::SeqCst));
        if let Some(budget) = &self.options.budget {
            grains.into_iter().for_each(|grains| budget.give_back(grains));
        }
    }

    fn give_up_for_budget(self: &Arc<Self>) {
        let mut outgoing = self.outgoing.lock();
        if !outgoing.ended {
            let close = Close { code: CloseCode::TRY_AGAIN, reason: "too much is buffered" };
            self.give_up(&mut outgoing, Cause::OverBudget, close);
            drop(outgoing);
            // What waits for a reader that is away.
            self.inbound.deputise(|deputy| {
                deputy.ahead.clear();
                deputy.ahead.push_back(Ahead::End(Cause::OverBudget));
                deputy.receiver = self.new_inbound().receiver;
            });
        }
        self.give_share_back();
    }
}

impl PartialEq for Budget {
    /// Tells whether they are the same budget.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.purse, &other.purse)
    }
}

impl Eq for Budget {}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budget").field("limit", &self.limit()).field("used", &self.used()).finish()
    }
}

/// What is counted in one.
const GRAIN: usize = 4 * 1024;
/// So many holders are not worth looking for those that are none any more.
const LEAST_SWEEP: usize = 1024;

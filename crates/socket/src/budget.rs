//! A budget: the bytes that many connections may have buffered together, and which of them goes where that is not enough.
//!
//! What is counted is what stays: of a message that is not complete when all was read that had arrived, of messages that wait
//! for their reader, of output that waits for its peer. A message that passes costs nothing.

use std::cmp::Reverse;
use std::fmt;
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use raddle_core::{Close, CloseCode};

use crate::attendant::Attendant;
use crate::end::Cause;
use crate::flags::Flag;
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

/// What a connection has of its budget, in grains.
#[derive(Debug, Default)]
pub(crate) struct Share {
    /// Of what was received.
    input: u32,
    /// Of what is to be sent.
    output: u32,
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

    /// Counts that a connection, whose output is locked, has so many grains more or fewer.
    fn count(&self, link: &Arc<Link>, before: u32, after: u32) {
        if after <= before {
            return self.give_back((before - after).into());
        }
        self.purse.used.fetch_add((after - before) as usize * GRAIN, Ordering::Relaxed);
        let is_crowded = link.flags.raise(Flag::Listed) && {
            let holders = &mut *self.purse.holders.lock();
            holders.all.push(Arc::downgrade(link));
            holders.all.len() >= holders.sweep_at
        };
        if is_crowded || self.is_exceeded() {
            self.call();
        }
    }

    fn give_back(&self, grains: u64) {
        self.purse.used.fetch_sub(grains as usize * GRAIN, Ordering::Relaxed);
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
        let all = mem::take(&mut self.purse.holders.lock().all);
        let mut known = Vec::with_capacity(all.len());
        for link in all.into_iter().filter_map(|holder| holder.upgrade()) {
            let outgoing = link.outgoing.lock();
            let grains = outgoing.share().map_or(0, Share::grains);
            if grains == 0 {
                link.flags.lower(Flag::Listed);
            }
            drop(outgoing);
            known.push((grains, link));
        }
        {
            let holders = &mut *self.purse.holders.lock();
            holders.all.extend(known.iter().filter(|(grains, _)| *grains > 0).map(|(_, link)| Arc::downgrade(link)));
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
        u64::from(self.input) + u64::from(self.output)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.grains() == 0
    }

    pub(crate) fn return_to(&mut self, budget: &Budget) {
        budget.give_back(mem::take(self).grains());
    }
}

impl Link {
    /// Notes that so many bytes that were received stay. By whoever parses.
    #[inline]
    pub(crate) fn count_input(self: &Arc<Self>, bytes: usize) {
        if bytes >= GRAIN || self.flags.has(Flag::HoldsInput) {
            let grains = grains(bytes);
            let outgoing = &mut *self.outgoing.lock();
            self.count(outgoing, |share| &mut share.input, grains);
            if grains > 0 {
                self.flags.raise(Flag::HoldsInput);
            } else {
                self.flags.lower(Flag::HoldsInput);
                outgoing.tidy();
            }
        }
    }

    /// Notes what is to be sent and stays.
    #[inline]
    pub(crate) fn count_output(self: &Arc<Self>, outgoing: &mut Outgoing) {
        let bytes = outgoing.queued();
        if bytes >= GRAIN || outgoing.share().is_some_and(|share| share.output > 0) {
            self.count(outgoing, |share| &mut share.output, grains(bytes));
        }
    }

    #[inline(never)]
    fn count(self: &Arc<Self>, outgoing: &mut Outgoing, place: impl FnOnce(&mut Share) -> &mut u32, grains: u32) {
        // What a connection has that was given up does not count any more.
        if let Some(budget) = &self.options.budget
            && !outgoing.ended
            && !self.flags.has(Flag::GivenUp)
        {
            let before = mem::replace(place(&mut outgoing.aside().share), grains);
            budget.count(self, before, grains);
        }
    }

    /// Counts nothing more of a connection that has ended, or is about to.
    pub(crate) fn give_share_back(&self, outgoing: &mut Outgoing) {
        if let (Some(budget), Some(aside)) = (&self.options.budget, &mut outgoing.aside) {
            aside.share.return_to(budget);
        }
    }

    fn give_up_for_budget(self: &Arc<Self>) {
        let mut outgoing = self.outgoing.lock();
        if !outgoing.ended {
            let close = Close { code: CloseCode::TRY_AGAIN, reason: "too much is buffered" };
            self.give_up(&mut outgoing, Cause::OverBudget, close);
            self.give_share_back(&mut outgoing);
            drop(outgoing);
            // What waits for a reader that is away.
            self.inbound.deputise(|deputy| {
                deputy.ahead.clear();
                deputy.ahead.push_back(Ahead::End(Cause::OverBudget));
                deputy.receiver = self.new_inbound().receiver;
            });
        }
    }
}

fn grains(bytes: usize) -> u32 {
    u32::try_from(bytes / GRAIN).unwrap_or(u32::MAX)
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

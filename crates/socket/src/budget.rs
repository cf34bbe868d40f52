//! A budget: the bytes that many connections may have buffered together, and which of them goes where that is not enough.
//!
//! What is counted is what stays: of a message that is not complete when all was read that had arrived, of messages that wait
//! for their reader, of output that waits for its peer. A message that passes costs nothing. Where an event loop has taken memory for
//! the rest of a message, that counts too, as far as the message needs it.

use std::collections::BinaryHeap;
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
/// is enough. What these have counts no more, and is given back within a second.
///
/// A thread that has received what is too much sees to that before it reads on, and others that have wait for it: so what was
/// received passes the budget by one read of each thread that reads, which brings at most as much again as its connection has,
/// and 256 KiB; or by the rest of a message for which an event loop has memory at hand. A thread that sends, or a reader that is away, leaves it to a thread of the library, within a moment; until then
/// what is sent is bounded by the outgoing limits. Of each connection, what it has received and what it is to send are counted in
/// steps of 4 KiB, rounded down: less than 8 KiB of each are not counted.
#[derive(Clone)]
pub struct Budget {
    purse: Arc<Purse>,
}

struct Purse {
    limit: usize,
    used: AtomicUsize,
    holders: Mutex<Holders>,
    /// Held by whoever chooses connections that go: before any lock of these.
    relief: Mutex<()>,
    /// The attendant was told to look.
    is_to_be_seen: AtomicBool,
}

/// The connections that have something buffered, or had lately.
struct Holders {
    all: Vec<Weak<Link>>,
    /// With so many, those that have nothing any more are forgotten.
    sweep_at: usize,
}

/// A connection, as it was looked at.
struct Holder {
    link: Arc<Link>,
    /// What it had.
    grains: u64,
    /// It was given up: what there is to say and to end is left.
    goes: bool,
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
        let (used, relief) = (AtomicUsize::new(0), Mutex::new(()));
        Self { purse: Arc::new(Purse { limit, used, holders, relief, is_to_be_seen }) }
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

    /// Counts that a connection, whose output is locked, has so many grains more or fewer. `true`: these are too many.
    fn count(&self, link: &Arc<Link>, before: u32, after: u32) -> bool {
        if after <= before {
            self.give_back((before - after).into());
            return false;
        }
        self.purse.used.fetch_add((after - before) as usize * GRAIN, Ordering::Relaxed);
        let is_crowded = link.flags.raise(Flag::Listed) && {
            let holders = &mut *self.purse.holders.lock();
            holders.all.push(Arc::downgrade(link));
            holders.all.len() >= holders.sweep_at
        };
        if is_crowded {
            self.call();
        }
        self.is_exceeded()
    }

    fn give_back(&self, grains: u64) {
        self.purse.used.fetch_sub(grains as usize * GRAIN, Ordering::Relaxed);
    }

    /// Has the attendant look, for whoever has its connection locked: those that go are others.
    fn call(&self) {
        if !self.purse.is_to_be_seen.swap(true, Ordering::SeqCst) {
            Attendant::get().look_after(self);
        }
    }

    /// For whoever has received too much, and has nothing locked: has those go that have the most, before it reads on.
    fn relieve_first(&self) {
        // Another may have, meanwhile.
        self.relieve_where(Self::is_exceeded);
    }

    /// For the attendant: forgets those that have nothing any more, and has those go that have the most, until there is enough.
    pub(crate) fn relieve(&self) {
        self.purse.is_to_be_seen.store(false, Ordering::SeqCst);
        self.relieve_where(|_| true);
    }

    fn relieve_where(&self, is_needed: impl FnOnce(&Self) -> bool) {
        let relief = self.purse.relief.lock();
        let looked_at = if is_needed(self) { self.relieve_alone() } else { Vec::new() };
        drop(relief);
        // Without the lock: the end of a connection is told to the application, which may have some of the same budget. They are
        // dropped here as well: one may be the last handle.
        for holder in looked_at {
            if holder.goes {
                holder.link.carry_out_giving_up(&mut holder.link.outgoing.lock());
            }
        }
    }

    /// Gives the connections that it has looked at.
    fn relieve_alone(&self) -> Vec<Holder> {
        let all = mem::take(&mut self.purse.holders.lock().all);
        let mut known = Vec::with_capacity(all.len());
        for link in all.into_iter().filter_map(|holder| holder.upgrade()) {
            let outgoing = link.outgoing.lock();
            let grains = outgoing.share().map_or(0, Share::grains);
            if grains == 0 {
                link.flags.lower(Flag::Listed);
            }
            drop(outgoing);
            known.push(Holder { grains, link, goes: false });
        }
        {
            let holders = &mut *self.purse.holders.lock();
            let some = known.iter().filter(|holder| holder.grains > 0);
            holders.all.extend(some.map(|holder| Arc::downgrade(&holder.link)));
            holders.sweep_at = (2 * holders.all.len()).max(LEAST_SWEEP);
        }
        let mut most: BinaryHeap<_> = known.iter().enumerate().map(|(place, holder)| (holder.grains, place)).collect();
        while self.is_exceeded()
            && let Some((grains @ 1.., place)) = most.pop()
        {
            // Its share is of a moment ago: where it is smaller by now, another has the most.
            match known[place].link.give_up_for_budget(grains) {
                Ok(()) => known[place].goes = true,
                Err(fewer) => most.push((fewer, place)),
            }
        }
        known
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
    /// Notes that so many bytes that were received stay, and has connections go where these are too many. By whoever parses, and
    /// has nothing locked.
    #[inline]
    pub(crate) fn count_input(self: &Arc<Self>, bytes: usize) {
        if self.count_input_only(bytes)
            && let Some(budget) = &self.options.budget
        {
            budget.relieve_first();
        }
    }

    /// As [`count_input`](Self::count_input), for a reader that is away: leaves it to the attendant to have connections go.
    pub(crate) fn count_input_ahead(self: &Arc<Self>, bytes: usize) {
        if self.count_input_only(bytes)
            && let Some(budget) = &self.options.budget
        {
            budget.call();
        }
    }

    #[inline]
    fn count_input_only(self: &Arc<Self>, bytes: usize) -> bool {
        let mut is_exceeded = false;
        if bytes >= GRAIN || self.flags.has(Flag::HoldsInput) {
            let grains = grains(bytes);
            let outgoing = &mut *self.outgoing.lock();
            is_exceeded = self.count(outgoing, |share| &mut share.input, grains);
            if grains > 0 {
                self.flags.raise(Flag::HoldsInput);
            } else {
                self.flags.lower(Flag::HoldsInput);
                outgoing.tidy();
            }
        }
        is_exceeded
    }

    /// Notes what is to be sent and stays.
    #[inline]
    pub(crate) fn count_output(self: &Arc<Self>, outgoing: &mut Outgoing) {
        // What another thread is trying to write may come back.
        let bytes = outgoing.queued() + outgoing.tried();
        if bytes >= GRAIN || outgoing.share().is_some_and(|share| share.output > 0) {
            self.count_all_output(outgoing);
        }
    }

    /// As [`count_output`](Self::count_output), with what waits for the end of a message.
    #[inline(never)]
    pub(crate) fn count_all_output(self: &Arc<Self>, outgoing: &mut Outgoing) {
        let bytes = outgoing.queued() + outgoing.tried() + outgoing.postponed_bytes();
        let is_exceeded = self.count(outgoing, |share| &mut share.output, grains(bytes));
        if is_exceeded && let Some(budget) = &self.options.budget {
            budget.call();
        }
    }

    #[inline(never)]
    fn count(
        self: &Arc<Self>,
        outgoing: &mut Outgoing,
        place: impl FnOnce(&mut Share) -> &mut u32,
        grains: u32,
    ) -> bool {
        // What a connection has that was given up does not count any more.
        if let Some(budget) = &self.options.budget
            && !outgoing.ended
            && !self.flags.has(Flag::GivenUp)
        {
            let before = mem::replace(place(&mut outgoing.aside().share), grains);
            return budget.count(self, before, grains);
        }
        false
    }

    /// Counts nothing more of a connection that has ended, or is about to.
    pub(crate) fn give_share_back(&self, outgoing: &mut Outgoing) {
        if let (Some(budget), Some(aside)) = (&self.options.budget, &mut outgoing.aside) {
            aside.share.return_to(budget);
        }
    }

    /// Ends a connection that has at least so many grains; `Err`: it has fewer, so many.
    fn give_up_for_budget(self: &Arc<Self>, grains: u64) -> Result<(), u64> {
        let mut outgoing = self.outgoing.lock();
        let has = outgoing.share().map_or(0, Share::grains);
        if has < grains {
            return Err(has);
        }
        if !outgoing.ended {
            let close = Close { code: CloseCode::TRY_AGAIN, reason: "too much is buffered" };
            self.note_given_up(&mut outgoing, Cause::OverBudget, close);
            self.give_share_back(&mut outgoing);
            drop(outgoing);
            // What waits for a reader that is away.
            self.inbound.deputise(|deputy| {
                deputy.ahead.clear();
                deputy.ahead.push_back(Ahead::End(Cause::OverBudget));
                deputy.receiver = self.new_inbound().receiver;
            });
        }
        Ok(())
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

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use raddle_core::Role;

    use super::*;
    use crate::connection::Connection;
    use crate::link::State;
    use crate::options::Options;
    use crate::transport::Socket;

    #[test]
    fn a_connection_whose_share_has_become_smaller_does_not_go_for_what_it_had() {
        let options = Options { budget: Some(Budget::new(usize::MAX)), ..Options::default() };
        let (ours, _theirs) = UnixStream::pair().expect("a pair of sockets");
        let socket = Socket::unix(ours).expect("a socket");
        let (_reader, writer) = Connection::new(socket, Role::Server, b"", options).expect("a connection").split();
        let link = writer.link();
        link.count_input(30 * GRAIN);
        link.count_input(20 * GRAIN + 1);
        assert_eq!(link.give_up_for_budget(30), Err(20));
        assert_eq!(writer.state(), State::Open);
        assert_eq!(link.give_up_for_budget(20), Ok(()));
        assert_eq!(writer.state(), State::Closing);
    }
}

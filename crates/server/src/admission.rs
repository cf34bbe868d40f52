//! Admission: who may connect at all, decided before a byte is parsed.

use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroU64;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::farewell::FAR;

/// Counts the connections of a server, in all and by address.
#[derive(Debug)]
pub(crate) struct Admission {
    caps: Caps,
    counts: Mutex<Counts>,
}

/// How many connections there may be, those in the opening handshake included.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caps {
    /// At a time.
    pub(crate) total: usize,
    /// At a time, of one address.
    pub(crate) per_address: usize,
    /// New ones of one address.
    pub(crate) rate: Option<Rate>,
}

/// So many in any period, at once or spread over it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    pub(crate) count: u32,
    pub(crate) period: Duration,
}

#[derive(Debug)]
struct Counts {
    total: usize,
    by_address: HashMap<Network, Visits>,
    /// With so many addresses, those that need not be remembered are forgotten.
    sweep_at: usize,
}

/// What is remembered of an address.
#[derive(Debug)]
struct Visits {
    connections: usize,
    /// When the address has its whole allowance again.
    rested_at: Instant,
}

/// Why a connection is not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    Server,
    Address,
    Rate,
}

/// A place in the server, given back when dropped: by the connection when it has ended, and by the thread that serves it
/// when that is free again.
// By value, where one holder will do: each connection has one.
#[derive(Debug)]
pub(crate) enum Ticket {
    Sole(Seat),
    Shared(Arc<Seat>),
}

/// A place in the server, which counts until it is dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    /// `None`: it counts elsewhere.
    admission: Option<Arc<Admission>>,
    /// The network that it counts for; 0: none. Set once.
    address: AtomicU64,
}

/// What counts as one address: an IPv4 address, and the /64 of an IPv6 customer.
// In the 8 bytes of such a prefix, because each connection has one. An IPv4 address is taken as `0:1::/32` and its own bits, a
// prefix that is given to nobody (RFC 4291, section 2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Network(NonZeroU64);

impl Admission {
    pub(crate) fn new(caps: Caps) -> Arc<Self> {
        let counts = Counts { total: 0, by_address: HashMap::new(), sweep_at: MIN_SWEEP };
        Arc::new(Self { caps, counts: Mutex::new(counts) })
    }

    /// Gives a place to a connection whose address does not count, or is not known yet.
    pub(crate) fn admit(self: &Arc<Self>) -> Result<Ticket, Full> {
        let mut counts = self.counts.lock();
        if counts.total >= self.caps.total {
            return Err(Full::Server);
        }
        counts.total += 1;
        Ok(Ticket::of_plain(self))
    }
}

impl Ticket {
    /// Gives up the ticket of a place that has no address and no other holder; it goes on counting, until
    /// [`of_plain`](Self::of_plain) has made a ticket of that again. Gives any other back.
    pub(crate) fn into_plain(self) -> Result<(), Self> {
        match self {
            Self::Sole(mut seat) if seat.address().is_none() => {
                seat.admission = None;
                Ok(())
            }
            other => Err(other),
        }
    }

    /// The ticket of a place that counts, and has no address.
    pub(crate) fn of_plain(admission: &Arc<Admission>) -> Self {
        Self::Sole(Seat { admission: Some(Arc::clone(admission)), address: AtomicU64::new(0) })
    }

    /// Another holder's ticket for the same place.
    pub(crate) fn share(self) -> (Self, Self) {
        let seat = match self {
            Self::Sole(seat) => Arc::new(seat),
            Self::Shared(seat) => seat,
        };
        (Self::Shared(Arc::clone(&seat)), Self::Shared(seat))
    }
}

impl Deref for Ticket {
    type Target = Seat;

    fn deref(&self) -> &Seat {
        match self {
            Self::Sole(seat) => seat,
            Self::Shared(seat) => seat,
        }
    }
}

impl Seat {
    /// Counts the connection as one of `address`, for good. Called once.
    pub(crate) fn locate(&self, address: IpAddr, now: Instant) -> Result<(), Full> {
        let Some(admission) = &self.admission else { return Ok(()) };
        let caps = admission.caps;
        if caps.per_address == usize::MAX && caps.rate.is_none() {
            return Ok(());
        }
        let address = Network::of(address);
        let counts = &mut *admission.counts.lock();
        if counts.by_address.len() >= counts.sweep_at {
            counts.by_address.retain(|_, visits| visits.connections > 0 || visits.rested_at > now);
            counts.sweep_at = (2 * counts.by_address.len()).max(MIN_SWEEP);
        }
        if counts.by_address.get(&address).map_or(0, |visits| visits.connections) >= caps.per_address {
            return Err(Full::Address);
        }
        let visits = counts.by_address.entry(address).or_insert(Visits { connections: 0, rested_at: now });
        if let Some(Rate { count, period }) = caps.rate {
            // Each connection uses up its share of the period; the whole period's shares may be used at once.
            let period = period.min(FAR);
            let share = period / count.max(1);
            let rested_at = visits.rested_at.max(now) + share;
            if rested_at > now + period {
                return Err(Full::Rate);
            }
            visits.rested_at = rested_at;
        }
        visits.connections += 1;
        self.address.store(address.0.get(), Ordering::Relaxed);
        Ok(())
    }
}

impl Seat {
    fn address(&self) -> Option<Network> {
        NonZeroU64::new(self.address.load(Ordering::Relaxed)).map(Network)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let Some(admission) = &self.admission else { return };
        let mut counts = admission.counts.lock();
        counts.total -= 1;
        let Some(address) = self.address() else { return };
        if let Some(visits) = counts.by_address.get_mut(&address) {
            visits.connections -= 1;
            if visits.connections == 0 && admission.caps.rate.is_none() {
                counts.by_address.remove(&address);
            }
        }
    }
}

impl Network {
    fn of(address: IpAddr) -> Self {
        let bits = match address.to_canonical() {
            IpAddr::V4(address) => 1 << 32 | u64::from(address.to_bits()),
            IpAddr::V6(address) => (address.to_bits() >> 64) as u64,
        };
        // The loopback and what is not specified are the only addresses of the prefix 0.
        Self(NonZeroU64::new(bits).unwrap_or(NonZeroU64::MIN))
    }
}

const MIN_SWEEP: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(per_address: usize, rate: Option<Rate>) -> Arc<Admission> {
        Admission::new(Caps { total: 3, per_address, rate })
    }

    fn enter(admission: &Arc<Admission>, address: &str, now: Instant) -> Result<Ticket, Full> {
        let ticket = admission.admit()?;
        ticket.locate(address.parse().expect("an address"), now)?;
        Ok(ticket)
    }

    #[test]
    fn a_place_is_given_back_and_a_slash_64_is_one_address() {
        let now = Instant::now();
        let admission = admission(2, None);
        let first = enter(&admission, "2001:db8::1", now).expect("the first");
        let _second = enter(&admission, "2001:db8::2", now).expect("the second");
        assert_eq!(enter(&admission, "2001:db8:0:0:ffff::3", now).err(), Some(Full::Address));
        let _other = enter(&admission, "2001:db8:0:1::1", now).expect("another network");
        assert_eq!(enter(&admission, "127.0.0.1", now).err(), Some(Full::Server));
        drop(first);
        let mapped = enter(&admission, "::ffff:127.0.0.1", now).expect("a place is free again");
        assert_eq!(mapped.address(), Some(Network::of([127, 0, 0, 1].into())));
        assert_eq!(admission.counts.lock().by_address.len(), 3);
    }

    #[test]
    fn a_plain_place_counts_without_its_ticket() {
        let admission = admission(1, None);
        let plain = admission.admit().expect("a place");
        assert!(plain.into_plain().is_ok());
        assert_eq!(admission.counts.lock().total, 1);
        drop(Ticket::of_plain(&admission));
        assert_eq!(admission.counts.lock().total, 0);
        // One with an address stays what it is.
        let located = enter(&admission, "10.0.0.1", Instant::now()).expect("a place");
        let located = located.into_plain().expect_err("it counts for its address");
        assert_eq!(enter(&admission, "10.0.0.1", Instant::now()).err(), Some(Full::Address));
        let (one, other) = located.share();
        drop(one.into_plain().expect_err("it is shared"));
        drop(other);
        assert!(admission.counts.lock().by_address.is_empty());
    }

    #[test]
    fn an_address_may_use_its_allowance_at_once_and_then_waits_for_more() {
        let now = Instant::now();
        let after = |seconds| now + Duration::from_secs(seconds);
        let admission = admission(usize::MAX, Some(Rate { count: 2, period: Duration::from_secs(10) }));
        let arrive = |address, at| enter(&admission, address, at).map(drop);
        assert_eq!([arrive("10.0.0.1", now), arrive("10.0.0.1", now)], [Ok(()), Ok(())]);
        assert_eq!(arrive("10.0.0.1", now), Err(Full::Rate));
        assert_eq!(arrive("10.0.0.1", after(4)), Err(Full::Rate));
        assert_eq!(arrive("10.0.0.2", now), Ok(()), "another address has its own");
        assert_eq!(arrive("10.0.0.1", after(5)), Ok(()));
        assert_eq!(arrive("10.0.0.1", after(5)), Err(Full::Rate));
    }

    #[test]
    fn the_longest_period_is_one_too() {
        let now = Instant::now();
        let admission = admission(usize::MAX, Some(Rate { count: 2, period: Duration::MAX }));
        let arrive = || enter(&admission, "10.0.0.1", now).map(drop);
        assert_eq!([arrive(), arrive(), arrive()], [Ok(()), Ok(()), Err(Full::Rate)]);
    }

    #[test]
    fn addresses_that_have_rested_are_forgotten() {
        let now = Instant::now();
        let admission = admission(usize::MAX, Some(Rate { count: 1, period: Duration::from_secs(1) }));
        for number in 0..100_000_u32 {
            let address = IpAddr::V4(number.into());
            let ticket = admission.admit().expect("a place");
            ticket.locate(address, now + Duration::from_millis(u64::from(number))).expect("the first of its address");
        }
        assert!(admission.counts.lock().by_address.len() <= 3 * MIN_SWEEP);
    }
}

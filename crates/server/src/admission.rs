//! Admission: who may connect at all, decided before a byte is parsed.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

/// Counts the connections of a server, in all and by address.
#[derive(Debug)]
pub(crate) struct Admission {
    limits: Caps,
    counts: Mutex<Counts>,
}

/// How many connections there may be at a time, those in the opening handshake included.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caps {
    pub(crate) total: usize,
    pub(crate) per_address: usize,
}

#[derive(Debug, Default)]
struct Counts {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// Why a connection is not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    Server,
    Address,
}

/// A place in the server, given back when dropped.
#[derive(Debug)]
pub(crate) struct Ticket {
    admission: Arc<Admission>,
    address: Option<IpAddr>,
}

impl Admission {
    pub(crate) fn new(limits: Caps) -> Arc<Self> {
        Arc::new(Self { limits, counts: Mutex::default() })
    }

    /// Gives a place to a connection from `address`.
    pub(crate) fn admit(self: &Arc<Self>, address: Option<IpAddr>) -> Result<Ticket, Full> {
        let address = address.map(network);
        let mut counts = self.counts.lock();
        if counts.total >= self.limits.total {
            return Err(Full::Server);
        }
        if let Some(address) = address {
            let count = counts.by_address.entry(address).or_default();
            if *count >= self.limits.per_address {
                return Err(Full::Address);
            }
            *count += 1;
        }
        counts.total += 1;
        Ok(Ticket { admission: Arc::clone(self), address })
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut counts = self.admission.counts.lock();
        counts.total -= 1;
        if let Some(Entry::Occupied(mut count)) = self.address.map(|address| counts.by_address.entry(address)) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

/// What counts as one address: an IPv6 customer has a /64 to itself.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() & !u128::from(u64::MAX)).into()),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_given_back_and_a_slash_64_is_one_address() {
        let admission = Admission::new(Caps { total: 3, per_address: 2 });
        let at = |text: &str| Some(text.parse().expect("an address"));
        let first = admission.admit(at("2001:db8::1")).expect("the first");
        let _second = admission.admit(at("2001:db8::2")).expect("the second");
        assert_eq!(admission.admit(at("2001:db8:0:0:ffff::3")).err(), Some(Full::Address));
        let _other = admission.admit(at("2001:db8:0:1::1")).expect("another network");
        assert_eq!(admission.admit(at("127.0.0.1")).err(), Some(Full::Server));
        drop(first);
        let mapped = admission.admit(at("::ffff:127.0.0.1")).expect("a place is free again");
        assert_eq!(mapped.address, at("127.0.0.1"));
    }
}

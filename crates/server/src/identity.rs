//! Identities: who a client is, and how many connections it may have at a time.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::registry::ConnectionId;

/// How many connections of one identity there may be at a time, and what becomes of one more.
///
/// Who a client is, the application says as it accepts the request, with
/// [`Acceptance::identity`](crate::Acceptance::identity).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdentityPolicy {
    /// So many at a time; 0 is taken as 1.
    pub allowed: usize,
    /// What becomes of one more.
    pub surplus: Surplus,
}

/// What becomes of a connection whose identity has all that it is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surplus {
    /// It is refused with 409 before it is opened. A browser's page cannot tell that from any other failure.
    Refuse,
    /// It is opened and closed at once with Close 4409, which a browser's page can read. The handler never sees it.
    Close,
    /// It takes the place of the identity's oldest connection, which is closed with 4409 and stops counting at once.
    ReplaceOldest,
}

/// The connections of each identity, the oldest first.
#[derive(Debug)]
pub(crate) struct Identities {
    policy: Option<IdentityPolicy>,
    held: Mutex<HashMap<Arc<str>, Vec<ConnectionId>>>,
}

/// The place of one connection among those of its identity, given back when dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    identities: Arc<Identities>,
    identity: Arc<str>,
    id: ConnectionId,
}

impl Identities {
    pub(crate) fn new(policy: Option<IdentityPolicy>) -> Arc<Self> {
        Arc::new(Self { policy, held: Mutex::default() })
    }

    /// Gives a place to connection `id`, with the connections that have to go for it; or tells what becomes of it.
    pub(crate) fn reserve(
        self: &Arc<Self>,
        identity: &Arc<str>,
        id: ConnectionId,
    ) -> Result<(Slot, Vec<ConnectionId>), Surplus> {
        let mut held = self.held.lock();
        let ids = held.entry(Arc::clone(identity)).or_default();
        let mut replaced = Vec::new();
        if let Some(IdentityPolicy { allowed, surplus }) = self.policy {
            let kept = allowed.max(1) - 1;
            if ids.len() > kept {
                if surplus != Surplus::ReplaceOldest {
                    return Err(surplus);
                }
                replaced.extend(ids.drain(..ids.len() - kept));
            }
        }
        ids.push(id);
        Ok((Slot { identities: Arc::clone(self), identity: Arc::clone(identity), id }, replaced))
    }

    /// Tells whether a connection has its place still, and was not replaced.
    pub(crate) fn has(&self, identity: &str, id: ConnectionId) -> bool {
        self.held.lock().get(identity).is_some_and(|ids| ids.contains(&id))
    }

    /// The connections of an identity, the oldest first.
    pub(crate) fn of(&self, identity: &str) -> Vec<ConnectionId> {
        self.held.lock().get(identity).cloned().unwrap_or_default()
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut held = self.identities.held.lock();
        if let Some(ids) = held.get_mut(&self.identity) {
            ids.retain(|id| *id != self.id);
            if ids.is_empty() {
                held.remove(&self.identity);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u64) -> ConnectionId {
        ConnectionId::from(number)
    }

    #[test]
    fn the_oldest_goes_and_stops_counting_at_once() {
        let policy = IdentityPolicy { allowed: 2, surplus: Surplus::ReplaceOldest };
        let identities = Identities::new(Some(policy));
        let ada: Arc<str> = "ada".into();
        let (first, none) = identities.reserve(&ada, id(1)).expect("a place");
        let (_second, _) = identities.reserve(&ada, id(2)).expect("a place");
        let (_third, replaced) = identities.reserve(&ada, id(3)).expect("the oldest's place");
        assert_eq!((none, replaced), (vec![], vec![id(1)]));
        assert_eq!(identities.of("ada"), [id(2), id(3)]);
        assert!(!identities.has("ada", id(1)));
        drop(first);
        assert_eq!(identities.of("ada"), [id(2), id(3)], "its end changes nothing any more");
    }

    #[test]
    fn one_more_is_refused_until_a_place_is_given_back_and_nothing_is_kept() {
        let identities = Identities::new(Some(IdentityPolicy { allowed: 1, surplus: Surplus::Refuse }));
        let ada: Arc<str> = "ada".into();
        let (first, _) = identities.reserve(&ada, id(1)).expect("a place");
        assert_eq!(identities.reserve(&ada, id(2)).err(), Some(Surplus::Refuse));
        assert!(identities.reserve(&"bob".into(), id(3)).is_ok(), "another identity has its own");
        drop(first);
        let (second, _) = identities.reserve(&ada, id(2)).expect("the place is free");
        drop(second);
        assert!(identities.held.lock().is_empty());
    }
}

//! What is known of a connection from its opening handshake.

use std::fmt;
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Weak};
use std::time::SystemTime;

use parking_lot::Mutex;
use raddle_core::Deflate;

/// What is known of a connection from its opening handshake: of this one, and what it has [agreed](Agreed) on.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Info {
    /// A number that no other connection of the same server ever has; 0 where there is no server.
    pub id: u64,
    /// The peer's address, where it has one. Where a trusted proxy tells it without a port, that is 0.
    pub peer: Option<SocketAddr>,
    /// Who the client is, where the application has said so.
    pub identity: Option<Arc<str>>,
    /// When the connection was opened.
    pub since: SystemTime,
    // Shared by the connections that have agreed on the same: a server has thousands, and few kinds of them.
    agreed: Arc<Agreed>,
}

/// What was asked for and agreed on in an opening handshake.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Agreed {
    /// The path and query that the client asked for, as it sent them.
    pub target: Box<str>,
    /// The subprotocol that was agreed.
    pub subprotocol: Option<Box<str>>,
    /// permessage-deflate as it was agreed on (RFC 7692): the connection keeps to it.
    pub deflate: Option<Deflate>,
}

impl Info {
    /// The same, in memory that is shared with open connections that have agreed on the same lately.
    pub(crate) fn shared(mut self) -> Self {
        static LATELY: Mutex<[Weak<Agreed>; KINDS]> = Mutex::new([const { Weak::new() }; KINDS]);
        let lately = &mut *LATELY.lock();
        let known = lately.iter().enumerate().filter_map(|(place, known)| Some((place, known.upgrade()?)));
        match known.into_iter().find(|(_, known)| *known == self.agreed) {
            Some((place, known)) => {
                self.agreed = known;
                lately[..=place].rotate_right(1);
            }
            None => {
                lately.rotate_right(1);
                lately[0] = Arc::downgrade(&self.agreed);
            }
        }
        self
    }
}

impl fmt::Debug for Info {
    // Without the identity, which may be a token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Info")
            .field("id", &self.id)
            .field("peer", &self.peer)
            .field("since", &self.since)
            .field("agreed", &self.agreed)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Agreed {
    // Without the query, in which a token may be.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agreed")
            .field("path", &self.target.split('?').next().unwrap_or_default())
            .field("subprotocol", &self.subprotocol)
            .field("deflate", &self.deflate)
            .finish_non_exhaustive()
    }
}

impl Deref for Info {
    type Target = Agreed;

    fn deref(&self) -> &Agreed {
        &self.agreed
    }
}

impl DerefMut for Info {
    fn deref_mut(&mut self) -> &mut Agreed {
        Arc::make_mut(&mut self.agreed)
    }
}

impl Default for Info {
    fn default() -> Self {
        Self { id: 0, peer: None, identity: None, since: SystemTime::now(), agreed: Arc::default() }
    }
}

impl Default for Agreed {
    fn default() -> Self {
        Self { target: "/".into(), subprotocol: None, deflate: None }
    }
}

/// So many kinds of connections are known lately.
const KINDS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn of(target: &str) -> Info {
        let agreed = Arc::new(Agreed { target: target.into(), ..Agreed::default() });
        Info { agreed, ..Info::default() }.shared()
    }

    #[test]
    fn connections_that_have_agreed_on_the_same_share_it() {
        let (first, other, second) = (of("/shared"), of("/other"), of("/shared"));
        assert!(Arc::ptr_eq(&first.agreed, &second.agreed));
        assert!(!Arc::ptr_eq(&first.agreed, &other.agreed));
        assert_eq!((&*second.target, &*other.target), ("/shared", "/other"));
        // Changing one changes no other.
        let mut changed = second.clone();
        changed.target = "/changed".into();
        assert_eq!((&*first.target, &*second.target, &*changed.target), ("/shared", "/shared", "/changed"));
        // A crowd of others in between only costs the memory.
        let crowd: Vec<_> = (0..2 * KINDS).map(|number| of(&format!("/{number}"))).collect();
        assert_eq!(&*of("/shared").target, "/shared");
        assert!(crowd.iter().enumerate().all(|(number, info)| *info.target == *format!("/{number}")));
    }
}

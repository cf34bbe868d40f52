//! What a poll gets its events from, and what is to be done behind it: calls of the program's destructors, without a lock.

use std::time::Duration;

use crate::connections;
use crate::handles::Handle as _;
use crate::message::MessageView;
use crate::server::requests::RequestHandle;
use crate::status::Failure;

/// The queue of a server, for one thread at a time.
pub(crate) trait Source {
    /// Waits for events, and has `take` put them where the program wants them, until it returns `false`: that one comes with
    /// the next call. Gives the number of those that were taken; 0: none has come.
    fn poll(&mut self, timeout: Option<Duration>, take: impl FnMut(&MessageView) -> bool) -> Result<usize, Failure>;

    /// What is gone with the next poll: connections whose last event was given.
    fn departed(&mut self) -> Remains;

    /// Ends all but the memory of what was given last.
    fn end(&mut self) -> Remains;

    /// Tells whether the last poll was ended by a wake or a signal.
    fn was_woken(&self) -> bool;

    /// Tells whether nothing more will come.
    fn is_over(&self) -> bool;
}

/// Handles that name nothing any more once this was [let go](Self::let_go).
#[derive(Debug, Default)]
pub(crate) struct Remains {
    pub(crate) conns: Vec<u64>,
    /// Requests that nobody has heard of: they are answered.
    pub(crate) requests: Vec<u64>,
}

impl Remains {
    /// To be called without a lock: the program's destructors may use the server.
    pub(crate) fn let_go(self) {
        for id in self.conns {
            // Nobody else takes it out of the table, unless the server has ended meanwhile.
            let _ = connections::retire(id);
        }
        for id in self.requests {
            drop(RequestHandle::table().take(id));
        }
    }
}

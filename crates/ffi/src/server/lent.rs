//! What polls have lent to the threads that polled: a server is there until the thread comes back for more.
//!
//! A payload lies in the memory of its server's queue, which any thread may free meanwhile. So whoever polls keeps the server
//! at hand while it goes through the events.

use std::cell::RefCell;
use std::sync::Arc;

use crate::server::Serving;

/// Keeps a server, whose handle is `id`, until this thread [gives back](give_back) what it has of it, or ends.
pub(crate) fn lend(id: u64, serving: &Arc<Serving>) {
    // `Err`: the thread is about to end, and looks at nothing any more.
    let _ = LENT.try_with(|lent| {
        let mut lent = lent.borrow_mut();
        if lent.iter().all(|(known, _)| *known != id) {
            lent.push((id, Arc::clone(serving)));
        }
    });
}

/// Lets a server go that this thread has kept.
pub(crate) fn give_back(id: u64) {
    let kept = LENT.try_with(|lent| {
        let mut lent = lent.borrow_mut();
        let place = lent.iter().position(|(known, _)| *known == id)?;
        Some(lent.swap_remove(place))
    });
    // Without the list: it may be the last, and the program's destructors may poll.
    drop(kept);
}

thread_local! {
    /// By the ids of their handles.
    static LENT: RefCell<Vec<(u64, Arc<Serving>)>> = const { RefCell::new(Vec::new()) };
}

//! Which engine serves the connections of a server: a thread for each of them, or a pool of threads for all.

use std::sync::Arc;

use parking_lot::Mutex;
use raddle_socket::Connection;

use crate::admission::Ticket;
use crate::desk::Destination;
use crate::pool::Pool;
use crate::registry::ConnectionId;
use crate::request::Request;
use crate::shared::Shared;
use crate::threads::{self, Handler};

/// What a server's requests and connections are given to.
#[derive(Clone)]
pub(crate) enum Engine {
    /// A thread for each connection.
    Threads(Arc<Handler>),
    Pool(Arc<Pool>),
}

impl Engine {
    /// Where the decision on a request leads.
    pub(crate) fn destination(&self) -> Destination {
        match self {
            Self::Threads(_) => Destination::Waiting,
            Self::Pool(pool) => Destination::Pool(Mutex::new(Some(pool.claim()))),
        }
    }

    /// The ticket of a connection, and that of the thread that serves it, where it has one.
    pub(crate) fn share(&self, ticket: Ticket) -> (Ticket, Option<Ticket>) {
        match self {
            Self::Threads(_) => {
                let (ticket, of_thread) = ticket.share();
                (ticket, Some(of_thread))
            }
            Self::Pool(_) => (ticket, None),
        }
    }

    /// Has a request decided on.
    pub(crate) fn deliver(self, shared: &Arc<Shared>, id: ConnectionId, ticket: Option<Ticket>, request: Request) {
        match self {
            Self::Threads(handler) => shared.deliver(handler, id, ticket, request),
            Self::Pool(_) => {
                if let Some(home) = request.desk().home() {
                    home.decide(request);
                }
            }
        }
    }

    /// Serves a connection that is open already. It is dropped, and so closed, where that fails.
    pub(crate) fn serve(
        &self,
        shared: &Arc<Shared>,
        ticket: Option<Ticket>,
        connection: Connection,
    ) -> std::io::Result<()> {
        match self {
            Self::Threads(handler) => {
                let (id, handler) = (ConnectionId::of(connection.info()), Arc::clone(handler));
                threads::start(shared, id, ticket, move |shared| threads::run(shared, &*handler, connection))
            }
            Self::Pool(pool) => {
                pool.claim().open(connection);
                Ok(())
            }
        }
    }

    /// Has the threads of a pool end, once their connections have.
    pub(crate) fn stop(&self) {
        if let Self::Pool(pool) = self {
            pool.stop();
        }
    }
}

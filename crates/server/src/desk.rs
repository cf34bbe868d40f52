//! Where the thread that makes the decision on a request and the one that waits for it meet.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use log::Level;
use parking_lot::{Condvar, Mutex};
use raddle_core::handshake::Response;
use raddle_core::{Role, Sender};
use raddle_socket::{Attachment, Close, CloseCode, Connection, Info, Opening};

use crate::admission::Ticket;
use crate::farewell;
use crate::home::{Claim, Home};
use crate::identity::{Slot, Surplus};
use crate::metrics::Refusal;
use crate::registry::Place;
use crate::request::DecisionError;
use crate::shared::Shared;
use crate::stream::Stream;

#[derive(Debug)]
pub(crate) struct Desk {
    shared: Arc<Shared>,
    destination: Destination,
    stage: Mutex<Stage>,
    decided: Condvar,
}

/// Where a connection goes that is opened.
#[derive(Debug)]
pub(crate) enum Destination {
    /// To the thread that waits for the decision, which opens it itself: what that needs of its stack is free again then.
    Waiting,
    /// To a worker of the pool.
    Pool(Mutex<Option<Claim>>),
    /// To whoever asks the server for the next connection.
    Arrivals,
}

#[derive(Debug)]
enum Stage {
    Undecided(Box<Visitor>),
    /// The decision is being carried out.
    Deciding,
    Accepted(Box<Accepted>),
    Done,
}

/// A client that has made its request.
#[derive(Debug)]
pub(crate) struct Visitor {
    pub(crate) stream: Stream,
    pub(crate) peer: Option<SocketAddr>,
    /// What was received behind the head.
    pub(crate) received: Vec<u8>,
    pub(crate) deadline: Instant,
    pub(crate) ticket: Ticket,
    pub(crate) place: Place,
}

/// How a request is accepted.
pub(crate) struct Terms {
    /// What says so.
    pub(crate) greeting: Vec<u8>,
    /// What is known of the connection then.
    pub(crate) info: Info,
    /// What the application gives it.
    pub(crate) attachment: Option<Attachment>,
}

/// A client whose request was accepted.
#[derive(Debug)]
struct Accepted {
    visitor: Visitor,
    slot: Option<Slot>,
    terms: Terms,
    /// As [`Opening::for_event_loop`].
    for_event_loop: bool,
}

impl Desk {
    pub(crate) fn new(shared: Arc<Shared>, visitor: Visitor, destination: Destination) -> Arc<Self> {
        let stage = Mutex::new(Stage::Undecided(Box::new(visitor)));
        Arc::new(Self { shared, destination, stage, decided: Condvar::new() })
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// The client's address, until the decision.
    pub(crate) fn peer(&self) -> Option<SocketAddr> {
        match &*self.stage.lock() {
            Stage::Undecided(visitor) => visitor.peer,
            _ => None,
        }
    }

    /// The worker of the pool that the request belongs to.
    pub(crate) fn home(&self) -> Option<Arc<Home>> {
        match &self.destination {
            Destination::Pool(claim) => claim.lock().as_ref().map(|claim| Arc::clone(claim.home())),
            _ => None,
        }
    }

    pub(crate) fn is_undecided(&self) -> bool {
        matches!(&*self.stage.lock(), Stage::Undecided(_))
    }

    /// Waits for the decision; `None`: the request was answered, or the deadline has passed.
    pub(crate) fn wait(&self) -> Option<Connection> {
        let mut stage = self.stage.lock();
        loop {
            let deadline = match &*stage {
                Stage::Undecided(visitor) => visitor.deadline,
                Stage::Deciding => {
                    self.decided.wait(&mut stage);
                    continue;
                }
                _ => break,
            };
            if self.decided.wait_until(&mut stage, deadline).timed_out() {
                drop(stage);
                self.give_up(Refusal::Timeout);
                stage = self.stage.lock();
            }
        }
        let decided = std::mem::replace(&mut *stage, Stage::Done);
        drop(stage);
        match decided {
            Stage::Accepted(accepted) => self.open(accepted),
            _ => None,
        }
    }

    /// Sends the client away, for `reason`, whose request is still undecided.
    pub(crate) fn give_up(&self, reason: Refusal) {
        if let Some(visitor) = self.take_whatever_the_time() {
            self.send_away(*visitor, reason);
        }
    }

    /// Has the connection opened on these terms, unless its identity has all that it is allowed.
    pub(crate) fn accept(&self, terms: Terms) -> Result<(), DecisionError> {
        let mut accepted = self.admit(terms)?;
        match &self.destination {
            Destination::Waiting => self.settle(Stage::Accepted(accepted)),
            Destination::Pool(claim) => {
                self.settle(Stage::Done);
                accepted.for_event_loop = true;
                if let (Some(claim), Some(connection)) = (claim.lock().take(), self.open(accepted)) {
                    claim.open(connection);
                }
            }
            Destination::Arrivals => {
                self.settle(Stage::Done);
                self.open(accepted).into_iter().for_each(|connection| self.shared.arrive_open(connection));
            }
        }
        Ok(())
    }

    /// As [`accept`](Self::accept), but gives the connection to the caller. `None`: it could not be opened.
    pub(crate) fn accept_here(&self, terms: Terms) -> Result<Option<Connection>, DecisionError> {
        let accepted = self.admit(terms)?;
        self.settle(Stage::Done);
        Ok(self.open(accepted))
    }

    /// Takes the decision, unless the identity has all the connections that it is allowed.
    fn admit(&self, terms: Terms) -> Result<Box<Accepted>, DecisionError> {
        let visitor = *self.take().ok_or(DecisionError::TooLate)?;
        match self.shared.reserve(terms.info.identity.as_ref(), visitor.place.id) {
            Ok(slot) => Ok(Box::new(Accepted { visitor, slot, terms, for_event_loop: false })),
            Err(surplus) => {
                self.shared.refused(Refusal::Identity, visitor.peer);
                self.settle(Stage::Done);
                self.shared.answer(visitor, refuse_identity(surplus, terms.greeting));
                Err(DecisionError::IdentityTaken)
            }
        }
    }

    /// Has an answer written; what it counts as, unless it is no refusal.
    pub(crate) fn answer(&self, response: &Response, refusal: Option<Refusal>) -> Result<(), DecisionError> {
        let visitor = self.take().ok_or(DecisionError::TooLate)?;
        self.settle(Stage::Done);
        match refusal {
            Some(refusal) => self.shared.refused(refusal, visitor.peer),
            None => self.shared.books.metrics.answered(),
        }
        self.shared.answer(*visitor, response.encode());
        Ok(())
    }

    fn open(&self, accepted: Box<Accepted>) -> Option<Connection> {
        let peer = accepted.visitor.peer;
        let failed = |error: &io::Error| {
            self.shared.refused(Refusal::NoThread, peer);
            self.shared.journal.note(Level::Error, format_args!("a connection could not be opened: {error}"));
        };
        accepted.open(&self.shared).inspect_err(failed).ok()
    }

    fn send_away(&self, visitor: Visitor, reason: Refusal) {
        self.settle(Stage::Done);
        self.shared.refused(reason, visitor.peer);
        self.shared.answer(visitor, Response::refusal(503).encode());
    }

    fn settle(&self, stage: Stage) {
        *self.stage.lock() = stage;
        self.decided.notify_all();
    }

    /// Takes the visitor, if it is in time: whoever has it has the decision.
    fn take(&self) -> Option<Box<Visitor>> {
        let visitor = self.take_whatever_the_time()?;
        if visitor.deadline <= Instant::now() {
            self.send_away(*visitor, Refusal::Timeout);
            return None;
        }
        Some(visitor)
    }

    fn take_whatever_the_time(&self) -> Option<Box<Visitor>> {
        let mut stage = self.stage.lock();
        match std::mem::replace(&mut *stage, Stage::Deciding) {
            Stage::Undecided(visitor) => Some(visitor),
            other => {
                *stage = other;
                None
            }
        }
    }
}

impl Accepted {
    fn open(self: Box<Self>, shared: &Shared) -> io::Result<Connection> {
        let Self { visitor, slot, terms, for_event_loop } = *self;
        let Visitor { stream, peer, received, ticket, place, .. } = visitor;
        let Terms { greeting, mut info, attachment } = terms;
        let id = place.id;
        info.id = id.get();
        info.peer = peer;
        let on_end = shared.on_end(place, ticket, slot);
        let opening = Opening::new(Role::Server, shared.options());
        let opening = Opening { received: &received, greeting, info, for_event_loop, on_end, attachment, ..opening };
        stream.open(opening, |writer| shared.opened(id, writer))
    }
}

impl fmt::Debug for Terms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Terms").field("info", &self.info).finish_non_exhaustive()
    }
}

/// What a client gets whose identity has all that it is allowed.
fn refuse_identity(surplus: Surplus, greeting: Vec<u8>) -> Vec<u8> {
    if surplus == Surplus::Refuse {
        return Response::refusal(409).encode();
    }
    // The connection is opened and closed in one breath, and needs no more than these bytes.
    let mut sender = Sender::server();
    let close = Close { code: CloseCode::CONFLICT, reason: farewell::CONNECTED_ALREADY };
    sender.close(Some(close)).expect("the code may be sent, and the reason is short");
    [&greeting, sender.output()].concat()
}

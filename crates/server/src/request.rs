//! The decision on an opening handshake: a complete request in, an open connection or an HTTP answer out.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};
use raddle_core::handshake::{Accept, AcceptError, HandshakeError, Request as Head, Response, ResponseError};
use raddle_core::{Role, Sender};
use raddle_socket::{Close, CloseCode, Connection, Info, Opening, Socket};

use crate::admission::Ticket;
use crate::farewell;
use crate::identity::Surplus;
use crate::metrics::Refusal;
use crate::registry::Place;
use crate::server::Shared;

/// A client's request, for the application to decide on: at once or later, on any thread, until the handshake deadline.
///
/// Dropped without a decision, it is answered with 500; not decided in time, with 503.
#[derive(Debug)]
pub struct Request {
    head: Head,
    desk: Arc<Desk>,
    /// The application has it, or had it.
    heard: bool,
}

/// How a request is accepted.
#[derive(Clone, Debug, Default)]
pub struct Acceptance {
    subprotocol: Subprotocol,
    headers: Vec<(String, Vec<u8>)>,
    identity: Option<Arc<str>>,
}

#[derive(Clone, Debug, Default)]
enum Subprotocol {
    /// The first of the client's that the server supports.
    #[default]
    Supported,
    None,
    Exactly(String),
}

/// A decision that could not be carried out.
#[derive(Debug)]
#[non_exhaustive]
pub enum DecisionError {
    /// It was decided before, or the handshake deadline has passed.
    TooLate,
    /// The identity has all the connections it may have: the client got 409, or Close 4409.
    IdentityTaken,
    /// The request is no opening handshake, or not a valid one: it was answered as this error asks for.
    Handshake(HandshakeError),
    /// The answer breaks a rule; the client got 500 instead.
    Response(ResponseError),
    /// The connection could not be opened.
    Io(io::Error),
}

/// Where the thread that waits for a decision and the one that makes it meet.
#[derive(Debug)]
pub(crate) struct Desk {
    shared: Arc<Shared>,
    destination: Destination,
    stage: Mutex<Stage>,
    decided: Condvar,
}

/// Where a connection goes that was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    /// To the thread that waits for the decision.
    Waiting,
    /// To whoever asks the server for the next connection.
    Arrivals,
}

#[derive(Debug)]
enum Stage {
    Undecided(Box<Visitor>),
    /// The decision is being carried out.
    Deciding,
    Opened(Box<Connection>),
    Done,
}

/// A client that has made its request.
#[derive(Debug)]
pub(crate) struct Visitor {
    pub(crate) socket: Socket,
    pub(crate) peer: Option<SocketAddr>,
    /// What was received behind the head.
    pub(crate) received: Vec<u8>,
    pub(crate) deadline: Instant,
    pub(crate) ticket: Arc<Ticket>,
    pub(crate) place: Place,
}

impl Request {
    pub(crate) fn new(shared: Arc<Shared>, head: Head, visitor: Visitor, destination: Destination) -> Self {
        let stage = Mutex::new(Stage::Undecided(Box::new(visitor)));
        let desk = Desk { shared, destination, stage, decided: Condvar::new() };
        Self { head, desk: Arc::new(desk), heard: false }
    }

    /// Notes that the application gets it.
    pub(crate) fn hand_over(mut self) -> Self {
        self.heard = true;
        self
    }

    pub(crate) fn desk(&self) -> Arc<Desk> {
        Arc::clone(&self.desk)
    }

    /// The path and query, as the client sent them: not decoded.
    pub fn target(&self) -> &str {
        self.head.target()
    }

    /// The target up to the `?`.
    pub fn path(&self) -> &str {
        self.target().split_once('?').map_or(self.target(), |(path, _)| path)
    }

    /// The target behind the `?`.
    pub fn query(&self) -> Option<&str> {
        self.target().split_once('?').map(|(_, query)| query)
    }

    /// The value of the first header of this name, in any case.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.head.header(name)
    }

    /// The whole head: all headers, the host, the origin, the offers.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The client's address, where it has one.
    pub fn peer(&self) -> Option<SocketAddr> {
        match &*self.desk.stage.lock() {
            Stage::Undecided(visitor) => visitor.peer,
            _ => None,
        }
    }

    /// Tells whether the client asks for a WebSocket. Otherwise it can be answered with [`respond`](Self::respond) only.
    pub fn is_websocket(&self) -> bool {
        self.head.is_websocket()
    }

    /// Opens the connection, with the first subprotocol of the client's that the server supports.
    pub fn accept(self) -> Result<(), DecisionError> {
        self.accept_with(Acceptance::new())
    }

    /// Opens the connection as `acceptance` says.
    pub fn accept_with(self, acceptance: Acceptance) -> Result<(), DecisionError> {
        let headers: Vec<(&str, &[u8])> =
            acceptance.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
        let supported: Vec<&str> = self.desk.shared.subprotocols().iter().map(String::as_str).collect();
        let subprotocol = match &acceptance.subprotocol {
            Subprotocol::Supported => self.head.choose_subprotocol(&supported),
            Subprotocol::None => None,
            Subprotocol::Exactly(name) => Some(name.as_str()),
        };
        match self.head.accept(&Accept { subprotocol, headers: &headers }) {
            Ok((greeting, agreement)) => {
                let mut info = Info::default();
                info.target = self.head.target().into();
                info.subprotocol = agreement.subprotocol.map(String::into_boxed_str);
                info.identity = acceptance.identity;
                self.desk.open(greeting, info)
            }
            Err(error) => {
                self.desk.answer(&error.response(), Some(Refusal::Application))?;
                Err(error.into())
            }
        }
    }

    /// Refuses the request with a status of 400 or more and a short text of our own.
    pub fn refuse(self, status: u16) -> Result<(), DecisionError> {
        self.respond(Response::refusal(status))
    }

    /// Answers the request as HTTP does, and ends the connection: a page, a health check, a refusal in the application's words.
    pub fn respond(self, response: Response) -> Result<(), DecisionError> {
        let refusal = (response.status() >= 400).then_some(Refusal::Application);
        self.desk.answer(&response, refusal)
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        // Does nothing where a decision was made.
        let _ = if self.heard {
            self.desk.answer(&Response::refusal(500), Some(Refusal::Application))
        } else {
            self.desk.answer(&Response::refusal(503), Some(Refusal::NoThread))
        };
    }
}

impl Acceptance {
    /// Accepts as [`Request::accept`] does: with the first subprotocol of the client's that the server supports.
    pub fn new() -> Self {
        Self::default()
    }

    /// Agrees on this subprotocol, which the client must have offered.
    pub fn subprotocol(self, name: impl Into<String>) -> Self {
        Self { subprotocol: Subprotocol::Exactly(name.into()), ..self }
    }

    /// Agrees on no subprotocol.
    pub fn no_subprotocol(self) -> Self {
        Self { subprotocol: Subprotocol::None, ..self }
    }

    /// Says who the client is, by its token, cookie or user id: [`Builder::identity_policy`](crate::Builder) counts its
    /// connections by that.
    pub fn identity(self, identity: impl Into<Arc<str>>) -> Self {
        Self { identity: Some(identity.into()), ..self }
    }

    /// Adds a header to the response, as `Set-Cookie`. The handshake's own cannot be set.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}

impl Desk {
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
                self.expire();
                stage = self.stage.lock();
            }
        }
        match std::mem::replace(&mut *stage, Stage::Done) {
            Stage::Opened(connection) => Some(*connection),
            _ => None,
        }
    }

    /// Gives the client up whose request was not decided in time, if it is still undecided.
    pub(crate) fn expire(&self) {
        if let Some(visitor) = self.take_whatever_the_time() {
            self.give_up(*visitor);
        }
    }

    fn open(&self, greeting: Vec<u8>, mut info: Info) -> Result<(), DecisionError> {
        let visitor = self.take().ok_or(DecisionError::TooLate)?;
        let id = visitor.place.id;
        let slot = match self.shared.reserve(info.identity.as_ref(), id) {
            Ok(slot) => slot,
            Err(surplus) => {
                self.shared.refused(Refusal::Identity, visitor.peer);
                self.settle(Stage::Done);
                self.shared.answer(*visitor, refuse_identity(surplus, greeting));
                return Err(DecisionError::IdentityTaken);
            }
        };
        let Visitor { socket, peer, received, ticket, place, .. } = *visitor;
        info.id = id.get();
        info.peer = peer;
        let on_end = self.shared.on_end(place, ticket, slot);
        let options = self.shared.options();
        let opening = Opening { received: &received, greeting, info, on_end, ..Opening::new(Role::Server, options) };
        match Connection::open(socket, opening) {
            Ok(connection) => {
                self.shared.opened(id, &connection);
                match self.destination {
                    Destination::Waiting => self.settle(Stage::Opened(Box::new(connection))),
                    Destination::Arrivals => {
                        self.settle(Stage::Done);
                        self.shared.arrive_open(connection);
                    }
                }
                Ok(())
            }
            Err(error) => {
                self.settle(Stage::Done);
                Err(DecisionError::Io(error))
            }
        }
    }

    /// Has an answer written; what it counts as, unless it is no refusal.
    fn answer(&self, response: &Response, refusal: Option<Refusal>) -> Result<(), DecisionError> {
        let visitor = self.take().ok_or(DecisionError::TooLate)?;
        self.settle(Stage::Done);
        match refusal {
            Some(refusal) => self.shared.refused(refusal, visitor.peer),
            None => self.shared.metrics.answered(),
        }
        self.shared.answer(*visitor, response.encode());
        Ok(())
    }

    fn give_up(&self, visitor: Visitor) {
        self.settle(Stage::Done);
        self.shared.refused(Refusal::Timeout, visitor.peer);
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
            self.give_up(*visitor);
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

impl From<AcceptError> for DecisionError {
    fn from(error: AcceptError) -> Self {
        match error {
            AcceptError::Request(error) => Self::Handshake(error),
            AcceptError::Answer(error) => Self::Response(error),
        }
    }
}

impl From<ResponseError> for DecisionError {
    fn from(error: ResponseError) -> Self {
        Self::Response(error)
    }
}

impl fmt::Display for DecisionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLate => f.write_str("the request was decided before, or not in time"),
            Self::IdentityTaken => f.write_str("the client is connected already"),
            Self::Handshake(error) => error.fmt(f),
            Self::Response(error) => error.fmt(f),
            Self::Io(error) => write!(f, "the connection could not be opened: {error}"),
        }
    }
}

impl std::error::Error for DecisionError {}

//! The decision on an opening handshake: a complete request in, an open connection or an HTTP answer out.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};
use raddle_core::Role;
use raddle_core::handshake::{Accept, AcceptError, HandshakeError, Request as Head, Response, ResponseError};
use raddle_socket::{Connection, Info, Opening, Socket};

use crate::admission::Ticket;
use crate::registry::Place;
use crate::server::Shared;

/// A client's request, for the application to decide on: at once or later, on any thread, until the handshake deadline.
///
/// Dropped without a decision, it is answered with 500; not decided in time, with 503.
#[derive(Debug)]
pub struct Request {
    head: Head,
    desk: Arc<Desk>,
}

/// How a request is accepted.
#[derive(Clone, Debug, Default)]
pub struct Acceptance {
    subprotocol: Option<String>,
    headers: Vec<(String, Vec<u8>)>,
}

/// A decision that could not be carried out.
#[derive(Debug)]
#[non_exhaustive]
pub enum DecisionError {
    /// It was decided before, or the handshake deadline has passed.
    TooLate,
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
    stage: Mutex<Stage>,
    decided: Condvar,
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
    pub(crate) ticket: Ticket,
    pub(crate) place: Place,
}

impl Request {
    pub(crate) fn new(shared: Arc<Shared>, head: Head, visitor: Visitor) -> Self {
        let stage = Mutex::new(Stage::Undecided(Box::new(visitor)));
        Self { head, desk: Arc::new(Desk { shared, stage, decided: Condvar::new() }) }
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
        let supported = self.desk.shared.subprotocols();
        let supported: Vec<&str> = supported.iter().map(String::as_str).collect();
        let subprotocol = self.head.choose_subprotocol(&supported).map(str::to_owned);
        self.accept_with(Acceptance { subprotocol, headers: Vec::new() })
    }

    /// Opens the connection as `acceptance` says.
    pub fn accept_with(self, acceptance: Acceptance) -> Result<(), DecisionError> {
        let headers: Vec<(&str, &[u8])> =
            acceptance.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
        let accept = Accept { subprotocol: acceptance.subprotocol.as_deref(), headers: &headers };
        match self.head.accept(&accept) {
            Ok((greeting, agreement)) => {
                let subprotocol = agreement.subprotocol.map(String::into_boxed_str);
                self.desk.open(self.head.target(), greeting, subprotocol)
            }
            Err(error) => {
                self.desk.answer(&error.response())?;
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
        self.desk.answer(&response)
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        // Does nothing where a decision was made.
        let _ = self.desk.answer(&Response::refusal(500));
    }
}

impl Acceptance {
    /// Accepts with no subprotocol and no further headers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Agrees on this subprotocol, which the client must have offered.
    pub fn subprotocol(self, name: impl Into<String>) -> Self {
        Self { subprotocol: Some(name.into()), ..self }
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
                let _ = self.answer(&Response::refusal(503));
                return None;
            }
        }
        match std::mem::replace(&mut *stage, Stage::Done) {
            Stage::Opened(connection) => Some(*connection),
            _ => None,
        }
    }

    fn open(&self, target: &str, greeting: Vec<u8>, subprotocol: Option<Box<str>>) -> Result<(), DecisionError> {
        let visitor = self.take().ok_or(DecisionError::TooLate)?;
        let Visitor { socket, peer, received, ticket, place, .. } = *visitor;
        let id = place.id;
        let mut info = Info::default();
        info.id = id.get();
        info.peer = peer;
        info.target = target.into();
        info.subprotocol = subprotocol;
        let opening = Opening {
            received: &received,
            greeting,
            info,
            guard: Some(Box::new((place, ticket))),
            ..Opening::new(Role::Server, self.shared.options())
        };
        match Connection::open(socket, opening) {
            Ok(connection) => {
                self.shared.opened(id, &connection);
                self.settle(Stage::Opened(Box::new(connection)));
                Ok(())
            }
            Err(error) => {
                self.settle(Stage::Done);
                Err(DecisionError::Io(error))
            }
        }
    }

    fn answer(&self, response: &Response) -> Result<(), DecisionError> {
        let visitor = self.take().ok_or(DecisionError::TooLate)?;
        self.settle(Stage::Done);
        self.shared.answer(*visitor, response.encode());
        Ok(())
    }

    fn settle(&self, stage: Stage) {
        *self.stage.lock() = stage;
        self.decided.notify_all();
    }

    /// Takes the visitor: whoever has it has the decision.
    fn take(&self) -> Option<Box<Visitor>> {
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
            Self::Handshake(error) => error.fmt(f),
            Self::Response(error) => error.fmt(f),
            Self::Io(error) => write!(f, "the connection could not be opened: {error}"),
        }
    }
}

impl std::error::Error for DecisionError {}

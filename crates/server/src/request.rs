//! The decision on an opening handshake: a complete request in, an open connection or an HTTP answer out.

use std::any::Any;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use raddle_core::handshake::{Accept, AcceptError, HandshakeError, Request as Head, Response, ResponseError};
use raddle_socket::{Attachment, Connection, Info};

#[cfg(feature = "tls")]
use crate::certificate::ClientCertificate;
use crate::desk::{Desk, Destination, Terms, Visitor};
use crate::metrics::Refusal;
use crate::registry::ConnectionId;
use crate::shared::Shared;

/// A client's request, for the application to decide on: at once or later, on any thread, until the handshake deadline.
///
/// Dropped without a decision, it is answered with 500; not decided in time, with 503.
pub struct Request {
    id: ConnectionId,
    head: Head,
    desk: Arc<Desk>,
    #[cfg(feature = "tls")]
    certificate: Option<ClientCertificate>,
    attachment: Option<Attachment>,
    /// The application has it, or had it.
    heard: bool,
}

/// How a request is accepted.
#[must_use = "a setter gives the changed value, and changes nothing else"]
#[derive(Clone, Default)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
}

impl Request {
    pub(crate) fn new(shared: Arc<Shared>, head: Head, visitor: Visitor, destination: Destination) -> Self {
        Self {
            id: visitor.place.id,
            head,
            #[cfg(feature = "tls")]
            certificate: visitor.stream.client_certificate(),
            desk: Desk::new(shared, visitor, destination),
            attachment: None,
            heard: false,
        }
    }

    /// Notes that the application gets it.
    pub(crate) fn hear(&mut self) {
        self.heard = true;
    }

    /// Tells whether somebody else has made the decision: the deadline.
    pub(crate) fn is_answered(&self) -> bool {
        !self.desk.is_undecided()
    }

    pub(crate) fn desk(&self) -> Arc<Desk> {
        Arc::clone(&self.desk)
    }

    /// The id that the connection has, from the first byte of its opening handshake on.
    pub fn id(&self) -> ConnectionId {
        self.id
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
        self.desk.peer()
    }

    /// The certificate that the client has shown, where it was [asked for](crate::ServerTlsBuilder::client_certificate_file) one:
    /// it was verified, and what it says can be the client's [identity](Acceptance::identity).
    #[cfg(feature = "tls")]
    pub fn client_certificate(&self) -> Option<&ClientCertificate> {
        self.certificate.as_ref()
    }

    /// Tells whether the client asks for a WebSocket. Otherwise it can be answered with [`respond`](Self::respond) only.
    pub fn is_websocket(&self) -> bool {
        self.head.is_websocket()
    }

    /// Gives the connection a value: what the application has found out of the client, for whoever gets the connection.
    /// [`Writer::take_attachment`](crate::Writer::take_attachment) takes it there. Where the request is not accepted, or nobody
    /// gets the connection, it is dropped with either.
    pub fn attach(&mut self, value: impl Any + Send + Sync) {
        self.attachment = Some(Box::new(value));
    }

    /// Opens the connection, with the first subprotocol of the client's that the server supports.
    pub fn accept(self) -> Result<(), DecisionError> {
        self.accept_with(Acceptance::new())
    }

    /// Opens the connection as `acceptance` says.
    pub fn accept_with(mut self, acceptance: Acceptance) -> Result<(), DecisionError> {
        let terms = self.greet(acceptance)?;
        self.desk.accept(terms)
    }

    /// Opens the connection as `acceptance` says, and gives it to the caller: for requests of
    /// [`Server::next_request`](crate::Server::next_request). `None`: it could not be opened, and nobody has it.
    pub fn open_with(mut self, acceptance: Acceptance) -> Result<Option<Connection>, DecisionError> {
        let terms = self.greet(acceptance)?;
        self.desk.accept_here(terms)
    }

    /// What accepts the request, and what the connection has then.
    fn greet(&mut self, acceptance: Acceptance) -> Result<Terms, DecisionError> {
        let headers: Vec<(&str, &[u8])> =
            acceptance.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
        let supported: Vec<&str> = self.desk.shared().subprotocols().iter().map(String::as_str).collect();
        let subprotocol = match &acceptance.subprotocol {
            Subprotocol::Supported => self.head.choose_subprotocol(&supported),
            Subprotocol::None => None,
            Subprotocol::Exactly(name) => Some(name.as_str()),
        };
        match self.head.accept(&Accept { subprotocol, deflate: self.desk.shared().settings.deflate, headers: &headers })
        {
            Ok((greeting, agreement)) => {
                let mut info = Info::default();
                info.target = self.head.target().into();
                info.subprotocol = agreement.subprotocol.map(String::into_boxed_str);
                info.deflate = agreement.deflate;
                info.identity = acceptance.identity;
                Ok(Terms { greeting, info, attachment: self.attachment.take() })
            }
            Err(error) => {
                let refusal = match error {
                    AcceptError::Request(error) => Refusal::Handshake(error),
                    AcceptError::Answer(_) => Refusal::Application,
                };
                self.desk.answer(&error.response(), Some(refusal))?;
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

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("id", &self.id).field("head", &self.head).finish_non_exhaustive()
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

impl fmt::Debug for Acceptance {
    // Without the values of headers, which set cookies, and without the identity, which may be a token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("Acceptance")
            .field("subprotocol", &self.subprotocol)
            .field("headers", &names)
            .finish_non_exhaustive()
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
            Self::IdentityTaken => f.write_str("the client is connected already"),
            Self::Handshake(error) => error.fmt(f),
            Self::Response(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for DecisionError {}

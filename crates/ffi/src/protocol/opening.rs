//! The opening handshake of a protocol object (RFC 6455, section 4): received bytes in, an open connection or a refusal out.

use raddle_core::handshake::{
    Accept, AcceptError, ClientError, HandshakeError, Offer, Request, RequestParser, Response, ResponseError,
    ResponseParser,
};
use raddle_core::{MaskingKeys, Receiver, Sender};

use super::endpoint::{Endpoint, Fault, Found, Stage};
use super::keys::GivenKeys;
use super::output::Output;
use super::sending::Compression;
use super::settings::{Decision, Keys, Settings};

/// An opening handshake that goes on.
pub(super) struct Opening {
    step: Step,
    /// Received bytes from the first on, and space behind them.
    received: Vec<u8>,
    filled: usize,
}

enum Step {
    Request(RequestParser),
    /// The program was asked. The bytes behind the head of the request are frames.
    Decision,
    Response(Box<ResponseParser>),
}

/// What the peer has said in its opening handshake.
pub(crate) enum Peer {
    Client(Box<Request>),
    Server { status: u16, headers: Vec<(String, Vec<u8>)> },
}

/// Why a request was not accepted, or answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unanswered {
    /// No request waits for a decision.
    NotNow,
    /// The answer breaks a rule. Nothing was sent, and the request still waits.
    Answer(ResponseError),
    /// The request is no opening handshake: it can only be answered.
    Plain(HandshakeError),
}

impl Endpoint {
    /// The server's side.
    pub(crate) fn server(settings: Settings) -> Self {
        let step = Step::Request(RequestParser::new(settings.head));
        Self::new(settings, Opening::new(step), Sender::server())
    }

    /// The client's side, whose request is in the output: for `target` at `host`. The key is 16 random bytes.
    pub(crate) fn client(settings: Settings, host: &str, target: &str, key: [u8; 16]) -> Result<Self, ResponseError> {
        let subprotocols: Vec<&str> = settings.subprotocols.iter().map(String::as_str).collect();
        let headers = settings.borrowed_headers();
        let offer = Offer {
            subprotocols: &subprotocols,
            deflate: settings.deflate,
            origin: settings.origin.as_deref(),
            headers: &headers,
            ..Offer::new(host, target, key)
        };
        let output = Output::beginning_with(offer.encode()?);
        let step = Step::Response(Box::new(ResponseParser::new(&offer, settings.head)));
        drop((subprotocols, headers));
        let given = (settings.keys == Keys::Given).then(GivenKeys::default);
        let keys: Box<dyn MaskingKeys> = match &given {
            Some(given) => Box::new(given.clone()),
            None => Box::new(raddle_socket::RandomKeys::new()),
        };
        let mut endpoint = Self::new(settings, Opening::new(step), Sender::client(keys));
        (endpoint.output, endpoint.keys) = (output, given);
        Ok(endpoint)
    }

    /// The request that waits for a decision.
    pub(crate) fn request(&self) -> Option<&Request> {
        match (&self.stage, &self.peer) {
            (Stage::Opening(opening), Some(Peer::Client(request))) if matches!(opening.step, Step::Decision) => {
                Some(request)
            }
            _ => None,
        }
    }

    /// Accepts the request that waits, with one of the subprotocols that the client has offered, or none.
    pub(crate) fn accept(&mut self, subprotocol: Option<&str>) -> Result<(), Unanswered> {
        let request = self.request().ok_or(Unanswered::NotNow)?;
        let headers = self.settings.borrowed_headers();
        let accept = Accept { subprotocol, deflate: self.settings.deflate, headers: &headers };
        let (response, agreement) = request.accept(&accept).map_err(|error| match error {
            AcceptError::Request(error) => Unanswered::Plain(error),
            AcceptError::Answer(error) => Unanswered::Answer(error),
        })?;
        let head_len = request.head_len();
        self.output = Output::beginning_with(response);
        self.agreement = agreement;
        self.opened(head_len);
        Ok(())
    }

    /// Answers the request that waits over HTTP, and ends the connection.
    pub(crate) fn answer(&mut self, response: &Response) -> Result<(), Unanswered> {
        self.request().ok_or(Unanswered::NotNow)?;
        self.refuse(response, Fault::Answered);
        Ok(())
    }

    /// Goes on with the opening handshake.
    pub(super) fn advance_opening(&mut self) -> Result<Found, Fault> {
        let Stage::Opening(opening) = &mut self.stage else { return Ok(Found::Nothing) };
        let received = &opening.received[..opening.filled];
        match &mut opening.step {
            Step::Decision => Ok(Found::Nothing),
            Step::Request(parser) => match parser.advance(received) {
                Ok(None) => Ok(Found::Nothing),
                Ok(Some(request)) => {
                    opening.step = Step::Decision;
                    self.decide(request)
                }
                Err(error) => {
                    let response = error.response_to(received);
                    Err(self.refuse(&response, Fault::Request(error)))
                }
            },
            Step::Response(parser) => match parser.advance(received) {
                Ok(None) => Ok(Found::Nothing),
                Ok(Some((agreement, head_len))) => {
                    self.peer = Some(Peer::server(101, parser.headers()));
                    self.agreement = agreement;
                    self.opened(head_len);
                    Ok(self.announce())
                }
                Err(error) => {
                    if let ClientError::Refused(refusal) = &error {
                        self.peer = Some(Peer::server(refusal.status, refusal.headers()));
                    }
                    self.stage = Stage::refused(Fault::Response(error.clone()));
                    Err(Fault::Response(error))
                }
            },
        }
    }

    fn decide(&mut self, request: Request) -> Result<Found, Fault> {
        let allowed = request.check(&self.settings.origins, &self.settings.hosts);
        let chosen = {
            let supported: Vec<&str> = self.settings.subprotocols.iter().map(String::as_str).collect();
            request.choose_subprotocol(&supported).map(str::to_owned)
        };
        self.peer = Some(Peer::Client(Box::new(request)));
        if let Err(error) = allowed {
            return Err(self.refuse(&error.response(), Fault::Request(error)));
        }
        if self.settings.decision == Decision::Program {
            return Ok(Found::Request);
        }
        match self.accept(chosen.as_deref()) {
            Ok(()) => Ok(self.announce()),
            Err(Unanswered::Plain(error)) => Err(self.refuse(&error.response(), Fault::Request(error))),
            // A header that was set is not in order, which is the program's fault.
            Err(_) => Err(self.refuse(&Response::refusal(500), Fault::Answered)),
        }
    }

    fn refuse(&mut self, response: &Response, fault: Fault) -> Fault {
        self.lent = 0;
        self.output = Output::beginning_with(response.encode());
        self.stage = Stage::refused(fault.clone());
        fault
    }

    /// Goes on with frames, which begin behind the head.
    fn opened(&mut self, head_len: usize) {
        let Stage::Opening(opening) = &self.stage else { return };
        let (role, agreed) = (self.settings.role, self.agreement.deflate);
        let mut receiver = Box::new(Receiver::new(role, self.settings.limits).with_deflate(agreed));
        receiver.feed(&opening.received[head_len..opening.filled]);
        self.lent = 0;
        self.compression = agreed.map(|deflate| Box::new(Compression::new(deflate, role)));
        self.stage = Stage::Opened(receiver);
    }
}

impl Opening {
    fn new(step: Step) -> Self {
        Self { step, received: Vec::new(), filled: 0 }
    }

    pub(super) fn space(&mut self) -> &mut [u8] {
        self.received.resize(self.filled + SPACE, 0);
        &mut self.received[self.filled..]
    }

    pub(super) fn filled(&mut self, count: usize) {
        self.filled += count;
    }
}

impl Peer {
    fn server<'h>(status: u16, headers: impl Iterator<Item = (&'h str, &'h [u8])>) -> Self {
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Self::Server { status, headers }
    }

    /// Name and value of a header, in the order in which they came.
    pub(crate) fn header_at(&self, index: usize) -> Option<(&str, &[u8])> {
        match self {
            Self::Client(request) => request.headers().nth(index),
            Self::Server { headers, .. } => headers.get(index).map(|(name, value)| (name.as_str(), value.as_slice())),
        }
    }

    /// The value of the first header of this name, in any case.
    pub(crate) fn header(&self, name: &str) -> Option<&[u8]> {
        match self {
            Self::Client(request) => request.header(name),
            Self::Server { headers, .. } => {
                headers.iter().find(|(it, _)| it.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_slice())
            }
        }
    }
}

/// Bytes that are lent at a time for a head.
const SPACE: usize = 2048;

//! A connection in the lobby: makes its request, or gets an answer, as far as its socket lets it.

use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr};
use std::time::Instant;

use raddle_core::handshake::{HandshakeError, Hosts, Request, RequestParser, Response};
use raddle_socket::{Interest, Patience, Transport};

use crate::admission::{Full, Ticket};
use crate::metrics::Refusal;
use crate::proxy::AddressSource;
use crate::proxy_protocol::{self, Source};
use crate::registry::Place;
use crate::shared::Shared;
use crate::stream::{Greeting, Stream};

/// A connection in the lobby.
#[derive(Debug)]
pub(crate) struct Guest {
    pub(crate) stream: Stream,
    /// The client's address, as far as it is known.
    pub(crate) peer: Option<SocketAddr>,
    /// The listener that it has come through.
    pub(crate) listener: usize,
    /// `None` for one that was not admitted.
    pub(crate) ticket: Option<Ticket>,
    pub(crate) place: Option<Place>,
    /// When the lobby gives it up.
    pub(crate) until: Instant,
    pub(crate) stage: Stage,
    /// What its socket is watched for, while it asks.
    pub(crate) watched: Interest,
}

#[derive(Debug)]
pub(crate) enum Stage {
    Asking {
        parser: RequestParser,
        received: Vec<u8>,
        /// What is still to be learned of the client from a trusted proxy.
        proxied: Option<AddressSource>,
    },
    Answering {
        response: Vec<u8>,
        written: usize,
    },
    /// The answer is written. What the client still sends is dropped, so that it gets the answer and not a reset.
    Lingering {
        dropped: usize,
    },
}

/// What becomes of a guest after a step.
pub(crate) enum Next {
    Stays,
    Leaves,
    /// There is room for more of its answer.
    Writes,
    /// The request is complete.
    Asks(Box<Request>),
    Refused(Refusal, Response),
    /// It is let go without an answer.
    Dropped(Refusal),
    /// Its TLS handshake has failed, and the alert has left.
    Alerted(io::Error),
}

impl Guest {
    /// One that is about to get an answer.
    pub(crate) fn leaving(
        stream: Stream,
        peer: Option<SocketAddr>,
        ticket: Option<Ticket>,
        place: Option<Place>,
    ) -> Self {
        let stage = Stage::Lingering { dropped: 0 };
        Self { stream, peer, listener: 0, ticket, place, until: Instant::now(), stage, watched: Interest::Read }
    }

    /// Does what the socket is ready for, as far as it goes. `scratch` is space for one read.
    pub(crate) fn step(&mut self, scratch: &mut [u8], shared: &Shared, hosts: &Hosts) -> Next {
        match &mut self.stage {
            Stage::Asking { .. } => self.hear(scratch, shared, hosts).unwrap_or_else(|next| next),
            Stage::Answering { .. } => Next::Writes,
            Stage::Lingering { dropped } => match self.stream.socket().receive(scratch, Patience::DontWait) {
                Ok(0) => Next::Leaves,
                Ok(count) => {
                    *dropped += count;
                    if *dropped < LINGER_BYTES { Next::Stays } else { Next::Leaves }
                }
                Err(error) => after(&error),
            },
        }
    }

    /// Hears a proxy's word, then TLS, then the request, as far as they have come.
    fn hear(&mut self, scratch: &mut [u8], shared: &Shared, hosts: &Hosts) -> Result<Next, Next> {
        let has_read = self.hear_proxy(scratch)?;
        let Stage::Asking { received, .. } = &mut self.stage else { return Ok(Next::Stays) };
        match self.stream.greet(received, scratch) {
            Greeting::Done => {}
            Greeting::Waits => return Ok(Next::Stays),
            Greeting::PlainHttp => return Ok(Next::Refused(Refusal::Tls, Response::refusal(400))),
            Greeting::Failed(error) if error.kind() == io::ErrorKind::InvalidData => {
                // What it still sends is heard out, so that it gets the alert and not a reset.
                self.stage = Stage::Lingering { dropped: 0 };
                let _ = self.stream.socket().shutdown(Shutdown::Write);
                return Ok(Next::Alerted(error));
            }
            Greeting::Failed(_) => return Ok(Next::Dropped(Refusal::Gone)),
        }
        // What came together with a proxy's word.
        let mut is_new = has_read && !received.is_empty();
        loop {
            if !is_new {
                self.receive(scratch)?;
            }
            is_new = false;
            match self.ask(shared, hosts) {
                // No more comes from the socket for what TLS has received already.
                Next::Stays if self.stream.transport().has_input() => {}
                next => return Ok(next),
            }
        }
    }

    /// Reads once, of the request or of what goes before it.
    fn receive(&mut self, scratch: &mut [u8]) -> Result<(), Next> {
        let Stage::Asking { received, .. } = &mut self.stage else { return Err(Next::Stays) };
        match self.stream.transport().receive(scratch, Patience::DontWait) {
            Ok(0) => Err(Next::Dropped(Refusal::Gone)),
            Ok(count) => {
                received.extend_from_slice(&scratch[..count]);
                Ok(())
            }
            Err(error) => Err(match after(&error) {
                Next::Leaves => Next::Dropped(Refusal::Gone),
                next => next,
            }),
        }
    }

    /// Reads what a proxy says of the client, where it has to come first. `false`: it was not read for.
    fn hear_proxy(&mut self, scratch: &mut [u8]) -> Result<bool, Next> {
        if !matches!(self.stage, Stage::Asking { proxied: Some(AddressSource::ProxyProtocol), .. }) {
            return Ok(false);
        }
        self.receive(scratch)?;
        let Stage::Asking { received, proxied, .. } = &mut self.stage else { return Ok(false) };
        match proxy_protocol::parse(received) {
            Ok(None) => Err(Next::Stays),
            Ok(Some((source, length))) => {
                received.drain(..length);
                *proxied = None;
                if let Source::Client(client) = source {
                    self.peer = Some(client);
                }
                let located = locate(&self.ticket, &self.place, self.peer);
                located.map(|()| true).map_err(|full| Next::Dropped(full.into()))
            }
            Err(_) => Err(Next::Dropped(Refusal::Proxy)),
        }
    }

    /// Parses on in what was received of the request.
    fn ask(&mut self, shared: &Shared, hosts: &Hosts) -> Next {
        let Stage::Asking { parser, received, proxied } = &mut self.stage else { return Next::Stays };
        let head = match parser.advance(received) {
            Ok(None) => return Next::Stays,
            Ok(Some(head)) => head,
            Err(error) => return refuse_malformed(shared, received, error),
        };
        if let (Some(_), Some(proxies)) = (proxied.take(), &shared.settings.proxies) {
            match proxies.client(&head) {
                Ok(client) => self.peer = client.or(self.peer),
                Err(_) => return Next::Refused(Refusal::Proxy, Response::refusal(400)),
            }
            if let Err(full) = locate(&self.ticket, &self.place, self.peer) {
                return Next::Refused(full.into(), Response::refusal(429));
            }
        }
        match head.check(&shared.settings.origins, hosts) {
            Ok(()) => Next::Asks(Box::new(head)),
            Err(error) => Next::Refused(Refusal::Handshake(error), error.response()),
        }
    }

    /// Writes what fits of the answer, and ends the stream behind it.
    pub(crate) fn answer(&mut self) -> Next {
        let Stage::Answering { response, written } = &mut self.stage else { return Next::Stays };
        while *written < response.len() {
            match self.stream.transport().send(&[IoSlice::new(&response[*written..])]) {
                Ok(0) => return Next::Leaves,
                Ok(count) => *written += count,
                Err(error) => return after(&error),
            }
        }
        self.stage = Stage::Lingering { dropped: 0 };
        match self.stream.transport().shutdown(Shutdown::Write) {
            Ok(()) => Next::Stays,
            Err(_) => Next::Leaves,
        }
    }
}

/// Counts a guest as one of its address, now that it is known.
pub(crate) fn locate(ticket: &Option<Ticket>, place: &Option<Place>, peer: Option<SocketAddr>) -> Result<(), Full> {
    let Some(peer) = peer else { return Ok(()) };
    if let Some(place) = place {
        place.locate(peer);
    }
    ticket.as_ref().map_or(Ok(()), |ticket| ticket.locate(peer.ip(), Instant::now()))
}

fn refuse_malformed(shared: &Shared, received: &[u8], error: HandshakeError) -> Next {
    let proxies = shared.settings.proxies.as_ref();
    if proxies.is_some_and(|proxies| proxies.source == AddressSource::ProxyProtocol)
        && proxy_protocol::is_begun(received)
    {
        // Somebody poses as a proxy.
        return Next::Dropped(Refusal::Proxy);
    }
    Next::Refused(Refusal::Handshake(error), error.response_to(received))
}

/// What becomes of a guest whose socket has failed, or has nothing more for the moment.
fn after(error: &io::Error) -> Next {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Next::Stays,
        _ => Next::Leaves,
    }
}

/// So many bytes are read behind an answer: what a client may well be amid of sending.
const LINGER_BYTES: usize = 4 << 20;

//! One side of a WebSocket without I/O, from the first byte of its opening handshake: bytes in, events out; messages in, bytes
//! out. What the C functions of the protocol object do, in safe Rust.

use std::time::Duration;

use raddle_core::handshake::{Agreement, ClientError, HandshakeError};
use raddle_core::{Due, Error, Event, Keepalive, Receiver, Sender};

use super::keys::GivenKeys;
use super::opening::{Opening, Peer};
use super::output::{Output, Piece};
use super::sending::Compression;
use super::settings::Settings;

/// A protocol object.
// What only few connections have, or only at their beginning, is apart: each message finds the rest in as few places as can be.
pub(crate) struct Endpoint {
    pub(super) settings: Box<Settings>,
    pub(super) stage: Stage,
    pub(super) sender: Sender,
    pub(super) output: Output,
    /// What the peer has said in its opening handshake, until the step behind the event that tells of its end.
    pub(super) peer: Option<Peer>,
    pub(super) agreement: Agreement,
    pub(super) compression: Option<Box<Compression>>,
    pub(super) keys: Option<GivenKeys>,
    keepalive: Option<Keepalive>,
    /// Bytes have come since the time was last told.
    heard: bool,
    /// Bytes of the space that is lent; 0 whenever the stage has changed, or its memory was given back, since.
    pub(super) lent: usize,
}

/// How far the connection has come.
pub(super) enum Stage {
    Opening(Box<Opening>),
    /// The opening handshake is done, and nobody was told yet.
    Opened(Box<Receiver>),
    Open(Box<Receiver>),
    /// It was refused, or broken off, before it was open. What still comes is dropped here.
    Refused(Box<(Fault, Vec<u8>)>),
}

impl Stage {
    pub(super) fn refused(fault: Fault) -> Self {
        Self::Refused(Box::new((fault, Vec::new())))
    }
}

/// What has ended the connection without a Close of the peer. Final: nothing is parsed after it.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// The peer's request is not in order.
    Request(HandshakeError),
    /// The peer's response is not in order, or a refusal.
    Response(ClientError),
    /// The peer has broken a rule of the protocol, or a limit.
    Frame(Error),
    /// The program has refused the peer's request.
    Answered,
}

/// What [`Endpoint::advance`] has stopped at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// More bytes are needed.
    Nothing,
    /// A request waits for the program's decision.
    Request,
    /// The connection is open.
    Open,
    /// An [event](Endpoint::event).
    Event,
}

/// How messages are delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    Whole,
    /// In parts, as they arrive.
    Parts,
}

/// Where the connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Connecting,
    Open,
    /// One side has sent its Close.
    Closing,
    /// Nothing is parsed any more, and nothing sent but what waits in the output.
    Closed,
}

/// More bytes were told of than were lent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooMany;

/// The peer was given its time and has said nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Silent;

impl Endpoint {
    pub(super) fn new(settings: Settings, opening: Opening, sender: Sender) -> Self {
        Self {
            settings: Box::new(settings),
            stage: Stage::Opening(Box::new(opening)),
            sender,
            output: Output::default(),
            peer: None,
            agreement: Agreement::default(),
            compression: None,
            keys: None,
            keepalive: None,
            heard: false,
            lent: 0,
        }
    }

    /// Lends space for received bytes, at least one byte. Clears the event.
    pub(crate) fn space(&mut self) -> &mut [u8] {
        let space = match &mut self.stage {
            Stage::Opening(opening) => opening.space(),
            Stage::Opened(receiver) | Stage::Open(receiver) => receiver.space(),
            Stage::Refused(refused) => {
                let (_, dropped) = &mut **refused;
                dropped.resize(DROPPED, 0);
                &mut dropped[..]
            }
        };
        self.lent = space.len();
        space
    }

    /// Notes that the first `count` bytes of the space that was lent last were filled.
    pub(crate) fn filled(&mut self, count: usize) -> Result<(), TooMany> {
        if count > self.lent {
            return Err(TooMany);
        }
        self.lent = 0;
        self.heard |= count > 0;
        match &mut self.stage {
            Stage::Opening(opening) => opening.filled(count),
            Stage::Opened(receiver) | Stage::Open(receiver) => receiver.filled(count),
            Stage::Refused(..) => {}
        }
        Ok(())
    }

    /// Takes a copy of received bytes. Clears the event.
    pub(crate) fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let space = self.space();
            let count = bytes.len().min(space.len());
            space[..count].copy_from_slice(&bytes[..count]);
            self.filled(count).expect("no more than was lent");
            bytes = &bytes[count..];
        }
    }

    /// Parses up to the next event, and does what the protocol asks for: Pong for Ping, Close for Close, a Close for an error.
    ///
    /// A fault is final, and given again by every further call.
    pub(crate) fn advance(&mut self, delivery: Delivery) -> Result<Found, Fault> {
        self.lent = 0;
        let receiver = match &mut self.stage {
            Stage::Opening(_) => return self.advance_opening(),
            Stage::Opened(_) => return Ok(self.announce()),
            Stage::Refused(refused) => return Err(refused.0.clone()),
            Stage::Open(receiver) => receiver,
        };
        self.peer = None;
        let found = match delivery {
            Delivery::Whole => receiver.advance(),
            Delivery::Parts => receiver.advance_part(),
        };
        match found {
            Ok(false) => return Ok(Found::Nothing),
            Ok(true) => {}
            Err(error) => {
                self.sender.fail(error);
                return Err(Fault::Frame(error));
            }
        }
        if !receiver.is_whole_message() {
            self.sender.react(&receiver.event().expect("advance() has returned true"));
        }
        Ok(Found::Event)
    }

    /// Tells of the open connection.
    pub(super) fn announce(&mut self) -> Found {
        let opened = std::mem::replace(&mut self.stage, Stage::refused(Fault::Answered));
        self.stage = match opened {
            Stage::Opened(receiver) => Stage::Open(receiver),
            other => other,
        };
        Found::Open
    }

    /// Lends the event that the last [`advance`](Self::advance) has found.
    pub(crate) fn event(&self) -> Option<Event<'_>> {
        match &self.stage {
            Stage::Open(receiver) => receiver.event(),
            _ => None,
        }
    }

    /// What is to be written next, in order, in as many places as there are; the number of places that were filled. It stays
    /// where it is until it was written.
    pub(crate) fn output(&mut self, places: &mut [Piece]) -> usize {
        self.output.pieces(&mut self.sender, places)
    }

    /// Takes `count` bytes off the output, over all pieces, after they were written.
    pub(crate) fn written(&mut self, count: usize) -> Result<(), TooMany> {
        self.output.written(&mut self.sender, count)
    }

    /// Bytes that wait to be written.
    pub(crate) fn queued(&self) -> usize {
        self.output.queued(&self.sender)
    }

    /// Where the connection stands.
    pub(crate) fn standing(&self) -> Standing {
        match &self.stage {
            Stage::Opening(_) | Stage::Opened(_) => Standing::Connecting,
            Stage::Refused(..) => Standing::Closed,
            Stage::Open(receiver) => match (receiver.is_closed(), self.sender.is_closed()) {
                _ if receiver.has_failed() => Standing::Closed,
                (true, true) => Standing::Closed,
                (false, false) => Standing::Open,
                _ => Standing::Closing,
            },
        }
    }

    /// Tells the time, counted from any moment, and sends a Ping where one is due: how long nothing is to be done; `None`:
    /// keepalive has nothing to do, now or later.
    pub(crate) fn tick(&mut self, now: Duration) -> Result<Option<Duration>, Silent> {
        let Some((interval, timeout)) = self.settings.keepalive else { return Ok(None) };
        if self.standing() != Standing::Open {
            return Ok(None);
        }
        let keepalive = self.keepalive.get_or_insert_with(|| Keepalive::new(interval, timeout, now));
        if std::mem::take(&mut self.heard) {
            keepalive.heard(now);
        }
        loop {
            match keepalive.due(now) {
                Due::Wait(until) => return Ok(Some(until.saturating_sub(now))),
                // Without a masking key nothing is sent: then the silence is not the peer's, but it is one.
                Due::Ping(payload) => drop(self.sender.ping(&payload)),
                Due::Silent => return Err(Silent),
            }
        }
    }

    /// Tells whether frames can be sent, until a Close was.
    pub(super) fn is_opened(&self) -> bool {
        matches!(self.stage, Stage::Opened(_) | Stage::Open(_))
    }

    /// Gives back memory that is not needed now, and a compressor: the next message does without what it knew. Clears the event, and
    /// takes lent space back.
    pub(crate) fn shrink(&mut self) {
        self.lent = 0;
        if let Stage::Opened(receiver) | Stage::Open(receiver) = &mut self.stage {
            receiver.shrink();
        }
        self.sender.shrink();
        self.output.shrink();
        self.shrink_compression();
    }
}

/// Bytes that are taken at a time where they are dropped.
const DROPPED: usize = 4096;

//! The table's types: what a peer does, and what has to become of it.

use std::fmt;
use std::ops::BitOr;
use std::time::Duration;

use raddle::core::handshake::Request;
use raddle::{Deflate, HeadLimits, Hosts, Limits, Origins};

use crate::head::{self, Head};
use crate::wire::Piece;

/// A line of the table. A case of the page with ten inputs is ten lines with one number.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// The number in docs/hostile-inputs.md.
    pub(crate) number: u16,
    pub(crate) name: String,
    pub(crate) modes: Modes,
    pub(crate) setup: Setup,
    pub(crate) input: Input,
    pub(crate) then: Then,
    pub(crate) expect: Verdict,
}

/// Where a line is run: a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Modes(u16);

impl Modes {
    /// The server's side of the protocol without I/O.
    pub(crate) const CORE: Self = Self(1);
    /// The client's side of the protocol without I/O.
    pub(crate) const CLIENT_CORE: Self = Self(1 << 1);
    /// A server with each of its engines, over TCP.
    pub(crate) const SERVER: Self = Self(1 << 2);
    /// A client, over TCP.
    pub(crate) const CLIENT: Self = Self(1 << 3);

    pub(crate) fn contains(self, mode: Self) -> bool {
        self.0 & mode.0 == mode.0
    }
}

impl BitOr for Modes {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What the endpoint allows. Lines with equal ones share a server.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Setup {
    pub(crate) head: HeadLimits,
    pub(crate) origins: Origins,
    pub(crate) hosts: Hosts,
    pub(crate) subprotocols: &'static [&'static str],
    pub(crate) handshake_timeout: Duration,
    pub(crate) limits: Limits,
    /// What it agrees on with a client that offers it; what both sides hold to where there is no opening handshake.
    pub(crate) deflate: Option<Deflate>,
}

impl Setup {
    /// A text that the endpoint takes.
    pub(crate) fn text_that_fits(&self) -> &'static str {
        &"next"[..self.limits.message.min(self.limits.frame).min(4) as usize]
    }
}

impl Default for Setup {
    /// The library's defaults, for a server of any name.
    fn default() -> Self {
        Self {
            head: HeadLimits::default(),
            origins: Origins::SameOrigin,
            hosts: Hosts::Any,
            subprotocols: &[],
            handshake_timeout: Duration::from_secs(10),
            limits: Limits::default(),
            deflate: None,
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Input {
    /// Bytes from the beginning of the connection.
    Head(Vec<u8>),
    /// What follows the opening handshake that this head asks for.
    Frames { head: Vec<u8>, pieces: Vec<Piece> },
    /// A call of the application's.
    Call(Call),
    /// What a server answers to a client's request. Where [`head::SAMPLE_ACCEPT`] stands in it, it answers the client's key.
    Response(Vec<u8>),
}

/// What a client finds in a response that opens no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Malformed,
    TooLarge,
    TooManyInterim,
    Status(u16),
    NoUpgrade,
    Accept,
    Subprotocol,
    Extension,
    /// The stream has ended before the response was whole.
    Ended,
}

/// What the application asks of the library.
#[derive(Clone, Debug)]
pub(crate) enum Call {
    /// Accepts the request with this subprotocol.
    Agree(&'static str),
    /// Accepts the request with this header in the response.
    AcceptWith(&'static str, &'static [u8]),
    /// Makes an HTTP answer with this header.
    AnswerWith(&'static str, &'static [u8]),
    /// Makes an HTTP answer of this status.
    Answer(u16),
    /// Begins the closing handshake.
    Close(u16, String),
    /// Sends a Ping.
    Ping(Vec<u8>),
}

/// What the peer does behind its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// Goes on: with the closing handshake, where the connection is open.
    Stay,
    /// Ends its direction of the stream.
    Finish,
    /// Resets the connection.
    Reset,
}

/// The page's verdict words.
#[derive(Clone, Debug)]
pub(crate) enum Verdict {
    /// ACCEPT of an opening handshake, with the headers that the response has beside its fixed ones.
    Open {
        accept: &'static str,
        subprotocol: Option<&'static str>,
        extensions: Option<&'static str>,
        sees: fn(&Request),
    },
    /// ACCEPT of frames: these events, and no others.
    Accept(Vec<Saw>),
    /// REJECT, with headers that the answer must have.
    Reject { status: u16, headers: &'static [(&'static str, &'static str)] },
    /// FAIL with a code, after these events.
    Fail { code: u16, after: Vec<Saw> },
    /// DROP.
    Drop,
    /// Caller error.
    CallerError,
    /// ACCEPT of a response, with the subprotocol that the server has chosen.
    Connected { subprotocol: Option<&'static str> },
    /// The handshake error of a client.
    Unopened(Fault),
}

/// An event, as a peer or an application sees it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Saw {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<(u16, String)>),
}

pub(crate) fn saw_text(text: impl Into<String>) -> Saw {
    Saw::Text(text.into())
}

pub(crate) fn saw_binary(bytes: impl AsRef<[u8]>) -> Saw {
    Saw::Binary(bytes.as_ref().to_vec())
}

pub(crate) fn saw_ping(payload: impl AsRef<[u8]>) -> Saw {
    Saw::Ping(payload.as_ref().to_vec())
}

pub(crate) fn saw_pong(payload: impl AsRef<[u8]>) -> Saw {
    Saw::Pong(payload.as_ref().to_vec())
}

pub(crate) fn saw_close(code: u16, reason: impl Into<String>) -> Saw {
    Saw::Close(Some((code, reason.into())))
}

impl Saw {
    pub(crate) fn is_message(&self) -> bool {
        matches!(self, Self::Text(_) | Self::Binary(_))
    }
}

impl fmt::Debug for Saw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, payload) = match self {
            Self::Text(text) => ("Text", text.as_bytes()),
            Self::Binary(bytes) => ("Binary", bytes.as_slice()),
            Self::Ping(payload) => ("Ping", payload.as_slice()),
            Self::Pong(payload) => ("Pong", payload.as_slice()),
            Self::Close(None) => return f.write_str("Close"),
            Self::Close(Some((code, reason))) => return write!(f, "Close({code} {reason:?})"),
        };
        let start = &payload[..payload.len().min(40)];
        write!(f, "{kind}({} bytes: {})", payload.len(), start.escape_ascii())
    }
}

/// An opening handshake that succeeds, and agrees on nothing.
pub(crate) fn open(number: u16, name: impl Into<String>, head: impl Into<Vec<u8>>) -> Case {
    let expect = Verdict::Open { accept: head::SAMPLE_ACCEPT, subprotocol: None, extensions: None, sees: |_| {} };
    of_head(number, name, head, expect)
}

/// A request that is refused, with the headers that the status asks for.
pub(crate) fn reject(number: u16, status: u16, name: impl Into<String>, head: impl Into<Vec<u8>>) -> Case {
    let headers: &[(&str, &str)] = match status {
        // RFC 9110, section 15.5.6.
        405 => &[("Allow", "GET")],
        // RFC 9110, section 15.5.22, and RFC 6455, section 4.4.
        426 => &[("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Version", "13")],
        _ => &[],
    };
    of_head(number, name, head, Verdict::Reject { status, headers })
}

/// A beginning that the server waits on with, until it closes the connection without a word.
pub(crate) fn dropped(number: u16, name: impl Into<String>, head: impl Into<Vec<u8>>) -> Case {
    of_head(number, name, head, Verdict::Drop)
}

fn of_head(number: u16, name: impl Into<String>, head: impl Into<Vec<u8>>, expect: Verdict) -> Case {
    Case {
        number,
        name: name.into(),
        modes: Modes::CORE | Modes::SERVER,
        setup: Setup::default(),
        input: Input::Head(head.into()),
        then: Then::Stay,
        expect,
    }
}

/// Frames that are received as these events.
pub(crate) fn accept(
    number: u16,
    name: impl Into<String>,
    pieces: impl IntoIterator<Item = Piece>,
    events: impl IntoIterator<Item = Saw>,
) -> Case {
    of_frames(number, name, pieces, Verdict::Accept(events.into_iter().collect()))
}

/// Frames that fail the connection.
pub(crate) fn fail(number: u16, code: u16, name: impl Into<String>, pieces: impl IntoIterator<Item = Piece>) -> Case {
    of_frames(number, name, pieces, Verdict::Fail { code, after: Vec::new() })
}

fn of_frames(number: u16, name: impl Into<String>, pieces: impl IntoIterator<Item = Piece>, expect: Verdict) -> Case {
    let pieces = pieces.into_iter().collect();
    Case {
        modes: Modes::CORE | Modes::CLIENT_CORE | Modes::SERVER | Modes::CLIENT,
        input: Input::Frames { head: head::sample().into(), pieces },
        ..of_head(number, name, b"", expect)
    }
}

/// A response that opens a client's connection.
pub(crate) fn connects(number: u16, name: impl Into<String>, response: impl Into<Vec<u8>>) -> Case {
    of_response(number, name, response, Verdict::Connected { subprotocol: None })
}

/// A response that is an error of the client's call.
pub(crate) fn unopened(number: u16, fault: Fault, name: impl Into<String>, response: impl Into<Vec<u8>>) -> Case {
    of_response(number, name, response, Verdict::Unopened(fault))
}

fn of_response(number: u16, name: impl Into<String>, response: impl Into<Vec<u8>>, expect: Verdict) -> Case {
    let input = Input::Response(response.into());
    Case { modes: Modes::CLIENT_CORE | Modes::CLIENT, input, ..of_head(number, name, b"", expect) }
}

/// A call that fails, and leaves what it was made on usable.
pub(crate) fn caller_error(number: u16, name: impl Into<String>, call: Call) -> Case {
    Case { input: Input::Call(call), ..of_head(number, name, b"", Verdict::CallerError) }
}

impl Case {
    /// Runs the line in these modes only.
    pub(crate) fn only(self, modes: Modes) -> Self {
        Self { modes, ..self }
    }

    pub(crate) fn on(self, setup: Setup) -> Self {
        Self { setup, ..self }
    }

    pub(crate) fn then(self, then: Then) -> Self {
        Self { then, ..self }
    }

    /// The events before the failure.
    pub(crate) fn after(mut self, events: impl IntoIterator<Item = Saw>) -> Self {
        let Verdict::Fail { after, .. } = &mut self.expect else { panic!("a line that does not fail") };
        after.extend(events);
        self
    }

    /// What the application sees of the request.
    pub(crate) fn sees(mut self, check: fn(&Request)) -> Self {
        let Verdict::Open { sees, .. } = &mut self.expect else { panic!("a line that opens no connection") };
        *sees = check;
        self
    }

    pub(crate) fn agreeing_on(mut self, name: &'static str) -> Self {
        match &mut self.expect {
            Verdict::Open { subprotocol, .. } | Verdict::Connected { subprotocol } => *subprotocol = Some(name),
            _ => panic!("a line that opens no connection"),
        }
        self
    }

    /// The value of Sec-WebSocket-Extensions in the response.
    pub(crate) fn answered(mut self, value: &'static str) -> Self {
        let Verdict::Open { extensions, .. } = &mut self.expect else { panic!("a line that opens no connection") };
        *extensions = Some(value);
        self
    }

    /// Frames behind an agreement on permessage-deflate.
    pub(crate) fn deflated(mut self, deflate: Deflate) -> Self {
        self.setup.deflate = Some(deflate);
        self.behind(head::sample().add("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits"))
    }

    /// The value of Sec-WebSocket-Accept, where the key is not the RFC's.
    pub(crate) fn accepting(mut self, value: &'static str) -> Self {
        let Verdict::Open { accept, .. } = &mut self.expect else { panic!("a line that opens no connection") };
        *accept = value;
        self
    }

    /// Another opening handshake before the frames.
    pub(crate) fn behind(mut self, with: Head) -> Self {
        let Input::Frames { head, .. } = &mut self.input else { panic!("a line without frames") };
        *head = with.into();
        self
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number, self.name)
    }
}

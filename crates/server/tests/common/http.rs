//! The client's side of an opening handshake, whatever becomes of it.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use raddle_core::Role;
use raddle_core::handshake::{Agreement, ClientError, HeadLimits, Offer, ResponseParser};

use super::{Client, PATIENCE, Peer};

/// The plainest request for a WebSocket.
pub(crate) const OFFER: Offer<'static> = Offer::new("localhost", "/", [7; 16]);

/// A client that has connected, and perhaps made its request.
pub(crate) struct Asking {
    pub(crate) stream: TcpStream,
    parser: ResponseParser,
}

/// An answer that opens no connection, and was read to the end of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Asking {
    /// Connects, and says nothing yet.
    pub(crate) fn silently(address: SocketAddr) -> Self {
        Self::on(TcpStream::connect(address).expect("the server listens"))
    }

    /// A client that has connected somehow.
    pub(crate) fn on(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        Self { stream, parser: ResponseParser::new(&OFFER, HeadLimits::default()) }
    }

    /// Connects and makes the request of `offer`.
    pub(crate) fn with(address: SocketAddr, offer: &Offer<'_>) -> Self {
        let mut asking = Self::silently(address);
        asking.parser = ResponseParser::new(offer, HeadLimits::default());
        asking.say(&offer.encode().expect("a valid offer"));
        asking
    }

    pub(crate) fn say(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the server takes a request");
    }

    /// Waits for the server to accept.
    pub(crate) fn accepted(self) -> (Client, Agreement) {
        self.outcome().expect("the server accepts")
    }

    /// Waits for the server to accept, or not: with the status of its answer.
    pub(crate) fn outcome(mut self) -> Result<(Client, Agreement), u16> {
        let mut received = Vec::new();
        loop {
            let mut bytes = [0; 4096];
            let count = self.stream.read(&mut bytes).expect("an answer");
            assert!(count > 0, "the stream has ended after {:?}", String::from_utf8_lossy(&received));
            received.extend_from_slice(&bytes[..count]);
            match self.parser.advance(&received) {
                Ok(None) => {}
                Ok(Some((agreement, length))) => {
                    let behind = received.split_off(length);
                    return Ok((Peer::with_received(self.stream, Role::Client, behind), agreement));
                }
                Err(ClientError::Refused(refusal)) => return Err(refusal.status),
                Err(error) => panic!("{error} in {:?}", String::from_utf8_lossy(&received)),
            }
        }
    }

    /// Waits for the server to accept, which it may as well not: `None`.
    pub(crate) fn opened(mut self) -> Option<Client> {
        let mut received = Vec::new();
        loop {
            let mut bytes = [0; 4096];
            let count = self.stream.read(&mut bytes).ok().filter(|count| *count > 0)?;
            received.extend_from_slice(&bytes[..count]);
            if let Some((_, length)) = self.parser.advance(&received).ok()? {
                let behind = received.split_off(length);
                return Some(Peer::with_received(self.stream, Role::Client, behind));
            }
        }
    }

    /// Waits for an HTTP answer and for the end of the stream. `None`: the stream has ended, or was reset, without one.
    pub(crate) fn answer(mut self) -> Option<Answer> {
        let mut received = Vec::new();
        match self.stream.read_to_end(&mut received) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset && received.is_empty() => return None,
            result => result.expect("an answer, or the end of the stream"),
        };
        if received.is_empty() {
            return None;
        }
        let text = String::from_utf8(received).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").expect("a whole head");
        let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).expect("a status line");
        Some(Answer { status: status.parse().expect("a status"), head: head.to_owned(), body: body.to_owned() })
    }

    /// The status of the answer; 0 where there is none.
    pub(crate) fn status(self) -> u16 {
        self.answer().map_or(0, |answer| answer.status)
    }
}

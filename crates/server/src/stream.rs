//! The stream of a client in the lobby: plain, or with TLS whose handshake is under way.

use std::io;

use raddle_socket::{Connection, Interest, Opening, Socket, Transport, Writer};
#[cfg(feature = "tls")]
use raddle_socket::{Handshake, Patience, TlsStream};

#[cfg(feature = "tls")]
use crate::certificate::ClientCertificate;
#[cfg(not(feature = "tls"))]
use crate::no_tls::ServerTls;
#[cfg(feature = "tls")]
use crate::tls::ServerTls;

/// The stream of a client.
#[derive(Debug)]
pub(crate) enum Stream {
    Plain(Socket),
    #[cfg(feature = "tls")]
    Tls(Box<TlsStream>, Stage),
}

/// How far TLS has come.
#[cfg(feature = "tls")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Nothing of it was heard yet. What a proxy says goes before it.
    Unheard,
    Handshake(Interest),
    Open,
    /// The client speaks plain HTTP, and is answered so.
    Plain,
    /// It is not to be: the alert has left.
    Failed,
}

/// What has come of a handshake for now.
#[cfg_attr(not(feature = "tls"), expect(dead_code))]
pub(crate) enum Greeting {
    /// It is done, or there is none.
    Done,
    /// The socket has nothing more for it, or no room.
    Waits,
    /// The client speaks plain HTTP to a port of TLS.
    PlainHttp,
    /// It has failed, or the stream has ended.
    Failed(io::Error),
}

impl Stream {
    /// A stream of a listener, which has TLS or not.
    pub(crate) fn new(socket: Socket, tls: Option<&ServerTls>) -> io::Result<Self> {
        match tls {
            None => Ok(Self::Plain(socket)),
            #[cfg(feature = "tls")]
            Some(tls) => Ok(Self::Tls(Box::new(tls.put_on(socket)?), Stage::Unheard)),
            #[cfg(not(feature = "tls"))]
            Some(tls) => match *tls {},
        }
    }

    /// The socket, below TLS.
    pub(crate) fn socket(&self) -> &Socket {
        match self {
            Self::Plain(socket) => socket,
            #[cfg(feature = "tls")]
            Self::Tls(stream, _) => stream.socket(),
        }
    }

    /// What requests come and answers leave through.
    pub(crate) fn transport(&self) -> &dyn Transport {
        match self {
            Self::Plain(socket) => socket,
            #[cfg(feature = "tls")]
            Self::Tls(stream, Stage::Open) => &**stream,
            #[cfg(feature = "tls")]
            Self::Tls(stream, _) => stream.socket(),
        }
    }

    /// Opens the connection, whose opening handshake is done.
    pub(crate) fn open(self, opening: Opening<'_>, announce: impl FnOnce(&Writer)) -> io::Result<Connection> {
        match self {
            Self::Plain(socket) => Connection::open_announced(socket, opening, announce),
            #[cfg(feature = "tls")]
            Self::Tls(stream, _) => Connection::open_announced(*stream, opening, announce),
        }
    }

    /// Tells whether an HTTP answer would be understood.
    pub(crate) fn can_answer(&self) -> bool {
        match self {
            Self::Plain(_) => true,
            #[cfg(feature = "tls")]
            Self::Tls(_, stage) => matches!(stage, Stage::Open | Stage::Plain),
        }
    }

    /// What the socket has to be watched for.
    pub(crate) fn interest(&self) -> Interest {
        match self {
            #[cfg(feature = "tls")]
            Self::Tls(_, Stage::Handshake(interest)) => *interest,
            _ => Interest::Read,
        }
    }

    /// Goes on with the handshake of TLS, as far as the socket lets it. `received` was read behind a proxy's word, and is
    /// taken. `scratch` is space for one read.
    #[cfg_attr(not(feature = "tls"), expect(clippy::ptr_arg, unused_variables))]
    pub(crate) fn greet(&mut self, received: &mut Vec<u8>, scratch: &mut [u8]) -> Greeting {
        #[cfg(feature = "tls")]
        if let Self::Tls(stream, stage) = self {
            if *stage == Stage::Unheard {
                if received.is_empty() {
                    match stream.socket().receive(scratch, Patience::DontWait) {
                        Ok(0) => return Greeting::Failed(io::ErrorKind::UnexpectedEof.into()),
                        Ok(count) => received.extend_from_slice(&scratch[..count]),
                        Err(error) if is_nothing(&error) => return Greeting::Waits,
                        Err(error) => return Greeting::Failed(error),
                    }
                }
                // A method: none of the types of a record (RFC 8446, section 5.1) is a letter.
                if received[0].is_ascii_uppercase() {
                    *stage = Stage::Plain;
                    return Greeting::PlainHttp;
                }
                stream.received(received);
                received.clear();
                *stage = Stage::Handshake(Interest::Read);
            }
            if matches!(stage, Stage::Handshake(_)) {
                match stream.handshake() {
                    Ok(Handshake::Done) => *stage = Stage::Open,
                    Ok(Handshake::Waits(interest)) => {
                        *stage = Stage::Handshake(interest);
                        return Greeting::Waits;
                    }
                    Err(error) => {
                        *stage = Stage::Failed;
                        return Greeting::Failed(error);
                    }
                }
            }
        }
        Greeting::Done
    }

    /// The certificate that the client has shown.
    #[cfg(feature = "tls")]
    pub(crate) fn client_certificate(&self) -> Option<ClientCertificate> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(stream, _) => stream.peer_certificates().into_iter().next().map(ClientCertificate::new),
        }
    }
}

#[cfg(feature = "tls")]
fn is_nothing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

//! TLS (RFC 5246, RFC 8446) between a connection and its socket: records in and out, bytes out and in.
//!
//! The state of TLS is locked for work on buffers and for calls that do not wait, never while a thread waits for the socket.
//! So one thread reads while another writes, and what the one finds that it has to say leaves in the order of the records.

use std::fmt;
use std::io::{self, IoSlice};
use std::mem;
use std::net::Shutdown;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};

use crate::tls_state::State;
use crate::transport::{Interest, Patience, Readiness, Socket, Transport};

/// A socket with TLS on it. Its handshake is done by [`handshake`](Self::handshake), before anything else.
///
/// As a [`Transport`], it tells a stream that was cut from one that was ended: the end of the socket without the peer's
/// close_notify is an error of kind [`UnexpectedEof`](io::ErrorKind::UnexpectedEof). What breaks the rules of TLS is one of
/// kind [`InvalidData`](io::ErrorKind::InvalidData), with a [`rustls::Error`] in it. Once it is shut down for writing, what still
/// comes is read and dropped: nothing but the end is received.
pub struct TlsStream {
    socket: Socket,
    state: Mutex<Box<State>>,
    /// Of the state, as it was left: bytes that were received, or the end, and records that are to be sent.
    has_input: AtomicBool,
    has_output: AtomicBool,
}

/// How far a TLS handshake has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    /// It is done.
    Done,
    /// It goes on once the socket is ready for this.
    Waits(Interest),
}

impl TlsStream {
    /// The server's side.
    pub fn server(socket: Socket, config: Arc<ServerConfig>) -> io::Result<Self> {
        let connection = ServerConnection::new(config).map_err(invalid)?;
        Ok(Self::new(socket, connection.into()))
    }

    /// The client's side, of a connection to the server of this name or address.
    pub fn client(socket: Socket, config: Arc<ClientConfig>, server: ServerName<'static>) -> io::Result<Self> {
        let connection = ClientConnection::new(config, server).map_err(invalid)?;
        Ok(Self::new(socket, connection.into()))
    }

    fn new(socket: Socket, connection: rustls::Connection) -> Self {
        Self {
            socket,
            state: Mutex::new(Box::new(State::new(connection))),
            has_input: AtomicBool::new(false),
            has_output: AtomicBool::new(false),
        }
    }

    /// The socket itself: for what comes before the handshake, and when nothing follows.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Before the handshake: `records` were read from the socket already.
    pub fn received(&self, records: &[u8]) {
        self.state.lock().put_back(records);
    }

    /// Goes on with the handshake as far as the socket lets it, and does not wait.
    ///
    /// An error is final. Its alert was sent, as far as there was room.
    pub fn handshake(&self) -> io::Result<Handshake> {
        let mut state = self.state.lock();
        let step = self.advance_handshake(&mut state);
        let told = match step {
            Ok(Handshake::Waits(Interest::Read)) => state.await_record(&self.socket),
            // What comes then is not to be waited for in pieces of that size.
            _ => state.await_bytes(1, &self.socket),
        };
        self.note(&state);
        let step = step?;
        told.map(|()| step)
    }

    /// The certificates that the peer has shown, its own first.
    pub fn peer_certificates(&self) -> Vec<CertificateDer<'static>> {
        let state = self.state.lock();
        let chain = state.connection.peer_certificates().unwrap_or_default();
        chain.iter().map(|certificate| certificate.clone().into_owned()).collect()
    }

    /// The protocol that was agreed on (ALPN, RFC 7301).
    pub fn alpn(&self) -> Option<Vec<u8>> {
        self.state.lock().connection.alpn_protocol().map(<[u8]>::to_vec)
    }

    /// What the handshake has agreed on, as TLS 1.3 with a name of a cipher suite.
    pub fn protocol(&self) -> Option<(rustls::ProtocolVersion, rustls::CipherSuite)> {
        let state = self.state.lock();
        let suite = state.connection.negotiated_cipher_suite()?;
        Some((state.connection.protocol_version()?, suite.suite()))
    }

    /// Sends from now on with other keys (TLS 1.3), and asks the peer for the same.
    pub fn update_keys(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        let updated = state.connection.refresh_traffic_keys().map_err(invalid);
        self.note(&state);
        updated
    }

    fn advance_handshake(&self, state: &mut State) -> io::Result<Handshake> {
        let mut fed = state.feed(&[], &mut []);
        for _ in 0..READS {
            // The alert, where it has failed. That the peer does not wait for it does not matter then.
            let flushed = state.flush(&self.socket);
            fed?;
            flushed?;
            if state.connection.wants_write() {
                return Ok(Handshake::Waits(Interest::Write));
            }
            if !state.connection.is_handshaking() {
                return Ok(Handshake::Done);
            }
            let mut records = Lent::take();
            match self.socket.receive(&mut records.0, Patience::DontWait) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => fed = state.feed_handshake(&records.0[..count]),
                Err(error) if is_nothing(&error) => return Ok(Handshake::Waits(Interest::Read)),
                Err(error) => return Err(error),
            }
        }
        let flushed = state.flush(&self.socket);
        fed?;
        flushed.map(|_| Handshake::Waits(Interest::Read))
    }

    /// Gives what was received and not fetched. `None`: nothing.
    fn take_rest(&self, space: &mut [u8]) -> Option<io::Result<usize>> {
        self.take_in(|state| state.feed(&[], space))
    }

    /// Gives what records bring that `feed` decrypts. `None`: nothing.
    fn take_in(&self, feed: impl FnOnce(&mut State) -> io::Result<usize>) -> Option<io::Result<usize>> {
        let mut state = self.state.lock();
        let taken = feed(&mut state);
        if state.connection.wants_write() {
            // The alert, where it has failed. It leaves with what is sent next, if there is no room.
            let _ = state.flush(&self.socket);
        }
        self.note(&state);
        match taken {
            Ok(0) => state.end(),
            taken => Some(taken),
        }
    }

    /// Reads from the socket once, and gives what that brings. `None`: nothing.
    ///
    /// The records are read into the space for their bytes: a thread needs no other memory while it waits. Where they are larger
    /// than the space, it borrows some for the rest, so that a record costs two reads at most.
    fn receive_records(&self, space: &mut [u8], patience: Patience) -> io::Result<Option<usize>> {
        let received = self.socket.receive(space, patience)?;
        if received == 0 {
            self.cut(io::ErrorKind::UnexpectedEof);
        }
        let mut taken = self.take_in(|state| state.feed_in_place(space, received));
        if taken.is_none() && received == space.len() {
            let mut records = Lent::take();
            let more = match self.socket.receive(&mut records.0, Patience::DontWait) {
                Ok(0) => self.cut(io::ErrorKind::UnexpectedEof),
                Ok(count) => count,
                Err(error) if is_nothing(&error) => return Ok(None),
                Err(error) => return Err(error),
            };
            taken = self.take_in(|state| state.feed(&records.0[..more], space));
        }
        taken.transpose()
    }

    /// Notes that the socket has ended, and how: no more bytes come.
    fn cut(&self, how: io::ErrorKind) -> usize {
        let mut state = self.state.lock();
        state.cut = Some(how);
        self.note(&state);
        0
    }

    /// Notes for those who do not lock the state what it has.
    fn note(&self, state: &MutexGuard<'_, Box<State>>) {
        self.has_input.store(state.has_input(), Ordering::Relaxed);
        self.has_output.store(state.connection.wants_write(), Ordering::Relaxed);
    }
}

impl Transport for TlsStream {
    fn receive(&self, space: &mut [u8], patience: Patience) -> io::Result<usize> {
        if space.is_empty() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        if self.has_input()
            && let Some(taken) = self.take_rest(space)
        {
            return taken;
        }
        loop {
            match self.receive_records(space, patience)? {
                Some(taken) => return Ok(taken),
                // A peer that sends records with nothing in them keeps nobody here.
                None if patience != Patience::Block => return Err(io::ErrorKind::WouldBlock.into()),
                None => {}
            }
        }
    }

    fn send(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut state = self.state.lock();
        let sent = state.send(parts, &self.socket);
        self.note(&state);
        sent
    }

    fn wait(&self, interest: Interest, timeout: Option<Duration>) -> io::Result<Readiness> {
        if interest != Interest::Write && self.has_input() {
            return Ok(Readiness { read: true, write: false });
        }
        self.socket.wait(interest, timeout)
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        if how != Shutdown::Read {
            let mut state = self.state.lock();
            state.say_goodbye(&self.socket);
            self.note(&state);
        }
        self.socket.shutdown(how)
    }

    fn has_output(&self) -> bool {
        self.has_output.load(Ordering::Relaxed)
    }

    fn has_input(&self) -> bool {
        self.has_input.load(Ordering::Relaxed)
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.socket.descriptor()
    }
}

impl fmt::Debug for TlsStream {
    // Without keys, certificates and what has passed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsStream").field("socket", &self.socket).finish_non_exhaustive()
    }
}

/// Memory for a read of a handshake, or of the rest of a record: a few are kept for the process.
struct Lent(Vec<u8>);

static SPARE: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

impl Lent {
    fn take() -> Self {
        let spare = SPARE.lock().pop();
        Self(spare.unwrap_or_else(|| vec![0; RECORD]))
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut spare = SPARE.lock();
        if spare.len() < MOST_SPARE {
            spare.push(mem::take(&mut self.0));
        }
    }
}

pub(crate) fn invalid(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

fn is_nothing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// Reads in a row for one handshake.
const READS: u32 = 4;
/// Memory for a record (RFC 5246, section 6.2.3: a header, and 18 KiB at most), in bytes.
const RECORD: usize = 5 + 18 * 1024;
const MOST_SPARE: usize = 8;

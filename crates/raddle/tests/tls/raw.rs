//! A client that is rustls itself, and a client of bytes.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ALL_VERSIONS, ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion};

use crate::authority::Authority;
use crate::support::LIMIT;

/// What a client asks for, as it is sent over whatever there is.
pub(crate) const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// A TCP connection, whose reads have a bound.
pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("somebody listens");
    stream.set_read_timeout(Some(LIMIT)).expect("a socket");
    stream.set_nodelay(true).expect("a socket");
    stream
}

/// What a client needs to trust this authority, with all that rustls has.
pub(crate) fn config(authority: &Authority, change: impl FnOnce(&mut ClientConfig)) -> Arc<ClientConfig> {
    config_of(authority, ALL_VERSIONS, change)
}

/// The same, with these versions only.
pub(crate) fn config_of(
    authority: &Authority,
    versions: &[&'static SupportedProtocolVersion],
    change: impl FnOnce(&mut ClientConfig),
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.root().as_bytes()).expect("PEM")).expect("a root");
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .expect("ring has them")
        .with_root_certificates(roots)
        .with_no_client_auth();
    change(&mut config);
    Arc::new(config)
}

/// A TLS client without anything above it.
pub(crate) struct Raw {
    pub(crate) tls: ClientConnection,
    pub(crate) stream: TcpStream,
}

impl Raw {
    pub(crate) fn new(address: SocketAddr, config: Arc<ClientConfig>, name: &str) -> Self {
        let name = name.to_owned().try_into().expect("a name");
        Self { tls: ClientConnection::new(config, name).expect("a client"), stream: connect(address) }
    }

    /// With the handshake done.
    pub(crate) fn open(address: SocketAddr, config: Arc<ClientConfig>) -> Self {
        let mut raw = Self::new(address, config, "localhost");
        raw.shake_hands().expect("a handshake");
        raw
    }

    pub(crate) fn shake_hands(&mut self) -> std::io::Result<()> {
        while self.tls.is_handshaking() {
            self.tls.complete_io(&mut self.stream)?;
        }
        Ok(())
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.tls.writer().write_all(bytes).expect("it is little");
        while self.tls.wants_write() {
            self.tls.write_tls(&mut self.stream).expect("the server reads");
        }
    }

    /// Sends the request, and takes the response.
    pub(crate) fn upgrade(&mut self) {
        self.write(REQUEST);
        let head = self.read_until(b"\r\n\r\n");
        assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", head.escape_ascii());
    }

    /// Reads up to and with `end`.
    pub(crate) fn read_until(&mut self, end: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        while !bytes.ends_with(end) {
            let mut byte = [0];
            match self.tls.reader().read(&mut byte) {
                Ok(0) => panic!("the end, behind {}", bytes.escape_ascii()),
                Ok(_) => bytes.push(byte[0]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.tls.read_tls(&mut self.stream).expect("something comes");
                    self.tls.process_new_packets().expect("the server plays by the rules");
                }
                Err(error) => panic!("{error}, behind {}", bytes.escape_ascii()),
            }
        }
        bytes
    }

    /// Encrypts `bytes`, and gives the records.
    pub(crate) fn seal(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.tls.writer().write_all(bytes).expect("it is little");
        take_records(&mut self.tls)
    }
}

/// The records that a client has to send.
pub(crate) fn take_records(tls: &mut ClientConnection) -> Vec<u8> {
    let mut records = Vec::new();
    while tls.wants_write() {
        tls.write_tls(&mut records).expect("memory");
    }
    records
}

/// The ClientHello of a client, as the records that it comes in.
pub(crate) fn hello(config: Arc<ClientConfig>) -> Vec<u8> {
    let name = "localhost".try_into().expect("a name");
    take_records(&mut ClientConnection::new(config, name).expect("a client"))
}

/// All that comes until the end; a reset is an end.
pub(crate) fn to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("the server has not ended the stream: {error}"),
    }
    bytes
}

//! A client's stream: TCP as it is, or with TLS on it.

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use rustls::ClientConnection;

use crate::peers::Peer;
use crate::secure;
use crate::wire::{self, Wire};

/// A client's stream. It waits or not, as its socket does.
pub struct Channel {
    pub stream: TcpStream,
    tls: Option<Box<Tls>>,
}

struct Tls {
    connection: ClientConnection,
    /// Bytes that came with others, and were not read.
    received: Vec<u8>,
}

impl Channel {
    /// Connects, and carries out the handshakes that there are, waiting.
    pub fn connect(peer: &Peer, address: SocketAddr) -> io::Result<Self> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let mut tls = None;
        if peer.is_secure {
            let mut connection = secure::client()?;
            while connection.is_handshaking() || connection.wants_write() {
                connection.complete_io(&mut stream)?;
            }
            tls = Some(Box::new(Tls { connection, received: Vec::new() }));
        }
        let mut channel = Self { stream, tls };
        if peer.wire == Wire::WebSocket {
            wire::shake_hands(&mut channel)?;
        }
        Ok(channel)
    }

    /// Tells whether records wait for room.
    pub fn has_unsent(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.connection.wants_write())
    }
}

impl Read for Channel {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else { return self.stream.read(space) };
        while tls.received.is_empty() {
            let mut came = |records: &RefCell<Vec<u8>>| {
                let mut records = records.borrow_mut();
                let count = self.stream.read(&mut records)?;
                tls.take(&records[..count]).map(|()| count)
            };
            if RECORDS.with(&mut came)? == 0 {
                return Ok(0);
            }
        }
        let count = tls.received.len().min(space.len());
        space[..count].copy_from_slice(&tls.received[..count]);
        tls.received.drain(..count);
        Ok(count)
    }
}

impl Write for Channel {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.flush()?;
        let Some(tls) = &mut self.tls else { return self.stream.write(bytes) };
        let count = tls.connection.writer().write(bytes)?;
        match self.flush() {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(count),
        }
    }

    /// Writes the records that wait.
    fn flush(&mut self) -> io::Result<()> {
        let Some(tls) = &mut self.tls else { return Ok(()) };
        while tls.connection.wants_write() {
            tls.connection.write_tls(&mut self.stream)?;
        }
        Ok(())
    }
}

impl Tls {
    fn take(&mut self, mut records: &[u8]) -> io::Result<()> {
        while !records.is_empty() {
            self.connection.read_tls(&mut records)?;
            self.connection.process_new_packets().map_err(io::Error::other)?;
            match self.connection.reader().read_to_end(&mut self.received) {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

thread_local!(static RECORDS: RefCell<Vec<u8>> = RefCell::new(vec![0; 64 * 1024]));

//! The limits with TLS: rustls as it is, what one read has brought sent back with one write of as many records as that takes.

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use rustix::event::epoll::EventFlags;
use rustls::{ServerConfig, ServerConnection};

use super::raw;

/// A thread a connection.
pub fn serve_threads(listener: &TcpListener, config: &Arc<ServerConfig>) -> Result<(), Box<dyn Error>> {
    raw::with_threads(
        listener,
        |stream| Session::new(stream, config),
        |mut session| {
            let mut space = Space::new(raw::SPACE);
            while session.echo(&mut space).is_ok() {}
        },
    )
}

/// One thread for all, with epoll.
pub fn serve_epoll(listener: &TcpListener, config: &Arc<ServerConfig>) -> Result<(), Box<dyn Error>> {
    let mut space = Space::new(raw::SHARED_SPACE);
    raw::with_epoll(
        listener,
        |stream| Session::new(stream, config),
        |set, sessions, key| {
            let Some(session) = &mut sessions[key] else { return Ok(()) };
            let waited = session.tls.wants_write();
            match if waited { session.write() } else { session.echo(&mut space) } {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                _ => {}
            }
            match session.tls.wants_write() {
                waits if waits == waited => Ok(()),
                true => raw::wait_for(set, &session.stream, EventFlags::OUT),
                false => raw::wait_for(set, &session.stream, EventFlags::IN),
            }
        },
    )
}

struct Session {
    tls: ServerConnection,
    stream: TcpStream,
}

/// For one read: records, and the bytes in them.
struct Space {
    records: Vec<u8>,
    bytes: Vec<u8>,
}

impl Space {
    fn new(bytes: usize) -> Self {
        // A record may have begun before.
        Self { records: vec![0; bytes], bytes: vec![0; bytes + MOST_OF_RECORD] }
    }
}

impl Session {
    fn new(stream: TcpStream, config: &Arc<ServerConfig>) -> io::Result<Self> {
        let mut tls = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
        tls.set_buffer_limit(None);
        Ok(Self { tls, stream })
    }

    /// Reads once, and sends back what has come.
    fn echo(&mut self, space: &mut Space) -> io::Result<()> {
        let count = self.stream.read(&mut space.records)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut records = &space.records[..count];
        let mut length = 0;
        while !records.is_empty() {
            self.tls.read_tls(&mut records)?;
            let found = self.tls.process_new_packets().map_err(io::Error::other)?;
            if found.plaintext_bytes_to_read() > 0 {
                length += self.tls.reader().read(&mut space.bytes[length..])?;
            } else if found.peer_has_closed() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        self.tls.writer().write_all(&space.bytes[..length])?;
        self.write()
    }

    fn write(&mut self) -> io::Result<()> {
        while self.tls.wants_write() {
            self.tls.write_tls(&mut self.stream)?;
        }
        Ok(())
    }
}

/// Bytes in a record, at most (RFC 8446, section 5.1).
const MOST_OF_RECORD: usize = 16 * 1024;

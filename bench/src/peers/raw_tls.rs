//! The limits with TLS: rustls as it is, what one read has brought sent back with one write of as many records as that takes.

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::thread;

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustls::{ServerConfig, ServerConnection};

/// A thread a connection.
pub fn serve_threads(listener: &TcpListener, config: &Arc<ServerConfig>) -> Result<(), Box<dyn Error>> {
    loop {
        let (stream, _) = listener.accept()?;
        let mut session = Session::new(stream, config)?;
        thread::Builder::new().spawn(move || {
            let mut space = Space::new();
            while session.echo(&mut space).is_ok() {}
        })?;
    }
}

/// One thread for all, with epoll.
pub fn serve_epoll(listener: &TcpListener, config: &Arc<ServerConfig>) -> Result<(), Box<dyn Error>> {
    listener.set_nonblocking(true)?;
    let set = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(&set, listener, EventData::new_u64(listener.as_raw_fd() as u64), EventFlags::IN)?;
    // By their descriptors.
    let mut sessions: Vec<Option<Session>> = Vec::new();
    let mut space = Space::new();
    let mut events = Vec::with_capacity(1024);
    loop {
        events.clear();
        match epoll::wait(&set, rustix::buffer::spare_capacity(&mut events), None) {
            Err(rustix::io::Errno::INTR) => continue,
            result => result?,
        };
        for event in &events {
            let key = event.data.u64() as usize;
            if key == listener.as_raw_fd() as usize {
                while let Ok((stream, _)) = listener.accept() {
                    stream.set_nonblocking(true)?;
                    let key = stream.as_raw_fd() as usize;
                    epoll::add(&set, &stream, EventData::new_u64(key as u64), EventFlags::IN)?;
                    if sessions.len() <= key {
                        sessions.resize_with(key + 1, || None);
                    }
                    sessions[key] = Some(Session::new(stream, config)?);
                }
                continue;
            }
            let Some(session) = sessions.get_mut(key).and_then(Option::as_mut) else { continue };
            let waited = session.tls.wants_write();
            let outcome = if waited { session.write() } else { session.echo(&mut space) };
            let waits = session.tls.wants_write();
            if outcome.is_err_and(|error| error.kind() != io::ErrorKind::WouldBlock) {
                sessions[key] = None;
            } else if waits != waited {
                let interest = if waits { EventFlags::OUT } else { EventFlags::IN };
                epoll::modify(&set, &session.stream, EventData::new_u64(key as u64), interest)?;
            }
        }
    }
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
    fn new() -> Self {
        // A record may have begun before.
        Self { records: vec![0; 64 * 1024], bytes: vec![0; 128 * 1024] }
    }
}

impl Session {
    fn new(stream: TcpStream, config: &Arc<ServerConfig>) -> Result<Self, Box<dyn Error>> {
        stream.set_nodelay(true)?;
        let mut tls = ServerConnection::new(Arc::clone(config))?;
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

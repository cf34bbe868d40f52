//! The limit of an event loop: one thread waits for all sockets, reads, and writes what it has read.

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

pub fn serve(listener: &TcpListener) -> Result<(), Box<dyn Error>> {
    listener.set_nonblocking(true)?;
    let set = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(&set, listener, EventData::new_u64(listener.as_raw_fd() as u64), EventFlags::IN)?;
    // By their descriptors.
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut space = vec![0; 256 * 1024];
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
                    stream.set_nodelay(true)?;
                    let key = stream.as_raw_fd() as usize;
                    epoll::add(&set, &stream, EventData::new_u64(key as u64), EventFlags::IN)?;
                    if connections.len() <= key {
                        connections.resize_with(key + 1, || None);
                    }
                    connections[key] = Some(Connection { stream, unsent: Vec::new() });
                }
                continue;
            }
            let Some(connection) = connections.get_mut(key).and_then(Option::as_mut) else { continue };
            match connection.turn(&mut space) {
                Ok(None) => {}
                Ok(Some(interest)) => {
                    epoll::modify(&set, &connection.stream, EventData::new_u64(key as u64), interest)?;
                }
                Err(_) => connections[key] = None,
            }
        }
    }
}

struct Connection {
    stream: TcpStream,
    /// What the socket has not taken.
    unsent: Vec<u8>,
}

impl Connection {
    /// Reads once and writes that back; what to wait for, where it is something else now.
    fn turn(&mut self, space: &mut [u8]) -> io::Result<Option<EventFlags>> {
        if !self.unsent.is_empty() {
            let count = written(self.stream.write(&self.unsent))?;
            self.unsent.drain(..count);
            return Ok(self.unsent.is_empty().then_some(EventFlags::IN));
        }
        let count = self.stream.read(space)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let sent = written(self.stream.write(&space[..count]))?;
        self.unsent.extend_from_slice(&space[sent..count]);
        Ok((sent < count).then_some(EventFlags::OUT))
    }
}

fn written(result: io::Result<usize>) -> io::Result<usize> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        result => result,
    }
}

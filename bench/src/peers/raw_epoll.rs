//! The limit of an event loop: one thread waits for all sockets, reads, and writes what it has read.

use std::error::Error;
use std::io::{self, Read, Write};
use std::mem;
use std::net::{TcpListener, TcpStream};

use rustix::event::epoll::EventFlags;
use rustix::fd::OwnedFd;

use super::Task;
use super::raw::{self, Connections, written};
use crate::wire;

pub fn serve(listener: &TcpListener, task: Task) -> Result<(), Box<dyn Error>> {
    let mut space = vec![0; raw::SHARED_SPACE];
    let open = |stream| Ok(Connection { stream, received: Vec::new(), unsent: Vec::new() });
    raw::with_epoll(listener, open, |set, connections, key| {
        let Some(connection) = &mut connections[key] else { return Ok(()) };
        match task {
            _ if !connection.unsent.is_empty() => connection.resume(set),
            Task::Echo => connection.echo(set, &mut space),
            Task::Publish => {
                let messages = connection.messages(&mut space)?;
                publish(set, connections, &messages)
            }
        }
    })
}

struct Connection {
    stream: TcpStream,
    /// The beginning of a message, where messages are published.
    received: Vec<u8>,
    /// What the socket has not taken.
    unsent: Vec<u8>,
}

impl Connection {
    fn echo(&mut self, set: &OwnedFd, space: &mut [u8]) -> io::Result<()> {
        let count = self.read(space)?;
        self.send(set, &space[..count])
    }

    /// The messages that are whole, one behind the other.
    fn messages(&mut self, space: &mut [u8]) -> io::Result<Vec<u8>> {
        let count = self.read(space)?;
        self.received.extend_from_slice(&space[..count]);
        let mut whole = 0;
        while let Some(length) = wire::frame_length(&self.received[whole..]) {
            whole += length;
        }
        let rest = self.received.split_off(whole);
        Ok(mem::replace(&mut self.received, rest))
    }

    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        match self.stream.read(space)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => Ok(count),
        }
    }

    /// Writes once, unless something waits already.
    fn send(&mut self, set: &OwnedFd, bytes: &[u8]) -> io::Result<()> {
        let waits = !self.unsent.is_empty();
        let sent = if waits { 0 } else { written(self.stream.write(bytes))? };
        self.unsent.extend_from_slice(&bytes[sent..]);
        if waits || sent == bytes.len() { Ok(()) } else { raw::wait_for(set, &self.stream, EventFlags::OUT) }
    }

    fn resume(&mut self, set: &OwnedFd) -> io::Result<()> {
        let count = written(self.stream.write(&self.unsent))?;
        self.unsent.drain(..count);
        if self.unsent.is_empty() { raw::wait_for(set, &self.stream, EventFlags::IN) } else { Ok(()) }
    }
}

/// Sends each message to each connection, with one write.
fn publish(set: &OwnedFd, connections: &mut Connections<Connection>, mut messages: &[u8]) -> io::Result<()> {
    while let Some(length) = wire::frame_length(messages) {
        let (message, rest) = messages.split_at(length);
        for place in connections.iter_mut() {
            if place.as_mut().is_some_and(|connection| connection.send(set, message).is_err()) {
                *place = None;
            }
        }
        messages = rest;
    }
    Ok(())
}

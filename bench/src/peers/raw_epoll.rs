//! The limit of an event loop: one thread waits for all sockets, reads, and writes what it has read.

use std::error::Error;
use std::io::{self, Read, Write};
use std::mem;
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::fd::OwnedFd;

use super::Task;
use crate::wire;

pub fn serve(listener: &TcpListener, task: Task) -> Result<(), Box<dyn Error>> {
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
                    connections[key] = Some(Connection { stream, received: Vec::new(), unsent: Vec::new() });
                }
                continue;
            }
            let Some(connection) = connections.get_mut(key).and_then(Option::as_mut) else { continue };
            let outcome = match (task, connection.unsent.is_empty()) {
                (_, false) => connection.resume(&set),
                (Task::Echo, true) => connection.echo(&set, &mut space),
                (Task::Publish, true) => match connection.messages(&mut space) {
                    Ok(messages) => publish(&set, &mut connections, &messages),
                    Err(error) => Err(error),
                },
            };
            if outcome.is_err() {
                connections[key] = None;
            }
        }
    }
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
        if waits || sent == bytes.len() { Ok(()) } else { self.wait_for(set, EventFlags::OUT) }
    }

    fn resume(&mut self, set: &OwnedFd) -> io::Result<()> {
        let count = written(self.stream.write(&self.unsent))?;
        self.unsent.drain(..count);
        if self.unsent.is_empty() { self.wait_for(set, EventFlags::IN) } else { Ok(()) }
    }

    fn wait_for(&self, set: &OwnedFd, interest: EventFlags) -> io::Result<()> {
        let data = EventData::new_u64(self.stream.as_raw_fd() as u64);
        Ok(epoll::modify(set, &self.stream, data, interest)?)
    }
}

/// Sends each message to each connection, with one write.
fn publish(set: &OwnedFd, connections: &mut [Option<Connection>], mut messages: &[u8]) -> io::Result<()> {
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

fn written(result: io::Result<usize>) -> io::Result<usize> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        result => result,
    }
}

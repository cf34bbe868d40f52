//! The loops of the limits: a thread for each connection, or one thread for all of them, with epoll.

use std::error::Error;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::thread;

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::fd::OwnedFd;

/// Has a thread for each connection `serve` what `open` makes of it.
pub fn with_threads<C: Send + 'static>(
    listener: &TcpListener,
    open: impl Fn(TcpStream) -> io::Result<C>,
    serve: impl Fn(C) + Copy + Send + 'static,
) -> Result<(), Box<dyn Error>> {
    loop {
        let (stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        let connection = open(stream)?;
        thread::Builder::new().spawn(move || serve(connection))?;
    }
}

/// What an event loop has of each connection, by the descriptor of its stream.
pub type Connections<C> = Vec<Option<C>>;

/// Has `attend` called with what `open` makes of each connection, and the descriptor of the one whose socket is ready for what
/// [`wait_for`] has asked last: to be read, at first. A connection with which that fails is ended.
pub fn with_epoll<C>(
    listener: &TcpListener,
    mut open: impl FnMut(TcpStream) -> io::Result<C>,
    mut attend: impl FnMut(&OwnedFd, &mut Connections<C>, usize) -> io::Result<()>,
) -> Result<(), Box<dyn Error>> {
    listener.set_nonblocking(true)?;
    let set = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(&set, listener, EventData::new_u64(listener.as_raw_fd() as u64), EventFlags::IN)?;
    let mut connections: Connections<C> = Vec::new();
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
                    connections[key] = Some(open(stream)?);
                }
            } else if connections[key].is_some() && attend(&set, &mut connections, key).is_err() {
                connections[key] = None;
            }
        }
    }
}

/// Has a stream watched for this from now on.
pub fn wait_for(set: &OwnedFd, stream: &TcpStream, interest: EventFlags) -> io::Result<()> {
    Ok(epoll::modify(set, stream, EventData::new_u64(stream.as_raw_fd() as u64), interest)?)
}

/// The count of bytes that a write has taken: none, where it would have to wait.
pub fn written(result: io::Result<usize>) -> io::Result<usize> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        result => result,
    }
}

/// Bytes of a read of the limits, with a thread for each connection and with one for all.
pub const SPACE: usize = 64 * 1024;
pub const SHARED_SPACE: usize = 256 * 1024;

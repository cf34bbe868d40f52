//! The load: many connections on one thread, each with some messages in flight.

mod echo;
mod keepalive;
mod publish;

use std::error::Error;
use std::fmt;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use polling::{Event, Events, PollMode, Poller};

use crate::channel::Channel;
use crate::peers::Peer;
use crate::wire;

/// How much is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    pub payload: usize,
    pub connections: usize,
    pub in_flight: usize,
}

/// Connections that are open and wait for their turn.
pub struct Load {
    peer: Peer,
    cell: Cell,
    poller: Poller,
    clients: Vec<Client>,
    /// As many requests as are in flight, one behind the other.
    requests: Vec<u8>,
    request_len: usize,
    reply: Vec<u8>,
    space: Vec<u8>,
}

struct Client {
    channel: Channel,
    /// Bytes received of replies that are not whole.
    received: usize,
    /// Bytes of requests that wait for room.
    unsent: usize,
    watched: bool,
}

impl Load {
    /// Connects, and carries out the opening handshakes.
    pub fn open(peer: &Peer, address: SocketAddr, cell: Cell) -> Result<Self, Box<dyn Error>> {
        let request = wire::request(cell.payload);
        let mut load = Self {
            peer: *peer,
            cell,
            poller: Poller::new()?,
            clients: Vec::with_capacity(cell.connections),
            requests: request.repeat(cell.in_flight),
            request_len: request.len(),
            reply: peer.wire.reply(cell.payload),
            space: vec![0; 256 * 1024],
        };
        for _ in 0..cell.connections {
            load.join(address)?;
        }
        Ok(load)
    }

    /// Connects one by one, each after the one before has seen the server echo what the cell says.
    pub fn connect(peer: &Peer, address: SocketAddr, cell: Cell) -> Result<Self, Box<dyn Error>> {
        let mut load = Self::open(peer, address, Cell { connections: 0, ..cell })?;
        load.cell = cell;
        for key in 0..cell.connections {
            load.join(address)?;
            let (request, reply) = (load.requests[..load.request_len].to_vec(), load.reply.clone());
            load.exchange(key, &request, &reply)?;
        }
        Ok(load)
    }

    /// Sends a message of `payload` bytes on each connection, one after the other, and checks its echo.
    pub fn exchange_all(&mut self, payload: usize) -> Result<(), Box<dyn Error>> {
        let (request, reply) = (wire::request(payload), self.peer.wire.reply(payload));
        (0..self.clients.len()).try_for_each(|key| self.exchange(key, &request, &reply))
    }

    fn join(&mut self, address: SocketAddr) -> Result<(), Box<dyn Error>> {
        let channel = Channel::connect(&self.peer, address)?;
        channel.stream.set_nonblocking(true)?;
        // SAFETY: the poller is dropped together with the streams.
        unsafe { self.poller.add_with_mode(&channel.stream, Event::readable(self.clients.len()), PollMode::Level) }?;
        self.clients.push(Client { channel, received: 0, unsent: 0, watched: false });
        Ok(())
    }

    fn exchange(&mut self, key: usize, request: &[u8], reply: &[u8]) -> Result<(), Box<dyn Error>> {
        let channel = &mut self.clients[key].channel;
        let mut found = vec![0; reply.len()];
        channel.stream.set_nonblocking(false)?;
        channel.stream.set_read_timeout(Some(PATIENCE))?;
        wire::round_trip(&mut *channel, request, &mut found)?;
        channel.stream.set_nonblocking(true)?;
        if found == reply { Ok(()) } else { Err("the echo differs from what was sent".into()) }
    }

    /// Waits until the server does something, at most for `time`; without it, for as long as is decent.
    fn wait(&self, events: &mut Events, time: Option<Duration>) -> Result<(), Box<dyn Error>> {
        events.clear();
        self.poller.wait(events, time.or(Some(PATIENCE)))?;
        if events.is_empty() && time.is_none() {
            return Err(format!("the server has not answered for {PATIENCE:?}").into());
        }
        Ok(())
    }

    /// Sends `count` more messages, as far as there is room.
    fn send(&mut self, key: usize, count: usize) -> Result<(), Box<dyn Error>> {
        let client = &mut self.clients[key];
        client.unsent += count * self.request_len;
        // Of what was sent before, records may still wait for room.
        let mut is_blocked = client.channel.flush().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
        while client.unsent > 0 && !is_blocked {
            // From the middle of a request, where the last write has stopped.
            let start = (self.request_len - client.unsent % self.request_len) % self.request_len;
            let end = self.requests.len().min(start + client.unsent);
            match client.channel.write(&self.requests[start..end]) {
                Ok(count) => client.unsent -= count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => is_blocked = true,
                Err(error) => return Err(error.into()),
            }
        }
        let waits = client.unsent > 0 || client.channel.has_unsent();
        if client.watched != waits {
            client.watched = waits;
            let interest = Event::new(key, true, client.watched);
            self.poller.modify_with_mode(&client.channel.stream, interest, PollMode::Level)?;
        }
        Ok(())
    }

    /// Receives what is there, and gives the number of replies that are whole now.
    fn receive(&mut self, key: usize) -> Result<usize, Box<dyn Error>> {
        let client = &mut self.clients[key];
        match client.channel.read(&mut self.space) {
            Ok(0) => Err("the server has ended the connection".into()),
            Ok(count) => {
                client.received += count;
                let whole = client.received / self.reply.len();
                client.received %= self.reply.len();
                Ok(whole)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            Err(error) => Err(error.into()),
        }
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.payload {
            payload if payload >= 1 << 20 && payload % (1 << 20) == 0 => write!(formatter, "{} MiB", payload >> 20)?,
            payload => write!(formatter, "{payload}")?,
        }
        write!(formatter, " / {} / {}", self.connections, self.in_flight)
    }
}

impl FromStr for Cell {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers: Result<Vec<usize>, _> = text.split('/').map(|number| number.trim().parse()).collect();
        match numbers.as_deref() {
            Ok(&[payload, connections, in_flight]) if connections > 0 && in_flight > 0 => {
                Ok(Self { payload, connections, in_flight })
            }
            _ => Err(format!("{text}: a cell is BYTES/CONNECTIONS/IN_FLIGHT")),
        }
    }
}

const PATIENCE: Duration = Duration::from_secs(10);

//! The load: many connections on one thread, each with some messages in flight, as fast as the server answers.

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use polling::{Event, Events, PollMode, Poller};

use crate::wire::{self, Wire};

/// How much is sent.
#[derive(Clone, Copy, Debug)]
pub struct Cell {
    pub payload: usize,
    pub connections: usize,
    pub in_flight: usize,
}

/// Connections that are open and wait for their turn.
pub struct Load {
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
    stream: TcpStream,
    /// Bytes received of replies that are not whole.
    received: usize,
    /// Bytes of requests that wait for room.
    unsent: usize,
    watched: bool,
}

impl Load {
    /// Connects, and checks that the server echoes.
    pub fn connect(wire: Wire, address: SocketAddr, cell: Cell) -> Result<Self, Box<dyn Error>> {
        let request = wire::request(cell.payload);
        let reply = wire.reply(cell.payload);
        let poller = Poller::new()?;
        let mut clients = Vec::with_capacity(cell.connections);
        let mut found = vec![0; reply.len()];
        for key in 0..cell.connections {
            let stream = wire.connect(address)?;
            wire::round_trip(&stream, &request, &mut found)?;
            if found != reply {
                return Err("the echo differs from what was sent".into());
            }
            stream.set_nonblocking(true)?;
            // SAFETY: the poller is dropped together with the streams.
            unsafe { poller.add_with_mode(&stream, Event::readable(key), PollMode::Level) }?;
            clients.push(Client { stream, received: 0, unsent: 0, watched: false });
        }
        let requests = request.repeat(cell.in_flight);
        Ok(Self { cell, poller, clients, requests, request_len: request.len(), reply, space: vec![0; 256 * 1024] })
    }

    /// Keeps the messages in flight for `time`, waits for the last ones, and gives the number of echoes.
    pub fn run(&mut self, time: Duration) -> Result<u64, Box<dyn Error>> {
        let mut events = Events::new();
        let mut echoes = 0;
        let mut in_flight = 0;
        let until = Instant::now() + time;
        for key in 0..self.clients.len() {
            self.send(key, self.cell.in_flight)?;
            in_flight += self.cell.in_flight as u64;
        }
        while in_flight > 0 {
            events.clear();
            self.poller.wait(&mut events, Some(Duration::from_secs(10)))?;
            if events.is_empty() {
                return Err("the server has not answered for ten seconds".into());
            }
            let goes_on = Instant::now() < until;
            for event in events.iter() {
                if event.writable {
                    self.send(event.key, 0)?;
                }
                if event.readable {
                    let count = self.receive(event.key)?;
                    echoes += count as u64;
                    in_flight -= count as u64;
                    if goes_on && count > 0 {
                        self.send(event.key, count)?;
                        in_flight += count as u64;
                    }
                }
            }
        }
        Ok(echoes)
    }

    /// Sends `count` more messages, as far as there is room.
    fn send(&mut self, key: usize, count: usize) -> Result<(), Box<dyn Error>> {
        let client = &mut self.clients[key];
        client.unsent += count * self.request_len;
        while client.unsent > 0 {
            // From the middle of a request, where the last write has stopped.
            let start = (self.request_len - client.unsent % self.request_len) % self.request_len;
            let end = self.requests.len().min(start + client.unsent);
            match client.stream.write(&self.requests[start..end]) {
                Ok(count) => client.unsent -= count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        if client.watched != (client.unsent > 0) {
            client.watched = client.unsent > 0;
            let interest = Event::new(key, true, client.watched);
            self.poller.modify_with_mode(&client.stream, interest, PollMode::Level)?;
        }
        Ok(())
    }

    /// Receives what is there, and gives the number of replies that are whole now.
    fn receive(&mut self, key: usize) -> Result<usize, Box<dyn Error>> {
        let client = &mut self.clients[key];
        match client.stream.read(&mut self.space) {
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

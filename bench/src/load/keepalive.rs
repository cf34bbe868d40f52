//! Connections that do nothing but answer Pings.

use std::error::Error;
use std::io::{Read, Write};
use std::time::{Duration, Instant};

use polling::Events;

use super::Load;
use crate::wire;

impl Load {
    /// Answers Pings for `time`, and gives their number.
    pub fn answer_pings(&mut self, time: Duration) -> Result<u64, Box<dyn Error>> {
        let mut events = Events::new();
        let mut pings = 0;
        let until = Instant::now() + time;
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            self.wait(&mut events, Some(left))?;
            for event in events.iter() {
                let count = self.clients[event.key].channel.read(&mut self.space)?;
                let mut received = &self.space[..count];
                if received.is_empty() {
                    return Err("the server has ended an idle connection".into());
                }
                // A Ping is too small to be torn.
                while let Some(length) = wire::frame_length(received) {
                    let (frame, rest) = received.split_at(length);
                    let [PING, length, payload @ ..] = frame else { return Err("that is no Ping".into()) };
                    let pong = [&[PONG, 0x80 | length, 0, 0, 0, 0][..], payload].concat();
                    self.clients[event.key].channel.write_all(&pong)?;
                    pings += 1;
                    received = rest;
                }
            }
        }
        Ok(pings)
    }
}

const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

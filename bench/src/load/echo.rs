//! Each connection keeps its messages in flight, as fast as the server answers.

use std::error::Error;
use std::time::{Duration, Instant};

use polling::Events;

use super::Load;

impl Load {
    /// Keeps the messages in flight for `time`, waits for the last ones, and gives the number of echoes.
    pub fn echo(&mut self, time: Duration) -> Result<u64, Box<dyn Error>> {
        let mut events = Events::new();
        let mut echoes = 0;
        let mut in_flight = 0;
        let until = Instant::now() + time;
        for key in 0..self.clients.len() {
            self.send(key, self.cell.in_flight)?;
            in_flight += self.cell.in_flight as u64;
        }
        while in_flight > 0 {
            self.wait(&mut events, None)?;
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
}

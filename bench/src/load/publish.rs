//! One connection sends, and all receive what it has sent.

use std::collections::VecDeque;
use std::error::Error;
use std::time::{Duration, Instant};

use polling::Events;

use super::{Load, PATIENCE};

impl Load {
    /// Publishes until one message has reached all: the server may take a while to know the last that have connected.
    pub fn settle(&mut self) -> Result<(), Box<dyn Error>> {
        let mut events = Events::new();
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            let mut reached = 0;
            self.send(0, 1)?;
            loop {
                self.wait(&mut events, Some(Duration::from_millis(300)))?;
                if events.is_empty() {
                    break;
                }
                for event in events.iter() {
                    reached += self.receive(event.key)?;
                    if !self.space.starts_with(&self.reply) {
                        return Err("what is delivered differs from what was sent".into());
                    }
                }
            }
            if reached == self.clients.len() {
                return Ok(());
            }
        }
        Err("messages do not reach all connections".into())
    }

    /// Publishes one message after the other for `time`, a pause between them, and gives how long each has taken to reach each
    /// connection, in µs.
    pub fn time_deliveries(&mut self, time: Duration) -> Result<Vec<f64>, Box<dyn Error>> {
        let mut events = Events::new();
        let mut delays = Vec::new();
        let until = Instant::now() + time;
        while Instant::now() < until {
            let start = Instant::now();
            self.send(0, 1)?;
            let all = delays.len() + self.clients.len();
            while delays.len() < all {
                self.wait(&mut events, None)?;
                for event in events.iter() {
                    let count = self.receive(event.key)?;
                    delays.extend((0..count).map(|_| start.elapsed().as_secs_f64() * 1e6));
                }
            }
            std::thread::sleep(PAUSE);
        }
        Ok(delays)
    }

    /// Keeps messages in flight for `time`, waits for the last ones, and gives the number of deliveries. A message is in
    /// flight until it has reached all.
    pub fn publish(&mut self, time: Duration) -> Result<u64, Box<dyn Error>> {
        let mut events = Events::new();
        let mut deliveries = 0;
        // How many connections still wait for each message in flight, the oldest first.
        let mut missing = VecDeque::from(vec![self.clients.len(); self.cell.in_flight]);
        // Messages that have reached all, and those that have reached each.
        let (mut complete, mut seen) = (0, vec![0; self.clients.len()]);
        let until = Instant::now() + time;
        self.send(0, self.cell.in_flight)?;
        while !missing.is_empty() {
            self.wait(&mut events, None)?;
            for event in events.iter() {
                if event.writable {
                    self.send(event.key, 0)?;
                }
                if event.readable {
                    for _ in 0..self.receive(event.key)? {
                        let message: usize = seen[event.key] - complete;
                        *missing.get_mut(message).ok_or("more is delivered than was sent")? -= 1;
                        seen[event.key] += 1;
                        deliveries += 1;
                    }
                }
            }
            let done = missing.iter().take_while(|connections| **connections == 0).count();
            missing.drain(..done);
            complete += done;
            if done > 0 && Instant::now() < until {
                self.send(0, done)?;
                missing.extend(vec![self.clients.len(); done]);
            }
        }
        Ok(deliveries)
    }
}

/// Between messages whose way is timed: what they have left behind in the server is done with.
const PAUSE: Duration = Duration::from_millis(2);

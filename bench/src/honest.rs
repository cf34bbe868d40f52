//! An honest client, which tells how it is served while others behave badly.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::channel::Channel;
use crate::peers::Peer;
use crate::report::quantile;
use crate::wire::{self, Wire};

/// How an honest client was served.
pub struct Service {
    /// Of round trips of 1 KiB, in µs.
    pub median: f64,
    pub p99: f64,
    /// Of connecting with the opening handshake, in µs.
    pub connect_p99: f64,
    pub round_trips: usize,
    /// Messages lost and connects refused.
    pub lost: usize,
}

/// Echoes 1 KiB messages for `time`, a pause behind each, and connects anew ten times a second.
pub fn serve(peer: &Peer, address: SocketAddr, time: Duration) -> Result<Service, Box<dyn Error>> {
    let request = wire::request(1024);
    let expected = Wire::WebSocket.reply(1024);
    let mut reply = vec![0; expected.len()];
    let (mut trips, mut connects, mut lost) = (Vec::new(), Vec::new(), 0);
    let until = Instant::now() + time;
    while Instant::now() < until {
        let start = Instant::now();
        let mut channel = match connect(peer, address) {
            Ok(channel) => channel,
            Err(_) => {
                lost += 1;
                continue;
            }
        };
        connects.push(start.elapsed().as_secs_f64() * 1e6);
        for _ in 0..50 {
            let start = Instant::now();
            match wire::round_trip(&mut channel, &request, &mut reply) {
                Ok(()) if reply == expected => trips.push(start.elapsed().as_secs_f64() * 1e6),
                _ => {
                    lost += 1;
                    break;
                }
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    Ok(Service {
        median: quantile(&trips, 0.5),
        p99: quantile(&trips, 0.99),
        connect_p99: quantile(&connects, 0.99),
        round_trips: trips.len(),
        lost,
    })
}

fn connect(peer: &Peer, address: SocketAddr) -> io::Result<Channel> {
    let channel = Channel::connect(peer, address)?;
    channel.stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    channel.stream.set_write_timeout(Some(Duration::from_secs(5)))?;
    Ok(channel)
}

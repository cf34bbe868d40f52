//! CPU time per opening handshake.

use std::error::Error;
use std::io::Read;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::options::Options;
use crate::peers::{self, limit_of};
use crate::process::{self, Server};
use crate::report::{Table, Value};
use crate::rounds::{self, cpu_per};
use crate::wire::{self, Wire};

const AT_A_TIME: usize = 32;

pub fn run(options: &Options) -> Result<Vec<Table>, Box<dyn Error>> {
    process::pin_load();
    eprintln!("bench: handshake");
    let peers = options.peers(&peers::ALL);
    let mut servers: Vec<_> =
        peers.iter().map(|peer| Ok((peer.wire, Server::start(peer, &[]).map_err(Value::absent)?))).collect();
    let time = Duration::from_secs_f64(options.seconds);
    let found = rounds::interleave(&mut servers, options.rounds, |(wire, server)| {
        cpu_per(server, || connect(*wire, server.address, time))
    });
    let values = rounds::summarize(&found, |place| limit_of(&peers, place));
    Ok(vec![Table {
        name: "handshake",
        title: "Opening handshake".to_owned(),
        explanation: format!(
            "Server CPU µs per connection from accept to its end, {AT_A_TIME} at a time, and in parentheses its ratio to \
             the raw limit of the same kind in the same round, which accepts, waits for the client's end and closes; medians."
        ),
        columns: vec!["µs".to_owned()],
        rows: peers.iter().zip(values).map(|(peer, value)| (peer.name.to_owned(), vec![value])).collect(),
    }])
}

/// Connects again and again for `time`, and gives the number of connections.
fn connect(wire: Wire, address: SocketAddr, time: Duration) -> Result<u64, Box<dyn Error>> {
    let until = Instant::now() + time;
    let mut count = 0;
    while Instant::now() < until {
        let streams = (0..AT_A_TIME).map(|_| TcpStream::connect(address)).collect::<Result<Vec<_>, _>>()?;
        for mut stream in &streams {
            stream.set_read_timeout(Some(Duration::from_secs(10)))?;
            match wire {
                Wire::WebSocket => wire::shake_hands(stream)?,
                // The server's end shows that it has accepted.
                Wire::Raw => {
                    stream.shutdown(Shutdown::Write)?;
                    stream.read_to_end(&mut Vec::new())?;
                }
            }
        }
        count += streams.len() as u64;
    }
    Ok(count)
}

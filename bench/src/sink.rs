//! A server of nothing: takes connections, reads nothing, and lets the oldest go. What badly behaved clients do to it shows what
//! they themselves, and the system, take from an honest client on their core.

use std::collections::VecDeque;
use std::error::Error;
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use crate::process::{self, Server};

/// Starts a sink that keeps `most` connections, each as long as a server waits for an opening handshake.
pub fn start(most: usize) -> Result<Server, Box<dyn Error>> {
    let mut command = Command::new(std::env::current_exe()?);
    Server::launch(command.args(["serve", "sink", &most.to_string()]))
}

/// Is that sink, until the process is ended.
pub fn serve(most: usize) -> Result<(), Box<dyn Error>> {
    process::raise_descriptor_limit();
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
    listener.listen(1024)?;
    // Accepting gives up as reading does.
    listener.set_read_timeout(Some(LOOK_AGAIN))?;
    let address = listener.local_addr()?.as_socket().ok_or("no address")?;
    println!("listening on tcp://{address}");
    let mut guests = VecDeque::new();
    loop {
        match listener.accept() {
            Ok((guest, _)) => guests.push_back((Instant::now(), guest)),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
        while guests.len() > most || guests.front().is_some_and(|(since, _)| since.elapsed() > HANDSHAKE_TIMEOUT) {
            guests.pop_front();
        }
    }
}

const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// As the server has it, unless it is told otherwise.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

//! A TCP connection to one of several addresses: one after the other is begun, and the first that answers is taken (RFC 8305).

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::error::{ConnectError, Stage};
use crate::sys::{self, Pending};
use crate::until::Until;

/// Connects to one of `addresses`, from `local` where that is given, which leaves the addresses of its family.
pub(crate) fn dial(
    addresses: &[SocketAddr],
    local: Option<SocketAddr>,
    until: &Until<'_>,
) -> Result<TcpStream, ConnectError> {
    let fits = |address: &&SocketAddr| local.is_none_or(|local| local.is_ipv4() == address.is_ipv4());
    let mut waiting = addresses.iter().filter(fits).peekable();
    let mut pending: Vec<(SocketAddr, Pending)> = Vec::new();
    let mut last: Option<io::Error> = None;
    let mut next_at = Instant::now();
    loop {
        // The next one is begun when those before have had their time, or have all failed.
        if pending.is_empty() || Instant::now() >= next_at {
            match waiting.next() {
                Some(address) => {
                    next_at = Instant::now() + STAGGER;
                    match Pending::begin(*address, local) {
                        Ok(attempt) => pending.push((*address, attempt)),
                        Err(error) => {
                            last = Some(name(*address, error));
                            next_at = Instant::now();
                            continue;
                        }
                    }
                }
                None if pending.is_empty() => return Err(ConnectError::Connect(last.unwrap_or_else(no_address))),
                None => {}
            }
        }
        let left = match until.left(Stage::Connect) {
            Ok(left) => left,
            Err(ConnectError::Timeout { stage, .. }) => return Err(ConnectError::Timeout { stage, cause: last }),
            Err(error) => return Err(error),
        };
        let left = match waiting.peek() {
            None => left,
            Some(_) => left.min(next_at.saturating_duration_since(Instant::now())),
        };
        let Some(ready) = sys::wait(&pending, left).map_err(ConnectError::Connect)? else { continue };
        let (address, attempt) = pending.remove(ready);
        match attempt.finish() {
            Ok(stream) => return Ok(stream),
            Err(error) => {
                last = Some(name(address, error));
                next_at = Instant::now();
            }
        }
    }
}

/// Says of an error which address it is about.
fn name(address: SocketAddr, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{address}: {error}"))
}

fn no_address() -> io::Error {
    io::Error::new(io::ErrorKind::AddrNotAvailable, "there is no address of the family of the local one")
}

/// So much later than the one before a connection is begun (RFC 8305, section 5).
const STAGGER: Duration = Duration::from_millis(250);

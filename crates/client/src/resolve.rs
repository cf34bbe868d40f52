//! The addresses of a name, within the deadline.
//!
//! The system's resolver cannot be told how long to take, so it runs on a thread of its own, which is left behind where the
//! time is up. A resolver that hangs gives up after a while (`man resolv.conf`: `timeout` and `attempts`), and the thread with
//! it; until then no more than [`LOOKUPS`] of them are there.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};

use parking_lot::{Condvar, Mutex};

use crate::error::{ConnectError, Stage};
use crate::until::Until;
use crate::url::Host;

/// The addresses of `host`, the families in turn (RFC 8305, section 4), at least one.
pub(crate) fn resolve(host: &Host, port: u16, until: &Until<'_>) -> Result<Vec<SocketAddr>, ConnectError> {
    match host {
        Host::V4(address) => Ok(vec![(*address, port).into()]),
        Host::V6(address) => Ok(vec![(*address, port).into()]),
        Host::Name(name) => {
            let name = name.clone();
            look_up(move || (name.as_str(), port).to_socket_addrs().map(Iterator::collect), until)
        }
    }
}

fn look_up(
    lookup: impl FnOnce() -> io::Result<Vec<SocketAddr>> + Send + 'static,
    until: &Until<'_>,
) -> Result<Vec<SocketAddr>, ConnectError> {
    let place = Place::take(until)?;
    let (sender, receiver) = sync_channel(1);
    let body = move || {
        let found = lookup();
        drop(place);
        // It fails where nobody waits any more.
        let _ = sender.send(found);
    };
    raddle_socket::spawn("raddle-lookup".into(), Some(STACK), body).map_err(ConnectError::Resolve)?;
    loop {
        match receiver.recv_timeout(until.left(Stage::Resolve)?) {
            Ok(found) => {
                let addresses = in_turn(found.map_err(ConnectError::Resolve)?);
                let none = || ConnectError::Resolve(io::Error::new(io::ErrorKind::NotFound, "it has none"));
                return if addresses.is_empty() { Err(none()) } else { Ok(addresses) };
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                return Err(ConnectError::Resolve(io::Error::other("the resolver has failed")));
            }
        }
    }
}

/// Each address once, the families by turns, beginning with that of the first.
fn in_turn(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let mut unique: Vec<IpAddr> = Vec::new();
    let addresses: Vec<_> = addresses
        .into_iter()
        .filter(|address| {
            let is_new = !unique.contains(&address.ip());
            unique.push(address.ip());
            is_new
        })
        .collect();
    let is_first_family =
        |address: &SocketAddr| addresses.first().is_some_and(|first| first.is_ipv4() == address.is_ipv4());
    let (first, second): (Vec<_>, Vec<_>) = addresses.iter().copied().partition(is_first_family);
    let mut second = second.into_iter();
    let mut turns: Vec<_> = first.into_iter().flat_map(|address| [Some(address), second.next()]).flatten().collect();
    turns.extend(second);
    turns
}

/// One of the lookups that may go on at a time.
struct Place;

impl Place {
    fn take(until: &Until<'_>) -> Result<Self, ConnectError> {
        let mut running = RUNNING.lock();
        while *running >= LOOKUPS {
            let left = until.left(Stage::Resolve)?;
            ENDED.wait_for(&mut running, left);
        }
        *running += 1;
        Ok(Self)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        *RUNNING.lock() -= 1;
        ENDED.notify_one();
    }
}

static RUNNING: Mutex<usize> = Mutex::new(0);
static ENDED: Condvar = Condvar::new();
/// So many names are looked up at a time; the others wait, each until its deadline.
const LOOKUPS: usize = 64;
/// The resolver reads files and parses answers on its stack.
const STACK: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;
    use std::time::{Duration, Instant};

    #[test]
    fn a_resolver_that_hangs_is_left_at_the_deadline_and_its_threads_are_bounded() {
        // Hostile input 113. One after the other: they share the places.
        let waits = Duration::from_millis(50);
        let (release, released) = channel::<()>();
        let released = std::sync::Arc::new(Mutex::new(released));
        let hang = |until: &Until<'_>| {
            let released = std::sync::Arc::clone(&released);
            look_up(move || released.lock().recv().map(|()| Vec::new()).map_err(io::Error::other), until)
        };
        for _ in 0..LOOKUPS {
            let begun = Instant::now();
            let error = hang(&Until::after(Duration::from_millis(1))).expect_err("it hangs");
            assert!(matches!(error, ConnectError::Timeout { stage: Stage::Resolve, cause: None }), "{error:?}");
            assert!(begun.elapsed() < Duration::from_secs(10));
        }
        assert_eq!(*RUNNING.lock(), LOOKUPS);
        // One more gets no thread, and is told so in time.
        let late = look_up(|| unreachable!("there is no place"), &Until::after(waits));
        assert!(matches!(late, Err(ConnectError::Timeout { stage: Stage::Resolve, .. })));
        drop(release);
        let deadline = Instant::now() + Duration::from_secs(10);
        while *RUNNING.lock() > 0 {
            assert!(Instant::now() < deadline, "the places are given back");
            std::thread::sleep(Duration::from_millis(1));
        }
        let address: SocketAddr = "127.0.0.1:1".parse().expect("an address");
        let found = look_up(move || Ok(vec![address, address]), &Until::after(Duration::from_secs(10)));
        assert_eq!(found.expect("found"), [address]);
        let none = look_up(|| Ok(Vec::new()), &Until::after(Duration::from_secs(10)));
        assert!(matches!(none, Err(ConnectError::Resolve(_))));
    }

    #[test]
    fn the_families_take_turns() {
        let parse = |list: &[&str]| -> Vec<SocketAddr> { list.iter().map(|it| it.parse().expect("one")).collect() };
        let given = parse(&["[::1]:1", "[::2]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1", "2.2.2.2:1"]);
        assert_eq!(in_turn(given), parse(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1", "[::3]:1"]));
        let given = parse(&["1.1.1.1:1", "[::1]:1", "[::2]:1"]);
        assert_eq!(in_turn(given), parse(&["1.1.1.1:1", "[::1]:1", "[::2]:1"]));
        assert!(in_turn(Vec::new()).is_empty());
    }
}

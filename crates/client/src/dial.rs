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

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{AddressFamily, SocketType, bind, connect, getsockname, listen, socket};
    use std::io::ErrorKind;
    use std::net::TcpListener;
    use std::os::fd::OwnedFd;

    /// An address whose connections are never made: those who wait there already fill its queue.
    struct Hole {
        address: SocketAddr,
        _held: (OwnedFd, Vec<Pending>),
    }

    impl Hole {
        fn dig() -> Self {
            let listener = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a descriptor");
            bind(&listener, &SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
            listen(&listener, 0).expect("a socket");
            let address = getsockname(&listener).expect("it is bound").try_into().expect("an address");
            // The queue is one longer than its number says.
            let waiting = (0..2).map(|_| Pending::begin(address, None).expect("it begins")).collect();
            Self { address, _held: (listener, waiting) }
        }
    }

    fn refused() -> SocketAddr {
        // Bound and not listening.
        let socket = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a descriptor");
        bind(&socket, &SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
        let address = getsockname(&socket).expect("it is bound").try_into().expect("an address");
        std::mem::forget(socket);
        address
    }

    fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        (listener, address)
    }

    #[test]
    fn a_dead_address_costs_a_quarter_of_a_second_and_a_refusing_one_nothing() {
        // Hostile input 112.
        let (_listener, alive) = listener();
        let holes: Vec<_> = (0..7).map(|_| Hole::dig()).collect();
        let mut addresses: Vec<_> = holes.iter().map(|hole| hole.address).collect();
        addresses.push(alive);
        let begun = Instant::now();
        let stream = dial(&addresses, None, &Until::after(Duration::from_secs(60))).expect("one is alive");
        assert_eq!(stream.peer_addr().expect("connected"), alive);
        // Not before those before it have had their time, and long before the system gives them up.
        assert!(begun.elapsed() >= 7 * STAGGER && begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());

        // 200 times a quarter of a second would be 50 s.
        let mut addresses = vec![refused(); 200];
        addresses.push(alive);
        let begun = Instant::now();
        dial(&addresses, None, &Until::after(Duration::from_secs(60))).expect("one is alive");
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    }

    #[test]
    fn the_last_cause_is_told() {
        let hole = Hole::dig();
        let error = dial(&[refused()], None, &Until::after(Duration::from_secs(10))).expect_err("it refuses");
        let ConnectError::Connect(error) = error else { panic!("{error:?}") };
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        assert!(error.to_string().starts_with("127.0.0.1:"), "{error}");
        let time = Duration::from_millis(100);
        let error = dial(&[refused(), hole.address], None, &Until::after(time)).expect_err("it hangs");
        let ConnectError::Timeout { stage: Stage::Connect, cause: Some(cause) } = error else { panic!("{error:?}") };
        assert_eq!(cause.kind(), ErrorKind::ConnectionRefused);
        let error = dial(&[hole.address], None, &Until::after(time)).expect_err("it hangs");
        assert!(matches!(error, ConnectError::Timeout { stage: Stage::Connect, cause: None }), "{error:?}");
    }

    #[test]
    fn an_attempt_comes_from_the_local_address_and_its_family() {
        let (listener, alive) = listener();
        let local: SocketAddr = "127.0.0.2:0".parse().expect("an address");
        let six: SocketAddr = "[::1]:1".parse().expect("an address");
        let until = Until::after(Duration::from_secs(10));
        let stream = dial(&[six, alive], Some(local), &until).expect("it listens");
        assert_eq!(stream.local_addr().expect("connected").ip(), local.ip());
        assert_eq!(listener.accept().expect("connected").1.ip(), local.ip());
        let error = dial(&[six], Some(local), &until).expect_err("another family");
        assert!(matches!(error, ConnectError::Connect(error) if error.kind() == ErrorKind::AddrNotAvailable));
    }

    #[test]
    fn nobody_connects_to_itself() {
        // From the very port that it connects to.
        let itself = refused_port();
        let error = dial(&[itself], Some(itself), &Until::after(Duration::from_secs(10))).expect_err("nobody listens");
        assert!(matches!(error, ConnectError::Connect(error) if error.kind() == ErrorKind::ConnectionRefused));
        // The system does let it.
        let socket = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a descriptor");
        let itself = refused_port();
        bind(&socket, &itself).expect("a free port");
        connect(&socket, &itself).expect("to itself");
    }

    /// A port that was free a moment ago.
    fn refused_port() -> SocketAddr {
        listener().1
    }

    #[test]
    fn an_attempt_that_is_given_up_ends_soon() {
        let hole = Hole::dig();
        let stopped = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            let attempt = scope.spawn(|| {
                let until = Until::after_or_stopped(Duration::from_secs(3600), &stopped);
                dial(&[hole.address], None, &until).map(drop)
            });
            std::thread::sleep(Duration::from_millis(20));
            stopped.store(true, std::sync::atomic::Ordering::Relaxed);
            let deadline = Instant::now() + Duration::from_secs(10);
            while !attempt.is_finished() {
                assert!(Instant::now() < deadline, "it goes on");
                std::thread::sleep(Duration::from_millis(1));
            }
            assert!(matches!(attempt.join().expect("no panic"), Err(ConnectError::Stopped)));
        });
    }
}

//! Listening sockets: TCP, Unix, inherited; and what a failing `accept(2)` means.

use std::fs::{self, File};
use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use raddle_core::handshake::Hosts;
use raddle_socket::Socket;
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

#[cfg(not(feature = "tls"))]
use crate::no_tls::ServerTls;
#[cfg(feature = "tls")]
use crate::tls::ServerTls;

/// A socket that clients connect to.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp {
        listener: TcpListener,
        tls: Option<ServerTls>,
    },
    Unix {
        listener: UnixListener,
        /// Removed with the listener.
        _file: Option<SocketFile>,
    },
}

/// The file of a Unix listener that was made here: removed with it.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    /// The file's own number: another one may stand at the path by now.
    inode: u64,
}

impl Listener {
    pub(crate) fn bind(address: impl ToSocketAddrs, tls: Option<ServerTls>) -> io::Result<Self> {
        Self::tcp(TcpListener::bind(address)?, tls)
    }

    /// Takes a socket that listens already.
    pub(crate) fn tcp(listener: TcpListener, tls: Option<ServerTls>) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        // The standard library has given a shorter backlog.
        net::listen(&listener, BACKLOG)?;
        Ok(Self::Tcp { listener, tls })
    }

    /// Takes a socket that listens already.
    pub(crate) fn unix(listener: UnixListener, file: Option<SocketFile>) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        net::listen(&listener, BACKLOG)?;
        Ok(Self::Unix { listener, _file: file })
    }

    /// Listens at a path. A socket that a server which is no more has left there is removed.
    pub(crate) fn bind_unix(path: &Path) -> io::Result<Self> {
        let listener = match UnixListener::bind(path) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_left_over(path) => {
                fs::remove_file(path)?;
                UnixListener::bind(path)?
            }
            bound => bound?,
        };
        let file = SocketFile { path: path.to_owned(), inode: fs::symlink_metadata(path)?.ino() };
        Self::unix(listener, Some(file))
    }

    /// All sockets that the process was started with by systemd's protocol.
    pub(crate) fn inherited(tls: Option<&ServerTls>) -> io::Result<Vec<Self>> {
        let mut inherited = listenfd::ListenFd::from_env();
        let mut listeners = Vec::with_capacity(inherited.len());
        for index in 0..inherited.len() {
            let listener = match inherited.take_tcp_listener(index) {
                Ok(Some(listener)) => Self::tcp(listener, tls.cloned())?,
                Ok(None) => continue,
                Err(_) => match inherited.take_unix_listener(index)? {
                    Some(listener) => Self::unix(listener, None)?,
                    None => continue,
                },
            };
            listeners.push(listener);
        }
        Ok(listeners)
    }

    /// The address of a TCP listener.
    pub(crate) fn local_addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp { listener, .. } => listener.local_addr().ok(),
            Self::Unix { .. } => None,
        }
    }

    /// The TLS that its clients speak.
    pub(crate) fn tls(&self) -> Option<&ServerTls> {
        match self {
            Self::Tcp { tls, .. } => tls.as_ref(),
            Self::Unix { .. } => None,
        }
    }

    /// Under which names the server may be addressed here, where nothing else was said.
    pub(crate) fn default_hosts(&self) -> Hosts {
        match self.local_addr() {
            Some(address) if address.ip().to_canonical().is_loopback() => Hosts::Loopback,
            _ => Hosts::Any,
        }
    }

    /// Accepts a connection: its socket, which is an error where the client has gone already, and the peer's address.
    pub(crate) fn accept(&self) -> Result<(io::Result<Socket>, Option<SocketAddr>), AcceptFailure> {
        #[cfg(test)]
        if let Some(errno) = tests::failure_of(self) {
            return Err(io::Error::from(errno).into());
        }
        match self {
            Self::Tcp { listener, .. } => listener.accept().map(|(stream, peer)| (Socket::tcp(stream), Some(peer))),
            Self::Unix { listener, .. } => listener.accept().map(|(stream, _)| (Socket::unix(stream), None)),
        }
        .map_err(AcceptFailure::from)
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp { listener, .. } => listener.as_fd(),
            Self::Unix { listener, .. } => listener.as_fd(),
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|file| file.ino() == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Tells whether a path holds a socket that nobody listens to.
fn is_left_over(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket())
        && connect(path).is_err_and(|error| error == Errno::CONNREFUSED)
}

/// Connects without waiting for a server whose queue is full: that lives as well.
fn connect(path: &Path) -> rustix::io::Result<()> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    net::connect(&socket, &SocketAddrUnix::new(path)?)
}

/// Why no connection was accepted.
#[derive(Debug)]
pub(crate) enum AcceptFailure {
    /// Nobody is waiting.
    NoMore,
    /// The client has gone, or its network has: the next one may do better.
    OfOneClient,
    /// The descriptors have run out: somebody waits, and cannot be let in.
    NoDescriptor,
    /// Memory has run out: for some time the next one would fail as well.
    NoMemory,
    /// The socket is none that listens.
    Broken(io::Error),
}

impl From<io::Error> for AcceptFailure {
    fn from(error: io::Error) -> Self {
        match Errno::from_io_error(&error) {
            Some(Errno::AGAIN) => Self::NoMore,
            Some(Errno::MFILE | Errno::NFILE) => Self::NoDescriptor,
            Some(Errno::NOBUFS | Errno::NOMEM) => Self::NoMemory,
            Some(Errno::BADF | Errno::INVAL | Errno::NOTSOCK) => Self::Broken(error),
            _ => Self::OfOneClient,
        }
    }
}

/// A descriptor that is kept for when all others are in use: with its place, a client that waits can be turned away, and
/// need not hang until its own patience ends.
#[derive(Debug)]
pub(crate) struct Spare(Option<File>);

impl Spare {
    pub(crate) fn new() -> Self {
        Self(File::open("/dev/null").ok())
    }

    /// Takes a descriptor again, if it was lost to somebody else and there are free ones now.
    pub(crate) fn renew(&mut self) {
        if self.0.is_none() {
            *self = Self::new();
        }
    }

    /// Closes the next connection of `listener` unheard; `false`: there was none, or no place for it.
    pub(crate) fn turn_away(&mut self, listener: &Listener) -> bool {
        drop(self.0.take());
        let turned_away = listener.accept().is_ok();
        *self = Self::new();
        turned_away
    }
}

const BACKLOG: i32 = 1024;

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::os::fd::{AsRawFd, RawFd};
    use std::thread;
    use std::time::{Duration, Instant};

    use parking_lot::Mutex;
    use raddle_core::handshake::Offer;

    use super::*;
    use crate::{Builder, Reader, Server, Writer};

    /// What is one client's own, or its network's.
    const OF_ONE_CLIENT: [Errno; 11] = [
        Errno::INTR,
        Errno::CONNABORTED,
        Errno::PROTO,
        Errno::PERM,
        Errno::NETDOWN,
        Errno::NOPROTOOPT,
        Errno::HOSTDOWN,
        Errno::NONET,
        Errno::HOSTUNREACH,
        Errno::OPNOTSUPP,
        Errno::NETUNREACH,
    ];

    /// With what the next calls fail, by the descriptor of the listener.
    static FAILURES: Mutex<Option<HashMap<RawFd, Vec<Errno>>>> = Mutex::new(None);

    pub(super) fn failure_of(listener: &Listener) -> Option<Errno> {
        FAILURES.lock().as_mut()?.get_mut(&listener.as_fd().as_raw_fd())?.pop()
    }

    /// A server whose listener fails with these before it does what it should.
    fn failing(errors: &[Errno]) -> (Server, RawFd) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let descriptor = listener.as_raw_fd();
        FAILURES.lock().get_or_insert_default().insert(descriptor, errors.to_vec());
        let server = Server::builder().tcp_listener(listener).and_then(Builder::build).expect("a server");
        (server, descriptor)
    }

    fn echo(mut reader: Reader, writer: Writer) -> Result<(), crate::HandlerError> {
        while let Some(message) = reader.next_message()? {
            writer.send(message)?;
        }
        Ok(())
    }

    #[test]
    fn a_failure_of_accept_is_one_clients_or_passes_or_is_the_listeners_own() {
        let failure = |errno: Errno| AcceptFailure::from(io::Error::from(errno));
        for errno in OF_ONE_CLIENT {
            assert!(matches!(failure(errno), AcceptFailure::OfOneClient), "{errno}");
        }
        assert!(matches!(failure(Errno::AGAIN), AcceptFailure::NoMore));
        for errno in [Errno::MFILE, Errno::NFILE] {
            assert!(matches!(failure(errno), AcceptFailure::NoDescriptor), "{errno}");
        }
        for errno in [Errno::NOBUFS, Errno::NOMEM] {
            assert!(matches!(failure(errno), AcceptFailure::NoMemory), "{errno}");
        }
        for errno in [Errno::BADF, Errno::INVAL, Errno::NOTSOCK] {
            assert!(matches!(failure(errno), AcceptFailure::Broken(_)), "{errno}");
        }
    }

    #[test]
    fn a_client_is_served_behind_each_failure_that_is_not_the_listeners() {
        // Hostile inputs 253 and 254.
        let (server, descriptor) = failing(&[&OF_ONE_CLIENT[..], &[Errno::NOBUFS, Errno::NOMEM]].concat());
        server.start(echo).expect("it starts");
        let mut client = TcpStream::connect(server.local_addr()).expect("it listens");
        client.set_read_timeout(Some(PATIENCE)).expect("a socket");
        client.write_all(&Offer::new("localhost", "/", [7; 16]).encode().expect("valid")).expect("it is read");
        let mut status = [0; 12];
        client.read_exact(&mut status).expect("an answer");
        assert_eq!(status, *b"HTTP/1.1 101");
        assert_eq!(FAILURES.lock().as_ref().and_then(|all| all.get(&descriptor)), Some(&Vec::new()));
        drop(client);
        server.stop(Duration::ZERO);
        server.join(PATIENCE).expect("all handlers have returned");
    }

    #[test]
    fn serving_ends_with_what_has_broken_the_listener() {
        // Hostile input 255.
        for errno in [Errno::BADF, Errno::INVAL, Errno::NOTSOCK] {
            let (server, _) = failing(&[errno]);
            let _client = TcpStream::connect(server.local_addr()).expect("it listens");
            let serving = thread::spawn(move || server.serve(echo));
            let begun = Instant::now();
            while !serving.is_finished() {
                assert!(begun.elapsed() < PATIENCE, "{errno}: it serves on");
                thread::sleep(Duration::from_millis(2));
            }
            let error = serving.join().expect("it does not panic").expect_err("its listener has broken");
            assert_eq!(Errno::from_io_error(&error), Some(errno));
        }
    }

    const PATIENCE: Duration = Duration::from_secs(10);
}

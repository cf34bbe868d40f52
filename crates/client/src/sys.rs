//! All that depends on the platform: connections that are begun without waiting, and waiting for several of them.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use raddle_socket::Socket;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, getpeername, getsockname, socket_with,
    sockopt,
};

/// A connection that is being made.
#[derive(Debug)]
pub(crate) struct Pending(OwnedFd);

impl Pending {
    /// Begins to connect to `address`, from `local` where that is given.
    pub(crate) fn begin(address: SocketAddr, local: Option<SocketAddr>) -> io::Result<Self> {
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(family, SocketType::STREAM, flags, None)?;
        if let Some(local) = local {
            // A port that was used a moment ago can be used again.
            sockopt::set_socket_reuseaddr(&socket, true)?;
            bind(&socket, &local)?;
        }
        match connect(&socket, &address) {
            Ok(()) | Err(Errno::INPROGRESS | Errno::INTR) => Ok(Self(socket)),
            Err(error) => Err(error.into()),
        }
    }

    /// What has become of it, once [`wait`] has found it ready.
    pub(crate) fn finish(self) -> io::Result<TcpStream> {
        sockopt::socket_error(&self.0)??;
        let stream = TcpStream::from(self.0);
        // Where nobody listens at a port of this machine, a socket that happens to have it connects to itself.
        if stream.local_addr()? == stream.peer_addr()? {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        Ok(stream)
    }
}

/// Waits until one of `pending` is ready, at most for `timeout`, and gives the first that is.
pub(crate) fn wait(pending: &[(SocketAddr, Pending)], timeout: Duration) -> io::Result<Option<usize>> {
    let mut sockets: Vec<_> =
        pending.iter().map(|(_, Pending(socket))| PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::OUT)).collect();
    let timeout = Timespec::try_from(timeout).map_err(|_| io::ErrorKind::InvalidInput)?;
    match poll(&mut sockets, Some(&timeout)) {
        Ok(_) => Ok(sockets.iter().position(|socket| !socket.revents().is_empty())),
        Err(Errno::INTR) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Takes a socket that is connected already, and gives the peer's address where it is one of TCP.
pub(crate) fn given(socket: OwnedFd) -> io::Result<(Socket, Option<SocketAddr>)> {
    if sockopt::socket_type(&socket)? != SocketType::STREAM {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the socket is none of streams"));
    }
    let _connected = getpeername(&socket)?;
    if getsockname(&socket)?.address_family() == AddressFamily::UNIX {
        return Ok((Socket::unix(socket.into())?, None));
    }
    let stream = TcpStream::from(socket);
    let peer = stream.peer_addr()?;
    Ok((Socket::tcp(stream)?, Some(peer)))
}

/// What is said where a socket that was given has served before.
pub(crate) fn used() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "the socket serves one connection only")
}

/// Connects to a Unix socket within `timeout`; fails with [`io::ErrorKind::WouldBlock`] where that is over.
///
/// Where the server's queue is full the system waits itself, and knows no other way to bound that.
pub(crate) fn connect_unix(path: &Path, timeout: Duration) -> io::Result<UnixStream> {
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Send, Some(timeout.max(Duration::from_millis(1))))?;
    connect(&socket, &SocketAddrUnix::new(path.as_os_str().as_bytes())?)?;
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Send, None)?;
    Ok(socket.into())
}

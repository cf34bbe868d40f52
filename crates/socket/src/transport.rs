//! What a connection needs of its stream: reads and writes that wait only where they are told to.

use std::io::{self, IoSlice};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::sys;

/// Whether a call waits for what it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// Waits as long as it takes, or until the stream is shut down.
    Block,
    /// Waits for about this time, and fails with [`io::ErrorKind::WouldBlock`] then.
    BlockFor(Duration),
    /// Fails with [`io::ErrorKind::WouldBlock`].
    DontWait,
}

/// What to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Bytes to read, or the end of the stream.
    Read,
    /// Room to write.
    Write,
    /// Whichever comes first.
    Either,
}

/// What a wait has found: neither where the time was up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// A read will not wait.
    pub read: bool,
    /// A write will not wait.
    pub write: bool,
}

/// A byte stream in both directions, used by several threads at once: one reads, one writes, any may shut it down.
///
/// Implemented for sockets by [`Socket`]. A layer such as TLS implements it too: its reads may produce output of its own,
/// which [`has_output`](Self::has_output) announces and the next [`send`](Self::send) takes along, and may bring more than
/// there is space for, which [`has_input`](Self::has_input) announces and the next [`receive`](Self::receive) gives.
pub trait Transport: Send + Sync + 'static {
    /// Reads into `space`; 0 is the end of the stream. One thread at a time.
    fn receive(&self, space: &mut [u8], patience: Patience) -> io::Result<usize>;

    /// Writes the start of `parts`, as much as fits without waiting, and gives the number of bytes taken.
    ///
    /// Fails with [`io::ErrorKind::WouldBlock`] where nothing fits, and never raises a signal. What was not taken comes
    /// first in the next call: a layer may have begun to send it.
    fn send(&self, parts: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Waits for one of `interest`, at most for `timeout`.
    fn wait(&self, interest: Interest, timeout: Option<Duration>) -> io::Result<Readiness>;

    /// Ends one direction or both. Wakes the threads that wait on it.
    fn shutdown(&self, how: Shutdown) -> io::Result<()>;

    /// Tells whether the layer has bytes of its own to send.
    fn has_output(&self) -> bool {
        false
    }

    /// Tells whether a [`receive`](Self::receive) has something to give that a poller of the [descriptor](Self::descriptor)
    /// would not see.
    fn has_input(&self) -> bool {
        false
    }

    /// What a poller can watch for room to write. `None`: [`send`](Self::send) waits instead of failing, until
    /// [`shutdown`](Self::shutdown) ends it. What no thread of the application is there to send, a Ping or what waits, is then sent by
    /// a thread that is started for it.
    fn descriptor(&self) -> Option<BorrowedFd<'_>>;
}

/// A connected stream socket: TCP or Unix. It stays in blocking mode; every call that must not wait says so.
#[derive(Debug)]
pub struct Socket {
    descriptor: OwnedFd,
    /// How long a read waits that waits, in milliseconds, as the system was told; 0: as long as it takes.
    read_timeout: AtomicU32,
}

impl Socket {
    /// Takes a TCP stream, puts it in blocking mode and sends small segments at once (`TCP_NODELAY`).
    pub fn tcp(stream: TcpStream) -> io::Result<Self> {
        stream.set_nonblocking(false)?;
        stream.set_nodelay(true)?;
        Ok(Self { descriptor: stream.into(), read_timeout: AtomicU32::new(0) })
    }

    /// Takes a Unix stream and puts it in blocking mode.
    pub fn unix(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(false)?;
        Ok(Self { descriptor: stream.into(), read_timeout: AtomicU32::new(0) })
    }
}

#[cfg(feature = "tls")]
impl Socket {
    /// Counts as readable once so many bytes are there, or the stream has ended; and reads that wait, wait for as many. 1 at first.
    pub(crate) fn set_least(&self, bytes: usize) -> io::Result<()> {
        sys::set_least(self.descriptor.as_fd(), bytes)
    }
}

impl Transport for Socket {
    fn receive(&self, space: &mut [u8], patience: Patience) -> io::Result<usize> {
        let timeout = match patience {
            Patience::DontWait => return sys::receive(self.descriptor.as_fd(), space, Patience::DontWait),
            Patience::Block => 0,
            Patience::BlockFor(time) => u32::try_from(time.as_millis()).unwrap_or(u32::MAX).max(1),
        };
        // The system is told when it changes: no call is added to each read. Only readers come here, one at a time.
        if self.read_timeout.load(Ordering::Relaxed) != timeout {
            sys::set_read_timeout(self.descriptor.as_fd(), Duration::from_millis(timeout.into()))?;
            self.read_timeout.store(timeout, Ordering::Relaxed);
        }
        sys::receive(self.descriptor.as_fd(), space, patience)
    }

    fn send(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        sys::send(self.descriptor.as_fd(), parts)
    }

    fn wait(&self, interest: Interest, timeout: Option<Duration>) -> io::Result<Readiness> {
        sys::wait(self.descriptor.as_fd(), interest, timeout)
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        sys::shutdown(self.descriptor.as_fd(), how)
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.descriptor.as_fd())
    }
}

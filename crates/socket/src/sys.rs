//! All that depends on the platform: system calls on sockets, the clock, signals of the library's own threads.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::net::{Shutdown, SocketAddr};
#[cfg(feature = "tls")]
use std::os::fd::AsRawFd;
use std::os::fd::BorrowedFd;
use std::sync::Once;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::mm::{Advice, madvise};
use rustix::net::{self, RecvFlags, SendAncillaryBuffer, SendFlags, sockopt};
pub(crate) use rustix::param::page_size;
use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::cork::become_another_thread;
use crate::keys::FORKS;
use crate::transport::{Interest, Patience, Readiness};

pub(crate) fn receive(socket: BorrowedFd<'_>, space: &mut [u8], patience: Patience) -> io::Result<usize> {
    let flags = match patience {
        Patience::Block | Patience::BlockFor(_) => RecvFlags::empty(),
        Patience::DontWait => RecvFlags::DONTWAIT,
    };
    let (count, _) = net::recv(socket, space, flags)?;
    Ok(count)
}

/// Has reads that wait fail after `timeout`; zero: never.
pub(crate) fn set_read_timeout(socket: BorrowedFd<'_>, timeout: Duration) -> io::Result<()> {
    let timeout = (!timeout.is_zero()).then_some(timeout);
    Ok(sockopt::set_socket_timeout(socket, sockopt::Timeout::Recv, timeout)?)
}

/// Has a socket count as readable, and reads that wait return, once so many bytes are there, or the stream has ended. The system
/// takes fewer where there is no room for as many.
#[cfg(feature = "tls")]
#[allow(unsafe_code)]
pub(crate) fn set_least(socket: BorrowedFd<'_>, bytes: usize) -> io::Result<()> {
    let bytes = libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX);
    let length = size_of_val(&bytes) as libc::socklen_t;
    let (socket, value) = (socket.as_raw_fd(), (&raw const bytes).cast());
    // SAFETY: the descriptor is borrowed, so it is open, and `value` points to an integer of `length` bytes.
    match unsafe { libc::setsockopt(socket, libc::SOL_SOCKET, libc::SO_RCVLOWAT, value, length) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Writes with MSG_NOSIGNAL: a peer that has gone is an error of this call, not a SIGPIPE for the whole process.
pub(crate) fn send(socket: BorrowedFd<'_>, parts: &[IoSlice<'_>]) -> io::Result<usize> {
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    Ok(match parts {
        // One part costs less as `send` than as `sendmsg`.
        [part] => net::send(socket, part, flags)?,
        parts => net::sendmsg(socket, parts, &mut SendAncillaryBuffer::default(), flags)?,
    })
}

pub(crate) fn wait(socket: BorrowedFd<'_>, interest: Interest, timeout: Option<Duration>) -> io::Result<Readiness> {
    let flags = match interest {
        Interest::Read => PollFlags::IN,
        Interest::Write => PollFlags::OUT,
        Interest::Either => PollFlags::IN | PollFlags::OUT,
    };
    let timeout = timeout.map(|timeout| Timespec::try_from(timeout).unwrap_or(LONG));
    let mut sockets = [PollFd::from_borrowed_fd(socket, flags)];
    poll(&mut sockets, timeout.as_ref())?;
    let found = sockets[0].revents();
    // An error or a hang-up shows in the call that follows, whichever it is.
    let broken = found.intersects(PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL);
    Ok(Readiness { read: broken || found.contains(PollFlags::IN), write: broken || found.contains(PollFlags::OUT) })
}

/// The address that a socket is bound to, where it is one of a network.
pub(crate) fn local_address(socket: BorrowedFd<'_>) -> Option<SocketAddr> {
    net::getsockname(socket).ok()?.try_into().ok()
}

/// Sleeps for this time, or until a signal handler has run on this thread: [`Interrupted`](io::ErrorKind::Interrupted).
pub(crate) fn pause(time: Duration) -> io::Result<()> {
    poll(&mut [], Some(&Timespec::try_from(time).unwrap_or(LONG)))?;
    Ok(())
}

pub(crate) fn shutdown(socket: BorrowedFd<'_>, how: Shutdown) -> io::Result<()> {
    let how = match how {
        Shutdown::Read => net::Shutdown::Read,
        Shutdown::Write => net::Shutdown::Write,
        Shutdown::Both => net::Shutdown::Both,
    };
    Ok(net::shutdown(socket, how)?)
}

/// The time since the machine was started.
pub(crate) fn now() -> Duration {
    time(ClockId::Monotonic)
}

/// The same clock as [`now`], up to 4 ms behind, at a quarter of the cost: 5 ns.
pub(crate) fn coarse_now() -> Duration {
    time(ClockId::MonotonicCoarse)
}

fn time(clock: ClockId) -> Duration {
    let now = clock_gettime(clock);
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs() as u32)
}

/// A number of the processor that this thread runs on at the moment.
#[allow(unsafe_code)]
pub(crate) fn processor() -> usize {
    // SAFETY: it takes nothing, and gives a number.
    usize::try_from(unsafe { libc::sched_getcpu() }).unwrap_or(0)
}

/// How many processors the machine may have, whether this thread may run on them or not.
#[allow(unsafe_code)]
pub(crate) fn processors() -> usize {
    // SAFETY: it takes a number, and gives one.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_NPROCESSORS_CONF) }).unwrap_or(1)
}

/// Gives whole pages of memory to the system, which has new ones in their place when they are used again.
#[allow(unsafe_code)]
pub(crate) fn empty_pages(pages: &mut [MaybeUninit<u8>]) {
    // Those that cannot be given back, because they are locked for example, stay.
    // SAFETY: the pages are borrowed exclusively, and nobody may rely on what is in them, before and after.
    let _ = unsafe { madvise(pages.as_mut_ptr().cast(), pages.len(), Advice::LinuxDontNeed) };
}

/// Starts a thread of the library: it blocks all signals, so that the host's reach the host's own threads.
pub fn spawn<T: Send + 'static>(
    name: String,
    stack: Option<usize>,
    body: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    let builder = thread::Builder::new().name(name);
    let builder = match stack {
        Some(bytes) => builder.stack_size(bytes),
        None => builder,
    };
    // A thread inherits the mask of the one that starts it.
    let mask = SignalMask::block_all();
    let thread = builder.spawn(body);
    drop(mask);
    thread
}

/// Blocks all signals of this thread for as long as it lives.
struct SignalMask {
    before: libc::sigset_t,
}

#[allow(unsafe_code)]
impl SignalMask {
    fn block_all() -> Self {
        let mut all = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
        let mut before = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: `all` is a place for a signal set, which `sigfillset` fills.
        unsafe { libc::sigfillset(all.as_mut_ptr()) };
        // SAFETY: `all` was filled above, and `before` is a place for a signal set.
        let result = unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr()) };
        assert_eq!(result, 0, "SIG_SETMASK is a valid request");
        // SAFETY: `pthread_sigmask` has succeeded, so `before` was written.
        Self { before: unsafe { before.assume_init() } }
    }
}

#[allow(unsafe_code)]
impl Drop for SignalMask {
    fn drop(&mut self) {
        // SAFETY: `before` is a signal set that `pthread_sigmask` has written.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.before, std::ptr::null_mut()) };
    }
}

/// Has every `fork` of this process, from now on, counted in the child.
#[allow(unsafe_code)]
pub(crate) fn count_forks() {
    static COUNTED: Once = Once::new();
    extern "C" fn in_child() {
        FORKS.fetch_add(1, Ordering::Relaxed);
        become_another_thread();
    }
    COUNTED.call_once(|| {
        // SAFETY: `in_child` is a function that lives as long as the process, and calls nothing that is unsafe after `fork`.
        let result = unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
        assert_eq!(result, 0, "there is memory for one more fork handler");
    });
}

/// The longest wait where a timeout does not fit the system's type.
const LONG: Timespec = Timespec { tv_sec: 1 << 31, tv_nsec: 0 };

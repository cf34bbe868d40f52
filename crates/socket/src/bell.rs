//! A bell: what one thread waits for beside sockets or signals, and any other rings.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{EventfdFlags, eventfd};

use crate::shield::note;
use crate::sys;
use crate::transport::Interest;

/// Kept with its sockets by whoever waits for those too, or waited for alone.
#[derive(Debug)]
pub(crate) struct Bell(OwnedFd);

impl Bell {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?))
    }

    /// Ends the current wait, or the next one.
    pub(crate) fn ring(&self) {
        match rustix::io::write(&self.0, &1_u64.to_ne_bytes()) {
            // Its counter is full: it was rung often enough.
            Ok(_) | Err(rustix::io::Errno::AGAIN) => {}
            Err(error) => note(format_args!("a thread that waits cannot be woken: {error}")),
        }
    }

    /// Waits until it is rung, at most for `timeout`. An error of kind [`Interrupted`](io::ErrorKind::Interrupted): a signal handler
    /// has run on this thread, whatever flags it was set with.
    pub(crate) fn wait(&self, timeout: Option<Duration>) -> io::Result<()> {
        sys::wait(self.as_fd(), Interest::Read, timeout)?;
        // It rings until it is read; there is nothing to read where the time was up.
        let _ = rustix::io::read(&self.0, &mut [0; 8]);
        Ok(())
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

//! A set of sockets that one thread waits for and others change: sockets and interests in, what is ready out.
//!
//! Directly on epoll: a portable layer costs four more system calls a wait, for timers and wake-ups of its own, and a pool's
//! thread waits once for each batch of messages.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::thread;
use std::time::Duration;

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::time::Timespec;

use crate::bell::Bell;
use crate::shield::note;

/// What a socket is watched for, or was found ready for, under the key that it was added with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Names the socket; [`usize::MAX`] is taken.
    pub key: usize,
    /// There are bytes to read, or the stream has ended.
    pub readable: bool,
    /// There is room to write.
    pub writable: bool,
}

/// How long a socket is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Until it was found ready, or the interest is changed.
    Once,
    /// As long as it is in the set; found as long as it is ready.
    Level,
}

/// What a wait has found.
pub struct Events {
    found: Vec<epoll::Event>,
}

// SAFETY: what is a pointer by its type is one of our keys: numbers, which nobody follows.
#[allow(unsafe_code)]
unsafe impl Send for Events {}

/// A set of sockets that one thread waits for, and that others change.
#[derive(Debug)]
pub struct Watch {
    set: OwnedFd,
    /// Rung by [`wake`](Self::wake): each time is one event.
    bell: Bell,
}

impl Event {
    /// To be found when there are bytes to read.
    pub fn readable(key: usize) -> Self {
        Self { key, readable: true, writable: false }
    }

    /// To be found when there is room to write.
    pub fn writable(key: usize) -> Self {
        Self { key, readable: false, writable: true }
    }

    /// Not to be found, but for an error of the socket.
    pub fn none(key: usize) -> Self {
        Self { key, readable: false, writable: false }
    }

    fn flags(self, mode: Mode) -> EventFlags {
        let mut flags = if mode == Mode::Once { EventFlags::ONESHOT } else { EventFlags::empty() };
        flags.set(EventFlags::IN | EventFlags::RDHUP, self.readable);
        flags.set(EventFlags::OUT, self.writable);
        flags
    }
}

impl Events {
    /// Space for what one wait finds at most.
    pub fn with_capacity(most: usize) -> Self {
        Self { found: Vec::with_capacity(most) }
    }

    /// Tells whether the last wait has found no socket.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// What the last wait has found.
    pub fn iter(&self) -> impl Iterator<Item = Event> + '_ {
        self.found.iter().filter(|event| event.data.u64() != BELL).map(|event| {
            let flags = event.flags;
            // An error shows in the call that follows, whichever it is.
            let broken = flags.intersects(EventFlags::ERR | EventFlags::HUP);
            Event {
                key: event.data.u64() as usize,
                readable: broken || flags.intersects(EventFlags::IN | EventFlags::RDHUP),
                writable: broken || flags.contains(EventFlags::OUT),
            }
        })
    }
}

impl Watch {
    /// An empty set.
    pub fn new() -> io::Result<Self> {
        let set = epoll::create(CreateFlags::CLOEXEC)?;
        let bell = Bell::new()?;
        epoll::add(&set, &bell, EventData::new_u64(BELL), EventFlags::IN | EventFlags::ET)?;
        Ok(Self { set, bell })
    }

    /// Adds a socket. A socket that is closed leaves the set by itself, once no copy of its descriptor is left.
    pub fn add(&self, socket: BorrowedFd<'_>, interest: Event, mode: Mode) -> io::Result<()> {
        Ok(epoll::add(&self.set, socket, EventData::new_u64(interest.key as u64), interest.flags(mode))?)
    }

    /// Changes what a socket is watched for.
    pub fn change(&self, socket: BorrowedFd<'_>, interest: Event, mode: Mode) -> io::Result<()> {
        Ok(epoll::modify(&self.set, socket, EventData::new_u64(interest.key as u64), interest.flags(mode))?)
    }

    /// Takes a socket out of the set.
    pub fn remove(&self, socket: BorrowedFd<'_>) {
        if let Err(error) = epoll::delete(&self.set, socket) {
            note(format_args!("a socket cannot be taken out of the poller: {error}"));
        }
    }

    /// Waits until a socket is ready, [`wake`](Self::wake) is called or the time is up. `false`: a signal has ended the wait. A
    /// failure is logged, and followed by a pause that keeps it from becoming a spin.
    pub fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> bool {
        events.found.clear();
        let timeout = timeout.map(|timeout| Timespec::try_from(timeout.min(LONGEST)).expect("it is short"));
        match epoll::wait(&self.set, rustix::buffer::spare_capacity(&mut events.found), timeout.as_ref()) {
            Ok(_) => true,
            Err(rustix::io::Errno::INTR) => false,
            Err(error) => {
                note(format_args!("waiting for sockets fails: {error}"));
                thread::sleep(Duration::from_millis(10));
                true
            }
        }
    }

    /// Ends the current wait, or the next one.
    pub fn wake(&self) {
        self.bell.ring();
    }
}

impl AsFd for Watch {
    /// Readable while a [`wait`](Self::wait) would find something.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.set.as_fd()
    }
}

impl Default for Events {
    fn default() -> Self {
        Self::with_capacity(256)
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// The bell's key.
const BELL: u64 = u64::MAX;
/// A wait may end for no reason; the system's own unit does not go much further.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

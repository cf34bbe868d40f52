//! A stream that notes each write, and can hold writes up.

use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use raddle_socket::{Interest, Patience, Readiness, Socket, Transport};

/// What a [`Tap`] has seen.
#[derive(Default)]
pub(crate) struct Seen {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    writes: Vec<Write>,
    /// Reads that the attendant has made.
    ahead: usize,
    /// Waits, without those within a read.
    waits: usize,
    /// Whoever writes waits.
    held: bool,
    waiting: usize,
}

/// One call that has written something.
#[derive(Clone)]
pub(crate) struct Write {
    /// Where each of the parts was in memory, and its length.
    pub(crate) parts: Vec<(usize, usize)>,
    pub(crate) written: usize,
}

/// A socket, observed.
pub(crate) struct Tap {
    socket: Socket,
    seen: Arc<Seen>,
}

impl Tap {
    pub(crate) fn new(socket: Socket) -> (Self, Arc<Seen>) {
        let seen = Arc::<Seen>::default();
        (Self { socket, seen: Arc::clone(&seen) }, seen)
    }
}

impl Seen {
    pub(crate) fn writes(&self) -> Vec<Write> {
        self.state.lock().writes.clone()
    }

    /// How often the attendant has read for a reader that was away.
    pub(crate) fn reads_ahead(&self) -> usize {
        self.state.lock().ahead
    }

    /// How often somebody has waited apart from reading.
    pub(crate) fn waits(&self) -> usize {
        self.state.lock().waits
    }

    pub(crate) fn forget(&self) {
        self.state.lock().writes.clear();
    }

    /// Holds up whoever writes from now on, as if its thread were not given the processor.
    pub(crate) fn hold(&self) {
        self.state.lock().held = true;
    }

    /// Waits until a thread is held up.
    pub(crate) fn wait_for_held(&self) {
        let mut state = self.state.lock();
        while state.waiting == 0 {
            let timed_out = self.changed.wait_for(&mut state, Duration::from_secs(10)).timed_out();
            assert!(!timed_out, "nobody writes");
        }
    }

    pub(crate) fn release(&self) {
        self.state.lock().held = false;
        self.changed.notify_all();
    }
}

impl Transport for Tap {
    fn receive(&self, space: &mut [u8], patience: Patience) -> io::Result<usize> {
        if thread::current().name() == Some("raddle attendant") {
            self.seen.state.lock().ahead += 1;
        }
        self.socket.receive(space, patience)
    }

    fn send(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut state = self.seen.state.lock();
        while state.held {
            state.waiting += 1;
            self.seen.changed.notify_all();
            self.seen.changed.wait(&mut state);
            state.waiting -= 1;
        }
        drop(state);
        let written = self.socket.send(parts)?;
        let parts = parts.iter().map(|part| (part.as_ptr().addr(), part.len())).collect();
        self.seen.state.lock().writes.push(Write { parts, written });
        Ok(written)
    }

    fn wait(&self, interest: Interest, timeout: Option<Duration>) -> io::Result<Readiness> {
        self.seen.state.lock().waits += 1;
        self.socket.wait(interest, timeout)
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.socket.shutdown(how)
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.socket.descriptor()
    }
}

//! A peer that sends the same over and over, as fast as it is taken.

use std::io::{ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::{Frame, Peer};

/// A thread that floods until this is dropped.
pub(crate) struct Flood {
    shared: Arc<(AtomicBool, AtomicUsize)>,
    thread: Option<JoinHandle<()>>,
}

impl Flood {
    /// Sends `frame` from now on. The peer reads nothing.
    pub(crate) fn of(frame: &Frame, mut peer: Peer<UnixStream>) -> Self {
        let shared = Arc::new((AtomicBool::new(true), AtomicUsize::new(0)));
        let frame = peer.encode(frame);
        // Many in each write, so that it is not the flooding that takes the time.
        let bytes = frame.repeat((64 * 1024 / frame.len()).max(1));
        let thread = thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                let (goes_on, taken) = &*shared;
                peer.stream.set_write_timeout(Some(Duration::from_millis(20))).expect("a socket");
                while goes_on.load(Ordering::Relaxed) {
                    match peer.stream.write(&bytes[taken.load(Ordering::Relaxed) % bytes.len()..]) {
                        Ok(count) => drop(taken.fetch_add(count, Ordering::Relaxed)),
                        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                        // The connection has ended, which is the test's business.
                        Err(_) => return,
                    }
                }
            }
        });
        Self { shared, thread: Some(thread) }
    }

    /// Bytes that the connection has taken so far.
    pub(crate) fn taken(&self) -> usize {
        self.shared.1.load(Ordering::Relaxed)
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.shared.0.store(false, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("no panic");
        }
    }
}

//! An event loop as other threads see it: what they ask of it, and how it is woken for that.

use std::fmt;
use std::io;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use raddle_socket::{Connection, Driver, Events, Reader, Watch, drop_large_spares, has_large_spares, keep_input};

use crate::memory::Memory;
use crate::request::Request;

/// An event loop, as other threads see it.
pub(crate) struct Home {
    id: u64,
    pub(crate) watch: Watch,
    /// `None`: the worker has left.
    tasks: Mutex<Option<Vec<Task>>>,
    /// The worker waits, or is about to: it has to be woken for a task.
    asleep: AtomicBool,
    pub(crate) stopping: AtomicBool,
    /// Connections that it has, or is about to have.
    pub(crate) load: AtomicUsize,
    /// The connection whose handler is being called; 0: none.
    pub(crate) busy_with: AtomicU64,
}

/// What a worker is asked to do.
pub(crate) enum Task {
    Decide(Box<Request>),
    Open(Claim, Box<Connection>),
    OutputWaits(usize),
    Write(usize),
    Read(usize),
    /// Whose reader another thread is to have.
    Release(usize, Box<dyn FnOnce(Reader) + Send>),
    TakeBack(usize, Box<Reader>),
    Ended(usize),
}

impl Home {
    pub(crate) fn new() -> io::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Ok(Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            watch: Watch::new()?,
            tasks: Mutex::new(Some(Vec::new())),
            asleep: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            load: AtomicUsize::new(0),
            busy_with: AtomicU64::new(0),
        })
    }

    pub(crate) fn post(&self, task: Task) {
        let refused = match &mut *self.tasks.lock() {
            Some(tasks) => {
                tasks.push(task);
                None
            }
            None => Some(task),
        };
        // A connection that comes too late is closed with its handles. Without the lock: that may come back here.
        drop(refused);
        if self.asleep.swap(false, Ordering::SeqCst) {
            self.watch.wake();
        }
    }

    /// Has the loop end, once its connections have.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.ring();
    }

    /// Ends the current wait, or the next one.
    pub(crate) fn ring(&self) {
        self.asleep.store(false, Ordering::SeqCst);
        self.watch.wake();
    }

    /// For what was claimed and kept: the connection has left.
    pub(crate) fn give_up_claim(&self) {
        self.load.fetch_sub(1, Ordering::Relaxed);
    }

    /// Has a request decided on by the worker.
    pub(crate) fn decide(&self, request: Request) {
        self.post(Task::Decide(Box::new(request)));
    }

    /// Waits until there is something to do, at most for `timeout`. `false`: a signal has ended the wait. What is large of the loop's
    /// `memory`, and of its thread's spares, is given back where that takes long.
    pub(crate) fn sleep(&self, events: &mut Events, timeout: Option<Duration>, memory: Option<&mut Memory>) -> bool {
        self.asleep.store(true, Ordering::SeqCst);
        let has_tasks = self.has_tasks();
        let timeout = if has_tasks { Some(Duration::ZERO) } else { timeout };
        let mut is_whole;
        // What large messages have passed through is worn too.
        let memory = memory.filter(|memory| memory.is_worn() || has_large_spares());
        if (has_large_spares() || memory.is_some()) && timeout.is_none_or(|timeout| timeout > IDLE) {
            is_whole = self.watch.wait(events, Some(IDLE));
            // Nobody has rung, and nothing was found.
            if is_whole && events.is_empty() && self.asleep.load(Ordering::SeqCst) {
                if let Some(memory) = memory {
                    keep_input(memory.rest());
                }
                drop_large_spares();
                is_whole = self.watch.wait(events, timeout.map(|timeout| timeout - IDLE));
            }
        } else {
            is_whole = self.watch.wait(events, timeout);
        }
        self.asleep.store(false, Ordering::SeqCst);
        is_whole
    }

    /// While the loop does something else, others are to ring its bell for what they ask.
    pub(crate) fn doze(&self) {
        self.asleep.store(true, Ordering::SeqCst);
        if self.has_tasks() && self.asleep.swap(false, Ordering::SeqCst) {
            self.watch.wake();
        }
    }

    pub(crate) fn has_tasks(&self) -> bool {
        self.tasks.lock().as_ref().is_some_and(|tasks| !tasks.is_empty())
    }

    /// Tells whether the worker has left: what is posted is dropped.
    pub(crate) fn is_closed(&self) -> bool {
        self.tasks.lock().is_none()
    }

    /// Takes no more tasks, and gives those that nobody performs.
    pub(crate) fn close(&self) -> Vec<Task> {
        self.tasks.lock().take().unwrap_or_default()
    }

    pub(crate) fn take_tasks(&self) -> Vec<Task> {
        self.tasks.lock().as_mut().map(mem::take).unwrap_or_default()
    }

    /// Lets the worker leave, which has no connection, if it may: `true`. What is posted afterwards is dropped.
    pub(crate) fn leave(&self) -> bool {
        let mut tasks = self.tasks.lock();
        let leaves = self.stopping.load(Ordering::SeqCst) && tasks.as_ref().is_none_or(Vec::is_empty);
        if leaves {
            *tasks = None;
        }
        leaves
    }
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim").finish_non_exhaustive()
    }
}

impl Driver for Home {
    fn id(&self) -> u64 {
        self.id
    }

    fn output_waits(&self, key: usize) {
        self.post(Task::OutputWaits(key));
    }

    fn output_is_ready(&self, key: usize) {
        self.post(Task::Write(key));
    }

    fn input_is_wanted(&self, key: usize) {
        self.post(Task::Read(key));
    }

    fn release(&self, key: usize, heir: Box<dyn FnOnce(Reader) + Send>) {
        self.post(Task::Release(key, heir));
    }

    fn take_back(&self, key: usize, reader: Reader) {
        self.post(Task::TakeBack(key, Box::new(reader)));
    }

    fn ended(&self, key: usize) {
        self.post(Task::Ended(key));
    }
}

/// A claim to a berth in a worker, given back when dropped.
pub(crate) struct Claim {
    home: Arc<Home>,
    is_kept: bool,
}

impl Claim {
    pub(crate) fn new(home: &Arc<Home>) -> Self {
        home.load.fetch_add(1, Ordering::Relaxed);
        Self { home: Arc::clone(home), is_kept: false }
    }

    pub(crate) fn home(&self) -> &Arc<Home> {
        &self.home
    }

    /// Leaves it to the worker, which has the connection, to give the claim up.
    pub(crate) fn keep(mut self) {
        self.is_kept = true;
    }

    /// Gives an open connection to the worker.
    pub(crate) fn open(self, connection: Connection) {
        let home = Arc::clone(&self.home);
        home.post(Task::Open(self, Box::new(connection)));
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.is_kept {
            self.home.give_up_claim();
        }
    }
}

/// A loop that has had nothing to do for so long gives back the large pieces of memory that it keeps.
const IDLE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::unix::net::UnixStream;

    use raddle_socket::{Options, Role, Socket};

    use super::*;

    #[test]
    fn a_connection_that_comes_after_the_worker_has_left_is_closed() {
        let connection = || {
            let (ours, theirs) = UnixStream::pair().expect("two descriptors");
            let socket = Socket::unix(ours).expect("a socket");
            (Connection::new(socket, Role::Server, b"", Options::default()).expect("a connection"), theirs)
        };
        let home = Arc::new(Home::new().expect("descriptors"));
        let (early, late) = (connection(), connection());
        Claim::new(&home).open(early.0);
        assert!(!home.leave(), "it was not asked to");
        home.stopping.store(true, Ordering::SeqCst);
        assert!(!home.leave(), "a connection waits for it");
        drop(home.take_tasks());
        assert!(home.leave());
        Claim::new(&home).open(late.0);
        for mut peer in [early.1, late.1] {
            let mut received = Vec::new();
            peer.read_to_end(&mut received).expect("its end");
            assert_eq!(received, b"\x88\x02\x03\xe9", "a Close with 1001");
        }
        assert_eq!((Arc::strong_count(&home), home.load.load(Ordering::Relaxed)), (1, 0));
    }
}

//! The attendant: one thread of the process, started when first needed, that does what no other thread is there to do.
//!
//! It looks at every connection when its timer is due, writes output that a socket could not take at once when there is
//! room again, and lets corked bytes go within 5 ms. It never waits for a single connection.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use polling::{Event, Events, PollMode};

use crate::link::Link;
use crate::sys;
use crate::timers::Timers;

pub(crate) struct Attendant {
    watch: sys::Watch,
    tasks: Mutex<Tasks>,
    next_key: AtomicUsize,
}

struct Tasks {
    timers: Timers<Weak<Link>>,
    /// Connections that wait for room to write.
    writers: HashMap<usize, Arc<Link>>,
    /// Connections that have, or had at the last look, corked bytes.
    corked: Vec<Arc<Link>>,
    /// When they are looked at again.
    look: Option<Duration>,
    /// When the thread wakes by itself: it has to be woken for what is due earlier.
    wakes: Option<Duration>,
}

/// The process's attendant.
pub(crate) fn attendant() -> io::Result<&'static Attendant> {
    static ATTENDANT: OnceLock<Attendant> = OnceLock::new();
    static STARTING: Mutex<()> = Mutex::new(());
    if let Some(attendant) = ATTENDANT.get() {
        return Ok(attendant);
    }
    let _starting = STARTING.lock();
    if ATTENDANT.get().is_none() {
        let tasks = Tasks {
            timers: Timers::new(),
            writers: HashMap::new(),
            corked: Vec::new(),
            look: None,
            wakes: Some(Duration::ZERO),
        };
        let attendant =
            Attendant { watch: sys::Watch::new()?, tasks: Mutex::new(tasks), next_key: AtomicUsize::new(0) };
        // The thread waits for the place to be filled, which is done only once the thread is known to run.
        let (ready, filled) = std::sync::mpsc::channel::<()>();
        sys::spawn("raddle attendant".into(), None, move || {
            if filled.recv().is_ok() {
                ATTENDANT.get().expect("filled before it was announced").run();
            }
        })?;
        let _ = ATTENDANT.set(attendant);
        let _ = ready.send(());
    }
    Ok(ATTENDANT.get().expect("filled above"))
}

impl Attendant {
    /// A key for a connection, never given again.
    pub(crate) fn new_key(&self) -> usize {
        self.next_key.fetch_add(1, Ordering::Relaxed)
    }

    /// Has [`Link::tick`] called at `at`, or before.
    pub(crate) fn schedule(&self, link: &Arc<Link>, at: Duration) {
        let mut tasks = self.tasks.lock();
        match link.timer.get() {
            Some(before) if before <= at => return,
            Some(before) => drop(tasks.timers.cancel(before, link.key)),
            None => {}
        }
        link.timer.set(Some(at));
        tasks.timers.set(at, link.key, Arc::downgrade(link));
        self.wake_before(&mut tasks, at);
    }

    /// Has [`Link::flush`] called while there are corked bytes.
    pub(crate) fn list(&self, link: Arc<Link>) {
        let mut tasks = self.tasks.lock();
        tasks.corked.push(link);
        let look = *tasks.look.get_or_insert_with(|| sys::now() + TICK);
        self.wake_before(&mut tasks, look);
    }

    /// Has [`Link::flush`] called once there is room to write.
    pub(crate) fn watch(&self, link: &Arc<Link>) -> io::Result<()> {
        let Some(socket) = link.transport.descriptor() else { return Ok(()) };
        let mut tasks = self.tasks.lock();
        if let Entry::Vacant(place) = tasks.writers.entry(link.key) {
            // SAFETY: `writers` keeps the connection, and with it its socket, until `unwatch` takes it out of both.
            #[allow(unsafe_code)]
            unsafe { self.watch.add(socket, Event::writable(link.key), PollMode::Oneshot) }?;
            place.insert(Arc::clone(link));
        }
        Ok(())
    }

    /// Forgets a connection that has ended.
    pub(crate) fn forget(&self, link: &Link) {
        let mut tasks = self.tasks.lock();
        if let Some(at) = link.timer.get() {
            tasks.timers.cancel(at, link.key);
            link.timer.set(None);
        }
        let writer = self.unwatch(&mut tasks, link.key);
        drop(tasks);
        // Dropped last: it may be the last handle, whose drop comes back here.
        drop(writer);
    }

    fn unwatch(&self, tasks: &mut Tasks, key: usize) -> Option<Arc<Link>> {
        let link = tasks.writers.remove(&key)?;
        if let Some(socket) = link.transport.descriptor() {
            self.watch.remove(socket);
        }
        Some(link)
    }

    fn wake_before(&self, tasks: &mut Tasks, at: Duration) {
        if tasks.wakes.is_none_or(|wakes| at < wakes) {
            tasks.wakes = Some(at);
            self.watch.wake();
        }
    }

    fn run(&self) {
        let mut events = Events::new();
        let mut due = Vec::new();
        loop {
            let timeout = {
                let mut tasks = self.tasks.lock();
                tasks.wakes = tasks.look.into_iter().chain(tasks.timers.next()).min();
                tasks.wakes.map(|at| at.saturating_sub(sys::now()))
            };
            self.watch.wait(&mut events, timeout);
            {
                let mut tasks = self.tasks.lock();
                for event in events.iter() {
                    due.extend(self.unwatch(&mut tasks, event.key).map(Task::Flush));
                }
                let now = sys::now();
                while let Some((_, link)) = tasks.timers.pop(now) {
                    if let Some(link) = link.upgrade() {
                        link.timer.set(None);
                        due.push(Task::Tick(link));
                    }
                }
                if tasks.look.is_some_and(|look| look <= now) {
                    tasks.look = None;
                    due.extend(tasks.corked.drain(..).map(Task::Uncork));
                }
            }
            // Without the lock: what is done here may ask for more.
            for task in due.drain(..) {
                match task {
                    Task::Flush(link) => link.flush(),
                    Task::Tick(link) => link.tick(sys::now()),
                    Task::Uncork(link) => {
                        if link.cork.is_held() {
                            link.flush();
                        } else if link.cork.unlist() {
                            continue;
                        }
                        self.list(link);
                    }
                }
            }
        }
    }
}

enum Task {
    Flush(Arc<Link>),
    Tick(Arc<Link>),
    Uncork(Arc<Link>),
}

/// When a connection's timer is due. Changed under the lock of the attendant's tasks only.
#[derive(Debug)]
pub(crate) struct TimerSlot(AtomicU64);

impl TimerSlot {
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(NEVER))
    }

    fn get(&self) -> Option<Duration> {
        let at = self.0.load(Ordering::Relaxed);
        (at != NEVER).then(|| Duration::from_nanos(at))
    }

    fn set(&self, at: Option<Duration>) {
        let at = at.map_or(NEVER, |at| u64::try_from(at.as_nanos()).unwrap_or(NEVER - 1));
        self.0.store(at, Ordering::Relaxed);
    }
}

const NEVER: u64 = u64::MAX;

/// How often corked bytes are looked at: often enough for the 5 ms that are promised.
const TICK: Duration = Duration::from_millis(3);

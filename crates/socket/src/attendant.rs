//! The attendant: one thread of the process, started when first needed, that does what no other thread is there to do.
//!
//! It looks at every connection when its timer is due, writes output that a socket could not take at once when there is
//! room again, lets corked bytes go within 5 ms, and looks after connections whose reader is away. It never waits for a
//! single connection, and outlives what an application's code does to it: a panic ends the connection that it was busy with.
//!
//! A child process that `fork` makes has everything of it but the thread: the poller, which is the parent's too, and the lock of its
//! tasks, which the thread may have held. There it is not asked for anything.

mod readers;

use std::cell::Cell;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

pub(crate) use self::readers::Listing;
use self::readers::{ENDED, LISTED, UNLISTED, Watcher};
use crate::budget::Budget;
use crate::end::Cause;
use crate::keys::FORKS;
use crate::link::{Link, STREAM};
use crate::outputs;
use crate::shield::{note, shielded};
use crate::sys;
use crate::timers::Timers;
use crate::watch::{Event, Events, Mode, Watch};

pub(crate) struct Attendant {
    watch: Watch,
    tasks: Mutex<Tasks>,
    /// The value of [`FORKS`] where its thread runs.
    forks: u32,
}

struct Tasks {
    timers: Timers<Weak<Link>>,
    /// Connections whose socket is watched, by their key.
    ///
    /// An event of one that has ended in the same moment may find another of the same key: it is looked after without need.
    watched: HashMap<usize, Watched>,
    /// Connections that have, or had a moment ago, corked bytes.
    corked: Vec<Corked>,
    /// When they are looked at again.
    look: Option<Duration>,
    /// Connections whose reader was seen lately.
    readers: Vec<Watcher>,
    /// When it is looked where those readers are, and whether memory that is kept for output is used.
    sweep: Option<Duration>,
    /// Budgets that were exceeded.
    exceeded: Vec<Budget>,
    /// When the thread wakes by itself: it has to be woken for what is due earlier.
    wakes: Option<Duration>,
}

/// A connection that corks what it sends.
struct Corked {
    link: Weak<Link>,
    /// Looks in a row that have found nothing held back.
    calm: u32,
}

/// What a connection's socket is watched for.
struct Watched {
    link: Weak<Link>,
    /// Input is read for the reader, as long as this is its last visit.
    input: Option<u32>,
    /// Output waits for room: it leaves, though every other handle of the connection is dropped.
    output: Option<Arc<Link>>,
}

thread_local!(static WAITS_FOR_NOBODY: Cell<bool> = const { Cell::new(false) });

/// Tells whether this thread is not to wait for any peer: the attendant is not.
pub(crate) fn waits_for_nobody() -> bool {
    WAITS_FOR_NOBODY.get()
}

/// From now on this thread is not to.
pub(crate) fn wait_for_nobody() {
    WAITS_FOR_NOBODY.set(true);
}

static ATTENDANT: OnceLock<Attendant> = OnceLock::new();

/// The process's attendant.
pub(crate) fn attendant() -> io::Result<&'static Attendant> {
    static STARTING: Mutex<()> = Mutex::new(());
    if let Some(attendant) = ATTENDANT.get() {
        let forked =
            || io::Error::new(io::ErrorKind::Unsupported, "this process was forked from one that has connections");
        return if attendant.is_here() { Ok(attendant) } else { Err(forked()) };
    }
    let _starting = STARTING.lock();
    if ATTENDANT.get().is_none() {
        let tasks = Tasks {
            timers: Timers::new(),
            watched: HashMap::new(),
            corked: Vec::new(),
            look: None,
            readers: Vec::new(),
            sweep: None,
            exceeded: Vec::new(),
            wakes: Some(Duration::ZERO),
        };
        sys::count_forks();
        outputs::prepare();
        let forks = FORKS.load(Ordering::Relaxed);
        let attendant = Attendant { watch: Watch::new()?, tasks: Mutex::new(tasks), forks };
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

/// Starts what all connections need, so that none of them finds that there is no thread or descriptor left for it. What a
/// program opens first does so by itself.
pub fn prepare() -> io::Result<()> {
    attendant().map(drop)
}

impl Attendant {
    /// For connections, which are made once it is there.
    pub(crate) fn get() -> &'static Self {
        ATTENDANT.get().expect("a connection has found it")
    }

    /// Tells whether its thread is of this process.
    pub(crate) fn is_here(&self) -> bool {
        FORKS.load(Ordering::Relaxed) == self.forks
    }

    /// What is to be done; `None`: by nobody.
    fn tasks(&self) -> Option<MutexGuard<'_, Tasks>> {
        self.is_here().then(|| self.tasks.lock())
    }

    /// Has [`Link::tick`] called at `at`, or before.
    pub(crate) fn schedule(&self, link: &Arc<Link>, at: Duration) {
        let at = at.min(LATEST);
        let Some(mut tasks) = self.tasks() else { return };
        match link.timer.get() {
            Some(before) if before <= at => return,
            // What was set before finds that it is not the connection's any more.
            _ => link.timer.set(Some(at)),
        }
        tasks.timers.set(at, Arc::downgrade(link));
        self.wake_before(tasks, at);
    }

    /// Has [`Link::flush`] called while there are corked bytes.
    pub(crate) fn list_corked(&self, link: &Arc<Link>) {
        let Some(mut tasks) = self.tasks() else { return };
        tasks.corked.push(Corked { link: Arc::downgrade(link), calm: 0 });
        let look = *tasks.look.get_or_insert_with(|| sys::now() + TICK);
        self.wake_before(tasks, look);
    }

    /// Has [`Link::attend`] called when the connection's reader stays away.
    pub(crate) fn list_reader(&self, link: &Arc<Link>) {
        let Some(mut tasks) = self.tasks() else { return };
        match link.listing.0.swap(LISTED, Ordering::Relaxed) {
            UNLISTED => {
                let visit = link.inbound.visits();
                tasks.readers.push(Watcher { link: Arc::downgrade(link), visit, sweeps: 0, attended: false });
                let sweep = *tasks.sweep.get_or_insert_with(|| sys::now() + SWEEP);
                self.wake_before(tasks, sweep);
            }
            ENDED => link.listing.0.store(ENDED, Ordering::Relaxed),
            _ => {}
        }
    }

    /// Has [`Link::found_room`] called once there is room to write.
    pub(crate) fn watch_output(&self, link: &Arc<Link>) -> io::Result<()> {
        self.watch(link, |watched| watched.output = Some(Arc::clone(link)))
    }

    /// Has [`Link::attend_arrival`] called once there is something to read, if the reader has not come back since `visit`.
    pub(crate) fn watch_input(&self, link: &Arc<Link>, visit: u32) -> io::Result<()> {
        self.watch(link, |watched| watched.input = Some(visit))
    }

    /// Has [`Budget::relieve`] called at once.
    pub(crate) fn look_after(&self, budget: &Budget) {
        let Some(mut tasks) = self.tasks() else { return };
        tasks.exceeded.push(budget.clone());
        self.wake_before(tasks, Duration::ZERO);
    }

    /// Has [`outputs::give_back`] called until nothing is left.
    pub(crate) fn look_after_outputs(&self) {
        let Some(mut tasks) = self.tasks() else { return };
        let sweep = *tasks.sweep.get_or_insert_with(|| sys::now() + SWEEP);
        self.wake_before(tasks, sweep);
    }

    fn watch(&self, link: &Arc<Link>, change: impl FnOnce(&mut Watched)) -> io::Result<()> {
        let Some(socket) = link.transport.descriptor() else { return Ok(()) };
        let Some(mut tasks) = self.tasks() else { return Ok(()) };
        match tasks.watched.entry(link.key()) {
            Entry::Vacant(place) => {
                let mut watched = Watched { link: Arc::downgrade(link), input: None, output: None };
                change(&mut watched);
                self.watch.add(socket, watched.event(link.key()), Mode::Once)?;
                place.insert(watched);
            }
            Entry::Occupied(mut place) => {
                change(place.get_mut());
                self.watch.change(socket, place.get().event(link.key()), Mode::Once)?;
            }
        }
        Ok(())
    }

    /// Forgets a connection that has ended.
    pub(crate) fn forget(&self, link: &Link) {
        let Some(mut tasks) = self.tasks() else { return };
        link.listing.0.store(ENDED, Ordering::Relaxed);
        link.timer.set(None);
        let watched = tasks.watched.remove(&link.key());
        if let Some(socket) = link.transport.descriptor().filter(|_| watched.is_some()) {
            self.watch.remove(socket);
        }
        drop(tasks);
        // Dropped last: it may be the last handle, whose drop comes back here.
        drop(watched);
    }

    /// Forgets a connection that is being dropped, and is dead from now on.
    pub(crate) fn bury(&self, link: &Link) {
        self.forget(link);
        if let Some(mut tasks) = self.tasks() {
            tasks.timers.give_up(|link| link.strong_count() == 0);
        }
    }

    /// Wakes the thread, if it would sleep beyond `at`. Without the lock, which is the first thing that it takes.
    fn wake_before(&self, mut tasks: MutexGuard<'_, Tasks>, at: Duration) {
        if tasks.wakes.is_none_or(|wakes| at < wakes) {
            tasks.wakes = Some(at);
            drop(tasks);
            self.watch.wake();
        }
    }

    fn run(&self) {
        wait_for_nobody();
        let mut events = Events::default();
        let mut due = Vec::new();
        let mut corked = Vec::new();
        let mut exceeded = Vec::new();
        loop {
            let timeout = {
                let mut tasks = self.tasks.lock();
                let at_once = (!tasks.exceeded.is_empty()).then_some(Duration::ZERO);
                tasks.wakes = [at_once, tasks.look, tasks.sweep, tasks.timers.next()].into_iter().flatten().min();
                tasks.wakes.map(|at| at.saturating_sub(sys::now()))
            };
            self.watch.wait(&mut events, timeout);
            let sweeps;
            {
                let tasks = &mut *self.tasks.lock();
                for event in events.iter() {
                    self.found(tasks, event, &mut due);
                }
                exceeded.append(&mut tasks.exceeded);
                let now = sys::now();
                while let Some((at, link)) = tasks.timers.pop(now) {
                    let Some(link) = link.upgrade() else { continue };
                    if link.timer.get() == Some(at) {
                        link.timer.set(None);
                        due.push(Task::Tick(link));
                    } else {
                        due.push(Task::Nothing(link));
                    }
                }
                if tasks.look.is_some_and(|look| look <= now) {
                    tasks.look = None;
                    corked.append(&mut tasks.corked);
                }
                sweeps = tasks.sweep.is_some_and(|sweep| sweep <= now);
                if sweeps {
                    tasks.readers.retain_mut(|watcher| watcher.look(&mut due));
                    // Many may have been opened at once, and need no look any more.
                    if tasks.readers.len() < tasks.readers.capacity() / 4 {
                        let twice = 2 * tasks.readers.len();
                        tasks.readers.shrink_to(twice);
                    }
                    tasks.sweep = (!tasks.readers.is_empty()).then_some(now + SWEEP);
                }
            }
            // Without the lock: what is done here may ask for more, and may drop the last handle of a connection.
            for task in due.drain(..) {
                match task {
                    Task::Flush(link) => tend(link, Link::found_room),
                    Task::Tick(link) => tend(link, |link| link.tick(sys::now())),
                    Task::Attend(link) => tend(link, Link::attend),
                    Task::Read(link, visit) => tend(link, |link| link.attend_arrival(visit)),
                    Task::Nothing(link) => tend(link, |_| ()),
                }
            }
            // Many may have been due, or corked, at the same moment.
            due.shrink_to(FEW);
            for budget in exceeded.drain(..) {
                shielded(STREAM, || Budget::relieve(&budget));
            }
            if sweeps && outputs::give_back() {
                self.look_after_outputs();
            }
            corked.retain_mut(Corked::look);
            corked.shrink_to(FEW.max(2 * corked.len()));
            if !corked.is_empty() {
                let mut tasks = self.tasks.lock();
                tasks.corked.shrink_to(FEW);
                tasks.corked.append(&mut corked);
                tasks.look.get_or_insert_with(|| sys::now() + TICK);
            }
        }
    }

    /// A watched socket is ready, and no longer watched for what it was found ready for.
    fn found(&self, tasks: &mut Tasks, event: Event, due: &mut Vec<Task>) {
        let Entry::Occupied(mut place) = tasks.watched.entry(event.key) else { return };
        let watched = place.get_mut();
        let Some(link) = watched.link.upgrade() else { return };
        let input = watched.input.take_if(|_| event.readable);
        if let Some(visit) = input.filter(|visit| link.inbound.visits() == *visit) {
            due.push(Task::Read(Arc::clone(&link), visit));
        }
        if event.writable {
            due.extend(watched.output.take().map(Task::Flush));
        }
        if let Some(socket) = link.transport.descriptor() {
            if watched.input.is_some() || watched.output.is_some() {
                if let Err(error) = self.watch.change(socket, watched.event(event.key), Mode::Once) {
                    note(format_args!("a socket cannot be watched any longer: {error}"));
                }
            } else {
                place.remove();
                self.watch.remove(socket);
            }
        }
        due.push(Task::Nothing(link));
    }
}

impl Corked {
    /// Lets go what is held back; `false` where there is no need to look again.
    fn look(&mut self) -> bool {
        let Some(link) = self.link.upgrade() else { return false };
        if link.cork.is_held() {
            tend(link, Link::flush);
            self.calm = 0;
            return true;
        }
        self.calm += 1;
        let again = self.calm < CALM || !link.cork.unlist();
        tend(link, |_| ());
        again
    }
}

/// Does something for a connection, and lets go of it: this may be the last handle. A panic is of what the application has
/// given, its stream or what it has called at the end, and ends that connection and no other.
fn tend(link: Arc<Link>, work: impl FnOnce(&Arc<Link>)) {
    if shielded(STREAM, || work(&link)).is_none() {
        shielded(STREAM, || link.cut(&mut link.outgoing.lock(), Cause::Io(io::ErrorKind::Other)));
    }
    shielded(STREAM, || drop(link));
}

impl Watched {
    fn event(&self, key: usize) -> Event {
        Event { key, readable: self.input.is_some(), writable: self.output.is_some() }
    }
}

enum Task {
    Flush(Arc<Link>),
    Tick(Arc<Link>),
    Attend(Arc<Link>),
    Read(Arc<Link>, u32),
    /// Is only to be dropped, which must not be done under the lock.
    Nothing(Arc<Link>),
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
        let at = at.map_or(NEVER, |at| at.min(LATEST).as_nanos() as u64);
        self.0.store(at, Ordering::Relaxed);
    }
}

const NEVER: u64 = u64::MAX;
/// In 584 years.
const LATEST: Duration = Duration::from_nanos(NEVER - 1);

/// How often corked bytes are looked at: often enough for the 5 ms that are promised.
const TICK: Duration = Duration::from_millis(3);
/// So many looks that find nothing take a connection off the list: it is listed again for its next cork, which takes a lock.
const CALM: u32 = 16;
/// Room for so many is kept where there are fewer.
const FEW: usize = 16;
/// How often it is looked where readers are: one is found to stay away within 125 to 250 ms.
const SWEEP: Duration = Duration::from_millis(125);

//! Engine `pool`: some threads, each of which waits for its own sockets, reads what has arrived and calls the handler.
//!
//! A thread per connection costs a context switch a message, and a stack. Here a thread has many connections, one receive
//! buffer for all of them, and the answers to all that one read has brought leave in one write.

use std::fmt;
use std::io;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use log::Level;
use parking_lot::Mutex;
use raddle_socket::{
    Cause, Close, CloseCode, Connection, Driven, Driver, End, Event, Events, Message, Mode, Turn, Watch, Writer,
    drive_on_this_thread,
};

use crate::registry::ConnectionId;
use crate::request::Request;
use crate::shared::Shared;
use crate::threads::{self, HandlerError};

/// What an application does with the connections of engine `pool`.
///
/// The calls for one connection come one after the other, from one thread, which has many other connections: a call that
/// computes for long holds them all up. What a call sends never waits, as with [`Writer::try_send`]; all that is sent while
/// the messages of one read are delivered leaves in one write. An error, and a panic, ends this connection with 1011, and no
/// other; that the connection has ended is no error.
///
/// A closure that takes a writer and a message is a handler without state:
///
/// ```
/// use raddle_server::{HandlerError, Message, Server, Writer};
///
/// let server = Server::builder().bind("127.0.0.1:0")?.build()?;
/// server.start_pool(|connection: &Writer, message: Message<'_>| -> Result<(), HandlerError> {
///     connection.send(message)?;
///     Ok(())
/// })?;
/// # server.stop(std::time::Duration::ZERO);
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait Handler: Send + Sync + 'static {
    /// What is kept for each connection.
    type State: Send + 'static;

    /// A connection was opened. Gives its state.
    fn on_open(&self, connection: &Writer) -> Result<Self::State, HandlerError>;

    /// A message has arrived. Its payload is lent for the call.
    fn on_message(
        &self,
        connection: &Writer,
        state: &mut Self::State,
        message: Message<'_>,
    ) -> Result<(), HandlerError>;

    /// All that waited to be written has left, after some of it had to wait.
    fn on_drain(&self, _connection: &Writer, _state: &mut Self::State) -> Result<(), HandlerError> {
        Ok(())
    }

    /// The connection has ended. The last call for it; not made where [`on_open`](Self::on_open) has given no state.
    fn on_close(&self, _connection: &Writer, _state: Self::State, _end: &End) {}
}

impl<F> Handler for F
where
    F: Fn(&Writer, Message<'_>) -> Result<(), HandlerError> + Send + Sync + 'static,
{
    type State = ();

    fn on_open(&self, _connection: &Writer) -> Result<(), HandlerError> {
        Ok(())
    }

    fn on_message(&self, connection: &Writer, (): &mut (), message: Message<'_>) -> Result<(), HandlerError> {
        self(connection, message)
    }
}

/// The threads of the pool, as the others see them.
pub(crate) struct Pool {
    homes: Vec<Arc<Home>>,
}

impl Pool {
    /// Starts `workers` threads.
    pub(crate) fn start<H: Handler>(shared: &Arc<Shared>, handler: H, workers: usize) -> io::Result<Arc<Self>> {
        let handler = Arc::new(handler);
        let homes = (0..workers.max(1)).map(|_| Home::new().map(Arc::new)).collect::<io::Result<Vec<_>>>()?;
        let pool = Arc::new(Self { homes });
        for (number, home) in pool.homes.iter().enumerate() {
            let running = Running::new(shared);
            let worker = Worker::new(Arc::clone(shared), Arc::clone(home), Arc::clone(&handler));
            let started = raddle_socket::spawn(format!("raddle worker {number}"), None, move || {
                let _running = running;
                worker.run();
            });
            if let Err(error) = started {
                pool.stop();
                return Err(error);
            }
        }
        Ok(pool)
    }

    /// A berth in the worker that has the fewest connections.
    pub(crate) fn claim(&self) -> Claim {
        let home = self.homes.iter().min_by_key(|home| home.load.load(Ordering::Relaxed));
        Claim::new(home.expect("there is a worker"))
    }

    /// Has the workers end, once their connections have.
    pub(crate) fn stop(&self) {
        for home in &self.homes {
            home.stopping.store(true, Ordering::SeqCst);
            home.watch.wake();
        }
    }

    /// The connections whose handler is being called.
    pub(crate) fn busy(&self) -> Vec<ConnectionId> {
        let ids = self.homes.iter().map(|home| home.busy_with.load(Ordering::Relaxed));
        ids.filter(|id| *id != 0).map(ConnectionId::from).collect()
    }
}

/// One worker, as other threads see it.
pub(crate) struct Home {
    watch: Watch,
    /// `None`: the worker has left.
    tasks: Mutex<Option<Vec<Task>>>,
    /// The worker waits, or is about to: it has to be woken for a task.
    asleep: AtomicBool,
    stopping: AtomicBool,
    /// Connections that it has, or is about to have.
    load: AtomicUsize,
    /// The connection whose handler is being called; 0: none.
    busy_with: AtomicU64,
}

/// What a worker is asked to do.
enum Task {
    Decide(Request),
    Open(Claim, Box<Connection>),
    OutputWaits(usize),
    Write(usize),
    Ended(usize),
}

impl Home {
    fn new() -> io::Result<Self> {
        Ok(Self {
            watch: Watch::new()?,
            tasks: Mutex::new(Some(Vec::new())),
            asleep: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            load: AtomicUsize::new(0),
            busy_with: AtomicU64::new(0),
        })
    }

    fn post(&self, task: Task) {
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

    /// Has a request decided on by the worker.
    pub(crate) fn decide(&self, request: Request) {
        self.post(Task::Decide(request));
    }

    /// Waits until there is something to do; or looks, where the worker `has_more`.
    fn sleep(&self, events: &mut Events, has_more: bool) {
        self.asleep.store(true, Ordering::SeqCst);
        let is_idle = !has_more && self.tasks.lock().as_ref().is_none_or(Vec::is_empty);
        self.watch.wait(events, if is_idle { None } else { Some(std::time::Duration::ZERO) });
        self.asleep.store(false, Ordering::SeqCst);
    }

    fn take_tasks(&self) -> Vec<Task> {
        self.tasks.lock().as_mut().map(mem::take).unwrap_or_default()
    }

    /// Lets the worker leave, which has no connection, if it may: `true`. What is posted afterwards is dropped.
    fn leave(&self) -> bool {
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
    fn output_waits(&self, key: usize) {
        self.post(Task::OutputWaits(key));
    }

    fn output_is_ready(&self, key: usize) {
        self.post(Task::Write(key));
    }

    fn ended(&self, key: usize) {
        self.post(Task::Ended(key));
    }
}

/// A claim to a berth in a worker, given back when dropped.
pub(crate) struct Claim {
    home: Arc<Home>,
}

impl Claim {
    fn new(home: &Arc<Home>) -> Self {
        home.load.fetch_add(1, Ordering::Relaxed);
        Self { home: Arc::clone(home) }
    }

    pub(crate) fn home(&self) -> &Arc<Home> {
        &self.home
    }

    /// Gives an open connection to the worker.
    pub(crate) fn open(self, connection: Connection) {
        let home = Arc::clone(&self.home);
        home.post(Task::Open(self, Box::new(connection)));
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.home.load.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts a worker while it runs.
struct Running {
    shared: Arc<Shared>,
}

impl Running {
    fn new(shared: &Arc<Shared>) -> Self {
        shared.state.lock().workers += 1;
        Self { shared: Arc::clone(shared) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.state.lock().workers -= 1;
        self.shared.changed.notify_all();
    }
}

/// A thread of the pool.
struct Worker<H: Handler> {
    shared: Arc<Shared>,
    home: Arc<Home>,
    handler: Arc<H>,
    /// By the first half of their keys.
    berths: Vec<Berth<H::State>>,
    free: Vec<usize>,
    /// The keys of those that have received more than was delivered in their turn.
    unfinished: Vec<usize>,
    /// Lent to whatever connection is read.
    memory: Memory,
}

struct Berth<S> {
    /// Raised each time the berth is left: the second half of a key. So an event of a connection that has ended finds nothing.
    generation: u32,
    resident: Option<Resident<S>>,
}

struct Resident<S> {
    driven: Driven,
    /// `None`: the handler has failed, and is not called again for a message.
    state: Option<S>,
    has_failed: bool,
    watched: Watched,
    _claim: Claim,
}

/// What a socket is watched for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Watched {
    Input,
    /// Input, and room to write.
    Both,
    /// Room to write: input has to wait for it.
    Room,
}

impl<H: Handler> Worker<H> {
    fn new(shared: Arc<Shared>, home: Arc<Home>, handler: Arc<H>) -> Self {
        let (berths, free, unfinished) = (Vec::new(), Vec::new(), Vec::new());
        Self { shared, home, handler, berths, free, unfinished, memory: Memory::new() }
    }

    fn run(mut self) {
        drive_on_this_thread();
        let mut events = Events::default();
        loop {
            let unfinished = mem::take(&mut self.unfinished);
            self.home.sleep(&mut events, !unfinished.is_empty());
            for event in events.iter().filter(|event| !unfinished.contains(&event.key)) {
                self.attend(event);
            }
            for key in unfinished {
                self.attend(Event { key, readable: true, writable: true });
            }
            for task in self.home.take_tasks() {
                self.perform(task);
            }
            if self.berths.len() == self.free.len() && self.home.leave() {
                return;
            }
        }
    }

    fn perform(&mut self, task: Task) {
        match task {
            Task::Decide(request) => threads::decide(&self.shared, request),
            Task::Open(claim, connection) => self.open(claim, *connection),
            Task::OutputWaits(key) => {
                if let Some(resident) = resident(&mut self.berths, key)
                    && resident.watched == Watched::Input
                {
                    resident.watch(&self.home.watch, key, Watched::Both);
                }
            }
            Task::Write(key) => {
                if let Some(resident) = resident(&mut self.berths, key) {
                    resident.driven.write();
                }
            }
            Task::Ended(key) => self.let_go(key),
        }
    }

    fn open(&mut self, claim: Claim, connection: Connection) {
        let index = self.free.pop().unwrap_or_else(|| {
            self.berths.push(Berth { generation: 0, resident: None });
            self.berths.len() - 1
        });
        let berth = &mut self.berths[index];
        let key = (berth.generation as usize) << 32 | index;
        let (reader, _) = connection.split();
        let driven = Driven::new(reader, Arc::clone(&self.home) as Arc<dyn Driver>, key);
        let resident = berth.resident.insert(Resident {
            driven,
            state: None,
            has_failed: false,
            watched: Watched::Input,
            _claim: claim,
        });
        let call = Call { shared: &self.shared, home: &self.home };
        let handler = &*self.handler;
        resident.state = call.make(&mut resident.driven, |driven| handler.on_open(driven.writer()));
        resident.has_failed = resident.state.is_none();
        let added = match resident.driven.descriptor() {
            Some(socket) => self.home.watch.add(socket, Event::readable(key), Mode::Level),
            None => Err(io::ErrorKind::Unsupported.into()),
        };
        if let Err(error) = added {
            self.shared.journal.note(Level::Warn, format_args!("a connection cannot be watched: {error}"));
            resident.driven.writer().cut(Cause::Io(error.kind()));
        }
        // Something may have come with the request.
        self.attend(Event::readable(key));
    }

    /// Does what a connection's socket is ready for.
    fn attend(&mut self, event: Event) {
        let Some(resident) = resident(&mut self.berths, event.key) else { return };
        let call = Call { shared: &self.shared, home: &self.home };
        let handler = &*self.handler;
        let mut has_input = event.readable && resident.watched != Watched::Room;
        if event.writable && resident.watched != Watched::Input && resident.driven.write() {
            // What was held back is there already.
            has_input |= resident.watched == Watched::Room;
            resident.watch(&self.home.watch, event.key, Watched::Input);
            if let (false, Some(state)) = (resident.has_failed, resident.state.as_mut()) {
                let drained = call.make(&mut resident.driven, |driven| handler.on_drain(driven.writer(), state));
                resident.has_failed = drained.is_none();
            }
        }
        if has_input {
            let Resident { driven, state, has_failed, .. } = resident;
            let memory = self.memory.lend();
            let turn = call.make(driven, |driven| {
                let mut result = Ok(());
                let turn = driven.read(memory, |writer, message| {
                    if let (false, Some(state)) = (*has_failed, state.as_mut()) {
                        result = handler.on_message(writer, state, message);
                        *has_failed = result.is_err();
                    }
                });
                result.map(|()| turn)
            });
            let Some(turn) = turn else {
                resident.has_failed = true;
                return;
            };
            match turn {
                Turn::Held => resident.watch(&self.home.watch, event.key, Watched::Room),
                Turn::More => self.unfinished.push(event.key),
                Turn::Done | Turn::Full => {}
            }
            self.memory.note(turn);
        }
    }

    /// Lets a connection go that has ended.
    fn let_go(&mut self, key: usize) {
        let Some(resident) = take_resident(&mut self.berths, key) else { return };
        self.free.push(key & INDEX);
        let Resident { mut driven, state, .. } = resident;
        if let Some(socket) = driven.descriptor() {
            self.home.watch.remove(socket);
        }
        if let Some(state) = state {
            let (call, end) = (Call { shared: &self.shared, home: &self.home }, driven.end());
            let handler = &*self.handler;
            call.make(&mut driven, |driven| {
                handler.on_close(driven.writer(), state, &end);
                Ok(())
            });
        }
    }
}

impl<S> Resident<S> {
    fn watch(&mut self, watch: &Watch, key: usize, watched: Watched) {
        self.watched = watched;
        let Some(socket) = self.driven.descriptor() else { return };
        let interest = Event { key, readable: watched != Watched::Room, writable: watched != Watched::Input };
        if let Err(error) = watch.change(socket, interest, Mode::Level) {
            self.driven.writer().cut(Cause::Io(error.kind()));
        }
    }
}

fn resident<S>(berths: &mut [Berth<S>], key: usize) -> Option<&mut Resident<S>> {
    let berth = berths.get_mut(key & INDEX)?;
    if berth.generation as usize == key >> 32 { berth.resident.as_mut() } else { None }
}

fn take_resident<S>(berths: &mut [Berth<S>], key: usize) -> Option<Resident<S>> {
    let berth = berths.get_mut(key & INDEX).filter(|berth| berth.generation as usize == key >> 32)?;
    let resident = berth.resident.take()?;
    // The last one's neighbour is not `usize::MAX`, which the poller keeps for itself.
    berth.generation = berth.generation.wrapping_add(1) & (u32::MAX >> 1);
    Some(resident)
}

/// How the handler is called, whatever it does.
#[derive(Clone, Copy)]
struct Call<'a> {
    shared: &'a Shared,
    home: &'a Home,
}

impl Call<'_> {
    /// Calls the handler; `None`: it has failed, and its connection is being closed.
    fn make<T>(self, driven: &mut Driven, call: impl FnOnce(&mut Driven) -> Result<T, HandlerError>) -> Option<T> {
        let id = ConnectionId::of(driven.writer().info());
        self.home.busy_with.store(id.get(), Ordering::Relaxed);
        // An error is the application's too: it may panic when it is shown, and when it is dropped.
        let result = catch_unwind(AssertUnwindSafe(|| {
            let result = call(driven);
            let is_failure = |error: &HandlerError| !threads::is_of_the_end(&**error, driven.writer());
            result.map_err(|error| is_failure(&error).then(|| error.to_string()))
        }));
        self.home.busy_with.store(0, Ordering::Relaxed);
        let writer = driven.writer();
        match result {
            Ok(Ok(value)) => return Some(value),
            Ok(Err(None)) => return None,
            Ok(Err(Some(error))) => self.note(format_args!("the handler of connection {id} has failed: {error}")),
            Err(panic) => {
                let message = threads::message(&*panic);
                self.note(format_args!("the handler of connection {id} has panicked: {message}"));
                threads::bury(panic);
            }
        }
        // Without details: they are not the peer's to know. It fails where the connection ends anyway.
        let _ = writer.close_for(Close::code(CloseCode::INTERNAL_ERROR), Cause::HandlerFailed);
        None
    }

    fn note(self, what: std::fmt::Arguments<'_>) {
        self.shared.journal.note(Level::Error, what);
    }
}

/// The memory that a worker's connections are read into: as much as has been needed lately.
struct Memory {
    bytes: Vec<u8>,
    /// Reads in a row that have filled it.
    full: u32,
    /// Reads in a row that have not.
    calm: u32,
}

impl Memory {
    fn new() -> Self {
        Self { bytes: vec![0; USUAL], full: 0, calm: 0 }
    }

    fn lend(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Notes how far the last read has filled it.
    fn note(&mut self, turn: Turn) {
        if turn == Turn::Full {
            (self.full, self.calm) = (self.full + 1, 0);
            if self.full >= HASTE && self.bytes.len() < LARGEST {
                self.bytes = vec![0; self.bytes.len() * 2];
                self.full = 0;
            }
        } else {
            (self.full, self.calm) = (0, self.calm + 1);
            if self.calm >= CALM && self.bytes.len() > USUAL {
                self.bytes = vec![0; USUAL];
            }
        }
    }
}

/// The half of a key that is the berth's index.
const INDEX: usize = u32::MAX as usize;
/// The memory for reads, in bytes: it stays in the processor's cache.
const USUAL: usize = 64 * 1024;
const LARGEST: usize = 256 * 1024;
/// So many full reads in a row get more of it.
const HASTE: u32 = 4;
/// So many others give it back.
const CALM: u32 = 1024;

//! Engine `pool`: some threads, each of which waits for its own sockets, reads what has arrived and calls the handler.
//!
//! A thread per connection costs a context switch a message, and a stack. Here a thread has many connections, one receive
//! buffer for all of them, and the answers to all that one read has brought leave in one write.

use std::io;
use std::mem;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use log::Level;
use raddle_socket::{
    Cause, Close, CloseCode, Connection, Driven, End, Event, Events, Message, Turn, Writer, bury, drive_on_this_thread,
    panic_message,
};

use crate::berths::{Berths, Resident};
use crate::home::{Claim, Home, Task};
use crate::memory::Memory;
use crate::registry::ConnectionId;
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

    /// A pool of one loop, which is driven by whoever has it.
    pub(crate) fn of(home: Arc<Home>) -> Arc<Self> {
        Arc::new(Self { homes: vec![home] })
    }

    /// A berth in the worker that has the fewest connections, of those that are there.
    pub(crate) fn claim(&self) -> Claim {
        let home = self.homes.iter().min_by_key(|home| (home.is_closed(), home.load.load(Ordering::Relaxed)));
        Claim::new(home.expect("there is a worker"))
    }

    /// Has the workers end, once their connections have.
    pub(crate) fn stop(&self) {
        for home in &self.homes {
            home.stop();
        }
    }

    /// The connections whose handler is being called.
    pub(crate) fn busy(&self) -> Vec<ConnectionId> {
        let ids = self.homes.iter().map(|home| home.busy_with.load(Ordering::Relaxed));
        ids.filter(|id| *id != 0).map(ConnectionId::from).collect()
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
        let left = {
            let mut state = self.shared.state.lock();
            state.workers -= 1;
            state.workers
        };
        self.shared.changed.notify_all();
        if thread::panicking() {
            self.shared.journal.note(Level::Error, format_args!("a worker has panicked, {left} are left"));
            if left == 0 {
                // Nobody serves any more.
                self.shared.fail(io::Error::other("the last worker has panicked"));
            }
        }
    }
}

/// A thread of the pool.
struct Worker<H: Handler> {
    shared: Arc<Shared>,
    home: Arc<Home>,
    handler: Arc<H>,
    berths: Berths<Served<H::State>>,
    /// The keys of those that have received more than was delivered in their turn.
    unfinished: Vec<usize>,
    /// Lent to whatever connection is read.
    memory: Memory,
}

impl<H: Handler> Drop for Worker<H> {
    fn drop(&mut self) {
        // Where a panic has ended it: what waits for it waits no longer, and what comes later is turned away.
        drop(self.home.close());
    }
}

/// What the handler has made of a connection.
struct Served<S> {
    /// `None`: not yet, or it has failed to.
    state: Option<S>,
    /// The handler is not called again for a message.
    has_failed: bool,
}

impl<H: Handler> Worker<H> {
    fn new(shared: Arc<Shared>, home: Arc<Home>, handler: Arc<H>) -> Self {
        Self { shared, home, handler, berths: Berths::new(), unfinished: Vec::new(), memory: Memory::new() }
    }

    fn run(mut self) {
        drive_on_this_thread();
        let mut events = Events::default();
        loop {
            let unfinished = mem::take(&mut self.unfinished);
            let timeout = if unfinished.is_empty() { None } else { Some(Duration::ZERO) };
            self.home.sleep(&mut events, timeout, Some(&mut self.memory));
            for event in events.iter() {
                // Those have their turn behind the others.
                if unfinished.is_empty() || !self.berths.is_unfinished(event.key) {
                    self.attend(event);
                }
            }
            self.berths.mark_unfinished(&unfinished, false);
            for key in unfinished {
                self.attend(Event { key, readable: true, writable: true });
            }
            for task in self.home.take_tasks() {
                self.perform(task);
            }
            if self.berths.is_empty() && self.home.leave() {
                return;
            }
        }
    }

    fn perform(&mut self, task: Task) {
        match task {
            Task::Decide(request) => threads::decide(&self.shared, request),
            Task::Open(claim, connection) => self.open(claim, *connection),
            Task::OutputWaits(key) => {
                if let Some(resident) = self.berths.get_mut(key) {
                    resident.await_room(&self.home.watch, key);
                }
            }
            Task::Write(key) => {
                if let Some(driven) = self.berths.get_mut(key).and_then(|resident| resident.driven.as_ref()) {
                    driven.write();
                }
            }
            Task::Read(key) => {
                if let Some(resident) = self.berths.get_mut(key) {
                    resident.resume(&self.home.watch, key);
                    self.read_on(key);
                }
            }
            Task::Release(key, heir) => {
                let resident = self.berths.get(key);
                let failed = resident.filter(|resident| resident.state.has_failed);
                if let Some(driven) = failed.and_then(|resident| resident.driven.as_ref()) {
                    // Nobody is to have it any more: it is read here for the peer's Close.
                    driven.writer().stay();
                } else if resident.is_some()
                    && let Some(reader) = self.berths.release(&self.home, key)
                {
                    heir(reader);
                }
            }
            Task::TakeBack(key, reader) => {
                self.berths.take_back(&self.shared.journal, &self.home, key, *reader);
                self.read_on(key);
            }
            Task::Ended(key) => self.let_go(key),
        }
    }

    /// Reads a connection of which something may have arrived that no poller tells of.
    fn read_on(&mut self, key: usize) {
        if !self.berths.is_unfinished(key) {
            self.attend(Event::readable(key));
        }
    }

    fn open(&mut self, claim: Claim, connection: Connection) {
        let unserved = Served { state: None, has_failed: false };
        let key = self.berths.take(&self.shared.journal, &self.home, claim, connection, unserved);
        let call = Call { shared: &self.shared, home: &self.home };
        let handler = &*self.handler;
        if let Some(resident) = self.berths.get_mut(key)
            && let Some(driven) = &mut resident.driven
        {
            let state = call.make(driven, |driven| handler.on_open(driven.writer()));
            resident.state = Served { has_failed: state.is_none(), state };
        }
        // Something may have come with the request.
        self.attend(Event::readable(key));
    }

    /// Does what a connection's socket is ready for.
    fn attend(&mut self, event: Event) {
        let Some(resident) = self.berths.get_mut(event.key) else { return };
        let call = Call { shared: &self.shared, home: &self.home };
        let handler = &*self.handler;
        let mut has_input = event.readable && resident.takes_input();
        if event.writable
            && let Some(was_held) = resident.write(&self.home.watch, event.key)
        {
            // What was held back is there already.
            has_input |= was_held;
            let Resident { driven, state: Served { state, has_failed }, .. } = &mut *resident;
            if let (false, Some(state), Some(driven)) = (*has_failed, state.as_mut(), driven) {
                *has_failed = call.make(driven, |driven| handler.on_drain(driven.writer(), state)).is_none();
            }
        }
        if !has_input {
            return;
        }
        let Resident { driven: Some(driven), state: Served { state, has_failed }, .. } = &mut *resident else { return };
        let memory = self.memory.lend();
        let read = call.make(driven, |driven| {
            let mut failure = None;
            let turn = driven.read(memory, |writer, message| {
                if let (false, Some(state)) = (*has_failed, state.as_mut())
                    && let Err(error) = handler.on_message(writer, state, message)
                {
                    // The peer is told before anything else that it has sent is acted on.
                    (failure, *has_failed) = (Some(error), true);
                    return ControlFlow::Break(());
                }
                ControlFlow::Continue(())
            });
            failure.map_or(Ok(turn), Err)
        });
        *has_failed |= read.is_none();
        let turn = read.unwrap_or(Turn::More);
        match turn {
            Turn::Held => resident.hold(&self.home.watch, event.key),
            Turn::Paused => resident.pause(&self.home.watch, event.key),
            Turn::More => {
                resident.is_unfinished = true;
                self.unfinished.push(event.key);
            }
            Turn::Done | Turn::Full => {}
        }
        self.memory.note(turn);
    }

    /// Lets a connection go that has ended.
    fn let_go(&mut self, key: usize) {
        let Some((mut driven, served)) = self.berths.remove(&self.home, key) else { return };
        let end = driven.end();
        self.shared.journal.note_end(ConnectionId::of(driven.writer().info()), &end);
        if let Some(state) = served.state {
            let call = Call { shared: &self.shared, home: &self.home };
            let handler = &*self.handler;
            call.make(&mut driven, |driven| {
                handler.on_close(driven.writer(), state, &end);
                Ok(())
            });
        }
        // What the application has attached goes with it.
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(driven))) {
            bury(panic);
        }
    }
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
                self.note(format_args!("the handler of connection {id} has panicked: {}", panic_message(&*panic)));
                bury(panic);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_is_no_more_gets_nobody() {
        let homes: Vec<_> = (0..2).map(|_| Arc::new(Home::new().expect("descriptors"))).collect();
        let pool = Pool { homes: homes.clone() };
        let claims: Vec<_> = (0..4).map(|_| pool.claim()).collect();
        drop(homes[0].close());
        let later: Vec<_> = (0..4).map(|_| pool.claim()).collect();
        assert!(later.iter().all(|claim| Arc::ptr_eq(claim.home(), &homes[1])));
        drop((claims, later));
    }
}

//! The engines of a server, each with the same application: one thing to do for a connection, and one for a message.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use raddle_server::{Close, CloseCode, Event, EventLoop, Handler, HandlerError, Message, Reader, Server, Writer};

use super::LIMIT;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    /// A thread for each connection.
    Threads,
    /// Some threads for all of them.
    Pool,
    /// A thread of the application's that polls.
    Loop,
}

pub(crate) const ENGINES: [Engine; 3] = [Engine::Threads, Engine::Pool, Engine::Loop];

/// What these tests are compiled to run with: the same sources are test targets for each engine, and those of the pool and of
/// the event loop have names of their own.
pub(crate) const ENGINE: Engine = match env!("CARGO_CRATE_NAME").as_bytes() {
    [b'p', b'o', b'o', b'l', b'e', b'd', ..] => Engine::Pool,
    [b'l', b'o', b'o', b'p', b'e', b'd', ..] => Engine::Loop,
    _ => Engine::Threads,
};
/// The threads that the pool has.
pub(crate) const WORKERS: usize = if matches!(ENGINE, Engine::Pool) { 2 } else { 0 };

impl Engine {
    /// Starts a server that calls `act` for every message.
    pub(crate) fn start<F>(self, server: &Server, act: F) -> io::Result<()>
    where
        F: Fn(&Writer, Message<'_>) -> Result<(), HandlerError> + Send + Sync + 'static,
    {
        self.start_acting(server, |_: &Writer| Ok(()), act)
    }

    /// As [`start`](Self::start), and calls `open` for every connection first. What they fail with, or panic with, ends the
    /// connection with 1011.
    pub(crate) fn start_acting<O, F>(self, server: &Server, open: O, act: F) -> io::Result<()>
    where
        O: Fn(&Writer) -> Result<(), HandlerError> + Send + Sync + 'static,
        F: Fn(&Writer, Message<'_>) -> Result<(), HandlerError> + Send + Sync + 'static,
    {
        match self {
            Self::Threads => server.start(of_one_thread(open, act)),
            Self::Pool => server.start_pool(Acting { open, act }),
            Self::Loop => {
                let events = server.event_loop()?;
                thread::spawn(move || poll_to_the_end(events, &open, &act));
                Ok(())
            }
        }
    }

    /// As [`start`](Self::start), and returns when the server has ended.
    pub(crate) fn serve<F>(self, server: &Server, act: F) -> io::Result<()>
    where
        F: Fn(&Writer, Message<'_>) -> Result<(), HandlerError> + Send + Sync + 'static,
    {
        match self {
            Self::Threads => server.serve(of_one_thread(|_: &Writer| Ok(()), act)),
            Self::Pool => server.serve_pool(act),
            Self::Loop => {
                poll_to_the_end(server.event_loop()?, &|_: &Writer| Ok(()), &act);
                server.take_failure().map_or(Ok(()), Err)
            }
        }
    }
}

/// A handler that has a thread for each connection.
fn of_one_thread<O, F>(open: O, act: F) -> impl Fn(Reader, Writer) -> Result<(), HandlerError> + Send + Sync + 'static
where
    O: Fn(&Writer) -> Result<(), HandlerError> + Send + Sync + 'static,
    F: Fn(&Writer, Message<'_>) -> Result<(), HandlerError> + Send + Sync + 'static,
{
    move |mut reader, writer| {
        open(&writer)?;
        while let Some(message) = reader.next_message()? {
            act(&writer, message)?;
        }
        Ok(())
    }
}

/// A handler of the pool.
struct Acting<O, F> {
    open: O,
    act: F,
}

impl<O, F> Handler for Acting<O, F>
where
    O: Fn(&Writer) -> Result<(), HandlerError> + Send + Sync + 'static,
    F: Fn(&Writer, Message<'_>) -> Result<(), HandlerError> + Send + Sync + 'static,
{
    type State = ();

    fn on_open(&self, connection: &Writer) -> Result<(), HandlerError> {
        (self.open)(connection)
    }

    fn on_message(&self, connection: &Writer, (): &mut (), message: Message<'_>) -> Result<(), HandlerError> {
        (self.act)(connection, message)
    }
}

/// Polls as an application does that lets one connection go where something is wrong with it, and no other.
fn poll_to_the_end(
    mut events: EventLoop,
    open: &impl Fn(&Writer) -> Result<(), HandlerError>,
    act: &impl Fn(&Writer, Message<'_>) -> Result<(), HandlerError>,
) {
    while !events.is_over() {
        for event in events.poll(Some(LIMIT)) {
            let (connection, done) = match event {
                Event::Open(connection) => (connection, catch_unwind(AssertUnwindSafe(|| open(connection)))),
                Event::Message(connection, message) => {
                    (connection, catch_unwind(AssertUnwindSafe(|| act(connection, message))))
                }
                _ => continue,
            };
            if !matches!(done, Ok(Ok(()))) {
                // It may have ended, which is no failure.
                let _ = connection.close(Close::code(CloseCode::INTERNAL_ERROR));
            }
        }
    }
}

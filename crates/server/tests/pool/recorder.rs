//! A handler that notes every call and then does what the test says.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use raddle_server::{Builder, Cause, End, Handler, HandlerError, Message, Server, Writer};

use super::common::{LIMIT, finish, listening};

/// What the handler is called for.
pub(crate) enum At<'a> {
    Open,
    Message(Message<'a>),
    Drain,
    Close,
}

/// A call, as it is noted before it is made; or the end of a connection's state.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Note {
    Open,
    Message(Vec<u8>),
    Drain,
    Close(End),
    StateDropped,
}

/// The notes by connection.
#[derive(Default)]
pub(crate) struct Log {
    notes: Mutex<HashMap<u64, Vec<Note>>>,
    changed: Condvar,
}

/// A server of the pool, and what its handler has seen.
pub(crate) struct Recorded {
    pub(crate) server: Server,
    pub(crate) log: Arc<Log>,
}

struct Recorder<F> {
    log: Arc<Log>,
    act: F,
}

pub(crate) struct Kept {
    log: Arc<Log>,
    id: u64,
}

/// A server with one worker, so that what holds it up shows.
pub(crate) fn recorded<F>(set_up: impl FnOnce(Builder) -> Builder, act: F) -> Recorded
where
    F: Fn(&Writer, At<'_>) -> Result<(), HandlerError> + Send + Sync + 'static,
{
    let log = Arc::new(Log::default());
    let server = listening(|builder| set_up(builder.workers(1)));
    server.start_pool(Recorder { log: Arc::clone(&log), act }).expect("it starts");
    Recorded { server, log }
}

/// Sends every message back.
pub(crate) fn answer(writer: &Writer, at: At<'_>) -> Result<(), HandlerError> {
    if let At::Message(message) = at {
        writer.send(message)?;
    }
    Ok(())
}

/// Does nothing.
pub(crate) fn listen(_writer: &Writer, _at: At<'_>) -> Result<(), HandlerError> {
    Ok(())
}

impl<F> Handler for Recorder<F>
where
    F: Fn(&Writer, At<'_>) -> Result<(), HandlerError> + Send + Sync + 'static,
{
    type State = Kept;

    fn on_open(&self, connection: &Writer) -> Result<Kept, HandlerError> {
        let id = connection.info().id;
        self.log.note(id, Note::Open);
        let kept = Kept { log: Arc::clone(&self.log), id };
        (self.act)(connection, At::Open)?;
        Ok(kept)
    }

    fn on_message(&self, connection: &Writer, state: &mut Kept, message: Message<'_>) -> Result<(), HandlerError> {
        assert_eq!(state.id, connection.info().id, "the state of another connection");
        self.log.note(state.id, Note::Message(message.as_bytes().to_vec()));
        (self.act)(connection, At::Message(message))
    }

    fn on_drain(&self, connection: &Writer, state: &mut Kept) -> Result<(), HandlerError> {
        self.log.note(state.id, Note::Drain);
        (self.act)(connection, At::Drain)
    }

    fn on_close(&self, connection: &Writer, state: Kept, end: &End) {
        self.log.note(state.id, Note::Close(end.clone()));
        (self.act)(connection, At::Close).expect("it cannot fail here");
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.log.note(self.id, Note::StateDropped);
    }
}

impl Log {
    fn note(&self, id: u64, note: Note) {
        self.notes.lock().entry(id).or_default().push(note);
        self.changed.notify_all();
    }

    /// Waits until the one connection has been let go, and gives all that was noted before its state was dropped.
    #[track_caller]
    pub(crate) fn whole(&self) -> Vec<Note> {
        let deadline = Instant::now() + LIMIT;
        let mut notes = self.notes.lock();
        loop {
            assert!(notes.len() <= 1, "several connections: {notes:?}");
            if let Some(notes) = notes.values().next()
                && let [before @ .., Note::StateDropped] = &notes[..]
            {
                return before.to_vec();
            }
            let late = self.changed.wait_until(&mut notes, deadline).timed_out();
            assert!(!late, "the connection was not let go: {notes:?}");
        }
    }

    /// As [`whole`](Self::whole), where the connection was opened and closed: its messages, and its end.
    #[track_caller]
    pub(crate) fn story(&self) -> (Vec<Vec<u8>>, End) {
        let notes = self.whole();
        let [Note::Open, middle @ .., Note::Close(end)] = &notes[..] else { panic!("{notes:?}") };
        let messages = middle.iter().filter_map(|note| match note {
            Note::Message(bytes) => Some(bytes.clone()),
            Note::Drain => None,
            other => panic!("{other:?} between open and close"),
        });
        (messages.collect(), end.clone())
    }

    /// All notes of all connections.
    pub(crate) fn all(&self) -> Vec<Vec<Note>> {
        self.notes.lock().values().cloned().collect()
    }

    /// Waits until `count` notes of the one connection are messages.
    #[track_caller]
    pub(crate) fn wait_for_messages(&self, count: usize) {
        let is_message = |note: &&Note| matches!(note, Note::Message(_));
        let deadline = Instant::now() + LIMIT;
        let mut notes = self.notes.lock();
        while notes.values().flatten().filter(is_message).count() < count {
            let late = self.changed.wait_until(&mut notes, deadline).timed_out();
            assert!(!late, "only {notes:?}");
        }
    }
}

impl Recorded {
    /// Stops the server, which has to end, with every connection told of once and in order.
    #[track_caller]
    pub(crate) fn finish(self) {
        finish(&self.server);
        for notes in self.log.all() {
            let [Note::Open, .., last] = &notes[..] else { panic!("{notes:?}") };
            assert_eq!(*last, Note::StateDropped, "{notes:?}");
            let count = |wanted: fn(&Note) -> bool| notes.iter().filter(|note| wanted(note)).count();
            assert_eq!(count(|note| *note == Note::StateDropped), 1, "{notes:?}");
            assert_eq!(count(|note| *note == Note::Open), 1, "{notes:?}");
            assert!(count(|note| matches!(note, Note::Close(_))) <= 1, "{notes:?}");
        }
    }
}

/// The cause, the code received and the code sent.
pub(crate) fn facts(end: &End) -> (Cause, Option<u16>, Option<u16>) {
    (end.cause, end.received.as_ref().map(|(code, _)| code.0), end.sent.map(|code| code.0))
}

impl fmt::Debug for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open => f.write_str("Open"),
            Self::Message(bytes) => {
                write!(f, "Message of {} bytes: \"{}\"", bytes.len(), bytes[..bytes.len().min(20)].escape_ascii())
            }
            Self::Drain => f.write_str("Drain"),
            Self::Close(end) => write!(f, "Close: {end}"),
            Self::StateDropped => f.write_str("StateDropped"),
        }
    }
}

/// Long enough for whatever is not to happen.
pub(crate) const A_WHILE: Duration = Duration::from_millis(150);

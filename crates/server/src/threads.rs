//! Engine `threads`: a thread for each connection decides on its request, runs the handler, and sees it to its end.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use log::Level;
use raddle_socket::{Close, CloseCode, Connection, End, Reader, SendError, State, Writer, bury, panic_message};

use crate::admission::Ticket;
use crate::registry::ConnectionId;
use crate::request::Request;
use crate::shared::Shared;

/// Why a handler has given up: any error. [`End`] and [`SendError::Closed`] say that the connection has ended, which is no
/// failure; any other closes it with 1011.
pub type HandlerError = Box<dyn std::error::Error + Send + Sync>;

pub(crate) type Handler = dyn Fn(Reader, Writer) -> Result<(), HandlerError> + Send + Sync;

/// Starts a thread that `join` waits for. It holds `ticket`: a client that leaves while its handler computes makes no room
/// for another thread.
pub(crate) fn start(
    shared: &Arc<Shared>,
    id: ConnectionId,
    ticket: Option<Ticket>,
    body: impl FnOnce(&Arc<Shared>) + Send + 'static,
) -> io::Result<()> {
    let counted = Counted::new(shared, id, ticket);
    let name = format!("raddle {id}");
    // A thread that cannot be started drops its body, and so stops counting.
    raddle_socket::spawn(name, shared.settings.stack_size, move || body(&counted.shared)).map(drop)
}

/// Counts a handler while it lives.
struct Counted {
    shared: Arc<Shared>,
    id: ConnectionId,
    ticket: Option<Ticket>,
}

impl Counted {
    fn new(shared: &Arc<Shared>, id: ConnectionId, ticket: Option<Ticket>) -> Self {
        shared.handler_starts(id);
        Self { shared: Arc::clone(shared), id, ticket }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        // Its place is free for whoever sees that the handler has returned.
        drop(self.ticket.take());
        self.shared.handler_returned(self.id);
    }
}

/// Has the application decide on a request, now or later.
// In a box until it is here, and not inlined: what waits for the decision, on the same thread, has none of it on its stack.
#[inline(never)]
pub(crate) fn decide(shared: &Shared, mut request: Box<Request>) {
    request.hear();
    match &shared.on_request {
        Some(decide) => {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| decide(*request))) {
                let what = panic_message(&*panic);
                shared.journal.note(Level::Error, format_args!("the decision on a request has panicked: {what}"));
                bury(panic);
            }
        }
        None => {
            // A request that is no opening handshake was answered.
            let _ = request.accept();
        }
    }
}

/// Runs the handler of an open connection, and sees the connection to its end.
pub(crate) fn run(shared: &Shared, handler: &Handler, connection: Connection) {
    let (reader, writer) = connection.split();
    let id = ConnectionId::of(reader.info());
    let handle = writer.clone();
    let failed = has_failed(shared, &handle, || handler(reader, writer));
    // The handler may have given its reader to another thread, which then has the connection.
    let Some(reader) = handle.take_reader() else { return };
    drop(handle);
    let end = if failed {
        // Without details: they are not the peer's to know.
        reader.fail(Close::code(CloseCode::INTERNAL_ERROR))
    } else {
        reader.close(Close::code(CloseCode::NORMAL))
    };
    shared.journal.note_end(id, &end);
}

/// Runs a handler of `connection`, and tells whether it has failed, which is noted.
pub(crate) fn has_failed(
    shared: &Shared,
    connection: &Writer,
    handler: impl FnOnce() -> Result<(), HandlerError>,
) -> bool {
    let id = ConnectionId::of(connection.info());
    // An error is the application's too: it may panic when it is shown, and when it is dropped.
    let result = catch_unwind(AssertUnwindSafe(|| {
        let is_failure = |error: &HandlerError| !is_of_the_end(&**error, connection);
        handler().map_err(|error| is_failure(&error).then(|| error.to_string()))
    }));
    match result {
        Ok(Ok(()) | Err(None)) => return false,
        Ok(Err(Some(error))) => {
            shared.journal.note(Level::Error, format_args!("the handler of connection {id} has failed: {error}"));
        }
        Err(panic) => {
            let what = panic_message(&*panic);
            shared.journal.note(Level::Error, format_args!("the handler of connection {id} has panicked: {what}"));
            bury(panic);
        }
    }
    true
}

/// Tells whether an error of a handler says no more than that its connection has ended.
pub(crate) fn is_of_the_end(error: &(dyn std::error::Error + Send + Sync + 'static), connection: &Writer) -> bool {
    let of_end = error.is::<End>() || matches!(error.downcast_ref(), Some(SendError::Closed | SendError::Timeout));
    // It may be of another connection that the handler has.
    of_end && connection.state() != State::Open
}

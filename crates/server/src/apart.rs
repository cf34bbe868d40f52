//! Connections of an event loop that have a thread of their own for a while: for what takes long there, or waits.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, mpsc};

use parking_lot::Mutex;
use raddle_socket::{Cause, Close, CloseCode, Driver, Reader, Writer};

use crate::admission::Ticket;
use crate::registry::ConnectionId;
use crate::shared::Shared;
use crate::threads::{self, HandlerError};

/// The connections that are on threads of their own.
#[derive(Debug, Default)]
pub(crate) struct Apart {
    stays: Mutex<HashMap<ConnectionId, Entry>>,
}

/// A connection that has ended meanwhile leaves its ticket here: a client that goes while its thread computes makes no room
/// for another.
#[derive(Debug, Default)]
struct Entry {
    /// The last of them may have given the connection back, and not returned, when the next begins.
    threads: usize,
    ticket: Option<Ticket>,
}

impl Apart {
    /// Keeps the ticket of a connection that has ended until its thread has, if it has one. Gives it back otherwise.
    pub(crate) fn keep(&self, id: ConnectionId, ticket: Ticket) -> Option<Ticket> {
        match self.stays.lock().get_mut(&id) {
            Some(entry) => entry.ticket.replace(ticket),
            None => Some(ticket),
        }
    }
}

/// Notes that a connection is on a thread of its own, until it is dropped.
struct Stay {
    shared: Arc<Shared>,
    id: ConnectionId,
}

impl Stay {
    fn new(shared: &Arc<Shared>, id: ConnectionId) -> Self {
        shared.books.apart.stays.lock().entry(id).or_default().threads += 1;
        Self { shared: Arc::clone(shared), id }
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        let mut stays = self.shared.books.apart.stays.lock();
        let Entry { threads, .. } = stays.entry(self.id).or_default();
        *threads -= 1;
        let last = if *threads == 0 { stays.remove(&self.id) } else { None };
        drop(stays);
        drop(last);
    }
}

/// A reader that goes back to its event loop, whatever happens.
struct Loan {
    driver: Arc<dyn Driver>,
    key: usize,
    /// Until the drop.
    reader: Option<Reader>,
}

impl Drop for Loan {
    fn drop(&mut self) {
        if let Some(reader) = self.reader.take() {
            self.driver.take_back(self.key, reader);
        }
    }
}

/// Has a thread of its own run `body` for a connection that an event loop has, and gives the connection back then.
pub(crate) fn move_to_thread<B>(shared: &Arc<Shared>, connection: &Writer, body: B) -> io::Result<()>
where
    B: FnOnce(&mut Reader, &Writer) -> Result<(), HandlerError> + Send + 'static,
{
    // Asked first: the loop may take it meanwhile.
    let is_on_its_way = connection.is_on_its_way();
    let Some((driver, key)) = connection.call_away() else {
        if is_on_its_way {
            return Err(io::Error::new(io::ErrorKind::WouldBlock, "the connection has not come to its event loop yet"));
        }
        let what = "the connection has ended, or has a thread of its own";
        return Err(io::Error::new(io::ErrorKind::NotConnected, what));
    };
    let id = ConnectionId::of(connection.info());
    let (give, given) = mpsc::channel();
    let (stay, lender) = (Stay::new(shared, id), Arc::clone(&driver));
    // It is known to run before the event loop lets go of the connection.
    let started = threads::start(shared, id, None, move |shared| {
        let _stay = stay;
        if let Ok(reader) = given.recv() {
            run(shared, Loan { driver: lender, key, reader: Some(reader) }, body);
        }
    });
    match started {
        Ok(()) => driver.release(key, Box::new(move |reader| drop(give.send(reader)))),
        Err(_) => connection.stay(),
    }
    started
}

fn run<B>(shared: &Shared, mut loan: Loan, body: B)
where
    B: FnOnce(&mut Reader, &Writer) -> Result<(), HandlerError>,
{
    let reader = loan.reader.as_mut().expect("there until the drop");
    let writer = reader.writer();
    if threads::has_failed(shared, &writer, || body(reader, &writer)) {
        // Its handler is not called for it again: it is read for the peer's Close only.
        writer.pause_reading();
        // Without details: they are not the peer's to know. It fails where the connection ends anyway.
        let _ = writer.close_for(Close::code(CloseCode::INTERNAL_ERROR), Cause::HandlerFailed);
    }
}

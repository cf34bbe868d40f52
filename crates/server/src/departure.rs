//! The end of an open connection: its places are given back, and it is counted.

use std::sync::Arc;

use raddle_socket::{End, Traffic};

use crate::admission::Ticket;
use crate::identity::Slot;
use crate::registry::Place;
use crate::shared::Books;

/// All that an open connection gives back, at its end at the latest.
// There is one for each connection, however idle, and most have no more than a place.
pub(crate) struct Departure {
    /// `None`: it was given back.
    place: Option<Place>,
    /// `None`: it has a ticket like any other, which its place stands for.
    more: Option<Box<More>>,
}

struct More {
    ticket: Ticket,
    slot: Option<Slot>,
}

impl Departure {
    pub(crate) fn new(place: Place, ticket: Ticket, slot: Option<Slot>) -> Self {
        let more = match (ticket, slot) {
            (ticket, None) => ticket.into_plain().err().map(|ticket| Box::new(More { ticket, slot: None })),
            (ticket, slot) => Some(Box::new(More { ticket, slot })),
        };
        Self { place: Some(place), more }
    }

    /// The connection has ended.
    pub(crate) fn carry_out(mut self, end: &End, traffic: Traffic) {
        let Some(place) = self.place.take() else { return };
        let books = Arc::clone(&place.books);
        books.topics.leave(place.id);
        let (ticket, slot) = self.more(&books);
        // Whoever finds it in the registry no more finds its other places free, unless a thread goes on for it.
        drop((slot, books.apart.keep(place.id, ticket)));
        books.metrics.ended(end.cause, traffic, place);
    }

    fn more(&mut self, books: &Books) -> (Ticket, Option<Slot>) {
        match self.more.take() {
            Some(more) => (more.ticket, more.slot),
            None => (Ticket::of_plain(&books.admission), None),
        }
    }
}

impl Drop for Departure {
    fn drop(&mut self) {
        // It was not opened after all.
        if let Some(place) = self.place.take() {
            drop(self.more(&place.books));
        }
    }
}

//! A message for many connections: encoded once, and put in the output of each.

use std::sync::Arc;

use parking_lot::MutexGuard;
use raddle_core::{Message, Sender};

use crate::end::Cause;
use crate::fragments::fragments;
use crate::link::Link;
use crate::options::{Options, WhenFull};
use crate::outgoing::Outgoing;
use crate::writer::Writer;

/// A message for many connections of a server, in the bytes that they get.
#[derive(Clone, Debug)]
pub struct Publication {
    frames: Arc<[u8]>,
}

/// What has become of a publication on one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// It leaves with what was sent before.
    Sent,
    /// The peer does not keep up, and does without it: its outgoing limit was reached.
    Dropped,
    /// The connection has ended, or is about to.
    Closed,
}

impl Publication {
    /// Encodes a message as a server with these options sends it.
    pub fn new(message: Message<'_>, options: &Options) -> Self {
        let mut sender = Sender::server();
        for (fragment, progress) in fragments(message.into(), options.fragment_size) {
            sender.send_fragment(fragment, progress).expect("nothing was closed, and the fragments are one message's");
        }
        Self { frames: sender.output().into() }
    }
}

impl Writer {
    /// Puts a publication behind what was sent before, and never waits. Where the outgoing limit is reached, the connection
    /// is closed if [`Options::when_full`] says so, and does without it otherwise.
    pub fn publish(&self, publication: &Publication) -> Delivery {
        let link = self.link();
        let mut outgoing = link.outgoing.lock();
        if outgoing.is_closed() {
            return Delivery::Closed;
        }
        if outgoing.queued() + outgoing.tried() > link.options.outgoing_limit {
            if link.options.when_full == WhenFull::Close {
                link.cut(&mut outgoing, Cause::OutgoingFull);
                return Delivery::Closed;
            }
            return Delivery::Dropped;
        }
        if !outgoing.sender.is_unmasked() {
            return Delivery::Closed;
        }
        if outgoing.sender.is_amid_message() {
            // It comes behind the message that is being sent in fragments (RFC 6455, section 5.4).
            outgoing.aside().postponed.push(publication.clone());
            return Delivery::Sent;
        }
        outgoing.put(publication);
        link.let_leave(&mut outgoing);
        Delivery::Sent
    }
}

impl Outgoing {
    /// Puts a publication in the output, where no message is being sent and no Close was.
    fn put(&mut self, publication: &Publication) {
        if self.sender.send_encoded(&publication.frames).is_ok() {
            self.messages += 1;
        }
    }

    /// Puts in the output what had to wait for the end of a message. `false`: nothing had to.
    pub(crate) fn put_postponed(&mut self) -> bool {
        let postponed = self.take_postponed();
        for publication in &postponed {
            self.put(publication);
        }
        !postponed.is_empty()
    }
}

impl Link {
    /// Has what was put in the output written: with what others write, at the end of this turn, or now.
    fn let_leave(self: &Arc<Self>, outgoing: &mut MutexGuard<'_, Outgoing>) {
        if outgoing.is_busy() {
            return;
        }
        if self.cork.holds_this_thread() {
            return self.cork.hold();
        }
        if !outgoing.summon() {
            self.flush_locked(outgoing);
        }
    }
}

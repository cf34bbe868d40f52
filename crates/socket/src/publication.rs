//! A message for many connections: encoded once, compressed once for each size of window, and put in the output of each.

use std::sync::Arc;

use parking_lot::MutexGuard;
use raddle_core::deflate::Compressor;
use raddle_core::{Data, Deflate, Message, Role, Sender};

use crate::compression::Compression;
use crate::end::{Cause, SendStatus};
use crate::flags::Flag;
use crate::fragments::fragments;
use crate::link::Link;
use crate::options::{Options, WhenFull};
use crate::outgoing::Outgoing;
use crate::writer::Writer;

/// A message for many connections of a server, in the bytes that they get.
#[derive(Clone, Debug)]
pub struct Publication {
    /// As it is, for all.
    plain: Arc<[u8]>,
    /// Compressed without history, with the bits of the window: where somebody wants that, and it is smaller then.
    compressed: Vec<(u8, Arc<[u8]>)>,
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
    /// Encodes a message as a server with these options sends it, and compresses it for each of `agreements`, which are to
    /// have different windows.
    pub fn new(message: Message<'_>, options: &Options, agreements: &[Deflate]) -> Self {
        let suitable = agreements.iter().filter(|deflate| deflate.compresses(message.as_bytes().len()));
        let compressed = suitable.filter_map(|deflate| {
            let mut compressor = Compressor::lend(deflate, Role::Server);
            let data = compressor.compress(message);
            data.is_compressed().then(|| (deflate.window_bits(Role::Server), encode(data, options)))
        });
        Self { plain: encode(message.into(), options), compressed: compressed.collect() }
    }

    /// What it counts for where it waits, in bytes: the payload may be others' as well.
    pub(crate) fn size(&self) -> usize {
        // The list that it is in may have room for as many again.
        2 * size_of::<Self>() + self.plain.len()
    }

    /// What a connection gets that compresses so, and whether it is compressed.
    fn frames(&self, compression: Option<&Compression>) -> (&[u8], bool) {
        let bits = compression.map(Compression::window_bits);
        match self.compressed.iter().find(|(window, _)| Some(*window) == bits) {
            Some((_, frames)) => (frames, true),
            None => (&self.plain, false),
        }
    }
}

/// The frames of a message.
fn encode(message: Data<'_>, options: &Options) -> Arc<[u8]> {
    let mut sender = Sender::server();
    for (fragment, progress) in fragments(message, options.fragment_size) {
        sender.send_fragment(fragment, progress).expect("nothing was closed, and the fragments are one message's");
    }
    sender.output().into()
}

impl Writer {
    /// Puts a publication behind what was sent before, and never waits. Where the outgoing limit is reached, the connection
    /// is closed if [`Options::when_full`] says so, and does without it otherwise.
    #[doc(hidden)]
    pub fn publish(&self, publication: &Publication) -> Delivery {
        let link = self.link();
        let mut outgoing = link.outgoing.lock();
        if outgoing.is_closed() {
            return Delivery::Closed;
        }
        if outgoing.queued() + outgoing.tried() + outgoing.postponed_bytes() > link.options.outgoing_limit {
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
            outgoing.postpone(publication.clone());
            link.count_all_output(&mut outgoing);
            return Delivery::Sent;
        }
        link.put_publication(&mut outgoing, publication);
        link.let_leave(&mut outgoing);
        Delivery::Sent
    }
}

impl Link {
    /// Puts a publication in the output, where no message is being sent and no Close was.
    fn put_publication(&self, outgoing: &mut Outgoing, publication: &Publication) {
        let (frames, is_compressed) = publication.frames(self.compression.as_deref());
        outgoing.lend_memory();
        if outgoing.sender.send_encoded(frames).is_ok() {
            outgoing.messages += 1;
            if let Some(compression) = self.compression.as_ref().filter(|_| is_compressed) {
                compression.note_foreign_context(true);
            }
        }
    }

    /// Keeps an answer of the event loop's thread until another thread's message is complete. Nothing more is read until then.
    pub(crate) fn postpone(self: &Arc<Self>, outgoing: &mut Outgoing, message: Message<'_>) -> SendStatus {
        outgoing.postpone(Publication::new(message, &self.options, &[]));
        self.count_all_output(outgoing);
        self.flags.raise(Flag::Overfull);
        SendStatus::Queued
    }

    /// Puts in the output what had to wait for the end of a message. `false`: nothing had to.
    pub(crate) fn put_postponed(&self, outgoing: &mut Outgoing) -> bool {
        let postponed = outgoing.take_postponed();
        for publication in &postponed {
            self.put_publication(outgoing, publication);
        }
        self.read_behind_postponed(outgoing);
        !postponed.is_empty()
    }

    /// Has the event loop go on that reads nothing because of what was postponed.
    pub(crate) fn read_behind_postponed(&self, outgoing: &Outgoing) {
        if let Some((driver, key)) = &outgoing.driver
            && self.flags.has(Flag::Overfull)
        {
            driver.input_is_wanted(*key);
        }
    }

    /// Has what was put in the output written: with what others write, at the end of this turn, or now.
    fn let_leave(self: &Arc<Self>, outgoing: &mut MutexGuard<'_, Outgoing>) {
        self.count_output(outgoing);
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

//! What the handles of one connection share: its stream, its two halves, and how it ends.

use std::fmt;
use std::io;
use std::mem;
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};
use raddle_core::{Close, CloseCode, Due, Error, Event, Keepalive, Progress, Receiver, Role, Sender};

use crate::attendant::{Attendant, Listing, TimerSlot, attendant, waits_for_nobody};
use crate::compression::Compression;
use crate::connection::Opening;
use crate::cork::Cork;
use crate::counters::Counters;
use crate::end::{Cause, End};
use crate::flags::{Flag, Flags};
use crate::info::Info;
use crate::keys::RandomKeys;
use crate::lease::{Inbound, Lease};
use crate::options::Options;
use crate::outgoing::Outgoing;
use crate::shield::shielded;
use crate::stream::Stream;
use crate::sys;
use crate::telling::{Told, tell};
use crate::winding_up::LINGER;

/// One connection.
pub(crate) struct Link {
    pub(crate) transport: Stream,
    pub(crate) role: Role,
    pub(crate) options: Arc<Options>,
    pub(crate) info: Info,
    pub(crate) inbound: Lease,
    /// What messages are compressed with, where that was agreed on. Borrowed before `outgoing` is locked.
    pub(crate) compression: Option<Box<Compression>>,
    pub(crate) outgoing: Mutex<Outgoing>,
    /// Something that a sender can wait for has changed in `outgoing`.
    pub(crate) turn: Condvar,
    pub(crate) cork: Cork,
    pub(crate) flags: Flags,
    /// The thread whose reader has gone away with a message, or with some that it has taken together, and which has sent nothing
    /// since. 0: none.
    pub(crate) asked: AtomicU32,
    /// What was received, and is answered later.
    pub(crate) unanswered: AtomicU32,
    pub(crate) counters: Counters,
    pub(crate) timer: TimerSlot,
    /// Whether the attendant looks how long the reader is away.
    pub(crate) listing: Listing,
}

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Messages can be sent, and are received.
    Open,
    /// A Close was sent or received, and the closing handshake is under way.
    Closing,
    /// The connection has ended.
    Closed,
}

impl Link {
    pub(crate) fn new(transport: Stream, mut opening: Opening<'_>) -> io::Result<Arc<Self>> {
        let greeting = mem::take(&mut opening.greeting);
        let (received, attachment) = (opening.received, opening.attachment.take());
        let for_event_loop = opening.for_event_loop;
        let mut link = Self::put_together(transport, opening)?;
        let own = Arc::get_mut(&mut link).expect("nobody else has it yet");
        own.outgoing.get_mut().greet(greeting);
        if attachment.is_some() {
            own.outgoing.get_mut().aside().attachment = attachment;
        }
        own.hear(received);
        if for_event_loop {
            own.flags.raise(Flag::Driven);
        }
        Ok(link)
    }

    /// Not inlined, and without what can be done later, so that little is on the stack at a time: an idle thread's stack keeps
    /// the pages that were once needed.
    #[inline(never)]
    fn put_together(transport: Stream, opening: Opening<'_>) -> io::Result<Arc<Self>> {
        let Opening { role, options, info, on_end, .. } = opening;
        let (options, info) = (options.usable(), info.shared());
        attendant()?;
        let now = sys::now();
        let sender = match role {
            Role::Server => Sender::server(),
            Role::Client => Sender::client(Box::new(RandomKeys::new())),
        };
        let keepalive = options.ping_interval.map(|interval| Keepalive::new(interval, options.ping_timeout, now));
        Ok(Arc::new(Self {
            transport,
            role,
            inbound: Lease::new(),
            compression: info.deflate.map(|deflate| Box::new(Compression::new(deflate, role))),
            outgoing: Mutex::new(Outgoing::new(sender, keepalive, on_end)),
            turn: Condvar::new(),
            cork: Cork::default(),
            flags: Flags::default(),
            asked: AtomicU32::new(0),
            unanswered: AtomicU32::new(0),
            counters: Counters::default(),
            timer: TimerSlot::new(),
            listing: Listing::default(),
            options,
            info,
        }))
    }

    /// Takes what was already received. Apart, and not inlined, as `put_together`.
    #[inline(never)]
    fn hear(&mut self, received: &[u8]) {
        let mut inbound = self.new_inbound();
        inbound.receiver.feed(received);
        self.inbound.fill(inbound);
        self.counters.heard(received.len());
    }

    /// Begins: what is to be written before any frame leaves, and the attendant takes notice.
    pub(crate) fn begin(self: &Arc<Self>) {
        self.flush();
        self.tick(sys::now());
        if !self.flags.has(Flag::Driven) {
            // Its owner may never read.
            Attendant::get().list_reader(self);
        }
    }

    /// Where it is in memory: no other connection has this number as long as there is this one.
    pub(crate) fn key(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// Inbound state of which nothing has come yet.
    pub(crate) fn new_inbound(&self) -> Inbound {
        Inbound::new(Receiver::new(self.role, self.options.limits).with_deflate(self.info.deflate))
    }

    pub(crate) fn state(&self) -> State {
        let outgoing = self.outgoing.lock();
        if outgoing.ended {
            State::Closed
        } else if outgoing.sender.is_closed() || outgoing.received().is_some() {
            State::Closing
        } else {
            State::Open
        }
    }

    /// How the connection has ended, or would be said to have ended now.
    pub(crate) fn end(&self) -> End {
        let outgoing = self.outgoing.lock();
        self.counters.end(&outgoing, outgoing.cause().unwrap_or(Cause::EndOfStream))
    }

    /// Ends the connection: wakes all that wait for it. The first cause is kept.
    pub(crate) fn cut(&self, outgoing: &mut MutexGuard<'_, Outgoing>, cause: Cause) {
        let cause = *outgoing.aside().cause.get_or_insert(cause);
        if !outgoing.ended {
            outgoing.ended = true;
            if outgoing.queued() > 0 {
                // Our Close would have been the last of it.
                outgoing.aside().sent = None;
                outgoing.discard();
            }
            // It fails where the peer has gone already, which is as good.
            shielded(STREAM, || drop(self.transport.shutdown(Shutdown::Both)));
            self.turn.notify_all();
            outgoing.ring();
            if let Some(compression) = &self.compression {
                compression.retire();
            }
            self.give_share_back(outgoing);
            Attendant::get().forget(self);
            if let Some(on_end) = outgoing.on_end.take() {
                let (end, traffic) = (self.counters.end(outgoing, cause), self.counters.traffic(outgoing));
                MutexGuard::unlocked(outgoing, || tell(Told { on_end, end, traffic }));
            }
            if let Some((driver, key)) = outgoing.driver.take() {
                MutexGuard::unlocked(outgoing, || driver.ended(key));
            }
        }
    }

    /// Begins the closing handshake, or hastens it: the Close goes behind what was sent before.
    pub(crate) fn close(
        self: &Arc<Self>,
        close: Option<Close<'_>>,
        cause: Cause,
    ) -> Result<(), raddle_core::SendError> {
        let mut outgoing = self.outgoing.lock();
        if outgoing.ended {
            return Err(raddle_core::SendError::Closed);
        }
        outgoing.sender.close(close)?;
        outgoing.aside().cause.get_or_insert(cause);
        outgoing.aside().sent = Some(close.map_or(CloseCode::NO_STATUS, |close| close.code));
        let deadline = sys::now().saturating_add(self.options.close_timeout);
        outgoing.aside().close_deadline = Some(deadline);
        // What waits for the end of a message waits in vain.
        let is_amid_message = !outgoing.take_postponed().is_empty();
        self.turn.notify_all();
        self.flush_locked(&mut outgoing);
        drop(outgoing);
        Attendant::get().schedule(self, deadline);
        let is_put_off = self.flags.lower(Flag::EndWaits) | self.flags.lower(Flag::LeftToReader);
        if self.is_paused() || is_amid_message || is_put_off {
            // The peer's Close is wanted, whatever comes before it.
            self.go_on_reading();
        }
        Ok(())
    }

    /// Begins the closing handshake in any case: where the Close may not be sent, with 1011. One that was sent before stands.
    pub(crate) fn close_somehow(self: &Arc<Self>, close: Close<'_>, cause: Cause) {
        if self.close(Some(close), cause).is_err() {
            // It fails where there is nothing left to close.
            let _ = self.close(Some(Close::code(CloseCode::INTERNAL_ERROR)), cause);
        }
    }

    /// Fails the connection (section 7.1.7): puts a Close in the output, if none was sent.
    pub(crate) fn fail(&self, error: Error) {
        let mut outgoing = self.outgoing.lock();
        outgoing.aside().cause.get_or_insert(Cause::Failed(error));
        if !outgoing.sender.is_closed() {
            outgoing.sender.fail(error);
            outgoing.aside().sent = Some(error.close_code());
        }
        self.turn.notify_all();
        outgoing.ring();
    }

    /// Drops what waits to be written, and has nothing further sent, not even a Close.
    pub(crate) fn send_no_more(&self, cause: Cause) {
        self.silence(&mut self.outgoing.lock(), cause);
    }

    pub(crate) fn silence(&self, outgoing: &mut Outgoing, cause: Cause) {
        outgoing.aside().cause.get_or_insert(cause);
        if outgoing.queued() > 0 {
            // A Close that waits to be written is not sent either.
            outgoing.aside().sent = None;
        }
        // It fails where one was sent already.
        let _ = outgoing.sender.close(None);
        outgoing.discard();
        self.turn.notify_all();
        outgoing.ring();
    }

    /// Has the connection cut at `deadline`, or before, whatever happens until then.
    pub(crate) fn end_by(self: &Arc<Self>, deadline: Duration) {
        let mut outgoing = self.outgoing.lock();
        if !outgoing.ended {
            outgoing.cut_by(deadline);
            drop(outgoing);
            Attendant::get().schedule(self, deadline);
        }
    }

    /// Does what an event asks for: the one rule of the protocol, and what this connection keeps of it.
    pub(crate) fn react(&self, event: &Event<'_>) {
        match event {
            Event::Text(_) | Event::Binary(_) => self.counters.message(),
            Event::Part(_, Progress::Last) => self.counters.message(),
            Event::Part(..) => {}
            Event::Ping(_) => {
                let mut outgoing = self.outgoing.lock();
                outgoing.lend_memory();
                outgoing.sender.react(event);
                self.cork.hold();
            }
            Event::Pong(payload) => {
                let outgoing = &mut *self.outgoing.lock();
                if let Some(keepalive) = &mut outgoing.keepalive {
                    keepalive.pong(payload, sys::now());
                }
                if let Some(aside) = outgoing.aside.as_mut().filter(|aside| !aside.pings.is_empty()) {
                    aside.pings.pong(payload, sys::now());
                    self.turn.notify_all();
                }
            }
            Event::Close(close) => {
                let mut outgoing = self.outgoing.lock();
                outgoing.aside().received = Some(match close {
                    Some(close) => (close.code, close.reason.to_owned()),
                    None => (CloseCode::NO_STATUS, String::new()),
                });
                outgoing.aside().cause.get_or_insert(Cause::PeerClose);
                if !outgoing.sender.is_closed() {
                    outgoing.sender.react(event);
                    outgoing.aside().sent = Some(close.map_or(CloseCode::NO_STATUS, |close| close.code));
                }
                self.turn.notify_all();
            }
        }
    }

    /// For the attendant: does what is due at `now`, and asks to be called again.
    pub(crate) fn tick(self: &Arc<Self>, now: Duration) {
        self.act_on_last_word(now);
        let mut outgoing = self.outgoing.lock();
        if outgoing.ended {
            return;
        }
        if let Some(cause) = self.overdue(&outgoing, now) {
            return self.cut(&mut outgoing, cause);
        }
        // A reader gives back what it has not needed for a while; who only sends has no such moment.
        outgoing.shrink();
        if let Some(compression) = &self.compression {
            compression.rest();
        }
        let mut next = now.saturating_add(self.options.message_timeout);
        let message_deadline = self.message_deadline(&outgoing).filter(|_| !self.flags.has(Flag::GivenUp));
        if let Some(deadline) = message_deadline {
            if now >= deadline {
                let close = Close { code: CloseCode::POLICY, reason: "the message took too long" };
                self.give_up(&mut outgoing, Cause::MessageTimeout, close);
                next = next.min(now + LINGER);
            } else {
                next = next.min(deadline);
            }
        }
        if self.flags.has(Flag::LeftToReader) {
            // It has said its last word, and answers no Ping. That it waits for ours has a bound of its own.
            self.counters.alive();
        }
        while let Some(keepalive) = &mut outgoing.keepalive {
            keepalive.heard(self.counters.last_heard());
            match keepalive.due(now) {
                Due::Wait(at) => {
                    // While an answer is waited for, the peer may say something, and fall silent again.
                    let again = self.options.ping_interval.map_or(at, |interval| now.saturating_add(interval));
                    next = next.min(at).min(again);
                    break;
                }
                Due::Ping(payload) => {
                    // After a Close none is needed: the closing handshake has its own deadline.
                    let _ = outgoing.ping(&payload);
                    self.flush_locked(&mut outgoing);
                }
                // A reader that is away hears nothing.
                Due::Silent if self.hears_unread() => {}
                Due::Silent => return self.cut(&mut outgoing, Cause::KeepaliveTimeout),
            }
        }
        let last_word_at = outgoing.last_word_at().filter(|_| self.flags.has(Flag::LeftToReader));
        let deadlines = [outgoing.close_deadline(), outgoing.cut_at(), outgoing.stalled_until(), last_word_at];
        next = deadlines.into_iter().flatten().fold(next, Duration::min);
        drop(outgoing);
        Attendant::get().schedule(self, next);
    }

    /// Fails the connection for `cause`. Its reader, which may wait for the rest of a message, drops what still comes for a
    /// while, so that the peer gets our Close and not a reset.
    pub(crate) fn give_up(self: &Arc<Self>, outgoing: &mut MutexGuard<'_, Outgoing>, cause: Cause, close: Close<'_>) {
        self.note_given_up(outgoing, cause, close);
        self.carry_out_giving_up(outgoing);
    }

    /// The part of [`give_up`](Self::give_up) that calls nobody and writes nothing, for whoever holds a lock.
    pub(crate) fn note_given_up(&self, outgoing: &mut Outgoing, cause: Cause, close: Close<'_>) {
        self.flags.raise(Flag::GivenUp);
        outgoing.aside().cause.get_or_insert(cause);
        if outgoing.sender.close(Some(close)).is_ok() {
            outgoing.aside().sent = Some(close.code);
        }
        outgoing.cut_by(sys::now().saturating_add(LINGER));
        self.turn.notify_all();
        outgoing.ring();
    }

    /// The other part.
    pub(crate) fn carry_out_giving_up(self: &Arc<Self>, outgoing: &mut MutexGuard<'_, Outgoing>) {
        self.flush_locked(outgoing);
        if outgoing.ended {
            return;
        }
        if let Some(latest) = outgoing.cut_at() {
            Attendant::get().schedule(self, latest);
        }
        if let Some((driver, key)) = &outgoing.driver {
            // It gives back what it has kept.
            driver.input_is_wanted(*key);
        }
        if outgoing.is_written() {
            // It fails where the peer has gone already, which is as good.
            let _ = self.transport.shutdown(Shutdown::Write);
        }
    }

    /// Notes that the peer takes what is sent: its Close may come as much later.
    pub(crate) fn progressed(&self, outgoing: &mut Outgoing) {
        outgoing.put_close_off(|| sys::coarse_now().saturating_add(self.options.close_timeout));
    }

    fn overdue(&self, outgoing: &Outgoing, now: Duration) -> Option<Cause> {
        let past = |deadline: Option<Duration>| deadline.is_some_and(|deadline| now >= deadline);
        if past(outgoing.close_deadline()) || past(outgoing.cut_at()) {
            Some(Cause::LocalClose)
        } else if past(outgoing.stalled_until()) {
            Some(Cause::WriteTimeout)
        } else {
            None
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let outgoing = self.outgoing.get_mut();
        // What a forked child lets go is its parent's.
        if !outgoing.ended && Attendant::get().is_here() {
            // Said without waiting: nobody is left to hear the answer.
            let may_write = !(self.transport.writes_wait() && waits_for_nobody());
            if may_write && outgoing.sender.close(Some(Close::code(CloseCode::GOING_AWAY))).is_ok() {
                shielded(STREAM, || outgoing.write_once(&*self.transport));
            }
            shielded(STREAM, || drop(self.transport.shutdown(Shutdown::Both)));
        }
        Attendant::get().bury(self);
        let outgoing = self.outgoing.get_mut();
        if let (Some(budget), Some(aside)) = (&self.options.budget, &mut outgoing.aside) {
            aside.share.return_to(budget);
        }
        if let Some(on_end) = outgoing.on_end.take() {
            let end = self.counters.end(outgoing, outgoing.cause().unwrap_or(Cause::Dropped));
            let traffic = self.counters.traffic(outgoing);
            tell(Told { on_end, end, traffic });
        }
    }
}

impl fmt::Debug for Link {
    // Without payloads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("key", &self.key()).field("role", &self.role).finish_non_exhaustive()
    }
}

/// What has panicked, for the log.
pub(crate) const STREAM: &str = "the stream of a connection";

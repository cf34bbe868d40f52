//! Reading ahead: what the peer sends while the reader is away is received, answered and kept in order, within bounds.
//!
//! The application may compute for as long as it likes between two calls of its reader, or only ever send. Its peer gets
//! its Pongs all the same, its Close is answered, and that it has gone is known at once. Messages wait for the reader, a few
//! of them; what is beyond stays in the socket, where the peer feels it as back-pressure.
//!
//! The peer's last word, be it its Close or what breaks a rule, is acted on at once where nobody has a message to answer. Else it is
//! left to the reader: what came before it is answered first, as if the reader had been there. That has a bound, at which
//! it is acted on here.

use std::io;
use std::net::Shutdown;
use std::ops::ControlFlow::{self, Break, Continue};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::MutexGuard;
use raddle_core::{Error, Event, Message, Role};

use crate::attendant::Attendant;
use crate::cork::this_thread;
use crate::end::Cause;
use crate::flags::Flag;
use crate::lease::{Ahead, Deputy};
use crate::link::Link;
use crate::outgoing::Outgoing;
use crate::pause::Reading;
use crate::sys;
use crate::transport::{Interest, Patience};
use crate::winding_up::LINGER;

/// Why reading ahead has stopped.
enum Stop {
    /// The reader is back, or will have enough to do when it is: messages, or the peer's last word behind them.
    Enough,
    /// The peer's Close was received.
    Close,
    /// The connection is broken, by the peer or by the network.
    End(Cause),
}

impl Link {
    /// For the attendant: looks after a connection whose reader has been away for some time, from now until it is back.
    pub(crate) fn attend(self: &Arc<Self>) {
        if self.reading() == Reading::Paused {
            return;
        }
        let visit = self.inbound.visits();
        let parsed = self.deputise(|deputy| {
            // What a layer has received already, no poller would tell.
            if self.transport.has_input() { self.receive_ahead(deputy) } else { self.parse_ahead(deputy) }
        });
        self.go_on(visit, parsed.unwrap_or(Break(Stop::Enough)));
    }

    /// For the attendant: something has arrived for a reader that is away since its `visit`.
    pub(crate) fn attend_arrival(self: &Arc<Self>, visit: u32) {
        if self.reading() == Reading::Paused {
            return;
        }
        let read = self.deputise(|deputy| self.receive_ahead(deputy));
        self.go_on(visit, read.unwrap_or(Break(Stop::Enough)));
    }

    /// Reads ahead without waiting, and not for long. `false`: there is nothing more that may be read.
    pub(crate) fn read_ahead(self: &Arc<Self>) -> bool {
        if self.reading() == Reading::Paused {
            return false;
        }
        match self.deputise(|deputy| self.receive_ahead(deputy)) {
            Some(Continue(())) => true,
            Some(Break(stop)) => {
                self.stop_reading(stop);
                false
            }
            None => false,
        }
    }

    /// Reads or parses for a reader that is away, and counts what waits for it then.
    fn deputise(self: &Arc<Self>, work: impl FnOnce(&mut Deputy) -> ControlFlow<Stop>) -> Option<ControlFlow<Stop>> {
        self.inbound.deputise(|deputy| {
            let step = work(deputy);
            self.count_input_ahead(deputy.waiting().1 + deputy.receiver.kept());
            step
        })
    }

    /// Tells whether no thread waits for what the peer sends: the reader is away, or an event loop has it.
    fn is_unattended(&self) -> bool {
        self.inbound.is_away() || self.flags.has(Flag::Driven)
    }

    /// Tells whether a thread that waits for something may read ahead for the reader: that is away, and no event loop has it.
    pub(crate) fn is_attended_by_nobody(&self) -> bool {
        self.inbound.is_away() && !self.flags.has(Flag::Driven)
    }

    /// Notes that the peer lives, where what it has sent waits unread.
    pub(crate) fn hears_unread(&self) -> bool {
        let unread = (self.is_unattended() || self.is_paused())
            && self.transport.wait(Interest::Read, Some(Duration::ZERO)).is_ok_and(|ready| ready.read);
        if unread {
            self.counters.alive();
        }
        unread
    }

    fn go_on(self: &Arc<Self>, visit: u32, step: ControlFlow<Stop>) {
        self.flush();
        match step {
            Break(stop) => self.stop_reading(stop),
            Continue(()) => {
                if let Err(error) = Attendant::get().watch_input(self, visit) {
                    self.cut(&mut self.outgoing.lock(), Cause::Io(error.kind()));
                }
            }
        }
    }

    /// Receives and parses until the socket has no more, there is enough, or others have waited long enough for this thread.
    fn receive_ahead(self: &Arc<Self>, deputy: &mut Deputy) -> ControlFlow<Stop> {
        let mut reads = 0;
        // What a layer has received already is not of the socket, and not much.
        while reads < READS || self.transport.has_input() {
            reads += 1;
            let closed = matches!(deputy.ahead.back(), Some(Ahead::Close));
            if !closed {
                self.parse_ahead(deputy)?;
            }
            let stop = match self.transport.receive(deputy.receiver.space(), Patience::DontWait) {
                Ok(0) if closed => return Break(Stop::End(Cause::PeerClose)),
                Ok(0) => Cause::EndOfStream,
                // What comes behind a Close is nothing (section 5.5.1).
                Ok(_) if closed => continue,
                Ok(count) => {
                    deputy.receiver.filled(count);
                    self.counters.heard(count);
                    continue;
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return Continue(()),
                    io::ErrorKind::Interrupted => continue,
                    kind => Cause::Io(kind),
                },
            };
            if !closed {
                deputy.ahead.push_back(Ahead::End(stop));
            }
            return Break(Stop::End(stop));
        }
        if matches!(deputy.ahead.back(), Some(Ahead::Close)) { Continue(()) } else { self.parse_ahead(deputy) }
    }

    /// Parses what was received, as far as it may be kept.
    fn parse_ahead(self: &Arc<Self>, deputy: &mut Deputy) -> ControlFlow<Stop> {
        let has_ended = matches!(deputy.ahead.back(), Some(Ahead::Close | Ahead::End(_)));
        if has_ended || self.flags.has(Flag::GivenUp) {
            return Break(Stop::Enough);
        }
        let wanted = {
            let outgoing = self.outgoing.lock();
            outgoing.reader_exists && self.reading_with(&outgoing) != Reading::ForClose
        };
        loop {
            let (messages, bytes) = deputy.waiting();
            if messages >= MESSAGES_AHEAD || bytes as u64 >= self.options.limits.message {
                return Break(Stop::Enough);
            }
            if wanted && deputy.receiver.is_before_close() && self.leaves_to_reader(deputy) {
                return Break(Stop::Enough);
            }
            match deputy.receiver.advance() {
                Ok(true) => {}
                Ok(false) => return Continue(()),
                // The receiver gives it again to the reader.
                Err(_) if wanted && self.leaves_to_reader(deputy) => return Break(Stop::Enough),
                Err(error) => {
                    deputy.ahead.push_back(Ahead::End(Cause::Failed(error)));
                    return Break(Stop::End(Cause::Failed(error)));
                }
            }
            let event = deputy.receiver.event().expect("advance() has returned true");
            self.react(&event);
            match event {
                Event::Ping(_) | Event::Pong(_) => {}
                Event::Close(_) => {
                    deputy.ahead.push_back(Ahead::Close);
                    return Break(Stop::Close);
                }
                // Nobody has asked for messages whose reader was dropped, or has paused.
                _ if !wanted => {}
                Event::Text(text) => deputy.ahead.push_back(Ahead::Message(Message::Text(text).into())),
                Event::Binary(bytes) => deputy.ahead.push_back(Ahead::Message(Message::Binary(bytes).into())),
                Event::Part(message, progress) => deputy.ahead.push_back(Ahead::Part(message.into(), progress)),
            }
        }
    }

    /// Tells whether the peer's last word, which is there, is left to the reader: whether something before it is not answered, and can
    /// be.
    fn leaves_to_reader(self: &Arc<Self>, deputy: &Deputy) -> bool {
        if self.asked.load(Ordering::Relaxed) == 0 && deputy.waiting().0 == 0 {
            return false;
        }
        let now = sys::now();
        let mut outgoing = self.outgoing.lock();
        if outgoing.is_closed() {
            return false;
        }
        let at = now.saturating_add(LEFT_FOR.min(self.options.close_timeout));
        // There is one last word: when the reader comes back and goes away again, the time goes on.
        let at = *outgoing.aside().last_word_at.get_or_insert(at);
        if now >= at {
            return false;
        }
        self.flags.raise(Flag::LeftToReader);
        drop(outgoing);
        Attendant::get().schedule(self, at);
        true
    }

    /// For the attendant: acts on the peer's last word, where the reader has not come to it in time.
    pub(crate) fn act_on_last_word(self: &Arc<Self>, now: Duration) {
        if !self.flags.has(Flag::LeftToReader) {
            return;
        }
        let outgoing = self.outgoing.lock();
        let is_due = !outgoing.ended && outgoing.last_word_at().is_some_and(|at| now >= at);
        drop(outgoing);
        if is_due && self.flags.lower(Flag::LeftToReader) {
            self.attend();
        }
    }

    /// Notes that this thread has sent something: where it has gone away with what was received, that is taken for the answer. What
    /// others send has nothing to do with it.
    #[inline]
    pub(crate) fn note_answer(&self) {
        let asked = self.asked.load(Ordering::Relaxed);
        if asked != 0 && asked == this_thread() {
            self.asked.store(0, Ordering::Relaxed);
        }
    }

    /// Does at once what the reader would do if it were there, and leaves it to find out later.
    fn stop_reading(self: &Arc<Self>, stop: Stop) {
        match stop {
            Stop::Enough => {}
            Stop::Close => self.leave_after_close(),
            Stop::End(Cause::Failed(error)) => self.fail_for_reader(error),
            Stop::End(BROKEN_LAYER) => self.leave_after_alert(),
            Stop::End(cause) => self.cut(&mut self.outgoing.lock(), cause),
        }
    }

    pub(crate) fn leave_after_close(self: &Arc<Self>) {
        self.end_by(sys::now().saturating_add(self.options.close_timeout));
        let mut outgoing = self.outgoing.lock();
        self.flush_locked(&mut outgoing);
        self.leave_if_done(&mut outgoing);
        if self.role == Role::Client && !outgoing.ended && self.transport.has_input() {
            // What a layer has received already, no poller would tell.
            drop(outgoing);
            self.attend_arrival(self.inbound.visits());
        } else if self.role == Role::Client
            && !outgoing.ended
            && let Err(error) = Attendant::get().watch_input(self, self.inbound.visits())
        {
            self.cut(&mut outgoing, Cause::Io(error.kind()));
        }
    }

    /// Ends the stream for a reader that is away, where the closing handshake is complete: once our Close is written, which may
    /// be later, behind what was sent before. A client ends its direction, and waits for the server to end the stream
    /// (RFC 6455, section 7.1.1).
    pub(crate) fn leave_if_done(&self, outgoing: &mut MutexGuard<'_, Outgoing>) {
        let is_done = outgoing.received().is_some() && outgoing.is_written();
        if is_done && self.is_unattended() {
            match self.role {
                Role::Server => self.cut(outgoing, Cause::PeerClose),
                // It fails where the server has ended the stream already, which is found by reading.
                Role::Client => drop(self.transport.shutdown(Shutdown::Write)),
            }
        }
    }

    pub(crate) fn fail_for_reader(self: &Arc<Self>, error: Error) {
        self.fail(error);
        self.flush();
        self.end_by(sys::now().saturating_add(LINGER));
    }

    /// Ends a connection whose layer has told the peer that it has broken its rules: the peer gets that, and not a reset.
    pub(crate) fn leave_after_alert(self: &Arc<Self>) {
        self.send_no_more(BROKEN_LAYER);
        // It fails where the peer has gone already.
        let _ = self.transport.shutdown(Shutdown::Write);
        self.end_by(sys::now().saturating_add(LINGER));
    }
}

/// The peer has broken the rules of a layer such as TLS, which has said so with the last word that it sends.
pub(crate) const BROKEN_LAYER: Cause = Cause::Io(io::ErrorKind::InvalidData);

/// The peer's last word is left to the reader for so long, and not longer than the close timeout: the peer waits for our Close, and
/// the most impatient of those in wide use do so for three seconds.
const LEFT_FOR: Duration = Duration::from_secs(2);
/// So many messages are read ahead while the reader is away.
const MESSAGES_AHEAD: usize = 16;
/// Reads in a row for one connection.
const READS: u32 = 4;

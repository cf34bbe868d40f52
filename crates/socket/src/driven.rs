//! A connection whose receiving half is driven by an event loop: what has arrived goes in, messages come out, nothing waits.

use std::fmt;
use std::io;
use std::net::Shutdown;
use std::ops::ControlFlow;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use raddle_core::{Message, Received};

use crate::ahead::BROKEN_LAYER;
use crate::attendant::Attendant;
use crate::end::{Cause, End};
use crate::flags::Flag;
use crate::link::Link;
use crate::pause::Reading;
use crate::reader::Reader;
use crate::seat::{Answers, Found, Seat};
use crate::transport::Patience;
use crate::writer::Writer;

/// The event loop that drives a connection; called from any thread, and never waits.
pub trait Driver: Send + Sync {
    /// A number that no other driver of this process has or had: an address is another's soon.
    fn id(&self) -> u64;

    /// Output waits for room: has [`Driven::write`] called once the socket can be written to.
    fn output_waits(&self, key: usize);

    /// There is output that another has left to the event loop: has [`Driven::write`] called soon.
    fn output_is_ready(&self, key: usize);

    /// What reading was [paused](Turn::Paused) for is over: has [`Driven::read`] called soon.
    fn input_is_wanted(&self, key: usize);

    /// The reader is wanted by another thread: has [`Driven::release`] called, and `heir` with what it gives. Dropped, that
    /// says that there is none.
    fn release(&self, key: usize, heir: Box<dyn FnOnce(Reader) + Send>);

    /// The reader comes back that was released.
    fn take_back(&self, key: usize, reader: Reader);

    /// The connection has ended.
    fn ended(&self, key: usize);
}

/// A connection in an event loop, which calls [`read`](Self::read) when there is something to read.
pub struct Driven {
    reader: Reader,
}

/// A message that [`Driven::read_behind`] has found.
pub enum Arrived<'a> {
    /// It is in the memory that was lent, or has to be copied.
    Lent(Message<'a>),
    /// It was received apart from that.
    Apart(Received),
}

/// What a read has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// All that had arrived was read, or as much of a large message as there was memory for: a poller tells of the rest.
    Done,
    /// All the memory was filled: more has probably arrived.
    Full,
    /// More was received than others should wait for, or than was wanted before this read has returned: to be followed by
    /// another read, whatever the socket is ready for.
    More,
    /// What was sent waits for room, and is as much as may wait: nothing is read until it has left.
    Held,
    /// The application has paused reading, another thread is amid a message, behind which the answers come, or the peer's last
    /// word waits for [answers](Writer::answer_later): nothing is read until [`Driver::input_is_wanted`].
    Paused,
}

impl Writer {
    /// Tells whether the connection is on its way to an event loop, which does not have it yet.
    #[doc(hidden)]
    pub fn is_on_its_way(&self) -> bool {
        let outgoing = self.link().outgoing.lock();
        outgoing.driver.is_none() && outgoing.reader_exists && !outgoing.ended && self.link().flags.has(Flag::Driven)
    }

    /// The event loop that has the reader, and the key of the connection there, for whoever has it [released](Driver::release):
    /// once, until the reader has come back. `None`: no event loop has it, or another has asked before.
    #[doc(hidden)]
    pub fn call_away(&self) -> Option<(Arc<dyn Driver>, usize)> {
        let link = self.link();
        let outgoing = link.outgoing.lock();
        let (driver, key) = outgoing.driver.as_ref()?;
        (link.flags.raise(Flag::CalledAway)).then(|| (Arc::clone(driver), *key))
    }

    /// Takes back what [`call_away`](Self::call_away) has asked for.
    #[doc(hidden)]
    pub fn stay(&self) {
        self.link().flags.lower(Flag::CalledAway);
    }
}

impl Driven {
    /// Takes a connection from its reader. From now on `driver` is told of what it needs, under `key`.
    ///
    /// To be followed by a [`read`](Self::read): something may have arrived already.
    pub fn new(mut reader: Reader, driver: Arc<dyn Driver>, key: usize) -> Self {
        reader.let_go();
        let link = reader.own_writer().link();
        link.flags.raise(Flag::Driven);
        // From here on the reader is always there, and nobody goes on in its absence.
        // SAFETY: a link has one reader, which is here, and nothing that it has lent is left.
        #[allow(unsafe_code)]
        let _inbound = unsafe { link.inbound.enter() };
        link.asked.store(0, Ordering::Relaxed);
        link.resume_message();
        link.flags.lower(Flag::CalledAway);
        let mut outgoing = link.outgoing.lock();
        if outgoing.ended {
            drop(outgoing);
            driver.ended(key);
        } else {
            if outgoing.stalled_until().is_some() {
                driver.output_waits(key);
            }
            outgoing.driver = Some((driver, key));
            drop(outgoing);
            // Nobody waits any more for the reader to be dropped.
            link.turn.notify_all();
        }
        Self { reader }
    }

    /// Gives the reader to a thread that is to have it; not where the connection has failed, or was closed by its peer.
    pub fn release(self) -> Result<Reader, Self> {
        if self.is_leaving() {
            self.link().flags.lower(Flag::CalledAway);
            return Err(self);
        }
        Ok(self.into_reader())
    }

    /// Gives the connection to a thread that reads it.
    pub fn into_reader(self) -> Reader {
        let link = self.link();
        // Until that thread asks for it.
        link.pause_message();
        let mut outgoing = link.outgoing.lock();
        outgoing.driver = None;
        outgoing.is_summoned = false;
        link.flush_locked(&mut outgoing);
        drop(outgoing);
        link.flags.lower(Flag::Driven);
        // SAFETY: a link has one reader, which is here, has entered, and has let go of what it was lent.
        #[allow(unsafe_code)]
        let inbound = unsafe { link.inbound.stay() };
        inbound.get_or_insert_with(|| Box::new(link.new_inbound()));
        link.inbound.leave();
        Attendant::get().list_reader(link);
        self.reader
    }

    /// A writer of the connection.
    pub fn writer(&self) -> &Writer {
        self.reader.own_writer()
    }

    fn link(&self) -> &Arc<Link> {
        self.writer().link()
    }

    /// What a poller can watch.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.link().transport.descriptor()
    }

    /// How the connection has ended.
    pub fn end(&self) -> End {
        self.link().end()
    }

    /// Reads once, into `memory`, and gives each message that is complete then to `deliver`, until that breaks off. What is
    /// sent meanwhile on this thread leaves together at the end.
    ///
    /// `memory` is lent, and is given back; what is torn is kept by the connection itself.
    pub fn read(
        &mut self,
        memory: &mut Vec<u8>,
        mut deliver: impl FnMut(&Writer, Message<'_>) -> ControlFlow<()>,
    ) -> Turn {
        self.read_once(memory, &mut 0, Answers::Within, |writer, arrived| {
            let message = match &arrived {
                Arrived::Lent(message) => *message,
                Arrived::Apart(received) => received.message(),
            };
            deliver(writer, message)
        })
    }

    /// Reads as [`read`](Self::read) does, but leaves the first `used` bytes of the memory alone, and counts what it has used
    /// itself: so what was delivered stays there. A message that was received elsewhere is given with that memory.
    ///
    /// Messages are answered when it has returned. So where a Close, or what fails the connection, has come with messages, it
    /// is left to the next read, as [`Turn::More`] says: the answers are sent before the last word.
    pub fn read_behind(
        &mut self,
        memory: &mut Vec<u8>,
        used: &mut usize,
        deliver: impl FnMut(&Writer, Arrived<'_>) -> ControlFlow<()>,
    ) -> Turn {
        self.read_once(memory, used, Answers::Behind, deliver)
    }

    fn read_once(
        &mut self,
        memory: &mut Vec<u8>,
        used: &mut usize,
        answers: Answers,
        mut deliver: impl FnMut(&Writer, Arrived<'_>) -> ControlFlow<()>,
    ) -> Turn {
        if self.is_leaving() || self.link().flags.has(Flag::GivenUp) {
            self.drop_input();
            return self.discard(&mut memory[*used..]);
        }
        let writer = self.writer();
        let link = writer.link();
        if link.flags.has(Flag::Abandoned) {
            return Turn::Done;
        }
        if link.flags.has(Flag::CalledAway) {
            return Turn::More;
        }
        let reading = link.reading();
        if reading == Reading::Paused {
            // What is not read cannot be late.
            link.pause_message();
            return Turn::Paused;
        }
        if link.flags.has(Flag::Overfull) && !link.make_room() {
            // What is not read cannot be late.
            link.pause_message();
            return link.held();
        }
        let mut seat = Seat::take(link, memory, used, answers);
        let read = loop {
            match seat.advance(reading) {
                Ok(Found::Message) if reading == Reading::ForClose => {}
                Ok(Found::Message) => {
                    if deliver(writer, seat.arrived()).is_break() {
                        break Ok(seat.stop());
                    }
                }
                Ok(Found::Nothing(turn)) => break Ok(turn),
                Err(cause) => break Err(cause),
            }
        };
        drop(seat);
        match read {
            Ok(turn) => {
                if link.cork.is_held() {
                    link.flush();
                }
                turn
            }
            Err(cause) => {
                link.flags.raise(Flag::Leaving);
                self.leave(cause);
                if link.transport.has_input() { Turn::More } else { Turn::Done }
            }
        }
    }

    /// Writes what waits, now that there is room. `true`: all of it has left.
    pub fn write(&self) -> bool {
        let link = self.link();
        let mut outgoing = link.outgoing.lock();
        outgoing.is_summoned = false;
        link.flush_locked(&mut outgoing);
        let is_written = outgoing.is_written() && !outgoing.ended;
        let has_postponed = outgoing.has_postponed();
        drop(outgoing);
        if is_written {
            if !has_postponed {
                link.flags.lower(Flag::Overfull);
            }
            self.half_close();
        }
        is_written
    }

    /// Gives back what was kept of the input, of which nothing is wanted any more.
    fn drop_input(&mut self) {
        // SAFETY: a link has one reader, which is here, has entered, and has let go of what it was lent.
        #[allow(unsafe_code)]
        let place = unsafe { self.link().inbound.stay() };
        if place.take().is_some() {
            self.link().count_input(0);
        }
    }

    fn is_leaving(&self) -> bool {
        self.link().flags.has(Flag::Leaving)
    }

    fn leave(&self, cause: Cause) {
        let link = self.link();
        match cause {
            Cause::PeerClose => link.leave_after_close(),
            Cause::Failed(error) => {
                link.fail_for_reader(error);
                self.half_close();
            }
            BROKEN_LAYER => link.leave_after_alert(),
            cause => link.cut(&mut link.outgoing.lock(), cause),
        }
    }

    /// Ends the sending side once our last word is written, so that the peer can go.
    fn half_close(&self) {
        if !self.is_leaving() {
            return;
        }
        let link = self.link();
        let outgoing = link.outgoing.lock();
        if !outgoing.ended && outgoing.is_written() {
            // It fails where the peer has gone already.
            let _ = link.transport.shutdown(Shutdown::Write);
        }
    }

    /// Reads on behind the end, so that the peer gets our last word and not a reset.
    fn discard(&self, memory: &mut [u8]) -> Turn {
        let link = self.link();
        match link.transport.receive(memory, Patience::DontWait) {
            // What a layer has received already, no poller would tell.
            Ok(1..) if link.transport.has_input() => Turn::More,
            Ok(count @ 1..) if count == memory.len() => Turn::Full,
            Ok(1..) => Turn::Done,
            Err(error) if is_nothing(&error) => Turn::Done,
            result => {
                let mut outgoing = link.outgoing.lock();
                // The peer has ended its side only, and may still take what waits for it. That has a deadline.
                if matches!(result, Ok(0)) && !outgoing.ended && !outgoing.is_written() {
                    return Turn::Held;
                }
                link.cut(&mut outgoing, Cause::EndOfStream);
                Turn::Done
            }
        }
    }
}

impl Link {
    /// Why nothing is read: because the peer does not take what waits for it, or because another thread is amid a message.
    pub(crate) fn held(&self) -> Turn {
        if self.outgoing.lock().has_postponed() { Turn::Paused } else { Turn::Held }
    }

    /// Writes what waits beyond the limit. `false`: the peer does not take it.
    pub(crate) fn make_room(self: &Arc<Self>) -> bool {
        self.flush();
        let outgoing = self.outgoing.lock();
        let has_room = outgoing.queued() <= self.options.outgoing_limit && !outgoing.has_postponed();
        drop(outgoing);
        if has_room {
            self.flags.lower(Flag::Overfull);
        }
        has_room
    }
}

impl fmt::Debug for Arrived<'_> {
    // Without the payload.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if matches!(self, Self::Lent(_)) { "Lent" } else { "Apart" })
    }
}

impl fmt::Debug for Driven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driven").field("leaving", &self.is_leaving()).finish_non_exhaustive()
    }
}

pub(crate) fn is_nothing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

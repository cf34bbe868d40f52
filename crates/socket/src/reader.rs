//! The reading half: messages out, one at a time, borrowed.

use std::fmt;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use raddle_core::{Close, Event, Message, Progress};

use crate::attendant::Attendant;
use crate::cork::this_thread;
use crate::end::{Cause, End};
use crate::flags::Flag;
use crate::info::Info;
use crate::lease::Ahead;
use crate::link::{Link, State};
use crate::pages::give_back;
use crate::pause::{Paused, Reading};
use crate::receiving::{Arrived, LATE_LOOKS, Until};
use crate::writer::Writer;

/// The half of a connection that receives. One thread has it; it waits in [`next_message`](Self::next_message).
///
/// While it waits, and while it parses, it answers Pings and the peer's Close, and takes part in keepalive.
pub struct Reader {
    writer: Writer,
    /// Apart, because nearly no connection has any at a time.
    kept: Option<Box<Kept>>,
}

/// What a reader keeps for its next calls.
#[derive(Default)]
struct Kept {
    /// The message that was read ahead and is lent.
    lent: Option<Ahead>,
    done: Option<End>,
}

/// What [`Reader::next_message_within`] and [`Reader::next_message_or_signal`] have found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next<'a> {
    /// A message.
    Message(Message<'a>),
    /// The connection was closed.
    Closed,
    /// Nothing in the time given. Nothing is lost: the next call goes on.
    Timeout,
    /// A signal handler has run on this thread meanwhile, which only [`Reader::next_message_or_signal`] tells. Nothing is lost.
    Signal,
}

/// A part of a message, from [`Reader::next_part`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part<'a> {
    /// Its payload; a text is cut between characters.
    pub payload: Message<'a>,
    /// Whether more of the message follows.
    pub progress: Progress,
}

/// What [`Reader::next_part_or_signal`] has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextPart<'a> {
    /// A part of a message.
    Part(Part<'a>),
    /// The connection was closed.
    Closed,
    /// Nothing in the time given. Nothing is lost: the next call goes on.
    Timeout,
    /// A signal handler has run on this thread meanwhile. Nothing is lost.
    Signal,
}

/// What the parser has stopped at.
enum Step {
    Message,
    /// A part of a message.
    Part(Progress),
    Closed,
    Timeout,
    Signal,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Delivery {
    Whole,
    Parts,
}

impl Reader {
    /// The first reader of a connection, which has one at a time.
    pub(crate) fn new(link: Arc<Link>) -> Self {
        Self { writer: Writer::new(link), kept: None }
    }

    /// Waits until the reader of a connection is dropped, and takes its place. `None`: an event loop has it.
    pub(crate) fn succeed(link: &Arc<Link>) -> Option<Self> {
        let mut outgoing = link.outgoing.lock();
        while outgoing.reader_exists {
            if link.flags.has(Flag::Driven) {
                return None;
            }
            link.turn.wait(&mut outgoing);
        }
        outgoing.reader_exists = true;
        let ended = outgoing.ended;
        drop(outgoing);
        let kept = ended.then(|| Box::new(Kept { lent: None, done: Some(link.end()) }));
        Some(Self { writer: Writer::new(Arc::clone(link)), kept })
    }

    /// Waits for the next message. `None`: the connection was closed, by a closing handshake.
    ///
    /// The message is borrowed until the next call. Every other end of the connection is an error, which further calls
    /// give again. What is left of a message that [`next_part`](Self::next_part) has begun is passed over.
    ///
    /// While the thread that got a message is away with it, what the peer does last, such as a Close, waits for its answer: until this
    /// thread sends a message on the connection or comes back, and two seconds at most. What other threads send, and publications, are
    /// no answers.
    pub fn next_message(&mut self) -> Result<Option<Message<'_>>, End> {
        match self.step(Delivery::Whole, Until::NEVER)? {
            Step::Message => Ok(self.last_message()),
            _ => Ok(None),
        }
    }

    /// Waits for the next message, at most for `timeout`. A message that is already there comes with a timeout of 0 too.
    pub fn next_message_within(&mut self, timeout: Duration) -> Result<Next<'_>, End> {
        self.next(Until::after(timeout))
    }

    /// Waits as [`next_message_within`](Self::next_message_within) does, and returns [`Next::Signal`] when a signal handler has
    /// run on this thread while it waited: for hosts that look after their signals themselves. Without a timeout that is told
    /// of handlers that were set without SA_RESTART only.
    pub fn next_message_or_signal(&mut self, timeout: Option<Duration>) -> Result<Next<'_>, End> {
        self.next(Until { signal: true, ..timeout.map_or(Until::NEVER, Until::after) })
    }

    fn next(&mut self, until: Until) -> Result<Next<'_>, End> {
        Ok(match self.step(Delivery::Whole, until)? {
            Step::Message | Step::Part(_) => Next::Message(self.last_message().expect("the step has found one")),
            Step::Closed => Next::Closed,
            Step::Timeout => Next::Timeout,
            Step::Signal => Next::Signal,
        })
    }

    /// Gives the next message, where it has come together with the last one: nothing is read, and nothing waited for. `None`:
    /// there is none, or something else is before it, which the next call that reads takes.
    ///
    /// For whoever takes messages by the batch. What this thread sends is held back as while more messages are there, until the
    /// next call that reads.
    pub fn next_received(&mut self) -> Result<Option<Message<'_>>, End> {
        if self.end().is_some() {
            return Ok(None);
        }
        match self.step(Delivery::Whole, Until::NOTHING)? {
            Step::Message => Ok(self.last_message()),
            _ => Ok(None),
        }
    }

    /// Lends the message once more that the last call has given. `None`: it has given none, or a part of one.
    pub fn last_message(&mut self) -> Option<Message<'_>> {
        match self.lent() {
            Some(Ahead::Message(message)) => return Some(message.lend()),
            Some(_) => return None,
            None => {}
        }
        // SAFETY: a link has one reader, which is borrowed for as long as the message is.
        #[allow(unsafe_code)]
        let inbound = unsafe { self.link().inbound.lent() };
        inbound.and_then(|inbound| inbound.receiver.message())
    }

    /// Waits for the next part of a message, for messages larger than memory; `None` as with
    /// [`next_message`](Self::next_message). The limits hold for the whole message all the same.
    pub fn next_part(&mut self) -> Result<Option<Part<'_>>, End> {
        match self.next_part_until(Until::NEVER)? {
            NextPart::Part(part) => Ok(Some(part)),
            _ => Ok(None),
        }
    }

    /// Waits for the next part of a message as [`next_part`](Self::next_part) does, as long as
    /// [`next_message_or_signal`](Self::next_message_or_signal) would.
    pub fn next_part_or_signal(&mut self, timeout: Option<Duration>) -> Result<NextPart<'_>, End> {
        self.next_part_until(Until { signal: true, ..timeout.map_or(Until::NEVER, Until::after) })
    }

    fn next_part_until(&mut self, until: Until) -> Result<NextPart<'_>, End> {
        Ok(match self.step(Delivery::Parts, until)? {
            Step::Message => NextPart::Part(Part { payload: self.last_part(), progress: Progress::Last }),
            Step::Part(progress) => NextPart::Part(Part { payload: self.last_part(), progress }),
            Step::Closed => NextPart::Closed,
            Step::Timeout => NextPart::Timeout,
            Step::Signal => NextPart::Signal,
        })
    }

    /// A writer of this connection.
    pub fn writer(&self) -> Writer {
        self.writer.clone()
    }

    /// Lets go of what was lent, before somebody else parses.
    pub(crate) fn let_go(&mut self) {
        self.kept = None;
    }

    /// As [`writer`](Self::writer), without a count of it.
    pub(crate) fn own_writer(&self) -> &Writer {
        &self.writer
    }

    fn link(&self) -> &Arc<Link> {
        self.writer.link()
    }

    /// What is known of the connection.
    pub fn info(&self) -> &Info {
        self.writer.info()
    }

    /// What a poller can watch.
    #[doc(hidden)]
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.link().transport.descriptor()
    }

    /// Tells whether `writer` is of the same connection.
    pub(crate) fn is_of(&self, writer: &Writer) -> bool {
        self.writer.is_same(writer)
    }

    /// Where the connection stands.
    pub fn state(&self) -> State {
        self.link().state()
    }

    /// How the connection has ended; `None` while the reader has not seen its end.
    pub fn end(&self) -> Option<&End> {
        self.kept.as_ref()?.done.as_ref()
    }

    /// Carries out the closing handshake: sends a Close, if none was sent, and waits for the peer's. What else it still
    /// sends is passed over. Takes at most the close timeout, and the time to write what was sent before. A Close that may not
    /// be sent, for its code or a reason of more than 123 bytes, is replaced by 1011.
    pub fn close(mut self, close: Close<'_>) -> End {
        self.link().close_somehow(close, Cause::LocalClose);
        self.finish()
    }

    /// Ends the connection with a Close for a handler that has failed, and says so as its cause.
    pub fn fail(mut self, close: Close<'_>) -> End {
        self.link().close_somehow(close, Cause::HandlerFailed);
        self.finish()
    }

    fn finish(&mut self) -> End {
        loop {
            match self.next_message() {
                Ok(Some(_)) => {}
                Ok(None) => return self.end().expect("the end was seen").clone(),
                Err(end) => return end,
            }
        }
    }

    /// The message, or the part of one, that the last step has stopped at.
    fn last_part(&mut self) -> Message<'_> {
        if let Some(Ahead::Message(message) | Ahead::Part(message, _)) = self.lent() {
            return message.lend();
        }
        // SAFETY: a link has one reader, which is borrowed for as long as the event is.
        #[allow(unsafe_code)]
        let inbound = unsafe { self.link().inbound.lent() };
        match inbound.and_then(|inbound| inbound.receiver.event()) {
            Some(Event::Text(text)) => Message::Text(text),
            Some(Event::Binary(bytes)) => Message::Binary(bytes),
            Some(Event::Part(part, _)) => part,
            _ => unreachable!("the step has found one"),
        }
    }

    /// The message that was read ahead and is lent.
    fn lent(&self) -> Option<&Ahead> {
        self.kept.as_ref()?.lent.as_ref()
    }

    /// Ends the connection, and keeps how.
    fn wind_up(&mut self, cause: Option<Cause>) -> End {
        let end = self.link().wind_up(cause);
        self.kept.get_or_insert_default().done = Some(end.clone());
        end
    }

    /// Parses and reads until there is something to say, and leaves the parser to others while the application has it.
    fn step(&mut self, delivery: Delivery, until: Until) -> Result<Step, End> {
        if let Some(end) = self.end() {
            return if end.is_clean() { Ok(Step::Closed) } else { Err(end.clone()) };
        }
        loop {
            match self.parse(delivery, until) {
                // What is left of a message that was begun in parts is not asked for any more.
                Ok(Step::Part(_)) if delivery == Delivery::Whole => {}
                Ok(Step::Closed) => {
                    self.wind_up(None);
                    return Ok(Step::Closed);
                }
                Ok(step) => return Ok(step),
                Err(cause) => {
                    let end = self.wind_up(Some(cause));
                    // Somebody may have cut it when the closing handshake was complete.
                    return if end.is_clean() { Ok(Step::Closed) } else { Err(end) };
                }
            }
        }
    }

    fn parse(&mut self, delivery: Delivery, until: Until) -> Result<Step, Cause> {
        let (link, kept) = (self.writer.link(), &mut self.kept);
        if let Some(kept) = kept {
            kept.lent = None;
        }
        if link.flags.has(Flag::Abandoned) {
            return Err(Cause::LocalClose);
        }
        if link.flags.has(Flag::GivenUp) {
            return Err(link.given_up_for());
        }
        // SAFETY: a link has one reader, which is borrowed here, and has let go of what it was lent.
        #[allow(unsafe_code)]
        let inbound = unsafe { link.inbound.enter() };
        let inbound = inbound.get_or_insert_with(|| Box::new(link.new_inbound()));
        if until.nothing && !inbound.has_message() {
            link.inbound.leave();
            return Ok(Step::Timeout);
        }
        link.resume_message();
        let mut looks = LATE_LOOKS;
        let step = loop {
            let paused = if link.is_paused() { link.await_reading(until)? } else { Paused::No(Reading::Wanted) };
            let reading = match paused {
                Paused::No(reading) => reading,
                Paused::Timeout => break Step::Timeout,
                Paused::Signal => break Step::Signal,
            };
            match inbound.ahead.pop_front() {
                Some(Ahead::Close) => return Ok(Step::Closed),
                Some(Ahead::End(cause)) => return Err(cause),
                Some(_) if reading == Reading::ForClose => continue,
                Some(message) => {
                    let step = match message {
                        Ahead::Part(_, progress) => Step::Part(progress),
                        _ => Step::Message,
                    };
                    kept.get_or_insert_default().lent = Some(message);
                    break step;
                }
                None => {}
            }
            let found = match delivery {
                Delivery::Whole => inbound.receiver.advance(),
                Delivery::Parts => inbound.receiver.advance_part(),
            };
            if until.nothing && !matches!(found, Ok(true)) {
                // An error is final, and given again by the call that may wait.
                break Step::Timeout;
            }
            if !found.map_err(Cause::Failed)? {
                match link.read(&mut inbound.receiver, until, &mut looks)? {
                    Arrived::Bytes => continue,
                    Arrived::Timeout => break Step::Timeout,
                    Arrived::Signal => break Step::Signal,
                }
            }
            if inbound.receiver.is_whole_message() {
                link.counters.message();
                if reading == Reading::ForClose {
                    continue;
                }
                break Step::Message;
            }
            let event = inbound.receiver.event().expect("advance() has returned true");
            link.react(&event);
            match event {
                Event::Part(..) if reading == Reading::ForClose => {}
                Event::Part(_, progress) => break Step::Part(progress),
                Event::Close(_) => return Ok(Step::Closed),
                Event::Ping(_) => link.flush_full_cork(),
                Event::Text(_) | Event::Binary(_) | Event::Pong(_) => {}
            }
        };
        let is_found = matches!(step, Step::Message | Step::Part(_));
        // The time for a message is counted while it is waited for.
        if matches!(step, Step::Message | Step::Part(Progress::Last)) {
            link.note_message_complete();
        } else {
            link.pause_message();
        }
        // What is sent now can leave together with the answers to what is already there, be it in a layer of the transport.
        let is_more_there = inbound.receiver.has_frame() || !inbound.ahead.is_empty() || link.transport.has_input();
        // Nobody would let it go in a forked child, whose thread is another.
        let may_hold = || link.cork.holds_this_thread() || Attendant::get().is_here();
        if is_found && is_more_there && may_hold() {
            link.cork.put();
        } else if !until.nothing {
            link.cork.pull();
        }
        if link.cork.is_held() {
            link.list_cork();
        }
        // Whoever takes messages by the batch answers them when there are no more.
        if is_found || !until.nothing {
            let asked = if is_found { this_thread() } else { 0 };
            link.asked.store(asked, Ordering::Relaxed);
        }
        link.inbound.leave();
        if !link.listing.is_listed() {
            Attendant::get().list_reader(link);
        }
        Ok(step)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let link = self.writer.link();
        link.cork.pull();
        // In a forked child it is the parent's, which writes it itself.
        if link.cork.is_held() && Attendant::get().is_here() {
            link.flush();
        }
        // What waits goes with the reader. The attendant finds that it was here, and reads on where it had enough.
        // SAFETY: a link has one reader, which is this one, and nothing that it has lent is left.
        #[allow(unsafe_code)]
        let inbound = unsafe { link.inbound.enter() };
        let inbound = inbound.get_or_insert_with(|| Box::new(link.new_inbound()));
        inbound.ahead.retain(|waiting| matches!(waiting, Ahead::Close | Ahead::End(_)));
        link.asked.store(0, Ordering::Relaxed);
        inbound.receiver.shrink_with(give_back);
        // With the event loop that has had it, or was to have it: from now on it is the attendant that answers, and that writes.
        let is_left_alone = link.flags.lower(Flag::Driven);
        let mut outgoing = link.outgoing.lock();
        outgoing.reader_exists = false;
        let driver = outgoing.driver.take();
        outgoing.is_summoned = false;
        let attachment = outgoing.take_attachment();
        link.inbound.leave();
        if is_left_alone && Attendant::get().is_here() {
            link.flush_locked(&mut outgoing);
        }
        drop(outgoing);
        link.turn.notify_all();
        if is_left_alone {
            Attendant::get().list_reader(link);
        }
        drop(driver);
        // It is the application's, which may do in its drop whatever it likes.
        drop(attachment);
    }
}

impl fmt::Debug for Reader {
    // Without payloads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("end", &self.end()).finish_non_exhaustive()
    }
}

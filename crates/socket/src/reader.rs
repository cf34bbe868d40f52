//! The reading half: messages out, one at a time, borrowed.

use std::fmt;
use std::io;
use std::net::Shutdown;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use raddle_core::{Close, Event, Message, Progress, Receiver, Role};

use crate::attendant::Attendant;
use crate::end::{Cause, End};
use crate::info::Info;
use crate::lease::Ahead;
use crate::link::{Link, State};
use crate::pause::Reading;
use crate::sys;
use crate::transport::{Interest, Patience};
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

/// What [`Reader::next_message_within`] has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next<'a> {
    /// A message.
    Message(Message<'a>),
    /// The connection was closed.
    Closed,
    /// Nothing in the time given. Nothing is lost: the next call goes on.
    Timeout,
}

/// A part of a message, from [`Reader::next_part`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part<'a> {
    /// Its payload; a text is cut between characters.
    pub payload: Message<'a>,
    /// Whether more of the message follows.
    pub progress: Progress,
}

/// What the parser has stopped at.
enum Step {
    /// A message, or a part of one.
    Message,
    Closed,
    Timeout,
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

    /// Waits until the reader of a connection is dropped, and takes its place.
    pub(crate) fn succeed(link: &Arc<Link>) -> Self {
        let mut outgoing = link.outgoing.lock();
        while outgoing.reader_exists {
            link.turn.wait(&mut outgoing);
        }
        outgoing.reader_exists = true;
        let ended = outgoing.ended;
        drop(outgoing);
        let kept = ended.then(|| Box::new(Kept { lent: None, done: Some(link.end()) }));
        Self { writer: Writer::new(Arc::clone(link)), kept }
    }

    /// Waits for the next message. `None`: the connection was closed, by a closing handshake.
    ///
    /// The message is borrowed until the next call. Every other end of the connection is an error, which further calls
    /// give again. What is left of a message that [`next_part`](Self::next_part) has begun is passed over.
    pub fn next_message(&mut self) -> Result<Option<Message<'_>>, End> {
        match self.step(Delivery::Whole, None)? {
            Step::Message => Ok(Some(self.message().0)),
            Step::Closed | Step::Timeout => Ok(None),
        }
    }

    /// Waits for the next message, at most for `timeout`. A message that is already there comes with a timeout of 0 too.
    pub fn next_message_within(&mut self, timeout: Duration) -> Result<Next<'_>, End> {
        let deadline = sys::now().saturating_add(timeout);
        match self.step(Delivery::Whole, Some(deadline))? {
            Step::Message => Ok(Next::Message(self.message().0)),
            Step::Closed => Ok(Next::Closed),
            Step::Timeout => Ok(Next::Timeout),
        }
    }

    /// Waits for the next part of a message, for messages larger than memory; `None` as with
    /// [`next_message`](Self::next_message). The limits hold for the whole message all the same.
    pub fn next_part(&mut self) -> Result<Option<Part<'_>>, End> {
        match self.step(Delivery::Parts, None)? {
            Step::Message => {
                let (payload, progress) = self.message();
                Ok(Some(Part { payload, progress: progress.unwrap_or(Progress::Last) }))
            }
            Step::Closed | Step::Timeout => Ok(None),
        }
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
        writer.is_of(self.link())
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

    /// The message that the last step has stopped at; its progress, where it is a part of one.
    fn message(&mut self) -> (Message<'_>, Option<Progress>) {
        match self.lent() {
            Some(Ahead::Message(message)) => return (message.lend(), None),
            Some(Ahead::Part(message, progress)) => return (message.lend(), Some(*progress)),
            _ => {}
        }
        // SAFETY: a link has one reader, which is borrowed for as long as the event is.
        #[allow(unsafe_code)]
        let inbound = unsafe { self.link().inbound.lent() };
        match inbound.and_then(|inbound| inbound.receiver.event()) {
            Some(Event::Text(text)) => (Message::Text(text), None),
            Some(Event::Binary(bytes)) => (Message::Binary(bytes), None),
            Some(Event::Part(message, progress)) => (message, Some(progress)),
            _ => unreachable!("the step has found a message"),
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
    fn step(&mut self, delivery: Delivery, deadline: Option<Duration>) -> Result<Step, End> {
        if let Some(end) = self.end() {
            return if end.is_clean() { Ok(Step::Closed) } else { Err(end.clone()) };
        }
        loop {
            let step = self.parse(delivery, deadline);
            match step {
                Ok(Step::Message) => {
                    // What is left of a message that was begun in parts is not asked for any more.
                    if delivery == Delivery::Whole && self.message().1.is_some() {
                        continue;
                    }
                    return Ok(Step::Message);
                }
                Ok(Step::Timeout) => return Ok(Step::Timeout),
                Ok(Step::Closed) => {
                    self.wind_up(None);
                    return Ok(Step::Closed);
                }
                Err(cause) => {
                    let end = self.wind_up(Some(cause));
                    // Somebody may have cut it when the closing handshake was complete.
                    return if end.is_clean() { Ok(Step::Closed) } else { Err(end) };
                }
            }
        }
    }

    fn parse(&mut self, delivery: Delivery, deadline: Option<Duration>) -> Result<Step, Cause> {
        let (link, kept) = (self.writer.link(), &mut self.kept);
        if let Some(kept) = kept {
            kept.lent = None;
        }
        if link.abandoned.load(Ordering::Relaxed) {
            return Err(Cause::LocalClose);
        }
        if link.is_given_up.load(Ordering::Relaxed) {
            return Err(link.given_up_for());
        }
        // SAFETY: a link has one reader, which is borrowed here, and has let go of what it was lent.
        #[allow(unsafe_code)]
        let inbound = unsafe { link.inbound.enter() };
        let inbound = inbound.get_or_insert_with(|| Box::new(link.new_inbound()));
        link.resume_message();
        let mut looks = LATE_LOOKS;
        let step = loop {
            let reading = if link.is_paused() { link.await_reading(deadline) } else { Some(Reading::Wanted) };
            let Some(reading) = reading else { break Step::Timeout };
            match inbound.ahead.pop_front() {
                Some(Ahead::Close) => return Ok(Step::Closed),
                Some(Ahead::End(cause)) => return Err(cause),
                Some(_) if reading == Reading::ForClose => continue,
                Some(message) => {
                    kept.get_or_insert_default().lent = Some(message);
                    break Step::Message;
                }
                None => {}
            }
            let found = match delivery {
                Delivery::Whole => inbound.receiver.advance(),
                Delivery::Parts => inbound.receiver.advance_part(),
            };
            if !found.map_err(Cause::Failed)? {
                if !link.read(&mut inbound.receiver, deadline, &mut looks)? {
                    break Step::Timeout;
                }
                continue;
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
                Event::Text(_) | Event::Binary(_) | Event::Part(..) if reading == Reading::ForClose => {}
                Event::Text(_) | Event::Binary(_) | Event::Part(..) => break Step::Message,
                Event::Close(_) => return Ok(Step::Closed),
                Event::Ping(_) => link.flush_full_cork(),
                Event::Pong(_) => {}
            }
        };
        // The time for a message is counted while it is waited for.
        let lent = kept.as_ref().and_then(|kept| kept.lent.as_ref());
        let amid_part = inbound.receiver.is_amid_part() || matches!(lent, Some(Ahead::Part(_, Progress::More)));
        if matches!(step, Step::Message) && !amid_part {
            link.note_message_complete();
        } else {
            link.pause_message();
        }
        // What is sent now can leave together with the answers to what is already there.
        if matches!(step, Step::Message) && (inbound.receiver.has_frame() || !inbound.ahead.is_empty()) {
            link.cork.put();
        } else {
            link.cork.pull();
        }
        if link.cork.is_held() {
            link.list_cork();
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
        if link.cork.is_held() {
            link.flush();
        }
        // What waits goes with the reader. The attendant finds that it was here, and reads on where it had enough.
        // SAFETY: a link has one reader, which is this one, and nothing that it has lent is left.
        #[allow(unsafe_code)]
        let inbound = unsafe { link.inbound.enter() };
        let inbound = inbound.get_or_insert_with(|| Box::new(link.new_inbound()));
        inbound.ahead.retain(|waiting| matches!(waiting, Ahead::Close | Ahead::End(_)));
        inbound.receiver.shrink();
        let mut outgoing = link.outgoing.lock();
        outgoing.reader_exists = false;
        link.inbound.leave();
        drop(outgoing);
        link.turn.notify_all();
    }
}

impl fmt::Debug for Reader {
    // Without payloads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("end", &self.end()).finish_non_exhaustive()
    }
}

impl Link {
    /// Reads more. `false`: the deadline has passed, and `looks` at what had arrived before it.
    fn read(
        self: &Arc<Self>,
        receiver: &mut Receiver,
        deadline: Option<Duration>,
        looks: &mut u32,
    ) -> Result<bool, Cause> {
        let amid_message = receiver.is_amid_message();
        if amid_message {
            self.note_amid_message();
        }
        self.count_input(receiver.kept());
        // The answers leave before the thread may wait; together with those to what is known to have arrived already.
        let hungry = deadline.is_none() && receiver.is_hungry() && self.cork.is_held();
        if hungry && let Ok(count @ 1..) = self.transport.receive(receiver.space(), Patience::DontWait) {
            receiver.filled(count);
            self.counters.heard(count);
            return Ok(true);
        }
        if self.cork.is_held() {
            self.flush();
        }
        loop {
            let patience = match deadline {
                Some(deadline) => {
                    let left = deadline.saturating_sub(sys::now());
                    if left.is_zero() {
                        let Some(fewer) = looks.checked_sub(1) else { return Ok(false) };
                        *looks = fewer;
                    }
                    if !self.wait_readable(left)? {
                        return Ok(false);
                    }
                    Patience::DontWait
                }
                None if receiver.capacity() > IDLE_CAPACITY => Patience::BlockFor(IDLE),
                None => Patience::Block,
            };
            match self.transport.receive(receiver.space(), patience) {
                Ok(0) => return Err(Cause::EndOfStream),
                Ok(_) if self.is_given_up.load(Ordering::Relaxed) => return Err(self.given_up_for()),
                Ok(count) => {
                    receiver.filled(count);
                    self.counters.heard(count);
                    return Ok(true);
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock if matches!(patience, Patience::BlockFor(_)) && !amid_message => {
                        receiver.shrink();
                        self.outgoing.lock().shrink();
                    }
                    io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock => {}
                    kind => return Err(Cause::Io(kind)),
                },
            }
        }
    }

    /// Why the connection was given up.
    fn given_up_for(&self) -> Cause {
        self.outgoing.lock().cause().unwrap_or(Cause::MessageTimeout)
    }

    fn wait_readable(&self, timeout: Duration) -> Result<bool, Cause> {
        match self.transport.wait(Interest::Read, Some(timeout)) {
            Ok(ready) => Ok(ready.read),
            // A read that does not wait says the same again, or better.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(true),
            Err(error) => Err(Cause::Io(error.kind())),
        }
    }

    /// Ends a connection whose reader has stopped: for `cause`, or because the peer's Close was received.
    fn wind_up(self: &Arc<Self>, cause: Option<Cause>) -> End {
        self.cork.pull();
        let now = sys::now();
        let linger = match cause {
            // The closing handshake is complete with our Close. The server ends the stream, and the client waits for
            // that (section 7.1.1).
            None => {
                self.drain(now.saturating_add(self.options.close_timeout));
                (self.role == Role::Client).then_some(self.options.close_timeout)
            }
            Some(cause @ (Cause::Failed(_) | Cause::MessageTimeout | Cause::OverBudget)) => {
                if let Cause::Failed(error) = cause {
                    self.fail(error);
                }
                self.drain(now + LINGER);
                Some(LINGER)
            }
            Some(_) => None,
        };
        if matches!(cause, None | Some(Cause::Failed(_) | Cause::MessageTimeout | Cause::OverBudget)) {
            // What the peer still sends is read, so that it gets our Close and not a reset.
            let _ = self.transport.shutdown(Shutdown::Write);
            self.discard(linger.unwrap_or(Duration::ZERO));
        }
        self.cut(&mut self.outgoing.lock(), cause.unwrap_or(Cause::PeerClose));
        self.end()
    }

    /// Reads to the end of the stream and drops what comes, for `time`; then at most [`LINGER_BYTES`] of what is there.
    ///
    /// No count of bytes bounds it before: a browser that is amid of sending many megabytes would get a reset in place of the
    /// Close that tells it why.
    fn discard(&self, time: Duration) {
        let deadline = sys::now().saturating_add(time);
        let mut left = LINGER_BYTES;
        let mut bytes = [0; 4096];
        while left > 0 || sys::now() < deadline {
            if !self.wait_readable(deadline.saturating_sub(sys::now())).unwrap_or(false) {
                return;
            }
            match self.transport.receive(&mut bytes, Patience::DontWait) {
                Ok(0) => return,
                Ok(count) => left = left.saturating_sub(count),
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock => {}
                    _ => return,
                },
            }
        }
    }
}

/// Reads of what may have arrived before a deadline, once it has passed.
const LATE_LOOKS: u32 = 16;
/// A receive buffer up to this size is kept by a connection that waits for its peer.
const IDLE_CAPACITY: usize = 2 * 1024;
/// A larger one is given back after this time.
const IDLE: Duration = Duration::from_millis(250);
/// After the connection has failed, what the peer still sends is read for so long.
pub(crate) const LINGER: Duration = Duration::from_secs(1);
/// So many bytes that have arrived are read before the stream is closed, whatever the time.
const LINGER_BYTES: usize = 64 * 1024;

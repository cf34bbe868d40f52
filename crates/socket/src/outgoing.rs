//! The write baton: one thread writes, without the lock; the others leave what they send for it, or wait their turn.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::MutexGuard;
use raddle_core::{Data, Keepalive, Message, Progress, Sender};

use crate::aside::{Aside, Unwritten};
use crate::attendant::Attendant;
use crate::compression::{Compression, OfMessage};
use crate::connection::OnEnd;
use crate::driven::{Driver, keep_memory};
use crate::end::{Cause, SendError, SendStatus};
use crate::flags::Flag;
use crate::fragments::fragments;
use crate::link::Link;
use crate::options::WhenFull;
use crate::spares;
use crate::sys;
use crate::transport::{Interest, Transport};

/// The sending half of a connection, and how it ends. Under a lock that is never held across a socket wait.
// What an idle connection has no need of is in `aside`, and the rest is kept small: there is one for each of them.
pub(crate) struct Outgoing {
    pub(crate) sender: Sender,
    /// A thread is writing: whatever is sent now leaves behind what it writes.
    baton: bool,
    /// Bytes that a thread is trying to write without waiting: what does not fit comes back. At most `u32::MAX`.
    tried: u32,
    pub(crate) keepalive: Option<Keepalive>,
    /// The stream is shut down.
    pub(crate) ended: bool,
    /// The connection's reader was not dropped.
    pub(crate) reader_exists: bool,
    /// `None`: as when it is empty.
    pub(crate) aside: Option<Box<Aside>>,
    /// The event loop was told that there is output to be written.
    pub(crate) is_summoned: bool,
    /// The event loop that has the reader, and the connection's key there.
    pub(crate) driver: Option<(Arc<dyn Driver>, usize)>,
    /// Called when the connection ends.
    pub(crate) on_end: Option<OnEnd>,
    /// Bytes written; below 0 by those of the greeting that are not.
    bytes: i64,
    pub(crate) messages: u64,
}

/// How long a send may take.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Not at all.
    Never,
    /// As the options allow for the size of what is written.
    Allowed,
    /// Until then.
    Until(Duration),
}

/// How a message is sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// Put in the output, for whoever writes, or to leave together with more.
    Queue,
    /// Put in the output although that is full.
    Answer,
    /// Kept until the message is complete that another thread sends in fragments.
    Postpone,
    /// Written, with what waits.
    Write,
}

impl Outgoing {
    #[inline(never)]
    pub(crate) fn new(sender: Sender, keepalive: Option<Keepalive>, on_end: Option<OnEnd>) -> Self {
        Self {
            sender,
            baton: false,
            tried: 0,
            keepalive,
            ended: false,
            reader_exists: true,
            aside: None,
            is_summoned: false,
            driver: None,
            on_end,
            bytes: 0,
            messages: 0,
        }
    }

    /// Puts what ends the opening handshake in front of all that is sent.
    pub(crate) fn greet(&mut self, greeting: Vec<u8>) {
        self.bytes = -(greeting.len() as i64);
        self.aside().rest = Unwritten { bytes: greeting, start: 0 };
    }

    /// Bytes that wait to be written; without those that a thread is writing.
    pub(crate) fn queued(&self) -> usize {
        self.rest() + self.sender.queued()
    }

    /// Bytes written behind the opening handshake.
    pub(crate) fn written(&self) -> u64 {
        u64::try_from(self.bytes).unwrap_or(0)
    }

    /// Bytes that a thread is trying to write without waiting.
    pub(crate) fn tried(&self) -> usize {
        self.tried as usize
    }

    /// Tells whether nothing can be sent any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.ended || self.sender.is_closed()
    }

    /// Tells whether what is sent now leaves behind what others write, or will write when there is room.
    pub(crate) fn is_busy(&self) -> bool {
        self.baton || self.stalled_until().is_some()
    }

    /// Has the event loop write what is in the output. `false`: there is none.
    pub(crate) fn summon(&mut self) -> bool {
        let Some((driver, key)) = &self.driver else { return false };
        if !self.is_summoned {
            driver.output_is_ready(*key);
            self.is_summoned = true;
        }
        true
    }

    /// Tells whether all that was sent is written.
    pub(crate) fn is_written(&self) -> bool {
        self.queued() == 0 && !self.baton
    }

    /// Writes what fits at once, where nobody else can be writing.
    pub(crate) fn write_once(&mut self, transport: &dyn Transport) {
        let mut rest = self.take_rest();
        self.sender.take_output(&mut rest.bytes);
        while rest.len() > 0
            && let Ok(count @ 1..) = transport.send(&[IoSlice::new(&rest.bytes[rest.start..])])
        {
            rest.start += count;
        }
    }

    /// Drops what waits to be written, at the end.
    pub(crate) fn discard(&mut self) {
        drop(self.take_rest());
        self.sender.take_output(&mut Vec::new());
        self.sender.shrink();
    }

    /// Fails where nothing can be sent any more.
    fn check_open(&self) -> Result<(), SendError> {
        if self.is_closed() { Err(SendError::Closed) } else { Ok(()) }
    }

    /// Puts a whole message in the output, in fragments where it is large.
    fn queue(&mut self, message: Data<'_>, fragment_size: usize) -> Result<(), SendError> {
        if self.driver.is_some() {
            self.sender.lend(spares::output);
        }
        if message.as_bytes().len() <= fragment_size {
            self.sender.send(message)?;
        } else {
            for (fragment, progress) in fragments(message, fragment_size) {
                self.sender.send_fragment(fragment, progress)?;
            }
        }
        self.messages += 1;
        Ok(())
    }
}

impl Link {
    /// Sends a message as it is; how long that may take is `wait`'s choice, or the options'.
    pub(crate) fn send(self: &Arc<Self>, message: Message<'_>, wait: Wait) -> Result<SendStatus, SendError> {
        let mut outgoing = self.outgoing.lock();
        let wait = self.wait(&outgoing, wait);
        let turn = self.take_turn(&mut outgoing, message.as_bytes().len(), wait)?;
        if turn == Turn::Write {
            return self.write_message(&mut outgoing, message.into(), wait);
        }
        if turn == Turn::Postpone {
            return Ok(self.postpone(&mut outgoing, message));
        }
        self.put(&mut outgoing, message.into())?;
        self.leave_queued(&mut outgoing, turn, wait)
    }

    /// Sends a message compressed, otherwise as [`send`](Self::send) does.
    pub(crate) fn send_compressed(
        self: &Arc<Self>,
        compression: &Compression,
        message: Message<'_>,
        wait: Wait,
    ) -> Result<SendStatus, SendError> {
        let wait = self.wait(&self.outgoing.lock(), wait);
        loop {
            // While it is compressed nobody waits for the output, and there need not be room after all.
            let mut outgoing = self.outgoing.lock();
            let turn = self.take_turn(&mut outgoing, message.as_bytes().len(), wait)?;
            if turn == Turn::Postpone {
                return Ok(self.postpone(&mut outgoing, message));
            }
            let has_foreign_context = compression.has_foreign_context();
            drop(outgoing);
            let mut borrowed = compression.borrow();
            if has_foreign_context {
                borrowed.forget();
            }
            let is_afresh = borrowed.is_afresh();
            let data = borrowed.compressor().compress(message);
            let is_compressed = data.is_compressed();
            let mut outgoing = self.outgoing.lock();
            // Another thread has begun a message meanwhile, fragment by fragment, or the peer's context has changed. That is
            // so once at most: what was compressed afresh fits in any.
            let has_foreign_context = compression.has_foreign_context();
            if outgoing.sender.is_amid_message() || has_foreign_context && is_compressed && !is_afresh {
                drop(outgoing);
                borrowed.unsent();
                continue;
            }
            let put = outgoing.check_open().and_then(|()| self.put(&mut outgoing, data));
            if let Err(error) = put {
                drop(outgoing);
                borrowed.unsent();
                return Err(error);
            }
            borrowed.sent();
            if is_compressed {
                compression.note_foreign_context(false);
            }
            return self.leave_queued(&mut outgoing, turn, wait);
        }
    }

    fn has_foreign_context(&self) -> bool {
        self.compression.as_ref().is_some_and(|compression| compression.has_foreign_context())
    }

    fn wait(&self, outgoing: &Outgoing, wait: Wait) -> Wait {
        if self.options.when_full == WhenFull::Block && outgoing.may_wait() { wait } else { Wait::Never }
    }

    /// Waits until a message of `length` bytes may be sent, and tells how.
    fn take_turn(
        self: &Arc<Self>,
        outgoing: &mut MutexGuard<'_, Outgoing>,
        length: usize,
        wait: Wait,
    ) -> Result<Turn, SendError> {
        loop {
            outgoing.check_open()?;
            let full = outgoing.queued() + outgoing.tried() > self.options.outgoing_limit;
            if outgoing.sender.is_amid_message() {
                // Another thread is amid a fragmented message, and has the turn until its end (section 5.4).
                if outgoing.amid() == Some(thread::current().id()) {
                    return Err(raddle_core::SendError::MessageOpen.into());
                }
                if self.options.when_full == WhenFull::Block && self.takes_an_answer(outgoing) {
                    return Ok(Turn::Postpone);
                }
            } else if full && self.options.when_full == WhenFull::Block && self.takes_an_answer(outgoing) {
                // The event loop cannot wait for room. It reads no more of this peer until there is some.
                return Ok(Turn::Answer);
            } else if outgoing.baton || outgoing.stalled_until().is_some() && wait == Wait::Never {
                if !full && (length <= self.options.fragment_size || wait == Wait::Never) {
                    return Ok(Turn::Queue);
                }
            } else if !full && length < CORK && self.is_corked(outgoing) {
                return Ok(Turn::Queue);
            } else if !(full && wait == Wait::Never) {
                return Ok(Turn::Write);
            }
            match (wait, self.options.when_full) {
                (Wait::Never, WhenFull::Close) if full => {
                    self.cut(outgoing, Cause::OutgoingFull);
                    return Err(SendError::Closed);
                }
                (Wait::Never, _) => return Err(SendError::Full),
                _ => {}
            }
            // Whoever has the turn keeps a deadline of its own, or is amid a message and takes the time it takes.
            self.turn.wait(outgoing);
        }
    }

    /// Tells whether a message leaves with others that this thread sends.
    fn is_corked(&self, outgoing: &Outgoing) -> bool {
        self.cork.holds_this_thread() || outgoing.is_left_to_this_thread()
    }

    /// Tells whether a message is an answer of the event loop's thread, which has its place though others would not.
    fn takes_an_answer(&self, outgoing: &Outgoing) -> bool {
        let is_within_reason = outgoing.queued() / 2 <= self.options.outgoing_limit.max(LEAST_ANSWERS);
        !outgoing.may_wait() && self.cork.holds_this_thread() || outgoing.is_left_to_this_thread() && is_within_reason
    }

    /// Puts a whole message in the output.
    fn put(&self, outgoing: &mut MutexGuard<'_, Outgoing>, message: Data<'_>) -> Result<(), SendError> {
        let put = outgoing.queue(message, self.options.fragment_size);
        if put.is_err() && outgoing.sender.is_amid_message() {
            // The peer would wait for the rest for ever.
            self.cut(outgoing, Cause::Io(io::ErrorKind::Other));
        }
        put
    }

    /// Sees to it that a message leaves that was put in the output.
    fn leave_queued(
        self: &Arc<Self>,
        outgoing: &mut MutexGuard<'_, Outgoing>,
        turn: Turn,
        wait: Wait,
    ) -> Result<SendStatus, SendError> {
        let is_overfull = outgoing.queued() > self.options.outgoing_limit;
        if is_overfull && self.options.when_full == WhenFull::Block && self.takes_an_answer(outgoing) {
            // The message behind this one waits until there is room for its answer.
            self.flags.raise(Flag::Overfull);
        }
        if turn == Turn::Answer {
            self.count_output(outgoing);
            return Ok(SendStatus::Queued);
        }
        if outgoing.baton || outgoing.stalled_until().is_some() && wait == Wait::Never {
            self.count_output(outgoing);
            return Ok(SendStatus::Queued);
        }
        if self.is_corked(outgoing) && outgoing.queued() < CORK {
            self.cork.hold();
            self.list_cork();
            if outgoing.is_left_to_this_thread() {
                outgoing.summon();
            }
            return Ok(SendStatus::Queued);
        }
        self.write(outgoing, &[], wait)?;
        Ok(outgoing.status())
    }

    /// Sends a fragment of a message that this thread has begun, or begins; compressed where there is a `compressor`.
    pub(crate) fn send_fragment(
        self: &Arc<Self>,
        fragment: Message<'_>,
        progress: Progress,
        begins: bool,
        mut compressor: Option<(&Compression, &mut OfMessage)>,
    ) -> Result<SendStatus, SendError> {
        let mut outgoing = self.outgoing.lock();
        loop {
            outgoing.check_open()?;
            if begins && outgoing.amid() == Some(thread::current().id()) {
                return Err(raddle_core::SendError::MessageOpen.into());
            }
            let full = outgoing.queued() > self.options.outgoing_limit;
            let waits = outgoing.baton || begins && outgoing.sender.is_amid_message();
            if !outgoing.may_wait() && (waits || full) {
                return Err(SendError::Full);
            }
            if waits {
                self.turn.wait(&mut outgoing);
                continue;
            }
            match &mut compressor {
                None => outgoing.sender.send_fragment(fragment, progress)?,
                Some((compression, of_message)) => {
                    let has_foreign_context = self.has_foreign_context();
                    drop(outgoing);
                    let mut borrowed = of_message.borrow(compression);
                    if has_foreign_context {
                        borrowed.forget();
                    }
                    let is_afresh = borrowed.is_afresh();
                    let data = borrowed.compressor().compress_fragment(fragment, progress);
                    outgoing = self.outgoing.lock();
                    if begins && (outgoing.sender.is_amid_message() || self.has_foreign_context() && !is_afresh) {
                        // Another thread has begun one meanwhile, or the peer's context has changed.
                        borrowed.unsent();
                        continue;
                    }
                    if let Err(error) = outgoing.sender.send_fragment(data, progress) {
                        borrowed.unsent();
                        return Err(error.into());
                    }
                    borrowed.sent();
                    if let Some(compression) = &self.compression {
                        compression.note_foreign_context(false);
                    }
                }
            }
            outgoing.messages += u64::from(progress == Progress::Last);
            outgoing.aside().amid = (progress == Progress::More).then(|| thread::current().id());
            if progress == Progress::Last {
                self.put_postponed(&mut outgoing);
            }
            // Whoever has taken the baton meanwhile writes it.
            if !outgoing.baton {
                let wait = if outgoing.may_wait() { Wait::Allowed } else { Wait::Never };
                self.write(&mut outgoing, &[], wait)?;
            }
            self.turn.notify_all();
            return Ok(outgoing.status());
        }
    }

    /// Writes what waits, as far as it goes at once. What remains leaves when there is room.
    pub(crate) fn flush(self: &Arc<Self>) {
        self.flush_locked(&mut self.outgoing.lock());
    }

    pub(crate) fn flush_locked(self: &Arc<Self>, outgoing: &mut MutexGuard<'_, Outgoing>) {
        if (outgoing.queued() > 0 || self.transport.has_output()) && !outgoing.baton && !outgoing.ended {
            // A failure ends the connection, which its reader reports.
            let _ = self.write(outgoing, &[], Wait::Never);
        }
    }

    /// Writes all that waits, until `deadline`; `false` where something is left.
    pub(crate) fn drain(self: &Arc<Self>, deadline: Duration) -> bool {
        let mut outgoing = self.outgoing.lock();
        while !outgoing.is_written() && !outgoing.ended {
            if !outgoing.baton {
                if self.write(&mut outgoing, &[], Wait::Until(deadline)).is_err() {
                    return false;
                }
            } else if sys::now() >= deadline {
                return false;
            } else {
                let left = deadline.saturating_sub(sys::now());
                self.turn.wait_for(&mut outgoing, left);
            }
        }
        !outgoing.ended
    }

    /// Lets corked output go where there is much of it, so that Pongs do not pile up while ever more Pings arrive.
    pub(crate) fn flush_full_cork(self: &Arc<Self>) {
        let mut outgoing = self.outgoing.lock();
        if outgoing.queued() >= CORK && outgoing.stalled_until().is_none() {
            self.flush_locked(&mut outgoing);
        }
    }

    /// Has the attendant let corked bytes go, if nothing else does before.
    pub(crate) fn list_cork(self: &Arc<Self>) {
        if self.cork.list() {
            Attendant::get().list_corked(self);
        }
    }

    /// Writes a message as the holder of the baton: large ones from where they are.
    fn write_message(
        self: &Arc<Self>,
        outgoing: &mut MutexGuard<'_, Outgoing>,
        message: Data<'_>,
        wait: Wait,
    ) -> Result<SendStatus, SendError> {
        let length = message.as_bytes().len();
        let limit = self.options.fragment_size;
        if length < DIRECT && length <= limit || wait == Wait::Never && length > limit {
            self.put(outgoing, message)?;
            self.write(outgoing, &[], wait)?;
            return Ok(outgoing.status());
        }
        for (fragment, progress) in fragments(message, limit) {
            outgoing.check_open()?;
            let unmasked = outgoing.sender.is_unmasked();
            let begun = outgoing.sender.is_amid_message();
            let put = if unmasked {
                outgoing.sender.send_header(fragment, progress)
            } else {
                outgoing.sender.send_fragment(fragment, progress)
            };
            if let Err(error) = put {
                if begun {
                    // The peer would wait for the rest for ever.
                    self.cut(outgoing, Cause::Io(io::ErrorKind::Other));
                }
                return Err(error.into());
            }
            self.write(outgoing, if unmasked { fragment.as_bytes() } else { &[] }, wait)?;
        }
        outgoing.messages += 1;
        if self.put_postponed(outgoing) {
            self.flush_locked(outgoing);
        }
        self.turn.notify_all();
        Ok(outgoing.status())
    }

    /// Takes the baton, which is free: writes what waits and then `payload`, and gives the baton back.
    ///
    /// With [`Wait::Never`], what does not fit at once is kept and leaves when there is room; so does what others have sent
    /// meanwhile. A failure ends the connection.
    fn write(
        self: &Arc<Self>,
        outgoing: &mut MutexGuard<'_, Outgoing>,
        payload: &[u8],
        wait: Wait,
    ) -> Result<(), SendError> {
        self.cork.release();
        self.pass(outgoing, payload, wait)?;
        // The others have left it to this thread. It is not kept for them, though: one look, and the attendant goes on.
        if outgoing.queued() > 0 && outgoing.stalled_until().is_none() && !outgoing.ended {
            self.pass(outgoing, &[], Wait::Never)?;
            if outgoing.queued() > 0 && outgoing.stalled_until().is_none() && !outgoing.ended {
                let queued = outgoing.queued();
                self.park(outgoing, queued)?;
            }
        }
        self.count_output(outgoing);
        outgoing.tidy();
        self.leave_if_done(outgoing);
        self.turn.notify_all();
        Ok(())
    }

    /// Writes once what is there, with the baton.
    fn pass(
        self: &Arc<Self>,
        outgoing: &mut MutexGuard<'_, Outgoing>,
        payload: &[u8],
        wait: Wait,
    ) -> Result<(), SendError> {
        debug_assert!(!outgoing.baton, "the baton is held by one thread");
        let mut head = outgoing.take_rest();
        head.compact();
        outgoing.sender.take_output(&mut head.bytes);
        outgoing.baton = true;
        if wait == Wait::Never {
            outgoing.tried = u32::try_from(head.len()).unwrap_or(u32::MAX);
        } else {
            // What waits goes along, under the deadline of this write.
            outgoing.is_on_its_way();
        }
        let before = head.len() + payload.len();
        let result = MutexGuard::unlocked(outgoing, || self.write_parts(&mut head, payload, wait));
        outgoing.baton = false;
        outgoing.tried = 0;
        let written = before - head.len();
        outgoing.bytes += written as i64;
        if written > 0 {
            self.progressed(outgoing);
        }
        match result {
            Ok(()) if head.len() == 0 => {
                if outgoing.driver.is_some() {
                    // It keeps none, whoever has written.
                    keep_memory(outgoing.sender.reclaim(), head.bytes);
                } else if head.bytes.capacity() > 0 {
                    head.bytes.clear();
                    head.bytes.shrink_to(KEPT);
                    outgoing.aside().rest = Unwritten { bytes: head.bytes, start: 0 };
                }
                outgoing.sender.taken_written();
                outgoing.is_on_its_way();
                Ok(())
            }
            Ok(()) => {
                outgoing.aside().rest = head;
                self.park(outgoing, before)
            }
            Err(cause) => {
                // What was not written was not sent.
                outgoing.aside().rest = head;
                self.cut(outgoing, cause);
                drop(outgoing.take_rest());
                Err(if cause == Cause::WriteTimeout { SendError::Timeout } else { SendError::Closed })
            }
        }
    }

    /// Writes without the lock. With [`Wait::Never`], what does not fit is left in `head`.
    fn write_parts(self: &Arc<Self>, head: &mut Unwritten, payload: &[u8], wait: Wait) -> Result<(), Cause> {
        let mut written = 0;
        let mut deadline = None;
        loop {
            let payload = &payload[written..];
            let (first, second) = (IoSlice::new(&head.bytes[head.start..]), IoSlice::new(payload));
            let result = match (head.len(), payload.len()) {
                (0, 0) if !self.transport.has_output() => return Ok(()),
                (0, 0) => self.transport.send(&[]).map(|_| 0),
                (_, 0) => self.transport.send(&[first]),
                (0, _) => self.transport.send(&[second]),
                _ => self.transport.send(&[first, second]),
            };
            match result {
                Ok(0) if head.len() + payload.len() > 0 => return Err(Cause::Io(io::ErrorKind::WriteZero)),
                Ok(count) => {
                    let of_head = count.min(head.len());
                    head.start += of_head;
                    written += count - of_head;
                    if head.len() + payload.len() > count - of_head {
                        self.progressed(&mut self.outgoing.lock());
                    }
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::WouldBlock if wait == Wait::Never => {
                        spares::make_room(&mut head.bytes, payload.len());
                        head.bytes.extend_from_slice(payload);
                        return Ok(());
                    }
                    io::ErrorKind::WouldBlock => {
                        let left = head.len() + payload.len();
                        let deadline = *deadline.get_or_insert_with(|| self.deadline(wait, left));
                        if !self.wait_writable(deadline, wait)? {
                            // The frame is completed in front of the Close, and nobody is kept waiting for it.
                            head.bytes.extend_from_slice(payload);
                            return Ok(());
                        }
                    }
                    kind => return Err(Cause::Io(kind)),
                },
            }
        }
    }

    /// Waits for room to write. The peer may itself be waiting for us to read, so what it sends is read ahead meanwhile.
    /// `false`: a Close was sent or received, and a message is not waited for any more.
    fn wait_writable(self: &Arc<Self>, deadline: Duration, wait: Wait) -> Result<bool, Cause> {
        let mut interest = Interest::Either;
        let mut slice = LOOK_AGAIN;
        loop {
            let now = sys::now();
            if now >= deadline {
                return Err(Cause::WriteTimeout);
            }
            if wait == Wait::Allowed && self.outgoing.lock().sender.is_closed() {
                return Ok(false);
            }
            match self.transport.wait(interest, Some((deadline - now).min(slice))) {
                Ok(ready) if ready.write => return Ok(true),
                Ok(ready) if ready.read => {
                    interest = if self.read_ahead() { Interest::Either } else { Interest::Write };
                }
                Ok(_) => {
                    if slice.is_zero() {
                        self.await_room(deadline, wait)?;
                    } else if self.transport.descriptor().is_some() {
                        slice = Duration::ZERO;
                    }
                    // A reader that was there may have gone away since.
                    interest = Interest::Either;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Cause::Io(error.kind())),
            }
        }
    }

    /// Sleeps until the attendant finds room to write, or something else has changed; if the reader is away, the attendant
    /// reads ahead for it. A socket that takes nothing for a while may do so for long: a thousand threads that look again and
    /// again would take a fifth of a core from the others.
    fn await_room(self: &Arc<Self>, deadline: Duration, wait: Wait) -> Result<(), Cause> {
        let mut outgoing = self.outgoing.lock();
        if outgoing.ended || wait == Wait::Allowed && outgoing.sender.is_closed() {
            return Ok(());
        }
        // Under the lock, which the attendant takes to tell what it has found.
        Attendant::get().watch_output(self).map_err(|error| Cause::Io(error.kind()))?;
        let left = deadline.saturating_sub(sys::now());
        self.turn.wait_for(&mut outgoing, left);
        Ok(())
    }

    /// For the attendant, which has found room to write: writes what waits, or wakes the thread that does.
    pub(crate) fn found_room(self: &Arc<Self>) {
        let mut outgoing = self.outgoing.lock();
        if outgoing.baton {
            self.turn.notify_all();
        } else {
            self.flush_locked(&mut outgoing);
        }
    }

    /// Leaves what waits to the attendant, which writes it when there is room.
    fn park(self: &Arc<Self>, outgoing: &mut MutexGuard<'_, Outgoing>, before: usize) -> Result<(), SendError> {
        let now = sys::now();
        let written = (before - outgoing.rest()) as u64;
        // A peer that takes something gets the time that it needs for it at the slowest rate, and no more.
        let earned = Duration::from_secs_f64(written as f64 / self.options.min_rate.max(1) as f64);
        let latest = self.options.allowed(self.options.write_timeout, outgoing.queued() as u64);
        let until = match outgoing.stalled_until() {
            Some(until) => until.saturating_add(earned).min(now.saturating_add(latest)),
            None => now.saturating_add(latest),
        };
        outgoing.aside().stalled_until = Some(until);
        if let Some((driver, key)) = &outgoing.driver {
            driver.output_waits(*key);
        } else if let Err(error) = Attendant::get().watch_output(self) {
            self.cut(outgoing, Cause::Io(error.kind()));
            return Err(SendError::Closed);
        }
        Attendant::get().schedule(self, until);
        Ok(())
    }

    fn deadline(&self, wait: Wait, bytes: usize) -> Duration {
        match wait {
            Wait::Until(deadline) => deadline,
            _ => sys::now().saturating_add(self.options.allowed(self.options.write_timeout, bytes as u64)),
        }
    }
}

impl Outgoing {
    /// Gives back memory that an idle connection does not need.
    pub(crate) fn shrink(&mut self) {
        self.sender.shrink();
        if self.rest() == 0 && !self.baton {
            drop(self.take_rest());
            self.tidy();
        }
    }

    fn status(&self) -> SendStatus {
        if self.queued() == 0 { SendStatus::Sent } else { SendStatus::Queued }
    }
}

/// Bytes of answers that an event loop's thread may have waiting, of the messages of one turn, whatever the limit.
const LEAST_ANSWERS: usize = 256 * 1024;
/// Corked sends leave when there are so many bytes of them.
const CORK: usize = 64 * 1024;
/// Payloads from this size are written from where they are, not copied.
const DIRECT: usize = 8 * 1024;
/// Memory of the output that is kept for the next, while there is one now and then.
const KEPT: usize = 64 * 1024;
/// How long a thread waits at its socket for room, before it leaves that to the attendant and can be woken by a Close: soon
/// enough for it to be felt at once.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

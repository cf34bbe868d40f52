//! Whose turn it is to send: a message is written at once, put in the output for whoever writes, or waits; or there is no room.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::MutexGuard;
use raddle_core::{Data, Header, Message, Progress};

use crate::attendant::Attendant;
use crate::baton::DIRECT;
use crate::compression::{Compression, OfMessage};
use crate::end::{Cause, SendError, SendStatus};
use crate::flags::Flag;
use crate::link::Link;
use crate::options::WhenFull;
use crate::outgoing::Outgoing;

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

impl Link {
    /// Sends a message as it is; how long that may take is `wait`'s choice, or the options'.
    #[inline]
    pub(crate) fn send(self: &Arc<Self>, message: Message<'_>, wait: Wait) -> Result<SendStatus, SendError> {
        let mut outgoing = self.outgoing.lock();
        // It begins no message that could not be finished.
        if self.joins_cork(&outgoing, message.as_bytes().len()) && outgoing.queue(message.into(), usize::MAX).is_ok() {
            self.hold_corked();
            if !self.cork.holds_this_thread() {
                outgoing.summon();
            }
            return Ok(SendStatus::Queued);
        }
        self.send_in_turn(&mut outgoing, message, wait)
    }

    #[inline(never)]
    fn send_in_turn(
        self: &Arc<Self>,
        outgoing: &mut MutexGuard<'_, Outgoing>,
        message: Message<'_>,
        wait: Wait,
    ) -> Result<SendStatus, SendError> {
        let wait = self.wait(outgoing, wait);
        let turn = self.take_turn(outgoing, message.as_bytes().len(), wait)?;
        if turn == Turn::Write {
            return self.write_message(outgoing, message.into(), wait);
        }
        if turn == Turn::Postpone {
            return Ok(self.postpone(outgoing, message));
        }
        self.put(outgoing, message.into())?;
        self.leave_queued(outgoing, turn, wait)
    }

    /// Sends a message compressed, otherwise as [`send`](Self::send) does. Where the caller does not wait, and another thread
    /// is compressing, it is sent as it is.
    pub(crate) fn send_compressed(
        self: &Arc<Self>,
        compression: &Compression,
        message: Message<'_>,
        asked: Wait,
    ) -> Result<SendStatus, SendError> {
        let wait = self.wait(&self.outgoing.lock(), asked);
        loop {
            // While it is compressed nobody waits for the output, and there need not be room after all.
            let mut outgoing = self.outgoing.lock();
            let turn = self.take_turn(&mut outgoing, message.as_bytes().len(), wait)?;
            if turn == Turn::Postpone {
                return Ok(self.postpone(&mut outgoing, message));
            }
            let has_foreign_context = compression.has_foreign_context();
            drop(outgoing);
            // What an event loop's thread sends without having asked for that waits here: it is a moment, and not for a peer.
            let Some(mut borrowed) = compression.borrow(asked) else { return self.send(message, asked) };
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

    /// Tells whether a message leaves with others that this thread sends, and nothing is in its way but what its sender knows: as
    /// nearly all do that answer another.
    #[inline]
    fn joins_cork(&self, outgoing: &Outgoing, length: usize) -> bool {
        let most = CORK.min(self.options.outgoing_limit);
        let is_free =
            !outgoing.baton && !outgoing.ended && outgoing.aside.as_ref().is_none_or(|aside| !aside.has_unwritten());
        // A Pong that waits goes behind all that, and is not counted.
        let waiting = outgoing.sender.waiting() + length + Header::MAX_LEN;
        self.is_corked(outgoing, length) && length <= self.options.fragment_size && waiting < most && is_free
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
            } else if !full && length < CORK && self.is_corked(outgoing, length) {
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

    /// Tells whether a message of `length` bytes leaves with others that this thread sends.
    #[inline]
    fn is_corked(&self, outgoing: &Outgoing, length: usize) -> bool {
        self.holds_back(length) || outgoing.is_left_to_this_thread()
    }

    /// Tells whether a message waits for those behind it that this thread is about to answer. A large one is written from where it
    /// is, with what is held already, where there are none.
    #[inline]
    fn holds_back(&self, length: usize) -> bool {
        self.cork.holds_this_thread() && (length < DIRECT || !self.cork.is_last() || self.transport.has_input())
    }

    /// Tells whether a message is an answer of the event loop's thread, which has its place though others would not.
    fn takes_an_answer(&self, outgoing: &Outgoing) -> bool {
        let is_within_reason = outgoing.queued() / 2 <= self.options.outgoing_limit.max(LEAST_ANSWERS);
        !outgoing.may_wait() && self.cork.holds_this_thread() || outgoing.is_left_to_this_thread() && is_within_reason
    }

    /// Puts a whole message in the output.
    pub(crate) fn put(&self, outgoing: &mut MutexGuard<'_, Outgoing>, message: Data<'_>) -> Result<(), SendError> {
        let put = outgoing.queue(message, self.options.fragment_size);
        if put.is_err() && outgoing.sender.is_amid_message() {
            // The peer would wait for the rest for ever.
            self.cut(outgoing, Cause::Io(io::ErrorKind::Other));
        }
        put
    }

    /// Sees to it that a message leaves that was put in the output: with others, however large it is, as it was copied already.
    fn leave_queued(
        self: &Arc<Self>,
        outgoing: &mut MutexGuard<'_, Outgoing>,
        turn: Turn,
        wait: Wait,
    ) -> Result<SendStatus, SendError> {
        self.note_overfull(outgoing);
        if turn == Turn::Answer {
            self.count_output(outgoing);
            return Ok(SendStatus::Queued);
        }
        if outgoing.baton || outgoing.stalled_until().is_some() && wait == Wait::Never {
            self.count_output(outgoing);
            return Ok(SendStatus::Queued);
        }
        let is_corked = self.cork.holds_this_thread() || outgoing.is_left_to_this_thread();
        if is_corked && outgoing.queued() < CORK {
            self.hold_corked();
            if outgoing.is_left_to_this_thread() {
                outgoing.summon();
            }
            return Ok(SendStatus::Queued);
        }
        self.write(outgoing, &[], wait)?;
        Ok(outgoing.status())
    }

    /// Has the message behind an answer of the event loop wait until there is room for its own.
    pub(crate) fn note_overfull(&self, outgoing: &Outgoing) {
        let is_overfull = outgoing.queued() > self.options.outgoing_limit;
        if is_overfull && self.options.when_full == WhenFull::Block && self.takes_an_answer(outgoing) {
            self.flags.raise(Flag::Overfull);
        }
    }

    /// Sends a fragment of a message that this thread has begun, or begins; compressed where there is a `compressor`. That is taken
    /// away where the message begins without waiting while another thread is compressing: it is sent as it is.
    pub(crate) fn send_fragment(
        self: &Arc<Self>,
        fragment: Message<'_>,
        progress: Progress,
        begins: bool,
        compressor: &mut Option<OfMessage>,
        wait: Wait,
    ) -> Result<SendStatus, SendError> {
        let mut outgoing = self.outgoing.lock();
        let may_wait = outgoing.may_wait() && wait != Wait::Never;
        loop {
            outgoing.check_open()?;
            if begins && outgoing.amid() == Some(thread::current().id()) {
                return Err(raddle_core::SendError::MessageOpen.into());
            }
            let full = outgoing.queued() > self.options.outgoing_limit;
            let waits = outgoing.baton || begins && outgoing.sender.is_amid_message();
            if !may_wait && (waits || full) {
                return Err(SendError::Full);
            }
            if waits {
                self.turn.wait(&mut outgoing);
                continue;
            }
            match self.compression.as_deref().zip(compressor.as_mut()) {
                None => {
                    outgoing.lend_memory();
                    outgoing.sender.send_fragment(fragment, progress)?;
                }
                Some((compression, of_message)) => {
                    let has_foreign_context = self.has_foreign_context();
                    drop(outgoing);
                    // Amid a message nobody compresses another, but who had begun to: that is a moment, and not for a peer.
                    let wait = if begins { wait } else { Wait::Allowed };
                    let Some(mut borrowed) = of_message.borrow(compression, wait) else {
                        *compressor = None;
                        outgoing = self.outgoing.lock();
                        continue;
                    };
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
                    outgoing.lend_memory();
                    if let Err(error) = outgoing.sender.send_fragment(data, progress) {
                        borrowed.unsent();
                        return Err(error.into());
                    }
                    borrowed.sent();
                    compression.note_foreign_context(false);
                }
            }
            outgoing.messages += u64::from(progress == Progress::Last);
            outgoing.aside().amid = (progress == Progress::More).then(|| thread::current().id());
            if progress == Progress::Last {
                self.put_postponed(&mut outgoing);
            }
            // Whoever has taken the baton meanwhile writes it.
            if !outgoing.baton {
                let wait = if may_wait { Wait::Allowed } else { Wait::Never };
                self.write(&mut outgoing, &[], wait)?;
            }
            self.turn.notify_all();
            return Ok(outgoing.status());
        }
    }

    /// Lets corked output go where there is much of it, so that Pongs do not pile up while ever more Pings arrive.
    pub(crate) fn flush_full_cork(self: &Arc<Self>) {
        let mut outgoing = self.outgoing.lock();
        if outgoing.queued() >= CORK && outgoing.stalled_until().is_none() {
            self.flush_locked(&mut outgoing);
        }
    }

    /// Notes that there is corked output.
    #[inline]
    fn hold_corked(self: &Arc<Self>) {
        self.cork.hold();
        self.list_cork();
    }

    /// Has the attendant let corked bytes go, if nothing else does before.
    #[inline]
    pub(crate) fn list_cork(self: &Arc<Self>) {
        if !self.cork.is_listed() && self.cork.list() {
            Attendant::get().list_corked(self);
        }
    }
}

/// Bytes of answers that an event loop's thread may have waiting, of the messages of one turn, whatever the limit.
const LEAST_ANSWERS: usize = 256 * 1024;
/// Corked sends leave when there are so many bytes of them.
const CORK: usize = 64 * 1024;

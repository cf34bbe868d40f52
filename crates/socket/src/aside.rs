//! What the sending half of few connections has at a time: of those that wait for their peer, are amid a message, or end.

use std::mem;
use std::sync::Arc;
use std::thread::ThreadId;
use std::time::Duration;

use raddle_core::CloseCode;

use crate::arriving::Arriving;
use crate::bell::Bell;
use crate::budget::Share;
use crate::connection::Attachment;
use crate::end::Cause;
use crate::outgoing::Outgoing;
use crate::pinging::Pings;
use crate::publication::Publication;

/// What few connections have at a time. An idle connection of an event loop does without, and takes little memory.
#[derive(Default)]
pub(crate) struct Aside {
    /// Taken from the sender and not written yet: goes first.
    pub(crate) rest: Unwritten,
    /// The thread that is amid a message, fragment by fragment.
    pub(crate) amid: Option<ThreadId>,
    /// What waits has to be on its way by then.
    pub(crate) stalled_until: Option<Duration>,
    /// The peer's Close has to be here by then. Put off, while the peer takes what goes before ours.
    pub(crate) close_deadline: Option<Duration>,
    /// The peer's last word is acted on then, which is left to the reader until that comes to it.
    pub(crate) last_word_at: Option<Duration>,
    /// The connection is cut then, whatever happens until then.
    pub(crate) cut_at: Option<Duration>,
    /// What has ended the connection, or is about to: the first that has.
    pub(crate) cause: Option<Cause>,
    pub(crate) received: Option<(CloseCode, String)>,
    pub(crate) sent: Option<CloseCode>,
    /// What many connections get, and had to wait for the end of a message.
    pub(crate) postponed: Vec<Publication>,
    /// What these take, in bytes.
    pub(crate) postponed_bytes: usize,
    /// The message that is being received.
    pub(crate) arriving: Option<Arriving>,
    /// Pings whose Pongs somebody waits for.
    pub(crate) pings: Pings,
    /// What the reader waits for that is paused, and is to be told of signals.
    pub(crate) bell: Option<Arc<Bell>>,
    /// What of all this, and of what was received, counts in a budget.
    pub(crate) share: Share,
    /// What whoever has opened the connection has left for whoever gets it.
    pub(crate) attachment: Option<Attachment>,
}

/// Bytes on their way: `bytes[start..]` is not written.
#[derive(Default)]
pub(crate) struct Unwritten {
    pub(crate) bytes: Vec<u8>,
    pub(crate) start: usize,
}

impl Outgoing {
    /// To be changed.
    pub(crate) fn aside(&mut self) -> &mut Aside {
        self.aside.get_or_insert_default()
    }

    /// When what waits has to be on its way. `None`: nothing waits for room.
    pub(crate) fn stalled_until(&self) -> Option<Duration> {
        self.aside.as_ref()?.stalled_until
    }

    /// Notes that nothing waits for room any more.
    pub(crate) fn is_on_its_way(&mut self) {
        if let Some(aside) = &mut self.aside {
            aside.stalled_until = None;
        }
    }

    /// When the peer's Close has to be here.
    pub(crate) fn close_deadline(&self) -> Option<Duration> {
        self.aside.as_ref()?.close_deadline
    }

    /// Puts off the time for the peer's Close: the peer takes what goes before ours.
    pub(crate) fn put_close_off(&mut self, deadline: impl FnOnce() -> Duration) {
        if let Some(before) = self.aside.as_mut().and_then(|aside| aside.close_deadline.as_mut()) {
            *before = deadline().max(*before);
        }
    }

    /// When the peer's last word is acted on that is left to the reader. `None`: there was none yet.
    pub(crate) fn last_word_at(&self) -> Option<Duration> {
        self.aside.as_ref()?.last_word_at
    }

    /// The message that is being received.
    pub(crate) fn arriving(&self) -> Option<&Arriving> {
        self.aside.as_ref()?.arriving.as_ref()
    }

    /// Has a paused reader look again, that does not wait for the lock's turn.
    pub(crate) fn ring(&self) {
        if let Some(bell) = self.aside.as_ref().and_then(|aside| aside.bell.as_ref()) {
            bell.ring();
        }
    }

    /// What counts in a budget.
    pub(crate) fn share(&self) -> Option<&Share> {
        Some(&self.aside.as_ref()?.share)
    }

    /// When the connection is cut in any case.
    pub(crate) fn cut_at(&self) -> Option<Duration> {
        self.aside.as_ref()?.cut_at
    }

    /// Has the connection cut at `deadline`, or before.
    pub(crate) fn cut_by(&mut self, deadline: Duration) {
        let cut_at = &mut self.aside().cut_at;
        *cut_at = Some(cut_at.map_or(deadline, |before| before.min(deadline)));
    }

    /// What has ended the connection, or is about to.
    pub(crate) fn cause(&self) -> Option<Cause> {
        self.aside.as_ref()?.cause
    }

    /// The peer's Close.
    pub(crate) fn received(&self) -> Option<&(CloseCode, String)> {
        self.aside.as_ref()?.received.as_ref()
    }

    /// The code of our Close.
    pub(crate) fn sent(&self) -> Option<CloseCode> {
        self.aside.as_ref()?.sent
    }

    /// The thread that is amid a message, fragment by fragment.
    pub(crate) fn amid(&self) -> Option<ThreadId> {
        self.aside.as_ref()?.amid
    }

    /// Bytes that were taken from the sender and are not written.
    pub(crate) fn rest(&self) -> usize {
        self.aside.as_ref().map_or(0, |aside| aside.rest.len())
    }

    pub(crate) fn take_rest(&mut self) -> Unwritten {
        self.aside.as_mut().map(|aside| mem::take(&mut aside.rest)).unwrap_or_default()
    }

    /// Tells whether something waits for the end of a message.
    pub(crate) fn has_postponed(&self) -> bool {
        self.aside.as_ref().is_some_and(|aside| !aside.postponed.is_empty())
    }

    /// Bytes that wait for the end of a message.
    pub(crate) fn postponed_bytes(&self) -> usize {
        self.aside.as_ref().map_or(0, |aside| aside.postponed_bytes)
    }

    /// Has a publication wait for the end of a message.
    pub(crate) fn postpone(&mut self, publication: Publication) {
        let aside = self.aside();
        aside.postponed_bytes += publication.size();
        aside.postponed.push(publication);
    }

    pub(crate) fn take_postponed(&mut self) -> Vec<Publication> {
        let Some(aside) = &mut self.aside else { return Vec::new() };
        aside.postponed_bytes = 0;
        mem::take(&mut aside.postponed)
    }

    pub(crate) fn take_attachment(&mut self) -> Option<Attachment> {
        self.aside.as_mut()?.attachment.take()
    }

    /// Gives the place back, where nothing is in it.
    pub(crate) fn tidy(&mut self) {
        self.aside.take_if(|aside| aside.is_empty());
    }
}

impl Aside {
    /// Tells whether something that was taken from the sender waits to be written.
    pub(crate) fn has_unwritten(&self) -> bool {
        self.rest.len() > 0 || self.stalled_until.is_some()
    }

    fn is_empty(&self) -> bool {
        let Self {
            rest,
            amid,
            stalled_until,
            close_deadline,
            last_word_at,
            cut_at,
            cause,
            received,
            sent,
            postponed,
            postponed_bytes: _,
            arriving,
            pings,
            bell,
            share,
            attachment,
        } = self;
        let has_deadline = stalled_until.is_some() || close_deadline.is_some() || cut_at.is_some();
        let is_ending = last_word_at.is_some() || cause.is_some() || received.is_some() || sent.is_some();
        let is_amid = amid.is_some() || arriving.is_some() || !pings.is_empty() || bell.is_some();
        rest.bytes.capacity() == 0
            && share.is_empty()
            && postponed.is_empty()
            && attachment.is_none()
            && !is_amid
            && !has_deadline
            && !is_ending
    }
}

impl Unwritten {
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// Drops what was written, once that is the larger part: so each byte is moved once at most.
    pub(crate) fn compact(&mut self) {
        if self.start > self.bytes.len() / 2 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
    }
}

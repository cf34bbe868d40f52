//! The sending half of a connection: what waits to be written, what was, and how it ends.

use std::io::IoSlice;
use std::sync::Arc;

use raddle_core::{Data, Keepalive, Sender};

use crate::aside::{Aside, Unwritten};
use crate::connection::OnEnd;
use crate::driven::Driver;
use crate::drives;
use crate::end::{SendError, SendStatus};
use crate::fragments::fragments;
use crate::pages::give_back;
use crate::transport::Transport;

/// The sending half of a connection, and how it ends. Under a lock that is never held across a socket wait.
// What an idle connection has no need of is in `aside`, and the rest is kept small: there is one for each of them.
pub(crate) struct Outgoing {
    pub(crate) sender: Sender,
    /// A thread is writing: whatever is sent now leaves behind what it writes.
    pub(crate) baton: bool,
    /// Bytes that a thread is trying to write without waiting: what does not fit comes back. At most `u32::MAX`.
    pub(crate) tried: u32,
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
    pub(crate) bytes: i64,
    pub(crate) messages: u64,
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
    pub(crate) fn check_open(&self) -> Result<(), SendError> {
        if self.is_closed() { Err(SendError::Closed) } else { Ok(()) }
    }

    /// Puts a whole message in the output, in fragments where it is large.
    #[inline]
    pub(crate) fn queue(&mut self, message: Data<'_>, fragment_size: usize) -> Result<(), SendError> {
        self.lend_memory();
        if message.as_bytes().len() <= fragment_size {
            self.sender.send(message)?;
        } else {
            self.queue_fragments(message, fragment_size)?;
        }
        self.messages += 1;
        Ok(())
    }

    /// Has what is sent next put in memory that its thread has at hand, where that may be another connection's later.
    #[inline]
    pub(crate) fn lend_memory(&mut self) {
        self.sender.lend(drives::memory);
    }

    /// Puts a Ping in the output.
    pub(crate) fn ping(&mut self, payload: &[u8]) -> Result<(), SendError> {
        self.lend_memory();
        Ok(self.sender.ping(payload)?)
    }

    #[cold]
    fn queue_fragments(&mut self, message: Data<'_>, fragment_size: usize) -> Result<(), SendError> {
        for (fragment, progress) in fragments(message, fragment_size) {
            self.sender.send_fragment(fragment, progress)?;
        }
        Ok(())
    }

    /// Gives back memory that an idle connection does not need.
    pub(crate) fn shrink(&mut self) {
        if let Some(memory) = self.sender.reclaim() {
            give_back(memory.into_bytes());
        }
    }

    pub(crate) fn status(&self) -> SendStatus {
        if self.queued() == 0 { SendStatus::Sent } else { SendStatus::Queued }
    }
}

//! The writing half: messages in, from any thread.

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;
use std::ops::AddAssign;
use std::sync::{Arc, Weak};
use std::time::Duration;

use raddle_core::{Close, CloseCode, Message, Progress};

use crate::attendant::Attendant;
use crate::compression::{Compression, OfMessage};
use crate::connection::Attachment;
use crate::end::{Cause, SendError, SendStatus};
use crate::flags::Flag;
use crate::info::Info;
use crate::link::{Link, State};
use crate::reader::Reader;
use crate::sys;
use crate::turn::Wait;

/// The half of a connection that sends. Any number of threads may hold a clone and send at the same time: messages never
/// mix, and those of one thread keep their order.
///
/// A writer keeps the connection's socket, after its end as well: for a table of clients, [`downgrade`](Self::downgrade) it,
/// or take it out when the connection has ended.
#[derive(Clone)]
pub struct Writer {
    link: Arc<Link>,
    /// Compresses messages, where that was agreed on.
    compresses: bool,
}

impl Writer {
    pub(crate) fn new(link: Arc<Link>) -> Self {
        Self { link, compresses: true }
    }

    pub(crate) fn link(&self) -> &Arc<Link> {
        &self.link
    }

    /// Tells whether both are of the same connection.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.link, &other.link)
    }

    /// Sends a message: text from a `&str`, binary from bytes.
    ///
    /// Returns when the operating system has taken it ([`SendStatus::Sent`]), or when it waits behind what another
    /// thread is writing, or to leave together with further answers, within 5 ms ([`SendStatus::Queued`]). What happens
    /// when the peer does not take what was sent before is the choice of [`Options::when_full`](crate::Options). A Close, of
    /// another thread or of the peer, ends the wait: the frame that is on its way is completed, and with
    /// [`SendError::Closed`] the message is not.
    #[inline]
    pub fn send<'m>(&self, message: impl Into<Message<'m>>) -> Result<SendStatus, SendError> {
        self.send_within(message.into(), Wait::Allowed)
    }

    #[inline]
    fn send_within(&self, message: Message<'_>, wait: Wait) -> Result<SendStatus, SendError> {
        let sent = match &self.link.compression {
            Some(compression) if self.compresses && compression.suits(message) => {
                self.link.send_compressed(compression, message, wait)
            }
            _ => self.link.send(message, wait),
        }?;
        self.link.note_answer();
        Ok(sent)
    }

    /// The same writer, whose messages are not compressed: for what holds a secret and something that others choose
    /// (RFC 7692, section 8), and for what is compressed already.
    ///
    /// ```
    /// # fn send(writer: &raddle_socket::Writer, token: &str) -> Result<(), raddle_socket::SendError> {
    /// writer.uncompressed().send(token)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn uncompressed(&self) -> Self {
        Self { compresses: false, ..self.clone() }
    }

    /// Sends a message as [`send`](Self::send) does, but never waits: fails with [`SendError::Full`] instead. While another thread
    /// compresses a message on this connection, it is sent as it is, which a receiver of compressed messages takes as well
    /// (RFC 7692, section 6).
    pub fn try_send<'m>(&self, message: impl Into<Message<'m>>) -> Result<SendStatus, SendError> {
        self.send_within(message.into(), Wait::Never)
    }

    /// Begins a message that is sent fragment by fragment. Other messages wait until it is finished, for as long as that takes, or
    /// are [`Full`](SendError::Full) where they do not wait; control frames pass. It is the thread that has sent the last fragment
    /// which may not send another message meanwhile.
    pub fn begin(&self) -> MessageWriter<'_> {
        MessageWriter { link: Cow::Borrowed(&self.link), compressor: self.compressor_of_message(), begun: false }
    }

    /// Begins a message as [`begin`](Self::begin) does, for whoever has to keep what writes it.
    pub fn begin_owned(&self) -> MessageWriter<'static> {
        let link = Cow::Owned(Arc::clone(&self.link));
        MessageWriter { link, compressor: self.compressor_of_message(), begun: false }
    }

    fn compressor_of_message(&self) -> Option<OfMessage> {
        self.link.compression.as_deref().filter(|_| self.compresses).map(Compression::of_message)
    }

    /// Lets go what was held back to leave together with more, as far as the socket takes it at once.
    pub fn flush(&self) {
        self.link.flush();
    }

    /// Sends a Ping with a payload of at most 125 bytes. Keepalive sends its own.
    pub fn ping(&self, payload: &[u8]) -> Result<(), SendError> {
        let mut outgoing = self.link.outgoing.lock();
        if outgoing.ended {
            return Err(SendError::Closed);
        }
        outgoing.ping(payload)?;
        self.link.flush_locked(&mut outgoing);
        Ok(())
    }

    /// Sends a Pong that answers no Ping (RFC 6455, section 5.5.3), with a payload of at most 125 bytes. Pings are answered
    /// without it.
    pub fn pong(&self, payload: &[u8]) -> Result<(), SendError> {
        let mut outgoing = self.link.outgoing.lock();
        if outgoing.ended {
            return Err(SendError::Closed);
        }
        outgoing.lend_memory();
        outgoing.sender.pong(payload)?;
        self.link.flush_locked(&mut outgoing);
        Ok(())
    }

    /// Begins the closing handshake: sends a Close behind what was sent before, and returns. Nothing can be sent after it.
    ///
    /// Messages are received until the peer's Close comes. Without one the connection ends at the close timeout.
    pub fn close(&self, close: Close<'_>) -> Result<(), SendError> {
        self.close_for(close, Cause::LocalClose)
    }

    /// Begins the closing handshake as [`close`](Self::close) does, and gives the cause that the [`End`](crate::End) names.
    pub fn close_for(&self, close: Close<'_>, cause: Cause) -> Result<(), SendError> {
        Ok(self.link.close(Some(close), cause)?)
    }

    /// Ends the connection without a closing handshake: what was received and not read is dropped. The first cause is kept.
    pub fn cut(&self, cause: Cause) {
        let mut outgoing = self.link.outgoing.lock();
        // Whoever finds the connection abandoned finds the cause as well.
        let cause = *outgoing.aside().cause.get_or_insert(cause);
        self.link.flags.raise(Flag::Abandoned);
        self.link.cut(&mut outgoing, cause);
    }

    /// Has the connection cut after `time`, if it has not ended before.
    pub fn cut_within(&self, time: Duration) {
        self.link.end_by(sys::now().saturating_add(time));
    }

    /// Waits until the reader is dropped, and makes another: for whoever has to see the connection to its end. `None`: an event
    /// loop has it, that of an engine `pool` for example, and would be waited for in vain.
    pub fn take_reader(&self) -> Option<Reader> {
        Reader::succeed(&self.link)
    }

    /// Takes what whoever has opened the connection has left for whoever gets it, once. It is dropped with the connection's
    /// reader otherwise.
    pub fn take_attachment(&self) -> Option<Attachment> {
        let mut outgoing = self.link.outgoing.lock();
        let attachment = outgoing.take_attachment();
        outgoing.tidy();
        attachment
    }

    /// What is known of the connection.
    pub fn info(&self) -> &Info {
        &self.link.info
    }

    /// The address of this side. `None`: it has none, as with a Unix socket, or with a transport of the application's.
    pub fn local_address(&self) -> Option<SocketAddr> {
        sys::local_address(self.link.transport.descriptor()?)
    }

    /// Where the connection stands.
    pub fn state(&self) -> State {
        self.link.state()
    }

    /// Bytes that wait to be written.
    pub fn queued(&self) -> usize {
        self.link.outgoing.lock().queued()
    }

    /// The last round-trip time that keepalive has measured.
    pub fn round_trip(&self) -> Option<Duration> {
        self.link.outgoing.lock().keepalive.as_ref()?.round_trip()
    }

    /// What has passed on this connection so far.
    pub fn traffic(&self) -> Traffic {
        self.link.counters.traffic(&self.link.outgoing.lock())
    }

    /// A handle that does not keep the connection open.
    pub fn downgrade(&self) -> WeakWriter {
        WeakWriter { link: Arc::downgrade(&self.link) }
    }
}

/// A handle of a connection that ends with its other handles, where nothing else ends it before.
#[derive(Clone)]
pub struct WeakWriter {
    link: Weak<Link>,
}

impl WeakWriter {
    /// The writer; `None`: the connection's other handles were dropped.
    pub fn upgrade(&self) -> Option<Writer> {
        self.link.upgrade().map(Writer::new)
    }
}

impl fmt::Debug for WeakWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WeakWriter").finish_non_exhaustive()
    }
}

/// What has passed on a connection: bytes on the wire behind the opening handshake, and messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes received, with the headers of their frames.
    pub received_bytes: u64,
    /// Messages received whole.
    pub received_messages: u64,
    /// Bytes that the operating system has taken, with the headers of their frames.
    pub sent_bytes: u64,
    /// Messages sent or queued.
    pub sent_messages: u64,
}

impl AddAssign for Traffic {
    fn add_assign(&mut self, more: Self) {
        self.received_bytes += more.received_bytes;
        self.received_messages += more.received_messages;
        self.sent_bytes += more.sent_bytes;
        self.sent_messages += more.sent_messages;
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("state", &self.state()).finish_non_exhaustive()
    }
}

/// Sends one message fragment by fragment, from [`Writer::begin`]: for messages larger than memory, or not yet complete.
///
/// The type of the first fragment is the type of the message. Dropped before [`finish`](Self::finish), it closes the
/// connection with 1011: the peer could not tell the torn message from a whole one otherwise.
#[derive(Debug)]
pub struct MessageWriter<'a> {
    link: Cow<'a, Arc<Link>>,
    compressor: Option<OfMessage>,
    begun: bool,
}

impl MessageWriter<'_> {
    /// Sends a fragment. Waits as the options allow, whatever they say of a full output.
    pub fn send<'m>(&mut self, fragment: impl Into<Message<'m>>) -> Result<SendStatus, SendError> {
        self.fragment(fragment.into(), Progress::More, Wait::Allowed)
    }

    /// Sends a fragment as [`send`](Self::send) does, but never waits for the peer or for another message: fails with
    /// [`SendError::Full`] instead, and the message is as it was. One that begins while another thread compresses on this connection
    /// is sent as it is. With [`Progress::Last`] it is the last one.
    pub fn try_send<'m>(
        &mut self,
        fragment: impl Into<Message<'m>>,
        progress: Progress,
    ) -> Result<SendStatus, SendError> {
        let status = self.fragment(fragment.into(), progress, Wait::Never)?;
        self.begun = progress == Progress::More;
        Ok(status)
    }

    /// Sends the last fragment, which may be empty.
    pub fn finish<'m>(mut self, fragment: impl Into<Message<'m>>) -> Result<SendStatus, SendError> {
        self.send_last(fragment)
    }

    /// Sends the last fragment as [`finish`](Self::finish) does, and leaves the message as it is where that fails. What is sent behind it
    /// begins another message.
    pub fn send_last<'m>(&mut self, fragment: impl Into<Message<'m>>) -> Result<SendStatus, SendError> {
        let status = self.fragment(fragment.into(), Progress::Last, Wait::Allowed)?;
        self.begun = false;
        Ok(status)
    }

    fn fragment(&mut self, fragment: Message<'_>, progress: Progress, wait: Wait) -> Result<SendStatus, SendError> {
        let status = self.link.send_fragment(fragment, progress, !self.begun, &mut self.compressor, wait)?;
        self.begun = true;
        if progress == Progress::Last {
            self.link.note_answer();
        }
        Ok(status)
    }
}

impl Drop for MessageWriter<'_> {
    fn drop(&mut self) {
        // In a forked child the message is the parent's, which goes on with it.
        if self.begun && Attendant::get().is_here() {
            let close = Close { code: CloseCode::INTERNAL_ERROR, reason: "a message was given up" };
            // It fails where the connection has ended, which tells the peer as well.
            let _ = self.link.close(Some(close), Cause::LocalClose);
        }
    }
}

//! What a connection compresses its messages with (RFC 7692): a compressor of its own, or one of those that all share.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, MutexGuard};
use raddle_core::deflate::{Compressor, LentCompressor};
use raddle_core::{Deflate, Message, Role};

use crate::turn::Wait;

/// The sending side's part of the agreement.
///
/// A compressor is borrowed before the output is locked, so that a Pong need not wait for it, and kept until what it has made
/// is in the output: so the order of compression is the order on the wire.
pub(crate) struct Compression {
    deflate: Deflate,
    role: Role,
    /// With context takeover: from the first message on.
    own: Mutex<Own>,
    /// The peer has inflated, or will have, what our own compressor has not made: its context is another. Read and changed
    /// under the lock of the output.
    has_foreign_context: AtomicBool,
}

#[derive(Default)]
pub(crate) struct Own {
    compressor: Option<Compressor>,
    /// Used since the last look.
    used: bool,
}

/// A compressor, while nobody else may use it.
pub(crate) enum Borrowed<'a> {
    Own(&'a Compression, MutexGuard<'a, Own>),
    Shared(LentCompressor),
    /// Of a message that is sent fragment by fragment.
    Kept(&'a mut LentCompressor),
}

/// What a message that is sent fragment by fragment is compressed with.
pub(crate) enum OfMessage {
    /// The connection's own, while a fragment is compressed.
    Own,
    Shared(Box<LentCompressor>),
}

impl Compression {
    pub(crate) fn new(deflate: Deflate, role: Role) -> Self {
        Self { deflate, role, own: Mutex::default(), has_foreign_context: AtomicBool::new(false) }
    }

    /// Tells whether a message is to be compressed.
    pub(crate) fn suits(&self, message: Message<'_>) -> bool {
        self.deflate.compresses(message.as_bytes().len())
    }

    /// How far the peer can look back, which decides what of a message for many it can inflate: 2^n bytes.
    pub(crate) fn window_bits(&self) -> u8 {
        self.deflate.window_bits(self.role)
    }

    /// Tells whether the peer's context is another than that of our compressor. Under the lock of the output.
    pub(crate) fn has_foreign_context(&self) -> bool {
        self.has_foreign_context.load(Ordering::Relaxed)
    }

    pub(crate) fn note_foreign_context(&self, is_foreign: bool) {
        self.has_foreign_context.store(is_foreign, Ordering::Relaxed);
    }

    /// Waits for the connection's own compressor, or borrows one. `None`: another thread compresses with it, which takes as long as
    /// that thread's message, and [`Wait::Never`] does not wait for that.
    pub(crate) fn borrow(&self, wait: Wait) -> Option<Borrowed<'_>> {
        if !self.deflate.keeps_context(self.role) {
            return Some(Borrowed::Shared(Compressor::lend(&self.deflate, self.role)));
        }
        let own = if wait == Wait::Never { self.own.try_lock()? } else { self.own.lock() };
        Some(Borrowed::Own(self, own))
    }

    /// What a message that is sent fragment by fragment is compressed with, to its end.
    pub(crate) fn of_message(&self) -> OfMessage {
        if self.deflate.keeps_context(self.role) {
            OfMessage::Own
        } else {
            OfMessage::Shared(Box::new(Compressor::lend(&self.deflate, self.role)))
        }
    }

    /// Gives the connection's own compressor back that was not used since the last call: the next message does without what
    /// it knew.
    pub(crate) fn rest(&self) {
        if let Some(mut own) = self.own.try_lock()
            && !std::mem::take(&mut own.used)
        {
            own.compressor = None;
        }
    }

    /// Gives the connection's own compressor back for good, unless a thread has it: that finds the connection ended.
    pub(crate) fn retire(&self) {
        if let Some(mut own) = self.own.try_lock() {
            own.compressor = None;
        }
    }
}

impl Borrowed<'_> {
    pub(crate) fn compressor(&mut self) -> &mut Compressor {
        match self {
            Self::Own(compression, own) => {
                own.used = true;
                own.compressor.get_or_insert_with(|| Compressor::new(&compression.deflate, compression.role))
            }
            Self::Shared(lent) => lent,
            Self::Kept(lent) => lent,
        }
    }

    /// Forgets what was compressed before: the peer's context is another by now.
    pub(crate) fn forget(&mut self) {
        if let Self::Own(_, own) = self
            && let Some(compressor) = &mut own.compressor
        {
            compressor.reset();
        }
    }

    /// Tells whether what it makes next can be inflated in any context.
    pub(crate) fn is_afresh(&self) -> bool {
        match self {
            Self::Own(_, own) => own.compressor.as_ref().is_none_or(|compressor| !compressor.has_context()),
            // Of one message only, into which nothing comes.
            Self::Shared(_) | Self::Kept(_) => true,
        }
    }

    /// Gives it back after what it has made was put in the output.
    pub(crate) fn sent(mut self) {
        self.compressor().shrink();
    }

    /// Gives it back after what it has made could not be sent: the peer does not know it.
    pub(crate) fn unsent(mut self) {
        match &mut self {
            Self::Own(_, own) => own.compressor = None,
            Self::Shared(lent) => lent.reset(),
            Self::Kept(lent) => lent.reset(),
        }
    }
}

impl OfMessage {
    /// For a fragment, on the connection that it is of. `None` as with [`Compression::borrow`].
    pub(crate) fn borrow<'a>(&'a mut self, compression: &'a Compression, wait: Wait) -> Option<Borrowed<'a>> {
        match self {
            Self::Own => compression.borrow(wait),
            Self::Shared(lent) => Some(Borrowed::Kept(lent)),
        }
    }
}

impl std::fmt::Debug for OfMessage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OfMessage").finish_non_exhaustive()
    }
}

#[cfg(all(test, feature = "deflate"))]
mod tests {
    use std::io::Read as _;
    use std::os::unix::net::UnixStream;
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use raddle_core::Progress;

    use super::*;
    use crate::connection::{Connection, Opening};
    use crate::end::SendStatus;
    use crate::info::Info;
    use crate::options::Options;
    use crate::reader::Reader;
    use crate::transport::Socket;
    use crate::writer::Writer;

    fn deflating() -> (Writer, Reader, UnixStream) {
        let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
        let mut info = Info::default();
        info.deflate = Some(Deflate::default());
        let opening = Opening { info, ..Opening::new(Role::Server, Options::default()) };
        let connection = Connection::open(Socket::unix(ours).expect("a socket"), opening).expect("a connection");
        let (reader, writer) = connection.split();
        (writer, reader, theirs)
    }

    #[test]
    fn who_does_not_wait_does_not_wait_for_another_thread_that_compresses() {
        let (writer, _reader, mut theirs) = deflating();
        let message = "ab".repeat(1000);
        let compression = writer.link().compression.as_deref().expect("it was agreed on");
        let busy = compression.borrow(Wait::Allowed).expect("nobody has it");
        let (tell, told) = mpsc::channel();
        let sending = thread::spawn({
            let (writer, message) = (writer.clone(), message.clone());
            move || {
                let whole = writer.try_send(&message);
                let mut fragments = writer.begin();
                let mut fragment = |progress| fragments.try_send(&message, progress);
                let _ = tell.send([whole, fragment(Progress::More), fragment(Progress::Last)]);
            }
        });
        let results = told.recv_timeout(Duration::from_secs(10));
        drop(busy);
        sending.join().expect("no panic");
        assert_eq!(results, Ok([Ok(SendStatus::Sent); 3]));
        let mut received = vec![0; 4 + message.len()];
        for first in [0x81, 0x01, 0x80] {
            theirs.read_exact(&mut received).expect("it was sent");
            let header = [first, 0x7e, 0x07, 0xd0];
            assert_eq!((&received[..4], &received[4..]), (&header[..], message.as_bytes()), "as it is");
        }
        // The next one is compressed again.
        assert_eq!(writer.try_send(&message), Ok(SendStatus::Sent));
        theirs.read_exact(&mut received[..2]).expect("it was sent");
        assert_eq!(received[0], 0xc1);
    }

    #[test]
    fn a_message_that_was_begun_compressed_goes_on_so() {
        let (writer, _reader, mut theirs) = deflating();
        let compression = writer.link().compression.as_deref().expect("it was agreed on");
        let mut fragments = writer.begin();
        assert_eq!(fragments.try_send("one", Progress::More), Ok(SendStatus::Sent));
        // Somebody has it for a moment still.
        let busy = compression.borrow(Wait::Allowed).expect("nobody has it");
        thread::scope(|scope| {
            let sending = scope.spawn(move || fragments.try_send("two", Progress::Last));
            thread::sleep(Duration::from_millis(50));
            drop(busy);
            assert_eq!(sending.join().expect("no panic"), Ok(SendStatus::Sent));
        });
        for first in [0x41, 0x80] {
            let mut header = [0; 2];
            theirs.read_exact(&mut header).expect("it was sent");
            assert_eq!(header[0], first);
            theirs.read_exact(&mut vec![0; header[1].into()]).expect("it was sent");
        }
    }
}

//! The message of a connection that is sent fragment by fragment: the thread that has begun it goes on with it, and what
//! another thread begins is another message (RFC 6455, section 5.4).

use std::fmt;
use std::thread::{self, ThreadId};

use parking_lot::Mutex;
use raddle_core::Progress;
use raddle_socket::{MessageWriter, SendError, SendStatus};

/// The message of a connection that is not finished, if there is one.
#[derive(Default)]
pub(crate) struct Unfinished(Mutex<State>);

#[derive(Default)]
struct State {
    /// `None` as well while its thread sends a fragment.
    open: Option<Box<Open>>,
    /// Threads that are sending a fragment.
    sending: u32,
}

struct Open {
    thread: ThreadId,
    writer: MessageWriter<'static>,
}

impl Unfinished {
    /// Has `send` send a fragment, with the writer of the message that this thread has begun, or else with one that `begin`
    /// makes. Where another thread is amid a message, `send` waits for its end or fails, as its writer does.
    pub(crate) fn send(
        &self,
        progress: Progress,
        begin: impl FnOnce() -> MessageWriter<'static>,
        send: impl FnOnce(&mut MessageWriter<'static>) -> Result<SendStatus, SendError>,
    ) -> Result<SendStatus, SendError> {
        let this = thread::current().id();
        let mut state = self.0.lock();
        state.sending += 1;
        let own = state.open.take_if(|open| open.thread == this);
        // The other threads need it while this one waits.
        drop(state);
        let begins = own.is_none();
        let mut open = own.unwrap_or_else(|| Box::new(Open { thread: this, writer: begin() }));
        let sent = send(&mut open.writer);
        let goes_on = match sent {
            Ok(_) => progress == Progress::More,
            Err(SendError::Closed | SendError::Timeout) => false,
            Err(_) => !begins,
        };
        let mut state = self.0.lock();
        state.sending -= 1;
        if goes_on {
            // The connection has one open message at most, so there is no other.
            state.open = Some(open);
        }
        sent
    }

    /// Gives up the message, which closes the connection with 1011. `false`: a thread is sending a fragment of one.
    pub(crate) fn give_up(&self) -> bool {
        let mut state = self.0.lock();
        let open = state.open.take();
        let is_idle = state.sending == 0;
        drop(state);
        drop(open);
        is_idle
    }
}

impl fmt::Debug for Unfinished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unfinished").finish_non_exhaustive()
    }
}

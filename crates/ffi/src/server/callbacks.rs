//! The events of engines threads and pool: brought to the program by calls of its functions, on the library's threads.

use std::ffi::c_void;
use std::fmt;
use std::sync::Arc;

use raddle_server::{Cause, Close, CloseCode, End, Handler, HandlerError, Message, Reader, Writer};

use crate::connections::{self, Entry};
use crate::message::{MessageView, RADDLE_CLOSED, RADDLE_DRAINED, RADDLE_OPENED};
use crate::server::Core;
use crate::server::config::{ServerConfig, set};
use crate::status::{Failure, Status};
use crate::user::{Destroy, User};

/// What the library calls for an event. The event, and its payload, is lent for the call.
///
/// Returns 0 to go on; anything else closes the connection with 1011, and only its RADDLE_CLOSED follows. For
/// RADDLE_CLOSED it is not looked at.
///
/// Calls for one connection come one after the other; those for several come at the same time. The function must return:
/// one that is left by longjmp or by a C++ exception ends the process, or leaves it undefined.
pub type Callback = Option<unsafe extern "C-unwind" fn(event: *const MessageView, user: *mut c_void) -> i32>;

/// Sets what is called for the events of engines threads and pool. NULL where an event is of no interest. With another engine
/// none is called.
///
/// - `config`: the settings
/// - `on_open`: RADDLE_OPENED: the first event of a connection
/// - `on_message`: RADDLE_TEXT or RADDLE_BINARY
/// - `on_drain`: RADDLE_DRAINED, in engine pool only
/// - `on_close`: RADDLE_CLOSED: the last event of each connection that was opened. After it, the id names nothing
/// - `user`: handed to each call
/// - `destroy`: NULL, or what destroys `user`: called exactly once, when the settings were freed, or have got other
///   callbacks, and no server that was made of them will make a call any more
///
/// Returns RADDLE_OK. With any other status the library has no use for `user`. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_server_config_callbacks(
    config: *mut ServerConfig,
    on_open: Callback,
    on_message: Callback,
    on_drain: Callback,
    on_close: Callback,
    user: *mut c_void,
    destroy: Destroy,
) -> Status {
    let mut before = None;
    let status = set(config, |config| {
        let user = Some(Arc::new(User::new(user, destroy)));
        let callbacks = Callbacks { on_open, on_message, on_drain, on_close, user };
        before = Some(std::mem::replace(&mut config.callbacks, callbacks));
        Ok(())
    });
    // Without the lock of the settings: the program's destructor may use them.
    drop(before);
    status
}

/// What a program has set up to be called.
#[derive(Clone, Default)]
pub(crate) struct Callbacks {
    on_open: Callback,
    on_message: Callback,
    on_drain: Callback,
    on_close: Callback,
    user: Option<Arc<User>>,
}

/// Calls the program for the connections of a server.
pub(crate) struct Caller {
    pub(crate) callbacks: Callbacks,
    pub(crate) core: Arc<Core>,
}

/// A connection of engine pool: in the table until the last call for it was made.
pub(crate) struct Served {
    entry: Entry,
    has_failed: bool,
}

/// A callback has returned something else than 0.
#[derive(Debug)]
pub(crate) struct CallbackFailed(pub(crate) i32);

impl Caller {
    fn call(&self, callback: Callback, event: &MessageView) -> Result<(), CallbackFailed> {
        let Some(callback) = callback else { return Ok(()) };
        let user = self.callbacks.user.as_ref().map_or(std::ptr::null_mut(), |user| user.data());
        // SAFETY: the program has given the function for this pointer, which is not destroyed before `self` is dropped.
        match unsafe { callback(event, user) } {
            0 => Ok(()),
            other => Err(CallbackFailed(other)),
        }
    }

    fn close(&self, entry: &Entry, end: &End) {
        entry.conn.note_end(end);
        // Gone afterwards, whatever becomes of the call.
        let retired = Retired(entry.id);
        let _current = connections::enter(entry);
        // What it returns is not looked at.
        let _ = self.call(self.callbacks.on_close, &closed(entry.id, end));
        drop(_current);
        drop(retired);
    }

    /// Serves a connection of engine threads from its first event to its last, on its own thread.
    pub(crate) fn serve(&self, mut reader: Reader, writer: &Writer) -> Result<(), HandlerError> {
        let entry = self.core.serve(writer).map_err(failed)?;
        let result = {
            let _current = connections::enter(&entry);
            let result = self.call(self.callbacks.on_open, &MessageView::event(entry.id, RADDLE_OPENED));
            result.and_then(|()| self.receive(&mut reader, entry.id))
        };
        let end = match result {
            // The end was seen.
            Ok(()) => reader.end().cloned().unwrap_or_else(|| reader.close(Close::code(CloseCode::NORMAL))),
            Err(_) => reader.fail(Close::code(CloseCode::INTERNAL_ERROR)),
        };
        self.close(&entry, &end);
        Ok(())
    }

    fn receive(&self, reader: &mut Reader, id: u64) -> Result<(), CallbackFailed> {
        while let Ok(Some(message)) = reader.next_message() {
            self.call(self.callbacks.on_message, &MessageView::of(id, message))?;
        }
        Ok(())
    }
}

impl Handler for Caller {
    type State = Served;

    fn on_open(&self, connection: &Writer) -> Result<Served, HandlerError> {
        let entry = self.core.serve(connection).map_err(failed)?;
        let result = {
            let _current = connections::enter(&entry);
            self.call(self.callbacks.on_open, &MessageView::event(entry.id, RADDLE_OPENED))
        };
        // It gets its last call all the same.
        let has_failed = result.is_err();
        if has_failed {
            // It fails where the connection ends anyway.
            let _ = connection.close_for(Close::code(CloseCode::INTERNAL_ERROR), Cause::HandlerFailed);
        }
        Ok(Served { entry, has_failed })
    }

    fn on_message(&self, _: &Writer, state: &mut Served, message: Message<'_>) -> Result<(), HandlerError> {
        if state.has_failed {
            return Ok(());
        }
        let _current = connections::enter(&state.entry);
        Ok(self.call(self.callbacks.on_message, &MessageView::of(state.entry.id, message))?)
    }

    fn on_drain(&self, _: &Writer, state: &mut Served) -> Result<(), HandlerError> {
        if state.has_failed {
            return Ok(());
        }
        let _current = connections::enter(&state.entry);
        Ok(self.call(self.callbacks.on_drain, &MessageView::event(state.entry.id, RADDLE_DRAINED))?)
    }

    fn on_close(&self, _: &Writer, state: Served, end: &End) {
        self.close(&state.entry, end);
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // Where the last call was not made. Else it names nothing any more.
        let _ = connections::retire(self.entry.id);
    }
}

/// The event of a connection that has ended.
pub(crate) fn closed(id: u64, end: &End) -> MessageView {
    let reason = end.received.as_ref().map_or("", |(_, reason)| reason.as_str());
    MessageView {
        detail: u32::from(end.code().0),
        data: reason.as_ptr(),
        length: reason.len(),
        ..MessageView::event(id, RADDLE_CLOSED)
    }
}

/// Takes a connection out of the table when it is dropped.
struct Retired(u64);

impl Drop for Retired {
    fn drop(&mut self) {
        // The program cannot free it.
        let _ = connections::retire(self.0);
    }
}

pub(crate) fn failed(failure: Failure) -> HandlerError {
    format!("a connection gets no handle: {failure:?}").into()
}

impl fmt::Display for CallbackFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a callback has returned {}", self.0)
    }
}

impl std::error::Error for CallbackFailed {}

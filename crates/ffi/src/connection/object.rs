//! Receiving for an interpreter: the next message of a connection in, an object of the interpreter's language out.
//!
//! An interpreter with one lock pays for each time that a thread lets go of it, or wants it back while another has it. So a
//! message that is there already comes without that, and a wait has it once.

use std::ffi::{c_char, c_long, c_void};
use std::ptr;
use std::time::Duration;

use raddle_socket::Message;

use super::line::Line;
use crate::arguments;
use crate::connections;
use crate::guard::guard;
use crate::message::Connection;
use crate::status::{Failure, Status};

/// An interpreter with a lock that a thread has while it runs the language's code: CPython, for one, whose functions are named
/// here. This structure is frozen: it stays as it is in every version of this ABI.
///
/// The functions are called on the thread that calls the library; all but `enter` with the interpreter's lock. They must not
/// call functions of this header, and return, but for `enter`. Nothing else that the library calls may want that lock, the
/// function of raddle_log least of all: the library has locks of its own then, which a call with the interpreter's waits for.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Interpreter {
    /// Lets go of the interpreter's lock, and returns what `enter` is called with: PyEval_SaveThread.
    pub leave: Option<unsafe extern "C-unwind" fn() -> *mut c_void>,
    /// Takes the interpreter's lock: PyEval_RestoreThread. It may end the thread in place of returning.
    pub enter: Option<unsafe extern "C-unwind" fn(left: *mut c_void)>,
    /// Makes an object of a text, UTF-8 of so many bytes: PyUnicode_FromStringAndSize.
    pub text: Option<unsafe extern "C-unwind" fn(data: *const c_char, length: isize) -> *mut c_void>,
    /// Makes an object of so many bytes: PyBytes_FromStringAndSize.
    pub binary: Option<unsafe extern "C-unwind" fn(data: *const c_char, length: isize) -> *mut c_void>,
    /// Makes an object of a number: PyLong_FromLong.
    pub number: Option<unsafe extern "C-unwind" fn(number: c_long) -> *mut c_void>,
}

/// Waits for the next message, and makes an object of it. To be called with the interpreter's lock, which is let go while it
/// waits, and not at all for a message that has come together with the one before.
///
/// - `conn`, `timeout_ms`: as with raddle_recv
/// - `interpreter`: what makes the objects
///
/// Returns what `text` or `binary` has made of the message, or `number` of the status in place of one, which is as with
/// raddle_recv. NULL where such a function has returned NULL: a message is not lost then, and comes with the next call. NULL, too,
/// where `interpreter` is, or one of its functions. From any thread, one at a time.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn raddle_recv_object(
    conn: Connection,
    timeout_ms: i64,
    interpreter: *const Interpreter,
) -> *mut c_void {
    let functions = match arguments::array(interpreter, 1, "interpreter").and_then(Functions::of) {
        Ok(functions) => functions,
        Err(failure) => {
            guard(|| Err(failure));
            return ptr::null_mut();
        }
    };
    let mut object = None;
    let mut status = guard(|| {
        object = received(conn, functions)?;
        Ok(())
    });
    if status == Status::RADDLE_OK && object.is_none() {
        // SAFETY: the program has given the function for this, and this thread has the interpreter's lock.
        let left = unsafe { (functions.leave)() };
        status = guard(|| wait(conn, timeout_ms));
        let is_first = LINE.stand();
        // It may end the thread, which unwinds this frame: there is nothing in it that would have to be dropped, nothing
        // below it that catches, and its place in the line goes with the thread.
        // SAFETY: the program has given the function for this, and `left` is what `leave` has returned.
        unsafe { (functions.enter)(left) };
        if is_first {
            LINE.leave();
        }
        if status == Status::RADDLE_OK {
            status = guard(|| {
                object = received(conn, functions)?;
                Ok(())
            });
        }
    }
    // `None` with success: another thread has received it.
    let status = if object.is_none() && status == Status::RADDLE_OK { Status::RADDLE_ERR_BUSY } else { status };
    // SAFETY: the program has given the function for this, and this thread has the interpreter's lock.
    object.unwrap_or_else(|| unsafe { (functions.number)(c_long::from(status as i32)) })
}

/// The functions of an interpreter, which are all there.
#[derive(Clone, Copy)]
struct Functions {
    leave: unsafe extern "C-unwind" fn() -> *mut c_void,
    enter: unsafe extern "C-unwind" fn(*mut c_void),
    text: unsafe extern "C-unwind" fn(*const c_char, isize) -> *mut c_void,
    binary: unsafe extern "C-unwind" fn(*const c_char, isize) -> *mut c_void,
    number: unsafe extern "C-unwind" fn(c_long) -> *mut c_void,
}

impl Functions {
    fn of(interpreter: &[Interpreter]) -> Result<Self, Failure> {
        match interpreter {
            &[
                Interpreter {
                    leave: Some(leave),
                    enter: Some(enter),
                    text: Some(text),
                    binary: Some(binary),
                    number: Some(number),
                },
            ] => Ok(Self { leave, enter, text, binary, number }),
            _ => Err(Failure::argument("interpreter: a function of it is NULL")),
        }
    }

    /// Makes an object of a message.
    fn object(self, message: Message<'_>) -> *mut c_void {
        let (make, bytes) = match message {
            Message::Text(text) => (self.text, text.as_bytes()),
            Message::Binary(bytes) => (self.binary, bytes),
        };
        // SAFETY: the program has given the function for this, and this thread has the interpreter's lock; so many bytes, which
        // are no more than an object can have, are there during the call.
        unsafe { make(bytes.as_ptr().cast(), bytes.len() as isize) }
    }
}

/// Makes an object of a message that has come already; `None`: none has.
///
/// With the interpreter's lock: nothing waits here. What it locks is held by other threads while they work on buffers only, and none
/// of them wants the interpreter's lock meanwhile: those of the library never do, and those of the program have let go of what is
/// locked before they take it.
fn received(conn: Connection, functions: Functions) -> Result<Option<*mut c_void>, Failure> {
    connections::receive(conn, |_, receiving| {
        let object = receiving.received().map(|message| functions.object(message));
        *receiving.is_kept = object.is_some_and(|object| object.is_null());
        Ok(object)
    })
}

/// Waits for the next message, and leaves it where it is for the next call that receives.
fn wait(conn: Connection, timeout_ms: i64) -> Result<(), Failure> {
    connections::receive(conn, |of, receiving| {
        receiving.next(of, timeout_ms)?;
        *receiving.is_kept = true;
        Ok(())
    })
}

/// Those who want the interpreter's lock back.
static LINE: Line = Line::new(Duration::from_secs(1));

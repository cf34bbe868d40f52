//! What the library has to say to whoever runs the program: lines in, calls of the program's function out.

use std::cell::Cell;
use std::ffi::{c_char, c_void};
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Once};

use log::{Level, LevelFilter, Log, Metadata, Record};
use parking_lot::RwLock;

use crate::arguments;
use crate::guard::guard;
use crate::status::{LONGEST, Line, Status};
use crate::user::{Destroy, User};

/// Nothing is told.
pub const RADDLE_LOG_OFF: u32 = 0;
/// What somebody should look after: a callback that has failed, a thread that cannot be started.
pub const RADDLE_LOG_ERROR: u32 = 1;
/// What may become that.
pub const RADDLE_LOG_WARNING: u32 = 2;
/// What happens seldom.
pub const RADDLE_LOG_INFO: u32 = 3;
/// How each connection has ended, and why each that was not opened was refused.
pub const RADDLE_LOG_DEBUG: u32 = 4;
/// Everything.
pub const RADDLE_LOG_TRACE: u32 = 5;

/// What the library calls with a line for a log: its level, RADDLE_LOG_…, and a text of at most 511 bytes of UTF-8, lent for
/// the call. Peers' texts in it are escaped; payloads, cookies and keys are never in it.
///
/// Called on any thread, by several at a time. What the function does with this library is not logged.
pub type LogCallback = Option<unsafe extern "C-unwind" fn(level: u32, text: *const c_char, user: *mut c_void)>;

/// Has a function called for what the library has to say. Default: it says nothing.
///
/// - `callback`: the function; NULL for none
/// - `level`: the least important that is told: RADDLE_LOG_…
/// - `user`, `destroy`: handed to each call; `destroy`, unless it is NULL, is called exactly once, when another function was
///   set and the last call has returned
///
/// Returns RADDLE_OK; RADDLE_ERR_ARGUMENT for another level: then all stays as it is, and the library has no use for
/// `user`. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_log(callback: LogCallback, level: u32, user: *mut c_void, destroy: Destroy) -> Status {
    guard(|| {
        let levels = [
            (RADDLE_LOG_OFF, LevelFilter::Off),
            (RADDLE_LOG_ERROR, LevelFilter::Error),
            (RADDLE_LOG_WARNING, LevelFilter::Warn),
            (RADDLE_LOG_INFO, LevelFilter::Info),
            (RADDLE_LOG_DEBUG, LevelFilter::Debug),
            (RADDLE_LOG_TRACE, LevelFilter::Trace),
        ];
        let level = arguments::one_of(level, &levels, "level")?;
        let user = User::new(user, destroy);
        let target = callback.map(|call| Arc::new(Target { call, user }));
        INSTALLED.call_once(|| {
            // Nobody else in this library sets one.
            let _ = log::set_logger(&ToProgram);
        });
        log::set_max_level(if target.is_some() { level } else { LevelFilter::Off });
        let before = std::mem::replace(&mut *TARGET.write(), target);
        drop(before);
        Ok(())
    })
}

/// What is called, and with what.
struct Target {
    call: unsafe extern "C-unwind" fn(u32, *const c_char, *mut c_void),
    user: User,
}

struct ToProgram;

impl Log for ToProgram {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        // Without the lock: the function may set another.
        let Some(target) = TARGET.read().clone() else { return };
        if !self.enabled(record.metadata()) || IS_LOGGING.replace(true) {
            return;
        }
        let mut text = [0; LONGEST];
        let mut line = Line::new(&mut text);
        // What is too long is cut.
        let _ = line.write_fmt(*record.args());
        let level = match record.level() {
            Level::Error => RADDLE_LOG_ERROR,
            Level::Warn => RADDLE_LOG_WARNING,
            Level::Info => RADDLE_LOG_INFO,
            Level::Debug => RADDLE_LOG_DEBUG,
            Level::Trace => RADDLE_LOG_TRACE,
        };
        // SAFETY: the program has given the function for this pointer, which is not destroyed before `target` is dropped;
        // the text ends with a NUL, as the line leaves one byte of it alone.
        let call = || unsafe { (target.call)(level, text.as_ptr().cast(), target.user.data()) };
        // An exception ends the process here, and not amid of what logs.
        let _ = catch_unwind(AssertUnwindSafe(call));
        IS_LOGGING.set(false);
    }

    fn flush(&self) {}
}

thread_local! {
    static IS_LOGGING: Cell<bool> = const { Cell::new(false) };
}

static TARGET: RwLock<Option<Arc<Target>>> = RwLock::new(None);
static INSTALLED: Once = Once::new();

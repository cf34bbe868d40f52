//! What the library has to say to whoever runs the program: lines in, calls of the program's function out.

use std::cell::Cell;
use std::ffi::{c_char, c_void};
use std::fmt::Write as _;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};

use log::{Level, LevelFilter, Log, Metadata, Record};
use parking_lot::RwLock;

use crate::arguments;
use crate::guard::guard;
use crate::status::{Failure, LONGEST, Line, Status};
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
/// Called on any thread, by several at a time, and amid the library's work: it must not call functions of this header, which
/// could wait for what its own thread has to itself, but writes the line down, or hands it to another thread.
pub type LogCallback = Option<unsafe extern "C-unwind" fn(level: u32, text: *const c_char, user: *mut c_void)>;

/// Has a function called for what the library has to say. Default: it says nothing.
///
/// - `callback`: the function; NULL for none
/// - `level`: the least important that is told: RADDLE_LOG_…
/// - `user`, `destroy`: handed to each call; `destroy`, unless it is NULL, is called exactly once, when another function was
///   set and the last call has returned
///
/// Returns RADDLE_OK; RADDLE_ERR_ARGUMENT for another level; RADDLE_ERR_STATE where the program, which is partly in Rust and
/// has the library linked into it, has a logger of its own: that hears what the library says. With either all stays as it
/// is, and the library has no use for `user`. From any thread.
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
        if !*IS_INSTALLED.get_or_init(|| log::set_logger(&ToProgram).is_ok()) {
            return Err(Failure::state("the program has a logger of its own"));
        }
        let user = User::new(user, destroy);
        let (target, unused) = match callback {
            Some(call) => (Some(Arc::new(Target { call, level, user })), None),
            None => (None, Some(user)),
        };
        let mut place = TARGET.write();
        // With the lock: of two threads that set a function, one sets both.
        log::set_max_level(if target.is_some() { level } else { LevelFilter::Off });
        let before = mem::replace(&mut *place, target);
        drop(place);
        drop((before, unused));
        Ok(())
    })
}

/// What is called, and with what.
struct Target {
    call: unsafe extern "C-unwind" fn(u32, *const c_char, *mut c_void),
    level: LevelFilter,
    user: User,
}

impl Target {
    /// Tells whether the program is told of this. Other crates than ours have their own words for it, and may not keep what
    /// is secret to themselves.
    fn hears(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= self.level && metadata.target().starts_with("raddle")
    }
}

struct ToProgram;

impl Log for ToProgram {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        TARGET.read().as_ref().is_some_and(|target| target.hears(metadata))
    }

    fn log(&self, record: &Record<'_>) {
        // Without the lock: others set another function meanwhile, and do not wait for this one.
        let Some(target) = TARGET.read().clone() else { return };
        // A function that calls the library all the same is not called again by that.
        if !target.hears(record.metadata()) || IS_LOGGING.replace(true) {
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
/// `false`: there was another logger before.
static IS_INSTALLED: OnceLock<bool> = OnceLock::new();

#[cfg(test)]
mod tests {
    use super::*;

    extern "C-unwind" fn ignore(_: u32, _: *const c_char, _: *mut c_void) {}

    extern "C-unwind" fn count(user: *mut c_void) {
        // SAFETY: the test has given a counter, which outlives its use.
        unsafe { *user.cast::<u32>() += 1 };
    }

    #[test]
    fn the_program_hears_what_is_ours_and_as_important_as_it_asked_for() {
        let user = User::new(std::ptr::null_mut(), None);
        let target = Target { call: ignore, level: LevelFilter::Info, user };
        let hears = |level, of| target.hears(&Metadata::builder().level(level).target(of).build());
        assert!(hears(Level::Info, "raddle_socket::attendant") && hears(Level::Error, "raddle::server"));
        assert!(!hears(Level::Debug, "raddle_socket::attendant"));
        assert!(!hears(Level::Error, "rustls::client"));
    }

    #[test]
    fn a_logger_of_the_program_stays_and_the_pointer_too() {
        struct Own;
        impl Log for Own {
            fn enabled(&self, _: &Metadata<'_>) -> bool {
                false
            }
            fn log(&self, _: &Record<'_>) {}
            fn flush(&self) {}
        }
        log::set_logger(&Own).expect("no other test sets one");
        log::set_max_level(LevelFilter::Warn);
        let mut destroyed = 0_u32;
        let user = std::ptr::from_mut(&mut destroyed).cast();
        assert_eq!(raddle_log(Some(ignore), RADDLE_LOG_TRACE, user, Some(count)), Status::RADDLE_ERR_STATE);
        assert_eq!(raddle_log(None, RADDLE_LOG_OFF, user, Some(count)), Status::RADDLE_ERR_STATE);
        assert_eq!((log::max_level(), destroyed), (LevelFilter::Warn, 0));
    }
}

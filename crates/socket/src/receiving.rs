//! What a reader does where nothing is left to parse: it lets the answers go, and waits for more, as long as is asked for.

use std::io;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use raddle_core::Receiver;

use crate::end::Cause;
use crate::flags::Flag;
use crate::link::Link;
use crate::pages::give_back;
use crate::sys;
use crate::transport::{Interest, Patience};

/// What ends a wait beside what is waited for.
#[derive(Clone, Copy)]
pub(crate) struct Until {
    /// `None`: no time.
    pub(crate) deadline: Option<Duration>,
    /// A signal handler that has run.
    pub(crate) signal: bool,
    /// Nothing is read at all.
    pub(crate) nothing: bool,
}

/// What has ended a wait.
pub(crate) enum Arrived {
    Bytes,
    Timeout,
    Signal,
}

impl Until {
    pub(crate) const NEVER: Self = Self { deadline: None, signal: false, nothing: false };
    pub(crate) const NOTHING: Self = Self { nothing: true, ..Self::NEVER };

    pub(crate) fn after(timeout: Duration) -> Self {
        Self { deadline: Some(sys::now().saturating_add(timeout)), ..Self::NEVER }
    }

    /// When it is given up, where that is so.
    pub(crate) fn latest(self) -> Option<Duration> {
        if self.nothing { Some(Duration::ZERO) } else { self.deadline }
    }

    /// The time that is left; `None`: as long as it takes.
    fn left(self) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_sub(sys::now()))
    }
}

impl Link {
    /// Reads more. [`Arrived::Timeout`]: the deadline has passed, and `looks` at what had arrived before it.
    pub(crate) fn read(
        self: &Arc<Self>,
        receiver: &mut Receiver,
        until: Until,
        looks: &mut u32,
    ) -> Result<Arrived, Cause> {
        let amid_message = receiver.is_amid_message();
        if amid_message {
            self.note_amid_message();
        }
        self.count_input(receiver.kept());
        if self.flags.has(Flag::GivenUp) {
            return Err(self.given_up_for());
        }
        // The answers leave before the thread may wait; together with those to what is known to have arrived already.
        let is_more_there = receiver.is_hungry() || self.transport.has_input();
        let hungry = until.deadline.is_none() && is_more_there && self.cork.is_held();
        if hungry && let Ok(count @ 1..) = self.transport.receive(receiver.space(), Patience::DontWait) {
            if self.flags.has(Flag::GivenUp) {
                return Err(self.given_up_for());
            }
            receiver.filled(count);
            self.counters.heard(count);
            return Ok(Arrived::Bytes);
        }
        if self.cork.is_held() {
            self.flush();
        }
        let mut is_first = true;
        loop {
            let patience = match until.left() {
                None if receiver.capacity() > IDLE_CAPACITY => Patience::BlockFor(IDLE),
                None => Patience::Block,
                // Where the peer answers soon, that is one system call in place of two.
                Some(left) if left >= LONG && mem::take(&mut is_first) => Patience::BlockFor(BRISK),
                Some(left) => {
                    if left.is_zero() {
                        let Some(fewer) = looks.checked_sub(1) else { return Ok(Arrived::Timeout) };
                        *looks = fewer;
                    }
                    let large = receiver.capacity() > IDLE_CAPACITY && !amid_message;
                    let rest = left > IDLE && large;
                    match self.wait_readable(if rest { IDLE } else { left })? {
                        Arrived::Signal if until.signal => return Ok(Arrived::Signal),
                        // A read that does not wait says the same again, or better.
                        Arrived::Bytes | Arrived::Signal => {}
                        Arrived::Timeout if rest => {
                            self.give_back(receiver);
                            continue;
                        }
                        Arrived::Timeout => return Ok(Arrived::Timeout),
                    }
                    Patience::DontWait
                }
            };
            match self.transport.receive(receiver.space(), patience) {
                Ok(0) => return Err(Cause::EndOfStream),
                Ok(_) if self.flags.has(Flag::GivenUp) => return Err(self.given_up_for()),
                Ok(count) => {
                    receiver.filled(count);
                    self.counters.heard(count);
                    return Ok(Arrived::Bytes);
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock if patience == Patience::BlockFor(IDLE) && !amid_message => {
                        self.give_back(receiver);
                    }
                    io::ErrorKind::Interrupted if until.signal => return Ok(Arrived::Signal),
                    io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock => {}
                    kind => return Err(Cause::Io(kind)),
                },
            }
        }
    }

    /// Why the connection was given up.
    pub(crate) fn given_up_for(&self) -> Cause {
        self.outgoing.lock().cause().unwrap_or(Cause::MessageTimeout)
    }

    /// Gives back the memory that a connection does not need while it waits for its peer.
    fn give_back(&self, receiver: &mut Receiver) {
        receiver.shrink_with(give_back);
        self.outgoing.lock().shrink();
    }

    pub(crate) fn wait_readable(&self, timeout: Duration) -> Result<Arrived, Cause> {
        match self.transport.wait(Interest::Read, Some(timeout)) {
            Ok(ready) => Ok(if ready.read { Arrived::Bytes } else { Arrived::Timeout }),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(Arrived::Signal),
            Err(error) => Err(Cause::Io(error.kind())),
        }
    }
}

/// Reads of what may have arrived before a deadline, once it has passed.
pub(crate) const LATE_LOOKS: u32 = 16;
/// A receive buffer up to this size is kept by a connection that waits for its peer.
const IDLE_CAPACITY: usize = 2 * 1024;
/// A larger one is given back after this time.
const IDLE: Duration = Duration::from_millis(250);
/// A wait with a deadline that is so far away begins with a read that waits for this time. The system's clock for it is coarse.
const BRISK: Duration = Duration::from_millis(60);
const LONG: Duration = Duration::from_millis(80);

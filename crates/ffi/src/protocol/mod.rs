//! The protocol without I/O for programs with their own event loop: a handle for one side of one connection; bytes in, events out;
//! messages in, bytes out. It reads no socket and no clock, and calls nobody.
//!
//! [`endpoint`] does the work, in safe Rust; beside it stand the functions that C calls.

pub mod config;
pub mod endpoint;
pub mod events;
pub mod handshake;
mod keys;
pub mod messages;
mod opening;
mod output;
mod sending;
mod settings;
#[cfg(test)]
mod tests;

use endpoint::{Endpoint, Fault};
use opening::Unanswered;
use raddle_core::handshake::ResponseError;
use sending::Unsent;
use settings::Settings;

use crate::guard::{Depth, guard, trip};
use crate::handles::{self, Handle, Kind, Table};
use crate::status::{Failure, Status};

/// One side of a WebSocket connection without I/O. One thread uses it at a time: another gets RADDLE_ERR_BUSY.
pub struct Protocol {
    _opaque: (),
}

/// What protocol objects are made of. One thread changes it at a time: another gets RADDLE_ERR_BUSY.
pub struct ProtocolConfig {
    _opaque: (),
}

impl Handle for Protocol {
    type Value = Box<Endpoint>;

    fn table() -> &'static Table<Box<Endpoint>> {
        static TABLE: Table<Box<Endpoint>> = Table::new(Kind::Protocol);
        &TABLE
    }
}

impl Handle for ProtocolConfig {
    type Value = Settings;

    fn table() -> &'static Table<Settings> {
        static TABLE: Table<Settings> = Table::new(Kind::ProtocolConfig);
        &TABLE
    }
}

/// One call on an object that the thread has to itself.
fn with<H: Handle>(handle: *const H, act: impl FnOnce(&mut H::Value) -> Result<(), Failure>) -> Status {
    guard(|| {
        H::table().use_alone(handles::to_id(handle), |value| {
            trip(Depth::Handle);
            act(value)
        })
    })
}

/// Frees an object. NULL is no object, and fine.
fn free<H: Handle>(handle: *mut H) -> Status {
    guard(|| {
        if !handle.is_null() {
            drop(H::table().take(handles::to_id(handle))?);
        }
        Ok(())
    })
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Request(error) => Self::of(Status::RADDLE_ERR_HANDSHAKE, &error),
            Fault::Response(error) => Self::of(Status::RADDLE_ERR_HANDSHAKE, &error),
            Fault::Answered => Self::new(Status::RADDLE_ERR_CLOSED, "the request was answered, and not accepted"),
            Fault::Frame(error) => Self::of(Status::RADDLE_ERR_PROTOCOL, &error),
        }
    }
}

impl From<Unsent> for Failure {
    fn from(unsent: Unsent) -> Self {
        match unsent {
            Unsent::NotOpen => Self::state("the connection is not open"),
            Unsent::Send(raddle_core::SendError::NoMaskingKey) => Self::state("there is no masking key left"),
            Unsent::Send(error) => error.into(),
        }
    }
}

impl From<Unanswered> for Failure {
    fn from(unanswered: Unanswered) -> Self {
        match unanswered {
            Unanswered::NotNow => Self::state("no request waits for a decision"),
            Unanswered::Answer(error) => error.into(),
            Unanswered::Plain(error) => Self::of(Status::RADDLE_ERR_STATE, &error),
        }
    }
}

impl From<ResponseError> for Failure {
    fn from(error: ResponseError) -> Self {
        Self::of(Status::RADDLE_ERR_ARGUMENT, &error)
    }
}

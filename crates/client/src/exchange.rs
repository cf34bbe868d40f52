//! Bytes out and bytes in on a stream that is not a connection yet, until the attempt's deadline.

use std::io::{self, ErrorKind, IoSlice};

use raddle_core::handshake::ClientError;
use raddle_socket::{Interest, Patience, Transport};

use crate::error::{ConnectError, Stage};
use crate::until::Until;

/// A stream, and how long what is said on it may take.
#[derive(Clone, Copy)]
pub(crate) struct Exchange<'a> {
    pub(crate) transport: &'a dyn Transport,
    pub(crate) until: &'a Until<'a>,
    pub(crate) stage: Stage,
}

impl Exchange<'_> {
    /// Writes all of `bytes`.
    pub(crate) fn write(&self, mut bytes: &[u8]) -> Result<(), ConnectError> {
        while !bytes.is_empty() {
            match self.transport.send(&[IoSlice::new(bytes)]) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) => self.wait_after(error, Interest::Write)?,
            }
        }
        Ok(())
    }

    /// Reads some bytes behind those that are in `received`, at most so many; `false`: the stream has ended.
    pub(crate) fn read(&self, received: &mut Vec<u8>, at_most: usize) -> Result<bool, ConnectError> {
        let mut space = [0; 4096];
        let space = &mut space[..at_most.min(4096)];
        loop {
            // Also while bytes come: they do not put off the deadline.
            self.until.left(self.stage)?;
            match self.transport.receive(space, Patience::DontWait) {
                Ok(count) => {
                    received.extend_from_slice(&space[..count]);
                    return Ok(count > 0);
                }
                Err(error) => self.wait_after(error, Interest::Read)?,
            }
        }
    }

    /// Reads on into `received` until `parse` finds there what it looks for, or a fault: that is the inner error.
    pub(crate) fn read_head<T>(
        &self,
        received: &mut Vec<u8>,
        mut parse: impl FnMut(&[u8]) -> Result<Option<T>, ClientError>,
    ) -> Result<Result<T, ClientError>, ConnectError> {
        loop {
            if !self.read(received, usize::MAX)? {
                return Err(ConnectError::EndOfStream);
            }
            if let Some(found) = parse(received).transpose() {
                return Ok(found);
            }
        }
    }

    /// Reads exactly `N` bytes.
    pub(crate) fn read_exact<const N: usize>(&self) -> Result<[u8; N], ConnectError> {
        let mut received = Vec::with_capacity(N);
        while received.len() < N {
            let missing = N - received.len();
            if !self.read(&mut received, missing)? {
                return Err(ConnectError::EndOfStream);
            }
        }
        Ok(received.try_into().expect("so many bytes were asked for"))
    }

    fn wait_after(&self, error: io::Error, interest: Interest) -> Result<(), ConnectError> {
        match error.kind() {
            ErrorKind::Interrupted => return Ok(()),
            ErrorKind::WouldBlock => {}
            // The server may cut the stream off behind its last word.
            ErrorKind::UnexpectedEof => return Err(ConnectError::EndOfStream),
            _ => return Err(ConnectError::from_io(error)),
        }
        match self.transport.wait(interest, Some(self.until.left(self.stage)?)) {
            Err(error) if error.kind() != ErrorKind::Interrupted => Err(ConnectError::Io(error)),
            _ => Ok(()),
        }
    }
}

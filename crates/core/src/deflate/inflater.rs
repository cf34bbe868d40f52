//! An inflater of raw DEFLATE data (RFC 1951) in pieces, which tells whether a message has ended where it may.

use zlib_rs::{Inflate, InflateError, InflateFlush, Status};

use super::census::{Counted, INFLATERS};
use super::pool::Pool;
use crate::Error;

/// Inflates the messages of one direction, with what they refer back to.
pub(crate) struct Inflater {
    stream: Inflate,
    _counted: Counted,
}

/// What a step has used of its input and made of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) used: usize,
    pub(crate) made: usize,
    /// A block that says that it is the last has ended (section 7.2.3.4).
    pub(crate) ended: bool,
    /// What follows is no DEFLATE data.
    pub(crate) broken: bool,
}

impl Inflater {
    /// One that knows nothing of earlier messages.
    pub(crate) fn lend() -> Self {
        POOL.take(|_| true).unwrap_or_else(|| Self {
            // Of the largest window, which suits each smaller one and takes no more memory.
            stream: Inflate::new(false, 15),
            _counted: Counted::new(&INFLATERS),
        })
    }

    /// Gives it back, without what it knows.
    pub(crate) fn give_back(mut self) {
        self.restart();
        POOL.give(self);
    }

    /// Forgets all: what comes next is the beginning of a stream.
    pub(crate) fn restart(&mut self) {
        self.stream.reset(false);
    }

    /// Inflates from `input` to `output` until one of them is at its end, or the stream.
    pub(crate) fn step(&mut self, input: &[u8], output: &mut [u8]) -> Step {
        self.inflate(input, output, InflateFlush::NoFlush)
    }

    /// Ends a message: takes the tail that its sender has left out (section 7.2.2). It has to be the end of an empty stored
    /// block whose beginning was the end of the message, so that nothing is missing and the next message begins with a block.
    pub(crate) fn finish(&mut self) -> Result<(), Error> {
        // The inflater does not tell where in a block it is, but it stops behind one when asked to. With a byte behind the
        // tail that it leaves alone, it stands behind a block; without output, the tail was in no block's contents.
        let mut output = [0; 8];
        let tail = self.inflate(&[0, 0, 0xff, 0xff, 0], &mut output, InflateFlush::Block);
        if tail != (Step { used: 4, made: 0, ended: false, broken: false }) {
            return Err(Error::InvalidCompression);
        }
        // Bits of the tail's last byte may be left, where that has ended another kind of block: ones, which make something
        // else of the empty stored block that follows here than it is at a byte boundary.
        let block = self.inflate(&[0, 0, 0, 0xff, 0xff], &mut output, InflateFlush::NoFlush);
        match block {
            Step { used: 5, made: 0, ended: false, broken: false } => Ok(()),
            Step { used: 0, made: 0, ended: true, broken: false } => {
                self.restart();
                Ok(())
            }
            _ => Err(Error::InvalidCompression),
        }
    }

    fn inflate(&mut self, input: &[u8], output: &mut [u8], flush: InflateFlush) -> Step {
        let (read, written) = (self.stream.total_in(), self.stream.total_out());
        let (ended, broken) = match self.stream.decompress(input, output, flush) {
            Ok(status) => (status == Status::StreamEnd, false),
            Err(InflateError::DataError | InflateError::NeedDict { .. }) => (false, true),
            Err(InflateError::StreamError | InflateError::MemError) => unreachable!("the stream was made"),
        };
        let used = (self.stream.total_in() - read) as usize;
        let made = (self.stream.total_out() - written) as usize;
        Step { used, made, ended, broken }
    }
}

static POOL: Pool<Inflater> = Pool::new();

//! The state of TLS on one connection, and its pump: received records go in, their bytes come out; bytes go in, records go
//! to the socket. No call waits.

use std::io::{self, BufRead, IoSlice, Read, Write};

use rustls::Connection;

use crate::records::Records;
use crate::tls::invalid;
use crate::transport::{Socket, Transport};

pub(crate) struct State {
    pub(crate) connection: Connection,
    /// Records that were received, and that the connection has not taken: its own bytes have to be fetched first.
    unfed: Vec<u8>,
    /// Bytes that it has decrypted and that were not fetched.
    decrypted: usize,
    /// Bytes that are encrypted, and whose records are not all written. They count as taken when those are.
    owed: usize,
    /// Bytes of records written since those were encrypted.
    passed: usize,
    /// Bytes of records since the last that had something in it.
    barren: usize,
    /// Those of the handshake, as they have come from the socket.
    records: Records,
    /// Bytes from which on the socket counts as readable.
    least: usize,
    /// The socket has ended, or has failed.
    pub(crate) cut: Option<io::ErrorKind>,
    /// The peer has said that nothing more comes.
    is_ended: bool,
    /// Nothing more is sent, and what comes is dropped as it is: an alert for it would follow our close_notify, over which rustls
    /// panics where it is built for debugging.
    is_closed: bool,
    failed: Option<rustls::Error>,
}

impl State {
    pub(crate) fn new(connection: Connection) -> Self {
        Self {
            connection,
            unfed: Vec::new(),
            decrypted: 0,
            owed: 0,
            passed: 0,
            barren: 0,
            records: Records::default(),
            least: 1,
            cut: None,
            is_ended: false,
            is_closed: false,
            failed: None,
        }
    }

    /// Has records decrypted first that were received elsewhere.
    pub(crate) fn put_back(&mut self, records: &[u8]) {
        self.records.pass(records);
        self.unfed.extend_from_slice(records);
    }

    /// Takes records of the handshake.
    pub(crate) fn feed_handshake(&mut self, records: &[u8]) -> io::Result<usize> {
        self.records.pass(records);
        self.feed(records, &mut [])
    }

    /// Has the socket count as readable when the record under way is complete: a peer that sends it byte by byte wakes nobody for
    /// each of them. Nothing of it could be understood before; between two records, any byte will do.
    pub(crate) fn await_record(&mut self, socket: &Socket) -> io::Result<()> {
        let least = if self.records.is_amid() { self.records.lacking() } else { 1 };
        self.await_bytes(least, socket)
    }

    /// Has the socket count as readable when so many bytes are there.
    pub(crate) fn await_bytes(&mut self, least: usize, socket: &Socket) -> io::Result<()> {
        if self.least != least {
            socket.set_least(least)?;
            self.least = least;
        }
        Ok(())
    }

    /// Decrypts what waits and then `records`, and moves their bytes to `space`, as far as they fit; the number of them.
    ///
    /// A failure comes behind all that was received before it, and is final.
    pub(crate) fn feed(&mut self, records: &[u8], space: &mut [u8]) -> io::Result<usize> {
        if self.is_closed {
            return Ok(0);
        }
        let waiting = std::mem::take(&mut self.unfed);
        let mut given = self.fetch(space, 0);
        for mut records in [&waiting[..], records] {
            while !records.is_empty() && self.failed.is_none() {
                if self.decrypted > 0 {
                    self.unfed.extend_from_slice(records);
                    break;
                }
                // It takes some of them, and nothing only where the peer has said that it was all.
                match self.connection.read_tls(&mut records) {
                    Ok(0) => break,
                    Ok(count) => self.process(count),
                    Err(error) => self.failed = Some(rustls::Error::General(error.to_string())),
                }
                given = self.fetch(space, given);
            }
        }
        self.outcome(given)
    }

    /// Decrypts `space[..count]`, records that were received there, and puts their bytes in their place, as far as they fit; the
    /// number of them. Nothing waits to be decrypted before them.
    ///
    /// A failure comes behind all that was received before it, and is final.
    pub(crate) fn feed_in_place(&mut self, space: &mut [u8], count: usize) -> io::Result<usize> {
        if self.is_closed {
            return Ok(0);
        }
        debug_assert!(self.unfed.is_empty() && self.decrypted == 0, "it goes first");
        let (mut taken, mut given) = (0, 0);
        while taken < count && self.failed.is_none() {
            match self.connection.read_tls(&mut &space[taken..count]) {
                Ok(0) => break,
                Ok(more) => {
                    taken += more;
                    self.process(more);
                }
                Err(error) => self.failed = Some(rustls::Error::General(error.to_string())),
            }
            // Only over what was taken already. What has no room yet is of a record that had begun before, 16 KiB at most, which
            // is as much as may be left there while more records are taken.
            given = self.fetch(&mut space[..taken], given);
        }
        given = self.fetch(space, given);
        self.outcome(given)
    }

    /// What has come of records that have given so many bytes.
    fn outcome(&self, given: usize) -> io::Result<usize> {
        match &self.failed {
            Some(error) if given == 0 && self.decrypted == 0 => Err(invalid(error.clone())),
            _ => Ok(given),
        }
    }

    fn process(&mut self, count: usize) {
        match self.connection.process_new_packets() {
            Ok(found) => {
                self.decrypted = found.plaintext_bytes_to_read();
                self.is_ended |= found.peer_has_closed();
                let is_barren = self.decrypted == 0 && !self.connection.is_handshaking();
                self.barren = if is_barren { self.barren + count } else { 0 };
                if self.barren > MOST_BARREN {
                    self.failed = Some(rustls::Error::General("too many records without data".into()));
                }
            }
            Err(error) => {
                // How much came before it is not told.
                let has_more = self.connection.reader().fill_buf().is_ok_and(|bytes| !bytes.is_empty());
                self.decrypted = if has_more { usize::MAX } else { 0 };
                self.failed = Some(error);
            }
        }
    }

    /// Moves decrypted bytes to `space`, where `given` are already.
    fn fetch(&mut self, space: &mut [u8], mut given: usize) -> usize {
        while given < space.len() && self.decrypted > 0 {
            match self.connection.reader().read(&mut space[given..]) {
                Ok(count @ 1..) => {
                    given += count;
                    self.decrypted = self.decrypted.saturating_sub(count);
                }
                Ok(0) | Err(_) => self.decrypted = 0,
            }
        }
        given
    }

    /// What the stream has come to where nothing of it is left; `None`: it goes on.
    pub(crate) fn end(&self) -> Option<io::Result<usize>> {
        match &self.failed {
            _ if self.decrypted > 0 => None,
            // Whoever has ended the stream is not told how its peer has.
            _ if self.is_closed => (self.is_ended || self.cut.is_some()).then_some(Ok(0)),
            Some(error) => Some(Err(invalid(error.clone()))),
            None if self.is_ended => Some(Ok(0)),
            None => match self.cut? {
                io::ErrorKind::UnexpectedEof => Some(Err(io::Error::new(io::ErrorKind::UnexpectedEof, CUT))),
                kind => Some(Err(kind.into())),
            },
        }
    }

    /// Tells whether there is something to be had without the socket.
    pub(crate) fn has_input(&self) -> bool {
        let has_ended = self.is_ended || self.cut.is_some();
        has_ended || !self.is_closed && (self.decrypted > 0 || !self.unfed.is_empty() || self.failed.is_some())
    }

    /// Encrypts and writes the start of `parts`, as much as the socket takes and rustls encrypts at a time, 64 KiB: whoever waits
    /// for the state to receive is not held up for the length of a message.
    ///
    /// Of what the socket has taken in part only, at least one byte does not count as taken, and is offered again: so whoever
    /// sends knows that there is something left to be written, and waits for room.
    pub(crate) fn send(&mut self, parts: &[IoSlice<'_>], socket: &Socket) -> io::Result<usize> {
        if self.connection.is_handshaking() {
            return Err(io::ErrorKind::NotConnected.into());
        }
        let parts = &parts[..parts.len().min(MOST_PARTS)];
        let total: usize = parts.iter().map(|part| part.len()).sum();
        let mut taken = self.write_owed(total, socket)?;
        if taken < total && !self.connection.wants_write() {
            if self.is_closed {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            let mut rest = [IoSlice::new(&[]); MOST_PARTS];
            rest[..parts.len()].copy_from_slice(parts);
            let mut rest = &mut rest[..parts.len()];
            IoSlice::advance_slices(&mut rest, taken);
            self.owed = self.connection.writer().write_vectored(rest)?;
            self.passed = 0;
            if self.owed == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            taken += self.write_owed(total - taken, socket)?;
        }
        if taken == 0 && self.connection.wants_write() { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(taken) }
    }

    /// Writes records that wait, and gives the number of bytes that count as taken with them, of `most` that are offered.
    fn write_owed(&mut self, most: usize, socket: &Socket) -> io::Result<usize> {
        let written = self.flush(socket)?;
        let taken = if self.connection.wants_write() {
            // About as much as has gone on its way.
            written.min(self.owed.saturating_sub(1))
        } else if self.owed > 0 && self.passed < self.owed + LEAST_RECORD {
            // There is no record of it: the keys of TLS 1.2 have served their time, and rustls has said that nothing follows.
            self.is_closed = true;
            return Err(io::ErrorKind::BrokenPipe.into());
        } else {
            self.owed
        };
        let taken = taken.min(most);
        self.owed -= taken;
        self.passed = self.passed.saturating_sub(taken);
        Ok(taken)
    }

    /// Writes records while the socket takes them; the number of bytes written.
    pub(crate) fn flush(&mut self, socket: &Socket) -> io::Result<usize> {
        let mut written = 0;
        while self.connection.wants_write() {
            match self.connection.write_tls(&mut Outlet(socket)) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    written += count;
                    self.passed = self.passed.saturating_add(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(written)
    }

    /// Says that nothing more comes, where there is room to say it.
    pub(crate) fn say_goodbye(&mut self, socket: &Socket) {
        if !self.is_closed && !self.connection.is_handshaking() {
            self.is_closed = true;
            // It comes too late for anybody.
            (self.unfed, self.decrypted) = (Vec::new(), 0);
            self.connection.send_close_notify();
            // The peer may have gone already.
            let _ = self.flush(socket);
        }
    }
}

/// Where records are written to.
struct Outlet<'a>(&'a Socket);

impl Write for Outlet<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.send(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, records: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.send(records)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What an error says where the stream was cut.
const CUT: &str = "the stream has ended without close_notify";
/// A message leaves in two parts at most.
const MOST_PARTS: usize = 4;
/// What a record adds to its bytes, at least: a header and a tag.
const LEAST_RECORD: usize = 5 + 16;
/// So many bytes of records may have nothing in them: key updates, session tickets, padding. A peer that sends more keeps us busy for
/// nothing.
const MOST_BARREN: usize = 256 * 1024;

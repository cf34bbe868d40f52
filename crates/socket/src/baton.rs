//! The write baton: one thread writes, without the lock; the others leave what they send for it.

use std::io::{self, IoSlice};
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::MutexGuard;
use raddle_core::Data;

use crate::aside::Unwritten;
use crate::attendant::{Attendant, wait_for_nobody, waits_for_nobody};
use crate::drives;
use crate::end::{Cause, SendError, SendStatus};
use crate::fragments::fragments;
use crate::link::Link;
use crate::outgoing::Outgoing;
use crate::spares;
use crate::sys;
use crate::transport::Interest;
use crate::turn::Wait;

impl Link {
    /// Writes what waits, as far as it goes at once. What remains leaves when there is room.
    pub(crate) fn flush(self: &Arc<Self>) {
        self.flush_locked(&mut self.outgoing.lock());
    }

    pub(crate) fn flush_locked(self: &Arc<Self>, outgoing: &mut MutexGuard<'_, Outgoing>) {
        if (outgoing.queued() > 0 || self.transport.has_output()) && !outgoing.baton && !outgoing.ended {
            if self.transport.writes_wait() && waits_for_nobody() {
                return self.flush_elsewhere(outgoing);
            }
            // A failure ends the connection, which its reader reports.
            let _ = self.write(outgoing, &[], Wait::Never);
        }
    }

    /// Has a thread of its own write what waits, to a stream whose writes wait too. It gets the baton from here, so there is one
    /// of them; where it is too late, the connection is cut, which ends the write.
    #[cold]
    fn flush_elsewhere(self: &Arc<Self>, outgoing: &mut MutexGuard<'_, Outgoing>) {
        let latest = self.options.allowed(self.options.write_timeout, outgoing.queued() as u64);
        let until = sys::now().saturating_add(latest);
        let before = outgoing.stalled_until();
        outgoing.aside().stalled_until.get_or_insert(until);
        Attendant::get().schedule(self, until);
        outgoing.baton = true;
        let link = Arc::clone(self);
        let started = sys::spawn("raddle writer".into(), None, move || {
            let mut outgoing = link.outgoing.lock();
            outgoing.baton = false;
            link.flush_locked(&mut outgoing);
            if outgoing.is_written() {
                // There may have been nothing left to write, which ends no write.
                outgoing.is_on_its_way();
                outgoing.tidy();
            }
            link.turn.notify_all();
            drop(outgoing);
            // This may be the last handle, which leaves without a word that could wait.
            wait_for_nobody();
            drop(link);
        });
        if started.is_err() {
            // What the application does next writes it, whether it waits or not, and so does the next Ping of keepalive.
            outgoing.baton = false;
            outgoing.aside().stalled_until = before;
            outgoing.tidy();
        }
    }

    /// Writes all that waits, until `deadline`; `false` where something is left.
    pub(crate) fn drain(self: &Arc<Self>, deadline: Duration) -> bool {
        let mut outgoing = self.outgoing.lock();
        while !outgoing.is_written() && !outgoing.ended {
            if !outgoing.baton {
                if self.write(&mut outgoing, &[], Wait::Until(deadline)).is_err() {
                    return false;
                }
            } else if sys::now() >= deadline {
                return false;
            } else {
                let left = deadline.saturating_sub(sys::now());
                self.turn.wait_for(&mut outgoing, left);
            }
        }
        !outgoing.ended
    }

    /// Writes a message as the holder of the baton: large ones from where they are.
    pub(crate) fn write_message(
        self: &Arc<Self>,
        outgoing: &mut MutexGuard<'_, Outgoing>,
        message: Data<'_>,
        wait: Wait,
    ) -> Result<SendStatus, SendError> {
        let length = message.as_bytes().len();
        let limit = self.options.fragment_size;
        if length < DIRECT && length <= limit || wait == Wait::Never && length > limit {
            self.put(outgoing, message)?;
            self.write(outgoing, &[], wait)?;
            return Ok(outgoing.status());
        }
        for (fragment, progress) in fragments(message, limit) {
            outgoing.check_open()?;
            outgoing.lend_memory();
            let unmasked = outgoing.sender.is_unmasked();
            let begun = outgoing.sender.is_amid_message();
            let put = if unmasked {
                outgoing.sender.send_header(fragment, progress)
            } else {
                outgoing.sender.send_fragment(fragment, progress)
            };
            if let Err(error) = put {
                if begun {
                    // The peer would wait for the rest for ever.
                    self.cut(outgoing, Cause::Io(io::ErrorKind::Other));
                }
                return Err(error.into());
            }
            self.write(outgoing, if unmasked { fragment.as_bytes() } else { &[] }, wait)?;
        }
        outgoing.messages += 1;
        if self.put_postponed(outgoing) {
            self.flush_locked(outgoing);
        }
        self.note_overfull(outgoing);
        self.turn.notify_all();
        Ok(outgoing.status())
    }

    /// Takes the baton, which is free: writes what waits and then `payload`, and gives the baton back.
    ///
    /// With [`Wait::Never`], what does not fit at once is kept and leaves when there is room; so does what others have sent
    /// meanwhile. A failure ends the connection.
    pub(crate) fn write(
        self: &Arc<Self>,
        outgoing: &mut MutexGuard<'_, Outgoing>,
        payload: &[u8],
        wait: Wait,
    ) -> Result<(), SendError> {
        self.cork.release();
        self.pass(outgoing, payload, wait)?;
        // The others have left it to this thread. It is not kept for them, though: one look, and the attendant goes on.
        if outgoing.queued() > 0 && outgoing.stalled_until().is_none() && !outgoing.ended {
            self.pass(outgoing, &[], Wait::Never)?;
            if outgoing.queued() > 0 && outgoing.stalled_until().is_none() && !outgoing.ended {
                let queued = outgoing.queued();
                self.park(outgoing, queued)?;
            }
        }
        self.count_output(outgoing);
        outgoing.tidy();
        self.leave_if_done(outgoing);
        self.turn.notify_all();
        Ok(())
    }

    /// Writes once what is there, with the baton.
    fn pass(
        self: &Arc<Self>,
        outgoing: &mut MutexGuard<'_, Outgoing>,
        payload: &[u8],
        wait: Wait,
    ) -> Result<(), SendError> {
        debug_assert!(!outgoing.baton, "the baton is held by one thread");
        let mut head = outgoing.take_rest();
        head.compact();
        outgoing.sender.take_output(&mut head.bytes);
        // What others send meanwhile has memory of its own.
        let memory = outgoing.sender.reclaim();
        if outgoing.has_postponed() && !outgoing.sender.is_amid_message() {
            // Behind the last of the message, which leaves now, and before whatever others send meanwhile.
            self.put_postponed(outgoing);
        }
        outgoing.baton = true;
        if wait == Wait::Never {
            outgoing.tried = u32::try_from(head.len()).unwrap_or(u32::MAX);
        } else {
            // What waits goes along, under the deadline of this write.
            outgoing.is_on_its_way();
        }
        let before = head.len() + payload.len();
        let writing = Writing { link: self, outgoing };
        let result = MutexGuard::unlocked(writing.outgoing, || self.write_parts(&mut head, payload, wait));
        mem::forget(writing);
        outgoing.baton = false;
        outgoing.tried = 0;
        let written = before - head.len();
        outgoing.bytes += written as i64;
        if written > 0 {
            self.progressed(outgoing);
        }
        match result {
            Ok(()) if head.len() == 0 => {
                if let Some(memory) = drives::keep_memory(memory, head.bytes) {
                    outgoing.sender.lend(|| memory);
                }
                outgoing.sender.taken_written();
                outgoing.is_on_its_way();
                Ok(())
            }
            // Cut meanwhile: nobody writes it any more.
            Ok(()) if outgoing.ended => Err(SendError::Closed),
            Ok(()) => {
                outgoing.aside().rest = head;
                self.park(outgoing, before)
            }
            Err(cause) => {
                // What was not written was not sent.
                outgoing.aside().rest = head;
                self.cut(outgoing, cause);
                drop(outgoing.take_rest());
                Err(if cause == Cause::WriteTimeout { SendError::Timeout } else { SendError::Closed })
            }
        }
    }

    /// Writes without the lock. With [`Wait::Never`], what does not fit is left in `head`.
    fn write_parts(self: &Arc<Self>, head: &mut Unwritten, payload: &[u8], wait: Wait) -> Result<(), Cause> {
        let mut written = 0;
        let mut deadline = None;
        loop {
            let payload = &payload[written..];
            let (first, second) = (IoSlice::new(&head.bytes[head.start..]), IoSlice::new(payload));
            let result = match (head.len(), payload.len()) {
                (0, 0) if !self.transport.has_output() => return Ok(()),
                (0, 0) => self.transport.send(&[]).map(|_| 0),
                (_, 0) => self.transport.send(&[first]),
                (0, _) => self.transport.send(&[second]),
                _ => self.transport.send(&[first, second]),
            };
            match result {
                Ok(0) if head.len() + payload.len() > 0 => return Err(Cause::Io(io::ErrorKind::WriteZero)),
                Ok(count) => {
                    let of_head = count.min(head.len());
                    head.start += of_head;
                    written += count - of_head;
                    if head.len() + payload.len() > count - of_head {
                        self.progressed(&mut self.outgoing.lock());
                    }
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::WouldBlock if wait == Wait::Never => {
                        spares::make_room(&mut head.bytes, payload.len());
                        head.bytes.extend_from_slice(payload);
                        return Ok(());
                    }
                    io::ErrorKind::WouldBlock => {
                        let left = head.len() + payload.len();
                        let deadline = *deadline.get_or_insert_with(|| self.deadline(wait, left));
                        if !self.wait_writable(deadline, wait)? {
                            // The frame is completed in front of the Close, and nobody is kept waiting for it.
                            head.bytes.extend_from_slice(payload);
                            return Ok(());
                        }
                    }
                    kind => return Err(Cause::Io(kind)),
                },
            }
        }
    }

    /// Waits for room to write. The peer may itself be waiting for us to read, so what it sends is read ahead meanwhile.
    /// `false`: a Close was sent or received, and a message is not waited for any more.
    fn wait_writable(self: &Arc<Self>, deadline: Duration, wait: Wait) -> Result<bool, Cause> {
        let mut interest = Interest::Either;
        let mut slice = LOOK_AGAIN;
        loop {
            let now = sys::now();
            if now >= deadline {
                return Err(Cause::WriteTimeout);
            }
            if wait == Wait::Allowed && self.outgoing.lock().sender.is_closed() {
                return Ok(false);
            }
            match self.transport.wait(interest, Some((deadline - now).min(slice))) {
                Ok(ready) if ready.write => return Ok(true),
                Ok(ready) if ready.read => {
                    interest = if self.read_ahead() { Interest::Either } else { Interest::Write };
                }
                Ok(_) => {
                    if slice.is_zero() {
                        self.await_room(deadline, wait)?;
                    } else if self.transport.descriptor().is_some() && Attendant::get().is_here() {
                        slice = Duration::ZERO;
                    }
                    // A reader that was there may have gone away since.
                    interest = Interest::Either;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Cause::Io(error.kind())),
            }
        }
    }

    /// Sleeps until the attendant finds room to write, or something else has changed; if the reader is away, the attendant
    /// reads ahead for it. A socket that takes nothing for a while may do so for long: a thousand threads that look again and
    /// again would take a fifth of a core from the others.
    fn await_room(self: &Arc<Self>, deadline: Duration, wait: Wait) -> Result<(), Cause> {
        let mut outgoing = self.outgoing.lock();
        if outgoing.ended || wait == Wait::Allowed && outgoing.sender.is_closed() {
            return Ok(());
        }
        // Under the lock, which the attendant takes to tell what it has found.
        Attendant::get().watch_output(self).map_err(|error| Cause::Io(error.kind()))?;
        let left = deadline.saturating_sub(sys::now());
        self.turn.wait_for(&mut outgoing, left);
        Ok(())
    }

    /// For the attendant, which has found room to write: writes what waits, or wakes the thread that does.
    pub(crate) fn found_room(self: &Arc<Self>) {
        let mut outgoing = self.outgoing.lock();
        if outgoing.baton {
            self.turn.notify_all();
        } else {
            self.flush_locked(&mut outgoing);
        }
    }

    /// Leaves what waits to the attendant, which writes it when there is room.
    fn park(self: &Arc<Self>, outgoing: &mut MutexGuard<'_, Outgoing>, before: usize) -> Result<(), SendError> {
        let now = sys::now();
        let written = (before - outgoing.rest()) as u64;
        // A peer that takes something gets the time that it needs for it at the slowest rate, and no more.
        let earned = Duration::from_secs_f64(written as f64 / self.options.min_rate.max(1) as f64);
        let latest = self.options.allowed(self.options.write_timeout, outgoing.queued() as u64);
        let until = match outgoing.stalled_until() {
            Some(until) => until.saturating_add(earned).min(now.saturating_add(latest)),
            None => now.saturating_add(latest),
        };
        outgoing.aside().stalled_until = Some(until);
        if let Some((driver, key)) = &outgoing.driver {
            driver.output_waits(*key);
        } else if let Err(error) = Attendant::get().watch_output(self) {
            self.cut(outgoing, Cause::Io(error.kind()));
            return Err(SendError::Closed);
        }
        Attendant::get().schedule(self, until);
        Ok(())
    }

    fn deadline(&self, wait: Wait, bytes: usize) -> Duration {
        match wait {
            Wait::Until(deadline) => deadline,
            _ => sys::now().saturating_add(self.options.allowed(self.options.write_timeout, bytes as u64)),
        }
    }
}

/// A thread writes. Dropped only where a panic of the stream has it not return: the baton is given back, and as nobody knows what the
/// stream has taken, nothing follows.
struct Writing<'a, 'b> {
    link: &'a Arc<Link>,
    outgoing: &'a mut MutexGuard<'b, Outgoing>,
}

impl Drop for Writing<'_, '_> {
    #[cold]
    fn drop(&mut self) {
        self.outgoing.baton = false;
        self.outgoing.tried = 0;
        if !self.outgoing.ended {
            self.link.silence(self.outgoing, Cause::Io(io::ErrorKind::Other));
            // By the attendant: this thread is unwinding, and calls nobody.
            let now = sys::now();
            self.outgoing.cut_by(now);
            Attendant::get().schedule(self.link, now);
        }
    }
}

/// Payloads from this size are written from where they are, not copied.
pub(crate) const DIRECT: usize = 8 * 1024;
/// How long a thread waits at its socket for room, before it leaves that to the attendant and can be woken by a Close: soon
/// enough for it to be felt at once.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

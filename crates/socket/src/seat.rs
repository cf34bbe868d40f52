//! One read of an event loop: what has arrived goes into memory that is lent, and complete messages come out.

use std::mem;
use std::sync::Arc;

use raddle_core::{Event, Receiver};

use crate::driven::{Arrived, Turn, is_nothing};
use crate::end::Cause;
use crate::flags::Flag;
use crate::lease::{Ahead, Inbound, Owned};
use crate::link::Link;
use crate::pause::Reading;
use crate::spares;
use crate::transport::Patience;

/// The reader's place, with memory that is lent to it, for one read.
pub(crate) struct Seat<'a> {
    link: &'a Arc<Link>,
    /// There, as long as the seat is taken.
    place: &'a mut Option<Box<Inbound>>,
    memory: &'a mut Vec<u8>,
    /// Bytes at the start of the memory that are somebody else's.
    used: &'a mut usize,
    /// So many bytes of it are free for what is received. `None`: the receiver does not have it.
    lent: Option<usize>,
    answers: Answers,
    /// What was delivered is answered behind this read, and the end has to wait for that.
    leaves_answers: bool,
    /// A message that was received before the connection was driven, and is delivered.
    ahead: Option<Owned>,
    /// What the read has found. `None`: nothing was read yet.
    read: Option<Turn>,
    /// So many events are parsed before others have their turn.
    left: u32,
}

impl<'a> Seat<'a> {
    pub(crate) fn take(link: &'a Arc<Link>, memory: &'a mut Vec<u8>, used: &'a mut usize, answers: Answers) -> Self {
        // SAFETY: a link has one reader, whose driver has it borrowed exclusively. It has entered, and leaves only when the
        // driver lets it go.
        #[allow(unsafe_code)]
        let place = unsafe { link.inbound.stay() };
        if place.is_none() {
            *place = Some(match spares::inbound() {
                Some(mut spare) if link.info.deflate.is_none() => {
                    spare.receiver.renew(link.role, link.options.limits);
                    spare
                }
                Some(mut spare) => {
                    *spare = link.new_inbound();
                    spare
                }
                None => Box::new(link.new_inbound()),
            });
        }
        link.cork.put();
        link.resume_message();
        let (ahead, read, left) = (None, None, EVENTS);
        Self { link, place, memory, used, lent: None, answers, leaves_answers: false, ahead, read, left }
    }

    fn inbound(&mut self) -> &mut Inbound {
        self.place.as_deref_mut().expect("the seat is taken")
    }

    /// Goes on to the next message, which [`arrived`](Self::arrived) gives then: of those that were received before the connection was
    /// driven, and then of those that one read brings.
    #[inline]
    pub(crate) fn advance(&mut self, reading: Reading) -> Result<Found, Cause> {
        if self.read.is_none()
            && let Some(found) = self.begin(reading)?
        {
            return Ok(found);
        }
        self.parse(reading)
    }

    /// The message that [`advance`](Self::advance) has found: once.
    #[inline]
    pub(crate) fn arrived(&mut self) -> Arrived<'_> {
        if let Some(message) = &self.ahead {
            return Arrived::Lent(message.lend());
        }
        let receiver = &mut self.place.as_deref_mut().expect("the seat is taken").receiver;
        // What is answered behind the read has to stay until then.
        let stays =
            self.leaves_answers && (receiver.is_inflated() || self.lent.is_none() && receiver.is_mostly_message());
        match if stays { receiver.take_message() } else { None } {
            Some(received) => Arrived::Apart(received),
            None => Arrived::Lent(receiver.message().expect("a message was found")),
        }
    }

    /// Notes that no more is delivered now, though there may be more.
    pub(crate) fn stop(&mut self) -> Turn {
        if self.read.is_some() { self.end(Parsed::Enough) } else { Turn::More }
    }

    /// Goes through what was received before the connection was driven, and then reads. `None`: that has brought what is to be parsed.
    #[inline(never)]
    fn begin(&mut self, reading: Reading) -> Result<Option<Found>, Cause> {
        self.ahead = None;
        while !self.link.flags.has(Flag::Abandoned) {
            let is_hindered = reading == Reading::Wanted && self.link.is_paused();
            if is_hindered || self.link.flags.has(Flag::CalledAway) {
                return Ok(Some(Found::Nothing(Turn::More)));
            }
            let is_last_word = matches!(self.inbound().ahead.front(), Some(Ahead::Close | Ahead::End(_)));
            if is_last_word && self.leaves_answers {
                return Ok(Some(Found::Nothing(Turn::More)));
            }
            if is_last_word && self.link.puts_end_off() {
                return Ok(Some(Found::Nothing(Turn::Paused)));
            }
            let Some(ahead) = self.inbound().ahead.pop_front() else { break };
            match ahead {
                Ahead::Message(message) => {
                    self.leaves_answers |= self.answers == Answers::Behind;
                    self.ahead = Some(message);
                    return Ok(Some(Found::Message));
                }
                // Of a message that was being read in parts: the rest is not asked for any more.
                Ahead::Part(..) => {}
                Ahead::Close => return Err(Cause::PeerClose),
                Ahead::End(cause) => return Err(cause),
            }
        }
        // What was held back is parsed first.
        let receiver = &self.inbound().receiver;
        let turn = if receiver.has_frame() || receiver.has_failed() { Turn::Done } else { self.receive()? };
        if turn == Turn::Paused {
            // The end of the stream is put off. What it has cut short is not late.
            self.link.pause_message();
            return Ok(Some(Found::Nothing(turn)));
        }
        self.read = Some(turn);
        Ok(None)
    }

    fn receive(&mut self) -> Result<Turn, Cause> {
        let receiver = &mut self.place.as_deref_mut().expect("the seat is taken").receiver;
        let lent = self.memory.len() - *self.used;
        if has_place(receiver, lent) {
            spares::keep_input(receiver.lend_behind(mem::take(self.memory), *self.used));
            self.lent = Some(lent);
        } else if let Some(memory) = receiver.lacks().and_then(spares::input) {
            spares::keep_input(receiver.lend(memory));
        }
        let space = receiver.space();
        let size = space.len();
        match self.link.transport.receive(space, Patience::DontWait) {
            Ok(0) if self.leaves_answers => {
                // Of what was received before the connection was driven.
                self.inbound().ahead.push_back(Ahead::End(Cause::EndOfStream));
                Ok(Turn::More)
            }
            Ok(0) if self.link.puts_end_off() => {
                self.inbound().ahead.push_back(Ahead::End(Cause::EndOfStream));
                Ok(Turn::Paused)
            }
            Ok(0) => Err(Cause::EndOfStream),
            // Given up meanwhile: what came behind our last word is not the peer's, where there is TLS.
            Ok(_) if self.link.flags.has(Flag::GivenUp) => Ok(Turn::More),
            Ok(count) => {
                receiver.filled(count);
                self.link.counters.heard(count);
                Ok(if count == size { Turn::Full } else { Turn::Done })
            }
            Err(error) if is_nothing(&error) => Ok(Turn::Done),
            Err(error) => Err(Cause::Io(error.kind())),
        }
    }

    /// Parses on to the next message.
    #[inline]
    fn parse(&mut self, reading: Reading) -> Result<Found, Cause> {
        let link = self.link;
        let Inbound { receiver, ahead, .. } = self.place.as_deref_mut().expect("the seat is taken");
        let parsed = loop {
            if let Some(hindered) = link.hindrance(reading) {
                break hindered;
            }
            if self.left == 0 && receiver.has_frame() {
                break Parsed::Enough;
            }
            self.left = self.left.saturating_sub(1);
            if self.leaves_answers && receiver.is_before_close() {
                break Parsed::Enough;
            }
            let is_unanswered = link.is_unanswered();
            if is_unanswered && receiver.is_before_close() && link.puts_end_off() {
                break Parsed::Paused;
            }
            match receiver.advance() {
                Ok(true) => {}
                Ok(false) => break Parsed::All,
                Err(error) if self.leaves_answers => {
                    ahead.push_back(Ahead::End(Cause::Failed(error)));
                    break Parsed::Enough;
                }
                Err(error) if is_unanswered && link.puts_end_off() => {
                    ahead.push_back(Ahead::End(Cause::Failed(error)));
                    break Parsed::Paused;
                }
                Err(error) => return Err(Cause::Failed(error)),
            }
            if receiver.is_whole_message() {
                link.counters.message();
                // The one behind it has a time of its own.
                link.note_message_complete();
                self.leaves_answers |= self.answers == Answers::Behind;
                link.cork.note_last(!receiver.has_unread());
                return Ok(Found::Message);
            }
            react(link, receiver)?;
        };
        Ok(Found::Nothing(self.end(parsed)))
    }

    /// Tells whether the message that is being received goes on in memory of its own, and is larger than memory that is lent becomes.
    fn goes_apart(&mut self) -> bool {
        let lent = self.lent;
        let receiver = &self.inbound().receiver;
        match lent {
            Some(lent) => !has_place(receiver, lent) && receiver.lacks().is_some_and(|wanted| wanted > MOST_LENT),
            None => receiver.capacity() > MOST_LENT,
        }
    }

    /// Notes how far the connection was parsed, and tells what that means for it.
    #[inline(never)]
    fn end(&mut self, parsed: Parsed) -> Turn {
        let link = self.link;
        if self.inbound().receiver.is_amid_message() {
            link.note_amid_message();
            // What is not read cannot be late.
            if matches!(parsed, Parsed::Held | Parsed::Paused) {
                link.pause_message();
            }
        } else {
            link.note_message_complete();
        }
        match parsed {
            // What a layer has received already, no poller would tell.
            Parsed::All if link.transport.has_input() => Turn::More,
            // More memory to lend would be of no use: the rest is not read into that.
            Parsed::All if self.goes_apart() => Turn::Done,
            Parsed::All => self.read.unwrap_or(Turn::Done),
            Parsed::Enough => Turn::More,
            Parsed::Held => link.held(),
            Parsed::Paused => Turn::Paused,
        }
    }
}

/// Does what an event asks for that is no message.
#[inline(never)]
fn react(link: &Arc<Link>, receiver: &Receiver) -> Result<(), Cause> {
    let event = receiver.event().expect("advance() has returned true");
    link.react(&event);
    match event {
        Event::Close(_) => return Err(Cause::PeerClose),
        Event::Ping(_) => link.flush_full_cork(),
        _ => {}
    }
    Ok(())
}

/// Tells whether what is held has a place in memory that is lent, with `lent` free bytes: a message that is larger goes on in memory
/// of its own, and is not moved with every read.
fn has_place(receiver: &Receiver, lent: usize) -> bool {
    receiver.held() <= lent / LENT_SHARE
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.link.cork.pull();
        let inbound = self.place.as_deref_mut().expect("the seat is taken");
        if let Some(lent) = self.lent {
            *self.used = inbound.receiver.end();
            // The next read goes on there, where it would not move what has arrived once more; a header that announces much is
            // not enough.
            let lacks = if has_place(&inbound.receiver, lent) { None } else { inbound.receiver.lacks() };
            *self.memory = match lacks {
                Some(wanted) => {
                    let fresh = || vec![0; wanted.min(2 * inbound.receiver.held())];
                    let memory = spares::input(wanted).unwrap_or_else(fresh);
                    inbound.receiver.lend(memory)
                }
                None => inbound.receiver.reclaim(),
            };
        } else if inbound.receiver.held() == 0 {
            spares::keep_input(inbound.receiver.reclaim());
        }
        // With the memory that was taken for it: others do not have that meanwhile.
        self.link.count_input(inbound.receiver.occupied());
        // What is torn stays with its connection, and else nothing does.
        if let Some(spare) = self.place.take_if(|inbound| inbound.is_at_rest()) {
            spares::keep_inbound(spare);
        }
    }
}

/// When the messages of a read are answered.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answers {
    /// While they are delivered.
    Within,
    /// When the read has returned.
    Behind,
}

/// What [`Seat::advance`] has found.
pub(crate) enum Found {
    /// A message.
    Message,
    /// Nothing more is delivered now.
    Nothing(Turn),
}

/// How far a connection was parsed.
enum Parsed {
    /// All that was complete was delivered.
    All,
    /// There is more, and others have waited long enough.
    Enough,
    /// The rest has to wait until there is room for the answers.
    Held,
    /// The rest has to wait until the application wants it.
    Paused,
}

impl Link {
    /// Why nothing more is parsed; `None`: it is.
    #[inline]
    fn hindrance(self: &Arc<Self>, reading: Reading) -> Option<Parsed> {
        let is_marked = self.flags.has_any([Flag::Abandoned, Flag::Paused, Flag::CalledAway, Flag::Overfull]);
        if is_marked { self.hindered(reading) } else { None }
    }

    #[inline(never)]
    fn hindered(self: &Arc<Self>, reading: Reading) -> Option<Parsed> {
        if self.flags.has(Flag::Overfull) && !self.make_room() {
            Some(Parsed::Held)
        } else if self.flags.has(Flag::Abandoned) {
            // Nothing more of a connection that the application has cut, be it while a message was delivered.
            Some(Parsed::All)
        } else if reading == Reading::Wanted && self.is_paused() {
            Some(Parsed::Paused)
        } else {
            self.flags.has(Flag::CalledAway).then_some(Parsed::Enough)
        }
    }
}

/// What a connection keeps between two reads is moved to memory that is lent, where it takes no more than this share of it.
const LENT_SHARE: usize = 4;
/// The most memory that is worth being lent for a read, in bytes.
pub const MOST_LENT: usize = 256 * 1024;
/// So many events are delivered before others have their turn: a read can bring ten thousand empty messages.
const EVENTS: u32 = 1024;

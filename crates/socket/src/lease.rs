//! Who may parse what was received: the reader, or somebody else while the reader is away.
//!
//! A message that the reader has handed out borrows the receive buffer, so while the application works on it nobody may
//! change that buffer. Others may read it, though: whoever goes on parsing in the reader's absence takes a
//! [fork](raddle_core::Receiver::fork) of the receiver, with a buffer of its own, and the reader adopts that fork when it
//! comes back. In the common case nobody has asked for the lease, and coming back costs one atomic exchange.

#![allow(unsafe_code)]

use std::cell::UnsafeCell;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use parking_lot::Mutex;
use raddle_core::{Message, Progress, Receiver};

use crate::end::Cause;

/// The reader's side: its receiver, and what was read ahead while it was away.
#[derive(Debug)]
pub(crate) struct Inbound {
    pub(crate) receiver: Receiver,
    pub(crate) ahead: VecDeque<Ahead>,
}

impl Inbound {
    pub(crate) fn new(receiver: Receiver) -> Self {
        Self { receiver, ahead: VecDeque::new() }
    }

    /// Tells whether a whole message is there, and nothing before it.
    pub(crate) fn has_message(&self) -> bool {
        match self.ahead.front() {
            Some(ahead) => matches!(ahead, Ahead::Message(_)),
            None => self.receiver.has_message(),
        }
    }

    /// Tells whether a new one would go on just the same.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.ahead.is_empty() && self.receiver.is_at_rest()
    }
}

/// What was received while the reader was away.
#[derive(Debug)]
pub(crate) enum Ahead {
    Message(Owned),
    Part(Owned, Progress),
    /// The peer's Close.
    Close,
    /// The stream has ended, or the connection has failed.
    End(Cause),
}

/// A message that owns its payload.
#[derive(Debug)]
pub(crate) enum Owned {
    Text(String),
    Binary(Vec<u8>),
}

impl Owned {
    pub(crate) fn lend(&self) -> Message<'_> {
        match self {
            Self::Text(text) => Message::Text(text),
            Self::Binary(bytes) => Message::Binary(bytes),
        }
    }
}

impl From<Message<'_>> for Owned {
    fn from(message: Message<'_>) -> Self {
        match message {
            Message::Text(text) => Self::Text(text.to_owned()),
            Message::Binary(bytes) => Self::Binary(bytes.to_owned()),
        }
    }
}

impl Ahead {
    /// Bytes of payload.
    fn len(&self) -> usize {
        match self {
            Self::Message(message) | Self::Part(message, _) => message.lend().as_bytes().len(),
            Self::Close | Self::End(_) => 0,
        }
    }
}

/// Goes on where the reader stood when it went away.
#[derive(Debug)]
pub(crate) struct Deputy {
    pub(crate) receiver: Receiver,
    pub(crate) ahead: VecDeque<Ahead>,
    /// Messages and bytes of an earlier absence that the reader has not taken yet.
    backlog: (usize, usize),
}

impl Deputy {
    /// Messages, and bytes of them, that wait for the reader.
    pub(crate) fn waiting(&self) -> (usize, usize) {
        let (messages, bytes) = self.backlog;
        (messages + self.ahead.len(), bytes + self.ahead.iter().map(Ahead::len).sum::<usize>())
    }
}

/// Gives the inbound state to one thread at a time.
#[derive(Debug)]
pub(crate) struct Lease {
    state: AtomicU8,
    /// How many times the reader has come back; changed by the reader alone.
    visits: AtomicU32,
    /// Changed by the reader alone, while `state` is `HERE` and `deputy` is empty.
    /// Read by others, while `state` is `DEPUTISED` and they hold the lock of `deputy`.
    ///
    /// Apart, because a connection of an event loop has none while it is at rest: only there, where the reader never goes
    /// away, is it ever `None`.
    inbound: UnsafeCell<Option<Box<Inbound>>>,
    deputy: Mutex<Option<Box<Deputy>>>,
}

/// The reader is in a call.
const HERE: u8 = 0;
/// The reader is with the application, perhaps with an event of `inbound` lent.
const AWAY: u8 = 1;
/// As `AWAY`, and somebody has made a deputy.
const DEPUTISED: u8 = 2;

// SAFETY: `inbound` is the only part that is not `Sync`; the rules at its field keep every change of it apart from every
// other access, and `Inbound` is `Send` and `Sync`.
unsafe impl Sync for Lease {}

impl Lease {
    /// To be [filled](Self::fill) before there is a reader.
    pub(crate) fn new() -> Self {
        Self {
            state: AtomicU8::new(AWAY),
            visits: AtomicU32::new(0),
            inbound: UnsafeCell::new(None),
            deputy: Mutex::new(None),
        }
    }

    /// Takes what the first reader finds.
    pub(crate) fn fill(&mut self, inbound: Inbound) {
        *self.inbound.get_mut() = Some(Box::new(inbound));
    }

    /// The reader comes back, and finds what was received meanwhile.
    ///
    /// # Safety
    /// Only the connection's one reader calls this, and no borrow from an earlier call is left.
    #[allow(clippy::mut_from_ref)]
    pub(crate) unsafe fn enter(&self) -> &mut Option<Box<Inbound>> {
        self.visits.store(self.visits.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        let before = self.state.swap(HERE, Ordering::Acquire);
        let deputy = if before == DEPUTISED {
            // Waits until the deputy's buffer work is done: it never holds the lock across a socket wait.
            self.deputy.lock().take()
        } else {
            None
        };
        // SAFETY: the caller is the reader and has no other borrow. `state` is `HERE`, so nobody begins to read, and
        // whoever had begun to read has let go of the lock above.
        let inbound = unsafe { &mut *self.inbound.get() };
        if let (Some(deputy), Some(inbound)) = (deputy, inbound.as_mut()) {
            inbound.receiver = deputy.receiver;
            inbound.ahead.extend(deputy.ahead);
        }
        inbound
    }

    /// What the reader finds that has come back and not left again.
    ///
    /// # Safety
    /// As with [`enter`](Self::enter), which was called after the last [`leave`](Self::leave).
    #[allow(clippy::mut_from_ref)]
    pub(crate) unsafe fn stay(&self) -> &mut Option<Box<Inbound>> {
        // SAFETY: the caller is the reader and has no other borrow. `state` is `HERE`, so nobody else reads.
        unsafe { &mut *self.inbound.get() }
    }

    /// What the reader was lent by its last call.
    ///
    /// # Safety
    /// Only the connection's one reader calls this, and lets go of the borrow before it enters again.
    pub(crate) unsafe fn lent(&self) -> Option<&Inbound> {
        // SAFETY: only the reader changes `inbound`, inside `enter`'s borrow, which has ended.
        unsafe { (*self.inbound.get()).as_deref() }
    }

    /// The reader goes away, and leaves its inbound state. What it was lent stays as it is until it comes back.
    pub(crate) fn leave(&self) {
        self.state.store(AWAY, Ordering::Release);
    }

    /// Tells whether the reader is with the application.
    pub(crate) fn is_away(&self) -> bool {
        self.state.load(Ordering::Relaxed) != HERE
    }

    /// A number that changes each time the reader comes back.
    pub(crate) fn visits(&self) -> u32 {
        self.visits.load(Ordering::Relaxed)
    }

    /// Lets `work` go on where the reader stands, if the reader is away.
    pub(crate) fn deputise<T>(&self, work: impl FnOnce(&mut Deputy) -> T) -> Option<T> {
        let mut deputy = self.deputy.lock();
        if deputy.is_none() {
            self.state.compare_exchange(AWAY, DEPUTISED, Ordering::Acquire, Ordering::Relaxed).ok()?;
            // SAFETY: `state` is `DEPUTISED`: the reader does not change `inbound` before it has had the lock, which is
            // held here until the borrow has ended.
            let inbound = unsafe { (*self.inbound.get()).as_deref() }.expect("a reader that goes away leaves it");
            *deputy = Some(Box::new(Deputy {
                receiver: inbound.receiver.fork(),
                ahead: VecDeque::new(),
                backlog: (inbound.ahead.len(), inbound.ahead.iter().map(Ahead::len).sum()),
            }));
        } else if self.state.load(Ordering::Relaxed) == HERE {
            // The reader waits for the lock, and takes what is there.
            return None;
        }
        deputy.as_deref_mut().map(work)
    }
}

//! Tells applications of ends, one behind the other on each thread.
//!
//! An end that is brought about while another is told is told behind it, on the same thread and before the outermost call that has
//! ended a connection returns: however many bring about each other, the stack is that of one.

use std::cell::RefCell;
use std::collections::VecDeque;

use crate::connection::OnEnd;
use crate::end::End;
use crate::shield::shielded;
use crate::writer::Traffic;

/// What is to be told, and to whom.
pub(crate) struct Told {
    pub(crate) on_end: OnEnd,
    pub(crate) end: End,
    pub(crate) traffic: Traffic,
}

/// Tells it, or has it told by the call further up that is telling. No lock is held.
pub(crate) fn tell(told: Told) {
    let mut next = begin(told);
    while let Some(Told { on_end, end, traffic }) = next {
        shielded("what was to be called at the end of a connection", || on_end(end, traffic));
        next = go_on();
    }
}

thread_local! {
    /// What waits behind the one that this thread is telling; `None` where it tells nothing.
    static WAITING: RefCell<Option<VecDeque<Told>>> = const { RefCell::new(None) };
}

/// `told`, where nothing is being told.
fn begin(told: Told) -> Option<Told> {
    let mut told = Some(told);
    // On a thread that is at its own end, each is told where it stands.
    let _ = WAITING.try_with(|waiting| match &mut *waiting.borrow_mut() {
        Some(waiting) => waiting.extend(told.take()),
        idle => *idle = Some(VecDeque::new()),
    });
    told
}

/// What has come meanwhile.
fn go_on() -> Option<Told> {
    let next = WAITING.try_with(|waiting| {
        let mut waiting = waiting.borrow_mut();
        let next = waiting.as_mut().and_then(VecDeque::pop_front);
        if next.is_none() {
            *waiting = None;
        }
        next
    });
    next.ok().flatten()
}

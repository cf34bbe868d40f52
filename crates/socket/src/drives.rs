//! What a thread drives: what it sends to connections that it drives itself never waits, for it would wait for itself.

use std::cell::Cell;

use raddle_core::Memory;

use crate::driven::Driver;
use crate::outgoing::Outgoing;
use crate::outputs;
use crate::spares;

/// Says that this thread drives connections, and has nothing else to do: what it sends never waits, as with
/// [`Writer::try_send`](crate::Writer::try_send), for it would wait for itself.
pub fn drive_on_this_thread() {
    DRIVES.set(Drives::Whatever);
}

/// Says that this thread drives the connections of `driver` now and then: what it sends to them does not wait, and leaves when
/// it drives them again.
pub fn drive_for(driver: &dyn Driver) {
    DRIVES.set(Drives::Only(driver.id()));
}

/// What a thread drives.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Drives {
    Nothing,
    Whatever,
    /// The connections of the driver that has this number.
    Only(u64),
}

impl Outgoing {
    /// Tells whether this thread may wait for the peer.
    pub(crate) fn may_wait(&self) -> bool {
        match DRIVES.get() {
            Drives::Nothing => true,
            Drives::Whatever => false,
            Drives::Only(_) => !self.is_left_to_this_thread(),
        }
    }

    /// Tells whether what this thread sends leaves when it drives the connection again.
    pub(crate) fn is_left_to_this_thread(&self) -> bool {
        match (DRIVES.get(), &self.driver) {
            (Drives::Only(id), Some((driver, _))) => driver.id() == id,
            _ => false,
        }
    }
}

/// Tells whether this thread has no connections but those of a loop that is polled: nobody knows when it has nothing to do.
pub(crate) fn is_polled() -> bool {
    matches!(DRIVES.get(), Drives::Only(_))
}

/// Memory for output: this thread's own, where it drives connections, else what another has left.
pub(crate) fn memory() -> Memory {
    if DRIVES.get() == Drives::Nothing { outputs::take() } else { spares::output() }
}

/// Keeps the memory of what was written to one connection for the next; what has no place there comes back.
pub(crate) fn keep_memory(memory: Option<Memory>, written: Vec<u8>) -> Option<Memory> {
    if DRIVES.get() == Drives::Nothing {
        return outputs::keep(memory, written);
    }
    spares::keep_output(memory, written);
    None
}

thread_local!(static DRIVES: Cell<Drives> = const { Cell::new(Drives::Nothing) });

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;

    use raddle_core::Sender;

    use super::*;
    use crate::reader::Reader;

    /// A driver that does nothing.
    pub(crate) struct Idle(pub(crate) u64);

    impl Driver for Idle {
        fn id(&self) -> u64 {
            self.0
        }

        fn output_waits(&self, _key: usize) {}
        fn output_is_ready(&self, _key: usize) {}
        fn input_is_wanted(&self, _key: usize) {}
        fn release(&self, _key: usize, _heir: Box<dyn FnOnce(Reader) + Send>) {}
        fn take_back(&self, _key: usize, _reader: Reader) {}
        fn ended(&self, _key: usize) {}
    }

    #[test]
    fn a_thread_that_drove_a_loop_may_wait_for_another_at_the_same_address() {
        let first = Arc::new(Idle(1));
        let address = Arc::as_ptr(&first).addr();
        drive_for(&*first);
        let mut outgoing = Outgoing::new(Sender::server(), None, None);
        outgoing.driver = Some((first as Arc<dyn Driver>, 0));
        assert!(outgoing.is_left_to_this_thread() && !outgoing.may_wait());
        outgoing.driver = None;
        let second = (0..1000).map(|_| Arc::new(Idle(2))).find(|idle| Arc::as_ptr(idle).addr() == address);
        let second = second.expect("the memory is used again");
        outgoing.driver = Some((second as Arc<dyn Driver>, 0));
        assert!(!outgoing.is_left_to_this_thread() && outgoing.may_wait());
    }
}

//! A client that does nothing wrong, and that nothing may disturb.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use raddle_server::Server;

use super::{LIMIT, assert_echo, connect, join};

/// A client that asks again and again, until it is told to stop: gives the longest time that an answer has taken.
pub(crate) struct Polite {
    stop: Arc<AtomicBool>,
    asking: JoinHandle<Duration>,
}

impl Polite {
    pub(crate) fn of(server: &Server) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let mut client = connect(server);
        let stopped = Arc::clone(&stop);
        let asking = thread::spawn(move || {
            let mut longest = Duration::ZERO;
            while !stopped.load(Ordering::Relaxed) {
                let start = Instant::now();
                assert_echo(&mut client);
                longest = longest.max(start.elapsed());
                thread::sleep(Duration::from_millis(2));
            }
            longest
        });
        Self { stop, asking }
    }

    /// The machine may be busy with other things, but not for so long.
    #[track_caller]
    pub(crate) fn assert_undisturbed(self) {
        self.stop.store(true, Ordering::Relaxed);
        let longest = join(self.asking, LIMIT);
        assert!(longest < Duration::from_millis(500), "an answer took {longest:?}");
    }
}

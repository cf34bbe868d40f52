//! A client that does nothing wrong, and that nothing may disturb.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use raddle_server::Server;

use super::{LIMIT, assert_echo, connect, join};

/// A client that asks again and again, until it is told to stop, beside two threads that do the same without a server: these
/// show what the machine does to everybody.
pub(crate) struct Polite {
    stop: Arc<AtomicBool>,
    asking: JoinHandle<Duration>,
    idling: JoinHandle<Duration>,
}

impl Polite {
    pub(crate) fn of(server: &Server) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let mut client = connect(server);
        let asking = ask_again_and_again(&stop, move || assert_echo(&mut client));
        let (mut one, mut other) = UnixStream::pair().expect("a pair of sockets");
        thread::spawn(move || {
            let mut byte = [0];
            while other.read(&mut byte).is_ok_and(|count| count > 0) && other.write_all(&byte).is_ok() {}
        });
        let idling = ask_again_and_again(&stop, move || {
            one.write_all(&[0]).expect("it is taken");
            one.read_exact(&mut [0]).expect("it comes back");
        });
        Self { stop, asking, idling }
    }

    /// The machine may be busy with other things, and these with nothing of ours.
    #[track_caller]
    pub(crate) fn assert_undisturbed(self) {
        self.stop.store(true, Ordering::Relaxed);
        let (longest, idle) = (join(self.asking, LIMIT), join(self.idling, LIMIT));
        assert!(
            longest < Duration::from_millis(500) + 4 * idle,
            "an answer took {longest:?}, and {idle:?} without a server"
        );
    }
}

/// Gives the longest time that an answer has taken.
fn ask_again_and_again(stop: &Arc<AtomicBool>, mut ask: impl FnMut() + Send + 'static) -> JoinHandle<Duration> {
    let stop = Arc::clone(stop);
    thread::spawn(move || {
        let mut longest = Duration::ZERO;
        while !stop.load(Ordering::Relaxed) {
            let start = Instant::now();
            ask();
            longest = longest.max(start.elapsed());
            thread::sleep(Duration::from_millis(2));
        }
        longest
    })
}

//! Work on a thread of the library, which a program waits for as long as it likes: something to do in, its result out.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// The result of some work, once it is there.
pub(crate) struct Job<T> {
    state: Mutex<State<T>>,
    done: Condvar,
}

struct State<T> {
    /// The work has come to its end, if by a panic.
    is_done: bool,
    /// `None`: there is none yet, or it was taken, or never comes.
    result: Option<T>,
}

impl<T: Send + 'static> Job<T> {
    /// Begins the work.
    pub(crate) fn start(name: &str, work: impl FnOnce() -> T + Send + 'static) -> io::Result<Arc<Self>> {
        let state = Mutex::new(State { is_done: false, result: None });
        let job = Arc::new(Self { state, done: Condvar::new() });
        let of_thread = Arc::clone(&job);
        // Left behind: it ends by itself.
        drop(raddle_socket::spawn(name.to_owned(), None, move || {
            let doing = Doing(of_thread);
            let result = work();
            doing.0.state.lock().result = Some(result);
        })?);
        Ok(job)
    }

    /// Waits until the work is done, however: `false`: it is not in time. Any number of threads may wait.
    pub(crate) fn wait(&self, timeout: Option<Duration>) -> bool {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut state = self.state.lock();
        while !state.is_done {
            match deadline {
                None => self.done.wait(&mut state),
                Some(deadline) => {
                    if self.done.wait_until(&mut state, deadline).timed_out() {
                        break;
                    }
                }
            }
        }
        state.is_done
    }

    /// Takes the result of work that is done. `None`: it was taken before, or the work has panicked.
    pub(crate) fn take(&self) -> Option<T> {
        self.state.lock().result.take()
    }
}

/// The work goes on, until this is dropped: at its end, or by its panic.
struct Doing<T>(Arc<Job<T>>);

impl<T> Drop for Doing<T> {
    fn drop(&mut self) {
        self.0.state.lock().is_done = true;
        self.0.done.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHILE: Option<Duration> = Some(Duration::from_secs(10));

    #[test]
    fn whoever_waits_finds_the_end_and_one_the_result() {
        let job = Job::start("a test", || 7).expect("a thread");
        assert!(job.wait(WHILE) && job.wait(WHILE));
        assert_eq!((job.take(), job.take()), (Some(7), None));
    }

    #[test]
    fn a_panic_ends_the_work_without_a_result() {
        let job = Job::<()>::start("a test", || panic!("a test")).expect("a thread");
        assert!(job.wait(WHILE));
        assert_eq!(job.take(), None);
    }
}

//! Work on a thread of the library, which a program waits for as long as it likes: something to do in, its result out.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// The result of some work, once it is there.
pub(crate) struct Job<T> {
    result: Mutex<Option<T>>,
    done: Condvar,
}

impl<T: Send + 'static> Job<T> {
    /// Begins the work.
    pub(crate) fn start(name: &str, work: impl FnOnce() -> T + Send + 'static) -> io::Result<Arc<Self>> {
        let job = Arc::new(Self { result: Mutex::new(None), done: Condvar::new() });
        let of_thread = Arc::clone(&job);
        // Left behind: it ends by itself.
        drop(raddle_socket::spawn(name.to_owned(), None, move || {
            let result = work();
            *of_thread.result.lock() = Some(result);
            of_thread.done.notify_all();
        })?);
        Ok(job)
    }

    /// Waits for the result, and takes it. `None`: it is not there in time.
    pub(crate) fn wait(&self, timeout: Option<Duration>) -> Option<T> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut result = self.result.lock();
        while result.is_none() {
            match deadline {
                None => self.done.wait(&mut result),
                Some(deadline) => {
                    if self.done.wait_until(&mut result, deadline).timed_out() {
                        break;
                    }
                }
            }
        }
        result.take()
    }
}

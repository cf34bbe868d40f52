//! One connection after the other to the same server, for as long as that is worth it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use raddle_socket::{Cause, Close, CloseCode, Connection, End, OnEnd, WeakWriter};

use crate::answer::Answer;
use crate::backoff::Backoff;
use crate::client::Client;
use crate::error::{ConnectError, ProxyError};
use crate::until::Until;
use crate::url::Url;

/// Connects to a server again and again, from [`Client::reconnect`].
///
/// ```no_run
/// use raddle_client::Client;
///
/// let mut connections = Client::new().reconnect("ws://example.com/prices")?;
/// while let Some(mut connection) = connections.next_connection()? {
///     connection.send("subscribe")?;
///     while let Ok(Some(message)) = connection.next_message() {
///         println!("{message:?}");
///     }
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// The first attempt is made at once; each further one after a random time that grows ([`Backoff`]), and after the time that a
/// refusal asks for in Retry-After, at most the cap. How the last connection has
/// ended, and why an attempt has failed, decide whether another is made:
///
/// | what has happened | then |
/// |---|---|
/// | closed with 1000, or closed by this side | done |
/// | closed with 1002, 1003, 1007-1010, 3000, 3003 or 4400-4499 | given up: the next connection would go the same way |
/// | the server has broken the protocol or a limit | given up |
/// | closed with another code or with none, or not closed at all | again |
/// | an attempt that [may pass](ConnectError::may_pass): no route, refused, 429, 503 | again |
/// | another attempt: a status of 401, 403 or 404, not a WebSocket server | given up |
///
/// [`decide`](Self::decide) puts another rule in its place. 4409 is how this library's server says that another connection of the
/// same client has the place.
pub struct Reconnect {
    client: Client,
    url: Url,
    backoff: Backoff,
    decide: Box<Decide>,
    /// An attempt was made: those that follow wait.
    begun: bool,
    last: Option<Last>,
    shared: Arc<Shared>,
}

type Decide = dyn FnMut(&Setback) -> bool + Send;

/// What has come between the client and its server.
#[derive(Debug)]
pub enum Setback {
    /// A connection has ended.
    Ended(End),
    /// An attempt to connect has failed.
    Failed(ConnectError),
}

/// Ends a [`Reconnect`] from another thread.
#[derive(Clone)]
pub struct Stopper {
    shared: Arc<Shared>,
}

/// The connection that was given out.
struct Last {
    writer: WeakWriter,
    since: Instant,
    ended: Arc<Mutex<Option<(End, Instant)>>>,
}

#[derive(Default)]
struct Shared {
    stopped: AtomicBool,
    /// The connection that was given out. The lock is held to tell those who wait that `stopped` has changed.
    current: Mutex<Option<WeakWriter>>,
    changed: Condvar,
}

impl Reconnect {
    pub(crate) fn new(client: Client, url: Url) -> Self {
        Self {
            client,
            url,
            backoff: Backoff::default(),
            decide: Box::new(Setback::may_pass),
            begun: false,
            last: None,
            shared: Arc::default(),
        }
    }

    /// Waits in another rhythm.
    pub fn backoff(self, backoff: Backoff) -> Self {
        Self { backoff, ..self }
    }

    /// Decides what is worth another attempt, where it is neither stopped nor done. It is called on the thread of
    /// [`next_connection`](Self::next_connection), before the wait.
    pub fn decide(self, decide: impl FnMut(&Setback) -> bool + Send + 'static) -> Self {
        Self { decide: Box::new(decide), ..self }
    }

    /// A handle that ends this from another thread.
    pub fn stopper(&self) -> Stopper {
        Stopper { shared: Arc::clone(&self.shared) }
    }

    /// Waits until the next connection is open, as long as that takes.
    ///
    /// `None`: it was stopped, or the last connection was closed with 1000 or by this side. An error is what has made it give
    /// up; another call tries again, after a wait. A connection that was given out and has not ended is closed (1001).
    pub fn next_connection(&mut self) -> Result<Option<Connection>, Setback> {
        Ok(self.next_answered()?.map(|(connection, _)| connection))
    }

    /// Waits as [`next_connection`](Self::next_connection) does, and gives what the server has answered as well: the status is 101,
    /// and there is no body.
    pub fn next_answered(&mut self) -> Result<Option<(Connection, Answer)>, Setback> {
        let mut setback = self.last.take().and_then(|last| last.finish(&mut self.backoff)).map(Setback::Ended);
        loop {
            let mut asked = Duration::ZERO;
            if let Some(setback) = setback.take() {
                if setback.is_done() || self.shared.is_stopped() {
                    return Ok(None);
                }
                if !(self.decide)(&setback) {
                    return Err(setback);
                }
                log::info!("{}: {setback}", self.url);
                asked = setback.asked_wait().min(self.backoff.cap);
            }
            if self.begun {
                // Those who were asked to wait alike do not come back alike.
                let wait = asked.saturating_add(self.backoff.next_wait(random()));
                self.shared.wait(wait);
            }
            self.begun = true;
            if self.shared.is_stopped() {
                return Ok(None);
            }
            let until = Until::after_or_stopped(self.client.connect_timeout, &self.shared.stopped);
            let ended = Arc::new(Mutex::new(None));
            match self.client.connect_until(&self.url, &until, Some(note_in(&ended))) {
                Ok((connection, parser)) => {
                    let answer = Answer::opening(parser.headers());
                    return Ok(self.give_out(connection, ended).map(|connection| (connection, answer)));
                }
                Err(ConnectError::Stopped) => return Ok(None),
                Err(error) => setback = Some(Setback::Failed(error)),
            }
        }
    }

    /// `None`: it was stopped meanwhile.
    fn give_out(&mut self, connection: Connection, ended: Arc<Mutex<Option<(End, Instant)>>>) -> Option<Connection> {
        let writer = connection.writer().downgrade();
        *self.shared.current.lock() = Some(writer.clone());
        self.last = Some(Last { writer, since: Instant::now(), ended });
        // Whoever stops this sets the flag and then looks for the connection: one of both sees the other.
        (!self.shared.is_stopped()).then_some(connection)
    }
}

fn note_in(ended: &Arc<Mutex<Option<(End, Instant)>>>) -> OnEnd {
    let ended = Arc::clone(ended);
    Box::new(move |end, _| *ended.lock() = Some((end, Instant::now())))
}

/// Without a random number no connection is made, and so none is waited for.
fn random() -> u64 {
    getrandom::u64().unwrap_or(u64::MAX)
}

impl Last {
    /// How the connection has ended. `None`: it has not, and nobody wants it any more.
    fn finish(self, backoff: &mut Backoff) -> Option<End> {
        let ended = self.ended.lock().take();
        let at = ended.as_ref().map_or_else(Instant::now, |(_, at)| *at);
        backoff.opened_for(at.saturating_duration_since(self.since));
        if ended.is_none()
            && let Some(writer) = self.writer.upgrade()
        {
            // It fails where the connection has just ended.
            let _ = writer.close(Close::code(CloseCode::GOING_AWAY));
        }
        ended.map(|(end, _)| end)
    }
}

impl Shared {
    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    /// Waits for `time`, or until it is stopped.
    fn wait(&self, time: Duration) {
        let deadline = Instant::now() + time.min(LONGEST);
        let mut current = self.current.lock();
        *current = None;
        while !self.is_stopped() && !self.changed.wait_until(&mut current, deadline).timed_out() {}
    }
}

impl Stopper {
    /// Has [`next_connection`](Reconnect::next_connection) return `None`: at once where it waits, within 50 ms where it
    /// connects. A connection that is open is closed (1001): its reader sees the end of it.
    pub fn stop(&self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        let writer = self.shared.current.lock().as_ref().and_then(WeakWriter::upgrade);
        self.shared.changed.notify_all();
        if let Some(writer) = writer {
            // It fails where the connection is closed already.
            let _ = writer.close(Close::code(CloseCode::GOING_AWAY));
        }
    }
}

impl Setback {
    /// The default of [`Reconnect::decide`]: tells whether another attempt may succeed.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Failed(error) => error.may_pass(),
            Self::Ended(End { cause: Cause::Failed(_), .. }) => false,
            Self::Ended(end) => match &end.received {
                Some((code, _)) => !matches!(code.0, 1002 | 1003 | 1007..=1010 | 3000 | 3003 | 4400..=4499),
                None => true,
            },
        }
    }

    /// Tells whether the connection has served its purpose.
    fn is_done(&self) -> bool {
        let Self::Ended(end) = self else { return false };
        let closed_with = |code| end.received.as_ref().is_some_and(|(it, _)| *it == code);
        end.cause == Cause::LocalClose || end.cause == Cause::PeerClose && closed_with(CloseCode::NORMAL)
    }

    /// The time that the server has asked for (RFC 9110, section 10.2.3), in seconds only.
    fn asked_wait(&self) -> Duration {
        let Self::Failed(ConnectError::Refused(answer) | ConnectError::Proxy(ProxyError::Refused(answer))) = self
        else {
            return Duration::ZERO;
        };
        let value = answer.header("Retry-After").and_then(|value| std::str::from_utf8(value).ok());
        value.and_then(|value| value.parse().ok()).map_or(Duration::ZERO, Duration::from_secs)
    }
}

impl fmt::Display for Setback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended(end) => end.fmt(f),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Setback {}

impl fmt::Debug for Reconnect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reconnect").field("url", &self.url).field("backoff", &self.backoff).finish_non_exhaustive()
    }
}

impl fmt::Debug for Stopper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stopper").field("stopped", &self.shared.is_stopped()).finish()
    }
}

/// No wait is longer, whatever the cap.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

//! The end of a connection whose reader has stopped: our last word leaves, and what the peer still sends is read, so that it gets
//! that and not a reset.

use std::io;
use std::net::Shutdown;
use std::sync::Arc;
use std::time::Duration;

use raddle_core::Role;

use crate::ahead::BROKEN_LAYER;
use crate::end::{Cause, End};
use crate::link::Link;
use crate::receiving::Arrived;
use crate::sys;
use crate::transport::Patience;

impl Link {
    /// Ends a connection whose reader has stopped: for `cause`, or because the peer's Close was received.
    pub(crate) fn wind_up(self: &Arc<Self>, cause: Option<Cause>) -> End {
        self.cork.pull();
        let now = sys::now();
        let linger = match cause {
            // The closing handshake is complete with our Close. The server ends the stream, and the client waits for
            // that (section 7.1.1).
            None => {
                self.drain(now.saturating_add(self.options.close_timeout));
                (self.role == Role::Client).then_some(self.options.close_timeout)
            }
            Some(cause @ (Cause::Failed(_) | Cause::MessageTimeout | Cause::OverBudget)) => {
                if let Cause::Failed(error) = cause {
                    self.fail(error);
                }
                self.drain(now + LINGER);
                Some(LINGER)
            }
            Some(cause @ BROKEN_LAYER) => {
                self.send_no_more(cause);
                Some(LINGER)
            }
            Some(_) => None,
        };
        if matches!(cause, None | Some(Cause::Failed(_) | Cause::MessageTimeout | Cause::OverBudget | BROKEN_LAYER)) {
            // What the peer still sends is read, so that it gets our last word and not a reset.
            let _ = self.transport.shutdown(Shutdown::Write);
            self.discard(linger.unwrap_or(Duration::ZERO));
        }
        self.cut(&mut self.outgoing.lock(), cause.unwrap_or(Cause::PeerClose));
        self.end()
    }

    /// Reads to the end of the stream and drops what comes, for `time`; then at most [`LINGER_BYTES`] of what is there.
    ///
    /// No count of bytes bounds it before: a browser that is amid of sending many megabytes would get a reset in place of the
    /// Close that tells it why.
    fn discard(&self, time: Duration) {
        let deadline = sys::now().saturating_add(time);
        let mut left = LINGER_BYTES;
        let mut bytes = [0; 4096];
        while left > 0 || sys::now() < deadline {
            let time_left = deadline.saturating_sub(sys::now());
            if let Ok(Arrived::Timeout) | Err(_) = self.wait_readable(time_left) {
                return;
            }
            match self.transport.receive(&mut bytes, Patience::DontWait) {
                Ok(0) => return,
                Ok(count) => left = left.saturating_sub(count),
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => {}
                    // There was something, which a layer has dropped.
                    io::ErrorKind::WouldBlock => left = left.saturating_sub(bytes.len()),
                    _ => return,
                },
            }
        }
    }
}

/// After the connection has failed, what the peer still sends is read for so long.
pub(crate) const LINGER: Duration = Duration::from_secs(1);
/// So many bytes that have arrived are read before the stream is closed, whatever the time.
const LINGER_BYTES: usize = 64 * 1024;

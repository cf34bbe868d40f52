//! How long an attempt may take: one absolute deadline for all of it, and a way to give it up.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::error::{ConnectError, Stage};

/// When an attempt is over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Until<'a> {
    /// `None`: never.
    deadline: Option<Instant>,
    stopped: Option<&'a AtomicBool>,
}

impl<'a> Until<'a> {
    /// After `timeout`, which begins now.
    pub(crate) fn after(timeout: Duration) -> Self {
        Self { deadline: Instant::now().checked_add(timeout), stopped: None }
    }

    /// After `timeout`, or when `stopped` is set.
    pub(crate) fn after_or_stopped(timeout: Duration, stopped: &'a AtomicBool) -> Self {
        Self { stopped: Some(stopped), ..Self::after(timeout) }
    }

    /// How long the next wait may take. An attempt that can be given up looks up now and then.
    pub(crate) fn left(&self, stage: Stage) -> Result<Duration, ConnectError> {
        if self.stopped.is_some_and(|stopped| stopped.load(Ordering::Relaxed)) {
            return Err(ConnectError::Stopped);
        }
        let left = match self.deadline {
            None => LONG,
            Some(deadline) => deadline.saturating_duration_since(Instant::now()),
        };
        match left {
            Duration::ZERO => Err(ConnectError::Timeout { stage, cause: None }),
            left if self.stopped.is_some() => Ok(left.min(LOOK)),
            left => Ok(left),
        }
    }
}

const LONG: Duration = Duration::from_secs(3600);
/// So much later an attempt takes notice that it is given up.
const LOOK: Duration = Duration::from_millis(50);

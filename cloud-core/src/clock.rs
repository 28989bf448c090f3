//! Where "now" comes from, so that tests and simulations can say what time it is.

use std::{fmt::Debug, time::Duration};

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// A source of the current time.
///
/// ```
/// use cloud_core::{Clock, SystemClock};
/// assert!(SystemClock.now() > jiff::Timestamp::UNIX_EPOCH);
/// ```
pub trait Clock: Debug + Send + Sync {
    /// The current time.
    fn now(&self) -> Timestamp;
}

/// The machine's wall clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// Time that advances with tokio's clock: under `tokio::time::pause` it is virtual, so a test of hours takes
/// milliseconds and always sees the same instants.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
/// use cloud_core::{Clock, TokioClock};
/// use std::time::Duration;
/// let clock = TokioClock::starting_at("2026-01-01T00:00:00Z".parse().unwrap());
/// tokio::time::sleep(Duration::from_secs(3600)).await;
/// assert_eq!(clock.now().to_string(), "2026-01-01T01:00:00Z");
/// # });
/// ```
#[derive(Clone, Copy, Debug)]
pub struct TokioClock {
    start: Timestamp,
    origin: Instant,
}

impl TokioClock {
    /// A clock that shows `start` now.
    pub fn starting_at(start: Timestamp) -> Self {
        Self { start, origin: Instant::now() }
    }

    /// How long it has been running.
    pub fn elapsed(&self) -> Duration {
        self.origin.elapsed()
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        SignedDuration::try_from(self.elapsed())
            .ok()
            .and_then(|elapsed| self.start.checked_add(elapsed).ok())
            .unwrap_or(Timestamp::MAX)
    }
}

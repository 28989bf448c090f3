//! When to try again: growing pauses, a time after which it is given up, and a way to stop.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use cloud_core::{Error, Retry};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::options::ExecutorOptions;

/// The attempts at one thing.
#[derive(Debug)]
pub(super) struct Attempts<'a> {
    pauses: ExponentialBackoff,
    patience: Duration,
    /// Set by the first error: how long a single attempt takes is not held against the next.
    give_up: Option<Instant>,
    stop: &'a CancellationToken,
}

impl<'a> Attempts<'a> {
    /// `seed` spreads the pauses of steps that failed at once, and always in the same way.
    pub(super) fn new(
        options: &ExecutorOptions,
        patience: Duration,
        seed: usize,
        stop: &'a CancellationToken,
    ) -> Self {
        let pauses = ExponentialBuilder::default()
            .with_min_delay(options.first_pause)
            .with_max_delay(options.longest_pause)
            .without_max_times()
            .with_jitter()
            .with_jitter_seed(seed as u64)
            .build();
        Self { pauses, patience, give_up: None, stop }
    }

    /// Waits before the next attempt. `false` if there is to be none.
    pub(super) async fn pause(&mut self, after: &Error) -> bool {
        let mut pause = self.pauses.next().unwrap_or_default();
        if let Retry::After(least) = after.retry() {
            pause = pause.max(least);
        }
        let now = Instant::now();
        let give_up = *self.give_up.get_or_insert(now + self.patience);
        if self.stop.is_cancelled() || now + pause > give_up {
            return false;
        }
        tokio::select! {
            biased;
            () = self.stop.cancelled() => false,
            () = sleep(pause) => true,
        }
    }
}

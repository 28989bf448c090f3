//! How much has been spent of the time and work that a solution may take.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::SolveOptions;

/// Counts work, and says when it is enough. Decisions that depend on time alone are made between pieces of work, so that with a limit of
/// work, and none of time, everything is repeatable.
#[derive(Clone, Debug)]
pub(super) struct Effort {
    start: Instant,
    time: Option<Duration>,
    limit: Option<u64>,
    cancel: CancellationToken,
    work: u64,
    /// No further than this share of the whole.
    share: f64,
}

impl Effort {
    pub(super) fn new(options: &SolveOptions) -> Self {
        Self {
            start: Instant::now(),
            time: options.time,
            limit: options.work,
            cancel: options.cancel.clone(),
            work: 0,
            share: 1.0,
        }
    }

    /// Counts so many steps of about a microsecond.
    pub(super) fn add(&mut self, steps: u64) {
        self.work = self.work.saturating_add(steps);
    }

    /// Counts what another has done beside it.
    pub(super) fn join(&mut self, other: &Self) {
        self.work = self.work.max(other.work);
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// Which share of what is allowed has been spent; 0 if there is no limit.
    pub(super) fn spent(&self) -> f64 {
        let work = self.limit.map_or(0.0, |limit| self.work as f64 / limit.max(1) as f64);
        let time = self
            .time
            .map_or(0.0, |time| self.start.elapsed().as_secs_f64() / time.as_secs_f64().max(1e-9));
        work.max(time)
    }

    /// The same, to be stopped once so much of the whole has been spent.
    pub(super) fn until(&self, share: f64) -> Self {
        Self { share: share.min(self.share), ..self.clone() }
    }

    pub(super) fn is_over(&self) -> bool {
        self.cancel.is_cancelled() || self.spent() >= self.share
    }
}

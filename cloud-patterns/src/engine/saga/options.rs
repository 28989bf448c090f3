//! How plans are carried out, and how one run is watched and stopped.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::engine::progress::Progress;

/// What happens when a step fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnFailure {
    /// Everything that the plan did is undone.
    #[default]
    RollBack,
    /// What the failed steps left is removed; what succeeded stays, and is in the catalog.
    Keep,
}

/// How plans are carried out.
///
/// ```
/// use cloud_patterns::engine::saga::ExecutorOptions;
/// let options = ExecutorOptions { concurrency: 16, ..ExecutorOptions::default() };
/// assert_eq!(options.lease_ttl.as_secs(), 30);
/// ```
#[derive(Clone, Debug)]
pub struct ExecutorOptions {
    /// The most steps at once. Default 64; 0 counts as 1.
    pub concurrency: usize,
    /// The most steps at once on one cloud. Default: as many as at all.
    pub concurrency_per_cloud: Option<usize>,
    /// The most time for one step, the wait until its resource is ready included. Default 15 minutes.
    pub step_timeout: Duration,
    /// How long a step waits out errors that may pass. Default 30 s.
    pub patience: Duration,
    /// How long one undo is tried, whatever the error. Default 2 minutes.
    pub undo_patience: Duration,
    /// The pause after a first failed attempt, and between the first two looks at a resource. Default 100 ms.
    pub first_pause: Duration,
    /// The longest pause. Default 5 s.
    pub longest_pause: Duration,
    /// What happens when a step fails.
    pub on_failure: OnFailure,
    /// How long after the plan was made its resources expire: from then on they may be removed without asking.
    /// Default: never.
    pub expires_after: Option<Duration>,
    /// Who acquires the leases. Default: a random name. A fixed one lets a restarted process take over at once what
    /// it held before; two processes must never share one.
    pub holder: String,
    /// How long a lease lasts without being renewed: how long a crashed process keeps others out. Default 30 s.
    pub lease_ttl: Duration,
    /// How long to wait for a lease that another holds. Default 45 s.
    pub lease_patience: Duration,
}

impl Default for ExecutorOptions {
    fn default() -> Self {
        Self {
            concurrency: 64,
            concurrency_per_cloud: None,
            step_timeout: Duration::from_secs(15 * 60),
            patience: Duration::from_secs(30),
            undo_patience: Duration::from_secs(120),
            first_pause: Duration::from_millis(100),
            longest_pause: Duration::from_secs(5),
            on_failure: OnFailure::default(),
            expires_after: None,
            holder: format!("executor-{}", Uuid::new_v4()),
            lease_ttl: Duration::from_secs(30),
            lease_patience: Duration::from_secs(45),
        }
    }
}

/// One run of a plan: where its events go and what stops it. Cheap to clone; a clone stops the same run.
///
/// ```
/// use cloud_patterns::engine::{progress::Progress, saga::Run};
/// let (progress, events) = Progress::channel(1024);
/// let run = Run { progress, ..Run::default() };
/// let stop = run.cancel.clone(); // stop.cancel() from anywhere: the plan is rolled back
/// ```
#[derive(Clone, Debug, Default)]
pub struct Run {
    /// Where events go.
    pub progress: Progress,
    /// Cancelling it is a failure: no step is begun any more, those under way end, and all is undone.
    pub cancel: CancellationToken,
    /// Cancelling it leaves things as they are, to be resumed: no step is begun any more, those under
    /// way end their call or their wait.
    pub pause: CancellationToken,
}

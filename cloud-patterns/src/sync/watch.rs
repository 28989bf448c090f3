//! Runs a job again and again, as often as its policy says, or sooner when a source says that something changed.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use async_trait::async_trait;
use cloud_core::{Error, ErrorKind, Result};
use jiff::Timestamp;

use super::{job::RunOptions, policy::SyncMode, report::SyncReport, service::SyncService};

/// How long a continuous job without a frequency waits between two runs.
const CONTINUOUS: Duration = Duration::from_secs(10);

/// How long the first pause after a failed run is; it doubles up to `MOST`.
const PAUSE: Duration = Duration::from_secs(5);
const MOST: Duration = Duration::from_secs(600);

/// Says that something at a source or target may have changed: a queue of the cloud's events, a watch on a folder. Without one, the
/// frequency alone decides.
///
/// ```
/// use cloud_patterns::sync::ChangeEvents;
///
/// #[derive(Debug)]
/// struct Queue(tokio::sync::Notify);
///
/// #[async_trait::async_trait]
/// impl ChangeEvents for Queue {
///     async fn changed(&self) -> cloud_core::Result<()> {
///         self.0.notified().await;
///         Ok(())
///     }
/// }
/// ```
#[async_trait]
pub trait ChangeEvents: std::fmt::Debug + Send + Sync {
    /// Waits for a change. Several at once may be told as one. Has to be cancellation-safe.
    ///
    /// # Errors
    /// What the source of events has; the job then goes on by its frequency.
    async fn changed(&self) -> Result<()>;
}

impl SyncService {
    /// Runs a job until [`RunOptions::stop`] is set: at once, then by the frequency of its policy, in a continuous job 10 s after the
    /// last run unless it says otherwise, or as soon as `events` tell of a change. `each` is given the outcome of every run.
    /// A run that failed is repeated after a pause that grows from 5 s to 10 min.
    ///
    /// Dropping the future is as safe as dropping a [`run`](Self::run).
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if there is no such job, [`InvalidInput`](ErrorKind::InvalidInput) if its frequency is `once`
    /// and it is not continuous.
    pub async fn watch(
        &self,
        job: &str,
        options: &RunOptions,
        events: Option<&dyn ChangeEvents>,
        mut each: impl FnMut(&Result<SyncReport>),
    ) -> Result<()> {
        let mut pause = PAUSE;
        while !options.stop.load(Relaxed) {
            let policy = self.job(job).await?.policy;
            if policy.frequency.is_once() && policy.mode != SyncMode::Continuous {
                let accepted = "30s, hourly, a cron expression, or the mode continuous";
                return Err(Error::invalid("frequency", "is 'once'", accepted));
            }
            let started = self.now();
            let options = RunOptions { progress: Default::default(), ..options.clone() };
            let outcome = self.run(job, &options).await;
            each(&outcome);
            let wait = match &outcome {
                Ok(_) => {
                    pause = PAUSE;
                    let next = policy.frequency.next_after(started, self.now());
                    next.map_or(CONTINUOUS, |next| until(next, self.now()))
                }
                Err(error) if error.kind() == ErrorKind::NotFound => return Err(error.clone()),
                Err(_) => {
                    let longer = (pause * 2).min(MOST);
                    std::mem::replace(&mut pause, longer)
                }
            };
            self.wait(wait, outcome.is_ok().then_some(events).flatten(), &options).await;
        }
        Ok(())
    }

    /// Waits for the time, an event or the word to stop.
    async fn wait(&self, wait: Duration, events: Option<&dyn ChangeEvents>, options: &RunOptions) {
        let stopped = async {
            while !options.stop.load(Relaxed) {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        let changed = async {
            match events {
                Some(events) => match events.changed().await {
                    Ok(()) => (),
                    Err(error) => {
                        tracing::warn!(%error, "no events: the frequency decides");
                        std::future::pending().await
                    }
                },
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => (),
            () = changed => (),
            () = stopped => (),
        }
    }
}

fn until(next: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(next.duration_since(now)).unwrap_or_default()
}

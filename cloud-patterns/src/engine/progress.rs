//! What is seen of a plan while it is carried out: one event for each change.

use std::sync::Arc;

use cloud_core::{CloudId, Error};
use tokio::sync::broadcast;

/// Something that happened while a plan was carried out.
///
/// ```
/// use cloud_patterns::engine::progress::ApplyEvent;
/// fn show(event: &ApplyEvent) {
///     if let ApplyEvent::StepSucceeded { step, .. } = event {
///         println!("{step} is done");
///     }
/// }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ApplyEvent {
    /// It began, or was taken up again.
    PlanStarted {
        /// The plan.
        plan: Arc<str>,
        /// How many steps it has.
        total: usize,
        /// How many of them were done before.
        done: usize,
    },
    /// A step began.
    StepStarted {
        /// The step.
        step: Arc<str>,
        /// The cloud that it acts on.
        cloud: CloudId,
    },
    /// A step goes on after an error that may pass.
    StepRetrying {
        /// The step.
        step: Arc<str>,
        /// The error.
        error: Error,
    },
    /// A step is done.
    StepSucceeded {
        /// The step.
        step: Arc<str>,
        /// How many steps are done now.
        done: usize,
    },
    /// A step failed.
    StepFailed {
        /// The step.
        step: Arc<str>,
        /// Why.
        error: Error,
    },
    /// What was done is being undone.
    RollBackStarted {
        /// Why.
        error: Error,
        /// How many steps are to be undone.
        total: usize,
    },
    /// A step was undone.
    Undone {
        /// The step.
        step: Arc<str>,
    },
    /// A step could not be undone.
    UndoFailed {
        /// The step.
        step: Arc<str>,
        /// Why.
        error: Error,
    },
    /// A resource that a repeated request had made was found, and is removed.
    DuplicateFound {
        /// The step that it was made by.
        step: Arc<str>,
    },
    /// This attempt is over; the [`Outcome`](super::saga::Outcome) says how.
    Finished {
        /// Whether every step is done.
        succeeded: bool,
    },
}

/// Where events go. Without a listener they cost next to nothing.
///
/// ```
/// use cloud_patterns::engine::progress::Progress;
/// let (progress, mut events) = Progress::channel(1024);
/// // hand `progress` to the executor, and receive from `events` in a task
/// ```
#[derive(Clone, Debug, Default)]
pub struct Progress(Option<broadcast::Sender<ApplyEvent>>);

impl Progress {
    /// A way in and a way out. A listener that is more than `capacity` events behind loses the oldest, and
    /// is told so; the plan never waits for it.
    pub fn channel(capacity: usize) -> (Self, broadcast::Receiver<ApplyEvent>) {
        let (sender, receiver) = broadcast::channel(capacity.max(1));
        (Self(Some(sender)), receiver)
    }

    /// Nobody listens.
    pub fn none() -> Self {
        Self::default()
    }

    /// Sends what `event` makes, if somebody listens.
    pub(crate) fn send(&self, event: impl FnOnce() -> ApplyEvent) {
        if let Some(sender) = &self.0
            && sender.receiver_count() > 0
        {
            // An error means that the last listener left between the two lines: nothing to do.
            let _ = sender.send(event());
        }
    }
}

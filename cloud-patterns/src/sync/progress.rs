//! How far a run is: events as they happen, and a sum at any time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use cloud_core::Error;
use futures::{Stream, stream};
use serde::{Deserialize, Serialize};
use tokio::{sync::mpsc, time::Instant};

use super::decide::{Action, Reason};

/// Something that happened in a run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum SyncEvent {
    /// Something is to be done about a key. In a dry run this is all that happens.
    Decided {
        /// The key.
        key: Box<str>,
        /// What is done.
        action: Action,
        /// Why.
        reason: Reason,
        /// Bytes that will be moved.
        bytes: u64,
    },
    /// An object arrived and was verified.
    Copied {
        /// Its key.
        key: Box<str>,
        /// Bytes that were written.
        bytes: u64,
    },
    /// An object was deleted or moved to the trash.
    Deleted {
        /// Its key.
        key: Box<str>,
    },
    /// An object was left as it is because one side cannot hold it unaltered.
    Refused {
        /// Its key.
        key: Box<str>,
        /// Why.
        why: String,
    },
    /// An object could not be copied or deleted.
    Failed {
        /// Its key.
        key: Box<str>,
        /// Why.
        error: Error,
    },
}

/// Hears of everything that happens in a run. Called in the run's own task: it has to return at once.
///
/// ```
/// use cloud_patterns::sync::{SyncEvent, SyncObserver};
///
/// #[derive(Debug)]
/// struct Print;
///
/// impl SyncObserver for Print {
///     fn event(&self, event: SyncEvent) {
///         println!("{event:?}");
///     }
/// }
/// ```
pub trait SyncObserver: std::fmt::Debug + Send + Sync {
    /// Something happened.
    fn event(&self, event: SyncEvent);
}

/// An observer and the stream of what it hears. The stream ends when the observer is dropped; events wait in memory until they
/// are read.
///
/// ```
/// use cloud_patterns::sync::sync_events;
/// let (observer, events) = sync_events();
/// # drop((observer, events));
/// ```
pub fn sync_events() -> (Arc<dyn SyncObserver>, impl Stream<Item = SyncEvent> + Send + Unpin) {
    let (to, events) = mpsc::unbounded_channel();
    let events = stream::poll_fn({
        let mut events = events;
        move |context| events.poll_recv(context)
    });
    (Arc::new(Sender(to)), events)
}

#[derive(Debug)]
struct Sender(mpsc::UnboundedSender<SyncEvent>);

impl SyncObserver for Sender {
    fn event(&self, event: SyncEvent) {
        // Nobody listens any more: that is no reason to stop.
        let _ = self.0.send(event);
    }
}

/// How far a run is. Clones share the figures, which any task may read at any time.
///
/// ```
/// let progress = cloud_patterns::sync::SyncProgress::default();
/// assert_eq!(progress.now().copied, 0);
/// ```
#[derive(Clone, Debug, Default)]
pub struct SyncProgress(Arc<Figures>);

#[derive(Debug, Default)]
struct Figures {
    seen: AtomicU64,
    queued: AtomicU64,
    queued_bytes: AtomicU64,
    copied: AtomicU64,
    copied_bytes: AtomicU64,
    deleted: AtomicU64,
    failed: AtomicU64,
    listed: AtomicBool,
    started: std::sync::OnceLock<Instant>,
    /// What the metrics were told of `copied`, `copied_bytes`, `deleted` and `failed`.
    told: [AtomicU64; 4],
}

/// The figures of one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Keys that were compared.
    pub seen: u64,
    /// Objects to copy that were found so far, and those of them that arrived.
    pub queued: u64,
    /// See `queued`.
    pub copied: u64,
    /// Bytes of them.
    pub queued_bytes: u64,
    /// See `queued_bytes`.
    pub copied_bytes: u64,
    /// Objects that were deleted.
    pub deleted: u64,
    /// Objects that could not be copied or deleted.
    pub failed: u64,
    /// Whether everything was listed: before, there is no saying how much is left.
    pub listed: bool,
    /// Since the run began.
    pub elapsed: Duration,
    /// How long the rest will take at the average rate so far; `None` before everything was listed.
    pub left: Option<Duration>,
}

impl Snapshot {
    /// Objects that arrived per second, on the average.
    pub fn objects_per_second(&self) -> f64 {
        self.copied as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }

    /// Bytes that arrived per second, on the average.
    pub fn bytes_per_second(&self) -> f64 {
        self.copied_bytes as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }
}

impl SyncProgress {
    pub(super) fn begin(&self) {
        let _ = self.0.started.set(Instant::now());
    }

    pub(super) fn seen(&self, keys: u64, queued: u64, bytes: u64) {
        self.0.seen.fetch_add(keys, Relaxed);
        self.0.queued.fetch_add(queued, Relaxed);
        self.0.queued_bytes.fetch_add(bytes, Relaxed);
    }

    pub(super) fn copied(&self, bytes: u64) {
        self.0.copied.fetch_add(1, Relaxed);
        self.0.copied_bytes.fetch_add(bytes, Relaxed);
    }

    pub(super) fn deleted(&self, objects: u64) {
        self.0.deleted.fetch_add(objects, Relaxed);
    }

    pub(super) fn failed(&self) {
        self.0.failed.fetch_add(1, Relaxed);
    }

    pub(super) fn listed(&self) {
        self.0.listed.store(true, Relaxed);
    }

    /// Tells the [`metrics`] facade what has come since the last time: `sync_objects_copied_total`, `sync_bytes_copied_total`,
    /// `sync_objects_deleted_total` and `sync_objects_failed_total`, by job.
    pub(super) fn tell_metrics(&self, job: &str) {
        let figures = &*self.0;
        let all = [
            ("sync_objects_copied_total", &figures.copied),
            ("sync_bytes_copied_total", &figures.copied_bytes),
            ("sync_objects_deleted_total", &figures.deleted),
            ("sync_objects_failed_total", &figures.failed),
        ];
        for ((name, figure), told) in all.into_iter().zip(&figures.told) {
            let now = figure.load(Relaxed);
            let before = told.swap(now, Relaxed);
            if now > before {
                metrics::counter!(name, "job" => job.to_owned()).increment(now - before);
            }
        }
    }

    /// The figures of this moment.
    pub fn now(&self) -> Snapshot {
        let figures = &*self.0;
        let get = |figure: &AtomicU64| figure.load(Relaxed);
        let mut now = Snapshot {
            seen: get(&figures.seen),
            queued: get(&figures.queued),
            copied: get(&figures.copied),
            queued_bytes: get(&figures.queued_bytes),
            copied_bytes: get(&figures.copied_bytes),
            deleted: get(&figures.deleted),
            failed: get(&figures.failed),
            listed: figures.listed.load(Relaxed),
            elapsed: figures.started.get().map(Instant::elapsed).unwrap_or_default(),
            left: None,
        };
        let rest = |done: u64, all: u64| all.saturating_sub(done) as f64 / done.max(1) as f64;
        if now.listed && now.copied > 0 {
            // Small objects take requests, large ones bandwidth: what is further behind decides.
            let share = rest(now.copied, now.queued).max(rest(now.copied_bytes, now.queued_bytes));
            now.left = Duration::try_from_secs_f64(now.elapsed.as_secs_f64() * share).ok();
        }
        now
    }
}

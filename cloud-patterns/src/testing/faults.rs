//! What the harness lets go wrong: one call to a cloud, or one write of the journal, by its number.

use std::{
    fmt,
    future::pending,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use cloud_core::{
    Effect, Error, ErrorKind, Page, PageRequest, Result, Retry,
    intercept::{Interceptor, Next, Operation},
};
use tokio_util::sync::CancellationToken;

use crate::engine::store::{Entry, Fence, Lease, OwnedResource, Record, Store};

/// What goes wrong with one call that changes a cloud.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallFault {
    /// Refused for good: nothing happens, and repeating it is pointless.
    Refused,
    /// Fails before its effect, with an error that may pass.
    FailedBefore,
    /// Times out before its effect; the caller cannot know.
    LostBefore,
    /// Fails after its effect, and says so.
    FailedAfter,
    /// Times out after its effect; the caller cannot know.
    LostAfter,
    /// The process dies before the effect.
    CrashBefore,
    /// The process dies after the effect.
    CrashAfter,
    /// The call reaches the cloud twice.
    Repeated,
}

impl CallFault {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Refused,
        Self::FailedBefore,
        Self::LostBefore,
        Self::FailedAfter,
        Self::LostAfter,
        Self::CrashBefore,
        Self::CrashAfter,
        Self::Repeated,
    ];
}

/// What goes wrong with one write of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WriteFault {
    /// It fails, and nothing is written.
    FailedBefore,
    /// It is written, and fails nevertheless.
    FailedAfter,
    /// The process dies before it is written.
    CrashBefore,
    /// The process dies after it is written.
    CrashAfter,
}

impl WriteFault {
    /// All of them.
    pub const ALL: [Self; 4] =
        [Self::FailedBefore, Self::FailedAfter, Self::CrashBefore, Self::CrashAfter];
}

/// Counts, and strikes once.
#[derive(Debug)]
struct Trigger<F> {
    seen: AtomicUsize,
    strike: Option<(usize, F)>,
}

impl<F: Copy> Trigger<F> {
    fn new(strike: Option<(usize, F)>) -> Self {
        Self { seen: AtomicUsize::new(0), strike }
    }

    fn pull(&self) -> Option<F> {
        let at = self.seen.fetch_add(1, Ordering::Relaxed);
        self.strike.and_then(|(when, fault)| (when == at).then_some(fault))
    }
}

/// The faults of one run, shared by all its clouds and its store.
#[derive(Debug)]
pub(super) struct Faults {
    calls: Trigger<CallFault>,
    writes: Trigger<WriteFault>,
    struck: Mutex<Option<String>>,
    /// Cancelled where the process dies.
    pub(super) crash: CancellationToken,
}

impl Faults {
    pub(super) fn new(
        call: Option<(usize, CallFault)>,
        write: Option<(usize, WriteFault)>,
    ) -> Arc<Self> {
        Arc::new(Self {
            calls: Trigger::new(call),
            writes: Trigger::new(write),
            struck: Mutex::default(),
            crash: CancellationToken::new(),
        })
    }

    pub(super) fn calls_seen(&self) -> usize {
        self.calls.seen.load(Ordering::Relaxed)
    }

    pub(super) fn writes_seen(&self) -> usize {
        self.writes.seen.load(Ordering::Relaxed)
    }

    /// What was struck, in words.
    pub(super) fn struck(&self) -> Option<String> {
        let struck = self.struck.lock().unwrap_or_else(PoisonError::into_inner);
        struck.clone()
    }

    fn note(&self, what: impl fmt::Display) {
        let mut struck = self.struck.lock().unwrap_or_else(PoisonError::into_inner);
        *struck = Some(what.to_string());
    }

    /// The process dies here: whoever runs it drops it, and with it this call.
    async fn die<T>(&self) -> T {
        self.crash.cancel();
        pending().await
    }
}

/// The part that sits around every call to a cloud.
#[derive(Debug)]
pub(super) struct AroundCalls(pub(super) Arc<Faults>);

fn fault(kind: ErrorKind, effect: Effect, retry: Retry) -> Error {
    Error::new(kind, "the crash harness lets this call fail").with_effect(effect).with_retry(retry)
}

#[async_trait]
impl Interceptor for AroundCalls {
    async fn around(&self, operation: &Operation<'_>, next: Next<'_>) -> Result<()> {
        if !operation.access.is_mutating() {
            return next.run().await;
        }
        let Some(strike) = self.0.calls.pull() else {
            return next.run().await;
        };
        self.0.note(format_args!("{} {}", operation.name, operation.target));
        let lost = || fault(ErrorKind::Timeout, Effect::Unknown, Retry::Backoff);
        match strike {
            CallFault::Refused => {
                Err(fault(ErrorKind::PermissionDenied, Effect::None, Retry::Never))
            }
            CallFault::FailedBefore => {
                Err(fault(ErrorKind::Unavailable, Effect::None, Retry::Backoff))
            }
            CallFault::LostBefore => Err(lost()),
            CallFault::FailedAfter => {
                next.run().await?;
                Err(fault(ErrorKind::Internal, Effect::Done, Retry::Never))
            }
            CallFault::LostAfter => {
                next.run().await?;
                Err(lost())
            }
            CallFault::CrashBefore => self.0.die().await,
            CallFault::CrashAfter => {
                // The cloud's answer has no reader any more.
                let _ = next.run().await;
                self.0.die().await
            }
            CallFault::Repeated => {
                let first = next.run().await;
                let second = next.run().await;
                first.or(second)
            }
        }
    }
}

/// The part that sits around the journal.
#[derive(Debug)]
pub(super) struct AroundStore {
    pub(super) inner: Arc<dyn Store>,
    pub(super) faults: Arc<Faults>,
}

#[async_trait]
impl Store for AroundStore {
    async fn append(&self, fence: &Fence, stream: &str, records: Vec<Record>) -> Result<u64> {
        let Some(strike) = self.faults.writes.pull() else {
            return self.inner.append(fence, stream, records).await;
        };
        self.faults.note(format_args!("append to {stream}"));
        let broken =
            || Error::new(ErrorKind::Unavailable, "the crash harness lets this write fail");
        match strike {
            WriteFault::FailedBefore => Err(broken()),
            WriteFault::FailedAfter => {
                self.inner.append(fence, stream, records).await?;
                Err(broken().with_effect(Effect::Unknown))
            }
            WriteFault::CrashBefore => self.faults.die().await,
            WriteFault::CrashAfter => {
                self.inner.append(fence, stream, records).await?;
                self.faults.die().await
            }
        }
    }

    async fn forget(&self, fence: &Fence, prefix: &str) -> Result<u64> {
        self.inner.forget(fence, prefix).await
    }

    async fn read_page(&self, stream: &str, page: &PageRequest) -> Result<Page<Entry>> {
        self.inner.read_page(stream, page).await
    }

    async fn streams_page(&self, prefix: &str, page: &PageRequest) -> Result<Page<String>> {
        self.inner.streams_page(prefix, page).await
    }

    async fn catalog_page(
        &self,
        deployment: Option<&str>,
        page: &PageRequest,
    ) -> Result<Page<OwnedResource>> {
        self.inner.catalog_page(deployment, page).await
    }

    async fn acquire(&self, name: &str, holder: &str, ttl: Duration) -> Result<Option<Lease>> {
        self.inner.acquire(name, holder, ttl).await
    }

    async fn renew(&self, lease: &Lease, ttl: Duration) -> Result<Lease> {
        self.inner.renew(lease, ttl).await
    }

    async fn release(&self, lease: &Lease) -> Result<()> {
        self.inner.release(lease).await
    }
}

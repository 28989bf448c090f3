//! What all connections of a server share.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, RwLock};

use super::bucket::Bucket;
use super::faults::{FaultKind, Faults};
use super::request::RequestInfo;
use super::stats::{Counters, Stats};
use super::store::{Store, read, write};
use super::time::ServerClock;
use super::{Dialect, ServerOptions};

/// Decides for each request what befalls it.
pub(crate) type Hook = Arc<dyn for<'a> Fn(&RequestInfo<'a>) -> Option<FaultKind> + Send + Sync>;

/// The state of one server.
pub(crate) struct Shared {
    pub(crate) dialect: Dialect,
    pub(crate) options: ServerOptions,
    pub(crate) clock: ServerClock,
    pub(crate) store: Store,
    pub(crate) counters: Counters,
    requests: AtomicU64,
    /// Whether there is a hook or are faults; spares most servers the two locks.
    may_break: AtomicBool,
    hook: RwLock<Option<Hook>>,
    faults: RwLock<Option<Arc<Faults>>>,
}

impl Shared {
    pub(crate) fn new(dialect: Dialect, mut options: ServerOptions) -> Self {
        let faults = options.faults.take().map(Arc::new);
        Self {
            dialect,
            clock: ServerClock { offset_seconds: options.clock_offset },
            store: Store::new(options.capacity_bytes),
            counters: Counters::default(),
            requests: AtomicU64::new(0),
            may_break: AtomicBool::new(faults.is_some()),
            hook: RwLock::new(None),
            faults: RwLock::new(faults),
            options,
        }
    }

    /// The number of the next request.
    pub(crate) fn number(&self) -> u64 {
        self.requests.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn bucket(self: &Arc<Self>, name: &str) -> Bucket {
        let (store, _) = self.store.create_bucket(name);
        Bucket { name: name.to_owned(), shared: self.clone(), store }
    }

    pub(crate) fn stats(&self) -> Stats {
        self.counters.snapshot(self.store.writes())
    }

    pub(crate) fn may_break(&self) -> bool {
        self.may_break.load(Ordering::Relaxed)
    }

    pub(crate) fn hook(&self) -> Option<Hook> {
        read(&self.hook).clone()
    }

    pub(crate) fn set_hook(&self, hook: Option<Hook>) {
        *write(&self.hook) = hook;
        self.may_break.store(true, Ordering::Relaxed);
    }

    pub(crate) fn faults(&self) -> Option<Arc<Faults>> {
        read(&self.faults).clone()
    }

    pub(crate) fn set_faults(&self, faults: Option<Faults>) {
        *write(&self.faults) = faults.map(Arc::new);
        self.may_break.store(true, Ordering::Relaxed);
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Shared")
            .field("dialect", &self.dialect)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

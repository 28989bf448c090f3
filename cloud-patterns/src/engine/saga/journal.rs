//! The executor's side of the store: one lease kept alive, and a journal whose writers share appends.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use cloud_core::{Effect, Error, ErrorKind, Result, Retry};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::event::{self, PlanEvent};
use crate::engine::store::{CatalogChange, Fence, Lease, Record, Store};

/// Acquires a lease, waiting for another holder to end or to expire.
///
/// # Errors
/// [`ErrorKind::Conflict`] with the code `lease_held` after `patience`.
pub(super) async fn acquire(
    store: &dyn Store,
    name: &str,
    holder: &str,
    ttl: Duration,
    patience: Duration,
) -> Result<Tenure> {
    let give_up = Instant::now() + patience;
    loop {
        let asked = Instant::now();
        if let Some(lease) = store.acquire(name, holder, ttl).await? {
            return Ok(Tenure { lease: Mutex::new(lease), ttl, until: Mutex::new(asked + ttl) });
        }
        if Instant::now() >= give_up {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!("another orchestrator holds the lease '{name}'"),
            )
            .with_code("lease_held")
            .with_hint("wait until it is done, or until its lease expires"));
        }
        sleep((ttl / 10).clamp(Duration::from_millis(20), Duration::from_secs(1))).await;
    }
}

/// A lease while it is held.
#[derive(Debug)]
pub(super) struct Tenure {
    lease: Mutex<Lease>,
    ttl: Duration,
    /// By this machine's own clock: after it, another may hold the lease.
    until: Mutex<Instant>,
}

impl Tenure {
    pub(super) fn lease(&self) -> Lease {
        lock(&self.lease).clone()
    }

    pub(super) fn fence(&self) -> Fence {
        lock(&self.lease).fence.clone()
    }

    /// Renews the lease until that fails for good, and returns why.
    pub(super) async fn keep(&self, store: &dyn Store) -> Error {
        loop {
            sleep(self.ttl / 3).await;
            let until = *lock(&self.until);
            loop {
                let asked = Instant::now();
                let lease = self.lease();
                match timeout_at(until, store.renew(&lease, self.ttl)).await {
                    Ok(Ok(renewed)) => {
                        *lock(&self.lease) = renewed;
                        *lock(&self.until) = asked + self.ttl;
                        break;
                    }
                    Ok(Err(error)) if error.kind() == ErrorKind::Conflict => return lost(error),
                    // The store may be back before the lease runs out.
                    Ok(Err(error)) if Instant::now() >= until => return lost(error),
                    Ok(Err(_)) => {
                        let pause = Instant::now() + self.ttl / 20;
                        sleep_until(pause.min(until)).await;
                    }
                    Err(_) => {
                        let message = "the store did not answer while the lease ran out";
                        return lost(Error::new(ErrorKind::Timeout, message));
                    }
                }
            }
        }
    }
}

fn lost(error: Error) -> Error {
    let code = error.code().unwrap_or("lease_lost").to_owned();
    Error::new(
        ErrorKind::Conflict,
        format!("the lease is lost, so nothing more is done here: {error}"),
    )
    .with_code(code)
    .with_effect(Effect::Unknown)
    .with_retry(Retry::Never)
    .with_hint("whoever holds it now goes on; or resume the plan")
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Nothing panics while it holds one of these locks, and what they guard is valid at every moment.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One plan's stream. Records of steps that run at once share an append, in the order in which they came.
#[derive(Debug)]
pub(super) struct Journal<'a> {
    store: &'a dyn Store,
    fence: Fence,
    stream: String,
    queue: Mutex<Queue>,
    written: tokio::sync::Mutex<Written>,
}

#[derive(Debug, Default)]
struct Queue {
    records: Vec<Record>,
    last: u64,
}

#[derive(Debug, Default)]
struct Written {
    last: u64,
    broken: Option<Error>,
}

impl<'a> Journal<'a> {
    pub(super) fn new(store: &'a dyn Store, fence: Fence, stream: String) -> Self {
        Self {
            store,
            fence,
            stream,
            queue: Mutex::default(),
            written: tokio::sync::Mutex::default(),
        }
    }

    /// Writes one record; when it returns, the record is durable.
    ///
    /// # Errors
    /// The store's. The journal is then closed: whether the record was written is unknown, so nothing
    /// may be done any more before it is read again.
    pub(super) async fn write(
        &self,
        event: &PlanEvent<'_>,
        catalog: Vec<CatalogChange>,
    ) -> Result<()> {
        let record = event::record(event, catalog)?;
        let mine = {
            let mut queue = lock(&self.queue);
            queue.records.push(record);
            queue.last += 1;
            queue.last
        };
        // Whoever comes first writes for all who wait behind.
        let mut written = self.written.lock().await;
        if let Some(error) = &written.broken {
            return Err(error.clone());
        }
        if written.last >= mine {
            return Ok(());
        }
        let (records, last) = {
            let mut queue = lock(&self.queue);
            (std::mem::take(&mut queue.records), queue.last)
        };
        // Holds if this future is dropped during the append.
        written.broken = Some(Error::new(ErrorKind::Cancelled, "a journal write was cut off"));
        match self.store.append(&self.fence, &self.stream, records).await {
            Ok(_) => {
                *written = Written { last, broken: None };
                Ok(())
            }
            Err(error) => {
                let stale = error.code() == Some("stale_epoch");
                let error = if stale {
                    lost(error)
                } else {
                    error
                        .context("the journal cannot be written, so nothing more is done")
                        .with_effect(Effect::Unknown)
                        .with_retry(Retry::Never)
                        .with_hint("see to the store, then resume the plan")
                };
                written.broken = Some(error.clone());
                Err(error)
            }
        }
    }
}

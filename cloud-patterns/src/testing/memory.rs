//! A store in memory, on tokio's time: for tests.
//!
//! Why not `SqliteStore::in_memory`: it takes a thread's time for each append, in which the records of steps that run at
//! once gather in one write. The harness then has fewer writes to fail, not always the same ones, and takes over four times as long.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use cloud_core::{
    Clock, CloudId, Error, ErrorKind, Page, PageRequest, PageToken, ResourceId, Result, TokioClock,
};
use jiff::{SignedDuration, Timestamp};

use crate::engine::store::{CatalogChange, Entry, Fence, Lease, OwnedResource, Record, Store};

const PAGE: usize = 1000;

/// Journal, catalog and leases in memory. Nothing survives the value itself; what survives a crash in a test is the
/// value, shared as an `Arc`.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
/// use cloud_patterns::{engine::store::Store, testing::MemoryStore};
/// use std::time::Duration;
/// let store = MemoryStore::new();
/// let minute = Duration::from_secs(60);
/// assert!(store.acquire("job", "a", minute).await.unwrap().is_some());
/// assert!(store.acquire("job", "b", minute).await.unwrap().is_none());
/// tokio::time::advance(minute).await;
/// assert_eq!(store.acquire("job", "b", minute).await.unwrap().unwrap().fence.epoch, 2);
/// # });
/// ```
#[derive(Debug)]
pub struct MemoryStore {
    clock: TokioClock,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    streams: BTreeMap<String, Vec<Entry>>,
    catalog: BTreeMap<(CloudId, ResourceId), OwnedResource>,
    leases: BTreeMap<String, Held>,
}

impl Inner {
    fn check(&self, fence: &Fence) -> Result<()> {
        let current = self.leases.get(&fence.lease);
        match current.is_some_and(|held| held.epoch == fence.epoch && !held.released) {
            true => Ok(()),
            false => Err(stale(&fence.lease)),
        }
    }
}

#[derive(Debug)]
struct Held {
    epoch: u64,
    holder: String,
    expires_at: Timestamp,
    released: bool,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryStore {
    /// An empty store. Call it in the runtime that uses it.
    pub fn new() -> Self {
        Self { clock: TokioClock::starting_at(Timestamp::UNIX_EPOCH), inner: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn after(&self, ttl: Duration) -> Timestamp {
        let ttl = SignedDuration::try_from(ttl).unwrap_or(SignedDuration::MAX);
        let later = self.clock.now().checked_add(ttl);
        later.unwrap_or(Timestamp::MAX)
    }
}

fn stale(lease: &str) -> Error {
    let message = format!("another holds the lease '{lease}' now");
    Error::new(ErrorKind::Conflict, message).with_code("stale_epoch")
}

fn page<T>(items: impl Iterator<Item = T>, request: &PageRequest) -> Result<Page<T>> {
    let wrong = || Error::invalid("page token", "is none of this store's", "one it gave out");
    let from: usize = match &request.after {
        Some(token) => token.as_str().parse().map_err(|_| wrong())?,
        None => 0,
    };
    let size = request.size.map_or(PAGE, |s| (s as usize).clamp(1, PAGE));
    let mut items: Vec<T> = items.skip(from).take(size + 1).collect();
    let next = match items.len() > size {
        true => Some(PageToken::new((from + size).to_string())?),
        false => None,
    };
    items.truncate(size);
    Ok(Page { items, next })
}

#[async_trait]
impl Store for MemoryStore {
    async fn append(&self, fence: &Fence, stream: &str, records: Vec<Record>) -> Result<u64> {
        let at = self.clock.now();
        let mut inner = self.lock();
        inner.check(fence)?;
        for change in records.iter().flat_map(|r| &r.catalog) {
            match change.clone() {
                CatalogChange::Put(owned) => {
                    let key = (owned.cloud.clone(), owned.id.clone());
                    inner.catalog.insert(key, owned);
                }
                CatalogChange::Remove { cloud, id } => {
                    inner.catalog.remove(&(cloud, id));
                }
            }
        }
        let entries = inner.streams.entry(stream.to_owned()).or_default();
        for record in records {
            let sequence = entries.len() as u64 + 1;
            entries.push(Entry { sequence, at, epoch: fence.epoch, record });
        }
        Ok(entries.len() as u64)
    }

    async fn forget(&self, fence: &Fence, prefix: &str) -> Result<u64> {
        let mut inner = self.lock();
        inner.check(fence)?;
        let of = |name: &String| name.starts_with(prefix);
        let mut going = inner.streams.iter().filter(|(name, _)| of(name));
        if going.any(|(_, entries)| entries.iter().any(|e| !e.record.catalog.is_empty())) {
            return Err(Error::invalid(
                "stream prefix",
                format_args!("'{prefix}' covers records that changed the catalog"),
                "streams without catalog changes",
            ));
        }
        let before = inner.streams.len();
        inner.streams.retain(|name, _| !of(name));
        Ok((before - inner.streams.len()) as u64)
    }

    async fn read_page(&self, stream: &str, request: &PageRequest) -> Result<Page<Entry>> {
        let inner = self.lock();
        let entries = inner.streams.get(stream).map_or(&[][..], Vec::as_slice);
        page(entries.iter().cloned(), request)
    }

    async fn streams_page(&self, prefix: &str, request: &PageRequest) -> Result<Page<String>> {
        let inner = self.lock();
        let names = inner.streams.keys().filter(|name| name.starts_with(prefix));
        page(names.cloned(), request)
    }

    async fn catalog_page(
        &self,
        deployment: Option<&str>,
        request: &PageRequest,
    ) -> Result<Page<OwnedResource>> {
        let inner = self.lock();
        let of = |owned: &&OwnedResource| deployment.is_none_or(|d| d == owned.deployment);
        page(inner.catalog.values().filter(of).cloned(), request)
    }

    async fn acquire(&self, name: &str, holder: &str, ttl: Duration) -> Result<Option<Lease>> {
        let (now, expires_at) = (self.clock.now(), self.after(ttl));
        let mut inner = self.lock();
        let epoch = match inner.leases.get(name) {
            Some(held) if !held.released && held.expires_at > now && held.holder != holder => {
                return Ok(None);
            }
            Some(held) => held.epoch + 1,
            None => 1,
        };
        let held = Held { epoch, holder: holder.to_owned(), expires_at, released: false };
        inner.leases.insert(name.to_owned(), held);
        Ok(Some(Lease {
            fence: Fence { lease: name.to_owned(), epoch },
            holder: holder.to_owned(),
            expires_at,
        }))
    }

    async fn renew(&self, lease: &Lease, ttl: Duration) -> Result<Lease> {
        let expires_at = self.after(ttl);
        let mut inner = self.lock();
        match inner.leases.get_mut(&lease.fence.lease) {
            Some(held) if held.epoch == lease.fence.epoch && !held.released => {
                held.expires_at = expires_at;
                Ok(Lease { expires_at, ..lease.clone() })
            }
            _ => Err(stale(&lease.fence.lease)),
        }
    }

    async fn release(&self, lease: &Lease) -> Result<()> {
        let mut inner = self.lock();
        if let Some(held) = inner.leases.get_mut(&lease.fence.lease)
            && held.epoch == lease.fence.epoch
        {
            held.released = true;
        }
        Ok(())
    }
}

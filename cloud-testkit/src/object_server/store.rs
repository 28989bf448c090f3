//! What the server holds: buckets, objects, their versions and unfinished uploads.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;
use hyper::header::{HeaderName, HeaderValue};

use super::object::StoredObject;
use super::refusal::Refusal;

/// All buckets of a server.
#[derive(Debug)]
pub(crate) struct Store {
    buckets: RwLock<BTreeMap<String, Arc<BucketStore>>>,
    uploads: Mutex<BTreeMap<String, Upload>>,
    sequence: AtomicU64,
    space: Arc<Space>,
}

/// How many bytes are held, and how many may be.
#[derive(Debug)]
pub(crate) struct Space {
    capacity: Option<u64>,
    used: AtomicU64,
}

/// A multipart upload under way.
#[derive(Debug)]
pub(crate) struct Upload {
    pub(crate) bucket: String,
    pub(crate) key: String,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) parts: BTreeMap<u32, Part>,
}

/// One part of a multipart upload.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) body: Bytes,
    pub(crate) md5: [u8; 16],
}

/// One bucket.
#[derive(Debug)]
pub(crate) struct BucketStore {
    state: RwLock<BucketState>,
    /// Azure blocks not yet in a blob, by blob name.
    pub(crate) blocks: Mutex<HashMap<String, HashMap<String, Bytes>>>,
    space: Arc<Space>,
}

/// The objects of a bucket under one lock.
#[derive(Debug, Default)]
pub(crate) struct BucketState {
    pub(crate) current: BTreeMap<Arc<str>, Arc<StoredObject>>,
    /// All versions of each key, oldest first, once the bucket keeps them.
    pub(crate) versions: Option<BTreeMap<Arc<str>, Vec<Version>>>,
    /// How often each key was written by a client.
    pub(crate) writes: HashMap<Arc<str>, u64>,
}

/// One version of a key.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    pub(crate) id: u64,
    pub(crate) modified: std::time::SystemTime,
    /// `None` for a delete marker.
    pub(crate) object: Option<Arc<StoredObject>>,
}

/// Who writes: what clients write is counted by key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writer {
    Client,
    Test,
}

impl Store {
    pub(crate) fn new(capacity: Option<u64>) -> Self {
        Self {
            buckets: RwLock::default(),
            uploads: Mutex::default(),
            sequence: AtomicU64::new(0),
            space: Arc::new(Space { capacity, used: AtomicU64::new(0) }),
        }
    }

    /// A number that is never given twice.
    pub(crate) fn next(&self) -> u64 {
        self.sequence.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn bucket(&self, name: &str) -> Result<Arc<BucketStore>, Refusal> {
        read(&self.buckets).get(name).cloned().ok_or(Refusal::NoBucket)
    }

    pub(crate) fn bucket_names(&self) -> Vec<String> {
        read(&self.buckets).keys().cloned().collect()
    }

    /// Makes a bucket, unless there is one; says whether it did.
    pub(crate) fn create_bucket(&self, name: &str) -> (Arc<BucketStore>, bool) {
        let mut buckets = write(&self.buckets);
        if let Some(known) = buckets.get(name) {
            return (known.clone(), false);
        }
        let made = Arc::new(BucketStore {
            state: RwLock::default(),
            blocks: Mutex::default(),
            space: self.space.clone(),
        });
        buckets.insert(name.to_owned(), made.clone());
        (made, true)
    }

    pub(crate) fn delete_bucket(&self, name: &str, only_empty: bool) -> Result<(), Refusal> {
        let mut buckets = write(&self.buckets);
        let bucket = buckets.get(name).ok_or(Refusal::NoBucket)?;
        if only_empty && !bucket.read().current.is_empty() {
            return Err(Refusal::BucketNotEmpty);
        }
        bucket.clear();
        buckets.remove(name);
        Ok(())
    }

    pub(crate) fn uploads(&self) -> MutexGuard<'_, BTreeMap<String, Upload>> {
        lock(&self.uploads)
    }

    /// How often clients wrote each key, over all buckets; and how many keys that were.
    pub(crate) fn writes(&self) -> BTreeMap<String, BTreeMap<String, u64>> {
        let of = |bucket: &BucketStore| {
            bucket.read().writes.iter().map(|(key, n)| (key.to_string(), *n)).collect()
        };
        read(&self.buckets).iter().map(|(name, bucket)| (name.clone(), of(bucket))).collect()
    }
}

impl BucketStore {
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, BucketState> {
        read(&self.state)
    }

    pub(crate) fn get(&self, key: &str) -> Result<Arc<StoredObject>, Refusal> {
        self.read().current.get(key).cloned().ok_or(Refusal::NoKey)
    }

    pub(crate) fn get_version(&self, key: &str, id: u64) -> Result<Arc<StoredObject>, Refusal> {
        let state = self.read();
        let versions =
            state.versions.as_ref().and_then(|all| all.get(key)).ok_or(Refusal::NoVersion)?;
        let version = versions.iter().find(|version| version.id == id).ok_or(Refusal::NoVersion)?;
        version.object.clone().ok_or(Refusal::DeleteMarker)
    }

    /// Puts an object under `key` if `allowed` agrees with what is there; both in one step.
    pub(crate) fn put(
        &self,
        writer: Writer,
        key: &str,
        mut object: StoredObject,
        next: impl FnOnce() -> u64,
        allowed: impl FnOnce(Option<&StoredObject>) -> Result<(), Refusal>,
    ) -> Result<Arc<StoredObject>, Refusal> {
        let mut guard = write(&self.state);
        let state = &mut *guard;
        let there = state.current.get_key_value(key);
        let old = there.map(|(_, object)| object);
        allowed(old.map(AsRef::as_ref))?;
        if let Some(old) = old {
            object.created = old.created;
        }
        let freed = old.filter(|_| state.versions.is_none()).map_or(0, |old| old.size());
        self.space.exchange(freed, object.size())?;
        let key = there.map_or_else(|| Arc::from(key), |(key, _)| key.clone());
        object.version = state.versions.as_ref().map(|_| next());
        let object = Arc::new(object);
        if let (Some(versions), Some(id)) = (&mut state.versions, object.version) {
            let version = Version { id, modified: object.modified, object: Some(object.clone()) };
            versions.entry(key.clone()).or_default().push(version);
        }
        state.current.insert(key.clone(), object.clone());
        if writer == Writer::Client {
            *state.writes.entry(key).or_default() += 1;
        }
        Ok(object)
    }

    /// Replaces what is kept beside an object's bytes; `None` if it is gone.
    pub(crate) fn alter(
        &self,
        key: &str,
        change: impl FnOnce(&mut StoredObject),
    ) -> Result<(), Refusal> {
        let mut guard = write(&self.state);
        let object = guard.current.get_mut(key).ok_or(Refusal::NoKey)?;
        change(Arc::make_mut(object));
        Ok(())
    }

    /// Removes an object, or covers it with a delete marker, whose id it returns.
    pub(crate) fn delete(
        &self,
        key: &str,
        marker: impl FnOnce() -> Version,
        allowed: impl FnOnce(Option<&StoredObject>) -> Result<(), Refusal>,
    ) -> Result<Option<u64>, Refusal> {
        let mut guard = write(&self.state);
        allowed(guard.current.get(key).map(AsRef::as_ref))?;
        let removed = guard.current.remove(key);
        match &mut guard.versions {
            Some(versions) => {
                let marker = marker();
                let id = marker.id;
                versions.entry(Arc::from(key)).or_default().push(marker);
                Ok(Some(id))
            }
            None => {
                self.space.release(removed.map_or(0, |object| object.size()));
                Ok(None)
            }
        }
    }

    /// Removes one version for good; the one before it becomes current.
    pub(crate) fn delete_version(&self, key: &str, id: u64) {
        let mut guard = write(&self.state);
        let state = &mut *guard;
        let Some(versions) = &mut state.versions else { return };
        let Some((name, kept)) =
            versions.get_key_value(key).map(|(name, kept)| (name.clone(), kept.clone()))
        else {
            return;
        };
        let (gone, kept): (Vec<_>, Vec<_>) = kept.into_iter().partition(|version| version.id == id);
        self.space.release(
            gone.iter()
                .filter_map(|version| version.object.as_ref())
                .map(|object| object.size())
                .sum(),
        );
        match kept.last().and_then(|newest| newest.object.clone()) {
            Some(object) => state.current.insert(name.clone(), object),
            None => state.current.remove(key),
        };
        if kept.is_empty() {
            versions.remove(key);
        } else {
            versions.insert(name, kept);
        }
    }

    /// From now on keeps every version; what is there gets the version 0, which clients see as `null`.
    pub(crate) fn keep_versions(&self) {
        let mut guard = write(&self.state);
        let state = &mut *guard;
        if state.versions.is_none() {
            let first = |(key, object): (&Arc<str>, &mut Arc<StoredObject>)| {
                Arc::make_mut(object).version = Some(0);
                let version =
                    Version { id: 0, modified: object.modified, object: Some(object.clone()) };
                (key.clone(), vec![version])
            };
            state.versions = Some(state.current.iter_mut().map(first).collect());
        }
    }

    pub(crate) fn clear(&self) {
        let mut state = write(&self.state);
        let held: u64 = match &state.versions {
            Some(versions) => versions
                .values()
                .flatten()
                .filter_map(|v| v.object.as_ref())
                .map(|o| o.size())
                .sum(),
            None => state.current.values().map(|object| object.size()).sum(),
        };
        self.space.release(held);
        state.current.clear();
        state.writes.clear();
        state.versions = state.versions.is_some().then(BTreeMap::new);
        lock(&self.blocks).clear();
    }
}

impl Space {
    /// Takes `wanted` bytes and gives back `freed`, unless that goes beyond the capacity.
    fn exchange(&self, freed: u64, wanted: u64) -> Result<(), Refusal> {
        let fits = |used: u64| {
            let after = used.saturating_sub(freed) + wanted;
            self.capacity.is_none_or(|capacity| after <= capacity).then_some(after)
        };
        self.used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits)
            .map(drop)
            .map_err(|_| Refusal::Full)
    }

    fn release(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

// No code panics while it holds one of these locks, and each change under them is whole at every step.
pub(crate) fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

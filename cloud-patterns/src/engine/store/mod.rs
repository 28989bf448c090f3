//! What survives a crash: an append-only journal, the catalog of owned resources derived from it, and leases with fencing epochs.
//!
//! - [`SqliteStore`] keeps them in one file, which any number of processes of one machine may share.
//! - `PostgresStore` (feature `postgres`) keeps them in a database, which any number of machines may share.
//!
//! Both run the same code. All changes of one process go through one writer, which commits what is waiting as
//! one transaction, so that a thousand concurrent appends cost a few disk flushes and not a thousand.

mod batch;
mod change;
mod limits;
#[cfg(feature = "postgres")]
mod postgres;
mod schema;
mod session;
mod sql;
mod sqlite;
mod transaction;

use std::{fmt::Debug, time::Duration};

use async_trait::async_trait;
use cloud_core::{ClientToken, CloudId, Listing, Page, PageRequest, ResourceId, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use change::CatalogRepair;
pub use limits::{
    MAX_APPEND_BYTES, MAX_NAME_BYTES, MAX_PAGE, MAX_RECORD_BYTES, MAX_STREAM_BYTES, MAX_TTL,
};
#[cfg(feature = "postgres")]
pub use postgres::{PostgresBackend, PostgresStore};
pub use sql::SqlStore;
pub use sqlite::{SqliteBackend, SqliteStore};

/// The right to write for as long as a lease's epoch is current. Every write carries one; a stale one is refused.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Fence {
    /// Name of the lease.
    pub lease: String,
    /// The epoch at which it was acquired.
    pub epoch: u64,
}

/// A lease that was acquired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// What every write of its holder carries.
    pub fence: Fence,
    /// Who holds it.
    pub holder: String,
    /// When it may be taken over, by the store's clock.
    pub expires_at: Timestamp,
}

/// A resource that a deployment owns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnedResource {
    /// The cloud it is in.
    pub cloud: CloudId,
    /// Its id there.
    pub id: ResourceId,
    /// The deployment it belongs to.
    pub deployment: String,
    /// The component of the workload that it stands for.
    pub component: String,
    /// The plan that made it.
    pub plan: String,
    /// The step of that plan.
    pub step: String,
    /// The token it was made with.
    pub token: ClientToken,
}

/// A change of the catalog, made in the same transaction as the record that reports it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CatalogChange {
    /// The resource is owned from now on.
    Put(OwnedResource),
    /// The resource is gone.
    Remove {
        /// The cloud it was in.
        cloud: CloudId,
        /// Its id there.
        id: ResourceId,
    },
}

/// What is appended to the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// What happened. Never a secret.
    pub body: Value,
    /// What it changes in the catalog.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub catalog: Vec<CatalogChange>,
}

impl Record {
    /// A record that changes nothing in the catalog.
    ///
    /// ```
    /// use cloud_patterns::engine::store::Record;
    /// assert!(Record::new("plan begun").catalog.is_empty());
    /// ```
    pub fn new(body: impl Into<Value>) -> Self {
        Self { body: body.into(), catalog: Vec::new() }
    }
}

/// A record in the journal.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Its place in its stream: 1, 2, 3, …
    pub sequence: u64,
    /// When it was appended, to the microsecond. Order is by sequence: a clock that was set back shows here.
    pub at: Timestamp,
    /// The epoch it was written at.
    pub epoch: u64,
    /// What was appended.
    pub record: Record,
}

/// Journal, catalog and leases.
///
/// # Fencing
/// A lease has an epoch, which grows at every [`acquire`](Self::acquire) and is never used twice. An append names
/// the epoch it acts at, and is refused unless that epoch is the lease's current one at the moment of the commit.
/// Time decides only who *may* acquire, never who may write: a holder whose lease has expired, but whom nobody
/// has followed, still is the only writer, so its appends are accepted; from the moment another acquires the lease,
/// none is, however wrong the clocks are.
///
/// # Cancellation
/// Dropping the future of a change ([`append`](Self::append), [`acquire`](Self::acquire), [`renew`](Self::renew),
/// [`release`](Self::release)) after its first poll leaves its effect unknown, all or nothing: read the stream to know.
/// Dropping a read is safe.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use std::{sync::Arc, time::Duration};
/// use cloud_core::SystemClock;
/// use cloud_patterns::engine::store::{Record, SqliteStore, Store, StoreExt};
///
/// let store = SqliteStore::in_memory(Arc::new(SystemClock)).await?;
/// let lease = store.acquire("shop", "host-1/4711", Duration::from_secs(30)).await?.expect("it is free");
/// store.append(&lease.fence, "plan/7", vec![Record::new("begun"), Record::new("done")]).await?;
/// let entries = store.read("plan/7").complete().await?.into_items();
/// assert_eq!((entries[1].sequence, entries[1].record.body.as_str()), (2, Some("done")));
/// # Ok::<(), cloud_core::Error>(()) }).unwrap();
/// ```
#[async_trait]
pub trait Store: Debug + Send + Sync {
    /// Appends records to a stream, all or none, durably before it returns, and applies their catalog changes.
    /// Returns the sequence of the last; without records, of the last there is (0 in an empty stream).
    ///
    /// Any number of callers may append at once; each is answered on its own. Callers wait while more than
    /// [`MAX_APPEND_BYTES`] are on their way to the disk.
    ///
    /// # Errors
    /// [`Conflict`](cloud_core::ErrorKind::Conflict) with the code `stale_epoch` and no effect if the fence is not
    /// current: another acquired the lease, or it was released. [`InvalidInput`](cloud_core::ErrorKind::InvalidInput)
    /// for a bad name or a record of more than [`MAX_RECORD_BYTES`].
    /// [`StorageFull`](cloud_core::ErrorKind::StorageFull), [`Unavailable`](cloud_core::ErrorKind::Unavailable), … as
    /// the database has it; an [`Effect::Unknown`](cloud_core::Effect::Unknown) only if the commit itself was cut off.
    async fn append(&self, fence: &Fence, stream: &str, records: Vec<Record>) -> Result<u64>;

    /// Removes the streams whose names begin with `prefix`, with all their records: what was kept for a time only, such
    /// as the state that a later one has replaced. Returns how many streams there were.
    ///
    /// # Errors
    /// As [`append`](Self::append); and [`InvalidInput`](cloud_core::ErrorKind::InvalidInput), with nothing removed, if one of
    /// their records changed the catalog: the catalog is derived from the journal.
    async fn forget(&self, fence: &Fence, prefix: &str) -> Result<u64>;

    /// One page of a stream, oldest first. See [`StoreExt::read`]. A stream that was never written to is empty.
    /// A page is shorter than asked for where its records are large.
    ///
    /// # Errors
    /// [`Corrupt`](cloud_core::ErrorKind::Corrupt) if a record is missing or unreadable; any that the database has.
    async fn read_page(&self, stream: &str, page: &PageRequest) -> Result<Page<Entry>>;

    /// One page of the names of the streams that begin with `prefix` (all, if it is empty), in the order of their bytes.
    ///
    /// # Errors
    /// Any that the database has.
    async fn streams_page(&self, prefix: &str, page: &PageRequest) -> Result<Page<String>>;

    /// One page of the catalog, of one deployment or of all, ordered by cloud and id.
    ///
    /// # Errors
    /// Any that the database has.
    async fn catalog_page(
        &self,
        deployment: Option<&str>,
        page: &PageRequest,
    ) -> Result<Page<OwnedResource>>;

    /// Acquires a lease that is free, expired, or already this holder's (a restart takes over its own), at a
    /// new epoch. `None` while another holds it.
    ///
    /// `holder` has to be unique among those that run at the same time: two that call themselves the same take
    /// the lease from each other.
    ///
    /// # Errors
    /// [`InvalidInput`](cloud_core::ErrorKind::InvalidInput) for a bad name or a `ttl` that is under 1 ms or over
    /// [`MAX_TTL`]; any that the database has.
    async fn acquire(&self, name: &str, holder: &str, ttl: Duration) -> Result<Option<Lease>>;

    /// Prolongs a lease at its epoch: it expires `ttl` from now.
    ///
    /// # Errors
    /// [`Conflict`](cloud_core::ErrorKind::Conflict) with the code `stale_epoch` if another acquired it meanwhile or
    /// it was released.
    async fn renew(&self, lease: &Lease, ttl: Duration) -> Result<Lease>;

    /// Gives a lease back: it is free at once, and its fence is stale. Nothing if another acquired it meanwhile.
    ///
    /// # Errors
    /// Any that the database has.
    async fn release(&self, lease: &Lease) -> Result<()>;
}

/// The paged reads of a [`Store`] as streams.
///
/// ```
/// # async fn example(store: std::sync::Arc<dyn cloud_patterns::engine::store::Store>) -> cloud_core::Result<()> {
/// use cloud_patterns::engine::store::StoreExt;
/// let owned = store.catalog(Some("shop")).complete().await?;
/// println!("shop owns {} resources", owned.items().len());
/// # Ok(()) }
/// ```
pub trait StoreExt: Store {
    /// All entries of a stream, oldest first.
    fn read<'a>(&'a self, stream: &str) -> Listing<'a, Entry> {
        let stream = stream.to_owned();
        Listing::new(PageRequest::default(), move |page| {
            let stream = stream.clone();
            async move { self.read_page(&stream, &page).await }
        })
    }

    /// The names of all streams that begin with `prefix`, ordered.
    fn streams<'a>(&'a self, prefix: &str) -> Listing<'a, String> {
        let prefix = prefix.to_owned();
        Listing::new(PageRequest::default(), move |page| {
            let prefix = prefix.clone();
            async move { self.streams_page(&prefix, &page).await }
        })
    }

    /// Everything that a deployment owns, or that all of them own.
    fn catalog<'a>(&'a self, deployment: Option<&str>) -> Listing<'a, OwnedResource> {
        let deployment = deployment.map(str::to_owned);
        Listing::new(PageRequest::default(), move |page| {
            let deployment = deployment.clone();
            async move { self.catalog_page(deployment.as_deref(), &page).await }
        })
    }
}

impl<T: Store + ?Sized> StoreExt for T {}

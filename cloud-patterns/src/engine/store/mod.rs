//! What survives a crash: an append-only journal, the catalog of owned resources derived from it, and leases with fencing epochs.

use std::{fmt::Debug, time::Duration};

use async_trait::async_trait;
use cloud_core::{ClientToken, CloudId, Page, PageRequest, ResourceId, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

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
    /// When it may be taken over.
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

/// A record in the journal.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Its place in its stream: 1, 2, 3, …
    pub sequence: u64,
    /// When it was appended.
    pub at: Timestamp,
    /// The epoch it was written at.
    pub epoch: u64,
    /// What was appended.
    pub record: Record,
}

/// Journal, catalog and leases.
#[async_trait]
pub trait Store: Debug + Send + Sync {
    /// Appends records to a stream, all or none, durably before it returns, and applies their catalog changes.
    /// Returns the sequence of the last.
    ///
    /// # Errors
    /// [`Conflict`](cloud_core::ErrorKind::Conflict) with the code `stale_epoch` if the fence is not current.
    async fn append(&self, fence: &Fence, stream: &str, records: Vec<Record>) -> Result<u64>;

    /// One page of a stream, oldest first. See [`StoreExt::read`].
    ///
    /// # Errors
    /// Any. A stream that was never written to is empty.
    async fn read_page(&self, stream: &str, page: &PageRequest) -> Result<Page<Entry>>;

    /// One page of the names of the streams that begin with `prefix`, ordered.
    ///
    /// # Errors
    /// Any.
    async fn streams_page(&self, prefix: &str, page: &PageRequest) -> Result<Page<String>>;

    /// One page of the catalog, of one deployment or of all.
    ///
    /// # Errors
    /// Any.
    async fn catalog_page(
        &self,
        deployment: Option<&str>,
        page: &PageRequest,
    ) -> Result<Page<OwnedResource>>;

    /// Acquires a lease that is free, expired, or already this holder's (a restart takes over its own), at a
    /// new epoch. `None` while another holds it.
    ///
    /// # Errors
    /// Any.
    async fn acquire(&self, name: &str, holder: &str, ttl: Duration) -> Result<Option<Lease>>;

    /// Prolongs a lease at its epoch.
    ///
    /// # Errors
    /// [`Conflict`](cloud_core::ErrorKind::Conflict) with the code `stale_epoch` if another acquired it meanwhile.
    async fn renew(&self, lease: &Lease, ttl: Duration) -> Result<Lease>;

    /// Gives a lease back. Nothing if another acquired it meanwhile.
    ///
    /// # Errors
    /// Any.
    async fn release(&self, lease: &Lease) -> Result<()>;
}

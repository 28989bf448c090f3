//! The changes of a store: append, acquire, renew, release, and the repair of the catalog.

use std::collections::BTreeMap;

use async_trait::async_trait;
use cloud_core::{Effect, Error, ErrorKind, Result};
use jiff::Timestamp;

use super::{
    CatalogChange, Fence, Lease, Record,
    batch::Change,
    limits::{
        PAGE_BYTES, check_append, check_holder, check_lease, check_record, check_stream, check_ttl,
    },
    session::{Value, corrupt},
    transaction::{LeaseRow, OwnedKey, OwnedRow, Transaction, owned},
};

/// A record as it is stored.
struct Encoded {
    body: String,
    catalog: Option<String>,
    owned: Vec<(OwnedKey, Option<OwnedRow>)>,
}

impl Encoded {
    fn new(record: &Record) -> Result<Self> {
        let json = |e: serde_json::Error| {
            Error::invalid("record", format_args!("cannot be written: {e}"), "JSON")
        };
        let body = serde_json::to_string(&record.body).map_err(json)?;
        let catalog = if record.catalog.is_empty() {
            None
        } else {
            Some(serde_json::to_string(&record.catalog).map_err(json)?)
        };
        let encoded =
            Self { body, catalog, owned: record.catalog.iter().map(owned).collect::<Result<_>>()? };
        check_record(encoded.bytes())?;
        Ok(encoded)
    }

    fn bytes(&self) -> usize {
        self.body.len() + self.catalog.as_ref().map_or(0, String::len)
    }
}

pub(super) struct Append {
    fence: Fence,
    stream: String,
    records: Vec<Encoded>,
}

impl Append {
    pub(super) fn new(fence: &Fence, stream: &str, records: &[Record]) -> Result<Self> {
        check_lease(&fence.lease)?;
        check_stream(stream)?;
        let append = Self {
            fence: fence.clone(),
            stream: stream.to_owned(),
            records: records.iter().map(Encoded::new).collect::<Result<_>>()?,
        };
        check_append(append.bytes())?;
        Ok(append)
    }
}

#[async_trait]
impl Change for Append {
    type Output = u64;

    fn bytes(&self) -> usize {
        self.records.iter().map(Encoded::bytes).sum()
    }

    async fn apply(&self, transaction: &mut Transaction) -> Result<Result<u64>> {
        let lease = match current(transaction, &self.fence).await? {
            Ok(lease) => lease,
            Err(stale) => return Ok(Err(stale)),
        };
        let mut last = transaction.last(&self.stream).await?;
        for Encoded { body, catalog, owned } in &self.records {
            last = transaction.append(&self.stream, lease.epoch, body, catalog.as_deref()).await?;
            for (key, row) in owned {
                transaction.set_owned(key.clone(), row.clone());
            }
        }
        Ok(Ok(count(last)?))
    }
}

/// Streams and all that is in them go.
pub(super) struct Forget {
    fence: Fence,
    prefix: String,
}

impl Forget {
    pub(super) fn new(fence: &Fence, prefix: &str) -> Result<Self> {
        check_lease(&fence.lease)?;
        check_stream(prefix)?;
        Ok(Self { fence: fence.clone(), prefix: prefix.to_owned() })
    }
}

#[async_trait]
impl Change for Forget {
    type Output = u64;

    fn bytes(&self) -> usize {
        self.prefix.len()
    }

    async fn apply(&self, transaction: &mut Transaction) -> Result<Result<u64>> {
        if let Err(stale) = current(transaction, &self.fence).await? {
            return Ok(Err(stale));
        }
        match transaction.forget(&self.prefix).await? {
            Some(streams) => Ok(Ok(streams)),
            None => Ok(Err(Error::invalid(
                "stream prefix",
                format_args!("'{}' covers records that changed the catalog", self.prefix),
                "streams without catalog changes",
            ))),
        }
    }
}

pub(super) struct Acquire {
    name: String,
    holder: String,
    micros: i64,
}

impl Acquire {
    pub(super) fn new(name: &str, holder: &str, ttl: std::time::Duration) -> Result<Self> {
        check_lease(name)?;
        check_holder(holder)?;
        Ok(Self { name: name.to_owned(), holder: holder.to_owned(), micros: check_ttl(ttl)? })
    }
}

#[async_trait]
impl Change for Acquire {
    type Output = Option<Lease>;

    async fn apply(&self, transaction: &mut Transaction) -> Result<Result<Option<Lease>>> {
        let now = transaction.now();
        let epoch = match transaction.lease(&self.name).await? {
            None => 1,
            Some(lease) => match &lease.holder {
                Some(other) if *other != self.holder && lease.expires_at > now => {
                    return Ok(Ok(None));
                }
                _ => lease.epoch + 1,
            },
        };
        let row = LeaseRow {
            epoch,
            holder: Some(self.holder.clone()),
            expires_at: now.saturating_add(self.micros),
        };
        let lease = held(&self.name, &row)?;
        transaction.set_lease(&self.name, row);
        Ok(Ok(Some(lease)))
    }
}

pub(super) struct Renew {
    fence: Fence,
    micros: i64,
}

impl Renew {
    pub(super) fn new(lease: &Lease, ttl: std::time::Duration) -> Result<Self> {
        check_lease(&lease.fence.lease)?;
        Ok(Self { fence: lease.fence.clone(), micros: check_ttl(ttl)? })
    }
}

#[async_trait]
impl Change for Renew {
    type Output = Lease;

    async fn apply(&self, transaction: &mut Transaction) -> Result<Result<Lease>> {
        let row = match current(transaction, &self.fence).await? {
            Ok(row) => {
                LeaseRow { expires_at: transaction.now().saturating_add(self.micros), ..row }
            }
            Err(stale) => return Ok(Err(stale)),
        };
        let lease = held(&self.fence.lease, &row)?;
        transaction.set_lease(&self.fence.lease, row);
        Ok(Ok(lease))
    }
}

pub(super) struct Release {
    fence: Fence,
}

impl Release {
    pub(super) fn new(lease: &Lease) -> Result<Self> {
        check_lease(&lease.fence.lease)?;
        Ok(Self { fence: lease.fence.clone() })
    }
}

#[async_trait]
impl Change for Release {
    type Output = ();

    async fn apply(&self, transaction: &mut Transaction) -> Result<Result<()>> {
        if let Ok(row) = current(transaction, &self.fence).await? {
            let free = LeaseRow { holder: None, ..row };
            transaction.set_lease(&self.fence.lease, free);
        }
        Ok(Ok(()))
    }
}

/// What [`SqlStore::rebuild_catalog`](super::SqlStore::rebuild_catalog) found and put right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CatalogRepair {
    /// Resources that the journal says are owned.
    pub owned: u64,
    /// Those of them that the catalog did not have.
    pub missing: u64,
    /// Those of them that the catalog had differently.
    pub different: u64,
    /// What the catalog had and the journal does not know, or says is gone.
    pub surplus: u64,
}

impl CatalogRepair {
    /// Whether the catalog was as the journal says.
    ///
    /// ```
    /// use cloud_patterns::engine::store::CatalogRepair;
    /// assert!(CatalogRepair { owned: 7, ..CatalogRepair::default() }.was_right());
    /// ```
    pub fn was_right(&self) -> bool {
        (self.missing, self.different, self.surplus) == (0, 0, 0)
    }
}

pub(super) struct RebuildCatalog;

#[async_trait]
impl Change for RebuildCatalog {
    type Output = CatalogRepair;

    async fn apply(&self, transaction: &mut Transaction) -> Result<Result<CatalogRepair>> {
        let derived = derived_catalog(transaction).await?;
        let stored = stored_catalog(transaction).await?;
        let mut repair = CatalogRepair { owned: derived.len() as u64, ..CatalogRepair::default() };
        for key in stored.keys().filter(|key| !derived.contains_key(*key)) {
            repair.surplus += 1;
            transaction.set_owned(key.clone(), None);
        }
        for (key, row) in derived {
            match stored.get(&key) {
                Some(there) if *there == row => continue,
                Some(_) => repair.different += 1,
                None => repair.missing += 1,
            }
            transaction.set_owned(key, Some(row));
        }
        Ok(Ok(repair))
    }
}

/// The catalog that the journal alone tells.
async fn derived_catalog(transaction: &mut Transaction) -> Result<BTreeMap<OwnedKey, OwnedRow>> {
    let mut catalog = BTreeMap::new();
    let mut after = 0_i64;
    loop {
        let sql = "SELECT position, catalog FROM multicloud_journal \
                   WHERE catalog IS NOT NULL AND position > $1 ORDER BY position LIMIT 1000";
        let rows = transaction.read(sql, vec![after.into()], PAGE_BYTES).await?;
        if rows.is_empty() {
            return Ok(catalog);
        }
        for mut row in rows {
            after = row.int()?;
            let changes: Vec<CatalogChange> = serde_json::from_str(&row.text()?).map_err(|e| {
                corrupt(format!(
                    "the catalog changes at position {after} of the journal are unreadable: {e}"
                ))
            })?;
            for change in &changes {
                match owned(change)? {
                    (key, Some(row)) => catalog.insert(key, row),
                    (key, None) => catalog.remove(&key),
                };
            }
        }
    }
}

async fn stored_catalog(transaction: &mut Transaction) -> Result<BTreeMap<OwnedKey, OwnedRow>> {
    let mut catalog = BTreeMap::new();
    let mut after: OwnedKey = Default::default();
    loop {
        let sql = "SELECT cloud, id, deployment, resource FROM multicloud_owned \
                   WHERE (cloud, id) > ($1, $2) ORDER BY cloud, id LIMIT 1000";
        let arguments = vec![Value::from(after.0.as_str()), after.1.as_str().into()];
        let rows = transaction.read(sql, arguments, PAGE_BYTES).await?;
        if rows.is_empty() {
            return Ok(catalog);
        }
        for mut row in rows {
            after = (row.text()?, row.text()?);
            catalog.insert(after.clone(), (row.text()?, row.text()?));
        }
    }
}

/// The row of the lease if the fence is its current one, or what to tell its late holder.
async fn current(transaction: &mut Transaction, fence: &Fence) -> Result<Result<LeaseRow>> {
    let problem = match transaction.lease(&fence.lease).await? {
        None => "was never acquired".to_owned(),
        Some(row) if u64::try_from(row.epoch) != Ok(fence.epoch) => {
            format!("is at epoch {}", row.epoch)
        }
        Some(row) if row.holder.is_none() => "was released".to_owned(),
        Some(row) => return Ok(Ok(row)),
    };
    let message = format!(
        "epoch {} of lease '{}' is not current: the lease {problem}",
        fence.epoch, fence.lease
    );
    Ok(Err(Error::new(ErrorKind::Conflict, message)
        .with_code("stale_epoch")
        .with_effect(Effect::None)
        .with_hint("stop acting for this lease; acquire it again to go on")))
}

fn held(name: &str, row: &LeaseRow) -> Result<Lease> {
    Ok(Lease {
        fence: Fence { lease: name.to_owned(), epoch: count(row.epoch)? },
        holder: row.holder.clone().unwrap_or_default(),
        expires_at: Timestamp::from_microsecond(row.expires_at)
            .map_err(|e| corrupt(format!("the expiry of lease '{name}' is out of range: {e}")))?,
    })
}

fn count(int: i64) -> Result<u64> {
    u64::try_from(int).map_err(|_| corrupt(format!("the store counts to {int}")))
}

//! One transaction that writes: what it has read is kept, what it changes is written at its end in few statements.

use std::collections::{BTreeMap, HashMap};

use cloud_core::{Effect, Error, Result};
use jiff::Timestamp;

use super::{
    CatalogChange,
    limits::PAGE_BYTES,
    schema,
    session::{Backend, Connection, Row, Value, corrupt},
    sql::after_prefix,
};

/// The row of a lease. It stays when the lease is released, so that no epoch is used twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LeaseRow {
    pub(super) epoch: i64,
    pub(super) holder: Option<String>,
    /// Microseconds since 1970.
    pub(super) expires_at: i64,
}

/// A value read or made in this transaction.
struct Kept<T> {
    value: T,
    changed: bool,
}

impl<T> Kept<T> {
    fn read(value: T) -> Self {
        Self { value, changed: false }
    }
}

/// A row of the catalog: the deployment and the resource as JSON.
pub(super) type OwnedRow = (String, String);

/// Cloud and id: the key of the catalog.
pub(super) type OwnedKey = (String, String);

pub(super) struct Transaction {
    connection: Box<dyn Connection>,
    now: Timestamp,
    leases: HashMap<String, Kept<Option<LeaseRow>>>,
    streams: HashMap<String, Kept<i64>>,
    /// The last position of the journal, once known.
    position: Option<i64>,
    entries: Vec<Vec<Value>>,
    owned: BTreeMap<OwnedKey, Option<OwnedRow>>,
    open: bool,
}

impl Transaction {
    /// Begins, and waits until it is the only one that writes.
    pub(super) async fn begin<B: Backend>(backend: &B) -> Result<Self> {
        let connection = backend.connection().await?;
        let mut this = Self {
            connection,
            now: Timestamp::UNIX_EPOCH,
            leases: HashMap::new(),
            streams: HashMap::new(),
            position: None,
            entries: Vec::new(),
            owned: BTreeMap::new(),
            open: true,
        };
        match this.start(backend).await {
            Ok(()) => Ok(this),
            Err(error) => {
                this.roll_back().await;
                Err(error)
            }
        }
    }

    async fn start<B: Backend>(&mut self, backend: &B) -> Result<()> {
        self.connection.run(B::BEGIN, vec![]).await?;
        // Asked every time: a newer version may have taken the store over while this one was running.
        schema::check(&mut *self.connection, B::LOCK).await?;
        self.now = backend.now(&mut *self.connection).await?;
        Ok(())
    }

    /// The time of the transaction, by the clock that counts for leases.
    pub(super) fn now(&self) -> i64 {
        self.now.as_microsecond()
    }

    pub(super) async fn lease(&mut self, name: &str) -> Result<Option<LeaseRow>> {
        if let Some(kept) = self.leases.get(name) {
            return Ok(kept.value.clone());
        }
        let rows = self
            .connection
            .run(
                "SELECT epoch, holder, expires_at FROM multicloud_lease WHERE name = $1",
                vec![name.into()],
            )
            .await?;
        let lease = rows.into_iter().next().map(lease_row).transpose()?;
        self.leases.insert(name.to_owned(), Kept::read(lease.clone()));
        Ok(lease)
    }

    pub(super) fn set_lease(&mut self, name: &str, lease: LeaseRow) {
        let kept = Kept { value: Some(lease), changed: true };
        self.leases.insert(name.to_owned(), kept);
    }

    /// The last sequence of a stream; 0 if it has no entry.
    pub(super) async fn last(&mut self, stream: &str) -> Result<i64> {
        if let Some(kept) = self.streams.get(stream) {
            return Ok(kept.value);
        }
        let sql = "SELECT last FROM multicloud_stream WHERE name = $1";
        let rows = self.connection.run(sql, vec![stream.into()]).await?;
        let last = match rows.into_iter().next() {
            Some(mut row) => row.int()?,
            None => 0,
        };
        self.streams.insert(stream.to_owned(), Kept::read(last));
        Ok(last)
    }

    /// Appends one entry and returns its sequence.
    pub(super) async fn append(
        &mut self,
        stream: &str,
        epoch: i64,
        body: &str,
        catalog: Option<&str>,
    ) -> Result<i64> {
        let sequence = self.last(stream).await? + 1;
        let position = match self.position {
            Some(last) => last + 1,
            None => self.last_position().await? + 1,
        };
        self.position = Some(position);
        self.entries.push(vec![
            position.into(),
            stream.into(),
            sequence.into(),
            self.now().into(),
            epoch.into(),
            body.into(),
            catalog.into(),
        ]);
        let kept = Kept { value: sequence, changed: true };
        self.streams.insert(stream.to_owned(), kept);
        Ok(sequence)
    }

    /// Removes the streams that begin with a prefix and returns how many there were; `None`, with nothing removed, if one of them
    /// changed the catalog.
    pub(super) async fn forget(&mut self, prefix: &str) -> Result<Option<u64>> {
        let range = || vec![Value::from(prefix), after_prefix(prefix).into()];
        let of = |name| format!("{name} >= $1 AND ($2 IS NULL OR {name} < $2)");
        let sql = format!("SELECT count(catalog) FROM multicloud_journal WHERE {}", of("stream"));
        if self.count(&sql, range()).await? > 0 {
            return Ok(None);
        }
        let sql = format!("SELECT count(*) FROM multicloud_stream WHERE {}", of("name"));
        let streams = self.count(&sql, range()).await?;
        for (table, name) in [("multicloud_journal", "stream"), ("multicloud_stream", "name")] {
            let sql = format!("DELETE FROM {table} WHERE {}", of(name));
            self.read(&sql, range(), PAGE_BYTES).await?;
        }
        self.streams.retain(|name, _| !name.starts_with(prefix));
        Ok(Some(u64::try_from(streams).unwrap_or_default()))
    }

    async fn count(&mut self, sql: &str, arguments: Vec<Value>) -> Result<i64> {
        match self.read(sql, arguments, PAGE_BYTES).await?.into_iter().next() {
            Some(mut row) => row.int(),
            None => Err(corrupt("the store does not count")),
        }
    }

    async fn last_position(&mut self) -> Result<i64> {
        let sql = "SELECT coalesce(max(position), 0) FROM multicloud_journal";
        match self.connection.run(sql, vec![]).await?.into_iter().next() {
            Some(mut row) => row.int(),
            None => Err(corrupt("the journal has no last position")),
        }
    }

    pub(super) fn set_owned(&mut self, key: OwnedKey, row: Option<OwnedRow>) {
        self.owned.insert(key, row);
    }

    /// Reads within the transaction, after everything that it has changed has been written.
    pub(super) async fn read(
        &mut self,
        sql: &str,
        arguments: Vec<Value>,
        max_bytes: usize,
    ) -> Result<Vec<Row>> {
        self.flush().await?;
        let answer = self.connection.query(sql.to_owned(), arguments, max_bytes);
        Ok(answer.await?.rows)
    }

    /// Writes what was changed.
    async fn flush(&mut self) -> Result<()> {
        let entries = std::mem::take(&mut self.entries);
        self.insert(
            "INSERT INTO multicloud_journal (position, stream, sequence, at, epoch, body, catalog)",
            entries,
            "",
        )
        .await?;

        let changed = self.streams.iter_mut().filter(|(_, kept)| kept.changed);
        let streams = changed.map(|(name, kept)| {
            kept.changed = false;
            vec![name.as_str().into(), kept.value.into()]
        });
        let streams = streams.collect();
        self.insert(
            "INSERT INTO multicloud_stream (name, last)",
            streams,
            "ON CONFLICT (name) DO UPDATE SET last = excluded.last",
        )
        .await?;

        let changed = self.leases.iter_mut().filter(|(_, kept)| kept.changed);
        let leases = changed.filter_map(|(name, kept)| {
            kept.changed = false;
            let lease = kept.value.clone()?;
            Some(vec![
                name.as_str().into(),
                lease.epoch.into(),
                lease.holder.into(),
                lease.expires_at.into(),
            ])
        });
        let leases = leases.collect();
        self.insert(
            "INSERT INTO multicloud_lease (name, epoch, holder, expires_at)",
            leases,
            "ON CONFLICT (name) DO UPDATE SET epoch = excluded.epoch, holder = excluded.holder, expires_at = excluded.expires_at",
        )
        .await?;

        let mut put = Vec::new();
        for ((cloud, id), row) in std::mem::take(&mut self.owned) {
            match row {
                Some((deployment, resource)) => {
                    put.push(vec![cloud.into(), id.into(), deployment.into(), resource.into()]);
                }
                None => {
                    let sql = "DELETE FROM multicloud_owned WHERE cloud = $1 AND id = $2";
                    self.connection.run(sql, vec![cloud.into(), id.into()]).await?;
                }
            }
        }
        self.insert(
            "INSERT INTO multicloud_owned (cloud, id, deployment, resource)",
            put,
            "ON CONFLICT (cloud, id) DO UPDATE SET deployment = excluded.deployment, resource = excluded.resource",
        )
        .await
    }

    /// Inserts rows, many with one statement. The numbers of rows are few different ones, so that the
    /// prepared statements are as well.
    async fn insert(&mut self, into: &str, rows: Vec<Vec<Value>>, after: &str) -> Result<()> {
        let mut rows = rows.into_iter();
        while let Some(count) = [64, 8, 1].into_iter().find(|n| *n <= rows.len()) {
            let arguments: Vec<Value> = rows.by_ref().take(count).flatten().collect();
            let columns = arguments.len() / count;
            let values = (0..count).map(|row| {
                let numbers = (1..=columns).map(|column| format!("${}", row * columns + column));
                format!("({})", numbers.collect::<Vec<_>>().join(","))
            });
            let values = values.collect::<Vec<_>>().join(",");
            let sql = format!("{into} VALUES {values} {after}");
            self.connection.run(&sql, arguments).await?;
        }
        Ok(())
    }

    /// Writes and commits. Durable when it returns.
    pub(super) async fn commit<B: Backend>(mut self, backend: &B) -> Result<()> {
        if let Err(error) = self.flush().await {
            self.roll_back().await;
            return Err(error);
        }
        match self.connection.run("COMMIT", vec![]).await {
            Ok(_) => {
                self.open = false;
                Ok(())
            }
            Err(error) => {
                let not_committed = backend.surely_not_committed(&error);
                self.roll_back().await;
                Err(if not_committed { error } else { error.with_effect(Effect::Unknown) })
            }
        }
    }

    /// Undoes everything. A connection that is not fit for it has undone it by itself, and is checked before its next use.
    pub(super) async fn roll_back(mut self) {
        if let Err(error) = self.connection.run("ROLLBACK", vec![]).await {
            tracing::debug!(%error, "there was nothing to roll back");
        }
        self.open = false;
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if self.open {
            // Dropped in the middle: closing the connection rolls back.
            self.connection.discard();
        }
    }
}

fn lease_row(mut row: Row) -> Result<LeaseRow> {
    Ok(LeaseRow { epoch: row.int()?, holder: row.optional_text()?, expires_at: row.int()? })
}

/// The row of the catalog that a change is about, and what it becomes; `None` if it goes.
pub(super) fn owned(change: &CatalogChange) -> Result<(OwnedKey, Option<OwnedRow>)> {
    match change {
        CatalogChange::Put(resource) => {
            let json = serde_json::to_string(resource).map_err(|e| {
                Error::invalid("owned resource", format_args!("cannot be written: {e}"), "JSON")
            })?;
            let key = (resource.cloud.to_string(), resource.id.to_string());
            Ok((key, Some((resource.deployment.clone(), json))))
        }
        CatalogChange::Remove { cloud, id } => Ok(((cloud.to_string(), id.to_string()), None)),
    }
}

//! `Database`: SQLite files, and PostgreSQL clusters where the programs for them are installed.
//!
//! | engine | server | snapshot | replica |
//! |---|---|---|---|
//! | `sqlite` | a file | `VACUUM INTO` | none |
//! | `postgres` | a cluster of its own on a free port of 127.0.0.1 | `pg_basebackup` | a streaming stand-by, promoted by `pg_promote` |
//!
//! A create returns when the server answers. It runs to its end even if nobody waits for it any more; if this process dies in
//! the middle, the same token begins it anew from an empty folder, and a delete removes what there is of it. If it fails, all of it
//! is undone.
//!
//! A snapshot is copied to another region file by file. There are no points in time to restore: nothing logs what is written.
//!
//! A PostgreSQL server outlives the process that made it. When it dies (an outage, a restart of the machine) it is
//! [`Stopped`](ResourceStatus::Stopped) until [`LocalCloud::bring_up`](crate::LocalCloud::bring_up) starts it on its old port.

#[cfg(feature = "postgres")]
mod account;
#[cfg(feature = "postgres")]
mod cluster;
mod copy;
mod create;
mod engines;
mod files;
mod guard;
#[cfg(feature = "postgres")]
mod postgres;
mod record;
#[cfg(feature = "postgres")]
mod secrets;
mod sqlite;

use std::sync::Arc;

use async_trait::async_trait;
use cloud_core::{
    ClientToken, ConnectionInfo, Database, DatabaseCapabilities, DatabaseServer, DatabaseSpec,
    Engine, Error, ErrorKind, ListQuery, Page, PageRequest, Region, ReplicaSpec, ResourceId,
    ResourceKind, ResourceStatus, Result, SecretString, Snapshot, SnapshotCopySpec, SnapshotSpec,
    Sql,
};

use crate::{
    config::LocalConfig,
    error::join_error,
    provider::NAMES,
    state::{Begun, NewRecord, Record, State, fingerprint},
};
use create::{complete, detached};
use engines::{Engines, Origin};
use guard::InRegion;
use record::{
    DatabaseBody, SnapshotBody, begun, free_port, major, new_server, not_running, replicas_of,
    snapshot_view, status, view,
};

/// Stops the servers of a region that goes down, and whatever else runs for its databases. It is called after the region is
/// marked, outside the lock.
pub(crate) async fn stop_all(state: &Arc<State>, region: &Region) -> Result<()> {
    let (state, region) = (state.clone(), region.clone());
    let all = state.clone();
    state
        .blocking(move || {
            let mut first = Ok(());
            for kind in [ResourceKind::Database, ResourceKind::Snapshot] {
                for native in all.natives(kind, &region)? {
                    let id = ResourceId::new(kind, region.clone(), native)?;
                    first = first.and(all.data_dir(&id).and_then(|folder| engines::stop(&folder)));
                }
            }
            first
        })
        .await
}

#[derive(Clone, Debug)]
pub(crate) struct LocalDatabase {
    state: Arc<State>,
    engines: Engines,
    capabilities: DatabaseCapabilities,
}

impl LocalDatabase {
    /// Looks for the engines. Blocks for a moment.
    ///
    /// # Errors
    /// `InvalidInput` for a `postgres_bin` without PostgreSQL's programs.
    pub(crate) fn new(state: &Arc<State>, config: &LocalConfig) -> Result<Self> {
        let engines = Engines::find(config)?;
        Ok(Self {
            state: state.clone(),
            capabilities: DatabaseCapabilities { names: NAMES, engines: engines.capabilities() },
            engines,
        })
    }

    pub(crate) fn capabilities(&self) -> DatabaseCapabilities {
        self.capabilities.clone()
    }

    /// Starts the servers of a region that should run and do not, as many of them as can be.
    pub(crate) async fn start_all(&self, region: &Region) -> Result<()> {
        let wanted = region.clone();
        let records = self
            .state
            .locked(move |s| s.all::<DatabaseBody>(ResourceKind::Database, &wanted))
            .await?;
        let mut first = Ok(());
        for record in records.into_iter().filter(|r| r.status == ResourceStatus::Running) {
            let (this, id) = (self.clone(), record.id.clone());
            let started = detached(async move { this.start(&id).await }).await;
            first = first
                .and(started.map_err(|e| e.context(format_args!("the server '{}'", record.name))));
        }
        first
    }

    async fn start(&self, id: &ResourceId) -> Result<()> {
        let _alone = self.state.lock_resource(id).await?;
        let record = match self.state.get::<DatabaseBody>(id).await {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            record => record?,
        };
        let folder = self.state.data_dir(id)?;
        self.engines.start(&folder, &record.body).await?;
        // It may have gone down while the server started.
        if let Err(down) = self.state.check_up(&id.region) {
            self.state.blocking(move || engines::stop(&folder)).await?;
            return Err(down);
        }
        if record.body.replica_of.is_none() {
            self.prune(id).await;
        }
        Ok(())
    }

    /// By how many seconds a replica is behind; `None` for a primary.
    pub(crate) async fn replication_lag(&self, id: &ResourceId) -> Result<Option<f64>> {
        let record = self.running(id).await?;
        self.engines.lag(&self.state.data_dir(id)?, &record.body).await
    }

    /// A server that is in service.
    async fn running(&self, id: &ResourceId) -> Result<Record<DatabaseBody>> {
        self.state.check_id(id, ResourceKind::Database)?;
        let record = self.state.get::<DatabaseBody>(id).await?;
        let state = self.state.clone();
        self.state
            .blocking(move || match status(&state, &record)? {
                ResourceStatus::Running => Ok(record),
                other => Err(not_running(&record, other)),
            })
            .await
    }

    async fn create(&self, spec: &DatabaseSpec, token: &ClientToken) -> Result<DatabaseServer> {
        let version = self.check(spec).await?;
        let origin = Origin::Empty(resolve(spec).await?);
        let body = DatabaseBody {
            engine: spec.engine,
            version,
            database: spec.database.clone(),
            user: spec.user.clone(),
            port: None,
            replica_of: None,
            delete_protection: spec.delete_protection,
        };
        let begun = self.state.begin(new_server(spec, token, fingerprint(spec)?, body)).await?;
        self.make(begun, origin, None).await
    }

    async fn restore(
        &self,
        from: &ResourceId,
        spec: &DatabaseSpec,
        token: &ClientToken,
    ) -> Result<DatabaseServer> {
        let version = self.check(spec).await?;
        let snapshot = self.usable(from).await?;
        let (old, new) = (&snapshot.body, spec.engine);
        if old.engine != new {
            let problem = format!("is {new}, the snapshot is of {}", old.engine);
            return Err(Error::invalid("engine", problem, old.engine));
        }
        if major(&old.version) != major(&version) {
            let (old, new) = (major(&old.version), major(&version));
            let message = format!("the snapshot is of version {old}, {new} is installed");
            return Err(Error::new(ErrorKind::Conflict, message)
                .with_hint("set postgres_bin to that version's programs"));
        }
        let origin = Origin::Snapshot(self.state.data_dir(from)?, resolve(spec).await?);
        let body = DatabaseBody {
            engine: new,
            version,
            database: old.database.clone(),
            user: old.user.clone(),
            port: None,
            replica_of: None,
            delete_protection: spec.delete_protection,
        };
        let new = new_server(spec, token, fingerprint(&(from, spec))?, body);
        let begun = self.state.begin(new).await?;
        self.make(begun, origin, Some(from.clone())).await
    }

    async fn replicate(&self, spec: &ReplicaSpec, token: &ClientToken) -> Result<DatabaseServer> {
        spec.validate()?;
        self.capabilities.names.check("replica name", &spec.name)?;
        self.state.check_up(&spec.region)?;
        let source = self.state.get::<DatabaseBody>(&spec.source).await?;
        if !self.capabilities.engine(source.body.engine)?.replicas {
            return Err(Error::unsupported(format_args!("replicas of {}", source.body.engine)));
        }
        if source.body.replica_of.is_some() {
            return Err(Error::unsupported("replicas of replicas"));
        }
        let new = NewRecord {
            kind: ResourceKind::Database,
            region: spec.region.clone(),
            name: spec.name.clone(),
            token: token.clone(),
            fingerprint: fingerprint(spec)?,
            tags: spec.tags.clone(),
            uses: vec![spec.source.clone()],
            status: ResourceStatus::Creating,
            body: DatabaseBody {
                port: None,
                replica_of: Some(spec.source.clone()),
                delete_protection: false,
                ..source.body.clone()
            },
        };
        let begun = self
            .state
            .locked(move |s| {
                if let Some(old) = s.lookup(&new)? {
                    return Ok(begun(old));
                }
                // Under the lock: a source that is being deleted gets no replica any more.
                let source = s.read::<DatabaseBody>(&source.id)?;
                match status(s.state(), &source)? {
                    ResourceStatus::Running => s.insert(new).map(Begun::New),
                    other => Err(not_running(&source, other)),
                }
            })
            .await?;
        let origin = Origin::Primary(self.state.data_dir(&spec.source)?, source.body);
        self.make(begun, origin, None).await
    }

    /// Refuses what the cloud or the engine cannot do; returns the engine's version.
    async fn check(&self, spec: &DatabaseSpec) -> Result<Option<String>> {
        spec.check(&self.capabilities)?;
        self.state.check_up(&spec.region)?;
        if let Some(kind) = &spec.instance_type {
            let problem = format!("is '{kind}'");
            return Err(Error::invalid(
                "instance_type",
                problem,
                "none: a local server has no type",
            ));
        }
        if spec.public {
            return Err(Error::unsupported("database servers that the internet can reach"));
        }
        self.engines.check(spec).await
    }

    /// Makes the server that was begun. `held` is not deleted meanwhile.
    async fn make(
        &self,
        begun: Begun<DatabaseBody>,
        origin: Origin,
        held: Option<ResourceId>,
    ) -> Result<DatabaseServer> {
        let this = self.clone();
        let record = complete(&self.state, begun, move |record| async move {
            let _held = match &held {
                None => None,
                Some(held) => {
                    let lock = this.state.lock_resource(held).await?;
                    this.state.get::<serde_json::Value>(held).await?;
                    Some(lock)
                }
            };
            let folder = this.state.data_dir(&record.id)?;
            let mut tries = 3;
            loop {
                tries -= 1;
                let body = this.choose_port(&record.id).await?;
                match this.engines.create(&folder, &body, &record.id, origin.clone()).await {
                    // Somebody took the port between its choice and its use.
                    Err(error) if error.kind() == ErrorKind::Conflict && tries > 0 => {
                        tracing::debug!(%error, "choosing another port");
                    }
                    made => return made.map(|()| body),
                }
            }
        })
        .await?;
        self.view(record).await
    }

    /// Records a port that no other server of this cloud has and that is free just now, for an engine that needs one.
    async fn choose_port(&self, id: &ResourceId) -> Result<DatabaseBody> {
        let id = id.clone();
        self.state
            .locked(move |s| {
                let mut record = s.read::<DatabaseBody>(&id)?;
                if record.body.engine != Engine::Sqlite {
                    record.body.port = Some(free_port(s)?);
                    s.write(&record)?;
                }
                Ok(record.body)
            })
            .await
    }

    async fn delete(&self, id: &ResourceId) -> Result<bool> {
        self.state.check_id(id, ResourceKind::Database)?;
        if !self.state.exists(id).unwrap_or(false) {
            return Ok(false);
        }
        let _alone = self.state.lock_resource(id).await?;
        let doomed = id.clone();
        let marked =
            self.state
                .locked(move |s| {
                    let Some(mut record) = s.find::<DatabaseBody>(&doomed)? else {
                        return Ok(None);
                    };
                    if record.body.delete_protection {
                        let message = format!("'{}' is protected against deletion", record.name);
                        return Err(Error::new(ErrorKind::Conflict, message)
                            .with_resource(doomed.to_string()));
                    }
                    s.check_unused(&doomed)?;
                    s.mark_deleting(&mut record)?;
                    Ok(Some(record))
                })
                .await?;
        let Some(record) = marked else {
            return Ok(false);
        };
        self.remove(id).await?;
        if let Some(primary) = record.body.replica_of {
            self.prune(&primary).await;
        }
        Ok(true)
    }

    async fn delete_copy(&self, id: &ResourceId) -> Result<bool> {
        self.state.check_id(id, ResourceKind::Snapshot)?;
        if !self.state.exists(id).unwrap_or(false) {
            return Ok(false);
        }
        let _alone = self.state.lock_resource(id).await?;
        self.remove(id).await
    }

    async fn remove(&self, id: &ResourceId) -> Result<bool> {
        let id = id.clone();
        let folder = self.state.data_dir(&id)?;
        self.state.blocking(move || engines::stop(&folder)).await?;
        self.state.locked(move |s| s.remove(&id)).await
    }

    /// Lets a primary forget the replicas that it has no more. What cannot be done now is done when it is started next.
    async fn prune(&self, primary: &ResourceId) {
        let pruned = async {
            let record = self.running(primary).await?;
            let followed = primary.clone();
            let replicas = self.state.locked(move |s| replicas_of(s, &followed)).await?;
            let folder = self.state.data_dir(primary)?;
            self.engines.prune(&folder, &record.body, &replicas).await
        };
        if let Err(error) = pruned.await {
            tracing::warn!(%primary, %error, "the slots of replicas that are gone could not be dropped; the next start tries again");
        }
    }

    async fn promote(&self, id: &ResourceId) -> Result<DatabaseServer> {
        let _alone = self.state.lock_resource(id).await?;
        let record = self.state.get::<DatabaseBody>(id).await?;
        let Some(primary) = record.body.replica_of.clone() else {
            return self.view(record).await;
        };
        let record = self.running(id).await?;
        self.engines.promote(&self.state.data_dir(id)?, &record.body).await?;
        let promoted = self
            .state
            .update::<DatabaseBody, _>(id, |record| {
                record.body.replica_of = None;
                record.uses.clear();
                Ok(())
            })
            .await?;
        self.prune(&primary).await;
        self.view(promoted).await
    }

    async fn snapshot(&self, spec: &SnapshotSpec, token: &ClientToken) -> Result<Snapshot> {
        spec.validate()?;
        self.capabilities.names.check("snapshot name", &spec.name)?;
        let source = self.running(&spec.source).await?;
        let begun = self
            .state
            .begin(NewRecord {
                kind: ResourceKind::Snapshot,
                region: spec.source.region.clone(),
                name: spec.name.clone(),
                token: token.clone(),
                fingerprint: fingerprint(spec)?,
                tags: spec.tags.clone(),
                uses: Vec::new(),
                status: ResourceStatus::Creating,
                body: SnapshotBody {
                    source: source.id.clone(),
                    engine: source.body.engine,
                    version: source.body.version.clone(),
                    database: source.body.database.clone(),
                    user: source.body.user.clone(),
                    size: None,
                },
            })
            .await?;
        let this = self.clone();
        let record = complete(&self.state, begun, move |record| async move {
            let (from, to) = (this.state.data_dir(&source.id)?, this.state.data_dir(&record.id)?);
            let size = this.engines.snapshot(&from, &source.body, &to).await?;
            Ok(SnapshotBody { size: Some(size), ..record.body })
        })
        .await?;
        Ok(snapshot_view(record))
    }

    async fn view(&self, record: Record<DatabaseBody>) -> Result<DatabaseServer> {
        let state = self.state.clone();
        self.state.blocking(move || view(&state, record)).await
    }
}

/// The owner's password, where the spec gives one.
async fn resolve(spec: &DatabaseSpec) -> Result<Option<SecretString>> {
    let Some(password) = spec.password.clone() else {
        return Ok(None);
    };
    let resolved = tokio::task::spawn_blocking(move || password.resolve());
    resolved.await.map_err(join_error)?.map(Some)
}

#[async_trait]
impl Database for LocalDatabase {
    async fn create_database(
        &self,
        spec: &DatabaseSpec,
        token: &ClientToken,
    ) -> Result<DatabaseServer> {
        let created = self.create(spec, token).await;
        created.map_err(self.state.in_call("database.create_database"))
    }

    async fn get_database(&self, id: &ResourceId) -> Result<DatabaseServer> {
        let got = async {
            self.state.check_id(id, ResourceKind::Database)?;
            self.view(self.state.get(id).await?).await
        };
        got.await.map_err(self.state.in_call("database.get_database"))
    }

    async fn list_databases_page(
        &self,
        query: &ListQuery,
        page: &PageRequest,
    ) -> Result<Page<DatabaseServer>> {
        let state = self.state.clone();
        let listed = self
            .state
            .list_page(ResourceKind::Database, query, page, move |record| view(&state, record))
            .await;
        listed.map_err(self.state.in_call("database.list_databases_page"))
    }

    async fn delete_database(&self, id: &ResourceId) -> Result<bool> {
        let (this, doomed) = (self.clone(), id.clone());
        let deleted = detached(async move { this.delete(&doomed).await }).await;
        deleted.map_err(self.state.in_call("database.delete_database"))
    }

    async fn connection(&self, id: &ResourceId) -> Result<ConnectionInfo> {
        let connection = async {
            let record = self.running(id).await?;
            let (engines, folder) = (self.engines.clone(), self.state.data_dir(id)?);
            self.state.blocking(move || engines.connection(&folder, &record.body)).await
        };
        connection.await.map_err(self.state.in_call("database.connection"))
    }

    async fn sql(&self, id: &ResourceId) -> Result<Arc<dyn Sql>> {
        let info = self.connection(id).await?;
        let sql = cloud_sql::connect(info.engine, &info.url).await;
        Ok(Arc::new(InRegion {
            state: self.state.clone(),
            region: id.region.clone(),
            sql: sql.map_err(self.state.in_call("database.sql"))?,
        }))
    }

    async fn create_snapshot(&self, spec: &SnapshotSpec, token: &ClientToken) -> Result<Snapshot> {
        let taken = self.snapshot(spec, token).await;
        taken.map_err(self.state.in_call("database.create_snapshot"))
    }

    async fn get_snapshot(&self, id: &ResourceId) -> Result<Snapshot> {
        let got = async {
            self.state.check_id(id, ResourceKind::Snapshot)?;
            self.state.get(id).await.map(snapshot_view)
        };
        got.await.map_err(self.state.in_call("database.get_snapshot"))
    }

    async fn list_snapshots_page(
        &self,
        query: &ListQuery,
        page: &PageRequest,
    ) -> Result<Page<Snapshot>> {
        let listed = self
            .state
            .list_page(ResourceKind::Snapshot, query, page, |record| Ok(snapshot_view(record)))
            .await;
        listed.map_err(self.state.in_call("database.list_snapshots_page"))
    }

    async fn delete_snapshot(&self, id: &ResourceId) -> Result<bool> {
        let (this, doomed) = (self.clone(), id.clone());
        let deleted = detached(async move { this.delete_copy(&doomed).await }).await;
        deleted.map_err(self.state.in_call("database.delete_snapshot"))
    }

    async fn restore_snapshot(
        &self,
        snapshot: &ResourceId,
        spec: &DatabaseSpec,
        token: &ClientToken,
    ) -> Result<DatabaseServer> {
        let restored = self.restore(snapshot, spec, token).await;
        restored.map_err(self.state.in_call("database.restore_snapshot"))
    }

    async fn copy_snapshot(
        &self,
        spec: &SnapshotCopySpec,
        token: &ClientToken,
    ) -> Result<Snapshot> {
        let copied = self.copy(spec, token).await;
        copied.map_err(self.state.in_call("database.copy_snapshot"))
    }

    async fn create_replica(
        &self,
        spec: &ReplicaSpec,
        token: &ClientToken,
    ) -> Result<DatabaseServer> {
        let created = self.replicate(spec, token).await;
        created.map_err(self.state.in_call("database.create_replica"))
    }

    async fn promote_replica(&self, id: &ResourceId) -> Result<DatabaseServer> {
        let (this, replica) = (self.clone(), id.clone());
        let promoted = detached(async move {
            this.state.check_id(&replica, ResourceKind::Database)?;
            if !this.state.exists(&replica).unwrap_or(false) {
                return Err(Error::not_found(&replica));
            }
            this.promote(&replica).await
        });
        promoted.await.map_err(self.state.in_call("database.promote_replica"))
    }
}

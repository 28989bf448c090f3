//! `Database` of the simulated cloud: servers, snapshots, replicas.

use std::sync::Arc;

use async_trait::async_trait;
use cloud_core::{
    ClientToken, ConnectionInfo, Database, DatabaseServer, DatabaseSpec, Engine, Error, ErrorKind,
    ListQuery, Page, PageRequest, ReplicaSpec, ResourceId, ResourceKind, ResourceStatus, Result,
    SecretString, Snapshot, SnapshotCopySpec, SnapshotSpec, Sql, secret::ExposeSecret,
};
use jiff::Timestamp;
use tokio::time::Instant;

use super::{
    SimCloud,
    entry::{Common, Draft, Request},
    extra::{DatabaseExtra, Extra},
    offered,
    sql::{SimSql, Tables},
    state::State,
    views::AnyView,
};

fn server(common: Common, engine: Engine, version: Option<String>) -> DatabaseServer {
    DatabaseServer {
        host: Some(format!("{}.{}.sim.invalid", common.id.native(), common.id.region)),
        port: port(engine),
        id: common.id,
        name: common.name,
        status: ResourceStatus::Creating,
        provider_status: String::new(),
        engine,
        version: version.or_else(|| Some("1".into())),
        replica_of: None,
        tags: common.tags,
        created_at: common.created_at,
    }
}

const fn port(engine: Engine) -> Option<u16> {
    match engine {
        Engine::Sqlite => None,
        Engine::Mysql => Some(3306),
        Engine::SqlServer => Some(1433),
        _ => Some(5432),
    }
}

fn data<'a>(
    state: &'a mut State,
    id: &ResourceId,
    now: Instant,
) -> Result<(DatabaseServer, &'a mut DatabaseExtra)> {
    let entry = state.ready(id, now)?;
    let view = entry.view(now).typed()?;
    match &mut entry.extra {
        Extra::Database(data) => Ok((view, data)),
        _ => Err(Error::not_found(id)),
    }
}

fn taken<'a>(
    state: &'a mut State,
    id: &ResourceId,
    now: Instant,
) -> Result<(Snapshot, &'a mut DatabaseExtra)> {
    let entry = state.ready(id, now)?;
    let view = entry.view(now).typed()?;
    match &mut entry.extra {
        Extra::Snapshot(data) => Ok((view, data)),
        _ => Err(Error::not_found(id)),
    }
}

/// A server with this data, and the login of the server or snapshot that it is `of`.
fn restored(
    common: Common,
    spec: &DatabaseSpec,
    of: &DatabaseExtra,
    tables: Tables,
) -> Draft<DatabaseServer> {
    let data =
        DatabaseExtra { tables: Arc::new(tables), protected: spec.delete_protection, ..of.clone() };
    Draft::new(server(common, spec.engine, spec.version.clone()), Extra::Database(data))
}

fn check_engine(spec: &DatabaseSpec, engine: Engine, of: &str) -> Result<()> {
    if engine == spec.engine {
        return Ok(());
    }
    let accepted = format_args!("{engine}, as the {of}");
    Err(Error::invalid("engine", format_args!("is {}", spec.engine), accepted))
}

#[async_trait]
impl Database for SimCloud {
    async fn create_database(
        &self,
        spec: &DatabaseSpec,
        token: &ClientToken,
    ) -> Result<DatabaseServer> {
        spec.check(offered!(self, database, "databases")?)?;
        self.region(&spec.region)?;
        let password = spec.password.as_ref().map(|secret| secret.resolve()).transpose()?;
        self.create_one(
            "database.create_database",
            self.request(spec, spec, token),
            |state, common| {
                let now = state.timestamp(Instant::now());
                let password = password
                    .unwrap_or_else(|| format!("generated-{:08x}", state.next_number()).into());
                let data = DatabaseExtra {
                    tables: Arc::new(Tables::empty(now)),
                    database: spec.database.clone(),
                    user: spec.user.clone(),
                    password,
                    protected: spec.delete_protection,
                };
                Ok(Draft::new(
                    server(common, spec.engine, spec.version.clone()),
                    Extra::Database(data),
                ))
            },
        )
        .await
    }

    async fn get_database(&self, id: &ResourceId) -> Result<DatabaseServer> {
        self.get_one("database.get_database", id).await
    }

    async fn list_databases_page(
        &self,
        query: &ListQuery,
        page: &PageRequest,
    ) -> Result<Page<DatabaseServer>> {
        self.list_page("database.list_databases", query, page).await
    }

    async fn delete_database(&self, id: &ResourceId) -> Result<bool> {
        id.expect_kind(ResourceKind::Database)?;
        self.call("database.delete_database", Some(&id.region), |state, now| {
            if let Ok((_, entry)) = state.find(id, now)
                && matches!(&entry.extra, Extra::Database(data) if data.protected)
            {
                return Err(Error::new(
                    ErrorKind::Conflict,
                    format!("{id} is protected against deletion"),
                ));
            }
            state.delete(id, now)
        })
        .await
    }

    async fn connection(&self, id: &ResourceId) -> Result<ConnectionInfo> {
        id.expect_kind(ResourceKind::Database)?;
        self.call("database.connection", Some(&id.region), |state, now| {
            let (view, data) = data(state, id, now)?;
            let host = view.host.unwrap_or_default();
            let url = match view.port {
                None => format!("sqlite://{host}"),
                Some(port) => format!(
                    "{}://{}:{}@{host}:{port}/{}",
                    view.engine,
                    data.user,
                    data.password.expose_secret(),
                    data.database
                ),
            };
            Ok(ConnectionInfo {
                engine: view.engine,
                host,
                port: view.port,
                database: data.database.clone(),
                user: data.user.clone(),
                password: view.port.map(|_| data.password.clone()),
                url: SecretString::from(url),
            })
        })
        .await
    }

    async fn sql(&self, id: &ResourceId) -> Result<Arc<dyn Sql>> {
        id.expect_kind(ResourceKind::Database)?;
        let can = offered!(self, database, "databases")?;
        let engine = self
            .call("database.sql", Some(&id.region), |state, now| Ok(data(state, id, now)?.0.engine))
            .await?;
        if !can.engine(engine)?.sql {
            return Err(Error::unsupported(format_args!("SQL on {engine}")));
        }
        Ok(Arc::new(SimSql { cloud: self.clone(), server: id.clone() }))
    }

    async fn create_snapshot(&self, spec: &SnapshotSpec, token: &ClientToken) -> Result<Snapshot> {
        spec.validate()?;
        let can = offered!(self, database, "databases")?;
        can.names.check("snapshot name", &spec.name)?;
        let request = Request {
            region: &spec.source.region,
            name: &spec.name,
            tags: &spec.tags,
            spec,
            token,
            unique: true,
            needs: Vec::new(),
            vcpu: 0,
        };
        self.create_one("database.create_snapshot", request, |state, common| {
            let now = state.timestamp(Instant::now());
            let (source, data) = data(state, &spec.source, Instant::now())?;
            if !can.engine(source.engine)?.snapshots {
                return Err(Error::unsupported(format_args!("snapshots of {}", source.engine)));
            }
            let mut data = data.clone();
            data.tables = Arc::new(data.tables.copy(now));
            let view = Snapshot {
                id: common.id,
                name: common.name,
                status: ResourceStatus::Creating,
                source: spec.source.clone(),
                engine: source.engine,
                size: None,
                tags: common.tags,
                created_at: common.created_at,
            };
            Ok(Draft::new(view, Extra::Snapshot(data)))
        })
        .await
    }

    async fn get_snapshot(&self, id: &ResourceId) -> Result<Snapshot> {
        self.get_one("database.get_snapshot", id).await
    }

    async fn list_snapshots_page(
        &self,
        query: &ListQuery,
        page: &PageRequest,
    ) -> Result<Page<Snapshot>> {
        self.list_page("database.list_snapshots", query, page).await
    }

    async fn delete_snapshot(&self, id: &ResourceId) -> Result<bool> {
        self.delete_one("database.delete_snapshot", ResourceKind::Snapshot, id).await
    }

    async fn restore_snapshot(
        &self,
        snapshot: &ResourceId,
        spec: &DatabaseSpec,
        token: &ClientToken,
    ) -> Result<DatabaseServer> {
        snapshot.expect_kind(ResourceKind::Snapshot)?;
        spec.check(offered!(self, database, "databases")?)?;
        self.region(&spec.region)?;
        let whole = (snapshot.clone(), spec.clone());
        self.create_one(
            "database.restore_snapshot",
            self.request(spec, &whole, token),
            |state, common| {
                let now = state.timestamp(Instant::now());
                let (taken, data) = taken(state, snapshot, Instant::now())?;
                check_engine(spec, taken.engine, "snapshot")?;
                Ok(restored(common, spec, data, data.tables.copy(now)))
            },
        )
        .await
    }

    async fn copy_snapshot(
        &self,
        spec: &SnapshotCopySpec,
        token: &ClientToken,
    ) -> Result<Snapshot> {
        spec.validate()?;
        let can = offered!(self, database, "databases")?;
        can.names.check("snapshot name", &spec.name)?;
        self.region(&spec.region)?;
        let request = Request {
            region: &spec.region,
            name: &spec.name,
            tags: &spec.tags,
            spec,
            token,
            unique: true,
            needs: Vec::new(),
            vcpu: 0,
        };
        self.create_one("database.copy_snapshot", request, |state, common| {
            state.faults.reachable(Some(&spec.source.region))?;
            let (source, data) = taken(state, &spec.source, Instant::now())?;
            if !can.engine(source.engine)?.snapshot_copy {
                return Err(Error::unsupported(format_args!(
                    "copies of snapshots of {}",
                    source.engine
                )));
            }
            // What is in a snapshot never changes.
            let data = data.clone();
            let view = Snapshot {
                id: common.id,
                name: common.name,
                status: ResourceStatus::Creating,
                tags: common.tags,
                created_at: common.created_at,
                ..source
            };
            Ok(Draft::new(view, Extra::Snapshot(data)))
        })
        .await
    }

    async fn restore_to_time(
        &self,
        source: &ResourceId,
        at: Option<Timestamp>,
        spec: &DatabaseSpec,
        token: &ClientToken,
    ) -> Result<DatabaseServer> {
        source.expect_kind(ResourceKind::Database)?;
        let can = offered!(self, database, "databases")?;
        spec.check(can)?;
        self.region(&spec.region)?;
        if !can.engine(spec.engine)?.point_in_time {
            return Err(Error::unsupported(format_args!("points in time of {}", spec.engine)));
        }
        let whole = (source.clone(), at, spec.clone());
        self.create_one(
            "database.restore_to_time",
            self.request(spec, &whole, token),
            |state, common| {
                let now = state.timestamp(Instant::now());
                let (server, data) = data(state, source, Instant::now())?;
                check_engine(spec, server.engine, "server")?;
                let tables = data.tables.copy_of(at.unwrap_or(now), now)?;
                Ok(restored(common, spec, data, tables))
            },
        )
        .await
    }

    async fn create_replica(
        &self,
        spec: &ReplicaSpec,
        token: &ClientToken,
    ) -> Result<DatabaseServer> {
        spec.validate()?;
        let can = offered!(self, database, "databases")?;
        can.names.check("replica name", &spec.name)?;
        self.region(&spec.region)?;
        let request = Request {
            region: &spec.region,
            name: &spec.name,
            tags: &spec.tags,
            spec,
            token,
            unique: true,
            needs: vec![spec.source.clone()],
            vcpu: 0,
        };
        self.create_one("database.create_replica", request, |state, common| {
            let (source, data) = data(state, &spec.source, Instant::now())?;
            if !can.engine(source.engine)?.replicas {
                return Err(Error::unsupported(format_args!("replicas of {}", source.engine)));
            }
            let mut data = data.clone();
            data.protected = false;
            let mut view = server(common, source.engine, source.version);
            view.replica_of = Some(spec.source.clone());
            Ok(Draft::new(view, Extra::Database(data)))
        })
        .await
    }

    async fn promote_replica(&self, id: &ResourceId) -> Result<DatabaseServer> {
        id.expect_kind(ResourceKind::Database)?;
        offered!(self, database, "databases")?;
        self.call("database.promote_replica", Some(&id.region), |state, now| {
            let at = state.timestamp(now);
            let (view, data) = data(state, id, now)?;
            if view.replica_of.is_none() {
                return Ok(view);
            }
            data.tables = Arc::new(data.tables.copy(at));
            if let AnyView::Database(view) = &mut state.find_mut(id, now)?.view {
                view.replica_of = None;
            }
            state.independent(id, now)?;
            state.get(id, now)?.typed()
        })
        .await
    }
}

impl SimCloud {
    fn request<'a, S>(
        &self,
        spec: &'a DatabaseSpec,
        whole: &'a S,
        token: &'a ClientToken,
    ) -> Request<'a, S> {
        Request {
            region: &spec.region,
            name: &spec.name,
            tags: &spec.tags,
            spec: whole,
            token,
            unique: true,
            needs: spec.network.iter().cloned().collect(),
            vcpu: 0,
        }
    }
}

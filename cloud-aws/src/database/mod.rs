//! `Database`: RDS servers and Aurora clusters, their snapshots, replicas and passwords.
//!
//! | id | what it is |
//! |---|---|
//! | `database/REGION/NAME` | a DB instance |
//! | `database/REGION/cluster:NAME` | an Aurora cluster with its servers |
//! | `snapshot/REGION/NAME`, `snapshot/REGION/cluster:NAME` | a snapshot of either |
//!
//! A server is encrypted and not public unless the spec says otherwise by name. Its password is kept in Secrets Manager: by RDS itself, or
//! by this adapter in a secret that is made before the server and deleted with it. RDS makes no read replicas of PostgreSQL and MySQL servers
//! whose password it manages ([limitations](https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-secrets-manager.html)), so these have a
//! secret of ours unless [`AwsDatabaseServer::password`] says otherwise. A password that the spec gives is kept there too.

mod clusters;
mod connect;
#[cfg(feature = "data-api")]
mod data_api;
mod found;
mod instances;
mod presign;
mod restore;
mod rules;
mod secrets;
mod settings;
mod snapshots;
mod subnets;

use std::{fmt, future::Future, sync::Arc};

use async_trait::async_trait;
use cloud_core::{
    ClientToken, ConnectionInfo, Database, DatabaseCapabilities, DatabaseServer, DatabaseSpec,
    Effect, Engine, EngineCapabilities, Error, ErrorKind, ListQuery, Page, PageRequest,
    ReplicaSpec, ResourceId, ResourceKind, ResourceStatus, Result, Retry, Snapshot,
    SnapshotCopySpec, SnapshotSpec, Sql,
};
use jiff::Timestamp;

use crate::{
    account::Account,
    listing::{self, NativePage},
    names, tags,
    tokens::Request,
};
use found::{Found, Native};
pub use settings::{AuroraCapacity, AwsDatabaseServer, PasswordStore};

/// Database servers by RDS and Aurora, and what only these have.
///
/// ```no_run
/// # use cloud_aws::{AwsCloud, AwsDatabaseServer};
/// # use cloud_core::{ClientToken, Database, DatabaseServer, DatabaseSpec, Engine, Region, Result};
/// async fn orders(aws: &AwsCloud) -> Result<DatabaseServer> {
///     let mut spec = DatabaseSpec::new("orders", Region::new("eu-central-1")?, Engine::Postgres);
///     spec.overrides.set(&AwsDatabaseServer { aurora: true, ..AwsDatabaseServer::default() })?;
///     aws.aws_database().create_database(&spec, &ClientToken::random()).await
/// }
/// ```
pub struct AwsDatabase {
    account: Arc<Account>,
}

impl fmt::Debug for AwsDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AwsDatabase({})", self.account.id)
    }
}

fn rds_tags(pairs: &[(String, String)]) -> Vec<aws_sdk_rds::types::Tag> {
    let tag = |(key, value): &(String, String)| {
        aws_sdk_rds::types::Tag::builder().key(key).value(value).build()
    };
    pairs.iter().map(tag).collect()
}

fn conflict(id: &ResourceId, why: &str) -> Error {
    Error::new(ErrorKind::Conflict, format!("{id}: {why}")).with_resource(id.to_string())
}

fn not_ready(found: &Found) -> Error {
    let why = format!("it is {} ({})", found.view.status, found.view.provider_status);
    let error = conflict(&found.view.id, &why);
    match found.view.status.is_settled() {
        true => error,
        false => error.with_retry(Retry::Backoff),
    }
}

fn cluster_id(spec: &DatabaseSpec) -> Result<ResourceId> {
    listing::id(ResourceKind::Database, &spec.region, &Native::Cluster(&spec.name).text())
}

/// A listing over servers and clusters has the pages of the one, then those of the other: which one, and RDS's marker.
fn read_marker(token: Option<String>) -> Result<(bool, Option<String>)> {
    let Some(token) = token else {
        return Ok((false, None));
    };
    match token.split_once(':') {
        Some(("instances", marker)) if !marker.is_empty() => Ok((false, Some(marker.to_owned()))),
        Some(("clusters", marker)) => {
            Ok((true, Some(marker).filter(|m| !m.is_empty()).map(str::to_owned)))
        }
        _ => Err(Error::invalid(
            "page token",
            format_args!("is '{token}'"),
            "what the page before returned",
        )),
    }
}

/// The page with the token of the next one. After the last page of servers come the clusters.
fn with_marker<T>(clusters: bool, (items, marker): NativePage<T>) -> NativePage<T> {
    let next = match (clusters, marker) {
        (false, Some(marker)) => Some(format!("instances:{marker}")),
        (false, None) => Some("clusters:".to_owned()),
        (true, marker) => marker.map(|marker| format!("clusters:{marker}")),
    };
    (items, next)
}

/// Whether anything can have this name; RDS would refuse a filter by another.
fn may_exist(query: &ListQuery) -> bool {
    query.name.as_ref().is_none_or(|name| names::check_database("name", name).is_ok())
}

impl AwsDatabase {
    pub(crate) fn new(account: &Arc<Account>) -> Self {
        Self { account: account.clone() }
    }

    pub(crate) fn capabilities(&self) -> DatabaseCapabilities {
        let engine = |engine, open: bool| EngineCapabilities {
            engine,
            sql: open,
            snapshots: true,
            snapshot_copy: true,
            point_in_time: true,
            replicas: open,
            // Of SQL Server, the edition that is the default cannot be encrypted.
            encryption: open,
        };
        DatabaseCapabilities {
            names: names::DATABASE,
            engines: vec![
                engine(Engine::Postgres, true),
                engine(Engine::Mysql, true),
                engine(Engine::SqlServer, false),
            ],
        }
    }

    /// What can be refused before any call.
    fn check(&self, spec: &DatabaseSpec) -> Result<AwsDatabaseServer> {
        let settings = AwsDatabaseServer::of(spec)?;
        let mut can = self.capabilities();
        for engine in &mut can.engines {
            engine.encryption = settings.can_encrypt(engine.engine);
        }
        spec.check(&can)?;
        names::check_database("database name", &spec.name)?;
        // The names of its servers have a number behind.
        if settings.aurora && spec.name.len() > 60 {
            let problem = format!("'{}' is too long for a cluster", spec.name);
            return Err(Error::invalid("database name", problem, "at most 60 characters"));
        }
        rules::check_names(spec)?;
        tags::check(&spec.tags)?;
        self.account.check_region(&spec.region)?;
        Ok(settings)
    }

    async fn find(&self, id: &ResourceId) -> Result<Found> {
        id.expect_kind(ResourceKind::Database)?;
        self.account.check_region(&id.region)?;
        match Native::database(id) {
            None => Err(Error::not_found(id)),
            Some(Native::Instance(name)) => self.describe_instance(id, name).await,
            Some(Native::Cluster(name)) => self.describe_cluster(id, name).await,
        }
    }

    /// What a refused create means: where the name is taken by what an earlier attempt of the same create made, that is the answer.
    async fn ours(&self, error: Error, request: &Request, id: &ResourceId) -> Result<Found> {
        if error.kind() != ErrorKind::AlreadyExists {
            return Err(error);
        }
        match self.find(id).await {
            Ok(found) if request.made(found.request.as_deref())? => Ok(found),
            Ok(_) => Err(error),
            // It belongs to a cluster, or is of another engine.
            Err(unknown) if unknown.kind() == ErrorKind::NotFound => Err(error),
            Err(unknown) => Err(unknown.with_effect(Effect::Unknown)),
        }
    }

    async fn delete(&self, id: &ResourceId) -> Result<bool> {
        let found = match self.find(id).await {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            found => found?,
        };
        let mut there = true;
        if found.view.status != ResourceStatus::Deleting {
            if found.protected {
                return Err(conflict(id, "it is protected against deletion"));
            }
            // RDS would delete it all the same, and promote the replicas.
            if !found.replicas.is_empty() {
                let why = format!("it is replicated by {}", found.replicas.join(", "));
                return Err(conflict(id, &why));
            }
            there = match id.native().strip_prefix(found::CLUSTER) {
                Some(name) => self.delete_cluster(id, name, &found.members).await?,
                None => self.delete_instance(id, id.native()).await?,
            };
        }
        self.discard_password(&found).await.map_err(|e| e.with_effect(Effect::Done))?;
        Ok(there)
    }

    /// Runs a create of a server once for its token.
    async fn once<Fut>(
        &self,
        what: &impl serde::Serialize,
        token: &ClientToken,
        create: impl FnOnce(Request) -> Fut,
    ) -> Result<DatabaseServer>
    where
        Fut: Future<Output = Result<Found>>,
    {
        let made = self.account.tokens.once(ResourceKind::Database, what, token, create).await;
        made.map(|found| found.view)
    }

    async fn copy_once(
        &self,
        spec: &SnapshotCopySpec,
        kms_key: Option<&str>,
        token: &ClientToken,
    ) -> Result<Snapshot> {
        spec.validate()?;
        names::check_database("snapshot name", &spec.name)?;
        tags::check(&spec.tags)?;
        self.account.check_region(&spec.region)?;
        let what = (spec, kms_key);
        let copy = |request| async move { self.copy(spec, kms_key, &request).await };
        let made = self.account.tokens.once(ResourceKind::Snapshot, &what, token, copy).await;
        made.map(|taken| taken.view)
    }

    /// [`Database::copy_snapshot`] with a KMS key of the region that the copy comes to. In the same region this also encrypts a snapshot that
    /// is not, and changes the key of one that is.
    ///
    /// # Errors
    /// As for [`Database::copy_snapshot`]; [`PermissionDenied`](ErrorKind::PermissionDenied) for a key that cannot be used.
    ///
    /// ```no_run
    /// # use cloud_core::{ClientToken, Result, Snapshot, SnapshotCopySpec};
    /// async fn far(aws: &cloud_aws::AwsCloud, copy: &SnapshotCopySpec) -> Result<Snapshot> {
    ///     aws.aws_database().copy_snapshot_with_key(copy, "alias/backups", &ClientToken::random()).await
    /// }
    /// ```
    pub async fn copy_snapshot_with_key(
        &self,
        spec: &SnapshotCopySpec,
        kms_key: &str,
        token: &ClientToken,
    ) -> Result<Snapshot> {
        let copied = self.copy_once(spec, Some(kms_key), token).await;
        copied.map_err(self.account.in_call("database.copy_snapshot_with_key"))
    }
}

#[async_trait]
impl Database for AwsDatabase {
    async fn create_database(
        &self,
        spec: &DatabaseSpec,
        token: &ClientToken,
    ) -> Result<DatabaseServer> {
        let created = async {
            let settings = &self.check(spec)?;
            self.once(spec, token, |request| async move {
                match settings.aurora {
                    true => self.create_cluster(spec, settings, &request).await,
                    false => self.create_instance(spec, settings, &request).await,
                }
            })
            .await
        };
        created.await.map_err(self.account.in_call("database.create_database"))
    }

    async fn get_database(&self, id: &ResourceId) -> Result<DatabaseServer> {
        let found = self.find(id).await.map_err(self.account.in_call("database.get_database"))?;
        Ok(found.view)
    }

    async fn list_databases_page(
        &self,
        query: &ListQuery,
        page: &PageRequest,
    ) -> Result<Page<DatabaseServer>> {
        let listed = listing::regional(&self.account, query, page, |region, token| async move {
            let (clusters, marker) = read_marker(token)?;
            if !may_exist(query) {
                return Ok((Vec::new(), None));
            }
            let page = match clusters {
                true => self.clusters_page(&region, marker, query, page).await?,
                false => self.instances_page(&region, marker, query, page).await?,
            };
            Ok(with_marker(clusters, page))
        });
        listed.await.map_err(self.account.in_call("database.list_databases_page"))
    }

    async fn delete_database(&self, id: &ResourceId) -> Result<bool> {
        self.delete(id).await.map_err(self.account.in_call("database.delete_database"))
    }

    async fn connection(&self, id: &ResourceId) -> Result<ConnectionInfo> {
        self.connect_to(id).await.map_err(self.account.in_call("database.connection"))
    }

    async fn sql(&self, id: &ResourceId) -> Result<Arc<dyn Sql>> {
        self.open_sql(id).await.map_err(self.account.in_call("database.sql"))
    }

    async fn create_snapshot(&self, spec: &SnapshotSpec, token: &ClientToken) -> Result<Snapshot> {
        let taken = async {
            spec.validate()?;
            names::check_database("snapshot name", &spec.name)?;
            tags::check(&spec.tags)?;
            self.account.check_region(&spec.source.region)?;
            let take = |request| async move { self.take_snapshot(spec, &request).await };
            let made = self.account.tokens.once(ResourceKind::Snapshot, spec, token, take).await;
            made.map(|taken| taken.view)
        };
        taken.await.map_err(self.account.in_call("database.create_snapshot"))
    }

    async fn get_snapshot(&self, id: &ResourceId) -> Result<Snapshot> {
        let found = self.find_snapshot(id).await;
        Ok(found.map_err(self.account.in_call("database.get_snapshot"))?.view)
    }

    async fn list_snapshots_page(
        &self,
        query: &ListQuery,
        page: &PageRequest,
    ) -> Result<Page<Snapshot>> {
        let listed = listing::regional(&self.account, query, page, |region, token| async move {
            let (clusters, marker) = read_marker(token)?;
            if !may_exist(query) {
                return Ok((Vec::new(), None));
            }
            let page = match clusters {
                true => self.cluster_snapshots_page(&region, marker, query, page).await?,
                false => self.snapshots_page(&region, marker, query, page).await?,
            };
            Ok(with_marker(clusters, page))
        });
        listed.await.map_err(self.account.in_call("database.list_snapshots_page"))
    }

    async fn delete_snapshot(&self, id: &ResourceId) -> Result<bool> {
        self.remove_snapshot(id).await.map_err(self.account.in_call("database.delete_snapshot"))
    }

    async fn restore_snapshot(
        &self,
        snapshot: &ResourceId,
        spec: &DatabaseSpec,
        token: &ClientToken,
    ) -> Result<DatabaseServer> {
        let restored = async {
            snapshot.expect_kind(ResourceKind::Snapshot)?;
            self.check(spec)?;
            self.once(&("snapshot", snapshot, spec), token, |request| async move {
                self.restore(snapshot, spec, &request).await
            })
            .await
        };
        restored.await.map_err(self.account.in_call("database.restore_snapshot"))
    }

    async fn copy_snapshot(
        &self,
        spec: &SnapshotCopySpec,
        token: &ClientToken,
    ) -> Result<Snapshot> {
        let copied = self.copy_once(spec, None, token).await;
        copied.map_err(self.account.in_call("database.copy_snapshot"))
    }

    async fn restore_to_time(
        &self,
        source: &ResourceId,
        at: Option<Timestamp>,
        spec: &DatabaseSpec,
        token: &ClientToken,
    ) -> Result<DatabaseServer> {
        let restored = async {
            source.expect_kind(ResourceKind::Database)?;
            self.check(spec)?;
            self.once(&("time", source, at, spec), token, |request| async move {
                self.restore_at(source, at, spec, &request).await
            })
            .await
        };
        restored.await.map_err(self.account.in_call("database.restore_to_time"))
    }

    async fn create_replica(
        &self,
        spec: &ReplicaSpec,
        token: &ClientToken,
    ) -> Result<DatabaseServer> {
        let created = async {
            instances::check_replica(spec)?;
            self.account.check_region(&spec.region)?;
            self.once(spec, token, |request| async move { self.replicate(spec, &request).await })
                .await
        };
        created.await.map_err(self.account.in_call("database.create_replica"))
    }

    async fn promote_replica(&self, id: &ResourceId) -> Result<DatabaseServer> {
        let promoted = self.promote(id).await;
        Ok(promoted.map_err(self.account.in_call("database.promote_replica"))?.view)
    }
}

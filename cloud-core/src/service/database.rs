//! `Database`: database servers, their snapshots and replicas. The data inside is reached through [`Sql`].

use std::{fmt::Debug, sync::Arc};

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Sql, compute::check_range, listings};
use crate::{
    ByteSize, ClientToken, DatabaseCapabilities, EngineCapabilities, Error, ListQuery, Overrides,
    Page, PageRequest, Region, ResourceId, ResourceKind, ResourceStatus, Result, SecretRef,
    SecretString, Tags,
    resource::view,
    text::{check_name, check_text, names},
};

/// A database engine.
///
/// ```
/// use cloud_core::Engine;
/// assert_eq!("postgres".parse::<Engine>().unwrap(), Engine::Postgres);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Engine {
    /// SQLite: one file, one writer.
    Sqlite,
    /// PostgreSQL.
    Postgres,
    /// MySQL or MariaDB.
    Mysql,
    /// Microsoft SQL Server.
    SqlServer,
}

names! {
    /// Every engine.
    Engine as "engine" {
        Sqlite => "sqlite",
        Postgres => "postgres",
        Mysql => "mysql",
        SqlServer => "sql_server",
    }
}

/// Whether data is encrypted at rest.
///
/// ```
/// assert_eq!(cloud_core::Encryption::default(), cloud_core::Encryption::ProviderDefault);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encryption {
    /// Encrypted where the provider can; the large providers all do.
    #[default]
    ProviderDefault,
    /// Encrypted, or refused where the engine cannot.
    Required,
    /// Not encrypted. A named opt-in.
    Disabled,
}

/// A request for a database server, the same for every cloud.
///
/// ```
/// use cloud_core::{DatabaseSpec, Engine, Region};
/// let spec = DatabaseSpec::new("orders", Region::new("eu-1").unwrap(), Engine::Postgres);
/// assert!(!spec.public && spec.validate().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseSpec {
    /// Its name.
    pub name: String,
    /// Where to put it.
    pub region: Region,
    /// The engine.
    pub engine: Engine,
    /// Version of the engine; `None` is the provider's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The provider's name of the server's type; `None` is its smallest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_type: Option<String>,
    /// Disk space. Default 20 GiB. Not enforced where a database is a file.
    #[serde(default = "default_storage")]
    pub storage: ByteSize,
    /// Name of the database made in it. Default `app`.
    #[serde(default = "default_database")]
    pub database: String,
    /// Name of its owner. Default `app`.
    #[serde(default = "default_database")]
    pub user: String,
    /// The owner's password; `None` has one generated, to be read from [`Database::connection`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretRef>,
    /// The network it is attached to; `None` is the provider's default network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<ResourceId>,
    /// Encryption at rest.
    #[serde(default)]
    pub encryption: Encryption,
    /// Whether the internet can reach it. A named opt-in; default: no.
    #[serde(default)]
    pub public: bool,
    /// Whether it refuses to be deleted until this is switched off. Default: no.
    #[serde(default)]
    pub delete_protection: bool,
    /// Its tags.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
    /// Settings of single providers.
    #[serde(default, skip_serializing_if = "Overrides::is_empty")]
    pub overrides: Overrides,
}

fn default_storage() -> ByteSize {
    ByteSize::gib(20)
}

fn default_database() -> String {
    "app".into()
}

impl DatabaseSpec {
    /// A private server with everything at its default.
    pub fn new(name: impl Into<String>, region: Region, engine: Engine) -> Self {
        Self {
            name: name.into(),
            region,
            engine,
            version: None,
            instance_type: None,
            storage: default_storage(),
            database: default_database(),
            user: default_database(),
            password: None,
            network: None,
            encryption: Encryption::default(),
            public: false,
            delete_protection: false,
            tags: Tags::default(),
            overrides: Overrides::default(),
        }
    }

    /// Refuses what no cloud accepts.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput), naming the field.
    pub fn validate(&self) -> Result<()> {
        check_name("database name", &self.name)?;
        check_sql_name("database", &self.database)?;
        check_sql_name("user", &self.user)?;
        check_range("storage", self.storage.bytes(), 1 << 20, 1 << 56)?;
        if let Some(version) = &self.version {
            check_text("version", version, 64)?;
        }
        match &self.network {
            Some(network) => network.expect_kind(ResourceKind::Network),
            None => Ok(()),
        }
    }

    /// [`validate`](Self::validate), and what this cloud's capabilities rule out.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) or [`Unsupported`](crate::ErrorKind::Unsupported).
    pub fn check(&self, can: &DatabaseCapabilities) -> Result<()> {
        self.validate()?;
        can.names.check("database name", &self.name)?;
        let engine = can.engine(self.engine)?;
        if self.encryption == Encryption::Required && !engine.encryption {
            return Err(Error::unsupported(format_args!("encryption at rest for {}", self.engine)));
        }
        Ok(())
    }
}

impl DatabaseCapabilities {
    /// What an engine can do here.
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported), naming the engines on offer.
    pub fn engine(&self, engine: Engine) -> Result<&EngineCapabilities> {
        self.engines.iter().find(|e| e.engine == engine).ok_or_else(|| {
            let offered: Vec<_> = self.engines.iter().map(|e| e.engine.as_str()).collect();
            Error::unsupported(format_args!("the engine {engine}"))
                .with_hint(format!("it offers: {}", offered.join(", ")))
        })
    }
}

/// Refuses what is not a plain SQL identifier: at most 63 ASCII letters, digits and `_`, no digit first.
///
/// # Errors
/// [`InvalidInput`](crate::ErrorKind::InvalidInput), naming `field`.
///
/// ```
/// assert!(cloud_core::check_sql_name("table", "orders").is_ok());
/// assert!(cloud_core::check_sql_name("table", "orders; drop").is_err());
/// ```
pub fn check_sql_name(field: &str, name: &str) -> Result<()> {
    check_text(field, name, 63)?;
    let good = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !name.starts_with(|c: char| c.is_ascii_digit());
    if good {
        return Ok(());
    }
    Err(Error::invalid(
        field,
        format_args!("is '{name}'"),
        "1 to 63 ASCII letters, digits and '_', no digit first",
    ))
}

/// A database server, as its cloud reports it.
///
/// ```
/// # use cloud_core::DatabaseServer;
/// fn is_replica(server: &DatabaseServer) -> bool { server.replica_of.is_some() }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DatabaseServer {
    /// Its id in the cloud.
    pub id: ResourceId,
    /// Its name.
    pub name: String,
    /// Its state.
    pub status: ResourceStatus,
    /// The provider's own word for its state.
    pub provider_status: String,
    /// The engine.
    pub engine: Engine,
    /// Version of the engine.
    pub version: Option<String>,
    /// Host name or address, once it has one.
    pub host: Option<String>,
    /// TCP port, where it has one.
    pub port: Option<u16>,
    /// The server that it replicates; `None` for a primary.
    pub replica_of: Option<ResourceId>,
    /// Its tags.
    pub tags: Tags,
    /// When it was made.
    pub created_at: Option<Timestamp>,
}

/// A request for a snapshot.
///
/// ```
/// # use cloud_core::{ResourceId, SnapshotSpec};
/// let server: ResourceId = "database/eu-1/orders".parse().unwrap();
/// let spec = SnapshotSpec::new("orders-monday", server);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnapshotSpec {
    /// Its name.
    pub name: String,
    /// The server to take it of.
    pub source: ResourceId,
    /// Its tags.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
}

impl SnapshotSpec {
    /// A snapshot without tags.
    pub fn new(name: impl Into<String>, source: ResourceId) -> Self {
        Self { name: name.into(), source, tags: Tags::default() }
    }

    /// Refuses what no cloud accepts.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput), naming the field.
    pub fn validate(&self) -> Result<()> {
        check_name("snapshot name", &self.name)?;
        self.source.expect_kind(ResourceKind::Database)
    }
}

/// A request for a copy of a snapshot in another region.
///
/// ```
/// # use cloud_core::{Region, ResourceId, SnapshotCopySpec};
/// let snapshot: ResourceId = "snapshot/eu-1/orders-monday".parse().unwrap();
/// let spec = SnapshotCopySpec::new("orders-monday-far", Region::new("eu-2").unwrap(), snapshot);
/// assert!(spec.validate().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnapshotCopySpec {
    /// The name of the copy.
    pub name: String,
    /// Where to put the copy.
    pub region: Region,
    /// The snapshot to copy.
    pub source: ResourceId,
    /// The tags of the copy; those of the source are not taken over.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
}

impl SnapshotCopySpec {
    /// A copy without tags.
    pub fn new(name: impl Into<String>, region: Region, source: ResourceId) -> Self {
        Self { name: name.into(), region, source, tags: Tags::default() }
    }

    /// Refuses what no cloud accepts.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput), naming the field.
    pub fn validate(&self) -> Result<()> {
        check_name("snapshot name", &self.name)?;
        self.source.expect_kind(ResourceKind::Snapshot)
    }
}

/// A snapshot, as its cloud reports it.
///
/// ```
/// # use cloud_core::Snapshot;
/// fn usable(snapshot: &Snapshot) -> bool { snapshot.status.is_ready() }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Its id in the cloud.
    pub id: ResourceId,
    /// Its name.
    pub name: String,
    /// Its state; [`Running`](ResourceStatus::Running) means that it can be restored.
    pub status: ResourceStatus,
    /// The server that it was taken of; that one may be gone.
    pub source: ResourceId,
    /// The engine.
    pub engine: Engine,
    /// Its size, where known.
    pub size: Option<ByteSize>,
    /// Its tags.
    pub tags: Tags,
    /// When it was taken.
    pub created_at: Option<Timestamp>,
}

/// A request for a read replica.
///
/// ```
/// # use cloud_core::{Region, ReplicaSpec, ResourceId};
/// let server: ResourceId = "database/eu-1/orders".parse().unwrap();
/// let spec = ReplicaSpec::new("orders-standby", Region::new("eu-2").unwrap(), server);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplicaSpec {
    /// Its name.
    pub name: String,
    /// Where to put it.
    pub region: Region,
    /// The server to replicate.
    pub source: ResourceId,
    /// Its tags.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
}

impl ReplicaSpec {
    /// A replica without tags.
    pub fn new(name: impl Into<String>, region: Region, source: ResourceId) -> Self {
        Self { name: name.into(), region, source, tags: Tags::default() }
    }

    /// Refuses what no cloud accepts.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput), naming the field.
    pub fn validate(&self) -> Result<()> {
        check_name("replica name", &self.name)?;
        self.source.expect_kind(ResourceKind::Database)
    }
}

/// How to connect to a database. Its `Debug` does not show the password.
///
/// ```
/// # use cloud_core::ConnectionInfo;
/// fn log(info: &ConnectionInfo) { println!("{info:?}"); } // no password in it
/// ```
#[derive(Clone, Debug)]
pub struct ConnectionInfo {
    /// The engine.
    pub engine: Engine,
    /// Host name, address, or for SQLite the file.
    pub host: String,
    /// TCP port; `None` for SQLite.
    pub port: Option<u16>,
    /// The database.
    pub database: String,
    /// The user.
    pub user: String,
    /// The user's password; `None` for SQLite.
    pub password: Option<SecretString>,
    /// All of it as a URL (`postgres://…`, `sqlite://…`), which is a secret as it contains the password.
    pub url: SecretString,
}

/// Database servers. See [the rules that all services share](crate::service).
///
/// ```
/// # use cloud_core::{Database, ResourceId, Result, SqlValue};
/// async fn count_orders(databases: &dyn Database, id: &ResourceId) -> Result<Option<SqlValue>> {
///     let sql = databases.sql(id).await?;
///     let mut rows = sql.query("SELECT count(*) AS n FROM orders", &[]).await?;
///     Ok(rows.pop().and_then(|mut row| row.remove("n")))
/// }
/// ```
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Database: Debug + Send + Sync {
    /// Creates a database server with one database and its owner in it.
    ///
    /// # Errors
    /// [`AlreadyExists`](crate::ErrorKind::AlreadyExists), or any.
    async fn create_database(
        &self,
        spec: &DatabaseSpec,
        token: &ClientToken,
    ) -> Result<DatabaseServer>;

    /// One server.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound), or any.
    async fn get_database(&self, id: &ResourceId) -> Result<DatabaseServer>;

    /// One page of the servers. See [`DatabaseExt::list_databases`].
    ///
    /// # Errors
    /// Any.
    async fn list_databases_page(
        &self,
        query: &ListQuery,
        page: &PageRequest,
    ) -> Result<Page<DatabaseServer>>;

    /// Deletes a server and its data; its snapshots stay. `true` if it was there.
    ///
    /// # Errors
    /// [`Conflict`](crate::ErrorKind::Conflict) if it is protected against deletion or others replicate it; or any.
    async fn delete_database(&self, id: &ResourceId) -> Result<bool>;

    /// How to connect. A generated password is in it.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound), [`Conflict`](crate::ErrorKind::Conflict) while it is not ready, or any.
    async fn connection(&self, id: &ResourceId) -> Result<ConnectionInfo>;

    /// The data inside.
    ///
    /// # Errors
    /// As for [`connection`](Self::connection), and [`Unsupported`](crate::ErrorKind::Unsupported).
    async fn sql(&self, id: &ResourceId) -> Result<Arc<dyn Sql>>;

    /// Takes a snapshot.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound), [`AlreadyExists`](crate::ErrorKind::AlreadyExists), or any.
    async fn create_snapshot(&self, spec: &SnapshotSpec, token: &ClientToken) -> Result<Snapshot>;

    /// One snapshot.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound), or any.
    async fn get_snapshot(&self, id: &ResourceId) -> Result<Snapshot>;

    /// One page of the snapshots. See [`DatabaseExt::list_snapshots`].
    ///
    /// # Errors
    /// Any.
    async fn list_snapshots_page(
        &self,
        query: &ListQuery,
        page: &PageRequest,
    ) -> Result<Page<Snapshot>>;

    /// Deletes a snapshot. `true` if it was there.
    ///
    /// # Errors
    /// Any.
    async fn delete_snapshot(&self, id: &ResourceId) -> Result<bool>;

    /// Creates a new server with the data of a snapshot. Database and user are the snapshot's, not the spec's.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound), [`AlreadyExists`](crate::ErrorKind::AlreadyExists),
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if the engines differ,
    /// [`Unsupported`](crate::ErrorKind::Unsupported) if the regions differ where the provider wants the snapshot
    /// [copied](Self::copy_snapshot) first, or any.
    async fn restore_snapshot(
        &self,
        snapshot: &ResourceId,
        spec: &DatabaseSpec,
        token: &ClientToken,
    ) -> Result<DatabaseServer>;

    /// Copies a snapshot to another region. The copy is encrypted as its source is, and stays when that is
    /// deleted; its [`source`](Snapshot::source) is the server that the snapshot was taken of.
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported), [`NotFound`](crate::ErrorKind::NotFound),
    /// [`AlreadyExists`](crate::ErrorKind::AlreadyExists), [`Conflict`](crate::ErrorKind::Conflict) while the
    /// snapshot is not ready, or any.
    async fn copy_snapshot(
        &self,
        spec: &SnapshotCopySpec,
        token: &ClientToken,
    ) -> Result<Snapshot> {
        let _ = (spec, token);
        Err(Error::unsupported("copies of snapshots"))
    }

    /// Creates a new server with the data that another had `at` that time; `None` is the latest time that can be
    /// restored. The source is not touched. Database and user are the source's, not the spec's.
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported), [`NotFound`](crate::ErrorKind::NotFound),
    /// [`AlreadyExists`](crate::ErrorKind::AlreadyExists), [`InvalidInput`](crate::ErrorKind::InvalidInput) if
    /// the engines differ or the time lies outside what is kept, or any.
    async fn restore_to_time(
        &self,
        source: &ResourceId,
        at: Option<Timestamp>,
        spec: &DatabaseSpec,
        token: &ClientToken,
    ) -> Result<DatabaseServer> {
        let _ = (source, at, spec, token);
        Err(Error::unsupported("restoring to a point in time"))
    }

    /// Creates a server that follows another and can be read.
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported), [`NotFound`](crate::ErrorKind::NotFound), or any.
    async fn create_replica(
        &self,
        spec: &ReplicaSpec,
        token: &ClientToken,
    ) -> Result<DatabaseServer> {
        let _ = (spec, token);
        Err(Error::unsupported("read replicas"))
    }

    /// Makes a replica a primary of its own. Nothing if it is one already. The old primary is not touched: to
    /// keep two primaries from taking writes is the caller's business.
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported), [`NotFound`](crate::ErrorKind::NotFound), or any.
    async fn promote_replica(&self, id: &ResourceId) -> Result<DatabaseServer> {
        let _ = id;
        Err(Error::unsupported("read replicas"))
    }
}

view!(DatabaseServer, Snapshot);

listings! {
    /// Sugar over [`Database`].
    DatabaseExt: Database {
        /// The servers that match.
        list_databases by list_databases_page(ListQuery) -> DatabaseServer;
        /// The snapshots that match.
        list_snapshots by list_snapshots_page(ListQuery) -> Snapshot;
    }
}

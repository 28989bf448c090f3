//! A server as RDS describes it, whether a single one or a cluster: its view, and what else is asked of it.

use aws_sdk_rds::types::{DbCluster, DbInstance};
use cloud_core::{
    DatabaseServer, Engine, Region, ResourceId, ResourceKind, ResourceStatus, Result,
};
use jiff::Timestamp;

use crate::{listing, tags, time::timestamp};

/// In front of the identifier of a cluster, in ids.
pub(super) const CLUSTER: &str = "cluster:";

/// What an id of ours names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Native<'a> {
    Instance(&'a str),
    Cluster(&'a str),
}

impl<'a> Native<'a> {
    /// `None` for what RDS would never call a server.
    pub(super) fn database(id: &'a ResourceId) -> Option<Self> {
        Self::read(id.native(), 63)
    }

    /// `None` for what RDS would never call a snapshot. Those that it takes by itself begin with `rds:`.
    pub(super) fn snapshot(id: &'a ResourceId) -> Option<Self> {
        let native = id.native();
        let (cluster, name) = match native.strip_prefix(CLUSTER) {
            Some(name) => (true, name),
            None => (false, native),
        };
        Self::read(name.strip_prefix("rds:").unwrap_or(name), 255)?;
        Some(if cluster { Self::Cluster(name) } else { Self::Instance(name) })
    }

    fn read(native: &'a str, most: usize) -> Option<Self> {
        let (cluster, name) = match native.strip_prefix(CLUSTER) {
            Some(name) => (true, name),
            None => (false, native),
        };
        let good = name.len() <= most
            && name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.chars().all(|c| matches!(c, 'a'..='z' | '0'..='9' | '-'));
        good.then_some(if cluster { Self::Cluster(name) } else { Self::Instance(name) })
    }

    pub(super) fn name(self) -> &'a str {
        match self {
            Self::Instance(name) | Self::Cluster(name) => name,
        }
    }

    /// The form that ids have.
    pub(super) fn text(self) -> String {
        match self {
            Self::Instance(name) => name.to_owned(),
            Self::Cluster(name) => format!("{CLUSTER}{name}"),
        }
    }
}

/// A server, and what its view does not show.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) view: DatabaseServer,
    /// The tag that says by which create it was made.
    pub(super) request: Option<String>,
    pub(super) arn: String,
    pub(super) user: String,
    pub(super) database: String,
    /// ARN of the secret that RDS keeps.
    pub(super) managed_secret: Option<String>,
    pub(super) iam_auth: bool,
    #[cfg_attr(not(feature = "data-api"), allow(dead_code))]
    pub(super) http_endpoint: bool,
    pub(super) protected: bool,
    pub(super) encrypted: bool,
    /// Identifiers or ARNs of those that replicate it.
    pub(super) replicas: Vec<String>,
    /// Identifiers of the servers of a cluster, the writer first.
    pub(super) members: Vec<String>,
    /// The span in which it can be restored.
    pub(super) restorable: (Option<Timestamp>, Option<Timestamp>),
    pub(super) storage_gib: i32,
}

/// RDS's words for the state of a server
/// ([instances](https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/accessing-monitoring.html),
/// [clusters](https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/accessing-monitoring.html)).
const STATUSES: [(&str, ResourceStatus); 54] = {
    use ResourceStatus::*;
    [
        ("available", Running),
        ("backing-up", Running),
        ("backtracking", Updating),
        ("cloning-failed", Failed),
        ("configuring-activity-stream", Updating),
        ("configuring-associated-roles", Updating),
        ("configuring-enhanced-monitoring", Running),
        ("configuring-iam-database-auth", Running),
        ("configuring-log-exports", Running),
        ("converting-to-vpc", Updating),
        ("copying", Creating),
        ("creating", Creating),
        ("delete-precheck", Deleting),
        ("deleting", Deleting),
        ("failed", Failed),
        ("failing-over", Updating),
        ("inaccessible-encryption-credentials", Failed),
        ("inaccessible-encryption-credentials-recoverable", Failed),
        ("incompatible-create", Failed),
        ("incompatible-credentials", Failed),
        ("incompatible-network", Failed),
        ("incompatible-option-group", Failed),
        ("incompatible-parameters", Failed),
        ("incompatible-restore", Failed),
        ("insufficient-capacity", Failed),
        ("maintenance", Updating),
        ("migrating", Creating),
        ("migration-failed", Failed),
        ("modifying", Updating),
        ("moving-to-vpc", Updating),
        ("preparing", Creating),
        ("preparing-data-migration", Creating),
        ("promoting", Updating),
        ("rebooting", Updating),
        ("renaming", Updating),
        ("replicating", Creating),
        ("resetting-master-credentials", Updating),
        ("resetting-master-user-credentials", Updating),
        ("resizing", Updating),
        ("restore-error", Failed),
        ("scaling-capacity", Running),
        ("scaling-compute", Running),
        ("scaling-storage", Running),
        ("starting", Updating),
        ("stopped", Stopped),
        ("stopping", Stopping),
        ("storage-config-upgrade", Running),
        ("storage-full", Failed),
        ("storage-initialization", Running),
        ("storage-optimization", Running),
        ("update-iam-db-auth", Updating),
        ("upgrade-failed", Failed),
        ("upgrading", Updating),
        ("vacuuming", Running),
    ]
};

pub(super) fn status(word: &str) -> ResourceStatus {
    let found = STATUSES.iter().find(|(known, _)| *known == word).map(|(_, status)| *status);
    found.unwrap_or(ResourceStatus::Unknown)
}

/// The engine by RDS's name; `None` for one that the portable traits do not have.
pub(super) fn engine(name: &str) -> Option<Engine> {
    match name {
        "postgres" | "aurora-postgresql" => Some(Engine::Postgres),
        "mysql" | "mariadb" | "aurora-mysql" | "aurora" => Some(Engine::Mysql),
        _ if name.contains("sqlserver-") => Some(Engine::SqlServer),
        _ => None,
    }
}

/// The database that is there in any case.
fn default_database(engine: Engine) -> &'static str {
    match engine {
        Engine::SqlServer => "master",
        Engine::Mysql => "mysql",
        _ => "postgres",
    }
}

/// The server that an identifier, or an ARN from another region, names.
pub(super) fn named(text: &str, region: &Region, cluster: bool) -> Option<ResourceId> {
    let mut parts = text.split(':');
    let (region, name) = match parts.next() {
        Some("arn") => (Region::new(parts.nth(2)?).ok()?, text.rsplit(':').next()?),
        _ => (region.clone(), text),
    };
    let native = if cluster { Native::Cluster(name) } else { Native::Instance(name) };
    ResourceId::new(ResourceKind::Database, region, native.text()).ok()
}

fn owned(text: Option<&str>) -> String {
    text.unwrap_or_default().to_owned()
}

impl Found {
    /// `None` for one that the portable traits do not have: another engine, or a part of a cluster.
    pub(super) fn instance(region: &Region, server: &DbInstance) -> Result<Option<Self>> {
        let Some(engine) = engine(server.engine().unwrap_or_default()) else {
            return Ok(None);
        };
        if server.db_cluster_identifier().is_some() {
            return Ok(None);
        }
        let name = owned(server.db_instance_identifier());
        let pairs = server.tag_list().iter();
        let (tags, request) = tags::read(pairs.map(|t| (owned(t.key()), owned(t.value()))));
        let word = server.db_instance_status().unwrap_or_default();
        let endpoint = server.endpoint();
        let host = endpoint.and_then(|e| e.address()).map(str::to_owned);
        let port = endpoint.and_then(|e| e.port()).and_then(|port| u16::try_from(port).ok());
        let replica_of = match server.read_replica_source_db_instance_identifier() {
            Some(source) => named(source, region, false),
            None => server
                .read_replica_source_db_cluster_identifier()
                .and_then(|source| named(source, region, true)),
        };
        let created_at = server.instance_create_time().and_then(timestamp);
        let replicas = server.read_replica_db_instance_identifiers().iter();
        let secret = server.master_user_secret().and_then(|secret| secret.secret_arn());
        Ok(Some(Self {
            view: DatabaseServer {
                id: listing::id(ResourceKind::Database, region, &name)?,
                name,
                status: status(word),
                provider_status: word.to_owned(),
                engine,
                version: server.engine_version().map(str::to_owned),
                host,
                port,
                replica_of,
                tags,
                created_at,
            },
            request,
            arn: owned(server.db_instance_arn()),
            user: owned(server.master_username()),
            database: match server.db_name() {
                Some(name) if !name.is_empty() => name.to_owned(),
                _ => default_database(engine).to_owned(),
            },
            managed_secret: secret.map(str::to_owned),
            iam_auth: server.iam_database_authentication_enabled() == Some(true),
            http_endpoint: false,
            protected: server.deletion_protection() == Some(true),
            encrypted: server.storage_encrypted() == Some(true),
            replicas: replicas
                .chain(server.read_replica_db_cluster_identifiers())
                .cloned()
                .collect(),
            members: Vec::new(),
            restorable: (created_at, server.latest_restorable_time().and_then(timestamp)),
            storage_gib: server.allocated_storage().unwrap_or_default(),
        }))
    }

    /// A cluster and its servers. It is in service once its writer is. `None` for another engine.
    pub(super) fn cluster(
        region: &Region,
        cluster: &DbCluster,
        members: &[DbInstance],
    ) -> Result<Option<Self>> {
        let Some(engine) = engine(cluster.engine().unwrap_or_default()) else {
            return Ok(None);
        };
        let name = owned(cluster.db_cluster_identifier());
        let pairs = cluster.tag_list().iter();
        let (tags, request) = tags::read(pairs.map(|t| (owned(t.key()), owned(t.value()))));
        let mut parts: Vec<_> = cluster
            .db_cluster_members()
            .iter()
            .map(|member| {
                (member.is_cluster_writer() != Some(true), owned(member.db_instance_identifier()))
            })
            .collect();
        parts.sort();
        let state = |name: &str| {
            let member = members.iter().find(|m| m.db_instance_identifier() == Some(name))?;
            Some(status(member.db_instance_status()?))
        };
        let word = cluster.status().unwrap_or_default();
        let (status, word) = match (status(word), parts.first()) {
            // Its storage is there, but nothing to connect to.
            (ResourceStatus::Running, None) => {
                (ResourceStatus::Creating, format!("{word}, without servers"))
            }
            (ResourceStatus::Running, Some((_, writer))) => match state(writer) {
                None | Some(ResourceStatus::Running) => (ResourceStatus::Running, word.to_owned()),
                Some(other) => (other, format!("{word}, its writer {other}")),
            },
            (other, _) => (other, word.to_owned()),
        };
        let created_at = cluster.cluster_create_time().and_then(timestamp);
        let secret = cluster.master_user_secret().and_then(|secret| secret.secret_arn());
        Ok(Some(Self {
            view: DatabaseServer {
                id: listing::id(ResourceKind::Database, region, &Native::Cluster(&name).text())?,
                name,
                status,
                provider_status: word,
                engine,
                version: cluster.engine_version().map(str::to_owned),
                host: cluster.endpoint().map(str::to_owned),
                port: cluster.port().and_then(|port| u16::try_from(port).ok()),
                replica_of: cluster
                    .replication_source_identifier()
                    .filter(|source| !source.is_empty())
                    .and_then(|source| named(source, region, source.contains(":cluster:"))),
                tags,
                created_at,
            },
            request,
            arn: owned(cluster.db_cluster_arn()),
            user: owned(cluster.master_username()),
            database: match cluster.database_name() {
                Some(name) if !name.is_empty() => name.to_owned(),
                _ => default_database(engine).to_owned(),
            },
            managed_secret: secret.map(str::to_owned),
            iam_auth: cluster.iam_database_authentication_enabled() == Some(true),
            http_endpoint: cluster.http_endpoint_enabled() == Some(true),
            protected: cluster.deletion_protection() == Some(true),
            encrypted: cluster.storage_encrypted() == Some(true),
            replicas: cluster.read_replica_identifiers().to_vec(),
            members: parts.into_iter().map(|(_, name)| name).collect(),
            restorable: (
                cluster.earliest_restorable_time().and_then(timestamp),
                cluster.latest_restorable_time().and_then(timestamp),
            ),
            storage_gib: cluster.allocated_storage().unwrap_or_default(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_rds::types::{DbClusterMember, Tag};

    use super::*;

    fn id(native: &str) -> ResourceId {
        ResourceId::new(ResourceKind::Database, Region::new("eu-1").unwrap(), native).unwrap()
    }

    #[test]
    fn only_what_rds_could_have_named_is_an_id() {
        assert_eq!(Native::database(&id("orders-1")), Some(Native::Instance("orders-1")));
        assert_eq!(Native::database(&id("cluster:orders")), Some(Native::Cluster("orders")));
        let automated = id("cluster:rds:orders-2026-01-31-00-10");
        assert_eq!(
            Native::snapshot(&automated),
            Some(Native::Cluster("rds:orders-2026-01-31-00-10"))
        );
        let long = "x".repeat(64);
        for native in
            ["..", "a/b", "cluster:", "cluster:cluster:a", "größe", "Orders", "1a", "a b", &long]
        {
            assert_eq!(Native::database(&id(native)), None, "{native}");
        }
    }

    #[test]
    fn every_word_comes_once_and_unknown_ones_stay_unknown() {
        let mut words: Vec<_> = STATUSES.iter().map(|(word, _)| word).collect();
        words.dedup();
        assert_eq!(words.len(), STATUSES.len());
        assert!(words.is_sorted());
        assert_eq!(status("storage-full"), ResourceStatus::Failed);
        assert_eq!(status("something-new"), ResourceStatus::Unknown);
    }

    #[test]
    fn a_cluster_is_in_service_once_its_writer_is() {
        let region = Region::new("eu-1").unwrap();
        let cluster = |with: bool| {
            let member = DbClusterMember::builder()
                .db_instance_identifier("orders-1")
                .is_cluster_writer(true)
                .build();
            DbCluster::builder()
                .db_cluster_identifier("orders")
                .engine("aurora-postgresql")
                .status("available")
                .set_db_cluster_members(with.then(|| vec![member]))
                .tag_list(Tag::builder().key("team").value("shop").build())
                .build()
        };
        let member = |word: &str| {
            DbInstance::builder()
                .db_instance_identifier("orders-1")
                .db_instance_status(word)
                .build()
        };
        let status = |with, members: &[DbInstance]| {
            Found::cluster(&region, &cluster(with), members).unwrap().unwrap().view.status
        };
        assert_eq!(status(false, &[]), ResourceStatus::Creating);
        assert_eq!(status(true, &[member("creating")]), ResourceStatus::Creating);
        assert_eq!(status(true, &[member("available")]), ResourceStatus::Running);
        let found = Found::cluster(&region, &cluster(true), &[]).unwrap().unwrap();
        assert_eq!(found.view.id.native(), "cluster:orders");
        assert_eq!(found.view.tags.get("team"), Some("shop"));
    }

    #[test]
    fn the_source_of_a_replica_may_lie_in_another_region() {
        let region = Region::new("eu-1").unwrap();
        assert_eq!(named("orders", &region, false).unwrap().to_string(), "database/eu-1/orders");
        let far = named("arn:aws:rds:us-east-1:123456789012:db:orders", &region, false).unwrap();
        assert_eq!(far.to_string(), "database/us-east-1/orders");
    }
}

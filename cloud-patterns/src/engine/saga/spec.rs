//! From a spec as data to the one call that creates what it describes.

use cloud_core::{
    BucketSpec, ClientToken, Cloud, ClusterSpec, DatabaseSpec, Error, FirewallSpec, FunctionSpec,
    HealthCheckSpec, InstanceSpec, NetworkSpec, PeeringSpec, Region, Resource, ResourceKind,
    Result, SecretRef, SecretString, SnapshotSpec, Tags, View, ZoneSpec,
};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A spec of any kind that can be created.
#[derive(Clone, Debug)]
pub(super) enum Spec {
    Instance(InstanceSpec),
    Bucket(BucketSpec),
    Database(DatabaseSpec),
    Snapshot(SnapshotSpec),
    Network(NetworkSpec),
    Firewall(FirewallSpec),
    Peering(PeeringSpec),
    Cluster(ClusterSpec),
    Function(FunctionSpec),
    HealthCheck(HealthCheckSpec),
    DnsZone(ZoneSpec),
}

impl Spec {
    /// Reads a spec without references.
    ///
    /// # Errors
    /// [`InvalidInput`](cloud_core::ErrorKind::InvalidInput), with the path of the wrong field.
    pub(super) fn read(kind: ResourceKind, spec: Value) -> Result<Self> {
        Ok(match kind {
            ResourceKind::Instance => Self::Instance(typed(kind, spec)?),
            ResourceKind::Bucket => Self::Bucket(typed(kind, spec)?),
            ResourceKind::Database => Self::Database(typed(kind, spec)?),
            ResourceKind::Snapshot => Self::Snapshot(typed(kind, spec)?),
            ResourceKind::Network => Self::Network(typed(kind, spec)?),
            ResourceKind::Firewall => Self::Firewall(typed(kind, spec)?),
            ResourceKind::Peering => Self::Peering(typed(kind, spec)?),
            ResourceKind::Cluster => Self::Cluster(typed(kind, spec)?),
            ResourceKind::Function => Self::Function(typed(kind, spec)?),
            ResourceKind::HealthCheck => Self::HealthCheck(typed(kind, spec)?),
            ResourceKind::DnsZone => Self::DnsZone(typed(kind, spec)?),
            kind => return Err(Error::unsupported(format_args!("creating a {kind}"))),
        })
    }

    pub(super) fn tags_mut(&mut self) -> &mut Tags {
        match self {
            Self::Instance(s) => &mut s.tags,
            Self::Bucket(s) => &mut s.tags,
            Self::Database(s) => &mut s.tags,
            Self::Snapshot(s) => &mut s.tags,
            Self::Network(s) => &mut s.tags,
            Self::Firewall(s) => &mut s.tags,
            Self::Peering(s) => &mut s.tags,
            Self::Cluster(s) => &mut s.tags,
            Self::Function(s) => &mut s.tags,
            Self::HealthCheck(s) => &mut s.tags,
            Self::DnsZone(s) => &mut s.tags,
        }
    }

    /// Where it will be.
    pub(super) fn region(&self) -> &Region {
        match self {
            Self::Instance(s) => &s.region,
            Self::Bucket(s) => &s.region,
            Self::Database(s) => &s.region,
            Self::Snapshot(s) => &s.source.region,
            Self::Network(s) => &s.region,
            Self::Firewall(s) => &s.network.region,
            Self::Peering(s) => &s.network.region,
            Self::Cluster(s) => &s.region,
            Self::Function(s) => &s.region,
            Self::HealthCheck(s) => &s.region,
            Self::DnsZone(s) => &s.region,
        }
    }

    /// Sets a variable of the secret environment.
    ///
    /// # Errors
    /// [`InvalidInput`](cloud_core::ErrorKind::InvalidInput) for a kind that has no environment.
    pub(super) fn set_secret(&mut self, name: String, value: SecretString) -> Result<()> {
        let secrets = match self {
            Self::Instance(s) => &mut s.secret_environment,
            Self::Function(s) => &mut s.secret_environment,
            _ => {
                return Err(Error::invalid(
                    "environment",
                    "is in the spec of something that runs nothing",
                    "an instance or a function",
                ));
            }
        };
        secrets.insert(name, SecretRef::Value(value));
        Ok(())
    }

    /// Creates it.
    pub(super) async fn create(&self, cloud: &dyn Cloud, token: &ClientToken) -> Result<Resource> {
        fn resource(cloud: &dyn Cloud, view: &impl View) -> Resource {
            view.to_resource(cloud.id(), cloud.provider())
        }
        Ok(match self {
            Self::Instance(s) => {
                resource(cloud, &cloud.compute()?.create_instance(s, token).await?)
            }
            Self::Bucket(s) => resource(cloud, &cloud.storage()?.create_bucket(s, token).await?),
            Self::Database(s) => {
                resource(cloud, &cloud.database()?.create_database(s, token).await?)
            }
            Self::Snapshot(s) => {
                resource(cloud, &cloud.database()?.create_snapshot(s, token).await?)
            }
            Self::Network(s) => resource(cloud, &cloud.network()?.create_network(s, token).await?),
            Self::Firewall(s) => {
                resource(cloud, &cloud.network()?.create_firewall(s, token).await?)
            }
            Self::Peering(s) => resource(cloud, &cloud.network()?.create_peering(s, token).await?),
            Self::Cluster(s) => {
                resource(cloud, &cloud.kubernetes()?.create_cluster(s, token).await?)
            }
            Self::Function(s) => {
                resource(cloud, &cloud.functions()?.create_function(s, token).await?)
            }
            Self::HealthCheck(s) => {
                resource(cloud, &cloud.dns()?.create_health_check(s, token).await?)
            }
            Self::DnsZone(s) => resource(cloud, &cloud.dns()?.create_zone(s, token).await?),
        })
    }
}

fn typed<T: DeserializeOwned>(kind: ResourceKind, spec: Value) -> Result<T> {
    serde_path_to_error::deserialize(spec).map_err(|e| {
        let field = match e.path().to_string().as_str() {
            "." => format!("spec of the {kind}"),
            path => format!("spec of the {kind}: {path}"),
        };
        Error::invalid(&field, format_args!("is wrong: {}", e.inner()), "what its type documents")
    })
}

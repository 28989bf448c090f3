//! `Kubernetes`: managed clusters. What runs in them is the business of a Kubernetes client.

use std::fmt::Debug;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{InstanceSize, compute::check_range, listings};
use crate::{
    ClientToken, Error, KubernetesCapabilities, ListQuery, Overrides, Page, PageRequest, Region,
    ResourceId, ResourceKind, ResourceStatus, Result, SecretString, Tags, resource::view,
    text::check_name,
};

/// A group of equal nodes.
///
/// ```
/// # use cloud_core::{InstanceSize, NodePoolSpec};
/// let pool = NodePoolSpec { name: "default".into(), size: InstanceSize::Exact("t3.medium".into()), count: 3 };
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodePoolSpec {
    /// Its name, unique in the cluster.
    pub name: String,
    /// The size of each node.
    pub size: InstanceSize,
    /// How many nodes.
    pub count: u32,
}

/// A request for a cluster, the same for every cloud.
///
/// ```
/// use cloud_core::{ClusterSpec, Region};
/// assert!(ClusterSpec::new("main", Region::new("eu-1").unwrap()).validate().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterSpec {
    /// Its name.
    pub name: String,
    /// Where to put it.
    pub region: Region,
    /// Kubernetes version, as `1.36`; `None` is the provider's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Its nodes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub node_pools: Vec<NodePoolSpec>,
    /// The network it is attached to; `None` is the provider's default network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<ResourceId>,
    /// Its tags.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
    /// Settings of single providers.
    #[serde(default, skip_serializing_if = "Overrides::is_empty")]
    pub overrides: Overrides,
}

impl ClusterSpec {
    /// A cluster without nodes.
    pub fn new(name: impl Into<String>, region: Region) -> Self {
        Self {
            name: name.into(),
            region,
            version: None,
            node_pools: Vec::new(),
            network: None,
            tags: Tags::default(),
            overrides: Overrides::default(),
        }
    }

    /// Refuses what no cloud accepts.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput), naming the field.
    pub fn validate(&self) -> Result<()> {
        check_name("cluster name", &self.name)?;
        for (i, pool) in self.node_pools.iter().enumerate() {
            check_name(&format!("node_pools[{i}].name"), &pool.name)?;
            check_range(&format!("node_pools[{i}].count"), u64::from(pool.count), 0, 5_000)?;
            if self.node_pools[..i].iter().any(|p| p.name == pool.name) {
                let problem = format!("has the name '{}' twice", pool.name);
                return Err(Error::invalid("node_pools", problem, "each name once"));
            }
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
    pub fn check(&self, can: &KubernetesCapabilities) -> Result<()> {
        self.validate()?;
        can.names.check("cluster name", &self.name)?;
        match &self.version {
            Some(version) if !can.versions.contains(version) => Err(Error::invalid(
                "version",
                format_args!("is '{version}'"),
                can.versions.join(", "),
            )),
            _ => Ok(()),
        }
    }
}

/// A cluster, as its cloud reports it.
///
/// ```
/// # use cloud_core::Cluster;
/// fn nodes(cluster: &Cluster) -> u32 { cluster.node_pools.iter().map(|p| p.count).sum() }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cluster {
    /// Its id in the cloud.
    pub id: ResourceId,
    /// Its name.
    pub name: String,
    /// Its state.
    pub status: ResourceStatus,
    /// Kubernetes version.
    pub version: Option<String>,
    /// URL of its API server, once it has one.
    pub endpoint: Option<String>,
    /// Its nodes.
    pub node_pools: Vec<NodePoolSpec>,
    /// Its tags.
    pub tags: Tags,
    /// When it was made.
    pub created_at: Option<Timestamp>,
}

/// Kubernetes clusters. See [the rules that all services share](crate::service).
///
/// ```
/// # use cloud_core::{Kubernetes, ResourceId, Result};
/// async fn grow(kubernetes: &dyn Kubernetes, cluster: &ResourceId) -> Result<()> {
///     kubernetes.set_node_count(cluster, "default", 5).await
/// }
/// ```
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Kubernetes: Debug + Send + Sync {
    /// Creates a cluster and its nodes.
    ///
    /// # Errors
    /// [`AlreadyExists`](crate::ErrorKind::AlreadyExists), or any.
    async fn create_cluster(&self, spec: &ClusterSpec, token: &ClientToken) -> Result<Cluster>;

    /// One cluster.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound), or any.
    async fn get_cluster(&self, id: &ResourceId) -> Result<Cluster>;

    /// One page of the clusters. See [`KubernetesExt::list_clusters`].
    ///
    /// # Errors
    /// Any.
    async fn list_clusters_page(
        &self,
        query: &ListQuery,
        page: &PageRequest,
    ) -> Result<Page<Cluster>>;

    /// Deletes a cluster and its nodes. `true` if it was there.
    ///
    /// # Errors
    /// Any.
    async fn delete_cluster(&self, id: &ResourceId) -> Result<bool>;

    /// Sets how many nodes a pool has.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) for the cluster or the pool, or any.
    async fn set_node_count(&self, id: &ResourceId, pool: &str, count: u32) -> Result<()>;

    /// A kubeconfig (YAML) to reach the cluster with. It contains credentials, as a rule short-lived ones.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound), [`Conflict`](crate::ErrorKind::Conflict) while it is not ready, or any.
    async fn kubeconfig(&self, id: &ResourceId) -> Result<SecretString>;
}

view!(Cluster);

listings! {
    /// Sugar over [`Kubernetes`].
    KubernetesExt: Kubernetes {
        /// The clusters that match.
        list_clusters by list_clusters_page(ListQuery) -> Cluster;
    }
}

//! Limits that a provider sets on an account.

use serde::{Deserialize, Serialize};

use crate::{Region, ResourceType};

/// A limit, and how much of it is used.
///
/// ```
/// use cloud_core::{Quota, ResourceType};
/// let quota = Quota { name: "vcpu".into(), resource_type: ResourceType::Compute, region: None,
///     limit: 32, used: Some(30) };
/// assert_eq!(quota.available(), Some(2));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quota {
    /// What is counted: [`Quota::VCPU`], [`Quota::INSTANCES`], ... or the provider's own name.
    pub name: String,
    /// The family of resources that it limits.
    pub resource_type: ResourceType,
    /// The region that it applies to; `None` for the whole account.
    pub region: Option<Region>,
    /// The most that may be in use.
    pub limit: u64,
    /// How much is in use; `None` if the provider does not say.
    pub used: Option<u64>,
}

impl Quota {
    /// Virtual CPUs of all instances.
    pub const VCPU: &'static str = "vcpu";
    /// Number of instances.
    pub const INSTANCES: &'static str = "instances";
    /// Number of buckets.
    pub const BUCKETS: &'static str = "buckets";
    /// Number of database servers.
    pub const DATABASES: &'static str = "databases";
    /// Number of networks.
    pub const NETWORKS: &'static str = "networks";
    /// Number of functions.
    pub const FUNCTIONS: &'static str = "functions";
    /// Number of Kubernetes clusters.
    pub const CLUSTERS: &'static str = "clusters";

    /// What is left; `None` if the provider does not say what is used.
    pub fn available(&self) -> Option<u64> {
        self.used.map(|used| self.limit.saturating_sub(used))
    }
}

//! What a cloud holds: resource types and kinds, ids, statuses, and the provider-neutral [`Resource`].

use std::{fmt, str::FromStr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    CloudId, Error, Provider, Region, Result, Tags,
    text::{check_text, names},
};

/// The six families of resources.
///
/// ```
/// use cloud_core::ResourceType;
/// assert_eq!("database".parse::<ResourceType>().unwrap(), ResourceType::Database);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResourceType {
    /// Virtual machines and processes.
    Compute,
    /// Buckets of objects.
    Storage,
    /// Database servers and their snapshots.
    Database,
    /// Networks, firewalls, peerings, health checks, DNS zones.
    Network,
    /// Kubernetes clusters.
    Container,
    /// Functions.
    Serverless,
}

names! {
    /// All six; a family stands after those that it can depend on.
    ResourceType as "resource type" {
        Network => "network",
        Storage => "storage",
        Database => "database",
        Compute => "compute",
        Container => "container",
        Serverless => "serverless",
    }
}

/// What exactly a resource is: finer than [`ResourceType`], and enough to know how to delete it.
///
/// ```
/// use cloud_core::{ResourceKind, ResourceType};
/// assert_eq!(ResourceKind::Snapshot.resource_type(), ResourceType::Database);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ResourceKind {
    /// A virtual machine, or on this machine a process.
    Instance,
    /// A bucket (container) of objects.
    Bucket,
    /// A database server.
    Database,
    /// A snapshot of a database server.
    Snapshot,
    /// A network with its subnets.
    Network,
    /// A set of firewall rules (security group).
    Firewall,
    /// A peering of two networks.
    Peering,
    /// A Kubernetes cluster.
    Cluster,
    /// A function.
    Function,
    /// A health check that DNS records depend on.
    HealthCheck,
    /// A DNS zone.
    DnsZone,
}

names! {
    /// Every kind; a kind stands after those that it can depend on, so that creating in this order and
    /// deleting in the reverse order meets no dependency.
    ResourceKind as "resource kind" {
        Network => "network",
        Firewall => "firewall",
        Peering => "peering",
        HealthCheck => "health_check",
        DnsZone => "dns_zone",
        Bucket => "bucket",
        Snapshot => "snapshot",
        Database => "database",
        Function => "function",
        Cluster => "cluster",
        Instance => "instance",
    }
}

impl ResourceKind {
    /// The family it belongs to.
    pub const fn resource_type(self) -> ResourceType {
        match self {
            Self::Instance => ResourceType::Compute,
            Self::Bucket => ResourceType::Storage,
            Self::Database | Self::Snapshot => ResourceType::Database,
            Self::Network | Self::Firewall | Self::Peering | Self::HealthCheck | Self::DnsZone => {
                ResourceType::Network
            }
            Self::Cluster => ResourceType::Container,
            Self::Function => ResourceType::Serverless,
        }
    }
}

/// The id of a resource within one cloud, complete enough to find it again: kind, region, and the id that
/// the provider itself uses. Written and serialised as `kind/region/provider-id`.
///
/// ```
/// use cloud_core::{Region, ResourceId, ResourceKind};
/// let id: ResourceId = "instance/us-east-1/i-0abc".parse().unwrap();
/// assert_eq!(id.kind, ResourceKind::Instance);
/// assert_eq!(id.native(), "i-0abc");
/// assert_eq!(id.to_string(), "instance/us-east-1/i-0abc");
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ResourceId {
    /// What it is.
    pub kind: ResourceKind,
    /// Where it is.
    pub region: Region,
    native: String,
}

impl ResourceId {
    /// An id from its parts.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) if the provider's id is empty, longer
    /// than 2048 bytes or contains control characters.
    pub fn new(kind: ResourceKind, region: Region, native: impl Into<String>) -> Result<Self> {
        let native = native.into();
        check_text("resource id", &native, 2048)?;
        Ok(Self { kind, region, native })
    }

    /// The provider's own id (an ARM id, an EC2 instance id, a bucket name), for its console and its SDK.
    pub fn native(&self) -> &str {
        &self.native
    }

    /// Refuses an id of another kind, before any I/O.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput).
    pub fn expect_kind(&self, kind: ResourceKind) -> Result<()> {
        if self.kind == kind {
            return Ok(());
        }
        Err(Error::invalid(
            "resource id",
            format_args!("'{self}' is of a {}", self.kind),
            format_args!("the id of a {kind}"),
        ))
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.kind, self.region, self.native)
    }
}

impl fmt::Debug for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

impl FromStr for ResourceId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut parts = text.splitn(3, '/');
        match (parts.next(), parts.next(), parts.next()) {
            (Some(kind), Some(region), Some(native)) => {
                Self::new(kind.parse()?, region.parse()?, native)
            }
            _ => Err(Error::invalid(
                "resource id",
                format_args!("is '{text}'"),
                "kind/region/provider-id",
            )),
        }
    }
}

impl TryFrom<String> for ResourceId {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<ResourceId> for String {
    fn from(id: ResourceId) -> Self {
        id.to_string()
    }
}

/// The life-cycle state of a resource, the same on every cloud.
///
/// ```
/// use cloud_core::ResourceStatus;
/// assert!(ResourceStatus::Running.is_ready());
/// assert!(!ResourceStatus::Creating.is_settled());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResourceStatus {
    /// Being made; not usable yet.
    Creating,
    /// In service.
    Running,
    /// Being changed; usable or not.
    Updating,
    /// On its way to [`Stopped`](Self::Stopped).
    Stopping,
    /// Kept, but not in service.
    Stopped,
    /// On its way out.
    Deleting,
    /// Gone; some providers list it for a while.
    Deleted,
    /// Broken: creation failed, or it died.
    Failed,
    /// The provider says something that no table knows.
    Unknown,
}

impl ResourceStatus {
    /// In service.
    pub const fn is_ready(self) -> bool {
        matches!(self, Self::Running)
    }

    /// In a state that lasts until somebody acts.
    pub const fn is_settled(self) -> bool {
        matches!(self, Self::Running | Self::Stopped | Self::Deleted | Self::Failed)
    }

    /// Gone or going.
    pub const fn is_gone(self) -> bool {
        matches!(self, Self::Deleting | Self::Deleted)
    }
}

names! {
    /// Every state.
    ResourceStatus as "status" {
        Creating => "creating",
        Running => "running",
        Updating => "updating",
        Stopping => "stopping",
        Stopped => "stopped",
        Deleting => "deleting",
        Deleted => "deleted",
        Failed => "failed",
        Unknown => "unknown",
    }
}

/// Any resource, without what is peculiar to its kind. Every typed view converts into it.
///
/// ```
/// use cloud_core::Resource;
/// let text = r#"{"id": "bucket/eu-1/assets", "name": "assets", "type": "storage", "provider": "local",
///     "cloud": "laptop", "region": "eu-1", "configuration": {}, "tags": {}, "status": "running",
///     "created_at": null}"#;
/// let resource: Resource = serde_json::from_str(text).unwrap();
/// assert_eq!(resource.id.native(), "assets");
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resource {
    /// Its id in the cloud.
    pub id: ResourceId,
    /// Its name.
    pub name: String,
    /// Its family.
    #[serde(rename = "type")]
    pub resource_type: ResourceType,
    /// Who provides it.
    pub provider: Provider,
    /// The registered cloud that it is in.
    pub cloud: CloudId,
    /// Where it is.
    pub region: Region,
    /// The typed view as data: whatever its kind has beyond the fields here. Never a secret.
    pub configuration: serde_json::Value,
    /// Its tags, ownership tags among them.
    pub tags: Tags,
    /// Its state.
    pub status: ResourceStatus,
    /// When it was made, where the provider says so.
    pub created_at: Option<Timestamp>,
}

/// What all typed views have in common, and their conversion into a [`Resource`].
///
/// ```
/// use cloud_core::{Resource, View};
/// fn names(views: &[impl View]) -> Vec<&str> {
///     views.iter().map(View::name).collect()
/// }
/// ```
pub trait View: Serialize + Send + Sync {
    /// Its id in the cloud.
    fn id(&self) -> &ResourceId;
    /// Its name.
    fn name(&self) -> &str;
    /// Its tags.
    fn tags(&self) -> &Tags;
    /// Its state.
    fn status(&self) -> ResourceStatus;
    /// When it was made, where the provider says so.
    fn created_at(&self) -> Option<Timestamp>;

    /// The same resource without its type.
    fn to_resource(&self, cloud: &CloudId, provider: Provider) -> Resource {
        let mut configuration = serde_json::to_value(self).unwrap_or_default();
        if let Some(fields) = configuration.as_object_mut() {
            for common in ["id", "name", "tags", "status", "created_at"] {
                fields.remove(common);
            }
        }
        Resource {
            id: self.id().clone(),
            name: self.name().to_owned(),
            resource_type: self.id().kind.resource_type(),
            provider,
            cloud: cloud.clone(),
            region: self.id().region.clone(),
            configuration,
            tags: self.tags().clone(),
            status: self.status(),
            created_at: self.created_at(),
        }
    }
}

/// Implements [`View`] for a struct with the fields `id`, `name`, `tags`, `status` and `created_at`.
macro_rules! view {
    ($($name:ty),*) => {$(
        impl $crate::View for $name {
            fn id(&self) -> &$crate::ResourceId {
                &self.id
            }
            fn name(&self) -> &str {
                &self.name
            }
            fn tags(&self) -> &$crate::Tags {
                &self.tags
            }
            fn status(&self) -> $crate::ResourceStatus {
                self.status
            }
            fn created_at(&self) -> Option<jiff::Timestamp> {
                self.created_at
            }
        }
    )*};
}
pub(crate) use view;

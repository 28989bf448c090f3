//! The workload: what is to run, the same for every cloud. Read from YAML, JSON or TOML.
//!
//! ```
//! use cloud_patterns::workload::{Format, Workload};
//!
//! let workload = Workload::from_text("
//! name: shop
//! components:
//!   - name: orders
//!     type: database
//!     spec: {engine: sqlite}
//!   - name: web
//!     type: compute
//!     requirements: {optimize_for: cost}
//!     replicas: 2
//!     spec:
//!       command: [python3, -m, http.server]
//!       environment: {DATABASE_URL: '${orders.url}'}
//! ", Format::Yaml).unwrap();
//! assert_eq!(workload.components[1].replicas, 2);
//!
//! let error = Workload::from_text("name: shop\ncomponents:\n  - nmae: web\n", Format::Yaml).unwrap_err();
//! assert!(error.to_string().contains("line 3, column 5: components[0].nmae: unknown field `nmae`"), "{error}");
//! ```
//!
//! # References
//! A text inside a `spec` may refer to what another component gives: `${orders.url}`, and for one of several replicas
//! `${web[0].address}`; `$${` is a plain `${`. A reference is a dependency. Outputs are `id`, `name` and `region`, and by type:
//!
//! | type | outputs |
//! |---|---|
//! | compute | `address`; `port` if it has one port only; `port_<variable>`, in lower case, for each |
//! | database | `host`, `port`, and the secrets `url` and `password` |
//! | container | `endpoint` |
//!
//! Secrets may be used in an `environment` only.

pub(crate) mod check;
mod check_places;
mod document;
pub(crate) mod duration;
pub mod policies;
pub(crate) mod reference;
mod requirements;
pub(crate) mod spec;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, path::Path, time::Duration};

use cloud_core::{Error, ErrorKind, Money, ResourceKind, ResourceType, Result, Tags};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use self::document::Document;
pub use self::document::Format;
pub use self::requirements::{
    Across, Architecture, OptimizeFor, Point, Relation, Requirements, SpotUse, Spread, Target,
    Traffic, Within,
};
pub use self::spec::ObjectSpec;
use crate::engine::plan::BlastRadiusLimit;

/// What is to run. See [the module](self) for an example.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workload {
    /// Its name: 1 to 40 lower-case ASCII letters, digits, `-` and `_`. Resources are named after it: `shop-web`.
    pub name: String,
    /// Its parts, at least one.
    pub components: Vec<Component>,
    /// Tags of all its resources.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
    /// How long after their creation its resources may be removed without asking, as `30d` or `12h`. Default: never.
    #[serde(default, with = "duration", skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<Duration>,
    /// How much one plan may change. Default: [`BlastRadiusLimit::default`].
    #[serde(default, skip_serializing_if = "is_default")]
    pub limits: BlastRadiusLimit,
    /// The most that a month of all of it may cost. Default: no such limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Money>,
    /// The policies that hold for all of it, by name, each with its settings: the built-in ones of [`policies`], and those that
    /// the application registers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub deployment_policies: BTreeMap<String, Map<String, Value>>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// One part of a workload: one kind of resource, in one or more equal replicas.
///
/// ```
/// use cloud_core::ResourceType;
/// use cloud_patterns::workload::Component;
/// let mut assets = Component::new("assets", ResourceType::Storage);
/// assets.spec.insert("versioning".into(), true.into());
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Component {
    /// Its name, unique in the workload: 1 to 40 lower-case ASCII letters, digits, `-` and `_`.
    pub name: String,
    /// What it is.
    #[serde(rename = "type")]
    pub component_type: ResourceType,
    /// What it asks of the place it is put in.
    #[serde(default, skip_serializing_if = "is_default")]
    pub requirements: Requirements,
    /// The components that have to be there before, besides those that it refers to.
    #[serde(default, alias = "dependencies", skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<String>,
    /// How many of it, 1 to 1000. Default 1.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub replicas: u32,
    /// The network component that it is attached to: both are put in one place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// The ports of a compute component that its firewall opens. What is not named here is closed, where the cloud has firewalls.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expose: Vec<Expose>,
    /// Its tags, besides the workload's.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
    /// The fields of its type's spec ([`InstanceSpec`](cloud_core::InstanceSpec), [`BucketSpec`](cloud_core::BucketSpec),
    /// [`DatabaseSpec`](cloud_core::DatabaseSpec), [`NetworkSpec`](cloud_core::NetworkSpec), [`ClusterSpec`](cloud_core::ClusterSpec),
    /// [`FunctionSpec`](cloud_core::FunctionSpec)) but name, region and tags. Besides, `tables` of a
    /// database ([`TableSpec`](cloud_core::TableSpec)) and `objects` of a bucket ([`ObjectSpec`]), made as soon as it is there.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub spec: Map<String, Value>,
}

fn one() -> u32 {
    1
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde calls it so
fn is_one(n: &u32) -> bool {
    *n == 1
}

/// A port that a firewall opens.
///
/// ```
/// use cloud_patterns::workload::Expose;
/// let expose: Expose = serde_json::from_str(r#"{"port": "HTTP_PORT", "from": ["0.0.0.0/0"]}"#).unwrap();
/// assert_eq!(expose.from.len(), 1);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expose {
    /// The port, by its key in the spec's `ports`. Of one that the cloud chooses (0), the whole range that free
    /// ports come from is opened: 32768 to 65535.
    pub port: String,
    /// The addresses that may reach it. Default: those of its network.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<IpNet>,
}

impl Workload {
    /// Reads a workload from a file; its name says its format. Blocks for as long as the file system does.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) with file, line, column and path of the field; that of the file if it cannot be read.
    pub fn from_path(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let format = Format::of_path(path)?;
        let file = path.display().to_string().escape_debug().to_string();
        let text = std::fs::read_to_string(path).map_err(|e| Error::from(e).context(&file))?;
        Self::from_text(&text, format).map_err(|e| e.context(&file))
    }

    /// Reads a workload and checks all of it that can be checked without a cloud.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) with line, column and path of the field.
    pub fn from_text(text: &str, format: Format) -> Result<Self> {
        let document = Document::parse(text, format)?;
        let workload: Self = document.read()?;
        match check::check(&workload) {
            Ok(()) => Ok(workload),
            Err(fault) => Err(document.locate(&fault.path, fault.error)),
        }
    }

    /// Writes it. What [`from_text`](Self::from_text) reads from that is equal to it.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for what the format cannot hold: a null in TOML.
    pub fn to_text(&self, format: Format) -> Result<String> {
        let wrong = |e: &dyn std::fmt::Display| {
            Error::new(ErrorKind::InvalidInput, format!("workload '{}': {e}", self.name))
        };
        match format {
            Format::Yaml => serde_saphyr::to_string(self).map_err(|e| wrong(&e)),
            Format::Json => serde_json::to_string_pretty(self).map_err(|e| wrong(&e)),
            Format::Toml => toml::to_string(self).map_err(|e| wrong(&e)),
        }
    }

    /// Checks a workload that was built in memory, as [`from_text`](Self::from_text) does.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput), with the path of the field.
    pub fn validate(&self) -> Result<()> {
        check::check(self).map_err(|fault| fault.error)
    }
}

impl Component {
    /// A component with everything at its default.
    pub fn new(name: impl Into<String>, component_type: ResourceType) -> Self {
        Self {
            name: name.into(),
            component_type,
            requirements: Requirements::default(),
            depends_on: Vec::new(),
            replicas: 1,
            network: None,
            expose: Vec::new(),
            tags: Tags::default(),
            spec: Map::new(),
        }
    }

    /// What exactly is created for it.
    pub fn kind(&self) -> ResourceKind {
        match self.component_type {
            ResourceType::Compute => ResourceKind::Instance,
            ResourceType::Storage => ResourceKind::Bucket,
            ResourceType::Database => ResourceKind::Database,
            ResourceType::Network => ResourceKind::Network,
            ResourceType::Container => ResourceKind::Cluster,
            ResourceType::Serverless => ResourceKind::Function,
        }
    }

    /// The id of the step that makes a replica, counted from 0: `web`, `web-2`, `web-3`.
    pub fn step_id(&self, replica: u32) -> String {
        match replica {
            0 => self.name.clone(),
            n => format!("{}-{}", self.name, u64::from(n) + 1),
        }
    }
}

//! The built-in deployment policies, as a workload declares them.
//!
//! ```
//! use cloud_patterns::workload::{Format, Workload};
//! let workload = Workload::from_text("
//! name: shop
//! components: [{name: web, type: compute}]
//! deployment_policies:
//!   compliance: {regimes: [GDPR], residency: [EU]}
//!   prefer_provider: {providers: [aws], surcharge: 0.1}
//! ", Format::Yaml).unwrap();
//! assert_eq!(workload.deployment_policies.len(), 2);
//! ```
//!
//! | name | what it does |
//! |---|---|
//! | `cost` | Components that do not say what to optimise for are placed for cost; with `latency` too, for both, by the weights. |
//! | `latency` | The same for latency; `target_region` and `max_latency_ms` are those of components that name no target. |
//! | `compliance` | Every region is attested for the `regimes` and lies in the `residency`. |
//! | `prefer_provider` | Places of other providers are compared as if they cost more, by the share `surcharge`. |
//! | `avoid_provider` | Places of these providers are compared as if they cost more, by the share `surcharge`. |
//! | `max_share` | At most the share `most` of what is placed is on one cloud; at least one thing may be. |
//!
//! Any other name is that of a policy that the application registers.

use cloud_core::{Error, ErrorKind, Result};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::Target;

/// A built-in policy and its settings.
#[derive(Clone, Debug, PartialEq)]
pub enum BuiltIn {
    /// `cost`.
    Cost(Weight),
    /// `latency`.
    Latency(LatencyPolicy),
    /// `compliance`.
    Compliance(CompliancePolicy),
    /// `prefer_provider`.
    PreferProvider(ProviderPolicy),
    /// `avoid_provider`.
    AvoidProvider(ProviderPolicy),
    /// `max_share`.
    MaxShare(MaxShare),
}

/// The names of the built-in policies.
pub const BUILT_IN: [&str; 6] =
    ["cost", "latency", "compliance", "prefer_provider", "avoid_provider", "max_share"];

/// Settings of `cost`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weight {
    /// What it counts for beside `latency`. Default 1.
    #[serde(default = "whole")]
    pub weight: f64,
}

/// Settings of `latency`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LatencyPolicy {
    /// What it counts for beside `cost`. Default 1.
    #[serde(default = "whole")]
    pub weight: f64,
    /// What components without a target of their own are to be close to.
    #[serde(default)]
    pub target_region: Option<Target>,
    /// The longest round trip to it, in ms.
    #[serde(default)]
    pub max_latency_ms: Option<f64>,
}

/// Settings of `compliance`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompliancePolicy {
    /// The regimes that every region has to be attested for.
    #[serde(default)]
    pub regimes: Vec<String>,
    /// The countries or blocs that every region has to lie in one of; empty for all.
    #[serde(default)]
    pub residency: Vec<String>,
}

/// Settings of `prefer_provider` and `avoid_provider`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderPolicy {
    /// Providers (`aws`) or registered clouds (`aws-prod`).
    pub providers: Vec<String>,
    /// The share of the cost that counts on top, at least 0. Default 0.1.
    #[serde(default = "tenth")]
    pub surcharge: f64,
}

/// Settings of `max_share`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaxShare {
    /// The share, above 0 and at most 1.
    pub most: f64,
}

fn whole() -> f64 {
    1.0
}

fn tenth() -> f64 {
    0.1
}

impl BuiltIn {
    /// The built-in policy of a name with these settings; `None` if no built-in one has the name.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for wrong settings, naming the field.
    pub fn read(name: &str, settings: &Map<String, Value>) -> Result<Option<Self>> {
        let policy = match name {
            "cost" => Self::Cost(typed(name, settings)?),
            "latency" => Self::Latency(typed(name, settings)?),
            "compliance" => Self::Compliance(typed(name, settings)?),
            "prefer_provider" => Self::PreferProvider(typed(name, settings)?),
            "avoid_provider" => Self::AvoidProvider(typed(name, settings)?),
            "max_share" => Self::MaxShare(typed(name, settings)?),
            _ => return Ok(None),
        };
        policy.check(name)?;
        Ok(Some(policy))
    }

    fn check(&self, name: &str) -> Result<()> {
        let (field, value, good, accepted) = match self {
            Self::Cost(Weight { weight }) | Self::Latency(LatencyPolicy { weight, .. }) => {
                ("weight", *weight, *weight >= 0.0, "a number of at least 0")
            }
            Self::PreferProvider(ProviderPolicy { surcharge, .. })
            | Self::AvoidProvider(ProviderPolicy { surcharge, .. }) => {
                let good = (0.0..=1000.0).contains(surcharge);
                ("surcharge", *surcharge, good, "0 to 1000")
            }
            Self::MaxShare(MaxShare { most }) => {
                ("most", *most, *most > 0.0 && *most <= 1.0, "above 0, at most 1")
            }
            Self::Compliance(_) => return Ok(()),
        };
        if good && value.is_finite() {
            return Ok(());
        }
        let field = format!("deployment_policies.{name}.{field}");
        Err(Error::invalid(&field, format_args!("is {value}"), accepted))
    }
}

fn typed<T: DeserializeOwned>(name: &str, settings: &Map<String, Value>) -> Result<T> {
    serde_path_to_error::deserialize(Value::Object(settings.clone())).map_err(|e| {
        let path = match e.path().to_string() {
            path if path == "." => format!("deployment_policies.{name}"),
            path => format!("deployment_policies.{name}.{path}"),
        };
        Error::new(ErrorKind::InvalidInput, format!("{path}: {}", e.inner()))
    })
}

//! A plan: what is to be done, in which order, at what cost, and why. Everything that changes a cloud is one.

use std::collections::BTreeMap;

use cloud_core::{CloudId, DeleteOptions, Location, Money, ResourceId, ResourceKind};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A directed acyclic graph of steps. Serialisable: what was shown is what is applied.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Unique; part of every client token of the plan.
    pub id: String,
    /// The deployment that it changes.
    pub deployment: String,
    /// What it is for, in words: `deploy shop`, `destroy shop`, `move web out of eu-1`.
    pub purpose: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// The steps, each after those that it depends on.
    pub steps: Vec<Step>,
    /// Where each component goes and why.
    pub choices: Vec<Choice>,
}

/// One change at one cloud.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Unique in the plan: 1 to 63 lower-case letters, digits, `-` and `_`.
    pub id: String,
    /// The component of the workload that it serves.
    pub component: String,
    /// The cloud that it acts on.
    pub cloud: CloudId,
    /// What it does.
    pub action: Action,
    /// The ids of the steps that have to succeed before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<String>,
    /// What its result costs a month; `None` if the price is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monthly_cost: Option<Money>,
}

/// What a step does.
///
/// Texts inside a `spec` or `input` may refer to what an earlier step gave, as `${step-id.output}`; the executor
/// fills them in. Outputs are `id` (the resource id), `name`, `region`, and by kind: `address` (instance), `host` and `port`
/// (database), and the secret ones `url` and `password` (database), which are fetched when needed and never journaled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "do", deny_unknown_fields)]
pub enum Action {
    /// Creates a resource and waits until it is ready. Undone by deleting it.
    Create {
        /// What it is.
        kind: ResourceKind,
        /// Its spec (`InstanceSpec`, `BucketSpec`, …) as data, with references.
        spec: Value,
    },
    /// Deletes a resource and waits until it is gone. Cannot be undone.
    Delete {
        /// The resource.
        id: ResourceId,
        /// How.
        #[serde(default)]
        options: DeleteOptions,
    },
    /// Takes a resource that is already there into the catalog. Undone by leaving it alone.
    Adopt {
        /// The resource.
        id: ResourceId,
    },
    /// Whatever a registered handler does: puts an object, creates a table, sets a DNS record.
    Call {
        /// Name of the handler.
        handler: String,
        /// Its input, with references.
        input: Value,
    },
}

/// Where a component goes, and why there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// The component.
    pub component: String,
    /// The chosen places, one for each replica.
    pub places: Vec<Location>,
    /// Why it was chosen, in words.
    pub why: String,
    /// What a month of it costs, all replicas; `None` if a price is unknown.
    pub monthly_cost: Option<Money>,
    /// The places that were not chosen, and why not.
    pub rejected: Vec<Rejection>,
    /// Figures by name that explain the choice (latency in ms, ...).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub figures: BTreeMap<String, String>,
}

/// A place that was not chosen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rejection {
    /// The place.
    pub place: Location,
    /// Why not, in words.
    pub why: String,
}

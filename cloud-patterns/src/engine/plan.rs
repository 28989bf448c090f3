//! A plan: what is to be done, in which order, at what cost, and why. Everything that changes a cloud is one.

mod blast_radius;
mod cost;
mod graph;
mod permissions;
mod table;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use cloud_core::{
    CloudId, DeleteOptions, Error, Location, Money, ResourceId, ResourceKind, Result,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::{
    blast_radius::{BlastRadius, BlastRadiusLimit},
    cost::MonthlyCost,
    permissions::Permissions,
};
use super::saga;

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
/// fills them in. Outputs are `id` (the resource id), `name`, `region`, and by kind: `address`, `port` (if there is just one)
/// and `port_<variable>` (instance; see [`port_output`]), `host` and `port` (database), `endpoint` (cluster), and the secret ones `url`
/// and `password` (database), which are fetched when needed and never journaled.
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
    /// Reads a resource that the deployment owns already, so that later steps can refer to what it gives. Changes
    /// nothing, the catalog included, so there is nothing to undo.
    Refer {
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

/// The name of the output that is an instance's port: `port_` and the variable that tells the program of it, in lower case, each
/// character but letters and digits an `_`.
///
/// ```
/// assert_eq!(cloud_patterns::engine::plan::port_output("HTTP_PORT"), "port_http_port");
/// ```
pub fn port_output(variable: &str) -> String {
    let word = |c: char| match c.to_ascii_lowercase() {
        c if c.is_ascii_alphanumeric() => c,
        _ => '_',
    };
    let name: String = variable.chars().map(word).collect();
    // An output's name has at most 63 characters.
    format!("port_{}", name.get(..58).unwrap_or(&name))
}

impl Plan {
    /// Checks the plan's shape: ids of 1 to 63 lower-case letters, digits, `-` and `_`, each once; dependencies and references that
    /// exist; no cycle. In time linear in its size.
    ///
    /// # Errors
    /// [`InvalidInput`](cloud_core::ErrorKind::InvalidInput), naming the step; for a cycle, all steps of it.
    pub fn validate(&self) -> Result<()> {
        saga::edges(self).map(drop)
    }

    /// [`validate`](Self::validate), and that only these clouds are acted on.
    ///
    /// # Errors
    /// As for `validate`.
    pub fn validate_for(&self, clouds: &BTreeSet<CloudId>) -> Result<()> {
        self.validate()?;
        match self.steps.iter().find(|step| !clouds.contains(&step.cloud)) {
            None => Ok(()),
            Some(step) => {
                let names: Vec<_> = clouds.iter().map(CloudId::as_str).collect();
                Err(Error::invalid(
                    &format!("step '{}': cloud", step.id.escape_debug()),
                    format_args!("is '{}', which is not registered", step.cloud),
                    names.join(", "),
                ))
            }
        }
    }

    /// The plan as JSON; `serde_json` reads it back.
    ///
    /// # Errors
    /// [`Internal`](cloud_core::ErrorKind::Internal) if it cannot be written.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string_pretty(self)
            .map_err(|e| Error::new(cloud_core::ErrorKind::Internal, format!("plan: {e}")))
    }
}

/// One line: what for, how many steps on how many clouds, at what cost.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let purpose = self.purpose.escape_debug();
        if self.steps.is_empty() {
            return write!(f, "{purpose}: nothing to do");
        }
        let radius = self.blast_radius(0);
        let counts = [
            (radius.creates, "create"),
            (radius.deletes, "delete"),
            (radius.adopts, "adopt"),
            (radius.refers, "refer"),
            (radius.calls, "call"),
        ];
        let counts = counts.iter().filter(|(count, _)| *count > 0);
        let counts: Vec<_> = counts.map(|(count, what)| format!("{count} {what}")).collect();
        let clouds: BTreeSet<_> = self.steps.iter().map(|step| &step.cloud).collect();
        let (steps, clouds) = (plural(self.steps.len(), "step"), plural(clouds.len(), "cloud"));
        let (counts, cost) = (counts.join(", "), self.monthly_cost());
        write!(f, "{purpose}: {steps} on {clouds} ({counts}), {cost}")
    }
}

fn plural(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

impl Action {
    /// The verb: `create`, `delete`, `adopt`, `refer` or `call`.
    pub const fn verb(&self) -> &'static str {
        match self {
            Self::Create { .. } => "create",
            Self::Delete { .. } => "delete",
            Self::Adopt { .. } => "adopt",
            Self::Refer { .. } => "refer",
            Self::Call { .. } => "call",
        }
    }

    /// The verb and what it is done to: `create instance`, `call put_object`.
    fn describe(&self) -> String {
        let verb = self.verb();
        match self {
            Self::Create { kind, .. } => format!("{verb} {kind}"),
            Self::Delete { id, .. } | Self::Adopt { id } | Self::Refer { id } => {
                format!("{verb} {}", id.kind)
            }
            Self::Call { handler, .. } => format!("{verb} {}", handler.escape_debug()),
        }
    }
}

/// Refuses an id that is not 1 to `max` lower-case ASCII letters, digits, `-` and `_`. Ids become tags, and this is what every
/// provider's tags allow.
pub(crate) fn check_id(field: &str, id: &str, max: usize) -> Result<()> {
    let word = |b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
    if (1..=max).contains(&id.len()) && id.bytes().all(word) {
        return Ok(());
    }
    let shown: String = id.chars().take(64).collect();
    Err(Error::invalid(
        field,
        format_args!("is '{}'", shown.escape_debug()),
        format_args!("1 to {max} lower-case ASCII letters, digits, '-' and '_'"),
    ))
}

/// One cycle in a graph of indices, each node needing the one after it; `None` if there is none. Linear in the size of the graph.
pub(crate) fn find_cycle(needs: &[Vec<u32>]) -> Option<Vec<u32>> {
    #[derive(Clone, Copy, PartialEq)]
    enum Mark {
        New,
        OnPath,
        Done,
    }
    let mut marks = vec![Mark::New; needs.len()];
    // The path from the root, and how many edges of each node on it were followed.
    let mut path: Vec<(u32, usize)> = Vec::new();
    for root in 0..needs.len() {
        if marks[root] != Mark::New {
            continue;
        }
        marks[root] = Mark::OnPath;
        path.push((root as u32, 0));
        while let Some((node, followed)) = path.last_mut() {
            let Some(next) = needs[*node as usize].get(*followed) else {
                marks[*node as usize] = Mark::Done;
                path.pop();
                continue;
            };
            *followed += 1;
            match marks[*next as usize] {
                Mark::Done => {}
                Mark::New => {
                    marks[*next as usize] = Mark::OnPath;
                    path.push((*next, 0));
                }
                Mark::OnPath => {
                    let from = path.iter().position(|(node, _)| node == next).unwrap_or(0);
                    return Some(path[from..].iter().map(|(node, _)| *node).collect());
                }
            }
        }
    }
    None
}

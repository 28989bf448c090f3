//! How the clouds differ from what a deployment is known to own: missing, failed, changed, out of reach.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use cloud_core::{
    CloudId, Error, ErrorKind, FirewallRule, Location, Ownership, Resource, ResourceId,
    ResourceStatus, Result,
};
use serde_json::Value;

use super::{Orchestrator, ResourceReport};
use crate::engine::{
    plan::{Action, Plan},
    store::OwnedResource,
};

/// How one resource differs.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum DriftKind {
    /// Its cloud does not have it any more.
    Missing,
    /// It is there, and out of service.
    Failed {
        /// Its state.
        status: ResourceStatus,
        /// What its cloud says of it.
        reason: Option<String>,
    },
    /// Somebody changed it.
    Changed {
        /// The field of its spec, or `tags.<key>`.
        field: String,
        /// What it was made with.
        wanted: String,
        /// What it has now; `None` if nothing.
        found: Option<String>,
    },
    /// Its region or cloud does not answer, so nothing is known of it.
    Unreachable {
        /// What the cloud answered.
        error: Error,
    },
}

/// One difference.
#[derive(Clone, Debug)]
pub struct DriftItem {
    /// The resource.
    pub owned: OwnedResource,
    /// How it differs.
    pub kind: DriftKind,
}

/// All differences of a deployment.
///
/// ```
/// use cloud_patterns::orchestrator::Drift;
/// fn report(drift: &Drift) {
///     println!("{drift}"); // a line for each difference
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Drift {
    /// The deployment.
    pub deployment: String,
    /// What differs; a resource may be in it several times.
    pub items: Vec<DriftItem>,
}

impl Drift {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// What is missing or failed, and on demand what is out of reach.
    pub(super) fn lost(&self, with_unreachable: bool) -> BTreeSet<(CloudId, ResourceId)> {
        let lost = |item: &&DriftItem| match item.kind {
            DriftKind::Missing | DriftKind::Failed { .. } => true,
            DriftKind::Unreachable { .. } => with_unreachable,
            DriftKind::Changed { .. } => false,
        };
        let key = |item: &DriftItem| (item.owned.cloud.clone(), item.owned.id.clone());
        self.items.iter().filter(lost).map(key).collect()
    }

    /// The regions that do not answer.
    pub(super) fn unreachable(&self) -> BTreeSet<Location> {
        let unreachable = |item: &&DriftItem| matches!(item.kind, DriftKind::Unreachable { .. });
        let place = |item: &DriftItem| {
            Location::new(item.owned.cloud.clone(), item.owned.id.region.clone())
        };
        self.items.iter().filter(unreachable).map(place).collect()
    }
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.items.is_empty() {
            return write!(f, "{}: no drift", self.deployment);
        }
        write!(f, "{}: {} differences", self.deployment, self.items.len())?;
        for DriftItem { owned, kind } in &self.items {
            write!(f, "\n  {} {}/{}: ", owned.component, owned.cloud, owned.id)?;
            match kind {
                DriftKind::Missing => f.write_str("missing")?,
                DriftKind::Failed { status, reason } => {
                    write!(f, "{status}")?;
                    if let Some(reason) = reason {
                        write!(f, " ({reason})")?;
                    }
                }
                DriftKind::Changed { field, wanted, found } => {
                    let found = found.as_deref().unwrap_or("nothing");
                    write!(f, "{field} is {found}, was made as {wanted}")?;
                }
                DriftKind::Unreachable { error } => write!(f, "out of reach: {error}")?,
            }
        }
        Ok(())
    }
}

impl Orchestrator {
    /// How the clouds differ from what a deployment owns. Changes nothing. A resource counts as missing only if its own
    /// cloud says that it does not exist; no answer is no proof.
    ///
    /// # Errors
    /// The store's, and those of a cloud that are about us and not about the resource: not registered, not permitted.
    pub async fn drift(&self, deployment: &str) -> Result<Drift> {
        let mut plans: BTreeMap<String, Option<Plan>> = BTreeMap::new();
        let mut items = Vec::new();
        for ResourceReport { owned, live } in self.status(deployment).await?.resources {
            let live = match live {
                Ok(live) => live,
                Err(error) => {
                    let kind = why_unseen(error)?;
                    items.push(DriftItem { owned, kind });
                    continue;
                }
            };
            if let Some(kind) = out_of_service(&live) {
                items.push(DriftItem { owned, kind });
                continue;
            }
            if !plans.contains_key(&owned.plan) {
                let state = self.executor().state(&owned.plan).await?;
                plans.insert(owned.plan.clone(), state.map(|s| s.plan));
            }
            if let Some(Some(plan)) = plans.get(&owned.plan) {
                let changes = changes(plan, &owned, &live);
                items.extend(
                    changes.into_iter().map(|kind| DriftItem { owned: owned.clone(), kind }),
                );
            }
        }
        Ok(Drift { deployment: deployment.to_owned(), items })
    }
}

fn why_unseen(error: Error) -> Result<DriftKind> {
    match error.kind() {
        // Of the cloud itself it says that it is not registered.
        ErrorKind::NotFound if error.hint().is_some_and(|h| h.starts_with("register")) => {
            Err(error)
        }
        ErrorKind::NotFound => Ok(DriftKind::Missing),
        ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::RateLimited => {
            Ok(DriftKind::Unreachable { error })
        }
        _ => Err(error),
    }
}

fn out_of_service(live: &Resource) -> Option<DriftKind> {
    match live.status {
        ResourceStatus::Deleting | ResourceStatus::Deleted => Some(DriftKind::Missing),
        status @ (ResourceStatus::Failed | ResourceStatus::Stopped | ResourceStatus::Stopping) => {
            let reason = live.configuration["status_reason"].as_str();
            Some(DriftKind::Failed { status, reason: reason.map(str::to_owned) })
        }
        _ => None,
    }
}

/// What of the spec that a resource was made with is not so any more. Only fields that a cloud reports as they were asked for, and
/// that hold no reference, can be compared.
fn changes(plan: &Plan, owned: &OwnedResource, live: &Resource) -> Vec<DriftKind> {
    let step = plan.steps.iter().find(|step| step.id == owned.step);
    let Some(Action::Create { spec, .. }) = step.map(|step| &step.action) else {
        // It was adopted: nobody said what it is to be like.
        return Vec::new();
    };
    let mut changes = Vec::new();
    let mut compare = |field: String, wanted: &str, found: Option<&str>| {
        if !wanted.contains("${") && found != Some(wanted) {
            changes.push(DriftKind::Changed {
                field,
                wanted: wanted.to_owned(),
                found: found.map(str::to_owned),
            });
        }
    };
    for (key, value) in spec["tags"].as_object().into_iter().flatten() {
        let wanted = value.as_str().unwrap_or_default();
        compare(format!("tags.{key}"), wanted, live.tags.get(key));
    }
    let ours = [
        (Ownership::DEPLOYMENT, owned.deployment.as_str()),
        (Ownership::STEP, owned.step.as_str()),
    ];
    for (key, wanted) in ours {
        compare(format!("tags.{key}"), wanted, live.tags.get(key));
    }
    for field in ["versioning", "engine", "cidr", "rules"] {
        let (wanted, found) = (&spec[field], &live.configuration[field]);
        if !wanted.is_null() && !found.is_null() {
            let (wanted, found) = (as_reported(field, wanted), as_reported(field, found));
            compare(field.to_owned(), &wanted, Some(&found));
        }
    }
    changes
}

/// A value in the form in which both sides have it, whatever defaults were left out.
fn as_reported(field: &str, value: &Value) -> String {
    let rules = || serde_json::from_value::<Vec<FirewallRule>>(value.clone()).ok();
    match (field, value) {
        ("rules", _) => match rules().and_then(|rules| serde_json::to_string(&rules).ok()) {
            Some(rules) => rules,
            None => value.to_string(),
        },
        (_, Value::String(text)) => text.clone(),
        _ => value.to_string(),
    }
}

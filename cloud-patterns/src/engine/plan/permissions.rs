//! What a plan has to be allowed to do: the calls that its steps make, their look-ups and their undo included.

use std::collections::{BTreeMap, BTreeSet};

use cloud_core::{CloudId, ResourceKind};

use super::{Action, Plan};
use crate::engine::action::Handlers;

/// Calls by cloud, as `service.method`, the same for every provider. Each adapter documents which of its provider's
/// own permissions a call needs.
pub type Permissions = BTreeMap<CloudId, BTreeSet<String>>;

impl Plan {
    /// What it has to be allowed to do, with the built-in handlers.
    ///
    /// ```
    /// use cloud_patterns::engine::plan::Plan;
    /// fn show(plan: &Plan) {
    ///     for (cloud, calls) in plan.permissions() {
    ///         println!("{cloud}: {}", Vec::from_iter(calls).join(", "));
    ///     }
    /// }
    /// ```
    pub fn permissions(&self) -> Permissions {
        self.permissions_with(&Handlers::default())
    }

    /// What it has to be allowed to do. A handler that is not among these is shown as `handler:<name>`.
    pub fn permissions_with(&self, handlers: &Handlers) -> Permissions {
        let mut all = Permissions::new();
        for step in &self.steps {
            let calls = all.entry(step.cloud.clone()).or_default();
            let mut need = |kind: ResourceKind, verbs: &[&str]| {
                let (service, one, many) = names(kind);
                for verb in verbs {
                    let noun = if *verb == "list" { many } else { one };
                    calls.insert(format!("{service}.{verb}_{noun}"));
                }
            };
            match &step.action {
                // Looked up after an unknown effect, awaited, and deleted when undone.
                Action::Create { kind, spec } => {
                    need(*kind, &["create", "get", "list", "delete"]);
                    if refers_to_secret(spec) {
                        calls.insert("database.connection".into());
                    }
                }
                Action::Delete { id, .. } => need(id.kind, &["get", "delete"]),
                Action::Adopt { id } | Action::Refer { id } => need(id.kind, &["get"]),
                Action::Call { handler, .. } => match handlers.get(handler) {
                    Ok(handler) => {
                        calls.extend(handler.permissions().into_iter().map(str::to_owned));
                    }
                    Err(_) => {
                        calls.insert(format!("handler:{}", handler.escape_debug()));
                    }
                },
            }
        }
        all.retain(|_, calls| !calls.is_empty());
        all
    }
}

/// The planner puts every reference to a secret there, and nothing but text is one.
fn refers_to_secret(spec: &serde_json::Value) -> bool {
    let secrets = spec.get("secret_environment").and_then(|s| s.as_object());
    secrets.is_some_and(|s| s.values().any(serde_json::Value::is_string))
}

/// The service of a kind, and the names of one and of many.
const fn names(kind: ResourceKind) -> (&'static str, &'static str, &'static str) {
    match kind {
        ResourceKind::Instance => ("compute", "instance", "instances"),
        ResourceKind::Bucket => ("storage", "bucket", "buckets"),
        ResourceKind::Database => ("database", "database", "databases"),
        ResourceKind::Snapshot => ("database", "snapshot", "snapshots"),
        ResourceKind::Network => ("network", "network", "networks"),
        ResourceKind::Firewall => ("network", "firewall", "firewalls"),
        ResourceKind::Peering => ("network", "peering", "peerings"),
        ResourceKind::Cluster => ("kubernetes", "cluster", "clusters"),
        ResourceKind::Function => ("functions", "function", "functions"),
        ResourceKind::HealthCheck => ("dns", "health_check", "health_checks"),
        ResourceKind::DnsZone => ("dns", "zone", "zones"),
        _ => ("cloud", "resource", "resources"),
    }
}

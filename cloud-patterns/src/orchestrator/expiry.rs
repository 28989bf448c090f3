//! When what a plan makes may be removed without asking: written into the plan, so that it shows there and survives in the journal.

use std::time::Duration;

use cloud_core::Ownership;
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::engine::plan::{Action, Plan};

/// Tags everything that the plan creates with its expiry.
pub(super) fn set(plan: &mut Plan, expires_in: Option<Duration>) {
    let at = expires_in
        .and_then(|after| SignedDuration::try_from(after).ok())
        .and_then(|after| plan.created_at.checked_add(after).ok());
    let Some(at) = at else { return };
    for step in &mut plan.steps {
        if let Action::Create { spec: Value::Object(spec), .. } = &mut step.action
            && let Value::Object(tags) = spec.entry("tags").or_insert_with(|| json!({}))
        {
            tags.insert(Ownership::EXPIRES.to_owned(), at.as_second().to_string().into());
        }
    }
}

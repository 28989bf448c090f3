//! How much a plan changes, and the limit to it, which is on by default.

use std::fmt::Display;

use cloud_core::{Error, ErrorKind, Money, Result};
use serde::{Deserialize, Serialize};

use super::{Action, MonthlyCost, Plan};

/// How much a plan changes.
///
/// ```
/// use cloud_patterns::engine::plan::Plan;
/// fn is_harmless(plan: &Plan, owned: usize) -> bool {
///     plan.blast_radius(owned).deletes == 0
/// }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct BlastRadius {
    /// Resources that are created.
    pub creates: usize,
    /// Resources that are deleted.
    pub deletes: usize,
    /// Resources that are adopted.
    pub adopts: usize,
    /// Resources that are only referred to.
    pub refers: usize,
    /// Calls of handlers.
    pub calls: usize,
    /// How many resources the deployment owned before.
    pub owned: usize,
    /// What the created resources cost a month.
    pub added_cost: MonthlyCost,
}

impl BlastRadius {
    /// How many changes there are in all; what is only referred to is not changed.
    pub fn changes(&self) -> usize {
        self.creates + self.deletes + self.adopts + self.calls
    }

    /// Which share of what the deployment owned is deleted: 0 to 1, and 1 if it deletes what it did not own.
    pub fn deleted_share(&self) -> f64 {
        match (self.deletes, self.owned) {
            (0, _) => 0.0,
            (deletes, owned) if deletes >= owned => 1.0,
            (deletes, owned) => deletes as f64 / owned as f64,
        }
    }
}

impl Plan {
    /// How much it changes, in a deployment that owned so many resources when it was made.
    pub fn blast_radius(&self, owned: usize) -> BlastRadius {
        let mut radius = BlastRadius {
            creates: 0,
            deletes: 0,
            adopts: 0,
            refers: 0,
            calls: 0,
            owned,
            added_cost: self.monthly_cost(),
        };
        for step in &self.steps {
            *match step.action {
                Action::Create { .. } => &mut radius.creates,
                Action::Delete { .. } => &mut radius.deletes,
                Action::Adopt { .. } => &mut radius.adopts,
                Action::Refer { .. } => &mut radius.refers,
                Action::Call { .. } => &mut radius.calls,
            } += 1;
        }
        radius
    }
}

/// How much one plan may change. On by default; raised by name, in a workload's `limits` or in code.
///
/// ```
/// use cloud_patterns::engine::plan::{BlastRadiusLimit, Plan};
/// fn check(plan: &Plan, owned: usize) -> cloud_core::Result<()> {
///     let limit = BlastRadiusLimit { max_changes: 500, ..BlastRadiusLimit::default() };
///     limit.check(plan, owned)
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BlastRadiusLimit {
    /// The most changes of any kind. Default 100.
    pub max_changes: usize,
    /// The most deletions. Default 50.
    pub max_deletes: usize,
    /// The greatest share of the deployment's resources that may be deleted, 0 to 1. Default a half, so that
    /// destroying a whole deployment takes a word more: [`for_destroy`](Self::for_destroy).
    pub max_deleted_share: f64,
    /// The most that the created resources may cost a month. What has no known price is not counted. Default: any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_monthly_cost: Option<Money>,
}

impl Default for BlastRadiusLimit {
    fn default() -> Self {
        Self { max_changes: 100, max_deletes: 50, max_deleted_share: 0.5, max_monthly_cost: None }
    }
}

impl BlastRadiusLimit {
    /// The limit that lets a whole deployment be destroyed, and is as it was for all else. For plans that were asked for as
    /// such, never for those that something else leads to.
    #[must_use]
    pub fn for_destroy(self) -> Self {
        Self { max_changes: usize::MAX, max_deletes: usize::MAX, max_deleted_share: 1.0, ..self }
    }

    /// Refuses a share that is not between 0 and 1.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput), naming the field.
    pub fn validate(&self) -> Result<()> {
        if (0.0..=1.0).contains(&self.max_deleted_share) {
            return Ok(());
        }
        let problem = format!("is {}", self.max_deleted_share);
        Err(Error::invalid("limits.max_deleted_share", problem, "0 to 1"))
    }

    /// Refuses a plan that changes more, in a deployment that owned so many resources when it was made.
    ///
    /// # Errors
    /// [`PolicyDenied`](ErrorKind::PolicyDenied), naming the limit, the plan's value, and how to raise it.
    pub fn check(&self, plan: &Plan, owned: usize) -> Result<()> {
        let radius = plan.blast_radius(owned);
        let within = |value: usize, most: usize, what: &str, limit: &str| match value <= most {
            true => Ok(()),
            false => Err(denied(plan, format_args!("makes {value} {what}"), limit, &most)),
        };
        within(radius.changes(), self.max_changes, "changes", "max_changes")?;
        within(radius.deletes, self.max_deletes, "deletions", "max_deletes")?;
        let share = radius.deleted_share();
        if share > self.max_deleted_share {
            let does =
                format!("deletes {} of {owned} resources, a share of {share:.2}", radius.deletes);
            return Err(denied(plan, does, "max_deleted_share", &self.max_deleted_share));
        }
        let Some(most) = &self.max_monthly_cost else {
            return Ok(());
        };
        for cost in &radius.added_cost.known {
            if cost.currency != most.currency || cost.amount > most.amount {
                let does = format!("adds {cost} a month");
                return Err(denied(plan, does, "max_monthly_cost", most));
            }
        }
        Ok(())
    }
}

fn denied(plan: &Plan, does: impl Display, limit: &str, value: &dyn Display) -> Error {
    let purpose = plan.purpose.escape_debug();
    let message = format!("the plan '{purpose}' {does}; {limit} is {value}");
    Error::new(ErrorKind::PolicyDenied, message)
        .with_code("blast_radius")
        .with_hint(format!("if that is meant, raise {limit} (limits.{limit} in the workload)"))
}

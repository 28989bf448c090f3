//! How a plan ended, as its caller sees it.

use std::{collections::BTreeMap, fmt};

use cloud_core::{ClientToken, CloudId, Effect, Error, ErrorKind, ResourceId, Result};

use super::event::{Finish, Outputs, RollBack, StepProgress, StepState};
use crate::engine::{
    plan::{Action, Plan},
    store::OwnedResource,
};

/// How a plan ended, or where it stands.
///
/// ```
/// use cloud_patterns::engine::saga::Outcome;
/// fn report(outcome: &Outcome) {
///     println!("{outcome}"); // one line; what is left, one line each
/// }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// Every step is done.
    Succeeded {
        /// What each step gave, by step.
        outputs: BTreeMap<String, Outputs>,
        /// What was made or adopted.
        resources: Vec<OwnedResource>,
    },
    /// It failed, and nothing of it is left.
    RolledBack {
        /// The step that failed first; `None` if it was cancelled.
        failed: Option<String>,
        /// Why.
        error: Error,
        /// The steps that were done and cannot be undone: deletions.
        not_undone: Vec<String>,
    },
    /// It failed; what the failed steps left is removed, and what succeeded was kept as asked.
    Kept {
        /// The step that failed first; `None` if it was cancelled.
        failed: Option<String>,
        /// Why.
        error: Error,
        /// What was made or adopted.
        resources: Vec<OwnedResource>,
    },
    /// It failed, and not everything could be undone yet. Resume it to go on with that.
    RollbackIncomplete {
        /// The step that failed first; `None` if it was cancelled.
        failed: Option<String>,
        /// Why.
        error: Error,
        /// What could not be undone.
        left: Vec<Leftover>,
    },
    /// It was stopped where it was. Resume it to go on.
    Paused {
        /// How many steps are done.
        done: usize,
        /// How many there are.
        total: usize,
    },
    /// It was given up.
    Abandoned {
        /// What is not known to be done or undone.
        left: Vec<Leftover>,
    },
}

/// What a plan could not undo.
#[derive(Clone, Debug)]
pub struct Leftover {
    /// The step that did it.
    pub step: String,
    /// The cloud that it is in.
    pub cloud: CloudId,
    /// The resource, where it is known. Without it, it may be that nothing is there: the cloud did not say.
    pub id: Option<ResourceId>,
    /// Why it is left.
    pub error: Error,
}

impl Outcome {
    /// Whether every step is done.
    pub fn is_success(&self) -> bool {
        matches!(self, Self::Succeeded { .. })
    }

    /// Why it failed; `None` if it did not.
    pub fn error(&self) -> Option<&Error> {
        match self {
            Self::RolledBack { error, .. }
            | Self::Kept { error, .. }
            | Self::RollbackIncomplete { error, .. } => Some(error),
            Self::Succeeded { .. } | Self::Paused { .. } | Self::Abandoned { .. } => None,
        }
    }

    /// Every end but success as an error, for callers that ask no more.
    ///
    /// # Errors
    /// Why it failed, with what is left in its message; [`Cancelled`](ErrorKind::Cancelled) for a pause or an abandoned plan.
    pub fn into_result(self) -> Result<BTreeMap<String, Outputs>> {
        let text = self.to_string();
        match self {
            Self::Succeeded { outputs, .. } => Ok(outputs),
            Self::RolledBack { error, .. } | Self::Kept { error, .. } => Err(error),
            Self::RollbackIncomplete { error, .. } => Err(error.with_hint(text)),
            Self::Paused { .. } | Self::Abandoned { .. } => {
                Err(Error::new(ErrorKind::Cancelled, text))
            }
        }
    }

    pub(super) fn finish(&self) -> Option<Finish> {
        match self {
            Self::Succeeded { .. } => Some(Finish::Succeeded),
            Self::RolledBack { .. } => Some(Finish::RolledBack),
            Self::Kept { .. } => Some(Finish::Kept),
            Self::Abandoned { .. } => Some(Finish::Abandoned),
            Self::RollbackIncomplete { .. } | Self::Paused { .. } => None,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let because =
            |f: &mut fmt::Formatter<'_>, failed: &Option<String>, error: &Error| match failed {
                Some(step) => write!(f, "step '{step}' failed ({error})"),
                None => write!(f, "stopped ({error})"),
            };
        let list = |f: &mut fmt::Formatter<'_>, left: &[Leftover]| {
            left.iter().try_for_each(|l| write!(f, "\n  {l}"))
        };
        match self {
            Self::Succeeded { outputs, resources } => {
                let (steps, made) = (outputs.len(), resources.len());
                write!(f, "succeeded: {steps} steps, {made} resources")
            }
            Self::RolledBack { failed, error, not_undone } => {
                because(f, failed, error)?;
                match not_undone.as_slice() {
                    [] => f.write_str("; nothing is left"),
                    steps => write!(f, "; all is undone but the deletions {}", steps.join(", ")),
                }
            }
            Self::Kept { failed, error, resources } => {
                because(f, failed, error)?;
                write!(f, "; {} resources are kept", resources.len())
            }
            Self::RollbackIncomplete { failed, error, left } => {
                because(f, failed, error)?;
                write!(f, "; {} are left, resume the plan to remove:", left.len())?;
                list(f, left)
            }
            Self::Paused { done, total } => {
                write!(f, "paused after {done} of {total} steps; resume the plan to go on")
            }
            Self::Abandoned { left } => {
                write!(f, "abandoned; {} may be left:", left.len())?;
                list(f, left)
            }
        }
    }
}

impl fmt::Display for Leftover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.step)?;
        match &self.id {
            Some(id) => write!(f, "{}/{id}", self.cloud)?,
            None => write!(f, "whatever it made in {}", self.cloud)?,
        }
        write!(f, ": {}", self.error)
    }
}

/// The outcome of a plan that is over.
pub(super) fn of_finished(
    plan: &Plan,
    steps: Vec<StepProgress>,
    roll_back: Option<RollBack>,
    finish: Finish,
) -> Outcome {
    let (failed, error) = match roll_back {
        Some(r) => (r.step, r.error),
        // Only a journal that was tampered with says failed without saying why.
        None => (None, Error::new(ErrorKind::Cancelled, "no reason is recorded")),
    };
    match finish {
        Finish::Succeeded => Outcome::Succeeded {
            resources: owned(plan, &steps),
            outputs: (plan.steps.iter().zip(steps))
                .map(|(step, progress)| (step.id.clone(), progress.outputs))
                .collect(),
        },
        Finish::RolledBack => Outcome::RolledBack {
            failed,
            error,
            not_undone: (plan.steps.iter().zip(&steps))
                .filter(|(step, progress)| {
                    progress.state.is_done() && matches!(step.action, Action::Delete { .. })
                })
                .map(|(step, _)| step.id.clone())
                .collect(),
        },
        Finish::Kept => Outcome::Kept { failed, error, resources: owned(plan, &steps) },
        Finish::Abandoned => Outcome::Abandoned { left: left(plan, &steps) },
    }
}

/// What the succeeded steps made or adopted.
fn owned(plan: &Plan, steps: &[StepProgress]) -> Vec<OwnedResource> {
    let made = (0..plan.steps.len()).filter(|i| steps[*i].state.is_done());
    made.filter_map(|i| own(plan, i, steps[i].generation, steps[i].id.clone()?)).collect()
}

/// What a step owns; `None` for steps that make nothing.
pub(super) fn own(plan: &Plan, i: usize, generation: u32, id: ResourceId) -> Option<OwnedResource> {
    let step = &plan.steps[i];
    match step.action {
        Action::Create { .. } | Action::Adopt { .. } => Some(OwnedResource {
            cloud: step.cloud.clone(),
            id,
            deployment: plan.deployment.clone(),
            component: step.component.clone(),
            plan: plan.id.clone(),
            step: step.id.clone(),
            token: ClientToken::derive(&plan.id, &step.id, generation),
        }),
        Action::Delete { .. } | Action::Call { .. } | Action::Refer { .. } => None,
    }
}

/// What is not known to be done or undone.
pub(super) fn left(plan: &Plan, steps: &[StepProgress]) -> Vec<Leftover> {
    (plan.steps.iter().zip(steps))
        .filter_map(|(step, progress)| {
            let error = match &progress.state {
                StepState::Failed(error)
                    if progress.id.is_none() && error.effect() == Effect::None =>
                {
                    return None;
                }
                StepState::UndoFailed(error) | StepState::Failed(error) => error.clone(),
                StepState::Started => Error::new(ErrorKind::Cancelled, "it was broken off"),
                StepState::Pending | StepState::Succeeded | StepState::Undone => return None,
            };
            Some(Leftover {
                step: step.id.clone(),
                cloud: step.cloud.clone(),
                id: progress.id.clone(),
                error,
            })
        })
        .collect()
}

//! What the executor writes into the journal, and the state of a plan as it follows from that alone.

use std::{borrow::Cow, collections::BTreeMap};

use cloud_core::{ClientToken, CloudId, Error, ErrorKind, ResourceId, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::engine::{
    plan::Plan,
    store::{CatalogChange, Entry, Record},
};

/// The format of the records. A record of a newer one is refused, never guessed at.
const VERSION: u64 = 1;

/// The values that a step gives to those after it, by name. Never a secret.
pub type Outputs = BTreeMap<String, String>;

/// A record in the stream `plan:<id>`. Every effect on a cloud comes after the record that announces it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum PlanEvent<'a> {
    /// The first record: the whole plan.
    PlanSaved {
        plan: Cow<'a, Plan>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires_at: Option<Timestamp>,
    },
    /// Written before every attempt.
    StepStarted {
        step: Cow<'a, str>,
        generation: u32,
        token: ClientToken,
        /// What a handler found before its first attempt.
        #[serde(default, skip_serializing_if = "Value::is_null")]
        before: Value,
    },
    StepSucceeded {
        step: Cow<'a, str>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<ResourceId>,
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        outputs: Outputs,
    },
    StepFailed {
        step: Cow<'a, str>,
        /// What it left, if that is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<ResourceId>,
        error: Error,
    },
    /// From here on the plan only goes back.
    RollBackStarted {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        step: Option<Cow<'a, str>>,
        error: Error,
        /// Only what the failed steps left is removed.
        #[serde(default)]
        keep: bool,
    },
    /// Written before every attempt to undo.
    UndoStarted { step: Cow<'a, str> },
    Undone { step: Cow<'a, str> },
    UndoFailed {
        step: Cow<'a, str>,
        /// What is left, if that is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<ResourceId>,
        error: Error,
    },
    /// A second resource with one token is about to be removed.
    DuplicateFound {
        step: Cow<'a, str>,
        cloud: CloudId,
        id: ResourceId,
    },
    PlanFinished { result: Finish },
}

/// A record in the stream `deployment:<name>`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum DeploymentEvent {
    PlanStarted { plan: String, purpose: String },
    PlanFinished { plan: String, result: Finish },
}

/// How a plan ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finish {
    /// Every step is done.
    Succeeded,
    /// Nothing of it is left.
    RolledBack,
    /// It failed, and what had been done was kept, as asked.
    Kept,
    /// It was given up with something left.
    Abandoned,
}

/// Makes a record of an event.
pub(crate) fn record(event: &impl Serialize, catalog: Vec<CatalogChange>) -> Result<Record> {
    let mut body = serde_json::to_value(event)
        .map_err(|e| Error::new(ErrorKind::Internal, format!("journal record: {e}")))?;
    if let Some(fields) = body.as_object_mut() {
        fields.insert("v".into(), VERSION.into());
    }
    Ok(Record { body, catalog })
}

/// Reads an event from a record.
///
/// # Errors
/// [`ErrorKind::Corrupt`] for a record of a newer format, or one that is none of ours.
pub(crate) fn read<T: DeserializeOwned>(stream: &str, entry: Entry) -> Result<T> {
    let corrupt = |problem: String| {
        let place = format!("journal {stream}, record {}", entry.sequence);
        Error::new(ErrorKind::Corrupt, format!("{place}: {problem}"))
    };
    match entry.record.body.get("v").and_then(Value::as_u64) {
        Some(VERSION) => {}
        Some(newer) if newer > VERSION => {
            return Err(
                corrupt(format!("has version {newer}; this build reads {VERSION}"))
                    .with_hint("use the newer build that wrote it"),
            );
        }
        _ => return Err(corrupt("has no valid version".into())),
    }
    serde_json::from_value(entry.record.body).map_err(|e| corrupt(e.to_string()))
}

/// Where a step stands.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum StepState {
    /// Nothing was tried.
    Pending,
    /// It was begun; whether it took effect is unknown.
    Started,
    /// It is done.
    Succeeded,
    /// It failed for good.
    Failed(Error),
    /// It was undone, or there was nothing to undo.
    Undone,
    /// It could not be undone yet.
    UndoFailed(Error),
}

impl StepState {
    /// Whether the step is done.
    pub fn is_done(&self) -> bool {
        matches!(self, Self::Succeeded)
    }
}

/// What is known of a step.
#[derive(Clone, Debug)]
pub struct StepProgress {
    /// Where it stands.
    pub state: StepState,
    /// How many deliberate new attempts were made; part of the token.
    pub generation: u32,
    /// The resource it made or took over, once known.
    pub id: Option<ResourceId>,
    /// What it gives to later steps.
    pub outputs: Outputs,
    /// What a handler found before its first attempt.
    pub(super) before: Value,
}

impl Default for StepProgress {
    fn default() -> Self {
        Self {
            state: StepState::Pending,
            generation: 0,
            id: None,
            outputs: Outputs::new(),
            before: Value::Null,
        }
    }
}

/// Why a plan goes back.
#[derive(Clone, Debug)]
pub struct RollBack {
    /// The step that failed; `None` if it was cancelled.
    pub step: Option<String>,
    /// Why.
    pub error: Error,
    /// Only what the failed steps left is removed.
    pub keep: bool,
}

/// The state of a plan, derived from the journal alone.
#[derive(Clone, Debug)]
pub struct PlanState {
    /// The plan as it was saved.
    pub plan: Plan,
    /// When what it makes may be removed without asking.
    pub expires_at: Option<Timestamp>,
    /// What is known of each step, in the order of the plan's steps.
    pub steps: Vec<StepProgress>,
    /// Set once it goes back.
    pub roll_back: Option<RollBack>,
    /// Set once it is over.
    pub finish: Option<Finish>,
}

impl PlanState {
    /// The name of the stream of a plan.
    pub fn stream(plan: &str) -> String {
        format!("plan:{plan}")
    }

    /// A plan of which nothing was done.
    pub(super) fn fresh(plan: Plan, expires_at: Option<Timestamp>) -> Self {
        let steps = vec![StepProgress::default(); plan.steps.len()];
        Self {
            plan,
            expires_at,
            steps,
            roll_back: None,
            finish: None,
        }
    }

    /// Folds a plan's stream. `None` for an empty stream.
    ///
    /// A record that comes twice changes nothing the second time.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] for what cannot be read, or contradicts what was before.
    ///
    /// ```
    /// use cloud_patterns::engine::saga::PlanState;
    /// assert!(PlanState::from_entries([]).unwrap().is_none());
    /// ```
    pub fn from_entries(entries: impl IntoIterator<Item = Entry>) -> Result<Option<Self>> {
        let mut fold = Fold::default();
        entries.into_iter().try_for_each(|entry| fold.apply(entry))?;
        Ok(fold.state)
    }

    /// How many steps are done.
    pub fn done(&self) -> usize {
        self.steps.iter().filter(|s| s.state.is_done()).count()
    }
}

/// A fold in progress: entry by entry, so that a long stream is never in memory as a whole.
#[derive(Debug, Default)]
pub(crate) struct Fold {
    pub(crate) state: Option<PlanState>,
    index: BTreeMap<String, usize>,
}

impl Fold {
    pub(crate) fn apply(&mut self, entry: Entry) -> Result<()> {
        let sequence = entry.sequence;
        let event: PlanEvent<'static> = read("plan", entry)?;
        let corrupt = |problem: String| {
            let message = format!("journal of the plan, record {sequence}: {problem}");
            Error::new(ErrorKind::Corrupt, message)
        };
        let Some(state) = &mut self.state else {
            let PlanEvent::PlanSaved { plan, expires_at } = event else {
                return Err(corrupt("comes before the plan itself".into()));
            };
            let plan = plan.into_owned();
            let names = plan.steps.iter().enumerate();
            self.index = names.map(|(i, s)| (s.id.clone(), i)).collect();
            self.state = Some(PlanState::fresh(plan, expires_at));
            return Ok(());
        };
        let at = |step: &str| match self.index.get(step) {
            Some(i) => Ok(*i),
            None => Err(corrupt(format!("names the unknown step '{step}'"))),
        };
        match event {
            PlanEvent::PlanSaved { .. } => return Err(corrupt("saves the plan again".into())),
            PlanEvent::StepStarted {
                step,
                generation,
                before,
                ..
            } => {
                let step = &mut state.steps[at(&step)?];
                step.state = StepState::Started;
                step.generation = generation;
                step.before = before;
            }
            PlanEvent::StepSucceeded { step, id, outputs } => {
                let step = &mut state.steps[at(&step)?];
                step.state = StepState::Succeeded;
                step.id = id;
                step.outputs = outputs;
            }
            PlanEvent::StepFailed { step, id, error } => {
                let step = &mut state.steps[at(&step)?];
                step.state = StepState::Failed(error);
                step.id = id;
            }
            PlanEvent::RollBackStarted { step, error, keep } => {
                state.roll_back.get_or_insert(RollBack {
                    step: step.map(Cow::into_owned),
                    error,
                    keep,
                });
            }
            PlanEvent::UndoStarted { .. } | PlanEvent::DuplicateFound { .. } => {}
            PlanEvent::Undone { step } => state.steps[at(&step)?].state = StepState::Undone,
            PlanEvent::UndoFailed { step, id, error } => {
                let step = &mut state.steps[at(&step)?];
                step.state = StepState::UndoFailed(error);
                step.id = id.or(step.id.take());
            }
            PlanEvent::PlanFinished { result } => state.finish = Some(result),
        }
        Ok(())
    }
}

//! What the executor writes into the journal, and the state of a plan as it follows from that alone.

use std::{borrow::Cow, collections::BTreeMap};

use cloud_core::{ClientToken, CloudId, Error, ErrorKind, ResourceId, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::engine::{
    plan::{Choice, Plan, Step},
    store::{CatalogChange, Entry, MAX_RECORD_BYTES, Record},
};

/// The format of the records. A record of a newer one is refused, never guessed at.
const VERSION: u64 = 1;

/// The values that a step gives to those after it, by name. Never a secret.
pub type Outputs = BTreeMap<String, String>;

/// A record in the stream `plan:<id>`. Every effect on a cloud comes after the record that announces it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum PlanEvent<'a> {
    /// The first record: the plan without its steps and choices, which follow in parts. Until all are there, the plan is not
    /// begun, and this record starts it anew.
    PlanSaved {
        plan: Cow<'a, Plan>,
        step_count: usize,
        choice_count: usize,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires_at: Option<Timestamp>,
    },
    /// The next steps and choices.
    PlanPart {
        #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
        steps: Cow<'a, [Step]>,
        #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
        choices: Cow<'a, [Choice]>,
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
    UndoStarted {
        step: Cow<'a, str>,
    },
    Undone {
        step: Cow<'a, str>,
    },
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
    PlanFinished {
        result: Finish,
    },
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

/// The plan as the records that save it, one after the other: each small enough for any store.
pub(super) fn parts(plan: &Plan) -> impl Iterator<Item = PlanEvent<'_>> {
    /// A quarter of what a store takes at least; the rest is room for one large step.
    const PART_BYTES: usize = MAX_RECORD_BYTES / 4;
    fn cut<T: Serialize>(items: &[T]) -> usize {
        let mut bytes = 0;
        let fits = |item: &&T| {
            bytes += serde_json::to_vec(item).map_or(0, |json| json.len());
            bytes <= PART_BYTES
        };
        items.iter().take_while(fits).count().max(1).min(items.len())
    }
    let (mut steps, mut choices) = (&plan.steps[..], &plan.choices[..]);
    std::iter::from_fn(move || {
        if steps.is_empty() && choices.is_empty() {
            return None;
        }
        let (part, rest) = steps.split_at(cut(steps));
        steps = rest;
        // Choices come when all steps are there, so that a part is never twice as large.
        let now = if part.is_empty() { cut(choices) } else { 0 };
        let (chosen, rest) = choices.split_at(now);
        choices = rest;
        Some(PlanEvent::PlanPart { steps: part.into(), choices: chosen.into() })
    })
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
            return Err(corrupt(format!("has version {newer}; this build reads {VERSION}"))
                .with_hint("use the newer build that wrote it"));
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

    /// Folds a plan's stream. `None` for an empty stream, and for one that breaks off before the whole plan was saved.
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
        Ok(fold.finish())
    }

    /// How many steps are done.
    pub fn done(&self) -> usize {
        self.steps.iter().filter(|s| s.state.is_done()).count()
    }
}

/// A fold in progress: entry by entry, so that a long stream is never in memory as a whole.
#[derive(Debug, Default)]
pub(crate) struct Fold {
    state: Option<PlanState>,
    /// How many steps and choices the plan has.
    counts: (usize, usize),
    index: BTreeMap<String, usize>,
}

impl Fold {
    /// The state, once the whole plan was there.
    pub(crate) fn finish(self) -> Option<PlanState> {
        let whole = self.state.as_ref().is_some_and(|s| self.is_whole(s));
        self.state.filter(|_| whole)
    }

    fn is_whole(&self, state: &PlanState) -> bool {
        (state.plan.steps.len(), state.plan.choices.len()) == self.counts
    }

    pub(crate) fn apply(&mut self, entry: Entry) -> Result<()> {
        let sequence = entry.sequence;
        let event: PlanEvent<'static> = read("of the plan", entry)?;
        let corrupt = |problem: String| {
            let message = format!("journal of the plan, record {sequence}: {problem}");
            Error::new(ErrorKind::Corrupt, message)
        };
        let event = match event {
            PlanEvent::PlanSaved { plan, step_count, choice_count, expires_at } => {
                // A crash may have cut off the saving; then it begins anew. What was saved wholly is never saved again.
                if self.state.as_ref().is_some_and(|s| self.is_whole(s)) {
                    return Err(corrupt("saves the plan again".into()));
                }
                self.counts = (step_count, choice_count);
                self.index.clear();
                self.state = Some(PlanState {
                    plan: plan.into_owned(),
                    expires_at,
                    steps: Vec::new(),
                    roll_back: None,
                    finish: None,
                });
                return Ok(());
            }
            event => event,
        };
        let Some(state) = &mut self.state else {
            return Err(corrupt("comes before the plan itself".into()));
        };
        let at = |step: &str| match self.index.get(step) {
            Some(i) => Ok(*i),
            None => Err(corrupt(format!("names the unknown step '{step}'"))),
        };
        match event {
            PlanEvent::PlanSaved { .. } => {}
            PlanEvent::PlanPart { steps, choices } => {
                state.plan.choices.extend(choices.into_owned());
                for step in steps.into_owned() {
                    self.index.insert(step.id.clone(), state.steps.len());
                    state.steps.push(StepProgress::default());
                    state.plan.steps.push(step);
                }
                let (steps, choices) = self.counts;
                if state.plan.steps.len() > steps || state.plan.choices.len() > choices {
                    return Err(corrupt("has more than the whole plan".into()));
                }
            }
            PlanEvent::StepStarted { step, generation, before, .. } => {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The journal of a plan with steps and choices, as it is saved: the header and two parts.
    fn saved() -> Vec<Entry> {
        let mut plan = crate::testing::tests::sixteen_steps("saved");
        plan.choices = vec![Choice {
            component: "web".into(),
            places: Vec::new(),
            why: "it is the only one".into(),
            monthly_cost: None,
            rejected: Vec::new(),
            figures: BTreeMap::new(),
        }];
        let header = Plan { steps: Vec::new(), choices: Vec::new(), ..plan.clone() };
        let header = PlanEvent::PlanSaved {
            plan: Cow::Owned(header),
            step_count: plan.steps.len(),
            choice_count: plan.choices.len(),
            expires_at: None,
        };
        let events = std::iter::once(header).chain(parts(&plan));
        let entry = |event: PlanEvent<'_>| Entry {
            sequence: 1,
            at: Timestamp::UNIX_EPOCH,
            epoch: 1,
            record: record(&event, Vec::new()).unwrap(),
        };
        events.map(entry).collect()
    }

    #[test]
    fn a_saving_that_was_cut_off_anywhere_begins_anew() {
        let whole = saved();
        assert_eq!(whole.len(), 3);
        for cut in 0..whole.len() {
            let entries = || whole[..cut].iter().chain(&whole).cloned();
            assert!(PlanState::from_entries(whole[..cut].iter().cloned()).unwrap().is_none());
            let state = PlanState::from_entries(entries()).unwrap().unwrap();
            assert_eq!((state.plan.steps.len(), state.plan.choices.len()), (16, 1));
        }
        let twice = whole.iter().chain(&whole).cloned();
        let error = PlanState::from_entries(twice).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
    }
}

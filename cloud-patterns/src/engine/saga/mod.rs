//! The executor: carries out any plan as a saga against the journal.
//!
//! - **Journal before effect.** Every call that changes a cloud comes after a durable record that announces it, written
//!   at the epoch of the deployment's lease. Whoever has lost the lease cannot write that record, so it cannot act.
//! - **One attempt, one token.** A create whose effect is unknown is looked up by its token; it is repeated with the same token
//!   where the cloud honours tokens, and else only with a new one once a complete listing has shown that the first left nothing.
//! - **Undo in reverse.** What a failed plan did is undone, dependants first, also what only may have happened.
//! - **Resume anywhere.** The state of a plan is a fold of its journal; any executor with the same store and clouds
//!   goes on from it, forwards or backwards. Dropping a run at any point is a crash, and resumed like one.

mod attempts;
mod backward;
mod event;
mod forward;
mod graph;
mod journal;
mod lookup;
mod options;
mod outcome;
mod resolve;
mod runner;
mod spec;
mod step;
mod template;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use cloud_core::{Effect, Error, ErrorKind, PageRequest, Result};
use futures::TryStreamExt;
use jiff::{SignedDuration, Timestamp};

pub(crate) use self::event::{DeploymentEvent, read, record};
pub use self::{
    event::{Finish, Outputs, PlanState, RollBack, StepProgress, StepState},
    options::{ExecutorOptions, OnFailure, Run},
    outcome::{Leftover, Outcome},
};
use self::{
    event::{Fold, PlanEvent},
    graph::Graph,
    journal::{Journal, Tenure},
    runner::Runner,
};
use super::{
    action::Handlers,
    clouds::Clouds,
    plan::{Action, Plan},
    store::{Store, StoreExt},
};

/// Carries out plans. Cheap to clone.
///
/// ```
/// use cloud_core::Result;
/// use cloud_patterns::engine::{clouds::Clouds, plan::Plan, saga::{Executor, ExecutorOptions, Outcome, Run}, store::Store};
/// use std::sync::Arc;
///
/// async fn carry_out(plan: &Plan, store: Arc<dyn Store>, clouds: Clouds) -> Result<Outcome> {
///     let executor = Executor::new(store, clouds, ExecutorOptions::default());
///     executor.apply(plan, &Run::default()).await
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Executor {
    store: Arc<dyn Store>,
    clouds: Clouds,
    handlers: Handlers,
    options: Arc<ExecutorOptions>,
}

impl Executor {
    /// An executor with the built-in handlers.
    pub fn new(store: Arc<dyn Store>, clouds: Clouds, options: ExecutorOptions) -> Self {
        Self { store, clouds, handlers: Handlers::default(), options: Arc::new(options) }
    }

    /// The executor with these handlers instead.
    #[must_use]
    pub fn with_handlers(mut self, handlers: Handlers) -> Self {
        self.handlers = handlers;
        self
    }

    /// The clouds that it acts on.
    pub fn clouds(&self) -> &Clouds {
        &self.clouds
    }

    /// Checks what can be checked of a plan without touching a cloud: ids, dependencies, references, cycles, clouds, handlers.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput), or [`NotFound`](ErrorKind::NotFound) for a cloud or
    /// handler that is not registered.
    pub fn check(&self, plan: &Plan) -> Result<()> {
        self.graph(plan).map(drop)
    }

    fn graph(&self, plan: &Plan) -> Result<Graph> {
        let graph = Graph::new(plan)?;
        for step in &plan.steps {
            let known = self.clouds.get(&step.cloud).map(drop);
            let known = known.and_then(|()| match &step.action {
                Action::Call { handler, .. } => self.handlers.get(handler).map(drop),
                _ => Ok(()),
            });
            known.map_err(|e| e.context(format_args!("step '{}'", step.id)))?;
        }
        Ok(graph)
    }

    /// Carries out a plan. A plan of this id that was begun before is gone on with, and one that is over is not
    /// repeated: its outcome is returned.
    ///
    /// That the plan fails is no error but an [`Outcome`]. Dropping the future stops the plan where it is; [`resume`](Self::resume) goes on.
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict) while another orchestrator changes this deployment (code `lease_held`), once another has
    /// taken over (`stale_epoch`), while another plan of it is unfinished (`unfinished_plan`), or if the journal knows another plan by this id;
    /// what [`check`](Self::check) finds; the store's own.
    pub async fn apply(&self, plan: &Plan, run: &Run) -> Result<Outcome> {
        let graph = self.graph(plan)?;
        self.holding(&plan.deployment, async |tenure| {
            let stream = PlanState::stream(&plan.id);
            let journal = Journal::new(&*self.store, tenure.fence(), stream);
            let saved = match self.state(&plan.id).await? {
                // The caller's plan and the saved one are equal; only one of them is kept.
                Some(state) if state.plan == *plan => Saved::of(state).1,
                Some(_) => {
                    let message = format!("the journal knows another plan '{}'", plan.id);
                    return Err(Error::new(ErrorKind::Conflict, message)
                        .with_hint("give each plan its own id"));
                }
                None => {
                    self.refuse_beside_another(plan).await?;
                    self.begin(plan, &journal).await?
                }
            };
            self.go_on(plan, saved, graph, journal, tenure, run).await
        })
        .await
    }

    /// Goes on with a plan that was begun, here or elsewhere: forwards, or with its undo. The outcome of one that is over is
    /// returned.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) for a plan that was never begun; as for [`apply`](Self::apply).
    pub async fn resume(&self, plan: &str, run: &Run) -> Result<Outcome> {
        let deployment = self.deployment_of(plan).await?;
        self.holding(&deployment, async |tenure| {
            // Only what is read under the lease counts: the holder before may have written until now.
            let state = self.state(plan).await?.ok_or_else(|| never_begun(plan))?;
            let (plan, saved) = Saved::of(state);
            let graph = self.graph(&plan)?;
            let stream = PlanState::stream(&plan.id);
            let journal = Journal::new(&*self.store, tenure.fence(), stream);
            self.go_on(&plan, saved, graph, journal, tenure, run).await
        })
        .await
    }

    /// Gives up a plan that can neither succeed nor be undone, so that others can be applied. What it made and is in the
    /// catalog stays there; anything else that it left is found as an orphan.
    ///
    /// # Errors
    /// As for [`resume`](Self::resume).
    pub async fn abandon(&self, plan: &str) -> Result<Outcome> {
        let deployment = self.deployment_of(plan).await?;
        self.holding(&deployment, async |tenure| {
            let mut state = self.state(plan).await?.ok_or_else(|| never_begun(plan))?;
            let stream = PlanState::stream(plan);
            let journal = Journal::new(&*self.store, tenure.fence(), stream);
            if state.finish.is_none() {
                let result = Finish::Abandoned;
                journal.write(&PlanEvent::PlanFinished { result }, Vec::new()).await?;
                state.finish = Some(result);
            }
            self.close(&state.plan, Finish::Abandoned, tenure).await?;
            Ok(outcome::of_finished(&state.plan, state.steps, state.roll_back, Finish::Abandoned))
        })
        .await
    }

    /// The state of a plan as the journal has it; `None` if it was never begun.
    ///
    /// # Errors
    /// [`Corrupt`](ErrorKind::Corrupt), or the store's own.
    pub async fn state(&self, plan: &str) -> Result<Option<PlanState>> {
        let mut fold = Fold::default();
        let stream = PlanState::stream(plan);
        let mut entries = self.store.read(&stream);
        while let Some(entry) = entries.try_next().await? {
            fold.apply(entry)?;
        }
        Ok(fold.finish())
    }

    /// The ids of a deployment's plans that were begun and are not over, oldest first.
    ///
    /// # Errors
    /// [`Corrupt`](ErrorKind::Corrupt), or the store's own.
    pub async fn unfinished(&self, deployment: &str) -> Result<Vec<String>> {
        let stream = deployment_stream(deployment);
        let mut entries = self.store.read(&stream);
        let mut open: Vec<String> = Vec::new();
        while let Some(entry) = entries.try_next().await? {
            match read(&stream, entry)? {
                DeploymentEvent::PlanStarted { plan, .. } if !open.contains(&plan) => {
                    open.push(plan);
                }
                DeploymentEvent::PlanStarted { .. } => {}
                DeploymentEvent::PlanFinished { plan, .. } => open.retain(|p| *p != plan),
            }
        }
        Ok(open)
    }

    async fn deployment_of(&self, plan: &str) -> Result<String> {
        let stream = PlanState::stream(plan);
        let first = PageRequest::of_size(1);
        let first = self.store.read_page(&stream, &first).await?.items;
        match first.into_iter().next() {
            None => Err(never_begun(plan)),
            Some(entry) => match read(&stream, entry)? {
                PlanEvent::PlanSaved { plan, .. } => Ok(plan.into_owned().deployment),
                _ => {
                    let message = format!("journal {stream}: does not begin with a plan");
                    Err(Error::new(ErrorKind::Corrupt, message))
                }
            },
        }
    }

    /// Runs `work` under the lease of a deployment; drops it at once if the lease is lost.
    async fn holding<T>(
        &self,
        deployment: &str,
        work: impl AsyncFnOnce(&Tenure) -> Result<T>,
    ) -> Result<T> {
        let name = deployment_stream(deployment);
        let options = &self.options;
        let tenure = journal::acquire(
            &*self.store,
            &name,
            &options.holder,
            options.lease_ttl,
            options.lease_patience,
        )
        .await?;
        let result = tokio::select! {
            biased;
            lost = tenure.keep(&*self.store) => return Err(lost),
            result = work(&tenure) => result,
        };
        if let Err(error) = self.store.release(&tenure.lease()).await {
            tracing::warn!(%error, lease = name, "the lease was not released; it will expire");
        }
        result
    }

    async fn refuse_beside_another(&self, plan: &Plan) -> Result<()> {
        match self.unfinished(&plan.deployment).await?.first() {
            None => Ok(()),
            Some(other) => Err(Error::new(
                ErrorKind::Conflict,
                format!("plan '{other}' of deployment '{}' is unfinished", plan.deployment),
            )
            .with_code("unfinished_plan")
            .with_hint("resume or abandon it first")),
        }
    }

    /// Saves the plan. Nothing was done yet, so a crash in here leaves nothing to clean up.
    async fn begin(&self, plan: &Plan, journal: &Journal<'_>) -> Result<Saved> {
        let expires_at = self.options.expires_after.and_then(|after| {
            let after = SignedDuration::try_from(after).ok()?;
            plan.created_at.checked_add(after).ok()
        });
        // Tags hold whole seconds; so does the journal, or a resumed create would differ from the first.
        let expires_at = expires_at.and_then(|at| Timestamp::from_second(at.as_second()).ok());
        let header = Plan {
            steps: Vec::new(),
            choices: Vec::new(),
            id: plan.id.clone(),
            deployment: plan.deployment.clone(),
            purpose: plan.purpose.clone(),
            created_at: plan.created_at,
        };
        let saved = PlanEvent::PlanSaved {
            plan: std::borrow::Cow::Owned(header),
            step_count: plan.steps.len(),
            choice_count: plan.choices.len(),
            expires_at,
        };
        journal.write(&saved, Vec::new()).await?;
        for part in event::parts(plan) {
            journal.write(&part, Vec::new()).await?;
        }
        Ok(Saved {
            expires_at,
            steps: vec![StepProgress::default(); plan.steps.len()],
            roll_back: None,
            finish: None,
        })
    }

    async fn go_on(
        &self,
        plan: &Plan,
        saved: Saved,
        graph: Graph,
        journal: Journal<'_>,
        tenure: &Tenure,
        run: &Run,
    ) -> Result<Outcome> {
        let roll_back = saved.roll_back;
        if let Some(finish) = saved.finish {
            self.close(plan, finish, tenure).await?;
            return Ok(outcome::of_finished(plan, saved.steps, roll_back, finish));
        }
        let started =
            DeploymentEvent::PlanStarted { plan: plan.id.clone(), purpose: plan.purpose.clone() };
        self.note(plan, &started, tenure).await?;
        let runner = Runner::new(self, plan, graph, journal, saved.expires_at, saved.steps, run);
        let outcome = runner.go(roll_back).await?;
        if let Some(finish) = outcome.finish() {
            self.close(plan, finish, tenure).await?;
        }
        Ok(outcome)
    }

    /// Takes the plan off the deployment's list of unfinished ones.
    async fn close(&self, plan: &Plan, result: Finish, tenure: &Tenure) -> Result<()> {
        if !self.unfinished(&plan.deployment).await?.contains(&plan.id) {
            return Ok(());
        }
        let finished = DeploymentEvent::PlanFinished { plan: plan.id.clone(), result };
        self.note(plan, &finished, tenure).await
    }

    async fn note(&self, plan: &Plan, event: &DeploymentEvent, tenure: &Tenure) -> Result<()> {
        let stream = deployment_stream(&plan.deployment);
        let records = vec![record(event, Vec::new())?];
        self.store.append(&tenure.fence(), &stream, records).await?;
        Ok(())
    }
}

/// A plan's state without the plan.
struct Saved {
    expires_at: Option<Timestamp>,
    steps: Vec<StepProgress>,
    roll_back: Option<RollBack>,
    finish: Option<Finish>,
}

impl Saved {
    fn of(state: PlanState) -> (Plan, Self) {
        let saved = Self {
            expires_at: state.expires_at,
            steps: state.steps,
            roll_back: state.roll_back,
            finish: state.finish,
        };
        (state.plan, saved)
    }
}

/// What each step of a plan needs, by index. Checks the plan's shape.
pub(crate) fn edges(plan: &Plan) -> Result<Vec<Vec<u32>>> {
    Ok(Graph::new(plan)?.needs)
}

/// The stream of a deployment, and the name of its lease.
pub(crate) fn deployment_stream(deployment: &str) -> String {
    format!("deployment:{deployment}")
}

fn never_begun(plan: &str) -> Error {
    let shown: String = plan.chars().take(64).collect();
    Error::new(ErrorKind::NotFound, format!("the journal knows no plan '{}'", shown.escape_debug()))
        .with_effect(Effect::None)
}

//! One run of one plan: what its steps share, and the way from forwards to backwards to the end.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use cloud_core::{ClientToken, Cloud, CloudId, Error, Ownership, Result, WaitOptions};
use jiff::Timestamp;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::{
    Executor,
    attempts::Attempts,
    event::{Finish, PlanEvent, RollBack, StepProgress, StepState},
    forward::Forward,
    graph::Graph,
    journal::{Journal, lock},
    options::{ExecutorOptions, OnFailure, Run},
    outcome::{self, Outcome},
};
use crate::engine::{plan::Plan, progress::ApplyEvent, store::CatalogChange};

/// Why a step ended without success.
#[derive(Debug)]
pub(super) enum Fault {
    /// The journal or the lease: nothing may be done any more.
    Broken(Error),
    /// The step itself. The effect of the error is what is known of all its attempts together.
    Failed(Failure),
}

/// How a step failed.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: Error,
    /// What it left, if that is known.
    pub(super) id: Option<cloud_core::ResourceId>,
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Failed(Failure { error, id: None })
    }
}

pub(super) struct Runner<'a> {
    executor: &'a Executor,
    pub(super) plan: &'a Plan,
    pub(super) graph: Graph,
    journal: Journal<'a>,
    expires_at: Option<Timestamp>,
    progress: Mutex<Vec<StepProgress>>,
    pub(super) done: AtomicUsize,
    pub(super) run: &'a Run,
    /// Ends the waits of the steps under way.
    pub(super) halt: CancellationToken,
}

impl<'a> Runner<'a> {
    pub(super) fn new(
        executor: &'a Executor,
        plan: &'a Plan,
        graph: Graph,
        journal: Journal<'a>,
        expires_at: Option<Timestamp>,
        steps: Vec<StepProgress>,
        run: &'a Run,
    ) -> Self {
        let done = steps.iter().filter(|s| s.state.is_done());
        Self {
            done: AtomicUsize::new(done.count()),
            executor,
            plan,
            graph,
            journal,
            expires_at,
            progress: Mutex::new(steps),
            run,
            halt: CancellationToken::new(),
        }
    }

    /// Runs the plan to its end, or to where it is stopped.
    pub(super) async fn go(&self, roll_back: Option<RollBack>) -> Result<Outcome> {
        self.tell(|| ApplyEvent::PlanStarted {
            plan: self.plan.id.as_str().into(),
            total: self.plan.steps.len(),
            done: self.done.load(Ordering::Relaxed),
        });
        let outcome = self.there_or_back(roll_back).await?;
        tracing::info!(plan = self.plan.id, %outcome, "plan ended");
        self.tell(|| ApplyEvent::Finished { succeeded: outcome.is_success() });
        Ok(outcome)
    }

    async fn there_or_back(&self, roll_back: Option<RollBack>) -> Result<Outcome> {
        let roll_back = match roll_back {
            Some(begun) => begun,
            None => match self.forward().await? {
                Forward::Done => {
                    self.sweep().await?;
                    return self.finish(Finish::Succeeded, None).await;
                }
                Forward::Paused => return Ok(self.paused()),
                Forward::Failed { step, error } => {
                    let keep = self.options().on_failure == OnFailure::Keep;
                    self.write(
                        &PlanEvent::RollBackStarted {
                            step: step.as_deref().map(Into::into),
                            error: error.clone(),
                            keep,
                        },
                        Vec::new(),
                    )
                    .await?;
                    RollBack { step, error, keep }
                }
            },
        };
        if !self.backward(&roll_back).await? {
            return Ok(self.paused());
        }
        let left = outcome::left(self.plan, &lock(&self.progress));
        if !left.is_empty() {
            return Ok(Outcome::RollbackIncomplete {
                failed: roll_back.step,
                error: roll_back.error,
                left,
            });
        }
        self.sweep().await?;
        let finish = match roll_back.keep {
            true => Finish::Kept,
            false => Finish::RolledBack,
        };
        self.finish(finish, Some(roll_back)).await
    }

    async fn finish(&self, result: Finish, roll_back: Option<RollBack>) -> Result<Outcome> {
        self.write(&PlanEvent::PlanFinished { result }, Vec::new()).await?;
        let steps = std::mem::take(&mut *lock(&self.progress));
        Ok(outcome::of_finished(self.plan, steps, roll_back, result))
    }

    fn paused(&self) -> Outcome {
        Outcome::Paused { done: self.done.load(Ordering::Relaxed), total: self.plan.steps.len() }
    }

    pub(super) fn options(&self) -> &ExecutorOptions {
        &self.executor.options
    }

    pub(super) fn handlers(&self) -> &crate::engine::action::Handlers {
        &self.executor.handlers
    }

    pub(super) fn cloud(&self, id: &CloudId) -> Result<&'a Arc<dyn Cloud>> {
        self.executor.clouds.get(id)
    }

    pub(super) fn attempts<'s>(
        &self,
        i: usize,
        patience: Duration,
        stop: &'s CancellationToken,
    ) -> Attempts<'s> {
        Attempts::new(self.options(), patience, i, stop)
    }

    /// A look at, or a change of, what is known of a step. Never held across an await.
    pub(super) fn at<T>(&self, i: usize, look: impl FnOnce(&mut StepProgress) -> T) -> T {
        look(&mut lock(&self.progress)[i])
    }

    pub(super) fn tell(&self, event: impl FnOnce() -> ApplyEvent) {
        self.run.progress.send(event);
    }

    pub(super) async fn write(
        &self,
        event: &PlanEvent<'_>,
        catalog: Vec<CatalogChange>,
    ) -> Result<()> {
        self.journal.write(event, catalog).await
    }

    /// Announces an attempt. Only once this is written may the cloud be changed.
    pub(super) async fn announce(
        &self,
        i: usize,
        generation: u32,
        before: &Value,
    ) -> Result<ClientToken, Fault> {
        let token = self.token(i, generation);
        let started = PlanEvent::StepStarted {
            step: self.plan.steps[i].id.as_str().into(),
            generation,
            token: token.clone(),
            before: before.clone(),
        };
        self.write(&started, Vec::new()).await.map_err(Fault::Broken)?;
        self.at(i, |p| {
            p.state = StepState::Started;
            p.generation = generation;
            p.before = before.clone();
        });
        Ok(token)
    }

    pub(super) fn token(&self, i: usize, generation: u32) -> ClientToken {
        ClientToken::derive(&self.plan.id, &self.plan.steps[i].id, generation)
    }

    /// Whose the resource of a step is.
    pub(super) fn ownership(&self, i: usize, token: ClientToken) -> Result<Ownership> {
        let step = &self.plan.steps[i].id;
        let mut ownership = Ownership::new(&self.plan.deployment, step, token)?;
        ownership.expires_at = self.expires_at;
        Ok(ownership)
    }

    pub(super) fn wait_options(
        &self,
        deadline: Duration,
        cancel: &CancellationToken,
    ) -> WaitOptions {
        WaitOptions {
            deadline,
            first_pause: self.options().first_pause,
            longest_pause: self.options().longest_pause,
            cancel: cancel.clone(),
        }
    }
}

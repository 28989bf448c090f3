//! Backwards: undoes what was done, and what may have been done, dependants first.

use std::collections::VecDeque;

use cloud_core::{
    Cloud, DeleteOptions, Effect, Error, ErrorKind, ResourceId, ResourceKind, Result,
};
use futures::{StreamExt, stream::FuturesUnordered};
use serde_json::Value;
use tracing::Instrument;

use super::{
    event::{PlanEvent, RollBack, StepState},
    runner::Runner,
};
use crate::engine::{action::Call, plan::Action, progress::ApplyEvent, store::CatalogChange};

impl Runner<'_> {
    /// Undoes every step that did or may have done something. A step that cannot be undone keeps what it needs: that is
    /// still in use, and waits for a resume. All else is undone. `false` if it was paused.
    ///
    /// # Errors
    /// The journal's.
    pub(super) async fn backward(&self, roll_back: &RollBack) -> Result<bool> {
        let count = self.plan.steps.len();
        let wanted: Vec<bool> = (0..count).map(|i| self.is_to_undo(i, roll_back.keep)).collect();
        self.tell(|| ApplyEvent::RollBackStarted {
            error: roll_back.error.clone(),
            total: wanted.iter().filter(|w| **w).count(),
        });
        let mut open: Vec<usize> = self.graph.needed_by.iter().map(Vec::len).collect();
        let mut free: VecDeque<usize> = (0..count).filter(|i| open[*i] == 0).collect();
        let limit = self.options().concurrency.max(1);
        let mut running = FuturesUnordered::new();
        loop {
            while running.len() < limit
                && !self.run.pause.is_cancelled()
                && let Some(i) = free.pop_front()
            {
                if wanted[i] {
                    running.push(self.undo(i));
                } else {
                    free_needed(&self.graph.needs[i], &mut open, &mut free);
                }
            }
            let Some((i, ended)) = running.next().await else {
                return Ok(free.is_empty());
            };
            if !ended? {
                return Ok(false);
            }
            if !self.at(i, |p| matches!(p.state, StepState::UndoFailed(_))) {
                free_needed(&self.graph.needs[i], &mut open, &mut free);
            }
        }
    }

    fn is_to_undo(&self, i: usize, keep: bool) -> bool {
        self.at(i, |p| match &p.state {
            StepState::Pending | StepState::Undone => false,
            StepState::Succeeded => {
                !keep && !matches!(self.plan.steps[i].action, Action::Delete { .. })
            }
            StepState::Started | StepState::Failed(_) | StepState::UndoFailed(_) => true,
        })
    }

    async fn undo(&self, i: usize) -> (usize, Result<bool>) {
        let step = &self.plan.steps[i];
        let span =
            tracing::info_span!("undo", plan = self.plan.id, step = step.id, cloud = %step.cloud);
        (i, self.recorded_undo(i).instrument(span).await)
    }

    /// `false` if it was paused.
    async fn recorded_undo(&self, i: usize) -> Result<bool> {
        let step = &self.plan.steps[i];
        let patience = self.options().undo_patience;
        let mut attempts = self.attempts(i, patience, &self.run.pause);
        let error = loop {
            let started = PlanEvent::UndoStarted { step: step.id.as_str().into() };
            self.write(&started, Vec::new()).await?;
            let error = match self.undo_once(i).await {
                Ok(catalog) => {
                    let undone = PlanEvent::Undone { step: step.id.as_str().into() };
                    self.write(&undone, catalog).await?;
                    self.at(i, |p| p.state = StepState::Undone);
                    self.tell(|| ApplyEvent::Undone { step: step.id.as_str().into() });
                    return Ok(true);
                }
                Err(error) => error,
            };
            if is_final(&error) || !attempts.pause(&error).await {
                break error;
            }
            tracing::debug!(%error, "undo goes on after an error");
        };
        if self.run.pause.is_cancelled() {
            return Ok(false);
        }
        let error = error.context(format_args!("undo of step '{}'", step.id));
        tracing::warn!(%error, "cannot be undone now");
        let failed = PlanEvent::UndoFailed {
            step: step.id.as_str().into(),
            id: self.at(i, |p| p.id.clone()),
            error: error.clone(),
        };
        self.write(&failed, Vec::new()).await?;
        self.at(i, |p| p.state = StepState::UndoFailed(error.clone()));
        self.tell(|| ApplyEvent::UndoFailed { step: step.id.as_str().into(), error });
        Ok(true)
    }

    async fn undo_once(&self, i: usize) -> Result<Vec<CatalogChange>> {
        let step = &self.plan.steps[i];
        let (state, id, before) = self.at(i, |p| (p.state.clone(), p.id.clone(), p.before.clone()));
        // Failed without an effect: there is nothing to undo, and nothing to ask.
        if matches!(&state, StepState::Failed(e) if e.effect() == Effect::None) && id.is_none() {
            return Ok(Vec::new());
        }
        let cloud = self.cloud(&step.cloud)?;
        match &step.action {
            Action::Create { kind, spec } => {
                // Where tokens are not honoured, a repeated request may have made a second one besides.
                let made = match id {
                    Some(id) if cloud.capabilities().idempotent_tokens => vec![id],
                    known => {
                        let mut made = self.look_for_made(i, &**cloud, *kind, spec).await?;
                        made.extend(
                            known.into_iter().filter(|id| !made.contains(id)).collect::<Vec<_>>(),
                        );
                        made
                    }
                };
                self.remove_made(&**cloud, made).await
            }
            Action::Delete { id, .. } => match cloud.get_resource(id).await {
                Ok(there) if !there.status.is_gone() => Ok(Vec::new()),
                Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
                _ => Ok(vec![forget(&**cloud, id.clone())]),
            },
            Action::Adopt { id } => Ok(vec![forget(&**cloud, id.clone())]),
            Action::Refer { .. } => Ok(Vec::new()),
            Action::Call { handler, input } => {
                let input = &self.fill(input)?;
                let before = &before;
                let call = Call { cloud, input, before };
                self.handlers().get(handler)?.undo(&call).await
            }
        }
    }

    /// All that a create of unknown effect has made, of all its generations.
    async fn look_for_made(
        &self,
        i: usize,
        cloud: &dyn Cloud,
        kind: ResourceKind,
        spec: &Value,
    ) -> Result<Vec<ResourceId>> {
        let spec = self.spec_without_secrets(kind, spec)?;
        let window = cloud.capabilities().consistency_window;
        let made = self.find(i, cloud, kind, spec.region(), window).await?;
        Ok(made.into_iter().map(|r| r.id).collect())
    }

    /// Removes resources with all that is in them: it was put there since the plan made them.
    async fn remove_made(
        &self,
        cloud: &dyn Cloud,
        made: Vec<ResourceId>,
    ) -> Result<Vec<CatalogChange>> {
        let all = DeleteOptions { with_contents: true };
        let patience = self.options().undo_patience;
        for id in &made {
            self.remove(cloud, id, &all, patience, &self.run.pause).await?;
        }
        Ok(made.into_iter().map(|id| forget(cloud, id)).collect())
    }
}

fn forget(cloud: &dyn Cloud, id: ResourceId) -> CatalogChange {
    CatalogChange::Remove { cloud: cloud.id().clone(), id }
}

fn free_needed(needs: &[u32], open: &mut [usize], free: &mut VecDeque<usize>) {
    for need in needs {
        let need = *need as usize;
        open[need] -= 1;
        if open[need] == 0 {
            free.push_back(need);
        }
    }
}

/// What time alone does not mend.
fn is_final(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::InvalidInput
            | ErrorKind::Unauthenticated
            | ErrorKind::PermissionDenied
            | ErrorKind::Unsupported
            | ErrorKind::PolicyDenied
            | ErrorKind::BudgetExceeded
            | ErrorKind::Corrupt
    )
}

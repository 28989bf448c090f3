//! Forwards: every step as soon as what it needs is done, up to the limit, until all are done or one has failed.

use std::{
    collections::{HashMap, VecDeque},
    sync::atomic::Ordering,
};

use cloud_core::{CloudId, Effect, Error, ErrorKind, Result};
use futures::{StreamExt, stream::FuturesUnordered};
use tracing::Instrument;

use super::{
    event::{PlanEvent, StepState},
    options::OnFailure,
    runner::{Failure, Fault, Runner},
};
use crate::engine::progress::ApplyEvent;

/// How the way forwards ended.
#[derive(Debug)]
pub(super) enum Forward {
    Done,
    Paused,
    Failed { step: Option<String>, error: Error },
}

/// How a step ended.
#[derive(Debug)]
enum End {
    Succeeded,
    Failed(Error),
    /// It was stopped by a pause; what it had begun is open.
    Stopped,
}

/// The steps that may begin, by cloud, so that a full cloud does not hold up the others.
struct Ready<'p> {
    clouds: Vec<Queue>,
    of: HashMap<&'p CloudId, usize>,
    per_cloud: usize,
    /// Where the search for the next step goes on, so that all clouds get their turn.
    turn: usize,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<usize>,
    running: usize,
}

impl<'p> Ready<'p> {
    fn new(clouds: impl Iterator<Item = &'p CloudId>, per_cloud: usize) -> Self {
        let mut of = HashMap::new();
        for cloud in clouds {
            let next = of.len();
            of.entry(cloud).or_insert(next);
        }
        Self { clouds: of.iter().map(|_| Queue::default()).collect(), of, per_cloud, turn: 0 }
    }

    fn push(&mut self, cloud: &CloudId, step: usize) {
        self.clouds[self.of[cloud]].waiting.push_back(step);
    }

    fn pop(&mut self) -> Option<usize> {
        let count = self.clouds.len();
        for offset in 0..count {
            let at = (self.turn + offset) % count;
            let queue = &mut self.clouds[at];
            if queue.running < self.per_cloud
                && let Some(step) = queue.waiting.pop_front()
            {
                queue.running += 1;
                self.turn = (at + 1) % count;
                return Some(step);
            }
        }
        None
    }

    fn ended(&mut self, cloud: &CloudId) {
        self.clouds[self.of[cloud]].running -= 1;
    }
}

impl Runner<'_> {
    /// Takes every step that is not done.
    ///
    /// # Errors
    /// The journal's; what was begun is then open.
    pub(super) async fn forward(&self) -> Result<Forward> {
        let steps = &self.plan.steps;
        let limit = self.options().concurrency.max(1);
        let per_cloud = self.options().concurrency_per_cloud.unwrap_or(limit).max(1);
        let is_done = |i: usize| self.at(i, |p| p.state.is_done());
        let mut ready = Ready::new(steps.iter().map(|s| &s.cloud), per_cloud);
        let mut open: Vec<u32> = vec![0; steps.len()];
        let mut stop = None;
        for (i, step) in steps.iter().enumerate() {
            let state = self.at(i, |p| p.state.clone());
            // A failure that was recorded just before a crash still counts.
            if let StepState::Failed(error) = state {
                let step = Some(step.id.clone());
                stop.get_or_insert(Forward::Failed { step, error });
            }
            open[i] =
                (self.graph.needs[i].iter()).map(|need| u32::from(!is_done(*need as usize))).sum();
            if open[i] == 0 && !is_done(i) {
                ready.push(&step.cloud, i);
            }
        }
        let mut running = FuturesUnordered::new();
        loop {
            if stop.is_none() {
                stop = self.told_to_stop();
            }
            while stop.is_none()
                && running.len() < limit
                && let Some(i) = ready.pop()
            {
                running.push(self.step(i));
            }
            if running.is_empty() {
                return Ok(stop.unwrap_or(Forward::Done));
            }
            tokio::select! {
                biased;
                () = self.run.cancel.cancelled(), if stop.is_none() => {}
                () = self.run.pause.cancelled(), if stop.is_none() => {}
                Some((i, end)) = running.next() => {
                    ready.ended(&steps[i].cloud);
                    match end? {
                        End::Succeeded => {
                            for next in &self.graph.needed_by[i] {
                                let next = *next as usize;
                                open[next] -= 1;
                                if open[next] == 0 {
                                    ready.push(&steps[next].cloud, next);
                                }
                            }
                        }
                        End::Failed(error) => {
                            if self.options().on_failure == OnFailure::RollBack {
                                self.halt.cancel();
                            }
                            let failed = Forward::Failed { step: Some(steps[i].id.clone()), error };
                            match stop {
                                None | Some(Forward::Paused) => stop = Some(failed),
                                Some(_) => {}
                            }
                        }
                        End::Stopped => {}
                    }
                }
            }
        }
    }

    /// Whether the caller wants no more; then the waits of the steps under way end too.
    fn told_to_stop(&self) -> Option<Forward> {
        let stop = if self.run.cancel.is_cancelled() {
            let error = Error::new(ErrorKind::Cancelled, "the plan was cancelled");
            let error = error.with_effect(Effect::None);
            Forward::Failed { step: None, error }
        } else if self.run.pause.is_cancelled() {
            Forward::Paused
        } else {
            return None;
        };
        self.halt.cancel();
        Some(stop)
    }

    /// One step with what is recorded and told of it.
    async fn step(&self, i: usize) -> (usize, Result<End>) {
        let step = &self.plan.steps[i];
        let span =
            tracing::info_span!("step", plan = self.plan.id, step = step.id, cloud = %step.cloud);
        (i, self.recorded(i).instrument(span).await)
    }

    async fn recorded(&self, i: usize) -> Result<End> {
        let step = &self.plan.steps[i];
        let name = || step.id.as_str().into();
        self.tell(|| ApplyEvent::StepStarted { step: name(), cloud: step.cloud.clone() });
        match self.carry_out(i).await {
            Ok(gave) => {
                let succeeded = PlanEvent::StepSucceeded {
                    step: step.id.as_str().into(),
                    id: gave.id.clone(),
                    outputs: gave.outputs.clone(),
                };
                self.write(&succeeded, gave.catalog).await?;
                self.at(i, |p| {
                    p.state = StepState::Succeeded;
                    p.id = gave.id;
                    p.outputs = gave.outputs;
                });
                let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
                self.tell(|| ApplyEvent::StepSucceeded { step: name(), done });
                Ok(End::Succeeded)
            }
            Err(Fault::Broken(error)) => Err(error),
            Err(Fault::Failed(Failure { error, id })) => {
                let error = error.context(format_args!("step '{}'", step.id));
                let stopped = self.halt.is_cancelled() && self.run.pause.is_cancelled();
                if stopped && !self.run.cancel.is_cancelled() {
                    return Ok(End::Stopped);
                }
                tracing::warn!(%error, "step failed");
                let failed = PlanEvent::StepFailed {
                    step: step.id.as_str().into(),
                    id: id.clone(),
                    error: error.clone(),
                };
                self.write(&failed, Vec::new()).await?;
                self.at(i, |p| {
                    p.state = StepState::Failed(error.clone());
                    p.id = id;
                });
                self.tell(|| ApplyEvent::StepFailed { step: name(), error: error.clone() });
                Ok(End::Failed(error))
            }
        }
    }
}

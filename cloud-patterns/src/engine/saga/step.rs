//! One step forwards: the attempts at creating, deleting, adopting or calling, until it is done or has failed for good.

use std::{future::Future, time::Duration};

use cloud_core::{
    ClientToken, Cloud, DeleteOptions, Effect, Error, ErrorKind, Resource, ResourceId,
    ResourceKind, ResourceStatus, Result, Retry, Tags, wait_until,
};
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use super::{
    event::{Outputs, StepState},
    runner::{Failure, Fault, Runner},
    spec::Spec,
};
use crate::engine::{
    action::Call,
    plan::{Action, port_output},
    progress::ApplyEvent,
    store::CatalogChange,
};

/// What a step gave.
#[derive(Debug, Default)]
pub(super) struct Gave {
    pub(super) id: Option<ResourceId>,
    pub(super) outputs: Outputs,
    pub(super) catalog: Vec<CatalogChange>,
}

/// What is known between the attempts at one create.
#[derive(Debug)]
struct Making {
    generation: u32,
    /// Whether an attempt may have made something that was not found yet.
    unsure: bool,
    /// Whether to look for it before the next attempt.
    look: bool,
    /// The tags of the spec itself.
    own_tags: Tags,
    deadline: Instant,
}

impl Runner<'_> {
    /// Carries out one step.
    pub(super) async fn carry_out(&self, i: usize) -> Result<Gave, Fault> {
        let step = &self.plan.steps[i];
        let cloud = &**self.cloud(&step.cloud).map_err(without_effect)?;
        match &step.action {
            Action::Create { kind, spec } => self.create(i, cloud, *kind, spec).await,
            Action::Delete { id, options } => self.delete(i, cloud, id, options).await,
            // Only an adopted resource is entered into the catalog; one that is referred to is there already.
            Action::Adopt { id } | Action::Refer { id } => self.adopt(i, cloud, id).await,
            Action::Call { handler, input } => self.call(i, handler, input).await,
        }
    }

    async fn create(
        &self,
        i: usize,
        cloud: &dyn Cloud,
        kind: ResourceKind,
        spec: &Value,
    ) -> Result<Gave, Fault> {
        let deadline = Instant::now() + self.options().step_timeout;
        let spec = self.patiently(i, || async { self.spec(kind, spec).await }).await?;
        let made = self.make(i, cloud, kind, spec, deadline).await?;
        let id = made.id.clone();
        let ready = match self.ready(cloud, made, deadline).await {
            Ok(ready) => ready,
            Err(error) => {
                return Err(Fault::Failed(Failure {
                    error: error.with_effect(Effect::Done),
                    id: Some(id),
                }));
            }
        };
        Ok(self.owned(i, id, outputs(&ready)))
    }

    /// Creates the resource once, whatever it takes. Returns it in whichever state it is.
    async fn make(
        &self,
        i: usize,
        cloud: &dyn Cloud,
        kind: ResourceKind,
        mut spec: Spec,
        deadline: Instant,
    ) -> Result<Resource, Fault> {
        let can = cloud.capabilities();
        let (begun, generation) = self.at(i, |p| {
            let begun = matches!(p.state, StepState::Started);
            (begun, p.generation.max(1))
        });
        let mut making = Making {
            generation,
            unsure: begun,
            look: begun,
            own_tags: spec.tags_mut().clone(),
            deadline,
        };
        let mut attempts = self.attempts(i, self.options().patience, &self.halt);
        loop {
            let error = match self.try_make(i, cloud, kind, &mut spec, &mut making).await? {
                Ok(made) => return Ok(made),
                Err(error) => error,
            };
            // A name that is taken may be taken by an attempt of ours that went astray.
            let taken = error.kind() == ErrorKind::AlreadyExists;
            if taken {
                let window = can.consistency_window;
                let found = self.find(i, cloud, kind, spec.region(), window).await;
                if let Some(best) = found.ok().and_then(best) {
                    return Ok(best);
                }
            }
            let passes = error.retry() != Retry::Never || making.look;
            if taken || !passes || !attempts.pause(&error).await {
                let effect = match making.unsure {
                    true => Effect::Unknown,
                    false => Effect::None,
                };
                return Err(error.with_effect(effect).into());
            }
            self.retrying(i, error);
        }
    }

    /// One attempt: looks for what the attempts before have made, if that is not known, and creates if there is nothing.
    async fn try_make(
        &self,
        i: usize,
        cloud: &dyn Cloud,
        kind: ResourceKind,
        spec: &mut Spec,
        making: &mut Making,
    ) -> Result<Result<Resource>, Fault> {
        let can = cloud.capabilities();
        if making.look {
            // With tokens honoured a repeated create is the same create, so one look is enough before it.
            let window = match can.idempotent_tokens {
                true => Duration::ZERO,
                false => can.consistency_window,
            };
            match self.find(i, cloud, kind, spec.region(), window).await {
                Ok(found) => {
                    // Where it is the request that carries a creation through, one that died with its requester is
                    // finished by asking again with the same token; elsewhere that changes nothing.
                    let half_made = |r: &Resource| {
                        r.status == ResourceStatus::Creating && can.idempotent_tokens
                    };
                    if let Some(best) = best(found).filter(|r| !half_made(r)) {
                        return Ok(Ok(best));
                    }
                }
                Err(error) => return Ok(Err(without_effect(error))),
            }
            making.look = false;
            if !can.idempotent_tokens {
                making.generation += 1;
                making.unsure = false;
            }
        }
        let token = self.announce(i, making.generation, &Value::Null).await?;
        let answer = self.create_once(i, cloud, spec, making, &token).await;
        if let Err(error) = &answer
            && error.effect() != Effect::None
        {
            making.look = true;
            making.unsure = true;
        }
        Ok(answer)
    }

    async fn create_once(
        &self,
        i: usize,
        cloud: &dyn Cloud,
        spec: &mut Spec,
        making: &Making,
        token: &ClientToken,
    ) -> Result<Resource> {
        let mut tags = making.own_tags.clone();
        let owned = self.ownership(i, token.clone())?.write(&mut tags);
        owned.map_err(without_effect)?;
        *spec.tags_mut() = tags;
        match timeout_at(making.deadline, spec.create(cloud, token)).await {
            Ok(answer) => answer,
            Err(_) => Err(Error::new(
                ErrorKind::Timeout,
                "the cloud did not answer within the step's time",
            )
            .with_retry(Retry::Never)),
        }
    }

    /// Waits until a resource is in service.
    async fn ready(
        &self,
        cloud: &dyn Cloud,
        made: Resource,
        deadline: Instant,
    ) -> Result<Resource> {
        if made.status.is_ready() {
            return Ok(made);
        }
        let id = &made.id;
        // A read may lag behind the create.
        let visible_by = Instant::now() + cloud.capabilities().consistency_window;
        let left = deadline.saturating_duration_since(Instant::now());
        let what = format!("{id} in service");
        wait_until(&what, &self.wait_options(left, &self.halt), || async {
            let now = match cloud.get_resource(id).await {
                Err(e) if e.kind() == ErrorKind::NotFound && Instant::now() <= visible_by => {
                    return Ok(None);
                }
                answer => answer?,
            };
            match now.status {
                ResourceStatus::Running => Ok(Some(now)),
                ResourceStatus::Creating | ResourceStatus::Updating | ResourceStatus::Unknown => {
                    Ok(None)
                }
                status => {
                    let reason = now.configuration["status_reason"].as_str();
                    let reason = reason.map(|r| format!(": {r}")).unwrap_or_default();
                    let message = format!("{id} is {status} instead of running{reason}");
                    Err(Error::new(ErrorKind::Internal, message)
                        .with_resource(id.to_string())
                        .with_hint("its cloud's console may say more"))
                }
            }
        })
        .await
    }

    async fn delete(
        &self,
        i: usize,
        cloud: &dyn Cloud,
        id: &ResourceId,
        options: &DeleteOptions,
    ) -> Result<Gave, Fault> {
        let began = Instant::now();
        let window = cloud.capabilities().consistency_window;
        let timeout = self.options().step_timeout;
        let mut attempts = self.attempts(i, self.options().patience, &self.halt);
        loop {
            self.announce(i, 1, &Value::Null).await?;
            let removed = self.remove(cloud, id, options, timeout, &self.halt);
            let Err(error) = removed.await else {
                let gone = CatalogChange::Remove { cloud: cloud.id().clone(), id: id.clone() };
                return Ok(Gave { catalog: vec![gone], ..Gave::default() });
            };
            // What used it may be gone, and still be seen.
            let lag = error.kind() == ErrorKind::Conflict && began.elapsed() <= window * 2;
            let passes = lag || error.retry() != Retry::Never || error.effect() != Effect::None;
            let halted = error.kind() == ErrorKind::Cancelled && self.halt.is_cancelled();
            if halted || !passes || !attempts.pause(&error).await {
                return Err(error.with_effect(Effect::Unknown).into());
            }
            self.retrying(i, error);
        }
    }

    async fn adopt(&self, i: usize, cloud: &dyn Cloud, id: &ResourceId) -> Result<Gave, Fault> {
        self.announce(i, 1, &Value::Null).await?;
        let there = self
            .patiently(i, || async {
                let there = cloud.get_resource(id).await?;
                if there.status.is_gone() {
                    return Err(Error::not_found(id));
                }
                Ok(there)
            })
            .await?;
        Ok(self.owned(i, id.clone(), outputs(&there)))
    }

    async fn call(&self, i: usize, handler: &str, input: &Value) -> Result<Gave, Fault> {
        let step = &self.plan.steps[i];
        let handler = self.handlers().get(handler).map_err(without_effect)?;
        let cloud = self.cloud(&step.cloud).map_err(without_effect)?;
        let input = &self.fill(input).map_err(without_effect)?;
        let (begun, mut before) =
            self.at(i, |p| (matches!(p.state, StepState::Started), p.before.clone()));
        if !begun {
            let look = Call { cloud, input, before: &Value::Null };
            before = self.patiently(i, || handler.prepare(&look)).await?;
        }
        let call = Call { cloud, input, before: &before };
        let deadline = Instant::now() + self.options().step_timeout;
        let mut attempts = self.attempts(i, self.options().patience, &self.halt);
        loop {
            self.announce(i, 1, &before).await?;
            let answer = timeout_at(deadline, handler.apply(&call)).await;
            let error = match answer {
                Ok(Ok(applied)) => {
                    return Ok(Gave {
                        id: None,
                        outputs: applied.outputs,
                        catalog: applied.catalog,
                    });
                }
                Ok(Err(error)) => error,
                Err(_) => Error::new(ErrorKind::Timeout, "it did not end within the step's time")
                    .with_retry(Retry::Never)
                    .with_effect(Effect::None),
            };
            // Handlers are idempotent, so an unknown effect may be repeated.
            let passes = error.retry() != Retry::Never || error.effect() != Effect::None;
            if !passes || !attempts.pause(&error).await {
                return Err(error.with_effect(Effect::Unknown).into());
            }
            self.retrying(i, error);
        }
    }

    /// Repeats what changes nothing until it is answered.
    pub(super) async fn patiently<T, F, Fut>(&self, i: usize, mut ask: F) -> Result<T>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T>>,
    {
        let mut attempts = self.attempts(i, self.options().patience, &self.halt);
        loop {
            let error = match ask().await {
                Ok(answer) => return Ok(answer),
                Err(error) => without_effect(error),
            };
            if error.retry() == Retry::Never || !attempts.pause(&error).await {
                return Err(error);
            }
            self.retrying(i, error);
        }
    }

    fn retrying(&self, i: usize, error: Error) {
        let step = self.plan.steps[i].id.as_str();
        tracing::debug!(step, %error, "goes on after an error");
        self.tell(|| ApplyEvent::StepRetrying { step: step.into(), error });
    }

    fn owned(&self, i: usize, id: ResourceId, outputs: Outputs) -> Gave {
        let generation = self.at(i, |p| p.generation);
        let owned = super::outcome::own(self.plan, i, generation, id.clone());
        Gave { id: Some(id), outputs, catalog: owned.into_iter().map(CatalogChange::Put).collect() }
    }
}

/// To look changes nothing, whatever went wrong with it.
fn without_effect(error: Error) -> Error {
    error.with_effect(Effect::None)
}

/// Of several resources that one step made, the one to keep: in service before on its way, and always the same one.
fn best(mut found: Vec<Resource>) -> Option<Resource> {
    found.retain(|r| !r.status.is_gone());
    found.sort_by(|a, b| {
        let rank = |r: &Resource| (!r.status.is_ready(), r.status == ResourceStatus::Failed);
        rank(a).cmp(&rank(b)).then_with(|| a.id.cmp(&b.id))
    });
    found.into_iter().next()
}

/// What a resource gives to later steps.
fn outputs(resource: &Resource) -> Outputs {
    let mut outputs = Outputs::from([
        ("id".to_owned(), resource.id.to_string()),
        ("name".to_owned(), resource.name.clone()),
        ("region".to_owned(), resource.region.to_string()),
    ]);
    let fields = &resource.configuration;
    let mut give = |name: &str, value: &Value| {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => return,
        };
        outputs.insert(name.to_owned(), text);
    };
    match resource.id.kind {
        ResourceKind::Instance => {
            give("address", &fields["addresses"][0]);
            let ports = fields["ports"].as_object();
            for (variable, port) in ports.into_iter().flatten() {
                give(&port_output(variable), port);
            }
            if let Some((_, port)) = ports.filter(|p| p.len() == 1).and_then(|p| p.iter().next()) {
                give("port", port);
            }
        }
        ResourceKind::Database => {
            give("host", &fields["host"]);
            give("port", &fields["port"]);
        }
        ResourceKind::Cluster => give("endpoint", &fields["endpoint"]),
        _ => {}
    }
    outputs
}

//! Finding what an attempt of unknown effect has made: by its token, in a complete listing, until every change must show.

use std::time::Duration;

use cloud_core::{
    Cloud, CloudExt, DeleteOptions, ErrorKind, ListQuery, Ownership, Region, Resource, ResourceId,
    ResourceKind, ResourceQuery, ResourceStatus, Result, wait_until,
};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{event::PlanEvent, runner::Runner};
use crate::engine::{plan::Action, progress::ApplyEvent};

impl Runner<'_> {
    /// What step `i` has made so far. With nothing found, looks again until `window` is over: only then is
    /// an empty answer a proof.
    ///
    /// # Errors
    /// The listing's. It has no effect.
    pub(super) async fn find(
        &self,
        i: usize,
        cloud: &dyn Cloud,
        kind: ResourceKind,
        region: &Region,
        window: Duration,
    ) -> Result<Vec<Resource>> {
        let step = &self.plan.steps[i].id;
        let mut tags = Ownership::filter_deployment(&self.plan.deployment)?;
        tags.insert(Ownership::STEP, step)?;
        let query = ResourceQuery {
            kind: Some(kind),
            list: ListQuery { region: Some(region.clone()), tags, name: None },
            ..ResourceQuery::default()
        };
        let sure_at = Instant::now() + window;
        loop {
            let listed = cloud.list_resources(&query).complete().await?;
            let ours =
                |r: &Resource| r.status != ResourceStatus::Deleted && self.made_by(i, r).is_some();
            let found: Vec<_> = listed.into_items().into_iter().filter(ours).collect();
            let left = sure_at.saturating_duration_since(Instant::now());
            if !found.is_empty() || left.is_zero() {
                return Ok(found);
            }
            sleep((window / 4).max(Duration::from_millis(1)).min(left)).await;
        }
    }

    /// The generation that made a resource, if it was step `i` of this plan.
    fn made_by(&self, i: usize, resource: &Resource) -> Option<u32> {
        let token = Ownership::read(&resource.tags)?.token;
        let last = self.at(i, |p| p.generation);
        (1..=last).find(|generation| self.token(i, *generation) == token)
    }

    /// Deletes a resource and waits until it is gone.
    ///
    /// # Errors
    /// The cloud's; [`Timeout`](ErrorKind::Timeout) after `patience`.
    pub(super) async fn remove(
        &self,
        cloud: &dyn Cloud,
        id: &ResourceId,
        options: &DeleteOptions,
        patience: Duration,
        stop: &CancellationToken,
    ) -> Result<()> {
        match cloud.delete_resource(id, options).await {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        }
        let what = format!("{id} gone");
        wait_until(&what, &self.wait_options(patience, stop), || async {
            match cloud.get_resource(id).await {
                Ok(there) => Ok((there.status == ResourceStatus::Deleted).then_some(())),
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(Some(())),
                Err(error) => Err(error),
            }
        })
        .await
    }

    /// Removes what a repeated request made a second time, where the cloud does not see to that itself: whatever bears a
    /// token of this plan and is not what the plan knows of. What cannot be removed now is left to be found as an orphan.
    ///
    /// # Errors
    /// The journal's only.
    pub(super) async fn sweep(&self) -> Result<()> {
        let mut clouds = std::collections::BTreeSet::new();
        for (i, step) in self.plan.steps.iter().enumerate() {
            let tried = self.at(i, |p| p.generation > 0);
            if tried && matches!(step.action, Action::Create { .. }) {
                clouds.insert(&step.cloud);
            }
        }
        for id in clouds {
            let Ok(cloud) = self.cloud(id) else {
                continue;
            };
            if !cloud.capabilities().idempotent_tokens {
                self.sweep_cloud(&**cloud).await?;
            }
        }
        Ok(())
    }

    async fn sweep_cloud(&self, cloud: &dyn Cloud) -> Result<()> {
        sleep(cloud.capabilities().consistency_window).await;
        let stop = CancellationToken::new();
        let patience = self.options().patience;
        let query = ResourceQuery::tagged(Ownership::filter_deployment(&self.plan.deployment)?);
        let wait = self.wait_options(patience, &stop);
        let listed = wait_until("a listing for duplicates", &wait, || async {
            cloud.list_resources(&query).complete().await.map(Some)
        });
        let listed = match listed.await {
            Ok(listed) => listed.into_items(),
            Err(error) => {
                tracing::warn!(cloud = %cloud.id(), %error, "cannot look for duplicates; orphans() will");
                return Ok(());
            }
        };
        for resource in listed {
            let Some(i) = self.duplicated(cloud, &resource) else {
                continue;
            };
            let step = self.plan.steps[i].id.as_str();
            self.tell(|| ApplyEvent::DuplicateFound { step: step.into() });
            let found = PlanEvent::DuplicateFound {
                step: step.into(),
                cloud: cloud.id().clone(),
                id: resource.id.clone(),
            };
            self.write(&found, Vec::new()).await?;
            let all = DeleteOptions { with_contents: true };
            let mut attempts = self.attempts(i, patience, &stop);
            while let Err(error) = self.remove(cloud, &resource.id, &all, patience, &stop).await {
                if !attempts.pause(&error).await {
                    tracing::warn!(cloud = %cloud.id(), id = %resource.id, %error, "a duplicate is left; orphans() will find it");
                    break;
                }
                self.write(&found, Vec::new()).await?;
            }
        }
        Ok(())
    }

    /// The step that made this resource without knowing of it.
    fn duplicated(&self, cloud: &dyn Cloud, resource: &Resource) -> Option<usize> {
        if resource.status.is_gone() {
            return None;
        }
        let step = Ownership::read(&resource.tags)?.step;
        let i = *self.graph.index.get(step.as_str())? as usize;
        self.made_by(i, resource)?;
        let known = self.at(i, |p| p.state.is_done() && p.id.as_ref() == Some(&resource.id));
        (!known && self.plan.steps[i].cloud == *cloud.id()).then_some(i)
    }
}

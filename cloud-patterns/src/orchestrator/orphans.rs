//! Orphans: what bears our tags, and neither the catalog nor an unfinished plan knows.

use std::collections::{BTreeMap, HashSet};

use cloud_core::{
    ClientToken, Cloud, CloudExt, CloudId, DeleteOptions, Error, Listing, Ownership, Region,
    Resource, ResourceQuery, ResourceStatus, Result,
};
use jiff::Timestamp;

use super::Orchestrator;
use crate::{
    engine::{
        plan::Plan,
        saga::PlanState,
        store::{OwnedResource, StoreExt},
    },
    planner::{self, PlanOptions},
};

/// Something that nobody owns.
#[derive(Clone, Debug)]
pub struct Orphan {
    /// The cloud that it is in.
    pub cloud: CloudId,
    /// The resource.
    pub resource: Resource,
    /// Whose it was, by its tags.
    pub owner: Ownership,
    /// Whether it may be removed without asking.
    pub expired: bool,
}

/// A place that could not be listed, so that what is in it is unknown.
#[derive(Clone, Debug)]
pub struct Unlisted {
    /// The cloud.
    pub cloud: CloudId,
    /// The region; `None` if not even the regions are known.
    pub region: Option<Region>,
    /// Why.
    pub error: Error,
}

/// What a search for orphans found.
///
/// ```
/// use cloud_patterns::orchestrator::Orphans;
/// fn nothing_is_left(orphans: &Orphans) -> bool {
///     orphans.found.is_empty() && orphans.unlisted.is_empty()
/// }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Orphans {
    /// What nobody owns.
    pub found: Vec<Orphan>,
    /// Where could not be looked.
    pub unlisted: Vec<Unlisted>,
}

impl Orchestrator {
    /// Looks through all regions of all clouds for resources that bear our tags and that nobody owns. Changes nothing. Another store's
    /// deployments look like orphans from here: give each store clouds (accounts) of its own.
    ///
    /// # Errors
    /// The store's. A place that cannot be listed is in the answer.
    pub async fn orphans(&self) -> Result<Orphans> {
        let mut orphans = Orphans::default();
        let mut tagged = Vec::new();
        for cloud in self.clouds.iter() {
            list_tagged(&**cloud, &mut tagged, &mut orphans.unlisted).await;
        }
        // In this order: what a plan has finished since the listing is in the catalog by now.
        let claims = self.claims(&tagged).await?;
        let catalog = self.store.catalog(None).complete().await?;
        let known: HashSet<_> = catalog.items().iter().map(|o| (&o.cloud, &o.id)).collect();
        let now = Timestamp::now();
        for (cloud, resource, owner) in tagged {
            if known.contains(&(&cloud, &resource.id)) || claims.contains(&owner.token) {
                continue;
            }
            orphans.found.push(Orphan {
                expired: owner.expires_at.is_some_and(|at| at <= now),
                cloud,
                resource,
                owner,
            });
        }
        Ok(orphans)
    }

    /// The plan that deletes orphans. Apply it with [`apply_within`](Self::apply_within) if they are many.
    ///
    /// # Errors
    /// As for [`planner::destroy`].
    pub fn remove_orphans(&self, orphans: &Orphans, how: &DeleteOptions) -> Result<Plan> {
        let mut options = PlanOptions::new("orphans");
        options.delete_contents = how.with_contents;
        options.purpose = Some(format!("remove {} orphans", orphans.found.len()));
        options.owned = (orphans.found.iter())
            .map(|orphan| OwnedResource {
                cloud: orphan.cloud.clone(),
                id: orphan.resource.id.clone(),
                deployment: options.deployment.clone(),
                component: orphan.owner.deployment.clone(),
                plan: options.id.clone(),
                step: orphan.owner.step.clone(),
                token: orphan.owner.token.clone(),
            })
            .collect();
        planner::destroy(&options)
    }

    /// The tokens of unfinished plans, of the deployments that these resources say they belong to.
    async fn claims(
        &self,
        tagged: &[(CloudId, Resource, Ownership)],
    ) -> Result<HashSet<ClientToken>> {
        let executor = self.executor();
        let mut steps: BTreeMap<&str, Vec<&Ownership>> = BTreeMap::new();
        for (_, _, owner) in tagged {
            steps.entry(&owner.deployment).or_default().push(owner);
        }
        let mut claims = HashSet::new();
        for (deployment, owners) in steps {
            for plan in executor.unfinished(deployment).await? {
                if let Some(state) = executor.state(&plan).await? {
                    claim(&state, &owners, &mut claims);
                }
            }
        }
        Ok(claims)
    }
}

fn claim(state: &PlanState, owners: &[&Ownership], claims: &mut HashSet<ClientToken>) {
    let progress = state.plan.steps.iter().zip(&state.steps);
    let last: BTreeMap<&str, u32> =
        progress.map(|(step, p)| (step.id.as_str(), p.generation)).collect();
    for owner in owners {
        let last = last.get(owner.step.as_str()).copied().unwrap_or(0);
        let token = |generation| ClientToken::derive(&state.plan.id, &owner.step, generation);
        if (1..=last).any(|generation| token(generation) == owner.token) {
            claims.insert(owner.token.clone());
        }
    }
}

/// Lists each region on its own, so that one that is down does not hide the others.
async fn list_tagged(
    cloud: &dyn Cloud,
    tagged: &mut Vec<(CloudId, Resource, Ownership)>,
    unlisted: &mut Vec<Unlisted>,
) {
    let mut not_listed = |region: Option<Region>, error: Error| {
        unlisted.push(Unlisted { cloud: cloud.id().clone(), region, error });
    };
    let regions = match cloud.regions().await {
        Ok(regions) => regions,
        Err(error) => return not_listed(None, error),
    };
    for info in regions {
        let mut query = ResourceQuery::default();
        query.list.region = Some(info.region.clone());
        let listing: Listing<'_, Resource> = cloud.list_resources(&query);
        match listing.complete().await {
            Ok(listed) => {
                let ours = listed.into_items().into_iter().filter_map(|resource| {
                    let owner = Ownership::read(&resource.tags)?;
                    let there = !matches!(
                        resource.status,
                        ResourceStatus::Deleting | ResourceStatus::Deleted
                    );
                    there.then(|| (cloud.id().clone(), resource, owner))
                });
                tagged.extend(ours);
            }
            Err(error) => not_listed(Some(info.region), error),
        }
    }
}

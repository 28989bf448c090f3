//! What a run has left: the clouds, the catalog and the plan held against each other.

use std::collections::{BTreeMap, BTreeSet};

use cloud_core::{CloudExt, CloudId, Ownership, ResourceId, ResourceQuery, Result};
use tokio::time::sleep;

use crate::engine::{
    clouds::Clouds,
    plan::{Action, Plan},
    store::{Store, StoreExt},
};

/// What was found to be wrong.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) orphans: usize,
    pub(super) duplicates: usize,
    pub(super) words: Vec<String>,
}

type Place = (CloudId, ResourceId);

/// Looks at everything of the plan's deployment. `there`: every step's resource is to be there, else none.
pub(super) async fn audit(
    store: &dyn Store,
    clouds: &Clouds,
    plan: &Plan,
    there: bool,
) -> Result<Findings> {
    let mut findings = Findings::default();
    let found = tagged(clouds, &plan.deployment).await?;
    let catalog: BTreeSet<Place> = catalog(store, &plan.deployment).await?;
    let mut by_step: BTreeMap<&str, usize> = BTreeMap::new();
    for (place, owner) in &found {
        *by_step.entry(&owner.step).or_default() += 1;
        if !there || !catalog.contains(place) {
            findings.orphans += 1;
            let words = format!("{}/{} of step '{}' is left", place.0, place.1, owner.step);
            findings.words.push(words);
        }
    }
    for (step, count) in by_step.iter().filter(|(_, count)| **count > 1) {
        findings.duplicates += count - 1;
        findings.words.push(format!("step '{step}' made {count}"));
    }
    let mut wanted = found.keys().cloned().collect::<BTreeSet<_>>();
    for step in plan.steps.iter().filter(|_| there) {
        match &step.action {
            Action::Create { .. } if !by_step.contains_key(step.id.as_str()) => {
                findings.words.push(format!("step '{}' made nothing", step.id));
            }
            Action::Adopt { id } => {
                wanted.insert((step.cloud.clone(), id.clone()));
            }
            _ => {}
        }
    }
    for (cloud, id) in catalog.difference(&wanted) {
        let words = format!("the catalog has {cloud}/{id}, and no cloud does");
        findings.words.push(words);
    }
    Ok(findings)
}

/// Everything that bears the tags of a deployment, over all clouds and regions.
async fn tagged(clouds: &Clouds, deployment: &str) -> Result<BTreeMap<Place, Ownership>> {
    let query = ResourceQuery::tagged(Ownership::filter_deployment(deployment)?);
    let mut found = BTreeMap::new();
    for cloud in clouds.iter() {
        sleep(cloud.capabilities().consistency_window).await;
        let listed = cloud.list_resources(&query).complete().await?;
        for resource in listed.into_items() {
            if let Some(owner) = Ownership::read(&resource.tags)
                && !resource.status.is_gone()
            {
                found.insert((cloud.id().clone(), resource.id), owner);
            }
        }
    }
    Ok(found)
}

async fn catalog(store: &dyn Store, deployment: &str) -> Result<BTreeSet<Place>> {
    let owned = store.catalog(Some(deployment)).complete().await?;
    let places = owned.into_items().into_iter().map(|o| (o.cloud, o.id));
    Ok(places.collect())
}

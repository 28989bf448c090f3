//! Adoption: taking a resource that is there already into a deployment.

use cloud_core::{CloudId, Error, ErrorKind, ResourceId, Result};

use super::Orchestrator;
use crate::{
    engine::{
        plan::{Action, Plan, Step},
        store::StoreExt,
    },
    planner::PlanOptions,
};

impl Orchestrator {
    /// The plan that takes a resource into a deployment as one of a component's. The resource itself is not changed, so it
    /// bears no tags of ours; from then on [`destroy`](Self::destroy) deletes it too.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if it is not there; [`AlreadyExists`](ErrorKind::AlreadyExists) if a deployment owns it; [`InvalidInput`](ErrorKind::InvalidInput)
    /// for a wrong name; any of its cloud's and of the store's.
    pub async fn adopt(
        &self,
        deployment: &str,
        component: &str,
        cloud: &CloudId,
        id: &ResourceId,
    ) -> Result<Plan> {
        let there = self.clouds.get(cloud)?.get_resource(id).await?;
        if there.status.is_gone() {
            return Err(Error::not_found(id));
        }
        let owned = self.store.catalog(None).complete().await?;
        let mut taken = Vec::new();
        for owned in owned.items() {
            if owned.cloud == *cloud && owned.id == *id {
                let message = format!("{cloud}/{id} belongs to '{}' already", owned.deployment);
                return Err(Error::new(ErrorKind::AlreadyExists, message));
            }
            if owned.deployment == deployment {
                taken.push(owned.step.as_str());
            }
        }
        let options = PlanOptions::new(deployment);
        let plan = Plan {
            id: options.id,
            deployment: deployment.to_owned(),
            purpose: format!("adopt {id} into {deployment}"),
            created_at: options.now,
            steps: vec![Step {
                id: free_name(component, &taken),
                component: component.to_owned(),
                cloud: cloud.clone(),
                action: Action::Adopt { id: id.clone() },
                depends_on: Vec::new(),
                monthly_cost: None,
            }],
            choices: Vec::new(),
        };
        self.executor().check(&plan)?;
        Ok(plan)
    }
}

/// The name that the planner would give the component's next replica.
fn free_name(component: &str, taken: &[&str]) -> String {
    if !taken.contains(&component) {
        return component.to_owned();
    }
    let numbered = (2u64..).map(|n| format!("{component}-{n}"));
    let mut free = numbered.filter(|name| !taken.contains(&name.as_str()));
    free.next().unwrap_or_default()
}

//! What a deployment owns, and how each of it fares just now.

use cloud_core::{Resource, Result};
use futures::{StreamExt, stream};

use super::Orchestrator;
use crate::engine::store::OwnedResource;

/// How many resources are asked for at once.
const CONCURRENCY: usize = 32;

/// A deployment as it is now.
///
/// ```
/// use cloud_patterns::orchestrator::DeploymentStatus;
/// fn all_well(status: &DeploymentStatus) -> bool {
///     status.unfinished.is_empty()
///         && status.resources.iter().all(|r| r.live.as_ref().is_ok_and(|live| live.status.is_ready()))
/// }
/// ```
#[derive(Clone, Debug)]
pub struct DeploymentStatus {
    /// Its name.
    pub deployment: String,
    /// All that it owns.
    pub resources: Vec<ResourceReport>,
    /// The ids of its plans that were begun and are not over, oldest first.
    pub unfinished: Vec<String>,
}

/// One owned resource.
#[derive(Clone, Debug)]
pub struct ResourceReport {
    /// What the catalog knows.
    pub owned: OwnedResource,
    /// What its cloud says: the resource, or why it does not show it.
    pub live: Result<Resource>,
}

impl Orchestrator {
    /// What a deployment owns, each with its live state, and its unfinished plans. A cloud that does not answer is no error: each
    /// of its resources says so.
    ///
    /// # Errors
    /// The store's.
    pub async fn status(&self, deployment: &str) -> Result<DeploymentStatus> {
        let owned = self.owned(deployment).await?;
        let looks = owned.into_iter().map(|owned| async move {
            let live = match self.clouds.get(&owned.cloud) {
                Ok(cloud) => cloud.get_resource(&owned.id).await,
                Err(error) => Err(error.with_hint("register the cloud to see its resources")),
            };
            ResourceReport { owned, live }
        });
        Ok(DeploymentStatus {
            deployment: deployment.to_owned(),
            resources: stream::iter(looks).buffered(CONCURRENCY).collect().await,
            unfinished: self.executor().unfinished(deployment).await?,
        })
    }
}

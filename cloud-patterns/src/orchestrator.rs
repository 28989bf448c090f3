//! The orchestrator: registered clouds, a store, and the verbs over both. Everything that changes a cloud is a plan first.

mod adopt;
mod drift;
mod expiry;
mod orphans;
mod status;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use cloud_core::{Cloud, DeleteOptions, Result};

pub use self::{
    drift::{Drift, DriftItem, DriftKind},
    orphans::{Orphan, Orphans, Unlisted},
    status::{DeploymentStatus, ResourceReport},
};
use crate::{
    engine::{
        action::{ActionHandler, Handlers},
        clouds::Clouds,
        plan::{BlastRadiusLimit, Plan},
        saga::{Executor, ExecutorOptions, Outcome, Run},
        store::{OwnedResource, Store, StoreExt},
    },
    place::observe,
    planner::{self, PlanOptions},
    workload::Workload,
};

/// Deploys workloads over the registered clouds, and keeps track of what is theirs.
///
/// A workload's name is the name of its deployment. What a method calls a plan can be shown (as a table, as JSON, as a graph)
/// before [`apply`](Self::apply) carries it out; only [`deploy_workload`](Self::deploy_workload) does both at once.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use std::sync::Arc;
/// use cloud_core::{DeleteOptions, SystemClock};
/// use cloud_patterns::{
///     engine::{plan::BlastRadiusLimit, saga::Run, store::SqliteStore},
///     orchestrator::Orchestrator, workload::{Format, Workload},
/// };
///
/// let store = Arc::new(SqliteStore::in_memory(Arc::new(SystemClock)).await?);
/// let mut orchestrator = Orchestrator::new(store);
/// orchestrator.register_provider(Arc::new(cloud_testkit::sim::SimCloud::new("sim", 1)))?;
///
/// let shop = Workload::from_text("{name: shop, components: [{name: assets, type: storage}]}", Format::Yaml)?;
/// let outcome = orchestrator.deploy_workload(&shop, &Run::default()).await?;
/// assert!(outcome.is_success());
/// assert!(orchestrator.drift("shop").await?.is_empty());
///
/// let removal = orchestrator.destroy("shop", &DeleteOptions::default()).await?;
/// let all = BlastRadiusLimit::default().for_destroy();
/// assert!(orchestrator.apply_within(&removal, &all, &Run::default()).await?.is_success());
/// assert!(orchestrator.orphans().await?.found.is_empty());
/// # Ok::<(), cloud_core::Error>(()) }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct Orchestrator {
    store: Arc<dyn Store>,
    clouds: Clouds,
    handlers: Handlers,
    options: ExecutorOptions,
}

impl Orchestrator {
    /// An orchestrator without clouds.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            clouds: Clouds::default(),
            handlers: Handlers::default(),
            options: ExecutorOptions::default(),
        }
    }

    /// The orchestrator with these options for carrying out plans.
    #[must_use]
    pub fn with_options(mut self, options: ExecutorOptions) -> Self {
        self.options = options;
        self
    }

    /// Registers a cloud under its own id.
    ///
    /// # Errors
    /// [`AlreadyExists`](cloud_core::ErrorKind::AlreadyExists) if another cloud has that id.
    pub fn register_provider(&mut self, cloud: Arc<dyn Cloud>) -> Result<()> {
        self.clouds.register(cloud)
    }

    /// Registers a handler for [`Action::Call`](crate::engine::plan::Action::Call) under its own name.
    ///
    /// # Errors
    /// [`AlreadyExists`](cloud_core::ErrorKind::AlreadyExists) if another handler has that name.
    pub fn register_handler(&mut self, handler: Arc<dyn ActionHandler>) -> Result<()> {
        self.handlers.register(handler)
    }

    /// The registered clouds.
    pub fn clouds(&self) -> &Clouds {
        &self.clouds
    }

    /// The handlers.
    pub fn handlers(&self) -> &Handlers {
        &self.handlers
    }

    /// Journal, catalog and leases.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// What carries out this orchestrator's plans.
    pub fn executor(&self) -> Executor {
        let store = Arc::clone(&self.store);
        Executor::new(store, self.clouds.clone(), self.options.clone())
            .with_handlers(self.handlers.clone())
    }

    /// What a deployment owns, as the catalog has it.
    ///
    /// # Errors
    /// The store's.
    pub async fn owned(&self, deployment: &str) -> Result<Vec<OwnedResource>> {
        let owned = self.store.catalog(Some(deployment)).complete().await?;
        Ok(owned.into_items())
    }

    /// The plan that makes the deployment what the workload says; empty if it is so already. What is missing or has failed is made
    /// again; what is in a region that does not answer is left alone: [`repair`](Self::repair) moves it.
    ///
    /// # Errors
    /// As for [`planner::plan`]; the store's.
    pub async fn plan(&self, workload: &Workload) -> Result<Plan> {
        let drift = self.drift(&workload.name).await?;
        let observation = observe(&self.clouds).await;
        let mut options = self.plan_options(&workload.name).await?;
        options.lost = drift.lost(false);
        options.unreachable = drift.unreachable();
        let mut plan = planner::plan(workload, &observation, &options)?;
        expiry::set(&mut plan, workload.expires_in);
        Ok(plan)
    }

    /// The plan that makes again, elsewhere if need be, what the drift shows to be lost. What is in a region that
    /// does not answer is given up there: it becomes an orphan, and is found as one when the region is back.
    ///
    /// # Errors
    /// As for [`planner::replace`]; the store's.
    pub async fn repair(&self, workload: &Workload, drift: &Drift) -> Result<Plan> {
        let observation = observe(&self.clouds).await;
        let mut options = self.plan_options(&workload.name).await?;
        options.lost = drift.lost(true);
        // What the catalog has lost since the drift was looked at is nobody's business any more.
        let owned =
            |key: &(_, _)| options.owned.iter().any(|o| (&o.cloud, &o.id) == (&key.0, &key.1));
        let still: Vec<_> = options.lost.iter().filter(|key| owned(key)).cloned().collect();
        options.lost = still.into_iter().collect();
        options.unreachable = drift.unreachable();
        let mut plan = planner::replace(workload, &observation, &options)?;
        expiry::set(&mut plan, workload.expires_in);
        Ok(plan)
    }

    /// The plan that deletes all that the deployment owns. It is beyond the default limit: apply it
    /// with [`apply_within`](Self::apply_within) and [`BlastRadiusLimit::for_destroy`].
    ///
    /// What is in a region that does not answer is given up, and found as an orphan when the region is back.
    ///
    /// # Errors
    /// The store's.
    pub async fn destroy(&self, deployment: &str, how: &DeleteOptions) -> Result<Plan> {
        let mut options = self.plan_options(deployment).await?;
        options.delete_contents = how.with_contents;
        options.unreachable = self.drift(deployment).await?.unreachable();
        planner::destroy(&options)
    }

    /// Plans, checks the workload's own limit, and carries out.
    ///
    /// # Errors
    /// As for [`plan`](Self::plan) and [`apply`](Self::apply).
    pub async fn deploy_workload(&self, workload: &Workload, run: &Run) -> Result<Outcome> {
        let plan = self.plan(workload).await?;
        self.apply_within(&plan, &workload.limits, run).await
    }

    /// Carries out a plan within the default [`BlastRadiusLimit`].
    ///
    /// That the plan fails is no error but an [`Outcome`]. Dropping the future stops it where it is: [`resume`](Self::resume) goes on.
    ///
    /// # Errors
    /// [`PolicyDenied`](cloud_core::ErrorKind::PolicyDenied) if it changes more; as for [`Executor::apply`].
    pub async fn apply(&self, plan: &Plan, run: &Run) -> Result<Outcome> {
        self.apply_within(plan, &BlastRadiusLimit::default(), run).await
    }

    /// [`apply`](Self::apply) within a limit of your own.
    ///
    /// # Errors
    /// As for [`apply`](Self::apply).
    pub async fn apply_within(
        &self,
        plan: &Plan,
        limit: &BlastRadiusLimit,
        run: &Run,
    ) -> Result<Outcome> {
        limit.validate()?;
        limit.check(plan, self.owned(&plan.deployment).await?.len())?;
        self.executor().apply(plan, run).await
    }

    /// Goes on with a plan that was begun, here or elsewhere. It was allowed when it was begun, so no limit is asked.
    ///
    /// # Errors
    /// As for [`Executor::resume`].
    pub async fn resume(&self, plan: &str, run: &Run) -> Result<Outcome> {
        self.executor().resume(plan, run).await
    }

    async fn plan_options(&self, deployment: &str) -> Result<PlanOptions> {
        let mut options = PlanOptions::new(deployment);
        options.owned = self.owned(deployment).await?;
        Ok(options)
    }
}

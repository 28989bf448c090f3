//! The cloud itself: opening it, what it can do, its services, and resources of any kind.

use std::{any::Any, fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use cloud_core::{
    Alphabet, Billing, BillingCapabilities, Capabilities, Cloud, CloudId, Compute,
    ComputeCapabilities, Database, DeleteOptions, Error, Functions, ListQuery, Metrics,
    MetricsCapabilities, NameRule, Network, Page, PageRequest, Provider, Quota, Region, RegionInfo,
    Resource, ResourceId, ResourceKind, ResourceQuery, Result, Storage, View,
};

use crate::{
    billing::LocalBilling,
    compute::LocalCompute,
    config::LocalConfig,
    database::LocalDatabase,
    functions::{self, LocalFunctions},
    listing::{cut, page_size, page_start},
    metrics::{self, LocalMetrics},
    network::{self, LocalNetwork},
    state::State,
    storage::{self, LocalStorage},
};

/// The rule for the names of everything here: names never become part of a path, so any will do.
pub(crate) const NAMES: NameRule =
    NameRule { min: 1, max: 255, alphabet: Alphabet::Any, alphanumeric_ends: false };

/// A cloud on this machine. Cheap to clone; clones are the same cloud.
///
/// Its [`native`](Cloud::native) handle is the `LocalCloud` itself, so that whoever holds an `Arc<dyn Cloud>` can take a
/// region [down](LocalCloud::take_down) and [up](LocalCloud::bring_up).
///
/// While a region is down, listings over all regions fail as listings of that region do: a listing that left it
/// out in silence would be taken for all there is.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use cloud_core::{Cloud, CloudId, Region};
/// use cloud_local::{LocalCloud, LocalConfig};
/// use std::sync::Arc;
///
/// let folder = tempfile::tempdir().unwrap();
/// let region = Region::new("eu-1").unwrap();
/// let config = LocalConfig::new(folder.path(), [region.clone()]);
/// let cloud: Arc<dyn Cloud> =
///     Arc::new(LocalCloud::open(CloudId::new("laptop").unwrap(), config).await.unwrap());
///
/// let local = cloud.native().downcast::<LocalCloud>().unwrap();
/// local.take_down(&region).await.unwrap();
/// assert!(!cloud.regions().await.unwrap()[0].available);
/// # });
/// ```
#[derive(Clone)]
pub struct LocalCloud {
    inner: Arc<Inner>,
}

impl fmt::Debug for LocalCloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let root = self.inner.config.root.display();
        write!(f, "LocalCloud({} in {root})", self.inner.state.id())
    }
}

struct Inner {
    state: Arc<State>,
    config: LocalConfig,
    capabilities: Capabilities,
    compute: Arc<LocalCompute>,
    storage: Arc<LocalStorage>,
    database: Arc<LocalDatabase>,
    network: Arc<LocalNetwork>,
    functions: Arc<LocalFunctions>,
    metrics: Arc<LocalMetrics>,
    billing: Arc<LocalBilling>,
}

impl LocalCloud {
    /// Opens a cloud, and makes its folders where they are not there yet. What it held before is there again:
    /// instances that still run are found, on this call's process or any other.
    ///
    /// # Errors
    /// [`InvalidInput`](cloud_core::ErrorKind::InvalidInput) for a wrong configuration; [`Corrupt`](cloud_core::ErrorKind::Corrupt) for a folder that
    /// is not a data folder, is damaged, or was written by a newer version; [`PermissionDenied`](cloud_core::ErrorKind::PermissionDenied)
    /// and [`StorageFull`](cloud_core::ErrorKind::StorageFull).
    ///
    /// ```
    /// # use cloud_core::{CloudId, Region, Result};
    /// # use cloud_local::{LocalCloud, LocalConfig};
    /// async fn laptop() -> Result<LocalCloud> {
    ///     let config = LocalConfig::new("/var/lib/clouds", [Region::new("eu-1")?, Region::new("us-1")?]);
    ///     LocalCloud::open(CloudId::new("laptop")?, config).await
    /// }
    /// ```
    pub async fn open(id: CloudId, config: LocalConfig) -> Result<Self> {
        if id.as_str().eq_ignore_ascii_case("lock") {
            let problem = "is the name of a file of the data folder";
            return Err(Error::invalid("cloud id", problem, "any other"));
        }
        config.validate()?;
        let state = State::open(id, &config).await?;
        let database = LocalDatabase::new(&state, &config)?;
        let database = Arc::new(database);
        let capabilities = capabilities(&config, &database);
        let inner = Inner {
            compute: Arc::new(LocalCompute::new(&state, &config)),
            storage: Arc::new(LocalStorage::new(&state)),
            database: database.clone(),
            network: Arc::new(LocalNetwork::new(&state)),
            functions: Arc::new(LocalFunctions::new(&state)),
            metrics: Arc::new(LocalMetrics::new(&state, &database)),
            billing: Arc::new(LocalBilling::new(&state, &config)),
            state,
            config,
            capabilities,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// What it was opened with.
    pub fn config(&self) -> &LocalConfig {
        &self.inner.config
    }

    pub(crate) fn state(&self) -> &Arc<State> {
        &self.inner.state
    }

    pub(crate) fn databases(&self) -> &LocalDatabase {
        &self.inner.database
    }

    /// One page of one kind, without its type. Kinds that are not on offer have none.
    async fn kind_page(
        &self,
        kind: ResourceKind,
        query: &ListQuery,
        page: &PageRequest,
    ) -> Result<Page<Resource>> {
        let inner = &*self.inner;
        match kind {
            ResourceKind::Instance => {
                self.plain(inner.compute.list_instances_page(query, page).await)
            }
            ResourceKind::Bucket => self.plain(inner.storage.list_buckets_page(query, page).await),
            ResourceKind::Database => {
                self.plain(inner.database.list_databases_page(query, page).await)
            }
            ResourceKind::Snapshot => {
                self.plain(inner.database.list_snapshots_page(query, page).await)
            }
            ResourceKind::Network => {
                self.plain(inner.network.list_networks_page(query, page).await)
            }
            ResourceKind::Firewall => {
                self.plain(inner.network.list_firewalls_page(query, page).await)
            }
            ResourceKind::Peering => {
                self.plain(inner.network.list_peerings_page(query, page).await)
            }
            ResourceKind::Function => {
                self.plain(inner.functions.list_functions_page(query, page).await)
            }
            _ => Ok(Page::last(Vec::new())),
        }
    }

    fn plain<V: View>(&self, page: Result<Page<V>>) -> Result<Page<Resource>> {
        Ok(page?.map(|view| self.resource(&view)))
    }

    fn resource(&self, view: &impl View) -> Resource {
        view.to_resource(self.inner.state.id(), Provider::Local)
    }
}

fn capabilities(config: &LocalConfig, database: &LocalDatabase) -> Capabilities {
    let databases = database.capabilities();
    let replicas = databases.engines.iter().any(|engine| engine.replicas);
    Capabilities {
        idempotent_tokens: true,
        consistency_window: Duration::ZERO,
        max_page_size: config.max_page_size,
        compute: Some(compute_capabilities(config)),
        storage: Some(storage::capabilities()),
        database: Some(databases),
        network: Some(network::capabilities()),
        kubernetes: None,
        functions: Some(functions::capabilities()),
        metrics: Some(MetricsCapabilities {
            metrics: metrics::offered(replicas),
            retention: Duration::ZERO,
        }),
        dns: None,
        billing: Some(BillingCapabilities { prices: config.prices.is_some(), costs: false }),
    }
}

pub(crate) fn compute_capabilities(config: &LocalConfig) -> ComputeCapabilities {
    ComputeCapabilities {
        names: NAMES,
        unique_names: true,
        stop_start: true,
        reboot: true,
        console_output: true,
        zones: config.regions.iter().any(|r| !r.zones.is_empty()),
        spot: false,
        // Memory is limited for each process, not for all of them together; vCPUs are not.
        enforced_limits: false,
    }
}

#[async_trait]
impl Cloud for LocalCloud {
    fn id(&self) -> &CloudId {
        self.inner.state.id()
    }

    fn provider(&self) -> Provider {
        Provider::Local
    }

    fn capabilities(&self) -> &Capabilities {
        &self.inner.capabilities
    }

    fn native(&self) -> Arc<dyn Any + Send + Sync> {
        Arc::new(self.clone())
    }

    async fn regions(&self) -> Result<Vec<RegionInfo>> {
        let regions = self.inner.state.regions().iter();
        regions.map(|region| Ok(region.info(!self.is_down(&region.name)?))).collect()
    }

    fn compute(&self) -> Result<Arc<dyn Compute>> {
        Ok(self.inner.compute.clone())
    }

    fn storage(&self) -> Result<Arc<dyn Storage>> {
        Ok(self.inner.storage.clone())
    }

    fn database(&self) -> Result<Arc<dyn Database>> {
        Ok(self.inner.database.clone())
    }

    fn network(&self) -> Result<Arc<dyn Network>> {
        Ok(self.inner.network.clone())
    }

    fn functions(&self) -> Result<Arc<dyn Functions>> {
        Ok(self.inner.functions.clone())
    }

    fn metrics(&self) -> Result<Arc<dyn Metrics>> {
        Ok(self.inner.metrics.clone())
    }

    fn billing(&self) -> Result<Arc<dyn Billing>> {
        Ok(self.inner.billing.clone())
    }

    async fn list_resources_page(
        &self,
        query: &ResourceQuery,
        page: &PageRequest,
    ) -> Result<Page<Resource>> {
        let size = page_size(page, self.inner.config.max_page_size)?;
        let after = page_start(page)?;
        let mut kinds = ResourceKind::ALL.into_iter().filter(|k| query.wants(*k)).peekable();
        if let Some(after) = &after {
            while kinds.next_if(|k| *k != after.kind).is_some() {}
        }
        let mut after = page.after.clone();
        let mut items = Vec::new();
        for kind in kinds {
            loop {
                let most = u32::try_from(size + 1 - items.len()).unwrap_or(u32::MAX);
                let request = PageRequest { size: Some(most), after: after.take() };
                let more = self.kind_page(kind, &query.list, &request).await?;
                items.extend(more.items);
                if items.len() > size {
                    return cut(items, size, |item| &item.id);
                }
                after = more.next;
                if after.is_none() {
                    break;
                }
            }
        }
        Ok(Page::last(items))
    }

    async fn get_resource(&self, id: &ResourceId) -> Result<Resource> {
        let inner = &*self.inner;
        Ok(match id.kind {
            ResourceKind::Instance => self.resource(&inner.compute.get_instance(id).await?),
            ResourceKind::Bucket => self.resource(&inner.storage.get_bucket(id).await?),
            ResourceKind::Database => self.resource(&inner.database.get_database(id).await?),
            ResourceKind::Snapshot => self.resource(&inner.database.get_snapshot(id).await?),
            ResourceKind::Network => self.resource(&inner.network.get_network(id).await?),
            ResourceKind::Firewall => self.resource(&inner.network.get_firewall(id).await?),
            ResourceKind::Peering => self.resource(&inner.network.get_peering(id).await?),
            ResourceKind::Function => self.resource(&inner.functions.get_function(id).await?),
            _ => return Err(Error::not_found(id)),
        })
    }

    async fn delete_resource(&self, id: &ResourceId, options: &DeleteOptions) -> Result<bool> {
        let inner = &*self.inner;
        match id.kind {
            ResourceKind::Instance => inner.compute.delete_instance(id).await,
            ResourceKind::Bucket => inner.storage.delete_bucket(id, options).await,
            ResourceKind::Database => inner.database.delete_database(id).await,
            ResourceKind::Snapshot => inner.database.delete_snapshot(id).await,
            ResourceKind::Network => inner.network.delete_network(id).await,
            ResourceKind::Firewall => inner.network.delete_firewall(id).await,
            ResourceKind::Peering => inner.network.delete_peering(id).await,
            ResourceKind::Function => inner.functions.delete_function(id).await,
            _ => Ok(false),
        }
    }

    async fn quotas(&self, region: &Region) -> Result<Vec<Quota>> {
        self.inner.compute.quotas(region).await
    }
}

impl State {
    /// Says in an error which call of which cloud it comes from.
    pub(crate) fn in_call(&self, operation: &'static str) -> impl Fn(Error) -> Error + '_ {
        move |error| {
            let error = error.with_cloud(self.id(), Provider::Local);
            match error.operation() {
                Some(_) => error,
                None => error.with_operation(operation),
            }
        }
    }
}

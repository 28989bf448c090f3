//! The cloud itself: opening it, what it can do, its services, and resources of any kind.

use std::{any::Any, fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use cloud_core::{
    Billing, Capabilities, Cloud, CloudId, Compute, Database, DeleteOptions, Dns, Error, Functions,
    Kubernetes, ListQuery, Metrics, Network, Page, PageRequest, PageToken, Provider, Quota, Region,
    RegionInfo, Resource, ResourceId, ResourceKind, ResourceQuery, Result, Storage, View,
};

use crate::{
    account::{Account, MAX_PAGE},
    config::AwsConfig,
};

/// An AWS account in the regions that it is set up for. Cheap to clone; clones are the same cloud.
///
/// Its [`native`](Cloud::native) handle is the `AwsCloud` itself, so that whoever holds an `Arc<dyn Cloud>` reaches the SDK's
/// clients and what only AWS has.
///
/// A call is one attempt: neither the SDK nor this adapter repeats it. Put it behind the interceptors of
/// [`cloud_core::intercept`] for retries and time-outs.
///
/// ```no_run
/// # use std::sync::Arc;
/// # use cloud_core::{Cloud, CloudId, Region, Result};
/// # use cloud_aws::{AwsCloud, AwsConfig};
/// # async fn example() -> Result<()> {
/// let config = AwsConfig::new([Region::new("eu-central-1")?]);
/// let cloud: Arc<dyn Cloud> = Arc::new(AwsCloud::open(CloudId::new("aws")?, config).await?);
/// // The escape hatch, from anywhere:
/// let aws = cloud.native().downcast::<AwsCloud>();
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct AwsCloud {
    inner: Arc<Inner>,
}

struct Inner {
    account: Arc<Account>,
    capabilities: Capabilities,
    services: Services,
}

impl fmt::Debug for AwsCloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AwsCloud({})", self.inner.account.id)
    }
}

impl AwsCloud {
    /// Opens an account. Nothing is asked of AWS before the first call; the files of profiles are read.
    ///
    /// # Errors
    /// [`InvalidInput`](cloud_core::ErrorKind::InvalidInput) for a wrong configuration or a secret that cannot be read.
    ///
    /// ```no_run
    /// # use cloud_core::{CloudId, Region, Result};
    /// # use cloud_aws::{AwsCloud, AwsConfig};
    /// async fn production() -> Result<AwsCloud> {
    ///     let mut config = AwsConfig::new([Region::new("eu-central-1")?, Region::new("us-east-1")?]);
    ///     config.profile = Some("production".into());
    ///     AwsCloud::open(CloudId::new("aws")?, config).await
    /// }
    /// ```
    pub async fn open(id: CloudId, config: AwsConfig) -> Result<Self> {
        let account = Arc::new(Account::open(id, config).await?);
        let services = Services::new(&account);
        let capabilities = services.capabilities(&account);
        Ok(Self { inner: Arc::new(Inner { account, capabilities, services }) })
    }

    /// What it was opened with.
    pub fn config(&self) -> &AwsConfig {
        &self.inner.account.config
    }

    pub(crate) fn account(&self) -> &Arc<Account> {
        &self.inner.account
    }

    fn plain<V: View>(&self, page: Result<Page<V>>) -> Result<Page<Resource>> {
        Ok(page?.map(|view| self.resource(&view)))
    }

    fn resource(&self, view: &impl View) -> Resource {
        view.to_resource(&self.inner.account.id, Provider::Aws)
    }
}

/// Defines the services: the field, the type of this crate, the trait, and the feature that switches it on.
macro_rules! services {
    ($($(#[$doc:meta])* $name:ident: $module:ident::$service:ident as $trait:ident, $feature:literal, $own:ident;)*) => {
        struct Services {
            $(#[cfg(feature = $feature)] $name: Arc<crate::$module::$service>,)*
        }

        impl Services {
            fn new(account: &Arc<Account>) -> Self {
                let _ = account;
                Self { $(#[cfg(feature = $feature)] $name: Arc::new(crate::$module::$service::new(account)),)* }
            }

            // With every service switched on, nothing is left to be absent.
            #[allow(clippy::needless_update)]
            fn capabilities(&self, account: &Account) -> Capabilities {
                Capabilities {
                    idempotent_tokens: true,
                    // AWS promises no bound and shows most changes within seconds; what stands in for it reads what it writes.
                    consistency_window: match account.config.endpoint {
                        Some(_) => Duration::ZERO,
                        None => Duration::from_secs(60),
                    },
                    max_page_size: MAX_PAGE,
                    $(#[cfg(feature = $feature)] $name: Some(self.$name.capabilities()),)*
                    ..Capabilities::none()
                }
            }
        }

        impl AwsCloud {
            $($(#[$doc])*
            #[cfg(feature = $feature)]
            pub fn $own(&self) -> Arc<crate::$module::$service> {
                self.inner.services.$name.clone()
            })*
        }

        /// The services of a cloud that are switched on.
        macro_rules! accessors {
            () => {
                $(#[cfg(feature = $feature)]
                fn $name(&self) -> Result<Arc<dyn $trait>> {
                    Ok(self.inner.services.$name.clone())
                })*
            };
        }
    };
}

services! {
    /// Instances, with what only EC2 has.
    compute: compute::AwsCompute as Compute, "compute", aws_compute;
    /// Buckets, with what only S3 has.
    storage: storage::AwsStorage as Storage, "storage", aws_storage;
    /// Database servers, with what only RDS has.
    database: database::AwsDatabase as Database, "database", aws_database;
    /// Networks, with what only AWS has: gateways, VPN, load balancers.
    network: network::AwsNetwork as Network, "network", aws_network;
    /// Kubernetes clusters, with what only EKS has.
    kubernetes: kubernetes::AwsKubernetes as Kubernetes, "kubernetes", aws_kubernetes;
    /// Functions, with what only Lambda has.
    functions: functions::AwsFunctions as Functions, "functions", aws_functions;
    /// Metrics, with what only CloudWatch has.
    metrics: metrics::AwsMetrics as Metrics, "metrics", aws_metrics;
    /// DNS zones, with what only Route 53 has.
    dns: dns::AwsDns as Dns, "dns", aws_dns;
    /// Prices and costs, with what only AWS has.
    billing: billing::AwsBilling as Billing, "billing", aws_billing;
}

/// Defines what is done with a resource by its kind: the service that has it, and the methods of that service.
macro_rules! kinds {
    ($($kind:ident: $service:ident, $feature:literal, $list:ident, $get:ident, $delete:ident($($option:ident)?);)*) => {
        impl AwsCloud {
            /// One page of one kind, without its type. Kinds that are not on offer have none.
            async fn kind_page(
                &self,
                kind: ResourceKind,
                query: &ListQuery,
                page: &PageRequest,
            ) -> Result<Page<Resource>> {
                let _ = (query, page);
                match kind {
                    $(#[cfg(feature = $feature)]
                    ResourceKind::$kind => {
                        self.plain(self.inner.services.$service.$list(query, page).await)
                    })*
                    _ => Ok(Page::last(Vec::new())),
                }
            }

            async fn get_any(&self, id: &ResourceId) -> Result<Resource> {
                match id.kind {
                    $(#[cfg(feature = $feature)]
                    ResourceKind::$kind => {
                        Ok(self.resource(&self.inner.services.$service.$get(id).await?))
                    })*
                    _ => Err(Error::not_found(id)),
                }
            }

            async fn delete_any(&self, id: &ResourceId, options: &DeleteOptions) -> Result<bool> {
                let _ = options;
                match id.kind {
                    $(#[cfg(feature = $feature)]
                    ResourceKind::$kind => {
                        self.inner.services.$service.$delete(id $(, $option!(options))?).await
                    })*
                    _ => Ok(false),
                }
            }
        }
    };
}
macro_rules! options {
    ($options:expr) => {
        $options
    };
}

kinds! {
    Instance: compute, "compute", list_instances_page, get_instance, delete_instance();
    Bucket: storage, "storage", list_buckets_page, get_bucket, delete_bucket(options);
    Database: database, "database", list_databases_page, get_database, delete_database();
    Snapshot: database, "database", list_snapshots_page, get_snapshot, delete_snapshot();
    Network: network, "network", list_networks_page, get_network, delete_network();
    Firewall: network, "network", list_firewalls_page, get_firewall, delete_firewall();
    Peering: network, "network", list_peerings_page, get_peering, delete_peering();
    Cluster: kubernetes, "kubernetes", list_clusters_page, get_cluster, delete_cluster();
    Function: functions, "functions", list_functions_page, get_function, delete_function();
    HealthCheck: dns, "dns", list_health_checks_page, get_health_check, delete_health_check();
    DnsZone: dns, "dns", list_zones_page, get_zone, delete_zone();
}

/// The kind that a page of resources goes on with, and where in that kind.
fn read_cursor(page: &PageRequest) -> Result<Option<(ResourceKind, Option<PageToken>)>> {
    let Some(after) = &page.after else {
        return Ok(None);
    };
    let refused = || {
        Error::invalid("page token", format_args!("is '{after}'"), "what the page before returned")
    };
    let (kind, rest) = after.as_str().split_once(' ').ok_or_else(refused)?;
    let kind = kind.parse().map_err(|_| refused())?;
    let rest = (!rest.is_empty()).then(|| PageToken::new(rest)).transpose()?;
    Ok(Some((kind, rest)))
}

#[async_trait]
impl Cloud for AwsCloud {
    fn id(&self) -> &CloudId {
        &self.inner.account.id
    }

    fn provider(&self) -> Provider {
        Provider::Aws
    }

    fn capabilities(&self) -> &Capabilities {
        &self.inner.capabilities
    }

    fn native(&self) -> Arc<dyn Any + Send + Sync> {
        Arc::new(self.clone())
    }

    async fn regions(&self) -> Result<Vec<RegionInfo>> {
        let mut regions = Vec::new();
        for region in self.inner.account.regions() {
            // Without EC2 there is nobody to ask for zones.
            #[cfg_attr(not(any(feature = "compute", feature = "network")), allow(unused_mut))]
            let mut info = RegionInfo::new(region.clone());
            #[cfg(any(feature = "compute", feature = "network"))]
            match crate::vpc::zones(&self.inner.account, region).await {
                Ok(zones) => info.zones = zones,
                Err(error) if error.kind() == cloud_core::ErrorKind::Unavailable => {
                    info.available = false;
                }
                Err(error) => return Err(self.inner.account.in_call("cloud.regions")(error)),
            }
            regions.push(info);
        }
        Ok(regions)
    }

    accessors!();

    async fn list_resources_page(
        &self,
        query: &ResourceQuery,
        page: &PageRequest,
    ) -> Result<Page<Resource>> {
        crate::listing::page_size(page)?;
        let mut kinds = ResourceKind::ALL.into_iter().filter(|kind| query.wants(*kind)).peekable();
        let mut after = None;
        if let Some((kind, rest)) = read_cursor(page)? {
            while kinds.next_if(|k| *k != kind).is_some() {}
            after = rest;
        }
        while let Some(kind) = kinds.next() {
            let request = PageRequest { size: page.size, after: after.take() };
            let found = self.kind_page(kind, &query.list, &request).await?;
            let next = match (&found.next, kinds.peek()) {
                (Some(rest), _) => Some(PageToken::new(format!("{kind} {rest}"))?),
                (None, Some(kind)) => Some(PageToken::new(format!("{kind} "))?),
                (None, None) => None,
            };
            // A kind of which there is none is no page of its own.
            if !found.items.is_empty() || found.next.is_some() || next.is_none() {
                return Ok(Page { items: found.items, next });
            }
        }
        Ok(Page::last(Vec::new()))
    }

    async fn get_resource(&self, id: &ResourceId) -> Result<Resource> {
        self.get_any(id).await
    }

    async fn delete_resource(&self, id: &ResourceId, options: &DeleteOptions) -> Result<bool> {
        self.delete_any(id, options).await
    }

    async fn quotas(&self, region: &Region) -> Result<Vec<Quota>> {
        self.inner.account.check_region(region)?;
        #[cfg(feature = "quotas")]
        return crate::quotas::quotas(&self.inner.account, region)
            .await
            .map_err(self.inner.account.in_call("cloud.quotas"));
        #[cfg(not(feature = "quotas"))]
        Err(Error::unsupported("quotas: its feature 'quotas' is switched off"))
    }
}

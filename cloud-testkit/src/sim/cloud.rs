//! `Cloud` of the simulated cloud: services, resources of any kind, quotas.

use std::sync::Arc;

use async_trait::async_trait;
use cloud_core::{
    Billing, Capabilities, Cloud, CloudId, Compute, Database, DeleteOptions, Dns, Error, Functions,
    Kubernetes, Metrics, Network, Page, PageRequest, Provider, Quota, Region, RegionInfo, Resource,
    ResourceId, ResourceKind, ResourceQuery, ResourceType, Result, Storage,
};

use super::{SimCloud, offered};

macro_rules! services {
    ($($name:ident: $service:ident, $what:literal;)*) => {$(
        fn $name(&self) -> Result<Arc<dyn $service>> {
            offered!(self, $name, $what)?;
            Ok(Arc::new(self.clone()))
        }
    )*};
}

#[async_trait]
impl Cloud for SimCloud {
    fn id(&self) -> &CloudId {
        &self.0.id
    }

    fn provider(&self) -> Provider {
        self.0.provider
    }

    fn capabilities(&self) -> &Capabilities {
        &self.0.capabilities
    }

    fn native(&self) -> Arc<dyn std::any::Any + Send + Sync> {
        Arc::new(self.clone())
    }

    services! {
        compute: Compute, "compute";
        storage: Storage, "storage";
        database: Database, "databases";
        network: Network, "networks";
        kubernetes: Kubernetes, "kubernetes clusters";
        functions: Functions, "functions";
        metrics: Metrics, "metrics";
        dns: Dns, "DNS zones";
        billing: Billing, "billing";
    }

    async fn regions(&self) -> Result<Vec<RegionInfo>> {
        self.call("cloud.regions", None, |state, _| {
            let mut regions = self.0.regions.clone();
            for info in &mut regions {
                info.available = !state.faults.region_down(&info.region);
            }
            Ok(regions)
        })
        .await
    }

    async fn list_resources_page(
        &self,
        query: &ResourceQuery,
        page: &PageRequest,
    ) -> Result<Page<Resource>> {
        let region = query.list.region.as_ref();
        if let Some(region) = region {
            self.region(region)?;
        }
        self.call("cloud.list_resources", region, |state, now| {
            self.all_reachable(state, region)?;
            let wants = |kind| query.wants(kind);
            state.list(wants, query.kind, &query.list, page, now, |view| {
                Ok(view.to_resource(&self.0.id, self.0.provider))
            })
        })
        .await
    }

    async fn get_resource(&self, id: &ResourceId) -> Result<Resource> {
        self.call("cloud.get_resource", Some(&id.region), |state, now| {
            Ok(state.get(id, now)?.to_resource(&self.0.id, self.0.provider))
        })
        .await
    }

    async fn delete_resource(&self, id: &ResourceId, options: &DeleteOptions) -> Result<bool> {
        match id.kind {
            ResourceKind::Instance => self.delete_instance(id).await,
            ResourceKind::Bucket => self.delete_bucket(id, options).await,
            ResourceKind::Database => self.delete_database(id).await,
            ResourceKind::Snapshot => self.delete_snapshot(id).await,
            ResourceKind::Network => self.delete_network(id).await,
            ResourceKind::Firewall => self.delete_firewall(id).await,
            ResourceKind::Peering => self.delete_peering(id).await,
            ResourceKind::Cluster => self.delete_cluster(id).await,
            ResourceKind::Function => self.delete_function(id).await,
            ResourceKind::HealthCheck => self.delete_health_check(id).await,
            ResourceKind::DnsZone => self.delete_zone(id).await,
            other => Err(Error::unsupported(format_args!("deleting a {other}"))),
        }
    }

    async fn quotas(&self, region: &Region) -> Result<Vec<Quota>> {
        self.region(region)?;
        self.call("cloud.quotas", Some(region), |state, _| {
            let here = state
                .limits
                .iter()
                .filter(|(_, place, _)| place.as_ref().is_none_or(|p| p == region));
            Ok(here
                .map(|(name, place, limit)| Quota {
                    name: name.clone(),
                    resource_type: family(name),
                    region: place.clone(),
                    limit: *limit,
                    used: Some(state.used(name, place.as_ref())),
                })
                .collect())
        })
        .await
    }
}

fn family(quota: &str) -> ResourceType {
    match quota {
        Quota::BUCKETS => ResourceType::Storage,
        Quota::DATABASES => ResourceType::Database,
        Quota::NETWORKS => ResourceType::Network,
        Quota::FUNCTIONS => ResourceType::Serverless,
        Quota::CLUSTERS => ResourceType::Container,
        _ => ResourceType::Compute,
    }
}

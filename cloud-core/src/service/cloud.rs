//! `Cloud`: identity, capabilities, the services on offer, and resources of any type.

use std::{any::Any, fmt::Debug, sync::Arc};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{
    Billing, Compute, Database, Dns, Functions, Kubernetes, Metrics, Network, Storage, listings,
};
use crate::{
    Capabilities, CloudId, Error, Page, PageRequest, Provider, Quota, Region, RegionInfo, Resource,
    ResourceId, ResourceQuery, Result,
};

/// How to delete.
///
/// ```
/// // By default a bucket that still has objects is not deleted.
/// assert!(!cloud_core::DeleteOptions::default().with_contents);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeleteOptions {
    /// Delete what is inside too: the objects of a bucket. Without it, a bucket with objects is refused
    /// with [`Conflict`](crate::ErrorKind::Conflict).
    #[serde(default)]
    pub with_contents: bool,
}

/// One registered cloud: an account at a provider, in all the regions that it is set up for.
///
/// Cheap to share as `Arc<dyn Cloud>`; every handle that it gives out may be used from many tasks at once.
///
/// ```
/// # use cloud_core::{Cloud, CloudExt, ResourceQuery, ResourceType, Result};
/// async fn count_instances(cloud: &dyn Cloud) -> Result<usize> {
///     let query = ResourceQuery::of_type(ResourceType::Compute);
///     Ok(cloud.list_resources(&query).complete().await?.items().len())
/// }
/// ```
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Cloud: Debug + Send + Sync {
    /// The name it is registered under.
    fn id(&self) -> &CloudId;

    /// Who provides it.
    fn provider(&self) -> Provider;

    /// What it can do. Constant for the life of the value, and known without I/O.
    fn capabilities(&self) -> &Capabilities;

    /// The escape hatch: what the adapter documents as its native handle (its SDK clients), to be taken with
    /// [`Arc::downcast`]. `()` where there is none.
    fn native(&self) -> Arc<dyn Any + Send + Sync> {
        Arc::new(())
    }

    /// The regions that it is set up for.
    ///
    /// # Errors
    /// Any; a region that is down is not an error but listed with `available: false`.
    async fn regions(&self) -> Result<Vec<RegionInfo>>;

    /// Instances.
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported) if not offered; likewise for the other services.
    fn compute(&self) -> Result<Arc<dyn Compute>> {
        Err(Error::unsupported("compute"))
    }

    /// Buckets.
    ///
    /// # Errors
    /// As for [`compute`](Self::compute).
    fn storage(&self) -> Result<Arc<dyn Storage>> {
        Err(Error::unsupported("storage"))
    }

    /// Database servers.
    ///
    /// # Errors
    /// As for [`compute`](Self::compute).
    fn database(&self) -> Result<Arc<dyn Database>> {
        Err(Error::unsupported("databases"))
    }

    /// Networks.
    ///
    /// # Errors
    /// As for [`compute`](Self::compute).
    fn network(&self) -> Result<Arc<dyn Network>> {
        Err(Error::unsupported("networks"))
    }

    /// Kubernetes clusters.
    ///
    /// # Errors
    /// As for [`compute`](Self::compute).
    fn kubernetes(&self) -> Result<Arc<dyn Kubernetes>> {
        Err(Error::unsupported("kubernetes clusters"))
    }

    /// Functions.
    ///
    /// # Errors
    /// As for [`compute`](Self::compute).
    fn functions(&self) -> Result<Arc<dyn Functions>> {
        Err(Error::unsupported("functions"))
    }

    /// Metrics.
    ///
    /// # Errors
    /// As for [`compute`](Self::compute).
    fn metrics(&self) -> Result<Arc<dyn Metrics>> {
        Err(Error::unsupported("metrics"))
    }

    /// DNS zones.
    ///
    /// # Errors
    /// As for [`compute`](Self::compute).
    fn dns(&self) -> Result<Arc<dyn Dns>> {
        Err(Error::unsupported("DNS zones"))
    }

    /// Prices and costs.
    ///
    /// # Errors
    /// As for [`compute`](Self::compute).
    fn billing(&self) -> Result<Arc<dyn Billing>> {
        Err(Error::unsupported("billing"))
    }

    /// One page of the resources of all services, or of those that the query names. See [`CloudExt::list_resources`].
    ///
    /// # Errors
    /// Any. A kind of resource that this cloud does not offer is not an error: there are none.
    async fn list_resources_page(
        &self,
        query: &ResourceQuery,
        page: &PageRequest,
    ) -> Result<Page<Resource>>;

    /// One resource.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound), or any.
    async fn get_resource(&self, id: &ResourceId) -> Result<Resource>;

    /// Deletes a resource of any kind. `true` if it was there.
    ///
    /// # Errors
    /// [`Conflict`](crate::ErrorKind::Conflict) while something else depends on it, or if it holds contents and
    /// `options` does not include them; or any.
    async fn delete_resource(&self, id: &ResourceId, options: &DeleteOptions) -> Result<bool>;

    /// The limits that apply in a region, account-wide ones included.
    ///
    /// # Errors
    /// Any.
    async fn quotas(&self, region: &Region) -> Result<Vec<Quota>>;
}

listings! {
    /// Sugar over [`Cloud`].
    CloudExt: Cloud {
        /// The resources of all services, or of those that the query names.
        list_resources by list_resources_page(ResourceQuery) -> Resource;
    }
}

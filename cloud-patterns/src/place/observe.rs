//! What the clouds say of themselves just now: regions, instance types, prices, quotas.

use cloud_core::{
    BillingExt, Capabilities, Cloud, CloudId, ComputeExt, Error, ErrorKind, InstanceType,
    ListQuery, Price, PriceQuery, Provider, Quota, RegionInfo, Result,
};
use futures::{StreamExt, future, stream};
use serde::{Deserialize, Serialize};

use crate::engine::clouds::Clouds;

/// How many regions are asked at once.
const CONCURRENCY: usize = 32;

/// What was observed, ordered by cloud.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// The clouds.
    pub clouds: Vec<ObservedCloud>,
}

/// One cloud.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ObservedCloud {
    /// Its id.
    pub id: CloudId,
    /// Who provides it.
    pub provider: Provider,
    /// What it can do.
    pub capabilities: Capabilities,
    /// Its regions, or why it did not say.
    pub regions: Result<Vec<ObservedRegion>, String>,
}

/// One region. What could not be read is absent, and the reason is in `errors`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ObservedRegion {
    /// What its cloud says of it.
    pub info: RegionInfo,
    /// The instance types on offer; `None` if unknown.
    pub instance_types: Option<Vec<InstanceType>>,
    /// The list prices; `None` if unknown.
    pub prices: Option<Vec<Price>>,
    /// The limits that apply; `None` if unknown.
    pub quotas: Option<Vec<Quota>>,
    /// What went wrong while it was read.
    pub errors: Vec<String>,
}

/// Asks all clouds at once. One that does not answer is recorded as such, and keeps nobody from using the others.
///
/// Changes nothing; dropping the future is safe. How long a cloud may take is the business of its time-out interceptor.
///
/// ```
/// use cloud_patterns::{engine::clouds::Clouds, place::{Observation, observe}};
/// async fn look(clouds: &Clouds) -> Observation {
///     observe(clouds).await
/// }
/// ```
pub async fn observe(clouds: &Clouds) -> Observation {
    let clouds = clouds.iter().map(|cloud| observe_cloud(&**cloud));
    Observation { clouds: future::join_all(clouds).await }
}

async fn observe_cloud(cloud: &dyn Cloud) -> ObservedCloud {
    let regions = match cloud.regions().await {
        Ok(regions) => {
            let regions = regions.into_iter().map(|info| observe_region(cloud, info));
            Ok(stream::iter(regions).buffered(CONCURRENCY).collect().await)
        }
        Err(error) => Err(error.to_string()),
    };
    ObservedCloud {
        id: cloud.id().clone(),
        provider: cloud.provider(),
        capabilities: cloud.capabilities().clone(),
        regions,
    }
}

async fn observe_region(cloud: &dyn Cloud, info: RegionInfo) -> ObservedRegion {
    let mut region = ObservedRegion {
        info,
        instance_types: None,
        prices: None,
        quotas: None,
        errors: Vec::new(),
    };
    // One that is down has nothing to say, and may take long not to say it.
    if !region.info.available {
        return region;
    }
    let (types, prices, quotas) = future::join3(
        instance_types(cloud, &region.info),
        prices(cloud, &region.info),
        cloud.quotas(&region.info.region),
    )
    .await;
    region.instance_types = known(types, &mut region.errors);
    region.prices = known(prices, &mut region.errors);
    region.quotas = known(quotas, &mut region.errors);
    region
}

async fn instance_types(cloud: &dyn Cloud, info: &RegionInfo) -> Result<Vec<InstanceType>> {
    let query = ListQuery { region: Some(info.region.clone()), ..ListQuery::default() };
    let compute = cloud.compute()?;
    let types = compute.list_instance_types(&query).complete().await?;
    Ok(types.into_items())
}

async fn prices(cloud: &dyn Cloud, info: &RegionInfo) -> Result<Vec<Price>> {
    let query = PriceQuery { region: Some(info.region.clone()), ..PriceQuery::default() };
    let billing = cloud.billing()?;
    let prices = billing.list_prices(&query).complete().await?;
    Ok(prices.into_items())
}

/// What is not offered is unknown too, but nothing went wrong.
fn known<T>(answer: Result<T, Error>, errors: &mut Vec<String>) -> Option<T> {
    match answer {
        Ok(value) => Some(value),
        Err(error) => {
            if error.kind() != ErrorKind::Unsupported {
                errors.push(error.to_string());
            }
            None
        }
    }
}

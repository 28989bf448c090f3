//! `Billing`: list prices, and what was spent.

use std::{collections::BTreeMap, fmt::Debug};

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::listings;
use crate::{CloudId, Error, Money, Page, PageRequest, Region, ResourceType, Result};

/// What a price is for one of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PriceUnit {
    /// An hour.
    Hour,
    /// A GiB kept for a month (730 hours).
    GibMonth,
    /// A GiB transferred.
    Gib,
    /// A million requests.
    MillionRequests,
}

/// Under which terms a price holds.
///
/// ```
/// assert_eq!(cloud_core::Purchase::default(), cloud_core::Purchase::OnDemand);
/// ```
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Purchase {
    /// No commitment.
    #[default]
    OnDemand,
    /// May be taken away at any time.
    Spot,
    /// With a commitment of a year.
    Reserved,
}

/// Which prices to list.
///
/// ```
/// # use cloud_core::{PriceQuery, ResourceType};
/// let query = PriceQuery { resource_type: Some(ResourceType::Compute), ..PriceQuery::default() };
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PriceQuery {
    /// Only this region.
    pub region: Option<Region>,
    /// Only this family.
    pub resource_type: Option<ResourceType>,
    /// Only this item: an instance type, a storage class.
    pub sku: Option<String>,
}

impl PriceQuery {
    /// Whether a price is asked for.
    pub fn matches(&self, price: &Price) -> bool {
        self.region.as_ref().is_none_or(|r| *r == price.region)
            && self.resource_type.is_none_or(|t| t == price.resource_type)
            && self.sku.as_ref().is_none_or(|s| *s == price.sku)
    }
}

/// A list price.
///
/// ```
/// # use cloud_core::{Price, PriceUnit};
/// fn is_hourly(price: &Price) -> bool { price.unit == PriceUnit::Hour }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Price {
    /// What it is the price of: an instance type, a storage class.
    pub sku: String,
    /// The family it belongs to.
    pub resource_type: ResourceType,
    /// Where it holds.
    pub region: Region,
    /// What it is for one of.
    pub unit: PriceUnit,
    /// How much.
    pub price: Money,
    /// Under which terms.
    pub purchase: Purchase,
    /// Since when it holds, or when it was read.
    pub as_of: Timestamp,
}

/// By what to split costs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CostGroup {
    /// By the provider's name of the service.
    Service,
    /// By region.
    Region,
    /// By the value of a tag.
    Tag(String),
}

/// Which costs.
///
/// ```
/// # use cloud_core::{CostGroup, CostQuery};
/// let query = CostQuery {
///     from: "2026-01-01T00:00:00Z".parse().unwrap(),
///     to: "2026-02-01T00:00:00Z".parse().unwrap(),
///     group_by: vec![CostGroup::Service],
/// };
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CostQuery {
    /// From when. Providers bill by the day: the time of day is dropped.
    pub from: Timestamp,
    /// Until when, exclusive.
    pub to: Timestamp,
    /// By what to split them; empty for the sum.
    #[serde(default)]
    pub group_by: Vec<CostGroup>,
}

/// What was spent on one group.
///
/// ```
/// # use cloud_core::CostItem;
/// fn service(item: &CostItem) -> Option<&str> { item.group.get("service").map(String::as_str) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CostItem {
    /// Where.
    pub cloud: CloudId,
    /// The group: `service`, `region` or the tag's key, and its value.
    pub group: BTreeMap<String, String>,
    /// How much.
    pub cost: Money,
    /// Whether the provider may still change it.
    pub estimated: bool,
}

/// Prices and costs. See [the rules that all services share](crate::service).
///
/// ```
/// # use cloud_core::{Billing, BillingExt, Price, PriceQuery, Result};
/// async fn all_prices(billing: &dyn Billing) -> Result<Vec<Price>> {
///     Ok(billing.list_prices(&PriceQuery::default()).complete().await?.into_items())
/// }
/// ```
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Billing: Debug + Send + Sync {
    /// One page of the list prices. See [`BillingExt::list_prices`].
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported), or any.
    async fn list_prices_page(&self, query: &PriceQuery, page: &PageRequest)
    -> Result<Page<Price>>;

    /// What was spent.
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported), or any.
    async fn query_costs(&self, query: &CostQuery) -> Result<Vec<CostItem>> {
        let _ = query;
        Err(Error::unsupported("costs"))
    }
}

listings! {
    /// Sugar over [`Billing`].
    BillingExt: Billing {
        /// The list prices that match. What has no known price is absent.
        list_prices by list_prices_page(PriceQuery) -> Price;
    }
}

//! `Billing`: the prices that the configuration states. What was spent on this machine, nobody knows.

use std::sync::Arc;

use async_trait::async_trait;
use cloud_core::{
    Billing, Decimal, Error, ErrorKind, Money, Page, PageRequest, Price, PriceQuery, PriceUnit,
    Purchase, Region, ResourceType, Result,
};
use jiff::Timestamp;

use crate::{
    compute::types::TYPES,
    config::{LocalConfig, LocalPrices},
    listing::page_of,
    state::State,
};

#[derive(Debug)]
pub(crate) struct LocalBilling {
    state: Arc<State>,
    prices: Option<LocalPrices>,
    /// When the prices were read.
    as_of: Timestamp,
}

impl LocalBilling {
    pub(crate) fn new(state: &Arc<State>, config: &LocalConfig) -> Self {
        Self { state: state.clone(), prices: config.prices.clone(), as_of: Timestamp::now() }
    }

    fn page(&self, query: &PriceQuery, page: &PageRequest) -> Result<Page<Price>> {
        let Some(prices) = &self.prices else {
            return Err(Error::unsupported("prices, as its configuration states none"));
        };
        if let Some(region) = &query.region {
            self.state.region(region)?;
        }
        let mut all = Vec::new();
        for region in self.state.regions() {
            all.extend(self.in_region(prices, &region.name)?);
        }
        all.retain(|price| query.matches(price));
        page_of(all, page, self.state.max_page_size())
    }

    fn in_region(&self, prices: &LocalPrices, region: &Region) -> Result<Vec<Price>> {
        let mut all = Vec::new();
        let mut add = |sku: &str, resource_type, unit, amount| {
            all.push(Price {
                sku: sku.to_owned(),
                resource_type,
                region: region.clone(),
                unit,
                price: Money::usd(amount),
                purchase: Purchase::OnDemand,
                as_of: self.as_of,
            });
        };
        if let (Some(vcpu), Some(gib)) = (prices.vcpu_hour, prices.gib_hour) {
            for (name, vcpus, gibs) in TYPES {
                add(name, ResourceType::Compute, PriceUnit::Hour, hourly(vcpu, vcpus, gib, gibs)?);
            }
        }
        for (sku, resource_type, unit, amount) in [
            ("storage", ResourceType::Storage, PriceUnit::GibMonth, prices.storage_gib_month),
            ("database", ResourceType::Database, PriceUnit::Hour, prices.database_hour),
            (
                "function",
                ResourceType::Serverless,
                PriceUnit::MillionRequests,
                prices.million_calls,
            ),
        ] {
            if let Some(amount) = amount {
                add(sku, resource_type, unit, amount);
            }
        }
        Ok(all)
    }
}

fn hourly(vcpu: Decimal, vcpus: u32, gib: Decimal, gibs: u64) -> Result<Decimal> {
    let sum = || vcpu.checked_mul(vcpus.into())?.checked_add(gib.checked_mul(gibs.into())?);
    sum().ok_or_else(|| {
        Error::new(ErrorKind::InvalidInput, "prices.vcpu_hour or prices.gib_hour is too large")
    })
}

#[async_trait]
impl Billing for LocalBilling {
    async fn list_prices_page(
        &self,
        query: &PriceQuery,
        page: &PageRequest,
    ) -> Result<Page<Price>> {
        self.page(query, page).map_err(self.state.in_call("billing.list_prices"))
    }
}

//! `Billing` of the simulated cloud: list prices that a script can change, and what instances cost.

use std::collections::BTreeMap;

use async_trait::async_trait;
use cloud_core::{
    Billing, CostGroup, CostItem, CostQuery, Decimal, Error, Instance, Money, Page, PageRequest,
    Price, PriceQuery, PriceUnit, Purchase, Region, ResourceType, Result,
};
use jiff::Timestamp;

use super::{SimBuilder, SimCloud, compute::page_of, offered, views::AnyView};

/// What everything costs now.
#[derive(Debug)]
pub(super) struct PriceBook(Vec<Price>);

/// The spot price, as a share of the on-demand price: 3 tenths.
fn spot(hourly: Decimal) -> Decimal {
    hourly * Decimal::new(3, 1)
}

impl PriceBook {
    pub(super) fn new(builder: &SimBuilder) -> Self {
        let mut prices = Vec::new();
        for info in &builder.regions {
            let price = |sku: &str, resource_type, unit, amount, purchase| Price {
                sku: sku.to_owned(),
                resource_type,
                region: info.region.clone(),
                unit,
                price: Money::usd(amount),
                purchase,
                as_of: builder.start,
            };
            for t in &builder.types {
                prices.push(price(
                    &t.name,
                    ResourceType::Compute,
                    PriceUnit::Hour,
                    t.hourly,
                    Purchase::OnDemand,
                ));
                prices.push(price(
                    &t.name,
                    ResourceType::Compute,
                    PriceUnit::Hour,
                    spot(t.hourly),
                    Purchase::Spot,
                ));
            }
            let kept = Decimal::new(2, 2);
            prices.push(price(
                "sim.standard",
                ResourceType::Storage,
                PriceUnit::GibMonth,
                kept,
                Purchase::OnDemand,
            ));
            let hourly = Decimal::new(5, 2);
            prices.push(price(
                "sim.database",
                ResourceType::Database,
                PriceUnit::Hour,
                hourly,
                Purchase::OnDemand,
            ));
            let cluster = Decimal::new(1, 1);
            prices.push(price(
                "sim.cluster",
                ResourceType::Container,
                PriceUnit::Hour,
                cluster,
                Purchase::OnDemand,
            ));
            let calls = Decimal::new(2, 1);
            prices.push(price(
                "sim.function",
                ResourceType::Serverless,
                PriceUnit::MillionRequests,
                calls,
                Purchase::OnDemand,
            ));
        }
        Self(prices)
    }

    pub(super) fn set(
        &mut self,
        instance_type: &str,
        region: Option<&Region>,
        hourly: Decimal,
        at: Timestamp,
    ) {
        for price in &mut self.0 {
            let meant =
                price.sku == instance_type && region.is_none_or(|region| *region == price.region);
            if meant {
                price.as_of = at;
                price.price.amount = match price.purchase {
                    Purchase::Spot => spot(hourly),
                    _ => hourly,
                };
            }
        }
    }

    fn hourly(&self, instance: &Instance) -> Decimal {
        let found = self.0.iter().find(|price| {
            price.sku == instance.instance_type
                && price.region == instance.id.region
                && price.purchase == Purchase::OnDemand
        });
        found.map_or(Decimal::ZERO, |price| price.price.amount)
    }
}

#[async_trait]
impl Billing for SimCloud {
    async fn list_prices_page(
        &self,
        query: &PriceQuery,
        page: &PageRequest,
    ) -> Result<Page<Price>> {
        if !offered!(self, billing, "billing")?.prices {
            return Err(Error::unsupported("list prices"));
        }
        self.call("billing.list_prices", query.region.as_ref(), |state, _| {
            let matching =
                state.prices.0.iter().filter(|price| query.matches(price)).cloned().collect();
            page_of(matching, page, state.page_size(page)?)
        })
        .await
    }

    /// The instances that exist now, each from its creation, at the price of now.
    async fn query_costs(&self, query: &CostQuery) -> Result<Vec<CostItem>> {
        if !offered!(self, billing, "billing")?.costs {
            return Err(Error::unsupported("costs"));
        }
        if query.from >= query.to {
            return Err(Error::invalid("from", format_args!("is {}", query.from), "before 'to'"));
        }
        self.call("billing.query_costs", None, |state, now| {
            let until = state.timestamp(now).min(query.to);
            let mut sums: BTreeMap<BTreeMap<String, String>, Decimal> = BTreeMap::new();
            for entry in state.living(now) {
                let AnyView::Instance(instance) = &entry.view else {
                    continue;
                };
                let since = instance.created_at.unwrap_or(query.from).max(query.from);
                let seconds = until.duration_since(since).as_secs().max(0);
                let cost =
                    state.prices.hourly(instance) * Decimal::from(seconds) / Decimal::from(3600);
                *sums.entry(group(instance, &query.group_by)).or_default() += cost;
            }
            let item = |(group, amount)| CostItem {
                cloud: self.0.id.clone(),
                group,
                cost: Money::usd(amount),
                estimated: true,
            };
            Ok(sums.into_iter().map(item).collect())
        })
        .await
    }
}

fn group(instance: &Instance, by: &[CostGroup]) -> BTreeMap<String, String> {
    let pair = |group: &CostGroup| match group {
        CostGroup::Service => ("service".to_owned(), "compute".to_owned()),
        CostGroup::Region => ("region".to_owned(), instance.id.region.to_string()),
        CostGroup::Tag(key) => (key.clone(), instance.tags.get(key).unwrap_or_default().to_owned()),
    };
    by.iter().map(pair).collect()
}

//! Billing: list prices, what was spent, and budgets.

use std::sync::Arc;

use async_trait::async_trait;
use cloud_core::{
    Billing, BillingCapabilities, CostItem, CostQuery, Decimal, Error, ErrorKind, Page,
    PageRequest, Price, PriceQuery, Result,
};
use tokio::sync::OnceCell;

use crate::account::Account;

mod budgets;
mod costs;
mod prices;

pub use budgets::{AwsBudget, AwsBudgetAlert, AwsBudgetPeriod, AwsBudgetSpec, AwsSubscriber};

/// [`Billing`] by the Price List, Cost Explorer and Budgets, which each have one place for all regions.
///
/// **Each request to Cost Explorer costs 0.01 USD**
/// ([Pricing](https://aws.amazon.com/aws-cost-management/aws-cost-explorer/pricing/)), and so does each further page of
/// one answer: [`query_costs`](Billing::query_costs) sums by the month to have few. The Price List and two budgets are
/// free of charge.
///
/// ```no_run
/// # use cloud_core::{Billing, CostGroup, CostItem, CostQuery, Result};
/// # use cloud_aws::AwsCloud;
/// async fn january(cloud: &AwsCloud) -> Result<Vec<CostItem>> {
///     let query = CostQuery {
///         from: "2026-01-01T00:00:00Z".parse().unwrap(),
///         to: "2026-02-01T00:00:00Z".parse().unwrap(),
///         group_by: vec![CostGroup::Service, CostGroup::Tag("team".into())],
///     };
///     cloud.aws_billing().query_costs(&query).await
/// }
/// ```
#[derive(Debug)]
pub struct AwsBilling {
    account: Arc<Account>,
    /// The number of the account, once it was asked for.
    number: OnceCell<String>,
}

impl AwsBilling {
    pub(crate) fn new(account: &Arc<Account>) -> Self {
        Self { account: account.clone(), number: OnceCell::new() }
    }

    pub(crate) fn capabilities(&self) -> BillingCapabilities {
        BillingCapabilities { prices: true, costs: true }
    }
}

#[async_trait]
impl Billing for AwsBilling {
    /// One page of the list prices: of instances (Linux, shared hardware) on demand and reserved for a year without
    /// payment in advance, of S3's storage classes (the first tier, where there are several), and of PostgreSQL servers
    /// of RDS in one zone. Without a region, of those that the cloud is set up for.
    async fn list_prices_page(
        &self,
        query: &PriceQuery,
        page: &PageRequest,
    ) -> Result<Page<Price>> {
        self.prices(query, page).await.map_err(self.account.in_call("billing.list_prices"))
    }

    /// What was spent, before taxes are split and without amortisation (AWS's `UnblendedCost`), in the time zone UTC. AWS
    /// groups by two things at most, and shows costs by tags that were activated for it. Costs go back 14 months.
    async fn query_costs(&self, query: &CostQuery) -> Result<Vec<CostItem>> {
        self.costs(query).await.map_err(self.account.in_call("billing.query_costs"))
    }
}

/// An amount as AWS writes it, which may have more digits than a decimal, or an exponent.
fn amount(text: &str) -> Result<Decimal> {
    let read = text.parse().or_else(|_| Decimal::from_scientific(text));
    read.map_err(|e| {
        Error::new(ErrorKind::Internal, format!("AWS says an amount of '{text}': {e}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_however_they_are_written() {
        for (text, wanted) in [
            ("0.0416000000", "0.0416"),
            ("1.2E-7", "0.00000012"),
            ("-3", "-3"),
            ("0.00000000012345678901234567890123", "0.0000000001234567890123456789"),
        ] {
            assert_eq!(amount(text).unwrap().normalize(), wanted.parse().unwrap(), "{text}");
        }
        assert!(amount("free").is_err());
    }
}

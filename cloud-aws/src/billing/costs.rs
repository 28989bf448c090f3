//! What was spent: Cost Explorer, summed over the time that is asked for.

use std::collections::BTreeMap;

use aws_sdk_costexplorer::types::{
    DateInterval, Granularity, Group, GroupDefinition, GroupDefinitionType, MetricValue,
    ResultByTime,
};
use cloud_core::{CostGroup, CostItem, CostQuery, Currency, Error, Money, Region, Result};
use jiff::{Timestamp, civil::Date, tz::TimeZone};

use super::{AwsBilling, amount};
use crate::error::{reads, unbuilt};

/// What is summed.
const METRIC: &str = "UnblendedCost";

/// The most things that Cost Explorer groups by
/// ([GetCostAndUsage](https://docs.aws.amazon.com/aws-cost-management/latest/APIReference/API_GetCostAndUsage.html)).
const MOST_GROUPS: usize = 2;

/// The sum of a group in one currency, and whether it may still change.
type Sums = BTreeMap<(BTreeMap<String, String>, Currency), (Money, bool)>;

impl AwsBilling {
    pub(super) async fn costs(&self, query: &CostQuery) -> Result<Vec<CostItem>> {
        if query.group_by.len() > MOST_GROUPS {
            let problem = format!("has {}", query.group_by.len());
            return Err(Error::invalid("group_by", problem, "at most 2, AWS's limit"));
        }
        let (from, to) = days(query)?;
        let interval = DateInterval::builder().start(from.to_string()).end(to.to_string());
        let groups = query.group_by.iter().map(definition).collect::<Vec<_>>();
        let request = self
            .account
            .costexplorer(&Region::new("us-east-1")?)?
            .get_cost_and_usage()
            .time_period(interval.build().map_err(unbuilt)?)
            .granularity(Granularity::Monthly)
            .metrics(METRIC)
            .set_group_by((!groups.is_empty()).then_some(groups));
        let mut sums = Sums::new();
        let mut next = None;
        loop {
            let page = request.clone().set_next_page_token(next).send().await;
            let page = page.map_err(reads("ce"))?;
            for result in page.results_by_time.iter().flatten() {
                add(&mut sums, &query.group_by, result)?;
            }
            match page.next_page_token.filter(|token| !token.is_empty()) {
                Some(token) => next = Some(token),
                None => break,
            }
        }
        let item = |((group, _), (cost, estimated))| CostItem {
            cloud: self.account.id.clone(),
            group,
            cost,
            estimated,
        };
        Ok(sums.into_iter().map(item).collect())
    }
}

/// The days that are asked for; the last is not among them.
fn days(query: &CostQuery) -> Result<(Date, Date)> {
    let day = |at: Timestamp| at.to_zoned(TimeZone::UTC).date();
    let (from, to) = (day(query.from), day(query.to));
    if from >= to {
        let problem = format!("is on {to}");
        return Err(Error::invalid("to", problem, "at least a day after 'from'"));
    }
    Ok((from, to))
}

fn definition(group: &CostGroup) -> GroupDefinition {
    let (kind, key) = match group {
        CostGroup::Service => (GroupDefinitionType::Dimension, "SERVICE"),
        CostGroup::Region => (GroupDefinitionType::Dimension, "REGION"),
        CostGroup::Tag(key) => (GroupDefinitionType::Tag, key.as_str()),
    };
    GroupDefinition::builder().r#type(kind).key(key).build()
}

/// Adds what was spent in one span of time.
fn add(sums: &mut Sums, by: &[CostGroup], result: &ResultByTime) -> Result<()> {
    let total = result.total.as_ref().and_then(|total| total.get(METRIC));
    if let Some(value) = total.filter(|_| by.is_empty()) {
        add_one(sums, BTreeMap::new(), value, result.estimated)?;
    }
    for group in result.groups() {
        let value = group.metrics.as_ref().and_then(|metrics| metrics.get(METRIC));
        if let Some(value) = value {
            add_one(sums, name(by, group), value, result.estimated)?;
        }
    }
    Ok(())
}

fn add_one(
    sums: &mut Sums,
    group: BTreeMap<String, String>,
    value: &MetricValue,
    estimated: bool,
) -> Result<()> {
    let currency = Currency::new(value.unit.as_deref().unwrap_or("USD"))?;
    let cost = Money {
        amount: amount(value.amount.as_deref().unwrap_or("0"))?,
        currency: currency.clone(),
    };
    let key = (group, currency);
    let sum = match sums.get(&key) {
        None => (cost, estimated),
        Some((sum, before)) => (sum.checked_add(&cost)?, *before || estimated),
    };
    sums.insert(key, sum);
    Ok(())
}

/// The group by our names. AWS puts a tag's key before its value, as `team$orders`.
fn name(by: &[CostGroup], group: &Group) -> BTreeMap<String, String> {
    let pairs = by.iter().zip(group.keys()).map(|(by, key)| match by {
        CostGroup::Service => ("service".to_owned(), key.clone()),
        CostGroup::Region => ("region".to_owned(), key.clone()),
        CostGroup::Tag(tag) => {
            let value = key.strip_prefix(tag).and_then(|rest| rest.strip_prefix('$'));
            (tag.clone(), value.unwrap_or(key).to_owned())
        }
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(amount: &str, unit: &str) -> MetricValue {
        MetricValue::builder().amount(amount).unit(unit).build()
    }

    #[test]
    fn spans_are_summed_by_group_and_currency() {
        let by = [CostGroup::Service, CostGroup::Tag("team".into())];
        let month = |estimated: bool, rows: &[(&str, &str, &str, &str)]| {
            let groups = rows.iter().map(|(service, tag, amount, unit)| {
                let group = Group::builder().keys(*service).keys(*tag);
                group.metrics(METRIC, value(amount, unit)).build()
            });
            let result = ResultByTime::builder().set_groups(Some(groups.collect()));
            result.estimated(estimated).build()
        };
        let mut sums = Sums::new();
        let first =
            month(false, &[("EC2", "team$orders", "1.25", "USD"), ("EC2", "team$", "2", "USD")]);
        let second =
            month(true, &[("EC2", "team$orders", "0.75", "USD"), ("S3", "team$a$b", "1", "CNY")]);
        for result in [first, second] {
            add(&mut sums, &by, &result).unwrap();
        }
        let read: Vec<_> = sums
            .into_iter()
            .map(|((group, _), (cost, estimated))| {
                (group["service"].clone(), group["team"].clone(), cost.to_string(), estimated)
            })
            .collect();
        let row = |a: &str, b: &str, c: &str, d| (a.to_owned(), b.to_owned(), c.to_owned(), d);
        let wanted = [
            row("EC2", "", "2 USD", false),
            row("EC2", "orders", "2.00 USD", true),
            row("S3", "a$b", "1 CNY", true),
        ];
        assert_eq!(read, wanted);
    }

    #[test]
    fn without_groups_the_total_counts() {
        let result = ResultByTime::builder().total(METRIC, value("7.5", "USD")).build();
        let mut sums = Sums::new();
        add(&mut sums, &[], &result).unwrap();
        let (cost, estimated) = sums.into_values().next().unwrap();
        assert_eq!((cost.to_string().as_str(), estimated), ("7.5 USD", false));
    }

    #[test]
    fn less_than_a_day_is_refused() {
        let query = |from: &str, to: &str| CostQuery {
            from: from.parse().unwrap(),
            to: to.parse().unwrap(),
            group_by: Vec::new(),
        };
        let (from, to) = days(&query("2026-01-01T23:00:00Z", "2026-01-02T01:00:00Z")).unwrap();
        assert_eq!(
            (from.to_string().as_str(), to.to_string().as_str()),
            ("2026-01-01", "2026-01-02")
        );
        assert!(days(&query("2026-01-01T00:00:00Z", "2026-01-01T23:00:00Z")).is_err());
    }
}

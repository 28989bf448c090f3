//! What concerns the cloud as a whole: regions, quotas, prices, costs, metrics, and what it does not offer.

use std::time::Duration;

use cloud_core::{
    BillingExt, Capabilities, CostGroup, CostQuery, Decimal, ErrorKind, MetricQuery, PriceQuery,
    Result as CoreResult,
};
use jiff::SignedDuration;

use super::{Context, Failure, Trial, ensure, subject, trial_list};

fn prices_declared(can: &Capabilities) -> bool {
    can.billing.as_ref().is_some_and(|billing| billing.prices)
}

fn costs_declared(can: &Capabilities) -> bool {
    can.billing.as_ref().is_some_and(|billing| billing.costs)
}

pub(super) fn trials() -> Vec<Trial> {
    trial_list! {
        "cloud.regions": "the harness's regions are among the cloud's, and available", |_| true => regions;
        "cloud.unsupported": "a service that is not declared answers Unsupported, one that is declared is there", |_| true => unsupported;
        "cloud.quotas": "quotas have a name and a limit, and use within reason", |_| true => quotas;
        "billing.prices": "prices are positive, of the region asked for, and each once", prices_declared => prices;
        "billing.costs": "costs are grouped as asked", costs_declared => costs;
        "billing.undeclared": "what billing does not declare is refused with Unsupported", |can| can.billing.is_some() => undeclared;
        "metrics.query": "points lie within the query, in order, and a resource that never was is NotFound", |can| can.metrics.is_some() && can.compute.is_some() => metrics;
    }
}

async fn regions(context: &Context<'_>) -> Result<(), Failure> {
    let regions = context.cloud.regions().await?;
    for wanted in
        [Some(context.region.clone()), context.harness.second_region()].into_iter().flatten()
    {
        let info = regions.iter().find(|info| info.region == wanted);
        ensure!(
            info.is_some_and(|info| info.available),
            "the region {wanted} is not there or not available"
        );
    }
    let mut names: Vec<_> = regions.iter().map(|info| info.region.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    ensure!(names.len() == regions.len(), "a region comes twice among {names:?}");
    for info in &regions {
        let on_earth =
            info.coordinates.is_none_or(|(lat, lon)| lat.abs() <= 90.0 && lon.abs() <= 180.0);
        ensure!(on_earth, "{} lies at {:?}", info.region, info.coordinates);
    }
    Ok(())
}

async fn unsupported(context: &Context<'_>) -> Result<(), Failure> {
    fn check<T>(name: &str, declared: bool, service: CoreResult<T>) -> Result<(), Failure> {
        match service {
            Ok(_) => ensure!(declared, "{name} is there although it is not declared"),
            Err(error) => {
                ensure!(!declared, "{name} is declared, but {error:?}");
                ensure!(
                    error.kind() == ErrorKind::Unsupported,
                    "{name} answers {error:?}, not Unsupported"
                );
            }
        }
        Ok(())
    }
    let (can, cloud) = (context.capabilities(), &context.cloud);
    check("compute", can.compute.is_some(), cloud.compute())?;
    check("storage", can.storage.is_some(), cloud.storage())?;
    check("database", can.database.is_some(), cloud.database())?;
    check("network", can.network.is_some(), cloud.network())?;
    check("kubernetes", can.kubernetes.is_some(), cloud.kubernetes())?;
    check("functions", can.functions.is_some(), cloud.functions())?;
    check("metrics", can.metrics.is_some(), cloud.metrics())?;
    check("dns", can.dns.is_some(), cloud.dns())?;
    check("billing", can.billing.is_some(), cloud.billing())?;
    // A kind that is not offered is no error of a listing: there are none.
    for kind in
        cloud_core::ResourceKind::ALL.into_iter().filter(|kind| !subject::offered(can, *kind))
    {
        let query = cloud_core::ResourceQuery { kind: Some(kind), ..Default::default() };
        let page = cloud.list_resources_page(&query, &Default::default()).await?;
        ensure!(
            page.items.is_empty(),
            "there are resources of the kind {kind}, which is not offered"
        );
    }
    Ok(())
}

async fn quotas(context: &Context<'_>) -> Result<(), Failure> {
    let quotas = context.cloud.quotas(&context.region).await?;
    for quota in &quotas {
        ensure!(!quota.name.is_empty(), "a quota has no name: {quota:?}");
        let here = quota.region.as_ref().is_none_or(|region| *region == context.region);
        ensure!(here, "a quota of another region is listed: {quota:?}");
        let twice =
            quotas.iter().filter(|q| (&q.name, &q.region) == (&quota.name, &quota.region)).count();
        ensure!(twice == 1, "the quota {} comes {twice} times", quota.name);
    }
    Ok(())
}

async fn prices(context: &Context<'_>) -> Result<(), Failure> {
    let billing = context.cloud.billing()?;
    let query = PriceQuery { region: Some(context.region.clone()), ..PriceQuery::default() };
    let prices = billing.list_prices(&query).complete().await?.into_items();
    let mut keys = std::collections::BTreeSet::new();
    for price in &prices {
        ensure!(query.matches(price), "the query does not ask for {price:?}");
        ensure!(price.price.amount >= Decimal::ZERO, "a price is negative: {price:?}");
        ensure!(!price.sku.is_empty(), "a price is of nothing: {price:?}");
        let key = (price.sku.clone(), price.resource_type, price.unit, price.purchase);
        ensure!(keys.insert(key), "a price comes twice: {price:?}");
    }
    let Some(one) = prices.first() else {
        return Ok(());
    };
    let query = PriceQuery { sku: Some(one.sku.clone()), ..query };
    let found = billing.list_prices(&query).complete().await?.into_items();
    ensure!(found.contains(one), "the price of {} is not found by its name", one.sku);
    ensure!(
        found.iter().all(|price| price.sku == one.sku),
        "a query by name finds other prices: {found:?}"
    );
    Ok(())
}

async fn costs(context: &Context<'_>) -> Result<(), Failure> {
    let to = jiff::Timestamp::now();
    let from = to.checked_sub(SignedDuration::from_hours(72)).unwrap_or(to);
    let query = CostQuery { from, to, group_by: vec![CostGroup::Region] };
    for item in context.cloud.billing()?.query_costs(&query).await? {
        ensure!(item.cloud == *context.cloud.id(), "a cost is of the cloud {}", item.cloud);
        ensure!(item.group.keys().eq(["region"]), "a cost is grouped by {:?}", item.group);
    }
    Ok(())
}

async fn undeclared(context: &Context<'_>) -> Result<(), Failure> {
    let billing = context.cloud.billing()?;
    let can = context.capabilities();
    if !prices_declared(can) {
        let answer = billing.list_prices_page(&PriceQuery::default(), &Default::default()).await;
        let kind = answer.err().map(|e| e.kind());
        ensure!(kind == Some(ErrorKind::Unsupported), "prices answer {kind:?}, not Unsupported");
    }
    if !costs_declared(can) {
        let to = jiff::Timestamp::now();
        let from = to.checked_sub(SignedDuration::from_hours(24)).unwrap_or(to);
        let kind = billing
            .query_costs(&CostQuery { from, to, group_by: vec![] })
            .await
            .err()
            .map(|e| e.kind());
        ensure!(kind == Some(ErrorKind::Unsupported), "costs answer {kind:?}, not Unsupported");
    }
    Ok(())
}

async fn metrics(context: &Context<'_>) -> Result<(), Failure> {
    let metrics = context.cloud.metrics()?;
    let compute = subject::of_kind(context, cloud_core::ResourceKind::Instance).await?;
    let instance = context.create_ready(&*compute, "a").await?;
    let Some(declared) = context.capabilities().metrics.as_ref() else {
        return Ok(());
    };
    let mut answered = 0;
    for metric in &declared.metrics {
        let now = instance.created_at.unwrap_or_else(jiff::Timestamp::now);
        let mut query =
            MetricQuery::last(instance.id.clone(), *metric, Duration::from_secs(3600), now);
        query.to = now.checked_add(SignedDuration::from_mins(10)).unwrap_or(now);
        let points = match metrics.query_metrics(&query).await {
            // A metric may be one of another kind of resource.
            Err(error) if error.kind() == ErrorKind::Unsupported => continue,
            answer => answer?,
        };
        answered += 1;
        let inside = points.iter().all(|p| p.at < query.to && p.value.is_finite());
        ensure!(
            inside,
            "{metric} has points outside of its query or that are no numbers: {points:?}"
        );
        ensure!(points.is_sorted_by(|a, b| a.at < b.at), "{metric} is not in order: {points:?}");
        query.from = query.to;
        let kind = metrics.query_metrics(&query).await.err().map(|e| e.kind());
        ensure!(
            kind == Some(ErrorKind::InvalidInput),
            "an empty span answers {kind:?}, not InvalidInput"
        );
    }
    ensure!(
        answered > 0 || declared.metrics.is_empty(),
        "no declared metric is one of an instance"
    );
    if let Some(metric) = declared.metrics.first() {
        let native = format!("{}-never-was", instance.id.native());
        let id = cloud_core::ResourceId::new(instance.id.kind, instance.id.region.clone(), native)?;
        let query =
            MetricQuery::last(id, *metric, Duration::from_secs(3600), jiff::Timestamp::now());
        let kind = metrics.query_metrics(&query).await.err().map(|e| e.kind());
        let good = [ErrorKind::NotFound, ErrorKind::InvalidInput, ErrorKind::Unsupported];
        ensure!(
            kind.is_some_and(|kind| good.contains(&kind)),
            "a resource that never was answers {kind:?}"
        );
    }
    Ok(())
}

//! What the whole stack of interceptors adds to a call: the same call bare and through the decorator, in one run.
//!
//! `cargo bench --bench overhead`. Aim: under a microsecond added.
#![allow(clippy::unwrap_used, missing_docs)]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use multicloud::core::{
    Capabilities, Cloud, CloudId, DeleteOptions, Error, MetricName, MetricPoint, MetricQuery,
    Metrics, Page, PageRequest, Provider, Quota, Region, RegionInfo, Resource, ResourceId,
    ResourceQuery, Result,
    intercept::{Chaos, ChaosRates, RetryPolicy, Stack},
};

/// A cloud that answers at once, so that only the way to it is measured.
#[derive(Debug)]
struct Instantly(CloudId, Capabilities);

#[derive(Debug)]
struct NoPoints;

#[async_trait]
impl Metrics for NoPoints {
    async fn query_metrics(&self, _: &MetricQuery) -> Result<Vec<MetricPoint>> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl Cloud for Instantly {
    fn id(&self) -> &CloudId {
        &self.0
    }
    fn provider(&self) -> Provider {
        Provider::Other
    }
    fn capabilities(&self) -> &Capabilities {
        &self.1
    }
    fn metrics(&self) -> Result<Arc<dyn Metrics>> {
        Ok(Arc::new(NoPoints))
    }
    async fn regions(&self) -> Result<Vec<RegionInfo>> {
        Ok(Vec::new())
    }
    async fn list_resources_page(
        &self,
        _: &ResourceQuery,
        _: &PageRequest,
    ) -> Result<Page<Resource>> {
        Ok(Page::last(Vec::new()))
    }
    async fn get_resource(&self, id: &ResourceId) -> Result<Resource> {
        Err(Error::not_found(id))
    }
    async fn delete_resource(&self, _: &ResourceId, _: &DeleteOptions) -> Result<bool> {
        Ok(false)
    }
    async fn quotas(&self, _: &Region) -> Result<Vec<Quota>> {
        Ok(Vec::new())
    }
}

/// The least time of a call in several rounds: the rounds above it were disturbed by others.
async fn nanoseconds_per_call(metrics: &dyn Metrics, query: &MetricQuery) -> f64 {
    const CALLS: u32 = 100_000;
    let mut least = Duration::MAX;
    for _ in 0..15 {
        let start = Instant::now();
        for _ in 0..CALLS {
            std::hint::black_box(metrics.query_metrics(std::hint::black_box(query)).await.unwrap());
        }
        least = least.min(start.elapsed());
    }
    least.as_nanos() as f64 / f64::from(CALLS)
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let cloud: Arc<dyn Cloud> =
        Arc::new(Instantly(CloudId::new("instantly").unwrap(), Capabilities::none()));
    let id: ResourceId = "instance/eu-1/web-1".parse().unwrap();
    let now = "2026-01-01T12:00:00Z".parse().unwrap();
    let query = MetricQuery::last(id, MetricName::CpuUtilization, Duration::from_secs(60), now);

    let bare = nanoseconds_per_call(&*cloud.metrics().unwrap(), &query).await;
    println!("{:<52} {bare:>7.0} ns", "bare call");
    let limit = 1_000_000_000;
    let stacks = [
        ("time-out", Stack::builder().timeout(Duration::from_secs(30))),
        ("retry", Stack::builder().retry(RetryPolicy::default())),
        ("rate limit", Stack::builder().rate_limit(limit, limit)),
        ("concurrency", Stack::builder().concurrency(64)),
        ("trace (no subscriber)", Stack::builder().trace()),
        ("metrics (no recorder)", Stack::builder().metrics()),
        (
            "all: trace, metrics, read-only, retry, rate limit, concurrency, time-out, chaos",
            Stack::builder()
                .trace()
                .metrics()
                .read_only()
                .retry(RetryPolicy::default())
                .rate_limit(limit, limit)
                .concurrency(64)
                .timeout(Duration::from_secs(30))
                .chaos(Chaos::new(1, ChaosRates::default())),
        ),
    ];
    for (name, stack) in stacks {
        let wrapped = stack.build().wrap(Arc::clone(&cloud)).metrics().unwrap();
        let with = nanoseconds_per_call(&*wrapped, &query).await;
        let added = with - bare;
        println!("{name:<80} {with:>7.0} ns, {added:>6.0} ns added, {:>6.1} times", with / bare);
    }
}

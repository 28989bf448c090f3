//! Whole runs of the simulated cloud: the same seed does the same again, no storm makes duplicates, and it stays quick when it is large.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use std::time::Duration;

use cloud_core::{
    ClientToken, CloudExt, Compute, ComputeExt, ErrorKind, ListQuery, Ownership, ResourceKind,
    ResourceQuery, Tags,
};
use cloud_testkit::sim::{CallRecord, FaultRates, SimCloud};
use common::{built, create, spec};
use proptest::prelude::*;

#[tokio::test(start_paused = true)]
async fn a_hundred_thousand_are_found_by_tag_and_page() {
    let cloud = SimCloud::new("sim", 1);
    const COUNT: usize = 100_000;
    for i in 0..COUNT {
        let token = ClientToken::derive("plan", &i.to_string(), 1);
        let mut spec = spec(&format!("i{i}"));
        let deployment = if i % 2 == 0 { "even" } else { "odd" };
        Ownership::new(deployment, format!("step-{i}"), token.clone())
            .unwrap()
            .write(&mut spec.tags)
            .unwrap();
        cloud.create_instance(&spec, &token).await.unwrap();
    }
    for i in (0..COUNT).step_by(100) {
        let token = ClientToken::derive("plan", &i.to_string(), 1);
        let query = ResourceQuery::tagged(Ownership::filter_token(&token));
        let found = cloud.list_resources(&query).complete().await.unwrap().into_items();
        assert_eq!(
            found.iter().map(|resource| &resource.name).collect::<Vec<_>>(),
            [&format!("i{i}")]
        );
    }
    let even = ListQuery::tagged(Ownership::filter_deployment("even").unwrap());
    assert_eq!(cloud.list_instances(&even).complete().await.unwrap().items().len(), COUNT / 2);
    assert_eq!(cloud.count(ResourceKind::Instance), COUNT);
    assert_eq!(cloud.call_count(), (COUNT + COUNT / 100 + COUNT / 2 / 1000) as u64);
}

/// A run of many calls on a cloud where everything goes wrong.
fn stormy(seed: u64) -> (SimCloud, Vec<CallRecord>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let rates = FaultRates {
            refused: 0.1,
            timeout_before: 0.1,
            timeout_after: 0.1,
            rate_limited: 0.05,
            stock_out: 0.05,
            slow: 0.1,
            instance_death: 0.2,
            ..FaultRates::default()
        };
        let cloud = built(
            SimCloud::builder("storm", seed)
                .slow(Duration::from_secs(1)..=Duration::from_secs(60))
                .latency(Duration::from_millis(5)..=Duration::from_millis(500))
                .consistency_window(Duration::from_secs(5))
                .fault_rates(rates)
                .traced(true),
        );
        for i in 0..60 {
            let name = format!("i{}", i % 20);
            match create(&cloud, &name).await {
                Ok(made) if i % 3 == 0 => drop(cloud.delete_instance(&made.id).await),
                _ => drop(
                    cloud.list_instances_page(&ListQuery::default(), &Default::default()).await,
                ),
            }
        }
        let trace = cloud.trace();
        (cloud, trace)
    })
}

#[test]
fn the_same_seed_does_the_same_again() {
    let (first, trace) = stormy(42);
    let (second, again) = stormy(42);
    assert_eq!(trace, again, "{first:?}");
    assert_eq!(first.living(), second.living());
    assert!(trace.iter().any(|call| call.outcome == Err(ErrorKind::Timeout)));
    assert!(trace.iter().any(|call| call.outcome == Err(ErrorKind::RateLimited)));
    assert!(trace.iter().any(|call| call.outcome.is_ok()));
    assert_ne!(stormy(43).1, trace);
    assert!(format!("{first:?}").contains("seed 42"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn no_storm_makes_two_of_one_token(seed in any::<u64>()) {
        let (cloud, trace) = stormy(seed);
        prop_assert!(cloud.duplicates().is_empty(), "{:?}", cloud);
        prop_assert_eq!(cloud.call_count(), trace.len() as u64);
        prop_assert!(cloud.count(ResourceKind::Instance) <= 20);
    }

    /// Whatever pages are asked for, a listing has everything once.
    #[test]
    fn pages_of_any_size_make_the_whole(count in 0usize..40, size in 1u32..50, colours in proptest::collection::vec(0u8..3, 40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let cloud = built(SimCloud::builder("pages", 1).max_page_size(size));
            for (i, colour) in colours.iter().take(count).enumerate() {
                let mut spec = spec(&format!("i{i}"));
                spec.tags = Tags::new([("colour", colour.to_string())]).unwrap();
                cloud.create_instance(&spec, &ClientToken::random()).await.unwrap();
            }
            for colour in 0..3u8 {
                let query = ListQuery::tagged(Tags::new([("colour", colour.to_string())]).unwrap());
                let found = cloud.list_instances(&query).complete().await.unwrap().into_items();
                let names: Vec<_> = found.into_iter().map(|instance| instance.name).collect();
                let wanted: Vec<_> = (0..count).filter(|i| colours[*i] == colour).map(|i| format!("i{i}")).collect();
                assert_eq!(names, wanted);
            }
        });
    }
}

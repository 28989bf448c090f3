//! Each fault of the simulated cloud is seen with its kind, scope, effect and advice.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use std::time::Duration;

use cloud_core::{
    Billing, BucketSpec, ByteSize, ClientToken, Cloud, Compute, ComputeExt, Effect, Error,
    ErrorKind, InstanceSize, ListQuery, MetricName, MetricQuery, Metrics, PriceQuery, Quota,
    Region, ResourceKind, ResourceStatus, Retry, Scope, Storage,
};
use cloud_testkit::sim::{
    Act, Change, Fault, FaultRates, Reach, SimBuilder, SimCloud, Stock, Throttle, When,
};
use common::{built, create, region, spec, zone};
use object_store::{ObjectStoreExt, path::Path};

#[track_caller]
fn assert_error(error: &Error, kind: ErrorKind, scope: Scope, effect: Effect) {
    assert_eq!((error.kind(), error.scope(), error.effect()), (kind, scope, effect), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn an_ambiguous_timeout_has_happened_or_not_and_a_repeat_makes_one() {
    for (fault, happened) in [(Fault::TimeoutAfter, true), (Fault::TimeoutBefore, false)] {
        let cloud =
            built(SimCloud::builder("sim", 1).script(When::call("compute.create_*", 1), fault));
        let error = create(&cloud, "a").await.unwrap_err();
        assert_error(&error, ErrorKind::Timeout, Scope::Resource, Effect::Unknown);
        assert_eq!(cloud.count(ResourceKind::Instance) == 1, happened);
        create(&cloud, "a").await.unwrap();
        assert_eq!(cloud.count(ResourceKind::Instance), 1);
        assert_eq!(cloud.made(&ClientToken::derive("test", "a", 1)).len(), 1);
        assert!(cloud.duplicates().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_has_no_effect_and_a_late_failure_has_one() {
    let denied = Error::new(ErrorKind::PermissionDenied, "no");
    let done = Error::new(ErrorKind::Internal, "half").with_effect(Effect::Done);
    let builder = SimCloud::builder("sim", 1)
        .script(When::call("compute.create_instance", 1), Fault::Refuse(denied))
        .script(When::call("compute.create_instance", 2), Fault::FailAfter(done));
    let cloud = built(builder);
    let error = create(&cloud, "a").await.unwrap_err();
    assert_error(&error, ErrorKind::PermissionDenied, Scope::Resource, Effect::None);
    assert!(cloud.is_empty());
    let error = create(&cloud, "b").await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Internal, Effect::Done));
    assert_eq!(error.operation(), Some("compute.create_instance"));
    assert_eq!(error.cloud(), Some(cloud.id()));
    assert_eq!(cloud.count(ResourceKind::Instance), 1);
    assert_eq!(cloud.calls()["compute.create_instance"], 2);
}

#[tokio::test(start_paused = true)]
async fn throttling_says_when_to_come_back() {
    let throttle = Throttle { calls: 3, per: Duration::from_secs(10) };
    let cloud = built(SimCloud::builder("sim", 1).throttle(throttle));
    for name in ["a", "b", "c"] {
        create(&cloud, name).await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(4)).await;
    let error = create(&cloud, "d").await.unwrap_err();
    assert_error(&error, ErrorKind::RateLimited, Scope::Account, Effect::None);
    assert_eq!(error.retry(), Retry::After(Duration::from_secs(6)));
    tokio::time::sleep(Duration::from_secs(6)).await;
    create(&cloud, "d").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn quotas_count_what_is_there_and_are_given_back() {
    let builder = SimCloud::builder("sim", 1).quota(Quota::INSTANCES, None, 2).quota(
        Quota::VCPU,
        Some(region()),
        9,
    );
    let cloud = built(builder);
    let first = create(&cloud, "a").await.unwrap();
    create(&cloud, "b").await.unwrap();
    let error = create(&cloud, "c").await.unwrap_err();
    assert_error(&error, ErrorKind::QuotaExceeded, Scope::Account, Effect::None);
    cloud.delete_instance(&first.id).await.unwrap();
    let mut large = spec("large");
    large.size = InstanceSize::Exact("sim.large".into());
    cloud.create_instance(&large, &ClientToken::random()).await.unwrap();
    cloud.apply(Change::Quota { name: Quota::INSTANCES.into(), region: None, limit: 10 });
    let error = create(&cloud, "d").await.unwrap_err();
    assert_error(&error, ErrorKind::QuotaExceeded, Scope::Region, Effect::None);
    let quotas = cloud.quotas(&region()).await.unwrap();
    let vcpu = quotas.iter().find(|quota| quota.name == Quota::VCPU).unwrap();
    assert_eq!((vcpu.used, vcpu.available()), (Some(9), Some(0)));
}

#[tokio::test(start_paused = true)]
async fn stock_outs_reach_as_far_as_they_say() {
    let cloud = SimCloud::new("sim", 1);
    let in_a = Stock { region: Some(region()), zone: Some(zone("a")), instance_type: None };
    cloud.apply(Change::StockOut(in_a.clone()));
    let mut asked = spec("zonal");
    asked.zone = Some(zone("a"));
    let error = cloud.create_instance(&asked, &ClientToken::random()).await.unwrap_err();
    assert_error(&error, ErrorKind::CapacityUnavailable, Scope::Zone, Effect::None);
    for name in ["x", "y", "z"] {
        assert_eq!(
            create(&cloud, name).await.unwrap().zone,
            Some(zone("b")),
            "it goes where there is stock"
        );
    }
    cloud.apply(Change::StockOut(Stock {
        instance_type: Some("sim.small".into()),
        ..Stock::default()
    }));
    let error = create(&cloud, "nowhere").await.unwrap_err();
    assert_error(&error, ErrorKind::CapacityUnavailable, Scope::Region, Effect::None);
    let mut larger = spec("larger");
    larger.size = InstanceSize::AtLeast { vcpu: 2, memory: ByteSize::gib(4), gpu: 0 };
    assert_eq!(
        cloud.create_instance(&larger, &ClientToken::random()).await.unwrap().instance_type,
        "sim.medium"
    );
    cloud.apply(Change::Restock(in_a));
    asked.size = larger.size;
    assert_eq!(
        cloud.create_instance(&asked, &ClientToken::random()).await.unwrap().zone,
        Some(zone("a"))
    );
}

#[tokio::test(start_paused = true)]
async fn outages_fail_calls_and_kill_instances_by_their_scope() {
    let cloud = SimCloud::new("sim", 1);
    let mut asked = spec("in-a");
    asked.zone = Some(zone("a"));
    let in_a = cloud.create_instance(&asked, &ClientToken::random()).await.unwrap();
    asked = spec("in-b");
    asked.zone = Some(zone("b"));
    let in_b = cloud.create_instance(&asked, &ClientToken::random()).await.unwrap();

    cloud.apply(Change::Outage(Reach::Zone(region(), zone("a"))));
    let dead = cloud.get_instance(&in_a.id).await.unwrap();
    assert_eq!(
        (dead.status, dead.status_reason.as_deref()),
        (ResourceStatus::Failed, Some("its zone is down"))
    );
    assert!(cloud.get_instance(&in_b.id).await.unwrap().status.is_ready());
    asked.zone = Some(zone("a"));
    asked.name = "late".into();
    let error = cloud.create_instance(&asked, &ClientToken::random()).await.unwrap_err();
    assert_error(&error, ErrorKind::Unavailable, Scope::Zone, Effect::None);
    assert_eq!(cloud.start_instance(&in_a.id).await.unwrap_err().scope(), Scope::Zone);

    let bucket = cloud
        .create_bucket(&BucketSpec::new("assets", region()), &ClientToken::random())
        .await
        .unwrap();
    let objects = cloud.object_store(&bucket.id).await.unwrap();
    cloud.apply(Change::Outage(Reach::Region(region())));
    let error = cloud.get_instance(&in_b.id).await.unwrap_err();
    assert_error(&error, ErrorKind::Unavailable, Scope::Region, Effect::None);
    let error = Error::from(objects.put(&Path::from("k"), "x".into()).await.unwrap_err());
    assert_error(&error, ErrorKind::Unavailable, Scope::Region, Effect::None);
    let down: Vec<_> = cloud
        .regions()
        .await
        .unwrap()
        .into_iter()
        .filter(|info| !info.available)
        .map(|info| info.region)
        .collect();
    assert_eq!(down, [region()]);
    let everywhere = cloud.list_instances(&ListQuery::default()).complete().await;
    assert_eq!(everywhere.unwrap_err().scope(), Scope::Region, "half a listing is no listing");
    let elsewhere = ListQuery::in_region(Region::new("sim-2").unwrap());
    assert!(cloud.list_instances(&elsewhere).complete().await.unwrap().items().is_empty());

    cloud.apply(Change::Outage(Reach::Provider));
    let error = cloud.list_instances(&elsewhere).complete().await.unwrap_err();
    assert_error(&error, ErrorKind::Unavailable, Scope::Provider, Effect::None);
    cloud.apply(Change::Restore(Reach::Provider));
    cloud.apply(Change::Restore(Reach::Region(region())));
    cloud.apply(Change::Restore(Reach::Zone(region(), zone("a"))));
    assert_eq!(
        cloud.get_instance(&in_b.id).await.unwrap().status,
        ResourceStatus::Failed,
        "the dead stay dead"
    );
    cloud.start_instance(&in_b.id).await.unwrap();
    assert!(cloud.get_instance(&in_b.id).await.unwrap().status.is_ready());
    objects.put(&Path::from("k"), "x".into()).await.unwrap();
    assert_eq!(cloud.held_bytes(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_script_follows_the_clock() {
    let hour = Duration::from_secs(3600);
    let hourly = "0.5".parse().unwrap();
    let price = Change::Price { instance_type: "sim.small".into(), region: None, hourly };
    let builder = SimCloud::builder("sim", 1)
        .script(When::At(hour), Change::KillNamed("a".into()))
        .script(When::At(2 * hour), price)
        .script(When::At(3 * hour), Fault::TimeoutAfter)
        .script(When::call("compute.get_instance", 2), Fault::Slow(Duration::from_secs(7)));
    let cloud = built(builder);
    let id = create(&cloud, "a").await.unwrap().id;
    assert!(cloud.get_instance(&id).await.unwrap().status.is_ready());
    let before = tokio::time::Instant::now();
    cloud.get_instance(&id).await.unwrap();
    assert_eq!(before.elapsed(), Duration::from_secs(7));
    tokio::time::sleep(hour).await;
    assert_eq!(cloud.get_instance(&id).await.unwrap().status, ResourceStatus::Failed);
    let small = PriceQuery {
        sku: Some("sim.small".into()),
        region: Some(region()),
        ..PriceQuery::default()
    };
    let prices = async || cloud.list_prices_page(&small, &Default::default()).await.unwrap().items;
    assert_eq!(prices().await[0].price.amount.to_string(), "0.01");
    tokio::time::sleep(hour).await;
    let now = prices().await;
    assert_eq!(now[0].price.amount, hourly);
    assert_eq!(now[0].as_of, cloud.now().min(now[0].as_of), "the change is of the past");
    assert_eq!(now[1].price.amount.to_string(), "0.15", "the spot price keeps its ratio");
    tokio::time::sleep(hour).await;
    assert_eq!(cloud.get_instance(&id).await.unwrap_err().kind(), ErrorKind::Timeout);
    cloud.get_instance(&id).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn listings_lag_within_the_window_and_gets_only_if_asked_to() {
    let window = Duration::from_secs(10);
    for stale in [false, true] {
        let cloud = built(SimCloud::builder("sim", 3).consistency_window(window).stale_gets(stale));
        assert_eq!(cloud.capabilities().consistency_window, window);
        let mut ids = Vec::new();
        for i in 0..20 {
            ids.push(create(&cloud, &format!("i{i}")).await.unwrap().id);
        }
        let listed = async || {
            cloud.list_instances(&ListQuery::default()).complete().await.unwrap().into_items().len()
        };
        assert!(listed().await < 20);
        let mut found = 0;
        for id in &ids {
            found += usize::from(cloud.get_instance(id).await.is_ok());
        }
        assert_eq!(found == 20, !stale);
        tokio::time::sleep(window).await;
        assert_eq!(listed().await, 20);
        for id in &ids {
            assert!(cloud.delete_instance(id).await.unwrap());
            assert_eq!(cloud.get_instance(id).await.unwrap_err().kind(), ErrorKind::NotFound);
        }
        assert!(listed().await > 0);
        tokio::time::sleep(window).await;
        assert_eq!(listed().await, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn duplicates_need_tokens_that_are_ignored() {
    let twice = async |cloud: &SimCloud| {
        create(cloud, "a").await.unwrap();
        create(cloud, "a").await
    };
    let cloud = built(SimCloud::builder("sim", 1).unique_names(false));
    twice(&cloud).await.unwrap();
    assert!(cloud.duplicates().is_empty());
    let cloud = built(SimCloud::builder("sim", 1).unique_names(false).idempotent_tokens(false));
    assert!(!cloud.capabilities().idempotent_tokens);
    twice(&cloud).await.unwrap();
    let token = ClientToken::derive("test", "a", 1);
    assert_eq!(cloud.duplicates(), std::slice::from_ref(&token));
    assert_eq!(cloud.made(&token).len(), 2);
    let cloud = built(SimCloud::builder("sim", 1).idempotent_tokens(false));
    assert_eq!(twice(&cloud).await.unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert!(cloud.duplicates().is_empty());
}

#[tokio::test(start_paused = true)]
async fn metrics_are_what_was_recorded() {
    let cloud = SimCloud::new("sim", 1);
    let id = create(&cloud, "a").await.unwrap().id;
    tokio::time::sleep(Duration::from_secs(600)).await;
    cloud.record_metric(
        &id,
        MetricName::CpuUtilization,
        cloud.now() - jiff::SignedDuration::from_secs(30),
        80.0,
    );
    let mut query =
        MetricQuery::last(id, MetricName::CpuUtilization, Duration::from_secs(300), cloud.now());
    let points = cloud.query_metrics(&query).await.unwrap();
    assert_eq!(points.iter().map(|point| point.value).collect::<Vec<_>>(), [80.0]);
    query.resource = "instance/sim-1/instance-0000ffff".parse().unwrap();
    assert_eq!(cloud.query_metrics(&query).await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn wrong_settings_are_refused() {
    let refused = |builder: SimBuilder| builder.build().unwrap_err().to_string();
    assert!(refused(SimCloud::builder("../sim", 1)).contains("cloud id"));
    assert!(refused(SimCloud::builder("sim", 1).region("no/where", &[])).contains("region"));
    assert!(
        refused(SimCloud::builder("sim", 1).region("x", &[]).region("x", &[]))
            .contains("comes twice")
    );
    assert!(refused(SimCloud::builder("sim", 1).max_page_size(0)).contains("max_page_size"));
    let rates = FaultRates { refused: 0.7, timeout_after: 0.7, ..FaultRates::default() };
    assert!(refused(SimCloud::builder("sim", 1).fault_rates(rates)).contains("fault rates"));
    let backwards = Duration::from_secs(2)..=Duration::from_secs(1);
    assert!(refused(SimCloud::builder("sim", 1).latency(backwards)).contains("time range"));
}

#[test]
fn acts_are_made_of_faults_and_changes() {
    assert!(matches!(Act::from(Fault::TimeoutAfter), Act::Fault(Fault::TimeoutAfter)));
    assert!(matches!(Act::from(Change::Throttle(None)), Act::Change(Change::Throttle(None))));
}

//! What the executor holds to, beyond what the crash harness shows.

use std::{sync::Arc, time::Duration};

use cloud_core::{Cloud, Error, ErrorKind, ResourceKind};
use cloud_testkit::sim::{Change, Fault, FaultRates, Reach, SimCloud, When};
use proptest::prelude::*;
use serde_json::json;
use tokio::time::{sleep, timeout};

use super::*;
use crate::{
    engine::{
        progress::{ApplyEvent, Progress},
        store::SqliteStore,
    },
    testing::MemoryStore,
};

fn plan(id: &str, steps: serde_json::Value) -> Plan {
    serde_json::from_value(json!({
        "id": id, "deployment": "shop", "purpose": "test", "created_at": "2026-01-01T00:00:00Z",
        "choices": [], "steps": steps,
    }))
    .unwrap()
}

fn bucket(id: &str, cloud: &str, needs: &[String]) -> serde_json::Value {
    json!({
        "id": id, "component": id, "cloud": cloud, "depends_on": needs,
        "action": { "do": "create", "kind": "bucket", "spec": { "name": format!("b-{id}"), "region": "sim-1" } },
    })
}

fn instance(id: &str, spec: serde_json::Value) -> serde_json::Value {
    let mut all = json!({ "name": id, "region": "sim-1" });
    all.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    json!({
        "id": id, "component": id, "cloud": "sim",
        "action": { "do": "create", "kind": "instance", "spec": all },
    })
}

fn executor(store: &Arc<dyn Store>, clouds: &[&SimCloud], holder: &str) -> Executor {
    let clouds = clouds.iter().map(|c| Arc::new((*c).clone()) as Arc<dyn Cloud>);
    let options = ExecutorOptions { holder: holder.into(), ..ExecutorOptions::default() };
    Executor::new(Arc::clone(store), Clouds::new(clouds).unwrap(), options)
}

fn memory() -> Arc<dyn Store> {
    Arc::new(MemoryStore::new())
}

async fn journal_text(store: &Arc<dyn Store>) -> String {
    let mut text = String::new();
    for stream in store.streams("").complete().await.unwrap().into_items() {
        for entry in store.read(&stream).complete().await.unwrap().into_items() {
            text += &serde_json::to_string(&entry.record).unwrap();
        }
    }
    text
}

#[tokio::test(start_paused = true)]
async fn secrets_arrive_and_are_written_nowhere() {
    let (store, sim) = (memory(), SimCloud::new("sim", 1));
    let database = json!({
        "id": "db", "component": "db", "cloud": "sim",
        "action": { "do": "create", "kind": "database", "spec": { "name": "orders", "region": "sim-1", "engine": "postgres" } },
    });
    let web =
        instance("web", json!({ "environment": { "URL": "${db.url}?x", "HOST": "${db.host}" } }));
    let outcome = executor(&store, &[&sim], "a")
        .apply(&plan("p", json!([database, web])), &Run::default())
        .await
        .unwrap();
    assert!(outcome.is_success(), "{outcome}");
    let Outcome::Succeeded { outputs, .. } = &outcome else { panic!() };
    let id: cloud_core::ResourceId = outputs["db"]["id"].parse().unwrap();
    let connection = cloud_core::Database::connection(&sim, &id).await.unwrap();
    let password = connection.password.unwrap();
    let password = cloud_core::secret::ExposeSecret::expose_secret(&password).to_owned();
    assert!(!password.is_empty());
    assert!(!journal_text(&store).await.contains(&password));
    assert!(!format!("{outcome:?}").contains(&password));

    let wrong = instance("web-2", json!({ "user_data": "${db.password}" }));
    let refers = json!({ "id": "db", "component": "db", "cloud": "sim", "action": { "do": "refer", "id": id } });
    let refused = executor(&store, &[&sim], "a")
        .apply(&plan("p-2", json!([refers, wrong])), &Run::default())
        .await
        .unwrap();
    let why = refused.error().unwrap().to_string();
    assert!(why.contains("${db.password} is a secret"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn a_plan_is_refused_before_anything_is_done() {
    let (store, sim) = (memory(), SimCloud::new("sim", 1));
    let executor = executor(&store, &[&sim], "a");
    let wrong = [
        (json!([bucket("a", "sim", &["b".into()]), bucket("b", "sim", &["a".into()])]), "cycle"),
        (json!([bucket("a", "sim", &["x".into()])]), "unknown step 'x'"),
        (json!([bucket("a", "sim", &[]), bucket("a", "sim", &[])]), "each id once"),
        (json!([bucket("A", "sim", &[])]), "steps[0].id"),
        (json!([bucket("a", "aws", &[])]), "registered: sim"),
        (json!([instance("a", json!({ "user_data": "${HOME}" }))]), "$${ for a plain ${"),
        (json!([instance("a", json!({ "user_data": "${b.id}" }))]), "unknown step 'b'"),
    ];
    for (steps, part) in wrong {
        let error = executor.apply(&plan("p", steps), &Run::default()).await.unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
    }
    assert!(journal_text(&store).await.is_empty());
}

/// Both ways: a record is set after its health check is there, and the check is deleted after the record.
#[tokio::test(start_paused = true)]
async fn a_health_check_comes_before_its_record_and_goes_after_it() {
    let create = |id: &str, kind: &str, spec: serde_json::Value| {
        json!({
            "id": id, "component": id, "cloud": "sim",
            "action": { "do": "create", "kind": kind, "spec": spec },
        })
    };
    let check = json!({
        "name": "web", "region": "global", "target": "www.example.com", "port": 443, "protocol": "https",
    });
    let record = json!({
        "name": "www.example.com", "record_type": "A", "ttl_seconds": 60, "values": ["192.0.2.1"],
        "routing": { "failover": { "id": "a", "primary": true } }, "health_check": "${check.id}",
    });
    let last = json!({
        "id": "last", "component": "last", "cloud": "sim", "depends_on": ["record"],
        "action": { "do": "create", "kind": "bucket", "spec": { "name": "assets", "region": "sim-1" } },
    });
    let steps = json!([
        create("check", "health_check", check),
        create("zone", "dns_zone", json!({ "name": "example.com", "region": "global" })),
        {
            "id": "record", "component": "record", "cloud": "sim",
            "action": { "do": "call", "handler": "set_record", "input": { "zone": "${zone.id}", "record": record } },
        },
        last,
    ]);
    for refused in [false, true] {
        let denied = Error::new(ErrorKind::PermissionDenied, "no buckets");
        let mut builder = SimCloud::builder("sim", 1);
        if refused {
            builder = builder.script(When::call("storage.create_bucket", 1), Fault::Refuse(denied));
        }
        let sim = builder.build().unwrap();
        let plan = plan("p", steps.clone());
        assert!(plan.permissions()[sim.id()].contains("dns.create_health_check"));
        let outcome =
            executor(&memory(), &[&sim], "a").apply(&plan, &Run::default()).await.unwrap();
        assert_eq!(outcome.is_success(), !refused, "{outcome}");
        assert_eq!(sim.count(ResourceKind::HealthCheck), usize::from(!refused));
        assert!(!refused || sim.is_empty(), "{outcome}: {:?}", sim.living());
    }
}

#[tokio::test(start_paused = true)]
async fn what_has_no_capacity_is_rolled_back_with_its_scope() {
    let store = memory();
    let sim = SimCloud::builder("sim", 1).quota("instances", None, 1).build().unwrap();
    let steps = json!([instance("a", json!({})), instance("b", json!({}))]);
    let (progress, mut events) = Progress::channel(100);
    let run = Run { progress, ..Run::default() };
    let executor = executor(&store, &[&sim], "a");
    let outcome = executor.apply(&plan("p", steps), &run).await.unwrap();
    let Outcome::RolledBack { failed, error, .. } = &outcome else { panic!("{outcome}") };
    assert_eq!(error.kind(), ErrorKind::QuotaExceeded);
    assert!(failed.is_some() && sim.is_empty());
    // An ended plan is not carried out again.
    let again = executor.resume("p", &Run::default()).await.unwrap();
    assert_eq!(again.to_string(), outcome.to_string());
    drop(run);
    let mut names = Vec::new();
    while let Ok(event) = events.try_recv() {
        names.push(format!("{event:?}").split([' ', '{']).next().unwrap().to_owned());
    }
    assert_eq!(names.first().map(String::as_str), Some("PlanStarted"));
    assert!(names.contains(&"Undone".to_owned()));
    assert_eq!(names.last().map(String::as_str), Some("Finished"));
}

#[tokio::test(start_paused = true)]
async fn pause_then_resume_elsewhere_and_cancel() {
    let store = memory();
    let slow = Duration::from_secs(60)..=Duration::from_secs(60);
    let sim = SimCloud::builder("sim", 1).slow(slow).build().unwrap();
    let steps = json!([instance("a", json!({})), bucket("b", "sim", &["a".into()])]);
    let plan = plan("p", steps);
    let run = Run::default();
    let first = executor(&store, &[&sim], "a");
    let (paused, ()) = tokio::join!(first.apply(&plan, &run), async {
        sleep(Duration::from_secs(5)).await;
        run.pause.cancel();
    });
    assert!(matches!(paused.unwrap(), Outcome::Paused { done: 0, total: 2 }));
    assert_eq!(sim.count(ResourceKind::Instance), 1);
    let other = super::tests::plan("other", json!([bucket("c", "sim", &[])]));
    let second = executor(&store, &[&sim], "b");
    let refused = second.apply(&other, &Run::default()).await.unwrap_err();
    assert_eq!(refused.code(), Some("unfinished_plan"));

    let run = Run::default();
    let (cancelled, ()) = tokio::join!(second.resume("p", &run), async {
        sleep(Duration::from_secs(5)).await;
        run.cancel.cancel();
    });
    let Outcome::RolledBack { failed: None, error, .. } = cancelled.unwrap() else { panic!() };
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    assert!(sim.is_empty());
    assert!(second.unfinished("shop").await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_undone_is_said_and_undone_by_resuming() {
    let store = memory();
    let sim = SimCloud::builder("sim", 1)
        .latency(Duration::from_millis(10)..=Duration::from_millis(10))
        .script(
            When::call("compute.create_instance", 1),
            Fault::Refuse(Error::new(ErrorKind::InvalidInput, "no")),
        )
        .build()
        .unwrap();
    let mut web = instance("web", json!({}));
    web["depends_on"] = json!(["a"]);
    let plan = plan("p", json!([bucket("a", "sim", &[]), web]));
    let executor = executor(&store, &[&sim], "a");
    let region = cloud_core::Region::new("sim-1").unwrap();
    // The region goes down as soon as the undo begins.
    let (progress, mut events) = Progress::channel(100);
    let run = Run { progress, ..Run::default() };
    let (outcome, ()) = tokio::join!(executor.apply(&plan, &run), async {
        while !matches!(events.recv().await, Ok(ApplyEvent::RollBackStarted { .. })) {}
        sim.apply(Change::Outage(Reach::Region(region.clone())));
    });
    let outcome = outcome.unwrap();
    let Outcome::RollbackIncomplete { left, .. } = &outcome else { panic!("{outcome}") };
    assert_eq!(left[0].step, "a");
    assert!(outcome.to_string().contains("resume the plan"), "{outcome}");
    sim.apply(Change::Restore(Reach::Region(region)));
    let after = executor.resume("p", &Run::default()).await.unwrap();
    assert!(matches!(after, Outcome::RolledBack { .. }), "{after}");
    assert!(sim.is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_stale_one_of_two_executors_stops_at_once() {
    for delay in 0..60 {
        let store = memory();
        let sim = SimCloud::builder("sim", delay)
            .latency(Duration::from_millis(1)..=Duration::from_millis(40))
            .slow(Duration::ZERO..=Duration::from_millis(300))
            .build()
            .unwrap();
        let steps: Vec<_> = (0..10)
            .map(|i| {
                let needs: Vec<String> =
                    (0..i).filter(|j| i % (j + 2) == 0).map(|j| format!("s{j}")).collect();
                bucket(&format!("s{i}"), "sim", &needs)
            })
            .collect();
        let plan = plan("p", json!(steps));
        // One name for both: the second takes the lease over while the first is at work.
        let (first, second) =
            (executor(&store, &[&sim], "same"), executor(&store, &[&sim], "same"));
        let (run_1, run_2) = (Run::default(), Run::default());
        let (one, two) = tokio::join!(first.apply(&plan, &run_1), async {
            sleep(Duration::from_millis(delay * 5)).await;
            second.apply(&plan, &run_2).await
        });
        let two = two.unwrap();
        assert!(two.is_success(), "delay {delay}: {two}");
        if let Err(error) = one {
            assert_eq!(error.code(), Some("stale_epoch"), "delay {delay}: {error}");
        }
        assert_eq!(sim.count(ResourceKind::Bucket), 10, "delay {delay}");
        assert!(sim.duplicates().is_empty(), "delay {delay}");
        let owned = store.catalog(Some("shop")).complete().await.unwrap();
        assert_eq!(owned.items().len(), 10, "delay {delay}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_of_a_newer_version_is_refused() {
    let store = memory();
    let lease = store.acquire("x", "me", Duration::from_secs(9)).await.unwrap().unwrap();
    let newer = crate::engine::store::Record {
        body: json!({ "v": 2, "event": "plan_saved" }),
        catalog: Vec::new(),
    };
    store.append(&lease.fence, "plan:p", vec![newer]).await.unwrap();
    let sim = SimCloud::new("sim", 1);
    let error = executor(&store, &[&sim], "a").state("p").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("version 2"), "{error}");
}

/// A durable journal, a plan of many steps: what the plan saves in parts is read back whole, and time stays linear.
#[tokio::test]
async fn a_large_plan_survives_in_a_durable_journal() {
    let folder = tempfile::tempdir().unwrap();
    let store =
        SqliteStore::open(folder.path().join("store.db"), Arc::new(cloud_core::SystemClock))
            .await
            .unwrap();
    let store: Arc<dyn Store> = Arc::new(store);
    let count: usize = std::env::var("STEPS").ok().and_then(|n| n.parse().ok()).unwrap_or(3000);
    let steps: Vec<_> = (0..count)
        .map(|i| {
            let needs: Vec<String> =
                (i >= 100).then(|| format!("s{}", i - 100)).into_iter().collect();
            bucket(&format!("s{i}"), "sim", &needs)
        })
        .collect();
    let plan = plan("p", json!(steps));
    let sim = SimCloud::new("sim", 1);
    let executor = executor(&store, &[&sim], "a");
    let began = std::time::Instant::now();
    let outcome = executor.apply(&plan, &Run::default()).await.unwrap();
    println!("{count} steps in {:?}", began.elapsed());
    assert!(outcome.is_success());
    assert_eq!(sim.count(ResourceKind::Bucket), count);
    let state = executor.state("p").await.unwrap().unwrap();
    assert_eq!(state.plan, plan);
    assert_eq!(state.done(), count);
}

/// A random plan on a cloud with random faults, crashed at random moments, always ends with all or nothing.
async fn random_run(seed: u64, needs: Vec<Vec<usize>>, crashes: Vec<u64>, idempotent: bool) {
    let store = memory();
    let sim = SimCloud::builder("sim", seed)
        .latency(Duration::from_millis(1)..=Duration::from_millis(300))
        .slow(Duration::ZERO..=Duration::from_secs(5))
        .consistency_window(Duration::from_secs(1))
        .idempotent_tokens(idempotent)
        .fault_rates(FaultRates {
            refused: 0.05,
            timeout_before: 0.05,
            timeout_after: 0.05,
            rate_limited: 0.05,
            stock_out: 0.05,
            ..FaultRates::default()
        })
        .build()
        .unwrap();
    let steps: Vec<_> = needs
        .iter()
        .enumerate()
        .map(|(i, needs)| {
            let needs: Vec<String> =
                needs.iter().filter(|n| **n < i).map(|n| format!("s{n}")).collect();
            let mut step = if i % 2 == 0 {
                bucket(&format!("s{i}"), "sim", &[])
            } else {
                instance(&format!("s{i}"), json!({}))
            };
            step["depends_on"] = json!(needs);
            step
        })
        .collect();
    let plan = plan("p", json!(steps));
    for after in crashes {
        let executor = executor(&store, &[&sim], "same");
        let _ = timeout(Duration::from_millis(after), executor.apply(&plan, &Run::default())).await;
    }
    let mut outcome =
        executor(&store, &[&sim], "same").apply(&plan, &Run::default()).await.unwrap();
    for _ in 0..5 {
        if outcome.finish().is_none() {
            outcome = executor(&store, &[&sim], "same").resume("p", &Run::default()).await.unwrap();
        }
    }
    let made = sim.living().len();
    match &outcome {
        Outcome::Succeeded { resources, .. } => {
            assert_eq!((made, resources.len()), (needs.len(), needs.len()), "seed {seed}");
        }
        Outcome::RolledBack { .. } => assert_eq!(made, 0, "seed {seed}: {:?}", sim.living()),
        other => panic!("seed {seed}: {other}"),
    }
    let owned = store.catalog(Some("shop")).complete().await.unwrap();
    assert_eq!(owned.items().len(), made, "seed {seed}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]
    #[test]
    fn random_plans_faults_and_crashes_end_consistent(
        seed in any::<u64>(),
        needs in proptest::collection::vec(proptest::collection::vec(0usize..12, 0..3), 1..12),
        crashes in proptest::collection::vec(0u64..20_000, 0..4),
        idempotent in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time().start_paused(true).build().unwrap();
        runtime.block_on(random_run(seed, needs, crashes, idempotent));
    }
}

/// That the futures of the executor may be spawned is part of its contract.
#[allow(dead_code)]
fn futures_are_send(executor: &Executor, plan: &Plan, run: &Run) {
    fn is_send(_: impl std::future::Future + Send) {}
    is_send(executor.apply(plan, run));
    is_send(executor.resume("", run));
    is_send(executor.abandon(""));
}

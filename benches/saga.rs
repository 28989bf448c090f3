//! A large plan planned and applied with a durable journal, beside what its journal and its clouds cost alone.
//!
//! `cargo bench --bench saga`. Aim: 10,000 steps in under 5 s, and 100,000 in under 12 times that.
//!
//! Each measurement has a process of its own, so that its peak memory is its own.
#![allow(clippy::unwrap_used, missing_docs)]

use std::{
    collections::BTreeMap,
    future::Future,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use cloud_patterns::{
    engine::{
        plan::{BlastRadiusLimit, Plan},
        saga::{Executor, ExecutorOptions, PlanState, Run},
        store::{Record, SqliteStore, Store, StoreExt},
    },
    place::observe,
    planner::{self, PlanOptions},
    workload::{Component, Workload},
};
use cloud_testkit::sim::SimCloud;
use futures::{StreamExt, TryStreamExt, stream};
use multicloud::core::{
    BucketSpec, ClientToken, Cloud, Clouds, Column, ColumnType, Compute, Database, DatabaseSpec,
    Engine, InstanceSpec, Network, NetworkSpec, Ownership, Region, ResourceType, Result, SecretRef,
    Storage, SystemClock, TableSpec, Tags,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// Tells a process of this bench what to measure, as `applied 10000`.
const MEASURE: &str = "SAGA_BENCH_MEASURE";

/// A team has a network, a bucket, a database with a table, and instances that are told of all of them.
const STEPS_PER_TEAM: usize = 100;
const INSTANCES_PER_TEAM: u32 = 96;

/// What one process measured: seconds, and peak bytes over what the process needed before.
#[derive(Default, Serialize, Deserialize)]
struct Measured {
    planned: f64,
    applied: f64,
    /// Once the plan is made, with what the allocator keeps of making it.
    plan_bytes: f64,
    peak_bytes: f64,
    records: usize,
    /// The same records appended by as many writers as the executor has steps under way.
    appended: f64,
    /// The same calls to a cloud that the steps make.
    created: f64,
}

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    if let Ok(what) = std::env::var(MEASURE) {
        let (what, steps) = what.split_once(' ').unwrap();
        let teams = steps.parse::<usize>().unwrap() / STEPS_PER_TEAM;
        let measured = match what {
            "applied" => runtime.block_on(applied(teams)),
            _ => runtime.block_on(created(teams)),
        };
        return println!("{}", serde_json::to_string(&measured.unwrap()).unwrap());
    }
    let [(small, small_floor), (large, large_floor)] = [10_000, 100_000].map(report);
    println!(
        "100,000 steps over 10,000: {:.1} times (aim: under 12); the floor: {:.1} times",
        large / small,
        large_floor / small_floor
    );
}

/// Prints what a plan of so many steps costs, and returns the time to plan and apply it, and the floor.
fn report(steps: usize) -> (f64, f64) {
    let whole = measure("applied", steps);
    let bare = measure("created", steps);
    let per_step = |bytes: f64| bytes / steps as f64 / 1024.0;
    let sum = whole.planned + whole.applied;
    let floor = whole.appended + bare.created;
    println!("{steps} steps");
    println!(
        "  planned {:.2} s + applied {:.2} s = {sum:.2} s, {:.0} steps/s",
        whole.planned,
        whole.applied,
        steps as f64 / sum
    );
    println!(
        "  floor: {} records appended {:.2} s + calls to the clouds {:.2} s = {floor:.2} s; applying is {:.2} times that",
        whole.records,
        whole.appended,
        bare.created,
        whole.applied / floor
    );
    println!(
        "  peak memory per step {:.1} KiB: plan {:.1}, then SimCloud {:.1}, then executor and journal {:.1}",
        per_step(whole.peak_bytes),
        per_step(bare.plan_bytes),
        per_step(bare.peak_bytes - bare.plan_bytes),
        per_step(whole.peak_bytes - bare.peak_bytes)
    );
    (sum, floor)
}

fn measure(what: &str, steps: usize) -> Measured {
    let this = std::env::current_exe().unwrap();
    let output = Command::new(this)
        .env(MEASURE, format!("{what} {steps}"))
        .stderr(std::process::Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success(), "{what} {steps}: {output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Plans and applies, then appends the records of that to a journal of their own.
async fn applied(teams: usize) -> Result<Measured> {
    let folder = tempfile::tempdir()?;
    let open = |name: &str| SqliteStore::open(folder.path().join(name), Arc::new(SystemClock));
    let store: Arc<dyn Store> = Arc::new(open("state.db").await?);
    let clouds = clouds()?;
    let Planned { plan, before, mut measured } = planned(&clouds, teams).await?;

    let options = ExecutorOptions::default();
    let writers = options.concurrency;
    let executor = Executor::new(store.clone(), clouds, options);
    let start = Instant::now();
    let outcome = executor.apply(&plan, &Run::default()).await?;
    measured.applied = start.elapsed().as_secs_f64();
    measured.peak_bytes = Memory::now().peak - before.resident;
    assert!(outcome.is_success(), "{outcome}");

    let entries = store.read(&PlanState::stream(&plan.id)).complete().await?;
    let records: Vec<Record> =
        (entries.into_items().into_iter()).map(|entry| entry.record).collect();
    measured.records = records.len();
    let copy = open("copy.db").await?;
    let lease = copy.acquire("bench", "bench", Duration::from_secs(3600)).await?;
    let fence = lease.unwrap().fence;
    measured.appended = timed(async {
        let each = records.into_iter().map(|record| copy.append(&fence, "copy", vec![record]));
        stream::iter(each).buffer_unordered(writers).try_for_each(async |_| Ok(())).await
    })
    .await?;
    Ok(measured)
}

/// Plans, then makes the same without the plan: straight calls to one cloud.
async fn created(teams: usize) -> Result<Measured> {
    let Planned { plan, before, mut measured } = planned(&clouds()?, teams).await?;
    let cloud = SimCloud::new("bare", 1);
    measured.created = timed(async {
        for team in 0..teams {
            create_team(&cloud, team).await?;
        }
        Ok(())
    })
    .await?;
    measured.peak_bytes = Memory::now().peak - before.resident;
    drop(plan);
    Ok(measured)
}

fn clouds() -> Result<Clouds> {
    Clouds::new(["blue", "green", "red"].map(|id| Arc::new(SimCloud::new(id, 1)) as Arc<dyn Cloud>))
}

/// A plan, what was measured so far, and the memory before.
struct Planned {
    plan: Plan,
    before: Memory,
    measured: Measured,
}

async fn planned(clouds: &Clouds, teams: usize) -> Result<Planned> {
    let observation = observe(clouds).await;
    let before = Memory::now();
    let start = Instant::now();
    let plan = planner::plan(&workload(teams), &observation, &PlanOptions::new("bench"))?;
    let planned = start.elapsed().as_secs_f64();
    assert_eq!(plan.steps.len(), teams * STEPS_PER_TEAM);
    let plan_bytes = Memory::now().resident - before.resident;
    Ok(Planned { plan, before, measured: Measured { planned, plan_bytes, ..Measured::default() } })
}

async fn timed(work: impl Future<Output = Result<()>>) -> Result<f64> {
    let start = Instant::now();
    work.await?;
    Ok(start.elapsed().as_secs_f64())
}

fn workload(teams: usize) -> Workload {
    let component = |name: &str, team: usize, kind, spec: serde_json::Value| {
        let mut component = Component::new(format!("{name}-{team}"), kind);
        component.spec = spec.as_object().cloned().unwrap();
        component
    };
    let columns = json!([{ "name": "customer", "type": "text" }]);
    let tables = json!([{ "name": "orders", "columns": columns }]);
    let team = |team: usize| {
        let network = json!({ "cidr": cidr(team) });
        let database = json!({ "engine": "postgres", "tables": tables });
        let environment = json!({
            "DATABASE_URL": format!("${{db-{team}.url}}"),
            "ASSETS": format!("${{assets-{team}.name}}"),
        });
        let instance = json!({ "environment": environment });
        let mut web = component("web", team, ResourceType::Compute, instance);
        web.network = Some(format!("net-{team}"));
        web.replicas = INSTANCES_PER_TEAM;
        [
            component("net", team, ResourceType::Network, network),
            component("assets", team, ResourceType::Storage, json!({})),
            component("db", team, ResourceType::Database, database),
            web,
        ]
    };
    Workload {
        name: "bench".into(),
        components: (0..teams).flat_map(team).collect(),
        tags: Tags::default(),
        expires_in: None,
        limits: BlastRadiusLimit::default(),
        budget: None,
        deployment_policies: Default::default(),
    }
}

fn cidr(team: usize) -> String {
    format!("10.{}.{}.0/24", team / 256, team % 256)
}

async fn create_team(cloud: &SimCloud, team: usize) -> Result<()> {
    let region = Region::new("sim-1")?;
    let own = |step: &str| {
        let token = ClientToken::derive("bench", step, 1);
        let mut tags = Tags::default();
        Ownership::new("bench", step, token.clone())?.write(&mut tags)?;
        Ok::<_, multicloud::core::Error>((tags, token))
    };
    let name = format!("net-{team}");
    let mut spec = NetworkSpec::new(&name, region.clone(), cidr(team).parse().unwrap());
    let (tags, token) = own(&name)?;
    spec.tags = tags;
    let network = cloud.create_network(&spec, &token).await?;

    let name = format!("assets-{team}");
    let mut spec = BucketSpec::new(&name, region.clone());
    let (tags, token) = own(&name)?;
    spec.tags = tags;
    let bucket = cloud.create_bucket(&spec, &token).await?;

    let name = format!("db-{team}");
    let mut spec = DatabaseSpec::new(&name, region.clone(), Engine::Postgres);
    let (tags, token) = own(&name)?;
    spec.tags = tags;
    let database = cloud.create_database(&spec, &token).await?;
    let columns = vec![Column::new("customer", ColumnType::Text)];
    let sql = cloud.sql(&database.id).await?;
    sql.create_table(&TableSpec::new("orders", columns)).await?;

    for replica in 0..INSTANCES_PER_TEAM {
        let name = format!("web-{team}-{replica}");
        let mut spec = InstanceSpec::new(&name, region.clone());
        let (tags, token) = own(&name)?;
        spec.tags = tags;
        spec.network = Some(network.id.clone());
        spec.environment = BTreeMap::from([("ASSETS".into(), bucket.name.clone())]);
        let url = cloud.connection(&database.id).await?.url;
        spec.secret_environment = [("DATABASE_URL".into(), SecretRef::Value(url))].into();
        cloud.create_instance(&spec, &token).await?;
    }
    Ok(())
}

/// Memory of this process, in bytes.
struct Memory {
    resident: f64,
    peak: f64,
}

impl Memory {
    fn now() -> Self {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let bytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kib = line.unwrap().trim().trim_end_matches(" kB");
            kib.parse::<f64>().unwrap() * 1024.0
        };
        Self { resident: bytes("VmRSS:"), peak: bytes("VmHWM:") }
    }
}

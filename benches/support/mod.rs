//! What the crash bench and the crash tests share: the quickstart's plan, in fresh worlds.
#![allow(dead_code)]

use std::{path::Path, sync::Arc, time::Duration};

use cloud_patterns::{
    engine::{plan::Plan, saga::ExecutorOptions, store::SqliteStore},
    place::observe,
    planner::{self, PlanOptions},
    testing::World,
    workload::Workload,
};
use cloud_testkit::sim::SimCloud;
use multicloud::core::{Cloud, Clouds, Region, RegionInfo, Result, SystemClock};

const QUICKSTART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/quickstart");

/// Options that lose no time with waiting: a crashed executor's lease is taken over at once by its own name.
pub(crate) fn options() -> ExecutorOptions {
    ExecutorOptions {
        first_pause: Duration::from_millis(5),
        longest_pause: Duration::from_millis(100),
        holder: "orchestrator".into(),
        ..ExecutorOptions::default()
    }
}

/// [`options`] for clouds in real time: what is in use by something that cannot be removed is not waited for long.
pub(crate) fn local_options() -> ExecutorOptions {
    ExecutorOptions { undo_patience: Duration::from_secs(2), ..options() }
}

/// The quickstart's plan for these clouds.
pub(crate) async fn plan(clouds: &Clouds, id: &str) -> Result<Plan> {
    let workload = Workload::from_path(format!("{QUICKSTART}/shop.yaml"))?;
    let mut options = PlanOptions::new(&workload.name);
    options.id = id.to_owned();
    let plan = planner::plan(&workload, &observe(clouds).await, &options)?;
    assert!(plan.steps.len() >= 12, "the figure is for a plan of at least 12 steps");
    Ok(plan)
}

/// The quickstart's clouds in a folder, as its `clouds.toml` has them.
pub(crate) async fn local_clouds(folder: &Path) -> Result<Clouds> {
    let config = folder.join("clouds.toml");
    if !config.exists() {
        std::fs::copy(format!("{QUICKSTART}/clouds.toml"), &config)?;
    }
    multicloud::connect(config).await
}

/// A world on the clouds of a configuration, whatever they are: all runs share them, and each has a deployment of its own.
pub(crate) async fn configured_world(
    clouds: &Clouds,
    workload: &Path,
    case: usize,
) -> Result<World> {
    let mut workload = Workload::from_path(workload)?;
    workload.name = format!("{}-{case}-{:08x}", workload.name, rand::random::<u32>());
    let options = PlanOptions::new(&workload.name);
    Ok(World {
        store: Arc::new(SqliteStore::in_memory(Arc::new(SystemClock)).await?),
        plan: planner::plan(&workload, &observe(clouds).await, &options)?,
        clouds: clouds.iter().cloned().collect(),
    })
}

/// A fresh world of local clouds in an empty folder.
pub(crate) async fn local_world(folder: &Path) -> Result<World> {
    let clouds = local_clouds(folder).await?;
    let store = SqliteStore::open(folder.join("state.db"), Arc::new(SystemClock)).await?;
    let plan = plan(&clouds, "quickstart").await?;
    Ok(World { store: Arc::new(store), clouds: clouds.iter().cloned().collect(), plan })
}

/// A fresh world of simulated clouds where the quickstart's are. They take their time, and listings show a change only later.
pub(crate) async fn sim_world(seed: u64, honours_tokens: bool) -> Result<World> {
    let places = [
        ("blue", vec![("eu-central", "DE", true)]),
        ("green", vec![("eu-west", "IE", true), ("us-east", "US", false)]),
        ("red", vec![("us-west", "US", false)]),
    ];
    let mut all: Vec<Arc<dyn Cloud>> = Vec::new();
    for (id, regions) in places {
        let mut cloud = SimCloud::builder(id, seed)
            .idempotent_tokens(honours_tokens)
            .consistency_window(Duration::from_secs(3))
            .latency(Duration::from_millis(5)..=Duration::from_millis(80));
        for (name, country, gdpr) in regions {
            let mut info = RegionInfo::new(Region::new(name)?);
            info.country = Some(country.into());
            info.compliance = gdpr.then(|| "GDPR".to_owned()).into_iter().collect();
            cloud = cloud.region_info(info);
        }
        all.push(Arc::new(cloud.build()?));
    }
    let clouds = Clouds::new(all)?;
    Ok(World {
        store: Arc::new(SqliteStore::in_memory(Arc::new(SystemClock)).await?),
        plan: plan(&clouds, "quickstart").await?,
        clouds: clouds.iter().cloned().collect(),
    })
}

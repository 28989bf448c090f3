//! The planner's plans carried out on a simulated cloud: what is planned is what comes about.

use std::{collections::BTreeSet, sync::Arc};

use cloud_core::{Cloud, ComputeExt, ListQuery, ResourceKind};
use cloud_testkit::sim::SimCloud;

use super::*;
use crate::{
    engine::{
        clouds::Clouds,
        plan::Action,
        saga::{Executor, ExecutorOptions, Run},
        store::{Store, StoreExt},
    },
    place::observe,
    testing::MemoryStore,
    workload::Format,
};

const SHOP: &str = include_str!("../workload/shop.yaml");

struct World {
    sim: SimCloud,
    clouds: Clouds,
    store: Arc<dyn Store>,
}

impl World {
    fn new() -> Self {
        let builder = SimCloud::builder("sim", 3);
        let sim = builder.region("eu-1", &[]).region("us-1", &[]).build().unwrap();
        Self {
            clouds: Clouds::new([Arc::new(sim.clone()) as Arc<dyn Cloud>]).unwrap(),
            sim,
            store: Arc::new(MemoryStore::new()),
        }
    }

    async fn owned(&self) -> Vec<OwnedResource> {
        self.store.catalog(Some("shop")).complete().await.unwrap().into_items()
    }

    async fn options(&self) -> PlanOptions {
        PlanOptions { owned: self.owned().await, delete_contents: true, ..PlanOptions::new("shop") }
    }

    async fn apply(&self, plan: &Plan) -> bool {
        let store = self.store.clone();
        let executor = Executor::new(store, self.clouds.clone(), ExecutorOptions::default());
        let outcome = executor.apply(plan, &Run::default()).await.unwrap();
        outcome.is_success()
    }

    async fn deploy(&self, workload: &Workload) -> Plan {
        let options = self.options().await;
        let plan = plan(workload, &observe(&self.clouds).await, &options).unwrap();
        assert!(self.apply(&plan).await);
        plan
    }
}

#[tokio::test(start_paused = true)]
async fn the_shop_is_deployed_grown_mended_and_destroyed() {
    let world = World::new();
    let mut shop = Workload::from_text(SHOP, Format::Yaml).unwrap();
    let first = world.deploy(&shop).await;
    assert_eq!(first.steps.len(), 9);
    assert_eq!(world.owned().await.len(), 6);
    assert!(world.deploy(&shop).await.steps.is_empty());

    // A third replica is told of what is there, secrets included, and nothing else is touched.
    let before = world.owned().await;
    shop.components[3].replicas = 3;
    let grown = world.deploy(&shop).await;
    assert!(grown.steps.iter().any(|s| matches!(s.action, Action::Refer { .. })));
    assert_eq!(world.sim.count(ResourceKind::Instance), 3);
    let after = world.owned().await;
    assert!(before.iter().all(|owned| after.contains(owned)));
    assert_eq!(after.len(), 7);

    // The database is lost: it is made again, and so is each of the three that were told of it.
    let orders = after.iter().find(|o| o.step == "orders").unwrap();
    let lost = BTreeSet::from([(orders.cloud.clone(), orders.id.clone())]);
    let options = PlanOptions { lost, ..world.options().await };
    let mended = replace(&shop, &observe(&world.clouds).await, &options).unwrap();
    assert!(world.apply(&mended).await);
    assert_eq!(world.owned().await.len(), 7);
    assert_eq!(world.sim.count(ResourceKind::Database), 1);
    let compute = world.sim.compute().unwrap();
    let instances = compute.list_instances(&ListQuery::default()).complete().await.unwrap();
    let old: Vec<_> = after.iter().map(|o| &o.id).collect();
    assert!(
        instances.items().iter().filter(|i| i.status.is_ready()).all(|i| !old.contains(&&i.id))
    );

    let end = destroy(&world.options().await).unwrap();
    assert!(world.apply(&end).await);
    assert!(world.owned().await.is_empty());
    for kind in ResourceKind::ALL {
        assert_eq!(world.sim.count(kind), 0, "{kind}");
    }
}

#[tokio::test(start_paused = true)]
async fn undoing_a_plan_leaves_what_it_referred_to() {
    let world = World::new();
    let mut shop = Workload::from_text(SHOP, Format::Yaml).unwrap();
    world.deploy(&shop).await;
    let before = world.owned().await;
    shop.components[3].replicas = 3;
    let options = world.options().await;
    let mut grown = plan(&shop, &observe(&world.clouds).await, &options).unwrap();
    // What nobody can do makes the plan fail after it has referred to the database.
    for step in &mut grown.steps {
        if let Action::Create { spec, .. } = &mut step.action {
            spec["size"] = serde_json::json!({"exact": "no.such.type"});
        }
    }
    assert!(!world.apply(&grown).await);
    assert_eq!(world.owned().await, before);
    assert_eq!(world.sim.count(ResourceKind::Database), 1);
}

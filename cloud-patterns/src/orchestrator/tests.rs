//! The orchestrator on simulated clouds: deploy, drift, repair, orphans, destroy.

use std::sync::Arc;

use cloud_core::{
    BucketSpec, ClientToken, Cloud, DeleteOptions, ErrorKind, Region, ResourceKind, Storage,
};
use cloud_testkit::sim::{Change, Reach, SimCloud};

use super::*;
use crate::{engine::plan::BlastRadiusLimit, testing::MemoryStore, workload::Format};

const SHOP: &str = "
name: shop
expires_in: 30d
components:
  - { name: net, type: network, spec: { cidr: 10.0.0.0/16 } }
  - { name: web, type: compute, replicas: 2, network: net }
  - { name: assets, type: storage }
";

fn shop() -> Workload {
    Workload::from_text(SHOP, Format::Yaml).unwrap()
}

fn orchestrator(clouds: &[&SimCloud]) -> Orchestrator {
    let mut orchestrator = Orchestrator::new(Arc::new(MemoryStore::new()));
    for cloud in clouds {
        orchestrator.register_provider(Arc::new((*cloud).clone()) as Arc<dyn Cloud>).unwrap();
    }
    orchestrator
}

fn everywhere(limit: BlastRadiusLimit) -> BlastRadiusLimit {
    limit.for_destroy()
}

async fn destroy_all(orchestrator: &Orchestrator) {
    let all = DeleteOptions { with_contents: true };
    let plan = orchestrator.destroy("shop", &all).await.unwrap();
    let limited = orchestrator.apply(&plan, &Run::default()).await.unwrap_err();
    assert_eq!(limited.kind(), ErrorKind::PolicyDenied);
    let limit = everywhere(BlastRadiusLimit::default());
    let outcome = orchestrator.apply_within(&plan, &limit, &Run::default()).await.unwrap();
    assert!(outcome.is_success(), "{outcome}");
    assert!(orchestrator.owned("shop").await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_region_goes_down_what_was_lost_moves_and_the_rest_is_found_later() {
    let sim = SimCloud::new("sim", 1);
    let orchestrator = orchestrator(&[&sim]);
    let outcome = orchestrator.deploy_workload(&shop(), &Run::default()).await.unwrap();
    assert!(outcome.is_success(), "{outcome}");
    assert_eq!(sim.count(ResourceKind::Instance), 2);
    assert!(orchestrator.plan(&shop()).await.unwrap().steps.is_empty());
    let drift = orchestrator.drift("shop").await.unwrap();
    assert!(drift.is_empty(), "{drift}");

    let owned = orchestrator.owned("shop").await.unwrap();
    let lost = owned.iter().find(|o| o.id.kind == ResourceKind::Network).unwrap().id.region.clone();
    sim.apply(Change::Outage(Reach::Region(lost.clone())));
    let drift = orchestrator.drift("shop").await.unwrap();
    assert!(drift.to_string().contains("out of reach"), "{drift}");
    let repair = orchestrator.repair(&shop(), &drift).await.unwrap();
    let limit = everywhere(BlastRadiusLimit::default());
    let outcome = orchestrator.apply_within(&repair, &limit, &Run::default()).await.unwrap();
    assert!(outcome.is_success(), "{outcome}");
    for owned in orchestrator.owned("shop").await.unwrap() {
        assert_ne!(owned.id.region, lost, "{}", owned.id);
    }
    assert!(orchestrator.drift("shop").await.unwrap().is_empty());

    // A region that cannot be listed is said, and hides nothing of the others.
    let orphans = orchestrator.orphans().await.unwrap();
    assert!(orphans.found.is_empty());
    assert_eq!(orphans.unlisted[0].region.as_ref(), Some(&lost));
    sim.apply(Change::Restore(Reach::Region(lost)));
    let orphans = orchestrator.orphans().await.unwrap();
    assert!(orphans.unlisted.is_empty() && !orphans.found.is_empty());
    assert!(orphans.found.iter().all(|o| o.owner.expires_at.is_some()));
    let all = DeleteOptions { with_contents: true };
    let removal = orchestrator.remove_orphans(&orphans, &all).unwrap();
    let outcome = orchestrator.apply_within(&removal, &limit, &Run::default()).await.unwrap();
    assert!(outcome.is_success(), "{outcome}");
    assert!(orchestrator.orphans().await.unwrap().found.is_empty());
    destroy_all(&orchestrator).await;
    assert!(sim.is_empty(), "{:?}", sim.living());
}

#[tokio::test(start_paused = true)]
async fn a_dead_instance_is_failed_and_a_deleted_one_missing() {
    let sim = SimCloud::new("sim", 1);
    let orchestrator = orchestrator(&[&sim]);
    orchestrator.deploy_workload(&shop(), &Run::default()).await.unwrap();
    let owned = orchestrator.owned("shop").await.unwrap();
    let web: Vec<_> = owned.iter().filter(|o| o.id.kind == ResourceKind::Instance).collect();
    sim.apply(Change::Kill(web[0].id.clone()));
    sim.delete_resource(&web[1].id, &DeleteOptions::default()).await.unwrap();
    let drift = orchestrator.drift("shop").await.unwrap();
    let kinds: Vec<_> = drift.items.iter().map(|i| (&i.owned.id, &i.kind)).collect();
    assert_eq!(drift.items.len(), 2, "{drift}");
    assert!(kinds.iter().any(|(id, k)| **id == web[0].id && matches!(k, DriftKind::Failed { .. })));
    assert!(kinds.iter().any(|(id, k)| **id == web[1].id && matches!(k, DriftKind::Missing)));
    // Planning the same workload again makes again what is lost.
    let plan = orchestrator.plan(&shop()).await.unwrap();
    let limit = everywhere(BlastRadiusLimit::default());
    let outcome = orchestrator.apply_within(&plan, &limit, &Run::default()).await.unwrap();
    assert!(outcome.is_success(), "{outcome}");
    assert!(orchestrator.drift("shop").await.unwrap().is_empty());
    assert_eq!(sim.count(ResourceKind::Instance), 2);
    destroy_all(&orchestrator).await;
}

#[tokio::test(start_paused = true)]
async fn adopting_takes_what_is_there_and_only_once() {
    let sim = SimCloud::new("sim", 1);
    let orchestrator = orchestrator(&[&sim]);
    let spec = BucketSpec::new("old-assets", Region::new("sim-1").unwrap());
    let bucket = sim.create_bucket(&spec, &ClientToken::random()).await.unwrap();
    let cloud = sim.id().clone();
    let plan = orchestrator.adopt("shop", "assets", &cloud, &bucket.id).await.unwrap();
    assert!(orchestrator.apply(&plan, &Run::default()).await.unwrap().is_success());
    let again = orchestrator.adopt("other", "assets", &cloud, &bucket.id).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::AlreadyExists);
    let status = orchestrator.status("shop").await.unwrap();
    assert!(status.resources[0].live.is_ok() && status.unfinished.is_empty());
    let nowhere = "bucket/sim-1/nowhere".parse().unwrap();
    let missing = orchestrator.adopt("shop", "assets", &cloud, &nowhere).await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
}

#[test]
fn two_clouds_of_one_name_and_none_are_refused() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let sim = SimCloud::new("sim", 1);
        let mut orchestrator = orchestrator(&[&sim]);
        let twice = orchestrator.register_provider(Arc::new(sim)).unwrap_err();
        assert_eq!(twice.kind(), ErrorKind::AlreadyExists);
        let id = "bucket/sim-1/a".parse().unwrap();
        let aws = cloud_core::CloudId::new("aws").unwrap();
        let unknown = orchestrator.adopt("shop", "a", &aws, &id).await.unwrap_err();
        assert!(unknown.to_string().contains("registered: sim"), "{unknown}");
    });
}

//! AWS by configuration alone, at a server that others wrote: the quickstart, the crash harness, a sync, with this machine beside it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "../benches/support/mod.rs"]
mod support;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use cloud_core::{
    BucketSpec, ClientToken, CloudExt, Ownership, Region, ResourceQuery, SystemClock,
};
use cloud_patterns::{
    engine::store::SqliteStore,
    sync::{RunOptions, SyncService},
    testing::CrashHarness,
};
use cloud_rig::{Emulator, Kind};
use futures::TryStreamExt;
use multicloud::{UrlLocations, objects::OpenOptions};
use object_store::{ObjectStore, ObjectStoreExt, path::Path as Key};

const QUICKSTART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/quickstart");

/// A moto of its own, and a `clouds.toml` as the example's, but with an endpoint and keys.
struct Configured {
    _moto: Emulator,
    folder: tempfile::TempDir,
}

impl Configured {
    fn new() -> Option<Self> {
        let moto = Emulator::start(Kind::Moto)?;
        let folder = tempfile::tempdir().unwrap();
        let keys = moto.keys();
        fs::write(folder.path().join("secret"), &keys.secret_access_key).unwrap();
        let account = format!(
            "endpoint = '{}'\ncredentials = {{ access_key_id = '{}', secret_access_key = {{ file = '{}' }} }}\n",
            moto.server().url(),
            keys.access_key_id,
            folder.path().join("secret").display(),
        );
        let example = fs::read_to_string(format!("{QUICKSTART}/aws.toml")).unwrap();
        fs::write(folder.path().join("clouds.toml"), example + &account).unwrap();
        Some(Self { _moto: moto, folder })
    }

    fn clouds_toml(&self) -> PathBuf {
        self.folder.path().join("clouds.toml")
    }
}

/// The example as cargo built it beside this test.
fn quickstart() -> Command {
    let test = std::env::current_exe().unwrap();
    let program = test.parent().unwrap().with_file_name("examples").join("quickstart");
    assert!(
        program.exists(),
        "cargo build --all-features --example quickstart makes {}",
        program.display()
    );
    Command::new(program)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_quickstart_runs_with_aws_beside_this_machine() {
    let Some(at) = tokio::task::spawn_blocking(Configured::new).await.unwrap() else { return };
    let workload = format!("{QUICKSTART}/shop-aws.yaml");
    let output = quickstart().arg(at.clouds_toml()).arg(workload).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for place in ["aws/eu-central-1", "aws/us-east-1", "laptop/eu-"] {
        assert!(said.contains(place), "nothing was in {place}");
    }
    assert!(said.contains("left: 0 processes"), "{said}");
    assert!(said.contains("0 orphans, 0 resources in the clouds"), "{said}");
}

/// Every so many of the harness's cases, on resources of AWS alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_on_aws_survives_faults_and_crashes() {
    let Some(at) = tokio::task::spawn_blocking(Configured::new).await.unwrap() else { return };
    let clouds = multicloud::connect(at.clouds_toml()).await.unwrap();
    let workload = Path::new(QUICKSTART).join("shop-aws.yaml");
    let world = |case: usize| support::configured_world(&clouds, &workload, case);
    let mut harness = CrashHarness::new(world, support::local_options()).every(41);
    let report = harness.run().await.unwrap();
    println!("{report}");
    assert!(report.is_clean(), "{report}");
    assert!(report.struck > 5, "{report}");
    let mut left = ResourceQuery::default();
    left.list.region = Some(Region::new("eu-central-1").unwrap());
    let aws = clouds.get(&"aws".parse().unwrap()).unwrap();
    let left = aws.list_resources(&left).complete().await.unwrap();
    let ours =
        left.items().iter().filter(|r| Ownership::read(&r.tags).is_some() && !r.status.is_gone());
    assert_eq!(ours.count(), 0);
}

async fn contents(store: &dyn ObjectStore) -> Vec<(String, u64)> {
    let listed: Vec<_> = store.list(None).try_collect().await.unwrap();
    let mut all: Vec<_> = listed.into_iter().map(|o| (o.location.to_string(), o.size)).collect();
    all.sort();
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_of_aws_and_one_of_this_machine_are_kept_the_same() {
    let Some(at) = tokio::task::spawn_blocking(Configured::new).await.unwrap() else { return };
    let clouds = multicloud::connect(at.clouds_toml()).await.unwrap();
    let (mut buckets, mut urls) = (Vec::new(), Vec::new());
    for (cloud, region) in [("aws", "us-east-1"), ("laptop", "eu-west")] {
        let storage = clouds.get(&cloud.parse().unwrap()).unwrap().storage().unwrap();
        let spec = BucketSpec::new("photos-of-the-sync", Region::new(region).unwrap());
        let bucket = storage.create_bucket(&spec, &ClientToken::random()).await.unwrap();
        buckets.push(storage.object_store(&bucket.id).await.unwrap());
        urls.push(format!("cloud://{cloud}/{region}/{}", bucket.id.native()));
    }
    for n in 0..40 {
        let body = vec![n as u8; 1000 * n];
        buckets[0].put(&Key::from(format!("album/{n:03}.jpg")), body.into()).await.unwrap();
    }
    let locations = UrlLocations::new(OpenOptions::default()).with_clouds(clouds.clone());
    let store = Arc::new(SqliteStore::in_memory(Arc::new(SystemClock)).await.unwrap());
    let service = SyncService::new(store, Arc::new(locations), Arc::new(SystemClock), "worker");
    let policy = serde_json::from_value(serde_json::json!({"mode": "bidirectional"})).unwrap();
    let job = service.setup_cross_cloud_data_sync(&urls[0], &urls[1], &policy).await.unwrap();
    let report = service.run(&job, &RunOptions::default()).await.unwrap();
    assert_eq!((report.copied, report.copied_back), (40, 0), "{report}");
    assert_eq!(contents(&*buckets[0]).await, contents(&*buckets[1]).await);

    buckets[1].put(&Key::from("album/new.jpg"), "new".into()).await.unwrap();
    buckets[1].delete(&Key::from("album/001.jpg")).await.unwrap();
    buckets[0].put(&Key::from("album/002.jpg"), "changed".into()).await.unwrap();
    let report = service.run(&job, &RunOptions::default()).await.unwrap();
    let seen = (report.copied, report.copied_back, report.deleted, report.unchanged);
    assert_eq!(seen, (1, 1, 1, 38), "{report}");
    assert_eq!(contents(&*buckets[0]).await, contents(&*buckets[1]).await);
}

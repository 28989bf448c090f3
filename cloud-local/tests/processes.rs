//! Several operating system processes on one data folder, and one that is killed at any moment.
//!
//! The other processes are this test binary again, running [`another_process`] with a task in its environment.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use std::{
    collections::BTreeSet,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use cloud_core::{
    BucketSpec, ClientToken, Cloud, CloudId, ComputeExt, ErrorKind, ListQuery, ResourceStatus,
    StorageExt,
};
use cloud_local::{LocalCloud, LocalConfig};
use common::{Folder, region, sleeper, until_status};

const TASK: &str = "CLOUD_LOCAL_TEST_TASK";
const FOLDER: &str = "CLOUD_LOCAL_TEST_FOLDER";

fn start(folder: &Folder, task: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "another_process", "--nocapture"])
        .env(TASK, task)
        .env(FOLDER, folder.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

fn step_token(i: usize) -> ClientToken {
    ClientToken::derive("plan", &format!("i{i}"), 1)
}

/// No test of its own: what the other processes do.
#[tokio::test]
async fn another_process() {
    let Ok(task) = std::env::var(TASK) else {
        return;
    };
    let root = PathBuf::from(std::env::var(FOLDER).unwrap());
    let config = LocalConfig::new(root, [region("eu-1"), region("us-1")]);
    let cloud = LocalCloud::open(CloudId::new("laptop").unwrap(), config).await.unwrap();
    let compute = cloud.compute().unwrap();
    match task.as_str() {
        "one instance" => {
            let made = compute.create_instance(&sleeper("i"), &step_token(0)).await.unwrap();
            assert_eq!(made.status, ResourceStatus::Running);
        }
        "buckets" => {
            let storage = cloud.storage().unwrap();
            for i in 0..20 {
                let spec = BucketSpec::new(format!("b{i}"), region("eu-1"));
                match storage.create_bucket(&spec, &ClientToken::random()).await {
                    Ok(_) => {}
                    Err(error) => assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}"),
                }
            }
        }
        "instances until killed" => {
            for i in 0.. {
                let spec = sleeper(&format!("i{}", i % 4));
                let made = compute.create_instance(&spec, &step_token(i % 4)).await.unwrap();
                if i % 3 == 2 {
                    compute.delete_instance(&made.id).await.unwrap();
                }
            }
        }
        other => panic!("unknown task {other}"),
    }
}

#[tokio::test]
async fn an_instance_outlives_who_made_it_and_is_found_again() {
    let folder = Folder::new();
    folder.open().await;
    assert!(start(&folder, "one instance").wait().unwrap().success());
    let cloud = folder.open().await;
    let compute = cloud.compute().unwrap();
    // The same token finds it; nothing is started twice.
    let found = compute.create_instance(&sleeper("i"), &step_token(0)).await.unwrap();
    assert_eq!(found.status, ResourceStatus::Running);
    assert_eq!(folder.processes().len(), 1);
    compute.stop_instance(&found.id).await.unwrap();
    assert!(folder.processes().is_empty());
    compute.start_instance(&found.id).await.unwrap();
    until_status(&cloud, &found.id, ResourceStatus::Running).await;
    // Killed from outside: dead, even though nobody has told us.
    let pid = rustix::process::Pid::from_raw(folder.processes()[0]).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    let failed = until_status(&cloud, &found.id, ResourceStatus::Failed).await;
    assert!(failed.status_reason.is_some());
    assert!(compute.delete_instance(&found.id).await.unwrap());
}

#[tokio::test]
async fn processes_side_by_side_corrupt_nothing() {
    let folder = Folder::new();
    let others: Vec<Child> = (0..4).map(|_| start(&folder, "buckets")).collect();
    for mut other in others {
        assert!(other.wait().unwrap().success());
    }
    let storage = folder.open().await.storage().unwrap();
    let all = storage.list_buckets(&ListQuery::default()).complete().await.unwrap();
    let names: BTreeSet<_> = all.items().iter().map(|b| b.name.clone()).collect();
    assert_eq!((names.len(), all.items().len()), (20, 20));
}

#[tokio::test]
async fn kill_9_at_any_moment_leaves_nothing_that_cannot_be_found() {
    let folder = Folder::new();
    let cloud = folder.open().await;
    let compute = cloud.compute().unwrap();
    for round in 0..25u64 {
        let mut other = start(&folder, "instances until killed");
        std::thread::sleep(Duration::from_millis(40 + 7 * round));
        other.kill().unwrap();
        other.wait().unwrap();
        // Resumed with the same tokens: each is there once.
        let mut ids = Vec::new();
        for i in 0..4 {
            let spec = sleeper(&format!("i{i}"));
            let made = compute.create_instance(&spec, &step_token(i)).await.unwrap();
            assert_eq!(made.status, ResourceStatus::Running, "round {round}: {made:?}");
            ids.push(made.id);
        }
        let listed = compute.list_instances(&ListQuery::default()).complete().await.unwrap();
        assert_eq!(listed.items().len(), 4, "round {round}");
        assert_eq!(folder.processes().len(), 4, "round {round}");
        for id in ids {
            assert!(compute.delete_instance(&id).await.unwrap());
        }
        assert!(folder.processes().is_empty(), "round {round}");
    }
    folder.open().await;
    let left: Vec<_> =
        folder.files().into_iter().filter(|f| !f.ends_with("lock") && f != "format.json").collect();
    assert!(left.is_empty(), "{left:?}");
}

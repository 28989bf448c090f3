//! A disk that is really full: a file system of 2 MiB in a mount namespace of its own, where this binary runs itself again.
//!
//! Skipped where the system lets nobody make one, in CI too: it is a matter of the kernel's privileges, not of programs.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

use cloud_core::{
    BucketSpec, ClientToken, Cloud, CloudExt, CloudId, DatabaseSpec, DeleteOptions, Engine, Error,
    ErrorKind, FunctionCode, FunctionSpec, NetworkSpec, ResourceQuery,
};
use cloud_local::{LocalCloud, LocalConfig};
use common::{region, skip, sleeper, words};
use object_store::{ObjectStoreExt, path::Path as Key};

/// Names the small file system to the process that works in it.
const DISK: &str = "CLOUD_LOCAL_SMALL_DISK";

/// Mounts a small file system on the first argument and runs the others.
const MOUNT: &str = "mount -t tmpfs -o size=2m tmpfs \"$1\" && shift && exec \"$@\"";

#[test]
fn a_full_disk_leaves_nothing_half_done() {
    let folder = tempfile::tempdir().unwrap();
    let on_disk = |command: &[&str]| {
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "sh", "-c", MOUNT, "sh"]).arg(folder.path()).args(command);
        unshare
    };
    if !on_disk(&["true"]).output().is_ok_and(|tried| tried.status.success()) {
        return skip("a_full_disk_leaves_nothing_half_done", "no file system can be mounted here");
    }
    let this = std::env::current_exe().unwrap();
    let output = on_disk(&[this.to_str().unwrap(), "--exact", "on_the_small_disk", "--nocapture"])
        .env(DISK, folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("the small disk was full"), "{said}");
}

/// Takes up space: all of it, or all but some pages.
fn fill(filler: &Path, leave: u64) {
    let mut file = File::create(filler).unwrap();
    let page = [1; 4096];
    while file.write_all(&page).is_ok() {}
    let full = file.metadata().unwrap().len();
    file.set_len((full / 4096).saturating_sub(leave) * 4096).unwrap();
}

/// Creates one of each kind that there is, and says how each went.
async fn create_each(cloud: &LocalCloud) -> Vec<(&'static str, Result<(), Error>)> {
    let (place, token) = (region("eu-1"), ClientToken::random);
    let code = FunctionCode::Executable(words(&["/bin/cat"]));
    let network = NetworkSpec::new("network", place.clone(), "10.0.0.0/16".parse().unwrap());
    let function = FunctionSpec::new("function", place.clone(), code);
    let database = DatabaseSpec::new("database", place.clone(), Engine::Sqlite);
    let mut instance = sleeper("instance");
    instance.user_data = Some("x".repeat(5000));
    let bucket = BucketSpec::new("bucket", place);
    let (compute, storage) = (cloud.compute().unwrap(), cloud.storage().unwrap());
    let (databases, networks) = (cloud.database().unwrap(), cloud.network().unwrap());
    let functions = cloud.functions().unwrap();
    vec![
        ("instance", compute.create_instance(&instance, &token()).await.map(drop)),
        ("database", databases.create_database(&database, &token()).await.map(drop)),
        ("bucket", storage.create_bucket(&bucket, &token()).await.map(drop)),
        ("network", networks.create_network(&network, &token()).await.map(drop)),
        ("function", functions.create_function(&function, &token()).await.map(drop)),
    ]
}

/// The names of all that there is but the bucket that is always there.
async fn names(cloud: &LocalCloud) -> Vec<String> {
    let all = cloud.list_resources(&ResourceQuery::default()).complete().await.unwrap();
    let mut names: Vec<_> = all.items().iter().map(|r| r.name.clone()).collect();
    names.retain(|name| name != "kept");
    names.sort_unstable();
    names
}

async fn delete_all(cloud: &LocalCloud) {
    let options = DeleteOptions { with_contents: true };
    for resource in
        cloud.list_resources(&ResourceQuery::default()).complete().await.unwrap().items()
    {
        if resource.name != "kept" {
            assert!(cloud.delete_resource(&resource.id, &options).await.unwrap());
        }
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => found.push(path),
            }
        }
    }
    found.retain(|path| !path.components().any(|part| part.as_os_str() == "locks"));
    found.sort();
    found
}

/// Not a test without being asked to.
#[tokio::test(flavor = "multi_thread")]
async fn on_the_small_disk() {
    let Some(disk) = std::env::var_os(DISK).map(PathBuf::from) else {
        return;
    };
    let (root, filler) = (disk.join("clouds"), disk.join("filler"));
    let config = LocalConfig::new(&root, [region("eu-1")]);
    let cloud = LocalCloud::open(CloudId::new("laptop").unwrap(), config).await.unwrap();
    let storage = cloud.storage().unwrap();
    let spec = BucketSpec::new("kept", region("eu-1"));
    let bucket = storage.create_bucket(&spec, &ClientToken::random()).await.unwrap();
    let objects = storage.object_store(&bucket.id).await.unwrap();
    let (kept, new) = (Key::from("kept"), Key::from("new"));
    objects.put(&kept, "old".into()).await.unwrap();
    let before = files(&root);

    // From no room at all to enough for some: each create is carried out or leaves nothing.
    for leave in 0..24 {
        fill(&filler, leave);
        let mut made = Vec::new();
        for (kind, result) in create_each(&cloud).await {
            match result {
                Ok(()) => made.push(kind.to_owned()),
                Err(error) => assert_eq!(error.kind(), ErrorKind::StorageFull, "{kind}: {error:?}"),
            }
        }
        made.sort_unstable();
        assert!(leave > 0 || made.is_empty(), "{made:?}");
        assert_eq!(names(&cloud).await, made, "with {leave} pages left");
        // What is deleted is what frees the space, so it must not need any.
        fill(&disk.join("more"), 0);
        delete_all(&cloud).await;
        assert_eq!(names(&cloud).await, Vec::<String>::new());
        assert_eq!(files(&root), before, "with {leave} pages left");
        std::fs::remove_file(disk.join("more")).unwrap();
    }

    for leave in 0..4 {
        fill(&filler, leave);
        for key in [&kept, &new] {
            let error = Error::from(objects.put(key, vec![7; 100_000].into()).await.unwrap_err());
            assert_eq!(error.kind(), ErrorKind::StorageFull, "{error:?}");
        }
        let old = objects.get(&kept).await.unwrap().bytes().await.unwrap();
        assert_eq!(old, "old");
        assert_eq!(files(&root), before);
    }
    println!("the small disk was full");

    std::fs::remove_file(&filler).unwrap();
    for (kind, result) in create_each(&cloud).await {
        assert!(result.is_ok(), "{kind}: {result:?}");
    }
    objects.put(&new, vec![7; 100_000].into()).await.unwrap();
    assert_eq!(objects.get(&new).await.unwrap().bytes().await.unwrap().len(), 100_000);
    delete_all(&cloud).await;
    storage.delete_bucket(&bucket.id, &DeleteOptions { with_contents: true }).await.unwrap();
}

//! The store in a file: what is no store is left alone, several real processes share it, a killed one leaves it whole.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[cfg(feature = "postgres")]
#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/store.rs"]
mod store;

use std::{
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use cloud_core::{ErrorKind, SystemClock, TokioClock, WaitOptions, wait_until};
use cloud_patterns::engine::store::*;
use futures::future::join_all;
use serde_json::json;
use sqlx::Connection;
use store::*;

/// Tells [`helper_process`] what to do: `what|path|name`.
const TASK: &str = "MULTICLOUD_STORE_TEST_TASK";

async fn open(path: &Path) -> cloud_core::Result<SqliteStore> {
    SqliteStore::open(path, Arc::new(SystemClock)).await
}

#[tokio::test]
async fn what_is_no_store_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    let foreign = {
        let options =
            sqlx::sqlite::SqliteConnectOptions::new().filename(&path).create_if_missing(true);
        let mut c = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
        sqlx::raw_sql("CREATE TABLE theirs (x)").execute(&mut c).await.unwrap();
        c.close().await.unwrap();
        std::fs::read(&path).unwrap()
    };
    let whole = folder.path().join("whole.db");
    drop(open(&whole).await.unwrap());
    let cut_off = std::fs::read(&whole).unwrap()[..5000].to_vec();
    for bytes in [
        b"not a database, but long enough to have a header, one might think; it is text".repeat(9),
        vec![],
        vec![0; 9000],
        foreign,
        cut_off,
    ] {
        std::fs::write(&path, &bytes).unwrap();
        let error = open(&path).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        assert!(error.to_string().contains("x.db"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
    }
}

#[tokio::test]
async fn a_damaged_page_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    let rig = open(&path).await.unwrap();
    let fence = lease(&rig, "l").await.fence;
    rig.append(&fence, "s", (0..2000).map(Record::new).collect()).await.unwrap();
    // Moves the log into the file, so that the damage below is in what is read.
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path);
    let mut c = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut c).await.unwrap();
    c.close().await.unwrap();
    drop(rig);
    let copy = folder.path().join("copy.db");
    let mut bytes = std::fs::read(&path).unwrap();
    for byte in &mut bytes[9 * 4096..] {
        *byte = 0xee;
    }
    std::fs::write(&copy, &bytes).unwrap();
    let error = match open(&copy).await {
        Ok(store) => store.read("s").complete().await.unwrap_err(),
        Err(error) => error,
    };
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert_eq!(std::fs::read(&copy).unwrap(), bytes);
}

#[tokio::test]
async fn a_path_that_cannot_be_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let error = open(&folder.path().join("no/such/folder.db")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    assert!(error.to_string().contains("no/such"), "{error}");
    let error = open(folder.path()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    assert!(open(Path::new("")).await.is_err());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn the_file_is_ours_alone_whatever_its_name() {
    let folder = tempfile::tempdir().unwrap();
    for name in [":memory:", "file:x?mode=memory", "a b%20#?.db", "größe.db"] {
        let path = folder.path().join(name);
        let store = open(&path).await.unwrap();
        let fence = lease(&store, "l").await.fence;
        store.append(&fence, "s", vec![Record::new(1)]).await.unwrap();
        for file in std::fs::read_dir(folder.path()).unwrap() {
            let file = file.unwrap();
            assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{file:?}");
        }
        assert_eq!(all(&open(&path).await.unwrap(), "s").await.len(), 1);
    }
}

/// Virtual time stands still while the store works, so no time-out of a simulation fires because of it.
#[tokio::test(start_paused = true)]
async fn a_paused_clock_does_not_run_on() {
    let clock = Arc::new(TokioClock::starting_at(jiff::Timestamp::UNIX_EPOCH));
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("x.db"), clock.clone()).await.unwrap();
    let work = async {
        let fence = lease(&store, "l").await.fence;
        for n in 0..50 {
            store.append(&fence, "s", vec![Record::new(n)]).await.unwrap();
        }
        all(&store, "s").await.len()
    };
    let done = tokio::time::timeout(Duration::from_millis(1), work).await;
    assert_eq!(done, Ok(50));
    assert_eq!(clock.elapsed(), Duration::ZERO);
}

#[test]
fn a_store_whose_runtime_has_ended_says_so() {
    let runtime = || {
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
    };
    let first = runtime();
    let store = first.block_on(SqliteStore::in_memory(Arc::new(SystemClock))).unwrap();
    first.shutdown_timeout(Duration::from_secs(5));
    let error = runtime().block_on(store.acquire("l", "me", TTL)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
}

#[tokio::test]
async fn processes_share_a_file_and_corrupt_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    // All four make the file, too: none is there yet.
    let children: Vec<_> = (0..4).map(|n| spawn("append", &path, &n.to_string())).collect();
    for mut child in children {
        let status = tokio::task::spawn_blocking(move || child.wait()).await.unwrap().unwrap();
        assert!(status.success());
    }
    let store = open(&path).await.unwrap();
    let shared = all(&store, "shared").await;
    assert_eq!(shared.len(), 4 * 50 * 2);
    assert_whole(&shared);
    for n in 0..4 {
        assert_eq!(all(&store, &format!("own/{n}")).await.len(), 50);
    }
    assert!(store.rebuild_catalog().await.unwrap().was_right());
    assert_eq!(
        std::fs::read_dir(folder.path())
            .unwrap()
            .filter(|f| f.as_ref().unwrap().file_name().to_string_lossy().starts_with('.'))
            .count(),
        0
    );
}

#[tokio::test]
async fn a_killed_process_leaves_whole_appends_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    let store = open(&path).await.unwrap();
    let mut seen = 0;
    for round in 0..8 {
        let mut children = [spawn("forever", &path, "a"), spawn("forever", &path, "b")];
        wait_until("both write", &WaitOptions::default(), || async {
            let entries = all(&store, "shared").await;
            let new = &entries[seen..];
            let by = |name: &str| new.iter().any(|e| e.record.body[0] == json!(format!("{name}")));
            Ok((by("a") && by("b")).then_some(()))
        })
        .await
        .unwrap();
        for child in &mut children {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        let entries = all(&store, "shared").await;
        assert!(entries.len() > seen, "round {round}");
        seen = entries.len();
        assert_whole(&entries);
        assert!(store.rebuild_catalog().await.unwrap().was_right());
    }
    // The dead one's lease is in the way until it expires, or until it is back.
    assert!(store.acquire("a", "somebody else", TTL).await.unwrap().is_none());
    assert_eq!(store.acquire("a", "a", TTL).await.unwrap().unwrap().fence.epoch, 9);
}

#[tokio::test]
async fn a_file_or_folder_that_may_not_be_written_is_told() {
    let folder = tempfile::Builder::new()
        .permissions(std::fs::Permissions::from_mode(0o755))
        .tempdir()
        .unwrap();
    let path = folder.path().join("x.db");
    drop(open(&path).await.unwrap());
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o444)).unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o555)).unwrap();
    // Root may write everything, so another user has to try, with a program that it may read.
    let bin = tempfile::Builder::new()
        .permissions(std::fs::Permissions::from_mode(0o755))
        .tempdir()
        .unwrap();
    let program = bin.path().join("test");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    for path in [path, folder.path().join("new.db")] {
        let mut command = helper(&program, "denied", &path, "");
        if std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap()) == 0 {
            command.uid(65534).gid(65534);
        }
        let status = command.current_dir("/").status().unwrap();
        assert!(status.success(), "{}", path.display());
    }
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// Every append of [`helper_process`] has two records with the same body.
fn assert_whole(entries: &[Entry]) {
    assert_eq!(entries.len() % 2, 0);
    for (n, pair) in entries.chunks(2).enumerate() {
        assert_eq!(pair[0].sequence, 2 * n as u64 + 1);
        assert_eq!(pair[0].record.body, pair[1].record.body);
    }
}

fn helper(program: &Path, what: &str, path: &Path, name: &str) -> Command {
    let mut command = Command::new(program);
    command
        .args(["helper_process", "--exact", "--nocapture", "--quiet"])
        .env(TASK, format!("{what}|{}|{name}", path.display()))
        .stdout(Stdio::null());
    command
}

fn spawn(what: &str, path: &Path, name: &str) -> Child {
    helper(&std::env::current_exe().unwrap(), what, path, name).spawn().unwrap()
}

/// No test of its own: what the tests above run as other processes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn helper_process() {
    let Ok(task) = std::env::var(TASK) else {
        return;
    };
    let mut parts = task.split('|');
    let mut part = || parts.next().unwrap().to_owned();
    let (what, path, name) = (part(), part(), part());
    let opened = open(Path::new(&path)).await;
    if what == "denied" {
        let error = opened.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
        return;
    }
    let store = Arc::new(opened.unwrap());
    let lease =
        store.acquire(&name, &name, TTL).await.unwrap().expect("only this process wants it");
    let mut number = 0_u32;
    loop {
        let appends = (0..10).map(|n| {
            let (store, fence, name) = (Arc::clone(&store), lease.fence.clone(), name.clone());
            let body = json!([name, number + n]);
            tokio::spawn(async move {
                let made = Record { body: body.clone(), ..put(&resource(&name, n)) };
                let pair = vec![made, Record { body, ..remove(&resource("x", n)) }];
                store.append(&fence, "shared", pair).await.unwrap();
                let own = format!("own/{name}");
                store.append(&fence, &own, vec![Record::new(n)]).await.unwrap();
            })
        });
        for done in join_all(appends).await {
            done.unwrap();
        }
        number += 10;
        if what == "append" && number == 50 {
            return;
        }
    }
}

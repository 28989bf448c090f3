//! A sync whose process is killed again and again: no object is lost, and little is done twice.
//! A seed is printed; `SYNC_SEED=N` repeats it, as far as the machine does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod sync_support;

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use cloud_core::SystemClock;
use cloud_patterns::engine::store::SqliteStore;
use cloud_testkit::object_server::{Dialect, ServerOptions};
use rand::RngExt;
use serde_json::json;
use sync_support::*;

const KILLS: u64 = 100;
const OBJECTS: usize = 2000;

/// So many objects are on their way at once; with the servers' delay that makes 100 of them a second.
const CONCURRENCY: u64 = 4;
const DELAY: Duration = Duration::from_millis(20);

/// What a kill may cost: what is on its way, and where the target does not show what arrived, also what arrived since the
/// journal was last written, a quarter of a second ago at most on an idle machine, and twice that on a busy one.
const ON_ITS_WAY: u64 = CONCURRENCY;
const NOT_TAKEN_DOWN: u64 = 50;

/// The process that is killed: this program with a job in its environment. No test of its own.
#[tokio::test]
async fn child() {
    let Ok(job) = std::env::var("SYNC_KILL_CHILD") else { return };
    let [source, target, store]: [String; 3] = serde_json::from_str(&job).unwrap();
    let store = Arc::new(SqliteStore::open(store, Arc::new(SystemClock)).await.unwrap());
    let policy = json!({"limits": {"concurrency": CONCURRENCY}});
    let sync =
        Sync::on(store, Locations::default(), "worker", &source, &target, policy).await.unwrap();
    sync.run().await;
}

fn start(source: &Place, target: &Place, store: &Path) -> Child {
    let job =
        serde_json::to_string(&[source.url(), target.url(), store.display().to_string()]).unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "child", "--nocapture"]).env("SYNC_KILL_CHILD", job);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits for the end of the process for so long; whether it ended by itself, and well.
async fn ended(child: &mut Child, within: Duration) -> bool {
    let until = Instant::now() + within;
    while Instant::now() < until {
        if let Some(status) = child.try_wait().unwrap() {
            let mut said = String::new();
            std::io::Read::read_to_string(child.stderr.as_mut().unwrap(), &mut said).unwrap();
            assert!(status.success(), "the process failed by itself: {said}");
            return true;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    false
}

async fn killed_again_and_again(dialect: Dialect, bound: u64) {
    let seed = seed();
    let mut random = random(seed);
    let far = |dialect| {
        Place::server(dialect, ServerOptions { delay: DELAY, ..ServerOptions::default() })
    };
    let (mut kills, mut jobs, mut redundant) = (0, 0, 0);
    while kills < KILLS {
        let (source, target) = (far(Dialect::S3).await, far(dialect).await);
        source.fill(
            &(0..OBJECTS)
                .map(|n| (format!("d{}/{n:05}", n % 7), noise(n as u64, n % 1000)))
                .collect(),
        );
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("store.db");
        jobs += 1;
        loop {
            let mut child = start(&source, &target, &store);
            let life = match kills < KILLS {
                true => Duration::from_millis(random.random_range(20..450)),
                false => Duration::from_secs(60),
            };
            if ended(&mut child, life).await {
                break;
            }
            child.kill().unwrap();
            child.wait().unwrap();
            kills += 1;
            assert!(kills <= KILLS, "seed {seed}: a run that nobody kills does not end");
        }
        assert_same(&source, &target);
        assert_eq!(target.remote().open_uploads(), 0);
        let writes = target.remote().stats();
        assert_eq!(writes.distinct_writes(), OBJECTS as u64);
        redundant += writes.redundant_writes();
    }
    println!(
        "{dialect:?}: {redundant} redundant transfers after {kills} kills in {jobs} jobs of {OBJECTS} objects"
    );
    assert!(
        redundant <= kills * bound,
        "seed {seed}: {redundant} redundant transfers after {kills} kills"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_on_the_way_to_a_store_that_shows_what_arrived() {
    killed_again_and_again(Dialect::S3, ON_ITS_WAY).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_on_the_way_to_a_store_that_shows_nothing() {
    killed_again_and_again(Dialect::Azure, ON_ITS_WAY + NOT_TAKEN_DOWN).await;
}

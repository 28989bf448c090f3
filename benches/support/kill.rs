//! An orchestrator in a process of its own, killed with SIGKILL at random points, and what is found afterwards.
#![allow(dead_code)]

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use cloud_patterns::{
    engine::{plan::BlastRadiusLimit, saga::Run, store::SqliteStore},
    orchestrator::Orchestrator,
};
use multicloud::core::{
    ClientToken, CloudExt, Clouds, DeleteOptions, Ownership, ResourceQuery, SystemClock,
};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::support;

/// Names the folder to the orchestrating process, and what it is to do there.
const FOLDER: &str = "CRASH_BENCH_FOLDER";
const DESTROY: &str = "CRASH_BENCH_DESTROY";
const DEPLOYMENT: &str = "shop";

/// The folder to orchestrate in, if this process was started for that.
pub(crate) fn asked_to_orchestrate() -> Option<PathBuf> {
    std::env::var_os(FOLDER).map(PathBuf::from)
}

async fn orchestrator(folder: &Path) -> (Orchestrator, Clouds) {
    let clouds = support::local_clouds(folder).await.unwrap();
    let store = SqliteStore::open(folder.join("state.db"), Arc::new(SystemClock)).await.unwrap();
    let mut orchestrator = Orchestrator::new(Arc::new(store)).with_options(support::options());
    for cloud in clouds.iter() {
        orchestrator.register_provider(cloud.clone()).unwrap();
    }
    (orchestrator, clouds)
}

/// The process that is killed: goes on with whatever is unfinished, or else deploys or destroys. Exit code 0 once that is done.
pub(crate) fn orchestrate(folder: &Path) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let (orchestrator, clouds) = orchestrator(folder).await;
        let run = Run::default();
        for plan in orchestrator.executor().unfinished(DEPLOYMENT).await.unwrap() {
            let outcome = orchestrator.resume(&plan, &run).await.unwrap();
            assert!(outcome.is_success(), "{outcome}");
        }
        let owned = orchestrator.owned(DEPLOYMENT).await.unwrap();
        let plan = match std::env::var_os(DESTROY) {
            Some(_) if owned.is_empty() => return,
            Some(_) => orchestrator
                .destroy(DEPLOYMENT, &DeleteOptions { with_contents: true })
                .await
                .unwrap(),
            None if !owned.is_empty() => return,
            // A plan that was saved and never begun has done nothing; this one takes its place.
            None => support::plan(&clouds, ClientToken::random().as_str()).await.unwrap(),
        };
        let all = BlastRadiusLimit::default().for_destroy();
        let outcome = orchestrator.apply_within(&plan, &all, &run).await.unwrap();
        assert!(outcome.is_success(), "{outcome}");
    });
}

/// What the kills left.
#[derive(Debug, Default)]
pub(crate) struct Killed {
    seed: u64,
    kills: usize,
    rounds: usize,
    orphans: usize,
    duplicates: usize,
    unresumable: usize,
}

impl Killed {
    pub(crate) fn is_clean(&self) -> bool {
        self.orphans + self.duplicates + self.unresumable == 0
    }
}

impl fmt::Display for Killed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} kill -9 in {} deployments and removals (seed {}): orphans {}, duplicates {}, unresumable {}",
            self.kills, self.rounds, self.seed, self.orphans, self.duplicates, self.unresumable
        )
    }
}

/// Deploys and destroys in turn, killing the process that does it at random points and starting it anew, until it was killed so often.
pub(crate) async fn rounds(seed: u64, kills: usize) -> Killed {
    let mut random = StdRng::seed_from_u64(seed);
    let folder = tempfile::tempdir().unwrap();
    let mut killed = Killed { seed, ..Killed::default() };
    // How long an undisturbed run takes here; kills are spread over that.
    let (mut deploys, mut destroys) = (Duration::from_millis(800), Duration::from_millis(800));
    while killed.kills < kills {
        let folder = folder.path().join(killed.rounds.to_string());
        std::fs::create_dir(&folder).unwrap();
        for destroy in [false, true] {
            let typical = if destroy { &mut destroys } else { &mut deploys };
            let mut finished = false;
            for attempt in 0.. {
                let start = Instant::now();
                let kill = attempt < 4 && killed.kills < kills;
                let wait = typical.mul_f64(random.random_range(0.0..1.1));
                let mut child = start_child(&folder, destroy);
                let status =
                    if kill { wait_for(&mut child, wait) } else { Some(child.wait().unwrap()) };
                match status {
                    Some(status) if status.success() => {
                        finished = true;
                        if attempt == 0 {
                            *typical = start.elapsed();
                        }
                        break;
                    }
                    Some(_) => break,
                    None => {
                        child.kill().unwrap();
                        child.wait().unwrap();
                        killed.kills += 1;
                    }
                }
            }
            killed.unresumable += usize::from(!finished);
            look_around(&folder, destroy, &mut killed).await;
        }
        killed.rounds += 1;
        std::fs::remove_dir_all(&folder).unwrap();
    }
    killed
}

fn start_child(folder: &Path, destroy: bool) -> std::process::Child {
    let mut child = Command::new(std::env::current_exe().unwrap());
    // The arguments are for when this is the binary of a test.
    child.args(["--exact", "the_process_that_is_killed", "--nocapture"]);
    child.env(FOLDER, folder).stdin(Stdio::null()).stdout(Stdio::null());
    if destroy {
        child.env(DESTROY, "1");
    }
    child.spawn().unwrap()
}

/// Its exit status, or `None` if it is still running after that time.
fn wait_for(child: &mut std::process::Child, time: Duration) -> Option<std::process::ExitStatus> {
    let end = Instant::now() + time;
    while Instant::now() < end {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    child.try_wait().unwrap()
}

/// Everything that is in the clouds is owned and there once; after a removal there is nothing.
async fn look_around(folder: &Path, destroyed: bool, killed: &mut Killed) {
    let (orchestrator, clouds) = orchestrator(folder).await;
    let orphans = orchestrator.orphans().await.unwrap();
    assert!(orphans.unlisted.is_empty());
    killed.orphans += orphans.found.len();
    let owned = orchestrator.owned(DEPLOYMENT).await.unwrap().len();
    let mut by_step: BTreeMap<String, usize> = BTreeMap::new();
    for cloud in clouds.iter() {
        let all = cloud.list_resources(&ResourceQuery::default()).complete().await.unwrap();
        for resource in all.items() {
            let owner = Ownership::read(&resource.tags).unwrap();
            *by_step.entry(owner.step).or_default() += 1;
        }
    }
    killed.duplicates += by_step.values().map(|n| n - 1).sum::<usize>();
    let expected = if destroyed { 0 } else { 9 };
    if by_step.len() != expected || owned != expected {
        killed.unresumable += 1;
    }
}

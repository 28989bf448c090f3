//! The conformance suite on the simulated cloud and on the local one: how many trials each passes, fails and skips.
//!
//! `cargo bench --bench conformance`; with `VERBOSE=1` one line for each trial. With `--features postgres` the local cloud's
//! `postgres` engine takes part where PostgreSQL's programs are installed. Aim: no trial fails.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../cloud-local/tests/common/harness.rs"]
mod local;
#[path = "../cloud-testkit/tests/common/harness.rs"]
mod sim;

use std::time::{Duration, Instant};

use cloud_testkit::{
    conformance::{Harness, Report, run_all},
    sim::SimCloud,
};
use local::LocalHarness;
use multicloud::core::Engine;
use sim::SimHarness;

/// Prints a report, its single trials only if asked to; returns whether nothing failed.
fn show(name: &str, report: &Report, since: Instant) -> bool {
    if std::env::var("VERBOSE").is_ok_and(|verbose| verbose == "1") {
        println!("{report}");
    }
    for trial in report.failed() {
        println!("FAILED {}: {:?}", trial.name, trial.outcome);
    }
    let failed = report.failed().count();
    println!(
        "{name:<36} {} trials: {} passed, {failed} failed, {} skipped ({:.0} s)",
        report.trials().len(),
        report.passed(),
        report.skipped(),
        since.elapsed().as_secs_f64()
    );
    failed == 0 && report.passed() > 0
}

async fn simulated() -> bool {
    let start = Instant::now();
    let report = run_all(&SimHarness::new(SimCloud::new("plain", 1))).await;
    let plain = show("SimCloud", &report, start);

    let start = Instant::now();
    let slow = SimCloud::builder("slow", 1)
        .slow(Duration::from_secs(1)..=Duration::from_secs(20))
        .latency(Duration::from_millis(1)..=Duration::from_millis(300))
        .consistency_window(Duration::from_secs(5));
    let report = run_all(&SimHarness::new(slow.build().unwrap())).await;
    plain & show("SimCloud, eventually consistent", &report, start)
}

async fn local() -> bool {
    let start = Instant::now();
    let folder = tempfile::tempdir().unwrap();
    let harness = LocalHarness::open(folder.path()).await;
    let cloud = harness.cloud();
    let database = cloud.capabilities().database.as_ref();
    let engines = match database.is_some_and(|d| d.engine(Engine::Postgres).is_ok()) {
        true => "LocalCloud, with PostgreSQL",
        false => "LocalCloud, without PostgreSQL",
    };
    let report = run_all(&harness).await;
    show(engines, &report, start)
}

fn main() {
    let virtual_time = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    let simulated = virtual_time.block_on(simulated());
    let real_time = tokio::runtime::Runtime::new().unwrap();
    let local = real_time.block_on(local());
    if !(simulated && local) {
        std::process::exit(1);
    }
}

//! The crash harness on the quickstart's plan: every call and every write of the journal, forwards and backwards, failed before and after its
//! effect, lost, crashed at and repeated, on simulated clouds and on local ones; then an orchestrator process killed 200 times.
//!
//! `cargo bench --bench crash [-- sim|local|kill]`. Aim: orphans 0, duplicates 0, runs that could not be resumed 0.
//!
//! On any clouds, by configuration alone: `CLOUDS=clouds.toml WORKLOAD=shop.yaml [EVERY=7] cargo bench --features aws --bench crash -- clouds`.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "support/kill.rs"]
mod kill;
#[path = "support/mod.rs"]
mod support;

use std::{path::PathBuf, time::Instant};

use cloud_patterns::testing::{CrashHarness, HarnessReport};

fn show(name: &str, report: &HarnessReport, since: Instant) {
    println!(
        "{name:<44} {report} ({:.0} s, the fault struck {})",
        since.elapsed().as_secs_f64(),
        report.struck
    );
    assert!(report.is_clean());
}

fn main() {
    if let Some(folder) = kill::asked_to_orchestrate() {
        return kill::orchestrate(&folder);
    }
    let only: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let parts: [(&str, fn()); 3] = [("sim", simulated), ("local", local), ("kill", killed)];
    if only.iter().any(|o| o == "clouds") {
        configured();
    }
    for (name, part) in parts {
        if only.is_empty() || only.iter().any(|o| o == name) {
            part();
        }
    }
}

fn simulated() {
    for honours_tokens in [true, false] {
        let start = Instant::now();
        let virtual_time = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        let world = |case: usize| support::sim_world(case as u64, honours_tokens);
        let report =
            virtual_time.block_on(CrashHarness::new(world, support::options()).run()).unwrap();
        let name = if honours_tokens { "SimCloud" } else { "SimCloud that ignores client tokens" };
        show(name, &report, start);
    }
}

fn local() {
    let start = Instant::now();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let world = |case: usize| {
        let folder: PathBuf = folder.path().join(case.to_string());
        async move {
            // The one before has been looked at; only its files are left.
            if let Some(before) = case.checked_sub(1) {
                std::fs::remove_dir_all(folder.with_file_name(before.to_string()))?;
            }
            std::fs::create_dir(&folder)?;
            support::local_world(&folder).await
        }
    };
    let report =
        runtime.block_on(CrashHarness::new(world, support::local_options()).run()).unwrap();
    show("LocalCloud", &report, start);
}

fn configured() {
    let start = Instant::now();
    let path = |name: &str| PathBuf::from(std::env::var_os(name).expect(name));
    let every = std::env::var("EVERY").map_or(1, |n| n.parse().unwrap());
    let (clouds, workload) = (path("CLOUDS"), path("WORKLOAD"));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let report = runtime.block_on(async {
        let clouds = multicloud::connect(&clouds).await.unwrap();
        let world = |case: usize| support::configured_world(&clouds, &workload, case);
        CrashHarness::new(world, support::local_options()).every(every).run().await.unwrap()
    });
    show(&format!("{} by {}", workload.display(), clouds.display()), &report, start);
}

fn killed() {
    let start = Instant::now();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let seed = std::env::var("SEED").map_or(1, |seed| seed.parse().unwrap());
    let killed = runtime.block_on(kill::rounds(seed, 200));
    println!("{killed} ({:.0} s)", start.elapsed().as_secs_f64());
    assert!(killed.is_clean());
}

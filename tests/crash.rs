//! The quickstart's plan is carried out or undone, wholly and once, whatever fails or crashes.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../benches/support/kill.rs"]
mod kill;
#[path = "../benches/support/mod.rs"]
mod support;

use cloud_patterns::testing::CrashHarness;

#[tokio::test(start_paused = true)]
async fn on_simulated_clouds() {
    let world = |case: usize| support::sim_world(case as u64, case.is_multiple_of(2));
    let report = CrashHarness::new(world, support::options()).run().await.unwrap();
    assert!(report.is_clean(), "{report}");
    assert!(report.struck > 300, "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_an_orchestrator_that_is_killed() {
    let seed = std::env::var("SEED").map_or(1, |seed| seed.parse().unwrap());
    let killed = kill::rounds(seed, 15).await;
    assert!(killed.is_clean(), "{killed}");
}

/// Not a test but the process that is killed; nothing without being asked to.
#[test]
fn the_process_that_is_killed() {
    if let Some(folder) = kill::asked_to_orchestrate() {
        kill::orchestrate(&folder);
    }
}

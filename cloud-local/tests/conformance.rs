//! The conformance suite of cloud-testkit, on a local cloud in a folder of its own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;
#[path = "common/harness.rs"]
mod harness;

use cloud_testkit::conformance::run_all;
use common::Folder;
use harness::LocalHarness;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_local_cloud_does_what_every_cloud_must() {
    let folder = Folder::new();
    let report = run_all(&LocalHarness::open(folder.path()).await).await;
    println!("{report}");
    report.assert_passed();
    assert!(folder.processes().is_empty());
}

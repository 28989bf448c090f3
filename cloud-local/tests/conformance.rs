//! The conformance suite of cloud-testkit, on a local cloud in a folder of its own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use std::sync::Arc;

use cloud_core::{Cloud, FunctionCode, FunctionSpec, InstanceSpec, Region, Zone};
use cloud_local::LocalCloud;
use cloud_testkit::conformance::{Harness, LargeObject, run_all};
use common::{Folder, region, shell, words};

struct LocalHarness(LocalCloud);

impl LocalHarness {
    fn function(&self, name: &str, script: &str) -> FunctionSpec {
        let code = FunctionCode::Executable(words(&["/bin/sh", "-c", script]));
        FunctionSpec::new(name, self.region(), code)
    }
}

impl Harness for LocalHarness {
    fn cloud(&self) -> Arc<dyn Cloud> {
        Arc::new(self.0.clone())
    }

    fn region(&self) -> Region {
        region("eu-1")
    }

    fn second_region(&self) -> Option<Region> {
        Some(region("us-1"))
    }

    fn instance_spec(&self, name: &str) -> InstanceSpec {
        shell(name, "echo up; exec sleep 1000")
    }

    fn failing_function_spec(&self, name: &str) -> Option<FunctionSpec> {
        Some(self.function(name, "echo wrong >&2; exit 1"))
    }

    fn slow_function_spec(&self, name: &str, seconds: u32) -> Option<FunctionSpec> {
        Some(self.function(name, &format!("sleep {seconds}; echo null")))
    }

    fn large_object(&self) -> Option<LargeObject> {
        Some(LargeObject {
            size: 512 << 20,
            memory_limit: 96 << 20,
        })
    }

    fn memory_in_use(&self) -> Option<u64> {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
        let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
        Some(kib << 10)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_local_cloud_does_what_every_cloud_must() {
    let folder = Folder::new();
    let mut config = folder.config();
    config.regions[0].zones = vec![Zone::new("eu-1a").unwrap(), Zone::new("eu-1b").unwrap()];
    let harness = LocalHarness(folder.open_with(config).await);
    let report = run_all(&harness).await;
    println!("{report}");
    report.assert_passed();
    assert!(folder.processes().is_empty());
}

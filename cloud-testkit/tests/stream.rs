//! The streaming trial measures memory, so it has a process of its own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::sync::Arc;

use cloud_core::{Cloud, Region};
use cloud_testkit::{
    conformance::{Harness, LargeObject, Outcome, run_named},
    sim::SimCloud,
};

const MIB: u64 = 1 << 20;

/// Measures this process, without what the simulated cloud must keep in it.
struct Measured(SimCloud, LargeObject);

impl Harness for Measured {
    fn cloud(&self) -> Arc<dyn Cloud> {
        Arc::new(self.0.clone())
    }
    fn region(&self) -> Region {
        Region::new("sim-1").unwrap()
    }
    fn large_object(&self) -> Option<LargeObject> {
        Some(self.1)
    }
    fn memory_in_use(&self) -> Option<u64> {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
        let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
        Some((kib * 1024).saturating_sub(self.0.held_bytes()))
    }
}

#[tokio::test(start_paused = true)]
async fn a_large_object_is_streamed_within_the_memory_allowed_and_no_less() {
    let stream = async |memory_limit| {
        let large = LargeObject { size: 128 * MIB + 12_345, memory_limit };
        let report =
            run_named(&Measured(SimCloud::new("sim", 1), large), |name| name == "objects.stream")
                .await;
        report.outcome("objects.stream").unwrap().clone()
    };
    match stream(MIB / 1024).await {
        Outcome::Failed(why) => assert!(why.contains("of memory"), "{why}"),
        other => panic!("a KiB cannot be enough, but {other:?}"),
    }
    assert_eq!(stream(80 * MIB).await, Outcome::Passed);
}

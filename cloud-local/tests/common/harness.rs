//! The harness that hands a local cloud to the conformance suite: for the test here, and for the workspace's bench.

use std::{path::Path, sync::Arc};

use cloud_core::{Cloud, CloudId, FunctionCode, FunctionSpec, InstanceSpec, Region, Zone};
use cloud_local::{LocalCloud, LocalConfig};
use cloud_testkit::conformance::{Harness, LargeObject};

pub(crate) struct LocalHarness(LocalCloud);

fn shell(script: &str) -> Vec<String> {
    ["/bin/sh", "-c", script].map(str::to_owned).into()
}

fn region(name: &str) -> Region {
    Region::new(name).unwrap()
}

impl LocalHarness {
    /// A cloud of two regions, one of them with zones.
    pub(crate) async fn open(root: &Path) -> Self {
        let mut config = LocalConfig::new(root, [region("eu-1"), region("us-1")]);
        config.regions[0].zones = vec![Zone::new("eu-1a").unwrap(), Zone::new("eu-1b").unwrap()];
        let cloud = LocalCloud::open(CloudId::new("laptop").unwrap(), config).await;
        Self(cloud.unwrap())
    }

    fn function(&self, name: &str, script: &str) -> FunctionSpec {
        FunctionSpec::new(name, self.region(), FunctionCode::Executable(shell(script)))
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
        let mut spec = InstanceSpec::new(name, self.region());
        spec.command = shell("echo up; exec sleep 1000");
        spec
    }

    fn failing_function_spec(&self, name: &str) -> Option<FunctionSpec> {
        Some(self.function(name, "echo wrong >&2; exit 1"))
    }

    fn slow_function_spec(&self, name: &str, seconds: u32) -> Option<FunctionSpec> {
        Some(self.function(name, &format!("sleep {seconds}; echo null")))
    }

    fn large_object(&self) -> Option<LargeObject> {
        Some(LargeObject { size: 512 << 20, memory_limit: 96 << 20 })
    }

    fn memory_in_use(&self) -> Option<u64> {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
        let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
        Some(kib << 10)
    }
}

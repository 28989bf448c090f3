//! The harness that hands a simulated cloud to the conformance suite: for the tests here, and for the workspace's bench.

use std::{sync::Arc, time::Duration};

use cloud_core::{
    Cloud, ClusterSpec, FunctionCode, FunctionSpec, InstanceSize, NodePoolSpec, Region, WaitOptions,
};
use cloud_testkit::conformance::Harness;

pub(crate) struct SimHarness(pub(crate) Arc<dyn Cloud>);

impl SimHarness {
    pub(crate) fn new(cloud: impl Cloud + 'static) -> Self {
        Self(Arc::new(cloud))
    }

    fn function(&self, name: &str, command: &[&str]) -> FunctionSpec {
        let command = command.iter().map(|part| (*part).to_owned()).collect();
        FunctionSpec::new(name, self.region(), FunctionCode::Executable(command))
    }
}

impl Harness for SimHarness {
    fn cloud(&self) -> Arc<dyn Cloud> {
        self.0.clone()
    }

    fn region(&self) -> Region {
        Region::new("sim-1").unwrap()
    }

    fn second_region(&self) -> Option<Region> {
        Region::new("sim-2").ok()
    }

    fn cluster_spec(&self, name: &str) -> ClusterSpec {
        let mut spec = ClusterSpec::new(name, self.region());
        spec.node_pools.push(NodePoolSpec {
            name: "default".into(),
            size: InstanceSize::Exact("sim.small".into()),
            count: 1,
        });
        spec
    }

    fn failing_function_spec(&self, name: &str) -> Option<FunctionSpec> {
        Some(self.function(name, &["sim-fail"]))
    }

    fn slow_function_spec(&self, name: &str, seconds: u32) -> Option<FunctionSpec> {
        Some(self.function(name, &["sim-sleep", &seconds.to_string()]))
    }

    fn wait(&self) -> WaitOptions {
        WaitOptions {
            deadline: Duration::from_secs(600),
            first_pause: Duration::from_millis(100),
            ..WaitOptions::default()
        }
    }
}

//! What the tests share: the harness that hands a simulated cloud to the conformance suite, and short ways to make things.
// Each test binary uses its part.
#![allow(dead_code)]

use std::{sync::Arc, time::Duration};

use cloud_core::{
    ClientToken, Cloud, ClusterSpec, Compute, Error, FunctionCode, FunctionSpec, Instance,
    InstanceSize, InstanceSpec, NodePoolSpec, Region, WaitOptions, Zone,
};
use cloud_testkit::{
    conformance::Harness,
    sim::{SimBuilder, SimCloud},
};

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

pub(crate) fn region() -> Region {
    Region::new("sim-1").unwrap()
}

pub(crate) fn zone(name: &str) -> Zone {
    Zone::new(name).unwrap()
}

pub(crate) fn spec(name: &str) -> InstanceSpec {
    InstanceSpec::new(name, region())
}

pub(crate) async fn create(cloud: &SimCloud, name: &str) -> Result<Instance, Error> {
    cloud
        .create_instance(&spec(name), &ClientToken::derive("test", name, 1))
        .await
}

pub(crate) fn built(builder: SimBuilder) -> SimCloud {
    builder.build().unwrap()
}

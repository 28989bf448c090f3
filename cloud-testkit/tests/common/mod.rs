//! What the tests share: the harness that hands a simulated cloud to the conformance suite, and short ways to make things.
// Each test binary uses its part.
#![allow(dead_code, unused_imports)]

mod harness;

use cloud_core::{ClientToken, Compute, Error, Instance, InstanceSpec, Region, Zone};
use cloud_testkit::sim::{SimBuilder, SimCloud};
pub(crate) use harness::SimHarness;

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
    cloud.create_instance(&spec(name), &ClientToken::derive("test", name, 1)).await
}

pub(crate) fn built(builder: SimBuilder) -> SimCloud {
    builder.build().unwrap()
}

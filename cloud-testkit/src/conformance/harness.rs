//! `Harness`: what the suite has to be told about the cloud under test.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use cloud_core::{
    Cloud, ClusterSpec, DatabaseSpec, Engine, FunctionCode, FunctionSpec, HealthCheckSpec,
    HealthProtocol, InstanceSpec, NetworkSpec, Region, ResourceKind, WaitOptions, ZoneSpec,
};
use ipnet::{IpNet, Ipv4Net};

/// An object to stream both ways, and the memory that this may take.
///
/// ```
/// use cloud_testkit::conformance::LargeObject;
/// let half_a_gib = LargeObject { size: 512 << 20, memory_limit: 64 << 20 };
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LargeObject {
    /// Bytes of the object.
    pub size: u64,
    /// The most bytes by which [`Harness::memory_in_use`] may grow meanwhile. Parts of 8 MiB are sent, two at once.
    pub memory_limit: u64,
}

/// The cloud under test, and what to create in it. Everything but the cloud and its region has a default.
///
/// See [the module](super) for an example.
#[async_trait]
pub trait Harness: Send + Sync {
    /// The cloud.
    fn cloud(&self) -> Arc<dyn Cloud>;

    /// The region in which everything is created.
    fn region(&self) -> Region;

    /// Another region of the cloud; `None` skips what needs two.
    fn second_region(&self) -> Option<Region> {
        None
    }

    /// An instance that stays up until it is stopped and, where console output can be read, writes at least one line to it.
    fn instance_spec(&self, name: &str) -> InstanceSpec {
        InstanceSpec::new(name, self.region())
    }

    /// A small database.
    fn database_spec(&self, name: &str, engine: Engine) -> DatabaseSpec {
        DatabaseSpec::new(name, self.region(), engine)
    }

    /// A network. No two numbers may give overlapping addresses. Default: `10.x.y.0/24`.
    fn network_spec(&self, name: &str, number: u32) -> NetworkSpec {
        let [.., x, y] = number.to_be_bytes();
        let block = Ipv4Net::new_assert([10, x, y, 0].into(), 24);
        NetworkSpec::new(name, self.region(), IpNet::V4(block))
    }

    /// A function whose output is its input. Default: the executable `/bin/cat`.
    fn function_spec(&self, name: &str) -> FunctionSpec {
        let code = FunctionCode::Executable(vec!["/bin/cat".into()]);
        FunctionSpec::new(name, self.region(), code)
    }

    /// A function that fails; `None` skips what needs one.
    fn failing_function_spec(&self, name: &str) -> Option<FunctionSpec> {
        let _ = name;
        None
    }

    /// A function that runs for so many seconds before it answers; `None` skips what needs one.
    fn slow_function_spec(&self, name: &str, seconds: u32) -> Option<FunctionSpec> {
        let _ = (name, seconds);
        None
    }

    /// A small cluster.
    fn cluster_spec(&self, name: &str) -> ClusterSpec {
        ClusterSpec::new(name, self.region())
    }

    /// A DNS zone. The name is a domain.
    fn zone_spec(&self, name: &str) -> ZoneSpec {
        ZoneSpec::new(name, self.region())
    }

    /// A health check of something that need not be there. Its region is that of the [zones](Self::zone_spec).
    fn health_check_spec(&self, name: &str) -> HealthCheckSpec {
        let region = self.zone_spec("any.example.com").region;
        let mut spec =
            HealthCheckSpec::new(name, region, HealthProtocol::Https, "www.example.com", 443);
        spec.path = Some("/health".into());
        spec
    }

    /// How long to wait for a resource to be ready, or gone. Default: up to 2 minutes.
    fn wait(&self) -> WaitOptions {
        WaitOptions {
            deadline: Duration::from_secs(120),
            first_pause: Duration::from_millis(20),
            longest_pause: Duration::from_secs(2),
            ..WaitOptions::default()
        }
    }

    /// The page size with which listings are tried. Default 2.
    fn page_size(&self) -> u32 {
        2
    }

    /// How many resources of a kind a trial may have at once; at least 3. Default 7.
    fn most(&self, kind: ResourceKind) -> usize {
        let _ = kind;
        7
    }

    /// After which times a create is abandoned to see whether it can be repeated.
    fn abandon_after(&self) -> Vec<Duration> {
        [0, 1, 5, 20, 100, 500].map(Duration::from_millis).into()
    }

    /// The object to stream; `None` skips that trial. It is run only if [`memory_in_use`](Self::memory_in_use) measures.
    fn large_object(&self) -> Option<LargeObject> {
        None
    }

    /// Bytes in use by this process just now, apart from what the cloud itself must keep in it: from a counting allocator,
    /// or from the operating system.
    fn memory_in_use(&self) -> Option<u64> {
        None
    }

    /// Called before the suite looks whether anything is left, for a cloud that has to be given a push.
    async fn settle(&self) {}
}

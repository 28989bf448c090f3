//! What the tests of all services share: clouds at an emulator, and the harness of the conformance suite.

use std::{
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use async_trait::async_trait;
use cloud_aws::{AwsCloud, AwsConfig, AwsCredentials};
use cloud_core::{
    Cloud, CloudId, ClusterSpec, FunctionSpec, Image, InstanceSpec, NetworkSpec, Region, Result,
    SecretRef, SubnetSpec, WaitOptions, ZoneSpec,
    intercept::{Interceptor, Next, Operation, Stack},
};
use cloud_rig::{Caller, Emulator, Keys, Kind, Proxy};
use cloud_testkit::conformance::{Harness, Outcome, run_named, trials};

pub(crate) const REGIONS: [&str; 2] = ["us-east-1", "eu-central-1"];

pub(crate) fn region(name: &str) -> Region {
    Region::new(name).unwrap()
}

/// The configuration of a cloud whose server is behind this URL.
pub(crate) fn config(url: &str, keys: &Keys) -> AwsConfig {
    let mut config = AwsConfig::new(REGIONS.map(region));
    config.endpoint = Some(url.parse().unwrap());
    config.credentials = Some(AwsCredentials {
        access_key_id: keys.access_key_id.clone(),
        secret_access_key: SecretRef::Value(keys.secret_access_key.clone().into()),
        session_token: None,
    });
    config
}

pub(crate) async fn open(url: &str, keys: &Keys) -> AwsCloud {
    AwsCloud::open(CloudId::new("aws").unwrap(), config(url, keys)).await.unwrap()
}

/// An emulator, of all tests or of one.
pub(crate) enum Held {
    Shared(&'static Emulator),
    Own(Box<Emulator>),
}

impl Deref for Held {
    type Target = Emulator;
    fn deref(&self) -> &Emulator {
        match self {
            Self::Shared(emulator) => emulator,
            Self::Own(emulator) => emulator,
        }
    }
}

/// A cloud at an emulator, through a proxy of its own.
pub(crate) struct Aws {
    pub(crate) emulator: Held,
    pub(crate) proxy: Proxy,
    pub(crate) cloud: AwsCloud,
}

impl Aws {
    /// At the emulator of this test program; `None` if it is not installed: the test is skipped.
    pub(crate) async fn at(kind: Kind) -> Option<Self> {
        let shared = tokio::task::spawn_blocking(move || Emulator::shared(kind)).await.unwrap()?;
        Some(Self::of(Held::Shared(shared)).await)
    }

    /// At an emulator of its own: for what makes and lists much.
    pub(crate) async fn alone_at(kind: Kind) -> Option<Self> {
        let own = tokio::task::spawn_blocking(move || Emulator::start(kind)).await.unwrap()?;
        Some(Self::of(Held::Own(Box::new(own))).await)
    }

    async fn of(emulator: Held) -> Self {
        let proxy = emulator.proxy();
        let cloud = open(&proxy.url(), emulator.keys()).await;
        Self { emulator, proxy, cloud }
    }

    /// Each attempt within this time, and not repeated.
    pub(crate) fn within(&self, time: Duration) -> Arc<dyn Cloud> {
        Stack::builder().timeout(time).build().wrap(Arc::new(self.cloud.clone()))
    }

    /// The same account by the keys of the user who may not do everything.
    pub(crate) async fn denied(&self) -> AwsCloud {
        open(&self.proxy.url(), self.emulator.denied().unwrap()).await
    }
}

/// The trials of a cloud that the server, not the adapter, fails: by name, with the server's fault.
pub(crate) type Excluded = &'static [(&'static str, &'static str)];

/// Runs the trials that are picked, but those that are excluded. Fails if one fails, if an excluded one is not among them,
/// or if one is skipped for another reason than a capability that is not declared or the harness.
pub(crate) async fn conform(aws: &Aws, excluded: Excluded, picks: impl Fn(&str) -> bool) {
    for (name, _) in excluded {
        let known = trials().iter().any(|trial| trial.name == *name);
        assert!(known && picks(name), "{name} is excluded, and not a trial that is picked");
    }
    let is_excluded = |name: &str| excluded.iter().any(|(n, _)| *n == name);
    let report = run_named(&AwsHarness::new(aws), |name| picks(name) && !is_excluded(name)).await;
    println!("{report}");
    for (name, why) in excluded {
        println!("excluded {name} at {}: {why}", aws.emulator.name());
    }
    report.assert_passed();
    let skipped = report.trials().iter().filter_map(|trial| match &trial.outcome {
        Outcome::Skipped(why) => Some((trial.name.as_str(), why.as_str())),
        _ => None,
    });
    for (name, why) in skipped {
        println!("skipped  {name}: {why}");
    }
}

/// A cloud whose calls are named in the recording of the proxy that it talks through.
pub(crate) fn attributed(proxy: &Proxy, cloud: Arc<dyn Cloud>) -> Arc<dyn Cloud> {
    let attribution = Attribution { caller: proxy.caller(), under_way: AtomicUsize::new(0) };
    Stack::builder().guard(attribution).build().wrap(cloud)
}

/// Says in the recording for which call requests are sent; while several calls are under way, it is not known.
#[derive(Debug)]
struct Attribution {
    caller: Caller,
    under_way: AtomicUsize,
}

#[async_trait]
impl Interceptor for Attribution {
    async fn around(&self, operation: &Operation<'_>, next: Next<'_>) -> Result<()> {
        let alone = self.under_way.fetch_add(1, SeqCst) == 0;
        self.caller.is(alone.then_some(operation.name));
        let _over = Over(self);
        next.run().await
    }
}

/// Also of a call that is dropped.
struct Over<'a>(&'a Attribution);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, SeqCst);
        self.0.caller.is(None);
    }
}

/// What the suite creates on AWS.
pub(crate) struct AwsHarness<'a> {
    aws: &'a Aws,
    cloud: Arc<dyn Cloud>,
}

impl<'a> AwsHarness<'a> {
    pub(crate) fn new(aws: &'a Aws) -> Self {
        Self { aws, cloud: attributed(&aws.proxy, Arc::new(aws.cloud.clone())) }
    }
}

impl Harness for AwsHarness<'_> {
    fn cloud(&self) -> Arc<dyn Cloud> {
        self.cloud.clone()
    }

    fn region(&self) -> Region {
        region(REGIONS[0])
    }

    fn second_region(&self) -> Option<Region> {
        Some(region(REGIONS[1]))
    }

    /// Route 53 has one place.
    fn zone_spec(&self, name: &str) -> ZoneSpec {
        ZoneSpec::new(name, region("global"))
    }

    fn instance_spec(&self, name: &str) -> InstanceSpec {
        let mut spec = InstanceSpec::new(name, self.region());
        if self.aws.emulator.name() == "ministack" {
            // It has no images to be found by their names.
            spec.image = Image::Id("ami-0c000000000000001".into());
        }
        spec
    }

    /// With a subnet: without one, nothing can be put into a network of AWS.
    fn network_spec(&self, name: &str, number: u32) -> NetworkSpec {
        let [.., x, y] = number.to_be_bytes();
        let block = format!("10.{x}.{y}.0/24").parse().unwrap();
        let mut spec = NetworkSpec::new(name, self.region(), block);
        let half = format!("10.{x}.{y}.0/25").parse().unwrap();
        spec.subnets.push(SubnetSpec::new("default", half));
        spec
    }

    fn cluster_spec(&self, name: &str) -> ClusterSpec {
        crate::kubernetes::cluster_spec(&self.aws.emulator, name)
    }

    fn function_spec(&self, name: &str) -> FunctionSpec {
        crate::functions::function_spec(&self.aws.emulator, name, "app.echo")
    }

    fn failing_function_spec(&self, name: &str) -> Option<FunctionSpec> {
        Some(crate::functions::function_spec(&self.aws.emulator, name, "app.fail"))
    }

    fn slow_function_spec(&self, name: &str, seconds: u32) -> Option<FunctionSpec> {
        let mut spec = crate::functions::function_spec(&self.aws.emulator, name, "app.slow");
        spec.environment.insert("NAP_SECONDS".into(), seconds.to_string());
        Some(spec)
    }

    fn wait(&self) -> WaitOptions {
        WaitOptions {
            deadline: Duration::from_secs(60),
            first_pause: Duration::from_millis(50),
            longest_pause: Duration::from_millis(500),
            ..WaitOptions::default()
        }
    }
}

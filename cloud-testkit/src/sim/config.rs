//! How a simulated cloud is set up.

use std::{collections::BTreeMap, fmt, ops::RangeInclusive, sync::Arc, time::Duration};

use cloud_core::{
    Alphabet, BillingCapabilities, ByteSize, Capabilities, CloudId, ComputeCapabilities,
    DatabaseCapabilities, Decimal, DnsCapabilities, Engine, EngineCapabilities,
    FunctionsCapabilities, KubernetesCapabilities, MetricName, MetricsCapabilities, NameRule,
    NetworkCapabilities, Provider, Quota, Region, RegionInfo, ResourceKind, Result,
    StorageCapabilities, Zone,
};
use jiff::Timestamp;
use serde_json::Value;

use super::{Act, FaultRates, SimCloud, Throttle, When};

/// What a simulated function answers.
///
/// ```
/// use cloud_testkit::sim::FunctionReply;
/// let reply = FunctionReply::ok(serde_json::json!({"greeting": "hello"}));
/// assert!(reply.result.is_ok());
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct FunctionReply {
    /// The output, or what the function says went wrong.
    pub result: Result<Value, String>,
    /// How long it runs.
    pub takes: Duration,
}

impl FunctionReply {
    /// An output at once.
    pub fn ok(output: Value) -> Self {
        Self { result: Ok(output), takes: Duration::ZERO }
    }

    /// A failure at once.
    pub fn fail(message: impl Into<String>) -> Self {
        Self { result: Err(message.into()), takes: Duration::ZERO }
    }

    /// The same, but running so long.
    pub fn after(mut self, takes: Duration) -> Self {
        self.takes = takes;
        self
    }
}

pub(super) type Handler = Arc<dyn Fn(&Value) -> FunctionReply + Send + Sync>;

/// A type of instance that every region of the simulated cloud offers.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SimType {
    pub(super) name: String,
    pub(super) vcpu: u32,
    pub(super) memory: ByteSize,
    pub(super) gpu: u32,
    pub(super) hourly: Decimal,
}

pub(super) type Span = RangeInclusive<Duration>;

pub(super) const NO_TIME: Span = Duration::ZERO..=Duration::ZERO;

/// What a [`SimCloud`] is made from. [`SimCloud::builder`] makes one; everything has a default.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// use std::time::Duration;
/// use cloud_core::{Provider, ResourceKind};
/// use cloud_testkit::sim::{Fault, SimCloud, When};
///
/// let cloud = SimCloud::builder("aws-sim", 42)
///     .provider(Provider::Aws)
///     .provisioning(ResourceKind::Instance, Duration::from_secs(5)..=Duration::from_secs(60))
///     .consistency_window(Duration::from_secs(3))
///     .script(When::call("compute.create_instance", 2), Fault::TimeoutAfter)
///     .build()
///     .unwrap();
/// # });
/// ```
#[derive(Clone)]
pub struct SimBuilder {
    pub(super) id: String,
    pub(super) seed: u64,
    pub(super) provider: Provider,
    pub(super) regions: Vec<RegionInfo>,
    pub(super) types: Vec<SimType>,
    pub(super) quotas: Vec<(String, Option<Region>, u64)>,
    pub(super) provisioning: BTreeMap<ResourceKind, Span>,
    pub(super) deletion: BTreeMap<ResourceKind, Span>,
    pub(super) latency: Span,
    pub(super) window: Duration,
    pub(super) stale_gets: bool,
    pub(super) idempotent: bool,
    pub(super) unique_names: bool,
    pub(super) rates: Option<FaultRates>,
    pub(super) throttle: Option<Throttle>,
    pub(super) script: Vec<(When, Act)>,
    pub(super) handlers: BTreeMap<String, Handler>,
    pub(super) start: Timestamp,
    pub(super) traced: bool,
    pub(super) capabilities: Capabilities,
    pub(super) problem: Option<cloud_core::Error>,
}

impl fmt::Debug for SimBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimBuilder({}, seed {})", self.id, self.seed)
    }
}

impl SimBuilder {
    pub(super) fn new(id: &str, seed: u64) -> Self {
        let types = [
            ("sim.small", 1, 2, 0, Decimal::new(1, 2)),
            ("sim.medium", 2, 4, 0, Decimal::new(4, 2)),
            ("sim.large", 8, 32, 0, Decimal::new(32, 2)),
            ("sim.gpu", 8, 64, 1, Decimal::new(120, 2)),
        ];
        Self {
            id: id.into(),
            seed,
            provider: Provider::Other,
            regions: Vec::new(),
            types: types
                .map(|(name, vcpu, gib, gpu, hourly)| SimType {
                    name: name.into(),
                    vcpu,
                    memory: ByteSize::gib(gib),
                    gpu,
                    hourly,
                })
                .into(),
            quotas: Vec::new(),
            provisioning: BTreeMap::new(),
            deletion: BTreeMap::new(),
            latency: NO_TIME,
            window: Duration::ZERO,
            stale_gets: false,
            idempotent: true,
            unique_names: true,
            rates: None,
            throttle: None,
            script: Vec::new(),
            handlers: BTreeMap::new(),
            start: Timestamp::constant(1_767_225_600, 0),
            traced: false,
            capabilities: everything(),
            problem: None,
        }
    }

    /// Poses as this provider. Default [`Provider::Other`].
    pub fn provider(mut self, provider: Provider) -> Self {
        self.provider = provider;
        self
    }

    /// Adds a region with these zones. Without any call there are `sim-1` and `sim-2`, each with the zones `a` and `b`.
    pub fn region(self, name: &str, zones: &[&str]) -> Self {
        let info = || {
            let mut info = RegionInfo::new(Region::new(name)?);
            info.zones = zones.iter().map(Zone::new).collect::<Result<_>>()?;
            Ok(info)
        };
        match info() {
            Ok(info) => self.region_info(info),
            Err(error) => self.refused(error),
        }
    }

    /// Adds a region of which all is known: country, coordinates, compliance.
    pub fn region_info(mut self, info: RegionInfo) -> Self {
        self.regions.push(info);
        self
    }

    /// Drops the default instance types, so that only those added from here on are on offer.
    pub fn no_instance_types(mut self) -> Self {
        self.types.clear();
        self
    }

    /// Adds an instance type with its price in US dollars an hour. Default: `sim.small` (1 vCPU, 2 GiB, 0.01),
    /// `sim.medium` (2, 4 GiB, 0.04), `sim.large` (8, 32 GiB, 0.32), `sim.gpu` (8, 64 GiB, 1 card, 1.20).
    pub fn instance_type(
        mut self,
        name: &str,
        vcpu: u32,
        memory: ByteSize,
        gpu: u32,
        hourly: Decimal,
    ) -> Self {
        let name = name.to_owned();
        self.types.push(SimType { name, vcpu, memory, gpu, hourly });
        self
    }

    /// Sets a quota; `None` as region is the whole account. Default: none.
    pub fn quota(mut self, name: &str, region: Option<Region>, limit: u64) -> Self {
        self.quotas.push((name.to_owned(), region, limit));
        self
    }

    /// How long a kind of resource is `Creating`. Default: no time.
    pub fn provisioning(mut self, kind: ResourceKind, takes: Span) -> Self {
        self.provisioning.insert(kind, takes);
        self
    }

    /// How long a kind of resource is `Deleting`. Default: no time.
    pub fn deletion(mut self, kind: ResourceKind, takes: Span) -> Self {
        self.deletion.insert(kind, takes);
        self
    }

    /// [`provisioning`](Self::provisioning) and [`deletion`](Self::deletion) of every kind.
    pub fn slow(mut self, takes: Span) -> Self {
        for kind in ResourceKind::ALL {
            self.provisioning.insert(kind, takes.clone());
            self.deletion.insert(kind, takes.clone());
        }
        self
    }

    /// How long each call takes; its effect is somewhere in between. Default: no time.
    pub fn latency(mut self, takes: Span) -> Self {
        self.latency = takes;
        self
    }

    /// Listings show a change at some moment within this time. Default: at once.
    pub fn consistency_window(mut self, window: Duration) -> Self {
        self.window = window;
        self.capabilities.consistency_window = window;
        self
    }

    /// Whether gets lag behind as listings do. Default: no.
    pub fn stale_gets(mut self, stale: bool) -> Self {
        self.stale_gets = stale;
        self
    }

    /// The most items on a page. Default 1000.
    pub fn max_page_size(mut self, size: u32) -> Self {
        self.capabilities.max_page_size = size;
        self
    }

    /// Whether a repeated create with the same token returns what the first made. Off, it makes a second one, or fails
    /// with `AlreadyExists` where names are unique. Default: on.
    pub fn idempotent_tokens(mut self, on: bool) -> Self {
        self.idempotent = on;
        self.capabilities.idempotent_tokens = on;
        self
    }

    /// Whether instances, networks, firewalls and peerings of a region have different names; all other kinds always
    /// do. Default: yes.
    pub fn unique_names(mut self, unique: bool) -> Self {
        self.unique_names = unique;
        if let Some(compute) = &mut self.capabilities.compute {
            compute.unique_names = unique;
        }
        self
    }

    /// Random faults. Default: none.
    pub fn fault_rates(mut self, rates: FaultRates) -> Self {
        self.rates = Some(rates);
        self
    }

    /// A limit of calls. Default: none.
    pub fn throttle(mut self, throttle: Throttle) -> Self {
        self.throttle = Some(throttle);
        self
    }

    /// Adds a step to the script: a [`Fault`](super::Fault) or a [`Change`](super::Change), and when it comes.
    pub fn script(mut self, when: When, act: impl Into<Act>) -> Self {
        self.script.push((when, act.into()));
        self
    }

    /// Registers what a function does whose code is this executable, archive or image. There are already
    /// `sim-echo` (the output is the input), `sim-fail` and `sim-sleep` (argument: seconds); what is not
    /// registered echoes.
    pub fn function(
        mut self,
        code: &str,
        handler: impl Fn(&Value) -> FunctionReply + Send + Sync + 'static,
    ) -> Self {
        self.handlers.insert(code.to_owned(), Arc::new(handler));
        self
    }

    /// The time that it is when the cloud is built. Default 2026-01-01T00:00:00Z.
    pub fn starting_at(mut self, start: Timestamp) -> Self {
        self.start = start;
        self
    }

    /// Whether [`SimCloud::trace`] keeps a record of every call. Default: no.
    pub fn traced(mut self, on: bool) -> Self {
        self.traced = on;
        self
    }

    /// Changes what the cloud says that it can do. A service whose capabilities are taken away is not offered. To
    /// declare what the cloud does not do makes a broken cloud, for tests of tests.
    pub fn capabilities(mut self, change: impl FnOnce(&mut Capabilities)) -> Self {
        change(&mut self.capabilities);
        self
    }

    /// The cloud. Call it in the runtime that uses it: its time begins now.
    ///
    /// # Errors
    /// [`InvalidInput`](cloud_core::ErrorKind::InvalidInput) for an id, region, zone or rate that is none, and for regions that come twice.
    pub fn build(mut self) -> Result<SimCloud> {
        if self.regions.is_empty() {
            self = self.region("sim-1", &["a", "b"]).region("sim-2", &["a", "b"]);
        }
        if let Some(problem) = self.problem {
            return Err(problem);
        }
        let id = CloudId::new(&self.id)?;
        for (i, info) in self.regions.iter().enumerate() {
            if self.regions[..i].iter().any(|other| other.region == info.region) {
                let problem = format!("'{}' comes twice", info.region);
                return Err(cloud_core::Error::invalid("region", problem, "each region once"));
            }
        }
        if self.capabilities.max_page_size == 0 {
            return Err(cloud_core::Error::invalid("max_page_size", "is 0", "1 or more"));
        }
        let spans = self.provisioning.values().chain(self.deletion.values()).chain([&self.latency]);
        for span in spans {
            if span.start() > span.end() {
                let problem = format!("{span:?} ends before it begins");
                return Err(cloud_core::Error::invalid("time range", problem, "the lesser first"));
            }
        }
        if let Some(r) = &self.rates {
            let all =
                [r.refused, r.timeout_before, r.timeout_after, r.rate_limited, r.stock_out, r.slow];
            let good = |rate: f64| (0.0..=1.0).contains(&rate);
            if !all.into_iter().chain([r.instance_death]).all(good) || !good(all.iter().sum()) {
                return Err(cloud_core::Error::invalid(
                    "fault rates",
                    format!("are {r:?}"),
                    "0 to 1, and so their sum",
                ));
            }
        }
        Ok(SimCloud::from_builder(id, self))
    }

    fn refused(mut self, error: cloud_core::Error) -> Self {
        self.problem.get_or_insert(error);
        self
    }
}

/// What a simulated cloud can do unless it is told otherwise: nearly all that there is.
fn everything() -> Capabilities {
    let word = NameRule { min: 1, max: 63, alphabet: Alphabet::AsciiWord, alphanumeric_ends: true };
    let engine = |engine| EngineCapabilities {
        engine,
        sql: true,
        snapshots: true,
        snapshot_copy: true,
        point_in_time: true,
        replicas: true,
        encryption: true,
    };
    Capabilities {
        idempotent_tokens: true,
        consistency_window: Duration::ZERO,
        max_page_size: 1000,
        compute: Some(ComputeCapabilities {
            names: word,
            unique_names: true,
            stop_start: true,
            reboot: true,
            console_output: true,
            zones: true,
            spot: true,
            enforced_limits: false,
        }),
        storage: Some(StorageCapabilities {
            names: NameRule {
                min: 3,
                max: 63,
                alphabet: Alphabet::LowerDnsDots,
                alphanumeric_ends: true,
            },
            versioning: true,
            object_metadata: true,
            put_if_absent: true,
            put_if_match: true,
            copy_if_absent: true,
            presign: false,
            max_key_bytes: 1024,
        }),
        database: Some(DatabaseCapabilities {
            names: word,
            engines: [Engine::Postgres, Engine::Sqlite, Engine::Mysql].map(engine).into(),
        }),
        network: Some(NetworkCapabilities {
            names: word,
            firewalls: true,
            peering: true,
            overlap_refused: true,
        }),
        kubernetes: Some(KubernetesCapabilities {
            names: word,
            versions: vec!["1.36".into(), "1.35".into()],
        }),
        functions: Some(FunctionsCapabilities {
            names: word,
            executables: true,
            archives: true,
            asynchronous: true,
            max_timeout: Duration::from_secs(900),
            max_payload_bytes: 1 << 20,
        }),
        metrics: Some(MetricsCapabilities {
            metrics: vec![
                MetricName::CpuUtilization,
                MetricName::MemoryUtilization,
                MetricName::MemoryBytes,
                MetricName::QueueLength,
                MetricName::ResponseTime,
                MetricName::RequestRate,
                MetricName::ErrorRate,
                MetricName::NetworkIn,
                MetricName::NetworkOut,
                MetricName::ReplicationLag,
            ],
            retention: Duration::from_secs(15 * 24 * 3600),
        }),
        dns: Some(DnsCapabilities {
            names: word,
            unique_names: true,
            weighted: true,
            failover: true,
            latency: true,
            geoproximity: true,
            health_checks: true,
        }),
        billing: Some(BillingCapabilities { prices: true, costs: true }),
    }
}

/// The quota that counts this kind.
pub(super) const fn quota_name(kind: ResourceKind) -> Option<&'static str> {
    match kind {
        ResourceKind::Instance => Some(Quota::INSTANCES),
        ResourceKind::Bucket => Some(Quota::BUCKETS),
        ResourceKind::Database => Some(Quota::DATABASES),
        ResourceKind::Network => Some(Quota::NETWORKS),
        ResourceKind::Function => Some(Quota::FUNCTIONS),
        ResourceKind::Cluster => Some(Quota::CLUSTERS),
        _ => None,
    }
}

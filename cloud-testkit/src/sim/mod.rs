//! `SimCloud`: a cloud in memory, on tokio's time, that does the same again for the same seed and can fail in every
//! way a real cloud can.
//!
//! It offers every service. Under `tokio::time::pause` its time is virtual: provisioning of minutes and outages of hours
//! take no real time. No task runs in the background; a resource becomes ready because it is looked at later.
//!
//! # What it holds to
//! - Ids count up in the order of creation; listings have that order too, so a listing under change shows exactly once
//!   what exists throughout.
//! - An effect happens at one instant. A call takes [`latency`](SimBuilder::latency): part of it before its effect and part
//!   after, so that dropping its future meets both cases.
//! - A token is free again once what it made is deleted.
//! - `sql()` is a tiny engine of its own. It knows `create_table`, `insert`, and as statements `SELECT * FROM t`,
//!   `SELECT count(*) [AS n] FROM t` and `DELETE FROM t`, each also with `WHERE column = $1` or `WHERE 1 = 0`, and
//!   `DROP TABLE [IF EXISTS] t`. All else is
//!   [`Unsupported`](cloud_core::ErrorKind::Unsupported).
//! - A database can be restored to any time since it was made.
//! - A function's code names a handler that the builder registered; see [`SimBuilder::function`].
//! - Console output, kubeconfig and addresses are made up; firewalls filter nothing.
//!
//! # Faults
//! A [`Fault`] strikes one call, a [`Change`] of the world lasts. Both are scripted ([`SimBuilder::script`],
//! [`SimCloud::script`]), changes are also made at once ([`SimCloud::apply`]), and [`FaultRates`] draws faults at random.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
//! use std::time::Duration;
//! use cloud_core::{ClientToken, Compute, Effect, InstanceSpec, Region, ResourceKind};
//! use cloud_testkit::sim::{Fault, SimCloud, When};
//!
//! let cloud = SimCloud::builder("sim", 7)
//!     .provisioning(ResourceKind::Instance, Duration::from_secs(30)..=Duration::from_secs(90))
//!     .script(When::call("compute.create_instance", 1), Fault::TimeoutAfter)
//!     .build()
//!     .unwrap();
//! let spec = InstanceSpec::new("web", Region::new("sim-1").unwrap());
//! let token = ClientToken::random();
//!
//! let lost = cloud.create_instance(&spec, &token).await.unwrap_err();
//! assert_eq!(lost.effect(), Effect::Unknown);
//! let found = cloud.create_instance(&spec, &token).await.unwrap();
//! assert_eq!(cloud.made(&token), [found.id.clone()]); // one, not two
//!
//! tokio::time::sleep(Duration::from_secs(90)).await;
//! assert!(cloud.get_instance(&found.id).await.unwrap().status.is_ready());
//! # });
//! ```

mod billing;
mod call;
mod cloud;
mod compute;
mod config;
mod database;
mod dns;
mod entry;
mod extra;
mod faults;
mod functions;
mod inspect;
mod kubernetes;
mod metrics;
mod network;
mod objects;
mod sql;
mod state;
mod storage;
mod views;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use cloud_core::{Capabilities, CloudId, Error, Provider, Region, RegionInfo, Result};
use rand::{SeedableRng, rngs::StdRng};

pub use config::{FunctionReply, SimBuilder};
pub use entry::CallRecord;
pub use faults::{Act, Change, Fault, FaultRates, Reach, Stock, Throttle, When};

use config::{Handler, SimType, Span};
use state::State;

/// A simulated cloud; see [the module](self). A clone is another handle to the same cloud. It implements all the service
/// traits itself, so a test can call them on it directly.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// use cloud_core::{BucketSpec, ClientToken, Region, ResourceKind, Storage};
/// use cloud_testkit::sim::SimCloud;
/// let cloud = SimCloud::new("sim", 1);
/// let spec = BucketSpec::new("assets", Region::new("sim-1").unwrap());
/// cloud.create_bucket(&spec, &ClientToken::random()).await.unwrap();
/// assert_eq!(cloud.count(ResourceKind::Bucket), 1);
/// # });
/// ```
#[derive(Clone)]
pub struct SimCloud(Arc<Inner>);

struct Inner {
    id: CloudId,
    seed: u64,
    provider: Provider,
    capabilities: Capabilities,
    regions: Vec<RegionInfo>,
    types: Vec<SimType>,
    latency: Span,
    unique_names: bool,
    handlers: BTreeMap<String, Handler>,
    state: Mutex<State>,
}

impl fmt::Debug for SimCloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimCloud({}, seed {})", self.0.id, self.0.seed)
    }
}

impl SimCloud {
    /// A cloud with everything at its default: all services, the regions `sim-1` and `sim-2`, no faults, no delays. An id
    /// that cannot be one becomes `sim`; [`builder`](Self::builder) reports it instead.
    pub fn new(id: &str, seed: u64) -> Self {
        let made = Self::builder(id, seed).build().or_else(|_| Self::builder("sim", seed).build());
        match made {
            Ok(cloud) => cloud,
            Err(error) => unreachable!("the default cloud is valid: {error}"),
        }
    }

    /// A cloud to be set up.
    pub fn builder(id: &str, seed: u64) -> SimBuilder {
        SimBuilder::new(id, seed)
    }

    fn from_builder(id: CloudId, builder: SimBuilder) -> Self {
        let prices = billing::PriceBook::new(&builder);
        let mut state = State::new(&builder, StdRng::seed_from_u64(builder.seed), prices);
        state.faults.rates = builder.rates;
        state.faults.throttle = builder.throttle;
        for (when, act) in builder.script {
            state.faults.push(when, act);
        }
        Self(Arc::new(Inner {
            id,
            seed: builder.seed,
            provider: builder.provider,
            capabilities: builder.capabilities,
            regions: builder.regions,
            types: builder.types,
            latency: builder.latency,
            unique_names: builder.unique_names,
            handlers: builder.handlers,
            state: Mutex::new(state),
        }))
    }

    /// No code of a caller runs under the lock and nothing awaits under it, so poison means nothing here.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the cloud knows of a region.
    fn region(&self, region: &Region) -> Result<&RegionInfo> {
        self.0.regions.iter().find(|info| info.region == *region).ok_or_else(|| {
            let names: Vec<_> = self.0.regions.iter().map(|info| info.region.as_str()).collect();
            Error::invalid("region", format_args!("is '{region}'"), names.join(", "))
        })
    }
}

/// The capabilities of a service, or the error that says that it is not offered.
macro_rules! offered {
    ($cloud:expr, $service:ident, $what:literal) => {
        $cloud.0.capabilities.$service.as_ref().ok_or_else(|| cloud_core::Error::unsupported($what))
    };
}
use offered;

//! What can go wrong in a simulated cloud: scripted, random, or set by a test as it goes.

use std::{collections::HashSet, time::Duration};

use cloud_core::{
    Decimal, Effect, Error, ErrorKind, Region, ResourceId, Result, Retry, Scope, Zone,
};
use rand::{RngExt, rngs::StdRng};
use tokio::time::Instant;

/// What goes wrong with one call.
///
/// ```
/// use cloud_core::{Error, ErrorKind};
/// use cloud_testkit::sim::Fault;
/// let denied = Fault::Refuse(Error::new(ErrorKind::PermissionDenied, "no"));
/// ```
#[derive(Clone, Debug)]
pub enum Fault {
    /// The error is returned and nothing happens.
    Refuse(Error),
    /// Nothing happens, but the caller cannot know: `Timeout` with `Effect::Unknown`.
    TimeoutBefore,
    /// It happens, but the caller cannot know: `Timeout` with `Effect::Unknown`.
    TimeoutAfter,
    /// It happens, and then the error is returned.
    FailAfter(Error),
    /// The answer takes so much longer.
    Slow(Duration),
}

/// A part of a cloud that an outage can take down.
///
/// ```
/// use cloud_core::Region;
/// use cloud_testkit::sim::Reach;
/// let reach = Reach::Region(Region::new("sim-1").unwrap());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reach {
    /// One zone: instances there die, and none can be started there.
    Zone(Region, Zone),
    /// One region: instances there die, and all calls to it fail.
    Region(Region),
    /// The whole cloud: all instances die, and all calls fail.
    Provider,
}

/// What is out of stock. What is `None` stands for all.
///
/// ```
/// use cloud_testkit::sim::Stock;
/// let everything = Stock::default();
/// let large_anywhere = Stock { instance_type: Some("sim.large".into()), ..Stock::default() };
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Stock {
    /// The region.
    pub region: Option<Region>,
    /// The zone.
    pub zone: Option<Zone>,
    /// The instance type.
    pub instance_type: Option<String>,
}

/// A limit of calls; what is over it fails with `RateLimited` and `Retry::After`.
///
/// ```
/// use cloud_testkit::sim::Throttle;
/// let ten_a_second = Throttle { calls: 10, per: std::time::Duration::from_secs(1) };
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Throttle {
    /// So many calls …
    pub calls: u32,
    /// … in each such span.
    pub per: Duration,
}

/// A change of the simulated world that lasts.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// use cloud_core::{Cloud, ErrorKind};
/// use cloud_testkit::sim::{Change, Reach, SimCloud};
/// let cloud = SimCloud::new("sim", 1);
/// cloud.apply(Change::Outage(Reach::Provider));
/// assert_eq!(cloud.regions().await.unwrap_err().kind(), ErrorKind::Unavailable);
/// # });
/// ```
#[derive(Clone, Debug)]
pub enum Change {
    /// This part goes down.
    Outage(Reach),
    /// This part comes back; instances that died stay dead.
    Restore(Reach),
    /// This is out of stock.
    StockOut(Stock),
    /// This exact stock-out ends.
    Restock(Stock),
    /// Sets the limit of a quota; `None` as region is the whole account.
    Quota {
        /// Its name, such as [`Quota::VCPU`](cloud_core::Quota::VCPU).
        name: String,
        /// Its region.
        region: Option<Region>,
        /// The most that may be in use.
        limit: u64,
    },
    /// Sets or lifts the limit of calls.
    Throttle(Option<Throttle>),
    /// This instance dies.
    Kill(ResourceId),
    /// Every instance of this name dies.
    KillNamed(String),
    /// Sets the hourly on-demand price of an instance type; its spot price keeps its ratio.
    Price {
        /// The instance type.
        instance_type: String,
        /// The region; `None` for all.
        region: Option<Region>,
        /// US dollars an hour.
        hourly: Decimal,
    },
}

/// When a step of a script is due.
///
/// ```
/// use cloud_testkit::sim::When;
/// let third_create = When::call("*.create_*", 3);
/// let after_an_hour = When::At(std::time::Duration::from_secs(3600));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum When {
    /// So long after the cloud was built. A [`Fault`] then strikes the first call from that moment on.
    At(Duration),
    /// The nth call (from 1) of an operation.
    Call {
        /// The operation, as `compute.create_instance`; `*` stands for any text.
        operation: String,
        /// Which of them, from 1.
        nth: u64,
    },
}

impl When {
    /// The nth call (from 1) of an operation; `*` in it stands for any text.
    pub fn call(operation: impl Into<String>, nth: u64) -> Self {
        Self::Call { operation: operation.into(), nth }
    }
}

/// What a step of a script does.
///
/// ```
/// use cloud_testkit::sim::{Act, Fault};
/// let act = Act::from(Fault::TimeoutAfter);
/// ```
#[derive(Clone, Debug)]
pub enum Act {
    /// Something goes wrong with the call.
    Fault(Fault),
    /// The world changes; it does before the call is carried out.
    Change(Change),
}

impl From<Fault> for Act {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Change> for Act {
    fn from(change: Change) -> Self {
        Self::Change(change)
    }
}

/// How often random faults strike: probabilities from 0 to 1 for each call.
///
/// ```
/// use cloud_testkit::sim::FaultRates;
/// let rates = FaultRates { timeout_after: 0.05, ..FaultRates::default() };
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct FaultRates {
    /// Which operations; `*` stands for any text. Default `*`.
    pub operations: String,
    /// A passing server fault, before any effect.
    pub refused: f64,
    /// A time-out without effect.
    pub timeout_before: f64,
    /// A time-out after the effect.
    pub timeout_after: f64,
    /// `RateLimited`, before any effect.
    pub rate_limited: f64,
    /// `CapacityUnavailable`; instances only.
    pub stock_out: f64,
    /// A slow answer.
    pub slow: f64,
    /// How slow.
    pub slow_by: Duration,
    /// That an instance dies some time after it was created.
    pub instance_death: f64,
    /// The longest that such an instance lives.
    pub longest_life: Duration,
}

impl Default for FaultRates {
    fn default() -> Self {
        Self {
            operations: "*".into(),
            refused: 0.0,
            timeout_before: 0.0,
            timeout_after: 0.0,
            rate_limited: 0.0,
            stock_out: 0.0,
            slow: 0.0,
            slow_by: Duration::from_secs(30),
            instance_death: 0.0,
            longest_life: Duration::from_secs(3600),
        }
    }
}

/// Whether a text is what the pattern says; `*` stands for any text.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((head, rest)) => text.strip_prefix(head).is_some_and(|tail| {
            tail.char_indices()
                .map(|(i, _)| i)
                .chain([tail.len()])
                .any(|i| matches(rest, &tail[i..]))
        }),
    }
}

#[derive(Debug)]
struct Step {
    when: When,
    act: Act,
    seen: u64,
}

/// The faults that are still to come and those that last.
#[derive(Debug, Default)]
pub(super) struct Faults {
    steps: Vec<Step>,
    pub(super) rates: Option<FaultRates>,
    pub(super) down: HashSet<Reach>,
    pub(super) stock_outs: HashSet<Stock>,
    pub(super) throttle: Option<Throttle>,
    window: Option<(Instant, u32)>,
}

impl Faults {
    pub(super) fn push(&mut self, when: When, act: Act) {
        self.steps.push(Step { when, act, seen: 0 });
    }

    /// Takes the changes that are due by time.
    pub(super) fn due_changes(&mut self, elapsed: Duration) -> Vec<Change> {
        if self.steps.is_empty() {
            return Vec::new();
        }
        let due = |step: &mut Step| matches!((&step.when, &step.act), (When::At(at), Act::Change(_)) if *at <= elapsed);
        let mut due: Vec<_> = self.steps.extract_if(.., due).collect();
        due.sort_by_key(|step| match step.when {
            When::At(at) => at,
            When::Call { .. } => Duration::ZERO,
        });
        due.into_iter()
            .filter_map(|step| match step.act {
                Act::Change(change) => Some(change),
                Act::Fault(_) => None,
            })
            .collect()
    }

    /// Takes what the script has for this call.
    pub(super) fn due_for_call(
        &mut self,
        operation: &str,
        elapsed: Duration,
    ) -> (Vec<Change>, Vec<Fault>) {
        let (mut changes, mut faults) = (Vec::new(), Vec::new());
        self.steps.retain_mut(|step| {
            let due = match &step.when {
                When::At(at) => matches!(step.act, Act::Fault(_)) && *at <= elapsed,
                When::Call { operation: pattern, nth } => {
                    step.seen += u64::from(matches(pattern, operation));
                    step.seen >= *nth && matches(pattern, operation)
                }
            };
            if due {
                match &step.act {
                    Act::Fault(fault) => faults.push(fault.clone()),
                    Act::Change(change) => changes.push(change.clone()),
                }
            }
            !due
        });
        (changes, faults)
    }

    /// A random fault for this call.
    pub(super) fn random(&self, operation: &str, rng: &mut StdRng) -> Option<Fault> {
        let rates = self.rates.as_ref().filter(|r| matches(&r.operations, operation))?;
        let passing = Error::new(ErrorKind::Unavailable, "a passing server fault")
            .with_scope(Scope::Resource);
        let limited = Error::new(ErrorKind::RateLimited, "too many calls")
            .with_retry(Retry::After(Duration::from_secs(1)));
        let mut draw = rng.random::<f64>();
        let mut strikes = |rate: f64| {
            draw -= rate;
            draw < 0.0
        };
        if strikes(rates.refused) {
            Some(Fault::Refuse(passing))
        } else if strikes(rates.timeout_before) {
            Some(Fault::TimeoutBefore)
        } else if strikes(rates.timeout_after) {
            Some(Fault::TimeoutAfter)
        } else if strikes(rates.rate_limited) {
            Some(Fault::Refuse(limited))
        } else if strikes(rates.slow) {
            Some(Fault::Slow(rates.slow_by))
        } else if operation == "compute.create_instance" && strikes(rates.stock_out) {
            Some(Fault::Refuse(stock_out("any type", Scope::Zone)))
        } else {
            None
        }
    }

    /// When an instance that is created now dies, if it does.
    pub(super) fn death(&self, now: Instant, rng: &mut StdRng) -> Option<Instant> {
        let rates = self.rates.as_ref().filter(|r| r.instance_death > 0.0)?;
        let dies = rng.random::<f64>() < rates.instance_death;
        dies.then(|| now + rates.longest_life.mul_f64(rng.random()))
    }

    /// Counts a call against the throttle.
    pub(super) fn throttle(&mut self, now: Instant) -> Result<()> {
        let Some(Throttle { calls, per }) = self.throttle else {
            return Ok(());
        };
        let (since, made) = match self.window {
            Some((since, made)) if now < since + per => (since, made),
            _ => (now, 0),
        };
        self.window = Some((since, made.saturating_add(1)));
        if made < calls {
            return Ok(());
        }
        let wait = (since + per).saturating_duration_since(now);
        Err(Error::new(ErrorKind::RateLimited, format!("more than {calls} calls in {per:?}"))
            .with_retry(Retry::After(wait)))
    }

    /// Fails if the cloud, or this region of it, is down.
    pub(super) fn reachable(&self, region: Option<&Region>) -> Result<()> {
        if self.down.is_empty() {
            return Ok(());
        }
        let down = |what: String, scope| {
            Err(Error::new(ErrorKind::Unavailable, format!("{what} is down")).with_scope(scope))
        };
        if self.down.contains(&Reach::Provider) {
            return down("the provider".into(), Scope::Provider);
        }
        match region {
            Some(region) if self.down.contains(&Reach::Region(region.clone())) => {
                down(format!("the region {region}"), Scope::Region)
            }
            _ => Ok(()),
        }
    }

    pub(super) fn region_down(&self, region: &Region) -> bool {
        self.down.contains(&Reach::Region(region.clone()))
    }

    pub(super) fn zone_down(&self, region: &Region, zone: &Zone) -> bool {
        self.down.contains(&Reach::Zone(region.clone(), zone.clone()))
    }

    pub(super) fn in_stock(
        &self,
        region: &Region,
        zone: Option<&Zone>,
        instance_type: &str,
    ) -> bool {
        !self.stock_outs.iter().any(|out| {
            out.region.as_ref().is_none_or(|r| r == region)
                && out.zone.as_ref().is_none_or(|z| Some(z) == zone)
                && out.instance_type.as_deref().is_none_or(|t| t == instance_type)
        })
    }
}

pub(super) fn stock_out(what: &str, scope: Scope) -> Error {
    Error::new(ErrorKind::CapacityUnavailable, format!("no capacity for {what} just now"))
        .with_scope(scope)
}

pub(super) fn ambiguous() -> Error {
    Error::new(ErrorKind::Timeout, "no answer; the request may have taken effect")
        .with_effect(Effect::Unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        assert!(matches("*.create_*", "compute.create_instance"));
        assert!(matches("compute.get_instance", "compute.get_instance"));
        assert!(matches("*", "x"));
        assert!(!matches("*.create_*", "compute.delete_instance"));
        assert!(!matches("compute", "compute.get_instance"));
    }
}

//! What a placement is asked for.

use std::collections::BTreeMap;

use cloud_core::{CloudId, Location, Money, Region};
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{Blocks, Current, Observation, Policies, Threshold, solve::SolveOptions};
use crate::{
    catalog::Catalog,
    workload::{Component, Workload},
};

/// A component that needs a place.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    /// The component.
    pub component: &'a Component,
    /// The name its resource will have; of several replicas, the longest.
    pub resource_name: String,
    /// How many replicas need a place.
    pub replicas: u32,
    /// The only place that it may go to, and why: what it belongs to is there already.
    pub pinned: Option<(Location, String)>,
}

/// A component that is there and stays: others may send to it, or have to be near to it or apart from it.
#[derive(Clone, Debug)]
pub struct Settled<'a> {
    /// The component.
    pub component: &'a Component,
    /// Where it is, one place for each replica.
    pub places: Vec<Location>,
}

/// What is being created just now, and no quota counts yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InFlight {
    /// The cloud.
    pub cloud: CloudId,
    /// The region of the quota; `None` for one of the whole account.
    pub region: Option<Region>,
    /// The name of the quota, such as [`Quota::VCPU`](cloud_core::Quota::VCPU).
    pub quota: String,
    /// How much of it.
    pub amount: u64,
}

/// What is asked.
///
/// ```
/// use cloud_patterns::{catalog::Catalog, place::{Request, place}, workload::{Format, Workload}};
///
/// let workload = Workload::from_text("
/// name: shop
/// components:
///   - name: web
///     type: compute
///     requirements: {optimize_for: cost, residency: [EU], allowed_clouds: [azure]}
///     spec: {size: {at_least: {vcpu: 2, memory: 4GiB}}}
/// ", Format::Yaml).unwrap();
/// let catalog = Catalog::builtin().unwrap();
/// let request = Request::for_workload(&catalog, &workload);
/// let placement = place(&request).unwrap();
/// assert!(placement.is_optimal());
/// assert_eq!(placement.placed[0].replicas[0].place.cloud.as_str(), "azure");
/// ```
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// What needs a place.
    pub wanted: Vec<Wanted<'a>>,
    /// What is there and stays.
    pub settled: Vec<Settled<'a>>,
    /// The places there are, their prices and limits.
    pub catalog: &'a Catalog,
    /// What the clouds can do, and which do not answer; `None` if that is not known, and then all is tried.
    pub observation: Option<&'a Observation>,
    /// Places that may not be taken, whole regions without a zone, and why.
    pub excluded: BTreeMap<Location, String>,
    /// What just failed for want of capacity.
    pub blocks: Blocks,
    /// Policies of the application's own. All of them hold.
    pub policies: Policies,
    /// The workload's [policies](crate::workload::policies).
    pub deployment_policies: BTreeMap<String, Map<String, Value>>,
    /// The most that all that is wanted may cost a month, its traffic included.
    pub budget: Option<Money>,
    /// What is being created just now.
    pub in_flight: Vec<InFlight>,
    /// Where components are now, of those that could move.
    pub current: Vec<Current>,
    /// How much better another place has to be for them to move.
    pub threshold: Threshold,
    /// When it is asked: blocks end.
    pub now: Timestamp,
    /// How far the solver goes. The default is a limit of work, so that equal requests have equal answers.
    pub solve: SolveOptions,
}

impl<'a> Request<'a> {
    /// A request without anything but a catalog and what is wanted.
    pub fn new(catalog: &'a Catalog, wanted: Vec<Wanted<'a>>) -> Self {
        Self {
            wanted,
            settled: Vec::new(),
            catalog,
            observation: None,
            excluded: BTreeMap::new(),
            blocks: Blocks::default(),
            policies: Policies::default(),
            deployment_policies: BTreeMap::new(),
            budget: None,
            in_flight: Vec::new(),
            current: Vec::new(),
            threshold: Threshold::default(),
            now: Timestamp::UNIX_EPOCH,
            solve: SolveOptions::default(),
        }
    }

    /// A request for all of a workload, with its policies and its budget.
    pub fn for_workload(catalog: &'a Catalog, workload: &'a Workload) -> Self {
        let wanted = workload.components.iter().map(|component| Wanted {
            component,
            resource_name: format!(
                "{}-{}",
                workload.name,
                component.step_id(component.replicas.saturating_sub(1))
            ),
            replicas: component.replicas,
            pinned: None,
        });
        Self {
            deployment_policies: workload.deployment_policies.clone(),
            budget: workload.budget.clone(),
            ..Self::new(catalog, wanted.collect())
        }
    }
}

//! Where things go: which place each component gets, why, and why no other. A pure function of what is wanted and what was observed.
//!
//! Components that share a network go to one place together. Each group gets the best of the places that suit all of
//! it, one group after the other; quotas that are used up by one are seen by the next. A group of several
//! wishes minds latency first, then cost, then the order of names, so that equal input gives an equal answer.

mod candidate;
mod group;
mod latency;
mod observe;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use cloud_core::{Error, ErrorKind, Location, Money, Result};

use self::{candidate::Candidate, group::Member, group::Quotas};
pub use self::{
    latency::{estimated_rtt_ms, great_circle_km},
    observe::{Observation, ObservedCloud, ObservedRegion, observe},
};
use crate::{engine::plan::Choice, workload::Component};

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

/// What is asked.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// What needs a place.
    pub wanted: Vec<Wanted<'a>>,
    /// The places there are.
    pub observation: &'a Observation,
    /// Places that may not be taken, whole regions without a zone, and why.
    pub excluded: &'a BTreeMap<Location, String>,
}

/// Where a component goes.
#[derive(Clone, Debug, PartialEq)]
pub struct Placed {
    /// The places, why, and why not elsewhere.
    pub choice: Choice,
    /// The instance type that its price is of.
    pub instance_type: Option<String>,
    /// What a month of one replica costs.
    pub unit_cost: Option<Money>,
}

/// The answer: one entry for each component, in the order of the request.
#[derive(Clone, Debug, PartialEq)]
pub struct Placement {
    /// Where each goes.
    pub placed: Vec<Placed>,
}

/// Finds a place for everything.
///
/// ```
/// use cloud_core::ResourceType;
/// use cloud_patterns::{place::{Observation, Request, Wanted, place}, workload::Component};
///
/// let component = Component::new("web", ResourceType::Compute);
/// let wanted = Wanted { component: &component, resource_name: "shop-web".into(), replicas: 1, pinned: None };
/// let observation = Observation { clouds: Vec::new() };
/// let excluded = Default::default();
/// let request = Request { wanted: vec![wanted], observation: &observation, excluded: &excluded };
/// assert!(place(&request).unwrap_err().to_string().contains("there is no place for 'web'"));
/// ```
///
/// # Errors
/// [`CapacityUnavailable`](ErrorKind::CapacityUnavailable) with every place and why it does not suit, if there is none for something;
/// [`InvalidInput`](ErrorKind::InvalidInput) for a target region that no cloud has, or a spec that cannot be read.
pub fn place(request: &Request<'_>) -> Result<Placement> {
    let candidates = Candidate::all(request.observation);
    let members = request.wanted.iter().map(Member::new).collect::<Result<Vec<_>>>()?;
    let mut placed: Vec<Option<Placed>> = request.wanted.iter().map(|_| None).collect();
    let mut quotas = Quotas::default();
    let mut prices = candidate::Fits::default();
    for group in group::groups(&request.wanted) {
        let members: Vec<&Member<'_>> = group.iter().map(|i| &members[*i]).collect();
        let chosen =
            group::place_group(&members, &candidates, request.excluded, &mut quotas, &mut prices)?;
        for (i, one) in group.into_iter().zip(chosen) {
            placed[i] = Some(one);
        }
    }
    let placed = placed.into_iter().collect::<Option<Vec<_>>>();
    placed
        .map(|placed| Placement { placed })
        .ok_or_else(|| Error::new(ErrorKind::Internal, "a component was left without a place"))
}

//! The planner: from a workload, an observation of the clouds and what the deployment owns already to a [`Plan`]. Pure: no I/O, no
//! clock, no randomness of its own.
//!
//! What is there and healthy gets no step, so planning a workload that is deployed gives an empty plan. What is gone or lost
//! is made again, and so is whatever refers to it, because it was told of the old one. What the workload no
//! longer names is deleted, after all else has succeeded. What is inside a resource (tables, objects) is made with the
//! resource and not looked at again; nor are the specs of what is there compared with the workload's.
//!
//! The planner enforces no limit: show the plan, then ask [`BlastRadiusLimit::check`](crate::engine::plan::BlastRadiusLimit::check).

mod build;
#[cfg(test)]
mod carried_out;
mod difference;
mod removal;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use cloud_core::{CloudId, Error, Location, ResourceId, Result};
use jiff::Timestamp;
use uuid::Uuid;

use crate::{
    catalog::Catalog,
    engine::{
        plan::{Plan, check_id},
        store::OwnedResource,
    },
    place::{Blocks, InFlight, Observation, Policies, solve::SolveOptions},
    workload::Workload,
};

/// What a plan is made with besides the workload and the observation.
///
/// ```
/// use cloud_patterns::planner::PlanOptions;
/// let options = PlanOptions::new("shop");
/// assert!(options.owned.is_empty() && !options.delete_contents);
/// ```
#[derive(Clone, Debug)]
pub struct PlanOptions {
    /// The id of the plan, never used before: 1 to 63 lower-case letters, digits, `-` and `_`.
    pub id: String,
    /// The deployment that it changes.
    pub deployment: String,
    /// When it is made.
    pub now: Timestamp,
    /// What it is for; `None` has the planner say so.
    pub purpose: Option<String>,
    /// All that the deployment owns, as the catalog has it.
    pub owned: Vec<OwnedResource>,
    /// Those of the owned that are lost, and are to be made again.
    pub lost: BTreeSet<(CloudId, ResourceId)>,
    /// Whole regions that do not answer. Nothing is put there, and what is to be removed there is given up instead of
    /// deleted: it becomes an orphan, to be found when the region is back.
    pub unreachable: BTreeSet<Location>,
    /// Whole regions that nothing is to be put into, and why.
    pub excluded: BTreeMap<Location, String>,
    /// Whether what is deleted is deleted with its contents: buckets with their objects. Default: no.
    pub delete_contents: bool,
    /// What the clouds offer and at what price, if the application knows it better: a price list with negotiated prices. Default: what
    /// the clouds say of themselves, over the facts that are built in.
    pub catalog: Option<Catalog>,
    /// Policies of the application's own; see [`place`](crate::place::Policy).
    pub policies: Policies,
    /// What just failed for want of capacity, and is left out for a while.
    pub blocks: Blocks,
    /// What is being created just now, and no quota counts yet.
    pub in_flight: Vec<InFlight>,
    /// How far the search for the best placement goes. Default: a limit of work, so that equal input gives an equal plan.
    pub solve: SolveOptions,
}

impl PlanOptions {
    /// Options for a deployment that owns nothing, with an id that nobody else has, at the present time.
    pub fn new(deployment: impl Into<String>) -> Self {
        Self {
            id: Uuid::now_v7().to_string(),
            deployment: deployment.into(),
            now: Timestamp::now(),
            purpose: None,
            owned: Vec::new(),
            lost: BTreeSet::new(),
            unreachable: BTreeSet::new(),
            excluded: BTreeMap::new(),
            delete_contents: false,
            catalog: None,
            policies: Policies::default(),
            blocks: Blocks::default(),
            in_flight: Vec::new(),
            solve: SolveOptions::default(),
        }
    }

    fn check(&self) -> Result<()> {
        check_id("plan id", &self.id, 63)?;
        check_id("deployment", &self.deployment, 63)
    }

    fn is_unreachable(&self, owned: &OwnedResource) -> bool {
        let place = Location::new(owned.cloud.clone(), owned.id.region.clone());
        self.unreachable.contains(&place)
    }

    fn is_lost(&self, owned: &OwnedResource) -> bool {
        !self.lost.is_empty() && self.lost.contains(&(owned.cloud.clone(), owned.id.clone()))
    }

    fn plan(&self, purpose: String) -> Plan {
        Plan {
            id: self.id.clone(),
            deployment: self.deployment.clone(),
            purpose: self.purpose.clone().unwrap_or(purpose),
            created_at: self.now,
            steps: Vec::new(),
            choices: Vec::new(),
        }
    }
}

/// The plan that makes a deployment what the workload says.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use cloud_patterns::{engine::clouds::Clouds, place::observe, planner::{PlanOptions, plan}, workload::{Format, Workload}};
/// use std::sync::Arc;
///
/// let sim = cloud_testkit::sim::SimCloud::new("sim", 1);
/// let clouds = Clouds::new([Arc::new(sim) as Arc<dyn cloud_core::Cloud>])?;
/// let workload = Workload::from_text("{name: shop, components: [{name: assets, type: storage}]}", Format::Yaml)?;
/// let plan = plan(&workload, &observe(&clouds).await, &PlanOptions::new("shop"))?;
/// assert_eq!(plan.steps[0].id, "assets");
/// # Ok::<_, cloud_core::Error>(()) }).unwrap();
/// ```
///
/// # Errors
/// [`CapacityUnavailable`](cloud_core::ErrorKind::CapacityUnavailable) if there is no place for something, with every place and why it
/// does not suit; [`InvalidInput`](cloud_core::ErrorKind::InvalidInput) for a wrong workload or option.
pub fn plan(workload: &Workload, observation: &Observation, options: &PlanOptions) -> Result<Plan> {
    workload.validate()?;
    options.check()?;
    let difference = difference::Difference::new(workload, observation, options);
    let draft = build::build(workload, observation, options, &difference)?;
    let mut plan = options.plan(format!("deploy {}", options.deployment));
    plan.choices = draft.choices;
    // What is told of a new resource stays in service until that is there, unless that has to wait for its end.
    for late in [true, false] {
        plan.steps = removal::join(&draft.steps, &draft.dependents, &difference, options, late);
        match plan.validate() {
            Err(error) if !late => return Err(error),
            Err(_) => {}
            Ok(()) => break,
        }
    }
    sort(&mut plan);
    Ok(plan)
}

/// The plan that makes again what `options.lost` names, at another place if its own is excluded or does not answer, and
/// whatever refers to it. As [`plan`], it also brings the rest to what the workload says.
///
/// # Errors
/// As for [`plan`]; [`InvalidInput`](cloud_core::ErrorKind::InvalidInput) if nothing is lost, or something that is not owned.
pub fn replace(
    workload: &Workload,
    observation: &Observation,
    options: &PlanOptions,
) -> Result<Plan> {
    let owned: BTreeSet<_> = options.owned.iter().map(|o| (&o.cloud, &o.id)).collect();
    if let Some((cloud, id)) = options.lost.iter().find(|(c, id)| !owned.contains(&(c, id))) {
        let problem = format!("names {id} of '{cloud}', which the deployment does not own");
        return Err(Error::invalid("lost", problem, "owned resources"));
    }
    if options.lost.is_empty() {
        return Err(Error::invalid("lost", "is empty", "at least one owned resource"));
    }
    let mut components: Vec<_> = (options.owned.iter())
        .filter(|owned| options.is_lost(owned))
        .map(|owned| owned.component.as_str())
        .collect();
    components.sort_unstable();
    components.dedup();
    let mut plan = plan(workload, observation, options)?;
    if options.purpose.is_none() {
        let shown = components.iter().take(5).copied().collect::<Vec<_>>().join(", ");
        let more = if components.len() > 5 { ", …" } else { "" };
        plan.purpose = format!("replace {shown}{more} of {}", options.deployment);
    }
    Ok(plan)
}

/// The plan that deletes all that the deployment owns, what uses others before what is used. Deleting all is
/// more than the default limit lets pass: check it against [`BlastRadiusLimit::for_destroy`](crate::engine::plan::BlastRadiusLimit::for_destroy).
///
/// ```
/// use cloud_patterns::planner::{PlanOptions, destroy};
/// assert!(destroy(&PlanOptions::new("shop")).unwrap().steps.is_empty());
/// ```
///
/// # Errors
/// [`InvalidInput`](cloud_core::ErrorKind::InvalidInput) for a wrong option.
pub fn destroy(options: &PlanOptions) -> Result<Plan> {
    options.check()?;
    let mut plan = options.plan(format!("destroy {}", options.deployment));
    let all: Vec<&OwnedResource> = options.owned.iter().collect();
    let mut ids = removal::Ids::default();
    plan.steps = removal::steps(&all, options, &mut ids, removal::Order::UsersFirst).steps;
    sort(&mut plan);
    plan.validate()?;
    Ok(plan)
}

/// Puts each step after those that it depends on, and otherwise leaves them in their order.
fn sort(plan: &mut Plan) {
    use std::{
        cmp::Reverse,
        collections::{BinaryHeap, HashMap},
    };
    let index: HashMap<&str, usize> =
        plan.steps.iter().enumerate().map(|(i, step)| (step.id.as_str(), i)).collect();
    let mut open = vec![0usize; plan.steps.len()];
    let mut next: Vec<Vec<usize>> = vec![Vec::new(); plan.steps.len()];
    for (i, step) in plan.steps.iter().enumerate() {
        for need in step.depends_on.iter().filter_map(|id| index.get(id.as_str())) {
            open[i] += 1;
            next[*need].push(i);
        }
    }
    let free = (0..open.len()).filter(|i| open[*i] == 0).map(Reverse);
    let mut free: BinaryHeap<_> = free.collect();
    let mut order = Vec::with_capacity(open.len());
    while let Some(Reverse(i)) = free.pop() {
        order.push(i);
        for after in &next[i] {
            open[*after] -= 1;
            if open[*after] == 0 {
                free.push(Reverse(*after));
            }
        }
    }
    let mut steps: Vec<_> = std::mem::take(&mut plan.steps).into_iter().map(Some).collect();
    plan.steps = order.into_iter().filter_map(|i| steps[i].take()).collect();
}

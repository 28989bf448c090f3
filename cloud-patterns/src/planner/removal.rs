//! The steps that remove what is not wanted any more, or is made again: what uses others before what is used.

use std::collections::{BTreeMap, HashMap, HashSet};

use cloud_core::{CloudId, DeleteOptions, Region, ResourceKind};
use serde_json::Value;

use super::{PlanOptions, difference::Difference};
use crate::{
    engine::{
        plan::{Action, Step},
        store::OwnedResource,
    },
    workload::reference::escape,
};

/// The ids that are taken.
#[derive(Debug, Default)]
pub(super) struct Ids(HashSet<String>);

impl Ids {
    /// An id for the removal of what a step made.
    fn of_removal(&mut self, step: &str) -> String {
        let named = Some(format!("{step}-delete")).filter(|id| id.len() <= 63);
        let numbered = (1u64..).map(|n| format!("delete-{n}"));
        for id in named.into_iter().chain(numbered) {
            if self.0.insert(id.clone()) {
                return id;
            }
        }
        // The numbers do not end.
        String::new()
    }
}

/// Removals, and the step of each resource.
#[derive(Debug, Default)]
pub(super) struct Removals {
    pub(super) steps: Vec<Step>,
    /// The index of each step, by the step that made its resource.
    of: HashMap<String, usize>,
}

/// Which resources wait for which.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Order {
    /// What runs goes first, then what it uses, then the networks that all is in and the checks that records use.
    UsersFirst,
    /// Only what clouds insist on: firewalls after what is behind them, networks after what is in them.
    AsClouds,
}

impl Order {
    fn level(self, kind: ResourceKind) -> usize {
        match (kind, self) {
            (ResourceKind::Instance | ResourceKind::Cluster | ResourceKind::Function, _) => 0,
            (ResourceKind::Network | ResourceKind::HealthCheck, _) => 2,
            (ResourceKind::Firewall | ResourceKind::Peering, _) | (_, Self::UsersFirst) => 1,
            _ => 0,
        }
    }
}

/// The removal of resources, each region by levels.
pub(super) fn steps(
    resources: &[&OwnedResource],
    options: &PlanOptions,
    ids: &mut Ids,
    order: Order,
) -> Removals {
    let mut removals = Removals::default();
    let mut regions: BTreeMap<(&CloudId, &Region), [Vec<usize>; 3]> = BTreeMap::new();
    for owned in resources {
        let i = removals.steps.len();
        let region = regions.entry((&owned.cloud, &owned.id.region)).or_default();
        region[order.level(owned.id.kind)].push(i);
        removals.of.insert(owned.step.clone(), i);
        removals.steps.push(Step {
            id: ids.of_removal(&owned.step),
            component: owned.component.clone(),
            cloud: owned.cloud.clone(),
            action: remove(owned, options),
            depends_on: Vec::new(),
            monthly_cost: None,
        });
    }
    for levels in regions.into_values() {
        // The last of a level waits for the others of it, and the next level for that one: so the number of edges
        // grows with the number of resources, not with its square.
        let mut gate: Option<String> = None;
        let lowest = levels.iter().rposition(|level| !level.is_empty());
        for (n, level) in levels.iter().enumerate() {
            for i in level {
                removals.steps[*i].depends_on.extend(gate.clone());
            }
            if let Some((last, others)) = level.split_last()
                && Some(n) != lowest
            {
                let others = others.iter().map(|i| removals.steps[*i].id.clone());
                let others: Vec<String> = others.collect();
                removals.steps[*last].depends_on.extend(others);
                gate = Some(removals.steps[*last].id.clone());
            }
        }
    }
    removals
}

fn remove(owned: &OwnedResource, options: &PlanOptions) -> Action {
    match options.is_unreachable(owned) {
        true => Action::Call {
            handler: "abandon".into(),
            input: literal(serde_json::to_value(owned).unwrap_or_default()),
        },
        false => Action::Delete {
            id: owned.id.clone(),
            options: DeleteOptions { with_contents: options.delete_contents },
        },
    }
}

/// A flat record whose texts are no references, whatever they contain.
fn literal(mut record: Value) -> Value {
    for field in record.as_object_mut().into_iter().flat_map(|fields| fields.values_mut()) {
        if let Value::String(text) = field {
            *text = escape(text);
        }
    }
    record
}

/// The steps that make things, and those that remove what they replace and what is not wanted any more.
///
/// What is made again is made after the old one is gone: both have one name. With `late`, the old one of what was only told of
/// something new goes when that is there.
pub(super) fn join(
    made: &[Step],
    told: &HashMap<String, Vec<String>>,
    difference: &Difference<'_>,
    options: &PlanOptions,
    late: bool,
) -> Vec<Step> {
    let mut all = made.to_vec();
    let mut ids = Ids(all.iter().map(|step| step.id.clone()).collect());
    let mut remade: Vec<&OwnedResource> = difference.remade.values().copied().collect();
    remade.sort_by(|a, b| (&a.cloud, &a.id).cmp(&(&b.cloud, &b.id)));
    let mut removals = steps(&remade, options, &mut ids, Order::AsClouds);
    if late {
        let places = made.iter().map(|step| step.id.as_str()).collect::<HashSet<_>>();
        for owned in &remade {
            let news = told.get(&owned.step).into_iter().flatten();
            let news = news.filter(|news| places.contains(news.as_str())).cloned();
            let lost = options.is_lost(owned) || options.is_unreachable(owned);
            if let Some(i) = removals.of.get(&owned.step).filter(|_| !lost) {
                removals.steps[*i].depends_on.extend(news);
            }
        }
    }
    for step in &mut all {
        let gone = removals.of.get(&step.id).map(|i| removals.steps[*i].id.clone());
        step.depends_on.extend(gone);
    }
    all.append(&mut removals.steps);
    // Deleting cannot be undone, so it comes when all else has succeeded: one waits for all, the others for that one.
    let mut surplus = steps(&difference.surplus, options, &mut ids, Order::UsersFirst).steps;
    let mut leader: Option<String> = None;
    let needed: HashSet<&str> =
        all.iter().flat_map(|s| &s.depends_on).map(String::as_str).collect();
    let ends: Vec<String> = (all.iter())
        .filter(|step| !needed.contains(step.id.as_str()))
        .map(|step| step.id.clone())
        .collect();
    let first: HashSet<String> = (surplus.iter())
        .filter(|step| step.depends_on.is_empty())
        .map(|step| step.id.clone())
        .collect();
    for step in surplus.iter_mut().filter(|step| first.contains(&step.id)) {
        match &leader {
            None => {
                step.depends_on.extend(ends.iter().cloned());
                leader = Some(step.id.clone());
            }
            Some(leader) => step.depends_on.push(leader.clone()),
        }
    }
    all.append(&mut surplus);
    for step in &mut all {
        step.depends_on.sort_unstable();
        step.depends_on.dedup();
    }
    all
}

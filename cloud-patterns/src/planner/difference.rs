//! What of the wanted is there, what has to be made again, and what is not wanted any more.

use std::collections::{HashMap, HashSet};

use cloud_core::ResourceKind;

use super::PlanOptions;
use crate::{
    engine::store::OwnedResource,
    place::Observation,
    workload::{
        Component, Workload,
        check::{dependencies, firewall_id},
        reference,
    },
};

/// How what is owned differs from what is wanted.
#[derive(Debug)]
pub(super) struct Difference<'a> {
    /// The component of each name.
    pub(super) index: HashMap<&'a str, usize>,
    /// The components, each after those that it depends on.
    pub(super) order: Vec<usize>,
    /// What stays, by the id of the step that would make it.
    pub(super) kept: HashMap<String, &'a OwnedResource>,
    /// What is removed because it is made again, by the id of the step that makes it.
    pub(super) remade: HashMap<String, &'a OwnedResource>,
    /// What is removed because it is not wanted any more.
    pub(super) surplus: Vec<&'a OwnedResource>,
}

impl<'a> Difference<'a> {
    pub(super) fn new(
        workload: &'a Workload,
        observation: &Observation,
        options: &'a PlanOptions,
    ) -> Self {
        let components = &workload.components;
        let index: HashMap<&str, usize> =
            components.iter().enumerate().map(|(i, c)| (c.name.as_str(), i)).collect();
        let mut there: HashMap<String, &OwnedResource> = HashMap::new();
        let mut surplus = Vec::new();
        for owned in &options.owned {
            let component = index.get(owned.component.as_str()).map(|i| &components[*i]);
            match component.map(|component| role(component, owned)) {
                // Of another kind than the planner makes: somebody else's business, a snapshot perhaps.
                Some(Role::Foreign) => {}
                Some(Role::Wanted) if !there.contains_key(&owned.step) => {
                    there.insert(owned.step.clone(), owned);
                }
                Some(Role::Wanted | Role::Surplus) | None => surplus.push(owned),
            }
        }
        let remade = to_remake(workload, &index, observation, options, &there);
        let (remade, kept) = there.into_iter().partition(|(step, _)| remade.contains(step));
        Self { order: order(components, &index), index, kept, remade, surplus }
    }

    /// Whether the cloud that a component is in, or would be, has firewalls.
    pub(super) fn has_firewalls(observation: &Observation, cloud: &cloud_core::CloudId) -> bool {
        let cloud = observation.clouds.iter().find(|c| c.id == *cloud);
        cloud.is_some_and(|c| c.capabilities.network.as_ref().is_some_and(|n| n.firewalls))
    }
}

/// What an owned resource is to its component.
enum Role {
    Wanted,
    Surplus,
    Foreign,
}

fn role(component: &Component, owned: &OwnedResource) -> Role {
    match owned.id.kind {
        ResourceKind::Firewall if owned.step == firewall_id(component) => {
            match component.expose.is_empty() {
                true => Role::Surplus,
                false => Role::Wanted,
            }
        }
        kind if kind == component.kind() => {
            // `web` is the first, `web-2` the second.
            let rest = owned.step.strip_prefix(component.name.as_str()).unwrap_or("-0");
            let number = match rest {
                "" => Some(1),
                rest => rest.strip_prefix('-').and_then(|n| n.parse::<u32>().ok()),
            };
            let wanted = number.filter(|n| (1..=component.replicas).contains(n));
            match wanted.is_some_and(|n| owned.step == component.step_id(n - 1)) {
                true => Role::Wanted,
                false => Role::Surplus,
            }
        }
        _ => Role::Foreign,
    }
}

/// What each component was told of: the steps whose outputs are in its spec.
fn told_of<'w>(
    workload: &'w Workload,
    index: &HashMap<&str, usize>,
) -> HashMap<String, Vec<(&'w Component, bool)>> {
    let mut told: HashMap<String, Vec<(&Component, bool)>> = HashMap::new();
    for component in &workload.components {
        if let Some(network) = &component.network {
            told.entry(network.clone()).or_default().push((component, true));
        }
        for value in component.spec.values() {
            let mut path = String::new();
            // The workload was checked: no reference is malformed.
            let _ = reference::map_value(value, &mut path, &mut |_, reference| {
                if let Some(target) = index.get(reference.component) {
                    let target = &workload.components[*target];
                    let step = target.step_id(reference.replica.unwrap_or(0));
                    told.entry(step).or_default().push((component, false));
                }
                Ok(String::new())
            });
        }
    }
    told
}

/// The steps of what is there and has to be made again: what is lost, and all that was told of something that is, or that
/// is not there.
fn to_remake(
    workload: &Workload,
    index: &HashMap<&str, usize>,
    observation: &Observation,
    options: &PlanOptions,
    there: &HashMap<String, &OwnedResource>,
) -> HashSet<String> {
    let mut remade = HashSet::new();
    let mut open: Vec<String> = Vec::new();
    if there.is_empty() {
        return remade;
    }
    for component in &workload.components {
        let steps = (0..component.replicas).map(|n| component.step_id(n));
        let mut clouds = steps.clone().filter_map(|step| Some(&there.get(&step)?.cloud));
        let walled = !component.expose.is_empty()
            && clouds.any(|cloud| Difference::has_firewalls(observation, cloud));
        for step in steps.chain(walled.then(|| firewall_id(component))) {
            match there.get(&step) {
                Some(owned) if !options.is_lost(owned) => {}
                _ => open.push(step),
            }
        }
    }
    let told = told_of(workload, index);
    let walls: HashMap<String, &Component> = (workload.components.iter())
        .filter(|c| !c.expose.is_empty())
        .map(|c| (firewall_id(c), c))
        .collect();
    while let Some(step) = open.pop() {
        if !remade.insert(step.clone()) {
            continue;
        }
        for (component, by_network) in told.get(&step).into_iter().flatten() {
            open.extend((0..component.replicas).map(|n| component.step_id(n)));
            if *by_network && !component.expose.is_empty() {
                open.push(firewall_id(component));
            }
        }
        if let Some(component) = walls.get(&step) {
            open.extend((0..component.replicas).map(|n| component.step_id(n)));
        }
    }
    remade
}

/// The components, each after those that it depends on, otherwise as they were written.
fn order(components: &[Component], index: &HashMap<&str, usize>) -> Vec<usize> {
    let mut order = Vec::with_capacity(components.len());
    let mut seen = vec![false; components.len()];
    for root in 0..components.len() {
        let mut path: Vec<(usize, Vec<u32>)> = Vec::new();
        if !seen[root] {
            seen[root] = true;
            path.push((root, dependencies(index, &components[root])));
        }
        while let Some((node, needs)) = path.last_mut() {
            match needs.pop() {
                Some(next) if seen[next as usize] => {}
                Some(next) => {
                    let next = next as usize;
                    seen[next] = true;
                    path.push((next, dependencies(index, &components[next])));
                }
                None => {
                    order.push(*node);
                    path.pop();
                }
            }
        }
    }
    order
}

//! The baseline: component after component, each on the cheapest offer that keeps all constraints so far.

use std::{cmp::Reverse, collections::HashMap};

use super::format::{Assignment, Catalog, Instance, Link, Quota};

/// A placement, or the first component for which no offer was left.
///
/// Components come as they are listed. Where that fails, those come first that have the fewest regions.
pub(crate) fn greedy(catalog: &Catalog, instance: &Instance) -> Result<Vec<Assignment>, usize> {
    let listed: Vec<usize> = (0..instance.components.len()).collect();
    in_order(catalog, instance, &listed).or_else(|_| {
        let mut scarcest = listed;
        scarcest.sort_by_cached_key(|&index| {
            let component = &instance.components[index];
            let regions = (0..catalog.regions.len()).filter(|&at| component.admits(catalog, at));
            (regions.count(), Reverse(component.vcpu * component.replicas))
        });
        in_order(catalog, instance, &scarcest)
    })
}

fn in_order(
    catalog: &Catalog,
    instance: &Instance,
    order: &[usize],
) -> Result<Vec<Assignment>, usize> {
    let count = instance.components.len();
    let mut links: Vec<Vec<&Link>> = vec![Vec::new(); count];
    for link in &instance.links {
        links[link.a].push(link);
        links[link.b].push(link);
    }
    let mut apart: Vec<Vec<usize>> = vec![Vec::new(); count];
    for &(a, b) in &instance.separate_clouds {
        apart[a].push(b);
        apart[b].push(a);
    }
    let mut left = Left::new(&instance.quotas);
    let mut placed: Vec<Option<Assignment>> = vec![None; count];
    let mut spent = 0;
    for &index in order {
        let component = &instance.components[index];
        let mut best: Option<(i64, Assignment)> = None;
        for (region, place) in catalog.regions.iter().enumerate() {
            let parted = |other: &usize| {
                placed[*other]
                    .is_none_or(|other| catalog.regions[other.region].cloud != place.cloud)
            };
            if !component.admits(catalog, region) || !apart[index].iter().all(parted) {
                continue;
            }
            let Some(traffic) = traffic(catalog, &links[index], &placed, index, region) else {
                continue;
            };
            let room = left.room(region, place.cloud);
            for (kind, price) in catalog.fitting(component, region) {
                let cost = price * component.replicas + traffic;
                if catalog.vcpu(region, kind) * component.replicas <= room
                    && best.is_none_or(|(least, _)| cost < least)
                    && instance.budget.is_none_or(|budget| spent + cost <= budget)
                {
                    best = Some((cost, Assignment { component: index, region, kind }));
                }
            }
        }
        let (cost, chosen) = best.ok_or(index)?;
        let vcpu = catalog.vcpu(chosen.region, chosen.kind) * component.replicas;
        left.take(chosen.region, catalog.regions[chosen.region].cloud, vcpu);
        spent += cost;
        placed[index] = Some(chosen);
    }
    Ok(placed.into_iter().flatten().collect())
}

/// What the links to components that are placed cost from this region, unless one of them would be too long.
fn traffic(
    catalog: &Catalog,
    links: &[&Link],
    placed: &[Option<Assignment>],
    component: usize,
    region: usize,
) -> Option<i64> {
    let mut cost = 0;
    for link in links {
        let other = if link.a == component { link.b } else { link.a };
        let Some(other) = placed[other] else { continue };
        if link.max_rtt.is_some_and(|most| catalog.rtt[region][other.region] > most) {
            return None;
        }
        cost += match link.a == component {
            true => link.cost(catalog, region, other.region),
            false => link.cost(catalog, other.region, region),
        };
    }
    Some(cost)
}

/// What is left of the quotas.
struct Left {
    regions: HashMap<usize, i64>,
    clouds: HashMap<usize, i64>,
}

impl Left {
    fn new(quotas: &[Quota]) -> Self {
        let mut left = Self { regions: HashMap::new(), clouds: HashMap::new() };
        for quota in quotas {
            let (room, vcpu) = match *quota {
                Quota::Region { region, vcpu } => (left.regions.entry(region), vcpu),
                Quota::Cloud { cloud, vcpu } => (left.clouds.entry(cloud), vcpu),
            };
            room.and_modify(|room| *room = vcpu.min(*room)).or_insert(vcpu);
        }
        left
    }

    fn room(&self, region: usize, cloud: usize) -> i64 {
        let of = |quotas: &HashMap<usize, i64>, key| quotas.get(&key).copied().unwrap_or(i64::MAX);
        of(&self.regions, region).min(of(&self.clouds, cloud))
    }

    fn take(&mut self, region: usize, cloud: usize, vcpu: i64) {
        for room in self.regions.get_mut(&region).into_iter().chain(self.clouds.get_mut(&cloud)) {
            *room -= vcpu;
        }
    }
}

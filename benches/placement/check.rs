//! Checks a placement: recomputes its cost and every constraint in integers.

use std::{collections::HashMap, fmt};

use super::format::{Assignment, Catalog, Instance, Quota};

/// What the check found. The placement is valid if there are no violations.
#[derive(Debug, Clone, Default)]
pub(crate) struct Verdict {
    pub(crate) compute: i64,
    pub(crate) egress: i64,
    pub(crate) violations: Vec<Violation>,
}

impl Verdict {
    pub(crate) fn cost(&self) -> i64 {
        self.compute + self.egress
    }
}

/// A constraint that a placement breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Violation {
    /// The assignment names a component, region or type that is not there.
    Unknown(Assignment),
    Unassigned {
        component: usize,
    },
    AssignedTwice {
        component: usize,
    },
    NotOffered {
        component: usize,
    },
    TypeUnfit {
        component: usize,
    },
    Labels {
        component: usize,
    },
    RegionNotAllowed {
        component: usize,
    },
    Latency {
        component: usize,
    },
    LinkLatency {
        a: usize,
        b: usize,
    },
    SameCloud {
        a: usize,
        b: usize,
    },
    RegionQuota {
        region: usize,
        used: i64,
        limit: i64,
    },
    CloudQuota {
        cloud: usize,
        used: i64,
        limit: i64,
    },
    Budget {
        cost: i64,
        limit: i64,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// Recomputes everything about a placement from the files alone.
pub(crate) fn check(catalog: &Catalog, instance: &Instance, assign: &[Assignment]) -> Verdict {
    let mut verdict = Verdict::default();
    let violations = &mut verdict.violations;
    let mut places: Vec<Option<(usize, usize)>> = vec![None; instance.components.len()];
    for given in assign {
        let known = given.component < places.len()
            && given.region < catalog.regions.len()
            && given.kind < catalog.offers[given.region].len();
        if !known {
            violations.push(Violation::Unknown(*given));
            continue;
        }
        if places[given.component].replace((given.region, given.kind)).is_some() {
            violations.push(Violation::AssignedTwice { component: given.component });
        }
    }

    let mut by_region: HashMap<usize, i64> = HashMap::new();
    let mut by_cloud: HashMap<usize, i64> = HashMap::new();
    for (component, (wanted, place)) in instance.components.iter().zip(&places).enumerate() {
        let Some((at, kind)) = *place else {
            violations.push(Violation::Unassigned { component });
            continue;
        };
        let region = &catalog.regions[at];
        let given = &catalog.types[region.cloud][kind];
        let price = catalog.offers[at][kind];
        let small = given.vcpu < wanted.vcpu
            || given.mem_gib < wanted.mem_gib
            || given.gpu < wanted.gpu
            || !["any", &given.arch].contains(&wanted.arch.as_str());
        let unlabelled = !wanted.labels.iter().all(|label| region.labels.contains(label));
        let outside = wanted.allowed_regions.as_ref().is_some_and(|regions| !regions.contains(&at));
        let far = wanted
            .latency
            .is_some_and(|bound| catalog.targets[bound.target].rtt[at] > bound.max_rtt);
        let broken = [
            (price < 0, Violation::NotOffered { component }),
            (small, Violation::TypeUnfit { component }),
            (unlabelled, Violation::Labels { component }),
            (outside, Violation::RegionNotAllowed { component }),
            (far, Violation::Latency { component }),
        ];
        violations.extend(broken.into_iter().filter_map(|(is, violation)| is.then_some(violation)));
        verdict.compute += price * wanted.replicas;
        *by_region.entry(at).or_default() += given.vcpu * wanted.replicas;
        *by_cloud.entry(region.cloud).or_default() += given.vcpu * wanted.replicas;
    }

    for link in &instance.links {
        let (Some((a, _)), Some((b, _))) = (places[link.a], places[link.b]) else { continue };
        verdict.egress += link.cost(catalog, a, b);
        if link.max_rtt.is_some_and(|most| catalog.rtt[a][b] > most) {
            violations.push(Violation::LinkLatency { a: link.a, b: link.b });
        }
    }
    for &(a, b) in &instance.separate_clouds {
        let (Some((at, _)), Some((other, _))) = (places[a], places[b]) else { continue };
        if catalog.regions[at].cloud == catalog.regions[other].cloud {
            violations.push(Violation::SameCloud { a, b });
        }
    }
    for quota in &instance.quotas {
        match *quota {
            Quota::Region { region, vcpu: limit } => {
                let used = by_region.get(&region).copied().unwrap_or(0);
                if used > limit {
                    violations.push(Violation::RegionQuota { region, used, limit });
                }
            }
            Quota::Cloud { cloud, vcpu: limit } => {
                let used = by_cloud.get(&cloud).copied().unwrap_or(0);
                if used > limit {
                    violations.push(Violation::CloudQuota { cloud, used, limit });
                }
            }
        }
    }
    let cost = verdict.compute + verdict.egress;
    if let Some(limit) = instance.budget.filter(|&limit| cost > limit) {
        violations.push(Violation::Budget { cost, limit });
    }
    verdict
}

//! What can be wrong with what components ask of their places, and whether it contradicts itself.

use std::collections::HashMap;

use cloud_core::{Decimal, Purchase, ResourceType, text::check_text};

use super::{
    Across, Component, OptimizeFor, Point, Requirements, SpotUse, Target, Within, Workload,
    check::{at, fault, find},
    policies::BuiltIn,
    spec::Fault,
};

/// The largest number of GiB a month that is believed: a zebibyte.
const MAX_GIB: f64 = (1u64 << 40) as f64;
/// The longest latency in ms that is believed: an hour.
const MAX_MS: f64 = 3_600_000.0;

/// What concerns the workload as a whole.
pub(super) fn check_workload(workload: &Workload) -> Result<(), Fault> {
    if let Some(budget) = &workload.budget
        && budget.amount < Decimal::ZERO
    {
        return Err(fault("budget", format_args!("is {budget}"), "at least 0"));
    }
    for (name, settings) in &workload.deployment_policies {
        let path = format!("deployment_policies.{}", name.escape_debug());
        check_text("deployment policy", name, 64).map_err(at(&path))?;
        BuiltIn::read(name, settings).map_err(|error| {
            let path = error.message().split([' ', ':', ';']).next().unwrap_or(&path).to_owned();
            Fault { path, error }
        })?;
    }
    Ok(())
}

/// What one component asks for; its fields are named from the component.
pub(super) fn check_component(
    index: &HashMap<&str, usize>,
    own: usize,
    component: &Component,
) -> Result<(), Fault> {
    let requirements = &component.requirements;
    check_target(requirements)?;
    let texts = [
        ("compliance_requirements", &requirements.compliance_requirements),
        ("residency", &requirements.residency),
    ];
    for (field, list) in texts {
        for (n, text) in list.iter().enumerate() {
            let path = format!("requirements.{field}[{n}]");
            check_text(&path, text, 64).map_err(at(&path))?;
        }
    }
    for (n, country) in requirements.allowed_countries.iter().enumerate() {
        if country.len() != 2 || !country.bytes().all(|b| b.is_ascii_alphabetic()) {
            let path = format!("requirements.allowed_countries[{n}]");
            let problem = format!("is '{}'", country.escape_debug());
            return Err(fault(path, problem, "an ISO 3166-1 code of two letters"));
        }
    }
    check_terms(component)?;
    check_spread(component)?;
    for (field, list) in
        [("affinity", &requirements.affinity), ("anti_affinity", &requirements.anti_affinity)]
    {
        for (n, relation) in list.iter().enumerate() {
            let path = format!("requirements.{field}[{n}]");
            find(index, own, &format!("{path}.with"), &relation.with)?;
            if field == "affinity" && relation.within == Within::Zone {
                return Err(fault(format!("{path}.within"), "is zone", "region or provider"));
            }
            if relation.within == Within::Zone && component.spec.contains_key("zone") {
                let problem = "is zone, and spec.zone is set";
                return Err(fault(format!("{path}.within"), problem, "one of the two"));
            }
        }
    }
    for (n, traffic) in requirements.traffic.iter().enumerate() {
        let path = format!("requirements.traffic[{n}]");
        find(index, own, &format!("{path}.to"), &traffic.to)?;
        check_number(&format!("{path}.gib_per_month"), Some(traffic.gib_per_month), MAX_GIB)?;
        check_number(&format!("{path}.max_latency_ms"), traffic.max_latency_ms, MAX_MS)?;
    }
    let internet = requirements.internet_gib_per_month;
    check_number("requirements.internet_gib_per_month", internet, MAX_GIB)
}

fn check_number(path: &str, value: Option<f64>, most: f64) -> Result<(), Fault> {
    match value {
        Some(value) if !(0.0..=most).contains(&value) => {
            Err(fault(path, format_args!("is {value}"), format_args!("0 to {most}")))
        }
        _ => Ok(()),
    }
}

fn check_target(requirements: &Requirements) -> Result<(), Fault> {
    let path = "requirements.target_region";
    match &requirements.target_region {
        None => {
            if requirements.max_latency_ms.is_some() {
                let problem = "is missing, and there is a longest latency to it";
                return Err(fault(path, problem, "a region, a city or coordinates"));
            }
            let needed = match requirements.optimize_for {
                Some(OptimizeFor::Latency) => true,
                Some(OptimizeFor::Blend { latency, .. }) => latency > 0.0,
                _ => false,
            };
            if needed {
                let problem = "is missing, and latency is to be optimised";
                return Err(fault(path, problem, "the region to be close to"));
            }
        }
        Some(Target::Named(name)) => check_text(path, name, 64).map_err(at(path))?,
        Some(Target::Point(Point { latitude, longitude })) => {
            for (field, value, most) in
                [("latitude", *latitude, 90.0), ("longitude", *longitude, 180.0)]
            {
                if !(-most..=most).contains(&value) {
                    let accepted = format_args!("-{most} to {most}");
                    return Err(fault(
                        format!("{path}.{field}"),
                        format_args!("is {value}"),
                        accepted,
                    ));
                }
            }
        }
    }
    check_number("requirements.max_latency_ms", requirements.max_latency_ms, MAX_MS)?;
    if let Some(OptimizeFor::Blend { cost, latency }) = requirements.optimize_for {
        let path = "requirements.optimize_for";
        for (field, value) in [("cost", cost), ("latency", latency)] {
            if !(0.0..=1e9).contains(&value) {
                let path = format!("{path}.{field}");
                return Err(fault(path, format_args!("is {value}"), "0 to 1000000000"));
            }
        }
        if cost + latency <= 0.0 {
            return Err(fault(path, "has the weights 0 and 0", "at least one above 0"));
        }
    }
    Ok(())
}

/// Under which terms it may be bought.
fn check_terms(component: &Component) -> Result<(), Fault> {
    let requirements = &component.requirements;
    let path = "requirements.purchase";
    if !matches!(requirements.purchase, None | Some(Purchase::OnDemand | Purchase::Reserved)) {
        return Err(fault(path, "is spot", "on_demand or reserved; 'spot' says the rest"));
    }
    let spec_spot = component.spec.get("spot").and_then(serde_json::Value::as_bool);
    let path = "requirements.spot";
    match requirements.spot {
        Some(SpotUse::Never) if spec_spot == Some(true) => {
            Err(fault(path, "is never, but spec.spot is true", "one of the two"))
        }
        Some(SpotUse::Required) if requirements.purchase.is_some() => {
            let problem = "is required, and requirements.purchase is set";
            Err(fault(path, problem, "one of the two"))
        }
        _ => Ok(()),
    }
}

fn check_spread(component: &Component) -> Result<(), Fault> {
    let Some(spread) = &component.requirements.spread else {
        return Ok(());
    };
    if spread.at_most == 0 {
        return Err(fault("requirements.spread.at_most", "is 0", "at least 1"));
    }
    let path = "requirements.spread.across";
    if spread.across == Across::Zones && component.component_type != ResourceType::Compute {
        let problem = format!("is zones for {}", component.component_type);
        return Err(fault(path, problem, "regions or providers; zones for compute only"));
    }
    if spread.across == Across::Zones && component.spec.contains_key("zone") {
        return Err(fault(path, "is zones, and spec.zone is set", "one of the two"));
    }
    if spread.across != Across::Zones
        && component.replicas > spread.at_most
        && component.network.is_some()
    {
        let problem = format!("is {}, but its network is in one place", spread.across);
        return Err(fault(path, problem, "zones, or no network"));
    }
    Ok(())
}

/// Refuses components that have to be together and apart: directly, or by a chain of others.
pub(super) fn check_relations(
    workload: &Workload,
    index: &HashMap<&str, usize>,
) -> Result<(), Fault> {
    let components = &workload.components;
    let mut regions = Groups::new(components.len());
    let mut providers = Groups::new(components.len());
    for (i, component) in components.iter().enumerate() {
        if let Some(network) = component.network.as_deref().and_then(|n| index.get(n)) {
            regions.join(i, *network);
            providers.join(i, *network);
        }
        for relation in &component.requirements.affinity {
            let Some(with) = index.get(relation.with.as_str()) else {
                continue;
            };
            providers.join(i, *with);
            if relation.within == Within::Region {
                regions.join(i, *with);
            }
        }
    }
    for (i, component) in components.iter().enumerate() {
        for (n, relation) in component.requirements.anti_affinity.iter().enumerate() {
            let Some(with) = index.get(relation.with.as_str()) else {
                continue;
            };
            let together = match relation.within {
                Within::Zone => false,
                Within::Region => regions.same(i, *with),
                Within::Provider => providers.same(i, *with),
            };
            if together {
                let path = format!("components[{i}].requirements.anti_affinity[{n}]");
                let problem = format!(
                    "keeps '{}' and '{}' out of one {}, which affinity puts them into",
                    component.name, relation.with, relation.within
                );
                return Err(fault(path, problem, "one of the two"));
            }
        }
    }
    check_spread_groups(workload, &mut regions, &mut providers)
}

/// Replicas in several regions cannot share one region with something.
fn check_spread_groups(
    workload: &Workload,
    regions: &mut Groups,
    providers: &mut Groups,
) -> Result<(), Fault> {
    for (i, component) in workload.components.iter().enumerate() {
        let Some(spread) = &component.requirements.spread else {
            continue;
        };
        let groups = match spread.across {
            Across::Zones => continue,
            Across::Regions => &mut *regions,
            Across::Providers => &mut *providers,
        };
        if component.replicas > spread.at_most && !groups.alone(i) {
            let path = format!("components[{i}].requirements.spread");
            let problem = format!(
                "puts {} replicas across {}, which affinity puts into one",
                component.replicas, spread.across
            );
            return Err(fault(path, problem, "one of the two"));
        }
    }
    Ok(())
}

/// Disjoint sets of components.
struct Groups {
    parents: Vec<usize>,
    sizes: Vec<usize>,
}

impl Groups {
    fn new(count: usize) -> Self {
        Self { parents: (0..count).collect(), sizes: vec![1; count] }
    }

    fn root(&mut self, mut i: usize) -> usize {
        while self.parents[i] != i {
            self.parents[i] = self.parents[self.parents[i]];
            i = self.parents[i];
        }
        i
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        if a != b {
            self.parents[a] = b;
            self.sizes[b] += self.sizes[a];
        }
    }

    fn same(&mut self, a: usize, b: usize) -> bool {
        self.root(a) == self.root(b)
    }

    fn alone(&mut self, i: usize) -> bool {
        let root = self.root(i);
        self.sizes[root] == 1
    }
}

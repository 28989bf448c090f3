//! A request with everything interned: what is decided of places, demands and relations before any of it is optimised.

use std::{collections::HashMap, ops::Range, sync::Arc};

use cloud_core::{Error, Purchase, Result};
use smallvec::SmallVec;

use super::{
    Request, Threshold,
    blocks::Block,
    demand::{Demand, Fitter, Specs, Steps, Ways},
    filter::{Bits, Filter, Filters},
    policy::{ByProvider, Compliance, Policy},
    sites::Sites,
    stay::Stay,
};
use crate::workload::{
    Across, Component, OptimizeFor, Relation, Requirements, SpotUse, Target, Within,
    policies::{BUILT_IN, BuiltIn},
    spec::Typed,
};

/// A component that is placed, or one that is there and stays where it is.
#[derive(Debug)]
pub(super) struct Part<'a> {
    pub(super) component: &'a Component,
    pub(super) name: &'a str,
    pub(super) replicas: u32,
    pub(super) spec: u32,
    pub(super) demand: Demand,
    /// The index of its ways.
    pub(super) ways: u32,
    pub(super) filters: SmallVec<[u32; 6]>,
    /// The sites of clouds that can do what it asks for.
    pub(super) able: Option<Bits>,
    /// The sites that pass all filters.
    pub(super) mask: Bits,
    pub(super) wish: Wish,
    pub(super) items: Range<u32>,
    /// In how many zones it asks to be; 0 if it does not say.
    pub(super) zones: u32,
    /// Which of a region's zones it goes to, where others keep out of them.
    pub(super) slots: Option<Range<u32>>,
    /// Where it is now.
    pub(super) stay: Option<Stay>,
}

/// What makes one place better than another for a part.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Wish {
    /// What it is to be close to, by index.
    pub(super) target: Option<u32>,
    /// What latency counts for; cost counts for 1.
    pub(super) latency: Weight,
}

/// What latency counts for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Weight {
    None,
    Share(f64),
    First,
}

/// Replicas that go to one site.
#[derive(Clone, Copy, Debug)]
pub(super) struct ItemRow {
    pub(super) part: u32,
    pub(super) replicas: u32,
    /// The site of one that is there and stays.
    pub(super) settled: Option<u32>,
}

/// Two parts that share a site or cloud.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tie {
    pub(super) a: u32,
    pub(super) b: u32,
    pub(super) within: Within,
    pub(super) by_network: bool,
}

/// Two parts that are kept apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Apart {
    pub(super) a: u32,
    pub(super) b: u32,
    pub(super) within: Within,
}

/// What one part sends to another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flow {
    pub(super) from: u32,
    pub(super) to: u32,
    pub(super) gib: f64,
    pub(super) max_ms: Option<f64>,
}

/// A request, interned.
pub(super) struct Model<'a> {
    pub(super) sites: Sites<'a>,
    pub(super) specs: Vec<Typed>,
    pub(super) filters: Vec<(Filter<'a>, Bits)>,
    pub(super) ways: Vec<Ways>,
    pub(super) parts: Vec<Part<'a>>,
    /// How many of the parts are asked for; the rest is there already.
    pub(super) wanted: usize,
    pub(super) items: Vec<ItemRow>,
    pub(super) ties: Vec<Tie>,
    pub(super) apart: Vec<Apart>,
    pub(super) flows: Vec<Flow>,
    pub(super) policies: Vec<Arc<dyn Policy>>,
    pub(super) blocks: Vec<&'a Block>,
    /// The largest number of items on one cloud.
    pub(super) max_share: Option<u32>,
    /// The most that all may cost, in millionths.
    pub(super) budget: Option<i64>,
    pub(super) threshold: Threshold,
}

/// What the workload's policies say of components that do not say it themselves.
#[derive(Default)]
struct Defaults {
    wish: Option<OptimizeFor>,
    target: Option<Target>,
    max_ms: Option<f64>,
}

impl<'a> Model<'a> {
    /// Reads a request.
    ///
    /// # Errors
    /// [`InvalidInput`](cloud_core::ErrorKind::InvalidInput), naming component and field.
    pub(super) fn new(request: &'a Request<'a>) -> Result<Self> {
        let blocks: Vec<&Block> = request.blocks.active(request.now).collect();
        let sites = Sites::new(request, &blocks)?;
        let mut defaults = Defaults::default();
        let mut policies: Vec<Arc<dyn Policy>> = request.policies.iter().cloned().collect();
        let max_share = read_policies(request, &sites, &mut defaults, &mut policies)?;
        let budget = request.budget.as_ref().map(|budget| sites.budget(budget)).transpose()?;
        let mut reader = Reader {
            priced: budget.is_some(),
            sites,
            specs: Specs::default(),
            filters: Filters::default(),
            ways: Vec::new(),
            known: HashMap::new(),
            blocks: &blocks,
            policies: &policies,
            defaults,
        };
        let mut parts = Vec::with_capacity(request.wanted.len() + request.settled.len());
        let mut items = Vec::with_capacity(parts.capacity());
        for wanted in &request.wanted {
            let in_component =
                |e: Error| e.context(format_args!("component '{}'", wanted.component.name));
            parts.push(reader.part(wanted, &mut items, parts.len()).map_err(in_component)?);
        }
        for settled in &request.settled {
            let part = reader.settled(settled, &mut items, parts.len())?;
            parts.push(part);
        }
        // Of a component that is there in part, the part that is placed comes last, and is the one that others see.
        let settled = (request.wanted.len()..parts.len()).chain(0..request.wanted.len());
        let index: HashMap<&str, u32> = settled.map(|i| (parts[i].name, i as u32)).collect();
        let mut model = Self {
            wanted: request.wanted.len(),
            max_share: max_share.map(|share| {
                let most = (items.len() as f64 * share).floor();
                (most as u32).max(1)
            }),
            sites: reader.sites,
            specs: reader.specs.specs,
            filters: reader.filters.all,
            ways: reader.ways,
            parts,
            items,
            ties: Vec::new(),
            apart: Vec::new(),
            flows: Vec::new(),
            policies,
            blocks,
            budget,
            threshold: request.threshold,
        };
        model.relate(&index);
        model.share_out_zones();
        model.read_current(request)?;
        Ok(model)
    }

    /// Gives parts that keep out of each other's zones different ones, as if all of them were in one region.
    fn share_out_zones(&mut self) {
        let mut foes: HashMap<u32, Vec<u32>> = HashMap::new();
        for apart in self.apart.iter().filter(|apart| apart.within == Within::Zone) {
            foes.entry(apart.a).or_default().push(apart.b);
            foes.entry(apart.b).or_default().push(apart.a);
        }
        for p in 0..self.wanted as u32 {
            let Some(foes) = foes.get(&p) else {
                continue;
            };
            let mut taken: Vec<Range<u32>> =
                foes.iter().filter_map(|foe| self.parts[*foe as usize].slots.clone()).collect();
            taken.sort_unstable_by_key(|slots| slots.start);
            let width = self.parts[p as usize].zones.max(1);
            let mut start = 0;
            for slots in taken {
                if start + width > slots.start {
                    start = start.max(slots.end);
                }
            }
            self.parts[p as usize].slots = Some(start..start + width);
        }
    }

    /// Reads who is with whom, apart from whom, and sends to whom. Whoever is not placed just now is left out.
    fn relate(&mut self, index: &HashMap<&str, u32>) {
        for (i, part) in self.parts.iter().enumerate() {
            let a = i as u32;
            let requirements = &part.component.requirements;
            if let Some(network) = part.component.network.as_deref().and_then(|n| index.get(n)) {
                self.ties.push(Tie { a, b: *network, within: Within::Region, by_network: true });
            }
            let known =
                |relation: &Relation| Some((*index.get(relation.with.as_str())?, relation.within));
            for (b, within) in requirements.affinity.iter().filter_map(known) {
                self.ties.push(Tie { a, b, within, by_network: false });
            }
            for (b, within) in requirements.anti_affinity.iter().filter_map(known) {
                // Said on both sides, it is the same: the first one counts.
                let other = &self.parts[b as usize].component.requirements.anti_affinity;
                let twice =
                    b < a && other.iter().any(|r| r.with == part.name && r.within == within);
                if !twice {
                    self.apart.push(Apart { a, b, within });
                }
            }
            for traffic in &requirements.traffic {
                if let Some(to) = index.get(traffic.to.as_str()) {
                    let (gib, max_ms) = (traffic.gib_per_month, traffic.max_latency_ms);
                    self.flows.push(Flow { from: a, to: *to, gib, max_ms });
                }
            }
        }
    }

    /// The policies as they are asked about a part; `None` if there are none.
    pub(super) fn steps(&self, part: &Part<'a>) -> Option<Steps<'_>> {
        steps(&self.policies, part.component)
    }

    pub(super) fn fitter(&self) -> Fitter<'_, 'a> {
        Fitter { sites: &self.sites, blocks: &self.blocks }
    }

    /// Why the cloud of a site cannot do what a part asks for.
    pub(super) fn unable(&self, part: &Part<'a>, resource_name: &str, s: usize) -> Option<String> {
        let cloud = &self.sites.clouds[self.sites.sites[s].cloud as usize];
        let mut spec = self.specs[part.spec as usize].clone();
        spec.rename(resource_name);
        spec.check(cloud.capabilities?).err().map(|e| e.message().to_owned())
    }
}

fn steps<'p>(policies: &'p [Arc<dyn Policy>], component: &'p Component) -> Option<Steps<'p>> {
    (!policies.is_empty())
        .then(|| Steps { component, policies: policies.iter().map(|p| &**p).collect() })
}

/// Reads the policies that the workload declares; returns the largest share of one cloud.
fn read_policies(
    request: &Request<'_>,
    sites: &Sites<'_>,
    defaults: &mut Defaults,
    policies: &mut Vec<Arc<dyn Policy>>,
) -> Result<Option<f64>> {
    let (mut cost, mut latency, mut max_share) = (None, None, None);
    for (name, settings) in &request.deployment_policies {
        match BuiltIn::read(name, settings)? {
            Some(BuiltIn::Cost(weight)) => cost = Some(weight.weight),
            Some(BuiltIn::Latency(policy)) => {
                latency = Some(policy.weight);
                defaults.target = policy.target_region;
                defaults.max_ms = policy.max_latency_ms;
            }
            Some(BuiltIn::Compliance(mut settings)) => {
                for regime in &mut settings.regimes {
                    *regime = sites.regime(regime)?;
                }
                sites.check_residency(&settings.residency)?;
                policies.push(Arc::new(Compliance { settings }));
            }
            Some(BuiltIn::PreferProvider(settings)) => {
                let name = "prefer_provider";
                policies.push(Arc::new(ByProvider { name, settings, avoid: false }));
            }
            Some(BuiltIn::AvoidProvider(settings)) => {
                let name = "avoid_provider";
                policies.push(Arc::new(ByProvider { name, settings, avoid: true }));
            }
            Some(BuiltIn::MaxShare(share)) => max_share = Some(share.most),
            None => {
                let field = format!("deployment_policies.{}", name.escape_debug());
                let known: Vec<_> = BUILT_IN.into_iter().chain(request.policies.names()).collect();
                if !request.policies.names().any(|n| n == name) {
                    let problem = "is neither built in nor registered";
                    return Err(Error::invalid(&field, problem, known.join(", ")));
                }
                if !settings.is_empty() {
                    return Err(Error::invalid(&field, "has settings", "none: {}"));
                }
            }
        }
    }
    defaults.wish = match (cost, latency) {
        (Some(cost), Some(latency)) if cost + latency > 0.0 => {
            Some(OptimizeFor::Blend { cost, latency })
        }
        (None, Some(_)) => Some(OptimizeFor::Latency),
        (Some(_), _) => Some(OptimizeFor::Cost),
        (None, None) => None,
    };
    Ok(max_share)
}

/// Reads components one after the other.
struct Reader<'r, 'a> {
    /// Whether everything needs a price.
    priced: bool,
    sites: Sites<'a>,
    specs: Specs<'a>,
    filters: Filters<'a>,
    ways: Vec<Ways>,
    known: HashMap<Demand, u32>,
    blocks: &'r [&'a Block],
    policies: &'r [Arc<dyn Policy>],
    defaults: Defaults,
}

impl<'a> Reader<'_, 'a> {
    fn part(
        &mut self,
        wanted: &'a super::Wanted<'a>,
        items: &mut Vec<ItemRow>,
        own: usize,
    ) -> Result<Part<'a>> {
        let component = wanted.component;
        let requirements = &component.requirements;
        let spec = self.specs.of(component)?;
        let (wish, priced) = self.wish(requirements)?;
        let typed = &self.specs.specs[spec as usize];
        let spec_spot = matches!(typed, Typed::Instance(instance) if instance.spot);
        let has_price = !matches!(typed, Typed::Network(_));
        let demand = Demand {
            spec,
            architecture: requirements.architecture,
            spot: match requirements.spot {
                Some(spot) => spot,
                None if spec_spot => SpotUse::Required,
                None => SpotUse::Never,
            },
            purchase: requirements.purchase.unwrap_or_default(),
            expected_size: requirements.expected_size,
            priced: has_price && (priced || self.priced),
        };
        let zones = self.zones(component, wanted.replicas);
        let filters = self.filters(wanted, &wish, zones)?;
        let mut mask = Bits::all(self.sites.sites.len());
        filters.iter().for_each(|f| mask.keep(&self.filters.all[*f as usize].1));
        let able = self.able(spec, demand.spot, &wanted.resource_name);
        able.iter().for_each(|able| mask.keep(able));
        let first = items.len() as u32;
        let part = own as u32;
        match &requirements.spread {
            Some(spread) if spread.across != Across::Zones && wanted.replicas > 1 => {
                let one = ItemRow { part, replicas: 1, settled: None };
                items.extend((0..wanted.replicas).map(|_| one));
            }
            _ => items.push(ItemRow { part, replicas: wanted.replicas, settled: None }),
        }
        Ok(Part {
            component,
            name: &component.name,
            replicas: wanted.replicas,
            spec,
            demand,
            ways: self.ways_of(demand, component),
            filters,
            able,
            mask,
            wish,
            items: first..items.len() as u32,
            zones,
            slots: None,
            stay: None,
        })
    }

    fn settled(
        &mut self,
        settled: &'a super::Settled<'a>,
        items: &mut Vec<ItemRow>,
        own: usize,
    ) -> Result<Part<'a>> {
        let component = settled.component;
        let spec = self.specs.of(component)?;
        let first = items.len() as u32;
        let mut counts: HashMap<u32, u32> = HashMap::new();
        for place in &settled.places {
            // What is in a place that is not known any more cannot be near to anything.
            if let Some(site) = self.sites.find(place) {
                *counts.entry(site).or_default() += 1;
            }
        }
        let mut counts: Vec<_> = counts.into_iter().collect();
        counts.sort_unstable();
        let rows = counts.iter().map(|(site, count)| ItemRow {
            part: own as u32,
            replicas: *count,
            settled: Some(*site),
        });
        items.extend(rows);
        Ok(Part {
            component,
            name: &component.name,
            replicas: settled.places.len() as u32,
            spec,
            demand: Demand {
                spec,
                architecture: None,
                spot: SpotUse::Never,
                purchase: Purchase::OnDemand,
                expected_size: None,
                priced: false,
            },
            ways: u32::MAX,
            filters: SmallVec::new(),
            able: None,
            mask: Bits::all(self.sites.sites.len()),
            wish: Wish { target: None, latency: Weight::None },
            items: first..items.len() as u32,
            zones: 0,
            slots: None,
            stay: None,
        })
    }

    /// What it wishes for, and whether it demands a known price.
    fn wish(&mut self, requirements: &'a Requirements) -> Result<(Wish, bool)> {
        let own = requirements.target_region.as_ref();
        let target = own.or(self.defaults.target.as_ref()).cloned();
        let max_ms = if own.is_some() { requirements.max_latency_ms } else { self.defaults.max_ms };
        let wish = requirements.optimize_for.or(match (own, self.defaults.wish) {
            (Some(_), None | Some(OptimizeFor::Cost)) if requirements.max_latency_ms.is_none() => {
                Some(OptimizeFor::Latency)
            }
            (_, wish) => wish,
        });
        let target = match target {
            Some(target) if wish != Some(OptimizeFor::Cost) || max_ms.is_some() => {
                Some(self.sites.target(&target)?)
            }
            _ => None,
        };
        let latency = match (wish, target) {
            (_, None) | (None | Some(OptimizeFor::Cost), _) => Weight::None,
            (Some(OptimizeFor::Latency), _) => Weight::First,
            (Some(OptimizeFor::Blend { latency, .. }), _) if latency <= 0.0 => Weight::None,
            (Some(OptimizeFor::Blend { cost, .. }), _) if cost <= 0.0 => Weight::First,
            (Some(OptimizeFor::Blend { cost, latency }), _) => Weight::Share(latency / cost),
        };
        let priced = matches!(wish, Some(OptimizeFor::Cost | OptimizeFor::Blend { .. }));
        Ok((Wish { target, latency }, priced))
    }

    fn filters(
        &mut self,
        wanted: &'a super::Wanted<'a>,
        wish: &Wish,
        zones: u32,
    ) -> Result<SmallVec<[u32; 6]>> {
        let r = &wanted.component.requirements;
        let mut wished: SmallVec<[Filter<'a>; 8]> = SmallVec::new();
        wished.push(Filter::Open);
        if let Some((place, why)) = &wanted.pinned {
            wished.push(Filter::Pinned(place, why));
        }
        let mut some = |present: bool, filter: Filter<'a>| {
            if present {
                wished.push(filter);
            }
        };
        some(!r.forbidden_clouds.is_empty(), Filter::ForbiddenClouds(&r.forbidden_clouds));
        some(!r.allowed_clouds.is_empty(), Filter::AllowedClouds(&r.allowed_clouds));
        some(!r.forbidden_regions.is_empty(), Filter::ForbiddenRegions(&r.forbidden_regions));
        some(!r.allowed_regions.is_empty(), Filter::AllowedRegions(&r.allowed_regions));
        some(!r.allowed_countries.is_empty(), Filter::Countries(&r.allowed_countries));
        some(!r.residency.is_empty(), Filter::Residency(&r.residency));
        wished.extend(r.compliance_requirements.iter().map(|regime| Filter::Regime(regime)));
        if zones > 1 {
            wished.push(Filter::Zones(zones as usize));
        }
        if let Some(target) = wish.target {
            let own = r.target_region.is_some();
            let max_ms = if own { r.max_latency_ms } else { self.defaults.max_ms };
            if let Some(max) = max_ms {
                wished.push(Filter::Near(target, max.to_bits()));
            }
            if wish.latency != Weight::None {
                wished.push(Filter::Known(target));
            }
        }
        if let Some(gib) = r.internet_gib_per_month.filter(|gib| *gib > 0.0) {
            wished.push(Filter::Internet(gib.to_bits()));
        }
        if let Some(zone) = wanted.component.spec.get("zone").and_then(|zone| zone.as_str()) {
            wished.push(Filter::Zone(zone));
        }
        wished.into_iter().map(|filter| self.filters.of(filter, &self.sites)).collect()
    }

    /// How many zones a component asks for.
    fn zones(&self, component: &Component, replicas: u32) -> u32 {
        match &component.requirements.spread {
            Some(spread) if spread.across == Across::Zones => replicas.div_ceil(spread.at_most),
            _ => 0,
        }
    }

    /// The sites of clouds that can do it; `None` for all.
    fn able(&mut self, spec: u32, spot: SpotUse, resource_name: &str) -> Option<Bits> {
        if self.sites.clouds.iter().all(|cloud| cloud.capabilities.is_none()) {
            return None;
        }
        let typed = &mut self.specs.specs[spec as usize];
        typed.rename(resource_name);
        let able: SmallVec<[bool; 8]> = (self.sites.clouds.iter())
            .map(|cloud| {
                cloud.capabilities.is_none_or(|can| {
                    let sold = spot != SpotUse::Required
                        || can.compute.as_ref().is_none_or(|compute| compute.spot);
                    sold && typed.check(can).is_ok()
                })
            })
            .collect();
        if able.iter().all(|able| *able) {
            return None;
        }
        let sites = &self.sites.sites;
        Some(Bits::of(sites.len(), |s| able[sites[s].cloud as usize]))
    }

    fn ways_of(&mut self, demand: Demand, component: &Component) -> u32 {
        let steps = steps(self.policies, component);
        if steps.is_none()
            && let Some(found) = self.known.get(&demand)
        {
            return *found;
        }
        let fitter = Fitter { sites: &self.sites, blocks: self.blocks };
        let spec = &self.specs.specs[demand.spec as usize];
        let index = self.ways.len() as u32;
        self.ways.push(fitter.ways(&demand, spec, steps.as_ref()));
        self.known.insert(demand, index);
        index
    }
}

//! The answer: where each replica goes, and what that costs exactly.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::OnceLock,
};

use cloud_core::{
    Decimal, Error, ErrorKind, InstanceSize, Location, Money, Purchase, Result, Zone,
};

use super::{
    Reason, Request,
    amount::{HOURS, decimal, micro},
    demand::Way,
    draft::Draft,
    explain::Moves,
    model::{Model, Part, Weight},
    sites::UNKNOWN,
    solve::Solution,
};
use crate::{
    engine::plan::{Choice, Rejection},
    workload::{Within, spec::Typed},
};

/// Where one replica goes.
#[derive(Clone, Debug, PartialEq)]
pub struct Replica {
    /// The place.
    pub place: Location,
    /// The instance type that its price is of; `None` for what is no instance, or if the cloud chooses.
    pub instance_type: Option<String>,
    /// The terms under which it is bought.
    pub purchase: Purchase,
    /// What a month of it costs; `None` if unknown, or if it is paid by use.
    pub unit_cost: Option<Money>,
}

/// Where a component goes.
#[derive(Clone, Debug, PartialEq)]
pub struct Placed {
    /// The component.
    pub component: String,
    /// Each replica.
    pub replicas: Vec<Replica>,
    /// What a month of all replicas costs, without traffic; `None` if unknown, or if it is paid by use.
    pub monthly_cost: Option<Money>,
}

/// The way that an item is placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) site: u32,
    /// `u32::MAX` for one that was there.
    pub(super) way: u32,
}

/// The answer.
pub struct Placement<'a> {
    /// Where each goes, in the order of the request.
    pub placed: Vec<Placed>,
    pub(super) request: &'a Request<'a>,
    pub(super) model: Model<'a>,
    /// For each item of the model.
    pub(super) taken: Vec<Taken>,
    pub(super) objective: i64,
    pub(super) bound: i64,
    pub(super) weight: f64,
    pub(super) moves: OnceLock<Moves>,
}

impl std::fmt::Debug for Placement<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Placement");
        shown.field("placed", &self.placed).field("objective", &self.objective);
        shown.field("bound", &self.bound).finish_non_exhaustive()
    }
}

impl Model<'_> {
    /// What an assignment costs a month without what is not money, in millionths.
    pub(super) fn money(&self, draft: &Draft, solution: &Solution) -> i64 {
        self.money_of(&self.taken(draft, solution))
    }

    pub(super) fn money_of(&self, taken: &[Taken]) -> i64 {
        let mut sum = 0i64;
        for (item, taken) in self.items.iter().zip(taken) {
            if taken.way != u32::MAX {
                let part = &self.parts[item.part as usize];
                let way = self.ways[part.ways as usize].way(taken.way);
                let one = if way.cost == UNKNOWN { 0 } else { way.cost + way.rate };
                sum = sum.saturating_add(one.saturating_mul(i64::from(item.replicas)));
            }
        }
        for (i, item) in self.items.iter().enumerate().filter(|(_, item)| item.settled.is_none()) {
            let part = &self.parts[item.part as usize];
            let site = taken[i].site as usize;
            sum = sum.saturating_add(self.internet(part, self.share(i as u32), site));
        }
        for flow in 0..self.flows.len() {
            sum = sum.saturating_add(micro(self.flow_cost(flow, taken)).unwrap_or(i64::MAX / 4));
        }
        sum
    }

    /// Whether places count for more than what they cost.
    pub(super) fn counts_more_than_money(&self) -> bool {
        !self.policies.is_empty()
            || self.parts.iter().any(|p| p.wish.latency != Weight::None || p.stay.is_some())
    }

    /// What the traffic of a share of a part to the internet counts for.
    pub(super) fn internet(&self, part: &Part<'_>, share: f64, site: usize) -> i64 {
        let gib = part.component.requirements.internet_gib_per_month.unwrap_or(0.0) * share;
        if gib <= 0.0 {
            return 0;
        }
        self.sites.internet_cost(site, gib).and_then(micro).unwrap_or(0)
    }

    pub(super) fn taken(&self, draft: &Draft, solution: &Solution) -> Vec<Taken> {
        let mut taken = vec![Taken { site: 0, way: u32::MAX }; self.items.len()];
        for (i, item) in draft.items.iter().enumerate() {
            let option = solution.taken[i] as usize;
            let site = draft.problem.items[i].options[option].site;
            taken[*item as usize] = Taken { site, way: draft.ways[i][option] };
        }
        taken
    }

    /// What the traffic of a flow costs a month; what is unknown counts as nothing.
    pub(super) fn flow_cost(&self, flow: usize, taken: &[Taken]) -> Decimal {
        let flow = &self.flows[flow];
        let mut sum = Decimal::ZERO;
        if flow.gib <= 0.0 {
            return sum;
        }
        let (from, to) = (&self.parts[flow.from as usize], &self.parts[flow.to as usize]);
        for a in from.items.clone() {
            for b in to.items.clone() {
                let gib = flow.gib * self.share(a) * self.share(b);
                let ends = (taken[a as usize].site as usize, taken[b as usize].site as usize);
                let price = self.sites.egress(ends.0, ends.1);
                let cost = price.zip(Decimal::from_f64_retain(gib)).map(|(p, gib)| p.cost(gib));
                sum = sum.saturating_add(cost.unwrap_or_default());
            }
        }
        sum
    }

    /// What a month of one replica costs, exactly.
    pub(super) fn exact(&self, way: &Way, site: u32) -> Option<Decimal> {
        if way.cost == UNKNOWN {
            return None;
        }
        let row = &self.sites.sites[site as usize];
        let hourly = self
            .sites
            .type_of(site as usize, way.kind)
            .and_then(|kind| row.region?.offer(kind.index)?.price(way.purchase));
        match hourly {
            Some(hourly) => hourly.checked_mul(Decimal::from(HOURS)),
            None => Some(decimal(way.cost)),
        }
    }
}

impl<'a> Placement<'a> {
    pub(super) fn new(
        request: &'a Request<'a>,
        model: Model<'a>,
        draft: &Draft,
        solution: &Solution,
        weight: f64,
    ) -> Result<Self> {
        if solution.taken.len() != draft.items.len() {
            return Err(Error::new(ErrorKind::Internal, "a component was left without a place"));
        }
        let taken = model.taken(draft, solution);
        let placed = (0..model.wanted).map(|part| placed(&model, part, &taken)).collect();
        Ok(Self {
            placed,
            request,
            model,
            taken,
            objective: solution.cost,
            bound: solution.bound,
            weight,
            moves: OnceLock::new(),
        })
    }

    /// Whether nothing better is possible: proven. With a budget and other wishes than cost, for these as far as the budget lets them count.
    pub fn is_optimal(&self) -> bool {
        self.bound >= self.objective
    }

    /// By what share of what it counts for it may at most be worse than the best; 0 if it is the best.
    pub fn gap(&self) -> f64 {
        match self.objective {
            0 => 0.0,
            counted => ((counted - self.bound).max(0)) as f64 / counted as f64,
        }
    }

    /// What it counts for, in millionths of the currency per month: its cost, and what latency, unknown prices and policies count for.
    pub fn objective(&self) -> i64 {
        self.objective
    }

    /// No placement counts for less: proven.
    pub fn bound(&self) -> i64 {
        self.bound
    }

    /// What a month of all of it costs, traffic included, as far as prices are known, and what is paid by use left out.
    pub fn cost(&self) -> Money {
        let placed = self.placed.iter().filter_map(|placed| placed.monthly_cost.as_ref());
        let sum = placed.fold(Decimal::ZERO, |sum, cost| sum.saturating_add(cost.amount));
        let flows = (0..self.model.flows.len()).map(|flow| self.model.flow_cost(flow, &self.taken));
        let sum = flows.fold(sum, Decimal::saturating_add);
        self.money(sum.saturating_add(self.internet()))
    }

    fn internet(&self) -> Decimal {
        let parts = 0..self.model.wanted;
        parts.map(|part| self.internet_of(part)).fold(Decimal::ZERO, Decimal::saturating_add)
    }

    /// What a part's traffic to the internet costs.
    pub(super) fn internet_of(&self, part: usize) -> Decimal {
        let part = &self.model.parts[part];
        let gib = part.component.requirements.internet_gib_per_month.unwrap_or(0.0);
        let costs = part.items.clone().filter_map(|item| {
            let site = self.taken[item as usize].site as usize;
            self.model.sites.internet_cost(site, gib * self.model.share(item))
        });
        costs.fold(Decimal::ZERO, Decimal::saturating_add)
    }

    pub(super) fn money(&self, amount: Decimal) -> Money {
        Money { amount: amount.normalize(), currency: self.model.sites.catalog.currency.clone() }
    }

    /// Where a component goes, as a plan shows it, with the reason against every other region.
    pub fn choice(&self, component: usize) -> Option<Choice> {
        let placed = self.placed.get(component)?;
        let explanation = self.explain_part(component as u32);
        let part = &self.model.parts[component];
        let first = self.taken[part.items.start as usize];
        let mut figures = BTreeMap::new();
        let types: Vec<&str> =
            distinct(placed.replicas.iter().filter_map(|r| r.instance_type.as_deref()));
        if !types.is_empty() {
            figures.insert("instance type".to_owned(), types.join(", "));
        }
        if let Some(rate) = self.rate(component) {
            figures.insert("price by use".to_owned(), rate);
        }
        for (what, cost) in &explanation.costs {
            if what.starts_with("traffic") {
                figures.insert(what.clone(), super::amount::short(cost));
            }
        }
        let near = part.wish.target.filter(|_| part.wish.latency != Weight::None);
        if let Some(target) = near
            && let Some(rtt) = self.model.sites.rtt_to(target, first.site as usize)
        {
            let name = &self.model.sites.targets[target as usize];
            let how = if rtt.measured { "measured" } else { "estimated" };
            figures.insert(format!("round trip to {name}, {how}"), format!("{:.1} ms", rtt.ms));
        }
        let suited = explanation.rejected.iter().any(|rejected| rejected.reason.suits());
        let rejected = explanation
            .rejected
            .into_iter()
            .map(|rejected| Rejection { place: rejected.place, why: rejected.reason.to_string() });
        Some(Choice {
            component: placed.component.clone(),
            places: placed.replicas.iter().map(|r| r.place.clone()).collect(),
            why: self.why(component, suited),
            monthly_cost: placed.monthly_cost.clone(),
            rejected: rejected.collect(),
            figures,
        })
    }

    fn why(&self, component: usize, suited: bool) -> String {
        let part = &self.model.parts[component];
        let wanted = &self.request.wanted[component];
        if let Some((_, why)) = &wanted.pinned {
            return why.clone();
        }
        let latency = part.wish.latency;
        let priced = part.items.clone().any(|i| {
            let way = self.model.ways[part.ways as usize].way(self.taken[i as usize].way);
            way.cost != UNKNOWN && (way.cost > 0 || way.rate > 0)
        });
        let mut why = match latency {
            _ if !suited && part.items.len() == 1 => "the only place that suits",
            Weight::First => "the least latency of the places that suit",
            Weight::Share(_) => "the best of cost and latency of the places that suit",
            Weight::None if priced => "the least cost of the places that suit",
            Weight::None => "the best of the places that suit",
        }
        .to_owned();
        let company = self.model.company(component as u32, &self.moves().ties);
        let others: Vec<&str> = company
            .iter()
            .filter(|other| **other != component as u32)
            .map(|other| self.model.parts[*other as usize].name)
            .collect();
        if !others.is_empty() {
            let shown: Vec<_> = others.iter().take(5).map(|n| format!("'{n}'")).collect();
            let more = if others.len() > shown.len() { ", …" } else { "" };
            why.push_str(&format!(", together with {}{more}", shown.join(", ")));
        }
        why
    }

    fn rate(&self, component: usize) -> Option<String> {
        let part = &self.model.parts[component];
        let unit = match &self.model.specs[part.spec as usize] {
            Typed::Bucket(_) => "GiB and month",
            Typed::Function(_) => "million calls",
            _ => return None,
        };
        let taken = self.taken[part.items.start as usize];
        let way = self.model.ways[part.ways as usize].way(taken.way);
        (way.rate > 0).then(|| format!("{} for a {unit}", self.money(decimal(way.rate))))
    }
}

fn distinct<'t>(texts: impl Iterator<Item = &'t str>) -> Vec<&'t str> {
    let mut found = Vec::new();
    for text in texts {
        if !found.contains(&text) {
            found.push(text);
        }
    }
    found
}

fn placed(model: &Model<'_>, index: usize, taken: &[Taken]) -> Placed {
    let part = &model.parts[index];
    let mut replicas = Vec::with_capacity(part.replicas as usize);
    let mut sum = Some(Decimal::ZERO);
    for i in part.items.clone() {
        let Taken { site, way } = taken[i as usize];
        let way = model.ways[part.ways as usize].way(way);
        let row = &model.sites.sites[site as usize];
        let unit = model.exact(way, site).filter(|_| way.rate == 0);
        let instance_type = match &model.specs[part.spec as usize] {
            Typed::Instance(spec) => {
                match (model.sites.type_of(site as usize, way.kind), &spec.size) {
                    (Some(kind), _) => Some(kind.name.to_owned()),
                    (None, InstanceSize::Exact(name)) => Some(name.clone()),
                    (None, InstanceSize::AtLeast { .. }) => None,
                }
            }
            _ => None,
        };
        let count = model.items[i as usize].replicas;
        let priced = unit.filter(|_| !matches!(model.specs[part.spec as usize], Typed::Network(_)));
        sum = sum
            .zip(priced)
            .and_then(|(sum, unit)| sum.checked_add(unit.checked_mul(Decimal::from(count))?));
        let unit_cost = priced
            .map(|unit| Money { amount: unit, currency: model.sites.catalog.currency.clone() });
        let zones = zones(model, index, site, instance_type.as_deref(), count);
        for zone in zones {
            let mut place = row.place.clone();
            place.zone = zone;
            replicas.push(Replica {
                place,
                instance_type: instance_type.clone(),
                purchase: way.purchase,
                unit_cost: unit_cost.clone(),
            });
        }
    }
    let currency = model.sites.catalog.currency.clone();
    Placed {
        component: part.name.to_owned(),
        replicas,
        monthly_cost: sum.map(|amount| Money { amount, currency }),
    }
}

/// The zone of each replica of an item: the region's zones in turn, where instances can be put into zones.
fn zones(
    model: &Model<'_>,
    index: usize,
    site: u32,
    instance_type: Option<&str>,
    count: u32,
) -> Vec<Option<Zone>> {
    let part = &model.parts[index];
    let row = &model.sites.sites[site as usize];
    let cloud = &model.sites.clouds[row.cloud as usize];
    let can = cloud.capabilities.is_none_or(|c| c.compute.as_ref().is_some_and(|c| c.zones));
    let Typed::Instance(spec) = &model.specs[part.spec as usize] else {
        return vec![None; count as usize];
    };
    if spec.zone.is_some() {
        return vec![spec.zone.clone().filter(|_| can); count as usize];
    }
    let blocked = |zone: &Zone| {
        model.blocks.iter().any(|block| {
            block.zone_of(cloud.id, &row.place.region) == Some(zone)
                && block.concerns(instance_type)
        })
    };
    let free: Vec<&Zone> = row.free_zones.iter().filter(|zone| !blocked(zone)).collect();
    // A zone that is blocked has to be avoided by name.
    let chosen =
        part.slots.is_some() || part.zones > 0 || count > 1 || free.len() < row.zones.len();
    if !can || free.is_empty() || !chosen {
        return vec![None; count as usize];
    }
    let slots = part.slots.clone().unwrap_or(0..free.len() as u32);
    let nth = |n: u32| (slots.start + n % (slots.end - slots.start).max(1)) as usize;
    (0..count).map(|n| Some(free[nth(n) % free.len()].clone())).collect()
}

impl Model<'_> {
    /// The parts that share a region with a part by network or affinity, itself among them, in order. `ties` are those of each part.
    pub(super) fn company(&self, part: u32, ties: &HashMap<u32, Vec<u32>>) -> Vec<u32> {
        let mut found = vec![part];
        let mut seen = HashSet::from([part]);
        let mut next = 0;
        while let Some(part) = found.get(next).copied() {
            next += 1;
            for tie in ties.get(&part).into_iter().flatten().map(|t| &self.ties[*t as usize]) {
                let other = if tie.a == part { tie.b } else { tie.a };
                if tie.within == Within::Region && seen.insert(other) {
                    found.push(other);
                }
            }
        }
        found.sort_unstable();
        found
    }
}

impl Reason {
    pub(super) fn for_company(self, component: &str) -> Self {
        Self::Companion { component: component.to_owned(), reason: Box::new(self) }
    }
}

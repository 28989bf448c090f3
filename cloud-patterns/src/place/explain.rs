//! Why a component is where it is: what it costs by item, and for each other place the reason against it.

use std::collections::HashMap;

use cloud_core::{Decimal, Error, Location, Money, Purchase, Result};

use super::{
    Placement, Reason, Replica,
    amount::{decimal, micro},
    answer::Taken,
    demand::{Way, counted_by, slot},
    draft::{Rating, Scale, amount},
    filter::refusal,
    model::{Model, Weight},
    sites::{ABSENT, UNKNOWN},
};
use crate::workload::{Across, Within, spec::Typed};

/// Why a component is where it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// The component.
    pub component: String,
    /// Where each replica goes.
    pub chosen: Vec<Replica>,
    /// What a month of it costs, item by item: instances, storage, traffic by whom it goes to.
    pub costs: Vec<(String, Money)>,
    /// Every other region, ordered by place, and why it was not taken. All else stays where it was put.
    pub rejected: Vec<Rejected>,
    /// The best of the other regions.
    pub runner_up: Option<RunnerUp>,
}

/// A place that was not taken.
#[derive(Clone, Debug, PartialEq)]
pub struct Rejected {
    /// The region.
    pub place: Location,
    /// Why.
    pub reason: Reason,
}

/// The best of the places that were not taken.
#[derive(Clone, Debug, PartialEq)]
pub struct RunnerUp {
    /// The region.
    pub place: Location,
    /// The instance type there.
    pub instance_type: Option<String>,
    /// How much more a month it would cost, traffic included; below 0 if it would cost less, but counts for more.
    pub more: Money,
}

/// An instance type in one region that was not taken.
#[derive(Clone, Debug, PartialEq)]
pub struct RejectedOffer {
    /// The type.
    pub instance_type: String,
    /// The terms.
    pub purchase: Purchase,
    /// Why.
    pub reason: Reason,
}

/// What moves are judged by, found once for all components.
#[derive(Debug)]
pub(super) struct Moves {
    /// What is used of each limit.
    used: Vec<i64>,
    /// The flows of each part.
    flows: HashMap<u32, Vec<u32>>,
    /// The distances each part has to keep.
    apart: HashMap<u32, Vec<u32>>,
    /// The ties of each part.
    pub(super) ties: HashMap<u32, Vec<u32>>,
    scale: Scale,
}

impl Moves {
    fn new(model: &Model<'_>, taken: &[Taken]) -> Self {
        let mut used = vec![0i64; model.sites.limits.len()];
        for (item, taken) in model.items.iter().zip(taken) {
            if taken.way == u32::MAX {
                continue;
            }
            let part = &model.parts[item.part as usize];
            let way = model.ways[part.ways as usize].way(taken.way);
            let counted = counted_by(&model.specs[part.spec as usize]);
            for limit in &model.sites.sites[taken.site as usize].limits {
                let name = &model.sites.limits[*limit as usize].name;
                used[*limit as usize] +=
                    amount(name, way, counted).unwrap_or(0) * i64::from(item.replicas);
            }
        }
        fn by_part(pairs: impl Iterator<Item = (u32, u32)>) -> HashMap<u32, Vec<u32>> {
            let mut found: HashMap<u32, Vec<u32>> = HashMap::new();
            for (n, (a, b)) in pairs.enumerate() {
                found.entry(a).or_default().push(n as u32);
                found.entry(b).or_default().push(n as u32);
            }
            found
        }
        Self {
            used,
            flows: by_part(model.flows.iter().map(|flow| (flow.from, flow.to))),
            apart: by_part(model.apart.iter().map(|apart| (apart.a, apart.b))),
            ties: by_part(model.ties.iter().map(|tie| (tie.a, tie.b))),
            scale: model.scale(),
        }
    }
}

/// What somewhere counts for.
#[derive(Clone, Copy, Debug, Default)]
struct Score {
    /// All of it.
    counted: i64,
    /// What it costs, traffic included.
    money: Decimal,
    /// What it costs by use.
    rate: Decimal,
    unpriced: u32,
    /// The round trips to the targets.
    ms: f64,
}

impl Placement<'_> {
    /// Why a component is where it is.
    ///
    /// # Errors
    /// [`InvalidInput`](cloud_core::ErrorKind::InvalidInput) for a component that was not placed.
    pub fn explain(&self, component: &str) -> Result<Explanation> {
        Ok(self.explain_part(self.part(component)?))
    }

    pub(super) fn part(&self, component: &str) -> Result<u32> {
        let found = self.placed.iter().position(|placed| placed.component == component);
        found.map(|part| part as u32).ok_or_else(|| {
            let problem = format!("is '{}', which was not placed", component.escape_debug());
            Error::invalid("component", problem, "a component of the request")
        })
    }

    pub(super) fn moves(&self) -> &Moves {
        self.moves.get_or_init(|| Moves::new(&self.model, &self.taken))
    }

    pub(super) fn explain_part(&self, part: u32) -> Explanation {
        let model = &self.model;
        let movers = self.movers(part);
        let here: Vec<Taken> = movers.iter().map(|item| self.taken[*item as usize]).collect();
        let current = self.score(&movers, &here);
        let chosen: Vec<u32> =
            model.parts[part as usize].items.clone().map(|i| self.taken[i as usize].site).collect();
        let mut rejected = Vec::new();
        let mut runner_up: Option<(i64, RunnerUp)> = None;
        for (s, row) in model.sites.sites.iter().enumerate() {
            if chosen.contains(&(s as u32)) {
                continue;
            }
            let reason = match self.move_to(part, &movers, s) {
                Err(reason) => reason,
                Ok(there) => {
                    let score = self.score(&movers, &there);
                    let more = score.counted.saturating_sub(current.counted);
                    if runner_up.as_ref().is_none_or(|(least, _)| more < *least) {
                        let own = movers.iter().position(|i| model.items[*i as usize].part == part);
                        let way = own.map(|own| there[own].way);
                        let ways = &model.ways[model.parts[part as usize].ways as usize];
                        let kind = way.and_then(|way| model.sites.type_of(s, ways.way(way).kind));
                        let offer = RunnerUp {
                            place: row.place.clone(),
                            instance_type: kind.map(|kind| kind.name.to_owned()),
                            more: self.money(score.money - current.money),
                        };
                        runner_up = Some((more, offer));
                    }
                    self.compare(part, &score, &current)
                }
            };
            rejected.push(Rejected { place: row.place.clone(), reason });
        }
        rejected.sort_by(|a, b| a.place.cmp(&b.place));
        Explanation {
            component: model.parts[part as usize].name.to_owned(),
            chosen: self.placed[part as usize].replicas.clone(),
            costs: self.costs(part),
            rejected,
            runner_up: runner_up.map(|(_, offer)| offer),
        }
    }

    /// The items that move along with a part: those of its company; of replicas in several places, the first.
    fn movers(&self, part: u32) -> Vec<u32> {
        let items = self.model.parts[part as usize].items.clone();
        if items.len() > 1 {
            return vec![items.start];
        }
        let company = self.company(part);
        let items = company.iter().flat_map(|part| self.model.parts[*part as usize].items.clone());
        items.filter(|item| self.model.items[*item as usize].settled.is_none()).collect()
    }

    fn company(&self, part: u32) -> Vec<u32> {
        self.model.company(part, &self.moves().ties)
    }

    /// The ways of items at a site, or why they cannot be there.
    fn move_to(&self, part: u32, movers: &[u32], s: usize) -> Result<Vec<Taken>, Reason> {
        let model = &self.model;
        if let Some(reason) = self.static_reason(part, s) {
            return Err(reason);
        }
        for item in movers {
            let other = model.items[*item as usize].part;
            if other != part
                && let Some(reason) = self.static_reason(other, s)
            {
                return Err(reason.for_company(model.parts[other as usize].name));
            }
        }
        let there = self.ways_at(movers, s)?;
        for item in movers {
            self.relations_allow(*item, movers, s)?;
        }
        Ok(there)
    }

    /// Why a part cannot be at a site whatever the others do.
    pub(super) fn static_reason(&self, part: u32, s: usize) -> Option<Reason> {
        let model = &self.model;
        let row = &model.parts[part as usize];
        if row.mask.contains(s) && !model.ways[row.ways as usize].at(s).is_empty() {
            return None;
        }
        model.static_reason(row, &self.request.wanted[part as usize].resource_name, s)
    }

    /// The cheapest ways at a site that its quotas leave room for, all else being where it is.
    fn ways_at(&self, movers: &[u32], s: usize) -> Result<Vec<Taken>, Reason> {
        let model = &self.model;
        let moves = self.moves();
        let limits = &model.sites.sites[s].limits;
        let mut left: Vec<i64> = limits
            .iter()
            .map(|l| model.sites.limits[*l as usize].left - moves.used[*l as usize])
            .collect();
        // What the items that move give back.
        for item in movers {
            for (n, limit) in limits.iter().enumerate() {
                left[n] += self.takes(*item, *limit);
            }
        }
        let mut there = Vec::with_capacity(movers.len());
        for item in movers {
            let row = &model.items[*item as usize];
            let part = &model.parts[row.part as usize];
            let counted = counted_by(&model.specs[part.spec as usize]);
            let ways = &model.ways[part.ways as usize];
            let rating = Rating::new(model, part, row.replicas, self.weight, &moves.scale);
            let needs = |way: &Way, limit: u32| {
                let name = &model.sites.limits[limit as usize].name;
                amount(name, way, counted).unwrap_or(0) * i64::from(row.replicas)
            };
            let mut short: Option<Reason> = None;
            let mut best: Option<(i64, u32)> = None;
            for (nth, way) in ways.at(s).iter().enumerate() {
                let lacking = limits.iter().zip(&left).find(|(l, left)| needs(way, **l) > **left);
                if let Some((limit, left)) = lacking {
                    short.get_or_insert_with(|| Reason::Quota {
                        name: model.sites.limits[*limit as usize].name.clone(),
                        left: (*left).max(0),
                        needed: needs(way, *limit),
                    });
                    continue;
                }
                let cost = rating.cost(way);
                if best.is_none_or(|(least, _)| cost < least) {
                    best = Some((cost, ways.first(s) + nth as u32));
                }
            }
            let Some((_, way)) = best else {
                return Err(short.unwrap_or(Reason::NoPrice));
            };
            for (n, limit) in limits.iter().enumerate() {
                left[n] -= needs(ways.way(way), *limit);
            }
            there.push(Taken { site: s as u32, way });
        }
        Ok(there)
    }

    /// What an item takes of a limit where it is.
    fn takes(&self, item: u32, limit: u32) -> i64 {
        let model = &self.model;
        let taken = self.taken[item as usize];
        if !model.sites.sites[taken.site as usize].limits.contains(&limit) || taken.way == u32::MAX
        {
            return 0;
        }
        let row = &model.items[item as usize];
        let part = &model.parts[row.part as usize];
        let counted = counted_by(&model.specs[part.spec as usize]);
        let way = model.ways[part.ways as usize].way(taken.way);
        let name = &model.sites.limits[limit as usize].name;
        amount(name, way, counted).unwrap_or(0) * i64::from(row.replicas)
    }

    /// Whether an item's relations to those that do not move allow a site.
    fn relations_allow(&self, item: u32, movers: &[u32], s: usize) -> Result<(), Reason> {
        let model = &self.model;
        let moves = self.moves();
        let part = model.items[item as usize].part;
        let cloud = |site: u32| model.sites.sites[site as usize].cloud;
        let others = |part: u32| {
            let items = model.parts[part as usize].items.clone();
            items.filter(|i| !movers.contains(i)).map(|i| self.taken[i as usize].site)
        };
        let name = |part: u32| model.parts[part as usize].name.to_owned();
        for f in moves.flows.get(&part).into_iter().flatten() {
            let flow = &model.flows[*f as usize];
            let (out, with) = if flow.from == part { (true, flow.to) } else { (false, flow.from) };
            for other in others(with) {
                let ends = if out { (s, other as usize) } else { (other as usize, s) };
                if flow.gib > 0.0 && model.sites.egress(ends.0, ends.1).is_none() {
                    return Err(Reason::EgressUnknown { with: name(with) });
                }
                let near = |max: f64| {
                    model.sites.rtt(ends.0, ends.1).is_some_and(|rtt| rtt.ms <= max + 1e-3)
                };
                if let Some(max_ms) = flow.max_ms.filter(|max| !near(*max)) {
                    return Err(Reason::LinkTooFar { with: name(with), max_ms });
                }
            }
        }
        for a in moves.apart.get(&part).into_iter().flatten() {
            let apart = &model.apart[*a as usize];
            let with = if apart.a == part { apart.b } else { apart.a };
            let zones = model.sites.sites[s].free_zones.len();
            let close = |other: u32| match apart.within {
                Within::Provider => cloud(other) == cloud(s as u32),
                Within::Region => other as usize == s,
                Within::Zone => {
                    other as usize == s && zones < model.zones_for(apart.a, apart.b) as usize
                }
            };
            if others(with).any(close) {
                return Err(Reason::NotApart { with: name(with) });
            }
        }
        for t in moves.ties.get(&part).into_iter().flatten() {
            let tie = &model.ties[*t as usize];
            let with = if tie.a == part { tie.b } else { tie.a };
            let far = |other: u32| match tie.within {
                Within::Provider => cloud(other) != cloud(s as u32),
                _ => other as usize != s,
            };
            if others(with).any(far) {
                return Err(Reason::NotTogether { with: name(with) });
            }
        }
        if let Some(spread) = &model.parts[part as usize].component.requirements.spread {
            let near = |other: &u32| match spread.across {
                Across::Zones => false,
                Across::Regions => *other as usize == s,
                Across::Providers => cloud(*other) == cloud(s as u32),
            };
            if others(part).filter(near).count() as u32 >= spread.at_most {
                return Err(Reason::NotApart { with: name(part) });
            }
        }
        Ok(())
    }

    /// What some items count for at these places, with their traffic.
    fn score(&self, movers: &[u32], there: &[Taken]) -> Score {
        let model = &self.model;
        let moves = self.moves();
        let mut score = Score::default();
        let mut taken: HashMap<u32, Taken> = HashMap::new();
        for (item, at) in movers.iter().zip(there) {
            taken.insert(*item, *at);
            let row = &model.items[*item as usize];
            let part = &model.parts[row.part as usize];
            let way = model.ways[part.ways as usize].way(at.way);
            let rating = Rating::new(model, part, row.replicas, self.weight, &moves.scale);
            let internet = model.internet(part, model.share(*item), at.site as usize);
            let counted = rating.cost(way).saturating_add(rating.at(model, at.site as usize));
            let moving = model.moving(part, model.share(*item), at.site as usize) as f64;
            let moving = (moving * self.weight).round() as i64;
            let counted = counted.saturating_add(internet).saturating_add(moving);
            score.counted = score.counted.saturating_add(counted);
            let replicas = Decimal::from(row.replicas);
            match model.exact(way, at.site) {
                Some(cost) => {
                    score.money = score.money.saturating_add(cost.saturating_mul(replicas))
                }
                None => score.unpriced += 1,
            }
            let gib = part.component.requirements.internet_gib_per_month.unwrap_or(0.0);
            let internet = model.sites.internet_cost(at.site as usize, gib * model.share(*item));
            score.money = score.money.saturating_add(internet.unwrap_or_default());
            score.rate += decimal(way.rate);
            let target = part.wish.target.filter(|_| part.wish.latency != Weight::None);
            let rtt = target.and_then(|target| model.sites.rtt_to(target, at.site as usize));
            score.ms += rtt.map_or(0.0, |rtt| rtt.ms);
        }
        let site = |item: u32| {
            taken.get(&item).map_or(self.taken[item as usize].site, |at| at.site) as usize
        };
        let mut seen = Vec::new();
        for item in movers {
            let part = model.items[*item as usize].part;
            for f in moves.flows.get(&part).into_iter().flatten() {
                let flow = &model.flows[*f as usize];
                if seen.contains(f) || flow.gib <= 0.0 {
                    continue;
                }
                seen.push(*f);
                for a in model.parts[flow.from as usize].items.clone() {
                    for b in model.parts[flow.to as usize].items.clone() {
                        let gib = flow.gib * model.share(a) * model.share(b);
                        let price = model.sites.egress(site(a), site(b));
                        let cost = price
                            .zip(Decimal::from_f64_retain(gib))
                            .map_or(Decimal::ZERO, |(price, gib)| price.cost(gib));
                        score.money = score.money.saturating_add(cost);
                        let micro = micro(cost).unwrap_or(i64::MAX / 4);
                        score.counted = score.counted.saturating_add(micro);
                    }
                }
            }
        }
        score
    }

    /// Why what would suit was not taken.
    fn compare(&self, part: u32, there: &Score, here: &Score) -> Reason {
        let farther = there.ms - here.ms;
        let first = self.model.parts[part as usize].wish.latency == Weight::First;
        let (more, rate) = (there.money - here.money, there.rate - here.rate);
        let counted = there.counted.saturating_sub(here.counted);
        if first && farther > 0.0 {
            Reason::Farther { ms: farther }
        } else if there.unpriced > here.unpriced {
            Reason::PriceUnknown
        } else if more > Decimal::ZERO && counted > 0 {
            Reason::Dearer(self.money(more))
        } else if rate > Decimal::ZERO && counted > 0 {
            Reason::DearerByUse(self.money(rate))
        } else if farther > 0.0 && counted > 0 {
            Reason::Farther { ms: farther }
        } else if counted > 0 {
            Reason::WorseByPolicy
        } else if counted == 0 {
            Reason::AsGood
        } else {
            Reason::NotTaken
        }
    }

    /// What a part costs, item by item.
    fn costs(&self, part: u32) -> Vec<(String, Money)> {
        let model = &self.model;
        let row = &model.parts[part as usize];
        let mut costs = Vec::new();
        for item in row.items.clone() {
            let at = self.taken[item as usize];
            let way = model.ways[row.ways as usize].way(at.way);
            let count = model.items[item as usize].replicas;
            let kind = model.sites.type_of(at.site as usize, way.kind).map(|kind| kind.name);
            let place = &model.sites.sites[at.site as usize].place;
            let what = kind.unwrap_or(row.component.component_type.as_str());
            if let Some(unit) = model.exact(way, at.site).filter(|_| way.rate == 0) {
                let sum = unit.saturating_mul(Decimal::from(count));
                costs.push((format!("{count} × {what} in {place}"), self.money(sum)));
            }
        }
        let gib = row.component.requirements.internet_gib_per_month;
        if let Some(gib) = gib.filter(|gib| *gib > 0.0) {
            let cost = self.internet_of(part as usize);
            costs.push((format!("traffic to the internet, {gib} GiB"), self.money(cost)));
        }
        for f in self.moves().flows.get(&part).into_iter().flatten() {
            let flow = &model.flows[*f as usize];
            if flow.from == part && flow.gib > 0.0 {
                let with = model.parts[flow.to as usize].name;
                let cost = model.flow_cost(*f as usize, &self.taken);
                costs.push((format!("traffic to {with}, {} GiB", flow.gib), self.money(cost)));
            }
        }
        costs
    }

    /// The reason against each instance type of a region that a component did not take there; empty for what is no instance.
    ///
    /// # Errors
    /// [`InvalidInput`](cloud_core::ErrorKind::InvalidInput) for a component that was not placed, or a region that is unknown.
    pub fn offers(&self, component: &str, region: &Location) -> Result<Vec<RejectedOffer>> {
        let model = &self.model;
        let index = self.part(component)?;
        let part = &model.parts[index as usize];
        let site = model.sites.find(region).ok_or_else(|| {
            Error::invalid("region", format_args!("is {region}"), "a region of the catalog")
        })?;
        let Typed::Instance(spec) = &model.specs[part.spec as usize] else {
            return Ok(Vec::new());
        };
        let row = &model.sites.sites[site as usize];
        let fitter = model.fitter();
        let steps = model.steps(part);
        let ways = &model.ways[part.ways as usize];
        let taken: Vec<&Way> = (part.items.clone())
            .map(|i| self.taken[i as usize])
            .filter(|taken| taken.site == site)
            .map(|taken| ways.way(taken.way))
            .collect();
        let away = self.static_reason(index, site as usize);
        let best =
            ways.at(site as usize).iter().min_by_key(|way| way.counted().unwrap_or(i64::MAX));
        let against = taken.first().copied().or(best);
        let mut offers = Vec::new();
        for (k, kind) in model.sites.clouds[row.cloud as usize].types.iter().enumerate() {
            let prices = row.prices.get(k).filter(|prices| prices[0] != ABSENT);
            let Some(prices) = prices else {
                continue;
            };
            for purchase in [Purchase::OnDemand, Purchase::Spot, Purchase::Reserved] {
                let cost = prices[slot(purchase)];
                let is = |way: &&Way| way.kind == k as u32 && way.purchase == purchase;
                if taken.iter().any(is) || (cost == UNKNOWN && purchase != Purchase::OnDemand) {
                    continue;
                }
                let way = Way::of_type(k as u32, purchase, cost, kind.vcpu);
                let reason = fitter
                    .why_not_type(&part.demand, &spec.size, row, steps.as_ref(), way)
                    .or_else(|| away.clone())
                    .unwrap_or_else(|| self.against(&way, against));
                offers.push(RejectedOffer {
                    instance_type: kind.name.to_owned(),
                    purchase,
                    reason,
                });
            }
        }
        Ok(offers)
    }

    /// Why a way that fits is behind another at the same site.
    fn against(&self, way: &Way, best: Option<&Way>) -> Reason {
        match (way.counted(), best.and_then(Way::counted)) {
            (None, Some(_)) => Reason::PriceUnknown,
            (Some(cost), Some(best)) if cost > best => {
                Reason::Dearer(self.money(decimal(cost - best)))
            }
            (Some(cost), Some(best)) if cost < best => Reason::NotTaken,
            _ => Reason::AsGood,
        }
    }
}

impl Model<'_> {
    /// Why a part cannot be at a site whatever the others do.
    pub(super) fn static_reason(
        &self,
        part: &super::model::Part<'_>,
        resource_name: &str,
        s: usize,
    ) -> Option<Reason> {
        let failed = part.filters.iter().map(|f| &self.filters[*f as usize]);
        if let Some(reason) = failed
            .filter(|(_, passing)| !passing.contains(s))
            .find_map(|(filter, _)| refusal(filter, &self.sites, s))
        {
            return Some(reason);
        }
        if let Some(able) = &part.able
            && !able.contains(s)
        {
            let why = self.unable(part, resource_name, s);
            return Some(Reason::Unsupported(why.unwrap_or("this cloud does not offer it".into())));
        }
        if self.ways[part.ways as usize].at(s).is_empty() {
            let spec = &self.specs[part.spec as usize];
            let steps = self.steps(part);
            return Some(self.fitter().why_not(&part.demand, spec, steps.as_ref(), s));
        }
        None
    }
}

//! From a model to the solver's problem: the options of each item and what they cost, with all constraints or some of them.

use std::collections::HashMap;

use smallvec::SmallVec;

use super::{
    amount::MICRO,
    demand::{Way, counted_by},
    filter::Bits,
    model::{Model, Part, Weight},
    sites::UNKNOWN,
    solve::{Item, Link, Offer, Problem, Scope, Site, Spread, Together, Use},
    tariff::Tariffs,
};
use crate::workload::{Across, Within};

/// A constraint that can be left out, to see what it costs or whether it is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Constraint {
    /// A part's n-th filter.
    Filter { part: u32, nth: u32 },
    /// That the part's cloud can do what it asks for.
    Able(u32),
    /// What a part demands of size, terms and price.
    Fit(u32),
    /// How a part's replicas are spread.
    Spread(u32),
    /// A tie, by index.
    Tie(u32),
    /// A distance to be kept, by index.
    Apart(u32),
    /// The longest round trip of a flow, by index.
    FlowLatency(u32),
    /// That the price of a flow is known, by index.
    FlowPrice(u32),
    /// A limit, by index.
    Limit(u32),
    /// The policies, all together.
    Policies,
    /// At most so much on one cloud.
    MaxShare,
    /// The budget.
    Budget,
}

/// What is made of a model.
pub(super) struct Draft {
    pub(super) problem: Problem,
    /// The model's items that it has, in its order.
    pub(super) items: Vec<u32>,
    /// For each option of each item the way that it stands for; `u32::MAX` for one that stands for none.
    pub(super) ways: Vec<Vec<u32>>,
}

/// What of a model goes into a draft.
pub(super) struct Choice<'c> {
    /// The items; `None` for all.
    pub(super) items: Option<&'c [u32]>,
    /// Which constraints hold; `None` for all.
    pub(super) holds: Option<&'c dyn Fn(Constraint) -> bool>,
    /// By what latency and surcharges are multiplied.
    pub(super) weight: f64,
    /// Whether the budget is a ceiling.
    pub(super) ceiling: bool,
}

impl Choice<'_> {
    pub(super) const ALL: Self = Choice { items: None, holds: None, weight: 1.0, ceiling: true };

    fn holds(&self, constraint: Constraint) -> bool {
        self.holds.is_none_or(|holds| holds(constraint))
    }
}

/// The largest sum that what counts besides money may reach, so that nothing overflows.
const MOST_TOTAL: i64 = 1 << 58;
/// The unit in which latencies are compared: hundredths of a millisecond.
const PER_MS: f64 = 100.0;
/// The longest latency that is told from longer ones: ten seconds.
const LONGEST: f64 = 10_000.0 * PER_MS;

/// By what latencies and unknown prices count, so that the one goes before the other and both before money.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    /// What an unknown price counts for.
    unpriced: i64,
    /// What a hundredth of a millisecond counts for where latency goes first.
    latency: i64,
}

impl<'a> Model<'a> {
    /// How latency and unknown prices are made to count.
    pub(super) fn scale(&self) -> Scale {
        let (mut money, mut unpriced, mut first) = (MICRO, 0i64, 0i64);
        let plain = |p: &Part<'_>| p.wish.latency != Weight::First && p.demand.priced;
        if self.parts[..self.wanted].iter().all(plain) {
            return Scale { unpriced: 0, latency: 0 };
        }
        for item in &self.items {
            let part = &self.parts[item.part as usize];
            if item.settled.is_some() {
                continue;
            }
            let (mut dearest, mut unknown) = (0, false);
            for way in part.mask.iter().flat_map(|s| self.ways[part.ways as usize].at(s)) {
                match way.counted() {
                    Some(cost) => dearest = dearest.max(cost),
                    None => unknown = true,
                }
            }
            money = money.saturating_add(dearest.saturating_mul(i64::from(item.replicas)));
            unpriced += i64::from(unknown);
            first += i64::from(part.wish.latency == Weight::First);
        }
        // Two different sums of latencies have to outweigh all that can be saved otherwise, as far as the numbers reach.
        let cap = |count: i64, units: i64| MOST_TOTAL / count.max(1) / units;
        let of_unpriced = money.min(cap(unpriced, 1));
        let all = money.saturating_add(of_unpriced.saturating_mul(unpriced));
        Scale { unpriced: of_unpriced, latency: all.min(cap(first, LONGEST as i64)).max(1) }
    }

    /// The problem of these items and constraints.
    pub(super) fn draft(&self, choice: &Choice<'_>) -> Draft {
        let scale = self.scale();
        let all: Vec<u32>;
        let chosen = match choice.items {
            Some(items) => items,
            None => {
                all = (0..self.items.len() as u32).collect();
                &all
            }
        };
        // Where each of the model's items stands in the draft.
        let mut at = vec![u32::MAX; self.items.len()];
        for (i, item) in chosen.iter().enumerate() {
            at[*item as usize] = i as u32;
        }
        let mut problem = Problem {
            sites: self.sites.sites.iter().map(|site| Site { cloud: site.cloud }).collect(),
            ..Problem::default()
        };
        let limits = Limits::new(self, choice);
        let mut ways = Vec::with_capacity(chosen.len());
        let no_policies = !choice.holds(Constraint::Policies) && !self.policies.is_empty();
        // Ways are the same for all items of a part, and of parts of one demand.
        for item in chosen {
            let row = self.items[*item as usize];
            if let Some(site) = row.settled {
                let uses = SmallVec::new();
                problem.items.push(Item { options: vec![Offer { site, cost: 0, uses }] });
                ways.push(vec![u32::MAX]);
                continue;
            }
            let part = &self.parts[row.part as usize];
            let (options, way) =
                self.options(row.part, part, row.replicas, choice, no_policies, &scale, &limits);
            problem.items.push(Item { options });
            ways.push(way);
        }
        problem.limits = limits.left;
        self.relations(&mut problem, &at, choice);
        self.links(&mut problem, &at, choice);
        if choice.ceiling && choice.holds(Constraint::Budget) {
            problem.ceiling = self.budget;
        }
        Draft { problem, items: chosen.to_vec(), ways }
    }

    #[allow(clippy::too_many_arguments)]
    fn options(
        &self,
        index: u32,
        part: &Part<'a>,
        replicas: u32,
        choice: &Choice<'_>,
        no_policies: bool,
        scale: &Scale,
        limits: &Limits,
    ) -> (Vec<Offer>, Vec<u32>) {
        let relaxed;
        let mask = match choice.holds {
            None => &part.mask,
            Some(_) => {
                relaxed = self.mask(index, part, choice);
                &relaxed
            }
        };
        let free = !choice.holds(Constraint::Fit(index)) || no_policies;
        let ways = &self.ways[part.ways as usize];
        let rating = Rating::new(self, part, replicas, choice.weight, scale);
        let count = i64::from(replicas);
        let share = f64::from(replicas) / f64::from(part.replicas.max(1));
        let counted = counted_by(&self.specs[part.spec as usize]);
        let count_at = |s| if free { 1 } else { ways.at(s).len() };
        let expected = mask.iter().map(count_at).sum();
        let mut options = Vec::with_capacity(expected);
        let mut indices = Vec::with_capacity(expected);
        for s in mask.iter() {
            if free {
                // Whatever it is, it is there for nothing.
                let uses = SmallVec::new();
                options.push(Offer { site: s as u32, cost: 0, uses });
                indices.push(u32::MAX);
                continue;
            }
            let takes = limits.here(self, s, counted);
            let moving = weighed(self.moving(part, share, s), choice.weight);
            let added = rating.at(self, s) + self.internet(part, share, s) + moving;
            for (nth, way) in ways.at(s).iter().enumerate() {
                options.push(Offer {
                    site: s as u32,
                    cost: rating.cost(way).saturating_add(added),
                    uses: uses(&takes, way, count),
                });
                indices.push(ways.first(s) + nth as u32);
            }
        }
        (options, indices)
    }

    /// The sites that pass those filters of a part that hold.
    pub(super) fn mask(&self, index: u32, part: &Part<'a>, choice: &Choice<'_>) -> Bits {
        let mut mask = Bits::all(self.sites.sites.len());
        for (nth, filter) in part.filters.iter().enumerate() {
            if choice.holds(Constraint::Filter { part: index, nth: nth as u32 }) {
                mask.keep(&self.filters[*filter as usize].1);
            }
        }
        if let Some(able) = &part.able
            && choice.holds(Constraint::Able(index))
        {
            mask.keep(able);
        }
        mask
    }

    fn relations(&self, problem: &mut Problem, at: &[u32], choice: &Choice<'_>) {
        let items = |part: u32| {
            let items = self.parts[part as usize].items.clone();
            items.map(|i| at[i as usize]).filter(|i| *i != u32::MAX)
        };
        for (p, part) in self.parts[..self.wanted].iter().enumerate() {
            let Some(spread) = part.component.requirements.spread else {
                continue;
            };
            let scope = match spread.across {
                Across::Zones => continue,
                Across::Regions => Scope::Site,
                Across::Providers => Scope::Cloud,
            };
            // Its replicas that are there already count too.
            let there = self.parts[self.wanted..].iter().position(|other| other.name == part.name);
            let there = there.map(|t| (self.wanted + t) as u32);
            let items: Vec<u32> =
                items(p as u32).chain(there.into_iter().flat_map(items)).collect();
            if items.len() > 1 && choice.holds(Constraint::Spread(p as u32)) {
                problem.spreads.push(Spread { items, scope, most: spread.at_most });
            }
        }
        for (t, tie) in self.ties.iter().enumerate() {
            let items: Vec<u32> = items(tie.a).chain(items(tie.b)).collect();
            let scope = if tie.within == Within::Provider { Scope::Cloud } else { Scope::Site };
            if items.len() > 1 && choice.holds(Constraint::Tie(t as u32)) {
                problem.together.push(Together { items, scope });
            }
        }
        for (n, apart) in self.apart.iter().enumerate() {
            if apart.within == Within::Zone || !choice.holds(Constraint::Apart(n as u32)) {
                continue;
            }
            let scope = if apart.within == Within::Provider { Scope::Cloud } else { Scope::Site };
            for a in items(apart.a) {
                for b in items(apart.b) {
                    problem.spreads.push(Spread { items: vec![a, b], scope, most: 1 });
                }
            }
        }
        if let Some(most) = self.max_share
            && choice.holds(Constraint::MaxShare)
        {
            let items = (0..problem.items.len() as u32).collect();
            problem.spreads.push(Spread { items, scope: Scope::Cloud, most });
        }
    }

    fn links(&self, problem: &mut Problem, at: &[u32], choice: &Choice<'_>) {
        let mut tariffs = Tariffs::new(self);
        // Both directions between two items are one link, with one tariff each.
        let mut known: HashMap<(u32, u32), u32> = HashMap::with_capacity(self.flows.len());
        for (f, flow) in self.flows.iter().enumerate() {
            let (from, to) = (&self.parts[flow.from as usize], &self.parts[flow.to as usize]);
            let max_rtt = flow
                .max_ms
                .filter(|_| choice.holds(Constraint::FlowLatency(f as u32)))
                .map(|ms| (ms * 1000.0 + 1e-3).floor() as u32);
            let priced = choice.holds(Constraint::FlowPrice(f as u32));
            for a in from.items.clone() {
                for b in to.items.clone() {
                    let (x, y) = (at[a as usize], at[b as usize]);
                    if x == u32::MAX || y == u32::MAX {
                        continue;
                    }
                    let share = self.share(a) * self.share(b);
                    let (units, tariff) = match priced {
                        true => tariffs.of(flow.gib * share),
                        false => tariffs.of(0.0),
                    };
                    let forward = Link {
                        a: x,
                        b: y,
                        ab: units,
                        ba: 0,
                        tariff_ab: tariff,
                        tariff_ba: tariff,
                        max_rtt,
                        rtt_cost: 0,
                    };
                    join(problem, &mut known, forward);
                }
            }
        }
        for (n, apart) in self.apart.iter().enumerate() {
            if apart.within != Within::Zone || !choice.holds(Constraint::Apart(n as u32)) {
                continue;
            }
            let tariff = tariffs.apart_in_zones(self.zones_for(apart.a, apart.b));
            for a in self.parts[apart.a as usize].items.clone() {
                for b in self.parts[apart.b as usize].items.clone() {
                    let (a, b) = (at[a as usize], at[b as usize]);
                    if a != u32::MAX && b != u32::MAX {
                        problem.links.push(Link {
                            a,
                            b,
                            ab: 1,
                            ba: 0,
                            tariff_ab: tariff,
                            tariff_ba: tariff,
                            max_rtt: None,
                            rtt_cost: 0,
                        });
                    }
                }
            }
        }
        if problem.links.iter().any(|link| link.max_rtt.is_some()) {
            problem.rtt = self.rtts();
        }
        problem.tariffs = tariffs.all;
    }

    /// An item's share of its part.
    pub(super) fn share(&self, item: u32) -> f64 {
        let row = self.items[item as usize];
        let replicas = self.parts[row.part as usize].replicas;
        f64::from(row.replicas) / f64::from(replicas.max(1))
    }

    /// How many zones a region needs for two parts that keep out of each other's zones.
    pub(super) fn zones_for(&self, a: u32, b: u32) -> u32 {
        let end = |part: u32| match &self.parts[part as usize].slots {
            Some(slots) => slots.end,
            // In which zones it is, is not known.
            None => u32::MAX,
        };
        end(a).max(end(b))
    }

    /// The round trips between sites, in microseconds.
    fn rtts(&self) -> Vec<u32> {
        let count = self.sites.sites.len();
        let between = |i: usize| match self.sites.rtt(i / count, i % count) {
            Some(rtt) => (rtt.ms * 1000.0).round() as u32,
            None => u32::MAX,
        };
        (0..count * count).map(between).collect()
    }
}

/// Adds a link, or what it sends to one that is there already.
fn join(problem: &mut Problem, known: &mut HashMap<(u32, u32), u32>, link: Link) {
    let shorter = |a: Option<u32>, b: Option<u32>| match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    };
    if let Some(back) = known.get(&(link.b, link.a)).map(|l| &mut problem.links[*l as usize])
        && back.ba == 0
    {
        back.ba = link.ab;
        back.tariff_ba = link.tariff_ab;
        back.max_rtt = shorter(back.max_rtt, link.max_rtt);
        return;
    }
    known.entry((link.a, link.b)).or_insert(problem.links.len() as u32);
    problem.links.push(link);
}

/// What places count for besides their cost, for one item.
pub(super) struct Rating {
    replicas: i64,
    weight: f64,
    unpriced: i64,
    target: Option<u32>,
    /// What a hundredth of a millisecond counts for.
    per_unit: f64,
}

impl Rating {
    pub(super) fn new(
        model: &Model<'_>,
        part: &Part<'_>,
        replicas: u32,
        weight: f64,
        scale: &Scale,
    ) -> Self {
        let per_unit = match part.wish.latency {
            Weight::None => 0.0,
            Weight::First => scale.latency as f64,
            Weight::Share(share) => {
                let target = part.wish.target;
                let ways = &model.ways[part.ways as usize];
                let costs = part.mask.iter().flat_map(|s| ways.at(s)).filter_map(Way::counted);
                let cheapest = costs.min().unwrap_or(0) as f64 * f64::from(replicas);
                let trips = part.mask.iter().filter_map(|s| model.sites.rtt_to(target?, s));
                let best = trips.map(|rtt| rtt.ms).fold(f64::INFINITY, f64::min).max(1.0);
                share * cheapest / best / PER_MS
            }
        };
        Self {
            replicas: i64::from(replicas),
            weight,
            unpriced: scale.unpriced,
            target: part.wish.target.filter(|_| part.wish.latency != Weight::None),
            per_unit,
        }
    }

    /// What a way counts for.
    pub(super) fn cost(&self, way: &Way) -> i64 {
        let surcharge = weighed(way.surcharge, self.weight);
        let money = if way.cost == UNKNOWN { 0 } else { way.cost + way.rate };
        let unpriced = if way.cost == UNKNOWN { self.unpriced } else { 0 };
        (money + surcharge).saturating_mul(self.replicas).saturating_add(unpriced)
    }

    /// What a site counts for on top.
    pub(super) fn at(&self, model: &Model<'_>, s: usize) -> i64 {
        let Some(rtt) = self.target.and_then(|target| model.sites.rtt_to(target, s)) else {
            return 0;
        };
        // In whole hundredths of a millisecond, so that sums of them compare exactly.
        let units = (rtt.ms * PER_MS).round().min(LONGEST);
        ((units * self.per_unit * self.weight).round() as i64).min(MOST_TOTAL)
    }
}

/// What is not money, as far as it counts. Mostly there is none, and this is asked for every option.
fn weighed(amount: i64, weight: f64) -> i64 {
    match amount {
        0 => 0,
        amount => (amount as f64 * weight).round() as i64,
    }
}

/// The limits that hold, by their place in the problem.
struct Limits {
    left: Vec<i64>,
    /// For each limit of the model its place; `u32::MAX` for one that does not hold.
    at: Vec<u32>,
}

impl Limits {
    fn new(model: &Model<'_>, choice: &Choice<'_>) -> Self {
        let mut limits = Self { left: Vec::new(), at: Vec::new() };
        for (l, row) in model.sites.limits.iter().enumerate() {
            let holds = choice.holds(Constraint::Limit(l as u32));
            limits.at.push(if holds { limits.left.len() as u32 } else { u32::MAX });
            if holds {
                limits.left.push(row.left);
            }
        }
        limits
    }

    /// The limits of a site that something takes from: their places, and whether they count virtual CPUs.
    fn here(&self, model: &Model<'_>, s: usize, counted: &str) -> SmallVec<[(u32, bool); 4]> {
        let limits = model.sites.sites[s].limits.iter().filter_map(|l| {
            let name = model.sites.limits[*l as usize].name.as_str();
            let vcpu = name == cloud_core::Quota::VCPU;
            let limit = self.at[*l as usize];
            (limit != u32::MAX && (vcpu || name == counted)).then_some((limit, vcpu))
        });
        limits.collect()
    }
}

fn uses(takes: &[(u32, bool)], way: &Way, replicas: i64) -> SmallVec<[Use; 2]> {
    let amounts = takes.iter().map(|(limit, vcpu)| {
        let one = if *vcpu { i64::from(way.vcpu) } else { 1 };
        Use { limit: *limit, amount: one * replicas }
    });
    amounts.filter(|used| used.amount > 0).collect()
}

/// How much of a quota one replica takes; `None` if it is another's.
pub(super) fn amount(quota: &str, way: &Way, counted: &str) -> Option<i64> {
    if quota == cloud_core::Quota::VCPU {
        return Some(i64::from(way.vcpu));
    }
    (quota == counted).then_some(1)
}

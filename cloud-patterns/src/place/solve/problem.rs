//! A placement problem in plain numbers: items, the options of each, and what binds them together.

use cloud_core::{Error, Result};
use smallvec::SmallVec;

/// The price of traffic that cannot be: two linked items are never put so.
pub const IMPOSSIBLE: i64 = i64::MAX;

/// Where an option puts its item: a region of a cloud.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Site {
    /// The cloud, counted from 0.
    pub cloud: u32,
}

/// So much of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Use {
    /// The index of the limit.
    pub limit: u32,
    /// How much of it, at least 0.
    pub amount: i64,
}

/// One way to place an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The index of the site.
    pub site: u32,
    /// What it costs, at least 0. The unit is the caller's, the same throughout.
    pub cost: i64,
    /// What it takes of the limits, each named once.
    pub uses: SmallVec<[Use; 2]>,
}

/// What has to be placed: exactly one of its options is taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Item {
    /// The options, in any order.
    pub options: Vec<Offer>,
}

/// Traffic between two items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// One end.
    pub a: u32,
    /// The other end.
    pub b: u32,
    /// Units sent from a to b, priced by `tariff_ab`.
    pub ab: i64,
    /// Units sent from b to a, priced by `tariff_ba`.
    pub ba: i64,
    /// The index of the tariff of what a sends.
    pub tariff_ab: u32,
    /// The index of the tariff of what b sends.
    pub tariff_ba: u32,
    /// The longest round trip allowed between the two sites, in the unit of [`Problem::rtt`].
    pub max_rtt: Option<u32>,
    /// What a unit of round trip costs.
    pub rtt_cost: i64,
}

/// What a unit of traffic costs from each site to each: row by row, source first. At least 0, or [`IMPOSSIBLE`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tariff {
    /// `sites * sites` prices.
    pub prices: Vec<i64>,
}

/// Within what items are counted or kept together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// A site.
    Site,
    /// A cloud.
    Cloud,
}

/// At most so many of some items in one site or cloud. With two items and `most` 1: they are kept apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spread {
    /// The items.
    pub items: Vec<u32>,
    /// What is counted within.
    pub scope: Scope,
    /// At most so many, at least 1.
    pub most: u32,
}

/// Items that share one site or one cloud.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Together {
    /// The items.
    pub items: Vec<u32>,
    /// What they share.
    pub scope: Scope,
}

/// Everything that [`solve`](super::solve) is told.
///
/// An assignment takes one option for each item. It is valid if no limit is used beyond its capacity, no link is longer than its longest
/// round trip, every [`Spread`] and [`Together`] holds, and its cost is at most `ceiling`. Its cost is that of the options taken, and for each
/// link `ab * price(site a, site b) + ba * price(site b, site a) + rtt_cost * rtt(site a, site b)`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problem {
    /// Where items can go.
    pub sites: Vec<Site>,
    /// The round trip between each two sites, row by row, alike from both ends; empty if no link minds it.
    /// [`u32::MAX`] is unknown: longer than any bound.
    pub rtt: Vec<u32>,
    /// What traffic costs.
    pub tariffs: Vec<Tariff>,
    /// What has to be placed.
    pub items: Vec<Item>,
    /// The traffic between them.
    pub links: Vec<Link>,
    /// How they are spread.
    pub spreads: Vec<Spread>,
    /// What is kept together.
    pub together: Vec<Together>,
    /// How much there is of each limit.
    pub limits: Vec<i64>,
    /// The most that all may cost.
    pub ceiling: Option<i64>,
}

impl Problem {
    /// Refuses what cannot be computed with.
    pub(super) fn check(&self) -> Result<()> {
        let sites = self.sites.len();
        let wrong = |field: String, problem: &str, accepted: String| {
            Err(Error::invalid(&field, problem, accepted))
        };
        if !self.rtt.is_empty() && self.rtt.len() != sites * sites {
            return wrong("rtt".into(), "has the wrong length", format!("{}", sites * sites));
        }
        let alike = |(i, rtt): (usize, &u32)| *rtt == self.rtt[i % sites * sites + i / sites];
        if !self.rtt.iter().enumerate().all(alike) {
            return wrong("rtt".into(), "differs by direction", "alike from both ends".into());
        }
        // Far below what a sum of all costs could overflow with.
        let most = i64::MAX / 64 / (self.items.len() + self.links.len()).max(1) as i64;
        for (t, tariff) in self.tariffs.iter().enumerate() {
            if tariff.prices.len() != sites * sites {
                let field = format!("tariffs[{t}].prices");
                return wrong(field, "has the wrong length", format!("{}", sites * sites));
            }
            if tariff.prices.iter().any(|price| *price < 0) {
                return wrong(
                    format!("tariffs[{t}].prices"),
                    "has a negative price",
                    "0 or more".into(),
                );
            }
        }
        for (i, item) in self.items.iter().enumerate() {
            for (o, offer) in item.options.iter().enumerate() {
                let field = |name: &str| format!("items[{i}].options[{o}].{name}");
                if offer.site as usize >= sites {
                    return wrong(field("site"), "is no site", format!("less than {sites}"));
                }
                if !(0..=most).contains(&offer.cost) {
                    return wrong(field("cost"), "is out of range", format!("0 to {most}"));
                }
                for (k, used) in offer.uses.iter().enumerate() {
                    if used.limit as usize >= self.limits.len() {
                        let accepted = format!("less than {}", self.limits.len());
                        return wrong(field("uses"), "names no limit", accepted);
                    }
                    let again = offer.uses[..k].iter().any(|other| other.limit == used.limit);
                    if again || !(0..=i64::from(u32::MAX)).contains(&used.amount) {
                        let accepted = format!("each limit once, 0 to {}", u32::MAX);
                        return wrong(
                            field("uses"),
                            "has a wrong amount or a limit twice",
                            accepted,
                        );
                    }
                }
            }
        }
        let dearest = self.tariffs.iter().map(|tariff| {
            let prices = tariff.prices.iter().filter(|price| **price != IMPOSSIBLE);
            prices.max().copied().unwrap_or(0)
        });
        let dearest: Vec<i64> = dearest.collect();
        let longest = self.rtt.iter().filter(|rtt| **rtt != u32::MAX).max().copied().unwrap_or(0);
        for (l, link) in self.links.iter().enumerate() {
            let field = |name: &str| format!("links[{l}].{name}");
            if link.a == link.b || link.a.max(link.b) as usize >= self.items.len() {
                return wrong(
                    field("a, b"),
                    "are no two items",
                    format!("two below {}", self.items.len()),
                );
            }
            if link.tariff_ab.max(link.tariff_ba) as usize >= self.tariffs.len() {
                return wrong(
                    field("tariff"),
                    "is no tariff",
                    format!("less than {}", self.tariffs.len()),
                );
            }
            if self.rtt.is_empty() && (link.max_rtt.is_some() || link.rtt_cost != 0) {
                return wrong(
                    field("max_rtt"),
                    "is set without round trips",
                    "a full table".into(),
                );
            }
            let dearest = |units: i64, tariff: u32| units.checked_mul(dearest[tariff as usize]);
            let sum = [
                dearest(link.ab, link.tariff_ab),
                dearest(link.ba, link.tariff_ba),
                link.rtt_cost.checked_mul(i64::from(longest)),
            ];
            let negative = link.ab < 0 || link.ba < 0 || link.rtt_cost < 0;
            if negative || sum.iter().any(|cost| cost.is_none_or(|cost| cost > most)) {
                return wrong(
                    field("ab, ba, rtt_cost"),
                    "is out of range",
                    format!("costs up to {most}"),
                );
            }
        }
        let groups = self.spreads.iter().map(|s| ("spreads", &s.items));
        let groups = groups.chain(self.together.iter().map(|t| ("together", &t.items)));
        for (name, items) in groups {
            let mut seen: Vec<u32> = items.clone();
            seen.sort_unstable();
            seen.dedup();
            if seen.len() != items.len()
                || seen.last().is_some_and(|i| *i as usize >= self.items.len())
            {
                return wrong(
                    format!("{name}.items"),
                    "names an item twice or none",
                    "each once".into(),
                );
            }
        }
        if self.spreads.iter().any(|spread| spread.most == 0) {
            return wrong("spreads.most".into(), "is 0", "1 or more".into());
        }
        if self.limits.iter().any(|limit| *limit < 0) {
            return wrong("limits".into(), "has a negative one", "0 or more".into());
        }
        Ok(())
    }
}

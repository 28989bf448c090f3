//! What is there already: what it costs to stay, to move, and whether moving is worth it.

use cloud_core::{ByteSize, Decimal, Error, Location, Money, Result};

use super::{
    Placement, Request,
    amount::{MOST, decimal, micro},
    draft::Choice,
    model::{Model, Part},
    solve::{self, Outcome},
};

/// Where a component is now, and what moving it takes.
///
/// ```
/// use cloud_core::{ByteSize, CloudId, Location, Region};
/// use cloud_patterns::place::Current;
/// let place = Location::new(CloudId::new("aws")?, Region::new("eu-west-1")?);
/// let current = Current { data: ByteSize::gib(500), ..Current::new("orders", vec![place]) };
/// assert!(current.downtime.is_none());
/// # Ok::<_, cloud_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Current {
    /// The component.
    pub component: String,
    /// Where its replicas are.
    pub places: Vec<Location>,
    /// How much data has to be transferred if it moves.
    pub data: ByteSize,
    /// What the interruption costs if it moves; `None` for nothing.
    pub downtime: Option<Money>,
}

impl Current {
    /// A component without data.
    pub fn new(component: impl Into<String>, places: Vec<Location>) -> Self {
        Self { component: component.into(), places, data: ByteSize::default(), downtime: None }
    }
}

/// How much better another place has to be for a component to move there, so that plans do not flap for cents: what moving saves a
/// month is at least `share` of what the component costs where it is, and pays the move back within `payback_months`.
///
/// ```
/// let threshold = cloud_patterns::place::Threshold::default();
/// assert_eq!((threshold.share, threshold.payback_months), (0.05, 3.0));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Threshold {
    /// The least saving, as a share of the present cost. Default 0.05.
    pub share: f64,
    /// Within how many months the move is paid back. Default 3.
    pub payback_months: f64,
}

impl Default for Threshold {
    fn default() -> Self {
        Self { share: 0.05, payback_months: 3.0 }
    }
}

impl Threshold {
    pub(super) fn check(&self) -> Result<()> {
        if !(0.0..=1000.0).contains(&self.share) {
            let problem = format_args!("is {}", self.share);
            return Err(Error::invalid("threshold.share", problem, "0 to 1000"));
        }
        if !(0.01..=1200.0).contains(&self.payback_months) {
            let problem = format_args!("is {}", self.payback_months);
            return Err(Error::invalid("threshold.payback_months", problem, "0.01 to 1200"));
        }
        Ok(())
    }
}

/// A component that moves.
#[derive(Clone, Debug, PartialEq)]
pub struct Move {
    /// The component.
    pub component: String,
    /// Where it is.
    pub from: Vec<Location>,
    /// Where it goes.
    pub to: Vec<Location>,
    /// The data to be transferred.
    pub data: ByteSize,
    /// What its transfer costs; `None` if the price is unknown.
    pub transfer: Option<Money>,
    /// What the interruption costs.
    pub downtime: Option<Money>,
}

/// What staying would cost, and what moving saves.
#[derive(Clone, Debug, PartialEq)]
pub struct StatusQuo {
    /// What a month costs if everything stays where it is, at today's prices; `None` if something cannot stay.
    pub stays: Option<Money>,
    /// What a month costs as placed.
    pub placed: Money,
    /// What the moves cost once; `None` if a price is unknown.
    pub moving: Option<Money>,
    /// What is saved a month; below 0 if it costs more. `None` if something cannot stay.
    pub monthly_saving: Option<Money>,
    /// What moves.
    pub moves: Vec<Move>,
}

/// A component that is somewhere, by index.
#[derive(Clone, Debug)]
pub(super) struct Stay {
    /// The sites it is at.
    pub(super) sites: Vec<u32>,
    /// The data, in GiB.
    data: Decimal,
    downtime: i64,
}

impl Model<'_> {
    /// Reads where components are now.
    pub(super) fn read_current(&mut self, request: &Request<'_>) -> Result<()> {
        request.threshold.check()?;
        for current in &request.current {
            let known = self.parts[..self.wanted].iter().position(|p| p.name == current.component);
            let Some(part) = known else {
                continue;
            };
            let mut sites: Vec<u32> =
                current.places.iter().filter_map(|place| self.sites.find(place)).collect();
            sites.sort_unstable();
            sites.dedup();
            let downtime = match &current.downtime {
                Some(cost) => self.sites.budget(cost)?.min(MOST),
                None => 0,
            };
            let data = gib(current.data);
            self.parts[part].stay = Some(Stay { sites, data, downtime });
        }
        Ok(())
    }

    /// What one item's being at a site counts for because it is elsewhere now.
    pub(super) fn moving(&self, part: &Part<'_>, share: f64, s: usize) -> i64 {
        let Some(stay) = &part.stay else {
            return 0;
        };
        if stay.sites.contains(&(s as u32)) || stay.sites.is_empty() {
            return 0;
        }
        let ways = &self.ways[part.ways as usize];
        let now = stay.sites.iter().filter(|s| part.mask.contains(**s as usize));
        let cheapest = now.flat_map(|s| ways.at(*s as usize)).filter_map(|way| way.counted()).min();
        let now = cheapest.unwrap_or(0) as f64 * f64::from(part.replicas);
        let once = self
            .transfer(stay, s)
            .and_then(micro)
            .map_or(MOST, |cost| cost.saturating_add(stay.downtime));
        let back = once as f64 / self.threshold.payback_months;
        ((now * self.threshold.share).max(back) * share).min(MOST as f64).round() as i64
    }

    /// What the transfer of a part's data to a site costs, from the first of the sites it is at.
    fn transfer(&self, stay: &Stay, s: usize) -> Option<Decimal> {
        if stay.data.is_zero() {
            return Some(Decimal::ZERO);
        }
        let from = *stay.sites.first()? as usize;
        Some(self.sites.egress(from, s)?.cost(stay.data))
    }
}

impl Placement<'_> {
    /// What staying would cost and what moving saves, of the components that the request says are there. Solves once more, with
    /// everything kept where it is.
    ///
    /// # Errors
    /// The solver's.
    pub fn status_quo(&self) -> Result<StatusQuo> {
        let model = &self.model;
        let moves = self.moved();
        let mut once = Some(Decimal::ZERO);
        for moved in &moves {
            let downtime = moved.downtime.as_ref().map_or(Decimal::ZERO, |cost| cost.amount);
            let transfer = moved.transfer.as_ref().map(|cost| cost.amount);
            once = once.zip(transfer).map(|(sum, cost)| sum + cost + downtime);
        }
        let mut draft = model.draft(&Choice { ceiling: false, ..Choice::ALL });
        for (item, row) in draft.items.iter().zip(&mut draft.problem.items) {
            let part = &model.parts[model.items[*item as usize].part as usize];
            let Some(stay) = &part.stay else {
                continue;
            };
            // The ways are found by their position, so what is not to be taken is priced out of reach instead of dropped.
            for option in row.options.iter_mut().filter(|o| !stay.sites.contains(&o.site)) {
                option.cost = option.cost.saturating_add(MOST * 16);
            }
        }
        let outcome = solve::solve(&draft.problem, &self.request.solve, &mut |_| {})?;
        let stays = match outcome {
            Outcome::Solved(solution) => {
                let taken = model.taken(&draft, &solution);
                let all = model.items.iter().zip(&taken).all(|(item, taken)| {
                    let stay = model.parts[item.part as usize].stay.as_ref();
                    stay.is_none_or(|stay| stay.sites.contains(&taken.site))
                });
                all.then(|| decimal(model.money(&draft, &solution)))
            }
            _ => None,
        };
        let placed = decimal(model.money_of(&self.taken));
        Ok(StatusQuo {
            stays: stays.map(|cost| self.money(cost)),
            placed: self.money(placed),
            moving: once.map(|cost| self.money(cost)),
            monthly_saving: stays.map(|cost| self.money(cost - placed)),
            moves,
        })
    }

    /// The components that go elsewhere than where they are.
    fn moved(&self) -> Vec<Move> {
        let mut moves = Vec::new();
        for current in &self.request.current {
            let Ok(part) = self.part(&current.component) else {
                continue;
            };
            let row = &self.model.parts[part as usize];
            let Some(stay) = &row.stay else {
                continue;
            };
            let away = row.items.clone().map(|i| self.taken[i as usize].site);
            let away: Vec<u32> = away.filter(|site| !stay.sites.contains(site)).collect();
            let Some(first) = away.first() else {
                continue;
            };
            let transfer = self.model.transfer(stay, *first as usize);
            let to = &self.placed[part as usize].replicas;
            moves.push(Move {
                component: current.component.clone(),
                from: current.places.clone(),
                to: to.iter().map(|replica| replica.place.clone()).collect(),
                data: current.data,
                transfer: transfer.map(|cost| self.money(cost)),
                downtime: current.downtime.clone(),
            });
        }
        moves
    }
}

fn gib(size: ByteSize) -> Decimal {
    Decimal::from(size.bytes()) / Decimal::from(1u64 << 30)
}

//! Components that go to one place together, and the best place for them.

use std::collections::{BTreeMap, HashMap};

use cloud_core::{
    CloudId, Currency, Decimal, Error, ErrorKind, Location, Money, Region, ResourceType, Result,
};

use super::{
    Placed, Wanted,
    candidate::{Candidate, Fits, Offer, has_price},
    latency::{estimated_rtt_ms, great_circle_km},
};
use crate::{
    engine::plan::{Choice, Rejection},
    workload::{OptimizeFor, spec::Typed},
};

/// A component to be placed, its spec read.
#[derive(Debug)]
pub(super) struct Member<'a> {
    wanted: &'a Wanted<'a>,
    spec: Typed,
}

impl<'a> Member<'a> {
    pub(super) fn new(wanted: &'a Wanted<'a>) -> Result<Self> {
        let spec = wanted.component.typed(&wanted.resource_name).map_err(|fault| {
            fault.error.context(format_args!("component '{}'", wanted.component.name))
        })?;
        Ok(Self { wanted, spec })
    }

    fn name(&self) -> &str {
        &self.wanted.component.name
    }

    /// The region to be close to, if latency is what counts.
    fn target(&self) -> Option<&Region> {
        let requirements = &self.wanted.component.requirements;
        match requirements.optimize_for {
            Some(OptimizeFor::Cost) => None,
            _ => requirements.target_region.as_ref(),
        }
    }
}

/// What earlier groups have taken of the quotas, by cloud, region (`None`: the account) and name.
#[derive(Debug, Default)]
pub(super) struct Quotas(HashMap<(CloudId, Option<Region>, &'static str), u64>);

/// The indices of what goes together: whoever is attached to a network, with that network.
pub(super) fn groups(wanted: &[Wanted<'_>]) -> Vec<Vec<usize>> {
    let networks: HashMap<&str, usize> = (wanted.iter().enumerate())
        .filter(|(_, w)| w.component.component_type == ResourceType::Network)
        .map(|(i, w)| (w.component.name.as_str(), i))
        .collect();
    let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (i, w) in wanted.iter().enumerate() {
        let network = w.component.network.as_deref().and_then(|name| networks.get(name));
        groups.entry(*network.unwrap_or(&i)).or_default().push(i);
    }
    groups.into_values().collect()
}

/// How good a place is for a group; less is better, in the order of the fields.
#[derive(Clone, Debug)]
struct Score {
    /// The sum of the estimated round trips to the members' target regions.
    latency_ms: f64,
    /// How many members have no known price.
    unpriced: usize,
    /// What all of it costs a month, as far as known.
    cost: Decimal,
    /// The sum of the prices of what is paid by use.
    rate: Decimal,
    currency: Option<Currency>,
}

impl Score {
    fn is_better_than(&self, other: &Self) -> bool {
        let order = self.latency_ms.total_cmp(&other.latency_ms);
        let order = order.then(self.unpriced.cmp(&other.unpriced));
        order.then(self.cost.cmp(&other.cost)).then(self.rate.cmp(&other.rate)).is_lt()
    }

    /// Why this place was not taken, and the best was.
    fn behind(&self, best: &Self, place: &Location) -> String {
        let farther = self.latency_ms - best.latency_ms;
        if farther > 0.0 {
            return format!("farther: about {farther:.1} ms more of round trip (estimated)");
        }
        if self.unpriced > best.unpriced {
            return "its price is unknown, and that of the chosen place is known".into();
        }
        let (more, rate) = (self.cost - best.cost, self.rate - best.rate);
        match &self.currency {
            Some(currency) if more > Decimal::ZERO => {
                format!("dearer: {} {currency} a month more", rounded(more))
            }
            Some(currency) if rate > Decimal::ZERO => {
                format!("dearer: {} {currency} more by use", rounded(rate))
            }
            _ => format!("as good, but {place} comes first by name"),
        }
    }
}

/// To cents; what is less is shown as it is.
fn rounded(amount: Decimal) -> Decimal {
    let cents = amount.round_dp(2);
    if cents.is_zero() { amount } else { cents }.normalize()
}

/// Puts a group where it is best, and takes its share of the quotas there.
pub(super) fn place_group(
    members: &[&Member<'_>],
    candidates: &[Candidate<'_>],
    excluded: &BTreeMap<Location, String>,
    quotas: &mut Quotas,
    fits: &mut Fits,
) -> Result<Vec<Placed>> {
    check_targets(members, candidates)?;
    let mut rejected: Vec<Vec<Rejection>> = members.iter().map(|_| Vec::new()).collect();
    let mut feasible: Vec<(usize, Vec<Offer>, Score)> = Vec::new();
    let mut currency = None;
    for (c, candidate) in candidates.iter().enumerate() {
        let suited = offers(members, candidate, excluded, fits).and_then(|offers| {
            quotas.have_room(candidate, members, &offers).map_err(all(members))?;
            let score = score(members, candidate, candidates, &offers, &mut currency)
                .map_err(all(members))?;
            Ok((c, offers, score))
        });
        match suited {
            Ok(suited) => feasible.push(suited),
            Err(reasons) => {
                for (list, why) in rejected.iter_mut().zip(reasons) {
                    let place = candidate.place.clone();
                    list.push(Rejection { place, why });
                }
            }
        }
    }
    let better = |a: usize, b: &(usize, Vec<Offer>, Score)| b.2.is_better_than(&feasible[a].2);
    let best = (0..feasible.len()).reduce(|a, b| if better(a, &feasible[b]) { b } else { a });
    let Some(best) = best else {
        return Err(nowhere(members, &rejected));
    };
    let (c, offers, score) = &feasible[best];
    let chosen = &candidates[*c];
    for (other, _, behind) in feasible.iter().filter(|(other, ..)| other != c) {
        let why = behind.behind(score, &chosen.place);
        for list in &mut rejected {
            let place = candidates[*other].place.clone();
            list.push(Rejection { place, why: why.clone() });
        }
    }
    quotas.take(chosen, members, offers);
    let unsuited = candidates.len() - feasible.len();
    let placed = members.iter().zip(offers).zip(rejected).map(|((member, offer), mut rejected)| {
        rejected.sort_by(|a, b| a.place.cmp(&b.place));
        placed(member, members, offer, chosen, candidates, rejected, unsuited)
    });
    Ok(placed.collect())
}

/// The same reason for every member.
fn all(members: &[&Member<'_>]) -> impl Fn(String) -> Vec<String> {
    let count = members.len();
    move |why| vec![why; count]
}

/// What every member gets at a place, or for every member why not: its own reason, or that of another of the group.
fn offers(
    members: &[&Member<'_>],
    candidate: &Candidate<'_>,
    excluded: &BTreeMap<Location, String>,
    fits: &mut Fits,
) -> Result<Vec<Offer>, Vec<String>> {
    if let Some(why) = excluded.get(&candidate.place) {
        return Err(all(members)(format!("excluded: {why}")));
    }
    let answers: Vec<Result<Offer, String>> = (members.iter())
        .map(|member| {
            if let Some((place, why)) = &member.wanted.pinned
                && (&place.cloud, &place.region)
                    != (&candidate.place.cloud, &candidate.place.region)
            {
                return Err(why.clone());
            }
            let requirements = &member.wanted.component.requirements;
            candidate.offer(requirements, &member.spec, fits)
        })
        .collect();
    let first = members.iter().zip(&answers).find_map(|(member, answer)| {
        let why = answer.as_ref().err()?;
        Some(format!("not for '{}', which goes along: {why}", member.name()))
    });
    match first {
        None => Ok(answers.into_iter().flatten().collect()),
        Some(first) => {
            let reason = |answer: Result<Offer, String>| answer.err().unwrap_or(first.clone());
            Err(answers.into_iter().map(reason).collect())
        }
    }
}

fn score(
    members: &[&Member<'_>],
    candidate: &Candidate<'_>,
    candidates: &[Candidate<'_>],
    offers: &[Offer],
    currency: &mut Option<Currency>,
) -> Result<Score, String> {
    let mut score = Score {
        latency_ms: 0.0,
        unpriced: 0,
        cost: Decimal::ZERO,
        rate: Decimal::ZERO,
        currency: None,
    };
    for (member, offer) in members.iter().zip(offers) {
        if let Some(target) = member.target() {
            score.latency_ms += latency_ms(target, candidate, candidates).ok_or(
                "its latency cannot be estimated: its or the target's coordinates are unknown",
            )?;
        }
        let (price, sum) = match (total(offer, member.wanted.replicas), &offer.rate) {
            (Some(cost), _) => (cost, &mut score.cost),
            (None, Some((rate, _))) => (rate.clone(), &mut score.rate),
            (None, None) => {
                score.unpriced += usize::from(has_price(&member.spec));
                continue;
            }
        };
        let expected = currency.get_or_insert_with(|| price.currency.clone());
        if *expected != price.currency {
            let other = price.currency;
            return Err(format!(
                "its prices are in {other}, which cannot be compared with {expected}"
            ));
        }
        *sum = sum.checked_add(price.amount).ok_or("its price overflows")?;
        score.currency = Some(price.currency);
    }
    Ok(score)
}

fn total(offer: &Offer, replicas: u32) -> Option<Money> {
    let unit = offer.unit_cost.as_ref()?;
    unit.checked_mul(Decimal::from(replicas)).ok()
}

/// The estimated round trip between a place and a target region; 0 within the region itself.
fn latency_ms(
    target: &Region,
    candidate: &Candidate<'_>,
    candidates: &[Candidate<'_>],
) -> Option<f64> {
    if candidate.place.region == *target {
        return Some(0.0);
    }
    let here = candidate.region?.info.coordinates?;
    let there = candidates.iter().filter(|c| c.place.region == *target);
    let there = there.filter_map(|c| c.region?.info.coordinates).next()?;
    Some(estimated_rtt_ms(great_circle_km(here, there)))
}

fn check_targets(members: &[&Member<'_>], candidates: &[Candidate<'_>]) -> Result<()> {
    for member in members {
        let Some(target) = member.target() else {
            continue;
        };
        if !candidates.is_empty() && !candidates.iter().any(|c| c.place.region == *target) {
            let mut known: Vec<_> = candidates.iter().map(|c| c.place.region.as_str()).collect();
            known.dedup();
            let field = format!("component '{}': requirements.target_region", member.name());
            let problem = format!("is '{target}', which no cloud has");
            return Err(Error::invalid(&field, problem, known.join(", ")));
        }
    }
    Ok(())
}

fn placed(
    member: &Member<'_>,
    members: &[&Member<'_>],
    offer: &Offer,
    chosen: &Candidate<'_>,
    candidates: &[Candidate<'_>],
    rejected: Vec<Rejection>,
    unsuited: usize,
) -> Placed {
    let replicas = member.wanted.replicas;
    let monthly_cost = total(offer, replicas);
    let mut figures = BTreeMap::new();
    if let Some(name) = &offer.instance_type {
        figures.insert("instance type".to_owned(), name.clone());
    }
    if let Some((rate, unit)) = &offer.rate {
        figures.insert("price by use".to_owned(), format!("{rate} for a {unit}"));
    }
    let latency = member.target().and_then(|target| {
        let ms = latency_ms(target, chosen, candidates)?;
        figures.insert(format!("round trip to {target}, estimated"), format!("{ms:.1} ms"));
        Some(ms)
    });
    let suited = rejected.len() + 1 - unsuited;
    let priced = monthly_cost.is_some() || offer.rate.is_some();
    let why = match (&member.wanted.pinned, latency) {
        (Some((_, why)), _) => why,
        (None, _) if suited == 1 => "the only place that suits",
        (None, Some(_)) => "the least latency of the places that suit",
        (None, None) if priced => "the least cost of the places that suit",
        (None, None) => "the best of the places that suit",
    };
    let mut why = why.to_owned();
    let others: Vec<_> = members.iter().map(|m| m.name()).filter(|n| *n != member.name()).collect();
    if !others.is_empty() && member.wanted.pinned.is_none() {
        let shown: Vec<_> = others.iter().take(5).map(|n| format!("'{n}'")).collect();
        let more = if others.len() > shown.len() { ", …" } else { "" };
        why.push_str(&format!(", together with {}{more}", shown.join(", ")));
    }
    Placed {
        choice: Choice {
            component: member.name().to_owned(),
            places: places(member, chosen, replicas),
            why,
            monthly_cost,
            rejected,
            figures,
        },
        instance_type: offer.instance_type.clone(),
        unit_cost: offer.unit_cost.clone(),
    }
}

/// One place for each replica: the zones of the region in turn, where instances can be put into zones.
fn places(member: &Member<'_>, chosen: &Candidate<'_>, replicas: u32) -> Vec<Location> {
    let none = Vec::new();
    let can = chosen.cloud.capabilities.compute.as_ref().is_some_and(|c| c.zones);
    let zones = chosen.region.map_or(&none, |region| &region.info.zones);
    let place = |replica: u32| {
        let mut place = chosen.place.clone();
        if let Typed::Instance(spec) = &member.spec
            && can
        {
            let spread = (replicas > 1 && !zones.is_empty())
                .then(|| zones[replica as usize % zones.len()].clone());
            place.zone = spec.zone.clone().or(spread);
        }
        place
    };
    (0..replicas).map(place).collect()
}

fn nowhere(members: &[&Member<'_>], rejected: &[Vec<Rejection>]) -> Error {
    let names: Vec<_> = members.iter().map(|m| format!("'{}'", m.name())).collect();
    // Each place once, with the reason of the member that has one of its own.
    let mut reasons: BTreeMap<&Location, &str> = BTreeMap::new();
    for rejection in rejected.iter().flatten() {
        let why = reasons.entry(&rejection.place).or_insert(&rejection.why);
        if why.starts_with("not for '") {
            *why = &rejection.why;
        }
    }
    let reasons: Vec<_> = reasons.iter().map(|(place, why)| format!("{place}: {why}")).collect();
    let message = match reasons.is_empty() {
        true => format!("there is no place for {}: no cloud has a region", names.join(" and ")),
        false => format!("there is no place for {}: {}", names.join(" and "), reasons.join("; ")),
    };
    Error::new(ErrorKind::CapacityUnavailable, message)
        .with_code("no_place")
        .with_hint("loosen the requirements, or register another cloud")
}

impl Quotas {
    fn have_room(
        &self,
        candidate: &Candidate<'_>,
        members: &[&Member<'_>],
        offers: &[Offer],
    ) -> Result<(), String> {
        for (name, wanted) in sums(members, offers) {
            for quota in candidate.quotas().iter().filter(|quota| quota.name == name) {
                let key = (candidate.place.cloud.clone(), quota.region.clone(), name);
                let taken = self.0.get(&key).copied().unwrap_or(0);
                if let Some(left) = quota.available()
                    && wanted > left.saturating_sub(taken)
                {
                    let left = left.saturating_sub(taken);
                    return Err(format!(
                        "its quota of {name} has {left} left, and {wanted} are needed"
                    ));
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, candidate: &Candidate<'_>, members: &[&Member<'_>], offers: &[Offer]) {
        for (name, wanted) in sums(members, offers) {
            for quota in candidate.quotas().iter().filter(|quota| quota.name == name) {
                let key = (candidate.place.cloud.clone(), quota.region.clone(), name);
                *self.0.entry(key).or_default() += wanted;
            }
        }
    }
}

/// What a group takes of each quota.
fn sums(members: &[&Member<'_>], offers: &[Offer]) -> BTreeMap<&'static str, u64> {
    let mut sums = BTreeMap::new();
    for (member, offer) in members.iter().zip(offers) {
        for (name, one) in &offer.takes {
            let sum: &mut u64 = sums.entry(*name).or_default();
            *sum = sum.saturating_add(one.saturating_mul(u64::from(member.wanted.replicas)));
        }
    }
    sums
}

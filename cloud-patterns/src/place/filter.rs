//! The requirements that single sites meet or do not: each distinct one is decided once for all sites.

use std::collections::HashMap;

use cloud_core::{CloudId, Location, Region};
use smallvec::{SmallVec, smallvec};

use super::{Reason, sites::Sites};
use crate::workload::Target;

/// A set of sites.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Bits(SmallVec<[u64; 2]>);

impl Bits {
    pub(super) fn none(count: usize) -> Self {
        Self(smallvec![0; count.div_ceil(64)])
    }

    pub(super) fn all(count: usize) -> Self {
        Self::of(count, |_| true)
    }

    pub(super) fn of(count: usize, test: impl Fn(usize) -> bool) -> Self {
        let mut bits = Self::none(count);
        (0..count).filter(|i| test(*i)).for_each(|i| bits.insert(i));
        bits
    }

    pub(super) fn insert(&mut self, i: usize) {
        self.0[i / 64] |= 1 << (i % 64);
    }

    pub(super) fn contains(&self, i: usize) -> bool {
        self.0[i / 64] & (1 << (i % 64)) != 0
    }

    pub(super) fn keep(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(a, b)| *a &= b);
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(a, b)| *a |= b);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().enumerate().flat_map(|(w, word)| {
            let mut word = *word;
            std::iter::from_fn(move || {
                let bit = word.trailing_zeros() as usize;
                (word != 0).then(|| {
                    word &= word - 1;
                    w * 64 + bit
                })
            })
        })
    }
}

/// A requirement that a site meets or does not.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Filter<'a> {
    /// The place is there, up, and neither excluded nor blocked.
    Open,
    AllowedClouds(&'a [CloudId]),
    ForbiddenClouds(&'a [CloudId]),
    AllowedRegions(&'a [Region]),
    ForbiddenRegions(&'a [Region]),
    Countries(&'a [String]),
    /// A regime as the caller wrote it.
    Regime(&'a str),
    Residency(&'a [String]),
    Pinned(&'a Location, &'a str),
    /// A zone, by its code.
    Zone(&'a str),
    /// What so much traffic to the internet costs is known: the bits of the number of GiB.
    Internet(u64),
    /// At least so many zones that are not blocked.
    Zones(usize),
    /// The round trip to a target, by its index, is known.
    Known(u32),
    /// It is at most so long: the bits of the number of ms.
    Near(u32, u64),
}

impl Filter<'_> {
    /// Whether it is a wish of the workload, not a fact.
    pub(super) fn can_be_loosened(&self) -> bool {
        !matches!(
            self,
            Self::Open | Self::Pinned(..) | Self::Known(_) | Self::Internet(_) | Self::Zone(_)
        )
    }
}

/// The distinct filters, and which sites pass each.
#[derive(Debug, Default)]
pub(super) struct Filters<'a> {
    index: HashMap<Filter<'a>, u32>,
    pub(super) all: Vec<(Filter<'a>, Bits)>,
}

impl<'a> Filters<'a> {
    /// The index of a filter.
    ///
    /// # Errors
    /// [`InvalidInput`](cloud_core::ErrorKind::InvalidInput) for a regime or country that is unknown.
    pub(super) fn of(&mut self, filter: Filter<'a>, sites: &Sites<'a>) -> cloud_core::Result<u32> {
        if let Some(found) = self.index.get(&filter) {
            return Ok(*found);
        }
        let bits = passing(&filter, sites)?;
        let index = self.all.len() as u32;
        self.all.push((filter.clone(), bits));
        self.index.insert(filter, index);
        Ok(index)
    }
}

fn passing<'a>(filter: &Filter<'a>, sites: &Sites<'a>) -> cloud_core::Result<Bits> {
    let count = sites.sites.len();
    let of_cloud = |site: usize| sites.clouds[sites.sites[site].cloud as usize].id;
    let regions = |codes: &[Region]| {
        let mut bits = Bits::none(count);
        let known = codes.iter().filter_map(|code| sites.by_region.get(code));
        known.for_each(|found| bits.add(found));
        bits
    };
    Ok(match filter {
        Filter::AllowedClouds(ids) => Bits::of(count, |s| ids.contains(of_cloud(s))),
        Filter::ForbiddenClouds(ids) => Bits::of(count, |s| !ids.contains(of_cloud(s))),
        Filter::AllowedRegions(codes) => regions(codes),
        Filter::ForbiddenRegions(codes) => {
            let forbidden = regions(codes);
            Bits::of(count, |s| !forbidden.contains(s))
        }
        Filter::Regime(regime) => {
            let regime = sites.regime(regime)?;
            Bits::of(count, |s| sites.sites[s].compliance.contains(&regime))
        }
        Filter::Residency(wanted) => {
            sites.check_residency(wanted)?;
            Bits::of(count, |s| sites.lies_in(s, wanted) == Some(true))
        }
        other => Bits::of(count, |s| refusal(other, sites, s).is_none()),
    })
}

/// Why a site does not pass a filter; `None` if it does.
pub(super) fn refusal(filter: &Filter<'_>, sites: &Sites<'_>, s: usize) -> Option<Reason> {
    let site = &sites.sites[s];
    let Location { cloud, region, .. } = &site.place;
    match filter {
        Filter::Open => site.closed.clone(),
        Filter::AllowedClouds(ids) => (!ids.contains(cloud)).then_some(Reason::CloudNotAllowed),
        Filter::ForbiddenClouds(ids) => ids.contains(cloud).then_some(Reason::CloudForbidden),
        Filter::AllowedRegions(codes) => {
            (!codes.contains(region)).then_some(Reason::RegionNotAllowed)
        }
        Filter::ForbiddenRegions(codes) => {
            codes.contains(region).then_some(Reason::RegionForbidden)
        }
        Filter::Countries(countries) => match site.country {
            None => Some(Reason::CountryUnknown),
            Some(country) if countries.iter().any(|c| c.eq_ignore_ascii_case(country)) => None,
            Some(country) => Some(Reason::CountryNotAllowed(country.to_owned())),
        },
        Filter::Regime(regime) => {
            let usual = sites.regime(regime).unwrap_or_else(|_| (*regime).to_owned());
            let attested = site.compliance.contains(&usual);
            (!attested).then(|| Reason::NotAttested((*regime).to_owned()))
        }
        Filter::Residency(wanted) => match sites.lies_in(s, wanted) {
            None => Some(Reason::CountryUnknown),
            Some(true) => None,
            Some(false) => Some(Reason::NotResident {
                country: site.country.unwrap_or("an unknown country").to_owned(),
                wanted: wanted.to_vec(),
            }),
        },
        Filter::Pinned(place, why) => {
            let there = (&place.cloud, &place.region) == (cloud, region);
            (!there).then(|| Reason::Pinned((*why).to_owned()))
        }
        Filter::Zone(zone) => {
            let has = site.zones.is_empty() || site.zones.iter().any(|z| z.as_str() == *zone);
            (!has).then(|| Reason::NoZone((*zone).to_owned()))
        }
        Filter::Zones(needed) => {
            let has = site.free_zones.len();
            (has < *needed).then_some(Reason::TooFewZones { has, needed: *needed })
        }
        Filter::Internet(gib) => sites
            .internet_cost(s, f64::from_bits(*gib))
            .is_none()
            .then(|| Reason::EgressUnknown { with: "the internet".into() }),
        Filter::Known(target) => {
            sites.rtt_to(*target, s).is_none().then_some(Reason::LatencyUnknown)
        }
        Filter::Near(target, max) => {
            let max_ms = f64::from_bits(*max);
            match sites.rtt_to(*target, s) {
                None => Some(Reason::LatencyUnknown),
                Some(rtt) if rtt.ms <= max_ms => None,
                Some(rtt) => Some(Reason::TooFar { ms: rtt.ms, max_ms, estimated: !rtt.measured }),
            }
        }
    }
}

/// A filter as a requirement of a component, in words: what stands in the workload.
pub(super) fn words(filter: &Filter<'_>, targets: &[Target]) -> String {
    fn list<T: ToString>(items: &[T]) -> String {
        let shown: Vec<_> = items.iter().take(5).map(T::to_string).collect();
        shown.join(", ") + if items.len() > 5 { ", …" } else { "" }
    }
    match filter {
        Filter::Open => "regions that are up, and neither excluded nor blocked".into(),
        Filter::AllowedClouds(ids) => format!("allowed_clouds {}", list(ids)),
        Filter::ForbiddenClouds(ids) => format!("forbidden_clouds {}", list(ids)),
        Filter::AllowedRegions(codes) => format!("allowed_regions {}", list(codes)),
        Filter::ForbiddenRegions(codes) => format!("forbidden_regions {}", list(codes)),
        Filter::Countries(countries) => format!("allowed_countries {}", list(countries)),
        Filter::Regime(regime) => format!("compliance_requirements {regime}"),
        Filter::Residency(wanted) => format!("residency {}", list(wanted)),
        Filter::Pinned(place, why) => format!("stays in {place}: {why}"),
        Filter::Zone(zone) => format!("zone {zone}"),
        Filter::Zones(needed) => format!("{needed} zones"),
        Filter::Internet(gib) => {
            format!("internet_gib_per_month {}", f64::from_bits(*gib))
        }
        Filter::Known(target) => {
            format!("a known latency to {}", targets[*target as usize])
        }
        Filter::Near(target, max) => {
            let max = f64::from_bits(*max);
            format!("max_latency_ms {max} to {}", targets[*target as usize])
        }
    }
}

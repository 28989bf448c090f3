//! Refuses files that cannot be worked with, naming the field.

use std::{collections::HashSet, fmt::Display};

use cloud_core::{Error, Result};

use crate::format::{CatalogFile, HOURS, InstanceFile};

fn wrong(field: impl Display, what: impl Display, accepted: impl Display) -> Error {
    Error::invalid(&field.to_string(), format_args!("is {what}"), accepted)
}

/// An index that something has to lie below.
fn below(field: impl Display, index: usize, count: usize) -> Result<()> {
    match index < count {
        true => Ok(()),
        false => Err(wrong(field, index, format_args!("an index below {count}"))),
    }
}

/// Two different indices that have to lie below something.
fn pair(field: impl Display, (a, b): (usize, usize), count: usize) -> Result<()> {
    below(format_args!("{field}, first end"), a, count)?;
    below(format_args!("{field}, second end"), b, count)?;
    match a == b {
        true => Err(wrong(field, format_args!("of {a} with itself"), "two components")),
        false => Ok(()),
    }
}

/// How many there have to be of something.
fn count(field: impl Display, found: usize, expected: usize) -> Result<()> {
    match found == expected {
        true => Ok(()),
        false => {
            let accepted = format_args!("one for each: {expected}");
            Err(wrong(field, format_args!("{found} long"), accepted))
        }
    }
}

fn price(field: impl Display, price: i64, least: i64) -> Result<()> {
    match (least..=MOST_PRICE).contains(&price) {
        true => Ok(()),
        false => Err(wrong(field, price, format_args!("{least} to {MOST_PRICE}"))),
    }
}

/// The dearest an hour or a GiB may be: 100,000 dollars.
const MOST_PRICE: i64 = 100_000_000_000;
/// The most memory in GiB, and the most traffic between two components in GiB an hour.
const MOST_GIB: u64 = 1 << 30;
/// The most replicas of one component.
const MOST_REPLICAS: u32 = 1_000_000;

impl CatalogFile {
    /// Refuses what cannot be: what is missing, out of range, or there twice.
    ///
    /// # Errors
    /// [`InvalidInput`](cloud_core::ErrorKind::InvalidInput), naming the field.
    pub(crate) fn check(&self) -> Result<()> {
        count("types", self.types.len(), self.clouds.len())?;
        count("offers", self.offers.len(), self.regions.len())?;
        count("rtt", self.rtt.len(), self.regions.len())?;
        for (c, types) in self.types.iter().enumerate() {
            once(format_args!("types[{c}]"), types.iter().map(|kind| &kind.id))?;
        }
        // Components name regions by their index alone, workloads by their id.
        once("regions", self.regions.iter().map(|region| &region.id))?;
        once("targets", self.targets.iter().map(|target| &target.id))?;
        for (r, region) in self.regions.iter().enumerate() {
            below(format_args!("regions[{r}].cloud"), region.cloud, self.clouds.len())?;
            for (name, value, most) in [("lat", region.lat, 90.0), ("lon", region.lon, 180.0)] {
                if !(-most..=most).contains(&value) {
                    let accepted = format_args!("-{most} to {most}");
                    return Err(wrong(format_args!("regions[{r}].{name}"), value, accepted));
                }
            }
            let types = self.types[region.cloud].len();
            count(format_args!("offers[{r}]"), self.offers[r].len(), types)?;
            for (t, offer) in self.offers[r].iter().enumerate() {
                price(format_args!("offers[{r}][{t}]"), *offer, -1)?;
            }
            count(format_args!("rtt[{r}]"), self.rtt[r].len(), self.regions.len())?;
        }
        for (t, target) in self.targets.iter().enumerate() {
            count(format_args!("targets[{t}].rtt"), target.rtt.len(), self.regions.len())?;
        }
        for (e, egress) in self.egress.iter().enumerate() {
            below(format_args!("egress[{e}].cloud"), egress.cloud, self.clouds.len())?;
            price(format_args!("egress[{e}].same_cloud"), egress.same_cloud, 0)?;
            price(format_args!("egress[{e}].other"), egress.other, 0)?;
        }
        Ok(())
    }
}

fn once<'t>(field: impl Display, names: impl Iterator<Item = &'t String>) -> Result<()> {
    let mut seen = HashSet::new();
    for (i, name) in names.enumerate() {
        if !seen.insert(name) {
            let what = format!("'{}', which is there twice", name.escape_debug());
            return Err(wrong(format_args!("{field}[{i}].id"), what, "each id once"));
        }
    }
    Ok(())
}

impl InstanceFile {
    /// Refuses what does not belong to a catalog.
    ///
    /// # Errors
    /// [`InvalidInput`](cloud_core::ErrorKind::InvalidInput), naming the field.
    pub(crate) fn check(&self, catalog: &CatalogFile) -> Result<()> {
        let (regions, components) = (catalog.regions.len(), self.components.len());
        let labels: HashSet<&str> =
            catalog.regions.iter().flat_map(|r| &r.labels).map(String::as_str).collect();
        for (i, component) in self.components.iter().enumerate() {
            let field = |name: &str| format!("components[{i}].{name}");
            if !matches!(component.arch.as_str(), "any" | "arm64" | "x86_64") {
                let what = format!("'{}'", component.arch.escape_debug());
                return Err(wrong(field("arch"), what, "any, arm64, x86_64"));
            }
            if !(1..=MOST_REPLICAS).contains(&component.replicas) {
                let accepted = format_args!("1 to {MOST_REPLICAS}");
                return Err(wrong(field("replicas"), component.replicas, accepted));
            }
            if component.mem_gib > MOST_GIB {
                let accepted = format_args!("0 to {MOST_GIB}");
                return Err(wrong(field("mem_gib"), component.mem_gib, accepted));
            }
            if let Some(label) = component.labels.iter().find(|l| !labels.contains(l.as_str())) {
                let mut known: Vec<_> = labels.iter().copied().collect();
                known.sort_unstable();
                let what = format!("'{}', which no region has", label.escape_debug());
                return Err(wrong(field("labels"), what, known.join(", ")));
            }
            for region in component.allowed_regions.iter().flatten() {
                below(field("allowed_regions"), *region, regions)?;
            }
            if let Some(latency) = &component.latency {
                below(field("latency.target"), latency.target, catalog.targets.len())?;
            }
        }
        for (l, link) in self.links.iter().enumerate() {
            pair(format_args!("links[{l}]"), (link.a, link.b), components)?;
            for (name, gib) in [("gib_ab", link.gib_ab), ("gib_ba", link.gib_ba)] {
                if gib > MOST_GIB {
                    let field = format_args!("links[{l}].{name}");
                    return Err(wrong(field, gib, format_args!("0 to {MOST_GIB}")));
                }
            }
        }
        for (s, (a, b)) in self.separate_clouds.iter().enumerate() {
            pair(format_args!("separate_clouds[{s}]"), (*a, *b), components)?;
        }
        for (q, quota) in self.quotas.iter().enumerate() {
            match (quota.region, quota.cloud) {
                (Some(r), None) => below(format_args!("quotas[{q}].region"), r, regions)?,
                (None, Some(c)) => {
                    below(format_args!("quotas[{q}].cloud"), c, catalog.clouds.len())?;
                }
                _ => {
                    let what = "of no place or two";
                    return Err(wrong(format_args!("quotas[{q}]"), what, "a region or a cloud"));
                }
            }
        }
        if let Some(budget) = self.budget {
            let most = i64::MAX / HOURS;
            if !(0..=most).contains(&budget) {
                return Err(wrong("budget", budget, format_args!("0 to {most}")));
            }
        }
        Ok(())
    }
}

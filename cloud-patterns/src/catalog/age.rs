//! How old a catalog is, and what to know before its figures are trusted.

use std::{fmt, time::Duration};

use cloud_core::{CloudId, Region};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Catalog;

/// Something to know before the figures are trusted. [`Display`](fmt::Display) says it in words.
///
/// ```
/// use cloud_patterns::catalog::Warning;
/// let warning = Warning::Undated { source_id: "aws-egress".into() };
/// assert_eq!(warning.to_string(), "the figures of source 'aws-egress' bear no date: take them as old");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Warning {
    /// A source is older than it should be.
    Stale {
        /// Its short name.
        source_id: String,
        /// When its figures were true.
        as_of: Timestamp,
        /// How many days ago that is.
        days: u64,
        /// How many were accepted.
        accepted_days: u64,
    },
    /// A source does not say when its figures were true.
    Undated {
        /// Its short name.
        source_id: String,
    },
    /// A source's date has not come yet: a wrong date, or a wrong clock.
    Future {
        /// Its short name.
        source_id: String,
        /// Its date.
        as_of: Timestamp,
    },
    /// A price that a cloud told was left out.
    PriceLeftOut {
        /// The cloud.
        cloud: CloudId,
        /// The region.
        region: Region,
        /// What the price was for.
        sku: String,
        /// Why.
        reason: String,
    },
    /// A fact that a cloud told was left out.
    FactLeftOut {
        /// The cloud.
        cloud: CloudId,
        /// The region, unless it is about the whole cloud.
        region: Option<Region>,
        /// What it was, and why.
        reason: String,
    },
    /// A cloud or a region could not be read: what was known before is kept, or nothing is known.
    Unread {
        /// The cloud.
        cloud: CloudId,
        /// The region, unless it is about the whole cloud.
        region: Option<Region>,
        /// What went wrong.
        reason: String,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stale { source_id, as_of, days, accepted_days } => {
                let day = as_of.strftime("%Y-%m-%d");
                write!(
                    f,
                    "the figures of source '{source_id}' are of {day}, {days} days old (accepted: {accepted_days})"
                )
            }
            Self::Undated { source_id } => {
                write!(f, "the figures of source '{source_id}' bear no date: take them as old")
            }
            Self::Future { source_id, as_of } => {
                write!(
                    f,
                    "the figures of source '{source_id}' are of {as_of}, which has not come yet"
                )
            }
            Self::PriceLeftOut { cloud, region, sku, reason } => {
                write!(f, "the price of '{sku}' in {cloud}/{region} is left out: {reason}")
            }
            Self::FactLeftOut { cloud, region, reason } => {
                write!(f, "{}: left out: {reason}", Where(cloud, region.as_ref()))
            }
            Self::Unread { cloud, region, reason } => {
                write!(f, "{} could not be read: {reason}", Where(cloud, region.as_ref()))
            }
        }
    }
}

struct Where<'a>(&'a CloudId, Option<&'a Region>);

impl fmt::Display for Where<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            Some(region) => write!(f, "{}/{region}", self.0),
            None => write!(f, "{}", self.0),
        }
    }
}

const DAY: u64 = 24 * 60 * 60;

/// Whole days from one time to another; 0 backwards.
fn days_between(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.duration_since(from).as_secs()).unwrap_or(0) / DAY
}

impl Catalog {
    /// How old figures may be before [`warnings`](Self::warnings) speaks of it, unless somebody says otherwise.
    pub const MAX_AGE: Duration = Duration::from_secs(90 * DAY);

    /// The age of its oldest figures: of the oldest source in use whose figures go out of date and that bears a date. `None`
    /// if there is none; [`warnings`](Self::warnings) has those without a date.
    ///
    /// ```
    /// use cloud_patterns::catalog::Catalog;
    /// let age = Catalog::builtin().unwrap().age("2026-03-02T20:00:00Z".parse().unwrap()).unwrap();
    /// assert_eq!(age.as_secs(), 365 * 24 * 60 * 60);
    /// ```
    pub fn age(&self, now: Timestamp) -> Option<Duration> {
        let used = self.sources.iter().zip(self.used_sources()).filter(|(_, used)| *used);
        let ageing = used.filter(|(source, _)| source.lifetime_days.is_none());
        let ages = ageing.filter_map(|(source, _)| Some(days_between(source.as_of?, now)));
        ages.max().map(|days| Duration::from_secs(days * DAY))
    }

    /// One warning for each source in use that is older than `max_age` (or than its own
    /// [`lifetime_days`](super::Source::lifetime_days)), undated, or dated in the future. Reads no clock.
    ///
    /// ```
    /// use cloud_patterns::catalog::{Catalog, Warning};
    /// let catalog = Catalog::builtin().unwrap();
    /// let warnings = catalog.warnings("2030-01-01T00:00:00Z".parse().unwrap(), Catalog::MAX_AGE);
    /// assert!(warnings.iter().any(|w| matches!(w, Warning::Stale { .. })));
    /// ```
    pub fn warnings(&self, now: Timestamp, max_age: Duration) -> Vec<Warning> {
        let used = self.used_sources();
        let used = self.sources.iter().zip(used).filter(|(_, used)| *used);
        let warn = |source: &super::Source| {
            let source_id = source.id.clone();
            let Some(as_of) = source.as_of else {
                return Some(Warning::Undated { source_id });
            };
            // Clocks differ by a little; a day is the finest that most sources say.
            if as_of.duration_since(now).as_secs() > DAY as i64 {
                return Some(Warning::Future { source_id, as_of });
            }
            let accepted_days = source.lifetime_days.map_or(max_age.as_secs() / DAY, u64::from);
            let days = days_between(as_of, now);
            (days > accepted_days).then_some(Warning::Stale {
                source_id,
                as_of,
                days,
                accepted_days,
            })
        };
        used.filter_map(|(source, _)| warn(source)).collect()
    }

    /// Which of the sources some figure refers to.
    pub(super) fn used_sources(&self) -> Vec<bool> {
        let mut used = vec![false; self.sources.len()];
        self.each_source(|source| {
            if let Some(used) = used.get_mut(usize::from(*source)) {
                *used = true;
            }
        });
        used
    }
}

//! Why something is not put somewhere.

use std::fmt;

use cloud_core::Money;
use jiff::Timestamp;

use super::amount::short;
use crate::workload::Architecture;

/// Why a component is not put somewhere. `Display` says it in words.
///
/// ```
/// use cloud_patterns::place::Reason;
/// let reason = Reason::NotAttested("HIPAA".into());
/// assert_eq!(reason.to_string(), "it is not attested for HIPAA");
/// assert!(!reason.suits());
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Reason {
    /// The cloud does not answer, as it says.
    CloudSilent(String),
    /// The region is down.
    RegionDown,
    /// The caller excluded the place, and why.
    Excluded(String),
    /// It belongs to something that is elsewhere, as told.
    Pinned(String),
    /// The cloud is among those forbidden.
    CloudForbidden,
    /// The cloud is not among those allowed.
    CloudNotAllowed,
    /// The region is among those forbidden.
    RegionForbidden,
    /// The region is not among those allowed.
    RegionNotAllowed,
    /// The region's country is unknown, and only some are allowed.
    CountryUnknown,
    /// The region lies in this country, which is not among those allowed.
    CountryNotAllowed(String),
    /// The region lies in this country.
    NotResident {
        /// The country.
        country: String,
        /// The countries and blocs asked for.
        wanted: Vec<String>,
    },
    /// The region is not attested for the regime.
    NotAttested(String),
    /// What the cloud cannot do.
    Unsupported(String),
    /// The region has no such zone.
    NoZone(String),
    /// The region has fewer zones than are needed.
    TooFewZones {
        /// How many it has, those blocked for capacity not counted.
        has: usize,
        /// How many are needed.
        needed: usize,
    },
    /// The region has no such instance type.
    NoType(String),
    /// The region has no instance type of this size.
    NoFit {
        /// The size, in words.
        size: String,
        /// The processors asked for, if asked for.
        architecture: Option<Architecture>,
    },
    /// The instance type is too small, or of another architecture.
    DoesNotFit,
    /// The component is not to be bought under these terms.
    OtherTerms,
    /// Its price is unknown, and cost is to be optimised.
    NoPrice,
    /// It is not sold under the terms asked for, as far as known.
    NoPriceFor(&'static str),
    /// The round trip to the target is unknown, and the coordinates that an estimate takes too.
    LatencyUnknown,
    /// It is too far from the target.
    TooFar {
        /// The round trip in ms.
        ms: f64,
        /// The longest allowed.
        max_ms: f64,
        /// Whether it is estimated.
        estimated: bool,
    },
    /// A policy refused it.
    Policy {
        /// The policy.
        name: String,
        /// Why.
        why: String,
    },
    /// It failed for capacity just now.
    Blocked {
        /// Until when it is left out.
        until: Timestamp,
        /// What had failed.
        why: String,
    },
    /// Another component that has to go along cannot be there.
    Companion {
        /// The other.
        component: String,
        /// Why it cannot.
        reason: Box<Reason>,
    },
    /// A quota has too little left, all else being as placed.
    Quota {
        /// The quota.
        name: String,
        /// How much is left for this component.
        left: i64,
        /// How much it would take.
        needed: i64,
    },
    /// What traffic with another component costs from or to there is unknown.
    EgressUnknown {
        /// The other component.
        with: String,
    },
    /// It is too far from another component.
    LinkTooFar {
        /// The other component.
        with: String,
        /// The longest round trip allowed, in ms.
        max_ms: f64,
    },
    /// It would be together with a component that it has to be apart from.
    NotApart {
        /// The other component; itself for replicas that are to be spread.
        with: String,
    },
    /// It would be apart from a component that it has to be with.
    NotTogether {
        /// The other component.
        with: String,
    },
    /// It would suit, but is farther from the target.
    Farther {
        /// So much more of round trip, in ms.
        ms: f64,
    },
    /// It would suit, but its price is unknown, and that of the chosen place is known.
    PriceUnknown,
    /// It would suit, but costs so much more a month, traffic included.
    Dearer(Money),
    /// It would suit, but costs so much more by use.
    DearerByUse(Money),
    /// It would suit and be no dearer, but counts as dearer by the policies and weights.
    WorseByPolicy,
    /// It would suit as well as what was chosen.
    AsGood,
    /// It would suit and even be better alone; it was not found to be better with all else, or the solver stopped early.
    NotTaken,
}

impl Reason {
    /// Whether the place would have suited, and another was better.
    pub fn suits(&self) -> bool {
        matches!(
            self,
            Self::Farther { .. }
                | Self::PriceUnknown
                | Self::Dearer(_)
                | Self::DearerByUse(_)
                | Self::WorseByPolicy
                | Self::AsGood
                | Self::NotTaken
        )
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CloudSilent(error) => write!(f, "the cloud does not answer: {error}"),
            Self::RegionDown => f.write_str("the region is down"),
            Self::Excluded(why) => write!(f, "excluded: {why}"),
            Self::Pinned(why) => f.write_str(why),
            Self::CloudForbidden => f.write_str("the cloud is forbidden"),
            Self::CloudNotAllowed => f.write_str("the cloud is not among those allowed"),
            Self::RegionForbidden => f.write_str("the region is forbidden"),
            Self::RegionNotAllowed => f.write_str("the region is not among those allowed"),
            Self::CountryUnknown => f.write_str("its country is unknown"),
            Self::CountryNotAllowed(country) => {
                write!(f, "it lies in {country}, which is not among the countries allowed")
            }
            Self::NotResident { country, wanted } => {
                write!(f, "it lies in {country}, which is not in {}", wanted.join(" or "))
            }
            Self::NotAttested(regime) => write!(f, "it is not attested for {regime}"),
            Self::Unsupported(what) => f.write_str(what),
            Self::NoZone(zone) => write!(f, "it has no zone '{zone}'"),
            Self::TooFewZones { has, needed } => {
                write!(f, "it has {has} zones, and {needed} are needed")
            }
            Self::NoType(name) => write!(f, "it has no instance type '{name}'"),
            Self::NoFit { size, architecture: None } => {
                write!(f, "it has no instance type with {size}")
            }
            Self::NoFit { size, architecture: Some(architecture) } => {
                write!(f, "it has no {architecture} instance type with {size}")
            }
            Self::DoesNotFit => f.write_str("it is too small, or of another architecture"),
            Self::OtherTerms => f.write_str("it is not to be bought under these terms"),
            Self::NoPrice => f.write_str("its price is unknown, and cost is to be optimised"),
            Self::NoPriceFor(terms) => write!(f, "it has no known {terms} price"),
            Self::LatencyUnknown => f.write_str(
                "its latency cannot be estimated: its or the target's coordinates are unknown",
            ),
            Self::TooFar { ms, max_ms, estimated } => {
                let about = if *estimated { " (estimated)" } else { "" };
                write!(f, "too far: {ms:.1} ms of round trip{about}, and {max_ms} are allowed")
            }
            Self::Policy { name, why } => write!(f, "policy '{name}': {why}"),
            Self::Blocked { until, why } => {
                write!(f, "blocked for capacity until {until}: {why}")
            }
            Self::Companion { component, reason } => {
                write!(f, "not for '{component}', which goes along: {reason}")
            }
            Self::Quota { name, left, needed } => {
                write!(f, "its quota of {name} has {left} left, and {needed} are needed")
            }
            Self::EgressUnknown { with } => {
                write!(f, "what traffic with '{with}' costs from there is unknown")
            }
            Self::LinkTooFar { with, max_ms } => {
                write!(f, "too far from '{with}': more than {max_ms} ms of round trip")
            }
            Self::NotApart { with } => write!(f, "it would not be apart from '{with}'"),
            Self::NotTogether { with } => write!(f, "it would not be with '{with}'"),
            Self::Farther { ms } => write!(f, "farther: about {ms:.1} ms more of round trip"),
            Self::PriceUnknown => {
                f.write_str("its price is unknown, and that of the chosen place is known")
            }
            Self::Dearer(more) => write!(f, "dearer: {} a month more", short(more)),
            Self::DearerByUse(more) => write!(f, "dearer: {} more by use", short(more)),
            Self::WorseByPolicy => f.write_str("it counts as dearer by policy or weight"),
            Self::AsGood => f.write_str("as good"),
            Self::NotTaken => f.write_str("as good alone, but not with all else"),
        }
    }
}

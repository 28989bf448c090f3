//! What a component asks of the place it is put in, and of the places of others.

use std::fmt;

use cloud_core::{ByteSize, CloudId, Purchase, Region};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, MapAccess, Visitor, value::MapAccessDeserializer},
};

use super::is_default;

/// What a component asks of the place it is put in.
///
/// ```
/// use cloud_patterns::workload::Requirements;
/// let requirements: Requirements = serde_json::from_str(
///     r#"{"optimize_for": "latency", "target_region": "eu-1", "compliance_requirements": ["GDPR"]}"#).unwrap();
/// assert!(requirements.allowed_clouds.is_empty());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requirements {
    /// What makes one place better than another. Default: latency if there is a target region without a longest latency, else
    /// cost, a place of unknown price coming last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub optimize_for: Option<OptimizeFor>,
    /// What it is to be close to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_region: Option<Target>,
    /// The longest round trip to the target, in ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_latency_ms: Option<f64>,
    /// Compliance regimes that the region has to be attested for, such as `GDPR`; upper and lower case are one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub compliance_requirements: Vec<String>,
    /// Only regions in one of these countries or blocs, such as `DE` or `EU`; empty for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub residency: Vec<String>,
    /// Only these clouds; empty for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_clouds: Vec<CloudId>,
    /// None of these clouds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forbidden_clouds: Vec<CloudId>,
    /// Only these regions; empty for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_regions: Vec<Region>,
    /// None of these regions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forbidden_regions: Vec<Region>,
    /// Only regions in these countries (ISO 3166-1 alpha-2 codes); empty for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_countries: Vec<String>,
    /// The processors that its programs run on. Default: `x86_64`, and types whose architecture is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub architecture: Option<Architecture>,
    /// Whether it may be taken away at any time for a lower price. Default: as the spec's `spot` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spot: Option<SpotUse>,
    /// `on_demand` or, with a commitment of a year, `reserved`. Default: on demand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purchase: Option<Purchase>,
    /// How its replicas are spread. Default: all in one region, its zones in turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spread: Option<Spread>,
    /// What it has to be near to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub affinity: Vec<Relation>,
    /// What it has to be apart from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub anti_affinity: Vec<Relation>,
    /// What it sends to other components.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub traffic: Vec<Traffic>,
    /// What it sends to the internet, in GiB per month. Default: unknown, and not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub internet_gib_per_month: Option<f64>,
    /// How much a bucket is expected to hold. Default: unknown, and its price is one by use.
    #[serde(default, skip_serializing_if = "is_default")]
    pub expected_size: Option<ByteSize>,
}

/// What makes one place better than another: `cost`, `latency`, or `{cost: 0.7, latency: 0.3}`.
///
/// ```
/// use cloud_patterns::workload::OptimizeFor;
/// let blend: OptimizeFor = serde_json::from_str(r#"{"cost": 0.7, "latency": 0.3}"#).unwrap();
/// assert_eq!(blend, OptimizeFor::Blend { cost: 0.7, latency: 0.3 });
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum OptimizeFor {
    /// The least monthly cost. A place of unknown price is not taken.
    Cost,
    /// The least latency to the target region; cost breaks ties.
    Latency,
    /// Both. A place of unknown price is not taken.
    Blend {
        /// The weight of cost, at least 0.
        cost: f64,
        /// The weight of latency, at least 0; at least one of the two is above 0. What a millisecond is worth is told
        /// [with the placement](crate::place#latency-and-money).
        latency: f64,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Weights {
    cost: f64,
    latency: f64,
}

impl Serialize for OptimizeFor {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match *self {
            Self::Cost => serializer.serialize_str("cost"),
            Self::Latency => serializer.serialize_str("latency"),
            Self::Blend { cost, latency } => Weights { cost, latency }.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for OptimizeFor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Wish;
        impl<'de> Visitor<'de> for Wish {
            type Value = OptimizeFor;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("cost, latency or {cost: weight, latency: weight}")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<OptimizeFor, E> {
                match text {
                    "cost" => Ok(OptimizeFor::Cost),
                    "latency" => Ok(OptimizeFor::Latency),
                    other => Err(E::unknown_variant(other, &["cost", "latency"])),
                }
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<OptimizeFor, A::Error> {
                let Weights { cost, latency } =
                    Weights::deserialize(MapAccessDeserializer::new(map))?;
                Ok(OptimizeFor::Blend { cost, latency })
            }
        }
        deserializer.deserialize_any(Wish)
    }
}

/// What a component is to be close to: a region by its code, a city by its name, or a point.
///
/// ```
/// use cloud_patterns::workload::Target;
/// let point: Target = serde_json::from_str(r#"{"latitude": 50.1, "longitude": 8.7}"#).unwrap();
/// assert_eq!(point.to_string(), "50.1, 8.7");
/// let city: Target = serde_json::from_str(r#""Frankfurt""#).unwrap();
/// assert_eq!(city, Target::Named("Frankfurt".into()));
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Target {
    /// A region's code, or else the name of a city.
    Named(String),
    /// A point.
    Point(Point),
}

/// A point on the Earth, in degrees.
///
/// ```
/// let paris = cloud_patterns::workload::Point { latitude: 48.9, longitude: 2.4 };
/// assert!(paris.latitude > 0.0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Point {
    /// North of the equator, -90 to 90.
    pub latitude: f64,
    /// East of Greenwich, -180 to 180.
    pub longitude: f64,
}

impl From<Region> for Target {
    fn from(region: Region) -> Self {
        Self::Named(region.to_string())
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => write!(f, "{}", name.escape_debug()),
            Self::Point(Point { latitude, longitude }) => write!(f, "{latitude}, {longitude}"),
        }
    }
}

impl<'de> Deserialize<'de> for Target {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Place;
        impl<'de> Visitor<'de> for Place {
            type Value = Target;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a region, a city or {latitude: degrees, longitude: degrees}")
            }
            fn visit_str<E>(self, text: &str) -> Result<Target, E> {
                Ok(Target::Named(text.to_owned()))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Target, A::Error> {
                Point::deserialize(MapAccessDeserializer::new(map)).map(Target::Point)
            }
        }
        deserializer.deserialize_any(Place)
    }
}

/// The processors that a program runs on.
///
/// ```
/// use cloud_patterns::workload::Architecture;
/// assert_eq!(serde_json::from_str::<Architecture>("\"arm64\"").unwrap(), Architecture::Arm64);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Architecture {
    /// Intel's and AMD's of 64 bits.
    #[serde(rename = "x86_64")]
    X86_64,
    /// ARM's of 64 bits.
    #[serde(alias = "aarch64")]
    Arm64,
    /// Any.
    Any,
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::X86_64 => "x86_64",
            Self::Arm64 => "arm64",
            Self::Any => "any",
        })
    }
}

/// Whether something may be taken away at any time for a lower price.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SpotUse {
    /// It may not.
    Never,
    /// It may, where that is cheaper.
    Allowed,
    /// It is bought in no other way.
    Required,
}

/// How replicas are spread.
///
/// ```
/// use cloud_patterns::workload::{Across, Spread};
/// let spread: Spread = serde_json::from_str(r#"{"across": "providers", "at_most": 2}"#).unwrap();
/// assert_eq!(spread, Spread { across: Across::Providers, at_most: 2 });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spread {
    /// Across what.
    pub across: Across,
    /// How many at most are in one of them, at least 1. Default 1.
    #[serde(default = "super::one", skip_serializing_if = "super::is_one")]
    pub at_most: u32,
}

/// What replicas are spread across.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Across {
    /// The zones of one region.
    Zones,
    /// Regions of any clouds.
    Regions,
    /// The registered clouds.
    #[serde(alias = "clouds")]
    Providers,
}

impl fmt::Display for Across {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Zones => "zones",
            Self::Regions => "regions",
            Self::Providers => "providers",
        })
    }
}

/// Nearness to another component, or distance from it. It holds for all replicas of both, and need be said on one side only.
///
/// ```
/// use cloud_patterns::workload::{Relation, Within};
/// let relation: Relation = serde_json::from_str(r#"{"with": "db", "within": "provider"}"#).unwrap();
/// assert_eq!(relation.within, Within::Provider);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Relation {
    /// The other component.
    pub with: String,
    /// What they share, or do not share. Default: the region.
    #[serde(default, skip_serializing_if = "is_default")]
    pub within: Within,
}

/// What components share, or do not share.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Within {
    /// A zone; for anti-affinity only.
    Zone,
    /// A region.
    #[default]
    Region,
    /// A registered cloud.
    #[serde(alias = "cloud")]
    Provider,
}

impl fmt::Display for Within {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Zone => "zone",
            Self::Region => "region",
            Self::Provider => "provider",
        })
    }
}

/// What a component sends to another, all replicas together. Between regions it costs what the sender's cloud asks for
/// outgoing traffic.
///
/// ```
/// use cloud_patterns::workload::Traffic;
/// let traffic: Traffic = serde_json::from_str(r#"{"to": "db", "gib_per_month": 120, "max_latency_ms": 5}"#).unwrap();
/// assert_eq!(traffic.max_latency_ms, Some(5.0));
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Traffic {
    /// Who it sends to.
    pub to: String,
    /// How much, in GiB per month. Default 0.
    #[serde(default, skip_serializing_if = "is_default")]
    pub gib_per_month: f64,
    /// The longest round trip between the two, in ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_latency_ms: Option<f64>,
}

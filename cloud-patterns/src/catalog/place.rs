//! What a catalog knows of a region: where it lies, what is attested for it, and what is on offer.

use std::{convert::Infallible, fmt, str::FromStr};

use cloud_core::{
    ByteSize, Decimal, PriceUnit, Provider, Purchase, Quota, Region, ResourceType, Zone,
};
use serde::{Deserialize, Serialize};

use super::Egress;

/// A region. What is unknown is absent.
///
/// ```
/// use cloud_core::Region;
/// use cloud_patterns::catalog::CatalogRegion;
/// let region = CatalogRegion::new(Region::new("eu-1").unwrap(), 0);
/// assert!(region.available && region.instances.is_empty());
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CatalogRegion {
    /// The provider's code.
    pub region: Region,
    /// The provider's name for people, such as `Europe (Frankfurt)`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The city or the part of the country that the provider says it is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub city: Option<String>,
    /// ISO 3166-1 alpha-2 code of the country it lies in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// The blocs that it counts to for data residency, such as `EU` and `EEA`: by default
    /// [those of its country](super::blocs_of).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub residency: Vec<String>,
    /// Latitude and longitude in degrees, of the city where the data centres' own are not published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coordinates: Option<(f64, f64)>,
    /// Compliance regimes that the provider attests for it, by their [canonical names](super::canonical_regime).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub compliance: Vec<String>,
    /// Its zones, in the provider's order; empty where there are none or they are unknown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub zones: Vec<Zone>,
    /// Whether something can be put there just now.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub available: bool,
    /// What instances cost, sorted by type; each type at most once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub instances: Vec<InstanceOffer>,
    /// What storage costs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub storage: Vec<UnitPrice>,
    /// What databases cost.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub database: Vec<UnitPrice>,
    /// What anything else costs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other: Vec<UnitPrice>,
    /// What it costs to send data from here.
    #[serde(default, skip_serializing_if = "Egress::is_empty")]
    pub egress: Egress,
    /// The limits in this region.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quotas: Vec<Quota>,
    /// Where the region itself, its zones and its availability come from.
    pub source: u16,
    /// Where name, city and country come from, if not from `source`; if they come from several, the one that prevailed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place_source: Option<u16>,
    /// Where `coordinates` come from, if not from `source`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coordinates_source: Option<u16>,
    /// Where `compliance` comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compliance_source: Option<u16>,
    /// Where `residency` comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub residency_source: Option<u16>,
    /// Where `quotas` come from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota_source: Option<u16>,
}

fn yes() -> bool {
    true
}

fn is_true(value: &bool) -> bool {
    *value
}

impl CatalogRegion {
    /// An available region of which nothing else is known.
    pub fn new(region: Region, source: u16) -> Self {
        Self {
            region,
            name: None,
            city: None,
            country: None,
            residency: Vec::new(),
            coordinates: None,
            compliance: Vec::new(),
            zones: Vec::new(),
            available: true,
            instances: Vec::new(),
            storage: Vec::new(),
            database: Vec::new(),
            other: Vec::new(),
            egress: Egress::default(),
            quotas: Vec::new(),
            source,
            place_source: None,
            coordinates_source: None,
            compliance_source: None,
            residency_source: None,
            quota_source: None,
        }
    }

    /// The offer of an instance type, by its index in [`Catalog::types`](super::Catalog::types).
    pub fn offer(&self, instance_type: u32) -> Option<&InstanceOffer> {
        let found = self.instances.binary_search_by_key(&instance_type, |o| o.instance_type);
        found.ok().map(|i| &self.instances[i])
    }

    /// The price of a storage class, a database server or another item, in this unit and under these terms.
    pub fn unit_price(
        &self,
        resource_type: ResourceType,
        sku: &str,
        unit: PriceUnit,
        purchase: Purchase,
    ) -> Option<&UnitPrice> {
        let prices = match resource_type {
            ResourceType::Storage => &self.storage,
            ResourceType::Database => &self.database,
            _ => &self.other,
        };
        prices.iter().find(|p| {
            p.sku == sku
                && p.unit == unit
                && p.purchase == purchase
                && p.resource_type == resource_type
        })
    }
}

/// An instance type. Its facts are the same in all regions; its prices are not.
///
/// ```
/// use cloud_patterns::catalog::Catalog;
/// let catalog = Catalog::builtin().unwrap();
/// let large = catalog.types.iter().find(|t| t.name == "m5.large").unwrap();
/// assert_eq!((large.vcpu, large.memory.as_gib()), (2, 8.0));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CatalogType {
    /// Whose it is.
    pub provider: Provider,
    /// The provider's name for it.
    pub name: String,
    /// Virtual CPUs.
    pub vcpu: u32,
    /// Main memory.
    pub memory: ByteSize,
    /// Graphics or accelerator cards.
    #[serde(default)]
    pub gpu: u32,
    /// The processor's architecture, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub architecture: Option<Architecture>,
    /// Where its facts come from.
    pub source: u16,
}

/// The architecture of a processor. Read from any of the usual names.
///
/// ```
/// use cloud_patterns::catalog::Architecture;
/// assert_eq!("aarch64".parse(), Ok(Architecture::Arm64));
/// assert_eq!(Architecture::X86_64.to_string(), "x86_64");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Architecture {
    /// 64-bit x86: `x86_64`, `x86-64`, `amd64`, `x64`.
    X86_64,
    /// 64-bit ARM: `arm64`, `aarch64`.
    Arm64,
    /// Any other, in lower case.
    Other(String),
}

impl From<String> for Architecture {
    fn from(text: String) -> Self {
        match text.to_ascii_lowercase().as_str() {
            "x86_64" | "x86-64" | "amd64" | "x64" => Self::X86_64,
            "arm64" | "aarch64" => Self::Arm64,
            other => Self::Other(other.to_owned()),
        }
    }
}

impl FromStr for Architecture {
    type Err = Infallible;
    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self::from(text.to_owned()))
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::X86_64 => "x86_64",
            Self::Arm64 => "arm64",
            Self::Other(name) => name,
        })
    }
}

impl From<Architecture> for String {
    fn from(value: Architecture) -> Self {
        value.to_string()
    }
}

/// What an instance type costs in a region, per hour. An offer without any price is on offer at an unknown price.
///
/// ```
/// use cloud_patterns::catalog::InstanceOffer;
/// let offer = InstanceOffer { on_demand: "0.0416".parse().ok(), ..InstanceOffer::new(7, 0) };
/// assert!(offer.spot.is_none());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstanceOffer {
    /// Index in [`Catalog::types`](super::Catalog::types).
    pub instance_type: u32,
    /// Without commitment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_demand: Option<Decimal>,
    /// For one that may be taken away at any time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spot: Option<Decimal>,
    /// With a commitment of a year (reserved instance or savings plan).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reserved: Option<Decimal>,
    /// Where the offer and `on_demand` come from.
    pub source: u16,
    /// Where `spot` comes from, if not from `source`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spot_source: Option<u16>,
    /// Where `reserved` comes from, if not from `source`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reserved_source: Option<u16>,
}

impl InstanceOffer {
    /// An offer of this type at an unknown price.
    pub fn new(instance_type: u32, source: u16) -> Self {
        Self {
            instance_type,
            on_demand: None,
            spot: None,
            reserved: None,
            source,
            spot_source: None,
            reserved_source: None,
        }
    }

    /// The hourly price under these terms.
    pub fn price(&self, purchase: Purchase) -> Option<Decimal> {
        match purchase {
            Purchase::OnDemand => self.on_demand,
            Purchase::Spot => self.spot,
            Purchase::Reserved => self.reserved,
            _ => None,
        }
    }

    /// Where the price under these terms comes from.
    pub fn price_source(&self, purchase: Purchase) -> u16 {
        match purchase {
            Purchase::Spot => self.spot_source.unwrap_or(self.source),
            Purchase::Reserved => self.reserved_source.unwrap_or(self.source),
            _ => self.source,
        }
    }
}

/// What one unit of anything but an instance costs.
///
/// ```
/// # use cloud_patterns::catalog::UnitPrice;
/// fn per_month(price: &UnitPrice) -> bool { price.unit == cloud_core::PriceUnit::GibMonth }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnitPrice {
    /// The family that it belongs to.
    pub resource_type: ResourceType,
    /// The item: a storage class, a database server's type.
    pub sku: String,
    /// What the price is for one of.
    pub unit: PriceUnit,
    /// Under which terms.
    #[serde(default)]
    pub purchase: Purchase,
    /// How much.
    pub price: Decimal,
    /// Where it comes from.
    pub source: u16,
}

//! What the clouds offer, where, and at what price: the facts that a placement is reckoned with, each with source and date.
//!
//! A [`Catalog`] comes from the snapshot that is built in ([`Catalog::builtin`]), from files ([`Catalog::from_json`],
//! [`Catalog::overlay_prices`]), from the clouds themselves ([`Catalog::from_observation`], [`LiveCatalog`]), or from several of
//! them laid over one another ([`Catalog::overlay`]). What is unknown is absent: there are no guessed prices.
//!
//! Prices are of Linux, without tax and without what an account has negotiated.

mod age;
mod builtin;
mod egress;
mod latency;
mod live;
mod lookup;
mod merge;
mod observed;
mod parse;
mod place;
mod prices;
mod regime;
mod sources;
#[cfg(test)]
mod tests;
mod validate;

use cloud_core::{CloudId, Currency, Provider, Quota};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use self::{
    age::Warning,
    builtin::BUILTIN_BYTES,
    egress::{Egress, Tier, Tiers},
    latency::{
        CityRoundTrip, Latency, LatencyMatrix, LatencyTable, RoundTrip, estimated_rtt_ms,
        great_circle_km,
    },
    live::{LiveCatalog, Refreshed},
    place::{Architecture, CatalogRegion, CatalogType, InstanceOffer, UnitPrice},
    regime::{KNOWN_REGIMES, blocs_of, canonical_regime, known_blocs},
};

/// Where a figure comes from. Figures refer to it by its index in [`Catalog::sources`].
///
/// ```
/// use cloud_patterns::catalog::Source;
/// let source = Source { name: "Our own price list".into(), as_of: "2026-06-01T00:00:00Z".parse().ok(), ..Source::new("own") };
/// assert!(source.license.is_none());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// A short name, unique in the catalog.
    pub id: String,
    /// What it is, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The licence its figures may be used under, as an SPDX expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    /// When its figures were true; `None` if it does not say, which counts as too old.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<Timestamp>,
    /// For how many days its figures hold, where that is not as for prices: places do not move. `None` leaves it to whoever
    /// asks for [`warnings`](Catalog::warnings).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifetime_days: Option<u32>,
    /// What else to know: what was left out, by which rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Source {
    /// A source of which nothing but its short name is known.
    pub fn new(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            name: String::new(),
            license: None,
            as_of: None,
            lifetime_days: None,
            note: None,
        }
    }
}

/// The clouds' regions, what is on offer there and at what price; every figure with source and date.
///
/// ```
/// use cloud_patterns::catalog::Catalog;
/// let catalog = Catalog::builtin().unwrap();
/// let region = catalog.regions().find(|(_, r)| r.region.as_str() == "westeurope").unwrap().1;
/// assert_eq!(region.country.as_deref(), Some("NL"));
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalog {
    /// The currency of all its prices.
    pub currency: Currency,
    /// Where its figures come from.
    pub sources: Vec<Source>,
    /// The clouds, sorted by id.
    pub clouds: Vec<CatalogCloud>,
    /// The instance types of all clouds; offers refer to them by index.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<CatalogType>,
    /// Measured round trips between regions.
    #[serde(default, skip_serializing_if = "Latency::is_empty")]
    pub latency: Latency,
    /// Places that a component may be wanted close to, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cities: Vec<City>,
}

impl Catalog {
    /// A catalog of nothing.
    pub fn new(currency: Currency) -> Self {
        Self {
            currency,
            sources: Vec::new(),
            clouds: Vec::new(),
            types: Vec::new(),
            latency: Latency::default(),
            cities: Vec::new(),
        }
    }

    /// Every region with its cloud, clouds by id, regions by code.
    pub fn regions(&self) -> impl Iterator<Item = (&CatalogCloud, &CatalogRegion)> {
        self.clouds.iter().flat_map(|cloud| cloud.regions.iter().map(move |region| (cloud, region)))
    }
}

/// A cloud of the catalog.
///
/// ```
/// use cloud_patterns::catalog::Catalog;
/// let ids: Vec<_> = Catalog::builtin().unwrap().clouds.iter().map(|c| c.id.as_str()).collect();
/// assert_eq!(ids, ["aws", "azure", "gcp"]);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CatalogCloud {
    /// The name it is registered under; in the built-in snapshot the provider's.
    pub id: CloudId,
    /// Who provides it.
    pub provider: Provider,
    /// Its regions, sorted by code.
    pub regions: Vec<CatalogRegion>,
    /// The limits that hold for the whole account; those of a region are with the region.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quotas: Vec<Quota>,
    /// Where the limits come from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota_source: Option<u16>,
}

/// A place that a component may be wanted close to, by name.
///
/// ```
/// use cloud_patterns::catalog::Catalog;
/// let city = Catalog::builtin().unwrap().city("frankfurt").unwrap();
/// assert_eq!((city.name.as_str(), city.country.as_deref()), ("Frankfurt", Some("DE")));
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct City {
    /// Its name. Upper and lower case are one.
    pub name: String,
    /// ISO 3166-1 alpha-2 code of its country.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// Latitude and longitude in degrees. Without them only the regions in `round_trips` have a latency to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coordinates: Option<(f64, f64)>,
    /// Round trips that somebody measured from here; they go before the estimate from the distance.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub round_trips: Vec<CityRoundTrip>,
    /// Where name and coordinates come from.
    pub source: u16,
}

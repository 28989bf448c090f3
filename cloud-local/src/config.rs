//! What a local cloud is set up with.

use std::{fmt, path::PathBuf};

use cloud_core::{Decimal, Error, Region, RegionInfo, Result, Zone, text::check_text};
use serde::{Deserialize, Deserializer, Serialize, de};

/// The configuration of a local cloud.
///
/// ```
/// use cloud_local::LocalConfig;
/// let config: LocalConfig = serde_json::from_str(
///     r#"{"root": "/var/lib/clouds", "regions": ["eu-1", {"name": "us-1", "zones": ["us-1a"], "country": "US"}]}"#,
/// ).unwrap();
/// assert!(config.validate().is_ok());
/// assert_eq!(config.regions[1].zones.len(), 1);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocalConfig {
    /// The data folder. Several clouds and processes may share it. It is made if it is not there.
    pub root: PathBuf,
    /// The regions, at least one; a plain text is a region of which only the name is known.
    pub regions: Vec<LocalRegion>,
    /// The folder of PostgreSQL's server programs; without it they are looked for in `PATH` and in
    /// `/usr/lib/postgresql/*/bin`. Only with the feature `postgres`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postgres_bin: Option<PathBuf>,
    /// What things cost, for planning with this cloud; absent where no price is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prices: Option<LocalPrices>,
    /// The most items on a page of a listing. Default 1000.
    #[serde(default = "default_limit")]
    pub max_page_size: u32,
    /// The most instances in a region. Default 1000.
    #[serde(default = "default_limit")]
    pub max_instances: u32,
    /// The most virtual CPUs of all instances of a region together. Default 4000.
    #[serde(default = "default_vcpu")]
    pub max_vcpu: u32,
}

fn default_limit() -> u32 {
    1000
}

fn default_vcpu() -> u32 {
    4000
}

/// A region of a local cloud: a folder, and what is to be said of it.
///
/// ```
/// use cloud_local::LocalRegion;
/// let region: LocalRegion = serde_json::from_str("\"eu-1\"").unwrap();
/// assert_eq!(region.name.as_str(), "eu-1");
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LocalRegion {
    /// Its name.
    pub name: Region,
    /// Its zones. They share its folder and its outages.
    pub zones: Vec<Zone>,
    /// ISO 3166-1 alpha-2 code of the country it stands for.
    pub country: Option<String>,
    /// Latitude and longitude in degrees.
    pub coordinates: Option<(f64, f64)>,
    /// Compliance regimes that hold there, such as `GDPR`.
    pub compliance: Vec<String>,
}

/// Prices in US dollars; what is absent has no known price.
///
/// ```
/// use cloud_local::LocalPrices;
/// let prices: LocalPrices = serde_json::from_str(r#"{"vcpu_hour": "0.02", "gib_hour": "0.005"}"#).unwrap();
/// assert!(prices.database_hour.is_none());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LocalPrices {
    /// One virtual CPU of an instance for an hour.
    pub vcpu_hour: Option<Decimal>,
    /// One GiB of an instance's memory for an hour.
    pub gib_hour: Option<Decimal>,
    /// One GiB in a bucket for a month.
    pub storage_gib_month: Option<Decimal>,
    /// One database server for an hour.
    pub database_hour: Option<Decimal>,
    /// A million calls of functions.
    pub million_calls: Option<Decimal>,
}

impl LocalConfig {
    /// A cloud of these regions, with all else at its default.
    pub fn new(root: impl Into<PathBuf>, regions: impl IntoIterator<Item = Region>) -> Self {
        Self {
            root: root.into(),
            regions: regions.into_iter().map(LocalRegion::new).collect(),
            postgres_bin: None,
            prices: None,
            max_page_size: default_limit(),
            max_instances: default_limit(),
            max_vcpu: default_vcpu(),
        }
    }

    /// Refuses an empty root, no or doubly named regions and zones, impossible coordinates, limits of 0, negative prices.
    ///
    /// # Errors
    /// [`InvalidInput`](cloud_core::ErrorKind::InvalidInput), naming the field.
    pub fn validate(&self) -> Result<()> {
        if self.root.as_os_str().is_empty() {
            return Err(Error::invalid("root", "is empty", "the path of a folder"));
        }
        if self.regions.is_empty() {
            return Err(Error::invalid("regions", "is empty", "at least one region"));
        }
        for (i, region) in self.regions.iter().enumerate() {
            if self.regions[..i].iter().any(|r| same(&r.name, &region.name)) {
                let problem = format!("is '{}', as another is but for case", region.name);
                return Err(Error::invalid(
                    &format!("regions[{i}].name"),
                    problem,
                    "each name once",
                ));
            }
            region.validate(&format!("regions[{i}]"))?;
        }
        for (field, value) in [
            ("max_page_size", self.max_page_size),
            ("max_instances", self.max_instances),
            ("max_vcpu", self.max_vcpu),
        ] {
            if !(1..=1_000_000).contains(&value) {
                return Err(Error::invalid(field, format_args!("is {value}"), "1 to 1000000"));
            }
        }
        match &self.prices {
            Some(prices) => prices.validate(),
            None => Ok(()),
        }
    }
}

/// Some file systems do not tell case apart, so two names that differ in nothing else would share a folder.
fn same(a: &Region, b: &Region) -> bool {
    a.as_str().eq_ignore_ascii_case(b.as_str())
}

impl LocalRegion {
    /// A region of which nothing but the name is known.
    pub fn new(name: Region) -> Self {
        Self { name, zones: Vec::new(), country: None, coordinates: None, compliance: Vec::new() }
    }

    fn validate(&self, field: &str) -> Result<()> {
        for reserved in ["lock", "tmp"] {
            if self.name.as_str().eq_ignore_ascii_case(reserved) {
                return Err(Error::invalid(
                    &format!("{field}.name"),
                    format_args!("is '{reserved}'"),
                    "any other",
                ));
            }
        }
        for (i, zone) in self.zones.iter().enumerate() {
            if self.zones[..i].contains(zone) {
                let field = format!("{field}.zones[{i}]");
                return Err(Error::invalid(
                    &field,
                    format_args!("is '{zone}', as another is"),
                    "each once",
                ));
            }
        }
        if let Some(country) = &self.country
            && (country.len() != 2 || !country.bytes().all(|b| b.is_ascii_uppercase()))
        {
            let field = format!("{field}.country");
            let problem = format!("is '{}'", country.escape_debug());
            return Err(Error::invalid(&field, problem, "an ISO 3166-1 alpha-2 code such as DE"));
        }
        if let Some((lat, lon)) = self.coordinates
            && !((-90.0..=90.0).contains(&lat) && (-180.0..=180.0).contains(&lon))
        {
            let field = format!("{field}.coordinates");
            return Err(Error::invalid(
                &field,
                format_args!("are {lat}, {lon}"),
                "-90 to 90, -180 to 180",
            ));
        }
        self.compliance.iter().try_for_each(|c| check_text(&format!("{field}.compliance"), c, 64))
    }

    pub(crate) fn info(&self, available: bool) -> RegionInfo {
        let mut info = RegionInfo::new(self.name.clone());
        info.available = available;
        info.zones.clone_from(&self.zones);
        info.country.clone_from(&self.country);
        info.coordinates = self.coordinates;
        info.compliance.clone_from(&self.compliance);
        info
    }
}

impl<'de> Deserialize<'de> for LocalRegion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Full {
            name: Region,
            #[serde(default)]
            zones: Vec<Zone>,
            country: Option<String>,
            coordinates: Option<(f64, f64)>,
            #[serde(default)]
            compliance: Vec<String>,
        }
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = LocalRegion;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "a region's name, or a map with name, zones, country, coordinates, compliance",
                )
            }
            fn visit_str<E: de::Error>(self, name: &str) -> Result<LocalRegion, E> {
                Region::new(name).map(LocalRegion::new).map_err(E::custom)
            }
            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<LocalRegion, A::Error> {
                let full = Full::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(LocalRegion {
                    name: full.name,
                    zones: full.zones,
                    country: full.country,
                    coordinates: full.coordinates,
                    compliance: full.compliance,
                })
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl LocalPrices {
    fn validate(&self) -> Result<()> {
        for (field, price) in [
            ("vcpu_hour", self.vcpu_hour),
            ("gib_hour", self.gib_hour),
            ("storage_gib_month", self.storage_gib_month),
            ("database_hour", self.database_hour),
            ("million_calls", self.million_calls),
        ] {
            if let Some(price) = price.filter(|p| p.is_sign_negative()) {
                let field = format!("prices.{field}");
                return Err(Error::invalid(
                    &field,
                    format_args!("is {price}"),
                    "0 or more US dollars",
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<LocalConfig, String> {
        let config: LocalConfig = serde_json::from_str(text).map_err(|e| e.to_string())?;
        config.validate().map_err(|e| e.to_string())?;
        Ok(config)
    }

    #[test]
    fn bad_input_is_refused_and_named() {
        for (text, says) in [
            (r#"{"root": "", "regions": ["a"]}"#, "root is empty"),
            (r#"{"root": "x", "regions": []}"#, "regions is empty"),
            (r#"{"root": "x", "regions": ["a", "A"]}"#, "regions[1].name is 'A'"),
            (r#"{"root": "x", "regions": ["../a"]}"#, "region is '../a'"),
            (r#"{"root": "x", "regions": ["tmp"]}"#, "regions[0].name is 'tmp'"),
            (r#"{"root": "x", "regions": [{"name": "a", "zone": []}]}"#, "unknown field `zone`"),
            (r#"{"root": "x", "regions": [{"name": "a", "name": "b"}]}"#, "duplicate field"),
            (r#"{"root": "x", "regions": [{"name": "a", "zones": ["z", "z"]}]}"#, "zones[1]"),
            (
                r#"{"root": "x", "regions": [{"name": "a", "country": "Germany"}]}"#,
                "country is 'Germany'",
            ),
            (
                r#"{"root": "x", "regions": [{"name": "a", "coordinates": [91, 0]}]}"#,
                "coordinates are 91",
            ),
            (r#"{"root": "x", "regions": ["a"], "max_page_size": 0}"#, "max_page_size is 0"),
            (r#"{"root": "x", "regions": ["a"], "max_instances": -1}"#, "-1"),
            (
                r#"{"root": "x", "regions": ["a"], "prices": {"vcpu_hour": "-0.1"}}"#,
                "prices.vcpu_hour is -0.1",
            ),
            (r#"{"root": "x", "regions": ["a"], "colour": 1}"#, "unknown field `colour`"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn it_is_read_back_as_it_was_written() {
        let config =
            parse(r#"{"root": "x", "regions": ["a", {"name": "b", "country": "DE"}]}"#).unwrap();
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(parse(&text).unwrap(), config);
    }
}

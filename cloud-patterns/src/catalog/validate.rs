//! What a catalog may hold. Everything that makes or reads one ends here, so that whoever uses one need not check.

use std::collections::BTreeSet;

use cloud_core::{Decimal, Error, Quota, Result, text::check_text};
use jiff::{SignedDuration, Timestamp};

use super::{
    Catalog, CatalogCloud, CatalogRegion, CatalogType, City, Egress, InstanceOffer, LatencyTable,
    UnitPrice, canonical_regime, lookup::plain,
};

/// No instance costs as much in an hour, and no unit of anything else.
pub(super) const ABSURD_PRICE: u32 = 10_000;
/// No round trip takes as long, in tenths of a millisecond: 10 s.
const ABSURD_RTT: u32 = 100_000;

/// An error whose field is named within what holds it.
fn at(path: &str, error: Error) -> Error {
    let message = format!("{path}.{}", error.message());
    Error::new(error.kind(), message)
}

impl Catalog {
    /// Whether it holds together: names unique and in order, references to what is there, prices from 0 to 10,000,
    /// coordinates on the Earth, compliance regimes by their canonical names.
    ///
    /// ```
    /// use cloud_core::Currency;
    /// use cloud_patterns::catalog::{Catalog, Source};
    /// let mut catalog = Catalog::new(Currency::usd());
    /// catalog.sources = vec![Source::new("own"), Source::new("own")];
    /// let error = catalog.validate().unwrap_err().to_string();
    /// assert!(error.contains("sources[1].id is 'own' as another's"), "{error}");
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`](cloud_core::ErrorKind::InvalidInput) for the first thing that is wrong, naming it.
    pub fn validate(&self) -> Result<()> {
        if self.sources.len() > usize::from(u16::MAX) {
            let problem = format_args!("are {}", self.sources.len());
            return Err(Error::invalid("sources", problem, "at most 65535"));
        }
        let mut ids = BTreeSet::new();
        for (i, source) in self.sources.iter().enumerate() {
            check_text(&format!("sources[{i}].id"), &source.id, 255)?;
            if !ids.insert(&source.id) {
                let field = format!("sources[{i}].id");
                let problem = format_args!("is '{}' as another's", source.id);
                return Err(Error::invalid(&field, problem, "each id once"));
            }
        }
        let mut bad_source = None;
        self.each_source(|s| {
            bad_source = bad_source.or((usize::from(*s) >= ids.len()).then_some(*s))
        });
        if let Some(source) = bad_source {
            let problem = format_args!("is {source} somewhere");
            return Err(Error::invalid(
                "source",
                problem,
                format_args!("an index below {}", ids.len()),
            ));
        }
        in_order("clouds", self.clouds.iter().map(|c| c.id.as_str()))?;
        for (i, one) in self.types.iter().enumerate() {
            one.check().map_err(|e| at(&format!("types[{i}]"), e))?;
        }
        for cloud in &self.clouds {
            cloud.check(&self.types).map_err(|e| at(&format!("clouds[{}]", cloud.id), e))?;
        }
        for (i, table) in self.latency.tables.iter().enumerate() {
            table.check().map_err(|e| at(&format!("latency[{i}]"), e))?;
        }
        let mut names = BTreeSet::new();
        for city in &self.cities {
            let path = format!("cities[{}]", city.name.escape_debug());
            city.check().map_err(|e| at(&path, e))?;
            if !names.insert(plain(&city.name)) {
                return Err(Error::invalid(&path, "comes twice", "each city once"));
            }
        }
        Ok(())
    }

    /// Refuses sources whose date has not come yet (a day of difference between clocks is let pass).
    ///
    /// # Errors
    /// [`InvalidInput`](cloud_core::ErrorKind::InvalidInput), naming the source.
    pub fn check_dates(&self, now: Timestamp) -> Result<()> {
        let limit = now.checked_add(SignedDuration::from_hours(24)).unwrap_or(Timestamp::MAX);
        match self.sources.iter().find(|s| s.as_of.is_some_and(|t| t > limit)) {
            None => Ok(()),
            Some(source) => {
                let field = format!("sources[{}].as_of", source.id);
                let date = source.as_of.unwrap_or_default();
                Err(Error::invalid(
                    &field,
                    format_args!("is {date}"),
                    format_args!("at most {now}"),
                ))
            }
        }
    }
}

/// Refuses names that are not in ascending order, and with it those that come twice.
fn in_order<'a>(field: &str, names: impl Iterator<Item = &'a str>) -> Result<()> {
    let mut before: Option<&str> = None;
    for name in names {
        match before {
            Some(last) if last == name => {
                return Err(Error::invalid(
                    field,
                    format_args!("have '{name}' twice"),
                    "each once",
                ));
            }
            Some(last) if last > name => {
                let problem = format_args!("have '{name}' after '{last}'");
                return Err(Error::invalid(field, problem, "ascending order"));
            }
            _ => before = Some(name),
        }
    }
    Ok(())
}

/// Refuses negative and absurd prices.
pub(super) fn check_price(field: &str, price: Decimal) -> Result<()> {
    if (Decimal::ZERO..=Decimal::from(ABSURD_PRICE)).contains(&price) {
        return Ok(());
    }
    Err(Error::invalid(field, format_args!("is {price}"), format_args!("0 to {ABSURD_PRICE}")))
}

fn check_coordinates(point: Option<(f64, f64)>) -> Result<()> {
    let Some((latitude, longitude)) = point else {
        return Ok(());
    };
    if (-90.0..=90.0).contains(&latitude) && (-180.0..=180.0).contains(&longitude) {
        return Ok(());
    }
    let problem = format_args!("are {latitude}, {longitude}");
    Err(Error::invalid("coordinates", problem, "latitude -90 to 90 and longitude -180 to 180"))
}

fn check_country(country: Option<&str>) -> Result<()> {
    match country {
        Some(code) if code.len() != 2 || !code.bytes().all(|b| b.is_ascii_uppercase()) => {
            let problem = format_args!("is '{}'", code.escape_debug());
            Err(Error::invalid("country", problem, "an ISO 3166-1 alpha-2 code such as DE"))
        }
        _ => Ok(()),
    }
}

fn check_quotas<'a>(quotas: &'a [Quota], home: Option<&'a cloud_core::Region>) -> Result<()> {
    for (i, quota) in quotas.iter().enumerate() {
        check_text(&format!("quotas[{i}].name"), &quota.name, 255)?;
        if quota.region.as_ref() != home {
            let of = |r: Option<&cloud_core::Region>| {
                r.map_or_else(|| "the account".into(), ToString::to_string)
            };
            let problem = format!("is of {}", of(quota.region.as_ref()));
            return Err(Error::invalid(&format!("quotas[{i}].region"), problem, of(home)));
        }
    }
    Ok(())
}

impl CatalogType {
    pub(super) fn check(&self) -> Result<()> {
        check_text("name", &self.name, 255)?;
        for (field, value, least, most) in
            [("vcpu", self.vcpu, 1, 100_000), ("gpu", self.gpu, 0, 10_000)]
        {
            if !(least..=most).contains(&value) {
                let accepted = format_args!("{least} to {most}");
                return Err(Error::invalid(field, format_args!("is {value}"), accepted));
            }
        }
        if self.memory.bytes() == 0 {
            return Err(Error::invalid("memory", "is 0", "more"));
        }
        Ok(())
    }
}

impl CatalogCloud {
    fn check(&self, types: &[CatalogType]) -> Result<()> {
        in_order("regions", self.regions.iter().map(|r| r.region.as_str()))?;
        check_quotas(&self.quotas, None)?;
        for region in &self.regions {
            let path = format!("regions[{}]", region.region);
            region.check().map_err(|e| at(&path, e))?;
            for offer in &region.instances {
                let whose = types.get(offer.instance_type as usize).map(|t| t.provider);
                if whose != Some(self.provider) {
                    let field = format!("{path}.instances.instance_type");
                    let problem = match whose {
                        Some(other) => format!("is {}, a type of {other}", offer.instance_type),
                        None => format!("is {} of {} types", offer.instance_type, types.len()),
                    };
                    let accepted = format_args!("a type of {}", self.provider);
                    return Err(Error::invalid(&field, problem, accepted));
                }
            }
        }
        Ok(())
    }
}

impl CatalogRegion {
    fn check(&self) -> Result<()> {
        check_coordinates(self.coordinates)?;
        check_country(self.country.as_deref())?;
        for regime in &self.compliance {
            let name = canonical_regime(regime);
            if *regime != name || name.is_empty() {
                let problem = format_args!("has '{}'", regime.escape_debug());
                return Err(Error::invalid("compliance", problem, format_args!("'{name}'")));
            }
        }
        for bloc in &self.residency {
            check_text("residency", bloc, 64)?;
        }
        check_quotas(&self.quotas, Some(&self.region))?;
        if let Some(pair) =
            self.instances.windows(2).find(|w| w[0].instance_type >= w[1].instance_type)
        {
            let problem =
                format_args!("have type {} after {}", pair[1].instance_type, pair[0].instance_type);
            return Err(Error::invalid("instances", problem, "ascending order, each once"));
        }
        self.instances
            .iter()
            .enumerate()
            .try_for_each(|(i, o)| o.check().map_err(|e| at(&format!("instances[{i}]"), e)))?;
        for (name, prices) in
            [("storage", &self.storage), ("database", &self.database), ("other", &self.other)]
        {
            for (i, price) in prices.iter().enumerate() {
                price.check().map_err(|e| at(&format!("{name}[{i}]"), e))?;
            }
        }
        self.egress.check().map_err(|e| at("egress", e))
    }
}

impl InstanceOffer {
    fn check(&self) -> Result<()> {
        let prices =
            [("on_demand", self.on_demand), ("spot", self.spot), ("reserved", self.reserved)];
        prices
            .into_iter()
            .try_for_each(|(field, price)| price.map_or(Ok(()), |price| check_price(field, price)))
    }
}

impl UnitPrice {
    fn check(&self) -> Result<()> {
        check_text("sku", &self.sku, 255)?;
        check_price("price", self.price)
    }
}

impl Egress {
    fn check(&self) -> Result<()> {
        self.same_zone.map_or(Ok(()), |price| check_price("same_zone", price))
    }
}

impl LatencyTable {
    fn check(&self) -> Result<()> {
        let size = self.regions.len();
        if self.regions.iter().collect::<BTreeSet<_>>().len() != size {
            return Err(Error::invalid("regions", "have one twice", "each once"));
        }
        if self.tenths.len() != size || self.tenths.iter().any(|row| row.len() != size) {
            let problem = format_args!("are not {size} rows of {size}");
            return Err(Error::invalid("tenths", problem, "a row and a column for each region"));
        }
        match self.tenths.iter().flatten().flatten().find(|t| **t > ABSURD_RTT) {
            None => Ok(()),
            Some(t) => Err(Error::invalid("tenths", format_args!("have {t}"), "at most 100000")),
        }
    }
}

impl City {
    fn check(&self) -> Result<()> {
        check_text("name", &self.name, 255)?;
        check_country(self.country.as_deref())?;
        check_coordinates(self.coordinates)?;
        let mut seen = BTreeSet::new();
        for one in &self.round_trips {
            if !seen.insert((&one.cloud, &one.region)) {
                let problem = format_args!("have {}/{} twice", one.cloud, one.region);
                return Err(Error::invalid("round_trips", problem, "each region once"));
            }
            if one.tenths > ABSURD_RTT {
                let problem = format_args!("have {}", one.tenths);
                return Err(Error::invalid("round_trips", problem, "at most 100000"));
            }
        }
        Ok(())
    }
}

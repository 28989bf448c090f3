//! Catalogs of what the clouds say of themselves: regions, types, prices, quotas.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use cloud_core::{
    CloudId, Currency, InstanceType, Price, PriceUnit, Provider, Purchase, Quota, ResourceType,
    Result,
};
use jiff::Timestamp;

use super::{
    Architecture, Catalog, CatalogCloud, CatalogRegion, CatalogType, InstanceOffer, Source,
    UnitPrice, Warning, canonical_regime, lookup::some_of, validate::check_price,
};
use crate::place::{Observation, ObservedCloud, ObservedRegion};

impl Catalog {
    /// What was observed as a catalog: the clouds' regions, types, prices and quotas, read `now`. What they do not say
    /// (coordinates, compliance, egress, round trips, prices of clouds without a price list) is as `base` knows it of
    /// the same cloud or provider. Where a cloud says which instance types a region has, no other is on offer there.
    ///
    /// What cannot be used is left out and named in a warning: prices in another currency, negative ones, types without a
    /// size. A cloud that did not answer keeps its regions of `base`, but not available.
    ///
    /// ```
    /// use cloud_patterns::{catalog::Catalog, place::Observation};
    /// let nothing = Observation { clouds: Vec::new() };
    /// let now = "2026-11-01T00:00:00Z".parse().unwrap();
    /// let (catalog, warnings) = Catalog::from_observation(&nothing, Some(Catalog::builtin().unwrap()), now).unwrap();
    /// assert!(catalog.clouds.is_empty() && warnings.is_empty());
    /// ```
    ///
    /// # Errors
    /// As for [`overlay`](Self::overlay).
    pub fn from_observation(
        observation: &Observation,
        base: Option<&Self>,
        now: Timestamp,
    ) -> Result<(Self, Vec<Warning>)> {
        let ids: Vec<_> = observation.clouds.iter().map(|c| (c.id.clone(), c.provider)).collect();
        let currency = base.map_or_else(Currency::usd, |b| b.currency.clone());
        let mut all = match base {
            Some(base) => base.for_clouds(&ids),
            None => Self::new(currency.clone()).for_clouds(&ids),
        };
        let mut draft = Draft::new(currency);
        for cloud in &observation.clouds {
            draft.observed(cloud, now)?;
            if let Some(known) = all.clouds.iter_mut().find(|c| c.id == cloud.id) {
                known.restrict(cloud, &all.types);
            }
        }
        let (live, warnings) = draft.finish();
        all.overlay(&live)?;
        Ok((all, warnings))
    }
}

impl CatalogCloud {
    /// Leaves of what was known only what the cloud itself says there is.
    fn restrict(&mut self, cloud: &ObservedCloud, types: &[CatalogType]) {
        let Ok(regions) = &cloud.regions else {
            self.regions.iter_mut().for_each(|r| r.available = false);
            return;
        };
        self.regions.retain_mut(|known| {
            let Some(live) = regions.iter().find(|r| r.info.region == known.region) else {
                return false;
            };
            if let Some(live) = &live.instance_types {
                let names: BTreeSet<&str> = live.iter().map(|t| t.name.as_str()).collect();
                known
                    .instances
                    .retain(|o| names.contains(types[o.instance_type as usize].name.as_str()));
            }
            true
        });
    }
}

/// A catalog in the making from what clouds answered.
pub(super) struct Draft {
    catalog: Catalog,
    types: HashMap<CatalogType, u32>,
    warnings: Vec<Warning>,
}

/// Where an answer is put.
pub(super) struct Place<'a> {
    pub(super) cloud: &'a CloudId,
    pub(super) provider: Provider,
    pub(super) source: u16,
}

impl Draft {
    pub(super) fn new(currency: Currency) -> Self {
        Self { catalog: Catalog::new(currency), types: HashMap::new(), warnings: Vec::new() }
    }

    pub(super) fn finish(mut self) -> (Catalog, Vec<Warning>) {
        self.catalog.sort();
        (self.catalog, self.warnings)
    }

    /// The source that a cloud itself is.
    pub(super) fn source(&mut self, cloud: &CloudId, now: Timestamp) -> Result<u16> {
        let name = format!("What cloud '{cloud}' says of itself");
        let id = format!("live:{cloud}");
        self.catalog.add_source(Source { name, as_of: Some(now), ..Source::new(id) })
    }

    fn observed(&mut self, cloud: &ObservedCloud, now: Timestamp) -> Result<()> {
        let source = self.source(&cloud.id, now)?;
        let place = Place { cloud: &cloud.id, provider: cloud.provider, source };
        let mut made = CatalogCloud {
            id: cloud.id.clone(),
            provider: cloud.provider,
            regions: Vec::new(),
            quotas: Vec::new(),
            quota_source: None,
        };
        match &cloud.regions {
            Err(reason) => self.warnings.push(Warning::Unread {
                cloud: cloud.id.clone(),
                region: None,
                reason: reason.clone(),
            }),
            Ok(regions) => {
                for region in regions {
                    if made.regions.iter().any(|r| r.region == region.info.region) {
                        self.left_out(&place, region, "the cloud lists the region twice".into());
                        continue;
                    }
                    let (region, account_wide) = self.region(&place, region);
                    made.regions.push(region);
                    // Each region names them: they are the same limits.
                    for quota in account_wide {
                        if !made
                            .quotas
                            .iter()
                            .any(|q| q.name == quota.name && q.resource_type == quota.resource_type)
                        {
                            made.quotas.push(quota);
                            made.quota_source = Some(source);
                        }
                    }
                }
            }
        }
        self.catalog.clouds.push(made);
        Ok(())
    }

    fn left_out(&mut self, place: &Place<'_>, region: &ObservedRegion, reason: String) {
        let (cloud, region) = (place.cloud.clone(), Some(region.info.region.clone()));
        self.warnings.push(Warning::FactLeftOut { cloud, region, reason });
    }

    /// A region, and the limits of the whole account among its own.
    fn region(&mut self, place: &Place<'_>, live: &ObservedRegion) -> (CatalogRegion, Vec<Quota>) {
        let info = &live.info;
        for reason in &live.errors {
            let (cloud, region) = (place.cloud.clone(), Some(info.region.clone()));
            self.warnings.push(Warning::Unread { cloud, region, reason: reason.clone() });
        }
        let mut region = CatalogRegion::new(info.region.clone(), place.source);
        region.available = info.available;
        region.zones.clone_from(&info.zones);
        let on_earth = |p: &(f64, f64)| p.0.abs() <= 90.0 && p.1.abs() <= 180.0;
        region.coordinates = info.coordinates.filter(on_earth);
        if region.coordinates != info.coordinates {
            self.left_out(
                place,
                live,
                format!("the coordinates {:?} are not on the Earth", info.coordinates),
            );
        }
        let country = info.country.as_ref().map(|c| c.to_ascii_uppercase());
        region.country =
            country.filter(|c| c.len() == 2 && c.bytes().all(|b| b.is_ascii_uppercase()));
        if region.country.is_none() && info.country.is_some() {
            self.left_out(
                place,
                live,
                format!("{:?} is no ISO 3166-1 alpha-2 code of a country", info.country),
            );
        }
        if let Some(country) = &region.country {
            region.residency = super::blocs_of(country).iter().map(ToString::to_string).collect();
            region.residency_source = Some(place.source);
        }
        let regimes: BTreeSet<String> =
            info.compliance.iter().map(|r| canonical_regime(r)).filter(|r| !r.is_empty()).collect();
        region.compliance = regimes.into_iter().collect();
        region.compliance_source = Some(place.source).filter(|_| !region.compliance.is_empty());

        let mut account_wide = Vec::new();
        for quota in live.quotas.iter().flatten() {
            match &quota.region {
                None => account_wide.push(quota.clone()),
                Some(r) if *r == info.region => region.quotas.push(quota.clone()),
                Some(r) => self.left_out(
                    place,
                    live,
                    format!("the quota '{}' is of region {r}", quota.name),
                ),
            }
        }
        region.quota_source = Some(place.source).filter(|_| !region.quotas.is_empty());
        let mut sizes = BTreeMap::new();
        for one in live.instance_types.iter().flatten() {
            match self.add_type(place, one) {
                Ok(index) => {
                    if sizes.insert(one.name.as_str(), index).is_some() {
                        self.left_out(
                            place,
                            live,
                            format!("the instance type '{}' comes twice", one.name),
                        );
                    }
                }
                Err(e) => {
                    self.left_out(
                        place,
                        live,
                        format!("the instance type '{}': {}", one.name, e.message()),
                    );
                }
            }
        }
        region.instances =
            sizes.values().map(|index| InstanceOffer::new(*index, place.source)).collect();
        region.instances.sort_by_key(|o| o.instance_type);
        let mut nameless = BTreeSet::new();
        for price in live.prices.iter().flatten() {
            let size = sizes.get(price.sku.as_str()).copied();
            if !self.price(place, &mut region, size, price) {
                nameless.insert(price.sku.as_str());
            }
        }
        if !nameless.is_empty() && live.instance_types.is_some() {
            let skus = some_of(&nameless);
            self.left_out(
                place,
                live,
                format!(
                    "{} prices of instances that the region does not list: {skus}",
                    nameless.len()
                ),
            );
        } else if !nameless.is_empty() {
            let skus = some_of(&nameless);
            self.left_out(
                place,
                live,
                format!("{} prices of instances whose size is unknown: {skus}", nameless.len()),
            );
        }
        (region, account_wide)
    }

    fn add_type(&mut self, place: &Place<'_>, one: &InstanceType) -> Result<u32> {
        self.intern(CatalogType {
            provider: place.provider,
            name: one.name.clone(),
            vcpu: one.vcpu,
            memory: one.memory,
            gpu: one.gpu,
            architecture: one.architecture.clone().map(Architecture::from),
            source: place.source,
        })
    }

    pub(super) fn intern(&mut self, one: CatalogType) -> Result<u32> {
        one.check()?;
        let key = CatalogType { source: 0, ..one.clone() };
        let types = &mut self.catalog.types;
        let index = *self.types.entry(key).or_insert(types.len() as u32);
        if index as usize == types.len() {
            types.push(one);
        }
        Ok(index)
    }

    /// The region of a cloud, made if it is not there.
    pub(super) fn region_mut(
        &mut self,
        place: &Place<'_>,
        region: CatalogRegion,
    ) -> (usize, usize) {
        let clouds = &mut self.catalog.clouds;
        let c = clouds.iter().position(|c| c.id == *place.cloud).unwrap_or_else(|| {
            clouds.push(CatalogCloud {
                id: place.cloud.clone(),
                provider: place.provider,
                regions: Vec::new(),
                quotas: Vec::new(),
                quota_source: None,
            });
            clouds.len() - 1
        });
        let regions = &mut clouds[c].regions;
        let r = regions.iter().position(|r| r.region == region.region).unwrap_or_else(|| {
            regions.push(region);
            regions.len() - 1
        });
        (c, r)
    }

    /// A price for a region that [`region_mut`](Self::region_mut) found.
    pub(super) fn price_at(
        &mut self,
        place: &Place<'_>,
        at: (usize, usize),
        size: Option<u32>,
        price: &Price,
    ) -> bool {
        let home = &mut self.catalog.clouds[at.0].regions[at.1];
        let mut region = std::mem::replace(home, CatalogRegion::new(home.region.clone(), 0));
        let known = self.price(place, &mut region, size, price);
        self.catalog.clouds[at.0].regions[at.1] = region;
        known
    }

    pub(super) fn warn(&mut self, warning: Warning) {
        self.warnings.push(warning);
    }

    pub(super) fn add_source_of(&mut self, other: &Catalog, source: u16) -> Result<u16> {
        self.catalog.add_source_of(other, source)
    }

    /// Puts a price where it belongs. `false` if it is of an instance type whose size is unknown.
    fn price(
        &mut self,
        place: &Place<'_>,
        region: &mut CatalogRegion,
        size: Option<u32>,
        price: &Price,
    ) -> bool {
        let problem = if price.price.currency != self.catalog.currency {
            Some(format!(
                "it is in {}, the catalog in {}",
                price.price.currency, self.catalog.currency
            ))
        } else {
            check_price("it", price.price.amount).err().map(|e| e.message().to_owned())
        };
        if let Some(reason) = problem {
            self.price_left_out(place, region, price, reason);
            return true;
        }
        let amount = price.price.amount;
        let second =
            if price.resource_type == ResourceType::Compute && price.unit == PriceUnit::Hour {
                let Some(size) = size else {
                    return false;
                };
                let at = region.instances.partition_point(|o| o.instance_type < size);
                if region.instances.get(at).is_none_or(|o| o.instance_type != size) {
                    region.instances.insert(at, InstanceOffer::new(size, place.source));
                }
                let offer = &mut region.instances[at];
                let field = match price.purchase {
                    Purchase::OnDemand => &mut offer.on_demand,
                    Purchase::Spot => &mut offer.spot,
                    Purchase::Reserved => &mut offer.reserved,
                    _ => {
                        let reason = format!("the terms {:?} are unknown here", price.purchase);
                        self.price_left_out(place, region, price, reason);
                        return true;
                    }
                };
                match *field {
                    None => {
                        *field = Some(amount);
                        None
                    }
                    Some(first) => Some(first),
                }
            } else {
                let list = match price.resource_type {
                    ResourceType::Storage => &mut region.storage,
                    ResourceType::Database => &mut region.database,
                    _ => &mut region.other,
                };
                let same = |p: &&UnitPrice| {
                    (p.resource_type, p.sku.as_str(), p.unit, p.purchase)
                        == (price.resource_type, price.sku.as_str(), price.unit, price.purchase)
                };
                let first = list.iter().find(same).map(|p| p.price);
                if first.is_none() {
                    list.push(UnitPrice {
                        resource_type: price.resource_type,
                        sku: price.sku.clone(),
                        unit: price.unit,
                        purchase: price.purchase,
                        price: amount,
                        source: place.source,
                    });
                }
                first
            };
        if let Some(first) = second.filter(|first| *first != amount) {
            self.price_left_out(
                place,
                region,
                price,
                format!("it is {amount}, after {first} for the same"),
            );
        }
        true
    }

    fn price_left_out(
        &mut self,
        place: &Place<'_>,
        region: &CatalogRegion,
        price: &Price,
        reason: String,
    ) {
        self.warnings.push(Warning::PriceLeftOut {
            cloud: place.cloud.clone(),
            region: region.region.clone(),
            sku: price.sku.clone(),
            reason,
        });
    }
}

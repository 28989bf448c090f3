//! One region of one cloud as a place for one component: whether it suits, and at what price.

use std::collections::HashMap;

use cloud_core::{
    Decimal, InstanceSize, InstanceType, Location, Money, Price, PriceUnit, Purchase, Quota,
    Region, ResourceType,
};

use super::observe::{Observation, ObservedCloud, ObservedRegion};
use crate::workload::{OptimizeFor, Requirements, spec::Typed};

/// The hours of a month, as the providers count them.
const HOURS: u64 = 730;

/// A place that could be taken.
#[derive(Debug)]
pub(super) struct Candidate<'a> {
    pub(super) place: Location,
    pub(super) cloud: &'a ObservedCloud,
    /// `None` if the cloud did not say which regions it has; then it stands for all of them.
    pub(super) region: Option<&'a ObservedRegion>,
    /// Prices by the hour.
    hourly: HashMap<(ResourceType, &'a str, Purchase), &'a Money>,
    /// The least price for each other unit.
    rates: HashMap<(ResourceType, PriceUnit), &'a Money>,
}

/// What a component gets at a place.
#[derive(Clone, Debug, Default)]
pub(super) struct Offer {
    /// What one replica costs a month.
    pub(super) unit_cost: Option<Money>,
    /// What it costs by use, and for one of what, where there is no cost by the month.
    pub(super) rate: Option<(Money, &'static str)>,
    /// The type that the price is of.
    pub(super) instance_type: Option<String>,
    /// What one replica takes of the quotas, by their names.
    pub(super) takes: Vec<(&'static str, u64)>,
}

/// An instance type that fits, and its price by the hour.
#[derive(Clone, Debug)]
struct Fit {
    name: Option<String>,
    vcpu: u64,
    hourly: Option<Money>,
}

/// The fits that were found before: many components ask for the same size.
#[derive(Debug, Default)]
pub(super) struct Fits(HashMap<(Location, InstanceSize, Purchase), Result<Fit, String>>);

impl<'a> Candidate<'a> {
    /// All places, ordered.
    pub(super) fn all(observation: &'a Observation) -> Vec<Self> {
        let mut all = Vec::new();
        for cloud in &observation.clouds {
            match &cloud.regions {
                Ok(regions) => {
                    let regions = regions.iter().map(|region| Self::new(cloud, region));
                    all.extend(regions);
                }
                Err(_) => all.extend(Region::new("unknown").map(|unknown| Self {
                    place: Location::new(cloud.id.clone(), unknown),
                    cloud,
                    region: None,
                    hourly: HashMap::new(),
                    rates: HashMap::new(),
                })),
            }
        }
        all.sort_by(|a, b| a.place.cmp(&b.place));
        all
    }

    fn new(cloud: &'a ObservedCloud, region: &'a ObservedRegion) -> Self {
        let on_demand = |price: &&Price| price.purchase == Purchase::OnDemand;
        let mut rates: HashMap<_, &Money> = HashMap::new();
        for price in region.prices.iter().flatten().filter(on_demand) {
            let least = rates.entry((price.resource_type, price.unit)).or_insert(&price.price);
            if (&price.price.currency, price.price.amount) < (&least.currency, least.amount) {
                *least = &price.price;
            }
        }
        let prices = region.prices.iter().flatten();
        let hourly = prices.filter(|price| price.unit == PriceUnit::Hour);
        Self {
            rates,
            place: Location::new(cloud.id.clone(), region.info.region.clone()),
            cloud,
            region: Some(region),
            hourly: hourly
                .map(|p| ((p.resource_type, p.sku.as_str(), p.purchase), &p.price))
                .collect(),
        }
    }

    pub(super) fn quotas(&self) -> &'a [Quota] {
        self.region.and_then(|r| r.quotas.as_deref()).unwrap_or_default()
    }

    /// What a component gets here, or why it cannot be here.
    pub(super) fn offer(
        &self,
        requirements: &Requirements,
        spec: &Typed,
        fits: &mut Fits,
    ) -> Result<Offer, String> {
        let region = match (&self.region, &self.cloud.regions) {
            (Some(region), _) => region,
            (None, Err(error)) => return Err(format!("the cloud does not answer: {error}")),
            (None, Ok(_)) => return Err("the cloud has no such region".into()),
        };
        self.allows(requirements, region)?;
        spec.check(&self.cloud.capabilities).map_err(|e| e.message().to_owned())?;
        let offer = self.price(spec, region, fits)?;
        let by_cost = requirements.optimize_for == Some(OptimizeFor::Cost);
        if by_cost && has_price(spec) && offer.unit_cost.is_none() && offer.rate.is_none() {
            return Err("its price is unknown, and cost is to be optimised".into());
        }
        Ok(offer)
    }

    fn allows(&self, requirements: &Requirements, region: &ObservedRegion) -> Result<(), String> {
        let Location { cloud, region: code, .. } = &self.place;
        let r = requirements;
        if r.forbidden_clouds.contains(cloud) {
            return Err("the cloud is forbidden".into());
        }
        if !r.allowed_clouds.is_empty() && !r.allowed_clouds.contains(cloud) {
            return Err("the cloud is not among those allowed".into());
        }
        if r.forbidden_regions.contains(code) {
            return Err("the region is forbidden".into());
        }
        if !r.allowed_regions.is_empty() && !r.allowed_regions.contains(code) {
            return Err("the region is not among those allowed".into());
        }
        if !r.allowed_countries.is_empty() {
            let Some(country) = &region.info.country else {
                return Err("its country is unknown".into());
            };
            if !r.allowed_countries.iter().any(|c| c.eq_ignore_ascii_case(country)) {
                return Err(format!(
                    "it lies in {country}, which is not among the countries allowed"
                ));
            }
        }
        let attested = |regime: &&String| {
            region.info.compliance.iter().any(|a| a.eq_ignore_ascii_case(regime))
        };
        if let Some(missing) = r.compliance_requirements.iter().find(|regime| !attested(regime)) {
            return Err(format!("it is not attested for {missing}"));
        }
        match region.info.available {
            true => Ok(()),
            false => Err("the region is down".into()),
        }
    }

    fn price(
        &self,
        spec: &Typed,
        region: &ObservedRegion,
        fits: &mut Fits,
    ) -> Result<Offer, String> {
        Ok(match spec {
            Typed::Instance(spec) => {
                let zones = &region.info.zones;
                if let Some(zone) = &spec.zone
                    && !zones.is_empty()
                    && !zones.contains(zone)
                {
                    return Err(format!("it has no zone '{zone}'"));
                }
                let purchase = match spec.spot {
                    true => Purchase::Spot,
                    false => Purchase::OnDemand,
                };
                let fit = self.fit(&spec.size, purchase, region, fits)?;
                Offer {
                    unit_cost: fit.hourly.as_ref().and_then(|price| monthly(price, 1)),
                    instance_type: fit.name,
                    takes: vec![(Quota::VCPU, fit.vcpu), (Quota::INSTANCES, 1)],
                    rate: None,
                }
            }
            Typed::Database(spec) => Offer {
                unit_cost: self
                    .cheapest(ResourceType::Database, spec.instance_type.as_deref())
                    .and_then(|price| monthly(price, 1)),
                takes: vec![(Quota::DATABASES, 1)],
                ..Offer::default()
            },
            Typed::Cluster(spec) => {
                let mut cost = self
                    .cheapest(ResourceType::Container, None)
                    .and_then(|price| monthly(price, 1));
                let mut vcpu = 0u64;
                for pool in &spec.node_pools {
                    let fit = self.fit(&pool.size, Purchase::OnDemand, region, fits)?;
                    let nodes = fit.hourly.as_ref().and_then(|p| monthly(p, u64::from(pool.count)));
                    cost = cost.zip(nodes).and_then(|(a, b)| a.checked_add(&b).ok());
                    vcpu = vcpu.saturating_add(fit.vcpu.saturating_mul(u64::from(pool.count)));
                }
                Offer {
                    unit_cost: cost,
                    takes: vec![(Quota::VCPU, vcpu), (Quota::CLUSTERS, 1)],
                    ..Offer::default()
                }
            }
            Typed::Bucket(_) => {
                let rate = self.rates.get(&(ResourceType::Storage, PriceUnit::GibMonth));
                by_use(Quota::BUCKETS, rate.map(|price| ((*price).clone(), "GiB and month")))
            }
            Typed::Network(_) => by_use(Quota::NETWORKS, None),
            Typed::Function(_) => {
                let rate = self.rates.get(&(ResourceType::Serverless, PriceUnit::MillionRequests));
                by_use(Quota::FUNCTIONS, rate.map(|price| ((*price).clone(), "million calls")))
            }
        })
    }

    /// The price of an item, or of the cheapest of its family.
    fn cheapest(&self, family: ResourceType, sku: Option<&str>) -> Option<&'a Money> {
        match sku {
            Some(sku) => self.hourly.get(&(family, sku, Purchase::OnDemand)).copied(),
            None => self.rates.get(&(family, PriceUnit::Hour)).copied(),
        }
    }

    fn fit(
        &self,
        size: &InstanceSize,
        purchase: Purchase,
        region: &ObservedRegion,
        fits: &mut Fits,
    ) -> Result<Fit, String> {
        let key = (self.place.clone(), size.clone(), purchase);
        let found = fits.0.entry(key);
        found.or_insert_with(|| self.find_fit(size, purchase, region)).clone()
    }

    /// The cheapest type that fits; without prices, the smallest.
    fn find_fit(
        &self,
        size: &InstanceSize,
        purchase: Purchase,
        region: &ObservedRegion,
    ) -> Result<Fit, String> {
        let types = region.instance_types.as_deref().unwrap_or_default();
        let hourly = |name: &str| {
            let key = (ResourceType::Compute, name, purchase);
            self.hourly.get(&key).map(|price| (*price).clone())
        };
        match size {
            InstanceSize::Exact(name) => match types.iter().find(|t| t.name == *name) {
                None if !types.is_empty() => Err(format!("it has no instance type '{name}'")),
                found => Ok(Fit {
                    name: Some(name.clone()),
                    vcpu: found.map_or(0, |t| u64::from(t.vcpu)),
                    hourly: hourly(name),
                }),
            },
            InstanceSize::AtLeast { vcpu, memory, gpu } => {
                // A program for one architecture does not run on another: others are taken by exact name only.
                let usual =
                    |t: &&InstanceType| t.architecture.as_deref().is_none_or(|a| a == "x86_64");
                let fits = |t: &&InstanceType| {
                    t.vcpu >= *vcpu && t.memory >= *memory && t.gpu >= *gpu && usual(t)
                };
                let rank = |t: &&InstanceType| {
                    let price = hourly(&t.name).map(|price| (price.currency, price.amount));
                    (price.is_none(), price, t.vcpu, t.memory, t.name.clone())
                };
                match types.iter().filter(fits).min_by_key(rank) {
                    Some(t) => Ok(Fit {
                        name: Some(t.name.clone()),
                        vcpu: u64::from(t.vcpu),
                        hourly: hourly(&t.name),
                    }),
                    // Which types there are is unknown: the cloud itself will choose.
                    None if types.is_empty() => {
                        Ok(Fit { name: None, vcpu: u64::from(*vcpu), hourly: None })
                    }
                    None => Err(format!(
                        "it has no instance type with {vcpu} vCPU, {memory} of memory and {gpu} GPU"
                    )),
                }
            }
        }
    }
}

/// Whether things of this kind have a price; networks have none of their own.
pub(super) fn has_price(spec: &Typed) -> bool {
    !matches!(spec, Typed::Network(_))
}

fn by_use(quota: &'static str, rate: Option<(Money, &'static str)>) -> Offer {
    Offer { rate, takes: vec![(quota, 1)], ..Offer::default() }
}

/// So many of an hourly price, for a month.
fn monthly(hourly: &Money, count: u64) -> Option<Money> {
    let hours = HOURS.checked_mul(count)?;
    hourly.checked_mul(Decimal::from(hours)).ok()
}

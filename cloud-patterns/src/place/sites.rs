//! The catalog as arrays: regions, types, prices and limits by index, in the solver's units.

use std::{collections::HashMap, sync::OnceLock};

use cloud_core::{
    Capabilities, CloudId, Decimal, Error, Location, Money, PriceUnit, Provider, Purchase, Quota,
    Region, ResourceType, Result, Zone,
};

use super::{
    Reason, Request,
    amount::{HOURS, MOST, micro},
    blocks::Block,
    filter::Bits,
};
use crate::{
    catalog::{self, Catalog, CatalogRegion, LatencyMatrix, RoundTrip, Tiers},
    workload::{Point, Target},
};

/// A price that is not known.
pub(super) const UNKNOWN: i64 = -1;
/// What is not on offer.
pub(super) const ABSENT: i64 = i64::MIN;

/// All places, and what is known of them.
pub(super) struct Sites<'a> {
    pub(super) catalog: &'a Catalog,
    pub(super) clouds: Vec<CloudRow<'a>>,
    /// Ordered by place.
    pub(super) sites: Vec<SiteRow<'a>>,
    /// The sites of a region's code: several clouds may use one.
    pub(super) by_region: HashMap<Region, Bits>,
    pub(super) limits: Vec<LimitRow>,
    pub(super) targets: Vec<Target>,
    /// The round trip of each target to each site.
    to_targets: Vec<Vec<Option<RoundTrip>>>,
    matrix: OnceLock<LatencyMatrix>,
}

/// A cloud.
pub(super) struct CloudRow<'a> {
    pub(super) id: &'a CloudId,
    pub(super) provider: Provider,
    /// What it can do; `None` if that is not known, and then all is tried.
    pub(super) capabilities: Option<&'a Capabilities>,
    /// Its types by virtual CPUs, memory and name.
    pub(super) types: Vec<TypeRow<'a>>,
}

/// An instance type.
pub(super) struct TypeRow<'a> {
    /// Its index in the catalog.
    pub(super) index: u32,
    pub(super) name: &'a str,
    pub(super) vcpu: u32,
    pub(super) memory: cloud_core::ByteSize,
    pub(super) gpu: u32,
    pub(super) architecture: Option<&'a catalog::Architecture>,
}

/// A region of a cloud.
pub(super) struct SiteRow<'a> {
    pub(super) cloud: u32,
    pub(super) place: Location,
    /// `None` if the cloud does not say which regions it has; then it stands for all of them.
    pub(super) region: Option<&'a CatalogRegion>,
    pub(super) country: Option<&'a str>,
    pub(super) residency: &'a [String],
    pub(super) compliance: &'a [String],
    pub(super) zones: &'a [Zone],
    /// Those that are not blocked.
    pub(super) free_zones: Vec<Zone>,
    /// Why nothing can be put there.
    pub(super) closed: Option<Reason>,
    /// Whether it is known which types are on offer.
    pub(super) types_known: bool,
    /// What a month of each of the cloud's types costs: on demand, spot, reserved. [`ABSENT`] if it is not on offer.
    pub(super) prices: Vec<[i64; 3]>,
    /// The limits that hold here: index and name.
    pub(super) limits: Vec<u32>,
}

/// A limit, and what is left of it.
#[derive(Clone, Debug)]
pub(super) struct LimitRow {
    pub(super) name: String,
    pub(super) cloud: u32,
    /// `None` for the whole account.
    pub(super) site: Option<u32>,
    pub(super) left: i64,
}

impl<'a> Sites<'a> {
    pub(super) fn new(request: &'a Request<'a>, blocks: &[&Block]) -> Result<Self> {
        let catalog = request.catalog;
        let mut sites = Self {
            catalog,
            clouds: Vec::new(),
            sites: Vec::new(),
            by_region: HashMap::new(),
            limits: Vec::new(),
            targets: Vec::new(),
            to_targets: Vec::new(),
            matrix: OnceLock::new(),
        };
        for cloud in &catalog.clouds {
            let index = sites.clouds.len() as u32;
            let (types, local) = types_of(catalog, cloud);
            sites.clouds.push(CloudRow {
                id: &cloud.id,
                provider: cloud.provider,
                capabilities: None,
                types,
            });
            let own: Vec<u32> = (cloud.quotas.iter())
                .filter_map(|quota| sites.limit(request, index, None, quota))
                .collect();
            for region in &cloud.regions {
                let site = sites.sites.len() as u32;
                let mut row = site_row(cloud, index, region, &local);
                row.closed = closed(request, &row.place, region.available);
                row.limits.clone_from(&own);
                let of_region = region.quotas.iter();
                row.limits.extend(
                    of_region.filter_map(|quota| sites.limit(request, index, Some(site), quota)),
                );
                close_blocked_zones(&mut row, cloud.provider, blocks);
                sites.sites.push(row);
            }
        }
        sites.learn_from(request);
        for (s, row) in sites.sites.iter().enumerate() {
            let count = sites.sites.len();
            let of_code = sites.by_region.entry(row.place.region.clone());
            of_code.or_insert_with(|| Bits::none(count)).insert(s);
        }
        Ok(sites)
    }

    /// What the clouds say they can do, and those that do not answer.
    fn learn_from(&mut self, request: &'a Request<'a>) {
        for observed in request.observation.iter().flat_map(|o| &o.clouds) {
            let index = match self.clouds.iter().position(|cloud| *cloud.id == observed.id) {
                Some(index) => index,
                None => {
                    self.clouds.push(CloudRow {
                        id: &observed.id,
                        provider: observed.provider,
                        capabilities: None,
                        types: Vec::new(),
                    });
                    self.clouds.len() - 1
                }
            };
            self.clouds[index].capabilities = Some(&observed.capabilities);
            let Err(error) = &observed.regions else {
                continue;
            };
            let reason = Reason::CloudSilent(error.clone());
            let mut known = false;
            for row in self.sites.iter_mut().filter(|row| row.cloud as usize == index) {
                row.closed = Some(reason.clone());
                known = true;
            }
            if let (false, Ok(unknown)) = (known, Region::new("unknown")) {
                self.sites.push(SiteRow {
                    cloud: index as u32,
                    place: Location::new(observed.id.clone(), unknown),
                    region: None,
                    country: None,
                    residency: &[],
                    compliance: &[],
                    zones: &[],
                    free_zones: Vec::new(),
                    closed: Some(reason),
                    types_known: false,
                    prices: Vec::new(),
                    limits: Vec::new(),
                });
            }
        }
    }

    /// Counts what is left of a quota; `None` if the provider does not say what is used.
    fn limit(
        &mut self,
        request: &Request<'_>,
        cloud: u32,
        site: Option<u32>,
        quota: &Quota,
    ) -> Option<u32> {
        let id = self.clouds[cloud as usize].id;
        let in_flight = request.in_flight.iter().filter(|taken| {
            taken.quota == quota.name && taken.cloud == *id && taken.region == quota.region
        });
        let taken: u64 = in_flight.map(|taken| taken.amount).fold(0, u64::saturating_add);
        let left = quota.available()?.saturating_sub(taken);
        self.limits.push(LimitRow {
            name: quota.name.clone(),
            cloud,
            site,
            left: i64::try_from(left).unwrap_or(i64::MAX),
        });
        Some(self.limits.len() as u32 - 1)
    }

    /// The site of a place, whatever its zone.
    pub(super) fn find(&self, place: &Location) -> Option<u32> {
        let sites = self.by_region.get(&place.region)?;
        let found = sites.iter().find(|s| self.sites[*s].place.cloud == place.cloud);
        found.map(|s| s as u32)
    }

    /// A budget in the solver's units.
    pub(super) fn budget(&self, budget: &Money) -> Result<i64> {
        if budget.currency != self.catalog.currency {
            let problem = format_args!("is in {}", budget.currency);
            let accepted = format_args!("{}, the currency of the catalog", self.catalog.currency);
            return Err(Error::invalid("budget", problem, accepted));
        }
        if budget.amount < Decimal::ZERO {
            return Err(Error::invalid("budget", format_args!("is {budget}"), "at least 0"));
        }
        // More than the solver can add up is no limit to it.
        Ok(budget
            .amount
            .checked_mul(Decimal::from(1_000_000))
            .and_then(|micro| {
                i64::try_from(micro.trunc().mantissa() / 10i128.pow(micro.trunc().scale())).ok()
            })
            .unwrap_or(i64::MAX / 4)
            .min(i64::MAX / 4))
    }

    /// The usual name of a regime.
    ///
    /// # Errors
    /// [`InvalidInput`](cloud_core::ErrorKind::InvalidInput), naming those known.
    pub(super) fn regime(&self, text: &str) -> Result<String> {
        self.catalog.regime(text).map_err(|_| {
            let known: Vec<&str> = self.catalog.known_regimes().into_iter().collect();
            let problem = format!("has the unknown regime '{}'", text.escape_debug());
            Error::invalid("requirements.compliance_requirements", problem, known.join(", "))
        })
    }

    /// Checks the names of countries and blocs. Any country's code will do, whether a region lies there or not.
    ///
    /// # Errors
    /// [`InvalidInput`](cloud_core::ErrorKind::InvalidInput), naming what is known.
    pub(super) fn check_residency(&self, wanted: &[String]) -> Result<()> {
        for name in wanted {
            let code = name.len() == 2 && name.bytes().all(|b| b.is_ascii_alphabetic());
            if !code && self.catalog.residency(name).is_err() {
                let blocs: Vec<&str> = self.catalog.known_blocs().into_iter().collect();
                let problem = format!("has the unknown '{}'", name.escape_debug());
                let accepted = format!("{}, ISO 3166-1 codes of two letters", blocs.join(", "));
                return Err(Error::invalid("requirements.residency", problem, accepted));
            }
        }
        Ok(())
    }

    /// Whether a site lies in one of some countries and blocs; `None` if its country is unknown.
    pub(super) fn lies_in(&self, s: usize, wanted: &[String]) -> Option<bool> {
        let row = &self.sites[s];
        lies_in(row.country, row.residency, wanted)
    }

    /// The index of a target.
    ///
    /// # Errors
    /// [`InvalidInput`](cloud_core::ErrorKind::InvalidInput), naming what is known, for one that is neither region nor city.
    pub(super) fn target(&mut self, target: &Target) -> Result<u32> {
        if let Some(found) = self.targets.iter().position(|known| known == target) {
            return Ok(found as u32);
        }
        let row = match target {
            Target::Point(Point { latitude, longitude }) => {
                self.rtts(|c, place| c.point_round_trip((*latitude, *longitude), place))
            }
            Target::Named(name) => {
                let region = Region::new(name.as_str()).ok();
                let own = region.and_then(|region| self.by_region.get(&region)).cloned();
                match (own, self.catalog.city(name)) {
                    (Some(sites), _) => self.rtts_to_region(&sites),
                    (None, Ok(city)) => self.rtts(|c, place| c.city_round_trip(city, place)),
                    (None, Err(_)) => return Err(self.unknown_target(name)),
                }
            }
        };
        self.targets.push(target.clone());
        self.to_targets.push(row);
        Ok(self.targets.len() as u32 - 1)
    }

    fn unknown_target(&self, name: &str) -> Error {
        let mut known: Vec<_> = self.sites.iter().map(|row| row.place.region.as_str()).collect();
        known.sort_unstable();
        known.dedup();
        let more = if known.len() > 20 { ", …" } else { "" };
        known.truncate(20);
        let cities = match self.catalog.cities.is_empty() {
            true => "",
            false => ", the name of a city, or coordinates",
        };
        let problem = format!("is '{}', which no cloud has", name.escape_debug());
        let accepted = format!("{}{more}{cities}", known.join(", "));
        Error::invalid("requirements.target_region", problem, accepted)
    }

    fn rtts(
        &self,
        of: impl Fn(&Catalog, &Location) -> Option<RoundTrip>,
    ) -> Vec<Option<RoundTrip>> {
        self.sites.iter().map(|row| of(self.catalog, &row.place)).collect()
    }

    /// The round trips to a region; to that of the same cloud, if several clouds have one of this code.
    fn rtts_to_region(&self, own: &Bits) -> Vec<Option<RoundTrip>> {
        let to = |s: usize| {
            if own.contains(s) {
                // Within the region itself, as far as nobody measured otherwise.
                return self.rtt(s, s).or(Some(RoundTrip::estimated(0.0)));
            }
            let same = |o: &usize| self.sites[*o].cloud == self.sites[s].cloud;
            let trips = own.iter().filter(same).chain(own.iter()).filter_map(|o| self.rtt(s, o));
            trips.into_iter().next()
        };
        (0..self.sites.len()).map(to).collect()
    }

    /// The round trip between two sites. Measured from either end it should be the same; if it is not, the longer one counts.
    pub(super) fn rtt(&self, a: usize, b: usize) -> Option<RoundTrip> {
        let matrix = self.matrix.get_or_init(|| {
            let places: Vec<_> = self.sites.iter().map(|row| row.place.clone()).collect();
            self.catalog.matrix(&places)
        });
        let (there, back) = (matrix.get(a, b)?, matrix.get(b, a)?);
        Some(if back.ms > there.ms { back } else { there })
    }

    /// The round trip between a site and a target.
    pub(super) fn rtt_to(&self, target: u32, s: usize) -> Option<RoundTrip> {
        self.to_targets[target as usize][s]
    }

    /// The price of traffic from one site to another; `Some(None)` if it is free, `None` if it is unknown. Within a region it is
    /// priced as within a zone: free, unless the catalog says otherwise.
    pub(super) fn egress(&self, from: usize, to: usize) -> Option<Egress<'a>> {
        let (a, b) = (&self.sites[from], &self.sites[to]);
        let egress = &a.region?.egress;
        if from == to {
            return Some(Egress::Flat(egress.same_zone.unwrap_or(Decimal::ZERO)));
        }
        let tiers = match a.cloud == b.cloud {
            true => egress.to(&b.place.region),
            false => egress.to_other_cloud(),
        };
        tiers.map(Egress::Tiers)
    }

    /// What so much traffic to the internet costs; `None` if that is unknown.
    pub(super) fn internet_cost(&self, s: usize, gib: f64) -> Option<Decimal> {
        let tiers = self.sites[s].region?.egress.internet.as_ref()?;
        Some(tiers.cost(Decimal::from_f64_retain(gib)?))
    }

    /// An instance type of a site's cloud.
    pub(super) fn type_of(&self, s: usize, kind: u32) -> Option<&TypeRow<'a>> {
        self.clouds[self.sites[s].cloud as usize].types.get(kind as usize)
    }
}

/// What traffic costs.
#[derive(Clone, Copy, Debug)]
pub(super) enum Egress<'a> {
    Flat(Decimal),
    Tiers(&'a Tiers),
}

impl Egress<'_> {
    pub(super) fn cost(&self, gib: Decimal) -> Decimal {
        match self {
            Self::Flat(price) => price.saturating_mul(gib),
            Self::Tiers(tiers) => tiers.cost(gib),
        }
    }

    /// The price of the first GiB, and how far it holds.
    pub(super) fn first(&self) -> (Decimal, Option<Decimal>) {
        match self {
            Self::Flat(price) => (*price, None),
            Self::Tiers(tiers) => match tiers.tiers().first() {
                Some(first) => (first.price, first.up_to),
                None => (Decimal::ZERO, None),
            },
        }
    }
}

/// Whether a country, or a bloc that it belongs to, is among those wanted; `None` if neither is known.
pub(super) fn lies_in(country: Option<&str>, blocs: &[String], wanted: &[String]) -> Option<bool> {
    let mut own = country.into_iter().chain(blocs.iter().map(String::as_str)).peekable();
    own.peek()?;
    Some(own.any(|own| wanted.iter().any(|wanted| wanted.eq_ignore_ascii_case(own))))
}

impl SiteRow<'_> {
    /// What a month of an item, or of the cheapest of its family, costs.
    pub(super) fn cheapest(&self, family: ResourceType, sku: Option<&str>) -> i64 {
        let hourly = self.unit_prices(family, PriceUnit::Hour);
        let hourly = hourly.filter(|price| sku.is_none_or(|sku| price.sku == sku));
        hourly.map(|price| monthly(price.price)).min().unwrap_or(UNKNOWN)
    }

    /// What a GiB costs a month.
    pub(super) fn gib_month(&self, family: ResourceType) -> Option<Decimal> {
        self.unit_prices(family, PriceUnit::GibMonth).map(|price| price.price).min()
    }

    /// What a million calls cost.
    pub(super) fn million_requests(&self) -> Option<Decimal> {
        let prices = self.unit_prices(ResourceType::Serverless, PriceUnit::MillionRequests);
        prices.map(|price| price.price).min()
    }

    fn unit_prices(
        &self,
        family: ResourceType,
        unit: PriceUnit,
    ) -> impl Iterator<Item = &catalog::UnitPrice> {
        let prices = self.region.map(|region| match family {
            ResourceType::Storage => &region.storage,
            ResourceType::Database => &region.database,
            _ => &region.other,
        });
        prices.into_iter().flatten().filter(move |price| {
            price.resource_type == family
                && price.unit == unit
                && price.purchase == Purchase::OnDemand
        })
    }
}

/// What a month at an hourly price costs, in millionths.
fn monthly(hourly: Decimal) -> i64 {
    // A catalog has tens of thousands of prices, nearly all of few digits.
    if let (Ok(mantissa @ 0..0x1_0000_0000), scale @ 0..=6) =
        (i64::try_from(hourly.mantissa()), hourly.scale())
    {
        let month = mantissa * i64::from(HOURS) * 10i64.pow(6 - scale);
        return if month <= MOST { month } else { UNKNOWN };
    }
    let month = hourly.checked_mul(Decimal::from(HOURS)).and_then(micro);
    month.filter(|micro| (0..=MOST).contains(micro)).unwrap_or(UNKNOWN)
}

/// The types that a cloud offers anywhere, in order, and where each of the catalog's stands among them.
fn types_of<'a>(
    catalog: &'a Catalog,
    cloud: &catalog::CatalogCloud,
) -> (Vec<TypeRow<'a>>, Vec<u32>) {
    let mut offered = vec![false; catalog.types.len()];
    for offer in cloud.regions.iter().flat_map(|region| &region.instances) {
        if let Some(offered) = offered.get_mut(offer.instance_type as usize) {
            *offered = true;
        }
    }
    let mut order: Vec<usize> = (0..offered.len()).filter(|i| offered[*i]).collect();
    let key = |i: &usize| {
        let kind = &catalog.types[*i];
        (kind.vcpu, kind.memory, kind.name.as_str())
    };
    order.sort_unstable_by(|a, b| key(a).cmp(&key(b)));
    let mut local = vec![u32::MAX; catalog.types.len()];
    for (at, i) in order.iter().enumerate() {
        local[*i] = at as u32;
    }
    let rows = order.into_iter().map(|i| {
        let kind = &catalog.types[i];
        TypeRow {
            index: i as u32,
            name: &kind.name,
            vcpu: kind.vcpu,
            memory: kind.memory,
            gpu: kind.gpu,
            architecture: kind.architecture.as_ref(),
        }
    });
    (rows.collect(), local)
}

fn site_row<'a>(
    cloud: &'a catalog::CatalogCloud,
    index: u32,
    region: &'a CatalogRegion,
    local: &[u32],
) -> SiteRow<'a> {
    let offered = local.iter().filter(|at| **at != u32::MAX).count();
    let mut prices = vec![[ABSENT; 3]; offered];
    for offer in &region.instances {
        let Some(at) = local.get(offer.instance_type as usize) else {
            continue;
        };
        let price = |hourly: Option<Decimal>| hourly.map_or(UNKNOWN, monthly);
        prices[*at as usize] = [offer.on_demand, offer.spot, offer.reserved].map(price);
    }
    SiteRow {
        cloud: index,
        place: Location::new(cloud.id.clone(), region.region.clone()),
        region: Some(region),
        country: region.country.as_deref(),
        residency: &region.residency,
        compliance: &region.compliance,
        zones: &region.zones,
        free_zones: region.zones.clone(),
        closed: None,
        types_known: !region.instances.is_empty(),
        prices,
        limits: Vec::new(),
    }
}

fn closed(request: &Request<'_>, place: &Location, available: bool) -> Option<Reason> {
    match request.excluded.get(place) {
        Some(why) => Some(Reason::Excluded(why.clone())),
        None if !available => Some(Reason::RegionDown),
        None => None,
    }
}

/// Blocks of all types close a region or a zone of it; those of one type are minded where types are chosen.
fn close_blocked_zones(row: &mut SiteRow<'_>, provider: Provider, blocks: &[&Block]) {
    let Location { cloud, region, .. } = row.place.clone();
    for block in blocks.iter().filter(|block| block.instance_type.is_none()) {
        if let Some(zone) = block.zone_of(&cloud, &region) {
            row.free_zones.retain(|free| free != zone);
        }
        let none_free = row.free_zones.is_empty() && !row.zones.is_empty();
        if row.closed.is_none() && (block.covers(provider, &cloud, &region) || none_free) {
            let why = block.why.clone();
            row.closed = Some(Reason::Blocked { until: block.until, why });
        }
    }
}

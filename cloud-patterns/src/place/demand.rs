//! What a component needs of a place, whatever the place, and the ways in which each place meets it.

use std::{collections::HashMap, ops::Range};

use cloud_core::{ByteSize, InstanceSize, Location, Purchase, Quota, ResourceType};
use jiff::Timestamp;

use super::{
    Reason,
    amount::micro,
    blocks::Block,
    policy::{Candidate, Policy, Surcharge},
    sites::{ABSENT, SiteRow, Sites, TypeRow, UNKNOWN},
};
use crate::{
    catalog,
    workload::{Architecture, Component, SpotUse, spec::Typed},
};

/// That a way is bound to no instance type.
pub(super) const NO_TYPE: u32 = u32::MAX;

/// What is needed; equal ones are met once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Demand {
    /// The index of the typed spec.
    pub(super) spec: u32,
    pub(super) architecture: Option<Architecture>,
    pub(super) spot: SpotUse,
    pub(super) purchase: Purchase,
    pub(super) expected_size: Option<ByteSize>,
    /// Whether a place of unknown price is none.
    pub(super) priced: bool,
}

/// One way to get it at a place, for one replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Way {
    /// The instance type, by its index in the cloud's; [`NO_TYPE`] if there is none, or the cloud chooses.
    pub(super) kind: u32,
    pub(super) purchase: Purchase,
    /// What a month costs, in millionths; [`UNKNOWN`] if that is not known.
    pub(super) cost: i64,
    /// What it costs by use, for one of its unit.
    pub(super) rate: i64,
    /// What counts on top of the cost.
    pub(super) surcharge: i64,
    /// What it takes of the quota of virtual CPUs.
    pub(super) vcpu: u32,
}

impl Way {
    fn new(cost: i64) -> Self {
        let purchase = Purchase::OnDemand;
        Self { kind: NO_TYPE, purchase, cost, rate: 0, surcharge: 0, vcpu: 0 }
    }

    pub(super) fn of_type(kind: u32, purchase: Purchase, cost: i64, vcpu: u32) -> Self {
        Self { kind, purchase, vcpu, ..Self::new(cost) }
    }

    /// Its cost as it counts; `None` if unknown.
    pub(super) fn counted(&self) -> Option<i64> {
        (self.cost != UNKNOWN).then(|| self.cost + self.rate + self.surcharge)
    }
}

/// The ways at every site: the Pareto front of counted cost and virtual CPUs.
#[derive(Debug, Default)]
pub(super) struct Ways {
    all: Vec<Way>,
    /// For each site its part of `all`.
    sites: Vec<Range<u32>>,
}

impl Ways {
    pub(super) fn at(&self, site: usize) -> &[Way] {
        let Range { start, end } = self.sites[site].clone();
        &self.all[start as usize..end as usize]
    }

    /// The index of the first way at a site; the ways are counted through all sites.
    pub(super) fn first(&self, site: usize) -> u32 {
        self.sites[site].start
    }

    pub(super) fn way(&self, index: u32) -> &Way {
        &self.all[index as usize]
    }
}

/// The policies that are asked about one component.
pub(super) struct Steps<'a> {
    pub(super) component: &'a Component,
    pub(super) policies: Vec<&'a dyn Policy>,
}

/// What ways are looked for with.
pub(super) struct Fitter<'s, 'a> {
    pub(super) sites: &'s Sites<'a>,
    /// The blocks that hold now.
    pub(super) blocks: &'s [&'a Block],
}

/// The indices of the types of a cloud that fit, for each cloud.
type Fits = Vec<Vec<u32>>;

impl Fitter<'_, '_> {
    /// The ways to meet a demand, everywhere.
    pub(super) fn ways(&self, demand: &Demand, spec: &Typed, steps: Option<&Steps<'_>>) -> Ways {
        let fits = match spec {
            Typed::Instance(instance) => self.fits(&instance.size, demand.architecture),
            _ => Vec::new(),
        };
        let pools: Vec<Fits> = match spec {
            Typed::Cluster(cluster) => {
                let pools = cluster.node_pools.iter();
                pools.map(|pool| self.fits(&pool.size, demand.architecture)).collect()
            }
            _ => Vec::new(),
        };
        let mut ways = Ways::default();
        let mut found = Vec::new();
        for (s, site) in self.sites.sites.iter().enumerate() {
            found.clear();
            if site.region.is_some() {
                match spec {
                    Typed::Instance(instance) => {
                        let fits = &fits[site.cloud as usize];
                        self.instance_ways(demand, &instance.size, site, fits, steps, &mut found);
                    }
                    Typed::Cluster(cluster) => {
                        found.extend(self.cluster_way(demand, cluster, site, &pools));
                    }
                    _ => found.extend(self.simple_way(demand, spec, s)),
                }
                if !matches!(spec, Typed::Instance(_)) {
                    if self.blocked(site, None).is_some() {
                        found.clear();
                    }
                    found.retain(|way| !demand.priced || way.cost != UNKNOWN);
                    if let Some(steps) = steps {
                        found.retain_mut(|way| steps.apply(self.sites, site, way).is_ok());
                    }
                }
            }
            let start = ways.all.len() as u32;
            ways.all.extend_from_slice(&found);
            ways.sites.push(start..ways.all.len() as u32);
        }
        ways
    }

    /// The block that leaves a type out of a whole site.
    pub(super) fn blocked(
        &self,
        site: &SiteRow<'_>,
        kind: Option<&str>,
    ) -> Option<(Timestamp, String)> {
        let Location { cloud, region, .. } = &site.place;
        let provider = self.sites.clouds[site.cloud as usize].provider;
        let mut zones: Vec<_> = Vec::new();
        for block in self.blocks.iter().filter(|block| block.concerns(kind)) {
            let found = (block.until, block.why.clone());
            if block.covers(provider, cloud, region) {
                return Some(found);
            }
            if let Some(zone) = block.zone_of(cloud, region) {
                zones.push((zone, found));
            }
        }
        // All zones blocked one by one are the region blocked, until the first is free again.
        let all = !site.zones.is_empty()
            && site.zones.iter().all(|zone| zones.iter().any(|(blocked, _)| *blocked == zone));
        let earliest = zones.into_iter().map(|(_, found)| found).min();
        earliest.filter(|_| all)
    }

    fn fits(&self, size: &InstanceSize, architecture: Option<Architecture>) -> Fits {
        let clouds = self.sites.clouds.iter();
        clouds
            .map(|cloud| {
                let types = cloud.types.iter().enumerate();
                let fitting = types.filter(|(_, kind)| fits(size, architecture, kind));
                fitting.map(|(i, _)| i as u32).collect()
            })
            .collect()
    }

    fn instance_ways(
        &self,
        demand: &Demand,
        size: &InstanceSize,
        site: &SiteRow<'_>,
        fits: &[u32],
        steps: Option<&Steps<'_>>,
        found: &mut Vec<Way>,
    ) {
        let cloud = &self.sites.clouds[site.cloud as usize];
        let can_spot = cloud.capabilities.and_then(|c| c.compute.as_ref()).is_none_or(|c| c.spot);
        let terms = terms(demand, can_spot);
        if !site.types_known {
            // Which types there are is unknown: the cloud itself will choose.
            let (kind, vcpu) = match size {
                InstanceSize::AtLeast { vcpu, .. } => (NO_TYPE, *vcpu),
                InstanceSize::Exact(_) => (NO_TYPE, 0),
            };
            let purchase = terms.first().copied().unwrap_or_default();
            let mut way = Way { kind, purchase, vcpu, ..Way::new(UNKNOWN) };
            let allowed = self.blocked(site, None).is_none()
                && steps.is_none_or(|steps| steps.apply(self.sites, site, &mut way).is_ok());
            if !demand.priced && allowed {
                found.push(way);
            }
            return;
        }
        let mut best = i64::MAX;
        let mut unpriced: Option<Way> = None;
        for kind in fits {
            let prices = &site.prices[*kind as usize];
            if prices[0] == ABSENT {
                continue;
            }
            // Types come by virtual CPUs: a later one is worth a look only if it is cheaper, or as large and cheaper.
            let worth = |cost: i64| match cost {
                UNKNOWN => !demand.priced && unpriced.is_none(),
                cost => cost < best,
            };
            if !terms.iter().any(|purchase| worth(prices[slot(*purchase)])) {
                continue;
            }
            let row = &cloud.types[*kind as usize];
            if !self.blocks.is_empty() && self.blocked(site, Some(row.name)).is_some() {
                continue;
            }
            for purchase in terms {
                let cost = prices[slot(*purchase)];
                let mut way =
                    Way { kind: *kind, purchase: *purchase, vcpu: row.vcpu, ..Way::new(cost) };
                if cost == UNKNOWN {
                    let allowed = !demand.priced && unpriced.is_none();
                    if allowed && steps.is_none_or(|s| s.apply(self.sites, site, &mut way).is_ok())
                    {
                        unpriced = Some(way);
                    }
                    continue;
                }
                if cost >= best {
                    continue;
                }
                if let Some(steps) = steps
                    && steps.apply(self.sites, site, &mut way).is_err()
                {
                    continue;
                }
                let counted = way.counted().unwrap_or(i64::MAX);
                if counted >= best {
                    continue;
                }
                best = counted;
                if found.last().is_some_and(|last| last.vcpu == way.vcpu) {
                    found.pop();
                }
                found.push(way);
            }
        }
        if found.is_empty() {
            found.extend(unpriced);
        }
    }

    fn cluster_way(
        &self,
        demand: &Demand,
        cluster: &cloud_core::ClusterSpec,
        site: &SiteRow<'_>,
        pools: &[Fits],
    ) -> Option<Way> {
        let base = site.cheapest(ResourceType::Container, None);
        let mut way = Way::new(base);
        for (pool, fits) in cluster.node_pools.iter().zip(pools) {
            let mut nodes = Vec::new();
            let any = Demand { priced: false, spot: SpotUse::Never, ..*demand };
            let fits = &fits[site.cloud as usize];
            self.instance_ways(&any, &pool.size, site, fits, None, &mut nodes);
            let cheapest =
                nodes.iter().min_by_key(|way| (way.counted().unwrap_or(i64::MAX), way.vcpu))?;
            let count = i64::from(pool.count);
            way.vcpu = way.vcpu.saturating_add(cheapest.vcpu.saturating_mul(pool.count));
            way.cost = match (way.cost, cheapest.cost) {
                (UNKNOWN, _) | (_, UNKNOWN) => UNKNOWN,
                (sum, node) => sum.saturating_add(node.saturating_mul(count)),
            };
        }
        Some(way)
    }

    fn simple_way(&self, demand: &Demand, spec: &Typed, s: usize) -> Option<Way> {
        let site = &self.sites.sites[s];
        Some(match spec {
            Typed::Database(spec) => {
                let server = site.cheapest(ResourceType::Database, spec.instance_type.as_deref());
                let disk = site.gib_month(ResourceType::Database);
                match (server, disk) {
                    (UNKNOWN, _) | (_, None) => Way::new(server),
                    (server, Some(gib)) => {
                        Way::new(server.saturating_add(for_size(gib, spec.storage)))
                    }
                }
            }
            Typed::Bucket(_) => match (site.gib_month(ResourceType::Storage), demand.expected_size)
            {
                (None, _) => Way::new(UNKNOWN),
                (Some(gib), Some(size)) => Way::new(for_size(gib, size)),
                (Some(gib), None) => Way { rate: micro(gib).unwrap_or(0), ..Way::new(0) },
            },
            Typed::Function(_) => match site.million_requests() {
                None => Way::new(UNKNOWN),
                Some(price) => Way { rate: micro(price).unwrap_or(0), ..Way::new(0) },
            },
            // A network has no price of its own.
            _ => Way::new(0),
        })
    }

    /// Why a site has no way to meet a demand.
    pub(super) fn why_not(
        &self,
        demand: &Demand,
        spec: &Typed,
        steps: Option<&Steps<'_>>,
        s: usize,
    ) -> Reason {
        let site = &self.sites.sites[s];
        if let Some((until, why)) = self.blocked(site, None) {
            return Reason::Blocked { until, why };
        }
        let sizes: Vec<&InstanceSize> = match spec {
            Typed::Instance(instance) => vec![&instance.size],
            Typed::Cluster(cluster) => cluster.node_pools.iter().map(|pool| &pool.size).collect(),
            _ => Vec::new(),
        };
        for size in sizes {
            if let Some(reason) = self.why_no_fit(demand, size, site) {
                return reason;
            }
        }
        if let Some(steps) = steps {
            let free = Demand { priced: false, ..*demand };
            let ways = self.ways(&free, spec, None);
            for way in ways.at(s) {
                if let Err(reason) = steps.apply(self.sites, site, &mut way.clone()) {
                    return reason;
                }
            }
        }
        Reason::NoPrice
    }

    /// Why one type at a site is not among the ways, the site itself being open; `None` if it could be.
    pub(super) fn why_not_type(
        &self,
        demand: &Demand,
        size: &InstanceSize,
        site: &SiteRow<'_>,
        steps: Option<&Steps<'_>>,
        mut way: Way,
    ) -> Option<Reason> {
        let kind = self.sites.clouds[site.cloud as usize].types.get(way.kind as usize)?;
        if !fits(size, demand.architecture, kind) {
            return Some(Reason::DoesNotFit);
        }
        if let Some((until, why)) = self.blocked(site, Some(kind.name)) {
            return Some(Reason::Blocked { until, why });
        }
        if !terms(demand, true).contains(&way.purchase) {
            return Some(Reason::OtherTerms);
        }
        if way.cost == UNKNOWN && demand.priced {
            return Some(Reason::NoPrice);
        }
        steps.and_then(|steps| steps.apply(self.sites, site, &mut way).err())
    }

    fn why_no_fit(
        &self,
        demand: &Demand,
        size: &InstanceSize,
        site: &SiteRow<'_>,
    ) -> Option<Reason> {
        if !site.types_known {
            return None;
        }
        let types = self.sites.clouds[site.cloud as usize].types.iter().zip(&site.prices);
        let fitting: Vec<_> = types
            .filter(|(kind, prices)| prices[0] != ABSENT && fits(size, demand.architecture, kind))
            .collect();
        if fitting.is_empty() {
            return Some(match size {
                InstanceSize::Exact(name) => Reason::NoType(name.clone()),
                InstanceSize::AtLeast { vcpu, memory, gpu } => Reason::NoFit {
                    size: format!("{vcpu} vCPU, {memory} of memory and {gpu} GPU"),
                    architecture: demand.architecture,
                },
            });
        }
        let blocks = fitting.iter().map(|(kind, _)| self.blocked(site, Some(kind.name)));
        if let Some(blocked) = blocks.collect::<Option<Vec<_>>>() {
            let (until, why) = blocked.into_iter().min()?;
            return Some(Reason::Blocked { until, why });
        }
        let terms = match (demand.spot, demand.purchase) {
            (SpotUse::Required, _) => Some((Purchase::Spot, "spot")),
            (_, Purchase::Reserved) => Some((Purchase::Reserved, "reserved")),
            _ => None,
        };
        let (purchase, name) = terms?;
        let none = fitting.iter().all(|(_, prices)| prices[slot(purchase)] == UNKNOWN);
        (none && demand.priced).then_some(Reason::NoPriceFor(name))
    }
}

impl Steps<'_> {
    /// Asks every policy about a way, and adds what they have count on top.
    pub(super) fn apply(
        &self,
        sites: &Sites<'_>,
        site: &SiteRow<'_>,
        way: &mut Way,
    ) -> Result<(), Reason> {
        let cloud = &sites.clouds[site.cloud as usize];
        let candidate = Candidate {
            component: self.component,
            place: &site.place,
            provider: cloud.provider,
            country: site.country,
            residency: site.residency,
            compliance: site.compliance,
            instance_type: cloud.types.get(way.kind as usize).map(|kind| kind.name),
            purchase: way.purchase,
            monthly_cost: (way.cost != UNKNOWN).then(|| super::amount::decimal(way.cost)),
        };
        let mut surcharge = 0i64;
        for policy in &self.policies {
            policy.filter(&candidate).map_err(|why| {
                let name = policy.name().to_owned();
                Reason::Policy { name, why }
            })?;
            let more = match policy.score(&candidate) {
                None => 0,
                Some(Surcharge::Amount(amount)) => micro(amount).unwrap_or(super::amount::MOST),
                Some(Surcharge::Share(share)) => {
                    // What is by use or unknown has no share but counts as if it cost one unit of currency.
                    let of = way.counted().filter(|cost| *cost > 0).unwrap_or(super::amount::MICRO);
                    (of as f64 * share).min(super::amount::MOST as f64) as i64
                }
            };
            surcharge = surcharge.saturating_add(more.max(0)).min(super::amount::MOST);
        }
        way.surcharge = surcharge;
        Ok(())
    }
}

/// A price of a GiB and month, for so much.
fn for_size(gib: cloud_core::Decimal, size: ByteSize) -> i64 {
    let size = cloud_core::Decimal::from(size.bytes()) / cloud_core::Decimal::from(1u64 << 30);
    gib.checked_mul(size).and_then(micro).unwrap_or(UNKNOWN)
}

/// Where the price under these terms stands.
pub(super) fn slot(purchase: Purchase) -> usize {
    match purchase {
        Purchase::Spot => 1,
        Purchase::Reserved => 2,
        _ => 0,
    }
}

/// The terms under which it may be bought.
fn terms(demand: &Demand, can_spot: bool) -> &'static [Purchase] {
    use Purchase::{OnDemand, Reserved, Spot};
    match (demand.spot, demand.purchase, can_spot) {
        (SpotUse::Required, _, true) => &[Spot],
        (SpotUse::Required, _, false) => &[],
        (SpotUse::Allowed, Reserved, true) => &[Reserved, Spot],
        (SpotUse::Allowed, _, true) => &[OnDemand, Spot],
        (_, Reserved, _) => &[Reserved],
        _ => &[OnDemand],
    }
}

fn fits(size: &InstanceSize, architecture: Option<Architecture>, kind: &TypeRow<'_>) -> bool {
    let is = |wanted: &catalog::Architecture| kind.architecture == Some(wanted);
    let runs = match architecture {
        Some(Architecture::Any) => true,
        Some(Architecture::Arm64) => is(&catalog::Architecture::Arm64),
        Some(Architecture::X86_64) => is(&catalog::Architecture::X86_64),
        // A program for one architecture does not run on another: others are taken by exact name only.
        None => {
            matches!(size, InstanceSize::Exact(_))
                || kind.architecture.is_none()
                || is(&catalog::Architecture::X86_64)
        }
    };
    runs && match size {
        InstanceSize::Exact(name) => kind.name == name,
        InstanceSize::AtLeast { vcpu, memory, gpu } => {
            kind.vcpu >= *vcpu && kind.memory >= *memory && kind.gpu >= *gpu
        }
    }
}

/// The name of the quota that counts things of a kind.
pub(super) fn counted_by(spec: &Typed) -> &'static str {
    match spec {
        Typed::Instance(_) => Quota::INSTANCES,
        Typed::Bucket(_) => Quota::BUCKETS,
        Typed::Database(_) => Quota::DATABASES,
        Typed::Network(_) => Quota::NETWORKS,
        Typed::Cluster(_) => Quota::CLUSTERS,
        Typed::Function(_) => Quota::FUNCTIONS,
    }
}

/// Typed specs, equal ones once.
#[derive(Debug, Default)]
pub(super) struct Specs<'a> {
    index: HashMap<(ResourceType, &'a serde_json::Map<String, serde_json::Value>), u32>,
    pub(super) specs: Vec<Typed>,
}

impl<'a> Specs<'a> {
    /// The index of a component's spec.
    ///
    /// # Errors
    /// [`InvalidInput`](cloud_core::ErrorKind::InvalidInput) for a spec that cannot be read.
    pub(super) fn of(&mut self, component: &'a Component) -> cloud_core::Result<u32> {
        let key = (component.component_type, &component.spec);
        if let Some(found) = self.index.get(&key) {
            return Ok(*found);
        }
        let spec = component
            .typed(&component.name)
            .map_err(|fault| fault.error.context(format_args!("component '{}'", component.name)))?;
        let index = self.specs.len() as u32;
        self.specs.push(spec);
        self.index.insert(key, index);
        Ok(index)
    }
}

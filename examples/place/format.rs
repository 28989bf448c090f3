//! The exchange format of placement instances: JSON files of a catalog, an instance and a solution, in integers. Money is in
//! millionths of a dollar an hour, traffic in GiB an hour, latency in tenths of a millisecond.

use std::collections::HashMap;

use cloud_core::{
    ByteSize, CloudId, Currency, Decimal, Error, Money, Provider, Quota, Region, ResourceType,
    Result,
};
use cloud_patterns::{
    catalog::{
        Catalog, CatalogCloud, CatalogRegion, CatalogType, City, CityRoundTrip, InstanceOffer,
        LatencyTable, Source, Tiers, canonical_regime,
    },
    place::Placement,
    workload::{
        self, Component, OptimizeFor, Relation, Requirements, Target, Traffic, Within, Workload,
    },
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, json};

/// The hours of a month.
pub const HOURS: i64 = 730;

/// A catalog's file.
#[derive(Debug, Deserialize)]
pub struct CatalogFile {
    clouds: Vec<String>,
    regions: Vec<RegionEntry>,
    types: Vec<Vec<TypeEntry>>,
    offers: Vec<Vec<i64>>,
    rtt: Vec<Vec<u32>>,
    targets: Vec<TargetEntry>,
    egress: Vec<EgressEntry>,
}

#[derive(Debug, Deserialize)]
struct RegionEntry {
    id: String,
    cloud: usize,
    city: String,
    lat: f64,
    lon: f64,
    geo: String,
    country: String,
    labels: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct TypeEntry {
    id: String,
    arch: String,
    vcpu: u32,
    mem_gib: u64,
    gpu: u32,
}

#[derive(Debug, Deserialize)]
struct TargetEntry {
    id: String,
    rtt: Vec<u32>,
}

#[derive(Debug, Deserialize)]
struct EgressEntry {
    cloud: usize,
    geo: String,
    same_cloud: i64,
    other: i64,
}

/// An instance's file.
#[derive(Debug, Deserialize)]
pub struct InstanceFile {
    /// The components.
    pub components: Vec<ComponentEntry>,
    links: Vec<LinkEntry>,
    separate_clouds: Vec<(usize, usize)>,
    quotas: Vec<QuotaEntry>,
    budget: Option<i64>,
}

/// A component of an instance.
#[derive(Debug, Deserialize)]
pub struct ComponentEntry {
    vcpu: u32,
    mem_gib: u64,
    gpu: u32,
    replicas: u32,
    arch: String,
    labels: Vec<String>,
    allowed_regions: Option<Vec<usize>>,
    latency: Option<LatencyEntry>,
}

#[derive(Debug, Deserialize)]
struct LatencyEntry {
    target: usize,
    max_rtt: u32,
}

#[derive(Debug, Deserialize)]
struct LinkEntry {
    a: usize,
    b: usize,
    gib_ab: u64,
    gib_ba: u64,
    max_rtt: Option<u32>,
}

#[derive(Debug, Deserialize)]
struct QuotaEntry {
    region: Option<usize>,
    cloud: Option<usize>,
    vcpu: u64,
}

/// A solution's file.
#[derive(Debug, Default, Serialize)]
pub struct SolutionFile {
    /// Where each component is; empty if no placement was found.
    pub assign: Vec<Assigned>,
    /// `optimal`, `feasible`, `infeasible` or `unknown`.
    pub status: &'static str,
    /// No solution costs less.
    pub bound: Option<i64>,
    /// What this one costs.
    pub cost: Option<i64>,
    /// How long it took, from the read files to the answer.
    pub solve_seconds: f64,
    /// How long until the first valid solution.
    pub first_solution_seconds: Option<f64>,
    /// Seconds, cost and bound each time one of them improved.
    pub trace: Vec<(f64, Option<i64>, i64)>,
    /// The requirements that cannot be met together, in words.
    pub clash: Vec<String>,
}

/// Where a component is, all by index.
#[derive(Debug, Serialize)]
pub struct Assigned {
    component: usize,
    region: usize,
    #[serde(rename = "type")]
    kind: usize,
}

fn wrong(field: &str, what: impl std::fmt::Display) -> Error {
    Error::invalid(field, format_args!("is {what}"), "an index within range")
}

/// Millionths of a dollar.
fn dollars(micro: i64) -> Decimal {
    Decimal::new(micro, 6)
}

/// The catalog of a file, with the quotas of an instance.
///
/// # Errors
/// [`InvalidInput`](cloud_core::ErrorKind::InvalidInput) for what is no catalog.
pub fn catalog(file: &CatalogFile, instance: &InstanceFile) -> Result<Catalog> {
    let mut catalog = Catalog::new(Currency::usd());
    catalog.sources.push(Source::new("instance"));
    let mut first = Vec::new();
    for (name, types) in file.clouds.iter().zip(&file.types) {
        let provider = name.parse().unwrap_or(Provider::Other);
        first.push(catalog.types.len() as u32);
        catalog.types.extend(types.iter().map(|kind| CatalogType {
            provider,
            name: kind.id.clone(),
            vcpu: kind.vcpu,
            memory: ByteSize::gib(kind.mem_gib),
            gpu: kind.gpu,
            architecture: Some(kind.arch.clone().into()),
            source: 0,
        }));
        catalog.clouds.push(CatalogCloud {
            id: CloudId::new(name.as_str())?,
            provider,
            regions: Vec::new(),
            quotas: Vec::new(),
            quota_source: None,
        });
    }
    for (r, entry) in file.regions.iter().enumerate() {
        let first = *first.get(entry.cloud).ok_or_else(|| wrong("cloud", entry.cloud))?;
        catalog.clouds[entry.cloud].regions.push(region(file, r, entry, first)?);
    }
    for quota in &instance.quotas {
        let mut limit = Quota {
            name: Quota::VCPU.into(),
            resource_type: ResourceType::Compute,
            region: None,
            limit: quota.vcpu,
            used: Some(0),
        };
        match (quota.region, quota.cloud) {
            (Some(r), _) => {
                let entry = file.regions.get(r).ok_or_else(|| wrong("quota region", r))?;
                let regions = &mut catalog.clouds[entry.cloud].regions;
                let code = entry.id.as_str();
                if let Some(region) = regions.iter_mut().find(|r| r.region.as_str() == code) {
                    limit.region = Some(region.region.clone());
                    region.quotas.push(limit);
                }
            }
            (None, Some(c)) => {
                let cloud = catalog.clouds.get_mut(c).ok_or_else(|| wrong("quota cloud", c))?;
                cloud.quotas.push(limit);
            }
            (None, None) => return Err(wrong("quota", "of no region and no cloud")),
        }
    }
    let regions: Vec<_> = (file.regions.iter())
        .map(|r| Ok((catalog.clouds[r.cloud].id.clone(), Region::new(r.id.as_str())?)))
        .collect::<Result<_>>()?;
    catalog.cities = (file.targets.iter())
        .map(|target| City {
            name: target.id.clone(),
            country: None,
            coordinates: None,
            round_trips: (regions.iter().zip(&target.rtt))
                .map(|((cloud, region), tenths)| CityRoundTrip {
                    cloud: cloud.clone(),
                    region: region.clone(),
                    tenths: *tenths,
                    source: 0,
                })
                .collect(),
            source: 0,
        })
        .collect();
    let tenths = file.rtt.iter().map(|row| row.iter().copied().map(Some).collect()).collect();
    catalog.latency.tables.push(LatencyTable { source: 0, regions, tenths });
    for cloud in &mut catalog.clouds {
        cloud.regions.sort_by(|a, b| a.region.cmp(&b.region));
    }
    catalog.clouds.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(catalog)
}

fn region(file: &CatalogFile, r: usize, entry: &RegionEntry, first: u32) -> Result<CatalogRegion> {
    let mut region = CatalogRegion::new(Region::new(entry.id.as_str())?, 0);
    region.city = Some(entry.city.clone());
    region.country = Some(entry.country.clone());
    region.coordinates = Some((entry.lat, entry.lon));
    region.compliance = entry.labels.iter().map(|label| canonical_regime(label)).collect();
    let prices = file.offers.get(r).ok_or_else(|| wrong("offers", r))?;
    let offered = prices.iter().enumerate().filter(|(_, price)| **price >= 0);
    region.instances = offered
        .map(|(t, price)| InstanceOffer {
            on_demand: Some(dollars(*price)),
            ..InstanceOffer::new(first + t as u32, 0)
        })
        .collect();
    let egress = file.egress.iter().find(|e| e.cloud == entry.cloud && e.geo == entry.geo);
    if let Some(egress) = egress {
        region.egress.inter_region = Some(Tiers::flat(dollars(egress.same_cloud))?);
        region.egress.inter_provider = Some(Tiers::flat(dollars(egress.other))?);
    }
    Ok(region)
}

/// The workload of an instance.
///
/// # Errors
/// [`InvalidInput`](cloud_core::ErrorKind::InvalidInput) for an index that is out of range.
pub fn workload(file: &CatalogFile, instance: &InstanceFile) -> Result<Workload> {
    let codes: Vec<Region> =
        file.regions.iter().map(|r| Region::new(r.id.as_str())).collect::<Result<_>>()?;
    let mut components = Vec::with_capacity(instance.components.len());
    for (i, entry) in instance.components.iter().enumerate() {
        components.push(component(file, &codes, i, entry)?);
    }
    let count = components.len();
    let check = |i: usize| if i < count { Ok(()) } else { Err(wrong("component", i)) };
    for link in &instance.links {
        check(link.a)?;
        check(link.b)?;
        let max_latency_ms = link.max_rtt.map(|tenths| f64::from(tenths) / 10.0);
        for (from, to, gib) in [(link.a, link.b, link.gib_ab), (link.b, link.a, link.gib_ba)] {
            let gib_per_month = (gib * HOURS as u64) as f64;
            components[from].requirements.traffic.push(Traffic {
                to: format!("c{to}"),
                gib_per_month,
                max_latency_ms,
            });
        }
    }
    for (a, b) in &instance.separate_clouds {
        check(*a)?;
        check(*b)?;
        let apart = Relation { with: format!("c{b}"), within: Within::Provider };
        components[*a].requirements.anti_affinity.push(apart);
    }
    let budget = instance.budget.map(|micro| Money::usd(dollars(micro * HOURS)));
    Ok(Workload {
        name: "instance".into(),
        components,
        tags: cloud_core::Tags::default(),
        expires_in: None,
        limits: cloud_patterns::engine::plan::BlastRadiusLimit::default(),
        budget,
        deployment_policies: Default::default(),
    })
}

fn component(
    file: &CatalogFile,
    codes: &[Region],
    i: usize,
    entry: &ComponentEntry,
) -> Result<Component> {
    let mut requirements = Requirements {
        optimize_for: Some(OptimizeFor::Cost),
        compliance_requirements: entry.labels.clone(),
        architecture: Some(match entry.arch.as_str() {
            "any" => workload::Architecture::Any,
            "arm64" => workload::Architecture::Arm64,
            _ => workload::Architecture::X86_64,
        }),
        ..Requirements::default()
    };
    if let Some(latency) = &entry.latency {
        let target = file.targets.get(latency.target);
        let target = target.ok_or_else(|| wrong("latency target", latency.target))?;
        requirements.target_region = Some(Target::Named(target.id.clone()));
        requirements.max_latency_ms = Some(f64::from(latency.max_rtt) / 10.0);
    }
    for r in entry.allowed_regions.iter().flatten() {
        let code = codes.get(*r).ok_or_else(|| wrong("allowed region", r))?;
        requirements.allowed_regions.push(code.clone());
    }
    let memory = format!("{}GiB", entry.mem_gib);
    let size = json!({"at_least": {"vcpu": entry.vcpu, "memory": memory, "gpu": entry.gpu}});
    Ok(Component {
        requirements,
        replicas: entry.replicas,
        spec: Map::from_iter([("size".to_owned(), size)]),
        ..Component::new(format!("c{i}"), ResourceType::Compute)
    })
}

/// Where a placement puts each component, by index.
pub fn assigned(file: &CatalogFile, placement: &Placement<'_>) -> Vec<Assigned> {
    let regions: HashMap<(&str, &str), usize> = (file.regions.iter().enumerate())
        .map(|(r, entry)| ((file.clouds[entry.cloud].as_str(), entry.id.as_str()), r))
        .collect();
    let types: Vec<HashMap<&str, usize>> = (file.types.iter())
        .map(|types| types.iter().enumerate().map(|(t, kind)| (kind.id.as_str(), t)).collect())
        .collect();
    let assign = placement.placed.iter().enumerate().filter_map(|(component, placed)| {
        let replica = placed.replicas.first()?;
        let place = (replica.place.cloud.as_str(), replica.place.region.as_str());
        let region = *regions.get(&place)?;
        let kind = *types[file.regions[region].cloud].get(replica.instance_type.as_deref()?)?;
        Some(Assigned { component, region, kind })
    });
    assign.collect()
}

/// What costs this much a month costs an hour, rounded up.
pub fn hourly(monthly: i64) -> i64 {
    monthly.div_euclid(HOURS) + i64::from(monthly.rem_euclid(HOURS) != 0)
}

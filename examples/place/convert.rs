//! From the files to a catalog and a workload, and from a placement back to indices.

use std::collections::HashMap;

use cloud_core::{
    ByteSize, CloudId, Currency, Decimal, Money, Provider, Quota, Region, ResourceType, Result,
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
use serde_json::{Map, json};

use crate::format::{Assigned, CatalogFile, ComponentEntry, HOURS, InstanceFile, RegionEntry};

/// Millionths of a dollar.
fn dollars(micro: i64) -> Decimal {
    Decimal::new(micro, 6)
}

/// The catalog of a file, with the quotas of an instance. Both have passed their checks.
///
/// # Errors
/// [`InvalidInput`](cloud_core::ErrorKind::InvalidInput) for the name of a cloud or region that is none.
pub(crate) fn catalog(file: &CatalogFile, instance: &InstanceFile) -> Result<Catalog> {
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
        let region = region(file, r, entry, first[entry.cloud])?;
        catalog.clouds[entry.cloud].regions.push(region);
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
                let entry = &file.regions[r];
                let regions = &mut catalog.clouds[entry.cloud].regions;
                let code = entry.id.as_str();
                if let Some(region) = regions.iter_mut().find(|r| r.region.as_str() == code) {
                    limit.region = Some(region.region.clone());
                    region.quotas.push(limit);
                }
            }
            (None, Some(c)) => catalog.clouds[c].quotas.push(limit),
            (None, None) => {}
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
    let offered = file.offers[r].iter().enumerate().filter(|(_, price)| **price >= 0);
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

/// The workload of an instance that has passed its check.
///
/// # Errors
/// [`InvalidInput`](cloud_core::ErrorKind::InvalidInput) for the name of a region that is none.
pub(crate) fn workload(file: &CatalogFile, instance: &InstanceFile) -> Result<Workload> {
    let codes: Vec<Region> =
        file.regions.iter().map(|r| Region::new(r.id.as_str())).collect::<Result<_>>()?;
    let mut components = Vec::with_capacity(instance.components.len());
    for (i, entry) in instance.components.iter().enumerate() {
        components.push(component(file, &codes, i, entry));
    }
    for link in &instance.links {
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

fn component(file: &CatalogFile, codes: &[Region], i: usize, entry: &ComponentEntry) -> Component {
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
        let target = &file.targets[latency.target];
        requirements.target_region = Some(Target::Named(target.id.clone()));
        requirements.max_latency_ms = Some(f64::from(latency.max_rtt) / 10.0);
    }
    for r in entry.allowed_regions.iter().flatten() {
        requirements.allowed_regions.push(codes[*r].clone());
    }
    let memory = format!("{}GiB", entry.mem_gib);
    let size = json!({"at_least": {"vcpu": entry.vcpu, "memory": memory, "gpu": entry.gpu}});
    Component {
        requirements,
        replicas: entry.replicas,
        spec: Map::from_iter([("size".to_owned(), size)]),
        ..Component::new(format!("c{i}"), ResourceType::Compute)
    }
}

/// Where a placement puts each component, by index.
pub(crate) fn assigned(file: &CatalogFile, placement: &Placement<'_>) -> Vec<Assigned> {
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
pub(crate) fn hourly(monthly: i64) -> i64 {
    monthly.div_euclid(HOURS) + i64::from(monthly.rem_euclid(HOURS) != 0)
}

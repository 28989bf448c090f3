//! The files of the placement bench: catalog, instance and solution, as JSON.
//!
//! Money is in micro-USD per hour, traffic in GiB per hour, latency (the round trip) in tenths of a millisecond.
//! Regions, types, targets and components are named by their index.

use std::{fs, path::Path};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub(crate) const CATALOG_FORMAT: &str = "placement-catalog/1";
pub(crate) const INSTANCE_FORMAT: &str = "placement-instance/1";

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Catalog {
    pub(crate) format: String,
    pub(crate) seed: u64,
    pub(crate) clouds: Vec<String>,
    pub(crate) regions: Vec<Region>,
    /// By cloud.
    pub(crate) types: Vec<Vec<InstanceType>>,
    /// The price of an hour by region and type of its cloud; -1 where the region does not offer the type.
    pub(crate) offers: Vec<Vec<i64>>,
    pub(crate) rtt: Vec<Vec<i64>>,
    pub(crate) targets: Vec<Target>,
    pub(crate) egress: Vec<Egress>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Region {
    pub(crate) id: String,
    pub(crate) cloud: usize,
    pub(crate) city: String,
    pub(crate) lat: f64,
    pub(crate) lon: f64,
    pub(crate) geo: String,
    pub(crate) country: String,
    pub(crate) labels: Vec<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct InstanceType {
    pub(crate) id: String,
    pub(crate) arch: String,
    pub(crate) vcpu: i64,
    pub(crate) mem_gib: i64,
    pub(crate) gpu: i64,
}

/// A city of users.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Target {
    pub(crate) id: String,
    /// By region.
    pub(crate) rtt: Vec<i64>,
}

/// What a GiB costs that leaves a region of this cloud and geography. Within the region it is free.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Egress {
    pub(crate) cloud: usize,
    pub(crate) geo: String,
    pub(crate) same_cloud: i64,
    pub(crate) other: i64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Instance {
    pub(crate) format: String,
    pub(crate) profile: String,
    pub(crate) seed: u64,
    /// Of the catalog's file, in hexadecimal.
    pub(crate) catalog_sha256: String,
    pub(crate) objective: String,
    pub(crate) components: Vec<Component>,
    pub(crate) links: Vec<Link>,
    pub(crate) separate_clouds: Vec<(usize, usize)>,
    pub(crate) quotas: Vec<Quota>,
    pub(crate) budget: Option<i64>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Component {
    pub(crate) id: String,
    pub(crate) vcpu: i64,
    pub(crate) mem_gib: i64,
    pub(crate) gpu: i64,
    pub(crate) replicas: i64,
    /// `any`, or what the type's has to be.
    pub(crate) arch: String,
    /// The region has all of them.
    pub(crate) labels: Vec<String>,
    pub(crate) allowed_regions: Option<Vec<usize>>,
    pub(crate) latency: Option<LatencyBound>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct LatencyBound {
    pub(crate) target: usize,
    pub(crate) max_rtt: i64,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Link {
    pub(crate) a: usize,
    pub(crate) b: usize,
    pub(crate) gib_ab: i64,
    pub(crate) gib_ba: i64,
    pub(crate) max_rtt: Option<i64>,
}

/// The most vCPU that the chosen types and their replicas use in a region or a cloud.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Quota {
    Region { region: usize, vcpu: i64 },
    Cloud { cloud: usize, vcpu: i64 },
}

/// Where a component is placed: all its replicas in one region on one type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Assignment {
    pub(crate) component: usize,
    pub(crate) region: usize,
    #[serde(rename = "type")]
    pub(crate) kind: usize,
}

impl Component {
    /// Whether this type is large enough and of the right architecture.
    pub(crate) fn fits(&self, kind: &InstanceType) -> bool {
        kind.vcpu >= self.vcpu
            && kind.mem_gib >= self.mem_gib
            && kind.gpu >= self.gpu
            && (self.arch == "any" || self.arch == kind.arch)
    }

    /// Whether the component's own requirements let it run there.
    pub(crate) fn admits(&self, catalog: &Catalog, region: usize) -> bool {
        let has = &catalog.regions[region].labels;
        self.labels.iter().all(|label| has.contains(label))
            && self.allowed_regions.as_ref().is_none_or(|allowed| allowed.contains(&region))
            && self
                .latency
                .is_none_or(|bound| catalog.targets[bound.target].rtt[region] <= bound.max_rtt)
    }
}

impl Catalog {
    /// The types that a region offers and that fit, as index and price of an hour.
    pub(crate) fn fitting<'a>(
        &'a self,
        component: &'a Component,
        region: usize,
    ) -> impl Iterator<Item = (usize, i64)> + 'a {
        let kinds = &self.types[self.regions[region].cloud];
        let offers = self.offers[region].iter().copied().enumerate();
        offers.filter(|&(kind, price)| price >= 0 && component.fits(&kinds[kind]))
    }

    pub(crate) fn vcpu(&self, region: usize, kind: usize) -> i64 {
        self.types[self.regions[region].cloud][kind].vcpu
    }

    /// What a GiB from one region to the other costs.
    pub(crate) fn egress_price(&self, from: usize, to: usize) -> i64 {
        if from == to {
            return 0;
        }
        let (source, cloud) = (&self.regions[from], self.regions[to].cloud);
        let price = |egress: &&Egress| egress.cloud == source.cloud && egress.geo == source.geo;
        let found = self.egress.iter().find(price).expect("the catalog has no price of egress");
        if source.cloud == cloud { found.same_cloud } else { found.other }
    }
}

impl Link {
    /// What its traffic costs an hour between these regions.
    pub(crate) fn cost(&self, catalog: &Catalog, a: usize, b: usize) -> i64 {
        self.gib_ab * catalog.egress_price(a, b) + self.gib_ba * catalog.egress_price(b, a)
    }
}

pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<T, String> {
    let bytes = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    serde_json::from_slice(&bytes).map_err(|error| format!("{}: {error}", path.display()))
}

pub(crate) fn write<T: Serialize>(path: &Path, value: &T) -> Result<(), String> {
    let bytes = serde_json::to_vec(value).map_err(|error| error.to_string())?;
    fs::write(path, bytes).map_err(|error| format!("{}: {error}", path.display()))
}

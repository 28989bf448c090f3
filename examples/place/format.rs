//! The exchange format of placement instances: JSON files of a catalog, an instance and a solution, in integers. Money is in
//! millionths of a dollar an hour, traffic in GiB an hour, latency in tenths of a millisecond.

use serde::{Deserialize, Serialize};

/// The hours of a month.
pub(crate) const HOURS: i64 = 730;

/// A catalog's file.
#[derive(Debug, Deserialize)]
pub(crate) struct CatalogFile {
    pub(crate) clouds: Vec<String>,
    pub(crate) regions: Vec<RegionEntry>,
    pub(crate) types: Vec<Vec<TypeEntry>>,
    pub(crate) offers: Vec<Vec<i64>>,
    pub(crate) rtt: Vec<Vec<u32>>,
    pub(crate) targets: Vec<TargetEntry>,
    pub(crate) egress: Vec<EgressEntry>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct RegionEntry {
    pub(crate) id: String,
    pub(crate) cloud: usize,
    pub(crate) city: String,
    pub(crate) lat: f64,
    pub(crate) lon: f64,
    pub(crate) geo: String,
    pub(crate) country: String,
    pub(crate) labels: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct TypeEntry {
    pub(crate) id: String,
    pub(crate) arch: String,
    pub(crate) vcpu: u32,
    pub(crate) mem_gib: u64,
    pub(crate) gpu: u32,
}

#[derive(Debug, Deserialize)]
pub(crate) struct TargetEntry {
    pub(crate) id: String,
    pub(crate) rtt: Vec<u32>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct EgressEntry {
    pub(crate) cloud: usize,
    pub(crate) geo: String,
    pub(crate) same_cloud: i64,
    pub(crate) other: i64,
}

/// An instance's file.
#[derive(Debug, Deserialize)]
pub(crate) struct InstanceFile {
    /// The SHA-256 of the catalog's file that it belongs to; none if any will do.
    pub catalog_sha256: Option<String>,
    /// The components.
    pub(crate) components: Vec<ComponentEntry>,
    pub(crate) links: Vec<LinkEntry>,
    pub(crate) separate_clouds: Vec<(usize, usize)>,
    pub(crate) quotas: Vec<QuotaEntry>,
    pub(crate) budget: Option<i64>,
}

/// A component of an instance.
#[derive(Debug, Deserialize)]
pub(crate) struct ComponentEntry {
    pub(crate) vcpu: u32,
    pub(crate) mem_gib: u64,
    pub(crate) gpu: u32,
    pub(crate) replicas: u32,
    pub(crate) arch: String,
    pub(crate) labels: Vec<String>,
    pub(crate) allowed_regions: Option<Vec<usize>>,
    pub(crate) latency: Option<LatencyEntry>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct LatencyEntry {
    pub(crate) target: usize,
    pub(crate) max_rtt: u32,
}

#[derive(Debug, Deserialize)]
pub(crate) struct LinkEntry {
    pub(crate) a: usize,
    pub(crate) b: usize,
    pub(crate) gib_ab: u64,
    pub(crate) gib_ba: u64,
    pub(crate) max_rtt: Option<u32>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct QuotaEntry {
    pub(crate) region: Option<usize>,
    pub(crate) cloud: Option<usize>,
    pub(crate) vcpu: u64,
}

/// A solution's file.
#[derive(Debug, Default, Serialize)]
pub(crate) struct SolutionFile {
    /// Where each component is; empty if no placement was found.
    pub(crate) assign: Vec<Assigned>,
    /// `optimal`, `feasible`, `infeasible` or `unknown`.
    pub(crate) status: &'static str,
    /// No solution costs less.
    pub(crate) bound: Option<i64>,
    /// What this one costs.
    pub(crate) cost: Option<i64>,
    /// How long it took, from the read files to the answer.
    pub(crate) solve_seconds: f64,
    /// How long until the first valid solution.
    pub(crate) first_solution_seconds: Option<f64>,
    /// Seconds, cost and bound each time one of them improved.
    pub(crate) trace: Vec<(f64, Option<i64>, i64)>,
    /// The requirements that cannot be met together, in words.
    pub(crate) clash: Vec<String>,
}

/// Where a component is, all by index.
#[derive(Debug, Serialize)]
pub(crate) struct Assigned {
    pub(crate) component: usize,
    pub(crate) region: usize,
    #[serde(rename = "type")]
    pub(crate) kind: usize,
}

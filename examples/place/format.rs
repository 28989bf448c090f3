//! The exchange format of placement instances: JSON files of a catalog, an instance and a solution, in integers. Money is in
//! millionths of a dollar an hour, traffic in GiB an hour, latency in tenths of a millisecond.

use serde::{Deserialize, Serialize};

/// The hours of a month.
pub const HOURS: i64 = 730;

/// A catalog's file.
#[derive(Debug, Deserialize)]
pub struct CatalogFile {
    pub clouds: Vec<String>,
    pub regions: Vec<RegionEntry>,
    pub types: Vec<Vec<TypeEntry>>,
    pub offers: Vec<Vec<i64>>,
    pub rtt: Vec<Vec<u32>>,
    pub targets: Vec<TargetEntry>,
    pub egress: Vec<EgressEntry>,
}

#[derive(Debug, Deserialize)]
pub struct RegionEntry {
    pub id: String,
    pub cloud: usize,
    pub city: String,
    pub lat: f64,
    pub lon: f64,
    pub geo: String,
    pub country: String,
    pub labels: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub struct TypeEntry {
    pub id: String,
    pub arch: String,
    pub vcpu: u32,
    pub mem_gib: u64,
    pub gpu: u32,
}

#[derive(Debug, Deserialize)]
pub struct TargetEntry {
    pub id: String,
    pub rtt: Vec<u32>,
}

#[derive(Debug, Deserialize)]
pub struct EgressEntry {
    pub cloud: usize,
    pub geo: String,
    pub same_cloud: i64,
    pub other: i64,
}

/// An instance's file.
#[derive(Debug, Deserialize)]
pub struct InstanceFile {
    /// The SHA-256 of the catalog's file that it belongs to; none if any will do.
    pub catalog_sha256: Option<String>,
    /// The components.
    pub components: Vec<ComponentEntry>,
    pub links: Vec<LinkEntry>,
    pub separate_clouds: Vec<(usize, usize)>,
    pub quotas: Vec<QuotaEntry>,
    pub budget: Option<i64>,
}

/// A component of an instance.
#[derive(Debug, Deserialize)]
pub struct ComponentEntry {
    pub vcpu: u32,
    pub mem_gib: u64,
    pub gpu: u32,
    pub replicas: u32,
    pub arch: String,
    pub labels: Vec<String>,
    pub allowed_regions: Option<Vec<usize>>,
    pub latency: Option<LatencyEntry>,
}

#[derive(Debug, Deserialize)]
pub struct LatencyEntry {
    pub target: usize,
    pub max_rtt: u32,
}

#[derive(Debug, Deserialize)]
pub struct LinkEntry {
    pub a: usize,
    pub b: usize,
    pub gib_ab: u64,
    pub gib_ba: u64,
    pub max_rtt: Option<u32>,
}

#[derive(Debug, Deserialize)]
pub struct QuotaEntry {
    pub region: Option<usize>,
    pub cloud: Option<usize>,
    pub vcpu: u64,
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
    pub component: usize,
    pub region: usize,
    #[serde(rename = "type")]
    pub kind: usize,
}

//! Generates chains and trees of tasks with a set number of candidates each, as SkyPilot's optimizer takes them.

use rand::{RngExt, rngs::ChaCha12Rng, seq::SliceRandom};

use super::{
    format::{Catalog, Component, INSTANCE_FORMAT, Instance, Link},
    generate::{Made, Shape, random},
    instances::regions,
};

/// A catalog with few types, so that some hundred candidates are in many regions.
pub(crate) const SHAPE: Shape = Shape { regions: 30, types: 24 };

/// Tasks one after the other, each with almost so many candidates, never more.
pub(crate) fn chain(made: &Made, count: usize, candidates: usize, seed: u64) -> Instance {
    build(made, "chain", count, candidates, seed, |task, _| task - 1)
}

/// Tasks that each come after one of the three before.
pub(crate) fn tree(made: &Made, count: usize, candidates: usize, seed: u64) -> Instance {
    let before =
        |task: usize, random: &mut ChaCha12Rng| random.random_range(task.saturating_sub(3)..task);
    build(made, "tree", count, candidates, seed, before)
}

fn build(
    made: &Made,
    profile: &str,
    count: usize,
    candidates: usize,
    seed: u64,
    before: impl Fn(usize, &mut ChaCha12Rng) -> usize,
) -> Instance {
    let mut random = random(&format!("{profile} {count} {candidates}"), seed);
    let components = (0..count).map(|task| component(&made.catalog, task, candidates, &mut random));
    let components = components.collect();
    let link = |task| Link {
        a: before(task, &mut random),
        b: task,
        gib_ab: random.random_range(1..100),
        gib_ba: 0,
        max_rtt: None,
    };
    Instance {
        format: INSTANCE_FORMAT.into(),
        profile: profile.into(),
        seed,
        catalog_sha256: made.sha256.clone(),
        objective: "min_cost".into(),
        components,
        links: (1..count).map(link).collect(),
        separate_clouds: Vec::new(),
        quotas: Vec::new(),
        budget: None,
    }
}

/// A task that may run in as many regions, by chance, as have that many candidates.
fn component(
    catalog: &Catalog,
    task: usize,
    candidates: usize,
    random: &mut ChaCha12Rng,
) -> Component {
    let vcpu = 1 << random.random_range(0..4);
    let mut component = Component {
        id: format!("c{task}"),
        vcpu,
        mem_gib: vcpu * 2,
        gpu: 0,
        replicas: random.random_range(1..=4),
        arch: "any".into(),
        labels: Vec::new(),
        allowed_regions: None,
        latency: None,
    };
    let mut all = regions(catalog, &component);
    all.shuffle(random);
    let mut found = 0;
    all.retain(|&region| {
        let here = catalog.fitting(&component, region).count();
        let room = found + here <= candidates;
        found += if room { here } else { 0 };
        room
    });
    all.sort_unstable();
    component.allowed_regions = Some(all);
    component
}

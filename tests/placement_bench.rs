//! What the placement bench is judged by: its generator, its check and its baseline.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, dead_code, missing_docs)]

use std::{collections::BTreeSet, fs, mem};

#[path = "../benches/placement/chains.rs"]
mod chains;
#[path = "../benches/placement/check.rs"]
mod check;
#[path = "../benches/placement/clash.rs"]
mod clash;
#[path = "../benches/placement/facts.rs"]
mod facts;
#[path = "../benches/placement/format.rs"]
mod format;
#[path = "../benches/placement/generate.rs"]
mod generate;
#[path = "../benches/placement/greedy.rs"]
mod greedy;
#[path = "../benches/placement/instances.rs"]
mod instances;

use check::{Violation, check};
use clash::Clash;
use format::{Assignment, Catalog, Instance, LatencyBound, Link, Quota};
use generate::{Made, Shape};
use greedy::greedy;
use instances::Profile;
use serde_json::json;
use sha2::{Digest, Sha256};

fn made(seed: u64, shape: Shape) -> Made {
    let folder = tempfile::tempdir().unwrap();
    generate::catalog(seed, shape, &folder.path().join("catalog.json")).unwrap()
}

#[test]
fn a_seed_gives_the_same_files_and_another_seed_others() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.json");
    let first = generate::catalog(7, Shape::FULL, &path).unwrap();
    let bytes = fs::read(&path).unwrap();
    let digest = Sha256::digest(&bytes);
    assert_eq!(first.sha256, digest.iter().map(|b| format!("{b:02x}")).collect::<String>());
    let again: Catalog = format::read(&path).unwrap();
    assert_eq!(serde_json::to_vec(&again).unwrap(), bytes);
    assert_eq!(made(7, Shape::FULL).sha256, first.sha256);
    assert_ne!(made(8, Shape::FULL).sha256, first.sha256);

    for profile in [Profile::Easy, Profile::Std, Profile::Hard] {
        let text = |seed| {
            let instance = instances::instance(&first, profile, 50, seed);
            serde_json::to_string(&instance).unwrap()
        };
        assert_eq!(text(3), text(3));
        assert_ne!(text(3), text(4));
    }
}

#[test]
fn a_catalog_is_whole() {
    let catalog = made(1, Shape::FULL).catalog;
    assert_eq!(catalog.regions.len(), 90);
    assert!(catalog.types.iter().all(|types| types.len() == 300));
    for (region, offers) in catalog.regions.iter().zip(&catalog.offers) {
        assert_eq!(offers.len(), 300);
        assert!(offers.iter().all(|&price| price == -1 || price > 0));
        let known = |row: &&format::Egress| row.cloud == region.cloud && row.geo == region.geo;
        assert_eq!(catalog.egress.iter().filter(known).count(), 1, "{}", region.id);
    }
    for (a, row) in catalog.rtt.iter().enumerate() {
        for (b, &rtt) in row.iter().enumerate() {
            assert!(rtt >= 5 && rtt == catalog.rtt[b][a]);
        }
    }
    assert!(catalog.targets.iter().all(|target| target.rtt.len() == 90));
    let offered: usize = catalog.offers.iter().flatten().filter(|&&price| price > 0).count();
    assert!((23_000..27_000).contains(&offered), "{offered} offers");
}

#[test]
fn instances_have_what_their_profile_says() {
    let made = made(1, Shape::FULL);
    for seed in 1..=5 {
        let [easy, std, hard] = [Profile::Easy, Profile::Std, Profile::Hard]
            .map(|profile| instances::instance(&made, profile, 200, seed));
        assert!(easy.quotas.is_empty() && easy.separate_clouds.is_empty());
        assert_eq!(std.quotas.len(), 93);
        assert!(std.links.iter().all(|link| link.max_rtt.is_none()));
        assert!(hard.links.iter().any(|link| link.max_rtt.is_some()));
        assert!(hard.links.len() > std.links.len());
        for instance in [&easy, &std, &hard] {
            assert_eq!(instance.components.len(), 200);
            assert_eq!(instance.catalog_sha256, made.sha256);
            let pairs: BTreeSet<_> = instance.links.iter().map(|link| (link.a, link.b)).collect();
            assert_eq!(pairs.len(), instance.links.len());
            assert!(pairs.iter().all(|&(a, b)| a < b && b < 200));
            for component in &instance.components {
                assert!(!instances::regions(&made.catalog, component).is_empty(), "{component:?}");
            }
        }
    }
}

#[test]
fn chains_have_almost_the_candidates_that_are_asked_for() {
    let made = made(1, chains::SHAPE);
    let tree = chains::tree(&made, 31, 90, 1);
    let chain = chains::chain(&made, 100, 500, 1);
    assert!(
        chain.links.iter().enumerate().all(|(task, link)| (link.a, link.b) == (task, task + 1))
    );
    assert!(tree.links.iter().enumerate().all(|(task, link)| link.a <= task && link.b == task + 1));
    for (instance, most) in [(chain, 500), (tree, 90)] {
        for component in &instance.components {
            let regions = instances::regions(&made.catalog, component).into_iter();
            let candidates: usize =
                regions.map(|region| made.catalog.fitting(component, region).count()).sum();
            assert!(candidates <= most && candidates * 6 >= most * 5, "{candidates} of {most}");
        }
    }
}

#[test]
fn greedy_placements_are_valid() {
    let made = made(2, Shape::FULL);
    let mut found = 0;
    for seed in 1..=10 {
        for profile in [Profile::Easy, Profile::Std, Profile::Hard] {
            let instance = instances::instance(&made, profile, 60, seed);
            let Ok(assign) = greedy(&made.catalog, &instance) else { continue };
            let verdict = check(&made.catalog, &instance, &assign);
            assert_eq!(verdict.violations, [], "seed {seed}");
            found += 1;
        }
    }
    assert!(found >= 10, "greedy placed {found} of 30");
}

#[test]
fn nothing_satisfies_the_infeasible() {
    let made = made(1, Shape::FULL);
    let catalog = &made.catalog;
    for clash in Clash::ALL {
        let instance = instances::instance(&made, Profile::Infeasible(clash), 30, 1);
        greedy(catalog, &instance).expect_err("a placement of what has none");
        // Without the clash there is one.
        let mut cured = instance.clone();
        match clash {
            Clash::Labels => cured.components[0].labels.clear(),
            Clash::Quota => cured.quotas.clear(),
            Clash::Separation => cured.separate_clouds.clear(),
            Clash::LinkLatency => cured.links[0].max_rtt = None,
            Clash::Budget => cured.budget = None,
        }
        let assign = greedy(catalog, &cured).unwrap_or_else(|at| panic!("{clash:?}: {at}"));
        assert_eq!(check(catalog, &cured, &assign).violations, []);
        assert!(!check(catalog, &instance, &assign).violations.is_empty(), "{clash:?}");
    }
}

/// Two clouds, three regions, two types each; two components with a link.
fn tiny() -> (Catalog, Instance) {
    let region = |id: &str, cloud: usize, labels: &[&str]| {
        json!({ "id": id, "cloud": cloud, "city": id, "lat": 0.0, "lon": 0.0, "geo": "EU",
                "country": "DE", "labels": labels })
    };
    let kind = |id: &str, arch: &str, vcpu: i64| json!({ "id": id, "arch": arch, "vcpu": vcpu, "mem_gib": 4 * vcpu, "gpu": 0 });
    let types = json!([kind("small", "x86_64", 2), kind("large", "arm64", 8)]);
    let egress = |cloud: usize, same_cloud: i64, other: i64| json!({ "cloud": cloud, "geo": "EU", "same_cloud": same_cloud, "other": other });
    let catalog = json!({
        "format": "placement-catalog/1", "seed": 0, "clouds": ["x", "y"],
        "regions": [region("x1", 0, &["gdpr"]), region("x2", 0, &[]), region("y1", 1, &["gdpr"])],
        "types": [types, types],
        "offers": [[100, 300], [90, -1], [80, 250]],
        "rtt": [[5, 50, 200], [50, 5, 150], [200, 150, 5]],
        "targets": [{ "id": "here", "rtt": [10, 60, 210] }],
        "egress": [egress(0, 20, 90), egress(1, 30, 70)],
    });
    let component = |id: &str, replicas: i64| {
        json!({ "id": id, "vcpu": 2, "mem_gib": 8, "gpu": 0, "replicas": replicas, "arch": "any",
                "labels": [], "allowed_regions": null, "latency": null })
    };
    let instance = json!({
        "format": "placement-instance/1", "profile": "std", "seed": 0, "catalog_sha256": "",
        "objective": "min_cost", "components": [component("c0", 1), component("c1", 3)],
        "links": [{ "a": 0, "b": 1, "gib_ab": 5, "gib_ba": 7, "max_rtt": null }],
        "separate_clouds": [], "quotas": [], "budget": null,
    });
    (serde_json::from_value(catalog).unwrap(), serde_json::from_value(instance).unwrap())
}

fn at(component: usize, region: usize, kind: usize) -> Assignment {
    Assignment { component, region, kind }
}

#[test]
fn cost_is_compute_and_egress_by_source() {
    let (catalog, instance) = tiny();
    let costs = |a, b| {
        let verdict = check(&catalog, &instance, &[at(0, a, 0), at(1, b, 0)]);
        assert_eq!(verdict.violations, []);
        (verdict.compute, verdict.egress)
    };
    assert_eq!(costs(0, 0), (100 + 3 * 100, 0));
    assert_eq!(costs(0, 1), (100 + 3 * 90, (5 + 7) * 20));
    assert_eq!(costs(0, 2), (100 + 3 * 80, 5 * 90 + 7 * 70));
    assert_eq!(costs(2, 0), (80 + 3 * 100, 5 * 70 + 7 * 90));
}

#[test]
fn each_kind_of_violation_is_caught_and_a_relaxed_one_is_not() {
    // What is broken, by an instance just too tight for one placement; the same one step looser is not.
    type Tighten = fn(&mut Instance, i64);
    let place = [at(0, 0, 0), at(1, 2, 0)];
    let latency = |target, max_rtt| Some(LatencyBound { target, max_rtt });
    let cases: [(Tighten, Violation); 9] = [
        (
            |instance, step| instance.components[1].vcpu = 3 - step,
            Violation::TypeUnfit { component: 1 },
        ),
        (
            |instance, step| instance.components[1].mem_gib = 9 - step,
            Violation::TypeUnfit { component: 1 },
        ),
        (
            |instance, step| instance.components[0].gpu = 1 - step,
            Violation::TypeUnfit { component: 0 },
        ),
        (
            |instance, step| {
                instance.components[0].arch = ["arm64", "x86_64"][step as usize].into();
            },
            Violation::TypeUnfit { component: 0 },
        ),
        (
            |instance, step| {
                instance.components[1].labels = vec![["hipaa", "gdpr"][step as usize].into()];
            },
            Violation::Labels { component: 1 },
        ),
        (
            |instance, step| {
                instance.components[0].allowed_regions = Some(vec![1, 2 - 2 * step as usize]);
            },
            Violation::RegionNotAllowed { component: 0 },
        ),
        (
            |instance, step| instance.links[0].max_rtt = Some(199 + step),
            Violation::LinkLatency { a: 0, b: 1 },
        ),
        (
            |instance, step| {
                instance.quotas = vec![Quota::Region { region: 2, vcpu: 5 + step }];
            },
            Violation::RegionQuota { region: 2, used: 6, limit: 5 },
        ),
        (
            |instance, step| instance.quotas = vec![Quota::Cloud { cloud: 0, vcpu: 1 + step }],
            Violation::CloudQuota { cloud: 0, used: 2, limit: 1 },
        ),
    ];
    for (tighten, violation) in cases {
        let (catalog, mut instance) = tiny();
        tighten(&mut instance, 0);
        assert_eq!(check(&catalog, &instance, &place).violations, [violation]);
        tighten(&mut instance, 1);
        assert_eq!(check(&catalog, &instance, &place).violations, []);
    }

    let (catalog, mut instance) = tiny();
    instance.components[1].latency = latency(0, 209);
    assert_eq!(
        check(&catalog, &instance, &place).violations,
        [Violation::Latency { component: 1 }]
    );
    instance.components[1].latency = latency(0, 210);
    assert_eq!(check(&catalog, &instance, &place).violations, []);

    let cost = check(&catalog, &instance, &place).cost();
    instance.budget = Some(cost - 1);
    let limit = cost - 1;
    assert_eq!(check(&catalog, &instance, &place).violations, [Violation::Budget { cost, limit }]);
    instance.budget = Some(cost);
    assert_eq!(check(&catalog, &instance, &place).violations, []);

    instance = tiny().1;
    instance.separate_clouds = vec![(0, 1)];
    assert_eq!(check(&catalog, &instance, &place).violations, []);
    let together = [at(0, 0, 0), at(1, 1, 0)];
    assert_eq!(
        check(&catalog, &instance, &together).violations,
        [Violation::SameCloud { a: 0, b: 1 }]
    );
}

#[test]
fn assignments_that_are_missing_doubled_or_of_nothing_are_caught() {
    let (catalog, instance) = tiny();
    let violations = |assign: &[Assignment]| check(&catalog, &instance, assign).violations;
    assert_eq!(violations(&[at(0, 0, 0)]), [Violation::Unassigned { component: 1 }]);
    let doubled = [at(0, 0, 0), at(1, 0, 0), at(1, 1, 0)];
    assert_eq!(violations(&doubled), [Violation::AssignedTwice { component: 1 }]);
    let unoffered = [at(0, 0, 0), at(1, 1, 1)];
    assert_eq!(violations(&unoffered), [Violation::NotOffered { component: 1 }]);
    for unknown in [at(2, 0, 0), at(0, 3, 0), at(0, 0, 2)] {
        let found = violations(&[at(0, 0, 0), at(1, 0, 0), unknown]);
        assert_eq!(found, [Violation::Unknown(unknown)]);
    }
}

#[test]
fn a_verdict_depends_neither_on_the_order_nor_on_a_links_direction() {
    let made = made(3, Shape::FULL);
    for seed in 1..=5 {
        let mut instance = instances::instance(&made, Profile::Hard, 40, seed);
        let mut random = generate::random("assignments", seed);
        let mut assign: Vec<_> = (0..40)
            .map(|component| {
                use rand::RngExt;
                at(component, random.random_range(0..90), random.random_range(0..300))
            })
            .collect();
        let before = check(&made.catalog, &instance, &assign);
        assert!(!before.violations.is_empty());
        assign.reverse();
        for Link { a, b, gib_ab, gib_ba, .. } in &mut instance.links {
            mem::swap(a, b);
            mem::swap(gib_ab, gib_ba);
        }
        let after = check(&made.catalog, &instance, &assign);
        assert_eq!((before.compute, before.egress), (after.compute, after.egress));
        assert_eq!(before.violations.len(), after.violations.len());
    }
}

//! What holds of every solution, however hard the problem. That optima are optima is tested against exhaustive search, beside the other tests of
//! placement.

use std::time::{Duration, Instant};

use cloud_core::ErrorKind;
use rand::{RngExt, SeedableRng, rngs::SmallRng};
use smallvec::smallvec;
use tokio_util::sync::CancellationToken;

use super::*;

const SITES: usize = 12;

/// Items in trees with a few cycles, on twelve sites of three clouds with too little room at the cheap ones.
fn problem(items: usize, seed: u64) -> Problem {
    let mut random = SmallRng::seed_from_u64(seed);
    let cloud = |site: usize| (site / 4) as u32;
    let price = |r: usize, s: usize| match (r == s, cloud(r) == cloud(s)) {
        (true, _) => 0,
        (_, true) => 20,
        _ => 90,
    };
    let prices = (0..SITES * SITES).map(|k| price(k / SITES, k % SITES)).collect();
    let mut need = 0;
    let items: Vec<Item> = (0..items)
        .map(|_| {
            let size: i64 = random.random_range(1..8);
            need += size;
            let options = (0..SITES).map(|site| Offer {
                site: site as u32,
                cost: size * (100 + 7 * site as i64) + random.random_range(0..20),
                uses: smallvec![Use { limit: site as u32, amount: size }],
            });
            Item { options: options.collect() }
        })
        .collect();
    let mut links: Vec<Link> = Vec::new();
    for b in 1..items.len() {
        for _ in 0..if b % 5 == 0 { 2 } else { 1 } {
            links.push(Link {
                a: random.random_range(b.saturating_sub(6)..b) as u32,
                b: b as u32,
                ab: random.random_range(0..9),
                ba: random.random_range(0..9),
                tariff_ab: 0,
                tariff_ba: 0,
                max_rtt: None,
                rtt_cost: 0,
            });
        }
    }
    Problem {
        sites: (0..SITES).map(|site| Site { cloud: cloud(site) }).collect(),
        tariffs: vec![Tariff { prices }],
        items,
        links,
        limits: vec![need / 8 + 7; SITES],
        ..Problem::default()
    }
}

/// What an assignment costs, computed from the problem alone; `None` if it is not valid.
fn cost(problem: &Problem, taken: &[u32]) -> Option<i64> {
    let offer = |item: u32| &problem.items[item as usize].options[taken[item as usize] as usize];
    let price = |t: u32, r: u32, s: u32| {
        problem.tariffs[t as usize].prices[r as usize * problem.sites.len() + s as usize]
    };
    let mut used = vec![0; problem.limits.len()];
    let mut cost = 0;
    for item in 0..problem.items.len() as u32 {
        cost += offer(item).cost;
        for u in &offer(item).uses {
            used[u.limit as usize] += u.amount;
        }
    }
    for link in &problem.links {
        let (a, b) = (offer(link.a).site, offer(link.b).site);
        cost += link.ab * price(link.tariff_ab, a, b) + link.ba * price(link.tariff_ba, b, a);
    }
    used.iter().zip(&problem.limits).all(|(used, limit)| used <= limit).then_some(cost)
}

fn solved(problem: &Problem, options: &SolveOptions) -> Solution {
    let mut last = None;
    let outcome = solve(problem, options, &mut |progress| {
        if let (Some(before), Some(now)) = (last, progress.cost) {
            assert!(now <= before, "seed {}: from {before} up to {now}", options.seed);
        }
        last = progress.cost.or(last);
    });
    match outcome.unwrap() {
        Outcome::Solved(solution) => {
            assert_eq!(cost(problem, &solution.taken), Some(solution.cost));
            assert!(solution.bound <= solution.cost);
            assert!(last.is_none_or(|last| last >= solution.cost));
            solution
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_size_is_solved_validly_within_its_bound() {
    for (items, work, gap) in [(6, 500_000, 0.0), (60, 100_000, 0.2), (300, 100_000, 0.2)] {
        for seed in 0..2 {
            let problem = problem(items, seed);
            let options = SolveOptions { work: Some(work), seed, ..SolveOptions::default() };
            let solution = solved(&problem, &options);
            let found = (solution.cost - solution.bound) as f64 / solution.cost as f64;
            assert!(found <= gap, "{items} items, seed {seed}: gap {found}");
        }
    }
}

#[test]
fn with_a_limit_of_work_the_answer_is_repeatable() {
    for items in [8, 60, 310] {
        let problem = problem(items, 7);
        let options = SolveOptions { work: Some(60_000), seed: 3, ..SolveOptions::default() };
        assert_eq!(solved(&problem, &options), solved(&problem, &options), "{items} items");
    }
}

#[test]
fn a_start_is_never_made_worse() {
    let problem = problem(60, 2);
    let options = SolveOptions { work: Some(60_000), ..SolveOptions::default() };
    let first = solved(&problem, &options);
    let again =
        SolveOptions { start: Some(first.taken.clone()), work: Some(1), ..SolveOptions::default() };
    assert!(solved(&problem, &again).cost <= first.cost);
}

#[test]
fn cancelled_or_out_of_time_it_returns_at_once() {
    let problem = problem(310, 1);
    let cancel = CancellationToken::new();
    cancel.cancel();
    let cancelled = SolveOptions { cancel, work: None, ..SolveOptions::default() };
    let late = SolveOptions { time: Some(Duration::ZERO), work: None, ..SolveOptions::default() };
    for options in [cancelled, late] {
        let start = Instant::now();
        let outcome = solve(&problem, &options, &mut |_| {}).unwrap();
        assert!(!matches!(outcome, Outcome::Infeasible), "nothing was proven: {outcome:?}");
        // Not a measure of speed: without a limit of its own it would go on for ever.
        assert!(start.elapsed() < Duration::from_secs(60));
    }
}

#[test]
fn too_little_room_is_infeasible_and_a_low_ceiling_too() {
    let mut crowded = problem(6, 4);
    crowded.limits = vec![1; SITES];
    let options = SolveOptions::default();
    assert_eq!(solve(&crowded, &options, &mut |_| {}).unwrap(), Outcome::Infeasible);
    let mut dear = problem(6, 4);
    let optimum = solved(&dear, &options);
    assert_eq!(optimum.cost, optimum.bound);
    dear.ceiling = Some(optimum.cost - 1);
    assert_eq!(solve(&dear, &options, &mut |_| {}).unwrap(), Outcome::Infeasible);
    dear.ceiling = Some(optimum.cost);
    assert_eq!(solved(&dear, &options).cost, optimum.cost);
}

#[test]
fn what_counting_proves_impossible_needs_no_search() {
    // Each item fits somewhere, but all of them together do not fit into all sites.
    let mut full = problem(300, 5);
    let need: i64 = full.items.iter().map(|item| item.options[0].uses[0].amount).sum();
    full.limits = vec![(need - 1) / SITES as i64; SITES];
    let no_work = SolveOptions { work: Some(0), ..SolveOptions::default() };
    assert_eq!(solve(&full, &no_work, &mut |_| {}).unwrap(), Outcome::Infeasible);
    // Four that are each to be on a cloud of its own, and three clouds.
    let mut apart = problem(300, 5);
    for a in 0..4 {
        for b in 0..a {
            apart.spreads.push(Spread { items: vec![a, b], scope: Scope::Cloud, most: 1 });
        }
    }
    assert_eq!(solve(&apart, &no_work, &mut |_| {}).unwrap(), Outcome::Infeasible);
    apart.spreads.pop();
    assert!(solve(&apart, &no_work, &mut |_| {}).unwrap() != Outcome::Infeasible);
}

#[test]
fn what_cannot_be_computed_with_is_refused_by_field() {
    type Change = fn(&mut Problem);
    let cases: [(Change, &str); 9] = [
        (|p| p.items[1].options[2].site = 99, "items[1].options[2].site"),
        (|p| p.items[1].options[2].cost = -1, "items[1].options[2].cost"),
        (|p| p.items[0].options[0].cost = i64::MAX, "items[0].options[0].cost"),
        (|p| p.items[0].options[0].uses[0].limit = 50, "items[0].options[0].uses"),
        (|p| p.links[0].b = p.links[0].a, "links[0].a, b"),
        (|p| p.links[0].ab = i64::MAX, "links[0].ab, ba, rtt_cost"),
        (|p| p.links[0].max_rtt = Some(3), "links[0].max_rtt"),
        (|p| p.tariffs[0].prices.truncate(3), "tariffs[0].prices"),
        (|p| p.limits[0] = -4, "limits"),
    ];
    for (change, field) in cases {
        let mut problem = problem(4, 0);
        change(&mut problem);
        let error = solve(&problem, &SolveOptions::default(), &mut |_| {}).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.message().starts_with(field), "{field}: {error}");
    }
}

#[test]
fn a_part_keeps_what_is_cheapest_once_limits_are_priced() {
    // Alone either option fits, so the part has no limit; with a price on it the frugal one is the cheaper.
    let options = || {
        let offer =
            |cost, amount| Offer { site: 0, cost, uses: smallvec![Use { limit: 0, amount }] };
        vec![offer(10, 5), offer(12, 1)]
    };
    let problem = Problem {
        sites: vec![Site { cloud: 0 }],
        items: vec![Item { options: options() }, Item { options: options() }],
        limits: vec![6],
        ..Problem::default()
    };
    let graph = Graph::new(&problem).unwrap();
    let taken = vec![graph.node_options(0).start as u32, graph.node_options(1).start as u32];
    let priced = |option: usize| graph.cost[option] + graph.uses(option)[0].1;
    let (part, ..) = graph.part(&[0], &taken, &[5], priced).unwrap();
    assert!(part.limits.is_empty());
    assert_eq!(part.cost.iter().min(), Some(&13));
}

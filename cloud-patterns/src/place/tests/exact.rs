//! The solver against trying everything: the same optimum, the same 'there is none', on small problems of every kind of constraint.

use proptest::{collection::vec, option, prelude::*};
use smallvec::SmallVec;

use super::brute::brute;
use crate::place::solve::{
    IMPOSSIBLE, Item, Link, Offer, Outcome, Problem, Scope, Site, SolveOptions, Spread, Tariff,
    Together, Use, solve,
};

/// How large a problem may get: as many assignments as can be tried in a debug build.
#[derive(Clone, Copy, Debug)]
struct Size {
    items: usize,
    sites: usize,
    options: usize,
}

fn any_scope() -> impl Strategy<Value = Scope> {
    prop_oneof![Just(Scope::Site), Just(Scope::Cloud)]
}

fn any_item(size: Size, limits: usize) -> impl Strategy<Value = Item> {
    // Amounts of each limit; most options take of few limits, some of none.
    let amounts = vec(option::weighted(0.5, 0i64..6), limits);
    let option = (0..size.sites as u32, 0i64..30, amounts).prop_map(|(site, cost, amounts)| {
        let uses = amounts.into_iter().enumerate();
        let uses = uses.filter_map(|(l, amount)| Some(Use { limit: l as u32, amount: amount? }));
        Offer { site, cost, uses: uses.collect::<SmallVec<_>>() }
    });
    vec(option, 1..=size.options).prop_map(|options| Item { options })
}

fn any_tariff(sites: usize) -> impl Strategy<Value = Tariff> {
    let price = prop_oneof![2 => Just(0i64), 6 => 0i64..7, 1 => Just(IMPOSSIBLE)];
    // As clouds charge it: by source, and whether it leaves the region or the cloud; else at random.
    prop_oneof![
        vec(price, sites * sites).prop_map(|prices| Tariff { prices }),
        vec((0i64..4, 0i64..8), sites).prop_map(move |of| {
            let price = |i: usize| match (i / sites, i % sites) {
                (a, b) if a == b => 0,
                (a, b) if a % 2 == b % 2 => of[a].0,
                (a, _) => of[a].0 + of[a].1,
            };
            Tariff { prices: (0..sites * sites).map(price).collect() }
        }),
    ]
}

fn any_link(items: usize, tariffs: usize) -> impl Strategy<Value = Link> {
    let (tariff, volume) = (0..tariffs as u32, prop_oneof![1 => Just(0i64), 4 => 1i64..5]);
    let ends = (0..items as u32, 1..items as u32);
    let bound = option::weighted(0.3, 0u32..9);
    let rtt_cost = prop_oneof![2 => Just(0i64), 1 => 1i64..4];
    (ends, volume.clone(), volume, tariff.clone(), tariff, bound, rtt_cost).prop_map(
        move |((a, on), ab, ba, tariff_ab, tariff_ba, max_rtt, rtt_cost)| Link {
            a,
            b: (a + on) % items as u32,
            ab,
            ba,
            tariff_ab,
            tariff_ba,
            max_rtt,
            rtt_cost,
        },
    )
}

/// Some of the items, each once: two of them, or any number.
fn some_items(items: usize) -> impl Strategy<Value = Vec<u32>> {
    let all: Vec<u32> = (0..items as u32).collect();
    prop_oneof![
        2 => proptest::sample::subsequence(all.clone(), 2),
        1 => proptest::sample::subsequence(all, 2..=items),
    ]
}

fn any_together(items: usize) -> impl Strategy<Value = Together> {
    (some_items(items), any_scope()).prop_map(|(items, scope)| Together { items, scope })
}

fn any_problem(size: Size) -> impl Strategy<Value = Problem> {
    let Size { items, sites, .. } = size;
    let clouds = vec(0u32..3, sites)
        .prop_map(|clouds| clouds.into_iter().map(|cloud| Site { cloud }).collect::<Vec<_>>());
    let rtt = vec(prop_oneof![9 => 0u32..10, 1 => Just(u32::MAX)], sites * sites);
    let limits = vec(prop_oneof![1 => 0i64..6, 3 => 3i64..16], 0..4);
    let spread = (some_items(items), any_scope(), 1u32..3)
        .prop_map(|(items, scope, most)| Spread { items, scope, most });
    let relations = (
        rtt,
        vec(any_tariff(sites), 1..4),
        vec(spread, 0..4),
        prop_oneof![3 => Just(0usize), 2 => 1usize..3]
            .prop_flat_map(move |n| vec(any_together(items), n)),
        option::weighted(0.25, 0i64..120),
    );
    (clouds, relations, limits).prop_flat_map(move |(clouds, relations, limits)| {
        let (rtt, tariffs, spreads, together, ceiling) = relations;
        let links = vec(any_link(items, tariffs.len()), 0..=items + 2);
        (vec(any_item(size, limits.len()), items), links).prop_map(move |(rows, links)| {
            // Alike from both ends.
            let cell =
                |i: usize| rtt[(i / sites).min(i % sites) * sites + (i / sites).max(i % sites)];
            Problem {
                sites: clouds.clone(),
                rtt: (0..sites * sites).map(cell).collect(),
                tariffs: tariffs.clone(),
                items: rows,
                links,
                spreads: spreads.clone(),
                together: together.clone(),
                limits: limits.clone(),
                ceiling,
            }
        })
    })
}

/// Problems of few items with many options, and of many items with few.
fn any_small_problem() -> impl Strategy<Value = Problem> {
    prop_oneof![
        any_problem(Size { items: 3, sites: 5, options: 12 }),
        any_problem(Size { items: 4, sites: 4, options: 8 }),
        any_problem(Size { items: 6, sites: 4, options: 4 }),
        any_problem(Size { items: 8, sites: 3, options: 3 }),
    ]
}

/// What an assignment costs, read off the definition; or which constraint it breaks.
fn value(problem: &Problem, taken: &[u32]) -> Result<i64, String> {
    let offers: Vec<&Offer> =
        problem.items.iter().zip(taken).map(|(item, o)| &item.options[*o as usize]).collect();
    let site = |item: u32| offers[item as usize].site as usize;
    let scoped = |item: u32, scope: Scope| match scope {
        Scope::Site => site(item),
        Scope::Cloud => problem.sites[site(item)].cloud as usize,
    };
    for (l, limit) in problem.limits.iter().enumerate() {
        let uses = offers.iter().flat_map(|offer| &offer.uses);
        let used: i64 = uses.filter(|u| u.limit as usize == l).map(|u| u.amount).sum();
        if used > *limit {
            return Err(format!("limit {l}: {used} of {limit}"));
        }
    }
    for spread in &problem.spreads {
        for place in 0..problem.sites.len() {
            let there = spread.items.iter().filter(|i| scoped(**i, spread.scope) == place);
            if there.count() > spread.most as usize {
                return Err(format!("{spread:?} at {place}"));
            }
        }
    }
    for group in &problem.together {
        let mut places = group.items.iter().map(|i| scoped(*i, group.scope));
        let first = places.next();
        if places.any(|place| Some(place) != first) {
            return Err(format!("{group:?}"));
        }
    }
    let mut cost: i64 = offers.iter().map(|offer| offer.cost).sum();
    for link in &problem.links {
        let (a, b, count) = (site(link.a), site(link.b), problem.sites.len());
        let rtt = problem.rtt[a * count + b];
        if link.max_rtt.is_some_and(|max| rtt > max) || (link.rtt_cost > 0 && rtt == u32::MAX) {
            return Err(format!("{link:?} is {rtt}"));
        }
        let there = problem.tariffs[link.tariff_ab as usize].prices[a * count + b];
        let back = problem.tariffs[link.tariff_ba as usize].prices[b * count + a];
        for (units, price) in [(link.ab, there), (link.ba, back), (link.rtt_cost, rtt.into())] {
            match (units, price) {
                (0, _) => {}
                (_, IMPOSSIBLE) => return Err(format!("{link:?} cannot be")),
                (units, price) => cost += units * price,
            }
        }
    }
    match problem.ceiling {
        Some(ceiling) if cost > ceiling => Err(format!("{cost} of at most {ceiling}")),
        _ => Ok(cost),
    }
}

/// More work than a small problem may take.
const ENOUGH: u64 = 20_000;

fn solved(problem: &Problem, options: &SolveOptions) -> Outcome {
    solve(problem, options, &mut |_| {}).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_optimum_is_found_and_proven(
        problem in any_small_problem(),
        seed in 0u64..4,
        first in any::<bool>(),
    ) {
        // Whatever it begins with, valid or not.
        let start = first.then(|| vec![0; problem.items.len()]);
        let work = Some(ENOUGH);
        let options = SolveOptions { seed, start, work, ..SolveOptions::default() };
        let outcome = solved(&problem, &options);
        match (brute(&problem), outcome) {
            (Some(best), Outcome::Solved(found)) => {
                prop_assert_eq!(value(&problem, &best.taken), Ok(best.cost));
                prop_assert_eq!(value(&problem, &found.taken), Ok(found.cost));
                prop_assert_eq!((found.cost, found.bound), (best.cost, best.cost));
            }
            (None, Outcome::Infeasible) => {}
            (best, outcome) => prop_assert!(false, "{best:?} by trying, {outcome:?} by the solver"),
        }
    }

    #[test]
    fn what_is_found_with_little_work_is_valid_and_its_bound_holds(
        problem in any_small_problem(),
        work in prop_oneof![Just(0u64), 1u64..200],
        gap in prop_oneof![Just(0.0), Just(0.2), Just(f64::INFINITY)],
    ) {
        let options = SolveOptions { work: Some(work), gap, ..SolveOptions::default() };
        let outcome = solved(&problem, &options);
        prop_assert_eq!(&outcome, &solved(&problem, &options));
        match (brute(&problem), outcome) {
            (Some(best), Outcome::Solved(found)) => {
                prop_assert_eq!(value(&problem, &found.taken), Ok(found.cost));
                prop_assert!(found.bound <= best.cost && best.cost <= found.cost, "{best:?}, {found:?}");
            }
            (best, Outcome::Unknown { bound }) => {
                prop_assert!(best.is_none_or(|best| bound <= best.cost), "{bound}");
            }
            (None, Outcome::Infeasible) => {}
            (best, outcome) => prop_assert!(false, "{best:?} by trying, {outcome:?} by the solver"),
        }
    }

    #[test]
    fn whether_there_is_any_is_told_without_looking_for_the_best(problem in any_small_problem()) {
        let work = Some(ENOUGH);
        let options = SolveOptions { gap: f64::INFINITY, work, ..SolveOptions::default() };
        match solved(&problem, &options) {
            Outcome::Solved(found) => {
                prop_assert_eq!(value(&problem, &found.taken), Ok(found.cost));
            }
            other => {
                prop_assert_eq!(other, Outcome::Infeasible);
                prop_assert_eq!(brute(&problem), None);
            }
        }
    }
}

/// The generator draws what is worth testing: problems with and without an answer, and every kind of constraint at work.
#[test]
fn the_problems_are_varied() {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};
    let mut runner = TestRunner::deterministic();
    let drawn: Vec<Problem> =
        (0..200).map(|_| any_small_problem().new_tree(&mut runner).unwrap().current()).collect();
    let feasible = drawn.iter().filter(|problem| brute(problem).is_some()).count();
    assert!((60..=160).contains(&feasible), "{feasible} of 200 have an answer");
    // How many have another answer, or one at all, without a kind of constraint.
    let cost = |problem: &Problem| brute(problem).map(|best| best.cost);
    type Without = (&'static str, fn(&mut Problem));
    let without: [Without; 6] = [
        ("limits", |p| p.limits.iter_mut().for_each(|limit| *limit = i64::MAX / 4)),
        ("spreads", |p| p.spreads.clear()),
        ("together", |p| p.together.clear()),
        ("links", |p| p.links.clear()),
        ("round trips", |p| p.links.iter_mut().for_each(|link| link.max_rtt = None)),
        ("ceiling", |p| p.ceiling = None),
    ];
    for (kind, drop) in without {
        let matters = drawn.iter().filter(|problem| {
            let mut loose = (*problem).clone();
            drop(&mut loose);
            cost(&loose) != cost(problem)
        });
        assert!(matters.count() >= 5, "{kind} hardly ever matter");
    }
}

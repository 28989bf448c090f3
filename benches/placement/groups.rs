//! The groups of instances, and the goal of each.

use super::{
    clash::Clash,
    instances::Profile,
    references::Method,
    report::Goal,
    run::{Case, Kind, Run},
};

pub(crate) const GROUPS: [&str; 6] = ["small", "medium", "easy", "large", "chains", "infeasible"];

/// The cases of a group with their goals; `quick` keeps what is done in half a minute.
pub(crate) fn cases(group: &str, quick: bool) -> Vec<(Case, Vec<Goal>)> {
    use Method::{CpSat, Highs, HighsLp, SkyPilot};
    use Profile::{Easy, Hard, Std};
    let case = |profile, count, seconds, aim, references: &[(Method, u32)]| Case {
        kind: Kind::Profile(profile),
        count,
        seconds,
        aim,
        seeds: if quick { 1 } else { 3 },
        references: references.to_vec(),
    };
    match group {
        "small" => {
            let references: &[_] = if quick { &[(CpSat, 20)] } else { &[(CpSat, 60), (Highs, 60)] };
            let each = |profile| {
                let goals = vec![PROVEN, TENTH_OF_CP_SAT, NOT_DEARER, FIRST];
                let mut small = case(profile, 10, 10.0, None, references);
                small.seeds *= 3;
                (small, goals)
            };
            [Std, Hard].map(each).into()
        }
        "medium" => {
            let references: &[_] = if quick { &[] } else { &[(CpSat, 120), (Highs, 120)] };
            let goals = vec![NOT_DEARER, IN_TIME, FIRST];
            vec![(case(Std, 100, 10.0, Some(10.0), references), goals)]
        }
        "easy" => vec![
            (
                case(Easy, 1_000, 10.0, None, &[(HighsLp, 60)]),
                vec![PROVEN, HUNDREDTH_OF_LP, NOT_DEARER, FIRST],
            ),
            (case(Easy, 10_000, 10.0, Some(0.5), &[]), vec![TEN_THOUSANDTH, FIRST]),
        ],
        "large" => {
            let mut cases = vec![
                (case(Std, 1_000, 10.0, Some(10.0), &[]), vec![HUNDREDTH, FIRST]),
                (case(Hard, 100, 10.0, Some(10.0), &[]), vec![FEASIBLE, UNDER_GREEDY, FIRST]),
            ];
            if !quick {
                cases.push((
                    case(Std, 10_000, 60.0, Some(60.0), &[]),
                    vec![HUNDREDTH, MEMORY, FIRST],
                ));
                let goals = vec![FEASIBLE, UNDER_GREEDY, FIRST];
                cases.push((case(Hard, 1_000, 60.0, Some(60.0), &[]), goals));
            }
            cases
        }
        "chains" => {
            let references: &[_] = if quick { &[] } else { &[(SkyPilot, 300)] };
            let each = |kind, count, goals| {
                let chain = case(Profile::Easy, count, 10.0, None, references);
                (Case { kind, ..chain }, goals)
            };
            vec![
                each(
                    Kind::Chain(500),
                    100,
                    vec![PROVEN, THOUSANDTH_OF_SKYPILOT, NOT_DEARER, FIRST],
                ),
                each(Kind::Tree(90), 31, vec![PROVEN, NOT_DEARER]),
            ]
        }
        _ => {
            let each = |clash| {
                let profile = Profile::Infeasible(clash);
                (case(profile, 30, 10.0, Some(10.0), &[]), vec![REFUSED, IN_TIME])
            };
            Clash::ALL.map(each).into()
        }
    }
}

const PROVEN: Goal = Goal {
    text: "proven optimum (gap)",
    limit: 0.0,
    measure: |run| Some(run.ours.gap().unwrap_or(f64::INFINITY)),
};

const TENTH_OF_CP_SAT: Goal = Goal {
    text: "time as a share of CP-SAT's",
    limit: 0.1,
    measure: |run| share_of(run, Method::CpSat),
};

const HUNDREDTH_OF_LP: Goal = Goal {
    text: "time as a share of the LP's by HiGHS",
    limit: 0.01,
    measure: |run| share_of(run, Method::HighsLp),
};

const THOUSANDTH_OF_SKYPILOT: Goal = Goal {
    text: "time as a share of SkyPilot's",
    limit: 0.001,
    measure: |run| share_of(run, Method::SkyPilot),
};

const NOT_DEARER: Goal = Goal {
    text: "cost over the best reference's",
    limit: 1.0,
    measure: |run| Some(cost(run) / run.best_reference()?.cost?),
};

/// A second over is the starting and stopping.
const IN_TIME: Goal =
    Goal { text: "seconds in all", limit: 11.0, measure: |run| Some(run.ours.used.wall) };

const TEN_THOUSANDTH: Goal = Goal {
    text: "seconds to a gap of 0.01 %",
    limit: 0.5,
    measure: |run| Some(run.ours.seconds_to(1e-4).unwrap_or(f64::INFINITY)),
};

/// Of the time that is given.
const HUNDREDTH: Goal =
    Goal { text: "gap", limit: 0.01, measure: |run| Some(run.ours.gap().unwrap_or(f64::INFINITY)) };

const MEMORY: Goal = Goal {
    text: "peak MiB",
    limit: 1024.0,
    measure: |run| Some(run.ours.used.peak_bytes / 1048576.0),
};

const FEASIBLE: Goal = Goal {
    text: "without a placement",
    limit: 0.0,
    measure: |run| Some(if run.ours.cost.is_some() { 0.0 } else { 1.0 }),
};

const UNDER_GREEDY: Goal = Goal {
    text: "cost over greedy's",
    limit: 0.85,
    measure: |run| Some(cost(run) / run.greedy? as f64),
};

const REFUSED: Goal = Goal {
    text: "not refused with a clash",
    limit: 0.0,
    measure: |run| {
        let refused = run.ours.status == "infeasible" && !run.ours.clash.is_empty();
        Some(if refused { 0.0 } else { 1.0 })
    },
};

/// The time of each goal is a set one, or the share of a reference's that the goal names.
const FIRST: Goal = Goal {
    text: "first solution as a share of the goal's time",
    limit: 0.1,
    measure: |run| {
        let of = |method, share| Some(run.reference(method)?.seconds * share);
        let aim = (run.aim)
            .or_else(|| of(Method::CpSat, 0.1))
            .or_else(|| of(Method::HighsLp, 0.01))
            .or_else(|| of(Method::SkyPilot, 0.001))?;
        Some(run.ours.first_solution_seconds.unwrap_or(run.ours.seconds) / aim)
    },
};

fn share_of(run: &Run, method: Method) -> Option<f64> {
    Some(run.ours.seconds / run.reference(method)?.seconds)
}

fn cost(run: &Run) -> f64 {
    run.ours.cost.unwrap_or(f64::INFINITY)
}

//! Placements of coupled instances: how good they are, how far that is proven, and what they take.
//!
//! `cargo bench --bench placement [-- GROUP…]` with the groups small, medium, easy, large, growth, chains and
//! infeasible; all of them without a name. `-- quick` keeps to one seed and to what is soon done.
//!
//! Instances are generated, our solver is the example `place`, and each answer is checked anew. Beside it stand a
//! greedy placement, HiGHS, CP-SAT and SkyPilot's optimizer; these need python3 and PyPI, and are skipped without.
//! Figures are medians over seeds. Only a wrong answer is an error, a goal that is missed is not.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::{collections::BTreeMap, path::PathBuf, process::ExitCode};

#[path = "placement/chains.rs"]
mod chains;
#[path = "placement/check.rs"]
mod check;
#[path = "placement/clash.rs"]
mod clash;
#[path = "placement/facts.rs"]
mod facts;
#[path = "placement/format.rs"]
mod format;
#[path = "placement/generate.rs"]
mod generate;
#[path = "placement/greedy.rs"]
mod greedy;
#[path = "placement/groups.rs"]
mod groups;
#[path = "placement/instances.rs"]
mod instances;
#[path = "placement/ours.rs"]
mod ours;
#[path = "placement/references.rs"]
mod references;
#[path = "placement/report.rs"]
mod report;
#[path = "placement/run.rs"]
mod run;

use report::{Goal, Row, median};
use run::{Bench, Case, Run};

/// Growth is between instances of the other groups.
const GROWTH: &str = "growth";

fn main() -> ExitCode {
    if std::env::var_os(ours::MEASURE).is_some() {
        return ended(ours::measure().map(|()| true));
    }
    let words: Vec<String> =
        std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    ended(bench(&words))
}

fn ended(result: Result<bool, String>) -> ExitCode {
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the groups that are named, and returns whether all answers were right.
fn bench(words: &[String]) -> Result<bool, String> {
    let quick = words.iter().any(|word| word == "quick");
    let named: Vec<&str> =
        words.iter().map(String::as_str).filter(|&word| word != "quick").collect();
    let known = |word: &str| word == GROWTH || groups::GROUPS.contains(&word);
    if let Some(unknown) = named.iter().find(|word| !known(word)) {
        let all = groups::GROUPS.join(", ");
        return Err(format!("no group {unknown:?}; there are {all}, {GROWTH} and quick"));
    }
    let wanted = |group: &str| named.is_empty() || named.contains(&group);
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("placement");
    println!("instances and answers are in {}", folder.display());
    let mut sweep = Sweep { bench: Bench::new(folder)?, done: BTreeMap::new() };
    let mut right = true;
    for group in groups::GROUPS.into_iter().filter(|group| wanted(group)) {
        right &= sweep.group(group, groups::cases(group, quick))?;
    }
    if wanted(GROWTH) && !quick {
        sweep.growth()?;
    }
    Ok(right)
}

/// All runs of this process, so that none is made twice.
struct Sweep {
    bench: Bench,
    done: BTreeMap<String, Vec<(u64, Run)>>,
}

impl Sweep {
    fn group(&mut self, group: &str, cases: Vec<(Case, Vec<Goal>)>) -> Result<bool, String> {
        for (case, _) in &cases {
            self.runs(case)?;
        }
        let row = |(case, goals): &'_ (Case, Vec<Goal>)| (case.name(), case.clone(), goals.clone());
        let rows: Vec<_> = cases.iter().map(row).collect();
        let rows: Vec<_> = rows
            .iter()
            .map(|(name, case, goals)| Row { case, goals, runs: &self.done[name] })
            .collect();
        let right = report::print(group, &rows);
        for row in &rows {
            for (seed, run) in row.runs {
                for words in &run.ours.clash {
                    println!("{}, seed {seed}: {words}", row.case.name());
                }
            }
        }
        Ok(right)
    }

    fn runs(&mut self, case: &Case) -> Result<&[(u64, Run)], String> {
        let name = case.name();
        if !self.done.contains_key(&name) {
            let mut runs = Vec::new();
            for seed in 1..=case.seeds {
                let run = self.bench.run(case, seed)?;
                println!("{name}, seed {seed}: {}", line(&run));
                runs.push((seed, run));
            }
            self.done.insert(name.clone(), runs);
        }
        Ok(&self.done[&name])
    }

    /// How much longer ten times the components take to the same gap.
    fn growth(&mut self) -> Result<(), String> {
        const MOST: f64 = 15.0;
        println!("\n## {GROWTH}");
        for (group, profile, gap) in [("easy", "easy", 1e-4), ("large", "std", 1e-2)] {
            let mut times = Vec::new();
            for count in [1_000, 10_000] {
                let name = format!("{profile} {count}");
                let mut cases = groups::cases(group, false).into_iter().map(|(case, _)| case);
                let mut case = cases.find(|case| case.name() == name).ok_or("no such case")?;
                case.references.clear();
                let runs = self.runs(&case)?;
                let seconds = runs.iter().map(|(_, run)| run.ours.seconds_to(gap));
                times.push(median(seconds.map(|seconds| seconds.unwrap_or(f64::INFINITY))));
            }
            if let [Some(small), Some(large)] = times[..] {
                let grown = large / small;
                let word = if grown < MOST { "met" } else { "MISSED" };
                println!(
                    "{profile}: {} s, then {} s to a gap of {} %: {grown:.1} times: {word} (under {MOST})",
                    report::seconds(small),
                    report::seconds(large),
                    gap * 100.0
                );
            }
        }
        Ok(())
    }
}

/// One run in one line, to follow a long bench.
fn line(run: &Run) -> String {
    let figure = |value: Option<f64>| value.map_or("-".into(), |value| format!("{value:.0}"));
    let mut text = format!(
        "{} {} (bound {}) in {} s; greedy {}",
        run.ours.status,
        figure(run.ours.cost),
        figure(run.ours.bound),
        report::seconds(run.ours.seconds),
        figure(run.greedy.map(|cost| cost as f64)),
    );
    for (_, reference) in &run.references {
        text += &format!(
            "; {} {} {} (bound {}) in {} s",
            reference.method,
            reference.status,
            figure(reference.cost),
            figure(reference.bound),
            report::seconds(reference.seconds)
        );
    }
    text
}

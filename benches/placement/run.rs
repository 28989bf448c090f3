//! One instance: generated, placed by the baseline, by us and by the references, and checked.

use std::path::PathBuf;

use super::{
    chains,
    check::check,
    format::{Assignment, Catalog, Instance, write},
    generate::{self, Made, Shape},
    greedy::greedy,
    instances::{self, Profile},
    ours::{Answer, Solver},
    references::{Method, Reference, References},
};

/// The catalog that all instances are on.
const CATALOG_SEED: u64 = 1;

/// What an instance is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Profile(Profile),
    /// With so many candidates.
    Chain(usize),
    Tree(usize),
}

/// Instances of one kind and size, one for each seed.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) kind: Kind,
    pub(crate) count: usize,
    /// What the solver is given.
    pub(crate) seconds: f64,
    /// And the time in which the goal is to be met, where that does not follow from a reference.
    pub(crate) aim: Option<f64>,
    /// From 1 up.
    pub(crate) seeds: u64,
    /// With seconds for each.
    pub(crate) references: Vec<(Method, u32)>,
}

impl Case {
    pub(crate) fn name(&self) -> String {
        let (kind, clash) = match self.kind {
            Kind::Profile(Profile::Infeasible(clash)) => ("infeasible", format!(" {clash:?}")),
            Kind::Profile(profile) => (profile.name(), String::new()),
            Kind::Chain(candidates) => ("chain", format!(" x {candidates}")),
            Kind::Tree(candidates) => ("tree", format!(" x {candidates}")),
        };
        format!("{kind} {}{clash}", self.count)
    }
}

/// What became of one instance.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) greedy: Option<i64>,
    pub(crate) ours: Answer,
    pub(crate) aim: Option<f64>,
    pub(crate) references: Vec<(Method, Reference)>,
    /// References that did not run, and why.
    pub(crate) skipped: Vec<String>,
    /// What the check has against our answer or a reference's.
    pub(crate) faults: Vec<String>,
}

impl Run {
    pub(crate) fn reference(&self, method: Method) -> Option<&Reference> {
        self.references.iter().find(|(of, _)| *of == method).map(|(_, reference)| reference)
    }

    /// The least that a reference found.
    pub(crate) fn best_reference(&self) -> Option<&Reference> {
        let found = self.references.iter().map(|(_, reference)| reference);
        let costs = found.filter_map(|reference| Some((reference.cost?, reference)));
        costs.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, reference)| reference)
    }
}

/// Where the files are, and who solves them.
#[derive(Debug)]
pub(crate) struct Bench {
    folder: PathBuf,
    solver: Solver,
    references: References,
    full: Option<Made>,
    lean: Option<Made>,
}

impl Bench {
    pub(crate) fn new(folder: PathBuf) -> Result<Self, String> {
        std::fs::create_dir_all(&folder)
            .map_err(|error| format!("{}: {error}", folder.display()))?;
        let references = References::new(&folder);
        Ok(Self { folder, solver: Solver::build()?, references, full: None, lean: None })
    }

    pub(crate) fn run(&mut self, case: &Case, seed: u64) -> Result<Run, String> {
        let (made, shape, name) = match case.kind {
            Kind::Profile(_) => (&mut self.full, Shape::FULL, "catalog.json"),
            Kind::Chain(_) | Kind::Tree(_) => (&mut self.lean, chains::SHAPE, "catalog-lean.json"),
        };
        let catalog = self.folder.join(name);
        let made = match made {
            Some(made) => made,
            none => none.insert(generate::catalog(CATALOG_SEED, shape, &catalog)?),
        };
        let instance = match case.kind {
            Kind::Profile(profile) => instances::instance(made, profile, case.count, seed),
            Kind::Chain(candidates) => chains::chain(made, case.count, candidates, seed),
            Kind::Tree(candidates) => chains::tree(made, case.count, candidates, seed),
        };
        let file = self.folder.join(format!("{} {seed}.json", case.name()).replace(' ', "-"));
        write(&file, &instance)?;

        let mut faults = Vec::new();
        let greedy = greedy(&made.catalog, &instance).ok();
        let greedy = greedy.map(|assign| check(&made.catalog, &instance, &assign).cost());
        let mut ours = self.solver.place(&catalog, &file, case.seconds).unwrap_or_else(|why| {
            faults.push(why);
            Answer::failed()
        });
        if !ours.assign.is_empty() {
            let cost = check(&made.catalog, &instance, &ours.assign).cost() as f64;
            let cost = *ours.cost.get_or_insert(cost);
            faults.extend(fault("ours", &made.catalog, &instance, &ours.assign, cost));
        }
        let (mut references, mut skipped) = (Vec::new(), Vec::new());
        for &(method, seconds) in &case.references {
            match self.references.solve(method, &catalog, &file, seconds) {
                Ok(reference) => {
                    let cost = reference.cost;
                    faults.extend(cost.and_then(|cost| {
                        fault(method.name(), &made.catalog, &instance, &reference.assign, cost)
                    }));
                    references.push((method, reference));
                }
                Err(why) => skipped.push(format!("{}: {why}", method.name())),
            }
        }
        faults.extend(contradictions(&ours, &references));
        Ok(Run { greedy, ours, aim: case.aim, references, skipped, faults })
    }
}

/// What is wrong with a placement that is said to cost so much.
fn fault(
    who: &str,
    catalog: &Catalog,
    instance: &Instance,
    assign: &[Assignment],
    cost: f64,
) -> Option<String> {
    let verdict = check(catalog, instance, assign);
    match verdict.violations.first() {
        Some(first) => Some(format!("{who}: {} violations, as {first}", verdict.violations.len())),
        None if (verdict.cost() as f64 - cost).abs() > 0.5 => {
            Some(format!("{who}: costs {}, not {cost}", verdict.cost()))
        }
        None => None,
    }
}

/// A bound above what somebody else found is none.
fn contradictions(ours: &Answer, references: &[(Method, Reference)]) -> Vec<String> {
    let ours = ("ours", ours.cost, ours.bound);
    let others = references.iter().map(|(method, found)| (method.name(), found.cost, found.bound));
    let all: Vec<_> = std::iter::once(ours).chain(others).collect();
    let above = |bound: f64, cost: f64| bound > cost * (1.0 + 1e-6) + 1.0;
    let mut found = Vec::new();
    for (who, _, bound) in &all {
        for (other, cost, _) in &all {
            if let (Some(bound), Some(cost)) = (bound, cost)
                && above(*bound, *cost)
            {
                found.push(format!("{who}: bound {bound} is above the {cost} of {other}"));
            }
        }
    }
    found
}

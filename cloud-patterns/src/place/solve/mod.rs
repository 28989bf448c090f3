//! The solver: the cheapest valid assignment of a [`Problem`], with a proven bound on how much cheaper any other could be.
//!
//! How it goes about it, file by file:
//!
//! - [`problem`](Problem): what it is told, in plain numbers.
//! - `graph`: the same made ready: dominated options dropped, what goes together made one node, all flat in memory.
//! - `messages`: what the best behind a node costs, for each place of its neighbour. Traffic is priced by source and by the
//!   cloud of its destination, so a message takes time linear in the sites, not quadratic.
//! - `bound`: limits become prices (Lagrangian relaxation); what is left falls apart into parts. A part that is a tree is solved
//!   exactly by dynamic programming, one with cycles is bounded by tree-reweighted messages (Kolmogorov, 2006).
//! - `branch`: branch and bound over that, on whether linked nodes share their site and on who takes of a limit. It solves small
//!   problems whole, and the small parts of large ones.
//! - `counting`: what counting alone proves impossible.
//! - `columns`, `anneal`: a first valid assignment: the parts' choices at various prices put together, then repaired by many small moves.
//! - `lns`: improvement: some nodes are freed and placed anew, exactly, while the others stay.
//! - `coupled`: the order of all that. What no limit binds to the rest is solved by itself, exactly.
//!
//! Pure but for the clock that a time limit needs: with a limit of work instead, the same problem, options and seed give the same answer
//! on every machine. Blocks for as long as its limits allow; two threads are used. Cancel it by its token.

mod anneal;
mod bound;
mod branch;
mod columns;
mod counting;
mod coupled;
mod effort;
mod graph;
mod lns;
mod messages;
mod problem;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use cloud_core::Result;
use tokio_util::sync::CancellationToken;

use self::{
    bound::Dual,
    branch::{Rounds, branch_and_bound},
    effort::Effort,
    graph::{Graph, NEVER},
};
pub use problem::{
    IMPOSSIBLE, Item, Link, Offer, Problem, Scope, Site, Spread, Tariff, Together, Use,
};

/// How far the solver goes.
#[derive(Clone, Debug)]
pub struct SolveOptions {
    /// What its random choices are drawn from.
    pub seed: u64,
    /// The longest time; the best so far is returned then.
    pub time: Option<Duration>,
    /// The most work, in steps of about a microsecond.
    pub work: Option<u64>,
    /// Stop once the cost is proven to be within this share of the optimum: 0 for the optimum itself.
    pub gap: f64,
    /// An assignment to begin with: for each item the index of an option.
    pub start: Option<Vec<u32>>,
    /// Cancelled to have it stop with the best so far.
    pub cancel: CancellationToken,
}

impl Default for SolveOptions {
    fn default() -> Self {
        Self {
            seed: 0,
            time: None,
            work: Some(2_000_000),
            gap: 0.0,
            start: None,
            cancel: CancellationToken::new(),
        }
    }
}

/// An assignment, and what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Solution {
    /// For each item the index of the option taken.
    pub taken: Vec<u32>,
    /// What it costs.
    pub cost: i64,
    /// No valid assignment costs less.
    pub bound: i64,
}

/// What the solver found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A valid assignment: the optimum, if its bound is its cost.
    Solved(Solution),
    /// There is none: proven.
    Infeasible,
    /// None was found within the limits, nor was it proven that there is none.
    Unknown {
        /// No valid assignment costs less.
        bound: i64,
    },
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// Since the start.
    pub elapsed: Duration,
    /// The cost of the best assignment so far.
    pub cost: Option<i64>,
    /// No valid assignment costs less.
    pub bound: i64,
}

/// Solves a problem: the best assignment that time and work allow, with its bound. Each improvement is reported as it is found.
///
/// ```
/// use cloud_patterns::place::solve::{Item, Link, Offer, Outcome, Problem, Site, SolveOptions, Tariff, solve};
/// use smallvec::SmallVec;
///
/// let at = |site, cost| Offer { site, cost, uses: SmallVec::new() };
/// let problem = Problem {
///     sites: vec![Site { cloud: 0 }, Site { cloud: 1 }],
///     // The second is cheaper for one of them by 3, but a unit of traffic between the clouds costs 2.
///     items: vec![Item { options: vec![at(0, 10), at(1, 30)] }, Item { options: vec![at(0, 10), at(1, 7)] }],
///     tariffs: vec![Tariff { prices: vec![0, 2, 2, 0] }],
///     links: vec![Link { a: 0, b: 1, ab: 5, ba: 0, tariff_ab: 0, tariff_ba: 0, max_rtt: None, rtt_cost: 0 }],
///     ..Problem::default()
/// };
/// let Outcome::Solved(solution) = solve(&problem, &SolveOptions::default(), &mut |_| {})? else { panic!() };
/// assert_eq!((solution.cost, solution.bound, solution.taken), (20, 20, vec![0, 0]));
/// # Ok::<_, cloud_core::Error>(())
/// ```
///
/// # Errors
/// [`InvalidInput`](cloud_core::ErrorKind::InvalidInput) for an index out of range, a negative number or a sum that overflows.
pub fn solve(
    problem: &Problem,
    options: &SolveOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<Outcome> {
    problem.check()?;
    let mut effort = Effort::new(options);
    let Some(graph) = Graph::new(problem).filter(|graph| !counting::impossible(graph)) else {
        return Ok(Outcome::Infeasible);
    };
    let mut free = match Free::solve(&graph, &mut effort) {
        Some(free) => free,
        None => return Ok(Outcome::Infeasible),
    };
    let mut report = |cost: Option<i64>, bound: f64, effort: &Effort| {
        progress(Progress {
            elapsed: effort.elapsed(),
            cost: cost.map(|cost| cost + free.cost),
            bound: whole(free.bound + bound),
        });
    };
    let mut cost = Some(0);
    let mut bound = 0.0;
    if free.coupled.is_empty() {
        report(cost, bound, &effort);
    } else {
        let used = free.used(&graph);
        let Some((part, stands_for, _)) =
            graph.part(&free.coupled, &free.taken, &used, |o| graph.cost[o])
        else {
            return Ok(Outcome::Infeasible);
        };
        let start = options.start.as_ref().map(|start| {
            let all = graph.fold(start);
            let own = free.coupled.iter().enumerate().map(|(k, node)| {
                let mut options = part.node_options(k);
                let first = options.start;
                options.find(|o| stands_for[*o] == all[*node as usize]).unwrap_or(first) as u32
            });
            own.collect()
        });
        let goals = coupled::Goals {
            seed: options.seed,
            gap: options.gap,
            start,
            known: free.bound,
            ceiling: problem.ceiling.map_or(i64::MAX / 2, |ceiling| ceiling - free.cost),
        };
        let answer = coupled::solve(&part, &goals, &mut effort, &mut report);
        bound = answer.bound;
        cost = answer.best.as_ref().map(|best| best.cost);
        if bound == f64::INFINITY {
            return Ok(Outcome::Infeasible);
        }
        for (node, option) in free.coupled.iter().zip(answer.best.map_or(Vec::new(), |b| b.taken)) {
            free.taken[*node as usize] = stands_for[option as usize];
        }
    }
    let bound = whole(free.bound + bound);
    let Some(cost) = cost.map(|cost| cost + free.cost) else {
        return Ok(match problem.ceiling {
            Some(ceiling) if bound > ceiling => Outcome::Infeasible,
            _ => Outcome::Unknown { bound },
        });
    };
    Ok(match problem.ceiling {
        Some(ceiling) if bound > ceiling => Outcome::Infeasible,
        Some(ceiling) if cost > ceiling => Outcome::Unknown { bound },
        _ => Outcome::Solved(Solution {
            taken: graph.unfold(&free.taken),
            cost,
            bound: bound.min(cost),
        }),
    })
}

/// Costs are whole numbers, so a bound is rounded up; what rounding of sums may have added is taken off before.
fn whole(bound: f64) -> i64 {
    (bound - bound.abs() * 1e-12 - 1e-3).ceil() as i64
}

/// The parts that no limit binds to others, solved each by itself.
struct Free {
    /// For each node the option taken; of those that limits bind, any.
    taken: Vec<u32>,
    cost: i64,
    bound: f64,
    /// The nodes that limits bind.
    coupled: Vec<u32>,
}

impl Free {
    /// `None` if one of them has no valid assignment.
    fn solve(graph: &Graph, effort: &mut Effort) -> Option<Self> {
        let mut dual = Dual::new(graph);
        dual.reprice();
        let first = (0..graph.nodes()).map(|node| graph.node_options(node).start as u32);
        let mut free = Self { taken: first.collect(), cost: 0, bound: 0.0, coupled: Vec::new() };
        let parts = Arc::clone(&dual.parts);
        for (p, part) in parts.iter().enumerate() {
            let limited =
                |node: &u32| graph.node_options(*node as usize).any(|o| !graph.uses(o).is_empty());
            if part.nodes.iter().any(limited) {
                free.coupled.extend(&part.nodes);
            } else {
                free.settle(graph, &mut dual, p, &part.nodes, effort)?;
            }
        }
        free.coupled.sort_unstable();
        Some(free)
    }

    /// By messages if they agree, else by branch and bound.
    fn settle(
        &mut self,
        graph: &Graph,
        dual: &mut Dual<'_>,
        part: usize,
        nodes: &[u32],
        effort: &mut Effort,
    ) -> Option<()> {
        const SWEEPS: usize = 30;
        let mut best = NEVER;
        let mut bound = f64::NEG_INFINITY;
        for _ in 0..SWEEPS {
            bound = bound.max(dual.sweep(part));
            if bound == f64::INFINITY {
                return None;
            }
            let option = |node: u32| dual.cheapest[dual.chosen[node as usize] as usize];
            let cost = graph.value_of(nodes, &option);
            if cost < best {
                best = cost;
                for node in nodes {
                    self.taken[*node as usize] = option(*node);
                }
            }
            if bound > best as f64 - 0.999 || dual.parts[part].is_tree {
                break;
            }
        }
        effort.add(nodes.len() as u64);
        if bound <= best as f64 - 0.999 {
            let used = vec![0; graph.limits.len()];
            let (part, stands_for, _) = graph.part(nodes, &self.taken, &used, |o| graph.cost[o])?;
            let sweep = 1 + part.place_site.len() as u64 / 10;
            let rounds = Rounds { first: 10, then: 3 };
            let found = branch_and_bound(&part, best, &[], rounds, &mut |sweeps| {
                effort.add(sweep * sweeps);
                effort.is_over()
            });
            bound = bound.max(found.bound);
            best = found.cost;
            for (node, option) in nodes.iter().zip(found.taken.into_iter().flatten()) {
                self.taken[*node as usize] = stands_for[option as usize];
            }
            if best == NEVER {
                // Unless proven impossible, it was only stopped: the search goes on with it as far as the limits allow.
                self.coupled.extend(nodes);
                return (bound < NEVER as f64).then_some(());
            }
        }
        self.cost += best;
        self.bound += bound.min(best as f64);
        Some(())
    }

    /// What the nodes that limits bind take of them.
    fn used(&self, graph: &Graph) -> Vec<i64> {
        let mut used = vec![0; graph.limits.len()];
        for node in &self.coupled {
            for (limit, amount) in graph.uses(self.taken[*node as usize] as usize) {
                used[*limit as usize] += amount;
            }
        }
        used
    }
}

//! Large-neighbourhood search: again and again some nodes are freed and placed anew, exactly, while the others stay.

use std::sync::Arc;

use rand::{RngExt, SeedableRng, rngs::SmallRng};

use super::{
    branch::{Found, Rounds, branch_and_bound},
    effort::Effort,
    graph::{Graph, NEVER},
};

/// How many neighbourhoods are searched side by side: fixed, so that the answer does not depend on the machine.
const WORKERS: usize = 2;
/// How many nodes of its tree one search may visit.
const VISITS: u64 = 60;
/// The most nodes that are freed at once.
const MOST: f64 = 30.0;

/// A valid assignment, and what it takes of the limits.
#[derive(Clone, Debug)]
pub(super) struct Incumbent {
    pub(super) taken: Vec<u32>,
    used: Vec<i64>,
    pub(super) cost: i64,
    /// Who is at each site.
    at: Vec<Vec<u32>>,
}

impl Incumbent {
    pub(super) fn new(graph: &Graph, taken: Vec<u32>, cost: i64) -> Self {
        let mut used = vec![0; graph.limits.len()];
        let mut at = vec![Vec::new(); graph.sites];
        for (node, option) in taken.iter().enumerate() {
            for (limit, amount) in graph.uses(*option as usize) {
                used[*limit as usize] += amount;
            }
            at[graph.site_of(*option as usize)].push(node as u32);
        }
        Self { taken, used, cost, at }
    }

    fn site(&self, graph: &Graph, node: u32) -> usize {
        graph.site_of(self.taken[node as usize] as usize)
    }

    fn take(&mut self, graph: &Graph, node: u32, option: u32) {
        let old = self.taken[node as usize] as usize;
        for (limit, amount) in graph.uses(old) {
            self.used[*limit as usize] -= amount;
        }
        for (limit, amount) in graph.uses(option as usize) {
            self.used[*limit as usize] += amount;
        }
        let (from, to) = (graph.site_of(old), graph.site_of(option as usize));
        if from != to {
            self.at[from].retain(|other| *other != node);
            self.at[to].push(node);
        }
        self.taken[node as usize] = option;
    }

    /// Makes the changes if they are valid together with what else has changed meanwhile, and cheaper.
    fn change(&mut self, graph: &Graph, change: &Change) -> bool {
        let mut before = Vec::with_capacity(change.nodes.len());
        let edges = |incumbent: &Self| -> i64 {
            let mut cost = 0i64;
            for node in &change.nodes {
                cost += graph.cost[incumbent.taken[*node as usize] as usize];
                for e in graph.adjacent(*node as usize) {
                    let edge = &graph.edges[*e as usize];
                    let other = if edge.a == *node { edge.b } else { edge.a };
                    // One between two of them is seen from both ends.
                    if other > *node || !change.nodes.contains(&other) {
                        let (a, b) = (incumbent.site(graph, edge.a), incumbent.site(graph, edge.b));
                        cost = cost.saturating_add(graph.pair(edge, a, b));
                    }
                }
            }
            cost
        };
        let old = edges(self);
        for (node, option) in change.nodes.iter().zip(&change.options) {
            before.push(self.taken[*node as usize]);
            self.take(graph, *node, *option);
        }
        let new = edges(self);
        let fits = self.used.iter().zip(&graph.limits).all(|(used, limit)| used <= limit);
        if fits && new < old {
            self.cost -= old - new;
            return true;
        }
        for (node, option) in change.nodes.iter().zip(before) {
            self.take(graph, *node, option);
        }
        false
    }
}

/// What a search would change.
#[derive(Debug)]
struct Change {
    nodes: Vec<u32>,
    options: Vec<u32>,
}

/// One of those who search.
#[derive(Clone, Debug)]
struct Worker {
    random: SmallRng,
    /// How many nodes it frees, about: more while that is done quickly.
    size: f64,
}

/// Improves the incumbent until the effort is over, or it costs no more than `goal`; tells of each improvement. Gives up after `patience` rounds
/// without one.
pub(super) fn improve(
    graph: &Graph,
    incumbent: &mut Incumbent,
    prices: &[f64],
    goal: i64,
    patience: u64,
    seed: u64,
    effort: &mut Effort,
    improved: &mut dyn FnMut(i64, &Effort),
) {
    let mut workers: Vec<Worker> = (0..WORKERS as u64)
        .map(|k| Worker {
            random: SmallRng::seed_from_u64(seed.wrapping_mul(0x9E37_79B9).wrapping_add(k)),
            size: 8.0,
        })
        .collect();
    let mut idle = 0;
    while !effort.is_over() && incumbent.cost > goal && idle < patience {
        let answers: Vec<(Option<Change>, Effort)> = std::thread::scope(|scope| {
            let incumbent = &*incumbent;
            let (first, others) = match workers.split_first_mut() {
                Some(split) => split,
                None => return Vec::new(),
            };
            let start = effort.clone();
            let others: Vec<_> = others
                .iter_mut()
                .map(|worker| {
                    let effort = start.clone();
                    scope.spawn(move || worker.search(graph, incumbent, prices, effort))
                })
                .collect();
            let mut answers = vec![first.search(graph, incumbent, prices, start.clone())];
            answers.extend(others.into_iter().filter_map(|other| other.join().ok()));
            answers
        });
        idle += 1;
        for (change, spent) in answers {
            effort.join(&spent);
            if change.is_some_and(|change| incumbent.change(graph, &change)) {
                improved(incumbent.cost, effort);
                idle = 0;
            }
        }
    }
}

impl Worker {
    /// Frees some nodes and looks for a better place for them all.
    fn search(
        &mut self,
        graph: &Graph,
        incumbent: &Incumbent,
        prices: &[f64],
        mut effort: Effort,
    ) -> (Option<Change>, Effort) {
        let mut change = None;
        for _ in 0..4 {
            let count = (self.size as usize + self.random.random_range(0..4)).min(graph.nodes());
            let nodes = match self.random.random_range(0..4) {
                0 => connected(graph, count, &mut self.random),
                1 => neighbours_of_sites(graph, incumbent, count, &mut self.random),
                _ => rivals(graph, incumbent, count, &mut self.random),
            };
            effort.add(50 + nodes.len() as u64 * 10);
            let Some((found, stands_for)) = self.solve(graph, incumbent, prices, &nodes, &mut effort)
            else {
                continue;
            };
            if let Some(taken) = found.taken {
                let options = taken.iter().map(|o| stands_for[*o as usize]).collect();
                change = Some(Change { nodes, options });
                break;
            }
            if effort.is_over() {
                break;
            }
        }
        (change, effort)
    }

    fn solve(
        &mut self,
        graph: &Graph,
        incumbent: &Incumbent,
        prices: &[f64],
        nodes: &[u32],
        effort: &mut Effort,
    ) -> Option<(Found, Arc<[u32]>)> {
        let (part, stands_for, limits) = graph.part(nodes, &incumbent.taken, &incumbent.used)?;
        let now = nodes.iter().enumerate().map(|(k, node)| {
            let old = incumbent.taken[*node as usize];
            part.node_options(k).find(|o| stands_for[*o] == old).map(|o| o as u32)
        });
        let known = part.value(&now.collect::<Option<Vec<u32>>>()?)?;
        let start: Vec<f64> = limits.iter().map(|l| prices[*l as usize]).collect();
        let rounds = Rounds { first: 20, then: 2 };
        let sweep = 1 + part.place_site.len() as u64 / 15;
        let mut visits = 0;
        let found = branch_and_bound(&part, known, &start, rounds, &mut |sweeps| {
            visits += 1;
            effort.add(sweep * sweeps);
            visits > VISITS || effort.is_over()
        });
        self.size = match visits > VISITS {
            true => (self.size - 0.2).max(4.0),
            false => (self.size + 0.05).min(MOST),
        };
        Some((found, stands_for.into()))
    }
}

/// Nodes that edges bind together, around a random one.
fn connected(graph: &Graph, count: usize, random: &mut SmallRng) -> Vec<u32> {
    let first = random.random_range(0..graph.nodes()) as u32;
    let mut nodes = Vec::with_capacity(count);
    grow(graph, first, count, &mut nodes, random);
    nodes
}

/// Adds a node, and those around it, until there are so many.
fn grow(graph: &Graph, first: u32, count: usize, nodes: &mut Vec<u32>, random: &mut SmallRng) {
    let mut fringe = vec![first];
    while nodes.len() < count && !fringe.is_empty() {
        let next = fringe.swap_remove(random.random_range(0..fringe.len()));
        if !nodes.contains(&next) {
            nodes.push(next);
            fringe.extend(neighbours(graph, next));
        }
    }
}

fn neighbours(graph: &Graph, node: u32) -> impl Iterator<Item = u32> {
    graph.adjacent(node as usize).iter().map(move |e| {
        let edge = &graph.edges[*e as usize];
        if edge.a == node { edge.b } else { edge.a }
    })
}

/// A node, those around it, and those who take what it would like to have.
fn rivals(graph: &Graph, incumbent: &Incumbent, count: usize, random: &mut SmallRng) -> Vec<u32> {
    let first = random.random_range(0..graph.nodes()) as u32;
    let here = incumbent.site(graph, first);
    let mut places: Vec<(i64, u32)> = graph
        .places(first as usize)
        .filter(|place| graph.place_site[*place] as usize != here)
        .map(|place| {
            let site = graph.place_site[place];
            let edges = graph.adjacent(first as usize).iter().map(|e| {
                let edge = &graph.edges[*e as usize];
                match edge.a == first {
                    true => graph.pair(edge, site as usize, incumbent.site(graph, edge.b)),
                    false => graph.pair(edge, incumbent.site(graph, edge.a), site as usize),
                }
            });
            let cost = graph.cost[graph.options(place).start];
            (edges.fold(cost, |sum, pair| sum.saturating_add(pair).min(NEVER)), site)
        })
        .collect();
    places.sort_unstable();
    let mut nodes = Vec::with_capacity(count);
    grow(graph, first, count / 3 + 1, &mut nodes, random);
    // One of the best, the better the likelier.
    for _ in 0..1 + count / 12 {
        let at = (places.len() as f64 * random.random::<f64>().powi(4)) as usize;
        if let Some((_, site)) = places.get(at) {
            add_from(&incumbent.at[*site as usize], 2 * count / 3 + 1, &mut nodes, random);
        }
    }
    let mut at = 0;
    while nodes.len() < count && at < nodes.len() {
        grow(graph, nodes[at], (nodes.len() + 2).min(count), &mut nodes, random);
        at += 1;
    }
    nodes
}

/// Those at two sites, and some of their neighbours.
fn neighbours_of_sites(
    graph: &Graph,
    incumbent: &Incumbent,
    count: usize,
    random: &mut SmallRng,
) -> Vec<u32> {
    let node = random.random_range(0..graph.nodes()) as u32;
    let places = graph.places(node as usize);
    let other = graph.place_site[places.start + random.random_range(0..places.len())] as usize;
    let mut nodes = vec![node];
    add_from(&incumbent.at[incumbent.site(graph, node)], count / 2, &mut nodes, random);
    add_from(&incumbent.at[other], count, &mut nodes, random);
    let mut at = 0;
    while nodes.len() < count && at < nodes.len() {
        let next = neighbours(graph, nodes[at]).find(|other| !nodes.contains(other));
        nodes.extend(next);
        at += 1;
    }
    nodes
}

/// Adds some of these until there are so many.
fn add_from(from: &[u32], count: usize, nodes: &mut Vec<u32>, random: &mut SmallRng) {
    if from.is_empty() {
        return;
    }
    let start = random.random_range(0..from.len());
    for k in 0..from.len() {
        let node = from[(start + k) % from.len()];
        if nodes.len() >= count {
            break;
        }
        if !nodes.contains(&node) {
            nodes.push(node);
        }
    }
}

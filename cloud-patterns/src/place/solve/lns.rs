//! Large-neighbourhood search: again and again some nodes are freed and placed anew, exactly, while the others stay.

use rand::{
    RngExt, SeedableRng,
    distr::{Distribution, weighted::WeightedIndex},
    rngs::SmallRng,
};

use super::{
    branch::{Rounds, branch_and_bound},
    effort::Effort,
    graph::{Graph, NEVER},
};

/// How many neighbourhoods are searched side by side: fixed, so that the answer does not depend on the machine.
const WORKERS: usize = 2;
/// How many rounds there are at the most: then it is time to look anew where there is something to be gained.
const ROUNDS: usize = 200;

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

/// How thoroughly neighbourhoods are searched.
#[derive(Clone, Copy, Debug)]
struct Depth {
    /// The most nodes that are freed at once.
    nodes: f64,
    /// How many nodes of its tree one search may visit.
    visits: u64,
}

/// The search, and what it has learnt of how much can be searched at once.
#[derive(Clone, Debug)]
pub(super) struct Neighbourhoods {
    workers: Vec<Worker>,
    depth: Depth,
}

/// What the search is about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Aim<'a> {
    pub(super) graph: &'a Graph,
    /// The prices of the limits.
    pub(super) prices: &'a [f64],
    /// For each node how much there is to be gained, about.
    pub(super) gains: &'a [f64],
    /// The cost that is good enough.
    pub(super) goal: i64,
    /// How many rounds without an improvement are enough.
    pub(super) patience: u64,
}

impl Neighbourhoods {
    pub(super) fn new(seed: u64) -> Self {
        let worker = |k: u64| Worker {
            random: SmallRng::seed_from_u64(seed.wrapping_mul(0x9E37_79B9).wrapping_add(k)),
            size: 8.0,
        };
        let workers = (0..WORKERS as u64).map(worker).collect();
        Self { workers, depth: Depth { nodes: 20.0, visits: 30 } }
    }

    /// Looks further from now on.
    pub(super) fn deepen(&mut self) {
        self.depth.nodes = (self.depth.nodes * 1.4).min(80.0);
        self.depth.visits = (self.depth.visits * 3 / 2).min(500);
    }

    /// Improves the incumbent for some rounds; tells of each improvement.
    pub(super) fn improve(
        &mut self,
        aim: Aim<'_>,
        incumbent: &mut Incumbent,
        effort: &mut Effort,
        improved: &mut dyn FnMut(i64, &Effort),
    ) {
        // Mostly where there is something to be gained, but anywhere else too.
        let mean = aim.gains.iter().sum::<f64>() / aim.gains.len().max(1) as f64;
        let Ok(first) = WeightedIndex::new(aim.gains.iter().map(|gain| gain + 0.5 * mean + 1.0))
        else {
            return;
        };
        let mut idle = 0;
        for _ in 0..ROUNDS {
            if effort.is_over() || incumbent.cost <= aim.goal || idle >= aim.patience {
                break;
            }
            idle += 1;
            for (change, spent) in self.round(aim, incumbent, &first, effort) {
                effort.join(&spent);
                if change.is_some_and(|change| incumbent.change(aim.graph, &change)) {
                    improved(incumbent.cost, effort);
                    idle = 0;
                }
            }
        }
    }

    /// Has all search side by side.
    fn round(
        &mut self,
        aim: Aim<'_>,
        incumbent: &Incumbent,
        first: &WeightedIndex<f64>,
        effort: &Effort,
    ) -> Vec<(Option<Change>, Effort)> {
        let depth = self.depth;
        std::thread::scope(|scope| {
            let Some((one, others)) = self.workers.split_first_mut() else {
                return Vec::new();
            };
            let others: Vec<_> = others
                .iter_mut()
                .map(|worker| {
                    let effort = effort.clone();
                    scope.spawn(move || worker.search(aim, incumbent, first, depth, effort))
                })
                .collect();
            let mut answers = vec![one.search(aim, incumbent, first, depth, effort.clone())];
            answers.extend(others.into_iter().filter_map(|other| other.join().ok()));
            answers
        })
    }
}

impl Worker {
    /// Frees some nodes and looks for a better place for them all; tries a few times.
    fn search(
        &mut self,
        aim: Aim<'_>,
        incumbent: &Incumbent,
        first: &WeightedIndex<f64>,
        depth: Depth,
        mut effort: Effort,
    ) -> (Option<Change>, Effort) {
        let graph = aim.graph;
        for _ in 0..4 {
            let random = &mut self.random;
            let count = (self.size as usize + random.random_range(0..4)).min(graph.nodes());
            let node = first.sample(random) as u32;
            let mut nodes = Vec::with_capacity(count);
            match random.random_range(0..4) {
                0 => grow(graph, node, count, &mut nodes, random),
                1 => neighbours_of_sites(graph, incumbent, node, count, &mut nodes, random),
                _ => rivals(graph, incumbent, node, count, &mut nodes, random),
            }
            effort.add(50 + nodes.len() as u64 * 10);
            if let Some(options) = self.solve(aim, incumbent, &nodes, depth, &mut effort) {
                return (Some(Change { nodes, options }), effort);
            }
            if effort.is_over() {
                break;
            }
        }
        (None, effort)
    }

    /// Better options for some nodes, if there are any.
    fn solve(
        &mut self,
        aim: Aim<'_>,
        incumbent: &Incumbent,
        nodes: &[u32],
        depth: Depth,
        effort: &mut Effort,
    ) -> Option<Vec<u32>> {
        let (part, stands_for, limits) =
            aim.graph.part(nodes, &incumbent.taken, &incumbent.used, |o| aim.graph.cost[o])?;
        let now = nodes.iter().enumerate().map(|(k, node)| {
            let old = incumbent.taken[*node as usize];
            part.node_options(k).find(|o| stands_for[*o] == old).map(|o| o as u32)
        });
        let known = part.value(&now.collect::<Option<Vec<u32>>>()?)?;
        let prices: Vec<f64> = limits.iter().map(|l| aim.prices[*l as usize]).collect();
        let sweep = 1 + part.place_site.len() as u64 / 15;
        let mut visits = 0;
        let rounds = Rounds { first: 10, then: 2 };
        let found = branch_and_bound(&part, known, &prices, rounds, &mut |sweeps| {
            visits += 1;
            effort.add(sweep * sweeps);
            visits > depth.visits || effort.is_over()
        });
        self.size = match visits > depth.visits {
            true => (self.size - 0.2).max(4.0),
            false => (self.size + 0.05).min(depth.nodes),
        };
        Some(found.taken?.into_iter().map(|o| stands_for[o as usize]).collect())
    }
}

/// Adds a node, and those around it, until there are so many.
fn grow(graph: &Graph, first: u32, count: usize, nodes: &mut Vec<u32>, random: &mut SmallRng) {
    let mut fringe = vec![first];
    while nodes.len() < count && !fringe.is_empty() {
        let next = fringe.swap_remove(random.random_range(0..fringe.len()));
        let new = !nodes.contains(&next);
        if new {
            nodes.push(next);
        }
        if new || next == first {
            fringe.extend(neighbours(graph, next).filter(|other| !nodes.contains(other)));
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
fn rivals(
    graph: &Graph,
    incumbent: &Incumbent,
    first: u32,
    count: usize,
    nodes: &mut Vec<u32>,
    random: &mut SmallRng,
) {
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
    grow(graph, first, count / 3 + 1, nodes, random);
    // One of the best, the better the likelier.
    for _ in 0..1 + count / 12 {
        let at = (places.len() as f64 * random.random::<f64>().powi(4)) as usize;
        if let Some((_, site)) = places.get(at) {
            add_from(&incumbent.at[*site as usize], 2 * count / 3 + 1, nodes, random);
        }
    }
    let mut at = 0;
    while nodes.len() < count && at < nodes.len() {
        grow(graph, nodes[at], (nodes.len() + 2).min(count), nodes, random);
        at += 1;
    }
}

/// Those at two sites, and some of their neighbours.
fn neighbours_of_sites(
    graph: &Graph,
    incumbent: &Incumbent,
    node: u32,
    count: usize,
    nodes: &mut Vec<u32>,
    random: &mut SmallRng,
) {
    let places = graph.places(node as usize);
    let other = graph.place_site[places.start + random.random_range(0..places.len())] as usize;
    nodes.push(node);
    add_from(&incumbent.at[incumbent.site(graph, node)], count / 2, nodes, random);
    add_from(&incumbent.at[other], count, nodes, random);
    let mut at = 0;
    while nodes.len() < count && at < nodes.len() {
        let next = neighbours(graph, nodes[at]).find(|other| !nodes.contains(other));
        nodes.extend(next);
        at += 1;
    }
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

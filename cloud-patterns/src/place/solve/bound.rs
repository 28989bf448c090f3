//! The bound: limits become prices (Lagrangian relaxation), and what is left falls apart into parts that messages solve.
//!
//! A part whose edges form a tree is solved exactly by dynamic programming; one with cycles is bounded by sequential
//! tree-reweighted message passing (Kolmogorov, 2006). The prices of the limits follow a subgradient.

use std::sync::Arc;

use super::{
    graph::{Graph, NEVER},
    messages::{Along, Bond, From, send},
};

/// Nodes that edges bind together.
#[derive(Clone, Debug)]
pub(super) struct Part {
    /// In the order that messages follow: in a tree, parents first.
    pub(super) nodes: Vec<u32>,
    pub(super) is_tree: bool,
}

/// Prices of limits, messages, and the bound that they prove.
#[derive(Clone, Debug)]
pub(super) struct Dual<'g> {
    graph: &'g Graph,
    pub(super) parts: Arc<Vec<Part>>,
    /// Where a node stands in its part's order.
    rank: Arc<Vec<u32>>,
    /// For each node of a tree the edge to its parent.
    parent: Arc<Vec<u32>>,
    /// For each option whether it is ruled out.
    pub(super) dead: Vec<bool>,
    /// For each edge and site whether both ends may be there.
    fits: Vec<bool>,
    /// For each edge whether they may everywhere.
    all_fit: Vec<bool>,
    /// What has been decided on each edge.
    pub(super) bond: Vec<Bond>,
    /// The price of a unit of each limit.
    pub(super) price: Vec<f64>,
    /// For each place its cheapest option's cost with the prices.
    pub(super) unary: Vec<f64>,
    pub(super) cheapest: Vec<u32>,
    /// For each edge the message to a, and to b.
    message_start: Arc<Vec<u32>>,
    message: Vec<f64>,
    /// For each place: its own cost and all messages to it.
    belief: Vec<f64>,
    values: Vec<f64>,
    out: Vec<f64>,
    /// The place that each node takes in the relaxed solution.
    pub(super) chosen: Vec<u32>,
}

const NO_EDGE: u32 = u32::MAX;

impl<'g> Dual<'g> {
    pub(super) fn new(graph: &'g Graph) -> Self {
        let n = graph.nodes();
        let mut rank = vec![u32::MAX; n];
        let mut parent = vec![NO_EDGE; n];
        let mut parts = Vec::new();
        for root in 0..n {
            if rank[root] != u32::MAX {
                continue;
            }
            let mut nodes = vec![root as u32];
            rank[root] = 0;
            let mut at = 0;
            let mut ends = 0;
            while at < nodes.len() {
                let node = nodes[at] as usize;
                ends += graph.adjacent(node).len();
                for e in graph.adjacent(node) {
                    let edge = &graph.edges[*e as usize];
                    let other = if edge.a as usize == node { edge.b } else { edge.a } as usize;
                    if rank[other] == u32::MAX {
                        rank[other] = nodes.len() as u32;
                        parent[other] = *e;
                        nodes.push(other as u32);
                    }
                }
                at += 1;
            }
            let is_tree = ends / 2 + 1 == nodes.len();
            parts.push(Part { nodes, is_tree });
        }
        let mut message_start = vec![0u32];
        let mut length = 0;
        for edge in &graph.edges {
            for node in [edge.a, edge.b] {
                length += graph.places(node as usize).len() as u32;
                message_start.push(length);
            }
        }
        let places = graph.place_site.len();
        let mut dual = Self {
            graph,
            parts: Arc::new(parts),
            rank: Arc::new(rank),
            parent: Arc::new(parent),
            dead: vec![false; graph.cost.len()],
            fits: graph.fits_both().to_vec(),
            all_fit: graph
                .fits_both()
                .chunks(graph.sites.max(1))
                .map(|f| f.iter().all(|f| *f))
                .collect(),
            bond: vec![Bond::default(); graph.edges.len()],
            price: vec![0.0; graph.limits.len()],
            unary: vec![0.0; places],
            cheapest: vec![0; places],
            message_start: Arc::new(message_start),
            message: vec![0.0; length as usize],
            belief: vec![0.0; places],
            values: Vec::new(),
            out: Vec::new(),
            chosen: vec![0; n],
        };
        dual.reprice();
        dual
    }

    /// The costs of the places at the present prices.
    pub(super) fn reprice(&mut self) {
        let graph = self.graph;
        for place in 0..self.unary.len() {
            let (mut least, mut cheapest) = (f64::INFINITY, 0);
            for option in graph.options(place).filter(|option| !self.dead[*option]) {
                let mut cost = graph.cost[option] as f64;
                for (limit, amount) in graph.uses(option) {
                    cost += self.price[*limit as usize] * *amount as f64;
                }
                if cost < least {
                    (least, cheapest) = (cost, option);
                }
            }
            self.unary[place] = least;
            self.cheapest[place] = cheapest as u32;
        }
    }

    /// Rules out that the ends of an edge share their site.
    pub(super) fn keep_apart(&mut self, edge: usize) {
        let sites = self.graph.sites;
        self.fits[edge * sites..(edge + 1) * sites].fill(false);
        self.all_fit[edge] = false;
    }

    /// The bound at the present prices; infinite if there is no assignment at all.
    pub(super) fn bound(&mut self) -> f64 {
        self.reprice();
        let mut bound = -self.capacity_value();
        for part in 0..self.parts.len() {
            bound += self.sweep(part);
        }
        bound
    }

    /// Moves the prices along the subgradient that the present choice gives, as far as the goal suggests (Polyak's step). Says whether there
    /// was anything to move.
    pub(super) fn step(&mut self, bound: f64, goal: f64, factor: f64) -> bool {
        let graph = self.graph;
        let mut excess: Vec<f64> = graph.limits.iter().map(|limit| -(*limit as f64)).collect();
        for place in &self.chosen {
            for (limit, amount) in graph.uses(self.cheapest[*place as usize] as usize) {
                excess[*limit as usize] += *amount as f64;
            }
        }
        let mut norm = 0.0;
        for (excess, price) in excess.iter_mut().zip(&self.price) {
            if *price <= 0.0 && *excess < 0.0 {
                *excess = 0.0;
            }
            norm += *excess * *excess;
        }
        if norm == 0.0 {
            return false;
        }
        let step = factor * (goal - bound).max(0.0) / norm;
        for (price, excess) in self.price.iter_mut().zip(&excess) {
            *price = (*price + step * excess).max(0.0);
        }
        true
    }

    /// The options of the present choice.
    pub(super) fn taken(&self) -> Vec<u32> {
        self.chosen.iter().map(|place| self.cheapest[*place as usize]).collect()
    }

    /// What the limits themselves take off the bound.
    pub(super) fn capacity_value(&self) -> f64 {
        let limits = self.graph.limits.iter();
        self.price.iter().zip(limits).map(|(price, limit)| price * *limit as f64).sum()
    }

    fn message_range(&self, edge: u32, to: From) -> std::ops::Range<usize> {
        let k = edge as usize * 2 + usize::from(to == From::B);
        self.message_start[k] as usize..self.message_start[k + 1] as usize
    }

    /// The least that a part can cost at the present prices, or a bound on it; sets what is chosen.
    pub(super) fn sweep(&mut self, part: usize) -> f64 {
        let parts = Arc::clone(&self.parts);
        let part = &parts[part];
        match part.is_tree {
            true => self.tree(&part.nodes),
            false => self.sequential(&part.nodes),
        }
    }

    /// Dynamic programming from the leaves to the root, and back for the choice.
    fn tree(&mut self, nodes: &[u32]) -> f64 {
        let graph = self.graph;
        for node in nodes {
            let places = graph.places(*node as usize);
            self.belief[places.clone()].copy_from_slice(&self.unary[places]);
        }
        let mut bound = 0.0;
        for node in nodes.iter().rev() {
            let node = *node as usize;
            let places = graph.places(node);
            let e = self.parent[node];
            if e == NO_EDGE {
                let (best, place) = least(&self.belief[places.clone()]);
                bound = best;
                self.chosen[node] = (places.start + place) as u32;
                continue;
            }
            let edge = &graph.edges[e as usize];
            let (from, other) = match edge.a as usize == node {
                true => (From::A, edge.b as usize),
                false => (From::B, edge.a as usize),
            };
            let others = graph.places(other);
            self.out.resize(others.len(), 0.0);
            let along = along(graph, &self.bond, &self.fits, &self.all_fit, e as usize, from);
            send(graph, along, &self.belief[places], &mut self.out);
            for (belief, message) in self.belief[others].iter_mut().zip(&self.out) {
                *belief += message;
            }
        }
        for node in &nodes[1..] {
            let node = *node as usize;
            let edge = &graph.edges[self.parent[node] as usize];
            let other = if edge.a as usize == node { edge.b } else { edge.a } as usize;
            let there = graph.place_site[self.chosen[other] as usize] as usize;
            let (mut best, mut chosen) = (f64::INFINITY, graph.places(node).start);
            for place in graph.places(node) {
                let value = self.belief[place];
                if value < best {
                    let site = graph.place_site[place] as usize;
                    let pair = self.pair(self.parent[node] as usize, node, site, there);
                    if value + pair < best {
                        (best, chosen) = (value + pair, place);
                    }
                }
            }
            self.chosen[node] = chosen as u32;
        }
        bound
    }

    /// One pass forth and one back. The choice is made on the way forth, each node knowing those before it.
    fn sequential(&mut self, nodes: &[u32]) -> f64 {
        let graph = self.graph;
        for node in nodes {
            let node = *node as usize;
            self.gather(node);
            self.choose(node);
            self.pass(node, true);
        }
        let mut bound = 0.0;
        for node in nodes.iter().rev() {
            let node = *node as usize;
            self.gather(node);
            bound += self.pass(node, false);
            let (before, after) = self.degrees(node);
            let most = before.max(after).max(1) as f64;
            let (best, _) = least(&self.belief[graph.places(node)]);
            if best == f64::INFINITY {
                return best;
            }
            bound += best * (most - before as f64) / most;
        }
        bound
    }

    /// What an edge costs with a node at a site and its other end there.
    fn pair(&self, e: usize, node: usize, site: usize, there: usize) -> f64 {
        let graph = self.graph;
        let same = site == there;
        let (bond, same_cloud) = (self.bond[e], graph.cloud[site] == graph.cloud[there]);
        if (same && !self.fits[e * graph.sites + site])
            || (!same && bond.same_site)
            || (!same_cloud && bond.same_cloud)
            || (same_cloud && bond.other_cloud)
        {
            return f64::INFINITY;
        }
        let edge = &graph.edges[e];
        let (a, b) = if edge.a as usize == node { (site, there) } else { (there, site) };
        match graph.pair(edge, a, b) {
            NEVER => f64::INFINITY,
            pair => pair as f64,
        }
    }

    /// How many neighbours come before a node, and after.
    fn degrees(&self, node: usize) -> (usize, usize) {
        let graph = self.graph;
        let before = |e: &&u32| {
            let edge = &graph.edges[**e as usize];
            let other = if edge.a as usize == node { edge.b } else { edge.a } as usize;
            self.rank[other] < self.rank[node]
        };
        let count = graph.adjacent(node).iter().filter(before).count();
        (count, graph.adjacent(node).len() - count)
    }

    fn gather(&mut self, node: usize) {
        let graph = self.graph;
        let places = graph.places(node);
        self.belief[places.clone()].copy_from_slice(&self.unary[places.clone()]);
        for e in graph.adjacent(node) {
            let to = if graph.edges[*e as usize].a as usize == node { From::A } else { From::B };
            let range = self.message_range(*e, to);
            for (belief, message) in
                self.belief[places.clone()].iter_mut().zip(&self.message[range])
            {
                *belief += message;
            }
        }
    }

    fn choose(&mut self, node: usize) {
        let graph = self.graph;
        let places = graph.places(node);
        self.values.clear();
        self.values.extend_from_slice(&self.belief[places.clone()]);
        for e in graph.adjacent(node) {
            let edge = &graph.edges[*e as usize];
            let own_is_a = edge.a as usize == node;
            let other = if own_is_a { edge.b } else { edge.a } as usize;
            if self.rank[other] > self.rank[node] {
                continue;
            }
            let range = self.message_range(*e, if own_is_a { From::A } else { From::B });
            let there = graph.place_site[self.chosen[other] as usize] as usize;
            for (k, place) in places.clone().enumerate() {
                let site = graph.place_site[place] as usize;
                if self.values[k] < f64::INFINITY {
                    let pair = self.pair(*e as usize, node, site, there);
                    self.values[k] += pair - self.message[range.start + k];
                }
            }
        }
        let (value, mut best) = least(&self.values);
        if value == f64::INFINITY {
            // Those before leave it no place: it takes what it likes, and the choice is not valid.
            best = least(&self.belief[places.clone()]).1;
        }
        self.chosen[node] = (places.start + best) as u32;
    }

    /// Sends to all neighbours after a node, or before. Gives the sum of what was taken out of the messages.
    fn pass(&mut self, node: usize, forth: bool) -> f64 {
        let graph = self.graph;
        let (before, after) = self.degrees(node);
        let share = 1.0 / before.max(after).max(1) as f64;
        let places = graph.places(node);
        let mut taken = 0.0;
        for e in graph.adjacent(node) {
            let edge = &graph.edges[*e as usize];
            let (own, to, other) = match edge.a as usize == node {
                true => (From::A, From::B, edge.b as usize),
                false => (From::B, From::A, edge.a as usize),
            };
            if (self.rank[other] > self.rank[node]) != forth {
                continue;
            }
            let back = self.message_range(*e, own);
            self.values.clear();
            let beliefs = self.belief[places.clone()].iter().zip(&self.message[back]);
            self.values.extend(beliefs.map(|(belief, message)| match *belief < f64::INFINITY {
                true => share * belief - message,
                false => f64::INFINITY,
            }));
            let range = self.message_range(*e, to);
            let out = &mut self.message[range];
            let along = along(graph, &self.bond, &self.fits, &self.all_fit, *e as usize, own);
            send(graph, along, &self.values, out);
            let (best, _) = least(out);
            if best < f64::INFINITY {
                for value in out.iter_mut() {
                    *value -= best;
                }
            }
            taken += best;
        }
        taken
    }
}

fn along<'a>(
    graph: &Graph,
    bond: &[Bond],
    fits: &'a [bool],
    all_fit: &[bool],
    edge: usize,
    from: From,
) -> Along<'a> {
    let fits = &fits[edge * graph.sites..(edge + 1) * graph.sites];
    Along { edge, from, bond: bond[edge], fits, all_fit: all_fit[edge] }
}

/// The least and where it is.
fn least(values: &[f64]) -> (f64, usize) {
    let mut found = (f64::INFINITY, 0);
    for (k, value) in values.iter().enumerate() {
        if *value < found.0 {
            found = (*value, k);
        }
    }
    found
}

//! A [`Problem`](super::Problem) made ready to be solved: what can never be taken is gone, what goes together is one node, and all lies flat
//! in memory.

mod build;
mod derive;
mod edge;
mod part;
mod sites;

use std::{ops::Range, sync::Arc};

pub(super) use self::{
    edge::{Edge, Relation},
    sites::Sites,
};
use super::problem::{IMPOSSIBLE, Scope};

/// More than any cost: a pair of sites that cannot be.
pub(super) const NEVER: i64 = i64::MAX / 8;

/// The problem as the solver works on it. A node is one or several items that share a site; a place is a site that a node can be in; an option
/// is a way to be there.
#[derive(Clone, Debug, Default)]
pub(super) struct Graph {
    pub(super) sites: usize,
    pub(super) shared: Arc<Sites>,
    place_start: Vec<u32>,
    /// The site of each option.
    option_site: Vec<u32>,
    pub(super) place_site: Vec<u32>,
    option_start: Vec<u32>,
    pub(super) cost: Vec<i64>,
    use_start: Vec<u32>,
    pub(super) uses: Vec<(u32, i64)>,
    /// For each option the options of the items of its node, in the order of `members`.
    origin: Vec<u32>,
    origin_start: Vec<u32>,
    members: Vec<Vec<u32>>,
    pub(super) limits: Vec<i64>,
    /// Within what each limit is used: one site, one cloud, or neither.
    pub(super) limit_scope: Vec<Option<Scope>>,
    pub(super) edges: Vec<Edge>,
    adjacent_start: Vec<u32>,
    /// For each node its edges.
    adjacent: Vec<u32>,
    items: usize,
    /// For each edge and site: whether both ends fit there together.
    fits_both: Vec<bool>,
    /// For each edge where its costs begin in `dense_cost`, if it is dense.
    dense_start: Vec<u32>,
    /// For each place of a, and each of b: what the edge costs there.
    dense_cost: Vec<f64>,
    /// For each node and site the place, counted within the node; [`u16::MAX`] for none.
    place_of: Vec<u16>,
}

impl std::ops::Deref for Graph {
    type Target = Sites;
    fn deref(&self) -> &Sites {
        &self.shared
    }
}

impl Graph {
    pub(super) fn nodes(&self) -> usize {
        self.place_start.len() - 1
    }

    pub(super) fn clouds(&self) -> usize {
        self.values(Scope::Cloud)
    }

    /// The places of a node.
    pub(super) fn places(&self, node: usize) -> Range<usize> {
        self.place_start[node] as usize..self.place_start[node + 1] as usize
    }

    /// The options of a place, cheapest first.
    pub(super) fn options(&self, place: usize) -> Range<usize> {
        self.option_start[place] as usize..self.option_start[place + 1] as usize
    }

    /// All options of a node.
    pub(super) fn node_options(&self, node: usize) -> Range<usize> {
        let places = self.places(node);
        self.option_start[places.start] as usize..self.option_start[places.end] as usize
    }

    pub(super) fn uses(&self, option: usize) -> &[(u32, i64)] {
        &self.uses[self.use_start[option] as usize..self.use_start[option + 1] as usize]
    }

    /// The edges of a node.
    pub(super) fn adjacent(&self, node: usize) -> &[u32] {
        let range = self.adjacent_start[node] as usize..self.adjacent_start[node + 1] as usize;
        &self.adjacent[range]
    }

    /// What an edge costs between two sites; [`NEVER`] if it cannot be.
    pub(super) fn pair(&self, edge: &Edge, a: usize, b: usize) -> i64 {
        let (there, back) = (a * self.sites + b, b * self.sites + a);
        if !edge.dense && !edge.relation.other_cloud {
            return edge.ab * self.prices[edge.tariff_ab as usize][there]
                + edge.ba * self.prices[edge.tariff_ba as usize][back];
        }
        let relation = edge.relation;
        let same_cloud = self.cloud[a] == self.cloud[b];
        if (relation.other_site && a == b)
            || (relation.other_cloud && same_cloud)
            || (relation.same_cloud && !same_cloud)
        {
            return NEVER;
        }
        let mut cost = 0;
        if edge.max_rtt != u32::MAX || edge.rtt_cost != 0 {
            let rtt = self.rtt[there];
            if rtt > edge.max_rtt || (rtt == u32::MAX && edge.rtt_cost != 0) {
                return NEVER;
            }
            cost = edge.rtt_cost * i64::from(rtt);
        }
        for (units, tariff, at) in
            [(edge.ab, edge.tariff_ab, there), (edge.ba, edge.tariff_ba, back)]
        {
            if units > 0 {
                match self.prices[tariff as usize][at] {
                    IMPOSSIBLE => return NEVER,
                    price => cost += units * price,
                }
            }
        }
        cost
    }

    pub(super) fn site_of(&self, option: usize) -> usize {
        self.option_site[option] as usize
    }

    /// The place of a node at a site.
    pub(super) fn place_at(&self, node: usize, site: usize) -> Option<usize> {
        match self.place_of[node * self.sites + site] {
            u16::MAX => None,
            place => Some(self.place_start[node] as usize + usize::from(place)),
        }
    }

    /// Whether both ends of an edge can be at a site: what they take of the limits at least is there.
    pub(super) fn fits_both(&self) -> &[bool] {
        &self.fits_both
    }

    /// What a dense edge costs for each place of a and each of b, if that is at hand.
    pub(super) fn dense_costs(&self, edge: usize) -> Option<&[f64]> {
        let start = *self.dense_start.get(edge)? as usize;
        let ends = &self.edges[edge];
        let count = self.places(ends.a as usize).len() * self.places(ends.b as usize).len();
        self.dense_cost.get(start..start + count)
    }

    /// What a part's assignment costs, limits aside; [`NEVER`] if an edge is broken.
    pub(super) fn value_of(&self, nodes: &[u32], option: &impl Fn(u32) -> u32) -> i64 {
        let site = |node: u32| self.site_of(option(node) as usize);
        let mut cost = 0i64;
        for node in nodes {
            cost += self.cost[option(*node) as usize];
            for edge in self.adjacent(*node as usize).iter().map(|e| &self.edges[*e as usize]) {
                if edge.a == *node {
                    cost =
                        cost.saturating_add(self.pair(edge, site(edge.a), site(edge.b))).min(NEVER);
                }
            }
        }
        cost
    }

    /// What an assignment of the nodes costs, if it is valid.
    pub(super) fn value(&self, taken: &[u32]) -> Option<i64> {
        let mut used = vec![0i64; self.limits.len()];
        let mut cost = 0;
        for option in taken {
            cost += self.cost[*option as usize];
            for (limit, amount) in self.uses(*option as usize) {
                used[*limit as usize] += amount;
            }
        }
        for edge in &self.edges {
            let site = |node: u32| self.site_of(taken[node as usize] as usize);
            match self.pair(edge, site(edge.a), site(edge.b)) {
                NEVER => return None,
                pair => cost += pair,
            }
        }
        used.iter().zip(&self.limits).all(|(used, limit)| used <= limit).then_some(cost)
    }

    /// The taken options of the items, from those of the nodes.
    pub(super) fn unfold(&self, taken: &[u32]) -> Vec<u32> {
        let mut all = vec![0; self.items];
        for (node, option) in taken.iter().enumerate() {
            let from = self.origin_start[*option as usize] as usize;
            for (k, item) in self.members[node].iter().enumerate() {
                all[*item as usize] = self.origin[from + k];
            }
        }
        all
    }

    /// The options of the nodes that make the taken options of the items; the node's first where there is none.
    pub(super) fn fold(&self, taken: &[u32]) -> Vec<u32> {
        let nodes = 0..self.nodes();
        nodes
            .map(|node| {
                let members = &self.members[node];
                let same = |option: &usize| {
                    let from = self.origin_start[*option] as usize;
                    let origin = &self.origin[from..from + members.len()];
                    members.iter().zip(origin).all(|(i, o)| taken.get(*i as usize) == Some(o))
                };
                let mut all = self.node_options(node);
                let first = all.start;
                all.find(same).unwrap_or(first) as u32
            })
            .collect()
    }

    /// How many sites or clouds there are.
    fn values(&self, scope: Scope) -> usize {
        match scope {
            Scope::Site => self.sites,
            Scope::Cloud => self.cloud.iter().max().map_or(0, |c| *c as usize + 1),
        }
    }
}

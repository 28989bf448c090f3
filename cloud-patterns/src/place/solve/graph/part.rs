//! A part of a graph as a graph of its own.

use std::{collections::HashMap, sync::Arc};

use smallvec::SmallVec;

use super::{Edge, Graph, NEVER};

impl Graph {
    /// The edges among some nodes, and what is derived from them and the options.
    fn add_inner_edges(&mut self, whole: &Self, nodes: &[u32], index: &HashMap<u32, u32>) {
        for node in nodes {
            for e in whole.adjacent(*node as usize) {
                let edge = &whole.edges[*e as usize];
                if edge.a == *node
                    && let Some(b) = index.get(&edge.b)
                {
                    self.edges.push(Edge { a: index[node], b: *b, ..*edge });
                }
            }
        }
        self.connect();
        self.index_places();
        self.find_conflicts();
        self.find_scopes();
        self.spread_out();
    }

    /// The problem of some nodes while the others stay: what these leave of the limits, and what the edges to them cost. Gives for each of
    /// its options the one it stands for, and for each of its limits. `cost` says what an option costs here. `None` if a node has none.
    pub(in crate::place::solve) fn part(
        &self,
        nodes: &[u32],
        taken: &[u32],
        used: &[i64],
        cost: impl Fn(usize) -> i64,
    ) -> Option<(Self, Vec<u32>, Vec<u32>)> {
        let mut index = HashMap::with_capacity(nodes.len());
        let mut left: HashMap<u32, i64> = HashMap::new();
        for (k, node) in nodes.iter().enumerate() {
            index.insert(*node, k as u32);
            for (limit, amount) in self.uses(taken[*node as usize] as usize) {
                *left
                    .entry(*limit)
                    .or_insert(self.limits[*limit as usize] - used[*limit as usize]) += amount;
            }
        }
        // Which limits can be exceeded by these nodes at all.
        let mut most: HashMap<u32, i64> = HashMap::new();
        for node in nodes {
            let mut own: SmallVec<[(u32, i64); 64]> = SmallVec::new();
            for option in self.node_options(*node as usize) {
                own.extend_from_slice(self.uses(option));
            }
            own.sort_unstable();
            for (k, (limit, amount)) in own.iter().enumerate() {
                if own.get(k + 1).is_none_or(|next| next.0 != *limit) {
                    *most.entry(*limit).or_insert(0) += amount;
                }
            }
        }
        let mut limits: Vec<u32> = Vec::new();
        for (limit, most) in most {
            let left =
                left.entry(limit).or_insert(self.limits[limit as usize] - used[limit as usize]);
            if most > *left {
                limits.push(limit);
            }
        }
        limits.sort_unstable();
        let local: HashMap<u32, u32> =
            limits.iter().enumerate().map(|(k, l)| (*l, k as u32)).collect();
        let mut part = Self {
            sites: self.sites,
            place_start: vec![0],
            option_start: vec![0],
            use_start: vec![0],
            origin_start: vec![0],
            limits: limits.iter().map(|l| left[l].max(0)).collect(),
            shared: Arc::clone(&self.shared),
            ..Self::default()
        };
        let mut stands_for = Vec::new();
        for node in nodes {
            for place in self.places(*node as usize) {
                let site = self.place_site[place] as usize;
                let mut fixed = 0i64;
                for e in self.adjacent(*node as usize) {
                    let edge = &self.edges[*e as usize];
                    let own_is_a = edge.a == *node;
                    let other = if own_is_a { edge.b } else { edge.a };
                    if !index.contains_key(&other) {
                        let there = self.site_of(taken[other as usize] as usize);
                        let (a, b) = if own_is_a { (site, there) } else { (there, site) };
                        fixed = fixed.saturating_add(self.pair(edge, a, b));
                    }
                }
                if fixed >= NEVER {
                    continue;
                }
                let before = part.cost.len();
                for option in self.options(place) {
                    let mut uses: SmallVec<[(u32, i64); 4]> = SmallVec::new();
                    uses.extend(
                        self.uses(option).iter().filter_map(|(l, a)| Some((*local.get(l)?, *a))),
                    );
                    // Of those that are left with the same uses a dearer one is never taken. By `cost`, which may price limits that bind
                    // only with other nodes: by the graph's own it would drop what is cheaper there.
                    let cost = cost(option) + fixed;
                    let known = (before..part.cost.len())
                        .any(|o| part.uses(o) == &uses[..] && part.cost[o] <= cost);
                    let own = taken[*node as usize] == option as u32;
                    if (known && !own) || uses.iter().any(|(l, a)| *a > part.limits[*l as usize]) {
                        continue;
                    }
                    part.cost.push(cost);
                    part.uses.extend(uses);
                    part.use_start.push(part.uses.len() as u32);
                    stands_for.push(option as u32);
                }
                if part.cost.len() > before {
                    part.place_site.push(site as u32);
                    part.option_start.push(part.cost.len() as u32);
                }
            }
            if part.place_site.len() as u32 == *part.place_start.last()? {
                return None;
            }
            part.place_start.push(part.place_site.len() as u32);
        }
        part.add_inner_edges(self, nodes, &index);
        Some((part, stands_for, limits))
    }
}

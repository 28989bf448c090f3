//! Columns: what the parts chose at various prices of the limits, put together so that all of it fits.
//!
//! At good prices each part's choice is good by itself, but all parts rush to the same limits at once. Chosen at slightly different
//! prices, they spread. Which part takes which of its choices is a small problem, annealed over the choices instead of the nodes.

use std::collections::HashMap;

use rand::{RngExt, SeedableRng, rngs::SmallRng};

use super::{
    bound::{Dual, Part},
    effort::Effort,
    graph::{Graph, NEVER},
};

/// The most choices that are kept of a part.
const MOST: usize = 64;

/// One choice of a part.
#[derive(Clone, Debug)]
struct Column {
    cost: i64,
    /// In the order of the part's nodes.
    taken: Vec<u32>,
    uses: Vec<(u32, i64)>,
}

/// How the choices are annealed.
#[derive(Clone, Debug)]
pub(super) struct Cooling {
    /// What a unit over each limit is fined at first.
    pub(super) fines: Vec<i64>,
    /// The temperature at first.
    pub(super) hot: f64,
    pub(super) moves: u64,
    pub(super) seed: u64,
}

/// The choices of all parts.
#[derive(Clone, Debug, Default)]
pub(super) struct Columns {
    parts: Vec<Vec<Column>>,
}

impl Columns {
    /// Notes what the parts choose now.
    pub(super) fn note(&mut self, graph: &Graph, dual: &Dual<'_>) {
        self.parts.resize(dual.parts.len(), Vec::new());
        let option = |node: u32| dual.cheapest[dual.chosen[node as usize] as usize];
        for (columns, part) in self.parts.iter_mut().zip(dual.parts.iter()) {
            let same = |column: &&mut Column| {
                column.taken.iter().zip(&part.nodes).all(|(taken, node)| *taken == option(*node))
            };
            if columns.len() >= MOST || columns.iter_mut().rev().find(same).is_some() {
                continue;
            }
            let cost = graph.value_of(&part.nodes, &option);
            if cost < NEVER {
                let taken: Vec<u32> = part.nodes.iter().map(|node| option(*node)).collect();
                let mut uses: HashMap<u32, i64> = HashMap::new();
                for (limit, amount) in taken.iter().flat_map(|o| graph.uses(*o as usize)) {
                    *uses.entry(*limit).or_insert(0) += amount;
                }
                let mut uses: Vec<_> = uses.into_iter().collect();
                uses.sort_unstable();
                columns.push(Column { cost, taken, uses });
            }
        }
    }

    /// The best that annealing makes of them: limits may still be exceeded a little. `None` if a part has no choice.
    pub(super) fn combine(
        &self,
        graph: &Graph,
        parts: &[Part],
        cooling: &Cooling,
        effort: &mut Effort,
    ) -> Option<Vec<u32>> {
        if self.parts.is_empty() || self.parts.iter().any(Vec::is_empty) {
            return None;
        }
        let mut random = SmallRng::seed_from_u64(cooling.seed);
        let mut chosen: Vec<usize> = self.parts.iter().map(|columns| columns.len() - 1).collect();
        let mut used = vec![0i64; graph.limits.len()];
        for (columns, chosen) in self.parts.iter().zip(&chosen) {
            for (limit, amount) in &columns[*chosen].uses {
                used[*limit as usize] += amount;
            }
        }
        let mut fine: Vec<f64> = cooling.fines.iter().map(|fine| *fine as f64 * 0.5).collect();
        let mut heat = cooling.hot;
        let block = (self.parts.len() as u64 * 4).max(256);
        let cool = 0.01f64.powf(block as f64 / cooling.moves as f64);
        let mut done = 0;
        while done < cooling.moves && !effort.is_over() {
            for _ in 0..block {
                let part = random.random_range(0..self.parts.len());
                let columns = &self.parts[part];
                let next = random.random_range(0..columns.len());
                if next == chosen[part] {
                    continue;
                }
                let (old, new) = (&columns[chosen[part]], &columns[next]);
                let mut value = (new.cost - old.cost) as f64;
                let fine = &fine;
                let mut shift = |uses: &[(u32, i64)], sign: i64| {
                    let mut value = 0.0;
                    for (limit, amount) in uses {
                        let l = *limit as usize;
                        let before = (used[l] - graph.limits[l]).max(0);
                        used[l] += sign * amount;
                        let after = (used[l] - graph.limits[l]).max(0);
                        value += (after - before) as f64 * fine[l];
                    }
                    value
                };
                value += shift(&old.uses, -1);
                value += shift(&new.uses, 1);
                if value <= 0.0 || random.random::<f64>() < (-value / heat).exp() {
                    chosen[part] = next;
                } else {
                    shift(&new.uses, -1);
                    shift(&old.uses, 1);
                }
            }
            done += block;
            effort.add(block / 2);
            heat *= cool;
            for (l, fine) in fine.iter_mut().enumerate() {
                *fine *= if used[l] > graph.limits[l] { 1.05 } else { 0.995 };
            }
        }
        let mut taken = vec![0; graph.nodes()];
        for ((columns, chosen), part) in self.parts.iter().zip(chosen).zip(parts) {
            for (node, option) in part.nodes.iter().zip(&columns[chosen].taken) {
                taken[*node as usize] = *option;
            }
        }
        Some(taken)
    }
}

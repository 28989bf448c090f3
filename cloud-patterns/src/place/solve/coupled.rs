//! What limits bind together: annealing for a first assignment, prices of the limits for the bound, branch and bound if it is small,
//! and large neighbourhoods for the rest of the time.

use super::{
    anneal::{Best, Schedule, State, anneal},
    bound::Dual,
    branch::{Rounds, branch_and_bound},
    columns::{Columns, Cooling},
    effort::Effort,
    graph::{Graph, NEVER},
    lns::{Aim, Incumbent, Neighbourhoods},
};

/// What the solver aims at.
#[derive(Clone, Debug)]
pub(super) struct Goals {
    pub(super) seed: u64,
    /// Good enough, as a share of the cost.
    pub(super) gap: f64,
    /// An assignment to begin with.
    pub(super) start: Option<Vec<u32>>,
    /// What the rest of the problem costs at least: part of what the gap is a share of.
    pub(super) known: f64,
    /// The most that an assignment may cost.
    pub(super) ceiling: i64,
}

/// What was found.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) best: Option<Best>,
    /// Infinite if there is no valid assignment.
    pub(super) bound: f64,
}

/// Up to so many nodes branch and bound is tried on the whole.
const SMALL: usize = 24;
/// Up to so many nodes annealing finds its way by itself.
const MEDIUM: usize = 300;

struct Run<'a> {
    graph: &'a Graph,
    goals: &'a Goals,
    best: Option<Best>,
    bound: f64,
    /// The prices that gave the bound.
    prices: Vec<f64>,
    /// What a node costs, about: the measure of temperatures.
    scale: f64,
    seed: u64,
    columns: Columns,
}

pub(super) fn solve(
    graph: &Graph,
    goals: &Goals,
    effort: &mut Effort,
    report: &mut dyn FnMut(Option<i64>, f64, &Effort),
) -> Answer {
    let mut run = Run {
        graph,
        goals,
        best: None,
        bound: f64::NEG_INFINITY,
        prices: vec![0.0; graph.limits.len()],
        scale: 1.0,
        seed: goals.seed,
        columns: Columns::default(),
    };
    if let Some(start) = &goals.start
        && let Some(cost) = graph.value(start)
    {
        run.best = Some(Best { taken: start.clone(), cost });
        report(Some(cost), run.bound, effort);
    }
    run.search(effort, report);
    Answer { best: run.best, bound: run.bound }
}

impl Run<'_> {
    fn search(&mut self, effort: &mut Effort, report: &mut dyn FnMut(Option<i64>, f64, &Effort)) {
        let mut dual = Dual::new(self.graph);
        let Some(first) = self.ascend(&mut dual, 400, &effort.until(0.1), effort) else {
            self.bound = f64::INFINITY;
            return;
        };
        self.scale = (self.bound.abs() / self.graph.nodes() as f64).max(1.0);
        report(self.cost(), self.bound, effort);
        let n = self.graph.nodes() as u64;
        let moves = match n as usize {
            0..=SMALL => 3_000 * n,
            _ => (20_000 * n).min(10_000_000.max(1_000 * n)),
        };
        if n as usize > MEDIUM {
            for _ in 0..3 {
                self.put_together(&dual, effort);
                report(self.cost(), self.bound, effort);
            }
        }
        let heat = if n as usize <= MEDIUM { 0.5 } else { 0.1 };
        let mut tries = 0;
        while self.best.is_none() && !effort.is_over() {
            let hot = heat * f64::from(1 + tries % 3) * self.scale;
            let found = self.cool(&first, hot, moves << tries.min(4), effort);
            self.keep(found);
            report(self.cost(), self.bound, effort);
            tries += 1;
            if self.small() {
                break;
            }
        }
        if self.small() {
            self.branch(&effort.until(0.7), effort);
            report(self.cost(), self.bound, effort);
        }
        if self.is_done() || effort.is_over() {
            return;
        }
        if self.ascend(&mut dual, 400, &effort.until(0.15), effort).is_none() {
            self.bound = f64::INFINITY;
            return;
        }
        report(self.cost(), self.bound, effort);
        // Some of the time goes into the proof, the rest into the assignment.
        let mut polishing = effort.until(0.8);
        self.polish(&first, &dual, moves, &mut polishing, report);
        effort.join(&polishing);
        let mut proving = effort.until(0.93);
        self.tighten(&mut proving);
        effort.join(&proving);
        report(self.cost(), self.bound, effort);
        self.polish(&first, &dual, moves, effort, report);
    }

    fn polish(
        &mut self,
        first: &[u32],
        dual: &Dual<'_>,
        moves: u64,
        effort: &mut Effort,
        report: &mut dyn FnMut(Option<i64>, f64, &Effort),
    ) {
        match self.graph.nodes() <= MEDIUM {
            true => self.wander(first, dual, moves, effort, report),
            false => self.descend(dual, effort, report),
        }
    }

    /// Local optima one after the other: from the last one, warmed up, or anew.
    fn wander(
        &mut self,
        first: &[u32],
        dual: &Dual<'_>,
        moves: u64,
        effort: &mut Effort,
        report: &mut dyn FnMut(Option<i64>, f64, &Effort),
    ) {
        let mut hoods = Neighbourhoods::new(self.seed);
        let mut from = self.best.clone();
        for round in 1.. {
            if self.is_done() || effort.is_over() {
                return;
            }
            if let Some(start) = from {
                let found = self.improve(&mut hoods, dual, start, 25, effort, report);
                self.keep(Some(found));
            }
            from = match &self.best {
                // First some from different slopes, then mostly round the best.
                Some(best) if round > 6 && round % 3 != 0 => {
                    let hot = self.scale * [0.15, 0.3, 0.6, 1.0][round % 4];
                    self.cool(&best.taken.clone(), hot, moves, effort)
                }
                _ if round <= 6 => {
                    let hot = self.scale * [0.5, 1.0, 1.5][round % 3];
                    self.cool(first, hot, moves * 2, effort)
                }
                _ => {
                    let hot = self.scale * [0.5, 1.0][round % 2];
                    self.cool(first, hot, moves * 8, effort)
                }
            };
        }
    }

    /// Down from the best, with ever larger neighbourhoods once the smaller ones hold nothing better.
    fn descend(
        &mut self,
        dual: &Dual<'_>,
        effort: &mut Effort,
        report: &mut dyn FnMut(Option<i64>, f64, &Effort),
    ) {
        let mut hoods = Neighbourhoods::new(self.seed);
        while let Some(best) = self.best.clone() {
            if self.is_done() || effort.is_over() {
                return;
            }
            let before = best.cost;
            let found = self.improve(&mut hoods, dual, best, 60, effort, report);
            if found.cost == before {
                hoods.deepen();
            }
            self.keep(Some(found));
        }
    }

    fn improve(
        &self,
        hoods: &mut Neighbourhoods,
        dual: &Dual<'_>,
        from: Best,
        patience: u64,
        effort: &mut Effort,
        report: &mut dyn FnMut(Option<i64>, f64, &Effort),
    ) -> Best {
        let gains = self.gains(dual, &from.taken);
        let aim = Aim {
            graph: self.graph,
            prices: &self.prices,
            gains: &gains,
            goal: self.goal(),
            patience,
        };
        let mut incumbent = Incumbent::new(self.graph, from.taken, from.cost);
        let mut shown = self.cost().unwrap_or(i64::MAX);
        hoods.improve(aim, &mut incumbent, effort, &mut |cost, effort| {
            if cost < shown {
                shown = cost;
                report(Some(cost), self.bound, effort);
            }
        });
        Best { taken: incumbent.taken, cost: incumbent.cost }
    }

    /// For each node how much dearer its part is, at the prices, than it could be: its share of that.
    fn gains(&self, dual: &Dual<'_>, taken: &[u32]) -> Vec<f64> {
        let graph = self.graph;
        let mut gains = vec![0.0; graph.nodes()];
        for part in dual.parts.iter() {
            let now = self.priced_value(&part.nodes, &|node| taken[node as usize]);
            let relaxed = self.priced_value(&part.nodes, &|node| {
                dual.cheapest[dual.chosen[node as usize] as usize]
            });
            let gain = (now - relaxed).max(0.0) / part.nodes.len() as f64;
            for node in &part.nodes {
                gains[*node as usize] = gain;
            }
        }
        gains
    }

    /// The price of what an option takes of the limits.
    fn price(&self, option: usize) -> f64 {
        let uses = self.graph.uses(option).iter();
        uses.map(|(limit, amount)| self.prices[*limit as usize] * *amount as f64).sum()
    }

    /// What a part's assignment costs, with the price of what it takes of the limits.
    fn priced_value(&self, nodes: &[u32], option: &impl Fn(u32) -> u32) -> f64 {
        let prices: f64 = nodes.iter().map(|node| self.price(option(*node) as usize)).sum();
        self.graph.value_of(nodes, option) as f64 + prices
    }

    fn small(&self) -> bool {
        self.graph.nodes() <= SMALL
    }

    fn cost(&self) -> Option<i64> {
        self.best.as_ref().map(|best| best.cost)
    }

    /// The cost that is good enough.
    fn goal(&self) -> i64 {
        let slack = (self.goals.known + self.bound).abs() * self.goals.gap;
        ((self.bound + slack.max(0.999)).floor() as i64).min(self.goals.ceiling)
    }

    /// Whether it is good enough, or it is proven that nothing can be.
    fn is_done(&self) -> bool {
        self.cost().is_some_and(|cost| cost <= self.goal())
            || self.bound > self.goals.ceiling as f64 + 0.999
    }

    fn keep(&mut self, found: Option<Best>) {
        if let Some(found) = found
            && self.cost().is_none_or(|cost| found.cost < cost)
        {
            self.best = Some(found);
        }
    }

    /// Raises the bound. Gives the relaxed solution at the best prices; `None` if there is no assignment.
    fn ascend(
        &mut self,
        dual: &mut Dual<'_>,
        rounds: usize,
        until: &Effort,
        effort: &mut Effort,
    ) -> Option<Vec<u32>> {
        let sweep = 1 + self.graph.place_site.len() as u64 / 15;
        let mut factor = 1.0;
        let mut worse = 0;
        let mut local = f64::NEG_INFINITY;
        let mut until = until.clone();
        for _ in 0..rounds {
            let bound = dual.bound();
            effort.add(sweep);
            until.join(effort);
            if bound == f64::INFINITY {
                return None;
            }
            let taken = dual.taken();
            if let Some(cost) = self.graph.value(&taken) {
                self.keep(Some(Best { taken, cost }));
            }
            if bound > local {
                worse = 0;
                local = bound;
            } else {
                worse += 1;
                if worse > 8 {
                    factor *= 0.7;
                    worse = 0;
                }
            }
            if factor < 0.5 {
                self.columns.note(self.graph, dual);
            }
            if bound > self.bound {
                self.bound = bound;
                self.prices.clone_from(&dual.price);
            }
            // Without an assignment the goal is a guess.
            let goal = self.cost().map_or(self.bound + self.bound.abs() * 0.1, |c| c as f64);
            if factor < 1e-5 || !dual.step(bound, goal, factor) || until.is_over() {
                break;
            }
        }
        dual.price.clone_from(&self.prices);
        dual.bound();
        Some(dual.taken())
    }

    /// What the parts chose at various prices, put together and repaired.
    fn put_together(&mut self, dual: &Dual<'_>, effort: &mut Effort) {
        self.seed = self.seed.wrapping_add(1);
        let cooling = Cooling {
            fines: self.fines(),
            hot: self.scale,
            moves: 500 * self.graph.nodes() as u64,
            seed: self.seed,
        };
        if let Some(taken) = self.columns.combine(self.graph, &dual.parts, &cooling, effort) {
            let moves = 1_000 * self.graph.nodes() as u64;
            let found = self.cool(&taken, 0.01 * self.scale, moves, effort);
            self.keep(found);
        }
    }

    /// Anneals twice, side by side; gives the better.
    fn cool(&mut self, from: &[u32], hot: f64, moves: u64, effort: &mut Effort) -> Option<Best> {
        let fines = self.fines();
        let graph = self.graph;
        let edge_fine = (self.scale * 40.0).clamp(1.0, NEVER as f64 / 1024.0) as i64;
        let mut chains: Vec<(u64, Effort)> = Vec::new();
        for _ in 0..2 {
            self.seed = self.seed.wrapping_add(1);
            chains.push((self.seed, effort.clone()));
        }
        let run = |seed: u64, effort: &mut Effort| {
            let mut state = State::new(graph, from.to_vec(), fines.clone(), edge_fine);
            anneal(&mut state, Schedule { hot, cold: hot / 20.0, moves, seed }, effort)
        };
        let found: Vec<(Option<Best>, Effort)> = std::thread::scope(|scope| {
            let threads: Vec<_> = chains
                .into_iter()
                .map(|(seed, mut effort)| {
                    let run = &run;
                    scope.spawn(move || (run(seed, &mut effort), effort))
                })
                .collect();
            threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
        });
        for (_, spent) in &found {
            effort.join(spent);
        }
        found.into_iter().filter_map(|(best, _)| best).min_by_key(|best| best.cost)
    }

    /// What a unit over each limit is fined at first: half of what a unit costs on the average.
    fn fines(&self) -> Vec<i64> {
        let mut sums = vec![(0.0, 0.0); self.graph.limits.len()];
        for (option, cost) in self.graph.cost.iter().enumerate() {
            for (limit, amount) in self.graph.uses(option) {
                let sum = &mut sums[*limit as usize];
                *sum = (sum.0 + *cost as f64, sum.1 + *amount as f64);
            }
        }
        let most = NEVER as f64 / 1e9;
        let fine = |(cost, used): (f64, f64)| (0.5 * cost / used.max(1.0)).clamp(20.0, most) as i64;
        sums.into_iter().map(fine).collect()
    }

    /// Raises the bound part by part: at the best prices, what does a part cost at least if it also has to fit the limits by itself?
    fn tighten(&mut self, effort: &mut Effort) {
        let Some(best) = self.best.clone().filter(|_| !self.is_done()) else {
            return;
        };
        let graph = self.graph;
        let mut dual = Dual::new(graph);
        dual.price.clone_from(&self.prices);
        for _ in 0..8 {
            dual.bound();
            effort.add(1 + graph.place_site.len() as u64 / 15);
        }
        let mut sum = -dual.capacity_value();
        let mut parts = Vec::new();
        let own = |node: u32| best.taken[node as usize];
        for p in 0..dual.parts.len() {
            let least = dual.sweep(p);
            sum += least;
            let nodes = &dual.parts[p].nodes;
            let value = self.priced_value(nodes, &own);
            parts.push((value - least, p, least, value));
        }
        parts.sort_by(|a, b| b.0.total_cmp(&a.0));
        for (gap, p, least, value) in parts {
            if effort.is_over() || gap < 1.0 {
                break;
            }
            let nodes = &dual.parts[p].nodes;
            let mut used = vec![0; graph.limits.len()];
            for (limit, amount) in nodes.iter().flat_map(|n| graph.uses(own(*n) as usize)) {
                used[*limit as usize] += amount;
            }
            let cost = |option: usize| graph.cost[option] + self.price(option).floor() as i64;
            let Some((part, ..)) = graph.part(nodes, &best.taken, &used, cost) else {
                continue;
            };
            let prices = vec![0.0; part.limits.len()];
            let sweep = 1 + part.place_site.len() as u64 / 15;
            let mut visits = 0;
            let found = branch_and_bound(
                &part,
                value.ceil() as i64,
                &prices,
                Rounds { first: 100, then: 4 },
                &mut |sweeps| {
                    visits += 1;
                    effort.add(sweep * sweeps);
                    visits > 400 || effort.is_over()
                },
            );
            sum += (found.bound - least).max(0.0);
        }
        self.bound = self.bound.max(sum);
    }

    /// Searches the whole, as far as the effort goes.
    fn branch(&mut self, until: &Effort, effort: &mut Effort) {
        let sweep = 1 + self.graph.place_site.len() as u64 / 15;
        let known = self.cost().unwrap_or(NEVER);
        let mut until = until.clone();
        let rounds = Rounds { first: 40, then: 4 };
        let found = branch_and_bound(self.graph, known, &self.prices, rounds, &mut |sweeps| {
            effort.add(sweep * sweeps);
            until.join(effort);
            until.is_over()
        });
        if found.cost == NEVER && found.bound >= NEVER as f64 {
            self.bound = f64::INFINITY;
            return;
        }
        self.bound = self.bound.max(found.bound);
        self.keep(found.taken.map(|taken| Best { taken, cost: found.cost }));
    }
}

//! Simulated annealing: a good valid assignment, by many small changes.

use rand::{RngExt, SeedableRng, rngs::SmallRng};

use super::{
    effort::Effort,
    graph::{Graph, NEVER},
};

/// An assignment of the nodes, kept up to date move by move.
#[derive(Clone, Debug)]
pub(super) struct State<'g> {
    graph: &'g Graph,
    taken: Vec<u32>,
    site: Vec<u32>,
    used: Vec<i64>,
    /// What options and edges cost, without penalties.
    cost: i64,
    /// By how much the limits are exceeded, all in all, weighted.
    over: i64,
    /// How many edges are broken.
    broken: i64,
    /// What a unit over a limit is fined.
    fine: Vec<i64>,
    /// What a broken edge is fined.
    edge_fine: i64,
}

/// What a move changes.
#[derive(Clone, Copy, Debug, Default)]
struct Change {
    cost: i64,
    broken: i64,
    over: i64,
}

impl<'g> State<'g> {
    pub(super) fn new(graph: &'g Graph, taken: Vec<u32>, fine: Vec<i64>, edge_fine: i64) -> Self {
        let site = vec![0; taken.len()];
        let mut state = Self {
            graph,
            taken,
            site,
            used: vec![0; graph.limits.len()],
            cost: 0,
            over: 0,
            broken: 0,
            fine,
            edge_fine,
        };
        state.recount();
        state
    }

    fn recount(&mut self) {
        let graph = self.graph;
        for node in 0..graph.nodes() {
            self.site[node] = graph.site_of(self.taken[node] as usize) as u32;
        }
        self.used.fill(0);
        self.cost = 0;
        self.broken = 0;
        for option in &self.taken {
            self.cost += graph.cost[*option as usize];
            for (limit, amount) in graph.uses(*option as usize) {
                self.used[*limit as usize] += amount;
            }
        }
        for edge in &graph.edges {
            match graph.pair(
                edge,
                self.site[edge.a as usize] as usize,
                self.site[edge.b as usize] as usize,
            ) {
                NEVER => self.broken += 1,
                cost => self.cost += cost,
            }
        }
        self.recount_fines();
    }

    fn recount_fines(&mut self) {
        let fines = self.used.iter().zip(&self.graph.limits).zip(&self.fine);
        self.over = fines.map(|((used, limit), fine)| (used - limit).max(0) * fine).sum();
    }

    fn is_valid(&self) -> bool {
        self.broken == 0 && self.over == 0
    }

    fn edges_at(&self, node: usize, site: usize) -> (i64, i64) {
        let graph = self.graph;
        let (mut cost, mut broken) = (0, 0);
        for e in graph.adjacent(node) {
            let edge = &graph.edges[*e as usize];
            let pair = match edge.a as usize == node {
                true => graph.pair(edge, site, self.site[edge.b as usize] as usize),
                false => graph.pair(edge, self.site[edge.a as usize] as usize, site),
            };
            match pair {
                NEVER => broken += 1,
                pair => cost += pair,
            }
        }
        (cost, broken)
    }

    fn use_limits(&mut self, option: usize, sign: i64) -> i64 {
        let graph = self.graph;
        let mut change = 0;
        for (limit, amount) in graph.uses(option) {
            let l = *limit as usize;
            let before = (self.used[l] - graph.limits[l]).max(0);
            self.used[l] += sign * amount;
            change += ((self.used[l] - graph.limits[l]).max(0) - before) * self.fine[l];
        }
        change
    }

    /// Takes an option and says what it changed.
    fn take(&mut self, node: usize, option: usize, site: usize) -> Change {
        let old = self.taken[node] as usize;
        let old_site = self.site[node] as usize;
        let mut change =
            Change { cost: self.graph.cost[option] - self.graph.cost[old], ..Change::default() };
        if site != old_site {
            let (now, now_broken) = self.edges_at(node, old_site);
            let (then, then_broken) = self.edges_at(node, site);
            change.cost += then - now;
            change.broken = then_broken - now_broken;
        }
        change.over = self.use_limits(old, -1) + self.use_limits(option, 1);
        self.taken[node] = option as u32;
        self.site[node] = site as u32;
        self.cost += change.cost;
        self.over += change.over;
        self.broken += change.broken;
        change
    }

    fn undo(&mut self, node: usize, option: usize, site: usize, change: Change) {
        let now = self.taken[node] as usize;
        self.use_limits(now, -1);
        self.use_limits(option, 1);
        self.taken[node] = option as u32;
        self.site[node] = site as u32;
        self.cost -= change.cost;
        self.over -= change.over;
        self.broken -= change.broken;
    }

    fn value(&self, change: Change) -> i64 {
        change.cost + change.over + change.broken * self.edge_fine
    }
}

/// How an annealing goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schedule {
    /// The temperature at first: how much dearer a move may be.
    pub(super) hot: f64,
    /// The temperature in the end.
    pub(super) cold: f64,
    pub(super) moves: u64,
    pub(super) seed: u64,
}

/// The best valid assignment seen.
#[derive(Clone, Debug)]
pub(super) struct Best {
    pub(super) taken: Vec<u32>,
    pub(super) cost: i64,
}

/// Cools from hot to cold. Each limit's fine rises while it is exceeded and falls while it is not, so that it finds its level by itself; it falls
/// less and less, so that everything fits in the end.
pub(super) fn anneal(
    state: &mut State<'_>,
    schedule: Schedule,
    effort: &mut Effort,
) -> Option<Best> {
    let graph = state.graph;
    let mut random = SmallRng::seed_from_u64(schedule.seed);
    let mut fines: Vec<f64> = state.fine.iter().map(|fine| *fine as f64).collect();
    let floor: Vec<f64> = fines.iter().map(|fine| fine * 0.05).collect();
    let block = (10 * graph.nodes() as u64).max(1024);
    let cool = (schedule.cold / schedule.hot).powf(block as f64 / schedule.moves as f64);
    let mut heat = schedule.hot;
    let mut best: Option<Best> = None;
    let mut done = 0;
    while done < schedule.moves && !effort.is_over() {
        for _ in 0..block {
            if try_move(state, heat, &mut random)
                && state.is_valid()
                && best.as_ref().is_none_or(|best| state.cost < best.cost)
            {
                best = Some(Best { taken: state.taken.clone(), cost: state.cost });
            }
        }
        effort.add(block / 12);
        done += block;
        heat *= cool;
        let fall = 1.0 - 0.01 * (1.0 - done as f64 / schedule.moves as f64).max(0.0);
        for (l, fine) in fines.iter_mut().enumerate() {
            *fine *= if state.used[l] > graph.limits[l] { 1.1 } else { fall };
            *fine = fine.clamp(floor[l], floor[l] * 1e4);
            state.fine[l] = *fine as i64;
        }
        if state.broken > 0 {
            state.edge_fine = (state.edge_fine + state.edge_fine / 20).min(NEVER / 1024);
        }
        state.recount_fines();
    }
    best
}

/// Proposes a move and makes it if it is good enough for the temperature.
fn try_move(state: &mut State<'_>, heat: f64, random: &mut SmallRng) -> bool {
    let graph = state.graph;
    let node = random.random_range(0..graph.nodes());
    let (option, site) = propose(state, node, random);
    if option == state.taken[node] as usize {
        return false;
    }
    let (old, old_site) = (state.taken[node] as usize, state.site[node] as usize);
    let change = state.take(node, option, site);
    let mut value = state.value(change);
    // Somebody else makes room, if a limit is in the way.
    let mut other = None;
    if change.over > 0 && random.random_bool(0.5) {
        let second = random.random_range(0..graph.nodes());
        if second != node
            && state.site[second] as usize == site
            && let Some(place) = graph.place_at(second, old_site)
        {
            let options = graph.options(place);
            let option = options.start + random.random_range(0..options.len());
            let back = (second, state.taken[second] as usize);
            let change = state.take(second, option, old_site);
            value += state.value(change);
            other = Some((back, change));
        }
    }
    if value <= 0 || random.random::<f64>() < (-(value as f64) / heat).exp() {
        return true;
    }
    if let Some(((second, option), change)) = other {
        state.undo(second, option, site, change);
    }
    state.undo(node, old, old_site, change);
    false
}

/// Any option of the node, or one where a neighbour is.
fn propose(state: &State<'_>, node: usize, random: &mut SmallRng) -> (usize, usize) {
    let graph = state.graph;
    let adjacent = graph.adjacent(node);
    let pick = |place: usize, random: &mut SmallRng| {
        let options = graph.options(place);
        let site = graph.place_site[place] as usize;
        (options.start + random.random_range(0..options.len()), site)
    };
    if !adjacent.is_empty() && random.random_bool(0.5) {
        let edge = &graph.edges[adjacent[random.random_range(0..adjacent.len())] as usize];
        let other = if edge.a as usize == node { edge.b } else { edge.a };
        if let Some(place) = graph.place_at(node, state.site[other as usize] as usize) {
            return pick(place, random);
        }
    }
    let places = graph.places(node);
    let place = places.start + random.random_range(0..places.len());
    pick(place, random)
}

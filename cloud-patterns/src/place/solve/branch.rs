//! Branch and bound: the optimum of a small problem, and the proof.
//!
//! It branches where the relaxed solution exceeds a limit: on whether two linked nodes share their site (then they need room there
//! together, else their traffic is paid), and on whether a node takes of the limit at all.

use super::{bound::Dual, graph::Graph, problem::Scope};

/// What a search found.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Found {
    /// The best assignment that is better than what was known.
    pub(super) taken: Option<Vec<u32>>,
    pub(super) cost: i64,
    /// No valid assignment costs less.
    pub(super) bound: f64,
}

/// How often prices are adjusted at the root of the search, and further down.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rounds {
    pub(super) first: usize,
    pub(super) then: usize,
}

/// A part of the space of assignments that is still to be searched.
struct Open<'g> {
    dual: Dual<'g>,
    bound: f64,
}

struct Search<'g> {
    graph: &'g Graph,
    best: Option<Vec<u32>>,
    /// What has to be beaten.
    cost: i64,
    sweeps: u64,
}

/// Searches for an assignment cheaper than `known`, beginning with the given prices of the limits; goes on until `stop` says so. That is told how
/// many sweeps were made since it was last asked.
pub(super) fn branch_and_bound(
    graph: &Graph,
    known: i64,
    prices: &[f64],
    rounds: Rounds,
    stop: &mut dyn FnMut(u64) -> bool,
) -> Found {
    let mut search = Search { graph, best: None, cost: known, sweeps: 0 };
    let mut root = Dual::new(graph);
    root.price.copy_from_slice(prices);
    let mut open: Vec<Open<'_>> = Vec::new();
    if search.propagate(&mut root)
        && let Some(bound) = search.relax(&mut root, rounds.first)
    {
        open.push(Open { dual: root, bound });
    }
    let mut lowest = f64::INFINITY;
    while let Some(Open { mut dual, bound }) = open.pop() {
        if !search.promises(bound) {
            continue;
        }
        if stop(std::mem::take(&mut search.sweeps)) {
            lowest = open.iter().fold(lowest.min(bound), |least, open| least.min(open.bound));
            break;
        }
        let Some(branch) = search.branch(&dual) else {
            // Nothing is left to decide, yet prices stand between bound and cost.
            if dual.price.iter().any(|price| *price > 0.0) {
                dual.price.fill(0.0);
                if let Some(bound) =
                    search.evaluate(&mut dual).filter(|bound| search.promises(*bound))
                {
                    if search.branch(&dual).is_some() {
                        open.push(Open { dual, bound });
                    } else {
                        lowest = lowest.min(bound);
                    }
                }
            } else {
                lowest = lowest.min(bound);
            }
            continue;
        };
        let mut children = Vec::with_capacity(2);
        let other = dual.clone();
        for (mut dual, yes) in [(dual, true), (other, false)] {
            if !search.apply(&mut dual, &branch, yes) {
                continue;
            }
            if let Some(bound) = search.relax(&mut dual, rounds.then) {
                children.push(Open { dual, bound });
            }
        }
        children.sort_by(|a, b| b.bound.total_cmp(&a.bound));
        open.extend(children);
    }
    let cost = search.cost;
    Found { taken: search.best, cost, bound: lowest.min(cost as f64) }
}

/// What to decide next.
#[derive(Clone, Debug)]
enum Branch {
    /// Whether the ends of an edge share their site, or cloud.
    Join(usize, Scope),
    /// Whether a node takes more than so much of a limit.
    Uses { node: usize, limit: u32, more_than: i64 },
    /// Whether a node is in a cloud.
    Cloud { node: usize, cloud: u32 },
    /// Whether a node is at a site.
    Site { node: usize, site: usize },
}

impl<'g> Search<'g> {
    fn promises(&self, bound: f64) -> bool {
        // Costs are whole numbers.
        bound < self.cost as f64 - 0.999
    }

    /// The bound at the present prices, and the assignment it comes from, if that is valid and better.
    fn evaluate(&mut self, dual: &mut Dual<'g>) -> Option<f64> {
        self.sweeps += 1;
        let bound = dual.bound();
        if bound == f64::INFINITY {
            return None;
        }
        self.offer(dual);
        Some(bound)
    }

    /// Takes the relaxed solution, if it is valid and better.
    fn offer(&mut self, dual: &Dual<'_>) {
        let graph = self.graph;
        let taken = dual.taken();
        if let Some(cost) = graph.value(&taken)
            && cost < self.cost
        {
            self.cost = cost;
            self.best = Some(taken);
        }
    }

    /// Raises the bound by subgradient steps on the prices. `None` if there is nothing better below.
    fn relax(&mut self, dual: &mut Dual<'g>, rounds: usize) -> Option<f64> {
        let mut best = f64::NEG_INFINITY;
        let mut best_price = dual.price.clone();
        let mut factor = 1.0;
        let mut worse = 0;
        for round in 0..rounds.max(1) {
            let bound = self.evaluate(dual)?;
            if bound > best {
                best = bound;
                best_price.clone_from(&dual.price);
                worse = 0;
            } else {
                worse += 1;
                if worse > 3 {
                    factor *= 0.6;
                    worse = 0;
                }
            }
            if !self.promises(best) {
                return None;
            }
            let goal = (self.cost as f64).min(best.abs() * 1.5 + 1.0);
            if round + 1 == rounds || !dual.step(bound, goal, factor) {
                break;
            }
        }
        if dual.price != best_price {
            dual.price = best_price;
            self.evaluate(dual)?;
        }
        Some(best)
    }

    fn branch(&self, dual: &Dual<'_>) -> Option<Branch> {
        let graph = self.graph;
        let option = |node: usize| dual.cheapest[dual.chosen[node] as usize] as usize;
        let mut used = vec![0i64; graph.limits.len()];
        for node in 0..graph.nodes() {
            for (limit, amount) in graph.uses(option(node)) {
                used[*limit as usize] += amount;
            }
        }
        // The limit that is exceeded most, as a share of it.
        let excess = |l: usize| {
            let limit = graph.limits[l];
            (used[l] - limit) as f64 / (limit.max(1)) as f64
        };
        let exceeded = (0..used.len()).filter(|l| used[*l] > graph.limits[*l]);
        if let Some(l) = exceeded.max_by(|a, b| excess(*a).total_cmp(&excess(*b))) {
            let amount = |node: usize| {
                graph.uses(option(node)).iter().find(|u| u.0 as usize == l).map_or(0, |u| u.1)
            };
            let site = |node: usize| graph.site_of(option(node));
            let scope = graph.limit_scope[l];
            let linked = (0..graph.edges.len()).filter(|e| {
                let edge = &graph.edges[*e];
                let open = match scope {
                    Some(Scope::Site) => !dual.bond[*e].same_site,
                    Some(Scope::Cloud) => !dual.bond[*e].same_cloud,
                    None => false,
                };
                open && amount(edge.a as usize) > 0 && amount(edge.b as usize) > 0
            });
            let weight = |e: &usize| {
                let edge = &graph.edges[*e];
                amount(edge.a as usize).min(amount(edge.b as usize)) * (edge.ab + edge.ba)
            };
            if let (Some(edge), Some(scope)) = (linked.max_by_key(weight), scope) {
                return Some(Branch::Join(edge, scope));
            }
            let mut users: Vec<usize> = (0..graph.nodes()).filter(|n| amount(*n) > 0).collect();
            users.sort_by_key(|n| std::cmp::Reverse(amount(*n)));
            for node in &users {
                let own = graph.cloud[site(*node)];
                let alive = graph.node_options(*node).filter(|o| !dual.dead[*o]);
                if { alive }.any(|o| graph.cloud[graph.site_of(o)] != own) {
                    return Some(Branch::Cloud { node: *node, cloud: own });
                }
            }
            for node in users {
                if let Some(branch) = self.split(dual, node, l as u32) {
                    return Some(branch);
                }
            }
        }
        // Valid as to the limits. What prices keep apart from the bound:
        let mut slack: Vec<usize> = (0..used.len()).filter(|l| dual.price[*l] > 0.0).collect();
        slack.retain(|l| used[*l] < graph.limits[*l]);
        let lost = |l: usize| dual.price[l] * (graph.limits[l] - used[l]) as f64;
        slack.sort_by(|a, b| lost(*b).total_cmp(&lost(*a)));
        for l in slack {
            for node in 0..graph.nodes() {
                if let Some(branch) = self.split(dual, node, l as u32) {
                    return Some(branch);
                }
            }
        }
        // Messages in a cycle may disagree: decide on a site.
        if dual.parts.iter().any(|part| !part.is_tree) {
            let alive = |place: &usize| graph.options(*place).any(|o| !dual.dead[o]);
            let open = |node: &usize| graph.places(*node).filter(alive).nth(1).is_some();
            let node = (0..graph.nodes()).filter(open).max_by_key(|n| graph.adjacent(*n).len())?;
            return Some(Branch::Site { node, site: graph.site_of(option(node)) });
        }
        None
    }

    /// Splits the options of a node by what they take of a limit, if they differ.
    fn split(&self, dual: &Dual<'_>, node: usize, limit: u32) -> Option<Branch> {
        let graph = self.graph;
        let amount = |o: usize| graph.uses(o).iter().find(|u| u.0 == limit).map_or(0, |u| u.1);
        let alive = graph.node_options(node).filter(|o| !dual.dead[*o]).map(amount);
        let (least, most) = alive.fold((i64::MAX, i64::MIN), |(l, m), a| (l.min(a), m.max(a)));
        (least < most).then_some(Branch::Uses { node, limit, more_than: least })
    }

    /// Makes a decision and draws what follows from it. Says whether anything is left.
    fn apply(&self, dual: &mut Dual<'g>, branch: &Branch, yes: bool) -> bool {
        let graph = self.graph;
        match branch {
            Branch::Join(edge, Scope::Cloud) if yes => dual.bond[*edge].same_cloud = true,
            Branch::Join(edge, Scope::Cloud) => {
                dual.bond[*edge].other_cloud = true;
                dual.keep_apart(*edge);
            }
            Branch::Join(edge, Scope::Site) if yes => {
                dual.bond[*edge].same_site = true;
                dual.bond[*edge].same_cloud = true;
            }
            Branch::Join(edge, Scope::Site) => {
                dual.keep_apart(*edge);
            }
            Branch::Uses { node, limit, more_than } => {
                for option in graph.node_options(*node) {
                    let used = graph.uses(option).iter().find(|u| u.0 == *limit);
                    if (used.map_or(0, |u| u.1) > *more_than) != yes {
                        dual.dead[option] = true;
                    }
                }
            }
            Branch::Cloud { node, cloud } => {
                for option in graph.node_options(*node) {
                    if (graph.cloud[graph.site_of(option)] == *cloud) != yes {
                        dual.dead[option] = true;
                    }
                }
            }
            Branch::Site { node, site } => {
                for option in graph.node_options(*node) {
                    if (graph.site_of(option) == *site) != yes {
                        dual.dead[option] = true;
                    }
                }
            }
        }
        self.propagate(dual)
    }

    /// Rules out what no longer fits beside what the others take at least.
    fn propagate(&self, dual: &mut Dual<'g>) -> bool {
        let graph = self.graph;
        let n = graph.nodes();
        let count = graph.limits.len();
        let by_site = joined_groups(graph, |e| dual.bond[e].same_site);
        let by_cloud = joined_groups(graph, |e| dual.bond[e].same_cloud);
        loop {
            // What each node takes of each limit at least, and all of them together.
            let mut least: Vec<Uses> = Vec::with_capacity(n);
            let mut all = vec![0i64; count];
            for node in 0..n {
                let alive = graph.node_options(node).filter(|o| !dual.dead[*o]);
                let own = least_uses(graph, alive);
                let Some(own) = own else {
                    return false;
                };
                for (limit, amount) in &own {
                    all[*limit as usize] += amount;
                }
                least.push(own);
            }
            if all.iter().zip(&graph.limits).any(|(all, limit)| all > limit) {
                return false;
            }
            let mut changed = false;
            for (node, least) in least.iter().enumerate() {
                for option in graph.node_options(node) {
                    let crowds = |(limit, amount): &(u32, i64)| {
                        let own = least.iter().find(|u| u.0 == *limit).map_or(0, |u| u.1);
                        all[*limit as usize] - own + amount > graph.limits[*limit as usize]
                    };
                    if !dual.dead[option] && graph.uses(option).iter().any(crowds) {
                        dual.dead[option] = true;
                        changed = true;
                    }
                }
            }
            changed |= self.fit_groups(dual, &by_site, Scope::Site, &least, &all);
            changed |= self.fit_groups(dual, &by_cloud, Scope::Cloud, &least, &all);
            if !changed {
                break;
            }
        }
        true
    }

    /// A group that shares its site needs room there for all of it.
    fn fit_groups(
        &self,
        dual: &mut Dual<'g>,
        groups: &[Vec<usize>],
        scope: Scope,
        least: &[Uses],
        all: &[i64],
    ) -> bool {
        let graph = self.graph;
        let mut changed = false;
        for group in groups {
            let count = match scope {
                Scope::Site => graph.sites,
                Scope::Cloud => graph.clouds(),
            };
            for value in 0..count {
                let within = |option: &usize| match scope {
                    Scope::Site => graph.site_of(*option) == value,
                    Scope::Cloud => graph.cloud[graph.site_of(*option)] as usize == value,
                };
                let candidates = |node: usize| match scope {
                    Scope::Site => graph.place_at(node, value).map_or(0..0, |p| graph.options(p)),
                    Scope::Cloud => graph.node_options(node),
                };
                let mut need: Vec<(u32, i64)> = Vec::new();
                let mut possible = true;
                for node in group {
                    let alive = candidates(*node).filter(within).filter(|o| !dual.dead[*o]);
                    match least_uses(graph, alive) {
                        None => possible = false,
                        Some(own) => {
                            for (limit, amount) in own {
                                match need.iter_mut().find(|u| u.0 == limit) {
                                    Some(found) => found.1 += amount,
                                    None => need.push((limit, amount)),
                                }
                            }
                        }
                    }
                }
                let crowded = |(limit, amount): &(u32, i64)| {
                    let taken = group.iter().flat_map(|node| &least[*node]);
                    let own: i64 = taken.filter(|u| u.0 == *limit).map(|u| u.1).sum();
                    all[*limit as usize] - own + amount > graph.limits[*limit as usize]
                };
                if possible && !need.iter().any(crowded) {
                    continue;
                }
                for node in group {
                    for option in candidates(*node).filter(within) {
                        if !dual.dead[option] {
                            dual.dead[option] = true;
                            changed = true;
                        }
                    }
                }
            }
        }
        changed
    }
}

/// What some options take of each limit at least; `None` if there are none.
fn least_uses(graph: &Graph, options: impl Iterator<Item = usize>) -> Option<Uses> {
    let mut least: Option<Uses> = None;
    for option in options {
        let uses = graph.uses(option);
        match &mut least {
            None => least = Some(uses.into()),
            Some(least) => least.retain(|(limit, amount)| {
                let found = uses.iter().find(|u| u.0 == *limit);
                *amount = found.map_or(0, |u| u.1).min(*amount);
                *amount > 0
            }),
        }
    }
    least
}

type Uses = smallvec::SmallVec<[(u32, i64); 4]>;

/// The nodes that joined edges bind together, by group.
fn joined_groups(graph: &Graph, joined: impl Fn(usize) -> bool) -> Vec<Vec<usize>> {
    let mut group: Vec<usize> = (0..graph.nodes()).collect();
    let mut any = false;
    for (e, edge) in graph.edges.iter().enumerate() {
        if joined(e) {
            any = true;
            let (a, b) = (group[edge.a as usize], group[edge.b as usize]);
            for g in &mut group {
                if *g == a.max(b) {
                    *g = a.min(b);
                }
            }
        }
    }
    if !any {
        return Vec::new();
    }
    let mut groups: Vec<Vec<usize>> = vec![Vec::new(); group.len()];
    for (node, g) in group.iter().enumerate() {
        groups[*g].push(node);
    }
    groups.retain(|g| g.len() > 1);
    groups
}

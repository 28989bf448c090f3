//! A [`Problem`] made ready to be solved: what can never be taken is gone, what goes together is one node, and all lies flat in memory.

use std::ops::Range;

use std::{collections::HashMap, sync::Arc};

use smallvec::SmallVec;

use super::problem::{IMPOSSIBLE, Problem, Scope, Tariff};

/// More than any cost: a pair of sites that cannot be.
pub(super) const NEVER: i64 = i64::MAX / 8;

/// The same as a factor: times 0 it is 0.
const FAR: f64 = 1e18;

/// How the two ends of an edge have to lie to each other, besides what they cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Relation {
    pub(super) other_site: bool,
    pub(super) other_cloud: bool,
    pub(super) same_cloud: bool,
}

/// What binds two nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Edge {
    pub(super) a: u32,
    pub(super) b: u32,
    pub(super) ab: i64,
    pub(super) ba: i64,
    pub(super) tariff_ab: u32,
    pub(super) tariff_ba: u32,
    pub(super) max_rtt: u32,
    pub(super) rtt_cost: i64,
    pub(super) relation: Relation,
    /// Whether it is anything but priced traffic by class: each pair of sites has to be looked at.
    pub(super) dense: bool,
}

/// What is known of the sites.
#[derive(Clone, Debug, Default)]
pub(super) struct Sites {
    pub(super) cloud: Vec<u32>,
    pub(super) rtt: Vec<u32>,
    /// Prices of each tariff, row by row.
    pub(super) prices: Vec<Vec<i64>>,
    /// Sites of one class cost the same from anywhere else.
    pub(super) class: Vec<u32>,
    pub(super) classes: usize,
    /// The cloud of each class.
    pub(super) class_cloud: Vec<u32>,
    /// For each tariff: the price from each site to each class.
    pub(super) class_price: Vec<Vec<f64>>,
}

impl std::ops::Deref for Graph {
    type Target = Sites;
    fn deref(&self) -> &Sites {
        &self.shared
    }
}

impl Sites {
    fn new(problem: &Problem) -> Self {
        let mut sites = Self {
            cloud: problem.sites.iter().map(|site| site.cloud).collect(),
            rtt: problem.rtt.clone(),
            prices: problem.tariffs.iter().map(|tariff| tariff.prices.clone()).collect(),
            ..Self::default()
        };
        sites.classify(&problem.tariffs);
        sites
    }

    /// Sites to which everybody pays the same are one class: the solver then looks at classes instead of pairs of sites.
    fn classify(&mut self, tariffs: &[Tariff]) {
        let n = self.cloud.len();
        let alike = |s: usize, t: usize| {
            self.cloud[s] == self.cloud[t]
                && tariffs.iter().all(|tariff| {
                    let price = |r: usize, s: usize| tariff.prices[r * n + s];
                    (0..n).all(|r| r == s || r == t || price(r, s) == price(r, t))
                        && price(s, s) <= price(s, t)
                        && price(t, t) <= price(t, s)
                })
        };
        let mut first: Vec<usize> = Vec::new();
        let mut class = Vec::with_capacity(n);
        for site in 0..n {
            // Being alike carries over from one to the next, but for what they pay to each other: that is compared with all.
            let found = first.iter().position(|&f| {
                alike(f, site)
                    && (0..site).filter(|s| class[*s] == class[f]).all(|s| alike(s, site))
            });
            class.push(found.unwrap_or(first.len()) as u32);
            if found.is_none() {
                first.push(site);
            }
        }
        self.classes = first.len();
        self.class_cloud = first.iter().map(|s| self.cloud[*s]).collect();
        self.class_price = tariffs
            .iter()
            .map(|tariff| {
                let mut prices = vec![FAR; n * first.len()];
                for r in 0..n {
                    for s in (0..n).filter(|s| *s != r) {
                        let price = tariff.prices[r * n + s];
                        if price != IMPOSSIBLE {
                            prices[r * first.len() + class[s] as usize] = price as f64;
                        }
                    }
                }
                prices
            })
            .collect();
        self.class = class;
    }

}

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
    /// For each node and site the place, counted within the node; [`u16::MAX`] for none.
    place_of: Vec<u16>,
}

impl Graph {
    /// `None` if some item has no option left: then there is no valid assignment.
    pub(super) fn new(problem: &Problem) -> Option<Self> {
        let mut graph = Self {
            sites: problem.sites.len(),
            shared: Arc::new(Sites::new(problem)),
            limits: problem.limits.clone(),
            items: problem.items.len(),
            ..Self::default()
        };
        let node_of = graph.merge(problem);
        graph.add_spreads_as_limits(problem);
        graph.add_options(problem, &node_of)?;
        graph.add_edges(problem, &node_of);
        while graph.drop_lonely_places()? {}
        graph.index_places();
        graph.find_conflicts();
        graph.find_scopes();
        Some(graph)
    }

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
        for (units, tariff, at) in [(edge.ab, edge.tariff_ab, there), (edge.ba, edge.tariff_ba, back)] {
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

    fn find_scopes(&mut self) {
        let mut first = vec![None; self.limits.len()];
        self.limit_scope = vec![Some(Scope::Site); self.limits.len()];
        for option in 0..self.cost.len() {
            let site = self.site_of(option);
            for (limit, _) in self.uses(option).to_vec() {
                let first = *first[limit as usize].get_or_insert(site);
                let same_cloud = self.cloud[first] == self.cloud[site];
                let scope = &mut self.limit_scope[limit as usize];
                if !same_cloud {
                    *scope = None;
                } else if first != site && *scope == Some(Scope::Site) {
                    *scope = Some(Scope::Cloud);
                }
            }
        }
    }

    fn find_conflicts(&mut self) {
        self.fits_both = vec![true; self.edges.len() * self.sites];
        for (e, edge) in self.edges.iter().enumerate() {
            for place in self.places(edge.a as usize) {
                let site = self.place_site[place] as usize;
                let Some(other) = self.place_at(edge.b as usize, site) else { continue };
                let fit = self.options(place).any(|a| self.options(other).any(|b| {
                    self.uses(a).iter().all(|(l, own)| {
                        let both = self.uses(b).iter().find(|u| u.0 == *l).map_or(0, |u| u.1) + own;
                        both <= self.limits[*l as usize]
                    })
                }));
                self.fits_both[e * self.sites + site] = fit;
            }
        }
    }

    fn index_places(&mut self) {
        self.option_site = (0..self.place_site.len())
            .flat_map(|place| self.options(place).map(move |_| place))
            .map(|place| self.place_site[place])
            .collect();
        self.place_of = vec![u16::MAX; self.nodes() * self.sites];
        for node in 0..self.nodes() {
            for (k, place) in self.places(node).enumerate() {
                self.place_of[node * self.sites + self.place_site[place] as usize] = k as u16;
            }
        }
    }

    /// Drops the places that some edge allows nothing for at its other end. Says whether there were any; `None` if a node has none left.
    fn drop_lonely_places(&mut self) -> Option<bool> {
        let mut alive = vec![true; self.place_site.len()];
        let mut dropped = false;
        for edge in self.edges.iter().filter(|e| e.dense || e.relation.other_cloud) {
            let (a, b) = (edge.a as usize, edge.b as usize);
            for (own, other, turned) in [(a, b, false), (b, a, true)] {
                for place in self.places(own) {
                    let site = self.place_site[place] as usize;
                    let fits = |q: usize| {
                        let there = self.place_site[q] as usize;
                        let (a, b) = if turned { (there, site) } else { (site, there) };
                        alive[q] && self.pair(edge, a, b) < NEVER
                    };
                    if alive[place] && !self.places(other).any(fits) {
                        alive[place] = false;
                        dropped = true;
                    }
                }
            }
        }
        if dropped {
            self.keep_places(&alive)?;
        }
        Some(dropped)
    }

    fn keep_places(&mut self, alive: &[bool]) -> Option<()> {
        let old = std::mem::take(self);
        *self = Self {
            sites: old.sites,
            items: old.items,
            place_start: vec![0],
            option_start: vec![0],
            use_start: vec![0],
            origin_start: vec![0],
            ..Self::default()
        };
        for node in 0..old.nodes() {
            for place in old.places(node).filter(|place| alive[*place]) {
                for option in old.options(place) {
                    self.cost.push(old.cost[option]);
                    self.uses.extend(old.uses(option));
                    self.use_start.push(self.uses.len() as u32);
                    let origin = old.origin_start[option] as usize..old.origin_start[option + 1] as usize;
                    self.origin.extend(&old.origin[origin]);
                    self.origin_start.push(self.origin.len() as u32);
                }
                self.place_site.push(old.place_site[place]);
                self.option_start.push(self.cost.len() as u32);
            }
            if self.place_site.len() as u32 == *self.place_start.last()? {
                return None;
            }
            self.place_start.push(self.place_site.len() as u32);
        }
        let Self { shared, members, limits, edges, adjacent_start, adjacent, .. } = old;
        let rest = std::mem::take(self);
        *self = Self { shared, members, limits, edges, adjacent_start, adjacent, ..rest };
        Some(())
    }

    /// The problem of a whole part with prices in the place of limits: each place has its cheapest option, rounded down.
    pub(super) fn priced(&self, nodes: &[u32], unary: &[f64]) -> Self {
        let mut part = Self {
            sites: self.sites,
            place_start: vec![0],
            option_start: vec![0],
            use_start: vec![0],
            shared: Arc::clone(&self.shared),
            ..Self::default()
        };
        let mut index = HashMap::with_capacity(nodes.len());
        for (k, node) in nodes.iter().enumerate() {
            index.insert(*node, k as u32);
            for place in self.places(*node as usize) {
                part.cost.push(unary[place].floor() as i64);
                part.use_start.push(0);
                part.place_site.push(self.place_site[place]);
                part.option_start.push(part.cost.len() as u32);
            }
            part.place_start.push(part.place_site.len() as u32);
        }
        part.add_inner_edges(self, nodes, &index);
        part
    }

    /// The edges among some nodes, and what is derived from them and the options.
    fn add_inner_edges(&mut self, whole: &Self, nodes: &[u32], index: &HashMap<u32, u32>) {
        for node in nodes {
            for e in whole.adjacent(*node as usize) {
                let edge = &whole.edges[*e as usize];
                if edge.a == *node && let Some(b) = index.get(&edge.b) {
                    self.edges.push(Edge { a: index[node], b: *b, ..*edge });
                }
            }
        }
        self.connect();
        self.index_places();
        self.find_conflicts();
        self.find_scopes();
    }

    /// What a part's assignment costs, limits aside; [`NEVER`] if an edge is broken.
    pub(super) fn value_of(&self, nodes: &[u32], option: &impl Fn(u32) -> u32) -> i64 {
        let site = |node: u32| self.site_of(option(node) as usize);
        let mut cost = 0i64;
        for node in nodes {
            cost += self.cost[option(*node) as usize];
            for edge in self.adjacent(*node as usize).iter().map(|e| &self.edges[*e as usize]) {
                if edge.a == *node {
                    cost = cost.saturating_add(self.pair(edge, site(edge.a), site(edge.b))).min(NEVER);
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

    /// The problem of some nodes while the others stay: what these leave of the limits, and what the edges to them cost. Gives for each of
    /// its options the one it stands for, and for each of its limits. `None` if a node has none.
    pub(super) fn part(
        &self,
        nodes: &[u32],
        taken: &[u32],
        used: &[i64],
    ) -> Option<(Self, Vec<u32>, Vec<u32>)> {
        let mut index = HashMap::with_capacity(nodes.len());
        let mut left: HashMap<u32, i64> = HashMap::new();
        for (k, node) in nodes.iter().enumerate() {
            index.insert(*node, k as u32);
            for (limit, amount) in self.uses(taken[*node as usize] as usize) {
                *left.entry(*limit).or_insert(self.limits[*limit as usize] - used[*limit as usize]) += amount;
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
            let left = left.entry(limit).or_insert(self.limits[limit as usize] - used[limit as usize]);
            if most > *left {
                limits.push(limit);
            }
        }
        limits.sort_unstable();
        let local: HashMap<u32, u32> = limits.iter().enumerate().map(|(k, l)| (*l, k as u32)).collect();
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
                    uses.extend(self.uses(option).iter().filter_map(|(l, a)| Some((*local.get(l)?, *a))));
                    // Of those that are left with the same uses the first is the cheapest.
                    let known = (before..part.cost.len()).any(|o| part.uses(o) == &uses[..]);
                    let own = taken[*node as usize] == option as u32;
                    if (known && !own) || uses.iter().any(|(l, a)| *a > part.limits[*l as usize]) {
                        continue;
                    }
                    part.cost.push(self.cost[option] + fixed);
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

    /// Makes a node of the items that share a site. Says for each item its node.
    fn merge(&mut self, problem: &Problem) -> Vec<u32> {
        let mut parent: Vec<u32> = (0..problem.items.len() as u32).collect();
        fn root(parent: &mut [u32], mut i: u32) -> u32 {
            while parent[i as usize] != i {
                parent[i as usize] = parent[parent[i as usize] as usize];
                i = parent[i as usize];
            }
            i
        }
        for group in problem.together.iter().filter(|group| group.scope == Scope::Site) {
            for pair in group.items.windows(2) {
                let (a, b) = (root(&mut parent, pair[0]), root(&mut parent, pair[1]));
                parent[a.max(b) as usize] = a.min(b);
            }
        }
        let mut node_of = vec![u32::MAX; parent.len()];
        for item in 0..parent.len() as u32 {
            let root = root(&mut parent, item) as usize;
            if node_of[root] == u32::MAX {
                node_of[root] = self.members.len() as u32;
                self.members.push(Vec::new());
            }
            node_of[item as usize] = node_of[root];
            self.members[node_of[root] as usize].push(item);
        }
        node_of
    }

    /// A spread of more than a pair is a limit of each site or cloud. They follow the problem's own.
    fn add_spreads_as_limits(&mut self, problem: &Problem) {
        for spread in counted(problem) {
            let count = self.values(spread.scope);
            self.limits.resize(self.limits.len() + count, i64::from(spread.most));
        }
    }

    /// How many sites or clouds there are.
    fn values(&self, scope: Scope) -> usize {
        match scope {
            Scope::Site => self.sites,
            Scope::Cloud => self.cloud.iter().max().map_or(0, |c| *c as usize + 1),
        }
    }

    fn add_options(&mut self, problem: &Problem, node_of: &[u32]) -> Option<()> {
        // What the spreads count of each item: the first of their limits, and their scope.
        let mut counted_by: Vec<Vec<(usize, Scope)>> = Vec::new();
        let mut next = problem.limits.len();
        for spread in counted(problem) {
            counted_by.resize(node_of.len(), Vec::new());
            for item in &spread.items {
                counted_by[*item as usize].push((next, spread.scope));
            }
            next += self.values(spread.scope);
        }
        let binding = self.binding(problem);
        let mut inner = vec![Vec::new(); if problem.together.is_empty() { 0 } else { self.members.len() }];
        for (l, link) in problem.links.iter().enumerate() {
            if node_of[link.a as usize] == node_of[link.b as usize]
                && let Some(inner) = inner.get_mut(node_of[link.a as usize] as usize)
            {
                inner.push(l);
            }
        }
        self.place_start.push(0);
        self.option_start.push(0);
        self.use_start.push(0);
        self.origin_start.push(0);
        let mut by_site: Vec<Vec<Draft>> = vec![Vec::new(); self.sites];
        for node in 0..self.members.len() {
            for (k, item) in self.members[node].iter().enumerate() {
                let counters = counted_by.get(*item as usize).map_or(&[][..], Vec::as_slice);
                let mut found: Vec<Vec<Draft>> = vec![Vec::new(); if k > 0 { self.sites } else { 0 }];
                for (o, offer) in problem.items[*item as usize].options.iter().enumerate() {
                    let site = offer.site as usize;
                    let mut draft = Draft { cost: offer.cost, ..Draft::default() };
                    draft.uses.extend(offer.uses.iter().map(|u| (u.limit, u.amount)));
                    draft.uses.extend(counters.iter().map(|(first, scope)| match scope {
                        Scope::Site => ((first + site) as u32, 1),
                        Scope::Cloud => ((first + self.cloud[site] as usize) as u32, 1),
                    }));
                    draft.uses.retain(|u| u.1 > 0 && binding[u.0 as usize]);
                    draft.uses.sort_unstable();
                    draft.origin.push(o as u32);
                    let drafts = if k == 0 { &mut by_site[site] } else { &mut found[site] };
                    drafts.push(draft);
                }
                if k > 0 {
                    for (site, others) in found.into_iter().enumerate() {
                        let so_far = std::mem::take(&mut by_site[site]);
                        let pairs = so_far.iter().flat_map(|a| others.iter().map(|b| a.with(b)));
                        by_site[site] = self.front(pairs.collect());
                    }
                }
            }
            for (site, drafts) in by_site.iter_mut().enumerate() {
                if drafts.is_empty() {
                    continue;
                }
                let inner = inner.get(node).map_or(&[][..], Vec::as_slice);
                let mut extra = 0i64;
                for link in inner.iter().map(|l| &problem.links[*l]) {
                    extra = extra.saturating_add(self.pair(&Edge::of(link, 0, 0, true), site, site));
                }
                if extra >= NEVER {
                    drafts.clear();
                    continue;
                }
                let front = self.front(std::mem::take(drafts));
                for draft in &front {
                    self.cost.push(draft.cost + extra);
                    self.uses.extend(&draft.uses);
                    self.use_start.push(self.uses.len() as u32);
                    self.origin.extend(&draft.origin);
                    self.origin_start.push(self.origin.len() as u32);
                }
                if !front.is_empty() {
                    self.place_site.push(site as u32);
                    self.option_start.push(self.cost.len() as u32);
                }
            }
            if self.place_site.len() as u32 == *self.place_start.last()? {
                return None;
            }
            self.place_start.push(self.place_site.len() as u32);
        }
        Some(())
    }

    /// Which limits can be exceeded at all. The counts of spreads always can.
    fn binding(&self, problem: &Problem) -> Vec<bool> {
        let mut most = vec![0i64; problem.limits.len()];
        let mut own = vec![0i64; problem.limits.len()];
        for item in &problem.items {
            for u in item.options.iter().flat_map(|o| &o.uses) {
                let own = &mut own[u.limit as usize];
                most[u.limit as usize] += (u.amount - *own).max(0);
                *own = u.amount.max(*own);
            }
            for u in item.options.iter().flat_map(|o| &o.uses) {
                own[u.limit as usize] = 0;
            }
        }
        let own = most.iter().zip(&problem.limits).map(|(most, limit)| most > limit);
        own.chain(vec![true; self.limits.len() - problem.limits.len()]).collect()
    }

    /// The drafts that fit the limits at all and that no other beats in everything, cheapest first.
    fn front(&self, mut drafts: Vec<Draft>) -> Vec<Draft> {
        let fits = |d: &Draft| d.uses.iter().all(|(l, amount)| *amount <= self.limits[*l as usize]);
        drafts.retain(fits);
        if drafts.len() > 1 {
            drafts.sort_by(|a, b| a.cost.cmp(&b.cost).then_with(|| a.uses.cmp(&b.uses)));
            let mut kept: Vec<Draft> = Vec::new();
            for draft in drafts {
                if !kept.iter().any(|k| k.covers(&draft)) {
                    kept.push(draft);
                }
            }
            drafts = kept;
        }
        drafts
    }

    fn add_edges(&mut self, problem: &Problem, node_of: &[u32]) {
        let structured = self.classes * 4 <= self.sites.max(16);
        let possible = problem.tariffs.iter().all(|t| !t.prices.contains(&IMPOSSIBLE));
        for link in &problem.links {
            let (a, b) = (node_of[link.a as usize], node_of[link.b as usize]);
            if a != b {
                let dense = link.max_rtt.is_some() || link.rtt_cost != 0 || !structured || !possible;
                self.edges.push(Edge::of(link, a, b, dense));
            }
        }
        let mut relate = |x: u32, y: u32, relation: Relation| {
            let (a, b) = (node_of[x as usize], node_of[y as usize]);
            if a != b {
                let dense = relation.other_site || relation.same_cloud;
                self.edges.push(Edge { a, b, relation, dense, ..Edge::default() });
            }
        };
        for spread in problem.spreads.iter().filter(|spread| is_pair(spread)) {
            let relation = Relation {
                other_site: spread.scope == Scope::Site,
                other_cloud: spread.scope == Scope::Cloud,
                same_cloud: false,
            };
            relate(spread.items[0], spread.items[1], relation);
        }
        for group in problem.together.iter().filter(|group| group.scope == Scope::Cloud) {
            for pair in group.items.windows(2) {
                relate(pair[0], pair[1], Relation { same_cloud: true, ..Relation::default() });
            }
        }
        self.join_parallel_edges();
        self.connect();
    }

    /// Notes the edges of each node.
    fn connect(&mut self) {
        let mut degree = vec![0u32; self.nodes() + 1];
        for edge in &self.edges {
            degree[edge.a as usize + 1] += 1;
            degree[edge.b as usize + 1] += 1;
        }
        for i in 1..degree.len() {
            degree[i] += degree[i - 1];
        }
        self.adjacent = vec![0; self.edges.len() * 2];
        let mut at = degree.clone();
        for (e, edge) in self.edges.iter().enumerate() {
            for end in [edge.a, edge.b] {
                self.adjacent[at[end as usize] as usize] = e as u32;
                at[end as usize] += 1;
            }
        }
        self.adjacent_start = degree;
    }

    /// Edges between the same nodes become one where their tariffs are the same.
    fn join_parallel_edges(&mut self) {
        for edge in &mut self.edges {
            if edge.a > edge.b {
                *edge = edge.turned();
            }
        }
        self.edges.sort_by_key(|e| (e.a, e.b, e.tariff_ab, e.tariff_ba));
        self.edges.dedup_by(|next, kept| {
            let mut next = *next;
            let unpriced = |e: &Edge| e.ab == 0 && e.ba == 0;
            if (kept.a, kept.b) != (next.a, next.b) {
                return false;
            }
            if unpriced(kept) {
                (kept.tariff_ab, kept.tariff_ba) = (next.tariff_ab, next.tariff_ba);
            } else if unpriced(&next) {
                (next.tariff_ab, next.tariff_ba) = (kept.tariff_ab, kept.tariff_ba);
            }
            if (kept.tariff_ab, kept.tariff_ba) != (next.tariff_ab, next.tariff_ba) {
                return false;
            }
            kept.ab += next.ab;
            kept.ba += next.ba;
            kept.max_rtt = kept.max_rtt.min(next.max_rtt);
            kept.rtt_cost += next.rtt_cost;
            kept.relation.other_site |= next.relation.other_site;
            kept.relation.other_cloud |= next.relation.other_cloud;
            kept.relation.same_cloud |= next.relation.same_cloud;
            kept.dense |= next.dense;
            true
        });
    }
}

impl Default for Edge {
    fn default() -> Self {
        Self {
            a: 0,
            b: 0,
            ab: 0,
            ba: 0,
            tariff_ab: 0,
            tariff_ba: 0,
            max_rtt: u32::MAX,
            rtt_cost: 0,
            relation: Relation::default(),
            dense: false,
        }
    }
}

impl Edge {
    fn of(link: &super::Link, a: u32, b: u32, dense: bool) -> Self {
        Self {
            a,
            b,
            ab: link.ab,
            ba: link.ba,
            tariff_ab: link.tariff_ab,
            tariff_ba: link.tariff_ba,
            max_rtt: link.max_rtt.unwrap_or(u32::MAX),
            rtt_cost: link.rtt_cost,
            relation: Relation::default(),
            dense,
        }
    }

    fn turned(&self) -> Self {
        Self {
            a: self.b,
            b: self.a,
            ab: self.ba,
            ba: self.ab,
            tariff_ab: self.tariff_ba,
            tariff_ba: self.tariff_ab,
            ..*self
        }
    }
}

/// An option in the making.
#[derive(Clone, Debug, Default)]
struct Draft {
    cost: i64,
    uses: SmallVec<[(u32, i64); 2]>,
    origin: SmallVec<[u32; 2]>,
}

impl Draft {
    /// Both at once.
    fn with(&self, other: &Self) -> Self {
        let mut both = self.clone();
        both.cost += other.cost;
        for (limit, amount) in &other.uses {
            match both.uses.iter_mut().find(|u| u.0 == *limit) {
                Some(found) => found.1 += amount,
                None => both.uses.push((*limit, *amount)),
            }
        }
        both.uses.sort_unstable();
        both.origin.extend_from_slice(&other.origin);
        both
    }

    /// Whether it is no dearer and takes no more of anything.
    fn covers(&self, other: &Self) -> bool {
        self.cost <= other.cost
            && self.uses.iter().all(|(limit, amount)| {
                other.uses.iter().any(|(l, a)| l == limit && a >= amount)
            })
    }
}

fn is_pair(spread: &super::Spread) -> bool {
    spread.most == 1 && spread.items.len() == 2
}

/// The spreads that are counted.
fn counted(problem: &Problem) -> impl Iterator<Item = &super::Spread> {
    let binding = |s: &&super::Spread| s.items.len() > s.most as usize && !is_pair(s);
    problem.spreads.iter().filter(binding)
}

//! From a [`Problem`] to a graph: what goes together becomes one node, what can never be taken goes.

use std::sync::Arc;

use smallvec::SmallVec;

use super::{Edge, Graph, NEVER, Relation, Sites};
use crate::place::solve::{
    messages::MOST_CLASSES,
    problem::{IMPOSSIBLE, Problem, Scope, Spread},
};

impl Graph {
    /// `None` if some item has no option left: then there is no valid assignment.
    pub(in crate::place::solve) fn new(problem: &Problem) -> Option<Self> {
        let mut graph = Self {
            sites: problem.sites.len(),
            shared: Arc::new(Sites::new(problem)),
            limits: problem.limits.clone(),
            items: problem.items.len(),
            ..Self::default()
        };
        let node_of = graph.merge(problem);
        // Kept together and apart at once.
        let torn =
            |s: &Spread| is_pair(s) && node_of[s.items[0] as usize] == node_of[s.items[1] as usize];
        if problem.spreads.iter().any(torn) {
            return None;
        }
        graph.add_spreads_as_limits(problem);
        graph.add_options(problem, &node_of)?;
        graph.add_edges(problem, &node_of);
        while graph.drop_lonely_places()? {}
        graph.index_places();
        graph.find_conflicts();
        graph.find_scopes();
        graph.spread_out();
        Some(graph)
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
        let mut inner =
            vec![Vec::new(); if problem.together.is_empty() { 0 } else { self.members.len() }];
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
                let mut found: Vec<Vec<Draft>> =
                    vec![Vec::new(); if k > 0 { self.sites } else { 0 }];
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
                    extra =
                        extra.saturating_add(self.pair(&Edge::of(link, 0, 0, true), site, site));
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
        let structured = self.classes <= MOST_CLASSES;
        let possible = problem.tariffs.iter().all(|t| !t.prices.contains(&IMPOSSIBLE));
        for link in &problem.links {
            let (a, b) = (node_of[link.a as usize], node_of[link.b as usize]);
            if a != b {
                let dense =
                    link.max_rtt.is_some() || link.rtt_cost != 0 || !structured || !possible;
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
                    let origin =
                        old.origin_start[option] as usize..old.origin_start[option + 1] as usize;
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
            && self
                .uses
                .iter()
                .all(|(limit, amount)| other.uses.iter().any(|(l, a)| l == limit && a >= amount))
    }
}

fn is_pair(spread: &Spread) -> bool {
    spread.most == 1 && spread.items.len() == 2
}

/// The spreads that are counted.
fn counted(problem: &Problem) -> impl Iterator<Item = &Spread> {
    let binding = |s: &&Spread| s.items.len() > s.most as usize && !is_pair(s);
    problem.spreads.iter().filter(binding)
}

//! Messages along edges: what the best of everything behind a node costs, for each place of its neighbour.

use super::graph::{Edge, Graph, NEVER};

/// The one end of an edge that a message comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    A,
    B,
}

/// What has been decided on an edge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Bond {
    /// Both ends have to be at one site.
    pub(super) same_site: bool,
    /// Both ends have to be in one cloud.
    pub(super) same_cloud: bool,
    /// Both ends have to be in two clouds.
    pub(super) other_cloud: bool,
}

/// With more classes of sites than this, edges are dense.
pub(super) const MOST_CLASSES: usize = 6;

/// What a message is sent along: an edge, which end it comes from, and what has been decided on it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Along<'a> {
    pub(super) edge: usize,
    pub(super) from: From,
    pub(super) bond: Bond,
    /// For each site whether both ends may be there.
    pub(super) fits: &'a [bool],
    /// Whether they may everywhere.
    pub(super) all_fit: bool,
}

/// For each place of the receiver: the least, over the sender's places, of the sender's value there and the edge's cost.
/// Takes time linear in the places unless the edge is dense.
pub(super) fn send(graph: &Graph, along: Along<'_>, values: &[f64], out: &mut [f64]) {
    let edge = &graph.edges[along.edge];
    let decided = along.bond != Bond::default() || edge.relation.other_cloud;
    if along.bond.same_site {
        joined(graph, along, values, out);
    } else if edge.dense {
        dense(graph, along, values, out);
    } else {
        let plain = !decided && along.all_fit;
        match (graph.classes, plain) {
            (1, true) => by_class::<1, true>(graph, along, values, out),
            (1, false) => by_class::<1, false>(graph, along, values, out),
            (2, true) => by_class::<2, true>(graph, along, values, out),
            (2, false) => by_class::<2, false>(graph, along, values, out),
            (3, true) => by_class::<3, true>(graph, along, values, out),
            (3, false) => by_class::<3, false>(graph, along, values, out),
            (4, true) => by_class::<4, true>(graph, along, values, out),
            (4, false) => by_class::<4, false>(graph, along, values, out),
            (5, true) => by_class::<5, true>(graph, along, values, out),
            (5, false) => by_class::<5, false>(graph, along, values, out),
            (_, true) => by_class::<MOST_CLASSES, true>(graph, along, values, out),
            (_, false) => by_class::<MOST_CLASSES, false>(graph, along, values, out),
        }
    }
}

/// The nodes that a message goes from and to.
fn ends(edge: &Edge, from: From) -> (usize, usize) {
    match from {
        From::A => (edge.a as usize, edge.b as usize),
        From::B => (edge.b as usize, edge.a as usize),
    }
}

/// What is sent and received: how much, and at which price from each site to each class.
fn traffic<'g>(graph: &'g Graph, edge: &Edge, from: From) -> [(f64, &'g [f64]); 2] {
    let there = (edge.ab as f64, &graph.class_price[edge.tariff_ab as usize][..]);
    let back = (edge.ba as f64, &graph.class_price[edge.tariff_ba as usize][..]);
    match from {
        From::A => [there, back],
        From::B => [back, there],
    }
}

/// Both ends share their site.
fn joined(graph: &Graph, along: Along<'_>, values: &[f64], out: &mut [f64]) {
    let edge = &graph.edges[along.edge];
    let (sender, receiver) = ends(edge, along.from);
    let first = graph.places(sender).start;
    for (out, to) in out.iter_mut().zip(&graph.place_site[graph.places(receiver)]) {
        let site = *to as usize;
        *out = match graph.place_at(sender, site).filter(|_| along.fits[site]) {
            Some(place) => match graph.pair(edge, site, site) {
                NEVER => f64::INFINITY,
                pair => values[place - first] + pair as f64,
            },
            None => f64::INFINITY,
        };
    }
}

/// Each pair of sites is looked at.
fn dense(graph: &Graph, along: Along<'_>, values: &[f64], out: &mut [f64]) {
    let edge = &graph.edges[along.edge];
    let (sender, receiver) = ends(edge, along.from);
    let sites = |node: usize| &graph.place_site[graph.places(node)];
    let (senders, receivers) = (sites(sender), sites(receiver));
    let undecided = along.bond == Bond::default() && along.all_fit;
    out.fill(f64::INFINITY);
    if let (true, Some(costs)) = (undecided, graph.dense_costs(along.edge)) {
        match along.from {
            From::A => {
                for (value, row) in values.iter().zip(costs.chunks_exact(receivers.len())) {
                    for (out, cost) in out.iter_mut().zip(row) {
                        *out = out.min(value + cost);
                    }
                }
            }
            From::B => {
                for (out, row) in out.iter_mut().zip(costs.chunks_exact(senders.len())) {
                    let sums = values.iter().zip(row).map(|(value, cost)| value + cost);
                    *out = sums.fold(f64::INFINITY, f64::min);
                }
            }
        }
        return;
    }
    for (out, to) in out.iter_mut().zip(receivers) {
        for (value, at) in values.iter().zip(senders) {
            let same_cloud = graph.cloud[*at as usize] == graph.cloud[*to as usize];
            let barred = if same_cloud { along.bond.other_cloud } else { along.bond.same_cloud };
            if barred || *value >= *out || (at == to && !along.fits[*at as usize]) {
                continue;
            }
            let (a, b) = if along.from == From::A { (at, to) } else { (to, at) };
            match graph.pair(edge, *a as usize, *b as usize) {
                NEVER => {}
                pair => *out = out.min(value + pair as f64),
            }
        }
    }
}

/// Priced traffic between `K` classes of sites; unless it is plain, minding what has been decided and where both ends do not fit.
fn by_class<const K: usize, const PLAIN: bool>(
    graph: &Graph,
    along: Along<'_>,
    values: &[f64],
    out: &mut [f64],
) {
    let edge = &graph.edges[along.edge];
    let (sender, receiver) = ends(edge, along.from);
    let [(sent, there), (got, back)] = traffic(graph, edge, along.from);
    // For each class of the sender and each of the receiver: the least, where it is, and the least elsewhere.
    let mut least = [[f64::INFINITY; K]; K];
    let mut second = [[f64::INFINITY; K]; K];
    let mut place_of_least = [[u32::MAX; K]; K];
    for (value, at) in values.iter().zip(&graph.place_site[graph.places(sender)]) {
        let site = *at as usize;
        let class = graph.class[site] as usize % K;
        let prices = &there[site * K..(site + 1) * K];
        for (k, price) in prices.iter().enumerate() {
            let cost = value + sent * price;
            if PLAIN {
                least[class][k] = least[class][k].min(cost);
            } else if cost < least[class][k] {
                second[class][k] = least[class][k];
                least[class][k] = cost;
                place_of_least[class][k] = *at;
            } else {
                second[class][k] = second[class][k].min(cost);
            }
        }
    }
    let apart = edge.relation.other_cloud || along.bond.other_cloud;
    let first = graph.places(sender).start;
    for (out, to) in out.iter_mut().zip(&graph.place_site[graph.places(receiver)]) {
        let site = *to as usize;
        let own = graph.class[site] as usize % K;
        let prices = &back[site * K..(site + 1) * K];
        let mut best = f64::INFINITY;
        for (class, price) in prices.iter().enumerate() {
            if PLAIN {
                best = best.min(least[class][own] + got * price);
                continue;
            }
            let same_cloud = graph.class_cloud[class] == graph.cloud[site];
            if if same_cloud { apart } else { along.bond.same_cloud } {
                continue;
            }
            let here = place_of_least[class][own] == *to;
            let elsewhere = if here { second[class][own] } else { least[class][own] };
            best = best.min(elsewhere + got * price);
        }
        if (PLAIN || (!apart && along.fits[site]))
            && let Some(place) = graph.place_at(sender, site)
        {
            best = best.min(values[place - first] + graph.pair(edge, site, site) as f64);
        }
        *out = best;
    }
}

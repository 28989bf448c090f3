//! Messages along edges: what the best of everything behind a node costs, for each place of its neighbour.

use super::graph::{Graph, NEVER};

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

/// Room for the sums by class, kept between messages.
#[derive(Clone, Debug, Default)]
pub(super) struct Scratch {
    least: Vec<(f64, u32, f64)>,
}

/// For each place of the receiver: the least, over the sender's places, of the sender's value there and the edge's cost.
/// Takes time linear in the places unless the edge is dense.
pub(super) fn send(
    graph: &Graph,
    e: usize,
    from: From,
    values: &[f64],
    out: &mut [f64],
    bond: Bond,
    fits: &[bool],
    scratch: &mut Scratch,
) {
    let edge = &graph.edges[e];
    let (sender, receiver) = match from {
        From::A => (edge.a as usize, edge.b as usize),
        From::B => (edge.b as usize, edge.a as usize),
    };
    let (senders, receivers) = (graph.places(sender), graph.places(receiver));
    let sender_sites = &graph.place_site[senders];
    let receiver_sites = &graph.place_site[receivers];
    if bond.same_site {
        let first = graph.places(sender).start;
        for (out, to) in out.iter_mut().zip(receiver_sites) {
            let site = *to as usize;
            *out = match graph.place_at(sender, site).filter(|_| fits[site]) {
                Some(place) => match graph.pair(edge, site, site) {
                    NEVER => f64::INFINITY,
                    pair => values[place - first] + pair as f64,
                },
                None => f64::INFINITY,
            };
        }
        return;
    }
    if edge.dense {
        for (out, to) in out.iter_mut().zip(receiver_sites) {
            let mut least = f64::INFINITY;
            for (value, at) in values.iter().zip(sender_sites) {
                let (a, b) = match from {
                    From::A => (*at, *to),
                    From::B => (*to, *at),
                };
                let same_cloud = graph.cloud[a as usize] == graph.cloud[b as usize];
                let decided = if same_cloud { bond.other_cloud } else { bond.same_cloud };
                if *value < least && !decided {
                    let pair = graph.pair(edge, a as usize, b as usize);
                    if pair != NEVER && (a != b || fits[a as usize]) {
                        least = least.min(value + pair as f64);
                    }
                }
            }
            *out = least;
        }
        return;
    }
    let (sent, sent_tariff, got, got_tariff) = match from {
        From::A => (edge.ab, edge.tariff_ab, edge.ba, edge.tariff_ba),
        From::B => (edge.ba, edge.tariff_ba, edge.ab, edge.tariff_ab),
    };
    let k = graph.classes;
    let (sent, got) = (sent as f64, got as f64);
    let there = &graph.class_price[sent_tariff as usize];
    let back = &graph.class_price[got_tariff as usize];
    // For each class of the sender and each of the receiver: the least, where it is, and the least elsewhere.
    scratch.least.clear();
    scratch.least.resize(k * k, (f64::INFINITY, u32::MAX, f64::INFINITY));
    for (value, at) in values.iter().zip(sender_sites) {
        let site = *at as usize;
        let own = graph.class[site] as usize * k;
        let prices = &there[site * k..(site + 1) * k];
        for (least, price) in scratch.least[own..own + k].iter_mut().zip(prices) {
            let cost = value + sent * price;
            if cost < least.0 {
                *least = (cost, *at, least.0);
            } else if cost < least.2 {
                least.2 = cost;
            }
        }
    }
    let apart = edge.relation.other_cloud || bond.other_cloud;
    for (out, to) in out.iter_mut().zip(receiver_sites) {
        let site = *to as usize;
        let own = graph.class[site] as usize;
        let prices = &back[site * k..(site + 1) * k];
        let mut best = f64::INFINITY;
        for (class, price) in prices.iter().enumerate() {
            let same_cloud = graph.class_cloud[class] == graph.cloud[site];
            if if same_cloud { apart } else { bond.same_cloud } {
                continue;
            }
            let least = &scratch.least[class * k + own];
            let cost = if least.1 == *to { least.2 } else { least.0 } + got * price;
            if cost < best {
                best = cost;
            }
        }
        *out = best;
    }
    if !apart {
        let first = graph.places(sender).start;
        for (out, to) in out.iter_mut().zip(receiver_sites) {
            let to = *to as usize;
            if let Some(place) = graph.place_at(sender, to).filter(|_| fits[to]) {
                let same = values[place - first] + graph.pair(edge, to, to) as f64;
                if same < *out {
                    *out = same;
                }
            }
        }
    }
}

//! What counting alone proves impossible, however the rest is arranged.

use super::{graph::Graph, problem::Scope};

/// Whether there is certainly no valid assignment: the limits of all sites, or of all clouds, hold less than all nodes take of them at least; or more
/// nodes have to be on clouds of their own than there are clouds for them. `false` says nothing.
pub(super) fn impossible(graph: &Graph) -> bool {
    let scopes = [Some(Scope::Site), Some(Scope::Cloud)];
    scopes.iter().any(|scope| too_much(graph, *scope)) || too_many_apart(graph)
}

/// Whether the limits of a scope together are less than what the nodes take of them at least.
fn too_much(graph: &Graph, scope: Option<Scope>) -> bool {
    let counts = |limit: &u32| graph.limit_scope[*limit as usize] == scope;
    let all = (0..graph.limits.len() as u32).filter(counts);
    let room: i64 = all.map(|limit| graph.limits[limit as usize]).fold(0, i64::saturating_add);
    let need = (0..graph.nodes()).map(|node| {
        let taken = graph.node_options(node).map(|option| {
            let uses = graph.uses(option).iter().filter(|(limit, _)| counts(limit));
            uses.map(|(_, amount)| *amount).fold(0, i64::saturating_add)
        });
        taken.min().unwrap_or(0)
    });
    need.fold(0, i64::saturating_add) > room
}

/// Whether some nodes that are each kept apart from all others of them are more than the clouds they can be in.
fn too_many_apart(graph: &Graph) -> bool {
    let rivals = |node: u32| {
        graph.adjacent(node as usize).iter().filter_map(move |e| {
            let edge = &graph.edges[*e as usize];
            let other = if edge.a == node { edge.b } else { edge.a };
            edge.relation.other_cloud.then_some(other)
        })
    };
    (0..graph.nodes() as u32).any(|node| {
        let mut group = vec![node];
        for other in rivals(node) {
            if group.iter().all(|member| rivals(*member).any(|rival| rival == other)) {
                group.push(other);
            }
        }
        let places = group.iter().flat_map(|node| graph.places(*node as usize));
        let mut clouds: Vec<u32> =
            places.map(|place| graph.cloud[graph.place_site[place] as usize]).collect();
        clouds.sort_unstable();
        clouds.dedup();
        group.len() > clouds.len()
    })
}

//! What is derived from nodes and edges once they stand.

use super::{Graph, NEVER};
use crate::place::solve::problem::Scope;

impl Graph {
    /// Notes the edges of each node.
    pub(super) fn connect(&mut self) {
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

    pub(super) fn index_places(&mut self) {
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

    pub(super) fn find_conflicts(&mut self) {
        self.fits_both = vec![true; self.edges.len() * self.sites];
        for (e, edge) in self.edges.iter().enumerate() {
            for place in self.places(edge.a as usize) {
                let site = self.place_site[place] as usize;
                let Some(other) = self.place_at(edge.b as usize, site) else { continue };
                let fit = self.options(place).any(|a| {
                    self.options(other).any(|b| {
                        self.uses(a).iter().all(|(l, own)| {
                            let both =
                                self.uses(b).iter().find(|u| u.0 == *l).map_or(0, |u| u.1) + own;
                            both <= self.limits[*l as usize]
                        })
                    })
                });
                self.fits_both[e * self.sites + site] = fit;
            }
        }
    }

    pub(super) fn find_scopes(&mut self) {
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

    /// Computes the costs of dense edges once, unless there are too many.
    pub(super) fn spread_out(&mut self) {
        const MOST: usize = 1 << 24;
        self.dense_start = vec![u32::MAX; self.edges.len()];
        for e in 0..self.edges.len() {
            let edge = self.edges[e];
            let (a, b) = (self.places(edge.a as usize), self.places(edge.b as usize));
            if !edge.dense || self.dense_cost.len() + a.len() * b.len() > MOST {
                continue;
            }
            self.dense_start[e] = self.dense_cost.len() as u32;
            for p in a {
                for q in b.clone() {
                    let (p, q) = (self.place_site[p] as usize, self.place_site[q] as usize);
                    self.dense_cost.push(match self.pair(&edge, p, q) {
                        NEVER => f64::INFINITY,
                        cost => cost as f64,
                    });
                }
            }
        }
    }
}

//! What binds two nodes.

use crate::place::solve::problem::Link;

/// How the two ends of an edge have to lie to each other, besides what they cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::place::solve) struct Relation {
    pub(in crate::place::solve) other_site: bool,
    pub(in crate::place::solve) other_cloud: bool,
    pub(in crate::place::solve) same_cloud: bool,
}

/// What binds two nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::place::solve) struct Edge {
    pub(in crate::place::solve) a: u32,
    pub(in crate::place::solve) b: u32,
    pub(in crate::place::solve) ab: i64,
    pub(in crate::place::solve) ba: i64,
    pub(in crate::place::solve) tariff_ab: u32,
    pub(in crate::place::solve) tariff_ba: u32,
    pub(in crate::place::solve) max_rtt: u32,
    pub(in crate::place::solve) rtt_cost: i64,
    pub(in crate::place::solve) relation: Relation,
    /// Whether it is anything but priced traffic by class: each pair of sites has to be looked at.
    pub(in crate::place::solve) dense: bool,
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
    pub(super) fn of(link: &Link, a: u32, b: u32, dense: bool) -> Self {
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

    pub(super) fn turned(&self) -> Self {
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

//! What the requirements cost: everything solved again without one of them.

use std::collections::{BTreeMap, HashSet};

use cloud_core::{Money, Result};

use super::{
    Placement,
    amount::decimal,
    draft::{Choice, Constraint},
    filter::words,
    solve::{self, Outcome},
};

/// What a requirement costs.
#[derive(Clone, Debug, PartialEq)]
pub struct Sensitivity {
    /// The requirement, in words.
    pub requirement: String,
    /// How much less a month everything would count for without it.
    pub adds: Money,
    /// The same as a share of what it would count for then: 0.12 if it adds 12 %. 0 if that is nothing.
    pub share: f64,
    /// Whether both figures are proven optima; otherwise they are those of the best that was found.
    pub proven: bool,
}

impl std::fmt::Display for Sensitivity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} adds {:.1} %", self.requirement, self.share * 100.0)
    }
}

impl Placement<'_> {
    /// What each requirement costs that costs anything: everything is solved again without it, wherever it stands. The dearest first.
    ///
    /// `effort` bounds each of these, and at most `most` requirements are tried: those that rule out most. Takes about as long as `most` placements.
    ///
    /// # Errors
    /// The solver's.
    pub fn sensitivity(
        &self,
        effort: &solve::SolveOptions,
        most: usize,
    ) -> Result<Vec<Sensitivity>> {
        let mut found = Vec::new();
        for (requirement, left_out) in self.loosenable().into_iter().take(most) {
            let holds = |constraint| !left_out.contains(&constraint);
            let choice = Choice { holds: Some(&holds), weight: self.weight, ..Choice::ALL };
            let draft = self.model.draft(&choice);
            let Outcome::Solved(without) = solve::solve(&draft.problem, effort, &mut |_| {})?
            else {
                continue;
            };
            let adds = self.objective.saturating_sub(without.cost);
            if adds <= 0 {
                continue;
            }
            found.push(Sensitivity {
                requirement,
                adds: self.money(decimal(adds)),
                share: if without.cost > 0 { adds as f64 / without.cost as f64 } else { 0.0 },
                proven: self.is_optimal() && without.bound >= without.cost,
            });
        }
        found.sort_by_key(|found| std::cmp::Reverse(found.adds.amount));
        Ok(found)
    }

    /// What can be left out, each with all constraints that it stands for; what rules out most comes first.
    fn loosenable(&self) -> Vec<(String, HashSet<Constraint>)> {
        let model = &self.model;
        let mut filters: BTreeMap<u32, (usize, HashSet<Constraint>)> = BTreeMap::new();
        for (p, part) in model.parts[..model.wanted].iter().enumerate() {
            for (nth, filter) in part.filters.iter().enumerate() {
                let (row, passing) = &model.filters[*filter as usize];
                if !row.can_be_loosened() {
                    continue;
                }
                let found = filters.entry(*filter).or_default();
                found.0 += model.sites.sites.len() - passing.iter().count();
                found.1.insert(Constraint::Filter { part: p as u32, nth: nth as u32 });
            }
        }
        let mut all: Vec<(usize, String, HashSet<Constraint>)> = filters
            .into_iter()
            .filter(|(_, (ruled_out, _))| *ruled_out > 0)
            .map(|(filter, (ruled_out, constraints))| {
                let filter = &model.filters[filter as usize].0;
                (ruled_out, words(filter, &model.sites.targets), constraints)
            })
            .collect();
        let mut add = |words: &str, constraints: HashSet<Constraint>| {
            if !constraints.is_empty() {
                all.push((constraints.len(), words.to_owned(), constraints));
            }
        };
        let count = |n: usize| 0..n as u32;
        add("quotas", count(model.sites.limits.len()).map(Constraint::Limit).collect());
        add("anti_affinity", count(model.apart.len()).map(Constraint::Apart).collect());
        let ties = count(model.ties.len()).filter(|t| !model.ties[*t as usize].by_network);
        add("affinity", ties.map(Constraint::Tie).collect());
        let near = count(model.flows.len()).filter(|f| model.flows[*f as usize].max_ms.is_some());
        add("max_latency_ms of traffic", near.map(Constraint::FlowLatency).collect());
        let spread = count(model.wanted).filter(|p| model.parts[*p as usize].items.len() > 1);
        add("spread", spread.map(Constraint::Spread).collect());
        add("max_share", model.max_share.map(|_| Constraint::MaxShare).into_iter().collect());
        all.sort_by(|a, b| (b.0, &a.1).cmp(&(a.0, &b.1)));
        all.into_iter().map(|(_, words, constraints)| (words, constraints)).collect()
    }
}
